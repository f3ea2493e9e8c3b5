// SPDX-License-Identifier: GPL-2.0-only
/*
 * ring.c - submission and completion rings in coherent memory.
 *
 *	tail >= published >= ctl->sq_head		(device fetches up to published)
 *	tail - ctl->sq_head <= entries
 *	head == ctl->cq_head after membox_ring_give_back()
 *
 * All indices count freely in 32 bits. The device writes sq_head, sq_event and
 * the completions; nothing of what it writes is used before it was checked.
 */
#include <linux/dma-mapping.h>
#include <linux/string.h>

#include "ring.h"

static size_t sq_bytes(u8 log2)
{
	return sizeof(struct membox_packet) << log2;
}

static size_t cq_bytes(u8 log2)
{
	return sizeof(struct membox_completion) << log2;
}

int membox_ring_alloc(struct device *dev, struct membox_ring *ring, u8 log2)
{
	ring->log2 = log2;
	ring->sq = dma_alloc_coherent(dev, sq_bytes(log2), &ring->sq_dma, GFP_KERNEL);
	if (!ring->sq)
		return -ENOMEM;
	ring->cq = dma_alloc_coherent(dev, cq_bytes(log2), &ring->cq_dma, GFP_KERNEL);
	if (!ring->cq)
		goto free_sq;
	ring->ctl = dma_alloc_coherent(dev, sizeof(*ring->ctl), &ring->ctl_dma, GFP_KERNEL);
	if (!ring->ctl)
		goto free_cq;
	membox_ring_restart(ring);
	return 0;

free_cq:
	dma_free_coherent(dev, cq_bytes(log2), ring->cq, ring->cq_dma);
free_sq:
	dma_free_coherent(dev, sq_bytes(log2), ring->sq, ring->sq_dma);
	ring->sq = NULL;
	return -ENOMEM;
}

void membox_ring_free(struct device *dev, struct membox_ring *ring)
{
	if (!ring->sq)
		return;
	dma_free_coherent(dev, sizeof(*ring->ctl), ring->ctl, ring->ctl_dma);
	dma_free_coherent(dev, cq_bytes(ring->log2), ring->cq, ring->cq_dma);
	dma_free_coherent(dev, sq_bytes(ring->log2), ring->sq, ring->sq_dma);
	ring->sq = NULL;
}

/* Back to the first pass, for a device that does not know the ring (any more). */
void membox_ring_restart(struct membox_ring *ring)
{
	memset(ring->sq, 0, sq_bytes(ring->log2));
	memset(ring->cq, 0, cq_bytes(ring->log2));
	memset(ring->ctl, 0, sizeof(*ring->ctl));
	ring->tail = 0;
	ring->published = 0;
	ring->head = 0;
}

/* A device that claims to have fetched what was not there gets nothing more. */
bool membox_ring_has_room(const struct membox_ring *ring)
{
	return membox_ring_used(ring->tail, READ_ONCE(ring->ctl->sq_head)) <
	       membox_ring_entries(ring);
}

/*
 * Writes the next descriptor: its operands and addresses first, the instruction
 * word after them and in one piece, so that whoever sees the word of this pass
 * sees the rest too. The device does not look before the tail is published.
 */
void membox_ring_put(struct membox_ring *ring, const struct membox_packet *desc)
{
	struct membox_packet *slot = &ring->sq[membox_ring_slot(ring->tail, ring->log2)];
	union {
		struct membox_instr instr;
		u64 word;
	} first = {
		.instr = {
			.opcode = desc->opcode,
			.phase = membox_ring_phase(ring->tail, ring->log2),
			.cid = desc->cid,
			.flags = desc->flags,
			.context = desc->context,
		},
	};

	memcpy((u8 *)slot + sizeof(first), (const u8 *)desc + sizeof(first),
	       sizeof(*slot) - sizeof(first));
	dma_wmb();
	WRITE_ONCE(*(u64 *)slot, first.word);
	ring->tail++;
}

/*
 * Publishes what was put. Returns whether the doorbell must be rung, which is
 * when the device asked for it: it stores sq_event, a full barrier, reads the
 * tail and sleeps; here the tail is stored, a full barrier, and sq_event read.
 */
bool membox_ring_publish(struct membox_ring *ring)
{
	u32 old = ring->published;

	if (old == ring->tail)
		return false;
	ring->published = ring->tail;
	/* descriptors before the tail that publishes them */
	dma_wmb();
	/* pairs with the device's load-acquire of the tail */
	smp_store_release(&ring->ctl->sq_tail, ring->tail);
	/* the tail before the device's wish is read: see above */
	mb();
	return membox_need_event(READ_ONCE(ring->ctl->sq_event), ring->tail, old);
}

/* Is there an entry of the present pass at the head? */
bool membox_ring_has_completion(const struct membox_ring *ring)
{
	const struct membox_completion *c =
		&ring->cq[membox_ring_slot(ring->head, ring->log2)];

	return (READ_ONCE(c->phase) & 1) == membox_ring_phase(ring->head, ring->log2);
}

/* Takes the next completion, if there is one. */
bool membox_ring_take(struct membox_ring *ring, struct membox_completion *c)
{
	if (!membox_ring_has_completion(ring))
		return false;
	/* the phase before the rest of the entry, and before the data it tells of */
	dma_rmb();
	*c = ring->cq[membox_ring_slot(ring->head, ring->log2)];
	ring->head++;
	return true;
}

/* Gives the slots of all completions taken back to the device. */
void membox_ring_give_back(struct membox_ring *ring)
{
	/* the entries were read before they may be written again */
	mb();
	WRITE_ONCE(ring->ctl->cq_head, ring->head);
}

/*
 * Asks for an interrupt at the next completion. Returns true when that one is
 * there already, in which case there may be no interrupt.
 */
bool membox_ring_arm(struct membox_ring *ring)
{
	WRITE_ONCE(ring->ctl->cq_event, ring->head);
	/* the wish before the look; the device posts, full barrier, reads the wish */
	mb();
	return membox_ring_has_completion(ring);
}
