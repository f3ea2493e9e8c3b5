/* SPDX-License-Identifier: MIT */
/*
 * watch.c - who wants to know that a parameter changed, and waking them.
 *
 * A parameter's version line has a bit for each port that has a waiter or a
 * subscriber. Who changes it looks at those bits after bumping the version, and
 * bumps the wake word of each port named; who watches sets the bit and then looks
 * at the version once more. Both are sequentially consistent: no wake-up is lost.
 * The port itself knows which versions it told of; nothing is queued, so that
 * the last version is always seen and the number of missed ones is a difference.
 * Owns e->watches, subs, waiting and the event fields of refs (watch_mutex).
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tables.h"

#define POLL_NS (500 * MBE_NS_PER_MS) /* between looks for dead ports */

/* ---- wake words ---- */

void mbe_wake_port(struct mbe *e, uint32_t port)
{
	struct membox_fmt_port *p = &e->ports[port];

	__atomic_fetch_add(&p->wake, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&p->sleepers, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &p->wake, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

uint32_t mbe_wake_seen(struct mbe *e)
{
	return __atomic_load_n(&e->self->wake, __ATOMIC_SEQ_CST);
}

void mbe_wake(struct mbe *e)
{
	mbe_wake_port(e, e->port);
}

void mbe_sleep(struct mbe *e, uint32_t seen, uint64_t until)
{
	struct timespec t = {(time_t)(until / MBE_NS_PER_S), (long)(until % MBE_NS_PER_S)};

	__atomic_fetch_add(&e->self->sleepers, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &e->self->wake, FUTEX_WAIT_BITSET, seen, until == UINT64_MAX ? NULL : &t, NULL,
		FUTEX_BITSET_MATCH_ANY); /* absolute, CLOCK_MONOTONIC */
	__atomic_fetch_sub(&e->self->sleepers, 1, __ATOMIC_SEQ_CST);
}

void mbe_changed(struct mbe *e, const struct mbe_operand *op)
{
	uint32_t i, words = (e->geo.ports + 63) / 64;

	for (i = 0; i < words; i++) {
		uint64_t bits = __atomic_load_n(&op->ver->watch[i], __ATOMIC_SEQ_CST);

		while (bits) {
			uint32_t port = i * 64 + (uint32_t)__builtin_ctzll(bits);

			bits &= bits - 1;
			if (port < e->geo.ports)
				mbe_wake_port(e, port);
		}
	}
}

/* ---- watching; watch_mutex held ---- */

void mbe_watch_param(struct mbe *e, uint32_t index, struct membox_fmt_version *ver)
{
	if (!e->watches[index]++)
		__atomic_fetch_or(&ver->watch[e->port / 64], 1ULL << e->port % 64, __ATOMIC_SEQ_CST);
}

void mbe_unwatch_param(struct mbe *e, uint32_t index, struct membox_fmt_version *ver)
{
	if (!--e->watches[index])
		__atomic_fetch_and(&ver->watch[e->port / 64], ~(1ULL << e->port % 64), __ATOMIC_SEQ_CST);
}

static bool find_waiter(struct mbe *e, uint32_t *waiter)
{
	uint32_t i;

	for (i = 0; i < e->geo.waiters; i++) {
		*waiter = (e->waiter_hint + i) % e->geo.waiters;
		if (!e->waiting[*waiter].ver) {
			e->waiter_hint = *waiter + 1;
			return true;
		}
	}
	return false;
}

uint16_t mbe_watch_add(struct mbe *e, unsigned int context, const struct mbe_operand *op, uint32_t *waiter)
{
	uint16_t status = MEMBOX_ST_OK;

	(void)context; /* waiters are the port's */
	pthread_mutex_lock(&e->watch_mutex);
	if (e->opts.quota_waiters && e->nwaiting >= e->opts.quota_waiters) {
		status = MEMBOX_ST_QUOTA;
	} else if (find_waiter(e, waiter)) {
		e->nwaiting++;
		e->waiting[*waiter] = (struct mbe_waiter){op->ver, op->param};
		MBE_STORE(&e->waiters[*waiter],
			  op->serial << MEMBOX_WAITER_SERIAL_SHIFT |
				  (uint64_t)op->param << MEMBOX_WAITER_PARAM_SHIFT | MEMBOX_WAITER_USED);
		mbe_watch_param(e, op->param, op->ver);
	} else {
		status = MEMBOX_ST_TABLE_FULL;
	}
	pthread_mutex_unlock(&e->watch_mutex);
	return status;
}

void mbe_watch_del(struct mbe *e, uint32_t waiter)
{
	struct mbe_waiter *w = &e->waiting[waiter];

	pthread_mutex_lock(&e->watch_mutex);
	mbe_unwatch_param(e, w->param, w->ver);
	MBE_STORE(&e->waiters[waiter], 0);
	w->ver = NULL;
	e->nwaiting--;
	pthread_mutex_unlock(&e->watch_mutex);
}

/* ---- subscriptions ---- */

/* Takes a slot out of the list of subscribed ones. watch_mutex held. */
static void forget_sub(struct mbe *e, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < e->nsubs && e->subs[i] != slot; i++)
		;
	if (i == e->nsubs)
		return;
	e->nsubs--;
	memmove(&e->subs[i], &e->subs[i + 1], (e->nsubs - i) * sizeof(*e->subs));
}

void mbe_subscribe(struct mbe *e, uint32_t slot, bool on)
{
	struct mbe_ref *r = &e->refs[slot];
	uint32_t *count = &e->params[r->param].subscribers;

	if (r->subscribed == on)
		return;
	if (on) {
		__atomic_fetch_or(&e->handles[slot].word, MEMBOX_HANDLE_SUBSCRIBED, __ATOMIC_ACQ_REL);
		MBE_STEP(e, "subscribe: stored");
		__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
	} else {
		__atomic_fetch_and(&e->handles[slot].word, ~MEMBOX_HANDLE_SUBSCRIBED, __ATOMIC_ACQ_REL);
		MBE_STEP(e, "subscribe: taken back");
		__atomic_fetch_sub(count, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_lock(&e->watch_mutex);
	r->subscribed = on;
	if (on) {
		mbe_watch_param(e, r->param, r->ver);
		r->told = MBE_LOAD(&r->ver->finished);
		r->announced = 0;
		e->subs[e->nsubs++] = slot;
	} else {
		forget_sub(e, slot);
		mbe_unwatch_param(e, r->param, r->ver);
	}
	pthread_mutex_unlock(&e->watch_mutex);
	MBE_STEP(e, "subscribe: done");
}

void mbe_subscribed(struct mbe *e, uint32_t slot, uint64_t told)
{
	struct mbe_ref *r = &e->refs[slot];

	pthread_mutex_lock(&e->watch_mutex);
	r->subscribed = 1;
	r->announced = 0;
	r->told = told;
	mbe_watch_param(e, r->param, r->ver);
	e->subs[e->nsubs++] = slot;
	pthread_mutex_unlock(&e->watch_mutex);
}

uint16_t mbe_event_read(struct mbe *e, unsigned int context, struct membox_event *a)
{
	uint16_t status = MEMBOX_ST_AGAIN;
	uint32_t i;

	pthread_mutex_lock(&e->watch_mutex);
	for (i = 0; i < e->nsubs; i++) {
		uint32_t slot = e->subs[i];
		struct mbe_ref *r = &e->refs[slot];
		uint64_t version;

		if (((MBE_LOAD(&r->word) >> 32) & 0xffff) != context)
			continue;
		r->announced = 0;
		version = __atomic_load_n(&r->ver->finished, __ATOMIC_SEQ_CST);
		if (version == r->told)
			continue;
		a->handle = mbe_ref_number(e, slot);
		a->version = version;
		a->missed = version - r->told - 1;
		r->told = version;
		forget_sub(e, slot); /* goes to the end: the others have their turn */
		e->subs[e->nsubs++] = slot;
		status = MEMBOX_ST_OK;
		break;
	}
	pthread_mutex_unlock(&e->watch_mutex);
	if (!status)
		mbe_count(e, MEMBOX_CTR_EVENTS, 1);
	return status;
}

/* ---- progress ---- */

static void events_announce(struct mbe *e, uint64_t contexts[MEMBOX_MAX_CONTEXTS / 64])
{
	uint32_t i;

	pthread_mutex_lock(&e->watch_mutex);
	for (i = 0; i < e->nsubs; i++) {
		struct mbe_ref *r = &e->refs[e->subs[i]];
		uint32_t context = (uint32_t)(MBE_LOAD(&r->word) >> 32) & (MEMBOX_MAX_CONTEXTS - 1);

		if (r->announced || __atomic_load_n(&r->ver->finished, __ATOMIC_SEQ_CST) == r->told)
			continue;
		r->announced = 1;
		contexts[context / 64] |= 1ULL << context % 64;
	}
	pthread_mutex_unlock(&e->watch_mutex);
}

static void revocations_announce(struct mbe *e)
{
	uint64_t now = __atomic_load_n(&e->state->revocations, __ATOMIC_SEQ_CST);

	if (e->opts.revoked && __atomic_exchange_n(&e->revoked_seen, now, __ATOMIC_RELAXED) != now)
		e->opts.revoked(e->opts.arg);
}

/* Is anybody else there who could die? */
static bool others_live(const struct mbe *e)
{
	uint32_t i;

	for (i = 0; i < e->geo.ports; i++)
		if (i != e->port && (uint32_t)MBE_LOAD(&e->ports[i].word) == MEMBOX_PORT_LIVE)
			return true;
	return false;
}

uint64_t mbe_table_progress(struct mbe *e)
{
	uint64_t contexts[MEMBOX_MAX_CONTEXTS / 64] = {0};
	unsigned int i;

	events_announce(e, contexts);
	mbe_mail_announce(e, contexts);
	for (i = 0; i < MEMBOX_MAX_CONTEXTS && e->opts.event; i++)
		if (contexts[i / 64] & 1ULL << i % 64)
			e->opts.event(e->opts.arg, i);
	revocations_announce(e);
	mbe_poll_ports(e, POLL_NS);
	return others_live(e) ? MBE_PEEK(&e->poll_at) : UINT64_MAX;
}
