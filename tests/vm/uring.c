// SPDX-License-Identifier: MIT
/*
 * uring.c - packets by io_uring: their results, errors, cancellation and ends. Runs in a guest
 * (tests/vm/uring.py) and prints TAP.
 *
 *	uring			all that one process can see
 *	uring ending reset|gone	parks commands, says so, and sees how they end
 */
#include <liburing.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "region.h"

#define DEPTH 256
#define MANY 5000
#define BIG (1U << 20)
#define SECONDS 60
#define PINNED 8 /* pages of a command that waits */

static struct io_uring ring;

static void put(const struct membox_packet *p, struct membox_completion *c, uint64_t tag)
{
	struct membox_uring_args args = { .packet = (uintptr_t)p, .completion = (uintptr_t)c };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	need(sqe, "a submission queue entry");
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = MEMBOX_URING_PACKET;
	sqe->user_data = tag;
	memcpy(sqe->cmd, &args, sizeof(args));
}

/* The next completion: its result, with the tag and the value beside it; -ETIME: none came. */
static int await(uint64_t *tag, uint64_t *value)
{
	struct __kernel_timespec limit = { .tv_sec = SECONDS };
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

	if (ret)
		return ret;
	ret = cqe->res;
	if (tag)
		*tag = cqe->user_data;
	if (value)
		*value = cqe->big_cqe[0];
	io_uring_cqe_seen(&ring, cqe);
	return ret;
}

/* One packet by itself: its result. */
static int go(const struct membox_packet *p, struct membox_completion *c)
{
	put(p, c, 0);
	need(io_uring_submit(&ring) == 1, "io_uring_submit");
	return await(NULL, NULL);
}

static struct membox_packet add(uint32_t handle, uint64_t value)
{
	return (struct membox_packet){ .opcode = MEMBOX_OP_ATOMIC, .user_data = 0x77, .dst_type = MEMBOX_I64,
				       .sub = MEMBOX_FETCH_ADD, .handle = { handle }, .word.value = value };
}

static struct membox_packet park(uint32_t handle, uint64_t user_data)
{
	return (struct membox_packet){ .opcode = MEMBOX_OP_WAIT, .user_data = user_data, .dst_type = MEMBOX_I64,
				       .sub = MEMBOX_GT, .timeout_us = 300000000, .handle = { handle },
				       .word.value = 1ULL << 60 };
}

static void open_ring(unsigned int flags)
{
	need(io_uring_queue_init(DEPTH, &ring, IORING_SETUP_CQE32 | flags) == 0, "io_uring_queue_init");
}

static void moves(uint8_t *there, uint8_t *back)
{
	uint32_t h = param("u.bytes", MEMBOX_I8, BIG, 0), key = region_add(there, BIG, BOTH);
	const uint32_t sizes[] = { 1, 64, 4096, 5000, BIG };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct membox_packet w = move(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, sizes[i], there);
		struct membox_packet r = move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, sizes[i], back);
		struct membox_completion c = { .status = 0xffff };

		memset(there, (int)(i + 1), BIG);
		memset(back, 0, BIG);
		CHECK(go(&w, &c) == 0 && c.status == MEMBOX_ST_OK && c.user_data == w.user_data && c.bytes == sizes[i],
		      "a WRITE of %u bytes ends well, and its completion is whole", sizes[i]);
		CHECK(go(&r, NULL) == 0 && !memcmp(there, back, sizes[i]), "... and a READ brings them");
	}
	struct membox_packet w = move_key(MEMBOX_OP_WRITE, h, 0, BIG, key, 0);
	struct membox_packet r = move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, BIG, back);

	for (unsigned int i = 0; i < BIG; i++)
		there[i] = (uint8_t)(i * 7);
	CHECK(key && go(&w, NULL) == 0 && go(&r, NULL) == 0 && !memcmp(there, back, BIG), "a WRITE from a region");
	CHECK(region_del(key) == 0 && go(&w, NULL) == MEMBOX_ST_BAD_REGION, "... which is no more");
	CHECK(close_param(h) == 0, "PARAM_CLOSE");
}

/* What SUBMIT refuses is refused in the same words. */
static void refusals(uint8_t *memory)
{
	uint32_t h = param("u.words", MEMBOX_I64, 8, 0), closed = param("u.closed", MEMBOX_I64, 8, 0);
	const struct membox_packet good = move(MEMBOX_OP_WRITE, h, MEMBOX_I64, 0, 8, memory);
	struct {
		const char *what;
		struct membox_packet p;
	} bad[9];
	unsigned int n = 0;

	need(close_param(closed) == 0, "PARAM_CLOSE");
	for (; n < sizeof(bad) / sizeof(*bad); n++)
		bad[n].p = good;
	n = 0;
	bad[n].what = "an unknown operation", bad[n++].p.opcode = 0x3f;
	bad[n].what = "an unknown flag", bad[n++].p.flags = 0x8000;
	bad[n].what = "no elements", bad[n++].p.count = 0;
	bad[n].what = "a length over the limit", bad[n++].p.count = 1ULL << 40;
	bad[n].what = "an end past the parameter's", bad[n++].p.offset[0] = 1;
	bad[n].what = "an overflowing end", bad[n++].p.offset[0] = ~0ULL;
	bad[n].what = "a closed handle", bad[n++].p.handle[0] = closed;
	bad[n].what = "memory that is not there", bad[n++].p.host.addr = 4096;
	bad[n].what = "a region that is not there", bad[n].p.flags = MEMBOX_F_REGION, bad[n++].p.host.key = 0x990001;
	for (unsigned int i = 0; i < n; i++) {
		struct membox_completion there, here = { .status = 0xffff };
		int ret = go(&bad[i].p, &here);

		there = run(&bad[i].p);
		CHECK(ret > 0 && ret == there.status && here.status == there.status && here.detail == there.detail,
		      "%s is refused as by SUBMIT (%d, %u at %u)", bad[i].what, ret, there.status, there.detail);
	}
	CHECK(go(&good, NULL) == 0, "a good packet works after them");

	struct membox_uring_args nowhere = { .packet = 8 };
	struct io_uring_sqe *sqe;

	put(&good, (void *)8, 0);
	need(io_uring_submit(&ring) == 1, "io_uring_submit");
	CHECK(await(NULL, NULL) == -EFAULT, "a completion with no place to go is EFAULT");
	put(&good, NULL, 0);
	sqe = &ring.sq.sqes[(ring.sq.sqe_tail - 1) & *ring.sq.kring_mask];
	memcpy(sqe->cmd, &nowhere, sizeof(nowhere));
	need(io_uring_submit(&ring) == 1, "io_uring_submit");
	CHECK(await(NULL, NULL) == -EFAULT, "a packet that is nowhere is EFAULT");
	put(&good, NULL, 0);
	sqe = &ring.sq.sqes[(ring.sq.sqe_tail - 1) & *ring.sq.kring_mask];
	sqe->cmd_op = MEMBOX_IOC_INFO;
	need(io_uring_submit(&ring) == 1, "io_uring_submit");
	CHECK(await(NULL, NULL) == -ENOTTY, "another command is ENOTTY");
	CHECK(go(&good, NULL) == 0, "a good packet works after them");
	CHECK(close_param(h) == 0, "PARAM_CLOSE");
}

/* Additions, as many in flight as the ring takes; whether each ended once, and with a value of its own. */
static bool add_many(uint32_t h, unsigned int many)
{
	static uint8_t seen[MANY], valued[MANY];
	const struct membox_packet one = add(h, 1);
	unsigned int begun = 0, ended = 0;
	bool good = true;

	memset(seen, 0, sizeof(seen));
	memset(valued, 0, sizeof(valued));
	while (ended < many) {
		uint64_t tag = MANY, value = MANY;

		for (; begun < many && begun - ended < DEPTH; begun++)
			put(&one, NULL, begun);
		if (io_uring_submit(&ring) < 0 || await(&tag, &value))
			return false;
		good &= tag < many && value < many && !seen[tag]++ && !valued[value]++;
		ended++;
	}
	return good;
}

static void many(void)
{
	uint32_t h = param("u.many", MEMBOX_I64, 1, 0), polled = param("u.polled", MEMBOX_I64, 1, 0);

	CHECK(add_many(h, MANY), "%u additions, %u in flight, each answers once with its own value", MANY, DEPTH);
	io_uring_queue_exit(&ring);
	open_ring(IORING_SETUP_SQPOLL);
	CHECK(add_many(polled, 1000), "... and so they do when the kernel polls the submission queue");
	io_uring_queue_exit(&ring);
	open_ring(0);
	CHECK(close_param(h) == 0 && close_param(polled) == 0, "PARAM_CLOSE");
}

/* The results of two commands with the tags 1 and 2, which end in any order. */
static void await_both(int result[3])
{
	result[1] = -ETIME;
	result[2] = -ETIME;
	for (int i = 0; i < 2; i++) {
		uint64_t tag = 0;
		int ret = await(&tag, NULL);

		if (tag == 1 || tag == 2)
			result[tag] = ret;
	}
}

static void cancelling(uint8_t *memory)
{
	uint32_t h = param("u.cancel", MEMBOX_I64, 8, 0);
	struct membox_packet waits = park(h, 5), behind = move(MEMBOX_OP_READ, h, MEMBOX_I64, 0, 8, memory);
	struct membox_packet cancel = { .opcode = MEMBOX_OP_CANCEL, .user_data = 6, .word.value = 5 };
	struct membox_completion found = { .status = 0xffff };
	int result[3];

	put(&waits, NULL, 1);
	need(io_uring_submit(&ring) == 1, "io_uring_submit");
	put(&cancel, &found, 2);
	need(io_uring_submit(&ring) == 1, "io_uring_submit");
	await_both(result);
	CHECK(result[1] == MEMBOX_ST_ABORTED && result[2] == 0 && found.result == 1,
	      "CANCEL ends a command that waits, and says that it found one (%d, %d, %llu)", result[1], result[2],
	      (unsigned long long)found.result);
	behind.flags = MEMBOX_F_FENCE;
	put(&waits, NULL, 1);
	put(&behind, NULL, 2);
	need(io_uring_submit(&ring) == 2, "io_uring_submit");
	CHECK(run(&cancel).result == 1, "CANCEL by SUBMIT reaches it, too");
	await_both(result);
	CHECK(result[1] == MEMBOX_ST_ABORTED && result[2] == 0, "... and what was fenced behind it goes on (%d, %d)",
	      result[1], result[2]);
	CHECK(close_param(h) == 0, "PARAM_CLOSE");
}

/* A child that has commands in flight, with memory pinned, and ends by itself or is killed. */
static void ending_child(bool is_killed)
{
	static uint8_t memory[PINNED * 4096];
	int ready[2];
	char byte;
	time_t end;
	pid_t pid;
	long before = pinned_pages();

	need(pipe(ready) == 0, "pipe");
	pid = fork();
	if (!pid) {
		fd = open_node(O_RDWR);
		open_ring(0);
		uint32_t h = param("u.child", MEMBOX_I64, sizeof(memory) / 8, 0);
		struct membox_packet waits = park(h, 5), behind = move(MEMBOX_OP_READ, h, MEMBOX_I64, 0, sizeof(memory) / 8, memory);

		behind.flags = MEMBOX_F_FENCE;
		put(&waits, NULL, 1);
		put(&behind, NULL, 2);
		need(io_uring_submit(&ring) == 2 && write(ready[1], "", 1) == 1, "child");
		while (!is_killed && pinned_pages() - before < PINNED)
			usleep(10000);
		if (is_killed)
			pause();
		_exit(0);
	}
	need(pid > 0 && read(ready[0], &byte, 1) == 1, "child");
	if (is_killed) {
		for (end = time(NULL) + SECONDS; pinned_pages() - before < PINNED && time(NULL) < end;)
			usleep(10000);
		CHECK(pinned_pages() - before >= PINNED, "a child's memory is pinned while its commands wait (%ld)", pinned_pages() - before);
		kill(pid, SIGKILL);
	}
	need(waitpid(pid, NULL, 0) == pid, "waitpid");
	for (end = time(NULL) + SECONDS; pinned_pages() != before && time(NULL) < end;)
		usleep(10000);
	CHECK(pinned_pages() == before, "a child that %s leaves nothing pinned (%ld)", is_killed ? "is killed" : "ends",
	      pinned_pages() - before);
	close(ready[0]);
	close(ready[1]);
}

static int ending(bool gone)
{
	static uint8_t memory[4096];
	uint32_t h = param("u.ending", MEMBOX_I64, 8, 0);
	struct membox_packet waits = park(h, 1), behind = move(MEMBOX_OP_READ, h, MEMBOX_I64, 0, 8, memory);
	int want = gone ? MEMBOX_ST_GONE : MEMBOX_ST_RESET;

	behind.flags = MEMBOX_F_FENCE;
	put(&waits, NULL, 1);
	put(&behind, NULL, 2);
	need(io_uring_submit(&ring) == 2, "io_uring_submit");
	printf("# ready\n");
	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		int ret = await(NULL, NULL);

		CHECK(ret == want, "a command in flight ends with %s (%d)", gone ? "GONE" : "RESET", ret);
	}
	CHECK(go(&waits, NULL) == (gone ? -ENODEV : -ESTALE), "one more is not taken");
	io_uring_queue_exit(&ring);
	close(fd);
	return finish();
}

int main(int argc, char **argv)
{
	uint8_t *memory = mmap(NULL, 2 * BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(memory != MAP_FAILED, "mmap");
	fd = open_node(O_RDWR);
	open_ring(0);
	if (argc == 3)
		return ending(!strcmp(argv[2], "gone"));
	moves(memory, memory + BIG);
	refusals(memory);
	many();
	cancelling(memory);
	ending_child(false);
	ending_child(true);
	io_uring_queue_exit(&ring);
	close(fd);
	return finish();
}
