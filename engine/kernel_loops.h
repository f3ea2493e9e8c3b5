/* SPDX-License-Identifier: MIT */
/*
 * kernel_loops.h - the text of the kernels. A kernel_*.c sets the instruction set,
 * defines MBE_KERNELS, the name of its table, and MBE_KERNELS_NAME, and includes this
 * once. Every loop is over whole elements that have nothing to do with one another, so
 * that a compiler makes vectors of them.
 */
#include <string.h>

#include "kernel.h"
#include "types.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* The bytes of a box have no type of their own: these may alias anything. */
typedef float __attribute__((__may_alias__)) f32;
typedef double __attribute__((__may_alias__)) f64;
typedef uint16_t __attribute__((__may_alias__)) b16;
typedef int8_t __attribute__((__may_alias__)) i8;
typedef uint32_t __attribute__((__may_alias__)) u32; /* unsigned: integers wrap */
typedef uint64_t __attribute__((__may_alias__)) u64;

/* ---- load: elements to accumulators; store: back ---- */

#define MAP_LOOP(name, to, from, expr) \
	static void name(void *dv, const void *sv, size_t n) \
	{ \
		to *restrict d = dv; \
		const from *restrict s = sv; \
\
		for (size_t i = 0; i < n; i++) \
			d[i] = (expr); \
	}
MAP_LOOP(load_bf16, f32, b16, mbe_bf16_to_f32(s[i]))
MAP_LOOP(load_i8, u32, i8, (u32)(int32_t)s[i])
MAP_LOOP(store_bf16, b16, f32, mbe_f32_to_bf16(s[i]))
MAP_LOOP(store_i8, i8, u32, (i8)(uint8_t)s[i])

/* Subnormal numbers are looked for in the same pass, and mended when there are any. */
#define F16_LOOP(name, to, from, quick, slow, is_slow) \
	static void name(void *dv, const void *sv, size_t n) \
	{ \
		to *restrict d = dv; \
		const from *restrict s = sv; \
		uint32_t any = 0; \
\
		for (size_t i = 0; i < n; i++) { \
			d[i] = quick(s[i]); \
			any |= (uint32_t)is_slow(s[i]); \
		} \
		for (size_t i = 0; any && i < n; i++) \
			if (is_slow(s[i])) \
				d[i] = slow(s[i]); \
	}
F16_LOOP(load_f16, f32, b16, mbe_f16_to_f32_normal, mbe_f16_to_f32, mbe_f16_is_subnormal)
F16_LOOP(store_f16, b16, f32, mbe_f32_to_f16_normal, mbe_f32_to_f16, mbe_f32_is_small_f16)

/* ---- scalars ---- */

static inline float scalar_f32(uint64_t bits)
{
	return (float)mbe_double_of(bits);
}

static inline double scalar_f64(uint64_t bits)
{
	return mbe_double_of(bits);
}

static inline uint32_t scalar_i32(uint64_t bits)
{
	return (uint32_t)(uint64_t)(int64_t)mbe_double_of(bits);
}

static inline uint64_t scalar_i64(uint64_t bits)
{
	return (uint64_t)(int64_t)mbe_double_of(bits);
}

/* ---- reductions of one element: x (red) y ---- */

/* x or y by sign, when they compare equal: only zeros differ then */
static inline float zeros_f32(float x, float y, int largest)
{
	uint32_t a = mbe_bits_of(x), b = mbe_bits_of(y);

	return mbe_float_of(largest ? a & b : a | b);
}

static inline double zeros_f64(double x, double y, int largest)
{
	uint64_t a = mbe_bits64_of(x), b = mbe_bits64_of(y);

	return mbe_double_of(largest ? a & b : a | b);
}

/* A NaN in y is what a false comparison chooses, one in x is asked for. */
#define PICK(cmp, largest, zeros) \
	(x != x ? x : x == y ? zeros(x, y, largest) : x cmp y ? x : y)

#define MIN_f32 PICK(<, 0, zeros_f32)
#define MAX_f32 PICK(>, 1, zeros_f32)
#define MIN_f64 PICK(<, 0, zeros_f64)
#define MAX_f64 PICK(>, 1, zeros_f64)
#define MIN_i32 ((int32_t)x < (int32_t)y ? x : y)
#define MAX_i32 ((int32_t)x > (int32_t)y ? x : y)
#define MIN_i64 ((int64_t)x < (int64_t)y ? x : y)
#define MAX_i64 ((int64_t)x > (int64_t)y ? x : y)

/* ---- the loops of one accumulator ---- */

#define RED_LOOPS(name, suffix, type, expr) \
	static void name##_##suffix(void *dv, const void *sv, size_t n) \
	{ \
		type *restrict d = dv; \
		const type *restrict s = sv; \
\
		for (size_t i = 0; i < n; i++) { \
			const type x = d[i], y = s[i]; \
\
			d[i] = (expr); \
		} \
	} \
	static void name##_scaled_##suffix(void *dv, const void *sv, uint64_t bits, size_t n) \
	{ \
		type *restrict d = dv; \
		const type *restrict s = sv; \
		const type a = scalar_##suffix(bits); \
\
		for (size_t i = 0; i < n; i++) { \
			const type x = d[i], y = a * s[i]; \
\
			d[i] = (expr); \
		} \
	}

#define LOOPS(suffix, type) \
	RED_LOOPS(sum, suffix, type, x + y) \
	RED_LOOPS(min, suffix, type, MIN_##suffix) \
	RED_LOOPS(max, suffix, type, MAX_##suffix) \
	RED_LOOPS(prod, suffix, type, x * y) \
	static void scale_##suffix(void *dv, uint64_t bits, size_t n) \
	{ \
		type *d = dv; \
		const type a = scalar_##suffix(bits); \
\
		for (size_t i = 0; i < n; i++) \
			d[i] = a * d[i]; \
	} \
	static void scaled_##suffix(void *dv, const void *sv, uint64_t bits, size_t n) \
	{ \
		type *restrict d = dv; \
		const type *restrict s = sv; \
		const type a = scalar_##suffix(bits); \
\
		for (size_t i = 0; i < n; i++) \
			d[i] = a * s[i]; \
	} \
	static void axpby_##suffix(void *dv, const void *sv, uint64_t abits, uint64_t bbits, size_t n) \
	{ \
		type *restrict d = dv; \
		const type *restrict s = sv; \
		const type a = scalar_##suffix(abits), b = scalar_##suffix(bbits); \
\
		for (size_t i = 0; i < n; i++) { \
			const type x = a * s[i], y = b * d[i]; \
\
			d[i] = y + x; \
		} \
	}

LOOPS(f32, f32)
LOOPS(f64, f64)
LOOPS(i32, u32)
LOOPS(i64, u64)

#define RED_ROW(infix, suffix) \
	{ \
		[MEMBOX_SUM] = sum##infix##suffix, [MEMBOX_MIN] = min##infix##suffix, \
		[MEMBOX_MAX] = max##infix##suffix, [MEMBOX_PROD] = prod##infix##suffix, \
	}
#define ROWS(field, of) \
	.field = { \
		[MBE_ACC_F32] = of(f32), [MBE_ACC_F64] = of(f64), \
		[MBE_ACC_I32] = of(i32), [MBE_ACC_I64] = of(i64), \
	}
#define SCALE(suffix) scale_##suffix
#define SCALED(suffix) scaled_##suffix
#define RED(suffix) RED_ROW(_, suffix)
#define RED_SCALED(suffix) RED_ROW(_scaled_, suffix)
#define AXPBY(suffix) axpby_##suffix

const struct mbe_kernels MBE_KERNELS = {
	.name = MBE_KERNELS_NAME,
	.load = { [MEMBOX_F16] = load_f16, [MEMBOX_BF16] = load_bf16, [MEMBOX_I8] = load_i8 },
	.store = { [MEMBOX_F16] = store_f16, [MEMBOX_BF16] = store_bf16, [MEMBOX_I8] = store_i8 },
	ROWS(scale, SCALE),
	ROWS(scaled, SCALED),
	ROWS(red, RED),
	ROWS(red_scaled, RED_SCALED),
	ROWS(axpby, AXPBY),
};
