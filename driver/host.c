// SPDX-License-Identifier: GPL-2.0-only
/*
 * host.c - user memory that the device may reach: pinned, mapped for DMA, and
 * named by one address or by a scatter-gather list. For a packet while it is on
 * its way (packet.c), for a region as long as it lasts (region.c).
 *
 * membox_host_release() undoes whatever was done. No locks.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/mm.h>
#include <linux/resource.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "membox_dev.h"

/* Counts pages against RLIMIT_MEMLOCK; false: too many. */
static bool lock_pages(struct mm_struct *mm, struct membox_host *host, unsigned int pages)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;

	if (atomic64_add_return(pages, &mm->pinned_vm) > limit && !capable(CAP_IPC_LOCK)) {
		atomic64_sub(pages, &mm->pinned_vm);
		return false;
	}
	host->locked = pages;
	return true;
}

static void unlock_pages(struct mm_struct *mm, struct membox_host *host)
{
	atomic64_sub(host->locked, &mm->pinned_vm);
	host->locked = 0;
}

static bool is_written(const struct membox_host *host)
{
	return host->dir != DMA_TO_DEVICE;
}

static int pin(struct membox_host *host, u64 addr, unsigned int want, bool longterm)
{
	unsigned int flags = (is_written(host) ? FOLL_WRITE : 0) | (longterm ? FOLL_LONGTERM : 0);
	unsigned long start = addr & PAGE_MASK;

	while (host->npages < want) {
		int got = pin_user_pages_fast(start + (unsigned long)host->npages * PAGE_SIZE,
					      want - host->npages, flags,
					      host->pages + host->npages);

		if (fatal_signal_pending(current)) {
			host->npages += max(got, 0);
			return -EINTR;
		}
		if (got <= 0)
			return got == -ENOMEM ? MEMBOX_ST_NO_MEMORY : MEMBOX_ST_HOST_FAULT;
		host->npages += got;
		cond_resched();
	}
	return MEMBOX_ST_OK;
}

/**
 * membox_host_pin() - takes hold of user memory
 * @host: zeroed but for dir
 * @mdev: device
 * @mm: the caller's address space
 * @addr: of the memory
 * @bytes: of it, not 0
 * @longterm: it may stay for long, and counts as locked memory
 *
 * Return: 0, MEMBOX_ST_HOST_FAULT, MEMBOX_ST_NO_MEMORY, or -EINTR.
 */
int membox_host_pin(struct membox_host *host, const struct membox_dev *mdev,
		    struct mm_struct *mm, u64 addr, u64 bytes, bool longterm)
{
	unsigned int want = (offset_in_page(addr) + bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
	int ret;

	if (longterm && !lock_pages(mm, host, want))
		return MEMBOX_ST_NO_MEMORY;
	if (want <= MEMBOX_FEW_PAGES)
		host->pages = host->few;
	else
		host->pages = kvmalloc_array(want, sizeof(*host->pages), GFP_KERNEL_ACCOUNT);
	if (!host->pages)
		return MEMBOX_ST_NO_MEMORY;
	ret = pin(host, addr, want, longterm);
	if (ret)
		return ret;
	if (sg_alloc_table_from_pages_segment(&host->table, host->pages, host->npages,
					      offset_in_page(addr), bytes, mdev->max_segment,
					      GFP_KERNEL_ACCOUNT))
		return MEMBOX_ST_NO_MEMORY;
	host->has_table = true;
	return MEMBOX_ST_OK;
}

/*
 * Maps pinned memory. 0 or a status.
 *
 * Packets in flight may name the same memory, or neighbours in a cache line, which
 * is their user's business. The attribute says that this is known; the caches, or
 * a bounce buffer, are synchronised by the calls beside it all the same.
 */
int membox_host_map(struct membox_host *host, struct membox_dev *mdev)
{
	struct device *dev = &mdev->pdev->dev;

	if (dma_map_sgtable(dev, &host->table, host->dir, DMA_ATTR_SKIP_CPU_SYNC))
		return MEMBOX_ST_NO_MEMORY;
	dma_sync_sgtable_for_device(dev, &host->table, host->dir);
	host->is_mapped = true;
	return MEMBOX_ST_OK;
}

static void unmap(struct membox_host *host, struct device *dev)
{
	dma_sync_sgtable_for_cpu(dev, &host->table, host->dir);
	dma_unmap_sgtable(dev, &host->table, host->dir, DMA_ATTR_SKIP_CPU_SYNC);
	host->is_mapped = false;
}

/* Gets the pages of the scatter-gather list from the device's pool and fills them. */
static int build_list(struct membox_host *host, struct membox_dev *mdev,
		      struct membox_seg_iter *it, u32 nseg)
{
	u32 n = membox_sgl_pages(nseg);

	host->sgl = kvcalloc(n, sizeof(*host->sgl), GFP_KERNEL_ACCOUNT);
	if (!host->sgl)
		return MEMBOX_ST_NO_MEMORY;
	for (; host->nsgl < n; host->nsgl++) {
		struct membox_sgl_page *page = &host->sgl[host->nsgl];

		page->entry = dma_pool_alloc(mdev->sgl_pool, GFP_KERNEL, &page->dma);
		if (!page->entry)
			return MEMBOX_ST_NO_MEMORY;
	}
	membox_sgl_fill(host->sgl, it, nseg);
	return MEMBOX_ST_OK;
}

/* Says in ref where the segments are: one address, or a list that host owns. 0 or a status. */
int membox_host_name(struct membox_host *host, struct membox_dev *mdev,
		     struct membox_seg_iter *it, struct membox_hostref *ref)
{
	u32 nseg = membox_seg_count(*it);
	struct membox_seg seg;
	int ret;

	if (nseg == 1) {
		membox_seg_next(it, &seg);
		ref->addr = seg.addr;
		return MEMBOX_ST_OK;
	}
	if (nseg > MEMBOX_SGL_MAX)
		return MEMBOX_ST_TOO_LONG;
	ret = build_list(host, mdev, it, nseg);
	if (ret)
		return ret;
	ref->addr = host->sgl[0].dma;
	ref->nseg = nseg;
	return MEMBOX_ST_OK;
}

/* Gives the list back; the device has read it. */
void membox_host_unname(struct membox_host *host, struct membox_dev *mdev)
{
	for (; host->nsgl; host->nsgl--) {
		struct membox_sgl_page *page = &host->sgl[host->nsgl - 1];

		dma_pool_free(mdev->sgl_pool, page->entry, page->dma);
	}
	kvfree(host->sgl);
	host->sgl = NULL;
}

/* Gives all back. The device has no business with the memory any more. */
void membox_host_release(struct membox_host *host, struct membox_dev *mdev, struct mm_struct *mm)
{
	might_sleep();
	membox_host_unname(host, mdev);
	if (host->is_mapped)
		unmap(host, &mdev->pdev->dev);
	if (host->has_table)
		sg_free_table(&host->table);
	host->has_table = false;
	if (host->npages)
		unpin_user_pages_dirty_lock(host->pages, host->npages, is_written(host));
	host->npages = 0;
	unlock_pages(mm, host);
	if (host->pages != host->few)
		kvfree(host->pages);
	host->pages = NULL;
}
