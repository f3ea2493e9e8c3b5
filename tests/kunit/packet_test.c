// SPDX-License-Identifier: GPL-2.0-only
/*
 * packet_test.c - every operation of MEMBOX_OPS against every kind of fault that
 * can be seen from its packet alone. A case is a fault, its parameters are the
 * operations; those that the fault does not concern are skipped over by name.
 */
#include <kunit/test.h>
#include <linux/string.h>

#include "membox_check.h"

#define ALL_CAPS (~0ULL)
#define MAX_BYTES MEMBOX_MAX_BYTES
#define COUNT 16
#define HOST 0x10000
#define HOST2 0x20000
#define DOUBLE_ONE 0x3ff0000000000000ULL

struct op {
	const char *name;
	u8 code;
	u64 cap;
	u16 flags;
};

static const struct op ops[] = {
#define OP(name, op, req, opt, flags, cap) { #name, op, cap, flags },
	MEMBOX_OPS(OP)
#undef OP
};

static const struct op *the_op(struct kunit *test)
{
	return test->param_value;
}

static u32 fields(const struct op *op)
{
	struct membox_op_info info;

	return membox_op_lookup(op->code, &info) ? info.required | info.optional : 0;
}

static u8 sub_of(u8 opcode)
{
	switch (opcode) {
	case MEMBOX_OP_SCATTER_ACC:
		return MEMBOX_I32;
	case MEMBOX_OP_ATOMIC:
		return MEMBOX_COMPARE_SWAP;
	case MEMBOX_OP_UPDATE:
		return MEMBOX_ADAM;
	default:
		return MEMBOX_EQ;
	}
}

/* A packet of the operation that has nothing wrong; host memory rather than handles. */
static struct membox_packet good(const struct op *op)
{
	u32 used = fields(op);
	struct membox_packet p = { .opcode = op->code };

	if (used & MBF_SRC)
		p.src_type = MEMBOX_F32;
	if (used & MBF_DST)
		p.dst_type = MEMBOX_F32;
	if (op->code == MEMBOX_OP_ATOMIC || op->code == MEMBOX_OP_WAIT)
		p.dst_type = MEMBOX_I64;
	if (used & MBF_RED)
		p.reduction = MEMBOX_SUM;
	if (used & MBF_SUB)
		p.sub = sub_of(op->code);
	if (used & MBF_COUNT)
		p.count = COUNT;
	if (used & MBF_P0 && !(used & MBF_GROUP))
		p.handle[0] = 1;
	if (op->code == MEMBOX_OP_COPY || op->code == MEMBOX_OP_AXPBY)
		p.handle[1] = 2;
	if (used & MBF_HOST)
		p.host.addr = HOST;
	if (used & MBF_A)
		p.scale.a = DOUBLE_ONE;
	if (used & MBF_TERMS)
		p.list.nterms = 2;
	if (used & MBF_HOST2 && op->code != MEMBOX_OP_BROADCAST)
		p.coll.recv.addr = HOST2;
	if (op->code == MEMBOX_OP_UPDATE) {
		p.handle[2] = 3;
		p.handle[3] = 4;
		p.update.step = 1;
	}
	if (op->code == MEMBOX_OP_ALLGATHER || op->code == MEMBOX_OP_REDUCE_SCATTER)
		p.coll.root = 4;
	return p;
}

static u16 check(const struct membox_packet *p, u32 *detail)
{
	return membox_check_packet(p, ALL_CAPS, MAX_BYTES, detail);
}

static void expect(struct kunit *test, const struct membox_packet *p, u16 status, u32 at)
{
	u32 detail = ~0U;

	KUNIT_EXPECT_EQ(test, check(p, &detail), status);
	KUNIT_EXPECT_EQ(test, detail, at);
}

/* What an operation has, as MBF_*; beyond these: host memory, and an offset, in a good packet. */
#define HAS_HOST BIT(30)
#define HAS_OFFSET BIT(29)
#define IS_AN_OP BIT(28)

static u32 traits(const struct op *op)
{
	struct membox_packet p = good(op);
	u32 has = fields(op);

	if (membox_host_bytes(&p))
		has |= HAS_HOST;
	if (p.handle[0] && op->code != MEMBOX_OP_NOTIFY)
		has |= HAS_OFFSET;
	return has | IS_AN_OP;
}

/* Parameters are the operations that a fault concerns. */
static const void *next_op(const void *prev, char *desc, u32 concerned)
{
	const struct op *op = prev ? (const struct op *)prev + 1 : ops;

	while (op < ops + ARRAY_SIZE(ops) && !(traits(op) & concerned))
		op++;
	if (op == ops + ARRAY_SIZE(ops))
		return NULL;
	strscpy(desc, op->name, KUNIT_PARAM_DESC_SIZE);
	return op;
}

#define OPS(name, concerned) \
static const void *name##_gen_params(const void *prev, char *desc) \
{ \
	return next_op(prev, desc, concerned); \
}

OPS(all_ops, IS_AN_OP)
OPS(typed_ops, MBF_SRC | MBF_DST)
OPS(reducing_ops, MBF_RED)
OPS(ops_with_sub, MBF_SUB)
OPS(ops_with_scalar, MBF_A)
OPS(parking_ops, MBF_TIMEOUT)
OPS(counting_ops, MBF_COUNT)
OPS(ops_with_list, MBF_TERMS)
OPS(ops_with_offset, HAS_OFFSET)
OPS(ops_with_host, HAS_HOST)

static void good_is_accepted(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	expect(test, &p, MEMBOX_ST_OK, 0);
}

static void missing_capability(struct kunit *test)
{
	const struct op *op = the_op(test);
	struct membox_packet p = good(op);
	u32 detail;

	KUNIT_EXPECT_EQ(test, membox_check_packet(&p, ~op->cap, MAX_BYTES, &detail),
			op->cap ? MEMBOX_ST_UNSUPPORTED : MEMBOX_ST_OK);
}

static void unknown_flags(struct kunit *test)
{
	const struct op *op = the_op(test);
	unsigned int bit;

	for (bit = 0; bit < 16; bit++) {
		struct membox_packet p = good(op);

		p.flags = 1U << bit;
		if (!(op->flags & p.flags))
			expect(test, &p, MEMBOX_ST_BAD_FLAG, MEMBOX_AT(flags));
	}
}

static void drivers_fields(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.cid = 1;
	expect(test, &p, MEMBOX_ST_RESERVED, MEMBOX_AT(cid));
	p.phase = 1;
	expect(test, &p, MEMBOX_ST_RESERVED, MEMBOX_AT(phase));
	p = good(the_op(test));
	p.context = 1;
	expect(test, &p, MEMBOX_ST_RESERVED, MEMBOX_AT(context));
}

static void unused_fields(struct kunit *test)
{
	u32 used = fields(the_op(test));
	struct membox_packet p;

#define UNUSED(mask, field) \
	do { \
		if (!(used & (mask))) { \
			p = good(the_op(test)); \
			p.field = 1; \
			expect(test, &p, MEMBOX_ST_RESERVED, MEMBOX_AT(field)); \
		} \
	} while (0)
	UNUSED(MBF_SRC, src_type);
	UNUSED(MBF_DST, dst_type);
	UNUSED(MBF_RED, reduction);
	UNUSED(MBF_SUB, sub);
	UNUSED(MBF_TIMEOUT, timeout_us);
	UNUSED(MBF_COUNT, count);
	UNUSED(MBF_P0, handle[0]);
	UNUSED(MBF_P1, handle[1]);
	UNUSED(MBF_P2, handle[2]);
	UNUSED(MBF_P3, handle[3]);
	UNUSED(MBF_P1, offset[1]);
	UNUSED(MBF_HOST, host.addr);
	UNUSED(MBF_HOST2 | MBF_UPDATE, raw[2]);
	UNUSED(MBF_HOST2 | MBF_UPDATE | MBF_GROUP, raw[3]);
#undef UNUSED
	p = good(the_op(test));
	p.host.nseg = 1;
	expect(test, &p, MEMBOX_ST_RESERVED, MEMBOX_AT(host.nseg));
}

static void bad_types(struct kunit *test)
{
	u32 used = fields(the_op(test));
	struct membox_packet p = good(the_op(test));

	if (used & MBF_DST) {
		p.dst_type = MEMBOX_NR_TYPES;
		expect(test, &p, MEMBOX_ST_BAD_TYPE, MEMBOX_AT(dst_type));
	}
	if (used & MBF_SRC) {
		p = good(the_op(test));
		p.src_type = 0;
		expect(test, &p, MEMBOX_ST_BAD_TYPE, MEMBOX_AT(src_type));
		p.src_type = MEMBOX_I8;
		expect(test, &p, MEMBOX_ST_BAD_TYPE, MEMBOX_AT(src_type));
	}
}

static void bad_reduction(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.reduction = MEMBOX_NR_REDS;
	expect(test, &p, MEMBOX_ST_BAD_REDUCTION, MEMBOX_AT(reduction));
	p.reduction = 0;
	expect(test, &p, MEMBOX_ST_BAD_REDUCTION, MEMBOX_AT(reduction));
}

static void bad_sub(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.sub = 200;
	expect(test, &p, MEMBOX_ST_BAD_SUBOP, MEMBOX_AT(sub));
}

static void bad_scalar(struct kunit *test)
{
	u32 used = fields(the_op(test));
	struct membox_packet p = good(the_op(test));

	if (used & MBF_SRC)
		p.src_type = MEMBOX_I32;
	p.dst_type = MEMBOX_I32;
	expect(test, &p, MEMBOX_ST_OK, 0);
	p.scale.a = 0x3fe0000000000000ULL; /* a half */
	expect(test, &p, MEMBOX_ST_BAD_SCALAR, MEMBOX_AT(raw[0]));
}

static void bad_timeout(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.timeout_us = MEMBOX_MAX_TIMEOUT_US;
	expect(test, &p, MEMBOX_ST_OK, 0);
	p.timeout_us++;
	expect(test, &p, MEMBOX_ST_BAD_TIMEOUT, MEMBOX_AT(timeout_us));
}

static void zero_length(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.count = 0;
	expect(test, &p, MEMBOX_ST_ZERO_LENGTH, MEMBOX_AT(count));
}

static void too_long(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.count = MAX_BYTES / 4 + 1;
	expect(test, &p, MEMBOX_ST_TOO_LONG, MEMBOX_AT(count));
	p.count = ~0ULL;
	expect(test, &p, MEMBOX_ST_TOO_LONG, MEMBOX_AT(count));
}

static void list_length(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.list.nterms = MEMBOX_MAX_TERMS;
	expect(test, &p, MEMBOX_ST_OK, 0);
	p.list.nterms++;
	expect(test, &p, MEMBOX_ST_TOO_LONG, MEMBOX_AT(list.nterms));
	p.list.nterms = 0;
	expect(test, &p, MEMBOX_ST_ZERO_LENGTH, MEMBOX_AT(list.nterms));
}

static void offset_overflow(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.offset[0] = ~0ULL;
	expect(test, &p, MEMBOX_ST_OFFSET_OVERFLOW, MEMBOX_AT(offset[0]));
	p.offset[0] = ~0ULL / 4;
	expect(test, &p, MEMBOX_ST_OFFSET_OVERFLOW, MEMBOX_AT(offset[0]));
}

static void host_overflow(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.host.addr = -(__u64)8;
	expect(test, &p, MEMBOX_ST_OFFSET_OVERFLOW, MEMBOX_AT(host.addr));
}

static void host_misaligned(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));

	p.host.addr = HOST + 2;
	expect(test, &p, MEMBOX_ST_MISALIGNED, MEMBOX_AT(host.addr));
}

static void descriptor_is_a_packet(struct kunit *test)
{
	struct membox_packet p = good(the_op(test)), d = p;

	d.cid = 7;
	d.phase = 1;
	d.context = 3;
	if (membox_host_bytes(&p))
		d.host.nseg = 9;
	membox_descriptor_to_packet(&d);
	KUNIT_EXPECT_MEMEQ(test, &d, &p, sizeof(p));
}

/* The fault that stands first in MEMBOX_STATUSES is told of. */
static void first_fault_wins(struct kunit *test)
{
	struct membox_packet p = good(the_op(test));
	u32 used = fields(the_op(test));
	u32 detail;
	u16 last = MEMBOX_ST_MISALIGNED + 1;

	if (membox_host_bytes(&p)) {
		p.host.addr++;
		KUNIT_EXPECT_LT(test, check(&p, &detail), last);
		last = check(&p, &detail);
	}
	if (used & MBF_COUNT) {
		p.count = 0;
		KUNIT_EXPECT_LT(test, check(&p, &detail), last);
		last = check(&p, &detail);
	}
	if (used & MBF_TIMEOUT) {
		p.timeout_us = ~0U;
		KUNIT_EXPECT_LT(test, check(&p, &detail), last);
		last = check(&p, &detail);
	}
	if (used & MBF_DST) {
		p.dst_type = 99;
		KUNIT_EXPECT_LT(test, check(&p, &detail), last);
		last = check(&p, &detail);
	}
	p.cid = 1;
	KUNIT_EXPECT_LT(test, check(&p, &detail), last);
	p.flags = 0x8000;
	expect(test, &p, MEMBOX_ST_BAD_FLAG, MEMBOX_AT(flags));
	p.opcode = 0x3f;
	expect(test, &p, MEMBOX_ST_BAD_OPCODE, MEMBOX_AT(opcode));
}

static void unknown_opcodes(struct kunit *test)
{
	unsigned int code, i;
	u32 detail;

	for (code = 0; code < 256; code++) {
		struct membox_packet p = { .opcode = code };
		bool known = false;

		for (i = 0; i < ARRAY_SIZE(ops); i++)
			known |= ops[i].code == code;
		if (!known)
			KUNIT_EXPECT_EQ_MSG(test, check(&p, &detail), MEMBOX_ST_BAD_OPCODE,
					    "opcode %#x", code);
	}
}

static struct kunit_case packet_cases[] = {
	KUNIT_CASE_PARAM(good_is_accepted, all_ops_gen_params),
	KUNIT_CASE_PARAM(missing_capability, all_ops_gen_params),
	KUNIT_CASE_PARAM(unknown_flags, all_ops_gen_params),
	KUNIT_CASE_PARAM(drivers_fields, all_ops_gen_params),
	KUNIT_CASE_PARAM(unused_fields, all_ops_gen_params),
	KUNIT_CASE_PARAM(bad_types, typed_ops_gen_params),
	KUNIT_CASE_PARAM(bad_reduction, reducing_ops_gen_params),
	KUNIT_CASE_PARAM(bad_sub, ops_with_sub_gen_params),
	KUNIT_CASE_PARAM(bad_scalar, ops_with_scalar_gen_params),
	KUNIT_CASE_PARAM(bad_timeout, parking_ops_gen_params),
	KUNIT_CASE_PARAM(zero_length, counting_ops_gen_params),
	KUNIT_CASE_PARAM(too_long, counting_ops_gen_params),
	KUNIT_CASE_PARAM(list_length, ops_with_list_gen_params),
	KUNIT_CASE_PARAM(offset_overflow, ops_with_offset_gen_params),
	KUNIT_CASE_PARAM(host_overflow, ops_with_host_gen_params),
	KUNIT_CASE_PARAM(host_misaligned, ops_with_host_gen_params),
	KUNIT_CASE_PARAM(descriptor_is_a_packet, all_ops_gen_params),
	KUNIT_CASE_PARAM(first_fault_wins, all_ops_gen_params),
	KUNIT_CASE(unknown_opcodes),
	{}
};

static struct kunit_suite packet_suite = {
	.name = "membox_packet",
	.test_cases = packet_cases,
};

kunit_test_suite(packet_suite);

MODULE_DESCRIPTION("KUnit suites of membox");
MODULE_LICENSE("GPL");
