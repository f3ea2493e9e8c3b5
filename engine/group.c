/* SPDX-License-Identifier: MIT */
/*
 * group.c - groups: a name, a number of ranks, and a seat for each, taken by a
 * context of a port. The epoch is bumped before a seat changes hands downwards,
 * so that nobody sees a gap in an epoch he believes in. A group goes with its
 * last live seat. All but the three commands want the table's lock; the commands
 * are called with it.
 */
#include "tables.h"

#define WORD_SERIAL_SHIFT 8
#define NO_SEAT MEMBOX_MAX_RANKS

const char *mbe_group_check(uint64_t word, const struct membox_fmt_group_fixed *f)
{
	struct membox_fmt_group_fixed copy = *f;

	copy.crc = 0;
	if ((word & 0xff) != 1)
		return "its state is none that there is";
	if (f->crc != mbe_crc32c(0, &copy, sizeof(copy)))
		return "its checksum is wrong";
	if (f->serial != word >> WORD_SERIAL_SHIFT)
		return "its serial number is not that of its state";
	if (!f->ranks || f->ranks > MEMBOX_MAX_RANKS || !mbe_name_ok(f->name))
		return "its name or number of ranks is impossible";
	return NULL;
}

uint16_t mbe_group_load(struct mbe *e, uint32_t index, struct membox_fmt_group_fixed *f, uint64_t *word)
{
	*word = MBE_LOAD(&e->groups[index].word);
	if (!*word)
		return MEMBOX_ST_OK;
	memcpy(f, &e->groups[index].fixed, sizeof(*f));
	return mbe_group_check(*word, f) ? mbe_stop(e) : MEMBOX_ST_OK;
}

/* ---- seats ---- */

static uint32_t seat_port(uint64_t word)
{
	return (uint32_t)(word >> MEMBOX_SEAT_PORT_SHIFT) & 0xffff;
}

static unsigned int seat_context(uint64_t word)
{
	return (unsigned int)(word >> MEMBOX_SEAT_CONTEXT_SHIFT) & 0xffff;
}

static enum membox_seat seat_state(uint64_t word)
{
	return (enum membox_seat)(word & MEMBOX_SEAT_STATE);
}

static uint64_t my_seat(const struct mbe *e, unsigned int context)
{
	return (uint64_t)(mbe_context_gen(e, context) & 0xffffff) << MEMBOX_SEAT_CTXGEN_SHIFT |
	       (uint64_t)context << MEMBOX_SEAT_CONTEXT_SHIFT |
	       (uint64_t)e->port << MEMBOX_SEAT_PORT_SHIFT | MEMBOX_SEAT_LIVE;
}

unsigned int mbe_group_seat(const struct mbe *e, uint32_t index, unsigned int context)
{
	const struct membox_fmt_group *g = &e->groups[index];
	uint64_t mine = my_seat(e, context);
	unsigned int i;

	for (i = 0; i < MEMBOX_MAX_RANKS; i++)
		if (MBE_LOAD(&g->seat[i].word) == mine && MBE_LOAD(&g->seat[i].generation) == e->generation)
			return i;
	return NO_SEAT;
}

/* Tells the members; frees a group in which nobody is left. */
static void membership_changed(struct mbe *e, uint32_t index)
{
	struct membox_fmt_group *g = &e->groups[index];
	bool anybody = false;
	unsigned int i;

	for (i = 0; i < MEMBOX_MAX_RANKS; i++) {
		uint64_t word = MBE_LOAD(&g->seat[i].word);

		if (seat_state(word) != MEMBOX_SEAT_LIVE)
			continue;
		anybody = true;
		if (seat_port(word) < e->geo.ports)
			mbe_wake_port(e, seat_port(word));
	}
	if (!anybody)
		MBE_STORE(&g->word, 0);
	MBE_STEP(e, "group: told");
}

static void vacate(struct mbe *e, uint32_t index, unsigned int rank, enum membox_seat state)
{
	struct membox_fmt_group *g = &e->groups[index];

	MBE_STORE(&g->epoch, MBE_LOAD(&g->epoch) + 1);
	MBE_STEP(e, "group: epoch bumped");
	MBE_STORE(&g->seat[rank].word, state == MEMBOX_SEAT_FREE ? 0 :
		  (MBE_LOAD(&g->seat[rank].word) & ~MEMBOX_SEAT_STATE) | (uint64_t)state);
	MBE_STEP(e, "group: seat vacated");
}

uint16_t mbe_group_bury(struct mbe *e, uint32_t port, unsigned int context)
{
	struct membox_fmt_group_fixed f;
	uint64_t word;
	uint32_t i;

	for (i = 0; i < e->geo.groups; i++) {
		uint16_t status = mbe_group_load(e, i, &f, &word);
		unsigned int rank;
		bool changed = false;

		if (status)
			return status;
		for (rank = 0; word && rank < f.ranks; rank++) {
			uint64_t seat = MBE_LOAD(&e->groups[i].seat[rank].word);

			if (seat_state(seat) != MEMBOX_SEAT_LIVE || seat_port(seat) != port ||
			    (context != -1U && seat_context(seat) != context))
				continue;
			vacate(e, i, rank, MEMBOX_SEAT_DEAD);
			changed = true;
		}
		/* a group that lost its last one just before a crash goes now */
		if (word && (changed || context == -1U))
			membership_changed(e, i);
	}
	return MEMBOX_ST_OK;
}

/* ---- finding, making ---- */

uint32_t mbe_group_handle(uint32_t index, uint64_t serial)
{
	return (uint32_t)(serial & 0xffff) << 16 | (index + 1);
}

uint16_t mbe_group_find(struct mbe *e, unsigned int context, uint32_t handle, uint32_t *index)
{
	uint64_t word;

	*index = (handle & 0xffff) - 1;
	if (*index >= e->geo.groups)
		return MEMBOX_ST_BAD_GROUP;
	word = MBE_LOAD(&e->groups[*index].word);
	if (!word || mbe_group_handle(*index, word >> WORD_SERIAL_SHIFT) != handle ||
	    mbe_group_seat(e, *index, context) == NO_SEAT)
		return MEMBOX_ST_BAD_GROUP;
	return MEMBOX_ST_OK;
}

/* By name: OK with *index and f; NOT_FOUND with *index a free entry or geo.groups. */
static uint16_t find_name(struct mbe *e, const char *name, uint32_t *index, struct membox_fmt_group_fixed *f)
{
	uint32_t i, free_one = e->geo.groups;
	uint64_t word;
	uint16_t status;

	*index = free_one;
	for (i = 0; i < e->geo.groups; i++) {
		status = mbe_group_load(e, i, f, &word);
		if (status)
			return status;
		if (word && !strncmp(f->name, name, MEMBOX_NAME_BYTES)) {
			*index = i;
			return MEMBOX_ST_OK;
		}
		if (!word && free_one == e->geo.groups)
			free_one = i;
	}
	*index = free_one;
	return MEMBOX_ST_NOT_FOUND;
}

static uint16_t make(struct mbe *e, const struct membox_group_args *a, uint32_t index,
		     struct membox_fmt_group_fixed *f)
{
	struct membox_fmt_group *g = &e->groups[index];

	if (index == e->geo.groups)
		return MEMBOX_ST_TABLE_FULL;
	memset(f, 0, sizeof(*f));
	mbe_name_copy(f->name, a->name);
	f->ranks = a->ranks;
	f->keyed = a->flags & MEMBOX_GROUP_KEYED;
	if (f->keyed && mbe_key_set(f->salt, f->key, &a->key))
		return MEMBOX_ST_INTERNAL;
	f->serial = ++e->state->serial;
	f->crc = mbe_crc32c(0, f, sizeof(*f));
	memcpy(&g->fixed, f, sizeof(*f));
	memset(g->seat, 0, sizeof(g->seat));
	MBE_STORE(&g->coll, 0);
	MBE_STORE(&g->epoch, 1);
	MBE_STEP(e, "group: filled");
	MBE_STORE(&g->word, f->serial << WORD_SERIAL_SHIFT | 1);
	MBE_STEP(e, "group: there");
	return MEMBOX_ST_OK;
}

static uint16_t check_join(const struct membox_group_args *a)
{
	bool keyed = a->flags & MEMBOX_GROUP_KEYED;

	if (!mbe_name_ok(a->name))
		return MEMBOX_ST_BAD_NAME;
	if (a->flags & ~MEMBOX_GROUP_KEYED || !a->ranks || a->ranks > MEMBOX_MAX_RANKS ||
	    keyed != (a->key.word[0] || a->key.word[1]))
		return MEMBOX_ST_BAD_ARGUMENT;
	if (a->rank < -1 || a->rank >= (int)a->ranks)
		return MEMBOX_ST_BAD_RANK;
	return MEMBOX_ST_OK;
}

/* May somebody who says this join? */
static uint16_t check_member(const struct membox_group_args *a, const struct membox_fmt_group_fixed *f)
{
	if (f->keyed != (a->flags & MEMBOX_GROUP_KEYED))
		return MEMBOX_ST_KEY_REFUSED;
	if (f->keyed && !mbe_key_equal(f->salt, f->key, &a->key))
		return MEMBOX_ST_KEY_REFUSED;
	return f->ranks == a->ranks ? MEMBOX_ST_OK : MEMBOX_ST_SHAPE_MISMATCH;
}

/* The seat to take: the one asked for, else a free one, else a dead one's. */
static unsigned int choose_seat(const struct membox_fmt_group *g, const struct membox_group_args *a)
{
	unsigned int i, dead = NO_SEAT;

	if (a->rank >= 0)
		return seat_state(MBE_LOAD(&g->seat[a->rank].word)) == MEMBOX_SEAT_LIVE ? NO_SEAT :
											   (unsigned int)a->rank;
	for (i = 0; i < a->ranks; i++) {
		enum membox_seat state = seat_state(MBE_LOAD(&g->seat[i].word));

		if (state == MEMBOX_SEAT_FREE)
			return i;
		if (state == MEMBOX_SEAT_DEAD && dead == NO_SEAT)
			dead = i;
	}
	return dead;
}

/* ---- the commands ---- */

static void answer(const struct mbe *e, uint32_t index, const struct membox_fmt_group_fixed *f,
		   unsigned int rank, struct membox_group_args *a)
{
	const struct membox_fmt_group *g = &e->groups[index];
	unsigned int i;

	a->group = mbe_group_handle(index, f->serial);
	a->ranks = f->ranks;
	a->rank = (int)rank;
	a->epoch = (uint32_t)MBE_LOAD(&g->epoch);
	a->joined = 0;
	a->dead = -1;
	memset(a->state, 0, sizeof(a->state));
	for (i = 0; i < f->ranks; i++) {
		enum membox_seat state = seat_state(MBE_LOAD(&g->seat[i].word));

		a->state[i] = (uint8_t)state;
		a->joined += state == MEMBOX_SEAT_LIVE;
		if (state == MEMBOX_SEAT_DEAD && a->dead < 0)
			a->dead = (int)i;
	}
}

uint16_t mbe_group_join(struct mbe *e, unsigned int context, struct membox_group_args *a)
{
	struct membox_fmt_group_fixed f;
	uint16_t status = check_join(a);
	unsigned int rank;
	uint32_t index;

	if (status)
		return status;
	status = find_name(e, a->name, &index, &f);
	if (status == MEMBOX_ST_NOT_FOUND)
		status = make(e, a, index, &f);
	else if (!status)
		status = check_member(a, &f);
	if (status)
		return status;
	rank = mbe_group_seat(e, index, context);
	if (rank != NO_SEAT) { /* said twice: the same seat, and no other beside it */
		if (a->rank >= 0 && (unsigned int)a->rank != rank)
			return MEMBOX_ST_BAD_RANK;
		answer(e, index, &f, rank, a);
		return MEMBOX_ST_OK;
	}
	rank = choose_seat(&e->groups[index], a);
	if (rank == NO_SEAT)
		return MEMBOX_ST_BAD_RANK;
	MBE_STORE(&e->groups[index].seat[rank].generation, e->generation);
	MBE_STEP(e, "group: seat filled");
	MBE_STORE(&e->groups[index].seat[rank].word, my_seat(e, context));
	MBE_STEP(e, "group: seat taken");
	membership_changed(e, index);
	answer(e, index, &f, rank, a);
	return MEMBOX_ST_OK;
}

uint16_t mbe_group_leave(struct mbe *e, unsigned int context, struct membox_group_args *a)
{
	uint32_t index;
	uint16_t status = mbe_group_find(e, context, a->group, &index);

	if (status)
		return status;
	if (!mbe_coll_leave(e, index, context, false))
		return MEMBOX_ST_BUSY;
	vacate(e, index, mbe_group_seat(e, index, context), MEMBOX_SEAT_FREE);
	mbe_coll_leave(e, index, context, true);
	membership_changed(e, index);
	return MEMBOX_ST_OK;
}

uint16_t mbe_group_info(struct mbe *e, unsigned int context, struct membox_group_args *a)
{
	struct membox_fmt_group_fixed f;
	uint32_t index;
	uint64_t word;
	uint16_t status = mbe_group_find(e, context, a->group, &index);

	if (!status)
		status = mbe_group_load(e, index, &f, &word);
	if (status)
		return status;
	mbe_name_copy(a->name, f.name);
	answer(e, index, &f, mbe_group_seat(e, index, context), a);
	return MEMBOX_ST_OK;
}

/* Where the rank of a context's group is: OK, BAD_GROUP, BAD_RANK, RANK_DEAD. */
uint16_t mbe_group_rank(struct mbe *e, unsigned int context, uint32_t handle, uint32_t rank,
			struct mbe_rank *out)
{
	struct membox_fmt_group_fixed f;
	uint32_t index;
	uint64_t word;
	uint16_t status = mbe_group_find(e, context, handle, &index);

	if (!status)
		status = mbe_group_load(e, index, &f, &word);
	if (status)
		return status;
	if (rank >= f.ranks)
		return MEMBOX_ST_BAD_RANK;
	word = MBE_LOAD(&e->groups[index].seat[rank].word);
	if (seat_state(word) == MEMBOX_SEAT_DEAD)
		return MEMBOX_ST_RANK_DEAD;
	if (seat_state(word) != MEMBOX_SEAT_LIVE)
		return MEMBOX_ST_BAD_RANK;
	if (seat_port(word) >= e->geo.ports)
		return mbe_stop(e);
	out->port = seat_port(word);
	out->context = seat_context(word);
	out->context_gen = (uint32_t)(word >> MEMBOX_SEAT_CTXGEN_SHIFT);
	mbe_name_copy(out->group, f.name);
	return MEMBOX_ST_OK;
}
