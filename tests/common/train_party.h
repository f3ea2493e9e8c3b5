/* SPDX-License-Identifier: MIT */
/*
 * train_party.h - several ranks of one training as threads of a test, each with
 * a port of its own on one box file, and the reference that they must equal.
 *
 * The gradients are made up so that the order of adding them matters: every
 * worker's are of another magnitude, and depend on the weights.
 */
#ifndef TESTS_TRAIN_PARTY_H
#define TESTS_TRAIN_PARTY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <membox/train.h>

#define PARTY_MAX 5
#define PARTY_A 1000 /* elements of tensor "a", ... */
#define PARTY_B 37   /* ... and of "b" */
#define PARTY_COUNT (PARTY_A + PARTY_B)
#define PARTY_BYTES (PARTY_COUNT * sizeof(float))
#define PARTY_STEPS 12
#define PARTY_LR 0.05
#define PARTY_BOX_BYTES (8ULL << 20)

struct party;

/* What one rank is told, and what came of it. */
struct rank {
	struct party *party;
	int seat;
	unsigned int delay_us;	   /* before each step */
	unsigned int steps;	   /* then it closes */
	double lr;		   /* 0: PARTY_LR */
	uint64_t count_b;	   /* elements of "b"; 0: PARTY_B */
	unsigned int stall_step;   /* before this step it sleeps ... */
	unsigned int stall_us;	   /* ... so long, ... */
	const int *stall_until;	   /* ... and until this is not 0 */
	bool flat;		   /* tensors one behind the other: no copies in the library */

	int ended;		   /* 1 when the rank is closed; for others that stall until then */
	int error;		   /* of close */
	char text[256];
	float w[PARTY_COUNT];
	uint64_t hash[PARTY_STEPS]; /* of the weights after each step */
	struct membox_train_stats stats;
	uint64_t counter[MEMBOX_NR_COUNTERS]; /* after the last step, before closing */
	uint64_t started[MEMBOX_NR_COUNTERS]; /* after start */
	pthread_t thread;
};

struct party {
	char path[64], uri[80], method[128];
	unsigned int ranks;
	struct rank rank[PARTY_MAX];
	pthread_barrier_t all_stepped; /* workers that made all their steps meet here */
	bool meet;
};

static inline uint64_t party_hash(const float *w)
{
	const unsigned char *at = (const unsigned char *)w;
	uint64_t h = 0xcbf29ce484222325ULL;
	size_t i;

	for (i = 0; i < PARTY_BYTES; i++)
		h = (h ^ at[i]) * 0x100000001b3ULL;
	return h;
}

static inline void party_first_weights(float *w)
{
	unsigned int i;

	for (i = 0; i < PARTY_COUNT; i++)
		w[i] = 1.0f / (float)(i + 3);
}

static inline void party_gradient(const float *w, float *g, uint64_t step, int share)
{
	static const float scale[] = { 1e-4f, 3.3f, 0.07f, 1.1f };
	unsigned int i;

	for (i = 0; i < PARTY_COUNT; i++)
		g[i] = (w[i] - 0.01f * (float)((i * 7 + step) % 11)) * scale[share % 4] +
		       scale[share % 4] / (float)(i + step + 1 + (uint64_t)share);
}

/* One process: each share's gradient by itself, folded in that order. */
static inline void party_fold(const int *order, int shares, unsigned int steps, double lr,
			      float *w)
{
	static float g[PARTY_MAX][PARTY_COUNT];
	unsigned int s, i;
	int k;

	party_first_weights(w);
	for (s = 0; s < steps; s++) {
		for (k = 0; k < shares; k++)
			party_gradient(w, g[k], s, k);
		for (i = 0; i < PARTY_COUNT; i++) {
			float sum = (float)(1.0 / shares) * g[order[0]][i];

			for (k = 1; k < shares; k++) {
				float c = (float)(1.0 / shares) * g[order[k]][i];

				sum = sum + c;
			}
			w[i] = (float)-lr * sum + w[i];
		}
	}
}

static inline void party_counters(struct membox_train *t, uint64_t *c)
{
	if (membox_train_box(t))
		membox_counters(membox_train_box(t), c);
}

/* One step of a rank, whose tensors are at a and b, their gradients at ga and gb. */
static inline int party_step(struct rank *r, struct membox_train *t, uint64_t s, float *a,
			     float *b, float *ga, float *gb)
{
	float w[PARTY_COUNT], g[PARTY_COUNT];
	int rc;

	if (r->delay_us)
		usleep(r->delay_us);
	if (s == r->stall_step) {
		usleep(r->stall_us);
		while (r->stall_until && !__atomic_load_n(r->stall_until, __ATOMIC_ACQUIRE))
			usleep(1000);
	}
	memcpy(w, a, PARTY_A * sizeof(float));
	memcpy(w + PARTY_A, b, PARTY_B * sizeof(float));
	party_gradient(w, g, s, membox_train_rank(t));
	memcpy(ga, g, PARTY_A * sizeof(float));
	memcpy(gb, g + PARTY_A, PARTY_B * sizeof(float));
	rc = membox_train_step(t, r->lr > 0 ? r->lr : PARTY_LR);
	if (rc || s >= PARTY_STEPS)
		return rc;
	memcpy(w, a, PARTY_A * sizeof(float));
	memcpy(w + PARTY_A, b, PARTY_B * sizeof(float));
	__atomic_store_n(&r->hash[s], party_hash(w), __ATOMIC_RELAXED);
	return 0;
}

static inline void *party_rank(void *arg)
{
	struct rank *r = arg;
	struct party *p = r->party;
	struct membox_train_config config = {
		.size = sizeof(config), .rank = r->seat, .ranks = p->ranks,
		.box = p->uri, .method = p->method,
	};
	/* w and g as one array each, or with a hole: the library then copies. */
	static const size_t hole = 64;
	float *w = calloc(PARTY_COUNT + hole, sizeof(float));
	float *g = calloc(PARTY_COUNT + hole, sizeof(float));
	float *b = w + PARTY_A + (r->flat ? 0 : hole);
	float *gb = g + PARTY_A + (r->flat ? 0 : hole);
	struct membox_train *t;
	uint64_t s;

	party_first_weights(r->w);
	if (r->seat != 0)
		memset(r->w, 0, sizeof(r->w)); /* rank 0's must reach all */
	memcpy(w, r->w, PARTY_A * sizeof(float));
	memcpy(b, r->w + PARTY_A, PARTY_B * sizeof(float));
	membox_train_open(&config, &t);
	membox_train_tensor(t, "a", MEMBOX_F32, w, g, PARTY_A);
	membox_train_tensor(t, "b", MEMBOX_F32, b, gb, r->count_b ? r->count_b : PARTY_B);
	membox_train_start(t);
	party_counters(t, r->started);
	for (s = 0; (r->seat == 0 || s < r->steps) && membox_train_begin(t, s) > 0; s++)
		party_step(r, t, s, w, b, g, gb);
	if (p->meet && r->seat != 0)
		pthread_barrier_wait(&p->all_stepped);
	party_counters(t, r->counter);
	r->stats.size = sizeof(r->stats);
	membox_train_stats(t, &r->stats);
	r->error = membox_train_close(t);
	if (r->error)
		snprintf(r->text, sizeof(r->text), "%s", membox_error());
	memcpy(r->w, w, PARTY_A * sizeof(float));
	memcpy(r->w + PARTY_A, b, PARTY_B * sizeof(float));
	__atomic_store_n(&r->ended, 1, __ATOMIC_RELEASE);
	free(w);
	free(g);
	return NULL;
}

/* A box, and `workers` of them beside the master, all set to PARTY_STEPS steps. */
static inline void party_make(struct party *p, unsigned int workers, const char *method)
{
	struct membox_format_opts opts = { .size = sizeof(opts), .bytes = PARTY_BOX_BYTES,
					   .flags = MEMBOX_FORMAT_FORCE };
	unsigned int r;

	memset(p, 0, sizeof(*p));
	snprintf(p->path, sizeof(p->path), "%s/membox-train-%d",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
	snprintf(p->uri, sizeof(p->uri), "file:%s", p->path);
	snprintf(p->method, sizeof(p->method), "%s", method);
	unlink(p->path);
	if (membox_format(p->path, &opts))
		fail_msg("format: %s", membox_error());
	p->ranks = workers + 1;
	pthread_barrier_init(&p->all_stepped, NULL, workers);
	for (r = 0; r < p->ranks; r++)
		p->rank[r] = (struct rank){ .party = p, .seat = (int)r, .steps = PARTY_STEPS,
					    .flat = r % 2 };
}

static inline void party_start(struct party *p, unsigned int first)
{
	unsigned int r;

	for (r = first; r < p->ranks; r++)
		assert_int_equal(pthread_create(&p->rank[r].thread, NULL, party_rank, &p->rank[r]), 0);
}

static inline void party_join(struct party *p, unsigned int first)
{
	unsigned int r;

	for (r = first; r < p->ranks; r++)
		pthread_join(p->rank[r].thread, NULL);
}

static inline void party_run(struct party *p)
{
	party_start(p, 0);
	party_join(p, 0);
}

static inline void party_end(struct party *p)
{
	pthread_barrier_destroy(&p->all_stepped);
	unlink(p->path);
}

static inline void party_assert_good(const struct party *p)
{
	unsigned int r;

	for (r = 0; r < p->ranks; r++)
		if (p->rank[r].error)
			fail_msg("rank %u: %s (%d)", r, p->rank[r].text, p->rank[r].error);
}

/* Every rank but those in `but` (a bit each) ended with that error and those words. */
static inline void party_assert_bad(const struct party *p, unsigned int but, int error,
				    const char *words)
{
	bool wrong = false;
	unsigned int r;

	for (r = 0; r < p->ranks && r < PARTY_MAX; r++) {
		const struct rank *x = &p->rank[r];

		if (but & 1u << r)
			continue;
		if (x->error != error || !strstr(x->text, words))
			wrong = true;
	}
	for (r = 0; wrong && r < p->ranks; r++)
		print_message("# rank %u: %d \"%s\"\n", r, p->rank[r].error, p->rank[r].text);
	if (wrong)
		fail_msg("not all ended with %d \"...%s...\"", error, words);
}

#endif /* TESTS_TRAIN_PARTY_H */
