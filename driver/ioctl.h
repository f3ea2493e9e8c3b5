/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ioctl.h - the table of ioctls, for ioctl.c and its tests.
 */
#ifndef MEMBOX_IOCTL_H
#define MEMBOX_IOCTL_H

#include <linux/types.h>

struct membox_call;

struct membox_ioctl_row {
	u32 cmd;
	u16 size;  /* of the structure as it is now */
	u16 min;   /* the smallest size accepted */
	u8 opcode; /* of the administration command, or 0 */
	int (*fn)(struct membox_call *call);
};

const struct membox_ioctl_row *membox_ioctl_find(unsigned int cmd);
const struct membox_ioctl_row *membox_ioctl_rows(size_t *n);
int membox_ioctl_copy_in(const struct membox_ioctl_row *row, void *buf, void __user *from,
			 u32 *size);
int membox_ioctl_copy_out(const struct membox_ioctl_row *row, void *buf, void __user *to, u32 size);

#endif /* MEMBOX_IOCTL_H */
