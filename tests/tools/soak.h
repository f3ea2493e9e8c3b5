/* SPDX-License-Identifier: MIT */
/*
 * soak.h - the parts of the program soak: what the operations are (soak.c), the box by
 * ioctls or by the engine (soak_box.c), and what must have come of it (soak_check.c).
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

#define SOAK_STRIPE_I32 (64U << 10)
#define SOAK_SUM_N (2 * SOAK_STRIPE_I32 + SOAK_STRIPE_I32 / 2)
#define SOAK_MINE_N (SOAK_STRIPE_I32 + SOAK_STRIPE_I32 / 4)
#define SOAK_COLL_N 20000
#define SOAK_ROWS 48

/* The ledger: words of a row, and one behind all rows. */
enum { SOAK_BEGUN, SOAK_ACKED, SOAK_PART, SOAK_ROW = 4, SOAK_STOP = SOAK_ROWS * SOAK_ROW };

enum soak_kind { SOAK_ACC_HOST, SOAK_ACC_COMMON, SOAK_ATOMIC, SOAK_WRITE, SOAK_FILL, SOAK_READ, SOAK_NOTIFY,
		 SOAK_KINDS };

struct soak_operation {
	enum soak_kind kind;
	uint32_t v; /* 1 ... 7 */
	uint64_t n; /* from 1 */
};

struct soak_box {
	int fd; /* of a node, or -1 */
	const char *path;
	struct mbe *e;
	struct mbe_queue q;
	uint32_t sum, ones, words, mine, note, ledger;
};

struct soak_operation soak_operation_of(uint64_t seed, uint64_t n);
static inline const char *soak_kind_name(enum soak_kind k)
{
	static const char *const names[] = { "ACC from host", "ACC from common", "ATOMIC", "WRITE", "FILL", "READ", "NOTIFY" };

	return names[k];
}

static inline uint64_t soak_user_data(uint64_t seed, uint64_t n, unsigned int attempt)
{
	return seed << 32 | n << 4 | attempt;
}

/* Element i of a row after a WRITE or FILL. */
static inline int32_t soak_mine(const struct soak_operation *o, uint64_t i)
{
	return o->kind == SOAK_FILL ? (int32_t)o->v : (int32_t)(o->n * 31 + i);
}

/* Opens the box and its parameters, which it makes only if it is told to. */
void soak_open(struct soak_box *b, const char *name, bool make);
void soak_close(struct soak_box *b);
/* An enum membox_status, or that of an errno, which soak_was_reset knows. */
unsigned int soak_admin(struct soak_box *b, uint8_t opcode, void *args);
unsigned int soak_run(struct soak_box *b, const struct membox_packet *p, void *host, void *host2,
		      struct membox_completion *c);
bool soak_was_reset(unsigned int status);
/* After a reset: opens all again. Ends the program when status tells of something else. */
void soak_again(struct soak_box *b, unsigned int status);
/* Outcomes from number `from` on; waits until the device is back. */
unsigned int soak_outcomes(struct soak_box *b, struct membox_outcomes *o, uint32_t from);
/* Ends the program. */
void soak_give_up(const char *what, unsigned int status);
/* A little time, in which the box goes on. */
void soak_rest(struct soak_box *b);

/* Prints what is wrong, operations and recoveries; the exit status. */
int soak_check(struct soak_box *b, char **rows);

#endif
