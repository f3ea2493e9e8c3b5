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
	uint64_t caps_off;	/* MEMBOX_CAP_* to do without */
	uint64_t quota_bytes;	/* of parameters created; 0: none */
	uint32_t quota_params;	/* 0: none */
	uint64_t delay_ns;	/* injected before each completion */
	uint64_t poison_first, poison_bytes; /* box addresses that answer MEDIA_ERROR */
	/*
	 * A context has an event, mail or (context 0) something to make progress
	 * on. Called from whichever thread found out, with no engine lock held.
	 */
	void (*event)(void *arg, unsigned int context);
	void *arg;
};

/* Opens, checks, recovers what the dead left, takes a port. -errno or 0. */
int mbe_attach(const char *path, const struct mbe_attach_opts *opts, struct mbe **out,
	       char text[MBE_ERR_TEXT]);

/* Ends all contexts; nothing may be in flight. Gives the port back. */
void mbe_detach(struct mbe *e);

/* In a forked child: forget the port without touching the box. */
void mbe_forget(struct mbe *e);

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
	bool changed;	/* common memory: the outcome is TORN, not NOT_BEGUN */
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
 * by the thread that completed the last of those it waited for).
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
 * Checks and executes on the calling thread; a WAIT that is not satisfied parks
 * without a thread. cmd was entered into its queue and is ready.
 */
void mbe_execute(struct mbe *e, struct mbe_cmd *cmd);

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
