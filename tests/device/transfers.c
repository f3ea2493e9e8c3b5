// SPDX-License-Identifier: MIT
/*
 * transfers.c - data between guest memory and the box: in one piece and by
 * scatter-gather lists of every shape, what may not be reached, what counters
 * say, and a memory that is slow or fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 192

/* Reads of the box by this process: the truth about what stands in it. */
struct truth {
	struct mbe *e;
	uint32_t handle;
};

static struct truth truth_open(const char *box, const char *name, unsigned int type, uint64_t count)
{
	struct truth t = {.e = box_attach(box)};

	t.handle = box_param(t.e, name, type, count, 0);
	return t;
}

static void truth_read(struct truth *t, uint64_t first, uint64_t n, void *buf)
{
	struct membox_packet r = packet_io(MEMBOX_OP_READ, t->handle, MEMBOX_I8, first, n, 0);

	EQUAL(box_run(t->e, &r, buf, NULL), MEMBOX_ST_OK);
}

static void fill_random(uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

/* Bytes of every size and alignment go to the box and come back. */
static void sizes(void)
{
	static const uint32_t lengths[] = {1,    2,    3,     7,      63,     64,     65,     4095,
					   4096, 4097, 65535, 262143, 262144, 262145, 3000001};
	const uint64_t most = 4 << 20;
	const char *box = box_make(BOX_MB);
	struct truth t = truth_open(box, "bytes", MEMBOX_I8, most);
	struct port *p = port_start(box, "");
	uint32_t h = param(p, "bytes", MEMBOX_I8, most, 0);
	uint64_t from = vm_alloc(p->vm, most, 4096), to = vm_alloc(p->vm, most, 4096);
	uint8_t *seen = malloc(most);

	fill_random(vm_at(p->vm, from), most, 1);
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		uint32_t n = lengths[i], skew = i * 5 % 17, first = i * 1001;
		struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, first, n, from + skew);
		struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, first, n, to + skew);
		struct membox_completion c;
		uint8_t *got = vm_at(p->vm, to);

		memset(got, 0xee, most);
		EQUAL(pair_run(&p->io, &w, &c), MEMBOX_ST_OK);
		EQUAL(c.bytes, n);
		truth_read(&t, first, n, seen);
		CHECK(!memcmp(seen, (uint8_t *)vm_at(p->vm, from) + skew, n));
		EQUAL(pair_run(&p->io, &r, &c), MEMBOX_ST_OK);
		EQUAL(c.bytes, n);
		CHECK(c.end >= c.start && c.start);
		CHECK(!memcmp(got + skew, seen, n));
		CHECK(got[skew + n] == 0xee && (!skew || got[skew - 1] == 0xee));
	}
	free(seen);
}

static void largest(void)
{
	const uint64_t n = 64 << 20;
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "large", MEMBOX_I8, n, 0);
	uint64_t from = vm_alloc(p->vm, n, 4096), to = vm_alloc(p->vm, n, 4096);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, n, from);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, n, to);

	fill_random(vm_at(p->vm, from), n, 7);
	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_OK);
	EQUAL(pair_run(&p->io, &r, NULL), MEMBOX_ST_OK);
	CHECK(!memcmp(vm_at(p->vm, from), vm_at(p->vm, to), n));
}

/* ---- lists ---- */

struct list {
	struct port *p;
	uint64_t first;
	struct membox_sge *page;
	unsigned int at;
	uint32_t nseg;
};

static void list_init(struct list *l, struct port *p)
{
	l->p = p;
	l->first = vm_alloc(p->vm, 4096, 4096);
	l->page = vm_at(p->vm, l->first);
	l->at = 0;
	l->nseg = 0;
}

static void list_link(struct list *l, uint64_t next)
{
	l->page[l->at] = (struct membox_sge){.addr = next, .flags = MEMBOX_SGE_LINK};
	l->page = vm_at(l->p->vm, next);
	l->at = 0;
}

static void list_add(struct list *l, uint64_t addr, uint32_t len)
{
	if (l->at == MEMBOX_SGL_ENTRIES - 1)
		list_link(l, vm_alloc(l->p->vm, 4096, 4096));
	l->page[l->at++] = (struct membox_sge){.addr = addr, .len = len};
	l->nseg++;
}

static void list_use(const struct list *l, struct membox_packet *d)
{
	d->host.addr = l->first;
	d->host.nseg = l->nseg;
}

/* A port with a parameter of n bytes and pages to list. */
struct listing {
	struct port *p;
	struct truth t;
	uint32_t h;
	uint64_t pages;
	struct membox_packet w, r;
	struct list l;
};

static struct listing listing_start(uint64_t n)
{
	const char *box = box_make(BOX_MB);
	struct listing s = {.t = truth_open(box, "listed", MEMBOX_I8, n)};

	s.p = port_start(box, "");
	s.h = param(s.p, "listed", MEMBOX_I8, n, 0);
	s.pages = vm_alloc(s.p->vm, 8 << 20, 4096);
	fill_random(vm_at(s.p->vm, s.pages), 8 << 20, 3);
	s.w = packet_io(MEMBOX_OP_WRITE, s.h, MEMBOX_I8, 0, n, 0);
	s.r = packet_io(MEMBOX_OP_READ, s.h, MEMBOX_I8, 0, n, 0);
	list_init(&s.l, s.p);
	return s;
}

/* Pages in descending order, so that no two can merge. */
static void list_scattered(void)
{
	const unsigned int n = 700; /* three list pages */
	struct listing s = listing_start(n * 4096);
	uint8_t *seen = malloc(n * 4096);
	struct membox_completion c;

	for (unsigned int i = 0; i < n; i++)
		list_add(&s.l, s.pages + (n - 1 - i) * 4096ULL, 4096);
	list_use(&s.l, &s.w);
	EQUAL(pair_run(&s.p->io, &s.w, &c), MEMBOX_ST_OK);
	EQUAL(c.bytes, n * 4096);
	truth_read(&s.t, 0, n * 4096, seen);
	for (unsigned int i = 0; i < n; i++)
		CHECK(!memcmp(seen + i * 4096, (uint8_t *)vm_at(s.p->vm, s.pages) + (n - 1 - i) * 4096,
			      4096));
	/* and back through the same list */
	memset(vm_at(s.p->vm, s.pages), 0, n * 4096);
	list_use(&s.l, &s.r);
	EQUAL(pair_run(&s.p->io, &s.r, NULL), MEMBOX_ST_OK);
	for (unsigned int i = 0; i < n; i++)
		CHECK(!memcmp(seen + i * 4096, (uint8_t *)vm_at(s.p->vm, s.pages) + (n - 1 - i) * 4096,
			      4096));
	free(seen);
}

/* Odd lengths at odd places, some next to each other, with early links. */
static void list_ragged(void)
{
	const unsigned int n = 1000;
	struct listing s = listing_start(n * 37);
	uint8_t *seen = malloc(n * 37);

	for (unsigned int i = 0; i < n; i++) {
		if (i % 100 == 99)
			list_link(&s.l, vm_alloc(s.p->vm, 4096, 4096));
		list_add(&s.l, s.pages + (i % 3 ? i * 37 : i * 111), 37);
	}
	list_use(&s.l, &s.w);
	EQUAL(pair_run(&s.p->io, &s.w, NULL), MEMBOX_ST_OK);
	truth_read(&s.t, 0, n * 37, seen);
	for (unsigned int i = 0; i < n; i++)
		CHECK(!memcmp(seen + i * 37, (uint8_t *)vm_at(s.p->vm, s.pages) + (i % 3 ? i * 37 : i * 111),
			      37));
	free(seen);
}

static void list_full_page(void)
{
	struct listing s = listing_start(256 * 8);
	struct membox_completion c;

	for (unsigned int i = 0; i < 255; i++)
		list_add(&s.l, s.pages + 16 * i, 8);
	s.l.page[255] = (struct membox_sge){.addr = s.pages, .len = 8};
	s.l.nseg = 256;
	list_use(&s.l, &s.w);
	EQUAL(pair_run(&s.p->io, &s.w, &c), MEMBOX_ST_OK);
	/* 257 want a link where the last entry stands */
	s.w.host.nseg = 257;
	s.w.count = 257 * 8;
	EQUAL(pair_run(&s.p->io, &s.w, &c), MEMBOX_ST_BAD_SGL);
}

/* A walk back into itself is a list like any other, as long as it adds up. */
static void list_circle(void)
{
	struct listing s = listing_start(4 * 64);
	uint8_t seen[256];

	s.l.page[0] = (struct membox_sge){.addr = s.pages, .len = 64};
	s.l.page[1] = (struct membox_sge){.addr = s.l.first, .flags = MEMBOX_SGE_LINK};
	s.l.nseg = 4;
	list_use(&s.l, &s.w);
	EQUAL(pair_run(&s.p->io, &s.w, NULL), MEMBOX_ST_OK);
	truth_read(&s.t, 0, 256, seen);
	for (unsigned int i = 0; i < 4; i++)
		CHECK(!memcmp(seen + 64 * i, vm_at(s.p->vm, s.pages), 64));
	s.w.host.nseg = 5;
	EQUAL(pair_run(&s.p->io, &s.w, NULL), MEMBOX_ST_BAD_SGL);
	s.w.host.nseg = 65537;
	EQUAL(pair_run(&s.p->io, &s.w, NULL), MEMBOX_ST_BAD_SGL);
	s.w.host.nseg = 65538;
	EQUAL(pair_run(&s.p->io, &s.w, NULL), MEMBOX_ST_BAD_SGL);
	s.w.host.nseg = ~0U;
	EQUAL(pair_run(&s.p->io, &s.w, NULL), MEMBOX_ST_BAD_SGL);
	/* links with no data between them would never come to an end */
	s.l.page[0] = (struct membox_sge){.addr = s.l.first, .flags = MEMBOX_SGE_LINK};
	s.w.host.nseg = 4;
	EQUAL(pair_run(&s.p->io, &s.w, NULL), MEMBOX_ST_BAD_SGL);
}

/* Lists of 65537 single bytes, many at once: what they cost is bounded, all are served. */
static void list_swarm(void)
{
	struct listing s = listing_start(MEMBOX_SGL_MAX);
	struct pair *q = &s.p->io;
	struct membox_completion c;
	unsigned int got = 0, put = 0;

	for (unsigned int i = 0; i < 255; i++)
		s.l.page[i] = (struct membox_sge){.addr = s.pages + 2 * i, .len = 1};
	s.l.page[255] = (struct membox_sge){.addr = s.l.first, .flags = MEMBOX_SGE_LINK};
	s.l.nseg = MEMBOX_SGL_MAX;
	list_use(&s.l, &s.w);
	while (got < 100) {
		while (put < 100 && put - got < 64 &&
		       q->tail - __atomic_load_n(&q->ctl->sq_head, __ATOMIC_ACQUIRE) < 64) {
			pair_put(q, &s.w);
			put++;
		}
		pair_publish(q);
		pair_take(q, &c);
		EQUAL(c.status, MEMBOX_ST_OK);
		EQUAL(c.bytes, MEMBOX_SGL_MAX);
		got++;
	}
}

/* Each entry spoilt in one way, in a list that is good without it. */
static void list_misuse(void)
{
	struct listing s = listing_start(3 * 64);
	static const struct {
		const char *what;
		unsigned int entry;
		struct membox_sge e;
		uint16_t status;
	} bad[] = {
		{"length 0", 1, {.addr = 1 << 24}, MEMBOX_ST_BAD_SGL},
		{"unknown flag", 1, {.addr = 1 << 24, .len = 64, .flags = 2}, MEMBOX_ST_BAD_SGL},
		{"link with a length", 1, {.addr = 1 << 24, .len = 64, .flags = 1}, MEMBOX_ST_BAD_SGL},
		{"link first", 0, {.addr = 1 << 24, .flags = 1}, MEMBOX_ST_BAD_SGL},
		{"link to an unaligned page", 1, {.addr = (1 << 24) + 64, .flags = 1}, MEMBOX_ST_BAD_SGL},
		{"link to nowhere", 1, {.addr = 1ULL << 40, .flags = 1}, MEMBOX_ST_DMA_FAULT},
		{"too short", 2, {.addr = 1 << 24, .len = 63}, MEMBOX_ST_BAD_SGL},
		{"too long", 2, {.addr = 1 << 24, .len = 65}, MEMBOX_ST_BAD_SGL},
		{"far too long", 0, {.addr = 1 << 24, .len = ~0U}, MEMBOX_ST_BAD_SGL},
		{"nowhere", 2, {.addr = 1ULL << 40, .len = 64}, MEMBOX_ST_DMA_FAULT},
		{"wraps", 2, {.addr = ~31ULL, .len = 64}, MEMBOX_ST_DMA_FAULT},
		{"registers", 2, {.addr = BAR0, .len = 64}, MEMBOX_ST_DMA_FAULT},
	};
	uint8_t before[192], after[192];
	struct membox_completion c;

	truth_read(&s.t, 0, 192, before);
	for (unsigned int i = 0; i < 3; i++)
		list_add(&s.l, s.pages + 64 * i, 64);
	list_use(&s.l, &s.w);
	list_use(&s.l, &s.r);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct membox_sge good = s.l.page[bad[i].entry];

		s.l.page[bad[i].entry] = bad[i].e;
		if (pair_run(&s.p->io, &s.w, &c) != bad[i].status || c.bytes || c.detail != 80)
			case_fail("%s: status %u detail %u bytes %llu", bad[i].what, c.status, c.detail,
				  (unsigned long long)c.bytes);
		EQUAL(pair_run(&s.p->io, &s.r, &c), bad[i].status);
		s.l.page[bad[i].entry] = good;
		truth_read(&s.t, 0, 192, after);
		CHECK(!memcmp(before, after, 192));
	}
	s.w.host.addr += 64;
	EQUAL(pair_run(&s.p->io, &s.w, &c), MEMBOX_ST_BAD_SGL);
	s.w.host.addr -= 64;
	EQUAL(pair_run(&s.p->io, &s.w, &c), MEMBOX_ST_OK);
}

/* Entries must hold whole elements. */
static void list_elements(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "f", MEMBOX_F32, 64, 0);
	uint64_t page = vm_alloc(p->vm, 8192, 4096);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_F32, 0, 8, 0);
	struct list l;

	list_init(&l, p);
	list_add(&l, page, 16);
	list_add(&l, page + 64, 16);
	list_use(&l, &w);
	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_OK);
	l.page[0].len = 14;
	l.page[1].len = 18;
	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_BAD_SGL);
	l.page[0].len = 16;
	l.page[1].len = 16;
	l.page[1].addr += 2;
	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_BAD_SGL);
	/* the driver's nseg is not part of an operation without host memory */
	w.opcode = MEMBOX_OP_FILL;
	w.host.addr = 0;
	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_RESERVED);
}

/* ---- what is not memory ---- */

static void not_memory(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "x", MEMBOX_I8, 65536, 0);
	const uint64_t bad[] = {
		1ULL << 40, VM_RAM_BYTES, VM_RAM_BYTES - 32,          p->bar0,    p->bar0 + MEMBOX_MSIX_TABLE,
		p->bar4,    p->bar2,      p->bar2 + p->aperture - 64, 0xfee00000, 0xfec00000,
		0xb0000000, ~127ULL};
	struct membox_completion c;
	uint32_t errors = reg32(p, MEMBOX_REG_ERR_COUNT);
	uint8_t *tail = vm_at(p->vm, VM_RAM_BYTES - 32);

	memset(tail, 0x5a, 32);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 64, bad[i]);
		struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 64, bad[i]);

		if (pair_run(&p->io, &r, &c) != MEMBOX_ST_DMA_FAULT || c.bytes || c.detail != 80 ||
		    c.result != bad[i])
			case_fail("READ to 0x%llx: status %u", (unsigned long long)bad[i], c.status);
		if (pair_run(&p->io, &w, &c) != MEMBOX_ST_DMA_FAULT)
			case_fail("WRITE from 0x%llx: status %u", (unsigned long long)bad[i], c.status);
	}
	for (unsigned int i = 0; i < 32; i++)
		EQUAL(tail[i], 0x5a);
	EQUAL(reg32(p, MEMBOX_REG_ERR_COUNT), errors + 2 * sizeof(bad) / sizeof(*bad));
	EQUAL(counter(p, MEMBOX_CTR_TO_DEVICE), 0);
	EQUAL(counter(p, MEMBOX_CTR_FROM_DEVICE), 0);
	EQUAL(reg32(p, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
}

/* Another view of a box file in the guest is not memory either. */
static void foreign_view(void)
{
	struct port *p =
		port_boot(box_make(BOX_MB), "-device membox,memdev=box -device ivshmem-plain,memdev=box");
	int ivshmem = cfg_find(p->vm, 0, 0x1af4, 0x1110);
	uint64_t view = 0x800000000ULL;
	struct membox_packet r;

	CHECK(ivshmem >= 0);
	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	cfg_write(p->vm, (unsigned int)ivshmem, 0x18, 4, (uint32_t)view);
	cfg_write(p->vm, (unsigned int)ivshmem, 0x1c, 4, (uint32_t)(view >> 32));
	cfg_write(p->vm, (unsigned int)ivshmem, 4, 2, 6);
	CHECK(vm_read(p->vm, view, 8) != 0); /* the superblock's magic is seen there */
	r = packet_io(MEMBOX_OP_READ, param(p, "x", MEMBOX_I8, 64, 0), MEMBOX_I8, 0, 64, view);
	EQUAL(pair_run(&p->io, &r, NULL), MEMBOX_ST_DMA_FAULT);
	CHECK(vm_read(p->vm, view, 8) != 0);
}

/* Addresses in a slot, without the store that publishes them, move nothing. */
static void unpublished(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "x", MEMBOX_I8, 4096, 0);
	uint64_t page = vm_alloc(p->vm, 4096, 4096);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 4096, page);
	struct membox_completion c;

	memset(vm_at(p->vm, page), 1, 4096);
	pair_put(&p->io, &w);
	for (int i = 0; i < 100; i++)
		ring_sq(&p->io);
	CHECK(!pair_poll(&p->io, &c, 50));
	EQUAL(counter(p, MEMBOX_CTR_TO_DEVICE), 0);
	EQUAL(p->io.ctl->sq_head, 0);
	pair_publish(&p->io);
	pair_take(&p->io, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	EQUAL(counter(p, MEMBOX_CTR_TO_DEVICE), 4096);
}

/* ---- numbers and counters ---- */

static void accumulate(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "sum", MEMBOX_I32, 1000, 0), g = param(p, "grad", MEMBOX_I32, 1000, 0);
	uint64_t page = vm_alloc(p->vm, 8192, 4096);
	int32_t *v = vm_at(p->vm, page);
	struct membox_packet acc = packet_io(MEMBOX_OP_ACC, h, MEMBOX_I32, 0, 1000, page);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I32, 0, 1000, page + 4096);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, g, MEMBOX_I32, 0, 1000, page);
	struct membox_completion c;
	uint64_t to, from;

	acc.src_type = MEMBOX_I32;
	acc.reduction = MEMBOX_SUM;
	acc.scale.a = 0x4008000000000000; /* 3 */
	for (int i = 0; i < 1000; i++)
		v[i] = i - 500;
	EQUAL(pair_run(&p->io, &acc, NULL), MEMBOX_ST_OK);
	EQUAL(pair_run(&p->io, &acc, NULL), MEMBOX_ST_OK);
	EQUAL(pair_run(&p->io, &r, &c), MEMBOX_ST_OK);
	for (int i = 0; i < 1000; i++)
		EQUAL((int32_t)v[1024 + i], 6 * (i - 500));
	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_OK);
	to = counter(p, MEMBOX_CTR_TO_DEVICE);
	from = counter(p, MEMBOX_CTR_FROM_DEVICE);
	EQUAL(to, 12000);
	EQUAL(from, 4000);
	/* from common memory: no payload byte crosses the bus */
	acc.handle[1] = g;
	acc.host.addr = 0;
	EQUAL(pair_run(&p->io, &acc, NULL), MEMBOX_ST_OK);
	EQUAL(counter(p, MEMBOX_CTR_TO_DEVICE), to);
	EQUAL(counter(p, MEMBOX_CTR_FROM_DEVICE), from);
	EQUAL(pair_run(&p->io, &r, &c), MEMBOX_ST_OK);
	EQUAL((int32_t)v[1024 + 999], 9 * 499);
}

static void without_acc(void)
{
	struct port *p = port_start(box_make(BOX_MB), "acc=off");
	uint32_t h = param(p, "sum", MEMBOX_F32, 16, 0);
	uint64_t page = vm_alloc(p->vm, 4096, 4096);
	struct membox_packet d = packet_io(MEMBOX_OP_ACC, h, MEMBOX_F32, 0, 16, page);

	EQUAL(reg64(p, MEMBOX_REG_CAPS) & (MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR), 0);
	d.src_type = MEMBOX_F32;
	d.reduction = MEMBOX_SUM;
	EQUAL(pair_run(&p->io, &d, NULL), MEMBOX_ST_UNSUPPORTED);
	d = packet_io(MEMBOX_OP_SCALE, h, MEMBOX_F32, 0, 16, 0);
	EQUAL(pair_run(&p->io, &d, NULL), MEMBOX_ST_UNSUPPORTED);
	d = packet_io(MEMBOX_OP_READ, h, MEMBOX_F32, 0, 16, page);
	EQUAL(pair_run(&p->io, &d, NULL), MEMBOX_ST_OK);
}

static void counters(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "x", MEMBOX_I8, 65536, 0);
	uint64_t page = vm_alloc(p->vm, 65536, 4096);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 65536, page);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 100, page);
	struct membox_packet bad = packet_io(0x3f, h, MEMBOX_I8, 0, 100, page);
	uint64_t control = counter(p, MEMBOX_CTR_CONTROL), admins = counter(p, MEMBOX_CTR_ADMIN);

	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_OK);
	EQUAL(pair_run(&p->io, &r, NULL), MEMBOX_ST_OK);
	EQUAL(pair_run(&p->io, &bad, NULL), MEMBOX_ST_BAD_OPCODE);
	EQUAL(counter(p, MEMBOX_CTR_TO_DEVICE), 65536);
	EQUAL(counter(p, MEMBOX_CTR_FROM_DEVICE), 100);
	EQUAL(counter(p, MEMBOX_CTR_COMMON_WRITE), 65536);
	EQUAL(counter(p, MEMBOX_CTR_COMMON_READ), 100);
	EQUAL(counter(p, MEMBOX_CTR_CONTROL), control + 3 * (128 + 64));
	EQUAL(counter(p, MEMBOX_CTR_OPERATIONS), 3);
	EQUAL(counter(p, MEMBOX_CTR_ERRORS), 1);
	CHECK(admins >= 3);
	param(p, "x", MEMBOX_I8, 65536, 0);
	EQUAL(counter(p, MEMBOX_CTR_ADMIN), admins + 1);
}

/* ---- a memory that is slow, and one that fails ---- */

static void delayed(void)
{
	const uint64_t delay = 200000000;
	const char *box = box_make(BOX_MB);
	struct truth t = truth_open(box, "slow", MEMBOX_I64, 1);
	struct port *p = port_start(box, "delay=200000000");
	uint64_t page = vm_alloc(p->vm, 4096, 4096);
	uint64_t *word = vm_at(p->vm, page), seen = 0;
	struct membox_packet w =
		packet_io(MEMBOX_OP_WRITE, param(p, "slow", MEMBOX_I64, 1, 0), MEMBOX_I64, 0, 1, page);
	struct membox_completion c;
	uint64_t end = now_ms() + PATIENCE_MS;

	*word = 12345;
	pair_put(&p->io, &w);
	pair_publish(&p->io);
	/* The data comes first, the completion a good while after it. */
	while (seen != 12345 && now_ms() < end)
		truth_read(&t, 0, 8, &seen);
	EQUAL(seen, 12345);
	CHECK(!pair_poll(&p->io, &c, 0));
	pair_take(&p->io, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	CHECK(c.end - c.start >= delay);
}

static void poisoned(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct membox_param_args a = param_args("bad", MEMBOX_I8, 1 << 20, MEMBOX_PARAM_MAPPABLE);
	char options[96];
	struct port *p;
	uint64_t page;
	struct membox_packet r;
	struct membox_completion c;

	EQUAL(mbe_admin(e, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	snprintf(options, sizeof(options), "poison-offset=%llu,poison-bytes=4096",
		 (unsigned long long)a.address + 8192);
	p = port_start(box, options);
	page = vm_alloc(p->vm, 65536, 4096);
	r = packet_io(MEMBOX_OP_READ, param(p, "bad", MEMBOX_I8, 1 << 20, 0), MEMBOX_I8, 0, 8192, page);
	EQUAL(pair_run(&p->io, &r, &c), MEMBOX_ST_OK);
	r.count = 65536;
	EQUAL(pair_run(&p->io, &r, &c), MEMBOX_ST_MEDIA_ERROR);
	EQUAL(c.result, 8192);
	CHECK(c.bytes <= 8192);
	r.offset[0] = 8192 + 4096;
	EQUAL(pair_run(&p->io, &r, &c), MEMBOX_ST_OK);
}

static const struct test_case cases[] = {
	{"bytes of every size and alignment go to the box and come back", sizes},
	{"64 MiB go in one command", largest},
	{"a list of scattered pages is gathered and scattered in order", list_scattered},
	{"a list of odd pieces with early links is gathered in order", list_ragged},
	{"a list page may be full of data, but then it ends the list", list_full_page},
	{"a list that leads back into itself ends", list_circle},
	{"a hundred lists of 65537 pieces are served", list_swarm},
	{"every broken entry is refused and nothing is transferred", list_misuse},
	{"entries hold whole elements", list_elements},
	{"what is not memory is not reached", not_memory},
	{"a box that another device shows is not reached", foreign_view},
	{"a descriptor that is not published moves nothing", unpublished},
	{"ACC adds, and from common memory moves no byte to the host", accumulate},
	{"acc=off takes ACC and the vector operations away", without_acc},
	{"counters say what was moved", counters},
	{"a completion comes after its data", delayed},
	{"a poisoned range gives a media error with its offset", poisoned},
};
CASE_MAIN(cases)
