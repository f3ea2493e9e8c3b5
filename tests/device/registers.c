// SPDX-License-Identifier: MIT
/* registers.c - identity, registers, doorbells, enabling and resets of the device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "port.h"

#define BOX_MB 64

static const char device[] = "-device membox,memdev=box";

static struct port *boot(const char *extra)
{
	struct port *p = port_boot(box_make(BOX_MB), extra);

	port_map(p, 0);
	return p;
}

static void identity(void)
{
	struct port *p = boot(device);
	unsigned int d = p->devfn;

	EQUAL(cfg_read(p->vm, d, 0, 4), 0x00b01b36);
	EQUAL(cfg_read(p->vm, d, 8, 4), 0x05800001);
	EQUAL(cfg_read(p->vm, d, 0x2c, 4), 0x00b01b36);
	EQUAL(cfg_capability(p->vm, d, 0x01), 0x40);
	EQUAL(cfg_capability(p->vm, d, 0x10), 0x50);
	EQUAL(cfg_capability(p->vm, d, 0x11), 0xa0);
	EQUAL(cfg_read(p->vm, d, 0x3d, 1), 0);         /* no interrupt pin */
	CHECK(cfg_read(p->vm, d, 0x54, 4) & 1U << 28); /* function-level reset */
	EQUAL(cfg_read(p->vm, d, 0x100, 2), 1);        /* advanced error reporting */
	EQUAL(cfg_read(p->vm, d, 0xa2, 2) & 0x7ff, 16); /* seventeen vectors */
	EQUAL(cfg_read(p->vm, d, 0xa4, 4), MEMBOX_MSIX_TABLE);
	EQUAL(cfg_read(p->vm, d, 0xa8, 4), MEMBOX_MSIX_PBA);
}

/* Writes all ones and reads back what the BAR is. */
static uint64_t bar_size(struct port *p, unsigned int bar, uint32_t *flags)
{
	unsigned int at = 0x10 + 4 * bar;
	uint32_t low = cfg_read(p->vm, p->devfn, at, 4), high = cfg_read(p->vm, p->devfn, at + 4, 4);
	uint64_t mask;

	cfg_write(p->vm, p->devfn, at, 4, ~0U);
	cfg_write(p->vm, p->devfn, at + 4, 4, ~0U);
	mask = (uint64_t)cfg_read(p->vm, p->devfn, at + 4, 4) << 32 | cfg_read(p->vm, p->devfn, at, 4);
	*flags = (uint32_t)mask & 15;
	cfg_write(p->vm, p->devfn, at, 4, low);
	cfg_write(p->vm, p->devfn, at + 4, 4, high);
	return ~(mask & ~15ULL) + 1;
}

static void bars(void)
{
	struct port *p = boot("-device membox,memdev=box,queues=6");
	uint32_t flags;

	cfg_write(p->vm, p->devfn, 4, 2, 0);
	EQUAL(bar_size(p, 0, &flags), 65536);
	EQUAL(flags, 4);
	EQUAL(bar_size(p, 2, &flags), 256 << 20);
	EQUAL(flags, 12);
	EQUAL(bar_size(p, 4, &flags), 8 * 4096); /* 7 pages, rounded up */
	EQUAL(flags, 4);
}

static void start_values(void)
{
	struct port *p = boot("-device membox,memdev=box,port=5,queues=3,max-windows=7");
	static const uint16_t zero[] = {0x18, 0x1c, 0x58, 0xa0, 0xa4};
	const uint64_t has = MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR | MEMBOX_CAP_ATOMIC | MEMBOX_CAP_WAIT |
			     MEMBOX_CAP_WINDOWS | MEMBOX_CAP_USER_QUEUES | MEMBOX_CAP_REGIONS;

	EQUAL(reg32(p, MEMBOX_REG_ID), MEMBOX_ID);
	EQUAL(reg32(p, MEMBOX_REG_VERSION), 0x10000);
	EQUAL(reg32(p, MEMBOX_REG_QUEUES), 3);
	EQUAL(reg32(p, MEMBOX_REG_DEPTH), 12);
	EQUAL(reg32(p, MEMBOX_REG_PORT), 5);
	EQUAL(reg32(p, MEMBOX_REG_PORTS), 8);
	EQUAL(reg32(p, MEMBOX_REG_VECTORS), 4);
	EQUAL(reg64(p, MEMBOX_REG_MAX_BYTES), MEMBOX_MAX_BYTES);
	EQUAL(reg32(p, MEMBOX_REG_MAX_TIMEOUT), 600000000);
	EQUAL(reg32(p, MEMBOX_REG_MAX_CONTEXTS), 256);
	EQUAL(reg64(p, MEMBOX_REG_APERTURE), 256 << 20);
	EQUAL(reg32(p, MEMBOX_REG_MAX_WINDOWS), 7);
	for (unsigned int i = 0; i < sizeof(zero) / sizeof(*zero); i++)
		EQUAL(reg32(p, zero[i]), 0);
	for (unsigned int at = 0x40; at <= 0x50; at += 8)
		EQUAL(reg64(p, at), 0);
	for (unsigned int at = 0x80; at < 0xa0; at += 8)
		EQUAL(reg64(p, at), 0);
	EQUAL(reg32(p, MEMBOX_REG_MAX_REGIONS), 1024);
	EQUAL(reg64(p, MEMBOX_REG_CAPS) & has, has);
	EQUAL(reg64(p, MEMBOX_REG_CAPS) & MEMBOX_CAP_SCATTER, 0);
	CHECK(reg64(p, MEMBOX_REG_BOX_BYTES) > 16 << 20);
	EQUAL(reg32(p, MEMBOX_REG_PORT_STATE + 4 * 5), MEMBOX_PORT_LIVE);
	EQUAL(reg32(p, MEMBOX_REG_PORT_STATE + 4 * 4), MEMBOX_PORT_FREE);
	EQUAL(reg32(p, MEMBOX_REG_PORT_STATE + 4 * 8), 0);
}

static void uuid_and_clock(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = port_boot(box, device);
	uint64_t uuid[2], before, now, after;

	port_map(p, 0);
	uuid[0] = reg64(p, MEMBOX_REG_UUID_LO);
	uuid[1] = reg64(p, MEMBOX_REG_UUID_HI);
	CHECK(!memcmp(uuid, mbe_uuid(e), 16));
	before = mbe_clock(e);
	now = reg64(p, MEMBOX_REG_CLOCK);
	after = mbe_clock(e);
	CHECK(before <= now && now <= after);
	EQUAL(reg64(p, MEMBOX_REG_BOX_BYTES), mbe_data_bytes(e));
}

static void read_only(void)
{
	struct port *p = boot(device);
	uint32_t before[0x100];

	for (unsigned int at = 0; at < 0x400; at += 4)
		before[at / 4] = reg32(p, at);
	for (unsigned int at = 0; at < 0x1000; at += 4) {
		bool writable = at == MEMBOX_REG_CTRL || (at >= 0x40 && at <= 0x58);

		if (!writable)
			set32(p, at, ~0U);
	}
	for (unsigned int at = 0; at < 0x400; at += 4) {
		if (at != MEMBOX_REG_CLOCK && at != MEMBOX_REG_CLOCK + 4 && before[at / 4] != reg32(p, at))
			case_fail("register 0x%x changed from 0x%x to 0x%x", at, before[at / 4],
				  reg32(p, at));
	}
}

static void unknown_offsets(void)
{
	struct port *p = boot(device);
	static const uint16_t unknown[] = {0x0b4, 0x0fc, 0x180,  0x3fc,  0x600,
					   0x7fc, 0xc00, 0x1000, 0x7ffc, 0x9000};

	for (unsigned int i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		set32(p, unknown[i], 0x12345678);
		EQUAL(reg32(p, unknown[i]), 0);
	}
}

static void access_sizes(void)
{
	struct port *p = boot(device);

	EQUAL(vm_read(p->vm, p->bar0, 1), 0);
	EQUAL(vm_read(p->vm, p->bar0, 2), 0);
	EQUAL(vm_read(p->vm, p->bar0 + 2, 4), 0);
	EQUAL(vm_read(p->vm, p->bar0 + 4, 8), 0);
	EQUAL(reg64(p, MEMBOX_REG_ID), (uint64_t)MEMBOX_HW_VERSION << 32 | MEMBOX_ID);
	set32(p, MEMBOX_REG_ASQ + 4, 0x11223344);
	set32(p, MEMBOX_REG_ASQ, 0x55667000);
	EQUAL(reg64(p, MEMBOX_REG_ASQ), 0x1122334455667000);
	EQUAL(reg32(p, MEMBOX_REG_ASQ + 4), 0x11223344);
	vm_write(p->vm, p->bar0 + MEMBOX_REG_ADEPTH, 2, 5);
	EQUAL(reg32(p, MEMBOX_REG_ADEPTH), 0);
}

static void doorbell_pages(void)
{
	struct port *p = boot("-device membox,memdev=box,queues=2");
	uint64_t rung;

	port_enable(p);
	port_queues(p);
	rung = counter(p, MEMBOX_CTR_DOORBELLS);
	for (unsigned int page = 0; page < 4; page++) {
		for (unsigned int at = 0; at < 4096; at += 508) {
			vm_write(p->vm, p->bar4 + 4096 * page + at + 16, 4, 1);
			EQUAL(vm_read(p->vm, p->bar4 + 4096 * page + at, 4), 0);
		}
	}
	vm_write(p->vm, p->bar4 + 4096, 8, 1);
	vm_write(p->vm, p->bar4 + 4096, 2, 1);
	vm_write(p->vm, p->bar4 + 3 * 4096, 4, 1); /* no such queue */
	EQUAL(counter(p, MEMBOX_CTR_DOORBELLS), rung);
	vm_write(p->vm, p->bar4 + 4096, 4, 77);
	vm_write(p->vm, p->bar4 + 4096 + MEMBOX_DB_CQ, 4, 0);
	vm_write(p->vm, p->bar4 + 2 * 4096, 4, 0); /* not created */
	EQUAL(counter(p, MEMBOX_CTR_DOORBELLS), rung + 3);
}

static void enable_locks_registers(void)
{
	struct port *p = boot(device);

	port_enable(p);
	set64(p, MEMBOX_REG_ASQ, 0x1000);
	set32(p, MEMBOX_REG_ADEPTH, 1);
	EQUAL(reg64(p, MEMBOX_REG_ASQ), p->admin.sq_addr);
	EQUAL(reg32(p, MEMBOX_REG_ADEPTH), p->admin.log2);
	EQUAL(reg32(p, MEMBOX_REG_CTRL), MEMBOX_CTRL_ENABLE);
	set32(p, MEMBOX_REG_CTRL, 0);
	reg_wait(p, MEMBOX_REG_STATUS, MEMBOX_DEV_READY, 0);
	EQUAL(reg64(p, MEMBOX_REG_ASQ), p->admin.sq_addr);
	set64(p, MEMBOX_REG_ASQ, 0x1000);
	EQUAL(reg64(p, MEMBOX_REG_ASQ), 0x1000);
}

/* Enables with one register wrong: FATAL with this status and detail, reset helps. */
static void enable_wrong(struct port *p, unsigned int reg, uint64_t value, uint16_t status, uint32_t detail)
{
	uint32_t errors = reg32(p, MEMBOX_REG_ERR_COUNT);
	unsigned int at = MEMBOX_REG_ERR_LOG + errors % MEMBOX_ERR_LOG * 32;

	pair_init(p, &p->admin, 0, 4, 4);
	set64(p, MEMBOX_REG_ASQ, p->admin.sq_addr);
	set64(p, MEMBOX_REG_ACQ, p->admin.cq_addr);
	set64(p, MEMBOX_REG_ACTL, p->admin.ctl_addr);
	set32(p, MEMBOX_REG_ADEPTH, 4);
	if (reg == MEMBOX_REG_ADEPTH)
		set32(p, reg, (uint32_t)value);
	else
		set64(p, reg, value);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_ENABLE);
	EQUAL(reg32(p, MEMBOX_REG_STATUS), MEMBOX_DEV_FATAL);
	EQUAL(reg32(p, MEMBOX_REG_ERR_COUNT), errors + 1);
	EQUAL(reg32(p, at + 8), errors + 1);
	EQUAL(reg32(p, at + 12), 0); /* queue, cid */
	EQUAL(reg32(p, at + 16), status);
	EQUAL(reg32(p, at + 20), detail);
	EQUAL(reg64(p, at + 24), MEMBOX_REG_CTRL);
	CHECK(reg64(p, at) != 0);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
	EQUAL(reg32(p, MEMBOX_REG_STATUS), 0);
	EQUAL(reg64(p, MEMBOX_REG_ASQ), 0);
}

static void enable_with_bad_registers(void)
{
	struct port *p = boot(device);

	enable_wrong(p, MEMBOX_REG_ASQ, 0x1000080, MEMBOX_ST_MISALIGNED, 8);
	enable_wrong(p, MEMBOX_REG_ACQ, 0x1000080, MEMBOX_ST_MISALIGNED, 16);
	enable_wrong(p, MEMBOX_REG_ACTL, 0x1000040, MEMBOX_ST_MISALIGNED, 24);
	enable_wrong(p, MEMBOX_REG_ADEPTH, 0, MEMBOX_ST_BAD_ARGUMENT, 32);
	enable_wrong(p, MEMBOX_REG_ADEPTH, 13, MEMBOX_ST_BAD_ARGUMENT, 32);
	enable_wrong(p, MEMBOX_REG_ADEPTH, ~0U, MEMBOX_ST_BAD_ARGUMENT, 32);
	enable_wrong(p, MEMBOX_REG_ASQ, 0x4000000000, MEMBOX_ST_DMA_FAULT, 8);
	enable_wrong(p, MEMBOX_REG_ACQ, VM_RAM_BYTES - 512, MEMBOX_ST_MISALIGNED, 16);
	enable_wrong(p, MEMBOX_REG_ACQ, ~0xfffULL, MEMBOX_ST_DMA_FAULT, 16);
	enable_wrong(p, MEMBOX_REG_ACTL, p->bar0, MEMBOX_ST_DMA_FAULT, 24);
	enable_wrong(p, MEMBOX_REG_ACTL, p->bar2, MEMBOX_ST_DMA_FAULT, 24);
	port_enable(p);
	port_queues(p);
}

static void write_ones_clears(void)
{
	struct port *p = boot(device);

	enable_wrong(p, MEMBOX_REG_ADEPTH, 0, MEMBOX_ST_BAD_ARGUMENT, 32);
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), 0); /* by the reset */
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_ENABLE);
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), MEMBOX_INT_ERROR);
	set32(p, MEMBOX_REG_INT_CAUSE, 0);
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), MEMBOX_INT_ERROR);
	set32(p, MEMBOX_REG_INT_CAUSE, MEMBOX_INT_EVENT);
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), MEMBOX_INT_ERROR);
	set32(p, MEMBOX_REG_INT_CAUSE, MEMBOX_INT_ERROR);
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), 0);
}

/* All that a reset must bring back, whichever reset it was. */
static void check_after_reset(struct port *p, uint32_t epoch)
{
	reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
	EQUAL(reg32(p, MEMBOX_REG_STATUS), 0);
	EQUAL(reg64(p, MEMBOX_REG_ASQ), 0);
	EQUAL(reg64(p, MEMBOX_REG_ACQ), 0);
	EQUAL(reg64(p, MEMBOX_REG_ACTL), 0);
	EQUAL(reg32(p, MEMBOX_REG_ADEPTH), 0);
	EQUAL(reg32(p, MEMBOX_REG_INT_CAUSE), 0);
	CHECK(reg32(p, MEMBOX_REG_EPOCH) > epoch);
	port_enable(p);
	port_queues(p);
	EQUAL(pair_run(&p->io, &(struct membox_packet){.opcode = MEMBOX_OP_FENCE, .context = 1}, NULL), 0);
}

static void reset_by_register(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t epoch = reg32(p, MEMBOX_REG_EPOCH);

	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	check_after_reset(p, epoch);
}

static void reset_by_function(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t epoch = reg32(p, MEMBOX_REG_EPOCH);

	cfg_write(p->vm, p->devfn, 0x58, 2, 0x8000);
	EQUAL(cfg_read(p->vm, p->devfn, 4, 2) & 6, 0);
	port_map(p, 0);
	check_after_reset(p, epoch);
}

static void reset_by_machine(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t epoch = reg32(p, MEMBOX_REG_EPOCH);

	vm_out(p->vm, 0xcf9, 1, 6);
	do {
		nap();
		vm_mmconfig(p->vm);
	} while (cfg_read(p->vm, p->devfn, 4, 2) & 6);
	vm_mmconfig(p->vm);
	port_map(p, 0);
	check_after_reset(p, epoch);
}

static void reset_keeps_the_box(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");
	uint32_t h = param(p, "kept", MEMBOX_I64, 16, 0);
	uint64_t page = vm_alloc(p->vm, 4096, 4096);
	struct membox_packet w = packet_io(MEMBOX_OP_WRITE, h, MEMBOX_I64, 3, 1, page);
	uint64_t *word = vm_at(p->vm, page);
	uint64_t operations;

	*word = 4711;
	EQUAL(pair_run(&p->io, &w, NULL), 0);
	operations = counter(p, MEMBOX_CTR_OPERATIONS);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
	reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
	EQUAL(counter(p, MEMBOX_CTR_OPERATIONS), operations);
	port_enable(p);
	port_queues(p);
	/* The context is a new one: its old handle is gone. */
	*word = 0;
	w.opcode = MEMBOX_OP_READ;
	EQUAL(pair_run(&p->io, &w, NULL), MEMBOX_ST_BAD_HANDLE);
	w.handle[0] = param(p, "kept", MEMBOX_I64, 16, 0);
	EQUAL(pair_run(&p->io, &w, NULL), 0);
	EQUAL(*word, 4711);
}

static void disable_and_enable(void)
{
	struct port *p = port_start(box_make(BOX_MB), "");

	for (int i = 0; i < 20; i++) {
		set32(p, MEMBOX_REG_CTRL, 0);
		reg_wait(p, MEMBOX_REG_STATUS, MEMBOX_DEV_READY, 0);
		EQUAL(reg32(p, MEMBOX_REG_CTRL), 0);
		memset(p->admin.sq, 0, sizeof(*p->admin.sq) << p->admin.log2);
		memset(p->admin.cq, 0, sizeof(*p->admin.cq) << p->admin.cq_log2);
		memset(p->admin.ctl, 0, sizeof(*p->admin.ctl));
		p->admin.tail = 0;
		p->admin.head = 0;
		set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_ENABLE);
		reg_wait(p, MEMBOX_REG_STATUS, MEMBOX_DEV_READY, MEMBOX_DEV_READY);
		port_queues(p);
	}
}

static void two_devices(void)
{
	struct port *a = port_boot(box_make(BOX_MB), "-device membox,memdev=box -device membox,memdev=box");
	struct port b = *a;
	uint64_t page = vm_alloc(a->vm, 4096, 4096);
	uint64_t *word = vm_at(a->vm, page);
	struct membox_packet w, r;

	port_map(a, 0);
	port_map(&b, 1);
	CHECK(reg32(a, MEMBOX_REG_PORT) != reg32(&b, MEMBOX_REG_PORT));
	port_enable(a);
	port_queues(a);
	port_enable(&b);
	port_queues(&b);
	w = packet_io(MEMBOX_OP_WRITE, param(a, "one", MEMBOX_I64, 4, 0), MEMBOX_I64, 1, 1, page);
	r = packet_io(MEMBOX_OP_READ, param(&b, "one", MEMBOX_I64, 4, 0), MEMBOX_I64, 0, 4, page + 8);
	*word = 99;
	EQUAL(pair_run(&a->io, &w, NULL), 0);
	EQUAL(pair_run(&b.io, &r, NULL), 0);
	EQUAL(word[1], 0);
	EQUAL(word[2], 99);
}

static void read_only_port(void)
{
	struct port *p = port_start(box_make(BOX_MB), "rights=ro");

	CHECK(reg32(p, MEMBOX_REG_STATUS) & MEMBOX_DEV_RDONLY);
}

static void refusals(void)
{
	static const struct {
		const char *extra, *says;
	} wrong[] = {
		{"-device membox", "memdev"},
		{"-device membox,memdev=ram", ""},
		{"-device membox,memdev=box,port=99", "port"},
		{"-device membox,memdev=box,port=x", "port=x"},
		{"-device membox,memdev=box,principal=zz", "principal=zz"},
		{"-device membox,memdev=box,queues=0", "queues=0"},
		{"-device membox,memdev=box,queues=65", "queues=65"},
		{"-device membox,memdev=box,vectors=65", "vectors=65"},
		{"-device membox,memdev=box,workers=0", "workers=0"},
		{"-device membox,memdev=box,rights=rx", "rights=rx"},
		{"-device membox,memdev=box,aperture=12345", "aperture"},
		{"-device membox,memdev=box,max-windows=1024 -device membox,memdev=box,max-windows=1",
		 "max-windows"},
		{"-device membox,memdev=box,port=1 -device membox,memdev=box,port=1", "port 1"},
	};
	const char *box = box_make(BOX_MB);

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char *text = vm_refusal(box, wrong[i].extra);
		bool good = *text && strstr(text, wrong[i].says);

		if (!good)
			case_note("'%s' is answered with: %s", wrong[i].extra, text);
		free(text);
		CHECK(good);
	}
}

static const struct test_case cases[] = {
	{"the function has its numbers and capabilities", identity},
	{"BARs have their kinds and sizes", bars},
	{"registers have their start values", start_values},
	{"uuid, size and clock are the box's", uuid_and_clock},
	{"read-only registers cannot be written", read_only},
	{"unknown offsets read 0 and ignore writes", unknown_offsets},
	{"registers take aligned accesses of 4 and 8 bytes only", access_sizes},
	{"only doorbells of existing pages are taken", doorbell_pages},
	{"ring registers are fixed while the device is enabled", enable_locks_registers},
	{"enabling with bad registers is fatal until a reset", enable_with_bad_registers},
	{"bits written as 1 are cleared", write_ones_clears},
	{"CTRL.RESET resets", reset_by_register},
	{"function-level reset resets", reset_by_function},
	{"a reset of the machine resets", reset_by_machine},
	{"a reset keeps parameters and counters, and ends contexts", reset_keeps_the_box},
	{"the device can be disabled and enabled again and again", disable_and_enable},
	{"two devices on one memdev have two ports of one box", two_devices},
	{"a read-only port says so", read_only_port},
	{"wrong properties are refused with words that help", refusals},
};
CASE_MAIN(cases)
