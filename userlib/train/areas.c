// SPDX-License-Identifier: MIT
/*
 * areas.c - the parameter servers' areas: the master makes them, gives them
 * their first contents and grants their keys; workers take the keys out of their
 * mailbox and attach. Leaving releases all, and the master deletes them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ps.h"

#define CHANNEL_DEPTH (2 * MEMBOX_MAX_RANKS)
#define MAIL_SLICE (MBT_SECOND / 10)
#define MAIL_FULL_NAP (MBT_SECOND / 100)
#define LINGER (2 * MBT_SECOND)
#define WORD sizeof(int64_t)

static void area_name(const struct mbt_ps *ps, const char *what, char name[MEMBOX_NAME_BYTES])
{
	snprintf(name, MEMBOX_NAME_BYTES, "%s.%s", ps->job, what);
}

static void gradient_name(int rank, char what[16])
{
	snprintf(what, 16, "g%d", rank);
}

/* First line of the model's text: whoever reads another one runs something else. */
static void model_title(struct membox_train *t, char title[MEMBOX_NAME_BYTES])
{
	snprintf(title, MEMBOX_NAME_BYTES, "membox %s 1, %d ranks", t->method->name, t->ranks);
}

static int create(struct membox_train *t, const char *what, enum membox_type type,
		  uint64_t count, struct membox_param **param)
{
	struct membox_shape shape = { .type = type, .count = count };
	struct mbt_ps *ps = mbt_ps_of(t);
	char name[MEMBOX_NAME_BYTES];
	struct membox_key key;
	int rc;

	area_name(ps, what, name);
	rc = membox_param_create(t->box, name, &shape, MEMBOX_PARAM_EPHEMERAL, &key, param);
	if (rc == -EEXIST)
		return mbt_fail(t, rc, "job '%s' is running in this box already ('%s' exists): name another with job=",
				ps->job, name);
	return mbt_core(t, rc, "creating the areas");
}

static int create_model_areas(struct membox_train *t, bool with_sum)
{
	const struct mbt_model *m = &t->model;
	struct mbt_ps *ps = mbt_ps_of(t);
	char what[16];
	int r;

	if (create(t, "w", m->type, m->count, &ps->weights) ||
	    (with_sum && create(t, "sum", m->type, m->count, &ps->sum)))
		return t->error;
	for (r = 1; r < t->ranks; r++) {
		gradient_name(r, what);
		if (create(t, what, m->type, m->count, &ps->gradient[r]))
			return t->error;
	}
	return 0;
}

/* A full mailbox is emptied by its owner: try again until the deadline. */
static int grant(struct membox_train *t, struct membox_param *param, int rank,
		 int64_t deadline)
{
	const struct timespec nap = { .tv_nsec = MAIL_FULL_NAP };
	int rc;

	for (;;) {
		rc = membox_param_grant(param, t->group, rank);
		if ((rc != -ENFILE && rc != -EBUSY && rc != -EAGAIN) || mbt_now() > deadline)
			return mbt_core(t, rc, "granting keys");
		if (mbt_watch(t))
			return t->error;
		nanosleep(&nap, NULL);
	}
}

/* The control area, with the model's shape in it, comes first: errors go through it. */
static int serve_control(struct membox_train *t, int64_t deadline)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	char title[MEMBOX_NAME_BYTES], *text;
	uint64_t words, first = mbt_rank_word(t->ranks, 0);
	int64_t *copy;
	int rc, r;

	model_title(t, title);
	text = mbt_model_describe(&t->model, title);
	words = text ? strlen(text) / WORD + 1 : 0;
	copy = calloc(words, WORD);
	if (!text || !copy) {
		rc = mbt_fail(t, -ENOMEM, "describing the model: out of memory");
		goto out;
	}
	memcpy(copy, text, strlen(text));
	rc = create(t, "ctl", MEMBOX_I64, first + words, &ps->ctl);
	if (!rc)
		rc = mbt_core(t, membox_write(ps->ctl, first, words, copy),
			      "writing the model's shape");
	t->stats.sent += words * WORD;
	for (r = 1; !rc && r < t->ranks; r++)
		rc = grant(t, ps->ctl, r, deadline);
out:
	free(copy);
	free(text);
	return rc;
}

static int serve_areas(struct membox_train *t, bool with_sum, int64_t deadline)
{
	struct mbt_model *m = &t->model;
	struct mbt_ps *ps = mbt_ps_of(t);
	int rc, r;

	if (serve_control(t, deadline) || create_model_areas(t, with_sum))
		return t->error;
	mbt_model_gather_w(m);
	rc = membox_write(ps->weights, 0, m->count, m->w);
	if (mbt_core(t, rc, "writing the first weights"))
		return t->error;
	t->stats.sent += m->bytes;
	for (r = 1; r < t->ranks; r++)
		if (grant(t, ps->weights, r, deadline) ||
		    grant(t, ps->gradient[r], r, deadline))
			return t->error;
	return 0;
}

/* The field that an area of this name belongs in, NULL for other mail. */
static struct membox_param **wanted(struct membox_train *t, const struct membox_mail *mail)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	char name[MEMBOX_NAME_BYTES], what[16];

	if (strcmp(mail->group, ps->job))
		return NULL;
	gradient_name(t->rank, what);
	area_name(ps, what, name);
	if (!strcmp(name, mail->name))
		return &ps->gradient[t->rank];
	area_name(ps, "ctl", name);
	if (!strcmp(name, mail->name))
		return &ps->ctl;
	area_name(ps, "w", name);
	return strcmp(name, mail->name) ? NULL : &ps->weights;
}

/* Attaches what the mailbox brings until nothing lacks. */
static int attach_all(struct membox_train *t, int64_t deadline)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	struct membox_mail mail = { .size = sizeof(mail) };
	struct membox_param **param;
	int rc;

	while (!ps->ctl || !ps->weights || !ps->gradient[t->rank]) {
		rc = membox_mail_recv(t->box, MAIL_SLICE, &mail);
		if (rc == -ETIMEDOUT || rc == -EAGAIN) {
			if (mbt_watch(t))
				return t->error;
			if (mbt_now() > deadline)
				return t->method->member(t, MBT_LATE, MBT_MASTER);
			continue;
		}
		if (mbt_core(t, rc, "waiting for keys"))
			return t->error;
		param = wanted(t, &mail);
		if (param && !*param) {
			rc = membox_param_attach(t->box, mail.name, &mail.key, 0, param);
			if (mbt_core(t, rc, "attaching the areas"))
				return t->error;
			if (param == &ps->ctl)
				rc = membox_fetch_add(ps->ctl, MBT_CTL_SEATED, 1, NULL);
			if (mbt_core(t, rc, "telling that it is there"))
				return t->error;
		}
	}
	return 0;
}

static int read_model(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	uint64_t first = mbt_rank_word(t->ranks, 0), words;
	char title[MEMBOX_NAME_BYTES], *text;
	int rc;

	if (membox_param_count(ps->ctl) <= first)
		return mbt_fail(t, -EPROTOTYPE, "rank %d's control area is too short for %d ranks",
				MBT_MASTER, t->ranks);
	words = membox_param_count(ps->ctl) - first;
	text = calloc(words + 1, WORD);
	if (!text)
		return mbt_fail(t, -ENOMEM, "reading the model's shape: out of memory");
	rc = mbt_core(t, membox_read(ps->ctl, first, words, text, NULL),
		      "reading the model's shape");
	t->stats.received += words * WORD;
	model_title(t, title);
	if (!rc)
		rc = mbt_model_compare(t, title, text);
	free(text);
	return rc;
}

static int join_areas(struct membox_train *t, int64_t deadline)
{
	struct mbt_model *m = &t->model;
	struct mbt_ps *ps = mbt_ps_of(t);
	int rc;

	if (attach_all(t, deadline) || read_model(t))
		return t->error;
	rc = membox_param_subscribe(ps->weights, 1);
	if (mbt_core(t, rc, "subscribing to the weights"))
		return t->error;
	rc = membox_read(ps->weights, 0, m->count, m->w, NULL);
	if (mbt_core(t, rc, "reading the first weights"))
		return t->error;
	t->stats.received += m->bytes;
	mbt_model_scatter_w(m);
	rc = membox_fetch_add(ps->ctl, MBT_CTL_READY, 1, NULL);
	return mbt_core(t, rc, "telling that it is ready");
}

/* All begin from rank 0's weights: nobody steps before the last has read them. */
static int wait_until_ready(struct membox_train *t, int64_t deadline)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	struct membox_done done;
	struct membox_op op;
	int rc;

	membox_prep_wait_word(&op, ps->ctl, MBT_CTL_READY, MEMBOX_GE, t->shares,
			      ps->start_timeout);
	rc = membox_submit(ps->chan, &op, 1);
	if (mbt_core(t, rc == 0 ? -EAGAIN : rc, "waiting for all to be ready"))
		return t->error;
	rc = mbt_reap(t, deadline, &done, 1);
	if (rc == 0)
		return mbt_fail(t, -ETIMEDOUT, "not all ranks were ready within %.3g s",
				(double)ps->start_timeout / (double)MBT_SECOND);
	return rc < 0 ? rc : 0;
}

int mbt_areas_open(struct membox_train *t, bool with_sum)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t deadline = mbt_now() + ps->start_timeout;
	int rc, r;

	if (t->ranks < 2)
		return mbt_fail(t, -EINVAL, "method %s wants 2 ranks or more: rank %d serves, the others train",
				t->method->name, MBT_MASTER);
	rc = membox_group_join(t->box, ps->job, t->ranks, t->rank, ps->start_timeout, &t->group);
	if (rc)
		return mbt_fail(t, rc, "joining job '%s': %s", ps->job, membox_error());
	t->rank = membox_group_rank(t->group);
	t->shares = t->ranks - 1;
	t->share = t->rank - 1;
	for (r = 0; r < t->ranks; r++) {
		ps->seat[r] = MEMBOX_SEAT_LIVE;
		if (t->method->member(t, MBT_JOINED, r))
			return t->error;
	}
	rc = membox_chan_open(t->box, CHANNEL_DEPTH, &ps->chan);
	if (mbt_core(t, rc, "opening a channel"))
		return t->error;
	rc = t->rank == MBT_MASTER ? serve_areas(t, with_sum, deadline) : join_areas(t, deadline);
	if (!rc)
		rc = wait_until_ready(t, deadline);
	return mbt_tell(t, rc);
}

static void release(struct membox_train *t, struct membox_param *param)
{
	if (!param)
		return;
	if (t->rank == MBT_MASTER && !t->error)
		membox_param_destroy(param);
	membox_param_put(param);
}

/* After an error the others still read its text: the areas go with the last reference. */
void mbt_areas_leave(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int r;

	/* Who fails at the start stays until all can learn of it. */
	if (t->error && t->phase == MBT_OPEN && ps->ctl)
		membox_wait_word(ps->ctl, MBT_CTL_SEATED, MEMBOX_GE, t->shares, LINGER);
	if (ps->chan)
		membox_chan_close(ps->chan);
	for (r = 0; r < t->ranks; r++)
		release(t, ps->gradient[r]);
	release(t, ps->sum);
	release(t, ps->weights);
	release(t, ps->ctl);
}
