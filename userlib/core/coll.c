/* SPDX-License-Identifier: MIT */
/*
 * coll.c - collectives of a group: filling in operations, their packets, their
 * numbers. The ranks of a group number its collectives alike, from 0 in each epoch: an
 * operation gets its number when it is submitted. One that the box refuses did not
 * count, and gives its number back if it was the last.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

bool mb_is_coll(uint8_t opcode)
{
	return opcode >= MEMBOX_OP_ALLREDUCE && opcode <= MEMBOX_OP_BARRIER;
}

/* ---- operation to packet ---- */

int mb_coll_check(const struct membox *box, const struct membox_op *op)
{
	const struct membox_group *group = op->group;

	if (!group)
		return mb_fail(-EINVAL, "%s: no group given", mb_op_name(op->opcode));
	if (group->box != box)
		return mb_fail(-EINVAL, "%s: group '%s' was joined in another box (%s, not %s)",
			       mb_op_name(op->opcode), group->name, group->box->uri, box->uri);
	return 0;
}

/* Elements of a packet; what has a part for each rank cannot be cut in two. */
uint64_t mb_coll_part(const struct membox *box, const struct membox_op *op)
{
	uint32_t size = membox_type_bytes(op->type);

	if (op->opcode == MEMBOX_OP_ALLREDUCE || op->opcode == MEMBOX_OP_REDUCE ||
	    op->opcode == MEMBOX_OP_BROADCAST)
		return box->max_bytes / (size ? size : 1);
	return UINT64_MAX;
}

void mb_coll_encode(struct membox_packet *p, const struct membox_op *op, uint64_t done, uint64_t count)
{
	struct membox_group *group = op->group;
	uint64_t at = done * membox_type_bytes(op->type);
	bool root = (int)op->first == group->rank;
	bool sends = op->opcode != MEMBOX_OP_BROADCAST || root;
	bool receives = op->opcode == MEMBOX_OP_BROADCAST ? !root : op->opcode != MEMBOX_OP_REDUCE || root;

	p->timeout_us = mb_timeout_us(op->timeout);
	p->coll.group = group->handle;
	p->coll.epoch = group->epoch;
	p->coll.seq = atomic_fetch_add(&group->seq, 1);
	if (op->opcode == MEMBOX_OP_BARRIER)
		return;
	p->src_type = op->type;
	p->dst_type = op->type;
	p->reduction = op->reduction;
	p->count = count;
	if (op->opcode == MEMBOX_OP_ALLGATHER || op->opcode == MEMBOX_OP_REDUCE_SCATTER)
		p->coll.root = (uint32_t)group->ranks;
	else if (op->opcode != MEMBOX_OP_ALLREDUCE)
		p->coll.root = (uint32_t)op->first;
	if (sends)
		p->host.addr = (uintptr_t)op->mem.source + at;
	if (receives)
		p->coll.recv.addr = (uintptr_t)op->recv + at;
}

void mb_coll_settle(struct membox_group *group, const struct mb_req *req)
{
	uint32_t next = req->packet.coll.seq + 1;

	/* refusals tell of the field; what was begun ends without */
	if (req->c.status && (req->c.detail || req->c.status == MEMBOX_ST_UNSUPPORTED ||
			      req->c.status == MEMBOX_ST_NO_SPACE))
		atomic_compare_exchange_strong(&group->seq, &next, req->packet.coll.seq);
}

/* ---- preparing ---- */

static void start(struct membox_op *op, uint8_t opcode, struct membox_group *group, const void *in, void *out,
		  uint64_t n, enum membox_type type)
{
	memset(op, 0, sizeof(*op));
	op->opcode = opcode;
	op->group = group;
	op->mem.source = in;
	op->recv = out;
	op->count = n;
	op->type = (uint8_t)type;
	op->timeout = MEMBOX_TIMEOUT_DEFAULT;
}

MB_EXPORT void membox_prep_allreduce(struct membox_op *op, struct membox_group *group, const void *in, void *out,
				     uint64_t n, enum membox_type type, enum membox_red red)
{
	start(op, MEMBOX_OP_ALLREDUCE, group, in, out, n, type);
	op->reduction = (uint8_t)red;
}

MB_EXPORT void membox_prep_reduce(struct membox_op *op, struct membox_group *group, const void *in, void *out,
				  uint64_t n, enum membox_type type, enum membox_red red, int root)
{
	start(op, MEMBOX_OP_REDUCE, group, in, out, n, type);
	op->reduction = (uint8_t)red;
	op->first = (uint64_t)root;
}

MB_EXPORT void membox_prep_reduce_scatter(struct membox_op *op, struct membox_group *group, const void *in,
					  void *out, uint64_t n, enum membox_type type, enum membox_red red)
{
	start(op, MEMBOX_OP_REDUCE_SCATTER, group, in, out, n, type);
	op->reduction = (uint8_t)red;
}

MB_EXPORT void membox_prep_allgather(struct membox_op *op, struct membox_group *group, const void *in, void *out,
				     uint64_t n, enum membox_type type)
{
	start(op, MEMBOX_OP_ALLGATHER, group, in, out, n, type);
}

MB_EXPORT void membox_prep_broadcast(struct membox_op *op, struct membox_group *group, void *data, uint64_t n,
				     enum membox_type type, int root)
{
	start(op, MEMBOX_OP_BROADCAST, group, data, data, n, type);
	op->first = (uint64_t)root;
}

MB_EXPORT void membox_prep_barrier(struct membox_op *op, struct membox_group *group)
{
	start(op, MEMBOX_OP_BARRIER, group, NULL, NULL, 0, 0);
}

/* ---- calls that wait ---- */

static int run(struct membox_group *group, struct membox_op *op, int64_t timeout)
{
	if (!group)
		return mb_fail(-EINVAL, "%s: no group given", mb_op_name(op->opcode));
	op->timeout = timeout;
	return membox_run(group->box, op, NULL);
}

MB_EXPORT int membox_allreduce(struct membox_group *group, const void *in, void *out, uint64_t n,
			       enum membox_type type, enum membox_red red, int64_t timeout)
{
	struct membox_op op;

	membox_prep_allreduce(&op, group, in, out, n, type, red);
	return run(group, &op, timeout);
}

MB_EXPORT int membox_reduce(struct membox_group *group, const void *in, void *out, uint64_t n,
			    enum membox_type type, enum membox_red red, int root, int64_t timeout)
{
	struct membox_op op;

	membox_prep_reduce(&op, group, in, out, n, type, red, root);
	return run(group, &op, timeout);
}

MB_EXPORT int membox_reduce_scatter(struct membox_group *group, const void *in, void *out, uint64_t n,
				    enum membox_type type, enum membox_red red, int64_t timeout)
{
	struct membox_op op;

	membox_prep_reduce_scatter(&op, group, in, out, n, type, red);
	return run(group, &op, timeout);
}

MB_EXPORT int membox_allgather(struct membox_group *group, const void *in, void *out, uint64_t n,
			       enum membox_type type, int64_t timeout)
{
	struct membox_op op;

	membox_prep_allgather(&op, group, in, out, n, type);
	return run(group, &op, timeout);
}

MB_EXPORT int membox_broadcast(struct membox_group *group, void *data, uint64_t n, enum membox_type type,
			       int root, int64_t timeout)
{
	struct membox_op op;

	membox_prep_broadcast(&op, group, data, n, type, root);
	return run(group, &op, timeout);
}

MB_EXPORT int membox_barrier(struct membox_group *group, int64_t timeout)
{
	struct membox_op op;

	membox_prep_barrier(&op, group);
	return run(group, &op, timeout);
}

/* ---- errors ---- */

int mb_coll_fail(const struct membox_group *group, const struct membox_packet *packet,
		 const struct membox_done *done)
{
	const char *op = mb_op_name(packet->opcode);
	int status = (int)done->status, rank = (int)done->result;

	switch (status) {
	case MEMBOX_ST_TIMED_OUT:
		return mb_fail_status(status, "%s in group '%s': rank %d did not come on within %.3f s", op,
				      group->name, rank, packet->timeout_us / 1e6);
	case MEMBOX_ST_SHAPE_MISMATCH: /* of packets, not of a parameter */
		mb_fail_status(status, "%s", op);
		return mb_fail_keep("%s in group '%s': rank %d wants another operation, type, reduction, root or "
				    "count than rank 0", op, group->name, rank);
	case MEMBOX_ST_RANK_DEAD:
	case MEMBOX_ST_ABORTED:
		return mb_fail_status(status, "%s in group '%s': rank %d", op, group->name, rank);
	case MEMBOX_ST_BAD_EPOCH:
		mb_fail_status(status, "%s", op);
		return mb_fail_keep("%s in group '%s': a rank died or left; when its seat is taken again, "
				    "membox_group_renew goes on", op, group->name);
	default:
		return mb_fail_status(status, "%s in group '%s'", op, group->name);
	}
}
