/*
 * membox: the way of a command of an I/O queue, from its descriptor to its
 * completion.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order of the checks is that of MEMBOX_STATUSES: shape, host memory (both
 * here), operands (the engine, which does the first again). A command owns its
 * mapping of guest memory until done(), parked or not.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "device.h"
#include "trace.h"

/* Shape and host memory; *value: the DMA address at fault. */
static uint16_t check(MemboxCmd *c, uint32_t *detail, uint64_t *value)
{
    MemboxState *s = c->queue->dev;
    struct membox_packet *p = &c->cmd.p;
    struct membox_hostref ref = p->host;
    uint64_t bytes;
    uint16_t status;

    *detail = MEMBOX_AT(opcode);
    if (p->opcode == MEMBOX_OP_CANCEL) {
        return MEMBOX_ST_UNSUPPORTED; /* the driver's to execute, by ABORT */
    }
    p->phase = 0;
    p->cid = 0;
    p->context = 0;
    if (membox_packet_fields(p) & MBF_HOST) {
        p->host.nseg = 0; /* the driver's, where host memory is named */
    }
    status = membox_check_packet(p, s->caps, s->max_bytes, detail);
    p->cid = c->cid;
    p->context = c->context;
    if (status) {
        return status;
    }
    if (p->flags & (MEMBOX_F_REGION | MEMBOX_F_REGION2)) {
        *detail = MEMBOX_AT(host.key);
        return MEMBOX_ST_BAD_REGION;
    }
    bytes = membox_host_bytes(p);
    if (!bytes) {
        return MEMBOX_ST_OK;
    }
    *detail = MEMBOX_AT(host.addr);
    c->host.write = membox_host_is_written(p->opcode);
    status = membox_resolve(s, &ref, bytes, membox_host_align(p), &c->host,
                            value);
    qatomic_add(&s->segments, c->host.n);
    if (status) {
        membox_log_error(s, c->queue->id, c->cid, c->context, status, *detail,
                         *value);
    }
    return status;
}

/*
 * A list costs the host memory as long as its command is in flight: when much
 * is held, nothing more is fetched until it is less.
 */
static bool may_fetch(MemboxState *s)
{
    if (qatomic_read(&s->segments) <= MEMBOX_LIMIT_SEGMENTS) {
        return true;
    }
    qatomic_set(&s->starved, true);
    smp_mb(); /* `starved` is seen, or fewer segments are */
    return qatomic_read(&s->segments) <= MEMBOX_LIMIT_SEGMENTS;
}

static void give_back(MemboxState *s, uint32_t segments)
{
    if (qatomic_sub_fetch(&s->segments, segments) <= MEMBOX_LIMIT_SEGMENTS &&
        qatomic_xchg(&s->starved, false)) {
        for (unsigned i = 1; i <= s->queues; i++) {
            membox_kick(s, i);
        }
    }
}

/* Ends a command: memory first, then the completion, then the accounts. */
static void finish(MemboxCmd *c, struct membox_completion *done)
{
    MemboxQueue *q = c->queue;
    MemboxState *s = q->dev;
    bool aborting = c->aborting;
    uint32_t segments = c->host.n;

    membox_unmap(s, &c->host);
    done->cid = c->cid;
    membox_queue_post(q, done);
    g_free(c);
    membox_cmd_gone(q, aborting);
    if (segments) {
        give_back(s, segments);
    }
}

static void done(struct mbe_cmd *cmd, const struct membox_completion *result)
{
    MemboxCmd *c = container_of(cmd, MemboxCmd, cmd);
    struct membox_completion copy = *result;

    finish(c, &copy);
}

static void refuse(MemboxCmd *c, uint16_t status, uint32_t detail,
                   uint64_t value)
{
    struct mbe *e = c->queue->dev->engine;
    uint64_t now = mbe_clock(e);
    struct membox_completion refusal = {
        .user_data = c->cmd.p.user_data,
        .result = value,
        .start = now,
        .end = now,
        .detail = detail,
        .status = status,
    };

    mbe_count(e, MEMBOX_CTR_OPERATIONS, 1);
    mbe_count(e, MEMBOX_CTR_ERRORS, 1);
    finish(c, &refusal);
}

static void start(MemboxQueue *q, const struct membox_packet *descriptor)
{
    MemboxCmd *c = g_new0(MemboxCmd, 1);
    uint32_t detail = 0;
    uint64_t value = 0;
    uint16_t status;

    c->cmd.p = *descriptor;
    c->cmd.done = done;
    c->queue = q;
    c->cid = descriptor->cid;
    c->context = descriptor->context;
    membox_vec_init(&c->host, false);
    trace_membox_descriptor(q->dev, q->id, c->cid, descriptor->opcode,
                            c->context, descriptor->count,
                            descriptor->host.addr, descriptor->host.nseg);
    status = check(c, &detail, &value);
    if (status) {
        refuse(c, status, detail, value);
        return;
    }
    c->cmd.host = c->host.iov;
    c->cmd.nhost = c->host.n;
    if (mbe_queue_enter(&q->order, &c->cmd)) {
        membox_push_ready(q->dev, c);
    }
}

/* The engine: a command no longer waits for a fence. */
void membox_cmd_ready(struct mbe_queue *order, struct mbe_cmd *cmd)
{
    MemboxQueue *q = order->arg;

    membox_push_ready(q->dev, container_of(cmd, MemboxCmd, cmd));
}

/* Fetches and starts a batch. True: there may be more. A worker. */
bool membox_queue_serve(MemboxQueue *q)
{
    struct membox_packet batch[MEMBOX_FETCH_BATCH];
    uint32_t n = may_fetch(q->dev) ?
                 membox_queue_fetch(q, batch, MEMBOX_FETCH_BATCH) : 0;

    if (!n) {
        return false;
    }
    qemu_mutex_lock(&q->dev->lock);
    q->inflight += n;
    qemu_mutex_unlock(&q->dev->lock);
    for (uint32_t i = 0; i < n; i++) {
        start(q, &batch[i]);
    }
    return true;
}

typedef struct Match {
    bool all;
    uint16_t context, cid;
} Match;

static bool match(const struct mbe_cmd *cmd, void *arg)
{
    MemboxCmd *c = container_of(cmd, MemboxCmd, cmd);
    const Match *m = arg;

    if (!m->all && c->cid != m->cid &&
        (m->cid != 0xffff || c->context != m->context)) {
        return false;
    }
    if (!c->aborting) {
        c->aborting = true;
        qatomic_inc(&c->queue->aborting);
    }
    return true;
}

/*
 * Ends commands with a status: all, those of a context (cid 0xffff), or one.
 * They have completed when queue->aborting is 0 again.
 */
unsigned membox_queue_abort(MemboxQueue *q, bool all, uint16_t context,
                            uint16_t cid, uint16_t status)
{
    Match m = { .all = all, .context = context, .cid = cid };

    return mbe_abort(q->dev->engine, &q->order, match, &m, status);
}
