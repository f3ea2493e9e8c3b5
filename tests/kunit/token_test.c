// SPDX-License-Identifier: GPL-2.0-only
/*
 * token_test.c - what offsets of mmap() mean: windows and pages in them, parts of user
 * queues; what lets them mean nothing any more; what QUEUE_CREATE takes. The rest of the
 * driver is replaced here.
 */
#include <kunit/test.h>

#include "../../driver/trace.h"

/* The trace points are the driver's own. */
#define trace_membox_window(...) do { } while (0)
#include "../../driver/mmap.c"
#include "../../driver/userq.c"

/* ---- in place of the rest of the driver ---- */

static unsigned int told;
static int answer;

int membox_admin(struct membox_dev *mdev, u16 context, u8 opcode, void *buf, size_t bytes,
		 unsigned int flags)
{
	told++;
	return answer;
}

int membox_ctx_check(const struct membox_ctx *ctx)
{
	return 0;
}

bool membox_ctx_is_stale(const struct membox_ctx *ctx)
{
	return ctx->epoch != ctx->mdev->epoch;
}

u16 membox_irq_vector(const struct membox_dev *mdev, u16 queue)
{
	return queue;
}

void membox_eventfd_raise(struct membox_ctx *ctx, unsigned int source)
{
}

/* ---- a context ---- */

#define WINDOW_PAGES 5
#define PFN 0x1000

struct scene {
	struct membox_dev mdev;
	struct membox_ctx ctx;
	struct membox_window window;
	struct membox_uqueue uq;
};

static int set_up(struct kunit *test)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	told = 0;
	answer = 0;
	s->mdev.nqueues = 2;
	s->mdev.nuqueues = 3;
	s->mdev.max_log2 = 10;
	s->ctx.mdev = &s->mdev;
	mutex_init(&s->ctx.handle_lock);
	mutex_init(&s->ctx.window_lock);
	xa_init_flags(&s->ctx.windows, XA_FLAGS_ALLOC1);
	xa_init(&s->ctx.uqueues);
	s->window.pfn = PFN;
	s->window.pages = WINDOW_PAGES;
	s->uq.ctx = &s->ctx;
	s->uq.number = 4;
	s->uq.is_live = true;
	KUNIT_ASSERT_EQ(test, 0, add_window(&s->ctx, &s->window));
	KUNIT_ASSERT_EQ(test, 0, xa_err(xa_store(&s->ctx.uqueues, 4, &s->uq, GFP_KERNEL)));
	test->priv = s;
	return 0;
}

static void tear_down(struct kunit *test)
{
	struct scene *s = test->priv;

	xa_destroy(&s->ctx.windows);
	xa_destroy(&s->ctx.uqueues);
}

/* ---- windows ---- */

static unsigned long page_of(u64 number, u64 index)
{
	return ((number << TOKEN_SHIFT) >> PAGE_SHIFT) + index;
}

/* Does a page of the file belong to the window, and as which of its pages? */
static bool finds(struct scene *s, unsigned long pgoff, unsigned long *index)
{
	const struct membox_window *w;

	mutex_lock(&s->ctx.window_lock);
	w = find_window(&s->ctx, pgoff, index);
	mutex_unlock(&s->ctx.window_lock);
	return w == &s->window;
}

static const struct page_case {
	const char *name;
	u64 number; /* added to the window's */
	u64 index;
	bool found;
} page_cases[] = {
	{ "first page", 0, 0, true },
	{ "last page", 0, WINDOW_PAGES - 1, true },
	{ "page behind the last", 0, WINDOW_PAGES, false },
	{ "last page of the token", 0, TOKEN_PAGES - 1, false },
	{ "next number", 1, 0, false },
	{ "number far away", 0xffff0, 0, false },
};

static void page_name(const struct page_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(page, page_cases, page_name);

static void pages_are_found_by_token(struct kunit *test)
{
	const struct page_case *c = test->param_value;
	struct scene *s = test->priv;
	unsigned long index = ~0UL;

	KUNIT_EXPECT_EQ(test, c->found,
			finds(s, page_of(s->window.number + c->number, c->index), &index));
	if (c->found)
		KUNIT_EXPECT_EQ(test, index, c->index);
}

static void number_0_is_no_window(struct kunit *test)
{
	struct scene *s = test->priv;
	unsigned long index;

	KUNIT_EXPECT_NE(test, s->window.number, 0);
	KUNIT_EXPECT_FALSE(test, finds(s, 0, &index));
}

static void a_number_does_not_come_again_soon(struct kunit *test)
{
	struct scene *s = test->priv;
	struct membox_window w = {};
	u32 number = s->window.number;

	xa_erase(&s->ctx.windows, number);
	KUNIT_ASSERT_EQ(test, 0, add_window(&s->ctx, &w));
	KUNIT_EXPECT_NE(test, w.number, number);
	xa_erase(&s->ctx.windows, w.number);
}

static void tokens_of_a_stale_context_mean_nothing(struct kunit *test)
{
	struct scene *s = test->priv;
	unsigned long index;

	s->mdev.epoch++;
	KUNIT_EXPECT_FALSE(test, finds(s, page_of(s->window.number, 0), &index));
	mutex_lock(&s->ctx.window_lock);
	KUNIT_EXPECT_NULL(test, find(&s->ctx, TOKEN(4, PART_SQ) >> PAGE_SHIFT));
	mutex_unlock(&s->ctx.window_lock);
}

static const struct place_case {
	const char *name;
	u64 offset, length;
	bool inside;
} place_cases[] = {
	{ "all of it", 0, 0x100000, true },
	{ "the last page", 0xff000, 0x1000, true },
	{ "past the end", 0xff000, 0x2000, false },
	{ "behind the end", 0x100000, 0x1000, false },
	{ "a sum that overflows", ~0xfffULL, 0x2000, false },
	{ "nothing", 0, 0, false },
	{ "half a page", 0, 0x800, false },
	{ "at half a page", 0x800, 0x1000, false },
};

static void place_name(const struct place_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(place, place_cases, place_name);

static void a_device_shows_nothing_outside_its_aperture(struct kunit *test)
{
	const struct place_case *c = test->param_value;
	struct scene *s = test->priv;
	const struct membox_window_args args = { .offset = c->offset, .length = c->length };

	s->mdev.aperture_bytes = 0x100000;
	KUNIT_EXPECT_EQ(test, c->inside, is_inside(&s->mdev, &args));
}

/* ---- user queues ---- */

static void tokens_have_number_and_part(struct kunit *test)
{
	unsigned int number, part;

	for (number = 1; number < 300; number += 7) {
		for (part = 0; part <= PART_DB; part++) {
			unsigned long pgoff = TOKEN(number, part) >> PAGE_SHIFT;

			KUNIT_EXPECT_EQ(test, number_of(pgoff), number);
			KUNIT_EXPECT_EQ(test, part_of(pgoff), part);
			KUNIT_EXPECT_TRUE(test, membox_uqueue_is_token(pgoff));
		}
	}
	KUNIT_EXPECT_FALSE(test, membox_uqueue_is_token(page_of(0xfffff, TOKEN_PAGES - 1)));
}

static void only_a_live_queue_is_found(struct kunit *test)
{
	struct scene *s = test->priv;
	unsigned long pgoff = TOKEN(4, PART_DB) >> PAGE_SHIFT;

	mutex_lock(&s->ctx.window_lock);
	KUNIT_EXPECT_PTR_EQ(test, find(&s->ctx, pgoff), &s->uq);
	KUNIT_EXPECT_NULL(test, find(&s->ctx, TOKEN(5, PART_DB) >> PAGE_SHIFT));
	s->uq.is_live = false;
	KUNIT_EXPECT_NULL(test, find(&s->ctx, pgoff));
	mutex_unlock(&s->ctx.window_lock);
}

static void only_what_is_still_there_is_taken_out(struct kunit *test)
{
	struct scene *s = test->priv;
	struct membox_uqueue other = {};

	KUNIT_EXPECT_FALSE(test, leave(&s->ctx, 4, &other));
	KUNIT_EXPECT_TRUE(test, leave(&s->ctx, 4, &s->uq));
	KUNIT_EXPECT_FALSE(test, leave(&s->ctx, 4, &s->uq));
	KUNIT_EXPECT_EQ(test, -EAGAIN, go_live(&s->ctx, 4, &s->uq));
}

static void one_that_is_not_made_or_ends_is_not_deleted(struct kunit *test)
{
	const struct membox_uqueue_args args = { .queue = 4 };
	struct scene *s = test->priv;

	KUNIT_EXPECT_EQ(test, MEMBOX_ST_BAD_QUEUE, membox_uqueue_delete(&s->ctx, &args));
	s->uq.is_made = true;
	s->uq.is_ending = true;
	KUNIT_EXPECT_EQ(test, MEMBOX_ST_BAD_QUEUE, membox_uqueue_delete(&s->ctx, &args));
	KUNIT_EXPECT_EQ(test, told, 0);
}

static const struct make_case {
	const char *name;
	struct membox_uqueue_args args;
	bool sensible;
} make_cases[] = {
	{ "the smallest", { .sq_log2 = MEMBOX_UQUEUE_MIN_SQ_LOG2,
			    .cq_log2 = MEMBOX_UQUEUE_MIN_CQ_LOG2 }, true },
	{ "the largest", { .sq_log2 = 10, .cq_log2 = 10 }, true },
	{ "fewer completions than packets", { .sq_log2 = 9, .cq_log2 = 8 }, false },
	{ "packets over the limit", { .sq_log2 = 11, .cq_log2 = 11 }, false },
	{ "completions over the limit", { .sq_log2 = 10, .cq_log2 = 11 }, false },
	{ "too few packets", { .sq_log2 = MEMBOX_UQUEUE_MIN_SQ_LOG2 - 1, .cq_log2 = 10 }, false },
	{ "too few completions", { .sq_log2 = MEMBOX_UQUEUE_MIN_SQ_LOG2,
				   .cq_log2 = MEMBOX_UQUEUE_MIN_CQ_LOG2 - 1 }, false },
	{ "a flag", { .flags = 1, .sq_log2 = 8, .cq_log2 = 8 }, false },
	{ "a number", { .queue = 1, .sq_log2 = 8, .cq_log2 = 8 }, false },
	{ "reserved", { .rsvd = 1, .sq_log2 = 8, .cq_log2 = 8 }, false },
	{ "an offset", { .db_offset = 1, .sq_log2 = 8, .cq_log2 = 8 }, false },
};

static void make_name(const struct make_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(make, make_cases, make_name);

static void queues_that_make_no_sense_are_not_made(struct kunit *test)
{
	const struct make_case *c = test->param_value;
	struct membox_uqueue_args args = c->args;
	struct scene *s = test->priv;

	KUNIT_EXPECT_EQ(test, c->sensible, is_sensible(&s->mdev, &args));
	if (!c->sensible)
		KUNIT_EXPECT_EQ(test, -EINVAL, membox_uqueue_create(&s->ctx, &args));
	s->mdev.nuqueues = 0;
	KUNIT_EXPECT_EQ(test, MEMBOX_ST_UNSUPPORTED, membox_uqueue_create(&s->ctx, &args));
	KUNIT_EXPECT_EQ(test, told, 0);
}

static struct kunit_case token_cases[] = {
	KUNIT_CASE_PARAM(pages_are_found_by_token, page_gen_params),
	KUNIT_CASE(number_0_is_no_window),
	KUNIT_CASE(a_number_does_not_come_again_soon),
	KUNIT_CASE(tokens_of_a_stale_context_mean_nothing),
	KUNIT_CASE_PARAM(a_device_shows_nothing_outside_its_aperture, place_gen_params),
	KUNIT_CASE(tokens_have_number_and_part),
	KUNIT_CASE(only_a_live_queue_is_found),
	KUNIT_CASE(only_what_is_still_there_is_taken_out),
	KUNIT_CASE(one_that_is_not_made_or_ends_is_not_deleted),
	KUNIT_CASE_PARAM(queues_that_make_no_sense_are_not_made, make_gen_params),
	{}
};

static struct kunit_suite token_suite = {
	.name = "membox_token",
	.init = set_up,
	.exit = tear_down,
	.test_cases = token_cases,
};

kunit_test_suite(token_suite);

MODULE_DESCRIPTION("unit tests of membox: mmap offsets");
MODULE_LICENSE("GPL");
