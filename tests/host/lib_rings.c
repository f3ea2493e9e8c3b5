// SPDX-License-Identifier: MIT
/*
 * lib_rings.c - the library's half of a user queue's rings, against a device that
 * this test plays: slots and phases round the rings, who is woken when, and that
 * a device which lies gets nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The code under test, so that the library need not export it. */
#include "../../userlib/core/rings.c"

#define LOG2 3
#define ENTRIES (1U << LOG2)
#define QUIET 0xffffffffU

static _Alignas(128) struct membox_packet sq[ENTRIES];
static struct membox_completion cq[ENTRIES];
static _Alignas(128) struct membox_qctl ctl;
static uint32_t doorbell;
static struct mb_rings rings;
static uint32_t fetched, posted; /* the device's */

static int begin(void **state)
{
	(void)state;
	memset(sq, 0, sizeof(sq));
	memset(cq, 0, sizeof(cq));
	memset(&ctl, 0, sizeof(ctl));
	fetched = posted = 0;
	doorbell = QUIET;
	rings = (struct mb_rings){ .sq = sq, .cq = cq, .ctl = &ctl, .doorbell = &doorbell, .log2 = LOG2 };
	mb_rings_begin(&rings);
	return 0;
}

static void put(uint64_t tag)
{
	const struct membox_packet p = { .opcode = MEMBOX_OP_FENCE, .user_data = tag, .flags = MEMBOX_F_FENCE };

	mb_rings_put(&rings, &p, (uint16_t)tag);
}

/* The device takes the next descriptor, which must be whole. */
static void fetch(uint64_t tag)
{
	const struct membox_packet *d = &sq[membox_ring_slot(fetched, LOG2)];

	assert_int_not_equal(fetched, ctl.sq_tail);
	assert_int_equal(d->phase, membox_ring_phase(fetched, LOG2));
	assert_int_equal(d->cid, (uint16_t)tag);
	assert_int_equal(d->user_data, tag);
	assert_int_equal(d->flags, MEMBOX_F_FENCE);
	assert_int_equal(d->context, 0);
	ctl.sq_head = ++fetched;
}

static void post(uint64_t tag)
{
	struct membox_completion *c = &cq[membox_ring_slot(posted, LOG2)];

	c->user_data = tag;
	c->phase = membox_ring_phase(posted, LOG2);
	posted++;
}

static void entries_go_round_the_rings(void **state)
{
	struct membox_completion c;
	uint64_t tag;

	(void)state;
	for (tag = 0; tag < 5 * ENTRIES; tag++) {
		assert_false(mb_rings_take(&rings, &c));
		put(tag);
		mb_rings_publish(&rings);
		fetch(tag);
		post(tag);
		assert_true(mb_rings_take(&rings, &c));
		assert_int_equal(c.user_data, tag);
		mb_rings_give_back(&rings);
		assert_int_equal(ctl.cq_head, tag + 1);
	}
}

static void indices_go_round_32_bits(void **state)
{
	struct membox_completion c;
	uint64_t tag;

	(void)state;
	rings.tail = rings.published = rings.head = rings.given = fetched = posted = 0U - ENTRIES;
	ctl.sq_tail = ctl.sq_head = ctl.cq_head = 0U - ENTRIES;
	for (tag = 0; tag < ENTRIES; tag++) /* as the pass before left it */
		cq[tag].phase = !membox_ring_phase(posted, LOG2);
	for (tag = 0; tag < 3 * ENTRIES; tag++) {
		put(tag);
		mb_rings_publish(&rings);
		fetch(tag);
		post(tag);
		assert_true(mb_rings_take(&rings, &c));
		assert_false(mb_rings_take(&rings, &c));
	}
}

static void the_ring_has_room_for_its_entries(void **state)
{
	uint64_t tag;

	(void)state;
	for (tag = 0; tag < ENTRIES; tag++) {
		assert_true(mb_rings_have_room(&rings));
		put(tag);
	}
	assert_false(mb_rings_have_room(&rings));
	mb_rings_publish(&rings);
	assert_false(mb_rings_have_room(&rings));
	fetch(0);
	assert_true(mb_rings_have_room(&rings));
	ctl.sq_head = 1000; /* what was never published */
	assert_false(mb_rings_have_room(&rings));
}

static void nothing_is_known_before_it_is_published(void **state)
{
	(void)state;
	put(0);
	put(1);
	assert_int_equal(ctl.sq_tail, 0);
	mb_rings_publish(&rings);
	assert_int_equal(ctl.sq_tail, 2);
	doorbell = QUIET;
	mb_rings_publish(&rings);
	assert_int_equal(doorbell, QUIET); /* nothing new */
}

static void only_a_device_that_sleeps_is_rung_for(void **state)
{
	uint64_t tag;

	(void)state;
	for (tag = 0; tag < 4; tag++)
		put(tag);
	mb_rings_publish(&rings); /* it begins asleep: sq_event 0 */
	assert_int_equal(doorbell, 4);
	doorbell = QUIET;
	put(4);
	mb_rings_publish(&rings); /* awake: its wish is past */
	assert_int_equal(doorbell, QUIET);
	for (tag = 0; tag < 5; tag++)
		fetch(tag);
	ctl.sq_event = fetched; /* it goes to sleep */
	put(5);
	put(6);
	mb_rings_publish(&rings);
	assert_int_equal(doorbell, 7);
	ctl.sq_event = 9; /* it wants to know of a later one */
	doorbell = QUIET;
	put(7);
	mb_rings_publish(&rings);
	assert_int_equal(doorbell, QUIET);
}

/* Would the device raise its vector for the completion just posted? */
static bool interrupts(void)
{
	return membox_need_event(ctl.cq_event, posted, posted - 1);
}

static void who_polls_is_not_interrupted(void **state)
{
	struct membox_completion c;
	uint64_t tag;

	(void)state;
	for (tag = 0; tag < 3 * ENTRIES; tag++) {
		post(tag);
		assert_false(interrupts());
		assert_true(mb_rings_take(&rings, &c));
		mb_rings_give_back(&rings);
	}
	assert_false(mb_rings_arm(&rings));
	post(tag++);
	assert_true(interrupts());
	assert_true(mb_rings_take(&rings, &c));
	post(tag++);
	assert_false(interrupts()); /* once was asked for */
	assert_true(mb_rings_arm(&rings)); /* that one is there already */
	assert_int_equal(ctl.cq_head, tag - 1); /* and the driver is told where */
}

static void a_halted_queue_says_why(void **state)
{
	(void)state;
	assert_int_equal(mb_rings_halted(&rings), 0);
	ctl.halted = MEMBOX_ST_TORN;
	assert_int_equal(mb_rings_halted(&rings), MEMBOX_ST_TORN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(entries_go_round_the_rings, begin),
		cmocka_unit_test_setup(indices_go_round_32_bits, begin),
		cmocka_unit_test_setup(the_ring_has_room_for_its_entries, begin),
		cmocka_unit_test_setup(nothing_is_known_before_it_is_published, begin),
		cmocka_unit_test_setup(only_a_device_that_sleeps_is_rung_for, begin),
		cmocka_unit_test_setup(who_polls_is_not_interrupted, begin),
		cmocka_unit_test_setup(a_halted_queue_says_why, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
