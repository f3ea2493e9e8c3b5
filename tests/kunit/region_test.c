// SPDX-License-Identifier: GPL-2.0-only
/*
 * region_test.c - registered memory: keys and their generations, rights, limits, what
 * becomes of a region whose command fails, and who holds one that is taken away. The device
 * and the pinning of memory are replaced here.
 */
#include <kunit/test.h>
#include <linux/scatterlist.h>

#include "../../driver/region.c"
#include "../../driver/sgl.c"

#define BYTES 4096
#define INDEX(key) index_of(key)
#define GENERATION(key) ((key) >> INDEX_BITS)

/* ---- in place of the rest of the driver ---- */

static struct {
	int answer;			/* of the device */
	unsigned int added, deleted;	/* commands that it got */
	unsigned int pinned, released;
	unsigned int aborts;
	struct membox_region *held;	/* by a command: until it is aborted */
	bool held_at_delete;
} seen;

int membox_admin(struct membox_dev *mdev, u16 context, u8 opcode, void *buf, size_t bytes,
		 unsigned int flags)
{
	seen.added += opcode == MEMBOX_ADM_REGION_ADD;
	seen.deleted += opcode == MEMBOX_ADM_REGION_DEL;
	seen.held_at_delete |= opcode == MEMBOX_ADM_REGION_DEL && seen.held;
	return seen.answer;
}

int membox_host_pin(struct membox_host *host, const struct membox_dev *mdev,
		    struct mm_struct *mm, u64 addr, u64 bytes, bool longterm)
{
	if (sg_alloc_table(&host->table, 1, GFP_KERNEL))
		return MEMBOX_ST_NO_MEMORY;
	sg_dma_address(host->table.sgl) = addr;
	sg_dma_len(host->table.sgl) = bytes;
	host->has_table = true;
	seen.pinned++;
	return MEMBOX_ST_OK;
}

int membox_host_map(struct membox_host *host, struct membox_dev *mdev)
{
	return MEMBOX_ST_OK;
}

int membox_host_name(struct membox_host *host, struct membox_dev *mdev,
		     struct membox_seg_iter *it, struct membox_hostref *ref)
{
	return MEMBOX_ST_OK;
}

void membox_host_unname(struct membox_host *host, struct membox_dev *mdev)
{
}

void membox_host_release(struct membox_host *host, struct membox_dev *mdev, struct mm_struct *mm)
{
	if (!host->has_table)
		return;
	sg_free_table(&host->table);
	host->has_table = false;
	seen.released++;
}

void membox_ctx_get(struct membox_ctx *ctx)
{
}

void membox_ctx_put(struct membox_ctx *ctx)
{
}

bool membox_ctx_is_stale(const struct membox_ctx *ctx)
{
	return ctx->epoch != ctx->mdev->epoch;
}

u64 membox_queue_abort(struct membox_queue *q, const struct membox_ctx *ctx,
		       membox_req_match match, const void *arg)
{
	struct membox_region *region = seen.held;

	seen.aborts++;
	seen.held = NULL;
	if (region)
		membox_region_put(region);
	return region ? 1 : 0;
}

/* ---- a device with a context ---- */

struct scene {
	struct membox_dev mdev;
	struct membox_ctx ctx;
};

static void no_more_mappings(struct percpu_ref *ref)
{
}

static void new_context(struct membox_dev *mdev, struct membox_ctx *ctx)
{
	ctx->mdev = mdev;
	xa_init(&ctx->regions);
	init_waitqueue_head(&ctx->wait);
}

static int set_up(struct kunit *test)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	memset(&seen, 0, sizeof(seen));
	s->mdev.caps = MEMBOX_CAP_REGIONS;
	s->mdev.max_regions = MEMBOX_REGIONS;
	KUNIT_ASSERT_EQ(test, 0, membox_regions_init(&s->mdev));
	KUNIT_ASSERT_EQ(test, 0, percpu_ref_init(&s->mdev.mappings, no_more_mappings,
						 PERCPU_REF_ALLOW_REINIT, GFP_KERNEL));
	new_context(&s->mdev, &s->ctx);
	test->priv = s;
	return 0;
}

/* Whatever a test did, all is given back when the context ends. */
static void tear_down(struct kunit *test)
{
	struct scene *s = test->priv;

	membox_regions_release(&s->ctx);
	KUNIT_EXPECT_EQ(test, seen.pinned, seen.released);
	KUNIT_EXPECT_EQ(test, s->ctx.nregions, 0);
	KUNIT_EXPECT_TRUE(test, ida_is_empty(&s->mdev.region_ids));
	percpu_ref_kill(&s->mdev.mappings);
	synchronize_rcu();
	rcu_barrier();
	KUNIT_EXPECT_TRUE(test, percpu_ref_is_zero(&s->mdev.mappings));
	percpu_ref_exit(&s->mdev.mappings);
	membox_regions_exit(&s->mdev);
	xa_destroy(&s->ctx.regions);
}

static int add(struct membox_ctx *ctx, u32 rights, u32 *key)
{
	struct membox_region_args args = {
		.addr = 0x10000,
		.length = BYTES,
		.rights = rights,
	};
	int ret = membox_region_add(ctx, &args);

	*key = args.key;
	return ret;
}

static int del(struct membox_ctx *ctx, u32 key)
{
	struct membox_region_args args = { .key = key };

	return membox_region_del(ctx, &args);
}

static bool is_known(struct membox_ctx *ctx, u32 key, u32 rights)
{
	struct membox_region *region = membox_region_get(ctx, key, rights);

	if (region)
		membox_region_put(region);
	return region;
}

/* ---- keys ---- */

static void a_key_comes_with_the_next_generation(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 first, second;

	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, MEMBOX_WIN_READ, &first));
	KUNIT_EXPECT_EQ(test, INDEX(first), 0);
	KUNIT_EXPECT_EQ(test, GENERATION(first), 1);
	KUNIT_ASSERT_EQ(test, 0, del(&s->ctx, first));
	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, MEMBOX_WIN_READ, &second));
	KUNIT_EXPECT_EQ(test, INDEX(second), 0);
	KUNIT_EXPECT_EQ(test, GENERATION(second), 2);
	KUNIT_EXPECT_FALSE(test, is_known(&s->ctx, first, MEMBOX_WIN_READ));
	KUNIT_EXPECT_TRUE(test, is_known(&s->ctx, second, MEMBOX_WIN_READ));
	KUNIT_EXPECT_EQ(test, MEMBOX_ST_BAD_REGION, del(&s->ctx, first));
}

static void no_key_has_generation_0(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 key;

	s->mdev.region_generation[0] = U16_MAX;
	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, MEMBOX_WIN_READ, &key));
	KUNIT_EXPECT_EQ(test, GENERATION(key), 1);
	KUNIT_EXPECT_FALSE(test, is_known(&s->ctx, INDEX(key), MEMBOX_WIN_READ));
}

static void a_key_is_its_contexts(struct kunit *test)
{
	struct scene *s = test->priv;
	struct membox_ctx *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	u32 key;

	KUNIT_ASSERT_NOT_NULL(test, other);
	new_context(&s->mdev, other);
	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, MEMBOX_WIN_READ, &key));
	KUNIT_EXPECT_FALSE(test, is_known(other, key, MEMBOX_WIN_READ));
	KUNIT_EXPECT_EQ(test, MEMBOX_ST_BAD_REGION, del(other, key));
	KUNIT_EXPECT_TRUE(test, is_known(&s->ctx, key, MEMBOX_WIN_READ));
	xa_destroy(&other->regions);
}

struct rights_case {
	const char *name;
	u32 has;
	u32 asked;
	bool found;
};

#define BOTH (MEMBOX_WIN_READ | MEMBOX_WIN_WRITE)

static const struct rights_case rights_cases[] = {
	{ "read of one to read", MEMBOX_WIN_READ, MEMBOX_WIN_READ, true },
	{ "write of one to read", MEMBOX_WIN_READ, MEMBOX_WIN_WRITE, false },
	{ "read of one to write", MEMBOX_WIN_WRITE, MEMBOX_WIN_READ, false },
	{ "write of one to write", MEMBOX_WIN_WRITE, MEMBOX_WIN_WRITE, true },
	{ "read of one for both", BOTH, MEMBOX_WIN_READ, true },
	{ "write of one for both", BOTH, MEMBOX_WIN_WRITE, true },
};

static void rights_name(const struct rights_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(rights, rights_cases, rights_name);

static void rights_are_asked_for(struct kunit *test)
{
	const struct rights_case *c = test->param_value;
	struct scene *s = test->priv;
	u32 key;

	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, c->has, &key));
	KUNIT_EXPECT_EQ(test, is_known(&s->ctx, key, c->asked), c->found);
}

/* ---- limits ---- */

static void a_device_has_so_many(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 key[3];

	s->mdev.max_regions = 2;
	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, BOTH, &key[0]));
	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, BOTH, &key[1]));
	KUNIT_EXPECT_EQ(test, -EMFILE, add(&s->ctx, BOTH, &key[2]));
	KUNIT_ASSERT_EQ(test, 0, del(&s->ctx, key[0]));
	KUNIT_EXPECT_EQ(test, 0, add(&s->ctx, BOTH, &key[2]));
	KUNIT_EXPECT_EQ(test, INDEX(key[2]), INDEX(key[0]));
}

static void a_context_has_so_many(struct kunit *test)
{
	struct scene *s = test->priv;
	unsigned int i;
	u32 key;

	for (i = 0; i < CONTEXT_REGIONS; i++)
		KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, BOTH, &key));
	KUNIT_EXPECT_EQ(test, -EMFILE, add(&s->ctx, BOTH, &key));
	KUNIT_EXPECT_EQ(test, s->ctx.nregions, CONTEXT_REGIONS);
}

static void without_any_it_is_unsupported(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 key;

	s->mdev.max_regions = 0;
	KUNIT_EXPECT_EQ(test, MEMBOX_ST_UNSUPPORTED, add(&s->ctx, BOTH, &key));
	KUNIT_EXPECT_EQ(test, seen.pinned, 0);
}

static const struct args_case {
	const char *name;
	struct membox_region_args args;
} args_cases[] = {
	{ "no length", { .addr = 8, .rights = BOTH } },
	{ "too long", { .addr = 8, .length = MAX_BYTES + 1, .rights = BOTH } },
	{ "overflows", { .addr = ~7ULL, .length = 16, .rights = BOTH } },
	{ "misaligned", { .addr = 4, .length = 16, .rights = BOTH } },
	{ "no rights", { .addr = 8, .length = 16 } },
	{ "unknown rights", { .addr = 8, .length = 16, .rights = ~0U } },
	{ "a key", { .addr = 8, .length = 16, .rights = BOTH, .key = 1 } },
	{ "reserved", { .addr = 8, .length = 16, .rights = BOTH, .rsvd = 1 } },
};

static void args_name(const struct args_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(args, args_cases, args_name);

static void nonsense_is_refused(struct kunit *test)
{
	const struct args_case *c = test->param_value;
	struct membox_region_args args = c->args;
	struct scene *s = test->priv;

	KUNIT_EXPECT_EQ(test, -EINVAL, membox_region_add(&s->ctx, &args));
	KUNIT_EXPECT_EQ(test, seen.pinned, 0);
}

/* ---- failures ---- */

static const struct answer_case {
	const char *name;
	int answer;
	bool keeps; /* the device may have the memory: it stays pinned */
} answer_cases[] = {
	{ "a status", MEMBOX_ST_TABLE_FULL, false },
	{ "not sent", -EBUSY, false },
	{ "no answer in time", -ETIMEDOUT, true },
	{ "interrupted", -EINTR, true },
	{ "the device is reset", -ECONNRESET, true },
};

static void answer_name(const struct answer_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(answer, answer_cases, answer_name);

static void memory_stays_while_the_device_may_have_it(struct kunit *test)
{
	const struct answer_case *c = test->param_value;
	struct scene *s = test->priv;
	u32 key;

	seen.answer = c->answer;
	KUNIT_EXPECT_EQ(test, c->answer, add(&s->ctx, BOTH, &key));
	KUNIT_EXPECT_EQ(test, seen.pinned, 1);
	KUNIT_EXPECT_EQ(test, seen.released, c->keeps ? 0 : 1);
	KUNIT_EXPECT_EQ(test, s->ctx.nregions, c->keeps ? 1 : 0);
	/* the key was never told, and means nothing */
	KUNIT_EXPECT_FALSE(test, is_known(&s->ctx, 1U << INDEX_BITS, MEMBOX_WIN_READ));
}

static void a_stale_context_gets_none(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 key;

	s->mdev.epoch++;
	KUNIT_EXPECT_EQ(test, -EAGAIN, add(&s->ctx, BOTH, &key));
	KUNIT_EXPECT_EQ(test, seen.added, 0);
	KUNIT_EXPECT_EQ(test, seen.released, 1);
}

static void a_stopped_device_gets_none(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 key;

	percpu_ref_kill(&s->mdev.mappings);
	KUNIT_EXPECT_EQ(test, -EAGAIN, add(&s->ctx, BOTH, &key));
	KUNIT_EXPECT_EQ(test, seen.released, 1);
	synchronize_rcu();
	rcu_barrier();
	percpu_ref_reinit(&s->mdev.mappings);
}

static void taking_away_ends_commands_first(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 key;

	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, BOTH, &key));
	seen.held = membox_region_get(&s->ctx, key, MEMBOX_WIN_READ);
	KUNIT_ASSERT_NOT_NULL(test, seen.held);
	KUNIT_EXPECT_EQ(test, 0, del(&s->ctx, key));
	KUNIT_EXPECT_GE(test, seen.aborts, 1);
	KUNIT_EXPECT_EQ(test, seen.deleted, 1);
	KUNIT_EXPECT_FALSE(test, seen.held_at_delete);
	KUNIT_EXPECT_EQ(test, seen.released, 1);
}

static void one_that_stays_is_of_no_use(struct kunit *test)
{
	struct scene *s = test->priv;
	u32 key;

	KUNIT_ASSERT_EQ(test, 0, add(&s->ctx, BOTH, &key));
	seen.answer = -ETIMEDOUT;
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, del(&s->ctx, key));
	KUNIT_EXPECT_EQ(test, seen.released, 0);
	KUNIT_EXPECT_FALSE(test, is_known(&s->ctx, key, MEMBOX_WIN_READ));
	KUNIT_EXPECT_EQ(test, MEMBOX_ST_BAD_REGION, del(&s->ctx, key));
}

static struct kunit_case region_cases[] = {
	KUNIT_CASE(a_key_comes_with_the_next_generation),
	KUNIT_CASE(no_key_has_generation_0),
	KUNIT_CASE(a_key_is_its_contexts),
	KUNIT_CASE_PARAM(rights_are_asked_for, rights_gen_params),
	KUNIT_CASE(a_device_has_so_many),
	KUNIT_CASE(a_context_has_so_many),
	KUNIT_CASE(without_any_it_is_unsupported),
	KUNIT_CASE_PARAM(nonsense_is_refused, args_gen_params),
	KUNIT_CASE_PARAM(memory_stays_while_the_device_may_have_it, answer_gen_params),
	KUNIT_CASE(a_stale_context_gets_none),
	KUNIT_CASE(a_stopped_device_gets_none),
	KUNIT_CASE(taking_away_ends_commands_first),
	KUNIT_CASE(one_that_stays_is_of_no_use),
	{}
};

static struct kunit_suite region_suite = {
	.name = "membox_region",
	.init = set_up,
	.exit = tear_down,
	.test_cases = region_cases,
};

kunit_test_suite(region_suite);

MODULE_DESCRIPTION("unit tests of membox: regions");
MODULE_LICENSE("GPL");
