/* SPDX-License-Identifier: MIT */
/*
 * rings.h - the rings of a user queue as this process has them mapped: what
 * docs/device.md section 4 asks of the host, in memory only. One call at a time on
 * one queue; no system call, no lock, nothing of requests.
 */
#ifndef MB_RINGS_H
#define MB_RINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "membox_check.h"

struct mb_rings {
	struct membox_packet *sq;
	const struct membox_completion *cq;
	struct membox_qctl *ctl;
	volatile uint32_t *doorbell;
	uint32_t tail;	    /* descriptors written, perhaps not yet published */
	uint32_t published;
	uint32_t head;	    /* completions taken */
	uint32_t given;	    /* ... of which the device knows */
	uint8_t log2;	    /* entries of either ring */
};

/* Rings that are zero, and nobody wants to be woken. */
void mb_rings_begin(struct mb_rings *r);
bool mb_rings_have_room(const struct mb_rings *r);
void mb_rings_put(struct mb_rings *r, const struct membox_packet *desc, uint16_t cid);
void mb_rings_publish(struct mb_rings *r);
bool mb_rings_take(struct mb_rings *r, struct membox_completion *c);
void mb_rings_give_back(struct mb_rings *r);
/* Asks for an interrupt at the next completion. True: it is there already. */
bool mb_rings_arm(struct mb_rings *r);
/* Why the queue has stopped, enum membox_status; 0: it has not. */
uint32_t mb_rings_halted(const struct mb_rings *r);

#endif /* MB_RINGS_H */
