/* SPDX-License-Identifier: MIT */
/*
 * fmath.h - exp and log of the examples' own. The C library picks its versions
 * by CPU and they differ in the last bit; these are sums and products of
 * binary64 in one fixed order, so that a host and a guest get equal weights.
 */
#ifndef EXAMPLES_FMATH_H
#define EXAMPLES_FMATH_H

/* Relative error below 1e-13. Under -700 the answer is 0, over 700 that of 700. */
double fm_exp(double x);

/* x > 0 and normal; absolute error below 1e-11. */
double fm_log(double x);

#endif
