// SPDX-License-Identifier: MIT
/*
 * engine_exec_small.c - small commands that are executed at once: the same bytes,
 * versions and counters as the long way gives, nothing at all when something could make
 * them wait or be refused, and a box that is whole after a death at each of their
 * steps.
 */
#include <signal.h>
#include <sys/wait.h>

#include "engine_box.h"
#include "exec.h"

#define N 64 /* i32 of each parameter */
#define AT 3 /* where the small commands begin */
#define COUNT 16

enum kind { READ, WRITE, COPY, FILL, ACC_HOST, ACC_COMMON, SCALE, AXPBY, ATOMIC, KINDS };
static const char *const kind_names[] = { "READ", "WRITE", "COPY", "FILL", "ACC from host",
					  "ACC from common", "SCALE", "AXPBY", "ATOMIC" };

static struct port port, other;
static uint32_t dst, src;
static int32_t host[COUNT];

static unsigned int steps, die_at; /* this process's; 0: never */

void mbe_step_default(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	steps++;
	if (die_at && steps == die_at)
		kill(getpid(), SIGKILL);
}

static struct membox_packet packet_of(enum kind k, uint32_t d, uint32_t s)
{
	struct membox_packet p = op_move(MEMBOX_OP_READ, d, AT, COUNT, MEMBOX_I32);

	switch (k) {
	case READ:
		return p;
	case WRITE:
		p.opcode = MEMBOX_OP_WRITE;
		return p;
	case FILL:
		p.opcode = MEMBOX_OP_FILL;
		p.word.value = 0x01020304;
		return p;
	case SCALE:
		p.opcode = MEMBOX_OP_SCALE;
		p.scale.a = 0x4000000000000000ULL;
		return p;
	case ATOMIC:
		p = (struct membox_packet){ .opcode = MEMBOX_OP_ATOMIC, .sub = MEMBOX_FETCH_ADD,
					    .dst_type = MEMBOX_I32, .handle = { d }, .offset = { AT } };
		p.word.value = 5;
		return p;
	default:
		break;
	}
	p = op_acc(d, AT, COUNT, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
	if (k == ACC_HOST)
		return p;
	p.handle[1] = s;
	p.offset[1] = 2 * AT;
	if (k != ACC_COMMON)
		p.reduction = 0;
	if (k == COPY)
		p.scale.a = 0;
	if (k == AXPBY)
		p.scale.b = 0x4000000000000000ULL;
	if (k == COPY || k == AXPBY)
		p.opcode = k == COPY ? MEMBOX_OP_COPY : MEMBOX_OP_AXPBY;
	return p;
}

static void reset(struct port *p, uint32_t d, uint32_t s)
{
	int32_t values[N];

	for (int i = 0; i < N; i++)
		values[i] = i * 7 + 3;
	write_all(p, d, MEMBOX_I32, N, values);
	for (int i = 0; i < N; i++)
		values[i] = i * 13 + 1;
	write_all(p, s, MEMBOX_I32, N, values);
	for (int i = 0; i < COUNT; i++)
		host[i] = i - 5;
}

/* The command and its memory, as a caller fills them in. */
static void make(struct issue *i, const struct membox_packet *p)
{
	memset(i, 0, sizeof(*i));
	i->cmd.p = *p;
	i->cmd.p.context = BOX_CONTEXT;
	i->one.iov_base = host;
	i->one.iov_len = membox_host_bytes(p);
	i->cmd.host = &i->one;
	i->cmd.nhost = i->one.iov_len ? 1 : 0;
	i->cmd.done = issue_done; /* which would be wrong to call */
	i->cmd.arg = i;
}

static bool small(struct port *p, struct issue *i, const struct membox_packet *packet)
{
	bool did;

	make(i, packet);
	did = mbe_execute_small(p->e, &i->cmd, 0);
	assert_int_equal(i->done, 0);
	return did;
}

/* Of a parameter in the box: its file offset. */
static uint64_t address_of(uint32_t handle)
{
	struct mbe_operand op;

	assert_int_equal(mbe_operand_get(port.e, BOX_CONTEXT, handle, &op), MEMBOX_ST_OK);
	mbe_operand_put(port.e, &op);
	return op.address;
}

static void counters(uint64_t c[MEMBOX_NR_COUNTERS])
{
	for (unsigned int i = 0; i < MEMBOX_NR_COUNTERS; i++)
		c[i] = mbe_counter(port.e, i);
}

static void gives_what_the_long_way_gives(void **state)
{
	(void)state;
	for (enum kind k = 0; k < KINDS; k++) {
		struct membox_packet p = packet_of(k, dst, src);
		uint64_t before[MEMBOX_NR_COUNTERS], between[MEMBOX_NR_COUNTERS], after[MEMBOX_NR_COUNTERS];
		int32_t is[N], want[N], is_host[COUNT];
		struct membox_param_stat st[3];
		struct membox_completion c;
		struct issue i;

		reset(&port, dst, src);
		st[0] = param_stat(&port, dst);
		counters(before);
		c = run_ok(&port, &p, host);
		counters(between);
		st[1] = param_stat(&port, dst);
		read_all(&port, dst, MEMBOX_I32, N, want);
		memcpy(is_host, host, sizeof(host));
		reset(&port, dst, src);
		st[2] = param_stat(&port, dst);
		counters(after);
		for (unsigned int j = 0; j < MEMBOX_NR_COUNTERS; j++)
			between[j] += after[j] - before[j];
		if (!small(&port, &i, &p))
			fail_msg("%s is not small", kind_names[k]);
		counters(after);
		assert_memory_equal(after, between, sizeof(after));
		assert_int_equal(mbe_queue_inflight(&port.q), 0);
		assert_int_equal(i.cmd.c.status, MEMBOX_ST_OK);
		assert_int_equal(i.cmd.c.bytes, c.bytes);
		assert_int_equal(i.cmd.c.result, c.result);
		assert_int_equal(i.cmd.c.version - st[2].finished, c.version - st[0].finished);
		assert_int_equal(param_stat(&port, dst).finished - st[2].finished,
				 st[1].finished - st[0].finished);
		assert_true(i.cmd.c.start && i.cmd.c.end >= i.cmd.c.start);
		read_all(&port, dst, MEMBOX_I32, N, is);
		assert_memory_equal(is, want, sizeof(is));
		assert_memory_equal(host, is_host, sizeof(host));
	}
}

/* Nothing happened: not to the data, not to the version, not to a counter. */
static void expect_untouched(const struct membox_packet *p, const char *why)
{
	struct membox_param_stat st = param_stat(&port, dst);
	uint64_t before[MEMBOX_NR_COUNTERS], after[MEMBOX_NR_COUNTERS];
	struct issue i;

	counters(before);
	if (small(&port, &i, p))
		fail_msg("was executed although %s", why);
	counters(after);
	assert_memory_equal(after, before, sizeof(after));
	assert_int_equal(param_stat(&port, dst).begun, st.begun);
	assert_int_equal(port.e->exec->writers_free, (1ULL << port.e->geo.undos) - 1);
}

static void what_could_wait_is_not_begun(void **state)
{
	struct membox_packet p = packet_of(WRITE, dst, src), bad;
	uint64_t all = port.e->exec->writers_free;
	struct issue i;
	__u64 *word;

	(void)state;
	small(&port, &i, &p);
	word = mbe_stripe_word(other.e, address_of(dst));
	assert_true(mbe_trylock_word(other.e, word));
	expect_untouched(&p, "another port holds the stripe");
	bad = packet_of(READ, dst, src);
	expect_untouched(&bad, "another port holds the stripe");
	mbe_unlock_word(other.e, word);
	bad = p;
	bad.flags = MEMBOX_F_FENCE;
	expect_untouched(&bad, "it fences");
	bad = p;
	bad.handle[0] ^= 0x10000;
	expect_untouched(&bad, "its handle is another's");
	bad = p;
	bad.count = 0;
	expect_untouched(&bad, "it has no elements");
	bad = p;
	bad.offset[0] = N;
	expect_untouched(&bad, "it is out of range");
	port.e->exec->writers_free = 0;
	make(&i, &p);
	assert_false(mbe_execute_small(port.e, &i.cmd, 0));
	port.e->exec->writers_free = all;
	port.e->opts.delay_ns = 1;
	expect_untouched(&p, "completions are delayed");
	port.e->opts.delay_ns = 0;
	assert_true(small(&port, &i, &p));
}

static void what_is_long_or_crosses_a_stripe_is_not_begun(void **state)
{
	uint64_t n = 2 * BOX_STRIPE / 4;
	uint32_t large = param_open(&port, "large", MEMBOX_I32, n, 0);
	uint64_t at = address_of(large), to_end = (BOX_STRIPE - at % BOX_STRIPE) / 4;
	struct membox_packet p = op_move(MEMBOX_OP_FILL, large, 0, MBE_SMALL_BYTES / 4, MEMBOX_I32);
	struct issue i;

	(void)state;
	assert_true(small(&port, &i, &p));
	p.count++;
	assert_false(small(&port, &i, &p));
	p.count = 8;
	p.offset[0] = to_end - 8;
	assert_true(small(&port, &i, &p));
	p.offset[0]++;
	assert_false(small(&port, &i, &p));
}

static void untimed_ones_read_no_clock(void **state)
{
	struct membox_packet p = packet_of(WRITE, dst, src);
	struct issue i;

	(void)state;
	make(&i, &p);
	assert_true(mbe_execute_small(port.e, &i.cmd, MBE_UNTIMED));
	assert_int_equal(i.cmd.c.start, 0);
	assert_int_equal(i.cmd.c.end, 0);
	make(&i, &p);
	assert_true(mbe_execute_small(port.e, &i.cmd, 12345)); /* the caller knows */
	assert_int_equal(i.cmd.c.start, 12345);
}

static void doomed(enum kind k, uint32_t flags, unsigned int at)
{
	struct membox_packet p;
	struct port mine;
	struct issue i;
	uint32_t d, s;

	port_open(&mine);
	d = param_open(&mine, flags ? "plain" : "journalled", MEMBOX_I32, N, flags);
	s = param_open(&mine, "source", MEMBOX_I32, N, 0);
	p = packet_of(k, d, s);
	steps = 0;
	die_at = at;
	_exit(small(&mine, &i, &p) ? 0 : 99);
}

static void recover_all(void)
{
	for (uint32_t i = 0; i < port.e->geo.ports; i++) {
		uint8_t *u = mbe_area_of(port.e, MEMBOX_AREA_UNDO, i);

		assert_true(mbe_recover_port(port.e, i));
		for (uint32_t j = 0; j < port.e->geo.undos; j++) {
			struct membox_fmt_undo *undo = (void *)(u + j * port.e->geo.undo_bytes);

			assert_int_equal(undo->word & MEMBOX_UNDO_STATE, MEMBOX_UNDO_IDLE);
		}
	}
	for (uint32_t i = 0; i < port.e->geo.stripes; i++)
		assert_int_equal(port.e->stripes[i].lock, 0);
}

static void killed(enum kind k, uint32_t d, uint32_t flags)
{
	struct membox_packet p = packet_of(k, d, src);
	int32_t old[N], new[N], got[N];
	unsigned int at = 0;
	int status;

	reset(&port, d, src);
	read_all(&port, d, MEMBOX_I32, N, old);
	run_ok(&port, &p, host);
	read_all(&port, d, MEMBOX_I32, N, new);
	do {
		struct membox_param_stat st;
		pid_t pid;

		at++;
		reset(&port, d, src);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			doomed(k, flags, at);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
		recover_all();
		st = param_stat(&port, d);
		assert_int_equal(st.begun, st.finished);
		read_all(&port, d, MEMBOX_I32, N, got);
		if (memcmp(got, old, sizeof(got)) && memcmp(got, new, sizeof(got)))
			fail_msg("%s killed at step %u: neither old nor new", kind_names[k], at);
	} while (WIFSIGNALED(status));
	assert_false(memcmp(got, new, sizeof(got)));
	assert_true(at > 6); /* the steps are there */
}

static void killed_at_every_step(void **state)
{
	uint32_t plain = param_open(&port, "plain", MEMBOX_I32, N, MEMBOX_PARAM_NOJOURNAL);

	(void)state;
	for (enum kind k = WRITE; k < KINDS; k++)
		killed(k, dst, 0);
	killed(WRITE, plain, MEMBOX_PARAM_NOJOURNAL);
	killed(ACC_HOST, plain, MEMBOX_PARAM_NOJOURNAL);
}

static int set_up(void **state)
{
	(void)state;
	box_create(64 << 20);
	port_open(&port);
	port_open(&other);
	dst = param_open(&port, "journalled", MEMBOX_I32, N, 0);
	src = param_open(&port, "source", MEMBOX_I32, N, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_close(&other);
	port_close(&port);
	box_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_what_the_long_way_gives),
		cmocka_unit_test(what_could_wait_is_not_begun),
		cmocka_unit_test(what_is_long_or_crosses_a_stripe_is_not_begun),
		cmocka_unit_test(untimed_ones_read_no_clock),
		cmocka_unit_test(killed_at_every_step),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
