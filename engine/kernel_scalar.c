// SPDX-License-Identifier: MIT
/*
 * kernel_scalar.c - the kernels one element at a time: what the others are compared with.
 */
#if defined(__clang__)
#pragma clang optimize off
#elif defined(__GNUC__)
#pragma GCC optimize("no-tree-vectorize", "no-tree-slp-vectorize", "fp-contract=off")
#endif

#define MBE_KERNELS mbe_kernels_scalar
#define MBE_KERNELS_NAME "scalar"
#include "kernel_loops.h"
