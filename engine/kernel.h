/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - the loops that reduce.c is made of, compiled once for each instruction
 * set (kernel_*.c, all from kernel_loops.h) and chosen when the program runs.
 *
 * All of them give the same bits, but for which NaN comes out: they are one text in
 * C, no a * b + c is contracted, and conversions are integer arithmetic (types.h). No
 * compiler may reorder what one element is made of, as that takes -ffast-math.
 *
 * An array of pointers is indexed by enum mbe_accumulator, enum membox_type or enum
 * membox_red. d and the source do not overlap; a scalar is a binary64 bit pattern, which
 * is rounded to the accumulator's type.
 */
#ifndef MBE_KERNEL_H
#define MBE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "membox_check.h"

enum mbe_accumulator { MBE_ACC_F32, MBE_ACC_F64, MBE_ACC_I32, MBE_ACC_I64, MBE_NR_ACCS };

struct mbe_kernels {
	const char *name;
	/* elements to accumulators, and back; NULL: they are accumulators as they lie */
	void (*load[MEMBOX_NR_TYPES])(void *d, const void *s, size_t n);
	void (*store[MEMBOX_NR_TYPES])(void *d, const void *s, size_t n);
	/* d[i] = a * d[i] */
	void (*scale[MBE_NR_ACCS])(void *d, uint64_t a, size_t n);
	/* d[i] = a * s[i] */
	void (*scaled[MBE_NR_ACCS])(void *d, const void *s, uint64_t a, size_t n);
	/* d[i] = d[i] (red) s[i] */
	void (*red[MBE_NR_ACCS][MEMBOX_NR_REDS])(void *d, const void *s, size_t n);
	/* d[i] = d[i] (red) a * s[i] */
	void (*red_scaled[MBE_NR_ACCS][MEMBOX_NR_REDS])(void *d, const void *s, uint64_t a, size_t n);
	/* d[i] = a * s[i] + b * d[i] */
	void (*axpby[MBE_NR_ACCS])(void *d, const void *s, uint64_t a, uint64_t b, size_t n);
};

/* One element at a time: the reference. */
extern const struct mbe_kernels mbe_kernels_scalar;
/* What every CPU of this architecture has (x86: SSE2). */
extern const struct mbe_kernels mbe_kernels_base;
#if defined(__x86_64__)
extern const struct mbe_kernels mbe_kernels_avx2, mbe_kernels_avx512;
#endif

/* The best ones for this CPU, or what mbe_kernels_use() said. */
const struct mbe_kernels *mbe_kernels(void);

/* Those that this CPU can execute, scalar first, the best last. How many there are. */
#define MBE_MAX_KERNELS 4
unsigned int mbe_kernels_here(const struct mbe_kernels *list[MBE_MAX_KERNELS]);

/* For tests: from now on these, NULL: the best ones again. */
void mbe_kernels_use(const struct mbe_kernels *k);

#endif /* MBE_KERNEL_H */
