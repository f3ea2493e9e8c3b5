// SPDX-License-Identifier: GPL-2.0-only
/*
 * packet.c - a user's packet becomes a descriptor: checked, its memory pinned,
 * mapped for the device, and named by DMA address. Works on the one private
 * copy of the packet; nothing is read from the user twice.
 *
 * A request owns its pinned pages until membox_packet_release(), whatever
 * becomes of the process. No locks.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/mm.h>
#include <linux/resource.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "membox_dev.h"

/* The packet's reference number i (0: host, 1: host2), its bytes and direction. */
static struct membox_hostref *hostref(struct membox_packet *p, unsigned int i)
{
	return i ? &p->coll.recv : &p->host;
}

static u64 host_bytes(const struct membox_packet *p, unsigned int i)
{
	return i ? membox_host2_bytes(p) : membox_host_bytes(p);
}

static bool host_is_written(const struct membox_packet *p, unsigned int i)
{
	return i ? membox_host2_is_written(p->opcode) : membox_host_is_written(p->opcode);
}

static u32 host_field(unsigned int i)
{
	return i ? MEMBOX_AT(coll.recv.addr) : MEMBOX_AT(host.addr);
}

/*
 * May the command stay with the device for long? Then its pages must not lie where
 * they are in the way of others, and count as locked memory of the process.
 */
static bool may_park(const struct membox_packet *p)
{
	struct membox_op_info op;

	return p->flags & MEMBOX_F_FENCE ||
	       (membox_op_lookup(p->opcode, &op) && op.optional & MBF_TIMEOUT);
}

/* Bytes that a well-formed packet pins. */
u64 membox_packet_charge(const struct membox_packet *p)
{
	return host_bytes(p, 0) + host_bytes(p, 1);
}

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

/* Returns 0, a positive status, or -EINTR. */
static int pin(struct mm_struct *mm, struct membox_host *host, u64 addr, u64 bytes, bool longterm)
{
	unsigned int flags = (host->is_written ? FOLL_WRITE : 0) | (longterm ? FOLL_LONGTERM : 0);
	unsigned long start = addr & PAGE_MASK;
	unsigned int want = (offset_in_page(addr) + bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;

	if (longterm && !lock_pages(mm, host, want))
		return MEMBOX_ST_NO_MEMORY;
	if (want <= MEMBOX_FEW_PAGES)
		host->pages = host->few;
	else
		host->pages = kvmalloc_array(want, sizeof(*host->pages), GFP_KERNEL_ACCOUNT);
	if (!host->pages)
		return MEMBOX_ST_NO_MEMORY;
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

static enum dma_data_direction direction(const struct membox_host *host)
{
	return host->is_written ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
}

/*
 * Packets in flight may name the same memory, or neighbours in a cache line, which
 * is their user's business. The attribute says that this is known; the caches, or
 * a bounce buffer, are synchronised by the calls beside it all the same.
 */
static int map(struct device *dev, struct membox_host *host)
{
	if (dma_map_sgtable(dev, &host->table, direction(host), DMA_ATTR_SKIP_CPU_SYNC))
		return MEMBOX_ST_NO_MEMORY;
	dma_sync_sgtable_for_device(dev, &host->table, direction(host));
	host->is_mapped = true;
	return MEMBOX_ST_OK;
}

static void unmap(struct device *dev, struct membox_host *host)
{
	dma_sync_sgtable_for_cpu(dev, &host->table, direction(host));
	dma_unmap_sgtable(dev, &host->table, direction(host), DMA_ATTR_SKIP_CPU_SYNC);
	host->is_mapped = false;
}

/* Gets the pages of the scatter-gather list from the device's pool and fills them. */
static int build_list(struct membox_dev *mdev, struct membox_host *host, u32 nseg)
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
	membox_sgl_fill(host->sgl, &host->table, nseg);
	return MEMBOX_ST_OK;
}

/* Pins what reference i of the packet names. 0, a status, or -EINTR. */
static int pin_host(struct membox_req *req, unsigned int i)
{
	struct membox_host *host = &req->host[i];
	u64 addr = hostref(&req->desc, i)->addr;
	u64 bytes = host_bytes(&req->desc, i);
	int ret;

	if (!bytes)
		return MEMBOX_ST_OK;
	host->is_written = host_is_written(&req->desc, i);
	ret = pin(req->ctx->mm, host, addr, bytes, may_park(&req->desc));
	if (ret)
		return ret;
	if (sg_alloc_table_from_pages(&host->table, host->pages, host->npages,
				      offset_in_page(addr), bytes, GFP_KERNEL_ACCOUNT))
		return MEMBOX_ST_NO_MEMORY;
	host->has_table = true;
	return MEMBOX_ST_OK;
}

/* Makes reference i of the packet name DMA addresses. 0 or a status. */
static int map_host(struct membox_dev *mdev, struct membox_req *req, unsigned int i)
{
	struct membox_host *host = &req->host[i];
	struct membox_hostref *ref = hostref(&req->desc, i);
	struct membox_seg_iter it;
	struct membox_seg seg;
	u32 nseg;
	int ret;

	if (!host->has_table)
		return MEMBOX_ST_OK;
	ret = map(&mdev->pdev->dev, host);
	if (ret)
		return ret;
	nseg = membox_seg_count(&host->table);
	if (nseg == 1) {
		membox_seg_start(&it, &host->table);
		membox_seg_next(&it, &seg);
		ref->addr = seg.addr;
		return MEMBOX_ST_OK;
	}
	ret = build_list(mdev, host, nseg);
	if (ret)
		return ret;
	ref->addr = host->sgl[0].dma;
	ref->nseg = nseg;
	return MEMBOX_ST_OK;
}

/**
 * membox_packet_pin() - takes hold of the user memory that a packet names
 * @req: with desc as the user wrote it and well-formed (membox_check_packet())
 *
 * May wait for the user's pages as long as a page fault does, and so holds
 * nothing of the device meanwhile.
 *
 * Return: 0; a positive status, with req->c.detail set, for a completion that
 * says why; or -EINTR. In all cases membox_packet_release() undoes it.
 */
int membox_packet_pin(struct membox_req *req)
{
	static const u16 region_flag[MEMBOX_HOSTREFS] = { MEMBOX_F_REGION, MEMBOX_F_REGION2 };
	unsigned int i;
	int ret;

	might_sleep();
	for (i = 0; i < MEMBOX_HOSTREFS; i++) {
		req->c.detail = i ? MEMBOX_AT(coll.recv.key) : MEMBOX_AT(host.key);
		if (req->desc.flags & region_flag[i])
			return MEMBOX_ST_BAD_REGION;
	}
	for (i = 0; i < MEMBOX_HOSTREFS; i++) {
		req->c.detail = host_field(i);
		ret = pin_host(req, i);
		if (ret)
			return ret;
	}
	req->c.detail = 0;
	return MEMBOX_ST_OK;
}

/**
 * membox_packet_map() - makes a pinned packet into a descriptor
 * @req: request
 *
 * Waits for memory at most. A mapped request keeps the device's remove function
 * waiting, so the caller hands it to a queue or releases it without delay.
 *
 * Return: 0, a positive status, or -EAGAIN: the device is stopped. In all cases
 * membox_packet_release() undoes it.
 */
int membox_packet_map(struct membox_req *req)
{
	struct membox_dev *mdev = req->ctx->mdev;
	unsigned int i;
	int ret;

	might_sleep();
	if (!percpu_ref_tryget_live(&mdev->mappings))
		return -EAGAIN;
	req->is_mapped = true;
	for (i = 0; i < MEMBOX_HOSTREFS; i++) {
		ret = map_host(mdev, req, i);
		if (ret) {
			req->c.detail = host_field(i);
			return ret;
		}
	}
	req->desc.context = req->ctx->number;
	return MEMBOX_ST_OK;
}

static void release_host(struct membox_ctx *ctx, struct membox_host *host)
{
	struct membox_dev *mdev = ctx->mdev;

	for (; host->nsgl; host->nsgl--) {
		struct membox_sgl_page *page = &host->sgl[host->nsgl - 1];

		dma_pool_free(mdev->sgl_pool, page->entry, page->dma);
	}
	kvfree(host->sgl);
	host->sgl = NULL;
	if (host->is_mapped)
		unmap(&mdev->pdev->dev, host);
	if (host->has_table)
		sg_free_table(&host->table);
	host->has_table = false;
	if (host->npages)
		unpin_user_pages_dirty_lock(host->pages, host->npages, host->is_written);
	host->npages = 0;
	unlock_pages(ctx->mm, host);
	if (host->pages != host->few)
		kvfree(host->pages);
	host->pages = NULL;
}

/* Gives everything back. The device has no business with the request's memory any more. */
void membox_packet_release(struct membox_req *req)
{
	struct membox_dev *mdev = req->ctx->mdev;
	unsigned int i;

	might_sleep();
	for (i = 0; i < MEMBOX_HOSTREFS; i++)
		release_host(req->ctx, &req->host[i]);
	if (req->is_mapped)
		percpu_ref_put(&mdev->mappings);
	req->is_mapped = false;
}
