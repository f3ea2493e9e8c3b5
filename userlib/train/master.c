// SPDX-License-Identifier: MIT
/*
 * master.c - what the masters of both parameter servers do with one worker's
 * gradient: wait for it, and learn what came with it.
 */
#include <errno.h>
#include <string.h>

#include "ps.h"

#define WAIT_SLACK (10 * MBT_SECOND) /* mbt_reap's deadline judges, not the operation's */

int mbt_expect(struct membox_train *t, int rank)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	struct membox_op op;
	int rc;

	membox_prep_wait_word(&op, ps->ctl, mbt_rank_word(rank, MBT_RANK_PUSHED), MEMBOX_GE,
			      (int64_t)(ps->worker[rank].steps + 1) << 1,
			      ps->timeout + WAIT_SLACK);
	op.user_data = (uint64_t)rank;
	rc = membox_submit(ps->chan, &op, 1);
	return mbt_core(t, rc == 0 ? -EAGAIN : rc, "waiting for gradients");
}

/* done is what mbt_expect() waited for: word PUSHED of rank user_data is its result. */
int mbt_arrived(struct membox_train *t, const struct membox_done *done)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int rank = (int)done->user_data;
	struct mbt_worker *w = &ps->worker[rank];
	int64_t pushed = (int64_t)done->result, bits;
	int rc;

	if (pushed & MBT_PUSHED_DONE) {
		w->done = true;
		return 0;
	}
	w->steps++;
	if (!(pushed & MBT_PUSHED_LR))
		return 0;
	rc = membox_fetch_add(ps->ctl, mbt_rank_word(rank, MBT_RANK_LR), 0, &bits);
	memcpy(&w->lr, &bits, sizeof(bits));
	return mbt_core(t, rc, "learning the learning rate");
}
