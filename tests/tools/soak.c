// SPDX-License-Identifier: MIT
/*
 * soak - one of many that work on one box while things die: in guests on a node, by
 * ioctls alone, on the host on the box's file, by the engine. $MEMBOX names it.
 *
 *	soak make			the parameters that all work on
 *	soak work SEED ROW		verified operations until the box says stop
 *	soak coll RANK RANKS ROW	collectives with exact results, likewise
 *	soak stop 0|1			what the box says
 *	soak check ROW:SEED[:k]...	(file only, nobody at work) compares, and clears
 *
 * What a worker does in its n-th operation follows from its seed. It writes into its row
 * of the parameter "ledger" what it has begun and what was acknowledged, so that check can
 * tell to the last bit what the box must hold; of an operation that was not acknowledged
 * what its outcome record names. k: a process was killed in a guest; the driver may have
 * taken its last completion for it, so that there is no record: then it is done or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

static int32_t ones[SOAK_SUM_N], back[SOAK_SUM_N], given[SOAK_MINE_N];

struct soak_operation soak_operation_of(uint64_t seed, uint64_t n)
{
	uint64_t x = (seed * 1000003 + n) * 0x9e3779b97f4a7c15ULL;

	x ^= x >> 31;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 29;
	return (struct soak_operation){ .kind = (enum soak_kind)(x % SOAK_KINDS), .v = 1 + (uint32_t)(x >> 20) % 7, .n = n };
}

static void need(bool condition, const char *what)
{
	if (!condition)
		soak_give_up(what, 0);
}

static uint64_t double_of(uint32_t v)
{
	double d = v;
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* ---- the ledger; idempotent, so simply done again after a reset ---- */

static void note(struct soak_box *b, uint64_t index, uint64_t value)
{
	struct membox_packet p = { .opcode = MEMBOX_OP_ATOMIC, .sub = MEMBOX_SWAP, .dst_type = MEMBOX_I64 };
	struct membox_completion c;
	unsigned int status;

	do {
		p.handle[0] = b->ledger;
		p.offset[0] = index;
		p.word.value = value;
		status = soak_run(b, &p, NULL, NULL, &c);
		if (status)
			soak_again(b, status);
	} while (status);
}

static int64_t noted(struct soak_box *b, uint64_t index)
{
	struct membox_packet p = { .opcode = MEMBOX_OP_READ, .dst_type = MEMBOX_I64, .count = 1 };
	struct membox_completion c;
	unsigned int status;
	int64_t value = 0;

	do {
		p.handle[0] = b->ledger;
		p.offset[0] = index;
		status = soak_run(b, &p, &value, NULL, &c);
		if (status)
			soak_again(b, status);
	} while (status);
	return value;
}

/* ---- operations ---- */

/* The packet of what is left of it after `done` bytes; *host: from or to where. */
static struct membox_packet packet_of(struct soak_box *b, const struct soak_operation *o, uint64_t row, uint64_t done,
				      void **host)
{
	struct membox_packet p = { .dst_type = MEMBOX_I32 };
	uint64_t first = done / 4;

	*host = NULL;
	p.offset[0] = first;
	switch (o->kind) {
	case SOAK_ACC_HOST:
	case SOAK_ACC_COMMON:
		p.opcode = MEMBOX_OP_ACC;
		p.src_type = MEMBOX_I32;
		p.reduction = MEMBOX_SUM;
		p.count = SOAK_SUM_N - first;
		p.handle[0] = b->sum;
		p.scale.a = double_of(o->v);
		if (o->kind == SOAK_ACC_COMMON)
			p.handle[1] = b->ones;
		else
			*host = ones + first;
		break;
	case SOAK_ATOMIC:
		p.opcode = MEMBOX_OP_ATOMIC;
		p.sub = MEMBOX_FETCH_ADD;
		p.dst_type = MEMBOX_I64;
		p.handle[0] = b->words;
		p.offset[0] = row;
		p.word.value = o->v;
		break;
	case SOAK_WRITE:
		for (uint64_t i = 0; i < SOAK_MINE_N; i++)
			given[i] = soak_mine(o, i);
		p.opcode = MEMBOX_OP_WRITE;
		p.count = SOAK_MINE_N - first;
		p.handle[0] = b->mine;
		p.offset[0] = row * SOAK_MINE_N + first;
		*host = given + first;
		break;
	case SOAK_FILL:
		p.opcode = MEMBOX_OP_FILL;
		p.count = SOAK_MINE_N;
		p.handle[0] = b->mine;
		p.offset[0] = row * SOAK_MINE_N;
		p.word.value = o->v;
		break;
	case SOAK_READ:
		p.opcode = MEMBOX_OP_READ;
		p.count = SOAK_SUM_N;
		p.handle[0] = b->ones;
		*host = back;
		break;
	default:
		p.opcode = MEMBOX_OP_NOTIFY;
		p.dst_type = 0;
		p.handle[0] = b->note;
	}
	return p;
}

/* Of what a reset ended: how many bytes were done; all: UINT64_MAX. */
static uint64_t outcome_of(struct soak_box *b, uint64_t user_data)
{
	struct membox_outcomes o = { .size = sizeof(o) };
	uint32_t told = 0;

	for (;;) {
		unsigned int status = soak_outcomes(b, &o, told);

		if (status) /* the device went away altogether: nothing can be asked any more */
			soak_give_up("GET_OUTCOMES", status);
		for (uint32_t i = 0; i < o.count; i++) {
			const struct membox_outcome_entry *e = &o.entry[i];

			if (e->user_data == user_data)
				return e->outcome == MEMBOX_OUTCOME_DONE ? UINT64_MAX :
				       e->outcome == MEMBOX_OUTCOME_TORN ? e->torn_at : 0;
		}
		if (o.count < MEMBOX_OUTCOME_ENTRIES)
			return 0;
		told += o.count;
	}
}

/* Once, whatever resets come: what was done already is not done again. */
static void perform(struct soak_box *b, uint64_t seed, uint64_t row, const struct soak_operation *o)
{
	uint64_t done = 0, more;
	unsigned int attempt = 0, status;
	struct membox_completion c;
	struct membox_packet p;
	void *host;

	for (;;) {
		p = packet_of(b, o, row, done, &host);
		p.user_data = soak_user_data(seed, o->n, attempt);
		status = soak_run(b, &p, host, NULL, &c);
		if (!status)
			return;
		if (!soak_was_reset(status))
			soak_give_up(soak_kind_name(o->kind), status);
		more = outcome_of(b, p.user_data);
		soak_again(b, status);
		printf("recovered=%llu\n", (unsigned long long)o->n);
		fflush(stdout);
		if (more == UINT64_MAX)
			return;
		done += more;
		attempt = (attempt + 1) % 16;
		note(b, row * SOAK_ROW + SOAK_PART, o->n << 36 | (uint64_t)attempt << 32 | done);
	}
}

static void read_back(struct soak_box *b, uint64_t row, const struct soak_operation *o)
{
	struct membox_packet p = { .opcode = MEMBOX_OP_READ, .dst_type = MEMBOX_I32, .count = SOAK_MINE_N };
	struct membox_completion c;
	unsigned int status;

	do {
		p.handle[0] = b->mine;
		p.offset[0] = row * SOAK_MINE_N;
		status = soak_run(b, &p, back, NULL, &c);
		if (status)
			soak_again(b, status);
	} while (status);
	for (uint64_t i = 0; i < SOAK_MINE_N; i++)
		need(back[i] == soak_mine(o, i), "what was written is not what is read");
}

static void work(struct soak_box *b, uint64_t seed, uint64_t row)
{
	for (uint64_t n = 1; !noted(b, SOAK_STOP); n++) {
		struct soak_operation o = soak_operation_of(seed, n);

		note(b, row * SOAK_ROW + SOAK_BEGUN, n);
		perform(b, seed, row, &o);
		note(b, row * SOAK_ROW + SOAK_ACKED, n);
		if (o.kind == SOAK_WRITE || o.kind == SOAK_FILL)
			read_back(b, row, &o);
		for (uint64_t i = 0; o.kind == SOAK_READ && i < SOAK_SUM_N; i++)
			need(back[i] == 1, "a constant changed");
		if (n % 50 == 0) {
			printf("done=%llu\n", (unsigned long long)n);
			fflush(stdout);
		}
	}
}

/* ---- collectives ---- */

static bool take_part(struct soak_box *b, const struct membox_group_args *g, uint32_t seq)
{
	static int64_t in[SOAK_COLL_N], out[SOAK_COLL_N];
	uint64_t n = seq % 4 ? 16 : SOAK_COLL_N;
	struct membox_packet p = { .opcode = seq % 7 ? MEMBOX_OP_ALLREDUCE : MEMBOX_OP_BARRIER, .timeout_us = 3000000 };
	struct membox_completion c;
	unsigned int status;

	p.coll.group = g->group;
	p.coll.epoch = g->epoch;
	p.coll.seq = seq;
	if (p.opcode == MEMBOX_OP_BARRIER) {
		n = 0;
	} else {
		p.src_type = p.dst_type = MEMBOX_I64;
		p.reduction = MEMBOX_SUM;
		p.count = n;
		for (uint64_t i = 0; i < n; i++)
			in[i] = (int64_t)(i * (uint64_t)(g->rank + 1) + seq + g->epoch);
	}
	status = soak_run(b, &p, n ? in : NULL, n ? out : NULL, &c);
	if (soak_was_reset(status)) {
		soak_again(b, status);
		return false;
	}
	if (status && status != MEMBOX_ST_RANK_DEAD && status != MEMBOX_ST_BAD_EPOCH && status != MEMBOX_ST_TIMED_OUT &&
	    status != MEMBOX_ST_ABORTED && status != MEMBOX_ST_RESET && status != MEMBOX_ST_BAD_GROUP)
		soak_give_up("collective", status);
	for (uint64_t i = 0; !status && i < n; i++)
		need(out[i] == (int64_t)(i * g->ranks * (g->ranks + 1) / 2 + (uint64_t)g->ranks * (seq + g->epoch)),
		     "a sum is wrong");
	return !status;
}

static void collect(struct soak_box *b, int rank, uint32_t ranks, uint64_t row)
{
	struct membox_group_args g;
	uint32_t group = 0, epoch = 0, seq = 0; /* the next one, if the epoch is still that */
	uint64_t done = 0;
	unsigned int status;

	while (!noted(b, SOAK_STOP)) {
		g = (struct membox_group_args){ .size = sizeof(g), .name = "soak", .ranks = ranks, .rank = rank };
		status = soak_admin(b, MEMBOX_ADM_GROUP_JOIN, &g);
		if (soak_was_reset(status)) {
			soak_again(b, status);
			continue;
		}
		if (status && status != MEMBOX_ST_BAD_RANK) /* its predecessor sits there still */
			soak_give_up("GROUP_JOIN", status);
		if (status || g.joined < ranks) {
			soak_rest(b);
			continue;
		}
		if (g.group != group || g.epoch != epoch)
			seq = 0;
		group = g.group;
		epoch = g.epoch;
		while (take_part(b, &g, seq++) && !noted(b, SOAK_STOP))
			note(b, row * SOAK_ROW + SOAK_ACKED, ++done);
	}
}

/* ---- what to do ---- */

static uint64_t number(char **argv, int i)
{
	if (!argv[i]) {
		fprintf(stderr, "soak: a number is missing\n");
		exit(2);
	}
	return strtoull(argv[i], NULL, 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct soak_box b;

	for (uint64_t i = 0; i < SOAK_SUM_N; i++)
		ones[i] = 1;
	soak_open(&b, getenv("MEMBOX"), !strcmp(what, "make"));
	if (!strcmp(what, "work")) {
		work(&b, number(argv, 2), number(argv, 3));
	} else if (!strcmp(what, "coll")) {
		collect(&b, (int)number(argv, 2), (uint32_t)number(argv, 3), number(argv, 4));
	} else if (!strcmp(what, "stop")) {
		note(&b, SOAK_STOP, number(argv, 2));
	} else if (!strcmp(what, "check")) {
		return soak_check(&b, argv + 2);
	} else if (strcmp(what, "make")) {
		fprintf(stderr, "usage: MEMBOX=<box> soak make|work|coll|stop|check\n");
		return 2;
	}
	soak_close(&b);
	return 0;
}
