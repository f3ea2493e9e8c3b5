/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * membox_check.h - what driver, device, engine and library must decide alike:
 * the checks that need a packet's 128 bytes only, sizes, ring arithmetic, and
 * the errno of a status. Pure inline functions, no floating point.
 */
#ifndef MEMBOX_CHECK_H
#define MEMBOX_CHECK_H

#include "membox.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/stddef.h>
#else
#include <errno.h>
#include <stddef.h>
#endif

/* A descriptor is a packet whose first 8 bytes are the instruction word. */
MEMBOX_ASSERT(offsetof(struct membox_packet, opcode) == offsetof(struct membox_instr, opcode));
MEMBOX_ASSERT(offsetof(struct membox_packet, cid) == offsetof(struct membox_instr, cid));
MEMBOX_ASSERT(offsetof(struct membox_packet, flags) == offsetof(struct membox_instr, flags));
MEMBOX_ASSERT(offsetof(struct membox_packet, context) == offsetof(struct membox_instr, context));
MEMBOX_ASSERT(offsetof(struct membox_packet, count) == 24);
MEMBOX_ASSERT(offsetof(struct membox_packet, handle) == 32);
MEMBOX_ASSERT(offsetof(struct membox_packet, offset) == 48);
MEMBOX_ASSERT(offsetof(struct membox_packet, host) == 80);
MEMBOX_ASSERT(offsetof(struct membox_packet, raw) == 96);
MEMBOX_ASSERT(offsetof(struct membox_packet, scatter.index) ==
	      offsetof(struct membox_packet, coll.recv));
MEMBOX_ASSERT(offsetof(struct membox_completion, cid) == 56);
MEMBOX_ASSERT(offsetof(struct membox_qctl, sq_head) == MEMBOX_QCTL_DEVICE);

#define MEMBOX_AT(field) ((__u32)offsetof(struct membox_packet, field))

/* What the table MEMBOX_OPS says of one operation. */
struct membox_op_info {
	__u32 required; /* MEMBOX_FLD_* */
	__u32 optional;
	__u32 flags;	/* MEMBOX_F_* allowed */
	__u64 cap;	/* MEMBOX_CAP_* needed, 0: always there */
};

/* Returns 0 for an unknown opcode. */
static inline int membox_op_lookup(__u8 opcode, struct membox_op_info *info)
{
	switch (opcode) {
#define MEMBOX_OP_CASE(name, op, req, opt, fl, capability) \
	case op: \
		info->required = (req); \
		info->optional = (opt); \
		info->flags = (fl); \
		info->cap = (capability); \
		return 1;
		MEMBOX_OPS(MEMBOX_OP_CASE)
#undef MEMBOX_OP_CASE
	default:
		return 0;
	}
}

/* Bytes of an element, 0 for no type. */
static inline __u32 membox_type_bytes(__u8 type)
{
	switch (type) {
	case MEMBOX_F64:
	case MEMBOX_I64:
		return 8;
	case MEMBOX_F32:
	case MEMBOX_I32:
		return 4;
	case MEMBOX_F16:
	case MEMBOX_BF16:
		return 2;
	case MEMBOX_I8:
		return 1;
	default:
		return 0;
	}
}

static inline int membox_type_is_int(__u8 type)
{
	return type == MEMBOX_I8 || type == MEMBOX_I32 || type == MEMBOX_I64;
}

/* May elements of type src be added to ones of type dst? */
static inline int membox_types_add(__u8 src, __u8 dst)
{
	return src == dst || (dst == MEMBOX_F32 && (src == MEMBOX_F16 || src == MEMBOX_BF16));
}

/* A binary64 that is whole and at most 2^53 in magnitude? */
static inline int membox_scalar_is_whole(__u64 bits)
{
	__u64 magnitude = bits & 0x7fffffffffffffffULL;
	__u64 mantissa = bits & 0x000fffffffffffffULL;
	int exponent = (int)(magnitude >> 52) - 1023;

	if (!magnitude)
		return 1;
	if (exponent < 0 || exponent > 53)
		return 0;
	if (exponent == 53)
		return !mantissa;
	return !(mantissa << exponent & 0x000fffffffffffffULL);
}

/* Bytes of host memory that a packet names: host, and host2 (index, recv). */
static inline __u64 membox_host_bytes(const struct membox_packet *p)
{
	switch (p->opcode) {
	case MEMBOX_OP_READ:
	case MEMBOX_OP_WRITE:
	case MEMBOX_OP_SNAPSHOT:
		return p->count * membox_type_bytes(p->dst_type);
	case MEMBOX_OP_WSUM:
		return (__u64)p->list.nterms * sizeof(struct membox_term);
	case MEMBOX_OP_SCATTER_ACC:
		return p->count * membox_type_bytes(p->src_type);
	case MEMBOX_OP_ACC:
	case MEMBOX_OP_UPDATE:
		return p->handle[1] ? 0 : p->count * membox_type_bytes(p->src_type);
	case MEMBOX_OP_REDUCE_SCATTER:
		return p->handle[0] ? 0 :
		       p->count * p->coll.root * membox_type_bytes(p->src_type);
	case MEMBOX_OP_ALLREDUCE:
	case MEMBOX_OP_REDUCE:
	case MEMBOX_OP_ALLGATHER:
	case MEMBOX_OP_BROADCAST:
		return p->handle[0] ? 0 : p->count * membox_type_bytes(p->src_type);
	default:
		return 0;
	}
}

static inline __u64 membox_host2_bytes(const struct membox_packet *p)
{
	switch (p->opcode) {
	case MEMBOX_OP_SCATTER_ACC:
		return p->count * membox_type_bytes(p->sub);
	case MEMBOX_OP_ALLGATHER:
		return p->handle[1] ? 0 :
		       p->count * p->coll.root * membox_type_bytes(p->dst_type);
	case MEMBOX_OP_ALLREDUCE:
	case MEMBOX_OP_REDUCE_SCATTER:
		return p->handle[1] ? 0 : p->count * membox_type_bytes(p->dst_type);
	case MEMBOX_OP_REDUCE:
		return p->handle[1] || !p->coll.recv.addr ?
		       0 : p->count * membox_type_bytes(p->dst_type);
	default:
		return 0;
	}
}

/* Does the device write (1) or read (0) what host names? */
static inline int membox_host_is_written(__u8 opcode)
{
	return opcode == MEMBOX_OP_READ || opcode == MEMBOX_OP_SNAPSHOT;
}

/* ... and what host2 names? */
static inline int membox_host2_is_written(__u8 opcode)
{
	return opcode != MEMBOX_OP_SCATTER_ACC;
}

/* Alignment that host must have. */
static inline __u32 membox_host_align(const struct membox_packet *p)
{
	switch (p->opcode) {
	case MEMBOX_OP_READ:
	case MEMBOX_OP_WRITE:
	case MEMBOX_OP_SNAPSHOT:
		return membox_type_bytes(p->dst_type);
	case MEMBOX_OP_WSUM:
		return 8;
	default:
		return membox_type_bytes(p->src_type);
	}
}

/* The single checks of membox_check_packet, in its order; each returns a status. */

static inline __u16 membox_check_reserved(const struct membox_packet *p, __u32 used, __u32 *detail)
{
	unsigned int i;

#define MEMBOX_ZERO(cond, at) \
	do { \
		if (cond) { \
			*detail = (at); \
			return MEMBOX_ST_RESERVED; \
		} \
	} while (0)
	MEMBOX_ZERO(p->phase, MEMBOX_AT(phase));
	MEMBOX_ZERO(p->cid, MEMBOX_AT(cid));
	MEMBOX_ZERO(p->context, MEMBOX_AT(context));
	MEMBOX_ZERO(!(used & MBF_SRC) && p->src_type, MEMBOX_AT(src_type));
	MEMBOX_ZERO(!(used & MBF_DST) && p->dst_type, MEMBOX_AT(dst_type));
	MEMBOX_ZERO(!(used & MBF_RED) && p->reduction, MEMBOX_AT(reduction));
	MEMBOX_ZERO(!(used & MBF_SUB) && p->sub, MEMBOX_AT(sub));
	MEMBOX_ZERO(!(used & MBF_TIMEOUT) && p->timeout_us, MEMBOX_AT(timeout_us));
	MEMBOX_ZERO(!(used & MBF_COUNT) && p->count, MEMBOX_AT(count));
	for (i = 0; i < MEMBOX_OPERANDS; i++)
		MEMBOX_ZERO(!(used & (MBF_P0 << i)) && p->handle[i], MEMBOX_AT(handle) + 4 * i);
	for (i = 0; i < MEMBOX_OPERANDS; i++)
		MEMBOX_ZERO((!(used & (MBF_P0 << i)) ||
			     (i && !p->handle[i])) && p->offset[i], MEMBOX_AT(offset) + 8 * i);
	if (!(used & MBF_HOST) || ((p->opcode == MEMBOX_OP_ACC || p->opcode == MEMBOX_OP_UPDATE) &&
				   p->handle[1])) {
		MEMBOX_ZERO(p->host.addr, MEMBOX_AT(host.addr));
		MEMBOX_ZERO(p->host.key, MEMBOX_AT(host.key));
	}
	MEMBOX_ZERO(p->host.key && !(p->flags & MEMBOX_F_REGION), MEMBOX_AT(host.key));
	MEMBOX_ZERO(p->host.nseg, MEMBOX_AT(host.nseg));
	if (!(used & MBF_UPDATE)) {
		if (used & MBF_GROUP)
			MEMBOX_ZERO(!(used & MBF_ROOT) && p->coll.root, MEMBOX_AT(coll.root));
		else if (used & MBF_TERMS)
			MEMBOX_ZERO(p->list.unused0, MEMBOX_AT(list.unused0));
		else
			MEMBOX_ZERO(!(used & (MBF_A | MBF_VALUE)) && p->raw[0], MEMBOX_AT(raw[0]));
		if (!(used & MBF_GROUP))
			MEMBOX_ZERO(!(used & (MBF_B | MBF_COMPARE)) && p->raw[1],
				    MEMBOX_AT(raw[1]));
		MEMBOX_ZERO(!(used & MBF_HOST2) && p->raw[2], MEMBOX_AT(raw[2]));
		MEMBOX_ZERO(!(used & MBF_HOST2) && p->raw[3], MEMBOX_AT(raw[3]));
		if (used & MBF_HOST2) {
			MEMBOX_ZERO(p->coll.recv.key && !(p->flags & MEMBOX_F_REGION2),
				    MEMBOX_AT(coll.recv.key));
			MEMBOX_ZERO(p->coll.recv.nseg, MEMBOX_AT(coll.recv.nseg));
		}
	}
#undef MEMBOX_ZERO
	return MEMBOX_ST_OK;
}

static inline __u16 membox_check_types(const struct membox_packet *p, __u32 used, __u32 *detail)
{
	int need_dst = (used & MBF_DST) && !(p->opcode == MEMBOX_OP_WAIT && !p->dst_type);

	if (used & MBF_SRC) {
		*detail = MEMBOX_AT(src_type);
		if (!membox_type_bytes(p->src_type))
			return MEMBOX_ST_BAD_TYPE;
	}
	if (need_dst) {
		*detail = MEMBOX_AT(dst_type);
		if (!membox_type_bytes(p->dst_type))
			return MEMBOX_ST_BAD_TYPE;
		if ((p->opcode == MEMBOX_OP_ATOMIC || p->opcode == MEMBOX_OP_WAIT) &&
		    p->dst_type != MEMBOX_I32 && p->dst_type != MEMBOX_I64)
			return MEMBOX_ST_BAD_TYPE;
		if (p->opcode == MEMBOX_OP_UPDATE &&
		    p->dst_type != MEMBOX_F32 && p->dst_type != MEMBOX_F64)
			return MEMBOX_ST_BAD_TYPE;
	}
	if (used & MBF_SRC) {
		*detail = MEMBOX_AT(src_type);
		if (!membox_types_add(p->src_type, p->dst_type))
			return MEMBOX_ST_BAD_TYPE;
		if (p->src_type != p->dst_type &&
		    (p->opcode == MEMBOX_OP_COPY || p->opcode == MEMBOX_OP_ALLGATHER ||
		     p->opcode == MEMBOX_OP_BROADCAST))
			return MEMBOX_ST_BAD_TYPE;
	}
	if (used & MBF_RED) {
		*detail = MEMBOX_AT(reduction);
		if (!p->reduction || p->reduction >= MEMBOX_NR_REDS)
			return MEMBOX_ST_BAD_REDUCTION;
	}
	if (used & MBF_SUB) {
		__u8 limit = p->opcode == MEMBOX_OP_ATOMIC ? (__u8)MEMBOX_NR_ATOMICS :
			     p->opcode == MEMBOX_OP_WAIT ? (__u8)MEMBOX_NR_CMPS : (__u8)MEMBOX_NR_UPDATES;
		int ok = p->opcode == MEMBOX_OP_SCATTER_ACC ?
			 p->sub == MEMBOX_I32 || p->sub == MEMBOX_I64 : p->sub && p->sub < limit;

		*detail = MEMBOX_AT(sub);
		if (!ok)
			return MEMBOX_ST_BAD_SUBOP;
	}
	return MEMBOX_ST_OK;
}

static inline __u16 membox_check_scalars(const struct membox_packet *p, __u32 used, __u32 *detail)
{
	__u64 v = p->raw[0];

	if (membox_type_is_int(p->dst_type)) {
		*detail = MEMBOX_AT(raw[0]);
		if ((used & MBF_A) && !membox_scalar_is_whole(p->raw[0]))
			return MEMBOX_ST_BAD_SCALAR;
		*detail = MEMBOX_AT(raw[1]);
		if ((used & MBF_B) && !membox_scalar_is_whole(p->raw[1]))
			return MEMBOX_ST_BAD_SCALAR;
	}
	if (p->opcode == MEMBOX_OP_FILL && membox_type_bytes(p->dst_type) < 8) {
		*detail = MEMBOX_AT(word.value);
		if (v >> (8 * membox_type_bytes(p->dst_type)))
			return MEMBOX_ST_BAD_SCALAR;
	}
	if (p->opcode == MEMBOX_OP_ATOMIC) {
		*detail = MEMBOX_AT(word.value);
		if (p->dst_type == MEMBOX_I32 && (__s64)v != (__s32)(__u32)v)
			return MEMBOX_ST_BAD_SCALAR;
		v = p->word.compare;
		*detail = MEMBOX_AT(word.compare);
		if (p->dst_type == MEMBOX_I32 && (__s64)v != (__s32)(__u32)v)
			return MEMBOX_ST_BAD_SCALAR;
		if (p->sub != MEMBOX_COMPARE_SWAP && v)
			return MEMBOX_ST_BAD_SCALAR;
	}
	return MEMBOX_ST_OK;
}

static inline __u16 membox_check_range(const struct membox_packet *p, __u32 used,
				       __u64 max_bytes, __u32 *detail)
{
	__u32 widest = membox_type_bytes(p->dst_type);
	__u64 span = p->count;
	unsigned int i;

	if (membox_type_bytes(p->src_type) > widest)
		widest = membox_type_bytes(p->src_type);
	if (p->opcode == MEMBOX_OP_SCATTER_ACC && membox_type_bytes(p->sub) > widest)
		widest = membox_type_bytes(p->sub);
	if (used & MBF_COUNT) {
		*detail = MEMBOX_AT(count);
		if (!p->count)
			return MEMBOX_ST_ZERO_LENGTH;
		if (p->count > max_bytes / widest)
			return MEMBOX_ST_TOO_LONG;
	}
	if (p->opcode == MEMBOX_OP_ALLGATHER || p->opcode == MEMBOX_OP_REDUCE_SCATTER) {
		*detail = MEMBOX_AT(coll.root);
		if (!p->coll.root)
			return MEMBOX_ST_ZERO_LENGTH;
		if (p->coll.root > MEMBOX_MAX_RANKS ||
		    p->count > max_bytes / widest / p->coll.root)
			return MEMBOX_ST_TOO_LONG;
	}
	if (used & MBF_TERMS) {
		*detail = MEMBOX_AT(list.nterms);
		if (!p->list.nterms)
			return MEMBOX_ST_ZERO_LENGTH;
		if (p->list.nterms > MEMBOX_MAX_TERMS)
			return MEMBOX_ST_TOO_LONG;
	}
	if (p->opcode == MEMBOX_OP_ATOMIC || p->opcode == MEMBOX_OP_WAIT)
		span = 1;
	for (i = 0; i < MEMBOX_OPERANDS; i++) {
		__u32 bytes = membox_type_bytes(i || !(used & MBF_DST) ? p->src_type : p->dst_type);

		if (!bytes)
			bytes = 1;
		*detail = MEMBOX_AT(offset) + 8 * i;
		/* (offset + span) * bytes must fit in 64 bits */
		if ((used & (MBF_P0 << i)) && p->offset[i] > ~0ULL / bytes - span)
			return MEMBOX_ST_OFFSET_OVERFLOW;
	}
	*detail = MEMBOX_AT(host.addr);
	if (p->host.addr + membox_host_bytes(p) < p->host.addr)
		return MEMBOX_ST_OFFSET_OVERFLOW;
	if ((used & MBF_HOST2) && p->coll.recv.addr + membox_host2_bytes(p) < p->coll.recv.addr) {
		*detail = MEMBOX_AT(coll.recv.addr);
		return MEMBOX_ST_OFFSET_OVERFLOW;
	}
	return MEMBOX_ST_OK;
}

static inline __u16 membox_check_alignment(const struct membox_packet *p, __u32 used,
					   __u32 *detail)
{
	__u32 align = membox_host_align(p);

	if (membox_host_bytes(p) && (p->host.addr & (align - 1))) {
		*detail = MEMBOX_AT(host.addr);
		return MEMBOX_ST_MISALIGNED;
	}
	if (used & MBF_HOST2) {
		align = membox_type_bytes(p->opcode == MEMBOX_OP_SCATTER_ACC ? p->sub :
					  p->dst_type);
		*detail = MEMBOX_AT(coll.recv.addr);
		if (membox_host2_bytes(p) && (p->coll.recv.addr & (align - 1)))
			return MEMBOX_ST_MISALIGNED;
	}
	return MEMBOX_ST_OK;
}

/*
 * Checks all that can be seen from the packet alone, in the order of
 * MEMBOX_STATUSES. caps and max_bytes are the device's. *detail gets the offset
 * in the packet of the field at fault, 0 when there is none. A device clears
 * phase, cid, context and the nseg fields in its copy of a descriptor first.
 */
static inline __u16 membox_check_packet(const struct membox_packet *p, __u64 caps,
					__u64 max_bytes, __u32 *detail)
{
	struct membox_op_info op;
	__u32 used;
	__u16 status;

	*detail = MEMBOX_AT(opcode);
	if (!membox_op_lookup(p->opcode, &op))
		return MEMBOX_ST_BAD_OPCODE;
	if (op.cap & ~caps)
		return MEMBOX_ST_UNSUPPORTED;
	*detail = MEMBOX_AT(flags);
	if (p->flags & ~op.flags)
		return MEMBOX_ST_BAD_FLAG;
	used = op.required | op.optional;
	status = membox_check_reserved(p, used, detail);
	if (status)
		return status;
	status = membox_check_types(p, used, detail);
	if (status)
		return status;
	status = membox_check_scalars(p, used, detail);
	if (status)
		return status;
	*detail = MEMBOX_AT(timeout_us);
	if (p->timeout_us > MEMBOX_MAX_TIMEOUT_US)
		return MEMBOX_ST_BAD_TIMEOUT;
	status = membox_check_range(p, used, max_bytes, detail);
	if (status)
		return status;
	status = membox_check_alignment(p, used, detail);
	if (status)
		return status;
	*detail = 0;
	return MEMBOX_ST_OK;
}

/*
 * Ring arithmetic. Indices count freely in 32 bits; log2 is the ring's size.
 */
static inline __u32 membox_ring_slot(__u32 index, __u32 log2)
{
	return index & ((1U << log2) - 1);
}

/* Phase bit of entry number index: 1 on the first pass. */
static inline __u32 membox_ring_phase(__u32 index, __u32 log2)
{
	return ~(index >> log2) & 1;
}

/* Entries between head and tail. */
static inline __u32 membox_ring_used(__u32 tail, __u32 head)
{
	return tail - head;
}

/* Did going from old to now pass entry number event? Then the other side is to be woken. */
static inline int membox_need_event(__u32 event, __u32 now, __u32 old)
{
	return now - event - 1 < now - old;
}

/* The errno (positive) that stands for a status. */
static inline int membox_status_errno(__u32 status)
{
	switch (status) {
	case MEMBOX_ST_OK:
		return 0;
	case MEMBOX_ST_UNSUPPORTED:
		return EOPNOTSUPP;
	case MEMBOX_ST_TOO_LONG:
		return EMSGSIZE;
	case MEMBOX_ST_OFFSET_OVERFLOW:
		return EOVERFLOW;
	case MEMBOX_ST_HOST_FAULT:
	case MEMBOX_ST_DMA_FAULT:
		return EFAULT;
	case MEMBOX_ST_BAD_CONTEXT:
	case MEMBOX_ST_BAD_HANDLE:
	case MEMBOX_ST_BAD_GROUP:
		return EBADF;
	case MEMBOX_ST_DESTROYED:
	case MEMBOX_ST_BAD_EPOCH:
		return ESTALE;
	case MEMBOX_ST_TYPE_MISMATCH:
	case MEMBOX_ST_SHAPE_MISMATCH:
		return EPROTOTYPE;
	case MEMBOX_ST_DENIED:
		return EACCES;
	case MEMBOX_ST_OUT_OF_RANGE:
	case MEMBOX_ST_REGION_RANGE:
		return ERANGE;
	case MEMBOX_ST_NOT_FOUND:
	case MEMBOX_ST_BAD_QUEUE:
		return ENOENT;
	case MEMBOX_ST_EXISTS:
	case MEMBOX_ST_QUEUE_EXISTS:
		return EEXIST;
	case MEMBOX_ST_KEY_REFUSED:
		return EKEYREJECTED;
	case MEMBOX_ST_NO_SPACE:
		return ENOSPC;
	case MEMBOX_ST_TABLE_FULL:
		return ENFILE;
	case MEMBOX_ST_QUOTA:
		return EDQUOT;
	case MEMBOX_ST_BUSY:
		return EBUSY;
	case MEMBOX_ST_AGAIN:
		return EAGAIN;
	case MEMBOX_ST_BAD_NAME:
	case MEMBOX_ST_BAD_ARGUMENT:
		return EINVAL;
	case MEMBOX_ST_BAD_RANK:
		return EADDRINUSE;
	case MEMBOX_ST_NOT_MAPPABLE:
		return ENODEV;
	case MEMBOX_ST_MEDIA_ERROR:
	case MEMBOX_ST_TORN:
	case MEMBOX_ST_INTERNAL:
		return EIO;
	case MEMBOX_ST_TIMED_OUT:
		return ETIMEDOUT;
	case MEMBOX_ST_ABORTED:
		return ECANCELED;
	case MEMBOX_ST_OWNER_DEAD:
	case MEMBOX_ST_RANK_DEAD:
		return EOWNERDEAD;
	case MEMBOX_ST_OWNER_STALLED:
		return ETIME;
	case MEMBOX_ST_CORRUPT:
		return EUCLEAN;
	case MEMBOX_ST_RESET:
		return ECONNRESET;
	case MEMBOX_ST_GONE:
		return ENODEV;
	case MEMBOX_ST_NO_MEMORY:
		return ENOMEM;
	default:
		return EINVAL;
	}
}

#endif /* MEMBOX_CHECK_H */
