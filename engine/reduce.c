// SPDX-License-Identifier: MIT
/*
 * reduce.c - the arithmetic of reduce.h, from the kernels that this CPU has (kernel.h).
 * Elements that are accumulators as they lie are computed in one pass where they are;
 * others go block by block through buffers that stay in the first-level cache. Owns
 * nothing, locks nothing.
 */
#include "reduce.h"

#include <stdbool.h>
#include <string.h>

#include "kernel.h"
#include "membox_check.h"

#define MBE_BLOCK 512 /* elements */
#define MBE_ONE 0x3ff0000000000000ULL

typedef uint16_t __attribute__((__may_alias__)) u16;
typedef uint32_t __attribute__((__may_alias__)) u32;
typedef uint64_t __attribute__((__may_alias__)) u64;

/* Accumulators of any type. */
union mbe_block {
	uint32_t word[MBE_BLOCK];
	uint64_t wide[MBE_BLOCK];
} __attribute__((__aligned__(64)));

static enum mbe_accumulator accumulator_of(uint8_t type)
{
	switch (type) {
	case MEMBOX_F64:
		return MBE_ACC_F64;
	case MEMBOX_I8:
	case MEMBOX_I32:
		return MBE_ACC_I32;
	case MEMBOX_I64:
		return MBE_ACC_I64;
	default:
		return MBE_ACC_F32;
	}
}

static inline size_t block_of(size_t left)
{
	return left < MBE_BLOCK ? left : MBE_BLOCK;
}

/* Are elements of this type accumulators as they lie? */
static bool is_wide(const struct mbe_kernels *k, uint8_t type)
{
	return !k->load[type];
}

/* n elements at s as accumulators: in buf, or where they lie. */
static const void *load(const struct mbe_kernels *k, uint8_t type, union mbe_block *buf,
			const void *s, size_t n)
{
	if (is_wide(k, type))
		return s;
	k->load[type](buf, s, n);
	return buf;
}

/* d[i] = d[i] (red) a * s[i], of accumulators */
static void reduce(const struct mbe_kernels *k, enum mbe_accumulator acc, uint8_t red, void *d,
		   const void *s, uint64_t a, size_t n)
{
	if (a == MBE_ONE)
		k->red[acc][red](d, s, n);
	else
		k->red_scaled[acc][red](d, s, a, n);
}

static void scale(const struct mbe_kernels *k, enum mbe_accumulator acc, void *d, uint64_t a,
		  size_t n)
{
	if (a != MBE_ONE)
		k->scale[acc](d, a, n);
}

void mbe_acc(uint8_t dt, uint8_t st, uint8_t red, void *d, const void *s, size_t n, uint64_t a)
{
	const struct mbe_kernels *k = mbe_kernels();
	enum mbe_accumulator acc = accumulator_of(dt);
	size_t dsize = membox_type_bytes(dt), ssize = membox_type_bytes(st);
	union mbe_block sbuf, dbuf;
	char *to = d;
	const char *from = s;

	if (is_wide(k, dt) && is_wide(k, st) && d != s) {
		reduce(k, acc, red, d, s, a, n);
		return;
	}
	for (size_t i = 0, m; i < n; i += m, to += m * dsize, from += m * ssize) {
		m = block_of(n - i);
		if (is_wide(k, dt)) {
			if (is_wide(k, st)) /* the very same range */
				memcpy(&sbuf, from, m * ssize);
			else
				k->load[st](&sbuf, from, m);
			reduce(k, acc, red, to, &sbuf, a, m);
		} else {
			k->load[st](&sbuf, from, m);
			k->load[dt](&dbuf, to, m);
			reduce(k, acc, red, &dbuf, &sbuf, a, m);
			k->store[dt](to, &dbuf, m);
		}
	}
}

void mbe_scale(uint8_t dt, void *d, size_t n, uint64_t a)
{
	const struct mbe_kernels *k = mbe_kernels();
	enum mbe_accumulator acc = accumulator_of(dt);
	size_t size = membox_type_bytes(dt);
	union mbe_block buf;
	char *to = d;

	if (is_wide(k, dt)) {
		scale(k, acc, d, a, n);
		return;
	}
	for (size_t i = 0, m; i < n; i += m, to += m * size) {
		m = block_of(n - i);
		k->load[dt](&buf, to, m);
		scale(k, acc, &buf, a, m);
		k->store[dt](to, &buf, m);
	}
}

void mbe_axpby(uint8_t dt, uint8_t st, void *y, const void *x, size_t n, uint64_t a, uint64_t b)
{
	const struct mbe_kernels *k = mbe_kernels();
	enum mbe_accumulator acc = accumulator_of(dt);
	size_t dsize = membox_type_bytes(dt), ssize = membox_type_bytes(st);
	union mbe_block xbuf, ybuf;
	char *to = y;
	const char *from = x;

	if (is_wide(k, dt) && is_wide(k, st) && x != y) {
		k->axpby[acc](y, x, a, b, n);
		return;
	}
	for (size_t i = 0, m; i < n; i += m, to += m * dsize, from += m * ssize) {
		m = block_of(n - i);
		if (is_wide(k, st)) /* and dt, and the very same range */
			memcpy(&xbuf, from, m * ssize);
		else
			k->load[st](&xbuf, from, m);
		if (is_wide(k, dt)) {
			k->axpby[acc](to, &xbuf, a, b, m);
		} else {
			k->load[dt](&ybuf, to, m);
			k->axpby[acc](&ybuf, &xbuf, a, b, m);
			k->store[dt](to, &ybuf, m);
		}
	}
}

/* Each block of the sum is complete before the next is begun: one pass over all sources. */
void mbe_wsum(uint8_t dt, uint8_t st, void *d, const struct mbe_source *terms,
	      unsigned int nterms, size_t first, size_t n)
{
	const struct mbe_kernels *k = mbe_kernels();
	enum mbe_accumulator acc = accumulator_of(dt);
	size_t dsize = membox_type_bytes(dt), ssize = membox_type_bytes(st);
	union mbe_block tbuf, sum;
	char *to = d;

	for (size_t i = 0, m; i < n; i += m, to += m * dsize) {
		size_t at = (first + i) * ssize;

		m = block_of(n - i);
		k->scaled[acc](&sum, load(k, st, &tbuf, (const char *)terms[0].data + at, m),
			       terms[0].a, m);
		for (unsigned int j = 1; j < nterms; j++)
			reduce(k, acc, MEMBOX_SUM, &sum,
			       load(k, st, &tbuf, (const char *)terms[j].data + at, m),
			       terms[j].a, m);
		if (is_wide(k, dt))
			memcpy(to, &sum, m * dsize);
		else
			k->store[dt](to, &sum, m);
	}
}

void mbe_fold(uint8_t dt, uint8_t st, uint8_t red, void *d, const void *const *sources,
	      unsigned int nsources, size_t n)
{
	const struct mbe_kernels *k = mbe_kernels();
	enum mbe_accumulator acc = accumulator_of(dt);
	size_t dsize = membox_type_bytes(dt), ssize = membox_type_bytes(st);
	union mbe_block tbuf, result;
	char *to = d;

	for (size_t i = 0, m; i < n; i += m, to += m * dsize) {
		m = block_of(n - i);
		if (is_wide(k, st))
			memcpy(&result, (const char *)sources[0] + i * ssize, m * ssize);
		else
			k->load[st](&result, (const char *)sources[0] + i * ssize, m);
		for (unsigned int j = 1; j < nsources; j++)
			k->red[acc][red](&result,
					 load(k, st, &tbuf, (const char *)sources[j] + i * ssize, m), m);
		if (is_wide(k, dt))
			memcpy(to, &result, m * dsize);
		else
			k->store[dt](to, &result, m);
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
		FILL_LOOP(u16);
		break;
	case 4:
		FILL_LOOP(u32);
		break;
	default:
		FILL_LOOP(u64);
	}
}
