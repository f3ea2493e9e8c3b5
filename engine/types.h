/* SPDX-License-Identifier: MIT */
/*
 * types.h - numbers: binary16 and bfloat16 in integer arithmetic (no F16C, no
 * bf16 instructions: every CPU gives the same bits), and the rounding
 * environment of everything that computes. Pure functions, no locks.
 *
 * A binary16 conversion is a formula without a branch, right for all but
 * subnormals, and a slower one for these: loops use the first on whole blocks,
 * which becomes vector code, and mend the rare ones (reduce.c).
 */
#ifndef MBE_TYPES_H
#define MBE_TYPES_H

#include <fenv.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static inline float mbe_float_of(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static inline uint32_t mbe_bits_of(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static inline double mbe_double_of(uint64_t bits)
{
	double f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static inline uint64_t mbe_bits64_of(double f)
{
	uint64_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/* All ones when cond, else zero: a select that compilers turn into masks. */
static inline uint32_t mbe_mask(int cond)
{
	return 0U - (uint32_t)cond;
}

static inline float mbe_bf16_to_f32(uint16_t h)
{
	return mbe_float_of((uint32_t)h << 16);
}

/* Round to nearest, ties to even; a NaN stays one, quiet, with its upper payload. */
static inline uint16_t mbe_f32_to_bf16(float f)
{
	uint32_t x = mbe_bits_of(f);
	uint32_t nan = mbe_mask((int32_t)(x & 0x7fffffff) > 0x7f800000);
	uint32_t rounded = (x + 0x7fff + (x >> 16 & 1)) >> 16;
	uint32_t quiet = x >> 16 | 0x40;

	return (uint16_t)((nan & quiet) | (~nan & rounded));
}

static inline int mbe_f16_is_subnormal(uint16_t h)
{
	return (uint16_t)((h & 0x7fff) - 1) < 0x3ff;
}

/* Exact, for all but subnormals. */
static inline float mbe_f16_to_f32_normal(uint16_t h)
{
	uint32_t sign = ((uint32_t)h & 0x8000) << 16;
	int32_t em = h & 0x7fff;
	uint32_t bits = ((uint32_t)em << 13) + (112U << 23);

	bits += mbe_mask(em > 0x7bff) & (112U << 23); /* infinity and NaN */
	return mbe_float_of(sign | (mbe_mask(em > 0) & bits));
}

/* Exact: every binary16 is a binary32. */
static inline float mbe_f16_to_f32(uint16_t h)
{
	uint32_t m = h & 0x3ff;
	int up;

	if (!mbe_f16_is_subnormal(h))
		return mbe_f16_to_f32_normal(h);
	up = __builtin_clz(m) - 21; /* places to where a normal number has its implicit 1 */
	return mbe_float_of(((uint32_t)h & 0x8000) << 16 | (uint32_t)(113 - up) << 23 |
			    (m << up & 0x3ff) << 13);
}

/* Does it become a subnormal, or is it so close below the smallest that it may? */
static inline int mbe_f32_is_small_f16(float f)
{
	return (mbe_bits_of(f) & 0x7fffffff) - 0x33000000 < 0x38800000 - 0x33000000;
}

/* Round to nearest, ties to even, for all but the small ones; NaN as for bf16. */
static inline uint16_t mbe_f32_to_f16_normal(float f)
{
	uint32_t x = mbe_bits_of(f);
	uint32_t sign = x >> 16 & 0x8000;
	int32_t mag = (int32_t)(x & 0x7fffffff);
	uint32_t is_nan = mbe_mask(mag > 0x7f800000);
	uint32_t is_big = mbe_mask(mag > 0x477fffff); /* 65536 and up: infinity */
	uint32_t r = (uint32_t)mag - (112U << 23);

	r = (r + 0xfff + (r >> 13 & 1)) >> 13;
	r &= mbe_mask(mag > 0x33000000); /* up to 2^-25: 0 */
	r = (is_big & 0x7c00) | (~is_big & r);
	r |= is_nan & (0x200 | ((uint32_t)mag >> 13 & 0x3ff));
	return (uint16_t)(sign | r);
}

/* Round to nearest, ties to even, also into the subnormals. */
static inline uint16_t mbe_f32_to_f16(float f)
{
	uint32_t x = mbe_bits_of(f), mag = x & 0x7fffffff;
	uint32_t shift, m, units, rest, half;

	if (!mbe_f32_is_small_f16(f))
		return mbe_f32_to_f16_normal(f);
	/* in units of 2^-24 the value is m >> shift, 14 to 24 places */
	shift = 126 - (mag >> 23);
	m = (mag & 0x7fffff) | 0x800000;
	units = m >> shift;
	rest = m & ((1U << shift) - 1);
	half = 1U << (shift - 1);
	units += rest > half || (rest == half && units & 1);
	return (uint16_t)((x >> 16 & 0x8000) | units);
}

/*
 * The rounding environment: nearest-even, no flush to zero, exceptions masked.
 * Entered before any arithmetic; costs one register read when it is so already.
 */
struct mbe_fp {
	bool changed;
#if defined(__x86_64__)
	uint32_t saved;
#else
	fenv_t saved;
#endif
};

#define MBE_MXCSR_CONTROL 0xffc0U /* all but the sticky exception flags */
#define MBE_MXCSR_DEFAULT 0x1f80U

static inline void mbe_fp_enter(struct mbe_fp *fp)
{
#if defined(__x86_64__)
	fp->saved = _mm_getcsr();
	fp->changed = (fp->saved & MBE_MXCSR_CONTROL) != MBE_MXCSR_DEFAULT;
	if (fp->changed)
		_mm_setcsr(MBE_MXCSR_DEFAULT);
#else
	fp->changed = true;
	fegetenv(&fp->saved);
	fesetenv(FE_DFL_ENV);
#endif
}

static inline void mbe_fp_leave(const struct mbe_fp *fp)
{
	if (!fp->changed)
		return;
#if defined(__x86_64__)
	_mm_setcsr(fp->saved);
#else
	fesetenv(&fp->saved);
#endif
}

#endif /* MBE_TYPES_H */
