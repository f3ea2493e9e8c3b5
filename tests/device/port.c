// SPDX-License-Identifier: MIT
/* port.c - see port.h. */
#include "port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "case.h"

#define QUEUE_LOG2        6
#define CMD_MEMORY_MASTER 6 /* PCI command register */

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void nap(void)
{
	const struct timespec t = {.tv_nsec = 50000};

	nanosleep(&t, NULL);
}

/* ---- the box ---- */

static void box_remove(void *path)
{
	unlink(path);
	free(path);
}

const char *box_make(unsigned int megabytes)
{
	struct mbe_format_opts opts = {.bytes = (uint64_t)megabytes << 20, .ports = 8, .params = 256};
	char text[MBE_ERR_TEXT] = "";
	char *path = malloc(64);
	int fd;

	strcpy(path, "/dev/shm/membox-box-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		case_fail("no box file");
	close(fd);
	case_defer(box_remove, path);
	if (mbe_format(path, &opts, text))
		case_fail("format: %s", text);
	return path;
}

static void box_detach(void *e)
{
	mbe_detach(e);
}

struct mbe *box_attach(const char *path)
{
	struct mbe_attach_opts opts = {.port = MBE_PORT_AUTO, .is_operator = true};
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 1};
	char text[MBE_ERR_TEXT] = "";
	struct mbe *e;

	if (mbe_attach(path, &opts, &e, text))
		case_fail("attach: %s", text);
	case_defer(box_detach, e);
	EQUAL(mbe_admin(e, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
	return e;
}

static void box_done(struct mbe_cmd *cmd, const struct membox_completion *c)
{
	*(struct membox_completion *)cmd->arg = *c;
}

uint16_t box_run(struct mbe *e, const struct membox_packet *p, void *buf, struct membox_completion *c)
{
	struct iovec v = {.iov_base = buf, .iov_len = membox_host_bytes(p)};
	struct membox_completion mine;
	struct mbe_cmd cmd = {.p = *p, .done = box_done, .arg = c ? c : &mine};
	struct mbe_queue q = {0};

	cmd.p.context = 1;
	if (v.iov_len) {
		cmd.host = &v;
		cmd.nhost = 1;
	}
	if (mbe_queue_init(&q, e))
		case_fail("mbe_queue_init");
	CHECK(mbe_queue_enter(&q, &cmd));
	mbe_execute(e, &cmd);
	mbe_queue_fini(&q);
	return ((struct membox_completion *)cmd.arg)->status;
}

/* ---- the device ---- */

uint32_t reg32(struct port *p, unsigned int at)
{
	return (uint32_t)vm_read(p->vm, p->bar0 + at, 4);
}

uint64_t reg64(struct port *p, unsigned int at)
{
	return vm_read(p->vm, p->bar0 + at, 8);
}

void set32(struct port *p, unsigned int at, uint32_t value)
{
	vm_write(p->vm, p->bar0 + at, 4, value);
}

void set64(struct port *p, unsigned int at, uint64_t value)
{
	vm_write(p->vm, p->bar0 + at, 8, value);
}

void reg_wait(struct port *p, unsigned int at, uint32_t mask, uint32_t value)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while ((reg32(p, at) & mask) != value) {
		if (now_ms() > end)
			case_fail("register 0x%x is 0x%x", at, reg32(p, at));
		nap();
	}
}

static void port_end(void *arg)
{
	struct port *p = arg;
	int status = p->vm->pid > 0 ? vm_stop(p->vm) : 0;

	free(p->vm);
	free(p);
	if (status)
		case_fail("QEMU left with status %d", status);
}

void port_stop(struct port *p)
{
	EQUAL(vm_stop(p->vm), 0);
}

unsigned int said(struct port *p, const char *text)
{
	char path[128], line[512];
	unsigned int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", p->vm->dir);
	f = fopen(path, "re");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, text);
	fclose(f);
	return n;
}

struct port *port_boot(const char *box, const char *extra)
{
	struct port *p = calloc(1, sizeof(*p));

	p->vm = calloc(1, sizeof(*p->vm));
	p->vm->fd = -1;
	case_defer(port_end, p);
	vm_start(p->vm, box, extra);
	return p;
}

static void set_bar(struct port *p, unsigned int bar, uint64_t addr)
{
	cfg_write(p->vm, p->devfn, 0x10 + 4 * bar, 4, (uint32_t)addr);
	cfg_write(p->vm, p->devfn, 0x14 + 4 * bar, 4, (uint32_t)(addr >> 32));
}

void port_map(struct port *p, unsigned int index)
{
	int devfn = -8;

	for (unsigned int i = 0; i <= index; i++) {
		devfn = cfg_find(p->vm, (unsigned int)devfn + 8, MEMBOX_PCI_VENDOR, MEMBOX_PCI_DEVICE);
		if (devfn < 0)
			case_fail("there is no device number %u", index);
	}
	p->devfn = (unsigned int)devfn;
	p->bar0 = BAR0 + index * STRIDE;
	p->bar4 = BAR4 + index * STRIDE;
	p->bar2 = BAR2 * (index + 1);
	set_bar(p, MEMBOX_BAR_REGS, p->bar0);
	set_bar(p, MEMBOX_BAR_APERTURE, p->bar2);
	set_bar(p, MEMBOX_BAR_DOORBELL, p->bar4);
	cfg_write(p->vm, p->devfn, 4, 2, CMD_MEMORY_MASTER);
	p->aperture = reg64(p, MEMBOX_REG_APERTURE);
}

void port_enable(struct port *p)
{
	pair_init(p, &p->admin, 0, 4, 4);
	p->page = vm_alloc(p->vm, MEMBOX_ADMIN_BYTES, 4096);
	set64(p, MEMBOX_REG_ASQ, p->admin.sq_addr);
	set64(p, MEMBOX_REG_ACQ, p->admin.cq_addr);
	set64(p, MEMBOX_REG_ACTL, p->admin.ctl_addr);
	set32(p, MEMBOX_REG_ADEPTH, p->admin.log2);
	set32(p, MEMBOX_REG_CTRL, MEMBOX_CTRL_ENABLE);
	reg_wait(p, MEMBOX_REG_STATUS, MEMBOX_DEV_READY, MEMBOX_DEV_READY);
}

void port_queues(struct port *p)
{
	struct membox_ctx_args ctx = {.size = sizeof(ctx), .context = 1};

	EQUAL(admin(p, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
	pair_init(p, &p->io, 1, QUEUE_LOG2, QUEUE_LOG2);
	EQUAL(pair_create(&p->io, 1), MEMBOX_ST_OK);
}

struct port *port_start(const char *box, const char *options)
{
	char extra[512];
	struct port *p;

	snprintf(extra, sizeof(extra), "-device membox,memdev=box%s%s", *options ? "," : "", options);
	p = port_boot(box, extra);
	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	return p;
}

/* ---- rings ---- */

static void doorbell(struct pair *q, unsigned int offset)
{
	vm_write(q->port->vm, q->port->bar4 + q->id * MEMBOX_DB_PAGE + offset, 4, 1);
}

void ring_sq(struct pair *q)
{
	doorbell(q, MEMBOX_DB_SQ);
}

void ring_cq(struct pair *q)
{
	doorbell(q, MEMBOX_DB_CQ);
}

void pair_init(struct port *p, struct pair *q, unsigned int id, uint32_t log2, uint32_t cq_log2)
{
	memset(q, 0, sizeof(*q));
	q->port = p;
	q->id = id;
	q->log2 = log2;
	q->cq_log2 = cq_log2;
	q->sq_addr = vm_alloc(p->vm, sizeof(*q->sq) << log2, 4096);
	q->cq_addr = vm_alloc(p->vm, sizeof(*q->cq) << cq_log2, 4096);
	q->ctl_addr = vm_alloc(p->vm, sizeof(*q->ctl), 128);
	q->sq = vm_at(p->vm, q->sq_addr);
	q->cq = vm_at(p->vm, q->cq_addr);
	q->ctl = vm_at(p->vm, q->ctl_addr);
}

uint16_t pair_create(struct pair *q, uint16_t vector)
{
	struct membox_queue_args args = {
		.size = sizeof(args),
		.queue = (uint16_t)q->id,
		.vector = vector,
		.sq_addr = q->sq_addr,
		.cq_addr = q->cq_addr,
		.ctl_addr = q->ctl_addr,
		.sq_log2 = (uint8_t)q->log2,
		.cq_log2 = (uint8_t)q->cq_log2,
	};

	return admin(q->port, 0, MEMBOX_ADM_QUEUE_CREATE, &args, sizeof(args));
}

uint16_t pair_delete(struct pair *q)
{
	struct membox_queue_args args = {.size = sizeof(args), .queue = (uint16_t)q->id};

	return admin(q->port, 0, MEMBOX_ADM_QUEUE_DELETE, &args, sizeof(args));
}

uint16_t pair_put(struct pair *q, const struct membox_packet *d)
{
	struct membox_packet *slot = &q->sq[membox_ring_slot(q->tail, q->log2)];
	struct membox_packet copy = *d;
	uint64_t instruction;

	copy.cid = ++q->cid;
	copy.phase = (uint8_t)membox_ring_phase(q->tail, q->log2);
	memcpy((uint8_t *)slot + 8, (uint8_t *)&copy + 8, sizeof(copy) - 8);
	memcpy(&instruction, &copy, sizeof(instruction));
	__atomic_store_n((uint64_t *)slot, instruction, __ATOMIC_RELEASE);
	q->tail++;
	return copy.cid;
}

void pair_publish(struct pair *q)
{
	uint32_t old = q->ctl->sq_tail;

	__atomic_store_n(&q->ctl->sq_tail, q->tail, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (membox_need_event(__atomic_load_n(&q->ctl->sq_event, __ATOMIC_RELAXED), q->tail, old))
		ring_sq(q);
}

bool pair_poll(struct pair *q, struct membox_completion *c, int ms)
{
	struct membox_completion *slot = &q->cq[membox_ring_slot(q->head, q->cq_log2)];
	uint64_t end = now_ms() + (uint64_t)ms;

	while ((__atomic_load_n(&slot->phase, __ATOMIC_ACQUIRE) & 1) !=
	       membox_ring_phase(q->head, q->cq_log2)) {
		if (now_ms() > end)
			return false;
		nap();
	}
	*c = *slot;
	q->head++;
	__atomic_store_n(&q->ctl->cq_head, q->head, __ATOMIC_RELEASE);
	return true;
}

void pair_take(struct pair *q, struct membox_completion *c)
{
	if (!pair_poll(q, c, PATIENCE_MS))
		case_fail("queue %u: no completion (sq_head %u of %u, halted %u)", q->id, q->ctl->sq_head,
			  q->tail, q->ctl->halted);
}

uint16_t pair_run(struct pair *q, const struct membox_packet *d, struct membox_completion *c)
{
	struct membox_completion mine;
	uint16_t cid = pair_put(q, d);

	if (!c)
		c = &mine;
	pair_publish(q);
	pair_take(q, c);
	EQUAL(c->cid, cid);
	EQUAL(c->queue, q->id);
	return c->status;
}

/* ---- commands ---- */

uint16_t admin_full(struct port *p, const struct membox_packet *d, struct membox_completion *c)
{
	return pair_run(&p->admin, d, c);
}

uint16_t admin(struct port *p, unsigned int context, uint8_t opcode, void *buf, size_t bytes)
{
	struct membox_packet d = {
		.opcode = opcode,
		.context = (uint16_t)context,
		.count = bytes,
		.host.addr = p->page,
	};
	uint16_t status;

	memcpy(vm_at(p->vm, p->page), buf, bytes);
	status = admin_full(p, &d, NULL);
	memcpy(buf, vm_at(p->vm, p->page), bytes);
	return status;
}

struct membox_param_args param_args(const char *name, unsigned int type, uint64_t count, unsigned int flags)
{
	struct membox_param_args a = {
		.size = sizeof(a),
		.flags = MEMBOX_PARAM_CREATE | flags,
		.type = type,
		.count = count,
	};

	strcpy(a.name, name);
	return a;
}

uint32_t param(struct port *p, const char *name, unsigned int type, uint64_t count, unsigned int flags)
{
	struct membox_param_args a = param_args(name, type, count, flags);

	EQUAL(admin(p, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	return a.handle;
}

uint32_t box_param(struct mbe *e, const char *name, unsigned int type, uint64_t count, unsigned int flags)
{
	struct membox_param_args a = param_args(name, type, count, flags);

	EQUAL(mbe_admin(e, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_OK);
	return a.handle;
}

uint64_t counter(struct port *p, enum membox_counter which)
{
	return reg64(p, MEMBOX_REG_COUNTERS + 8 * which);
}

struct membox_packet packet_io(uint8_t opcode, uint32_t handle, unsigned int type, uint64_t first,
			       uint64_t count, uint64_t addr)
{
	return (struct membox_packet){
		.opcode = opcode,
		.context = 1,
		.dst_type = (uint8_t)type,
		.count = count,
		.handle = {handle},
		.offset = {first},
		.host.addr = addr,
	};
}

/* ---- MSI-X ---- */

static uint64_t entry(struct port *p, unsigned int vector)
{
	return p->bar0 + MEMBOX_MSIX_TABLE + 16 * vector;
}

void msix_setup(struct port *p)
{
	unsigned int cap = cfg_capability(p->vm, p->devfn, 0x11);
	uint32_t n = reg32(p, MEMBOX_REG_VECTORS);

	p->msi = vm_alloc(p->vm, 4096, 4096);
	for (unsigned int v = 0; v < n; v++) {
		vm_write(p->vm, entry(p, v), 4, p->msi + 4 * v);
		vm_write(p->vm, entry(p, v) + 4, 4, 0);
		vm_write(p->vm, entry(p, v) + 8, 4, 0x1000 + v);
		vm_write(p->vm, entry(p, v) + 12, 4, 0);
	}
	cfg_write(p->vm, p->devfn, cap + 2, 2, 0x8000);
}

void msix_mask(struct port *p, unsigned int vector, bool masked)
{
	vm_write(p->vm, entry(p, vector) + 12, 4, masked);
}

bool msix_pending(struct port *p, unsigned int vector)
{
	return vm_read(p->vm, p->bar0 + MEMBOX_MSIX_PBA, 8) >> vector & 1;
}

bool msix_came(struct port *p, unsigned int vector)
{
	uint32_t *word = vm_at(p->vm, p->msi + 4 * vector);

	/* Any access makes QEMU's main loop go round: bottom halves have run. */
	reg32(p, MEMBOX_REG_ID);
	return __atomic_load_n(word, __ATOMIC_ACQUIRE) == 0x1000 + vector;
}

bool msix_wait(struct port *p, unsigned int vector, int ms)
{
	uint64_t end = now_ms() + (uint64_t)ms;
	uint32_t *word = vm_at(p->vm, p->msi + 4 * vector);

	while (!msix_came(p, vector)) {
		if (now_ms() > end)
			return false;
		nap();
	}
	__atomic_store_n(word, 0, __ATOMIC_RELAXED);
	return true;
}
