// SPDX-License-Identifier: MIT
/*
 * hostile.c - a guest that writes whatever it likes, wherever it likes: the
 * device lives, refuses, stays inside the memory that it was given, and works
 * again after a reset. Seeds are fixed: a failure can be repeated.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "good_packets.h"
#include "port.h"

#define BOX_MB 64
#define ARENA  (4ULL << 20) /* what bad commands may name */
#define CANARY (4ULL << 20) /* what none names */
#define STEPS  1500

struct foe {
	struct port *p;
	uint64_t arena, canary;
	uint32_t h[4];
	uint32_t seed;
};

static uint32_t dice(struct foe *f, uint32_t sides)
{
	f->seed = f->seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)f->seed * sides) >> 32);
}

static uint64_t odd_number(struct foe *f)
{
	static const uint64_t numbers[] = {
		0,    1,     2,       3,          7,          8,          63,         64,    255,   4095,
		4096, 65537, 1 << 28, 1ULL << 31, 1ULL << 32, 1ULL << 40, 1ULL << 63, ~0ULL, ~7ULL, ~4095ULL};

	return numbers[dice(f, sizeof(numbers) / sizeof(*numbers))] + dice(f, 3) - 1;
}

/* In the arena, in the device, or nowhere; never in the canary. */
static uint64_t address(struct foe *f)
{
	switch (dice(f, 10)) {
	case 0:
		return f->p->bar0 + dice(f, 65536);
	case 1:
		return f->p->bar2 + dice(f, 1 << 20);
	case 2:
		return f->p->bar4 + dice(f, 4096);
	case 3:
		return (1ULL << 40) + odd_number(f) / 2;
	default:
		return f->arena + (dice(f, 1024) << 12) + (dice(f, 3) ? 0 : dice(f, 64));
	}
}

/* A list page of anything, its addresses in the arena or nowhere. */
static void scribble_list(struct foe *f)
{
	struct membox_sge *e = vm_at(f->p->vm, f->arena + (dice(f, 1024) << 12));
	unsigned int n = dice(f, 256);

	for (unsigned int i = 0; i < n; i++) {
		e[i].addr = address(f);
		e[i].len = dice(f, 4) ? dice(f, 4096) : (uint32_t)odd_number(f);
		/* what lies past the arena's end is not the guest's to lose */
		if (e[i].addr >= f->arena && e[i].addr < f->arena + ARENA &&
		    e[i].addr + e[i].len > f->arena + ARENA)
			e[i].len = 1;
		e[i].flags = dice(f, 20) ? 0 : dice(f, 4);
	}
}

static struct membox_packet packet(struct foe *f)
{
	struct good_env env = good_env_shape;
	struct membox_packet d;
	unsigned int spoilt = dice(f, 4);

	for (unsigned int i = 0; i < 4; i++)
		env.param[i] = f->h[i];
	env.word = f->h[3];
	env.host = f->arena + (dice(f, 1000) << 12);
	env.count = dice(f, 3) ? 64 : dice(f, 8192);
	env.first = dice(f, 3) ? 0 : dice(f, 8192);
	d = good_packet(&good_kinds[dice(f, GOOD_KINDS)], &env);
	d.context = dice(f, 8) ? 1 : (uint16_t)odd_number(f);
	if (dice(f, 2)) {
		d.host.addr = address(f) & (dice(f, 2) ? ~4095ULL : ~0ULL);
		d.host.nseg = dice(f, 3) ? dice(f, 300) : (uint32_t)odd_number(f);
	}
	if (d.opcode == MEMBOX_OP_WAIT || d.opcode == MEMBOX_OP_SNAPSHOT)
		d.timeout_us = dice(f, 2) ? 1000 : 600000000;
	while (spoilt--) {
		unsigned int at = dice(f, 128), bytes = 1U << dice(f, 4);
		uint64_t value = odd_number(f);

		at &= ~(bytes - 1);
		memcpy((uint8_t *)&d + at, &value, bytes);
	}
	/* A transfer of one piece must not leave the arena for the canary. */
	if (!d.host.nseg && d.host.addr >= f->arena && d.host.addr < f->canary + CANARY)
		d.count %= 8192;
	if (!d.host.nseg && d.host.addr + 65536 > f->arena + ARENA && d.host.addr < f->canary + CANARY)
		d.host.addr = f->arena;
	return d;
}

static void drain(struct pair *q)
{
	struct membox_completion c;

	while (pair_poll(q, &c, 0))
		;
}

static void io(struct foe *f)
{
	struct pair *q = &f->p->io;
	unsigned int n = 1 + dice(f, 8);

	drain(q);
	for (unsigned int i = 0; i < n && q->tail - q->ctl->sq_head < 1U << q->log2; i++) {
		struct membox_packet d = packet(f);

		pair_put(q, &d);
	}
	pair_publish(q);
}

static void administer(struct foe *f)
{
	struct pair *q = &f->p->admin;
	uint64_t page = f->arena + (dice(f, 1024) << 12);
	struct membox_packet d = {.host.addr = page};
	uint32_t *words = vm_at(f->p->vm, page);

	drain(q);
	if (q->tail - q->ctl->sq_head >= 1U << q->log2)
		return;
	d.opcode = (uint8_t)(0x80 + dice(f, 0x28));
	d.context = dice(f, 3) ? 1 : (uint16_t)dice(f, 300);
	d.count = dice(f, 8) ? 4096 : odd_number(f) % 5000;
	if (dice(f, 8) == 0)
		d.host.addr = address(f);
	if (d.host.addr >= f->arena + ARENA - 4096 && d.host.addr < f->canary + CANARY)
		d.host.addr = f->arena;
	for (unsigned int i = 0; i < 64; i++)
		words[i] = dice(f, 3) ? dice(f, 8) : (uint32_t)odd_number(f);
	words[0] = dice(f, 6) ? 4096 : dice(f, 200);
	memset(words + 64, 0, 4096 - 256);
	if (d.opcode == MEMBOX_ADM_QUEUE_CREATE) {
		struct membox_queue_args *a = (struct membox_queue_args *)words;

		/* Rings inside the arena, or nowhere: a ring in the canary would be the guest's own fault. */
		a->size = sizeof(*a);
		a->sq_addr = address(f) & ~4095ULL;
		a->cq_addr = address(f) & ~4095ULL;
		a->ctl_addr = address(f) & ~127ULL;
		if (a->cq_addr >= f->arena && a->cq_addr < f->arena + ARENA)
			a->cq_addr = f->arena;
		a->sq_log2 = (uint8_t)dice(f, 8);
		a->cq_log2 = (uint8_t)dice(f, 9);
	}
	/* the queue and context that the test works with stay */
	if (d.opcode == MEMBOX_ADM_QUEUE_DELETE && (words[1] & 0xffff) == 1)
		words[1]++;
	pair_put(q, &d);
	pair_publish(q);
}

static void poke(struct foe *f)
{
	unsigned int at = dice(f, 3) ? dice(f, 0x200) * 4 : dice(f, 65536);

	switch (dice(f, 4)) {
	case 0: /* not the control register: what resets is tested elsewhere */
		if (at != MEMBOX_REG_CTRL && (at < MEMBOX_MSIX_TABLE || at >= 0xd000))
			vm_write(f->p->vm, f->p->bar0 + at, 4, odd_number(f));
		break;
	case 1:
		vm_read(f->p->vm, f->p->bar0 + (at & ~7U), 1U << dice(f, 4));
		break;
	case 2:
		vm_write(f->p->vm, f->p->bar4 + dice(f, 8 * 4096), 4, odd_number(f));
		break;
	default:
		vm_write(f->p->vm, f->p->bar2 + dice(f, 1 << 16), 8, odd_number(f));
		break;
	}
}

/* Lies about a ring, on a queue of its own. */
static void lie(struct foe *f)
{
	struct pair q;
	uint64_t next = f->p->vm->next;

	pair_init(f->p, &q, 2, 3, 3);
	if (pair_create(&q, 0) == MEMBOX_ST_OK) {
		for (int i = 0; i < 8; i++) {
			struct membox_packet d = packet(f);

			pair_put(&q, &d);
		}
		if (dice(f, 2))
			q.sq[dice(f, 8)].phase ^= (uint8_t)(1 + dice(f, 255));
		q.ctl->sq_tail = dice(f, 2) ? q.tail : (uint32_t)odd_number(f);
		q.ctl->cq_head = dice(f, 2) ? 0 : (uint32_t)odd_number(f);
		q.ctl->cq_event = (uint32_t)odd_number(f);
		ring_sq(&q);
		ring_cq(&q);
		if (dice(f, 2))
			reg32(f->p, 0);
		pair_delete(&q);
	}
	f->p->vm->next = next;
}

static void open_again(struct foe *f)
{
	static const char *const names[] = {"a", "b", "c", "d"};

	port_enable(f->p);
	port_queues(f->p);
	for (unsigned int i = 0; i < 4; i++)
		f->h[i] =
			param(f->p, names[i], i == 3 ? MEMBOX_I64 : MEMBOX_F32, 8192, MEMBOX_PARAM_MAPPABLE);
}

static void hostile(uint32_t seed)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct foe f = {.seed = seed};
	uint64_t first;
	const uint8_t *canary;

	f.p = port_start(box, "workers=3,max-windows=16");
	set32(f.p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	reg_wait(f.p, MEMBOX_REG_CTRL, ~0U, 0);
	f.arena = vm_alloc(f.p->vm, ARENA, 4096);
	f.canary = vm_alloc(f.p->vm, CANARY, 4096);
	memset(vm_at(f.p->vm, f.canary), 0xa5, CANARY);
	first = f.p->vm->next;
	for (int round = 0; round < 4; round++) {
		f.p->vm->next = first;
		open_again(&f);
		for (int i = 0; i < STEPS; i++) {
			switch (dice(&f, 8)) {
			case 0:
				administer(&f);
				break;
			case 1:
				poke(&f);
				break;
			case 2:
				scribble_list(&f);
				break;
			case 3:
				if (dice(&f, 10) == 0 && !f.p->admin.ctl->halted) {
					struct membox_completion c;

					while (f.p->admin.head != f.p->admin.tail)
						pair_take(&f.p->admin, &c);
					lie(&f);
				}
				break;
			default:
				io(&f);
				break;
			}
		}
		EQUAL(reg32(f.p, MEMBOX_REG_ID), MEMBOX_ID);
		set32(f.p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
		reg_wait(f.p, MEMBOX_REG_CTRL, ~0U, 0);
	}
	case_note("%llu operations, %llu refused, %u errors logged",
		  (unsigned long long)counter(f.p, MEMBOX_CTR_OPERATIONS),
		  (unsigned long long)counter(f.p, MEMBOX_CTR_ERRORS), reg32(f.p, MEMBOX_REG_ERR_COUNT));
	CHECK(counter(f.p, MEMBOX_CTR_OPERATIONS) > counter(f.p, MEMBOX_CTR_ERRORS) + 500);
	CHECK(counter(f.p, MEMBOX_CTR_ERRORS) > 500);
	canary = vm_at(f.p->vm, f.canary);
	for (uint64_t i = 0; i < CANARY; i++)
		EQUAL(canary[i], 0xa5);
	f.p->vm->next = first;
	open_again(&f);
	EQUAL(pair_run(&f.p->io, &(struct membox_packet){.opcode = MEMBOX_OP_FENCE, .context = 1}, NULL), 0);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
	port_stop(f.p);
}

static void seed1(void)
{
	hostile(1);
}

static void seed2(void)
{
	hostile(20261122);
}

static const struct test_case cases[] = {
	{"a hostile guest harms nobody, seed 1", seed1},
	{"a hostile guest harms nobody, seed 2", seed2},
};
CASE_MAIN(cases)
