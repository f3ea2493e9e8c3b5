// SPDX-License-Identifier: MIT
/*
 * compute.c - ACC, SCALE, AXPBY: the destination exclusively, stripe by stripe.
 * mbe_execute() has entered the rounding environment.
 */
#include "exec.h"

#include "reduce.h"

#define BOUNCE_BYTES 4096

/* Elements of one stretch from host memory, in as many pieces as it lies in. */
static void acc_from_host(struct mbe_run *run, uint8_t *dst, uint64_t n)
{
	const struct membox_packet *p = run->p;
	uint64_t dsize = membox_type_bytes(p->dst_type), ssize = membox_type_bytes(p->src_type);
	uint8_t bounce[BOUNCE_BYTES] __attribute__((aligned(8)));

	while (n) {
		uint8_t *piece;
		uint64_t m = mbe_host_piece(&run->host, n * ssize, &piece) / ssize;

		if (m && !((uintptr_t)piece % ssize)) {
			mbe_host_advance(&run->host, m * ssize);
		} else {
			/* an element in two pieces, or pieces that are not aligned */
			m = n * ssize < BOUNCE_BYTES ? n : BOUNCE_BYTES / ssize;
			mbe_host_get(&run->host, bounce, m * ssize);
			piece = bounce;
		}
		mbe_acc(p->dst_type, p->src_type, p->reduction, dst, piece, m, p->scale.a);
		dst += m * dsize;
		n -= m;
	}
}

void mbe_stretch_acc(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	const struct membox_packet *p = run->p;
	uint64_t dsize = membox_type_bytes(p->dst_type), ssize = membox_type_bytes(p->src_type);

	if (!run->src)
		acc_from_host(run, run->dst + at, bytes / dsize);
	else
		mbe_acc(p->dst_type, p->src_type, p->reduction, run->dst + at,
			run->src + at / dsize * ssize, bytes / dsize, p->scale.a);
}

void mbe_stretch_scale(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	uint8_t type = run->p->dst_type;

	mbe_scale(type, run->dst + at, bytes / membox_type_bytes(type), run->p->scale.a);
}

void mbe_stretch_axpby(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	const struct membox_packet *p = run->p;
	uint64_t dsize = membox_type_bytes(p->dst_type), ssize = membox_type_bytes(p->src_type);

	mbe_axpby(p->dst_type, p->src_type, run->dst + at, run->src + at / dsize * ssize,
		  bytes / dsize, p->scale.a, p->scale.b);
}

/* Reads and writes the destination; the source is common memory, host memory or none. */
static uint16_t compute(struct mbe_run *run, mbe_stretch_fn *fn)
{
	const struct membox_packet *p = run->p;
	uint64_t dsize = membox_type_bytes(p->dst_type), ssize = membox_type_bytes(p->src_type);
	uint16_t media, status;

	media = mbe_poison_cut(run, &run->op[0], run->dst, dsize, dsize, MEMBOX_AT(offset));
	if (run->src && mbe_poison_cut(run, &run->op[1], run->src, ssize, dsize,
				       MEMBOX_AT(offset) + 8))
		media = MEMBOX_ST_MEDIA_ERROR;
	status = mbe_change(run, fn);
	mbe_count(run->e, MEMBOX_CTR_COMMON_READ,
		  run->done + (run->src ? run->done / dsize * ssize : 0));
	mbe_count(run->e, MEMBOX_CTR_COMMON_WRITE, run->done);
	return status ? status : media;
}

uint16_t mbe_op_acc(struct mbe_run *run)
{
	const struct membox_packet *p = run->p;
	uint16_t status = compute(run, mbe_stretch_acc);

	if (!run->src)
		mbe_count(run->e, MEMBOX_CTR_TO_DEVICE,
			  run->done / membox_type_bytes(p->dst_type) * membox_type_bytes(p->src_type));
	return status;
}

uint16_t mbe_op_scale(struct mbe_run *run)
{
	return compute(run, mbe_stretch_scale);
}

uint16_t mbe_op_axpby(struct mbe_run *run)
{
	return compute(run, mbe_stretch_axpby);
}

mbe_stretch_fn *mbe_forward_fn(const struct membox_packet *p)
{
	switch (p->opcode) {
	case MEMBOX_OP_COPY:
		return mbe_stretch_copy;
	case MEMBOX_OP_FILL:
		return mbe_stretch_fill;
	case MEMBOX_OP_ACC:
		return p->handle[1] ? mbe_stretch_acc : NULL;
	case MEMBOX_OP_SCALE:
		return mbe_stretch_scale;
	case MEMBOX_OP_AXPBY:
		return mbe_stretch_axpby;
	default:
		return NULL;
	}
}
