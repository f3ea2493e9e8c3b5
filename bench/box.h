/* SPDX-License-Identifier: MIT */
/* box.h - an order's parameter and memory, shared by the programs that measure membox. */
#ifndef BENCH_BOX_H
#define BENCH_BOX_H

#include "membox/membox.h"
#include "player.h"

#define WORDS 7

/* 64 bytes that one rank writes and the other reads; the turn is written last. */
struct message {
	uint64_t word[WORDS];
	uint64_t turn;
	uint64_t apart[8];
};

struct job {
	const struct order *order;
	struct membox_param *param, *sum;
	struct membox_chan *chan;
	float *mine, *got;
	uint64_t n; /* elements */
	uint64_t turn;
	struct sync_page *sync;
	unsigned int meetings;
	volatile uint64_t *mapped;
	struct message *messages;
	uint64_t bad;
	volatile float worked;
	int in_flight, works;
};

extern struct membox *box;

int box_failed(struct score *score, const char *what);

/* A new parameter of the order's bytes, memory of as many, filled with this rank's data. */
int job_open(struct job *job, const struct order *order, struct score *score, const char *name, unsigned int flags);
void job_close(struct job *job);

/* Both ranks of a pair are here; -1 when the other one does not come. */
int meet(struct job *job);

#endif /* BENCH_BOX_H */
