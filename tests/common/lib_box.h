/* SPDX-License-Identifier: MIT */
/*
 * lib_box.h - for tests of the library: a fresh box in a file for each test,
 * children that share it, and checks of errors with their text. With
 * MEMBOX_TEST_NODE in the environment tests run on that device node instead,
 * and leave its box empty. Include it first: it brings cmocka and what cmocka
 * wants before it.
 */
#ifndef LIB_BOX_H
#define LIB_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <membox/membox.h>

#define SECOND 1000000000LL
#define LONG_ENOUGH (60 * SECOND) /* for what must come */
#define A_MOMENT (20 * SECOND / 1000) /* for what must not */

static char box_path[64];
static char box_uri[80];

static inline void box_file(uint64_t bytes)
{
	struct membox_format_opts opts = {
		.size = sizeof(opts), .bytes = bytes, .params = 64, .groups = 8
	};
	int fd;

	strcpy(box_path, "/dev/shm/membox-test-XXXXXX");
	fd = mkstemp(box_path);
	assert_true(fd >= 0);
	close(fd);
	snprintf(box_uri, sizeof(box_uri), "file:%s", box_path);
	if (membox_format(box_path, &opts))
		fail_msg("%s", membox_error());
}

/* The device node to test on, NULL: files. */
static inline const char *test_node(void)
{
	return getenv("MEMBOX_TEST_NODE");
}

/* cmocka's fixture: a box of 32 MiB, and out of the way again. */
static inline int setup_box(void **state)
{
	(void)state;
	if (test_node())
		snprintf(box_uri, sizeof(box_uri), "%s", test_node());
	else
		box_file((uint64_t)32 << 20);
	return 0;
}

static inline int destroy_one(void *arg, const struct membox_param_stat *stat)
{
	struct membox_param *param;

	if (stat->destroyed)
		return 0;
	if (membox_param_attach(arg, stat->name, NULL, 0, &param) ||
	    membox_param_destroy(param) < 0)
		print_message("# %s stays: %s\n", stat->name, membox_error());
	else
		membox_param_put(param);
	return 0;
}

static inline int teardown_box(void **state)
{
	struct membox *box;
	int ret;

	(void)state;
	if (!test_node())
		return unlink(box_path);
	ret = membox_open(box_uri, NULL, &box);
	if (!ret)
		ret = membox_param_list(box, destroy_one, box);
	if (!ret)
		membox_close(box);
	return ret;
}

/* For what a device has as a property, not as an option of opening it. */
#define only_on_files() \
	do { \
		if (test_node()) \
			return; \
	} while (0)

static inline struct membox *open_box_with(const struct membox_open_opts *opts)
{
	struct membox *box = NULL;

	if (membox_open(box_uri, opts, &box))
		fail_msg("%s", membox_error());
	return box;
}

static inline struct membox *open_box(void)
{
	return open_box_with(NULL);
}

static inline struct membox_param *get_param(struct membox *box, const char *name,
					     enum membox_type type, uint64_t count)
{
	const struct membox_shape shape = { type, count, 0 };
	struct membox_param *param = NULL;

	if (membox_param_get(box, name, &shape, 0, &param))
		fail_msg("%s", membox_error());
	return param;
}

/* The call succeeded, else the test says why not. */
#define good(call) \
	do { \
		int good_ret = (call); \
		if (good_ret < 0) \
			fail_msg("%s: %d: %s", #call, good_ret, membox_error()); \
	} while (0)

/* It failed with that errno and status, and the text names what it should. */
#define refused(call, error, status, ...) \
	do { \
		const char *refused_words[] = { "", __VA_ARGS__ }; \
		size_t refused_i; \
		assert_int_equal((call), -(error)); \
		assert_int_equal(membox_error_status(), (status)); \
		for (refused_i = 0; refused_i < sizeof(refused_words) / sizeof(char *); refused_i++) \
			if (!strstr(membox_error(), refused_words[refused_i])) \
				fail_msg("'%s' is not in: %s", refused_words[refused_i], \
					 membox_error()); \
	} while (0)

/* In a child no assertion may unwind: it says what is wrong and ends. */
#define child_check(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "# %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
				membox_error()); \
			_exit(1); \
		} \
	} while (0)

static inline pid_t start_child(void (*run)(int number), int number)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		alarm(300);
		run(number);
		_exit(0);
	}
	return pid;
}

static inline void await_child(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static inline void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

#endif /* LIB_BOX_H */
