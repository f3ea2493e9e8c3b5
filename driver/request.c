// SPDX-License-Identifier: GPL-2.0-only
/*
 * request.c - what is kept of a packet from its copy to its completion, and the
 * list of completions that a context's user has not read yet.
 *
 *	new -> (charge, pin, map, queue) -> complete -> copied to the user, freed
 *	   \-> drop (it never was the device's)
 *
 * A context has at most max_outstanding requests, completions not yet read
 * included: who does not read gets nothing more in. And it has at most half of
 * its queue's commands in flight, so that those who share the queue get some.
 * ctx->lock covers the counts and the list.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "membox_dev.h"

static struct kmem_cache *cache;

int membox_request_init(void)
{
	cache = KMEM_CACHE(membox_req, 0);
	return cache ? 0 : -ENOMEM;
}

void membox_request_exit(void)
{
	kmem_cache_destroy(cache);
}

/* Has the context no more in flight, the caller's request included, than its share of the queue? */
bool membox_request_in_share(struct membox_ctx *ctx)
{
	bool in_share;

	spin_lock(&ctx->lock);
	in_share = ctx->inflight <= membox_ring_entries(&ctx->queue->ring) / 2;
	spin_unlock(&ctx->lock);
	return in_share;
}

/*
 * A request of the context, or an ERR_PTR: -EAGAIN when it has so many that its
 * user must read completions first, or -ENOMEM.
 */
struct membox_req *membox_request_new(struct membox_ctx *ctx)
{
	struct membox_req *req;
	bool full;

	spin_lock(&ctx->lock);
	full = ctx->inflight + ctx->ndone >= membox_max_outstanding;
	if (!full)
		ctx->inflight++;
	spin_unlock(&ctx->lock);
	if (full)
		return ERR_PTR(-EAGAIN);
	req = kmem_cache_zalloc(cache, GFP_KERNEL_ACCOUNT);
	if (!req) {
		spin_lock(&ctx->lock);
		ctx->inflight--;
		spin_unlock(&ctx->lock);
		return ERR_PTR(-ENOMEM);
	}
	INIT_LIST_HEAD(&req->node);
	req->ctx = ctx;
	membox_ctx_get(ctx);
	return req;
}

/* Counts the bytes that the request is going to pin; false: too many at present. */
bool membox_request_charge(struct membox_req *req, u64 bytes)
{
	struct membox_ctx *ctx = req->ctx;
	u64 limit = (u64)membox_max_pinned_mb << 20;
	bool fits;

	spin_lock(&ctx->lock);
	fits = !bytes || !ctx->pinned || ctx->pinned + bytes <= limit;
	if (fits) {
		ctx->pinned += bytes;
		req->charged = bytes;
	}
	spin_unlock(&ctx->lock);
	return fits;
}

void membox_request_free(struct membox_req *req)
{
	kmem_cache_free(cache, req);
}

/* Forgets a request that never was the device's. */
void membox_request_drop(struct membox_req *req)
{
	struct membox_ctx *ctx = req->ctx;

	membox_packet_release(req);
	spin_lock(&ctx->lock);
	ctx->inflight--;
	ctx->pinned -= req->charged;
	spin_unlock(&ctx->lock);
	membox_request_free(req);
	wake_up_all(&ctx->wait);
	membox_ctx_put(ctx);
}

/* What the user gets to see: nothing of queues. */
static void hide_queue(struct membox_completion *c)
{
	c->queue = 0;
	c->rsvd = 0;
	c->cid = 0;
	c->phase = 0;
}

/*
 * Ends a request with what stands in req->c. It holds no memory of its user any
 * more when the completion can be read. It may be gone when this returns.
 */
void membox_request_complete(struct membox_req *req)
{
	bool is_listed, by_uring = req->uring.cmd;
	struct membox_ctx *ctx = req->ctx;

	membox_packet_release(req);
	req->c.user_data = req->desc.user_data;
	hide_queue(&req->c);
	spin_lock(&ctx->lock);
	ctx->inflight--;
	ctx->pinned -= req->charged;
	is_listed = !by_uring && !ctx->closed;
	if (is_listed) {
		list_add_tail(&req->node, &ctx->done);
		ctx->ndone++;
	}
	spin_unlock(&ctx->lock);
	if (is_listed)
		membox_eventfd_raise(ctx, MEMBOX_EVENTFD_COMPLETION);
	else if (by_uring)
		membox_uring_complete(req);
	else
		membox_request_free(req);
	wake_up_all(&ctx->wait);
	membox_ctx_put(ctx);
}

static struct membox_req *take_done(struct membox_ctx *ctx)
{
	struct membox_req *req;

	spin_lock(&ctx->lock);
	req = list_first_entry_or_null(&ctx->done, struct membox_req, node);
	if (req) {
		list_del(&req->node);
		ctx->ndone--;
	}
	spin_unlock(&ctx->lock);
	return req;
}

static void put_back(struct membox_ctx *ctx, struct membox_req *req)
{
	spin_lock(&ctx->lock);
	list_add(&req->node, &ctx->done);
	ctx->ndone++;
	spin_unlock(&ctx->lock);
}

/*
 * Copies up to max completions to the user. Returns how many, or -EFAULT when
 * not even the first could be written. None is lost.
 */
int membox_completions_copy(struct membox_ctx *ctx, void __user *to, unsigned int max)
{
	struct membox_completion __user *at = to;
	unsigned int n;

	for (n = 0; n < max; n++) {
		struct membox_req *req = take_done(ctx);

		if (!req)
			break;
		if (copy_to_user(at + n, &req->c, sizeof(req->c))) {
			put_back(ctx, req);
			return n ? n : -EFAULT;
		}
		membox_request_free(req);
	}
	if (n)
		wake_up_all(&ctx->wait);
	return n;
}

static bool is_enough(struct membox_ctx *ctx, unsigned int min, bool idle_ends)
{
	bool enough;

	spin_lock(&ctx->lock);
	/* what is in flight at a device that was stopped ends soon */
	enough = ctx->ndone >= min ||
		 (!ctx->inflight && (idle_ends || membox_ctx_is_stale(ctx)));
	spin_unlock(&ctx->lock);
	return enough;
}

/**
 * membox_completions_wait() - waits until completions can be read
 * @ctx: context
 * @min: how many
 * @idle_ends: whether to stop waiting when nothing is in flight any more
 * @timeout: jiffies
 *
 * Return: 0, also when the time is over or the context has ended; -ERESTARTSYS.
 */
int membox_completions_wait(struct membox_ctx *ctx, unsigned int min, bool idle_ends,
			    unsigned long timeout)
{
	long left;

	might_sleep();
	left = wait_event_interruptible_timeout(ctx->wait, is_enough(ctx, min, idle_ends), timeout);
	return left < 0 ? left : 0;
}
