/* SPDX-License-Identifier: MIT */
/* args.c - the command line of the example trainer. */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mnist.h"

#define FASHION_TRAIN 6000 /* enough for 80 %, and for a guest under emulation */
#define FASHION_TEST 1000

static const char usage_text[] =
"usage: mnist [option...]\n"
"  --box URI            /dev/membox0 or file:PATH; without it $MEMBOX\n"
"  --method TEXT        ps, ps-async, allreduce, with options after a colon (--methods lists them),\n"
"                       or local: one process computes what ps does; without it $MEMBOX_METHOD or ps\n"
"  --role ROLE          master (rank 0), worker (with --rank) or auto (any free rank)\n"
"  --rank N --ranks N   seat and number of seats, the master included\n"
"  --data fashion|digits  --path FOLDER|FILE\n"
"  --train N --test N   samples to use, 0: all (fashion: 6000 and 1000)\n"
"  --epochs N --batch N --hidden N --seed N\n"
"  --lr X               of the first epoch; it falls evenly to lr / epochs in the last\n"
"  --json FILE          write the summary there too, - is standard output\n"
"  --order 2-1-...      local: fold the shares in this order\n"
"  --pause MS           sleep before each step\n"
"  --make-subset FOLDER write the samples that these options choose as a smaller data set, and end\n"
"  --methods            list methods and their options, and end\n";

enum {
	OPT_BOX = 256, OPT_METHOD, OPT_ROLE, OPT_RANK, OPT_RANKS, OPT_DATA, OPT_PATH, OPT_TRAIN,
	OPT_TEST, OPT_EPOCHS, OPT_BATCH, OPT_HIDDEN, OPT_LR, OPT_SEED, OPT_JSON, OPT_ORDER,
	OPT_PAUSE, OPT_SUBSET, OPT_METHODS, OPT_HELP,
};

static const struct option longs[] = {
	{ "box", 1, NULL, OPT_BOX }, { "method", 1, NULL, OPT_METHOD },
	{ "role", 1, NULL, OPT_ROLE }, { "rank", 1, NULL, OPT_RANK },
	{ "ranks", 1, NULL, OPT_RANKS }, { "data", 1, NULL, OPT_DATA },
	{ "path", 1, NULL, OPT_PATH }, { "train", 1, NULL, OPT_TRAIN },
	{ "test", 1, NULL, OPT_TEST }, { "epochs", 1, NULL, OPT_EPOCHS },
	{ "batch", 1, NULL, OPT_BATCH }, { "hidden", 1, NULL, OPT_HIDDEN },
	{ "lr", 1, NULL, OPT_LR }, { "seed", 1, NULL, OPT_SEED },
	{ "json", 1, NULL, OPT_JSON }, { "order", 1, NULL, OPT_ORDER },
	{ "pause", 1, NULL, OPT_PAUSE }, { "make-subset", 1, NULL, OPT_SUBSET },
	{ "methods", 0, NULL, OPT_METHODS }, { "help", 0, NULL, OPT_HELP }, { 0 },
};

static int bad(const char *option, const char *value, const char *wants)
{
	fprintf(stderr, "mnist: --%s %s: wants %s\n", option, value, wants);
	return -1;
}

static int whole(const char *option, const char *value, unsigned long min, unsigned long max,
		 unsigned int *to)
{
	char wants[80], *end;
	unsigned long v = strtoul(value, &end, 10);

	if (end == value || *end || *value == '-' || v < min || v > max) {
		snprintf(wants, sizeof(wants), "a whole number from %lu to %lu", min, max);
		return bad(option, value, wants);
	}
	*to = (unsigned int)v;
	return 0;
}

static int role(struct options *o, const char *value)
{
	if (!strcmp(value, "master"))
		o->rank = 0;
	else if (!strcmp(value, "auto"))
		o->rank = MEMBOX_RANK_ANY;
	else if (strcmp(value, "worker"))
		return bad("role", value, "master, worker or auto");
	return 0;
}

static void list_methods(void)
{
	struct membox_train_method info = { .size = sizeof(info) };
	struct membox_train_option option = { .size = sizeof(option) };
	unsigned int m, i;

	for (m = 0; !membox_train_method(m, &info); m++) {
		printf("%-10s %s\n", info.name, info.summary);
		for (i = 0; !membox_train_method_option(m, i, &option); i++)
			printf("    %s=%-8s %s\n", option.name, option.value, option.help);
	}
}

static int read_one(struct options *o, int opt, const char *name, char *value)
{
	unsigned int n;
	char *end;

	switch (opt) {
	case OPT_BOX:
		o->box = value;
		return 0;
	case OPT_METHOD:
		o->method = value;
		return 0;
	case OPT_ROLE:
		return role(o, value);
	case OPT_RANK:
		if (whole(name, value, 0, MEMBOX_MAX_RANKS - 1, &n))
			return -1;
		o->rank = (int)n;
		return 0;
	case OPT_RANKS:
		return whole(name, value, 1, MEMBOX_MAX_RANKS, &o->ranks);
	case OPT_DATA:
		if (strcmp(value, "fashion") && strcmp(value, "digits"))
			return bad(name, value, "fashion or digits");
		o->data = *value == 'd' ? DATA_DIGITS : DATA_FASHION;
		return 0;
	case OPT_PATH:
		o->path = value;
		return 0;
	case OPT_TRAIN:
		return whole(name, value, 0, 1u << 24, &o->train);
	case OPT_TEST:
		return whole(name, value, 0, 1u << 24, &o->test);
	case OPT_EPOCHS:
		return whole(name, value, 1, MAX_EPOCHS, &o->epochs);
	case OPT_BATCH:
		return whole(name, value, 1, 1u << 16, &o->batch);
	case OPT_HIDDEN:
		return whole(name, value, 1, 1u << 16, &o->hidden);
	case OPT_LR:
		o->lr = strtod(value, &end);
		return end == value || *end || !(o->lr > 0) || !isfinite(o->lr) ?
		       bad(name, value, "a number over 0") : 0;
	case OPT_SEED:
		o->seed = strtoull(value, &end, 10);
		return end == value || *end ? bad(name, value, "a whole number") : 0;
	case OPT_JSON:
		o->json = value;
		return 0;
	case OPT_ORDER:
		o->order = value;
		return 0;
	case OPT_PAUSE:
		return whole(name, value, 0, 60000, &o->pause_ms);
	case OPT_SUBSET:
		o->subset = value;
		return 0;
	default:
		return -1;
	}
}

/* Options that have not been given: data set by data set. */
static void fill_in(struct options *o, bool train_given, bool test_given)
{
	bool fashion = o->data == DATA_FASHION;

	if (!o->method)
		o->method = getenv("MEMBOX_METHOD");
	if (!o->method)
		o->method = "ps";
	if (!o->path)
		o->path = fashion ? DATA_FASHION_PATH : DATA_DIGITS_PATH;
	if (!train_given)
		o->train = fashion ? FASHION_TRAIN : 0;
	if (!test_given)
		o->test = fashion ? FASHION_TEST : 0;
	if (!o->hidden)
		o->hidden = fashion ? 96 : 32;
	if (!o->batch)
		o->batch = fashion ? 25 : 10;
	if (!o->epochs)
		o->epochs = fashion ? 4 : 10;
	if (!(o->lr > 0))
		o->lr = 0.2;
}

int options_read(struct options *o, int argc, char **argv)
{
	bool train_given = false, test_given = false, worker = false;
	int opt, at;

	*o = (struct options){ .rank = MEMBOX_RANK_ANY, .seed = 1 };
	while ((opt = getopt_long(argc, argv, "", longs, &at)) != -1) {
		if (opt == OPT_METHODS) {
			list_methods();
			return 1;
		}
		if (opt == OPT_HELP) {
			fputs(usage_text, stdout);
			return 1;
		}
		if (opt == '?' || read_one(o, opt, longs[at].name, optarg))
			return 3;
		train_given |= opt == OPT_TRAIN;
		test_given |= opt == OPT_TEST;
		worker |= opt == OPT_ROLE && !strcmp(optarg, "worker");
	}
	if (optind < argc) {
		fprintf(stderr, "mnist: '%s' is not an option\n%s", argv[optind], usage_text);
		return 3;
	}
	if (worker && o->rank < 1) {
		fprintf(stderr, "mnist: --role worker wants --rank of 1 or more: rank 0 is the master\n");
		return 3;
	}
	fill_in(o, train_given, test_given);
	return 0;
}
