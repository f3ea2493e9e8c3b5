/* SPDX-License-Identifier: MIT */
/*
 * mnist.h - the pieces of the example trainer: its options, one training run,
 * and what is reported of it.
 */
#ifndef EXAMPLES_MNIST_H
#define EXAMPLES_MNIST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <membox/train.h>

#include "data.h"
#include "mlp.h"

#define MAX_EPOCHS 1000

struct options {
	const char *box, *method;
	int rank; /* seat, MEMBOX_RANK_ANY */
	unsigned int ranks;
	enum data_kind data;
	const char *path;
	unsigned int train, test, epochs, batch, hidden, pause_ms;
	double lr;
	uint64_t seed;
	const char *order; /* local: fold shares in this order */
	const char *json, *subset;
};

/* Reads the command line. 0: go on, else main's answer + 1. */
int options_read(struct options *o, int argc, char **argv);

struct run {
	const struct options *o;
	struct data_set train, test;
	struct mlp mlp;
	unsigned int shares;
	int share;		     /* -1: serves */
	unsigned int steps_an_epoch, steps;
	const char *who;	     /* for progress lines */

	uint64_t step;		     /* done */
	uint64_t samples;	     /* of this process */
	double loss[MAX_EPOCHS];     /* mean an epoch, of this process' share */
	uint64_t weights[MAX_EPOCHS]; /* hash after the epoch */
	unsigned int epochs_done;
	double started, seconds;     /* of training */
	unsigned int correct;	     /* of the test samples */

	struct membox_train_stats stats;
	uint64_t counter[MEMBOX_NR_COUNTERS]; /* of the port, since the program began */
	uint64_t serve_bytes[2];     /* master: payload that serving moved, in and out */

	double shown;		     /* report.c: when a line was last shown */
	uint64_t shown_bytes;
};

/* Sets all that follows from the options and the number of shares. */
int run_prepare(struct run *run, unsigned int shares, int share);
/* Mean gradient of this step's samples of a share; returns the sum of losses. */
double run_gradient(struct run *run, uint64_t step, unsigned int share);
/* The learning rate of a step: falls evenly from epoch to epoch. */
double run_lr(const struct run *run, uint64_t step);
/* After each step: counts, progress, the epoch's end. */
void run_stepped(struct run *run, double loss_sum, unsigned int samples, uint64_t bytes);
void run_test(struct run *run);
void run_free(struct run *run);

/* local.c: the reference of "ps": one process, each share's gradient, folded in order. */
int local_run(struct run *run);

/* report.c */
double report_now(void);
void report_progress(struct run *run, double loss, uint64_t bytes, bool epoch_over);
void report_clear(void); /* the live line, before other output */
void report_summary(const struct run *run);
int report_json(const struct run *run); /* 0, or -1 after a line on standard error */

#endif
