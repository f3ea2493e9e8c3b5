/* SPDX-License-Identifier: MIT */
/*
 * param_cmd.c - the administration commands on parameters, find-or-create first
 * of all: reading the table, deciding, changing it and opening a reference are
 * one step under the table's lock, which admin.c holds round each function here.
 * Arguments are checked whole before anything is done.
 */
#include "tables.h"

#define CREATE_ONLY (MEMBOX_PARAM_EXCL | MEMBOX_PARAM_MAPPABLE | MEMBOX_PARAM_EPHEMERAL | \
		     MEMBOX_PARAM_NOJOURNAL)
#define LASTING (MEMBOX_PARAM_KEYED | MEMBOX_PARAM_MAPPABLE | MEMBOX_PARAM_EPHEMERAL | \
		 MEMBOX_PARAM_NOJOURNAL) /* attributes that stay */
#define DEFAULT_MODE 0666U

/* ---- opening ---- */

static bool mode_ok(uint32_t mode)
{
	/* there are owners and others: what Unix has between must say what others do */
	return !(mode & ~0666U) && (mode >> 3 & 7) == (mode & 7);
}

static uint16_t check_open(const struct membox_param_args *a)
{
	bool create = a->flags & MEMBOX_PARAM_CREATE, keyed = a->flags & MEMBOX_PARAM_KEYED;

	if (!mbe_name_ok(a->name))
		return MEMBOX_ST_BAD_NAME;
	if (a->flags & ~MEMBOX_PARAM_FLAGS)
		return MEMBOX_ST_BAD_FLAG;
	if (!create && (a->flags & CREATE_ONLY || a->mode))
		return MEMBOX_ST_BAD_ARGUMENT;
	if (create && keyed && !(a->flags & MEMBOX_PARAM_EXCL))
		return MEMBOX_ST_BAD_ARGUMENT;
	if ((create || !keyed) && (a->key.word[0] || a->key.word[1]))
		return MEMBOX_ST_BAD_ARGUMENT;
	if (!mode_ok(a->mode))
		return MEMBOX_ST_BAD_ARGUMENT;
	if (a->type > 0xff || ((a->type || create) && !membox_type_bytes((uint8_t)a->type)))
		return MEMBOX_ST_BAD_TYPE;
	if (create && !a->count)
		return MEMBOX_ST_ZERO_LENGTH;
	return MEMBOX_ST_OK;
}

/* What this port may do with a parameter, by its mode. */
static uint32_t rights_of(const struct mbe *e, const struct membox_fmt_param_fixed *f)
{
	bool owner = !memcmp(f->owner, e->principal, sizeof(f->owner));
	uint32_t bits = owner ? f->mode >> 6 : f->mode, rights = 0;

	if (bits & 4)
		rights |= MEMBOX_WIN_READ;
	if (bits & 2 && !e->rdonly)
		rights |= MEMBOX_WIN_WRITE;
	return rights;
}

/* Cuts rights down to what was asked for: DENIED when that is more. */
static uint16_t want_rights(const struct membox_param_args *a, uint32_t *rights)
{
	if (a->flags & MEMBOX_PARAM_RDONLY)
		*rights &= MEMBOX_WIN_READ;
	else if (!(*rights & MEMBOX_WIN_WRITE))
		*rights = 0;
	return *rights ? MEMBOX_ST_OK : MEMBOX_ST_DENIED;
}

/* May an existing parameter be had with these arguments? */
static uint16_t check_existing(const struct mbe *e, const struct membox_param_args *a,
			       const struct membox_fmt_param_fixed *f, uint32_t *rights)
{
	uint32_t differ = (f->attrs ^ a->flags) & (MEMBOX_PARAM_EPHEMERAL | MEMBOX_PARAM_NOJOURNAL);

	if (a->flags & MEMBOX_PARAM_EXCL)
		return MEMBOX_ST_EXISTS;
	if ((f->attrs ^ a->flags) & MEMBOX_PARAM_KEYED)
		return MEMBOX_ST_KEY_REFUSED;
	if (f->attrs & MEMBOX_PARAM_KEYED && !mbe_key_equal(f->salt, f->key, &a->key))
		return MEMBOX_ST_KEY_REFUSED;
	if ((a->type && a->type != f->type) || (a->count && a->count != f->count))
		return MEMBOX_ST_SHAPE_MISMATCH;
	if (a->flags & MEMBOX_PARAM_CREATE && differ)
		return MEMBOX_ST_SHAPE_MISMATCH;
	if (a->flags & MEMBOX_PARAM_MAPPABLE && !(f->attrs & MEMBOX_PARAM_MAPPABLE))
		return MEMBOX_ST_NOT_MAPPABLE;
	*rights = rights_of(e, f);
	return want_rights(a, rights);
}

/* A new parameter of these arguments; its creator may do all that his port may. */
static uint16_t create(struct mbe *e, struct membox_param_args *a, struct membox_fmt_param_fixed *f,
		       uint32_t *index, uint32_t *rights)
{
	uint32_t element = membox_type_bytes((uint8_t)a->type);
	struct membox_key key = {{0, 0}};
	uint16_t status;

	if (e->rdonly)
		return MEMBOX_ST_DENIED;
	if (a->count > e->geo.data_bytes / element)
		return MEMBOX_ST_NO_SPACE;
	memset(f, 0, sizeof(*f));
	mbe_name_copy(f->name, a->name);
	f->type = a->type;
	f->mode = a->mode ? a->mode : DEFAULT_MODE;
	f->count = a->count;
	f->bytes = a->count * element;
	f->attrs = a->flags & LASTING;
	if (f->attrs & MEMBOX_PARAM_KEYED &&
	    (mbe_random(&key, sizeof(key)) || mbe_key_set(f->salt, f->key, &key)))
		return MEMBOX_ST_INTERNAL;
	*rights = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE;
	if (a->flags & MEMBOX_PARAM_RDONLY)
		*rights = MEMBOX_WIN_READ;
	status = mbe_param_make(e, f, index);
	if (!status)
		a->key = key;
	return status;
}

uint16_t mbe_param_open(struct mbe *e, unsigned int context, struct membox_param_args *a)
{
	struct membox_fmt_param_fixed f;
	uint32_t index, rights, slot;
	uint16_t status = check_open(a);

	if (status)
		return status;
	status = mbe_param_find(e, a->name, &index, &f);
	a->created = status == MEMBOX_ST_NOT_FOUND && a->flags & MEMBOX_PARAM_CREATE;
	if (a->created)
		status = create(e, a, &f, &index, &rights);
	else if (!status)
		status = check_existing(e, a, &f, &rights);
	if (status)
		return status;
	status = mbe_ref_open(e, context, index, &f, rights, MBE_REF_OPEN, &slot);
	if (status) {
		if (a->created)
			mbe_param_unlink(e, index, MEMBOX_PST_UNLINKED);
		return status;
	}
	a->handle = mbe_ref_number(e, slot);
	a->type = f.type;
	a->mode = f.mode;
	a->count = f.count;
	a->bytes = f.bytes;
	a->address = f.offset;
	a->version = MBE_LOAD(&mbe_param_version(e, &f)->finished);
	a->rights = rights;
	a->attrs = f.attrs;
	return MEMBOX_ST_OK;
}

/* ---- closing, destroying ---- */

/* References that keep the space of a parameter without name; 0 when it has one. */
static uint32_t refs_left(const struct mbe *e, uint32_t index, uint64_t serial)
{
	uint64_t word = MBE_LOAD(&e->params[index].word);
	uint64_t state = word & MEMBOX_PST_STATE;

	if (word >> MEMBOX_PST_SERIAL_SHIFT != serial ||
	    (state != MEMBOX_PST_UNLINKED && state != MEMBOX_PST_REVOKED))
		return 0;
	return MBE_PEEK(&e->params[index].refs);
}

uint16_t mbe_param_close(struct mbe *e, unsigned int context, struct membox_handle_args *a)
{
	uint32_t slot, index;
	uint64_t serial;
	uint16_t status = mbe_ref_find(e, context, a->handle, &slot);

	if (status == MEMBOX_ST_BAD_HANDLE)
		return status;
	index = e->refs[slot].param;
	serial = e->refs[slot].serial;
	status = mbe_ref_close(e, slot, MBE_REF_FREE);
	if (!status)
		a->deferred = refs_left(e, index, serial);
	return status;
}

static bool may_destroy(const struct mbe *e, const struct membox_fmt_param_fixed *f)
{
	return e->opts.is_operator || !memcmp(f->owner, e->principal, sizeof(f->owner));
}

uint16_t mbe_param_destroy(struct mbe *e, unsigned int context, struct membox_handle_args *a)
{
	struct membox_fmt_param_fixed f;
	uint32_t slot, index;
	uint64_t word;
	uint16_t status = mbe_ref_find(e, context, a->handle, &slot);

	if (status)
		return status;
	index = e->refs[slot].param;
	status = mbe_param_load(e, index, &f, &word);
	if (status)
		return status;
	if (e->rdonly || !may_destroy(e, &f))
		return MEMBOX_ST_DENIED;
	if ((word & MEMBOX_PST_STATE) != MEMBOX_PST_LIVE)
		return MEMBOX_ST_DESTROYED;
	status = mbe_param_unlink(e, index, MEMBOX_PST_UNLINKED);
	if (!status)
		status = mbe_ref_zombify(e, context, index);
	if (!status)
		a->deferred = refs_left(e, index, f.serial);
	return status;
}

uint16_t mbe_param_revoke(struct mbe *e, unsigned int context, struct membox_param_args *a)
{
	struct membox_fmt_param_fixed f;
	uint32_t index;
	uint16_t status;

	(void)context;
	if (!mbe_name_ok(a->name))
		return MEMBOX_ST_BAD_NAME;
	if (a->flags)
		return MEMBOX_ST_BAD_FLAG;
	if (e->rdonly || !e->opts.is_operator)
		return MEMBOX_ST_DENIED;
	status = mbe_param_find(e, a->name, &index, &f);
	if (!status)
		status = mbe_param_unlink(e, index, MEMBOX_PST_REVOKED);
	if (!status) {
		__atomic_fetch_add(&e->state->revocations, 1, __ATOMIC_SEQ_CST);
		mbe_wake_all(e);
	}
	return status;
}

/* ---- looking ---- */

static void fill_stat(struct mbe *e, uint32_t index, const struct membox_fmt_param_fixed *f, uint64_t word,
		      struct membox_param_stat *s)
{
	const struct membox_fmt_version *v = mbe_param_version(e, f);

	mbe_name_copy(s->name, f->name);
	s->type = f->type;
	s->mode = f->mode;
	s->count = f->count;
	s->bytes = f->bytes;
	s->address = f->offset;
	s->begun = MBE_LOAD(&v->begun);
	s->finished = MBE_LOAD(&v->finished);
	s->refs = MBE_PEEK(&e->params[index].refs);
	s->attrs = f->attrs;
	s->subscribers = MBE_PEEK(&e->params[index].subscribers);
	s->destroyed = (word & MEMBOX_PST_STATE) != MEMBOX_PST_LIVE;
	s->torn = MBE_LOAD(&v->torn) != 0;
	memcpy(s->owner, f->owner, sizeof(s->owner));
}

uint16_t mbe_param_stat(struct mbe *e, unsigned int context, struct membox_param_stat *a)
{
	struct membox_fmt_param_fixed f;
	uint32_t slot, index;
	uint64_t word;
	uint16_t status = mbe_ref_find(e, context, a->handle, &slot);

	if (status)
		return status;
	index = e->refs[slot].param;
	status = mbe_param_load(e, index, &f, &word);
	if (status)
		return status;
	fill_stat(e, index, &f, word, a);
	mbe_param_waiters(e, &index, &a->waiters, 1);
	return MEMBOX_ST_OK;
}

uint16_t mbe_param_list(struct mbe *e, unsigned int context, struct membox_list_args *a)
{
	uint32_t index[MEMBOX_LIST_ENTRIES], waiters[MEMBOX_LIST_ENTRIES], i;
	struct membox_fmt_param_fixed f;
	uint64_t word;
	uint16_t status;

	(void)context;
	if (a->rsvd)
		return MEMBOX_ST_RESERVED;
	a->count = 0;
	memset(a->entry, 0, sizeof(a->entry));
	for (i = a->cursor; i < e->geo.params && a->count < MEMBOX_LIST_ENTRIES; i++) {
		status = mbe_param_load(e, i, &f, &word);
		if (status)
			return status;
		if (!word || (word & MEMBOX_PST_STATE) == MEMBOX_PST_FREEING)
			continue;
		index[a->count] = i;
		a->entry[a->count].size = sizeof(a->entry[0]);
		fill_stat(e, i, &f, word, &a->entry[a->count++]);
	}
	a->cursor = i < e->geo.params ? i : 0;
	mbe_param_waiters(e, index, waiters, a->count);
	for (i = 0; i < a->count; i++)
		a->entry[i].waiters = waiters[i];
	return MEMBOX_ST_OK;
}

/* ---- granting, subscribing ---- */

uint16_t mbe_param_grant(struct mbe *e, unsigned int context, struct membox_grant_args *a)
{
	struct membox_mail mail = {.key = a->key};
	struct membox_fmt_param_fixed f;
	struct mbe_rank to;
	uint32_t slot;
	uint64_t word;
	uint16_t status = mbe_ref_find(e, context, a->handle, &slot);

	if (!status)
		status = mbe_param_load(e, e->refs[slot].param, &f, &word);
	if (status)
		return status;
	if (!(f.attrs & MEMBOX_PARAM_KEYED))
		return MEMBOX_ST_BAD_ARGUMENT;
	status = mbe_group_rank(e, context, a->group, a->rank, &to);
	if (status)
		return status;
	if (!mbe_key_equal(f.salt, f.key, &a->key))
		return MEMBOX_ST_KEY_REFUSED;
	mbe_name_copy(mail.name, f.name);
	mbe_name_copy(mail.group, to.group);
	return mbe_mail_send(e, to.port, to.context, to.context_gen, &mail);
}

uint16_t mbe_subscribe_cmd(struct mbe *e, unsigned int context, struct membox_handle_args *a)
{
	uint32_t slot;
	uint16_t status = mbe_ref_find(e, context, a->handle, &slot);

	if (status)
		return status;
	if (a->value > 1)
		return MEMBOX_ST_BAD_ARGUMENT;
	if (!(mbe_ref_rights(&e->refs[slot]) & MEMBOX_WIN_READ))
		return MEMBOX_ST_DENIED;
	mbe_subscribe(e, slot, a->value);
	return MEMBOX_ST_OK;
}
