/* SPDX-License-Identifier: MIT */
/*
 * prep.c - filling in operations. Nothing is checked here: submitting does.
 */
#include <string.h>

#include "internal.h"

static void start(struct membox_op *op, uint8_t opcode, struct membox_param *param,
		  uint64_t first, uint64_t n)
{
	memset(op, 0, sizeof(*op));
	op->opcode = opcode;
	op->param = param;
	op->first = first;
	op->count = n;
	op->timeout = MEMBOX_TIMEOUT_DEFAULT;
}

MB_EXPORT void membox_prep_read(struct membox_op *op, struct membox_param *param,
				uint64_t first, uint64_t n, void *to)
{
	start(op, MEMBOX_OP_READ, param, first, n);
	op->mem.to = to;
}

MB_EXPORT void membox_prep_write(struct membox_op *op, struct membox_param *param,
				 uint64_t first, uint64_t n, const void *from)
{
	start(op, MEMBOX_OP_WRITE, param, first, n);
	op->mem.source = from;
}

MB_EXPORT void membox_prep_snapshot(struct membox_op *op, struct membox_param *param,
				    uint64_t first, uint64_t n, void *to)
{
	start(op, MEMBOX_OP_SNAPSHOT, param, first, n);
	op->mem.to = to;
}

MB_EXPORT void membox_prep_acc(struct membox_op *op, struct membox_param *param,
			       uint64_t first, uint64_t n, const void *from,
			       enum membox_type type, double a)
{
	membox_prep_acc_red(op, param, first, n, from, type, MEMBOX_SUM, a);
}

MB_EXPORT void membox_prep_acc_red(struct membox_op *op, struct membox_param *param,
				   uint64_t first, uint64_t n, const void *from,
				   enum membox_type type, enum membox_red red, double a)
{
	start(op, MEMBOX_OP_ACC, param, first, n);
	op->mem.source = from;
	op->type = (uint8_t)type;
	op->reduction = (uint8_t)red;
	op->a = a;
}

MB_EXPORT void membox_prep_acc_param(struct membox_op *op, struct membox_param *param,
				     uint64_t first, struct membox_param *from,
				     uint64_t from_first, uint64_t n, double a)
{
	start(op, MEMBOX_OP_ACC, param, first, n);
	op->from = from;
	op->from_first = from_first;
	op->reduction = MEMBOX_SUM;
	op->a = a;
}

MB_EXPORT void membox_prep_copy(struct membox_op *op, struct membox_param *to,
				uint64_t to_first, struct membox_param *from,
				uint64_t from_first, uint64_t n)
{
	start(op, MEMBOX_OP_COPY, to, to_first, n);
	op->from = from;
	op->from_first = from_first;
}

MB_EXPORT void membox_prep_fill(struct membox_op *op, struct membox_param *param,
				uint64_t first, uint64_t n, const void *element)
{
	start(op, MEMBOX_OP_FILL, param, first, n);
	if (param && element)
		memcpy(&op->value, element, membox_type_bytes(param->type));
}

MB_EXPORT void membox_prep_scale(struct membox_op *op, struct membox_param *param,
				 uint64_t first, uint64_t n, double a)
{
	start(op, MEMBOX_OP_SCALE, param, first, n);
	op->a = a;
}

MB_EXPORT void membox_prep_axpby(struct membox_op *op, struct membox_param *y,
				 uint64_t y_first, double a, struct membox_param *x,
				 uint64_t x_first, double b, uint64_t n)
{
	start(op, MEMBOX_OP_AXPBY, y, y_first, n);
	op->from = x;
	op->from_first = x_first;
	op->a = a;
	op->b = b;
}

MB_EXPORT void membox_prep_wsum(struct membox_op *op, struct membox_param *to,
				uint64_t to_first, uint64_t n,
				const struct membox_wsum_term *terms, unsigned int nterms)
{
	start(op, MEMBOX_OP_WSUM, to, to_first, n);
	op->mem.terms = terms;
	op->nterms = nterms;
}

static void atomic_op(struct membox_op *op, struct membox_param *param, uint64_t index,
		      uint8_t sub, int64_t value, int64_t expected)
{
	start(op, MEMBOX_OP_ATOMIC, param, index, 1);
	op->sub = sub;
	op->value = (uint64_t)value;
	op->compare = (uint64_t)expected;
}

MB_EXPORT void membox_prep_fetch_add(struct membox_op *op, struct membox_param *param,
				     uint64_t index, int64_t add)
{
	atomic_op(op, param, index, MEMBOX_FETCH_ADD, add, 0);
}

MB_EXPORT void membox_prep_swap(struct membox_op *op, struct membox_param *param,
				uint64_t index, int64_t value)
{
	atomic_op(op, param, index, MEMBOX_SWAP, value, 0);
}

MB_EXPORT void membox_prep_compare_swap(struct membox_op *op, struct membox_param *param,
					uint64_t index, int64_t expected, int64_t value)
{
	atomic_op(op, param, index, MEMBOX_COMPARE_SWAP, value, expected);
}

MB_EXPORT void membox_prep_notify(struct membox_op *op, struct membox_param *param)
{
	start(op, MEMBOX_OP_NOTIFY, param, 0, 0);
}

MB_EXPORT void membox_prep_commit(struct membox_op *op, struct membox_param *param)
{
	start(op, MEMBOX_OP_COMMIT, param, 0, param ? param->count : 0);
}

MB_EXPORT void membox_prep_wait_version(struct membox_op *op, struct membox_param *param,
					uint64_t above, int64_t timeout)
{
	start(op, MEMBOX_OP_WAIT, param, 0, 0);
	op->sub = MEMBOX_GT;
	op->value = above;
	op->timeout = timeout;
}

MB_EXPORT void membox_prep_wait_word(struct membox_op *op, struct membox_param *param,
				     uint64_t index, enum membox_cmp cmp, int64_t value,
				     int64_t timeout)
{
	start(op, MEMBOX_OP_WAIT, param, index, 1);
	op->sub = (uint8_t)cmp;
	op->value = (uint64_t)value;
	op->timeout = timeout;
}

MB_EXPORT void membox_prep_fence(struct membox_op *op)
{
	start(op, MEMBOX_OP_FENCE, NULL, 0, 0);
}

MB_EXPORT void membox_prep_packet(struct membox_op *op, const struct membox_packet *packet)
{
	memset(op, 0, sizeof(*op));
	op->opcode = packet->opcode;
	op->mem.packet = packet;
	op->raw = 1;
}
