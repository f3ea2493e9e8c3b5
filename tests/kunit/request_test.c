// SPDX-License-Identifier: GPL-2.0-only
/*
 * request_test.c - what a context may have in flight: requests, completions that were not
 * read, pinned bytes; and what becomes of a request whose file was closed. The rest of the
 * driver is replaced here.
 */
#include <kunit/test.h>
#include <linux/slab.h>

#include "../../driver/membox_dev.h"

/* The driver under test may be loaded, and has a cache of that name. */
#undef KMEM_CACHE
#define KMEM_CACHE(type, flags) \
	kmem_cache_create(#type "_kunit", sizeof(struct type), 0, flags, NULL)
#include "../../driver/request.c"

#define MIB BIT_ULL(20)

/* ---- in place of the rest of the driver ---- */

unsigned int membox_max_outstanding;
unsigned int membox_max_pinned_mb;
static unsigned int released, raised, told_by_uring;
static int references;

void membox_ctx_get(struct membox_ctx *ctx)
{
	references++;
}

void membox_ctx_put(struct membox_ctx *ctx)
{
	references--;
}

bool membox_ctx_is_stale(const struct membox_ctx *ctx)
{
	return ctx->epoch != ctx->mdev->epoch;
}

void membox_packet_release(struct membox_req *req)
{
	released++;
}

void membox_uring_complete(struct membox_req *req)
{
	told_by_uring++;
	membox_request_free(req);
}

void membox_eventfd_raise(struct membox_ctx *ctx, unsigned int source)
{
	raised++;
}

/* ---- a context ---- */

struct scene {
	struct membox_dev mdev;
	struct membox_queue queue;
	struct membox_ctx ctx;
};

static int set_up(struct kunit *test)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	membox_max_outstanding = 4;
	membox_max_pinned_mb = 2;
	released = 0;
	raised = 0;
	told_by_uring = 0;
	references = 0;
	s->queue.ring.log2 = 3;
	s->ctx.mdev = &s->mdev;
	s->ctx.queue = &s->queue;
	spin_lock_init(&s->ctx.lock);
	init_waitqueue_head(&s->ctx.wait);
	INIT_LIST_HEAD(&s->ctx.done);
	test->priv = s;
	return 0;
}

/* Whatever a test did, nothing is left when all has ended and was read. */
static void tear_down(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *req;

	for (req = take_done(ctx); req; req = take_done(ctx))
		membox_request_free(req);
	KUNIT_EXPECT_EQ(test, ctx->inflight, 0);
	KUNIT_EXPECT_EQ(test, ctx->ndone, 0);
	KUNIT_EXPECT_EQ(test, ctx->pinned, 0);
	KUNIT_EXPECT_EQ(test, references, 0);
}

static struct membox_req *take(struct kunit *test)
{
	struct membox_req *req = membox_request_new(&((struct scene *)test->priv)->ctx);

	KUNIT_ASSERT_FALSE(test, IS_ERR(req));
	return req;
}

static void who_does_not_read_gets_nothing_more_in(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *req[4];
	unsigned int i;

	for (i = 0; i < 4; i++)
		req[i] = take(test);
	KUNIT_EXPECT_EQ(test, PTR_ERR(membox_request_new(ctx)), -EAGAIN);
	for (i = 0; i < 4; i++)
		membox_request_complete(req[i]);
	KUNIT_EXPECT_EQ(test, ctx->inflight, 0);
	KUNIT_EXPECT_EQ(test, ctx->ndone, 4);
	KUNIT_EXPECT_EQ(test, PTR_ERR(membox_request_new(ctx)), -EAGAIN);
	membox_request_free(take_done(ctx));
	membox_request_drop(take(test));
}

static void completions_are_read_in_their_order(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *req[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		req[i] = take(test);
		req[i]->desc.user_data = 10 + i;
	}
	membox_request_complete(req[2]);
	membox_request_complete(req[0]);
	membox_request_complete(req[1]);
	KUNIT_EXPECT_EQ(test, raised, 3);
	KUNIT_EXPECT_EQ(test, released, 3);
	for (i = 0; i < 3; i++) {
		struct membox_req *done = take_done(ctx);

		KUNIT_ASSERT_NOT_NULL(test, done);
		KUNIT_EXPECT_EQ(test, done->c.user_data, 10 + (i + 2) % 3);
		membox_request_free(done);
	}
	KUNIT_EXPECT_NULL(test, take_done(ctx));
}

static void one_that_cannot_be_copied_is_not_lost(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *req = take(test);

	req->desc.user_data = 7;
	membox_request_complete(req);
	membox_request_complete(take(test));
	req = take_done(ctx);
	put_back(ctx, req);
	KUNIT_EXPECT_EQ(test, ctx->ndone, 2);
	req = take_done(ctx);
	KUNIT_EXPECT_EQ(test, req->c.user_data, 7);
	membox_request_free(req);
}

static void a_completion_tells_nothing_of_queues(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *req = take(test);

	req->c = (struct membox_completion) {
		.queue = 3,
		.rsvd = 4,
		.cid = 5,
		.phase = 1,
		.status = MEMBOX_ST_TORN,
	};
	membox_request_complete(req);
	req = take_done(ctx);
	KUNIT_EXPECT_EQ(test, req->c.queue, 0);
	KUNIT_EXPECT_EQ(test, req->c.rsvd, 0);
	KUNIT_EXPECT_EQ(test, req->c.cid, 0);
	KUNIT_EXPECT_EQ(test, req->c.phase, 0);
	KUNIT_EXPECT_EQ(test, req->c.status, MEMBOX_ST_TORN);
	membox_request_free(req);
}

static void one_of_a_closed_file_is_forgotten(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *req = take(test);

	ctx->closed = true;
	membox_request_complete(req);
	KUNIT_EXPECT_EQ(test, ctx->ndone, 0);
	KUNIT_EXPECT_EQ(test, raised, 0);
	KUNIT_EXPECT_EQ(test, released, 1);
}

static void one_of_io_uring_is_not_to_be_read(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *req = take(test);

	req->uring.cmd = (void *)req; /* it is only looked at */
	membox_request_complete(req);
	KUNIT_EXPECT_EQ(test, told_by_uring, 1);
	KUNIT_EXPECT_EQ(test, ctx->ndone, 0);
	KUNIT_EXPECT_EQ(test, raised, 0);
}

static const struct charge_case {
	const char *name;
	u64 first;
	u64 second;
	bool fits;
} charge_cases[] = {
	{ "both fit", MIB, MIB, true },
	{ "one byte too many", MIB, MIB + 1, false },
	{ "the first is over the limit by itself, and one without memory", 100 * MIB, 0, true },
	{ "one more beside that", 100 * MIB, 1, false },
	{ "one byte beside a full one", 2 * MIB, 1, false },
};

static void charge_name(const struct charge_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(charge, charge_cases, charge_name);

static void pinned_bytes_have_a_limit(struct kunit *test)
{
	const struct charge_case *c = test->param_value;
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;
	struct membox_req *first = take(test), *second = take(test);

	KUNIT_EXPECT_TRUE(test, membox_request_charge(first, c->first));
	KUNIT_EXPECT_EQ(test, membox_request_charge(second, c->second), c->fits);
	KUNIT_EXPECT_EQ(test, ctx->pinned, c->first + (c->fits ? c->second : 0));
	membox_request_complete(first);
	KUNIT_EXPECT_EQ(test, ctx->pinned, c->fits ? c->second : 0);
	if (!c->fits)
		KUNIT_EXPECT_TRUE(test, membox_request_charge(second, c->second));
	membox_request_drop(second);
}

static void half_of_the_queue_is_a_contexts_share(struct kunit *test)
{
	struct membox_ctx *ctx = &((struct scene *)test->priv)->ctx;

	ctx->inflight = 4;
	KUNIT_EXPECT_TRUE(test, membox_request_in_share(ctx));
	ctx->inflight = 5;
	KUNIT_EXPECT_FALSE(test, membox_request_in_share(ctx));
	ctx->inflight = 0;
}

static const struct wait_case {
	const char *name;
	unsigned int inflight, ndone, min;
	bool idle_ends, stale, enough;
} wait_cases[] = {
	{ "nothing is asked for", 1, 0, 0, false, false, true },
	{ "as many as asked for", 1, 2, 2, false, false, true },
	{ "one too few", 1, 1, 2, true, false, false },
	{ "none will come, and that ends it", 0, 1, 2, true, false, true },
	{ "none is under way yet", 0, 1, 2, false, false, false },
	{ "none will ever come", 0, 1, 2, false, true, true },
	{ "some will come from a stopped device", 1, 1, 2, false, true, false },
};

static void wait_name(const struct wait_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(wait, wait_cases, wait_name);

static void waiting_ends_when_it_should(struct kunit *test)
{
	const struct wait_case *c = test->param_value;
	struct scene *s = test->priv;

	s->ctx.inflight = c->inflight;
	s->ctx.ndone = c->ndone;
	s->mdev.epoch = c->stale;
	KUNIT_EXPECT_EQ(test, is_enough(&s->ctx, c->min, c->idle_ends), c->enough);
	s->ctx.inflight = 0;
	s->ctx.ndone = 0;
}

static int suite_begins(struct kunit_suite *suite)
{
	return membox_request_init();
}

static void suite_ends(struct kunit_suite *suite)
{
	membox_request_exit();
}

static struct kunit_case request_cases[] = {
	KUNIT_CASE(who_does_not_read_gets_nothing_more_in),
	KUNIT_CASE(completions_are_read_in_their_order),
	KUNIT_CASE(one_that_cannot_be_copied_is_not_lost),
	KUNIT_CASE(a_completion_tells_nothing_of_queues),
	KUNIT_CASE(one_of_a_closed_file_is_forgotten),
	KUNIT_CASE(one_of_io_uring_is_not_to_be_read),
	KUNIT_CASE_PARAM(pinned_bytes_have_a_limit, charge_gen_params),
	KUNIT_CASE(half_of_the_queue_is_a_contexts_share),
	KUNIT_CASE_PARAM(waiting_ends_when_it_should, wait_gen_params),
	{}
};

static struct kunit_suite request_suite = {
	.name = "membox_request",
	.suite_init = suite_begins,
	.suite_exit = suite_ends,
	.init = set_up,
	.exit = tear_down,
	.test_cases = request_cases,
};

kunit_test_suite(request_suite);

MODULE_DESCRIPTION("unit tests of membox: requests");
MODULE_LICENSE("GPL");
