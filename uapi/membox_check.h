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
	__u32 required; /* MBF_* */
	__u32 optional;
	__u16 flags;	/* MEMBOX_F_* allowed */
	__u64 cap;	/* MEMBOX_CAP_* needed, 0: always there */
};

/* Returns 0 for an unknown opcode. */
static inline int membox_op_lookup(__u8 opcode, struct membox_op_info *info)
{
	switch (opcode) {
#define MEMBOX_OP_CASE(name, op, req, opt, fl, capability) \
	case (op): \
		info->required = (req); \
		info->optional = (opt); \
		info->flags = (fl); \
		info->cap = (capability); \
		return 1;
		MEMBOX_OPS(MEMBOX_OP_CASE)
#undef MEMBOX_OP_CASE
	}
	return 0;
}

/* Is sub one that the operation knows? */
static inline int membox_sub_known(const struct membox_packet *p)
{
	switch (p->opcode) {
	case MEMBOX_OP_SCATTER_ACC:
		return p->sub == MEMBOX_I32 || p->sub == MEMBOX_I64;
	case MEMBOX_OP_ATOMIC:
		return p->sub && p->sub < MEMBOX_NR_ATOMICS;
	case MEMBOX_OP_WAIT:
		return p->sub && p->sub < MEMBOX_NR_CMPS;
	default:
		return p->sub && p->sub < MEMBOX_NR_UPDATES;
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

/* Is a reference to host memory given at all? MEMBOX_F_REGION (2) gives one too. */
static inline int membox_host_given(const struct membox_hostref *ref, int region)
{
	return ref->addr || ref->key || ref->nseg || region;
}

/*
 * The fields that this very packet uses, as MBF_*: those of its operation less
 * the ones that its own handles, sub or types make meaningless (membox.h says
 * which). An unknown sub takes nothing away, so that BAD_SUBOP is the answer.
 */
static inline __u32 membox_fields_used(const struct membox_packet *p,
				       const struct membox_op_info *op)
{
	__u32 used = op->required | op->optional;
	int sends = p->handle[0] || membox_host_given(&p->host, p->flags & MEMBOX_F_REGION);
	int recvs = p->handle[1] ||
		    membox_host_given(&p->coll.recv, p->flags & MEMBOX_F_REGION2);

	switch (p->opcode) {
	case MEMBOX_OP_UPDATE:
		if (p->sub == MEMBOX_SGD)
			used &= ~(MBF_P2 | MBF_P3);
		if (p->sub == MEMBOX_MOMENTUM)
			used &= ~MBF_P3;
		used &= ~(p->handle[1] ? MBF_HOST : MBF_P1);
		break;
	case MEMBOX_OP_ACC:
		used &= ~(p->handle[1] ? MBF_HOST : MBF_P1);
		break;
	case MEMBOX_OP_BROADCAST:
		/* the root sends, all others receive */
		used &= sends ? ~(MBF_P1 | MBF_HOST2) : ~(MBF_P0 | MBF_HOST);
		if (sends)
			used &= ~(p->handle[0] ? MBF_HOST : MBF_P0);
		else
			used &= ~(p->handle[1] ? MBF_HOST2 : MBF_P1);
		break;
	case MEMBOX_OP_REDUCE:
		if (!recvs)
			used &= ~MBF_HOST2;
		used &= ~(p->handle[0] ? MBF_HOST : MBF_P0);
		used &= ~(p->handle[1] ? MBF_HOST2 : MBF_P1);
		break;
	case MEMBOX_OP_ALLREDUCE:
	case MEMBOX_OP_REDUCE_SCATTER:
	case MEMBOX_OP_ALLGATHER:
		used &= ~(p->handle[0] ? MBF_HOST : MBF_P0);
		used &= ~(p->handle[1] ? MBF_HOST2 : MBF_P1);
		break;
	case MEMBOX_OP_ATOMIC:
		if (p->sub == MEMBOX_FETCH_ADD || p->sub == MEMBOX_SWAP)
			used &= ~MBF_COMPARE;
		break;
	default:
		break;
	}
	return used;
}

/* The same for a packet by itself; 0 when its opcode is unknown. */
static inline __u32 membox_packet_fields(const struct membox_packet *p)
{
	struct membox_op_info op;

	return membox_op_lookup(p->opcode, &op) ? membox_fields_used(p, &op) : 0;
}

/* Does operand i name an element, so that offset[i] is used? */
static inline int membox_offset_used(const struct membox_packet *p, __u32 used, unsigned int i)
{
	if (p->opcode == MEMBOX_OP_NOTIFY || (p->opcode == MEMBOX_OP_WAIT && !p->dst_type))
		return 0; /* the whole parameter: its version */
	return !!(used & (MBF_P0 << i));
}

/* Type of operand i: of what is read, or of what is written. */
static inline __u8 membox_operand_type(const struct membox_packet *p, unsigned int i)
{
	switch (p->opcode) {
	case MEMBOX_OP_UPDATE: /* w, m and v; g is the source */
		return i == 1 ? p->src_type : p->dst_type;
	case MEMBOX_OP_ALLREDUCE: /* sends operand 0, receives operand 1 */
	case MEMBOX_OP_REDUCE:
	case MEMBOX_OP_REDUCE_SCATTER:
	case MEMBOX_OP_ALLGATHER:
	case MEMBOX_OP_BROADCAST:
		return i ? p->dst_type : p->src_type;
	default:
		return i ? p->src_type : p->dst_type;
	}
}

/* Elements of operand i from offset[i] on; SCATTER_ACC: the first that may be touched. */
static inline __u64 membox_operand_count(const struct membox_packet *p, unsigned int i)
{
	switch (p->opcode) {
	case MEMBOX_OP_ATOMIC:
	case MEMBOX_OP_SCATTER_ACC:
		return 1;
	case MEMBOX_OP_WAIT:
		return p->dst_type ? 1 : 0;
	case MEMBOX_OP_ALLGATHER:
		return i ? p->count * p->coll.root : p->count;
	case MEMBOX_OP_REDUCE_SCATTER:
		return i ? p->count : p->count * p->coll.root;
	default:
		return p->count;
	}
}

/*
 * Bytes of host memory that a packet names, 0 when it names none: host, and
 * host2 (scatter.index, coll.recv). Meaningful once the packet was checked. used
 * is what membox_packet_fields() says of it.
 */
static inline __u64 membox_host_bytes_used(const struct membox_packet *p, __u32 used)
{
	if (!(used & MBF_HOST))
		return 0;
	switch (p->opcode) {
	case MEMBOX_OP_READ:
	case MEMBOX_OP_WRITE:
	case MEMBOX_OP_SNAPSHOT:
		return p->count * membox_type_bytes(p->dst_type);
	case MEMBOX_OP_WSUM:
		return (__u64)p->list.nterms * sizeof(struct membox_term);
	case MEMBOX_OP_REDUCE_SCATTER:
		return p->count * p->coll.root * membox_type_bytes(p->src_type);
	default:
		return p->count * membox_type_bytes(p->src_type);
	}
}

static inline __u64 membox_host2_bytes_used(const struct membox_packet *p, __u32 used)
{
	if (!(used & MBF_HOST2))
		return 0;
	switch (p->opcode) {
	case MEMBOX_OP_SCATTER_ACC:
		return p->count * membox_type_bytes(p->sub);
	case MEMBOX_OP_ALLGATHER:
		return p->count * p->coll.root * membox_type_bytes(p->dst_type);
	default:
		return p->count * membox_type_bytes(p->dst_type);
	}
}

/* The same for a packet by itself. */
static inline __u64 membox_host_bytes(const struct membox_packet *p)
{
	return membox_host_bytes_used(p, membox_packet_fields(p));
}

static inline __u64 membox_host2_bytes(const struct membox_packet *p)
{
	return membox_host2_bytes_used(p, membox_packet_fields(p));
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

/* Alignment that host must have, 1 where the packet names none. */
static inline __u32 membox_host_align(const struct membox_packet *p)
{
	__u32 bytes = membox_type_bytes(p->src_type ? p->src_type : p->dst_type);

	if (p->opcode == MEMBOX_OP_WSUM)
		return 8; /* of struct membox_term */
	return bytes ? bytes : 1;
}

/* The single checks of membox_check_packet, in its order; each returns a status. */

/* The same for host2. */
static inline __u32 membox_host2_align(const struct membox_packet *p)
{
	if (!membox_host2_bytes(p))
		return 1;
	return membox_type_bytes(p->opcode == MEMBOX_OP_SCATTER_ACC ? p->sub : p->dst_type);
}

static inline __u16 membox_check_flags(const struct membox_packet *p, __u32 used, __u16 allowed)
{
	if (!(used & MBF_HOST))
		allowed &= (__u16)~MEMBOX_F_REGION;
	if (!(used & MBF_HOST2))
		allowed &= (__u16)~MEMBOX_F_REGION2;
	return p->flags & ~allowed ? MEMBOX_ST_BAD_FLAG : MEMBOX_ST_OK;
}

/* At the first field that should be zero and is not: its offset, else 0. */
static inline __u32 membox_find_reserved(const struct membox_packet *p, __u32 used)
{
	unsigned int i;

	if (p->phase)
		return MEMBOX_AT(phase);
	if (p->cid)
		return MEMBOX_AT(cid);
	if (p->context)
		return MEMBOX_AT(context);
	if (!(used & MBF_SRC) && p->src_type)
		return MEMBOX_AT(src_type);
	if (!(used & MBF_DST) && p->dst_type)
		return MEMBOX_AT(dst_type);
	if (!(used & MBF_RED) && p->reduction)
		return MEMBOX_AT(reduction);
	if (!(used & MBF_SUB) && p->sub)
		return MEMBOX_AT(sub);
	if (!(used & MBF_TIMEOUT) && p->timeout_us)
		return MEMBOX_AT(timeout_us);
	if (!(used & MBF_COUNT) && p->count)
		return MEMBOX_AT(count);
	for (i = 0; i < MEMBOX_OPERANDS; i++)
		if (!(used & (MBF_P0 << i)) && p->handle[i])
			return MEMBOX_AT(handle) + 4 * i;
	for (i = 0; i < MEMBOX_OPERANDS; i++)
		if (!membox_offset_used(p, used, i) && p->offset[i])
			return MEMBOX_AT(offset) + 8 * i;
	if (!(used & MBF_HOST) && p->host.addr)
		return MEMBOX_AT(host.addr);
	if (!(p->flags & MEMBOX_F_REGION) && p->host.key)
		return MEMBOX_AT(host.key);
	if (p->host.nseg)
		return MEMBOX_AT(host.nseg);
	if (used & MBF_UPDATE) {
		/* beta1, beta2 and eps are used from MOMENTUM and ADAM on */
		if (p->sub == MEMBOX_SGD && p->update.scalar[1])
			return MEMBOX_AT(update.scalar[1]);
		if (p->sub != MEMBOX_SGD && p->sub != MEMBOX_MOMENTUM)
			return 0;
		if (p->update.scalar[2])
			return MEMBOX_AT(update.scalar[2]);
		if (p->update.scalar[3])
			return MEMBOX_AT(update.scalar[3]);
		return p->update.step ? MEMBOX_AT(update.step) : 0;
	}
	if (used & MBF_GROUP) {
		if (!(used & MBF_ROOT) && p->coll.root)
			return MEMBOX_AT(coll.root);
	} else {
		if ((used & MBF_TERMS) && p->list.unused0)
			return MEMBOX_AT(list.unused0);
		if (!(used & (MBF_TERMS | MBF_A | MBF_VALUE)) && p->raw[0])
			return MEMBOX_AT(raw[0]);
		if (!(used & (MBF_B | MBF_COMPARE)) && p->raw[1])
			return MEMBOX_AT(raw[1]);
	}
	if (!(used & MBF_HOST2) && p->coll.recv.addr)
		return MEMBOX_AT(coll.recv.addr);
	if (!(p->flags & MEMBOX_F_REGION2) && p->coll.recv.key)
		return MEMBOX_AT(coll.recv.key);
	return p->coll.recv.nseg ? MEMBOX_AT(coll.recv.nseg) : 0;
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
		*detail = MEMBOX_AT(sub);
		if (!membox_sub_known(p))
			return MEMBOX_ST_BAD_SUBOP;
	}
	return MEMBOX_ST_OK;
}

/* Is v the sign extension of its low 32 bits? */
static inline int membox_fits_i32(__u64 v)
{
	__u64 high = v >> 31;

	return !high || high == 0x1ffffffffULL;
}

static inline __u16 membox_check_update(const struct membox_packet *p, __u32 *detail)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		*detail = MEMBOX_AT(update.scalar) + 4 * i;
		/* neither infinite nor NaN */
		if ((p->update.scalar[i] & 0x7f800000U) == 0x7f800000U)
			return MEMBOX_ST_BAD_SCALAR;
	}
	*detail = MEMBOX_AT(update.step);
	return p->sub == MEMBOX_ADAM && !p->update.step ? MEMBOX_ST_BAD_SCALAR : MEMBOX_ST_OK;
}

static inline __u16 membox_check_scalars(const struct membox_packet *p, __u32 used, __u32 *detail)
{
	__u32 bytes = membox_type_bytes(p->dst_type);

	if (used & MBF_UPDATE)
		return membox_check_update(p, detail);
	if (membox_type_is_int(p->dst_type)) {
		*detail = MEMBOX_AT(raw[0]);
		if ((used & MBF_A) && !membox_scalar_is_whole(p->raw[0]))
			return MEMBOX_ST_BAD_SCALAR;
		*detail = MEMBOX_AT(raw[1]);
		if ((used & MBF_B) && !membox_scalar_is_whole(p->raw[1]))
			return MEMBOX_ST_BAD_SCALAR;
	}
	*detail = MEMBOX_AT(word.value);
	if (p->opcode == MEMBOX_OP_FILL && bytes < 8 && p->word.value >> (8 * bytes))
		return MEMBOX_ST_BAD_SCALAR;
	if (p->opcode == MEMBOX_OP_ATOMIC && p->dst_type == MEMBOX_I32) {
		if (!membox_fits_i32(p->word.value))
			return MEMBOX_ST_BAD_SCALAR;
		*detail = MEMBOX_AT(word.compare);
		if (!membox_fits_i32(p->word.compare))
			return MEMBOX_ST_BAD_SCALAR;
	}
	return MEMBOX_ST_OK;
}

/* ZERO_LENGTH and TOO_LONG: of the count, the list, and the ranks that multiply the count. */
static inline __u16 membox_check_length(const struct membox_packet *p, __u32 used,
					__u64 max_bytes, __u32 *detail)
{
	int gathers = p->opcode == MEMBOX_OP_ALLGATHER || p->opcode == MEMBOX_OP_REDUCE_SCATTER;
	__u32 widest = membox_type_bytes(p->dst_type);

	if (membox_type_bytes(p->src_type) > widest)
		widest = membox_type_bytes(p->src_type);
	if (p->opcode == MEMBOX_OP_SCATTER_ACC && membox_type_bytes(p->sub) > widest)
		widest = membox_type_bytes(p->sub);

	*detail = MEMBOX_AT(count);
	if ((used & MBF_COUNT) && !p->count)
		return MEMBOX_ST_ZERO_LENGTH;
	*detail = MEMBOX_AT(list.nterms);
	if ((used & MBF_TERMS) && !p->list.nterms)
		return MEMBOX_ST_ZERO_LENGTH;
	*detail = MEMBOX_AT(coll.root);
	if (gathers && !p->coll.root)
		return MEMBOX_ST_ZERO_LENGTH;

	/* a packet with a count has a type, so widest is not 0 */
	*detail = MEMBOX_AT(count);
	if ((used & MBF_COUNT) && p->count > max_bytes / widest)
		return MEMBOX_ST_TOO_LONG;
	*detail = MEMBOX_AT(list.nterms);
	if ((used & MBF_TERMS) && p->list.nterms > MEMBOX_MAX_TERMS)
		return MEMBOX_ST_TOO_LONG;
	*detail = MEMBOX_AT(coll.root);
	if (gathers && (p->coll.root > MEMBOX_MAX_RANKS ||
			p->count > max_bytes / widest / p->coll.root))
		return MEMBOX_ST_TOO_LONG;
	return MEMBOX_ST_OK;
}

static inline __u16 membox_check_overflow(const struct membox_packet *p, __u32 used,
					  __u32 *detail)
{
	unsigned int i;

	for (i = 0; i < MEMBOX_OPERANDS; i++) {
		__u32 bytes;

		if (!membox_offset_used(p, used, i))
			continue;
		bytes = membox_type_bytes(membox_operand_type(p, i));
		*detail = MEMBOX_AT(offset) + 8 * i;
		/*
		 * (offset + count) * bytes must fit in 64 bits. The subtraction cannot
		 * wrap: count * bytes is at most max_bytes, or count is 1.
		 */
		if (p->offset[i] > ~0ULL / bytes - membox_operand_count(p, i))
			return MEMBOX_ST_OFFSET_OVERFLOW;
	}
	*detail = MEMBOX_AT(host.addr);
	if (p->host.addr + membox_host_bytes_used(p, used) < p->host.addr)
		return MEMBOX_ST_OFFSET_OVERFLOW;
	*detail = MEMBOX_AT(coll.recv.addr);
	if ((used & MBF_HOST2) &&
	    p->coll.recv.addr + membox_host2_bytes_used(p, used) < p->coll.recv.addr)
		return MEMBOX_ST_OFFSET_OVERFLOW;
	return MEMBOX_ST_OK;
}

static inline __u16 membox_check_alignment(const struct membox_packet *p, __u32 used,
					   __u32 *detail)
{
	if ((p->host.addr & (membox_host_align(p) - 1)) && membox_host_bytes_used(p, used)) {
		*detail = MEMBOX_AT(host.addr);
		return MEMBOX_ST_MISALIGNED;
	}
	if ((used & MBF_HOST2) && (p->coll.recv.addr & (membox_host2_align(p) - 1))) {
		*detail = MEMBOX_AT(coll.recv.addr);
		return MEMBOX_ST_MISALIGNED;
	}
	return MEMBOX_ST_OK;
}

/*
 * Checks all that can be seen from the packet alone, in the order of
 * MEMBOX_STATUSES. caps and max_bytes are the device's. *detail gets the offset
 * in the packet of the field at fault, 0 when there is none. For a descriptor
 * see membox_descriptor_to_packet().
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
	used = membox_fields_used(p, &op);
	*detail = MEMBOX_AT(flags);
	status = membox_check_flags(p, used, op.flags);
	if (status)
		return status;
	*detail = membox_find_reserved(p, used);
	if (*detail)
		return MEMBOX_ST_RESERVED;
	status = membox_check_types(p, used, detail);
	if (status)
		return status;
	status = membox_check_scalars(p, used, detail);
	if (status)
		return status;
	*detail = MEMBOX_AT(timeout_us);
	if (p->timeout_us > MEMBOX_MAX_TIMEOUT_US)
		return MEMBOX_ST_BAD_TIMEOUT;
	status = membox_check_length(p, used, max_bytes, detail);
	if (status)
		return status;
	status = membox_check_overflow(p, used, detail);
	if (status)
		return status;
	status = membox_check_alignment(p, used, detail);
	if (status)
		return status;
	*detail = 0;
	return MEMBOX_ST_OK;
}

/*
 * Takes out of a private copy of a descriptor what a packet may not have: the
 * driver's fields of the instruction word, and the segment counts, but these only
 * where the operation has a reference to host memory (elsewhere the same bytes
 * are other fields). The copy can then be checked as a packet; phase, cid,
 * context and nseg are to be read before.
 */
static inline void membox_descriptor_to_packet(struct membox_packet *p)
{
	struct membox_op_info op;

	p->phase = 0;
	p->cid = 0;
	p->context = 0;
	if (!membox_op_lookup(p->opcode, &op))
		return;
	if ((op.required | op.optional) & MBF_HOST && p->host.addr)
		p->host.nseg = 0;
	if ((op.required | op.optional) & MBF_HOST2 && p->coll.recv.addr)
		p->coll.recv.nseg = 0;
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
