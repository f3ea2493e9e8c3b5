// SPDX-License-Identifier: GPL-2.0-only
/*
 * event.c - events of contexts: from the device's register to poll() and
 * eventfds. An event only says "look"; what happened is fetched by EVENT_READ
 * and MAIL_RECV, until one of them answers AGAIN.
 *
 * ctx->lock covers the counts and the eventfds.
 */
#include <linux/bitops.h>
#include <linux/eventfd.h>

#include "compat.h"
#include "membox_dev.h"
#include "regs.h"

#define EVENT_WORDS (MEMBOX_MAX_CONTEXTS / 64)

/* The context with that number, held, or NULL. */
static struct membox_ctx *find_ctx(struct membox_dev *mdev, unsigned long number)
{
	struct membox_ctx *ctx;

	xa_lock(&mdev->contexts);
	ctx = xa_load(&mdev->contexts, number);
	if (ctx)
		membox_ctx_get(ctx);
	xa_unlock(&mdev->contexts);
	return ctx;
}

static void deliver(struct membox_dev *mdev, unsigned long number)
{
	struct membox_ctx *ctx = find_ctx(mdev, number);

	if (!ctx)
		return;
	spin_lock(&ctx->lock);
	ctx->events++;
	spin_unlock(&ctx->lock);
	membox_eventfd_raise(ctx, MEMBOX_EVENTFD_EVENT);
	wake_up_all(&ctx->wait);
	membox_ctx_put(ctx);
}

static void collect_words(struct membox_dev *mdev)
{
	unsigned int word, bit;

	for (word = 0; word < EVENT_WORDS; word++) {
		u32 reg = MEMBOX_REG_EVENTS + word * sizeof(u64);
		u64 bits = membox_reg64(mdev, reg);

		if (!bits)
			continue;
		membox_set_reg64(mdev, reg, bits);
		for (bit = 0; bit < 64; bit++)
			if (bits >> bit & 1)
				deliver(mdev, word * 64 + bit);
	}
}

/* The newest entry of the device's error log, for the kernel's; and what may have to be done. */
static void report_error(struct membox_dev *mdev)
{
	u32 count = membox_reg32(mdev, MEMBOX_REG_ERR_COUNT);
	u32 at = MEMBOX_REG_ERR_LOG +
		 (count - 1) % MEMBOX_ERR_LOG * (u32)sizeof(struct membox_err);
	struct membox_err err;
	u32 i;

	memcpy_fromio(&err, mdev->regs + at, sizeof(err));
	dev_dbg_ratelimited(&mdev->pdev->dev,
			    "log %u: status %u, queue %u, command %u, context %u, value %#llx\n",
			    count, err.status, err.queue, err.cid, err.context, err.value);
	if (membox_reg32(mdev, MEMBOX_REG_STATUS) & MEMBOX_DEV_FATAL)
		membox_reset_later(mdev, "device says that it must be");
	/* a queue that was halted is noticed by who polls it */
	for (i = 0; i < mdev->nqueues; i++)
		membox_queue_poll(&mdev->queue[i]);
	membox_uqueues_poll(mdev);
}

/* Looks at the causes of vector 0. */
void membox_events_collect(struct membox_dev *mdev)
{
	u32 cause = membox_reg32(mdev, MEMBOX_REG_INT_CAUSE);

	if (!cause || cause == ~0U)
		return;
	/* cleared before the events are looked at: a later one sets it again */
	membox_set_reg32(mdev, MEMBOX_REG_INT_CAUSE, cause);
	if (cause & MEMBOX_INT_EVENT)
		collect_words(mdev);
	if (cause & MEMBOX_INT_ERROR)
		report_error(mdev);
}

static unsigned int eventfd_index(unsigned int source)
{
	return source == MEMBOX_EVENTFD_EVENT;
}

/* Signals the eventfd that the context has for a source (MEMBOX_EVENTFD_*). */
void membox_eventfd_raise(struct membox_ctx *ctx, unsigned int source)
{
	struct eventfd_ctx *fd;

	spin_lock(&ctx->lock);
	fd = ctx->eventfd[eventfd_index(source)];
	if (fd)
		membox_eventfd_signal(fd);
	spin_unlock(&ctx->lock);
}

static void replace(struct membox_ctx *ctx, unsigned int index, struct eventfd_ctx *fd)
{
	struct eventfd_ctx *old;

	spin_lock(&ctx->lock);
	old = ctx->eventfd[index];
	ctx->eventfd[index] = fd;
	spin_unlock(&ctx->lock);
	if (old)
		eventfd_ctx_put(old);
}

/* The EVENTFD ioctl: sets (fd >= 0) or takes away (-1) the eventfd of sources. */
int membox_eventfd_set(struct membox_ctx *ctx, const struct membox_eventfd_args *args)
{
	static const unsigned int source[MEMBOX_NR_EVENTFDS] = { MEMBOX_EVENTFD_COMPLETION,
								 MEMBOX_EVENTFD_EVENT };
	struct eventfd_ctx *fd[MEMBOX_NR_EVENTFDS] = {};
	unsigned int i;

	if (!args->sources || args->fd < -1 || args->rsvd ||
	    args->sources & ~(MEMBOX_EVENTFD_COMPLETION | MEMBOX_EVENTFD_EVENT))
		return -EINVAL;
	for (i = 0; i < MEMBOX_NR_EVENTFDS && args->fd >= 0; i++) {
		if (!(args->sources & source[i]))
			continue;
		fd[i] = eventfd_ctx_fdget(args->fd);
		if (IS_ERR(fd[i])) {
			int ret = PTR_ERR(fd[i]);

			while (i--)
				if (fd[i])
					eventfd_ctx_put(fd[i]);
			return ret;
		}
	}
	for (i = 0; i < MEMBOX_NR_EVENTFDS; i++)
		if (args->sources & source[i])
			replace(ctx, i, fd[i]);
	return 0;
}

void membox_eventfd_clear(struct membox_ctx *ctx)
{
	unsigned int i;

	for (i = 0; i < MEMBOX_NR_EVENTFDS; i++)
		replace(ctx, i, NULL);
}

/* Is there something that EVENT_READ or MAIL_RECV did not answer AGAIN to? */
bool membox_event_pending(const struct membox_ctx *ctx)
{
	return READ_ONCE(ctx->events) != READ_ONCE(ctx->events_seen);
}
