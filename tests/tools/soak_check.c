// SPDX-License-Identifier: MIT
/*
 * soak_check.c - see soak.h: what the box must hold after all workers ended, died and
 * were recovered; then everything is cleared for the next round.
 */
#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

#define MAX_DOUBTS 10

/* An operation of which nothing is told: it happened whole or not at all. */
struct doubt {
	struct soak_operation o;
	uint64_t row, from; /* bytes that an earlier attempt had done */
};

struct state {
	struct soak_box *b;
	uint32_t *sum; /* [SOAK_SUM_N + 1], differences */
	struct doubt doubt[MAX_DOUBTS];
	unsigned int doubts, wrong, operations;
	uint64_t words[SOAK_ROWS];
	struct soak_operation last[SOAK_ROWS], torn[SOAK_ROWS]; /* of a row: n 0 for none */
	uint64_t cut[SOAK_ROWS];
};

static void wrong(struct state *s, const char *what, uint64_t row)
{
	printf("wrong=%s, row %llu\n", what, (unsigned long long)row);
	s->wrong++;
}

static void move(struct state *s, uint8_t opcode, uint32_t handle, uint8_t type, uint64_t first, uint64_t count, void *host)
{
	struct membox_packet p = { .opcode = opcode, .dst_type = type, .count = count, .handle = { handle },
				   .offset = { first } };
	struct membox_completion c;

	if (soak_run(s->b, &p, host, NULL, &c))
		wrong(s, "a command of the check", c.status);
}

static void expect(struct state *s, uint64_t row, const struct soak_operation *o, uint64_t from, uint64_t to)
{
	uint64_t first = from / 4, last = to / 4 < SOAK_SUM_N ? to / 4 : SOAK_SUM_N;

	switch (o->kind) {
	case SOAK_ACC_HOST:
	case SOAK_ACC_COMMON:
		s->sum[first] += o->v;
		s->sum[last] -= o->v;
		break;
	case SOAK_ATOMIC:
		s->words[row] += to ? o->v : 0;
		break;
	case SOAK_WRITE:
	case SOAK_FILL:
		if (to / 4 >= SOAK_MINE_N) {
			s->last[row] = *o;
			s->cut[row] = 0;
		} else if (to) {
			s->torn[row] = *o;
			s->cut[row] = to;
		}
		break;
	default:
		break;
	}
}

/* What is told of a command, by any port. */
static unsigned int find_outcome(struct mbe *e, uint64_t user_data, struct membox_fmt_outcome *out)
{
	unsigned int n = 0;

	for (uint32_t port = 0; port < e->geo.ports; port++) {
		const struct membox_fmt_outcome *o = mbe_area_of(e, MEMBOX_AREA_OUTCOMES, port);

		for (uint32_t i = 0; i < e->geo.outcomes; i++)
			if (o[i].word && o[i].user_data == user_data) {
				if (n && (out->outcome != o[i].outcome || out->torn_at != o[i].torn_at))
					printf("wrong=two outcomes\n");
				*out = o[i];
				n++;
			}
	}
	return n;
}

static void expect_pending(struct state *s, uint64_t seed, uint64_t row, uint64_t n, uint64_t part, bool may_be_silent)
{
	struct soak_operation o = soak_operation_of(seed, n);
	struct membox_fmt_outcome told = { 0 };
	uint64_t from = 0;
	unsigned int attempt = 0;

	if (part >> 36 == n) {
		attempt = part >> 32 & 15;
		from = (uint32_t)part;
		expect(s, row, &o, 0, from);
	}
	if (find_outcome(s->b->e, soak_user_data(seed, n, attempt), &told)) {
		if (told.outcome == MEMBOX_OUTCOME_DONE)
			expect(s, row, &o, from, UINT64_MAX);
		else if (told.outcome == MEMBOX_OUTCOME_TORN)
			expect(s, row, &o, from, from + told.torn_at);
		if (told.outcome == MEMBOX_OUTCOME_TORN && (o.kind == SOAK_FILL || o.kind == SOAK_ATOMIC ||
		    (o.kind == SOAK_ACC_COMMON && told.status == MEMBOX_ST_OWNER_DEAD)))
			wrong(s, "torn what may not be", row);
	} else if (may_be_silent && o.kind < SOAK_READ) {
		if (s->doubts == MAX_DOUBTS)
			wrong(s, "too many doubts", row);
		else
			s->doubt[s->doubts++] = (struct doubt){ o, row, from };
	}
}

/* "ROW:SEED" or "ROW:SEED:k" */
static void expect_row(struct state *s, const char *text, const int64_t *ledger)
{
	char *end;
	uint64_t row = strtoull(text, &end, 10), seed = *end ? strtoull(end + 1, &end, 10) : 0;
	const int64_t *l = ledger + row % SOAK_ROWS * SOAK_ROW;
	uint64_t begun = (uint64_t)l[SOAK_BEGUN], acked = (uint64_t)l[SOAK_ACKED];

	s->operations += (unsigned int)acked;
	if (!seed) /* collectives, which check themselves */
		return;
	if (begun != acked && begun != acked + 1)
		wrong(s, "the ledger", row);
	for (uint64_t n = 1; n <= acked; n++) {
		struct soak_operation o = soak_operation_of(seed, n);

		expect(s, row, &o, 0, UINT64_MAX);
	}
	if (begun == acked + 1)
		expect_pending(s, seed, row, begun, (uint64_t)l[SOAK_PART], *end == ':');
}

static bool sum_is(const struct state *s, const int32_t *got, uint32_t mask)
{
	uint32_t wanted = 0;

	for (uint64_t i = 0; i < SOAK_SUM_N; i++) {
		uint32_t more = 0;

		wanted += s->sum[i];
		for (unsigned int d = 0; d < s->doubts; d++)
			if (mask >> d & 1 && i >= s->doubt[d].from / 4)
				more += s->doubt[d].o.v;
		if ((uint32_t)got[i] != wanted + more)
			return false;
	}
	return true;
}

static void check_sum(struct state *s)
{
	static int32_t got[SOAK_SUM_N];
	uint32_t adding = 0;

	for (unsigned int d = 0; d < s->doubts; d++)
		if (s->doubt[d].o.kind <= SOAK_ACC_COMMON)
			adding |= 1U << d;
	move(s, MEMBOX_OP_READ, s->b->sum, MEMBOX_I32, 0, SOAK_SUM_N, got);
	for (uint32_t mask = adding;; mask = (mask - 1) & adding) {
		if (sum_is(s, got, mask))
			return;
		if (!mask)
			break;
	}
	wrong(s, "the sum", (uint64_t)got[0]);
}

static const struct doubt *doubt_of(const struct state *s, uint64_t row)
{
	for (unsigned int d = 0; d < s->doubts; d++)
		if (s->doubt[d].row == row)
			return &s->doubt[d];
	return NULL;
}

static bool mine_is(const struct state *s, uint64_t row, const int32_t *got, const struct doubt *done)
{
	for (uint64_t i = 0; i < SOAK_MINE_N; i++) {
		const struct soak_operation *o = 4 * i < s->cut[row] ? &s->torn[row] : &s->last[row];

		if (done)
			o = &done->o;
		if (got[i] != (o->n ? soak_mine(o, i) : 0))
			return false;
	}
	return true;
}

static void check_rows(struct state *s)
{
	static int32_t got[SOAK_MINE_N];
	int64_t words[SOAK_ROWS] = { 0 };

	move(s, MEMBOX_OP_READ, s->b->words, MEMBOX_I64, 0, SOAK_ROWS, words);
	for (uint64_t row = 0; row < SOAK_ROWS; row++) {
		const struct doubt *d = doubt_of(s, row);
		bool adds = d && d->o.kind == SOAK_ATOMIC, writes = d && (d->o.kind == SOAK_WRITE || d->o.kind == SOAK_FILL);

		if ((uint64_t)words[row] != s->words[row] && !(adds && (uint64_t)words[row] == s->words[row] + d->o.v))
			wrong(s, "a word", row);
		move(s, MEMBOX_OP_READ, s->b->mine, MEMBOX_I32, row * SOAK_MINE_N, SOAK_MINE_N, got);
		if (!mine_is(s, row, got, NULL) && !(writes && mine_is(s, row, got, d)))
			wrong(s, "a row's own numbers", row);
	}
}

static void tell(void *arg, const char *text)
{
	struct state *s = arg;

	printf("wrong=checker: %s\n", text);
	s->wrong++;
}

int soak_check(struct soak_box *b, char **rows)
{
	static int64_t ledger[SOAK_STOP + 1];
	struct state s = { .b = b, .sum = calloc(SOAK_SUM_N + 1, sizeof(uint32_t)) };

	if (!s.sum)
		return 1;
	mbe_poll_ports(b->e, 0);
	for (uint32_t i = 0; i < b->e->geo.stripes; i++)
		if (b->e->stripes[i].lock)
			wrong(&s, "a stripe is locked", i);
	move(&s, MEMBOX_OP_READ, b->ledger, MEMBOX_I64, 0, SOAK_STOP + 1, ledger);
	for (; *rows; rows++)
		expect_row(&s, *rows, ledger);
	check_sum(&s);
	check_rows(&s);
	mbe_fsck(b->e, tell, &s);
	move(&s, MEMBOX_OP_FILL, b->sum, MEMBOX_I32, 0, SOAK_SUM_N, NULL);
	move(&s, MEMBOX_OP_FILL, b->mine, MEMBOX_I32, 0, (uint64_t)SOAK_ROWS * SOAK_MINE_N, NULL);
	move(&s, MEMBOX_OP_FILL, b->words, MEMBOX_I64, 0, SOAK_ROWS, NULL);
	move(&s, MEMBOX_OP_FILL, b->ledger, MEMBOX_I64, 0, SOAK_STOP + 1, NULL);
	printf("operations=%u\nrecoveries=%u\nfound=%u\n", s.operations, (unsigned int)b->e->state->recoveries, s.wrong);
	free(s.sum);
	soak_close(b);
	return s.wrong != 0;
}
