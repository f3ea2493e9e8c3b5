// SPDX-License-Identifier: MIT
/*
 * wsum.c - WSUM: the weighted sum of a list of ranges overwrites the destination,
 * folded in list order whether or not ORDERED asks for it. The list is read from
 * host memory once; what was checked is what is used.
 */
#include "exec.h"

#include "reduce.h"

struct terms {
	struct membox_term list[MEMBOX_MAX_TERMS];
	struct mbe_operand op[MEMBOX_MAX_TERMS];
	struct mbe_source source[MEMBOX_MAX_TERMS];
	unsigned int held;
};

static bool term_usable(struct mbe_run *run, struct terms *t, unsigned int i)
{
	const struct membox_packet *p = run->p;
	const struct membox_term *term = &t->list[i];
	uint64_t size = membox_type_bytes(p->src_type);

	if (term->rsvd || (membox_type_is_int(p->dst_type) && !membox_scalar_is_whole(term->a)))
		return false;
	if (mbe_operand_get(run->e, p->context, term->handle, &t->op[i]))
		return false;
	t->held = i + 1;
	if (mbe_check_operand(run->e, &t->op[i], p->src_type, false, MEMBOX_WIN_READ,
			      term->offset, p->count))
		return false;
	t->source[i].data = t->op[i].data + term->offset * size;
	t->source[i].a = term->a;
	return true;
}

static uint16_t check_terms(struct mbe_run *run, struct terms *t)
{
	const struct membox_packet *p = run->p;
	uint64_t bytes = p->count * membox_type_bytes(p->src_type);
	unsigned int i;

	run->detail = MEMBOX_AT(host.addr);
	for (i = 0; i < p->list.nterms; i++) {
		run->result = i;
		if (!term_usable(run, t, i))
			return MEMBOX_ST_BAD_TERM;
	}
	for (i = 0; i < p->list.nterms; i++) {
		uint64_t at = (uint64_t)((const uint8_t *)t->source[i].data - run->e->map);

		run->result = i;
		if (mbe_ranges_cross((uint64_t)(run->dst - run->e->map), run->bytes, at, bytes))
			return MEMBOX_ST_OVERLAP;
	}
	run->detail = 0;
	run->result = 0;
	return MEMBOX_ST_OK;
}

static void stretch_wsum(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	const struct membox_packet *p = run->p;
	uint64_t size = membox_type_bytes(p->dst_type);

	mbe_wsum(p->dst_type, p->src_type, run->dst + at, run->terms, p->list.nterms, at / size,
		 bytes / size);
}

static uint16_t sum(struct mbe_run *run, struct terms *t)
{
	const struct membox_packet *p = run->p;
	uint64_t dsize = membox_type_bytes(p->dst_type), ssize = membox_type_bytes(p->src_type);
	uint16_t media, status;

	media = mbe_poison_cut(run, &run->op[0], run->dst, dsize, dsize, MEMBOX_AT(offset));
	for (unsigned int i = 0; i < p->list.nterms; i++)
		if (mbe_poison_cut(run, &t->op[i], t->source[i].data, ssize, dsize,
				   MEMBOX_AT(host.addr)))
			media = MEMBOX_ST_MEDIA_ERROR;
	run->terms = t->source;
	status = mbe_change(run, stretch_wsum);
	mbe_count(run->e, MEMBOX_CTR_COMMON_READ, run->done / dsize * ssize * p->list.nterms);
	mbe_count(run->e, MEMBOX_CTR_COMMON_WRITE, run->done);
	return status ? status : media;
}

uint16_t mbe_op_wsum(struct mbe_run *run)
{
	size_t bytes = run->p->list.nterms * sizeof(struct membox_term);
	struct terms t;
	uint16_t status;

	t.held = 0;
	mbe_host_get(&run->host, t.list, bytes);
	mbe_count(run->e, MEMBOX_CTR_CONTROL, bytes);
	status = check_terms(run, &t);
	if (!status)
		status = sum(run, &t);
	while (t.held)
		mbe_operand_put(run->e, &t.op[--t.held]);
	return status;
}
