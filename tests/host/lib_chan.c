// SPDX-License-Identifier: MIT
/*
 * lib_chan.c - channels: many operations in flight, reaping, time-outs, fences,
 * cancelling, and poll().
 */
#include "lib_box.h"

#include <poll.h>

static struct membox *box;
static struct membox_chan *chan;

static int setup(void **state)
{
	setup_box(state);
	box = open_box();
	good(membox_chan_open(box, 8, &chan));
	return 0;
}

static int teardown(void **state)
{
	membox_chan_close(chan);
	membox_close(box);
	return teardown_box(state);
}

static void all_that_is_submitted_is_reaped_once(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, 80);
	struct membox_op op[8];
	struct membox_done done[8];
	float out[80], in[80];
	unsigned int i, seen = 0;

	(void)state;
	for (i = 0; i < 80; i++)
		out[i] = (float)i;
	for (i = 0; i < 8; i++) {
		membox_prep_write(&op[i], param, i * 10, 10, out + i * 10);
		op[i].user_data = 100 + i;
	}
	assert_int_equal(membox_submit(chan, op, 8), 8);
	assert_int_equal(membox_chan_pending(chan), 8);
	assert_int_equal(membox_reap(chan, done, 3, 3, LONG_ENOUGH), 3);
	assert_int_equal(membox_reap(chan, done + 3, 8, 5, LONG_ENOUGH), 5);
	for (i = 0; i < 8; i++) {
		assert_int_equal(done[i].error, 0);
		assert_int_equal(done[i].bytes, 40);
		assert_true(done[i].end >= done[i].start);
		seen |= 1U << (done[i].user_data - 100);
	}
	assert_int_equal(seen, 0xff);
	assert_int_equal(membox_chan_pending(chan), 0);
	assert_int_equal(membox_reap(chan, done, 8, 0, 0), 0);
	good(membox_read(param, 0, 80, in, NULL));
	assert_memory_equal(in, out, sizeof(in));
}

static void a_full_channel_takes_what_fits(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 8);
	struct membox_op op[20];
	struct membox_done done[8];
	unsigned int i;

	(void)state;
	for (i = 0; i < 20; i++)
		membox_prep_fetch_add(&op[i], param, 0, 1);
	assert_int_equal(membox_submit(chan, op, 20), 8);
	refused(membox_submit(chan, op + 8, 12), EAGAIN, 0, "8 operations", "deeper");
	assert_int_equal(membox_reap(chan, done, 8, 8, LONG_ENOUGH), 8);
	assert_int_equal(membox_submit(chan, op + 8, 8), 8);
	assert_int_equal(membox_reap(chan, done, 8, 8, LONG_ENOUGH), 8);
}

static void errors_are_the_operations_own(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, 8);
	struct membox *other = open_box();
	struct membox_param *foreign = get_param(other, "w", MEMBOX_F32, 8);
	struct membox_op op[3];
	struct membox_done done[3];
	float f[8] = { 0 };
	unsigned int i;

	(void)state;
	membox_prep_read(&op[0], param, 0, 8, f);
	membox_prep_read(&op[1], param, 7, 2, f);
	membox_prep_read(&op[2], param, 1, 1, f);
	for (i = 0; i < 3; i++)
		op[i].user_data = i;
	assert_int_equal(membox_submit(chan, op, 3), 3);
	assert_int_equal(membox_reap(chan, done, 3, 3, LONG_ENOUGH), 3);
	for (i = 0; i < 3; i++) {
		bool bad = done[i].user_data == 1;

		assert_int_equal(done[i].error, bad ? -ERANGE : 0);
		assert_int_equal(done[i].status, bad ? MEMBOX_ST_OUT_OF_RANGE : 0);
		assert_int_equal(done[i].detail, bad ? offsetof(struct membox_packet, offset) : 0);
	}
	assert_non_null(strstr(membox_error(), "'w'")); /* of the last that failed */
	/* what the library refuses is not taken, and those before it are */
	membox_prep_read(&op[1], foreign, 0, 1, f);
	assert_int_equal(membox_submit(chan, op, 3), 1);
	refused(membox_submit(chan, op + 1, 2), EINVAL, 0, "another box");
	assert_int_equal(membox_reap(chan, done, 3, 1, LONG_ENOUGH), 1);
	refused(membox_reap(chan, done, 3, 1, 0), EINVAL, 0, "0 operations");
	membox_close(other);
}

static void depth_is_checked(void **state)
{
	struct membox_chan *none = NULL;

	(void)state;
	refused(membox_chan_open(box, 0, &none), EINVAL, 0, "4096");
	refused(membox_chan_open(box, 4097, &none), EINVAL, 0, "4097");
	assert_null(none);
	membox_chan_close(NULL);
}

static void a_wait_ends_by_its_word_or_its_time(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 8);
	struct membox_op op[2];
	struct membox_done done;

	(void)state;
	membox_prep_wait_word(&op[0], param, 3, MEMBOX_GE, 5, LONG_ENOUGH);
	op[0].user_data = 1;
	membox_prep_wait_word(&op[1], param, 4, MEMBOX_EQ, 9, A_MOMENT);
	op[1].user_data = 2;
	assert_int_equal(membox_submit(chan, op, 2), 2);
	assert_int_equal(membox_reap(chan, &done, 1, 1, LONG_ENOUGH), 1);
	assert_int_equal(done.user_data, 2);
	assert_int_equal(done.error, -ETIMEDOUT);
	assert_int_equal(done.status, MEMBOX_ST_TIMED_OUT);
	refused(membox_reap(chan, &done, 1, 1, A_MOMENT), ETIMEDOUT, 0, "1 operations");
	good(membox_fetch_add(param, 3, 6, NULL));
	assert_int_equal(membox_reap(chan, &done, 1, 1, LONG_ENOUGH), 1);
	assert_int_equal(done.user_data, 1);
	assert_int_equal(done.error, 0);
	assert_int_equal(done.result, 6);
}

static void cancelling_ends_what_waits(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 8);
	struct membox_op op[3];
	struct membox_done done[3];
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		membox_prep_wait_word(&op[i], param, 0, MEMBOX_EQ, 1, LONG_ENOUGH);
		op[i].user_data = i ? 7 : 6;
	}
	assert_int_equal(membox_submit(chan, op, 3), 3);
	assert_int_equal(membox_cancel(chan, 5), 0);
	assert_int_equal(membox_cancel(chan, 7), 2);
	assert_int_equal(membox_reap(chan, done, 3, 2, LONG_ENOUGH), 2);
	for (i = 0; i < 2; i++) {
		assert_int_equal(done[i].user_data, 7);
		assert_int_equal(done[i].status, MEMBOX_ST_ABORTED);
		assert_int_equal(done[i].error, -ECANCELED);
	}
	assert_int_equal(membox_chan_pending(chan), 1);
	/* closing the channel cancels the one that is left */
}

static void a_fence_keeps_what_follows_back(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 8);
	struct membox_op op[4];
	struct membox_done done[4], *by[4] = { NULL };
	unsigned int i;
	int64_t seen = -1, one = 1;

	(void)state;
	membox_prep_wait_word(&op[0], param, 0, MEMBOX_EQ, 1, LONG_ENOUGH);
	membox_prep_write(&op[1], param, 2, 1, &one);
	membox_prep_read(&op[2], param, 1, 1, &seen);
	op[2].flags = MEMBOX_F_FENCE;
	membox_prep_fence(&op[3]);
	for (i = 0; i < 4; i++)
		op[i].user_data = i;
	assert_int_equal(membox_submit(chan, op, 4), 4);
	assert_int_equal(membox_reap(chan, done, 4, 1, LONG_ENOUGH), 1);
	assert_int_equal(done[0].user_data, 1); /* nothing orders the write */
	assert_int_equal(membox_reap(chan, done, 4, 0, 0), 0);
	assert_int_equal(seen, -1);
	good(membox_write(param, 1, 1, &one)); /* the fenced read sees it */
	good(membox_write(param, 0, 1, &one));
	assert_int_equal(membox_reap(chan, done, 4, 3, LONG_ENOUGH), 3);
	for (i = 0; i < 3; i++) { /* told of in any order, but done in this one */
		assert_int_equal(done[i].status, 0);
		by[done[i].user_data] = &done[i];
	}
	assert_non_null(by[0]);
	assert_non_null(by[2]);
	assert_non_null(by[3]);
	assert_true(by[2]->start >= by[0]->end);
	assert_true(by[3]->end >= by[2]->end);
	assert_int_equal(seen, 1);
}

/* Thousands held by one fence do not need thousands of frames of stack. */
static void a_long_queue_behind_fences_ends(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 1);
	struct membox_chan *deep;
	struct membox_op op[64];
	struct membox_done done[64];
	unsigned int i, n;
	int64_t sum;

	(void)state;
	good(membox_chan_open(box, 4096, &deep));
	membox_prep_wait_word(&op[0], param, 0, MEMBOX_EQ, 1, LONG_ENOUGH);
	assert_int_equal(membox_submit(deep, op, 1), 1);
	for (i = 0; i < 64; i++) {
		membox_prep_fetch_add(&op[i], param, 0, 1);
		op[i].flags = MEMBOX_F_FENCE;
	}
	for (n = 0; n < 63; n++)
		assert_int_equal(membox_submit(deep, op, 64), 64);
	good(membox_fetch_add(param, 0, 1, NULL));
	for (n = 0; n < 63 * 64 + 1; n += i) {
		int got = membox_reap(deep, done, 64, 1, LONG_ENOUGH);

		good(got);
		i = (unsigned int)got;
	}
	good(membox_fetch_add(param, 0, 0, &sum));
	assert_int_equal(sum, 63 * 64 + 1);
	membox_chan_close(deep);
}

static void long_operations_are_one_to_who_submits(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .max_bytes = 4096 };
	struct membox *narrow = open_box_with(&opts);
	struct membox_param *param = get_param(narrow, "w", MEMBOX_F32, 100000);
	static float out[100000], in[100000];
	struct membox_chan *own;
	struct membox_op op[2];
	struct membox_done done[2];
	int i;

	(void)state;
	for (i = 0; i < 100000; i++)
		out[i] = (float)i;
	good(membox_chan_open(narrow, 2, &own));
	membox_prep_write(&op[0], param, 0, 100000, out);
	membox_prep_read(&op[1], param, 0, 100000, in);
	op[1].flags = MEMBOX_F_FENCE;
	assert_int_equal(membox_submit(own, op, 2), 2);
	assert_int_equal(membox_reap(own, done, 2, 2, LONG_ENOUGH), 2);
	assert_int_equal(done[0].bytes, 400000);
	assert_int_equal(done[1].bytes, 400000);
	assert_memory_equal(in, out, sizeof(in));
	membox_prep_write(&op[0], param, 1, 100000, out); /* one too far: nothing is written */
	assert_int_equal(membox_submit(own, op, 1), 1);
	assert_int_equal(membox_reap(own, done, 1, 1, LONG_ENOUGH), 1);
	assert_int_equal(done[0].status, MEMBOX_ST_OUT_OF_RANGE);
	good(membox_read(param, 0, 100000, in, NULL));
	assert_memory_equal(in, out, sizeof(in));
	membox_prep_snapshot(&op[0], param, 0, 100000, in);
	refused(membox_submit(own, op, 1), EMSGSIZE, MEMBOX_ST_TOO_LONG, "membox_snapshot");
	membox_close(narrow);
}

static void the_fallback_works_in_channels(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts),
					 .caps_off = MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR };
	struct membox *less = open_box_with(&opts);
	struct membox_param *param = get_param(less, "w", MEMBOX_F32, 10);
	float ones[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, got[10];
	struct membox_chan *own;
	struct membox_op op[4];
	struct membox_done done[4];
	unsigned int i;

	(void)state;
	good(membox_chan_open(less, 4, &own));
	membox_prep_write(&op[0], param, 0, 10, ones);
	membox_prep_acc(&op[1], param, 0, 10, ones, MEMBOX_F32, 4);
	membox_prep_scale(&op[2], param, 0, 10, 2);
	membox_prep_acc(&op[3], param, 5, 10, ones, MEMBOX_F32, 4); /* past the end */
	for (i = 0; i < 4; i++) {
		op[i].user_data = i;
		op[i].flags = MEMBOX_F_FENCE;
	}
	assert_int_equal(membox_submit(own, op, 4), 4);
	assert_int_equal(membox_reap(own, done, 4, 4, LONG_ENOUGH), 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(done[i].status,
				 done[i].user_data == 3 ? MEMBOX_ST_OUT_OF_RANGE : MEMBOX_ST_OK);
	good(membox_read(param, 0, 10, got, NULL));
	for (i = 0; i < 10; i++)
		assert_true(got[i] == 10);
	membox_close(less);
}

/* ---- poll ---- */

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void wake_the_waiter(int number)
{
	struct membox_param *param;
	struct membox *own;

	(void)number;
	child_check(!membox_open(box_uri, NULL, &own));
	child_check(!membox_param_attach(own, "w", NULL, 0, &param));
	child_check(!membox_fetch_add(param, 0, 1, NULL));
	membox_close(own);
}

static void the_descriptor_tells_of_completions(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 8);
	int fd = membox_chan_fd(chan);
	struct membox_done done;
	struct membox_op op;
	int64_t value;
	pid_t pid;

	(void)state;
	good(fd);
	assert_int_equal(membox_chan_fd(chan), fd);
	assert_false(readable(fd, 0));
	membox_prep_read(&op, param, 0, 1, &value);
	assert_int_equal(membox_submit(chan, &op, 1), 1);
	assert_true(readable(fd, 60000));
	assert_int_equal(membox_reap(chan, &done, 1, 0, 0), 1);
	assert_false(readable(fd, 0));
	/* also for what another process brings about, with nobody of this one waiting */
	membox_prep_wait_word(&op, param, 0, MEMBOX_EQ, 1, LONG_ENOUGH);
	assert_int_equal(membox_submit(chan, &op, 1), 1);
	assert_false(readable(fd, 20));
	pid = start_child(wake_the_waiter, 0);
	assert_true(readable(fd, 60000));
	assert_int_equal(membox_reap(chan, &done, 1, 0, 0), 1);
	assert_int_equal(done.error, 0);
	await_child(pid);
	/* and for a time-out */
	membox_prep_wait_word(&op, param, 0, MEMBOX_EQ, 5, A_MOMENT);
	assert_int_equal(membox_submit(chan, &op, 1), 1);
	assert_true(readable(fd, 60000));
	assert_int_equal(membox_reap(chan, &done, 1, 0, 0), 1);
	assert_int_equal(done.error, -ETIMEDOUT);
}

static void a_late_descriptor_tells_of_what_was_done_before(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 8);
	struct membox_done done;
	struct membox_op op;

	(void)state;
	membox_prep_fetch_add(&op, param, 0, 1);
	assert_int_equal(membox_submit(chan, &op, 1), 1);
	assert_true(readable(membox_chan_fd(chan), 60000));
	assert_int_equal(membox_reap(chan, &done, 1, 0, 0), 1);
}

static void parameters_may_be_closed_with_operations_in_flight(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I64, 8);
	struct membox_done done;
	struct membox_op op;

	(void)state;
	membox_prep_wait_word(&op, param, 0, MEMBOX_EQ, 5, A_MOMENT);
	assert_int_equal(membox_submit(chan, &op, 1), 1);
	membox_param_put(param);
	assert_int_equal(membox_reap(chan, &done, 1, 1, LONG_ENOUGH), 1);
	assert_int_not_equal(done.error, 0);
	assert_non_null(strstr(membox_error(), "'w'"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(all_that_is_submitted_is_reaped_once),
		CASE(a_full_channel_takes_what_fits),
		CASE(errors_are_the_operations_own),
		CASE(depth_is_checked),
		CASE(a_wait_ends_by_its_word_or_its_time),
		CASE(cancelling_ends_what_waits),
		CASE(a_fence_keeps_what_follows_back),
		CASE(a_long_queue_behind_fences_ends),
		CASE(long_operations_are_one_to_who_submits),
		CASE(the_fallback_works_in_channels),
		CASE(the_descriptor_tells_of_completions),
		CASE(a_late_descriptor_tells_of_what_was_done_before),
		CASE(parameters_may_be_closed_with_operations_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
