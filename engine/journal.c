// SPDX-License-Identifier: MIT
/*
 * journal.c - the writer's record: what a command that changes common memory
 * leaves in the box, so that its port can die at any instruction.
 *
 * A port has a few records; a command takes a free one (a bit of
 * e->exec->writers_free) for as long as it runs. The states of the record's word
 * are told in membox_format.h. A parameter without a journal has its writers'
 * records too, for the versions' sake, but its stripes are never OPEN.
 *
 * The stores of one thread reach the box in program order: where the compiler
 * could move a plain store across a step, a fence for it stands between.
 */
#include "exec.h"

#include <string.h>

#include "version.h"

/* Old bytes are kept and changed in pieces that stay in the cache meanwhile. */
#define MBE_PIECE 8192ULL

static inline void in_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * A small command's record is free again before its completion has reached anybody:
 * these take the last one that is free, others the first, so that what it says of the
 * command is not soon written over.
 */
static int take_bit(struct mbe_exec *x, bool small)
{
	uint64_t free = __atomic_load_n(&x->writers_free, __ATOMIC_SEQ_CST);

	while (free) {
		int bit = small ? 63 - __builtin_clzll(free) : __builtin_ctzll(free);

		if (__atomic_compare_exchange_n(&x->writers_free, &free, free & ~(1ULL << bit), false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return bit;
	}
	return -1;
}

/* More writers than records: rare, so these wait for one another on a condition. */
static unsigned int take_writer(struct mbe_exec *x)
{
	int bit = take_bit(x, false);

	if (bit >= 0)
		return (unsigned int)bit;
	pthread_mutex_lock(&x->writer_lock);
	__atomic_add_fetch(&x->writers_wanted, 1, __ATOMIC_SEQ_CST);
	while ((bit = take_bit(x, false)) < 0)
		pthread_cond_wait(&x->writer_cond, &x->writer_lock);
	__atomic_sub_fetch(&x->writers_wanted, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&x->writer_lock);
	return (unsigned int)bit;
}

void mbe_writer_free(struct mbe_exec *x, unsigned int bit)
{
	__atomic_fetch_or(&x->writers_free, 1ULL << bit, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&x->writers_wanted, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&x->writer_lock);
		pthread_cond_signal(&x->writer_cond);
		pthread_mutex_unlock(&x->writer_lock);
	}
}

void mbe_writer_told(struct mbe *e, struct mbe_cmd *cmd)
{
	if (cmd->writer)
		mbe_writer_free(e->exec, cmd->writer - 1);
	cmd->writer = 0;
}

bool mbe_writer_try(struct mbe_run *run)
{
	int bit;

	if (MBE_LOAD(&run->op[0].ver->repair))
		return false;
	bit = take_bit(run->e->exec, true);
	if (bit < 0)
		return false;
	run->writer = (unsigned int)bit;
	run->seized = true;
	return true;
}

void mbe_writer_give(struct mbe_run *run)
{
	run->seized = false;
	mbe_writer_free(run->e->exec, run->writer);
}

static void set_state(struct mbe_run *run, enum membox_fmt_undo_state state, uint64_t progress)
{
	in_order();
	MBE_STORE(&run->undo->word, (uint64_t)run->undo_seq << MEMBOX_UNDO_SEQ_SHIFT |
		  progress << MEMBOX_UNDO_PROGRESS_SHIFT | state);
	in_order();
}

void mbe_write_begin(struct mbe_run *run)
{
	struct mbe *e = run->e;
	const struct mbe_operand *op = &run->op[0];
	struct membox_fmt_undo *u;

	if (!run->seized)
		run->writer = take_writer(e->exec);
	u = (void *)(e->undos + run->writer * e->geo.undo_bytes);
	run->undo = u;
	run->undo_seq = (uint32_t)(MBE_LOAD(&u->word) >> MEMBOX_UNDO_SEQ_SHIFT);
	set_state(run, MEMBOX_UNDO_IDLE, 0); /* of the last command there is nothing more to tell */
	MBE_STEP(e, "write:taken");
	run->undo_seq++;
	run->journal = !(op->attrs & MEMBOX_PARAM_NOJOURNAL);
	u->base = (uint64_t)(run->dst - e->map);
	u->length = run->bytes;
	u->source = run->src ? (uint64_t)(run->src - e->map) : 0;
	MBE_STORE(&u->serial, op->serial);
	MBE_STORE(&u->param, op->param);
	u->generation = e->generation;
	u->user_data = run->p->user_data;
	u->context = run->p->context;
	u->context_gen = mbe_context_gen(e, run->p->context);
	u->packet = *run->p;
	if (!run->seized)
		mbe_version_await(e, op->ver);
	set_state(run, MEMBOX_UNDO_BEGIN, 0);
	MBE_STEP(e, "write:announced");
	mbe_version_begin(op->ver);
	MBE_STEP(e, "write:begun");
	set_state(run, MEMBOX_UNDO_ACTIVE, 0);
	MBE_STEP(e, "write:active");
}

void mbe_write_end(struct mbe_run *run)
{
	struct mbe *e = run->e;
	const struct mbe_operand *op = &run->op[0];

	set_state(run, MEMBOX_UNDO_END, run->done);
	MBE_STEP(e, "write:ending");
	run->version = mbe_version_finish(op->ver);
	MBE_STEP(e, "write:finished");
	set_state(run, MEMBOX_UNDO_IDLE, run->done + 1);
	MBE_STEP(e, "write:idle");
	run->undo = NULL;
	run->cmd->writer = run->writer + 1;
	mbe_changed(e, op);
	MBE_STEP(e, "write:told");
}

/* Keeps the old bytes of one more piece of the stripe, which begins at `first`. */
static void save(struct mbe_run *run, uint64_t first, uint64_t at, uint64_t bytes)
{
	struct membox_fmt_undo *u = run->undo;

	memcpy((uint8_t *)u + MEMBOX_FMT_PAGE + (at - first), run->dst + at, bytes);
	in_order();
	MBE_STORE(&u->bytes, at - first + bytes);
	in_order();
	MBE_STEP(run->e, "stripe:saved");
}

void mbe_undo_change(struct mbe_run *run, uint64_t at, uint64_t bytes, mbe_stretch_fn *fn)
{
	uint64_t done, n;

	if (run->cmd)
		run->cmd->changed = true;
	for (done = 0; done < bytes; done += n) {
		n = run->journal && bytes - done > MBE_PIECE ? MBE_PIECE : bytes - done;
		if (run->journal) {
			save(run, at, at + done, n);
			if (!done) {
				run->undo->offset = (uint64_t)(run->dst + at - run->e->map);
				set_state(run, MEMBOX_UNDO_OPEN, at);
			}
		}
		MBE_STEP(run->e, "stripe:open");
		fn(run, at + done, n);
		MBE_STEP(run->e, "stripe:changed");
	}
	set_state(run, MEMBOX_UNDO_ACTIVE, at + bytes);
	MBE_STEP(run->e, "stripe:closed");
}

/* Does the command replace every byte of its parameter, whatever was there? */
static bool replaces_all(const struct mbe_run *run)
{
	switch (run->p->opcode) {
	case MEMBOX_OP_WRITE:
	case MEMBOX_OP_COPY:
	case MEMBOX_OP_FILL:
	case MEMBOX_OP_WSUM:
		return run->dst == run->op[0].data && run->done == run->op[0].bytes;
	default:
		return false;
	}
}

uint16_t mbe_change(struct mbe_run *run, mbe_stretch_fn *fn)
{
	uint16_t status;

	if (!run->bytes)
		return MEMBOX_ST_OK;
	mbe_write_begin(run);
	status = mbe_stripes(run, fn);
	if (MBE_PEEK(&run->op[0].ver->torn) && replaces_all(run))
		MBE_STORE(&run->op[0].ver->torn, 0);
	mbe_write_end(run);
	return status;
}
