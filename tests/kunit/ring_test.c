// SPDX-License-Identifier: GPL-2.0-only
/*
 * ring_test.c - queue arithmetic, and rings against a device made of the test
 * itself: wrap-around of slots, phases and 32-bit counts, room, events.
 */
#include <kunit/test.h>

#include "../../driver/ring.c"

#define LOG2 3
#define ENTRIES 8U /* 2 ^ LOG2 */

struct fake {
	struct membox_ring ring;
	struct membox_packet sq[ENTRIES];
	struct membox_completion cq[ENTRIES];
	struct membox_qctl ctl;
};

/* A ring whose counts all stand at `start`, as after that many commands. */
static struct membox_ring *ring_at(struct kunit *test, u32 start)
{
	struct fake *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->ring = (struct membox_ring) {
		.sq = f->sq,
		.cq = f->cq,
		.ctl = &f->ctl,
		.tail = start,
		.published = start,
		.head = start,
		.log2 = LOG2,
	};
	f->ctl.sq_tail = start;
	f->ctl.sq_head = start;
	f->ctl.sq_event = start;
	f->ctl.cq_head = start;
	/* completions of the pass before */
	for (i = 1; i <= ENTRIES; i++)
		f->cq[membox_ring_slot(start - i, LOG2)].phase =
			membox_ring_phase(start - i, LOG2);
	return &f->ring;
}

static const u32 starts[] = { 0, 1, ENTRIES - 1, ENTRIES, 3 * ENTRIES + 5, 0x7fffffff,
			      0xfffffff8, 0xfffffffe, 0xffffffff };

static void start_name(const u32 *start, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "from %#x", *start);
}

KUNIT_ARRAY_PARAM(start, starts, start_name);

static u32 start_of(struct kunit *test)
{
	return *(const u32 *)test->param_value;
}

static void put(struct membox_ring *ring, u16 cid)
{
	struct membox_packet p = {
		.opcode = MEMBOX_OP_WRITE,
		.cid = cid,
		.context = 5,
		.flags = MEMBOX_F_FENCE,
		.count = 1000 + cid,
	};

	membox_ring_put(ring, &p);
}

/* The device: posts completion number `index` of command cid. */
static void post(struct membox_ring *ring, u32 index, u16 cid)
{
	ring->cq[membox_ring_slot(index, LOG2)] = (struct membox_completion) {
		.cid = cid,
		.phase = membox_ring_phase(index, LOG2),
	};
}

static void slots_and_phases(struct kunit *test)
{
	struct membox_ring *ring = ring_at(test, start_of(test));
	u32 i;

	for (i = 0; i < 3 * ENTRIES; i++) {
		u32 index = start_of(test) + i;
		const struct membox_packet *slot = &ring->sq[index & (ENTRIES - 1)];

		KUNIT_ASSERT_TRUE(test, membox_ring_has_room(ring));
		put(ring, i);
		KUNIT_EXPECT_EQ(test, slot->cid, i);
		KUNIT_EXPECT_EQ(test, slot->count, 1000 + i);
		KUNIT_EXPECT_EQ(test, slot->context, 5);
		KUNIT_EXPECT_EQ(test, slot->flags, MEMBOX_F_FENCE);
		KUNIT_EXPECT_EQ(test, slot->opcode, MEMBOX_OP_WRITE);
		KUNIT_EXPECT_EQ(test, slot->phase, !(index / ENTRIES % 2));
		ring->ctl->sq_head = ring->tail;
	}
}

static void room(struct kunit *test)
{
	struct membox_ring *ring = ring_at(test, start_of(test));
	u32 i;

	for (i = 0; i < ENTRIES; i++) {
		KUNIT_EXPECT_TRUE(test, membox_ring_has_room(ring));
		put(ring, i);
	}
	KUNIT_EXPECT_FALSE(test, membox_ring_has_room(ring));
	ring->ctl->sq_head++;
	KUNIT_EXPECT_TRUE(test, membox_ring_has_room(ring));
	ring->ctl->sq_head = ring->tail + 1;
	KUNIT_EXPECT_FALSE_MSG(test, membox_ring_has_room(ring),
			       "a device that fetched what was not there gets nothing more");
}

static void doorbells(struct kunit *test)
{
	u32 start = start_of(test);
	struct membox_ring *ring = ring_at(test, start);

	KUNIT_EXPECT_FALSE_MSG(test, membox_ring_publish(ring), "nothing to publish");
	put(ring, 0);
	KUNIT_EXPECT_EQ_MSG(test, ring->ctl->sq_tail, start, "not published yet");
	KUNIT_EXPECT_TRUE_MSG(test, membox_ring_publish(ring), "the device sleeps");
	KUNIT_EXPECT_EQ(test, ring->ctl->sq_tail, start + 1);
	put(ring, 1);
	KUNIT_EXPECT_FALSE_MSG(test, membox_ring_publish(ring), "it was woken already");
	ring->ctl->sq_event = start + 4;
	put(ring, 2);
	put(ring, 3);
	KUNIT_EXPECT_FALSE_MSG(test, membox_ring_publish(ring), "it wants to sleep until the 5th");
	put(ring, 4);
	put(ring, 5);
	KUNIT_EXPECT_TRUE_MSG(test, membox_ring_publish(ring), "the 5th was among these");
	KUNIT_EXPECT_EQ(test, ring->ctl->sq_tail, start + 6);
}

static void completions(struct kunit *test)
{
	u32 start = start_of(test), i;
	struct membox_ring *ring = ring_at(test, start);
	struct membox_completion c;

	for (i = 0; i < 3 * ENTRIES; i++) {
		KUNIT_ASSERT_FALSE_MSG(test, membox_ring_take(ring, &c),
				       "an entry of another pass");
		post(ring, start + i, i);
		KUNIT_ASSERT_TRUE(test, membox_ring_take(ring, &c));
		KUNIT_EXPECT_EQ(test, c.cid, i);
		KUNIT_EXPECT_EQ(test, ring->ctl->cq_head, start + i);
		membox_ring_give_back(ring);
		KUNIT_EXPECT_EQ(test, ring->ctl->cq_head, start + i + 1);
	}
}

static void arming(struct kunit *test)
{
	u32 start = start_of(test);
	struct membox_ring *ring = ring_at(test, start);
	struct membox_completion c;

	KUNIT_EXPECT_FALSE(test, membox_ring_arm(ring));
	KUNIT_EXPECT_TRUE_MSG(test, membox_need_event(ring->ctl->cq_event, start + 1, start),
			      "the next completion raises the vector");
	post(ring, start, 0);
	post(ring, start + 1, 1);
	KUNIT_EXPECT_FALSE_MSG(test, membox_need_event(ring->ctl->cq_event, start + 2, start + 1),
			       "the one after it does not");
	KUNIT_EXPECT_TRUE_MSG(test, membox_ring_arm(ring), "there is something already");
	KUNIT_EXPECT_TRUE(test, membox_ring_take(ring, &c));
	KUNIT_EXPECT_TRUE(test, membox_ring_take(ring, &c));
	KUNIT_EXPECT_FALSE(test, membox_ring_arm(ring));
	KUNIT_EXPECT_EQ(test, ring->ctl->cq_event, start + 2);
}

/* ---- the arithmetic alone ---- */

struct event_case {
	const char *name;
	u32 event, now, old;
	bool want;
};

static const struct event_case event_cases[] = {
	{ "just passed", 5, 6, 5, true },
	{ "passed among others", 5, 9, 3, true },
	{ "not reached", 6, 6, 5, false },
	{ "far ahead", 100, 6, 5, false },
	{ "long passed", 2, 6, 5, false },
	{ "nothing new", 5, 5, 5, false },
	{ "passed at the wrap", 0xffffffff, 0, 0xffffffff, true },
	{ "passed behind the wrap", 0, 1, 0xfffffffe, true },
	{ "not reached behind the wrap", 3, 2, 0xfffffffe, false },
	{ "passed before the wrap", 0xfffffff0, 0xfffffff8, 0xffffffef, true },
};

static void event_name(const struct event_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(event, event_cases, event_name);

static void need_event(struct kunit *test)
{
	const struct event_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, !!membox_need_event(c->event, c->now, c->old), c->want);
}

static void phase_alternates(struct kunit *test)
{
	u32 i;

	for (i = 0; i < 100; i++)
		KUNIT_EXPECT_EQ(test, membox_ring_phase(i, LOG2), !(i / ENTRIES % 2));
	KUNIT_EXPECT_NE(test, membox_ring_phase(0xffffffff, LOG2), membox_ring_phase(0, LOG2));
	KUNIT_EXPECT_EQ(test, membox_ring_used(2, 0xfffffffe), 4);
	KUNIT_EXPECT_EQ(test, membox_ring_slot(0xffffffff, LOG2), ENTRIES - 1);
}

static struct kunit_case ring_cases[] = {
	KUNIT_CASE_PARAM(slots_and_phases, start_gen_params),
	KUNIT_CASE_PARAM(room, start_gen_params),
	KUNIT_CASE_PARAM(doorbells, start_gen_params),
	KUNIT_CASE_PARAM(completions, start_gen_params),
	KUNIT_CASE_PARAM(arming, start_gen_params),
	KUNIT_CASE_PARAM(need_event, event_gen_params),
	KUNIT_CASE(phase_alternates),
	{}
};

static struct kunit_suite ring_suite = {
	.name = "membox_ring",
	.test_cases = ring_cases,
};

kunit_test_suite(ring_suite);
