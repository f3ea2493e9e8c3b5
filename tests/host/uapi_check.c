// SPDX-License-Identifier: MIT
/*
 * uapi_check.c - the checks of a packet by itself (membox_check_packet): each
 * field of each kind of packet is used, unused or required; each single fault has
 * its status and detail; of two faults the one whose status stands first is
 * reported, and of two with one status the lower field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bad_packets.h"
#include "membox_check.h"

#define ALL_CAPS 0x3ffULL
#define MAX_BYTES (1ULL << 20)

static void expect_status(const struct membox_packet *p, uint64_t caps, uint16_t status, uint32_t detail,
			  const char *name, const char *what, const char *more)
{
	uint32_t got_detail = 0xdeadbeef;
	uint16_t got = membox_check_packet(p, caps, MAX_BYTES, &got_detail);

	if (got != status || got_detail != detail)
		fail_msg("%s, %s%s%s: status %u at %u instead of %u at %u", name, what, *more ? " and " : "",
			 more, got, got_detail, status, detail);
}

static void good_one(const struct expect *x, const struct membox_packet *p, const char *name)
{
	struct membox_packet other = *p;

	expect_status(p, ALL_CAPS, MEMBOX_ST_OK, 0, name, "good", "");
	expect_status(p, x->cap, MEMBOX_ST_OK, 0, name, "just its capability", "");
	other.user_data = ~0ULL;
	expect_status(&other, ALL_CAPS, MEMBOX_ST_OK, 0, name, "any user data", "");
}

static void good_packets_pass(void **state)
{
	(void)state;
	assert_int_equal(GOOD_KINDS, sizeof(expects) / sizeof(expects[0]));
	each_packet(good_one);
}

static void unknown_operations_are_refused(void **state)
{
	struct membox_packet p = { 0 };
	unsigned int known = 0;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 256; i++) {
		bool is_known = false;

		for (k = 0; k < GOOD_KINDS; k++)
			is_known |= good_kinds[k].opcode == i;
		known += is_known;
		p.opcode = (uint8_t)i;
		if (!is_known)
			expect_status(&p, ~0ULL, MEMBOX_ST_BAD_OPCODE, 0, "opcode", "unknown", "");
		if (i >= MEMBOX_OP_LIMIT)
			assert_false(is_known);
	}
	assert_int_equal(known, 23);
}

static void flags_of(const struct expect *x, const struct membox_packet *p, const char *name)
{
	static const char *const names[] = { "fence", "ordered", "region", "region2" };
	unsigned int bit;

	for (bit = 0; bit < 16; bit++) {
		struct membox_packet q = *p;
		const char *flag = bit < 4 ? names[bit] : "unknown";

		if (listed(x->flags, flag, true))
			continue;
		q.flags = (uint16_t)(1U << bit);
		if (listed(x->flags, flag, false))
			expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "flag", flag);
		else
			expect_status(&q, ALL_CAPS, MEMBOX_ST_BAD_FLAG, 4, name, "flag", flag);
	}
}

static void flags_are_those_of_the_table(void **state)
{
	(void)state;
	each_packet(flags_of);
}

static void bits_of_unused(const struct expect *x, const struct membox_packet *p, const char *name)
{
	const struct field *lists[] = { common_fields, x->tail };
	unsigned int i, bit;

	for (i = 0; i < 2; i++) {
		const struct field *f;

		for (f = lists[i]; f->name; f++) {
			if (uses(x, f->name) || listed(x->used, f->name, true) || !strcmp(f->name, "user_data"))
				continue;
			for (bit = 0; bit < 8 * f->bytes; bit++) {
				struct membox_packet q = *p;

				assert_int_equal(get_field(p, f->at, f->bytes), 0);
				put_field(&q, f->at, f->bytes, 1ULL << bit);
				expect_status(&q, ALL_CAPS, MEMBOX_ST_RESERVED, f->at, name, "unused", f->name);
			}
		}
	}
}

static void every_bit_of_an_unused_field_is_refused(void **state)
{
	(void)state;
	each_packet(bits_of_unused);
}

static void keys_of(const struct expect *x, const struct membox_packet *p, const char *name)
{
	struct membox_packet q = *p;

	if (uses(x, "host")) {
		q.host.key = 7;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_RESERVED, 88, name, "key without flag", "");
		q.flags = MEMBOX_F_REGION;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "key", "");
		q.host.addr = 0;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "start of a region", "");
	}
	if (uses(x, "host2")) {
		q = *p;
		q.coll.recv.key = 7;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_RESERVED, 120, name, "key2 without flag", "");
		q.flags = MEMBOX_F_REGION2;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "key2", "");
		q.coll.recv.addr = 0;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "start of a second region", "");
		assert_true(membox_host2_bytes(&q) > 0);
	}
}

static void region_keys_need_their_flag(void **state)
{
	(void)state;
	each_packet(keys_of);
}

static void pairs_of(const struct expect *x, const struct membox_packet *p, const char *name)
{
	static struct faults all;
	unsigned int i, j;

	all_faults(&all, x, p, MAX_BYTES);
	for (i = 0; i < all.n; i++) {
		const struct fault *a = &all.fault[i];

		for (j = 0; j < all.n; j++) {
			const struct fault *b = &all.fault[j];
			struct membox_packet q = *p;
			const struct fault *first = a;
			uint64_t caps = ALL_CAPS;

			/* of one field there is one fault at a time; i == j is the fault alone */
			if (i != j && a->at < b->at + b->bytes && b->at < a->at + a->bytes)
				continue;
			apply(a, &q, &caps, x);
			apply(b, &q, &caps, x);
			if (b->status < a->status || (b->status == a->status && b->detail < a->detail))
				first = b;
			if (first->unless && i != j && field_at(first->unless, first == a ? b->at : a->at))
				first = first == a ? b : a;
			expect_status(&q, caps, first->status, first->detail, name, a->name, i == j ? "" : b->name);
		}
	}
}

static void the_first_of_two_faults_is_reported(void **state)
{
	(void)state;
	each_packet(pairs_of);
}

/* Host memory beside the handle that takes its place; both sides where one is meant. */
static void one_source_at_a_time(void **state)
{
	static const struct {
		const char *kind;
		unsigned int at, bytes;
		uint32_t detail; /* 0: this is another good packet */
	} rows[] = {
		{ "ACC host", 36, 4, 80 },	      { "UPDATE sgd host", 36, 4, 80 },
		{ "ALLREDUCE host", 32, 4, 80 },      { "ALLREDUCE host", 36, 4, 112 },
		{ "REDUCE root host", 32, 4, 80 },    { "REDUCE root host", 36, 4, 112 },
		{ "REDUCE other host", 36, 4, 0 },    { "REDUCE other host", 112, 8, 0 },
		{ "REDUCE other common", 36, 4, 0 },  { "REDUCE other common", 112, 8, 0 },
		{ "REDUCE_SCATTER host", 32, 4, 80 }, { "REDUCE_SCATTER host", 36, 4, 112 },
		{ "ALLGATHER host", 32, 4, 80 },      { "ALLGATHER host", 36, 4, 112 },
		{ "BROADCAST root host", 32, 4, 80 }, { "BROADCAST root host", 36, 4, 36 },
		{ "BROADCAST other host", 32, 4, 112 }, { "BROADCAST other host", 36, 4, 112 },
		{ "BROADCAST other host", 80, 8, 112 }, { "BROADCAST other host", 88, 4, 88 },
		{ "BROADCAST other host", 92, 4, 92 },	{ "BROADCAST other common", 32, 4, 36 },
		{ "BROADCAST other common", 80, 8, 36 },
	};
	unsigned int i, k;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (k = 0; strcmp(good_kinds[k].name, rows[i].kind); k++)
			assert_true(k + 1 < GOOD_KINDS);
		struct membox_packet p = good_packet(&good_kinds[k], &good_env_shape);

		put_field(&p, rows[i].at, rows[i].bytes, 0x1000);
		expect_status(&p, ALL_CAPS, rows[i].detail ? MEMBOX_ST_RESERVED : MEMBOX_ST_OK, rows[i].detail,
			      rows[i].kind, "other source", "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_packets_pass),
		cmocka_unit_test(unknown_operations_are_refused),
		cmocka_unit_test(flags_are_those_of_the_table),
		cmocka_unit_test(every_bit_of_an_unused_field_is_refused),
		cmocka_unit_test(region_keys_need_their_flag),
		cmocka_unit_test(the_first_of_two_faults_is_reported),
		cmocka_unit_test(one_source_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
