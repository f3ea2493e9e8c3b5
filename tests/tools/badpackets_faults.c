// SPDX-License-Identifier: MIT
/*
 * badpackets_faults.c - every fault that one good packet can be given: those of
 * its 128 bytes (bad_packets.h), of the memory that it names, of its operands,
 * and of WSUM's list; and which of two is reported. By hand from
 * docs/operations.md, not from the code that is tested.
 */
#include "badpackets.h"

#define AT_HANDLE  32U
#define AT_OFFSET  48U
#define AT_COUNT   24U
#define AT_FLAGS   4U
#define AT_HOST    80U
#define AT_KEY     88U
#define MAX_LISTS  64U
#define AT_GROUP   96U
#define AT_EPOCH   100U
#define AT_ROOT    108U
#define AT_HOST2   112U
#define AT_KEY2    120U
#define NEVER_OPEN 0x0001ffffU /* a handle's place that no port has */

/* ---- adding ---- */

static struct bad *add(struct bads *all, const char *name, uint16_t status, uint32_t detail)
{
	struct bad *bad = &all->bad[all->n++];

	if (all->n > MAX_BADS)
		bail("more faults than there is room for");
	memset(bad, 0, sizeof(*bad));
	snprintf(bad->name, sizeof(bad->name), "%s", name);
	bad->status = status;
	bad->detail = detail;
	bad->order = status;
	return bad;
}

static struct bad *put(struct bad *bad, unsigned int at, unsigned int bytes, uint64_t value)
{
	bad->put[bad->nputs++] = (struct put){at, bytes, value};
	return bad;
}

/* Operands are gone through one after the other; what is of several comes after them. */
static void of_operand(struct bad *bad, unsigned int i)
{
	bad->order = 100 * (i + 1) + bad->status;
}

static void of_several(struct bad *bad)
{
	bad->order = 1000U + bad->status;
}

static void of_group(struct bad *bad, unsigned int row)
{
	bad->order = 2000U + row;
}

/* ---- the 128 bytes ---- */

static void add_shape(struct bads *all, const struct expect *x, const struct membox_packet *p)
{
	static struct faults faults;
	unsigned int i;

	all_faults(&faults, x, p, scene.max_bytes);
	for (i = 0; i < faults.n; i++) {
		const struct fault *f = &faults.fault[i];

		if (!f->bytes)
			continue; /* a device's capability is not changed by a packet */
		put(add(all, f->name, f->status, f->detail), f->at, f->bytes, f->value)->unless = f->unless;
	}
	if (uses(x, "host"))
		put(add(all, "host misaligned by 2", MEMBOX_ST_MISALIGNED, AT_HOST), AT_HOST, 8,
		    (uintptr_t)scene.host + 2);
	if (uses(x, "host2"))
		put(add(all, "host2 misaligned by 2", MEMBOX_ST_MISALIGNED, AT_HOST2), AT_HOST2, 8,
		    (uintptr_t)scene.host2 + 2);
}

/* ---- memory ---- */

/* Of host, or of host2, which the device writes. */
static void add_host(struct bads *all, const struct membox_packet *p, bool second)
{
	uint64_t bytes = second ? membox_host2_bytes(p) : membox_host_bytes(p);
	bool written = second ? membox_host2_is_written(p->opcode) : membox_host_is_written(p->opcode);
	unsigned int at = second ? AT_HOST2 : AT_HOST, key = second ? AT_KEY2 : AT_KEY;
	uint16_t flag = second ? MEMBOX_F_REGION2 : MEMBOX_F_REGION;
	char name[48];
	const struct {
		const char *name;
		uint64_t at;
		bool if_written;
	} rows[] = {
		{"host unmapped", (uintptr_t)scene.unmapped, false},
		{"host not accessible", (uintptr_t)scene.no_access, false},
		{"host read-only", (uintptr_t)scene.read_only, true},
		{"host ends too early", (uintptr_t)scene.last - bytes / 2, false},
		{"host has a hole", (uintptr_t)scene.hole + 2 * PAGE - (bytes > 2 * PAGE ? 2 * PAGE : 8),
		 false},
		{"host null", 0, false},
		{"host in the kernel", 0xffff888000000000, false},
	};
	unsigned int i;

	put(put(add(all, second ? "region2 with a key" : "region with a key", MEMBOX_ST_BAD_REGION, key),
		AT_FLAGS, 2, flag), key, 4, 7);
	put(add(all, second ? "region2 without a key" : "region without a key", MEMBOX_ST_BAD_REGION, key),
	    AT_FLAGS, 2, flag);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].if_written && !written)
			continue;
		/* the side that tells a root from others: without it the packet is another one */
		if (!rows[i].at && p->opcode == (second ? MEMBOX_OP_REDUCE : MEMBOX_OP_BROADCAST))
			continue;
		snprintf(name, sizeof(name), "%s%s", second ? "second " : "", rows[i].name);
		put(add(all, name, MEMBOX_ST_HOST_FAULT, at), at, 8, rows[i].at);
	}
}

/* ---- operands ---- */

static const struct typed *typed_of(const struct membox_packet *p)
{
	switch (p->dst_type) {
	case MEMBOX_I32:
		return &scene.i32;
	case MEMBOX_I64:
		return &scene.i64;
	default:
		return &scene.f32;
	}
}

static bool writes(uint8_t opcode)
{
	return opcode != MEMBOX_OP_READ && opcode != MEMBOX_OP_SNAPSHOT && opcode != MEMBOX_OP_WAIT;
}

/* Does it write operand 0, or 1? */
static bool writes_to(uint8_t opcode, unsigned int operand)
{
	return is_collective(opcode) ? operand == 1 : operand == 0 && writes(opcode);
}

static bool reads(uint8_t opcode, unsigned int operand)
{
	if (is_collective(opcode))
		return operand == 0;
	return operand || !writes(opcode) || opcode == MEMBOX_OP_ATOMIC;
}

static void add_handle(struct bads *all, unsigned int i, const char *what, uint32_t handle, uint16_t status)
{
	char name[48];

	snprintf(name, sizeof(name), "p%u %s", i, what);
	of_operand(put(add(all, name, status, AT_HANDLE + 4 * i), AT_HANDLE + 4 * i, 4, handle), i);
}

static void add_offset(struct bads *all, unsigned int i, const char *what, uint64_t offset)
{
	char name[48];

	snprintf(name, sizeof(name), "p%u %s", i, what);
	of_operand(
		put(add(all, name, MEMBOX_ST_OUT_OF_RANGE, AT_OFFSET + 8 * i), AT_OFFSET + 8 * i, 8, offset),
		i);
}

static void add_operand(struct bads *all, const struct expect *x, const struct membox_packet *p,
			unsigned int i)
{
	const struct typed *typed = typed_of(p);
	char offset[4] = {'o', (char)('0' + i), 0};

	/* ACC without p1, and a collective without one of its own, is another packet */
	if (!is_collective(p->opcode) && (i == 0 || p->opcode != MEMBOX_OP_ACC))
		add_handle(all, i, "zero", 0, MEMBOX_ST_BAD_HANDLE);
	add_handle(all, i, "closed", scene.closed, MEMBOX_ST_BAD_HANDLE);
	add_handle(all, i, "foreign", scene.foreign, MEMBOX_ST_BAD_HANDLE);
	add_handle(all, i, "never open", NEVER_OPEN, MEMBOX_ST_BAD_HANDLE);
	add_handle(all, i, "destroyed", scene.destroyed, MEMBOX_ST_DESTROYED);
	add_handle(all, i, "revoked", scene.revoked, MEMBOX_ST_DESTROYED);
	if (uses(x, "dst") && p->dst_type)
		add_handle(all, i, "of another type", scene.f64, MEMBOX_ST_TYPE_MISMATCH);
	if (writes_to(p->opcode, i))
		add_handle(all, i, "not writable", typed->rdonly, MEMBOX_ST_DENIED);
	if (reads(p->opcode, i))
		add_handle(all, i, "not readable", typed->wronly, MEMBOX_ST_DENIED);
	if (uses(x, offset)) {
		add_offset(all, i, "one too far", ELEMENTS + 1 - membox_operand_count(p, i));
		add_offset(all, i, "behind its end", ELEMENTS + 1);
		add_offset(all, i, "far behind its end", 1ULL << 40);
	}
}

static void add_operands(struct bads *all, const struct expect *x, const struct membox_packet *p)
{
	struct bad *bad;

	if (uses(x, "h0"))
		add_operand(all, x, p, 0);
	if (uses(x, "h1"))
		add_operand(all, x, p, 1);
	if (uses(x, "count") && (uses(x, "h0") || uses(x, "h1"))) {
		unsigned int first = uses(x, "h0") ? 0 : 1;

		bad = add(all, "count one too many", MEMBOX_ST_OUT_OF_RANGE, AT_OFFSET + 8 * first);
		of_operand(put(bad, AT_COUNT, 8, ELEMENTS - FIRST + 1), first);
	}
	if (!uses(x, "h1") || !uses(x, "h0"))
		return;
	if (p->opcode == MEMBOX_OP_COPY) {
		bad = add(all, "onto itself", MEMBOX_ST_OVERLAP, AT_OFFSET + 8);
		of_several(put(bad, AT_HANDLE + 4, 4, p->handle[0]));
	}
	bad = add(all, "overlaps, source behind", MEMBOX_ST_OVERLAP, AT_OFFSET + 8);
	of_several(put(put(bad, AT_HANDLE + 4, 4, p->handle[0]), AT_OFFSET + 8, 8, FIRST + 1));
	bad = add(all, "overlaps, source before", MEMBOX_ST_OVERLAP, AT_OFFSET + 8);
	of_several(put(put(bad, AT_HANDLE + 4, 4, p->handle[0]), AT_OFFSET + 8, 8, FIRST - 1));
}

/* ---- groups ---- */

static void add_group(struct bads *all, const struct membox_packet *p)
{
	of_group(put(add(all, "group zero", MEMBOX_ST_BAD_GROUP, AT_GROUP), AT_GROUP, 4, 0), 0);
	of_group(put(add(all, "group left", MEMBOX_ST_BAD_GROUP, AT_GROUP), AT_GROUP, 4, scene.group_left), 0);
	of_group(put(add(all, "group foreign", MEMBOX_ST_BAD_GROUP, AT_GROUP), AT_GROUP, 4, scene.group_foreign), 0);
	of_group(put(add(all, "group never made", MEMBOX_ST_BAD_GROUP, AT_GROUP), AT_GROUP, 4, 0xffff), 0);
	of_group(put(add(all, "epoch to come", MEMBOX_ST_BAD_EPOCH, AT_EPOCH), AT_EPOCH, 4, scene.epoch + 1), 1);
	of_group(put(add(all, "epoch over", MEMBOX_ST_BAD_EPOCH, AT_EPOCH), AT_EPOCH, 4, scene.epoch - 1), 1);
	if (p->opcode == MEMBOX_OP_REDUCE || p->opcode == MEMBOX_OP_BROADCAST)
		of_group(put(add(all, "root no rank", MEMBOX_ST_BAD_RANK, AT_ROOT), AT_ROOT, 4, 1), 2);
}

/* ---- WSUM's list ---- */

static struct membox_term terms[MAX_LISTS][2];

static struct membox_term *add_list(struct bads *all, const struct typed *typed, const char *what,
				    unsigned int term, uint16_t status)
{
	static unsigned int next;
	struct membox_term *list = terms[next];
	struct bad *bad;
	char name[48];
	unsigned int i;

	next = (next + 1) % MAX_LISTS; /* each packet has fewer, and is done with before the next */
	memset(list, 0, sizeof(terms[0]));
	for (i = 0; i < 2; i++) {
		list[i].handle = typed->param[1 + i];
		list[i].offset = FIRST;
		list[i].a = GOOD_ONE;
	}
	snprintf(name, sizeof(name), "term %u %s", term, what);
	bad = put(add(all, name, status, AT_HOST), AT_HOST, 8, (uintptr_t)list);
	bad->result = term;
	of_several(bad);
	return list;
}

static void add_term(struct bads *all, const struct typed *typed, unsigned int term)
{
	const struct {
		const char *what;
		uint32_t handle;
	} rows[] = {
		{"zero", 0},
		{"closed", scene.closed},
		{"foreign", scene.foreign},
		{"never open", NEVER_OPEN},
		{"destroyed", scene.destroyed},
		{"revoked", scene.revoked},
		{"of another type", scene.f64},
		{"not readable", typed->wronly},
	};
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		add_list(all, typed, rows[i].what, term, MEMBOX_ST_BAD_TERM)[term].handle = rows[i].handle;
	add_list(all, typed, "past its end", term, MEMBOX_ST_BAD_TERM)[term].offset = ELEMENTS + 1 - COUNT;
	add_list(all, typed, "overflows", term, MEMBOX_ST_BAD_TERM)[term].offset = ~0ULL;
	add_list(all, typed, "with reserved bits", term, MEMBOX_ST_BAD_TERM)[term].rsvd = 1;
	if (typed->type == MEMBOX_I32)
		add_list(all, typed, "not whole", term, MEMBOX_ST_BAD_TERM)[term].a = GOOD_HALF;
}

static void add_lists(struct bads *all, const struct membox_packet *p)
{
	const struct typed *typed = typed_of(p);
	struct membox_term *list;
	unsigned int term;

	for (term = 0; term < 2; term++) {
		add_term(all, typed, term);
		list = add_list(all, typed, "overlaps", term, MEMBOX_ST_OVERLAP);
		list[term].handle = p->handle[0];
		list[term].offset = FIRST + 1;
	}
	list = add_list(all, typed, "closed, as is term 1", 0, MEMBOX_ST_BAD_TERM);
	list[0].handle = list[1].handle = scene.closed;
	list = add_list(all, typed, "closed, term 0 overlaps", 1, MEMBOX_ST_BAD_TERM);
	list[0].handle = p->handle[0];
	list[0].offset = FIRST + 1;
	list[1].handle = scene.closed;
}

/* ---- all ---- */

void bads_of(struct bads *all, const struct good_kind *kind, const struct membox_packet *p, bool shape_only)
{
	const struct expect *x = expect_of(kind);

	all->n = 0;
	add_shape(all, x, p);
	if (shape_only)
		return;
	if (uses(x, "host"))
		add_host(all, p, false);
	if (uses(x, "host2"))
		add_host(all, p, true);
	add_operands(all, x, p);
	if (is_collective(p->opcode))
		add_group(all, p);
	if (p->opcode == MEMBOX_OP_WSUM)
		add_lists(all, p);
}

bool bads_collide(const struct bad *a, const struct bad *b)
{
	unsigned int i, k;

	for (i = 0; i < a->nputs; i++)
		for (k = 0; k < b->nputs; k++)
			if (a->put[i].at < b->put[k].at + b->put[k].bytes &&
			    b->put[k].at < a->put[i].at + a->put[i].bytes)
				return true;
	return false;
}

/* Does the one take away what makes the other a fault? */
static bool undoes(const struct bad *by, const struct bad *of)
{
	unsigned int i;

	/* a key is reserved where no flag says that it is one */
	if (of->status == MEMBOX_ST_RESERVED && (of->detail == AT_KEY || of->detail == AT_KEY2) &&
	    by->status == MEMBOX_ST_BAD_REGION && by->detail == of->detail)
		return true;
	for (i = 0; of->unless && i < by->nputs; i++)
		if (field_at(of->unless, by->put[i].at))
			return true;
	return false;
}

const struct bad *bads_first(const struct bad *a, const struct bad *b)
{
	const struct bad *first = a, *second = b;

	if (b->order < a->order || (b->order == a->order && b->detail < a->detail)) {
		first = b;
		second = a;
	}
	return first != second && undoes(second, first) ? second : first;
}

void bad_apply(const struct bad *bad, struct membox_packet *p)
{
	unsigned int i;

	for (i = 0; i < bad->nputs; i++)
		put_field(p, bad->put[i].at, bad->put[i].bytes, bad->put[i].value);
}
