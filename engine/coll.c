// SPDX-License-Identifier: MIT
/*
 * coll.c - collectives, one packet a rank: from the first look at one to its end.
 *
 * A rank enters the epoch, waits for its slot, and shows its entry there. A small one
 * puts all that it sends beside its entry, counts itself in the outcome, and when all
 * are counted takes its result out of all blocks. A longer one goes through staging in
 * chunks (coll_data.c), and a rank counts itself when it has given all that others need.
 *
 * The outcome is one word, changed by compare-and-swap only: all ranks counted is
 * COMMITTED, a status is its end for everybody; neither changes any more. So all ranks
 * say the same, whenever who died or gave up. What comes after COMMITTED needs nobody.
 *
 * Nobody waits with a thread: who cannot go on spins a little, then says that he sleeps,
 * looks once more, and is parked. Whoever changes something wakes those who sleep.
 */
#include "coll.h"

#include <sched.h>
#include <string.h>

#include "types.h"

/* Looks before anything costs a system call, and how long processors are given away then. */
#define SPINS 400
#define YIELD_NS 60000ULL

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* ---- the outcome ---- */

static uint64_t *outcome_word(const struct mbe_coll *c)
{
	return (uint64_t *)(void *)&c->seat->at.head->slot[c->slot].word;
}

/* As it is for this collective: 0 while nobody has said anything. */
static uint64_t outcome(const struct mbe_coll *c, uint64_t word)
{
	return word >> MEMBOX_COLL_TAG_SHIFT == c->tag >> MEMBOX_COLL_TAG_SHIFT ? word : 0;
}

static bool is_committed(const struct mbe_coll *c, uint64_t word)
{
	return (outcome(c, word) & MEMBOX_COLL_COUNT) >= c->seat->ranks;
}

static uint16_t ended_as(const struct mbe_coll *c, uint64_t word)
{
	return outcome(c, word) >> MEMBOX_COLL_STATUS_SHIFT & 0xff;
}

static bool change(struct mbe *e, const struct mbe_coll *c, uint64_t *seen, uint64_t to)
{
	bool done = __atomic_compare_exchange_n(outcome_word(c), seen, to, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST);

	if (done)
		MBE_STEP(e, "coll: outcome");
	return done;
}

void mbe_coll_decide(struct mbe *e, struct mbe_coll *c, uint16_t status, uint32_t rank)
{
	uint64_t word = MBE_LOAD(outcome_word(c));

	while (!is_committed(c, word) && !ended_as(c, word))
		if (change(e, c, &word, c->tag | (uint64_t)rank << MEMBOX_COLL_RANK_SHIFT |
			   (uint64_t)status << MEMBOX_COLL_STATUS_SHIFT |
			   (outcome(c, word) & MEMBOX_COLL_COUNT)))
			break;
	mbe_seat_tell(e, c->seat);
}

/* ---- entries ---- */

static bool has_come(const struct mbe_coll *c, uint32_t rank)
{
	return MBE_LOAD(&mbe_coll_entry(c->seat, c->slot, rank)->tag) == ((uint64_t)c->epoch << 32 | c->seq);
}

static bool fits(const struct membox_fmt_coll_entry *a, const struct membox_fmt_coll_entry *b)
{
	return a->count == b->count && a->opcode == b->opcode && a->src_type == b->src_type &&
	       a->dst_type == b->dst_type && a->reduction == b->reduction && a->root == b->root;
}

/* The first rank whose packet is not like that of rank 0; all have come. `ranks`: none. */
static uint32_t find_misfit(const struct mbe_coll *c)
{
	const struct mbe_seat *s = c->seat;
	uint32_t r;

	for (r = 1; r < s->ranks; r++)
		if (!fits(mbe_coll_entry(s, c->slot, r), mbe_coll_entry(s, c->slot, 0)))
			break;
	return r;
}

/* What others have ended, as they said when they came: saves looking at their seats. */
static void learn_done(struct mbe_coll *c)
{
	struct mbe_seat *s = c->seat;

	for (uint32_t r = 0; r < s->ranks; r++) {
		uint32_t done = MBE_PEEK(&mbe_coll_entry(s, c->slot, r)->done);

		if ((int32_t)(done - __atomic_load_n(&s->known[r], __ATOMIC_RELAXED)) > 0)
			__atomic_store_n(&s->known[r], done, __ATOMIC_RELAXED);
	}
}

static void show_entry(struct mbe *e, struct mbe_coll *c)
{
	struct membox_fmt_coll_entry *mine = mbe_coll_mine(c);
	const struct membox_packet *p = &c->cmd->p;

	mine->count = p->count;
	mine->opcode = p->opcode;
	mine->src_type = p->src_type;
	mine->dst_type = p->dst_type;
	mine->reduction = p->reduction;
	mine->root = p->opcode == MEMBOX_OP_BARRIER ? 0 : p->coll.root;
	MBE_STORE(&mine->done, __atomic_load_n(&c->seat->known[c->seat->rank], __ATOMIC_RELAXED));
	MBE_STORE(&mine->staged, 0);
	MBE_STORE(&mine->reduced, 0);
	MBE_STORE(&mine->taken, 0);
	MBE_STEP(e, "coll: entry filled");
	__atomic_store_n(&mine->tag, (uint64_t)c->epoch << 32 | c->seq,
			 c->small ? __ATOMIC_RELEASE : __ATOMIC_SEQ_CST);
	MBE_STEP(e, "coll: entry shown");
}

/*
 * One more rank has given all that others need of it. Of a small one the last to come
 * looks whether all want the same.
 */
static void count_me(struct mbe *e, struct mbe_coll *c)
{
	uint64_t word = MBE_LOAD(outcome_word(c));

	for (;;) {
		uint64_t now = outcome(c, word);

		if (ended_as(c, word))
			return;
		if (c->small && (now & MEMBOX_COLL_COUNT) == c->seat->ranks - 1) {
			uint32_t r = find_misfit(c);

			if (r < c->seat->ranks) {
				mbe_coll_decide(e, c, MEMBOX_ST_SHAPE_MISMATCH, r);
				return;
			}
		}
		if (change(e, c, &word, (now ? now : c->tag) + 1))
			break;
	}
	mbe_seat_tell(e, c->seat);
}

/* ---- ending ---- */

static void end(struct mbe_coll *c, uint16_t status, uint32_t rank)
{
	c->status = status;
	c->result = status ? rank : 0;
	c->phase = MBE_COLL_OVER;
}

/* The rank that a collective whose time is over waits for. */
static uint32_t find_late(struct mbe *e, struct mbe_coll *c)
{
	struct mbe_seat *s = c->seat;
	uint32_t r, late = s->rank;

	if (c->phase == MBE_COLL_ENTER)
		return c->began && mbe_seat_meet(e, s, &r) ? r : s->rank;
	if (c->phase == MBE_COLL_SLOT) {
		mbe_seat_all_below(s, c->seq, &r);
		return r < s->ranks ? r : s->rank;
	}
	for (r = 0; r < s->ranks; r++)
		if (r != s->rank && !has_come(c, r))
			return r;
	for (r = 0; r < s->ranks; r++) {
		const struct membox_fmt_coll_entry *a = mbe_coll_entry(s, c->slot, r);
		const struct membox_fmt_coll_entry *b = mbe_coll_entry(s, c->slot, late);

		if (MBE_LOAD(&a->staged) + MBE_LOAD(&a->reduced) + MBE_LOAD(&a->taken) <
		    MBE_LOAD(&b->staged) + MBE_LOAD(&b->reduced) + MBE_LOAD(&b->taken))
			late = r;
	}
	return late;
}

/* Did a rank that has not come end it already? It will not come. */
static bool has_no_chance(const struct mbe_coll *c, uint16_t *status, uint32_t *rank)
{
	for (uint32_t r = 0; c->phase == MBE_COLL_FLOW && r < c->seat->ranks; r++)
		if (r != c->seat->rank && !has_come(c, r) &&
		    mbe_seat_gave_up(c->seat, r, c->seq, status, rank) && !has_come(c, r))
			return true;
	return false;
}

/* Why it cannot go on, OK: nothing. now 0: the clock is not looked at. */
static uint16_t trouble(struct mbe *e, struct mbe_coll *c, uint64_t now, uint32_t *rank)
{
	uint16_t status = MEMBOX_ST_OK;

	*rank = c->seat->rank;
	if (mbe_abort_asked(c->cmd))
		return MEMBOX_ST_ABORTED;
	if (!mbe_seat_current(e, c->seat, c->epoch)) {
		*rank = mbe_seat_blame(e, c->seat, &status);
		return status;
	}
	if (has_no_chance(c, &status, rank))
		return status;
	if (now >= c->cmd->deadline) {
		*rank = find_late(e, c);
		return MEMBOX_ST_TIMED_OUT;
	}
	if (mbe_stopped(e))
		return MEMBOX_ST_CORRUPT;
	return status;
}

/* What stands in its way: its end, for all if others can know of it already. */
static void give_up(struct mbe *e, struct mbe_coll *c, uint16_t status, uint32_t rank)
{
	if (c->phase < MBE_COLL_FLOW) {
		if (c->began)
			mbe_seat_give_up(e, c->seat, c->seq, status, rank);
		end(c, status, rank);
	} else {
		mbe_coll_decide(e, c, status, rank); /* the next step finds what came of it */
	}
}

/* ---- going on ---- */

static bool enter(struct mbe *e, struct mbe_coll *c)
{
	uint16_t status = MEMBOX_ST_OK;
	uint32_t rank;

	if (!c->began) {
		status = mbe_seat_begin(e, c->seat, c->epoch, c->seq);
		if (status == MEMBOX_ST_AGAIN)
			return false;
		if (status) {
			c->detail = MEMBOX_AT(coll.seq);
			end(c, status, 0);
			return true;
		}
		c->began = true;
	}
	status = mbe_seat_meet(e, c->seat, &rank);
	if (status == MEMBOX_ST_AGAIN)
		return false;
	if (status)
		give_up(e, c, status, rank);
	else
		c->phase = MBE_COLL_SLOT;
	return true;
}

static bool slot_is_free(struct mbe_coll *c)
{
	uint32_t rank;

	return mbe_seat_all_below(c->seat, c->small ? c->seq - (MEMBOX_COLL_SLOTS - 1) : c->seq, &rank);
}

static bool take_slot(struct mbe *e, struct mbe_coll *c)
{
	if (!slot_is_free(c))
		return false;
	if (c->small)
		mbe_coll_put_small(e, c);
	show_entry(e, c);
	c->phase = MBE_COLL_FLOW;
	if (c->small) {
		count_me(e, c);
		c->counted = true;
	} else {
		mbe_seat_tell(e, c->seat);
	}
	return true;
}

/* All entries of a longer one: are they there, and do they fit? */
static bool meet_entries(struct mbe *e, struct mbe_coll *c)
{
	uint32_t r;

	for (r = 0; r < c->seat->ranks; r++)
		if (!has_come(c, r))
			return false;
	r = find_misfit(c);
	if (r < c->seat->ranks)
		mbe_coll_decide(e, c, MEMBOX_ST_SHAPE_MISMATCH, r);
	else
		c->met = true;
	learn_done(c);
	return true;
}

static bool gave_all(const struct mbe_coll *c)
{
	return c->met && c->staged == c->chunks && c->reduced == c->chunks;
}

/* One step; false: it has to wait. */
static bool step(struct mbe *e, struct mbe_coll *c)
{
	uint64_t word;

	switch (c->phase) {
	case MBE_COLL_ENTER:
		return enter(e, c);
	case MBE_COLL_SLOT:
		return take_slot(e, c);
	case MBE_COLL_FLOW:
		word = MBE_LOAD(outcome_word(c));
		if (ended_as(c, word)) {
			end(c, ended_as(c, word), outcome(c, word) >> MEMBOX_COLL_RANK_SHIFT & 0xff);
			return true;
		}
		if (c->small) {
			if (is_committed(c, word))
				c->phase = MBE_COLL_TAKE;
			return is_committed(c, word);
		}
		if (!c->met && meet_entries(e, c))
			return true;
		if (mbe_coll_work(e, c))
			return true;
		if (gave_all(c) && !c->counted) {
			count_me(e, c);
			c->counted = true;
			return true;
		}
		if (c->taken == c->chunks && is_committed(c, word)) {
			end(c, MEMBOX_ST_OK, 0);
			return true;
		}
		return false;
	case MBE_COLL_TAKE:
		end(c, mbe_coll_get_small(e, c), 0);
		learn_done(c);
		return true;
	default:
		return true;
	}
}

/* Until it is over (true) or has to wait longer than it may. */
static bool go_on(struct mbe *e, struct mbe_coll *c)
{
	uint64_t until = 0;
	uint32_t spins = 0, rank;
	bool decided = false;

	while (c->phase != MBE_COLL_OVER) {
		uint64_t now = 0;
		uint16_t status;

		if (mbe_abort_asked(c->cmd) && c->phase < MBE_COLL_TAKE && !decided) {
			give_up(e, c, MEMBOX_ST_ABORTED, c->seat->rank);
			decided = true;
			continue;
		}
		if (step(e, c)) {
			spins = 0;
			until = 0;
			continue;
		}
		if (++spins < SPINS) {
			if (spins > SPINS / 8)
				relax();
			if (spins % 32)
				continue;
		} else {
			now = mbe_clock(e);
			if (!until)
				until = now + YIELD_NS;
		}
		status = trouble(e, c, now, &rank);
		if (status && !decided) {
			give_up(e, c, status, rank);
			decided = true;
		} else if (now && now >= until) {
			return false;
		} else if (now) {
			sched_yield();
		}
	}
	return true;
}

/* ---- the command ---- */

/* Into the command's completion, and all given back. */
static void finish(struct mbe *e, struct mbe_coll *c)
{
	struct mbe_cmd *cmd = c->cmd;
	const struct membox_packet *p = &cmd->p;
	uint16_t asked = mbe_abort_asked(cmd);

	mbe_coll_close(e, c);
	if (c->began)
		mbe_seat_end(e, c->seat, c->seq);
	if (c->status && asked && c->status != MEMBOX_ST_EXISTS && c->status != MEMBOX_ST_BUSY)
		c->status = asked;
	if (!c->status)
		c->status = c->failed;
	cmd->c.bytes = c->got;
	cmd->c.result = c->result;
	cmd->c.detail = c->detail;
	cmd->c.status = c->status;
	if (!c->writes)
		cmd->c.version = c->held[0] ? MBE_LOAD(&c->op[0].ver->finished) : 0;
	else
		cmd->c.version = c->run.version;
	if (!c->status && c->send.bytes && !p->handle[0])
		mbe_count(e, MEMBOX_CTR_TO_DEVICE, c->send.bytes);
	if (p->handle[0])
		mbe_count(e, MEMBOX_CTR_COMMON_READ, c->status ? 0 : c->send.bytes);
	mbe_count(e, c->writes ? MEMBOX_CTR_COMMON_WRITE : MEMBOX_CTR_FROM_DEVICE, c->got);
	for (unsigned int i = 0; i < 2; i++)
		if (c->held[i])
			mbe_operand_put(e, &c->op[i]);
	cmd->coll = NULL;
	mbe_coll_free(e, c);
}

/* Goes on until it is over, or is parked: AGAIN, and it may be somebody else's already. */
static uint16_t run_or_park(struct mbe *e, struct mbe_coll *c)
{
	struct mbe_cmd *cmd = c->cmd;
	bool wake;

	while (!go_on(e, c)) {
		pthread_mutex_lock(&e->exec->lock);
		mbe_seat_parks(c->seat, true);
		if (mbe_coll_ready(e, cmd, 0)) {
			mbe_seat_parks(c->seat, false);
			pthread_mutex_unlock(&e->exec->lock);
			continue;
		}
		wake = cmd->deadline < e->exec->next_deadline;
		if (wake)
			e->exec->next_deadline = cmd->deadline;
		mbe_park(e, cmd, MBE_CMD_COLL);
		pthread_mutex_unlock(&e->exec->lock);
		if (wake)
			mbe_wake(e);
		return MEMBOX_ST_AGAIN;
	}
	finish(e, c);
	return cmd->c.status;
}

/* Would a step do something? */
static bool can_step(struct mbe *e, struct mbe_coll *c)
{
	uint64_t word;
	uint32_t rank;

	switch (c->phase) {
	case MBE_COLL_ENTER:
		if (!c->began)
			return __atomic_load_n(&c->seat->epoch, __ATOMIC_RELAXED) == c->epoch ||
			       !__atomic_load_n(&c->seat->inflight, __ATOMIC_RELAXED);
		return mbe_seat_meet(e, c->seat, &rank) != MEMBOX_ST_AGAIN;
	case MBE_COLL_SLOT:
		return slot_is_free(c);
	case MBE_COLL_FLOW:
		word = MBE_LOAD(outcome_word(c));
		if (ended_as(c, word) || is_committed(c, word))
			return true;
		if (c->small)
			return false;
		for (rank = 0; !c->met && rank < c->seat->ranks; rank++)
			if (!has_come(c, rank))
				break;
		return (!c->met && rank == c->seat->ranks) || mbe_coll_has_work(c);
	default:
		return true;
	}
}

bool mbe_coll_ready(struct mbe *e, const struct mbe_cmd *cmd, uint64_t now)
{
	struct mbe_coll *c = cmd->coll;
	uint16_t status;
	uint32_t rank;

	return now >= cmd->deadline || mbe_abort_asked(cmd) || mbe_stopped(e) ||
	       !mbe_seat_current(e, c->seat, c->epoch) || can_step(e, c) ||
	       has_no_chance(c, &status, &rank);
}

bool mbe_coll_is_long(const struct mbe_cmd *cmd)
{
	return !cmd->coll->small;
}

void mbe_coll_unpark(struct mbe_cmd *cmd)
{
	mbe_seat_parks(cmd->coll->seat, false);
}

void mbe_coll_resume(struct mbe *e, struct mbe_cmd *cmd)
{
	struct mbe_fp fp;
	uint16_t status;

	mbe_fp_enter(&fp);
	status = run_or_park(e, cmd->coll);
	mbe_fp_leave(&fp);
	if (status != MEMBOX_ST_AGAIN)
		mbe_complete_delayed(e, cmd);
}

static void side(struct mbe_coll_mem *m, const struct iovec *v, unsigned int n, uint8_t *box, uint64_t bytes)
{
	m->bytes = bytes;
	m->v = v;
	m->n = n;
	if (box) {
		m->one = (struct iovec){ box, bytes };
		m->v = &m->one;
		m->n = 1;
	}
}

/* The two sides of a collective, and the parameters that are in them. */
static void open_sides(struct mbe_run *run, struct mbe_coll *c)
{
	const struct membox_packet *p = run->p;
	uint32_t used = membox_packet_fields(p);
	uint64_t out = membox_operand_count(p, 0) * c->ssize, in = membox_operand_count(p, 1) * c->dsize;

	if (used & (MBF_P0 | MBF_HOST))
		side(&c->send, run->cmd->host, run->cmd->nhost, used & MBF_P0 ? run->dst : NULL, out);
	if (used & (MBF_P1 | MBF_HOST2))
		side(&c->recv, run->cmd->host2, run->cmd->nhost2, used & MBF_P1 ? (uint8_t *)run->src : NULL, in);
	for (unsigned int i = 0; i < 2; i++) {
		c->held[i] = used & (MBF_P0 << i);
		if (c->held[i])
			c->op[i] = run->op[i];
	}
	run->held = 0; /* they are the collective's now */
	if (!(used & MBF_P1))
		return;
	c->writes = true;
	c->run = (struct mbe_run){ .e = run->e, .p = run->p, .op = { c->op[1] },
				   .dst = (uint8_t *)run->src, .bytes = in };
}

/* Does the box's memory fail under one of the sides? */
static bool is_poisoned(struct mbe_run *run, const struct mbe_coll *c)
{
	const struct membox_packet *p = run->p;
	uint64_t sides[2] = { c->send.bytes, c->recv.bytes };
	const uint8_t *at[2] = { run->dst, run->src };

	for (unsigned int i = 0; i < 2; i++) {
		if (!c->held[i] || !p->handle[i])
			continue;
		run->bytes = sides[i];
		if (mbe_poison_cut(run, &c->op[i], at[i], 1, 1, MEMBOX_AT(offset) + 8 * i))
			return true;
	}
	return false;
}

uint16_t mbe_op_coll(struct mbe_run *run)
{
	struct mbe_cmd *cmd = run->cmd;
	const struct membox_packet *p = &cmd->p;
	uint32_t us = p->timeout_us ? p->timeout_us : MEMBOX_DEFAULT_TIMEOUT_US;
	struct mbe_coll *c;
	uint16_t status;

	run->detail = MEMBOX_AT(coll.group);
	status = mbe_coll_new(run->e, p->context, p->coll.group, &c);
	if (status)
		return status;
	run->detail = 0;
	cmd->coll = c;
	cmd->deadline = mbe_deadline(run->e, us * 1000ULL);
	c->cmd = cmd;
	c->epoch = p->coll.epoch;
	c->seq = p->coll.seq;
	c->slot = p->coll.seq % MEMBOX_COLL_SLOTS;
	c->tag = membox_coll_tag(c->epoch, c->seq);
	c->root = p->coll.root;
	c->ssize = membox_type_bytes(p->src_type);
	c->dsize = membox_type_bytes(p->dst_type);
	open_sides(run, c);
	mbe_coll_plan(c);
	if (is_poisoned(run, c)) {
		status = MEMBOX_ST_MEDIA_ERROR; /* a refusal: nothing was begun */
		c->status = status;
		c->result = run->result;
		c->detail = run->detail;
		finish(run->e, c);
	} else {
		status = run_or_park(run->e, c);
	}
	if (status != MEMBOX_ST_AGAIN) { /* the run is what is reported */
		run->done = cmd->c.bytes;
		run->result = cmd->c.result;
		run->version = cmd->c.version;
		run->detail = cmd->c.detail;
	}
	return status;
}
