/* SPDX-License-Identifier: MIT */
/*
 * alloc.c - extents of the data area. The bitmap has a word for each 4 KiB page
 * and in it a bit for each 64-byte granule:
 *
 *   below a page: a power of two of granules, aligned to its size inside a page
 *   from a page on: whole pages, aligned to 2 MiB of the file from 2 MiB on
 *
 * The bitmap is a cache of the parameter table: nothing here needs to be undone
 * after a crash. Everything is called with the table's lock held. Free space is
 * zero: extents are zeroed before they come back (param.c).
 */
#include "tables.h"

#define PAGE MEMBOX_FMT_PAGE
#define GRANULE MEMBOX_FMT_GRANULE
#define FULL (~0ULL)

uint64_t mbe_extent_bytes(uint64_t bytes, bool mappable)
{
	uint64_t extent = GRANULE;

	if (mappable || bytes > PAGE / 2)
		return bytes > UINT64_MAX - PAGE ? UINT64_MAX : (bytes + PAGE - 1) / PAGE * PAGE;
	while (extent < bytes)
		extent *= 2;
	return extent;
}

bool mbe_extent_sane(const struct mbe_geometry *g, uint64_t offset, uint64_t extent)
{
	uint64_t align = extent < PAGE ? extent : extent < MEMBOX_FMT_HUGE ? PAGE : MEMBOX_FMT_HUGE;

	if (extent < GRANULE || (extent < PAGE && extent & (extent - 1)) || (extent > PAGE && extent % PAGE))
		return false;
	return offset % align == 0 && offset >= g->data && offset - g->data <= g->data_bytes &&
	       extent <= g->data_bytes - (offset - g->data);
}

/* The bits of an extent smaller than a page. */
static uint64_t small_mask(const struct mbe_geometry *g, uint64_t offset, uint64_t extent)
{
	return ((1ULL << extent / GRANULE) - 1) << (offset - g->data) % PAGE / GRANULE;
}

bool mbe_bitmap_mark(const struct mbe_geometry *g, uint64_t *bitmap, uint64_t offset, uint64_t extent)
{
	uint64_t page = (offset - g->data) / PAGE, i;
	uint64_t mask = extent < PAGE ? small_mask(g, offset, extent) : FULL;
	bool clear = true;

	for (i = page; i <= page + (extent - 1) / PAGE; i++) {
		clear = clear && !(bitmap[i] & mask);
		bitmap[i] |= mask;
	}
	return clear;
}

/* An aligned run of n free granules in a page's word, -1: none. */
static int small_run(uint64_t word, unsigned int n)
{
	uint64_t run = (1ULL << n) - 1;
	unsigned int at;

	for (at = 0; at < 64; at += n)
		if (!(word & run << at))
			return (int)at;
	return -1;
}

static uint16_t alloc_small(struct mbe *e, uint64_t extent, uint64_t *offset)
{
	uint64_t pages = e->geo.pages, from = e->state->next_small % pages, i;
	int at;

	for (i = 0; i < pages; i++) {
		uint64_t page = (from + i) % pages;

		if (e->bitmap[page] == FULL)
			continue;
		at = small_run(e->bitmap[page], (unsigned int)(extent / GRANULE));
		if (at < 0)
			continue;
		*offset = e->geo.data + page * PAGE + (uint64_t)at * GRANULE;
		e->state->next_small = page;
		return MEMBOX_ST_OK;
	}
	return MEMBOX_ST_NO_SPACE;
}

/* First page at or behind `page` where an extent with that alignment may begin. */
static uint64_t align_page(const struct mbe *e, uint64_t page, uint64_t align)
{
	uint64_t offset = e->geo.data + page * PAGE;

	return ((offset + align - 1) / align * align - e->geo.data) / PAGE;
}

/* A free run of n pages that begins in [from, to), UINT64_MAX: none. */
static uint64_t page_run(const struct mbe *e, uint64_t from, uint64_t to, uint64_t n, uint64_t align)
{
	uint64_t start = align_page(e, from, align), i;

	while (start < to && n <= e->geo.pages && start <= e->geo.pages - n) {
		for (i = 0; i < n && !e->bitmap[start + i]; i++)
			;
		if (i == n)
			return start;
		start = align_page(e, start + i + 1, align);
	}
	return UINT64_MAX;
}

static uint16_t alloc_pages(struct mbe *e, uint64_t extent, uint64_t *offset)
{
	uint64_t n = extent / PAGE, hint = e->state->next_page % e->geo.pages, page;
	uint64_t align = extent < MEMBOX_FMT_HUGE ? PAGE : MEMBOX_FMT_HUGE;

	page = page_run(e, hint, e->geo.pages, n, align);
	if (page == UINT64_MAX)
		page = page_run(e, 0, hint, n, align);
	if (page == UINT64_MAX)
		return MEMBOX_ST_NO_SPACE;
	*offset = e->geo.data + page * PAGE;
	e->state->next_page = page + n;
	return MEMBOX_ST_OK;
}

uint16_t mbe_alloc(struct mbe *e, uint64_t extent, uint64_t *offset)
{
	uint16_t status;

	if (extent > e->geo.data_bytes)
		return MEMBOX_ST_NO_SPACE;
	status = extent < PAGE ? alloc_small(e, extent, offset) : alloc_pages(e, extent, offset);
	if (status)
		return status;
	mbe_bitmap_mark(&e->geo, e->bitmap, *offset, extent);
	MBE_STORE(&e->state->granules_used, e->state->granules_used + extent / GRANULE);
	MBE_STEP(e, "alloc: marked");
	return MEMBOX_ST_OK;
}

void mbe_free(struct mbe *e, uint64_t offset, uint64_t extent)
{
	uint64_t page = (offset - e->geo.data) / PAGE, i;
	uint64_t mask = extent < PAGE ? small_mask(&e->geo, offset, extent) : FULL;

	for (i = page; i <= page + (extent - 1) / PAGE; i++)
		e->bitmap[i] &= ~mask;
	if (extent < PAGE && page < e->state->next_small)
		e->state->next_small = page;
	MBE_STORE(&e->state->granules_used, e->state->granules_used - extent / GRANULE);
	MBE_STEP(e, "alloc: freed");
}
