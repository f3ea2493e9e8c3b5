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
#include "qemu/units.h"
#include "qapi/error.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "device.h"
#include "trace.h"

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
    if (before) {
        QTAILQ_INSERT_BEFORE(before, w, next);
    } else {
        QTAILQ_INSERT_TAIL(&s->windows, w, next);
    }
    memory_region_init_alias(&w->mr, OBJECT(s), "membox-window",
                             writable ? &s->ram_rw : &s->ram_ro,
                             x->offset, x->length);
    memory_region_add_subregion(&s->aperture, w->offset, &w->mr);
    qatomic_set(&s->nwindows, s->nwindows + 1);
    out->window = w->id;
    out->offset = w->offset;
    out->length = x->length;
    trace_membox_window_map(s, w->id, context, handle, w->offset, x->length,
                            writable);
    return MEMBOX_ST_OK;
}

static void barrier_end(MemboxBarrier *b)
{
    MemboxState *s = b->dev;
    MemboxWindow *w;

    while ((w = QTAILQ_FIRST(&b->windows))) {
        QTAILQ_REMOVE(&b->windows, w, next);
        mbe_extent_put(s->engine, &w->extent);
        g_free(w);
    }
    QLIST_REMOVE(b, next);
    b->dev = NULL;
    if (b->wakes_admin) {
        membox_admin_wake(s);
    }
    membox_schedule_main(s); /* a reset may have waited for it */
}

/* A vCPU, outside its translation blocks. */
static void barrier_pass(CPUState *cpu, run_on_cpu_data data)
{
    MemboxBarrier *b = data.host_ptr;

    if (--b->remaining) {
        return;
    }
    if (b->dev) {
        barrier_end(b);
    }
    g_free(b);
}

static void barrier_start(MemboxState *s, MemboxBarrier *b)
{
    CPUState *cpu;

    QLIST_INSERT_HEAD(&s->barriers, b, next);
    CPU_FOREACH(cpu) {
        b->remaining++;
    }
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
    MemboxBarrier *b = g_new0(MemboxBarrier, 1);
    MemboxWindow *w, *following;
    unsigned n = 0;

    b->dev = s;
    b->wakes_admin = wakes_admin;
    QTAILQ_INIT(&b->windows);
    memory_region_transaction_begin();
    QTAILQ_FOREACH_SAFE(w, &s->windows, next, following) {
        if (match(w, arg)) {
            trace_membox_window_unmap(s, w->id);
            QTAILQ_REMOVE(&s->windows, w, next);
            QTAILQ_INSERT_TAIL(&b->windows, w, next);
            memory_region_del_subregion(&s->aperture, &w->mr);
            object_unparent(OBJECT(&w->mr));
            n++;
        }
    }
    memory_region_transaction_commit();
    qatomic_set(&s->nwindows, s->nwindows - n);
    if (n) {
        barrier_start(s, b);
    } else {
        g_free(b);
    }
    return n;
}
