/* SPDX-License-Identifier: MIT */
/*
 * flight.c - from an operation to packets and back: what is longer than the
 * box's limit becomes several packets, whose completions become one answer.
 * Owns the pool of lanes for calls that wait (box->lanes, its lock).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static uint64_t bits(double a)
{
	uint64_t b;

	memcpy(&b, &a, sizeof(b));
	return b;
}

struct mb_req *mb_flight_part(struct mb_flight *f, unsigned int i)
{
	return f->parts == 1 ? &f->one : &f->many[i];
}

/* ---- operation to packets ---- */

static int check_param(const struct membox *box, const struct membox_param *param, uint8_t opcode)
{
	if (!param)
		return mb_fail(-EINVAL, "%s: no parameter given", mb_op_name(opcode));
	if (param->box != box)
		return mb_fail(-EINVAL,
			       "%s: parameter '%s' was opened in another box (%s, not %s)",
			       mb_op_name(opcode), param->name, param->box->uri, box->uri);
	return 0;
}

static int check_op(const struct membox *box, const struct membox_op *op)
{
	unsigned int i;
	int ret;

	if (op->raw) {
		if (op->opcode == MEMBOX_OP_CANCEL)
			return mb_fail(-EINVAL, "CANCEL is not sent: use membox_cancel");
		return 0;
	}
	if (op->opcode == MEMBOX_OP_FENCE)
		return 0;
	if (mb_is_coll(op->opcode))
		return mb_coll_check(box, op);
	ret = check_param(box, op->param, op->opcode);
	if (ret)
		return ret;
	if (op->opcode == MEMBOX_OP_COPY || op->opcode == MEMBOX_OP_AXPBY || op->from) {
		ret = check_param(box, op->from, op->opcode);
		if (ret)
			return ret;
	}
	if (op->opcode != MEMBOX_OP_WSUM)
		return 0;
	if (!op->nterms || op->nterms > MEMBOX_MAX_TERMS || !op->mem.terms)
		return mb_fail(op->nterms > MEMBOX_MAX_TERMS ? -EMSGSIZE : -EINVAL,
			       "WSUM into '%s' of %u terms: 1 to %u can be summed at once",
			       op->param->name, op->nterms, MEMBOX_MAX_TERMS);
	for (i = 0; i < op->nterms; i++) {
		ret = check_param(box, op->mem.terms[i].param, op->opcode);
		if (ret)
			return ret;
	}
	return 0;
}

/* Type of what is read, where there is such a thing besides the parameter's own. */
static uint8_t source_type(const struct membox_op *op)
{
	switch (op->opcode) {
	case MEMBOX_OP_ACC:
		return op->from ? op->from->type : op->type ? op->type : op->param->type;
	case MEMBOX_OP_COPY:
	case MEMBOX_OP_AXPBY:
		return op->from->type;
	case MEMBOX_OP_WSUM:
		return op->mem.terms[0].param->type;
	default:
		return 0;
	}
}

/* How many elements a packet may have: as many as fit in max_bytes. */
static uint64_t part_elements(const struct membox *box, const struct membox_op *op)
{
	uint32_t widest, source;

	if (op->raw || op->opcode == MEMBOX_OP_FENCE)
		return UINT64_MAX;
	if (mb_is_coll(op->opcode))
		return mb_coll_part(box, op);
	widest = membox_type_bytes(op->param->type);
	source = membox_type_bytes(source_type(op));
	if (source > widest)
		widest = source;
	return box->max_bytes / (widest ? widest : 1);
}

static void encode_terms(struct membox_packet *p, const struct membox_op *op,
			 struct membox_term *terms, uint64_t done)
{
	unsigned int i;

	for (i = 0; i < op->nterms; i++) {
		terms[i].handle = op->mem.terms[i].param->handle;
		terms[i].rsvd = 0;
		terms[i].offset = op->mem.terms[i].first + done;
		terms[i].a = bits(op->mem.terms[i].a);
	}
	p->flags |= MEMBOX_F_ORDERED;
	p->list.nterms = op->nterms;
	p->host.addr = (uintptr_t)terms;
}

/* The packet for `count` elements, `done` elements after the operation's first. */
static void encode(struct membox_packet *p, const struct membox_op *op,
		   struct membox_term *terms, uint64_t done, uint64_t count)
{
	memset(p, 0, sizeof(*p));
	p->opcode = op->opcode;
	p->flags = (uint16_t)op->flags;
	if (op->opcode == MEMBOX_OP_FENCE)
		return;
	if (mb_is_coll(op->opcode)) {
		mb_coll_encode(p, op, done, count);
		return;
	}
	p->dst_type = op->param->type;
	p->src_type = source_type(op);
	p->handle[0] = op->param->handle;
	p->offset[0] = op->first + done;
	p->count = count;
	switch (op->opcode) {
	case MEMBOX_OP_SNAPSHOT:
		p->timeout_us = mb_timeout_us(op->timeout);
		/* fall through */
	case MEMBOX_OP_READ:
	case MEMBOX_OP_WRITE:
		p->host.addr = (uintptr_t)op->mem.source +
			       done * membox_type_bytes(op->param->type);
		break;
	case MEMBOX_OP_COPY:
		p->handle[1] = op->from->handle;
		p->offset[1] = op->from_first + done;
		break;
	case MEMBOX_OP_FILL:
		p->word.value = op->value;
		break;
	case MEMBOX_OP_ACC:
		p->reduction = op->reduction;
		p->scale.a = bits(op->a);
		if (op->from) {
			p->handle[1] = op->from->handle;
			p->offset[1] = op->from_first + done;
		} else {
			p->host.addr = (uintptr_t)op->mem.source +
				       done * membox_type_bytes(p->src_type);
		}
		break;
	case MEMBOX_OP_SCALE:
		p->scale.a = bits(op->a);
		break;
	case MEMBOX_OP_AXPBY:
		p->handle[1] = op->from->handle;
		p->offset[1] = op->from_first + done;
		p->scale.a = bits(op->a);
		p->scale.b = bits(op->b);
		break;
	case MEMBOX_OP_WSUM:
		encode_terms(p, op, terms, done);
		break;
	case MEMBOX_OP_ATOMIC:
		p->count = 0;
		p->sub = op->sub;
		p->word.value = op->value;
		p->word.compare = op->compare;
		break;
	case MEMBOX_OP_WAIT:
		p->dst_type = op->count ? op->param->type : 0;
		p->count = 0;
		p->sub = op->sub;
		p->word.value = op->value;
		p->timeout_us = mb_timeout_us(op->timeout);
		break;
	case MEMBOX_OP_NOTIFY:
		p->dst_type = 0;
		p->count = 0;
		break;
	default: /* COMMIT has no more, what is unknown the box refuses */
		break;
	}
}

static int allocate(struct mb_flight *f, const struct membox_op *op)
{
	uint64_t nterms = op->opcode == MEMBOX_OP_WSUM && !op->raw ? op->nterms : 0;

	f->many = NULL;
	f->terms = f->few;
	if (f->parts > 1) {
		f->many = calloc(f->parts, sizeof(*f->many));
		if (!f->many)
			return mb_fail(-ENOMEM, "%s: no memory for %u parts",
				       mb_op_name(op->opcode), f->parts);
	}
	if (nterms * f->parts > MB_FEW_TERMS) {
		f->terms = calloc(nterms * f->parts, sizeof(*f->terms));
		if (!f->terms) {
			free(f->many);
			return mb_fail(-ENOMEM, "WSUM into '%s': no memory for %u terms",
				       op->param->name, op->nterms);
		}
	}
	return 0;
}

/* What the box can, but its opener did not want, and nothing here does instead. */
static bool is_switched_off(const struct membox *box, const struct membox_op *op)
{
	struct membox_op_info info;

	return !op->raw && membox_op_lookup(op->opcode, &info) && (info.cap & box->caps_off) &&
	       !mb_needs_fallback(box, op);
}

int mb_flight_prepare(struct mb_flight *f, struct membox *box, const struct membox_op *op)
{
	uint64_t each, parts = 1, done = 0;
	unsigned int i;
	int ret = check_op(box, op);

	if (ret)
		return ret;
	each = part_elements(box, op);
	if (op->count > each)
		parts = op->count / each + (op->count % each ? 1 : 0);
	if (parts > 1 && op->opcode == MEMBOX_OP_SNAPSHOT)
		return mb_fail_status(MEMBOX_ST_TOO_LONG,
				      "SNAPSHOT of '%s' in a channel (membox_snapshot can)",
				      op->param->name);
	f->refusal = MEMBOX_ST_OK;
	f->refusal_detail = 0;
	if (is_switched_off(box, op))
		f->refusal = MEMBOX_ST_UNSUPPORTED;
	else if (parts > 1 && !mb_is_coll(op->opcode))
		f->refusal = mb_refusal(box, op, &f->refusal_detail);
	if (f->refusal) {
		parts = 1;
		each = UINT64_MAX;
	}
	f->user_data = op->user_data;
	f->param = op->raw ? NULL : op->param;
	f->group = op->raw ? NULL : op->group;
	f->opcode = op->opcode;
	f->parts = (uint32_t)parts;
	ret = allocate(f, op);
	if (ret)
		return ret;
	for (i = 0; i < f->parts; i++) {
		struct mb_req *req = mb_flight_part(f, i);
		uint64_t left = op->count - done;

		req->flight = f;
		if (op->raw) {
			req->packet = *op->mem.packet;
			continue;
		}
		encode(&req->packet, op, f->terms + (uint64_t)i * op->nterms, done,
		       left < each ? left : each);
		done += each;
	}
	atomic_store_explicit(&f->left, f->parts, memory_order_relaxed);
	atomic_store_explicit(&f->done, false, memory_order_relaxed);
	return 0;
}

void mb_flight_hold(struct mb_flight *f)
{
	if (f->param)
		mb_param_hold(f->param);
	if (f->group)
		mb_group_hold(f->group);
}

void mb_flight_drop(struct mb_flight *f)
{
	if (f->param)
		mb_param_drop(f->param);
	if (f->group)
		mb_group_drop(f->group);
}

int mb_flight_fail(struct mb_flight *f)
{
	const struct membox_packet *packet = &mb_flight_part(f, f->failed)->packet;

	return f->group ? mb_coll_fail(f->group, packet, &f->result) :
			  mb_packet_fail(f->param, f->opcode, packet, &f->result);
}

void mb_flight_release(struct mb_flight *f)
{
	if (f->terms != f->few)
		free(f->terms);
	free(f->many);
	f->many = NULL;
	f->terms = f->few;
}

/* ---- completions to an answer ---- */

static void answer_one(struct membox_done *r, const struct membox_completion *c,
		       uint64_t user_data)
{
	r->user_data = user_data;
	r->error = c->status ? -membox_status_errno(c->status) : 0;
	r->status = c->status;
	r->bytes = c->bytes;
	r->result = c->result;
	r->version = c->version;
	r->start = c->start;
	r->end = c->end;
	r->detail = c->status ? c->detail : 0;
	r->reserved = 0;
}

static bool version_is_before(uint8_t opcode)
{
	return opcode == MEMBOX_OP_READ || opcode == MEMBOX_OP_SNAPSHOT;
}

/* The first part that failed speaks for all; bytes are those before it and its own. */
void mb_flight_finish(struct mb_flight *f)
{
	struct membox_done *r = &f->result;
	uint64_t before = 0;
	unsigned int i;

	f->failed = 0;
	if (f->parts == 1 && !f->group) {
		answer_one(r, &f->one.c, f->user_data);
		return;
	}
	memset(r, 0, sizeof(*r));
	r->user_data = f->user_data;
	for (i = 0; i < f->parts; i++) {
		const struct membox_completion *c = &mb_flight_part(f, i)->c;

		if (!i || c->start < r->start)
			r->start = c->start;
		if (c->end > r->end)
			r->end = c->end;
		if (f->group)
			mb_coll_settle(f->group, mb_flight_part(f, i));
		if (r->status)
			continue;
		if (!i || (!version_is_before(f->opcode) && c->version > r->version))
			r->version = c->version;
		r->result = c->result;
		r->bytes = before + c->bytes;
		if (c->status) {
			r->status = c->status;
			r->detail = c->detail;
			f->failed = i;
		}
		before = r->bytes;
	}
	r->error = -membox_status_errno(r->status);
}

void mb_req_done(struct mb_req *req)
{
	struct mb_flight *f = req->flight;

	if (atomic_fetch_sub_explicit(&f->left, 1, memory_order_acq_rel) != 1)
		return;
	mb_flight_finish(f);
	if (f->chan)
		mb_chan_done(f);
	else /* the last touch: f may be on the stack of who waits */
		atomic_store_explicit(&f->done, true, memory_order_release);
}

/* ---- sending ---- */

#define BATCH 64

/*
 * 0: all parts were sent or have ended. -errno: none was. What could not be
 * sent after others were ends as GONE.
 */
int mb_flight_send(struct membox *box, struct mb_lane *lane, struct mb_flight *f,
		   const struct mb_wait *wait)
{
	struct mb_req *batch[BATCH];
	unsigned int sent = 0, parts = f->parts, n, i;
	int ret;

	if (f->refusal) {
		memset(&f->one.c, 0, sizeof(f->one.c));
		f->one.c.status = (uint16_t)f->refusal;
		f->one.c.detail = f->refusal_detail;
		mb_req_done(&f->one);
		return 0;
	}
	while (sent < parts) {
		n = parts - sent < BATCH ? parts - sent : BATCH;
		for (i = 0; i < n; i++)
			batch[i] = mb_flight_part(f, sent + i);
		ret = box->be->submit(box, lane, batch, n, sent + n == parts ? wait : NULL);
		if (ret < 0) {
			if (!sent)
				return ret;
			for (; sent < parts; sent++) {
				struct mb_req *req = mb_flight_part(f, sent);

				memset(&req->c, 0, sizeof(req->c));
				req->c.status = MEMBOX_ST_GONE;
				mb_req_done(req);
			}
			return 0;
		}
		sent += (unsigned int)ret;
	}
	return 0;
}

static struct mb_pooled_lane *lane_take(struct membox *box)
{
	struct mb_pooled_lane *l;
	int ret;

	pthread_mutex_lock(&box->lanes_lock);
	l = box->lanes;
	if (l)
		box->lanes = l->next;
	pthread_mutex_unlock(&box->lanes_lock);
	if (l)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l) {
		mb_fail(-ENOMEM, "no memory for a queue in box %s", box->uri);
		return NULL;
	}
	ret = box->be->lane_open(box, &l->lane);
	if (ret) {
		mb_fail(ret, "cannot make a queue in box %s: %s", box->uri, strerror(-ret));
		free(l);
		return NULL;
	}
	return l;
}

static void lane_give(struct membox *box, struct mb_pooled_lane *l)
{
	pthread_mutex_lock(&box->lanes_lock);
	l->next = box->lanes;
	box->lanes = l;
	pthread_mutex_unlock(&box->lanes_lock);
}

static bool flight_is_done(void *arg)
{
	struct mb_flight *f = arg;

	return atomic_load_explicit(&f->done, memory_order_acquire);
}

static int run_flight(struct membox *box, struct mb_flight *f)
{
	struct mb_wait wait = { flight_is_done, f, UINT64_MAX };
	struct mb_pooled_lane *lane = lane_take(box);
	int ret;

	if (!lane)
		return -ENOMEM;
	ret = mb_flight_send(box, &lane->lane, f, &wait);
	if (ret)
		mb_fail(ret, "%s in box %s: %s", mb_op_name(f->opcode), box->uri, strerror(-ret));
	else if (!flight_is_done(f))
		box->be->wait(box, &wait);
	lane_give(box, lane);
	return ret;
}

bool mb_flight_now(struct membox *box, struct mb_flight *f, uint64_t start)
{
	if (!box->be->now || !box->be->now(box, &f->one, f->user_data, start))
		return false;
	f->failed = 0;
	answer_one(&f->result, &f->one.c, f->user_data);
	return true;
}

/*
 * The short way of a small operation: one packet, no flight, no lane. False: nothing
 * was done, and the long way finds out why.
 */
static bool run_now(struct membox *box, const struct membox_op *op, bool timed,
		    struct membox_done *done)
{
	struct mb_req req;

	if (!box->be->now || op->raw || box->caps_off ||
	    !mbe_is_small(op->opcode, op->flags, op->count) || check_op(box, op))
		return false;
	encode(&req.packet, op, NULL, 0, op->count);
	if (!box->be->now(box, &req, op->user_data, timed ? 0 : MBE_UNTIMED))
		return false;
	answer_one(done, &req.c, op->user_data);
	return true;
}

int mb_run(struct membox *box, const struct membox_op *op, bool timed, struct membox_done *done)
{
	struct mb_flight f;
	int ret;

	if (run_now(box, op, timed, done))
		return 0; /* what is refused goes the long way */
	f.chan = NULL;
	f.failed = 0;
	ret = mb_flight_prepare(&f, box, op);
	if (ret)
		return ret;
	if (mb_needs_fallback(box, op))
		ret = mb_fallback(box, &f, op, &f.result);
	else
		ret = run_flight(box, &f);
	if (!ret) {
		*done = f.result;
		if (f.result.status)
			ret = mb_flight_fail(&f);
	}
	mb_flight_release(&f);
	return ret;
}

MB_EXPORT int membox_run(struct membox *box, const struct membox_op *op,
			 struct membox_done *done)
{
	struct membox_done unused;
	int ret = mb_check(box);

	return ret ? ret : mb_run(box, op, done != NULL, done ? done : &unused);
}
