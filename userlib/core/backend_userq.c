/* SPDX-License-Identifier: MIT */
/*
 * backend_userq.c - queues of the device that this process works with by itself:
 * no system call from a packet to its completion. Host memory goes by key; small
 * memory that has none goes through slots of the queue's own registered memory
 * (bounce); what is left goes through the driver, in the place in the lane's order
 * that its fences ask for.
 *
 * A packet that uses fields which in a descriptor are the queue's is the driver's,
 * too, which refuses it. A queue that a lane has given back is kept for the next one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend_dev.h"

#define NO_SLOT 0xff

enum { MAP_SQ, MAP_CQ, MAP_CTL, MAP_DB, NR_MAPS };

/* ---- opening and closing ---- */

static void unmap(struct mb_userq *uq)
{
	static const size_t bytes[NR_MAPS] = {
		[MAP_SQ] = sizeof(struct membox_packet) << MB_USERQ_LOG2,
		[MAP_CQ] = sizeof(struct membox_completion) << MB_USERQ_LOG2,
		[MAP_CTL] = MB_BOUNCE_BYTES,
		[MAP_DB] = MEMBOX_DB_PAGE,
	};
	unsigned int i;

	for (i = 0; i < NR_MAPS; i++)
		if (uq->map[i])
			munmap(uq->map[i], bytes[i]);
}

static void *map_part(int fd, size_t bytes, int prot, uint64_t token)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, fd, (off_t)token);

	return p == MAP_FAILED ? NULL : p;
}

static int map_all(struct mb_dev *st, struct mb_userq *uq, const struct membox_uqueue_args *args)
{
	const int both = PROT_READ | PROT_WRITE;

	uq->map[MAP_SQ] = map_part(st->fd, sizeof(struct membox_packet) << MB_USERQ_LOG2, both,
				   args->sq_offset);
	uq->map[MAP_CQ] = map_part(st->fd, sizeof(struct membox_completion) << MB_USERQ_LOG2,
				   PROT_READ, args->cq_offset);
	uq->map[MAP_CTL] = map_part(st->fd, MB_BOUNCE_BYTES, both, args->ctl_offset);
	uq->map[MAP_DB] = map_part(st->fd, MEMBOX_DB_PAGE, both, args->db_offset);
	if (!uq->map[MAP_SQ] || !uq->map[MAP_CQ] || !uq->map[MAP_CTL] || !uq->map[MAP_DB])
		return -ENOMEM;
	uq->rings.sq = uq->map[MAP_SQ];
	uq->rings.cq = uq->map[MAP_CQ];
	uq->rings.ctl = uq->map[MAP_CTL];
	uq->rings.doorbell = uq->map[MAP_DB];
	uq->rings.log2 = MB_USERQ_LOG2;
	mb_rings_begin(&uq->rings);
	return 0;
}

/* Memory for what is not registered; where it may not be locked there is none. */
static void make_bounce(struct mb_dev *st, struct mb_userq *uq)
{
	const size_t bytes = MB_BOUNCE_SLOTS * MB_BOUNCE_BYTES;
	struct membox_region_args args = {
		.size = sizeof(args),
		.rights = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE,
		.length = bytes,
	};
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	args.addr = (uintptr_t)p;
	if (madvise(p, bytes, MADV_DONTFORK) || mb_dev_ioctl(st->fd, MEMBOX_IOC_REGION_ADD, &args)) {
		munmap(p, bytes);
		return;
	}
	uq->bounce = p;
	uq->bounce_key = args.key;
	uq->slots = ~0ULL;
}

static void delete(struct mb_dev *st, struct mb_userq *uq)
{
	struct membox_uqueue_args args = { .size = sizeof(args), .queue = uq->number };
	struct membox_region_args region = { .size = sizeof(region), .key = uq->bounce_key };

	/* in a forked child none of it is there */
	if (!st->forgotten) {
		mb_dev_ioctl(st->fd, MEMBOX_IOC_QUEUE_DELETE, &args);
		if (uq->bounce) {
			mb_dev_ioctl(st->fd, MEMBOX_IOC_REGION_DEL, &region);
			munmap(uq->bounce, MB_BOUNCE_SLOTS * MB_BOUNCE_BYTES);
		}
		unmap(uq);
	}
	pthread_mutex_destroy(&uq->lock);
	free(uq);
}

static int make(struct mb_dev *st, struct mb_userq **out)
{
	struct membox_uqueue_args args = {
		.size = sizeof(args),
		.sq_log2 = MB_USERQ_LOG2,
		.cq_log2 = MB_USERQ_LOG2,
	};
	struct mb_userq *uq;
	int ret;

	uq = calloc(1, sizeof(*uq));
	if (!uq)
		return -ENOMEM;
	ret = mb_dev_ioctl(st->fd, MEMBOX_IOC_QUEUE_CREATE, &args);
	if (ret == MEMBOX_ST_UNSUPPORTED || ret == -ENOTTY)
		atomic_store(&st->no_queues, true);
	if (ret) {
		free(uq);
		return ret > 0 ? -membox_status_errno((uint32_t)ret) : ret;
	}
	uq->number = args.queue;
	pthread_mutex_init(&uq->lock, NULL);
	ret = map_all(st, uq, &args);
	if (ret) {
		delete(st, uq);
		return ret;
	}
	make_bounce(st, uq);
	while (uq->nfree < MB_USERQ_ENTRIES) {
		uq->free[uq->nfree] = (uint16_t)uq->nfree;
		uq->nfree++;
	}
	*out = uq;
	return 0;
}

/* One that a lane has given back. */
static struct mb_userq *find_idle(struct mb_dev *st)
{
	unsigned int n = atomic_load_explicit(&st->nqueues, memory_order_acquire), i;

	for (i = 0; i < n; i++)
		if (!st->queue[i]->dead && !atomic_exchange(&st->queue[i]->taken, true))
			return st->queue[i];
	return NULL;
}

/* A queue for a lane: 0 or -errno. */
int mb_userq_open(struct mb_dev *st, struct mb_userq **out)
{
	unsigned int n;
	int ret = 0;

	pthread_mutex_lock(&st->queues_lock);
	*out = find_idle(st);
	n = atomic_load(&st->nqueues);
	if (!*out && (atomic_load(&st->no_queues) || n == MB_USERQ_MAX))
		ret = -EMFILE;
	else if (!*out)
		ret = make(st, out);
	if (!ret && !atomic_exchange(&(*out)->taken, true)) {
		st->queue[n] = *out;
		atomic_store_explicit(&st->nqueues, n + 1, memory_order_release);
	}
	pthread_mutex_unlock(&st->queues_lock);
	return ret;
}

/* Nothing of the lane is in flight. */
void mb_userq_close(struct mb_userq *uq)
{
	atomic_store(&uq->taken, false);
}

void mb_userq_delete_all(struct mb_dev *st)
{
	unsigned int i;

	for (i = 0; i < atomic_load(&st->nqueues); i++)
		delete(st, st->queue[i]);
	free(st->keys);
}

/* ---- submitting ---- */

static uint8_t take_slot(struct mb_userq *uq)
{
	int i;

	if (!uq->slots)
		return NO_SLOT;
	i = __builtin_ctzll(uq->slots);
	uq->slots &= uq->slots - 1;
	return (uint8_t)i;
}

static void give_slots(struct mb_userq *uq, struct mb_req *req)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (req->u.dev.slot[i] != NO_SLOT)
			uq->slots |= 1ULL << req->u.dev.slot[i];
	req->u.dev.slot[0] = req->u.dev.slot[1] = NO_SLOT;
}

static bool is_written(const struct membox_packet *p, unsigned int i)
{
	return i ? membox_host2_is_written(p->opcode) : membox_host_is_written(p->opcode);
}

/* Reference i through a slot: its data is there then, or comes there. */
static bool bounce(struct membox *box, struct mb_userq *uq, struct mb_req *req, struct membox_packet *p,
		   unsigned int i, uint64_t bytes)
{
	struct membox_hostref *ref = mb_dev_ref(p, i);
	uint8_t slot;

	if (!uq->bounce || bytes > MB_BOUNCE_BYTES ||
	    !mb_memory_is_there(box, ref->addr, bytes, is_written(p, i)))
		return false;
	slot = take_slot(uq);
	if (slot == NO_SLOT)
		return false;
	req->u.dev.slot[i] = slot;
	if (!is_written(p, i))
		memcpy(uq->bounce + slot * MB_BOUNCE_BYTES, (void *)(uintptr_t)ref->addr, bytes);
	ref->addr = slot * MB_BOUNCE_BYTES;
	ref->key = uq->bounce_key;
	p->flags |= mb_dev_ref_flag(i);
	return true;
}

/* Makes a descriptor of the packet. False: the driver is to have it. */
static bool describe(struct membox *box, struct mb_userq *uq, struct mb_req *req, struct membox_packet *p)
{
	struct mb_dev *st = box->state;
	uint32_t detail;
	unsigned int i;

	req->u.dev.slot[0] = req->u.dev.slot[1] = NO_SLOT;
	if (uq->dead || req->packet.phase || req->packet.cid || req->packet.context)
		return false;
	*p = req->packet;
	p->user_data = (uintptr_t)req;
	/* what is not well-formed the device refuses before it looks for memory */
	if (membox_check_packet(p, st->caps, st->max_bytes, &detail))
		return true;
	mb_dev_name(box, p);
	for (i = 0; i < 2; i++) {
		uint64_t bytes = mb_dev_ref_bytes(p, i);

		if (bytes && !bounce(box, uq, req, p, i, bytes)) {
			give_slots(uq, req);
			return false;
		}
	}
	return true;
}

static bool is_fenced(const struct mb_req *req)
{
	return req->packet.flags & MEMBOX_F_FENCE || req->packet.opcode == MEMBOX_OP_FENCE;
}

static bool none_elsewhere(void *arg)
{
	struct mb_userq *uq = arg;

	return !atomic_load(&uq->elsewhere);
}

static bool none_here(void *arg)
{
	struct mb_userq *uq = arg;

	return !atomic_load(&uq->inflight) && !atomic_load(&uq->elsewhere);
}

static bool can_take(void *arg)
{
	struct mb_userq *uq = arg;

	/* a hint: who submits to the queue is one */
	return atomic_load(&uq->inflight) < MB_USERQ_ENTRIES;
}

/* Puts requests into the ring until one is not for it. Returns how many; one doorbell at most. */
static unsigned int put_some(struct membox *box, struct mb_userq *uq, struct mb_req **reqs, unsigned int n)
{
	struct membox_packet p;
	unsigned int i;

	pthread_mutex_lock(&uq->lock);
	for (i = 0; i < n; i++) {
		uint16_t cid;

		if (!uq->nfree || !mb_rings_have_room(&uq->rings) ||
		    (is_fenced(reqs[i]) && atomic_load(&uq->elsewhere)) ||
		    !describe(box, uq, reqs[i], &p))
			break;
		cid = uq->free[--uq->nfree];
		uq->req[cid] = reqs[i];
		reqs[i]->u.dev.uq = uq;
		reqs[i]->u.dev.is_here = true;
		atomic_fetch_add_explicit(&uq->inflight, 1, memory_order_relaxed);
		mb_rings_put(&uq->rings, &p, cid);
	}
	mb_rings_publish(&uq->rings);
	pthread_mutex_unlock(&uq->lock);
	return i;
}

static void wait_for(struct membox *box, bool (*ready)(void *), struct mb_userq *uq)
{
	struct mb_wait wait = { ready, uq, UINT64_MAX };

	mb_dev_wait(box, &wait);
}

/*
 * Sends all, in order: how many, or -errno for none. A fence waits here for those
 * before it that went the other way.
 */
int mb_userq_submit(struct membox *box, struct mb_userq *uq, struct mb_req **reqs, unsigned int n)
{
	unsigned int sent = 0;
	int ret;

	while (sent < n) {
		sent += put_some(box, uq, reqs + sent, n - sent);
		if (sent == n)
			break;
		if (!can_take(uq)) {
			wait_for(box, can_take, uq);
			continue;
		}
		if (is_fenced(reqs[sent]) && atomic_load(&uq->elsewhere)) {
			wait_for(box, none_elsewhere, uq);
			continue;
		}
		if (is_fenced(reqs[sent]))
			wait_for(box, none_here, uq);
		ret = mb_dev_submit_packets(box, uq, reqs + sent, 1, NULL);
		if (ret < 0)
			return sent ? (int)sent : ret;
		sent += (unsigned int)ret;
	}
	return (int)sent;
}

/* ---- completions ---- */

/* What was bounced goes where it belongs, as far as it came. */
static void copy_back(struct mb_userq *uq, struct mb_req *req)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		uint64_t bytes = i ? membox_host2_bytes(&req->packet) : membox_host_bytes(&req->packet);
		uint8_t slot = req->u.dev.slot[i];

		if (slot == NO_SLOT || !is_written(&req->packet, i))
			continue;
		if (req->c.status && req->c.bytes < bytes)
			bytes = req->c.bytes;
		memcpy((void *)(uintptr_t)mb_dev_ref(&req->packet, i)->addr,
		       uq->bounce + slot * MB_BOUNCE_BYTES, bytes);
	}
}

/* A request has ended: with the lock, which mb_req_done() is called without. */
static struct mb_req *end(struct mb_userq *uq, uint16_t cid, const struct membox_completion *c)
{
	struct mb_req *req = uq->req[cid];

	uq->req[cid] = NULL;
	uq->free[uq->nfree++] = cid;
	req->c = *c;
	req->c.queue = req->c.cid = 0;
	req->c.phase = 0;
	copy_back(uq, req);
	give_slots(uq, req);
	return req;
}

#define DRAIN 64 /* handed out at once */

static unsigned int hand_out(struct mb_userq *uq, struct mb_req **ended, unsigned int n)
{
	unsigned int i;

	atomic_fetch_sub(&uq->inflight, n);
	for (i = 0; i < n; i++)
		mb_req_done(ended[i]);
	return n;
}

/* The queue has stopped for good: what it has not completed ends with status. */
static unsigned int bury(struct mb_userq *uq, uint16_t status)
{
	const struct membox_completion c = { .status = status };
	struct mb_req *ended[DRAIN];
	unsigned int total = 0, n;
	uint32_t cid;

	do {
		n = 0;
		pthread_mutex_lock(&uq->lock);
		uq->dead = true;
		for (cid = 0; cid < MB_USERQ_ENTRIES && n < DRAIN; cid++)
			if (uq->req[cid])
				ended[n++] = end(uq, (uint16_t)cid, &c);
		pthread_mutex_unlock(&uq->lock);
		total += hand_out(uq, ended, n);
	} while (n);
	return total;
}

static unsigned int drain(struct mb_userq *uq)
{
	struct membox_completion c;
	struct mb_req *ended[DRAIN];
	unsigned int total = 0, n;
	uint32_t halted = 0;

	do {
		n = 0;
		pthread_mutex_lock(&uq->lock);
		while (n < DRAIN && mb_rings_take(&uq->rings, &c))
			if (c.cid < MB_USERQ_ENTRIES && uq->req[c.cid])
				ended[n++] = end(uq, c.cid, &c);
		if (n)
			mb_rings_give_back(&uq->rings);
		else
			halted = mb_rings_halted(&uq->rings);
		pthread_mutex_unlock(&uq->lock);
		total += hand_out(uq, ended, n);
	} while (n == DRAIN);
	/* RESET and GONE are the driver's; else this process has spoilt its own rings */
	if (halted)
		total += bury(uq, halted == MEMBOX_ST_RESET || halted == MEMBOX_ST_GONE ?
				  (uint16_t)halted : MEMBOX_ST_INTERNAL);
	return total;
}

typedef unsigned int visit(struct mb_userq *uq, uint16_t status);

/* Visits the queues with something in flight. */
static unsigned int for_all(struct mb_dev *st, visit *fn, uint16_t status)
{
	unsigned int n = atomic_load_explicit(&st->nqueues, memory_order_acquire), i, sum = 0;

	for (i = 0; i < n; i++)
		if (atomic_load(&st->queue[i]->inflight))
			sum += fn(st->queue[i], status);
	return sum;
}

static unsigned int drain_one(struct mb_userq *uq, uint16_t status)
{
	(void)status;
	return drain(uq);
}

static unsigned int arm_one(struct mb_userq *uq, uint16_t status)
{
	bool there;

	(void)status;
	pthread_mutex_lock(&uq->lock);
	there = mb_rings_arm(&uq->rings) || mb_rings_halted(&uq->rings);
	pthread_mutex_unlock(&uq->lock);
	return there;
}

static unsigned int count_one(struct mb_userq *uq, uint16_t status)
{
	(void)uq;
	(void)status;
	return 1;
}

unsigned int mb_userq_drain(struct mb_dev *st)
{
	unsigned int n = for_all(st, drain_one, 0);

	if (n)
		mb_dev_wake(st);
	return n;
}

bool mb_userq_arm(struct mb_dev *st)
{
	return for_all(st, arm_one, 0) != 0;
}

/* A set of epoll asks the driver again only when it is woken: nothing may lie there before. */
void mb_userq_arm_for_poll(struct mb_dev *st)
{
	while (mb_userq_arm(st))
		mb_userq_drain(st);
}

bool mb_userq_anything(struct mb_dev *st)
{
	return for_all(st, count_one, 0) != 0;
}

void mb_userq_end_all(struct mb_dev *st, uint16_t status)
{
	if (for_all(st, bury, status))
		mb_dev_wake(st);
}
