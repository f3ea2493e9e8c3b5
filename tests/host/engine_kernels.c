// SPDX-License-Identifier: MIT
/*
 * engine_kernels.c - every instruction set that this CPU has computes what the scalar
 * reference does, bit for bit (a NaN stands for any NaN), for all types, reductions,
 * lengths and alignments, on ordinary numbers and on all that are special; and touches
 * nothing beside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel.h"
#include "reduce.h"
#include "types.h"

#define MOST 1100 /* elements: two blocks of reduce.c and a rest */
#define SHIFTS 9  /* alignments, in elements */
#define ROOM ((MOST + SHIFTS) * 8 + 64)
#define SOURCES 5
#define GUARD 0xa5

static const uint8_t types[] = { MEMBOX_F32, MEMBOX_F64, MEMBOX_F16, MEMBOX_BF16,
				 MEMBOX_I8,  MEMBOX_I32, MEMBOX_I64 };
#define NR_TYPES (sizeof(types) / sizeof(types[0]))
static const double scalars[] = { 1, 0, -2, 3, 0.1, -1e30 };
#define NR_SCALARS (sizeof(scalars) / sizeof(scalars[0]))
static const uint32_t lengths[] = { 1,	2,  3,	4,  5,	7,   8,	  9,   15,  16,	 17,  31,  32,
				    33, 47, 63, 64, 65, 127, 128, 129, 255, 511, 512, 513, MOST };
#define NR_LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static uint8_t first[ROOM], source[SOURCES][ROOM], want[ROOM], got[ROOM];
static const struct mbe_kernels *kernels[MBE_MAX_KERNELS];
static unsigned int nr_kernels;
static uint64_t seed;

static uint64_t next_random(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 20 ^ seed << 30;
}

/* ---- numbers, the special ones among them ---- */

struct layout {
	unsigned int exponent, fraction; /* bits */
};

static struct layout layout_of(uint8_t type)
{
	switch (type) {
	case MEMBOX_F32:
		return (struct layout){ 8, 23 };
	case MEMBOX_F64:
		return (struct layout){ 11, 52 };
	case MEMBOX_F16:
		return (struct layout){ 5, 10 };
	default:
		return (struct layout){ 8, 7 };
	}
}

static uint64_t special(struct layout l)
{
	uint64_t ones = ((1ULL << l.exponent) - 1) << l.fraction, r = next_random();
	uint64_t magnitude;

	switch (r % 9) {
	case 0:
		magnitude = 0;
		break;
	case 1:
		magnitude = ones; /* infinity */
		break;
	case 2:
		magnitude = ones | 1ULL << (l.fraction - 1); /* NaN */
		break;
	case 3:
		magnitude = 1; /* smallest subnormal */
		break;
	case 4:
		magnitude = (1ULL << l.fraction) - 1; /* largest */
		break;
	case 5:
		magnitude = 1ULL << l.fraction; /* smallest normal */
		break;
	case 6:
		magnitude = ones - 1; /* largest number */
		break;
	case 7:
		magnitude = ones | 1; /* a NaN that signals */
		break;
	default:
		magnitude = r >> 8 & ((1ULL << l.fraction) - 1); /* any subnormal */
	}
	return magnitude | (r >> 63) << (l.exponent + l.fraction);
}

/* Exponents near each other, so that sums and products round and are not all lost. */
static uint64_t ordinary(struct layout l)
{
	uint64_t bias = (1ULL << (l.exponent - 1)) - 1, r = next_random();
	uint64_t exponent = bias - 6 + r % 13;

	return exponent << l.fraction | (r >> 8 & ((1ULL << l.fraction) - 1)) |
	       (r >> 63) << (l.exponent + l.fraction);
}

static void make(uint8_t type, uint8_t *at, unsigned int specials)
{
	uint32_t bytes = membox_type_bytes(type);

	for (unsigned int i = 0; i < MOST + SHIFTS; i++) {
		uint64_t v = next_random();

		if (!membox_type_is_int(type))
			v = v % 100 < specials ? special(layout_of(type)) : ordinary(layout_of(type));
		else if (v % 100 < specials)
			v = v & 256 ? 0x8000000080000080ULL : 0x7fffffff7fffff7fULL;
		memcpy(at + i * bytes, &v, bytes);
	}
}

static uint64_t bits_of(double a)
{
	return mbe_bits64_of(a);
}

/* ---- comparing ---- */

static int is_nan(uint8_t type, uint64_t v)
{
	struct layout l = layout_of(type);
	uint64_t magnitude = v & ((1ULL << (l.exponent + l.fraction)) - 1);

	return !membox_type_is_int(type) && magnitude > ((1ULL << l.exponent) - 1) << l.fraction;
}

static void compare(const char *name, const char *what, uint8_t type, unsigned int n, unsigned int shift)
{
	uint32_t bytes = membox_type_bytes(type);

	if (!memcmp(got, want, ROOM))
		return;
	for (unsigned int i = 0; i < (MOST + SHIFTS); i++) {
		uint64_t a = 0, b = 0;

		memcpy(&a, want + i * bytes, bytes);
		memcpy(&b, got + i * bytes, bytes);
		if (a == b || (is_nan(type, a) && is_nan(type, b) && i >= shift && i < shift + n))
			continue;
		fail_msg("%s: %s of type %u, %u elements at %u: element %u is %#llx, not %#llx", name, what,
			 type, n, shift, i - shift, (unsigned long long)b, (unsigned long long)a);
	}
	/* what is behind the elements */
	assert_memory_equal(got + (MOST + SHIFTS) * bytes, want + (MOST + SHIFTS) * bytes,
			    ROOM - (MOST + SHIFTS) * bytes);
}

/* ---- one operation, done by every set ---- */

struct work {
	uint8_t dt, st, red;
	unsigned int n, to, from; /* elements, and where they begin */
	uint64_t a, b;
	int same; /* the source is the destination */
};

static void do_acc(const struct work *w, uint8_t *d)
{
	mbe_acc(w->dt, w->st, w->red, d, w->same ? d : source[0] + w->from * membox_type_bytes(w->st), w->n,
		w->a);
}

static void do_axpby(const struct work *w, uint8_t *d)
{
	mbe_axpby(w->dt, w->st, d, w->same ? d : source[0] + w->from * membox_type_bytes(w->st), w->n, w->a,
		  w->b);
}

static void do_scale(const struct work *w, uint8_t *d)
{
	mbe_scale(w->dt, d, w->n, w->a);
}

static void do_wsum(const struct work *w, uint8_t *d)
{
	struct mbe_source terms[SOURCES];

	for (unsigned int i = 0; i < SOURCES; i++)
		terms[i] = (struct mbe_source){ source[i], i ? w->a : w->b };
	if (w->same)
		terms[2].data = d - w->from * membox_type_bytes(w->dt);
	mbe_wsum(w->dt, w->st, d, terms, 1 + w->n % SOURCES, w->from, w->n);
}

static void by_all(void (*fn)(const struct work *w, uint8_t *d), const char *what, const struct work *w)
{
	uint32_t at = w->to * membox_type_bytes(w->dt);

	mbe_kernels_use(kernels[0]);
	memcpy(want, first, ROOM);
	fn(w, want + at);
	for (unsigned int k = 1; k < nr_kernels; k++) {
		mbe_kernels_use(kernels[k]);
		memcpy(got, first, ROOM);
		fn(w, got + at);
		compare(kernels[k]->name, what, w->dt, w->n, w->to);
	}
	mbe_kernels_use(NULL);
}

static void fresh(uint8_t dt, uint8_t st, unsigned int specials)
{
	memset(first, GUARD, ROOM);
	make(dt, first, specials);
	for (unsigned int i = 0; i < SOURCES; i++)
		make(st, source[i], specials);
}

static void over_lengths(void (*fn)(const struct work *w, uint8_t *d), const char *what, struct work w)
{
	for (unsigned int i = 0; i < NR_LENGTHS; i++) {
		w.n = lengths[i];
		w.to = i % SHIFTS;
		w.from = (i / 2 + 3 * i) % SHIFTS;
		w.same = 0;
		by_all(fn, what, &w);
		w.same = w.dt == w.st;
		by_all(fn, what, &w);
	}
}

static void each_case(void (*fn)(const struct work *w, uint8_t *d), const char *what, int reds)
{
	for (unsigned int i = 0; i < NR_TYPES; i++) {
		for (unsigned int j = 0; j < NR_TYPES; j++) {
			if (!membox_types_add(types[j], types[i]))
				continue;
			for (uint8_t red = 1; red < (reds ? MEMBOX_NR_REDS : 2); red++) {
				for (unsigned int a = 0; a < NR_SCALARS; a++) {
					struct work w = { .dt = types[i], .st = types[j], .red = red };

					w.a = bits_of(scalars[a]);
					w.b = bits_of(scalars[(a + 2) % NR_SCALARS]);
					if (membox_type_is_int(types[i]) &&
					    !(membox_scalar_is_whole(w.a) && membox_scalar_is_whole(w.b)))
						continue;
					fresh(types[i], types[j], a % 2 ? 30 : 2);
					over_lengths(fn, what, w);
				}
			}
		}
	}
}

static void acc_is_the_same_everywhere(void **state)
{
	(void)state;
	each_case(do_acc, "ACC", 1);
}

static void axpby_is_the_same_everywhere(void **state)
{
	(void)state;
	each_case(do_axpby, "AXPBY", 0);
}

static void scale_is_the_same_everywhere(void **state)
{
	(void)state;
	each_case(do_scale, "SCALE", 0);
}

static void wsum_is_the_same_everywhere(void **state)
{
	(void)state;
	each_case(do_wsum, "WSUM", 0);
}

/* All 65,536 numbers of 16 bits, and binary32 ones around every rounding. */
static void conversions_are_the_same_everywhere(void **state)
{
	static const uint8_t small[] = { MEMBOX_F16, MEMBOX_BF16 };
	static uint16_t half[1 << 16], back[2][1 << 16];
	static uint32_t wide[2][1 << 16];

	(void)state;
	for (unsigned int i = 0; i < 1 << 16; i++)
		half[i] = (uint16_t)i;
	for (unsigned int t = 0; t < 2; t++) {
		for (unsigned int k = 1; k < nr_kernels; k++) {
			kernels[0]->load[small[t]](wide[0], half, 1 << 16);
			kernels[k]->load[small[t]](wide[1], half, 1 << 16);
			assert_memory_equal(wide[0], wide[1], sizeof(wide[0]));
			for (uint32_t delta = 0; delta < 16; delta++) {
				for (unsigned int i = 0; i < 1 << 16; i++)
					wide[1][i] = i << 16 | (i * 0x9e37U + delta * 0x1fff) % 0x10000;
				kernels[0]->store[small[t]](back[0], wide[1], 1 << 16);
				kernels[k]->store[small[t]](back[1], wide[1], 1 << 16);
				assert_memory_equal(back[0], back[1], sizeof(back[0]));
			}
		}
	}
}

static int set_up(void **state)
{
	(void)state;
	nr_kernels = mbe_kernels_here(kernels);
	for (unsigned int k = 0; k < nr_kernels; k++)
		print_message("# %s\n", kernels[k]->name);
	assert_true(nr_kernels >= 2);
	seed = 20261;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acc_is_the_same_everywhere),
		cmocka_unit_test(axpby_is_the_same_everywhere),
		cmocka_unit_test(scale_is_the_same_everywhere),
		cmocka_unit_test(wsum_is_the_same_everywhere),
		cmocka_unit_test(conversions_are_the_same_everywhere),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
