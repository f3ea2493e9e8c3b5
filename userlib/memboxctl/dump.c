// SPDX-License-Identifier: MIT
/*
 * dump.c - memboxctl dump: what is in a parameter, as bytes or as numbers.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

#define CHUNK ((uint64_t)1 << 16) /* elements */

static const struct option options[] = {
	{ "box", required_argument, NULL, 'b' },   { "key", required_argument, NULL, 'k' },
	{ "output", required_argument, NULL, 'o' }, { "first", required_argument, NULL, 'f' },
	{ "count", required_argument, NULL, 'n' }, { "text", no_argument, NULL, 't' },
	{ NULL, 0, NULL, 0 },
};

struct dump {
	const char *box, *key, *output;
	uint64_t first, count;
	bool has_count, text;
};

static double half(uint16_t h)
{
	int exponent = h >> 10 & 31;
	double mantissa = h & 1023, value = 1;
	int shift = exponent ? exponent - 25 : -24;

	if (exponent == 31 && mantissa != 0)
		return __builtin_nan("");
	if (exponent == 31)
		return h >> 15 ? -__builtin_inf() : __builtin_inf();
	if (exponent)
		mantissa += 1024;
	for (; shift > 0; shift--)
		value *= 2;
	for (; shift < 0; shift++)
		value /= 2;
	return (h >> 15 ? -1 : 1) * mantissa * value;
}

static void print_element(FILE *to, enum membox_type type, const void *at)
{
	uint32_t bits = 0;
	uint16_t h;
	float f;

	switch (type) {
	case MEMBOX_F32:
		memcpy(&f, at, 4);
		fprintf(to, "%.9g\n", (double)f);
		break;
	case MEMBOX_F64:
		fprintf(to, "%.17g\n", *(const double *)at);
		break;
	case MEMBOX_F16:
		memcpy(&h, at, 2);
		fprintf(to, "%.9g\n", half(h));
		break;
	case MEMBOX_BF16:
		memcpy((char *)&bits + 2, at, 2);
		memcpy(&f, &bits, 4);
		fprintf(to, "%.9g\n", (double)f);
		break;
	case MEMBOX_I8:
		fprintf(to, "%d\n", *(const int8_t *)at);
		break;
	case MEMBOX_I32:
		fprintf(to, "%" PRId32 "\n", *(const int32_t *)at);
		break;
	default:
		fprintf(to, "%" PRId64 "\n", *(const int64_t *)at);
	}
}

static int copy_out(const struct ctl_verb *verb, const struct dump *d, struct membox_param *param,
		    FILE *to)
{
	size_t size = membox_type_size(membox_param_type(param));
	uint64_t left = d->count, at = d->first, n, i;
	char *buf = malloc(CHUNK * size);

	if (!buf)
		return ctl_fail(verb, "no memory");
	for (; left; left -= n, at += n) {
		n = left < CHUNK ? left : CHUNK;
		if (membox_read(param, at, n, buf, NULL)) {
			free(buf);
			return ctl_fail(verb, "%s", membox_error());
		}
		for (i = 0; d->text && i < n; i++)
			print_element(to, membox_param_type(param), buf + i * size);
		if (!d->text)
			fwrite(buf, size, n, to);
	}
	free(buf);
	if (fflush(to) || ferror(to))
		return ctl_fail(verb, "cannot write %s: %s", d->output ? d->output : "the output",
				strerror(errno));
	return CTL_GOOD;
}

static int dump(const struct ctl_verb *verb, struct dump *d, struct membox *box, const char *name)
{
	struct membox_param *param;
	struct membox_key key;
	FILE *to = stdout;
	int ret;

	if (d->key && membox_key_from_text(d->key, &key))
		return ctl_fail(verb, "%s", membox_error());
	if (membox_param_attach(box, name, d->key ? &key : NULL, MEMBOX_PARAM_RDONLY, &param)) {
		ctl_fail(verb, "%s", membox_error());
		return CTL_WRONG;
	}
	if (d->first > membox_param_count(param)) {
		ctl_fail(verb, "element %" PRIu64 " of '%s', which has %" PRIu64, d->first, name,
			 membox_param_count(param));
		return CTL_WRONG;
	}
	if (!d->has_count)
		d->count = membox_param_count(param) - d->first;
	if (d->output) {
		to = fopen(d->output, "wb");
		if (!to)
			return ctl_fail(verb, "cannot make %s: %s", d->output, strerror(errno));
	}
	ret = copy_out(verb, d, param, to);
	if (to != stdout && fclose(to) && !ret)
		ret = ctl_fail(verb, "cannot write %s: %s", d->output, strerror(errno));
	return ret;
}

static int parse(const struct ctl_verb *verb, int argc, char **argv, struct dump *d)
{
	bool good = true;
	int c;

	while ((c = getopt_long(argc, argv, "b:k:o:f:n:t", options, NULL)) != -1) {
		switch (c) {
		case 'b':
			d->box = optarg;
			break;
		case 'k':
			d->key = optarg;
			break;
		case 'o':
			d->output = optarg;
			break;
		case 'f':
			good = ctl_parse_number(optarg, UINT64_MAX, &d->first);
			break;
		case 'n':
			good = ctl_parse_number(optarg, UINT64_MAX, &d->count);
			d->has_count = true;
			break;
		case 't':
			d->text = true;
			break;
		default:
			return ctl_usage(verb, stderr);
		}
		if (!good)
			return ctl_fail(verb, "'%s' is no number", optarg);
	}
	return 0;
}

static int run(const struct ctl_verb *verb, int argc, char **argv)
{
	struct dump d = { .box = NULL };
	struct membox *box;
	int ret = parse(verb, argc, argv, &d);

	if (!ret)
		ret = ctl_open(verb, d.box, &optind, argc, argv, MEMBOX_OPEN_RDONLY, &box);
	if (ret)
		return ret;
	ret = optind + 1 == argc ? dump(verb, &d, box, argv[optind]) : ctl_usage(verb, stderr);
	membox_close(box);
	return ret;
}

const struct ctl_verb ctl_dump = {
	.name = "dump",
	.synopsis = "[OPTION]... [BOX] PARAMETER",
	.summary = "Writes what is in a parameter to a file or to the standard output",
	.help = "  -b, --box BOX      which box\n"
		"  -k, --key KEY      of a keyed one\n"
		"  -o, --output FILE  instead of the standard output\n"
		"  -f, --first N      from this element on\n"
		"  -n, --count N      so many elements\n"
		"  -t, --text         as numbers, one a line, instead of bytes\n\n"
		"examples:\n"
		"  memboxctl dump file:/dev/shm/box weights -o weights.f32\n"
		"  memboxctl dump file:/dev/shm/box weights --text --count 10\n",
	.run = run,
};
