// SPDX-License-Identifier: MIT
/*
 * atomic.c - ATOMIC, NOTIFY, COMMIT. The word is changed by one atomic
 * instruction, for the sake of CPUs that reach it through a mapping, and with its
 * stripe locked, for the sake of commands that compute on it.
 */
#include "exec.h"

static uint64_t change_i64(uint64_t *word, const struct membox_packet *p)
{
	uint64_t old = p->word.compare;

	switch (p->sub) {
	case MEMBOX_FETCH_ADD:
		return __atomic_fetch_add(word, p->word.value, __ATOMIC_SEQ_CST);
	case MEMBOX_SWAP:
		return __atomic_exchange_n(word, p->word.value, __ATOMIC_SEQ_CST);
	default:
		__atomic_compare_exchange_n(word, &old, p->word.value, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
		return old;
	}
}

static uint64_t change_i32(uint32_t *word, const struct membox_packet *p)
{
	uint32_t old = (uint32_t)p->word.compare, value = (uint32_t)p->word.value;

	switch (p->sub) {
	case MEMBOX_FETCH_ADD:
		old = __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
		break;
	case MEMBOX_SWAP:
		old = __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
		break;
	default:
		__atomic_compare_exchange_n(word, &old, value, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
	}
	return (uint64_t)(int64_t)(int32_t)old;
}

static void stretch_atomic(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	void *word = run->dst + at;

	run->result = bytes == sizeof(uint64_t) ? change_i64(word, run->p) :
						  change_i32(word, run->p);
}

uint16_t mbe_op_atomic(struct mbe_run *run)
{
	uint64_t size = run->bytes;
	uint16_t media = mbe_poison_cut(run, &run->op[0], run->dst, size, size, MEMBOX_AT(offset));
	uint16_t status = mbe_change(run, stretch_atomic);

	mbe_count(run->e, MEMBOX_CTR_COMMON_READ, run->done);
	mbe_count(run->e, MEMBOX_CTR_COMMON_WRITE, run->done);
	return status ? status : media;
}

/* NOTIFY, and COMMIT, whose stores are there already. */
uint16_t mbe_op_notify(struct mbe_run *run)
{
	run->bytes = 0;
	mbe_write_begin(run);
	mbe_write_end(run);
	return MEMBOX_ST_OK;
}
