// SPDX-License-Identifier: MIT
/*
 * allreduce.c - method "allreduce": synchronous data parallel training without a
 * master. All ranks are shares. In every step one all-reduce sums the gradients of all,
 * each divided by their number before, in rank order; every rank then makes the same
 * update, so that their weights stay equal bit for bit. A trainer with a rule of its own
 * steps with learning rate 0 and finds the mean gradient where its own was.
 *
 * A step begins with a word of each rank (ALLGATHER): whether it goes on, is done or has
 * failed, and its learning rate. After a failure all take the text of the lowest rank
 * that failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reduce.h"
#include "train.h"
#include "types.h"

#define MAX_SECONDS 290.0
#define ONE 0x3ff0000000000000ULL

enum state { GOES_ON, DONE, FAILED };

/* What a rank says at the beginning of a step. */
struct word {
	uint64_t state;
	double lr;
};

struct failure {
	int64_t error;
	char text[MBT_TEXT];
};

struct allreduce {
	/* options */
	char job[MBT_JOB_BYTES];
	uint64_t steps; /* 0: until the trainer stops */
	double lr;
	int64_t timeout, start_timeout;

	void *mean; /* of the model: what is summed */
};

static const struct mbt_option options[] = {
	{ "job", "name of this training in the box", "train", MBT_TEXT_OPTION, offsetof(struct allreduce, job), 0,
	  0 },
	{ "steps", "steps to train; 0: until the trainer stops", "0", MBT_WHOLE, offsetof(struct allreduce, steps),
	  0, 1e15 },
	{ "lr", "learning rate of steps that are given 0; 0: the trainer updates", "0", MBT_REAL,
	  offsetof(struct allreduce, lr), 0, 1e6 },
	{ "timeout", "seconds after which a rank is late", "60", MBT_SECONDS, offsetof(struct allreduce, timeout),
	  0.01, MAX_SECONDS },
	{ "start", "seconds to wait for all ranks at the start", "120", MBT_SECONDS,
	  offsetof(struct allreduce, start_timeout), 0.01, MAX_SECONDS },
	{ 0 },
};

static struct allreduce *state_of(struct membox_train *t)
{
	return t->state;
}

static int member(struct membox_train *t, enum mbt_member what, int rank)
{
	struct allreduce *a = state_of(t);
	int64_t limit = t->phase == MBT_OPEN ? a->start_timeout : a->timeout;

	switch (what) {
	case MBT_DEAD:
		return mbt_fail(t, -EOWNERDEAD, "rank %d died in step %" PRIu64, rank, t->stats.steps);
	case MBT_LATE:
		return mbt_fail(t, -ETIMEDOUT, "rank %d is late: nothing of step %" PRIu64 " within %.3g s", rank,
				t->stats.steps, (double)limit / (double)MBT_SECOND);
	case MBT_LEFT:
		return mbt_fail(t, -ECONNABORTED, "rank %d left in step %" PRIu64 " without being done", rank,
				t->stats.steps);
	default:
		return 0;
	}
}

/* A refused packet tells of no rank: who is missing? */
static int find_missing(struct membox_train *t)
{
	struct membox_group_info info = { .size = sizeof(info) };
	int r;

	if (membox_group_info(t->group, &info))
		return mbt_fail_core(t, -ECONNABORTED, "looking after the others");
	for (r = 0; r < t->ranks; r++)
		if (info.state[r] != MEMBOX_SEAT_LIVE)
			return member(t, info.state[r] == MEMBOX_SEAT_DEAD ? MBT_DEAD : MBT_LEFT, r);
	return mbt_fail(t, -ECONNABORTED, "a rank left in step %" PRIu64 ", and came back", t->stats.steps);
}

/* One collective, and what became of it. */
static int run(struct membox_train *t, struct membox_op *op, const char *doing)
{
	struct allreduce *a = state_of(t);
	struct membox_done done = { 0 };
	int64_t begun = mbt_now();
	int rc;

	op->timeout = t->phase == MBT_OPEN ? a->start_timeout : a->timeout;
	rc = membox_run(t->box, op, &done);
	t->stats.wait_ns += (uint64_t)(mbt_now() - begun);
	switch (rc ? done.status : MEMBOX_ST_OK) {
	case MEMBOX_ST_OK:
		return rc ? mbt_fail_core(t, rc, doing) : 0;
	case MEMBOX_ST_RANK_DEAD:
		return member(t, MBT_DEAD, (int)done.result);
	case MEMBOX_ST_TIMED_OUT:
		return member(t, MBT_LATE, (int)done.result);
	case MEMBOX_ST_BAD_EPOCH:
		return done.detail ? find_missing(t) : member(t, MBT_LEFT, (int)done.result);
	default:
		return mbt_fail_core(t, rc, doing);
	}
}

/* Has anybody failed? Then all have, with the text of the lowest rank that did. */
static int agree(struct membox_train *t)
{
	struct failure mine = { t->error, "" }, all[MEMBOX_MAX_RANKS];
	struct membox_op op;
	int r;

	if (t->error)
		memcpy(mine.text, t->text, sizeof(mine.text));
	membox_prep_allgather(&op, t->group, &mine, all, sizeof(mine), MEMBOX_I8);
	if (run(t, &op, "telling each other how it goes"))
		return t->error;
	t->stats.sent += sizeof(mine);
	t->stats.received += (uint64_t)t->ranks * sizeof(mine);
	for (r = 0; r < t->ranks && !all[r].error; r++)
		;
	if (r == t->ranks)
		return 0;
	all[r].text[MBT_TEXT - 1] = 0;
	t->error = 0; /* the lowest rank's error is everybody's */
	return mbt_fail(t, (int)all[r].error, "%s", all[r].text);
}

/* Rank 0's text to all: its length, then it. */
static char *spread_text(struct membox_train *t, char *text)
{
	int64_t bytes = t->rank ? 0 : (int64_t)strlen(text) + 1;
	struct membox_op op;
	char *theirs;

	membox_prep_broadcast(&op, t->group, &bytes, 1, MEMBOX_I64, 0);
	if (run(t, &op, "comparing models"))
		return NULL;
	theirs = malloc((size_t)bytes);
	if (!theirs) {
		mbt_fail(t, -ENOMEM, "comparing models: out of memory");
		return NULL;
	}
	if (!t->rank)
		memcpy(theirs, text, (size_t)bytes);
	membox_prep_broadcast(&op, t->group, theirs, (uint64_t)bytes, MEMBOX_I8, 0);
	if (run(t, &op, "comparing models")) {
		free(theirs);
		return NULL;
	}
	theirs[bytes - 1] = 0;
	*(t->rank ? &t->stats.received : &t->stats.sent) += (uint64_t)bytes + sizeof(bytes);
	return theirs;
}

static int compare_models(struct membox_train *t)
{
	char title[MEMBOX_NAME_BYTES], *ours, *theirs;

	snprintf(title, sizeof(title), "membox %s 1, %d ranks", t->method->name, t->ranks);
	ours = mbt_model_describe(&t->model, title);
	if (!ours)
		return mbt_fail(t, -ENOMEM, "comparing models: out of memory");
	theirs = spread_text(t, ours);
	if (theirs)
		mbt_model_compare(t, title, theirs);
	free(theirs);
	free(ours);
	return theirs ? agree(t) : t->error;
}

static int start(struct membox_train *t)
{
	struct allreduce *a = state_of(t);
	struct mbt_model *m = &t->model;
	struct membox_op op;
	int rc;

	a->mean = malloc(m->bytes);
	if (!a->mean)
		return mbt_fail(t, -ENOMEM, "a model of %zu bytes: out of memory", m->bytes);
	rc = membox_group_join(t->box, a->job, t->ranks, t->rank, a->start_timeout, &t->group);
	if (rc)
		return mbt_fail(t, rc, "joining job '%s': %s", a->job, membox_error());
	t->rank = membox_group_rank(t->group);
	t->share = t->rank;
	t->shares = t->ranks;
	if (compare_models(t))
		return t->error;
	mbt_model_gather_w(m);
	membox_prep_broadcast(&op, t->group, m->w, m->count, m->type, 0);
	if (run(t, &op, "sharing the first weights"))
		return t->error;
	mbt_model_scatter_w(m);
	*(t->rank ? &t->stats.received : &t->stats.sent) += m->bytes;
	return 0;
}

static int begin(struct membox_train *t, uint64_t step)
{
	struct allreduce *a = state_of(t);

	return !a->steps || step < a->steps;
}

/* Everybody's word; 0 when all go on at one rate. */
static int exchange_words(struct membox_train *t, enum state state, double lr)
{
	struct word mine = { state, lr }, all[MEMBOX_MAX_RANKS];
	int r, done = -1, on = -1, failed = 0;
	struct membox_op op;

	membox_prep_allgather(&op, t->group, &mine, all, sizeof(mine), MEMBOX_I8);
	if (run(t, &op, "beginning a step"))
		return t->error;
	t->stats.sent += sizeof(mine);
	t->stats.received += (uint64_t)t->ranks * sizeof(mine);
	for (r = 0; r < t->ranks; r++) {
		failed |= all[r].state == FAILED;
		if (all[r].state == DONE)
			done = r;
		else
			on = r;
	}
	if (failed)
		return agree(t);
	if (done >= 0 && on >= 0)
		return mbt_fail(t, -EINVAL, "rank %d stopped after %" PRIu64 " steps, rank %d goes on", done,
				t->stats.steps, on);
	for (r = 1; r < t->ranks; r++)
		if (memcmp(&all[r].lr, &all[0].lr, sizeof(lr)))
			return mbt_fail(t, -EINVAL, "rank %d steps with lr %g, rank 0 with %g (step %" PRIu64 ")", r,
					all[r].lr, all[0].lr, t->stats.steps);
	return 0;
}

static uint64_t bits(double a)
{
	uint64_t b;

	memcpy(&b, &a, sizeof(b));
	return b;
}

static int step(struct membox_train *t, double lr)
{
	struct allreduce *a = state_of(t);
	struct mbt_model *m = &t->model;
	struct mbe_source source;
	struct membox_op op;
	struct mbe_fp fp;
	unsigned int i;

	if (lr == 0.0)
		lr = a->lr;
	if (!isfinite(lr))
		mbt_fail(t, -EINVAL, "rank %d: a step wants a finite learning rate", t->rank);
	if (exchange_words(t, t->error ? FAILED : GOES_ON, lr))
		return t->error;
	for (i = 0; i < m->tensors; i++)
		mbt_model_gather_g(m, i);
	source = (struct mbe_source){ m->g, bits(1.0 / t->shares) };
	mbe_fp_enter(&fp);
	mbe_wsum((uint8_t)m->type, (uint8_t)m->type, a->mean, &source, 1, 0, m->count);
	mbe_fp_leave(&fp);
	membox_prep_allreduce(&op, t->group, a->mean, m->g, m->count, m->type, MEMBOX_SUM);
	if (run(t, &op, "summing the gradients"))
		return t->error;
	t->stats.sent += m->bytes;
	t->stats.received += m->bytes;
	mbt_model_scatter_g(m);
	if (lr != 0.0) {
		mbt_model_gather_w(m);
		mbe_fp_enter(&fp);
		mbe_axpby((uint8_t)m->type, (uint8_t)m->type, m->w, m->g, m->count, bits(-lr), ONE);
		mbe_fp_leave(&fp);
		mbt_model_scatter_w(m);
	}
	t->stats.updates = ++t->stats.steps;
	return 0;
}

/* Nobody may go on alone; who cannot be asked any more has ended well before. */
static void stop(struct membox_train *t)
{
	struct word mine = { DONE, 0 }, all[MEMBOX_MAX_RANKS];
	struct membox_op op;
	int r;

	membox_prep_allgather(&op, t->group, &mine, all, sizeof(mine), MEMBOX_I8);
	op.timeout = state_of(t)->timeout;
	if (membox_run(t->box, &op, NULL))
		return;
	for (r = 0; r < t->ranks; r++)
		if (all[r].state == FAILED)
			agree(t);
	for (r = 0; r < t->ranks; r++)
		if (all[r].state == GOES_ON)
			mbt_fail(t, -EINVAL, "rank %d stopped after %" PRIu64 " steps, rank %d goes on", t->rank,
				 t->stats.steps, r);
}

static void leave(struct membox_train *t)
{
	free(state_of(t)->mean);
	state_of(t)->mean = NULL;
}

const struct mbt_method mbt_allreduce = {
	.name = "allreduce",
	.summary = "synchronous all-reduce: all ranks train, and update alike",
	.updater = MEMBOX_UPDATER_TRAINER,
	.options = options,
	.state_bytes = sizeof(struct allreduce),
	.start = start,
	.begin = begin,
	.step = step,
	.member = member,
	.stop = stop,
	.leave = leave,
};
