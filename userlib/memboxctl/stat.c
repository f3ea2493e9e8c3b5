// SPDX-License-Identifier: MIT
/*
 * stat.c - memboxctl stat: a box with its ports and their counters, or one
 * parameter of it.
 */
#include <inttypes.h>
#include <string.h>

#include "ctl.h"

static const struct option options[] = {
	{ "box", required_argument, NULL, 'b' },
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

static const char *port_state(uint32_t state)
{
	switch (state) {
	case MEMBOX_PORT_LIVE:
		return "live";
	case MEMBOX_PORT_SUSPENDED:
		return "suspended";
	case MEMBOX_PORT_DEAD:
		return "dead";
	default:
		return "free";
	}
}

static void uuid_text(const uint8_t uuid[16], char text[40])
{
	char hex[33];

	ctl_hex(uuid, 16, hex);
	snprintf(text, 40, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* ---- one parameter ---- */

struct find {
	const char *name;
	struct membox_param_stat found;
	bool is_found;
};

static int match(void *arg, const struct membox_param_stat *p)
{
	struct find *f = arg;

	if (strcmp(p->name, f->name) || p->destroyed)
		return 0;
	f->found = *p;
	f->is_found = true;
	return 0;
}

static void print_param(const struct membox_param_stat *p)
{
	char text[64], owner[33];

	ctl_hex(p->owner, sizeof(p->owner), owner);
	printf("name         %s\n", p->name);
	printf("type         %s\n", ctl_type_name(p->type));
	printf("count        %" PRIu64 "\n", (uint64_t)p->count);
	printf("bytes        %" PRIu64 " (%s)\n", (uint64_t)p->bytes,
	       ctl_bytes_text(p->bytes, text));
	printf("address      %#" PRIx64 "\n", (uint64_t)p->address);
	printf("version      %" PRIu64 " (writers begun: %" PRIu64 ")\n", (uint64_t)p->finished,
	       (uint64_t)p->begun);
	printf("references   %u\n", p->refs);
	printf("waiters      %u\n", p->waiters);
	printf("subscribers  %u\n", p->subscribers);
	printf("mode         %04o\n", p->mode);
	printf("attributes   %s%s\n", ctl_attrs_text(p->attrs, text), p->torn ? ", torn" : "");
	printf("owner        %s\n", owner);
}

static int stat_param(const struct ctl_verb *verb, struct membox *box, const char *name, bool json)
{
	struct find f = { .name = name };

	if (membox_param_list(box, match, &f))
		return ctl_fail(verb, "%s", membox_error());
	if (!f.is_found) {
		ctl_fail(verb, "no parameter '%s': `memboxctl ls` shows what is there", name);
		return CTL_WRONG;
	}
	if (json)
		return ctl_print_json(ctl_json_param(&f.found));
	print_param(&f.found);
	return CTL_GOOD;
}

/* ---- the box ---- */

static struct json_object *json_port(const struct membox_port_stat *s)
{
	struct json_object *o = json_object_new_object(), *counters = json_object_new_object();
	unsigned int i;

	json_object_object_add(o, "port", json_object_new_uint64(s->port));
	json_object_object_add(o, "state", json_object_new_string(port_state(s->state)));
	json_object_object_add(o, "generation", json_object_new_uint64(s->generation));
	json_object_object_add(o, "pid", json_object_new_uint64(s->pid));
	json_object_object_add(o, "contexts", json_object_new_uint64(s->contexts));
	json_object_object_add(o, "used_bytes", json_object_new_uint64(s->used_bytes));
	json_object_object_add(o, "quota_bytes", json_object_new_uint64(s->quota_bytes));
	for (i = 0; i < MEMBOX_NR_COUNTERS; i++)
		if (ctl_counter_name(i))
			json_object_object_add(counters, ctl_counter_name(i),
					       json_object_new_uint64(s->counter[i]));
	json_object_object_add(o, "counters", counters);
	return o;
}

static struct json_object *json_box(const struct membox_info *info)
{
	struct json_object *o = json_object_new_object();
	char uuid[40];

	uuid_text(info->uuid, uuid);
	json_object_object_add(o, "uuid", json_object_new_string(uuid));
	json_object_object_add(o, "state",
			       json_object_new_string(info->state ? "corrupt" : "good"));
	json_object_object_add(o, "capabilities", ctl_json_caps(info->caps));
	json_object_object_add(o, "data_bytes", json_object_new_uint64(info->data_bytes));
	json_object_object_add(o, "free_bytes", json_object_new_uint64(info->free_bytes));
	json_object_object_add(o, "params", json_object_new_uint64(info->params));
	json_object_object_add(o, "max_params", json_object_new_uint64(info->max_params));
	json_object_object_add(o, "ports", json_object_new_uint64(info->ports));
	json_object_object_add(o, "live_ports", json_object_new_uint64(info->live_ports));
	json_object_object_add(o, "own_port", json_object_new_uint64(info->port));
	json_object_object_add(o, "max_bytes", json_object_new_uint64(info->max_bytes));
	json_object_object_add(o, "stripe_bytes", json_object_new_uint64(info->stripe_bytes));
	json_object_object_add(o, "aperture_bytes", json_object_new_uint64(info->aperture));
	json_object_object_add(o, "queues", json_object_new_uint64(info->queues));
	json_object_object_add(o, "clock", json_object_new_uint64(info->clock));
	return o;
}

static void print_box(const struct membox_info *info)
{
	char uuid[40], total[32], left[32], most[32];

	uuid_text(info->uuid, uuid);
	printf("box           %s%s\n", uuid, info->state ? "  CORRUPT: stopped" : "");
	printf("space         %s free of %s\n", ctl_bytes_text(info->free_bytes, left),
	       ctl_bytes_text(info->data_bytes, total));
	printf("parameters    %u of %u\n", info->params, info->max_params);
	printf("ports         %u live of %u (this one: %u)\n", info->live_ports, info->ports,
	       info->port);
	printf("capabilities ");
	ctl_print_caps(info->caps);
	printf("transfers     at most %s; stripes of %s\n", ctl_bytes_text(info->max_bytes, most),
	       ctl_bytes_text(info->stripe_bytes, total));
	if (info->aperture)
		printf("device        %u queues, aperture %s, %u windows\n", info->queues,
		       ctl_bytes_text(info->aperture, total), info->max_windows);
}

static void print_port(const struct membox_port_stat *s)
{
	unsigned int i;

	printf("\nport %-3u      %s, generation %u, process %u, %u contexts", s->port,
	       port_state(s->state), s->generation, s->pid, s->contexts);
	if (s->quota_bytes)
		printf(", %" PRIu64 " of %" PRIu64 " bytes of quota", (uint64_t)s->used_bytes,
		       (uint64_t)s->quota_bytes);
	putchar('\n');
	for (i = 0; i < MEMBOX_NR_COUNTERS; i++)
		if (ctl_counter_name(i) && s->counter[i])
			printf("  %-20s %" PRIu64 "\n", ctl_counter_name(i),
			       (uint64_t)s->counter[i]);
}

static int stat_box(const struct ctl_verb *verb, struct membox *box, bool json)
{
	struct membox_info info = { .size = sizeof(info) };
	struct membox_port_stat port;
	struct json_object *o, *ports;
	uint32_t i;

	if (membox_info(box, &info))
		return ctl_fail(verb, "%s", membox_error());
	o = json_box(&info);
	ports = json_object_new_array();
	if (!json)
		print_box(&info);
	for (i = 0; i < info.ports; i++) {
		port.size = sizeof(port);
		if (membox_port_stat(box, i, &port)) {
			json_object_put(ports);
			json_object_put(o);
			return ctl_fail(verb, "%s", membox_error());
		}
		if (port.state == MEMBOX_PORT_FREE)
			continue;
		if (json)
			json_object_array_add(ports, json_port(&port));
		else
			print_port(&port);
	}
	json_object_object_add(o, "port", ports);
	if (json)
		ctl_print_json(o);
	else
		json_object_put(o);
	return info.state ? CTL_WRONG : CTL_GOOD;
}

static int run(const struct ctl_verb *verb, int argc, char **argv)
{
	const char *name = NULL;
	struct membox *box;
	bool json = false;
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
	if (optind == argc)
		ret = stat_box(verb, box, json);
	else if (optind + 1 == argc)
		ret = stat_param(verb, box, argv[optind], json);
	else
		ret = ctl_usage(verb, stderr);
	membox_close(box);
	return ret;
}

const struct ctl_verb ctl_stat = {
	.name = "stat",
	.synopsis = "[-j] [BOX] [PARAMETER]",
	.summary = "Shows a box, its ports and their counters, or one parameter",
	.help = "  -b, --box BOX  which box\n"
		"  -j, --json     for programs\n\n"
		"examples:\n"
		"  memboxctl stat /dev/membox0\n"
		"  memboxctl stat file:/dev/shm/box weights\n",
	.run = run,
};
