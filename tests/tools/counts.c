// SPDX-License-Identifier: MIT
/*
 * counts.c - what an operation on a queue of this process costs in system calls,
 * doorbells and interrupts: the first by a filter that kills whoever makes one, the
 * others by the device's counters. Runs in a guest (tests/vm/queues.py), prints TAP.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <membox/membox.h>

#define BATCH 64
#define FLOATS 16 /* 64 bytes */
#define TIMES 200

static const char *node = "/dev/membox0";
static struct membox_chan *chan;
static struct membox_param *param;
static float *registered;

static int count, failed;

static void tap(int ok, const char *what)
{
	printf("%s %d - %s\n", ok ? "ok" : "not ok", ++count, what);
	failed += !ok;
	fflush(stdout);
}

static void bail(const char *what)
{
	printf("Bail out! %s: %s\n", what, membox_error());
	exit(1);
}

/* From here on any other system call is the end. */
static int forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Sends n operations at once and polls until all have ended. 0: all were good. */
static int run(const struct membox_op *op, unsigned int n)
{
	struct membox_done done[BATCH];
	unsigned int got = 0;
	int ret;

	if (membox_submit(chan, op, n) != (int)n)
		return 1;
	while (got < n) {
		ret = membox_reap(chan, done, BATCH, 0, 0);
		if (ret < 0)
			return 1;
		for (int i = 0; i < ret; i++)
			if (done[i].error)
				return 1;
		got += (unsigned int)ret;
	}
	return 0;
}

static int single_ones(void)
{
	struct membox_op op;
	int bad = 0;

	for (int i = 0; i < TIMES && !bad; i++) {
		membox_prep_write(&op, param, 0, FLOATS, registered);
		bad |= run(&op, 1);
		membox_prep_acc(&op, param, 0, FLOATS, registered, MEMBOX_F32, 1);
		bad |= run(&op, 1);
		membox_prep_read(&op, param, 0, FLOATS, registered + FLOATS);
		bad |= run(&op, 1);
		bad |= registered[FLOATS] != 2 * registered[0];
	}
	return bad;
}

static int batches(void)
{
	struct membox_op op[BATCH];
	int bad = 0;

	for (int i = 0; i < BATCH; i++)
		membox_prep_read(&op[i], param, 0, FLOATS, registered + i * FLOATS);
	for (int i = 0; i < TIMES && !bad; i++)
		bad = run(op, BATCH);
	return bad;
}

static void open_all(void)
{
	const struct membox_open_opts opts = { .size = sizeof(opts), .flags = MEMBOX_OPEN_USER_QUEUES };
	const struct membox_shape shape = { MEMBOX_F32, FLOATS, 0 };
	struct membox *box;
	struct membox_op op;

	if (membox_open(node, &opts, &box) || membox_param_get(box, "counts", &shape, 0, &param) ||
	    membox_chan_open(box, BATCH, &chan))
		bail("a box with user queues");
	registered = membox_alloc(box, BATCH * FLOATS * sizeof(float));
	if (!registered)
		bail("membox_alloc");
	for (int i = 0; i < FLOATS; i++)
		registered[i] = (float)(i + 1);
	membox_prep_write(&op, param, 0, FLOATS, registered);
	if (run(&op, 1))
		bail("the first one");
}

static unsigned long counter(const char *name)
{
	char path[128];
	unsigned long value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/membox/membox0/counters/%s", name);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%lu", &value) != 1)
		bail(path);
	fclose(f);
	return value;
}

struct cost {
	unsigned long doorbells, interrupts;
	int status; /* of the process that worked */
};

/* Has a process do it, and says what it cost from when all was ready until it was done. */
static struct cost measure(int (*body)(void))
{
	int there[2], back[2], status = -1;
	struct cost c;
	char byte = 1;
	pid_t pid;

	if (pipe(there) || pipe(back))
		bail("pipe");
	pid = fork();
	if (!pid) {
		close(there[1]);
		close(back[0]);
		open_all();
		if (write(back[1], "r", 1) != 1 || read(there[0], &byte, 1) != 1 || forbid_system_calls())
			_exit(2);
		byte = (char)body();
		if (write(back[1], &byte, 1) != 1 || read(there[0], &byte, 1) < 0)
			_exit(3);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	c = (struct cost){ .status = -1 };
	if (pid > 0 && read(back[0], &byte, 1) == 1) {
		c.doorbells = counter("doorbells");
		c.interrupts = counter("interrupts");
		if (write(there[1], "g", 1) != 1)
			bail("write");
		if (read(back[0], &byte, 1) == 1) {
			c.doorbells = counter("doorbells") - c.doorbells;
			c.interrupts = counter("interrupts") - c.interrupts;
			c.status = byte;
		}
	}
	close(there[1]);
	close(back[0]);
	waitpid(pid, &status, 0);
	if (status)
		printf("# the process ended with %#x\n", status);
	printf("# %lu doorbells, %lu interrupts\n", c.doorbells, c.interrupts);
	return c;
}

int main(void)
{
	struct cost c;

	c = measure(single_ones);
	tap(c.status == 0, "operations of 64 bytes make no system call");
	tap(c.doorbells <= 3 * TIMES, "... and at most one doorbell each");
	tap(!c.interrupts, "... and no interrupt when they are polled for");
	c = measure(batches);
	tap(c.status == 0, "batches of 64 make no system call");
	tap(c.doorbells <= TIMES, "... and at most one doorbell each");
	tap(!c.interrupts, "... and no interrupt when they are polled for");
	printf("1..%d\n", count);
	return failed ? 1 : 0;
}
