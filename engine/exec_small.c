// SPDX-License-Identifier: MIT
/*
 * exec_small.c - a small command from its check to its completion on one thread,
 * with nothing that could make it wait: what it needs exclusively (a writer's record,
 * its only stripe) is tried for first, and when all of it is there the command runs
 * as any other does. It is over before anybody could ask it to end, so that it
 * enters no queue, and its refusals are left to the long way.
 *
 * Its stripe is locked before its record says BEGIN, not after. Recovery reads
 * records and lock words each by itself and does not mind.
 */
#include "exec.h"

#include "types.h"

/* Takes the stripe and, to change it, a writer's record; neither when one is not free. */
static bool seize(struct mbe_run *run, bool reads)
{
	struct mbe *e = run->e;
	uint64_t at = (uint64_t)(run->dst - e->map), stripe = e->geo.stripe_bytes;
	__u64 *word = mbe_stripe_word(e, at);

	if (run->bytes > MBE_SMALL_BYTES || at % stripe + run->bytes > stripe)
		return false;
	if (!reads && !mbe_writer_try(run))
		return false;
	if (mbe_trylock_word(e, word)) {
		run->stripe = word;
		return true;
	}
	if (!reads)
		mbe_writer_give(run);
	return false;
}

bool mbe_execute_small(struct mbe *e, struct mbe_cmd *cmd, uint64_t start)
{
	struct mbe_run run;
	struct mbe_fp fp;
	uint16_t status;
	bool reads = cmd->p.opcode == MEMBOX_OP_READ;

	if (!mbe_looks_small(&cmd->p) || e->forgotten || e->opts.delay_ns || e->opts.poison_bytes)
		return false;
	cmd->abort = 0;
	cmd->writer = 0;
	mbe_run_open(&run, e, cmd);
	if (mbe_check_command(&run, cmd->checked))
		return false;
	if (!seize(&run, reads)) {
		mbe_run_put(&run);
		return false;
	}
	cmd->c = (struct membox_completion){
		.user_data = cmd->p.user_data, .cid = cmd->p.cid,
		.start = start == MBE_UNTIMED ? 0 : start ? start : mbe_clock(e),
	};
	mbe_fp_enter(&fp);
	status = mbe_run_dispatch(&run);
	mbe_fp_leave(&fp);
	mbe_run_put(&run);
	mbe_run_report(&run, status);
	if (start != MBE_UNTIMED)
		cmd->c.end = mbe_clock(e);
	mbe_count(e, MEMBOX_CTR_OPERATIONS, 1);
	mbe_writer_told(e, cmd);
	return true;
}
