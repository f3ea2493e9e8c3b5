/* SPDX-License-Identifier: MIT */
/*
 * nvme.c - a block device ($BENCH_DISK) by O_DIRECT and io_uring, one request at a
 * time, through the kernel's interface itself. The sectors that it writes are lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "player.h"

#define PAGE 4096U
#define ENTRIES 4U

struct ring {
	int fd;
	struct io_uring_params params;
	char *rings;
	size_t ring_bytes;
	struct io_uring_sqe *sqes;
};

struct job {
	struct ring ring;
	int disk;
	char *mine, *got;
	size_t bytes;
};

static unsigned int *word(struct ring *ring, unsigned int offset)
{
	return (unsigned int *)(void *)(ring->rings + offset);
}

static void ring_close(struct ring *ring)
{
	if (ring->sqes)
		munmap(ring->sqes, ENTRIES * sizeof(*ring->sqes));
	if (ring->rings)
		munmap(ring->rings, ring->ring_bytes);
	if (ring->fd >= 0)
		close(ring->fd);
}

static int ring_open(struct ring *ring)
{
	size_t sq, cq;
	void *p;

	memset(ring, 0, sizeof(*ring));
	ring->fd = (int)syscall(__NR_io_uring_setup, ENTRIES, &ring->params);
	if (ring->fd < 0 || !(ring->params.features & IORING_FEAT_SINGLE_MMAP))
		return -1;
	sq = ring->params.sq_off.array + ring->params.sq_entries * sizeof(unsigned int);
	cq = ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe);
	ring->ring_bytes = sq > cq ? sq : cq;
	p = mmap(NULL, ring->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	if (p == MAP_FAILED)
		return -1;
	ring->rings = p;
	p = mmap(NULL, ENTRIES * sizeof(*ring->sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	if (p == MAP_FAILED)
		return -1;
	ring->sqes = p;
	return 0;
}

/* One request, and its end; the bytes moved or -errno. */
static int transfer(struct ring *ring, uint8_t opcode, int disk, void *buffer, size_t bytes)
{
	unsigned int tail = *word(ring, ring->params.sq_off.tail), mask = *word(ring, ring->params.sq_off.ring_mask);
	unsigned int *head = word(ring, ring->params.cq_off.head);
	struct io_uring_sqe *sqe = &ring->sqes[tail & mask];
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)(void *)(ring->rings + ring->params.cq_off.cqes);
	int result;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = disk;
	sqe->addr = (uint64_t)(uintptr_t)buffer;
	sqe->len = (unsigned int)bytes;
	word(ring, ring->params.sq_off.array)[tail & mask] = tail & mask;
	__atomic_store_n(word(ring, ring->params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	do {
		result = (int)syscall(__NR_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	} while (result < 0 && errno == EINTR);
	if (result < 0 || __atomic_load_n(word(ring, ring->params.cq_off.tail), __ATOMIC_ACQUIRE) == *head)
		return -1;
	result = cqes[*head & *word(ring, ring->params.cq_off.ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static int step_write(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return transfer(&job->ring, IORING_OP_WRITE, job->disk, job->mine, job->bytes) == (int)job->bytes ? 0 : -1;
}

static int step_read(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return transfer(&job->ring, IORING_OP_READ, job->disk, job->got, job->bytes) == (int)job->bytes ? 0 : -1;
}

static int prepare(struct job *job, const struct order *order, struct score *score)
{
	const char *path = getenv("BENCH_DISK");
	size_t room = (order->bytes + PAGE - 1) / PAGE * PAGE;

	memset(job, 0, sizeof(*job));
	job->ring.fd = -1;
	job->bytes = order->bytes;
	job->disk = path ? open(path, O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
	if (job->disk < 0)
		return failed(score, "BENCH_DISK", strerror(errno));
	job->mine = aligned_alloc(PAGE, room);
	job->got = aligned_alloc(PAGE, room);
	if (!job->mine || !job->got)
		return failed(score, order->op, "no memory");
	memset(job->got, 0, room);
	fill((float *)(void *)job->mine, order->bytes / sizeof(float), order->seed, 0);
	return ring_open(&job->ring) ? failed(score, "io_uring", strerror(errno)) : 0;
}

static int run(const struct order *order, struct score *score)
{
	struct job job;
	int ret = prepare(&job, order, score);

	if (!ret)
		ret = step_write(&job, 0);
	if (!ret)
		ret = measure(order, score, strcmp(order->op, "read") ? step_write : step_read, &job);
	if (!ret)
		ret = step_read(&job, 0);
	score->wrong = (uint64_t)(ret || memcmp(job.mine, job.got, order->bytes) != 0);
	ring_close(&job.ring);
	if (job.disk >= 0)
		close(job.disk);
	free(job.mine);
	free(job.got);
	return ret;
}

int main(void)
{
	static const struct play plays[] = { { "write", run }, { "read", run }, { NULL, NULL } };

	return player(plays);
}
