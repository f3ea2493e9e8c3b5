// SPDX-License-Identifier: GPL-2.0-only
/*
 * context.c - a context: one open file, one unit of ownership in the box.
 *
 * It is bound to the address space that opened it. Its packets through the driver
 * all go to one queue, so that FENCE orders them; user queues it has for itself. It
 * ends with the file, and becomes stale when the device is reset: the box has
 * forgotten it then, and the file is only good for reading the completions that are
 * left.
 */
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "membox_dev.h"

#define QUIESCE_TIMEOUT (10 * HZ) /* for a closed context's commands to end */

/* Takes the least loaded queue and a number, and makes the context known. */
static int enlist(struct membox_ctx *ctx)
{
	struct membox_dev *mdev = ctx->mdev;
	u32 i, number;
	int ret;

	mutex_lock(&mdev->ctx_lock);
	ret = xa_alloc(&mdev->contexts, &number, ctx, XA_LIMIT(1, mdev->max_contexts - 1),
		       GFP_KERNEL);
	if (!ret) {
		ctx->number = number;
		ctx->queue = &mdev->queue[0];
		for (i = 1; i < mdev->nqueues; i++)
			if (mdev->queue[i].contexts < ctx->queue->contexts)
				ctx->queue = &mdev->queue[i];
		ctx->queue->contexts++;
		mdev->ncontexts++;
		list_add_tail(&ctx->node, &mdev->ctx_list);
	}
	mutex_unlock(&mdev->ctx_lock);
	return ret == -EBUSY ? -EMFILE : ret;
}

static void delist(struct membox_ctx *ctx)
{
	struct membox_dev *mdev = ctx->mdev;

	mutex_lock(&mdev->ctx_lock);
	list_del(&ctx->node);
	mdev->ncontexts--;
	ctx->queue->contexts--;
	xa_erase(&mdev->contexts, ctx->number);
	mutex_unlock(&mdev->ctx_lock);
}

static void init_mapping(struct membox_ctx *ctx, struct inode *inode)
{
	address_space_init_once(&ctx->mapping);
	ctx->mapping.host = inode;
	ctx->mapping.a_ops = &membox_no_aops;
}

static int tell_box(struct membox_ctx *ctx, u8 opcode)
{
	struct membox_ctx_args args = {
		.size = sizeof(args),
		.context = ctx->number,
	};

	return membox_admin(ctx->mdev, 0, opcode, &args, sizeof(args), MEMBOX_ADMIN_MUST);
}

/*
 * A failure means a reset, which ends all contexts, or that create_in_box() makes up for
 * it, but then the device may have memory of the context.
 */
static int destroy_in_box(struct membox_ctx *ctx)
{
	return tell_box(ctx, MEMBOX_ADM_CTX_DESTROY);
}

static int create_in_box(struct membox_ctx *ctx)
{
	int ret = tell_box(ctx, MEMBOX_ADM_CTX_CREATE);

	/* the number is ours alone: its last owner could not be destroyed in time */
	if (ret == MEMBOX_ST_EXISTS) {
		destroy_in_box(ctx);
		ret = tell_box(ctx, MEMBOX_ADM_CTX_CREATE);
	}
	return ret > 0 ? -membox_status_errno(ret) : ret;
}

/* A new context of the calling process, or an ERR_PTR. */
struct membox_ctx *membox_ctx_open(struct membox_dev *mdev, struct inode *inode)
{
	struct membox_ctx *ctx;
	int ret;

	ret = membox_wait_live(mdev);
	if (ret)
		return ERR_PTR(ret);
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return ERR_PTR(-ENOMEM);
	kref_init(&ctx->ref);
	ctx->mdev = mdev;
	ctx->epoch = READ_ONCE(mdev->epoch);
	spin_lock_init(&ctx->lock);
	mutex_init(&ctx->handle_lock);
	mutex_init(&ctx->window_lock);
	xa_init_flags(&ctx->windows, XA_FLAGS_ALLOC1);
	xa_init(&ctx->uqueues);
	xa_init(&ctx->regions);
	INIT_LIST_HEAD(&ctx->done);
	init_waitqueue_head(&ctx->wait);
	init_mapping(ctx, inode);
	ctx->mm = current->mm;
	mmgrab(ctx->mm);
	get_device(&mdev->dev);
	ret = enlist(ctx);
	if (ret)
		goto put;
	ret = create_in_box(ctx);
	if (ret)
		goto leave;
	if (membox_ctx_is_stale(ctx)) {
		/* reset meanwhile: whichever device it was made in, the number is to be free */
		destroy_in_box(ctx);
		ret = -EAGAIN;
		goto leave;
	}
	return ctx;

leave:
	delist(ctx);
put:
	membox_ctx_put(ctx);
	return ERR_PTR(ret);
}

void membox_ctx_get(struct membox_ctx *ctx)
{
	kref_get(&ctx->ref);
}

static void ctx_release(struct kref *ref)
{
	struct membox_ctx *ctx = container_of(ref, struct membox_ctx, ref);

	xa_destroy(&ctx->windows);
	xa_destroy(&ctx->uqueues);
	xa_destroy(&ctx->regions);
	if (ctx->nothing)
		__free_page(ctx->nothing);
	mmdrop(ctx->mm);
	put_device(&ctx->mdev->dev);
	kfree(ctx);
}

void membox_ctx_put(struct membox_ctx *ctx)
{
	kref_put(&ctx->ref, ctx_release);
}

/* Was the device stopped since the context was made? Then it stays unusable. */
bool membox_ctx_is_stale(const struct membox_ctx *ctx)
{
	return READ_ONCE(ctx->mdev->epoch) != ctx->epoch;
}

/*
 * May the caller use the context? -EOWNERDEAD from another address space (a
 * forked child, or a process that was handed the file), -ENODEV when the device
 * is gone, -ESTALE when it was reset.
 */
int membox_ctx_check(const struct membox_ctx *ctx)
{
	if (current->mm != ctx->mm)
		return -EOWNERDEAD;
	if (READ_ONCE(ctx->mdev->state) == MEMBOX_STATE_GONE)
		return -ENODEV;
	return membox_ctx_is_stale(ctx) ? -ESTALE : 0;
}

/* Is it known to the box (still)? */
static bool is_in_box(const struct membox_ctx *ctx)
{
	return READ_ONCE(ctx->mdev->state) == MEMBOX_STATE_LIVE && !membox_ctx_is_stale(ctx);
}

static bool is_idle(struct membox_ctx *ctx)
{
	bool idle;

	spin_lock(&ctx->lock);
	idle = !ctx->inflight;
	spin_unlock(&ctx->lock);
	return idle;
}

static void abort_all(struct membox_ctx *ctx)
{
	struct membox_abort_args args = {
		.size = sizeof(args),
		.queue = ctx->queue->number,
		.cid = MEMBOX_ALL_CIDS,
		.context = ctx->number,
	};

	membox_admin(ctx->mdev, 0, MEMBOX_ADM_ABORT, &args, sizeof(args), MEMBOX_ADMIN_MUST);
	membox_queue_poll(ctx->queue);
}

static bool has_memory(struct membox_ctx *ctx)
{
	return !xa_empty(&ctx->regions) || !xa_empty(&ctx->uqueues);
}

/*
 * Takes the context out of the box, and from the device what it has of its memory: rings
 * and regions. When that fails stopping the device gives the memory back.
 */
static void leave_box(struct membox_ctx *ctx)
{
	int ret = -EAGAIN;

	if (is_in_box(ctx)) {
		ret = membox_uqueues_delete(ctx);
		if (!ret)
			ret = destroy_in_box(ctx);
		else
			destroy_in_box(ctx);
	}
	if (!ret) {
		membox_regions_release(ctx);
		return;
	}
	while (has_memory(ctx)) {
		membox_reset_later(ctx->mdev, "the device does not give memory back");
		wait_event_timeout(ctx->wait, !has_memory(ctx), QUIESCE_TIMEOUT);
	}
}

/*
 * Ends a context: its file is closed, so nobody uses it. Its commands are
 * aborted and end (a device that cannot even do this is reset, which ends them
 * too), its windows, queues and regions go, and the box forgets it with all that it held.
 */
void membox_ctx_close(struct membox_ctx *ctx)
{
	struct membox_req *req, *next;
	LIST_HEAD(unread);

	spin_lock(&ctx->lock);
	ctx->closed = true;
	list_splice_init(&ctx->done, &unread);
	ctx->ndone = 0;
	spin_unlock(&ctx->lock);
	list_for_each_entry_safe(req, next, &unread, node)
		membox_request_free(req);

	if (!is_idle(ctx) && is_in_box(ctx)) {
		abort_all(ctx);
		if (!wait_event_timeout(ctx->wait, is_idle(ctx), QUIESCE_TIMEOUT))
			membox_reset_later(ctx->mdev, "aborted commands do not end");
	}
	membox_eventfd_clear(ctx);
	membox_windows_free(ctx);
	leave_box(ctx);
	delist(ctx);
	membox_ctx_put(ctx);
}

/* The device is being stopped: no window and no doorbell may be touched any more. */
void membox_ctx_zap_all(struct membox_dev *mdev)
{
	struct membox_ctx *ctx;

	mutex_lock(&mdev->ctx_lock);
	list_for_each_entry(ctx, &mdev->ctx_list, node) {
		membox_windows_zap(ctx);
		membox_uqueues_zap(ctx);
	}
	mutex_unlock(&mdev->ctx_lock);
}

/* The device was stopped, and reaches no memory: contexts get theirs back. */
void membox_ctx_release_all(struct membox_dev *mdev, u16 status)
{
	struct membox_ctx *ctx;

	mutex_lock(&mdev->ctx_lock);
	list_for_each_entry(ctx, &mdev->ctx_list, node) {
		membox_uqueues_release(ctx, status);
		membox_regions_release(ctx);
	}
	mutex_unlock(&mdev->ctx_lock);
}

/* The device was stopped: whoever waits shall look again. */
void membox_ctx_wake_all(struct membox_dev *mdev)
{
	struct membox_ctx *ctx;

	mutex_lock(&mdev->ctx_lock);
	list_for_each_entry(ctx, &mdev->ctx_list, node) {
		membox_eventfd_raise(ctx, MEMBOX_EVENTFD_COMPLETION);
		membox_eventfd_raise(ctx, MEMBOX_EVENTFD_EVENT);
		wake_up_all(&ctx->wait);
	}
	mutex_unlock(&mdev->ctx_lock);
}
