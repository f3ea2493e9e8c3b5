// SPDX-License-Identifier: MIT
/*
 * engine_table_space.c - the parameter table: destruction and what waits for it,
 * what outlives whom, places, full boxes, quotas.
 */
#include "engine_table.h"

/* ---- destruction ---- */

static void deletion_gives_all_bytes_back(void **state)
{
	static const uint32_t flags[3] = {0, MEMBOX_PARAM_MAPPABLE, MEMBOX_PARAM_NOJOURNAL};
	struct mbe *e = port_of(1);
	uint32_t handle[60], i, left;
	uint64_t before = box_info(e).free_bytes;
	char name[16];

	(void)state;
	for (i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		handle[i] = param_make(e, name, flags[i % 3], 1 + i * i * 3).handle;
	}
	assert_int_equal(box_info(e).params, 60);
	assert_true(box_info(e).free_bytes < before);
	assert_int_equal(box_findings(e), 0);
	for (i = 0; i < 60; i++) { /* in another order */
		assert_int_equal(param_destroy(e, 1, handle[i * 7 % 60], &left), MEMBOX_ST_OK);
		assert_int_equal(left, 0);
	}
	assert_int_equal(box_info(e).params, 0);
	assert_true(box_info(e).free_bytes == before);
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

static void others_keep_a_destroyed_parameter_until_they_close(void **state)
{
	struct mbe *e = port_of(1), *other = port_of(2);
	uint64_t before = box_info(e).free_bytes;
	uint32_t mine = param_make(e, "w", 0, 1000).handle, second, theirs, left;
	struct membox_param_args a;

	(void)state;
	assert_int_equal(param_get(e, 1, "w", &second), MEMBOX_ST_OK);
	assert_int_equal(param_get(other, 1, "w", &theirs), MEMBOX_ST_OK);
	assert_int_equal(param_destroy(other, 1, theirs, &left), MEMBOX_ST_DENIED);
	assert_int_equal(param_destroy(e, 1, mine, &left), MEMBOX_ST_OK);
	assert_int_equal(left, 1);
	/* the name is free at once */
	a = param_args("w", 0, 0);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_NOT_FOUND);
	a = param_make(e, "w", 0, 5);
	assert_int_equal(a.created, 1);
	/* the context that destroyed it has done with it, others have not */
	assert_int_equal(operand_status(e, 1, mine), MEMBOX_ST_DESTROYED);
	assert_int_equal(operand_status(e, 1, second), MEMBOX_ST_DESTROYED);
	assert_int_equal(operand_status(other, 1, theirs), MEMBOX_ST_OK);
	assert_int_equal(param_stat(other, 1, theirs).destroyed, 1);
	assert_int_equal(param_stat(other, 1, theirs).refs, 1);
	assert_int_equal(box_findings(e), 0);
	assert_int_equal(param_close(e, 1, mine, NULL), MEMBOX_ST_OK);
	assert_int_equal(operand_status(e, 1, mine), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(param_destroy(e, 1, a.handle, NULL), MEMBOX_ST_OK);
	assert_true(box_info(e).free_bytes < before);
	assert_int_equal(param_close(other, 1, theirs, &left), MEMBOX_ST_OK);
	assert_int_equal(left, 0);
	assert_true(box_info(e).free_bytes == before);
	mbe_detach(e);
	mbe_detach(other);
}

static void space_waits_for_commands_and_windows(void **state)
{
	struct mbe *e = port_of(1);
	uint64_t before = box_info(e).free_bytes;
	uint32_t h = param_make(e, "w", MEMBOX_PARAM_MAPPABLE, 100).handle, left;
	struct mbe_extent x, y;
	struct mbe_operand op;

	(void)state;
	assert_int_equal(mbe_extent_get(e, 1, h, &x), MEMBOX_ST_OK);
	assert_int_equal(x.offset % 4096, 0);
	assert_int_equal(x.length, 4096);
	assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
	assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
	assert_int_equal(param_destroy(e, 1, h, &left), MEMBOX_ST_OK);
	assert_int_equal(left, 2);
	assert_int_equal(mbe_extent_get(e, 1, h, &y), MEMBOX_ST_DESTROYED);
	memset(op.data, 1, op.bytes); /* still there */
	mbe_operand_put(e, &op);
	assert_int_equal(box_info(e).params, 1);
	assert_int_equal(box_findings(e), 0);
	mbe_operand_put(e, &op);
	assert_int_equal(box_info(e).params, 1);
	assert_int_equal(box_findings(e), 0);
	mbe_extent_put(e, &x);
	assert_int_equal(box_info(e).params, 0);
	assert_true(box_info(e).free_bytes == before);
	mbe_extent_put(e, &x); /* once too often */
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

static void a_closed_handle_waits_for_its_commands(void **state)
{
	struct mbe *e = port_of(1);
	uint32_t h = param_make(e, "w", MEMBOX_PARAM_EPHEMERAL, 100).handle;
	struct mbe_operand op;

	(void)state;
	assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
	assert_int_equal(param_close(e, 1, h, NULL), MEMBOX_ST_OK);
	assert_int_equal(operand_status(e, 1, h), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(box_info(e).params, 1);
	memset(op.data, 1, op.bytes);
	mbe_operand_put(e, &op);
	assert_int_equal(box_info(e).params, 0);
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

static void revoking_takes_it_from_everybody(void **state)
{
	struct mbe *e = port_of(1), *other = port_of(2), *op = operator_port();
	uint64_t before = box_info(e).free_bytes;
	uint32_t mine = param_make(e, "w", 0, 1000).handle, theirs, left, seen;

	(void)state;
	assert_int_equal(param_get(other, 1, "w", &theirs), MEMBOX_ST_OK);
	assert_int_equal(param_subscribe(other, 1, theirs, 1), MEMBOX_ST_OK);
	assert_int_equal(param_revoke(e, "w"), MEMBOX_ST_DENIED);
	seen = mbe_wake_seen(other);
	assert_int_equal(param_revoke(op, "w"), MEMBOX_ST_OK);
	assert_int_not_equal(mbe_wake_seen(other), seen); /* who waits for it looks again */
	assert_int_equal(param_revoke(op, "w"), MEMBOX_ST_NOT_FOUND);
	assert_int_equal(operand_status(e, 1, mine), MEMBOX_ST_DESTROYED);
	assert_int_equal(operand_status(other, 1, theirs), MEMBOX_ST_DESTROYED);
	assert_int_equal(param_close(e, 1, mine, &left), MEMBOX_ST_OK);
	assert_int_equal(left, 1);
	assert_int_equal(param_close(other, 1, theirs, &left), MEMBOX_ST_OK);
	assert_int_equal(left, 0);
	assert_true(box_info(e).free_bytes == before);
	mbe_detach(e);
	mbe_detach(other);
	mbe_detach(op);
}

static void an_operator_destroys_what_is_not_his(void **state)
{
	struct mbe *e = port_of(1), *op = operator_port();
	uint32_t h;

	(void)state;
	param_make(e, "w", 0, 10);
	assert_int_equal(param_get(op, 1, "w", &h), MEMBOX_ST_OK);
	assert_int_equal(param_destroy(op, 1, h, NULL), MEMBOX_ST_OK);
	mbe_detach(e);
	assert_int_equal(box_info(op).params, 0);
	mbe_detach(op);
}

static void parameters_outlive_programs_and_ephemeral_ones_do_not(void **state)
{
	struct mbe *e = port_of(1);
	struct mbe_operand op;
	uint32_t h = param_make(e, "stays", 0, 10).handle, other;

	(void)state;
	assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
	memset(op.data, 0x77, op.bytes);
	mbe_operand_put(e, &op);
	param_make(e, "goes", MEMBOX_PARAM_EPHEMERAL, 10);
	assert_int_equal(param_get(e, 2, "goes", &other), MEMBOX_ST_OK);
	assert_int_equal(box_info(e).params, 2);
	mbe_detach(e);
	e = port_of(2);
	assert_int_equal(box_info(e).params, 1);
	assert_int_equal(param_get(e, 1, "goes", &h), MEMBOX_ST_NOT_FOUND);
	assert_int_equal(param_get(e, 1, "stays", &h), MEMBOX_ST_OK);
	assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
	assert_int_equal(op.data[39], 0x77);
	mbe_operand_put(e, &op);
	mbe_detach(e);
}

/* ---- space ---- */

static void freed_bytes_are_zero_when_they_are_used_again(void **state)
{
	struct mbe *e = port_of(1);
	uint32_t h, i, round;
	struct mbe_operand op;

	(void)state;
	for (round = 0; round < 3; round++) {
		uint64_t count = round == 1 ? 3 : box_info(e).free_bytes / 8;

		h = param_make(e, "w", MEMBOX_PARAM_MAPPABLE * (round == 2), count).handle;
		assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
		for (i = 0; i < op.bytes; i++)
			if (op.data[i])
				fail_msg("byte %u is not zero", i);
		assert_int_equal(MBE_LOAD(&op.ver->finished), 0);
		memset(op.data, 0xa5, op.bytes);
		op.ver->begun = 9;
		op.ver->finished = 9;
		mbe_operand_put(e, &op);
		assert_int_equal(param_destroy(e, 1, h, NULL), MEMBOX_ST_OK);
		assert_int_equal(param_close(e, 1, h, NULL), MEMBOX_ST_OK);
	}
	mbe_detach(e);
}

static void places_follow_size_and_use(void **state)
{
	struct mbe *e;
	struct membox_param_args small[3], page, large, mapped;
	struct membox_param_stat s;

	(void)state;
	unlink(box_path);
	box_make(24 * MIB, 2, 64);
	e = port_of(1);
	small[0] = param_make(e, "a", 0, 1);
	small[1] = param_make(e, "b", 0, 16);
	small[2] = param_make(e, "c", 0, 33);
	assert_true(small[0].address / 4096 == small[2].address / 4096); /* share a page */
	assert_int_equal(small[2].address % 256, 0);
	page = param_make(e, "d", 0, 513);
	assert_int_equal(page.address % 4096, 0);
	large = param_make(e, "e", 0, MIB / 2);
	assert_int_equal(large.address % (2 * MIB), 0);
	mapped = param_make(e, "f", MEMBOX_PARAM_MAPPABLE, 1);
	assert_int_equal(mapped.address % 4096, 0);
	s = param_stat(e, 1, mapped.handle);
	assert_int_equal(s.attrs, MEMBOX_PARAM_MAPPABLE);
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

static void a_full_box_and_a_full_table_say_so(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_param_args a;
	uint64_t left;
	char name[16];
	uint32_t i;

	(void)state;
	for (i = 0; (left = box_info(e).free_bytes - 4096) > 0; i++) { /* all but a page */
		snprintf(name, sizeof(name), "p%u", i);
		param_make(e, name, 0, (left < MIB ? left : MIB) / 4);
	}
	a = param_args("more", MEMBOX_PARAM_CREATE, 2048);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_NO_SPACE);
	a = param_args("more", MEMBOX_PARAM_CREATE | MEMBOX_PARAM_MAPPABLE, 1);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_NO_SPACE); /* one page left, two needed */
	assert_int_equal(box_findings(e), 0);
	for (; i < 64; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		param_make(e, name, 0, 1);
	}
	a = param_args("more", MEMBOX_PARAM_CREATE, 1);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_TABLE_FULL);
	mbe_detach(e);
}

static void waiters_have_a_quota(void **state)
{
	struct mbe_attach_opts o = port_opts(1);
	struct mbe_operand op;
	uint32_t first, second;
	struct mbe *e;

	(void)state;
	o.quota_waiters = 1;
	e = port_open(&o);
	assert_int_equal(mbe_operand_get(e, 1, param_make(e, "a", 0, 1).handle, &op), MEMBOX_ST_OK);
	assert_int_equal(mbe_watch_add(e, 1, &op, &first), MEMBOX_ST_OK);
	assert_int_equal(mbe_watch_add(e, 1, &op, &second), MEMBOX_ST_QUOTA);
	mbe_watch_del(e, first);
	assert_int_equal(mbe_watch_add(e, 1, &op, &first), MEMBOX_ST_OK);
	mbe_watch_del(e, first);
	mbe_operand_put(e, &op);
	mbe_detach(e);
}

static void quotas_bound_a_port_and_its_principal(void **state)
{
	struct mbe_attach_opts o = port_opts(1);
	struct mbe *e, *free_one = port_of(2);
	struct membox_port_stat s = {.port = 0xffffffffU};
	struct membox_param_args a;
	uint32_t h;

	(void)state;
	o.quota_bytes = 8192;
	o.quota_params = 3;
	e = port_open(&o);
	h = param_make(e, "a", 0, 1024).handle;
	param_make(e, "b", 0, 16);
	a = param_args("c", MEMBOX_PARAM_CREATE, 1024);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_QUOTA);
	param_make(e, "c", 0, 16);
	a = param_args("d", MEMBOX_PARAM_CREATE, 1);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_QUOTA);
	assert_int_equal(ADM(e, 1, PORT_STAT, &s), MEMBOX_ST_OK);
	assert_int_equal(s.used_bytes, 4096 + 64 + 64);
	assert_int_equal(s.quota_bytes, 8192);
	param_make(free_one, "d", 0, 4096); /* somebody else's is not charged */
	assert_int_equal(param_destroy(e, 1, h, NULL), MEMBOX_ST_OK);
	param_make(e, "a", 0, 1024);
	mbe_detach(e);
	o.port = 1;
	e = port_open(&o); /* coming back is not a way round it */
	a = param_args("e", MEMBOX_PARAM_CREATE, 1);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_QUOTA);
	mbe_detach(e);
	mbe_detach(free_one);
}

static void what_was_destroyed_is_not_destroyed_again(void **state)
{
	struct mbe *e = port_of(1);
	uint32_t mine = param_make(e, "w", 0, 10).handle, second, left;

	(void)state;
	assert_int_equal(param_get(e, 2, "w", &second), MEMBOX_ST_OK);
	assert_int_equal(param_destroy(e, 1, mine, &left), MEMBOX_ST_OK);
	assert_int_equal(left, 1);
	assert_int_equal(param_destroy(e, 1, mine, NULL), MEMBOX_ST_DESTROYED);
	assert_int_equal(param_destroy(e, 2, second, NULL), MEMBOX_ST_DESTROYED);
	assert_int_equal(operand_status(e, 2, second), MEMBOX_ST_OK);
	mbe_detach(e);
}

static void a_handle_that_cannot_be_had_leaves_no_parameter(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_param_args a = param_args("late", MEMBOX_PARAM_CREATE, 10);
	uint32_t h;

	(void)state;
	param_make(e, "w", 0, 10);
	while (!param_get(e, 1, "w", &h))
		;
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_TABLE_FULL);
	assert_int_equal(box_info(e).params, 1);
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		box_test(deletion_gives_all_bytes_back),
		box_test(others_keep_a_destroyed_parameter_until_they_close),
		box_test(space_waits_for_commands_and_windows),
		box_test(a_closed_handle_waits_for_its_commands),
		box_test(revoking_takes_it_from_everybody),
		box_test(an_operator_destroys_what_is_not_his),
		box_test(parameters_outlive_programs_and_ephemeral_ones_do_not),
		box_test(freed_bytes_are_zero_when_they_are_used_again),
		box_test(places_follow_size_and_use),
		box_test(a_full_box_and_a_full_table_say_so),
		box_test(quotas_bound_a_port_and_its_principal),
		box_test(waiters_have_a_quota),
		box_test(what_was_destroyed_is_not_destroyed_again),
		box_test(a_handle_that_cannot_be_had_leaves_no_parameter),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_space", tests, NULL, NULL);
}
