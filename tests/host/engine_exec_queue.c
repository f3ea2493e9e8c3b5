// SPDX-License-Identifier: MIT
/*
 * engine_exec_queue.c - order and time: fences, parked waits and what ends them,
 * cancelling, delayed completions, failing memory, atomics.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "engine_box.h"

#define MS 1000000ULL

static struct port port, other;
static uint32_t word, their_word, array;

static int set_up(void **state)
{
	(void)state;
	box_create(64 << 20);
	port_open(&port);
	port_open(&other);
	word = param_open(&port, "word", MEMBOX_I64, 16, 0);
	their_word = param_open(&other, "word", MEMBOX_I64, 16, 0);
	array = param_open(&port, "array", MEMBOX_I32, 1 << 20, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_close(&port);
	port_close(&other);
	box_remove();
	return 0;
}

/* WAIT for word[index] to compare with value. */
static struct membox_packet op_wait(uint64_t index, uint8_t cmp, int64_t value, uint32_t timeout_us)
{
	struct membox_packet p = { .opcode = MEMBOX_OP_WAIT, .sub = cmp, .dst_type = MEMBOX_I64,
				   .timeout_us = timeout_us, .handle = { word } };

	p.offset[0] = index;
	p.word.value = (uint64_t)value;
	return p;
}

static struct membox_packet op_atomic(uint32_t handle, uint64_t index, uint8_t sub, int64_t value, int64_t compare)
{
	struct membox_packet p = { .opcode = MEMBOX_OP_ATOMIC, .sub = sub, .dst_type = MEMBOX_I64,
				   .handle = { handle } };

	p.offset[0] = index;
	p.word.value = (uint64_t)value;
	p.word.compare = (uint64_t)compare;
	return p;
}

static void set_word(struct port *p, uint32_t handle, uint64_t index, int64_t value)
{
	struct membox_packet k = op_atomic(handle, index, MEMBOX_SWAP, value, 0);

	run_ok(p, &k, NULL);
}

/* ---- atomics ---- */

static void atomics_return_the_old_value(void **state)
{
	struct membox_packet k;

	(void)state;
	set_word(&port, word, 1, 40);
	k = op_atomic(word, 1, MEMBOX_FETCH_ADD, 2, 0);
	assert_int_equal(run_ok(&port, &k, NULL).result, 40);
	k = op_atomic(word, 1, MEMBOX_COMPARE_SWAP, -5, 41);
	assert_int_equal(run_ok(&port, &k, NULL).result, 42); /* not what was expected: stays */
	k = op_atomic(word, 1, MEMBOX_COMPARE_SWAP, -5, 42);
	assert_int_equal(run_ok(&port, &k, NULL).result, 42);
	k = op_atomic(word, 1, MEMBOX_SWAP, INT64_MAX, 0);
	assert_int_equal((int64_t)run_ok(&port, &k, NULL).result, -5);
	k = op_atomic(word, 1, MEMBOX_FETCH_ADD, 1, 0); /* wraps */
	run_ok(&port, &k, NULL);
	k = op_atomic(word, 1, MEMBOX_FETCH_ADD, 0, 0);
	assert_true((int64_t)run_ok(&port, &k, NULL).result == INT64_MIN);
}

static void atomics_on_i32_are_sign_extended(void **state)
{
	struct membox_packet k = op_atomic(array, 3, MEMBOX_SWAP, -7, 0);

	(void)state;
	k.dst_type = MEMBOX_I32;
	run_ok(&port, &k, NULL);
	k.sub = MEMBOX_COMPARE_SWAP;
	k.word.value = (uint64_t)(int64_t)INT32_MIN;
	k.word.compare = (uint64_t)(int64_t)-7;
	assert_int_equal((int64_t)run_ok(&port, &k, NULL).result, -7);
	k.sub = MEMBOX_FETCH_ADD;
	k.word.value = (uint64_t)(int64_t)-1;
	k.word.compare = 0;
	assert_int_equal((int64_t)run_ok(&port, &k, NULL).result, INT32_MIN);
	assert_int_equal((int64_t)run_ok(&port, &k, NULL).result, INT32_MAX);
}

/* ---- fences ---- */

static void a_fence_waits_for_what_is_before_it(void **state)
{
	struct membox_packet wait = op_wait(2, MEMBOX_EQ, 1, 5000000), fence = { .opcode = MEMBOX_OP_FENCE };
	struct membox_packet fenced = op_atomic(word, 3, MEMBOX_FETCH_ADD, 1, 0), free = fenced;
	struct issue w, f, a, b, c;

	(void)state;
	set_word(&port, word, 2, 0);
	set_word(&port, word, 3, 0);
	fenced.flags = MEMBOX_F_FENCE;
	issue_start(&port, &w, &wait, NULL, 0);
	issue_start(&port, &f, &fence, NULL, 0);
	issue_start(&port, &a, &fenced, NULL, 0);
	issue_start(&port, &b, &free, NULL, 0);
	issue_start(&port, &c, &fenced, NULL, 0);
	assert_true(issue_is_done(&b)); /* no fence of its own: overtakes */
	assert_false(issue_is_done(&w) || issue_is_done(&f) || issue_is_done(&a) || issue_is_done(&c));
	assert_int_equal(mbe_queue_inflight(&port.q), 4);
	set_word(&other, their_word, 2, 1);
	assert_int_equal(issue_finish(&port, &c).result, 2); /* a and b were before it */
	assert_int_equal(issue_finish(&port, &a).result, 1);
	assert_true(issue_is_done(&f));
	assert_int_equal(issue_finish(&port, &w).status, MEMBOX_ST_OK);
	assert_int_equal(mbe_queue_inflight(&port.q), 0);
	assert_true(a.c.start >= w.c.end && c.c.start >= a.c.end);
}

static void fences_hold_in_random_mixtures(void **state)
{
	enum { N = 40 };
	struct issue i[N];
	bool fenced[N];
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 60; round++) {
		for (int k = 0; k < 4; k++)
			set_word(&port, word, 4 + k, 0);
		for (int k = 0; k < N; k++) {
			struct membox_packet p;

			seed = seed * 1103515245 + 12345;
			p = seed >> 16 & 1 ? op_wait(4 + (seed >> 20) % 4, MEMBOX_EQ, 1, 8000000) :
					     op_atomic(word, 9, MEMBOX_FETCH_ADD, 1, 0);
			fenced[k] = seed >> 17 & 1;
			p.flags = fenced[k] ? MEMBOX_F_FENCE : 0;
			issue_start(&port, &i[k], &p, NULL, 0);
		}
		for (int k = 3; k >= 0; k--) {
			set_word(&other, their_word, 4 + k, 1);
			mbe_progress(port.e);
		}
		for (int k = 0; k < N; k++)
			assert_int_equal(issue_finish(&port, &i[k]).status, MEMBOX_ST_OK);
		for (int k = 0; k < N; k++)
			for (int j = 0; j < k && fenced[k]; j++)
				assert_true(i[k].c.start >= i[j].c.end);
	}
}

static bool match_user_data(const struct mbe_cmd *cmd, void *arg)
{
	return cmd->p.user_data == *(uint64_t *)arg;
}

static void aborting_what_a_fence_holds_frees_the_rest_in_order(void **state)
{
	struct membox_packet wait = op_wait(2, MEMBOX_EQ, 1, 5000000);
	struct membox_packet fenced = op_atomic(word, 3, MEMBOX_FETCH_ADD, 1, 0);
	struct issue w, held[3];
	uint64_t which = 101;

	(void)state;
	set_word(&port, word, 2, 0);
	set_word(&port, word, 3, 0);
	fenced.flags = MEMBOX_F_FENCE;
	issue_start(&port, &w, &wait, NULL, 0);
	for (unsigned int k = 0; k < 3; k++) {
		fenced.user_data = 100 + k;
		issue_start(&port, &held[k], &fenced, NULL, 0);
	}
	assert_int_equal(mbe_abort(port.e, &port.q, match_user_data, &which, MEMBOX_ST_RESET), 1);
	assert_true(issue_is_done(&held[1]));
	assert_int_equal(held[1].c.status, MEMBOX_ST_RESET);
	which = 100;
	assert_int_equal(mbe_abort(port.e, NULL, match_user_data, &which, MEMBOX_ST_ABORTED), 1);
	assert_int_equal(held[0].c.status, MEMBOX_ST_ABORTED);
	assert_false(issue_is_done(&held[2]));
	set_word(&other, their_word, 2, 1);
	assert_int_equal(issue_finish(&port, &held[2]).result, 0); /* the others never ran */
	assert_int_equal(issue_finish(&port, &w).status, MEMBOX_ST_OK);
}

/* ---- waiting ---- */

static void a_wait_that_is_true_does_not_park(void **state)
{
	static const struct {
		uint8_t cmp;
		int64_t value;
		bool ends;
	} cases[] = {
		{ MEMBOX_EQ, -3, true }, { MEMBOX_EQ, 3, false }, { MEMBOX_NE, 3, true },  { MEMBOX_NE, -3, false },
		{ MEMBOX_LT, 0, true },	 { MEMBOX_LT, -3, false }, { MEMBOX_LE, -3, true }, { MEMBOX_LE, -4, false },
		{ MEMBOX_GT, -4, true }, { MEMBOX_GT, -3, false }, { MEMBOX_GE, -3, true }, { MEMBOX_GE, -2, false },
	};

	(void)state;
	set_word(&port, word, 5, -3);
	for (unsigned int k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct membox_packet p = op_wait(5, cases[k].cmp, cases[k].value, 1000);
		struct membox_completion c = run(&port, &p, NULL);

		assert_int_equal(c.status, cases[k].ends ? MEMBOX_ST_OK : MEMBOX_ST_TIMED_OUT);
		assert_int_equal((int64_t)c.result, -3); /* what was seen */
	}
}

static void a_mask_is_applied_before_comparing(void **state)
{
	struct membox_packet p = op_wait(5, MEMBOX_EQ, 0x20, 1000);

	(void)state;
	set_word(&port, word, 5, 0x1234567890abcd25);
	p.word.compare = 0xf0;
	assert_int_equal(run(&port, &p, NULL).status, MEMBOX_ST_OK);
	p.word.compare = 0x0f;
	assert_int_equal(run(&port, &p, NULL).status, MEMBOX_ST_TIMED_OUT);
}

static void a_wait_times_out_in_its_time(void **state)
{
	struct membox_packet p = op_wait(5, MEMBOX_EQ, -1, 30000);
	uint64_t before = mbe_clock(port.e);
	struct membox_completion c;

	(void)state;
	set_word(&port, word, 5, 8);
	c = run(&port, &p, NULL);
	assert_int_equal(c.status, MEMBOX_ST_TIMED_OUT);
	assert_int_equal(c.result, 8);
	assert_true(mbe_clock(port.e) - before >= 30 * MS);
}

static void a_wait_without_a_time_out_still_has_one(void **state)
{
	struct membox_packet p = op_wait(5, MEMBOX_EQ, -1, 0);
	uint64_t now = mbe_clock(port.e), until;
	struct issue i;

	(void)state;
	p.user_data = 55;
	issue_start(&port, &i, &p, NULL, 0);
	until = i.cmd.deadline;
	assert_true(until >= now + MEMBOX_DEFAULT_TIMEOUT_US * 1000ULL && until < now + 2 * MEMBOX_DEFAULT_TIMEOUT_US * 1000ULL);
	assert_true(mbe_progress(port.e) <= until);
	p = (struct membox_packet){ .opcode = MEMBOX_OP_CANCEL };
	p.word.value = 55;
	assert_int_equal(run(&port, &p, NULL).result, 1);
	assert_int_equal(issue_finish(&port, &i).status, MEMBOX_ST_ABORTED);
}

struct waiter {
	pthread_t thread;
	uint64_t index;
	int64_t rounds;
};

/* Answers each odd value with the next even one. */
static void *answer(void *arg)
{
	struct waiter *w = arg;
	struct port p;
	uint32_t h;

	port_open(&p);
	h = param_open(&p, "word", MEMBOX_I64, 16, 0);
	for (int64_t k = 1; k < w->rounds; k += 2) {
		struct membox_packet wait = op_wait(w->index, MEMBOX_GE, k, 0);

		wait.handle[0] = h;
		if (run(&p, &wait, NULL).status)
			abort();
		set_word(&p, h, w->index, k + 1);
	}
	port_close(&p);
	return NULL;
}

static void ports_wake_each_other(void **state)
{
	struct waiter w = { .index = 7, .rounds = 2000 };

	(void)state;
	set_word(&port, word, 7, 0);
	pthread_create(&w.thread, NULL, answer, &w);
	for (int64_t k = 1; k < w.rounds; k += 2) {
		struct membox_packet wait = op_wait(7, MEMBOX_GE, k + 1, 0);

		set_word(&port, word, 7, k);
		assert_int_equal(run(&port, &wait, NULL).status, MEMBOX_ST_OK);
	}
	pthread_join(w.thread, NULL);
}

static void a_wait_for_the_version_ends_with_the_next_writer(void **state)
{
	uint64_t v = param_stat(&port, word).finished;
	struct membox_packet p = { .opcode = MEMBOX_OP_WAIT, .sub = MEMBOX_GT, .handle = { word } };
	struct membox_packet notify = { .opcode = MEMBOX_OP_NOTIFY, .handle = { their_word } };
	struct membox_completion c;
	struct issue i;

	(void)state;
	p.word.value = v;
	issue_start(&port, &i, &p, NULL, 0);
	mbe_progress(port.e);
	assert_false(issue_is_done(&i));
	run_ok(&other, &notify, NULL);
	c = issue_finish(&port, &i);
	assert_int_equal(c.status, MEMBOX_ST_OK);
	assert_int_equal(c.result, v + 1);
	assert_int_equal(c.version, v + 1);
}

static void closing_or_destroying_ends_a_wait(void **state)
{
	struct membox_packet p = op_wait(0, MEMBOX_EQ, -1, 0);
	struct membox_handle_args a = { 0 };
	struct issue i;
	uint64_t free = 0;

	(void)state;
	for (int destroy = 0; destroy < 2; destroy++) {
		struct membox_info info = { 0 };

		assert_int_equal(port_admin(&port, 0, MEMBOX_ADM_INFO, &info, sizeof(info)), MEMBOX_ST_OK);
		free = info.free_bytes;
		p.handle[0] = param_open(&port, "short-lived", MEMBOX_I64, 100000, MEMBOX_PARAM_EPHEMERAL);
		issue_start(&port, &i, &p, NULL, 0);
		a.handle = p.handle[0];
		assert_int_equal(port_admin(&port, BOX_CONTEXT,
					    destroy ? MEMBOX_ADM_PARAM_DESTROY : MEMBOX_ADM_PARAM_CLOSE, &a,
					    sizeof(a)), MEMBOX_ST_OK);
		assert_int_equal(issue_finish(&port, &i).status, destroy ? MEMBOX_ST_DESTROYED : MEMBOX_ST_BAD_HANDLE);
		assert_int_equal(port_admin(&port, 0, MEMBOX_ADM_INFO, &info, sizeof(info)), MEMBOX_ST_OK);
		assert_int_equal(info.free_bytes, free);
	}
}

/* ---- cancelling ---- */

static void cancel_ends_what_its_context_marked(void **state)
{
	struct membox_packet p = op_wait(5, MEMBOX_EQ, -1, 0), cancel = { .opcode = MEMBOX_OP_CANCEL };
	struct issue i[4];

	(void)state;
	set_word(&port, word, 5, 17);
	for (unsigned int k = 0; k < 4; k++) {
		p.user_data = 70 + k / 3;
		issue_start(&port, &i[k], &p, NULL, 0);
	}
	cancel.user_data = 70; /* does not find itself */
	cancel.word.value = 70;
	assert_int_equal(run_ok(&port, &cancel, NULL).result, 3);
	assert_int_equal(run_ok(&port, &cancel, NULL).result, 0);
	for (unsigned int k = 0; k < 3; k++) {
		assert_true(issue_is_done(&i[k]));
		assert_int_equal(i[k].c.status, MEMBOX_ST_ABORTED);
		assert_int_equal(i[k].c.result, 17); /* seen last */
	}
	assert_false(issue_is_done(&i[3]));
	cancel.word.value = 71;
	assert_int_equal(run_ok(&port, &cancel, NULL).result, 1);
	assert_true(issue_is_done(&i[3]));
	/* another context's packets are not its own */
	p.user_data = 70;
	issue_start(&port, &i[0], &p, NULL, 0);
	cancel.word.value = 70;
	assert_int_equal(run_ok(&other, &cancel, NULL).result, 0);
	assert_false(issue_is_done(&i[0]));
	assert_int_equal(run_ok(&port, &cancel, NULL).result, 1);
}

static bool match_any(const struct mbe_cmd *cmd, void *arg)
{
	(void)cmd;
	(void)arg;
	return true;
}

struct stopper {
	struct mbe *e;
	unsigned int stripes; /* to let pass */
};

static void stop_after_stripes(void *arg, const char *name)
{
	struct stopper *s = arg;

	if (!strcmp(name, "stripe:closed") && !--s->stripes)
		assert_int_equal(mbe_abort(s->e, NULL, match_any, NULL, MEMBOX_ST_RESET), 1);
}

static void a_running_command_stops_between_stripes(void **state)
{
	struct membox_packet fill = op_move(MEMBOX_OP_FILL, array, 0, 1 << 20, MEMBOX_I32);
	struct stopper s = { port.e, 3 };
	struct membox_completion c;
	struct membox_outcomes *out = calloc(1, sizeof(*out));
	uint32_t *data = malloc(4 << 20);
	struct membox_outcome_entry *last;
	uint64_t v = param_stat(&port, array).finished;

	(void)state;
	fill_all(&port, array, MEMBOX_I32, 1 << 20, 1);
	fill.word.value = 2;
	fill.user_data = 4242;
	port.e->step = stop_after_stripes;
	port.e->step_arg = &s;
	c = run(&port, &fill, NULL);
	port.e->step = NULL;
	assert_int_equal(c.status, MEMBOX_ST_RESET);
	assert_true(c.bytes && c.bytes < 4 << 20);
	read_all(&port, array, MEMBOX_I32, 1 << 20, data);
	for (uint64_t k = 0; k < 1 << 20; k++)
		assert_int_equal(data[k], k * 4 < c.bytes ? 2 : 1);
	assert_int_equal(param_stat(&port, array).begun, v + 2);
	assert_int_equal(param_stat(&port, array).finished, v + 2);
	assert_int_equal(port_admin(&port, BOX_CONTEXT, MEMBOX_ADM_GET_OUTCOMES, out, sizeof(*out)), MEMBOX_ST_OK);
	assert_true(out->count > 0);
	last = &out->entry[out->count - 1];
	assert_int_equal(last->user_data, 4242);
	assert_int_equal(last->outcome, MEMBOX_OUTCOME_TORN);
	assert_int_equal(last->torn_at, c.bytes);
	assert_int_equal(last->status, MEMBOX_ST_RESET);
	free(out);
	free(data);
}

/* ---- forked children ---- */

static void a_forked_child_is_told_that_the_box_is_not_its_own(void **state)
{
	struct membox_packet p = op_move(MEMBOX_OP_FILL, array, 0, 8, MEMBOX_I32);
	struct issue i;
	uint32_t detail;
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		issue_start(&port, &i, &p, NULL, 0);
		if (!i.done || i.c.status != MEMBOX_ST_GONE || mbe_progress(port.e) != UINT64_MAX)
			_exit(1);
		if (mbe_validate(port.e, &i.cmd, &detail) != MEMBOX_ST_GONE ||
		    mbe_abort(port.e, NULL, match_any, NULL, MEMBOX_ST_RESET))
			_exit(2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	run_ok(&port, &p, NULL); /* the parent goes on */
}

/* ---- delay and poison ---- */

static void a_delayed_completion_comes_after_its_time(void **state)
{
	struct mbe_attach_opts opts = { .port = MBE_PORT_AUTO, .delay_ns = 20 * MS };
	struct membox_packet p;
	struct port slow;
	struct issue i;
	uint64_t before;

	(void)state;
	opts.have_principal = true;
	memset(opts.principal, 7, sizeof(opts.principal));
	port_open_as(&slow, &opts);
	p = op_atomic(param_open(&slow, "word", MEMBOX_I64, 16, 0), 0, MEMBOX_FETCH_ADD, 1, 0);
	before = mbe_clock(slow.e);
	issue_start(&slow, &i, &p, NULL, 0); /* returns at once */
	assert_false(issue_is_done(&i));
	assert_int_equal(mbe_queue_inflight(&slow.q), 1);
	assert_int_equal(issue_finish(&slow, &i).status, MEMBOX_ST_OK);
	assert_true(i.c.end - before >= 20 * MS);
	/* a reset does not wait, and does not say that what was done was not */
	issue_start(&slow, &i, &p, NULL, 0);
	assert_int_equal(mbe_abort(slow.e, NULL, match_any, NULL, MEMBOX_ST_RESET), 1);
	assert_true(issue_is_done(&i));
	assert_int_equal(i.c.status, MEMBOX_ST_OK);
	port_close(&slow);
}

static void poisoned_memory_is_an_error_with_its_place(void **state)
{
	uint64_t n = 200000, at = 150001;
	uint64_t address = param_open_args(&port, "poison", MEMBOX_I32, n, MEMBOX_PARAM_CREATE).address;
	struct mbe_attach_opts opts = { .port = MBE_PORT_AUTO, .have_principal = true,
					.poison_first = address + 4 * at + 1, .poison_bytes = 2 };
	uint32_t *data = calloc(n, 4), good = param_open(&port, "good", MEMBOX_I32, n, 0), h;
	struct membox_packet p;
	struct membox_completion c;
	struct port ill;

	(void)state;
	memset(opts.principal, 7, sizeof(opts.principal));
	port_open_as(&ill, &opts);
	h = param_open(&ill, "poison", MEMBOX_I32, n, 0);
	for (uint64_t k = 0; k < n; k++)
		data[k] = 5;
	p = op_move(MEMBOX_OP_WRITE, h, 0, n, MEMBOX_I32);
	c = run(&ill, &p, data);
	assert_int_equal(c.status, MEMBOX_ST_MEDIA_ERROR);
	assert_int_equal(c.result, 4 * at + 1);
	assert_int_equal(c.bytes, 4 * at);
	assert_int_equal(c.detail, MEMBOX_AT(offset));
	memset(data, 0, 4 * n);
	p.opcode = MEMBOX_OP_READ;
	c = run(&ill, &p, data);
	assert_int_equal(c.status, MEMBOX_ST_MEDIA_ERROR);
	for (uint64_t k = 0; k < n; k++)
		assert_int_equal(data[k], k < at ? 5 : 0);
	p.offset[0] = at + 1; /* beside it all is well */
	p.count = n - at - 1;
	assert_int_equal(run(&ill, &p, data).status, MEMBOX_ST_OK);
	p.offset[0] = at;
	p.count = 1;
	c = run(&ill, &p, data);
	assert_int_equal(c.status, MEMBOX_ST_MEDIA_ERROR);
	assert_int_equal(c.bytes, 0);
	/* as a source */
	p = op_acc(param_open(&ill, "good", MEMBOX_I32, n, 0), 0, n, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
	p.handle[1] = h;
	c = run(&ill, &p, NULL);
	assert_int_equal(c.status, MEMBOX_ST_MEDIA_ERROR);
	assert_int_equal(c.detail, MEMBOX_AT(offset) + 8);
	assert_int_equal(c.result, 4 * at + 1);
	read_all(&port, good, MEMBOX_I32, n, data);
	for (uint64_t k = 0; k < n; k++)
		assert_int_equal(data[k], k < at ? 5 : 0);
	port_close(&ill);
	free(data);
}

/* ---- the rounding environment ---- */

static void results_do_not_depend_on_the_callers_rounding(void **state)
{
#if defined(__x86_64__)
	uint32_t sum = param_open(&port, "round", MEMBOX_F32, 1, 0), bits = 0x3f800000, tiny = 0x33000000;
	struct membox_packet p = op_acc(sum, 0, 1, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM);
	uint32_t before = __builtin_ia32_stmxcsr();

	(void)state;
	write_all(&port, sum, MEMBOX_F32, 1, &bits);
	__builtin_ia32_ldmxcsr(before | 0x4000); /* upwards */
	run_ok(&port, &p, &tiny);
	assert_int_equal(__builtin_ia32_stmxcsr() & 0x6000, 0x4000);
	__builtin_ia32_ldmxcsr(before);
	read_all(&port, sum, MEMBOX_F32, 1, &bits);
	assert_int_equal(bits, 0x3f800000);
#else
	(void)state;
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(atomics_return_the_old_value),
		cmocka_unit_test(atomics_on_i32_are_sign_extended),
		cmocka_unit_test(a_fence_waits_for_what_is_before_it),
		cmocka_unit_test(fences_hold_in_random_mixtures),
		cmocka_unit_test(aborting_what_a_fence_holds_frees_the_rest_in_order),
		cmocka_unit_test(a_wait_that_is_true_does_not_park),
		cmocka_unit_test(a_mask_is_applied_before_comparing),
		cmocka_unit_test(a_wait_times_out_in_its_time),
		cmocka_unit_test(a_wait_without_a_time_out_still_has_one),
		cmocka_unit_test(ports_wake_each_other),
		cmocka_unit_test(a_wait_for_the_version_ends_with_the_next_writer),
		cmocka_unit_test(closing_or_destroying_ends_a_wait),
		cmocka_unit_test(cancel_ends_what_its_context_marked),
		cmocka_unit_test(a_running_command_stops_between_stripes),
		cmocka_unit_test(a_forked_child_is_told_that_the_box_is_not_its_own),
		cmocka_unit_test(a_delayed_completion_comes_after_its_time),
		cmocka_unit_test(poisoned_memory_is_an_error_with_its_place),
		cmocka_unit_test(results_do_not_depend_on_the_callers_rounding),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
