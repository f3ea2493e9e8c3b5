// SPDX-License-Identifier: MIT
/*
 * lib_coll.c - collectives by the library, ranks in processes of their own: all six
 * calls, in channels, what is said when something is wrong, a rank that is killed and
 * replaced, and boxes that have no collectives.
 */
#include "lib_box.h"

#define RANKS 3

static struct membox *box;
static struct membox_group *group;
static int ranks = RANKS;

/* In a child, and in the test itself. */
static void join(int rank)
{
	box = NULL;
	if (membox_open(box_uri, NULL, &box) ||
	    membox_group_join(box, "ranks", ranks, rank, LONG_ENOUGH, &group)) {
		fprintf(stderr, "# rank %d: %s\n", rank, membox_error());
		_exit(1);
	}
}

static void part(void)
{
	membox_group_leave(group);
	membox_close(box);
}

/* Runs work in all ranks: rank 0 is this process. */
static void in_all(void (*work)(int rank))
{
	pid_t pid[RANKS];

	for (int r = 1; r < ranks; r++)
		pid[r] = start_child(work, r);
	work(0);
	for (int r = 1; r < ranks; r++)
		await_child(pid[r]);
}

/* ---- the six ---- */

#define MANY 100000

static float from[RANKS * MANY], to[RANKS * MANY];

static void six(int rank)
{
	const int sum = RANKS * (RANKS - 1) / 2;

	join(rank);
	for (int round = 0; round < 2; round++) {
		int n = round ? MANY : 5;

		for (int i = 0; i < RANKS * n; i++)
			from[i] = (float)(i % 1000 + rank);
		child_check(!membox_allreduce(group, from, to, (uint64_t)n, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH));
		for (int i = 0; i < n; i++)
			child_check(to[i] == (float)(RANKS * (i % 1000) + sum));
		child_check(!membox_reduce(group, from, to, (uint64_t)n, MEMBOX_F32, MEMBOX_MAX, 1, LONG_ENOUGH));
		for (int i = 0; i < n && rank == 1; i++)
			child_check(to[i] == (float)(i % 1000 + RANKS - 1));
		child_check(!membox_reduce_scatter(group, from, to, (uint64_t)n, MEMBOX_F32, MEMBOX_SUM,
						   LONG_ENOUGH));
		for (int i = 0; i < n; i++)
			child_check(to[i] == (float)(RANKS * ((rank * n + i) % 1000) + sum));
		child_check(!membox_allgather(group, from, to, (uint64_t)n, MEMBOX_F32, LONG_ENOUGH));
		for (int i = 0; i < RANKS * n; i++)
			child_check(to[i] == (float)(i % n % 1000 + i / n));
		child_check(!membox_broadcast(group, from, (uint64_t)n, MEMBOX_F32, 2, LONG_ENOUGH));
		for (int i = 0; i < n; i++)
			child_check(from[i] == (float)(i % 1000 + 2));
		child_check(!membox_barrier(group, LONG_ENOUGH));
		/* in place */
		child_check(!membox_allreduce(group, from, from, (uint64_t)n, MEMBOX_F32, MEMBOX_MIN, LONG_ENOUGH));
		for (int i = 0; i < n; i++)
			child_check(from[i] == (float)(i % 1000 + 2));
	}
	part();
}

static void all_six_calls(void **state)
{
	(void)state;
	in_all(six);
}

/* ---- channels ---- */

static void flights(int rank)
{
	struct membox_chan *chan;
	struct membox_op op[20];
	struct membox_done done[20];
	int64_t in[20], out[20];
	int n, got = 0;

	join(rank);
	child_check(!membox_chan_open(box, 32, &chan));
	for (n = 0; n < 20; n++) {
		in[n] = n * (rank + 1);
		membox_prep_allreduce(&op[n], group, &in[n], &out[n], 1, MEMBOX_I64, MEMBOX_SUM);
		op[n].user_data = (uint64_t)n;
		op[n].timeout = LONG_ENOUGH;
	}
	child_check(membox_submit(chan, op, 20) == 20);
	while (got < 20) {
		n = membox_reap(chan, done, 20, 1, LONG_ENOUGH);
		child_check(n > 0);
		for (int i = 0; i < n; i++)
			child_check(!done[i].error && out[done[i].user_data] ==
				    (int64_t)done[i].user_data * RANKS * (RANKS + 1) / 2);
		got += n;
	}
	membox_chan_close(chan);
	part();
}

static void many_in_a_channel(void **state)
{
	(void)state;
	in_all(flights);
}

/* More than the box takes at once becomes several packets. */
static void split(int rank)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .max_bytes = 40000 };

	child_check(!membox_open(box_uri, &opts, &box));
	child_check(!membox_group_join(box, "ranks", ranks, rank, LONG_ENOUGH, &group));
	for (int i = 0; i < MANY; i++)
		from[i] = (float)(i % 1000 + rank);
	child_check(!membox_allreduce(group, from, to, MANY, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH));
	for (int i = 0; i < MANY; i++)
		child_check(to[i] == (float)(RANKS * (i % 1000) + RANKS * (RANKS - 1) / 2));
	part();
}

static void long_ones_are_split(void **state)
{
	(void)state;
	in_all(split);
}

/* ---- errors ---- */

#define said(word) child_check(strstr(membox_error(), word))

static void wrong(int rank)
{
	float x = 1, y[RANKS];

	join(rank);
	/* one wants another length */
	child_check(membox_allreduce(group, y, y, rank == 2 ? 2 : 1, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH) ==
		    -EPROTOTYPE);
	said("rank 2 wants");
	/* memory that is not there is refused, and does not count */
	if (rank == 0) {
		child_check(membox_allreduce(group, (void *)16, y, 1, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH) == -EFAULT);
		child_check(membox_allreduce(group, &x, (void *)16, 1, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH) == -EFAULT);
		child_check(membox_broadcast(group, &x, 1, MEMBOX_F32, 7, LONG_ENOUGH) < 0);
	}
	child_check(!membox_allreduce(group, &x, y, 1, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH) && y[0] == RANKS);
	/* rank 1 comes late */
	if (rank == 1)
		sleep_ms(300);
	child_check(membox_barrier(group, SECOND / 20) == -ETIMEDOUT);
	said("rank 1");
	child_check(!membox_barrier(group, LONG_ENOUGH));
	/* and leaves: the others are told, and so is the next call */
	if (rank == 1) {
		part();
		return;
	}
	child_check(membox_barrier(group, LONG_ENOUGH) == -ESTALE);
	child_check(membox_barrier(group, LONG_ENOUGH) == -ESTALE);
	said("renew");
	part();
}

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	in_all(wrong);
}

static void doomed(int rank)
{
	join(rank);
	child_check(!membox_barrier(group, LONG_ENOUGH));
	raise(SIGKILL);
}

static void replaced(int rank)
{
	float x = (float)rank, y;

	join(rank);
	child_check(!membox_allreduce(group, &x, &y, 1, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH) && y == 3);
	part();
}

static void survive(int rank)
{
	float x = (float)rank, y;
	int ret;

	join(rank);
	child_check(!membox_barrier(group, LONG_ENOUGH));
	ret = membox_barrier(group, LONG_ENOUGH);
	child_check(ret == -EOWNERDEAD || ret == -ESTALE);
	if (ret == -EOWNERDEAD)
		said("rank 2");
	child_check(!membox_group_renew(group, LONG_ENOUGH));
	child_check(!membox_allreduce(group, &x, &y, 1, MEMBOX_F32, MEMBOX_SUM, LONG_ENOUGH) && y == 3);
	part();
}

static void a_killed_rank_is_replaced(void **state)
{
	pid_t pid[2], dead;
	int status;

	(void)state;
	pid[0] = start_child(survive, 0);
	pid[1] = start_child(survive, 1);
	dead = start_child(doomed, 2);
	assert_int_equal(waitpid(dead, &status, 0), dead);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	dead = start_child(replaced, 2);
	await_child(dead);
	await_child(pid[0]);
	await_child(pid[1]);
	good(membox_open(box_uri, NULL, &box));
	assert_int_equal(membox_fsck(box, NULL, NULL), 0);
	membox_close(box);
}

static void a_box_without_collectives_says_so(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .caps_off = MEMBOX_CAP_COLLECTIVES };
	struct membox *other;
	float x = 0;

	(void)state;
	good(membox_open(box_uri, &opts, &box));
	good(membox_group_join(box, "alone", 1, 0, LONG_ENOUGH, &group));
	refused(membox_barrier(group, SECOND), EOPNOTSUPP, MEMBOX_ST_UNSUPPORTED, "BARRIER", "alone");
	refused(membox_allreduce(group, &x, &x, 1, MEMBOX_F32, MEMBOX_SUM, SECOND), EOPNOTSUPP,
		MEMBOX_ST_UNSUPPORTED, "ALLREDUCE");
	part();
	refused(membox_barrier(NULL, SECOND), EINVAL, 0, "no group");
	good(membox_open(box_uri, NULL, &box));
	good(membox_open(box_uri, NULL, &other));
	good(membox_group_join(box, "alone", 1, 0, LONG_ENOUGH, &group));
	{
		struct membox_op op;

		membox_prep_barrier(&op, group);
		refused(membox_run(other, &op, NULL), EINVAL, 0, "another box");
	}
	good(membox_barrier(group, SECOND));
	membox_close(other);
	part();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_six_calls, setup_box, teardown_box),
		cmocka_unit_test_setup_teardown(many_in_a_channel, setup_box, teardown_box),
		cmocka_unit_test_setup_teardown(long_ones_are_split, setup_box, teardown_box),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_said, setup_box, teardown_box),
		cmocka_unit_test_setup_teardown(a_killed_rank_is_replaced, setup_box, teardown_box),
		cmocka_unit_test_setup_teardown(a_box_without_collectives_says_so, setup_box, teardown_box),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
