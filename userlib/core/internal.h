/* SPDX-License-Identifier: MIT */
/*
 * internal.h - what the files of the core share.
 *
 * Locks, in this order: the list of boxes (fork.c), box->lock (lists of what
 * the box holds), param->lock (mappings), param->rmw (fallback), box->lanes
 * lock, chan->lock, the back end's own. None is held while a request executes but
 * param->rmw.
 */
#ifndef MB_INTERNAL_H
#define MB_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "backend.h"

#define MB_VERSION "1.0.0"
#define MB_EXPORT __attribute__((visibility("default")))
#define MB_PRINTF(f, a) __attribute__((format(printf, f, a)))

struct mb_list {
	struct mb_list *next, *prev;
};

static inline void mb_list_init(struct mb_list *l)
{
	l->next = l->prev = l;
}

static inline void mb_list_add(struct mb_list *head, struct mb_list *l)
{
	l->next = head;
	l->prev = head->prev;
	head->prev->next = l;
	head->prev = l;
}

static inline void mb_list_del(struct mb_list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	mb_list_init(l);
}

#define mb_entry(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

struct mb_pooled_lane {
	struct mb_lane lane;
	struct mb_pooled_lane *next;
};

struct mb_mapped; /* map.c */

/* The first few regions, to be looked through without a lock: mem.c */
#define MB_RANGES 8
struct mb_ranges {
	atomic_uint seq; /* odd while it changes */
	struct {
		atomic_uintptr_t from, to; /* both 0: free */
	} range[MB_RANGES];
};

struct membox {
	struct mb_list all;	     /* of this process: fork.c */
	uint32_t process;	     /* mb_process() of who opened it */
	const struct mb_backend *be;
	void *state;		     /* the back end's */
	char uri[256];
	uint64_t caps, caps_off, max_bytes;
	unsigned int flags;	     /* MEMBOX_OPEN_* */
	pthread_mutex_t lock;
	struct mb_list params, chans, groups, regions;
	pthread_rwlock_t regions_lock; /* regions, changes of ranges */
	atomic_uint nregions;
	struct mb_ranges ranges;
	pthread_mutex_t lanes_lock;
	struct mb_pooled_lane *lanes; /* free ones, for calls that wait */
	int event_fd;
};

struct membox_param {
	struct mb_list list; /* box->params */
	struct membox *box;
	atomic_uint refs;    /* of this memory: the user's, and operations in flight */
	char name[MEMBOX_NAME_BYTES];
	uint32_t handle;
	uint8_t type;
	bool created, has_key;
	uint32_t rights;
	uint64_t count, bytes, address;
	struct membox_key key;
	pthread_mutex_t lock; /* mappings */
	struct mb_mapped *mapped;
	pthread_mutex_t rmw;  /* read, add, write by this process: one thread at a time */
};

#define MB_FEW_TERMS 8

/* An operation on its way: of a call that waits, or of a channel. */
struct mb_flight {
	struct membox_chan *chan; /* NULL: a call that waits */
	struct mb_flight *next;	  /* chan's free or done list */
	struct mb_list active;	  /* chan's list of those not done */
	struct membox_param *param;
	struct membox_group *group; /* of a collective */
	uint64_t user_data;
	uint8_t opcode;
	uint32_t parts;
	atomic_uint left;
	atomic_bool done;
	struct membox_done result;
	struct mb_req one;	  /* the usual case */
	struct mb_req *many;	  /* parts > 1 */
	struct membox_term *terms; /* WSUM's lists, one a part: few, or allocated */
	struct membox_term few[MB_FEW_TERMS];
	unsigned int failed;	  /* part that result tells of */
	int refusal;		  /* status: the library refuses it, nothing is sent */
	uint32_t refusal_detail;
};

struct membox_chan {
	struct mb_list list; /* box->chans */
	struct membox *box;
	struct mb_lane lane;
	unsigned int depth;
	atomic_uint pending; /* stored by the channel's thread only, as the next four are used */
	struct mb_flight *flights;
	struct mb_flight *free;
	struct mb_flight *ready; /* done ones, to be reaped first */
	unsigned int nready;
	pthread_mutex_t lock;	/* all below */
	struct mb_flight *done, **done_tail;
	struct mb_list active;
	unsigned int ndone;
	int event_fd, epoll_fd;
};

struct membox_group {
	struct mb_list list; /* box->groups */
	struct membox *box;
	uint32_t handle;
	int rank, ranks;
	uint32_t epoch;	 /* that its collectives are of */
	atomic_uint seq; /* of the next one */
	atomic_uint refs; /* of this memory: the user's, and collectives in flight */
	char name[MEMBOX_NAME_BYTES];
};

struct membox_region {
	struct mb_list list; /* box->regions */
	struct membox *box;
	char *addr;
	size_t bytes;
	bool owned; /* membox_alloc: ours to unmap */
	uint32_t key; /* the back end's, or 0 */
};

/* error.c: every failure goes through one of these; they return what to return */
int mb_fail(int error, const char *fmt, ...) MB_PRINTF(2, 3);
int mb_fail_status(int status, const char *fmt, ...) MB_PRINTF(2, 3);
/* An administration command's answer: status >= 0 or -errno; 0 when it was fine. */
int mb_admin_fail(struct membox *box, int answer, const char *call, const char *name,
		  uint64_t bytes);
/* What the box said to a packet. */
int mb_packet_fail(const struct membox_param *param, uint8_t opcode,
		   const struct membox_packet *packet, const struct membox_done *done);
/* Another text for the last failure, whose status and errno stay. */
int mb_fail_keep(const char *fmt, ...) MB_PRINTF(1, 2);
const char *mb_op_name(uint8_t opcode);
const char *mb_type_name(uint8_t type);

/* wait.c */
uint64_t mb_now(void);			    /* nanoseconds, monotonic */
uint64_t mb_deadline(int64_t timeout_ns);   /* -1: the default */
uint32_t mb_timeout_us(int64_t timeout_ns); /* for a packet: never 0, at most the limit */
struct mb_backoff {
	uint64_t ns;
};
/* Sleeps a little longer each time; false when the deadline is over. */
bool mb_backoff(struct mb_backoff *b, uint64_t deadline);
void mb_signal_fd(int eventfd);
void mb_clear_fd(int eventfd); /* a non-blocking one */

/* fork.c */
int mb_process_enter(struct membox *box); /* a box was opened */
void mb_process_leave(struct membox *box);
bool mb_is_foreign(const struct membox *box); /* opened before a fork() */
int mb_check(const struct membox *box); /* 0, or -EOWNERDEAD with text */

/* flight.c: operation to packets and back */
void mb_flight_hold(struct mb_flight *f); /* what it names stays, until ... */
void mb_flight_drop(struct mb_flight *f);
/* What the box said to it, as this thread's error. */
int mb_flight_fail(struct mb_flight *f);
int mb_flight_prepare(struct mb_flight *f, struct membox *box, const struct membox_op *op);
void mb_flight_release(struct mb_flight *f);
struct mb_req *mb_flight_part(struct mb_flight *f, unsigned int i);
int mb_flight_send(struct membox *box, struct mb_lane *lane, struct mb_flight *f,
		   const struct mb_wait *wait);
void mb_flight_finish(struct mb_flight *f); /* all parts ended, or the fallback did it */
/* timed: done's start and end are asked for. */
int mb_run(struct membox *box, const struct membox_op *op, bool timed, struct membox_done *done);
/*
 * Does a prepared operation at once if it can be (see mb_backend's now): f->result
 * is its answer. start as there.
 */
bool mb_flight_now(struct membox *box, struct mb_flight *f, uint64_t start);

/* refusal.c: an enum membox_status */
int mb_refusal(struct membox *box, const struct membox_op *op, uint32_t *detail);

/* fallback.c */
bool mb_needs_fallback(const struct membox *box, const struct membox_op *op);
/* 0, with done telling what came of it; or -errno when nothing could be tried. */
int mb_fallback(struct membox *box, struct mb_flight *f, const struct membox_op *op,
		struct membox_done *done);

/* chan.c */
void mb_chan_done(struct mb_flight *f);
void mb_chan_destroy(struct membox_chan *chan);

/* coll.c */
bool mb_is_coll(uint8_t opcode);
int mb_coll_check(const struct membox *box, const struct membox_op *op);
uint64_t mb_coll_part(const struct membox *box, const struct membox_op *op); /* elements of a packet */
void mb_coll_encode(struct membox_packet *p, const struct membox_op *op, uint64_t done, uint64_t count);
void mb_coll_settle(struct membox_group *group, const struct mb_req *req); /* it has ended */
int mb_coll_fail(const struct membox_group *group, const struct membox_packet *packet,
		 const struct membox_done *done);

/* sync.c: 0, a status, or -errno */
int mb_param_lock(struct membox_param *param, uint64_t deadline);
int mb_param_unlock(struct membox_param *param);

/* param.c, map.c, group.c, mem.c */
void mb_param_close(struct membox_param *param);
void mb_param_hold(struct membox_param *param);
void mb_param_drop(struct membox_param *param);
void mb_unmap_all(struct membox_param *param);
void mb_group_close(struct membox_group *group);
void mb_group_hold(struct membox_group *group);
void mb_group_drop(struct membox_group *group);
void mb_region_close(struct membox_region *region);
bool mb_region_covers(struct membox *box, const void *addr, size_t bytes);
bool mb_memory_is_there(struct membox *box, uint64_t addr, uint64_t bytes, bool written);
struct membox_param *mb_param_find(struct membox *box, uint32_t handle);

#endif /* MB_INTERNAL_H */
