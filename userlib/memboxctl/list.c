// SPDX-License-Identifier: MIT
/*
 * list.c - memboxctl list and info: the devices of this computer.
 */
#include <inttypes.h>
#include <string.h>

#include "pci.h"

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "method", required_argument, NULL, 'A' },
	{ "param", required_argument, NULL, 'O' },
	{ NULL, 0, NULL, 0 },
};

static int parse(const struct ctl_verb *verb, int argc, char **argv, struct pci_options *pci,
		 bool *json)
{
	int c;

	memset(pci, 0, sizeof(*pci));
	*json = false;
	while ((c = getopt_long(argc, argv, "jA:O:", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			*json = true;
			break;
		case 'A':
			pci->method = optarg;
			break;
		case 'O':
			if (pci->nparams == sizeof(pci->param) / sizeof(pci->param[0]))
				return ctl_fail(verb, "too many -O");
			pci->param[pci->nparams++] = optarg;
			break;
		default:
			return ctl_usage(verb, stderr);
		}
	}
	return 0;
}

static int none_found(const struct ctl_verb *verb)
{
	ctl_fail(verb, "no membox device (PCI %04x:%04x) in this computer; a virtual machine gets "
		       "one with `-device membox,memdev=...`, and a box can also be a file: "
		       "`memboxctl format`", MEMBOX_PCI_VENDOR, MEMBOX_PCI_DEVICE);
	return CTL_WRONG;
}

/* ---- JSON ---- */

static struct json_object *json_bars(const struct pci_device *d)
{
	struct json_object *list = json_object_new_array();
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &d->bar[i];
		struct json_object *o;

		if (!bar->size && !bar->address)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "bar", json_object_new_uint64(i));
		json_object_object_add(o, "address", json_object_new_uint64(bar->address));
		json_object_object_add(o, "bytes", json_object_new_uint64(bar->size));
		json_object_object_add(o, "is_64_bit", json_object_new_boolean(bar->is_64));
		json_object_object_add(o, "prefetchable",
				       json_object_new_boolean(bar->prefetchable));
		json_object_object_add(o, "enabled",
				       json_object_new_boolean(d->memory && bar->address));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *json_device(const struct pci_device *d)
{
	struct json_object *o = json_object_new_object(), *findings = json_object_new_array();
	struct json_object *link = json_object_new_object(), *msix = json_object_new_object();
	unsigned int i;

	json_object_object_add(o, "address", json_object_new_string(d->address));
	json_object_object_add(o, "driver",
			       d->driver[0] ? json_object_new_string(d->driver) : NULL);
	json_object_object_add(o, "node", d->node[0] ? json_object_new_string(d->node) : NULL);
	json_object_object_add(o, "revision", json_object_new_uint64(d->revision));
	json_object_object_add(o, "bars", json_bars(d));
	json_object_object_add(o, "bus_master", json_object_new_boolean(d->bus_master));
	if (d->has_link) {
		json_object_object_add(link, "width", json_object_new_uint64(d->width));
		json_object_object_add(link, "speed",
				       json_object_new_string(pci_speed_text(d->speed)));
		json_object_object_add(link, "max_width", json_object_new_uint64(d->max_width));
		json_object_object_add(link, "max_speed",
				       json_object_new_string(pci_speed_text(d->max_speed)));
	}
	json_object_object_add(o, "link", link);
	if (d->has_msix) {
		json_object_object_add(msix, "vectors", json_object_new_uint64(d->vectors));
		json_object_object_add(msix, "enabled", json_object_new_boolean(d->msix_on));
		json_object_object_add(msix, "bar", json_object_new_uint64(d->msix_bar));
		json_object_object_add(msix, "offset", json_object_new_uint64(d->msix_offset));
	}
	json_object_object_add(o, "msix", msix);
	for (i = 0; i < d->nfindings; i++)
		json_object_array_add(findings, json_object_new_string(d->finding[i]));
	json_object_object_add(o, "findings", findings);
	return o;
}

/* ---- list ---- */

static int run_list(const struct ctl_verb *verb, int argc, char **argv)
{
	struct pci_device *devices, *d;
	struct json_object *list;
	struct pci_options pci;
	bool json;
	int ret = parse(verb, argc, argv, &pci, &json);

	if (!ret)
		ret = pci_find(verb, &pci, &devices);
	if (ret)
		return ret;
	if (json) {
		list = json_object_new_array();
		for (d = devices; d; d = d->next)
			json_object_array_add(list, json_device(d));
		pci_free(devices);
		return ctl_print_json(list);
	}
	if (!devices)
		return none_found(verb);
	printf("%-14s %-14s %-10s %s\n", "ADDRESS", "NODE", "DRIVER", "STATE");
	for (d = devices; d; d = d->next)
		printf("%-14s %-14s %-10s %s\n", d->address, d->node[0] ? d->node : "-",
		       d->driver[0] ? d->driver : "-", d->nfindings ? d->finding[0] : "good");
	pci_free(devices);
	return CTL_GOOD;
}

const struct ctl_verb ctl_list = {
	.name = "list",
	.synopsis = "[-j]",
	.summary = "Lists the membox devices of this computer, with a driver or without",
	.help = "  -j, --json             for programs\n" PCI_OPTIONS_HELP "\n"
		"example: memboxctl list\n",
	.run = run_list,
};

/* ---- info ---- */

static void print_bars(const struct pci_device *d)
{
	static const char *const what[PCI_BARS] = { "registers", "", "aperture",
						      "",	   "doorbells", "" };
	unsigned int i;
	char size[32];

	for (i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &d->bar[i];

		if (!bar->size && !bar->address)
			continue;
		printf("  BAR %u       %s at %#" PRIx64 ", %s, %s%s%s\n", i, what[i], bar->address,
		       ctl_bytes_text(bar->size, size), bar->is_64 ? "64-bit" : "32-bit",
		       bar->prefetchable ? ", prefetchable" : "",
		       !bar->address ? ", no address" : d->memory ? "" : ", disabled");
	}
}

/* What the box behind the node says, when it can be asked. */
static void print_box(const struct pci_device *d)
{
	struct membox_info info = { .size = sizeof(info) };
	char path[40], left[32], total[32];
	struct membox *box;

	snprintf(path, sizeof(path), "/dev/%s", d->node);
	if (membox_open(path, NULL, &box)) {
		printf("  box         cannot be asked: %s\n", membox_error());
		return;
	}
	if (!membox_info(box, &info)) {
		printf("  box         port %u of %u, %s free of %s\n", info.port, info.ports,
		       ctl_bytes_text(info.free_bytes, left), ctl_bytes_text(info.data_bytes, total));
		printf("  can        ");
		ctl_print_caps(info.caps);
	}
	membox_close(box);
}

static void print_device(const struct pci_device *d)
{
	unsigned int i;

	printf("%s\n", d->address);
	printf("  driver      %s\n", d->driver[0] ? d->driver : "none");
	printf("  node        %s%s\n", d->node[0] ? "/dev/" : "", d->node[0] ? d->node : "none");
	printf("  revision    %u\n", d->revision);
	print_bars(d);
	if (d->has_link)
		printf("  link        x%u at %s (at most x%u at %s)\n", d->width,
		       pci_speed_text(d->speed), d->max_width, pci_speed_text(d->max_speed));
	else
		printf("  link        none: it sits in the root complex\n");
	if (d->has_msix)
		printf("  MSI-X       %u vectors, %s, table in BAR %u at %#" PRIx64 "\n", d->vectors,
		       d->msix_on ? "on" : "off", d->msix_bar, d->msix_offset);
	printf("  DMA         %s\n",
	       d->bus_master ? "on" : "off (bus mastering; on while queues exist)");
	if (d->irq >= 0)
		printf("  interrupt   %d\n", d->irq);
	if (d->numa_node >= 0)
		printf("  NUMA node   %d\n", d->numa_node);
	if (d->has_node && !strcmp(d->driver, "membox"))
		print_box(d);
	for (i = 0; i < d->nfindings; i++)
		printf("  ! %s\n", d->finding[i]);
}

static bool is_wanted(const struct pci_device *d, const char *which)
{
	if (!which)
		return true;
	if (!strncmp(which, "/dev/", 5))
		which += 5;
	return !strcmp(d->address, which) || !strcmp(d->address + 5, which) ||
	       (d->node[0] && !strcmp(d->node, which));
}

static int run_info(const struct ctl_verb *verb, int argc, char **argv)
{
	struct json_object *list = NULL;
	struct pci_device *devices, *d;
	unsigned int shown = 0, findings = 0;
	struct pci_options pci;
	const char *which;
	bool json;
	int ret = parse(verb, argc, argv, &pci, &json);

	if (ret)
		return ret;
	if (argc - optind > 1)
		return ctl_usage(verb, stderr);
	which = argv[optind];
	ret = pci_find(verb, &pci, &devices);
	if (ret)
		return ret;
	if (json)
		list = json_object_new_array();
	for (d = devices; d; d = d->next) {
		if (!is_wanted(d, which))
			continue;
		if (json)
			json_object_array_add(list, json_device(d));
		else
			print_device(d);
		shown++;
		findings += d->nfindings;
	}
	pci_free(devices);
	if (json)
		ctl_print_json(list);
	if (!shown && which) {
		ctl_fail(verb, "no membox device '%s': `memboxctl list` shows all", which);
		return CTL_WRONG;
	}
	if (!shown)
		return none_found(verb);
	return findings ? CTL_WRONG : CTL_GOOD;
}

const struct ctl_verb ctl_info = {
	.name = "info",
	.synopsis = "[-j] [ADDRESS|NODE]",
	.summary = "Shows all there is to know of devices, and what is wrong with them",
	.help = "  -j, --json             for programs\n" PCI_OPTIONS_HELP "\n"
		"Lines that begin with ! say what is wrong and what to do.\n\n"
		"examples:\n"
		"  memboxctl info\n"
		"  memboxctl info 00:04.0\n"
		"  memboxctl info /dev/membox0\n",
	.run = run_info,
};
