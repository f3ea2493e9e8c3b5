// SPDX-License-Identifier: GPL-2.0-only
/*
 * device.c - bringing the hardware up and down: at probe and removal, for a
 * reset, for suspend.
 *
 * Stopping: nothing begins any more, the device is made to stop, only then its
 * commands are ended and their memory is given back. Contexts do not outlive a
 * stop: the box forgets them, and mdev->epoch makes them stale here.
 *
 * mdev->state_lock is held by all who start and stop.
 */
#include <linux/dma-mapping.h>
#include <linux/iopoll.h>
#include <linux/jiffies.h>

#include "membox_dev.h"
#include "regs.h"

#define POLL_US 50
#define READY_TIMEOUT_US 5000000
#define OPEN_TIMEOUT (10 * HZ) /* of open() while the device is being reset */

/* Leaves queues to processes, half of them at least, if the device has that. */
static void share_queues(struct membox_dev *mdev)
{
	const u64 caps = MEMBOX_CAP_USER_QUEUES | MEMBOX_CAP_REGIONS;
	u32 own = clamp_t(u32, mdev->nqueues / 2, 1, MEMBOX_OWN_QUEUES);

	if ((mdev->caps & caps) != caps || own >= mdev->nqueues || !mdev->max_regions)
		return;
	mdev->nuqueues = mdev->nqueues - own;
	mdev->nqueues = own;
}

/*
 * What the device and a process share for long, neither the one nor the other ever hands
 * over. So there is none of it where memory reaches the device by a copy (swiotlb).
 */
static u32 max_regions(struct membox_dev *mdev)
{
	if (dma_max_mapping_size(&mdev->pdev->dev) != SIZE_MAX)
		return 0;
	if (!(mdev->caps & MEMBOX_CAP_REGIONS))
		return MEMBOX_REGIONS;
	return min_t(u32, membox_reg32(mdev, MEMBOX_REG_MAX_REGIONS), MEMBOX_REGIONS);
}

/* Reads what the device is. It is mapped and need not be enabled. */
int membox_device_probe(struct membox_dev *mdev)
{
	struct device *dev = &mdev->pdev->dev;
	u32 version;
	u64 pages;

	if (!membox_is_present(mdev))
		return dev_err_probe(dev, -ENODEV, "register 0 is not a membox's\n");
	version = membox_reg32(mdev, MEMBOX_REG_VERSION);
	if (version >> 16 != MEMBOX_HW_VERSION >> 16)
		return dev_err_probe(dev, -ENODEV, "version %u.%u is not known\n", version >> 16,
				     version & 0xffff);
	mdev->caps = membox_reg64(mdev, MEMBOX_REG_CAPS);
	mdev->max_bytes = min_t(u64, membox_reg64(mdev, MEMBOX_REG_MAX_BYTES), MEMBOX_MAX_BYTES);
	mdev->max_contexts = min_t(u32, membox_reg32(mdev, MEMBOX_REG_MAX_CONTEXTS),
				   MEMBOX_MAX_CONTEXTS);
	mdev->queue_log2 = min_t(u32, membox_reg32(mdev, MEMBOX_REG_DEPTH), MEMBOX_QUEUE_LOG2);
	mdev->aperture_bytes = min_t(u64, membox_reg64(mdev, MEMBOX_REG_APERTURE),
				     pci_resource_len(mdev->pdev, MEMBOX_BAR_APERTURE));
	pages = pci_resource_len(mdev->pdev, MEMBOX_BAR_DOORBELL) / MEMBOX_DB_PAGE;
	mdev->max_log2 = min_t(u32, membox_reg32(mdev, MEMBOX_REG_DEPTH), MEMBOX_UQUEUE_LOG2);
	mdev->nqueues = min_t(u64, membox_reg32(mdev, MEMBOX_REG_QUEUES), pages ? pages - 1 : 0);
	mdev->max_segment = min_t(u64, dma_max_mapping_size(dev), UINT_MAX) & PAGE_MASK;
	mdev->max_regions = max_regions(mdev);
	share_queues(mdev);
	if (!mdev->nqueues || mdev->max_contexts < 2 || mdev->queue_log2 < MEMBOX_ADMIN_LOG2)
		return dev_err_probe(dev, -ENODEV, "%u queues of 2^%u, %u contexts: too few\n",
				     mdev->nqueues, mdev->queue_log2, mdev->max_contexts);
	return 0;
}

/* Ends all that the device does. True: it says so itself. */
static bool hardware_reset(struct membox_dev *mdev)
{
	u32 ctrl;

	if (!membox_is_present(mdev))
		return false;
	membox_set_reg32(mdev, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	return !readl_poll_timeout(mdev->regs + MEMBOX_REG_CTRL, ctrl, !(ctrl & MEMBOX_CTRL_RESET),
				   POLL_US, READY_TIMEOUT_US);
}

static int hardware_enable(struct membox_dev *mdev)
{
	u32 status;
	int ret;

	membox_set_reg32(mdev, MEMBOX_REG_CTRL, MEMBOX_CTRL_ENABLE);
	ret = readl_poll_timeout(mdev->regs + MEMBOX_REG_STATUS, status,
				 status & (MEMBOX_DEV_READY | MEMBOX_DEV_FATAL), POLL_US,
				 READY_TIMEOUT_US);
	return ret ? ret : status & MEMBOX_DEV_FATAL ? -EIO : 0;
}

static void set_state(struct membox_dev *mdev, enum membox_state state)
{
	lockdep_assert_held(&mdev->state_lock);
	spin_lock(&mdev->reset_lock);
	WRITE_ONCE(mdev->state, state);
	spin_unlock(&mdev->reset_lock);
	wake_up_all(&mdev->state_wait);
}

/* Ends what the driver waits for; no doorbell is rung after it. */
static void stop_queues(struct membox_dev *mdev)
{
	u32 i;

	membox_admin_stop(mdev);
	for (i = 0; i < mdev->nqueues; i++)
		membox_queue_stop(&mdev->queue[i]);
}

/**
 * membox_device_start() - makes a stopped device work
 * @mdev: device; its state_lock is held
 *
 * Return: 0 or -errno, with the device stopped.
 */
int membox_device_start(struct membox_dev *mdev)
{
	struct device *dev = &mdev->pdev->dev;
	int ret;
	u32 i;

	lockdep_assert_held(&mdev->state_lock);
	if (!hardware_reset(mdev)) {
		dev_err(dev, "reset does not end\n");
		ret = -EIO;
		goto out;
	}
	pci_set_master(mdev->pdev);
	membox_admin_start(mdev);
	ret = hardware_enable(mdev);
	if (ret) {
		dev_err(dev, "device does not become ready\n");
		goto stop;
	}
	for (i = 0; i < mdev->nqueues; i++) {
		ret = membox_queue_start(&mdev->queue[i]);
		if (ret) {
			dev_err(dev, "queue %u cannot be made: %d\n", i + 1, ret);
			goto stop;
		}
	}
	percpu_ref_reinit(&mdev->mappings);
	set_state(mdev, MEMBOX_STATE_LIVE);
	return 0;

stop:
	stop_queues(mdev);
	hardware_reset(mdev);
	pci_clear_master(mdev->pdev);
	membox_admin_fail(mdev, MEMBOX_ST_RESET);
out:
	set_state(mdev, MEMBOX_STATE_FAILED);
	return ret;
}

/**
 * membox_device_stop() - ends all that goes on
 * @mdev: device; its state_lock is held
 * @state: what it is then
 * @status: with which commands in flight end
 *
 * When it returns the device reaches no memory any more, all commands are
 * completed, and no memory is pinned or mapped.
 */
void membox_device_stop(struct membox_dev *mdev, enum membox_state state, u16 status)
{
	bool was_live = mdev->state == MEMBOX_STATE_LIVE;
	u32 i;

	lockdep_assert_held(&mdev->state_lock);
	set_state(mdev, state);
	if (!was_live)
		return;
	WRITE_ONCE(mdev->epoch, mdev->epoch + 1);
	reinit_completion(&mdev->unmapped);
	percpu_ref_kill(&mdev->mappings);
	stop_queues(mdev);
	membox_ctx_zap_all(mdev);
	hardware_reset(mdev);
	/* even a device that does not answer cannot reach memory after this */
	pci_clear_master(mdev->pdev);
	membox_admin_fail(mdev, status);
	for (i = 0; i < mdev->nqueues; i++)
		membox_queue_fail(&mdev->queue[i], status);
	membox_ctx_release_all(mdev, status);
	wait_for_completion(&mdev->unmapped);
	membox_ctx_wake_all(mdev);
}

/* Makes the device be reset soon; for whoever finds that it does not work. */
void membox_reset_later(struct membox_dev *mdev, const char *why)
{
	spin_lock(&mdev->reset_lock);
	if (mdev->state == MEMBOX_STATE_LIVE && schedule_work(&mdev->reset_work))
		dev_warn(&mdev->pdev->dev, "reset: %s\n", why);
	spin_unlock(&mdev->reset_lock);
}

void membox_reset_work(struct work_struct *work)
{
	struct membox_dev *mdev = container_of(work, struct membox_dev, reset_work);

	mutex_lock(&mdev->state_lock);
	if (mdev->state == MEMBOX_STATE_LIVE) {
		membox_device_stop(mdev, MEMBOX_STATE_DOWN, MEMBOX_ST_RESET);
		membox_device_start(mdev);
	}
	mutex_unlock(&mdev->state_lock);
}

/* Waits while the device is being reset. 0: it lives; -ENODEV, -EIO, -EINTR. */
int membox_wait_live(struct membox_dev *mdev)
{
	long left = wait_event_killable_timeout(mdev->state_wait,
						READ_ONCE(mdev->state) != MEMBOX_STATE_DOWN,
						OPEN_TIMEOUT);

	if (left < 0)
		return -EINTR;
	switch (READ_ONCE(mdev->state)) {
	case MEMBOX_STATE_LIVE:
		return 0;
	case MEMBOX_STATE_GONE:
		return -ENODEV;
	default:
		return -EIO;
	}
}
