/* SPDX-License-Identifier: MIT */
/*
 * train.h - sharing the parameters of a model that several processes train.
 * The method is chosen when the program runs: "ps", "ps-async" and what later
 * versions add. docs/training.md says what each does, packet by packet.
 *
 *	membox_train_open(NULL, &t);
 *	membox_train_tensor(t, "w", MEMBOX_F32, w, g, n);     // once a tensor
 *	membox_train_start(t);
 *	for (s = 0; membox_train_begin(t, s) > 0; s++) {
 *		gradient(s, membox_train_rank(t), membox_train_ranks(t)); // w to g
 *		membox_train_step(t, lr);                                 // g to w
 *	}
 *	return membox_train_close(t);
 *
 * Errors are sticky: after the first one every call answers it again and does
 * nothing else, so a program may look at the last call only. membox_error()
 * then tells what happened, and to which rank. A membox_train belongs to one
 * thread at a time; memory of tensors must stay until membox_train_close.
 */
#ifndef MEMBOX_TRAIN_H
#define MEMBOX_TRAIN_H

#include <membox/membox.h>

#ifdef __cplusplus
/* A structure and a call may share a name here, as stat and stat() do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#endif

struct membox_train;

/* ---- training ---- */

#define MEMBOX_RANK_ANY (-1)

struct membox_train_config {
	uint32_t size;
	int32_t rank;	    /* seat of this process, 0 ... ranks - 1, or MEMBOX_RANK_ANY */
	uint32_t ranks;	    /* seats; 0: rank and ranks are those of the environment */
	uint32_t reserved;
	const char *box;    /* NULL: $MEMBOX */
	const char *method; /* "ps:timeout=10,job=a"; NULL: $MEMBOX_METHOD, or "ps" */
};

/*
 * Opens the box and reads the configuration: config, or for what it leaves out
 * (all of it when NULL) MEMBOX, MEMBOX_METHOD, MEMBOX_RANK and MEMBOX_RANKS of
 * the environment. *train is set in any case, also when an error comes back,
 * and wants membox_train_close; it is NULL only for -ENOMEM, and every call
 * below takes NULL for that. -EINVAL: method, option, rank or ranks is not usable.
 */
int membox_train_open(const struct membox_train_config *config, struct membox_train **train);

/*
 * Adds a tensor: n elements of weights at w, and of their gradient at g. All
 * ranks add the same ones in the same order; all tensors of a model have one
 * type, F32 or F64. Returns its number, from 0.
 */
int membox_train_tensor(struct membox_train *train, const char *name, enum membox_type type,
			void *w, void *g, uint64_t n);

/*
 * Joins the others, compares tensors (-EPROTOTYPE names the first that differs)
 * and gives every rank the weights of rank 0.
 */
int membox_train_start(struct membox_train *train);

/*
 * 1: compute the gradient of this step; 0: training is over; or -errno. A rank
 * that serves does it in here, and is told 0 when all others are done.
 */
int membox_train_begin(struct membox_train *train, uint64_t step);

/* Optional: the gradient of that tensor is final; the method may send it early. */
int membox_train_ready(struct membox_train *train, int tensor);

/* Exchanges gradients; when it returns, the weights are the updated ones. */
int membox_train_step(struct membox_train *train, double lr);

/*
 * Which share of the data is this process's: share membox_train_rank() of
 * membox_train_ranks(). A rank that only serves has share -1.
 */
int membox_train_rank(struct membox_train *train);
int membox_train_ranks(struct membox_train *train);

struct membox_train_stats {
	uint32_t size;
	int32_t seat;		 /* in the group: 0 is the parameter server's master */
	uint32_t seats;
	uint32_t shares;	 /* processes that train */
	uint64_t steps;		 /* exchanged by this process, or served */
	uint64_t updates;	 /* of the global weights that this process knows of */
	uint64_t model_bytes;	 /* of the weights */
	uint64_t constant_bytes; /* payload that start moved, all directions */
	uint64_t sent;		 /* payload bytes to the box, start included */
	uint64_t received;	 /* ... and from it */
	uint64_t exchange_ns;	 /* spent in membox_train_step, or in serving */
	uint64_t wait_ns;	 /* of that: waiting for others */
	uint64_t events;	 /* changes of the weights that an event told of ... */
	uint64_t coalesced;	 /* ... and that a later event stood for */
};

/* Fills stats, of which the caller set size. Takes the events that are there. */
int membox_train_stats(struct membox_train *train, struct membox_train_stats *stats);

/* The box it works in, for counters; NULL when it could not be opened. */
struct membox *membox_train_box(struct membox_train *train);

/* Tells the others that this rank is done, gives everything back. The sticky error, or 0. */
int membox_train_close(struct membox_train *train);

/* ---- what methods there are ---- */

enum membox_updater {
	MEMBOX_UPDATER_MASTER = 1, /* rank 0, which does nothing else */
	MEMBOX_UPDATER_METHOD = 2, /* the method, in every rank */
	MEMBOX_UPDATER_TRAINER = 3, /* every rank alike; step with lr 0: the program, from the mean in g */
};

struct membox_train_method {
	uint32_t size;
	uint32_t updater; /* enum membox_updater: who updates the weights */
	const char *name;
	const char *summary;
	uint64_t state_bytes; /* memory of its own a rank, tensors aside */
};

struct membox_train_option {
	uint32_t size;
	uint32_t reserved;
	const char *name;
	const char *help;
	const char *value; /* when it is not given */
};

/* Fill info, or option `index` of a method, of which the caller set size. -ENOENT: no more. */
int membox_train_method(unsigned int method, struct membox_train_method *info);
int membox_train_method_option(unsigned int method, unsigned int index,
			 struct membox_train_option *option);

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif /* MEMBOX_TRAIN_H */
