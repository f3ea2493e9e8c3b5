/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgl.h - from mapped memory to what a descriptor's hostref says: one address,
 * or a chain of scatter-gather pages. Pure: allocates nothing, maps nothing.
 */
#ifndef MEMBOX_SGL_H
#define MEMBOX_SGL_H

#include <linux/scatterlist.h>

#include "membox_check.h"

struct membox_seg {
	u64 addr;
	u32 len;
};

/* Walks the DMA segments of an sg_table, neighbours merged. */
struct membox_seg_iter {
	struct scatterlist *sg;
	unsigned int left;
};

void membox_seg_start(struct membox_seg_iter *it, const struct sg_table *table);
bool membox_seg_next(struct membox_seg_iter *it, struct membox_seg *seg);
u32 membox_seg_count(const struct sg_table *table);

/* One page of the chain, for the CPU and for the device. */
struct membox_sgl_page {
	struct membox_sge *entry;
	dma_addr_t dma;
};

u32 membox_sgl_pages(u32 nseg);
void membox_sgl_fill(struct membox_sgl_page *page, const struct sg_table *table, u32 nseg);

#endif /* MEMBOX_SGL_H */
