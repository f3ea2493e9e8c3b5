// SPDX-License-Identifier: MIT
/*
 * version.c - the two counters of a parameter, writers begun and writers
 * finished, and how they are made to agree again when a writer died.
 *
 * A writer's record in the box (journal.c) says BEGIN before `begun` is bumped
 * and END before `finished` is. While both counters stand still and no record of
 * a live port is in either state, each ACTIVE record accounts for one of
 * begun - finished, and what is left over belongs to the dead: it is added to
 * `finished`. Doing that twice adds nothing the second time.
 *
 * Recovery holds the line's `repair` word meanwhile; writers that see it wait
 * before their record says BEGIN, which only serves to make the counters and
 * the records stand still.
 */
#include "exec.h"

#include <sched.h>

/* How long recovery watches for a moment in which nobody is between two states. */
#define SETTLE_NS 1000000000ULL

void mbe_version_await(struct mbe *e, struct membox_fmt_version *ver)
{
	bool was_dead;

	/* its holder only counts; should it be stopped, go on without */
	if (MBE_LOAD(&ver->repair) &&
	    !mbe_lock_word(e, &ver->repair, mbe_deadline(e, SETTLE_NS), &was_dead))
		mbe_unlock_word(e, &ver->repair);
}

uint64_t mbe_version_begin(struct membox_fmt_version *ver)
{
	return __atomic_add_fetch(&ver->begun, 1, __ATOMIC_SEQ_CST);
}

uint64_t mbe_version_finish(struct membox_fmt_version *ver)
{
	return __atomic_add_fetch(&ver->finished, 1, __ATOMIC_SEQ_CST);
}

/* Is a record in an ambiguous state, and does it account for a writer? */
struct tally {
	uint64_t active;
	bool ambiguous;
};

static void tally_record(struct mbe *e, uint32_t port, struct membox_fmt_undo *u, uint32_t param,
			 uint64_t serial, struct tally *t)
{
	uint64_t word = MBE_LOAD(&u->word);

	if ((word & MEMBOX_UNDO_STATE) == MEMBOX_UNDO_IDLE)
		return;
	if (MBE_PEEK(&u->param) != param || MBE_PEEK(&u->serial) != serial)
		return;
	switch (word & MEMBOX_UNDO_STATE) {
	case MEMBOX_UNDO_ACTIVE:
	case MEMBOX_UNDO_OPEN:
		t->active++;
		break;
	default:
		/* a dead one stays where it is: it is a part of what is left over */
		if (mbe_port_alive(e, port, (uint32_t)(MBE_LOAD(&e->ports[port].word) >> 32)))
			t->ambiguous = true;
	}
}

/* One look; true when nothing moved, with what the dead owe. */
static bool owed_by_dead(struct mbe *e, uint32_t dead, struct membox_fmt_version *ver,
			 uint32_t param, uint64_t serial, uint64_t *owed)
{
	uint64_t finished = MBE_LOAD(&ver->finished), begun = MBE_LOAD(&ver->begun);
	struct tally t = { 0, false };

	for (uint32_t port = 0; port < e->geo.ports; port++) {
		uint8_t *records = mbe_area_of(e, MEMBOX_AREA_UNDO, port);

		for (uint32_t i = 0; port != dead && i < e->geo.undos; i++)
			tally_record(e, port, (void *)(records + i * e->geo.undo_bytes), param,
				     serial, &t);
	}
	if (t.ambiguous || MBE_LOAD(&ver->begun) != begun || MBE_LOAD(&ver->finished) != finished)
		return false;
	*owed = begun - finished - t.active;
	return true;
}

void mbe_version_repair(struct mbe *e, uint32_t dead, struct membox_fmt_version *ver,
			uint32_t param, uint64_t serial)
{
	uint64_t until = mbe_deadline(e, SETTLE_NS), owed = 0;
	bool was_dead, locked, settled;

	locked = !mbe_lock_word(e, &ver->repair, until, &was_dead);
	until = mbe_deadline(e, SETTLE_NS);
	while (!(settled = owed_by_dead(e, dead, ver, param, serial, &owed)) &&
	       mbe_clock(e) < until)
		sched_yield();
	/* more than all records of the dead could owe is no count of this box */
	if (settled && owed <= (uint64_t)e->geo.ports * e->geo.undos)
		__atomic_add_fetch(&ver->finished, owed, __ATOMIC_SEQ_CST);
	MBE_STEP(e, "recover:settled");
	if (locked)
		mbe_unlock_word(e, &ver->repair);
}
