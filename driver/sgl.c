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
	*it = (struct membox_seg_iter) {
		.sg = table->sgl,
		.left = table->nents,
	};
}

/* Index of the run that holds the byte at offset, by halving. */
static u32 find_run(const struct membox_run *runs, u32 n, u64 offset)
{
	u32 low = 0, high = n;

	while (high - low > 1) {
		u32 middle = low + (high - low) / 2;

		if (runs[middle].start <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The bytes from offset on, which lie in the n runs. */
void membox_seg_start_runs(struct membox_seg_iter *it, const struct membox_run *runs, u32 n,
			   u64 offset, u64 bytes)
{
	*it = (struct membox_seg_iter) {
		.run = &runs[find_run(runs, n, offset)],
		.at = offset,
		.end = offset + bytes,
	};
}

static bool next_of_runs(struct membox_seg_iter *it, struct membox_seg *seg)
{
	const struct membox_run *run = it->run;
	u64 end;

	if (it->at >= it->end)
		return false;
	end = min(it->end, run[1].start);
	seg->addr = run->addr + (it->at - run->start);
	seg->len = end - it->at;
	it->at = end;
	it->run++;
	return true;
}

/* The next segment, or false at the end. */
bool membox_seg_next(struct membox_seg_iter *it, struct membox_seg *seg)
{
	if (it->run)
		return next_of_runs(it, seg);
	if (!it->left)
		return false;
	seg->addr = sg_dma_address(it->sg);
	seg->len = sg_dma_len(it->sg);
	for (;;) {
		it->left--;
		it->sg = it->left ? sg_next(it->sg) : NULL;
		/* an entry of a region may be longer by itself */
		if (!it->left || sg_dma_address(it->sg) != seg->addr + seg->len ||
		    seg->len >= SEG_MAX || sg_dma_len(it->sg) > SEG_MAX - seg->len)
			return true;
		seg->len += sg_dma_len(it->sg);
	}
}

/* Segments that are still to come: data entries that their list has. */
u32 membox_seg_count(struct membox_seg_iter it)
{
	struct membox_seg seg;
	u32 n = 0;

	while (membox_seg_next(&it, &seg))
		n++;
	return n;
}

/* Writes the segments as runs, of which there is one more than membox_seg_count(). */
void membox_runs_fill(struct membox_run *runs, struct membox_seg_iter it)
{
	struct membox_seg seg;
	u64 start = 0;

	for (; membox_seg_next(&it, &seg); start += seg.len)
		*runs++ = (struct membox_run) { .start = start, .addr = seg.addr };
	*runs = (struct membox_run) { .start = start };
}

/* Pages that a list of nseg data entries takes. */
u32 membox_sgl_pages(u32 nseg)
{
	if (nseg <= MEMBOX_SGL_ENTRIES)
		return 1;
	return 1 + DIV_ROUND_UP(nseg - MEMBOX_SGL_ENTRIES, MEMBOX_SGL_ENTRIES - 1);
}

/* Writes the list of the nseg segments to come into membox_sgl_pages(nseg) pages. */
void membox_sgl_fill(struct membox_sgl_page *page, struct membox_seg_iter *it, u32 nseg)
{
	struct membox_seg seg;
	unsigned int slot = 0;

	for (; membox_seg_next(it, &seg); nseg--) {
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
