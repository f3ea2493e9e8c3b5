/* SPDX-License-Identifier: MIT */
/* run.c - one training run: which samples each share takes when, and the bookkeeping. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mnist.h"

#define FNV_OFFSET 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

int run_prepare(struct run *run, unsigned int shares, int share)
{
	const struct options *o = run->o;

	run->shares = shares;
	run->share = share;
	run->steps_an_epoch = run->train.count / shares / o->batch;
	run->steps = run->steps_an_epoch * o->epochs;
	if (run->steps_an_epoch)
		return 0;
	fprintf(stderr, "mnist: %u samples make no batch of %u for each of %u shares\n",
		run->train.count, o->batch, shares);
	return -1;
}

double run_gradient(struct run *run, uint64_t step, unsigned int share)
{
	unsigned int batch = run->o->batch, epoch = (unsigned int)(step / run->steps_an_epoch);
	unsigned int first = (unsigned int)(step % run->steps_an_epoch) * batch, i;
	unsigned int count = data_share_count(&run->train, share, run->shares);
	const uint8_t **x = malloc(batch * sizeof(*x));
	uint32_t *order = malloc(count * sizeof(*order));
	uint8_t *y = malloc(batch);
	double loss;

	if (!x || !order || !y) {
		fprintf(stderr, "mnist: out of memory\n");
		exit(1);
	}
	data_share_order(&run->train, share, run->shares, run->o->seed, epoch, order);
	for (i = 0; i < batch; i++) {
		x[i] = run->train.x + (size_t)order[first + i] * run->train.pixels;
		y[i] = run->train.y[order[first + i]];
	}
	loss = mlp_gradient(&run->mlp, x, y, batch);
	free(x);
	free(order);
	free(y);
	return loss;
}

double run_lr(const struct run *run, uint64_t step)
{
	unsigned int epoch = (unsigned int)(step / run->steps_an_epoch);

	return run->o->lr * (run->o->epochs - epoch) / run->o->epochs;
}

/* FNV-1a over the bytes of all weights */
static uint64_t hash_weights(const struct mlp *m)
{
	const uint8_t *at = (const uint8_t *)m->w, *end = at + m->count * sizeof(float);
	uint64_t h = FNV_OFFSET;

	while (at < end)
		h = (h ^ *at++) * FNV_PRIME;
	return h;
}

void run_stepped(struct run *run, double loss_sum, unsigned int samples, uint64_t bytes)
{
	bool over = ++run->step % run->steps_an_epoch == 0;

	run->samples += samples;
	run->loss[run->epochs_done] += loss_sum / ((double)samples * run->steps_an_epoch);
	if (over) {
		run->weights[run->epochs_done] = hash_weights(&run->mlp);
		run->epochs_done++;
	}
	report_progress(run, loss_sum / samples, bytes, over);
}

void run_test(struct run *run)
{
	unsigned int i;

	run->correct = 0;
	for (i = 0; i < run->test.count; i++)
		run->correct += mlp_classify(&run->mlp, run->test.x + (size_t)i * run->test.pixels) ==
				run->test.y[i];
}

void run_free(struct run *run)
{
	data_free(&run->train);
	data_free(&run->test);
	mlp_free(&run->mlp);
}
