/*
 * membox: migration. The device's state goes to another QEMU, its port waits
 * in the box meanwhile.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When the VM stops, the device drains (quiesce.c): what is left are commands
 * that wait (for a word, for a quiet moment, behind a fence). pre_save takes
 * them out of the engine as descriptors and suspends the port under a uuid that
 * goes with the state. post_load resumes the port by it and rebuilds queues and
 * windows; the commands are executed again when the VM runs, here as well as at
 * a source whose migration failed, which goes the same way. From pre_save on at
 * most one QEMU has the port's byte. All functions run under the BQL.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "migration/blocker.h"
#include "migration/client-options.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "device.h"
#include "trace.h"

/* Of all queues together: no more can have a completion slot. */
#define MAX_CMDS ((1 + MEMBOX_LIMIT_QUEUES) << MEMBOX_DEPTH_LOG2)

/* Of all regions together: REGION_ADD takes lists of this length. */
#define MAX_SEGMENTS (MEMBOX_LIMIT_REGIONS * MEMBOX_SGL_MAX)

/* ---- commands that wait ---- */

typedef struct Collect {
    GArray *cmds;
    const MemboxQueue *queue;
    unsigned stay;      /* what cannot be moved */
} Collect;

static bool collect(const struct mbe_cmd *cmd, void *arg)
{
    const MemboxCmd *c = container_of(cmd, MemboxCmd, cmd);
    Collect *to = arg;
    MemboxSavedCmd saved = {
        .number = mbe_cmd_number(cmd),
        .until = mbe_cmd_until(cmd),
        .queue = to->queue->id,
    };
    struct membox_packet p = cmd->p;
    uint32_t used = membox_packet_fields(&p);

    QEMU_BUILD_BUG_ON(sizeof(p) != sizeof(saved.packet));
    if (!mbe_cmd_can_move(cmd)) {
        to->stay++;
        return false;
    }
    if (to->queue->user) {
        p.context = 0; /* as its descriptor said */
    }
    if (used & MBF_HOST) {
        p.host.nseg = c->nseg[0];
    }
    if (used & MBF_HOST2) {
        p.coll.recv.nseg = c->nseg[1];
    }
    memcpy(saved.packet, &p, sizeof(p));
    g_array_append_val(to->cmds, saved);
    return true;
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    const MemboxSavedCmd *x = a, *y = b;

    return x->queue != y->queue ? x->queue - y->queue :
           x->number < y->number ? -1 : x->number > y->number;
}

/*
 * Takes what is in flight out of the engine. Nothing runs: the VM is stopped.
 * How many commands there are that others count on, and that stay.
 */
static unsigned withdraw(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;
    Collect to = { .cmds = g_array_new(false, false, sizeof(*m->cmds)) };

    for (int32_t i = 0; i < m->ncmds; i++) {
        g_array_append_val(to.cmds, m->cmds[i]); /* not restarted since */
    }
    for (unsigned i = 1; i <= s->queues; i++) {
        to.queue = s->queue[i];
        if (to.queue) {
            mbe_withdraw(s->engine, &s->queue[i]->order, collect, &to);
        }
    }
    g_array_sort(to.cmds, by_number);
    g_free(m->cmds);
    m->ncmds = to.cmds->len;
    m->cmds = (MemboxSavedCmd *)g_array_free(to.cmds, false);
    return to.stay;
}

/* A WAIT has what is left of its time. */
static void shorten(MemboxState *s, const MemboxSavedCmd *c,
                    struct membox_packet *p)
{
    uint64_t now = mbe_clock(s->engine);

    if (c->until) {
        p->timeout_us = c->until > now ? (c->until - now) / 1000 : 0;
        p->timeout_us = MAX(p->timeout_us, 1);
    }
}

/* Executes again what was withdrawn, in the order of old. */
void membox_migrate_restart(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;

    for (int32_t i = 0; i < m->ncmds; i++) {
        const MemboxSavedCmd *c = &m->cmds[i];
        struct membox_packet p;

        memcpy(&p, c->packet, sizeof(p));
        shorten(s, c, &p);
        if (s->queue[c->queue]) {
            membox_cmd_restart(s->queue[c->queue], &p);
        }
    }
    m->ncmds = 0;
    g_free(m->cmds);
    m->cmds = NULL;
}

/* ---- saving ---- */

static void save_queues(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;

    m->nqueues = 0;
    g_free(m->queues);
    m->queues = g_new0(MemboxSavedQueue, 1 + MEMBOX_LIMIT_QUEUES);
    for (unsigned i = 0; i <= MEMBOX_LIMIT_QUEUES; i++) {
        MemboxQueue *q = s->queue[i];

        if (!q) {
            continue;
        }
        m->queues[m->nqueues++] = (MemboxSavedQueue) {
            .id = q->id,
            .vector = q->vector,
            .context = q->context,
            .user = q->user,
            .sq_log2 = q->sq_log2,
            .cq_log2 = q->cq_log2,
            .stopped = q->stopped,
            .silent = q->silent,
            .sq_addr = q->sq_addr,
            .cq_addr = q->cq_addr,
            .ctl_addr = q->ctl_addr,
            .sq_head = q->sq_head,
            .started = q->started,
            .cq_tail = q->cq_tail,
        };
    }
}

static void save_windows(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;
    const MemboxWindow *w;

    m->nwindows = 0;
    g_free(m->windows);
    m->windows = g_new0(MemboxSavedWindow, s->nwindows);
    QTAILQ_FOREACH(w, &s->windows, next) {
        m->windows[m->nwindows++] = (MemboxSavedWindow) {
            .id = w->id,
            .handle = w->handle,
            .context = w->context,
            .param = w->extent.param,
            .serial = w->extent.serial,
            .writable = w->writable,
            .hollow = w->hollow,
            .length = w->extent.length,
            .offset = w->offset,
        };
    }
}

static void save_regions(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;
    GArray *regions = g_array_new(false, false, sizeof(*m->regions));
    GArray *segments = g_array_new(false, false, sizeof(*m->segments));

    membox_regions_save(s, regions, segments);
    g_free(m->regions);
    g_free(m->segments);
    m->nregions = regions->len;
    m->nsegments = segments->len;
    m->regions = (MemboxSavedRegion *)g_array_free(regions, false);
    m->segments = (MemboxSavedSegment *)g_array_free(segments, false);
}

static int membox_pre_save(void *opaque)
{
    MemboxState *s = opaque;
    MemboxMigrate *m = &s->migrate;
    uint16_t status;

    if (runstate_check(RUN_STATE_SAVE_VM) || migrate_background_snapshot()) {
        error_report("membox: a snapshot cannot keep a port: the VM goes on "
                     "with it; use migrate, to a file for instance");
        return -EINVAL;
    }
    if (m->suspended) {
        if (m->over) {
            error_report("membox: the port went with an earlier migration");
        }
        return m->over ? -EINVAL : 0; /* that one failed: the same once more */
    }
    if (mbe_away(s->engine)) {
        error_report("membox: no state was loaded: there is none to save");
        return -EINVAL;
    }
    if (withdraw(s)) {
        error_report("membox: collectives are under way that the VM began "
                     "before it was stopped: continue it, and migrate then");
        return -EBUSY;
    }
    save_queues(s);
    save_windows(s);
    save_regions(s);
    if (!m->loaded) {
        qemu_uuid_generate(&m->uuid);
    }
    status = mbe_suspend(s->engine, m->uuid.data);
    if (status) {
        error_report("membox: the port cannot be suspended: status %u (%s)",
                     status, status == MEMBOX_ST_CORRUPT ?
                     "the box is stopped" : "its table is not to be had");
        return -EIO;
    }
    m->suspended = true;
    trace_membox_suspend(s, mbe_port(s->engine), m->nqueues, m->nwindows,
                         m->ncmds);
    return 0;
}

/* ---- loading ---- */

static bool few_queues(void *opaque, int version_id)
{
    MemboxState *s = opaque;

    return s->migrate.nqueues >= 0 &&
           s->migrate.nqueues <= 1 + MEMBOX_LIMIT_QUEUES;
}

static bool few_windows(void *opaque, int version_id)
{
    MemboxState *s = opaque;

    return s->migrate.nwindows >= 0 &&
           s->migrate.nwindows <= MEMBOX_LIMIT_WINDOWS;
}

static bool few_regions(void *opaque, int version_id)
{
    MemboxState *s = opaque;

    return s->migrate.nregions >= 0 &&
           s->migrate.nregions <= MEMBOX_LIMIT_REGIONS;
}

static bool few_segments(void *opaque, int version_id)
{
    MemboxState *s = opaque;

    return s->migrate.nsegments >= 0 && s->migrate.nsegments <= MAX_SEGMENTS;
}

static bool few_cmds(void *opaque, int version_id)
{
    MemboxState *s = opaque;

    return s->migrate.ncmds >= 0 && s->migrate.ncmds <= MAX_CMDS;
}

static bool load_queue(MemboxState *s, const MemboxSavedQueue *v)
{
    uint32_t entries = v->cq_log2 <= MEMBOX_DEPTH_LOG2 ? 1U << v->cq_log2 : 0;
    MemboxQueue *q;

    if (v->id > s->queues || s->queue[v->id] || !v->sq_log2 ||
        v->sq_log2 > v->cq_log2 || !entries || v->sq_addr & 4095 ||
        v->cq_addr & 4095 || v->ctl_addr & 127 || v->user != !!v->context ||
        (!v->id && v->user) ||
        !mbe_has_context(s->engine, v->context) ||
        membox_ring_used(v->started, v->cq_tail) > entries) {
        return false;
    }
    q = g_new0(MemboxQueue, 1);
    q->dev = s;
    q->id = v->id;
    q->vector = v->vector;
    q->context = v->context;
    q->user = v->user;
    q->sq_log2 = v->sq_log2;
    q->cq_log2 = v->cq_log2;
    q->stopped = v->stopped;
    q->silent = v->silent;
    q->sq_addr = v->sq_addr;
    q->cq_addr = v->cq_addr;
    q->ctl_addr = v->ctl_addr;
    q->sq_head = v->sq_head;
    q->started = v->started;
    q->cq_tail = v->cq_tail;
    if (!membox_queue_ready(q)) {
        g_free(q);
        return false;
    }
    qemu_mutex_lock(&s->lock);
    s->queue[q->id] = q;
    qemu_mutex_unlock(&s->lock);
    return true;
}

static bool load_window(MemboxState *s, const MemboxSavedWindow *v)
{
    struct mbe_extent x = { .length = v->length };

    if (v->hollow) {
        return membox_window_restore(s, v, &x);
    }
    return mbe_extent_find(s->engine, v->param, v->serial, &x) &&
           (!v->writable || x.rights & MEMBOX_WIN_WRITE) &&
           membox_window_restore(s, v, &x);
}

static bool load_regions(MemboxState *s)
{
    const MemboxMigrate *m = &s->migrate;
    uint32_t first = 0;

    for (int32_t i = 0; i < m->nregions; i++) {
        const MemboxSavedRegion *v = &m->regions[i];

        if (v->segments > m->nsegments - first ||
            !membox_region_restore(s, v, &m->segments[first])) {
            error_report("membox: region 0x%x of the state is impossible",
                         v->key);
            return false;
        }
        first += v->segments;
    }
    return true;
}

/* Each command has a slot of its queue that is given out and not used. */
static bool check_cmds(MemboxState *s)
{
    const MemboxMigrate *m = &s->migrate;
    uint32_t left[1 + MEMBOX_LIMIT_QUEUES] = { 0 };

    for (unsigned i = 1; i <= MEMBOX_LIMIT_QUEUES; i++) {
        if (s->queue[i]) {
            left[i] = s->queue[i]->started - s->queue[i]->cq_tail;
        }
    }
    for (int32_t i = 0; i < m->ncmds; i++) {
        unsigned q = m->cmds[i].queue;

        if (!q || q > MEMBOX_LIMIT_QUEUES || !left[q]--) {
            return false;
        }
    }
    return true;
}

static bool load_image(MemboxState *s)
{
    const MemboxMigrate *m = &s->migrate;

    for (unsigned i = 1; i < MEMBOX_MAX_CONTEXTS; i++) {
        if (mbe_has_context(s->engine, i)) {
            set_bit(i, s->contexts);
        }
    }
    for (int32_t i = 0; i < m->nqueues; i++) {
        if (!load_queue(s, &m->queues[i])) {
            error_report("membox: queue %u of the state is impossible here",
                         m->queues[i].id);
            return false;
        }
    }
    for (int32_t i = 0; i < m->nwindows; i++) {
        if (!load_window(s, &m->windows[i])) {
            error_report("membox: window %u of the state is impossible here: "
                         "it needs the source's max-windows and aperture",
                         m->windows[i].id);
            return false;
        }
    }
    if (!load_regions(s)) {
        return false;
    }
    if (!check_cmds(s)) {
        error_report("membox: the state has commands of no queue");
        return false;
    }
    return true;
}

static int membox_post_load(void *opaque, int version_id)
{
    MemboxState *s = opaque;
    MemboxMigrate *m = &s->migrate;
    char text[MBE_ERR_TEXT] = "";

    if (!mbe_away(s->engine)) {
        error_report("membox: a device that has its port cannot take the "
                     "state of another");
        return -EINVAL;
    }
    if (mbe_resume(s->engine, m->uuid.data, text)) {
        error_report("membox: %s", text);
        return -EINVAL;
    }
    m->loaded = true;
    if (!load_image(s)) {
        return -EINVAL; /* QEMU ends, and gives the port back as it was */
    }
    trace_membox_resume(s, mbe_port(s->engine), m->nqueues, m->nwindows,
                        m->ncmds);
    return 0;
}

static const VMStateDescription vmstate_queue = {
    .name = "membox/queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(id, MemboxSavedQueue),
        VMSTATE_UINT16(vector, MemboxSavedQueue),
        VMSTATE_UINT16(context, MemboxSavedQueue),
        VMSTATE_BOOL(user, MemboxSavedQueue),
        VMSTATE_UINT8(sq_log2, MemboxSavedQueue),
        VMSTATE_UINT8(cq_log2, MemboxSavedQueue),
        VMSTATE_BOOL(stopped, MemboxSavedQueue),
        VMSTATE_BOOL(silent, MemboxSavedQueue),
        VMSTATE_UINT64(sq_addr, MemboxSavedQueue),
        VMSTATE_UINT64(cq_addr, MemboxSavedQueue),
        VMSTATE_UINT64(ctl_addr, MemboxSavedQueue),
        VMSTATE_UINT32(sq_head, MemboxSavedQueue),
        VMSTATE_UINT32(started, MemboxSavedQueue),
        VMSTATE_UINT32(cq_tail, MemboxSavedQueue),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_window = {
    .name = "membox/window",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(id, MemboxSavedWindow),
        VMSTATE_UINT32(handle, MemboxSavedWindow),
        VMSTATE_UINT32(param, MemboxSavedWindow),
        VMSTATE_UINT16(context, MemboxSavedWindow),
        VMSTATE_BOOL(writable, MemboxSavedWindow),
        VMSTATE_BOOL(hollow, MemboxSavedWindow),
        VMSTATE_UINT64(length, MemboxSavedWindow),
        VMSTATE_UINT64(offset, MemboxSavedWindow),
        VMSTATE_UINT64(serial, MemboxSavedWindow),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_region = {
    .name = "membox/region",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(key, MemboxSavedRegion),
        VMSTATE_UINT32(segments, MemboxSavedRegion),
        VMSTATE_UINT16(context, MemboxSavedRegion),
        VMSTATE_UINT16(rights, MemboxSavedRegion),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_segment = {
    .name = "membox/segment",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(addr, MemboxSavedSegment),
        VMSTATE_UINT64(len, MemboxSavedSegment),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_cmd = {
    .name = "membox/command",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8_ARRAY(packet, MemboxSavedCmd, MEMBOX_SAVED_PACKET),
        VMSTATE_UINT64(number, MemboxSavedCmd),
        VMSTATE_UINT64(until, MemboxSavedCmd),
        VMSTATE_UINT16(queue, MemboxSavedCmd),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vmstate_membox = {
    .name = TYPE_MEMBOX,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = membox_pre_save,
    .post_load = membox_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, MemboxState),
        VMSTATE_STRUCT(parent_obj.exp.aer_log, MemboxState, 0,
                       vmstate_pcie_aer_log, PCIEAERLog),
        VMSTATE_MSIX(parent_obj, MemboxState),
        /* the destination's properties must say the same */
        VMSTATE_UINT32_EQUAL(queues, MemboxState, NULL),
        VMSTATE_UINT32_EQUAL(vectors, MemboxState, NULL),
        VMSTATE_UINT64_EQUAL(aperture_size, MemboxState, NULL),
        VMSTATE_UINT64_EQUAL(caps, MemboxState, NULL),
        VMSTATE_UINT64(asq, MemboxState),
        VMSTATE_UINT64(acq, MemboxState),
        VMSTATE_UINT64(actl, MemboxState),
        VMSTATE_UINT32(adepth, MemboxState),
        VMSTATE_UINT32(epoch, MemboxState),
        VMSTATE_BOOL(enabled, MemboxState),
        VMSTATE_BOOL(ready, MemboxState),
        VMSTATE_BOOL(fatal, MemboxState),
        VMSTATE_UINT64_ARRAY(events, MemboxState, MEMBOX_MAX_CONTEXTS / 64),
        VMSTATE_UINT32(int_cause, MemboxState),
        VMSTATE_UINT32(err_count, MemboxState),
        VMSTATE_BUFFER_UNSAFE(err_log, MemboxState, 0,
                              MEMBOX_ERR_LOG * sizeof(struct membox_err)),
        VMSTATE_UINT32(next_window, MemboxState),
        VMSTATE_UINT8_ARRAY(migrate.uuid.data, MemboxState, 16),
        VMSTATE_INT32(migrate.nqueues, MemboxState),
        VMSTATE_VALIDATE("number of queues", few_queues),
        VMSTATE_STRUCT_VARRAY_ALLOC(migrate.queues, MemboxState,
                                    migrate.nqueues, 1, vmstate_queue,
                                    MemboxSavedQueue),
        VMSTATE_INT32(migrate.nwindows, MemboxState),
        VMSTATE_VALIDATE("number of windows", few_windows),
        VMSTATE_STRUCT_VARRAY_ALLOC(migrate.windows, MemboxState,
                                    migrate.nwindows, 1, vmstate_window,
                                    MemboxSavedWindow),
        VMSTATE_INT32(migrate.nregions, MemboxState),
        VMSTATE_VALIDATE("number of regions", few_regions),
        VMSTATE_STRUCT_VARRAY_ALLOC(migrate.regions, MemboxState,
                                    migrate.nregions, 1, vmstate_region,
                                    MemboxSavedRegion),
        VMSTATE_INT32(migrate.nsegments, MemboxState),
        VMSTATE_VALIDATE("number of segments", few_segments),
        VMSTATE_STRUCT_VARRAY_ALLOC(migrate.segments, MemboxState,
                                    migrate.nsegments, 1, vmstate_segment,
                                    MemboxSavedSegment),
        VMSTATE_INT32(migrate.ncmds, MemboxState),
        VMSTATE_VALIDATE("number of commands", few_cmds),
        VMSTATE_STRUCT_VARRAY_ALLOC(migrate.cmds, MemboxState,
                                    migrate.ncmds, 1, vmstate_cmd,
                                    MemboxSavedCmd),
        VMSTATE_END_OF_LIST()
    },
};

/* ---- the VM goes on, or not ---- */

/* Takes a port back that was suspended; text says why not. */
static bool take_back(MemboxState *s, char text[MBE_ERR_TEXT])
{
    MemboxMigrate *m = &s->migrate;

    if (mbe_resume(s->engine, m->uuid.data, text)) {
        return false;
    }
    m->suspended = false;
    trace_membox_resume(s, mbe_port(s->engine), m->nqueues, m->nwindows,
                        m->ncmds);
    return true;
}

/* A stopped VM whose migration failed is reset: what it has ends with that. */
void membox_migrate_reset(MemboxState *s)
{
    char text[MBE_ERR_TEXT];

    if (s->migrate.suspended && !s->migrate.over && !migration_is_running()) {
        take_back(s, text);
    }
}

/*
 * May the VM run? A port that was suspended is taken back if its migration
 * failed; one that went elsewhere is not this VM's any more.
 */
bool membox_migrate_may_run(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;
    char text[MBE_ERR_TEXT] = "";

    if (!mbe_away(s->engine)) {
        return true;
    }
    if (!m->suspended) {
        error_report("membox: the migration stream had no state of this "
                     "device: the VM cannot run");
        return false;
    }
    if (m->over) {
        error_report("membox: port %u went with the migration: this VM cannot "
                     "continue", mbe_port(s->engine));
        return false;
    }
    if (!take_back(s, text)) {
        error_report("membox: the port cannot be taken back: %s", text);
        return false;
    }
    return true;
}

/* It runs: what waits goes on, and rings are looked at. */
void membox_migrate_run(MemboxState *s)
{
    bool loaded = s->migrate.loaded;

    s->migrate.loaded = false;
    membox_migrate_restart(s);
    for (unsigned i = 0; loaded && i <= s->queues; i++) {
        membox_kick(s, i);
    }
}

/*
 * The device ends. A port that was loaded and never ran goes back into the box
 * as it came, for the source or another destination.
 */
void membox_migrate_leave(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;

    if (m->loaded && !mbe_away(s->engine)) {
        withdraw(s);
        mbe_suspend(s->engine, m->uuid.data);
    }
    m->ncmds = 0;
}

static int migration_event(NotifierWithReturn *n, MigrationEvent *e,
                           Error **errp)
{
    MemboxState *s = container_of(n, MemboxState, migrate.notifier);

    if (e->type == MIG_EVENT_PRECOPY_DONE) {
        s->migrate.over = s->migrate.suspended;
    }
    return 0;
}

/* A port that was chosen automatically cannot be found at the destination. */
bool membox_migrate_init(MemboxState *s, bool chosen, Error **errp)
{
    MemboxMigrate *m = &s->migrate;

    if (chosen) {
        error_setg(&m->blocker, "membox: port=auto does not migrate: give the "
                   "device a port of its own, as in port=%u",
                   mbe_port(s->engine));
        if (migrate_add_blocker(&m->blocker, errp)) {
            return false;
        }
    }
    migration_add_notifier(&m->notifier, migration_event);
    return true;
}

void membox_migrate_exit(MemboxState *s)
{
    MemboxMigrate *m = &s->migrate;

    migration_remove_notifier(&m->notifier);
    migrate_del_blocker(&m->blocker);
    g_free(m->queues);
    g_free(m->windows);
    g_free(m->regions);
    g_free(m->segments);
    g_free(m->cmds);
}
