// SPDX-License-Identifier: MIT
/*
 * resets.c - resets while commands are in flight: no store to guest memory and
 * no completion after their end, and nothing is left behind in the box.
 */
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 128
#define BIG    (16ULL << 20)

enum how { REGISTER, DISABLE, FUNCTION };

static void reset(struct port *p, enum how how)
{
	switch (how) {
	case REGISTER:
		set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
		break;
	case DISABLE:
		set32(p, MEMBOX_REG_CTRL, 0);
		break;
	case FUNCTION:
		cfg_write(p->vm, p->devfn, 0x58, 2, 0x8000);
		port_map(p, 0);
		break;
	}
	reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
	reg_wait(p, MEMBOX_REG_STATUS, MEMBOX_DEV_READY, 0);
}

static uint64_t sum(const uint8_t *p, uint64_t n)
{
	const uint64_t *w = (const uint64_t *)p;
	uint64_t s = 0;

	for (uint64_t i = 0; i < n / 8; i++)
		s = s * 31 + w[i];
	return s;
}

/* Large reads, writes and additions from several queues, cut off. */
static void in_flight(enum how how)
{
	struct port *p = port_start(box_make(BOX_MB), "workers=3");
	uint32_t h = param(p, "big", MEMBOX_F32, BIG / 4, 0);
	uint64_t buffers = vm_alloc(p->vm, 4 * BIG, 4096);
	uint64_t first = p->vm->next;

	for (int round = 0; round < 4; round++) {
		struct membox_completion c;
		uint64_t before, rings;
		uint32_t done;

		p->vm->next = first;
		for (int i = 0; i < 12; i++) {
			struct membox_packet d =
				packet_io(i % 3 ? MEMBOX_OP_READ : MEMBOX_OP_WRITE, h, MEMBOX_F32, 0, BIG / 4,
					  buffers + (uint64_t)(i % 4) * BIG);

			if (i % 3 == 2) {
				d.opcode = MEMBOX_OP_ACC;
				d.src_type = MEMBOX_F32;
				d.reduction = MEMBOX_SUM;
			}
			pair_put(&p->io, &d);
		}
		pair_publish(&p->io);
		for (int i = 0; i < round; i++)
			pair_take(&p->io, &c);
		reset(p, how);
		/* Its end: from now on nothing changes in memory. */
		before = sum(vm_at(p->vm, buffers), 4 * BIG);
		rings = sum((uint8_t *)p->io.cq, sizeof(*p->io.cq) << p->io.cq_log2) +
			sum((uint8_t *)p->io.ctl, sizeof(*p->io.ctl));
		done = 0;
		while (pair_poll(&p->io, &c, 0)) {
			EQUAL(c.status, MEMBOX_ST_OK); /* from before; what was ended has none */
			done++;
		}
		CHECK(done <= 12);
		p->io.ctl->cq_head -= done;
		ring_sq(&p->io);
		ring_cq(&p->io);
		for (int i = 0; i < 200; i++)
			nap();
		EQUAL(sum(vm_at(p->vm, buffers), 4 * BIG), before);
		EQUAL(sum((uint8_t *)p->io.cq, sizeof(*p->io.cq) << p->io.cq_log2) +
			      sum((uint8_t *)p->io.ctl, sizeof(*p->io.ctl)),
		      rings);
		port_enable(p);
		port_queues(p);
		h = param(p, "big", MEMBOX_F32, BIG / 4, 0);
	}
}

static void by_register(void)
{
	in_flight(REGISTER);
}

static void by_disable(void)
{
	in_flight(DISABLE);
}

static void by_function(void)
{
	in_flight(FUNCTION);
}

/* Commands that wait, are held behind a fence, or were never fetched. */
static void waiting(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	for (int how = 0; how < 3; how++) {
		uint32_t h = param(p, "flag", MEMBOX_I64, 1, 0);
		struct membox_packet w = packet_io(MEMBOX_OP_WAIT, h, MEMBOX_I64, 0, 0, 0);
		struct membox_packet fence = {.opcode = MEMBOX_OP_FENCE, .context = 1};
		struct membox_completion c;

		w.sub = MEMBOX_NE;
		w.timeout_us = 600000000;
		for (int i = 0; i < 20; i++)
			pair_put(&p->io, &w);
		pair_put(&p->io, &fence);
		pair_publish(&p->io);
		CHECK(!pair_poll(&p->io, &c, 30));
		reset(p, (enum how)how);
		CHECK(!pair_poll(&p->io, &c, 30));
		port_enable(p);
		port_queues(p);
	}
}

/* GET_OUTCOMES of context 1, all of them: how many, each user_data counted in told. */
static unsigned int outcomes(struct port *p, unsigned int told[], unsigned int n)
{
	struct membox_outcomes o;
	unsigned int all = 0;

	do {
		o = (struct membox_outcomes){.size = sizeof(o), .count = all};
		EQUAL(admin(p, 1, MEMBOX_ADM_GET_OUTCOMES, &o, sizeof(o)), MEMBOX_ST_OK);
		for (uint32_t i = 0; i < o.count; i++) {
			CHECK(o.entry[i].user_data < n);
			CHECK(o.entry[i].outcome >= MEMBOX_OUTCOME_DONE &&
			      o.entry[i].outcome <= MEMBOX_OUTCOME_TORN);
			told[o.entry[i].user_data]++;
		}
		all += o.count;
	} while (o.count);
	return all;
}

/* Each command that was fetched has its completion, or its outcome. */
static void told_afterwards(void)
{
	enum { N = 64 };
	struct port *p = port_start(box_make(BOX_MB), "workers=3");
	struct membox_outcomes none = {.size = sizeof(none)};

	for (int how = 0; how < 3; how++) {
		uint32_t h = param(p, "big", MEMBOX_F32, BIG / 4, 0), flag = param(p, "flag", MEMBOX_I64, 1, 0);
		struct membox_packet w = packet_io(MEMBOX_OP_WAIT, flag, MEMBOX_I64, 0, 0, 0);
		struct membox_packet d = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_F32, 0, BIG / 4,
						   vm_alloc(p->vm, BIG, 4096));
		struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 1};
		unsigned int told[N] = {0}, all;
		struct membox_completion c;

		w.sub = MEMBOX_NE;
		w.timeout_us = 600000000;
		for (uint64_t i = 0; i < N; i++) {
			w.user_data = i;
			d.user_data = i;
			pair_put(&p->io, i % 8 ? &w : &d);
		}
		pair_publish(&p->io);
		pair_take(&p->io, &c);
		told[c.user_data]++;
		while (how && __atomic_load_n(&p->io.ctl->sq_head, __ATOMIC_ACQUIRE) < N)
			nap();
		reset(p, (enum how)how);
		while (pair_poll(&p->io, &c, 0))
			told[c.user_data]++;
		port_enable(p);
		all = outcomes(p, told, N);
		CHECK(all >= (how ? 56 : 1)); /* those that wait */
		for (unsigned int i = 0; i < N; i++)
			EQUAL(told[i], i < p->io.ctl->sq_head);
		/* a second reset does not make it forget, the number's next owner hears nothing */
		reset(p, (enum how)how);
		port_enable(p);
		EQUAL(outcomes(p, told, N), all);
		EQUAL(admin(p, 2, MEMBOX_ADM_GET_OUTCOMES, &none, sizeof(none)), MEMBOX_ST_BAD_CONTEXT);
		port_queues(p);
		EQUAL(outcomes(p, told, N), 0);
		EQUAL(admin(p, 0, MEMBOX_ADM_CTX_DESTROY, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
		EQUAL(admin(p, 1, MEMBOX_ADM_GET_OUTCOMES, &none, sizeof(none)), MEMBOX_ST_BAD_CONTEXT);
		EQUAL(pair_delete(&p->io), MEMBOX_ST_OK);
		port_queues(p);
	}
}

/* While an administration command waits for something too. */
static void during_admin(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	for (int i = 0; i < 30; i++) {
		uint32_t h = param(p, "shown", MEMBOX_I64, 512, MEMBOX_PARAM_MAPPABLE);
		struct membox_window_args *w = vm_at(p->vm, p->page);
		struct membox_packet d = {.opcode = MEMBOX_ADM_WINDOW_MAP,
					  .context = 1,
					  .count = sizeof(*w),
					  .host.addr = p->page};

		*w = (struct membox_window_args){.size = sizeof(*w), .handle = h, .prot = 3};
		pair_put(&p->admin, &d);
		d.opcode = MEMBOX_ADM_WINDOW_UNMAP;
		pair_put(&p->admin, &d);
		pair_publish(&p->admin);
		for (int spin = 0; spin < i % 4; spin++)
			nap();
		reset(p, (enum how)(i % 3));
		port_enable(p);
		port_queues(p);
	}
}

static void again_and_again(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	for (int i = 0; i < 60; i++) {
		reset(p, (enum how)(i % 3));
		port_enable(p);
		port_queues(p);
		EQUAL(pair_run(&p->io, &(struct membox_packet){.opcode = MEMBOX_OP_FENCE, .context = 1},
			       NULL),
		      0);
		if (i % 10 == 9)
			p->vm->next = VM_ALLOC_FIRST;
	}
}

/* Two resets at once; a reset of a device that is coming to rest. */
static void overlapping(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	set32(p, MEMBOX_REG_CTRL, 0);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_ENABLE);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	cfg_write(p->vm, p->devfn, 0x58, 2, 0x8000);
	port_map(p, 0);
	reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
	EQUAL(reg64(p, MEMBOX_REG_ASQ), 0);
	port_enable(p);
	port_queues(p);
}

/* QEMU leaves cleanly with commands in flight, and the box is whole. */
static void exit_in_flight(void)
{
	const char *box = box_make(BOX_MB);
	struct port *p = port_start(box, "port=3");
	uint32_t h = param(p, "big", MEMBOX_F32, BIG / 4, 0);
	uint64_t buffer = vm_alloc(p->vm, BIG, 4096);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_F32, 0, BIG / 4, buffer);
	struct membox_packet wait = packet_io(MEMBOX_OP_WAIT, h, 0, 0, 0, 0);
	struct mbe *e;

	wait.sub = MEMBOX_GT;
	wait.word.value = 1000;
	wait.timeout_us = 600000000;
	for (int i = 0; i < 10; i++) {
		pair_put(&p->io, &w);
		pair_put(&p->io, &wait);
	}
	pair_publish(&p->io);
	port_stop(p);
	e = box_attach(box);
	EQUAL(mbe_port_state(e, 3), MEMBOX_PORT_FREE);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
}

static void killed_in_flight(void)
{
	const char *box = box_make(BOX_MB);
	struct port *p = port_start(box, "");
	uint32_t h = param(p, "big", MEMBOX_F32, BIG / 4, 0);
	struct membox_packet w =
		packet_io(MEMBOX_OP_WRITE, h, MEMBOX_F32, 0, BIG / 4, vm_alloc(p->vm, BIG, 4096));
	struct mbe *e;

	for (int i = 0; i < 20; i++)
		pair_put(&p->io, &w);
	pair_publish(&p->io);
	vm_kill(p->vm);
	e = box_attach(box);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
	EQUAL(mbe_port_state(e, mbe_port(e)), MEMBOX_PORT_LIVE);
}

static const struct test_case cases[] = {
	{"CTRL.RESET in mid-flight: nothing moves after its end", by_register},
	{"CTRL.ENABLE 0 in mid-flight: nothing moves after its end", by_disable},
	{"function-level reset in mid-flight: nothing moves after its end", by_function},
	{"a reset ends commands that wait", waiting},
	{"after a reset each command has its completion or its outcome", told_afterwards},
	{"a reset ends administration commands under way", during_admin},
	{"sixty resets in a row", again_and_again},
	{"resets may overlap", overlapping},
	{"QEMU leaves cleanly with commands in flight", exit_in_flight},
	{"a QEMU that is killed in mid-flight leaves a box that opens", killed_in_flight},
};
CASE_MAIN(cases)
