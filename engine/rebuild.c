/* SPDX-License-Identifier: MIT */
/*
 * rebuild.c - the caches (bitmap, hash index, counts) from the truth (parameter
 * table, handle slots). Done under the table's lock when its last holder died in
 * the middle of an update, and when a port was recovered. It also ends what such
 * a holder left half done: entries without name and reference go. The index of
 * names is here because nothing else walks it.
 */
#include "tables.h"

/* ---- the index: open addressing, linear probing, no gaps ---- */

uint32_t mbe_name_slot(const struct mbe_geometry *g, const char *name)
{
	return (uint32_t)mbe_siphash(g->hash_seed, name, strnlen(name, MEMBOX_NAME_BYTES)) &
	       (g->hash_slots - 1);
}

void mbe_hash_insert(struct mbe *e, const char *name, uint32_t index)
{
	uint32_t slot = mbe_name_slot(&e->geo, name), i;

	for (i = 0; i < e->geo.hash_slots; i++, slot = (slot + 1) & (e->geo.hash_slots - 1)) {
		if (e->hash[slot])
			continue;
		e->hash[slot] = index + 1;
		MBE_STEP(e, "hash: inserted");
		return;
	}
}

/* Where the entry that stands in a slot would best stand; slot itself if it is nonsense. */
static uint32_t home_of(const struct mbe *e, uint32_t slot)
{
	uint32_t index = e->hash[slot] - 1;

	return index < e->geo.params ? mbe_name_slot(&e->geo, e->params[index].fixed.name) : slot;
}

/* Closes the gap at `hole`, so that no probe ends too early. */
static void close_gap(struct mbe *e, uint32_t hole)
{
	uint32_t mask = e->geo.hash_slots - 1, at = hole, i;

	for (i = 0; i < e->geo.hash_slots; i++) {
		at = (at + 1) & mask;
		if (!e->hash[at])
			break;
		/* may move back if its home is not between the hole and where it is */
		if (((at - home_of(e, at)) & mask) >= ((at - hole) & mask)) {
			e->hash[hole] = e->hash[at];
			MBE_STEP(e, "hash: moved");
			hole = at;
		}
	}
	e->hash[hole] = 0;
	MBE_STEP(e, "hash: removed");
}

void mbe_hash_remove(struct mbe *e, const char *name, uint32_t index)
{
	uint32_t slot = mbe_name_slot(&e->geo, name), i;

	for (i = 0; i < e->geo.hash_slots && e->hash[slot]; i++) {
		if (e->hash[slot] == index + 1) {
			close_gap(e, slot);
			return;
		}
		slot = (slot + 1) & (e->geo.hash_slots - 1);
	}
}

/* ---- counting ---- */

static bool same_principal(const struct membox_fmt_port *p, const struct membox_fmt_param_fixed *f)
{
	return p->principal[0] == f->owner[0] && p->principal[1] == f->owner[1];
}

/* An entry's space, name and quota. */
static uint16_t count_param(struct mbe *e, uint32_t index, const struct membox_fmt_param_fixed *f,
			    uint64_t word)
{
	struct membox_fmt_port *port = &e->ports[f->port];

	if (!mbe_bitmap_mark(&e->geo, e->bitmap, f->offset, f->extent))
		return mbe_stop(e);
	e->state->granules_used += f->extent / MEMBOX_FMT_GRANULE;
	if (f->attrs & MEMBOX_PARAM_MAPPABLE) {
		if (!mbe_bitmap_mark(&e->geo, e->bitmap, f->version, MEMBOX_FMT_PAGE))
			return mbe_stop(e);
		e->state->granules_used += MEMBOX_FMT_PAGE / MEMBOX_FMT_GRANULE;
	}
	e->state->params_used++;
	if (e->state->serial < f->serial)
		e->state->serial = f->serial;
	if (same_principal(port, f)) {
		port->used_bytes += f->extent;
		port->used_params++;
	}
	if ((word & MEMBOX_PST_STATE) == MEMBOX_PST_LIVE)
		mbe_hash_insert(e, f->name, index);
	return MEMBOX_ST_OK;
}

static uint16_t count_params(struct mbe *e)
{
	struct membox_fmt_param_fixed f;
	uint64_t word;
	uint16_t status;
	uint32_t i;

	for (i = 0; i < e->geo.params; i++) {
		status = mbe_param_load(e, i, &f, &word);
		if (!status && word) {
			__atomic_store_n(&e->params[i].refs, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&e->params[i].subscribers, 0, __ATOMIC_RELAXED);
			status = count_param(e, i, &f, word);
		}
		if (status)
			return status;
	}
	return MEMBOX_ST_OK;
}

static uint16_t count_handles(struct mbe *e, uint32_t port)
{
	const struct membox_fmt_handle *h = mbe_area_of(e, MEMBOX_AREA_HANDLES, port);
	uint32_t i, index;
	uint64_t word;

	for (i = 0; i < e->geo.handles; i++) {
		word = MBE_LOAD(&h[i].word);
		if (!word)
			continue;
		index = h[i].param;
		if (index >= e->geo.params || !h[i].serial ||
		    MBE_LOAD(&e->params[index].word) >> MEMBOX_PST_SERIAL_SHIFT != h[i].serial)
			return mbe_stop(e);
		__atomic_fetch_add(&e->params[index].refs, 1, __ATOMIC_RELAXED);
		if (word & MEMBOX_HANDLE_SUBSCRIBED)
			__atomic_fetch_add(&e->params[index].subscribers, 1, __ATOMIC_RELAXED);
	}
	return MEMBOX_ST_OK;
}

/* Ends what is neither named nor referenced, and zeroing that its owner did not survive. */
static uint16_t reap(struct mbe *e, uint32_t index)
{
	struct membox_fmt_param *p = &e->params[index];
	struct membox_fmt_param_fixed f;
	uint64_t word, zeroer;
	uint16_t status = mbe_param_load(e, index, &f, &word);

	if (status || !word)
		return status;
	if ((word & MEMBOX_PST_STATE) == MEMBOX_PST_FREEING) {
		zeroer = MBE_LOAD(&p->zeroer);
		if (!mbe_port_alive(e, mbe_lock_port(zeroer), mbe_lock_generation(zeroer)))
			mbe_param_zero_later(e, index);
		return MEMBOX_ST_OK;
	}
	if (p->refs || ((word & MEMBOX_PST_STATE) == MEMBOX_PST_LIVE && !(f.attrs & MEMBOX_PARAM_EPHEMERAL)))
		return MEMBOX_ST_OK;
	mbe_param_release(e, index, &f, word);
	return MEMBOX_ST_OK;
}

/* Serial numbers are never given twice, groups' included. */
static uint16_t count_groups(struct mbe *e)
{
	struct membox_fmt_group_fixed f;
	uint64_t word;
	uint16_t status;
	uint32_t i;

	for (i = 0; i < e->geo.groups; i++) {
		status = mbe_group_load(e, i, &f, &word);
		if (status)
			return status;
		if (word && e->state->serial < f.serial)
			e->state->serial = f.serial;
	}
	return MEMBOX_ST_OK;
}

uint16_t mbe_rebuild(struct mbe *e)
{
	uint16_t status;
	uint32_t i;

	MBE_STEP(e, "rebuild: begins");
	memset(e->bitmap, 0, e->geo.pages * sizeof(*e->bitmap));
	memset(e->hash, 0, e->geo.hash_slots * sizeof(*e->hash));
	e->state->granules_used = 0;
	e->state->params_used = 0;
	for (i = 0; i < e->geo.ports; i++) {
		e->ports[i].used_bytes = 0;
		e->ports[i].used_params = 0;
	}
	status = count_params(e);
	MBE_STEP(e, "rebuild: entries counted");
	for (i = 0; i < e->geo.ports && !status; i++)
		status = count_handles(e, i);
	if (!status)
		status = count_groups(e);
	MBE_STEP(e, "rebuild: references counted");
	for (i = 0; i < e->geo.params && !status; i++)
		status = reap(e, i);
	MBE_STEP(e, "rebuild: ends");
	return status;
}
