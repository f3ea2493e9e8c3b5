// SPDX-License-Identifier: GPL-2.0-only
/*
 * queue.c - an I/O queue pair: requests in, completions out.
 *
 * A queue has as many command ids as its rings have entries, so that a
 * completion slot is there for every command in flight. A command id goes back
 * to the free ones when its request was completed and nobody holds it: CANCEL
 * holds the ids it is about to abort, so that they are not another command's.
 *
 * queue->lock covers all of it, and the right to ring the doorbell: once live is
 * false under the lock, the doorbell is not touched any more. Requests are
 * completed outside of it, as unpinning sleeps.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "membox_dev.h"
#include "regs.h"
#include "trace.h"

/* The rings, while the device is bound to the driver. */
void membox_queue_free_ring(struct membox_queue *q)
{
	WARN_ON(q->inflight);
	if (q->mdev)
		membox_ring_free(&q->mdev->pdev->dev, &q->ring);
}

/* The rest, when no context is left that could ask for it. */
void membox_queue_free_tables(struct membox_queue *q)
{
	kvfree(q->free_cids);
	kvfree(q->cid);
	q->free_cids = NULL;
	q->cid = NULL;
}

int membox_queue_alloc(struct membox_dev *mdev, struct membox_queue *q, u16 number)
{
	u32 entries = 1U << mdev->queue_log2;
	int ret;

	q->number = number;
	spin_lock_init(&q->lock);
	init_waitqueue_head(&q->room);
	q->cid = kvcalloc(entries, sizeof(*q->cid), GFP_KERNEL);
	q->free_cids = kvcalloc(entries, sizeof(*q->free_cids), GFP_KERNEL);
	ret = -ENOMEM;
	if (!q->cid || !q->free_cids)
		goto free_tables;
	ret = membox_ring_alloc(&mdev->pdev->dev, &q->ring, mdev->queue_log2);
	if (ret)
		goto free_tables;
	q->mdev = mdev;
	for (q->nfree = 0; q->nfree < entries; q->nfree++)
		q->free_cids[q->nfree] = entries - 1 - q->nfree;
	return 0;

free_tables:
	membox_queue_free_tables(q);
	return ret;
}

/* Makes the queue in the device, which has an admin queue and no such queue. */
int membox_queue_start(struct membox_queue *q)
{
	struct membox_queue_args args = {
		.size = sizeof(args),
		.queue = q->number,
		.vector = q->vector,
		.sq_addr = q->ring.sq_dma,
		.cq_addr = q->ring.cq_dma,
		.ctl_addr = q->ring.ctl_dma,
		.sq_log2 = q->ring.log2,
		.cq_log2 = q->ring.log2,
	};
	int ret;

	membox_ring_restart(&q->ring);
	ret = membox_admin(q->mdev, 0, MEMBOX_ADM_QUEUE_CREATE, &args, sizeof(args),
			   MEMBOX_ADMIN_MUST);
	if (ret)
		return ret < 0 ? ret : -EIO;
	spin_lock(&q->lock);
	q->live = true;
	spin_unlock(&q->lock);
	return 0;
}

/* No request is taken any more, no completion, and no doorbell is rung. */
void membox_queue_stop(struct membox_queue *q)
{
	spin_lock(&q->lock);
	q->live = false;
	spin_unlock(&q->lock);
	wake_up_all(&q->room);
}

static void free_cid(struct membox_queue *q, u16 cid)
{
	lockdep_assert_held(&q->lock);
	q->cid[cid].req = NULL;
	if (!q->cid[cid].holds)
		q->free_cids[q->nfree++] = cid;
}

static void complete_list(struct list_head *ended)
{
	struct membox_req *req, *next;

	list_for_each_entry_safe(req, next, ended, node) {
		list_del(&req->node);
		membox_request_complete(req);
	}
}

/* Ends what is in flight. The device is stopped: it reaches no memory any more. */
void membox_queue_fail(struct membox_queue *q, u16 status)
{
	u32 i, entries = membox_ring_entries(&q->ring);
	LIST_HEAD(ended);

	spin_lock(&q->lock);
	WARN_ON(q->live);
	for (i = 0; i < entries; i++) {
		struct membox_req *req = q->cid[i].req;

		if (!req)
			continue;
		req->c = (struct membox_completion) {
			.user_data = req->desc.user_data,
			.status = status,
		};
		free_cid(q, i);
		list_add_tail(&req->node, &ended);
	}
	q->inflight = 0;
	spin_unlock(&q->lock);
	complete_list(&ended);
	wake_up_all(&q->room);
}

/*
 * Moves requests from the head of batch into the ring, in order and as many as
 * there is room for, and rings once; those that were refused before (c.status)
 * are completed in their turn. Returns 0 or -EAGAIN: the queue is stopped.
 */
int membox_queue_submit(struct membox_queue *q, struct list_head *batch)
{
	struct membox_req *req, *next;
	LIST_HEAD(refused);
	int ret = 0;

	spin_lock(&q->lock);
	if (!q->live) {
		ret = -EAGAIN;
		goto unlock;
	}
	list_for_each_entry_safe(req, next, batch, node) {
		u16 cid;

		if (req->c.status) {
			list_move_tail(&req->node, &refused);
			continue;
		}
		if (!q->nfree || !membox_ring_has_room(&q->ring))
			break;
		cid = q->free_cids[--q->nfree];
		q->cid[cid].req = req;
		q->inflight++;
		req->desc.cid = cid;
		list_del(&req->node);
		trace_membox_descriptor(q->mdev->id, q->number, &req->desc);
		membox_ring_put(&q->ring, &req->desc);
	}
	if (membox_ring_publish(&q->ring)) {
		trace_membox_doorbell(q->mdev->id, q->number, q->ring.published);
		writel(q->ring.published, membox_doorbell(q->mdev, q->number) + MEMBOX_DB_SQ);
	}
unlock:
	spin_unlock(&q->lock);
	complete_list(&refused);
	return ret;
}

/* Is there room for a request, or no sense in waiting for it? */
bool membox_queue_can_take(struct membox_queue *q)
{
	bool can;

	spin_lock(&q->lock);
	can = !q->live || (q->nfree && membox_ring_has_room(&q->ring));
	spin_unlock(&q->lock);
	return can;
}

static void reap_locked(struct membox_queue *q, struct list_head *ended)
{
	struct membox_completion c;

	lockdep_assert_held(&q->lock);
	while (membox_ring_take(&q->ring, &c)) {
		struct membox_req *req = NULL;

		if (c.cid < membox_ring_entries(&q->ring))
			req = q->cid[c.cid].req;
		if (!req) {
			membox_reset_later(q->mdev, "completion of no command");
			break;
		}
		trace_membox_complete(q->mdev->id, q->number, &c);
		req->c = c;
		free_cid(q, c.cid);
		q->inflight--;
		list_add_tail(&req->node, ended);
	}
	if (!list_empty(ended))
		membox_ring_give_back(&q->ring);
}

/* Takes all completions; asks for an interrupt at the next one while any is to come. */
void membox_queue_poll(struct membox_queue *q)
{
	bool again, halted;

	do {
		LIST_HEAD(ended);

		again = false;
		halted = false;
		spin_lock(&q->lock);
		if (q->live) {
			reap_locked(q, &ended);
			/* one that came in between would raise no interrupt */
			again = q->inflight && membox_ring_arm(&q->ring);
			halted = membox_ring_is_halted(&q->ring);
		}
		spin_unlock(&q->lock);
		if (halted)
			membox_reset_later(q->mdev, "queue halted");
		if (!list_empty(&ended)) {
			complete_list(&ended);
			wake_up_all(&q->room);
		}
	} while (again);
}

/*
 * Finds a command of the context that matches, from command id `from` on, and keeps
 * its id from reuse. Returns where to look for the next one, 0 when there was none.
 */
static unsigned int hold(struct membox_queue *q, const struct membox_ctx *ctx,
			 membox_req_match match, const void *arg, unsigned int from, u16 *cid)
{
	unsigned int i, found = 0;

	spin_lock(&q->lock);
	for (i = from; i < membox_ring_entries(&q->ring) && !found; i++) {
		const struct membox_req *req = q->cid[i].req;

		if (!req || req->ctx != ctx || !match(req, arg))
			continue;
		q->cid[i].holds++;
		*cid = i;
		found = i + 1;
	}
	spin_unlock(&q->lock);
	return found;
}

static void unhold(struct membox_queue *q, u16 cid)
{
	spin_lock(&q->lock);
	if (!--q->cid[cid].holds && !q->cid[cid].req)
		q->free_cids[q->nfree++] = cid;
	spin_unlock(&q->lock);
	wake_up(&q->room);
}

/**
 * membox_queue_abort() - aborts commands in flight and waits for their end
 * @q: queue
 * @ctx: whose commands
 * @match: which of them
 * @arg: for match
 *
 * Return: how many the device found. Stops early when the caller is being killed.
 */
u64 membox_queue_abort(struct membox_queue *q, const struct membox_ctx *ctx,
		       membox_req_match match, const void *arg)
{
	unsigned int from = 0;
	u64 found = 0;
	u16 cid;

	while (!fatal_signal_pending(current)) {
		struct membox_abort_args args = {
			.size = sizeof(args),
			.queue = q->number,
			.context = ctx->number,
		};

		from = hold(q, ctx, match, arg, from, &cid);
		if (!from)
			break;
		args.cid = cid;
		if (!membox_admin(q->mdev, 0, MEMBOX_ADM_ABORT, &args, sizeof(args), 0))
			found += args.found;
		unhold(q, cid);
	}
	membox_queue_poll(q);
	return found;
}
