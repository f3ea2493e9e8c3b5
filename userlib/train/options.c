// SPDX-License-Identifier: MIT
/*
 * options.c - the method table, and how "name:option=value,..." picks a row of
 * it and fills the fields that its options name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

const struct mbt_method *const mbt_methods[] = { &mbt_ps, &mbt_ps_async, &mbt_allreduce };
const unsigned int mbt_nr_methods = sizeof(mbt_methods) / sizeof(mbt_methods[0]);

#define MAX_METHOD_TEXT 512

/* Appends the names of a table's rows to text, for messages. */
static void append(char *text, size_t size, const char *name)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
}

static int bad_option(struct membox_train *t, const struct mbt_method *m, const char *name)
{
	char known[MBT_TEXT / 2] = "";
	const struct mbt_option *o;

	for (o = m->options; o->name; o++)
		append(known, sizeof(known), o->name);
	return mbt_fail(t, -EINVAL, "method %s has no option '%s': it has %s", m->name, name, known);
}

static int set_text(struct membox_train *t, const struct mbt_option *o, const char *value)
{
	const char *c;

	if (!*value || strlen(value) >= MBT_JOB_BYTES)
		return mbt_fail(t, -EINVAL, "option %s: has 1 to %d characters", o->name,
				MBT_JOB_BYTES - 1);
	for (c = value; *c; c++)
		if (*c < '!' || *c > '~')
			return mbt_fail(t, -EINVAL, "option %s: '%s' has a character that names may not have",
					o->name, value);
	strcpy((char *)t->state + o->at, value);
	return 0;
}

static int set_option(struct membox_train *t, const struct mbt_option *o, const char *value)
{
	char *field = (char *)t->state + o->at, *end;
	double v;

	if (o->kind == MBT_TEXT_OPTION)
		return set_text(t, o, value);
	v = strtod(value, &end);
	if (end == value || *end || !(v >= o->min && v <= o->max) ||
	    (o->kind == MBT_WHOLE && v != (double)(uint64_t)v))
		return mbt_fail(t, -EINVAL, "option %s=%s: wants %s number from %g to %g", o->name,
				value, o->kind == MBT_WHOLE ? "a whole" : "a", o->min, o->max);
	if (o->kind == MBT_WHOLE)
		*(uint64_t *)(void *)field = (uint64_t)v;
	else if (o->kind == MBT_SECONDS)
		*(int64_t *)(void *)field = (int64_t)(v * (double)MBT_SECOND);
	else
		*(double *)(void *)field = v;
	return 0;
}

/* One "name=value". text is changed. */
static int parse_option(struct membox_train *t, char *text)
{
	char *value = strchr(text, '=');
	const struct mbt_option *o;

	if (value)
		*value++ = 0;
	for (o = t->method->options; o->name && strcmp(o->name, text); o++)
		;
	if (!o->name)
		return bad_option(t, t->method, text);
	if (!value)
		return mbt_fail(t, -EINVAL, "option %s of method %s wants a value: %s=%s", text,
				t->method->name, text, o->value);
	return set_option(t, o, value);
}

int mbt_choose(struct membox_train *t, const char *text)
{
	char copy[MAX_METHOD_TEXT], known[MBT_TEXT / 2] = "";
	const struct mbt_option *o;
	char *options, *next;
	unsigned int i;

	if (strlen(text) >= sizeof(copy))
		return mbt_fail(t, -EINVAL, "the method's text is over %d characters",
				MAX_METHOD_TEXT - 1);
	strcpy(copy, text);
	options = strchr(copy, ':');
	if (options)
		*options++ = 0;
	for (i = 0; i < mbt_nr_methods && strcmp(mbt_methods[i]->name, copy); i++)
		append(known, sizeof(known), mbt_methods[i]->name);
	if (i == mbt_nr_methods)
		return mbt_fail(t, -EINVAL, "there is no method '%.60s': there are %s", copy, known);
	t->method = mbt_methods[i];
	t->state = calloc(1, t->method->state_bytes);
	if (!t->state)
		return mbt_fail(t, -ENOMEM, "out of memory");
	for (o = t->method->options; o->name; o++)
		if (set_option(t, o, o->value))
			return t->error;
	for (; options && *options; options = next) {
		next = strchr(options, ',');
		if (next)
			*next++ = 0;
		if (parse_option(t, options))
			return t->error;
	}
	return 0;
}

int mbt_env_whole(struct membox_train *t, const char *name, long min, long max, long *value)
{
	const char *text = getenv(name);
	char *end;

	if (!text || !*text)
		return mbt_fail(t, -EINVAL, "%s is not set: no ranks in the configuration either",
				name);
	*value = strtol(text, &end, 10);
	if (*end || *value < min || *value > max)
		return mbt_fail(t, -EINVAL, "%s=%s: wants a whole number from %ld to %ld", name,
				text, min, max);
	return 0;
}
