/*
 * membox: the parts of the device model and what they say to each other.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * docs/device.md is the specification of the device. The model:
 *
 *   doorbell (vCPU, BQL) -> run list -> worker: fetch, check, map guest memory
 *     -> ready list -> worker: mbe_execute() -> done(): unmap, post completion
 *     -> interrupt (bottom half, BQL)
 *
 * Small commands that nothing can make wait take a shorter way: the thread that
 * fetches executes them (mbe_execute_small()), and that thread is the vCPU that
 * rings, up to a bound, when no worker is at the queue: when its store has
 * returned, they are complete.
 *
 * Locks, outermost first: BQL; region_lock (region.c); MemboxState.lock (lists, queue flags, requests
 * to the main loop); MemboxQueue.cq_lock (completion ring); err_lock. Workers
 * and the progress thread never take the BQL: what needs it (windows,
 * interrupts, translation behind an IOMMU) is done for them by a bottom half,
 * or by the thread that holds the BQL and waits for them (quiesce.c).
 * No engine function is called with one of these locks held, the BQL excepted.
 */
#ifndef HW_MISC_MEMBOX_DEVICE_H
#define HW_MISC_MEMBOX_DEVICE_H

#include "qemu/thread.h"
#include "qemu/queue.h"
#include "qemu/bitmap.h"
#include "qemu/main-loop.h"
#include "qemu/notify.h"
#include "hw/pci/pci_device.h"
#include "system/hostmem.h"
#include "system/runstate.h"
#include "engine.h"
#include "migrate.h"

#define TYPE_MEMBOX "membox"
OBJECT_DECLARE_SIMPLE_TYPE(MemboxState, MEMBOX)

#define MEMBOX_DEPTH_LOG2 12        /* REG_DEPTH: rings of 4096 entries */
#define MEMBOX_LIMIT_QUEUES 64
#define MEMBOX_LIMIT_WORKERS 16
#define MEMBOX_LIMIT_WINDOWS 1024   /* over all devices of a VM */
#define MEMBOX_LIMIT_REGIONS 1024   /* REG_MAX_REGIONS */
#define MEMBOX_FETCH_BATCH 32       /* descriptors fetched in one DMA */
/* What the vCPU that rings executes itself. */
#define MEMBOX_INLINE_BATCHES 4
#define MEMBOX_INLINE_SEGMENTS 4    /* of a command's scatter-gather list */
#define MEMBOX_KEEP_PIECES 64       /* of a mapping, in a command's record */
#define MEMBOX_LIMIT_SEGMENTS (1 << 20) /* held, before fetching stops */

typedef struct MemboxQueue MemboxQueue;
typedef struct MemboxRegion MemboxRegion;

/* Guest memory held for a command (guestmem.c). */
typedef struct MemboxVec {
    struct iovec *iov;  /* small, or allocated */
    unsigned n, room;
    MemoryRegion *last; /* of the last piece */
    bool write;         /* the device writes it */
    struct iovec small[4];
} MemboxVec;

/*
 * A command of an I/O queue, from its fetch to its completion. The record is
 * one of its queue's, and serves the next command then.
 */
typedef struct MemboxCmd {
    struct mbe_cmd cmd; /* first: what the engine gives back */
    MemboxQueue *queue;
    MemboxRegion *region[2]; /* pinned; NULL: none named */
    uint16_t cid, context;
    uint32_t nseg[2];   /* as the descriptor said: cmd.p has 0 */
    bool aborting;      /* counted in queue->aborting */
    bool lone;          /* the record goes with its command */
    QSIMPLEQ_ENTRY(MemboxCmd) next;
    /* what the next command finds as it is */
    QSLIST_ENTRY(MemboxCmd) pool;
    MemboxVec host[2];  /* host, and host2: coll.recv, scatter.index */
} MemboxCmd;

typedef QSLIST_HEAD(MemboxPool, MemboxCmd) MemboxPool;

struct MemboxQueue {
    MemboxState *dev;
    /* What QUEUE_CREATE said: never read from the guest again. */
    uint16_t id, vector;
    bool user;          /* names regions only, on behalf of its context */
    uint16_t context;   /* 0 for a kernel queue */
    uint8_t sq_log2, cq_log2;
    uint64_t sq_addr, cq_addr, ctl_addr;
    struct mbe_queue order;

    /* MemboxState.lock */
    bool stopped;       /* fetch nothing more: halted, deleted or reset */
    bool queued;        /* on the run list */
    bool serving;       /* a worker is at it */
    bool again;         /* rung while it was served */
    uint32_t inflight;  /* fetched, completion not posted */
    uint32_t executing; /* workers inside the engine for it */
    QSIMPLEQ_ENTRY(MemboxQueue) run;

    /* the worker that serves */
    uint32_t sq_head;   /* next descriptor to fetch; ABORT reads it too */
    uint32_t started;   /* completion slots given out, ever */
    MemboxPool spare;   /* records of commands to come */

    QemuMutex cq_lock;
    uint32_t cq_tail;   /* completions posted, ever */

    /* atomic */
    uint32_t aborting;  /* commands that an ABORT found and that still run */
    bool silent;        /* post nothing more: reset */
    MemboxPool ended;   /* records of commands that are over */
};

/*
 * The one administration command that is being executed (admin.c). Its step
 * function is called until it says true; it sets status and detail.
 */
typedef struct MemboxAdmin MemboxAdmin;
typedef bool MemboxAdminStep(MemboxState *s, MemboxAdmin *a);
struct MemboxAdmin {
    struct membox_packet d;
    uint8_t buf[MEMBOX_ADMIN_BYTES] QEMU_ALIGNED(8);
    MemboxVec host;
    uint64_t begun;
    MemboxAdminStep *step;
    void (*main_fn)(MemboxState *s, MemboxAdmin *a); /* lock */
    bool active;
    bool pending;       /* atomic: the BQL or vCPUs are waited for */
    bool waiting;       /* atomic: what ends kicks the admin queue */
    uint16_t status;
    uint32_t detail;
    uint32_t stage;
    uint32_t sq_from;   /* ABORT: the queue's sq_head when it began */
    bool executed;      /* by the engine */
    struct mbe_extent extent;
    bool held;          /* the extent */
};

/* A window: BQL. */
typedef struct MemboxWindow {
    MemoryRegion mr;
    uint32_t id, handle;
    uint16_t context;
    bool writable;
    bool hollow;        /* revoked: keeps its place, shows and holds nothing */
    uint64_t offset;    /* in the aperture */
    struct mbe_extent extent;
    QTAILQ_ENTRY(MemboxWindow) next; /* by offset; or of a barrier */
} MemboxWindow;

/* Windows removed, until every vCPU has left its translation block. */
typedef struct MemboxBarrier {
    MemboxState *dev;   /* NULL: ended before the last vCPU came by */
    GPtrArray *cpus;    /* that have not come by; BQL */
    QEMUTimer *timer;   /* looks whether some were unplugged */
    bool wakes_admin;
    QTAILQ_HEAD(, MemboxWindow) windows;
    QLIST_ENTRY(MemboxBarrier) next;
} MemboxBarrier;

/* A worker that wants guest memory translated under the BQL (guestmem.c). */
typedef struct MemboxRequest {
    uint64_t addr, len;
    MemboxVec *vec;
    bool done, ok;
    QTAILQ_ENTRY(MemboxRequest) next;
} MemboxRequest;

typedef enum MemboxQuiesce {
    MEMBOX_RUNNING,
    MEMBOX_DISABLING,   /* CTRL.ENABLE went to 0 */
    MEMBOX_RESETTING,
} MemboxQuiesce;

typedef struct MemboxBox {
    dev_t dev;
    ino_t ino;
    QLIST_ENTRY(MemboxBox) next;
} MemboxBox;

struct MemboxState {
    PCIDevice parent_obj;

    /* properties */
    HostMemoryBackend *memdev;
    char *port, *principal, *rights;
    uint64_t slice, delay, poison_offset, poison_bytes, aperture_size;
    uint32_t queues, vectors, workers, max_windows;
    uint32_t slice_params, slice_waiters, slice_writers;
    bool acc, user_queues;

    struct mbe *engine;
    uint64_t caps, max_bytes;
    MemboxBox box;
    bool rdonly, has_iommu;

    MemoryRegion bar0, regs, aperture, doorbells;
    MemoryRegion ram_rw, ram_ro;

    /* registers: BQL; events and int_cause atomic */
    uint64_t asq, acq, actl;
    uint32_t adepth, epoch;
    bool enabled, ready, fatal;
    uint64_t events[MEMBOX_MAX_CONTEXTS / 64];
    uint32_t int_cause;
    DECLARE_BITMAP(contexts, MEMBOX_MAX_CONTEXTS); /* made; admin's worker */

    QemuMutex err_lock;
    uint32_t err_count;
    struct membox_err err_log[MEMBOX_ERR_LOG];

    /* irq.c */
    QEMUBH *irq_bh;
    uint64_t irq_pending; /* atomic */

    /* window.c */
    QTAILQ_HEAD(, MemboxWindow) windows;
    QLIST_HEAD(, MemboxBarrier) barriers;
    bool revoked;       /* atomic: parameters were, windows may have to go */
    bool windows_taken; /* counted among those of the VM */
    unsigned nwindows;  /* changed with BQL, read anywhere */
    uint32_t next_window;

    /* region.c */
    QemuMutex region_lock;
    MemboxRegion *regions[MEMBOX_LIMIT_REGIONS]; /* by the index of their key */
    MemoryListener listener;
    uint32_t topology;  /* atomic: changes with the memory map */

    /* worker.c, quiesce.c */
    QemuMutex lock;
    QemuCond work;      /* something on a list, pause, stop */
    QemuCond idle;      /* a worker or a command ended; a request was served */
    QemuThread *threads;
    unsigned nthreads;
    QemuThread progress;
    bool stop, paused, progress_busy;
    unsigned busy;      /* workers at work */
    QSIMPLEQ_HEAD(, MemboxQueue) runq;
    QSIMPLEQ_HEAD(, MemboxCmd) readyq;
    uint32_t segments;  /* atomic: pieces of guest memory held by commands */
    bool starved;       /* atomic: a queue waits for them to become fewer */
    QTAILQ_HEAD(, MemboxRequest) requests;
    QEMUBH *main_bh;
    MemboxQuiesce quiesce;
    bool torn_down;     /* BQL: of the quiesce: only barriers are left */
    VMChangeStateEntry *vmstate;
    Notifier exit_notifier;

    MemboxMigrate migrate; /* migrate.c; BQL */

    MemboxAdmin admin;
    MemboxQueue *queue[1 + MEMBOX_LIMIT_QUEUES]; /* changed with lock */
};

/* regs.c: BAR 0 and BAR 4 */
void membox_regs_init(MemboxState *s);
void membox_regs_reset(MemboxState *s);
void membox_fatal(MemboxState *s);

/* irq.c: interrupts, events, the error log */
void membox_irq_init(MemboxState *s);
void membox_irq_exit(MemboxState *s);
void membox_irq_raise(MemboxState *s, uint16_t vector);
void membox_irq_flush(MemboxState *s);
void membox_irq_reset(MemboxState *s);
void membox_event(void *opaque, unsigned context);
void membox_log_error(MemboxState *s, uint16_t queue, uint16_t cid,
                      uint16_t context, uint16_t status, uint32_t detail,
                      uint64_t value);

/* guestmem.c: the only way to guest memory */
bool membox_box_add(MemboxState *s, int fd);
void membox_box_del(MemboxState *s);
void membox_vec_init(MemboxVec *v, bool write);
void membox_vec_add(MemboxVec *v, MemoryRegion *mr, void *host, uint64_t len);
bool membox_map(MemboxState *s, uint64_t addr, uint64_t len, MemboxVec *v);
void membox_unmap(MemboxState *s, MemboxVec *v);
void membox_unmap_keep(MemboxState *s, MemboxVec *v);
void *membox_map_one(MemboxState *s, uint64_t addr, uint64_t len, bool write,
                     MemboxVec *v);
bool membox_dma_read(MemboxState *s, uint64_t addr, void *buf, uint64_t len);
void membox_requests_serve(MemboxState *s);
typedef bool MemboxWalkFn(MemboxState *s, uint64_t addr, uint32_t len,
                          void *opaque);
uint16_t membox_walk(MemboxState *s, const struct membox_hostref *ref,
                     uint64_t bytes, uint32_t align, MemboxWalkFn *fn,
                     void *opaque, uint64_t *fault);
uint16_t membox_resolve(MemboxState *s, const struct membox_hostref *ref,
                        uint64_t bytes, uint32_t align, MemboxVec *v,
                        uint64_t *fault);

/* region.c: host memory behind a key */
void membox_regions_init(MemboxState *s);
void membox_regions_exit(MemboxState *s);
MemboxRegion *membox_region_pin(MemboxState *s, uint32_t key, uint16_t context,
                                uint32_t rights);
void membox_region_unpin(MemboxState *s, MemboxRegion *r);
bool membox_region_at_hand(MemboxState *s, uint32_t key);
bool membox_region_covers(const MemboxRegion *r, uint64_t offset,
                          uint64_t bytes);
bool membox_region_map(MemboxState *s, MemboxRegion *r, uint64_t offset,
                       uint64_t bytes, MemboxVec *v, uint64_t *fault);
uint16_t membox_region_add(MemboxState *s, const struct membox_region_hw *args,
                           uint64_t *fault);
bool membox_region_known(MemboxState *s, uint32_t key, bool exactly);
bool membox_region_del(MemboxState *s, uint32_t key);
void membox_regions_free(MemboxState *s, uint16_t context);
void membox_regions_save(MemboxState *s, GArray *regions, GArray *segments);
bool membox_region_restore(MemboxState *s, const MemboxSavedRegion *v,
                           const MemboxSavedSegment *segments);

/* queue.c: rings */
MemboxQueue *membox_queue_new(MemboxState *s,
                              const struct membox_queue_args *args,
                              uint16_t *status, uint32_t *detail);
bool membox_queue_ready(MemboxQueue *q);
void membox_queue_free(MemboxQueue *q);
uint32_t membox_queue_fetch(MemboxQueue *q, struct membox_packet *batch,
                            uint32_t max, bool *large);
bool membox_queue_post(MemboxQueue *q, struct membox_completion *c);
void membox_queue_halt(MemboxQueue *q, uint16_t status, uint64_t value);

/* command.c: from descriptor to completion */
bool membox_queue_serve(MemboxQueue *q);
void membox_records_free(MemboxQueue *q);
bool membox_queue_serve_small(MemboxQueue *q);
void membox_cmd_restart(MemboxQueue *q, const struct membox_packet *descriptor);
void membox_cmd_ready(struct mbe_queue *order, struct mbe_cmd *cmd);
unsigned membox_queue_abort(MemboxQueue *q, bool all, uint16_t context,
                            uint16_t cid, uint16_t status);
unsigned membox_queue_abort_region(MemboxQueue *q, const MemboxRegion *r);
void membox_queue_abort_groups(MemboxQueue *q);

/* admin.c */
bool membox_admin_serve(MemboxQueue *q);
void membox_admin_reset(MemboxState *s);
void membox_admin_main(MemboxState *s);
void membox_admin_wake(MemboxState *s);
void membox_admin_call_main(MemboxState *s, MemboxAdmin *a,
                            void (*fn)(MemboxState *s, MemboxAdmin *a));

/* admin-device.c: the administration commands about queues and windows */
MemboxAdminStep *membox_admin_device_step(uint8_t opcode);
bool membox_admin_release(MemboxState *s, MemboxAdmin *a);

/* window.c */
bool membox_window_init(MemboxState *s, int fd_rw, int fd_ro, Error **errp);
void membox_window_exit(MemboxState *s);
uint16_t membox_window_add(MemboxState *s, uint16_t context, uint32_t handle,
                           bool writable, const struct mbe_extent *x,
                           struct membox_window_args *out);
bool membox_window_restore(MemboxState *s, const MemboxSavedWindow *v,
                           const struct mbe_extent *x);
unsigned membox_window_remove(MemboxState *s, bool wakes_admin,
                              bool (*match)(const MemboxWindow *w,
                                            const void *arg),
                              const void *arg);
void membox_revoked(void *opaque);
void membox_windows_revoke(MemboxState *s);
void membox_barriers_end(MemboxState *s);

/* worker.c: threads and lists */
void membox_workers_start(MemboxState *s);
void membox_workers_stop(MemboxState *s);
void membox_kick(MemboxState *s, unsigned id);
void membox_ring(MemboxState *s, unsigned id);
void membox_push_ready(MemboxState *s, MemboxCmd *c);
void membox_schedule_main(MemboxState *s);
void membox_cmd_gone(MemboxQueue *q, bool aborting);

/* quiesce.c: reset, disable, stop of the VM; BQL */
void membox_quiesce_begin(MemboxState *s, MemboxQuiesce how);
bool membox_quiesce_poll(MemboxState *s);
void membox_quiesce_wait(MemboxState *s);
void membox_vm_state(void *opaque, bool running, RunState state);

/* migrate.c; BQL */
extern const VMStateDescription vmstate_membox;
bool membox_migrate_init(MemboxState *s, bool chosen, Error **errp);
void membox_migrate_exit(MemboxState *s);
bool membox_migrate_may_run(MemboxState *s);
void membox_migrate_run(MemboxState *s);
void membox_migrate_restart(MemboxState *s);
void membox_migrate_reset(MemboxState *s);
void membox_migrate_leave(MemboxState *s);

#endif
