// SPDX-License-Identifier: MIT
/*
 * model.c - the tensors of a model as one flat array: where each lies, copying
 * between the user's memory and the flat one (not needed when the user's is flat
 * already), and the text by which ranks compare their models.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

static const char *type_name(enum membox_type type)
{
	return type == MEMBOX_F64 ? "f64" : "f32";
}

int mbt_model_add(struct membox_train *t, const char *name, enum membox_type type, void *w,
		  void *g, uint64_t n)
{
	struct mbt_model *m = &t->model;
	struct mbt_tensor *tensor;
	const char *c;
	unsigned int i;

	if (!name || !*name || strlen(name) >= MEMBOX_NAME_BYTES)
		return mbt_fail(t, -EINVAL, "a tensor's name has 1 to %d characters",
				MEMBOX_NAME_BYTES - 1);
	for (c = name; *c; c++)
		if (*c < '!' || *c > '~')
			return mbt_fail(t, -EINVAL, "tensor '%s': its name has a blank or a character that is not ASCII",
					name);
	if (type != MEMBOX_F32 && type != MEMBOX_F64)
		return mbt_fail(t, -EINVAL, "tensor '%s': type must be F32 or F64", name);
	if (!w || !g || !n || n > SIZE_MAX / 16 || m->count > SIZE_MAX / 16)
		return mbt_fail(t, -EINVAL, "tensor '%s': needs weights, a gradient and 1 or more elements",
				name);
	if (m->tensors && type != m->type)
		return mbt_fail(t, -EINVAL, "tensor '%s' is %s and '%s' is %s: all tensors of a model have one type",
				name, type_name(type), m->tensor[0].name, type_name(m->type));
	for (i = 0; i < m->tensors; i++)
		if (!strcmp(m->tensor[i].name, name))
			return mbt_fail(t, -EINVAL, "tensor '%s' was added twice", name);
	if (m->tensors == m->room) {
		unsigned int room = m->room ? 2 * m->room : 16;

		tensor = realloc(m->tensor, room * sizeof(*tensor));
		if (!tensor)
			return mbt_fail(t, -ENOMEM, "tensor '%s': out of memory", name);
		m->tensor = tensor;
		m->room = room;
	}
	tensor = &m->tensor[m->tensors];
	*tensor = (struct mbt_tensor){ .w = w, .g = g, .first = m->count, .count = n };
	strcpy(tensor->name, name);
	m->type = type;
	m->count += n;
	return (int)m->tensors++;
}

/* Where all the tensors' memory is when it lies one behind the other, else NULL. */
static void *flat(const struct mbt_model *m, bool gradient)
{
	char *begin = gradient ? m->tensor[0].g : m->tensor[0].w;
	unsigned int i;

	for (i = 0; i < m->tensors; i++) {
		const struct mbt_tensor *tensor = &m->tensor[i];

		if ((char *)(gradient ? tensor->g : tensor->w) !=
		    begin + tensor->first * membox_type_size(m->type))
			return NULL;
	}
	return begin;
}

int mbt_model_seal(struct membox_train *t)
{
	struct mbt_model *m = &t->model;

	if (!m->tensors)
		return mbt_fail(t, -EINVAL, "membox_train_start: no tensor was added");
	m->bytes = m->count * membox_type_size(m->type);
	m->w = flat(m, false);
	m->g = flat(m, true);
	if (!m->w)
		m->w = m->copy_w = malloc(m->bytes);
	if (!m->g)
		m->g = m->copy_g = malloc(m->bytes);
	if (!m->w || !m->g)
		return mbt_fail(t, -ENOMEM, "a model of %zu bytes: out of memory", m->bytes);
	return 0;
}

void mbt_model_free(struct mbt_model *m)
{
	free(m->tensor);
	free(m->copy_w);
	free(m->copy_g);
	memset(m, 0, sizeof(*m));
}

static void *at(const struct mbt_model *m, void *base, const struct mbt_tensor *tensor)
{
	return (char *)base + tensor->first * membox_type_size(m->type);
}

void mbt_model_gather_w(struct mbt_model *m)
{
	unsigned int i;

	for (i = 0; m->copy_w && i < m->tensors; i++)
		memcpy(at(m, m->w, &m->tensor[i]), m->tensor[i].w,
		       m->tensor[i].count * membox_type_size(m->type));
}

void mbt_model_gather_g(struct mbt_model *m, unsigned int tensor)
{
	const struct mbt_tensor *x = &m->tensor[tensor];

	if (m->copy_g)
		memcpy(at(m, m->g, x), x->g, x->count * membox_type_size(m->type));
}

void mbt_model_scatter_w(struct mbt_model *m)
{
	unsigned int i;

	for (i = 0; m->copy_w && i < m->tensors; i++)
		memcpy(m->tensor[i].w, at(m, m->w, &m->tensor[i]),
		       m->tensor[i].count * membox_type_size(m->type));
}

void mbt_model_scatter_g(struct mbt_model *m)
{
	unsigned int i;

	for (i = 0; m->copy_g && i < m->tensors; i++)
		memcpy(m->tensor[i].g, at(m, m->g, &m->tensor[i]),
		       m->tensor[i].count * membox_type_size(m->type));
}

/* "title\n", then a line "name type count\n" a tensor. */
char *mbt_model_describe(const struct mbt_model *m, const char *title)
{
	size_t size = strlen(title) + 2 + m->tensors * (MEMBOX_NAME_BYTES + 32), used;
	char *text = malloc(size);
	unsigned int i;

	if (!text)
		return NULL;
	used = (size_t)sprintf(text, "%s\n", title);
	for (i = 0; i < m->tensors; i++)
		used += (size_t)sprintf(text + used, "%s %s %" PRIu64 "\n", m->tensor[i].name,
					type_name(m->type), m->tensor[i].count);
	return text;
}

/* The line at *text without its end, "" at the end of the text. Goes on to the next. */
static void next_line(const char **text, char *line, size_t size)
{
	size_t n = strcspn(*text, "\n");

	snprintf(line, size, "%.*s", (int)n, *text);
	*text += n + ((*text)[n] == '\n');
}

/* Where our model is not what the master wrote, an error that names the tensor. */
int mbt_model_compare(struct membox_train *t, const char *title, const char *theirs)
{
	char *ours = mbt_model_describe(&t->model, title);
	char a[MEMBOX_NAME_BYTES + 32], b[MEMBOX_NAME_BYTES + 32];
	const char *x = ours, *y = theirs;
	bool first = true;

	if (!ours)
		return mbt_fail(t, -ENOMEM, "comparing models: out of memory");
	do {
		next_line(&x, a, sizeof(a));
		next_line(&y, b, sizeof(b));
		if (!strcmp(a, b))
			first = false;
		else if (first)
			mbt_fail(t, -EPROTOTYPE, "rank %d runs \"%s\", rank %d \"%s\"", t->rank, a,
				 MBT_MASTER, b);
		else if (!*a || !*b)
			mbt_fail(t, -EPROTOTYPE, "tensor \"%s\" of rank %d is not in the model of rank %d",
				 *a ? a : b, *a ? t->rank : MBT_MASTER, *a ? MBT_MASTER : t->rank);
		else
			mbt_fail(t, -EPROTOTYPE, "tensors differ: rank %d has \"%s\", rank %d has \"%s\"",
				 t->rank, a, MBT_MASTER, b);
	} while (!t->error && *a);
	free(ours);
	return t->error;
}
