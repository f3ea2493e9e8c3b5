// SPDX-License-Identifier: GPL-2.0-only
/*
 * admin.c - the admin queue: synchronous commands from any number of callers.
 *
 * Each command in flight has a slot with a buffer of its own that the device
 * reads and writes. A caller that is killed, or whose time is up, leaves the
 * slot to whoever completes it, so that the device never writes to memory that
 * somebody else uses. A command that does not end in time makes the driver
 * reset the device.
 *
 * admin->lock covers all; nothing is taken inside it.
 */
#include <linux/dma-mapping.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>

#include "membox_dev.h"
#include "regs.h"
#include "trace.h"

static_assert(MEMBOX_ADMIN_SLOTS == 1 << MEMBOX_ADMIN_LOG2);

#define POLL_INTERVAL 1 /* jiffies between looks where there is no interrupt */

int membox_admin_alloc(struct membox_dev *mdev)
{
	struct membox_admin *adm = &mdev->admin;
	struct device *dev = &mdev->pdev->dev;
	unsigned int i;
	int ret;

	spin_lock_init(&adm->lock);
	init_waitqueue_head(&adm->room);
	for (i = 0; i < MEMBOX_ADMIN_SLOTS; i++)
		init_completion(&adm->slot[i].done);
	adm->buffers = dma_alloc_coherent(dev, MEMBOX_ADMIN_SLOTS * MEMBOX_ADMIN_BYTES,
					  &adm->buffers_dma, GFP_KERNEL);
	if (!adm->buffers)
		return -ENOMEM;
	ret = membox_ring_alloc(dev, &adm->ring, MEMBOX_ADMIN_LOG2);
	if (ret) {
		dma_free_coherent(dev, MEMBOX_ADMIN_SLOTS * MEMBOX_ADMIN_BYTES, adm->buffers,
				  adm->buffers_dma);
		adm->buffers = NULL;
	}
	return ret;
}

void membox_admin_free(struct membox_dev *mdev)
{
	struct membox_admin *adm = &mdev->admin;
	struct device *dev = &mdev->pdev->dev;

	if (!adm->buffers)
		return;
	membox_ring_free(dev, &adm->ring);
	dma_free_coherent(dev, MEMBOX_ADMIN_SLOTS * MEMBOX_ADMIN_BYTES, adm->buffers,
			  adm->buffers_dma);
	adm->buffers = NULL;
}

/* Tells the device where the rings are. The device is disabled and knows none. */
void membox_admin_start(struct membox_dev *mdev)
{
	struct membox_admin *adm = &mdev->admin;

	spin_lock(&adm->lock);
	membox_ring_restart(&adm->ring);
	membox_set_reg64(mdev, MEMBOX_REG_ASQ, adm->ring.sq_dma);
	membox_set_reg64(mdev, MEMBOX_REG_ACQ, adm->ring.cq_dma);
	membox_set_reg64(mdev, MEMBOX_REG_ACTL, adm->ring.ctl_dma);
	membox_set_reg32(mdev, MEMBOX_REG_ADEPTH, MEMBOX_ADMIN_LOG2);
	adm->live = true;
	spin_unlock(&adm->lock);
}

/* No command begins any more, and no doorbell is rung. */
void membox_admin_stop(struct membox_dev *mdev)
{
	struct membox_admin *adm = &mdev->admin;

	spin_lock(&adm->lock);
	adm->live = false;
	spin_unlock(&adm->lock);
	wake_up_all(&adm->room);
}

static void end_slot(struct membox_admin *adm, struct membox_admin_slot *slot)
{
	lockdep_assert_held(&adm->lock);
	slot->ended = true;
	if (slot->abandoned) {
		slot->busy = false;
		wake_up(&adm->room);
	} else {
		complete(&slot->done);
	}
}

/* Ends what is in flight. The device is stopped: it writes no buffer any more. */
void membox_admin_fail(struct membox_dev *mdev, u16 status)
{
	struct membox_admin *adm = &mdev->admin;
	unsigned int i;

	spin_lock(&adm->lock);
	WARN_ON(adm->live);
	for (i = 0; i < MEMBOX_ADMIN_SLOTS; i++) {
		struct membox_admin_slot *slot = &adm->slot[i];

		if (!slot->busy || slot->ended)
			continue;
		slot->c = (struct membox_completion) { .status = status };
		end_slot(adm, slot);
	}
	spin_unlock(&adm->lock);
}

static void reap_locked(struct membox_dev *mdev, struct membox_admin *adm)
{
	struct membox_completion c;

	lockdep_assert_held(&adm->lock);
	while (membox_ring_take(&adm->ring, &c)) {
		struct membox_admin_slot *slot;

		if (c.cid >= MEMBOX_ADMIN_SLOTS || !adm->slot[c.cid].busy ||
		    adm->slot[c.cid].ended) {
			membox_reset_later(mdev, "admin completion of no command");
			break;
		}
		slot = &adm->slot[c.cid];
		slot->c = c;
		end_slot(adm, slot);
	}
	membox_ring_give_back(&adm->ring);
}

/* Takes all completions and asks for an interrupt at the next one. */
void membox_admin_reap(struct membox_dev *mdev)
{
	struct membox_admin *adm = &mdev->admin;

	spin_lock(&adm->lock);
	if (adm->live) {
		do {
			reap_locked(mdev, adm);
		} while (membox_ring_arm(&adm->ring));
		if (membox_ring_is_halted(&adm->ring))
			membox_reset_later(mdev, "admin queue halted");
	}
	spin_unlock(&adm->lock);
}

/* Takes a free slot and says in *number which; false when there is none. */
static bool take_slot(struct membox_admin *adm, unsigned int *number, int *ret)
{
	unsigned int i;
	bool done = false;

	spin_lock(&adm->lock);
	if (!adm->live) {
		*ret = -EAGAIN;
		done = true;
	}
	for (i = 0; i < MEMBOX_ADMIN_SLOTS && !done; i++) {
		struct membox_admin_slot *slot = &adm->slot[i];

		if (slot->busy)
			continue;
		slot->busy = true;
		slot->abandoned = false;
		slot->ended = false;
		reinit_completion(&slot->done);
		*number = i;
		*ret = 0;
		done = true;
	}
	spin_unlock(&adm->lock);
	return done;
}

static int wait_slot(struct membox_admin *adm, unsigned int *number, unsigned long limit,
		     unsigned int flags)
{
	int ret = -EAGAIN;
	long left;

	if (flags & MEMBOX_ADMIN_MUST)
		left = wait_event_timeout(adm->room, take_slot(adm, number, &ret), limit);
	else
		left = wait_event_killable_timeout(adm->room, take_slot(adm, number, &ret), limit);
	if (left < 0)
		return -EINTR;
	if (!left)
		return -EBUSY;
	return ret;
}

static void free_slot(struct membox_admin *adm, struct membox_admin_slot *slot)
{
	spin_lock(&adm->lock);
	slot->busy = false;
	spin_unlock(&adm->lock);
	wake_up(&adm->room);
}

/* Leaves the slot to whoever completes it. False: it was completed meanwhile. */
static bool abandon_slot(struct membox_admin *adm, struct membox_admin_slot *slot)
{
	bool left = false;

	spin_lock(&adm->lock);
	if (!slot->ended) {
		slot->abandoned = true;
		left = true;
	}
	spin_unlock(&adm->lock);
	return left;
}

static int send(struct membox_dev *mdev, const struct membox_packet *desc)
{
	struct membox_admin *adm = &mdev->admin;
	int ret = 0;

	spin_lock(&adm->lock);
	if (!adm->live) {
		ret = -EAGAIN;
	} else {
		membox_ring_put(&adm->ring, desc);
		if (membox_ring_publish(&adm->ring)) {
			trace_membox_doorbell(mdev->id, 0, adm->ring.published);
			writel(adm->ring.published, membox_doorbell(mdev, 0) + MEMBOX_DB_SQ);
		}
	}
	spin_unlock(&adm->lock);
	return ret;
}

/* 0 when the command has ended, -EINTR, or -ETIMEDOUT. */
static int wait_done(struct membox_dev *mdev, struct membox_admin_slot *slot, unsigned long limit,
		     unsigned int flags)
{
	unsigned long deadline = jiffies + limit;

	membox_admin_reap(mdev);
	for (;;) {
		unsigned long step = mdev->nvectors ? limit : POLL_INTERVAL;
		long left;

		if (flags & MEMBOX_ADMIN_MUST)
			left = wait_for_completion_timeout(&slot->done, step);
		else
			left = wait_for_completion_killable_timeout(&slot->done, step);
		if (left > 0)
			return 0;
		if (left < 0)
			return -EINTR;
		/* a look after the time is up, too: an interrupt may have got lost */
		membox_admin_reap(mdev);
		if (try_wait_for_completion(&slot->done))
			return 0;
		if (time_after_eq(jiffies, deadline))
			return -ETIMEDOUT;
	}
}

/**
 * membox_admin() - executes an administration command and waits for its end
 * @mdev: the device
 * @context: on whose behalf; 0 is the kernel's own
 * @opcode: MEMBOX_ADM_*
 * @buf: the command's structure, in and out
 * @bytes: its size, at most MEMBOX_ADMIN_BYTES
 * @flags: MEMBOX_ADMIN_MUST waits even if the caller is being killed
 *
 * Return: 0, the device's status (positive), or -EINTR (killed; the command may
 * still be executed), -EBUSY (no slot became free), -ETIMEDOUT (the device is
 * being reset), -EAGAIN (the device is stopped), -ECONNRESET, -ENODEV.
 */
int membox_admin(struct membox_dev *mdev, u16 context, u8 opcode, void *buf, size_t bytes,
		 unsigned int flags)
{
	struct membox_admin *adm = &mdev->admin;
	unsigned long limit = msecs_to_jiffies(membox_admin_timeout_ms);
	struct membox_admin_slot *slot;
	struct membox_packet desc = {
		.opcode = opcode,
		.context = context,
		.count = bytes,
	};
	unsigned int number;
	void *dma_buf;
	int ret;

	might_sleep();
	if (WARN_ON(bytes > MEMBOX_ADMIN_BYTES))
		return -EINVAL;
	ret = wait_slot(adm, &number, limit, flags);
	if (ret)
		goto out;
	slot = &adm->slot[number];
	dma_buf = adm->buffers + number * MEMBOX_ADMIN_BYTES;
	memcpy(dma_buf, buf, bytes);
	desc.cid = number;
	desc.host.addr = adm->buffers_dma + number * MEMBOX_ADMIN_BYTES;
	ret = send(mdev, &desc);
	if (ret) {
		free_slot(adm, slot);
		goto out;
	}
	ret = wait_done(mdev, slot, limit, flags);
	if (ret == -ETIMEDOUT)
		membox_reset_later(mdev, "admin command timed out");
	if (ret && abandon_slot(adm, slot))
		goto out;
	ret = slot->c.status;
	if (ret == MEMBOX_ST_GONE)
		ret = -ENODEV;
	else if (ret == MEMBOX_ST_RESET)
		ret = -ECONNRESET;
	else
		memcpy(buf, dma_buf, bytes);
	free_slot(adm, slot);
out:
	trace_membox_admin(mdev->id, context, opcode, ret);
	return ret;
}
