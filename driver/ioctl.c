// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctl.c - the ioctls: one table row each.
 *
 * A structure begins with its size as the caller knows it. A longer one than
 * ours is taken if the rest is zero, a shorter one is filled up with zeros, down
 * to the row's smallest; of the answer the caller gets what it has room for.
 * A command's number is looked up without the size that _IOWR() puts into it.
 * Rows with an administration opcode are passed to the device as they are.
 *
 * No locks.
 */
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>

#include "ioctl.h"
#include "membox_dev.h"

#define SMALL_BYTES 192 /* structures up to this stay on the stack */

struct membox_call {
	struct membox_ctx *ctx;
	struct file *file;
	const struct membox_ioctl_row *row;
	void *buf; /* row->size bytes, filled up */
};

static int do_admin(struct membox_call *call)
{
	return membox_admin(call->ctx->mdev, call->ctx->number, call->row->opcode, call->buf,
			    call->row->size, 0);
}

/* EVENT_READ and MAIL_RECV: AGAIN means that all events told of so far are seen. */
static int do_drain(struct membox_call *call)
{
	struct membox_ctx *ctx = call->ctx;
	u32 events = READ_ONCE(ctx->events);
	int ret = do_admin(call);

	if (ret == MEMBOX_ST_AGAIN) {
		spin_lock(&ctx->lock);
		ctx->events_seen = events;
		spin_unlock(&ctx->lock);
	}
	return ret;
}

static int do_eventfd(struct membox_call *call)
{
	return membox_eventfd_set(call->ctx, call->buf);
}

static int do_region_add(struct membox_call *call)
{
	return membox_region_add(call->ctx, call->buf);
}

static int do_region_del(struct membox_call *call)
{
	return membox_region_del(call->ctx, call->buf);
}

static int do_queue_create(struct membox_call *call)
{
	return membox_uqueue_create(call->ctx, call->buf);
}

static int do_queue_delete(struct membox_call *call)
{
	return membox_uqueue_delete(call->ctx, call->buf);
}

/*
 * PARAM_CLOSE and PARAM_DESTROY: the device takes the handle's windows away, before
 * it looks whether the handle can be closed, and when the parameter was destroyed. It is
 * not known what a command that did not end in time has done.
 */
static int do_close(struct membox_call *call)
{
	const struct membox_handle_args *args = call->buf;
	struct membox_ctx *ctx = call->ctx;
	u32 handle = args->handle;
	int ret;

	if (mutex_lock_killable(&ctx->handle_lock))
		return -EINTR;
	membox_windows_suspend(ctx, handle);
	ret = do_admin(call);
	membox_windows_settle(ctx, handle,
			      ret <= 0 || call->row->opcode == MEMBOX_ADM_PARAM_CLOSE);
	mutex_unlock(&ctx->handle_lock);
	return ret;
}

static int do_window_map(struct membox_call *call)
{
	return membox_window_map(call->ctx, call->buf);
}

static int do_window_unmap(struct membox_call *call)
{
	return membox_window_unmap(call->ctx, call->buf);
}

/* The time-out of SUBMIT in jiffies, 0 for one that is refused. */
static unsigned long submit_timeout(s64 nsec)
{
	if (nsec == -1)
		return usecs_to_jiffies(MEMBOX_DEFAULT_TIMEOUT_US);
	if (nsec < 0 || nsec > (s64)MEMBOX_MAX_TIMEOUT_US * NSEC_PER_USEC)
		return 0;
	return nsecs_to_jiffies(nsec) + 1;
}

static int submit_reap(struct membox_ctx *ctx, struct membox_submit *s, unsigned long timeout)
{
	int ret = 0, n;

	if (s->wait)
		ret = membox_completions_wait(ctx, s->wait, true, timeout);
	n = membox_completions_copy(ctx, u64_to_user_ptr(s->completions), s->reap);
	if (n < 0)
		return n;
	s->reaped = n;
	return s->submitted || n ? 0 : ret;
}

static int do_submit(struct membox_call *call)
{
	struct membox_submit *s = call->buf;
	struct membox_packets packets = {
		.base = u64_to_user_ptr(s->packets),
		.stride = sizeof(struct membox_packet),
		.count = s->count,
	};
	unsigned long timeout = submit_timeout(s->timeout_ns);
	int ret = 0, reaped;

	s->submitted = 0;
	s->reaped = 0;
	if (s->flags || s->rsvd || !timeout || s->count > MEMBOX_MAX_BATCH)
		return -EINVAL;
	if (s->count)
		ret = membox_submit_packets(call->ctx, &packets,
					    !(call->file->f_flags & O_NONBLOCK));
	else
		membox_queue_poll(call->ctx->queue);
	if (ret < 0 && ret != -EAGAIN)
		return ret;
	s->submitted = max(ret, 0);
	reaped = submit_reap(call->ctx, s, timeout);
	if (reaped || ret >= 0)
		return reaped;
	return s->reaped ? 0 : ret;
}

#define ROW(name, type, last, fn, op) \
	{ MEMBOX_IOC_##name, sizeof(struct type), offsetofend(struct type, last), op, fn }
#define ADMIN(name, type, last) ROW(name, type, last, do_admin, MEMBOX_ADM_##name)

static const struct membox_ioctl_row rows[] = {
	ADMIN(INFO, membox_info, size),
	ROW(SUBMIT, membox_submit, timeout_ns, do_submit, 0),
	ROW(EVENTFD, membox_eventfd_args, sources, do_eventfd, 0),
	ROW(REGION_ADD, membox_region_args, length, do_region_add, 0),
	ROW(REGION_DEL, membox_region_args, key, do_region_del, 0),
	ROW(WINDOW_MAP, membox_window_args, length, do_window_map, MEMBOX_ADM_WINDOW_MAP),
	ROW(WINDOW_UNMAP, membox_window_args, window, do_window_unmap, MEMBOX_ADM_WINDOW_UNMAP),
	ROW(QUEUE_CREATE, membox_uqueue_args, db_offset, do_queue_create, 0),
	ROW(QUEUE_DELETE, membox_uqueue_args, queue, do_queue_delete, 0),
	ADMIN(PARAM_OPEN, membox_param_args, handle),
	ROW(PARAM_CLOSE, membox_handle_args, handle, do_close, MEMBOX_ADM_PARAM_CLOSE),
	ROW(PARAM_DESTROY, membox_handle_args, handle, do_close, MEMBOX_ADM_PARAM_DESTROY),
	ADMIN(PARAM_STAT, membox_param_stat, handle),
	ADMIN(PARAM_GRANT, membox_grant_args, key),
	ADMIN(PARAM_REVOKE, membox_param_args, name),
	ADMIN(PARAM_LIST, membox_list_args, cursor),
	ADMIN(PARAM_LOCK, membox_handle_args, handle),
	ADMIN(PARAM_UNLOCK, membox_handle_args, handle),
	ROW(MAIL_RECV, membox_mail, size, do_drain, MEMBOX_ADM_MAIL_RECV),
	ADMIN(SUBSCRIBE, membox_handle_args, value),
	ROW(EVENT_READ, membox_event, size, do_drain, MEMBOX_ADM_EVENT_READ),
	ADMIN(GROUP_JOIN, membox_group_args, rank),
	ADMIN(GROUP_LEAVE, membox_group_args, group),
	ADMIN(GROUP_INFO, membox_group_args, group),
	ADMIN(PORT_STAT, membox_port_stat, port),
	ADMIN(GET_OUTCOMES, membox_outcomes, size),
};

#define CMD_WITHOUT_SIZE(cmd) ((cmd) & ~IOCSIZE_MASK)

/* The row of a command, whatever size its number was made with; NULL: unknown. */
const struct membox_ioctl_row *membox_ioctl_find(unsigned int cmd)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (CMD_WITHOUT_SIZE(rows[i].cmd) == CMD_WITHOUT_SIZE(cmd))
			return &rows[i];
	return NULL;
}

const struct membox_ioctl_row *membox_ioctl_rows(size_t *n)
{
	*n = ARRAY_SIZE(rows);
	return rows;
}

/* Reads a row's structure; *size gets the caller's. 0, -EFAULT, -EINVAL, -E2BIG. */
int membox_ioctl_copy_in(const struct membox_ioctl_row *row, void *buf, void __user *from,
			 u32 *size)
{
	int ret;

	if (get_user(*size, (u32 __user *)from))
		return -EFAULT;
	if (*size < row->min)
		return -EINVAL;
	if (*size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(buf, row->size, from, *size);
	if (ret)
		return ret;
	*(u32 *)buf = row->size;
	return 0;
}

/* Writes the answer, as much of it as the caller knows. */
int membox_ioctl_copy_out(const struct membox_ioctl_row *row, void *buf, void __user *to, u32 size)
{
	*(u32 *)buf = size;
	return copy_to_user(to, buf, min_t(u32, size, row->size)) ? -EFAULT : 0;
}

static int call_row(struct membox_call *call, void __user *arg)
{
	int ret, ended, copied;
	u32 size;

	ret = membox_ioctl_copy_in(call->row, call->buf, arg, &size);
	if (ret)
		return ret;
	ret = call->row->fn(call);
	/* a device that was stopped meanwhile: say which kind of end it is */
	ended = ret < 0 ? membox_ctx_check(call->ctx) : 0;
	copied = membox_ioctl_copy_out(call->row, call->buf, arg, size);
	if (ended)
		return ended;
	return ret < 0 ? ret : copied ? copied : ret;
}

long membox_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	u64 small[SMALL_BYTES / sizeof(u64)] = {};
	struct membox_call call = {
		.ctx = file->private_data,
		.file = file,
		.row = membox_ioctl_find(cmd),
		.buf = small,
	};
	int ret;

	if (!call.row)
		return -ENOTTY;
	ret = membox_ctx_check(call.ctx);
	/* what became of a stale context's commands is all that can still be asked of it */
	if (ret && (ret != -ESTALE || call.row->opcode != MEMBOX_ADM_GET_OUTCOMES))
		return ret;
	if (call.row->size > SMALL_BYTES) {
		call.buf = kzalloc(call.row->size, GFP_KERNEL_ACCOUNT);
		if (!call.buf)
			return -ENOMEM;
	}
	ret = call_row(&call, (void __user *)arg);
	if (call.buf != small)
		kfree(call.buf);
	return ret;
}
