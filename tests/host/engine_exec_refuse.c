// SPDX-License-Identifier: MIT
/*
 * engine_exec_refuse.c - every bad packet gets its own status and detail from the
 * engine, of two faults the one that stands first; after each the box is bit for
 * bit what it was (counters of the port excepted) and the next good packet works.
 */
#include "engine_box.h"

#include "bad_operands.h"
#include "bad_packets.h"

static struct port port;
static struct good_env env;
static struct bad_env bad;
static struct membox_term terms[2];
static uint64_t host[1024], host2[1024];
static uint32_t next_seq; /* of the collective that comes next */
static uint64_t image; /* sum over the box, as it was remembered */

static uint32_t mode_open(const char *name, uint8_t type, uint32_t mode, uint32_t flags)
{
	struct membox_param_args a = { .flags = flags | MEMBOX_PARAM_CREATE, .type = type, .count = 256,
				       .mode = mode };

	snprintf(a.name, sizeof(a.name), "%s", name);
	assert_int_equal(port_admin(&port, BOX_CONTEXT, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	return a.handle;
}

static uint32_t handle_command(uint32_t handle, uint8_t opcode)
{
	struct membox_handle_args a = { .handle = handle };

	assert_int_equal(port_admin(&port, BOX_CONTEXT, opcode, &a, sizeof(a)), MEMBOX_ST_OK);
	return handle;
}

/* Who creates a parameter may do everything with it: the second handle is bound by its mode. */
static uint32_t write_only(const char *name, uint8_t type)
{
	mode_open(name, type, 0200, 0);
	return mode_open(name, type, 0200, 0);
}

/* A group of one rank: its collectives end at once. */
static void join_alone(void)
{
	struct membox_group_args a = { .name = "alone", .ranks = 1 };

	assert_int_equal(port_admin(&port, BOX_CONTEXT, MEMBOX_ADM_GROUP_JOIN, &a, sizeof(a)), MEMBOX_ST_OK);
	env.group = a.group;
	env.epoch = a.epoch;
	env.ranks = 1;
	next_seq = 0;
}

static void open_all(void)
{
	static const char *const names[] = { "p0", "p1", "p2", "p3" };

	env = good_env_shape;
	for (int i = 0; i < 4; i++)
		env.param[i] = mode_open(names[i], MEMBOX_F32, 0, 0);
	env.word = mode_open("word", MEMBOX_I64, 0, 0);
	env.host = (uintptr_t)host;
	env.host2 = (uintptr_t)host2;
	join_alone();
	bad.closed = handle_command(mode_open("closed", MEMBOX_F32, 0, 0), MEMBOX_ADM_PARAM_CLOSE);
	bad.destroyed = handle_command(mode_open("destroyed", MEMBOX_F64, 0, 0), MEMBOX_ADM_PARAM_DESTROY);
	bad.other_type = mode_open("other", MEMBOX_F64, 0, 0);
	bad.read_only = mode_open("p0", MEMBOX_F32, 0, MEMBOX_PARAM_RDONLY);
	bad.other_read_only = mode_open("other", MEMBOX_F64, 0, MEMBOX_PARAM_RDONLY);
	bad.word_read_only = mode_open("word", MEMBOX_I64, 0, MEMBOX_PARAM_RDONLY);
	bad.write_only = write_only("w", MEMBOX_F32);
	bad.other_write_only = write_only("w64", MEMBOX_F64);
	bad.word_write_only = write_only("wi", MEMBOX_I64);
}

static int set_up(void **state)
{
	(void)state;
	box_create_as((struct mbe_format_opts){ .bytes = 3 << 20, .ports = 2, .params = 64, .groups = 4 });
	port_open(&port);
	open_all();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_close(&port);
	box_remove();
	return 0;
}

/*
 * A sum over the whole file but for the ports' records (counters, wake words). It
 * is made thousands of times, which sanitizers would make very slow.
 */
__attribute__((no_sanitize("thread", "address"))) static uint64_t sum_range(uint64_t sum, uint64_t from, uint64_t to)
{
	const volatile uint64_t *p = (const volatile uint64_t *)(const void *)(port.e->map + from);

	for (uint64_t i = 0; i < (to - from) / 8; i++)
		sum = (sum ^ p[i]) * 0x9e3779b97f4a7c15ULL;
	return sum;
}

static uint64_t sum_box(void)
{
	const struct membox_fmt_area *ports = &port.e->geo.area[MEMBOX_AREA_PORTS];

	return sum_range(sum_range(0, 0, ports->offset), ports->offset + ports->bytes, port.e->geo.bytes);
}

static void remember(void)
{
	image = sum_box();
}

static void expect_unchanged(const char *what)
{
	if (sum_box() != image)
		fail_msg("%s: the box was changed", what);
}

static struct membox_completion send(const struct membox_packet *p, unsigned int context)
{
	struct iovec v = { (void *)(uintptr_t)(p->opcode == MEMBOX_OP_WSUM ? (void *)terms : (void *)host),
			   p->opcode == MEMBOX_OP_WSUM ? sizeof(terms) : sizeof(host) };
	struct iovec v2 = { host2, sizeof(host2) };
	struct issue i = { .cmd = { .p = *p, .host = &v, .nhost = 1, .host2 = &v2, .nhost2 = 1,
				    .done = issue_done } };

	i.cmd.arg = &i;
	i.cmd.p.context = (uint16_t)context;
	assert_true(mbe_queue_enter(&port.q, &i.cmd));
	mbe_execute(port.e, &i.cmd);
	return issue_finish(&port, &i);
}

static void expect(const struct membox_packet *p, unsigned int context, uint16_t status, uint32_t detail,
		   const char *name, const char *fault, const char *fault2)
{
	struct membox_completion c;
	char what[200];

	snprintf(what, sizeof(what), "%s: %s %s", name, fault, fault2);
	remember();
	c = send(p, context);
	if (c.status != status || c.detail != detail)
		fail_msg("%s: status %u detail %u, should be %u and %u", what, c.status, c.detail, status, detail);
	assert_int_equal(c.bytes, 0);
	expect_unchanged(what);
}

static bool offered(const struct expect *x)
{
	return !(x->cap & ~mbe_caps(port.e));
}

/* Calls fn with every kind of good packet that the engine offers. */
static void each_good(void (*fn)(const struct expect *x, const struct membox_packet *p))
{
	good_terms(&env, terms);
	for (size_t i = 0; i < GOOD_KINDS; i++) {
		struct membox_packet p = good_packet(&good_kinds[i], &env);

		if (offered(expect_of(&good_kinds[i])))
			fn(expect_of(&good_kinds[i]), &p);
	}
}

static void expect_good(const struct expect *x, const struct membox_packet *p)
{
	bool coll = p->opcode >= MEMBOX_OP_ALLREDUCE && p->opcode <= MEMBOX_OP_BARRIER;
	uint32_t used = membox_packet_fields(p);
	struct membox_packet q = *p;
	struct membox_completion c;

	/* in a group of one there is nobody else than the root */
	if ((p->opcode == MEMBOX_OP_BROADCAST && !(used & (MBF_P0 | MBF_HOST))) ||
	    (p->opcode == MEMBOX_OP_REDUCE && !(used & (MBF_P1 | MBF_HOST2)))) {
		expect(p, BOX_CONTEXT, MEMBOX_ST_BAD_RANK, MEMBOX_AT(coll.root), x->kind, "no root", "");
		return;
	}
	if (coll)
		q.coll.seq = next_seq++;
	c = send(&q, BOX_CONTEXT);
	if (c.status)
		fail_msg("%s: status %u, detail %u", x->kind, c.status, c.detail);
}

static void good_packets_are_executed(void **state)
{
	(void)state;
	each_good(expect_good);
}

static void operations_not_offered_are_unsupported(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOOD_KINDS; i++) {
		struct membox_packet p = good_packet(&good_kinds[i], &env);

		if (!offered(expect_of(&good_kinds[i])))
			expect(&p, BOX_CONTEXT, MEMBOX_ST_UNSUPPORTED, 0, good_kinds[i].name, "not offered", "");
	}
}

static void send_misshapen(const struct expect *x, const struct membox_packet *p)
{
	struct faults f;

	all_faults(&f, x, p, mbe_max_bytes(port.e));
	for (unsigned int i = 0; i < f.n; i++) {
		struct membox_packet q = *p;

		/* the driver's fields, which a device clears in its copy; capabilities are the port's */
		if (!f.fault[i].bytes || f.fault[i].at == MEMBOX_AT(phase) || f.fault[i].at == MEMBOX_AT(cid) ||
		    f.fault[i].at == MEMBOX_AT(context))
			continue;
		if (f.fault[i].at == MEMBOX_AT(host.nseg) && q.host.addr)
			continue;
		if (f.fault[i].at == MEMBOX_AT(coll.recv.nseg) && membox_host2_bytes(p))
			continue;
		put_field(&q, f.fault[i].at, f.fault[i].bytes, f.fault[i].value);
		expect(&q, BOX_CONTEXT, f.fault[i].status, f.fault[i].detail, x->kind, f.fault[i].name, "");
		/* in a context that is not open the shape is still looked at first */
		expect(&q, 99, f.fault[i].status, f.fault[i].detail, x->kind, f.fault[i].name, "no context");
	}
	expect_good(x, p);
}

static void every_misshapen_packet_is_refused(void **state)
{
	(void)state;
	each_good(send_misshapen);
}

static void send_bad_operands(const struct expect *x, const struct membox_packet *p)
{
	expect(p, 99, MEMBOX_ST_BAD_CONTEXT, MEMBOX_AT(context), x->kind, "context", "");
	for (size_t i = 0; i < BAD_OPERANDS; i++) {
		struct membox_packet q = *p;

		if (!bad_operand_fits(&bad_operands[i], p))
			continue;
		bad_operand_apply(&bad_operands[i], &q, &bad);
		expect(&q, BOX_CONTEXT, bad_operands[i].status, bad_detail(&bad_operands[i]), x->kind,
		       bad_operands[i].name, "");
		expect(&q, 99, MEMBOX_ST_BAD_CONTEXT, MEMBOX_AT(context), x->kind, bad_operands[i].name, "no context");
		expect_good(x, p);
	}
}

static void every_bad_operand_is_refused(void **state)
{
	(void)state;
	each_good(send_bad_operands);
}

/* Can both stand in one packet: not two values of one field, but for a type and a right. */
static bool together(const struct bad_operand *a, const struct bad_operand *b)
{
	if (b->what == BAD_BESIDE)
		return a->operand == 0 ? a->what != BAD_DESTROYED && a->what != BAD_CLOSED : false;
	if (a->operand != b->operand || a->field != b->field)
		return true;
	return a->what == BAD_OTHER_TYPE && b->what == BAD_RIGHT;
}

static void send_two_bad_operands(const struct expect *x, const struct membox_packet *p)
{
	for (size_t i = 0; i < BAD_OPERANDS; i++) {
		for (size_t j = i + 1; j < BAD_OPERANDS; j++) {
			const struct bad_operand *a = &bad_operands[i], *b = &bad_operands[j];
			struct membox_packet q = *p;

			if (!bad_operand_fits(a, p) || !bad_operand_fits(b, p) || !together(a, b))
				continue;
			bad_operand_apply(a, &q, &bad);
			bad_operand_apply(b, &q, &bad);
			expect(&q, BOX_CONTEXT, a->status, bad_detail(a), x->kind, a->name, b->name);
		}
	}
}

static void of_two_bad_operands_the_first_is_told(void **state)
{
	(void)state;
	each_good(send_two_bad_operands);
}

static void send_misshapen_with_bad_operands(const struct expect *x, const struct membox_packet *p)
{
	struct faults f;

	all_faults(&f, x, p, mbe_max_bytes(port.e));
	for (size_t i = 0; i < BAD_OPERANDS; i++) {
		struct membox_packet q = *p;

		if (!bad_operand_fits(&bad_operands[i], p))
			continue;
		bad_operand_apply(&bad_operands[i], &q, &bad);
		put_field(&q, MEMBOX_AT(flags), 2, 0x8000);
		expect(&q, BOX_CONTEXT, MEMBOX_ST_BAD_FLAG, MEMBOX_AT(flags), x->kind, "flag", bad_operands[i].name);
		q.flags = 0;
		if (uses(x, "count")) {
			q.count = 0;
			expect(&q, BOX_CONTEXT, MEMBOX_ST_ZERO_LENGTH, MEMBOX_AT(count), x->kind, "count 0",
			       bad_operands[i].name);
		}
	}
}

static void shape_is_looked_at_before_operands(void **state)
{
	(void)state;
	each_good(send_misshapen_with_bad_operands);
}

static struct membox_packet wsum_packet(void)
{
	struct membox_packet p = { 0 };

	for (size_t i = 0; i < GOOD_KINDS; i++)
		if (good_kinds[i].opcode == MEMBOX_OP_WSUM)
			p = good_packet(&good_kinds[i], &env);
	return p;
}

static void expect_term(const struct membox_packet *p, uint16_t status, uint64_t result, const char *what)
{
	struct membox_completion c;

	remember();
	c = send(p, BOX_CONTEXT);
	if (c.status != status || c.result != result || c.detail != MEMBOX_AT(host.addr))
		fail_msg("%s: status %u result %llu detail %u", what, c.status, (unsigned long long)c.result, c.detail);
	expect_unchanged(what);
	good_terms(&env, terms);
	c = send(p, BOX_CONTEXT);
	assert_int_equal(c.status, MEMBOX_ST_OK);
}

static void every_bad_term_is_told_by_its_number(void **state)
{
	struct membox_packet p = wsum_packet();

	(void)state;
	good_terms(&env, terms);
	for (unsigned int i = 0; i < 2; i++) {
		const uint32_t handles[] = { 0, bad.closed, bad.destroyed, bad.other_type, bad.write_only };

		for (unsigned int k = 0; k < 5; k++) {
			terms[i].handle = handles[k];
			expect_term(&p, MEMBOX_ST_BAD_TERM, i, "term's handle");
		}
		terms[i].rsvd = 1;
		expect_term(&p, MEMBOX_ST_BAD_TERM, i, "term's reserved field");
		terms[i].offset = 256 - env.count + 1;
		expect_term(&p, MEMBOX_ST_BAD_TERM, i, "term past the end");
		terms[i].offset = ~0ULL;
		expect_term(&p, MEMBOX_ST_BAD_TERM, i, "term's offset wraps");
		terms[i].handle = p.handle[0];
		terms[i].offset = p.offset[0] + 1;
		expect_term(&p, MEMBOX_ST_OVERLAP, i, "term overlaps");
	}
	/* a bad term behind one that overlaps stands first */
	terms[0].handle = p.handle[0];
	terms[0].offset = p.offset[0] + 1;
	terms[1].handle = bad.closed;
	expect_term(&p, MEMBOX_ST_BAD_TERM, 1, "overlap before a bad term");
	/* the destination itself may be a term */
	terms[0].handle = p.handle[0];
	terms[0].offset = p.offset[0];
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_OK);
	good_terms(&env, terms);
}

static void scalars_of_integer_terms_are_whole(void **state)
{
	uint32_t x = mode_open("ix", MEMBOX_I32, 0, 0);
	struct membox_packet p = wsum_packet();

	(void)state;
	p.dst_type = MEMBOX_I32;
	p.src_type = MEMBOX_I32;
	p.handle[0] = mode_open("iy", MEMBOX_I32, 0, 0);
	for (int i = 0; i < 2; i++)
		terms[i] = (struct membox_term){ .handle = x, .a = GOOD_ONE };
	terms[1].a = GOOD_HALF;
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_BAD_TERM);
	terms[1].a = GOOD_TWO;
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_OK);
	good_terms(&env, terms);
}

static void raw_bytes_only_move(void **state)
{
	struct membox_packet p = op_move(MEMBOX_OP_READ, env.param[0], 1021, 3, MEMBOX_I8);

	(void)state;
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_OK);
	p.count = 4; /* 1,024 bytes are the parameter */
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_OUT_OF_RANGE);
	p = op_move(MEMBOX_OP_SCALE, env.param[0], 0, 3, MEMBOX_I8);
	p.scale.a = GOOD_ONE;
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_TYPE_MISMATCH);
}

static void a_copy_onto_itself_is_an_overlap_and_an_acc_is_not(void **state)
{
	struct membox_packet p = op_acc(env.param[0], 3, 20, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM);

	(void)state;
	p.handle[1] = env.param[0];
	p.offset[1] = 3;
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_OK);
	p.opcode = MEMBOX_OP_COPY;
	p.reduction = 0;
	p.scale.a = 0;
	expect(&p, BOX_CONTEXT, MEMBOX_ST_OVERLAP, MEMBOX_AT(offset) + 8, "COPY", "onto itself", "");
	p.offset[1] = 23; /* beside it */
	assert_int_equal(send(&p, BOX_CONTEXT).status, MEMBOX_ST_OK);
}

static void validating_tells_the_same_and_does_nothing(void **state)
{
	struct membox_packet p = op_move(MEMBOX_OP_FILL, env.param[0], 0, 256, MEMBOX_F32);
	struct mbe_cmd cmd = { .p = p };
	uint32_t detail = 1;

	(void)state;
	cmd.p.context = BOX_CONTEXT;
	remember();
	assert_int_equal(mbe_validate(port.e, &cmd, &detail), MEMBOX_ST_OK);
	assert_int_equal(detail, 0);
	cmd.p.count = 257;
	assert_int_equal(mbe_validate(port.e, &cmd, &detail), MEMBOX_ST_OUT_OF_RANGE);
	assert_int_equal(detail, MEMBOX_AT(offset));
	expect_unchanged("validate");
}

static void a_read_only_port_changes_nothing(void **state)
{
	struct mbe_attach_opts opts = { .port = MBE_PORT_AUTO, .have_principal = true, .rdonly = true };
	struct membox_packet p;
	struct port other;
	uint32_t h;

	(void)state;
	memset(opts.principal, 7, sizeof(opts.principal));
	port_open_as(&other, &opts);
	h = param_open_args(&other, "p0", MEMBOX_F32, 256, MEMBOX_PARAM_RDONLY).handle;
	p = op_move(MEMBOX_OP_READ, h, 0, 8, MEMBOX_F32);
	assert_int_equal(run(&other, &p, host).status, MEMBOX_ST_OK);
	p.opcode = MEMBOX_OP_WRITE;
	assert_int_equal(run(&other, &p, host).status, MEMBOX_ST_DENIED);
	p = (struct membox_packet){ .opcode = MEMBOX_OP_NOTIFY, .handle = { h } };
	assert_int_equal(run(&other, &p, NULL).status, MEMBOX_ST_DENIED);
	port_close(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_packets_are_executed),
		cmocka_unit_test(operations_not_offered_are_unsupported),
		cmocka_unit_test(every_misshapen_packet_is_refused),
		cmocka_unit_test(every_bad_operand_is_refused),
		cmocka_unit_test(of_two_bad_operands_the_first_is_told),
		cmocka_unit_test(shape_is_looked_at_before_operands),
		cmocka_unit_test(every_bad_term_is_told_by_its_number),
		cmocka_unit_test(scalars_of_integer_terms_are_whole),
		cmocka_unit_test(raw_bytes_only_move),
		cmocka_unit_test(a_copy_onto_itself_is_an_overlap_and_an_acc_is_not),
		cmocka_unit_test(validating_tells_the_same_and_does_nothing),
		cmocka_unit_test(a_read_only_port_changes_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
