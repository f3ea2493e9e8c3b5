// SPDX-License-Identifier: MIT
/*
 * kernel_avx512.c - the kernels for AVX-512 (F, BW, DQ, VL); no FMA, no F16C, which would give other bits.
 */
#if defined(__x86_64__)

#include "kernel.h"
#include "types.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC optimize("O3", "fp-contract=off")
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif

#define MBE_KERNELS mbe_kernels_avx512
#define MBE_KERNELS_NAME "avx512"
#include "kernel_loops.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif /* __x86_64__ */
