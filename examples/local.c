/* SPDX-License-Identifier: MIT */
/*
 * local.c - what method "ps" computes, in one process and without the library:
 * each share's gradient by itself, S = ((c0 + c1) + c2) + ... with c = (1/shares) g
 * in the order of ranks, then w = -lr S + w. Results must be equal bit for bit.
 */
#include <stdlib.h>
#include <string.h>

#include "mnist.h"

/* "2-1-3" to shares 1, 0, 2; without it 0, 1, 2. */
static int read_order(const char *text, unsigned int shares, unsigned int *order)
{
	bool seen[MEMBOX_MAX_RANKS] = { false };
	unsigned int i;
	char *end;

	for (i = 0; i < shares; i++) {
		unsigned long v = text ? strtoul(text, &end, 10) : i + 1;

		if (v < 1 || v > shares || seen[v - 1] ||
		    (text && *end != (i + 1 < shares ? '-' : 0))) {
			fprintf(stderr, "mnist: --order wants each rank of 1 to %u once, with - between\n",
				shares);
			return -1;
		}
		seen[v - 1] = true;
		order[i] = (unsigned int)v - 1;
		text = text ? end + 1 : NULL;
	}
	return 0;
}

static void fold(float *sum, const float *g, float a, size_t n, bool first)
{
	size_t i;

	for (i = 0; i < n; i++) {
		float c = a * g[i];

		sum[i] = first ? c : sum[i] + c;
	}
}

static void update(float *w, const float *sum, float a, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		w[i] = a * sum[i] + w[i];
}

int local_run(struct run *run)
{
	unsigned int order[MEMBOX_MAX_RANKS], shares = run->shares, i;
	struct mlp *m = &run->mlp;
	float *g = malloc(shares * m->count * sizeof(float));
	float *sum = malloc(m->count * sizeof(float));
	uint64_t step;
	int rc = -1;

	run->who = "local";
	if (!g || !sum)
		fprintf(stderr, "mnist: out of memory\n");
	else
		rc = read_order(run->o->order, shares, order);
	run->started = report_now();
	for (step = 0; !rc && step < run->steps; step++) {
		double loss = 0;

		for (i = 0; i < shares; i++) {
			loss += run_gradient(run, step, i);
			memcpy(g + i * m->count, m->g, m->count * sizeof(float));
		}
		for (i = 0; i < shares; i++)
			fold(sum, g + order[i] * m->count, (float)(1.0 / (int)shares), m->count, !i);
		update(m->w, sum, (float)-run_lr(run, step), m->count);
		run_stepped(run, loss, shares * run->o->batch, 0);
	}
	run->seconds = report_now() - run->started;
	free(g);
	free(sum);
	return rc;
}
