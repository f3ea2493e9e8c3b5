// SPDX-License-Identifier: MIT
/*
 * crash_coll.c - ranks of a group are killed among collectives, at every step of the
 * engine and at random instants; others take their seats and all go on. Of each
 * collective all ranks are told the same, also those that died later: done, and then
 * its result is right, or not done. KILLS sets how many are killed.
 */
#include "crash.h"
#include "engine_coll.h"
#include "tables.h"

#define RANKS 4
#define DOOMED 2 /* this rank, and those above it */
#define KILLS 500
#define KILLS_A_BOX 50
#define EPOCHS 1024
#define SEQS 4096
#define SMALL 16
#define LONG 50000 /* i32: several chunks */

/* What ranks were told of each collective, by epoch and sequence; read after all are dead. */
#define TOLD_DONE 1
#define TOLD_FAILED 2
static uint8_t (*told)[SEQS];
static int32_t *in, *out;

static int32_t input(int rank, uint32_t epoch, uint32_t seq, uint64_t i)
{
	return (int32_t)(i % 1000 * (uint64_t)(rank + 1) + 7 * seq + epoch);
}

/* All ranks choose the same, from what they have in common. */
static struct coll choose(uint32_t epoch, uint32_t seq)
{
	uint64_t s = ((uint64_t)epoch << 32 | seq) * 0x9e3779b97f4a7c15ULL + 1;
	struct coll k = { .src = MEMBOX_I32, .dst = MEMBOX_I32, .red = MEMBOX_SUM };

	crash_random(&s);
	k.opcode = (uint8_t)(MEMBOX_OP_ALLREDUCE + crash_below(&s, 6));
	k.root = (uint32_t)crash_below(&s, RANKS);
	k.count = crash_below(&s, 3) ? SMALL : LONG;
	return k;
}

static bool to_parameter(const struct coll *k, uint32_t seq)
{
	return k->opcode == MEMBOX_OP_ALLREDUCE && seq % 2;
}

static int32_t wanted(const struct member *m, const struct coll *k, uint32_t seq, uint64_t i)
{
	int32_t sum = 0;

	switch (k->opcode) {
	case MEMBOX_OP_BROADCAST:
		return input((int)k->root, m->epoch, seq, i);
	case MEMBOX_OP_ALLGATHER:
		return input((int)(i / k->count), m->epoch, seq, i % k->count);
	case MEMBOX_OP_REDUCE_SCATTER:
		i += (uint64_t)m->rank * k->count;
		break;
	default:
		break;
	}
	for (int r = 0; r < RANKS; r++)
		sum = (int32_t)((uint32_t)sum + (uint32_t)input(r, m->epoch, seq, i));
	return sum;
}

static void check_result(struct member *m, const struct coll *k, uint32_t seq, uint32_t param)
{
	if (!coll_receives(k, m->rank))
		return;
	if (to_parameter(k, seq)) {
		struct membox_packet p = op_move(MEMBOX_OP_READ, param, 0, k->count, MEMBOX_I32);

		must(!crash_run(&m->port, &p, out).status);
	}
	for (uint64_t i = 0; i < coll_out(k, RANKS); i++)
		must(out[i] == wanted(m, k, seq, i));
}

/* One collective: was it done? */
static bool take_part(struct member *m, uint32_t param)
{
	uint32_t seq = m->seq++;
	struct coll k = choose(m->epoch, seq);
	struct membox_packet p;
	struct membox_completion c;
	struct coll_issue x;

	must(m->epoch < EPOCHS && seq < SEQS);
	for (uint64_t i = 0; i < coll_in(&k, RANKS); i++)
		in[i] = input(m->rank, m->epoch, seq, i);
	m->seq--;
	p = coll_packet(m, &k, in, out);
	m->seq++;
	if (to_parameter(&k, seq)) {
		p.coll.recv.addr = 0;
		p.handle[1] = param;
	}
	coll_start(m, &x, &p);
	c = coll_wait(m, &x);
	must(!c.status || c.status == MEMBOX_ST_RANK_DEAD || c.status == MEMBOX_ST_BAD_EPOCH);
	__atomic_fetch_or(&told[m->epoch][seq], c.status ? TOLD_FAILED : TOLD_DONE, __ATOMIC_SEQ_CST);
	if (!c.status)
		check_result(m, &k, seq, param);
	return !c.status;
}

static struct membox_group_args info_of(struct member *m)
{
	struct membox_group_args a = { .group = m->group };

	must(!port_admin(&m->port, BOX_CONTEXT, MEMBOX_ADM_GROUP_INFO, &a, sizeof(a)));
	return a;
}

/* A rank's life: collectives until one fails, then again when all seats are taken. */
static void live(int rank)
{
	struct member m;
	char name[16];
	uint32_t param;
	uint16_t status;

	crash_actor = true;
	alarm(CRASH_PATIENCE_S);
	port_open(&m.port);
	snprintf(name, sizeof(name), "out%d", rank);
	param = param_open(&m.port, name, MEMBOX_I32, LONG, 0);
	do { /* its predecessor may still sit there */
		status = member_join(&m, rank, RANKS);
		must(!status || status == MEMBOX_ST_BAD_RANK);
		if (status)
			mbe_progress(m.port.e);
	} while (status);
	for (;;) {
		struct membox_group_args a = info_of(&m);

		while (a.joined < RANKS) {
			uint32_t seen = mbe_wake_seen(m.port.e);
			uint64_t until = mbe_progress(m.port.e), soon = mbe_deadline(m.port.e, 1000000);

			a = info_of(&m);
			if (a.joined < RANKS)
				mbe_sleep(m.port.e, seen, until < soon ? until : soon);
		}
		m.epoch = a.epoch;
		m.seq = 0;
		while (take_part(&m, param))
			;
	}
}

/* ---- the parent ---- */

struct rank {
	pid_t pid;
	uint64_t until;
};

static void start(struct rank *r, int rank, uint64_t *s)
{
	const char *at = rank >= DOOMED && crash_below(s, 3) ? crash_choose(s) : NULL;
	unsigned int nth = at ? crash_when(at, s) : 0;

	/* long enough for the group to be full and to do something */
	r->until = crash_now_us() + CRASH_SLOWNESS * (at ? 60000 : 8000 + crash_below(s, 25000));
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (!r->pid) {
		crash_at = at;
		crash_nth = nth;
		live(rank);
	}
}

static void end(struct rank *r)
{
	int status;

	kill(r->pid, SIGKILL);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("a rank ended by itself: %#x", (unsigned int)status);
}

static bool has_died(struct rank *r)
{
	siginfo_t info = { 0 };

	assert_int_equal(waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid == r->pid;
}

static unsigned int done_total, failed_total;

static void check_told(void)
{
	for (unsigned int e = 0; e < EPOCHS; e++)
		for (unsigned int q = 0; q < SEQS; q++) {
			done_total += told[e][q] == TOLD_DONE;
			failed_total += told[e][q] == TOLD_FAILED;
			if (told[e][q] == (TOLD_DONE | TOLD_FAILED))
				fail_msg("epoch %u, sequence %u: done for some and not for others", e, q);
		}
}

static unsigned int one_box(unsigned int kills, uint64_t *s)
{
	struct rank r[RANKS];
	struct port port;
	unsigned int dead = 0;

	box_create_as((struct mbe_format_opts){ .bytes = 32 << 20, .ports = RANKS + 3, .params = 16, .groups = 4 });
	port_open(&port);
	told = crash_shared(EPOCHS * sizeof(*told));
	for (int i = 0; i < RANKS; i++)
		start(&r[i], i, s);
	while (dead < kills) {
		usleep(500);
		assert_false(has_died(&r[0]) || has_died(&r[1]));
		for (int i = DOOMED; i < RANKS; i++) {
			if (crash_now_us() < r[i].until && !has_died(&r[i]))
				continue;
			end(&r[i]);
			dead++;
			if (crash_below(s, 4)) /* else whoever waits finds out by itself */
				mbe_poll_ports(port.e, 0);
			start(&r[i], i, s);
		}
	}
	for (int i = 0; i < RANKS; i++)
		end(&r[i]);
	mbe_poll_ports(port.e, 0);
	check_told();
	for (uint32_t i = 0; i < port.e->geo.groups; i++)
		assert_int_equal(port.e->groups[i].word & 0xff, 0);
	for (uint32_t i = 0; i < port.e->geo.stripes; i++)
		assert_int_equal(port.e->stripes[i].lock, 0);
	assert_int_equal(mbe_fsck(port.e, crash_say, NULL), 0);
	munmap(told, EPOCHS * sizeof(*told));
	port_close(&port);
	box_remove();
	return dead;
}

static void all_are_told_the_same_of_each_collective(void **state)
{
	unsigned int kills = crash_kills(KILLS), dead = 0;
	uint64_t s = 4711;

	(void)state;
	crash_table = crash_shared(sizeof(*crash_table));
	in = malloc(4 * RANKS * LONG);
	out = malloc(4 * RANKS * LONG);
	assert_true(in && out);
	while (dead < kills)
		dead += one_box(kills - dead < KILLS_A_BOX ? kills - dead : KILLS_A_BOX, &s);
	print_message("# %u killed; collectives: %u done, %u not\n", dead, done_total, failed_total);
	crash_report();
	/* how many of either a machine has time for is its own business */
	assert_true(done_total > 0);
	assert_true(failed_total > 0);
	free(in);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_told_the_same_of_each_collective),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("crash_coll", tests, NULL, NULL);
}
