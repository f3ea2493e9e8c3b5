/* SPDX-License-Identifier: MIT */
/*
 * rings.c - publishing and taking, with the barriers that make it right. What
 * the device writes is read once; what it may not write is never read back.
 */
#include "rings.h"

#include <string.h>

void mb_rings_begin(struct mb_rings *r)
{
	r->tail = r->published = r->head = r->given = 0;
	/* one that is past: who polls is not interrupted */
	__atomic_store_n(&r->ctl->cq_event, r->head - 1, __ATOMIC_RELAXED);
}

bool mb_rings_have_room(const struct mb_rings *r)
{
	uint32_t fetched = __atomic_load_n(&r->ctl->sq_head, __ATOMIC_ACQUIRE);

	return membox_ring_used(r->tail, fetched) < 1U << r->log2;
}

/* Everything but the instruction word, then that in one piece. */
void mb_rings_put(struct mb_rings *r, const struct membox_packet *desc, uint16_t cid)
{
	struct membox_packet *slot = &r->sq[membox_ring_slot(r->tail, r->log2)];
	const struct membox_instr instr = {
		.opcode = desc->opcode,
		.phase = (uint8_t)membox_ring_phase(r->tail, r->log2),
		.cid = cid,
		.flags = desc->flags,
	};
	uint64_t word;

	memcpy(&word, &instr, sizeof(word));
	memcpy((char *)slot + sizeof(word), (const char *)desc + sizeof(word),
	       sizeof(*slot) - sizeof(word));
	__atomic_store_n((uint64_t *)(void *)slot, word, __ATOMIC_RELEASE);
	r->tail++;
}

/* Makes what was put known, and rings if the device sleeps: it says so by sq_event. */
void mb_rings_publish(struct mb_rings *r)
{
	uint32_t old = r->published;

	if (old == r->tail)
		return;
	r->published = r->tail;
	__atomic_store_n(&r->ctl->sq_tail, r->tail, __ATOMIC_RELEASE);
	/* the tail is seen before its wish is read; the device does it the other way round */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (membox_need_event(__atomic_load_n(&r->ctl->sq_event, __ATOMIC_RELAXED), r->tail, old))
		*r->doorbell = r->tail;
}

static const struct membox_completion *next(const struct mb_rings *r)
{
	const struct membox_completion *c = &r->cq[membox_ring_slot(r->head, r->log2)];
	uint32_t phase = __atomic_load_n(&c->phase, __ATOMIC_ACQUIRE);

	return (phase & 1) == membox_ring_phase(r->head, r->log2) ? c : NULL;
}

bool mb_rings_take(struct mb_rings *r, struct membox_completion *c)
{
	const struct membox_completion *at = next(r);

	if (!at)
		return false;
	*c = *at;
	r->head++;
	return true;
}

void mb_rings_give_back(struct mb_rings *r)
{
	if (r->given == r->head)
		return;
	r->given = r->head;
	__atomic_store_n(&r->ctl->cq_head, r->head, __ATOMIC_RELEASE);
}

bool mb_rings_arm(struct mb_rings *r)
{
	mb_rings_give_back(r);
	__atomic_store_n(&r->ctl->cq_event, r->head, __ATOMIC_RELAXED);
	/* the wish is seen before the look; the device posts before it reads the wish */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return next(r);
}

uint32_t mb_rings_halted(const struct mb_rings *r)
{
	return __atomic_load_n(&r->ctl->halted, __ATOMIC_RELAXED);
}
