// SPDX-License-Identifier: MIT
/*
 * lib_open.c - opening, describing and closing boxes; options; forked children.
 */
#include "lib_box.h"

#include <fcntl.h>
#include <sys/stat.h>

static void a_box_that_is_not_named_is_asked_for(void **state)
{
	struct membox *box = NULL;

	(void)state;
	unsetenv("MEMBOX");
	refused(membox_open(NULL, NULL, &box), EDESTADDRREQ, 0, "/dev/membox0", "file:PATH",
		"MEMBOX");
	refused(membox_open("box", NULL, &box), EINVAL, 0, "'box'");
	assert_null(box);
}

static void the_environment_names_a_box(void **state)
{
	struct membox *box;

	(void)state;
	setenv("MEMBOX", box_uri, 1);
	good(membox_open(NULL, NULL, &box));
	membox_close(box);
	unsetenv("MEMBOX");
}

static void what_is_no_box_is_refused(void **state)
{
	struct membox *box = NULL;
	char text[80];

	(void)state;
	assert_int_equal(membox_open("file:/dev/shm/membox-no-such", NULL, &box), -ENOENT);
	assert_non_null(strstr(membox_error(), "membox-no-such"));
	refused(membox_open("/dev/membox-none", NULL, &box), ENOENT, 0, "/dev/membox-none", "driver",
		"memboxctl list");
	refused(membox_open("/dev/null", NULL, &box), ENODEV, 0, "/dev/null");
	assert_int_equal(truncate(box_path, 4096), 0);
	assert_true(membox_open(box_uri, NULL, &box) < 0);
	snprintf(text, sizeof(text), "%s", box_path);
	assert_non_null(strstr(membox_error(), text));
	assert_null(box);
}

static void info_tells_of_the_box(void **state)
{
	struct membox_info info = { .size = sizeof(info) };
	struct membox *box = open_box(), *second = open_box();

	(void)state;
	good(membox_info(box, &info));
	assert_int_equal(info.abi, MEMBOX_ABI);
	assert_int_equal(info.live_ports, 2);
	assert_int_equal(info.params, 0);
	assert_int_equal(info.max_params, 64);
	assert_int_equal(info.state, 0);
	assert_true(info.free_bytes == info.data_bytes && info.free_bytes > (16 << 20));
	assert_true(info.caps & MEMBOX_CAP_ACC && info.caps & MEMBOX_CAP_VECTOR);
	info.size = 3;
	assert_int_equal(membox_info(box, &info), -EINVAL);
	membox_close(second);
	membox_close(box);
}

static void an_old_program_gets_the_part_that_it_knows(void **state)
{
	struct {
		struct membox_info info;
		uint8_t behind[8];
	} old;
	struct membox *box = open_box();

	(void)state;
	memset(&old, 0xaa, sizeof(old));
	old.info.size = offsetof(struct membox_info, port);
	good(membox_info(box, &old.info));
	assert_int_equal(old.info.size, offsetof(struct membox_info, port));
	assert_int_equal(old.info.abi, MEMBOX_ABI);
	assert_int_equal(old.info.port, 0xaaaaaaaa);
	membox_close(box);
}

static void capabilities_can_be_done_without(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .caps_off = MEMBOX_CAP_VECTOR };
	struct membox_info info = { .size = sizeof(info) };
	struct membox *box;

	(void)state;
	setenv("MEMBOX_CAPS_OFF", "acc,wait", 1);
	box = open_box_with(&opts);
	good(membox_info(box, &info));
	assert_int_equal(info.caps & (MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR | MEMBOX_CAP_WAIT), 0);
	assert_true(info.caps & MEMBOX_CAP_ATOMIC);
	membox_close(box);
	setenv("MEMBOX_CAPS_OFF", "acc,flying", 1);
	refused(membox_open(box_uri, NULL, &box), EINVAL, 0, "'flying'", "acc, vector");
	unsetenv("MEMBOX_CAPS_OFF");
}

static void options_that_are_unknown_are_refused(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts) + 8 };
	struct membox *box = NULL;

	(void)state;
	refused(membox_open(box_uri, &opts, &box), EINVAL, 0, "size");
	opts.size = sizeof(opts);
	opts.flags = 1U << 30;
	refused(membox_open(box_uri, &opts, &box), EINVAL, 0, "0x40000000");
	assert_null(box);
}

static void a_port_can_be_chosen_once(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .flags = MEMBOX_OPEN_PORT,
					 .port = 5 };
	struct membox_info info = { .size = sizeof(info) };
	struct membox *box = open_box_with(&opts), *second = NULL;

	(void)state;
	good(membox_info(box, &info));
	assert_int_equal(info.port, 5);
	assert_int_equal(membox_open(box_uri, &opts, &second), -EBUSY);
	assert_null(second);
	membox_close(box);
	good(membox_open(box_uri, &opts, &second));
	membox_close(second);
}

static void a_port_tells_its_state_and_counters(void **state)
{
	struct membox_port_stat stat = { .size = sizeof(stat) };
	uint64_t before[MEMBOX_NR_COUNTERS], after[MEMBOX_NR_COUNTERS];
	struct membox *box = open_box();
	struct membox_param *param = get_param(box, "p", MEMBOX_F32, 100);
	float data[100] = { 0 };

	(void)state;
	good(membox_counters(box, before));
	good(membox_write(param, 0, 100, data));
	good(membox_read(param, 10, 50, data, NULL));
	good(membox_counters(box, after));
	assert_int_equal(after[MEMBOX_CTR_TO_DEVICE] - before[MEMBOX_CTR_TO_DEVICE], 400);
	assert_int_equal(after[MEMBOX_CTR_FROM_DEVICE] - before[MEMBOX_CTR_FROM_DEVICE], 200);
	assert_int_equal(after[MEMBOX_CTR_OPERATIONS] - before[MEMBOX_CTR_OPERATIONS], 2);
	good(membox_port_stat(box, MEMBOX_OWN_PORT, &stat));
	assert_int_equal(stat.state, MEMBOX_PORT_LIVE);
	assert_int_equal(stat.pid, getpid());
	stat.size = sizeof(stat);
	good(membox_port_stat(box, 9, &stat));
	assert_int_equal(stat.state, MEMBOX_PORT_FREE);
	assert_int_equal(membox_port_stat(box, 4000, &stat), -EINVAL);
	membox_close(box);
}

static void closing_a_box_closes_all_in_it(void **state)
{
	struct membox *box = open_box(), *other = open_box();
	struct membox_param *param, *seen;
	struct membox_param_stat stat = { .size = sizeof(stat) };
	struct membox_group *group;
	struct membox_chan *chan;
	struct membox_op op;

	(void)state;
	param = get_param(box, "p", MEMBOX_I64, 4);
	good(membox_group_join(box, "g", 1, 0, LONG_ENOUGH, &group));
	good(membox_chan_open(box, 4, &chan));
	membox_prep_wait_word(&op, param, 0, MEMBOX_EQ, 1, LONG_ENOUGH);
	assert_int_equal(membox_submit(chan, &op, 1), 1);
	assert_non_null(membox_alloc(box, 1 << 20));
	membox_close(box);
	good(membox_param_attach(other, "p", NULL, 0, &seen));
	good(membox_param_stat(seen, &stat));
	assert_int_equal(stat.refs, 1);
	assert_int_equal(stat.waiters, 0);
	good(membox_group_join(other, "g", 1, 0, LONG_ENOUGH, &group));
	membox_close(other);
}

/* ---- formatting and checking ---- */

static void count_findings(void *arg, const char *text)
{
	(void)text;
	++*(int *)arg;
}

static void a_fresh_box_is_sound(void **state)
{
	struct membox *box = open_box();
	int told = 0;

	(void)state;
	get_param(box, "p", MEMBOX_F64, 1000);
	assert_int_equal(membox_fsck(box, count_findings, &told), 0);
	assert_int_equal(told, 0);
	membox_close(box);
}

static void formatting_protects_what_is_there(void **state)
{
	struct membox_format_opts opts = { .size = sizeof(opts) };
	struct membox *box = open_box();
	struct membox_param *param = NULL;

	(void)state;
	get_param(box, "p", MEMBOX_F64, 1000);
	membox_close(box);
	assert_int_equal(membox_format(box_path, &opts), -EEXIST);
	assert_non_null(strstr(membox_error(), box_path));
	opts.flags = MEMBOX_FORMAT_FORCE;
	good(membox_format(box_uri, &opts)); /* a uri will do too */
	box = open_box();
	assert_int_equal(membox_param_attach(box, "p", NULL, 0, &param), -ENOENT);
	membox_close(box);
	opts.flags = 8;
	refused(membox_format(box_path, &opts), EINVAL, 0, "0x8");
}

static void a_box_that_cannot_be_says_why(void **state)
{
	struct membox_format_opts opts = { .size = sizeof(opts), .bytes = 1ULL << 40,
					   .flags = MEMBOX_FORMAT_FORCE };

	(void)state;
	assert_int_equal(membox_format(box_path, &opts), -ENOSPC);
	assert_non_null(strstr(membox_error(), box_path));
	opts.bytes = 4096;
	assert_true(membox_format(box_path, &opts) < 0);
	assert_true(strlen(membox_error()) > 20);
	assert_int_equal(membox_format("/dev/shm/membox-no-folder/box", &opts), -ENOENT);
}

/* ---- forked children ---- */

static void forked_child_is_refused(struct membox *box, struct membox_param *param,
				    struct membox_chan *chan, struct membox_group *group)
{
	struct membox_info info = { .size = sizeof(info) };
	struct membox_param_stat stat = { .size = sizeof(stat) };
	struct membox_group_info ginfo = { .size = sizeof(ginfo) };
	struct membox_mail mail = { .size = sizeof(mail) };
	struct membox_shape shape = { MEMBOX_F32, 1, 0 };
	struct membox_param *other;
	struct membox_change change;
	struct membox_region *region;
	struct membox_group *joined;
	struct membox_chan *opened;
	struct membox_done done;
	struct membox_key key;
	struct membox_op op;
	uint64_t counters[MEMBOX_NR_COUNTERS];
	char memory[4096];
	float f = 0;
	void *addr;

#define DEAD(call) child_check((call) == -EOWNERDEAD && strstr(membox_error(), "fork"))
	DEAD(membox_info(box, &info));
	DEAD(membox_counters(box, counters));
	DEAD(membox_param_get(box, "p", &shape, 0, &other));
	DEAD(membox_param_create(box, "q", &shape, 0, &key, &other));
	DEAD(membox_param_attach(box, "p", NULL, 0, &other));
	DEAD(membox_param_stat(param, &stat));
	DEAD(membox_param_map(param, 1, &addr));
	DEAD(membox_param_commit(param));
	DEAD(membox_param_destroy(param));
	DEAD(membox_param_revoke(box, "p"));
	DEAD(membox_param_subscribe(param, 1));
	DEAD(membox_param_lock(param, 0));
	DEAD(membox_param_unlock(param));
	DEAD(membox_read(param, 0, 1, &f, NULL));
	DEAD(membox_write(param, 0, 1, &f));
	DEAD(membox_acc(param, 0, 1, &f, MEMBOX_F32, 1));
	DEAD(membox_notify(param));
	DEAD(membox_wait_version(param, 0, 0, NULL));
	DEAD(membox_event_read(box, 0, &change));
	DEAD(membox_mail_recv(box, 0, &mail));
	DEAD(membox_event_fd(box));
	DEAD(membox_chan_open(box, 1, &opened));
	membox_prep_read(&op, param, 0, 1, &f);
	DEAD(membox_submit(chan, &op, 1));
	DEAD(membox_reap(chan, &done, 1, 0, 0));
	DEAD(membox_cancel(chan, 0));
	DEAD(membox_chan_fd(chan));
	DEAD(membox_run(box, &op, NULL));
	DEAD(membox_group_join(box, "h", 1, 0, 0, &joined));
	DEAD(membox_group_info(group, &ginfo));
	DEAD(membox_region(box, memory, sizeof(memory), &region));
	child_check(!membox_alloc(box, 100));
	DEAD(membox_fsck(box, NULL, NULL));
	DEAD(membox_port_evict(box, 0));
#undef DEAD
}

static void a_forked_child_has_no_box(void **state)
{
	struct membox *box = open_box(), *own;
	struct membox_param *param = get_param(box, "p", MEMBOX_F32, 16), *mine;
	struct membox_chan *chan;
	struct membox_group *group;
	float f = 3;
	pid_t pid;

	(void)state;
	good(membox_chan_open(box, 2, &chan));
	good(membox_group_join(box, "g", 1, 0, LONG_ENOUGH, &group));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		forked_child_is_refused(box, param, chan, group);
		/* but it may open its own, and close what it cannot use */
		child_check(!membox_open(box_uri, NULL, &own));
		child_check(!membox_param_attach(own, "p", NULL, 0, &mine));
		child_check(!membox_write(mine, 3, 1, &f));
		membox_close(box);
		membox_close(own);
		_exit(0);
	}
	await_child(pid);
	f = 0;
	good(membox_read(param, 3, 1, &f, NULL));
	assert_true(f == 3);
	good(membox_write(param, 0, 1, &f)); /* the parent goes on */
	membox_close(box);
}

/* A killed owner's port must not stay alive through a child that it forked. */
static void a_child_does_not_keep_its_parents_port(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .flags = MEMBOX_OPEN_PORT,
					 .port = 2 };
	int pipes[2], hold[2];
	struct membox *box;
	pid_t owner, heir = 0;
	char go;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(hold), 0);
	owner = fork();
	assert_true(owner >= 0);
	if (!owner) {
		child_check(!membox_open(box_uri, &opts, &box));
		if (!fork()) {
			heir = getpid();
			close(hold[1]);
			child_check(write(pipes[1], &heir, sizeof(heir)) == sizeof(heir));
			child_check(read(hold[0], &go, 1) == 0); /* until the test lets go */
			_exit(0);
		}
		pause();
	}
	assert_int_equal(read(pipes[0], &heir, sizeof(heir)), sizeof(heir));
	assert_int_equal(kill(owner, SIGKILL), 0);
	assert_int_equal(waitpid(owner, NULL, 0), owner);
	assert_int_equal(kill(heir, 0), 0);
	box = open_box_with(&opts); /* port 2 was taken over at once */
	membox_close(box);
	close(hold[0]);
	close(hold[1]);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup_box, teardown_box)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_box_that_is_not_named_is_asked_for),
		BOX_TEST(the_environment_names_a_box),
		BOX_TEST(what_is_no_box_is_refused),
		BOX_TEST(info_tells_of_the_box),
		BOX_TEST(an_old_program_gets_the_part_that_it_knows),
		BOX_TEST(capabilities_can_be_done_without),
		BOX_TEST(options_that_are_unknown_are_refused),
		BOX_TEST(a_port_can_be_chosen_once),
		BOX_TEST(a_port_tells_its_state_and_counters),
		BOX_TEST(closing_a_box_closes_all_in_it),
		BOX_TEST(a_fresh_box_is_sound),
		BOX_TEST(formatting_protects_what_is_there),
		BOX_TEST(a_box_that_cannot_be_says_why),
		BOX_TEST(a_forked_child_has_no_box),
		BOX_TEST(a_child_does_not_keep_its_parents_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
