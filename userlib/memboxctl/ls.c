// SPDX-License-Identifier: MIT
/*
 * ls.c - memboxctl ls: the parameters of a box.
 */
#include <inttypes.h>
#include <string.h>

#include "ctl.h"

static const struct option options[] = {
	{ "box", required_argument, NULL, 'b' },
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

static int print_row(void *arg, const struct membox_param_stat *p)
{
	char bytes[32], attrs[64];
	bool *head = arg;

	if (!*head)
		printf("%-32s %-5s %12s %10s %10s %5s %5s %s\n", "NAME", "TYPE", "COUNT", "SIZE",
		       "VERSION", "REFS", "MODE", "ATTRIBUTES");
	*head = true;
	printf("%-32s %-5s %12" PRIu64 " %10s %10" PRIu64 " %5u %05o %s%s%s\n", p->name,
	       ctl_type_name(p->type), (uint64_t)p->count, ctl_bytes_text(p->bytes, bytes),
	       (uint64_t)p->finished, p->refs, p->mode, ctl_attrs_text(p->attrs, attrs),
	       p->destroyed ? " (destroyed)" : "", p->torn ? " (torn)" : "");
	return 0;
}

static int add_row(void *arg, const struct membox_param_stat *p)
{
	json_object_array_add(arg, ctl_json_param(p));
	return 0;
}

static int run(const struct ctl_verb *verb, int argc, char **argv)
{
	struct json_object *list;
	const char *name = NULL;
	bool json = false, head = false;
	struct membox *box;
	int c, ret;

	while ((c = getopt_long(argc, argv, "b:j", options, NULL)) != -1) {
		if (c == 'b')
			name = optarg;
		else if (c == 'j')
			json = true;
		else
			return ctl_usage(verb, stderr);
	}
	ret = ctl_open(verb, name, &optind, argc, argv, MEMBOX_OPEN_RDONLY, &box);
	if (ret)
		return ret;
	if (optind != argc) {
		membox_close(box);
		return ctl_usage(verb, stderr);
	}
	list = json_object_new_array();
	ret = json ? membox_param_list(box, add_row, list) : membox_param_list(box, print_row, &head);
	if (ret)
		ret = ctl_fail(verb, "%s", membox_error());
	membox_close(box);
	if (!json || ret) {
		json_object_put(list);
		return ret;
	}
	return ctl_print_json(list);
}

const struct ctl_verb ctl_ls = {
	.name = "ls",
	.synopsis = "[-j] [BOX]",
	.summary = "Lists the parameters of a box",
	.help = "  -b, --box BOX  which box\n"
		"  -j, --json     for programs\n\n"
		"example: memboxctl ls file:/dev/shm/box\n",
	.run = run,
};
