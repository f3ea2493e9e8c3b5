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

/*
 * The segments of a region, for finding those of a part of it: where each begins
 * in the region, and a last one that begins where the region ends.
 */
struct membox_run {
	u64 start;
	u64 addr;
};

/* Walks the DMA segments of an sg_table, neighbours merged, or of a part of a region. */
struct membox_seg_iter {
	struct scatterlist *sg;
	unsigned int left;
	const struct membox_run *run; /* NULL: an sg_table's */
	u64 at;			      /* in the region: next byte, and the end */
	u64 end;
};

void membox_seg_start(struct membox_seg_iter *it, const struct sg_table *table);
void membox_seg_start_runs(struct membox_seg_iter *it, const struct membox_run *runs, u32 n,
			   u64 offset, u64 bytes);
bool membox_seg_next(struct membox_seg_iter *it, struct membox_seg *seg);
u32 membox_seg_count(struct membox_seg_iter it);
void membox_runs_fill(struct membox_run *runs, struct membox_seg_iter it);

/* One page of the chain, for the CPU and for the device. */
struct membox_sgl_page {
	struct membox_sge *entry;
	dma_addr_t dma;
};

u32 membox_sgl_pages(u32 nseg);
void membox_sgl_fill(struct membox_sgl_page *page, struct membox_seg_iter *it, u32 nseg);

#endif /* MEMBOX_SGL_H */
