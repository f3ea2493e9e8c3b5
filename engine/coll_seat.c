// SPDX-License-Identifier: MIT
/*
 * coll_seat.c - a group's pages for collectives, and the seat of a context in it.
 *
 * Epochs. What a rank has in the pages (seat, blocks, staging) may still be read by
 * others for a collective of an epoch before. So a rank enters an epoch, by a store to
 * its seat, when all its own collectives of earlier ones have ended; and touches
 * slots and staging only when it has seen every rank there. Then nobody reads what is
 * old.
 */
#include "coll.h"

#include <stdlib.h>
#include <string.h>

#include "tables.h"

/* ---- pages ---- */

static uint64_t fixed_bytes(uint32_t ranks)
{
	uint64_t n = sizeof(struct membox_fmt_coll) + ranks * sizeof(struct membox_fmt_coll_seat) +
		     (uint64_t)MEMBOX_COLL_SLOTS * ranks * MEMBOX_COLL_BLOCK;

	return (n + MEMBOX_FMT_PAGE - 1) / MEMBOX_FMT_PAGE * MEMBOX_FMT_PAGE;
}

static uint64_t pages_of(uint32_t ranks, uint32_t piece)
{
	return (fixed_bytes(ranks) + (uint64_t)ranks * MEMBOX_COLL_DEPTH * piece) / MEMBOX_FMT_PAGE;
}

static uint32_t first_page(uint64_t word)
{
	return (uint32_t)(word >> MEMBOX_COLL_FIRST_SHIFT);
}

static uint32_t nr_pages(uint64_t word)
{
	return (uint32_t)(word >> MEMBOX_COLL_PAGES_SHIFT & MEMBOX_COLL_PAGES);
}

bool mbe_coll_place(const struct mbe *e, uint64_t word, uint32_t ranks, struct mbe_coll_pages *at)
{
	const struct membox_fmt_area *a = &e->geo.area[MEMBOX_AREA_COLL];
	uint64_t all = a->bytes / MEMBOX_FMT_PAGE;
	uint32_t log2 = word & 0xff;
	uint8_t *p;

	if (log2 > 31 || 1U << log2 < MEMBOX_COLL_PIECE_MIN || 1U << log2 > MEMBOX_COLL_PIECE ||
	    !nr_pages(word) || nr_pages(word) > all || first_page(word) > all - nr_pages(word) ||
	    nr_pages(word) != pages_of(ranks, 1U << log2))
		return false;
	p = e->map + a->offset + (uint64_t)first_page(word) * MEMBOX_FMT_PAGE;
	at->head = (void *)p;
	at->seats = (void *)(p + sizeof(struct membox_fmt_coll));
	at->blocks = p + sizeof(struct membox_fmt_coll) + ranks * sizeof(struct membox_fmt_coll_seat);
	at->staging = p + fixed_bytes(ranks);
	at->piece = 1U << log2;
	return true;
}

bool mbe_coll_overlap(const struct mbe *e, uint32_t index, uint32_t first, uint32_t pages, uint32_t *end)
{
	for (uint32_t i = 0; i < e->geo.groups; i++) {
		uint64_t word = MBE_LOAD(&e->groups[i].word) ? MBE_LOAD(&e->groups[i].coll) : 0;

		if (i != index && word && first < first_page(word) + nr_pages(word) &&
		    first_page(word) < first + pages) {
			*end = first_page(word) + nr_pages(word);
			return true;
		}
	}
	return false;
}

/* The first pages that no group has, `all` when there are not so many together. Locked. */
static uint32_t find_pages(const struct mbe *e, uint32_t index, uint32_t pages, uint32_t all)
{
	uint32_t first = 0;

	while (pages <= all && first <= all - pages)
		if (!mbe_coll_overlap(e, index, first, pages, &first))
			return first;
	return all;
}

/* Half of all pages at most, as long as pieces can be made smaller instead. */
static uint16_t give_pages(struct mbe *e, uint32_t index, uint32_t ranks)
{
	uint32_t all = (uint32_t)(e->geo.area[MEMBOX_AREA_COLL].bytes / MEMBOX_FMT_PAGE);
	uint32_t log2, first, pages;

	for (log2 = __builtin_ctz(MEMBOX_COLL_PIECE); 1U << log2 >= MEMBOX_COLL_PIECE_MIN; log2--) {
		pages = (uint32_t)pages_of(ranks, 1U << log2);
		if (pages > all / 2 && 1U << log2 > MEMBOX_COLL_PIECE_MIN)
			continue;
		first = find_pages(e, index, pages, all);
		if (first == all)
			continue;
		memset(e->map + e->geo.area[MEMBOX_AREA_COLL].offset + (uint64_t)first * MEMBOX_FMT_PAGE, 0,
		       fixed_bytes(ranks));
		MBE_STEP(e, "coll: pages zeroed");
		MBE_STORE(&e->groups[index].coll, (uint64_t)first << MEMBOX_COLL_FIRST_SHIFT |
			  (uint64_t)pages << MEMBOX_COLL_PAGES_SHIFT | log2);
		MBE_STEP(e, "coll: pages given");
		return MEMBOX_ST_OK;
	}
	return MEMBOX_ST_NO_SPACE;
}

/* Has the group pages given to it, if it has none. With no lock of ours. */
static uint16_t want_pages(struct mbe *e, unsigned int context, uint32_t handle)
{
	struct membox_fmt_group_fixed f;
	uint32_t index = (handle & 0xffff) - 1;
	uint64_t word;
	uint16_t status;

	if (index >= e->geo.groups)
		return MEMBOX_ST_BAD_GROUP;
	if (MBE_LOAD(&e->groups[index].coll))
		return MEMBOX_ST_OK; /* of another group? The seat will tell */
	status = mbe_table_lock(e);
	if (status)
		return status;
	status = mbe_group_find(e, context, handle, &index);
	if (!status)
		status = mbe_group_load(e, index, &f, &word);
	if (!status && !MBE_LOAD(&e->groups[index].coll))
		status = give_pages(e, index, f.ranks);
	mbe_table_unlock(e);
	return status;
}

/* ---- seats ---- */

/* Is what we know of the seat still so? */
static bool is_same(const struct mbe *e, const struct mbe_seat *s, uint32_t handle)
{
	const struct membox_fmt_group *g = &e->groups[s->group];
	uint64_t word = MBE_LOAD(&g->word);

	return word && word >> 8 == s->serial && handle == mbe_group_handle(s->group, s->serial) &&
	       MBE_LOAD(&g->seat[s->rank].word) == s->seat_word &&
	       MBE_LOAD(&g->seat[s->rank].generation) == e->generation;
}

/* Learns anew what a context's seat is. With coll_lock; nothing of it is in flight. */
static uint16_t learn(struct mbe *e, struct mbe_seat *s, uint32_t handle)
{
	struct membox_fmt_group_fixed f;
	uint64_t word;
	uint32_t index;
	uint16_t status = mbe_group_find(e, s->context, handle, &index);

	if (!status)
		status = mbe_group_load(e, index, &f, &word);
	if (!status && (!word || mbe_group_handle(index, f.serial) != handle))
		status = MEMBOX_ST_BAD_GROUP;
	if (status)
		return status;
	s->serial = f.serial;
	s->ranks = f.ranks;
	s->rank = mbe_group_seat(e, index, s->context);
	if (s->rank >= f.ranks)
		return MEMBOX_ST_BAD_GROUP;
	s->seat_word = MBE_LOAD(&e->groups[index].seat[s->rank].word);
	s->epoch = 0;
	s->met = 0;
	s->done = 0;
	return mbe_coll_place(e, MBE_LOAD(&e->groups[index].coll), s->ranks, &s->at) ? MEMBOX_ST_OK :
										       mbe_stop(e);
}

static struct mbe_seat *make(struct mbe *e, uint32_t index, unsigned int context)
{
	struct mbe_seat *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->group = index;
	s->context = context;
	s->next = e->exec->seats;
	e->exec->seats = s;
	return s;
}

/* With coll_lock; made when it is not there. */
static struct mbe_seat *find_seat(struct mbe *e, uint32_t group, unsigned int context)
{
	struct mbe_seat *s;

	for (s = e->exec->seats; s && (s->group != group || s->context != context);)
		s = s->next;
	return s ? s : make(e, group, context);
}

/* With coll_lock. */
static uint16_t use_seat(struct mbe *e, struct mbe_seat *s, uint32_t handle)
{
	uint16_t status;

	if (!s)
		return MEMBOX_ST_NO_MEMORY;
	if (s->leaving)
		return MEMBOX_ST_BAD_GROUP;
	if (s->serial && is_same(e, s, handle))
		return MEMBOX_ST_OK;
	if (s->users) /* of a seat that is gone: they end first */
		return MEMBOX_ST_BAD_GROUP;
	status = learn(e, s, handle);
	if (status)
		s->serial = 0;
	return status;
}

uint16_t mbe_coll_new(struct mbe *e, unsigned int context, uint32_t handle, struct mbe_coll **out)
{
	struct mbe_exec *x = e->exec;
	struct mbe_coll *c = NULL;
	struct mbe_seat *s;
	uint16_t status;

	status = want_pages(e, context, handle);
	if (status)
		return status;
	pthread_mutex_lock(&x->coll_lock);
	s = find_seat(e, (handle & 0xffff) - 1, context);
	status = use_seat(e, s, handle);
	if (!status) {
		c = s->pool;
		if (c)
			s->pool = c->next;
		else
			c = malloc(sizeof(*c));
		if (c)
			s->users++;
		else
			status = MEMBOX_ST_NO_MEMORY;
	}
	pthread_mutex_unlock(&x->coll_lock);
	if (!status) {
		memset(c, 0, sizeof(*c));
		c->seat = s;
		*out = c;
	}
	return status;
}

void mbe_coll_free(struct mbe *e, struct mbe_coll *c)
{
	struct mbe_seat *s = c->seat;

	pthread_mutex_lock(&e->exec->coll_lock);
	c->next = s->pool;
	s->pool = c;
	s->users--;
	pthread_mutex_unlock(&e->exec->coll_lock);
}

bool mbe_coll_leave(struct mbe *e, uint32_t group, unsigned int context, bool left)
{
	struct mbe_seat *s;
	bool idle;

	if (!e->exec)
		return true;
	pthread_mutex_lock(&e->exec->coll_lock);
	s = find_seat(e, group, context);
	idle = s && !s->users;
	if (idle)
		s->leaving = !left;
	pthread_mutex_unlock(&e->exec->coll_lock);
	return idle;
}

void mbe_seats_free(struct mbe *e)
{
	struct mbe_seat *s;

	while ((s = e->exec->seats)) {
		e->exec->seats = s->next;
		while (s->pool) {
			struct mbe_coll *c = s->pool;

			s->pool = c->next;
			free(c);
		}
		free(s);
	}
}

/* ---- epochs ---- */

bool mbe_seat_current(const struct mbe *e, const struct mbe_seat *s, uint32_t epoch)
{
	const struct membox_fmt_group *g = &e->groups[s->group];

	return (uint32_t)MBE_LOAD(&g->epoch) == epoch && MBE_LOAD(&g->word) >> 8 == s->serial;
}

uint16_t mbe_seat_meet(struct mbe *e, struct mbe_seat *s, uint32_t *rank)
{
	const struct membox_fmt_group *g = &e->groups[s->group];
	uint32_t epoch = s->epoch;

	if (__atomic_load_n(&s->met, __ATOMIC_ACQUIRE) == epoch)
		return MEMBOX_ST_OK;
	for (*rank = 0; *rank < s->ranks; ++*rank)
		if ((MBE_LOAD(&g->seat[*rank].word) & MEMBOX_SEAT_STATE) == MEMBOX_SEAT_DEAD)
			return MEMBOX_ST_RANK_DEAD;
	for (*rank = 0; *rank < s->ranks; ++*rank) {
		uint64_t sits = MBE_LOAD(&g->seat[*rank].word);
		uint64_t state = MBE_LOAD(&s->at.seats[*rank].state);

		if (*rank != s->rank && state >> 32 != epoch)
			return MEMBOX_ST_AGAIN;
		__atomic_store_n(&s->sits[*rank], sits, __ATOMIC_RELAXED);
		__atomic_store_n(&s->known[*rank], (uint32_t)state, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&s->met, epoch, __ATOMIC_RELEASE);
	return MEMBOX_ST_OK;
}

static bool test_bit(const uint64_t *bits, uint32_t seq)
{
	return bits[seq % MBE_COLL_WINDOW / 64] >> seq % 64 & 1;
}

static void flip_bit(uint64_t *bits, uint32_t seq)
{
	bits[seq % MBE_COLL_WINDOW / 64] ^= 1ULL << seq % 64;
}

/* Says in the box where we are. */
static void publish(struct mbe *e, struct mbe_seat *s)
{
	__atomic_store_n(&s->known[s->rank], s->done, __ATOMIC_RELAXED);
	__atomic_store_n(&s->at.seats[s->rank].state, (uint64_t)s->epoch << 32 | s->done, __ATOMIC_SEQ_CST);
	MBE_STEP(e, "coll: seat stored");
}

uint16_t mbe_seat_begin(struct mbe *e, struct mbe_seat *s, uint32_t epoch, uint32_t seq)
{
	uint16_t status = MEMBOX_ST_OK;
	bool tell = false;

	pthread_mutex_lock(&e->exec->coll_lock);
	if (s->epoch != epoch) {
		if (s->inflight) {
			status = MEMBOX_ST_AGAIN;
		} else {
			s->epoch = epoch;
			s->done = 0;
			memset(s->begun, 0, sizeof(s->begun));
			memset(s->ended, 0, sizeof(s->ended));
			publish(e, s);
			tell = true;
		}
	}
	if (!status) {
		if (seq - s->done >= 1U << 31 || (seq - s->done < MBE_COLL_WINDOW && test_bit(s->begun, seq)))
			status = MEMBOX_ST_EXISTS;
		else if (seq - s->done >= MBE_COLL_WINDOW)
			status = MEMBOX_ST_BUSY;
	}
	if (!status) {
		flip_bit(s->begun, seq);
		s->inflight++;
	}
	pthread_mutex_unlock(&e->exec->coll_lock);
	if (tell)
		mbe_seat_tell(e, s);
	return status;
}

void mbe_seat_end(struct mbe *e, struct mbe_seat *s, uint32_t seq)
{
	uint32_t before;

	pthread_mutex_lock(&e->exec->coll_lock);
	before = s->done;
	flip_bit(s->ended, seq);
	while (test_bit(s->ended, s->done)) {
		flip_bit(s->ended, s->done);
		flip_bit(s->begun, s->done);
		s->done++;
	}
	if (s->done != before)
		publish(e, s);
	s->inflight--;
	pthread_mutex_unlock(&e->exec->coll_lock);
	mbe_seat_tell(e, s);
}

bool mbe_seat_all_below(struct mbe_seat *s, uint32_t seq, uint32_t *rank)
{
	for (*rank = 0; *rank < s->ranks; ++*rank) {
		uint32_t *known = &s->known[*rank];

		if ((int32_t)(__atomic_load_n(known, __ATOMIC_RELAXED) - seq) >= 0)
			continue;
		__atomic_store_n(known, (uint32_t)MBE_LOAD(&s->at.seats[*rank].state), __ATOMIC_RELAXED);
		if ((int32_t)(*known - seq) < 0)
			return false;
	}
	return true;
}

void mbe_seat_give_up(struct mbe *e, struct mbe_seat *s, uint32_t seq, uint16_t status, uint32_t rank)
{
	MBE_STORE(&s->at.seats[s->rank].gave_up, (uint64_t)seq << 32 | (uint64_t)status << 8 | rank);
	MBE_STEP(e, "coll: gave up");
}

bool mbe_seat_gave_up(const struct mbe_seat *s, uint32_t r, uint32_t seq, uint16_t *status, uint32_t *rank)
{
	uint64_t state = MBE_LOAD(&s->at.seats[r].state), last = MBE_LOAD(&s->at.seats[r].gave_up);

	if (state >> 32 != s->epoch || (int32_t)((uint32_t)state - seq) <= 0)
		return false;
	*status = last >> 32 == seq && (last >> 8 & 0xff) ? last >> 8 & 0xff : MEMBOX_ST_ABORTED;
	*rank = last >> 32 == seq ? last & 0xff : r;
	return true;
}

uint32_t mbe_seat_blame(const struct mbe *e, const struct mbe_seat *s, uint16_t *status)
{
	const struct membox_fmt_group *g = &e->groups[s->group];
	uint32_t r, left = s->rank;

	*status = MEMBOX_ST_BAD_EPOCH;
	for (r = 0; r < s->ranks; r++) {
		uint64_t sits = MBE_LOAD(&g->seat[r].word);

		if ((sits & MEMBOX_SEAT_STATE) == MEMBOX_SEAT_DEAD) {
			*status = MEMBOX_ST_RANK_DEAD;
			return r;
		}
		if (left == s->rank && ((sits & MEMBOX_SEAT_STATE) != MEMBOX_SEAT_LIVE ||
					(s->met == s->epoch && sits != s->sits[r])))
			left = r;
	}
	return left;
}

/* ---- sleeping and waking ---- */

void mbe_seat_tell(struct mbe *e, const struct mbe_seat *s)
{
	uint64_t parked = __atomic_load_n(&s->at.head->parked, __ATOMIC_SEQ_CST);

	while (parked) {
		uint32_t r = (uint32_t)__builtin_ctzll(parked);
		uint64_t sits;

		parked &= parked - 1;
		if (r >= s->ranks)
			return;
		sits = MBE_LOAD(&e->groups[s->group].seat[r].word);
		if ((sits >> MEMBOX_SEAT_PORT_SHIFT & 0xffff) < e->geo.ports)
			mbe_wake_port(e, (uint32_t)(sits >> MEMBOX_SEAT_PORT_SHIFT) & 0xffff);
	}
}

void mbe_seat_parks(struct mbe_seat *s, bool parks)
{
	uint64_t bit = 1ULL << s->rank;

	if (parks && !s->parked++)
		__atomic_fetch_or(&s->at.head->parked, bit, __ATOMIC_SEQ_CST);
	if (!parks && !--s->parked)
		__atomic_fetch_and(&s->at.head->parked, ~bit, __ATOMIC_SEQ_CST);
}
