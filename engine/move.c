// SPDX-License-Identifier: MIT
/*
 * move.c - READ, WRITE, COPY, FILL, SNAPSHOT. Each stretch runs with its stripe
 * locked (stripe.c), so what a READ takes of one stripe is of one moment.
 */
#include "exec.h"

#include <string.h>

#include "reduce.h"

static uint16_t cut_operand(struct mbe_run *run, unsigned int i)
{
	uint64_t size = membox_type_bytes(run->p->dst_type);

	return mbe_poison_cut(run, &run->op[i], i ? run->src : run->dst, size, size,
			      MEMBOX_AT(offset) + 8 * i);
}

static void stretch_read(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	mbe_host_put(&run->host, run->dst + at, bytes);
}

static void stretch_write(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	mbe_host_get(&run->host, run->dst + at, bytes);
}

void mbe_stretch_copy(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	memcpy(run->dst + at, run->src + at, bytes);
}

void mbe_stretch_fill(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	uint32_t size = membox_type_bytes(run->p->dst_type);

	mbe_fill(run->dst + at, size, run->p->word.value, bytes / size);
}

static void count_read(struct mbe_run *run, uint64_t bytes)
{
	mbe_count(run->e, MEMBOX_CTR_FROM_DEVICE, bytes);
	mbe_count(run->e, MEMBOX_CTR_COMMON_READ, bytes);
}

uint16_t mbe_op_read(struct mbe_run *run)
{
	uint16_t media = cut_operand(run, 0), status;

	run->version = MBE_LOAD(&run->op[0].ver->finished);
	run->host.stream = run->bytes >= MBE_STREAM_BYTES;
	status = mbe_stripes(run, stretch_read);
	count_read(run, run->done);
	return status ? status : media;
}

/* What is journalled was read just before it is overwritten: it is in the cache anyhow. */
uint16_t mbe_op_write(struct mbe_run *run)
{
	uint16_t media = cut_operand(run, 0), status;

	run->host.stream = run->bytes >= MBE_STREAM_BYTES &&
			   run->op[0].attrs & MEMBOX_PARAM_NOJOURNAL;
	status = mbe_change(run, stretch_write);
	mbe_count(run->e, MEMBOX_CTR_TO_DEVICE, run->done);
	mbe_count(run->e, MEMBOX_CTR_COMMON_WRITE, run->done);
	return status ? status : media;
}

uint16_t mbe_op_copy(struct mbe_run *run)
{
	uint16_t media = cut_operand(run, 0), status;

	if (cut_operand(run, 1))
		media = MEMBOX_ST_MEDIA_ERROR;
	status = mbe_change(run, mbe_stretch_copy);
	mbe_count(run->e, MEMBOX_CTR_COMMON_READ, run->done);
	mbe_count(run->e, MEMBOX_CTR_COMMON_WRITE, run->done);
	return status ? status : media;
}

uint16_t mbe_op_fill(struct mbe_run *run)
{
	uint16_t media = cut_operand(run, 0), status;

	status = mbe_change(run, mbe_stretch_fill);
	mbe_count(run->e, MEMBOX_CTR_COMMON_WRITE, run->done);
	return status ? status : media;
}

/* One try; AGAIN when somebody wrote meanwhile. */
static uint16_t try_snapshot(struct mbe_run *run)
{
	struct membox_fmt_version *ver = run->op[0].ver;
	uint64_t finished = MBE_LOAD(&ver->finished), begun = MBE_LOAD(&ver->begun);
	uint16_t status;

	run->version = finished;
	if (begun != finished)
		return MEMBOX_ST_AGAIN;
	status = mbe_stripes(run, stretch_read);
	count_read(run, run->done);
	if (status)
		return status;
	return MBE_LOAD(&ver->begun) == begun ? MEMBOX_ST_OK : MEMBOX_ST_AGAIN;
}

/*
 * A try: nobody may have written from before the first stripe to after the last.
 * Between two tries it is parked. What a crash tore has no version that it could be
 * consistent with: TORN.
 */
uint16_t mbe_op_snapshot(struct mbe_run *run)
{
	uint32_t us = run->p->timeout_us ? run->p->timeout_us : MEMBOX_DEFAULT_TIMEOUT_US;
	uint16_t media = cut_operand(run, 0), status;

	if (MBE_LOAD(&run->op[0].ver->torn))
		return MEMBOX_ST_TORN;
	status = try_snapshot(run);
	if (status != MEMBOX_ST_AGAIN)
		return status ? status : media;
	run->done = 0;
	if (!run->cmd->until)
		run->cmd->until = mbe_deadline(run->e, us * 1000ULL);
	return mbe_run_later(run);
}
