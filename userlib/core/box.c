/* SPDX-License-Identifier: MIT */
/*
 * box.c - opening and closing boxes, and what there is to know of one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

MB_EXPORT const char *membox_version(void)
{
	return MB_VERSION;
}

/* ---- options ---- */

static const struct {
	const char *name;
	uint64_t cap;
} cap_names[] = {
	{ "acc", MEMBOX_CAP_ACC },	 { "vector", MEMBOX_CAP_VECTOR },
	{ "atomic", MEMBOX_CAP_ATOMIC }, { "wait", MEMBOX_CAP_WAIT },
	{ "windows", MEMBOX_CAP_WINDOWS }, { "collectives", MEMBOX_CAP_COLLECTIVES },
};

/* "acc,vector" */
static int parse_caps(const char *text, uint64_t *caps)
{
	const size_t rows = sizeof(cap_names) / sizeof(cap_names[0]);
	size_t length, i;

	for (; *text; text += length + (text[length] == ',')) {
		length = strcspn(text, ",");
		for (i = 0; i < rows; i++)
			if (strlen(cap_names[i].name) == length &&
			    !strncmp(cap_names[i].name, text, length))
				break;
		if (i == rows)
			return mb_fail(-EINVAL,
				       "MEMBOX_CAPS_OFF: '%.*s' is none of acc, vector, atomic, "
				       "wait, windows", (int)length, text);
		*caps |= cap_names[i].cap;
	}
	return 0;
}

static int read_options(const struct membox_open_opts *given, struct membox_open_opts *opts)
{
	const unsigned int known = MEMBOX_OPEN_RDONLY | MEMBOX_OPEN_OPERATOR | MEMBOX_OPEN_PORT |
				   MEMBOX_OPEN_PRINCIPAL | MEMBOX_OPEN_CHECK |
				   MEMBOX_OPEN_KERNEL_QUEUES | MEMBOX_OPEN_USER_QUEUES;
	const char *env = getenv("MEMBOX_CAPS_OFF");

	memset(opts, 0, sizeof(*opts));
	if (given) {
		if (given->size < 8 || given->size > sizeof(*opts))
			return mb_fail(-EINVAL,
				       "membox_open: options of %u bytes, this library knows %zu: "
				       "set size to sizeof", given->size, sizeof(*opts));
		memcpy(opts, given, given->size);
	}
	if (opts->flags & ~known)
		return mb_fail(-EINVAL, "membox_open: unknown flags %#x", opts->flags & ~known);
	return env ? parse_caps(env, &opts->caps_off) : 0;
}

/* ---- opening ---- */

static int choose(struct membox *box, const char *uri, const char **name)
{
	if (!uri)
		uri = getenv("MEMBOX");
	if (!uri || !*uri)
		return mb_fail(-EDESTADDRREQ,
			       "no box named: give /dev/membox0 or file:PATH, or set MEMBOX");
	if (strlen(uri) >= sizeof(box->uri))
		return mb_fail(-ENAMETOOLONG, "box name of %zu characters: at most %zu",
			       strlen(uri), sizeof(box->uri) - 1);
	strcpy(box->uri, uri);
	if (!strncmp(uri, "file:", 5)) {
		box->be = &mb_backend_file;
		*name = box->uri + 5;
	} else if (uri[0] == '/') {
		box->be = &mb_backend_dev;
		*name = box->uri;
	} else {
		return mb_fail(-EINVAL, "box '%s': neither /dev/membox0 nor file:PATH", uri);
	}
	return 0;
}

static void init_lists(struct membox *box)
{
	mb_list_init(&box->all);
	mb_list_init(&box->params);
	mb_list_init(&box->chans);
	mb_list_init(&box->groups);
	mb_list_init(&box->regions);
	pthread_mutex_init(&box->lock, NULL);
	pthread_mutex_init(&box->lanes_lock, NULL);
	pthread_rwlock_init(&box->regions_lock, NULL);
}

static void free_box(struct membox *box)
{
	pthread_rwlock_destroy(&box->regions_lock);
	pthread_mutex_destroy(&box->lanes_lock);
	pthread_mutex_destroy(&box->lock);
	free(box);
}

/* The limits that every operation asks for. */
static int learn(struct membox *box, const struct membox_open_opts *opts)
{
	struct membox_info info = { .size = sizeof(info) };
	int ret = box->be->admin(box, MEMBOX_ADM_INFO, &info, sizeof(info));

	if (ret && opts->flags & MEMBOX_OPEN_CHECK)
		return 0; /* it offers nothing but to be checked */
	if (ret)
		return mb_admin_fail(box, ret, "membox_open", NULL, 0);
	if (info.abi != MEMBOX_ABI)
		return mb_fail(-EPROTONOSUPPORT,
			       "box %s speaks version %u, this library %u: update the older one",
			       box->uri, info.abi, MEMBOX_ABI);
	box->caps = info.caps & ~opts->caps_off;
	box->caps_off = opts->caps_off;
	box->max_bytes = info.max_bytes;
	if (opts->max_bytes && opts->max_bytes < info.max_bytes)
		box->max_bytes = opts->max_bytes < 8 ? 8 : opts->max_bytes;
	box->flags = opts->flags;
	return 0;
}

MB_EXPORT int membox_open(const char *uri, const struct membox_open_opts *given,
			  struct membox **out)
{
	struct membox_open_opts opts;
	struct membox *box;
	const char *name = NULL;
	int ret = read_options(given, &opts);

	if (ret)
		return ret;
	box = calloc(1, sizeof(*box));
	if (!box)
		return mb_fail(-ENOMEM, "cannot open a box: no memory");
	init_lists(box);
	ret = choose(box, uri, &name);
	if (ret)
		goto free_box;
	ret = mb_process_enter(box);
	if (ret)
		goto free_box;
	ret = box->be->open(box, name, &opts);
	if (ret)
		goto leave;
	ret = learn(box, &opts);
	if (ret)
		goto close_backend;
	*out = box;
	return 0;
close_backend:
	box->be->close(box);
leave:
	mb_process_leave(box);
free_box:
	free_box(box);
	return ret;
}

static struct mb_list *first_of(struct membox *box, struct mb_list *list)
{
	struct mb_list *l;

	pthread_mutex_lock(&box->lock);
	l = list->next;
	if (l != list)
		mb_list_del(l);
	pthread_mutex_unlock(&box->lock);
	return l == list ? NULL : l;
}

MB_EXPORT void membox_close(struct membox *box)
{
	struct mb_pooled_lane *lane;
	struct mb_list *l;

	if (!box)
		return;
	while ((l = first_of(box, &box->chans)))
		mb_chan_destroy(mb_entry(l, struct membox_chan, list));
	while ((l = first_of(box, &box->groups)))
		mb_group_close(mb_entry(l, struct membox_group, list));
	while ((l = first_of(box, &box->params)))
		mb_param_close(mb_entry(l, struct membox_param, list));
	while ((l = first_of(box, &box->regions)))
		mb_region_close(mb_entry(l, struct membox_region, list));
	while ((lane = box->lanes)) {
		box->lanes = lane->next;
		box->be->lane_close(box, &lane->lane);
		free(lane);
	}
	mb_process_leave(box);
	box->be->close(box);
	free_box(box);
}

/* ---- what there is to know ---- */

/*
 * Structures that grow: the answer is made whole here, and the caller gets as
 * much of it as its version of the structure has.
 */
static int give(void *to, const void *from, uint32_t size, uint32_t known, const char *call)
{
	if (size < 8 || size > known)
		return mb_fail(-EINVAL, "%s: structure of %u bytes, this library knows %u: set size",
			       call, size, known);
	memcpy(to, from, size);
	memcpy(to, &size, sizeof(size));
	return 0;
}

MB_EXPORT int membox_info(struct membox *box, struct membox_info *out)
{
	struct membox_info info = { .size = sizeof(info) };
	int ret = mb_check(box);

	if (!ret)
		ret = mb_admin_fail(box, box->be->admin(box, MEMBOX_ADM_INFO, &info, sizeof(info)),
				    "info", NULL, 0);
	if (ret)
		return ret;
	info.caps &= ~box->caps_off;
	return give(out, &info, out->size, sizeof(info), "membox_info");
}

MB_EXPORT int membox_port_stat(struct membox *box, uint32_t port, struct membox_port_stat *out)
{
	struct membox_port_stat stat = { .size = sizeof(stat), .port = port };
	int ret = mb_check(box);

	if (!ret)
		ret = mb_admin_fail(box, box->be->admin(box, MEMBOX_ADM_PORT_STAT, &stat,
							sizeof(stat)),
				    "port_stat", NULL, 0);
	if (ret)
		return ret;
	return give(out, &stat, out->size, sizeof(stat), "membox_port_stat");
}

MB_EXPORT int membox_counters(struct membox *box, uint64_t counter[MEMBOX_NR_COUNTERS])
{
	struct membox_port_stat stat = { .size = sizeof(stat) };
	int ret = membox_port_stat(box, MEMBOX_OWN_PORT, &stat);
	unsigned int i;

	for (i = 0; !ret && i < MEMBOX_NR_COUNTERS; i++)
		counter[i] = stat.counter[i];
	return ret;
}

/* ---- making and checking ---- */

MB_EXPORT int membox_format(const char *path, const struct membox_format_opts *given)
{
	struct membox_format_opts opts = { .size = sizeof(opts) };
	struct mbe_format_opts make;
	char text[MBE_ERR_TEXT] = "";
	int ret;

	if (given) {
		if (given->size < 8 || given->size > sizeof(opts))
			return mb_fail(-EINVAL, "membox_format: options of %u bytes: set size",
				       given->size);
		memcpy(&opts, given, given->size);
	}
	if (opts.flags & ~MEMBOX_FORMAT_FORCE)
		return mb_fail(-EINVAL, "membox_format: unknown flags %#x", opts.flags);
	if (!strncmp(path, "file:", 5))
		path += 5;
	make = (struct mbe_format_opts){
		.bytes = opts.bytes,
		.ports = opts.ports,
		.params = opts.params,
		.groups = opts.groups,
		.force = opts.flags & MEMBOX_FORMAT_FORCE,
	};
	ret = mbe_format(path, &make, text);
	return ret ? mb_fail(ret, "cannot format %s: %s", path, text) : 0;
}

MB_EXPORT int membox_fsck(struct membox *box, void (*report)(void *arg, const char *text),
			  void *arg)
{
	int ret = mb_check(box);

	return ret ? ret : box->be->fsck(box, report, arg);
}

MB_EXPORT int membox_port_evict(struct membox *box, uint32_t port)
{
	struct membox_port_stat args = { .size = sizeof(args), .port = port };
	int ret = mb_check(box);

	if (ret)
		return ret;
	ret = box->be->admin(box, MEMBOX_ADM_PORT_EVICT, &args, sizeof(args));
	switch (ret) {
	case 0:
		return 0;
	case MEMBOX_ST_NOT_FOUND:
		return mb_fail(-ENOENT, "port %u is free: there is nothing to evict", port);
	case MEMBOX_ST_BUSY:
		return mb_fail(-EBUSY, "port %u is in use, not suspended: end its process or its VM", port);
	case MEMBOX_ST_BAD_ARGUMENT:
		return mb_fail(-EINVAL, "the box has no port %u", port);
	default:
		return mb_admin_fail(box, ret, "port_evict", NULL, 0);
	}
}
