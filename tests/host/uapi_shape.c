// SPDX-License-Identifier: MIT
/*
 * uapi_shape.c - what is derived from a packet: types, reductions and subs in all
 * their values, limits to the byte, the host memory that it names, what a
 * descriptor becomes; and that no bytes whatever make the arithmetic overflow.
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

static bool types_allowed(uint8_t opcode, unsigned int src, unsigned int dst)
{
	bool known = dst >= 1 && dst <= 7;
	bool adds = src == dst || (dst == MEMBOX_F32 && (src == MEMBOX_F16 || src == MEMBOX_BF16));

	switch (opcode) {
	case MEMBOX_OP_COPY:
	case MEMBOX_OP_ALLGATHER:
	case MEMBOX_OP_BROADCAST:
		return known && src == dst;
	case MEMBOX_OP_ACC:
	case MEMBOX_OP_AXPBY:
	case MEMBOX_OP_WSUM:
	case MEMBOX_OP_SCATTER_ACC:
	case MEMBOX_OP_ALLREDUCE:
	case MEMBOX_OP_REDUCE:
	case MEMBOX_OP_REDUCE_SCATTER:
		return known && adds;
	case MEMBOX_OP_UPDATE:
		return (dst == MEMBOX_F32 || dst == MEMBOX_F64) && adds;
	case MEMBOX_OP_ATOMIC:
		return dst == MEMBOX_I32 || dst == MEMBOX_I64;
	case MEMBOX_OP_WAIT:
		return !dst || dst == MEMBOX_I32 || dst == MEMBOX_I64;
	default:
		return known;
	}
}

static void types_of(const struct expect *x, const struct membox_packet *p, const char *name)
{
	unsigned int src, dst;

	if (!uses(x, "dst"))
		return;
	for (dst = 0; dst < 256; dst++) {
		for (src = 0; src < (uses(x, "src") ? 256 : 1); src++) {
			struct membox_packet q = *p;
			uint32_t detail;
			uint16_t status;

			q.dst_type = (uint8_t)dst;
			q.src_type = (uint8_t)src;
			if (p->opcode == MEMBOX_OP_WAIT && !dst)
				q.offset[0] = 0;
			status = membox_check_packet(&q, ALL_CAPS, MAX_BYTES, &detail);
			if (types_allowed(p->opcode, src, dst) != (status == MEMBOX_ST_OK) ||
			    (status && status != MEMBOX_ST_BAD_TYPE))
				fail_msg("%s, types %u to %u: status %u", name, src, dst, status);
			if (status && detail != 16 && detail != 17)
				fail_msg("%s, types %u to %u: detail %u", name, src, dst, detail);
		}
	}
}

static void types_are_those_of_the_operation(void **state)
{
	(void)state;
	each_packet(types_of);
}

static void reductions_and_subs_of(const struct expect *x, const struct membox_packet *p, const char *name)
{
	unsigned int v, last = 3;

	if (p->opcode == MEMBOX_OP_WAIT)
		last = 6;
	for (v = 0; v < 256; v++) {
		struct membox_packet q = *p;
		bool ok;

		q.reduction = (uint8_t)v;
		if (uses(x, "red"))
			expect_status(&q, ALL_CAPS, v >= 1 && v <= 4 ? MEMBOX_ST_OK : MEMBOX_ST_BAD_REDUCTION,
				      v >= 1 && v <= 4 ? 0 : 18, name, "reduction", "");
		q = *p;
		q.sub = (uint8_t)v;
		ok = p->opcode == MEMBOX_OP_SCATTER_ACC ? v == MEMBOX_I32 || v == MEMBOX_I64 : v >= 1 && v <= last;
		if (uses(x, "sub") && !ok)
			expect_status(&q, ALL_CAPS, MEMBOX_ST_BAD_SUBOP, 19, name, "sub", "");
		/* another known sub of UPDATE uses other fields */
		if (uses(x, "sub") && ok && p->opcode != MEMBOX_OP_UPDATE)
			expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "sub", "");
	}
}

static void reductions_and_subs_are_bounded(void **state)
{
	(void)state;
	each_packet(reductions_and_subs_of);
}

/* ---- limits, to the element ---- */

static void limits_of(const struct expect *x, const struct membox_packet *p, const char *name)
{
	uint64_t widest = p->dst_type == MEMBOX_I64 ? 8 : 4;
	uint64_t ranks = is_gathering(p->opcode) ? p->coll.root : 1;
	struct membox_packet q = *p;
	unsigned int i;

	if (uses(x, "timeout")) {
		q.timeout_us = MEMBOX_MAX_TIMEOUT_US;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "longest time-out", "");
	}
	for (i = 0; i < 4; i++) {
		static const char *const offsets[] = { "o0", "o1", "o2", "o3" };
		uint64_t count = p->count ? p->count : 1;
		unsigned int more = p->opcode == MEMBOX_OP_ALLGATHER	  ? i == 1 :
				    p->opcode == MEMBOX_OP_REDUCE_SCATTER ? i == 0 :
									    0;

		if (!uses(x, offsets[i]))
			continue;
		if (p->opcode == MEMBOX_OP_SCATTER_ACC)
			count = 1;
		if (more)
			count *= ranks;
		q = *p;
		q.offset[i] = UINT64_MAX / widest - count;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "last offset", offsets[i]);
		q.offset[i]++;
		expect_status(&q, ALL_CAPS, MEMBOX_ST_OFFSET_OVERFLOW, 48 + 8 * i, name, "past it", offsets[i]);
	}
	if (!uses(x, "count"))
		return;
	q = *p;
	q.count = MAX_BYTES / widest / ranks;
	expect_status(&q, ALL_CAPS, MEMBOX_ST_OK, 0, name, "longest", "");
	assert_true(membox_host_bytes(&q) <= MAX_BYTES && membox_host2_bytes(&q) <= MAX_BYTES);
	q.count++;
	expect_status(&q, ALL_CAPS, MEMBOX_ST_TOO_LONG, ranks > 1 ? 108 : 24, name, "one more", "");
}

static void limits_are_exact(void **state)
{
	struct membox_packet p = good_packet(&good_kinds[0], &good_env_shape);
	uint32_t detail;

	(void)state;
	each_packet(limits_of);

	/* a limit smaller than an element, and none at all */
	assert_int_equal(membox_check_packet(&p, 0, 3, &detail), MEMBOX_ST_TOO_LONG);
	p.count = 1;
	assert_int_equal(membox_check_packet(&p, 0, 0, &detail), MEMBOX_ST_TOO_LONG);
	assert_int_equal(membox_check_packet(&p, 0, 4, &detail), MEMBOX_ST_OK);
	p.count = UINT64_MAX / 4;
	assert_int_equal(membox_check_packet(&p, 0, UINT64_MAX, &detail), MEMBOX_ST_OFFSET_OVERFLOW);
	assert_int_equal(detail, 48);
}

/* ---- host memory ---- */

static void raw_bytes_need_no_alignment(void **state)
{
	struct good_env env = good_env_shape;
	struct membox_packet p;
	unsigned int i;

	(void)state;
	env.type = MEMBOX_I8;
	for (i = 0; i < 8; i++) {
		env.host = 0x1000 + i;
		p = good_packet(&good_kinds[0], &env);
		expect_status(&p, ALL_CAPS, MEMBOX_ST_OK, 0, "READ", "bytes", "");
		p.dst_type = MEMBOX_F64;
		expect_status(&p, ALL_CAPS, i ? MEMBOX_ST_MISALIGNED : MEMBOX_ST_OK, i ? 80 : 0, "READ", "doubles", "");
		p.dst_type = MEMBOX_BF16;
		expect_status(&p, ALL_CAPS, i % 2 ? MEMBOX_ST_MISALIGNED : MEMBOX_ST_OK, i % 2 ? 80 : 0, "READ",
			      "halves", "");
	}
}

/* Bytes of host and host2 for 64 f32 (3 ranks, 2 terms, i32 indices), and who writes them. */
static void host_memory_is_what_the_operation_says(void **state)
{
	static const struct {
		const char *kind;
		unsigned int host, host2;
		bool written;
	} rows[] = {
		{ "READ", 256, 0, true },
		{ "WRITE", 256, 0, false },
		{ "SNAPSHOT", 256, 0, true },
		{ "ACC host", 256, 0, false },
		{ "WSUM", 2 * sizeof(struct membox_term), 0, false },
		{ "SCATTER_ACC", 256, 256, false },
		{ "UPDATE sgd host", 256, 0, false },
		{ "UPDATE momentum host", 256, 0, false },
		{ "UPDATE adam host", 256, 0, false },
		{ "ALLREDUCE host", 256, 256, false },
		{ "REDUCE root host", 256, 256, false },
		{ "REDUCE other host", 256, 0, false },
		{ "REDUCE_SCATTER host", 768, 256, false },
		{ "ALLGATHER host", 256, 768, false },
		{ "BROADCAST root host", 256, 0, false },
		{ "BROADCAST other host", 0, 256, false },
	};
	unsigned int i, k;

	(void)state;
	for (k = 0; k < GOOD_KINDS; k++) {
		struct membox_packet p = good_packet(&good_kinds[k], &good_env_shape);
		unsigned int host = 0, host2 = 0;
		bool written = false;

		for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			if (strcmp(rows[i].kind, good_kinds[k].name))
				continue;
			host = rows[i].host;
			host2 = rows[i].host2;
			written = rows[i].written;
		}
		if (membox_host_bytes(&p) != host || membox_host2_bytes(&p) != host2)
			fail_msg("%s: %llu and %llu bytes", good_kinds[k].name,
				 (unsigned long long)membox_host_bytes(&p),
				 (unsigned long long)membox_host2_bytes(&p));
		assert_int_equal(membox_host_is_written(p.opcode), written);
		if (host2)
			assert_int_equal(membox_host2_is_written(p.opcode), p.opcode != MEMBOX_OP_SCATTER_ACC);
	}
}

/* ---- descriptors ---- */

static void descriptor_of(const struct expect *x, const struct membox_packet *p, const char *name)
{
	struct membox_packet d = *p;
	uint32_t detail;

	d.phase = 1;
	d.cid = 0xffff;
	d.context = 0x1234;
	if (membox_host_bytes(p))
		d.host.nseg = 5;
	if (membox_host2_bytes(p))
		d.coll.recv.nseg = 9;
	membox_descriptor_to_packet(&d);
	if (memcmp(&d, p, sizeof(d)))
		fail_msg("%s: its descriptor is another packet", name);

	/* segments of host memory that is not named stay a fault */
	d.host.nseg = 5;
	if (!d.host.addr) {
		membox_descriptor_to_packet(&d);
		assert_int_equal(membox_check_packet(&d, ALL_CAPS, MAX_BYTES, &detail), MEMBOX_ST_RESERVED);
	}
	d = *p;
	if (x->tail != update_fields && !d.coll.recv.addr) {
		d.coll.recv.nseg = 9;
		membox_descriptor_to_packet(&d);
		assert_int_equal(membox_check_packet(&d, ALL_CAPS, MAX_BYTES, &detail), MEMBOX_ST_RESERVED);
	}
}

static void a_descriptor_is_its_packet_again(void **state)
{
	struct membox_packet p;
	unsigned int k;

	(void)state;
	each_packet(descriptor_of);

	/* Adam's step shares its bytes with recv's key and nseg, and is whole */
	for (k = 0; strcmp(good_kinds[k].name, "UPDATE adam host"); k++)
		;
	p = good_packet(&good_kinds[k], &good_env_shape);
	p.update.step = 0x123456789abcdefULL;
	membox_descriptor_to_packet(&p);
	assert_true(p.update.step == 0x123456789abcdefULL);
	expect_status(&p, ALL_CAPS, MEMBOX_ST_OK, 0, "UPDATE", "long step", "");
}

/* ---- any bytes at all ---- */

static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* What a packet that passed promises to whoever executes it. */
static void assert_bounded(const struct membox_packet *p, uint64_t max_bytes)
{
	__extension__ typedef unsigned __int128 wide;
	uint32_t used = membox_packet_fields(p);
	unsigned int i;

	for (i = 0; i < MEMBOX_OPERANDS; i++) {
		wide count = membox_operand_count(p, i);
		wide bytes = membox_type_bytes(membox_operand_type(p, i));

		if (!membox_offset_used(p, used, i))
			continue;
		assert_true(bytes && count);
		assert_true((p->offset[i] + count) * bytes <= UINT64_MAX);
		assert_true(count == 1 || count * bytes <= max_bytes);
	}
	if (p->opcode != MEMBOX_OP_WSUM)
		assert_true(membox_host_bytes(p) <= max_bytes);
	assert_true(membox_host2_bytes(p) <= max_bytes);
	assert_true((wide)p->host.addr + membox_host_bytes(p) <= UINT64_MAX);
	assert_true(!membox_host_bytes(p) || p->host.addr % membox_host_align(p) == 0);
}

static void any_bytes_are_judged_safely(void **state)
{
	static const uint64_t limits[] = { MEMBOX_MAX_BYTES, MAX_BYTES, 1, UINT64_MAX };
	unsigned int passed = 0, n;

	(void)state;
	for (n = 0; n < 400000; n++) {
		struct membox_packet p = good_packet(&good_kinds[n % GOOD_KINDS], &good_env_shape);
		uint64_t max_bytes = limits[n / GOOD_KINDS % 4];
		unsigned int changes = (unsigned int)(random_word() % 4);
		uint32_t detail = 200;
		uint16_t status;

		while (changes--) {
			uint64_t word = random_word();
			unsigned int at = (unsigned int)(word >> 32) % 16 * 8;

			/* bits, extremes, and anything */
			if (word & 1)
				word = 1ULL << (word >> 58);
			else if (word & 2)
				word = ~(word >> 56);
			put_field(&p, at, 8, word & 4 ? random_word() : get_field(&p, at, 8) ^ word);
		}
		status = membox_check_packet(&p, ALL_CAPS, max_bytes, &detail);
		assert_true(status <= MEMBOX_ST_MISALIGNED && status != MEMBOX_ST_UNSUPPORTED);
		assert_true(detail < sizeof(p));
		if (status == MEMBOX_ST_OK) {
			assert_int_equal(detail, 0);
			assert_bounded(&p, max_bytes);
			passed++;
		}
	}
	/* otherwise it tested nothing */
	assert_true(passed > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_those_of_the_operation),
		cmocka_unit_test(reductions_and_subs_are_bounded),
		cmocka_unit_test(limits_are_exact),
		cmocka_unit_test(raw_bytes_need_no_alignment),
		cmocka_unit_test(host_memory_is_what_the_operation_says),
		cmocka_unit_test(a_descriptor_is_its_packet_again),
		cmocka_unit_test(any_bytes_are_judged_safely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
