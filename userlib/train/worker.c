// SPDX-License-Identifier: MIT
/*
 * worker.c - a parameter server's worker: push the gradient, wait until the
 * master has dealt with it, pull the weights. One WRITE and one READ of the
 * model a step; all else travels inside packets.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ps.h"

#define PUSH 1
#define WAIT 2
#define WAIT_SLACK (MBT_SECOND) /* the rank that is waited for is judged first */

int mbt_ps_begin(struct membox_train *t, uint64_t step)
{
	struct mbt_ps *ps = mbt_ps_of(t);

	return !ps->steps || step < ps->steps;
}

/* The master must know the learning rate: a word of this rank's, when it changes. */
static int send_lr(struct membox_train *t, double lr, int64_t *changed)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t bits;

	if (lr == 0.0)
		lr = ps->lr;
	if (!isfinite(lr) || lr == 0.0)
		return mbt_fail(t, -EINVAL, "rank %d: a step wants a finite learning rate, or the option lr=",
				t->rank);
	*changed = lr != ps->lr_sent ? MBT_PUSHED_LR : 0;
	if (!*changed)
		return 0;
	memcpy(&bits, &lr, sizeof(bits));
	ps->lr_sent = lr;
	return mbt_core(t, membox_swap(ps->ctl, mbt_rank_word(t->rank, MBT_RANK_LR), bits, NULL),
			"telling the learning rate");
}

/*
 * Says that the gradient is there and waits for control word `word` to reach
 * `wanted`, in one submission. The master may take a time-out of its own for
 * the slowest worker, so this waits for twice as long.
 */
static int push_and_wait(struct membox_train *t, int64_t pushed, uint64_t word, int64_t wanted)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t limit = 2 * ps->timeout + WAIT_SLACK;
	int64_t deadline = mbt_now() + limit;
	struct membox_done done;
	struct membox_op op[2];
	int rc, left;

	membox_prep_swap(&op[0], ps->ctl, mbt_rank_word(t->rank, MBT_RANK_PUSHED), pushed);
	op[0].user_data = PUSH;
	membox_prep_wait_word(&op[1], ps->ctl, word, MEMBOX_GE, wanted, limit);
	op[1].user_data = WAIT;
	rc = membox_submit(ps->chan, op, 2);
	if (rc != 2)
		return mbt_core(t, rc < 0 ? rc : -EAGAIN, "pushing the gradient");
	for (left = 2; left; left--) {
		rc = mbt_reap(t, deadline, &done, 1);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return t->method->member(t, MBT_LATE, MBT_MASTER);
	}
	return 0;
}

int mbt_ps_push_pull(struct membox_train *t, double lr, uint64_t word, int64_t wanted)
{
	struct mbt_model *m = &t->model;
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t changed = 0, pushed = (int64_t)(t->stats.steps + 1) << 1;
	unsigned int i;

	for (i = 0; i < m->tensors; i++)
		mbt_model_gather_g(m, i);
	if (send_lr(t, lr, &changed) ||
	    mbt_core(t, membox_write(ps->gradient[t->rank], 0, m->count, m->g),
		     "writing the gradient"))
		return t->error;
	t->stats.sent += m->bytes;
	if (push_and_wait(t, pushed | changed, word, wanted) ||
	    mbt_core(t, membox_read(ps->weights, 0, m->count, m->w, NULL), "reading the weights"))
		return t->error;
	t->stats.received += m->bytes;
	mbt_model_scatter_w(m);
	t->stats.steps++;
	return 0;
}

void mbt_ps_stop(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	uint64_t word = mbt_rank_word(t->rank, MBT_RANK_PUSHED);
	int64_t pushed = (int64_t)t->stats.steps << 1;

	if (t->rank != MBT_MASTER)
		mbt_core(t, membox_swap(ps->ctl, word, pushed | MBT_PUSHED_DONE, NULL),
			 "telling that it is done");
}

void mbt_ps_events(struct membox_train *t)
{
	struct membox_change change;

	while (!membox_event_read(t->box, 0, &change)) {
		t->stats.events++;
		t->stats.coalesced += change.missed;
	}
}

void mbt_ps_stats(struct membox_train *t, struct membox_train_stats *stats)
{
	if (t->error || t->rank == MBT_MASTER)
		return;
	mbt_ps_events(t);
	stats->events = t->stats.events;
	stats->coalesced = t->stats.coalesced;
	stats->updates = stats->events + stats->coalesced;
}
