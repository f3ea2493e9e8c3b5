// SPDX-License-Identifier: MIT
/*
 * pci.c - finds membox devices with libpci, reads what their configuration space
 * and sysfs tell, and judges it: what would keep a program from using them.
 */
#include "pci.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pci/pci.h>

#define DRIVER "membox"

/* The MSI-X capability, which libpci's header leaves out. */
#define MSIX_FLAGS 2
#define MSIX_FLAGS_ENABLE 0x8000U
#define MSIX_FLAGS_SIZE 0x07ffU
#define MSIX_TABLE 4
#define MSIX_TABLE_BAR 7U

static const char *verb_name; /* for libpci's errors, which do not return */

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(char *msg, ...)
{
	va_list args;

	fprintf(stderr, "memboxctl %s: libpci: ", verb_name);
	va_start(args, msg);
	vfprintf(stderr, msg, args);
	va_end(args);
	fputc('\n', stderr);
	exit(CTL_FAILED);
}

static void quiet(char *msg, ...)
{
	(void)msg;
}

/* ---- reading ---- */

static void read_bars(struct pci_device *d, struct pci_dev *p)
{
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		d->bar[i].address = p->base_addr[i] & PCI_ADDR_MEM_MASK;
		d->bar[i].size = p->size[i];
		d->bar[i].is_64 = (p->base_addr[i] & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
				  PCI_BASE_ADDRESS_MEM_TYPE_64;
		d->bar[i].prefetchable = p->base_addr[i] & PCI_BASE_ADDRESS_MEM_PREFETCH;
	}
}

static void read_link(struct pci_device *d, struct pci_dev *p)
{
	struct pci_cap *cap = pci_find_cap(p, PCI_CAP_ID_EXP, PCI_CAP_NORMAL);
	uint32_t most;
	uint16_t now;

	if (!cap)
		return;
	most = pci_read_long(p, (int)cap->addr + PCI_EXP_LNKCAP);
	now = pci_read_word(p, (int)cap->addr + PCI_EXP_LNKSTA);
	d->has_link = (most & PCI_EXP_LNKCAP_SPEED) != 0;
	d->max_speed = most & PCI_EXP_LNKCAP_SPEED;
	d->max_width = (most & PCI_EXP_LNKCAP_WIDTH) >> 4;
	d->speed = now & PCI_EXP_LNKSTA_SPEED;
	d->width = (now & PCI_EXP_LNKSTA_WIDTH) >> 4;
}

static void read_msix(struct pci_device *d, struct pci_dev *p)
{
	struct pci_cap *cap = pci_find_cap(p, PCI_CAP_ID_MSIX, PCI_CAP_NORMAL);
	uint16_t flags;
	uint32_t table;

	if (!cap)
		return;
	flags = pci_read_word(p, (int)cap->addr + MSIX_FLAGS);
	table = pci_read_long(p, (int)cap->addr + MSIX_TABLE);
	d->has_msix = true;
	d->msix_on = flags & MSIX_FLAGS_ENABLE;
	d->vectors = (flags & MSIX_FLAGS_SIZE) + 1U;
	d->msix_bar = table & MSIX_TABLE_BAR;
	d->msix_offset = table & ~MSIX_TABLE_BAR;
}

/* The node that the driver made: a folder of its name below the device's. */
static void read_node(struct pci_device *d, const char *sysfs)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/devices/%s/" DRIVER, sysfs, d->address);
	dir = opendir(path);
	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (!strncmp(e->d_name, DRIVER, strlen(DRIVER)))
			snprintf(d->node, sizeof(d->node), "%.31s", e->d_name);
	closedir(dir);
	snprintf(path, sizeof(path), "/dev/%s", d->node);
	d->has_node = d->node[0] && !access(path, F_OK);
}

static void read_driver(struct pci_device *d, struct pci_dev *p, const char *sysfs)
{
	const char *driver = pci_get_string_property(p, PCI_FILL_DRIVER);
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	if (!driver) {
		snprintf(path, sizeof(path), "%s/devices/%s/driver", sysfs, d->address);
		n = readlink(path, link, sizeof(link) - 1);
		if (n > 0) {
			link[n] = 0;
			driver = strrchr(link, '/') ? strrchr(link, '/') + 1 : link;
		}
	}
	if (driver)
		snprintf(d->driver, sizeof(d->driver), "%.31s", driver);
}

static struct pci_device *read_device(struct pci_dev *p, const char *sysfs)
{
	struct pci_device *d = calloc(1, sizeof(*d));
	uint16_t command;

	if (!d)
		return NULL;
	pci_fill_info(p, PCI_FILL_IDENT | PCI_FILL_IRQ | PCI_FILL_BASES | PCI_FILL_SIZES |
				 PCI_FILL_CAPS | PCI_FILL_NUMA_NODE | PCI_FILL_DRIVER);
	snprintf(d->address, sizeof(d->address), "%04x:%02x:%02x.%x", (unsigned int)p->domain & 0xffff,
		 p->bus, p->dev, (unsigned int)p->func & 7);
	command = pci_read_word(p, PCI_COMMAND);
	d->memory = command & PCI_COMMAND_MEMORY;
	d->bus_master = command & PCI_COMMAND_MASTER;
	d->revision = pci_read_byte(p, PCI_REVISION_ID);
	d->irq = p->irq ? p->irq : -1;
	d->numa_node = p->numa_node;
	read_bars(d, p);
	read_link(d, p);
	read_msix(d, p);
	read_driver(d, p, sysfs);
	read_node(d, sysfs);
	return d;
}

/* ---- judging ---- */

static void __attribute__((format(printf, 2, 3))) find(struct pci_device *d, const char *fmt, ...)
{
	va_list args;

	if (d->nfindings == PCI_FINDINGS)
		return;
	va_start(args, fmt);
	vsnprintf(d->finding[d->nfindings++], sizeof(d->finding[0]), fmt, args);
	va_end(args);
}

static void judge_driver(struct pci_device *d, const char *sysfs)
{
	char path[PATH_MAX];

	if (d->driver[0] && strcmp(d->driver, DRIVER)) {
		find(d, "driver %s holds it: echo %s > %s/drivers/%s/unbind, then load " DRIVER,
		     d->driver, d->address, sysfs, d->driver);
		return;
	}
	if (!d->driver[0]) {
		snprintf(path, sizeof(path), "%s/drivers/" DRIVER, sysfs);
		if (access(path, F_OK))
			find(d, "no driver: module " DRIVER " is not loaded (modprobe " DRIVER
				", or insmod " DRIVER ".ko)");
		else
			find(d, "no driver: module " DRIVER " is loaded but did not take it; the "
				"kernel log says why (dmesg), echo %s > %s/drivers/" DRIVER
				"/bind tries again", d->address, sysfs);
		return;
	}
	if (!d->node[0])
		find(d, "driver " DRIVER " holds it but made no node: the kernel log says why "
			"(dmesg)");
	else if (!d->has_node)
		find(d, "no /dev/%s: is devtmpfs mounted, and udev running?", d->node);
	else if (access("/dev", X_OK) == 0) {
		snprintf(path, sizeof(path), "/dev/%s", d->node);
		if (access(path, R_OK | W_OK))
			find(d, "/dev/%s may not be opened by this user: see its group and the "
				"udev rule", d->node);
	}
}

static void judge(struct pci_device *d, const char *sysfs)
{
	static const int needed[] = { MEMBOX_BAR_REGS, MEMBOX_BAR_APERTURE, MEMBOX_BAR_DOORBELL };
	static const char *const what[] = { "registers", "aperture", "doorbells" };
	bool is_used = !strcmp(d->driver, DRIVER);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		const struct pci_bar *bar = &d->bar[needed[i]];

		if (bar->size && !bar->address)
			find(d, "BAR %d (%s) has no address: the host bridge's window is too small "
				"for %llu bytes; boot with pci=realloc, or make the aperture smaller",
			     needed[i], what[i], (unsigned long long)bar->size);
	}
	if (!d->memory)
		find(d, is_used ? "memory decoding is off although the driver holds it: it was "
				  "reset or suspended behind its back" :
				  "BARs are disabled (memory decoding is off): the driver turns it on");
	if (d->revision != MEMBOX_PCI_REVISION)
		find(d, "revision %u: this program knows %u", d->revision, MEMBOX_PCI_REVISION);
	if (!d->has_msix)
		find(d, "no MSI-X capability: completions will be polled for");
	judge_driver(d, sysfs);
	if (d->has_link && d->max_speed && (d->speed < d->max_speed || d->width < d->max_width))
		find(d, "link is slower than it could be: x%u at %s of x%u at %s", d->width,
		     pci_speed_text(d->speed), d->max_width, pci_speed_text(d->max_speed));
}

/* ---- all of it ---- */

const char *pci_speed_text(unsigned int speed)
{
	static const char *const text[] = { "unknown speed", "2.5 GT/s", "5 GT/s",  "8 GT/s",
					    "16 GT/s",	     "32 GT/s",	 "64 GT/s" };

	return text[speed < sizeof(text) / sizeof(text[0]) ? speed : 0];
}

static int set_options(const struct ctl_verb *verb, struct pci_access *access_to,
		       const struct pci_options *options)
{
	unsigned int i;
	char *value, param[PATH_MAX];

	if (options->method) {
		snprintf(param, sizeof(param), "%s", options->method);
		i = (unsigned int)pci_lookup_method(param);
		if ((int)i < 0)
			return ctl_fail(verb, "libpci has no access method '%s'", options->method);
		access_to->method = i;
	}
	for (i = 0; i < options->nparams; i++) {
		snprintf(param, sizeof(param), "%s", options->param[i]);
		value = strchr(param, '=');
		if (!value)
			return ctl_fail(verb, "'%s' is not NAME=VALUE", param);
		*value++ = 0;
		if (pci_set_param(access_to, param, value))
			return ctl_fail(verb, "libpci has no parameter '%s'", param);
	}
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct pci_device *const *x = a, *const *y = b;

	return strcmp((*x)->address, (*y)->address);
}

static struct pci_device *sort(struct pci_device *list)
{
	struct pci_device **all, *d;
	size_t n = 0, i;

	for (d = list; d; d = d->next)
		n++;
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		return list;
	for (i = 0, d = list; d; d = d->next)
		all[i++] = d;
	qsort(all, n, sizeof(*all), by_address);
	for (i = 0; i < n; i++)
		all[i]->next = all[i + 1];
	list = all[0];
	free(all);
	return list;
}

int pci_find(const struct ctl_verb *verb, const struct pci_options *options,
	     struct pci_device **devices)
{
	struct pci_access *a = pci_alloc();
	struct pci_device *list = NULL, *d;
	const char *sysfs;
	struct pci_dev *p;
	int ret;

	verb_name = verb->name;
	a->error = give_up;
	a->warning = quiet;
	ret = set_options(verb, a, options);
	if (ret) {
		pci_cleanup(a);
		return ret;
	}
	sysfs = pci_get_param(a, (char *)(uintptr_t) "sysfs.path");
	if (!sysfs)
		sysfs = "/sys/bus/pci";
	pci_init(a);
	pci_scan_bus(a);
	for (p = a->devices; p; p = p->next) {
		pci_fill_info(p, PCI_FILL_IDENT);
		if (p->vendor_id != MEMBOX_PCI_VENDOR || p->device_id != MEMBOX_PCI_DEVICE)
			continue;
		d = read_device(p, sysfs);
		if (!d)
			break;
		judge(d, sysfs);
		d->next = list;
		list = d;
	}
	*devices = list ? sort(list) : NULL;
	pci_cleanup(a);
	return 0;
}

void pci_free(struct pci_device *devices)
{
	struct pci_device *d;

	while ((d = devices)) {
		devices = d->next;
		free(d);
	}
}
