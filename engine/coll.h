/* SPDX-License-Identifier: MIT */
/*
 * coll.h - what the files of collectives share: a group's pages in the box, the
 * seat that a context of this port has in it, and one collective on its way.
 *
 * coll_seat.c	pages given to a group, seats, epochs, which slots are free
 * coll.c	one collective from its first look to its end; the outcome
 * coll_data.c	its bytes: blocks, staging, pieces, what is folded
 *
 * A collective belongs to the thread that runs it; parked, to e->exec->lock.
 * x->coll_lock guards the list of seats and, in a seat, which collectives have
 * begun and ended. It is a leaf. Nothing is waited for under it.
 */
#ifndef MBE_COLL_H
#define MBE_COLL_H

#include "exec.h"

#define MBE_COLL_WINDOW 1024U /* collectives of a seat that may be on their way */

/* Where a group's pages are: checked, private. */
struct mbe_coll_pages {
	struct membox_fmt_coll *head;
	struct membox_fmt_coll_seat *seats; /* [ranks] */
	uint8_t *blocks;
	uint8_t *staging;
	uint32_t piece; /* bytes */
};

struct mbe_seat {
	struct mbe_seat *next;
	uint32_t group; /* index; key, with ... */
	unsigned int context; /* ... this one */
	uint64_t serial; /* of the group that the rest is about */
	uint64_t seat_word; /* as the group has it for us */
	uint32_t rank, ranks;
	struct mbe_coll_pages at;

	/* coll_lock */
	bool leaving;	   /* nothing begins any more */
	uint32_t users;	   /* collectives, also those that have not begun */
	uint32_t epoch;	   /* that we are in; 0: none yet */
	uint32_t inflight; /* begun in it and not ended */
	uint32_t done;	   /* all below ended */
	uint64_t begun[MBE_COLL_WINDOW / 64], ended[MBE_COLL_WINDOW / 64];
	struct mbe_coll *pool; /* not in use */

	uint32_t parked; /* of ours; under e->exec->lock */

	/* atomic */
	uint32_t met;	 /* the epoch in which all others were seen */
	uint32_t known[MEMBOX_MAX_RANKS]; /* their `done`, at least */
	uint64_t sits[MEMBOX_MAX_RANKS];  /* words of their seats when they were met */
};

enum mbe_coll_phase {
	MBE_COLL_ENTER, /* into the epoch, ours and then all others' */
	MBE_COLL_SLOT,	/* waits for its slot, then for staging */
	MBE_COLL_FLOW,	/* its entry is there for all to see */
	MBE_COLL_TAKE,	/* small: committed */
	MBE_COLL_OVER
};

/* Memory that is read or written at any place: host vectors, or a piece of the box. */
struct mbe_coll_mem {
	const struct iovec *v;
	struct iovec one;
	unsigned int n;
	unsigned int i;	 /* where the last look ended ... */
	uint64_t before; /* ... bytes before it */
	uint64_t bytes;	 /* 0: there is no such side */
};

struct mbe_coll {
	struct mbe_coll *next; /* of the seat's pool */
	struct mbe_seat *seat;
	struct mbe_cmd *cmd;
	enum mbe_coll_phase phase;
	bool began;    /* counted in the seat */
	bool small;
	uint16_t status; /* how it ended, */
	uint64_t result; /* ... because of which rank */
	uint32_t detail;
	uint32_t epoch, seq, slot, root;
	uint64_t tag;
	struct mbe_operand op[2];
	bool held[2];
	struct mbe_coll_mem send, recv;
	uint32_t ssize, dsize;

	/* not small */
	uint64_t count;	 /* elements that chunks are cut from */
	uint32_t each;	 /* elements of a chunk (REDUCE_SCATTER: of each share in it) */
	uint32_t chunks, staged, reduced, taken;
	bool met, counted; /* all entries were seen and fit; we are in the outcome's count */

	/* p1 as a destination */
	struct mbe_run run;
	const uint8_t *from; /* what is written next, and where */
	uint64_t from_at;
	uint64_t got; /* bytes received */
	bool writes, writing; /* p1 is where it receives; its version has begun */
	uint16_t failed; /* OK, or why p1 could not be written */
};

/* ---- coll_seat.c ---- */

/* Pages of a group, from its word. False: the word is nonsense. */
bool mbe_coll_place(const struct mbe *e, uint64_t word, uint32_t ranks, struct mbe_coll_pages *at);
/* A collective on a context's seat, all zero. OK, BAD_GROUP, NO_SPACE, CORRUPT, NO_MEMORY. */
uint16_t mbe_coll_new(struct mbe *e, unsigned int context, uint32_t handle, struct mbe_coll **out);
void mbe_coll_free(struct mbe *e, struct mbe_coll *c);
/* Is its group's epoch still that one? */
bool mbe_seat_current(const struct mbe *e, const struct mbe_seat *s, uint32_t epoch);
/* Does everybody have his seat, in this epoch? *rank: who does not; DEAD: RANK_DEAD. */
uint16_t mbe_seat_meet(struct mbe *e, struct mbe_seat *s, uint32_t *rank);
/* OK, AGAIN: an older epoch's are on their way; EXISTS, BUSY: seq is no new one, too far ahead. */
uint16_t mbe_seat_begin(struct mbe *e, struct mbe_seat *s, uint32_t epoch, uint32_t seq);
void mbe_seat_end(struct mbe *e, struct mbe_seat *s, uint32_t seq);
/* Have all ranks ended what is below seq? If not, *rank is one that has not. */
bool mbe_seat_all_below(struct mbe_seat *s, uint32_t seq, uint32_t *rank);
/* It ended one of ours before others could see it; they find out: has rank r done so, and why? */
void mbe_seat_give_up(struct mbe *e, struct mbe_seat *s, uint32_t seq, uint16_t status, uint32_t rank);
bool mbe_seat_gave_up(const struct mbe_seat *s, uint32_t r, uint32_t seq, uint16_t *status, uint32_t *rank);
/* Who is to be blamed for an epoch that is over: *status, the rank. */
uint32_t mbe_seat_blame(const struct mbe *e, const struct mbe_seat *s, uint16_t *status);
/* Something changed: wakes those ranks that sleep. After a sequentially consistent store. */
void mbe_seat_tell(struct mbe *e, const struct mbe_seat *s);
/* One more of ours sleeps, or one less. With e->exec->lock. */
void mbe_seat_parks(struct mbe_seat *s, bool parks);

static inline struct membox_fmt_coll_entry *mbe_coll_entry(const struct mbe_seat *s, uint32_t slot,
							   uint32_t rank)
{
	return (void *)(s->at.blocks + ((uint64_t)slot * s->ranks + rank) * MEMBOX_COLL_BLOCK);
}

static inline struct membox_fmt_coll_entry *mbe_coll_mine(const struct mbe_coll *c)
{
	return mbe_coll_entry(c->seat, c->slot, c->seat->rank);
}

/* ---- coll.c ---- */

/* Ends it for everybody, if it has not ended: the outcome. */
void mbe_coll_decide(struct mbe *e, struct mbe_coll *c, uint16_t status, uint32_t rank);

/* ---- coll_data.c ---- */

/* Cuts it into chunks; nothing of the group is touched. */
void mbe_coll_plan(struct mbe_coll *c);
/* What a rank sends, into its block; and its result, out of all blocks. */
void mbe_coll_put_small(struct mbe *e, struct mbe_coll *c);
uint16_t mbe_coll_get_small(struct mbe *e, struct mbe_coll *c);
/* One piece of work that can be done now; false: none. */
bool mbe_coll_work(struct mbe *e, struct mbe_coll *c);
bool mbe_coll_has_work(const struct mbe_coll *c);
/* Nothing more is written to where it receives. */
void mbe_coll_close(struct mbe *e, struct mbe_coll *c);

#endif /* MBE_COLL_H */
