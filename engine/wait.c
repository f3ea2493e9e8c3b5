// SPDX-License-Identifier: MIT
/*
 * wait.c - what waits without a thread: WAIT until a word or a version compares
 * true, a SNAPSHOT between two tries, collectives (coll.c), and completions that are
 * delayed. A parked command stands in
 * e->exec->parked, under e->exec->lock, until mbe_progress() or mbe_abort() takes
 * it off.
 *
 * A parked WAIT holds its parameter, so that its bytes stay, and is checked anew
 * each time it is looked at, so that closing its handle or destroying the
 * parameter ends it. Its entry in the port's waiter table makes other ports wake
 * this one; it was made before the last look, and that look and the parking are
 * one step for mbe_progress().
 */
#include "exec.h"

#include <string.h>

/* Between two tries of a SNAPSHOT. */
#define PAUSE_MIN_NS 10000
#define PAUSE_MAX_NS 1000000

MEMBOX_ASSERT(sizeof(struct mbe_operand) <= sizeof(((struct mbe_cmd *)0)->held));

void mbe_park(struct mbe *e, struct mbe_cmd *cmd, enum mbe_cmd_state state)
{
	struct mbe_exec *x = e->exec;

	__atomic_store_n(&cmd->state, state, __ATOMIC_RELAXED);
	cmd->pnext = x->parked;
	if (cmd->pnext)
		cmd->pnext->plink = &cmd->pnext;
	cmd->plink = &x->parked;
	x->parked = cmd;
}

void mbe_unpark(struct mbe_cmd *cmd)
{
	*cmd->plink = cmd->pnext;
	if (cmd->pnext)
		cmd->pnext->plink = cmd->plink;
	cmd->pnext = NULL;
	__atomic_store_n(&cmd->state, MBE_CMD_READY, __ATOMIC_RELAXED);
}

/*
 * The word as it is now: one load, as a CPU would. Whoever changes it through a
 * stripe does so with plain stores, and that is no fault.
 */
__attribute__((no_sanitize("thread"))) static int64_t load_word(const struct mbe_run *run)
{
	if (run->p->dst_type == MEMBOX_I32)
		return *(const volatile int32_t *)(const void *)run->dst;
	return *(const volatile int64_t *)(const void *)run->dst;
}

static bool compares(uint8_t cmp, int64_t seen, int64_t value)
{
	switch (cmp) {
	case MEMBOX_EQ:
		return seen == value;
	case MEMBOX_NE:
		return seen != value;
	case MEMBOX_LT:
		return seen < value;
	case MEMBOX_LE:
		return seen <= value;
	case MEMBOX_GT:
		return seen > value;
	default:
		return seen >= value;
	}
}

/* OK, AGAIN when it does not compare true, or MEDIA_ERROR. Sets result and version. */
static uint16_t look(struct mbe_run *run)
{
	const struct membox_packet *p = run->p;
	uint64_t mask = p->word.compare ? p->word.compare : ~0ULL, size = run->bytes;
	int64_t seen;

	run->version = MBE_LOAD(&run->op[0].ver->finished);
	if (p->dst_type && mbe_poison_cut(run, &run->op[0], run->dst, size, size, MEMBOX_AT(offset)))
		return MEMBOX_ST_MEDIA_ERROR;
	seen = p->dst_type ? load_word(run) : (int64_t)run->version;
	run->result = (uint64_t)seen;
	return compares(p->sub, (int64_t)((uint64_t)seen & mask), (int64_t)p->word.value) ?
		       MEMBOX_ST_OK : MEMBOX_ST_AGAIN;
}

/* Has a new deadline to be told to whoever sleeps for mbe_progress? With the lock. */
static bool sooner(struct mbe *e, uint64_t deadline)
{
	if (deadline >= e->exec->next_deadline)
		return false;
	e->exec->next_deadline = deadline;
	return true;
}

uint16_t mbe_op_wait(struct mbe_run *run)
{
	struct mbe *e = run->e;
	struct mbe_cmd *cmd = run->cmd;
	uint32_t us = run->p->timeout_us ? run->p->timeout_us : MEMBOX_DEFAULT_TIMEOUT_US;
	uint16_t status = look(run);
	uint32_t waiter;
	bool wake;

	if (status != MEMBOX_ST_AGAIN)
		return status;
	status = mbe_watch_add(e, run->p->context, &run->op[0], &waiter);
	if (status)
		return status;
	pthread_mutex_lock(&e->exec->lock);
	status = mbe_abort_asked(cmd);
	if (!status)
		status = look(run);
	if (status != MEMBOX_ST_AGAIN) {
		pthread_mutex_unlock(&e->exec->lock);
		mbe_watch_del(e, waiter);
		return status;
	}
	cmd->deadline = mbe_deadline(e, us * 1000ULL);
	cmd->waiter = waiter;
	memcpy(cmd->held, &run->op[0], sizeof(run->op[0]));
	run->held = 0; /* it is the parked command's now */
	mbe_run_report(run, MEMBOX_ST_OK); /* what was seen, should it be aborted */
	wake = sooner(e, cmd->deadline);
	mbe_park(e, cmd, MBE_CMD_WAITING);
	pthread_mutex_unlock(&e->exec->lock);
	if (wake)
		mbe_wake(e);
	return MEMBOX_ST_AGAIN;
}

void mbe_wait_release(struct mbe *e, struct mbe_cmd *cmd)
{
	struct mbe_operand op;

	memcpy(&op, cmd->held, sizeof(op));
	mbe_watch_del(e, cmd->waiter);
	mbe_operand_put(e, &op);
}

/* Looks at a parked WAIT. True: it ends, its completion is filled. */
static bool wait_ends(struct mbe *e, struct mbe_cmd *cmd, uint64_t now)
{
	struct mbe_run run;
	uint16_t status;

	mbe_run_open(&run, e, cmd);
	status = mbe_check_command(&run, cmd->checked);
	if (!status)
		status = look(&run);
	mbe_run_put(&run);
	if (status == MEMBOX_ST_AGAIN && now >= cmd->deadline)
		status = MEMBOX_ST_TIMED_OUT;
	if (status == MEMBOX_ST_AGAIN)
		return false;
	mbe_run_report(&run, status);
	return true;
}

uint16_t mbe_run_later(struct mbe_run *run)
{
	struct mbe *e = run->e;
	struct mbe_cmd *cmd = run->cmd;
	uint64_t now = mbe_clock(e), pause = (now - cmd->c.start) / 4;
	uint16_t status;
	bool wake;

	/* the longer it has taken the less often, as the writers are not pausing */
	if (pause < PAUSE_MIN_NS)
		pause = PAUSE_MIN_NS;
	if (pause > PAUSE_MAX_NS)
		pause = PAUSE_MAX_NS;
	pthread_mutex_lock(&e->exec->lock);
	status = mbe_abort_asked(cmd);
	if (!status && now >= cmd->until)
		status = MEMBOX_ST_TIMED_OUT;
	if (status) {
		pthread_mutex_unlock(&e->exec->lock);
		return status;
	}
	cmd->deadline = now + pause < cmd->until ? now + pause : cmd->until;
	mbe_run_report(run, MEMBOX_ST_OK); /* what there is, should it be aborted */
	wake = sooner(e, cmd->deadline);
	mbe_park(e, cmd, MBE_CMD_AGAIN);
	pthread_mutex_unlock(&e->exec->lock);
	if (wake)
		mbe_wake(e);
	return MEMBOX_ST_AGAIN;
}

void mbe_complete_delayed(struct mbe *e, struct mbe_cmd *cmd)
{
	bool wake;

	if (!e->opts.delay_ns) {
		mbe_complete(e, cmd);
		return;
	}
	mbe_writer_told(e, cmd); /* the delay may be long */
	pthread_mutex_lock(&e->exec->lock);
	cmd->deadline = mbe_deadline(e, e->opts.delay_ns);
	wake = sooner(e, cmd->deadline);
	mbe_park(e, cmd, MBE_CMD_DELAYED);
	pthread_mutex_unlock(&e->exec->lock);
	if (wake)
		mbe_wake(e);
}

/* Commands that were taken off the parked ones, by what is to be done with them. */
struct unparked {
	struct mbe_cmd *waits, *delayed, *again, *longer;
};

static struct mbe_cmd **list_of(struct unparked *off, const struct mbe_cmd *cmd)
{
	switch (cmd->state) {
	case MBE_CMD_WAITING:
		return &off->waits;
	case MBE_CMD_AGAIN:
		return &off->again;
	case MBE_CMD_COLL:
		return mbe_coll_is_long(cmd) ? &off->longer : &off->again;
	default:
		return &off->delayed;
	}
}

static bool is_due(struct mbe *e, struct mbe_cmd *cmd, uint64_t now)
{
	switch (cmd->state) {
	case MBE_CMD_WAITING:
		return wait_ends(e, cmd, now);
	case MBE_CMD_COLL:
		return mbe_coll_ready(e, cmd, now);
	default:
		return now >= cmd->deadline;
	}
}

/* Takes off what ends or is to be tried again; returns when to look next. */
static uint64_t sort_out(struct mbe *e, struct unparked *off)
{
	uint64_t now = mbe_clock(e), next = UINT64_MAX;
	struct mbe_cmd *cmd, *after;

	for (cmd = e->exec->parked; cmd; cmd = after) {
		struct mbe_cmd **to = list_of(off, cmd);

		after = cmd->pnext;
		if (is_due(e, cmd, now)) {
			if (cmd->state == MBE_CMD_COLL)
				mbe_coll_unpark(cmd);
			mbe_unpark(cmd);
			cmd->pnext = *to;
			*to = cmd;
		} else if (cmd->deadline < next) {
			next = cmd->deadline;
		}
	}
	e->exec->next_deadline = next;
	return next;
}

/* The first of a list that is being emptied. */
static struct mbe_cmd *take(struct mbe_cmd **list)
{
	struct mbe_cmd *cmd = *list;

	if (cmd) {
		*list = cmd->pnext;
		cmd->pnext = NULL;
	}
	return cmd;
}

uint64_t mbe_progress(struct mbe *e)
{
	struct unparked off = { 0 };
	struct mbe_cmd *cmd;
	uint64_t next, tables;

	if (e->forgotten || e->away)
		return UINT64_MAX;
	pthread_mutex_lock(&e->exec->lock);
	next = sort_out(e, &off);
	pthread_mutex_unlock(&e->exec->lock);
	while ((cmd = take(&off.waits))) {
		mbe_wait_release(e, cmd);
		mbe_complete_delayed(e, cmd);
	}
	while ((cmd = take(&off.delayed)))
		mbe_complete(e, cmd);
	/* those that are parked once more wake the sleep that comes next */
	while ((cmd = take(&off.again)))
		mbe_run_command(e, cmd);
	while ((cmd = take(&off.longer)))
		cmd->queue->ready(cmd->queue, cmd);
	tables = mbe_table_progress(e);
	return tables < next ? tables : next;
}

unsigned int mbe_end_delays(struct mbe *e)
{
	struct mbe_cmd *cmd, *after, *off = NULL;
	unsigned int n = 0;

	pthread_mutex_lock(&e->exec->lock);
	for (cmd = e->exec->parked; cmd; cmd = after) {
		after = cmd->pnext;
		if (cmd->state != MBE_CMD_DELAYED)
			continue;
		mbe_unpark(cmd);
		cmd->pnext = off;
		off = cmd;
		n++;
	}
	pthread_mutex_unlock(&e->exec->lock);
	while ((cmd = take(&off)))
		mbe_complete(e, cmd);
	return n;
}
