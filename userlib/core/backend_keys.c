/* SPDX-License-Identifier: MIT */
/*
 * backend_keys.c - memory that is registered with the driver: which key is for which
 * addresses, and packets that name memory by key.
 *
 * st->keys_lock guards the table, which is in the order of addresses.
 */
#include <stdlib.h>
#include <string.h>

#include "backend_dev.h"

#define KEYS_FIRST 16

/*
 * Index of the first entry that begins behind addr. Where the last search ended is
 * tried first: most name the same memory again, and it costs the same for any number.
 */
static size_t behind(struct mb_dev *st, uintptr_t addr)
{
	size_t low = atomic_load_explicit(&st->keys_hint, memory_order_relaxed), high = st->nkeys;

	if (low <= high && (!low || st->keys[low - 1].from <= addr) &&
	    (low == high || st->keys[low].from > addr))
		return low;
	low = 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (st->keys[middle].from <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	atomic_store_explicit(&st->keys_hint, low, memory_order_relaxed);
	return low;
}

static bool remember(struct mb_dev *st, const struct mb_key *k)
{
	bool kept = false;
	size_t at;

	pthread_rwlock_wrlock(&st->keys_lock);
	if (st->nkeys == st->room) {
		size_t room = st->room ? 2 * st->room : KEYS_FIRST;
		struct mb_key *more = realloc(st->keys, room * sizeof(*more));

		if (more) {
			st->keys = more;
			st->room = room;
		}
	}
	if (st->nkeys < st->room) {
		at = behind(st, k->from);
		memmove(st->keys + at + 1, st->keys + at, (st->nkeys - at) * sizeof(*k));
		st->keys[at] = *k;
		st->nkeys++;
		kept = true;
	}
	pthread_rwlock_unlock(&st->keys_lock);
	return kept;
}

/* The page-wise region round the memory: its key, 0 when it cannot be registered. */
uint32_t mb_dev_region_add(struct membox *box, void *addr, size_t bytes)
{
	struct mb_dev *st = box->state;
	const uintptr_t page = MB_BOUNCE_BYTES;
	struct mb_key k = {
		.from = (uintptr_t)addr & ~(page - 1),
		.to = ((uintptr_t)addr + bytes + page - 1) & ~(page - 1),
	};
	struct membox_region_args args = {
		.size = sizeof(args),
		.rights = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE,
		.addr = k.from,
		.length = k.to - k.from,
	};

	if (mb_dev_ioctl(st->fd, MEMBOX_IOC_REGION_ADD, &args))
		return 0;
	k.key = args.key;
	if (remember(st, &k))
		return k.key;
	mb_dev_region_del(box, k.key);
	return 0;
}

void mb_dev_region_del(struct membox *box, uint32_t key)
{
	struct mb_dev *st = box->state;
	struct membox_region_args args = { .size = sizeof(args), .key = key };
	size_t i;

	if (!key)
		return;
	pthread_rwlock_wrlock(&st->keys_lock);
	for (i = 0; i < st->nkeys && st->keys[i].key != key; i++)
		;
	if (i < st->nkeys) {
		memmove(st->keys + i, st->keys + i + 1, (st->nkeys - i - 1) * sizeof(*st->keys));
		st->nkeys--;
	}
	pthread_rwlock_unlock(&st->keys_lock);
	if (!st->forgotten)
		mb_dev_ioctl(st->fd, MEMBOX_IOC_REGION_DEL, &args);
}

static bool find_key(struct mb_dev *st, struct membox_hostref *ref, uint64_t bytes)
{
	bool found = false;
	size_t at;

	pthread_rwlock_rdlock(&st->keys_lock);
	at = behind(st, ref->addr);
	if (at) {
		const struct mb_key *k = &st->keys[at - 1];

		found = bytes <= k->to - k->from && ref->addr - k->from <= k->to - k->from - bytes;
		if (found) {
			ref->addr -= k->from;
			ref->key = k->key;
		}
	}
	pthread_rwlock_unlock(&st->keys_lock);
	return found;
}

/* Names by key what is registered of a packet's memory. */
void mb_dev_name(struct membox *box, struct membox_packet *p)
{
	struct mb_dev *st = box->state;
	unsigned int i;

	if (!atomic_load_explicit(&box->nregions, memory_order_relaxed))
		return;
	for (i = 0; i < 2; i++) {
		struct membox_hostref *ref = mb_dev_ref(p, i);
		uint64_t bytes = mb_dev_ref_bytes(p, i);

		if (bytes && !ref->key && !ref->nseg && find_key(st, ref, bytes))
			p->flags |= mb_dev_ref_flag(i);
	}
}
