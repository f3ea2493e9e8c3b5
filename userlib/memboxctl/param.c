// SPDX-License-Identifier: MIT
/*
 * param.c - memboxctl create, destroy, revoke and key: single parameters.
 */
#include <inttypes.h>
#include <string.h>

#include "ctl.h"

/* ---- create ---- */

static const struct option create_options[] = {
	{ "box", required_argument, NULL, 'b' },  { "keyed", no_argument, NULL, 'k' },
	{ "mappable", no_argument, NULL, 'm' },	  { "nojournal", no_argument, NULL, 'n' },
	{ "mode", required_argument, NULL, 'o' }, { NULL, 0, NULL, 0 },
};

struct create {
	const char *box;
	struct membox_shape shape;
	unsigned int flags;
	bool keyed;
};

static int create(const struct ctl_verb *verb, struct membox *box, struct create *c,
		  const char *name)
{
	struct membox_key key;
	struct membox_param *param;
	char text[MEMBOX_KEY_TEXT];
	int ret;

	if (c->keyed)
		ret = membox_param_create(box, name, &c->shape, c->flags, &key, &param);
	else
		ret = membox_param_get(box, name, &c->shape, c->flags, &param);
	if (ret)
		return ctl_fail(verb, "%s", membox_error());
	if (c->keyed) {
		membox_key_to_text(&key, text);
		puts(text);
	}
	membox_param_put(param);
	return CTL_GOOD;
}

static int parse_create(const struct ctl_verb *verb, int argc, char **argv, struct create *c)
{
	int o;

	while ((o = getopt_long(argc, argv, "b:kmno:", create_options, NULL)) != -1) {
		switch (o) {
		case 'b':
			c->box = optarg;
			break;
		case 'k':
			c->keyed = true;
			break;
		case 'm':
			c->flags |= MEMBOX_PARAM_MAPPABLE;
			break;
		case 'n':
			c->flags |= MEMBOX_PARAM_NOJOURNAL;
			break;
		case 'o':
			if (sscanf(optarg, "%o", &c->shape.mode) != 1)
				return ctl_fail(verb, "'%s' is no mode, such as 0644", optarg);
			break;
		default:
			return ctl_usage(verb, stderr);
		}
	}
	return 0;
}

static int run_create(const struct ctl_verb *verb, int argc, char **argv)
{
	struct create c = { .box = NULL };
	struct membox *box;
	uint64_t count;
	int ret = parse_create(verb, argc, argv, &c);

	if (!ret)
		ret = ctl_open(verb, c.box, &optind, argc, argv, 0, &box);
	if (ret)
		return ret;
	if (optind + 3 != argc) {
		ret = ctl_usage(verb, stderr);
	} else if (!ctl_parse_type(argv[optind + 1], &c.shape.type)) {
		ret = ctl_fail(verb, "'%s' is no type: f32 f64 f16 bf16 i8 i32 i64",
			       argv[optind + 1]);
	} else if (!ctl_parse_bytes(argv[optind + 2], &count)) {
		ret = ctl_fail(verb, "'%s' is no count (K, M and G are powers of 1024)",
			       argv[optind + 2]);
	} else {
		c.shape.count = count;
		ret = create(verb, box, &c, argv[optind]);
	}
	membox_close(box);
	return ret;
}

const struct ctl_verb ctl_create = {
	.name = "create",
	.synopsis = "[OPTION]... [BOX] NAME TYPE COUNT",
	.summary = "Makes a parameter; a keyed one's key is printed, as text",
	.help = "  -b, --box BOX    which box\n"
		"  -k, --keyed      only who has the key can attach; printed here and never again\n"
		"  -m, --mappable   on pages of its own, so that processes can map it\n"
		"  -n, --nojournal  faster to write; torn if a writer dies\n"
		"  -o, --mode MODE  0600 for the owner, 0066 for others; 0666\n\n"
		"examples:\n"
		"  memboxctl create file:/dev/shm/box weights f32 10M\n"
		"  KEY=$(memboxctl create --keyed file:/dev/shm/box secret f32 1000)\n",
	.run = run_create,
};

/* ---- destroy, revoke ---- */

static const struct option box_options[] = {
	{ "box", required_argument, NULL, 'b' },
	{ "key", required_argument, NULL, 'k' },
	{ NULL, 0, NULL, 0 },
};

/* Options --box and --key, the box, then one operand. */
static int one_operand(const struct ctl_verb *verb, int argc, char **argv, unsigned int flags,
		       struct membox **box, const char **key)
{
	const char *name = NULL;
	int c, ret;

	while ((c = getopt_long(argc, argv, "b:k:", box_options, NULL)) != -1) {
		if (c == 'b')
			name = optarg;
		else if (c == 'k' && key)
			*key = optarg;
		else
			return ctl_usage(verb, stderr);
	}
	ret = ctl_open(verb, name, &optind, argc, argv, flags, box);
	if (!ret && optind + 1 != argc) {
		membox_close(*box);
		ret = ctl_usage(verb, stderr);
	}
	return ret;
}

static int run_destroy(const struct ctl_verb *verb, int argc, char **argv)
{
	const char *text = NULL;
	struct membox_param *param;
	struct membox_key key;
	struct membox *box;
	int ret = one_operand(verb, argc, argv, 0, &box, &text);

	if (ret)
		return ret;
	ret = text ? membox_key_from_text(text, &key) : 0;
	if (!ret)
		ret = membox_param_attach(box, argv[optind], text ? &key : NULL, 0, &param);
	if (!ret)
		ret = membox_param_destroy(param);
	if (ret < 0)
		ctl_fail(verb, "%s", membox_error());
	membox_close(box);
	return ret < 0 ? CTL_WRONG : CTL_GOOD;
}

const struct ctl_verb ctl_destroy = {
	.name = "destroy",
	.synopsis = "[-k KEY] [BOX] PARAMETER",
	.summary = "Destroys a parameter of one's own; its space goes with its last user",
	.help = "  -b, --box BOX  which box\n"
		"  -k, --key KEY  of a keyed one\n",
	.run = run_destroy,
};

static int run_revoke(const struct ctl_verb *verb, int argc, char **argv)
{
	struct membox *box;
	int ret = one_operand(verb, argc, argv, MEMBOX_OPEN_OPERATOR, &box, NULL);

	if (ret)
		return ret;
	ret = membox_param_revoke(box, argv[optind]);
	if (ret)
		ctl_fail(verb, "%s", membox_error());
	membox_close(box);
	return ret ? CTL_WRONG : CTL_GOOD;
}

const struct ctl_verb ctl_revoke = {
	.name = "revoke",
	.synopsis = "[BOX] PARAMETER",
	.summary = "Destroys anybody's parameter and takes it from all who use it",
	.help = "  -b, --box BOX  which box: one that is a file\n\n"
		"Who uses it gets DESTROYED for every operation from then on.\n",
	.run = run_revoke,
};

/* ---- key ---- */

static int run_key(const struct ctl_verb *verb, int argc, char **argv)
{
	const char *text = NULL;
	struct membox_param *param;
	struct membox_key key;
	struct membox *box;
	int ret = one_operand(verb, argc, argv, MEMBOX_OPEN_RDONLY, &box, &text);

	if (ret)
		return ret;
	ret = text ? membox_key_from_text(text, &key) : 0;
	if (!ret)
		ret = membox_param_attach(box, argv[optind], text ? &key : NULL,
					  MEMBOX_PARAM_RDONLY, &param);
	if (ret)
		ctl_fail(verb, "%s", membox_error());
	else
		printf("%s: %s of %" PRIu64 " elements, opened %s\n", argv[optind],
		       ctl_type_name(membox_param_type(param)), membox_param_count(param),
		       text ? "with this key" : "without a key");
	membox_close(box);
	return ret ? CTL_WRONG : CTL_GOOD;
}

const struct ctl_verb ctl_key = {
	.name = "key",
	.synopsis = "[-k KEY] [BOX] PARAMETER",
	.summary = "Tells whether a key opens a parameter",
	.help = "  -b, --box BOX  which box\n"
		"  -k, --key KEY  as `memboxctl create --keyed` or membox_key_to_text gave it\n\n"
		"A box keeps no keys, only a hash of each: who has lost a key makes a new parameter.\n",
	.run = run_key,
};
