/* SPDX-License-Identifier: MIT */
/* fmath.c - exp and log by range reduction to a power of two and a short series. */
#include "fmath.h"

#include <stdint.h>
#include <string.h>

#define EXP_LIMIT 700.0
#define EXP_TERMS 13	/* |r| <= ln2 / 2: r^14 / 14! is below 1e-17 */
#define LOG_TERMS 12	/* |z| <= 0.1716: z^25 / 25 is below 1e-20 */
#define LOG2_E 1.4426950408889634
#define LN2_HIGH 0.6931471803691238	   /* 33 bits: exact when multiplied by an exponent */
#define LN2_LOW 1.9082149292705877e-10
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023

/* 2^k for -1022 <= k <= 1023 */
static double power_of_two(int k)
{
	uint64_t bits = (uint64_t)(k + EXPONENT_BIAS) << MANTISSA_BITS;
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

double fm_exp(double x)
{
	double r, sum = 1.0, term = 1.0;
	int k, i;

	if (x < -EXP_LIMIT)
		return 0.0;
	if (x > EXP_LIMIT)
		x = EXP_LIMIT;
	k = (int)(x * LOG2_E + (x < 0 ? -0.5 : 0.5));
	r = (x - k * LN2_HIGH) - k * LN2_LOW;
	for (i = 1; i <= EXP_TERMS; i++) {
		term = term * r / i;
		sum += term;
	}
	return sum * power_of_two(k);
}

/* log m = 2 artanh((m - 1) / (m + 1)) with m in [sqrt(1/2), sqrt(2)) */
double fm_log(double x)
{
	double m, z, z2, term, sum = 0.0;
	uint64_t bits;
	int k, i;

	memcpy(&bits, &x, sizeof(bits));
	k = (int)(bits >> MANTISSA_BITS) - EXPONENT_BIAS;
	m = x * power_of_two(-k);
	if (m > 1.4142135623730951) {
		m *= 0.5;
		k++;
	}
	z = (m - 1.0) / (m + 1.0);
	z2 = z * z;
	term = z;
	for (i = 0; i < LOG_TERMS; i++) {
		sum += term / (2 * i + 1);
		term *= z2;
	}
	return (k * LN2_LOW + 2.0 * sum) + k * LN2_HIGH;
}
