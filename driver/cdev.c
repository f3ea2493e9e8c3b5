// SPDX-License-Identifier: GPL-2.0-only
/*
 * cdev.c - the node: open, release, read, write, poll. What they mean is said in
 * uapi/membox.h and docs/driver.md.
 *
 * file->private_data is the context. Each call checks that it comes from the
 * address space that opened the file. No locks.
 */
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

#include "membox_dev.h"

#define MAX_STRIDE 4096

static int membox_open(struct inode *inode, struct file *file)
{
	struct membox_dev *mdev = container_of(inode->i_cdev, struct membox_dev, cdev);
	struct membox_ctx *ctx = membox_ctx_open(mdev, inode);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	file->private_data = ctx;
	file->f_mapping = &ctx->mapping;
	return nonseekable_open(inode, file);
}

static int membox_release(struct inode *inode, struct file *file)
{
	membox_ctx_close(file->private_data);
	return 0;
}

/* Whole completions: as many as are there and fit, at least one. */
static ssize_t membox_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct membox_ctx *ctx = file->private_data;
	unsigned int max = min_t(size_t, len / sizeof(struct membox_completion),
				 MEMBOX_MAX_BATCH);
	int n;

	if (!max)
		return -EINVAL;
	if (current->mm != ctx->mm)
		return -EOWNERDEAD;
	membox_queue_poll(ctx->queue);
	n = membox_completions_copy(ctx, buf, max);
	if (n)
		goto out;
	if (file->f_flags & O_NONBLOCK)
		return READ_ONCE(ctx->inflight) ? -EAGAIN : membox_ctx_check(ctx) ?: -EAGAIN;
	n = membox_completions_wait(ctx, 1, false, usecs_to_jiffies(MEMBOX_DEFAULT_TIMEOUT_US));
	if (n)
		return n;
	n = membox_completions_copy(ctx, buf, max);
	if (!n)
		return membox_ctx_check(ctx) ?: -ETIMEDOUT;
out:
	return n < 0 ? n : n * (ssize_t)sizeof(struct membox_completion);
}

/* A struct membox_batch and the packets behind it. */
static ssize_t membox_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	struct membox_ctx *ctx = file->private_data;
	struct membox_packets packets;
	struct membox_batch batch;
	int n;

	n = membox_ctx_check(ctx);
	if (n)
		return n;
	if (len < sizeof(batch))
		return -EINVAL;
	if (copy_from_user(&batch, buf, sizeof(batch)))
		return -EFAULT;
	if (batch.magic != MEMBOX_BATCH_MAGIC || batch.rsvd ||
	    batch.stride < sizeof(struct membox_packet) || batch.stride > MAX_STRIDE ||
	    batch.stride % 8 || !batch.count || batch.count > MEMBOX_MAX_BATCH ||
	    len != sizeof(batch) + (size_t)batch.count * batch.stride)
		return -EINVAL;
	packets = (struct membox_packets) {
		.base = buf + sizeof(batch),
		.stride = batch.stride,
		.count = batch.count,
	};
	n = membox_submit_packets(ctx, &packets, !(file->f_flags & O_NONBLOCK));
	if (n <= 0)
		return n;
	return sizeof(batch) + (size_t)n * batch.stride;
}

/* A process closes its descriptor; others may have theirs. */
static int membox_flush(struct file *file, fl_owner_t files)
{
	membox_uring_flush(file->private_data, files);
	return 0;
}

static __poll_t membox_poll(struct file *file, poll_table *wait)
{
	struct membox_ctx *ctx = file->private_data;
	__poll_t mask = 0;

	if (current->mm != ctx->mm)
		return EPOLLERR;
	poll_wait(file, &ctx->wait, wait);
	membox_queue_poll(ctx->queue);
	spin_lock(&ctx->lock);
	if (ctx->ndone)
		mask |= EPOLLIN | EPOLLRDNORM;
	if (ctx->inflight + ctx->ndone < membox_max_outstanding)
		mask |= EPOLLOUT | EPOLLWRNORM;
	spin_unlock(&ctx->lock);
	if (membox_uqueues_ready(ctx))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (membox_event_pending(ctx))
		mask |= EPOLLPRI;
	if (membox_ctx_check(ctx))
		mask = (mask & ~(EPOLLOUT | EPOLLWRNORM)) | EPOLLERR | EPOLLHUP;
	return mask;
}

const struct file_operations membox_fops = {
	.owner = THIS_MODULE,
	.open = membox_open,
	.flush = membox_flush,
	.release = membox_release,
	.read = membox_read,
	.write = membox_write,
	.poll = membox_poll,
	.unlocked_ioctl = membox_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = membox_mmap,
	.uring_cmd = membox_uring_cmd,
};
