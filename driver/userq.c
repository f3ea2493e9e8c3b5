// SPDX-License-Identifier: GPL-2.0-only
/*
 * userq.c - user queues: pairs of rings that a process maps and works with by
 * itself. The driver makes them, passes interrupts on, and takes them away; it
 * believes nothing that stands in them.
 *
 *	token = MEMBOX_UQUEUE_TOKENS | number << NUMBER_SHIFT | part << PART_SHIFT
 *
 * number is the device's, after those of the driver's own queues. The rings are
 * pages of the kernel that the process' page tables hold, too: they stay mapped
 * as long as it likes, whatever becomes of the queue. The doorbell is a page of
 * the device; when the queue has gone, in any way, a page that means nothing takes
 * its place at the next touch.
 *
 * The context's table has the queues that the device may know. Who takes one out
 * of it gives its memory back: QUEUE_DELETE, the end of the context, or who stops the
 * device. Each holds a reference of mdev->mappings, for which stopping waits, and so
 * does who tells the device of a queue: so that number means this queue until the
 * device has answered.
 *
 * ctx->window_lock covers the context's table and the page tables of doorbells,
 * the lock of mdev->uqueues the device's.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "membox_dev.h"

#define NUMBER_SHIFT 32
#define PART_SHIFT 28
#define TOKEN(number, part) \
	(MEMBOX_UQUEUE_TOKENS | (u64)(number) << NUMBER_SHIFT | (u64)(part) << PART_SHIFT)

enum { PART_SQ, PART_CQ, PART_CTL, NR_RINGS, PART_DB = NR_RINGS };

struct ring_pages {
	void *at;
	size_t bytes;
	dma_addr_t dma;
	bool is_mapped; /* for DMA */
};

struct membox_uqueue {
	struct membox_ctx *ctx;
	u16 number;
	u16 vector;
	u8 sq_log2;
	u8 cq_log2;
	struct ring_pages ring[NR_RINGS];
	bool is_counted;  /* holds a reference of mdev->mappings */
	bool is_made;	  /* the device said so; window_lock */
	bool is_live;	  /* may be rung and mapped; window_lock */
	bool is_ending;	  /* QUEUE_DELETE is at it; window_lock */
	u64 told;	  /* state() of which its user was told last; lock of mdev->uqueues */
};

/* ---- memory ---- */

static int alloc_rings(struct membox_uqueue *uq)
{
	const size_t bytes[NR_RINGS] = {
		[PART_SQ] = sizeof(struct membox_packet) << uq->sq_log2,
		[PART_CQ] = sizeof(struct membox_completion) << uq->cq_log2,
		[PART_CTL] = PAGE_SIZE,
	};
	unsigned int i;

	for (i = 0; i < NR_RINGS; i++) {
		uq->ring[i].bytes = bytes[i];
		uq->ring[i].at = alloc_pages_exact(bytes[i], GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!uq->ring[i].at)
			return -ENOMEM;
	}
	return 0;
}

/* Both sides write to ctl at any time: nothing here works without coherent DMA. */
static int map_rings(struct membox_uqueue *uq)
{
	struct membox_dev *mdev = uq->ctx->mdev;
	struct device *dev = &mdev->pdev->dev;
	unsigned int i;

	if (!percpu_ref_tryget_live(&mdev->mappings))
		return -EAGAIN;
	uq->is_counted = true;
	for (i = 0; i < NR_RINGS; i++) {
		struct ring_pages *r = &uq->ring[i];

		r->dma = dma_map_single(dev, r->at, r->bytes, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, r->dma))
			return -ENOMEM;
		r->is_mapped = true;
	}
	return 0;
}

/* The device knows nothing of the queue, or was stopped; nobody finds it any more. */
static void free_queue(struct membox_uqueue *uq)
{
	struct membox_dev *mdev = uq->ctx->mdev;
	unsigned int i;

	if (uq->number)
		xa_erase(&mdev->uqueues, uq->number);
	for (i = 0; i < NR_RINGS; i++) {
		struct ring_pages *r = &uq->ring[i];

		if (r->is_mapped)
			dma_unmap_single(&mdev->pdev->dev, r->dma, r->bytes, DMA_BIDIRECTIONAL);
		if (r->at)
			free_pages_exact(r->at, r->bytes);
	}
	if (uq->is_counted)
		percpu_ref_put(&mdev->mappings);
	kfree(uq);
}

/* ---- making ---- */

static int take_number(struct membox_uqueue *uq)
{
	struct membox_dev *mdev = uq->ctx->mdev;
	u32 first = mdev->nqueues + 1, number;
	int ret;

	ret = xa_alloc(&mdev->uqueues, &number, uq, XA_LIMIT(first, first + mdev->nuqueues - 1),
		       GFP_KERNEL_ACCOUNT);
	if (ret)
		return ret == -EBUSY ? -EMFILE : ret;
	uq->number = number;
	uq->vector = membox_irq_vector(mdev, number);
	return 0;
}

/* Into the context's table; from here on it is whoever's who takes it out. */
static int enter(struct membox_uqueue *uq)
{
	struct membox_ctx *ctx = uq->ctx;
	int ret = 0;

	mutex_lock(&ctx->window_lock);
	if (membox_ctx_is_stale(ctx))
		ret = -EAGAIN;
	if (!ret && !ctx->nothing) {
		ctx->nothing = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		ret = ctx->nothing ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = xa_err(xa_store(&ctx->uqueues, uq->number, uq, GFP_KERNEL_ACCOUNT));
	mutex_unlock(&ctx->window_lock);
	return ret;
}

/* Takes the queue out of the table, if it is that one still: then it is the caller's. */
static bool leave(struct membox_ctx *ctx, u16 number, const struct membox_uqueue *uq)
{
	bool was_there;

	mutex_lock(&ctx->window_lock);
	was_there = xa_load(&ctx->uqueues, number) == uq;
	if (was_there)
		xa_erase(&ctx->uqueues, number);
	mutex_unlock(&ctx->window_lock);
	return was_there;
}

/* Lets the queue be mapped; -EAGAIN: the device was stopped meanwhile, and the queue has gone. */
static int go_live(struct membox_ctx *ctx, u16 number, struct membox_uqueue *uq)
{
	int ret = -EAGAIN;

	mutex_lock(&ctx->window_lock);
	if (xa_load(&ctx->uqueues, number) == uq && !membox_ctx_is_stale(ctx)) {
		uq->is_made = true;
		uq->is_live = true;
		ret = 0;
	}
	mutex_unlock(&ctx->window_lock);
	return ret;
}

/* What the device is told of the queue. */
static struct membox_queue_args describe(const struct membox_uqueue *uq)
{
	return (struct membox_queue_args) {
		.size = sizeof(struct membox_queue_args),
		.queue = uq->number,
		.vector = uq->vector,
		.sq_addr = uq->ring[PART_SQ].dma,
		.cq_addr = uq->ring[PART_CQ].dma,
		.ctl_addr = uq->ring[PART_CTL].dma,
		.sq_log2 = uq->sq_log2,
		.cq_log2 = uq->cq_log2,
		.context = uq->ctx->number,
		.flags = MEMBOX_QUEUE_USER,
	};
}

/* Gets all that the queue needs, says in hw what it is, and enters it. */
static int prepare(struct membox_uqueue *uq, struct membox_queue_args *hw)
{
	int ret = alloc_rings(uq);

	if (!ret)
		ret = map_rings(uq);
	if (!ret)
		ret = take_number(uq);
	if (!ret) {
		*hw = describe(uq);
		ret = enter(uq);
	}
	return ret;
}

static bool is_sensible(const struct membox_dev *mdev, const struct membox_uqueue_args *args)
{
	return !args->flags && !args->rsvd && !args->queue && !args->sq_offset &&
	       !args->cq_offset && !args->ctl_offset && !args->db_offset &&
	       args->sq_log2 >= MEMBOX_UQUEUE_MIN_SQ_LOG2 && args->sq_log2 <= mdev->max_log2 &&
	       args->cq_log2 >= MEMBOX_UQUEUE_MIN_CQ_LOG2 && args->cq_log2 >= args->sq_log2 &&
	       args->cq_log2 <= mdev->max_log2;
}

/* The caller holds mdev->mappings. */
static int create(struct membox_ctx *ctx, struct membox_uqueue_args *args)
{
	struct membox_dev *mdev = ctx->mdev;
	struct membox_queue_args hw;
	struct membox_uqueue *uq;
	u16 number;
	int ret;

	uq = kzalloc(sizeof(*uq), GFP_KERNEL_ACCOUNT);
	if (!uq)
		return -ENOMEM;
	uq->ctx = ctx;
	uq->sq_log2 = args->sq_log2;
	uq->cq_log2 = args->cq_log2;
	ret = prepare(uq, &hw);
	if (ret) {
		free_queue(uq);
		return ret;
	}
	/* uq is not to be touched any more: who stops the device frees it */
	number = hw.queue;
	ret = membox_admin(mdev, 0, MEMBOX_ADM_QUEUE_CREATE, &hw, sizeof(hw), MEMBOX_ADMIN_MUST);
	/* one that was sent and not answered ends with the device */
	if ((ret > 0 || ret == -EBUSY) && leave(ctx, number, uq))
		free_queue(uq);
	if (!ret)
		ret = go_live(ctx, number, uq);
	if (ret)
		return ret;
	args->queue = number;
	args->sq_offset = TOKEN(number, PART_SQ);
	args->cq_offset = TOKEN(number, PART_CQ);
	args->ctl_offset = TOKEN(number, PART_CTL);
	args->db_offset = TOKEN(number, PART_DB);
	return 0;
}

/* The QUEUE_CREATE ioctl: 0, a positive status, or -errno (EMFILE: all are in use). */
int membox_uqueue_create(struct membox_ctx *ctx, struct membox_uqueue_args *args)
{
	struct membox_dev *mdev = ctx->mdev;
	int ret;

	if (!mdev->nuqueues)
		return MEMBOX_ST_UNSUPPORTED;
	if (!is_sensible(mdev, args))
		return -EINVAL;
	/* a device that is stopped and started meanwhile would take the command for another's */
	if (!percpu_ref_tryget_live(&mdev->mappings))
		return -EAGAIN;
	ret = create(ctx, args);
	percpu_ref_put(&mdev->mappings);
	return ret;
}

/* ---- mapping ---- */

static unsigned int number_of(unsigned long pgoff)
{
	return ((u64)pgoff << PAGE_SHIFT) >> NUMBER_SHIFT & U16_MAX;
}

static unsigned int part_of(unsigned long pgoff)
{
	return ((u64)pgoff << PAGE_SHIFT) >> PART_SHIFT & 0xf;
}

bool membox_uqueue_is_token(unsigned long pgoff)
{
	return pgoff >= MEMBOX_UQUEUE_TOKENS >> PAGE_SHIFT;
}

/* The live queue that the token belongs to, or NULL. */
static struct membox_uqueue *find(struct membox_ctx *ctx, unsigned long pgoff)
{
	struct membox_uqueue *uq = xa_load(&ctx->uqueues, number_of(pgoff));

	lockdep_assert_held(&ctx->window_lock);
	return uq && uq->is_live && !membox_ctx_is_stale(ctx) ? uq : NULL;
}

static vm_fault_t doorbell_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct membox_ctx *ctx = vma->vm_file->private_data;
	const struct membox_uqueue *uq;
	unsigned long pfn;
	vm_fault_t ret;

	mutex_lock(&ctx->window_lock);
	uq = find(ctx, vma->vm_pgoff);
	pfn = page_to_pfn(ctx->nothing);
	if (uq)
		pfn = (pci_resource_start(ctx->mdev->pdev, MEMBOX_BAR_DOORBELL) +
		       uq->number * MEMBOX_DB_PAGE) >> PAGE_SHIFT;
	ret = vmf_insert_pfn(vma, vmf->address & PAGE_MASK, pfn);
	mutex_unlock(&ctx->window_lock);
	return ret;
}

static const struct vm_operations_struct doorbell_ops = {
	.fault = doorbell_fault,
};

static int map_pages(struct vm_area_struct *vma, const struct ring_pages *r)
{
	unsigned long done;
	int ret = 0;

	for (done = 0; done < r->bytes && !ret; done += PAGE_SIZE)
		ret = vm_insert_page(vma, vma->vm_start + done, virt_to_page(r->at + done));
	return ret;
}

static int map_part(struct membox_uqueue *uq, unsigned int part, struct vm_area_struct *vma)
{
	size_t bytes = part == PART_DB ? MEMBOX_DB_PAGE : uq->ring[part].bytes;
	vm_flags_t flags = VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP;
	vm_flags_t clear = VM_MAYEXEC;

	if (vma->vm_end - vma->vm_start != bytes)
		return -EINVAL;
	if (part == PART_CQ) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		clear |= VM_MAYWRITE;
	}
	if (part != PART_DB) {
		membox_vm_flags_mod(vma, flags, clear);
		return map_pages(vma, &uq->ring[part]);
	}
	membox_vm_flags_mod(vma, flags | VM_IO | VM_PFNMAP, clear);
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vma->vm_ops = &doorbell_ops;
	return 0;
}

/* mmap() of a part of a user queue, MAP_SHARED and all of it. */
int membox_uqueue_mmap(struct membox_ctx *ctx, struct vm_area_struct *vma)
{
	unsigned int number = number_of(vma->vm_pgoff), part = part_of(vma->vm_pgoff);
	struct membox_uqueue *uq;
	int ret = -EINVAL;

	if (!(vma->vm_flags & VM_MAYSHARE) || part > PART_DB ||
	    (u64)vma->vm_pgoff << PAGE_SHIFT != TOKEN(number, part))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	mutex_lock(&ctx->window_lock);
	uq = find(ctx, vma->vm_pgoff);
	if (uq)
		ret = map_part(uq, part, vma);
	mutex_unlock(&ctx->window_lock);
	return ret;
}

/* ---- completions ---- */

#define STATE_READY BIT_ULL(32)
#define STATE_HALTED BIT_ULL(33)

/*
 * The user's head, whether a completion stands there, and whether there will be none any
 * more. A guess: the user may write anything there.
 */
static u64 state(const struct membox_uqueue *uq)
{
	const struct membox_qctl *ctl = uq->ring[PART_CTL].at;
	const struct membox_completion *cq = uq->ring[PART_CQ].at;
	u32 head = READ_ONCE(ctl->cq_head);
	u64 is = head;

	if ((READ_ONCE(cq[membox_ring_slot(head, uq->cq_log2)].phase) & 1) ==
	    membox_ring_phase(head, uq->cq_log2))
		is |= STATE_READY;
	if (READ_ONCE(ctl->halted))
		is |= STATE_HALTED;
	return is;
}

static bool is_ready(u64 is)
{
	return is & (STATE_READY | STATE_HALTED);
}

/* For poll(): has a queue of the context something at its head, or was it halted? */
bool membox_uqueues_ready(struct membox_ctx *ctx)
{
	struct membox_uqueue *uq;
	unsigned long number;
	bool ready = false;

	if (xa_empty(&ctx->uqueues))
		return false;
	mutex_lock(&ctx->window_lock);
	xa_for_each(&ctx->uqueues, number, uq)
		ready |= is_ready(state(uq));
	mutex_unlock(&ctx->window_lock);
	return ready;
}

static void tell(struct membox_uqueue *uq)
{
	membox_eventfd_raise(uq->ctx, MEMBOX_EVENTFD_COMPLETION);
	wake_up_all(&uq->ctx->wait);
}

/* A vector was raised: who asked for it is told. */
void membox_uqueues_wake(struct membox_dev *mdev, u16 vector)
{
	struct membox_uqueue *uq;
	unsigned long number;

	xa_lock(&mdev->uqueues);
	xa_for_each(&mdev->uqueues, number, uq)
		if (uq->vector == vector)
			tell(uq);
	xa_unlock(&mdev->uqueues);
}

/* Tells the users of queues at whose head is something new: in place of a vector, and of a halt. */
void membox_uqueues_poll(struct membox_dev *mdev)
{
	struct membox_uqueue *uq;
	unsigned long number;

	xa_lock(&mdev->uqueues);
	xa_for_each(&mdev->uqueues, number, uq) {
		u64 is = state(uq);

		if (!is_ready(is) || is == uq->told)
			continue;
		uq->told = is;
		tell(uq);
	}
	xa_unlock(&mdev->uqueues);
}

/* ---- taking away ---- */

/* Nobody rings the queue any more: touches of its doorbell mean nothing. */
static void mute(struct membox_ctx *ctx, u16 number)
{
	unmap_mapping_range(&ctx->mapping, (loff_t)TOKEN(number, PART_DB), MEMBOX_DB_PAGE, 1);
}

static int delete(struct membox_ctx *ctx, u16 number, struct membox_uqueue *uq)
{
	struct membox_queue_args hw = {
		.size = sizeof(hw),
		.queue = number,
	};
	struct membox_dev *mdev = ctx->mdev;
	int ret = -EAGAIN;

	mute(ctx, number);
	/* once the device was started again the number is another's */
	if (!percpu_ref_tryget_live(&mdev->mappings))
		return ret;
	if (!membox_ctx_is_stale(ctx))
		ret = membox_admin(mdev, 0, MEMBOX_ADM_QUEUE_DELETE, &hw, sizeof(hw),
				   MEMBOX_ADMIN_MUST);
	if (!ret && leave(ctx, number, uq))
		free_queue(uq);
	percpu_ref_put(&mdev->mappings);
	return ret;
}

/* The QUEUE_DELETE ioctl: 0, a positive status, or -errno: it may be tried again. */
int membox_uqueue_delete(struct membox_ctx *ctx, const struct membox_uqueue_args *args)
{
	struct membox_uqueue *uq;
	int ret;

	if (args->flags || args->sq_log2 || args->cq_log2 || args->rsvd || args->sq_offset ||
	    args->cq_offset || args->ctl_offset || args->db_offset)
		return -EINVAL;
	/* one at a time: the number is another's as soon as the device has forgotten it */
	mutex_lock(&ctx->window_lock);
	uq = xa_load(&ctx->uqueues, args->queue);
	if (uq && (uq->is_ending || !uq->is_made))
		uq = NULL;
	if (uq) {
		uq->is_ending = true;
		uq->is_live = false;
	}
	mutex_unlock(&ctx->window_lock);
	if (!uq)
		return MEMBOX_ST_BAD_QUEUE;
	ret = delete(ctx, args->queue, uq);
	if (!ret)
		return 0;
	mutex_lock(&ctx->window_lock);
	if (xa_load(&ctx->uqueues, args->queue) == uq)
		uq->is_ending = false;
	mutex_unlock(&ctx->window_lock);
	return ret;
}

/* The context's queue from that number on; it is not live any more. NULL: there is none. */
static struct membox_uqueue *next_queue(struct membox_ctx *ctx, unsigned long *number)
{
	struct membox_uqueue *uq;

	mutex_lock(&ctx->window_lock);
	uq = xa_find(&ctx->uqueues, number, ULONG_MAX, XA_PRESENT);
	if (uq)
		uq->is_live = false;
	mutex_unlock(&ctx->window_lock);
	return uq;
}

/* The context ends. 0, or a failure: the device may have the rings of those that are left. */
int membox_uqueues_delete(struct membox_ctx *ctx)
{
	struct membox_uqueue *uq;
	unsigned long number;
	int ret = 0;

	/* the file is closed, but the device may be stopped meanwhile */
	for (number = 0; (uq = next_queue(ctx, &number)); number++)
		ret = delete(ctx, number, uq) ?: ret;
	return ret;
}

/* The device is being stopped. */
void membox_uqueues_zap(struct membox_ctx *ctx)
{
	struct membox_uqueue *uq;
	unsigned long number;

	mutex_lock(&ctx->window_lock);
	xa_for_each(&ctx->uqueues, number, uq) {
		uq->is_live = false;
		mute(ctx, number);
	}
	mutex_unlock(&ctx->window_lock);
}

/* The device was stopped. Who polls the rings finds out by the status in ctl. */
void membox_uqueues_release(struct membox_ctx *ctx, u16 status)
{
	struct membox_uqueue *uq;
	unsigned long number;

	mutex_lock(&ctx->window_lock);
	xa_for_each(&ctx->uqueues, number, uq) {
		struct membox_qctl *ctl = uq->ring[PART_CTL].at;

		xa_erase(&ctx->uqueues, number);
		if (!READ_ONCE(ctl->halted))
			WRITE_ONCE(ctl->halted, status);
		free_queue(uq);
	}
	mutex_unlock(&ctx->window_lock);
}

/* For sysfs: a line a queue, from buf + at on. Returns the bytes written. */
int membox_uqueues_show(struct membox_dev *mdev, char *buf, int at)
{
	struct membox_uqueue *uq;
	unsigned long number;
	int n = at;

	xa_lock(&mdev->uqueues);
	xa_for_each(&mdev->uqueues, number, uq)
		n += sysfs_emit_at(buf, n, "%lu %u %d user %u\n", number, 1U << uq->sq_log2,
				   uq->vector == MEMBOX_NO_VECTOR ? -1 : uq->vector,
				   uq->ctx->number);
	xa_unlock(&mdev->uqueues);
	return n - at;
}
