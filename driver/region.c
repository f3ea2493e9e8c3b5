// SPDX-License-Identifier: GPL-2.0-only
/*
 * region.c - registered memory: pinned and mapped once, for long, and named by a
 * key in packets and in the descriptors of user queues.
 *
 *	key = generation << 16 | index
 *
 * The index is unique in the device and given again when the region has gone, with
 * the next generation: a stale key names nothing. The device gets the list of the
 * region once, if it knows regions (MEMBOX_CAP_REGIONS); for packets that come
 * through the driver the list is cut to what they name, and the device sees only
 * addresses.
 *
 * The context's table holds a region, and each request that names it does. Its
 * memory is given back with the last of these, and not before the device has let
 * go of it: REGION_DEL and the end of the context see to that, or the device was
 * stopped. A region holds a reference of mdev->mappings, for which stopping waits.
 *
 * The lock of ctx->regions covers the table; nothing is taken inside it. Numbers
 * are under the lock of mdev->region_ids, a number's generation is its owner's.
 */
#include <linux/dma-direction.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "membox_dev.h"

#define INDEX_BITS 16
#define CONTEXT_REGIONS 256	 /* at most of one context */
#define MAX_BYTES (4ULL << 30)	 /* of one region */
#define ALIGNMENT 8		 /* so that offsets are aligned as addresses are */
#define LOOK_AGAIN (HZ / 20)	 /* for requests that are still on their way to the queue */
#define GIVE_UP (10 * HZ)

struct membox_region {
	struct kref ref;
	struct membox_ctx *ctx;
	u32 key;
	u32 rights; /* MEMBOX_WIN_*: what the device may do */
	u64 length;
	struct membox_host host;
	struct membox_run *runs;
	u32 nruns;
	bool is_counted; /* holds a reference of mdev->mappings */
	bool is_usable;	 /* in the table, and the device knows it; lock of ctx->regions */
};

/* The device's table: indices in use, and how often each was given. */
int membox_regions_init(struct membox_dev *mdev)
{
	ida_init(&mdev->region_ids);
	mdev->region_generation = kcalloc(MEMBOX_REGIONS, sizeof(*mdev->region_generation),
					  GFP_KERNEL);
	return mdev->region_generation ? 0 : -ENOMEM;
}

void membox_regions_exit(struct membox_dev *mdev)
{
	ida_destroy(&mdev->region_ids);
	kfree(mdev->region_generation);
}

static u32 index_of(u32 key)
{
	return key & (BIT(INDEX_BITS) - 1);
}

/* 0 or -errno. The index is the caller's, so that nobody else touches its generation. */
static int new_key(struct membox_dev *mdev, u32 *key)
{
	int index = ida_alloc_max(&mdev->region_ids, mdev->max_regions - 1, GFP_KERNEL);
	u16 *generation;

	if (index < 0)
		return index == -ENOSPC ? -EMFILE : index;
	generation = &mdev->region_generation[index];
	if (!++*generation)
		++*generation;
	*key = (u32)*generation << INDEX_BITS | index;
	return 0;
}

static void free_region(struct membox_region *region)
{
	struct membox_ctx *ctx = region->ctx;
	struct membox_dev *mdev = ctx->mdev;

	kvfree(region->runs);
	membox_host_release(&region->host, mdev, ctx->mm);
	if (region->is_counted)
		percpu_ref_put(&mdev->mappings);
	if (region->key)
		ida_free(&mdev->region_ids, index_of(region->key));
	membox_ctx_put(ctx);
	kfree(region);
}

static void region_release(struct kref *ref)
{
	free_region(container_of(ref, struct membox_region, ref));
}

/* May sleep: the last one gives the memory back. */
void membox_region_put(struct membox_region *region)
{
	struct membox_ctx *ctx = region->ctx;

	might_sleep();
	membox_ctx_get(ctx);
	kref_put(&region->ref, region_release);
	wake_up_all(&ctx->wait); /* who takes the region away waits for its users */
	membox_ctx_put(ctx);
}

/* The context's region with that key and these rights, held, or NULL. */
struct membox_region *membox_region_get(struct membox_ctx *ctx, u32 key, u32 rights)
{
	struct membox_region *region;

	xa_lock(&ctx->regions);
	region = xa_load(&ctx->regions, index_of(key));
	if (region && (region->key != key || !region->is_usable || rights & ~region->rights))
		region = NULL;
	if (region)
		kref_get(&region->ref);
	xa_unlock(&ctx->regions);
	return region;
}

/* Does the range lie in the region? Its sum was checked not to overflow. */
bool membox_region_has(const struct membox_region *region, u64 offset, u64 bytes)
{
	return offset + bytes <= region->length;
}

/* Begins a walk over the segments of a range that lies in the region. */
void membox_region_segs(const struct membox_region *region, u64 offset, u64 bytes,
			struct membox_seg_iter *it)
{
	membox_seg_start_runs(it, region->runs, region->nruns, offset, bytes);
}

/* ---- adding ---- */

static int take_memory(struct membox_region *region, u64 addr)
{
	struct membox_dev *mdev = region->ctx->mdev;
	struct membox_seg_iter it;
	int ret;

	ret = membox_host_pin(&region->host, mdev, region->ctx->mm, addr, region->length, true);
	if (!ret && !percpu_ref_tryget_live(&mdev->mappings))
		return -EAGAIN;
	if (!ret) {
		region->is_counted = true;
		ret = membox_host_map(&region->host, mdev);
	}
	if (ret)
		return ret > 0 ? -membox_status_errno(ret) : ret;
	membox_seg_start(&it, &region->host.table);
	region->nruns = membox_seg_count(it);
	if (region->nruns > MEMBOX_SGL_MAX)
		return MEMBOX_ST_TOO_LONG;
	region->runs = kvmalloc_array(region->nruns + 1, sizeof(*region->runs),
				      GFP_KERNEL_ACCOUNT);
	if (!region->runs)
		return -ENOMEM;
	membox_runs_fill(region->runs, it);
	return 0;
}

static int tell_device(struct membox_region *region, u8 opcode)
{
	struct membox_dev *mdev = region->ctx->mdev;
	struct membox_region_hw hw = {
		.size = sizeof(hw),
		.key = region->key,
		.context = region->ctx->number,
		.rights = region->rights,
		.length = region->length,
	};
	struct membox_hostref ref = {};
	struct membox_seg_iter it;
	int ret;

	if (!(mdev->caps & MEMBOX_CAP_REGIONS))
		return 0;
	if (opcode == MEMBOX_ADM_REGION_ADD) {
		membox_seg_start(&it, &region->host.table);
		ret = membox_host_name(&region->host, mdev, &it, &ref);
		if (ret)
			return ret;
		hw.addr = ref.addr;
		hw.nseg = ref.nseg;
	}
	/* until it has ended the device may read the list, and write to the memory */
	return membox_admin(mdev, 0, opcode, &hw, sizeof(hw), MEMBOX_ADMIN_MUST);
}

/*
 * Into the table, not yet usable. From here on the region is given back by whoever
 * takes it out, which is the one who stops the device when nobody else does.
 */
static int enter(struct membox_region *region)
{
	struct membox_ctx *ctx = region->ctx;
	u32 index = index_of(region->key);
	int ret;

	ret = xa_reserve(&ctx->regions, index, GFP_KERNEL_ACCOUNT);
	if (ret)
		return ret;
	xa_lock(&ctx->regions);
	if (membox_ctx_is_stale(ctx)) {
		ret = -EAGAIN;
	} else if (ctx->nregions >= CONTEXT_REGIONS) {
		ret = -EMFILE;
	} else {
		__xa_store(&ctx->regions, index, region, 0);
		kref_get(&region->ref); /* the table's */
		ctx->nregions++;
	}
	xa_unlock(&ctx->regions);
	if (ret)
		xa_release(&ctx->regions, index);
	return ret;
}

/* True: it was in the table, and is the caller's now. */
static bool leave(struct membox_region *region)
{
	struct membox_ctx *ctx = region->ctx;
	u32 index = index_of(region->key);
	bool was_there;

	xa_lock(&ctx->regions);
	was_there = xa_load(&ctx->regions, index) == region;
	if (was_there) {
		__xa_erase(&ctx->regions, index);
		ctx->nregions--;
	}
	xa_unlock(&ctx->regions);
	return was_there;
}

static void set_usable(struct membox_region *region)
{
	xa_lock(&region->ctx->regions);
	region->is_usable = true;
	xa_unlock(&region->ctx->regions);
}

/* Was the command executed, or at least never sent? Else only stopping the device ends it. */
static bool is_answered(int ret)
{
	return ret >= 0 || ret == -EBUSY;
}

static struct membox_region *new_region(struct membox_ctx *ctx,
					const struct membox_region_args *args)
{
	struct membox_region *region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);

	if (!region)
		return NULL;
	kref_init(&region->ref);
	membox_ctx_get(ctx);
	region->ctx = ctx;
	region->rights = args->rights;
	region->length = args->length;
	region->host.dir = args->rights == MEMBOX_WIN_READ ? DMA_TO_DEVICE :
			   args->rights == MEMBOX_WIN_WRITE ? DMA_FROM_DEVICE : DMA_BIDIRECTIONAL;
	return region;
}

/* The REGION_ADD ioctl: 0, a positive status, or -errno. */
int membox_region_add(struct membox_ctx *ctx, struct membox_region_args *args)
{
	struct membox_region *region;
	int ret;

	if (args->rsvd || args->key || !args->length || args->length > MAX_BYTES ||
	    args->addr + args->length < args->addr || args->addr % ALIGNMENT || !args->rights ||
	    args->rights & ~(MEMBOX_WIN_READ | MEMBOX_WIN_WRITE))
		return -EINVAL;
	if (!ctx->mdev->max_regions)
		return MEMBOX_ST_UNSUPPORTED;
	region = new_region(ctx, args);
	if (!region)
		return -ENOMEM;
	ret = new_key(ctx->mdev, &region->key);
	if (!ret)
		ret = take_memory(region, args->addr);
	if (!ret)
		ret = enter(region);
	if (ret)
		goto put;
	ret = tell_device(region, MEMBOX_ADM_REGION_ADD);
	if (is_answered(ret))
		membox_host_unname(&region->host, ctx->mdev);
	if (!ret) {
		args->key = region->key;
		set_usable(region);
	} else if (is_answered(ret) && leave(region)) {
		membox_region_put(region);
	}
put:
	membox_region_put(region);
	return ret;
}

/* ---- taking away ---- */

/* The region of that key; nothing new may use it from here on. NULL: there is none such. */
static struct membox_region *retire(struct membox_ctx *ctx, u32 key)
{
	struct membox_region *region;

	xa_lock(&ctx->regions);
	region = xa_load(&ctx->regions, index_of(key));
	if (region && (region->key != key || !region->is_usable))
		region = NULL;
	if (region) {
		region->is_usable = false;
		kref_get(&region->ref);
	}
	xa_unlock(&ctx->regions);
	return region;
}

static bool uses(const struct membox_req *req, const void *arg)
{
	unsigned int i;

	for (i = 0; i < MEMBOX_HOSTREFS; i++)
		if (req->host[i].region == arg)
			return true;
	return false;
}

/* Has nobody the region but the table and the caller? */
static bool is_unused(const struct membox_region *region)
{
	return kref_read(&region->ref) <= 2;
}

/* Ends packets that came through the driver and name the region. 0, -EINTR, -ETIMEDOUT. */
static int end_users(struct membox_region *region)
{
	struct membox_ctx *ctx = region->ctx;
	unsigned long deadline = jiffies + GIVE_UP;

	while (!is_unused(region)) {
		/* some may not be in the queue yet */
		membox_queue_abort(ctx->queue, ctx, uses, region);
		if (wait_event_killable_timeout(ctx->wait, is_unused(region), LOOK_AGAIN) < 0)
			return -EINTR;
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
	}
	return 0;
}

/*
 * The REGION_DEL ioctl: 0, a positive status, or -errno. When it has failed with
 * -errno the region cannot be used any more, but stays until the context ends.
 */
int membox_region_del(struct membox_ctx *ctx, const struct membox_region_args *args)
{
	struct membox_region *region;
	int ret;

	if (args->rights || args->addr || args->length || args->rsvd)
		return -EINVAL;
	region = retire(ctx, args->key);
	if (!region)
		return MEMBOX_ST_BAD_REGION;
	ret = end_users(region);
	if (!ret)
		ret = tell_device(region, MEMBOX_ADM_REGION_DEL);
	if (ret >= 0 && leave(region))
		membox_region_put(region);
	membox_region_put(region);
	return ret;
}

/* Empties the table of a context whose regions the device does not know any more. */
void membox_regions_release(struct membox_ctx *ctx)
{
	struct membox_region *region;
	unsigned long index;

	xa_for_each(&ctx->regions, index, region)
		if (leave(region))
			membox_region_put(region);
}
