/* SPDX-License-Identifier: MIT */
/*
 * backend.h - how the library reaches a box: one table of functions for the
 * driver (backend_dev.c) and one for the engine in this process (backend_file.c).
 *
 * A request is one packet on its way. It is the caller's memory until the back
 * end called mb_req_done() for it, once, from whichever thread found out, with
 * none of the back end's locks held.
 */
#ifndef MB_BACKEND_H
#define MB_BACKEND_H

#include <stdbool.h>
#include <sys/uio.h>

#include <membox/membox.h>

#include "engine.h"

struct mb_flight;
struct mb_userq; /* backend_userq.c */

struct mb_req {
	struct membox_packet packet;
	struct membox_completion c; /* valid when done */
	struct mb_flight *flight;
	union {
		struct {
			struct mbe_cmd cmd;
			struct iovec iov, iov2;
			struct mb_req *next; /* on the list of those that a fence let go */
		} file;
		struct {
			struct mb_req *next, *prev; /* on the list of what is in flight */
			struct mb_userq *uq; /* its lane's queue, if it has one, ... */
			bool is_here;	     /* ... in which it is, not with the driver */
			uint8_t slot[2];     /* of the queue's own memory */
		} dev;
	} u;
};

void mb_req_done(struct mb_req *req);

/* What fences are about: requests of one lane, entered by one thread at a time. */
struct mb_lane {
	struct mbe_queue queue; /* file back end only */
	struct mb_userq *uq;	/* driver back end: NULL: all goes through the driver */
};

struct mb_wait {
	bool (*ready)(void *arg); /* called often, must not block */
	void *arg;
	uint64_t deadline; /* mb_now() */
};

struct mb_backend {
	/* name is the uri without its scheme. Sets box->state. 0 or -errno with text. */
	int (*open)(struct membox *box, const char *name, const struct membox_open_opts *opts);
	void (*close)(struct membox *box);  /* no request is in flight */
	void (*forget)(struct membox *box); /* in a forked child, inside fork() */

	/* An administration command: enum membox_status, or -errno. */
	int (*admin)(struct membox *box, uint8_t opcode, void *buf, size_t bytes);

	int (*lane_open)(struct membox *box, struct mb_lane *lane);
	void (*lane_close)(struct membox *box, struct mb_lane *lane);

	/*
	 * Sends requests; returns how many it took (then mb_req_done follows for
	 * each) or, when none, -errno. With wait it goes on as wait() once all are taken.
	 */
	int (*submit)(struct membox *box, struct mb_lane *lane, struct mb_req **reqs,
		      unsigned int n, const struct mb_wait *wait);
	/*
	 * Does a small request on this thread, at once, when nothing can make it wait or
	 * be refused: true, and req->c is valid; mb_req_done() is not called. False:
	 * nothing was done, submit it. start: box's clock as it begins, 0: unknown,
	 * MBE_UNTIMED: the completion's times are not asked for. NULL: cannot.
	 */
	bool (*now)(struct membox *box, struct mb_req *req, uint64_t user_data, uint64_t start);
	/* Makes progress until wait->ready: 0, or -ETIMEDOUT. deadline 0: does not sleep. */
	int (*wait)(struct membox *box, const struct mb_wait *wait);
	void (*cancel)(struct membox *box, struct mb_lane *lane, struct mb_req *req);

	/*
	 * Sleeps until something new may be there for MAIL_RECV and EVENT_READ;
	 * seen comes from event_seen() before the last look. 0 or -ETIMEDOUT.
	 */
	uint32_t (*event_seen)(struct membox *box);
	int (*event_wait)(struct membox *box, uint32_t seen, uint64_t deadline);
	/* A descriptor to poll for events / for completions not yet dispatched, or -errno. */
	int (*event_fd)(struct membox *box);
	/* Adds to the epoll set what becomes readable when wait() would make progress. */
	int (*poll_add)(struct membox *box, int epoll);

	int (*map)(struct membox *box, uint32_t handle, int prot, uint64_t bytes, void **addr,
		   void **cookie);
	void (*unmap)(struct membox *box, void *addr, uint64_t bytes, void *cookie);

	/* Registers memory: a name for region_del, 0 when it is used without. NULL: not needed. */
	uint32_t (*region_add)(struct membox *box, void *addr, size_t bytes);
	void (*region_del)(struct membox *box, uint32_t key);

	int (*fsck)(struct membox *box, void (*report)(void *, const char *), void *arg);
};

extern const struct mb_backend mb_backend_dev;
extern const struct mb_backend mb_backend_file;

#endif /* MB_BACKEND_H */
