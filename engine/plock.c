/* SPDX-License-Identifier: MIT */
/*
 * plock.c - PARAM_LOCK and PARAM_UNLOCK: a lock word in a parameter's entry that
 * one context holds between commands. It is tried, never waited for. One held by
 * a port or context that is gone is taken over: the word names port, generation
 * and, as its cookie, context and the low byte of the context's generation. Needs
 * no table lock: one compare-and-swap is the whole update.
 */
#include "tables.h"

static uint16_t cookie_of(unsigned int context, uint32_t generation)
{
	return (uint16_t)((context & 0xff) | (generation & 0xff) << 8);
}

static bool swap(__u64 *word, uint64_t from, uint64_t to)
{
	__u64 expected = from;

	return __atomic_compare_exchange_n(word, &expected, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* Is the context that the word names still there? */
static bool holder_lives(struct mbe *e, uint64_t word)
{
	unsigned int context = (unsigned int)(word >> MEMBOX_LOCK_COOKIE_SHIFT) & 0xff;
	uint32_t port = mbe_lock_port(word), generation = mbe_lock_generation(word);
	uint64_t now;

	if (port >= e->geo.ports)
		return false; /* no lock that anybody could have taken */
	now = MBE_LOAD(&e->ports[port].word);
	if (now != mbe_port_word(generation, MEMBOX_PORT_SUSPENDED) && !mbe_port_alive(e, port, generation))
		return false;
	now = MBE_LOAD(&((struct membox_fmt_context *)mbe_area_of(e, MEMBOX_AREA_CONTEXTS, port))[context].word);
	return now & 1 && cookie_of(context, (uint32_t)(now >> 32)) == word >> MEMBOX_LOCK_COOKIE_SHIFT;
}

static uint64_t word_of(const struct mbe *e, unsigned int context)
{
	return membox_lock_word(e->port, e->generation, cookie_of(context, mbe_context_gen(e, context)));
}

uint16_t mbe_param_lock(struct mbe *e, unsigned int context, struct membox_handle_args *a)
{
	struct mbe_operand op;
	uint64_t seen;
	uint16_t status = mbe_operand_get(e, context, a->handle, &op);
	__u64 *word;

	if (status)
		return status;
	word = &e->params[op.param].lock;
	seen = MBE_LOAD(word);
	if (!(op.rights & MEMBOX_WIN_WRITE))
		status = MEMBOX_ST_DENIED;
	else if (seen && holder_lives(e, seen))
		status = MEMBOX_ST_BUSY;
	else if (!swap(word, seen, word_of(e, context)))
		status = MEMBOX_ST_BUSY;
	MBE_STEP(e, "plock: taken");
	mbe_operand_put(e, &op);
	return status;
}

uint16_t mbe_param_unlock(struct mbe *e, unsigned int context, struct membox_handle_args *a)
{
	struct mbe_operand op;
	uint16_t status = mbe_operand_get(e, context, a->handle, &op);
	__u64 *word;

	if (status)
		return status;
	word = &e->params[op.param].lock;
	if (!MBE_LOAD(word))
		status = MEMBOX_ST_BAD_ARGUMENT;
	else if (!swap(word, word_of(e, context), 0))
		status = MEMBOX_ST_BUSY;
	MBE_STEP(e, "plock: released");
	mbe_operand_put(e, &op);
	return status;
}

void mbe_plock_drop(struct mbe *e, uint32_t port, unsigned int context)
{
	uint32_t i;

	for (i = 0; i < e->geo.params; i++) {
		uint64_t word = MBE_LOAD(&e->params[i].lock);

		if (word && mbe_lock_port(word) == port &&
		    (context == -1U || (word >> MEMBOX_LOCK_COOKIE_SHIFT & 0xff) == context))
			swap(&e->params[i].lock, word, 0);
	}
}
