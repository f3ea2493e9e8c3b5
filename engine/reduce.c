// SPDX-License-Identifier: MIT
/*
 * reduce.c - the arithmetic of reduce.h: for each accumulator type the loops
 * load, multiply, reduce and store, joined block by block through buffers that
 * stay in the first-level cache. Owns nothing, locks nothing.
 */
#if defined(__GNUC__) && !defined(__clang__)
/* At -O2 this compiler leaves most of these loops scalar, whoever builds the file. */
#pragma GCC optimize("O3", "fp-contract=off")
#endif

#include "reduce.h"

#include <string.h>

#include "membox_check.h"
#include "types.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#define MBE_BLOCK 512 /* elements */
#define MBE_ONE 0x3ff0000000000000ULL

/* The bytes of a box have no type of their own: these may alias anything. */
typedef float __attribute__((__may_alias__)) f32;
typedef double __attribute__((__may_alias__)) f64;
typedef uint16_t __attribute__((__may_alias__)) b16;
typedef int8_t __attribute__((__may_alias__)) i8;
typedef uint32_t __attribute__((__may_alias__)) u32; /* unsigned: integers wrap */
typedef uint64_t __attribute__((__may_alias__)) u64;

union mbe_block {
	f32 f32[MBE_BLOCK];
	f64 f64[MBE_BLOCK];
	u32 u32[MBE_BLOCK];
	u64 u64[MBE_BLOCK];
} __attribute__((__aligned__(64)));

enum mbe_accumulator { ACC_F32, ACC_F64, ACC_I32, ACC_I64 };

static enum mbe_accumulator accumulator_of(uint8_t type)
{
	switch (type) {
	case MEMBOX_F64:
		return ACC_F64;
	case MEMBOX_I8:
	case MEMBOX_I32:
		return ACC_I32;
	case MEMBOX_I64:
		return ACC_I64;
	default:
		return ACC_F32;
	}
}

/* ---- load: elements to accumulators; store: back ---- */

#define MAP_LOOP(name, to, from, expr) \
	static void name(to *restrict d, const from *restrict s, size_t n) \
	{ \
		for (size_t i = 0; i < n; i++) \
			d[i] = (expr); \
	}
MAP_LOOP(load_bf16, f32, b16, mbe_bf16_to_f32(s[i]))
MAP_LOOP(load_i8, u32, i8, (u32)(int32_t)s[i])
MAP_LOOP(store_bf16, b16, f32, mbe_f32_to_bf16(s[i]))
MAP_LOOP(store_i8, i8, u32, (i8)(uint8_t)s[i])

/* Subnormal numbers are looked for in the same pass, and mended when there are any. */
#define F16_LOOP(name, to, from, quick, slow, is_slow) \
	static void name(to *restrict d, const from *restrict s, size_t n) \
	{ \
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

static void load(uint8_t type, union mbe_block *t, const void *s, size_t n)
{
	switch (type) {
	case MEMBOX_F16:
		load_f16(t->f32, s, n);
		break;
	case MEMBOX_BF16:
		load_bf16(t->f32, s, n);
		break;
	case MEMBOX_I8:
		load_i8(t->u32, s, n);
		break;
	default:
		memcpy(t, s, n * membox_type_bytes(type));
	}
}

static void store(uint8_t type, void *d, const union mbe_block *t, size_t n)
{
	switch (type) {
	case MEMBOX_F16:
		store_f16(d, t->f32, n);
		break;
	case MEMBOX_BF16:
		store_bf16(d, t->f32, n);
		break;
	case MEMBOX_I8:
		store_i8(d, t->u32, n);
		break;
	default:
		memcpy(d, t, n * membox_type_bytes(type));
	}
}

/* Are elements of this type accumulators as they lie? */
static bool is_wide(uint8_t type)
{
	return type == MEMBOX_F32 || type == MEMBOX_F64 || type == MEMBOX_I32 ||
	       type == MEMBOX_I64;
}

/* ---- multiply by a scalar ---- */

#define MUL_LOOP(name, type) \
	static void name(type *d, const type a, size_t n) \
	{ \
		for (size_t i = 0; i < n; i++) \
			d[i] = a * d[i]; \
	}
MUL_LOOP(mul_f32, f32)
MUL_LOOP(mul_f64, f64)
MUL_LOOP(mul_u32, u32)
MUL_LOOP(mul_u64, u64)

static void multiply(enum mbe_accumulator acc, union mbe_block *t, uint64_t bits, size_t n)
{
	double a = mbe_double_of(bits);

	if (bits == MBE_ONE)
		return;
	switch (acc) {
	case ACC_F32:
		mul_f32(t->f32, (float)a, n);
		break;
	case ACC_F64:
		mul_f64(t->f64, a, n);
		break;
	case ACC_I32:
		mul_u32(t->u32, (u32)(uint64_t)(int64_t)a, n);
		break;
	case ACC_I64:
		mul_u64(t->u64, (u64)(int64_t)a, n);
		break;
	}
}

/* ---- reduce ---- */

#define RED_LOOP(name, type, expr) \
	static void name(type *restrict d, const type *restrict t, size_t n) \
	{ \
		for (size_t i = 0; i < n; i++) { \
			const type x = d[i], y = t[i]; \
\
			d[i] = (expr); \
		} \
	}

/* x or y by sign, when they compare equal: only zeros differ then */
static inline float zeros_f32(float x, float y, bool largest)
{
	uint32_t a = mbe_bits_of(x), b = mbe_bits_of(y);

	return mbe_float_of(largest ? a & b : a | b);
}

static inline double zeros_f64(double x, double y, bool largest)
{
	uint64_t a = mbe_bits64_of(x), b = mbe_bits64_of(y);

	return mbe_double_of(largest ? a & b : a | b);
}

/* A NaN in y is what a false comparison chooses, one in x is asked for. */
#define PICK(cmp, largest, zeros) \
	(x != x ? x : x == y ? zeros(x, y, largest) : x cmp y ? x : y)

RED_LOOP(sum_f32, f32, x + y)
RED_LOOP(min_f32, f32, PICK(<, false, zeros_f32))
RED_LOOP(max_f32, f32, PICK(>, true, zeros_f32))
RED_LOOP(prod_f32, f32, x * y)
RED_LOOP(sum_f64, f64, x + y)
RED_LOOP(min_f64, f64, PICK(<, false, zeros_f64))
RED_LOOP(max_f64, f64, PICK(>, true, zeros_f64))
RED_LOOP(prod_f64, f64, x * y)
RED_LOOP(sum_i32, u32, x + y)
RED_LOOP(min_i32, u32, (int32_t)x < (int32_t)y ? x : y)
RED_LOOP(max_i32, u32, (int32_t)x > (int32_t)y ? x : y)
RED_LOOP(prod_i32, u32, x * y)
RED_LOOP(sum_i64, u64, x + y)
RED_LOOP(min_i64, u64, (int64_t)x < (int64_t)y ? x : y)
RED_LOOP(max_i64, u64, (int64_t)x > (int64_t)y ? x : y)
RED_LOOP(prod_i64, u64, x * y)

/* d[i] += a * t[i], for the case that matters most: one pass over both */
#define SCALED_LOOP(name, type) \
	static void name(type *restrict d, const type *restrict t, const type a, size_t n) \
	{ \
		for (size_t i = 0; i < n; i++) { \
			const type y = a * t[i]; \
\
			d[i] = d[i] + y; \
		} \
	}
SCALED_LOOP(add_scaled_f32, f32)
SCALED_LOOP(add_scaled_f64, f64)

#define RED_SWITCH(suffix) \
	do { \
		switch (red) { \
		case MEMBOX_MIN: \
			min_##suffix(d, t, n); \
			break; \
		case MEMBOX_MAX: \
			max_##suffix(d, t, n); \
			break; \
		case MEMBOX_PROD: \
			prod_##suffix(d, t, n); \
			break; \
		default: \
			sum_##suffix(d, t, n); \
		} \
	} while (0)

/* d[i] = d[i] (red) t[i], both accumulators that do not overlap */
static void reduce(enum mbe_accumulator acc, uint8_t red, void *d, const void *t, size_t n)
{
	switch (acc) {
	case ACC_F32:
		RED_SWITCH(f32);
		break;
	case ACC_F64:
		RED_SWITCH(f64);
		break;
	case ACC_I32:
		RED_SWITCH(i32);
		break;
	case ACC_I64:
		RED_SWITCH(i64);
		break;
	}
}

/* ---- what operations are made of ---- */

static inline size_t block_of(size_t left)
{
	return left < MBE_BLOCK ? left : MBE_BLOCK;
}

/*
 * The term a * s[0 ... n) as accumulators: in buf, or where it lies if nothing
 * has to be done to it.
 */
static const void *term(uint8_t type, union mbe_block *buf, const void *s, uint64_t a, size_t n)
{
	if (is_wide(type) && a == MBE_ONE)
		return s;
	load(type, buf, s, n);
	multiply(accumulator_of(type), buf, a, n);
	return buf;
}

/* The sum of f32 and f32, or f64 and f64, times a scalar. True: done. */
static bool add_scaled(uint8_t dt, uint8_t st, uint8_t red, void *d, const void *s, size_t n, uint64_t a)
{
	if (dt != st || red != MEMBOX_SUM || a == MBE_ONE || d == s)
		return false;
	if (dt == MEMBOX_F32)
		add_scaled_f32(d, s, (float)mbe_double_of(a), n);
	else if (dt == MEMBOX_F64)
		add_scaled_f64(d, s, mbe_double_of(a), n);
	else
		return false;
	return true;
}

void mbe_acc(uint8_t dt, uint8_t st, uint8_t red, void *d, const void *s, size_t n, uint64_t a)
{
	enum mbe_accumulator acc = accumulator_of(dt);
	size_t dsize = membox_type_bytes(dt), ssize = membox_type_bytes(st);
	union mbe_block tbuf, dbuf;
	char *to = d;
	const char *from = s;

	if (add_scaled(dt, st, red, d, s, n, a))
		return;
	for (size_t i = 0, m; i < n; i += m, to += m * dsize, from += m * ssize) {
		const void *t;

		m = block_of(n - i);
		t = term(st, &tbuf, from, a, m);
		if (is_wide(dt) && t != to) {
			reduce(acc, red, to, t, m);
			continue;
		}
		load(dt, &dbuf, to, m);
		reduce(acc, red, &dbuf, t, m);
		store(dt, to, &dbuf, m);
	}
}

void mbe_scale(uint8_t dt, void *d, size_t n, uint64_t a)
{
	size_t size = membox_type_bytes(dt);
	union mbe_block buf;
	char *to = d;

	for (size_t i = 0, m; i < n; i += m, to += m * size) {
		m = block_of(n - i);
		load(dt, &buf, to, m);
		multiply(accumulator_of(dt), &buf, a, m);
		store(dt, to, &buf, m);
	}
}

void mbe_axpby(uint8_t dt, uint8_t st, void *y, const void *x, size_t n, uint64_t a, uint64_t b)
{
	size_t dsize = membox_type_bytes(dt), ssize = membox_type_bytes(st);
	union mbe_block xbuf, ybuf;
	char *to = y;
	const char *from = x;

	for (size_t i = 0, m; i < n; i += m, to += m * dsize, from += m * ssize) {
		const void *t;

		m = block_of(n - i);
		t = term(st, &xbuf, from, a, m);
		load(dt, &ybuf, to, m);
		multiply(accumulator_of(dt), &ybuf, b, m);
		reduce(accumulator_of(dt), MEMBOX_SUM, &ybuf, t, m);
		store(dt, to, &ybuf, m);
	}
}

void mbe_wsum(uint8_t dt, uint8_t st, void *d, const struct mbe_source *terms,
	      unsigned int nterms, size_t first, size_t n)
{
	enum mbe_accumulator acc = accumulator_of(dt);
	size_t dsize = membox_type_bytes(dt), ssize = membox_type_bytes(st);
	union mbe_block tbuf, sum;
	char *to = d;

	for (size_t i = 0, m; i < n; i += m, to += m * dsize) {
		size_t at = (first + i) * ssize;

		m = block_of(n - i);
		load(st, &sum, (const char *)terms[0].data + at, m);
		multiply(acc, &sum, terms[0].a, m);
		for (unsigned int k = 1; k < nterms; k++)
			reduce(acc, MEMBOX_SUM, &sum,
			       term(st, &tbuf, (const char *)terms[k].data + at, terms[k].a, m), m);
		store(dt, to, &sum, m);
	}
}

#define FILL_LOOP(type) \
	do { \
		type *p = d; \
\
		for (size_t i = 0; i < n; i++) \
			p[i] = (type)value; \
	} while (0)

void mbe_fill(void *d, unsigned int bytes, uint64_t value, size_t n)
{
	switch (bytes) {
	case 1:
		memset(d, (int)(value & 0xff), n);
		break;
	case 2:
		FILL_LOOP(b16);
		break;
	case 4:
		FILL_LOOP(u32);
		break;
	default:
		FILL_LOOP(u64);
	}
}
