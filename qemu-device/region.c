/*
 * membox: memory regions: host memory that is named by a key, so that commands
 * of user queues can reach it, and nothing else.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A region keeps two forms of one stretch of host memory: the list of DMA
 * addresses that REGION_ADD copied, which is its meaning, and where these lie
 * in this process, which is a cache: REGION_ADD makes it, and a worker makes it
 * again when the memory map changed since (MemboxState.topology). The vCPU that
 * rings never does: it leaves a region that is not at hand to a worker. Behind
 * an IOMMU nothing is kept, and each command translates what it touches.
 *
 * region_lock guards the table, the pins and the caches. It is taken with none
 * of the other locks held but the BQL, none is taken under it, and nothing is
 * translated under it. A command pins the regions that it names from its check
 * to its end; a region that is deleted is found by no command any more and goes
 * with its last pin.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "hw/pci/pci.h"
#include "device.h"
#include "trace.h"

/* A stretch of a region, from its byte `at` on. */
typedef struct Segment {
    uint64_t at, addr, len;
} Segment;

typedef struct Piece {
    uint64_t at, len;
    uint8_t *host;
    MemoryRegion *mr;   /* the cache holds a reference */
} Piece;

struct MemboxRegion {
    uint32_t key;
    uint16_t context;
    uint16_t rights;    /* MEMBOX_WIN_* */
    uint64_t length;
    GArray *segments;   /* Segment, never changed */
    GArray *pieces;     /* Piece; empty: not cached */
    uint32_t topology;  /* of the memory map that the pieces are from */
    unsigned pins;
    bool dying;
};

static MemboxRegion **slot_of(MemboxState *s, uint32_t key)
{
    return &s->regions[key & 0xffff];
}

/* ---- the memory map ---- */

static void topology_changed(MemoryListener *listener)
{
    MemboxState *s = container_of(listener, MemboxState, listener);

    qatomic_inc(&s->topology);
}

void membox_regions_init(MemboxState *s)
{
    qemu_mutex_init(&s->region_lock);
    s->listener = (MemoryListener) {
        .name = "membox",
        .commit = topology_changed,
    };
    memory_listener_register(&s->listener,
                             pci_get_address_space(PCI_DEVICE(s)));
}

void membox_regions_exit(MemboxState *s)
{
    memory_listener_unregister(&s->listener);
    qemu_mutex_destroy(&s->region_lock);
}

/* ---- the cache ---- */

static GArray *pieces_new(void)
{
    return g_array_new(false, false, sizeof(Piece));
}

static void pieces_free(GArray *pieces)
{
    for (unsigned i = 0; i < pieces->len; i++) {
        memory_region_unref(g_array_index(pieces, Piece, i).mr);
    }
    g_array_free(pieces, true);
}

/* What vec maps, from the first byte of the region on. */
static GArray *pieces_of(const MemboxVec *vec)
{
    GArray *pieces = pieces_new();
    uint64_t at = 0;

    RCU_READ_LOCK_GUARD();
    for (unsigned i = 0; i < vec->n; i++) {
        Piece p = { .at = at, .len = vec->iov[i].iov_len,
                    .host = vec->iov[i].iov_base };
        ram_addr_t offset;

        p.mr = memory_region_from_host(p.host, &offset);
        memory_region_ref(p.mr);
        g_array_append_val(pieces, p);
        at += p.len;
    }
    return pieces;
}

/* Where all of the region lies now; NULL: not all of it can be reached. */
static GArray *locate(MemboxState *s, const MemboxRegion *r, uint64_t *fault)
{
    GArray *pieces = NULL;
    MemboxVec vec;
    bool ok = true;

    membox_vec_init(&vec, r->rights & MEMBOX_WIN_WRITE);
    for (unsigned i = 0; ok && i < r->segments->len; i++) {
        const Segment *seg = &g_array_index(r->segments, Segment, i);

        *fault = seg->addr;
        ok = membox_map(s, seg->addr, seg->len, &vec);
    }
    if (ok) {
        pieces = pieces_of(&vec);
    }
    vec.write = false; /* nothing was written */
    membox_unmap(s, &vec);
    trace_membox_region_locate(s, r->key, ok, bql_locked());
    return pieces;
}

/* region_lock */
static bool at_hand(MemboxState *s, const MemboxRegion *r)
{
    return r->pieces->len && r->topology == qatomic_read(&s->topology);
}

/*
 * Can a command that names this key go on without translation, or be refused at
 * once? BQL, so that the memory map stays as it is. It waits for nothing.
 */
bool membox_region_at_hand(MemboxState *s, uint32_t key)
{
    bool yes;

    if ((key & 0xffff) >= MEMBOX_LIMIT_REGIONS) {
        return true;
    }
    if (qemu_mutex_trylock(&s->region_lock)) {
        return false;
    }
    yes = !*slot_of(s, key) || at_hand(s, *slot_of(s, key));
    qemu_mutex_unlock(&s->region_lock);
    return yes;
}

/* ---- finding and letting go ---- */

MemboxRegion *membox_region_pin(MemboxState *s, uint32_t key, uint16_t context,
                                uint32_t rights)
{
    MemboxRegion *r = NULL;

    if ((key & 0xffff) >= MEMBOX_LIMIT_REGIONS) {
        return NULL;
    }
    qemu_mutex_lock(&s->region_lock);
    r = *slot_of(s, key);
    if (r && (r->key != key || r->context != context || r->dying ||
              (rights & ~r->rights))) {
        r = NULL;
    }
    if (r) {
        r->pins++;
    }
    qemu_mutex_unlock(&s->region_lock);
    return r;
}

void membox_region_unpin(MemboxState *s, MemboxRegion *r)
{
    bool last;

    qemu_mutex_lock(&s->region_lock);
    last = !--r->pins && r->dying;
    qemu_mutex_unlock(&s->region_lock);
    if (last) {
        membox_kick(s, 0); /* the admin command that waits for it */
    }
}

bool membox_region_covers(const MemboxRegion *r, uint64_t offset,
                          uint64_t bytes)
{
    return offset <= r->length && bytes <= r->length - offset;
}

/* The element of a sorted array (both kinds begin with `at`) that holds `at`. */
static unsigned find(const GArray *a, size_t size, uint64_t at)
{
    unsigned low = 0, high = a->len;

    while (high - low > 1) {
        unsigned mid = low + (high - low) / 2;
        uint64_t begin;

        memcpy(&begin, a->data + mid * size, sizeof(begin));
        if (begin <= at) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

static void map_pieces(const GArray *pieces, uint64_t offset, uint64_t bytes,
                       MemboxVec *v)
{
    unsigned i = find(pieces, sizeof(Piece), offset);

    while (bytes) {
        const Piece *p = &g_array_index(pieces, Piece, i++);
        uint64_t skip = offset - p->at, len = MIN(p->len - skip, bytes);

        membox_vec_add(v, p->mr, p->host + skip, len);
        offset += len;
        bytes -= len;
    }
}

static bool map_translated(MemboxState *s, MemboxRegion *r, uint64_t offset,
                           uint64_t bytes, MemboxVec *v, uint64_t *fault)
{
    unsigned i = find(r->segments, sizeof(Segment), offset);

    while (bytes) {
        const Segment *seg = &g_array_index(r->segments, Segment, i++);
        uint64_t skip = offset - seg->at, len = MIN(seg->len - skip, bytes);

        *fault = seg->addr + skip;
        if (!membox_map(s, seg->addr + skip, len, v)) {
            return false;
        }
        offset += len;
        bytes -= len;
    }
    return true;
}

/* The memory map changed, or the region has just arrived by migration. */
static bool map_located(MemboxState *s, MemboxRegion *r, uint64_t offset,
                        uint64_t bytes, MemboxVec *v, uint64_t *fault)
{
    uint32_t topology = qatomic_read(&s->topology);
    GArray *pieces = locate(s, r, fault), *old;

    if (!pieces) {
        return false;
    }
    map_pieces(pieces, offset, bytes, v);
    qemu_mutex_lock(&s->region_lock);
    old = r->pieces;
    r->pieces = pieces;
    r->topology = topology;
    qemu_mutex_unlock(&s->region_lock);
    pieces_free(old);
    return true;
}

/*
 * Maps a range of a pinned region that membox_region_covers(). v is to be
 * unmapped in any case. False: its memory is not there (any more).
 */
bool membox_region_map(MemboxState *s, MemboxRegion *r, uint64_t offset,
                       uint64_t bytes, MemboxVec *v, uint64_t *fault)
{
    bool ok;

    if (s->has_iommu) {
        return map_translated(s, r, offset, bytes, v, fault);
    }
    qemu_mutex_lock(&s->region_lock);
    ok = at_hand(s, r);
    if (ok) {
        map_pieces(r->pieces, offset, bytes, v);
    }
    qemu_mutex_unlock(&s->region_lock);
    return ok || map_located(s, r, offset, bytes, v, fault);
}

/* ---- REGION_ADD, REGION_DEL: the worker of the admin queue, or the BQL ---- */

static void region_free(MemboxRegion *r)
{
    pieces_free(r->pieces);
    g_array_free(r->segments, true);
    g_free(r);
}

static bool add_segment(MemboxState *s, uint64_t addr, uint32_t len,
                        void *opaque)
{
    MemboxRegion *r = opaque;
    Segment seg = { .at = r->length, .addr = addr, .len = len };

    r->length += len;
    if (r->segments->len) {
        Segment *last = &g_array_index(r->segments, Segment,
                                       r->segments->len - 1);

        if (last->addr + last->len == addr) {
            last->len += len;
            return true;
        }
    }
    g_array_append_val(r->segments, seg);
    return true;
}

/* Is all of it memory that the device may reach so? Then that is kept. */
static bool reachable(MemboxState *s, MemboxRegion *r, uint64_t *fault)
{
    uint32_t topology = qatomic_read(&s->topology);
    GArray *pieces = locate(s, r, fault);

    if (!pieces) {
        return false;
    }
    if (s->has_iommu) {
        pieces_free(pieces);
        return true;
    }
    pieces_free(r->pieces);
    r->pieces = pieces;
    r->topology = topology;
    return true;
}

uint16_t membox_region_add(MemboxState *s, const struct membox_region_hw *args,
                           uint64_t *fault)
{
    const struct membox_hostref ref = { .addr = args->addr,
                                        .nseg = args->nseg };
    MemboxRegion *r = g_new0(MemboxRegion, 1);
    uint16_t status;

    r->key = args->key;
    r->context = args->context;
    r->rights = args->rights;
    r->segments = g_array_new(false, false, sizeof(Segment));
    r->pieces = pieces_new();
    status = membox_walk(s, &ref, args->length, 1, add_segment, r, fault);
    if (!status && !reachable(s, r, fault)) {
        status = MEMBOX_ST_DMA_FAULT;
    }
    if (status) {
        region_free(r);
        return status;
    }
    qemu_mutex_lock(&s->region_lock);
    *slot_of(s, r->key) = r;
    qemu_mutex_unlock(&s->region_lock);
    trace_membox_region_add(s, r->key, r->context, r->length,
                            r->segments->len);
    return MEMBOX_ST_OK;
}

bool membox_region_known(MemboxState *s, uint32_t key, bool exactly)
{
    MemboxRegion *r;
    bool known;

    if ((key & 0xffff) >= MEMBOX_LIMIT_REGIONS) {
        return false;
    }
    qemu_mutex_lock(&s->region_lock);
    r = *slot_of(s, key);
    known = r && (!exactly || r->key == key);
    qemu_mutex_unlock(&s->region_lock);
    return known;
}

/* Frees a region that nobody pins; false: not yet. From now on it is not found. */
static bool try_free(MemboxState *s, uint32_t slot)
{
    MemboxRegion *r;

    qemu_mutex_lock(&s->region_lock);
    r = s->regions[slot];
    if (r) {
        r->dying = true;
        if (r->pins) {
            qemu_mutex_unlock(&s->region_lock);
            return false;
        }
        s->regions[slot] = NULL;
    }
    qemu_mutex_unlock(&s->region_lock);
    if (r) {
        trace_membox_region_del(s, r->key, r->context);
        region_free(r);
    }
    return true;
}

/*
 * Ends the commands that name the region and frees it. False: some still run;
 * the last of them kicks the admin queue.
 */
bool membox_region_del(MemboxState *s, uint32_t key)
{
    MemboxRegion *r = *slot_of(s, key);

    if (try_free(s, key & 0xffff)) {
        return true;
    }
    for (unsigned i = 1; i <= s->queues; i++) {
        if (s->queue[i]) {
            membox_queue_abort_region(s->queue[i], r);
        }
    }
    return try_free(s, key & 0xffff);
}

static bool is_of(MemboxState *s, uint32_t slot, uint16_t context)
{
    bool yes;

    qemu_mutex_lock(&s->region_lock);
    yes = s->regions[slot] &&
          (!context || s->regions[slot]->context == context);
    qemu_mutex_unlock(&s->region_lock);
    return yes;
}

/* Those of a context, whose commands have ended; context 0: all of the device. */
void membox_regions_free(MemboxState *s, uint16_t context)
{
    for (uint32_t i = 0; i < MEMBOX_LIMIT_REGIONS; i++) {
        if (is_of(s, i, context)) {
            bool gone = try_free(s, i);

            assert(gone);
        }
    }
}

/* ---- migration; BQL, no worker is there ---- */

void membox_regions_save(MemboxState *s, GArray *regions, GArray *segments)
{
    qemu_mutex_lock(&s->region_lock);
    for (uint32_t i = 0; i < MEMBOX_LIMIT_REGIONS; i++) {
        const MemboxRegion *r = s->regions[i];
        MemboxSavedRegion v;

        if (!r) {
            continue;
        }
        v = (MemboxSavedRegion) {
            .key = r->key,
            .context = r->context,
            .rights = r->rights,
            .segments = r->segments->len,
        };
        g_array_append_val(regions, v);
        for (unsigned k = 0; k < r->segments->len; k++) {
            const Segment *seg = &g_array_index(r->segments, Segment, k);
            MemboxSavedSegment to = { .addr = seg->addr, .len = seg->len };

            g_array_append_val(segments, to);
        }
    }
    qemu_mutex_unlock(&s->region_lock);
}

/* Whether its memory is there is looked at when it is used. False: impossible. */
bool membox_region_restore(MemboxState *s, const MemboxSavedRegion *v,
                           const MemboxSavedSegment *segments)
{
    MemboxRegion *r;

    if (!v->key || (v->key & 0xffff) >= MEMBOX_LIMIT_REGIONS ||
        *slot_of(s, v->key) || !v->context || !v->segments ||
        !mbe_has_context(s->engine, v->context)) {
        return false;
    }
    r = g_new0(MemboxRegion, 1);
    r->key = v->key;
    r->context = v->context;
    r->rights = v->rights;
    r->segments = g_array_new(false, false, sizeof(Segment));
    r->pieces = pieces_new();
    for (uint32_t i = 0; i < v->segments; i++) {
        Segment seg = { .at = r->length, .addr = segments[i].addr,
                        .len = segments[i].len };

        if (!seg.len || seg.len > UINT64_MAX - seg.addr ||
            seg.len > UINT64_MAX - r->length) {
            region_free(r);
            return false;
        }
        r->length += seg.len;
        g_array_append_val(r->segments, seg);
    }
    *slot_of(s, r->key) = r;
    return true;
}
