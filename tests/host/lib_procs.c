// SPDX-License-Identifier: MIT
/*
 * lib_procs.c - many processes, and many threads, on one box: no addition is
 * lost, with the box's arithmetic or the library's, also when one is killed.
 */
#include "lib_box.h"

#include <pthread.h>

#define PROCESSES 4
#define ROUNDS 1500
#define ELEMENTS 3000

static struct membox *open_less(bool fallback)
{
	struct membox_open_opts opts = { .size = sizeof(opts) };
	struct membox *box = NULL;

	if (fallback)
		opts.caps_off = MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR;
	child_check(!membox_open(box_uri, &opts, &box));
	return box;
}

/* Waits until all processes are here, so that what they do overlaps. */
static void meet(struct membox *box)
{
	struct membox_param *gate;

	child_check(!membox_param_attach(box, "gate", NULL, 0, &gate));
	child_check(!membox_fetch_add(gate, 0, 1, NULL));
	child_check(!membox_wait_word(gate, 0, MEMBOX_GE, PROCESSES, LONG_ENOUGH));
}

static void add_whole_numbers(bool fallback, int number)
{
	struct membox *box = open_less(fallback);
	struct membox_param *param;
	double ones[ELEMENTS];
	int i;

	child_check(!membox_param_attach(box, "sum", NULL, 0, &param));
	for (i = 0; i < ELEMENTS; i++)
		ones[i] = 1;
	meet(box);
	for (i = 0; i < ROUNDS; i++)
		child_check(!membox_acc(param, 0, ELEMENTS, ones, MEMBOX_F64, number + 1));
	membox_close(box);
}

static void add_in_the_box(int number)
{
	add_whole_numbers(false, number);
}

static void add_in_the_library(int number)
{
	add_whole_numbers(true, number);
}

static void sum_is_exact(void (*add)(int number))
{
	struct membox *box = open_box();
	struct membox_param *param = get_param(box, "sum", MEMBOX_F64, ELEMENTS);
	double sum[ELEMENTS];
	pid_t pid[PROCESSES];
	int i;

	get_param(box, "gate", MEMBOX_I64, 1);
	for (i = 0; i < PROCESSES; i++)
		pid[i] = start_child(add, i);
	for (i = 0; i < PROCESSES; i++)
		await_child(pid[i]);
	good(membox_read(param, 0, ELEMENTS, sum, NULL));
	for (i = 0; i < ELEMENTS; i++)
		assert_true(sum[i] == ROUNDS * PROCESSES * (PROCESSES + 1) / 2);
	membox_close(box);
}

static void processes_lose_no_addition(void **state)
{
	(void)state;
	sum_is_exact(add_in_the_box);
}

static void processes_lose_no_addition_of_the_fallback(void **state)
{
	(void)state;
	sum_is_exact(add_in_the_library);
}

/* ---- one is killed ---- */

static void add_for_ever(int number)
{
	struct membox *box = open_less(true);
	struct membox_param *param;
	double ones[ELEMENTS];
	int i;

	(void)number;
	child_check(!membox_param_attach(box, "sum", NULL, 0, &param));
	for (i = 0; i < ELEMENTS; i++)
		ones[i] = 1;
	for (;;)
		child_check(!membox_acc(param, 0, ELEMENTS, ones, MEMBOX_F64, 1));
}

/* Whoever dies, with the lock held or not, stops nobody and tears nothing. */
static void a_killed_process_stops_nobody(void **state)
{
	struct membox *box = open_less(true);
	struct membox_param *param = get_param(box, "sum", MEMBOX_F64, ELEMENTS);
	double sum[ELEMENTS], ones[ELEMENTS];
	int round, i;

	(void)state;
	for (i = 0; i < ELEMENTS; i++)
		ones[i] = 1;
	for (round = 0; round < 8; round++) {
		struct membox_param_stat stat = { .size = sizeof(stat) };
		pid_t pid = start_child(add_for_ever, 0);

		for (i = 0; i < 10; i++) /* and compete with it */
			good(membox_acc(param, 0, ELEMENTS, ones, MEMBOX_F64, 1));
		sleep_ms(1 + round);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		good(membox_acc(param, 0, ELEMENTS, ones, MEMBOX_F64, 1));
		good(membox_param_stat(param, &stat));
		assert_int_equal(stat.torn, 0);
		good(membox_read(param, 0, ELEMENTS, sum, NULL));
		for (i = 1; i < ELEMENTS; i++)
			assert_true(sum[i] == sum[0]);
	}
	membox_close(box);
}

/* ---- names ---- */

static void find_or_create(int number)
{
	const struct membox_shape shape = { MEMBOX_F32, 1000, 0 };
	struct membox *box = open_less(false);
	struct membox_param *param, *votes;
	char name[16];
	int i;

	(void)number;
	child_check(!membox_param_attach(box, "votes", NULL, 0, &votes));
	meet(box);
	for (i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "shared-%d", i);
		child_check(!membox_param_get(box, name, &shape, 0, &param));
		if (membox_param_created(param))
			child_check(!membox_fetch_add(votes, (uint64_t)i, 1, NULL));
		child_check(!membox_fetch_add(votes, 20 + (uint64_t)i,
					      (int64_t)membox_param_address(param), NULL));
	}
	membox_close(box);
}

static void one_name_at_once_is_one_parameter(void **state)
{
	struct membox *box = open_box();
	struct membox_param *votes = get_param(box, "votes", MEMBOX_I64, 40), *param;
	int64_t count[40];
	pid_t pid[PROCESSES];
	char name[16];
	int i;

	(void)state;
	get_param(box, "gate", MEMBOX_I64, 1);
	for (i = 0; i < PROCESSES; i++)
		pid[i] = start_child(find_or_create, i);
	for (i = 0; i < PROCESSES; i++)
		await_child(pid[i]);
	good(membox_read(votes, 0, 40, count, NULL));
	for (i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "shared-%d", i);
		good(membox_param_attach(box, name, NULL, 0, &param));
		assert_int_equal(count[i], 1);
		assert_int_equal(count[20 + i], PROCESSES * (int64_t)membox_param_address(param));
	}
	membox_close(box);
}

/* ---- threads ---- */

struct worker {
	pthread_t thread;
	struct membox *box;
	struct membox_param *sum, *word;
	int failures;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct membox_chan *chan;
	struct membox_done done[4];
	struct membox_op op[4];
	double ones[100], got[100];
	int i, k;

	for (i = 0; i < 100; i++)
		ones[i] = 1;
	w->failures += !!membox_chan_open(w->box, 4, &chan);
	for (i = 0; i < 100 && !w->failures; i++) {
		w->failures += !!membox_acc(w->sum, 0, 100, ones, MEMBOX_F64, 1);
		w->failures += !!membox_fetch_add(w->word, 0, 1, NULL);
		w->failures += !!membox_read(w->sum, 0, 100, got, NULL);
		for (k = 0; k < 4; k++)
			membox_prep_acc(&op[k], w->sum, 0, 100, ones, MEMBOX_F64, 1);
		w->failures += membox_submit(chan, op, 4) != 4;
		w->failures += membox_reap(chan, done, 4, 4, LONG_ENOUGH) != 4;
		for (k = 0; k < 4; k++)
			w->failures += done[k].error != 0;
	}
	w->failures += membox_read(w->sum, 100, 1, got, NULL) != -ERANGE;
	w->failures += !strstr(membox_error(), "'sum'"); /* the text is this thread's */
	membox_chan_close(chan);
	return NULL;
}

static void threads_share(bool fallback)
{
	struct worker worker[4];
	struct membox *box = open_less(fallback);
	struct membox_param *sum = get_param(box, "sum", MEMBOX_F64, 100);
	struct membox_param *word = get_param(box, "word", MEMBOX_I64, 1);
	double got[100];
	int64_t count;
	int i;

	for (i = 0; i < 4; i++) {
		worker[i] = (struct worker){ .box = box, .sum = sum, .word = word };
		assert_int_equal(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(worker[i].thread, NULL);
		assert_int_equal(worker[i].failures, 0);
	}
	good(membox_read(sum, 0, 100, got, NULL));
	for (i = 0; i < 100; i++)
		assert_true(got[i] == 4 * 100 * 5);
	good(membox_fetch_add(word, 0, 0, &count));
	assert_int_equal(count, 400);
	membox_close(box);
}

static void threads_share_a_box(void **state)
{
	(void)state;
	threads_share(false);
}

static void threads_share_the_fallback(void **state)
{
	(void)state;
	threads_share(true);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_box, teardown_box)
	const struct CMUnitTest tests[] = {
		CASE(processes_lose_no_addition),
		CASE(processes_lose_no_addition_of_the_fallback),
		CASE(a_killed_process_stops_nobody),
		CASE(one_name_at_once_is_one_parameter),
		CASE(threads_share_a_box),
		CASE(threads_share_the_fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
