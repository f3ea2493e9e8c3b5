// SPDX-License-Identifier: MIT
/*
 * lib_sync.c - versions, waiting, events and what they count, locks, groups,
 * and keys that travel through them. Other boxes of one process stand for other
 * processes: each is a port of its own.
 */
#include "lib_box.h"

#include <poll.h>
#include <pthread.h>

static struct membox *box, *other;
static struct membox_param *param, *seen;

static int setup(void **state)
{
	setup_box(state);
	box = open_box();
	other = open_box();
	param = get_param(box, "w", MEMBOX_I64, 8);
	seen = get_param(other, "w", MEMBOX_I64, 8);
	return 0;
}

static int teardown(void **state)
{
	membox_close(other);
	membox_close(box);
	return teardown_box(state);
}

/* ---- versions and waiting ---- */

static void every_change_is_a_version(void **state)
{
	int64_t value = 1;
	uint64_t version = 99;

	(void)state;
	good(membox_read(param, 0, 1, &value, &version));
	assert_int_equal(version, 0);
	good(membox_write(param, 0, 1, &value));
	good(membox_acc(param, 0, 1, &value, MEMBOX_I64, 1));
	good(membox_fetch_add(param, 0, 1, NULL));
	good(membox_notify(param));
	good(membox_read(seen, 0, 1, &value, &version));
	assert_int_equal(version, 4);
	good(membox_wait_version(seen, 3, LONG_ENOUGH, &version));
	assert_int_equal(version, 4);
	refused(membox_wait_version(seen, 4, A_MOMENT, &version), ETIMEDOUT, MEMBOX_ST_TIMED_OUT,
		"WAIT", "'w'", "0.020 s");
	refused(membox_wait_version(seen, 4, 0, NULL), ETIMEDOUT, MEMBOX_ST_TIMED_OUT);
	refused(membox_wait_version(seen, 4, INT64_MAX, NULL), EINVAL, MEMBOX_ST_BAD_TIMEOUT,
		"ten minutes");
}

static void *change_soon(void *arg)
{
	(void)arg;
	sleep_ms(20);
	membox_fetch_add(param, 2, -3, NULL);
	return NULL;
}

static void a_waiter_is_woken_by_another_port(void **state)
{
	pthread_t thread;
	uint64_t version;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, change_soon, NULL), 0);
	good(membox_wait_version(seen, 0, LONG_ENOUGH, &version));
	assert_int_equal(version, 1);
	pthread_join(thread, NULL);
	assert_int_equal(pthread_create(&thread, NULL, change_soon, NULL), 0);
	good(membox_wait_word(seen, 2, MEMBOX_LT, -5, LONG_ENOUGH));
	pthread_join(thread, NULL);
}

static void words_are_compared_as_signed(void **state)
{
	static const struct {
		enum membox_cmp cmp;
		int64_t below, equal, above; /* does -5 compare so with -6, -5, 7? */
	} rows[] = {
		{ MEMBOX_EQ, 0, 1, 0 }, { MEMBOX_NE, 1, 0, 1 }, { MEMBOX_LT, 0, 0, 1 },
		{ MEMBOX_LE, 0, 1, 1 }, { MEMBOX_GT, 1, 0, 0 }, { MEMBOX_GE, 1, 1, 0 },
	};
	size_t i;

	(void)state;
	good(membox_swap(param, 0, -5, NULL));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(!membox_wait_word(seen, 0, rows[i].cmp, -6, 0), rows[i].below);
		assert_int_equal(!membox_wait_word(seen, 0, rows[i].cmp, -5, 0), rows[i].equal);
		assert_int_equal(!membox_wait_word(seen, 0, rows[i].cmp, 7, 0), rows[i].above);
	}
	refused(membox_wait_word(seen, 8, MEMBOX_EQ, 0, 0), ERANGE, MEMBOX_ST_OUT_OF_RANGE, "'w'");
	refused(membox_wait_word(seen, 0, (enum membox_cmp)99, 0, 0), EINVAL, MEMBOX_ST_BAD_SUBOP);
}

/* ---- events ---- */

static void subscribers_see_the_last_version_and_count_the_others(void **state)
{
	struct membox_change change;
	uint64_t told = 0;
	int i;

	(void)state;
	refused(membox_event_read(other, 0, &change), EAGAIN, MEMBOX_ST_AGAIN, "event_read");
	good(membox_param_subscribe(seen, 1));
	good(membox_notify(param));
	good(membox_event_read(other, LONG_ENOUGH, &change));
	assert_ptr_equal(change.param, seen);
	assert_int_equal(change.version, 1);
	assert_int_equal(change.missed, 0);
	for (i = 0; i < 100; i++)
		good(membox_notify(param));
	while (told < 100) {
		uint64_t before = change.version;

		good(membox_event_read(other, LONG_ENOUGH, &change));
		told += 1 + change.missed;
		assert_int_equal(change.version, before + 1 + change.missed);
	}
	assert_int_equal(told, 100);
	assert_int_equal(change.version, 101);
	refused(membox_event_read(other, A_MOMENT, &change), ETIMEDOUT, 0, "in time");
	good(membox_param_subscribe(seen, 0));
	good(membox_notify(param));
	assert_int_equal(membox_event_read(other, A_MOMENT, &change), -ETIMEDOUT);
	assert_int_equal(membox_event_read(box, 0, &change), -EAGAIN); /* never asked for any */
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* Until both queues are empty, as the header asks. */
static void drain(void)
{
	struct membox_mail mail = { .size = sizeof(mail) };
	struct membox_change change;

	while (!membox_event_read(other, 0, &change))
		;
	while (!membox_mail_recv(other, 0, &mail))
		;
}

static void the_descriptor_of_events_is_readable_when_there_are_some(void **state)
{
	struct membox_change change;
	int fd = membox_event_fd(other);

	(void)state;
	good(fd);
	assert_int_equal(membox_event_fd(other), fd);
	drain();
	assert_false(readable(fd, 0));
	good(membox_param_subscribe(seen, 1));
	good(membox_notify(param));
	assert_true(readable(fd, 60000));
	good(membox_event_read(other, LONG_ENOUGH, &change));
	assert_int_equal(change.version, 1);
	drain();
	assert_false(readable(fd, 0));
	good(membox_notify(param));
	assert_true(readable(fd, 60000));
}

/* ---- locks ---- */

static void a_lock_is_one_holders(void **state)
{
	(void)state;
	good(membox_param_lock(param, 0));
	refused(membox_param_lock(seen, A_MOMENT), ETIMEDOUT, MEMBOX_ST_TIMED_OUT, "param_lock",
		"'w'");
	assert_true(membox_param_unlock(seen) < 0);
	good(membox_param_unlock(param));
	good(membox_param_lock(seen, 0));
	good(membox_param_unlock(seen));
	assert_true(membox_param_unlock(seen) < 0);
}

static void lock_and_die(int number)
{
	struct membox_param *mine;
	struct membox *own;

	(void)number;
	child_check(!membox_open(box_uri, NULL, &own));
	child_check(!membox_param_attach(own, "w", NULL, 0, &mine));
	child_check(!membox_param_lock(mine, 0));
	_exit(0); /* with the lock held */
}

static void a_lock_goes_with_its_holder(void **state)
{
	(void)state;
	await_child(start_child(lock_and_die, 0));
	good(membox_param_lock(param, LONG_ENOUGH));
	good(membox_param_unlock(param));
}

/* ---- groups ---- */

static void *join_as_one(void *arg)
{
	struct membox_group **group = arg;

	return (void *)(intptr_t)membox_group_join(other, "g", 2, 1, LONG_ENOUGH, group);
}

static void join_both(struct membox_group **zero, struct membox_group **one)
{
	pthread_t thread;
	void *ret;

	assert_int_equal(pthread_create(&thread, NULL, join_as_one, one), 0);
	good(membox_group_join(box, "g", 2, 0, LONG_ENOUGH, zero));
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, 0);
}

static void joining_waits_for_all(void **state)
{
	struct membox_group_info info = { .size = sizeof(info) };
	struct membox_group *zero, *one;

	(void)state;
	join_both(&zero, &one);
	assert_int_equal(membox_group_rank(zero), 0);
	assert_int_equal(membox_group_rank(one), 1);
	assert_int_equal(membox_group_ranks(one), 2);
	good(membox_group_info(one, &info));
	assert_int_equal(info.rank, 1);
	assert_int_equal(info.ranks, 2);
	assert_int_equal(info.joined, 2);
	assert_int_equal(info.dead, -1);
	assert_int_equal(info.state[0], MEMBOX_SEAT_LIVE);
	assert_int_equal(info.state[1], MEMBOX_SEAT_LIVE);
	membox_group_leave(zero);
	good(membox_group_info(one, &info));
	assert_int_equal(info.joined, 1);
	info.size = 1;
	assert_int_equal(membox_group_info(one, &info), -EINVAL);
	membox_group_leave(one);
	membox_group_leave(NULL);
}

static void who_does_not_come_is_named(void **state)
{
	struct membox_group *group = NULL;

	(void)state;
	refused(membox_group_join(box, "g", 3, 1, A_MOMENT, &group), ETIMEDOUT, 0, "'g'",
		"1 of 3 ranks", "not rank 0, 2");
	/* the seat was given back */
	refused(membox_group_join(other, "g", 3, 1, A_MOMENT, &group), ETIMEDOUT, 0, "1 of 3");
	assert_null(group);
}

static void seats_and_sizes_are_checked(void **state)
{
	struct membox_group *group = NULL, *first;

	(void)state;
	good(membox_group_join(box, "g", 1, 0, LONG_ENOUGH, &first));
	refused(membox_group_join(other, "g", 1, 0, A_MOMENT, &group), EADDRINUSE, MEMBOX_ST_BAD_RANK,
		"'g'");
	refused(membox_group_join(other, "g", 2, 1, A_MOMENT, &group), EPROTOTYPE,
		MEMBOX_ST_SHAPE_MISMATCH, "'g'");
	refused(membox_group_join(other, "h", 0, 0, 0, &group), EINVAL, MEMBOX_ST_BAD_ARGUMENT);
	refused(membox_group_join(other, "h", 65, 0, 0, &group), EINVAL, MEMBOX_ST_BAD_ARGUMENT, "64");
	refused(membox_group_join(other, "h", 2, 2, 0, &group), EINVAL, MEMBOX_ST_BAD_ARGUMENT,
		"rank 2 of 2");
	refused(membox_group_join(other, "", 1, 0, 0, &group), EINVAL, MEMBOX_ST_BAD_NAME);
	assert_null(group);
	membox_group_leave(first);
}

static void a_keyed_group_wants_its_key(void **state)
{
	const struct membox_key key = { { 3, 4 } }, wrong = { { 3, 5 } };
	struct membox_group *group = NULL, *first;

	(void)state;
	refused(membox_group_join_keyed(box, "k", 1, 0, NULL, 0, &group), EINVAL, 0, "'k'");
	good(membox_group_join_keyed(box, "k", 1, 0, &key, LONG_ENOUGH, &first));
	assert_int_equal(membox_group_join_keyed(other, "k", 1, -1, &wrong, A_MOMENT, &group),
			 -EKEYREJECTED);
	assert_int_equal(membox_group_join(other, "k", 1, -1, A_MOMENT, &group), -EKEYREJECTED);
	/* the right key finds that there is no seat left */
	assert_int_equal(membox_group_join_keyed(other, "k", 1, 0, &key, A_MOMENT, &group),
			 -EADDRINUSE);
	membox_group_leave(first);
}

static void a_granted_key_arrives(void **state)
{
	const struct membox_shape shape = { MEMBOX_F32, 10, 0 };
	struct membox_mail mail = { .size = sizeof(mail) };
	struct membox_param *secret, *opened;
	struct membox_group *zero, *one;
	struct membox_key key;

	(void)state;
	join_both(&zero, &one);
	good(membox_param_create(box, "secret", &shape, 0, &key, &secret));
	refused(membox_mail_recv(other, 0, &mail), EAGAIN, MEMBOX_ST_AGAIN, "mail_recv");
	refused(membox_mail_recv(other, A_MOMENT, &mail), ETIMEDOUT, 0, "in time");
	good(membox_param_grant(secret, zero, 1));
	good(membox_mail_recv(other, LONG_ENOUGH, &mail));
	assert_string_equal(mail.name, "secret");
	assert_string_equal(mail.group, "g");
	assert_memory_equal(&mail.key, &key, sizeof(key));
	good(membox_param_attach(other, mail.name, &mail.key, 0, &opened));
	refused(membox_param_grant(secret, zero, 2), EADDRINUSE, MEMBOX_ST_BAD_RANK, "'secret'",
		"rank 2", "'g'");
	refused(membox_param_grant(secret, one, 0), EINVAL, 0, "another box");
	refused(membox_param_grant(param, zero, 1), ENOKEY, 0, "'w'");
	mail.size = 4;
	assert_int_equal(membox_mail_recv(other, 0, &mail), -EINVAL);
	good(membox_param_destroy(secret));
	membox_group_leave(one);
	membox_group_leave(zero);
}

static void join_and_stay(int ranks)
{
	struct membox_group *group;
	struct membox *own;

	child_check(!membox_open(box_uri, NULL, &own));
	child_check(!membox_group_join(own, "g", ranks, 1, LONG_ENOUGH, &group));
	pause();
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_dead_rank_is_known(void **state)
{
	struct membox_group_info info = { .size = sizeof(info) };
	struct membox_group *group;
	pid_t pid = start_child(join_and_stay, 2);
	int tries = 0;

	(void)state;
	good(membox_group_join(box, "g", 2, 0, LONG_ENOUGH, &group));
	end_child(pid);
	do {
		good(membox_group_info(group, &info));
		sleep_ms(10);
	} while (info.dead < 0 && ++tries < 6000);
	assert_int_equal(info.dead, 1);
	assert_int_equal(info.state[1], MEMBOX_SEAT_DEAD);
	membox_group_leave(group);
}

static void *join_four(void *arg)
{
	struct membox_group *group;

	(void)arg;
	if (membox_group_join(box, "g", 4, 0, LONG_ENOUGH, &group) != -EOWNERDEAD)
		return "it did not notice";
	return strstr(membox_error(), "rank 1") ? NULL : "it did not say who";
}

static void who_dies_while_others_join_is_named(void **state)
{
	struct membox_group *group;
	pthread_t thread;
	void *wrong;
	pid_t pid = start_child(join_and_stay, 4);

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, join_four, NULL), 0);
	do { /* with this one there are three: both others have their seats */
		assert_int_equal(membox_group_join(other, "g", 4, 2, A_MOMENT, &group), -ETIMEDOUT);
	} while (!strstr(membox_error(), "3 of 4"));
	end_child(pid);
	pthread_join(thread, &wrong);
	if (wrong)
		fail_msg("%s", (char *)wrong);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(every_change_is_a_version),
		CASE(a_waiter_is_woken_by_another_port),
		CASE(words_are_compared_as_signed),
		CASE(subscribers_see_the_last_version_and_count_the_others),
		CASE(the_descriptor_of_events_is_readable_when_there_are_some),
		CASE(a_lock_is_one_holders),
		CASE(a_lock_goes_with_its_holder),
		CASE(joining_waits_for_all),
		CASE(who_does_not_come_is_named),
		CASE(seats_and_sizes_are_checked),
		CASE(a_keyed_group_wants_its_key),
		CASE(a_granted_key_arrives),
		CASE(a_dead_rank_is_known),
		CASE(who_dies_while_others_join_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
