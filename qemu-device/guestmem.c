/*
 * membox: guest memory. Every byte that the device reads or writes of its
 * guest goes through membox_map(), which translates, refuses whatever is not
 * direct RAM or belongs to any membox box, and never bounces.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns: the list of the boxes of this process (boxes_lock), the requests of
 * workers for translation under the BQL. A mapping holds a reference on its
 * memory region until membox_unmap(), which also tells dirty logs and the
 * translated code of what was written.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/iov.h"
#include "exec/memory.h"
#include "exec/address-spaces.h"
#include "hw/pci/pci.h"
#include "device.h"
#include "trace.h"

static QemuMutex boxes_lock;
static QLIST_HEAD(, MemboxBox) boxes = QLIST_HEAD_INITIALIZER(boxes);

static void __attribute__((constructor)) boxes_init(void)
{
    qemu_mutex_init(&boxes_lock);
}

/* Makes the file behind fd known as a box: no device may DMA into it. */
bool membox_box_add(MemboxState *s, int fd)
{
    struct stat st;

    if (fstat(fd, &st)) {
        return false;
    }
    s->box.dev = st.st_dev;
    s->box.ino = st.st_ino;
    qemu_mutex_lock(&boxes_lock);
    QLIST_INSERT_HEAD(&boxes, &s->box, next);
    qemu_mutex_unlock(&boxes_lock);
    return true;
}

void membox_box_del(MemboxState *s)
{
    qemu_mutex_lock(&boxes_lock);
    QLIST_SAFE_REMOVE(&s->box, next);
    qemu_mutex_unlock(&boxes_lock);
}

/* Is the region a view of a box: an aperture, a memdev, a file mapped twice? */
static bool region_is_box(MemoryRegion *mr)
{
    int fd = memory_region_get_fd(mr);
    MemboxBox *box;
    bool found = false;
    struct stat st;

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &st)) {
        return true;
    }
    qemu_mutex_lock(&boxes_lock);
    QLIST_FOREACH(box, &boxes, next) {
        found |= box->dev == st.st_dev && box->ino == st.st_ino;
    }
    qemu_mutex_unlock(&boxes_lock);
    return found;
}

void membox_vec_init(MemboxVec *v, bool write)
{
    v->iov = v->small;
    v->n = 0;
    v->room = ARRAY_SIZE(v->small);
    v->last = NULL;
    v->write = write;
}

static void vec_append(MemboxVec *v, void *base, size_t len)
{
    if (v->n == v->room) {
        unsigned room = v->room * 2;

        if (v->iov == v->small) {
            v->iov = g_new(struct iovec, room);
            memcpy(v->iov, v->small, sizeof(v->small));
        } else {
            v->iov = g_renew(struct iovec, v->iov, room);
        }
        v->room = room;
        trace_membox_vec_grow(room);
    }
    v->iov[v->n++] = (struct iovec) { .iov_base = base, .iov_len = len };
}

/* Appends memory of a region that the caller holds. */
void membox_vec_add(MemboxVec *v, MemoryRegion *mr, void *host, uint64_t len)
{
    memory_region_ref(mr);
    v->last = mr;
    vec_append(v, host, len);
}

/* Appends one directly mapped stretch; says how long it is, 0 if refused. */
static uint64_t map_stretch(AddressSpace *as, uint64_t addr, uint64_t len,
                            MemboxVec *v)
{
    MemTxAttrs attrs = MEMTXATTRS_UNSPECIFIED;
    hwaddr xlat, got = len;
    MemoryRegion *mr;
    uint8_t *host;

    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(as, addr, &xlat, &got, v->write, attrs);
    if (!got || !memory_region_is_ram(mr) ||
        !memory_access_is_direct(mr, v->write, attrs)) {
        return 0;
    }
    /* v holds its last region, which was judged when it was new to v. */
    if (mr != v->last && region_is_box(mr)) {
        return 0;
    }
    host = (uint8_t *)memory_region_get_ram_ptr(mr) + xlat;
    if (mr == v->last) {
        struct iovec *last = &v->iov[v->n - 1];

        /* What goes on where the last one ended needs no piece of its own. */
        if ((uint8_t *)last->iov_base + last->iov_len == host) {
            last->iov_len += got;
            return got;
        }
    }
    membox_vec_add(v, mr, host, got);
    return got;
}

static bool map_translated(MemboxState *s, uint64_t addr, uint64_t len,
                           MemboxVec *v)
{
    AddressSpace *as = pci_get_address_space(PCI_DEVICE(s));

    if (!len || addr + (len - 1) < addr) {
        return false;
    }
    while (len) {
        uint64_t got = map_stretch(as, addr, len, v);

        if (!got) {
            trace_membox_dma_refused(s, addr, len, v->write);
            return false;
        }
        trace_membox_dma_map(s, addr, got, v->write);
        addr += got;
        len -= got;
    }
    return true;
}

/* What workers wait for; runs under the BQL. */
void membox_requests_serve(MemboxState *s)
{
    MemboxRequest *r;

    qemu_mutex_lock(&s->lock);
    while ((r = QTAILQ_FIRST(&s->requests))) {
        QTAILQ_REMOVE(&s->requests, r, next);
        qemu_mutex_unlock(&s->lock);
        r->ok = map_translated(s, r->addr, r->len, r->vec);
        qemu_mutex_lock(&s->lock);
        r->done = true;
        qemu_cond_broadcast(&s->idle);
    }
    qemu_mutex_unlock(&s->lock);
}

/*
 * Behind an IOMMU translation needs the BQL, which a worker must not wait for
 * (a reset waits for workers with the BQL held): the main loop does it, or
 * whoever holds the BQL and waits.
 */
static bool map_by_request(MemboxState *s, uint64_t addr, uint64_t len,
                           MemboxVec *v)
{
    MemboxRequest r = { .addr = addr, .len = len, .vec = v };

    qemu_mutex_lock(&s->lock);
    QTAILQ_INSERT_TAIL(&s->requests, &r, next);
    membox_schedule_main(s);
    qemu_cond_broadcast(&s->idle);
    while (!r.done) {
        qemu_cond_wait(&s->idle, &s->lock);
    }
    qemu_mutex_unlock(&s->lock);
    return r.ok;
}

/*
 * Appends [addr, addr + len) to v, in as few pieces as it has. When it says
 * false, v holds a part of it, and is to be unmapped all the same.
 */
bool membox_map(MemboxState *s, uint64_t addr, uint64_t len, MemboxVec *v)
{
    if (s->has_iommu && !bql_locked()) {
        return map_by_request(s, addr, len, v);
    }
    return map_translated(s, addr, len, v);
}

static void release(MemboxState *s, MemboxVec *v)
{
    AddressSpace *as = pci_get_address_space(PCI_DEVICE(s));

    for (unsigned i = 0; i < v->n; i++) {
        address_space_unmap(as, v->iov[i].iov_base, v->iov[i].iov_len,
                            v->write, v->iov[i].iov_len);
    }
    v->n = 0;
    v->last = NULL;
}

void membox_unmap(MemboxState *s, MemboxVec *v)
{
    release(s, v);
    if (v->iov != v->small) {
        g_free(v->iov);
    }
    membox_vec_init(v, v->write);
}

/* Unmaps, and keeps the room for as many pieces unless they were very many. */
void membox_unmap_keep(MemboxState *s, MemboxVec *v)
{
    if (v->room > MEMBOX_KEEP_PIECES) {
        membox_unmap(s, v);
    } else {
        release(s, v);
    }
}

/* A structure that must lie in one piece: NULL if it does not. */
void *membox_map_one(MemboxState *s, uint64_t addr, uint64_t len, bool write,
                     MemboxVec *v)
{
    membox_vec_init(v, write);
    if (membox_map(s, addr, len, v) && v->n == 1) {
        return v->iov[0].iov_base;
    }
    membox_unmap(s, v);
    return NULL;
}

bool membox_dma_read(MemboxState *s, uint64_t addr, void *buf, uint64_t len)
{
    MemboxVec v;
    bool ok;

    membox_vec_init(&v, false);
    ok = membox_map(s, addr, len, &v);
    if (ok) {
        iov_to_buf(v.iov, v.n, 0, buf, len);
    }
    membox_unmap(s, &v);
    return ok;
}

/*
 * Walks a scatter-gather list. It reads at most nseg data entries, each page
 * once before them, so a list that leads back into itself ends too.
 */
static uint16_t walk_list(MemboxState *s, const struct membox_hostref *ref,
                          uint64_t bytes, uint32_t align, MemboxWalkFn *fn,
                          void *opaque, uint64_t *fault)
{
    struct membox_sge page[MEMBOX_SGL_ENTRIES];
    uint64_t addr = ref->addr, sum = 0;
    uint32_t left = ref->nseg;

    *fault = addr;
    if (left > MEMBOX_SGL_MAX) {
        return MEMBOX_ST_BAD_SGL;
    }
    while (left) {
        uint32_t n = MIN(left, MEMBOX_SGL_ENTRIES), i;

        *fault = addr;
        if (addr & (MEMBOX_SGL_BYTES - 1)) {
            return MEMBOX_ST_BAD_SGL;
        }
        /* Entries behind the last data entry are not read. */
        if (!membox_dma_read(s, addr, page, n * sizeof(*page))) {
            return MEMBOX_ST_DMA_FAULT;
        }
        mbe_count(s->engine, MEMBOX_CTR_CONTROL, n * sizeof(*page));
        for (i = 0; i < n && left; i++) {
            const struct membox_sge *e = &page[i];

            *fault = addr + i * sizeof(*e);
            if (e->flags & MEMBOX_SGE_LINK) {
                break;
            }
            if (e->flags || !e->len || (e->addr | e->len) & (align - 1) ||
                e->len > bytes - sum) {
                return MEMBOX_ST_BAD_SGL;
            }
            *fault = e->addr;
            if (!fn(s, e->addr, e->len, opaque)) {
                return MEMBOX_ST_DMA_FAULT;
            }
            sum += e->len;
            left--;
        }
        if (!left) {
            break;
        }
        *fault = addr + i * sizeof(*page);
        if (!i || i == n || page[i].flags != MEMBOX_SGE_LINK || page[i].len) {
            return MEMBOX_ST_BAD_SGL;
        }
        addr = page[i].addr;
    }
    *fault = ref->addr;
    return sum == bytes ? MEMBOX_ST_OK : MEMBOX_ST_BAD_SGL;
}

/*
 * Has fn look at each stretch of DMA addresses that a descriptor names: bytes
 * at an address, or those of a list; its false is a DMA_FAULT. On a failure
 * *fault is the DMA address of the list entry or data at fault.
 */
uint16_t membox_walk(MemboxState *s, const struct membox_hostref *ref,
                     uint64_t bytes, uint32_t align, MemboxWalkFn *fn,
                     void *opaque, uint64_t *fault)
{
    uint64_t addr = ref->addr;

    if (ref->nseg) {
        return walk_list(s, ref, bytes, align, fn, opaque, fault);
    }
    *fault = addr;
    while (bytes) {
        uint32_t len = MIN(bytes, 1U << 30);

        if (!fn(s, addr, len, opaque)) {
            return MEMBOX_ST_DMA_FAULT;
        }
        addr += len;
        bytes -= len;
    }
    return MEMBOX_ST_OK;
}

static bool map_walked(MemboxState *s, uint64_t addr, uint32_t len,
                       void *opaque)
{
    return membox_map(s, addr, len, opaque);
}

/* Maps what a descriptor names. v is to be unmapped in any case. */
uint16_t membox_resolve(MemboxState *s, const struct membox_hostref *ref,
                        uint64_t bytes, uint32_t align, MemboxVec *v,
                        uint64_t *fault)
{
    return membox_walk(s, ref, bytes, align, map_walked, v, fault);
}
