/*
 * membox: threads. Workers serve rung queues and execute commands that are
 * ready; one thread makes parked commands advance.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns the run list, the ready list and the counts that quiesce.c waits for,
 * all under MemboxState.lock. A queue is on the run list at most once and is
 * served by one worker at a time; commands that are ready go first.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/rcu.h"
#include "device.h"
#include "trace.h"

static void run_queue(MemboxState *s, MemboxQueue *q)
{
    if (q->serving) {
        q->again = true;
    } else if (!q->queued) {
        q->queued = true;
        QSIMPLEQ_INSERT_TAIL(&s->runq, q, run);
        qemu_cond_signal(&s->work);
    }
}

/* Has a worker look at a queue, if there is one of that number. */
void membox_kick(MemboxState *s, unsigned id)
{
    qemu_mutex_lock(&s->lock);
    if (!s->quiesce && s->queue[id]) {
        run_queue(s, s->queue[id]);
    }
    qemu_mutex_unlock(&s->lock);
}

void membox_push_ready(MemboxState *s, MemboxCmd *c)
{
    qemu_mutex_lock(&s->lock);
    QSIMPLEQ_INSERT_TAIL(&s->readyq, c, next);
    qemu_cond_signal(&s->work);
    qemu_mutex_unlock(&s->lock);
}

/* Something ended that a reset or an administration command may wait for. */
static void tell_waiters(MemboxState *s)
{
    if (s->quiesce) {
        qemu_cond_broadcast(&s->idle);
        membox_schedule_main(s);
    } else if (qatomic_read(&s->admin.waiting) && s->queue[0]) {
        run_queue(s, s->queue[0]);
    }
}

/* A command has completed; nothing of the queue may be touched after it. */
void membox_cmd_gone(MemboxQueue *q, bool aborting)
{
    MemboxState *s = q->dev;

    qemu_mutex_lock(&s->lock);
    q->inflight--;
    if (aborting) {
        qatomic_dec(&q->aborting);
    }
    if (!q->inflight || aborting) {
        tell_waiters(s);
    }
    qemu_mutex_unlock(&s->lock);
}

/* lock held, also on return. */
static void serve(MemboxState *s, MemboxQueue *q, bool (*fn)(MemboxQueue *q))
{
    bool more;

    q->queued = false;
    q->again = false;
    q->serving = true;
    qemu_mutex_unlock(&s->lock);
    more = fn(q);
    qemu_mutex_lock(&s->lock);
    q->serving = false;
    if ((more || q->again) && !s->quiesce) {
        run_queue(s, q);
    }
    if (q->id) {
        tell_waiters(s);
    }
}

/*
 * A doorbell: a vCPU, BQL. Behind an IOMMU mapping has to wait for the main
 * loop, and a queue that a worker is at is left to it.
 */
void membox_ring(MemboxState *s, unsigned id)
{
    MemboxQueue *q;

    qemu_mutex_lock(&s->lock);
    q = s->quiesce ? NULL : s->queue[id];
    if (q && id && !s->has_iommu && !s->paused && !q->serving && !q->queued) {
        s->busy++;
        serve(s, q, membox_queue_serve_small);
        s->busy--;
    } else if (q) {
        run_queue(s, q);
    }
    qemu_mutex_unlock(&s->lock);
    membox_irq_flush(s);
}

static void execute(MemboxState *s, MemboxCmd *c)
{
    MemboxQueue *q = c->queue;

    q->executing++;
    qemu_mutex_unlock(&s->lock);
    mbe_execute(s->engine, &c->cmd);
    qemu_mutex_lock(&s->lock);
    if (!--q->executing) {
        tell_waiters(s);
    }
}

/*
 * The queue to serve next. A stopped VM's are not looked at, but what was begun
 * goes on to its end: commands that are ready, and the administration command
 * under way, with the queues that it may be waiting for (ABORT, QUEUE_DELETE).
 */
static MemboxQueue *next_queue(MemboxState *s)
{
    MemboxQueue *q = QSIMPLEQ_FIRST(&s->runq);

    if (!s->paused || s->quiesce) {
        return q;
    }
    return s->queue[0] && s->admin.active ? q : NULL;
}

static void *worker(void *opaque)
{
    MemboxState *s = opaque;

    rcu_register_thread();
    qemu_mutex_lock(&s->lock);
    while (!s->stop) {
        MemboxCmd *c = QSIMPLEQ_FIRST(&s->readyq);
        MemboxQueue *q = next_queue(s);

        if (!c && !q) {
            qemu_cond_wait(&s->work, &s->lock);
            continue;
        }
        s->busy++;
        if (c) {
            QSIMPLEQ_REMOVE_HEAD(&s->readyq, next);
            execute(s, c);
        } else {
            QSIMPLEQ_REMOVE(&s->runq, q, MemboxQueue, run);
            serve(s, q, q->id ? membox_queue_serve : membox_admin_serve);
        }
        s->busy--;
        if (s->paused) {
            qemu_cond_broadcast(&s->idle);
        } else if (s->quiesce) {
            tell_waiters(s);
        }
    }
    qemu_mutex_unlock(&s->lock);
    rcu_unregister_thread();
    return NULL;
}

/* Makes parked commands advance. Not while the VM is stopped. */
static void *progress(void *opaque)
{
    MemboxState *s = opaque;

    rcu_register_thread();
    qemu_mutex_lock(&s->lock);
    while (!s->stop) {
        uint32_t seen;
        uint64_t until;

        if (s->paused && !s->quiesce) {
            qemu_cond_wait(&s->work, &s->lock);
            continue;
        }
        s->progress_busy = true;
        qemu_mutex_unlock(&s->lock);
        seen = mbe_wake_seen(s->engine);
        until = mbe_progress(s->engine);
        qemu_mutex_lock(&s->lock);
        s->progress_busy = false;
        if (s->paused) {
            qemu_cond_broadcast(&s->idle);
        }
        tell_waiters(s);
        if (s->stop || (s->paused && !s->quiesce)) {
            continue;
        }
        qemu_mutex_unlock(&s->lock);
        mbe_sleep(s->engine, seen, until);
        qemu_mutex_lock(&s->lock);
    }
    qemu_mutex_unlock(&s->lock);
    rcu_unregister_thread();
    return NULL;
}

/* What must be done under the BQL, for workers and for a reset. */
static void main_bh(void *opaque)
{
    MemboxState *s = opaque;

    membox_requests_serve(s);
    membox_admin_main(s);
    membox_windows_revoke(s);
    membox_quiesce_poll(s);
}

void membox_schedule_main(MemboxState *s)
{
    qemu_bh_schedule(s->main_bh);
}

void membox_workers_start(MemboxState *s)
{
    qemu_mutex_init(&s->lock);
    qemu_cond_init(&s->work);
    qemu_cond_init(&s->idle);
    QSIMPLEQ_INIT(&s->runq);
    QSIMPLEQ_INIT(&s->readyq);
    QTAILQ_INIT(&s->requests);
    s->main_bh = qemu_bh_new(main_bh, s);
    s->threads = g_new0(QemuThread, s->workers);
    for (s->nthreads = 0; s->nthreads < s->workers; s->nthreads++) {
        qemu_thread_create(&s->threads[s->nthreads], "membox-worker", worker,
                           s, QEMU_THREAD_JOINABLE);
    }
    qemu_thread_create(&s->progress, "membox-progress", progress, s,
                       QEMU_THREAD_JOINABLE);
}

/* Everything is quiet by now (membox_quiesce_wait()). */
void membox_workers_stop(MemboxState *s)
{
    qemu_mutex_lock(&s->lock);
    s->stop = true;
    qemu_cond_broadcast(&s->work);
    qemu_mutex_unlock(&s->lock);
    mbe_wake(s->engine);
    for (unsigned i = 0; i < s->nthreads; i++) {
        qemu_thread_join(&s->threads[i]);
    }
    qemu_thread_join(&s->progress);
    g_free(s->threads);
    qemu_bh_delete(s->main_bh);
    qemu_cond_destroy(&s->idle);
    qemu_cond_destroy(&s->work);
    qemu_mutex_destroy(&s->lock);
}
