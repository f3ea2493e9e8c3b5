/* SPDX-License-Identifier: MIT */
/*
 * copy.c - the memory's own limit: memcpy, non-temporal stores and d += s, alone
 * and as the pair "one process writes, another accumulates". $BENCH_MEMORY names
 * a file that both map (a file in memory, or a PCI resource in a guest); its first half
 * is what is written, the second what is added to.
 */
#include <emmintrin.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "player.h"

#define ALIGNMENT 64

static char *shared;
static size_t half;
static struct sync_page *sync_page;

struct job {
	const struct order *order;
	float *own, *to, *sum;
	size_t bytes;
	void (*copy)(void *to, const void *from, size_t bytes);
	uint64_t turn;
};

static void copy_plain(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

/* Bytes is a multiple of 64, both are aligned to 16. */
static void copy_nt(void *to, const void *from, size_t bytes)
{
	const __m128i *s = from;
	__m128i *d = to;

	for (size_t i = 0; i < bytes / sizeof(*d); i += 4) {
		__m128i a = _mm_load_si128(s + i), b = _mm_load_si128(s + i + 1);
		__m128i c = _mm_load_si128(s + i + 2), e = _mm_load_si128(s + i + 3);

		_mm_stream_si128(d + i, a);
		_mm_stream_si128(d + i + 1, b);
		_mm_stream_si128(d + i + 2, c);
		_mm_stream_si128(d + i + 3, e);
	}
	_mm_sfence();
}

static void add(float *restrict to, const float *restrict from, size_t n)
{
	for (size_t i = 0; i < n; i += 4)
		_mm_store_ps(to + i, _mm_add_ps(_mm_load_ps(to + i), _mm_load_ps(from + i)));
}

static int prepare(struct job *job, const struct order *order, struct score *score)
{
	memset(job, 0, sizeof(*job));
	job->order = order;
	job->bytes = order->bytes;
	if (!shared)
		return failed(score, "BENCH_MEMORY", "not there");
	if (order->bytes > half || order->bytes % ALIGNMENT)
		return failed(score, order->op, "does not fit");
	job->own = aligned_alloc(ALIGNMENT, order->bytes);
	if (!job->own)
		return failed(score, order->op, "no memory");
	job->to = (float *)(void *)shared;
	job->sum = (float *)(void *)(shared + half);
	fill(job->own, order->bytes / sizeof(float), order->seed, 0);
	return 0;
}

static int step_copy(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	job->copy(job->to, job->own, job->bytes);
	return 0;
}

static int run_copy(const struct order *order, struct score *score)
{
	struct job job;
	int ret;

	if (prepare(&job, order, score))
		return -1;
	job.copy = strcmp(order->op, "nt") ? copy_plain : copy_nt;
	ret = measure(order, score, step_copy, &job);
	score->wrong = (uint64_t)(memcmp(job.to, job.own, order->bytes) != 0);
	free(job.own);
	return ret;
}

/* The processor adds what is its own to shared memory. */
static int step_add(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	add(job->sum, job->own, job->bytes / sizeof(float));
	return 0;
}

static int run_add(const struct order *order, struct score *score)
{
	struct job job;
	int ret;

	if (prepare(&job, order, score))
		return -1;
	memset(job.sum, 0, order->bytes);
	ret = measure(order, score, step_add, &job);
	score->wrong = count_wrong(job.sum, order->bytes / sizeof(float), order->seed, 1,
				   (float)executions(order));
	free(job.own);
	return ret;
}

static int step_pair(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	job->copy(job->to, job->own, job->bytes);
	sync_give(&sync_page->there, ++job->turn);
	return sync_await(&sync_page->back, job->turn);
}

static int step_partner(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	if (sync_await(&sync_page->there, ++job->turn))
		return -1;
	add(job->sum, job->to, job->bytes / sizeof(float));
	sync_give(&sync_page->back, job->turn);
	return 0;
}

/* Rank 0 writes, rank 1 adds what it finds; the time is from the one's start to the other's end. */
static int run_pair(const struct order *order, struct score *score)
{
	struct job job;
	int ret;

	if (!sync_page)
		return failed(score, "BENCH_SYNC", "not there");
	if (prepare(&job, order, score))
		return -1;
	job.copy = strcmp(order->op, "pair_nt") ? copy_plain : copy_nt;
	job.turn = (uint64_t)order->seed << 32;
	if (rank_of_player()) {
		memset(job.sum, 0, order->bytes);
		sync_give(&sync_page->back, job.turn);
		ret = measure(order, score, step_partner, &job);
		score->wrong = count_wrong(job.sum, order->bytes / sizeof(float), order->seed, 1,
					   (float)executions(order));
	} else {
		ret = sync_await(&sync_page->back, job.turn);
		ret = ret ? failed(score, order->op, "nobody adds") : measure(order, score, step_pair, &job);
	}
	free(job.own);
	return ret;
}

static int step_touch(void *arg, unsigned int number)
{
	struct job *job = arg;

	return touch((volatile uint64_t *)(void *)job->to, number);
}

static int run_touch(const struct order *order, struct score *score)
{
	struct job job;
	int ret;

	if (prepare(&job, order, score))
		return -1;
	ret = measure(order, score, step_touch, &job);
	free(job.own);
	return ret;
}

static void map_memory(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size) {
		shared = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (shared == MAP_FAILED)
			shared = NULL;
		half = (size_t)st.st_size / 2;
	}
	close(fd);
}

int main(void)
{
	static const struct play plays[] = {
		{ "memcpy", run_copy }, { "nt", run_copy }, { "add", run_add },
		{ "pair_memcpy", run_pair }, { "pair_nt", run_pair }, { "touch", run_touch }, { NULL, NULL },
	};
	const char *path = getenv("BENCH_MEMORY");

	if (path)
		map_memory(path);
	sync_page = sync_open();
	return player(plays);
}
