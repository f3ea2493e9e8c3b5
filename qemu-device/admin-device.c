/*
 * membox: the administration commands that the device executes itself: queues,
 * ABORT, windows and regions; and what a closing handle or context leaves
 * behind.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Step functions of admin.c: run by the worker that serves queue 0, no lock
 * held; functions named main_* run under the BQL.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "device.h"
#include "trace.h"

static bool refuse(MemboxAdmin *a, uint16_t status, uint32_t detail)
{
    a->status = status;
    a->detail = detail;
    return true;
}

/* Begins with a size of at least what this device knows, zero behind that? */
static bool well_formed(const MemboxAdmin *a, size_t known)
{
    uint32_t size;

    memcpy(&size, a->buf, sizeof(size));
    return a->d.count >= known && size >= known && size <= a->d.count &&
           buffer_is_zero(a->buf + known, size - known);
}

static bool context_open(MemboxState *s, unsigned context)
{
    return !context || (context < MEMBOX_MAX_CONTEXTS &&
                        test_bit(context, s->contexts));
}

/* The command's structure, and on whose behalf it is. False: refused. */
static bool take(MemboxState *s, MemboxAdmin *a, void *args, size_t known)
{
    if (!well_formed(a, known)) {
        refuse(a, MEMBOX_ST_BAD_ARGUMENT, 0);
        return false;
    }
    if (!context_open(s, a->d.context)) {
        refuse(a, MEMBOX_ST_BAD_CONTEXT, 0);
        return false;
    }
    memcpy(args, a->buf, known);
    return true;
}

/* The same for what only the kernel, context 0, may ask. */
static bool take_kernel(MemboxState *s, MemboxAdmin *a, void *args,
                        size_t known)
{
    if (!take(s, a, args, known)) {
        return false;
    }
    if (a->d.context) {
        refuse(a, MEMBOX_ST_DENIED, 0);
        return false;
    }
    return true;
}

/* ---- queues ---- */

/* Is no thread at a stopped queue any more, nor any command in it? */
static bool queue_idle(MemboxState *s, MemboxQueue *q)
{
    bool idle;

    qemu_mutex_lock(&s->lock);
    idle = !q->inflight && !q->serving && !q->queued && !q->executing;
    qemu_mutex_unlock(&s->lock);
    return idle && !mbe_queue_inflight(&q->order);
}

#define QAT(field) offsetof(struct membox_queue_args, field)

static bool step_queue_create(MemboxState *s, MemboxAdmin *a)
{
    struct membox_queue_args args;
    MemboxQueue *q;
    bool added;

    if (!take_kernel(s, a, &args, sizeof(args))) {
        return true;
    }
    if (args.flags & ~MEMBOX_QUEUE_USER) {
        return refuse(a, MEMBOX_ST_BAD_FLAG, QAT(flags));
    }
    if (args.flags && !(s->caps & MEMBOX_CAP_USER_QUEUES)) {
        return refuse(a, MEMBOX_ST_UNSUPPORTED, QAT(flags));
    }
    if (args.flags && (!args.context || !context_open(s, args.context))) {
        return refuse(a, MEMBOX_ST_BAD_CONTEXT, QAT(context));
    }
    if (!args.flags && args.context) {
        return refuse(a, MEMBOX_ST_BAD_ARGUMENT, QAT(context));
    }
    if (!args.queue || args.queue > s->queues) {
        return refuse(a, MEMBOX_ST_BAD_QUEUE, QAT(queue));
    }
    if (s->queue[args.queue]) {
        return refuse(a, MEMBOX_ST_QUEUE_EXISTS, QAT(queue));
    }
    if (args.vector >= s->vectors && args.vector != 0xffff) {
        return refuse(a, MEMBOX_ST_BAD_ARGUMENT, QAT(vector));
    }
    q = membox_queue_new(s, &args, &a->status, &a->detail);
    if (!q) {
        return true;
    }
    qemu_mutex_lock(&s->lock);
    added = !s->quiesce;
    if (added) {
        s->queue[args.queue] = q;
    }
    qemu_mutex_unlock(&s->lock);
    if (!added) {
        membox_queue_free(q);
        return refuse(a, MEMBOX_ST_RESET, 0);
    }
    /* The host may have published before it asked for the queue. */
    membox_kick(s, args.queue);
    return true;
}

/*
 * Ends a queue's commands, and then the queue. False: not yet, or a reset is
 * under way that does it.
 */
static bool queue_end(MemboxState *s, MemboxQueue *q)
{
    bool mine;

    qatomic_set(&q->stopped, true);
    membox_queue_abort(q, true, 0, 0, MEMBOX_ST_ABORTED);
    if (!queue_idle(s, q)) {
        return false;
    }
    qemu_mutex_lock(&s->lock);
    mine = !s->quiesce;
    if (mine) {
        s->queue[q->id] = NULL;
    }
    qemu_mutex_unlock(&s->lock);
    if (mine) {
        membox_queue_free(q);
    }
    return mine;
}

static bool step_queue_delete(MemboxState *s, MemboxAdmin *a)
{
    struct membox_queue_args args;
    MemboxQueue *q;

    if (!take_kernel(s, a, &args, sizeof(args))) {
        return true;
    }
    q = args.queue && args.queue <= s->queues ? s->queue[args.queue] : NULL;
    if (!q) {
        return refuse(a, MEMBOX_ST_BAD_QUEUE, QAT(queue));
    }
    return queue_end(s, q);
}

/*
 * Was all started that was published when the command began? It was when the
 * queue is idle, or when a ring's length and a batch were fetched since.
 */
static bool was_fetched(MemboxState *s, MemboxAdmin *a, MemboxQueue *q)
{
    uint32_t fetched = qatomic_read(&q->sq_head) - a->sq_from;
    bool busy;

    qemu_mutex_lock(&s->lock);
    busy = q->queued || q->serving;
    qemu_mutex_unlock(&s->lock);
    return !busy || fetched >= (1U << q->sq_log2) + MEMBOX_FETCH_BATCH;
}

static bool step_abort(MemboxState *s, MemboxAdmin *a)
{
    struct membox_abort_args args;
    MemboxQueue *q;

    if (!take_kernel(s, a, &args, sizeof(args))) {
        return true;
    }
    if (args.rsvd) {
        return refuse(a, MEMBOX_ST_RESERVED,
                      offsetof(struct membox_abort_args, rsvd));
    }
    q = args.queue && args.queue <= s->queues ? s->queue[args.queue] : NULL;
    if (!q) {
        return refuse(a, MEMBOX_ST_BAD_QUEUE,
                      offsetof(struct membox_abort_args, queue));
    }
    switch (a->stage) {
    case 0:
        /* What is published by now is fetched first, so that it is found. */
        a->sq_from = qatomic_read(&q->sq_head);
        membox_kick(s, args.queue);
        a->stage++;
        /* fall through */
    case 1:
        if (!was_fetched(s, a, q)) {
            return false;
        }
        args.found = membox_queue_abort(q, false, args.context, args.cid,
                                        MEMBOX_ST_ABORTED);
        memcpy(a->buf, &args, sizeof(args));
        a->stage++;
        /* fall through */
    default:
        return !qatomic_read(&q->aborting);
    }
}

/* ---- windows ---- */

#define WAT(field) offsetof(struct membox_window_args, field)

static void main_map(MemboxState *s, MemboxAdmin *a)
{
    struct membox_window_args *args = (struct membox_window_args *)a->buf;

    if (mbe_extent_revoked(s->engine, &a->extent)) {
        a->status = MEMBOX_ST_DESTROYED; /* since its handle was looked at */
        membox_admin_wake(s);
        return;
    }
    a->status = membox_window_add(s, a->d.context, args->handle,
                                  args->prot & MEMBOX_WIN_WRITE, &a->extent,
                                  args);
    if (!a->status) {
        a->held = false; /* the window's now */
    }
    membox_admin_wake(s);
}

static bool step_window_map(MemboxState *s, MemboxAdmin *a)
{
    struct membox_window_args args;

    if (a->stage) {
        if (a->held) {
            mbe_extent_put(s->engine, &a->extent);
            a->held = false;
        }
        return true;
    }
    if (!take(s, a, &args, sizeof(args))) {
        return true;
    }
    if (args.prot != MEMBOX_WIN_READ &&
        args.prot != (MEMBOX_WIN_READ | MEMBOX_WIN_WRITE)) {
        return refuse(a, MEMBOX_ST_BAD_ARGUMENT, WAT(prot));
    }
    a->status = mbe_extent_get(s->engine, a->d.context, args.handle,
                               &a->extent);
    if (a->status) {
        return refuse(a, a->status, WAT(handle));
    }
    if (args.prot & ~(s->rdonly ? MEMBOX_WIN_READ : a->extent.rights)) {
        mbe_extent_put(s->engine, &a->extent);
        return refuse(a, MEMBOX_ST_DENIED, WAT(prot));
    }
    a->held = true;
    a->stage++;
    membox_admin_call_main(s, a, main_map);
    return false;
}

typedef struct Owner {
    uint16_t context;
    uint32_t handle, window;
} Owner;

static bool is_window(const MemboxWindow *w, const void *arg)
{
    const Owner *o = arg;

    return w->context == o->context && w->id == o->window;
}

static bool is_of_handle(const MemboxWindow *w, const void *arg)
{
    const Owner *o = arg;

    return w->context == o->context && w->handle == o->handle;
}

static bool is_of_context(const MemboxWindow *w, const void *arg)
{
    const Owner *o = arg;

    return w->context == o->context;
}

static void main_unmap(MemboxState *s, MemboxAdmin *a)
{
    const struct membox_window_args *args =
        (const struct membox_window_args *)a->buf;
    Owner o = { .context = a->d.context, .window = args->window };

    if (!membox_window_remove(s, true, is_window, &o)) {
        refuse(a, MEMBOX_ST_BAD_HANDLE, WAT(window));
        membox_admin_wake(s);
    }
}

static bool step_window_unmap(MemboxState *s, MemboxAdmin *a)
{
    struct membox_window_args args;

    if (a->stage) {
        return true;
    }
    if (!take(s, a, &args, sizeof(args))) {
        return true;
    }
    a->stage++;
    membox_admin_call_main(s, a, main_unmap);
    return false;
}

/* ---- regions ---- */

#define RAT(field) offsetof(struct membox_region_hw, field)

static uint16_t check_region(MemboxState *s, const struct membox_region_hw *r,
                             uint32_t *at)
{
    const uint16_t rights = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE;

    *at = RAT(key);
    if (!r->key || (r->key & 0xffff) >= MEMBOX_LIMIT_REGIONS) {
        return MEMBOX_ST_BAD_ARGUMENT;
    }
    if (membox_region_known(s, r->key, false)) {
        return MEMBOX_ST_EXISTS;
    }
    *at = RAT(context);
    if (!r->context || !context_open(s, r->context)) {
        return MEMBOX_ST_BAD_CONTEXT;
    }
    *at = RAT(rights);
    if (!r->rights || r->rights & ~rights) {
        return MEMBOX_ST_BAD_ARGUMENT;
    }
    *at = RAT(length);
    if (!r->length) {
        return MEMBOX_ST_ZERO_LENGTH;
    }
    return r->length > MEMBOX_MAX_REGION ? MEMBOX_ST_TOO_LONG : MEMBOX_ST_OK;
}

static bool step_region_add(MemboxState *s, MemboxAdmin *a)
{
    struct membox_region_hw args;
    uint64_t fault;
    uint32_t at;

    if (!take_kernel(s, a, &args, sizeof(args))) {
        return true;
    }
    a->status = check_region(s, &args, &at);
    if (a->status) {
        return refuse(a, a->status, at);
    }
    a->status = membox_region_add(s, &args, &fault);
    if (a->status) {
        a->detail = RAT(addr);
        membox_log_error(s, 0, a->d.cid, args.context, a->status, a->detail,
                         fault);
    }
    return true;
}

static bool step_region_del(MemboxState *s, MemboxAdmin *a)
{
    struct membox_region_hw args;

    if (!take_kernel(s, a, &args, sizeof(args))) {
        return true;
    }
    if (!membox_region_known(s, args.key, true)) {
        return refuse(a, MEMBOX_ST_BAD_REGION, RAT(key));
    }
    return membox_region_del(s, args.key);
}

/* ---- what a handle or a context holds in the device ---- */

static void main_release(MemboxState *s, MemboxAdmin *a)
{
    bool context = a->d.opcode == MEMBOX_ADM_CTX_DESTROY;
    Owner o = {
        .context = context ? ((struct membox_ctx_args *)a->buf)->context
                           : a->d.context,
        .handle = ((struct membox_handle_args *)a->buf)->handle,
    };

    if (!membox_window_remove(s, true, context ? is_of_context : is_of_handle,
                              &o)) {
        membox_admin_wake(s);
    }
}

/*
 * Ends a context's queues and aborts its commands; true when all of that is
 * done and nothing uses the context's regions.
 */
static bool context_idle(MemboxState *s, uint16_t context)
{
    bool idle = true;

    for (unsigned i = 1; i <= s->queues; i++) {
        MemboxQueue *q = s->queue[i];

        if (q && q->user && q->context == context) {
            idle &= queue_end(s, q);
        } else if (q) {
            membox_queue_abort(q, false, context, 0xffff, MEMBOX_ST_ABORTED);
            idle &= !qatomic_read(&q->aborting);
        }
    }
    return idle;
}

/*
 * Before CTX_DESTROY and PARAM_CLOSE, after PARAM_DESTROY: ends the context's
 * commands, removes the windows. False: not yet.
 */
bool membox_admin_release(MemboxState *s, MemboxAdmin *a)
{
    if (a->d.opcode == MEMBOX_ADM_CTX_DESTROY) {
        const struct membox_ctx_args *args =
            (const struct membox_ctx_args *)a->buf;

        if (a->d.context || !well_formed(a, sizeof(*args)) ||
            !args->context || !context_open(s, args->context)) {
            return true; /* the engine refuses it */
        }
        if (!context_idle(s, args->context)) {
            return false;
        }
        membox_regions_free(s, args->context);
    } else if ((a->d.opcode != MEMBOX_ADM_PARAM_CLOSE &&
                a->d.opcode != MEMBOX_ADM_PARAM_DESTROY) ||
               !well_formed(a, sizeof(struct membox_handle_args))) {
        return true;
    }
    if (a->stage || !qatomic_read(&s->nwindows)) {
        return true;
    }
    a->stage++;
    membox_admin_call_main(s, a, main_release);
    return false;
}

/* The step function of a "D" command, NULL for the engine's. */
MemboxAdminStep *membox_admin_device_step(uint8_t opcode)
{
    switch (opcode) {
    case MEMBOX_ADM_WINDOW_MAP:
        return step_window_map;
    case MEMBOX_ADM_WINDOW_UNMAP:
        return step_window_unmap;
    case MEMBOX_ADM_QUEUE_CREATE:
        return step_queue_create;
    case MEMBOX_ADM_QUEUE_DELETE:
        return step_queue_delete;
    case MEMBOX_ADM_ABORT:
        return step_abort;
    case MEMBOX_ADM_REGION_ADD:
        return step_region_add;
    case MEMBOX_ADM_REGION_DEL:
        return step_region_del;
    default:
        return NULL;
    }
}
