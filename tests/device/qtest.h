/* SPDX-License-Identifier: MIT */
/*
 * qtest.h - a QEMU without a guest: its memory, ports and PCI configuration are
 * driven through the qtest socket. Guest RAM is a file that this process maps
 * too, so that rings are written as a CPU would write them.
 *
 * A failure of the machinery (QEMU died, no answer in time) ends the case.
 */
#ifndef TEST_QTEST_H
#define TEST_QTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VM_RAM_BYTES   (256ULL << 20)
#define VM_ALLOC_FIRST (16ULL << 20) /* where vm_alloc begins */

struct vm {
	pid_t pid;
	int fd, ram_fd;
	char dir[64];
	char line[4096];
	size_t have;
	uint8_t *ram;
	uint64_t next; /* of vm_alloc */
};

/*
 * Starts $QEMU with a q35 machine on box (NULL: none, then no memdev "box") and
 * the arguments of extra, one string with blanks between them.
 */
void vm_start(struct vm *vm, const char *box, const char *extra);
/* Ends it; the exit status, or -1 if it had to be killed. */
int vm_stop(struct vm *vm);
/* Kills it at once. */
void vm_kill(struct vm *vm);
/* Runs $QEMU with these arguments, expecting it to refuse: what it says. */
char *vm_refusal(const char *box, const char *extra);

uint64_t vm_read(struct vm *vm, uint64_t addr, unsigned int size);
void vm_write(struct vm *vm, uint64_t addr, unsigned int size, uint64_t value);
uint64_t vm_in(struct vm *vm, uint16_t port, unsigned int size);
void vm_out(struct vm *vm, uint16_t port, unsigned int size, uint64_t value);
/* Lets virtual time go on. */
void vm_clock(struct vm *vm, uint64_t ns);
/* Makes configuration space reachable; again after a reset of the machine. */
void vm_mmconfig(struct vm *vm);

/* Guest RAM: allocation by address, and where this process sees it. */
uint64_t vm_alloc(struct vm *vm, uint64_t bytes, uint64_t align);
void *vm_at(struct vm *vm, uint64_t addr);

/* Configuration space of function devfn on bus 0, also beyond 256 bytes. */
uint32_t cfg_read(struct vm *vm, unsigned int devfn, unsigned int at, unsigned int size);
void cfg_write(struct vm *vm, unsigned int devfn, unsigned int at, unsigned int size, uint32_t value);
/* First function with this vendor and device from devfn on, -1: none. */
int cfg_find(struct vm *vm, unsigned int devfn, uint16_t vendor, uint16_t device);
/* Offset of a capability, 0: none. */
unsigned int cfg_capability(struct vm *vm, unsigned int devfn, uint8_t id);

#endif
