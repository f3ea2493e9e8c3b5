/* SPDX-License-Identifier: MIT */
/* rng.h - splitmix64: a small generator that is the same everywhere. */
#ifndef EXAMPLES_RNG_H
#define EXAMPLES_RNG_H

#include <stdint.h>

static inline uint64_t rng_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* A whole number below n; n is far below 2^32, so the bias does not matter here. */
static inline uint32_t rng_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(((rng_next(state) >> 32) * n) >> 32);
}

/* Uniform in [-limit, limit) */
static inline float rng_uniform(uint64_t *state, float limit)
{
	return ((float)(rng_next(state) >> 40) * (1.0f / 8388608.0f) - 1.0f) * limit;
}

#endif
