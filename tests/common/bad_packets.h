/* SPDX-License-Identifier: MIT */
/*
 * bad_packets.h - what is wrong with a packet when one of its fields is changed:
 * for every kind of good packet (good_packets.h) the fields that it uses, by hand
 * from the description in membox.h, and from these each single fault with its
 * status and detail. For the tests of the checks themselves, and for tests that
 * send the same faults to a driver, a device or a file.
 */
#ifndef MEMBOX_BAD_PACKETS_H
#define MEMBOX_BAD_PACKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "good_packets.h"

/* ---- the 128 bytes as fields ---- */

struct field {
	const char *name;
	unsigned int at, bytes;
};

static const struct field common_fields[] = {
	{ "phase", 1, 1 },    { "cid", 2, 2 },	   { "context", 6, 2 },	 { "src", 16, 1 },   { "dst", 17, 1 },
	{ "red", 18, 1 },     { "sub", 19, 1 },	   { "timeout", 20, 4 }, { "count", 24, 8 }, { "h0", 32, 4 },
	{ "h1", 36, 4 },      { "h2", 40, 4 },	   { "h3", 44, 4 },	 { "o0", 48, 8 },    { "o1", 56, 8 },
	{ "o2", 64, 8 },      { "o3", 72, 8 },	   { "host", 80, 8 },	 { "key", 88, 4 },   { "nseg", 92, 4 },
	{ "user_data", 8, 8 }, { NULL, 0, 0 },
};
static const struct field scale_fields[] = {
	{ "a", 96, 8 }, { "b", 104, 8 }, { "host2", 112, 8 }, { "key2", 120, 4 }, { "nseg2", 124, 4 }, { NULL, 0, 0 },
};
static const struct field list_fields[] = {
	{ "nterms", 96, 4 }, { "unused0", 100, 4 }, { "b", 104, 8 }, { "host2", 112, 8 }, { "key2", 120, 4 },
	{ "nseg2", 124, 4 }, { NULL, 0, 0 },
};
static const struct field update_fields[] = {
	{ "lr", 96, 4 },     { "beta1", 100, 4 }, { "beta2", 104, 4 }, { "eps", 108, 4 }, { "decay", 112, 4 },
	{ "gscale", 116, 4 }, { "step", 120, 8 },  { NULL, 0, 0 },
};
static const struct field coll_fields[] = {
	{ "group", 96, 4 },   { "epoch", 100, 4 }, { "seq", 104, 4 }, { "root", 108, 4 },
	{ "host2", 112, 8 }, { "key2", 120, 4 },  { "nseg2", 124, 4 }, { NULL, 0, 0 },
};

/*
 * What a kind uses, by hand. Not in `used`: must be zero. "-name" in `used`: left
 * out of the test of unused fields, because setting it makes another packet (a
 * handle in place of host memory, the other side of a collective), tested apart.
 */
struct expect {
	const char *kind;
	uint64_t cap;
	const struct field *tail;
	const char *used;
	const char *flags;
};

#define COLL_USED "src dst count group epoch seq timeout "

static const struct expect expects[] = {
	{ "READ", 0, scale_fields, "dst count h0 o0 host", "fence region" },
	{ "WRITE", 0, scale_fields, "dst count h0 o0 host", "fence region" },
	{ "COPY", 0, scale_fields, "src dst count h0 o0 h1 o1", "fence" },
	{ "FILL", 0, scale_fields, "dst count h0 o0 a", "fence" },
	{ "SNAPSHOT", 0, scale_fields, "dst count h0 o0 host timeout", "fence region" },
	{ "ACC host", MEMBOX_CAP_ACC, scale_fields, "src dst red count h0 o0 host a -h1", "fence region" },
	{ "ACC common", MEMBOX_CAP_ACC, scale_fields, "src dst red count h0 o0 h1 o1 a", "fence" },
	{ "SCALE", MEMBOX_CAP_VECTOR, scale_fields, "dst count h0 o0 a", "fence" },
	{ "AXPBY", MEMBOX_CAP_VECTOR, scale_fields, "src dst count h0 o0 h1 o1 a b", "fence" },
	{ "WSUM", MEMBOX_CAP_VECTOR, list_fields, "src dst count h0 o0 host nterms", "fence ordered region" },
	{ "SCATTER_ACC", MEMBOX_CAP_SCATTER, scale_fields, "src dst sub count h0 o0 host a host2",
	  "fence region region2" },
	{ "UPDATE sgd host", MEMBOX_CAP_UPDATE, update_fields,
	  "src dst sub count h0 o0 host lr decay gscale -h1", "fence region" },
	{ "UPDATE sgd common", MEMBOX_CAP_UPDATE, update_fields,
	  "src dst sub count h0 o0 h1 o1 lr decay gscale", "fence" },
	{ "UPDATE momentum host", MEMBOX_CAP_UPDATE, update_fields,
	  "src dst sub count h0 o0 h2 o2 host lr beta1 decay gscale -h1", "fence region" },
	{ "UPDATE momentum common", MEMBOX_CAP_UPDATE, update_fields,
	  "src dst sub count h0 o0 h1 o1 h2 o2 lr beta1 decay gscale", "fence" },
	{ "UPDATE adam host", MEMBOX_CAP_UPDATE, update_fields,
	  "src dst sub count h0 o0 h2 o2 h3 o3 host lr beta1 beta2 eps decay gscale step -h1", "fence region" },
	{ "UPDATE adam common", MEMBOX_CAP_UPDATE, update_fields,
	  "src dst sub count h0 o0 h1 o1 h2 o2 h3 o3 lr beta1 beta2 eps decay gscale step", "fence" },
	{ "ALLREDUCE host", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red host host2 -h0 -h1",
	  "fence ordered region region2" },
	{ "ALLREDUCE common", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red h0 o0 h1 o1", "fence ordered" },
	{ "REDUCE root host", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red root host host2 -h0 -h1",
	  "fence ordered region region2" },
	{ "REDUCE root common", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red root h0 o0 h1 o1",
	  "fence ordered" },
	{ "REDUCE other host", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red root host -h0 -h1 -host2",
	  "fence ordered region -region2" },
	{ "REDUCE other common", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red root h0 o0 -h1 -host2",
	  "fence ordered -region2" },
	{ "REDUCE_SCATTER host", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red root host host2 -h0 -h1",
	  "fence ordered region region2" },
	{ "REDUCE_SCATTER common", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "red root h0 o0 h1 o1",
	  "fence ordered" },
	{ "ALLGATHER host", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "root host host2 -h0 -h1",
	  "fence region region2" },
	{ "ALLGATHER common", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "root h0 o0 h1 o1", "fence" },
	{ "BROADCAST root host", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "root host -h0", "fence region" },
	{ "BROADCAST root common", MEMBOX_CAP_COLLECTIVES, coll_fields, COLL_USED "root h0 o0", "fence" },
	{ "BROADCAST other host", MEMBOX_CAP_COLLECTIVES, coll_fields,
	  COLL_USED "root host2 -h0 -host -key -nseg -h1", "fence -region region2" },
	{ "BROADCAST other common", MEMBOX_CAP_COLLECTIVES, coll_fields,
	  COLL_USED "root h1 o1 -h0 -host -key -nseg", "fence -region" },
	{ "BARRIER", MEMBOX_CAP_COLLECTIVES, coll_fields, "group epoch seq timeout", "fence" },
	{ "ATOMIC fetch-add", MEMBOX_CAP_ATOMIC, scale_fields, "dst sub h0 o0 a", "fence" },
	{ "ATOMIC swap", MEMBOX_CAP_ATOMIC, scale_fields, "dst sub h0 o0 a", "fence" },
	{ "ATOMIC compare-swap", MEMBOX_CAP_ATOMIC, scale_fields, "dst sub h0 o0 a b", "fence" },
	{ "NOTIFY", 0, scale_fields, "h0", "fence" },
	{ "WAIT word", MEMBOX_CAP_WAIT, scale_fields, "dst sub h0 o0 a b timeout", "fence" },
	{ "WAIT version", MEMBOX_CAP_WAIT, scale_fields, "dst sub h0 a b timeout", "fence" },
	{ "FENCE", 0, scale_fields, "", "" },
	{ "COMMIT", MEMBOX_CAP_WINDOWS, scale_fields, "dst count h0 o0", "fence" },
	{ "CANCEL", 0, scale_fields, "a", "" },
};

/* Is the word, or with '-' before it, in the list? */
static inline bool listed(const char *list, const char *word, bool dashed)
{
	size_t n = strlen(word);
	const char *at = list;

	while ((at = strstr(at, word))) {
		const char *begin = at;
		bool dash = begin > list && begin[-1] == '-';

		at += n;
		begin -= dash;
		if ((begin == list || begin[-1] == ' ') && (*at == ' ' || !*at) && dash == dashed)
			return true;
	}
	return false;
}

static inline bool uses(const struct expect *x, const char *field)
{
	return listed(x->used, field, false);
}

/* ---- faults ---- */

struct fault {
	char name[48];
	unsigned int at, bytes; /* bytes 0: no field of the packet, caps instead */
	uint64_t value;
	uint16_t status;
	uint32_t detail;
	const char *unless; /* no fault at all when this other field is at fault too */
};

#define MAX_FAULTS 96
struct faults {
	unsigned int n;
	struct fault fault[MAX_FAULTS];
};

static inline struct fault *add_fault(struct faults *f, const char *name, unsigned int at, unsigned int bytes,
			       uint64_t value, uint16_t status)
{
	struct fault *x = &f->fault[f->n++];

	if (f->n > MAX_FAULTS)
		abort();
	*x = (struct fault){ .at = at, .bytes = bytes, .value = value, .status = status, .detail = at };
	snprintf(x->name, sizeof(x->name), "%s", name);
	return x;
}

static inline void put_field(struct membox_packet *p, unsigned int at, unsigned int bytes, uint64_t value)
{
	memcpy((uint8_t *)p + at, &value, bytes);
}

static inline uint64_t get_field(const struct membox_packet *p, unsigned int at, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, (const uint8_t *)p + at, bytes);
	return value;
}

static inline bool is_gathering(uint8_t opcode)
{
	return opcode == MEMBOX_OP_ALLGATHER || opcode == MEMBOX_OP_REDUCE_SCATTER;
}

/* Which field decides whether this one is used: when that is at fault, this one is not judged. */
static inline const char *decided_by(const struct membox_packet *p, const char *field)
{
	if (p->opcode == MEMBOX_OP_WAIT && !strcmp(field, "o0"))
		return "dst";
	if (p->opcode == MEMBOX_OP_ATOMIC && !strcmp(field, "b"))
		return "sub";
	if (p->opcode == MEMBOX_OP_UPDATE && listed("h2 h3 o2 o3 beta1 beta2 eps step", field, false))
		return "sub";
	return NULL;
}

static inline void unused_faults(struct faults *f, const struct expect *x, const struct membox_packet *p,
			  const struct field *list)
{
	for (; list->name; list++) {
		if (uses(x, list->name) || listed(x->used, list->name, true) || !strcmp(list->name, "user_data"))
			continue;
		add_fault(f, list->name, list->at, list->bytes, 1, MEMBOX_ST_RESERVED)->unless =
			decided_by(p, list->name);
	}
}

static inline void scalar_faults(struct faults *f, const struct expect *x, const struct membox_packet *p)
{
	static const char *const names[] = { "lr", "beta1", "beta2", "eps", "decay", "gscale" };
	bool integer = p->dst_type == MEMBOX_I8 || p->dst_type == MEMBOX_I32 || p->dst_type == MEMBOX_I64;
	bool multiplies = p->opcode == MEMBOX_OP_ACC || p->opcode == MEMBOX_OP_SCALE ||
			  p->opcode == MEMBOX_OP_AXPBY || p->opcode == MEMBOX_OP_SCATTER_ACC;
	unsigned int i;

	if (integer && multiplies && uses(x, "a"))
		add_fault(f, "a not whole", 96, 8, GOOD_HALF, MEMBOX_ST_BAD_SCALAR);
	if (integer && multiplies && uses(x, "b"))
		add_fault(f, "b not whole", 104, 8, GOOD_HALF, MEMBOX_ST_BAD_SCALAR);
	if (p->opcode == MEMBOX_OP_FILL && p->dst_type == MEMBOX_F32)
		add_fault(f, "value too wide", 96, 8, 1ULL << 32, MEMBOX_ST_BAD_SCALAR);
	if (p->opcode == MEMBOX_OP_ATOMIC && p->dst_type == MEMBOX_I32) {
		add_fault(f, "value too wide", 96, 8, 0x80000000, MEMBOX_ST_BAD_SCALAR);
		if (uses(x, "b"))
			add_fault(f, "compare too wide", 104, 8, 0x80000000, MEMBOX_ST_BAD_SCALAR);
	}
	for (i = 0; i < 6; i++)
		if (p->opcode == MEMBOX_OP_UPDATE && uses(x, names[i]))
			add_fault(f, names[i], 96 + 4 * i, 4, 0x7fc00000, MEMBOX_ST_BAD_SCALAR);
	/* with another sub, known or not, step 0 is right */
	if (uses(x, "step"))
		add_fault(f, "no step", 120, 8, 0, MEMBOX_ST_BAD_SCALAR)->unless = "sub";
}

static inline void length_faults(struct faults *f, const struct expect *x, const struct membox_packet *p,
				 uint64_t max_bytes)
{
	if (uses(x, "count")) {
		add_fault(f, "count 0", 24, 8, 0, MEMBOX_ST_ZERO_LENGTH);
		add_fault(f, "count long", 24, 8, max_bytes, MEMBOX_ST_TOO_LONG);
		add_fault(f, "count huge", 24, 8, ~0ULL, MEMBOX_ST_TOO_LONG);
	}
	if (uses(x, "nterms")) {
		add_fault(f, "nterms 0", 96, 4, 0, MEMBOX_ST_ZERO_LENGTH);
		add_fault(f, "nterms long", 96, 4, MEMBOX_MAX_TERMS + 1, MEMBOX_ST_TOO_LONG);
	}
	if (is_gathering(p->opcode)) {
		add_fault(f, "ranks 0", 108, 4, 0, MEMBOX_ST_ZERO_LENGTH);
		add_fault(f, "ranks long", 108, 4, MEMBOX_MAX_RANKS + 1, MEMBOX_ST_TOO_LONG);
	}
}

/* Every fault of a packet by itself that can be made of this good one. */
static inline void all_faults(struct faults *f, const struct expect *x, const struct membox_packet *p,
			      uint64_t max_bytes)
{
	static const char *const offsets[] = { "o0", "o1", "o2", "o3" };
	unsigned int i;

	f->n = 0;
	add_fault(f, "opcode", 0, 1, 0x3f, MEMBOX_ST_BAD_OPCODE);
	if (x->cap)
		add_fault(f, "capability", 0, 0, 0, MEMBOX_ST_UNSUPPORTED);
	add_fault(f, "unknown flag", 4, 2, 0x8000, MEMBOX_ST_BAD_FLAG);
	unused_faults(f, x, p, common_fields);
	unused_faults(f, x, p, x->tail);
	if (uses(x, "src")) {
		add_fault(f, "src", 16, 1, 99, MEMBOX_ST_BAD_TYPE);
		add_fault(f, "src against dst", 16, 1, p->dst_type == MEMBOX_I64 ? MEMBOX_F32 : MEMBOX_I64,
			  MEMBOX_ST_BAD_TYPE)->unless = "dst";
	}
	if (uses(x, "dst"))
		add_fault(f, "dst", 17, 1, 99, MEMBOX_ST_BAD_TYPE);
	if (uses(x, "red"))
		add_fault(f, "red", 18, 1, MEMBOX_NR_REDS, MEMBOX_ST_BAD_REDUCTION);
	if (uses(x, "sub"))
		add_fault(f, "sub", 19, 1, 99, MEMBOX_ST_BAD_SUBOP);
	scalar_faults(f, x, p);
	if (uses(x, "timeout"))
		add_fault(f, "timeout", 20, 4, MEMBOX_MAX_TIMEOUT_US + 1, MEMBOX_ST_BAD_TIMEOUT);
	length_faults(f, x, p, max_bytes);
	for (i = 0; i < 4; i++)
		if (uses(x, offsets[i]))
			add_fault(f, offsets[i], 48 + 8 * i, 8, ~0ULL, MEMBOX_ST_OFFSET_OVERFLOW);
	if (uses(x, "host")) {
		add_fault(f, "host wraps", 80, 8, ~7ULL, MEMBOX_ST_OFFSET_OVERFLOW);
		add_fault(f, "host misaligned", 80, 8, 0x10001, MEMBOX_ST_MISALIGNED);
	}
	if (uses(x, "host2")) {
		add_fault(f, "host2 wraps", 112, 8, ~7ULL, MEMBOX_ST_OFFSET_OVERFLOW);
		add_fault(f, "host2 misaligned", 112, 8, 0x10001, MEMBOX_ST_MISALIGNED);
	}
}

static inline const struct expect *expect_of(const struct good_kind *kind)
{
	size_t i;

	for (i = 0; i < sizeof(expects) / sizeof(expects[0]); i++)
		if (!strcmp(expects[i].kind, kind->name))
			return &expects[i];
	abort();
}

/*
 * Calls fn for every kind of good packet, with f32 and i32 parameters (UPDATE:
 * f32 alone; ATOMIC and WAIT: i64 and i32 words).
 */
static inline void each_packet(void (*fn)(const struct expect *x, const struct membox_packet *p, const char *name))
{
	size_t i;
	int ints;

	for (i = 0; i < GOOD_KINDS; i++) {
		for (ints = 0; ints < 2; ints++) {
			struct good_env env = good_env_shape;
			struct membox_packet p;
			char name[64];

			env.type = ints ? MEMBOX_I32 : MEMBOX_F32;
			p = good_packet(&good_kinds[i], &env);
			if (ints && (p.opcode == MEMBOX_OP_UPDATE || !p.dst_type))
				continue;
			if (ints && p.dst_type == MEMBOX_I64)
				p.dst_type = MEMBOX_I32;
			snprintf(name, sizeof(name), "%s%s", good_kinds[i].name, ints ? " i32" : "");
			fn(expect_of(&good_kinds[i]), &p, name);
		}
	}
}

static inline void apply(const struct fault *f, struct membox_packet *p, uint64_t *caps, const struct expect *x)
{
	if (f->bytes)
		put_field(p, f->at, f->bytes, f->value);
	else
		*caps &= ~x->cap;
}

static inline bool field_at(const char *name, unsigned int at)
{
	return (!strcmp(name, "dst") && at == 17) || (!strcmp(name, "sub") && at == 19);
}

#endif /* MEMBOX_BAD_PACKETS_H */
