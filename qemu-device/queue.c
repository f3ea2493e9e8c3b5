/*
 * membox: rings. Fetches descriptors, posts completions, and keeps the
 * hand-shake of struct membox_qctl with the host.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The host's half of the control block is never believed: an index outside
 * what is possible halts the queue. One worker at a time fetches of a queue;
 * completions are posted by any thread under cq_lock.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "device.h"
#include "trace.h"

typedef struct Ctl {
    struct membox_qctl *p;
    MemboxVec vec;
} Ctl;

static bool ctl_map(MemboxQueue *q, Ctl *ctl)
{
    ctl->p = membox_map_one(q->dev, q->ctl_addr, sizeof(*ctl->p), true,
                            &ctl->vec);
    return ctl->p;
}

static void ctl_unmap(MemboxQueue *q, Ctl *ctl)
{
    membox_unmap(q->dev, &ctl->vec);
}

/* Can the device reach every byte of the ring? */
static bool ring_reachable(MemboxState *s, uint64_t addr, uint64_t bytes,
                           bool write)
{
    MemboxVec v;
    bool ok;

    membox_vec_init(&v, write);
    ok = membox_map(s, addr, bytes, &v);
    /* Nothing was written: no page is dirty. */
    v.write = false;
    membox_unmap(s, &v);
    return ok;
}

#define AT(field) offsetof(struct membox_queue_args, field)

static uint16_t check_geometry(MemboxState *s,
                               const struct membox_queue_args *a, uint32_t *at)
{
    const uint64_t sq_bytes = sizeof(struct membox_packet);
    const uint64_t cq_bytes = sizeof(struct membox_completion);

    *at = AT(sq_log2);
    if (a->sq_log2 < 1 || a->sq_log2 > MEMBOX_DEPTH_LOG2) {
        return MEMBOX_ST_BAD_ARGUMENT;
    }
    *at = AT(cq_log2);
    if (a->cq_log2 < a->sq_log2 || a->cq_log2 > MEMBOX_DEPTH_LOG2) {
        return MEMBOX_ST_BAD_ARGUMENT;
    }
    *at = AT(sq_addr);
    if (a->sq_addr & 4095) {
        return MEMBOX_ST_MISALIGNED;
    }
    *at = AT(cq_addr);
    if (a->cq_addr & 4095) {
        return MEMBOX_ST_MISALIGNED;
    }
    *at = AT(ctl_addr);
    if (a->ctl_addr & 127) {
        return MEMBOX_ST_MISALIGNED;
    }
    *at = AT(sq_addr);
    if (!ring_reachable(s, a->sq_addr, sq_bytes << a->sq_log2, false)) {
        return MEMBOX_ST_DMA_FAULT;
    }
    *at = AT(cq_addr);
    if (!ring_reachable(s, a->cq_addr, cq_bytes << a->cq_log2, true)) {
        return MEMBOX_ST_DMA_FAULT;
    }
    *at = AT(ctl_addr);
    return MEMBOX_ST_OK;
}

/* What a queue has besides its geometry and indices. False: no memory. */
bool membox_queue_ready(MemboxQueue *q)
{
    q->order.ready = membox_cmd_ready;
    q->order.arg = q;
    if (mbe_queue_init(&q->order, q->dev->engine)) {
        return false;
    }
    qemu_mutex_init(&q->cq_lock);
    return true;
}

/* Makes a queue, not yet known to anybody; NULL with status and detail. */
MemboxQueue *membox_queue_new(MemboxState *s,
                              const struct membox_queue_args *args,
                              uint16_t *status, uint32_t *detail)
{
    MemboxQueue *q;
    Ctl ctl;

    *status = check_geometry(s, args, detail);
    if (*status) {
        return NULL;
    }
    q = g_new0(MemboxQueue, 1);
    q->dev = s;
    q->id = args->queue;
    q->vector = args->vector;
    q->user = args->flags & MEMBOX_QUEUE_USER;
    q->context = args->context;
    q->sq_log2 = args->sq_log2;
    q->cq_log2 = args->cq_log2;
    q->sq_addr = args->sq_addr;
    q->cq_addr = args->cq_addr;
    q->ctl_addr = args->ctl_addr;
    if (!ctl_map(q, &ctl)) {
        *status = MEMBOX_ST_DMA_FAULT;
        g_free(q);
        return NULL;
    }
    memset((uint8_t *)ctl.p + MEMBOX_QCTL_DEVICE, 0,
           sizeof(*ctl.p) - MEMBOX_QCTL_DEVICE);
    ctl_unmap(q, &ctl);
    if (!membox_queue_ready(q)) {
        *status = MEMBOX_ST_NO_MEMORY;
        g_free(q);
        return NULL;
    }
    *detail = 0;
    trace_membox_queue_new(s, q->id, q->sq_log2, q->cq_log2, q->vector);
    return q;
}

void membox_queue_free(MemboxQueue *q)
{
    trace_membox_queue_free(q->dev, q->id);
    mbe_queue_fini(&q->order);
    membox_records_free(q);
    qemu_mutex_destroy(&q->cq_lock);
    g_free(q);
}

static void halt(MemboxQueue *q, Ctl *ctl, uint16_t status, uint64_t value)
{
    MemboxState *s = q->dev;
    bool first;

    qemu_mutex_lock(&s->lock);
    first = !q->stopped;
    qatomic_set(&q->stopped, true);
    qemu_mutex_unlock(&s->lock);
    if (!first) {
        return;
    }
    if (ctl) {
        qatomic_store_release(&ctl->p->halted, status);
    }
    if (!q->id) {
        membox_fatal(s);
    }
    trace_membox_queue_halt(s, q->id, status, value);
    membox_log_error(s, q->id, 0, q->context, status, 0, value);
}

/*
 * Stops the fetching of a queue for good. What is in flight still completes.
 * The admin queue takes the device with it: STATUS.FATAL.
 */
void membox_queue_halt(MemboxQueue *q, uint16_t status, uint64_t value)
{
    Ctl ctl;

    if (ctl_map(q, &ctl)) {
        halt(q, &ctl, status, value);
        ctl_unmap(q, &ctl);
    } else {
        halt(q, NULL, status, value);
    }
}

/*
 * How many completion slots may be given out. The host's index is read before
 * the device's own, which only grows: it can be behind, never ahead of it.
 */
static bool slots_free(MemboxQueue *q, Ctl *ctl, uint32_t *room)
{
    uint32_t entries = 1U << q->cq_log2;
    uint32_t head = qatomic_load_acquire(&ctl->p->cq_head);
    uint32_t tail;

    qemu_mutex_lock(&q->cq_lock);
    tail = q->cq_tail;
    qemu_mutex_unlock(&q->cq_lock);
    if (membox_ring_used(tail, head) > entries ||
        membox_ring_used(q->started, head) > entries) {
        halt(q, ctl, MEMBOX_ST_OUT_OF_RANGE, head);
        return false;
    }
    *room = entries - membox_ring_used(q->started, head);
    return true;
}

/*
 * How many descriptors are published and have a completion slot each. Before
 * it says 0 it has published what would wake it and looked again.
 */
static uint32_t fetchable(MemboxQueue *q, Ctl *ctl)
{
    uint32_t avail = 0, room = 0;

    for (int look = 0; look < 2; look++) {
        uint32_t tail = qatomic_load_acquire(&ctl->p->sq_tail);

        avail = membox_ring_used(tail, q->sq_head);
        if (avail > 1U << q->sq_log2) {
            halt(q, ctl, MEMBOX_ST_OUT_OF_RANGE, tail);
            return 0;
        }
        if (!slots_free(q, ctl, &room)) {
            return 0;
        }
        if (avail && room) {
            return MIN(avail, room);
        }
        if (!avail) {
            qatomic_set(&ctl->p->sq_event, q->sq_head);
        }
        smp_mb(); /* index and event before the other side's are read again */
    }
    trace_membox_queue_sleep(q->dev, q->id, q->sq_head, avail);
    return 0;
}

static bool regions_at_hand(MemboxQueue *q, const struct membox_packet *d)
{
    return (!(d->flags & MEMBOX_F_REGION) ||
            membox_region_at_hand(q->dev, d->host.key)) &&
           (!(d->flags & MEMBOX_F_REGION2) ||
            membox_region_at_hand(q->dev, d->coll.recv.key));
}

/* Does it do its work in no time? */
static bool is_small(MemboxQueue *q, const struct membox_packet *d)
{
    return mbe_looks_small(d) && d->host.nseg <= MEMBOX_INLINE_SEGMENTS &&
           (!q->user || regions_at_hand(q, d));
}

/*
 * Reads n descriptors that lie in one piece; how many of them are whole. With
 * `large` it ends before the first that is not small.
 */
static uint32_t read_ring(MemboxQueue *q, struct membox_packet *batch,
                          uint32_t n, bool *large, Ctl *ctl)
{
    uint32_t slot = membox_ring_slot(q->sq_head, q->sq_log2);
    uint64_t addr = q->sq_addr + (uint64_t)slot * sizeof(*batch);

    if (!membox_dma_read(q->dev, addr, batch, n * sizeof(*batch))) {
        halt(q, ctl, MEMBOX_ST_DMA_FAULT, addr);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = q->sq_head + i;

        if (large && !is_small(q, &batch[i])) {
            *large = true;
            return i;
        }
        if (batch[i].phase != membox_ring_phase(index, q->sq_log2)) {
            halt(q, ctl, MEMBOX_ST_TORN, index);
            return i;
        }
    }
    return n;
}

/*
 * Copies the next published descriptors, each byte once, and gives their ring
 * slots back. Each has a completion slot. 0: nothing there, or halted. With
 * `large` only small ones are taken; it says whether others come next.
 */
uint32_t membox_queue_fetch(MemboxQueue *q, struct membox_packet *batch,
                            uint32_t max, bool *large)
{
    uint32_t entries = 1U << q->sq_log2, n;
    Ctl ctl;

    if (large) {
        *large = false;
    }
    if (qatomic_read(&q->stopped)) {
        return 0;
    }
    if (!ctl_map(q, &ctl)) {
        halt(q, NULL, MEMBOX_ST_DMA_FAULT, q->ctl_addr);
        return 0;
    }
    n = MIN(fetchable(q, &ctl), max);
    n = MIN(n, entries - membox_ring_slot(q->sq_head, q->sq_log2));
    if (n) {
        n = read_ring(q, batch, n, large, &ctl);
        mbe_count(q->dev->engine, MEMBOX_CTR_CONTROL, n * sizeof(*batch));
        trace_membox_queue_fetch(q->dev, q->id, q->sq_head, n);
        qatomic_set(&q->sq_head, q->sq_head + n);
        q->started += n;
        qatomic_store_release(&ctl.p->sq_head, q->sq_head);
    }
    ctl_unmap(q, &ctl);
    return n;
}

/* Posts into the next slot: the entry, a barrier, its last 8 bytes. */
static bool post_entry(MemboxQueue *q, struct membox_completion *c)
{
    uint32_t slot = membox_ring_slot(q->cq_tail, q->cq_log2);
    uint64_t addr = q->cq_addr + (uint64_t)slot * sizeof(*c);
    struct membox_completion *entry;
    uint64_t last;
    MemboxVec v;

    QEMU_BUILD_BUG_ON(offsetof(struct membox_completion, cid) !=
                      sizeof(*c) - sizeof(last));
    entry = membox_map_one(q->dev, addr, sizeof(*c), true, &v);
    if (!entry) {
        return false;
    }
    c->queue = q->id;
    c->rsvd = 0;
    c->phase = membox_ring_phase(q->cq_tail, q->cq_log2);
    memcpy(entry, c, sizeof(*c) - sizeof(last));
    memcpy(&last, &c->cid, sizeof(last));
    smp_mb(); /* data and entry are visible before the phase says so */
    qatomic_set((uint64_t *)&entry->cid, last);
    membox_unmap(q->dev, &v);
    mbe_count(q->dev->engine, MEMBOX_CTR_CONTROL, sizeof(*c));
    return true;
}

/* Has the host asked to be interrupted for the completion just posted? */
static bool wants_interrupt(MemboxQueue *q)
{
    Ctl ctl;
    bool wants;

    if (!ctl_map(q, &ctl)) {
        return true;
    }
    smp_mb(); /* the entry before the event is read */
    wants = membox_need_event(qatomic_read(&ctl.p->cq_event), q->cq_tail,
                              q->cq_tail - 1);
    ctl_unmap(q, &ctl);
    return wants;
}

/*
 * Any thread; the slot was reserved when the command was fetched. False: the
 * host will not see it.
 */
bool membox_queue_post(MemboxQueue *q, struct membox_completion *c)
{
    bool ok = true, irq = false, posted = false;

    /*
     * A reset must not wait for the lock: it has the BQL, which the holder may
     * need to map the ring.
     */
    if (qatomic_read(&q->silent)) {
        return false;
    }
    qemu_mutex_lock(&q->cq_lock);
    if (!qatomic_read(&q->silent)) {
        ok = post_entry(q, c);
        posted = ok;
        if (ok) {
            q->cq_tail++;
            irq = wants_interrupt(q);
            trace_membox_complete(q->dev, q->id, c->cid, c->status, c->bytes,
                                  irq);
        }
    }
    qemu_mutex_unlock(&q->cq_lock);
    if (!ok) {
        qatomic_set(&q->silent, true);
        membox_queue_halt(q, MEMBOX_ST_DMA_FAULT, q->cq_addr);
    }
    if (irq) {
        membox_irq_raise(q->dev, q->vector);
    }
    return posted;
}
