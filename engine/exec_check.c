// SPDX-License-Identifier: MIT
/*
 * exec_check.c - may this command be executed? First what its 128 bytes say, then
 * its operands, 0 first, in the order of MEMBOX_STATUSES. Takes references to the
 * parameters and has no other effect; no lock.
 */
#include "exec.h"

#include <string.h>

#include "tables.h"

/* What an operation does with operand 0 and 1. */
static uint32_t right_needed(uint8_t opcode, unsigned int i)
{
	if (mbe_is_coll(opcode))
		return i ? MEMBOX_WIN_WRITE : MEMBOX_WIN_READ;
	if (i)
		return MEMBOX_WIN_READ;
	switch (opcode) {
	case MEMBOX_OP_READ:
	case MEMBOX_OP_SNAPSHOT:
	case MEMBOX_OP_WAIT:
		return MEMBOX_WIN_READ;
	case MEMBOX_OP_ATOMIC: /* the old value is the result */
		return MEMBOX_WIN_READ | MEMBOX_WIN_WRITE;
	default:
		return MEMBOX_WIN_WRITE;
	}
}

/* May I8 stand for the parameter's own type? */
static bool takes_raw(uint8_t opcode)
{
	return opcode <= MEMBOX_OP_SNAPSHOT || opcode == MEMBOX_OP_COMMIT;
}

uint16_t mbe_check_operand(struct mbe *e, const struct mbe_operand *op, uint8_t type, bool raw,
			   uint32_t right, uint64_t offset, uint64_t count)
{
	uint64_t size = membox_type_bytes(type);

	if (type && type != op->type && !(raw && type == MEMBOX_I8))
		return MEMBOX_ST_TYPE_MISMATCH;
	if ((op->rights & right) != right || (e->rdonly && right & MEMBOX_WIN_WRITE))
		return MEMBOX_ST_DENIED;
	if (type && (offset > op->bytes / size || count > op->bytes / size - offset))
		return MEMBOX_ST_OUT_OF_RANGE;
	return MEMBOX_ST_OK;
}

bool mbe_ranges_cross(uint64_t a, uint64_t na, uint64_t b, uint64_t nb)
{
	return a != b && a < b + nb && b < a + na;
}

static uint16_t check_one(struct mbe_run *run, unsigned int i)
{
	const struct membox_packet *p = run->p;
	uint16_t status;

	status = mbe_operand_get(run->e, p->context, p->handle[i], &run->op[i]);
	run->detail = status == MEMBOX_ST_BAD_CONTEXT ? MEMBOX_AT(context) :
							MEMBOX_AT(handle) + 4 * i;
	if (status)
		return status;
	run->held |= 1U << i;
	status = mbe_check_operand(run->e, &run->op[i], membox_operand_type(p, i),
				   takes_raw(p->opcode),
				   right_needed(p->opcode, i), p->offset[i],
				   membox_operand_count(p, i));
	if (status == MEMBOX_ST_OUT_OF_RANGE)
		run->detail = MEMBOX_AT(offset) + 8 * i;
	return status;
}

/* What operand i begins at, in the mapping. */
static uint8_t *operand_at(const struct mbe_run *run, unsigned int i)
{
	return run->op[i].data + run->p->offset[i] * membox_type_bytes(membox_operand_type(run->p, i));
}

static uint16_t check_overlap(struct mbe_run *run)
{
	const struct membox_packet *p = run->p;
	uint64_t a = (uint64_t)(run->dst - run->e->map), b = (uint64_t)(run->src - run->e->map);
	uint64_t na = membox_operand_count(p, 0) * membox_type_bytes(membox_operand_type(p, 0));
	uint64_t nb = membox_operand_count(p, 1) * membox_type_bytes(membox_operand_type(p, 1));

	run->detail = MEMBOX_AT(offset) + 8;
	if (mbe_ranges_cross(a, na, b, nb) || (p->opcode == MEMBOX_OP_COPY && a == b))
		return MEMBOX_ST_OVERLAP;
	return MEMBOX_ST_OK;
}

/* Does a packet say of its rank what is true: root, the side that a root alone has, ranks? */
static bool fits_rank(const struct membox_packet *p, uint32_t used, uint32_t rank, uint32_t ranks)
{
	bool sends = used & (MBF_P0 | MBF_HOST), receives = used & (MBF_P1 | MBF_HOST2);

	switch (p->opcode) {
	case MEMBOX_OP_BROADCAST:
		return p->coll.root < ranks && sends == (p->coll.root == rank);
	case MEMBOX_OP_REDUCE:
		return p->coll.root < ranks && receives == (p->coll.root == rank);
	case MEMBOX_OP_ALLGATHER:
	case MEMBOX_OP_REDUCE_SCATTER:
		return p->coll.root == ranks;
	default:
		return true;
	}
}

static uint16_t check_group(struct mbe_run *run, uint32_t used)
{
	const struct membox_packet *p = run->p;
	uint32_t index;
	uint16_t status = mbe_group_find(run->e, p->context, p->coll.group, &index);

	run->detail = MEMBOX_AT(coll.group);
	if (status)
		return status;
	run->detail = MEMBOX_AT(coll.epoch);
	if ((uint32_t)MBE_LOAD(&run->e->groups[index].epoch) != p->coll.epoch)
		return MEMBOX_ST_BAD_EPOCH;
	run->detail = MEMBOX_AT(coll.root);
	return fits_rank(p, used, mbe_group_seat(run->e, index, p->context),
			 MBE_PEEK(&run->e->groups[index].fixed.ranks)) ? MEMBOX_ST_OK : MEMBOX_ST_BAD_RANK;
}

static uint16_t check_operands(struct mbe_run *run)
{
	const struct membox_packet *p = run->p;
	uint32_t used = membox_packet_fields(p);
	uint16_t status;

	run->detail = MEMBOX_AT(context);
	if (!mbe_context_open(run->e, p->context))
		return MEMBOX_ST_BAD_CONTEXT;
	for (unsigned int i = 0; i < 2; i++) {
		if (!(used & (MBF_P0 << i)))
			continue;
		status = check_one(run, i);
		if (status)
			return status;
	}
	if (used & MBF_P0) {
		run->dst = operand_at(run, 0);
		run->bytes = membox_operand_count(p, 0) * membox_type_bytes(p->dst_type);
	}
	if (used & MBF_P1) {
		run->src = operand_at(run, 1);
		status = used & MBF_P0 ? check_overlap(run) : MEMBOX_ST_OK;
		if (status)
			return status;
	}
	return used & MBF_GROUP ? check_group(run, used) : MEMBOX_ST_OK;
}

static uint16_t check_shape(struct mbe_run *run)
{
	struct membox_packet clean = *run->p;

	membox_descriptor_to_packet(&clean);
	return membox_check_packet(&clean, mbe_caps(run->e), mbe_max_bytes(run->e), &run->detail);
}

uint16_t mbe_check_command(struct mbe_run *run, bool checked)
{
	uint16_t status = MEMBOX_ST_OK;

	run->held = 0;
	if (run->e->forgotten)
		return MEMBOX_ST_GONE;
	if (!checked)
		status = check_shape(run);
	if (!status && mbe_stopped(run->e)) {
		run->detail = 0;
		status = MEMBOX_ST_CORRUPT;
	}
	if (!status)
		status = check_operands(run);
	if (status)
		mbe_run_put(run);
	else
		run->detail = 0;
	return status;
}

void mbe_run_put(struct mbe_run *run)
{
	for (unsigned int i = 0; i < 2; i++)
		if (run->held & 1U << i)
			mbe_operand_put(run->e, &run->op[i]);
	run->held = 0;
}

uint16_t mbe_validate(struct mbe *e, const struct mbe_cmd *cmd, uint32_t *detail)
{
	struct mbe_run run = { .e = e, .p = &cmd->p };
	uint16_t status = mbe_check_command(&run, false);

	mbe_run_put(&run);
	*detail = run.detail;
	return status;
}

uint16_t mbe_poison_cut(struct mbe_run *run, const struct mbe_operand *op, const uint8_t *from,
			uint64_t size, uint64_t dst_size, uint32_t detail)
{
	uint64_t first = run->e->opts.poison_first, n = run->e->opts.poison_bytes;
	uint64_t a = (uint64_t)(from - run->e->map), bytes = run->bytes / dst_size * size, bad;

	if (!n || a >= first + n || first >= a + bytes)
		return MEMBOX_ST_OK;
	bad = first > a ? first : a;
	run->bytes = (bad - a) / size * dst_size;
	run->result = bad - op->address;
	run->detail = detail;
	return MEMBOX_ST_MEDIA_ERROR;
}
