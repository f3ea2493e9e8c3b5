// SPDX-License-Identifier: MIT
/*
 * main.c - memboxctl: finds the verb, and says what there is.
 */
#include <stdarg.h>
#include <string.h>

#include "ctl.h"

static const struct ctl_verb *const verbs[] = {
	&ctl_list, &ctl_info,	 &ctl_format, &ctl_ls,	 &ctl_stat, &ctl_fsck,
	&ctl_create, &ctl_destroy, &ctl_revoke, &ctl_dump, &ctl_key,
	&ctl_evict,
};
#define NVERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *to)
{
	size_t i;

	fputs("usage: memboxctl VERB [OPTION]... [BOX] ...\n\n"
	      "Looks after memboxes: common memories that computers share parameters in.\n\n", to);
	for (i = 0; i < NVERBS; i++)
		fprintf(to, "  %-8s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\n`memboxctl VERB --help` says more.\n\n"
	      "BOX is file:PATH, a path, or /dev/membox0; without it the environment\n"
	      "variable MEMBOX says which. Exit status: 0 good, 1 something is wrong with\n"
	      "what was asked about, 2 it could not be asked.\n\n"
	      "examples:\n"
	      "  memboxctl list                            devices of this computer\n"
	      "  memboxctl format /dev/shm/box --size 1G   a box that needs none\n"
	      "  MEMBOX=file:/dev/shm/box memboxctl ls     what is in it\n", to);
}

int ctl_usage(const struct ctl_verb *verb, FILE *to)
{
	fprintf(to, "usage: memboxctl %s %s\n\n%s.\n\n%s", verb->name, verb->synopsis,
		verb->summary, verb->help);
	return CTL_FAILED;
}

int ctl_fail(const struct ctl_verb *verb, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "memboxctl %s: ", verb->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return CTL_FAILED;
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		help(stderr);
		return CTL_FAILED;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return CTL_GOOD;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("memboxctl %s\n", membox_version());
		return CTL_GOOD;
	}
	for (i = 0; i < NVERBS; i++) {
		if (strcmp(argv[1], verbs[i]->name))
			continue;
		if (argc > 2 && !strcmp(argv[2], "--help")) {
			ctl_usage(verbs[i], stdout);
			return CTL_GOOD;
		}
		return verbs[i]->run(verbs[i], argc - 1, argv + 1);
	}
	fprintf(stderr, "memboxctl: no verb '%s': `memboxctl --help` lists them\n", argv[1]);
	return CTL_FAILED;
}
