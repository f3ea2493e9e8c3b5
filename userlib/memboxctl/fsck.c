// SPDX-License-Identifier: MIT
/*
 * fsck.c - memboxctl fsck: checks every record of a box that is a file, in use
 * or not.
 */
#include "ctl.h"

static const struct option options[] = {
	{ "box", required_argument, NULL, 'b' },
	{ "quiet", no_argument, NULL, 'q' },
	{ NULL, 0, NULL, 0 },
};

static void report(void *arg, const char *text)
{
	const bool *quiet = arg;

	if (!*quiet)
		puts(text);
}

static int run(const struct ctl_verb *verb, int argc, char **argv)
{
	const char *name = NULL;
	bool quiet = false;
	struct membox *box;
	int c, found;

	while ((c = getopt_long(argc, argv, "b:q", options, NULL)) != -1) {
		if (c == 'b')
			name = optarg;
		else if (c == 'q')
			quiet = true;
		else
			return ctl_usage(verb, stderr);
	}
	if (ctl_open(verb, name, &optind, argc, argv, MEMBOX_OPEN_CHECK, &box))
		return CTL_FAILED;
	if (optind != argc) {
		membox_close(box);
		return ctl_usage(verb, stderr);
	}
	found = membox_fsck(box, report, &quiet);
	membox_close(box);
	if (found < 0)
		return ctl_fail(verb, "%s", membox_error());
	if (!quiet)
		printf("%d finding%s\n", found, found == 1 ? "" : "s");
	return found ? CTL_WRONG : CTL_GOOD;
}

const struct ctl_verb ctl_fsck = {
	.name = "fsck",
	.synopsis = "[-q] [BOX]",
	.summary = "Checks every record of a box that is a file",
	.help = "  -b, --box BOX  which box\n"
		"  -q, --quiet    only by the exit status: 0 sound, 1 not, 2 it is no box\n\n"
		"Opening a box gives back what dead processes held, so that it is not a finding.\n"
		"example: memboxctl fsck file:/dev/shm/box\n",
	.run = run,
};
