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
 * mappings of guest memory and pins its regions until done(), parked or not.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "device.h"
#include "trace.h"

/* A reference to host memory: where it stands, and what is known of it. */
typedef struct Ref {
    struct membox_hostref at;
    uint64_t bytes;     /* 0: the command names none */
    uint32_t detail;    /* offset of the reference in the packet */
    uint16_t flag;      /* MEMBOX_F_REGION or REGION2 */
    uint32_t align;
    bool write;
} Ref;

#define REFS 2

static const uint32_t ref_detail[REFS] = {
    MEMBOX_AT(host), MEMBOX_AT(coll.recv)
};

/* Which are named; p has passed the check of its shape. */
static void find_refs(const struct membox_packet *p, const uint32_t nseg[REFS],
                      Ref ref[REFS])
{
    ref[0] = (Ref) {
        .at = p->host, .bytes = membox_host_bytes(p),
        .flag = MEMBOX_F_REGION, .align = membox_host_align(p),
        .write = membox_host_is_written(p->opcode),
    };
    ref[1] = (Ref) {
        .bytes = membox_host2_bytes(p), .flag = MEMBOX_F_REGION2, .align = 1,
        .write = membox_host2_is_written(p->opcode),
    };
    if (ref[1].bytes) {
        ref[1].at = p->coll.recv;
        ref[1].align = membox_host2_align(p);
    }
    for (unsigned i = 0; i < REFS; i++) {
        ref[i].at.nseg = nseg[i];
        ref[i].detail = ref_detail[i];
    }
}

#define KEY_AT offsetof(struct membox_hostref, key)

/*
 * A user queue names regions of its context, a kernel queue none. First which
 * region, then whether it is large enough, for both references.
 */
static uint16_t check_regions(MemboxCmd *c, const Ref ref[REFS],
                              uint32_t *detail)
{
    MemboxQueue *q = c->queue;

    for (unsigned i = 0; i < REFS; i++) {
        bool named = c->cmd.p.flags & ref[i].flag;

        if (!ref[i].bytes || (!named && !q->user)) {
            continue;
        }
        if (named && q->user) {
            c->region[i] = membox_region_pin(q->dev, ref[i].at.key, q->context,
                                             ref[i].write ? MEMBOX_WIN_WRITE
                                                          : MEMBOX_WIN_READ);
        }
        if (!c->region[i]) {
            *detail = ref[i].detail + KEY_AT;
            return MEMBOX_ST_BAD_REGION;
        }
    }
    for (unsigned i = 0; i < REFS; i++) {
        if (c->region[i] && !membox_region_covers(c->region[i], ref[i].at.addr,
                                                  ref[i].bytes)) {
            *detail = ref[i].detail;
            return MEMBOX_ST_REGION_RANGE;
        }
    }
    return MEMBOX_ST_OK;
}

static uint16_t map_ref(MemboxCmd *c, unsigned i, const Ref *ref,
                        uint64_t *value)
{
    MemboxState *s = c->queue->dev;
    MemboxVec *v = &c->host[i];
    uint16_t status;

    v->write = ref->write;
    if (c->region[i]) {
        status = membox_region_map(s, c->region[i], ref->at.addr, ref->bytes,
                                   v, value) ? MEMBOX_ST_OK
                                             : MEMBOX_ST_DMA_FAULT;
    } else {
        status = membox_resolve(s, &ref->at, ref->bytes, ref->align, v, value);
    }
    qatomic_add(&s->segments, v->n);
    if (status) {
        membox_log_error(s, c->queue->id, c->cid, c->context, status,
                         ref->detail, *value);
    }
    return status;
}

/* Maps both. A malformed list comes before memory that is not there. */
static uint16_t map_refs(MemboxCmd *c, const Ref ref[REFS], uint32_t *detail,
                         uint64_t *value)
{
    for (unsigned i = 0; i < REFS; i++) {
        uint16_t status = ref[i].bytes ? map_ref(c, i, &ref[i], value)
                                       : MEMBOX_ST_OK;

        if (status) {
            *detail = ref[i].detail;
            return status;
        }
    }
    return MEMBOX_ST_OK;
}

/*
 * The length of a reference's list, taken out of the packet. Where nothing but
 * it says that there is a reference, it stays and is refused (RESERVED).
 */
static uint32_t take_nseg(struct membox_packet *p, struct membox_hostref *ref,
                          uint32_t field)
{
    uint32_t nseg = ref->nseg;

    if (!nseg || !(membox_packet_fields(p) & field)) {
        return 0;
    }
    ref->nseg = 0;
    if (!(membox_packet_fields(p) & field)) {
        ref->nseg = nseg;
        return 0;
    }
    return nseg;
}

/*
 * What the host adds to a packet to make it a descriptor is taken out of the
 * copy; a user queue adds nothing but phase and command id.
 */
static void to_packet(MemboxCmd *c, uint32_t nseg[REFS])
{
    struct membox_packet *p = &c->cmd.p;

    nseg[0] = nseg[1] = 0;
    p->phase = 0;
    p->cid = 0;
    if (c->queue->user) {
        return;
    }
    p->context = 0;
    nseg[0] = take_nseg(p, &p->host, MBF_HOST);
    nseg[1] = take_nseg(p, &p->coll.recv, MBF_HOST2);
}

/* Shape and host memory; *value: the DMA address at fault. */
static uint16_t check(MemboxCmd *c, uint32_t *detail, uint64_t *value)
{
    MemboxState *s = c->queue->dev;
    struct membox_packet *p = &c->cmd.p;
    uint32_t *nseg = c->nseg;
    Ref ref[REFS];
    uint16_t status;

    *detail = MEMBOX_AT(opcode);
    if (p->opcode == MEMBOX_OP_CANCEL && !c->queue->user) {
        return MEMBOX_ST_UNSUPPORTED; /* the driver's to execute, by ABORT */
    }
    to_packet(c, nseg);
    status = membox_check_packet(p, s->caps, s->max_bytes, detail);
    p->cid = c->cid;
    p->context = c->context;
    if (status) {
        return status;
    }
    find_refs(p, nseg, ref);
    status = check_regions(c, ref, detail);
    if (status) {
        return status;
    }
    return map_refs(c, ref, detail, value);
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

/*
 * The records of a queue's commands: as many as were ever in flight at once,
 * which its completion slots bound. They go round between two lists without a
 * lock: who serves the queue takes of the one, any thread adds to the other.
 */
static MemboxCmd *record_new(MemboxQueue *q)
{
    MemboxCmd *c = g_new0(MemboxCmd, 1);

    for (unsigned i = 0; i < REFS; i++) {
        membox_vec_init(&c->host[i], false);
    }
    trace_membox_record_new(q->dev, q->id);
    return c;
}

static void record_free(MemboxCmd *c)
{
    for (unsigned i = 0; i < REFS; i++) {
        if (c->host[i].iov != c->host[i].small) {
            g_free(c->host[i].iov);
        }
    }
    g_free(c);
}

static MemboxCmd *record_get(MemboxQueue *q)
{
    MemboxCmd *c;

    if (QSLIST_EMPTY(&q->spare)) {
        QSLIST_MOVE_ATOMIC(&q->spare, &q->ended);
    }
    c = QSLIST_FIRST(&q->spare);
    if (!c) {
        return record_new(q);
    }
    QSLIST_REMOVE_HEAD(&q->spare, pool);
    memset(c, 0, offsetof(MemboxCmd, pool));
    return c;
}

static void record_put(MemboxCmd *c)
{
    if (c->lone) {
        record_free(c);
    } else {
        QSLIST_INSERT_HEAD_ATOMIC(&c->queue->ended, c, pool);
    }
}

/* No command is in flight, and nobody serves the queue. */
void membox_records_free(MemboxQueue *q)
{
    MemboxPool *const pools[] = { &q->spare, &q->ended };

    for (unsigned i = 0; i < ARRAY_SIZE(pools); i++) {
        MemboxCmd *c, *next;

        QSLIST_FOREACH_SAFE(c, pools[i], pool, next) {
            record_free(c);
        }
        QSLIST_INIT(pools[i]);
    }
}

/* Ends a command: memory first, then the completion, then the accounts. */
static void finish(MemboxCmd *c, struct membox_completion *done)
{
    MemboxQueue *q = c->queue;
    MemboxState *s = q->dev;
    bool aborting = c->aborting;
    uint32_t segments = 0;

    for (unsigned i = 0; i < REFS; i++) {
        segments += c->host[i].n;
        membox_unmap_keep(s, &c->host[i]);
        if (c->region[i]) {
            membox_region_unpin(s, c->region[i]);
        }
    }
    done->cid = c->cid;
    /* A command that was withdrawn (AGAIN) is executed again: migrate.c. */
    if (done->status != MEMBOX_ST_AGAIN && !membox_queue_post(q, done)) {
        mbe_outcome_keep(s->engine, &c->cmd);
    }
    record_put(c);
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
    c->cmd.c = refusal;
    finish(c, &refusal);
}

static void start(MemboxQueue *q, MemboxCmd *c,
                  const struct membox_packet *descriptor)
{
    uint32_t detail = 0;
    uint64_t value = 0;
    uint16_t status;

    c->cmd.p = *descriptor;
    c->cmd.done = done;
    c->queue = q;
    c->cid = descriptor->cid;
    c->context = q->user ? q->context : descriptor->context;
    trace_membox_descriptor(q->dev, q->id, c->cid, descriptor->opcode,
                            c->context, descriptor->count,
                            descriptor->host.addr, descriptor->host.nseg);
    status = check(c, &detail, &value);
    if (status) {
        refuse(c, status, detail, value);
        return;
    }
    c->cmd.host = c->host[0].iov;
    c->cmd.nhost = c->host[0].n;
    c->cmd.host2 = c->host[1].iov;
    c->cmd.nhost2 = c->host[1].n;
    c->cmd.checked = true;
    if (mbe_execute_small(q->dev->engine, &c->cmd, 0)) {
        done(&c->cmd, &c->cmd.c);
        return;
    }
    if (mbe_queue_enter(&q->order, &c->cmd)) {
        membox_push_ready(q->dev, c);
    }
}

/*
 * A command that was withdrawn: it has its completion slot. The records may be
 * in use by who serves the queue.
 */
void membox_cmd_restart(MemboxQueue *q, const struct membox_packet *descriptor)
{
    MemboxCmd *c = record_new(q);

    c->lone = true;
    qemu_mutex_lock(&q->dev->lock);
    q->inflight++;
    qemu_mutex_unlock(&q->dev->lock);
    start(q, c, descriptor);
}

/* The engine: a command no longer waits for a fence. */
void membox_cmd_ready(struct mbe_queue *order, struct mbe_cmd *cmd)
{
    MemboxQueue *q = order->arg;

    membox_push_ready(q->dev, container_of(cmd, MemboxCmd, cmd));
}

/* Fetches and starts a batch: how many there were. */
static uint32_t serve_batch(MemboxQueue *q, bool *large)
{
    struct membox_packet batch[MEMBOX_FETCH_BATCH];
    uint32_t n = 0;

    if (may_fetch(q->dev)) {
        n = membox_queue_fetch(q, batch, MEMBOX_FETCH_BATCH, large);
    }
    if (!n) {
        return 0;
    }
    qemu_mutex_lock(&q->dev->lock);
    q->inflight += n;
    qemu_mutex_unlock(&q->dev->lock);
    for (uint32_t i = 0; i < n; i++) {
        start(q, record_get(q), &batch[i]);
    }
    return n;
}

/* Fetches and starts a batch. True: there may be more. A worker. */
bool membox_queue_serve(MemboxQueue *q)
{
    return serve_batch(q, NULL);
}

/*
 * Executes what is small, up to a bound and to the first command that is not.
 * True: there is more, for a worker. The vCPU that rings, BQL.
 */
bool membox_queue_serve_small(MemboxQueue *q)
{
    for (unsigned i = 0; i < MEMBOX_INLINE_BATCHES; i++) {
        bool large = false;

        if (!serve_batch(q, &large)) {
            return large;
        }
    }
    return true;
}

typedef struct Match {
    bool all;
    const MemboxRegion *region;
    uint16_t context, cid;
} Match;

static bool matches(const Match *m, const MemboxCmd *c)
{
    if (m->region) {
        return c->region[0] == m->region || c->region[1] == m->region;
    }
    return m->all || c->cid == m->cid ||
           (m->cid == 0xffff && c->context == m->context);
}

static bool match(const struct mbe_cmd *cmd, void *arg)
{
    MemboxCmd *c = container_of(cmd, MemboxCmd, cmd);

    if (!matches(arg, c)) {
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

/* Ends with ABORTED the commands that name a region. */
unsigned membox_queue_abort_region(MemboxQueue *q, const MemboxRegion *r)
{
    Match m = { .region = r };

    return mbe_abort(q->dev->engine, &q->order, match, &m, MEMBOX_ST_ABORTED);
}

static bool in_group(const struct mbe_cmd *cmd, void *arg)
{
    return membox_packet_fields(&cmd->p) & MBF_GROUP && match(cmd, arg);
}

/* Ends collectives with ABORTED. */
void membox_queue_abort_groups(MemboxQueue *q)
{
    Match m = { .all = true };

    mbe_abort(q->dev->engine, &q->order, in_group, &m, MEMBOX_ST_ABORTED);
}
