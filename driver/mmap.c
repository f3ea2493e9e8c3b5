// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap.c - windows: parameters in the device's aperture, mapped by processes.
 *
 * WINDOW_MAP makes the device show a parameter somewhere in BAR 2 and gives the
 * user a token, the offset to mmap():
 *
 *	token = number << TOKEN_SHIFT, number from 1, private to the context
 *
 * A mapping holds no reference on its window: each fault looks the token up
 * again, so that an unmapped window, a reset or a removal only has to take the
 * number away and zap the context's address_space. A touch after that is a
 * SIGBUS. Numbers go round slowly, and a fault checks rights again, so a stale
 * mapping never gets more than what its number means now.
 *
 * Each context has an address_space of its own, on which its mappings hang:
 * tokens of two contexts never meet, whatever node they were opened by. Its host
 * is the node's inode, for what the kernel asks of a file's mapping in general.
 *
 * The device takes a window away when its handle is closed or its parameter
 * destroyed, and may show another context's in its place: so the mappings go
 * before such a command is sent, and faults wait for its end.
 *
 * ctx->window_lock covers the table and is held while page tables are filled;
 * taken inside mmap_lock by faults. ctx->handle_lock keeps WINDOW_MAP apart from
 * what ends handles; it is taken by ioctls only, round the whole command.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "membox_dev.h"
#include "trace.h"

#define TOKEN_SHIFT 40 /* a window is below 1 TiB */
#define TOKEN_PAGES (1UL << (TOKEN_SHIFT - PAGE_SHIFT))
#define TOKEN_LIMIT XA_LIMIT(1, 0xfffff)
static_assert(0x100000ULL << TOKEN_SHIFT == MEMBOX_UQUEUE_TOKENS);
#define AROUND_PAGES 16 /* mapped by one fault, aligned */

struct membox_window {
	u32 number;
	u32 device_window; /* the device's name for it */
	unsigned long pfn;
	unsigned long pages;
	u32 handle; /* of the parameter: the window ends with it */
	bool is_writable;
	bool is_ending; /* perhaps: its handle is being closed */
};

const struct address_space_operations membox_no_aops = {};

/*
 * The window that page pgoff of the file is in, and the page's index in it; none
 * once the device was stopped, so that nothing is mapped behind the zap.
 */
static struct membox_window *find_window(struct membox_ctx *ctx, unsigned long pgoff,
					 unsigned long *index)
{
	struct membox_window *w = xa_load(&ctx->windows, pgoff / TOKEN_PAGES);

	lockdep_assert_held(&ctx->window_lock);
	if (membox_ctx_is_stale(ctx))
		return NULL;
	*index = pgoff % TOKEN_PAGES;
	return w && *index < w->pages ? w : NULL;
}

/* Maps the pages of the window around index that the area shows, index first. */
static vm_fault_t fill(struct vm_fault *vmf, const struct membox_window *w, unsigned long index)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long first = round_down(index, AROUND_PAGES);
	unsigned long end = min(first + AROUND_PAGES, w->pages);
	unsigned long start_index = vma->vm_pgoff % TOKEN_PAGES;
	vm_fault_t ret = vmf_insert_pfn(vma, vmf->address & PAGE_MASK, w->pfn + index);

	first = max(first, start_index);
	end = min(end, start_index + vma_pages(vma));
	for (; first < end && ret == VM_FAULT_NOPAGE; first++)
		ret = vmf_insert_pfn(vma, vma->vm_start + ((first - start_index) << PAGE_SHIFT),
				     w->pfn + first);
	return ret;
}

static vm_fault_t window_fault(struct vm_fault *vmf)
{
	struct membox_ctx *ctx = vmf->vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct membox_window *w;
	unsigned long index;

	mutex_lock(&ctx->window_lock);
	w = find_window(ctx, vmf->pgoff, &index);
	if (w && w->is_ending)
		ret = VM_FAULT_NOPAGE; /* nothing yet: the access is tried again */
	else if (w && (w->is_writable || !(vmf->vma->vm_flags & VM_MAYWRITE)))
		ret = fill(vmf, w, index);
	mutex_unlock(&ctx->window_lock);
	return ret;
}

static const struct vm_operations_struct window_ops = {
	.fault = window_fault,
};

/* mmap() of a token, MAP_SHARED, the window or a part of it; or what a user queue consists of. */
int membox_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct membox_ctx *ctx = file->private_data;
	vm_flags_t clear = VM_MAYEXEC;
	struct membox_window *w;
	unsigned long index;
	int ret;

	ret = membox_ctx_check(ctx);
	if (ret)
		return ret;
	if (membox_uqueue_is_token(vma->vm_pgoff))
		return membox_uqueue_mmap(ctx, vma);
	/* VM_SHARED is missing in shared mappings of a file opened for reading */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	mutex_lock(&ctx->window_lock);
	w = find_window(ctx, vma->vm_pgoff, &index);
	if (!w || vma_pages(vma) > w->pages - index) {
		ret = -EINVAL;
	} else if (!w->is_writable) {
		if (vma->vm_flags & VM_WRITE)
			ret = -EACCES;
		clear |= VM_MAYWRITE;
	}
	mutex_unlock(&ctx->window_lock);
	if (ret)
		return ret;
	membox_vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP,
			    clear);
	vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vma->vm_ops = &window_ops;
	return 0;
}

/* Is where the device says that it shows the window inside of its aperture? */
static bool is_inside(const struct membox_dev *mdev, const struct membox_window_args *args)
{
	return args->length && PAGE_ALIGNED(args->offset) && PAGE_ALIGNED(args->length) &&
	       args->length <= mdev->aperture_bytes &&
	       args->offset <= mdev->aperture_bytes - args->length &&
	       args->length <= 1ULL << TOKEN_SHIFT;
}

static int unmap_in_device(struct membox_ctx *ctx, u32 device_window)
{
	struct membox_window_args args = {
		.size = sizeof(args),
		.window = device_window,
	};

	return membox_admin(ctx->mdev, ctx->number, MEMBOX_ADM_WINDOW_UNMAP, &args, sizeof(args),
			    MEMBOX_ADMIN_MUST);
}

static int add_window(struct membox_ctx *ctx, struct membox_window *w)
{
	int ret;

	mutex_lock(&ctx->window_lock);
	ret = xa_alloc_cyclic(&ctx->windows, &w->number, w, TOKEN_LIMIT, &ctx->next_token,
			      GFP_KERNEL_ACCOUNT);
	mutex_unlock(&ctx->window_lock);
	return ret < 0 ? ret : 0;
}

static int map_window(struct membox_ctx *ctx, struct membox_window_args *args)
{
	struct membox_dev *mdev = ctx->mdev;
	struct membox_window *w;
	int ret;

	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return -ENOMEM;
	w->handle = args->handle;
	w->is_writable = args->prot & MEMBOX_WIN_WRITE;
	ret = membox_admin(mdev, ctx->number, MEMBOX_ADM_WINDOW_MAP, args, sizeof(*args),
			   MEMBOX_ADMIN_MUST);
	if (ret)
		goto free;
	w->device_window = args->window;
	ret = -EIO;
	if (!is_inside(mdev, args))
		goto unmap;
	w->pfn = (mdev->aperture + args->offset) >> PAGE_SHIFT;
	w->pages = args->length >> PAGE_SHIFT;
	trace_membox_window(mdev->id, ctx->number, true, args);
	ret = add_window(ctx, w);
	if (ret)
		goto unmap;
	args->window = w->number;
	args->offset = (u64)w->number << TOKEN_SHIFT;
	return 0;

unmap:
	unmap_in_device(ctx, w->device_window);
free:
	kfree(w);
	return ret;
}

/* The WINDOW_MAP ioctl: 0, a positive status, or -errno. */
int membox_window_map(struct membox_ctx *ctx, struct membox_window_args *args)
{
	int ret;

	if (mutex_lock_killable(&ctx->handle_lock))
		return -EINTR;
	ret = map_window(ctx, args);
	mutex_unlock(&ctx->handle_lock);
	return ret;
}

/* Takes the mappings of a handle's windows away; faults wait for membox_windows_settle(). */
void membox_windows_suspend(struct membox_ctx *ctx, u32 handle)
{
	struct membox_window *w;
	unsigned long number;

	lockdep_assert_held(&ctx->handle_lock);
	mutex_lock(&ctx->window_lock);
	xa_for_each(&ctx->windows, number, w) {
		if (w->handle != handle)
			continue;
		w->is_ending = true;
		unmap_mapping_range(&ctx->mapping, (loff_t)number << TOKEN_SHIFT,
				    (loff_t)w->pages << PAGE_SHIFT, 1);
	}
	mutex_unlock(&ctx->window_lock);
}

/* The windows of the handle are gone from the device, or as they were. */
void membox_windows_settle(struct membox_ctx *ctx, u32 handle, bool gone)
{
	struct membox_window *w;
	unsigned long number;

	lockdep_assert_held(&ctx->handle_lock);
	mutex_lock(&ctx->window_lock);
	xa_for_each(&ctx->windows, number, w) {
		if (w->handle != handle)
			continue;
		w->is_ending = false;
		if (gone) {
			xa_erase(&ctx->windows, number);
			kfree(w);
		}
	}
	mutex_unlock(&ctx->window_lock);
}

/* The WINDOW_UNMAP ioctl: mappings of the window give SIGBUS from here on. */
int membox_window_unmap(struct membox_ctx *ctx, struct membox_window_args *args)
{
	struct membox_window *w;
	int ret;

	mutex_lock(&ctx->window_lock);
	w = xa_erase(&ctx->windows, args->window);
	mutex_unlock(&ctx->window_lock);
	if (!w)
		return MEMBOX_ST_BAD_HANDLE;
	unmap_mapping_range(&ctx->mapping, (loff_t)w->number << TOKEN_SHIFT,
			    (loff_t)w->pages << PAGE_SHIFT, 1);
	ret = unmap_in_device(ctx, w->device_window);
	trace_membox_window(ctx->mdev->id, ctx->number, false, args);
	kfree(w);
	return ret;
}

/* The context is stale: its mappings go, before the device shows nothing any more. */
void membox_windows_zap(struct membox_ctx *ctx)
{
	struct membox_window *w;
	unsigned long number;

	mutex_lock(&ctx->window_lock);
	xa_for_each(&ctx->windows, number, w) {
		xa_erase(&ctx->windows, number);
		kfree(w);
	}
	mutex_unlock(&ctx->window_lock);
	unmap_mapping_range(&ctx->mapping, 0, (loff_t)MEMBOX_UQUEUE_TOKENS, 1);
}

static struct membox_window *take_window(struct membox_ctx *ctx)
{
	struct membox_window *w;
	unsigned long number = 0;

	mutex_lock(&ctx->window_lock);
	w = xa_find(&ctx->windows, &number, ULONG_MAX, XA_PRESENT);
	if (w)
		xa_erase(&ctx->windows, number);
	mutex_unlock(&ctx->window_lock);
	return w;
}

/* The context ends, and with it the last mapping has gone. */
void membox_windows_free(struct membox_ctx *ctx)
{
	struct membox_window *w;

	for (w = take_window(ctx); w; w = take_window(ctx)) {
		unmap_in_device(ctx, w->device_window);
		kfree(w);
	}
}
