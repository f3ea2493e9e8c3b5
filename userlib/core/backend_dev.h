/* SPDX-License-Identifier: MIT */
/*
 * backend_dev.h - a box behind the driver, shared by backend_dev.c (the open file),
 * backend_dev_io.c (packets through the driver, waiting), backend_userq.c (queues of this process) and
 * backend_keys.c (registered memory).
 *
 * Locks: st->lock, then st->queues_lock, then a queue's own, then st->keys_lock.
 * None is held while completions are handed out. The list of queues only grows, and
 * is read without a lock.
 */
#ifndef MB_BACKEND_DEV_H
#define MB_BACKEND_DEV_H

#include <stdatomic.h>

#include "internal.h"
#include "rings.h"

#define MB_USERQ_LOG2 8
#define MB_USERQ_ENTRIES (1U << MB_USERQ_LOG2)
#define MB_USERQ_MAX 4 /* of one box, so that others find some, too */
#define MB_BOUNCE_BYTES 4096U
#define MB_BOUNCE_SLOTS 64U
#define MB_SPIN_LEAST 64 /* looks at the rings before sleeping */

/* Which queues commands go to. */
enum mb_queues {
	MB_QUEUES_AUTO, /* this process' own as far as there are some */
	MB_QUEUES_KERNEL,
	MB_QUEUES_USER, /* or opening a lane fails */
};

struct mb_userq {
	atomic_bool taken; /* by a lane; else it waits for the next one */
	uint16_t number;
	atomic_uint inflight;  /* requests that the device has from here */
	atomic_uint elsewhere; /* requests of the same lane that went through the driver */
	void *map[4];	       /* submission ring, completion ring, control, doorbell */
	char *bounce;	       /* NULL: none */
	uint32_t bounce_key;
	pthread_mutex_t lock; /* all below */
	struct mb_rings rings;
	bool dead; /* it was halted: nothing goes here any more */
	uint64_t slots; /* free ones of bounce */
	unsigned int nfree;
	uint16_t free[MB_USERQ_ENTRIES]; /* command ids */
	struct mb_req *req[MB_USERQ_ENTRIES];
};

struct mb_key {
	uintptr_t from, to;
	uint32_t key;
};

struct mb_dev {
	int fd;
	bool forgotten;
	enum mb_queues which;
	uint64_t caps, max_bytes; /* the device's */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a request ended, or nobody reaps any more */
	bool reaping;
	struct mb_req flying; /* list head */
	int event_fd;

	pthread_mutex_t queues_lock; /* making one */
	struct mb_userq *queue[MB_USERQ_MAX];
	atomic_uint nqueues;
	atomic_bool no_queues; /* the device has none at all */
	atomic_bool polled;    /* somebody polls the node: queues are always armed */
	atomic_uint sleepers;  /* on changed */
	atomic_bool asleep;    /* who reaps, in poll() */
	int kick_fd;	       /* wakes that one; -1 where there are no queues */
	uint32_t spin;	       /* looks before sleeping, as it proved */

	pthread_rwlock_t keys_lock;
	struct mb_key *keys; /* by address */
	size_t nkeys, room;
	_Atomic size_t keys_hint; /* where the last search ended; any value is sound */
};

/* backend_dev.c */
int mb_dev_ioctl(int fd, unsigned long request, void *arg);

/* backend_dev_io.c */
void mb_dev_wake(struct mb_dev *st);
int mb_dev_submit_packets(struct membox *box, struct mb_userq *uq, struct mb_req **reqs, unsigned int n,
			  const struct mb_wait *wait);
int mb_dev_wait(struct membox *box, const struct mb_wait *wait);

/* backend_userq.c */
int mb_userq_open(struct mb_dev *st, struct mb_userq **out);
void mb_userq_close(struct mb_userq *uq);
void mb_userq_delete_all(struct mb_dev *st);
int mb_userq_submit(struct membox *box, struct mb_userq *uq, struct mb_req **reqs, unsigned int n);
/* Takes what is there from all queues; how many requests ended. */
unsigned int mb_userq_drain(struct mb_dev *st);
/* Asks all queues for an interrupt at the next completion. True: look again. */
bool mb_userq_arm(struct mb_dev *st);
/* The same for who polls the node: what is there already is taken. */
void mb_userq_arm_for_poll(struct mb_dev *st);
bool mb_userq_anything(struct mb_dev *st);
void mb_userq_end_all(struct mb_dev *st, uint16_t status);

/* References of a packet to host memory (0: host, 1: host2), and how they are told to be keys. */
static inline struct membox_hostref *mb_dev_ref(struct membox_packet *p, unsigned int i)
{
	return i ? &p->coll.recv : &p->host;
}

static inline uint16_t mb_dev_ref_flag(unsigned int i)
{
	return i ? MEMBOX_F_REGION2 : MEMBOX_F_REGION;
}

/* Bytes that reference i names by address; 0: none, or by key. */
static inline uint64_t mb_dev_ref_bytes(const struct membox_packet *p, unsigned int i)
{
	if (p->flags & mb_dev_ref_flag(i))
		return 0;
	return i ? membox_host2_bytes(p) : membox_host_bytes(p);
}

/* backend_keys.c */
uint32_t mb_dev_region_add(struct membox *box, void *addr, size_t bytes);
void mb_dev_region_del(struct membox *box, uint32_t key);
void mb_dev_name(struct membox *box, struct membox_packet *p);

#endif /* MB_BACKEND_DEV_H */
