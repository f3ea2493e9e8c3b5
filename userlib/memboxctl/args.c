// SPDX-License-Identifier: MIT
/*
 * args.c - reading arguments: sizes, numbers, types, and which box is meant.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl.h"

bool ctl_parse_number(const char *text, uint64_t max, uint64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoull(text, &end, 0);
	return !errno && !*end && *number <= max;
}

bool ctl_parse_bytes(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	unsigned int shift;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*bytes = strtoull(text, &end, 0);
	if (errno)
		return false;
	if (!*end)
		return true;
	suffix = strchr(suffixes, toupper((unsigned char)*end));
	if (!suffix || !*suffix)
		return false;
	if (strcmp(end + 1, "") && strcasecmp(end + 1, "iB") && strcasecmp(end + 1, "B"))
		return false;
	shift = 10 * (unsigned int)(suffix - suffixes + 1);
	if (*bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

static const char *const types[MEMBOX_NR_TYPES] = { "none", "f32", "f64", "f16",
						    "bf16", "i8",  "i32", "i64" };

const char *ctl_type_name(uint32_t type)
{
	return types[type < MEMBOX_NR_TYPES ? type : 0];
}

bool ctl_parse_type(const char *text, enum membox_type *type)
{
	unsigned int i;

	for (i = 1; i < MEMBOX_NR_TYPES; i++) {
		if (!strcmp(text, types[i])) {
			*type = (enum membox_type)i;
			return true;
		}
	}
	return false;
}

const char *ctl_bytes_text(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned int i = 0;

	while (value >= 1024 && i < 6) {
		value /= 1024;
		i++;
	}
	snprintf(text, 32, i && value < 100 ? "%.1f %s" : "%.0f %s", value, units[i]);
	return text;
}

static bool looks_like_box(const char *text)
{
	return !strncmp(text, "file:", 5) || text[0] == '/' || !strncmp(text, "./", 2);
}

int ctl_open(const struct ctl_verb *verb, const char *option, int *operands, int argc, char **argv,
	     unsigned int flags, struct membox **box)
{
	struct membox_open_opts opts = { .size = sizeof(opts) };
	const char *name = option;
	char uri[PATH_MAX + 8];
	struct stat st;

	if (!name && *operands < argc && looks_like_box(argv[*operands]))
		name = argv[(*operands)++];
	if (name && strncmp(name, "file:", 5) && !(stat(name, &st) == 0 && S_ISCHR(st.st_mode)) &&
	    strncmp(name, "/dev/membox", 11)) {
		snprintf(uri, sizeof(uri), "file:%s", name);
		name = uri;
	}
	opts.flags = flags;
	if (membox_open(name, &opts, box))
		return ctl_fail(verb, "%s", membox_error());
	return 0;
}
