/* SPDX-License-Identifier: MIT */
/*
 * ps.h - what the two parameter servers share: their areas in the box, and the
 * control area by which master and workers tell each other where they are.
 *
 *	area		elements	who writes	who reads
 *	JOB.w		model		master		workers, each step
 *	JOB.g<r>	model		rank r		master, inside the box
 *	JOB.sum		model		master		master, inside the box (ps only)
 *	JOB.ctl		I64 words	all, atomics	all, waits; below
 *
 * All are keyed and EPHEMERAL: whatever way the ranks end, the box gets its
 * bytes back. Words are handed over in packets, so that the control area moves
 * no payload after start but the text of an error.
 */
#ifndef MBT_PS_H
#define MBT_PS_H

#include "train.h"

enum mbt_ctl_word {
	MBT_CTL_FAILED = 0,  /* rank + 1 | errno << 32 of the first who failed; claimed: -1 */
	MBT_CTL_UPDATES = 1, /* ps: of the weights; workers wait for their step */
	MBT_CTL_SEATED = 2,  /* workers that have attached this area */
	MBT_CTL_READY = 3,   /* ... and that have read the first weights */
	MBT_CTL_TEXT = 4,    /* MBT_TEXT bytes: what the first who failed says */
	MBT_CTL_RANKS = MBT_CTL_TEXT + MBT_TEXT / 8, /* MBT_CTL_RANK words each, then the model */
};
enum mbt_ctl_rank_word {
	MBT_RANK_PUSHED = 0,  /* gradients pushed << 1 | the learning rate changed; or DONE */
	MBT_RANK_APPLIED = 1, /* ps-async: of these, how many are in the weights */
	MBT_RANK_LR = 2,      /* binary64 */
	MBT_CTL_RANK = 3,     /* words a rank */
};
#define MBT_PUSHED_DONE (1LL << 62)
#define MBT_PUSHED_LR 1LL

struct mbt_worker {
	uint64_t steps; /* gradients taken */
	double lr;
	bool done;
};

struct mbt_ps {
	/* options */
	char job[MBT_JOB_BYTES];
	uint64_t steps; /* 0: until the trainer stops */
	double lr;
	int64_t timeout, start_timeout;

	struct membox_param *ctl, *weights, *sum;
	struct membox_param *gradient[MEMBOX_MAX_RANKS]; /* worker: its own */
	struct membox_chan *chan;
	bool told; /* the others know of the error, or it came from them */

	double lr_sent;			       /* worker: 0: none yet */
	struct mbt_worker worker[MEMBOX_MAX_RANKS]; /* master */
	uint8_t seat[MEMBOX_MAX_RANKS];	       /* enum membox_seat, last seen ... */
	int64_t watched;		       /* ... then */
};

extern const struct mbt_option mbt_ps_options[];

static inline struct mbt_ps *mbt_ps_of(struct membox_train *t)
{
	return t->state;
}

static inline uint64_t mbt_rank_word(int rank, enum mbt_ctl_rank_word word)
{
	return MBT_CTL_RANKS + (uint64_t)rank * MBT_CTL_RANK + word;
}

/* areas.c */
int mbt_areas_open(struct membox_train *t, bool with_sum); /* joins; weights reach all */
void mbt_areas_leave(struct membox_train *t);

/* watch.c */
int mbt_tell(struct membox_train *t, int rc); /* rc < 0: the others learn of it; returns rc */
int mbt_watch(struct membox_train *t);	      /* news of other members; 0: go on */
int mbt_ps_member(struct membox_train *t, enum mbt_member what, int rank);
/*
 * Takes up to max operations that are done, watching the others meanwhile. How
 * many, 0 when the deadline is over before there is one, or -errno.
 */
int mbt_reap(struct membox_train *t, int64_t deadline, struct membox_done *done,
	     unsigned int max);
int mbt_core(struct membox_train *t, int rc, const char *doing); /* rc < 0: an error */

/* worker.c */
int mbt_ps_begin(struct membox_train *t, uint64_t step);
int mbt_ps_push_pull(struct membox_train *t, double lr, uint64_t word, int64_t wanted);
void mbt_ps_stop(struct membox_train *t);
void mbt_ps_events(struct membox_train *t);
void mbt_ps_stats(struct membox_train *t, struct membox_train_stats *stats);

/* master.c */
int mbt_expect(struct membox_train *t, int rank); /* its next gradient: reaped as rank */
int mbt_arrived(struct membox_train *t, const struct membox_done *done);

#endif /* MBT_PS_H */
