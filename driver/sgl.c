// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgl.c - scatter-gather lists in the device's format.
 *
 * A page has 256 entries. All 256 are data when the list ends in it, else the
 * last is a LINK to the next page:
 *
 *	pages(n) = 1                             n <= 256
 *	           1 + ceil((n - 256) / 255)     else
 */
#include <linux/kernel.h>

#include "sgl.h"

/* Longest piece of one entry: merging stops there. */
#define SEG_MAX MEMBOX_MAX_BYTES

void membox_seg_start(struct membox_seg_iter *it, const struct sg_table *table)
{
	it->sg = table->sgl;
	it->left = table->nents;
}

/* The next segment, or false at the end. */
bool membox_seg_next(struct membox_seg_iter *it, struct membox_seg *seg)
{
	if (!it->left)
		return false;
	seg->addr = sg_dma_address(it->sg);
	seg->len = sg_dma_len(it->sg);
	for (;;) {
		it->left--;
		it->sg = it->left ? sg_next(it->sg) : NULL;
		if (!it->left || sg_dma_address(it->sg) != seg->addr + seg->len ||
		    sg_dma_len(it->sg) > SEG_MAX - seg->len)
			return true;
		seg->len += sg_dma_len(it->sg);
	}
}

/* Data entries that the list of a table has. */
u32 membox_seg_count(const struct sg_table *table)
{
	struct membox_seg_iter it;
	struct membox_seg seg;
	u32 n = 0;

	membox_seg_start(&it, table);
	while (membox_seg_next(&it, &seg))
		n++;
	return n;
}

/* Pages that a list of nseg data entries takes. */
u32 membox_sgl_pages(u32 nseg)
{
	if (nseg <= MEMBOX_SGL_ENTRIES)
		return 1;
	return 1 + DIV_ROUND_UP(nseg - MEMBOX_SGL_ENTRIES, MEMBOX_SGL_ENTRIES - 1);
}

/* Writes the list of table, which has nseg segments, into membox_sgl_pages(nseg) pages. */
void membox_sgl_fill(struct membox_sgl_page *page, const struct sg_table *table, u32 nseg)
{
	struct membox_seg_iter it;
	struct membox_seg seg;
	unsigned int slot = 0;

	membox_seg_start(&it, table);
	for (; membox_seg_next(&it, &seg); nseg--) {
		if (slot == MEMBOX_SGL_ENTRIES - 1 && nseg > 1) {
			page->entry[slot] = (struct membox_sge) {
				.addr = page[1].dma,
				.flags = MEMBOX_SGE_LINK,
			};
			page++;
			slot = 0;
		}
		page->entry[slot++] = (struct membox_sge) {
			.addr = seg.addr,
			.len = seg.len,
		};
	}
}
