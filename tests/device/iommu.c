// SPDX-License-Identifier: MIT
/*
 * iommu.c - the device behind a virtual IOMMU (VT-d): addresses are translated,
 * those that are not mapped fault and are reported, nothing blocks.
 */
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 64
#define VTD    0xfed90000ULL
#define PAGE   4096ULL
#define MAPPED (64ULL << 20) /* identity below this, but for what a case changes */
#define FRESH  0x40000000ULL /* addresses that nothing is at yet */

#define READS  1ULL
#define WRITES 2ULL

struct iommu {
	struct port *p;
	uint64_t top; /* level 3 of the function's table */
};

static uint64_t table(struct iommu *m)
{
	return vm_alloc(m->p->vm, PAGE, PAGE);
}

/* The entry of the next level, made if need be. */
static uint64_t *level(struct iommu *m, uint64_t at, unsigned int index)
{
	uint64_t *entry = (uint64_t *)vm_at(m->p->vm, at) + index;

	if (!*entry)
		*entry = table(m) | READS | WRITES;
	return entry;
}

static uint64_t *leaf(struct iommu *m, uint64_t iova)
{
	uint64_t two = *level(m, m->top, iova >> 30 & 511) & ~(PAGE - 1);
	uint64_t one = *level(m, two, iova >> 21 & 511) & ~(PAGE - 1);

	return (uint64_t *)vm_at(m->p->vm, one) + (iova >> 12 & 511);
}

static void invalidate(struct iommu *m)
{
	vm_write(m->p->vm, VTD + 0x28, 8, 1ULL << 63 | 1ULL << 61);
	vm_write(m->p->vm, VTD + 0xf8, 8, 1ULL << 63 | 1ULL << 60);
}

static void map(struct iommu *m, uint64_t iova, uint64_t addr, uint64_t rights)
{
	*leaf(m, iova) = addr | rights;
	invalidate(m);
}

/* Tables for the one function, then translation on; identity below MAPPED. */
static struct iommu start(void)
{
	struct iommu m = {
		.p = port_boot(box_make(BOX_MB), "-device membox,memdev=box -device intel-iommu"),
	};
	struct vm *vm = m.p->vm;
	uint64_t root, context;
	uint64_t *entry;

	port_map(m.p, 0);
	root = table(&m);
	context = table(&m);
	m.top = table(&m);
	*(uint64_t *)vm_at(vm, root) = context | 1;
	entry = (uint64_t *)vm_at(vm, context) + 2 * m.p->devfn;
	entry[0] = m.top | 1;
	entry[1] = 1ULL << 8 | 1; /* domain 1, 39 bits */
	for (uint64_t at = 0; at < MAPPED; at += PAGE)
		*leaf(&m, at) = at | READS | WRITES;
	vm_write(vm, VTD + 0x20, 8, root);
	vm_write(vm, VTD + 0x18, 4, 1U << 30);
	CHECK(vm_read(vm, VTD + 0x1c, 4) & 1U << 30);
	invalidate(&m);
	vm_write(vm, VTD + 0x18, 4, 1U << 31);
	CHECK(vm_read(vm, VTD + 0x1c, 4) & 1U << 31);
	port_enable(m.p);
	port_queues(m.p);
	return m;
}

static bool fault_reported(struct iommu *m)
{
	return vm_read(m->p->vm, VTD + 0x34, 4) & 2;
}

static void translated(void)
{
	struct iommu m = start();
	uint32_t h = param(m.p, "x", MEMBOX_I8, 3 * PAGE, 0);
	uint64_t a = vm_alloc(m.p->vm, PAGE, PAGE), b = vm_alloc(m.p->vm, PAGE, PAGE);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 2 * PAGE, FRESH);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 2 * PAGE, FRESH);

	memset(vm_at(m.p->vm, a), 1, PAGE);
	memset(vm_at(m.p->vm, b), 2, PAGE);
	map(&m, FRESH, b, READS);
	map(&m, FRESH + PAGE, a, READS);
	EQUAL(pair_run(&m.p->io, &w, NULL), MEMBOX_ST_OK);
	map(&m, FRESH, a, READS | WRITES);
	map(&m, FRESH + PAGE, b, READS | WRITES);
	EQUAL(pair_run(&m.p->io, &r, NULL), MEMBOX_ST_OK);
	EQUAL(*(uint8_t *)vm_at(m.p->vm, a), 2);
	EQUAL(*(uint8_t *)vm_at(m.p->vm, b), 1);
	CHECK(!fault_reported(&m));
}

static void faults(void)
{
	struct iommu m = start();
	uint32_t h = param(m.p, "x", MEMBOX_I8, 3 * PAGE, 0);
	uint64_t a = vm_alloc(m.p->vm, PAGE, PAGE);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 2 * PAGE, FRESH);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, PAGE, FRESH);
	struct membox_completion c;

	map(&m, FRESH, a, READS);
	EQUAL(pair_run(&m.p->io, &w, &c), MEMBOX_ST_DMA_FAULT); /* second page */
	EQUAL(c.result, FRESH);
	CHECK(fault_reported(&m));
	EQUAL(counter(m.p, MEMBOX_CTR_TO_DEVICE), 0);
	memset(vm_at(m.p->vm, a), 5, PAGE);
	EQUAL(pair_run(&m.p->io, &r, NULL), MEMBOX_ST_DMA_FAULT); /* may only be read */
	EQUAL(*(uint8_t *)vm_at(m.p->vm, a), 5);
	map(&m, FRESH, a, READS | WRITES);
	EQUAL(pair_run(&m.p->io, &r, NULL), MEMBOX_ST_OK);
	EQUAL(*(uint8_t *)vm_at(m.p->vm, a), 0);
	map(&m, FRESH, 0, 0);
	EQUAL(pair_run(&m.p->io, &r, NULL), MEMBOX_ST_DMA_FAULT);
	EQUAL(reg32(m.p, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
}

/* A ring that is unmapped under the device halts its queue. */
static void ring_unmapped(void)
{
	struct iommu m = start();
	uint64_t end = now_ms() + PATIENCE_MS;

	*leaf(&m, m.p->io.sq_addr) = 0;
	invalidate(&m);
	pair_put(&m.p->io, &(struct membox_packet){.opcode = MEMBOX_OP_FENCE, .context = 1});
	pair_publish(&m.p->io);
	while (!__atomic_load_n(&m.p->io.ctl->halted, __ATOMIC_ACQUIRE) && now_ms() < end)
		nap();
	EQUAL(m.p->io.ctl->halted, MEMBOX_ST_DMA_FAULT);
	CHECK(fault_reported(&m));
	EQUAL(pair_delete(&m.p->io), MEMBOX_ST_OK);
}

/* Workers wait for the main loop, resets for workers: neither waits for ever. */
static void resets(void)
{
	struct iommu m = start();
	uint32_t h = param(m.p, "x", MEMBOX_I8, 1 << 20, 0);
	uint64_t buffer = vm_alloc(m.p->vm, 1 << 20, PAGE);
	uint64_t first = m.p->vm->next;

	for (int i = 0; i < 20; i++) {
		struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 1 << 20, buffer);
		struct membox_packet w = packet_io(MEMBOX_OP_WAIT, h, 0, 0, 0, 0);

		w.sub = MEMBOX_GT;
		w.word.value = 1000;
		w.timeout_us = 600000000;
		m.p->vm->next = first;
		for (int n = 0; n < 40; n++)
			pair_put(&m.p->io, n % 4 ? &r : &w);
		pair_publish(&m.p->io);
		if (i & 1) {
			cfg_write(m.p->vm, m.p->devfn, 0x58, 2, 0x8000);
			port_map(m.p, 0);
		} else {
			set32(m.p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
		}
		reg_wait(m.p, MEMBOX_REG_CTRL, ~0U, 0);
		port_enable(m.p);
		port_queues(m.p);
		h = param(m.p, "x", MEMBOX_I8, 1 << 20, 0);
	}
}

static const struct test_case cases[] = {
	{"addresses are translated", translated},
	{"what is not mapped faults, is reported, and moves nothing", faults},
	{"a ring that is unmapped halts its queue", ring_unmapped},
	{"resets behind an IOMMU end", resets},
};
CASE_MAIN(cases)
