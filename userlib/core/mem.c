/* SPDX-License-Identifier: MIT */
/*
 * mem.c - memory of this process that a box knows of. Where the box is a file
 * that saves looking whether the memory is there, transfer by transfer.
 *
 * box->regions and its lock are used here only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define HUGE_BYTES ((size_t)2 << 20)

static struct membox_region *add(struct membox *box, void *addr, size_t bytes, bool owned)
{
	struct membox_region *region = calloc(1, sizeof(*region));

	if (!region)
		return NULL;
	region->box = box;
	region->addr = addr;
	region->bytes = bytes;
	region->owned = owned;
	pthread_rwlock_wrlock(&box->regions_lock);
	mb_list_add(&box->regions, &region->list);
	atomic_fetch_add(&box->nregions, 1);
	pthread_rwlock_unlock(&box->regions_lock);
	return region;
}

/* What is out of the list. */
void mb_region_close(struct membox_region *region)
{
	atomic_fetch_sub(&region->box->nregions, 1);
	if (region->owned)
		munmap(region->addr, region->bytes);
	free(region);
}

static void drop(struct membox_region *region)
{
	pthread_rwlock_wrlock(&region->box->regions_lock);
	mb_list_del(&region->list);
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

bool mb_memory_is_there(struct membox *box, uint64_t addr, uint64_t bytes, bool written)
{
	return mb_region_covers(box, (void *)(uintptr_t)addr, bytes) ||
	       populate(addr, bytes, written);
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
