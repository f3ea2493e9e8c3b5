// SPDX-License-Identifier: GPL-2.0-only
/*
 * packet.c - a user's packet becomes a descriptor: checked, its memory pinned
 * (or found in a region), mapped for the device, and named by DMA address. Works
 * on the one private copy of the packet; nothing is read from the user twice.
 *
 * A request owns its pinned pages until membox_packet_release(), whatever
 * becomes of the process. No locks.
 */
#include <linux/dma-direction.h>

#include "membox_dev.h"

static const u16 region_flag[MEMBOX_HOSTREFS] = { MEMBOX_F_REGION, MEMBOX_F_REGION2 };

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

static u32 key_field(unsigned int i)
{
	return i ? MEMBOX_AT(coll.recv.key) : MEMBOX_AT(host.key);
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

/* Bytes that a well-formed packet pins: not those of regions, which are pinned. */
u64 membox_packet_charge(const struct membox_packet *p)
{
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < MEMBOX_HOSTREFS; i++)
		if (!(p->flags & region_flag[i]))
			bytes += host_bytes(p, i);
	return bytes;
}

static bool names_region(const struct membox_req *req, unsigned int i)
{
	return req->desc.flags & region_flag[i];
}

/* The region that reference i names, held, or NULL: there is none such. */
static struct membox_region *get_region(struct membox_req *req, unsigned int i)
{
	u32 right = host_is_written(&req->desc, i) ? MEMBOX_WIN_WRITE : MEMBOX_WIN_READ;

	return membox_region_get(req->ctx, hostref(&req->desc, i)->key, right);
}

static bool is_in_region(struct membox_req *req, const struct membox_region *region, unsigned int i)
{
	return membox_region_has(region, hostref(&req->desc, i)->addr, host_bytes(&req->desc, i));
}

/* Says of which field a status tells. Returns the status. */
static int refuse(struct membox_req *req, u32 field, int status)
{
	req->c.detail = field;
	return status;
}

/* Are the regions there, and what is named of them? 0 or a status. They are not held afterwards. */
static int check_regions(struct membox_req *req)
{
	struct membox_region *region[MEMBOX_HOSTREFS] = {};
	int ret = MEMBOX_ST_OK;
	unsigned int i;

	for (i = 0; i < MEMBOX_HOSTREFS && !ret; i++) {
		if (!names_region(req, i))
			continue;
		region[i] = get_region(req, i);
		if (!region[i])
			ret = refuse(req, key_field(i), MEMBOX_ST_BAD_REGION);
	}
	for (i = 0; i < MEMBOX_HOSTREFS && !ret; i++)
		if (region[i] && !is_in_region(req, region[i], i))
			ret = refuse(req, host_field(i), MEMBOX_ST_REGION_RANGE);
	for (i = 0; i < MEMBOX_HOSTREFS; i++)
		if (region[i])
			membox_region_put(region[i]);
	return ret;
}

/* Takes hold of what reference i of the packet names. 0, a status, or -EINTR. */
static int pin_host(struct membox_req *req, unsigned int i)
{
	struct membox_host *host = &req->host[i];
	u64 addr = hostref(&req->desc, i)->addr;
	u64 bytes = host_bytes(&req->desc, i);

	if (!bytes || names_region(req, i))
		return MEMBOX_ST_OK;
	host->dir = host_is_written(&req->desc, i) ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	return membox_host_pin(host, req->ctx->mdev, req->ctx->mm, addr, bytes,
			       may_park(&req->desc));
}

/*
 * Makes reference i of a packet name the DMA addresses of its region, which is held
 * from here on. The region may have gone since it was checked.
 */
static int map_region(struct membox_dev *mdev, struct membox_req *req, unsigned int i)
{
	struct membox_host *host = &req->host[i];
	struct membox_hostref *ref = hostref(&req->desc, i);
	struct membox_seg_iter it;

	host->region = get_region(req, i);
	if (!host->region)
		return refuse(req, key_field(i), MEMBOX_ST_BAD_REGION);
	if (!is_in_region(req, host->region, i))
		return refuse(req, host_field(i), MEMBOX_ST_REGION_RANGE);
	membox_region_segs(host->region, ref->addr, host_bytes(&req->desc, i), &it);
	ref->key = 0;
	req->desc.flags &= ~region_flag[i];
	return refuse(req, host_field(i), membox_host_name(host, mdev, &it, ref));
}

/* Makes reference i of the packet name DMA addresses. 0 or a status. */
static int map_host(struct membox_dev *mdev, struct membox_req *req, unsigned int i)
{
	struct membox_host *host = &req->host[i];
	struct membox_seg_iter it;
	int ret;

	if (names_region(req, i))
		return map_region(mdev, req, i);
	if (!host->has_table)
		return MEMBOX_ST_OK;
	ret = membox_host_map(host, mdev);
	if (!ret) {
		membox_seg_start(&it, &host->table);
		ret = membox_host_name(host, mdev, &it, hostref(&req->desc, i));
	}
	return refuse(req, host_field(i), ret);
}

/**
 * membox_packet_pin() - takes hold of the user memory that a packet names
 * @req: with desc as the user wrote it and well-formed (membox_check_packet())
 *
 * May wait for the user's pages as long as a page fault does, and so holds
 * nothing of the device meanwhile: no region either, for which stopping waits.
 *
 * Return: 0; a positive status, with req->c.detail set, for a completion that
 * says why; or -EINTR. In all cases membox_packet_release() undoes it.
 */
int membox_packet_pin(struct membox_req *req)
{
	unsigned int i;
	int ret;

	might_sleep();
	ret = check_regions(req);
	for (i = 0; i < MEMBOX_HOSTREFS && !ret; i++) {
		ret = pin_host(req, i);
		if (ret)
			req->c.detail = host_field(i);
	}
	return ret;
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
		if (ret)
			return ret;
	}
	req->c.detail = 0;
	req->desc.context = req->ctx->number;
	return MEMBOX_ST_OK;
}

/* Gives everything back. The device has no business with the request's memory any more. */
void membox_packet_release(struct membox_req *req)
{
	struct membox_dev *mdev = req->ctx->mdev;
	unsigned int i;

	might_sleep();
	for (i = 0; i < MEMBOX_HOSTREFS; i++) {
		struct membox_host *host = &req->host[i];

		membox_host_release(host, mdev, req->ctx->mm);
		if (host->region)
			membox_region_put(host->region);
		host->region = NULL;
	}
	if (req->is_mapped)
		percpu_ref_put(&mdev->mappings);
	req->is_mapped = false;
}
