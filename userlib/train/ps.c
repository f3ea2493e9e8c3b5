// SPDX-License-Identifier: MIT
/*
 * ps.c - method "ps": the synchronous parameter server (methods.md C of the
 * design; US10990561B2, US11487698B2). In every step the master waits for the
 * gradients of all workers, folds them in rank order with one WSUM, and applies
 * the mean with one AXPBY: no parameter byte comes to the master's host.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

#include "ps.h"

#define MAX_SECONDS 290.0 /* twice that and some is what one operation may wait */

const struct mbt_option mbt_ps_options[] = {
	{ "job", "name of this training in the box", "train", MBT_TEXT_OPTION,
	  offsetof(struct mbt_ps, job), 0, 0 },
	{ "steps", "steps to train; 0: until the trainer stops", "0", MBT_WHOLE,
	  offsetof(struct mbt_ps, steps), 0, 1e15 },
	{ "lr", "learning rate of steps that are given 0", "0", MBT_REAL,
	  offsetof(struct mbt_ps, lr), 0, 1e6 },
	{ "timeout", "seconds after which a rank is late", "60", MBT_SECONDS,
	  offsetof(struct mbt_ps, timeout), 0.01, MAX_SECONDS },
	{ "start", "seconds to wait for all ranks at the start", "120", MBT_SECONDS,
	  offsetof(struct mbt_ps, start_timeout), 0.01, MAX_SECONDS },
	{ 0 },
};

static int ps_start(struct membox_train *t)
{
	return mbt_areas_open(t, true);
}

/* The lowest rank whose gradient of this step is not there. */
static int slowest(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int r;

	for (r = 1; r < t->ranks - 1; r++)
		if (ps->worker[r].steps <= t->stats.steps && !ps->worker[r].done)
			break;
	return r;
}

/* Waits for all workers, in whatever order they come. 1: go on, 0: all are done. */
static int gather(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t deadline = mbt_now() + ps->timeout;
	struct membox_done done;
	int r, rc, gone = 0, other = 0;

	for (r = 1; r < t->ranks; r++)
		if (mbt_expect(t, r))
			return t->error;
	for (r = 1; r < t->ranks; r++) {
		rc = mbt_reap(t, deadline, &done, 1);
		if (rc == 0)
			rc = t->method->member(t, MBT_LATE, slowest(t));
		else if (rc > 0)
			rc = mbt_arrived(t, &done);
		if (rc)
			return rc;
	}
	for (r = 1; r < t->ranks; r++)
		if (ps->worker[r].done)
			gone = r;
		else
			other = r;
	if (gone && other)
		return mbt_fail(t, -EINVAL, "rank %d stopped after %" PRIu64 " steps, rank %d goes on",
				gone, t->stats.steps, other);
	return !gone;
}

/* S = mean of the gradients in rank order; W = -lr S + W; then workers may read W. */
static int update(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	struct membox_wsum_term term[MEMBOX_MAX_RANKS];
	double lr = ps->worker[1].lr;
	int r, rc;

	for (r = 1; r < t->ranks; r++) {
		term[r - 1] = (struct membox_wsum_term){ ps->gradient[r], 0, 1.0 / t->shares };
		if (ps->worker[r].lr != lr)
			return mbt_fail(t, -EINVAL, "rank %d steps with lr %g, rank 1 with %g (step %" PRIu64 ")",
					r, ps->worker[r].lr, lr, t->stats.steps);
	}
	rc = membox_wsum(ps->sum, term, (unsigned int)t->shares);
	if (mbt_core(t, rc, "accumulating"))
		return t->error;
	rc = membox_axpby(ps->weights, -lr, ps->sum, 1.0);
	if (mbt_core(t, rc, "updating the weights"))
		return t->error;
	t->stats.updates = ++t->stats.steps;
	rc = membox_swap(ps->ctl, MBT_CTL_UPDATES, (int64_t)t->stats.updates, NULL);
	return mbt_core(t, rc, "telling the workers");
}

static int serve(struct membox_train *t)
{
	int64_t begun = mbt_now();
	int rc;

	do {
		rc = gather(t);
		if (rc > 0)
			rc = update(t) ? t->error : 1;
	} while (rc > 0);
	t->stats.exchange_ns += (uint64_t)(mbt_now() - begun);
	return rc;
}

static int ps_begin(struct membox_train *t, uint64_t step)
{
	if (t->rank != MBT_MASTER)
		return mbt_ps_begin(t, step);
	return mbt_tell(t, serve(t));
}

static int ps_step(struct membox_train *t, double lr)
{
	return mbt_tell(t, mbt_ps_push_pull(t, lr, MBT_CTL_UPDATES,
					    (int64_t)t->stats.steps + 1));
}

const struct mbt_method mbt_ps = {
	.name = "ps",
	.summary = "synchronous parameter server: rank 0 serves, the others train in step",
	.updater = MEMBOX_UPDATER_MASTER,
	.options = mbt_ps_options,
	.state_bytes = sizeof(struct mbt_ps),
	.start = ps_start,
	.begin = ps_begin,
	.step = ps_step,
	.member = mbt_ps_member,
	.stop = mbt_ps_stop,
	.stats = mbt_ps_stats,
	.leave = mbt_areas_leave,
};
