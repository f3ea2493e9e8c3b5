/* SPDX-License-Identifier: MIT */
/*
 * bad_operands.h - packets whose 128 bytes are right and whose operands are not:
 * what to change in a good packet (good_packets.h), which status and detail come
 * back, and in which order faults are found. Needs uapi/ only, like its kin; the
 * test opens the handles of struct bad_env on its own back end.
 */
#ifndef MEMBOX_BAD_OPERANDS_H
#define MEMBOX_BAD_OPERANDS_H

#include "good_packets.h"
#include "membox_check.h"

/* Handles that the kinds of packets may not use. All but `closed` are open. */
struct bad_env {
	__u32 closed;	      /* was open once */
	__u32 destroyed;      /* of what the same context destroyed */
	__u32 other_type;     /* of a parameter of an f64, as large as the good ones */
	__u32 read_only;      /* of the good type */
	__u32 write_only;     /* likewise */
	__u32 other_read_only;	/* f64, read-only: two faults in one */
	__u32 other_write_only; /* f64, write-only */
	__u32 word_read_only;	/* i64 */
	__u32 word_write_only;	/* i64 */
};

enum bad_what { BAD_CLOSED, BAD_DESTROYED, BAD_OTHER_TYPE, BAD_RIGHT, BAD_END, BAD_BESIDE, BAD_WHATS };

struct bad_operand {
	enum bad_what what;
	unsigned int operand;
	const char *name;
	__u16 status;
	int field; /* 0: handle[operand], 1: offset[operand] */
};

/* In the order in which they are found. */
static const struct bad_operand bad_operands[] = {
	{ BAD_CLOSED, 0, "closed handle 0", MEMBOX_ST_BAD_HANDLE, 0 },
	{ BAD_DESTROYED, 0, "destroyed parameter 0", MEMBOX_ST_DESTROYED, 0 },
	{ BAD_OTHER_TYPE, 0, "parameter 0 of another type", MEMBOX_ST_TYPE_MISMATCH, 0 },
	{ BAD_RIGHT, 0, "parameter 0 without the right", MEMBOX_ST_DENIED, 0 },
	{ BAD_END, 0, "past the end of parameter 0", MEMBOX_ST_OUT_OF_RANGE, 1 },
	{ BAD_CLOSED, 1, "closed handle 1", MEMBOX_ST_BAD_HANDLE, 0 },
	{ BAD_DESTROYED, 1, "destroyed parameter 1", MEMBOX_ST_DESTROYED, 0 },
	{ BAD_OTHER_TYPE, 1, "parameter 1 of another type", MEMBOX_ST_TYPE_MISMATCH, 0 },
	{ BAD_RIGHT, 1, "parameter 1 without the right", MEMBOX_ST_DENIED, 0 },
	{ BAD_END, 1, "past the end of parameter 1", MEMBOX_ST_OUT_OF_RANGE, 1 },
	{ BAD_BESIDE, 1, "source overlaps the destination", MEMBOX_ST_OVERLAP, 1 },
};
#define BAD_OPERANDS (sizeof(bad_operands) / sizeof(bad_operands[0]))

static inline __u32 bad_detail(const struct bad_operand *bad)
{
	return bad->field ? MEMBOX_AT(offset) + 8 * bad->operand : MEMBOX_AT(handle) + 4 * bad->operand;
}

static inline int bad_reads_only(const struct membox_packet *p)
{
	return p->opcode == MEMBOX_OP_READ || p->opcode == MEMBOX_OP_SNAPSHOT || p->opcode == MEMBOX_OP_WAIT;
}

static inline int bad_is_word(const struct membox_packet *p)
{
	return p->opcode == MEMBOX_OP_ATOMIC || p->opcode == MEMBOX_OP_WAIT;
}

/* Can this be made of that good packet? */
static inline int bad_operand_fits(const struct bad_operand *bad, const struct membox_packet *p)
{
	int typed = p->opcode != MEMBOX_OP_NOTIFY && p->dst_type;

	if (!(membox_packet_fields(p) & (MBF_P0 << bad->operand)))
		return 0;
	switch (bad->what) {
	case BAD_OTHER_TYPE:
	case BAD_END:
		return typed;
	case BAD_BESIDE:
		return !!(membox_packet_fields(p) & MBF_P0);
	default:
		return 1;
	}
}

/* Breaks it. Faults of one handle are made into each other by a handle that has both. */
static inline void bad_operand_apply(const struct bad_operand *bad, struct membox_packet *p,
				     const struct bad_env *env)
{
	unsigned int i = bad->operand;
	int coll = p->opcode >= MEMBOX_OP_ALLREDUCE && p->opcode <= MEMBOX_OP_BARRIER;
	int reads = coll ? !i : i || bad_reads_only(p); /* a collective sends p0 and receives p1 */
	int other = p->handle[i] == env->other_type;

	switch (bad->what) {
	case BAD_CLOSED:
		p->handle[i] = env->closed;
		break;
	case BAD_DESTROYED:
		p->handle[i] = env->destroyed;
		break;
	case BAD_OTHER_TYPE:
		p->handle[i] = env->other_type;
		break;
	case BAD_RIGHT:
		if (other)
			p->handle[i] = reads ? env->other_write_only : env->other_read_only;
		else if (bad_is_word(p))
			p->handle[i] = reads ? env->word_write_only : env->word_read_only;
		else
			p->handle[i] = reads ? env->write_only : env->read_only;
		break;
	case BAD_END:
		p->offset[i] = 1ULL << 40;
		break;
	default:
		p->handle[i] = p->handle[0];
		p->offset[i] = p->offset[0] + 1;
	}
}

#endif /* MEMBOX_BAD_OPERANDS_H */
