/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * membox_dev.h - the objects of the module and who may touch what.
 *
 *	membox_dev --- membox_admin ------ ring, slots (a command each)
 *	    |   \----- membox_queue[] ---- ring, slots by command id --> membox_req
 *	    |                                                              |
 *	    \--- contexts (by number) ---> membox_ctx <--------------------/
 *	                                       |\--- windows (by token)
 *	                                       |\--- regions (by index) <-- membox_req
 *	                                        \--- user queues (by number)
 *
 * Lifetimes: an open file holds its context, a request holds its context and
 * its pinned pages or its region, a context holds the device's structure. The hardware may go
 * at any time before: every object that leads to it has a flag under its own
 * lock that says whether it still may be used.
 *
 * Locks, in the order in which they are taken:
 *	mdev->state_lock (mutex)	starting, stopping, resetting, removing
 *	mdev->ctx_lock (mutex)		list of contexts, numbers, load of the queues
 *	ctx->handle_lock (mutex)	WINDOW_MAP, PARAM_CLOSE and PARAM_DESTROY, one at a time
 *	mmap_lock (the kernel's)
 *	ctx->window_lock (mutex)	windows, and page tables being filled with them
 *	queue->lock, admin->lock	a ring, its command ids, the right to ring its doorbell
 *	mdev->reset_lock		queueing of the reset work against removal
 *	lock of mdev->uqueues		user queues by number
 *	ctx->lock			completions, accounting, events
 *	lock of ctx->regions		regions; by itself
 * The spin locks are never taken in interrupt context: vectors wake threads.
 */
#ifndef MEMBOX_DEV_H
#define MEMBOX_DEV_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/dma-direction.h>
#include <linux/idr.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/percpu-refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "membox_check.h"
#include "ring.h"
#include "sgl.h"

#define MEMBOX_ADMIN_LOG2 4
#define MEMBOX_ADMIN_SLOTS 16 /* 2 ^ MEMBOX_ADMIN_LOG2 */
#define MEMBOX_QUEUE_LOG2 10 /* entries of an I/O queue, if the device has as many */
#define MEMBOX_OWN_QUEUES 4 /* I/O queues of the driver, where processes have some, too */
#define MEMBOX_UQUEUE_LOG2 12 /* entries of a user queue at most, if the device has as many */
#define MEMBOX_NO_VECTOR 0xffff
#define MEMBOX_ALL_CIDS 0xffff
#define MEMBOX_HOSTREFS 2	/* host and host2 of a packet */
#define MEMBOX_FEW_PAGES 2	/* pinned without an array of their own */
#define MEMBOX_NR_EVENTFDS 2
#define MEMBOX_REGIONS 1024	/* of a device, if it has as many */

enum membox_state {
	MEMBOX_STATE_DOWN,	/* starting, resetting or suspended */
	MEMBOX_STATE_LIVE,
	MEMBOX_STATE_FAILED,	/* a reset did not bring it back */
	MEMBOX_STATE_GONE,	/* removed */
};

struct membox_dev;
struct membox_ctx;
struct membox_req;
struct membox_region;
struct io_uring_cmd;

/* admin.c: one slot a command in flight; its number is the command id. */
struct membox_admin_slot {
	struct completion done;
	struct membox_completion c;
	bool busy;
	bool abandoned;	/* nobody waits: whoever completes it frees it */
	bool ended;	/* c is valid */
};

struct membox_admin {
	spinlock_t lock; /* all below */
	bool live;
	struct membox_ring ring;
	struct membox_admin_slot slot[MEMBOX_ADMIN_SLOTS];
	u8 *buffers; /* MEMBOX_ADMIN_BYTES a slot */
	dma_addr_t buffers_dma;
	wait_queue_head_t room;
};

/* queue.c: a command id. It is given again when the request has gone and nobody holds it. */
struct membox_cid {
	struct membox_req *req;
	unsigned int holds;
};

struct membox_queue {
	struct membox_dev *mdev;
	u16 number;
	u16 vector;
	unsigned int contexts; /* that use it; mdev->ctx_lock */
	wait_queue_head_t room;

	spinlock_t lock; /* all below, and the doorbell */
	bool live;
	struct membox_ring ring;
	struct membox_cid *cid;
	u16 *free_cids;
	unsigned int nfree;
	unsigned int inflight;
};

struct membox_vector {
	struct membox_dev *mdev;
	int irq;
	u16 number;
	char name[32];
};

struct membox_dev {
	struct device dev;
	struct cdev cdev;
	struct pci_dev *pdev;
	int id;

	void __iomem *regs;
	void __iomem *doorbells;
	resource_size_t aperture;
	u64 aperture_bytes;

	u64 caps;
	u64 max_bytes;
	u32 max_segment; /* bytes of memory that can be mapped for DMA as one */
	u32 max_contexts;
	u32 nqueues;  /* the driver's own: the first ones */
	u32 nuqueues; /* user queues: those behind them */
	u8 queue_log2;
	u8 max_log2;  /* entries of a user queue */

	struct mutex state_lock; /* starting and stopping */
	enum membox_state state; /* state_lock; read without it for a hint */
	u32 epoch;		 /* state_lock: of contexts: bumped when all become stale */
	wait_queue_head_t state_wait;
	spinlock_t reset_lock; /* state does not change while the work is being queued */
	struct work_struct reset_work;
	struct dma_pool *sgl_pool;
	struct percpu_ref mappings; /* a reference for each request mapped for the device */
	struct completion unmapped; /* ... the last of them went after the device was stopped */

	struct membox_admin admin;
	struct membox_queue *queue;

	struct membox_vector *vector;
	unsigned int nvectors; /* 0: polled */
	struct delayed_work poll_work;

	struct ida region_ids;
	u32 max_regions;
	u16 *region_generation; /* by index; of who has the index */
	struct xarray uqueues;	/* by number; its own lock */

	struct mutex ctx_lock; /* the list of contexts */
	struct list_head ctx_list; /* ctx_lock */
	struct xarray contexts;	   /* by number; its own lock inside ctx_lock */
	unsigned int ncontexts;	   /* ctx_lock */
};

/* host.c: user memory while the device may reach it. */
struct membox_host {
	struct membox_region *region; /* of a packet: where its memory is, if it named one */
	struct page **pages;
	unsigned int npages;
	enum dma_data_direction dir;
	struct page *few[MEMBOX_FEW_PAGES];
	struct sg_table table;
	bool has_table;
	bool is_mapped;
	unsigned int locked; /* pages counted as locked memory of the process */
	struct membox_sgl_page *sgl;
	unsigned int nsgl;
};

/* uring.c: where a packet came from, and whose task is told of its end. */
struct membox_uring {
	struct io_uring_cmd *cmd; /* NULL: another way */
	u64 completion;		  /* user address for the whole completion, or 0 */
};

struct membox_req {
	struct list_head node; /* of a batch, then of ctx->done */
	struct membox_ctx *ctx;
	struct membox_packet desc; /* the user's packet, made into a descriptor */
	struct membox_completion c;
	struct membox_host host[MEMBOX_HOSTREFS];
	bool is_mapped; /* holds a reference of mdev->mappings */
	u64 charged;	/* bytes of ctx->pinned */
	struct membox_uring uring;
};

struct membox_ctx {
	struct kref ref;
	struct membox_dev *mdev;
	struct list_head node; /* mdev->ctx_list */
	struct mm_struct *mm;  /* for comparison only */
	struct membox_queue *queue;
	u32 epoch;
	u16 number;
	wait_queue_head_t wait; /* completions, events, room, the end */
	struct address_space mapping;

	struct mutex handle_lock; /* mapping windows against the end of their handles */
	struct mutex window_lock; /* windows, and filling page tables with them */
	struct xarray windows; /* by token number */
	u32 next_token;
	struct xarray uqueues; /* by number; window_lock */
	struct page *nothing;  /* what doorbells of user queues become; window_lock */

	const void *uring_files; /* of who sent commands by io_uring last; for comparison only */

	struct xarray regions; /* by index; its own lock */
	unsigned int nregions; /* lock of regions */

	spinlock_t lock; /* all below */
	struct list_head done;
	unsigned int ndone;    /* completions not yet read */
	unsigned int inflight; /* packets taken and not completed */
	u64 pinned;	       /* bytes of memory of these */
	bool closed;	       /* nobody will read completions */
	u32 events;	 /* that the device told of */
	u32 events_seen; /* ... up to which the user found nothing more */
	struct eventfd_ctx *eventfd[MEMBOX_NR_EVENTFDS];
};

/* main.c */
extern unsigned int membox_max_outstanding;
extern unsigned int membox_max_pinned_mb;
extern unsigned int membox_admin_timeout_ms;

/* device.c */
int membox_device_start(struct membox_dev *mdev);
int membox_device_probe(struct membox_dev *mdev);
void membox_device_stop(struct membox_dev *mdev, enum membox_state state, u16 status);
void membox_reset_later(struct membox_dev *mdev, const char *why);
void membox_reset_work(struct work_struct *work);
int membox_wait_live(struct membox_dev *mdev);

/* admin.c */
#define MEMBOX_ADMIN_MUST 1U /* also when the caller is being killed */
int membox_admin_alloc(struct membox_dev *mdev);
void membox_admin_free(struct membox_dev *mdev);
void membox_admin_start(struct membox_dev *mdev);
void membox_admin_stop(struct membox_dev *mdev);
void membox_admin_fail(struct membox_dev *mdev, u16 status);
void membox_admin_reap(struct membox_dev *mdev);
int membox_admin(struct membox_dev *mdev, u16 context, u8 opcode, void *buf, size_t bytes,
		 unsigned int flags);

/* queue.c */
int membox_queue_alloc(struct membox_dev *mdev, struct membox_queue *q, u16 number);
void membox_queue_free_ring(struct membox_queue *q);
void membox_queue_free_tables(struct membox_queue *q);
int membox_queue_start(struct membox_queue *q);
void membox_queue_stop(struct membox_queue *q);
void membox_queue_fail(struct membox_queue *q, u16 status);
int membox_queue_submit(struct membox_queue *q, struct list_head *batch);
void membox_queue_poll(struct membox_queue *q);
bool membox_queue_can_take(struct membox_queue *q);
typedef bool (*membox_req_match)(const struct membox_req *req, const void *arg);
u64 membox_queue_abort(struct membox_queue *q, const struct membox_ctx *ctx,
		       membox_req_match match, const void *arg);

/* host.c */
int membox_host_pin(struct membox_host *host, const struct membox_dev *mdev,
		    struct mm_struct *mm, u64 addr, u64 bytes, bool longterm);
int membox_host_map(struct membox_host *host, struct membox_dev *mdev);
int membox_host_name(struct membox_host *host, struct membox_dev *mdev,
		     struct membox_seg_iter *it, struct membox_hostref *ref);
void membox_host_unname(struct membox_host *host, struct membox_dev *mdev);
void membox_host_release(struct membox_host *host, struct membox_dev *mdev, struct mm_struct *mm);

/* region.c */
int membox_regions_init(struct membox_dev *mdev);
void membox_regions_exit(struct membox_dev *mdev);
int membox_region_add(struct membox_ctx *ctx, struct membox_region_args *args);
int membox_region_del(struct membox_ctx *ctx, const struct membox_region_args *args);
struct membox_region *membox_region_get(struct membox_ctx *ctx, u32 key, u32 rights);
void membox_region_put(struct membox_region *region);
bool membox_region_has(const struct membox_region *region, u64 offset, u64 bytes);
void membox_region_segs(const struct membox_region *region, u64 offset, u64 bytes,
			struct membox_seg_iter *it);
void membox_regions_release(struct membox_ctx *ctx);

/* packet.c */
int membox_packet_pin(struct membox_req *req);
int membox_packet_map(struct membox_req *req);
void membox_packet_release(struct membox_req *req);
u64 membox_packet_charge(const struct membox_packet *p);

/* request.c */
int membox_request_init(void);
void membox_request_exit(void);
bool membox_request_in_share(struct membox_ctx *ctx);
struct membox_req *membox_request_new(struct membox_ctx *ctx);
bool membox_request_charge(struct membox_req *req, u64 bytes);
void membox_request_drop(struct membox_req *req);
void membox_request_complete(struct membox_req *req);
void membox_request_free(struct membox_req *req);
int membox_completions_copy(struct membox_ctx *ctx, void __user *to, unsigned int max);
int membox_completions_wait(struct membox_ctx *ctx, unsigned int min, bool idle_ends,
			    unsigned long timeout);

/* submit.c */
struct membox_packets {
	const void __user *base;
	u32 stride;
	u32 count;
};

int membox_submit_packets(struct membox_ctx *ctx, const struct membox_packets *packets, bool block);
int membox_submit_uring(struct membox_ctx *ctx, const struct membox_uring *uring,
			const struct membox_packet __user *packet, unsigned int issue_flags);

/* uring.c */
int membox_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);
void membox_uring_complete(struct membox_req *req);
void membox_uring_flush(struct membox_ctx *ctx, const void *files);

/* context.c */
struct membox_ctx *membox_ctx_open(struct membox_dev *mdev, struct inode *inode);
void membox_ctx_close(struct membox_ctx *ctx);
void membox_ctx_get(struct membox_ctx *ctx);
void membox_ctx_put(struct membox_ctx *ctx);
int membox_ctx_check(const struct membox_ctx *ctx);
bool membox_ctx_is_stale(const struct membox_ctx *ctx);
void membox_ctx_zap_all(struct membox_dev *mdev);
void membox_ctx_release_all(struct membox_dev *mdev, u16 status);
void membox_ctx_wake_all(struct membox_dev *mdev);

/* cdev.c, ioctl.c */
extern const struct file_operations membox_fops;
long membox_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* mmap.c */
extern const struct address_space_operations membox_no_aops;
int membox_mmap(struct file *file, struct vm_area_struct *vma);
int membox_window_map(struct membox_ctx *ctx, struct membox_window_args *args);
int membox_window_unmap(struct membox_ctx *ctx, struct membox_window_args *args);
void membox_windows_suspend(struct membox_ctx *ctx, u32 handle);
void membox_windows_settle(struct membox_ctx *ctx, u32 handle, bool gone);
void membox_windows_zap(struct membox_ctx *ctx);
void membox_windows_free(struct membox_ctx *ctx);

/* userq.c */
#define MEMBOX_UQUEUE_TOKENS BIT_ULL(60) /* mmap() offsets from here on, windows below */
int membox_uqueue_create(struct membox_ctx *ctx, struct membox_uqueue_args *args);
int membox_uqueue_delete(struct membox_ctx *ctx, const struct membox_uqueue_args *args);
bool membox_uqueue_is_token(unsigned long pgoff);
int membox_uqueue_mmap(struct membox_ctx *ctx, struct vm_area_struct *vma);
bool membox_uqueues_ready(struct membox_ctx *ctx);
void membox_uqueues_wake(struct membox_dev *mdev, u16 vector);
void membox_uqueues_poll(struct membox_dev *mdev);
void membox_uqueues_zap(struct membox_ctx *ctx);
void membox_uqueues_release(struct membox_ctx *ctx, u16 status);
int membox_uqueues_delete(struct membox_ctx *ctx);
int membox_uqueues_show(struct membox_dev *mdev, char *buf, int at);

/* event.c */
void membox_events_collect(struct membox_dev *mdev);
int membox_eventfd_set(struct membox_ctx *ctx, const struct membox_eventfd_args *args);
void membox_eventfd_clear(struct membox_ctx *ctx);
void membox_eventfd_raise(struct membox_ctx *ctx, unsigned int source);
bool membox_event_pending(const struct membox_ctx *ctx);

/* irq.c */
int membox_irq_init(struct membox_dev *mdev);
void membox_irq_exit(struct membox_dev *mdev);
u16 membox_irq_vector(const struct membox_dev *mdev, u16 queue);

/* sysfs.c */
extern const struct attribute_group *membox_groups[];

#endif /* MEMBOX_DEV_H */
