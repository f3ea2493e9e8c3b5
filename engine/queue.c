// SPDX-License-Identifier: MIT
/*
 * queue.c - the order of commands, and ending them early.
 *
 * A queue numbers its commands. One with a fence is held until all before it
 * ended. The held ones stand in order and cut the others into runs: each held
 * one counts what has not ended between the held one before it (which counts
 * too) and itself; the queue counts the rest, behind the last. The first held
 * one starts when its count is 0, for then nothing older is left.
 *
 * priv->lock guards all of that. It is taken after e->exec->lock, and no
 * callback but match() is called under it.
 */
#include "exec.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

struct mbe_queue_priv {
	pthread_mutex_t lock;
	struct mbe_queue *q;
	struct mbe_queue_priv *next, **link; /* e->exec->queues */
	struct mbe_cmd *inflight;	     /* that nobody completes yet */
	struct mbe_cmd *held, **held_end;
	uint64_t seq;
	uint64_t rest;	/* not ended since the last held one, it included */
	unsigned int n; /* entered, done() not returned */
};

int mbe_queue_init(struct mbe_queue *q, struct mbe *e)
{
	struct mbe_queue_priv *priv = calloc(1, sizeof(*priv));

	if (!priv)
		return -ENOMEM;
	pthread_mutex_init(&priv->lock, NULL);
	priv->q = q;
	priv->held_end = &priv->held;
	q->engine = e;
	q->priv = priv;
	pthread_mutex_lock(&e->exec->lock);
	priv->next = e->exec->queues;
	if (priv->next)
		priv->next->link = &priv->next;
	priv->link = &e->exec->queues;
	e->exec->queues = priv;
	pthread_mutex_unlock(&e->exec->lock);
	return 0;
}

void mbe_queue_fini(struct mbe_queue *q)
{
	struct mbe_queue_priv *priv = q->priv;
	struct mbe *e = q->engine;

	pthread_mutex_lock(&e->exec->lock);
	*priv->link = priv->next;
	if (priv->next)
		priv->next->link = priv->link;
	pthread_mutex_unlock(&e->exec->lock);
	/* who completed the last command may be between done() and ended() */
	pthread_mutex_lock(&priv->lock);
	while (priv->n) {
		pthread_mutex_unlock(&priv->lock);
		sched_yield();
		pthread_mutex_lock(&priv->lock);
	}
	pthread_mutex_unlock(&priv->lock);
	pthread_mutex_destroy(&priv->lock);
	free(priv);
	q->priv = NULL;
}

unsigned int mbe_queue_inflight(struct mbe_queue *q)
{
	struct mbe_queue_priv *priv = q->priv;
	unsigned int n;

	pthread_mutex_lock(&priv->lock);
	n = priv->n;
	pthread_mutex_unlock(&priv->lock);
	return n;
}

static void hold(struct mbe_queue_priv *priv, struct mbe_cmd *cmd)
{
	cmd->state = MBE_CMD_HELD;
	cmd->waits_for = priv->rest;
	cmd->pnext = NULL;
	cmd->plink = priv->held_end;
	*priv->held_end = cmd;
	priv->held_end = &cmd->pnext;
	priv->rest = 0;
}

static void unhold(struct mbe_queue_priv *priv, struct mbe_cmd *cmd)
{
	*cmd->plink = cmd->pnext;
	if (cmd->pnext)
		cmd->pnext->plink = cmd->plink;
	else
		priv->held_end = cmd->plink;
	cmd->pnext = NULL;
	cmd->state = MBE_CMD_READY;
}

bool mbe_queue_enter(struct mbe_queue *q, struct mbe_cmd *cmd)
{
	struct mbe_queue_priv *priv = q->priv;
	bool fence = cmd->p.opcode == MEMBOX_OP_FENCE || cmd->p.flags & MEMBOX_F_FENCE;
	bool start;

	cmd->queue = q;
	cmd->abort = 0;
	cmd->until = 0;
	cmd->changed = false;
	cmd->writer = 0;
	cmd->coll = NULL;
	cmd->state = MBE_CMD_READY;
	cmd->c = (struct membox_completion){ 0 };
	pthread_mutex_lock(&priv->lock);
	start = !fence || !priv->n;
	cmd->seq = ++priv->seq;
	cmd->next = priv->inflight;
	if (cmd->next)
		cmd->next->link = &cmd->next;
	cmd->link = &priv->inflight;
	priv->inflight = cmd;
	priv->n++;
	if (!start)
		hold(priv, cmd);
	priv->rest++;
	pthread_mutex_unlock(&priv->lock);
	return start;
}

/* Nobody finds the command in its queue any more: it is about to be completed. */
static void leave(struct mbe_cmd *cmd)
{
	struct mbe_queue_priv *priv = cmd->queue->priv;

	pthread_mutex_lock(&priv->lock);
	*cmd->link = cmd->next;
	if (cmd->next)
		cmd->next->link = cmd->link;
	pthread_mutex_unlock(&priv->lock);
}

/* Command number seq has been completed. The held one that can start now, or NULL. */
static struct mbe_cmd *ended(struct mbe_queue_priv *priv, uint64_t seq)
{
	struct mbe_cmd *cmd, *start = NULL;

	pthread_mutex_lock(&priv->lock);
	for (cmd = priv->held; cmd && cmd->seq < seq; cmd = cmd->pnext)
		;
	if (cmd)
		cmd->waits_for--;
	else
		priv->rest--;
	if (priv->held && !priv->held->waits_for) {
		start = priv->held;
		unhold(priv, start);
	}
	priv->n--;
	pthread_mutex_unlock(&priv->lock);
	return start;
}

/* What an abort has to tell GET_OUTCOMES of a command. */
static void tell_outcome(struct mbe *e, const struct mbe_cmd *cmd)
{
	struct membox_fmt_outcome what = {
		.word = (uint64_t)(mbe_context_gen(e, cmd->p.context) & 0xffff) << 16 |
			(uint64_t)(cmd->p.context & 0xff) << 8 | 1,
		.user_data = cmd->p.user_data,
		.torn_at = cmd->c.bytes,
		.status = cmd->c.status,
	};

	what.outcome = !cmd->c.status ? MEMBOX_OUTCOME_DONE :
		       cmd->changed ? MEMBOX_OUTCOME_TORN : MEMBOX_OUTCOME_NOT_BEGUN;
	mbe_outcome_add(e, e->port,
			__atomic_fetch_add(&e->exec->outcome_seq, 1, __ATOMIC_RELAXED), &what);
}

void mbe_outcome_keep(struct mbe *e, const struct mbe_cmd *cmd)
{
	if (!mbe_abort_asked(cmd) && mbe_context_open(e, cmd->p.context))
		tell_outcome(e, cmd);
}

void mbe_complete(struct mbe *e, struct mbe_cmd *cmd)
{
	struct mbe_queue *q = cmd->queue;
	struct membox_completion c;
	uint64_t seq = cmd->seq;
	struct mbe_cmd *next;
	uint32_t writer;

	cmd->c.user_data = cmd->p.user_data;
	cmd->c.cid = cmd->p.cid;
	cmd->c.end = mbe_clock(e);
	leave(cmd);
	if (cmd->c.status != MEMBOX_ST_AGAIN) { /* which is: withdrawn */
		mbe_count(e, MEMBOX_CTR_OPERATIONS, 1);
		if (cmd->c.status)
			mbe_count(e, MEMBOX_CTR_ERRORS, 1);
		if (mbe_abort_asked(cmd))
			tell_outcome(e, cmd);
	}
	c = cmd->c;
	writer = cmd->writer;
	cmd->done(cmd, &c);
	if (writer)
		mbe_writer_free(e->exec, writer - 1);
	next = ended(q->priv, seq);
	if (next)
		q->ready(q, next);
}

/* Ends a command that does not run. */
static void end_early(struct mbe *e, struct mbe_cmd *cmd, bool waiting)
{
	if (waiting)
		mbe_wait_release(e, cmd);
	mbe_complete(e, cmd);
}

/*
 * Asks one command to end. With both locks held. Those that can be completed at
 * once are put on *others or *waits, collectives, whose other ranks are to be told, on
 * *colls; a running one looks by itself.
 */
static void ask(struct mbe_queue_priv *priv, struct mbe_cmd *cmd, uint16_t status,
		struct mbe_cmd **others, struct mbe_cmd **waits, struct mbe_cmd **colls)
{
	uint32_t none = 0;
	struct mbe_cmd **to = others;

	if (status == MEMBOX_ST_AGAIN && !mbe_cmd_can_move(cmd))
		return; /* others count on what it has done */
	__atomic_compare_exchange_n(&cmd->abort, &none, status, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
	switch (__atomic_load_n(&cmd->state, __ATOMIC_RELAXED)) {
	case MBE_CMD_HELD:
		if (cmd->pnext)
			cmd->pnext->waits_for += cmd->waits_for;
		else
			priv->rest += cmd->waits_for;
		unhold(priv, cmd);
		cmd->c.status = status;
		cmd->c.start = mbe_clock(priv->q->engine);
		break;
	case MBE_CMD_WAITING:
		mbe_unpark(cmd);
		cmd->c.status = status;
		to = waits;
		break;
	case MBE_CMD_AGAIN:
		mbe_unpark(cmd);
		cmd->c.status = status;
		break;
	case MBE_CMD_COLL:
		mbe_coll_unpark(cmd);
		mbe_unpark(cmd);
		to = colls;
		break;
	case MBE_CMD_DELAYED:
		mbe_unpark(cmd); /* it is done: with what it was done */
		break;
	default:
		return;
	}
	cmd->pnext = *to;
	*to = cmd;
}

unsigned int mbe_abort(struct mbe *e, struct mbe_queue *q,
		       bool (*match)(const struct mbe_cmd *cmd, void *arg), void *arg,
		       uint16_t status)
{
	struct mbe_cmd *others = NULL, *waits = NULL, *colls = NULL, *cmd;
	struct mbe_queue_priv *priv;
	unsigned int found = 0;

	if (e->forgotten)
		return 0;
	pthread_mutex_lock(&e->exec->lock);
	for (priv = e->exec->queues; priv; priv = priv->next) {
		if (q && priv != q->priv)
			continue;
		pthread_mutex_lock(&priv->lock);
		for (cmd = priv->inflight; cmd; cmd = cmd->next) {
			if (!match(cmd, arg))
				continue;
			found++;
			ask(priv, cmd, status, &others, &waits, &colls);
		}
		pthread_mutex_unlock(&priv->lock);
	}
	pthread_mutex_unlock(&e->exec->lock);
	while ((cmd = waits)) {
		waits = cmd->pnext;
		end_early(e, cmd, true);
	}
	while ((cmd = colls)) {
		colls = cmd->pnext;
		cmd->pnext = NULL;
		mbe_coll_resume(e, cmd); /* it finds what was asked of it */
	}
	while ((cmd = others)) {
		others = cmd->pnext;
		end_early(e, cmd, false);
	}
	return found;
}

unsigned int mbe_withdraw(struct mbe *e, struct mbe_queue *q,
			  bool (*match)(const struct mbe_cmd *cmd, void *arg), void *arg)
{
	return mbe_abort(e, q, match, arg, MEMBOX_ST_AGAIN);
}

bool mbe_cmd_can_move(const struct mbe_cmd *cmd)
{
	switch (__atomic_load_n(&cmd->state, __ATOMIC_RELAXED)) {
	case MBE_CMD_HELD:
	case MBE_CMD_WAITING:
	case MBE_CMD_AGAIN:
		return true;
	default:
		return false;
	}
}

uint64_t mbe_cmd_number(const struct mbe_cmd *cmd)
{
	return cmd->seq;
}

uint64_t mbe_cmd_until(const struct mbe_cmd *cmd)
{
	return __atomic_load_n(&cmd->state, __ATOMIC_RELAXED) == MBE_CMD_WAITING ? cmd->deadline : 0;
}

static bool is_victim(const struct mbe_cmd *cmd, void *arg)
{
	const struct mbe_run *run = arg;

	return cmd != run->cmd && cmd->p.context == run->p->context &&
	       cmd->p.user_data == run->p->word.value;
}

uint16_t mbe_op_cancel(struct mbe_run *run)
{
	run->result = mbe_abort(run->e, NULL, is_victim, run, MEMBOX_ST_ABORTED);
	return MEMBOX_ST_OK;
}
