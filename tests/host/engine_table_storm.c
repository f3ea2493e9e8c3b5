// SPDX-License-Identifier: MIT
/*
 * engine_table_storm.c - several processes change one box in every way at once,
 * and are killed at random moments, recovering included; others take their
 * places. In the end nothing is found, and nothing is left but what has a name.
 * MEMBOX_STORM_KILLS sets how many are killed.
 */
#include "engine_table.h"

#define ACTORS 4
#define KILLS (120 / SLOWNESS)
#define NAMES 6

static uint64_t rounds; /* seed of the next actor */

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dULL;
}

/* What the others may do to us: anything but corrupt the box. */
static void may_fail(uint16_t status)
{
	if (status == MEMBOX_ST_CORRUPT || status == MEMBOX_ST_INTERNAL || status == MEMBOX_ST_TIMED_OUT)
		fprintf(stderr, "# status %u\n", status);
	MUST(status != MEMBOX_ST_CORRUPT && status != MEMBOX_ST_INTERNAL && status != MEMBOX_ST_TIMED_OUT);
}

static void use_parameter(struct mbe *e, uint64_t *s)
{
	static const uint32_t kinds[3] = {0, MEMBOX_PARAM_MAPPABLE, MEMBOX_PARAM_EPHEMERAL};
	unsigned int n = (unsigned int)(next_random(s) % NAMES), context = 1 + (unsigned int)(next_random(s) % 2);
	struct membox_param_args a;
	struct mbe_operand op;
	uint16_t status;
	char name[8];

	snprintf(name, sizeof(name), "n%u", n);
	a = param_args(name, MEMBOX_PARAM_CREATE | kinds[n % 3], 10 + 3000 * n);
	status = param_try(e, context, &a);
	may_fail(status);
	if (status)
		return;
	if (!mbe_operand_get(e, context, a.handle, &op)) {
		/* whoever has it sees what its creator left: zero, or a mark of its name */
		uint8_t seen = __atomic_load_n(op.data, __ATOMIC_RELAXED);

		MUST(!seen || seen == 100 + n);
		__atomic_store_n(op.data, (uint8_t)(100 + n), __ATOMIC_RELAXED);
		mbe_operand_put(e, &op);
	}
	switch (next_random(s) % 6) {
	case 0:
		may_fail(param_destroy(e, context, a.handle, NULL));
		break;
	case 1:
		may_fail(param_subscribe(e, context, a.handle, 1));
		return; /* stays open */
	case 2:
		status = param_lock(e, context, a.handle, NULL);
		may_fail(status);
		if (!status && next_random(s) % 2)
			may_fail(param_unlock(e, context, a.handle, NULL));
		break;
	}
	may_fail(param_close(e, context, a.handle, NULL));
}

static void use_group(struct mbe *e, uint64_t *s)
{
	struct membox_group_args g = group_args(next_random(s) % 2 ? "g" : "h", ACTORS, -1);
	uint16_t status = ADM(e, 1, GROUP_JOIN, &g);

	may_fail(status);
	if (status)
		return;
	may_fail(ADM(e, 1, GROUP_INFO, &g));
	if (next_random(s) % 3)
		may_fail(ADM(e, 1, GROUP_LEAVE, &g));
}

static void renew_context(struct mbe *e)
{
	struct membox_ctx_args c = {.context = 2};

	may_fail(ADM(e, 0, CTX_DESTROY, &c));
	may_fail(ADM(e, 0, CTX_CREATE, &c));
}

static void act(const struct parent *p, void *arg)
{
	uint64_t s = *(uint64_t *)arg * 0x9e3779b97f4a7c15ULL + 1;
	struct mbe *e = port_of(1);

	(void)p;
	for (;;) {
		uint64_t what = next_random(&s) % 16;

		if (what < 10) {
			use_parameter(e, &s);
		} else if (what < 13) {
			use_group(e, &s);
		} else if (what == 13) {
			renew_context(e);
		} else if (what == 14) {
			mbe_progress(e);
		} else {
			mbe_detach(e);
			e = port_of(1);
		}
	}
}

static struct child new_actor(void)
{
	rounds++;
	return child_start(act, &rounds);
}

static void a_killed_one_harms_nobody(void **state)
{
	struct child actor[ACTORS];
	struct membox_list_args list = {0};
	const char *text = getenv("MEMBOX_STORM_KILLS");
	uint32_t i, kills = text ? (uint32_t)atoi(text) : KILLS;
	uint64_t s = 42;
	struct mbe *e;

	(void)state;
	for (i = 0; i < ACTORS; i++)
		actor[i] = new_actor();
	for (i = 0; i < kills; i++) {
		uint32_t victim = (uint32_t)(next_random(&s) % ACTORS);

		usleep((useconds_t)(next_random(&s) % 20000 * SLOWNESS));
		child_kill(&actor[victim]); /* it must not have ended by itself */
		actor[victim] = new_actor();
	}
	for (i = 0; i < ACTORS; i++)
		child_kill(&actor[i]);
	e = operator_port();
	assert_int_equal(box_info(e).live_ports, 1);
	assert_int_equal(box_findings(e), 0);
	assert_int_equal(ADM(e, 1, PARAM_LIST, &list), MEMBOX_ST_OK);
	for (i = 0; i < list.count; i++) {
		assert_int_equal(list.entry[i].refs, 0);
		assert_int_equal(list.entry[i].destroyed, 0);
		assert_int_equal(list.entry[i].attrs & MEMBOX_PARAM_EPHEMERAL, 0);
		assert_int_equal(param_revoke(e, list.entry[i].name), MEMBOX_ST_OK);
	}
	assert_true(box_info(e).free_bytes == mbe_data_bytes(e));
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

static int setup(void **state)
{
	(void)state;
	box_make(12 * MIB, ACTORS + 2, 32);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_killed_one_harms_nobody, setup, box_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_storm", tests, NULL, NULL);
}
