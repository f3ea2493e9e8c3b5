/*
 * membox: the administration queue. Commands are executed one after the other:
 * shape, buffer, then the engine ("E" commands) or admin-device.c ("D").
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A command is a step function, called by the worker that serves queue 0 until
 * it says true. What it waits for kicks the queue: work under the BQL and
 * vCPUs (pending), commands that end (waiting). The buffer is copied in once
 * before, and out once after execution.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/iov.h"
#include "device.h"
#include "trace.h"

static uint16_t check_opcode(uint8_t opcode)
{
    switch (opcode) {
    case MEMBOX_ADM_INFO ... MEMBOX_ADM_CTX_DESTROY:
    case MEMBOX_ADM_PARAM_OPEN ... MEMBOX_ADM_PORT_EVICT:
    case MEMBOX_ADM_WINDOW_MAP ... MEMBOX_ADM_REGION_DEL:
        return MEMBOX_ST_OK;
    default:
        return MEMBOX_ST_BAD_OPCODE;
    }
}

/* What a device must have to know the command; 0: nothing. */
static uint64_t capability_of(uint8_t opcode)
{
    switch (opcode) {
    case MEMBOX_ADM_WINDOW_MAP:
    case MEMBOX_ADM_WINDOW_UNMAP:
        return MEMBOX_CAP_WINDOWS;
    case MEMBOX_ADM_REGION_ADD:
    case MEMBOX_ADM_REGION_DEL:
        return MEMBOX_CAP_REGIONS;
    default:
        return 0;
    }
}

/* What an administration command does not use must be zero. */
static uint16_t check_reserved(const struct membox_packet *d, uint32_t *detail)
{
    struct membox_packet rest = *d;
    const uint8_t *bytes = (const uint8_t *)&rest;

    rest.opcode = 0;
    rest.phase = 0;
    rest.cid = 0;
    rest.context = 0;
    rest.user_data = 0;
    rest.count = 0;
    rest.host.addr = 0;
    for (uint32_t i = 0; i < sizeof(rest); i++) {
        if (bytes[i]) {
            *detail = i;
            return MEMBOX_ST_RESERVED;
        }
    }
    return MEMBOX_ST_OK;
}

static uint16_t check_shape(MemboxState *s, const struct membox_packet *d,
                            uint32_t *detail)
{
    uint16_t status = check_opcode(d->opcode);

    *detail = MEMBOX_AT(opcode);
    if (status) {
        return status;
    }
    if (capability_of(d->opcode) & ~s->caps) {
        return MEMBOX_ST_UNSUPPORTED;
    }
    *detail = MEMBOX_AT(flags);
    if (d->flags) {
        return MEMBOX_ST_BAD_FLAG;
    }
    status = check_reserved(d, detail);
    if (status) {
        return status;
    }
    *detail = MEMBOX_AT(count);
    if (!d->count) {
        return MEMBOX_ST_ZERO_LENGTH;
    }
    if (d->count > MEMBOX_ADMIN_BYTES) {
        return MEMBOX_ST_TOO_LONG;
    }
    *detail = MEMBOX_AT(host.addr);
    if (d->host.addr + d->count < d->host.addr) {
        return MEMBOX_ST_OFFSET_OVERFLOW;
    }
    if (d->host.addr & 7) {
        return MEMBOX_ST_MISALIGNED;
    }
    return MEMBOX_ST_OK;
}

static bool step_refused(MemboxState *s, MemboxAdmin *a)
{
    return true;
}

/* The device's own share of what the engine answered. */
static void amend(MemboxState *s, MemboxAdmin *a)
{
    struct membox_info *info = (struct membox_info *)a->buf;
    struct membox_ctx_args *ctx = (struct membox_ctx_args *)a->buf;

    if (a->d.opcode == MEMBOX_ADM_INFO && a->d.count >= sizeof(*info)) {
        info->aperture = s->aperture_size;
        info->max_windows = s->max_windows;
        info->queues = s->queues;
        info->caps = s->caps;
    } else if (a->d.opcode == MEMBOX_ADM_CTX_CREATE) {
        set_bit(ctx->context, s->contexts);
    } else if (a->d.opcode == MEMBOX_ADM_CTX_DESTROY) {
        clear_bit(ctx->context, s->contexts);
    }
}

/*
 * "E" commands. What a handle or context holds in the device goes before it
 * closes: commands are aborted, windows removed.
 */
static bool step_engine(MemboxState *s, MemboxAdmin *a)
{
    if (a->executed) {
        return true;
    }
    if (a->d.opcode != MEMBOX_ADM_PARAM_DESTROY &&
        !membox_admin_release(s, a)) {
        return false;
    }
    a->executed = true;
    a->status = mbe_admin(s->engine, a->d.context, a->d.opcode, a->buf,
                          a->d.count);
    if (!a->status) {
        amend(s, a);
    }
    /* A destruction that is refused takes no window. */
    return a->status || a->d.opcode != MEMBOX_ADM_PARAM_DESTROY ||
           membox_admin_release(s, a);
}

static void begin(MemboxState *s, MemboxAdmin *a)
{
    const struct membox_packet *d = &a->d;

    a->active = true;
    a->stage = 0;
    a->executed = false;
    a->detail = 0;
    a->begun = mbe_clock(s->engine);
    a->step = step_refused;
    membox_vec_init(&a->host, true);
    trace_membox_admin(s, d->cid, d->opcode, d->context, d->count);
    a->status = check_shape(s, d, &a->detail);
    if (a->status) {
        return;
    }
    a->detail = MEMBOX_AT(host.addr);
    if (!membox_map(s, d->host.addr, d->count, &a->host)) {
        membox_unmap(s, &a->host);
        a->status = MEMBOX_ST_DMA_FAULT;
        membox_log_error(s, 0, d->cid, d->context, a->status, a->detail,
                         d->host.addr);
        return;
    }
    a->detail = 0;
    iov_to_buf(a->host.iov, a->host.n, 0, a->buf, d->count);
    mbe_count(s->engine, MEMBOX_CTR_CONTROL, d->count);
    a->step = membox_admin_device_step(d->opcode);
    if (!a->step) {
        a->step = step_engine;
    }
}

static void complete(MemboxQueue *q, MemboxAdmin *a)
{
    MemboxState *s = q->dev;
    struct membox_completion c = {
        .user_data = a->d.user_data,
        .bytes = a->status ? 0 : a->d.count,
        .start = a->begun,
        .end = mbe_clock(s->engine),
        .detail = a->detail,
        .cid = a->d.cid,
        .status = a->status,
    };

    if (a->host.n) {
        iov_from_buf(a->host.iov, a->host.n, 0, a->buf, a->d.count);
        mbe_count(s->engine, MEMBOX_CTR_CONTROL, a->d.count);
    }
    membox_unmap(s, &a->host);
    if (!a->executed && a->step != step_refused) {
        /* The engine counts its own. */
        mbe_count(s->engine, MEMBOX_CTR_ADMIN, 1);
    }
    a->active = false;
    trace_membox_admin_done(s, c.cid, a->d.opcode, c.status, c.detail);
    membox_queue_post(q, &c);
}

/* Serves queue 0: goes on with the command under way or fetches the next. */
bool membox_admin_serve(MemboxQueue *q)
{
    MemboxState *s = q->dev;
    MemboxAdmin *a = &s->admin;

    if (!a->active) {
        if (!membox_queue_fetch(q, &a->d, 1, NULL)) {
            return false;
        }
        begin(s, a);
    }
    /* Set before the step looks: what ends after that look kicks again. */
    qatomic_set(&a->waiting, true);
    smp_mb(); /* `waiting` is seen before what the step looks at */
    if (qatomic_load_acquire(&a->pending) || !a->step(s, a)) {
        return false;
    }
    qatomic_set(&a->waiting, false);
    complete(q, a);
    return true;
}

/* Has fn run under the BQL; until membox_admin_wake() no step is made. */
void membox_admin_call_main(MemboxState *s, MemboxAdmin *a,
                            void (*fn)(MemboxState *s, MemboxAdmin *a))
{
    qatomic_set(&a->pending, true);
    qemu_mutex_lock(&s->lock);
    a->main_fn = fn;
    membox_schedule_main(s);
    qemu_mutex_unlock(&s->lock);
}

/* BQL. */
void membox_admin_main(MemboxState *s)
{
    MemboxAdmin *a = &s->admin;
    void (*fn)(MemboxState *s, MemboxAdmin *a);

    qemu_mutex_lock(&s->lock);
    fn = a->main_fn;
    a->main_fn = NULL;
    qemu_mutex_unlock(&s->lock);
    if (fn) {
        fn(s, a);
    }
}

void membox_admin_wake(MemboxState *s)
{
    qatomic_store_release(&s->admin.pending, false);
    membox_kick(s, 0);
}

/* Forgets the command under way: no worker is left. BQL. */
void membox_admin_reset(MemboxState *s)
{
    MemboxAdmin *a = &s->admin;

    if (a->active) {
        a->host.write = false; /* nothing was written to it */
        membox_unmap(s, &a->host);
        if (a->held) {
            mbe_extent_put(s->engine, &a->extent);
        }
    }
    a->active = false;
    a->held = false;
    a->main_fn = NULL;
    qatomic_set(&a->pending, false);
    qatomic_set(&a->waiting, false);
}
