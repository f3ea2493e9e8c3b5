/* SPDX-License-Identifier: MIT */
/*
 * good_packets.h - a good packet of every kind, for tests that break one field of
 * it or send it as it is. It needs uapi/ only, so that host tests, device tests
 * and programs in a guest use the same packets.
 *
 * A kind is an operation together with what changes the fields that it uses: its
 * sub, host or common memory, which side of a collective it is on.
 */
#ifndef MEMBOX_GOOD_PACKETS_H
#define MEMBOX_GOOD_PACKETS_H

#include <string.h>

#include "membox.h"

/* binary64 and binary32 bit patterns */
#define GOOD_ZERO 0x0000000000000000ULL
#define GOOD_HALF 0x3fe0000000000000ULL
#define GOOD_ONE 0x3ff0000000000000ULL
#define GOOD_TWO 0x4000000000000000ULL
#define GOOD_ONE_F32 0x3f800000U
#define GOOD_HALF_F32 0x3f000000U

/* What the packets name. A test on a real box puts its own here. */
struct good_env {
	__u32 param[MEMBOX_OPERANDS]; /* of `type`, with room for first + count * ranks elements */
	__u32 word;		      /* handle of an i64 parameter, with room for first + 1 */
	__u32 group;
	__u32 epoch;
	__u32 ranks;
	__u64 host;  /* 8-byte aligned, room for count * ranks elements, or for the terms */
	__u64 host2; /* likewise */
	__u64 first; /* offset[] of every operand */
	__u64 count;
	__u8 type;
	__u32 nterms;
};

/* Names nothing that exists: for checks that look at the packet alone. */
static const struct good_env good_env_shape = {
	{ 0x00010001, 0x00010002, 0x00010003, 0x00010004 }, /* param */
	0x00010005,					     /* word */
	0x00020001,					     /* group */
	1,						     /* epoch */
	3,						     /* ranks */
	0x10000000,					     /* host */
	0x20000000,					     /* host2 */
	16,						     /* first */
	64,						     /* count */
	MEMBOX_F32,					     /* type */
	2,						     /* nterms */
};

#define GOOD_COMMON 1U /* common memory in place of host memory, on both sides */
#define GOOD_ABSENT 2U /* REDUCE: not the root; BROADCAST: receives */
#define GOOD_VERSION 4U /* WAIT: for the version */

struct good_kind {
	const char *name;
	__u8 opcode;
	__u8 sub;
	__u8 how; /* GOOD_* */
};

static const struct good_kind good_kinds[] = {
	{ "READ", MEMBOX_OP_READ, 0, 0 },
	{ "WRITE", MEMBOX_OP_WRITE, 0, 0 },
	{ "COPY", MEMBOX_OP_COPY, 0, 0 },
	{ "FILL", MEMBOX_OP_FILL, 0, 0 },
	{ "SNAPSHOT", MEMBOX_OP_SNAPSHOT, 0, 0 },
	{ "ACC host", MEMBOX_OP_ACC, 0, 0 },
	{ "ACC common", MEMBOX_OP_ACC, 0, GOOD_COMMON },
	{ "SCALE", MEMBOX_OP_SCALE, 0, 0 },
	{ "AXPBY", MEMBOX_OP_AXPBY, 0, 0 },
	{ "WSUM", MEMBOX_OP_WSUM, 0, 0 },
	{ "SCATTER_ACC", MEMBOX_OP_SCATTER_ACC, MEMBOX_I32, 0 },
	{ "UPDATE sgd host", MEMBOX_OP_UPDATE, MEMBOX_SGD, 0 },
	{ "UPDATE sgd common", MEMBOX_OP_UPDATE, MEMBOX_SGD, GOOD_COMMON },
	{ "UPDATE momentum host", MEMBOX_OP_UPDATE, MEMBOX_MOMENTUM, 0 },
	{ "UPDATE momentum common", MEMBOX_OP_UPDATE, MEMBOX_MOMENTUM, GOOD_COMMON },
	{ "UPDATE adam host", MEMBOX_OP_UPDATE, MEMBOX_ADAM, 0 },
	{ "UPDATE adam common", MEMBOX_OP_UPDATE, MEMBOX_ADAM, GOOD_COMMON },
	{ "ALLREDUCE host", MEMBOX_OP_ALLREDUCE, 0, 0 },
	{ "ALLREDUCE common", MEMBOX_OP_ALLREDUCE, 0, GOOD_COMMON },
	{ "REDUCE root host", MEMBOX_OP_REDUCE, 0, 0 },
	{ "REDUCE root common", MEMBOX_OP_REDUCE, 0, GOOD_COMMON },
	{ "REDUCE other host", MEMBOX_OP_REDUCE, 0, GOOD_ABSENT },
	{ "REDUCE other common", MEMBOX_OP_REDUCE, 0, GOOD_ABSENT | GOOD_COMMON },
	{ "REDUCE_SCATTER host", MEMBOX_OP_REDUCE_SCATTER, 0, 0 },
	{ "REDUCE_SCATTER common", MEMBOX_OP_REDUCE_SCATTER, 0, GOOD_COMMON },
	{ "ALLGATHER host", MEMBOX_OP_ALLGATHER, 0, 0 },
	{ "ALLGATHER common", MEMBOX_OP_ALLGATHER, 0, GOOD_COMMON },
	{ "BROADCAST root host", MEMBOX_OP_BROADCAST, 0, 0 },
	{ "BROADCAST root common", MEMBOX_OP_BROADCAST, 0, GOOD_COMMON },
	{ "BROADCAST other host", MEMBOX_OP_BROADCAST, 0, GOOD_ABSENT },
	{ "BROADCAST other common", MEMBOX_OP_BROADCAST, 0, GOOD_ABSENT | GOOD_COMMON },
	{ "BARRIER", MEMBOX_OP_BARRIER, 0, 0 },
	{ "ATOMIC fetch-add", MEMBOX_OP_ATOMIC, MEMBOX_FETCH_ADD, 0 },
	{ "ATOMIC swap", MEMBOX_OP_ATOMIC, MEMBOX_SWAP, 0 },
	{ "ATOMIC compare-swap", MEMBOX_OP_ATOMIC, MEMBOX_COMPARE_SWAP, 0 },
	{ "NOTIFY", MEMBOX_OP_NOTIFY, 0, 0 },
	{ "WAIT word", MEMBOX_OP_WAIT, MEMBOX_GE, 0 },
	{ "WAIT version", MEMBOX_OP_WAIT, MEMBOX_GE, GOOD_VERSION },
	{ "FENCE", MEMBOX_OP_FENCE, 0, 0 },
	{ "COMMIT", MEMBOX_OP_COMMIT, 0, 0 },
	{ "CANCEL", MEMBOX_OP_CANCEL, 0, 0 },
};
#define GOOD_KINDS (sizeof(good_kinds) / sizeof(good_kinds[0]))

static inline void good_side0(struct membox_packet *p, const struct good_kind *kind,
			      const struct good_env *env)
{
	if (kind->how & GOOD_COMMON) {
		p->handle[0] = env->param[0];
		p->offset[0] = env->first;
	} else {
		p->host.addr = env->host;
	}
}

static inline void good_side1(struct membox_packet *p, const struct good_kind *kind,
			      const struct good_env *env)
{
	if (kind->how & GOOD_COMMON) {
		p->handle[1] = env->param[1];
		p->offset[1] = env->first;
	} else {
		p->coll.recv.addr = env->host2;
	}
}

static inline void good_collective(struct membox_packet *p, const struct good_kind *kind,
				   const struct good_env *env)
{
	int absent = kind->how & GOOD_ABSENT;

	p->coll.group = env->group;
	p->coll.epoch = env->epoch;
	p->coll.seq = 1;
	if (p->opcode == MEMBOX_OP_BARRIER)
		return;
	p->src_type = env->type;
	p->dst_type = env->type;
	p->count = env->count;
	if (p->opcode != MEMBOX_OP_ALLGATHER && p->opcode != MEMBOX_OP_BROADCAST)
		p->reduction = MEMBOX_SUM;
	if (p->opcode == MEMBOX_OP_ALLGATHER || p->opcode == MEMBOX_OP_REDUCE_SCATTER)
		p->coll.root = env->ranks;
	if (p->opcode != MEMBOX_OP_BROADCAST || !absent)
		good_side0(p, kind, env);
	if (p->opcode == MEMBOX_OP_BROADCAST ? absent : !absent)
		good_side1(p, kind, env);
}

static inline void good_update(struct membox_packet *p, const struct good_kind *kind,
			       const struct good_env *env)
{
	static const __u32 adam[6] = { GOOD_HALF_F32, GOOD_HALF_F32, GOOD_HALF_F32,
				       GOOD_HALF_F32, 0, GOOD_ONE_F32 };
	unsigned int tensors = kind->sub == MEMBOX_ADAM	    ? 4 :
			       kind->sub == MEMBOX_MOMENTUM ? 3 :
							      2;
	unsigned int i;

	p->src_type = env->type;
	for (i = 2; i < tensors; i++) {
		p->handle[i] = env->param[i];
		p->offset[i] = env->first;
	}
	memcpy(p->update.scalar, adam, sizeof(adam));
	if (kind->sub == MEMBOX_SGD)
		p->update.scalar[1] = 0;
	if (kind->sub != MEMBOX_ADAM) {
		p->update.scalar[2] = 0;
		p->update.scalar[3] = 0;
	} else {
		p->update.step = 1;
	}
}

/* The list that WSUM's host is to hold: env->nterms terms, param[1] and param[2] in turn. */
static inline void good_terms(const struct good_env *env, struct membox_term *terms)
{
	__u32 i;

	memset(terms, 0, env->nterms * sizeof(*terms));
	for (i = 0; i < env->nterms; i++) {
		terms[i].handle = env->param[1 + i % 2];
		terms[i].offset = env->first;
		terms[i].a = GOOD_ONE;
	}
}

static inline struct membox_packet good_packet(const struct good_kind *kind,
					       const struct good_env *env)
{
	struct membox_packet p;

	memset(&p, 0, sizeof(p));
	p.opcode = kind->opcode;
	p.sub = kind->sub;
	if (kind->opcode >= MEMBOX_OP_ALLREDUCE && kind->opcode <= MEMBOX_OP_BARRIER) {
		good_collective(&p, kind, env);
		return p;
	}
	if (kind->opcode == MEMBOX_OP_FENCE)
		return p;
	if (kind->opcode == MEMBOX_OP_CANCEL) {
		p.word.value = 1;
		return p;
	}
	if (kind->opcode == MEMBOX_OP_ATOMIC || kind->opcode == MEMBOX_OP_WAIT) {
		p.handle[0] = env->word;
		if (!(kind->how & GOOD_VERSION)) {
			p.dst_type = MEMBOX_I64;
			p.offset[0] = env->first;
		}
		return p; /* adds 0, compares with 0 */
	}
	p.handle[0] = env->param[0];
	if (kind->opcode == MEMBOX_OP_NOTIFY)
		return p;

	p.dst_type = env->type;
	p.count = env->count;
	p.offset[0] = env->first;
	switch (kind->opcode) {
	case MEMBOX_OP_READ:
	case MEMBOX_OP_WRITE:
	case MEMBOX_OP_SNAPSHOT:
		p.host.addr = env->host;
		break;
	case MEMBOX_OP_COPY:
		p.src_type = env->type;
		p.handle[1] = env->param[1];
		p.offset[1] = env->first;
		break;
	case MEMBOX_OP_ACC:
	case MEMBOX_OP_UPDATE:
		p.src_type = env->type;
		if (kind->how & GOOD_COMMON) {
			p.handle[1] = env->param[1];
			p.offset[1] = env->first;
		} else {
			p.host.addr = env->host;
		}
		if (kind->opcode == MEMBOX_OP_UPDATE) {
			good_update(&p, kind, env);
		} else {
			p.reduction = MEMBOX_SUM;
			p.scale.a = GOOD_ONE;
		}
		break;
	case MEMBOX_OP_SCALE:
		p.scale.a = GOOD_TWO;
		break;
	case MEMBOX_OP_AXPBY:
		p.src_type = env->type;
		p.handle[1] = env->param[1];
		p.offset[1] = env->first;
		p.scale.a = GOOD_TWO;
		p.scale.b = GOOD_ONE;
		break;
	case MEMBOX_OP_WSUM:
		p.src_type = env->type;
		p.host.addr = env->host;
		p.list.nterms = env->nterms;
		break;
	case MEMBOX_OP_SCATTER_ACC:
		p.src_type = env->type;
		p.host.addr = env->host;
		p.scatter.a = GOOD_ONE;
		p.scatter.index.addr = env->host2;
		break;
	default: /* FILL, COMMIT */
		break;
	}
	return p;
}

#endif /* MEMBOX_GOOD_PACKETS_H */
