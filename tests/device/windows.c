// SPDX-License-Identifier: MIT
/*
 * windows.c - parameters in the aperture: reading, storing, rights against the
 * CPU and against DMA of another device, limits, and how windows end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 64
#define PAGE   4096ULL
#define HUGE   (2ULL << 20)

#define EDU_BAR    0xe8000000ULL
#define EDU_BUFFER 0x40000
#define EDU_DMA_NS 200000000

static struct membox_window_args window(struct port *p, unsigned int context, uint32_t handle, uint32_t prot,
					uint16_t status)
{
	struct membox_window_args w = {.size = sizeof(w), .handle = handle, .prot = prot};

	EQUAL(admin(p, context, MEMBOX_ADM_WINDOW_MAP, &w, sizeof(w)), status);
	return w;
}

static uint16_t unmap(struct port *p, unsigned int context, uint32_t id)
{
	struct membox_window_args w = {.size = sizeof(w), .window = id};

	return admin(p, context, MEMBOX_ADM_WINDOW_UNMAP, &w, sizeof(w));
}

static uint16_t close_handle(struct port *p, uint32_t handle)
{
	struct membox_handle_args a = {.size = sizeof(a), .handle = handle};

	return admin(p, 1, MEMBOX_ADM_PARAM_CLOSE, &a, sizeof(a));
}

static uint64_t peer_word(struct mbe *e, uint32_t handle, uint64_t index)
{
	struct membox_packet r = packet_io(MEMBOX_OP_READ, handle, MEMBOX_I64, index, 1, 0);
	uint64_t word;

	EQUAL(box_run(e, &r, &word, NULL), MEMBOX_ST_OK);
	return word;
}

static void peer_store(struct mbe *e, uint32_t handle, uint64_t index, uint64_t word)
{
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, handle, MEMBOX_I64, index, 1, 0);

	EQUAL(box_run(e, &w, &word, NULL), MEMBOX_ST_OK);
}

static void load_and_store(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_start(box, "");
	uint32_t h = param(p, "shown", MEMBOX_I64, 1024, MEMBOX_PARAM_MAPPABLE);
	uint32_t peer = box_param(e, "shown", MEMBOX_I64, 1024, 0);
	struct membox_window_args w;

	EQUAL(vm_read(p->vm, p->bar2, 8), 0);
	w = window(p, 1, h, MEMBOX_WIN_READ | MEMBOX_WIN_WRITE, MEMBOX_ST_OK);
	EQUAL(w.length, 2 * PAGE);
	EQUAL(w.offset % PAGE, 0);
	CHECK(w.window != 0);
	peer_store(e, peer, 5, 0x1122334455667788);
	EQUAL(vm_read(p->vm, p->bar2 + w.offset + 40, 8), 0x1122334455667788);
	vm_write(p->vm, p->bar2 + w.offset + 8, 8, 42);
	vm_write(p->vm, p->bar2 + w.offset + 2, 1, 0xab);
	EQUAL(peer_word(e, peer, 1), 42);
	EQUAL(peer_word(e, peer, 0), 0xab0000);
	EQUAL(unmap(p, 1, w.window), MEMBOX_ST_OK);
	EQUAL(vm_read(p->vm, p->bar2 + w.offset + 40, 8), 0);
	vm_write(p->vm, p->bar2 + w.offset + 40, 8, 1);
	EQUAL(peer_word(e, peer, 5), 0x1122334455667788);
}

/* Has QEMU's edu device store 64 bytes of 0x77 to an address. */
static void edu_store(struct port *p, unsigned int devfn, uint64_t to)
{
	uint64_t from = vm_alloc(p->vm, 4096, 4096);
	uint64_t end = now_ms() + PATIENCE_MS;

	memset(vm_at(p->vm, from), 0x77, 64);
	cfg_write(p->vm, devfn, 0x10, 4, (uint32_t)EDU_BAR);
	cfg_write(p->vm, devfn, 4, 2, 6);
	for (int out = 0; out < 2; out++) {
		vm_write(p->vm, EDU_BAR + 0x80, 8, out ? EDU_BUFFER : from);
		vm_write(p->vm, EDU_BAR + 0x88, 8, out ? to : EDU_BUFFER);
		vm_write(p->vm, EDU_BAR + 0x90, 8, 64);
		vm_write(p->vm, EDU_BAR + 0x98, 8, out ? 3 : 1);
		do {
			vm_clock(p->vm, EDU_DMA_NS); /* its timer is virtual */
		} while ((vm_read(p->vm, EDU_BAR + 0x98, 8) & 1) && now_ms() < end);
		EQUAL(vm_read(p->vm, EDU_BAR + 0x98, 8) & 1, 0);
	}
}

static void read_only(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_boot(box, "-device edu,dma_mask=0xffffffffffffffff -device membox,memdev=box");
	int edu = cfg_find(p->vm, 0, 0x1234, 0x11e8);
	struct membox_window_args ro, rw;
	uint32_t h, peer;

	CHECK(edu >= 0);
	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	h = param(p, "guarded", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	peer = box_param(e, "guarded", MEMBOX_I64, 512, 0);
	peer_store(e, peer, 0, 7);
	ro = window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_OK);
	EQUAL(vm_read(p->vm, p->bar2 + ro.offset, 8), 7);
	vm_write(p->vm, p->bar2 + ro.offset, 8, 8);
	EQUAL(peer_word(e, peer, 0), 7);
	edu_store(p, (unsigned int)edu, p->bar2 + ro.offset);
	EQUAL(peer_word(e, peer, 0), 7);
	/* the same store does arrive through a window that may be written */
	rw = window(p, 1, h, MEMBOX_WIN_READ | MEMBOX_WIN_WRITE, MEMBOX_ST_OK);
	CHECK(rw.offset != ro.offset);
	edu_store(p, (unsigned int)edu, p->bar2 + rw.offset);
	EQUAL(peer_word(e, peer, 0), 0x7777777777777777);
	EQUAL(vm_read(p->vm, p->bar2 + ro.offset, 8), 0x7777777777777777);
}

static void own_dma(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "loop", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args w = window(p, 1, h, MEMBOX_WIN_READ | MEMBOX_WIN_WRITE, MEMBOX_ST_OK);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I64, 0, 8, p->bar2 + w.offset);
	struct membox_queue_args q = {.size = sizeof(q), .queue = 2, .vector = 0, .sq_log2 = 2, .cq_log2 = 2};

	EQUAL(pair_run(&p->io, &r, NULL), MEMBOX_ST_DMA_FAULT);
	r.opcode = MEMBOX_OP_WRITE;
	EQUAL(pair_run(&p->io, &r, NULL), MEMBOX_ST_DMA_FAULT);
	q.sq_addr = p->bar2 + w.offset;
	q.cq_addr = vm_alloc(p->vm, 4096, 4096);
	q.ctl_addr = vm_alloc(p->vm, 4096, 4096);
	EQUAL(admin(p, 0, MEMBOX_ADM_QUEUE_CREATE, &q, sizeof(q)), MEMBOX_ST_DMA_FAULT);
}

static void wrong_windows(void)
{
	struct port *p = port_start(box_make(BOX_MB), "max-windows=3");
	uint32_t h = param(p, "mappable", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	uint32_t small = param(p, "small", MEMBOX_I64, 4, 0);
	struct membox_param_args a = param_args("mappable", 0, 0, 0);
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 2};
	struct membox_window_args w = {.size = sizeof(w), .handle = h, .prot = MEMBOX_WIN_READ};
	uint32_t id[3];

	a.flags = MEMBOX_PARAM_RDONLY;
	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	window(p, 1, h, 0, MEMBOX_ST_BAD_ARGUMENT);
	window(p, 1, h, MEMBOX_WIN_WRITE, MEMBOX_ST_BAD_ARGUMENT);
	window(p, 1, h, 7, MEMBOX_ST_BAD_ARGUMENT);
	window(p, 1, 12345, MEMBOX_WIN_READ, MEMBOX_ST_BAD_HANDLE);
	window(p, 2, h, MEMBOX_WIN_READ, MEMBOX_ST_BAD_CONTEXT);
	window(p, 1, small, MEMBOX_WIN_READ, MEMBOX_ST_NOT_MAPPABLE);
	window(p, 1, a.handle, MEMBOX_WIN_READ | MEMBOX_WIN_WRITE, MEMBOX_ST_DENIED);
	w.size = 8;
	EQUAL(admin(p, 1, MEMBOX_ADM_WINDOW_MAP, &w, sizeof(w)), MEMBOX_ST_BAD_ARGUMENT);
	for (int i = 0; i < 3; i++)
		id[i] = window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_OK).window;
	window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_TABLE_FULL);
	EQUAL(unmap(p, 1, 4711), MEMBOX_ST_BAD_HANDLE);
	EQUAL(admin(p, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
	EQUAL(unmap(p, 2, id[0]), MEMBOX_ST_BAD_HANDLE); /* another's */
	for (int i = 0; i < 3; i++)
		EQUAL(unmap(p, 1, id[i]), MEMBOX_ST_OK);
	EQUAL(unmap(p, 1, id[0]), MEMBOX_ST_BAD_HANDLE);
	window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_OK);
}

static void read_only_port(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct membox_param_args a = param_args("theirs", 0, 0, 0);
	struct membox_window_args w;
	struct port *p;
	uint32_t peer = box_param(e, "theirs", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);

	p = port_start(box, "rights=ro");
	a.flags = MEMBOX_PARAM_RDONLY;
	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	window(p, 1, a.handle, MEMBOX_WIN_READ | MEMBOX_WIN_WRITE, MEMBOX_ST_DENIED);
	w = window(p, 1, a.handle, MEMBOX_WIN_READ, MEMBOX_ST_OK);
	peer_store(e, peer, 0, 5);
	EQUAL(vm_read(p->vm, p->bar2 + w.offset, 8), 5);
	vm_write(p->vm, p->bar2 + w.offset, 8, 6);
	EQUAL(peer_word(e, peer, 0), 5);
}

static void congruent(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct membox_window_args all[6];

	for (unsigned int i = 0; i < 6; i++) {
		char name[8];
		uint64_t bytes = i % 2 ? 3 * HUGE + 3 * PAGE : 3 * PAGE;
		struct membox_param_args a;
		struct membox_window_args w;

		snprintf(name, sizeof(name), "p%u", i);
		a = param_args(name, MEMBOX_I8, bytes, MEMBOX_PARAM_MAPPABLE);
		EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
		w = window(p, 1, a.handle, MEMBOX_WIN_READ, MEMBOX_ST_OK);
		EQUAL(w.length, bytes);
		for (unsigned int j = 0; j < i; j++)
			CHECK(w.offset + w.length <= all[j].offset ||
			      all[j].offset + all[j].length <= w.offset);
		if (bytes >= HUGE)
			EQUAL(w.offset % HUGE, a.address % HUGE);
		all[i] = w;
	}
}

static void aperture_full(void)
{
	struct port *p = port_start(box_make(BOX_MB), "aperture=65536");
	uint32_t h = param(p, "six", MEMBOX_I8, 6 * PAGE, MEMBOX_PARAM_MAPPABLE);
	uint32_t big = param(p, "seventeen", MEMBOX_I8, 17 * PAGE, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args a, b;

	window(p, 1, big, MEMBOX_WIN_READ, MEMBOX_ST_NO_SPACE);
	a = window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_OK);
	b = window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_OK);
	EQUAL(a.offset, 0);
	EQUAL(b.offset, 6 * PAGE);
	window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_NO_SPACE);
	EQUAL(unmap(p, 1, a.window), MEMBOX_ST_OK);
	EQUAL(window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_OK).offset, 0); /* first fit */
}

static void ends_with_handle(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_start(box, "");
	uint32_t h = param(p, "shown", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	uint32_t other = param(p, "shown", MEMBOX_I64, 512, 0);
	uint32_t peer = box_param(e, "shown", MEMBOX_I64, 512, 0);
	struct membox_window_args a = window(p, 1, h, 3, MEMBOX_ST_OK);
	struct membox_window_args b = window(p, 1, h, 1, MEMBOX_ST_OK);
	struct membox_window_args c = window(p, 1, other, 1, MEMBOX_ST_OK);
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 1};

	peer_store(e, peer, 0, 9);
	EQUAL(close_handle(p, 4711), MEMBOX_ST_BAD_HANDLE);
	EQUAL(vm_read(p->vm, p->bar2 + a.offset, 8), 9);
	EQUAL(close_handle(p, h), MEMBOX_ST_OK);
	EQUAL(vm_read(p->vm, p->bar2 + a.offset, 8), 0);
	EQUAL(vm_read(p->vm, p->bar2 + b.offset, 8), 0);
	EQUAL(vm_read(p->vm, p->bar2 + c.offset, 8), 9);
	EQUAL(admin(p, 0, MEMBOX_ADM_CTX_DESTROY, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
	EQUAL(vm_read(p->vm, p->bar2 + c.offset, 8), 0);
}

static void ends_with_parameter(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "shown", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args w = window(p, 1, h, 3, MEMBOX_ST_OK);
	struct membox_handle_args a = {.size = sizeof(a), .handle = h};

	vm_write(p->vm, p->bar2 + w.offset, 8, 3);
	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_DESTROY, &a, sizeof(a)), MEMBOX_ST_OK);
	EQUAL(vm_read(p->vm, p->bar2 + w.offset, 8), 0);
}

static void ends_with_reset(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_start(box, "");
	uint32_t peer = box_param(e, "shown", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);

	for (int how = 0; how < 3; how++) {
		uint32_t h = param(p, "shown", MEMBOX_I64, 512, 0);
		struct membox_window_args w = window(p, 1, h, 3, MEMBOX_ST_OK);

		vm_write(p->vm, p->bar2 + w.offset, 8, 3);
		EQUAL(peer_word(e, peer, 0), 3);
		if (how == 2)
			cfg_write(p->vm, p->devfn, 0x58, 2, 0x8000);
		else
			set32(p, MEMBOX_REG_CTRL, how ? 0 : MEMBOX_CTRL_RESET);
		port_map(p, 0);
		reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
		reg_wait(p, MEMBOX_REG_STATUS, MEMBOX_DEV_READY, 0);
		vm_write(p->vm, p->bar2 + w.offset, 8, 4);
		EQUAL(vm_read(p->vm, p->bar2 + w.offset, 8), 0);
		EQUAL(peer_word(e, peer, 0), 3);
		port_enable(p);
		port_queues(p);
	}
}

static void many(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "shown", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 1};

	for (int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < 256; i++)
			EQUAL(window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_OK).offset, i * PAGE);
		window(p, 1, h, MEMBOX_WIN_READ, MEMBOX_ST_TABLE_FULL);
		EQUAL(admin(p, 0, MEMBOX_ADM_CTX_DESTROY, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
		EQUAL(admin(p, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
		h = param(p, "shown", MEMBOX_I64, 512, 0);
	}
}

/* Waits until the place of a window reads this. */
static void shows(struct port *p, const struct membox_window_args *w, uint64_t word)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (vm_read(p->vm, p->bar2 + w->offset, 8) != word) {
		if (now_ms() > end)
			case_fail("the window does not show %llu", (unsigned long long)word);
		nap();
	}
}

static void ends_with_revocation(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_start(box, "");
	uint32_t h = param(p, "taken", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	uint32_t kept = param(p, "kept", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args w = window(p, 1, h, 3, MEMBOX_ST_OK), ro = window(p, 1, h, 1, MEMBOX_ST_OK);
	struct membox_window_args other = window(p, 1, kept, 3, MEMBOX_ST_OK), next;
	struct membox_param_args a = {.size = sizeof(a), .name = "taken"};

	vm_write(p->vm, p->bar2 + w.offset, 8, 7);
	vm_write(p->vm, p->bar2 + other.offset, 8, 8);
	EQUAL(mbe_admin(e, 1, MEMBOX_ADM_PARAM_REVOKE, &a, sizeof(a)), MEMBOX_ST_OK);
	shows(p, &w, 0);
	shows(p, &ro, 0);
	shows(p, &other, 8);
	vm_write(p->vm, p->bar2 + w.offset, 8, 9);
	EQUAL(vm_read(p->vm, p->bar2 + w.offset, 8), 0);
	/* nothing else appears where it was, until it is unmapped */
	next = window(p, 1, kept, 3, MEMBOX_ST_OK);
	CHECK(next.offset != w.offset && next.offset != ro.offset);
	window(p, 1, h, 3, MEMBOX_ST_DESTROYED);
	EQUAL(unmap(p, 1, w.window), MEMBOX_ST_OK);
	EQUAL(window(p, 1, kept, 3, MEMBOX_ST_OK).offset, w.offset);
	EQUAL(close_handle(p, h), MEMBOX_ST_OK);
	EQUAL(unmap(p, 1, ro.window), MEMBOX_ST_BAD_HANDLE);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
}

static const struct test_case cases[] = {
	{"a window shows a parameter, both ways, until it is unmapped", load_and_store},
	{"a read-only window holds against the CPU and against another device's DMA", read_only},
	{"the device's own DMA reaches no window", own_dma},
	{"wrong windows are refused", wrong_windows},
	{"a read-only port has read-only windows", read_only_port},
	{"windows of 2 MiB and more are congruent to the box", congruent},
	{"the aperture is filled first fit, to its end", aperture_full},
	{"windows end with their handle and their context", ends_with_handle},
	{"windows end when their parameter is destroyed", ends_with_parameter},
	{"windows show nothing when their parameter is revoked", ends_with_revocation},
	{"windows end with a reset and a disable", ends_with_reset},
	{"256 windows come and go", many},
};
CASE_MAIN(cases)
