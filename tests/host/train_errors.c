// SPDX-License-Identifier: MIT
/*
 * train_errors.c - what goes wrong in a training, and that every rank is told of
 * it by name: configuration, shapes, keys, ranks that are late, die, stop early
 * or step differently.
 */
#include <signal.h>
#include <sys/wait.h>

#include "train_party.h"

static int open_with(const char *method, int rank, unsigned int ranks, struct membox_train **t)
{
	struct membox_train_config config = { .size = sizeof(config), .rank = rank, .ranks = ranks,
					      .method = method, .box = "file:/nonexistent/box" };

	return membox_train_open(&config, t);
}

static void configuration_is_checked(void **state)
{
	static const struct {
		const char *method;
		int rank;
		unsigned int ranks;
		const char *words;
	} bad[] = {
		{ "sgd", 0, 2, "there is no method 'sgd': there are ps, ps-async, allreduce" },
		{ "ps:speed=9", 0, 2, "no option 'speed': it has job, steps, lr, timeout, start" },
		{ "ps:steps", 0, 2, "option steps of method ps wants a value" },
		{ "ps:steps=1.5", 0, 2, "option steps=1.5: wants a whole number" },
		{ "ps:timeout=x", 0, 2, "option timeout=x: wants a number" },
		{ "ps:timeout=1e9", 0, 2, "wants a number from 0.01 to 290" },
		{ "ps-async:lr=nan", 0, 2, "option lr=nan" },
		{ "ps:job=a b", 0, 2, "character that names may not have" },
		{ "ps", 2, 2, "rank 2 of 2" },
		{ "ps", -2, 2, "rank -2 of 2" },
		{ "ps", 0, 1000, "1000 ranks: there may be 1 to 64" },
	};
	struct membox_train *t;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(open_with(bad[i].method, bad[i].rank, bad[i].ranks, &t), -EINVAL);
		if (!strstr(membox_error(), bad[i].words))
			fail_msg("\"%s\" instead of \"...%s...\"", membox_error(), bad[i].words);
		assert_int_equal(membox_train_close(t), -EINVAL);
	}
}

static void the_environment_configures(void **state)
{
	struct membox_train *t;

	(void)state;
	unsetenv("MEMBOX_RANKS");
	setenv("MEMBOX", "file:/nonexistent/box", 1);
	assert_int_equal(membox_train_open(NULL, &t), -EINVAL);
	assert_non_null(strstr(membox_error(), "MEMBOX_RANKS is not set"));
	membox_train_close(t);
	setenv("MEMBOX_RANKS", "3", 1);
	setenv("MEMBOX_RANK", "three", 1);
	assert_int_equal(membox_train_open(NULL, &t), -EINVAL);
	assert_non_null(strstr(membox_error(), "MEMBOX_RANK=three"));
	membox_train_close(t);
	setenv("MEMBOX_RANK", "1", 1);
	setenv("MEMBOX_METHOD", "ps:nothing=1", 1);
	assert_int_equal(membox_train_open(NULL, &t), -EINVAL);
	assert_non_null(strstr(membox_error(), "no option 'nothing'"));
	membox_train_close(t);
	setenv("MEMBOX_METHOD", "ps-async:steps=3", 1);
	assert_int_equal(membox_train_open(NULL, &t), -ENOENT);
	assert_non_null(strstr(membox_error(), "/nonexistent/box"));
	membox_train_close(t);
	unsetenv("MEMBOX");
	unsetenv("MEMBOX_RANK");
	unsetenv("MEMBOX_RANKS");
	unsetenv("MEMBOX_METHOD");
}

static void errors_are_sticky(void **state)
{
	float w[4], g[4];
	struct membox_train *t;

	(void)state;
	assert_int_equal(open_with("ps", 0, 2, &t), -ENOENT);
	assert_int_equal(membox_train_tensor(t, "w", MEMBOX_F32, w, g, 4), -ENOENT);
	assert_int_equal(membox_train_start(t), -ENOENT);
	assert_int_equal(membox_train_begin(t, 0), -ENOENT);
	assert_int_equal(membox_train_step(t, 0.1), -ENOENT);
	assert_int_equal(membox_train_close(t), -ENOENT);
	assert_non_null(strstr(membox_error(), "/nonexistent/box"));
	assert_int_equal(membox_train_start(NULL), -ENOMEM);
	assert_int_equal(membox_train_close(NULL), -ENOMEM);
}

static int tensor_error(const char *name, enum membox_type type, const char *words)
{
	static float w[8], g[8];
	struct membox_train_config config = { .size = sizeof(config), .rank = 0, .ranks = 2 };
	struct membox_train *t;
	struct party p;
	int rc;

	party_make(&p, 1, "ps");
	config.box = p.uri;
	config.method = p.method;
	assert_int_equal(membox_train_open(&config, &t), 0);
	assert_int_equal(membox_train_tensor(t, "first", MEMBOX_F32, w, g, 4), 0);
	rc = membox_train_tensor(t, name, type, w + 4, g + 4, 4);
	if (!strstr(membox_error(), words))
		fail_msg("\"%s\" instead of \"...%s...\"", membox_error(), words);
	assert_int_equal(membox_train_close(t), rc);
	party_end(&p);
	return rc;
}

static void tensors_are_checked(void **state)
{
	(void)state;
	assert_int_equal(tensor_error("first", MEMBOX_F32, "'first' was added twice"), -EINVAL);
	assert_int_equal(tensor_error("b", MEMBOX_F64, "'b' is f64 and 'first' is f32"), -EINVAL);
	assert_int_equal(tensor_error("b", MEMBOX_I32, "type must be F32 or F64"), -EINVAL);
	assert_int_equal(tensor_error("", MEMBOX_F32, "name has 1 to 63 characters"), -EINVAL);
	assert_int_equal(tensor_error("b c", MEMBOX_F32, "has a blank"), -EINVAL);
}

static void calls_come_in_their_order(void **state)
{
	struct membox_train_config config = { .size = sizeof(config), .rank = 0, .ranks = 2 };
	struct membox_train *t;
	struct party p;

	(void)state;
	party_make(&p, 1, "ps");
	config.box = p.uri;
	config.method = p.method;
	assert_int_equal(membox_train_open(&config, &t), 0);
	assert_int_equal(membox_train_begin(t, 0), -EINVAL);
	assert_non_null(strstr(membox_error(), "membox_train_start comes first"));
	assert_int_equal(membox_train_close(t), -EINVAL);
	assert_int_equal(membox_train_open(&config, &t), 0);
	assert_int_equal(membox_train_start(t), -EINVAL);
	assert_non_null(strstr(membox_error(), "no tensor was added"));
	membox_train_close(t);
	party_end(&p);
}

static void another_shape_is_an_error_on_every_rank(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 3, "ps");
	p.rank[2].count_b = PARTY_B - 1;
	party_run(&p);
	party_assert_bad(&p, 0, -EPROTOTYPE,
			 "rank 2 has \"b f32 36\", rank 0 has \"b f32 37\"");
	party_end(&p);
}

static void a_missing_rank_is_an_error_at_the_start(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, "ps:start=0.3");
	party_start(&p, 1);
	party_join(&p, 1);
	party_assert_bad(&p, 1, -ETIMEDOUT, "joining job 'train'");
	party_end(&p);
}

static void a_late_worker_is_named(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 3, "ps:timeout=3");
	p.rank[2].stall_step = 3;
	p.rank[2].stall_until = &p.rank[0].ended;
	party_run(&p);
	party_assert_bad(&p, 0, -ETIMEDOUT, "rank 2 is late: nothing of step 3 within 3 s");
	party_end(&p);
}

static void a_late_worker_is_named_by_ps_async_too(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, "ps-async:timeout=3");
	p.rank[1].steps = 100000;
	p.rank[1].delay_us = 1000;
	p.rank[2].stall_step = 3;
	p.rank[2].stall_until = &p.rank[0].ended;
	party_run(&p);
	party_assert_bad(&p, 0, -ETIMEDOUT, "rank 2 is late: nothing of step 3 within 3 s");
	party_end(&p);
}

static void a_worker_that_stops_early_is_named(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 3, "ps");
	p.rank[3].steps = 5;
	party_run(&p);
	party_assert_bad(&p, 1u << 3, -EINVAL, "rank 3 stopped after 5 steps, rank 2 goes on");
	party_end(&p);
}

static void different_learning_rates_are_an_error(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, "ps");
	p.rank[2].lr = 0.2;
	party_run(&p);
	party_assert_bad(&p, 0, -EINVAL, "rank 2 steps with lr 0.2, rank 1 with 0.05 (step 0)");
	party_end(&p);
}

static void a_rank_that_is_taken_is_refused(void **state)
{
	struct party p;

	(void)state;
	party_make(&p, 2, "ps:start=3");
	p.rank[2].seat = 1;
	party_run(&p);
	assert_true(p.rank[1].error == -EADDRINUSE || p.rank[2].error == -EADDRINUSE);
	party_end(&p);
}

static int is_weights(void *arg, const struct membox_param_stat *stat)
{
	(void)arg;
	return !strcmp(stat->name, "train.w") && stat->finished > 2;
}

/* Have the weights been updated? */
static bool training_has_begun(struct membox *box)
{
	return membox_param_list(box, is_weights, NULL);
}

/* Looks at the areas of a training that runs, with no key and with a wrong one. */
static void areas_want_their_key(void **state)
{
	static const char *const names[] = { "train.w", "train.g1", "train.g2", "train.sum",
					     "train.ctl" };
	struct membox_key wrong = { { 1, 2 } };
	struct membox_param *param;
	struct membox *box;
	struct party p;
	unsigned int i, tries;
	int rc, looked = 0;

	(void)state;
	party_make(&p, 2, "ps");
	p.rank[2].stall_step = 2;
	p.rank[2].stall_until = &looked;
	assert_int_equal(membox_open(p.uri, NULL, &box), 0);
	party_start(&p, 0);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (tries = 0; tries < 10000; tries++) {
			rc = membox_param_attach(box, names[i], NULL, 0, &param);
			if (rc != -ENOENT)
				break;
			usleep(1000);
		}
		assert_int_equal(rc, -EKEYREJECTED);
		assert_int_equal(membox_param_attach(box, names[i], &wrong, 0, &param), -EKEYREJECTED);
	}
	__atomic_store_n(&looked, 1, __ATOMIC_RELEASE);
	party_join(&p, 0);
	party_assert_good(&p);
	membox_close(box);
	party_end(&p);
}

/* Rank 2 is a process of its own that is killed before its third step. */
static void kill_one(const char *method)
{
	struct membox_info before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	const unsigned int victim = 2;
	struct membox *box;
	struct party p;
	unsigned int r;
	pid_t child;

	party_make(&p, 3, method);
	for (r = 1; r < p.ranks; r++) {
		p.rank[r].steps = 100000;
		p.rank[r].delay_us = 1000;
	}
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		p.rank[victim].stall_step = 2;
		p.rank[victim].stall_us = 60000000;
		party_rank(&p.rank[victim]);
		_exit(0);
	}
	assert_int_equal(membox_open(p.uri, NULL, &box), 0);
	assert_int_equal(membox_info(box, &before), 0);
	for (r = 0; r < p.ranks; r++)
		if (r != victim)
			assert_int_equal(pthread_create(&p.rank[r].thread, NULL, party_rank,
							&p.rank[r]), 0);
	while (!training_has_begun(box))
		usleep(1000);
	usleep(300000); /* by then it sleeps; were it not, it would die earlier: as good */
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (r = 0; r < p.ranks; r++)
		if (r != victim)
			pthread_join(p.rank[r].thread, NULL);
	party_assert_bad(&p, 1u << victim, -EOWNERDEAD, "rank 2 died");
	assert_int_equal(membox_info(box, &after), 0);
	assert_int_equal(after.free_bytes, before.free_bytes);
	membox_close(box);
	party_end(&p);
}

static void a_killed_worker_is_named(void **state)
{
	(void)state;
	kill_one("ps:timeout=20");
}

static void a_killed_worker_is_named_by_ps_async_too(void **state)
{
	(void)state;
	kill_one("ps-async:timeout=20");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration_is_checked),
		cmocka_unit_test(the_environment_configures),
		cmocka_unit_test(errors_are_sticky),
		cmocka_unit_test(tensors_are_checked),
		cmocka_unit_test(calls_come_in_their_order),
		cmocka_unit_test(another_shape_is_an_error_on_every_rank),
		cmocka_unit_test(a_missing_rank_is_an_error_at_the_start),
		cmocka_unit_test(a_late_worker_is_named),
		cmocka_unit_test(a_late_worker_is_named_by_ps_async_too),
		cmocka_unit_test(a_worker_that_stops_early_is_named),
		cmocka_unit_test(different_learning_rates_are_an_error),
		cmocka_unit_test(a_rank_that_is_taken_is_refused),
		cmocka_unit_test(areas_want_their_key),
		cmocka_unit_test(a_killed_worker_is_named),
		cmocka_unit_test(a_killed_worker_is_named_by_ps_async_too),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
