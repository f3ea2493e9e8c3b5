/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * regs.h - access to BAR 0. uapi/membox_hw.h names the registers; here is only
 * how they are read and written. A device that was pulled out reads all ones.
 */
#ifndef MEMBOX_REGS_H
#define MEMBOX_REGS_H

#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>

#include "membox_check.h"
#include "membox_dev.h"

static inline u32 membox_reg32(const struct membox_dev *mdev, u32 reg)
{
	return readl(mdev->regs + reg);
}

static inline u64 membox_reg64(const struct membox_dev *mdev, u32 reg)
{
	return readq(mdev->regs + reg);
}

static inline void membox_set_reg32(struct membox_dev *mdev, u32 reg, u32 value)
{
	writel(value, mdev->regs + reg);
}

static inline void membox_set_reg64(struct membox_dev *mdev, u32 reg, u64 value)
{
	writeq(value, mdev->regs + reg);
}

/* Does the device still answer? */
static inline bool membox_is_present(const struct membox_dev *mdev)
{
	return membox_reg32(mdev, MEMBOX_REG_ID) == MEMBOX_ID;
}

/* The doorbell page of a queue; the admin queue's is page 0. */
static inline void __iomem *membox_doorbell(const struct membox_dev *mdev, unsigned int queue)
{
	return mdev->doorbells + queue * MEMBOX_DB_PAGE;
}

#endif /* MEMBOX_REGS_H */
