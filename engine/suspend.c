// SPDX-License-Identifier: MIT
/*
 * suspend.c - a port changes its process, as when a VM migrates: it is SUSPENDED
 * in the box under a uuid, with everything that it has (contexts, references,
 * parameter locks, seats, mail), and nobody holds its byte until somebody resumes
 * it by that uuid or evicts it.
 *
 * What only the owner's memory knew of its references is written into their
 * slots first: the last number given, the version told of, and which handles are
 * left of a parameter that was destroyed. Who resumes or evicts holds the port's
 * byte before it looks at the port's state; the generation stays the same, so
 * that lock words and seats that name the port stay true.
 */
#include <errno.h>
#include <string.h>

#include "exec.h"
#include "tables.h"

#define WORD_STATE 0xffULL

bool mbe_away(const struct mbe *e)
{
	return e->away;
}

/* ---- suspending ---- */

static void write_down(struct mbe *e)
{
	uint32_t i;

	for (i = 0; i < e->geo.handles; i++) {
		const struct mbe_ref *r = &e->refs[i];
		uint64_t word = MBE_LOAD(&r->word);
		uint32_t kept = e->ref_gen[i];

		if ((word & WORD_STATE) == MBE_REF_ZOMBIE)
			kept |= MEMBOX_KEPT_ZOMBIE |
				((uint32_t)(word >> 32) & 0xff) << MEMBOX_KEPT_CONTEXT_SHIFT;
		e->handles[i].kept = kept;
		e->handles[i].told = r->subscribed ? r->told : 0;
	}
}

uint16_t mbe_suspend(struct mbe *e, const uint8_t uuid[16])
{
	uint16_t status;

	if (mbe_stopped(e))
		return e->away ? MEMBOX_ST_GONE : MEMBOX_ST_CORRUPT;
	mbe_zero_pending(e);
	status = mbe_table_lock(e);
	if (status)
		return status;
	write_down(e);
	MBE_STEP(e, "suspend: written down");
	memcpy(e->self->suspended, uuid, sizeof(e->self->suspended));
	/* a suspended port is not alive: it must hold no lock that another may take from it */
	mbe_table_unlock(e);
	e->away = true;
	e->looking = true;
	MBE_STORE(&e->self->word, mbe_port_word(e->generation, MEMBOX_PORT_SUSPENDED));
	MBE_STEP(e, "suspend: stored");
	mbe_byte_unlock(e->lock_fd, mbe_port_byte(&e->geo, e->port));
	mbe_wake_all(e);
	return MEMBOX_ST_OK;
}

/* ---- resuming ---- */

/* One slot of the box into memory. Locked. */
static uint16_t read_slot(struct mbe *e, uint32_t slot)
{
	const struct membox_fmt_handle *h = &e->handles[slot];
	uint64_t word = MBE_LOAD(&h->word), param_word;
	uint32_t kept = h->kept, param = h->param;
	unsigned int context = (unsigned int)(word >> MEMBOX_HANDLE_CONTEXT_SHIFT) & 0xffff;
	struct membox_fmt_param_fixed f;
	enum mbe_ref_state state;
	uint16_t status;

	e->ref_gen[slot] = (uint16_t)kept;
	if (!word) {
		if (kept & MEMBOX_KEPT_ZOMBIE)
			mbe_ref_zombie(e, slot, kept >> MEMBOX_KEPT_CONTEXT_SHIFT & 0xff);
		return MEMBOX_ST_OK;
	}
	state = (word & 0xff) == MEMBOX_HANDLE_HOLD ? MBE_REF_HOLD : MBE_REF_OPEN;
	if ((word & 0xff) > MEMBOX_HANDLE_HOLD || context >= MEMBOX_MAX_CONTEXTS ||
	    param >= e->geo.params)
		return mbe_stop(e);
	status = mbe_param_load(e, param, &f, &param_word);
	if (status)
		return status;
	if (!param_word || f.serial != h->serial)
		return mbe_stop(e);
	e->ref_gen[slot] = (uint16_t)(word >> MEMBOX_HANDLE_GEN_SHIFT);
	mbe_ref_fill(e, slot, context, param, &f, (uint32_t)(word >> MEMBOX_HANDLE_RIGHTS_SHIFT) & 0xff,
		     state);
	if (word & MEMBOX_HANDLE_SUBSCRIBED)
		mbe_subscribed(e, slot, h->told);
	return MEMBOX_ST_OK;
}

/* All that the port has, from the box into memory. Locked. */
static uint16_t read_back(struct mbe *e)
{
	uint16_t status = MEMBOX_ST_OK;
	uint32_t i;

	memset(e->refs, 0, sizeof(*e->refs) * e->geo.handles);
	memset(e->watches, 0, sizeof(*e->watches) * e->geo.params);
	memset(e->waiting, 0, sizeof(*e->waiting) * e->geo.waiters);
	e->nsubs = 0;
	e->nwaiting = 0;
	e->mail_told = 0; /* tells of all mail once more, and of revocations */
	MBE_STORE(&e->revoked_seen, MBE_LOAD(&e->state->revocations) - 1);
	for (i = 0; i < MEMBOX_MAX_CONTEXTS; i++) {
		uint64_t word = MBE_LOAD(&e->contexts[i].word);

		MBE_STORE(&e->ctx_gen[i], word & 1 ? (uint32_t)(word >> 32) : 0);
	}
	for (i = 0; i < e->geo.handles && !status; i++)
		status = read_slot(e, i);
	e->exec->outcome_seq = mbe_outcome_next(e, e->port);
	return status;
}

/* Is the port ours to resume? Both its bytes are ours. */
static int check_suspended(struct mbe *e, const uint8_t uuid[16], char text[MBE_ERR_TEXT])
{
	uint64_t word = MBE_LOAD(&e->self->word);
	bool rdonly = MBE_LOAD(&e->self->flags) & MEMBOX_PORTF_RDONLY;

	if ((uint32_t)word != MEMBOX_PORT_SUSPENDED ||
	    memcmp(e->self->suspended, uuid, sizeof(e->self->suspended)))
		return mbe_fail(text, -ENOENT,
				"port %u does not wait for this owner: it was evicted, or somebody else has it",
				e->port);
	if (MBE_LOAD(&e->state->stopped))
		return mbe_fail(text, -EUCLEAN, "the box is stopped: corrupt metadata was met");
	if (rdonly != e->rdonly)
		return mbe_fail(text, -EINVAL, "port %u was suspended as rights=%s and cannot go on as rights=%s",
				e->port, rdonly ? "ro" : "rw", e->rdonly ? "ro" : "rw");
	return 0;
}

/* Both bytes are ours, and the port waits for us. */
static int take_back(struct mbe *e, char text[MBE_ERR_TEXT])
{
	uint16_t status;

	e->generation = (uint32_t)(MBE_LOAD(&e->self->word) >> 32);
	memcpy(e->principal, e->self->principal, sizeof(e->principal));
	mbe_identity_set(e);
	MBE_STEP(e, "resume: identity");
	MBE_STORE(&e->self->word, mbe_port_word(e->generation, MEMBOX_PORT_LIVE));
	MBE_STEP(e, "resume: live");
	e->away = false;
	e->looking = false;
	status = mbe_table_lock(e);
	if (!status) {
		status = read_back(e);
		mbe_table_unlock(e);
	}
	return status ? mbe_fail(text, -membox_status_errno(status), "cannot resume port %u: status %u", e->port,
				 status) : 0;
}

int mbe_resume(struct mbe *e, const uint8_t uuid[16], char text[MBE_ERR_TEXT])
{
	uint64_t byte = mbe_port_byte(&e->geo, e->port);
	int err;

	if (!e->away)
		return mbe_fail(text, -EINVAL, "port %u is not suspended", e->port);
	err = mbe_byte_wait(e->lock_fd, byte, false);
	if (err)
		return mbe_fail(text, err == -EAGAIN ? -EBUSY : err, "port %u is somebody else's", e->port);
	err = mbe_byte_wait(e->lock_fd, byte + 1, false);
	if (err) {
		mbe_byte_unlock(e->lock_fd, byte);
		return mbe_fail(text, err == -EAGAIN ? -EBUSY : err, "port %u is being recovered", e->port);
	}
	err = check_suspended(e, uuid, text);
	if (!err)
		err = take_back(e, text);
	mbe_byte_unlock(e->lock_fd, byte + 1);
	if (err && e->away)
		mbe_byte_unlock(e->lock_fd, byte);
	else
		mbe_wake_all(e);
	return err;
}

/* ---- evicting ---- */

uint16_t mbe_port_evict(struct mbe *e, uint32_t port)
{
	uint64_t byte, word;
	uint16_t status = MEMBOX_ST_BUSY;

	if (port >= e->geo.ports)
		return MEMBOX_ST_BAD_ARGUMENT;
	if (e->rdonly || !e->opts.is_operator)
		return MEMBOX_ST_DENIED;
	word = MBE_LOAD(&e->ports[port].word);
	if ((uint32_t)word == MEMBOX_PORT_FREE)
		return MEMBOX_ST_NOT_FOUND;
	byte = mbe_port_byte(&e->geo, port);
	if ((uint32_t)word != MEMBOX_PORT_SUSPENDED || mbe_byte_wait(e->lock_fd, byte, false))
		return MEMBOX_ST_BUSY;
	word = MBE_LOAD(&e->ports[port].word);
	if ((uint32_t)word == MEMBOX_PORT_SUSPENDED) {
		MBE_STORE(&e->ports[port].word,
			  mbe_port_word((uint32_t)(word >> 32), MEMBOX_PORT_DEAD));
		MBE_STEP(e, "evict: dead");
		status = MEMBOX_ST_OK;
	}
	mbe_byte_unlock(e->lock_fd, byte);
	if (!status && !mbe_recover_port(e, port))
		status = MEMBOX_ST_BUSY;
	return status;
}
