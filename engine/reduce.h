/* SPDX-License-Identifier: MIT */
/*
 * reduce.h - arithmetic on runs of elements. Callers have entered the rounding
 * environment (types.h) and hold the destination; nothing here locks.
 *
 * Rules. Terms are computed in the accumulator of their type: binary32 for f32,
 * f16 and bf16, binary64 for f64, 32 bits for i8 and i32, 64 for i64. A scalar
 * is rounded to the accumulator's type once. A product is rounded before it is
 * added, never fused. Storing rounds to nearest even, or keeps an integer's low
 * bits. Integers wrap. Min and max give NaN if either is one, and -0 < +0.
 */
#ifndef MBE_REDUCE_H
#define MBE_REDUCE_H

#include <stddef.h>
#include <stdint.h>

/*
 * d[i] = d[i] (red) a * s[i]. st is dt or may be added to it
 * (membox_types_add). d and s are the same range or do not overlap, and are
 * aligned to their elements. a is a binary64 bit pattern, here and below.
 */
void mbe_acc(uint8_t dt, uint8_t st, uint8_t red, void *d, const void *s, size_t n, uint64_t a);

/* d[i] = a * d[i] */
void mbe_scale(uint8_t dt, void *d, size_t n, uint64_t a);

/* y[i] = a * x[i] + b * y[i] */
void mbe_axpby(uint8_t dt, uint8_t st, void *y, const void *x, size_t n, uint64_t a, uint64_t b);

struct mbe_source {
	const void *data; /* of its element 0 */
	uint64_t a;
};

/*
 * d[i] = ((t0 + t1) + t2) + ..., tk = a of k * element first + i of k, in the
 * accumulator's type, stored once. A source may be the very range of d.
 */
void mbe_wsum(uint8_t dt, uint8_t st, void *d, const struct mbe_source *terms,
	      unsigned int nterms, size_t first, size_t n);

/*
 * d[i] = ((s0[i] (red) s1[i]) (red) s2[i]) ..., in the accumulator's type, stored once.
 * Sources are aligned to their elements; one may be the very range of d.
 */
void mbe_fold(uint8_t dt, uint8_t st, uint8_t red, void *d, const void *const *sources,
	      unsigned int nsources, size_t n);

/* n elements of `bytes` bytes get the low bytes of value. */
void mbe_fill(void *d, unsigned int bytes, uint64_t value, size_t n);

#endif /* MBE_REDUCE_H */
