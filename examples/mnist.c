/* SPDX-License-Identifier: MIT */
/*
 * mnist.c - trains a perceptron on pictures, in data-parallel processes that
 * share its weights through a membox: on a file, on devices of several machines,
 * or both at once. Every process runs this same program; rank 0 serves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mnist.h"

static void pause_before_step(const struct run *run)
{
	struct timespec ts = { run->o->pause_ms / 1000, run->o->pause_ms % 1000 * 1000000L };

	if (run->o->pause_ms)
		nanosleep(&ts, NULL);
}

/* Adds, with sign -1 or 1, the port's counters to c. */
static void count(struct membox_train *t, uint64_t c[MEMBOX_NR_COUNTERS], int sign)
{
	uint64_t now[MEMBOX_NR_COUNTERS];
	unsigned int i;

	if (!membox_train_box(t) || membox_counters(membox_train_box(t), now))
		return;
	for (i = 0; i < MEMBOX_NR_COUNTERS; i++)
		c[i] += sign < 0 ? -now[i] : now[i];
}

static uint64_t bytes_so_far(struct membox_train *t)
{
	struct membox_train_stats stats = { .size = sizeof(stats) };

	membox_train_stats(t, &stats);
	return stats.sent + stats.received;
}

static int train(struct run *run, struct membox_train *t)
{
	uint64_t served[MEMBOX_NR_COUNTERS] = { 0 }, s;
	unsigned int share;
	double loss;
	int rc;

	run->started = report_now();
	count(t, served, -1);
	for (s = 0; (run->share < 0 || s < run->steps) &&
		    (rc = membox_train_begin(t, s)) > 0; s++) {
		share = (unsigned int)membox_train_rank(t);
		pause_before_step(run);
		loss = run_gradient(run, s, share);
		rc = membox_train_step(t, run_lr(run, s));
		if (rc < 0)
			return rc;
		run_stepped(run, loss, run->o->batch, bytes_so_far(t));
	}
	run->seconds = report_now() - run->started;
	count(t, served, 1);
	if (run->share < 0) {
		run->serve_bytes[0] = served[MEMBOX_CTR_TO_DEVICE];
		run->serve_bytes[1] = served[MEMBOX_CTR_FROM_DEVICE];
	}
	return 0;
}

static int shared_run(struct run *run)
{
	const struct options *o = run->o;
	struct membox_train_config config = {
		.size = sizeof(config), .rank = o->rank, .ranks = o->ranks,
		.box = o->box, .method = o->method,
	};
	struct membox_train *t;
	char who[32];
	int i, rc;

	membox_train_open(&config, &t);
	count(t, run->counter, -1);
	for (i = 0; i < MLP_TENSORS; i++) {
		const struct mlp_tensor *x = &run->mlp.tensor[i];

		membox_train_tensor(t, x->name, MEMBOX_F32, x->w, x->g, x->count);
	}
	rc = membox_train_start(t);
	if (!rc) {
		run->stats.size = sizeof(run->stats);
		membox_train_stats(t, &run->stats);
		snprintf(who, sizeof(who), "%s %d", run->stats.seat ? "worker" : "master",
			 run->stats.seat);
		run->who = who;
		rc = run_prepare(run, (unsigned int)membox_train_ranks(t), membox_train_rank(t));
		if (!rc)
			rc = train(run, t);
		membox_train_stats(t, &run->stats);
		count(t, run->counter, 1);
	}
	i = membox_train_close(t);
	report_clear();
	if (i)
		fprintf(stderr, "mnist: %s (%s)\n", membox_error(), strerror(-i));
	if (rc || i)
		return -1;
	if (run->share >= 0)
		run_test(run);
	report_summary(run);
	return report_json(run);
}

static int local(struct run *run)
{
	/* Seat 0 serves in the real thing: as many shares as it would have. */
	if (run->o->ranks < 2) {
		fprintf(stderr, "mnist: --method local wants --ranks of 2 or more, as ps does\n");
		return -1;
	}
	if (run_prepare(run, run->o->ranks - 1, 0) || local_run(run))
		return -1;
	run_test(run);
	report_summary(run);
	return report_json(run);
}

int main(int argc, char **argv)
{
	struct options o;
	struct run *run = calloc(1, sizeof(*run));
	int rc = options_read(&o, argc, argv);

	if (rc || !run) {
		free(run);
		return run ? rc - 1 : 1;
	}
	run->o = &o;
	rc = data_load(o.data, o.path, o.train, o.test, &run->train, &run->test);
	if (!rc && o.subset)
		rc = data_write_fashion(o.subset, &run->train, &run->test);
	else if (!rc && mlp_init(&run->mlp, run->train.pixels, o.hidden, run->train.classes, o.seed))
		rc = -1;
	else if (!rc)
		rc = !strcmp(o.method, "local") ? local(run) : shared_run(run);
	run_free(run);
	free(run);
	return rc ? 1 : 0;
}
