/* SPDX-License-Identifier: MIT */
/*
 * param.c - the parameter table: entries and their life.
 *
 *	free -> LIVE -> UNLINKED -> FREEING -> free
 *	             \-> REVOKED -/
 *
 * Each arrow is one store of the entry's word; what it says is true, and bitmap,
 * index and counts follow. An entry without name or, if EPHEMERAL, without use
 * becomes FREEING with the last reference; its bytes are then zeroed by the port
 * that let go, without the table's lock, and only after that the space is free.
 * All functions but mbe_zero_pending want the table's lock.
 */
#include "tables.h"

const char *mbe_param_check(const struct mbe_geometry *g, uint32_t index, uint64_t word,
			    const struct membox_fmt_param_fixed *f)
{
	struct membox_fmt_param_fixed copy = *f;
	uint64_t state = word & MEMBOX_PST_STATE;
	uint32_t element = membox_type_bytes((uint8_t)f->type);
	bool mappable = f->attrs & MEMBOX_PARAM_MAPPABLE;

	copy.crc = 0;
	if (state < MEMBOX_PST_LIVE || state > MEMBOX_PST_FREEING)
		return "its state is none that there is";
	if (f->crc != mbe_crc32c(0, &copy, sizeof(copy)))
		return "its checksum is wrong";
	if (f->serial != word >> MEMBOX_PST_SERIAL_SHIFT)
		return "its serial number is not that of its state";
	if (!mbe_name_ok(f->name) || f->attrs & ~MEMBOX_PARAM_FLAGS || f->type > 0xff || !element ||
	    f->port >= g->ports)
		return "its name, type or attributes are impossible";
	if (!f->count || f->count > g->data_bytes / element || f->bytes != f->count * element ||
	    f->extent != mbe_extent_bytes(f->bytes, mappable) || !mbe_extent_sane(g, f->offset, f->extent))
		return "its size or place is impossible";
	if (mappable ? !mbe_extent_sane(g, f->version, MEMBOX_FMT_PAGE) :
		       f->version != g->area[MEMBOX_AREA_VERSIONS].offset +
				     (uint64_t)index * sizeof(struct membox_fmt_version))
		return "its version is in an impossible place";
	return NULL;
}

uint16_t mbe_param_load(struct mbe *e, uint32_t index, struct membox_fmt_param_fixed *f, uint64_t *word)
{
	*word = MBE_LOAD(&e->params[index].word);
	if (!*word)
		return MEMBOX_ST_OK;
	memcpy(f, &e->params[index].fixed, sizeof(*f));
	return mbe_param_check(&e->geo, index, *word, f) ? mbe_stop(e) : MEMBOX_ST_OK;
}

struct membox_fmt_version *mbe_param_version(struct mbe *e, const struct membox_fmt_param_fixed *f)
{
	return (void *)(e->map + f->version);
}

uint16_t mbe_param_find(struct mbe *e, const char *name, uint32_t *index,
			struct membox_fmt_param_fixed *f)
{
	uint32_t slot = mbe_name_slot(&e->geo, name), i;
	uint64_t word;
	uint16_t status;

	for (i = 0; i < e->geo.hash_slots && e->hash[slot]; i++) {
		*index = e->hash[slot] - 1;
		if (*index >= e->geo.params)
			return mbe_stop(e);
		status = mbe_param_load(e, *index, f, &word);
		if (status)
			return status;
		if ((word & MEMBOX_PST_STATE) == MEMBOX_PST_LIVE &&
		    !strncmp(f->name, name, MEMBOX_NAME_BYTES))
			return MEMBOX_ST_OK;
		slot = (slot + 1) & (e->geo.hash_slots - 1);
	}
	return MEMBOX_ST_NOT_FOUND;
}

/* ---- making ---- */

static uint16_t find_free(struct mbe *e, uint32_t *index)
{
	uint32_t from = (uint32_t)(e->state->next_param % e->geo.params), i;

	for (i = 0; i < e->geo.params; i++) {
		*index = (from + i) % e->geo.params;
		if (!MBE_LOAD(&e->params[*index].word)) {
			e->state->next_param = *index + 1;
			return MEMBOX_ST_OK;
		}
	}
	return MEMBOX_ST_TABLE_FULL;
}

static uint16_t take_space(struct mbe *e, struct membox_fmt_param_fixed *f, uint32_t index)
{
	__u64 *offset = &f->offset, *version = &f->version;
	uint64_t at;
	uint16_t status = mbe_alloc(e, f->extent, &at);

	if (status)
		return status;
	*offset = at;
	*version = e->geo.area[MEMBOX_AREA_VERSIONS].offset + (uint64_t)index * sizeof(struct membox_fmt_version);
	if (!(f->attrs & MEMBOX_PARAM_MAPPABLE))
		return MEMBOX_ST_OK;
	status = mbe_alloc(e, MEMBOX_FMT_PAGE, &at);
	if (status)
		mbe_free(e, f->offset, f->extent);
	*version = at;
	return status;
}

/* Would one more of that size be over the port's quota? */
static bool over_quota(const struct membox_fmt_port *p, uint64_t extent)
{
	return (p->quota_params && p->used_params >= p->quota_params) ||
	       (p->quota_bytes && (extent > p->quota_bytes || p->used_bytes > p->quota_bytes - extent));
}

static void fill(struct mbe *e, struct membox_fmt_param_fixed *f, uint32_t index)
{
	struct membox_fmt_param *p = &e->params[index];
	struct membox_fmt_version *v = mbe_param_version(e, f);
	unsigned int i;

	f->serial = ++e->state->serial;
	f->crc = 0;
	f->crc = mbe_crc32c(0, f, sizeof(*f));
	MBE_STORE(&v->begun, 0);
	MBE_STORE(&v->finished, 0);
	MBE_STORE(&v->torn, 0);
	MBE_STORE(&v->repair, 0);
	for (i = 0; i < MEMBOX_MAX_PORTS / 64; i++)
		MBE_STORE(&v->watch[i], 0);
	MBE_STEP(e, "make: version");
	MBE_STORE(&p->lock, 0);
	MBE_STORE(&p->zeroer, 0);
	__atomic_store_n(&p->refs, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->subscribers, 0, __ATOMIC_RELAXED);
	memcpy(&p->fixed, f, sizeof(*f));
	MBE_STEP(e, "make: filled");
}

uint16_t mbe_param_make(struct mbe *e, struct membox_fmt_param_fixed *f, uint32_t *index)
{
	uint16_t status;

	f->extent = mbe_extent_bytes(f->bytes, f->attrs & MEMBOX_PARAM_MAPPABLE);
	f->port = e->port;
	memcpy(f->owner, e->principal, sizeof(f->owner));
	status = find_free(e, index);
	if (status)
		return status;
	if (over_quota(e->self, f->extent))
		return MEMBOX_ST_QUOTA;
	status = take_space(e, f, *index);
	if (status)
		return status;
	fill(e, f, *index);
	mbe_hash_insert(e, f->name, *index);
	MBE_STORE(&e->params[*index].word, f->serial << MEMBOX_PST_SERIAL_SHIFT | MEMBOX_PST_LIVE);
	MBE_STEP(e, "make: live");
	e->state->params_used++;
	e->self->used_bytes += f->extent;
	e->self->used_params++;
	MBE_STEP(e, "make: counted");
	return MEMBOX_ST_OK;
}

/* ---- references, unlinking ---- */

/* Hands the entry's bytes to mbe_zero_pending. */
void mbe_param_zero_later(struct mbe *e, uint32_t index)
{
	MBE_STORE(&e->params[index].zeroer, membox_lock_word(e->port, e->generation, 0));
	MBE_STEP(e, "free: zeroer");
	if (e->nzeroing < e->geo.params)
		e->zeroing[e->nzeroing++] = index;
}

void mbe_param_release(struct mbe *e, uint32_t index, const struct membox_fmt_param_fixed *f, uint64_t word)
{
	mbe_param_zero_later(e, index);
	MBE_STORE(&e->params[index].word, f->serial << MEMBOX_PST_SERIAL_SHIFT | MEMBOX_PST_FREEING);
	MBE_STEP(e, "free: freeing");
	if ((word & MEMBOX_PST_STATE) == MEMBOX_PST_LIVE)
		mbe_hash_remove(e, f->name, index);
}

uint16_t mbe_param_unlink(struct mbe *e, uint32_t index, enum membox_fmt_param_state state)
{
	struct membox_fmt_param_fixed f;
	uint64_t word;
	uint16_t status = mbe_param_load(e, index, &f, &word);

	if (status)
		return status;
	if (!word || (word & MEMBOX_PST_STATE) > MEMBOX_PST_REVOKED)
		return mbe_stop(e);
	if (!e->params[index].refs) {
		mbe_param_release(e, index, &f, word);
		return MEMBOX_ST_OK;
	}
	MBE_STORE(&e->params[index].word, f.serial << MEMBOX_PST_SERIAL_SHIFT | state);
	MBE_STEP(e, "unlink: stored");
	if ((word & MEMBOX_PST_STATE) == MEMBOX_PST_LIVE)
		mbe_hash_remove(e, f.name, index);
	if (state == MEMBOX_PST_REVOKED) { /* whoever waits for a change of it waits in vain */
		struct mbe_operand op = {.param = index, .ver = mbe_param_version(e, &f)};

		mbe_changed(e, &op);
	}
	return MEMBOX_ST_OK;
}

void mbe_param_ref(struct mbe *e, uint32_t index)
{
	__atomic_fetch_add(&e->params[index].refs, 1, __ATOMIC_RELAXED);
	MBE_STEP(e, "ref: counted");
}

uint16_t mbe_param_unref(struct mbe *e, uint32_t index)
{
	struct membox_fmt_param *p = &e->params[index];
	struct membox_fmt_param_fixed f;
	uint64_t word;
	uint16_t status = mbe_param_load(e, index, &f, &word);

	if (status)
		return status;
	if (!word || !p->refs)
		return mbe_stop(e);
	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_RELAXED))
		return MEMBOX_ST_OK;
	MBE_STEP(e, "unref: counted");
	if ((word & MEMBOX_PST_STATE) != MEMBOX_PST_LIVE || f.attrs & MEMBOX_PARAM_EPHEMERAL)
		mbe_param_release(e, index, &f, word);
	return MEMBOX_ST_OK;
}

/* ---- giving space back ---- */

static bool next_pending(struct mbe *e, uint32_t *index)
{
	bool found;

	pthread_mutex_lock(&e->table_mutex);
	found = e->nzeroing > 0;
	if (found)
		*index = e->zeroing[--e->nzeroing];
	pthread_mutex_unlock(&e->table_mutex);
	return found;
}

/* The table could not be had: whoever comes next tries again. */
static void keep_pending(struct mbe *e, uint32_t index)
{
	pthread_mutex_lock(&e->table_mutex);
	if (e->nzeroing < e->geo.params)
		e->zeroing[e->nzeroing++] = index;
	pthread_mutex_unlock(&e->table_mutex);
}

/* Locked: the bytes are zero. */
static void give_back(struct mbe *e, uint32_t index, const struct membox_fmt_param_fixed *f)
{
	struct membox_fmt_port *p = &e->ports[f->port];

	mbe_free(e, f->offset, f->extent);
	if (f->attrs & MEMBOX_PARAM_MAPPABLE)
		mbe_free(e, f->version, MEMBOX_FMT_PAGE);
	if (!memcmp(p->principal, f->owner, sizeof(f->owner)) && p->used_params) {
		p->used_bytes -= f->extent;
		p->used_params--;
	}
	e->state->params_used--;
	MBE_STEP(e, "free: counted");
	MBE_STORE(&e->params[index].word, 0);
	MBE_STEP(e, "free: free");
}

void mbe_zero_pending(struct mbe *e)
{
	struct membox_fmt_param_fixed f;
	uint32_t index;
	uint64_t word;

	while (next_pending(e, &index)) {
		/* FREEING by us: nobody else changes it */
		if (mbe_param_load(e, index, &f, &word) || (word & MEMBOX_PST_STATE) != MEMBOX_PST_FREEING)
			continue;
		memset(e->map + f.offset, 0, f.extent);
		if (f.attrs & MEMBOX_PARAM_MAPPABLE)
			memset(e->map + f.version, 0, MEMBOX_FMT_PAGE);
		MBE_STEP(e, "free: zeroed");
		if (mbe_table_lock(e)) {
			keep_pending(e, index);
			return;
		}
		give_back(e, index, &f);
		mbe_table_unlock(e);
	}
}

void mbe_param_waiters(struct mbe *e, const uint32_t *index, uint32_t *count, unsigned int n)
{
	uint32_t port, i;
	unsigned int k;

	memset(count, 0, n * sizeof(*count));
	for (port = 0; port < e->geo.ports; port++) {
		const uint64_t *waiters = mbe_area_of(e, MEMBOX_AREA_WAITERS, port);

		if ((uint32_t)MBE_LOAD(&e->ports[port].word) != MEMBOX_PORT_LIVE)
			continue;
		for (i = 0; i < e->geo.waiters; i++) {
			uint64_t word = MBE_LOAD(&waiters[i]);

			if (!(word & MEMBOX_WAITER_USED))
				continue;
			for (k = 0; k < n; k++)
				count[k] += (uint32_t)word >> MEMBOX_WAITER_PARAM_SHIFT == index[k];
		}
	}
}
