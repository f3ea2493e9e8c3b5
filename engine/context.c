/* SPDX-License-Identifier: MIT */
/*
 * context.c - contexts: whom references, parameter locks, group seats and mail
 * belong to, and with whom they end. The table's lock is held.
 */
#include "tables.h"

uint16_t mbe_context_create(struct mbe *e, unsigned int context)
{
	uint32_t generation;

	if (context >= MEMBOX_MAX_CONTEXTS)
		return MEMBOX_ST_BAD_ARGUMENT;
	if (e->ctx_gen[context])
		return MEMBOX_ST_EXISTS;
	generation = (uint32_t)(MBE_LOAD(&e->contexts[context].word) >> 32) + 1;
	if (!generation)
		generation = 1;
	MBE_STORE(&e->contexts[context].word, (uint64_t)generation << 32 | 1);
	MBE_STEP(e, "context: stored");
	MBE_STORE(&e->ctx_gen[context], generation);
	return MEMBOX_ST_OK;
}

uint16_t mbe_context_destroy(struct mbe *e, unsigned int context)
{
	uint32_t generation = mbe_context_gen(e, context);
	uint16_t status;

	if (!generation)
		return MEMBOX_ST_BAD_CONTEXT;
	MBE_STORE(&e->ctx_gen[context], 0); /* no new command begins */
	MBE_STORE(&e->contexts[context].word, (uint64_t)generation << 32);
	MBE_STEP(e, "context: closed");
	mbe_plock_drop(e, e->port, context);
	mbe_mail_drop(e, e->port, context);
	status = mbe_group_bury(e, e->port, context);
	if (!status)
		status = mbe_ref_close_all(e, context, false);
	MBE_STEP(e, "context: gone");
	return status;
}
