// SPDX-License-Identifier: MIT
/*
 * engine_table_crash.c - kill -9 at every step of every change of metadata: the
 * box opens again, the checker finds nothing, everything works, and everything
 * can be given back. Each case is a script; it is run in a child that dies at the
 * first step, then in one that dies at the second, and so on until one survives.
 * (Sanitizers make processes slow: there only some of the steps.)
 */
#include "engine_table.h"

/* ---- dying at a step ---- */

static unsigned int die_at, steps; /* of this process; 0: never */
static const char *died_of;	   /* for a look in the debugger */

void mbe_step_default(void *arg, const char *name)
{
	(void)arg;
	if (++steps != die_at)
		return;
	died_of = name;
	kill(getpid(), SIGKILL);
}

struct script {
	void (*run)(struct mbe *e);
	bool attaching; /* counts the steps of attach, too */
	unsigned int at;
};

static void run_and_die(const struct parent *p, void *arg)
{
	const struct script *s = arg;
	struct mbe *e;

	(void)p;
	steps = 0;
	die_at = s->attaching ? s->at : 0;
	e = port_of(2);
	if (!s->attaching) {
		steps = 0;
		die_at = s->at;
	}
	s->run(e);
}

/* ---- what must hold afterwards ---- */

/* Destroys all there is: afterwards the box is as empty as a new one. */
static void empty_the_box(struct mbe *op)
{
	struct membox_list_args list = {0};
	uint32_t i;

	assert_int_equal(ADM(op, 1, PARAM_LIST, &list), MEMBOX_ST_OK);
	assert_int_equal(list.cursor, 0);
	for (i = 0; i < list.count; i++) {
		assert_int_equal(list.entry[i].destroyed, 0); /* by somebody who is gone */
		assert_int_equal(list.entry[i].refs, 0);
		assert_int_equal(param_revoke(op, list.entry[i].name), MEMBOX_ST_OK);
	}
	assert_int_equal(box_info(op).params, 0);
	assert_true(box_info(op).free_bytes == mbe_data_bytes(op));
}

static void use_the_box(struct mbe *e)
{
	struct membox_group_args g = group_args("used", 2, 0);
	struct membox_param_args a = param_make(e, "used", MEMBOX_PARAM_MAPPABLE, 5000);
	struct mbe_operand op;

	assert_int_equal(mbe_operand_get(e, 1, a.handle, &op), MEMBOX_ST_OK);
	assert_int_equal(op.data[0], 0);
	memset(op.data, 0xee, op.bytes);
	mbe_operand_put(e, &op);
	assert_int_equal(ADM(e, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 1, GROUP_LEAVE, &g), MEMBOX_ST_OK);
	assert_int_equal(param_destroy(e, 1, a.handle, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_close(e, 1, a.handle, NULL), MEMBOX_ST_OK);
}

/* Kills run at every step; who looks is attached already, or comes after. */
static unsigned int kill_everywhere(void (*prepare)(struct mbe *), void (*run)(struct mbe *), bool attaching,
				    bool witness)
{
	struct script s = {run, attaching, 0};
	bool survived = false;

	while (!survived) {
		struct mbe *op = NULL, *first;
		struct child child;
		int status;

		box_make(5 * MIB, 3, 48);
		first = port_of(2);
		if (prepare)
			prepare(first);
		if (witness)
			op = operator_port();
		mbe_detach(first);
		s.at += SLOWNESS;
		child = child_start(run_and_die, &s);
		status = child_end(&child);
		survived = WIFEXITED(status);
		if (survived)
			assert_int_equal(WEXITSTATUS(status), 0);
		else
			assert_int_equal(WTERMSIG(status), SIGKILL);
		if (!witness)
			op = operator_port();
		use_the_box(op);
		assert_true(mbe_recover_port(op, 0));
		if (box_findings(op))
			fail_msg("killed at step %u", s.at);
		empty_the_box(op);
		assert_int_equal(box_findings(op), 0);
		mbe_detach(op);
		unlink(box_path);
	}
	assert_true(s.at > 3); /* there were steps to die at */
	return s.at;
}

/* Both ways. */
static void kill_at_every_step(void (*prepare)(struct mbe *), void (*run)(struct mbe *))
{
	kill_everywhere(prepare, run, false, false);
	kill_everywhere(prepare, run, false, true);
}

/* ---- the scripts ---- */

static uint32_t handle_of(struct mbe *e, unsigned int context, const char *name)
{
	uint32_t h;

	MUST(param_get(e, context, name, &h) == MEMBOX_ST_OK);
	return h;
}

static void some_parameters(struct mbe *e)
{
	char name[8];
	unsigned int i;

	for (i = 0; i < 20; i++) { /* enough for the index to have runs */
		snprintf(name, sizeof(name), "p%u", i);
		param_make(e, name, i % 3 ? 0 : MEMBOX_PARAM_MAPPABLE, 10 + 100 * i);
	}
}

static void create(struct mbe *e)
{
	param_make(e, "plain", 0, 100);
	param_make(e, "mapped", MEMBOX_PARAM_MAPPABLE, 100);
	param_make(e, "keyed", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 100);
	param_make(e, "ephemeral", MEMBOX_PARAM_EPHEMERAL, 100);
}

static void creation(void **state)
{
	(void)state;
	kill_at_every_step(some_parameters, create);
}

static void open_and_close(struct mbe *e)
{
	uint32_t h = handle_of(e, 1, "p3"), k = handle_of(e, 2, "p3");

	MUST(param_close(e, 1, h, NULL) == MEMBOX_ST_OK);
	MUST(param_close(e, 2, k, NULL) == MEMBOX_ST_OK);
	h = param_make(e, "ephemeral", MEMBOX_PARAM_EPHEMERAL | MEMBOX_PARAM_MAPPABLE, 100).handle;
	MUST(param_close(e, 1, h, NULL) == MEMBOX_ST_OK);
}

static void opening_and_closing(void **state)
{
	(void)state;
	kill_at_every_step(some_parameters, open_and_close);
}

static void destroy(struct mbe *e)
{
	char name[8];
	unsigned int i;
	uint32_t h, other;

	for (i = 0; i < 20; i += 5) {
		snprintf(name, sizeof(name), "p%u", i);
		h = handle_of(e, 1, name);
		other = handle_of(e, 2, name);
		MUST(param_destroy(e, 1, h, NULL) == MEMBOX_ST_OK);
		MUST(param_close(e, 1, h, NULL) == MEMBOX_ST_OK);
		MUST(param_close(e, 2, other, NULL) == MEMBOX_ST_OK);
	}
}

static void destruction(void **state)
{
	(void)state;
	kill_at_every_step(some_parameters, destroy);
}

static void hold_windows(struct mbe *e)
{
	uint32_t h = handle_of(e, 1, "p3");
	struct mbe_extent x;

	MUST(mbe_extent_get(e, 1, h, &x) == MEMBOX_ST_OK);
	MUST(param_destroy(e, 1, h, NULL) == MEMBOX_ST_OK);
	mbe_extent_put(e, &x);
}

static void windows(void **state)
{
	(void)state;
	kill_at_every_step(some_parameters, hold_windows);
}

static void join_and_grant(struct mbe *e)
{
	struct membox_param_args k = param_make(e, "k", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 10);
	struct membox_group_args g = group_args("g", 3, 0), h = group_args("g", 3, 2);
	struct membox_grant_args a = {.handle = k.handle, .rank = 2, .key = k.key};
	struct membox_mail m;

	MUST(ADM(e, 1, GROUP_JOIN, &g) == MEMBOX_ST_OK);
	MUST(ADM(e, 2, GROUP_JOIN, &h) == MEMBOX_ST_OK);
	a.group = g.group;
	MUST(ADM(e, 1, PARAM_GRANT, &a) == MEMBOX_ST_OK);
	MUST(ADM(e, 1, PARAM_GRANT, &a) == MEMBOX_ST_OK);
	MUST(ADM(e, 2, MAIL_RECV, &m) == MEMBOX_ST_OK);
	MUST(ADM(e, 1, GROUP_LEAVE, &g) == MEMBOX_ST_OK);
	MUST(ADM(e, 2, GROUP_LEAVE, &h) == MEMBOX_ST_OK);
}

static void groups_and_mail(void **state)
{
	(void)state;
	kill_at_every_step(NULL, join_and_grant);
}

static void contexts_and_locks(struct mbe *e)
{
	struct membox_group_args g = group_args("g", 3, 0);
	struct membox_ctx_args c = {.context = 2};
	uint32_t h = handle_of(e, 1, "p1"), k = handle_of(e, 2, "p1");

	MUST(param_lock(e, 1, h, NULL) == MEMBOX_ST_OK);
	MUST(param_unlock(e, 1, h, NULL) == MEMBOX_ST_OK);
	MUST(param_lock(e, 2, k, NULL) == MEMBOX_ST_OK);
	MUST(param_subscribe(e, 1, h, 1) == MEMBOX_ST_OK);
	MUST(param_subscribe(e, 2, k, 1) == MEMBOX_ST_OK);
	MUST(param_subscribe(e, 1, h, 0) == MEMBOX_ST_OK);
	MUST(ADM(e, 2, GROUP_JOIN, &g) == MEMBOX_ST_OK);
	MUST(ADM(e, 0, CTX_DESTROY, &c) == MEMBOX_ST_OK);
	MUST(ADM(e, 0, CTX_CREATE, &c) == MEMBOX_ST_OK);
}

static void contexts_locks_and_subscriptions(void **state)
{
	(void)state;
	kill_at_every_step(some_parameters, contexts_and_locks);
}

static void attach_and_detach(struct mbe *e)
{
	handle_of(e, 1, "p1");
	param_make(e, "ephemeral", MEMBOX_PARAM_EPHEMERAL, 10);
	mbe_detach(e);
}

static void attaching_and_detaching(void **state)
{
	(void)state;
	kill_everywhere(some_parameters, attach_and_detach, true, false);
	kill_everywhere(some_parameters, attach_and_detach, true, true);
}

/* ---- dying in the middle of somebody else's recovery ---- */

/* Dies holding some of everything, the table's lock included. */
static void leave_a_mess(const struct parent *p, void *arg)
{
	struct mbe *e;
	struct membox_group_args g = group_args("g", 3, 1);
	struct membox_param_args a;
	uint32_t h;

	(void)p;
	(void)arg;
	die_at = 0;
	e = port_of(3);
	h = handle_of(e, 1, "p3");
	MUST(ADM(e, 2, GROUP_JOIN, &g) == MEMBOX_ST_OK);
	MUST(param_lock(e, 1, h, NULL) == MEMBOX_ST_OK);
	MUST(param_subscribe(e, 1, h, 1) == MEMBOX_ST_OK);
	param_make(e, "ephemeral", MEMBOX_PARAM_EPHEMERAL, 10);
	a = param_make(e, "unlinked", 0, 10);
	handle_of(e, 2, "unlinked");
	MUST(param_destroy(e, 1, a.handle, NULL) == MEMBOX_ST_OK);
	MUST(mbe_lock_word(e, &e->stripes[1].lock, UINT64_MAX, NULL) == MEMBOX_ST_OK);
	MUST(mbe_table_lock(e) == MEMBOX_ST_OK);
	kill(getpid(), SIGKILL);
}

static void nothing_more(struct mbe *e)
{
	(void)e;
}

static void recovering(void **state)
{
	struct script s = {nothing_more, true, 0};
	bool survived = false;

	(void)state;
	while (!survived) {
		struct mbe *op;
		struct child child;
		int status;

		box_make(5 * MIB, 3, 48);
		op = port_of(3);
		some_parameters(op);
		mbe_detach(op);
		child = child_start(leave_a_mess, NULL);
		status = child_end(&child);
		assert_true(WIFSIGNALED(status));
		s.at += SLOWNESS;
		child = child_start(run_and_die, &s); /* takes the same port, or dies trying */
		status = child_end(&child);
		survived = WIFEXITED(status);
		op = operator_port();
		use_the_box(op);
		if (box_findings(op))
			fail_msg("killed at step %u", s.at);
		empty_the_box(op);
		mbe_detach(op);
		unlink(box_path);
	}
	assert_true(s.at > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creation),
		cmocka_unit_test(opening_and_closing),
		cmocka_unit_test(destruction),
		cmocka_unit_test(windows),
		cmocka_unit_test(groups_and_mail),
		cmocka_unit_test(contexts_locks_and_subscriptions),
		cmocka_unit_test(attaching_and_detaching),
		cmocka_unit_test(recovering),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_crash", tests, NULL, NULL);
}
