// SPDX-License-Identifier: MIT
/*
 * out.c - what several verbs print.
 */
#include <string.h>

#include "ctl.h"

int ctl_print_json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
						    JSON_C_TO_STRING_SPACED |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
	return fflush(stdout) ? CTL_FAILED : CTL_GOOD;
}

void ctl_hex(const uint8_t *bytes, size_t n, char *text)
{
	size_t i;

	for (i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	text[2 * n] = 0;
}

static const struct {
	uint64_t cap;
	const char *name;
} caps_names[] = {
	{ MEMBOX_CAP_ACC, "acc" },
	{ MEMBOX_CAP_VECTOR, "vector" },
	{ MEMBOX_CAP_ATOMIC, "atomic" },
	{ MEMBOX_CAP_WAIT, "wait" },
	{ MEMBOX_CAP_SCATTER, "scatter" },
	{ MEMBOX_CAP_UPDATE, "update" },
	{ MEMBOX_CAP_COLLECTIVES, "collectives" },
	{ MEMBOX_CAP_WINDOWS, "windows" },
	{ MEMBOX_CAP_USER_QUEUES, "user-queues" },
	{ MEMBOX_CAP_REGIONS, "regions" },
};
#define NCAPS (sizeof(caps_names) / sizeof(caps_names[0]))

struct json_object *ctl_json_caps(uint64_t caps)
{
	struct json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < NCAPS; i++)
		if (caps & caps_names[i].cap)
			json_object_array_add(list, json_object_new_string(caps_names[i].name));
	return list;
}

void ctl_print_caps(uint64_t caps)
{
	size_t i;

	for (i = 0; i < NCAPS; i++)
		if (caps & caps_names[i].cap)
			printf(" %s", caps_names[i].name);
	putchar('\n');
}

const char *ctl_counter_name(unsigned int counter)
{
	static const char *const names[MEMBOX_NR_COUNTERS] = {
		[MEMBOX_CTR_TO_DEVICE] = "to_device_bytes",
		[MEMBOX_CTR_FROM_DEVICE] = "from_device_bytes",
		[MEMBOX_CTR_CONTROL] = "control_bytes",
		[MEMBOX_CTR_COMMON_READ] = "common_read_bytes",
		[MEMBOX_CTR_COMMON_WRITE] = "common_write_bytes",
		[MEMBOX_CTR_OPERATIONS] = "operations",
		[MEMBOX_CTR_ERRORS] = "errors",
		[MEMBOX_CTR_ADMIN] = "admin_commands",
		[MEMBOX_CTR_INTERRUPTS] = "interrupts",
		[MEMBOX_CTR_DOORBELLS] = "doorbells",
		[MEMBOX_CTR_EVENTS] = "events",
	};

	return counter < MEMBOX_NR_COUNTERS ? names[counter] : NULL;
}

const char *ctl_attrs_text(uint32_t attrs, char text[64])
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{ MEMBOX_PARAM_KEYED, "keyed" },
		{ MEMBOX_PARAM_MAPPABLE, "mappable" },
		{ MEMBOX_PARAM_EPHEMERAL, "ephemeral" },
		{ MEMBOX_PARAM_NOJOURNAL, "nojournal" },
	};
	size_t i, used = 0;

	strcpy(text, "-");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (attrs & names[i].flag)
			used += (size_t)snprintf(text + used, 64 - used, "%s%s", used ? "," : "",
						 names[i].name);
	return text;
}

struct json_object *ctl_json_param(const struct membox_param_stat *p)
{
	struct json_object *o = json_object_new_object();
	char owner[33], mode[16], attrs[64];

	ctl_hex(p->owner, sizeof(p->owner), owner);
	snprintf(mode, sizeof(mode), "%04o", p->mode);
	json_object_object_add(o, "name", json_object_new_string(p->name));
	json_object_object_add(o, "type", json_object_new_string(ctl_type_name(p->type)));
	json_object_object_add(o, "count", json_object_new_uint64(p->count));
	json_object_object_add(o, "bytes", json_object_new_uint64(p->bytes));
	json_object_object_add(o, "address", json_object_new_uint64(p->address));
	json_object_object_add(o, "version", json_object_new_uint64(p->finished));
	json_object_object_add(o, "writers_begun", json_object_new_uint64(p->begun));
	json_object_object_add(o, "references", json_object_new_uint64(p->refs));
	json_object_object_add(o, "waiters", json_object_new_uint64(p->waiters));
	json_object_object_add(o, "subscribers", json_object_new_uint64(p->subscribers));
	json_object_object_add(o, "mode", json_object_new_string(mode));
	json_object_object_add(o, "attributes",
			       json_object_new_string(ctl_attrs_text(p->attrs, attrs)));
	json_object_object_add(o, "destroyed", json_object_new_boolean(p->destroyed != 0));
	json_object_object_add(o, "torn", json_object_new_boolean(p->torn != 0));
	json_object_object_add(o, "owner", json_object_new_string(owner));
	return o;
}
