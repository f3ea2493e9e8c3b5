/*
 * membox: interrupts, events of contexts and the error log.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any thread may raise a vector: it sets a bit, and a bottom half, which has
 * the BQL, sends the messages. Owns irq_pending, events, int_cause (atomic)
 * and the error log (err_lock).
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "hw/pci/msix.h"
#include "device.h"
#include "trace.h"

/* Sends what is pending. BQL. */
void membox_irq_flush(MemboxState *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    uint64_t pending = qatomic_xchg(&s->irq_pending, 0);

    while (pending) {
        unsigned vector = ctz64(pending);

        pending &= pending - 1;
        if (msix_enabled(pdev)) {
            trace_membox_irq(s, vector, msix_is_masked(pdev, vector));
            mbe_count(s->engine, MEMBOX_CTR_INTERRUPTS, 1);
            msix_notify(pdev, vector);
        }
    }
}

static void irq_bh(void *opaque)
{
    membox_irq_flush(opaque);
}

void membox_irq_init(MemboxState *s)
{
    qemu_mutex_init(&s->err_lock);
    s->irq_bh = qemu_bh_new(irq_bh, s);
}

void membox_irq_exit(MemboxState *s)
{
    qemu_bh_delete(s->irq_bh);
    qemu_mutex_destroy(&s->err_lock);
}

/* The error log and its count live on: they are since power on. */
void membox_irq_reset(MemboxState *s)
{
    qatomic_set(&s->irq_pending, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(s->events); i++) {
        qatomic_set(&s->events[i], 0);
    }
    qatomic_set(&s->int_cause, 0);
}

void membox_irq_raise(MemboxState *s, uint16_t vector)
{
    if (vector >= s->vectors) {
        return;
    }
    qatomic_or(&s->irq_pending, BIT_ULL(vector));
    qemu_bh_schedule(s->irq_bh);
}

/* The engine found something for a context: any thread. */
void membox_event(void *opaque, unsigned context)
{
    MemboxState *s = opaque;
    uint64_t bit = BIT_ULL(context % 64);
    uint64_t old;
    uint32_t cause;

    if (context >= MEMBOX_MAX_CONTEXTS || !s->engine) {
        return;
    }
    old = qatomic_fetch_or(&s->events[context / 64], bit);
    cause = qatomic_fetch_or(&s->int_cause, MEMBOX_INT_EVENT);
    trace_membox_event(s, context);
    if (!(old & bit) || !(cause & MEMBOX_INT_EVENT)) {
        membox_irq_raise(s, 0);
    }
}

/* Any thread. */
void membox_log_error(MemboxState *s, uint16_t queue, uint16_t cid,
                      uint16_t context, uint16_t status, uint32_t detail,
                      uint64_t value)
{
    struct membox_err *e;

    qemu_mutex_lock(&s->err_lock);
    e = &s->err_log[s->err_count % MEMBOX_ERR_LOG];
    *e = (struct membox_err) {
        .time = mbe_clock(s->engine),
        .count = s->err_count + 1,
        .queue = queue,
        .cid = cid,
        .status = status,
        .context = context,
        .detail = detail,
        .value = value,
    };
    qatomic_set(&s->err_count, s->err_count + 1);
    qemu_mutex_unlock(&s->err_lock);
    trace_membox_error(s, queue, cid, status, detail, value);
    if (!(qatomic_fetch_or(&s->int_cause, MEMBOX_INT_ERROR) &
          MEMBOX_INT_ERROR)) {
        membox_irq_raise(s, 0);
    }
}
