/* SPDX-License-Identifier: MIT */
/*
 * exec.h - what the files of the execution half share: one command while it
 * runs (struct mbe_run), the writer's record in the box (journal.c), stripes,
 * versions, host memory, and the commands that are parked.
 *
 * Lock order: e->exec->lock, then a queue's lock; e->exec->lock, then what
 * mbe_operand_get/put take. coll_lock is a leaf. A stripe is locked with none of these held, one at a
 * time, and nothing but memory is touched until it is unlocked. done(), ready()
 * and event() are called with no lock at all.
 */
#ifndef MBE_EXEC_H
#define MBE_EXEC_H

#include "internal.h"

/* How long a command waits for a stripe whose holder does not come on. */
#define MBE_PATIENCE_NS 10000000000ULL

struct mbe_exec {
	uint64_t patience_ns; /* MBE_PATIENCE_NS; tests have less */
	pthread_mutex_t lock; /* parked commands, the list of queues */
	struct mbe_cmd *parked;
	uint64_t next_deadline; /* what mbe_progress answered last */
	struct mbe_queue_priv *queues;

	uint64_t writers_free; /* bit: writer's record of this port is free; atomic */
	uint32_t writers_wanted; /* threads that wait for one; under writer_lock */
	pthread_mutex_t writer_lock;
	pthread_cond_t writer_cond;
	uint32_t outcome_seq;	/* of the next outcome, atomic */

	pthread_mutex_t coll_lock; /* coll.h */
	struct mbe_seat *seats;
};

struct mbe_coll;

static inline bool mbe_is_coll(uint8_t opcode)
{
	return opcode >= MEMBOX_OP_ALLREDUCE && opcode <= MEMBOX_OP_BARRIER;
}

/* ---- host memory: host.c ---- */

/* A place in a command's host vectors, which only goes forward. */
struct mbe_host {
	const struct iovec *v, *end;
	size_t at; /* in *v */
	bool stream; /* what is copied is past the caches: mbe_copy_stream */
};

void mbe_host_open(struct mbe_host *h, const struct iovec *v, unsigned int n);
/* The bytes that lie in one piece here, at most max; 0 at the end. */
size_t mbe_host_piece(struct mbe_host *h, size_t max, uint8_t **piece);
void mbe_host_advance(struct mbe_host *h, size_t bytes);
/* Copies and advances; the vectors hold as much (the caller of the engine checked). */
void mbe_host_get(struct mbe_host *h, void *to, size_t bytes);
void mbe_host_put(struct mbe_host *h, const void *from, size_t bytes);

/* ---- copies past the caches: copy.c ---- */

/*
 * From how many bytes on a move goes past the caches. Less is in the cache still when
 * somebody uses it next, and then costs less to write and much less to read
 * (docs/performance.md).
 */
#define MBE_STREAM_BYTES (8ULL << 20)

/* memcpy with stores that do not fetch what they overwrite; visible when it returns. */
void mbe_copy_stream(void *to, const void *from, size_t bytes);

/* ---- a command while it runs ---- */

struct mbe_run {
	struct mbe *e;
	struct mbe_cmd *cmd; /* NULL when recovery rolls a dead one forward */
	const struct membox_packet *p;
	unsigned int held;	  /* bit i: op[i] is */
	const struct mbe_source *terms; /* WSUM */
	struct mbe_host host;
	uint8_t *dst;		/* first byte of the destination (READ: of what is read) */
	const uint8_t *src;	/* of the source in the box, NULL: host or none */
	uint64_t bytes;		/* of the destination that are to be done, ... */
	uint64_t done;		/* ... and that are */
	uint64_t version;
	uint64_t result;
	uint32_t detail;

	/* the writer's record: journal.c */
	struct membox_fmt_undo *undo; /* NULL: none taken */
	unsigned int writer;
	uint32_t undo_seq;
	bool journal; /* keep the old bytes of each stripe */

	/* a small command (exec_small.c) has both before it begins */
	bool seized;	/* `writer` is taken, ... */
	__u64 *stripe;	/* ... and this, the lock word of its only stripe */

	struct mbe_operand op[2]; /* handle[0] and handle[1]; last: not cleared in vain */
};

/* Does one stretch of the destination, at bytes into it; the stripe is locked. */
typedef void mbe_stretch_fn(struct mbe_run *run, uint64_t at, uint64_t bytes);

/* ---- exec.c ---- */

void mbe_run_open(struct mbe_run *run, struct mbe *e, struct mbe_cmd *cmd);
/* Runs what was checked, by its operation; the caller has entered the rounding environment. */
uint16_t mbe_run_dispatch(struct mbe_run *run);
/* What became of it, into the command's completion. */
void mbe_run_report(const struct mbe_run *run, uint16_t status);

/* ---- checks: exec_check.c ---- */

/*
 * All checks of a packet, in order, first shape, then operands. Holds the
 * operands when it returns OK (mbe_run_put lets go). Sets run->detail. checked: its shape was.
 */
uint16_t mbe_check_command(struct mbe_run *run, bool checked);
void mbe_run_put(struct mbe_run *run);

/* Type, right and range of one operand. */
uint16_t mbe_check_operand(struct mbe *e, const struct mbe_operand *op, uint8_t type, bool raw,
			   uint32_t right, uint64_t offset, uint64_t count);
/* Do two ranges of the box overlap, otherwise than by starting at the same byte? */
bool mbe_ranges_cross(uint64_t a, uint64_t na, uint64_t b, uint64_t nb);

/*
 * Cuts run->bytes at the first poisoned byte of the operand's range, which is
 * `bytes` long for each `per` bytes of the destination. MEDIA_ERROR when it did.
 */
uint16_t mbe_poison_cut(struct mbe_run *run, const struct mbe_operand *op, const uint8_t *from,
			uint64_t size, uint64_t dst_size, uint32_t detail);

/* ---- stripes: stripe.c ---- */

/* Lock word of the stripe that holds this byte of the file. */
__u64 *mbe_stripe_word(struct mbe *e, uint64_t offset);
/*
 * Locks it; recovers a dead holder first. OK, OWNER_STALLED, TIMED_OUT, OWNER_DEAD,
 * CORRUPT, or what was asked of the command by mbe_abort: who resets a device gives
 * its memory away a few seconds later, and must not wait for another port's patience.
 */
uint16_t mbe_stripe_lock(struct mbe *e, __u64 *word, const struct mbe_cmd *cmd);

/*
 * Runs fn over run->bytes of run->dst, stripe by stripe, each locked; changes
 * are recorded by the journal when the run has a writer's record. Stops at a
 * stripe's end when the command was aborted. Advances run->done.
 */
uint16_t mbe_stripes(struct mbe_run *run, mbe_stretch_fn *fn);

/* ---- the writer's record: journal.c ---- */

/*
 * Takes a writer's record and says in it what the command is; bumps `begun`.
 * Ends with mbe_write_end, which bumps `finished` and wakes who waits. The command
 * keeps the record until its completion was given, so that no other writes over what
 * it says before; mbe_writer_told gives it back earlier.
 */
void mbe_write_begin(struct mbe_run *run);
void mbe_write_end(struct mbe_run *run);
void mbe_writer_told(struct mbe *e, struct mbe_cmd *cmd);
void mbe_writer_free(struct mbe_exec *x, unsigned int bit);

/*
 * A writer's record, if one is free and no recovery is settling the counters of
 * operand 0: then mbe_write_begin will not wait. It is given back by
 * mbe_writer_told, or by mbe_writer_give when nothing has begun.
 */
bool mbe_writer_try(struct mbe_run *run);
void mbe_writer_give(struct mbe_run *run);

/*
 * Changes a stripe, which is locked, by fn, piece by piece: the record tells how many
 * of its old bytes are kept, and none is changed before it is.
 */
void mbe_undo_change(struct mbe_run *run, uint64_t at, uint64_t bytes, mbe_stretch_fn *fn);

/* Between begin and end: does all of run with fn. */
uint16_t mbe_change(struct mbe_run *run, mbe_stretch_fn *fn);

/* ---- outcomes: outcome.c ---- */

/* Writes an outcome record into the ring of a port; what->word without its sequence. */
void mbe_outcome_add(struct mbe *e, uint32_t port, uint32_t seq,
		     const struct membox_fmt_outcome *what);
uint32_t mbe_outcome_next(struct mbe *e, uint32_t port); /* sequence that comes next */
/* Was the outcome of this very command written already? */
bool mbe_outcome_known(struct mbe *e, uint32_t port, const struct membox_fmt_outcome *what);

/* ---- the operations: move.c, compute.c, wsum.c, atomic.c, wait.c ---- */

uint16_t mbe_op_read(struct mbe_run *run);
uint16_t mbe_op_write(struct mbe_run *run);
uint16_t mbe_op_copy(struct mbe_run *run);
uint16_t mbe_op_fill(struct mbe_run *run);
uint16_t mbe_op_acc(struct mbe_run *run);
uint16_t mbe_op_scale(struct mbe_run *run);
uint16_t mbe_op_axpby(struct mbe_run *run);
uint16_t mbe_op_wsum(struct mbe_run *run);
uint16_t mbe_op_atomic(struct mbe_run *run);
uint16_t mbe_op_notify(struct mbe_run *run);
uint16_t mbe_op_cancel(struct mbe_run *run);

/*
 * The stretch of an operation whose whole source is the box, NULL for others:
 * recovery can run it again from the record alone.
 */
mbe_stretch_fn *mbe_forward_fn(const struct membox_packet *p);
mbe_stretch_fn mbe_stretch_copy, mbe_stretch_fill, mbe_stretch_acc, mbe_stretch_scale,
	mbe_stretch_axpby;

/* AGAIN from these: the command is parked, and must not be looked at any more. */
uint16_t mbe_op_wait(struct mbe_run *run);
uint16_t mbe_op_snapshot(struct mbe_run *run);

/* ---- collectives: coll.c, coll_seat.c, coll_data.c ---- */

/* AGAIN: it is parked. Else it is over, and cmd->c is filled: complete it. */
uint16_t mbe_op_coll(struct mbe_run *run);
/* Goes on with one that was parked, and completes it or parks it again. */
void mbe_coll_resume(struct mbe *e, struct mbe_cmd *cmd);
/* Could a parked one go on, or has it to end? With e->exec->lock. */
bool mbe_coll_ready(struct mbe *e, const struct mbe_cmd *cmd, uint64_t now);
bool mbe_coll_is_long(const struct mbe_cmd *cmd); /* too much work for who makes all progress */
/* It is parked no more. With e->exec->lock. */
void mbe_coll_unpark(struct mbe_cmd *cmd);
void mbe_seats_free(struct mbe *e);

/* ---- parked commands and completion: wait.c, queue.c ---- */

enum mbe_cmd_state {
	MBE_CMD_HELD = 1,   /* behind a fence */
	MBE_CMD_READY = 2,  /* entered, or running */
	MBE_CMD_WAITING = 3, /* a WAIT, parked */
	MBE_CMD_DELAYED = 4, /* done, completes later */
	MBE_CMD_AGAIN = 5, /* a SNAPSHOT between two tries, parked */
	MBE_CMD_COLL = 6 /* a collective, parked */
};

/* What was asked of a running command by mbe_abort: a status, 0: nothing. */
static inline uint16_t mbe_abort_asked(const struct mbe_cmd *cmd)
{
	return cmd ? (uint16_t)__atomic_load_n(&cmd->abort, __ATOMIC_RELAXED) : 0;
}

/* Runs a command that was entered, or that was parked to be tried again. */
void mbe_run_command(struct mbe *e, struct mbe_cmd *cmd);

/*
 * Parks a command that has to be run again before cmd->until, a little later. AGAIN,
 * or with what it ends: TIMED_OUT, or what mbe_abort asked for.
 */
uint16_t mbe_run_later(struct mbe_run *run);

/* A parked WAIT lets go of its parameter and its waiter. No lock held. */
void mbe_wait_release(struct mbe *e, struct mbe_cmd *cmd);

/* Parks a command until cmd->deadline. With e->exec->lock held. */
void mbe_park(struct mbe *e, struct mbe_cmd *cmd, enum mbe_cmd_state state);
/* Takes it off again. */
void mbe_unpark(struct mbe_cmd *cmd);

/* Completes: cmd->c is filled but for its identity and end. done(), then what was held. */
void mbe_complete(struct mbe *e, struct mbe_cmd *cmd);
/* The same after the injected delay. */
void mbe_complete_delayed(struct mbe *e, struct mbe_cmd *cmd);

#endif /* MBE_EXEC_H */
