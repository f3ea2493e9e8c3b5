// SPDX-License-Identifier: MIT
/*
 * journal_recover.c - settles what the dead owner of a port left open.
 *
 * 1. An open stripe gets its old bytes back. A command whose whole source is the
 *    box and which had finished stripes already does this one again, at once.
 *    Then no stripe is the dead port's any more, and all its lock words go.
 * 2. Such commands are carried on to their end ("rolled forward"), so that they
 *    have happened whole or not at all; each stripe is locked in the dead port's
 *    name, so that it stays locked if we die too.
 * 3. Outcome records, TORN marks, version counters; the records become idle. An idle
 *    one tells of its last command too, which may have ended without anybody knowing.
 *
 * Each step may be repeated by the next who recovers. No table lock is held, and
 * while we wait for a stripe we hold none, so two who recover two ports cannot
 * wait for one another.
 */
#include "exec.h"

#include <string.h>
#include <time.h>

#include "types.h"
#include "version.h"

/* A record as it was read, once; only this copy is looked at. */
struct record {
	struct membox_fmt_undo *u;
	struct membox_fmt_undo head;
	uint32_t index; /* among the port's */
	enum membox_fmt_undo_state state;
	uint64_t progress;
	struct membox_fmt_version *ver;
};

static uint32_t port_generation(struct mbe *e, uint32_t port)
{
	return (uint32_t)(MBE_LOAD(&e->ports[port].word) >> 32);
}

static bool in_data(const struct mbe *e, uint64_t offset, uint64_t bytes)
{
	return offset >= e->geo.data && bytes <= e->geo.data_bytes &&
	       offset - e->geo.data <= e->geo.data_bytes - bytes;
}

/* Where the counters of the record's parameter are; NULL when it is not there any more. */
static struct membox_fmt_version *version_of(struct mbe *e, const struct membox_fmt_undo *head)
{
	const struct membox_fmt_area *versions = &e->geo.area[MEMBOX_AREA_VERSIONS];
	uint64_t at, word;

	if (head->param >= e->geo.params)
		return NULL;
	word = MBE_LOAD(&e->params[head->param].word);
	if (!(word & MEMBOX_PST_STATE) || /* free */
	    word >> MEMBOX_PST_SERIAL_SHIFT != head->serial)
		return NULL;
	at = MBE_PEEK(&e->params[head->param].fixed.version);
	if (at % MEMBOX_FMT_LINE ||
	    (at - versions->offset >= versions->bytes && !in_data(e, at, MEMBOX_FMT_LINE))) {
		mbe_stop(e);
		return NULL;
	}
	return (void *)(e->map + at);
}

static struct membox_fmt_undo *record_at(struct mbe *e, uint32_t port, uint32_t index)
{
	uint8_t *records = mbe_area_of(e, MEMBOX_AREA_UNDO, port);

	return (void *)(records + index * e->geo.undo_bytes);
}

/* Reads a record. False: it is idle, or nonsense (and the box is stopped). */
static bool load_record(struct mbe *e, uint32_t port, uint32_t index, struct record *r)
{
	struct membox_packet clean;
	uint64_t word;
	uint32_t detail;

	r->u = record_at(e, port, index);
	r->index = index;
	word = MBE_LOAD(&r->u->word);
	r->state = word & MEMBOX_UNDO_STATE;
	r->progress = word >> MEMBOX_UNDO_PROGRESS_SHIFT & MEMBOX_UNDO_PROGRESS;
	if (r->state == MEMBOX_UNDO_IDLE)
		return false;
	r->head = *r->u;
	r->head.word = word;
	clean = r->head.packet;
	membox_descriptor_to_packet(&clean);
	if (r->state > MEMBOX_UNDO_END || r->progress > r->head.length ||
	    !in_data(e, r->head.base, r->head.length) ||
	    membox_check_packet(&clean, ~0ULL, MEMBOX_MAX_BYTES, &detail) ||
	    (r->state == MEMBOX_UNDO_OPEN &&
	     (r->head.bytes > e->geo.stripe_bytes ||
	      r->head.offset != r->head.base + r->progress ||
	      r->head.bytes > r->head.length - r->progress))) {
		mbe_stop(e);
		return false;
	}
	r->ver = version_of(e, &r->head);
	return true;
}

static void set_word(struct record *r, enum membox_fmt_undo_state state, uint64_t progress)
{
	r->state = state;
	r->progress = progress;
	r->head.word = (r->head.word >> MEMBOX_UNDO_SEQ_SHIFT) << MEMBOX_UNDO_SEQ_SHIFT |
		       progress << MEMBOX_UNDO_PROGRESS_SHIFT | state;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	MBE_STORE(&r->u->word, r->head.word);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The command's stretch if it can be carried on from its record, else NULL. */
static mbe_stretch_fn *forward_fn(struct mbe *e, const struct record *r)
{
	const struct membox_packet *p = &r->head.packet;
	uint64_t size = membox_type_bytes(p->dst_type);
	mbe_stretch_fn *fn = mbe_forward_fn(p);

	if (!fn || !r->ver || !r->progress || r->head.length % size || r->head.base % size ||
	    r->progress % size || (r->state == MEMBOX_UNDO_OPEN && r->head.bytes % size))
		return NULL;
	if (membox_packet_fields(p) & MBF_P1) {
		uint64_t ssize = membox_type_bytes(p->src_type), bytes = r->head.length / size * ssize;

		if (r->head.source % ssize || !in_data(e, r->head.source, bytes) ||
		    mbe_ranges_cross(r->head.base, r->head.length, r->head.source, bytes) ||
		    (p->opcode == MEMBOX_OP_COPY && r->head.base == r->head.source))
			return NULL;
	}
	return fn;
}

static void open_run(struct mbe *e, const struct record *r, struct mbe_run *run)
{
	memset(run, 0, sizeof(*run));
	run->e = e;
	run->p = &r->head.packet;
	run->dst = e->map + r->head.base;
	if (membox_packet_fields(run->p) & MBF_P1)
		run->src = e->map + r->head.source; /* checked by forward_fn */
	run->bytes = r->head.length;
	run->done = r->progress;
	run->undo = r->u;
	run->undo_seq = (uint32_t)(r->head.word >> MEMBOX_UNDO_SEQ_SHIFT);
	run->journal = true;
}

/* Step 1 for one record. */
static void undo_stripe(struct mbe *e, struct record *r)
{
	mbe_stretch_fn *fn = forward_fn(e, r);
	uint64_t done = r->progress;

	if (r->state != MEMBOX_UNDO_OPEN)
		return;
	memcpy(e->map + r->head.offset, (uint8_t *)r->u + MEMBOX_FMT_PAGE, r->head.bytes);
	MBE_STEP(e, "recover:undone");
	if (fn) {
		struct mbe_run run;

		open_run(e, r, &run);
		fn(&run, done, r->head.bytes);
		done += r->head.bytes;
		MBE_STEP(e, "recover:redone");
	}
	set_word(r, MEMBOX_UNDO_ACTIVE, done);
	MBE_STEP(e, "recover:closed");
}

static void drop_stripes(struct mbe *e, uint32_t port)
{
	for (uint32_t i = 0; i < e->geo.stripes; i++)
		if (mbe_lock_port(MBE_LOAD(&e->stripes[i].lock)) == port)
			mbe_unlock_word(e, &e->stripes[i].lock);
}

/* Locks a stripe as `name`, the dead port; its holders are alive or get recovered. */
static bool lock_in_name(struct mbe *e, __u64 *word, uint64_t name)
{
	static const struct timespec pause = { .tv_nsec = 100000 };
	uint64_t until = mbe_deadline(e, MBE_PATIENCE_NS);

	do {
		uint64_t held = 0;
		uint32_t port;

		if (__atomic_compare_exchange_n(word, (unsigned long long *)&held, name, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		port = mbe_lock_port(held);
		if (port < e->geo.ports && !mbe_port_alive(e, port, mbe_lock_generation(held)))
			mbe_recover_port(e, port);
		nanosleep(&pause, NULL);
	} while (mbe_clock(e) < until);
	return false;
}

/* Step 2 for one record; gives up on a stripe that a stopped port holds. */
static void roll_forward(struct mbe *e, uint32_t port, struct record *r)
{
	uint64_t name = membox_lock_word(port, port_generation(e, port), 0);
	uint64_t stripe = e->geo.stripe_bytes;
	mbe_stretch_fn *fn = forward_fn(e, r);
	struct mbe_run run;

	if (!fn || r->state != MEMBOX_UNDO_ACTIVE || !r->ver ||
	    MBE_PEEK(&e->params[r->head.param].fixed.attrs) & MEMBOX_PARAM_NOJOURNAL)
		return;
	open_run(e, r, &run);
	while (run.done < run.bytes) {
		uint64_t n = stripe - (r->head.base + run.done) % stripe;
		__u64 *word = mbe_stripe_word(e, r->head.base + run.done);

		if (n > run.bytes - run.done)
			n = run.bytes - run.done;
		if (!lock_in_name(e, word, name))
			break;
		mbe_undo_change(&run, run.done, n, fn);
		mbe_unlock_word(e, word);
		run.done += n;
	}
	set_word(r, MEMBOX_UNDO_ACTIVE, run.done);
}

/* Writes an outcome record, once: outcome and torn_at are there. */
static void tell(struct mbe *e, uint32_t port, const struct record *r, struct membox_fmt_outcome *what)
{
	what->user_data = r->head.user_data;
	what->status = MEMBOX_ST_OWNER_DEAD;
	what->command = (uint64_t)r->head.generation << 32 | r->head.word >> MEMBOX_UNDO_SEQ_SHIFT;
	what->writer = r->index + 1ULL;
	what->word = (uint64_t)(r->head.context_gen & 0xffff) << 16 |
		     (uint64_t)(r->head.context & 0xff) << 8 | 1;
	if (!mbe_outcome_known(e, port, what))
		mbe_outcome_add(e, port, mbe_outcome_next(e, port), what);
	MBE_STEP(e, "recover:outcome");
}

/* Tells of the command that an idle record held last, unless that was done. */
static void tell_last(struct mbe *e, uint32_t port, uint32_t index)
{
	struct record r = { .index = index };
	struct membox_fmt_outcome what = { 0 };

	r.u = record_at(e, port, index);
	r.head = *r.u;
	r.head.word = MBE_LOAD(&r.u->word);
	r.progress = r.head.word >> MEMBOX_UNDO_PROGRESS_SHIFT & MEMBOX_UNDO_PROGRESS;
	if ((r.head.word & MEMBOX_UNDO_STATE) != MEMBOX_UNDO_IDLE || !r.progress)
		return;
	what.torn_at = r.progress - 1;
	if (what.torn_at > r.head.length) {
		mbe_stop(e);
		return;
	}
	what.outcome = what.torn_at == r.head.length ? MEMBOX_OUTCOME_DONE :
		       what.torn_at ? MEMBOX_OUTCOME_TORN : MEMBOX_OUTCOME_NOT_BEGUN;
	tell(e, port, &r, &what);
	set_word(&r, MEMBOX_UNDO_IDLE, 0);
}

/* Step 3 for one record, but for the counters. */
static void settle(struct mbe *e, uint32_t port, struct record *r)
{
	struct membox_fmt_outcome what = { .torn_at = r->progress };
	bool journal = r->ver &&
		!(MBE_PEEK(&e->params[r->head.param].fixed.attrs) & MEMBOX_PARAM_NOJOURNAL);

	if (r->state == MEMBOX_UNDO_BEGIN)
		what.outcome = MEMBOX_OUTCOME_NOT_BEGUN;
	else if (r->progress == r->head.length)
		what.outcome = MEMBOX_OUTCOME_DONE;
	else if (r->progress || !journal)
		what.outcome = MEMBOX_OUTCOME_TORN;
	else
		what.outcome = MEMBOX_OUTCOME_NOT_BEGUN;
	if (what.outcome == MEMBOX_OUTCOME_TORN && r->ver)
		MBE_STORE(&r->ver->torn, 1);
	MBE_STEP(e, "recover:torn");
	tell(e, port, r, &what);
	if (r->ver) {
		struct mbe_operand op = {
			.param = r->head.param, .serial = r->head.serial, .ver = r->ver,
		};

		mbe_version_repair(e, port, r->ver, r->head.param, r->head.serial);
		mbe_changed(e, &op);
	}
}

void mbe_exec_recover(struct mbe *e, uint32_t port)
{
	struct record r;
	struct mbe_fp fp;
	uint32_t i;

	mbe_fp_enter(&fp);
	for (i = 0; i < e->geo.undos; i++)
		if (load_record(e, port, i, &r))
			undo_stripe(e, &r);
	drop_stripes(e, port);
	MBE_STEP(e, "recover:unlocked");
	for (i = 0; i < e->geo.undos; i++)
		if (load_record(e, port, i, &r))
			roll_forward(e, port, &r);
	for (i = 0; i < e->geo.undos; i++)
		if (load_record(e, port, i, &r))
			settle(e, port, &r);
		else
			tell_last(e, port, i);
	for (i = 0; i < e->geo.undos; i++)
		if (load_record(e, port, i, &r))
			set_word(&r, MEMBOX_UNDO_IDLE, 0);
	mbe_fp_leave(&fp);
}

void mbe_exec_forget(struct mbe *e)
{
	for (uint32_t i = 0; i < e->geo.undos; i++) {
		struct membox_fmt_undo *u = record_at(e, e->port, i);

		MBE_STORE(&u->word, MBE_LOAD(&u->word) >> MEMBOX_UNDO_SEQ_SHIFT << MEMBOX_UNDO_SEQ_SHIFT);
	}
}
