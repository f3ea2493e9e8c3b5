/* SPDX-License-Identifier: MIT */
/*
 * train.h (private) - what the training layer's files share: the open training,
 * the model, the method table's row. One thread at a time, hence no locks.
 */
#ifndef MBT_TRAIN_H
#define MBT_TRAIN_H

#include <stdbool.h>

#include <membox/train.h>

#define MBT_TEXT 248	     /* of an error, the zero included; whole words */
#define MBT_JOB_BYTES 40     /* a job's name, the zero included: areas add to it */
#define MBT_MASTER 0
#define MBT_SECOND 1000000000LL

struct mbt_tensor {
	char name[MEMBOX_NAME_BYTES];
	void *w, *g;
	uint64_t first, count; /* elements */
};

/* All tensors lie one behind the other in one flat array of one type. */
struct mbt_model {
	enum membox_type type;
	uint64_t count; /* elements */
	size_t bytes;
	struct mbt_tensor *tensor;
	unsigned int tensors, room;
	void *w, *g;		   /* flat: the user's own memory when that is flat ... */
	void *copy_w, *copy_g;	   /* ... else these */
};

/* What happened to another member. */
enum mbt_member { MBT_JOINED, MBT_LEFT, MBT_DEAD, MBT_LATE };

/* An option: text that the user gave, or default, becomes a field of the method's state. */
enum mbt_kind { MBT_TEXT_OPTION, MBT_WHOLE, MBT_REAL, MBT_SECONDS };
struct mbt_option {
	const char *name, *help, *value;
	enum mbt_kind kind;
	size_t at;	 /* offset of char [MBT_JOB_BYTES], uint64_t, double or int64_t (ns) */
	double min, max; /* of numbers */
};

struct membox_train;

/* A row of the method table. Functions that may be NULL say so. */
struct mbt_method {
	const char *name, *summary;
	enum membox_updater updater;
	const struct mbt_option *options; /* ends with a row without name */
	size_t state_bytes;
	int (*start)(struct membox_train *t);		      /* has joined; weights reach all */
	int (*begin)(struct membox_train *t, uint64_t step);  /* 1, 0 or -errno */
	int (*ready)(struct membox_train *t, unsigned int tensor); /* may be NULL */
	int (*step)(struct membox_train *t, double lr);
	int (*member)(struct membox_train *t, enum mbt_member what, int rank); /* 0: go on */
	void (*stop)(struct membox_train *t);	/* after success: tell the others */
	void (*stats)(struct membox_train *t, struct membox_train_stats *stats); /* may be NULL */
	void (*leave)(struct membox_train *t);	/* gives all back, also after errors */
};

extern const struct mbt_method mbt_ps, mbt_ps_async, mbt_allreduce;
extern const struct mbt_method *const mbt_methods[];
extern const unsigned int mbt_nr_methods;

enum mbt_phase { MBT_OPEN, MBT_RUNNING, MBT_OVER };

struct membox_train {
	struct membox *box;
	struct membox_group *group;
	const struct mbt_method *method;
	void *state; /* method->state_bytes */
	enum mbt_phase phase;
	int rank, ranks; /* seats */
	int shares, share; /* -1: serves */
	struct mbt_model model;
	struct membox_train_stats stats;
	int error; /* sticky */
	char text[MBT_TEXT];
};

/* train.c: keeps the first error and its text (NULL: membox_error()); returns it. */
int mbt_fail(struct membox_train *t, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The last failed call of the core, as an error of this training. */
int mbt_fail_core(struct membox_train *t, int error, const char *doing);
int64_t mbt_now(void);

/* options.c: "name:a=1,b=2" to a method and its state. */
int mbt_choose(struct membox_train *t, const char *text);
int mbt_env_whole(struct membox_train *t, const char *name, long min, long max, long *value);

/* model.c */
int mbt_model_add(struct membox_train *t, const char *name, enum membox_type type, void *w,
		  void *g, uint64_t n);
int mbt_model_seal(struct membox_train *t); /* no more tensors: lays it out flat */
void mbt_model_free(struct mbt_model *m);
void mbt_model_gather_w(struct mbt_model *m); /* tensors to flat */
void mbt_model_gather_g(struct mbt_model *m, unsigned int tensor);
void mbt_model_scatter_w(struct mbt_model *m); /* flat to tensors */
void mbt_model_scatter_g(struct mbt_model *m);
char *mbt_model_describe(const struct mbt_model *m, const char *title); /* malloc()ed */
int mbt_model_compare(struct membox_train *t, const char *title, const char *theirs);

#endif /* MBT_TRAIN_H */
