// SPDX-License-Identifier: MIT
/*
 * exec.c - executing a command: checks, dispatch by operation, completion; and
 * the execution half's private state. The operations are in move.c, compute.c,
 * wsum.c, atomic.c, wait.c, coll.c and queue.c (CANCEL).
 */
#include "exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "types.h"

int mbe_exec_init(struct mbe *e)
{
	struct mbe_exec *x = calloc(1, sizeof(*x));
	uint32_t writers = e->geo.undos < 64 ? e->geo.undos : 64;

	if (!x)
		return -ENOMEM;
	if (e->opts.quota_writers && e->opts.quota_writers < writers)
		writers = e->opts.quota_writers;
	pthread_mutex_init(&x->lock, NULL);
	pthread_mutex_init(&x->writer_lock, NULL);
	pthread_mutex_init(&x->coll_lock, NULL);
	pthread_cond_init(&x->writer_cond, NULL);
	x->patience_ns = MBE_PATIENCE_NS;
	x->next_deadline = UINT64_MAX;
	x->writers_free = writers == 64 ? ~0ULL : (1ULL << writers) - 1;
	x->outcome_seq = mbe_outcome_next(e, e->port);
	e->exec = x;
	return 0;
}

void mbe_exec_fini(struct mbe *e)
{
	if (!e->exec)
		return;
	pthread_cond_destroy(&e->exec->writer_cond);
	mbe_seats_free(e);
	pthread_mutex_destroy(&e->exec->coll_lock);
	pthread_mutex_destroy(&e->exec->writer_lock);
	pthread_mutex_destroy(&e->exec->lock);
	free(e->exec);
	e->exec = NULL;
}

void mbe_run_open(struct mbe_run *run, struct mbe *e, struct mbe_cmd *cmd)
{
	memset(run, 0, offsetof(struct mbe_run, op));
	run->e = e;
	run->cmd = cmd;
	run->p = &cmd->p;
	mbe_host_open(&run->host, cmd->host, cmd->nhost);
}

void mbe_run_report(const struct mbe_run *run, uint16_t status)
{
	struct membox_completion *c = &run->cmd->c;

	c->bytes = run->done;
	c->result = run->result;
	c->version = run->version;
	c->detail = run->detail;
	c->status = status;
}

uint16_t mbe_run_dispatch(struct mbe_run *run)
{
	switch (run->p->opcode) {
	case MEMBOX_OP_READ:
		return mbe_op_read(run);
	case MEMBOX_OP_WRITE:
		return mbe_op_write(run);
	case MEMBOX_OP_COPY:
		return mbe_op_copy(run);
	case MEMBOX_OP_FILL:
		return mbe_op_fill(run);
	case MEMBOX_OP_SNAPSHOT:
		return mbe_op_snapshot(run);
	case MEMBOX_OP_ACC:
		return mbe_op_acc(run);
	case MEMBOX_OP_SCALE:
		return mbe_op_scale(run);
	case MEMBOX_OP_AXPBY:
		return mbe_op_axpby(run);
	case MEMBOX_OP_WSUM:
		return mbe_op_wsum(run);
	case MEMBOX_OP_ATOMIC:
		return mbe_op_atomic(run);
	case MEMBOX_OP_NOTIFY:
	case MEMBOX_OP_COMMIT:
		return mbe_op_notify(run);
	case MEMBOX_OP_WAIT:
		return mbe_op_wait(run);
	case MEMBOX_OP_FENCE: /* its queue held it until now */
		return MEMBOX_ST_OK;
	case MEMBOX_OP_CANCEL:
		return mbe_op_cancel(run);
	case MEMBOX_OP_ALLREDUCE:
	case MEMBOX_OP_REDUCE:
	case MEMBOX_OP_REDUCE_SCATTER:
	case MEMBOX_OP_ALLGATHER:
	case MEMBOX_OP_BROADCAST:
	case MEMBOX_OP_BARRIER:
		return mbe_op_coll(run);
	default: /* the check of capabilities let it through: the table and this differ */
		return MEMBOX_ST_INTERNAL;
	}
}

/*
 * In a forked child neither the box's mapping nor the threads that may hold our
 * locks are there: the answer is given without touching either.
 */
static void answer_gone(struct mbe_cmd *cmd)
{
	struct membox_completion c = {
		.user_data = cmd->p.user_data, .cid = cmd->p.cid, .status = MEMBOX_ST_GONE,
	};

	cmd->done(cmd, &c);
}

void mbe_run_command(struct mbe *e, struct mbe_cmd *cmd)
{
	struct mbe_run run;
	struct mbe_fp fp;
	uint16_t status;

	if (cmd->coll) {
		mbe_coll_resume(e, cmd);
		return;
	}
	mbe_run_open(&run, e, cmd);
	status = mbe_abort_asked(cmd);
	if (!status)
		status = mbe_check_command(&run, cmd->checked);
	if (!status) {
		mbe_fp_enter(&fp);
		status = mbe_run_dispatch(&run);
		mbe_fp_leave(&fp);
		mbe_run_put(&run);
		if (status == MEMBOX_ST_AGAIN)
			return; /* parked: perhaps it is somebody else's already */
	}
	mbe_run_report(&run, status);
	mbe_complete_delayed(e, cmd);
}

void mbe_execute(struct mbe *e, struct mbe_cmd *cmd)
{
	if (e->forgotten) {
		answer_gone(cmd);
		return;
	}
	if (!cmd->coll)
		cmd->c.start = mbe_clock(e);
	mbe_run_command(e, cmd);
}
