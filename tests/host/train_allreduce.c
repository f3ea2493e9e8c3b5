// SPDX-License-Identifier: MIT
/*
 * train_allreduce.c - method allreduce: every rank ends with the bits of the
 * single-process fold, after each step, whoever comes first; a trainer may update by
 * its own rule; bytes are those promised; what goes wrong is told to every rank.
 */
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "train_party.h"

#define METHOD "allreduce:steps=12"

static void fold(unsigned int ranks, unsigned int steps, float *w)
{
	static const int order[] = { 0, 1, 2, 3, 4 };

	party_fold(order, (int)ranks, steps, PARTY_LR, w);
}

static void expect_fold(const struct party *p)
{
	float w[PARTY_COUNT];

	fold(p->ranks, PARTY_STEPS, w);
	for (unsigned int r = 0; r < p->ranks; r++)
		assert_memory_equal(p->rank[r].w, w, sizeof(w));
}

static void equals_the_fold_whoever_comes_first(void **state)
{
	(void)state;
	for (unsigned int ranks = 2; ranks <= 4; ranks++)
		for (unsigned int late = 0; late < ranks; late++) {
			struct party p;

			party_make(&p, ranks - 1, METHOD);
			p.rank[late].delay_us = 2000;
			p.rank[(late + 1) % ranks].delay_us = 700;
			party_run(&p);
			party_assert_good(&p);
			expect_fold(&p);
			for (unsigned int s = 0; s < PARTY_STEPS; s++)
				for (unsigned int r = 1; r < ranks; r++)
					assert_int_equal(p.rank[r].hash[s], p.rank[0].hash[s]);
			party_end(&p);
		}
}

static void one_rank_alone(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 1, METHOD);
	p.ranks = 1;
	party_run(&p);
	party_assert_good(&p);
	expect_fold(&p);
	party_end(&p);
}

static void a_rank_moves_two_models_a_step_and_a_few_words(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, METHOD);
	party_run(&p);
	party_assert_good(&p);
	for (unsigned int r = 0; r < p.ranks; r++) {
		const struct rank *x = &p.rank[r];
		uint64_t words = PARTY_STEPS * 16 * (1 + (uint64_t)p.ranks);
		uint64_t moved = x->counter[MEMBOX_CTR_TO_DEVICE] + x->counter[MEMBOX_CTR_FROM_DEVICE] -
				 x->started[MEMBOX_CTR_TO_DEVICE] - x->started[MEMBOX_CTR_FROM_DEVICE];

		assert_int_equal(moved, PARTY_STEPS * 2 * PARTY_BYTES + words);
		assert_int_equal(x->stats.sent + x->stats.received, moved + x->stats.constant_bytes);
		assert_int_equal(x->stats.steps, PARTY_STEPS);
		assert_int_equal(x->stats.updates, PARTY_STEPS);
		assert_int_equal(x->stats.shares, p.ranks);
		assert_int_equal(x->stats.constant_bytes, x->started[MEMBOX_CTR_TO_DEVICE] +
				 x->started[MEMBOX_CTR_FROM_DEVICE]);
	}
	party_end(&p);
}

/* ---- a rule of the trainer's own ---- */

static void *own_rule(void *arg)
{
	struct rank *r = arg;
	struct membox_train_config config = { .size = sizeof(config), .rank = r->seat, .ranks = r->party->ranks,
					      .box = r->party->uri, .method = r->party->method };
	double w[4] = { 1, 2, 3, 4 }, g[4];
	struct membox_train *t;

	membox_train_open(&config, &t);
	membox_train_tensor(t, "w", MEMBOX_F64, w, g, 4);
	membox_train_start(t);
	for (uint64_t s = 0; membox_train_begin(t, s) > 0; s++) {
		for (int i = 0; i < 4; i++)
			g[i] = (double)(r->seat + i) + w[i];
		if (membox_train_step(t, 0))
			break;
		for (int i = 0; i < 4; i++) {
			r->w[i] = (float)g[i];
			w[i] -= 0.5 * g[i];
		}
	}
	r->error = membox_train_close(t);
	return NULL;
}

static void a_trainer_updates_by_its_own_rule(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 1, "allreduce:steps=2");
	for (unsigned int r = 0; r < p.ranks; r++)
		assert_int_equal(pthread_create(&p.rank[r].thread, NULL, own_rule, &p.rank[r]), 0);
	party_join(&p, 0);
	for (unsigned int r = 0; r < p.ranks; r++) {
		assert_int_equal(p.rank[r].error, 0);
		for (int i = 0; i < 4; i++) { /* the mean of w + i and w + i + 1, after one step */
			double w = i + 1, mean = w + i + 0.5;

			w -= 0.5 * mean;
			assert_true(p.rank[r].w[i] == (float)(w + i + 0.5));
		}
	}
	party_end(&p);
}

/* ---- what goes wrong ---- */

static void another_shape_is_an_error_on_every_rank(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, METHOD);
	p.rank[1].count_b = 20;
	party_run(&p);
	party_assert_bad(&p, 0, -EPROTOTYPE, "rank 1 has \"b f32 20\"");
	party_end(&p);
}

static void different_learning_rates_are_an_error(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, METHOD);
	p.rank[2].lr = 0.5;
	party_run(&p);
	party_assert_bad(&p, 0, -EINVAL, "rank 2 steps with lr 0.5, rank 0 with 0.05 (step 0)");
	party_end(&p);
}

static void a_rank_that_fails_tells_the_others(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, METHOD);
	p.rank[1].lr = HUGE_VAL;
	party_run(&p);
	party_assert_bad(&p, 0, -EINVAL, "rank 1: a step wants a finite learning rate");
	party_end(&p);
}

static void a_rank_that_stops_early_is_named(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, METHOD);
	p.rank[1].steps = 5;
	party_run(&p);
	party_assert_bad(&p, 0, -EINVAL, "rank 1 stopped after 5 steps, rank ");
	party_end(&p);
}

static void a_late_rank_is_named(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, METHOD ",timeout=0.3");
	p.rank[2].stall_step = 3;
	p.rank[2].stall_us = 1500000;
	party_run(&p);
	party_assert_bad(&p, 1u << 2, -ETIMEDOUT, "rank 2 is late: nothing of step 3 within 0.3 s");
	assert_true(p.rank[2].error < 0); /* late itself, or finds the others gone */
	party_end(&p);
}

static void a_killed_rank_is_named(void **state)
{
	struct membox *box;
	struct party p;
	pid_t child;

	(void)state;
	party_make(&p, 2, "allreduce:steps=100000");
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		p.rank[2].stall_step = 5;
		p.rank[2].stall_us = 60000000;
		p.rank[2].steps = 100000;
		party_rank(&p.rank[2]);
		_exit(0);
	}
	for (unsigned int r = 0; r < 2; r++) {
		p.rank[r].steps = 100000;
		assert_int_equal(pthread_create(&p.rank[r].thread, NULL, party_rank, &p.rank[r]), 0);
	}
	while (!__atomic_load_n(&p.rank[0].hash[4], __ATOMIC_RELAXED))
		usleep(1000);
	usleep(20000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	pthread_join(p.rank[0].thread, NULL);
	pthread_join(p.rank[1].thread, NULL);
	party_assert_bad(&p, 1u << 2, -EOWNERDEAD, "rank 2 died in step 5");
	assert_int_equal(membox_open(p.uri, NULL, &box), 0);
	assert_int_equal(membox_fsck(box, NULL, NULL), 0);
	membox_close(box);
	party_end(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_fold_whoever_comes_first),
		cmocka_unit_test(one_rank_alone),
		cmocka_unit_test(a_rank_moves_two_models_a_step_and_a_few_words),
		cmocka_unit_test(a_trainer_updates_by_its_own_rule),
		cmocka_unit_test(another_shape_is_an_error_on_every_rank),
		cmocka_unit_test(different_learning_rates_are_an_error),
		cmocka_unit_test(a_rank_that_fails_tells_the_others),
		cmocka_unit_test(a_rank_that_stops_early_is_named),
		cmocka_unit_test(a_late_rank_is_named),
		cmocka_unit_test(a_killed_rank_is_named),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
