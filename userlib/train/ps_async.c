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

/* The rank that is late next, and when. */
static int next_late(struct membox_train *t, const int64_t *deadline)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int r, next = 0;

	for (r = 1; r < t->ranks; r++)
		if (!ps->worker[r].done && (!next || deadline[r] < deadline[next]))
			next = r;
	return next;
}

/* Its gradient, or the news that there will be none. */
static int arrived(struct membox_train *t, const struct membox_done *done)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int rank = (int)done->user_data;

	if (mbt_arrived(t, done))
		return t->error;
	if (!ps->worker[rank].done && (apply(t, rank) || mbt_expect(t, rank)))
		return t->error;
	return 0;
}

/*
 * One wait is parked for each worker. What had come when a round began is taken
 * in that round: who is not in it and had to be by then is late, however busy
 * the others keep the master.
 */
static int serve(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t deadline[MEMBOX_MAX_RANKS], begun;
	struct membox_done done[MEMBOX_MAX_RANKS];
	int r, i, n, next;

	for (r = 1; r < t->ranks; r++) {
		deadline[r] = mbt_now() + ps->timeout;
		if (mbt_expect(t, r))
			return t->error;
	}
	while ((next = next_late(t, deadline))) {
		begun = mbt_now();
		n = mbt_reap(t, deadline[next], done, MEMBOX_MAX_RANKS);
		if (n < 0)
			return n;
		for (i = 0; i < n; i++) {
			if (arrived(t, &done[i]))
				return t->error;
			deadline[done[i].user_data] = mbt_now() + ps->timeout;
		}
		next = next_late(t, deadline);
		if (next && deadline[next] < begun) {
			n = t->method->member(t, MBT_LATE, next);
			if (n)
				return n;
		}
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
