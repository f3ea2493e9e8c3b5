// SPDX-License-Identifier: MIT
/*
 * ps_async.c - method "ps-async": the asynchronous parameter server. The master
 * applies each gradient when it comes, with one AXPBY from the worker's area;
 * no worker waits for another. A worker waits for its own gradient to be in the
 * weights, then reads them, with what the others did meanwhile.
 */
#include "ps.h"

static int async_start(struct membox_train *t)
{
	return mbt_areas_open(t, false);
}

/* W = -lr/shares g + W, so that a round of all workers moves W as one step of ps does. */
static int apply(struct membox_train *t, int rank)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	const struct mbt_worker *w = &ps->worker[rank];
	int rc;

	rc = membox_axpby(ps->weights, -w->lr / t->shares, ps->gradient[rank], 1.0);
	if (mbt_core(t, rc, "updating the weights"))
		return t->error;
	t->stats.updates = ++t->stats.steps;
	rc = membox_swap(ps->ctl, mbt_rank_word(rank, MBT_RANK_APPLIED), (int64_t)w->steps, NULL);
	return mbt_core(t, rc, "telling the worker");
}

static int serve(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t deadline[MEMBOX_MAX_RANKS];
	struct membox_done done;
	int r, rc, next, left = t->shares;

	for (r = 1; r < t->ranks; r++) {
		deadline[r] = mbt_now() + ps->timeout;
		if (mbt_expect(t, r))
			return t->error;
	}
	while (left) {
		for (r = 1, next = 0; r < t->ranks; r++)
			if (!ps->worker[r].done && (!next || deadline[r] < deadline[next]))
				next = r;
		rc = mbt_reap(t, deadline[next], &done);
		if (rc == 0)
			rc = t->method->member(t, MBT_LATE, next);
		else if (rc > 0)
			rc = mbt_arrived(t, &done);
		if (rc)
			return rc;
		r = (int)done.user_data;
		if (ps->worker[r].done) {
			left--;
			continue;
		}
		deadline[r] = mbt_now() + ps->timeout;
		if (apply(t, r) || mbt_expect(t, r))
			return t->error;
	}
	return 0;
}

static int async_begin(struct membox_train *t, uint64_t step)
{
	int64_t begun = mbt_now();
	int rc;

	if (t->rank != MBT_MASTER)
		return mbt_ps_begin(t, step);
	rc = mbt_tell(t, serve(t));
	t->stats.exchange_ns += (uint64_t)(mbt_now() - begun);
	return rc;
}

static int async_step(struct membox_train *t, double lr)
{
	int rc = mbt_ps_push_pull(t, lr, mbt_rank_word(t->rank, MBT_RANK_APPLIED),
				  (int64_t)t->stats.steps + 1);

	if (!rc)
		mbt_ps_events(t);
	return mbt_tell(t, rc);
}

const struct mbt_method mbt_ps_async = {
	.name = "ps-async",
	.summary = "asynchronous parameter server: rank 0 applies gradients as they come",
	.updater = MEMBOX_UPDATER_MASTER,
	.options = mbt_ps_options,
	.state_bytes = sizeof(struct mbt_ps),
	.start = async_start,
	.begin = async_begin,
	.step = async_step,
	.member = mbt_ps_member,
	.stop = mbt_ps_stop,
	.stats = mbt_ps_stats,
	.leave = mbt_areas_leave,
};
