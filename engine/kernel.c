// SPDX-License-Identifier: MIT
/*
 * kernel.c - which kernels this CPU gets. Owns the choice, which is made once and
 * may be made by two threads at once: they choose alike.
 */
#include "kernel.h"

static const struct mbe_kernels *chosen; /* atomic; NULL: not yet */

unsigned int mbe_kernels_here(const struct mbe_kernels *list[MBE_MAX_KERNELS])
{
	unsigned int n = 0;

	list[n++] = &mbe_kernels_scalar;
	list[n++] = &mbe_kernels_base;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2"))
		list[n++] = &mbe_kernels_avx2;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		list[n++] = &mbe_kernels_avx512;
#endif
	return n;
}

const struct mbe_kernels *mbe_kernels(void)
{
	const struct mbe_kernels *k = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
	const struct mbe_kernels *list[MBE_MAX_KERNELS];

	if (__builtin_expect(!k, 0)) {
		k = list[mbe_kernels_here(list) - 1];
		__atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
	}
	return k;
}

void mbe_kernels_use(const struct mbe_kernels *k)
{
	__atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
}
