/* SPDX-License-Identifier: MIT */
/*
 * handle.c - references of this port to parameters. Slot i of the port in the
 * box is the truth (it is what recovery sees); e->refs[i] is the checked copy in
 * memory that commands use, and counts the commands in flight.
 *
 * A close stores the reference's word, then `draining`, and looks at inflight; a
 * command's end takes inflight down and looks at draining. Both are sequentially
 * consistent, so one of the two finishes the close, under the table's lock. Until
 * then the slot in the box stays, and with it the parameter's bytes.
 */
#include "tables.h"

#define WORD_STATE 0xffULL
#define WORD_CONTEXT_SHIFT 32
#define WORD_GEN_SHIFT 48

static uint64_t make_word(uint16_t generation, unsigned int context, uint32_t rights,
			  enum mbe_ref_state state)
{
	return (uint64_t)generation << WORD_GEN_SHIFT | (uint64_t)context << WORD_CONTEXT_SHIFT |
	       (uint64_t)rights << 8 | state;
}

static unsigned int word_context(uint64_t word)
{
	return (unsigned int)(word >> WORD_CONTEXT_SHIFT) & 0xffff;
}

uint32_t mbe_ref_number(const struct mbe *e, uint32_t slot)
{
	return (uint32_t)(MBE_LOAD(&e->refs[slot].word) >> WORD_GEN_SHIFT) << 16 | slot;
}

/* Is it a handle of that context and number? */
static bool word_is(uint64_t word, unsigned int context, uint32_t handle)
{
	uint64_t state = word & WORD_STATE;

	return (state == MBE_REF_OPEN || state == MBE_REF_ZOMBIE) && word_context(word) == context &&
	       word >> WORD_GEN_SHIFT == handle >> 16;
}

/* OK while the parameter is what was opened and was not taken from everybody. */
static uint16_t check_param(const struct mbe *e, const struct mbe_ref *r)
{
	uint64_t word = MBE_LOAD(&e->params[r->param].word);
	uint64_t state = word & MEMBOX_PST_STATE;

	if (word >> MEMBOX_PST_SERIAL_SHIFT == r->serial &&
	    (state == MEMBOX_PST_LIVE || state == MEMBOX_PST_UNLINKED))
		return MEMBOX_ST_OK;
	return MEMBOX_ST_DESTROYED;
}

/* ---- commands ---- */

/* Locked: the last command of a closed slot ended. */
static uint16_t finish_close(struct mbe *e, uint32_t slot)
{
	struct mbe_ref *r = &e->refs[slot];

	MBE_STORE(&r->draining, 0);
	MBE_STORE(&e->handles[slot].word, 0);
	MBE_STEP(e, "close: slot freed");
	return mbe_param_unref(e, r->param);
}

static void drop_inflight(struct mbe *e, uint32_t slot)
{
	struct mbe_ref *r = &e->refs[slot];

	if (__atomic_sub_fetch(&r->inflight, 1, __ATOMIC_SEQ_CST) ||
	    !__atomic_load_n(&r->draining, __ATOMIC_SEQ_CST))
		return;
	if (mbe_table_lock(e))
		return;
	if (r->draining && !__atomic_load_n(&r->inflight, __ATOMIC_SEQ_CST))
		finish_close(e, slot);
	mbe_table_unlock(e);
	mbe_zero_pending(e);
}

uint16_t mbe_operand_get(struct mbe *e, unsigned int context, uint32_t handle, struct mbe_operand *out)
{
	uint32_t slot = handle & 0xffff;
	struct mbe_ref *r;
	uint16_t status;
	uint64_t word;

	if (mbe_stopped(e))
		return e->forgotten || e->away ? MEMBOX_ST_GONE : MEMBOX_ST_CORRUPT;
	if (!mbe_context_open(e, context))
		return MEMBOX_ST_BAD_CONTEXT;
	if (slot >= e->geo.handles)
		return MEMBOX_ST_BAD_HANDLE;
	r = &e->refs[slot];
	__atomic_fetch_add(&r->inflight, 1, __ATOMIC_SEQ_CST);
	word = __atomic_load_n(&r->word, __ATOMIC_SEQ_CST);
	if (!word_is(word, context, handle))
		status = MEMBOX_ST_BAD_HANDLE;
	else if ((word & WORD_STATE) == MBE_REF_ZOMBIE)
		status = MEMBOX_ST_DESTROYED;
	else
		status = check_param(e, r);
	if (status) {
		drop_inflight(e, slot);
		return status;
	}
	out->param = r->param;
	out->slot = slot;
	out->serial = r->serial;
	out->data = r->data;
	out->bytes = r->bytes;
	out->address = (uint64_t)(r->data - e->map);
	out->ver = r->ver;
	out->rights = (uint32_t)(word >> 8) & 0xff;
	out->attrs = r->attrs;
	out->type = r->type;
	return MEMBOX_ST_OK;
}

void mbe_operand_put(struct mbe *e, const struct mbe_operand *op)
{
	drop_inflight(e, op->slot);
}

/* ---- opening and closing; locked ---- */

static bool slot_is_free(const struct mbe *e, uint32_t slot)
{
	return !MBE_LOAD(&e->refs[slot].word) && !MBE_LOAD(&e->refs[slot].draining) &&
	       !MBE_LOAD(&e->handles[slot].word);
}

static uint16_t find_slot(struct mbe *e, uint32_t *slot)
{
	uint32_t i;

	for (i = 0; i < e->geo.handles; i++) {
		*slot = (e->ref_hint + i) % e->geo.handles;
		if (!slot_is_free(e, *slot))
			continue;
		e->ref_hint = *slot + 1;
		if (!++e->ref_gen[*slot]) /* 0 would make a handle of 0 */
			e->ref_gen[*slot] = 1;
		return MEMBOX_ST_OK;
	}
	return MEMBOX_ST_TABLE_FULL;
}

void mbe_ref_fill(struct mbe *e, uint32_t slot, unsigned int context, uint32_t index,
		  const struct membox_fmt_param_fixed *f, uint32_t rights, enum mbe_ref_state state)
{
	struct mbe_ref *r = &e->refs[slot];

	r->param = index;
	r->serial = f->serial;
	r->data = e->map + f->offset;
	r->bytes = f->bytes;
	r->ver = mbe_param_version(e, f);
	r->attrs = f->attrs;
	r->type = (uint8_t)f->type;
	MBE_STORE(&r->word, make_word(e->ref_gen[slot], context, rights, state));
}

void mbe_ref_zombie(struct mbe *e, uint32_t slot, unsigned int context)
{
	MBE_STORE(&e->refs[slot].word, make_word(e->ref_gen[slot], context, 0, MBE_REF_ZOMBIE));
}

uint16_t mbe_ref_open(struct mbe *e, unsigned int context, uint32_t index,
		      const struct membox_fmt_param_fixed *f, uint32_t rights,
		      enum mbe_ref_state state, uint32_t *slot)
{
	uint16_t status = find_slot(e, slot);
	struct membox_fmt_handle *h;
	uint64_t word;

	if (status)
		return status;
	h = &e->handles[*slot];
	h->param = index;
	h->serial = f->serial;
	MBE_STEP(e, "open: slot filled");
	mbe_param_ref(e, index);
	word = (uint64_t)e->ref_gen[*slot] << MEMBOX_HANDLE_GEN_SHIFT |
	       (uint64_t)context << MEMBOX_HANDLE_CONTEXT_SHIFT |
	       (uint64_t)rights << MEMBOX_HANDLE_RIGHTS_SHIFT |
	       (state == MBE_REF_HOLD ? MEMBOX_HANDLE_HOLD : MEMBOX_HANDLE_OPEN);
	MBE_STORE(&h->word, word);
	MBE_STEP(e, "open: slot stored");
	mbe_ref_fill(e, *slot, context, index, f, rights, state);
	return MEMBOX_ST_OK;
}

uint16_t mbe_ref_find(struct mbe *e, unsigned int context, uint32_t handle, uint32_t *slot)
{
	uint64_t word;

	*slot = handle & 0xffff;
	if (*slot >= e->geo.handles)
		return MEMBOX_ST_BAD_HANDLE;
	word = MBE_LOAD(&e->refs[*slot].word);
	if (!word_is(word, context, handle))
		return MEMBOX_ST_BAD_HANDLE;
	if ((word & WORD_STATE) == MBE_REF_ZOMBIE)
		return MEMBOX_ST_DESTROYED;
	return check_param(e, &e->refs[*slot]);
}

uint16_t mbe_ref_close(struct mbe *e, uint32_t slot, enum mbe_ref_state left)
{
	struct mbe_ref *r = &e->refs[slot];
	uint64_t word = MBE_LOAD(&r->word);
	uint64_t now = left == MBE_REF_ZOMBIE ? (word & ~WORD_STATE) | MBE_REF_ZOMBIE : 0;

	if (r->subscribed)
		mbe_subscribe(e, slot, false);
	__atomic_store_n(&r->word, now, __ATOMIC_SEQ_CST);
	if ((word & WORD_STATE) == MBE_REF_ZOMBIE)
		return MEMBOX_ST_OK; /* its reference went, or goes with its last command */
	__atomic_store_n(&r->draining, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&r->inflight, __ATOMIC_SEQ_CST)) {
		mbe_wake(e); /* a WAIT on it has to look again */
		return MEMBOX_ST_OK;
	}
	return finish_close(e, slot);
}

uint16_t mbe_ref_zombify(struct mbe *e, unsigned int context, uint32_t index)
{
	uint16_t status = MEMBOX_ST_OK;
	uint32_t i;

	for (i = 0; i < e->geo.handles && !status; i++) {
		uint64_t word = MBE_LOAD(&e->refs[i].word);

		if ((word & WORD_STATE) == MBE_REF_OPEN && word_context(word) == context &&
		    e->refs[i].param == index)
			status = mbe_ref_close(e, i, MBE_REF_ZOMBIE);
	}
	return status;
}

uint16_t mbe_ref_close_all(struct mbe *e, unsigned int context, bool holds)
{
	uint16_t status = MEMBOX_ST_OK;
	uint32_t i;

	for (i = 0; i < e->geo.handles && !status; i++) {
		uint64_t word = MBE_LOAD(&e->refs[i].word);

		if (word && (context == -1U || word_context(word) == context) &&
		    ((word & WORD_STATE) != MBE_REF_HOLD || holds))
			status = mbe_ref_close(e, i, MBE_REF_FREE);
	}
	return status;
}

/* ---- windows ---- */

static uint16_t extent_of(struct mbe *e, unsigned int context, uint32_t handle, struct mbe_extent *out)
{
	struct membox_fmt_param_fixed f;
	const struct mbe_ref *r;
	uint32_t slot, hold;
	uint64_t word;
	uint16_t status = mbe_ref_find(e, context, handle, &slot);

	if (status)
		return status;
	r = &e->refs[slot];
	if (!(r->attrs & MEMBOX_PARAM_MAPPABLE))
		return MEMBOX_ST_NOT_MAPPABLE;
	status = mbe_param_load(e, r->param, &f, &word);
	if (status)
		return status;
	status = mbe_ref_open(e, context, r->param, &f, mbe_ref_rights(r), MBE_REF_HOLD, &hold);
	if (status)
		return status;
	out->offset = f.offset;
	out->length = f.extent;
	out->rights = mbe_ref_rights(r);
	out->param = r->param;
	out->serial = r->serial;
	return MEMBOX_ST_OK;
}

uint16_t mbe_extent_get(struct mbe *e, unsigned int context, uint32_t handle, struct mbe_extent *out)
{
	uint16_t status;

	if (!mbe_context_open(e, context))
		return MEMBOX_ST_BAD_CONTEXT;
	status = mbe_table_lock(e);
	if (status)
		return status;
	status = extent_of(e, context, handle, out);
	mbe_table_unlock(e);
	return status;
}

void mbe_extent_put(struct mbe *e, const struct mbe_extent *x)
{
	uint32_t i;

	if (mbe_table_lock(e))
		return;
	for (i = 0; i < e->geo.handles; i++) {
		const struct mbe_ref *r = &e->refs[i];

		if ((MBE_LOAD(&r->word) & WORD_STATE) == MBE_REF_HOLD && r->param == x->param &&
		    r->serial == x->serial) {
			mbe_ref_close(e, i, MBE_REF_FREE);
			break;
		}
	}
	mbe_table_unlock(e);
	mbe_zero_pending(e);
}

bool mbe_extent_find(struct mbe *e, uint32_t param, uint64_t serial, struct mbe_extent *out)
{
	struct membox_fmt_param_fixed f;
	uint64_t word = 0;
	uint32_t i;

	if (param >= e->geo.params || mbe_table_lock(e))
		return false;
	for (i = 0; i < e->geo.handles && !word; i++) {
		const struct mbe_ref *r = &e->refs[i];

		if ((MBE_LOAD(&r->word) & WORD_STATE) != MBE_REF_HOLD || r->param != param ||
		    r->serial != serial || mbe_param_load(e, param, &f, &word) || !word)
			continue;
		*out = (struct mbe_extent){
			.offset = f.offset, .length = f.extent, .rights = mbe_ref_rights(r),
			.param = param, .serial = serial,
		};
	}
	mbe_table_unlock(e);
	return word != 0;
}

bool mbe_extent_revoked(const struct mbe *e, const struct mbe_extent *x)
{
	return MBE_LOAD(&e->params[x->param].word) ==
	       (x->serial << MEMBOX_PST_SERIAL_SHIFT | MEMBOX_PST_REVOKED);
}
