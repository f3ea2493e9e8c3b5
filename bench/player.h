/* SPDX-License-Identifier: MIT */
/*
 * player.h - what the programs of `make bench` have in common. A player is a
 * process that measures on order: scripts/bench starts ours and the peer's, and
 * orders now the one, now the other, so that both meet the same machine. A
 * player that has nothing to do sleeps in read().
 *
 * An order is a line "OPERATION BYTES SAMPLES GROUP" on standard input (or on the
 * file that $BENCH_ORDERS names): GROUP executions are timed as one sample, so
 * that the clock does not weigh. The answer is a line of "name=value" words with
 * nanoseconds of one execution, and `wrong`, the number of wrong results.
 */
#ifndef BENCH_PLAYER_H
#define BENCH_PLAYER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct order {
	char op[32];
	size_t bytes;
	unsigned int samples;
	unsigned int group;
	unsigned int seed; /* another one for each order: results cannot be old ones */
};

struct score {
	double *ns; /* of one execution, a sample */
	unsigned int samples;
	uint64_t wrong;
	char failed[200]; /* why there is no result */
};

struct play {
	const char *op;
	int (*run)(const struct order *order, struct score *score); /* 0, or -1 with score->failed */
};

/* Executes one step of what is measured; -1 when it failed. */
typedef int step_fn(void *arg, unsigned int number);

uint64_t now_ns(void);

/* How often an order's step is executed: a warm-up of a quarter of the samples, at least one, and all samples. */
unsigned int executions(const struct order *order);
int measure(const struct order *order, struct score *score, step_fn *step, void *arg);

/* "…: text" as the reason why there is no result; returns -1. */
int failed(struct score *score, const char *what, const char *text);

/* Answers orders until their end; the exit status of main(). */
int player(const struct play *plays);

/* Data whose sums are exact in f32: small whole numbers that depend on all three. */
void fill(float *to, size_t n, unsigned int seed, unsigned int rank);

/* How many of n elements are not factor times the sum over `ranks` ranks' data. */
uint64_t count_wrong(const float *got, size_t n, unsigned int seed, unsigned int ranks, float factor);

/*
 * Two processes in turn: a page that both map ($BENCH_SYNC). `turn` is written by
 * whoever gives the turn, and awaited by spinning, as nothing else is as fast.
 */
struct sync_page {
	uint64_t there, apart[15]; /* in cache lines that nobody else writes */
	uint64_t back, last[15];
};
struct sync_page *sync_open(void); /* NULL: there is none */
void sync_close(struct sync_page *page);
int sync_await(const uint64_t *word, uint64_t value); /* -1: not within ten seconds */
void sync_give(uint64_t *word, uint64_t value);

/* 64 bytes stored and loaded again through a mapping; -1 when they are not what was stored. */
int touch(volatile uint64_t *at, uint64_t number);

int rank_of_player(void); /* $BENCH_RANK */

#ifdef __cplusplus
}
#endif

#endif /* BENCH_PLAYER_H */
