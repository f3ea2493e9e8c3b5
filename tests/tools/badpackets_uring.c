// SPDX-License-Identifier: MIT
/*
 * badpackets_uring.c - bad packets by io_uring: each has the status of its fault as its result,
 * and the completion that SUBMIT gives. And commands that are none, and rings that will not do.
 */
#include <errno.h>
#include <liburing.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "badpackets.h"

#define SECONDS 60

static struct io_uring ring;
static int node;

static struct io_uring_sqe *put(const struct membox_packet *p, struct membox_completion *c, uint64_t tag)
{
	const struct membox_uring_args args = {.packet = (uintptr_t)p, .completion = (uintptr_t)c};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe)
		bail("a submission queue entry");
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = node;
	sqe->cmd_op = MEMBOX_URING_PACKET;
	sqe->user_data = tag;
	memcpy(sqe->cmd, &args, sizeof(args));
	return sqe;
}

/* The next result and whose it is. */
static int await(uint64_t *tag)
{
	struct __kernel_timespec limit = {.tv_sec = SECONDS};
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

	if (ret)
		bail("io_uring: a command has no end");
	ret = cqe->res;
	*tag = cqe->user_data;
	io_uring_cqe_seen(&ring, cqe);
	return ret;
}

/* What has been put, the only one under way. */
static int go(void)
{
	uint64_t tag;

	if (io_uring_submit(&ring) != 1)
		bail("io_uring_submit");
	return await(&tag);
}

static bool is(int result, int wanted, const char *what)
{
	if (result == wanted)
		return true;
	note("%s: %d, wanted %d", what, result, wanted);
	return false;
}

/* ---- bad packets ---- */

struct trial {
	struct membox_packet p;
	const char *a, *b;
	uint16_t status; /* that is due */
	uint32_t detail;
	struct membox_completion c;
};

static struct trial trial[BATCH];
static unsigned int ntrials;
static uint64_t caps;

static bool judge(const struct trial *t, int result)
{
	if (result == t->status && t->c.status == t->status && t->c.detail == t->detail &&
	    t->c.user_data == t->p.user_data && !t->c.bytes && !t->c.result)
		return true;
	note("%s and %s: %d, %s at %u; wanted %s at %u", t->a, t->b, result,
	     membox_status_name((int)t->c.status), t->c.detail, membox_status_name(t->status), t->detail);
	return false;
}

static bool flush(void)
{
	bool passed = true;
	unsigned int i;

	if (ntrials && io_uring_submit(&ring) != (int)ntrials)
		bail("io_uring_submit");
	for (i = 0; i < ntrials; i++) {
		uint64_t tag;
		int ret = await(&tag);

		passed &= judge(&trial[tag], ret);
	}
	ntrials = 0;
	return passed;
}

/* lacks: the port has no such operation. */
static bool try_out(const struct membox_packet *good, const struct bad *a, const struct bad *b, bool lacks)
{
	const struct bad *first = bads_first(a, b);
	struct trial *t = &trial[ntrials];

	*t = (struct trial){.p = *good, .a = a->name, .b = b->name, .c.status = 0xffff};
	if (lacks && first->order > MEMBOX_ST_UNSUPPORTED) {
		t->status = MEMBOX_ST_UNSUPPORTED;
	} else {
		t->status = first->status;
		t->detail = first->detail;
	}
	t->p.user_data = 0xbad0000 + ntrials;
	bad_apply(a, &t->p);
	bad_apply(b, &t->p);
	put(&t->p, &t->c, ntrials);
	return ++ntrials < BATCH || flush();
}

/* The faults of the 128 bytes of one kind of packet, alone and in pairs. */
static bool kind_faults(const struct good_kind *kind, unsigned int nth, unsigned int *faults, unsigned int *pairs)
{
	const struct membox_packet good = good_packet(kind, &good_env_shape);
	const bool lacks = expect_of(kind)->cap & ~caps;
	unsigned int i, k, seen = 0;
	static struct bads all;
	bool passed = true;

	bads_of(&all, kind, &good, true);
	*faults += all.n;
	for (i = 0; i < all.n; i++) {
		passed &= try_out(&good, &all.bad[i], &all.bad[i], lacks);
		for (k = i + 1; k < all.n; k++) {
			if (bads_collide(&all.bad[i], &all.bad[k]) || seen++ % nth)
				continue;
			passed &= try_out(&good, &all.bad[i], &all.bad[k], lacks);
			(*pairs)++;
		}
	}
	return flush() && passed;
}

static void every_kind(void)
{
	const char *every = getenv("BADPACKETS_EVERY");
	unsigned int i, faults = 0, pairs = 0, nth = every ? (unsigned int)atoi(every) : 1;
	bool passed = true;

	for (i = 0; i < GOOD_KINDS; i++)
		passed &= kind_faults(&good_kinds[i], nth, &faults, &pairs);
	tap(passed, "io_uring: %u kinds of packet, %u faults, alone and in %u pairs", (unsigned int)GOOD_KINDS,
	    faults, pairs);
}

/* ---- commands ---- */

static void bad_commands(const struct membox_packet *good)
{
	void *volatile nowhere = (void *)8; /* volatile: a compiler shall not know */
	struct membox_completion c;
	unsigned int number;
	bool passed = true;

	for (number = 0; number < 256; number++) {
		const unsigned int op = _IOC(3U, MEMBOX_IOC, number, sizeof(struct membox_uring_args));

		if (op == MEMBOX_URING_PACKET)
			continue;
		put(good, &c, 0)->cmd_op = op;
		passed &= is(go(), -ENOTTY, "unknown number");
	}
	put(good, &c, 0)->cmd_op = _IOC(3U, 0xB6, _IOC_NR(MEMBOX_URING_PACKET), sizeof(struct membox_uring_args));
	passed &= is(go(), -ENOTTY, "another's letter");
	put(good, &c, 0)->cmd_op = _IOC(3U, MEMBOX_IOC, _IOC_NR(MEMBOX_URING_PACKET), 24U);
	passed &= is(go(), -ENOTTY, "another size");
	put(nowhere, &c, 0);
	passed &= is(go(), -EFAULT, "no packet there");
	put(good, nowhere, 0);
	passed &= is(go(), -EFAULT, "no room for the completion there");
	put(good, &c, 0);
	passed &= is(go(), 0, "a good packet") && !c.status;
	tap(passed, "io_uring: an unknown command is ENOTTY, one that names no memory EFAULT");
}

/* A ring that polls is served by no interrupt, and none of its commands would end. */
static void polled_ring(const struct membox_packet *good)
{
	struct io_uring kept = ring;
	bool passed;

	if (io_uring_queue_init(8, &ring, IORING_SETUP_IOPOLL))
		bail("io_uring_queue_init");
	put(good, NULL, 0);
	passed = is(go(), -EOPNOTSUPP, "IORING_SETUP_IOPOLL");
	io_uring_queue_exit(&ring);
	ring = kept;
	tap(passed, "io_uring: a ring with IORING_SETUP_IOPOLL is EOPNOTSUPP");
}

/* A child has the file and a ring of its own. */
static void other_memory(const struct membox_packet *good)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		if (io_uring_queue_init(8, &ring, 0))
			_exit(2);
		put(good, NULL, 0);
		_exit(go() == -EOWNERDEAD ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bail("fork");
	tap(!status, "io_uring: a forked child's command is EOWNERDEAD");
}

/* fd: the node; good: a packet that ends well, and changes nothing. */
void uring_tests(int fd, const struct membox_packet *good)
{
	struct membox_info info = {.size = sizeof(info)};

	node = fd;
	if (ioctl(fd, MEMBOX_IOC_INFO, &info))
		bail("INFO");
	caps = info.caps;
	if (io_uring_queue_init(2 * BATCH, &ring, 0))
		bail("io_uring_queue_init");
	every_kind();
	bad_commands(good);
	polled_ring(good);
	other_memory(good);
	io_uring_queue_exit(&ring);
}
