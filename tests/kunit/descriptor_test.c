// SPDX-License-Identifier: GPL-2.0-only
/*
 * descriptor_test.c - from pages and DMA segments to what a descriptor names:
 * merging, splitting at page boundaries, one address or a list, and the chain
 * of pages that the list lies in.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/slab.h>

/* The code under test, so that the module under test need not export it. */
#include "../../driver/sgl.c"

/* ---- segments ---- */

#define MAX_SEGS 6

struct seg_case {
	const char *name;
	unsigned int n;
	struct membox_seg in[MAX_SEGS];
	unsigned int want;
	struct membox_seg out[MAX_SEGS];
};

static const struct seg_case seg_cases[] = {
	{ "one segment", 1, { { 0x1000, 64 } }, 1, { { 0x1000, 64 } } },
	{ "neighbours merge", 3, { { 0x1000, 0x1000 }, { 0x2000, 0x1000 }, { 0x3000, 8 } },
	  1, { { 0x1000, 0x2008 } } },
	{ "a gap splits", 3, { { 0x1000, 0x1000 }, { 0x3000, 0x1000 }, { 0x4000, 0x1000 } },
	  2, { { 0x1000, 0x1000 }, { 0x3000, 0x2000 } } },
	{ "descending does not merge", 2, { { 0x2000, 0x1000 }, { 0x1000, 0x1000 } },
	  2, { { 0x2000, 0x1000 }, { 0x1000, 0x1000 } } },
	{ "one byte between splits", 2, { { 0x1000, 0xfff }, { 0x2000, 0x1000 } },
	  2, { { 0x1000, 0xfff }, { 0x2000, 0x1000 } } },
	{ "the same address twice", 2, { { 0x1000, 0x1000 }, { 0x1000, 0x1000 } },
	  2, { { 0x1000, 0x1000 }, { 0x1000, 0x1000 } } },
	{ "merging ends at the limit", 3,
	  { { 0x1000, MEMBOX_MAX_BYTES - 0x1000 }, { MEMBOX_MAX_BYTES, 0x1000 },
	    { MEMBOX_MAX_BYTES + 0x1000, 0x1000 } },
	  2, { { 0x1000, MEMBOX_MAX_BYTES }, { MEMBOX_MAX_BYTES + 0x1000, 0x1000 } } },
	{ "nothing joins one over the limit", 2,
	  { { 0x1000, MEMBOX_MAX_BYTES + 0x1000 }, { MEMBOX_MAX_BYTES + 0x2000, 0x1000 } },
	  2, { { 0x1000, MEMBOX_MAX_BYTES + 0x1000 }, { MEMBOX_MAX_BYTES + 0x2000, 0x1000 } } },
	{ "lengths do not overflow", 2, { { 0x1000, 0xfffff000 }, { 0x100000000, 0x1000 } },
	  2, { { 0x1000, 0xfffff000 }, { 0x100000000, 0x1000 } } },
	{ "across 4 GiB", 2, { { 0xfffff000, 0x1000 }, { 0x100000000, 0x1000 } },
	  1, { { 0xfffff000, 0x2000 } } },
};

static void seg_name(const struct seg_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(seg, seg_cases, seg_name);

/* A table as dma_map_sgtable() leaves it, with n mapped segments. */
static void make_table(struct kunit *test, struct sg_table *table, unsigned int n)
{
	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table(table, n, GFP_KERNEL));
}

static void set_segment(struct scatterlist *sg, u64 addr, u32 len)
{
	sg_dma_address(sg) = addr;
	sg_dma_len(sg) = len;
}

static void segments(struct kunit *test)
{
	const struct seg_case *c = test->param_value;
	struct membox_seg_iter it;
	struct membox_seg seg;
	struct scatterlist *sg;
	struct sg_table table;
	unsigned int i;

	make_table(test, &table, c->n);
	for_each_sg(table.sgl, sg, c->n, i)
		set_segment(sg, c->in[i].addr, c->in[i].len);
	membox_seg_start(&it, &table);
	KUNIT_EXPECT_EQ(test, membox_seg_count(it), c->want);
	for (i = 0; membox_seg_next(&it, &seg) && i < c->want; i++) {
		KUNIT_EXPECT_EQ(test, seg.addr, c->out[i].addr);
		KUNIT_EXPECT_EQ(test, seg.len, c->out[i].len);
	}
	KUNIT_EXPECT_EQ(test, i, c->want);
	sg_free_table(&table);
}

/* ---- pages of a user's buffer ---- */

struct page_case {
	const char *name;
	unsigned int offset;
	unsigned int bytes;
	bool contiguous;
	unsigned int want; /* segments */
};

static const struct page_case page_cases[] = {
	{ "one byte", 0, 1, true, 1 },
	{ "last byte of a page", PAGE_SIZE - 1, 1, true, 1 },
	{ "one page", 0, PAGE_SIZE, true, 1 },
	{ "two bytes in two pages", PAGE_SIZE - 1, 2, false, 2 },
	{ "two bytes in neighbours", PAGE_SIZE - 1, 2, true, 1 },
	{ "four scattered pages", 0, 4 * PAGE_SIZE, false, 4 },
	{ "four neighbours", 0, 4 * PAGE_SIZE, true, 1 },
	{ "unaligned over four", 100, 3 * PAGE_SIZE + 200, false, 4 },
	{ "all but the ends", 1, 4 * PAGE_SIZE - 2, false, 4 },
};

static void page_name(const struct page_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(page, page_cases, page_name);

#define BLOCK_ORDER 3

/* The buffer's pages: neighbours, or every second page of a block. */
static void user_pages(struct kunit *test)
{
	const struct page_case *c = test->param_value;
	unsigned int n = DIV_ROUND_UP(c->offset + c->bytes, PAGE_SIZE), i;
	struct page *block = alloc_pages(GFP_KERNEL, BLOCK_ORDER);
	struct page *pages[1 << (BLOCK_ORDER - 1)];
	struct membox_seg_iter it;
	struct membox_seg seg;
	struct scatterlist *sg;
	struct sg_table table;
	u64 total = 0;

	KUNIT_ASSERT_NOT_NULL(test, block);
	KUNIT_ASSERT_LE(test, n, ARRAY_SIZE(pages));
	for (i = 0; i < n; i++)
		pages[i] = block + (c->contiguous ? i : 2 * i);
	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table_from_pages(&table, pages, n, c->offset, c->bytes,
							   GFP_KERNEL));
	for_each_sgtable_sg(&table, sg, i)
		set_segment(sg, sg_phys(sg), sg->length);
	membox_seg_start(&it, &table);
	KUNIT_EXPECT_EQ(test, membox_seg_count(it), c->want);
	for (i = 0; membox_seg_next(&it, &seg); i++) {
		if (!i)
			KUNIT_EXPECT_EQ(test, seg.addr, page_to_phys(pages[0]) + c->offset);
		else
			KUNIT_EXPECT_EQ(test, seg.addr % PAGE_SIZE, 0);
		total += seg.len;
	}
	KUNIT_EXPECT_EQ(test, total, c->bytes);
	sg_free_table(&table);
	__free_pages(block, BLOCK_ORDER);
}

/* ---- chains ---- */

struct chain_case {
	const char *name;
	u32 nseg;
	u32 pages;
};

static const struct chain_case chain_cases[] = {
	{ "two", 2, 1 },
	{ "one less than a page", 255, 1 },
	{ "a full page", 256, 1 },
	{ "one more than a page", 257, 2 },
	{ "a full second page", 255 + 256, 2 },
	{ "one more than two pages", 255 + 257, 3 },
	{ "a full third page", 2 * 255 + 256, 3 },
	{ "many", 10000, 40 },
	{ "most", MEMBOX_SGL_MAX, 258 },
};

static void chain_name(const struct chain_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(chain, chain_cases, chain_name);

#define PAGE_DMA(i) (0x100000 + (u64)(i) * MEMBOX_SGL_BYTES)
#define SEG_ADDR(i) (0x100000000ULL + (u64)(i) * 0x10000)
#define SEG_LEN(i) (1 + (i) % 4096)

/* Walks the chain as a device does and checks every entry. */
static void walk_chain(struct kunit *test, const struct membox_sgl_page *page, u32 pages, u32 nseg)
{
	u32 at = 0, slot = 0, i;

	for (i = 0; i < nseg; i++) {
		const struct membox_sge *e = &page[at].entry[slot];

		if (e->flags & MEMBOX_SGE_LINK) {
			KUNIT_ASSERT_EQ(test, slot, MEMBOX_SGL_ENTRIES - 1);
			KUNIT_ASSERT_EQ(test, e->len, 0);
			KUNIT_ASSERT_LT(test, at + 1, pages);
			KUNIT_ASSERT_EQ(test, e->addr, page[at + 1].dma);
			at++;
			slot = 0;
			e = &page[at].entry[0];
		}
		KUNIT_ASSERT_EQ(test, e->flags, 0);
		KUNIT_ASSERT_EQ(test, e->addr, SEG_ADDR(i));
		KUNIT_ASSERT_EQ(test, e->len, SEG_LEN(i));
		slot++;
		KUNIT_ASSERT_LE(test, slot, MEMBOX_SGL_ENTRIES);
	}
	KUNIT_EXPECT_EQ(test, at, pages - 1);
}

static void chains(struct kunit *test)
{
	const struct chain_case *c = test->param_value;
	struct membox_sgl_page *page;
	struct membox_seg_iter it;
	struct scatterlist *sg;
	struct sg_table table;
	u32 i;

	KUNIT_ASSERT_EQ(test, membox_sgl_pages(c->nseg), c->pages);
	page = kunit_kcalloc(test, c->pages, sizeof(*page), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, page);
	for (i = 0; i < c->pages; i++) {
		page[i].entry = kunit_kzalloc(test, MEMBOX_SGL_BYTES, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, page[i].entry);
		page[i].dma = PAGE_DMA(i);
	}
	make_table(test, &table, c->nseg);
	for_each_sg(table.sgl, sg, c->nseg, i)
		set_segment(sg, SEG_ADDR(i), SEG_LEN(i));
	membox_seg_start(&it, &table);
	membox_sgl_fill(page, &it, c->nseg);
	walk_chain(test, page, c->pages, c->nseg);
	sg_free_table(&table);
}

/* ---- parts of a region ---- */

#define REGION_SEGS 5

/* Begins inside a page; two of its pages are neighbours. */
static const struct membox_seg region_segs[REGION_SEGS] = {
	{ 0x1040, 0xfc0 }, { 0x9000, 0x1000 }, { 0x5000, 0x1000 }, { 0x6000, 0x1000 },
	{ 0xf000, 0x30 },
};

#define REGION_RUNS 4
#define REGION_BYTES 0x3ff0

struct part_case {
	const char *name;
	u64 offset;
	u64 bytes;
	unsigned int want;
	struct membox_seg out[REGION_RUNS];
};

static const struct part_case part_cases[] = {
	{ "all of it", 0, REGION_BYTES, 4,
	  { { 0x1040, 0xfc0 }, { 0x9000, 0x1000 }, { 0x5000, 0x2000 }, { 0xf000, 0x30 } } },
	{ "first byte", 0, 1, 1, { { 0x1040, 1 } } },
	{ "last byte", REGION_BYTES - 1, 1, 1, { { 0xf02f, 1 } } },
	{ "last byte of a segment", 0xfbf, 1, 1, { { 0x1fff, 1 } } },
	{ "first byte of a segment", 0xfc0, 1, 1, { { 0x9000, 1 } } },
	{ "a whole segment", 0xfc0, 0x1000, 1, { { 0x9000, 0x1000 } } },
	{ "two bytes across", 0xfbf, 2, 2, { { 0x1fff, 1 }, { 0x9000, 1 } } },
	{ "across neighbours", 0x2fb0, 0x20, 1, { { 0x5ff0, 0x20 } } },
	{ "from the middle to the middle", 0x800, 0x2000, 3,
	  { { 0x1840, 0x7c0 }, { 0x9000, 0x1000 }, { 0x5000, 0x840 } } },
};

static void part_name(const struct part_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(part, part_cases, part_name);

static void parts(struct kunit *test)
{
	const struct part_case *c = test->param_value;
	struct membox_run runs[REGION_RUNS + 1];
	struct membox_seg_iter it;
	struct membox_seg seg;
	struct scatterlist *sg;
	struct sg_table table;
	unsigned int i;

	make_table(test, &table, REGION_SEGS);
	for_each_sg(table.sgl, sg, REGION_SEGS, i)
		set_segment(sg, region_segs[i].addr, region_segs[i].len);
	membox_seg_start(&it, &table);
	KUNIT_ASSERT_EQ(test, membox_seg_count(it), REGION_RUNS);
	membox_runs_fill(runs, it);
	KUNIT_EXPECT_EQ(test, runs[REGION_RUNS].start, REGION_BYTES);
	membox_seg_start_runs(&it, runs, REGION_RUNS, c->offset, c->bytes);
	KUNIT_EXPECT_EQ(test, membox_seg_count(it), c->want);
	for (i = 0; membox_seg_next(&it, &seg) && i < c->want; i++) {
		KUNIT_EXPECT_EQ(test, seg.addr, c->out[i].addr);
		KUNIT_EXPECT_EQ(test, seg.len, c->out[i].len);
	}
	KUNIT_EXPECT_EQ(test, i, c->want);
	sg_free_table(&table);
}

static struct kunit_case descriptor_cases[] = {
	KUNIT_CASE_PARAM(segments, seg_gen_params),
	KUNIT_CASE_PARAM(parts, part_gen_params),
	KUNIT_CASE_PARAM(user_pages, page_gen_params),
	KUNIT_CASE_PARAM(chains, chain_gen_params),
	{}
};

static struct kunit_suite descriptor_suite = {
	.name = "membox_descriptor",
	.test_cases = descriptor_cases,
};

kunit_test_suite(descriptor_suite);
