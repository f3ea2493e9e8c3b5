// SPDX-License-Identifier: MIT
/*
 * packet.c - the driver's interface by system calls alone: every way in and out of
 * the node. Runs in a guest (tests/vm/driver.py) and prints TAP.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "packet.h"

#define BIG (5 * 1024 * 1024 + 17)
#define DOUBLE_ONE 0x3ff0000000000000ULL

static void fill(uint8_t *p, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

static void info(void)
{
	struct membox_info i = { .size = sizeof(i) };

	CHECK(ioctl(fd, MEMBOX_IOC_INFO, &i) == 0, "INFO succeeds");
	CHECK(i.abi == MEMBOX_ABI && i.context >= 1 && i.queues >= 1, "INFO tells of version, context and queues");
	CHECK(i.caps & MEMBOX_CAP_ATOMIC, "capabilities are there");
}

static void ioctl_sizes(void)
{
	struct {
		struct membox_info i;
		uint64_t more;
	} longer = { .i.size = sizeof(longer) };
	uint32_t shortest[2] = { sizeof(uint32_t), 0xdeadbeef };

	CHECK(ioctl(fd, _IO(MEMBOX_IOC, 0x7f)) < 0 && errno == ENOTTY, "an unknown ioctl is ENOTTY");
	CHECK(ioctl(fd, MEMBOX_IOC_INFO, &longer) == 0 && longer.i.abi == MEMBOX_ABI,
	      "a longer structure is taken when its end is zero");
	longer.more = 1;
	CHECK(ioctl(fd, MEMBOX_IOC_INFO, &longer) < 0 && errno == E2BIG, "... and refused with E2BIG when not");
	CHECK(ioctl(fd, MEMBOX_IOC_INFO, shortest) == 0 && shortest[1] == 0xdeadbeef,
	      "a shorter structure gets as much of the answer as it has room for");
	shortest[0] = 3;
	CHECK(ioctl(fd, MEMBOX_IOC_INFO, shortest) < 0 && errno == EINVAL, "one without a size is EINVAL");
	CHECK(ioctl(fd, MEMBOX_IOC_INFO, NULL) < 0 && errno == EFAULT, "one that cannot be read is EFAULT");
}

static void round_trips(void)
{
	static const size_t size[] = { 1, 63, 4096, 4097, 8191, 65536, 1024 * 1024 + 3, BIG };
	uint8_t *out = malloc(BIG + 4096), *in = malloc(BIG + 4096);
	uint32_t h = param("p.big", MEMBOX_I8, BIG + 64, 0);

	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		size_t n = size[i], skew = i * 37 % 61;

		fill(out + skew, n, (unsigned int)i);
		memset(in, 0, n + 4096);
		need(run_move(MEMBOX_OP_WRITE, h, MEMBOX_I8, i, n, out + skew) == 0, "WRITE");
		need(run_move(MEMBOX_OP_READ, h, MEMBOX_I8, i, n, in + 2 * skew) == 0, "READ");
		CHECK(!memcmp(out + skew, in + 2 * skew, n) && !in[2 * skew + n],
		      "%zu bytes written and read are equal, and not one more", n);
	}
	CHECK(close_param(h) == 0, "PARAM_CLOSE");
	free(out);
	free(in);
}

static void accumulate(void)
{
	enum { N = 5000 };
	static float x[N], y[N];
	uint32_t h = param("p.acc", MEMBOX_F32, N, 0);
	struct membox_packet p = move(MEMBOX_OP_ACC, h, MEMBOX_F32, 0, N, x);
	struct membox_completion c;
	bool right = true;

	p.src_type = MEMBOX_F32;
	p.reduction = MEMBOX_SUM;
	p.scale.a = DOUBLE_ONE;
	memset(y, 0, sizeof(y));
	run_move(MEMBOX_OP_WRITE, h, MEMBOX_F32, 0, N, y);
	for (int i = 0; i < N; i++)
		x[i] = (float)i;
	for (int k = 0; k < 3; k++)
		c = run(&p);
	CHECK(c.status == 0 && c.bytes == sizeof(x) && c.user_data == p.user_data, "ACC completes");
	CHECK(!c.queue && !c.cid && !c.phase, "a completion tells nothing of queues");
	CHECK(c.end >= c.start && c.start, "... but when it was executed");
	run_move(MEMBOX_OP_READ, h, MEMBOX_F32, 0, N, y);
	for (int i = 0; i < N; i++)
		right &= y[i] == 3 * (float)i;
	CHECK(right, "three additions add three times");
	close_param(h);
}

static void batches(void)
{
	enum { N = 300 };
	static struct {
		struct membox_batch head;
		struct {
			struct membox_packet p;
			uint64_t own[2];
		} each[N];
	} b;
	static struct membox_completion c[N + 1];
	uint32_t h = param("p.atomic", MEMBOX_I64, 8, 0);
	int64_t value = 0;
	unsigned int got = 0, bad = 0;
	ssize_t n;

	run_move(MEMBOX_OP_WRITE, h, MEMBOX_I64, 0, 1, &value);
	b.head = (struct membox_batch){ MEMBOX_BATCH_MAGIC, sizeof(b.each[0]), N, 0 };
	for (int i = 0; i < N; i++) {
		b.each[i].p = (struct membox_packet){
			.opcode = MEMBOX_OP_ATOMIC,
			.user_data = (uint64_t)i,
			.dst_type = MEMBOX_I64,
			.sub = MEMBOX_FETCH_ADD,
			.handle = { h },
			.word.value = 2,
		};
		b.each[i].own[0] = ~0ULL;
	}
	CHECK(write(fd, &b, sizeof(b)) == sizeof(b), "write() takes a batch with a stride of its own");
	while (got < N) {
		n = read(fd, c, sizeof(c) - 1);
		if (n <= 0 || n % (ssize_t)sizeof(c[0]))
			break;
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(c[0]); i++)
			bad += c[i].status || c[i].user_data >= N;
		got += (unsigned int)(n / (ssize_t)sizeof(c[0]));
	}
	CHECK(got == N && !bad, "read() gives whole completions, one a packet");
	run_move(MEMBOX_OP_READ, h, MEMBOX_I64, 0, 1, &value);
	CHECK(value == 2 * N, "each was executed once");
	CHECK(read(fd, c, 63) < 0 && errno == EINVAL, "read() of less than a completion is EINVAL");
	b.head.magic++;
	CHECK(write(fd, &b, sizeof(b)) < 0 && errno == EINVAL, "another magic is EINVAL");
	b.head = (struct membox_batch){ MEMBOX_BATCH_MAGIC, 127, N, 0 };
	CHECK(write(fd, &b, sizeof(b)) < 0 && errno == EINVAL, "a stride below 128 is EINVAL");
	b.head = (struct membox_batch){ MEMBOX_BATCH_MAGIC, sizeof(b.each[0]), N, 0 };
	CHECK(write(fd, &b, sizeof(b) - 8) < 0 && errno == EINVAL, "a length that does not fit is EINVAL");
	close_param(h);
}

static void readiness(void)
{
	struct pollfd p = { fd, POLLIN | POLLOUT | POLLPRI, 0 };
	uint32_t h = param("p.atomic", MEMBOX_I64, 8, 0);
	struct membox_packet w = move(MEMBOX_OP_NOTIFY, h, 0, 0, 0, NULL);
	struct membox_completion c;
	int efd = eventfd(0, EFD_NONBLOCK);
	struct membox_eventfd_args e = { .size = sizeof(e), .fd = efd, .sources = MEMBOX_EVENTFD_COMPLETION };
	uint64_t count = 0;

	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLOUT, "poll(): an idle node is writable only");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	CHECK(read(fd, &c, sizeof(c)) < 0 && errno == EAGAIN, "read() of nothing is EAGAIN when not to block");
	fcntl(fd, F_SETFL, 0);
	CHECK(ioctl(fd, MEMBOX_IOC_EVENTFD, &e) == 0, "EVENTFD");
	need(submit(&w, 1, NULL, 0) == 0, "SUBMIT");
	p.events = POLLIN;
	CHECK(poll(&p, 1, 10000) == 1 && p.revents == POLLIN, "poll() wakes for a completion");
	CHECK(read(efd, &count, sizeof(count)) == sizeof(count) && count == 1, "... and the eventfd was signalled once");
	CHECK(read(fd, &c, sizeof(c)) == sizeof(c) && c.status == 0, "... which can be read");
	CHECK(poll(&p, 1, 0) == 0, "... and then is gone");
	e.fd = -1;
	CHECK(ioctl(fd, MEMBOX_IOC_EVENTFD, &e) == 0, "the eventfd can be taken away");
	e.sources = 4;
	CHECK(ioctl(fd, MEMBOX_IOC_EVENTFD, &e) < 0 && errno == EINVAL, "an unknown source is EINVAL");
	close(efd);
	close_param(h);
}

static void refusals(void)
{
	uint32_t h = param("p.small", MEMBOX_I8, 4096, 0);
	uint8_t *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct membox_packet p = move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 64, page);
	struct membox_packet three[3];
	struct membox_completion c, cs[3];
	uint8_t buf[64] = { 0 };

	c = run(&p);
	CHECK(c.status == MEMBOX_ST_HOST_FAULT && c.detail == MEMBOX_AT(host.addr) && !c.bytes,
	      "READ into a read-only page is HOST_FAULT at host.addr");
	munmap(page + 4096, 4096);
	p = move(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 4096, page + 64);
	CHECK(run(&p).status == MEMBOX_ST_HOST_FAULT, "WRITE from memory whose end is not mapped is HOST_FAULT");
	p = move(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 64, (void *)0xffff800000000000ULL);
	CHECK(run(&p).status == MEMBOX_ST_HOST_FAULT, "WRITE from the kernel's addresses is HOST_FAULT");
	p = move(0x77, h, MEMBOX_I8, 0, 64, buf);
	CHECK(run(&p).status == MEMBOX_ST_BAD_OPCODE, "an unknown operation is BAD_OPCODE");
	p = move(MEMBOX_OP_READ, h, MEMBOX_I8, 4000, 97, page);
	CHECK(run(&p).status == MEMBOX_ST_HOST_FAULT, "host memory is checked before the range");
	p = move(MEMBOX_OP_READ, h, MEMBOX_I8, 4000, 64 + 33, buf);
	p.host.addr = (uintptr_t)malloc(4096);
	c = run(&p);
	CHECK(c.status == MEMBOX_ST_OUT_OF_RANGE && c.detail == MEMBOX_AT(offset),
	      "past the end is OUT_OF_RANGE at offset[0]");
	free((void *)(uintptr_t)p.host.addr);
	p = move(MEMBOX_OP_READ, h + 0x10000, MEMBOX_I8, 0, 64, buf);
	CHECK(run(&p).status == MEMBOX_ST_BAD_HANDLE, "a wrong handle is BAD_HANDLE");
	for (int i = 0; i < 3; i++) {
		three[i] = move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 64, buf);
		three[i].user_data = (uint64_t)i;
	}
	three[1].count = 0;
	need(submit(three, 3, cs, 3) == 0, "SUBMIT of three");
	unsigned int seen = 0, right = 0;

	for (int i = 0; i < 3; i++) {
		seen |= 1U << cs[i].user_data;
		right += cs[i].status == (cs[i].user_data == 1 ? MEMBOX_ST_ZERO_LENGTH : MEMBOX_ST_OK);
	}
	CHECK(seen == 7 && right == 3, "a bad packet between good ones does not stop them");
	munmap(page, 4096);
	close_param(h);
}

static void parking(void)
{
	uint32_t h = param("p.atomic", MEMBOX_I64, 8, 0);
	struct membox_packet w = {
		.opcode = MEMBOX_OP_WAIT,
		.user_data = 77,
		.sub = MEMBOX_GT,
		.timeout_us = 60000000,
		.handle = { h },
		.word.value = 1ULL << 60,
	};
	struct membox_packet cancel = { .opcode = MEMBOX_OP_CANCEL, .user_data = 78, .word.value = 77 };
	struct membox_packet notify = { .opcode = MEMBOX_OP_NOTIFY, .handle = { h }, .user_data = 79 };
	struct membox_packet both[2] = { w, w };
	struct membox_completion c[3];
	struct pollfd p = { fd, POLLIN, 0 };
	struct membox_param_stat stat = { .size = sizeof(stat), .handle = h };

	need(submit(both, 2, NULL, 0) == 0, "SUBMIT of WAITs");
	CHECK(poll(&p, 1, 100) == 0, "a WAIT that is not satisfied parks");
	c[0] = run(&notify);
	CHECK(c[0].user_data == 79 && c[0].status == 0, "others pass it");
	need(submit(&cancel, 1, c, 3) == 0, "CANCEL");
	unsigned int found = 0, aborted = 0;

	for (int i = 0; i < 3; i++) {
		aborted += c[i].user_data == 77 && c[i].status == MEMBOX_ST_ABORTED;
		if (c[i].user_data == 78 && !c[i].status)
			found = (unsigned int)c[i].result;
	}
	CHECK(found == 2 && aborted == 2, "CANCEL ends both and says so: %u found, %u aborted", found, aborted);
	c[0] = run(&cancel);
	CHECK(c[0].status == 0 && c[0].result == 0, "CANCEL of nothing finds nothing");
	w.timeout_us = 50000;
	CHECK(run(&w).status == MEMBOX_ST_TIMED_OUT, "a WAIT ends at its time-out");
	ioctl(fd, MEMBOX_IOC_PARAM_STAT, &stat);
	w.timeout_us = 20000000;
	w.word.value = stat.finished;
	both[0] = w;
	both[1] = notify;
	need(submit(both, 2, c, 2) == 0, "WAIT and NOTIFY");
	CHECK(!c[0].status && !c[1].status, "a WAIT for a version ends with the NOTIFY");
	close_param(h);
}

static void fences(void)
{
	/* each in a cache line of its own: DMA debugging counts commands that share one */
	enum { N = 64, APART = 16 };
	static uint32_t out[N], in[N * APART];
	struct membox_packet p[2 * N];
	struct membox_completion c[2 * N];
	uint32_t h = param("p.fence", MEMBOX_I32, 1024, 0);
	bool right = true;

	for (int i = 0; i < N; i++) {
		out[i] = (uint32_t)i + 1;
		p[2 * i] = move(MEMBOX_OP_WRITE, h, MEMBOX_I32, 5, 1, &out[i]);
		p[2 * i + 1] = move(MEMBOX_OP_READ, h, MEMBOX_I32, 5, 1, &in[i * APART]);
		p[2 * i].flags = MEMBOX_F_FENCE;
		p[2 * i + 1].flags = MEMBOX_F_FENCE;
	}
	need(submit(p, 2 * N, c, 2 * N) == 0, "SUBMIT of fenced packets");
	for (int i = 0; i < N; i++)
		right &= in[i * APART] == (uint32_t)i + 1;
	CHECK(right, "fenced packets run in order");
	close_param(h);
}

static void events(void)
{
	uint32_t h = param("p.event", MEMBOX_I8, 64, 0);
	struct membox_handle_args on = { .size = sizeof(on), .handle = h, .value = 1 };
	struct membox_event e = { .size = sizeof(e) };
	struct membox_packet notify = { .opcode = MEMBOX_OP_NOTIFY, .handle = { h } };
	struct pollfd p = { fd, POLLPRI, 0 };

	CHECK(ioctl(fd, MEMBOX_IOC_EVENT_READ, &e) == MEMBOX_ST_AGAIN, "EVENT_READ of nothing is AGAIN");
	CHECK(ioctl(fd, MEMBOX_IOC_SUBSCRIBE, &on) == 0, "SUBSCRIBE");
	CHECK(poll(&p, 1, 0) == 0, "no event yet");
	run(&notify);
	CHECK(poll(&p, 1, 10000) == 1 && p.revents == POLLPRI, "poll() wakes for an event");
	e = (struct membox_event){ .size = sizeof(e) };
	CHECK(ioctl(fd, MEMBOX_IOC_EVENT_READ, &e) == 0 && e.handle == h, "EVENT_READ names the parameter");
	CHECK(ioctl(fd, MEMBOX_IOC_EVENT_READ, &e) == MEMBOX_ST_AGAIN, "... once");
	CHECK(poll(&p, 1, 0) == 0, "... and the event is gone");
	close_param(h);
}

static sigjmp_buf jump;

static void on_bus(int number)
{
	siglongjmp(jump, number);
}

/* 0, or the signal that reading (or writing) the byte gave. */
static int touch(volatile uint8_t *byte, bool store)
{
	int number = sigsetjmp(jump, 1);

	if (number)
		return number;
	if (store)
		*byte = 1;
	else
		(void)*byte;
	return 0;
}

static void windows(void)
{
	enum { BYTES = 3 * 4096 * 16 };
	uint32_t h = param("p.map", MEMBOX_I8, BYTES, MEMBOX_PARAM_MAPPABLE);
	uint32_t small = param("p.small", MEMBOX_I8, 4096, 0);
	struct membox_window_args w = { .size = sizeof(w), .handle = h, .prot = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE };
	struct membox_window_args r = { .size = sizeof(r), .handle = h, .prot = MEMBOX_WIN_READ };
	struct membox_window_args none = { .size = sizeof(none), .handle = small, .prot = MEMBOX_WIN_READ };
	struct membox_packet commit = move(MEMBOX_OP_COMMIT, h, MEMBOX_I8, 0, BYTES, NULL);
	static uint8_t copy[BYTES];
	uint8_t *rw, *ro;

	signal(SIGBUS, on_bus);
	signal(SIGSEGV, on_bus);
	CHECK(ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &none) == MEMBOX_ST_NOT_MAPPABLE,
	      "a parameter that is not mappable is NOT_MAPPABLE");
	CHECK(ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &w) == 0 && w.length >= BYTES, "WINDOW_MAP for writing");
	CHECK(ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &r) == 0, "WINDOW_MAP for reading");
	CHECK(mmap(NULL, w.length, PROT_READ, MAP_PRIVATE, fd, (off_t)w.offset) == MAP_FAILED && errno == EINVAL,
	      "a private mapping is EINVAL");
	CHECK(mmap(NULL, r.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)r.offset) == MAP_FAILED &&
	      errno == EACCES, "a writable mapping of a read-only window is EACCES");
	CHECK(mmap(NULL, w.length + 4096, PROT_READ, MAP_SHARED, fd, (off_t)w.offset) == MAP_FAILED && errno == EINVAL,
	      "a mapping longer than the window is EINVAL");
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL,
	      "an offset that is no token is EINVAL");
	rw = mmap(NULL, w.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)w.offset);
	ro = mmap(NULL, r.length, PROT_READ, MAP_SHARED, fd, (off_t)r.offset);
	need(rw != MAP_FAILED && ro != MAP_FAILED, "mmap");
	fill(rw, BYTES, 9);
	CHECK(run(&commit).status == 0, "COMMIT");
	CHECK(!memcmp(rw, ro, BYTES), "what is stored through one window is loaded through the other");
	run_move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, BYTES, copy);
	CHECK(!memcmp(rw, copy, BYTES), "... and read by an operation");
	CHECK(mprotect(ro, r.length, PROT_READ | PROT_WRITE) < 0 && errno == EACCES,
	      "mprotect() does not make it writable");
	CHECK(touch(ro, true) == SIGSEGV, "a store into a read-only mapping is SIGSEGV");
	CHECK(run_move(MEMBOX_OP_READ, small, MEMBOX_I8, 0, 64, rw) == MEMBOX_ST_HOST_FAULT,
	      "a window is no host memory");
	CHECK(ioctl(fd, MEMBOX_IOC_WINDOW_UNMAP, &w) == 0, "WINDOW_UNMAP");
	CHECK(touch(rw, false) == SIGBUS, "a touch after it is SIGBUS");
	CHECK(touch(ro, false) == 0, "the other window is still there");
	CHECK(ioctl(fd, MEMBOX_IOC_WINDOW_UNMAP, &w) > 0, "a second WINDOW_UNMAP is refused");
	CHECK(close_param(h) == 0 && touch(ro, false) == SIGBUS, "a window ends with its handle");
	munmap(rw, w.length);
	munmap(ro, r.length);
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	close_param(small);
}

/* What a forked child gets for its calls on the parent's file: exit status 0 if all are EOWNERDEAD. */
static int child_calls(void)
{
	struct membox_info i = { .size = sizeof(i) };
	struct membox_completion c;
	struct pollfd p = { fd, POLLIN, 0 };

	if (ioctl(fd, MEMBOX_IOC_INFO, &i) >= 0 || errno != EOWNERDEAD)
		return 1;
	if (read(fd, &c, sizeof(c)) >= 0 || errno != EOWNERDEAD)
		return 2;
	if (write(fd, &c, sizeof(c)) >= 0 || errno != EOWNERDEAD)
		return 3;
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLERR))
		return 4;
	if (mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED || errno != EOWNERDEAD)
		return 5;
	return 0;
}

static void fork_child(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(child_calls());
	waitpid(pid, &status, 0);
	CHECK(status == 0, "every call of a forked child is EOWNERDEAD (%#x)", (unsigned int)status);
	info();
}

/* A process that dies with transfers and waits in flight. */
static void die_in_flight(void)
{
	static uint8_t data[BIG];
	uint32_t h = param("p.big", MEMBOX_I8, BIG + 64, 0);
	struct membox_packet p[9];

	for (int i = 0; i < 8; i++)
		p[i] = move(i & 1 ? MEMBOX_OP_READ : MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, BIG, data);
	p[8] = (struct membox_packet){ .opcode = MEMBOX_OP_WAIT,
				       .sub = MEMBOX_GT,
				       .timeout_us = 60000000,
				       .handle = { h },
				       .word.value = 1ULL << 60 };
	submit(p, 9, NULL, 0);
	kill(getpid(), SIGKILL);
}

static void killed_processes(void)
{
	struct membox_port_stat before = { .size = sizeof(before), .port = 0xffffffff }, after = before;
	int status, killed = 0;

	ioctl(fd, MEMBOX_IOC_PORT_STAT, &before);
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();

		if (!pid) {
			fd = open_node(O_RDWR);
			die_in_flight();
		}
		waitpid(pid, &status, 0);
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	ioctl(fd, MEMBOX_IOC_PORT_STAT, &after);
	CHECK(killed == 5 && before.contexts == after.contexts,
	      "five processes killed with transfers in flight leave no context (%u, %u)", before.contexts,
	      after.contexts);
	round_trips();
}

/* The largest batch, parked: more than the context's share of its queue. */
static void full_queue(void)
{
	enum { N = MEMBOX_MAX_BATCH };
	static struct membox_packet p[N];
	static struct membox_completion c[N];
	uint32_t h = param("p.atomic", MEMBOX_I64, 8, 0);
	struct membox_submit s = { .size = sizeof(s), .packets = (uintptr_t)p, .count = N, .timeout_ns = -1 };
	struct membox_packet cancel = { .opcode = MEMBOX_OP_CANCEL, .user_data = 6, .word.value = 5 };
	unsigned int aborted = 0;
	int got;

	for (int i = 0; i < N; i++)
		p[i] = (struct membox_packet){ .opcode = MEMBOX_OP_WAIT,
					       .user_data = 5,
					       .sub = MEMBOX_GT,
					       .timeout_us = 60000000,
					       .handle = { h },
					       .word.value = 1ULL << 60 };
	fcntl(fd, F_SETFL, O_NONBLOCK);
	got = ioctl(fd, MEMBOX_IOC_SUBMIT, &s);
	CHECK(!got && s.submitted > 0 && s.submitted < N, "a full queue takes a part of a batch (%u)", s.submitted);
	fcntl(fd, F_SETFL, 0);
	need(submit(&cancel, 1, c, s.submitted + 1) == 0, "CANCEL of all");
	for (unsigned int i = 0; i <= s.submitted; i++)
		aborted += c[i].status == MEMBOX_ST_ABORTED;
	CHECK(aborted == s.submitted, "... which CANCEL ends (%u)", aborted);
	for (int i = 0; i < N; i++)
		p[i] = (struct membox_packet){ .opcode = MEMBOX_OP_NOTIFY, .handle = { h } };
	got = submit(p, N, c, N);
	for (int i = 0; i < N; i++)
		got |= c[i].status;
	CHECK(!got, "a batch of %d that does not park passes", N);
	close_param(h);
}

/* A user who may lock little: what may park counts, what does not does not. */
static int little_locked_memory(void)
{
	static uint8_t data[1 << 20];
	struct rlimit limit = { 65536, 65536 };
	uint32_t h;
	struct membox_packet p;
	struct membox_completion c;

	fd = open_node(O_RDWR);
	h = param("p.big", MEMBOX_I8, BIG + 64, 0);
	p = move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, sizeof(data), data);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(65534, 65534, 65534))
		return 1;
	if (run(&p).status)
		return 2;
	p.flags = MEMBOX_F_FENCE;
	c = run(&p);
	if (c.status != MEMBOX_ST_NO_MEMORY || c.detail != MEMBOX_AT(host.addr))
		return 3;
	p.count = 8192;
	for (int i = 0; i < 100; i++)
		if (run(&p).status)
			return 4;
	return 0;
}

static void locked_memory(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(little_locked_memory());
	waitpid(pid, &status, 0);
	CHECK(status == 0, "RLIMIT_MEMLOCK holds for memory that may stay pinned (%#x)", (unsigned int)status);
}

static void many_contexts(void)
{
	int other[40];
	uint32_t h;
	int mine = fd, bad = 0;

	for (int i = 0; i < 40; i++) {
		fd = other[i] = open_node(O_RDWR);
		h = param("p.atomic", MEMBOX_I64, 8, 0);
		struct membox_packet p = {
			.opcode = MEMBOX_OP_ATOMIC, .dst_type = MEMBOX_I64, .sub = MEMBOX_FETCH_ADD, .handle = { h }
		};

		bad += run(&p).status != 0;
	}
	for (int i = 0; i < 40; i++)
		close(other[i]);
	fd = mine;
	CHECK(!bad, "forty contexts work side by side");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		node = argv[1];
	fd = open_node(O_RDWR);
	info();
	ioctl_sizes();
	round_trips();
	accumulate();
	batches();
	readiness();
	refusals();
	parking();
	fences();
	events();
	windows();
	fork_child();
	killed_processes();
	full_queue();
	locked_memory();
	many_contexts();
	close(fd);
	return finish();
}
