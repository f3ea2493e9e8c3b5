/* SPDX-License-Identifier: MIT */
/*
 * engine_table.h - boxes, ports and child processes for the tests of the
 * engine's tables. Functions that may run in a forked child use MUST, which
 * ends the process; a parent turns that into a failure (child_ok).
 */
#ifndef MEMBOX_TESTS_ENGINE_TABLE_H
#define MEMBOX_TESTS_ENGINE_TABLE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "internal.h"

#define MIB (1ULL << 20)

/* How much slower processes are made and run here: long tests do so much less. */
#ifdef __has_feature
#define SANITIZES(what) __has_feature(what)
#else
#define SANITIZES(what) 0
#endif
#if defined(__SANITIZE_THREAD__) || SANITIZES(thread_sanitizer)
#define SLOWNESS 15U
#elif defined(__SANITIZE_ADDRESS__) || SANITIZES(address_sanitizer)
#define SLOWNESS 3U
#else
#define SLOWNESS 1U
#endif

#define MUST(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "# %s:%d: not true: %s\n", __FILE__, __LINE__, #cond); \
			_exit(99); \
		} \
	} while (0)

/* ---- the box's file ---- */

static char box_path[64];

static inline void box_name(void)
{
	int fd;

	strcpy(box_path, access("/dev/shm", W_OK) ? "/tmp/membox-test-XXXXXX" : "/dev/shm/membox-test-XXXXXX");
	fd = mkstemp(box_path);
	assert_true(fd >= 0);
	close(fd);
	unlink(box_path);
}

static inline void box_make(uint64_t bytes, uint32_t ports, uint32_t params)
{
	struct mbe_format_opts o = {.bytes = bytes, .ports = ports, .params = params, .groups = 8};
	char text[MBE_ERR_TEXT];

	box_name();
	if (mbe_format(box_path, &o, text))
		fail_msg("format: %s", text);
}

static inline int box_setup(void **state)
{
	(void)state;
	box_make(8 * MIB, 4, 64);
	return 0;
}

static inline int box_teardown(void **state)
{
	(void)state;
	unlink(box_path);
	return 0;
}

#define box_test(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

/* ---- ports ---- */

/* Principal number n; 0: random. */
static inline struct mbe_attach_opts port_opts(unsigned int principal)
{
	struct mbe_attach_opts o = {.port = MBE_PORT_AUTO, .have_principal = principal != 0};

	o.principal[0] = (uint8_t)principal;
	return o;
}

/* Administration with the size filled in. */
#define ADM(e, context, op, a) \
	((a)->size = sizeof(*(a)), mbe_admin((e), (context), MEMBOX_ADM_##op, (a), sizeof(*(a))))

static inline void ctx_make(struct mbe *e, unsigned int context)
{
	struct membox_ctx_args a = {.context = context};

	MUST(ADM(e, 0, CTX_CREATE, &a) == MEMBOX_ST_OK);
}

/* Attached, with contexts 1 and 2. */
static inline struct mbe *port_open(const struct mbe_attach_opts *o)
{
	char text[MBE_ERR_TEXT];
	struct mbe *e;
	int err = mbe_attach(box_path, o, &e, text);

	if (err)
		fprintf(stderr, "# attach: %s\n", text);
	MUST(!err);
	ctx_make(e, 1);
	ctx_make(e, 2);
	return e;
}

static inline struct mbe *port_of(unsigned int principal)
{
	struct mbe_attach_opts o = port_opts(principal);

	return port_open(&o);
}

static inline struct mbe *operator_port(void)
{
	struct mbe_attach_opts o = port_opts(200);

	o.is_operator = true;
	return port_open(&o);
}

/* ---- commands ---- */

static inline struct membox_param_args param_args(const char *name, uint32_t flags, uint64_t count)
{
	struct membox_param_args a = {.flags = flags, .count = count};

	snprintf(a.name, sizeof(a.name), "%s", name);
	a.type = flags & MEMBOX_PARAM_CREATE ? MEMBOX_F32 : 0;
	return a;
}

static inline uint16_t param_try(struct mbe *e, unsigned int context, struct membox_param_args *a)
{
	return ADM(e, context, PARAM_OPEN, a);
}

static inline struct membox_param_args param_make(struct mbe *e, const char *name, uint32_t flags, uint64_t count)
{
	struct membox_param_args a = param_args(name, flags | MEMBOX_PARAM_CREATE, count);
	uint16_t status = param_try(e, 1, &a);

	if (status)
		fprintf(stderr, "# open %s: status %u\n", name, status);
	MUST(!status);
	return a;
}

static inline uint16_t param_get(struct mbe *e, unsigned int context, const char *name, uint32_t *handle)
{
	struct membox_param_args a = param_args(name, 0, 0);
	uint16_t status = param_try(e, context, &a);

	*handle = a.handle;
	return status;
}

#define HANDLE_COMMAND(fn, op) \
	static inline uint16_t fn(struct mbe *e, unsigned int context, uint32_t handle, uint32_t *deferred) \
	{ \
		struct membox_handle_args a = {.handle = handle}; \
		uint16_t status = ADM(e, context, op, &a); \
		if (deferred) \
			*deferred = a.deferred; \
		return status; \
	}
HANDLE_COMMAND(param_close, PARAM_CLOSE)
HANDLE_COMMAND(param_destroy, PARAM_DESTROY)
HANDLE_COMMAND(param_lock, PARAM_LOCK)
HANDLE_COMMAND(param_unlock, PARAM_UNLOCK)
#undef HANDLE_COMMAND

static inline uint16_t param_subscribe(struct mbe *e, unsigned int context, uint32_t handle, uint32_t on)
{
	struct membox_handle_args a = {.handle = handle, .value = on};

	return ADM(e, context, SUBSCRIBE, &a);
}

static inline uint16_t param_revoke(struct mbe *e, const char *name)
{
	struct membox_param_args a = param_args(name, 0, 0);

	return ADM(e, 1, PARAM_REVOKE, &a);
}

static inline struct membox_param_stat param_stat(struct mbe *e, unsigned int context, uint32_t handle)
{
	struct membox_param_stat s = {.handle = handle};

	MUST(ADM(e, context, PARAM_STAT, &s) == MEMBOX_ST_OK);
	return s;
}

/* What a command on the handle would be told. */
static inline uint16_t operand_status(struct mbe *e, unsigned int context, uint32_t handle)
{
	struct mbe_operand op;
	uint16_t status = mbe_operand_get(e, context, handle, &op);

	if (!status)
		mbe_operand_put(e, &op);
	return status;
}

/* A change by a writer. */
static inline void param_bump(struct mbe *e, unsigned int context, uint32_t handle)
{
	struct mbe_operand op;

	MUST(mbe_operand_get(e, context, handle, &op) == MEMBOX_ST_OK);
	__atomic_fetch_add(&op.ver->begun, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&op.ver->finished, 1, __ATOMIC_SEQ_CST);
	mbe_changed(e, &op);
	mbe_operand_put(e, &op);
}

static inline struct membox_info box_info(struct mbe *e)
{
	struct membox_info i = {0};

	MUST(ADM(e, 0, INFO, &i) == MEMBOX_ST_OK);
	return i;
}

static inline struct membox_group_args group_args(const char *name, uint32_t ranks, int rank)
{
	struct membox_group_args a = {.ranks = ranks, .rank = rank};

	snprintf(a.name, sizeof(a.name), "%s", name);
	return a;
}

static inline struct membox_group_args group_info(struct mbe *e, unsigned int context, uint32_t group)
{
	struct membox_group_args a = {.group = group};

	MUST(ADM(e, context, GROUP_INFO, &a) == MEMBOX_ST_OK);
	return a;
}

/* ---- the checker ---- */

static inline void print_finding(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "# fsck: %s\n", text);
}

static inline unsigned int box_findings(struct mbe *e)
{
	return mbe_fsck(e, print_finding, NULL);
}

/* ---- child processes ---- */

struct child {
	pid_t pid;
	int to_parent, to_child; /* pipe ends that the parent has */
};

/* What a child has of its parent. */
struct parent {
	int in, out;
};

static inline void child_say(const struct parent *p, char c)
{
	MUST(write(p->out, &c, 1) == 1);
}

static inline void child_hear(const struct parent *p)
{
	char c;

	MUST(read(p->in, &c, 1) == 1);
}

/* Runs body in a child process, which ends with 0 when it returns. */
static inline struct child child_start(void (*body)(const struct parent *p, void *arg), void *arg)
{
	int up[2], down[2];
	struct child c;

	MUST(!pipe2(up, O_CLOEXEC) && !pipe2(down, O_CLOEXEC));
	fflush(NULL);
	c.pid = fork();
	MUST(c.pid >= 0);
	if (!c.pid) {
		struct parent p = {down[0], up[1]};

		close(up[0]);
		close(down[1]);
		body(&p, arg);
		_exit(0);
	}
	close(up[1]);
	close(down[0]);
	c.to_parent = up[0];
	c.to_child = down[1];
	return c;
}

/* Waits for what the child says: false when it ended instead. */
static inline bool child_heard(const struct child *c, char *what)
{
	return read(c->to_parent, what, 1) == 1;
}

static inline void child_tell(const struct child *c)
{
	MUST(write(c->to_child, "", 1) == 1);
}

/* Its wait status. */
static inline int child_end(struct child *c)
{
	int status;

	MUST(waitpid(c->pid, &status, 0) == c->pid);
	close(c->to_parent);
	close(c->to_child);
	return status;
}

static inline void child_ok(struct child *c)
{
	int status = child_end(c);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static inline void child_kill(struct child *c)
{
	int status;

	MUST(!kill(c->pid, SIGKILL));
	status = child_end(c);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

#endif /* MEMBOX_TESTS_ENGINE_TABLE_H */
