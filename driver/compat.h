/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * compat.h - all that differs between the kernels the module is built for.
 */
#ifndef MEMBOX_COMPAT_H
#define MEMBOX_COMPAT_H

#include <linux/device.h>
#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/version.h>

#if KERNEL_VERSION(6, 7, 0) > LINUX_VERSION_CODE
#include <linux/io_uring.h>
#else
#include <linux/io_uring/cmd.h>
#endif

#if KERNEL_VERSION(6, 2, 0) > LINUX_VERSION_CODE
#define membox_devnode_arg struct device
#else
#define membox_devnode_arg const struct device
#endif

#if KERNEL_VERSION(6, 3, 0) > LINUX_VERSION_CODE
static inline void membox_vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set,
				       vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#else
#define membox_vm_flags_mod(vma, set, clear) vm_flags_mod(vma, set, clear)
#endif

#if KERNEL_VERSION(6, 8, 0) > LINUX_VERSION_CODE
#define membox_eventfd_signal(ctx) eventfd_signal(ctx, 1)
#else
#define membox_eventfd_signal(ctx) eventfd_signal(ctx)
#endif

/*
 * Where a command's own bytes are, and whether io_uring asks for the end of commands
 * whose task ends (IO_URING_F_CANCEL), which those are then marked for.
 */
#if KERNEL_VERSION(6, 7, 0) > LINUX_VERSION_CODE
#define MEMBOX_URING_ASKS false
#define membox_uring_args_of(command) ((command)->cmd)
static inline bool membox_uring_is_cancel(unsigned int issue_flags)
{
	return false;
}

static inline void membox_uring_mark(struct io_uring_cmd *command, unsigned int issue_flags)
{
}
#else
#define MEMBOX_URING_ASKS true
#define membox_uring_args_of(command) io_uring_sqe_cmd((command)->sqe)
static inline bool membox_uring_is_cancel(unsigned int issue_flags)
{
	return issue_flags & IO_URING_F_CANCEL;
}

static inline void membox_uring_mark(struct io_uring_cmd *command, unsigned int issue_flags)
{
	io_uring_cmd_mark_cancelable(command, issue_flags);
}
#endif

#endif /* MEMBOX_COMPAT_H */
