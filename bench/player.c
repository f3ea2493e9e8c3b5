/* SPDX-License-Identifier: MIT */
/* player.c - reads orders, measures, answers: see player.h. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "player.h"

#define LINE 256
#define SPINS 4096 /* between two looks at the clock, and two offers of the processor */
#define PATIENCE_NS 10000000000ULL
#define MAX_SAMPLES 1000000U
#define VALUES 7U /* data are 0 ... 6: sums of many are exact in f32 */

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

int failed(struct score *score, const char *what, const char *text)
{
	char *c;

	snprintf(score->failed, sizeof(score->failed), "%s: %s", what, text);
	for (c = score->failed; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	return -1;
}

static unsigned int warm_up(const struct order *order)
{
	return order->samples / 4 ? order->samples / 4 : 1;
}

unsigned int executions(const struct order *order)
{
	return (warm_up(order) + order->samples) * order->group;
}

int measure(const struct order *order, struct score *score, step_fn *step, void *arg)
{
	unsigned int warm = warm_up(order), number = 0, i, k;
	uint64_t begin;

	for (i = 0; i < warm + order->samples; i++) {
		begin = now_ns();
		for (k = 0; k < order->group; k++) {
			if (step(arg, number++))
				return score->failed[0] ? -1 : failed(score, order->op, "failed");
		}
		if (i >= warm)
			score->ns[score->samples++] = (double)(now_ns() - begin) / order->group;
	}
	return 0;
}

/* The data of one rank, or their sum over ranks, repeat after VALUES elements. */
static void table_of(float table[VALUES], unsigned int seed, unsigned int first, unsigned int ranks)
{
	for (unsigned int i = 0; i < VALUES; i++) {
		table[i] = 0;
		for (unsigned int r = first; r < first + ranks; r++)
			table[i] += (float)((i * 5U + seed * 3U + r) % VALUES);
	}
}

void fill(float *to, size_t n, unsigned int seed, unsigned int rank)
{
	float table[VALUES];
	unsigned int at = 0;

	table_of(table, seed, rank, 1);
	for (size_t i = 0; i < n; i++) {
		to[i] = table[at];
		at = at + 1 == VALUES ? 0 : at + 1;
	}
}

uint64_t count_wrong(const float *got, size_t n, unsigned int seed, unsigned int ranks, float factor)
{
	float table[VALUES];
	unsigned int at = 0;
	uint64_t wrong = 0;

	table_of(table, seed, 0, ranks);
	for (unsigned int i = 0; i < VALUES; i++)
		table[i] *= factor;
	for (size_t i = 0; i < n; i++) {
		/* Neither below nor above is equal, or both are what no number is. */
		wrong += got[i] < table[at] || got[i] > table[at] || got[i] != got[i];
		at = at + 1 == VALUES ? 0 : at + 1;
	}
	return wrong;
}

int touch(volatile uint64_t *at, uint64_t number)
{
	for (unsigned int i = 0; i < 8; i++)
		at[i] = number + i;
	for (unsigned int i = 0; i < 8; i++) {
		if (at[i] != number + i)
			return -1;
	}
	return 0;
}

int rank_of_player(void)
{
	const char *text = getenv("BENCH_RANK");

	return text ? atoi(text) : 0;
}

struct sync_page *sync_open(void)
{
	const char *path = getenv("BENCH_SYNC");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page = MAP_FAILED;

	if (fd >= 0) {
		page = mmap(NULL, sizeof(struct sync_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	return page == MAP_FAILED ? NULL : page;
}

void sync_close(struct sync_page *page)
{
	if (page)
		munmap(page, sizeof(*page));
}

int sync_await(const uint64_t *word, uint64_t value)
{
	uint64_t begin = now_ns();
	unsigned int i = 0;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) {
		if (++i % SPINS)
			continue;
		if (now_ns() - begin > PATIENCE_NS)
			return -1;
		sched_yield();
	}
	return 0;
}

void sync_give(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void answer(struct score *score)
{
	unsigned int n = score->samples;

	if (score->failed[0]) {
		printf("failed=%s\n", score->failed);
	} else if (!n) {
		printf("samples=0 wrong=%llu\n", (unsigned long long)score->wrong);
	} else {
		qsort(score->ns, n, sizeof(double), compare);
		printf("samples=%u min=%.1f p50=%.1f p99=%.1f wrong=%llu\n", n, score->ns[0], score->ns[n / 2],
		       score->ns[(size_t)n * 99 / 100], (unsigned long long)score->wrong);
	}
	fflush(stdout);
}

static void play_one(const struct play *plays, const struct order *order)
{
	struct score score = { 0 };

	score.ns = calloc(order->samples, sizeof(double));
	while (plays->op && strcmp(plays->op, order->op))
		plays++;
	if (!score.ns)
		failed(&score, order->op, "no memory");
	else if (!plays->op)
		failed(&score, order->op, "this library has no such operation");
	else if (plays->run(order, &score) && !score.failed[0])
		failed(&score, order->op, "failed");
	answer(&score);
	free(score.ns);
}

int player(const struct play *plays)
{
	const char *path = getenv("BENCH_ORDERS");
	FILE *in = path ? fopen(path, "re") : stdin;
	struct order order = { .seed = 0 };
	char line[LINE];

	if (!in) {
		perror(path);
		return EXIT_FAILURE;
	}
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%31s %zu %u %u", order.op, &order.bytes, &order.samples, &order.group) != 4 ||
		    !order.group || !order.samples || order.samples > MAX_SAMPLES) {
			printf("failed=not an order\n");
			fflush(stdout);
			continue;
		}
		order.seed++;
		play_one(plays, &order);
	}
	if (path)
		fclose(in);
	return EXIT_SUCCESS;
}
