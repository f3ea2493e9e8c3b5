/*
 * membox: coming to rest: reset, disable, function-level reset, stop of the VM.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions run under the BQL. Coming to rest has three steps: begin
 * (nothing is fetched or posted any more, what runs is aborted), quiet (no
 * worker and no command is left: tear_down() frees queues, contexts and
 * windows), and the last vCPU's leaving the translation block in which it may
 * have used a window. A register write goes through them by and by; a
 * function-level or system reset waits for the second.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "device.h"
#include "trace.h"

#define POLL_MS 1

static void abort_all(MemboxState *s)
{
    /* No queue is freed by another thread once s->quiesce is set. */
    for (unsigned i = 0; i <= MEMBOX_LIMIT_QUEUES; i++) {
        if (s->queue[i]) {
            membox_queue_abort(s->queue[i], true, 0, 0, MEMBOX_ST_RESET);
        }
    }
}

static bool quiet(MemboxState *s)
{
    bool quiet;

    qemu_mutex_lock(&s->lock);
    quiet = !s->busy && !s->progress_busy;
    for (unsigned i = 0; i <= MEMBOX_LIMIT_QUEUES; i++) {
        quiet &= !s->queue[i] || !s->queue[i]->inflight;
    }
    qemu_mutex_unlock(&s->lock);
    for (unsigned i = 0; quiet && i <= MEMBOX_LIMIT_QUEUES; i++) {
        quiet = !s->queue[i] || !mbe_queue_inflight(&s->queue[i]->order);
    }
    return quiet;
}

static bool every_window(const MemboxWindow *w, const void *arg)
{
    return true;
}

static void tear_down(MemboxState *s)
{
    membox_admin_reset(s);
    membox_window_remove(s, false, every_window, NULL);
    for (unsigned i = 0; i <= MEMBOX_LIMIT_QUEUES; i++) {
        MemboxQueue *q = s->queue[i];

        qemu_mutex_lock(&s->lock);
        s->queue[i] = NULL;
        qemu_mutex_unlock(&s->lock);
        if (q) {
            membox_queue_free(q);
        }
    }
    membox_regions_free(s, 0);
    for (unsigned i = 1; i < MEMBOX_MAX_CONTEXTS; i++) {
        if (test_and_clear_bit(i, s->contexts)) {
            mbe_context_reset(s->engine, i);
        }
    }
    s->torn_down = true;
}

/* Begins to come to rest; a reset takes over from a disable. */
void membox_quiesce_begin(MemboxState *s, MemboxQuiesce how)
{
    bool first;

    qemu_mutex_lock(&s->lock);
    first = !s->quiesce;
    s->quiesce = MAX(s->quiesce, how);
    QSIMPLEQ_INIT(&s->runq);
    for (unsigned i = 0; i <= MEMBOX_LIMIT_QUEUES; i++) {
        MemboxQueue *q = s->queue[i];

        if (q) {
            qatomic_set(&q->stopped, true);
            qatomic_set(&q->silent, true);
            q->queued = false;
        }
    }
    qemu_cond_broadcast(&s->work);
    qemu_mutex_unlock(&s->lock);
    if (first) {
        s->epoch++;
        if (!mbe_away(s->engine)) {
            membox_migrate_restart(s); /* to be ended like the others */
        }
    }
    trace_membox_quiesce(s, how, s->epoch);
    membox_schedule_main(s);
}

/* Goes on with it as far as possible. True: at rest (or never disturbed). */
bool membox_quiesce_poll(MemboxState *s)
{
    if (!s->quiesce) {
        return true;
    }
    if (!s->torn_down) {
        abort_all(s);
        if (!quiet(s)) {
            return false;
        }
        tear_down(s);
    }
    if (!QLIST_EMPTY(&s->barriers)) {
        return false;
    }
    if (s->quiesce == MEMBOX_RESETTING) {
        membox_regs_reset(s);
    }
    qatomic_set(&s->irq_pending, 0);
    s->enabled = false;
    s->ready = false;
    s->torn_down = false;
    qemu_mutex_lock(&s->lock);
    s->quiesce = MEMBOX_RUNNING;
    qemu_mutex_unlock(&s->lock);
    trace_membox_quiet(s, s->epoch);
    return true;
}

/*
 * Waits until nothing of the device can touch guest memory or post any more.
 * Workers that need the BQL are served meanwhile.
 */
void membox_quiesce_wait(MemboxState *s)
{
    while (!membox_quiesce_poll(s) && !s->torn_down) {
        membox_requests_serve(s);
        qemu_mutex_lock(&s->lock);
        if (QTAILQ_EMPTY(&s->requests)) {
            qemu_cond_timedwait(&s->idle, &s->lock, POLL_MS);
        }
        qemu_mutex_unlock(&s->lock);
    }
    membox_regs_reset(s);
}

/* Has all ended that was begun, but for what waits? lock */
static bool drained(MemboxState *s)
{
    return !s->busy && !s->progress_busy && QSIMPLEQ_EMPTY(&s->readyq) &&
           !s->quiesce && !(s->queue[0] && s->admin.active);
}

/*
 * What runs ends, what is done completes, and a reset comes to its end; what is
 * parked stays so. No vCPU is in a translation block: nobody waits for them.
 */
static void drain(MemboxState *s)
{
    do {
        qemu_mutex_lock(&s->lock);
        while (!drained(s)) {
            qemu_mutex_unlock(&s->lock);
            membox_requests_serve(s);
            membox_admin_main(s);
            membox_barriers_end(s);
            membox_quiesce_poll(s);
            mbe_end_delays(s->engine); /* an ABORT may wait for one */
            qemu_mutex_lock(&s->lock);
            if (QTAILQ_EMPTY(&s->requests) && !drained(s)) {
                qemu_cond_timedwait(&s->idle, &s->lock, POLL_MS);
            }
        }
        qemu_mutex_unlock(&s->lock);
    } while (mbe_end_delays(s->engine));
}

/* The other ranks count on what a collective has done here: it cannot move. */
static void end_collectives(MemboxState *s)
{
    for (unsigned i = 1; i <= s->queues; i++) {
        if (s->queue[i]) {
            membox_queue_abort_groups(s->queue[i]);
        }
    }
}

static void set_paused(MemboxState *s, bool paused)
{
    qemu_mutex_lock(&s->lock);
    s->paused = paused;
    qemu_cond_broadcast(&s->work);
    qemu_mutex_unlock(&s->lock);
}

void membox_vm_state(void *opaque, bool running, RunState state)
{
    MemboxState *s = opaque;

    if (!running) {
        if (state == RUN_STATE_FINISH_MIGRATE) {
            end_collectives(s);
        }
        set_paused(s, true);
        drain(s);
    } else if (membox_migrate_may_run(s)) {
        set_paused(s, false);
        membox_migrate_run(s);
    } else {
        vm_stop(RUN_STATE_INTERNAL_ERROR);
        return;
    }
    membox_irq_flush(s);
}
