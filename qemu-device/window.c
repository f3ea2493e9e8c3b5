/*
 * membox: windows: parameters that appear in the aperture (BAR 2).
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each window is an alias of one of two RAM regions of the box file. Read-only
 * windows alias the one that is mapped read-only: QEMU decides by the terminal
 * region whether another device may DMA into it. A window that was removed
 * keeps its parameter until every vCPU has left the translation block in which
 * it may still reach it (MemboxBarrier). All functions run under the BQL.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "device.h"
#include "trace.h"

#define BARRIER_LOOK_MS 50

static unsigned all_windows; /* of all devices of this VM; BQL */

bool membox_window_init(MemboxState *s, int fd_rw, int fd_ro, Error **errp)
{
    uint64_t bytes = lseek(fd_ro, 0, SEEK_END);

    QTAILQ_INIT(&s->windows);
    QLIST_INIT(&s->barriers);
    if (all_windows + s->max_windows > MEMBOX_LIMIT_WINDOWS) {
        error_setg(errp, "membox: the devices of a VM may have %u windows "
                   "together, %u are taken: set max-windows to %u or less",
                   MEMBOX_LIMIT_WINDOWS, all_windows,
                   MEMBOX_LIMIT_WINDOWS - all_windows);
        goto fail;
    }
    memory_region_init(&s->aperture, OBJECT(s), "membox-aperture",
                       s->aperture_size);
    if (!memory_region_init_ram_from_fd(&s->ram_ro, OBJECT(s), "membox-ro",
                                        bytes, RAM_SHARED | RAM_READONLY |
                                        RAM_READONLY_FD, fd_ro, 0, errp)) {
        goto fail;
    }
    if (s->rdonly) {
        close(fd_rw);
    } else if (!memory_region_init_ram_from_fd(&s->ram_rw, OBJECT(s),
                                               "membox-rw", bytes, RAM_SHARED,
                                               fd_rw, 0, errp)) {
        close(fd_rw);
        return false;
    }
    all_windows += s->max_windows;
    s->windows_taken = true;
    return true;

fail:
    close(fd_rw);
    close(fd_ro);
    return false;
}

/* No window and no barrier is left. */
void membox_window_exit(MemboxState *s)
{
    if (s->windows_taken) {
        all_windows -= s->max_windows;
        s->windows_taken = false;
    }
}

/* First fit; from 2 MiB up congruent to the file, for huge pages. */
static bool place(MemboxState *s, MemboxWindow *w, MemboxWindow **before)
{
    uint64_t align = w->extent.length >= 2 * MiB ? 2 * MiB : 4 * KiB;
    uint64_t phase = w->extent.offset & (align - 1);
    uint64_t at = phase;
    MemboxWindow *other;

    QTAILQ_FOREACH(other, &s->windows, next) {
        if (at + w->extent.length <= other->offset) {
            break;
        }
        at = other->offset + other->extent.length;
        at += (phase - at) & (align - 1);
    }
    *before = other;
    w->offset = at;
    return at + w->extent.length <= s->aperture_size;
}

/* Makes a window appear, which stands before another one or last. */
static void show(MemboxState *s, MemboxWindow *w, MemboxWindow *before)
{
    if (before) {
        QTAILQ_INSERT_BEFORE(before, w, next);
    } else {
        QTAILQ_INSERT_TAIL(&s->windows, w, next);
    }
    qatomic_set(&s->nwindows, s->nwindows + 1);
    if (w->hollow) {
        return;
    }
    memory_region_init_alias(&w->mr, OBJECT(s), "membox-window",
                             w->writable ? &s->ram_rw : &s->ram_ro,
                             w->extent.offset, w->extent.length);
    memory_region_add_subregion(&s->aperture, w->offset, &w->mr);
}

static void hide(MemboxState *s, MemboxWindow *w)
{
    memory_region_del_subregion(&s->aperture, &w->mr);
    object_unparent(OBJECT(&w->mr));
}

/* Takes over the extent if it succeeds. */
uint16_t membox_window_add(MemboxState *s, uint16_t context, uint32_t handle,
                           bool writable, const struct mbe_extent *x,
                           struct membox_window_args *out)
{
    MemboxWindow *w, *before;

    if (s->nwindows >= s->max_windows) {
        return MEMBOX_ST_TABLE_FULL;
    }
    w = g_new0(MemboxWindow, 1);
    w->extent = *x;
    w->context = context;
    w->handle = handle;
    if (!place(s, w, &before)) {
        g_free(w);
        return MEMBOX_ST_NO_SPACE;
    }
    w->id = ++s->next_window;
    w->writable = writable;
    show(s, w, before);
    out->window = w->id;
    out->offset = w->offset;
    out->length = x->length;
    trace_membox_window_map(s, w->id, context, handle, w->offset, x->length,
                            writable);
    return MEMBOX_ST_OK;
}

/*
 * A window where it was before a migration, in the order of their offsets.
 * False: it cannot be there.
 */
bool membox_window_restore(MemboxState *s, const MemboxSavedWindow *v,
                           const struct mbe_extent *x)
{
    MemboxWindow *last = QTAILQ_LAST(&s->windows), *w;

    if (s->nwindows >= s->max_windows || (v->writable && s->rdonly) ||
        (v->offset | x->length) & (4 * KiB - 1) || !x->length ||
        x->length > s->aperture_size ||
        v->offset > s->aperture_size - x->length ||
        (last && v->offset < last->offset + last->extent.length)) {
        return false;
    }
    w = g_new0(MemboxWindow, 1);
    w->extent = *x;
    w->id = v->id;
    w->context = v->context;
    w->handle = v->handle;
    w->writable = v->writable;
    w->hollow = v->hollow;
    w->offset = v->offset;
    show(s, w, NULL);
    return true;
}

static void barrier_end(MemboxBarrier *b)
{
    MemboxState *s = b->dev;
    MemboxWindow *w;

    while ((w = QTAILQ_FIRST(&b->windows))) {
        QTAILQ_REMOVE(&b->windows, w, next);
        if (!w->hollow) {
            mbe_extent_put(s->engine, &w->extent);
        }
        g_free(w);
    }
    QLIST_REMOVE(b, next);
    b->dev = NULL;
    if (b->wakes_admin) {
        membox_admin_wake(s);
    }
    membox_schedule_main(s); /* a reset may have waited for it */
}

static void barrier_free(MemboxBarrier *b)
{
    timer_free(b->timer);
    g_ptr_array_free(b->cpus, true);
    g_free(b);
}

/* Has the last vCPU passed? Then it is gone. */
static bool barrier_passed(MemboxBarrier *b)
{
    if (b->cpus->len) {
        return false;
    }
    if (b->dev) {
        barrier_end(b);
    }
    barrier_free(b);
    return true;
}

/* A vCPU, outside its translation blocks. */
static void barrier_pass(CPUState *cpu, run_on_cpu_data data)
{
    MemboxBarrier *b = data.host_ptr;

    g_ptr_array_remove_fast(b->cpus, cpu);
    barrier_passed(b);
}

static bool is_plugged(const CPUState *which)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu == which) {
            return true;
        }
    }
    return false;
}

/* A vCPU that was unplugged meanwhile never comes by: it has left for good. */
static void barrier_look(void *opaque)
{
    MemboxBarrier *b = opaque;

    for (unsigned i = b->cpus->len; i-- > 0; ) {
        if (!is_plugged(g_ptr_array_index(b->cpus, i))) {
            g_ptr_array_remove_index_fast(b->cpus, i);
        }
    }
    if (!barrier_passed(b)) {
        timer_mod(b->timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + BARRIER_LOOK_MS);
    }
}

static MemboxBarrier *barrier_new(MemboxState *s)
{
    MemboxBarrier *b = g_new0(MemboxBarrier, 1);

    b->dev = s;
    b->cpus = g_ptr_array_new_with_free_func(object_unref);
    b->timer = timer_new_ms(QEMU_CLOCK_REALTIME, barrier_look, b);
    QTAILQ_INIT(&b->windows);
    return b;
}

static void barrier_start(MemboxState *s, MemboxBarrier *b)
{
    CPUState *cpu;

    QLIST_INSERT_HEAD(&s->barriers, b, next);
    CPU_FOREACH(cpu) {
        object_ref(OBJECT(cpu));
        g_ptr_array_add(b->cpus, cpu);
    }
    timer_mod(b->timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + BARRIER_LOOK_MS);
    /* Queued behind the TLB flushes of the transaction before it. */
    CPU_FOREACH(cpu) {
        async_run_on_cpu(cpu, barrier_pass, RUN_ON_CPU_HOST_PTR(b));
    }
}

/* Ends what vCPUs have not passed: the device goes away. */
void membox_barriers_end(MemboxState *s)
{
    MemboxBarrier *b, *following;

    QLIST_FOREACH_SAFE(b, &s->barriers, next, following) {
        barrier_end(b);
    }
}

/*
 * Removes the windows for which match says true, in one transaction, and
 * returns how many they were. When the last vCPU has passed, the parameters
 * are given up, and the admin queue goes on if it is to.
 */
unsigned membox_window_remove(MemboxState *s, bool wakes_admin,
                              bool (*match)(const MemboxWindow *w,
                                            const void *arg),
                              const void *arg)
{
    MemboxBarrier *b = barrier_new(s);
    MemboxWindow *w, *following;
    unsigned n = 0;

    b->wakes_admin = wakes_admin;
    memory_region_transaction_begin();
    QTAILQ_FOREACH_SAFE(w, &s->windows, next, following) {
        if (match(w, arg)) {
            trace_membox_window_unmap(s, w->id);
            QTAILQ_REMOVE(&s->windows, w, next);
            QTAILQ_INSERT_TAIL(&b->windows, w, next);
            if (!w->hollow) {
                hide(s, w);
            }
            n++;
        }
    }
    memory_region_transaction_commit();
    qatomic_set(&s->nwindows, s->nwindows - n);
    if (n) {
        barrier_start(s, b);
    } else {
        barrier_free(b);
    }
    return n;
}

/*
 * Windows of revoked parameters show nothing any more, and give the parameters
 * up. They keep their places and numbers until their owner unmaps them: what
 * still points there must not see another's window.
 */
void membox_windows_revoke(MemboxState *s)
{
    MemboxBarrier *b;
    MemboxWindow *w;
    bool any = false;

    if (!qatomic_xchg(&s->revoked, false)) {
        return;
    }
    b = barrier_new(s);
    memory_region_transaction_begin();
    QTAILQ_FOREACH(w, &s->windows, next) {
        MemboxWindow *was;

        if (w->hollow || !mbe_extent_revoked(s->engine, &w->extent)) {
            continue;
        }
        trace_membox_window_revoke(s, w->id);
        hide(s, w);
        w->hollow = true;
        was = g_new0(MemboxWindow, 1);
        was->extent = w->extent;
        QTAILQ_INSERT_TAIL(&b->windows, was, next);
        any = true;
    }
    memory_region_transaction_commit();
    if (any) {
        barrier_start(s, b);
    } else {
        barrier_free(b);
    }
}

/* The engine: parameters were revoked. Any thread. */
void membox_revoked(void *opaque)
{
    MemboxState *s = opaque;

    qatomic_set(&s->revoked, true);
    membox_schedule_main(s);
}
