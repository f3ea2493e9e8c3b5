/* SPDX-License-Identifier: MIT */
/*
 * refusal.c - what the box would refuse of an operation that reaches it in
 * several pieces, or as reads and writes: asked before the first piece changes
 * anything. In the order of MEMBOX_STATUSES; the shape was checked before.
 */
#include "internal.h"

static bool past_end(const struct membox_param *param, uint64_t first, uint64_t n)
{
	return first > param->count || n > param->count - first;
}

static bool overlaps(const struct membox_op *op, const struct membox_param *from, uint64_t first)
{
	const struct membox_param *to = op->param;
	uint64_t distance = first > op->first ? first - op->first : op->first - first;

	return from->address == to->address && distance < op->count &&
	       (distance || op->opcode == MEMBOX_OP_COPY);
}

static bool is_read(uint8_t opcode)
{
	return opcode == MEMBOX_OP_READ || opcode == MEMBOX_OP_SNAPSHOT;
}

static int refuse_terms(const struct membox_op *op, uint32_t *detail)
{
	unsigned int i;

	*detail = MEMBOX_AT(host.addr);
	for (i = 0; i < op->nterms; i++) {
		const struct membox_wsum_term *t = &op->mem.terms[i];

		if (t->param->type != op->mem.terms[0].param->type ||
		    past_end(t->param, t->first, op->count))
			return MEMBOX_ST_BAD_TERM;
	}
	for (i = 0; i < op->nterms; i++)
		if (overlaps(op, op->mem.terms[i].param, op->mem.terms[i].first))
			return MEMBOX_ST_OVERLAP;
	return MEMBOX_ST_OK;
}

static int refuse_memory(struct membox *box, const struct membox_op *op, uint32_t *detail)
{
	uint8_t type = op->opcode == MEMBOX_OP_ACC && op->type ? op->type : op->param->type;
	bool has_memory = op->opcode == MEMBOX_OP_WRITE || is_read(op->opcode) ||
			  (op->opcode == MEMBOX_OP_ACC && !op->from);

	*detail = MEMBOX_AT(host.addr);
	if (has_memory &&
	    !mb_memory_is_there(box, (uintptr_t)op->mem.source,
				op->count * membox_type_bytes(type), is_read(op->opcode)))
		return MEMBOX_ST_HOST_FAULT;
	return MEMBOX_ST_OK;
}

int mb_refusal(struct membox *box, const struct membox_op *op, uint32_t *detail)
{
	bool in_range = !past_end(op->param, op->first, op->count);

	/* asking for more than there is must not make the library look at all that memory */
	if (in_range && refuse_memory(box, op, detail))
		return MEMBOX_ST_HOST_FAULT;
	*detail = MEMBOX_AT(handle);
	if (!is_read(op->opcode) && !(op->param->rights & MEMBOX_WIN_WRITE))
		return MEMBOX_ST_DENIED;
	*detail = MEMBOX_AT(offset);
	if (!in_range)
		return MEMBOX_ST_OUT_OF_RANGE;
	if (op->from) {
		*detail = MEMBOX_AT(offset) + 8;
		if (past_end(op->from, op->from_first, op->count))
			return MEMBOX_ST_OUT_OF_RANGE;
		if (overlaps(op, op->from, op->from_first))
			return MEMBOX_ST_OVERLAP;
	}
	return op->opcode == MEMBOX_OP_WSUM ? refuse_terms(op, detail) : MEMBOX_ST_OK;
}
