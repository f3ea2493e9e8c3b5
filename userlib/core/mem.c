/* SPDX-License-Identifier: MIT */
/*
 * mem.c - memory of this process that a box knows of. Where the box is a file
 * that saves looking whether the memory is there, transfer by transfer. So does
 * standing on it: of this thread's own stack nothing has to be asked.
 *
 * box->regions, its ranges and their lock are used here only. The ranges are read
 * without the lock: what is found there was registered if seq has not moved.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* pthread_getattr_np */
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define HUGE_BYTES ((size_t)2 << 20)

/* A range takes another's place: 0, 0 is a free one. With regions_lock for writing. */
static void change_range(struct membox *box, uintptr_t from, uintptr_t to, uintptr_t new_from,
			 uintptr_t new_to)
{
	struct mb_ranges *r = &box->ranges;

	for (unsigned int i = 0; i < MB_RANGES; i++) {
		if (atomic_load(&r->range[i].from) != from || atomic_load(&r->range[i].to) != to)
			continue;
		atomic_fetch_add(&r->seq, 1);
		atomic_store(&r->range[i].from, new_from);
		atomic_store(&r->range[i].to, new_to);
		atomic_fetch_add(&r->seq, 1);
		return;
	}
}

static bool range_covers(struct membox *box, uintptr_t from, size_t bytes)
{
	struct mb_ranges *r = &box->ranges;
	unsigned int seq = atomic_load_explicit(&r->seq, memory_order_acquire);

	for (unsigned int i = 0; i < MB_RANGES; i++) {
		uintptr_t a = atomic_load_explicit(&r->range[i].from, memory_order_acquire);
		uintptr_t b = atomic_load_explicit(&r->range[i].to, memory_order_acquire);

		if (from >= a && from < b && bytes <= b - from)
			return !(seq & 1) &&
			       atomic_load_explicit(&r->seq, memory_order_relaxed) == seq;
	}
	return false;
}

static struct membox_region *add(struct membox *box, void *addr, size_t bytes, bool owned)
{
	struct membox_region *region = calloc(1, sizeof(*region));

	if (!region)
		return NULL;
	region->box = box;
	region->addr = addr;
	region->bytes = bytes;
	region->owned = owned;
	region->key = box->be->region_add ? box->be->region_add(box, addr, bytes) : 0;
	pthread_rwlock_wrlock(&box->regions_lock);
	mb_list_add(&box->regions, &region->list);
	change_range(box, 0, 0, (uintptr_t)addr, (uintptr_t)addr + bytes);
	atomic_fetch_add(&box->nregions, 1);
	pthread_rwlock_unlock(&box->regions_lock);
	return region;
}

/* What is out of the list. */
void mb_region_close(struct membox_region *region)
{
	atomic_fetch_sub(&region->box->nregions, 1);
	if (region->key)
		region->box->be->region_del(region->box, region->key);
	if (region->owned)
		munmap(region->addr, region->bytes);
	free(region);
}

static void drop(struct membox_region *region)
{
	uintptr_t from = (uintptr_t)region->addr;

	pthread_rwlock_wrlock(&region->box->regions_lock);
	mb_list_del(&region->list);
	change_range(region->box, from, from + region->bytes, 0, 0);
	pthread_rwlock_unlock(&region->box->regions_lock);
	mb_region_close(region);
}

bool mb_region_covers(struct membox *box, const void *addr, size_t bytes)
{
	const char *from = addr;
	bool found = false;
	struct mb_list *l;

	if (!atomic_load_explicit(&box->nregions, memory_order_relaxed))
		return false;
	if (range_covers(box, (uintptr_t)addr, bytes))
		return true;
	pthread_rwlock_rdlock(&box->regions_lock);
	for (l = box->regions.next; l != &box->regions && !found; l = l->next) {
		struct membox_region *r = mb_entry(l, struct membox_region, list);

		found = from >= r->addr && bytes <= r->bytes &&
			(size_t)(from - r->addr) <= r->bytes - bytes;
	}
	pthread_rwlock_unlock(&box->regions_lock);
	return found;
}

/*
 * Makes the pages present with the access that is needed, as pinning them
 * would; false when that cannot be.
 */
static bool populate(uint64_t addr, uint64_t bytes, bool written)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t first = addr & ~(page - 1), last = addr + bytes;

	if (last < addr || last > UINT64_MAX - page)
		return false;
	last = (last + page - 1) & ~(page - 1);
	while (madvise((void *)(uintptr_t)first, last - first,
		       written ? MADV_POPULATE_WRITE : MADV_POPULATE_READ)) {
		if (errno != EINTR && errno != EAGAIN)
			return false;
	}
	return true;
}

/*
 * Is it above this frame on the stack that the thread runs on? Then it is there, and
 * can be written. Where the stack ends is found out once a thread; a thread that
 * runs on another than its own (a coroutine, a signal's) is not told yes.
 */
static bool on_own_stack(uintptr_t from, size_t bytes)
{
	static __thread uintptr_t low, top; /* top 0: not known yet */
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	pthread_attr_t attr;
	size_t size;
	void *at;

	if (!top) {
		top = 1;
		if (!pthread_getattr_np(pthread_self(), &attr)) {
			if (!pthread_attr_getstack(&attr, &at, &size)) {
				low = (uintptr_t)at;
				top = low + size;
			}
			pthread_attr_destroy(&attr);
		}
	}
	return frame >= low && from >= frame && from < top && bytes <= top - from;
}

#define PROBE_WORD 8 /* bytes that one look reads; they lie in one page */
#define PROBE_BYTES 4096 /* no page is smaller */

/*
 * Reads a word of it by a system call that then has nothing to do: a signal mask for
 * no known purpose. Less than half of what populating costs.
 */
static bool probe_word(uintptr_t at)
{
	at &= ~(uintptr_t)(PROBE_WORD - 1); /* 0 would be no mask at all */
	return at && (!syscall(SYS_rt_sigprocmask, -1, at, NULL, PROBE_WORD) || errno != EFAULT);
}

/* Does this kernel look at the mask before the purpose? One that does not tells nothing. */
static bool can_probe(void)
{
	static atomic_int known; /* 1: yes, -1: no */
	int is = atomic_load_explicit(&known, memory_order_relaxed);

	if (!is) {
		is = probe_word(PROBE_WORD) ? -1 : 1;
		atomic_store_explicit(&known, is, memory_order_relaxed);
	}
	return is > 0;
}

/* Can a piece that lies in at most two pages be read? Its first and last word tell. */
static bool probe(uintptr_t from, size_t bytes)
{
	uintptr_t last = from + bytes - 1;

	return last >= from && probe_word(from) &&
	       (from / PROBE_BYTES == last / PROBE_BYTES || probe_word(last));
}

bool mb_memory_is_there(struct membox *box, uint64_t addr, uint64_t bytes, bool written)
{
	if (mb_region_covers(box, (void *)(uintptr_t)addr, bytes) || on_own_stack(addr, bytes))
		return true;
	if (!written && bytes <= PROBE_BYTES && can_probe())
		return probe(addr, bytes);
	return populate(addr, bytes, written);
}

MB_EXPORT int membox_region(struct membox *box, void *addr, size_t bytes,
			    struct membox_region **region)
{
	int ret = mb_check(box);

	if (ret)
		return ret;
	if (!bytes)
		return mb_fail(-EINVAL, "region at %p: it has no bytes", addr);
	if (!populate((uintptr_t)addr, bytes, true))
		return mb_fail_status(MEMBOX_ST_HOST_FAULT, "region of %zu bytes at %p", bytes,
				      addr);
	*region = add(box, addr, bytes, false);
	return *region ? 0 : mb_fail(-ENOMEM, "region at %p: no memory", addr);
}

MB_EXPORT void membox_region_put(struct membox_region *region)
{
	if (region)
		drop(region);
}

/* Aligned so that huge pages fit, when it is large enough for one. */
static void *map_aligned(size_t bytes)
{
	size_t align = bytes >= HUGE_BYTES ? HUGE_BYTES : (size_t)sysconf(_SC_PAGESIZE);
	size_t slack = align - (size_t)sysconf(_SC_PAGESIZE), before;
	char *p;

	if (bytes > SIZE_MAX - slack)
		return MAP_FAILED;
	p = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return p;
	before = (align - (uintptr_t)p % align) % align;
	if (before)
		munmap(p, before);
	if (slack - before)
		munmap(p + before + bytes, slack - before);
	return p + before;
}

MB_EXPORT void *membox_alloc(struct membox *box, size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole;
	void *p;

	if (mb_check(box))
		return NULL;
	if (!bytes || bytes > SIZE_MAX - page) {
		mb_fail(-EINVAL, "alloc of %zu bytes", bytes);
		return NULL;
	}
	whole = (bytes + page - 1) & ~(page - 1);
	p = map_aligned(whole);
	if (p == MAP_FAILED) {
		mb_fail(-ENOMEM, "alloc of %zu bytes: no memory", bytes);
		return NULL;
	}
	if (whole >= HUGE_BYTES)
		madvise(p, whole, MADV_HUGEPAGE);
	if (!populate((uintptr_t)p, whole, true) || !add(box, p, whole, true)) {
		munmap(p, whole);
		mb_fail(-ENOMEM, "alloc of %zu bytes: no memory", bytes);
		return NULL;
	}
	return p;
}

MB_EXPORT void membox_free(struct membox *box, void *addr)
{
	struct membox_region *found = NULL;
	struct mb_list *l;

	if (!addr)
		return;
	pthread_rwlock_rdlock(&box->regions_lock);
	for (l = box->regions.next; l != &box->regions; l = l->next) {
		struct membox_region *r = mb_entry(l, struct membox_region, list);

		if (r->owned && r->addr == addr)
			found = r;
	}
	pthread_rwlock_unlock(&box->regions_lock);
	if (found)
		drop(found);
}
