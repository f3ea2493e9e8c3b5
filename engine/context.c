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
	MBE_STORE(&e->contexts[context].word, (uint64_t)generation << 32 | MEMBOX_CONTEXT_OPEN);
	MBE_STEP(e, "context: stored");
	MBE_STORE(&e->ctx_gen[context], generation);
	return MEMBOX_ST_OK;
}

/* left: what the context's word says of it afterwards. */
static uint16_t end(struct mbe *e, unsigned int context, uint64_t left)
{
	uint32_t generation = mbe_context_gen(e, context);
	uint16_t status;

	if (!generation)
		return MEMBOX_ST_BAD_CONTEXT;
	MBE_STORE(&e->ctx_gen[context], 0); /* no new command begins */
	MBE_STORE(&e->contexts[context].word, (uint64_t)generation << 32 | left);
	MBE_STEP(e, "context: closed");
	mbe_plock_drop(e, e->port, context);
	mbe_mail_drop(e, e->port, context);
	status = mbe_group_bury(e, e->port, context);
	if (!status)
		status = mbe_ref_close_all(e, context, false);
	MBE_STEP(e, "context: gone");
	return status;
}

uint16_t mbe_context_destroy(struct mbe *e, unsigned int context)
{
	return end(e, context, 0);
}

uint16_t mbe_context_reset(struct mbe *e, unsigned int context)
{
	uint16_t status = mbe_table_lock(e);

	if (status)
		return status;
	status = end(e, context, MEMBOX_CONTEXT_RESET);
	mbe_table_unlock(e);
	mbe_zero_pending(e);
	return status;
}

bool mbe_has_context(const struct mbe *e, unsigned int context)
{
	return mbe_context_open(e, context);
}
