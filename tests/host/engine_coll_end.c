// SPDX-License-Identifier: MIT
/*
 * engine_coll_end.c - how collectives end when something is wrong: packets that are
 * refused, ranks that want something else, come late, give up, leave, or are killed at
 * each step. All ranks tell the same, in time, and the box is sound afterwards.
 */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "engine_coll.h"

#define RANKS 3
#define DOOMED 2
#define LONG 200000 /* f32: seven chunks or more */

static struct member members[RANKS];

/* ---- dying ---- */

static unsigned int steps, die_at; /* this process's; 0: never */

void mbe_step_default(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	if (die_at && __atomic_add_fetch(&steps, 1, __ATOMIC_RELAXED) == die_at)
		kill(getpid(), SIGKILL);
}

/* ---- fixtures ---- */

static int set_up(void **state)
{
	(void)state;
	box_create(64 << 20);
	members_open(members, RANKS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mbe_fsck(members[0].port.e, NULL, NULL), 0);
	members_close(members, RANKS);
	box_remove();
	return 0;
}

static const struct coll small = { MEMBOX_OP_ALLREDUCE, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM, 0, 16 };
static const struct coll longer = { MEMBOX_OP_ALLREDUCE, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM, 0, LONG };
static float in[RANKS][RANKS * LONG], out[RANKS][RANKS * LONG];

static void start(struct coll_issue *x, int rank, const struct coll *k, uint32_t timeout_us)
{
	struct membox_packet p = coll_packet(&members[rank], k, in[rank], out[rank]);

	p.timeout_us = timeout_us;
	members[rank].seq++;
	coll_start(&members[rank], x, &p);
}

/* Ports of one process: each gets its turn until all of the issues are done. */
static void finish(struct coll_issue *x, int n)
{
	bool all = false;

	while (!all) {
		all = true;
		for (int r = 0; r < n; r++)
			mbe_progress(members[r].port.e);
		for (int r = 0; r < n; r++)
			all &= issue_is_done(&x[r].i);
	}
}

/* All n ended so. */
static void expect(struct coll_issue *x, int n, uint16_t status, uint64_t result)
{
	for (int r = 0; r < n; r++) {
		assert_true(issue_is_done(&x[r].i));
		assert_int_equal(x[r].i.done, 1);
		assert_int_equal(x[r].i.c.status, status);
		assert_int_equal(x[r].i.c.result, result);
	}
}

/* ---- refused ---- */

static void refuse(int rank, const struct membox_packet *p, uint16_t status, uint32_t detail)
{
	struct coll_issue x;

	coll_start(&members[rank], &x, p);
	assert_true(issue_is_done(&x.i));
	assert_int_equal(x.i.c.status, status);
	assert_int_equal(x.i.c.detail, detail);
	assert_int_equal(x.i.c.bytes, 0);
}

static void refused_packets_name_their_field(void **state)
{
	struct membox_packet good = coll_packet(&members[0], &small, in[0], out[0]), p = good;
	struct coll k = small;
	struct coll_issue x[RANKS];

	(void)state;
	p.coll.group += 1 << 16;
	refuse(0, &p, MEMBOX_ST_BAD_GROUP, MEMBOX_AT(coll.group));
	p.coll.group = 0x00010000 + 60;
	refuse(0, &p, MEMBOX_ST_BAD_GROUP, MEMBOX_AT(coll.group));
	p = good;
	p.coll.epoch++;
	refuse(0, &p, MEMBOX_ST_BAD_EPOCH, MEMBOX_AT(coll.epoch));
	p = good;
	p.coll.seq = 5000;
	refuse(0, &p, MEMBOX_ST_BUSY, MEMBOX_AT(coll.seq));
	k.opcode = MEMBOX_OP_ALLGATHER;
	p = coll_packet(&members[0], &k, in[0], out[0]);
	p.coll.root = RANKS + 1;
	refuse(0, &p, MEMBOX_ST_BAD_RANK, MEMBOX_AT(coll.root));
	k.opcode = MEMBOX_OP_BROADCAST;
	p = coll_packet(&members[0], &k, in[0], out[0]);
	p.coll.root = 1; /* sends, and is not the root */
	refuse(0, &p, MEMBOX_ST_BAD_RANK, MEMBOX_AT(coll.root));
	k.opcode = MEMBOX_OP_REDUCE;
	k.root = 1;
	p = coll_packet(&members[1], &k, in[0], out[0]);
	p.coll.root = RANKS;
	refuse(1, &p, MEMBOX_ST_BAD_RANK, MEMBOX_AT(coll.root));
	p = good;
	p.host.addr = 0;
	p.handle[0] = 12345;
	refuse(0, &p, MEMBOX_ST_BAD_HANDLE, MEMBOX_AT(handle));
	/* none of them counts: the same number still does its work */
	for (int r = 0; r < RANKS; r++)
		start(&x[r], r, &small, 0);
	finish(x, RANKS);
	expect(x, RANKS, MEMBOX_ST_OK, 0);
	refuse(0, &good, MEMBOX_ST_EXISTS, MEMBOX_AT(coll.seq));
}

static void a_parameter_is_checked_on_both_sides(void **state)
{
	uint32_t h = param_open(&members[0].port, "here", MEMBOX_F32, 64, 0);
	uint32_t ro = param_open(&members[0].port, "here", MEMBOX_F32, 64, MEMBOX_PARAM_RDONLY);
	struct membox_packet good = coll_packet(&members[0], &small, in[0], out[0]), p;

	(void)state;
	good.host.addr = 0;
	good.coll.recv.addr = 0;
	good.handle[0] = h;
	good.handle[1] = h;
	p = good;
	p.offset[0] = 49;
	refuse(0, &p, MEMBOX_ST_OUT_OF_RANGE, MEMBOX_AT(offset));
	p = good;
	p.offset[1] = 49;
	refuse(0, &p, MEMBOX_ST_OUT_OF_RANGE, MEMBOX_AT(offset) + 8);
	p = good;
	p.offset[1] = 8;
	refuse(0, &p, MEMBOX_ST_OVERLAP, MEMBOX_AT(offset) + 8);
	p = good;
	p.handle[1] = ro;
	refuse(0, &p, MEMBOX_ST_DENIED, MEMBOX_AT(handle) + 4);
	p = good;
	p.src_type = p.dst_type = MEMBOX_I32;
	refuse(0, &p, MEMBOX_ST_TYPE_MISMATCH, MEMBOX_AT(handle));
}

/* ---- mismatch, late, cancelled, left ---- */

static void who_wants_something_else_is_named_to_all(void **state)
{
	struct coll_issue x[RANKS];
	const struct coll *kinds[] = { &small, &longer };

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		for (int odd = 0; odd < 6; odd++) {
			struct coll k = *kinds[i];

			switch (odd) {
			case 0:
				k.count--;
				break;
			case 1:
				k.count = i ? 10 : 100000; /* small beside long */
				break;
			case 2:
				k.red = MEMBOX_MAX;
				break;
			case 3:
				k.src = MEMBOX_BF16;
				break;
			case 4:
				k.opcode = MEMBOX_OP_REDUCE_SCATTER;
				break;
			default:
				k.opcode = MEMBOX_OP_BARRIER;
			}
			for (int r = 0; r < RANKS; r++)
				start(&x[r], r, r == 1 ? &k : kinds[i], 0);
			finish(x, RANKS);
			expect(x, RANKS, MEMBOX_ST_SHAPE_MISMATCH, 1);
		}
	for (int r = 0; r < RANKS; r++)
		start(&x[r], r, &small, 0);
	finish(x, RANKS);
	expect(x, RANKS, MEMBOX_ST_OK, 0);
}

static void a_late_rank_is_named_and_learns_of_it(void **state)
{
	struct coll_issue x[RANKS];
	const struct coll *kinds[] = { &small, &longer };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		for (int r = 0; r < RANKS - 1; r++)
			start(&x[r], r, kinds[i], 30000);
		finish(x, RANKS - 1);
		expect(x, RANKS - 1, MEMBOX_ST_TIMED_OUT, RANKS - 1);
		start(&x[RANKS - 1], RANKS - 1, kinds[i], 0);
		finish(x, RANKS);
		expect(x, RANKS, MEMBOX_ST_TIMED_OUT, RANKS - 1);
		/* and the epoch goes on */
		for (int r = 0; r < RANKS; r++)
			start(&x[r], r, kinds[i], 0);
		finish(x, RANKS);
		expect(x, RANKS, MEMBOX_ST_OK, 0);
	}
}

static bool is_cmd(const struct mbe_cmd *cmd, void *arg)
{
	return cmd == arg;
}

static void a_cancelled_one_ends_for_all(void **state)
{
	struct coll_issue x[RANKS];
	const struct coll *kinds[] = { &small, &longer };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		/* parked, its packet is there */
		for (int r = 0; r < RANKS - 1; r++)
			start(&x[r], r, kinds[i], 0);
		assert_int_equal(mbe_abort(members[1].port.e, NULL, is_cmd, &x[1].i.cmd, MEMBOX_ST_ABORTED), 1);
		assert_true(issue_is_done(&x[1].i));
		start(&x[RANKS - 1], RANKS - 1, kinds[i], 0);
		finish(x, RANKS);
		expect(x, RANKS, MEMBOX_ST_ABORTED, 1);
	}
	/* one that waits for its slot: nine at once, the first of which cannot go on */
	for (int n = 0; n < 9; n++) {
		struct coll_issue *y = calloc(1, sizeof(*y));

		x[0].i.cmd.arg = y;
		start(y, 0, &small, 0);
		assert_false(issue_is_done(&y->i));
		assert_int_equal(mbe_abort(members[0].port.e, NULL, is_cmd, &y->i.cmd, MEMBOX_ST_RESET), 1);
		assert_int_equal(y->i.c.status, MEMBOX_ST_RESET);
		free(y);
	}
	for (int n = 0; n < 9; n++)
		for (int r = 1; r < RANKS; r++) {
			start(&x[r], r, &small, 0);
			for (int p = 0; p < 100 && !issue_is_done(&x[r].i); p++)
				for (int q = 0; q < RANKS; q++)
					mbe_progress(members[q].port.e);
			if (r == RANKS - 1)
				assert_int_not_equal(x[r].i.c.status, MEMBOX_ST_OK);
		}
	finish(x, RANKS);
}

static void a_seat_is_not_left_under_a_collective(void **state)
{
	struct membox_group_args a = { .group = members[0].group };
	struct coll_issue x[RANKS];

	(void)state;
	start(&x[0], 0, &small, 0);
	start(&x[1], 1, &longer, 0);
	assert_int_equal(port_admin(&members[0].port, BOX_CONTEXT, MEMBOX_ADM_GROUP_LEAVE, &a, sizeof(a)),
			 MEMBOX_ST_BUSY);
	/* who leaves ends it for the others */
	a.group = members[2].group;
	assert_int_equal(port_admin(&members[2].port, BOX_CONTEXT, MEMBOX_ADM_GROUP_LEAVE, &a, sizeof(a)),
			 MEMBOX_ST_OK);
	finish(x, 2);
	expect(x, 2, MEMBOX_ST_BAD_EPOCH, 2);
}

static void a_group_that_comes_again_begins_anew(void **state)
{
	struct coll_issue x[RANKS];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int r = 0; r < RANKS; r++)
			start(&x[r], r, round % 2 ? &small : &longer, 0);
		finish(x, RANKS);
		expect(x, RANKS, MEMBOX_ST_OK, 0);
		for (int r = 0; r < RANKS; r++) {
			struct membox_group_args a = { .group = members[r].group };

			assert_int_equal(port_admin(&members[r].port, BOX_CONTEXT, MEMBOX_ADM_GROUP_LEAVE, &a,
						    sizeof(a)), MEMBOX_ST_OK);
		}
		for (int r = 0; r < RANKS; r++) /* in another order of ports */
			assert_int_equal(member_join(&members[r], (r + 1) % RANKS, RANKS), MEMBOX_ST_OK);
		for (int r = 0; r < RANKS; r++)
			members[r].epoch = member_info(&members[r]).epoch;
	}
}

static void who_asks_for_more_pages_than_there_are_is_told(void **state)
{
	struct membox_group_args a = { .ranks = MEMBOX_MAX_RANKS, .rank = 0 };
	struct membox_packet p = { .opcode = MEMBOX_OP_BARRIER, .timeout_us = 1000 };
	struct membox_completion c;
	unsigned int timed_out = 0;

	(void)state;
	for (int g = 0; g < 10; g++) {
		struct coll_issue x;

		snprintf(a.name, sizeof(a.name), "many%d", g);
		assert_int_equal(port_admin(&members[0].port, BOX_CONTEXT, MEMBOX_ADM_GROUP_JOIN, &a, sizeof(a)),
				 MEMBOX_ST_OK);
		p.coll.group = a.group;
		p.coll.epoch = a.epoch;
		coll_start(&members[0], &x, &p);
		c = coll_wait(&members[0], &x);
		timed_out += c.status == MEMBOX_ST_TIMED_OUT;
		if (c.status == MEMBOX_ST_TIMED_OUT)
			assert_int_equal(c.result, 1);
		else
			assert_int_equal(c.status, MEMBOX_ST_NO_SPACE);
	}
	assert_in_range(timed_out, 1, 9);
}

/* ---- killed at each step ---- */

static void collective_work(struct member *m, float *from, float *to, uint32_t param, struct membox_completion c[3])
{
	struct membox_packet p;
	struct coll_issue x;

	c[0] = coll_run(m, &small, from, to);
	c[1] = coll_run(m, &longer, from, to);
	p = coll_packet(m, &longer, from, NULL);
	p.handle[1] = param;
	m->seq++;
	coll_start(m, &x, &p);
	c[2] = coll_wait(m, &x);
}

static void doomed(unsigned int at, int go)
{
	char byte;

	struct membox_completion c[3];
	struct member m;
	uint32_t param;

	port_open(&m.port);
	param = param_open(&m.port, "sum", MEMBOX_F32, LONG, 0);
	if (member_join(&m, DOOMED, RANKS))
		_exit(98);
	m.epoch = member_info(&m).epoch;
	if (read(go, &byte, 1) != 1)
		_exit(97);
	die_at = at;
	collective_work(&m, in[DOOMED], out[DOOMED], param, c);
	die_at = 0;
	_exit(c[0].status || c[1].status || c[2].status ? 99 : 0);
}

struct survivor {
	int rank;
	struct membox_completion c[3];
	bool wrong;
};

static void *survive(void *arg)
{
	struct survivor *s = arg;
	struct member *m = &members[s->rank];

	collective_work(m, in[s->rank], out[s->rank], param_open(&m->port, "own", MEMBOX_F32, LONG, 0), s->c);
	for (uint64_t i = 0; !s->c[1].status && i < LONG; i++)
		s->wrong |= out[s->rank][i] != in[0][i] + in[1][i] + in[2][i];
	return NULL;
}

static void killed_at_every_step(void **state)
{
	unsigned int dead[3] = { 0 };
	unsigned int at = 0;
	bool killed = true;

	(void)state;
	for (int r = 0; r < RANKS; r++)
		for (uint64_t i = 0; i < LONG; i++)
			in[r][i] = (float)(i % 1000 + (uint64_t)r);
	port_close(&members[DOOMED].port);
	while (killed) {
		struct survivor s[2] = { { .rank = 0 }, { .rank = 1 } };
		pthread_t threads[2];
		int status, go[2];
		pid_t pid;

		at += at < 40 || !(at % 7) ? 1 : 3; /* the steps of chunks repeat themselves */
		assert_int_equal(pipe(go), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			doomed(at, go[0]);
		while (member_info(&members[0]).joined < RANKS)
			usleep(500);
		members[0].epoch = member_info(&members[0]).epoch;
		for (int r = 0; r < 2; r++) {
			members[r].epoch = members[0].epoch;
			members[r].seq = 0;
			assert_int_equal(pthread_create(&threads[r], NULL, survive, &s[r]), 0);
		}
		usleep(at < 20 ? 3000 : 0); /* they are there before it dies */
		assert_int_equal(write(go[1], "g", 1), 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		close(go[0]);
		close(go[1]);
		for (uint32_t p = 0; p < members[0].port.e->geo.ports; p++)
			assert_true(mbe_recover_port(members[0].port.e, p));
		for (int r = 0; r < 2; r++)
			pthread_join(threads[r], NULL);
		killed = WIFSIGNALED(status);
		assert_true(killed ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
		for (int i = 0; i < 3; i++) {
			/* one outcome: done for both or for none; who came too late was refused */
			assert_int_equal(!s[0].c[i].status, !s[1].c[i].status);
			assert_true(killed || !s[0].c[i].status);
			for (int r = 0; r < 2; r++) {
				const struct membox_completion *c = &s[r].c[i];

				if (c->status == MEMBOX_ST_RANK_DEAD) {
					assert_int_equal(c->result, DOOMED);
					dead[i]++;
				} else if (c->status) {
					assert_int_equal(c->status, MEMBOX_ST_BAD_EPOCH);
					assert_int_equal(c->detail, MEMBOX_AT(coll.epoch));
				}
			}
		}
		assert_false(s[0].wrong || s[1].wrong);
		if (at % 20 == 1)
			assert_int_equal(mbe_fsck(members[0].port.e, NULL, NULL), 0);
	}
	print_message("# %u steps; met by death: %u %u %u\n", at, dead[0], dead[1], dead[2]);
	assert_true(at > 60);
	for (int i = 0; i < 3; i++)
		assert_true(dead[i] > 2); /* each of the three was met by its death */
	port_open(&members[DOOMED].port);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refused_packets_name_their_field, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_parameter_is_checked_on_both_sides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_wants_something_else_is_named_to_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_late_rank_is_named_and_learns_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cancelled_one_ends_for_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_seat_is_not_left_under_a_collective, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_group_that_comes_again_begins_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_asks_for_more_pages_than_there_are_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(killed_at_every_step, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
