// SPDX-License-Identifier: MIT
/*
 * admin.c - the administration queue: shapes of its commands, queues made and
 * deleted, ABORT, contexts, and the events of contexts.
 */
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 64

static void shapes(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct membox_packet good = {
		.opcode = MEMBOX_ADM_INFO, .count = sizeof(struct membox_info), .host.addr = p->page};
	static const struct {
		const char *what;
		unsigned int at, bytes;
		uint64_t value;
		uint16_t status;
	} bad[] = {
		{"opcode of a packet", 0, 1, MEMBOX_OP_READ, MEMBOX_ST_BAD_OPCODE},
		{"opcode in a gap", 0, 1, 0x83, MEMBOX_ST_BAD_OPCODE},
		{"opcode past the end", 0, 1, 0xff, MEMBOX_ST_BAD_OPCODE},
		{"flag", 4, 2, MEMBOX_F_FENCE, MEMBOX_ST_BAD_FLAG},
		{"src_type", 16, 1, 1, MEMBOX_ST_RESERVED},
		{"timeout", 20, 4, 1, MEMBOX_ST_RESERVED},
		{"handle", 36, 4, 1, MEMBOX_ST_RESERVED},
		{"offset", 72, 8, 1, MEMBOX_ST_RESERVED},
		{"key", 88, 4, 1, MEMBOX_ST_RESERVED},
		{"nseg", 92, 4, 1, MEMBOX_ST_RESERVED},
		{"tail", 120, 8, 1, MEMBOX_ST_RESERVED},
		{"no bytes", 24, 8, 0, MEMBOX_ST_ZERO_LENGTH},
		{"too many bytes", 24, 8, 4097, MEMBOX_ST_TOO_LONG},
		{"far too many", 24, 8, ~0ULL, MEMBOX_ST_TOO_LONG},
		{"wraps", 80, 8, ~7ULL, MEMBOX_ST_OFFSET_OVERFLOW},
		{"misaligned", 80, 8, (1 << 24) + 4, MEMBOX_ST_MISALIGNED},
		{"nowhere", 80, 8, 1ULL << 40, MEMBOX_ST_DMA_FAULT},
		{"registers", 80, 8, BAR0, MEMBOX_ST_DMA_FAULT},
	};
	struct membox_completion c;
	struct membox_info *info = vm_at(p->vm, p->page);

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct membox_packet d = good;
		uint32_t detail = bad[i].at;

		memcpy((uint8_t *)&d + bad[i].at, &bad[i].value, bad[i].bytes);
		d.user_data = i;
		if (admin_full(p, &d, &c) != bad[i].status || c.detail != detail || c.user_data != i ||
		    c.bytes)
			case_fail("%s: status %u, detail %u", bad[i].what, c.status, c.detail);
	}
	EQUAL(info->abi, 0); /* none of them wrote */
	EQUAL(admin_full(p, &good, &c), MEMBOX_ST_OK);
	EQUAL(c.bytes, sizeof(*info));
	EQUAL(info->abi, MEMBOX_ABI);
	EQUAL(info->queues, 16);
	EQUAL(info->max_windows, 256);
	EQUAL(info->aperture, p->aperture);
	EQUAL(info->caps, reg64(p, MEMBOX_REG_CAPS));
	good.count = sizeof(*info) - 1;
	EQUAL(admin_full(p, &good, &c), MEMBOX_ST_BAD_ARGUMENT);
	info->size = 4;
	good.count = sizeof(*info);
	EQUAL(admin_full(p, &good, &c), MEMBOX_ST_BAD_ARGUMENT);
	good.context = 77;
	info->size = sizeof(*info);
	EQUAL(admin_full(p, &good, &c), MEMBOX_ST_BAD_CONTEXT);
	/* a buffer that crosses pages of memory is one piece all the same */
	good.context = 0;
	good.host.addr = vm_alloc(p->vm, 8192, 4096) + 4096 - 64;
	info = vm_at(p->vm, good.host.addr);
	info->size = sizeof(*info);
	EQUAL(admin_full(p, &good, &c), MEMBOX_ST_OK);
	EQUAL(info->queues, 16);
}

static void bad_queues(void)
{
	struct port *p = port_start(box_make(BOX_MB), "queues=3");
	struct pair q;
	struct membox_queue_args good = {
		.size = sizeof(good), .queue = 2, .vector = 1, .sq_log2 = 3, .cq_log2 = 4};
#define AT(field) offsetof(struct membox_queue_args, field), sizeof(good.field)
	const struct {
		const char *what;
		size_t at, bytes;
		uint64_t value;
		uint16_t status;
	} bad[] = {
		{"size", AT(size), 39, MEMBOX_ST_BAD_ARGUMENT},
		{"size over count", AT(size), 41, MEMBOX_ST_BAD_ARGUMENT},
		{"flag", AT(flags), 2, MEMBOX_ST_BAD_FLAG},
		{"user queue", AT(flags), MEMBOX_QUEUE_USER, MEMBOX_ST_BAD_CONTEXT},
		{"context", AT(context), 1, MEMBOX_ST_BAD_ARGUMENT},
		{"queue 0", AT(queue), 0, MEMBOX_ST_BAD_QUEUE},
		{"queue 4", AT(queue), 4, MEMBOX_ST_BAD_QUEUE},
		{"queue 65535", AT(queue), 0xffff, MEMBOX_ST_BAD_QUEUE},
		{"there already", AT(queue), 1, MEMBOX_ST_QUEUE_EXISTS},
		{"vector", AT(vector), 4, MEMBOX_ST_BAD_ARGUMENT},
		{"sq_log2 0", AT(sq_log2), 0, MEMBOX_ST_BAD_ARGUMENT},
		{"sq_log2 13", AT(sq_log2), 13, MEMBOX_ST_BAD_ARGUMENT},
		{"cq_log2 less", AT(cq_log2), 2, MEMBOX_ST_BAD_ARGUMENT},
		{"cq_log2 13", AT(cq_log2), 13, MEMBOX_ST_BAD_ARGUMENT},
		{"sq_addr", AT(sq_addr), 0x1000800, MEMBOX_ST_MISALIGNED},
		{"cq_addr", AT(cq_addr), 0x1000800, MEMBOX_ST_MISALIGNED},
		{"ctl_addr", AT(ctl_addr), 0x1000840, MEMBOX_ST_MISALIGNED},
		{"sq nowhere", AT(sq_addr), 1ULL << 40, MEMBOX_ST_DMA_FAULT},
		{"cq nowhere", AT(cq_addr), 1ULL << 40, MEMBOX_ST_DMA_FAULT},
		{"ctl nowhere", AT(ctl_addr), 1ULL << 40, MEMBOX_ST_DMA_FAULT},
		{"sq reaches out of memory", AT(sq_addr), 0, MEMBOX_ST_DMA_FAULT},
	};
#undef AT
	struct membox_queue_args a;

	pair_init(p, &q, 2, 3, 4);
	good.sq_addr = q.sq_addr;
	good.cq_addr = q.cq_addr;
	good.ctl_addr = q.ctl_addr;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint64_t value = bad[i].value;
		uint16_t status;

		a = good;
		if (!strcmp(bad[i].what, "sq reaches out of memory")) {
			a.sq_log2 = a.cq_log2 = 12;
			value = VM_RAM_BYTES - 4096;
		}
		memcpy((uint8_t *)&a + bad[i].at, &value, bad[i].bytes);
		status = admin(p, 0, MEMBOX_ADM_QUEUE_CREATE, &a, sizeof(a));
		if (status != bad[i].status)
			case_fail("%s: status %u, not %u", bad[i].what, status, bad[i].status);
	}
	a = good;
	EQUAL(admin(p, 1, MEMBOX_ADM_QUEUE_CREATE, &a, sizeof(a)), MEMBOX_ST_DENIED);
	EQUAL(admin(p, 5, MEMBOX_ADM_QUEUE_CREATE, &a, sizeof(a)), MEMBOX_ST_BAD_CONTEXT);
	EQUAL(pair_delete(&q), MEMBOX_ST_BAD_QUEUE);
	memset(q.ctl, 0xff, 128); /* the device's half is its own to set */
	memset(q.ctl, 0, 64);
	EQUAL(admin(p, 0, MEMBOX_ADM_QUEUE_CREATE, &a, sizeof(a)), MEMBOX_ST_OK);
	EQUAL(q.ctl->sq_head, 0);
	EQUAL(q.ctl->halted, 0);
	EQUAL(pair_run(&q, &(struct membox_packet){.opcode = MEMBOX_OP_FENCE, .context = 1}, NULL),
	      MEMBOX_ST_OK);
	EQUAL(pair_delete(&q), MEMBOX_ST_OK);
	EQUAL(pair_delete(&q), MEMBOX_ST_BAD_QUEUE);
}

/* What was published before the queue was created is found without a doorbell. */
static void published_before(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct membox_completion c;
	struct pair q;

	pair_init(p, &q, 2, 3, 3);
	pair_put(&q, &(struct membox_packet){.opcode = MEMBOX_OP_FENCE, .context = 1});
	q.ctl->sq_tail = 1;
	EQUAL(pair_create(&q, 2), MEMBOX_ST_OK);
	pair_take(&q, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
}

/* ---- commands that wait ---- */

static struct membox_packet wait_for(uint32_t handle, uint64_t value, uint32_t timeout_us)
{
	struct membox_packet d = packet_io(MEMBOX_OP_WAIT, handle, MEMBOX_I64, 0, 0, 0);

	d.sub = MEMBOX_GE;
	d.word.value = value;
	d.timeout_us = timeout_us;
	return d;
}

static void waits(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_start(box, "");
	uint32_t h = param(p, "flag", MEMBOX_I64, 1, 0), peer = box_param(e, "flag", MEMBOX_I64, 1, 0);
	struct membox_packet w = wait_for(h, 5, 60000000), store;
	struct membox_completion c;
	uint64_t word = 5;

	pair_put(&p->io, &w);
	pair_publish(&p->io);
	CHECK(!pair_poll(&p->io, &c, 50));
	store = packet_io(MEMBOX_OP_WRITE, peer, MEMBOX_I64, 0, 1, 0);
	EQUAL(box_run(e, &store, &word, NULL), MEMBOX_ST_OK);
	pair_take(&p->io, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	EQUAL(c.result, 5);
	w = wait_for(h, 6, 1000);
	EQUAL(pair_run(&p->io, &w, &c), MEMBOX_ST_TIMED_OUT);
}

static uint16_t abort_commands(struct port *p, unsigned int queue, uint16_t cid, uint16_t context,
			       uint32_t *found)
{
	struct membox_abort_args a = {
		.size = sizeof(a), .queue = (uint16_t)queue, .cid = cid, .context = context};
	uint16_t status = admin(p, 0, MEMBOX_ADM_ABORT, &a, sizeof(a));

	*found = a.found;
	return status;
}

static void aborts(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "flag", MEMBOX_I64, 1, 0), found;
	struct membox_packet w = wait_for(h, 5, 600000000);
	struct membox_outcomes outcomes = {.size = sizeof(outcomes)};
	struct membox_completion c;
	uint16_t cid[3];

	for (int i = 0; i < 3; i++)
		cid[i] = pair_put(&p->io, &w);
	/* published without a doorbell: ABORT fetches it */
	__atomic_store_n(&p->io.ctl->sq_tail, p->io.tail, __ATOMIC_RELEASE);
	EQUAL(abort_commands(p, 1, cid[1], 0, &found), MEMBOX_ST_OK);
	EQUAL(found, 1);
	/* it has completed by now */
	CHECK(pair_poll(&p->io, &c, 0));
	EQUAL(c.cid, cid[1]);
	EQUAL(c.status, MEMBOX_ST_ABORTED);
	CHECK(!pair_poll(&p->io, &c, 50));
	EQUAL(abort_commands(p, 1, cid[1], 0, &found), MEMBOX_ST_OK);
	EQUAL(found, 0);
	EQUAL(abort_commands(p, 1, 0xffff, 2, &found), MEMBOX_ST_OK);
	EQUAL(found, 0);
	EQUAL(abort_commands(p, 1, 0xffff, 1, &found), MEMBOX_ST_OK);
	EQUAL(found, 2);
	CHECK(pair_poll(&p->io, &c, 0) && c.status == MEMBOX_ST_ABORTED);
	CHECK(pair_poll(&p->io, &c, 0) && c.status == MEMBOX_ST_ABORTED);
	EQUAL(admin(p, 1, MEMBOX_ADM_GET_OUTCOMES, &outcomes, sizeof(outcomes)), MEMBOX_ST_OK);
	EQUAL(outcomes.count, 3);
	for (int i = 0; i < 3; i++)
		EQUAL(outcomes.entry[i].outcome, MEMBOX_OUTCOME_NOT_BEGUN);
	EQUAL(abort_commands(p, 2, 1, 0, &found), MEMBOX_ST_BAD_QUEUE);
	EQUAL(abort_commands(p, 0, 1, 0, &found), MEMBOX_ST_BAD_QUEUE);
}

static void ends_commands(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 1};
	uint32_t h = param(p, "flag", MEMBOX_I64, 1, 0);
	struct membox_packet w = wait_for(h, 5, 600000000);
	struct membox_completion c;

	/* a queue that is deleted ends its commands with their completions */
	pair_put(&p->io, &w);
	pair_put(&p->io, &w);
	pair_publish(&p->io);
	CHECK(!pair_poll(&p->io, &c, 50));
	EQUAL(pair_delete(&p->io), MEMBOX_ST_OK);
	CHECK(pair_poll(&p->io, &c, 0) && c.status == MEMBOX_ST_ABORTED);
	CHECK(pair_poll(&p->io, &c, 0) && c.status == MEMBOX_ST_ABORTED);
	/* so does a context that is destroyed */
	pair_init(p, &p->io, 1, 3, 3);
	EQUAL(pair_create(&p->io, 1), MEMBOX_ST_OK);
	pair_put(&p->io, &w);
	pair_publish(&p->io);
	CHECK(!pair_poll(&p->io, &c, 50));
	ctx.size = 4; /* refused: nothing is ended */
	EQUAL(admin(p, 0, MEMBOX_ADM_CTX_DESTROY, &ctx, sizeof(ctx)), MEMBOX_ST_BAD_ARGUMENT);
	CHECK(!pair_poll(&p->io, &c, 20));
	ctx.size = sizeof(ctx);
	EQUAL(admin(p, 0, MEMBOX_ADM_CTX_DESTROY, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
	CHECK(pair_poll(&p->io, &c, 0) && c.status == MEMBOX_ST_ABORTED);
	EQUAL(pair_run(&p->io, &w, &c), MEMBOX_ST_BAD_CONTEXT);
}

/* A subscriber's context has its bit, the vector comes once, the event is exact. */
static void events(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_start(box, "");
	uint32_t h = param(p, "watched", MEMBOX_I64, 1, 0), peer = box_param(e, "watched", MEMBOX_I64, 1, 0);
	struct membox_handle_args sub = {.size = sizeof(sub), .handle = h, .value = 1};
	struct membox_event ev = {.size = sizeof(ev)};
	struct membox_packet n = {.opcode = MEMBOX_OP_NOTIFY, .handle = {peer}};
	uint64_t end = now_ms() + PATIENCE_MS;

	msix_setup(p);
	EQUAL(admin(p, 1, MEMBOX_ADM_SUBSCRIBE, &sub, sizeof(sub)), MEMBOX_ST_OK);
	EQUAL(admin(p, 1, MEMBOX_ADM_EVENT_READ, &ev, sizeof(ev)), MEMBOX_ST_AGAIN);
	EQUAL(reg64(p, MEMBOX_REG_EVENTS) & 2, 0);
	msix_wait(p, 0, 0);
	EQUAL(box_run(e, &n, NULL, NULL), MEMBOX_ST_OK);
	CHECK(msix_wait(p, 0, PATIENCE_MS));
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE) & MEMBOX_INT_EVENT, MEMBOX_INT_EVENT);
	EQUAL(reg64(p, MEMBOX_REG_EVENTS) & 2, 2);
	set32(p, MEMBOX_REG_INT_CAUSE, MEMBOX_INT_EVENT);
	set64(p, MEMBOX_REG_EVENTS, 2);
	EQUAL(reg64(p, MEMBOX_REG_EVENTS) & 2, 0);
	ev.size = sizeof(ev);
	EQUAL(admin(p, 1, MEMBOX_ADM_EVENT_READ, &ev, sizeof(ev)), MEMBOX_ST_OK);
	EQUAL(ev.handle, h);
	EQUAL(ev.version, 1);
	EQUAL(ev.missed, 0);
	EQUAL(admin(p, 1, MEMBOX_ADM_EVENT_READ, &ev, sizeof(ev)), MEMBOX_ST_AGAIN);
	for (int i = 0; i < 10; i++)
		EQUAL(box_run(e, &n, NULL, NULL), MEMBOX_ST_OK);
	while (!(reg64(p, MEMBOX_REG_EVENTS) & 2) && now_ms() < end)
		nap();
	EQUAL(admin(p, 1, MEMBOX_ADM_EVENT_READ, &ev, sizeof(ev)), MEMBOX_ST_OK);
	EQUAL(ev.version, 11);
	EQUAL(ev.missed, 9);
}

/* Who made a parameter for itself alone is told by the principal. */
static void principals(void)
{
	const char *box = box_make(BOX_MB);
	static const struct {
		const char *principal;
		uint16_t status;
	} other[] = {
		{",principal=00112233-4455-6677-8899-aabbccddeeff", MEMBOX_ST_OK},
		{",principal=00112233445566778899aabbccddeeff", MEMBOX_ST_OK},
		{",principal=00112233445566778899aabbccddee00", MEMBOX_ST_DENIED},
		{"", MEMBOX_ST_DENIED},
	};
	struct membox_param_args a = param_args("private", MEMBOX_F32, 16, 0);
	struct port *p = port_start(box, "principal=00112233-4455-6677-8899-aabbccddeeff");

	a.mode = 0600;
	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	port_stop(p);
	for (unsigned int i = 0; i < sizeof(other) / sizeof(*other); i++) {
		char options[64];

		snprintf(options, sizeof(options), "port=%u%s", i + 1, other[i].principal);
		p = port_start(box, options);
		a = param_args("private", MEMBOX_F32, 16, 0);
		EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), other[i].status);
		port_stop(p);
	}
}

static void slices(void)
{
	struct port *p = port_start(box_make(BOX_MB), "slice=1M");
	struct membox_param_args a = param_args("large", MEMBOX_I8, 2 << 20, 0);

	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_QUOTA);
	a = param_args("small", MEMBOX_I8, 1 << 19, 0);
	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
}

static void slices_of_tables(void)
{
	struct port *p = port_start(box_make(BOX_MB), "slice-params=1,slice-waiters=1,slice-writers=1");
	uint32_t h = param(p, "flag", MEMBOX_I64, 1, 0);
	struct membox_param_args a = param_args("second", MEMBOX_I8, 1, 0);
	struct membox_packet w = wait_for(h, 5, 600000000);
	struct membox_completion c;

	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_QUOTA);
	pair_put(&p->io, &w);
	pair_put(&p->io, &w);
	pair_publish(&p->io);
	pair_take(&p->io, &c);
	EQUAL(c.status, MEMBOX_ST_QUOTA);
	CHECK(!pair_poll(&p->io, &c, 50));
	w = packet_io(MEMBOX_OP_FILL, h, MEMBOX_I64, 0, 1, 0);
	w.word.value = 5;
	for (int i = 0; i < 20; i++)
		pair_put(&p->io, &w);
	pair_publish(&p->io);
	for (int i = 0; i < 21; i++) {
		pair_take(&p->io, &c);
		EQUAL(c.status, MEMBOX_ST_OK);
	}
}

static const struct test_case cases[] = {
	{"every misshapen command is told precisely and writes nothing", shapes},
	{"queues that make no sense are not created", bad_queues},
	{"descriptors published before the queue was created are executed", published_before},
	{"WAIT parks until another port stores the word, or its time is over", waits},
	{"ABORT ends what it names, and completes after it", aborts},
	{"deleting a queue and destroying a context end commands first", ends_commands},
	{"a subscriber gets its event and the count of missed ones", events},
	{"what a port made for itself is its principal's", principals},
	{"a slice bounds what a port makes", slices},
	{"slices bound entries, waiters and writers", slices_of_tables},
};
CASE_MAIN(cases)
