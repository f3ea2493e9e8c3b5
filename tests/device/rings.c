// SPDX-License-Identifier: MIT
/*
 * rings.c - queue pairs: order, phases, slots, wake-ups in both directions,
 * interrupts, and what a host can do wrong with them.
 */
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 64

static const struct membox_packet nothing = {.opcode = MEMBOX_OP_FENCE, .context = 1};

/*
 * Many times round small rings, slots written again as soon as they are given
 * back: every command comes back once, and did what its own descriptor said.
 */
static void round_and_round(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct pair q;
	uint32_t h = param(p, "words", MEMBOX_I64, 64, 0);
	uint64_t page = vm_alloc(p->vm, 4096, 4096);
	uint64_t *word = vm_at(p->vm, page);
	struct membox_packet fill = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I64, 0, 64, page);
	uint64_t put = 0, got = 0;
	unsigned char seen[5000] = {0};

	for (uint64_t i = 0; i < 64; i++)
		word[i] = 1000 + 3 * i;
	EQUAL(pair_run(&p->io, &fill, NULL), MEMBOX_ST_OK);
	pair_init(p, &q, 2, 2, 3);
	EQUAL(pair_create(&q, 0xffff), MEMBOX_ST_OK);
	while (got < sizeof(seen)) {
		struct membox_completion c;

		while (put < sizeof(seen) && put - got < 8 &&
		       q.tail - __atomic_load_n(&q.ctl->sq_head, __ATOMIC_ACQUIRE) < 4) {
			struct membox_packet r =
				packet_io(MEMBOX_OP_READ, h, MEMBOX_I64, put % 61, 1, page + 8 * (put % 512));

			word[put % 512] = 0;
			r.user_data = put++;
			pair_put(&q, &r);
		}
		pair_publish(&q);
		pair_take(&q, &c);
		EQUAL(c.status, MEMBOX_ST_OK);
		CHECK(c.user_data < put && !seen[c.user_data]);
		EQUAL(word[c.user_data % 512], 1000 + 3 * (c.user_data % 61));
		seen[c.user_data] = 1;
		got++;
	}
	EQUAL(q.ctl->halted, 0);
	EQUAL(q.ctl->sq_head, put);
}

static void torn_descriptor(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct pair *q = &p->io;
	struct membox_completion c;

	pair_put(q, &nothing);
	pair_put(q, &nothing);
	q->sq[1].phase ^= 1;
	pair_publish(q);
	pair_take(q, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	CHECK(!pair_poll(q, &c, 50));
	EQUAL(q->ctl->halted, MEMBOX_ST_TORN);
	EQUAL(q->ctl->sq_head, 1);
	EQUAL(reg32(p, MEMBOX_REG_ERR_COUNT), 1);
	EQUAL(reg32(p, MEMBOX_REG_ERR_LOG + 12), 1); /* queue 1 */
	EQUAL(reg32(p, MEMBOX_REG_ERR_LOG + 16), MEMBOX_ST_TORN);
	EQUAL(reg64(p, MEMBOX_REG_ERR_LOG + 24), 1);
	/* only that queue stopped, and it can be made anew */
	EQUAL(reg32(p, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
	EQUAL(pair_delete(q), MEMBOX_ST_OK);
	pair_init(p, q, 1, 3, 3);
	EQUAL(pair_create(q, 1), MEMBOX_ST_OK);
	EQUAL(pair_run(q, &nothing, NULL), MEMBOX_ST_OK);
}

static void halted_by(struct port *p, struct pair *q, uint16_t status)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	ring_sq(q);
	while (!__atomic_load_n(&q->ctl->halted, __ATOMIC_ACQUIRE) && now_ms() < end)
		nap();
	EQUAL(q->ctl->halted, status);
	EQUAL(reg32(p, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
	EQUAL(pair_delete(q), MEMBOX_ST_OK);
}

static void impossible_indices(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct pair q;

	pair_init(p, &q, 2, 3, 4);
	EQUAL(pair_create(&q, 0xffff), MEMBOX_ST_OK);
	q.ctl->sq_tail = 9;
	halted_by(p, &q, MEMBOX_ST_OUT_OF_RANGE);
	EQUAL(q.ctl->sq_head, 0);

	pair_init(p, &q, 2, 3, 4);
	EQUAL(pair_create(&q, 0xffff), MEMBOX_ST_OK);
	q.ctl->sq_tail = ~0U; /* behind the head */
	halted_by(p, &q, MEMBOX_ST_OUT_OF_RANGE);

	pair_init(p, &q, 2, 3, 4);
	EQUAL(pair_create(&q, 0xffff), MEMBOX_ST_OK);
	q.ctl->cq_head = 1; /* nothing was posted */
	halted_by(p, &q, MEMBOX_ST_OUT_OF_RANGE);

	pair_init(p, &q, 2, 3, 4);
	EQUAL(pair_create(&q, 0xffff), MEMBOX_ST_OK);
	EQUAL(pair_run(&q, &nothing, NULL), MEMBOX_ST_OK);
	q.ctl->cq_head = 0U - 16; /* further behind than the ring is long */
	halted_by(p, &q, MEMBOX_ST_OUT_OF_RANGE);
	EQUAL(reg32(p, MEMBOX_REG_ERR_COUNT), 4);
	EQUAL(pair_run(&p->io, &nothing, NULL), MEMBOX_ST_OK);
}

static void admin_queue_is_fatal(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	p->admin.ctl->sq_tail += 100;
	ring_sq(&p->admin);
	reg_wait(p, MEMBOX_REG_STATUS, MEMBOX_DEV_FATAL, MEMBOX_DEV_FATAL);
	EQUAL(p->admin.ctl->halted, MEMBOX_ST_OUT_OF_RANGE);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
	port_enable(p);
	port_queues(p);
}

/* A host that takes nothing gets as many completions as it has slots, then no more. */
static void slots(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct pair q;
	struct membox_completion c[24];
	uint32_t h = param(p, "sum", MEMBOX_I64, 1, 0);
	struct membox_packet add = packet_io(MEMBOX_OP_ATOMIC, h, MEMBOX_I64, 0, 0, 0);
	uint64_t end = now_ms() + PATIENCE_MS;

	add.sub = MEMBOX_FETCH_ADD;
	add.word.value = 1;
	pair_init(p, &q, 2, 3, 3);
	EQUAL(pair_create(&q, 0xffff), MEMBOX_ST_OK);
	for (int i = 0; i < 8; i++)
		pair_put(&q, &add);
	pair_publish(&q);
	while (__atomic_load_n(&q.ctl->sq_head, __ATOMIC_ACQUIRE) != 8 && now_ms() < end)
		nap();
	EQUAL(q.ctl->sq_head, 8);
	for (int i = 0; i < 8; i++)
		pair_put(&q, &add);
	pair_publish(&q);
	ring_sq(&q);
	while (counter(p, MEMBOX_CTR_OPERATIONS) < 8 && now_ms() < end)
		nap();
	for (int i = 0; i < 100; i++)
		nap();
	EQUAL(counter(p, MEMBOX_CTR_OPERATIONS), 8);
	EQUAL(q.ctl->sq_head, 8);
	/* Taking three lets three begin; the doorbell says so. */
	for (int i = 0; i < 3; i++)
		pair_take(&q, &c[i]);
	ring_cq(&q);
	while (__atomic_load_n(&q.ctl->sq_head, __ATOMIC_ACQUIRE) != 11 && now_ms() < end)
		nap();
	EQUAL(q.ctl->sq_head, 11);
	for (int i = 3; i < 16; i++) {
		pair_take(&q, &c[i]);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (q.ctl->sq_head != q.tail)
			ring_cq(&q);
	}
	EQUAL(counter(p, MEMBOX_CTR_OPERATIONS), 16);
	EQUAL(q.ctl->halted, 0);
}

/* The device asks for a doorbell exactly when it sleeps. */
static void doorbell_when_asked(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct membox_completion c;
	uint64_t rung = counter(p, MEMBOX_CTR_DOORBELLS);
	uint64_t end = now_ms() + PATIENCE_MS;

	EQUAL(p->io.ctl->sq_event, 0);
	pair_put(&p->io, &nothing);
	__atomic_store_n(&p->io.ctl->sq_tail, 1, __ATOMIC_RELEASE);
	CHECK(!pair_poll(&p->io, &c, 50)); /* it sleeps */
	ring_sq(&p->io);
	pair_take(&p->io, &c);
	while (__atomic_load_n(&p->io.ctl->sq_event, __ATOMIC_ACQUIRE) != 1 && now_ms() < end)
		nap();
	EQUAL(p->io.ctl->sq_event, 1); /* and sleeps again until descriptor 1 */
	for (int i = 0; i < 50; i++)
		EQUAL(pair_run(&p->io, &nothing, NULL), MEMBOX_ST_OK);
	CHECK(counter(p, MEMBOX_CTR_DOORBELLS) - rung <= 51);
}

/*
 * Publishes as fast as it can while the device falls asleep and wakes, ringing
 * only when the event index asks: a lost wake-up is a missing completion.
 */
static void no_lost_wakeup(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct pair *q = &p->io;
	uint32_t seed = 1;

	for (unsigned int i = 0; i < 4000; i++) {
		struct membox_completion c;
		unsigned int burst;

		seed = seed * 1664525 + 1013904223;
		burst = 1 + (seed >> 28);
		for (unsigned int b = 0; b < burst; b++)
			pair_put(q, &nothing);
		pair_publish(q);
		for (unsigned int b = 0; b < burst; b++)
			pair_take(q, &c);
		for (volatile unsigned int spin = seed >> 20; spin; spin--)
			;
	}
	CHECK(counter(p, MEMBOX_CTR_DOORBELLS) < q->tail);
}

static void interrupt_when_armed(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct pair *q = &p->io;
	uint64_t before;

	msix_setup(p);
	EQUAL(q->ctl->cq_event, 0);
	EQUAL(pair_run(q, &nothing, NULL), MEMBOX_ST_OK);
	CHECK(msix_wait(p, 1, PATIENCE_MS));
	before = counter(p, MEMBOX_CTR_INTERRUPTS);
	for (int i = 0; i < 20; i++)
		EQUAL(pair_run(q, &nothing, NULL), MEMBOX_ST_OK);
	CHECK(!msix_wait(p, 1, 20)); /* not armed */
	EQUAL(counter(p, MEMBOX_CTR_INTERRUPTS), before);
	q->ctl->cq_event = q->head;
	EQUAL(pair_run(q, &nothing, NULL), MEMBOX_ST_OK);
	CHECK(msix_wait(p, 1, PATIENCE_MS));
	q->ctl->cq_event = q->head + 2; /* the third from now on */
	EQUAL(pair_run(q, &nothing, NULL), MEMBOX_ST_OK);
	EQUAL(pair_run(q, &nothing, NULL), MEMBOX_ST_OK);
	CHECK(!msix_wait(p, 1, 20));
	EQUAL(pair_run(q, &nothing, NULL), MEMBOX_ST_OK);
	CHECK(msix_wait(p, 1, PATIENCE_MS));
	EQUAL(counter(p, MEMBOX_CTR_INTERRUPTS), before + 2);
	CHECK(!msix_came(p, 2));
	/* the admin queue has vector 0 */
	p->admin.ctl->cq_event = p->admin.head;
	param(p, "any", MEMBOX_I8, 1, 0);
	CHECK(msix_wait(p, 0, PATIENCE_MS));
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), 0);
}

static void masked_vector(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	msix_setup(p);
	msix_mask(p, 1, true);
	EQUAL(pair_run(&p->io, &nothing, NULL), MEMBOX_ST_OK);
	for (uint64_t end = now_ms() + PATIENCE_MS; !msix_pending(p, 1) && now_ms() < end;)
		nap();
	CHECK(msix_pending(p, 1));
	CHECK(!msix_came(p, 1));
	CHECK(!msix_pending(p, 0));
	msix_mask(p, 1, false);
	CHECK(msix_wait(p, 1, PATIENCE_MS));
	CHECK(!msix_pending(p, 1));
}

static void without_msix(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	for (int i = 0; i < 10; i++)
		EQUAL(pair_run(&p->io, &nothing, NULL), MEMBOX_ST_OK);
	EQUAL(counter(p, MEMBOX_CTR_INTERRUPTS), 0);
	CHECK(!msix_pending(p, 1));
}

static void error_interrupt(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	msix_setup(p);
	p->io.ctl->sq_tail = 1000;
	ring_sq(&p->io);
	CHECK(msix_wait(p, 0, PATIENCE_MS));
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), MEMBOX_INT_ERROR);
}

static void no_bus_master(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint64_t end = now_ms() + PATIENCE_MS;

	cfg_write(p->vm, p->devfn, 4, 2, 2);
	pair_put(&p->io, &nothing);
	p->io.ctl->sq_tail = p->io.tail;
	ring_sq(&p->io);
	while (reg32(p, MEMBOX_REG_ERR_COUNT) == 0 && now_ms() < end)
		nap();
	EQUAL(reg32(p, MEMBOX_REG_ERR_LOG + 16), MEMBOX_ST_DMA_FAULT);
	EQUAL(reg64(p, MEMBOX_REG_ERR_LOG + 24), p->io.ctl_addr);
	EQUAL(p->io.ctl->sq_head, 0);
	cfg_write(p->vm, p->devfn, 4, 2, 6);
	EQUAL(pair_delete(&p->io), MEMBOX_ST_OK);
	pair_init(p, &p->io, 1, 3, 3);
	EQUAL(pair_create(&p->io, 1), MEMBOX_ST_OK);
	EQUAL(pair_run(&p->io, &nothing, NULL), MEMBOX_ST_OK);
}

/* FENCE ends after all before it; what carries the flag starts after them. */
static void fences(void)
{
	struct port *p = port_start(box_make(BOX_MB), "workers=4");
	uint32_t h = param(p, "big", MEMBOX_I8, 8 << 20, 0), w = param(p, "word", MEMBOX_I64, 1, 0);
	uint64_t page = vm_alloc(p->vm, 8 << 20, 4096);
	struct membox_packet big = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 8 << 20, page);
	struct membox_packet add = packet_io(MEMBOX_OP_ATOMIC, w, MEMBOX_I64, 0, 0, 0);
	struct membox_completion c;

	add.sub = MEMBOX_FETCH_ADD;
	add.word.value = 1;
	add.flags = MEMBOX_F_FENCE;
	for (int round = 0; round < 5; round++) {
		uint64_t last = 0;

		big.user_data = 1;
		add.user_data = 2;
		for (int i = 0; i < 4; i++)
			pair_put(&p->io, &big);
		pair_put(&p->io, &add);
		pair_put(&p->io, &nothing);
		pair_publish(&p->io);
		for (int i = 0; i < 4; i++) {
			pair_take(&p->io, &c);
			EQUAL(c.user_data, 1);
			if (c.end > last)
				last = c.end;
		}
		pair_take(&p->io, &c);
		EQUAL(c.user_data, 2);
		CHECK(c.start >= last);
		last = c.end;
		pair_take(&p->io, &c);
		CHECK(c.end >= last);
	}
}

static void many_queues(void)
{
	struct port *p = port_start(box_make(BOX_MB), "queues=64,workers=4,vectors=3");
	struct pair *q = calloc(65, sizeof(*q));
	uint32_t h = param(p, "sum", MEMBOX_I64, 1, 0);
	uint64_t page = vm_alloc(p->vm, 4096, 4096);
	struct membox_packet add = packet_io(MEMBOX_OP_ATOMIC, h, MEMBOX_I64, 0, 0, 0);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I64, 0, 1, page);
	struct membox_completion c;

	add.sub = MEMBOX_FETCH_ADD;
	add.word.value = 1;
	for (unsigned int i = 2; i <= 64; i++) {
		pair_init(p, &q[i], i, 4, 4);
		EQUAL(pair_create(&q[i], (uint16_t)(i % 3)), MEMBOX_ST_OK);
		for (int n = 0; n < 16; n++)
			pair_put(&q[i], &add);
	}
	for (unsigned int i = 2; i <= 64; i++)
		pair_publish(&q[i]);
	for (unsigned int i = 2; i <= 64; i++) {
		for (int n = 0; n < 16; n++) {
			pair_take(&q[i], &c);
			EQUAL(c.status, MEMBOX_ST_OK);
			EQUAL(c.queue, i);
		}
	}
	free(q);
	EQUAL(pair_run(&p->io, &r, NULL), MEMBOX_ST_OK);
	EQUAL(*(uint64_t *)vm_at(p->vm, page), 63 * 16);
}

/*
 * The model's short way: when the store that rings has returned, small commands
 * that came before the first large one are complete, without a worker.
 */
static void small_ones_at_once(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	struct pair *q = &p->io;
	uint32_t h = param(p, "words", MEMBOX_I64, 1 << 17, 0);
	uint64_t mem = vm_alloc(p->vm, 1 << 20, 4096);
	struct membox_packet small = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I64, 0, 8, mem);
	struct membox_packet large = packet_io(MEMBOX_OP_READ, h, MEMBOX_I64, 0, 1 << 17, mem);
	struct membox_completion c;
	unsigned int warm = 0;

	/* a worker looked at the queue when it was made: once it is gone none comes back */
	do {
		pair_put(q, &small);
		pair_publish(q);
		CHECK(++warm < 1000);
	} while (!pair_poll(q, &c, 0) && (pair_take(q, &c), true));
	for (unsigned int round = 0; round < 100; round++) {
		pair_put(q, &small);
		pair_put(q, &small);
		pair_publish(q);
		CHECK(pair_poll(q, &c, 0));
		CHECK(pair_poll(q, &c, 0));
		EQUAL(c.status, MEMBOX_ST_OK);
		EQUAL(c.bytes, 64);
	}
	small.user_data = 1;
	pair_put(q, &small);
	pair_put(q, &large);
	small.user_data = 2;
	pair_put(q, &small);
	pair_publish(q);
	CHECK(pair_poll(q, &c, 0));
	EQUAL(c.user_data, 1);
	pair_take(q, &c);
	pair_take(q, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	EQUAL(counter(p, MEMBOX_CTR_OPERATIONS), warm + 203);
}

/*
 * Thousands of commands, one at a time and in batches, with addresses and with
 * lists of eight pieces: the device allocates for the first ones alone.
 */
static void records_go_round(void)
{
	enum { PIECES = 8, DEPTH = 16, ROUNDS = 100 };
	struct port *p = port_start(box_make(BOX_MB),
				    "workers=2 -trace membox_record_new -trace membox_vec_grow");
	struct pair q;
	uint32_t h = param(p, "bytes", MEMBOX_I8, 1 << 20, 0);
	uint64_t mem = vm_alloc(p->vm, 2 * PIECES * 4096, 4096), list = vm_alloc(p->vm, 4096, 4096);
	struct membox_sge *e = vm_at(p->vm, list);
	struct membox_packet near = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, 64, mem);
	struct membox_packet listed = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I8, 0, PIECES * 512, list);
	struct membox_completion c;
	unsigned int records, first = 0;

	for (unsigned int i = 0; i < PIECES; i++)
		e[i] = (struct membox_sge){.addr = mem + 2ULL * i * 4096, .len = 512};
	listed.host.nseg = PIECES;
	pair_init(p, &q, 2, 4, 4);
	EQUAL(pair_create(&q, 0xffff), MEMBOX_ST_OK);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < DEPTH; i++)
			pair_put(&q, i & 1 ? &near : &listed);
		pair_publish(&q);
		for (unsigned int i = 0; i < DEPTH; i++) {
			pair_take(&q, &c);
			EQUAL(c.status, MEMBOX_ST_OK);
		}
		for (unsigned int i = 0; i < DEPTH; i++)
			EQUAL(pair_run(&q, i & 1 ? &near : &listed, NULL), MEMBOX_ST_OK);
		if (round == 0)
			first = said(p, "membox_record_new");
	}
	records = said(p, "membox_record_new");
	CHECK(first >= 1);
	/* a thread can still have one whose completion was seen: two workers and who rings */
	CHECK(records <= DEPTH + 3);
	CHECK(said(p, "membox_vec_grow") <= records);
	EQUAL(pair_delete(&q), MEMBOX_ST_OK);
}

static const struct test_case cases[] = {
	{"thousands of commands go round small rings, each once", round_and_round},
	{"a descriptor with the wrong phase halts its queue before it", torn_descriptor},
	{"impossible indices halt their queue only", impossible_indices},
	{"the admin queue takes the device with it", admin_queue_is_fatal},
	{"no command starts without a completion slot", slots},
	{"the device asks for a doorbell when it sleeps", doorbell_when_asked},
	{"no wake-up is lost", no_lost_wakeup},
	{"a vector is raised when it was armed, and only then", interrupt_when_armed},
	{"a masked vector becomes pending", masked_vector},
	{"the device works without MSI-X", without_msix},
	{"an error raises vector 0", error_interrupt},
	{"without bus mastering nothing is fetched", no_bus_master},
	{"fences order their queue", fences},
	{"sixty-four queues with three vectors", many_queues},
	{"small commands are complete when the doorbell's store returns", small_ones_at_once},
	{"nothing is allocated for a command once a ring has been full", records_go_round},
};
CASE_MAIN(cases)
