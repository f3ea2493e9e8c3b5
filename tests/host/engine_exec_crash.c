// SPDX-License-Identifier: MIT
/*
 * engine_exec_crash.c - a process is killed at every step of every operation that
 * changes a box, in the middle of a stripe, and at every step of the recovery of
 * another: afterwards versions agree, no lock is left, commands whose source is
 * the box happened whole or not at all, and others did exactly the stripes that
 * their outcome record tells.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "engine_box.h"
#include "exec.h"

#define STRIPE_ELEMENTS (BOX_STRIPE / 4)
#define N (2 * STRIPE_ELEMENTS + STRIPE_ELEMENTS / 2) /* i32: over three or four stripes */
#define BYTES (4ULL * N)

static struct port port;
static uint32_t dst, src;
static int32_t *old, *new, *got, *host;

#ifdef __SANITIZE_THREAD__ /* starting a process takes very long */
#define STRIDE 4
#else
#define STRIDE 1
#endif

/* ---- dying ---- */

static unsigned int steps, die_at; /* this process's; 0: never */
static const char *stop_at;	   /* step to stop at, once */

/* The pieces of a stripe are alike: the first two and a few more are steps to die at. */
static bool is_worth_dying(const char *name)
{
	static unsigned int piece; /* of this stripe, from 1 on */

	if (!strcmp(name, "stripe:saved"))
		piece++;
	if (!strcmp(name, "stripe:closed"))
		piece = 0;
	return piece <= 2 || piece % 13 == 0;
}

void mbe_step_default(void *arg, const char *name)
{
	(void)arg;
	if (!is_worth_dying(name))
		return;
	steps++;
	if (die_at && steps == die_at)
		kill(getpid(), SIGKILL);
	if (stop_at && !strcmp(name, stop_at)) {
		stop_at = NULL;
		kill(getpid(), SIGSTOP);
	}
}

/* ---- the operations ---- */

enum kind { WRITE, ACC_HOST, WSUM, ACC_COMMON, COPY, FILL, SCALE, AXPBY, ATOMIC, NOTIFY, KINDS };
static const char *const kind_names[] = { "WRITE", "ACC from host", "WSUM", "ACC from common", "COPY", "FILL",
					  "SCALE", "AXPBY", "ATOMIC", "NOTIFY" };

/* Recovery can repeat it from the box alone. */
static bool is_whole(enum kind k)
{
	return k >= ACC_COMMON;
}

static int32_t old_value(uint64_t i)
{
	return (int32_t)(i * 7 + 3);
}

static int32_t src_value(uint64_t i)
{
	return (int32_t)(i * 13 + 1);
}

static int32_t new_value(enum kind k, uint64_t i)
{
	switch (k) {
	case WRITE:
	case COPY:
		return src_value(i);
	case ACC_HOST:
	case ACC_COMMON:
		return old_value(i) + src_value(i);
	case WSUM:
		return 3 * src_value(i);
	case FILL:
		return 0x01020304;
	case SCALE:
		return 2 * old_value(i);
	case AXPBY:
		return 2 * old_value(i) + src_value(i);
	default:
		return old_value(i) + (k == ATOMIC && !i ? 5 : 0);
	}
}

static struct membox_packet packet_of(enum kind k, uint32_t d, uint32_t s)
{
	struct membox_packet p = op_move(MEMBOX_OP_WRITE, d, 0, N, MEMBOX_I32);

	switch (k) {
	case WRITE:
		break;
	case FILL:
		p.opcode = MEMBOX_OP_FILL;
		p.word.value = 0x01020304;
		break;
	case SCALE:
		p.opcode = MEMBOX_OP_SCALE;
		p.scale.a = 0x4000000000000000ULL;
		break;
	case ATOMIC:
		p = (struct membox_packet){ .opcode = MEMBOX_OP_ATOMIC, .sub = MEMBOX_FETCH_ADD,
					    .dst_type = MEMBOX_I32, .handle = { d } };
		p.word.value = 5;
		break;
	case NOTIFY:
		p = (struct membox_packet){ .opcode = MEMBOX_OP_NOTIFY, .handle = { d } };
		break;
	default:
		p = op_acc(d, 0, N, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
		if (k == ACC_HOST)
			break;
		p.handle[1] = s;
		if (k == COPY || k == AXPBY || k == WSUM)
			p.reduction = 0;
		if (k == COPY) {
			p.opcode = MEMBOX_OP_COPY;
			p.scale.a = 0;
		} else if (k == AXPBY) {
			p.opcode = MEMBOX_OP_AXPBY;
			p.scale.b = 0x4000000000000000ULL;
		} else if (k == WSUM) {
			p.opcode = MEMBOX_OP_WSUM;
			p.handle[1] = 0;
			p.scale.a = 0;
			p.list.nterms = 2;
		}
	}
	return p;
}

static void open_pair(struct port *p, uint32_t *d, uint32_t *s, uint32_t flags)
{
	*d = param_open(p, flags ? "plain" : "journalled", MEMBOX_I32, N, flags);
	*s = param_open(p, "source", MEMBOX_I32, N, 0);
}

/* What the doomed process does, from attach on; its steps count from the command on. */
static void doomed(enum kind k, uint32_t flags, uint64_t user_data, unsigned int at, const struct iovec *v,
		   unsigned int nv)
{
	struct membox_term terms[2];
	struct iovec one;
	struct membox_packet p;
	struct port mine;
	uint32_t d, s;
	struct issue i;

	port_open(&mine);
	open_pair(&mine, &d, &s, flags);
	p = packet_of(k, d, s);
	p.user_data = user_data;
	terms[0] = (struct membox_term){ s, 0, 0, BOX_ONE };
	terms[1] = (struct membox_term){ s, 0, 0, 0x4000000000000000ULL };
	if (!v) {
		one.iov_base = k == WSUM ? (void *)terms : (void *)host;
		one.iov_len = membox_host_bytes(&p);
		v = &one;
		nv = 1;
	}
	steps = 0;
	die_at = at;
	issue_start(&mine, &i, &p, v, nv);
	_exit(i.c.status ? 99 : 0);
}

static void reset_data(uint32_t d, enum kind k)
{
	for (uint64_t i = 0; i < N; i++) {
		old[i] = old_value(i);
		new[i] = new_value(k, i);
		host[i] = src_value(i);
	}
	write_all(&port, d, MEMBOX_I32, N, old);
	write_all(&port, src, MEMBOX_I32, N, host);
}

/* Recovers every dead port; the number of the one whose outcomes tell of the command. */
static const struct membox_fmt_outcome *recover_all(uint64_t user_data)
{
	const struct membox_fmt_outcome *found = NULL;

	for (uint32_t i = 0; i < port.e->geo.ports; i++) {
		const struct membox_fmt_outcome *o = mbe_area_of(port.e, MEMBOX_AREA_OUTCOMES, i);

		assert_true(mbe_recover_port(port.e, i));
		for (uint32_t j = 0; j < port.e->geo.outcomes; j++) {
			if (!o[j].word || o[j].user_data != user_data)
				continue;
			assert_null(found); /* told once */
			found = &o[j];
		}
	}
	return found;
}

static void expect_idle(void)
{
	for (uint32_t i = 0; i < port.e->geo.stripes; i++)
		assert_int_equal(port.e->stripes[i].lock, 0);
	for (uint32_t i = 0; i < port.e->geo.ports; i++) {
		uint8_t *u = mbe_area_of(port.e, MEMBOX_AREA_UNDO, i);

		for (uint32_t j = 0; j < port.e->geo.undos; j++)
			assert_int_equal(((struct membox_fmt_undo *)(void *)(u + j * port.e->geo.undo_bytes))->word &
					 MEMBOX_UNDO_STATE, MEMBOX_UNDO_IDLE);
	}
}

/* After recovery: the data is what the outcome says. */
static void check_case(enum kind k, uint32_t d, uint64_t user_data, const char *what)
{
	const struct membox_fmt_outcome *o = recover_all(user_data);
	struct membox_param_stat st = param_stat(&port, d);
	uint64_t cut;

	assert_int_equal(st.begun, st.finished);
	expect_idle();
	read_all(&port, d, MEMBOX_I32, N, got);
	if (!o) /* it died before it said anything, or after all was done */
		cut = memcmp(got, old, BYTES) ? BYTES : 0;
	else if (o->outcome == MEMBOX_OUTCOME_TORN)
		cut = o->torn_at;
	else
		cut = o->outcome == MEMBOX_OUTCOME_DONE ? BYTES : 0;
	if (o && o->outcome == MEMBOX_OUTCOME_TORN && (is_whole(k) || !o->torn_at || o->torn_at >= BYTES))
		fail_msg("%s: torn at %llu", what, (unsigned long long)o->torn_at);
	if (memcmp(got, new, cut) || memcmp((char *)got + cut, (char *)old + cut, BYTES - cut))
		fail_msg("%s: outcome %d, data is not cut at %llu", what, o ? (int)o->outcome : -1,
			 (unsigned long long)cut);
	assert_int_equal(st.torn, o && o->outcome == MEMBOX_OUTCOME_TORN);
	/* writing all of it mends it */
	write_all(&port, d, MEMBOX_I32, N, old);
	assert_int_equal(param_stat(&port, d).torn, 0);
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static uint64_t next_user_data = 1;

static pid_t start_doomed(enum kind k, uint32_t flags, unsigned int at)
{
	pid_t pid;

	reset_data(flags ? param_open(&port, "plain", MEMBOX_I32, N, flags) : dst, k);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		doomed(k, flags, next_user_data, at, NULL, 0);
	return pid;
}

/* ---- tests ---- */

static int set_up(void **state)
{
	(void)state;
	box_create(64 << 20);
	port_open(&port);
	open_pair(&port, &dst, &src, 0);
	old = malloc(BYTES);
	new = malloc(BYTES);
	got = malloc(BYTES);
	host = malloc(BYTES);
	assert_true(old && new && got && host);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_close(&port);
	box_remove();
	free(old);
	free(new);
	free(got);
	free(host);
	return 0;
}

static void killed_at_every_step(void **state)
{
	(void)state;
	for (enum kind k = 0; k < KINDS; k++) {
		unsigned int at = k % STRIDE;
		int status;

		do {
			char what[80];

			at += at ? STRIDE : 1;
			snprintf(what, sizeof(what), "%s killed at step %u", kind_names[k], at);
			status = wait_for(start_doomed(k, 0, at));
			assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
			check_case(k, dst, next_user_data++, what);
		} while (WIFSIGNALED(status));
		assert_true(at > 6); /* the steps are there */
	}
}

static void killed_at_every_step_without_a_journal(void **state)
{
	uint32_t plain = param_open(&port, "plain", MEMBOX_I32, N, MEMBOX_PARAM_NOJOURNAL);
	enum kind kinds[] = { WRITE, ACC_COMMON };

	(void)state;
	for (unsigned int j = 0; j < 2; j++) {
		unsigned int at = 1;
		bool seen_torn = false;
		int status;

		do {
			const struct membox_fmt_outcome *o;
			struct membox_param_stat st;

			status = wait_for(start_doomed(kinds[j], MEMBOX_PARAM_NOJOURNAL, at));
			at += STRIDE;
			o = recover_all(next_user_data++);
			st = param_stat(&port, plain);
			assert_int_equal(st.begun, st.finished);
			expect_idle();
			if (o && o->outcome == MEMBOX_OUTCOME_TORN) {
				struct membox_packet p = op_move(MEMBOX_OP_SNAPSHOT, plain, 0, N, MEMBOX_I32);

				assert_int_equal(st.torn, 1);
				assert_int_equal(run(&port, &p, got).status, MEMBOX_ST_TORN);
				seen_torn = true;
			} else {
				assert_int_equal(st.torn, 0);
			}
		} while (WIFSIGNALED(status));
		assert_true(seen_torn);
	}
}

/* The host's memory ends in the middle of a stripe: the copy itself dies there. */
static void killed_in_the_middle_of_a_stripe(void **state)
{
	(void)state;
	for (unsigned int stripe = 0; stripe < 3; stripe++) {
		for (enum kind k = WRITE; k <= ACC_HOST; k++) {
			pid_t pid;
			int status;

			reset_data(dst, k);
			pid = fork();
			if (!pid) {
				uint8_t *end = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				uint64_t good = stripe * BOX_STRIPE + BOX_STRIPE / 4;
				struct iovec v[2] = { { host, good }, { end, BYTES - good } };

				signal(SIGSEGV, SIG_DFL);
				doomed(k, 0, next_user_data, 0, v, 2);
			}
			status = wait_for(pid);
			assert_false(WIFEXITED(status) && !WEXITSTATUS(status));
			check_case(k, dst, next_user_data++, "killed inside a stripe");
		}
	}
}

/* The destination cannot be written behind a place inside a stripe. */
static void killed_in_the_middle_of_a_stripe_of_common_memory(void **state)
{
	enum kind kinds[] = { ACC_COMMON, COPY, FILL, SCALE, AXPBY, WSUM };

	(void)state;
	for (unsigned int j = 0; j < 6 * 3; j++) {
		pid_t pid;
		int status;

		reset_data(dst, kinds[j / 3]);
		pid = fork();
		if (!pid) {
			struct membox_param_args a;
			struct membox_term terms[2];
			struct membox_packet p;
			struct issue i;
			struct iovec v = { terms, sizeof(terms) };
			uint64_t wall;
			uint32_t s;

			signal(SIGSEGV, SIG_DFL);
			port_open(&port);
			a = param_open_args(&port, "journalled", MEMBOX_I32, N, 0);
			s = param_open(&port, "source", MEMBOX_I32, N, 0);
			wall = (a.address / BOX_STRIPE + j % 3) * BOX_STRIPE + BOX_STRIPE / 2;
			while (wall < a.address)
				wall += BOX_STRIPE;
			mprotect(port.e->map + wall, 8192, PROT_READ);
			terms[0] = (struct membox_term){ s, 0, 0, BOX_ONE };
			terms[1] = (struct membox_term){ s, 0, 0, 0x4000000000000000ULL };
			p = packet_of(kinds[j / 3], a.handle, s);
			p.user_data = next_user_data;
			issue_start(&port, &i, &p, &v, 1);
			_exit(0);
		}
		status = wait_for(pid);
		assert_false(WIFEXITED(status) && !WEXITSTATUS(status));
		check_case(kinds[j / 3], dst, next_user_data++, kind_names[kinds[j / 3]]);
	}
}

/* Another process recovers the dead one, and is killed at each step of that. */
static void killed_while_recovering(void **state)
{
	enum kind kinds[] = { WRITE, ACC_COMMON };

	(void)state;
	for (unsigned int j = 0; j < 2; j++) {
		for (unsigned int at = 1;; at += STRIDE) {
			int status;
			pid_t pid;

			/* in its second stripe, which is open and changed: some 10 steps on */
			wait_for(start_doomed(kinds[j], 0, 10));
			pid = fork();
			if (!pid) {
				steps = 0;
				die_at = at;
				port_open(&port); /* attaching looks for the dead */
				_exit(0);
			}
			status = wait_for(pid);
			check_case(kinds[j], dst, next_user_data++, "killed while recovering");
			if (!WIFSIGNALED(status))
				break;
		}
	}
}

/* ---- others wait for the dead, and for the stopped ---- */

static void *read_in_thread(void *arg)
{
	struct issue *i = arg;
	struct membox_packet p = op_move(MEMBOX_OP_READ, dst, 0, N, MEMBOX_I32);
	static struct iovec v;

	v = (struct iovec){ got, BYTES };
	issue_start(&port, i, &p, &v, 1);
	return NULL;
}

static void who_waits_for_a_stripe_goes_on_when_its_holder_dies(void **state)
{
	pthread_t thread;
	struct issue i;
	int status;
	pid_t pid;

	(void)state;
	reset_data(dst, WRITE);
	pid = fork();
	if (!pid) {
		stop_at = "stripe:changed";
		doomed(WRITE, 0, next_user_data, 0, NULL, 0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	pthread_create(&thread, NULL, read_in_thread, &i);
	usleep(50000);
	kill(pid, SIGKILL);
	wait_for(pid);
	pthread_join(thread, NULL);
	assert_int_equal(i.c.status, MEMBOX_ST_OK);
	assert_memory_equal(got, old, BYTES);
	check_case(WRITE, dst, next_user_data++, "waited for");
}

static void a_stopped_holder_is_told_of(void **state)
{
	uint64_t patience = port.e->exec->patience_ns;
	struct membox_packet p = op_move(MEMBOX_OP_READ, dst, 0, N, MEMBOX_I32);
	struct membox_completion c;
	int status;
	pid_t pid;

	(void)state;
	reset_data(dst, WRITE);
	pid = fork();
	if (!pid) {
		stop_at = "stripe:changed";
		doomed(WRITE, 0, next_user_data, 0, NULL, 0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	port.e->exec->patience_ns = 100000000;
	c = run(&port, &p, got);
	port.e->exec->patience_ns = patience;
	assert_int_equal(c.status, MEMBOX_ST_OWNER_STALLED);
	kill(pid, SIGCONT); /* it goes on as if nothing had been */
	assert_int_equal(wait_for(pid), 0);
	run_ok(&port, &p, got);
	assert_memory_equal(got, new, BYTES);
	check_case(WRITE, dst, next_user_data++, "stopped");
}

static bool match_any(const struct mbe_cmd *cmd, void *arg)
{
	(void)cmd;
	(void)arg;
	return true;
}

static void waiting_for_a_stopped_holder_can_be_aborted(void **state)
{
	pthread_t thread;
	struct issue i;
	int status;
	pid_t pid;

	(void)state;
	reset_data(dst, WRITE);
	pid = fork();
	if (!pid) {
		stop_at = "stripe:changed";
		doomed(WRITE, 0, next_user_data, 0, NULL, 0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	pthread_create(&thread, NULL, read_in_thread, &i);
	while (!mbe_abort(port.e, &port.q, match_any, NULL, MEMBOX_ST_RESET))
		usleep(1000);
	pthread_join(thread, NULL);
	assert_int_equal(i.c.status, MEMBOX_ST_RESET);
	kill(pid, SIGKILL);
	wait_for(pid);
	check_case(WRITE, dst, next_user_data++, "aborted waiting");
}

static void a_wait_ends_when_the_dead_writer_is_settled(void **state)
{
	uint64_t v = param_stat(&port, dst).finished + 2; /* reset_data writes once */
	struct membox_packet p = { .opcode = MEMBOX_OP_WAIT, .sub = MEMBOX_GE, .handle = { dst } };
	struct issue i;

	(void)state;
	p.word.value = v;
	issue_start(&port, &i, &p, NULL, 0);
	wait_for(start_doomed(WRITE, 0, 10));
	assert_int_equal(issue_finish(&port, &i).status, MEMBOX_ST_OK); /* mbe_progress recovers */
	check_case(WRITE, dst, next_user_data++, "waited for its end");
}

/* Killed at random moments while others add: whole additions only, all of the living's. */
static void random_kills_among_additions(void **state)
{
	struct membox_packet acc = op_acc(dst, 0, N, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
	uint64_t added = 0;

	(void)state;
	fill_all(&port, dst, MEMBOX_I32, N, 0);
	fill_all(&port, src, MEMBOX_I32, N, 1);
	acc.handle[1] = src;
	for (unsigned int round = 0; round < 25 / STRIDE; round++) {
		pid_t pid = fork();

		if (!pid) {
			struct membox_packet p;
			uint32_t d, s;

			port_open(&port);
			open_pair(&port, &d, &s, 0);
			p = op_acc(d, 0, N, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
			p.handle[1] = s;
			for (;;)
				run_ok(&port, &p, NULL);
		}
		for (unsigned int k = 0; k < 3; k++, added++)
			run_ok(&port, &acc, NULL);
		usleep(3000 + round * 777 % 5000);
		kill(pid, SIGKILL);
		wait_for(pid);
		for (unsigned int k = 0; k < 2; k++, added++)
			run_ok(&port, &acc, NULL);
		recover_all(~0ULL);
		expect_idle();
		read_all(&port, dst, MEMBOX_I32, N, got);
		for (uint64_t i = 1; i < N; i++)
			if (got[i] != got[0])
				fail_msg("round %u: element %llu is %d, the first %d", round, (unsigned long long)i,
					 got[i], got[0]);
		assert_true((uint64_t)got[0] >= added);
	}
	assert_int_equal(param_stat(&port, dst).begun, param_stat(&port, dst).finished);
}

/* Two writers of one port, at the same count of their records, with no user data. */
static void each_writer_of_a_dead_port_has_its_outcome(void **state)
{
	enum { SEQUENCE = 77777777 }; /* no other test comes so far */
	const struct membox_fmt_outcome *o;
	unsigned int told = 0;
	uint32_t dead = 0;
	int status;
	pid_t pid;

	(void)state;
	for (uint32_t i = 0; i < port.e->geo.ports; i++)
		if (mbe_port_state(port.e, i) == MEMBOX_PORT_FREE && !dead)
			dead = i;
	o = mbe_area_of(port.e, MEMBOX_AREA_OUTCOMES, dead);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct membox_packet p;
		struct mbe_cmd cmd[2] = { 0 };
		struct mbe_run run[2];
		uint32_t d, s;
		struct port mine;

		port_open(&mine);
		open_pair(&mine, &d, &s, 0);
		p = packet_of(WRITE, d, s);
		p.context = BOX_CONTEXT;
		for (unsigned int i = 0; i < 2; i++) {
			struct membox_fmt_undo *u = (void *)(mine.e->undos + i * mine.e->geo.undo_bytes);

			u->word = (SEQUENCE - 1ULL) << MEMBOX_UNDO_SEQ_SHIFT;
			cmd[i].p = p;
			mbe_run_open(&run[i], mine.e, &cmd[i]);
			if (mbe_check_command(&run[i], false))
				_exit(1);
			run[i].dst = run[i].op[0].data;
			run[i].bytes = run[i].op[0].bytes;
			mbe_write_begin(&run[i]);
		}
		if (mbe_port(mine.e) != dead || run[0].undo == run[1].undo)
			_exit(2);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(mbe_recover_port(port.e, dead));
	for (uint32_t i = 0; i < port.e->geo.outcomes; i++)
		told += o[i].word && (uint32_t)o[i].command == SEQUENCE;
	assert_int_equal(told, 2);
	expect_idle();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_every_step),
		cmocka_unit_test(killed_at_every_step_without_a_journal),
		cmocka_unit_test(killed_in_the_middle_of_a_stripe),
		cmocka_unit_test(killed_in_the_middle_of_a_stripe_of_common_memory),
		cmocka_unit_test(killed_while_recovering),
		cmocka_unit_test(who_waits_for_a_stripe_goes_on_when_its_holder_dies),
		cmocka_unit_test(a_stopped_holder_is_told_of),
		cmocka_unit_test(waiting_for_a_stopped_holder_can_be_aborted),
		cmocka_unit_test(a_wait_ends_when_the_dead_writer_is_settled),
		cmocka_unit_test(each_writer_of_a_dead_port_has_its_outcome),
		cmocka_unit_test(random_kills_among_additions),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
