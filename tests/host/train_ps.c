// SPDX-License-Identifier: MIT
/*
 * train_ps.c - method "ps" on the file back end: its results equal one process
 * that folds in rank order, bit by bit, in whatever order workers come; what it
 * moves; that it gives everything back.
 */
#include "train_party.h"

#define WORKERS 3

static const int orders[6][WORKERS] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

static void expect_fold(const struct party *p, double lr)
{
	static float want[PARTY_COUNT];
	unsigned int r;

	party_fold(orders[0], (int)p->ranks - 1, PARTY_STEPS, lr, want);
	for (r = 1; r < p->ranks; r++)
		assert_memory_equal(p->rank[r].w, want, PARTY_BYTES);
}

/* Else the tests below could not fail. */
static void the_order_of_adding_matters(void **state)
{
	static float straight[PARTY_COUNT], other[PARTY_COUNT];
	unsigned int i;

	(void)state;
	party_fold(orders[0], WORKERS, PARTY_STEPS, PARTY_LR, straight);
	for (i = 1; i < 6; i++) {
		party_fold(orders[i], WORKERS, PARTY_STEPS, PARTY_LR, other);
		/* 0 + 1 and 1 + 0 are one sum */
		if (orders[i][2] != 2)
			assert_memory_not_equal(straight, other, PARTY_BYTES);
	}
}

static void equals_the_fold_whoever_comes_first(void **state)
{
	struct party p;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 6; i++) {
		party_make(&p, WORKERS, "ps");
		for (k = 0; k < WORKERS; k++)
			p.rank[orders[i][k] + 1].delay_us = 1000 + 3000 * k;
		party_run(&p);
		party_assert_good(&p);
		expect_fold(&p, PARTY_LR);
		party_end(&p);
	}
}

static void one_worker_and_four(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 1, "ps");
	party_run(&p);
	party_assert_good(&p);
	expect_fold(&p, PARTY_LR);
	party_end(&p);

	party_make(&p, 4, "ps:job=four");
	party_run(&p);
	party_assert_good(&p);
	assert_memory_equal(p.rank[1].w, p.rank[4].w, PARTY_BYTES);
	party_end(&p);
}

static void weights_are_equal_after_each_step(void **state)
{
	struct party p;
	unsigned int s, r;

	(void)state;
	party_make(&p, WORKERS, "ps");
	party_run(&p);
	party_assert_good(&p);
	for (s = 0; s < PARTY_STEPS; s++) {
		for (r = 2; r <= WORKERS; r++)
			assert_int_equal(p.rank[r].hash[s], p.rank[1].hash[s]);
		if (s)
			assert_int_not_equal(p.rank[1].hash[s], p.rank[1].hash[s - 1]);
	}
	party_end(&p);
}

static void a_worker_moves_two_models_a_step(void **state)
{
	struct party p;
	unsigned int r;

	(void)state;
	party_make(&p, WORKERS, "ps");
	party_run(&p);
	party_assert_good(&p);
	for (r = 1; r <= WORKERS; r++) {
		const struct rank *x = &p.rank[r];
		uint64_t text = (strlen("membox ps 1, 4 ranks\na f32 1000\nb f32 37\n") / 8 + 1) * 8;

		assert_int_equal(x->stats.constant_bytes, PARTY_BYTES + text);
		assert_int_equal(x->counter[MEMBOX_CTR_TO_DEVICE], PARTY_STEPS * PARTY_BYTES);
		assert_int_equal(x->counter[MEMBOX_CTR_FROM_DEVICE],
				 PARTY_STEPS * PARTY_BYTES + x->stats.constant_bytes);
		assert_int_equal(x->stats.sent, x->counter[MEMBOX_CTR_TO_DEVICE]);
		assert_int_equal(x->stats.received, x->counter[MEMBOX_CTR_FROM_DEVICE]);
	}
	party_end(&p);
}

static void serving_moves_no_byte_to_or_from_the_master(void **state)
{
	struct party p;
	const struct rank *m;

	(void)state;
	party_make(&p, WORKERS, "ps");
	party_run(&p);
	party_assert_good(&p);
	m = &p.rank[0];
	assert_int_equal(m->stats.steps, PARTY_STEPS);
	assert_int_equal(m->counter[MEMBOX_CTR_TO_DEVICE], m->started[MEMBOX_CTR_TO_DEVICE]);
	assert_int_equal(m->counter[MEMBOX_CTR_FROM_DEVICE], m->started[MEMBOX_CTR_FROM_DEVICE]);
	/* It computed: inside the box, WSUM reads every gradient and AXPBY two areas. */
	assert_true(m->counter[MEMBOX_CTR_COMMON_READ] - m->started[MEMBOX_CTR_COMMON_READ] >=
		    PARTY_STEPS * (WORKERS + 2) * PARTY_BYTES);
	party_end(&p);
}

static void a_box_that_cannot_add_gives_the_same_bits(void **state)
{
	struct party p;
	const struct rank *m;

	(void)state;
	party_make(&p, WORKERS, "ps");
	assert_int_equal(setenv("MEMBOX_CAPS_OFF", "acc,vector", 1), 0);
	party_run(&p);
	unsetenv("MEMBOX_CAPS_OFF");
	party_assert_good(&p);
	expect_fold(&p, PARTY_LR);
	m = &p.rank[0];
	assert_true(m->counter[MEMBOX_CTR_FROM_DEVICE] - m->started[MEMBOX_CTR_FROM_DEVICE] >=
		    PARTY_STEPS * (WORKERS + 2) * PARTY_BYTES);
	party_end(&p);
}

static void everything_is_given_back(void **state)
{
	struct membox_info before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct membox *box;
	struct party p;

	(void)state;
	party_make(&p, 2, "ps");
	assert_int_equal(membox_open(p.uri, NULL, &box), 0);
	assert_int_equal(membox_info(box, &before), 0);
	party_run(&p);
	party_assert_good(&p);
	assert_int_equal(membox_info(box, &after), 0);
	assert_int_equal(after.free_bytes, before.free_bytes);
	assert_int_equal(after.params, before.params);
	/* The same job can be run again in the same box. */
	party_run(&p);
	party_assert_good(&p);
	assert_int_equal(membox_info(box, &after), 0);
	assert_int_equal(after.free_bytes, before.free_bytes);
	membox_close(box);
	party_end(&p);
}

struct small {
	struct membox_train_config config;
	float w[3];
	int error;
};

/* A model of three weights; steps with 0, 0 and 0.25. */
static void *small_rank(void *arg)
{
	static const double lr[] = { 0, 0, 0.25 };
	float g[3] = { 1, 2, -4 };
	struct small *x = arg;
	struct membox_train *t;
	uint64_t s;

	membox_train_open(&x->config, &t);
	membox_train_tensor(t, "w", MEMBOX_F32, x->w, g, 3);
	membox_train_start(t);
	for (s = 0; membox_train_begin(t, s) > 0; s++)
		membox_train_step(t, lr[s]);
	x->error = membox_train_close(t);
	return NULL;
}

static void the_learning_rate_is_the_steps_or_the_options(void **state)
{
	static const char method[] = "ps:lr=0.5,steps=3";
	struct small x[2];
	pthread_t master;
	struct party p;
	int i;

	(void)state;
	party_make(&p, 1, method);
	for (i = 0; i < 2; i++)
		x[i] = (struct small){ .config = { .size = sizeof(x[i].config), .rank = i,
						   .ranks = 2, .box = p.uri, .method = method } };
	assert_int_equal(pthread_create(&master, NULL, small_rank, &x[0]), 0);
	small_rank(&x[1]);
	pthread_join(master, NULL);
	assert_int_equal(x[0].error, 0);
	assert_int_equal(x[1].error, 0);
	assert_true(x[1].w[0] == -1.25f && x[1].w[1] == -2.5f && x[1].w[2] == 5.0f);
	party_end(&p);
}

#define DOUBLES 5

struct f64_rank {
	struct membox_train_config config;
	double w[DOUBLES];
	int error;
};

static void f64_gradient(const double *w, double *g, int share)
{
	int i;

	for (i = 0; i < DOUBLES; i++)
		g[i] = (w[i] + 1.0 / (i + 3)) * (share == 1 ? 1e9 : 0.1 + share);
}

static void *f64_train(void *arg)
{
	struct f64_rank *x = arg;
	struct membox_train *t;
	double g[DOUBLES];
	uint64_t s;

	membox_train_open(&x->config, &t);
	membox_train_tensor(t, "w", MEMBOX_F64, x->w, g, DOUBLES);
	membox_train_start(t);
	for (s = 0; membox_train_begin(t, s) > 0; s++) {
		f64_gradient(x->w, g, membox_train_rank(t));
		membox_train_step(t, 1e-10);
	}
	x->error = membox_train_close(t);
	return NULL;
}

static void doubles_are_folded_as_doubles(void **state)
{
	double w[DOUBLES] = { 1, 2, 3, 4, 5 }, g[WORKERS][DOUBLES];
	struct f64_rank x[WORKERS + 1];
	pthread_t thread[WORKERS + 1];
	struct party p;
	int i, k, s;

	(void)state;
	party_make(&p, WORKERS, "ps:steps=4");
	for (i = 0; i <= WORKERS; i++) {
		x[i] = (struct f64_rank){ .config = { .size = sizeof(x[i].config), .rank = i,
						      .ranks = WORKERS + 1, .box = p.uri,
						      .method = p.method } };
		memcpy(x[i].w, w, sizeof(w));
		assert_int_equal(pthread_create(&thread[i], NULL, f64_train, &x[i]), 0);
	}
	for (i = 0; i <= WORKERS; i++)
		pthread_join(thread[i], NULL);
	for (s = 0; s < 4; s++) {
		for (k = 0; k < WORKERS; k++)
			f64_gradient(w, g[k], k);
		for (i = 0; i < DOUBLES; i++) {
			double a = 1.0 / WORKERS, c[WORKERS], sum;

			for (k = 0; k < WORKERS; k++)
				c[k] = a * g[k][i];
			sum = c[0] + c[1];
			sum = sum + c[2];
			c[0] = -1e-10 * sum;
			w[i] = c[0] + w[i];
		}
	}
	for (i = 0; i <= WORKERS; i++)
		assert_int_equal(x[i].error, 0);
	for (i = 1; i <= WORKERS; i++)
		assert_memory_equal(x[i].w, w, sizeof(w));
	party_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_adding_matters),
		cmocka_unit_test(equals_the_fold_whoever_comes_first),
		cmocka_unit_test(one_worker_and_four),
		cmocka_unit_test(weights_are_equal_after_each_step),
		cmocka_unit_test(a_worker_moves_two_models_a_step),
		cmocka_unit_test(serving_moves_no_byte_to_or_from_the_master),
		cmocka_unit_test(a_box_that_cannot_add_gives_the_same_bits),
		cmocka_unit_test(everything_is_given_back),
		cmocka_unit_test(the_learning_rate_is_the_steps_or_the_options),
		cmocka_unit_test(doubles_are_folded_as_doubles),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
