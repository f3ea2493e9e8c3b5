/* SPDX-License-Identifier: MIT */
/*
 * param.c - parameters: by name into handles, shapes, keys, and out again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define ATTACH_FLAGS MEMBOX_PARAM_RDONLY
#define MAKE_FLAGS (MEMBOX_PARAM_EXCL | MEMBOX_PARAM_MAPPABLE | MEMBOX_PARAM_EPHEMERAL | \
		    MEMBOX_PARAM_NOJOURNAL | MEMBOX_PARAM_RDONLY | MEMBOX_PARAM_CREATE)

/* ---- opening ---- */

static struct membox_param *make_param(struct membox *box, const struct membox_param_args *args)
{
	struct membox_param *param = calloc(1, sizeof(*param));

	if (!param)
		return NULL;
	param->box = box;
	atomic_init(&param->refs, 1);
	memcpy(param->name, args->name, sizeof(param->name));
	param->handle = args->handle;
	param->type = (uint8_t)args->type;
	param->created = args->created;
	param->rights = args->rights;
	param->count = args->count;
	param->bytes = args->bytes;
	param->address = args->address;
	param->has_key = args->flags & MEMBOX_PARAM_KEYED;
	param->key = args->key;
	pthread_mutex_init(&param->lock, NULL);
	pthread_mutex_init(&param->rmw, NULL);
	return param;
}

static int shape_differs(struct membox *box, const char *name, const struct membox_shape *shape)
{
	struct membox_param *there;
	int ret;

	/* say what is there: the box says only that it is not the same */
	if (membox_param_attach(box, name, NULL, MEMBOX_PARAM_RDONLY, &there))
		return mb_fail_status(MEMBOX_ST_SHAPE_MISMATCH, "param_get '%s' in box %s", name,
				      box->uri);
	ret = mb_fail_status(MEMBOX_ST_SHAPE_MISMATCH,
			     "param_get '%s' in box %s, %llu of %s asked, %llu of %s there", name,
			     box->uri, (unsigned long long)shape->count,
			     mb_type_name((uint8_t)shape->type), (unsigned long long)there->count,
			     mb_type_name(there->type));
	membox_param_put(there);
	return ret;
}

static int open_param(struct membox *box, const char *call, const char *name,
		      const struct membox_shape *shape, unsigned int flags,
		      const struct membox_key *key, struct membox_param **out)
{
	struct membox_param_args args = { .size = sizeof(args) };
	struct membox_param *param;
	int ret = mb_check(box);

	if (ret)
		return ret;
	if (!name || strlen(name) >= sizeof(args.name))
		return mb_fail_status(MEMBOX_ST_BAD_NAME, "%s '%.80s'", call, name ? name : "");
	strcpy(args.name, name);
	args.flags = flags | (box->flags & MEMBOX_OPEN_RDONLY ? MEMBOX_PARAM_RDONLY : 0);
	if (shape) {
		args.type = shape->type;
		args.count = shape->count;
		args.mode = shape->mode;
	}
	if (key)
		args.key = *key;
	ret = box->be->admin(box, MEMBOX_ADM_PARAM_OPEN, &args, sizeof(args));
	if (ret == MEMBOX_ST_SHAPE_MISMATCH && shape)
		return shape_differs(box, name, shape);
	if (ret)
		return mb_admin_fail(box, ret, call, name,
				     shape ? shape->count * membox_type_size(shape->type) : 0);
	param = make_param(box, &args);
	if (!param) {
		struct membox_handle_args close = { .size = sizeof(close), .handle = args.handle };

		box->be->admin(box, MEMBOX_ADM_PARAM_CLOSE, &close, sizeof(close));
		return mb_fail(-ENOMEM, "%s '%s': no memory", call, name);
	}
	pthread_mutex_lock(&box->lock);
	mb_list_add(&box->params, &param->list);
	pthread_mutex_unlock(&box->lock);
	*out = param;
	return 0;
}

MB_EXPORT int membox_param_get(struct membox *box, const char *name,
			       const struct membox_shape *shape, unsigned int flags,
			       struct membox_param **param)
{
	if (!shape)
		return mb_fail(-EINVAL, "param_get '%s': no shape (membox_param_attach takes any)",
			       name);
	if (flags & ~MAKE_FLAGS)
		return mb_fail(-EINVAL, "param_get '%s': flags %#x are not for it", name,
			       flags & ~MAKE_FLAGS);
	return open_param(box, "param_get", name, shape, flags | MEMBOX_PARAM_CREATE, NULL, param);
}

MB_EXPORT int membox_param_create(struct membox *box, const char *name,
				  const struct membox_shape *shape, unsigned int flags,
				  struct membox_key *key, struct membox_param **param)
{
	int ret;

	if (!shape || !key)
		return mb_fail(-EINVAL, "param_create '%s': needs a shape, and room for the key",
			       name);
	if (flags & ~MAKE_FLAGS)
		return mb_fail(-EINVAL, "param_create '%s': flags %#x are not for it", name,
			       flags & ~MAKE_FLAGS);
	ret = open_param(box, "param_create", name, shape,
			 flags | MEMBOX_PARAM_CREATE | MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, NULL,
			 param);
	if (!ret)
		*key = (*param)->key;
	return ret;
}

MB_EXPORT int membox_param_attach(struct membox *box, const char *name,
				  const struct membox_key *key, unsigned int flags,
				  struct membox_param **param)
{
	if (flags & ~ATTACH_FLAGS)
		return mb_fail(-EINVAL, "param_attach '%s': flags %#x are not for it", name,
			       flags & ~ATTACH_FLAGS);
	return open_param(box, "param_attach", name, NULL,
			  flags | (key ? MEMBOX_PARAM_KEYED : 0), key, param);
}

/* ---- closing ---- */

void mb_param_hold(struct membox_param *param)
{
	atomic_fetch_add_explicit(&param->refs, 1, memory_order_relaxed);
}

void mb_param_drop(struct membox_param *param)
{
	if (atomic_fetch_sub_explicit(&param->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&param->rmw);
	pthread_mutex_destroy(&param->lock);
	free(param);
}

/* What fell out of box->params: handle and mappings go now, memory when unused. */
void mb_param_close(struct membox_param *param)
{
	struct membox_handle_args args = { .size = sizeof(args), .handle = param->handle };
	struct membox *box = param->box;

	mb_unmap_all(param);
	if (!mb_is_foreign(box))
		box->be->admin(box, MEMBOX_ADM_PARAM_CLOSE, &args, sizeof(args));
	mb_param_drop(param);
}

MB_EXPORT void membox_param_put(struct membox_param *param)
{
	struct membox *box;

	if (!param)
		return;
	box = param->box;
	pthread_mutex_lock(&box->lock);
	mb_list_del(&param->list);
	pthread_mutex_unlock(&box->lock);
	mb_param_close(param);
}

MB_EXPORT int membox_param_destroy(struct membox_param *param)
{
	struct membox_handle_args args = { .size = sizeof(args), .handle = param->handle };
	int ret = mb_check(param->box);

	if (!ret)
		ret = mb_admin_fail(param->box,
				    param->box->be->admin(param->box, MEMBOX_ADM_PARAM_DESTROY,
							  &args, sizeof(args)),
				    "param_destroy", param->name, 0);
	return ret ? ret : args.deferred ? 1 : 0;
}

MB_EXPORT int membox_param_revoke(struct membox *box, const char *name)
{
	struct membox_param_args args = { .size = sizeof(args) };
	int ret = mb_check(box);

	if (ret)
		return ret;
	if (!name || strlen(name) >= sizeof(args.name))
		return mb_fail_status(MEMBOX_ST_BAD_NAME, "param_revoke '%.80s'", name ? name : "");
	strcpy(args.name, name);
	return mb_admin_fail(box,
			     box->be->admin(box, MEMBOX_ADM_PARAM_REVOKE, &args, sizeof(args)),
			     "param_revoke", name, 0);
}

/* ---- what it is ---- */

MB_EXPORT const char *membox_param_name(const struct membox_param *param)
{
	return param->name;
}

MB_EXPORT enum membox_type membox_param_type(const struct membox_param *param)
{
	return (enum membox_type)param->type;
}

MB_EXPORT uint64_t membox_param_count(const struct membox_param *param)
{
	return param->count;
}

MB_EXPORT uint64_t membox_param_bytes(const struct membox_param *param)
{
	return param->bytes;
}

MB_EXPORT uint64_t membox_param_address(const struct membox_param *param)
{
	return param->address;
}

MB_EXPORT int membox_param_created(const struct membox_param *param)
{
	return param->created;
}

MB_EXPORT uint32_t membox_param_handle(const struct membox_param *param)
{
	return param->handle;
}

MB_EXPORT struct membox *membox_param_box(const struct membox_param *param)
{
	return param->box;
}

MB_EXPORT size_t membox_type_size(enum membox_type type)
{
	return membox_type_bytes((uint8_t)type);
}

MB_EXPORT int membox_param_stat(struct membox_param *param, struct membox_param_stat *out)
{
	struct membox_param_stat stat = { .size = sizeof(stat), .handle = param->handle };
	uint32_t size = out->size;
	int ret = mb_check(param->box);

	if (ret)
		return ret;
	if (size < 8 || size > sizeof(stat))
		return mb_fail(-EINVAL, "param_stat '%s': structure of %u bytes: set size",
			       param->name, size);
	ret = mb_admin_fail(param->box,
			    param->box->be->admin(param->box, MEMBOX_ADM_PARAM_STAT, &stat,
						  sizeof(stat)),
			    "param_stat", param->name, 0);
	if (ret)
		return ret;
	memcpy(out, &stat, size);
	out->size = size;
	return 0;
}

MB_EXPORT int membox_param_list(struct membox *box,
				int (*fn)(void *arg, const struct membox_param_stat *stat),
				void *arg)
{
	struct membox_list_args *list;
	uint32_t i;
	int ret = mb_check(box);

	if (ret)
		return ret;
	list = calloc(1, sizeof(*list));
	if (!list)
		return mb_fail(-ENOMEM, "param_list: no memory");
	list->size = sizeof(*list);
	do {
		ret = mb_admin_fail(box, box->be->admin(box, MEMBOX_ADM_PARAM_LIST, list,
							sizeof(*list)),
				    "param_list", NULL, 0);
		for (i = 0; !ret && i < list->count && i < MEMBOX_LIST_ENTRIES; i++)
			ret = fn(arg, &list->entry[i]);
	} while (!ret && list->cursor);
	free(list);
	return ret;
}

struct membox_param *mb_param_find(struct membox *box, uint32_t handle)
{
	struct membox_param *found = NULL;
	struct mb_list *l;

	pthread_mutex_lock(&box->lock);
	for (l = box->params.next; l != &box->params; l = l->next) {
		struct membox_param *param = mb_entry(l, struct membox_param, list);

		if (param->handle == handle)
			found = param;
	}
	pthread_mutex_unlock(&box->lock);
	return found;
}
