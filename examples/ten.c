/* SPDX-License-Identifier: MIT */
/*
 * ten.c - the whole integration of a trainer is the ten lines between the marks.
 * The model is a plane through made-up points; the ranks find it together:
 *
 *	export MEMBOX=file:/dev/shm/box MEMBOX_METHOD=ps:steps=200 MEMBOX_RANKS=3
 *	ten & ten & ten		# one becomes the master
 */
#include <stdio.h>
#include <stdlib.h>

#include <membox/train.h>

#define INPUTS 8
#define POINTS 16 /* a step and rank */

/* Input i of point p: small whole numbers, so that everything here is exact enough. */
static float input(uint64_t p, unsigned int i)
{
	return (float)((p * 2654435761u >> (3 * i)) % 7) - 3.0f;
}

/* What the ranks have to find: weight i is i + 1. Mean gradient of the squared error. */
static void gradient(const float *w, float *g, uint64_t step, int rank, int ranks)
{
	uint64_t p = (step * (uint64_t)ranks + (uint64_t)rank) * POINTS, end = p + POINTS;
	unsigned int i;

	for (i = 0; i < INPUTS; i++)
		g[i] = 0;
	for (; p < end; p++) {
		float error = 0;

		for (i = 0; i < INPUTS; i++)
			error += (w[i] - (float)(i + 1)) * input(p, i);
		for (i = 0; i < INPUTS; i++)
			g[i] += error * input(p, i) / POINTS;
	}
}

int main(void)
{
	float w[INPUTS] = { 0 }, g[INPUTS];
	struct membox_train *t;
	int serves, i;
	uint64_t s;

	/* ten lines */
	membox_train_open(NULL, &t);
	membox_train_tensor(t, "w", MEMBOX_F32, w, g, INPUTS);
	membox_train_start(t);
	for (s = 0; membox_train_begin(t, s) > 0; s++) {
		gradient(w, g, s, membox_train_rank(t), membox_train_ranks(t));
		membox_train_step(t, 0.05);
	}
	serves = membox_train_rank(t) < 0;
	if (membox_train_close(t))
		return fprintf(stderr, "ten: %s\n", membox_error()), EXIT_FAILURE;
	/* that is all */

	if (serves)
		return EXIT_SUCCESS;
	for (i = 0; i < INPUTS; i++)
		printf("%s%.3f", i ? " " : "", (double)w[i]);
	printf("\n");
	return EXIT_SUCCESS;
}
