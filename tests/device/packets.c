// SPDX-License-Identifier: MIT
/*
 * packets.c - every bad descriptor gets its status and the field at fault, in
 * the order of docs/device.md, and changes nothing; the next good one works.
 */
#include <stdlib.h>
#include <string.h>

#include "bad_packets.h"
#include "case.h"
#include "port.h"

#define BOX_MB   64
#define ELEMENTS 256

static struct {
	struct port *p;
	struct mbe *e;
	struct good_env env;
	uint64_t caps;
	uint32_t peer[5]; /* handles of this process on them */
	uint32_t seq;	  /* of the next collective of the group, whose only rank is this guest */
	unsigned int faults, pairs;
} world;

static const char *const names[] = {"p0", "p1", "p2", "p3", "word"};

/* A group of one rank: its collectives end at once. */
static void make_group(void)
{
	struct membox_group_args a = {
		.size = sizeof(a), .name = "group", .ranks = 1, .rank = 0,
	};

	EQUAL(admin(world.p, 1, MEMBOX_ADM_GROUP_JOIN, &a, sizeof(a)), MEMBOX_ST_OK);
	world.env.group = a.group;
	world.env.epoch = a.epoch;
	world.env.ranks = 1;
}

/* Parameters of one type, and a word; a group; memory that packets name. */
static void world_make(uint8_t type)
{
	const char *box = box_make(BOX_MB);

	memset(&world, 0, sizeof(world));
	world.e = box_attach(box);
	world.p = port_start(box, "");
	world.env = good_env_shape;
	world.env.type = type;
	for (unsigned int i = 0; i < 5; i++) {
		uint32_t h = param(world.p, names[i], i < 4 ? type : MEMBOX_I64, ELEMENTS, 0);

		world.peer[i] = box_param(world.e, names[i], i < 4 ? type : MEMBOX_I64, ELEMENTS, 0);
		if (i < 4)
			world.env.param[i] = h;
		else
			world.env.word = h;
	}
	world.env.host = vm_alloc(world.p->vm, 65536, 4096);
	world.env.host2 = vm_alloc(world.p->vm, 65536, 4096);
	make_group();
	world.caps = reg64(world.p, MEMBOX_REG_CAPS);
}

/* All bytes of all parameters, into buf: 5 * ELEMENTS * 8. */
static void snapshot(uint8_t *buf)
{
	for (unsigned int i = 0; i < 5; i++) {
		uint32_t bytes = ELEMENTS * (i < 4 ? 4 : 8);
		struct membox_packet r = packet_io(MEMBOX_OP_READ, world.peer[i], MEMBOX_I8, 0, bytes, 0);

		EQUAL(box_run(world.e, &r, buf + i * ELEMENTS * 8, NULL), MEMBOX_ST_OK);
	}
}

static void unchanged(const char *what)
{
	static uint8_t before[5 * ELEMENTS * 8], after[5 * ELEMENTS * 8];

	if (!what) {
		snapshot(before);
		return;
	}
	snapshot(after);
	if (memcmp(before, after, sizeof(before)))
		case_fail("%s changed a parameter", what);
}

static void send(const struct membox_packet *p, uint16_t status, uint32_t detail, const char *kind,
		 const char *what)
{
	struct membox_packet d = *p;
	struct membox_completion c;

	d.user_data = 0xabcdef0123456789;
	pair_run(&world.p->io, &d, &c);
	if (c.status != status || c.detail != detail || c.user_data != d.user_data || (status && c.bytes))
		case_fail("%s, %s: status %u detail %u bytes %llu, expected %u and %u", kind, what, c.status,
			  c.detail, (unsigned long long)c.bytes, status, detail);
}

/* Fields that are the driver's in a descriptor, or that name other memory by list. */
static bool of_driver(const struct fault *f, const struct membox_packet *good)
{
	if (f->at == MEMBOX_AT(coll.recv.nseg) && membox_packet_fields(good) & MBF_HOST2)
		return f->bytes;
	return (f->at == 1 || f->at == 2 || f->at == 6 || f->at == 92) && f->bytes;
}

static void all_pairs(const struct faults *f, const struct membox_packet *good, const char *kind)
{
	for (unsigned int i = 0; i < f->n; i++) {
		for (unsigned int j = i + 1; j < f->n; j++) {
			struct membox_packet p = *good, shape;
			uint16_t status;
			uint32_t detail;

			if (!f->fault[i].bytes || !f->fault[j].bytes || of_driver(&f->fault[i], good) ||
			    of_driver(&f->fault[j], good))
				continue;
			put_field(&p, f->fault[i].at, f->fault[i].bytes, f->fault[i].value);
			put_field(&p, f->fault[j].at, f->fault[j].bytes, f->fault[j].value);
			shape = p;
			shape.context = 0;
			status = membox_check_packet(&shape, world.caps, MEMBOX_MAX_BYTES, &detail);
			/* two faults can make a good packet of another kind, or break memory only */
			if (!status || p.opcode == MEMBOX_OP_CANCEL)
				continue;
			send(&p, status, detail, kind, "pair");
			world.pairs++;
		}
	}
}

/* A packet without fault, if one rank alone can send it: each collective has a number of its own. */
static void send_good(const struct good_kind *kind, struct membox_packet *good, const char *what)
{
	if (kind->how & GOOD_ABSENT)
		return;
	if (good->opcode >= MEMBOX_OP_ALLREDUCE && good->opcode <= MEMBOX_OP_BARRIER)
		good->coll.seq = world.seq++;
	send(good, MEMBOX_ST_OK, 0, kind->name, what);
}

static void one_kind(const struct good_kind *kind)
{
	struct membox_packet good = good_packet(kind, &world.env);
	const struct expect *x = expect_of(kind);
	struct faults f;

	if (x->cap & ~world.caps) {
		good.context = 1;
		send(&good, MEMBOX_ST_UNSUPPORTED, 0, kind->name, "without the capability");
		return;
	}
	all_faults(&f, x, &good, MEMBOX_MAX_BYTES);
	good.context = 1;
	if (good.opcode == MEMBOX_OP_WSUM)
		good_terms(&world.env, vm_at(world.p->vm, world.env.host));
	send_good(kind, &good, "good");
	unchanged(NULL);
	for (unsigned int i = 0; i < f.n; i++) {
		struct membox_packet bad = good;

		if (!f.fault[i].bytes || of_driver(&f.fault[i], &good))
			continue;
		put_field(&bad, f.fault[i].at, f.fault[i].bytes, f.fault[i].value);
		send(&bad, f.fault[i].status, f.fault[i].detail, kind->name, f.fault[i].name);
		world.faults++;
	}
	all_pairs(&f, &good, kind->name);
	unchanged(kind->name);
	send_good(kind, &good, "good again");
}

static void every_kind(uint8_t type)
{
	world_make(type);
	for (unsigned int i = 0; i < GOOD_KINDS; i++) {
		if (good_kinds[i].opcode == MEMBOX_OP_CANCEL)
			continue;
		if (type != MEMBOX_F32 && good_kinds[i].opcode == MEMBOX_OP_UPDATE)
			continue;
		one_kind(&good_kinds[i]);
	}
	case_note("%u single faults, %u pairs", world.faults, world.pairs);
	CHECK(world.faults > 300 && world.pairs > 4000);
}

static void f32_packets(void)
{
	every_kind(MEMBOX_F32);
}

static void i32_packets(void)
{
	every_kind(MEMBOX_I32);
}

static void foreign_opcodes(void)
{
	struct membox_packet d = {.context = 1};

	world_make(MEMBOX_F32);
	d.opcode = MEMBOX_OP_CANCEL;
	send(&d, MEMBOX_ST_UNSUPPORTED, 0, "CANCEL", "to a device");
	for (unsigned int op = 0; op < 256; op++) {
		struct membox_op_info info;

		d.opcode = (uint8_t)op;
		if (!membox_op_lookup((uint8_t)op, &info))
			send(&d, MEMBOX_ST_BAD_OPCODE, 0, "unknown", "opcode");
	}
}

static void regions(void)
{
	struct membox_packet d;

	world_make(MEMBOX_F32);
	d = packet_io(MEMBOX_OP_READ, world.env.param[0], MEMBOX_F32, 0, 8, 0);
	d.flags = MEMBOX_F_REGION;
	d.host.key = 0x10001;
	send(&d, MEMBOX_ST_BAD_REGION, 88, "READ", "by region");
	d.host.key = 0;
	send(&d, MEMBOX_ST_BAD_REGION, 88, "READ", "by region 0");
	d.flags = 0;
	d.host.key = 1;
	send(&d, MEMBOX_ST_RESERVED, 88, "READ", "key without the flag");
}

/* ---- operands ---- */

static void close_handle(unsigned int context, uint32_t handle)
{
	struct membox_handle_args a = {.size = sizeof(a), .handle = handle};

	EQUAL(admin(world.p, context, MEMBOX_ADM_PARAM_CLOSE, &a, sizeof(a)), MEMBOX_ST_OK);
}

static uint32_t read_only_handle(const char *name)
{
	struct membox_param_args a = param_args(name, 0, 0, 0);

	a.flags = MEMBOX_PARAM_RDONLY;
	EQUAL(admin(world.p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	return a.handle;
}

static void operands(void)
{
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 2};
	struct membox_handle_args h = {.size = sizeof(h)};
	struct membox_packet good, bad;
	uint32_t closed, foreign, destroyed, constant;
	struct membox_param_args a;

	world_make(MEMBOX_F32);
	EQUAL(admin(world.p, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
	a = param_args("p1", MEMBOX_F32, ELEMENTS, 0);
	EQUAL(admin(world.p, 2, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	foreign = a.handle;
	/* numbers are private to a context: one that context 1 does not have */
	while (foreign == world.env.param[0] || foreign == world.env.param[1] ||
	       foreign == world.env.param[2] || foreign == world.env.param[3] || foreign == world.env.word) {
		a = param_args("p1", MEMBOX_F32, ELEMENTS, 0);
		EQUAL(admin(world.p, 2, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
		foreign = a.handle;
	}
	closed = param(world.p, "shut", MEMBOX_F32, 16, 0);
	destroyed = param(world.p, "gone", MEMBOX_F32, ELEMENTS, 0);
	h.handle = destroyed;
	EQUAL(admin(world.p, 1, MEMBOX_ADM_PARAM_DESTROY, &h, sizeof(h)), MEMBOX_ST_OK);
	constant = read_only_handle("p0");
	close_handle(1, closed);
	unchanged(NULL);

	good = packet_io(MEMBOX_OP_COPY, world.env.param[0], MEMBOX_F32, 0, 16, 0);
	good.src_type = MEMBOX_F32;
	good.handle[1] = world.env.param[1];

	bad = good;
	bad.context = 9;
	send(&bad, MEMBOX_ST_BAD_CONTEXT, MEMBOX_AT(context), "COPY", "context not open");
	bad.context = 0xffff;
	send(&bad, MEMBOX_ST_BAD_CONTEXT, MEMBOX_AT(context), "COPY", "context out of range");
	for (unsigned int i = 0; i < 2; i++) {
		uint32_t at = 32 + 4 * i;

		bad = good;
		bad.handle[i] = closed;
		send(&bad, MEMBOX_ST_BAD_HANDLE, at, "COPY", "closed handle");
		bad.handle[i] = foreign;
		send(&bad, MEMBOX_ST_BAD_HANDLE, at, "COPY", "foreign handle");
		bad.handle[i] = ~0U;
		send(&bad, MEMBOX_ST_BAD_HANDLE, at, "COPY", "no handle at all");
		bad.handle[i] = destroyed;
		send(&bad, MEMBOX_ST_DESTROYED, at, "COPY", "destroyed parameter");
		bad.handle[i] = world.env.word;
		send(&bad, MEMBOX_ST_TYPE_MISMATCH, at, "COPY", "type");
		bad = good;
		bad.offset[i] = ELEMENTS - 15;
		send(&bad, MEMBOX_ST_OUT_OF_RANGE, 48 + 8 * i, "COPY", "past the end");
		bad.offset[i] = 1ULL << 50;
		send(&bad, MEMBOX_ST_OUT_OF_RANGE, 48 + 8 * i, "COPY", "far past the end");
	}
	bad = good;
	bad.handle[0] = constant;
	send(&bad, MEMBOX_ST_DENIED, 32, "COPY", "read-only handle");
	bad = good;
	bad.handle[1] = bad.handle[0];
	bad.offset[1] = 8;
	send(&bad, MEMBOX_ST_OVERLAP, 40 + 16, "COPY", "overlap");

	/* operand 0 is judged whole before operand 1 */
	bad = good;
	bad.offset[0] = ELEMENTS;
	bad.handle[1] = closed;
	send(&bad, MEMBOX_ST_OUT_OF_RANGE, 48, "COPY", "range of 0 before handle of 1");
	/* and all of them after memory, which is after shape */
	bad = packet_io(MEMBOX_OP_WRITE, closed, MEMBOX_F32, 0, 16, 1ULL << 40);
	send(&bad, MEMBOX_ST_DMA_FAULT, 80, "WRITE", "memory before handle");
	bad.context = 9;
	send(&bad, MEMBOX_ST_DMA_FAULT, 80, "WRITE", "memory before context");
	bad.host.addr |= 2;
	send(&bad, MEMBOX_ST_MISALIGNED, 80, "WRITE", "shape before memory");
	unchanged("a bad operand");
	good.context = 1;
	send(&good, MEMBOX_ST_OK, 0, "COPY", "good");
}

static void terms(void)
{
	struct membox_packet good, bad;
	struct membox_term *t;
	struct membox_completion c;

	world_make(MEMBOX_F32);
	good = packet_io(MEMBOX_OP_WSUM, world.env.param[0], MEMBOX_F32, 0, 16, world.env.host);
	good.src_type = MEMBOX_F32;
	good.list.nterms = 3;
	t = vm_at(world.p->vm, world.env.host);
	for (unsigned int i = 0; i < 3; i++)
		t[i] = (struct membox_term){.handle = world.env.param[1 + i], .a = GOOD_ONE};
	send(&good, MEMBOX_ST_OK, 0, "WSUM", "good");
	unchanged(NULL);
	bad = good;
	t[2].handle = 12345;
	EQUAL(pair_run(&world.p->io, &bad, &c), MEMBOX_ST_BAD_TERM);
	EQUAL(c.result, 2);
	t[2].handle = world.env.param[3];
	t[1].rsvd = 1;
	EQUAL(pair_run(&world.p->io, &bad, &c), MEMBOX_ST_BAD_TERM);
	EQUAL(c.result, 1);
	t[1].rsvd = 0;
	t[0].offset = ELEMENTS - 1;
	EQUAL(pair_run(&world.p->io, &bad, &c), MEMBOX_ST_BAD_TERM);
	EQUAL(c.result, 0);
	t[0].offset = 0;
	unchanged("a bad term");
	send(&good, MEMBOX_ST_OK, 0, "WSUM", "good");
}

static const struct test_case cases[] = {
	{"every fault and pair of faults of float packets is told precisely", f32_packets},
	{"every fault and pair of faults of integer packets is told precisely", i32_packets},
	{"opcodes that are not a packet's are refused", foreign_opcodes},
	{"regions are refused in a kernel queue", regions},
	{"bad operands are told after everything else, 0 first", operands},
	{"a bad term is told by its number", terms},
};
CASE_MAIN(cases)
