/* SPDX-License-Identifier: MIT */
/*
 * port.h - the membox device as a driver sees it, without a driver: BARs,
 * registers, rings, administration commands; and the box file behind it.
 */
#ifndef TEST_PORT_H
#define TEST_PORT_H

#include "engine.h"
#include "qtest.h"

#define BAR0   0xe0000000ULL
#define BAR4   0xe0200000ULL
#define BAR2   0x1000000000ULL
#define STRIDE 0x1000000ULL /* from device to device, BAR 0 and 4 */

#define PATIENCE_MS 60000 /* for what must come */

/* A queue pair from the host's side. */
struct pair {
	struct port *port;
	unsigned int id;
	uint32_t log2, cq_log2;
	uint64_t sq_addr, cq_addr, ctl_addr;
	struct membox_packet *sq;
	struct membox_completion *cq;
	struct membox_qctl *ctl;
	uint32_t tail, head;
	uint16_t cid;
};

struct port {
	struct vm *vm;
	unsigned int devfn;
	uint64_t bar0, bar2, bar4;
	uint64_t aperture;
	struct pair admin, io;
	uint64_t page; /* guest page for administration structures */
	uint64_t msi;  /* guest words that MSI-X messages are written to, one a vector */
};

/* A box file of this size in megabytes, removed when the case ends. Its path. */
const char *box_make(unsigned int megabytes);
/* This process as a port of the box, with one context: 1. Detached with the case. */
struct mbe *box_attach(const char *path);
/* Executes a packet on it; host memory is buf. */
uint16_t box_run(struct mbe *e, const struct membox_packet *p, void *buf, struct membox_completion *c);

/*
 * Starts a VM with one device ("-device membox,memdev=box" and options), enables
 * it with its admin queue, opens context 1 and creates I/O queue 1. All of it
 * ends with the case.
 */
struct port *port_start(const char *box, const char *options);
/* The steps of it, for cases that want to stop before. extra: see vm_start. */
struct port *port_boot(const char *box, const char *extra);
void port_map(struct port *p, unsigned int index); /* finds device number index, sets its BARs */
void port_enable(struct port *p);
void port_queues(struct port *p);
/* Ends the VM before the case ends; must leave with status 0. */
void port_stop(struct port *p);

/* How many lines of what QEMU has said (with -trace) so far contain this. */
unsigned int said(struct port *p, const char *text);

uint32_t reg32(struct port *p, unsigned int at);
uint64_t reg64(struct port *p, unsigned int at);
void set32(struct port *p, unsigned int at, uint32_t value);
void set64(struct port *p, unsigned int at, uint64_t value);
/* Waits until (register & mask) == value. */
void reg_wait(struct port *p, unsigned int at, uint32_t mask, uint32_t value);

void ring_sq(struct pair *q);
void ring_cq(struct pair *q);

/* Memory and host state of a pair, nothing told to the device. */
void pair_init(struct port *p, struct pair *q, unsigned int id, uint32_t log2, uint32_t cq_log2);
uint16_t pair_create(struct pair *q, uint16_t vector);
uint16_t pair_delete(struct pair *q);
/* Writes a descriptor at the tail, not yet published: its command id. */
uint16_t pair_put(struct pair *q, const struct membox_packet *d);
/* Publishes all that was put; rings when the event index asks for it. */
void pair_publish(struct pair *q);
/* Next completion, waiting for it; false: none in ms. Gives the slot back. */
bool pair_poll(struct pair *q, struct membox_completion *c, int ms);
void pair_take(struct pair *q, struct membox_completion *c);
/* put, publish, take: the status. */
uint16_t pair_run(struct pair *q, const struct membox_packet *d, struct membox_completion *c);

/* An administration command: its status; buf is read and written. */
uint16_t admin(struct port *p, unsigned int context, uint8_t opcode, void *buf, size_t bytes);
uint16_t admin_full(struct port *p, const struct membox_packet *d, struct membox_completion *c);

/* A parameter by name, made if need be; context 1. */
uint32_t param(struct port *p, const char *name, unsigned int type, uint64_t count, unsigned int flags);
struct membox_param_args param_args(const char *name, unsigned int type, uint64_t count, unsigned int flags);
uint32_t box_param(struct mbe *e, const char *name, unsigned int type, uint64_t count, unsigned int flags);
uint64_t counter(struct port *p, enum membox_counter which);

/* Packets in context 1. */
struct membox_packet packet_io(uint8_t opcode, uint32_t handle, unsigned int type, uint64_t first,
			       uint64_t count, uint64_t addr);

/* MSI-X: messages of vector v store the number 0x1000 + v to its word. */
void msix_setup(struct port *p);
void msix_mask(struct port *p, unsigned int vector, bool masked);
bool msix_pending(struct port *p, unsigned int vector);
bool msix_wait(struct port *p, unsigned int vector, int ms); /* and clears its word */
bool msix_came(struct port *p, unsigned int vector);

/* Milliseconds that only go forward; and a short sleep. */
uint64_t now_ms(void);
void nap(void);

#endif
