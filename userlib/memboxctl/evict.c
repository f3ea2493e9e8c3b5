// SPDX-License-Identifier: MIT
/*
 * evict.c - memboxctl evict: ends a suspended port, whose VM migrated and does not
 * come back.
 */
#include <inttypes.h>

#include "ctl.h"

static const struct option options[] = {
	{ "box", required_argument, NULL, 'b' },
	{ NULL, 0, NULL, 0 },
};

static int run(const struct ctl_verb *verb, int argc, char **argv)
{
	const char *name = NULL;
	struct membox *box;
	uint64_t port;
	int c, ret;

	while ((c = getopt_long(argc, argv, "b:", options, NULL)) != -1) {
		if (c != 'b')
			return ctl_usage(verb, stderr);
		name = optarg;
	}
	if (ctl_open(verb, name, &optind, argc, argv, MEMBOX_OPEN_OPERATOR, &box))
		return CTL_FAILED;
	if (optind + 1 != argc) {
		ret = ctl_usage(verb, stderr);
	} else if (!ctl_parse_number(argv[optind], UINT32_MAX, &port)) {
		ret = ctl_fail(verb, "'%s' is no port number", argv[optind]);
	} else {
		ret = membox_port_evict(box, (uint32_t)port) ? CTL_WRONG : CTL_GOOD;
		if (ret)
			ctl_fail(verb, "%s", membox_error());
	}
	membox_close(box);
	return ret;
}

const struct ctl_verb ctl_evict = {
	.name = "evict",
	.synopsis = "[BOX] PORT",
	.summary = "Ends a suspended port, with all that it has",
	.help = "  -b, --box BOX  which box: one that is a file\n\n"
		"A port is suspended while its VM migrates; `memboxctl stat` shows it. It keeps\n"
		"its references and locks until the VM goes on at its destination. A VM that will\n"
		"not (its saved state was thrown away) is evicted.\n"
		"example: memboxctl evict file:/dev/shm/box 3\n",
	.run = run,
};
