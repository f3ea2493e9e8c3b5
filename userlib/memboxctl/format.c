// SPDX-License-Identifier: MIT
/*
 * format.c - memboxctl format: makes a box of a file.
 */
#include <string.h>
#include <sys/stat.h>

#include "ctl.h"

static const struct option options[] = {
	{ "size", required_argument, NULL, 's' },   { "ports", required_argument, NULL, 'p' },
	{ "params", required_argument, NULL, 'n' }, { "groups", required_argument, NULL, 'g' },
	{ "force", no_argument, NULL, 'f' },	    { NULL, 0, NULL, 0 },
};

static bool parse_u32(const char *text, uint32_t *to)
{
	uint64_t n;

	if (!ctl_parse_number(text, UINT32_MAX, &n))
		return false;
	*to = (uint32_t)n;
	return true;
}

static int run(const struct ctl_verb *verb, int argc, char **argv)
{
	struct membox_format_opts opts = { .size = sizeof(opts) };
	const char *path;
	struct stat st;
	char text[32];
	bool good = true;
	int c;

	while ((c = getopt_long(argc, argv, "s:p:n:g:f", options, NULL)) != -1) {
		switch (c) {
		case 's':
			good = ctl_parse_bytes(optarg, &opts.bytes);
			break;
		case 'p':
			good = parse_u32(optarg, &opts.ports);
			break;
		case 'n':
			good = parse_u32(optarg, &opts.params);
			break;
		case 'g':
			good = parse_u32(optarg, &opts.groups);
			break;
		case 'f':
			opts.flags |= MEMBOX_FORMAT_FORCE;
			break;
		default:
			return ctl_usage(verb, stderr);
		}
		if (!good)
			return ctl_fail(verb, "'%s' is no number (sizes take K, M, G or T)", optarg);
	}
	if (optind + 1 != argc)
		return ctl_usage(verb, stderr);
	path = argv[optind];
	if (!strncmp(path, "file:", 5))
		path += 5;
	if (membox_format(path, &opts))
		return ctl_fail(verb, "%s", membox_error());
	if (stat(path, &st))
		return ctl_fail(verb, "%s is not there after being made", path);
	printf("%s: %s\n", path, ctl_bytes_text((uint64_t)st.st_size, text));
	return CTL_GOOD;
}

const struct ctl_verb ctl_format = {
	.name = "format",
	.synopsis = "FILE --size SIZE [OPTION]...",
	.summary = "Makes a box of a file, every byte of it allocated",
	.help = "  -s, --size SIZE   of the file: 512M, 2G; without it the size that it has\n"
		"  -p, --ports N     computers and processes that can share it (16)\n"
		"  -n, --params N    parameters that it can hold (1024)\n"
		"  -g, --groups N    groups of ranks (64)\n"
		"  -f, --force       even if it is a box already: what is in it is lost\n\n"
		"examples:\n"
		"  memboxctl format /dev/shm/box --size 1G\n"
		"  memboxctl format /dev/shm/box --size 8G --ports 64 --params 100000 --force\n",
	.run = run,
};
