// SPDX-License-Identifier: MIT
/*
 * userq.c - user queues by raw system calls: a process works with rings that it has
 * mapped, and one that breaks the rules harms only itself. Runs in a guest
 * (tests/vm/queues.py) and prints TAP.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "region.h"
#include "userq.h"

#define SECONDS 20

static uint8_t *memory; /* registered */
static uint32_t key;

/* Looks until there is a completion; status 0xffff: none came. */
static struct membox_completion await(struct queue *q)
{
	struct membox_completion c = { .status = 0xffff };
	time_t end = time(NULL) + SECONDS;

	while (!take(q, &c) && time(NULL) < end)
		;
	return c;
}

static struct membox_completion go(struct queue *q, const struct membox_packet *p)
{
	put(q, p, 7);
	publish(q);
	return await(q);
}

static bool halts(struct queue *q, uint32_t status)
{
	time_t end = time(NULL) + SECONDS;

	*q->doorbell = 0;
	while (!__atomic_load_n(&q->ctl->halted, __ATOMIC_RELAXED) && time(NULL) < end)
		;
	return q->ctl->halted == status;
}

static uint32_t handle;

static struct membox_packet add_one(void)
{
	return (struct membox_packet){ .opcode = MEMBOX_OP_ATOMIC, .user_data = 9, .dst_type = MEMBOX_I64,
				       .sub = MEMBOX_FETCH_ADD, .handle = { handle }, .word.value = 1 };
}

static struct membox_packet park(uint64_t user_data)
{
	return (struct membox_packet){ .opcode = MEMBOX_OP_WAIT, .user_data = user_data, .sub = MEMBOX_GT,
				       .timeout_us = 60000000, .handle = { handle }, .word.value = 1ULL << 40 };
}

static bool works(struct queue *q)
{
	struct membox_packet p = add_one();
	struct membox_completion c = go(q, &p);

	return c.status == 0 && c.user_data == 9 && c.cid == 7;
}

static void creation(void)
{
	struct queue q;
	struct membox_uqueue_args bad;

#define REFUSED(change, what) \
	do { \
		bad = (struct membox_uqueue_args){ .size = sizeof(bad), .sq_log2 = SQ_LOG2, .cq_log2 = CQ_LOG2 }; \
		change; \
		CHECK(ioctl(fd, MEMBOX_IOC_QUEUE_CREATE, &bad) < 0 && errno == EINVAL, "QUEUE_CREATE with " what " is EINVAL"); \
	} while (0)
	REFUSED(bad.flags = 1, "a flag");
	REFUSED(bad.rsvd = 1, "a reserved field");
	REFUSED(bad.sq_log2 = 4, "a ring of less than a page");
	REFUSED(bad.cq_log2 = 5, "completions of less than a page");
	REFUSED(bad.sq_log2 = bad.cq_log2 = 13, "a ring over the limit");
	REFUSED((bad.sq_log2 = 8, bad.cq_log2 = 7), "fewer completions than descriptors");
	REFUSED(bad.queue = 1, "a number");
#undef REFUSED
	open_queue(&q);
	CHECK(works(&q), "a queue works without a system call");
	CHECK(map_part(2 * PAGE, PROT_READ, q.args.sq_offset) == MAP_FAILED && errno == EINVAL, "more than a part is EINVAL");
	CHECK(map_part(PAGE, PROT_READ, q.args.ctl_offset + PAGE) == MAP_FAILED && errno == EINVAL, "... and what is behind it");
	CHECK(map_part(PAGE, PROT_READ, q.args.sq_offset + (1ULL << 32)) == MAP_FAILED && errno == EINVAL,
	      "... and another queue's");
	CHECK(map_part(PAGE, PROT_READ | PROT_EXEC, q.args.ctl_offset) == MAP_FAILED && errno == EPERM, "nothing is executable");
	CHECK(map_part(PAGE, PROT_READ | PROT_WRITE, q.args.cq_offset) == MAP_FAILED && errno == EACCES,
	      "completions cannot be mapped for writing");
	CHECK(mprotect((void *)(uintptr_t)q.cq, PAGE, PROT_READ | PROT_WRITE) < 0 && errno == EACCES,
	      "... nor made writable");
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, (off_t)q.args.ctl_offset) == MAP_FAILED && errno == EINVAL,
	      "private mappings are EINVAL");
	CHECK(delete(&q) == 0, "QUEUE_DELETE");
	CHECK(delete(&q) == MEMBOX_ST_BAD_QUEUE, "... of what has gone is BAD_QUEUE");
	*q.doorbell = 1;
	q.sq[0].count = 1;
	CHECK(*q.doorbell == 1 && q.sq[0].count == 1, "rings and doorbell of what has gone can be touched");
	CHECK(map_part(PAGE, PROT_READ, q.args.ctl_offset) == MAP_FAILED && errno == EINVAL, "... and not be mapped again");
	unmap_queue(&q);
}

static void moves(void)
{
	uint32_t h = param("u.bytes", MEMBOX_I8, 2 * PAGE, 0);
	struct membox_packet p;
	struct queue q;
	unsigned int i, right = 0;

	open_queue(&q);
	for (i = 0; i < 100; i++) { /* round the rings more than once */
		memset(memory, (int)i, PAGE);
		memset(memory + PAGE, 0, PAGE);
		p = move_key(MEMBOX_OP_WRITE, h, i, 1000 + i, key, i);
		if (go(&q, &p).status)
			break;
		p = move_key(MEMBOX_OP_READ, h, i, 1000 + i, key, PAGE);
		if (go(&q, &p).status)
			break;
		right += !memcmp(memory, memory + PAGE, 1000) && memory[PAGE + 999 + i] == i && !memory[PAGE + 1000 + i];
	}
	CHECK(right == 100, "data goes from one region's part to another, a hundred times");
	for (i = 0; i < 1U << SQ_LOG2; i++) {
		p = add_one();
		put(&q, &p, (uint16_t)i);
	}
	q.rung = 0;
	publish(&q);
	for (i = right = 0; i < 1U << SQ_LOG2; i++)
		right += await(&q).status == 0;
	CHECK(right == 1U << SQ_LOG2 && q.rung <= 1, "a full ring of commands needs one doorbell at most");
	delete(&q);
	unmap_queue(&q);
	close_param(h);
}

static void sleeping(void)
{
	struct pollfd node_fd = { .fd = fd, .events = POLLIN };
	int efd = eventfd(0, EFD_NONBLOCK);
	struct membox_eventfd_args e = { .size = sizeof(e), .fd = efd, .sources = MEMBOX_EVENTFD_COMPLETION };
	struct membox_packet p = park(1), cancel = { .opcode = MEMBOX_OP_CANCEL, .user_data = 2, .word.value = 1 };
	struct membox_completion c;
	struct queue q;
	uint64_t count;

	open_queue(&q);
	put(&q, &p, 1);
	publish(&q);
	CHECK(poll(&node_fd, 1, 100) == 0, "poll(): nothing while a command is parked");
	need(ioctl(fd, MEMBOX_IOC_EVENTFD, &e) == 0, "EVENTFD");
	q.ctl->cq_event = q.head;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	put(&q, &cancel, 2);
	publish(&q);
	CHECK(poll(&node_fd, 1, 1000 * SECONDS) == 1 && node_fd.revents == POLLIN, "poll() wakes for a completion of the queue");
	for (int i = 0; i < 100 && read(efd, &count, sizeof(count)) < 0; i++)
		usleep(10000);
	CHECK(count > 0, "... and the eventfd was signalled");
	c = await(&q);
	uint64_t both = c.user_data;
	bool right = c.user_data == 1 ? c.status == MEMBOX_ST_ABORTED : c.status == 0 && c.result == 1;

	c = await(&q);
	both += c.user_data;
	right &= c.user_data == 1 ? c.status == MEMBOX_ST_ABORTED : c.status == 0 && c.result == 1;
	CHECK(both == 3 && right, "CANCEL in the queue aborts what has that tag");
	CHECK(poll(&node_fd, 1, 0) == 0, "... and then there is nothing to wake for");
	e.fd = -1;
	ioctl(fd, MEMBOX_IOC_EVENTFD, &e);
	close(efd);
	delete(&q);
	unmap_queue(&q);
}

static void refusals(void)
{
	uint32_t h = param("u.bytes", MEMBOX_I8, 2 * PAGE, 0);
	uint32_t ro = region_add(memory, PAGE, MEMBOX_WIN_READ);
	struct membox_packet p;
	struct queue q;

	open_queue(&q);
#define ANSWER(packet, change, wanted, at, what) \
	do { \
		struct membox_completion c_; \
		p = packet; \
		change; \
		c_ = go(&q, &p); \
		CHECK(c_.status == (wanted) && c_.detail == (at), what); \
	} while (0)
	ANSWER(move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 64, memory), (void)0, MEMBOX_ST_BAD_REGION, MEMBOX_AT(host.key),
	       "an address in place of a key is BAD_REGION");
	ANSWER(move_key(MEMBOX_OP_READ, h, 0, 64, key + 0x10000, 0), (void)0, MEMBOX_ST_BAD_REGION, MEMBOX_AT(host.key),
	       "a stale key is BAD_REGION");
	ANSWER(move_key(MEMBOX_OP_READ, h, 0, 64, ro, 0), (void)0, MEMBOX_ST_BAD_REGION, MEMBOX_AT(host.key),
	       "a region without the right is BAD_REGION");
	ANSWER(move_key(MEMBOX_OP_WRITE, h, 0, 64, ro, PAGE - 63), (void)0, MEMBOX_ST_REGION_RANGE, MEMBOX_AT(host.addr),
	       "a byte past the region is REGION_RANGE");
	ANSWER(add_one(), p.context = 1, MEMBOX_ST_RESERVED, MEMBOX_AT(context), "a context is RESERVED");
	ANSWER(move_key(MEMBOX_OP_READ, h, 0, 64, key, 0), p.host.nseg = 1, MEMBOX_ST_RESERVED, MEMBOX_AT(host.nseg),
	       "a scatter-gather list is RESERVED");
	ANSWER(add_one(), p.opcode = MEMBOX_ADM_INFO, MEMBOX_ST_BAD_OPCODE, MEMBOX_AT(opcode),
	       "administration is BAD_OPCODE");
	ANSWER(add_one(), p.handle[0] += 0x10000, MEMBOX_ST_BAD_HANDLE, MEMBOX_AT(handle), "a stale handle is BAD_HANDLE");
#undef ANSWER
	CHECK(works(&q), "... and the queue works on");
	region_del(ro);
	p = move_key(MEMBOX_OP_WRITE, h, 0, 64, ro, 0);
	CHECK(go(&q, &p).status == MEMBOX_ST_BAD_REGION, "a region that was taken away is BAD_REGION");
	delete(&q);
	unmap_queue(&q);
	close_param(h);
}

/* Every way to spoil one's rings halts that queue, and no other. */
static void spoilt(void)
{
	struct queue good, q;
	struct membox_packet p = add_one();

	open_queue(&good);
	open_queue(&q);
	__atomic_store_n(&q.ctl->sq_tail, 1000000, __ATOMIC_RELEASE);
	CHECK(halts(&q, MEMBOX_ST_OUT_OF_RANGE), "a tail far ahead halts the queue");
	CHECK(works(&good), "... and no other");
	delete(&q);
	unmap_queue(&q);
	open_queue(&q);
	put(&q, &p, 1);
	q.sq[0].phase ^= 1;
	__atomic_store_n(&q.ctl->sq_tail, 1, __ATOMIC_RELEASE);
	CHECK(halts(&q, MEMBOX_ST_TORN), "a wrong phase halts the queue");
	struct pollfd node_fd = { .fd = fd, .events = POLLIN };

	CHECK(poll(&node_fd, 1, 1000 * SECONDS) == 1, "... of which poll() tells");
	delete(&q);
	unmap_queue(&q);
	open_queue(&q);
	__atomic_store_n(&q.ctl->cq_head, 77, __ATOMIC_RELEASE);
	put(&q, &p, 1);
	__atomic_store_n(&q.ctl->sq_tail, 1, __ATOMIC_RELEASE);
	CHECK(halts(&q, MEMBOX_ST_OUT_OF_RANGE), "a head ahead of what was posted halts the queue");
	delete(&q);
	unmap_queue(&q);
	open_queue(&q);
	for (unsigned int round = 0; round < 20; round++) {
		uint8_t *ring = (uint8_t *)q.sq;

		for (size_t i = 0; i < sizeof(*q.sq) << SQ_LOG2; i++)
			ring[i] = (uint8_t)((i + 1) * 2654435761u >> (round % 24));
		memset(q.ctl, (int)(round * 37), 64);
		*q.doorbell = round;
	}
	CHECK(works(&good), "garbage everywhere harms no other queue");
	CHECK(delete(&q) == 0, "... and a spoilt queue can be deleted");
	unmap_queue(&q);
	delete(&good);
	unmap_queue(&good);
}

static int all_of_them(void)
{
	struct queue q[64];
	int n = 0;

	while (n < 64 && create(&q[n]) == 0)
		n++;
	if (errno != EMFILE)
		return 0;
	for (int i = 0; i < n; i++)
		delete(&q[i]);
	return n;
}

static void processes(void)
{
	struct queue q;
	int status = 0, n = all_of_them(), ready[2];
	char byte;

	CHECK(n >= 1, "QUEUE_CREATE is EMFILE when all are in use (%d)", n);
	open_queue(&q);
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		if (create(&q) != -1 || errno != EOWNERDEAD)
			_exit(1);
		*(volatile uint32_t *)&q.ctl->sq_tail = 5; /* not there */
		_exit(2);
	}
	need(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "a forked child has neither the queue nor its rings");
	CHECK(works(&q), "... and its parent goes on");
	delete(&q);
	unmap_queue(&q);
	need(pipe(ready) == 0, "pipe");
	for (int i = 0; i < 3; i++) {
		pid = fork();
		if (!pid) {
			fd = open_node(O_RDWR);
			handle = param("u.word", MEMBOX_I64, 8, 0);
			memory = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			key = region_add(memory, 64 * PAGE, BOTH);
			open_queue(&q);
			struct membox_packet p = park(1), r = move_key(MEMBOX_OP_READ, handle, 0, 1, key, 0);

			r.dst_type = MEMBOX_I64;
			r.flags |= MEMBOX_F_FENCE;
			put(&q, &p, 1);
			put(&q, &r, 2);
			publish(&q);
			if (write(ready[1], "!", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		need(pid > 0 && read(ready[0], &byte, 1) == 1, "child");
		kill(pid, SIGKILL);
		need(waitpid(pid, &status, 0) == pid, "waitpid");
	}
	close(ready[0]);
	close(ready[1]);
	CHECK(all_of_them() == n, "queues of processes that were killed with commands in flight are free again");
	struct membox_packet w = park(5);

	open_queue(&q);
	put(&q, &w, 3);
	publish(&q);
	CHECK(delete(&q) == 0 && await(&q).status == MEMBOX_ST_ABORTED, "deleting a queue aborts what is in it");
	unmap_queue(&q);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		node = argv[1];
	fd = open_node(O_RDWR);
	handle = param("u.word", MEMBOX_I64, 8, 0);
	memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(memory != MAP_FAILED, "mmap");
	key = region_add(memory, 2 * PAGE, BOTH);
	creation();
	moves();
	sleeping();
	refusals();
	spoilt();
	processes();
	close(fd);
	return finish();
}
