// SPDX-License-Identifier: MIT
/*
 * train_async.c - method "ps-async" on the file back end: every gradient is
 * applied once, no worker waits for another, events tell of every update.
 */
#include <math.h>

#include "train_party.h"

#define WORKERS 3

static void every_update_is_told_of(void **state)
{
	struct party p;
	unsigned int r;

	(void)state;
	party_make(&p, WORKERS, "ps-async");
	p.meet = true;
	p.rank[2].delay_us = 2000;
	party_run(&p);
	party_assert_good(&p);
	assert_int_equal(p.rank[0].stats.updates, WORKERS * PARTY_STEPS);
	for (r = 1; r <= WORKERS; r++) {
		const struct membox_train_stats *s = &p.rank[r].stats;

		assert_true(s->events > 0);
		assert_int_equal(s->events + s->coalesced, WORKERS * PARTY_STEPS);
		assert_int_equal(s->updates, WORKERS * PARTY_STEPS);
	}
	party_end(&p);
}

/* Worker 1 makes all its steps while worker 2 sleeps in its second one. */
static void no_worker_waits_for_another(void **state)
{
	struct party p;
	uint64_t hash;
	int looked = 0;

	(void)state;
	party_make(&p, 2, "ps-async");
	p.rank[2].stall_step = 1;
	p.rank[2].stall_until = &looked;
	party_start(&p, 0);
	pthread_join(p.rank[1].thread, NULL);
	hash = __atomic_load_n(&p.rank[2].hash[1], __ATOMIC_RELAXED);
	__atomic_store_n(&looked, 1, __ATOMIC_RELEASE);
	assert_int_equal(hash, 0);
	pthread_join(p.rank[2].thread, NULL);
	pthread_join(p.rank[0].thread, NULL);
	party_assert_good(&p);
	assert_int_not_equal(p.rank[2].hash[PARTY_STEPS - 1], 0);
	party_end(&p);
}

/* Alone, a worker is at once synchronous: one gradient, one update. */
static void one_worker_equals_ps(void **state)
{
	struct party a, b;

	(void)state;
	party_make(&a, 1, "ps");
	party_run(&a);
	party_assert_good(&a);
	party_end(&a);
	party_make(&b, 1, "ps-async");
	party_run(&b);
	party_assert_good(&b);
	party_end(&b);
	assert_memory_equal(a.rank[1].w, b.rank[1].w, PARTY_BYTES);
}

static void converges(void **state)
{
	struct party p;
	unsigned int i;

	(void)state;
	party_make(&p, WORKERS, "ps-async");
	for (i = 1; i <= WORKERS; i++) {
		p.rank[i].steps = 300;
		p.rank[i].flat = true;
	}
	party_run(&p);
	party_assert_good(&p);
	/* The gradients vanish near the means of their targets, all below 1. */
	for (i = 0; i < PARTY_COUNT; i++)
		assert_true(fabsf(p.rank[1].w[i]) < 1.0f);
	party_end(&p);
}

static void bytes_are_those_of_ps(void **state)
{
	struct party p;
	unsigned int r;

	(void)state;
	party_make(&p, WORKERS, "ps-async");
	party_run(&p);
	party_assert_good(&p);
	assert_int_equal(p.rank[0].counter[MEMBOX_CTR_TO_DEVICE],
			 p.rank[0].started[MEMBOX_CTR_TO_DEVICE]);
	assert_int_equal(p.rank[0].counter[MEMBOX_CTR_FROM_DEVICE],
			 p.rank[0].started[MEMBOX_CTR_FROM_DEVICE]);
	for (r = 1; r <= WORKERS; r++)
		assert_int_equal(p.rank[r].counter[MEMBOX_CTR_TO_DEVICE] +
				 p.rank[r].counter[MEMBOX_CTR_FROM_DEVICE],
				 2 * PARTY_STEPS * PARTY_BYTES + p.rank[r].stats.constant_bytes);
	party_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_update_is_told_of),
		cmocka_unit_test(no_worker_waits_for_another),
		cmocka_unit_test(one_worker_equals_ps),
		cmocka_unit_test(converges),
		cmocka_unit_test(bytes_are_those_of_ps),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
