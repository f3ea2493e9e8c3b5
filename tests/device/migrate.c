// SPDX-License-Identifier: MIT
/*
 * migrate.c - a VM migrates with its port: to a file and from it into another
 * QEMU. What the guest had is there again, what it asked for ends; the port has
 * one owner at any time; and when it goes wrong the source goes on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "case.h"
#include "internal.h"
#include "monitor.h"

#define BOX_MB	 64
#define BIG	 (4ULL << 20)
#define DEVICE	 "-device membox,memdev=box,port=5"
#define PATTERN	 0x6d656d626f782121ULL
#define WAITING	 " -S -incoming defer" /* neither loads nor runs until it is told */
#define INCOMING DEVICE WAITING

static struct monitor source, target;

/* ---- steps ---- */

static char *state_file(const char *box)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s.state", box);
	return path;
}

static void state_remove(void *path)
{
	unlink(path);
}

static struct port *boot_source(const char *box, const char *device)
{
	struct port *p = monitor_boot(&source, box, "source", device);

	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	msix_setup(p);
	case_defer(state_remove, state_file(box));
	return p;
}

static void say_events(struct monitor *m)
{
	monitor_do(m, "\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":"
		      "[{\"capability\":\"events\",\"state\":true}]}",
		   "return");
}

/* Waits until query-status says so. */
static void status_wait(struct monitor *m, const char *status)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	do {
		monitor_do(m, "\"query-status\"", "\"status\"");
		if (now_ms() > end)
			case_fail("not %s but %s", status, m->said);
	} while (!strstr(m->said, status));
}

static void migrate_over(const char *box)
{
	char command[256];

	say_events(&source);
	snprintf(command, sizeof(command), "\"migrate\",\"arguments\":{\"uri\":\"file:%s\"}",
		 state_file(box));
	monitor_do(&source, command, "return");
	monitor_expect(&source, "\"completed\"");
	status_wait(&source, "postmigrate");
}

/* A second QEMU, in which the guest of p goes on; the same port of it. */
static struct port *arrive(struct port *p, const char *box, const char *device)
{
	char command[256];
	struct port *to = monitor_boot(&target, box, "target", device);
	struct vm *vm = to->vm;

	say_events(&target);
	snprintf(command, sizeof(command), "\"migrate-incoming\",\"arguments\":{\"uri\":\"file:%s\"}",
		 state_file(box));
	monitor_do(&target, command, "return");
	monitor_expect(&target, "\"completed\"");
	vm->next = p->vm->next;
	*to = *p;
	to->vm = vm;
	to->admin.port = to;
	to->io.port = to;
	to->admin.sq = vm_at(vm, p->admin.sq_addr);
	to->admin.cq = vm_at(vm, p->admin.cq_addr);
	to->admin.ctl = vm_at(vm, p->admin.ctl_addr);
	to->io.sq = vm_at(vm, p->io.sq_addr);
	to->io.cq = vm_at(vm, p->io.cq_addr);
	to->io.ctl = vm_at(vm, p->io.ctl_addr);
	return to;
}

static void run_on(struct monitor *m)
{
	monitor_do(m, "\"cont\"", "\"RESUME\"");
}

static struct membox_packet wait_for(uint32_t handle, uint64_t value)
{
	struct membox_packet w = packet_io(MEMBOX_OP_WAIT, handle, MEMBOX_I64, 0, 0, 0);

	w.sub = MEMBOX_EQ;
	w.word.value = value;
	w.timeout_us = 600000000;
	return w;
}

static struct membox_window_args map_window(struct port *p, uint32_t handle, uint32_t prot)
{
	struct membox_window_args w = {.size = sizeof(w), .handle = handle, .prot = prot};

	EQUAL(admin(p, 1, MEMBOX_ADM_WINDOW_MAP, &w, sizeof(w)), MEMBOX_ST_OK);
	return w;
}

/* Does the file hold this word at any multiple of 8? */
static bool file_has(const char *path, uint64_t word)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t buf[8192];
	bool found = false;
	ssize_t n;

	CHECK(fd >= 0);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n / 8; i++)
			found |= buf[i] == word;
	close(fd);
	return found;
}

/* ---- the guest goes on ---- */

static void goes_on(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE), *to;
	uint32_t big = param(p, "big", MEMBOX_I8, BIG, MEMBOX_PARAM_MAPPABLE);
	uint32_t mine = box_param(e, "big", MEMBOX_I8, BIG, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args w = map_window(p, big, 3), ro = map_window(p, big, 1);
	uint64_t data = vm_alloc(p->vm, BIG, 4096), value = PATTERN, seen = 0, done;
	struct membox_packet write = packet_io(MEMBOX_OP_WRITE, big, MEMBOX_I8, 4096, 8, data);
	struct membox_packet read = packet_io(MEMBOX_OP_READ, mine, MEMBOX_I8, 0, 8, 0);
	struct membox_handle_args lock = {.size = sizeof(lock), .handle = big};
	struct membox_completion c;
	uint32_t epoch;

	/* the box holds a word that guest memory does not */
	read.opcode = MEMBOX_OP_WRITE;
	EQUAL(box_run(e, &read, &value, NULL), MEMBOX_ST_OK);
	read.opcode = MEMBOX_OP_READ;
	memcpy(vm_at(p->vm, data), "from the guest", 8);
	EQUAL(pair_run(&p->io, &write, &c), MEMBOX_ST_OK);
	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_LOCK, &lock, sizeof(lock)), MEMBOX_ST_OK);
	done = counter(p, MEMBOX_CTR_OPERATIONS);
	epoch = reg32(p, MEMBOX_REG_EPOCH);

	migrate_over(box);
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_SUSPENDED);
	CHECK(!file_has(state_file(box), PATTERN));
	lock.handle = mine;
	EQUAL(mbe_admin(e, 1, MEMBOX_ADM_PARAM_LOCK, &lock, sizeof(lock)), MEMBOX_ST_BUSY);
	EQUAL(box_run(e, &read, &seen, NULL), MEMBOX_ST_OK);
	EQUAL(seen, PATTERN);

	to = arrive(p, box, INCOMING);
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_LIVE);
	run_on(&target);
	EQUAL(reg32(to, MEMBOX_REG_PORT), 5);
	EQUAL(reg32(to, MEMBOX_REG_EPOCH), epoch);
	EQUAL(reg32(to, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
	EQUAL(counter(to, MEMBOX_CTR_OPERATIONS), done);
	EQUAL(vm_read(to->vm, to->bar2 + w.offset, 8), PATTERN);
	memcpy(&seen, "from the guest", 8);
	EQUAL(vm_read(to->vm, to->bar2 + ro.offset + 4096, 8), seen);
	vm_write(to->vm, to->bar2 + ro.offset, 8, 1);
	EQUAL(vm_read(to->vm, to->bar2 + w.offset, 8), PATTERN);
	vm_write(to->vm, to->bar2 + w.offset, 8, 77);
	EQUAL(box_run(e, &read, &seen, NULL), MEMBOX_ST_OK);
	EQUAL(seen, 77);
	memcpy(vm_at(to->vm, data), "once more", 8);
	EQUAL(pair_run(&to->io, &write, &c), MEMBOX_ST_OK);
	EQUAL(vm_read(to->vm, to->bar2 + w.offset + 4096, 1), 'o');
	CHECK(msix_wait(to, 1, 5000));
	EQUAL(admin(to, 1, MEMBOX_ADM_WINDOW_UNMAP, &ro, sizeof(ro)), MEMBOX_ST_OK);
	EQUAL(vm_read(to->vm, to->bar2 + ro.offset, 8), 0);
	lock.handle = big;
	EQUAL(admin(to, 1, MEMBOX_ADM_PARAM_UNLOCK, &lock, sizeof(lock)), MEMBOX_ST_OK);
	EQUAL(param(to, "big", MEMBOX_I8, BIG, 0) != big, 1);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
}

static void busy_queues(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE ",delay=20000000"), *to;
	uint32_t sum = param(p, "sum", MEMBOX_I64, 1, 0), flag = param(p, "flag", MEMBOX_I64, 1, 0);
	uint32_t theirs = box_param(e, "flag", MEMBOX_I64, 1, 0);
	uint64_t one = vm_alloc(p->vm, 4096, 4096), out = vm_alloc(p->vm, 4096, 4096), five = 5;
	struct membox_packet acc = packet_io(MEMBOX_OP_ACC, sum, MEMBOX_I64, 0, 1, one);
	struct membox_packet read = packet_io(MEMBOX_OP_READ, sum, MEMBOX_I64, 0, 1, out);
	struct membox_packet wait = wait_for(flag, 5), late = wait_for(flag, 6);
	struct membox_packet store = packet_io(MEMBOX_OP_WRITE, theirs, MEMBOX_I64, 0, 1, 0);
	struct membox_completion c;
	unsigned int seen[64] = {0};

	*(uint64_t *)vm_at(p->vm, one) = 1;
	acc.src_type = MEMBOX_I64;
	acc.reduction = MEMBOX_SUM;
	acc.scale.a = 0x3ff0000000000000ULL;
	late.timeout_us = 1;
	wait.user_data = 1;
	pair_put(&p->io, &wait);
	for (unsigned int i = 0; i < 20; i++) {
		acc.user_data = 10 + i;
		pair_put(&p->io, &acc);
	}
	/* held behind the WAIT and all additions */
	read.flags = MEMBOX_F_FENCE;
	read.user_data = 40;
	pair_put(&p->io, &read);
	pair_publish(&p->io);

	migrate_over(box);
	to = arrive(p, box, DEVICE ",delay=20000000" WAITING);
	run_on(&target);
	EQUAL(pair_run(&to->admin, &(struct membox_packet){.opcode = 0x7f}, &c), MEMBOX_ST_BAD_OPCODE);
	EQUAL(box_run(e, &store, &five, NULL), MEMBOX_ST_OK);
	for (int i = 0; i < 22; i++) {
		pair_take(&to->io, &c);
		EQUAL(c.status, MEMBOX_ST_OK);
		CHECK(c.user_data < 64 && !seen[c.user_data]);
		seen[c.user_data] = 1;
		if (c.user_data == 40)
			EQUAL(i, 21);
	}
	EQUAL(*(uint64_t *)vm_at(to->vm, out), 20);
	EQUAL(pair_run(&to->io, &late, &c), MEMBOX_ST_TIMED_OUT);
	EQUAL(counter(to, MEMBOX_CTR_OPERATIONS), 23);
}

/* A user queue and its region, with a command that waits in it. */
static void user_queues(void)
{
	enum { KEY = 3 << 16 | 9 };
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE), *to;
	uint32_t words = param(p, "words", MEMBOX_I64, 64, 0), theirs = box_param(e, "words", MEMBOX_I64, 64, 0);
	uint64_t mem = vm_alloc(p->vm, 8192, 4096), list = vm_alloc(p->vm, 4096, 4096), five = 5;
	struct membox_sge *sge = vm_at(p->vm, list);
	struct membox_region_hw r = {
		.size = sizeof(r), .key = KEY, .context = 1, .rights = MEMBOX_WIN_WRITE,
		.addr = list, .nseg = 2, .length = 8192,
	};
	struct membox_packet wait = wait_for(words, 5);
	struct membox_packet read = packet_io(MEMBOX_OP_READ, words, MEMBOX_I64, 0, 1, 4096);
	struct membox_packet store = packet_io(MEMBOX_OP_WRITE, theirs, MEMBOX_I64, 0, 1, 0);
	struct membox_queue_args args;
	struct membox_completion c;
	struct pair q;

	sge[0] = (struct membox_sge){.addr = mem + 4096, .len = 4096};
	sge[1] = (struct membox_sge){.addr = mem, .len = 4096};
	EQUAL(admin(p, 0, MEMBOX_ADM_REGION_ADD, &r, sizeof(r)), MEMBOX_ST_OK);
	pair_init(p, &q, 2, 4, 4);
	args = (struct membox_queue_args){
		.size = sizeof(args), .queue = 2, .vector = 0xffff, .sq_addr = q.sq_addr, .cq_addr = q.cq_addr,
		.ctl_addr = q.ctl_addr, .sq_log2 = 4, .cq_log2 = 4, .context = 1, .flags = MEMBOX_QUEUE_USER,
	};
	EQUAL(admin(p, 0, MEMBOX_ADM_QUEUE_CREATE, &args, sizeof(args)), MEMBOX_ST_OK);
	wait.context = 0;
	read.context = 0;
	read.flags = MEMBOX_F_REGION | MEMBOX_F_FENCE;
	read.host.key = KEY;
	pair_put(&q, &wait);
	pair_put(&q, &read);
	pair_publish(&q);

	migrate_over(box);
	to = arrive(p, box, INCOMING);
	q.port = to;
	q.sq = vm_at(to->vm, q.sq_addr);
	q.cq = vm_at(to->vm, q.cq_addr);
	q.ctl = vm_at(to->vm, q.ctl_addr);
	run_on(&target);
	EQUAL(box_run(e, &store, &five, NULL), MEMBOX_ST_OK);
	for (int i = 0; i < 2; i++) {
		pair_take(&q, &c);
		EQUAL(c.status, MEMBOX_ST_OK);
	}
	EQUAL(*(uint64_t *)vm_at(to->vm, mem), 5);
	read.host.key = KEY + 0x10000;
	EQUAL(pair_run(&q, &read, &c), MEMBOX_ST_BAD_REGION);
	EQUAL(admin(to, 0, MEMBOX_ADM_REGION_DEL, &r, sizeof(r)), MEMBOX_ST_OK);
	read.host.key = KEY;
	EQUAL(pair_run(&q, &read, &c), MEMBOX_ST_BAD_REGION);
}

/* Two moves: the second before the VM has run at its first destination. */
static void moves_twice(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE), *to;
	uint32_t flag = param(p, "flag", MEMBOX_I64, 1, 0), theirs = box_param(e, "flag", MEMBOX_I64, 1, 0);
	struct membox_packet wait = wait_for(flag, 5);
	struct membox_packet store = packet_io(MEMBOX_OP_WRITE, theirs, MEMBOX_I64, 0, 1, 0);
	struct membox_completion c;
	uint64_t five = 5;

	pair_put(&p->io, &wait);
	pair_publish(&p->io);
	migrate_over(box);
	to = arrive(p, box, INCOMING);
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_LIVE);
	/* it ends without having run: the port waits as it did */
	port_stop(to);
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_SUSPENDED);
	to = arrive(p, box, INCOMING);
	run_on(&target);
	EQUAL(box_run(e, &store, &five, NULL), MEMBOX_ST_OK);
	pair_take(&to->io, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
}

/* ---- one owner ---- */

static void source_stays(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE);

	param(p, "x", MEMBOX_I8, 64, 0);
	migrate_over(box);
	monitor_do(&source, "\"cont\"", "\"RESUME\"");
	monitor_do(&source, "\"query-status\"", "internal-error");
	monitor_refuse(&source, "\"cont\"");
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_SUSPENDED);
	arrive(p, box, INCOMING);
	run_on(&target);
	monitor_do(&target, "\"query-status\"", "\"running\": true");
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_LIVE);
	/* the source ends: the port is not its own any more */
	port_stop(p);
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_LIVE);
}

/* A second device, which cannot be suspended after the first was: its box is stopped. */
static void takes_back(void)
{
	const char *box = box_make(BOX_MB), *second = box_make(BOX_MB);
	struct mbe *e = box_attach(box), *broken = box_attach(second);
	char devices[512], log[4096] = "", path[128];
	struct port *p;
	uint32_t h, theirs = box_param(e, "x", MEMBOX_I64, 8, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args w;
	struct membox_packet wait, store = packet_io(MEMBOX_OP_WRITE, theirs, MEMBOX_I64, 0, 1, 0);
	struct membox_completion c;
	uint64_t five = 5;
	int fd;

	snprintf(devices, sizeof(devices),
		 "-trace membox_suspend -trace membox_resume %s "
		 "-object memory-backend-file,id=box2,mem-path=%s,size=4096,share=on "
		 "-device membox,memdev=box2,port=3",
		 DEVICE, second);
	p = boot_source(box, devices);
	h = param(p, "x", MEMBOX_I64, 8, MEMBOX_PARAM_MAPPABLE);
	w = map_window(p, h, 3);
	wait = wait_for(h, 5);
	pair_put(&p->io, &wait);
	pair_publish(&p->io);
	MBE_STORE(&broken->state->stopped, 1);
	say_events(&source);
	monitor_do(&source, "\"migrate\",\"arguments\":{\"uri\":\"exec:cat > /dev/null\"}", "return");
	monitor_expect(&source, "\"failed\"");
	status_wait(&source, "\"running\": true");
	snprintf(path, sizeof(path), "%s/log", p->vm->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(read(fd, log, sizeof(log) - 1) > 0);
	close(fd);
	CHECK(strstr(log, "membox_suspend") && strstr(strstr(log, "membox_suspend"), "membox_resume"));
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_LIVE);
	vm_write(p->vm, p->bar2 + w.offset + 8, 8, 3);
	EQUAL(vm_read(p->vm, p->bar2 + w.offset + 8, 8), 3);
	EQUAL(box_run(e, &store, &five, NULL), MEMBOX_ST_OK);
	pair_take(&p->io, &c);
	EQUAL(c.status, MEMBOX_ST_OK);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
	EQUAL(mbe_fsck(broken, NULL, NULL), 0); /* starts it again */
}

static void evicted(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE);
	struct membox_port_stat a = {.size = sizeof(a), .port = 5};
	char extra[256], *text;

	param(p, "x", MEMBOX_I8, 64, MEMBOX_PARAM_EPHEMERAL);
	EQUAL(admin(p, 1, MEMBOX_ADM_PORT_EVICT, &a, sizeof(a)), MEMBOX_ST_DENIED);
	EQUAL(mbe_admin(e, 1, MEMBOX_ADM_PORT_EVICT, &a, sizeof(a)), MEMBOX_ST_BUSY);
	migrate_over(box);
	text = vm_refusal(box, DEVICE);
	CHECK(strstr(text, "port 5") && strstr(text, "evict"));
	free(text);
	EQUAL(mbe_admin(e, 1, MEMBOX_ADM_PORT_EVICT, &a, sizeof(a)), MEMBOX_ST_OK);
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_FREE);
	snprintf(extra, sizeof(extra), "%s -incoming file:%s", DEVICE, state_file(box));
	text = vm_refusal(box, extra);
	CHECK(strstr(text, "evicted"));
	free(text);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
}

static void auto_refused(void)
{
	const char *box = box_make(BOX_MB);
	struct port *p = boot_source(box, "-device membox,memdev=box");
	char *text;

	monitor_refuse(&source, "\"migrate\",\"arguments\":{\"uri\":\"exec:cat > /dev/null\"}");
	CHECK(strstr(source.said, "port=auto does not migrate"));
	EQUAL(reg32(p, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
	text = vm_refusal(box, "-device membox,memdev=box -incoming defer");
	CHECK(strstr(text, "port=auto"));
	free(text);
}

static void other_shape_refused(void)
{
	static const char *const devices[] = {DEVICE ",queues=2", DEVICE ",acc=off", DEVICE ",rights=ro",
					      DEVICE ",max-windows=0"};
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE);
	struct port *to;
	char extra[256];

	map_window(p, param(p, "x", MEMBOX_I8, 64, MEMBOX_PARAM_MAPPABLE), 3);
	migrate_over(box);
	for (unsigned int i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
		char *text;

		snprintf(extra, sizeof(extra), "%s -incoming file:%s", devices[i], state_file(box));
		text = vm_refusal(box, extra);
		CHECK(*text);
		free(text);
		EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_SUSPENDED);
	}
	to = arrive(p, box, INCOMING);
	run_on(&target);
	EQUAL(reg32(to, MEMBOX_REG_STATUS), MEMBOX_DEV_READY);
}

/*
 * Makes the admin queue of a saved state (struct MemboxSavedQueue, big endian) one
 * of context 1.
 */
static void forge_user_admin(const char *path, const struct pair *q)
{
	enum { CONTEXT = 4, USER = 6, ADDRESSES = 11, BYTES = ADDRESSES + 24 };
	uint8_t record[BYTES] = {[7] = (uint8_t)q->log2, (uint8_t)q->cq_log2};
	const uint64_t addr[] = {q->sq_addr, q->cq_addr, q->ctl_addr};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	uint8_t *state, *at;

	CHECK(fd >= 0 && !fstat(fd, &st));
	state = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(state != MAP_FAILED);
	for (unsigned int i = 0; i < 24; i++)
		record[ADDRESSES + i] = (uint8_t)(addr[i / 8] >> (56 - i % 8 * 8));
	at = memmem(state, (size_t)st.st_size, record, BYTES);
	CHECK(at);
	at[CONTEXT + 1] = 1;
	at[USER] = 1;
	munmap(state, (size_t)st.st_size);
	close(fd);
}

static void forged_queue_refused(void)
{
	const char *box = box_make(BOX_MB);
	struct mbe *e = box_attach(box);
	struct port *p = boot_source(box, DEVICE);
	char extra[256], *text;

	migrate_over(box);
	forge_user_admin(state_file(box), &p->admin);
	snprintf(extra, sizeof(extra), "%s -incoming file:%s", DEVICE, state_file(box));
	text = vm_refusal(box, extra);
	CHECK(strstr(text, "queue 0 of the state is impossible"));
	free(text);
	EQUAL(mbe_port_state(e, 5), MEMBOX_PORT_SUSPENDED);
}

static const struct test_case cases[] = {
	{"handles, windows, locks and counters go along, the box's bytes do not", goes_on},
	{"what waits or is held ends at the destination, what was done is not done twice", busy_queues},
	{"user queues and their regions go along", user_queues},
	{"a destination that ends before it ran leaves the port to the next", moves_twice},
	{"the source cannot continue, and its end takes nothing along", source_stays},
	{"a source whose migration failed goes on with its port", takes_back},
	{"an evicted port is free, and its saved state refused", evicted},
	{"port=auto does not migrate", auto_refused},
	{"a destination of another shape is refused, and the right one taken after it", other_shape_refused},
	{"a state whose admin queue is a process's is refused", forged_queue_refused},
};
CASE_MAIN(cases)
