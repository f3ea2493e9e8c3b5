// SPDX-License-Identifier: MIT
/*
 * kernel_base.c - the kernels for what every CPU of the architecture has.
 */
#if defined(__GNUC__) && !defined(__clang__)
/* At -O2 this compiler leaves most of these loops scalar, whoever builds the file. */
#pragma GCC optimize("O3", "fp-contract=off")
#endif

#define MBE_KERNELS mbe_kernels_base
#define MBE_KERNELS_NAME "base"
#include "kernel_loops.h"
