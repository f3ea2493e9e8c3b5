// SPDX-License-Identifier: MIT
/*
 * train.c - the calls of <membox/train.h>: sticky errors, what may be called
 * when, and the method's functions behind them. Everything that is about one
 * method is in the method's files.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/internal.h"
#include "train.h"

#define DEFAULT_METHOD "ps"

int64_t mbt_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * MBT_SECOND + ts.tv_nsec;
}

int mbt_fail(struct membox_train *t, int error, const char *fmt, ...)
{
	va_list args;

	if (!t->error) {
		t->error = error;
		va_start(args, fmt);
		vsnprintf(t->text, sizeof(t->text), fmt, args);
		va_end(args);
	}
	return t->error;
}

int mbt_fail_core(struct membox_train *t, int error, const char *doing)
{
	return mbt_fail(t, error, "rank %d, %s: %s", t->rank, doing, membox_error());
}

/* What every call ends with: the sticky error is this thread's last one too. */
static int answer(struct membox_train *t, int rc)
{
	if (!t->error)
		return rc;
	return mb_fail(t->error, "%s", t->text);
}

/* What every call begins with. */
static int check(struct membox_train *t, bool phase_is_right, const char *call,
		 const char *rule)
{
	if (!t)
		return mb_fail(-ENOMEM, "%s: the training was not opened", call);
	if (!t->error && !phase_is_right)
		mbt_fail(t, -EINVAL, "%s: %s", call, rule);
	return answer(t, 0);
}

/* rank and ranks of config, or of the environment. */
static int read_seat(struct membox_train *t, const struct membox_train_config *config)
{
	long rank = MEMBOX_RANK_ANY, ranks = 0;
	int rc = 0;

	if (config && config->ranks) {
		rank = config->rank;
		ranks = config->ranks;
	} else {
		rc = mbt_env_whole(t, "MEMBOX_RANKS", 1, MEMBOX_MAX_RANKS, &ranks);
		if (!rc && getenv("MEMBOX_RANK"))
			rc = mbt_env_whole(t, "MEMBOX_RANK", MEMBOX_RANK_ANY,
					   MEMBOX_MAX_RANKS - 1, &rank);
	}
	if (rc)
		return rc;
	if (ranks < 1 || ranks > MEMBOX_MAX_RANKS)
		return mbt_fail(t, -EINVAL, "%ld ranks: there may be 1 to %d", ranks,
				MEMBOX_MAX_RANKS);
	if (rank < MEMBOX_RANK_ANY || rank >= ranks)
		return mbt_fail(t, -EINVAL, "rank %ld of %ld: must be 0 to %ld, or -1 for any",
				rank, ranks, ranks - 1);
	t->rank = (int)rank;
	t->ranks = (int)ranks;
	return 0;
}

MB_EXPORT int membox_train_open(const struct membox_train_config *config,
				struct membox_train **train)
{
	struct membox_train *t = calloc(1, sizeof(*t));
	const char *method = config ? config->method : NULL;
	int rc;

	*train = t;
	if (!t)
		return mb_fail(-ENOMEM, "membox_train_open: out of memory");
	t->rank = MEMBOX_RANK_ANY;
	t->share = -1;
	if (config && (config->size < sizeof(*config) || config->reserved))
		mbt_fail(t, -EINVAL, "membox_train_open: config.size is %u, not %zu, or reserved is not 0",
			 config->size, sizeof(*config));
	if (!method)
		method = getenv("MEMBOX_METHOD");
	if (!t->error && !mbt_choose(t, method && *method ? method : DEFAULT_METHOD) &&
	    !read_seat(t, config)) {
		rc = membox_open(config ? config->box : NULL, NULL, &t->box);
		if (rc)
			mbt_fail_core(t, rc, "opening the box");
	}
	return answer(t, 0);
}

MB_EXPORT int membox_train_tensor(struct membox_train *t, const char *name,
				  enum membox_type type, void *w, void *g, uint64_t n)
{
	int rc = check(t, t && t->phase == MBT_OPEN, "membox_train_tensor",
		       "tensors are added before membox_train_start");

	return rc ? rc : answer(t, mbt_model_add(t, name, type, w, g, n));
}

MB_EXPORT int membox_train_start(struct membox_train *t)
{
	int rc = check(t, t && t->phase == MBT_OPEN, "membox_train_start", "called twice");

	if (rc)
		return rc;
	if (!mbt_model_seal(t) && !t->method->start(t)) {
		t->phase = MBT_RUNNING;
		t->stats.constant_bytes = t->stats.sent + t->stats.received;
	}
	return answer(t, 0);
}

MB_EXPORT int membox_train_begin(struct membox_train *t, uint64_t step)
{
	int rc = check(t, t && t->phase != MBT_OPEN, "membox_train_begin",
		       "membox_train_start comes first");

	if (rc || t->phase == MBT_OVER)
		return rc;
	rc = t->method->begin(t, step);
	if (!rc)
		t->phase = MBT_OVER;
	return answer(t, rc);
}

MB_EXPORT int membox_train_ready(struct membox_train *t, int tensor)
{
	int rc = check(t, t && t->phase == MBT_RUNNING, "membox_train_ready",
		       "comes between membox_train_begin and membox_train_step");

	if (rc)
		return rc;
	if (tensor < 0 || (unsigned int)tensor >= t->model.tensors)
		return answer(t, mbt_fail(t, -EINVAL, "membox_train_ready: there is no tensor %d",
					  tensor));
	return answer(t, t->method->ready ? t->method->ready(t, (unsigned int)tensor) : 0);
}

MB_EXPORT int membox_train_step(struct membox_train *t, double lr)
{
	int64_t begun = mbt_now();
	int rc = check(t, t && t->phase == MBT_RUNNING && t->share >= 0, "membox_train_step",
		       "only after membox_train_begin answered 1");

	if (rc)
		return rc;
	rc = t->method->step(t, lr);
	t->stats.exchange_ns += (uint64_t)(mbt_now() - begun);
	return answer(t, rc);
}

MB_EXPORT int membox_train_rank(struct membox_train *t)
{
	return t ? t->share : -1;
}

MB_EXPORT int membox_train_ranks(struct membox_train *t)
{
	return t ? t->shares : 0;
}

MB_EXPORT struct membox *membox_train_box(struct membox_train *t)
{
	return t ? t->box : NULL;
}

MB_EXPORT int membox_train_stats(struct membox_train *t, struct membox_train_stats *stats)
{
	uint32_t size = stats->size;

	if (!t)
		return mb_fail(-ENOMEM, "membox_train_stats: the training was not opened");
	if (size < sizeof(*stats))
		return mb_fail(-EINVAL, "membox_train_stats: size is %u, not %zu", size,
			       sizeof(*stats));
	*stats = t->stats;
	stats->size = size;
	stats->seat = t->rank;
	stats->seats = (uint32_t)t->ranks;
	stats->shares = (uint32_t)t->shares;
	stats->model_bytes = t->model.bytes;
	if (t->method && t->method->stats && t->phase != MBT_OPEN)
		t->method->stats(t, stats);
	return 0;
}

MB_EXPORT int membox_train_close(struct membox_train *t)
{
	char text[MBT_TEXT];
	int error;

	if (!t)
		return mb_fail(-ENOMEM, "membox_train_close: the training was not opened");
	if (!t->error && t->phase != MBT_OPEN)
		t->method->stop(t);
	if (t->state)
		t->method->leave(t);
	if (t->group)
		membox_group_leave(t->group);
	if (t->box)
		membox_close(t->box);
	mbt_model_free(&t->model);
	free(t->state);
	error = t->error;
	memcpy(text, t->text, sizeof(text));
	free(t);
	return error ? mb_fail(error, "%s", text) : 0;
}

MB_EXPORT int membox_train_method(unsigned int method, struct membox_train_method *info)
{
	const struct mbt_method *m;

	if (info->size < sizeof(*info))
		return mb_fail(-EINVAL, "membox_train_method: size is %u, not %zu", info->size,
			       sizeof(*info));
	if (method >= mbt_nr_methods)
		return mb_fail(-ENOENT, "there are %u methods", mbt_nr_methods);
	m = mbt_methods[method];
	info->updater = m->updater;
	info->name = m->name;
	info->summary = m->summary;
	info->state_bytes = m->state_bytes;
	return 0;
}

MB_EXPORT int membox_train_method_option(unsigned int method, unsigned int index,
				   struct membox_train_option *option)
{
	const struct mbt_option *o;
	unsigned int i;

	if (option->size < sizeof(*option))
		return mb_fail(-EINVAL, "membox_train_method_option: size is %u, not %zu",
			       option->size, sizeof(*option));
	if (method >= mbt_nr_methods)
		return mb_fail(-ENOENT, "there are %u methods", mbt_nr_methods);
	o = mbt_methods[method]->options;
	for (i = 0; o->name && i < index; i++)
		o++;
	if (!o->name)
		return mb_fail(-ENOENT, "method %s has %u options", mbt_methods[method]->name, i);
	option->name = o->name;
	option->help = o->help;
	option->value = o->value;
	return 0;
}
