/* SPDX-License-Identifier: MIT */
/*
 * fsck.c - checks every record of a box, live or not, and tells of what does not
 * fit: the truth against its own rules, and the caches against the truth. Holds
 * the table's lock meanwhile, except in a stopped box, where nobody changes
 * anything. Changes nothing itself, but for one thing: a stopped box in which
 * nothing is found is started again.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "coll.h"
#include "tables.h"

#define LOOKS 100 /* at counters that move */

struct fsck {
	struct mbe *e;
	void (*report)(void *arg, const char *text);
	void *arg;
	unsigned int findings;

	/* what the caches should be */
	uint64_t *bitmap; /* [pages] */
	uint32_t *refs;	  /* [params] */
	uint32_t *subs;	  /* [params] */
	uint64_t granules, params;
	uint32_t names;
};

static void found(struct fsck *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void found(struct fsck *k, const char *format, ...)
{
	char text[MBE_ERR_TEXT];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	k->findings++;
	if (k->report)
		k->report(k->arg, text);
}

/* ---- superblock, ports ---- */

static void check_super(struct fsck *k)
{
	const struct mbe *e = k->e;
	struct membox_fmt_super s;
	const char *why;

	memcpy(&s, e->map, sizeof(s));
	why = mbe_super_check(&s, e->geo.bytes);
	if (why)
		found(k, "superblock: %s", why);
	memcpy(&s, e->map + e->geo.bytes - MEMBOX_FMT_PAGE, sizeof(s));
	why = mbe_super_check(&s, e->geo.bytes);
	if (why)
		found(k, "backup superblock: %s", why);
	else if (memcmp(&s, e->map, sizeof(s)))
		found(k, "backup superblock: differs from the first");
}

static bool lock_is_stale(const struct fsck *k, uint64_t word)
{
	uint32_t port = mbe_lock_port(word);

	return port >= k->e->geo.ports || !mbe_port_alive(k->e, port, mbe_lock_generation(word));
}

/* A PARAM_LOCK lasts while its port is suspended. */
static bool param_lock_is_stale(const struct fsck *k, uint64_t word)
{
	uint32_t port = mbe_lock_port(word);

	return lock_is_stale(k, word) &&
	       (port >= k->e->geo.ports ||
		MBE_LOAD(&k->e->ports[port].word) !=
			mbe_port_word(mbe_lock_generation(word), MEMBOX_PORT_SUSPENDED));
}

static void check_ports(struct fsck *k)
{
	struct mbe *e = k->e;
	uint32_t i;

	for (i = 0; i < e->geo.ports; i++) {
		uint32_t state = (uint32_t)MBE_LOAD(&e->ports[i].word);

		if (state > MEMBOX_PORT_DEAD)
			found(k, "port %u: state %u is none that there is", i, state);
		else if (mbe_port_state(e, i) == MEMBOX_PORT_DEAD)
			found(k, "port %u: its owner died and it was not recovered", i);
	}
	for (i = 0; i < e->geo.stripes; i++) {
		uint64_t word = MBE_LOAD(&e->stripes[i].lock);

		if (word && lock_is_stale(k, word))
			found(k, "stripe lock %u: held by port %u, which is gone", i, mbe_lock_port(word));
	}
}

/* ---- parameters ---- */

static void check_space(struct fsck *k, uint32_t index, const struct membox_fmt_param_fixed *f)
{
	k->params++;
	k->granules += f->extent / MEMBOX_FMT_GRANULE;
	if (!mbe_bitmap_mark(&k->e->geo, k->bitmap, f->offset, f->extent))
		found(k, "parameter %u: its bytes overlap another's", index);
	if (!(f->attrs & MEMBOX_PARAM_MAPPABLE))
		return;
	k->granules += MEMBOX_FMT_PAGE / MEMBOX_FMT_GRANULE;
	if (!mbe_bitmap_mark(&k->e->geo, k->bitmap, f->version, MEMBOX_FMT_PAGE))
		found(k, "parameter %u: its version page overlaps another's bytes", index);
}

/* Writers' records, of any port, that are under way on the parameter. */
static unsigned int writers_of(const struct mbe *e, uint32_t index, uint64_t serial)
{
	uint32_t port, i;
	unsigned int n = 0;

	for (port = 0; port < e->geo.ports; port++) {
		const uint8_t *records = mbe_area_of(e, MEMBOX_AREA_UNDO, port);

		for (i = 0; i < e->geo.undos; i++) {
			const struct membox_fmt_undo *u = (const void *)(records + i * e->geo.undo_bytes);

			n += (MBE_LOAD(&u->word) & MEMBOX_UNDO_STATE) != MEMBOX_UNDO_IDLE &&
			     MBE_LOAD(&u->param) == index && MBE_LOAD(&u->serial) == serial;
		}
	}
	return n;
}

/* Writers that began and are not there any more; 0 when some are, or come and go. */
static uint64_t writers_lost(const struct mbe *e, uint32_t index, uint64_t serial,
			     const struct membox_fmt_version *v)
{
	uint64_t begun, finished;
	unsigned int i;

	for (i = 0; i < LOOKS; i++) {
		finished = MBE_LOAD(&v->finished); /* before begun, which runs ahead */
		begun = MBE_LOAD(&v->begun);
		if (begun <= finished || writers_of(e, index, serial))
			return 0;
		if (MBE_LOAD(&v->begun) == begun && MBE_LOAD(&v->finished) == finished)
			return begun - finished;
	}
	return 0;
}

static void check_version(struct fsck *k, uint32_t index, uint64_t serial, const struct membox_fmt_version *v)
{
	const struct mbe *e = k->e;
	uint64_t finished = MBE_LOAD(&v->finished); /* before begun, which runs ahead */
	uint64_t lost = writers_lost(e, index, serial, v);
	uint32_t i;

	if (finished > MBE_LOAD(&v->begun))
		found(k, "parameter %u: more writers finished than began", index);
	if (lost)
		found(k, "parameter %u: %llu writers began and never finished, and are not there", index,
		      (unsigned long long)lost);
	for (i = 0; i < MEMBOX_MAX_PORTS; i++)
		if (MBE_LOAD(&v->watch[i / 64]) & 1ULL << i % 64 &&
		    (i >= e->geo.ports || (uint32_t)MBE_LOAD(&e->ports[i].word) == MEMBOX_PORT_FREE))
			found(k, "parameter %u: watched by port %u, which is not there", index, i);
}

static void check_param(struct fsck *k, uint32_t index)
{
	struct mbe *e = k->e;
	const struct membox_fmt_param *p = &e->params[index];
	struct membox_fmt_param_fixed f;
	uint64_t word = MBE_LOAD(&p->word), lock = MBE_LOAD(&p->lock);
	const char *why;

	if (!word)
		return;
	memcpy(&f, &p->fixed, sizeof(f));
	why = mbe_param_check(&e->geo, index, word, &f);
	if (why) {
		found(k, "parameter %u: %s", index, why);
		return;
	}
	check_space(k, index, &f);
	k->names += (word & MEMBOX_PST_STATE) == MEMBOX_PST_LIVE;
	if (f.serial > MBE_LOAD(&e->state->serial))
		found(k, "parameter %u: serial number was never given", index);
	if (lock && param_lock_is_stale(k, lock))
		found(k, "parameter %u: locked by port %u, which is gone", index, mbe_lock_port(lock));
	if ((word & MEMBOX_PST_STATE) == MEMBOX_PST_FREEING && lock_is_stale(k, MBE_LOAD(&p->zeroer)))
		found(k, "parameter %u: being zeroed by a port that is gone", index);
	check_version(k, index, f.serial, mbe_param_version(e, &f));
}

static void check_bitmap(struct fsck *k)
{
	const struct mbe *e = k->e;
	uint64_t i, pages = 0, first = 0;

	for (i = 0; i < e->geo.pages; i++) {
		if (e->bitmap[i] == k->bitmap[i])
			continue;
		if (!pages++)
			first = i;
	}
	if (pages)
		found(k, "bitmap: %llu pages differ from the parameter table, the first is %llu",
		      (unsigned long long)pages, (unsigned long long)first);
	if (k->granules != MBE_LOAD(&e->state->granules_used))
		found(k, "bitmap: %llu granules are used, and %llu counted", (unsigned long long)k->granules,
		      (unsigned long long)MBE_LOAD(&e->state->granules_used));
	if (k->params != MBE_LOAD(&e->state->params_used))
		found(k, "parameter table: %llu entries are used, and %llu counted",
		      (unsigned long long)k->params, (unsigned long long)MBE_LOAD(&e->state->params_used));
}

/* ---- the index of names ---- */

/* Can the entry be found by its name, and is it the one that is found? */
static bool reachable(const struct mbe *e, const char *name, uint32_t index)
{
	uint32_t slot = mbe_name_slot(&e->geo, name), i;

	for (i = 0; i < e->geo.hash_slots && e->hash[slot]; i++) {
		uint32_t there = e->hash[slot] - 1;

		if (there == index)
			return true;
		if (there < e->geo.params &&
		    (MBE_LOAD(&e->params[there].word) & MEMBOX_PST_STATE) == MEMBOX_PST_LIVE &&
		    !strncmp(e->params[there].fixed.name, name, MEMBOX_NAME_BYTES))
			return false; /* another one of that name */
		slot = (slot + 1) & (e->geo.hash_slots - 1);
	}
	return false;
}

static void check_index(struct fsck *k)
{
	const struct mbe *e = k->e;
	uint32_t i, used = 0;

	for (i = 0; i < e->geo.hash_slots; i++) {
		uint32_t index = e->hash[i] - 1;

		if (!e->hash[i])
			continue;
		used++;
		if (index >= e->geo.params ||
		    (MBE_LOAD(&e->params[index].word) & MEMBOX_PST_STATE) != MEMBOX_PST_LIVE)
			found(k, "index: slot %u names no parameter", i);
		else if (!reachable(e, e->params[index].fixed.name, index))
			found(k, "index: parameter %u is not found by its name, or the name is twice", index);
	}
	if (used != k->names)
		found(k, "index: %u names, and %u parameters that have one", used, k->names);
}

/* ---- references ---- */

static bool param_is(const struct mbe *e, uint32_t index, uint64_t serial)
{
	return index < e->geo.params && serial &&
	       MBE_LOAD(&e->params[index].word) >> MEMBOX_PST_SERIAL_SHIFT == serial;
}

static void check_handles(struct fsck *k, uint32_t port)
{
	const struct mbe *e = k->e;
	const struct membox_fmt_handle *h = mbe_area_of(e, MEMBOX_AREA_HANDLES, port);
	uint32_t i, state = (uint32_t)MBE_LOAD(&e->ports[port].word);

	for (i = 0; i < e->geo.handles; i++) {
		uint64_t word = MBE_LOAD(&h[i].word);

		if (!word)
			continue;
		if (state == MEMBOX_PORT_FREE)
			found(k, "port %u: handle slot %u is used, and the port is free", port, i);
		if (!param_is(e, h[i].param, h[i].serial)) {
			found(k, "port %u: handle slot %u names no parameter", port, i);
			continue;
		}
		k->refs[h[i].param]++;
		k->subs[h[i].param] += (word & MEMBOX_HANDLE_SUBSCRIBED) != 0;
	}
}

static void check_waiters(struct fsck *k, uint32_t port)
{
	const struct mbe *e = k->e;
	const uint64_t *w = mbe_area_of(e, MEMBOX_AREA_WAITERS, port);
	uint32_t i, index;

	for (i = 0; i < e->geo.waiters; i++) {
		uint64_t word = MBE_LOAD(&w[i]), there;

		if (!word)
			continue;
		index = (uint32_t)word >> MEMBOX_WAITER_PARAM_SHIFT;
		there = index < e->geo.params ? MBE_LOAD(&e->params[index].word) : 0;
		if (!there ||
		    (uint32_t)(there >> MEMBOX_PST_SERIAL_SHIFT) != word >> MEMBOX_WAITER_SERIAL_SHIFT)
			found(k, "port %u: waiter %u names no parameter", port, i);
	}
}

static void check_references(struct fsck *k)
{
	const struct mbe *e = k->e;
	uint32_t i;

	for (i = 0; i < e->geo.ports; i++) {
		check_handles(k, i);
		check_waiters(k, i);
	}
	for (i = 0; i < e->geo.params; i++) {
		const struct membox_fmt_param *p = &e->params[i];

		if (MBE_LOAD(&p->word) && MBE_LOAD(&p->refs) != k->refs[i])
			found(k, "parameter %u: %u references, and %u counted", i, k->refs[i],
			      MBE_LOAD(&p->refs));
		if (MBE_LOAD(&p->word) && MBE_LOAD(&p->subscribers) != k->subs[i])
			found(k, "parameter %u: %u subscribers, and %u counted", i, k->subs[i],
			      MBE_LOAD(&p->subscribers));
	}
}

/* ---- groups, mail ---- */

static void check_seats(struct fsck *k, uint32_t index, uint32_t ranks)
{
	const struct mbe *e = k->e;
	const struct membox_fmt_seat *s = e->groups[index].seat;
	uint32_t i, port;

	for (i = 0; i < MEMBOX_MAX_RANKS; i++) {
		uint64_t word = MBE_LOAD(&s[i].word), state = word & MEMBOX_SEAT_STATE;

		port = (uint32_t)(word >> MEMBOX_SEAT_PORT_SHIFT) & 0xffff;
		if (state > MEMBOX_SEAT_DEAD || (i >= ranks && word))
			found(k, "group %u: seat %u is in no state that there is", index, i);
		else if (state == MEMBOX_SEAT_LIVE &&
			 (port >= e->geo.ports || MBE_LOAD(&s[i].generation) !=
							  MBE_LOAD(&e->ports[port].word) >> 32))
			found(k, "group %u: rank %u sits on port %u, which is gone", index, i, port);
	}
}

/* Its pages for collectives. */
static void check_pages(struct fsck *k, uint32_t index, uint32_t ranks)
{
	uint64_t word = MBE_LOAD(&k->e->groups[index].coll);
	struct mbe_coll_pages at;
	uint32_t end;

	if (!word)
		return;
	if (!mbe_coll_place(k->e, word, ranks, &at))
		found(k, "group %u: its pages for collectives are not in their area", index);
	else if (mbe_coll_overlap(k->e, index, (uint32_t)(word >> MEMBOX_COLL_FIRST_SHIFT),
				  (uint32_t)(word >> MEMBOX_COLL_PAGES_SHIFT & MEMBOX_COLL_PAGES), &end))
		found(k, "group %u: its pages for collectives overlap another's", index);
}

static void check_groups(struct fsck *k)
{
	const struct mbe *e = k->e;
	struct membox_fmt_group_fixed f;
	const char *why;
	uint32_t i;

	for (i = 0; i < e->geo.groups; i++) {
		uint64_t word = MBE_LOAD(&e->groups[i].word);

		if (!word)
			continue;
		memcpy(&f, &e->groups[i].fixed, sizeof(f));
		why = mbe_group_check(word, &f);
		if (why)
			found(k, "group %u: %s", i, why);
		else {
			check_seats(k, i, f.ranks);
			check_pages(k, i, f.ranks);
		}
	}
}

static void check_mails(struct fsck *k, uint32_t port)
{
	const struct mbe *e = k->e;
	const struct membox_fmt_mail *m = mbe_area_of(e, MEMBOX_AREA_MAIL, port);
	const struct membox_fmt_context *c = mbe_area_of(e, MEMBOX_AREA_CONTEXTS, port);
	uint32_t i;

	for (i = 0; i < e->geo.mails; i++) {
		uint64_t word = MBE_LOAD(&m[i].word);
		uint32_t context = (uint32_t)(word >> MEMBOX_MAIL_CONTEXT_SHIFT) & 0xffff;

		if (!word)
			continue;
		if ((word & 0xff) != 1 || !mbe_name_ok(m[i].name) ||
		    word >> MEMBOX_MAIL_SEQ_SHIFT > MBE_LOAD(&e->state->mail_seq))
			found(k, "port %u: mail %u is none that was sent", port, i);
		else if (context >= MEMBOX_MAX_CONTEXTS || !((uint32_t)MBE_LOAD(&c[context].word) & 1))
			found(k, "port %u: mail %u is for context %u, which is not open", port, i, context);
	}
}

/* ---- all ---- */

static void check_all(struct fsck *k)
{
	uint32_t i;

	check_super(k);
	check_ports(k);
	for (i = 0; i < k->e->geo.params; i++)
		check_param(k, i);
	check_bitmap(k);
	check_index(k);
	check_references(k);
	check_groups(k);
	for (i = 0; i < k->e->geo.ports; i++)
		check_mails(k, i);
}

static void check_locked(struct fsck *k)
{
	struct mbe *e = k->e;
	uint16_t status = mbe_table_lock(e);

	if (status == MEMBOX_ST_CORRUPT) {
		check_all(k);
		if (!k->findings)
			MBE_STORE(&e->state->stopped, 0);
	} else if (status) {
		found(k, "the table cannot be locked: status %u", status);
	} else {
		check_all(k);
		mbe_table_unlock(e);
	}
}

unsigned int mbe_fsck(struct mbe *e, void (*report)(void *arg, const char *text), void *arg)
{
	struct fsck k = {.e = e, .report = report, .arg = arg};

	k.bitmap = calloc(e->geo.pages, sizeof(*k.bitmap));
	k.refs = calloc(e->geo.params, sizeof(*k.refs));
	k.subs = calloc(e->geo.params, sizeof(*k.subs));
	if (k.bitmap && k.refs && k.subs)
		check_locked(&k);
	else
		found(&k, "out of memory");
	free(k.bitmap);
	free(k.refs);
	free(k.subs);
	return k.findings;
}
