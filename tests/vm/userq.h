/* SPDX-License-Identifier: MIT */
/*
 * userq.h - a user queue for programs that speak to the node by themselves.
 */
#ifndef USERQ_H
#define USERQ_H

#include <sys/mman.h>

#include "packet.h"

#define PAGE 4096
#define SQ_LOG2 5
#define CQ_LOG2 6

/* A queue as this process has it. */
struct queue {
	struct membox_uqueue_args args;
	struct membox_packet *sq;
	const struct membox_completion *cq;
	struct membox_qctl *ctl;
	volatile uint32_t *doorbell;
	uint32_t tail, head;
	unsigned int rung;
};

static inline int create(struct queue *q)
{
	memset(q, 0, sizeof(*q));
	q->args.size = sizeof(q->args);
	q->args.sq_log2 = SQ_LOG2;
	q->args.cq_log2 = CQ_LOG2;
	return ioctl(fd, MEMBOX_IOC_QUEUE_CREATE, &q->args);
}

static inline int delete(struct queue *q)
{
	struct membox_uqueue_args args = { .size = sizeof(args), .queue = q->args.queue };

	return ioctl(fd, MEMBOX_IOC_QUEUE_DELETE, &args);
}

static inline void *map_part(size_t bytes, int prot, uint64_t token)
{
	return mmap(NULL, bytes, prot, MAP_SHARED, fd, (off_t)token);
}

static inline void open_queue(struct queue *q)
{
	need(create(q) == 0, "QUEUE_CREATE");
	q->sq = map_part(sizeof(*q->sq) << SQ_LOG2, PROT_READ | PROT_WRITE, q->args.sq_offset);
	q->cq = map_part(sizeof(*q->cq) << CQ_LOG2, PROT_READ, q->args.cq_offset);
	q->ctl = map_part(PAGE, PROT_READ | PROT_WRITE, q->args.ctl_offset);
	q->doorbell = map_part(PAGE, PROT_READ | PROT_WRITE, q->args.db_offset);
	need(q->sq != MAP_FAILED && q->cq != MAP_FAILED && q->ctl != MAP_FAILED && q->doorbell != MAP_FAILED,
	     "mmap of a queue");
	q->ctl->cq_event = q->head - 1;
}

static inline void unmap_queue(struct queue *q)
{
	munmap(q->sq, sizeof(*q->sq) << SQ_LOG2);
	munmap((void *)(uintptr_t)q->cq, sizeof(*q->cq) << CQ_LOG2);
	munmap(q->ctl, PAGE);
	munmap((void *)(uintptr_t)q->doorbell, PAGE);
}

static inline void put(struct queue *q, const struct membox_packet *p, uint16_t cid)
{
	struct membox_packet *slot = &q->sq[membox_ring_slot(q->tail, SQ_LOG2)];
	union {
		struct membox_instr instr;
		uint64_t word;
	} first = { .instr = { .opcode = p->opcode, .phase = (uint8_t)membox_ring_phase(q->tail, SQ_LOG2), .cid = cid,
			       .flags = p->flags, .context = p->context } };

	memcpy((char *)slot + 8, (const char *)p + 8, sizeof(*p) - 8);
	__atomic_store_n((uint64_t *)(void *)slot, first.word, __ATOMIC_RELEASE);
	q->tail++;
}

static inline void publish(struct queue *q)
{
	uint32_t old = q->ctl->sq_tail;

	__atomic_store_n(&q->ctl->sq_tail, q->tail, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (membox_need_event(__atomic_load_n(&q->ctl->sq_event, __ATOMIC_RELAXED), q->tail, old)) {
		*q->doorbell = q->tail;
		q->rung++;
	}
}

static inline bool take(struct queue *q, struct membox_completion *c)
{
	const struct membox_completion *at = &q->cq[membox_ring_slot(q->head, CQ_LOG2)];

	if ((__atomic_load_n(&at->phase, __ATOMIC_ACQUIRE) & 1) != membox_ring_phase(q->head, CQ_LOG2))
		return false;
	*c = *at;
	q->head++;
	__atomic_store_n(&q->ctl->cq_head, q->head, __ATOMIC_RELEASE);
	return true;
}

#endif
