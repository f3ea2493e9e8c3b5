/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ring.h - a submission ring, a completion ring and their shared indices, as
 * the device knows them (membox_hw.h). Knows nothing of requests, locks or
 * doorbells: the owner serialises all calls on one ring.
 */
#ifndef MEMBOX_RING_H
#define MEMBOX_RING_H

#include <linux/types.h>

#include "membox_check.h"

struct device;

struct membox_ring {
	struct membox_packet *sq;
	struct membox_completion *cq;
	struct membox_qctl *ctl;
	dma_addr_t sq_dma;
	dma_addr_t cq_dma;
	dma_addr_t ctl_dma;
	u32 tail;	/* descriptors written, perhaps not yet published */
	u32 published;	/* ... and published */
	u32 head;	/* completions taken */
	u8 log2;	/* entries of either ring */
};

int membox_ring_alloc(struct device *dev, struct membox_ring *ring, u8 log2);
void membox_ring_free(struct device *dev, struct membox_ring *ring);
void membox_ring_restart(struct membox_ring *ring);

static inline u32 membox_ring_entries(const struct membox_ring *ring)
{
	return 1U << ring->log2;
}

bool membox_ring_has_room(const struct membox_ring *ring);
void membox_ring_put(struct membox_ring *ring, const struct membox_packet *desc);
bool membox_ring_publish(struct membox_ring *ring);
bool membox_ring_has_completion(const struct membox_ring *ring);
bool membox_ring_take(struct membox_ring *ring, struct membox_completion *c);
void membox_ring_give_back(struct membox_ring *ring);
bool membox_ring_arm(struct membox_ring *ring);

static inline bool membox_ring_is_halted(const struct membox_ring *ring)
{
	return READ_ONCE(ring->ctl->halted);
}

#endif /* MEMBOX_RING_H */
