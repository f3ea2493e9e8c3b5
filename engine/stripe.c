// SPDX-License-Identifier: MIT
/*
 * stripe.c - exclusive stretches of the data area. A stripe is 256 KiB of file
 * offset; its lock word is taken by one compare-and-swap when nobody has it.
 * Every operation that reads or writes its operand 0 locks it stripe by stripe,
 * in address order, one at a time, so that no two can wait for one another.
 *
 * READ locks too: its stripes are whole. Sources of computation are read without
 * a lock ("shared"): an element that somebody changes meanwhile is either the
 * old one or the new one, as elements are aligned and at most 8 bytes.
 */
#include "exec.h"

#include <sched.h>

/* How long a wait goes on before the command is asked whether it was aborted. */
#define ABORT_NS 10000000ULL

__u64 *mbe_stripe_word(struct mbe *e, uint64_t offset)
{
	return &e->stripes[offset / e->geo.stripe_bytes & (e->geo.stripes - 1)].lock;
}

static void recover_holder(struct mbe *e, __u64 *word)
{
	uint32_t port = mbe_lock_port(MBE_LOAD(word));

	if (port < e->geo.ports)
		mbe_recover_port(e, port);
	sched_yield(); /* a port that was taken anew recovers itself */
}

uint16_t mbe_stripe_lock(struct mbe *e, __u64 *word, const struct mbe_cmd *cmd)
{
	uint64_t deadline;

	if (mbe_trylock_word(e, word))
		return MEMBOX_ST_OK;
	deadline = mbe_deadline(e, e->exec->patience_ns);
	for (;;) {
		uint64_t look = mbe_deadline(e, ABORT_NS);
		bool last = look >= deadline;
		uint16_t status = mbe_lock_word(e, word, last ? deadline : look, NULL), asked;

		if (status == MEMBOX_ST_OWNER_DEAD) {
			if (mbe_clock(e) >= deadline || mbe_stopped(e))
				return status;
			recover_holder(e, word);
		} else if (last || (status != MEMBOX_ST_TIMED_OUT && status != MEMBOX_ST_OWNER_STALLED)) {
			return status;
		}
		asked = mbe_abort_asked(cmd);
		if (asked)
			return asked;
	}
}

uint16_t mbe_stripes(struct mbe_run *run, mbe_stretch_fn *fn)
{
	struct mbe *e = run->e;
	uint64_t base = (uint64_t)(run->dst - e->map);
	uint64_t stripe = e->geo.stripe_bytes;

	while (run->done < run->bytes) {
		uint64_t at = run->done, n = stripe - (base + at) % stripe;
		__u64 *word = mbe_stripe_word(e, base + at);
		uint16_t status = mbe_abort_asked(run->cmd);

		if (status)
			return status;
		if (n > run->bytes - at)
			n = run->bytes - at;
		status = run->stripe ? MEMBOX_ST_OK : mbe_stripe_lock(e, word, run->cmd);
		if (status)
			return status;
		if (run->undo)
			mbe_undo_change(run, at, n, fn);
		else
			fn(run, at, n);
		mbe_unlock_word(e, word);
		run->done += n;
	}
	return MEMBOX_ST_OK;
}
