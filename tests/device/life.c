// SPDX-License-Identifier: MIT
/*
 * life.c - the VM around the device: stopped and continued, reset while it is
 * stopped, the device unplugged and plugged again; and what its trace tells.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case.h"
#include "monitor.h"

#define BOX_MB 64
#define BIG    (16ULL << 20)

static struct monitor monitor;

static struct port *boot_device(const char *box)
{
	struct port *p = monitor_boot(&monitor, box, "qmp", "-device membox,memdev=box");

	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	return p;
}

static uint64_t sum(const void *p, uint64_t n)
{
	const uint64_t *w = p;
	uint64_t s = 0;

	for (uint64_t i = 0; i < n / 8; i++)
		s = s * 31 + w[i];
	return s;
}

static void stop_drains(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_device(box);
	uint32_t h = param(p, "big", MEMBOX_I8, BIG, 0), peer = box_param(e, "flag", MEMBOX_I64, 1, 0);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, BIG, vm_alloc(p->vm, BIG, 4096));
	struct membox_packet w =
		packet_io(MEMBOX_OP_WAIT, param(p, "flag", MEMBOX_I64, 1, 0), MEMBOX_I64, 0, 0, 0);
	struct membox_packet store = packet_io(MEMBOX_OP_WRITE, peer, MEMBOX_I64, 0, 1, 0);
	struct membox_completion c;
	uint64_t one = 1, before;
	unsigned int done = 0, waited = 0;

	w.sub = MEMBOX_NE;
	w.timeout_us = 600000000;
	w.user_data = 7;
	pair_put(&p->io, &w);
	for (int i = 0; i < 30; i++)
		pair_put(&p->io, &r);
	pair_publish(&p->io);
	monitor_do(&monitor, "\"stop\"", "return");
	before = sum(p->vm->ram, VM_RAM_BYTES);
	EQUAL(box_run(e, &store, &one, NULL), MEMBOX_ST_OK);
	for (int i = 0; i < 200; i++)
		nap();
	EQUAL(sum(p->vm->ram, VM_RAM_BYTES), before);
	monitor_do(&monitor, "\"cont\"", "return");
	for (int i = 0; i < 31; i++) {
		pair_take(&p->io, &c);
		EQUAL(c.status, MEMBOX_ST_OK);
		waited += c.user_data == 7;
		done++;
	}
	EQUAL(done, 31);
	EQUAL(waited, 1);
}

/*
 * An ABORT waits for a command that was running when it came and whose
 * completion is delayed then, for an hour: a stop does not wait that long.
 */
static void stop_ends_delays(void)
{
	struct port *p = monitor_boot(&monitor, box_make(BOX_MB), "qmp",
				      "-device membox,memdev=box,workers=4,delay=3600000000000");
	struct membox_abort_args args = {.size = sizeof(args), .queue = 1, .cid = 0xffff, .context = 1};
	struct membox_packet r, a = {.opcode = MEMBOX_ADM_ABORT, .count = sizeof(args)};
	struct membox_completion c;

	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	r = packet_io(MEMBOX_OP_READ, param(p, "big", MEMBOX_I8, BIG, 0), MEMBOX_I8, 0, BIG,
		      vm_alloc(p->vm, BIG, 4096));
	memcpy(vm_at(p->vm, p->page), &args, sizeof(args));
	a.host.addr = p->page;
	for (int i = 0; i < 3; i++)
		pair_put(&p->io, &r);
	pair_publish(&p->io);
	pair_put(&p->admin, &a);
	pair_publish(&p->admin);
	monitor_do(&monitor, "\"stop\"", "return");
	monitor_do(&monitor, "\"cont\"", "return");
	pair_take(&p->admin, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	for (int i = 0; i < 3; i++) {
		pair_take(&p->io, &c);
		CHECK(c.status == MEMBOX_ST_OK || c.status == MEMBOX_ST_ABORTED);
	}
}

static void reset_while_stopped(void)
{
	struct port *p = boot_device(box_make(BOX_MB));
	uint32_t h = param(p, "big", MEMBOX_I8, BIG, 0);
	struct membox_packet r = packet_io(MEMBOX_OP_READ, h, MEMBOX_I8, 0, BIG, vm_alloc(p->vm, BIG, 4096));
	struct membox_packet w = packet_io(MEMBOX_OP_WAIT, h, 0, 0, 0, 0);

	w.sub = MEMBOX_GT;
	w.word.value = 99;
	w.timeout_us = 600000000;
	for (int i = 0; i < 20; i++) {
		pair_put(&p->io, &r);
		pair_put(&p->io, &w);
	}
	pair_publish(&p->io);
	monitor_do(&monitor, "\"stop\"", "return");
	monitor_do(&monitor, "\"system_reset\"", "\"RESET\"");
	monitor_do(&monitor, "\"cont\"", "return");
	vm_mmconfig(p->vm);
	port_map(p, 0);
	reg_wait(p, MEMBOX_REG_CTRL, ~0U, 0);
	port_enable(p);
	port_queues(p);
}

/* ---- hot plug, as ACPI does it ---- */

#define ACPI_HOTPLUG 0xcc0
#define ACPI_EJECT   8
#define ACPI_SELECT  0x10

static void unplug(struct port *p)
{
	(void)p;
	monitor_do(&monitor, "\"device_del\",\"arguments\":{\"id\":\"m\"}", "return");
	for (unsigned int bus = 0; bus < 8; bus++) {
		vm_out(p->vm, ACPI_HOTPLUG + ACPI_SELECT, 4, bus);
		if (vm_in(p->vm, ACPI_HOTPLUG + 4, 4) & 1)
			vm_out(p->vm, ACPI_HOTPLUG + ACPI_EJECT, 4, 1);
	}
	monitor_expect(&monitor, "DEVICE_DELETED");
}

/* Maps the device behind the root port, which is function 8 of bus 0. */
static void map_behind(struct port *p)
{
	struct vm *vm = p->vm;
	const unsigned int bridge = 8, dev = 0x100; /* bus 1, function 0 */

	cfg_write(vm, bridge, 0x18, 4, 0x00010100);
	cfg_write(vm, bridge, 0x20, 4, 0xe030e000); /* 0xe0000000 ... 0xe03fffff */
	cfg_write(vm, bridge, 0x24, 4, 0x0ff10001);
	cfg_write(vm, bridge, 0x28, 4, 0x10);
	cfg_write(vm, bridge, 0x2c, 4, 0x10);
	cfg_write(vm, bridge, 4, 2, 7);
	p->devfn = dev;
	EQUAL(cfg_read(vm, dev, 0, 4), 0x00b01b36);
	p->bar0 = BAR0;
	p->bar2 = BAR2;
	p->bar4 = BAR4;
	cfg_write(vm, dev, 0x10, 4, (uint32_t)BAR0);
	cfg_write(vm, dev, 0x18, 4, 0);
	cfg_write(vm, dev, 0x1c, 4, (uint32_t)(BAR2 >> 32));
	cfg_write(vm, dev, 0x20, 4, (uint32_t)BAR4);
	cfg_write(vm, dev, 4, 2, 6);
	EQUAL(reg32(p, MEMBOX_REG_ID), MEMBOX_ID);
}

static void unplug_in_flight(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p =
		monitor_boot(&monitor, box, "qmp",
			     "-device pcie-root-port,id=rp,addr=1 -device membox,memdev=box,bus=rp,id=m,port=4");

	for (int round = 0; round < 3; round++) {
		struct membox_window_args w = {.size = sizeof(w), .prot = 3};
		struct membox_packet r;

		map_behind(p);
		port_enable(p);
		port_queues(p);
		EQUAL(mbe_port_state(e, 4), MEMBOX_PORT_LIVE);
		w.handle = param(p, "big", MEMBOX_I8, BIG, MEMBOX_PARAM_MAPPABLE);
		EQUAL(admin(p, 1, MEMBOX_ADM_WINDOW_MAP, &w, sizeof(w)), MEMBOX_ST_OK);
		r = packet_io(MEMBOX_OP_READ, w.handle, MEMBOX_I8, 0, BIG, vm_alloc(p->vm, BIG, 4096));
		for (int i = 0; i < 20; i++)
			pair_put(&p->io, &r);
		pair_publish(&p->io);
		unplug(p);
		EQUAL(mbe_port_state(e, 4), MEMBOX_PORT_FREE);
		EQUAL(cfg_read(p->vm, p->devfn, 0, 4), ~0U);
		monitor_do(&monitor, "\"device_add\",\"arguments\":{\"driver\":\"membox\",\"memdev\":\"box\","
			   "\"bus\":\"rp\",\"id\":\"m\",\"port\":\"4\"}",
			   "return");
	}
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
}

/* ---- the trace ---- */

static void trace_order(void)
{
	static const char *const steps[] = {"membox_doorbell", "membox_queue_fetch", "membox_descriptor",
					    "membox_dma_map",  "membox_complete",    "membox_irq"};
	struct port *p = port_boot(box_make(BOX_MB), "-trace membox_* -device membox,memdev=box");
	struct membox_packet w;
	struct membox_completion c;
	char path[128], *text = calloc(1, 1 << 20);
	const char *at;
	int fd;

	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	msix_setup(p);
	w = packet_io(MEMBOX_OP_WRITE, param(p, "x", MEMBOX_I8, 64, 0), MEMBOX_I8, 0, 64,
		      vm_alloc(p->vm, 4096, 4096));
	snprintf(path, sizeof(path), "%s/log", p->vm->dir);
	fd = open(path, O_RDONLY);
	lseek(fd, 0, SEEK_END);
	pair_put(&p->io, &w);
	pair_publish(&p->io);
	pair_take(&p->io, &c);
	CHECK(msix_wait(p, 1, PATIENCE_MS));
	CHECK(read(fd, text, (1 << 20) - 1) > 0);
	close(fd);
	at = text;
	for (unsigned int i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		const char *next = strstr(at, steps[i]);

		if (!next)
			case_fail("%s does not follow in the trace:\n%s", steps[i], text);
		at = next;
	}
	free(text);
}

static const struct test_case cases[] = {
	{"stopping the VM drains, and parked commands go on with it", stop_drains},
	{"stopping the VM ends delays that an ABORT waits for", stop_ends_delays},
	{"a stopped VM can be reset", reset_while_stopped},
	{"the device is unplugged in mid-flight and plugged again", unplug_in_flight},
	{"the trace tells the way of a command in its order", trace_order},
};
CASE_MAIN(cases)
