// SPDX-License-Identifier: MIT
/*
 * userq.c - memory regions and user queues: host memory by key, on behalf of one
 * context, and what a process that writes such a queue can do wrong with it.
 */
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 64
#define KEY(generation, index) ((uint32_t)(generation) << 16 | (index))
#define PAGE 4096U

/* A device with context 2 too, and a user queue of context 1. */
struct scene {
	struct port *p;
	struct pair q; /* number 2, of context 1 */
	uint32_t h;    /* I32 words, of context 1 */
	uint64_t mem;  /* four pages of host memory, ... */
	uint8_t *at;   /* ... and where they are here */
};

static uint16_t queue_create(struct pair *q, uint16_t context, uint32_t flags)
{
	struct membox_queue_args a = {
		.size = sizeof(a), .queue = (uint16_t)q->id, .vector = 0xffff, .sq_addr = q->sq_addr,
		.cq_addr = q->cq_addr, .ctl_addr = q->ctl_addr, .sq_log2 = (uint8_t)q->log2,
		.cq_log2 = (uint8_t)q->cq_log2, .context = context, .flags = flags,
	};

	return admin(q->port, 0, MEMBOX_ADM_QUEUE_CREATE, &a, sizeof(a));
}

static struct membox_region_hw region(uint32_t key, uint64_t addr, uint64_t length)
{
	return (struct membox_region_hw){
		.size = sizeof(struct membox_region_hw), .key = key, .context = 1,
		.rights = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE, .addr = addr, .length = length,
	};
}

static uint16_t region_add(struct port *p, struct membox_region_hw r)
{
	return admin(p, 0, MEMBOX_ADM_REGION_ADD, &r, sizeof(r));
}

static uint16_t region_del(struct port *p, uint32_t key)
{
	struct membox_region_hw r = {.size = sizeof(r), .key = key};

	return admin(p, 0, MEMBOX_ADM_REGION_DEL, &r, sizeof(r));
}

static void context_create(struct port *p, uint32_t context)
{
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = context};

	EQUAL(admin(p, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
}

static uint16_t context_destroy(struct port *p, uint32_t context)
{
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = context};

	return admin(p, 0, MEMBOX_ADM_CTX_DESTROY, &ctx, sizeof(ctx));
}

static struct scene scene_of(const char *options)
{
	struct scene s = {.p = port_start(box_make(BOX_MB), options)};

	context_create(s.p, 2);
	s.mem = vm_alloc(s.p->vm, 4 * PAGE, PAGE);
	s.at = vm_at(s.p->vm, s.mem);
	s.h = param(s.p, "words", MEMBOX_I32, 1 << 20, 0);
	pair_init(s.p, &s.q, 2, 4, 4);
	EQUAL(queue_create(&s.q, 1, MEMBOX_QUEUE_USER), MEMBOX_ST_OK);
	return s;
}

/* As a process writes it: no context, host memory by key and offset. */
static struct membox_packet by_key(uint8_t opcode, uint32_t handle, uint64_t count, uint32_t key, uint64_t offset)
{
	struct membox_packet d = packet_io(opcode, handle, MEMBOX_I32, 0, count, offset);

	d.context = 0;
	d.flags = MEMBOX_F_REGION;
	d.host.key = key;
	return d;
}

static void refused(struct scene *s, struct membox_packet d, uint16_t status, uint32_t detail)
{
	struct membox_completion c;
	uint64_t before = counter(s->p, MEMBOX_CTR_TO_DEVICE) + counter(s->p, MEMBOX_CTR_FROM_DEVICE);

	EQUAL(pair_run(&s->q, &d, &c), status);
	EQUAL(c.detail, detail);
	EQUAL(c.bytes, 0);
	EQUAL(counter(s->p, MEMBOX_CTR_TO_DEVICE) + counter(s->p, MEMBOX_CTR_FROM_DEVICE), before);
	EQUAL(s->q.ctl->halted, 0);
}

/* Offsets across pieces that lie in any order in memory come to the right bytes. */
static void moves_by_key(void)
{
	struct scene s = scene_of("");
	uint64_t list = vm_alloc(s.p->vm, PAGE, PAGE);
	struct membox_sge *e = vm_at(s.p->vm, list);
	struct membox_region_hw r = region(KEY(7, 5), list, 2 * PAGE + 100);
	struct membox_packet d;
	struct membox_completion c;
	unsigned int i;

	e[0] = (struct membox_sge){.addr = s.mem + 2 * PAGE, .len = PAGE};
	e[1] = (struct membox_sge){.addr = s.mem, .len = PAGE};
	e[2] = (struct membox_sge){.addr = s.mem + PAGE + 4, .len = 100};
	r.nseg = 3;
	EQUAL(region_add(s.p, r), MEMBOX_ST_OK);
	memset(e, 0xff, 3 * sizeof(*e)); /* it is read once */
	for (i = 0; i < 4 * PAGE; i++)
		s.at[i] = (uint8_t)(i * 7 + i / PAGE);
	d = by_key(MEMBOX_OP_WRITE, s.h, (PAGE + 60) / 4, KEY(7, 5), PAGE - 40);
	EQUAL(pair_run(&s.q, &d, &c), MEMBOX_ST_OK);
	EQUAL(c.bytes, PAGE + 60);
	d = by_key(MEMBOX_OP_READ, s.h, (PAGE + 60) / 4, KEY(7, 5), 0);
	EQUAL(pair_run(&s.q, &d, &c), MEMBOX_ST_OK);
	/* region offset 0 is page 2: 40 bytes of the end of page 2, then page 0, then page 1 + 4 */
	for (i = 0; i < 40; i++) {
		unsigned int from = 3 * PAGE - 40 + i;

		EQUAL(s.at[2 * PAGE + i], (uint8_t)(from * 7 + from / PAGE));
	}
	for (i = 40; i < PAGE; i++)
		EQUAL(s.at[2 * PAGE + i], (uint8_t)((i - 40) * 7));
	for (i = 0; i < 40; i++) {
		unsigned int from = PAGE - 40 + i;

		EQUAL(s.at[i], (uint8_t)(from * 7 + from / PAGE));
	}
	for (i = 40; i < 60; i++) {
		unsigned int from = PAGE + 4 + i - 40;

		EQUAL(s.at[i], (uint8_t)(from * 7 + from / PAGE));
	}
	EQUAL(counter(s.p, MEMBOX_CTR_TO_DEVICE), PAGE + 60);
	EQUAL(counter(s.p, MEMBOX_CTR_FROM_DEVICE), PAGE + 60);
}

static void refuses_what_is_not_its_own(void)
{
	struct scene s = scene_of("");
	struct membox_region_hw other = region(KEY(1, 2), s.mem + PAGE, PAGE);
	struct membox_region_hw readable = region(KEY(1, 3), s.mem + 2 * PAGE, PAGE);
	struct membox_packet good = by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), 0), d;
	const uint32_t key = MEMBOX_AT(host.key), addr = MEMBOX_AT(host.addr);

	other.context = 2;
	readable.rights = MEMBOX_WIN_READ;
	EQUAL(region_add(s.p, region(KEY(1, 1), s.mem, PAGE)), MEMBOX_ST_OK);
	EQUAL(region_add(s.p, other), MEMBOX_ST_OK);
	EQUAL(region_add(s.p, readable), MEMBOX_ST_OK);
	EQUAL(pair_run(&s.q, &good, NULL), MEMBOX_ST_OK);

	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(2, 1), 0), MEMBOX_ST_BAD_REGION, key); /* generation */
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 2), 0), MEMBOX_ST_BAD_REGION, key); /* of context 2 */
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 9), 0), MEMBOX_ST_BAD_REGION, key);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 0xffff), 0), MEMBOX_ST_BAD_REGION, key);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, 0, 0), MEMBOX_ST_BAD_REGION, key);
	refused(&s, by_key(MEMBOX_OP_READ, s.h, 16, KEY(1, 3), 0), MEMBOX_ST_BAD_REGION, key); /* rights */
	EQUAL(pair_run(&s.q, &(struct membox_packet){0}, NULL), MEMBOX_ST_BAD_OPCODE);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), PAGE - 60), MEMBOX_ST_REGION_RANGE, addr);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), PAGE), MEMBOX_ST_REGION_RANGE, addr);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), 1ULL << 40), MEMBOX_ST_REGION_RANGE, addr);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), 2), MEMBOX_ST_MISALIGNED, addr);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), -32ULL), MEMBOX_ST_OFFSET_OVERFLOW, addr);
	d = good;
	d.flags = 0; /* a DMA address of its own choice */
	d.host = (struct membox_hostref){.addr = s.mem};
	refused(&s, d, MEMBOX_ST_BAD_REGION, key);
	d = good;
	d.context = 1;
	refused(&s, d, MEMBOX_ST_RESERVED, MEMBOX_AT(context));
	d = good;
	d.host.nseg = 1;
	refused(&s, d, MEMBOX_ST_RESERVED, MEMBOX_AT(host.nseg));
	d = good;
	d.opcode = MEMBOX_ADM_INFO;
	refused(&s, d, MEMBOX_ST_BAD_OPCODE, 0);
	EQUAL(pair_run(&s.q, &good, NULL), MEMBOX_ST_OK);
	/* and a kernel queue names no regions */
	good.context = 1;
	EQUAL(pair_run(&s.p->io, &good, NULL), MEMBOX_ST_BAD_REGION);
}

/* Handles are those of the queue's context, whoever's a process names. */
static void acts_for_its_context(void)
{
	struct scene s = scene_of("");
	struct membox_param_args a = param_args("secret", MEMBOX_I32, 64, 0);
	struct membox_completion c;
	struct membox_packet d;
	struct pair q;

	EQUAL(admin(s.p, 2, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	EQUAL(region_add(s.p, region(KEY(1, 0), s.mem, PAGE)), MEMBOX_ST_OK);
	d = by_key(MEMBOX_OP_READ, a.handle, 16, KEY(1, 0), 0);
	refused(&s, d, MEMBOX_ST_BAD_HANDLE, MEMBOX_AT(handle));
	pair_init(s.p, &q, 3, 4, 4);
	EQUAL(queue_create(&q, 2, MEMBOX_QUEUE_USER), MEMBOX_ST_OK);
	EQUAL(pair_run(&q, &d, &c), MEMBOX_ST_BAD_REGION); /* that is context 1's */
}

static void cancels_its_own(void)
{
	struct scene s = scene_of("");
	struct membox_packet wait = {
		.opcode = MEMBOX_OP_WAIT, .sub = MEMBOX_GT, .handle = {s.h}, .word.value = 1000,
		.timeout_us = 60000000, .user_data = 77,
	};
	struct membox_packet cancel = {.opcode = MEMBOX_OP_CANCEL, .word.value = 77, .user_data = 1};
	struct membox_completion c[2];

	pair_put(&s.q, &wait);
	pair_put(&s.q, &cancel);
	pair_publish(&s.q);
	pair_take(&s.q, &c[0]);
	pair_take(&s.q, &c[1]);
	if (c[0].user_data == 1) { /* it ran before the WAIT began */
		EQUAL(c[0].result + (c[1].status == MEMBOX_ST_ABORTED), 2);
	} else {
		EQUAL(c[0].user_data, 77);
		EQUAL(c[0].status, MEMBOX_ST_ABORTED);
		EQUAL(c[1].result, 1);
	}
}

static void add_checks(void)
{
	struct scene s = scene_of("");
	struct membox_region_hw good = region(KEY(1, 1), s.mem, PAGE), r;
	static const struct {
		const char *what;
		uint32_t key;
		uint16_t context, rights;
		uint64_t length;
		uint16_t status;
	} bad[] = {
		{"no key", 0, 1, 3, PAGE, MEMBOX_ST_BAD_ARGUMENT},
		{"index", KEY(1, 1024), 1, 3, PAGE, MEMBOX_ST_BAD_ARGUMENT},
		{"taken", KEY(9, 1), 1, 3, PAGE, MEMBOX_ST_EXISTS},
		{"context 0", KEY(1, 2), 0, 3, PAGE, MEMBOX_ST_BAD_CONTEXT},
		{"no context", KEY(1, 2), 9, 3, PAGE, MEMBOX_ST_BAD_CONTEXT},
		{"no rights", KEY(1, 2), 1, 0, PAGE, MEMBOX_ST_BAD_ARGUMENT},
		{"rights", KEY(1, 2), 1, 4, PAGE, MEMBOX_ST_BAD_ARGUMENT},
		{"empty", KEY(1, 2), 1, 3, 0, MEMBOX_ST_ZERO_LENGTH},
		{"huge", KEY(1, 2), 1, 3, MEMBOX_MAX_REGION + 1, MEMBOX_ST_TOO_LONG},
		{"beyond memory", KEY(1, 2), 1, 3, MEMBOX_MAX_REGION, MEMBOX_ST_DMA_FAULT},
	};

	EQUAL(region_add(s.p, good), MEMBOX_ST_OK);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint16_t status;

		r = good;
		r.key = bad[i].key;
		r.context = bad[i].context;
		r.rights = bad[i].rights;
		r.length = bad[i].length;
		status = region_add(s.p, r);
		if (status != bad[i].status)
			case_fail("%s: %u, not %u", bad[i].what, status, bad[i].status);
	}
	r = good;
	r.key = KEY(1, 2);
	r.addr = s.p->bar2;
	EQUAL(region_add(s.p, r), MEMBOX_ST_DMA_FAULT);
	r.addr = s.mem + 1;
	r.nseg = 1;
	EQUAL(region_add(s.p, r), MEMBOX_ST_BAD_SGL);
	EQUAL(region_del(s.p, KEY(2, 1)), MEMBOX_ST_BAD_REGION);
	EQUAL(region_del(s.p, 0), MEMBOX_ST_BAD_REGION);
	EQUAL(region_del(s.p, KEY(1, 1)), MEMBOX_ST_OK);
	EQUAL(region_del(s.p, KEY(1, 1)), MEMBOX_ST_BAD_REGION);
	EQUAL(reg32(s.p, MEMBOX_REG_MAX_REGIONS), 1024);
}

/* A region that goes takes its commands along, and no byte moves after it. */
static void delete_in_flight(void)
{
	struct scene s = scene_of("delay=300000000");
	struct membox_packet d = by_key(MEMBOX_OP_READ, s.h, 1024, KEY(1, 1), 0);
	struct membox_completion c;

	EQUAL(region_add(s.p, region(KEY(1, 1), s.mem, PAGE)), MEMBOX_ST_OK);
	for (unsigned int i = 0; i < 8; i++)
		pair_put(&s.q, &d);
	pair_publish(&s.q);
	EQUAL(region_del(s.p, KEY(1, 1)), MEMBOX_ST_OK);
	memset(s.at, 0x5a, PAGE);
	for (unsigned int i = 0; i < 8; i++) {
		pair_take(&s.q, &c);
		CHECK(c.status == MEMBOX_ST_OK || c.status == MEMBOX_ST_ABORTED ||
		      c.status == MEMBOX_ST_BAD_REGION);
	}
	for (unsigned int i = 0; i < PAGE; i++)
		EQUAL(s.at[i], 0x5a);
	refused(&s, d, MEMBOX_ST_BAD_REGION, MEMBOX_AT(host.key));
	/* its index may be used again, the old key stays dead */
	EQUAL(region_add(s.p, region(KEY(2, 1), s.mem, PAGE)), MEMBOX_ST_OK);
	refused(&s, d, MEMBOX_ST_BAD_REGION, MEMBOX_AT(host.key));
}

static void goes_with_its_context(void)
{
	struct scene s = scene_of("");
	struct membox_packet wait = {
		.opcode = MEMBOX_OP_WAIT, .sub = MEMBOX_GT, .handle = {s.h}, .word.value = 1000,
		.timeout_us = 60000000,
	};
	struct membox_completion c;

	EQUAL(region_add(s.p, region(KEY(1, 1), s.mem, PAGE)), MEMBOX_ST_OK);
	pair_put(&s.q, &wait);
	pair_publish(&s.q);
	EQUAL(context_destroy(s.p, 1), MEMBOX_ST_OK);
	CHECK(pair_poll(&s.q, &c, 1000));
	EQUAL(c.status, MEMBOX_ST_ABORTED);
	EQUAL(pair_delete(&s.q), MEMBOX_ST_BAD_QUEUE);
	EQUAL(region_del(s.p, KEY(1, 1)), MEMBOX_ST_BAD_REGION);
	context_create(s.p, 1); /* the next with that number inherits nothing */
	pair_init(s.p, &s.q, 2, 4, 4);
	EQUAL(queue_create(&s.q, 1, MEMBOX_QUEUE_USER), MEMBOX_ST_OK);
	refused(&s, by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), 0), MEMBOX_ST_BAD_REGION, MEMBOX_AT(host.key));
}

/* What a process can write into its rings stops its own queue and no other. */
static void harms_itself_only(void)
{
	struct scene s = scene_of("");
	struct membox_packet good = by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), 0);
	struct membox_packet fence = {.opcode = MEMBOX_OP_FENCE, .context = 1};
	static const uint16_t halts[] = {MEMBOX_ST_OUT_OF_RANGE, MEMBOX_ST_OUT_OF_RANGE, MEMBOX_ST_TORN};

	EQUAL(region_add(s.p, region(KEY(1, 1), s.mem, PAGE)), MEMBOX_ST_OK);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t end = now_ms() + 10000;

		EQUAL(pair_run(&s.q, &good, NULL), MEMBOX_ST_OK);
		if (i == 0)
			s.q.ctl->sq_tail += 17;
		else if (i == 1)
			s.q.ctl->cq_head += 5;
		else
			s.q.ctl->sq_tail++; /* with what is left in the slot */
		ring_sq(&s.q);
		while (!__atomic_load_n(&s.q.ctl->halted, __ATOMIC_ACQUIRE) && now_ms() < end)
			nap();
		EQUAL(s.q.ctl->halted, halts[i]);
		EQUAL(reg32(s.p, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
		EQUAL(reg32(s.p, MEMBOX_REG_ERR_LOG + 32 * i + 12), 2); /* queue 2 */
		EQUAL(reg32(s.p, MEMBOX_REG_ERR_LOG + 32 * i + 16), halts[i] | 1U << 16); /* context 1 */
		EQUAL(pair_run(&s.p->io, &fence, NULL), MEMBOX_ST_OK);
		EQUAL(pair_delete(&s.q), MEMBOX_ST_OK);
		pair_init(s.p, &s.q, 2, 4, 4);
		EQUAL(queue_create(&s.q, 1, MEMBOX_QUEUE_USER), MEMBOX_ST_OK);
	}
}

static void create_checks(void)
{
	struct scene s = scene_of("");
	struct pair q;

	pair_init(s.p, &q, 4, 4, 4);
	EQUAL(queue_create(&q, 0, MEMBOX_QUEUE_USER), MEMBOX_ST_BAD_CONTEXT);
	EQUAL(queue_create(&q, 3, MEMBOX_QUEUE_USER), MEMBOX_ST_BAD_CONTEXT);
	EQUAL(queue_create(&q, 0xffff, MEMBOX_QUEUE_USER), MEMBOX_ST_BAD_CONTEXT);
	EQUAL(queue_create(&q, 1, 0), MEMBOX_ST_BAD_ARGUMENT);
	EQUAL(queue_create(&q, 1, MEMBOX_QUEUE_USER | 2), MEMBOX_ST_BAD_FLAG);
	EQUAL(queue_create(&q, 2, MEMBOX_QUEUE_USER), MEMBOX_ST_OK);
	EQUAL(pair_delete(&q), MEMBOX_ST_OK);
}

static void switched_off(void)
{
	struct port *p = port_start(box_make(BOX_MB), "user-queues=off");
	uint64_t mem = vm_alloc(p->vm, PAGE, PAGE);
	struct pair q;

	EQUAL(reg64(p, MEMBOX_REG_CAPS) & (MEMBOX_CAP_USER_QUEUES | MEMBOX_CAP_REGIONS), 0);
	EQUAL(reg32(p, MEMBOX_REG_MAX_REGIONS), 0);
	EQUAL(region_add(p, region(KEY(1, 1), mem, PAGE)), MEMBOX_ST_UNSUPPORTED);
	EQUAL(region_del(p, KEY(1, 1)), MEMBOX_ST_UNSUPPORTED);
	pair_init(p, &q, 2, 4, 4);
	EQUAL(queue_create(&q, 1, MEMBOX_QUEUE_USER), MEMBOX_ST_UNSUPPORTED);
}

/* A change of the memory map between two commands: the next one looks again. */
static void follows_the_memory_map(void)
{
	struct scene s = scene_of("");
	struct membox_param_args a = param_args("page", MEMBOX_I32, 1024, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args w = {.size = sizeof(w), .prot = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE};
	struct membox_packet d = by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), 0);

	EQUAL(region_add(s.p, region(KEY(1, 1), s.mem, PAGE)), MEMBOX_ST_OK);
	EQUAL(pair_run(&s.q, &d, NULL), MEMBOX_ST_OK);
	EQUAL(admin(s.p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	w.handle = a.handle;
	EQUAL(admin(s.p, 1, MEMBOX_ADM_WINDOW_MAP, &w, sizeof(w)), MEMBOX_ST_OK);
	EQUAL(pair_run(&s.q, &d, NULL), MEMBOX_ST_OK);
	/* no bus mastering: its memory is out of reach, and so are its rings */
	cfg_write(s.p->vm, s.p->devfn, 4, 2, 2);
	pair_put(&s.q, &d);
	pair_publish(&s.q);
	ring_sq(&s.q);
	CHECK(!pair_poll(&s.q, &(struct membox_completion){0}, 50));
}

/*
 * Where a region lies is found out when it is added and after a change of the
 * memory map, and then by a worker: the vCPU that rings never waits for that.
 */
static void located_by_workers(void)
{
	struct scene s = scene_of("max-windows=8 -trace membox_region_locate");
	struct membox_param_args a = param_args("page", MEMBOX_I32, 1024, MEMBOX_PARAM_MAPPABLE);
	struct membox_packet d = by_key(MEMBOX_OP_WRITE, s.h, 16, KEY(1, 1), 0);
	unsigned int rounds = 10;

	EQUAL(region_add(s.p, region(KEY(1, 1), s.mem, PAGE)), MEMBOX_ST_OK);
	EQUAL(said(s.p, "membox_region_locate"), 1);
	EQUAL(admin(s.p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	for (unsigned int i = 0; i < rounds; i++) {
		struct membox_window_args w = {.size = sizeof(w), .handle = a.handle, .prot = MEMBOX_WIN_READ};

		EQUAL(admin(s.p, 1, MEMBOX_ADM_WINDOW_MAP, &w, sizeof(w)), MEMBOX_ST_OK);
		EQUAL(pair_run(&s.q, &d, NULL), MEMBOX_ST_OK);
		EQUAL(pair_run(&s.q, &d, NULL), MEMBOX_ST_OK);
		EQUAL(admin(s.p, 1, MEMBOX_ADM_WINDOW_UNMAP, &w, sizeof(w)), MEMBOX_ST_OK);
		EQUAL(pair_run(&s.q, &d, NULL), MEMBOX_ST_OK);
	}
	EQUAL(said(s.p, "bql 1"), 0);
	CHECK(said(s.p, "bql 0") <= 1 + 2 * rounds);
	CHECK(said(s.p, "bql 0") > rounds);
}

static const struct test_case cases[] = {
	{"a region's bytes are those of its list, at any offset", moves_by_key},
	{"a user queue reaches its context's regions and nothing else", refuses_what_is_not_its_own},
	{"a user queue acts for its context", acts_for_its_context},
	{"CANCEL in a user queue ends commands of its context", cancels_its_own},
	{"REGION_ADD and REGION_DEL check what they are given", add_checks},
	{"REGION_DEL ends the commands that name the region", delete_in_flight},
	{"CTX_DESTROY ends the context's queues and regions", goes_with_its_context},
	{"impossible indices and phases halt that queue only", harms_itself_only},
	{"QUEUE_CREATE of a user queue wants an open context", create_checks},
	{"a device without user queues says so", switched_off},
	{"a change of the memory map is followed", follows_the_memory_map},
	{"where a region lies is found out by workers, once a memory map", located_by_workers},
};

CASE_MAIN(cases)
