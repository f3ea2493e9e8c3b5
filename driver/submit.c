// SPDX-License-Identifier: GPL-2.0-only
/*
 * submit.c - batches of packets, by write() or SUBMIT, and single ones by io_uring.
 *
 * Packets are copied, checked and pinned one by one into a batch, which then is
 * mapped and handed to the context's queue as a whole: one doorbell. A batch is
 * handed over early when the next packet must wait for something that only a
 * completion gives back, or is a CANCEL. Each packet taken gets one completion,
 * refused ones in their turn; a packet that is not taken leaves no trace.
 *
 * No locks.
 */
#include <linux/jiffies.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "membox_dev.h"
#include "trace.h"

#define QUICK_BYTES 4096 /* pinned without being asked to wait */
#define BATCH_LIMIT 64 /* requests pinned before the first of them is handed over */

struct batch {
	struct membox_ctx *ctx;
	struct list_head reqs;
	unsigned int count;
	bool block;
	bool is_quick; /* nothing that may take long is begun */
	unsigned long deadline;
	const struct membox_uring *uring; /* of the one packet, or NULL */
};

static unsigned long time_left(const struct batch *b)
{
	return time_before(jiffies, b->deadline) ? b->deadline - jiffies : 0;
}

/* 0 when the condition came true, else -EAGAIN (time over, or not to wait) or -EINTR. */
#define batch_wait(b, head, condition) ({ \
	const struct batch *b_ = (b); \
	long left_ = -EAGAIN; \
	if (b_->block) \
		left_ = wait_event_killable_timeout(head, condition, time_left(b_)); \
	left_ > 0 ? 0 : left_ == -ERESTARTSYS ? -EINTR : -EAGAIN; })

static void end_req(struct membox_req *req, u16 status)
{
	req->c.status = status;
	membox_request_complete(req);
}

/* Forgets what is left of a batch. */
static void drop_all(struct batch *b)
{
	struct membox_req *req, *next;

	list_for_each_entry_safe_reverse(req, next, &b->reqs, node) {
		list_del(&req->node);
		membox_request_drop(req);
		b->count--;
	}
}

/* Ends what is left of a batch whose device was stopped. */
static void end_all(struct batch *b)
{
	struct membox_req *req, *next;
	u16 status = READ_ONCE(b->ctx->mdev->state) == MEMBOX_STATE_GONE ?
		     MEMBOX_ST_GONE : MEMBOX_ST_RESET;

	list_for_each_entry_safe(req, next, &b->reqs, node) {
		list_del(&req->node);
		end_req(req, req->c.status ? req->c.status : status);
	}
}

static int map_all(struct batch *b)
{
	struct membox_req *req;
	int ret;

	list_for_each_entry(req, &b->reqs, node) {
		if (req->c.status || req->is_mapped)
			continue;
		ret = membox_packet_map(req);
		if (ret < 0)
			return ret;
		req->c.status = ret;
	}
	return 0;
}

/*
 * Hands the batch to the queue. On -EAGAIN and -EINTR those left were dropped
 * and are not in b->count any more.
 */
static int flush(struct batch *b)
{
	struct membox_queue *q = b->ctx->queue;
	int ret = 0;

	if (list_empty(&b->reqs))
		return 0;
	if (map_all(b)) {
		end_all(b);
		return 0;
	}
	while (!list_empty(&b->reqs)) {
		if (membox_queue_submit(q, &b->reqs)) {
			end_all(b);
			break;
		}
		membox_queue_poll(q);
		if (list_empty(&b->reqs))
			break;
		ret = batch_wait(b, q->room, membox_queue_can_take(q));
		if (ret) {
			drop_all(b);
			break;
		}
	}
	return ret;
}

static bool has_tag(const struct membox_req *req, const void *user_data)
{
	return req->desc.user_data == *(const u64 *)user_data;
}

/* Pins a well-formed packet's memory. 0, a status, -EAGAIN or -EINTR. */
static int take_memory(struct batch *b, struct membox_req *req)
{
	u64 bytes = membox_packet_charge(&req->desc);
	int ret = 0;

	if (b->is_quick && bytes > QUICK_BYTES)
		return -EAGAIN;
	if (!membox_request_charge(req, bytes)) {
		/* what this very batch has pinned must go before there is room */
		ret = flush(b);
		if (!ret)
			ret = batch_wait(b, b->ctx->wait, membox_request_charge(req, bytes));
	}
	if (ret)
		return ret;
	return membox_packet_pin(req);
}

/* Waits until the context is back in its share of the queue. 0, -EAGAIN or -EINTR. */
static int take_turn(struct batch *b)
{
	int ret;

	if (membox_request_in_share(b->ctx))
		return 0;
	ret = flush(b);
	return ret ? ret : batch_wait(b, b->ctx->wait, membox_request_in_share(b->ctx));
}

/* Takes one packet into the batch. 0, or -errno: it and all after it are not taken. */
static int take_packet(struct batch *b, const struct membox_packet __user *from)
{
	struct membox_ctx *ctx = b->ctx;
	struct membox_dev *mdev = ctx->mdev;
	struct membox_req *req = membox_request_new(ctx);
	int ret;

	if (IS_ERR(req))
		return PTR_ERR(req);
	if (b->uring)
		req->uring = *b->uring;
	if (copy_from_user(&req->desc, from, sizeof(req->desc))) {
		ret = -EFAULT;
		goto drop;
	}
	ret = membox_check_packet(&req->desc, mdev->caps, mdev->max_bytes, &req->c.detail);
	if (!ret && req->desc.opcode == MEMBOX_OP_CANCEL) {
		ret = b->is_quick ? -EAGAIN : flush(b);
		if (ret)
			goto drop;
		trace_membox_submit(mdev->id, ctx->number, &req->desc, ret);
		req->c.result = membox_queue_abort(ctx->queue, ctx, has_tag,
						   &req->desc.word.value);
		b->count++;
		end_req(req, MEMBOX_ST_OK);
		return 0;
	}
	if (!ret)
		ret = take_turn(b);
	if (!ret)
		ret = take_memory(b, req);
	if (ret < 0)
		goto drop;
	trace_membox_submit(mdev->id, ctx->number, &req->desc, ret);
	req->c.status = ret;
	list_add_tail(&req->node, &b->reqs);
	b->count++;
	return 0;

drop:
	membox_request_drop(req);
	return ret;
}

/**
 * membox_submit_packets() - queues packets of a context
 * @ctx: context; the caller has checked that it may be used
 * @packets: where they are
 * @block: whether to wait for room in the queue and under the pinning limit
 *
 * Return: how many were taken (each gets a completion), or -errno if none was:
 * -EFAULT, -ENOMEM, -EAGAIN (no room), -EINTR.
 */
int membox_submit_packets(struct membox_ctx *ctx, const struct membox_packets *packets, bool block)
{
	struct batch b = {
		.ctx = ctx,
		.reqs = LIST_HEAD_INIT(b.reqs),
		.block = block,
		.deadline = jiffies + usecs_to_jiffies(MEMBOX_DEFAULT_TIMEOUT_US),
	};
	unsigned int i;
	int ret = 0, last;

	for (i = 0; i < packets->count && !ret; i++) {
		ret = take_packet(&b, packets->base + (size_t)i * packets->stride);
		if (!ret && i % BATCH_LIMIT == BATCH_LIMIT - 1)
			ret = flush(&b);
	}
	last = flush(&b);
	if (!ret)
		ret = last;
	return b.count ? b.count : ret;
}

/**
 * membox_submit_uring() - queues a packet that came by io_uring
 * @ctx: context; the caller has checked that it may be used
 * @uring: the command
 * @packet: where the packet is
 * @issue_flags: io_uring's
 *
 * Return: -EIOCBQUEUED: the command is completed, or will be; else -errno, and the
 * packet was not taken: -EFAULT, -ENOMEM, -EINTR, -EAGAIN (no room; with
 * IO_URING_F_NONBLOCK also that it may take long).
 */
int membox_submit_uring(struct membox_ctx *ctx, const struct membox_uring *uring,
			const struct membox_packet __user *packet, unsigned int issue_flags)
{
	bool is_quick = issue_flags & IO_URING_F_NONBLOCK;
	struct batch b = {
		.ctx = ctx,
		.reqs = LIST_HEAD_INIT(b.reqs),
		.block = !is_quick,
		.is_quick = is_quick,
		.deadline = jiffies + usecs_to_jiffies(MEMBOX_DEFAULT_TIMEOUT_US),
		.uring = uring,
	};
	int ret = take_packet(&b, packet);

	if (ret)
		return ret;
	if (list_empty(&b.reqs))
		return -EIOCBQUEUED; /* a CANCEL, which is completed */
	if (is_quick && !membox_queue_can_take(ctx->queue)) {
		drop_all(&b);
		return -EAGAIN;
	}
	/* from here on it is completed, whatever happens, and not tried again */
	b.block = true;
	membox_uring_mark(uring->cmd, issue_flags);
	ret = flush(&b);
	if (ret)
		io_uring_cmd_done(uring->cmd, ret, 0, issue_flags);
	return -EIOCBQUEUED;
}
