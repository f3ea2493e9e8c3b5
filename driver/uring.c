// SPDX-License-Identifier: GPL-2.0-only
/*
 * uring.c - packets by io_uring (IORING_OP_URING_CMD): one a submission queue entry,
 * its completion is an entry of the completion queue.
 *
 * A command that is under way belongs to its request: whoever completes the request
 * hands it to its task, which tells io_uring of the end and frees it. io_uring holds
 * the file, and so the context, until then.
 *
 * io_uring's own cancellation (IORING_OP_ASYNC_CANCEL) does not reach these commands;
 * a CANCEL packet does. When a task ends, so do its commands: io_uring asks for it from
 * 6.7 on, before that closing the file in the end of the process does.
 *
 * No locks. io_uring's own may be held round membox_uring_cmd(), and the driver's are
 * never held round calls of io_uring.
 */
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "membox_dev.h"

struct pdu {
	struct membox_req *req; /* that ended */
};

/* In the command's task; at its death in a kernel thread, which has no memory of it. */
static void finish(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct membox_req *req = ((struct pdu *)cmd->pdu)->req;
	struct membox_completion __user *to = u64_to_user_ptr(req->uring.completion);
	u64 result = req->c.result;
	int ret = req->c.status;

	if (to && current->mm == req->ctx->mm && copy_to_user(to, &req->c, sizeof(req->c)))
		ret = -EFAULT;
	membox_request_free(req);
	io_uring_cmd_done(cmd, ret, result, issue_flags);
}

/* The request has ended with what stands in req->c. */
void membox_uring_complete(struct membox_req *req)
{
	struct io_uring_cmd *cmd = req->uring.cmd;

	BUILD_BUG_ON(sizeof(struct pdu) > sizeof(cmd->pdu));
	((struct pdu *)cmd->pdu)->req = req;
	io_uring_cmd_complete_in_task(cmd, finish);
}

static bool is_of(const struct membox_req *req, const void *cmd)
{
	return req->uring.cmd == cmd;
}

static bool is_any(const struct membox_req *req, const void *unused)
{
	return req->uring.cmd;
}

/* The process ends: so do the commands that it left, where io_uring does not ask for it. */
void membox_uring_flush(struct membox_ctx *ctx, const void *files)
{
	if (MEMBOX_URING_ASKS || !(current->flags & PF_EXITING) ||
	    READ_ONCE(ctx->uring_files) != files)
		return;
	membox_queue_abort(ctx->queue, ctx, is_any, NULL);
}

/**
 * membox_uring_cmd() - the node's uring_cmd
 * @cmd: command: cmd_op MEMBOX_URING_PACKET, cmd a struct membox_uring_args
 * @issue_flags: io_uring's
 *
 * Return: -EIOCBQUEUED: a completion queue entry follows; -EAGAIN with
 * IO_URING_F_NONBLOCK: to be called again where it may sleep; else -errno, and
 * the packet was not taken.
 */
int membox_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct membox_uring_args *args = membox_uring_args_of(cmd);
	struct membox_ctx *ctx = cmd->file->private_data;
	struct membox_uring uring;
	int ret;

	if (membox_uring_is_cancel(issue_flags)) {
		membox_queue_abort(ctx->queue, ctx, is_of, cmd);
		return 0;
	}
	ret = membox_ctx_check(ctx);
	if (ret)
		return ret;
	if (cmd->cmd_op != MEMBOX_URING_PACKET)
		return -ENOTTY;
	if (!MEMBOX_URING_ASKS)
		WRITE_ONCE(ctx->uring_files, current->files);
	/* the entry may be in memory that its task writes to */
	uring = (struct membox_uring) {
		.cmd = cmd,
		.completion = READ_ONCE(args->completion),
	};
	return membox_submit_uring(ctx, &uring, u64_to_user_ptr(READ_ONCE(args->packet)),
				   issue_flags);
}
