// SPDX-License-Identifier: MIT
/*
 * engine_table_suspend.c - a port that changes its process: suspended with all
 * that it has, resumed by uuid in another engine, or evicted; and what others see
 * of it meanwhile.
 */
#include "engine_table.h"
#include "tables.h"

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t other_uuid[16] = {9};

/* What a port has: handles in context 1 unless told otherwise. */
struct stock {
	struct membox_param_args data, ephemeral, dead;
	uint32_t watched, closed, in_two, group;
	struct mbe_extent hold;
};

static struct mbe *numbered_port(int port, bool resume)
{
	struct mbe_attach_opts o = port_opts(2);
	char text[MBE_ERR_TEXT];
	struct mbe *e;

	o.port = port;
	o.resume = resume;
	if (mbe_attach(box_path, &o, &e, text))
		fail_msg("attach: %s", text);
	if (!resume) {
		ctx_make(e, 1);
		ctx_make(e, 2);
	}
	return e;
}

static struct stock stock_up(struct mbe *e)
{
	struct membox_group_args g = group_args("g", 2, 1);
	struct stock s;

	s.data = param_make(e, "data", MEMBOX_PARAM_MAPPABLE, 1000);
	s.ephemeral = param_make(e, "ephemeral", MEMBOX_PARAM_EPHEMERAL, 10);
	s.dead = param_make(e, "dead", 0, 10);
	MUST(!param_get(e, 1, "data", &s.watched));
	MUST(!param_get(e, 1, "data", &s.closed));
	MUST(!param_get(e, 2, "data", &s.in_two));
	MUST(!param_close(e, 1, s.closed, NULL));
	MUST(!param_subscribe(e, 1, s.watched, 1));
	MUST(!param_lock(e, 1, s.data.handle, NULL));
	MUST(!param_destroy(e, 1, s.dead.handle, NULL));
	MUST(!mbe_extent_get(e, 1, s.data.handle, &s.hold));
	MUST(ADM(e, 1, GROUP_JOIN, &g) == MEMBOX_ST_OK);
	s.group = g.group;
	return s;
}

/* All of it is there as it was. */
static void check_stock(struct mbe *e, const struct stock *s)
{
	struct mbe_extent x = {0};
	uint32_t h;

	assert_int_equal(operand_status(e, 1, s->data.handle), MEMBOX_ST_OK);
	assert_int_equal(operand_status(e, 1, s->ephemeral.handle), MEMBOX_ST_OK);
	assert_int_equal(operand_status(e, 2, s->in_two), MEMBOX_ST_OK);
	assert_int_equal(operand_status(e, 1, s->in_two), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(operand_status(e, 1, s->closed), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(operand_status(e, 1, s->dead.handle), MEMBOX_ST_DESTROYED);
	assert_true(mbe_extent_find(e, s->hold.param, s->hold.serial, &x));
	assert_memory_equal(&x, &s->hold, sizeof(x));
	assert_false(mbe_extent_find(e, s->hold.param, s->hold.serial + 1, &x));
	assert_int_equal(group_info(e, 1, s->group).joined, 1);
	/* a number that was given is not given again while its generation lasts */
	assert_int_equal(param_get(e, 1, "data", &h), MEMBOX_ST_OK);
	assert_int_not_equal(h, s->closed);
	assert_int_equal(param_close(e, 1, h, NULL), MEMBOX_ST_OK);
}

static void a_port_goes_on_in_another_process_with_all_it_has(void **state)
{
	struct mbe *op = operator_port(), *from = numbered_port(3, false), *to;
	struct stock s = stock_up(from);
	struct membox_event ev;
	char text[MBE_ERR_TEXT];
	uint32_t h;

	(void)state;
	to = numbered_port(3, true);
	assert_true(mbe_away(to));
	assert_int_equal(mbe_resume(to, uuid, text), -EBUSY); /* it lives elsewhere */
	assert_int_equal(mbe_suspend(from, uuid), MEMBOX_ST_OK);
	assert_int_equal(mbe_port_state(op, 3), MEMBOX_PORT_SUSPENDED);
	assert_int_equal(operand_status(from, 1, s.data.handle), MEMBOX_ST_GONE);
	assert_int_equal(param_get(op, 1, "data", &h), MEMBOX_ST_OK);
	param_bump(op, 1, h);
	param_bump(op, 1, h);
	assert_int_equal(mbe_resume(to, other_uuid, text), -ENOENT);
	assert_non_null(strstr(text, "port 3"));
	assert_int_equal(mbe_resume(to, uuid, text), 0);
	assert_int_equal(mbe_port_state(op, 3), MEMBOX_PORT_LIVE);
	check_stock(to, &s);
	assert_int_equal(ADM(to, 1, EVENT_READ, &ev), MEMBOX_ST_OK);
	assert_int_equal(ev.handle, s.watched);
	assert_true(ev.missed == 1);
	assert_int_equal(ADM(to, 1, EVENT_READ, &ev), MEMBOX_ST_AGAIN);
	assert_int_equal(param_unlock(to, 1, s.data.handle, NULL), MEMBOX_ST_OK);
	assert_int_equal(mbe_resume(from, uuid, text), -EBUSY);
	mbe_detach(from);
	assert_int_equal(mbe_port_state(op, 3), MEMBOX_PORT_LIVE);
	check_stock(to, &s);
	assert_int_equal(box_findings(op), 0);
	mbe_detach(to);
	assert_int_equal(param_close(op, 1, h, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_get(op, 1, "ephemeral", &h), MEMBOX_ST_NOT_FOUND);
	assert_int_equal(mbe_port_state(op, 3), MEMBOX_PORT_FREE);
	assert_int_equal(box_findings(op), 0);
	mbe_detach(op);
}

static void who_suspended_a_port_may_take_it_back(void **state)
{
	struct mbe *from = numbered_port(3, false);
	struct stock s = stock_up(from);
	char text[MBE_ERR_TEXT];

	(void)state;
	assert_int_equal(mbe_suspend(from, uuid), MEMBOX_ST_OK);
	assert_int_equal(mbe_suspend(from, uuid), MEMBOX_ST_GONE);
	assert_int_equal(mbe_resume(from, uuid, text), 0);
	check_stock(from, &s);
	assert_int_equal(mbe_resume(from, uuid, text), -EINVAL);
	mbe_detach(from);
}

static void a_suspended_port_keeps_what_it_has_from_everybody(void **state)
{
	struct mbe *op = operator_port(), *from = numbered_port(3, false);
	struct stock s = stock_up(from);
	struct mbe_attach_opts o = port_opts(2);
	char text[MBE_ERR_TEXT];
	struct mbe *e;
	uint32_t h, deferred;

	(void)state;
	assert_int_equal(mbe_suspend(from, uuid), MEMBOX_ST_OK);
	mbe_detach(from);
	assert_int_equal(mbe_port_state(op, 3), MEMBOX_PORT_SUSPENDED);
	/* nobody attaches in its place */
	o.port = 3;
	assert_int_equal(mbe_attach(box_path, &o, &e, text), -EBUSY);
	assert_non_null(strstr(text, "evict"));
	assert_false(mbe_poll_ports(op, 0));
	/* its lock and its references hold */
	assert_int_equal(param_get(op, 1, "data", &h), MEMBOX_ST_OK);
	assert_int_equal(param_lock(op, 1, h, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(param_stat(op, 1, h).refs, 5);
	assert_int_equal(param_destroy(op, 1, h, &deferred), MEMBOX_ST_OK);
	assert_int_equal(deferred, 4);
	assert_int_equal(box_findings(op), 0);
	e = numbered_port(3, true);
	assert_int_equal(mbe_resume(e, uuid, text), 0);
	assert_int_equal(operand_status(e, 1, s.data.handle), MEMBOX_ST_OK);
	mbe_detach(e);
	mbe_detach(op);
}

static void an_evicted_port_is_free_and_what_it_had_is_gone(void **state)
{
	struct mbe *op = operator_port(), *from = numbered_port(3, false), *to;
	struct membox_port_stat a = {.port = 3}, none = {.port = 2}, far = {.port = 9999};
	struct membox_group_args g = group_args("g", 2, 0);
	char text[MBE_ERR_TEXT];
	uint32_t h;

	(void)state;
	stock_up(from);
	assert_int_equal(ADM(op, 1, PORT_EVICT, &a), MEMBOX_ST_BUSY);
	assert_int_equal(ADM(op, 1, PORT_EVICT, &none), MEMBOX_ST_NOT_FOUND);
	assert_int_equal(ADM(op, 1, PORT_EVICT, &far), MEMBOX_ST_BAD_ARGUMENT);
	assert_int_equal(mbe_suspend(from, uuid), MEMBOX_ST_OK);
	to = port_of(5);
	assert_int_equal(ADM(to, 1, PORT_EVICT, &a), MEMBOX_ST_DENIED);
	assert_int_equal(ADM(op, 1, PORT_EVICT, &a), MEMBOX_ST_OK);
	assert_int_equal(mbe_port_state(op, 3), MEMBOX_PORT_FREE);
	assert_int_equal(mbe_resume(from, uuid, text), -ENOENT);
	assert_int_equal(param_get(op, 1, "ephemeral", &h), MEMBOX_ST_NOT_FOUND);
	assert_int_equal(param_get(op, 1, "data", &h), MEMBOX_ST_OK);
	assert_int_equal(param_stat(op, 1, h).refs, 1);
	assert_int_equal(param_lock(op, 1, h, NULL), MEMBOX_ST_OK);
	assert_int_equal(ADM(op, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	assert_int_equal(group_info(op, 1, g.group).joined, 1);
	assert_int_equal(box_findings(op), 0);
	mbe_detach(from);
	mbe_detach(to);
	mbe_detach(op);
}

static void rights_stay_what_they_were(void **state)
{
	struct mbe *from = numbered_port(3, false), *to;
	struct mbe_attach_opts o = port_opts(2);
	char text[MBE_ERR_TEXT];

	(void)state;
	assert_int_equal(mbe_suspend(from, uuid), MEMBOX_ST_OK);
	o.port = 3;
	o.resume = true;
	o.rdonly = true;
	assert_int_equal(mbe_attach(box_path, &o, &to, text), 0);
	assert_int_equal(mbe_resume(to, uuid, text), -EINVAL);
	assert_non_null(strstr(text, "rights=rw"));
	assert_int_equal(mbe_resume(from, uuid, text), 0);
	o.port = MBE_PORT_AUTO;
	mbe_detach(to);
	assert_int_equal(mbe_attach(box_path, &o, &to, text), -EINVAL);
	mbe_detach(from);
}

/* ---- dying on the way ---- */

static unsigned int die_at, steps;

void mbe_step_default(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	if (++steps == die_at)
		kill(getpid(), SIGKILL);
}

static void move_and_die(const struct parent *p, void *arg)
{
	struct mbe *from = numbered_port(3, false), *to = numbered_port(3, true);
	char text[MBE_ERR_TEXT];

	(void)p;
	stock_up(from);
	steps = 0;
	die_at = *(unsigned int *)arg;
	MUST(!mbe_suspend(from, uuid));
	MUST(!mbe_resume(to, uuid, text));
	die_at = 0;
	mbe_detach(from);
	mbe_detach(to);
}

/* Whoever dies of it, the port waits whole or is recovered whole. */
static void dying_at_any_step_leaves_a_sound_box(void **state)
{
	unsigned int at = 0, suspended = 0;
	bool survived = false;

	(void)state;
	while (!survived) {
		struct membox_port_stat a = {.port = 3};
		struct mbe *op;
		struct child child;

		unlink(box_path);
		box_make(5 * MIB, 8, 48);
		op = operator_port();
		at++;
		child = child_start(move_and_die, &at);
		survived = WIFEXITED(child_end(&child));
		mbe_poll_ports(op, 0);
		if (mbe_port_state(op, 3) == MEMBOX_PORT_SUSPENDED) {
			suspended++;
			assert_int_equal(box_findings(op), 0);
			assert_int_equal(ADM(op, 1, PORT_EVICT, &a), MEMBOX_ST_OK);
		}
		assert_int_equal(mbe_port_state(op, 3), MEMBOX_PORT_FREE);
		assert_int_equal(box_findings(op), 0);
		mbe_detach(op);
	}
	assert_true(at > 5 && suspended > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		box_test(a_port_goes_on_in_another_process_with_all_it_has),
		box_test(who_suspended_a_port_may_take_it_back),
		box_test(a_suspended_port_keeps_what_it_has_from_everybody),
		box_test(an_evicted_port_is_free_and_what_it_had_is_gone),
		box_test(rights_stay_what_they_were),
		box_test(dying_at_any_step_leaves_a_sound_box),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
