/* SPDX-License-Identifier: MIT */
/*
 * fallback.c - computing for a box that cannot: the parameter is locked in the
 * box, read, changed here with the engine's own arithmetic, and written back,
 * so that no update is lost and the bits are those that the box would have made.
 *
 * param->rmw keeps the threads of this process apart, the parameter's lock in
 * the box keeps processes and machines apart; the box takes it from the dead.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "reduce.h"
#include "types.h"

#define CHUNK_BYTES ((uint64_t)256 << 10)
#define CHUNK_BYTES_LIST ((uint64_t)32 << 10) /* of each of many terms */
#define MANY_TERMS 16
#define LOCK_TIMEOUT_NS 60000000000LL

bool mb_needs_fallback(const struct membox *box, const struct membox_op *op)
{
	if (op->raw)
		return false;
	switch (op->opcode) {
	case MEMBOX_OP_ACC:
		return !(box->caps & MEMBOX_CAP_ACC);
	case MEMBOX_OP_SCALE:
	case MEMBOX_OP_AXPBY:
	case MEMBOX_OP_WSUM:
		return !(box->caps & MEMBOX_CAP_VECTOR);
	default:
		return false;
	}
}

/* ---- the checks that the box would make, before anything is changed ---- */

static int refuse(struct membox_done *done, int status, uint32_t detail)
{
	done->status = (uint32_t)status;
	done->detail = detail;
	return status;
}

/* Shape, host memory, operands: the order of MEMBOX_STATUSES. */
static int check(struct membox *box, struct mb_flight *f, const struct membox_op *op,
		 struct membox_done *done)
{
	unsigned int i;
	uint32_t detail = 0;
	int status;

	for (i = 0; i < f->parts; i++) {
		status = membox_check_packet(&mb_flight_part(f, i)->packet, ~0ULL,
					     MEMBOX_MAX_BYTES, &detail);
		if (status)
			return refuse(done, status, detail);
	}
	status = mb_refusal(box, op, &detail);
	return status ? refuse(done, status, detail) : 0;
}

/* ---- the lock ---- */

static int lock(struct membox_param *param, struct membox_done *done)
{
	int ret;

	pthread_mutex_lock(&param->rmw);
	ret = mb_param_lock(param, mb_now() + LOCK_TIMEOUT_NS);
	if (!ret)
		return 0;
	pthread_mutex_unlock(&param->rmw);
	if (ret > 0)
		return refuse(done, ret, MEMBOX_AT(handle));
	return ret;
}

static void unlock(struct membox_param *param)
{
	mb_param_unlock(param);
	pthread_mutex_unlock(&param->rmw);
}

/* ---- the work ---- */

struct work {
	struct membox *box;
	const struct membox_op *op;
	struct membox_done *done;
	uint8_t dt, st;		/* types of destination and sources */
	uint64_t chunk;		/* elements */
	unsigned int nsources;	/* that are read from the box */
	char *to, *from;	/* chunk elements of dt; nsources times chunk of st */
};

static int transfer(struct work *w, uint8_t opcode, struct membox_param *param, uint64_t first,
		    uint64_t n, void *mem)
{
	struct membox_done d;
	struct membox_op op;
	int ret;

	membox_prep_read(&op, param, first, n, mem);
	op.opcode = opcode;
	memset(&d, 0, sizeof(d));
	ret = mb_run(w->box, &op, false, &d);
	if (!w->done->start)
		w->done->start = d.start;
	w->done->end = d.end;
	w->done->version = d.version;
	if (!ret)
		return 0;
	return d.status ? refuse(w->done, (int)d.status, d.detail) : ret;
}

static char *source(const struct work *w, unsigned int i)
{
	return w->from + i * w->chunk * membox_type_bytes(w->st);
}

static int gather(struct work *w, uint64_t at, uint64_t n)
{
	const struct membox_op *op = w->op;
	unsigned int i;
	int ret = 0;

	if (op->opcode != MEMBOX_OP_WSUM)
		ret = transfer(w, MEMBOX_OP_READ, op->param, op->first + at, n, w->to);
	if (!ret && op->from)
		ret = transfer(w, MEMBOX_OP_READ, op->from, op->from_first + at, n, w->from);
	for (i = 0; !ret && op->opcode == MEMBOX_OP_WSUM && i < op->nterms; i++)
		ret = transfer(w, MEMBOX_OP_READ, op->mem.terms[i].param,
			       op->mem.terms[i].first + at, n, source(w, i));
	return ret;
}

static void compute(struct work *w, uint64_t at, uint64_t n)
{
	const struct membox_op *op = w->op;
	const void *from = op->from ? w->from :
			   (const char *)op->mem.source + at * membox_type_bytes(w->st);
	struct mbe_source terms[MEMBOX_MAX_TERMS];
	struct mbe_fp fp;
	unsigned int i;

	mbe_fp_enter(&fp);
	switch (op->opcode) {
	case MEMBOX_OP_ACC:
		mbe_acc(w->dt, w->st, op->reduction, w->to, from, n, mbe_bits64_of(op->a));
		break;
	case MEMBOX_OP_SCALE:
		mbe_scale(w->dt, w->to, n, mbe_bits64_of(op->a));
		break;
	case MEMBOX_OP_AXPBY:
		mbe_axpby(w->dt, w->st, w->to, from, n, mbe_bits64_of(op->a),
			  mbe_bits64_of(op->b));
		break;
	default:
		for (i = 0; i < op->nterms; i++)
			terms[i] = (struct mbe_source){ source(w, i),
							mbe_bits64_of(op->mem.terms[i].a) };
		mbe_wsum(w->dt, w->st, w->to, terms, op->nterms, 0, n);
	}
	mbe_fp_leave(&fp);
}

static int run_locked(struct work *w)
{
	const struct membox_op *op = w->op;
	uint64_t at, n;
	int ret;

	for (at = 0; at < op->count; at += n) {
		n = op->count - at < w->chunk ? op->count - at : w->chunk;
		ret = gather(w, at, n);
		if (ret)
			return ret;
		compute(w, at, n);
		ret = transfer(w, MEMBOX_OP_WRITE, op->param, op->first + at, n, w->to);
		if (ret)
			return ret;
		w->done->bytes += n * membox_type_bytes(w->dt);
	}
	return 0;
}

static int allocate(struct work *w)
{
	const struct membox_op *op = w->op;
	uint64_t bytes = CHUNK_BYTES;

	w->dt = op->param->type;
	w->nsources = op->from ? 1 : 0;
	if (op->opcode == MEMBOX_OP_WSUM)
		w->nsources = op->nterms;
	if (w->nsources > MANY_TERMS)
		bytes = CHUNK_BYTES_LIST;
	w->chunk = bytes / 8;
	w->to = malloc(w->chunk * 8);
	w->from = malloc(w->chunk * 8 * (w->nsources ? w->nsources : 1));
	if (w->to && w->from)
		return 0;
	free(w->to);
	free(w->from);
	return mb_fail(-ENOMEM, "%s of '%s': no memory to do what the box cannot",
		       mb_op_name(op->opcode), op->param->name);
}

/* 0; a status, which done has too; or -errno. f holds the operation's packets. */
static int fallback(struct membox *box, struct mb_flight *f, const struct membox_op *op,
		    struct membox_done *done)
{
	struct work w = { .box = box, .op = op, .done = done };
	int ret;

	ret = check(box, f, op, done);
	if (ret)
		return ret;
	ret = allocate(&w);
	if (ret)
		return ret;
	w.st = mb_flight_part(f, 0)->packet.src_type;
	ret = lock(op->param, done);
	if (!ret) {
		ret = run_locked(&w);
		unlock(op->param);
	}
	free(w.to);
	free(w.from);
	return ret;
}

int mb_fallback(struct membox *box, struct mb_flight *f, const struct membox_op *op,
		struct membox_done *done)
{
	int ret;

	memset(done, 0, sizeof(*done));
	done->user_data = op->user_data;
	ret = fallback(box, f, op, done);
	done->error = -membox_status_errno(done->status);
	return done->status ? 0 : ret;
}
