/* SPDX-License-Identifier: MIT */
/*
 * types.h - numbers: binary16 and bfloat16 in integer arithmetic (no F16C, no
 * bf16 instructions: every CPU gives the same bits), and the rounding
 * environment of everything that computes. Pure functions, no locks.
 *
 * The conversions have no branch, so that loops of them become vector code.
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

/* Exact: every binary16 is a binary32. */
static inline float mbe_f16_to_f32(uint16_t h)
{
	uint32_t sign = ((uint32_t)h & 0x8000) << 16;
	int32_t em = h & 0x7fff;
	uint32_t normal = ((uint32_t)em << 13) + (112U << 23);
	/* a subnormal's leading bit is moved up to bit 23, at most 10 places */
	uint32_t m = (uint32_t)em << 13, e = 113U << 23, small, k;

	normal += mbe_mask(em > 0x7bff) & (112U << 23); /* infinity and NaN */
#define MBE_NORMALISE_STEP(n) \
	do { \
		k = mbe_mask((int32_t)m < 1 << (24 - (n))); \
		m = (k & m << (n)) | (~k & m); \
		e -= k & (uint32_t)(n) << 23; \
	} while (0)
	MBE_NORMALISE_STEP(8);
	MBE_NORMALISE_STEP(4);
	MBE_NORMALISE_STEP(2);
	MBE_NORMALISE_STEP(1);
#undef MBE_NORMALISE_STEP
	small = mbe_mask(em > 0) & (e + m - (1U << 23));
	k = mbe_mask(em < 0x400);
	return mbe_float_of(sign | (k & small) | (~k & normal));
}

/* Round to nearest, ties to even, also into the subnormals; NaN as for bf16. */
static inline uint16_t mbe_f32_to_f16(float f)
{
	uint32_t x = mbe_bits_of(f);
	uint32_t sign = x >> 16 & 0x8000;
	int32_t mag = (int32_t)(x & 0x7fffffff);
	uint32_t is_nan = mbe_mask(mag > 0x7f800000);
	uint32_t is_big = mbe_mask(mag > 0x477fffff);	/* 65536 and up: infinity */
	uint32_t is_small = mbe_mask(mag < 0x38800000); /* below 2^-14: subnormal or zero */
	uint32_t nan = 0x7e00 | ((uint32_t)mag >> 13 & 0x3ff);
	uint32_t r = (uint32_t)mag - (112U << 23);
	uint32_t normal = (r + 0xfff + (r >> 13 & 1)) >> 13;
	/*
	 * In units of 2^-24 the value is m >> (126 - exponent). The shift is made
	 * in steps by the bits of its amount; what falls out stays visible in
	 * bit 0 ("sticky"), below two more bits that decide the rounding.
	 */
	uint32_t m = (((uint32_t)mag & 0x7fffff) | 0x800000) << 2;
	uint32_t shift = 126U - ((uint32_t)mag >> 23);
	uint32_t k, small;

	/* in the small case 14 ... 126: all that is over 31 leaves nothing */
	k = mbe_mask((int32_t)shift > 31);
	shift = (k & 31) | (~k & shift);
#define MBE_SHIFT_STEP(bit) \
	do { \
		k = 0U - (shift >> (bit) & 1); \
		m = (~k & m) | (k & (m >> (1 << (bit)) | \
		    (uint32_t)((int32_t)(m & ((1U << (1 << (bit))) - 1)) > 0))); \
	} while (0)
	MBE_SHIFT_STEP(0);
	MBE_SHIFT_STEP(1);
	MBE_SHIFT_STEP(2);
	MBE_SHIFT_STEP(3);
	MBE_SHIFT_STEP(4);
#undef MBE_SHIFT_STEP
	small = (m + 1 + (m >> 2 & 1)) >> 2;
	normal = (is_small & small) | (~is_small & normal);
	normal = (is_big & 0x7c00) | (~is_big & normal);
	normal = (is_nan & nan) | (~is_nan & normal);
	return (uint16_t)(sign | normal);
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
