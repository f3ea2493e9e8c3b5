/* SPDX-License-Identifier: MIT */
/*
 * group.c - seats in groups of ranks. The box does not tell of who joins, so
 * that waiting for the others is asking again, a little later each time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int ask(struct membox *box, uint8_t opcode, struct membox_group_args *args)
{
	return box->be->admin(box, opcode, args, sizeof(*args));
}

/* BUSY while collectives of ours end, which they do by themselves. */
static void leave(struct membox *box, uint32_t handle)
{
	struct membox_group_args args = { .size = sizeof(args), .group = handle };
	uint64_t deadline = mb_deadline(MEMBOX_TIMEOUT_DEFAULT);
	struct mb_backoff backoff = { 0 };

	while (ask(box, MEMBOX_ADM_GROUP_LEAVE, &args) == MEMBOX_ST_BUSY && mb_backoff(&backoff, deadline))
		;
}

/* "0, 3": the ranks that did not come */
static void missing(const struct membox_group_args *info, int ranks, char *text, size_t bytes)
{
	size_t used = 0;
	int rank;

	text[0] = 0;
	for (rank = 0; rank < ranks; rank++)
		if (info->state[rank] != MEMBOX_SEAT_LIVE && used < bytes)
			used += (size_t)snprintf(text + used, bytes - used, "%s%d",
						 used ? ", " : "", rank);
}

/* A rank that died since `before`, -1: none. Who was dead then may yet be replaced. */
static int newly_dead(const struct membox_group_args *before, const struct membox_group_args *now,
		      int ranks)
{
	int rank;

	for (rank = 0; rank < ranks; rank++)
		if (now->state[rank] == MEMBOX_SEAT_DEAD && before->state[rank] != MEMBOX_SEAT_DEAD)
			return rank;
	return -1;
}

static bool all_live(const struct membox_group_args *info, int ranks)
{
	int rank;

	for (rank = 0; rank < ranks; rank++)
		if (info->state[rank] != MEMBOX_SEAT_LIVE)
			return false;
	return true;
}

/* Until all seats are taken. joined is what JOIN answered. */
static int wait_for_all(struct membox *box, const struct membox_group_args *joined,
			const char *name, int ranks, uint64_t deadline, uint32_t *epoch)
{
	struct mb_backoff backoff = { 0 };
	struct membox_group_args info;
	char who[160];
	int ret;

	for (;;) {
		info = (struct membox_group_args){ .size = sizeof(info), .group = joined->group };
		ret = ask(box, MEMBOX_ADM_GROUP_INFO, &info);
		if (ret)
			return mb_admin_fail(box, ret, "group_join", name, 0);
		*epoch = info.epoch;
		if (all_live(&info, ranks))
			return 0;
		ret = newly_dead(joined, &info, ranks);
		if (ret >= 0)
			return mb_fail_status(MEMBOX_ST_RANK_DEAD, "group_join '%s': rank %d", name,
					      ret);
		if (!mb_backoff(&backoff, deadline))
			break;
	}
	missing(&info, ranks, who, sizeof(who));
	return mb_fail(-ETIMEDOUT,
		       "group_join '%s' in box %s: %u of %d ranks came in time, not rank %s; start "
		       "them, or wait longer", name, box->uri, info.joined, ranks, who);
}

static int join(struct membox *box, const char *name, int ranks, int rank,
		const struct membox_key *key, int64_t timeout, struct membox_group **out)
{
	struct membox_group_args args = { .size = sizeof(args), .rank = rank };
	struct membox_group *group;
	int ret = mb_check(box);

	if (ret)
		return ret;
	if (!name || strlen(name) >= sizeof(args.name))
		return mb_fail_status(MEMBOX_ST_BAD_NAME, "group_join '%.80s'", name ? name : "");
	if (ranks < 1 || ranks > MEMBOX_MAX_RANKS || rank < -1 || rank >= ranks)
		return mb_fail_status(MEMBOX_ST_BAD_ARGUMENT,
				      "group_join '%s' as rank %d of %d (at most %d ranks)", name,
				      rank, ranks, MEMBOX_MAX_RANKS);
	strcpy(args.name, name);
	args.ranks = (uint32_t)ranks;
	if (key) {
		args.flags = MEMBOX_GROUP_KEYED;
		args.key = *key;
	}
	group = calloc(1, sizeof(*group));
	if (!group)
		return mb_fail(-ENOMEM, "group_join '%s': no memory", name);
	ret = mb_admin_fail(box, ask(box, MEMBOX_ADM_GROUP_JOIN, &args), "group_join", name, 0);
	if (ret)
		goto free_group;
	ret = wait_for_all(box, &args, name, ranks, mb_deadline(timeout), &group->epoch);
	if (ret)
		goto leave_group;
	group->box = box;
	atomic_store(&group->refs, 1);
	group->handle = args.group;
	group->rank = args.rank;
	group->ranks = ranks;
	strcpy(group->name, name);
	pthread_mutex_lock(&box->lock);
	mb_list_add(&box->groups, &group->list);
	pthread_mutex_unlock(&box->lock);
	*out = group;
	return 0;
leave_group:
	leave(box, args.group);
free_group:
	free(group);
	return ret;
}

MB_EXPORT int membox_group_join(struct membox *box, const char *name, int ranks, int rank,
				int64_t timeout, struct membox_group **group)
{
	return join(box, name, ranks, rank, NULL, timeout, group);
}

MB_EXPORT int membox_group_join_keyed(struct membox *box, const char *name, int ranks, int rank,
				      const struct membox_key *key, int64_t timeout,
				      struct membox_group **group)
{
	if (!key)
		return mb_fail(-EINVAL, "group_join_keyed '%s': no key given", name);
	return join(box, name, ranks, rank, key, timeout, group);
}

MB_EXPORT int membox_group_rank(const struct membox_group *group)
{
	return group->rank;
}

MB_EXPORT int membox_group_ranks(const struct membox_group *group)
{
	return group->ranks;
}

MB_EXPORT int membox_group_info(struct membox_group *group, struct membox_group_info *out)
{
	struct membox_group_args args = { .size = sizeof(args), .group = group->handle };
	struct membox_group_info info = { .size = out->size };
	int ret = mb_check(group->box);

	if (ret)
		return ret;
	if (out->size < 8 || out->size > sizeof(info))
		return mb_fail(-EINVAL, "group_info '%s': structure of %u bytes: set size",
			       group->name, out->size);
	ret = mb_admin_fail(group->box, ask(group->box, MEMBOX_ADM_GROUP_INFO, &args),
			    "group_info", group->name, 0);
	if (ret)
		return ret;
	info.rank = group->rank;
	info.ranks = (uint32_t)group->ranks;
	info.joined = args.joined;
	info.epoch = args.epoch;
	info.dead = args.dead;
	memcpy(info.state, args.state, sizeof(info.state));
	memcpy(out, &info, out->size);
	return 0;
}

/* What fell out of box->groups. */
void mb_group_close(struct membox_group *group)
{
	if (!mb_is_foreign(group->box))
		leave(group->box, group->handle);
	mb_group_drop(group);
}

void mb_group_hold(struct membox_group *group)
{
	atomic_fetch_add(&group->refs, 1);
}

void mb_group_drop(struct membox_group *group)
{
	if (atomic_fetch_sub(&group->refs, 1) == 1)
		free(group);
}

MB_EXPORT uint32_t membox_group_handle(const struct membox_group *group)
{
	return group->handle;
}

MB_EXPORT int membox_group_renew(struct membox_group *group, int64_t timeout)
{
	struct membox_group_args now = { .size = sizeof(now), .group = group->handle };
	int ret = mb_check(group->box);

	if (!ret)
		ret = mb_admin_fail(group->box, ask(group->box, MEMBOX_ADM_GROUP_INFO, &now), "group_renew",
				    group->name, 0);
	if (!ret)
		ret = wait_for_all(group->box, &now, group->name, group->ranks, mb_deadline(timeout),
				   &group->epoch);
	if (!ret)
		atomic_store(&group->seq, 0);
	return ret;
}

MB_EXPORT void membox_group_leave(struct membox_group *group)
{
	struct membox *box;

	if (!group)
		return;
	box = group->box;
	pthread_mutex_lock(&box->lock);
	mb_list_del(&group->list);
	pthread_mutex_unlock(&box->lock);
	mb_group_close(group);
}
