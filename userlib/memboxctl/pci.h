/* SPDX-License-Identifier: MIT */
/*
 * pci.h - the membox devices of this computer as libpci sees them, whether a
 * driver is loaded or not.
 */
#ifndef CTL_PCI_H
#define CTL_PCI_H

#include "ctl.h"

#define PCI_BARS 6
#define PCI_FINDINGS 8

struct pci_bar {
	uint64_t address, size;
	bool is_64, prefetchable;
};

struct pci_device {
	struct pci_device *next;
	char address[16]; /* 0000:00:04.0 */
	char node[32];	  /* membox0; empty: none */
	char driver[32];  /* empty: none */
	bool has_node;	  /* /dev/membox0 is there */
	uint8_t revision;
	int irq, numa_node; /* -1: unknown */
	bool memory, bus_master; /* of the command register */
	struct pci_bar bar[PCI_BARS];
	bool has_link;
	unsigned int speed, max_speed; /* 1: 2.5 GT/s, 2: 5 ... */
	unsigned int width, max_width;
	bool has_msix, msix_on;
	unsigned int vectors, msix_bar;
	uint64_t msix_offset;
	/* what is wrong, and what to do */
	unsigned int nfindings;
	char finding[PCI_FINDINGS][320];
};

/* -O and -A of list and info, as lspci has them. */
struct pci_options {
	const char *method;
	const char *param[8]; /* NAME=VALUE */
	unsigned int nparams;
};
#define PCI_OPTIONS_HELP \
	"  -A, --method METHOD    how libpci looks: see pcilib(7)\n" \
	"  -O, --param NAME=VALUE parameter of libpci, such as sysfs.path=/sys/bus/pci\n"

/* All devices, in the order of their addresses. 0 or CTL_FAILED, said. */
int pci_find(const struct ctl_verb *verb, const struct pci_options *options,
	     struct pci_device **devices);
void pci_free(struct pci_device *devices);

const char *pci_speed_text(unsigned int speed);

#endif /* CTL_PCI_H */
