/* SPDX-License-Identifier: MIT */
/*
 * uring.c - packets to /dev/membox0 by io_uring: one submission queue entry each, with
 * liburing and the contract's header. Adds to a counter in the box many times, keeping some
 * additions in flight, and sees that none was lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <membox/uapi/membox.h>

#define DEPTH 32 /* additions in flight */
#define ADDITIONS 1000

static void fail(const char *what, int error)
{
	fprintf(stderr, "uring: %s: %s\n", what, strerror(error));
	exit(1);
}

/* Finds or creates a counter; its handle. */
static uint32_t open_counter(int fd)
{
	struct membox_param_args args = {
		.size = sizeof(args), .flags = MEMBOX_PARAM_CREATE, .name = "counter",
		.type = MEMBOX_I64, .count = 1,
	};
	int rc = ioctl(fd, MEMBOX_IOC_PARAM_OPEN, &args);

	if (rc < 0)
		fail("PARAM_OPEN", errno);
	if (rc > 0) {
		fprintf(stderr, "uring: PARAM_OPEN: status %d\n", rc);
		exit(1);
	}
	return args.handle;
}

/* Puts one addition into the submission queue. The packet is read when it is submitted. */
static void add(struct io_uring *ring, int fd, const struct membox_packet *packet)
{
	struct membox_uring_args args = { .packet = (uintptr_t)packet };
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		fail("io_uring_get_sqe", EBUSY);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = MEMBOX_URING_PACKET;
	memcpy(sqe->cmd, &args, sizeof(args));
}

int main(int argc, char **argv)
{
	const char *node = argc > 1 ? argv[1] : "/dev/membox0";
	int fd = open(node, O_RDWR | O_CLOEXEC), rc;
	uint64_t first = UINT64_MAX, last = 0;
	unsigned int begun = 0, ended = 0;
	struct membox_packet packet;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (fd < 0)
		fail(node, errno);
	/* big completion queue entries have room for a command's result */
	rc = io_uring_queue_init(DEPTH, &ring, IORING_SETUP_CQE32);
	if (rc < 0)
		fail("io_uring_queue_init", -rc);
	packet = (struct membox_packet){
		.opcode = MEMBOX_OP_ATOMIC, .sub = MEMBOX_FETCH_ADD, .dst_type = MEMBOX_I64,
		.handle = { open_counter(fd) }, .word = { .value = 1 },
	};
	while (ended < ADDITIONS) {
		for (; begun < ADDITIONS && begun - ended < DEPTH; begun++)
			add(&ring, fd, &packet);
		rc = io_uring_submit_and_wait(&ring, 1);
		if (rc < 0)
			fail("io_uring_submit_and_wait", -rc);
		while (!io_uring_peek_cqe(&ring, &cqe)) {
			if (cqe->res) {
				fprintf(stderr, "uring: an addition ended with %d\n", cqe->res);
				return 1;
			}
			first = cqe->big_cqe[0] < first ? cqe->big_cqe[0] : first;
			last = cqe->big_cqe[0] > last ? cqe->big_cqe[0] : last;
			io_uring_cqe_seen(&ring, cqe);
			ended++;
		}
	}
	printf("%u additions: the counter went from %" PRIu64 " to %" PRIu64 "\n", ended, first, last + 1);
	io_uring_queue_exit(&ring);
	close(fd);
	return last + 1 - first != ADDITIONS;
}
