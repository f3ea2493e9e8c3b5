// SPDX-License-Identifier: MIT
/*
 * outcome.c - a port's ring of outcome records: what became of commands that an
 * abort, a reset or a crash ended. Writers claim entries by number, without a
 * lock; who recovers a dead port is alone.
 */
#include "exec.h"

#define SEQ_SHIFT 32
#define CONTEXT_BITS 0xffffffffULL /* context, its generation, and that it is used */

uint32_t mbe_outcome_next(struct mbe *e, uint32_t port)
{
	const struct membox_fmt_outcome *o = mbe_area_of(e, MEMBOX_AREA_OUTCOMES, port);
	uint32_t next = 0;

	for (uint32_t i = 0; i < e->geo.outcomes; i++) {
		uint64_t word = MBE_LOAD(&o[i].word);

		if (word && (uint32_t)(word >> SEQ_SHIFT) >= next)
			next = (uint32_t)(word >> SEQ_SHIFT) + 1;
	}
	return next;
}

void mbe_outcome_add(struct mbe *e, uint32_t port, uint32_t seq,
		     const struct membox_fmt_outcome *what)
{
	struct membox_fmt_outcome *o = mbe_area_of(e, MEMBOX_AREA_OUTCOMES, port);

	o += seq % e->geo.outcomes;
	MBE_STORE(&o->word, 0);
	MBE_STORE(&o->user_data, what->user_data); /* release: not before the 0 */
	MBE_STORE(&o->torn_at, what->torn_at);
	MBE_STORE(&o->outcome, what->outcome);
	MBE_STORE(&o->status, what->status);
	MBE_STORE(&o->command, what->command);
	MBE_STORE(&o->writer, what->writer);
	MBE_STORE(&o->word, (uint64_t)seq << SEQ_SHIFT | what->word);
}

bool mbe_outcome_known(struct mbe *e, uint32_t port, const struct membox_fmt_outcome *what)
{
	const struct membox_fmt_outcome *o = mbe_area_of(e, MEMBOX_AREA_OUTCOMES, port);

	for (uint32_t i = 0; i < e->geo.outcomes; i++)
		if (MBE_LOAD(&o[i].word) && MBE_PEEK(&o[i].command) == what->command &&
		    MBE_PEEK(&o[i].writer) == what->writer)
			return true;
	return false;
}

/* Generation of an open context, or of one that a reset ended; 0: neither. */
static uint32_t generation_of(const struct mbe *e, unsigned int context)
{
	uint64_t word = context < MEMBOX_MAX_CONTEXTS ? MBE_LOAD(&e->contexts[context].word) : 0;

	return word & (MEMBOX_CONTEXT_OPEN | MEMBOX_CONTEXT_RESET) ? (uint32_t)(word >> 32) : 0;
}

bool mbe_outcomes_asked(const struct mbe *e, unsigned int context)
{
	return generation_of(e, context) != 0;
}

uint16_t mbe_exec_outcomes(struct mbe *e, unsigned int context, struct membox_outcomes *out)
{
	const struct membox_fmt_outcome *o = e->outcomes;
	uint64_t mine = (uint64_t)(generation_of(e, context) & 0xffff) << 16 |
			(uint64_t)context << 8 | 1;
	uint32_t next = mbe_outcome_next(e, e->port), skip = out->count;

	out->count = 0;
	/* oldest first: the ring from where the next one would stand */
	for (uint32_t i = 0; i < e->geo.outcomes && out->count < MEMBOX_OUTCOME_ENTRIES; i++) {
		const struct membox_fmt_outcome *at = &o[(next + i) % e->geo.outcomes];
		struct membox_outcome_entry *entry = &out->entry[out->count];
		uint64_t word = MBE_LOAD(&at->word);

		if ((word & CONTEXT_BITS) != mine)
			continue;
		if (skip) {
			skip--;
			continue;
		}
		entry->user_data = MBE_LOAD(&at->user_data); /* acquire: not after the word */
		entry->torn_at = MBE_LOAD(&at->torn_at);
		entry->outcome = MBE_LOAD(&at->outcome);
		entry->status = MBE_LOAD(&at->status);
		out->count += MBE_PEEK(&at->word) == word;
	}
	return MEMBOX_ST_OK;
}
