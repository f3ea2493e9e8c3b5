// SPDX-License-Identifier: MIT
/*
 * kernel_avx2.c - the kernels for AVX2; no FMA, no F16C, which would give other bits.
 */
#if defined(__x86_64__)

#include "kernel.h"
#include "types.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC optimize("O3", "fp-contract=off")
#pragma GCC target("avx2")
#endif

#define MBE_KERNELS mbe_kernels_avx2
#define MBE_KERNELS_NAME "avx2"
#include "kernel_loops.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif /* __x86_64__ */
