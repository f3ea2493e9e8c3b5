/* SPDX-License-Identifier: MIT */
/*
 * engine.h - what a membox does, as a plain C library: no QEMU, no kernel, no
 * globals. One struct mbe is one port of one box, attached by this process. The
 * device model has one a device, the library's file back end one a box opened.
 *
 * Any thread may call any function unless it says otherwise. Functions return
 * an enum membox_status (0 is success) unless they say otherwise.
 */
#ifndef MBE_ENGINE_H
#define MBE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "membox_check.h"

#define MBE_ERR_TEXT 256

struct mbe;
struct mbe_coll;

/* ---- boxes: format.c, attach.c ---- */

struct mbe_format_opts {
	uint64_t bytes;	  /* of the file; 0: keep the size that the file has */
	uint32_t ports;	  /* 0: 16 */
	uint32_t params;  /* 0: 1024 */
	uint32_t groups;  /* 0: 64 */
	bool force;	  /* also over a box that is there */
};

/*
 * Makes a box of the file (created 0600 when missing), every byte allocated.
 * On failure text says what, how much, and what to do. -errno or 0.
 */
int mbe_format(const char *path, const struct mbe_format_opts *opts, char text[MBE_ERR_TEXT]);

#define MBE_PORT_AUTO (-1)

struct mbe_attach_opts {
	int port;		/* MBE_PORT_AUTO: the first free one */
	bool have_principal;	/* false: random */
	uint8_t principal[16];
	bool rdonly;		/* the port may not change anything of parameters */
	bool is_operator;	/* may revoke and destroy what is not its own */
	bool resume;		/* takes no port yet: mbe_resume will, a suspended one */
	uint64_t caps_off;	/* MEMBOX_CAP_* to do without */
	uint64_t quota_bytes;	/* of parameters created; 0: none */
	uint32_t quota_params;	/* 0: none */
	uint32_t quota_waiters;	/* of WAITs that are parked; 0: as many as the box has for a port */
	uint32_t quota_writers;	/* that change the box at once, more wait; 0: likewise */
	uint64_t delay_ns;	/* injected before each completion */
	uint64_t poison_first, poison_bytes; /* box addresses that answer MEDIA_ERROR */
	/*
	 * A context has an event, mail or (context 0) something to make progress
	 * on. Called from whichever thread found out, with no engine lock held.
	 */
	void (*event)(void *arg, unsigned int context);
	/* Parameters were revoked: some that are held may be among them. Called likewise. */
	void (*revoked)(void *arg);
	void *arg;
};

/* Opens, checks, recovers what the dead left, takes a port. -errno or 0. */
int mbe_attach(const char *path, const struct mbe_attach_opts *opts, struct mbe **out,
	       char text[MBE_ERR_TEXT]);

/* Ends all contexts; nothing may be in flight. Gives the port back. */
void mbe_detach(struct mbe *e);

/* In a forked child: forget the port without touching the box. */
void mbe_forget(struct mbe *e);

/*
 * A port changes its process: suspend.c. mbe_suspend leaves it in the box as
 * SUSPENDED, with all that it has; nothing may be in flight and no other thread in
 * the engine. From then on the engine is away: it answers GONE and touches nothing,
 * until mbe_resume takes a port back that waits under that uuid, be it this one or
 * that of another process (attached with opts.resume). -errno or 0, with text.
 */
uint16_t mbe_suspend(struct mbe *e, const uint8_t uuid[16]);
int mbe_resume(struct mbe *e, const uint8_t uuid[16], char text[MBE_ERR_TEXT]);
bool mbe_away(const struct mbe *e);

uint64_t mbe_clock(const struct mbe *e); /* nanoseconds, the same for all ports */
uint64_t mbe_caps(const struct mbe *e);
uint64_t mbe_max_bytes(const struct mbe *e);
uint32_t mbe_port(const struct mbe *e);
uint32_t mbe_ports(const struct mbe *e);
const uint8_t *mbe_uuid(const struct mbe *e);
uint64_t mbe_data_bytes(const struct mbe *e);
uint32_t mbe_port_state(struct mbe *e, uint32_t port); /* enum membox_port_state */

/* A counter of this port (enum membox_counter): read, and add. */
uint64_t mbe_counter(const struct mbe *e, unsigned int counter);
void mbe_count(struct mbe *e, unsigned int counter, uint64_t n);

/* Checks every record of the box; calls report for each finding. Number of findings. */
unsigned int mbe_fsck(struct mbe *e, void (*report)(void *arg, const char *text), void *arg);

/* ---- administration: admin.c ---- */

/*
 * Executes an "E" command of enum membox_admin_opcode for a context. buf holds
 * the command's structure (bytes long), is checked whole before anything is
 * done, and gets the answer. Never blocks longer than the table's lock.
 */
uint16_t mbe_admin(struct mbe *e, unsigned int context, uint8_t opcode, void *buf, size_t bytes);

/* Where an open parameter lies, for windows and mmap: file offset, length, rights. */
struct mbe_extent {
	uint64_t offset; /* of the file, a multiple of 4096 */
	uint64_t length; /* a multiple of 4096 */
	uint32_t rights; /* MEMBOX_WIN_* */
	uint32_t param;	 /* identity of the parameter: index, and ... */
	uint64_t serial; /* ... what tells it from others at the same index */
};
/* Holds the parameter as an open handle would until mbe_extent_put. */
uint16_t mbe_extent_get(struct mbe *e, unsigned int context, uint32_t handle,
			struct mbe_extent *out);
void mbe_extent_put(struct mbe *e, const struct mbe_extent *x);
/* Was the parameter revoked? */
bool mbe_extent_revoked(const struct mbe *e, const struct mbe_extent *x);
/* After mbe_resume: the extent of a parameter that this port holds; false: it holds none. */
bool mbe_extent_find(struct mbe *e, uint32_t param, uint64_t serial, struct mbe_extent *out);
/*
 * Ends a context as CTX_DESTROY does, because its owner is reset: GET_OUTCOMES still
 * answers for it, until its number is made anew.
 */
uint16_t mbe_context_reset(struct mbe *e, unsigned int context);
/* Is the context open? */
bool mbe_has_context(const struct mbe *e, unsigned int context);

/* ---- execution: exec.c, queue.c ---- */

/*
 * A command: the caller's memory until done() is called, exactly once, perhaps
 * before mbe_execute() returns. The caller has checked nothing but the host
 * vectors' validity: host covers membox_host_bytes(&p), host2 likewise.
 */
struct mbe_cmd {
	struct membox_packet p; /* private copy; context and cid as in a descriptor */
	const struct iovec *host, *host2;
	unsigned int nhost, nhost2;
	void (*done)(struct mbe_cmd *cmd, const struct membox_completion *c);
	void *arg;
	/* the caller has passed this very copy through membox_check_packet already */
	bool checked;

	/* the engine's own */
	struct mbe_queue *queue;
	struct mbe_cmd *next, **link;	 /* the queue's commands in flight */
	struct mbe_cmd *pnext, **plink; /* what is held behind a fence, or parked */
	struct membox_completion c;
	uint64_t seq, deadline;
	uint64_t until; /* a SNAPSHOT that is tried again: when it gives up; 0: not yet */
	uint64_t waits_for;
	uint32_t state;
	uint32_t waiter;
	uint32_t abort; /* the status to end with, 0: none asked for */
	uint64_t held[8]; /* struct mbe_operand: the parameter that a parked WAIT holds */
	struct mbe_coll *coll; /* a collective that has begun */
	bool changed;	/* common memory: the outcome is TORN, not NOT_BEGUN */
	uint32_t writer; /* number + 1 of the writer's record that is kept until it is completed */
};

/*
 * All checks that need no host memory: those of membox_check_packet and, after
 * them, the operands' (BAD_CONTEXT ... OVERLAP). No side effect. mbe_execute
 * does it again, whole: this is for a caller that wants the answer early.
 */
uint16_t mbe_validate(struct mbe *e, const struct mbe_cmd *cmd, uint32_t *detail);

/*
 * A queue orders its commands: FENCE and MEMBOX_F_FENCE. A command is entered
 * in order (one thread at a time enters), and may then be started when enter
 * said true, or later when ready() is called for it (with no engine lock held,
 * by the thread that completed the last of those it waited for). ready() is also
 * called, by mbe_progress(), for a long collective that was parked and can go on:
 * mbe_execute() then does so.
 */
struct mbe_queue {
	struct mbe *engine;
	void (*ready)(struct mbe_queue *q, struct mbe_cmd *cmd);
	void *arg;
	/* the engine's own, zeroed by mbe_queue_init */
	void *priv;
};
int mbe_queue_init(struct mbe_queue *q, struct mbe *e); /* -errno or 0 */
void mbe_queue_fini(struct mbe_queue *q);		/* nothing may be in flight */
bool mbe_queue_enter(struct mbe_queue *q, struct mbe_cmd *cmd);
unsigned int mbe_queue_inflight(struct mbe_queue *q);

/*
 * Checks and executes on the calling thread; a WAIT that is not satisfied, and a
 * collective whose other ranks are not there, park without a thread. cmd was entered into its queue and is ready.
 */
void mbe_execute(struct mbe *e, struct mbe_cmd *cmd);

/*
 * Executes a small command here and now, without its queue, when nothing can make
 * it wait or be refused: few bytes of one stripe that nobody holds, no fence, no
 * injected fault. True: it has happened, and cmd->c is its completion; done() is
 * not called. False: nothing was done, and cmd is to be entered into its queue.
 * start is the clock as it begins, 0: it is read here; MBE_UNTIMED: nobody will look
 * at the completion's times. Of cmd, p, host, nhost and checked are set.
 */
#define MBE_UNTIMED UINT64_MAX
#define MBE_SMALL_BYTES 4096 /* of the destination; and elements */
bool mbe_execute_small(struct mbe *e, struct mbe_cmd *cmd, uint64_t start);

/* Is it worth trying? */
static inline bool mbe_is_small(uint8_t opcode, uint32_t flags, uint64_t count)
{
	if (flags & MEMBOX_F_FENCE || count > MBE_SMALL_BYTES)
		return false;
	switch (opcode) {
	case MEMBOX_OP_READ:
	case MEMBOX_OP_WRITE:
	case MEMBOX_OP_COPY:
	case MEMBOX_OP_FILL:
	case MEMBOX_OP_ACC:
	case MEMBOX_OP_SCALE:
	case MEMBOX_OP_AXPBY:
	case MEMBOX_OP_ATOMIC:
		return true;
	default:
		return false;
	}
}

static inline bool mbe_looks_small(const struct membox_packet *p)
{
	return mbe_is_small(p->opcode, p->flags, p->count);
}

/*
 * Ends commands that are parked, held behind a fence, or running (at the next
 * stripe boundary) and for which match says true, with `status`. q NULL: of all
 * queues. Returns how many it found; each still completes through done(), with
 * its own status if it had done all its work. match is called with the engine's
 * command lock held and must not block.
 */
unsigned int mbe_abort(struct mbe *e, struct mbe_queue *q,
		       bool (*match)(const struct mbe_cmd *cmd, void *arg), void *arg,
		       uint16_t status);

/*
 * Takes commands that do not run out of a queue, to be executed elsewhere: as
 * mbe_abort, but done() is told AGAIN, nothing is counted and no outcome kept.
 * match looks at what it needs: mbe_cmd_number orders them, mbe_cmd_until is the
 * clock when a parked WAIT times out (0: it has not begun to wait).
 */
unsigned int mbe_withdraw(struct mbe *e, struct mbe_queue *q,
			  bool (*match)(const struct mbe_cmd *cmd, void *arg), void *arg);
bool mbe_cmd_can_move(const struct mbe_cmd *cmd); /* else it is not taken, and match is to say false */
uint64_t mbe_cmd_number(const struct mbe_cmd *cmd);
uint64_t mbe_cmd_until(const struct mbe_cmd *cmd);

/*
 * done() could not give the completion to anybody (a reset): keeps the outcome, if
 * that was not done already. From done() only, or before the command was entered, with
 * cmd->c filled.
 */
void mbe_outcome_keep(struct mbe *e, const struct mbe_cmd *cmd);

/* Completes at once what is done and waits for the injected delay. How many there were. */
unsigned int mbe_end_delays(struct mbe *e);

/*
 * Makes parked commands advance: words that changed, time-outs, liveness of
 * ports, mail and events. Returns the clock value when it wants to be called
 * again at the latest (UINT64_MAX: no need).
 */
uint64_t mbe_progress(struct mbe *e);

/*
 * Sleeps until another port or this process woke this port, or the clock
 * reaches `until`; mbe_wake ends the sleep from another thread. `seen` comes
 * from mbe_wake_seen() before the last check of what is waited for.
 */
uint32_t mbe_wake_seen(struct mbe *e);
void mbe_sleep(struct mbe *e, uint32_t seen, uint64_t until);
void mbe_wake(struct mbe *e);

#endif /* MBE_ENGINE_H */
