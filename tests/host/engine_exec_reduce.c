// SPDX-License-Identifier: MIT
/*
 * engine_exec_reduce.c - arithmetic on elements, every type and reduction, against
 * a reference written from the rules: values are decoded to binary64, computed one
 * at a time and rounded by scaling and rint().
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "membox_check.h"
#include "reduce.h"
#include "types.h"

#define ONE 0x3ff0000000000000ULL

/* ---- the reference: one number at a time ---- */

struct small_float {
	int digits;   /* after the point */
	int emin;     /* exponent of the smallest normal number */
	int exp_bits;
};
static const struct small_float half = { 10, -14, 5 }, brain = { 7, -126, 8 };

static double ref_decode(const struct small_float *f, uint16_t h)
{
	int exponent = (h & 0x7fff) >> f->digits, fraction = h & ((1 << f->digits) - 1);
	double v;

	if (exponent == (1 << f->exp_bits) - 1)
		v = fraction ? NAN : INFINITY;
	else if (exponent)
		v = ldexp(fraction + (1 << f->digits), exponent - 1 + f->emin - f->digits);
	else
		v = ldexp(fraction, f->emin - f->digits);
	return h & 0x8000 ? -v : v;
}

static uint16_t ref_encode(const struct small_float *f, double x)
{
	uint16_t sign = signbit(x) ? 0x8000 : 0, inf = (uint16_t)(((1 << f->exp_bits) - 1) << f->digits);
	double v = fabs(x);
	int e;

	if (isnan(x))
		return (uint16_t)(sign | inf | 1 << (f->digits - 1));
	if (isinf(x))
		return sign | inf;
	if (v == 0)
		return sign;
	e = ilogb(v) < f->emin ? f->emin : ilogb(v);
	v = rint(ldexp(v, f->digits - e)); /* in units of the last place: to even at a tie */
	/* a carry into the next exponent, or from subnormal to normal, adds up by itself */
	v += ldexp(e - f->emin, f->digits);
	return v >= inf ? sign | inf : (uint16_t)(sign | (uint16_t)v);
}

union value {
	double f;   /* floating types */
	uint64_t i; /* integers, sign-extended */
};

static bool is_float(uint8_t type)
{
	return !membox_type_is_int(type);
}

static union value get(uint8_t type, const void *at, size_t i)
{
	const uint8_t *p = (const uint8_t *)at + i * membox_type_bytes(type);
	union value v = { .i = 0 };
	uint64_t raw = 0;

	memcpy(&raw, p, membox_type_bytes(type));
	switch (type) {
	case MEMBOX_F32:
		v.f = mbe_float_of((uint32_t)raw);
		break;
	case MEMBOX_F64:
		v.f = mbe_double_of(raw);
		break;
	case MEMBOX_F16:
		v.f = ref_decode(&half, (uint16_t)raw);
		break;
	case MEMBOX_BF16:
		v.f = ref_decode(&brain, (uint16_t)raw);
		break;
	case MEMBOX_I8:
		v.i = (uint64_t)(int64_t)(int8_t)raw;
		break;
	case MEMBOX_I32:
		v.i = (uint64_t)(int64_t)(int32_t)raw;
		break;
	default:
		v.i = raw;
	}
	return v;
}

/* To the accumulator's precision. */
static union value narrow(uint8_t type, union value v)
{
	if (type == MEMBOX_F64 || type == MEMBOX_I64)
		return v;
	if (is_float(type))
		v.f = (double)(float)v.f;
	else
		v.i = (uint64_t)(int64_t)(int32_t)v.i;
	return v;
}

static uint64_t encode(uint8_t type, union value v)
{
	switch (type) {
	case MEMBOX_F32:
		return mbe_bits_of((float)v.f);
	case MEMBOX_F64:
		return mbe_bits64_of(v.f);
	case MEMBOX_F16:
		return ref_encode(&half, v.f);
	case MEMBOX_BF16:
		return ref_encode(&brain, v.f);
	case MEMBOX_I8:
		return v.i & 0xff;
	case MEMBOX_I32:
		return v.i & 0xffffffff;
	default:
		return v.i;
	}
}

/*
 * In binary64 the sum and product of two binary32 numbers round to the right
 * binary32 (53 >= 2 * 24 + 2), so one more rounding is all that is needed.
 */
static union value ref_mul(uint8_t type, double a, union value x)
{
	union value v;

	if (is_float(type))
		v.f = (type == MEMBOX_F64 ? a : (double)(float)a) * x.f;
	else
		v.i = (uint64_t)(int64_t)a * x.i;
	return narrow(type, v);
}

static double ref_extreme(double x, double y, bool largest)
{
	if (isnan(x) || isnan(y))
		return NAN;
	if (x == y)
		return signbit(x) == (largest ? 0 : signbit(x) | signbit(y)) ? x : y;
	return (x > y) == largest ? x : y;
}

static union value ref_red(uint8_t type, uint8_t red, union value x, union value y)
{
	union value v;

	if (is_float(type)) {
		switch (red) {
		case MEMBOX_SUM:
			v.f = x.f + y.f;
			break;
		case MEMBOX_PROD:
			v.f = x.f * y.f;
			break;
		default:
			v.f = ref_extreme(x.f, y.f, red == MEMBOX_MAX);
		}
		return narrow(type, v);
	}
	switch (red) {
	case MEMBOX_SUM:
		v.i = x.i + y.i;
		break;
	case MEMBOX_PROD:
		v.i = x.i * y.i;
		break;
	default:
		v = ((int64_t)x.i > (int64_t)y.i) == (red == MEMBOX_MAX) ? x : y;
	}
	return narrow(type, v);
}

/* ---- data ---- */

static uint64_t rng = 88172645463325252ULL;

static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static const double special[] = {
	0.0, -0.0, 1.0, -1.0, 0x1p-14, 0x1p-24, 0x1.8p-24, -0x1p-24, 0x1p-133, 0x1p-149, 65504.0, 65519.0,
	65520.0, -65520.0, 0x1.fffffep127, -0x1.fffffep127, INFINITY, -INFINITY, NAN, 0x1p-1074, 1.7e308,
	127.0, 2147483647.0, 0x1.004p0, 3.0,
};
#define SPECIALS (sizeof(special) / sizeof(special[0]))

/* Random bits, random moderate numbers and special ones, mixed. */
static void make_data(uint8_t type, void *to, size_t n)
{
	size_t size = membox_type_bytes(type);

	for (size_t i = 0; i < n; i++) {
		uint64_t r = next_random(), bits = next_random();
		union value v;

		if (is_float(type) && r % 4) {
			v.f = r % 4 == 1 ? special[bits % SPECIALS] : ((double)(bits % 20001) - 10000) / 64;
			bits = encode(type, v);
		}
		memcpy((uint8_t *)to + i * size, &bits, size);
	}
}

static bool same_bits(uint8_t type, uint64_t want, const void *at, size_t i)
{
	uint64_t got = 0;

	memcpy(&got, (const uint8_t *)at + i * membox_type_bytes(type), membox_type_bytes(type));
	if (got == want)
		return true;
	return is_float(type) && isnan(get(type, &want, 0).f) && isnan(get(type, &got, 0).f);
}

static void check_bits(uint8_t type, uint64_t want, const void *at, size_t i, const char *what)
{
	uint64_t got = 0;

	if (same_bits(type, want, at, i))
		return;
	memcpy(&got, (const uint8_t *)at + i * membox_type_bytes(type), membox_type_bytes(type));
	fail_msg("%s, element %zu of type %u: %#llx, should be %#llx", what, i, type,
		 (unsigned long long)got, (unsigned long long)want);
}

struct pair {
	uint8_t dt, st;
};
static const struct pair pairs[] = {
	{ MEMBOX_F32, MEMBOX_F32 },   { MEMBOX_F64, MEMBOX_F64 }, { MEMBOX_F16, MEMBOX_F16 },
	{ MEMBOX_BF16, MEMBOX_BF16 }, { MEMBOX_I8, MEMBOX_I8 },	  { MEMBOX_I32, MEMBOX_I32 },
	{ MEMBOX_I64, MEMBOX_I64 },   { MEMBOX_F32, MEMBOX_F16 }, { MEMBOX_F32, MEMBOX_BF16 },
};
#define PAIRS (sizeof(pairs) / sizeof(pairs[0]))
static const size_t lengths[] = { 1, 2, 3, 7, 64, 511, 512, 513, 1537 };
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))
static const double scalars[] = { 1, -1, 0, 3, -7, 9007199254740992.0, 0.5, -0.1, 1e-30, 1e300 };
#define WHOLE_SCALARS 6
#define SCALARS (sizeof(scalars) / sizeof(scalars[0]))
#define MAX_N 1600

static size_t scalars_of(uint8_t type)
{
	return is_float(type) ? SCALARS : WHOLE_SCALARS;
}

/* Buffers with guard bytes behind the last element. */
static _Alignas(64) uint8_t d0[MAX_N * 8 + 8], d1[MAX_N * 8 + 8], src[MAX_N * 8 + 8];

static void prepare(const struct pair *t, size_t n)
{
	memset(d0, 0xa5, sizeof(d0));
	make_data(t->dt, d0, n);
	memcpy(d1, d0, sizeof(d0));
	make_data(t->st, src, n);
}

static void check_guard(uint8_t type, size_t n)
{
	for (size_t i = n * membox_type_bytes(type); i < sizeof(d1); i++)
		assert_int_equal(d1[i], 0xa5);
}

/* ---- tests ---- */

static void every_16_bit_float_survives_a_round_trip(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		float f = mbe_f16_to_f32((uint16_t)h), b = mbe_bf16_to_f32((uint16_t)h);
		double want = ref_decode(&half, (uint16_t)h);

		assert_true(isnan(want) ? isnan(f) : (double)f == want && !signbit(f) == !signbit(want));
		want = ref_decode(&brain, (uint16_t)h);
		assert_true(isnan(want) ? isnan(b) : (double)b == want && !signbit(b) == !signbit(want));
		if (!isnan(f))
			assert_int_equal(mbe_f32_to_f16(f), h);
		else
			assert_true((mbe_f32_to_f16(f) & 0x7fff) > 0x7c00);
		if (!isnan(b))
			assert_int_equal(mbe_f32_to_bf16(b), h);
		else
			assert_true((mbe_f32_to_bf16(b) & 0x7fff) > 0x7f80);
	}
}

static void check_rounding(uint32_t bits)
{
	for (int32_t k = -2; k <= 2; k++) {
		float f = mbe_float_of(bits + (uint32_t)k);

		if (isnan(f))
			continue;
		assert_int_equal(mbe_f32_to_f16(f), ref_encode(&half, (double)f));
		assert_int_equal(mbe_f32_to_bf16(f), ref_encode(&brain, (double)f));
	}
}

static void conversions_round_to_nearest_even(void **state)
{
	(void)state;
	/* around every number, every middle between two, and every bf16 likewise */
	for (uint32_t h = 0; h < 65536; h++) {
		double v = ref_decode(&half, (uint16_t)h), up = ref_decode(&half, (uint16_t)(h + 1));

		if (isfinite(v)) {
			check_rounding(mbe_bits_of((float)v));
			check_rounding(mbe_bits_of((float)(isfinite(up) ? (v + up) / 2 : v * 1.01)));
		}
		check_rounding(h << 16);
		check_rounding(h << 16 | 0x8000);
	}
	for (uint32_t i = 0; i < 2000000; i++)
		check_rounding((uint32_t)next_random());
}

static void accumulation_follows_the_reference(void **state)
{
	(void)state;
	for (size_t k = 0; k < PAIRS * LENGTHS * 4; k++) {
		const struct pair *t = &pairs[k % PAIRS];
		size_t n = lengths[k / PAIRS % LENGTHS];
		uint8_t red = (uint8_t)(1 + k / PAIRS / LENGTHS);

		for (size_t s = 0; s < scalars_of(t->dt); s++) {
			double a = scalars[s];

			prepare(t, n);
			mbe_acc(t->dt, t->st, red, d1, src, n, mbe_bits64_of(a));
			for (size_t i = 0; i < n; i++) {
				union value x = get(t->dt, d0, i);
				union value y = ref_mul(t->dt, a, get(t->st, src, i));

				check_bits(t->dt, encode(t->dt, ref_red(t->dt, red, x, y)), d1, i, "acc");
			}
			check_guard(t->dt, n);
		}
	}
}

static void accumulating_a_range_onto_itself_reads_it_first(void **state)
{
	(void)state;
	for (size_t k = 0; k < 7; k++) {
		const struct pair *t = &pairs[k];

		prepare(t, 1000);
		mbe_acc(t->dt, t->st, MEMBOX_SUM, d1, d1, 1000, ONE);
		for (size_t i = 0; i < 1000; i++) {
			union value x = get(t->dt, d0, i);

			check_bits(t->dt, encode(t->dt, ref_red(t->dt, MEMBOX_SUM, x, x)), d1, i, "self");
		}
	}
}

static void scaling_follows_the_reference(void **state)
{
	(void)state;
	for (size_t k = 0; k < 7 * LENGTHS; k++) {
		const struct pair *t = &pairs[k % 7];
		size_t n = lengths[k / 7];

		for (size_t s = 0; s < scalars_of(t->dt); s++) {
			prepare(t, n);
			mbe_scale(t->dt, d1, n, mbe_bits64_of(scalars[s]));
			for (size_t i = 0; i < n; i++)
				check_bits(t->dt, encode(t->dt, ref_mul(t->dt, scalars[s], get(t->dt, d0, i))),
					   d1, i, "scale");
			check_guard(t->dt, n);
		}
	}
}

static void axpby_rounds_each_product_and_the_sum(void **state)
{
	(void)state;
	for (size_t k = 0; k < PAIRS * LENGTHS; k++) {
		const struct pair *t = &pairs[k % PAIRS];
		size_t n = lengths[k / PAIRS];

		for (size_t s = 0; s < scalars_of(t->dt); s++) {
			double a = scalars[s], b = scalars[(s + 3) % WHOLE_SCALARS];

			prepare(t, n);
			mbe_axpby(t->dt, t->st, d1, src, n, mbe_bits64_of(a), mbe_bits64_of(b));
			for (size_t i = 0; i < n; i++) {
				union value x = ref_mul(t->dt, a, get(t->st, src, i));
				union value y = ref_mul(t->dt, b, get(t->dt, d0, i));

				check_bits(t->dt, encode(t->dt, ref_red(t->dt, MEMBOX_SUM, x, y)), d1, i,
					   "axpby");
			}
			check_guard(t->dt, n);
		}
	}
}

static void nothing_is_fused(void **state)
{
	/* (1 + e)(1 - e) = 1 - e^2 rounds to 1, so the sum is 0; fused it would be -e^2 */
	double e = 0x1p-30, x = 1 - e, y = -1, a = 1 + e;

	(void)state;
	mbe_axpby(MEMBOX_F64, MEMBOX_F64, &y, &x, 1, mbe_bits64_of(a), ONE);
	assert_true(y == 0);
	y = -1;
	mbe_acc(MEMBOX_F64, MEMBOX_F64, MEMBOX_SUM, &y, &x, 1, mbe_bits64_of(a));
	assert_true(y == 0);
}

static void weighted_sums_fold_in_list_order(void **state)
{
	static _Alignas(64) uint8_t data[9][MAX_N * 8];
	struct mbe_source terms[9];

	(void)state;
	for (size_t k = 0; k < PAIRS * LENGTHS * 2; k++) {
		const struct pair *t = &pairs[k % PAIRS];
		size_t n = lengths[k / PAIRS % LENGTHS], first = k % 5;
		unsigned int nterms = k / PAIRS / LENGTHS ? 9 : 1;

		prepare(t, n);
		for (unsigned int j = 0; j < nterms; j++) {
			make_data(t->st, data[j], n + first);
			terms[j].data = data[j];
			terms[j].a = mbe_bits64_of(scalars[(j + k) % scalars_of(t->dt)]);
		}
		mbe_wsum(t->dt, t->st, d1, terms, nterms, first, n);
		for (size_t i = 0; i < n; i++) {
			union value sum = ref_mul(t->dt, mbe_double_of(terms[0].a),
						  get(t->st, data[0], first + i));

			for (unsigned int j = 1; j < nterms; j++)
				sum = ref_red(t->dt, MEMBOX_SUM, sum,
					      ref_mul(t->dt, mbe_double_of(terms[j].a),
						      get(t->st, data[j], first + i)));
			check_bits(t->dt, encode(t->dt, sum), d1, i, "wsum");
		}
		check_guard(t->dt, n);
	}
}

static void the_order_of_a_weighted_sum_matters(void **state)
{
	float x[3] = { 1, 0x1p-24f, 0x1p-24f }, sum;
	struct mbe_source small_last[] = { { &x[0], ONE }, { &x[1], ONE }, { &x[2], ONE } };
	struct mbe_source small_first[] = { { &x[1], ONE }, { &x[2], ONE }, { &x[0], ONE } };

	(void)state;
	mbe_wsum(MEMBOX_F32, MEMBOX_F32, &sum, small_last, 3, 0, 1);
	assert_true(sum == 1);
	mbe_wsum(MEMBOX_F32, MEMBOX_F32, &sum, small_first, 3, 0, 1);
	assert_true(sum == 1 + 0x1p-23f);
}

static void a_whole_reduction_rounds_once_and_a_lone_acc_each_time(void **state)
{
	uint16_t one = 0x3c00, tiny = 0x1000, sum = one; /* 1, 2^-11: half of a unit of 1 */
	struct mbe_source terms[] = { { &one, ONE }, { &tiny, ONE }, { &tiny, ONE } };

	(void)state;
	mbe_acc(MEMBOX_F16, MEMBOX_F16, MEMBOX_SUM, &sum, &tiny, 1, ONE);
	mbe_acc(MEMBOX_F16, MEMBOX_F16, MEMBOX_SUM, &sum, &tiny, 1, ONE);
	assert_int_equal(sum, 0x3c00);
	mbe_wsum(MEMBOX_F16, MEMBOX_F16, &sum, terms, 3, 0, 1);
	assert_int_equal(sum, 0x3c01);
}

static void a_weighted_sum_may_overwrite_one_of_its_terms(void **state)
{
	float x[700], y[700];
	struct mbe_source terms[] = { { x, mbe_bits64_of(2) }, { y, ONE } };

	(void)state;
	for (int i = 0; i < 700; i++) {
		x[i] = (float)i;
		y[i] = 1000;
	}
	mbe_wsum(MEMBOX_F32, MEMBOX_F32, y, terms, 2, 0, 700);
	for (int i = 0; i < 700; i++)
		assert_true(y[i] == (float)(2 * i + 1000));
}

static void filling_repeats_the_element(void **state)
{
	(void)state;
	for (unsigned int size = 1; size <= 8; size *= 2) {
		uint64_t value = 0x1122334455667788ULL;

		memset(d1, 0, sizeof(d1));
		mbe_fill(d1, size, value, 100);
		for (unsigned int i = 0; i < 100; i++)
			assert_memory_equal(d1 + i * size, &value, size);
		assert_int_equal(d1[100 * size], 0);
	}
}

static void the_rounding_environment_is_set_and_restored(void **state)
{
#if defined(__x86_64__)
	uint32_t before = _mm_getcsr(), mine = before | 0x8040 | 0x4000; /* FTZ, DAZ, round up */
	struct mbe_fp fp;
	volatile float tiny = 0x1p-140f, two = 2;

	(void)state;
	_mm_setcsr(mine);
	assert_true(tiny * two == 0);
	mbe_fp_enter(&fp);
	assert_true(tiny * two == 0x1p-139f);
	mbe_fp_leave(&fp);
	assert_int_equal(_mm_getcsr() & MBE_MXCSR_CONTROL, mine & MBE_MXCSR_CONTROL);
	_mm_setcsr(before);
	mbe_fp_enter(&fp);
	assert_false(fp.changed);
	mbe_fp_leave(&fp);
#else
	struct mbe_fp fp;

	(void)state;
	fesetround(FE_UPWARD);
	mbe_fp_enter(&fp);
	assert_int_equal(fegetround(), FE_TONEAREST);
	mbe_fp_leave(&fp);
	assert_int_equal(fegetround(), FE_UPWARD);
	fesetround(FE_TONEAREST);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_16_bit_float_survives_a_round_trip),
		cmocka_unit_test(conversions_round_to_nearest_even),
		cmocka_unit_test(accumulation_follows_the_reference),
		cmocka_unit_test(accumulating_a_range_onto_itself_reads_it_first),
		cmocka_unit_test(scaling_follows_the_reference),
		cmocka_unit_test(axpby_rounds_each_product_and_the_sum),
		cmocka_unit_test(nothing_is_fused),
		cmocka_unit_test(weighted_sums_fold_in_list_order),
		cmocka_unit_test(the_order_of_a_weighted_sum_matters),
		cmocka_unit_test(a_whole_reduction_rounds_once_and_a_lone_acc_each_time),
		cmocka_unit_test(a_weighted_sum_may_overwrite_one_of_its_terms),
		cmocka_unit_test(filling_repeats_the_element),
		cmocka_unit_test(the_rounding_environment_is_set_and_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
