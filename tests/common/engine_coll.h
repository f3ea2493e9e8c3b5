// SPDX-License-Identifier: MIT
/*
 * engine_coll.h - ranks of a group, each a port of this process, and what a collective
 * should give: an independent fold in rank order. Ranks run in threads of their own, so
 * nothing here asserts; what is wrong is counted and told by who waits for them.
 */
#ifndef MEMBOX_ENGINE_COLL_H
#define MEMBOX_ENGINE_COLL_H

#include <pthread.h>

#include "engine_box.h"
#include "types.h"

#define COLL_GROUP "ranks"

struct member {
	struct port port;
	uint32_t group, epoch, seq;
	int rank, ranks;
};

static inline uint16_t member_join(struct member *m, int rank, int ranks)
{
	struct membox_group_args a = { .name = COLL_GROUP, .ranks = (uint32_t)ranks, .rank = rank };
	uint16_t status = port_admin(&m->port, BOX_CONTEXT, MEMBOX_ADM_GROUP_JOIN, &a, sizeof(a));

	m->group = a.group;
	m->epoch = a.epoch;
	m->seq = 0;
	m->rank = rank;
	m->ranks = ranks;
	return status;
}

static inline struct membox_group_args member_info(struct member *m)
{
	struct membox_group_args a = { .group = m->group };

	assert_int_equal(port_admin(&m->port, BOX_CONTEXT, MEMBOX_ADM_GROUP_INFO, &a, sizeof(a)), MEMBOX_ST_OK);
	return a;
}

static inline void members_open(struct member *m, int ranks)
{
	for (int r = 0; r < ranks; r++) {
		port_open(&m[r].port);
		assert_int_equal(member_join(&m[r], r, ranks), MEMBOX_ST_OK);
	}
}

static inline void members_close(struct member *m, int ranks)
{
	for (int r = 0; r < ranks; r++)
		port_close(&m[r].port);
}

/* ---- packets ---- */

struct coll {
	uint8_t opcode, src, dst, red;
	uint32_t root;
	uint64_t count;
};

static inline bool coll_sends(const struct coll *k, int rank)
{
	return k->opcode != MEMBOX_OP_BARRIER && (k->opcode != MEMBOX_OP_BROADCAST || (int)k->root == rank);
}

static inline bool coll_receives(const struct coll *k, int rank)
{
	if (k->opcode == MEMBOX_OP_BARRIER || (k->opcode == MEMBOX_OP_BROADCAST && (int)k->root == rank))
		return false;
	return k->opcode != MEMBOX_OP_REDUCE || (int)k->root == rank;
}

static inline uint64_t coll_in(const struct coll *k, int ranks) /* elements that a rank sends */
{
	return k->opcode == MEMBOX_OP_REDUCE_SCATTER ? k->count * (uint64_t)ranks : k->count;
}

static inline uint64_t coll_out(const struct coll *k, int ranks)
{
	return k->opcode == MEMBOX_OP_ALLGATHER ? k->count * (uint64_t)ranks : k->count;
}

/* From host memory to host memory. */
static inline struct membox_packet coll_packet(const struct member *m, const struct coll *k, const void *in,
					       void *out)
{
	struct membox_packet p = { .opcode = k->opcode };

	p.coll.group = m->group;
	p.coll.epoch = m->epoch;
	p.coll.seq = m->seq;
	p.timeout_us = 60000000;
	if (k->opcode == MEMBOX_OP_BARRIER)
		return p;
	p.src_type = k->src;
	p.dst_type = k->dst;
	p.count = k->count;
	if (k->opcode <= MEMBOX_OP_REDUCE_SCATTER)
		p.reduction = k->red;
	if (k->opcode == MEMBOX_OP_ALLGATHER || k->opcode == MEMBOX_OP_REDUCE_SCATTER)
		p.coll.root = (uint32_t)m->ranks;
	else if (k->opcode != MEMBOX_OP_ALLREDUCE)
		p.coll.root = k->root;
	if (coll_sends(k, m->rank))
		p.host.addr = (uintptr_t)in;
	if (coll_receives(k, m->rank))
		p.coll.recv.addr = (uintptr_t)out;
	return p;
}

struct coll_issue {
	struct issue i;
	struct iovec in, out;
};

static inline void coll_start(struct member *m, struct coll_issue *x, const struct membox_packet *p)
{
	struct issue *i = &x->i;

	memset(i, 0, sizeof(*i));
	x->in = (struct iovec){ (void *)(uintptr_t)p->host.addr, membox_host_bytes(p) };
	x->out = (struct iovec){ (void *)(uintptr_t)p->coll.recv.addr, membox_host2_bytes(p) };
	i->cmd.p = *p;
	i->cmd.p.context = BOX_CONTEXT;
	i->cmd.host = &x->in;
	i->cmd.nhost = x->in.iov_len != 0;
	i->cmd.host2 = &x->out;
	i->cmd.nhost2 = x->out.iov_len != 0;
	i->cmd.done = issue_done;
	i->cmd.arg = i;
	if (mbe_queue_enter(&m->port.q, &i->cmd))
		mbe_execute(m->port.e, &i->cmd);
}

static inline struct membox_completion coll_wait(struct member *m, struct coll_issue *x)
{
	while (!issue_is_done(&x->i)) {
		uint32_t seen = mbe_wake_seen(m->port.e);
		uint64_t until = mbe_progress(m->port.e);

		if (!issue_is_done(&x->i))
			mbe_sleep(m->port.e, seen, until);
	}
	return x->i.c;
}

/* One after the other. */
static inline struct membox_completion coll_run(struct member *m, const struct coll *k, const void *in, void *out)
{
	struct membox_packet p = coll_packet(m, k, in, out);
	struct coll_issue x;

	m->seq++;
	coll_start(m, &x, &p);
	return coll_wait(m, &x);
}

/* ---- what comes out ---- */

/* Numbers whose sum depends on the order in which floats are added. */
static inline double coll_number(uint64_t seed, int rank, uint64_t i)
{
	uint64_t x = (seed * 1000003 + (uint64_t)rank) * 0x9e3779b97f4a7c15ULL + i * 0xbf58476d1ce4e5b9ULL;

	x ^= x >> 29;
	x *= 0x94d049bb133111ebULL;
	return (double)((int64_t)(x >> 40) - (1 << 23)) / (1 << 12) * ((x & 7) ? 1.0 : 1.0 / 4096);
}

static inline void coll_store(uint8_t type, void *at, uint64_t i, double v)
{
	uint8_t *b = (uint8_t *)at + i * membox_type_bytes(type);
	uint16_t h;
	float f = (float)v;
	int64_t n = (int64_t)v;

	switch (type) {
	case MEMBOX_F16:
		h = mbe_f32_to_f16(f);
		memcpy(b, &h, 2);
		break;
	case MEMBOX_BF16:
		h = mbe_f32_to_bf16(f);
		memcpy(b, &h, 2);
		break;
	case MEMBOX_F32:
		memcpy(b, &f, 4);
		break;
	case MEMBOX_F64:
		memcpy(b, &v, 8);
		break;
	default:
		memcpy(b, &n, membox_type_bytes(type)); /* little-endian */
	}
}

static inline double coll_load_real(uint8_t type, const void *at, uint64_t i)
{
	const uint8_t *b = (const uint8_t *)at + i * membox_type_bytes(type);
	uint16_t h;
	float f;
	double v;

	switch (type) {
	case MEMBOX_F16:
		memcpy(&h, b, 2);
		return (double)mbe_f16_to_f32(h);
	case MEMBOX_BF16:
		memcpy(&h, b, 2);
		return (double)mbe_bf16_to_f32(h);
	case MEMBOX_F32:
		memcpy(&f, b, 4);
		return (double)f;
	default:
		memcpy(&v, b, 8);
		return v;
	}
}

static inline int64_t coll_load_whole(uint8_t type, const void *at, uint64_t i)
{
	int64_t v = 0;
	unsigned int bytes = membox_type_bytes(type);

	memcpy(&v, (const uint8_t *)at + i * bytes, bytes);
	return (int64_t)((uint64_t)v << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

static inline double coll_fold_real(uint8_t red, bool single, double a, double b)
{
	switch (red) {
	case MEMBOX_MIN:
		return a < b ? a : b;
	case MEMBOX_MAX:
		return a > b ? a : b;
	case MEMBOX_PROD:
		return single ? (double)((float)a * (float)b) : a * b;
	default:
		return single ? (double)((float)a + (float)b) : a + b;
	}
}

static inline int64_t coll_fold_whole(uint8_t red, int64_t a, int64_t b)
{
	switch (red) {
	case MEMBOX_MIN:
		return a < b ? a : b;
	case MEMBOX_MAX:
		return a > b ? a : b;
	case MEMBOX_PROD:
		return (int64_t)((uint64_t)a * (uint64_t)b);
	default:
		return (int64_t)((uint64_t)a + (uint64_t)b);
	}
}

static inline void coll_input(const struct coll *k, uint64_t seed, int rank, int ranks, void *in)
{
	for (uint64_t i = 0; i < coll_in(k, ranks); i++)
		coll_store(k->src, in, i, coll_number(seed, rank, i));
}

/* Element i of the reduction of all ranks' input, into element j of out. */
static inline void coll_reduced(const struct coll *k, void *const *in, int ranks, uint64_t i, void *out, uint64_t j)
{
	if (membox_type_is_int(k->dst)) {
		int64_t a = coll_load_whole(k->src, in[0], i);

		for (int r = 1; r < ranks; r++)
			a = coll_fold_whole(k->red, a, coll_load_whole(k->src, in[r], i));
		memcpy((uint8_t *)out + j * membox_type_bytes(k->dst), &a, membox_type_bytes(k->dst));
	} else {
		double a = coll_load_real(k->src, in[0], i);

		for (int r = 1; r < ranks; r++)
			a = coll_fold_real(k->red, k->dst != MEMBOX_F64, a, coll_load_real(k->src, in[r], i));
		coll_store(k->dst, out, j, a);
	}
}

/* What `rank` should have; in: everybody's. */
static inline void coll_expect(const struct coll *k, void *const *in, int rank, int ranks, void *out)
{
	uint64_t bytes = k->count * membox_type_bytes(k->src), i;

	switch (k->opcode) {
	case MEMBOX_OP_ALLGATHER:
		for (int r = 0; r < ranks; r++)
			memcpy((uint8_t *)out + (uint64_t)r * bytes, in[r], bytes);
		break;
	case MEMBOX_OP_BROADCAST:
		memcpy(out, in[k->root], bytes);
		break;
	default:
		for (i = 0; i < k->count; i++)
			coll_reduced(k, in, ranks,
				     k->opcode == MEMBOX_OP_REDUCE_SCATTER ? (uint64_t)rank * k->count + i : i, out, i);
	}
}

#endif /* MEMBOX_ENGINE_COLL_H */
