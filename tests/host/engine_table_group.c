// SPDX-License-Identifier: MIT
/*
 * engine_table_group.c - groups and seats, keys granted to a rank's mailbox,
 * subscriptions, waiters, wake-ups, and the locks of parameters.
 */
#include <pthread.h>
#include <sched.h>

#include "engine_table.h"

/* ---- groups ---- */

static uint32_t group_join(struct mbe *e, unsigned int context, const char *name, uint32_t ranks, int rank)
{
	struct membox_group_args a = group_args(name, ranks, rank);
	uint16_t status = ADM(e, context, GROUP_JOIN, &a);

	if (status)
		fail_msg("join: status %u", status);
	return a.group;
}

static uint16_t group_leave(struct mbe *e, unsigned int context, uint32_t group)
{
	struct membox_group_args a = {.group = group};

	return ADM(e, context, GROUP_LEAVE, &a);
}

static void ranks_are_taken_once_and_told_of(void **state)
{
	struct mbe *a = port_of(1), *b = port_of(2);
	struct membox_group_args g = group_args("g", 3, 1), i;
	uint32_t first;

	(void)state;
	assert_int_equal(ADM(a, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	assert_int_equal(g.rank, 1);
	assert_int_equal(g.joined, 1);
	assert_int_equal(g.epoch, 1);
	assert_int_equal(g.dead, -1);
	first = g.group;
	g = group_args("g", 3, 1);
	assert_int_equal(ADM(b, 1, GROUP_JOIN, &g), MEMBOX_ST_BAD_RANK);
	g = group_args("g", 3, 3);
	assert_int_equal(ADM(b, 1, GROUP_JOIN, &g), MEMBOX_ST_BAD_RANK);
	g = group_args("g", 4, -1);
	assert_int_equal(ADM(b, 1, GROUP_JOIN, &g), MEMBOX_ST_SHAPE_MISMATCH);
	g = group_args("g", 3, -1);
	assert_int_equal(ADM(b, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	assert_int_equal(g.rank, 0);
	assert_int_equal(ADM(b, 1, GROUP_JOIN, &g), MEMBOX_ST_OK); /* said twice */
	assert_int_equal(g.rank, 0);
	g = group_args("g", 3, 2);
	assert_int_equal(ADM(b, 1, GROUP_JOIN, &g), MEMBOX_ST_BAD_RANK); /* has one already */
	g = group_args("g", 3, -1);
	assert_int_equal(ADM(b, 2, GROUP_JOIN, &g), MEMBOX_ST_OK);
	assert_int_equal(g.rank, 2);
	i = group_info(a, 1, first);
	assert_string_equal(i.name, "g");
	assert_int_equal(i.joined, 3);
	assert_int_equal(i.rank, 1);
	assert_int_equal(i.state[2], MEMBOX_SEAT_LIVE);
	g = group_args("g", 3, -1);
	assert_int_equal(ADM(a, 2, GROUP_JOIN, &g), MEMBOX_ST_BAD_RANK); /* full */
	g = (struct membox_group_args){.group = first};
	assert_int_equal(ADM(a, 2, GROUP_INFO, &g), MEMBOX_ST_BAD_GROUP);
	assert_int_equal(box_findings(a), 0);
	mbe_detach(a);
	mbe_detach(b);
}

static void bad_group_arguments_are_named(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_group_args g;

	(void)state;
#define REFUSED(status, change) \
	do { \
		g = group_args("g", 3, 0); \
		change; \
		assert_int_equal(ADM(e, 1, GROUP_JOIN, &g), (status)); \
	} while (0)
	REFUSED(MEMBOX_ST_BAD_NAME, g.name[0] = 0);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, g.ranks = 0);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, g.ranks = MEMBOX_MAX_RANKS + 1);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, g.flags = 2);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, g.flags = MEMBOX_GROUP_KEYED);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, g.key.word[0] = 1);
	REFUSED(MEMBOX_ST_BAD_RANK, g.rank = -2);
#undef REFUSED
	g = (struct membox_group_args){.group = 0};
	assert_int_equal(ADM(e, 1, GROUP_INFO, &g), MEMBOX_ST_BAD_GROUP);
	mbe_detach(e);
}

static void leaving_bumps_the_epoch_and_the_last_one_ends_the_group(void **state)
{
	struct mbe *e = port_of(1);
	uint32_t first = group_join(e, 1, "g", 2, 0), second = group_join(e, 2, "g", 2, 1), again;
	struct membox_group_args i;

	(void)state;
	assert_int_equal(group_leave(e, 2, second), MEMBOX_ST_OK);
	assert_int_equal(group_leave(e, 2, second), MEMBOX_ST_BAD_GROUP);
	i = group_info(e, 1, first);
	assert_int_equal(i.epoch, 2);
	assert_int_equal(i.joined, 1);
	assert_int_equal(i.dead, -1);
	assert_int_equal(group_leave(e, 1, first), MEMBOX_ST_OK);
	again = group_join(e, 1, "g", 5, 4); /* another group of that name */
	assert_int_not_equal(again, first);
	assert_int_equal(group_info(e, 1, again).epoch, 1);
	i = (struct membox_group_args){.group = first};
	assert_int_equal(ADM(e, 1, GROUP_INFO, &i), MEMBOX_ST_BAD_GROUP);
	mbe_detach(e);
}

static void a_context_that_ends_leaves_a_dead_seat_that_can_be_taken(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_ctx_args c = {.context = 2};
	uint32_t g = group_join(e, 1, "g", 2, 0);
	struct membox_group_args i;

	(void)state;
	group_join(e, 2, "g", 2, 1);
	assert_int_equal(ADM(e, 0, CTX_DESTROY, &c), MEMBOX_ST_OK);
	i = group_info(e, 1, g);
	assert_int_equal(i.dead, 1);
	assert_int_equal(i.epoch, 2);
	assert_int_equal(i.state[1], MEMBOX_SEAT_DEAD);
	assert_int_equal(i.joined, 1);
	assert_int_equal(ADM(e, 0, CTX_CREATE, &c), MEMBOX_ST_OK);
	group_join(e, 2, "g", 2, 1);
	i = group_info(e, 1, g);
	assert_int_equal(i.dead, -1);
	assert_int_equal(i.joined, 2);
	mbe_detach(e);
}

static void a_keyed_group_wants_the_first_ones_key(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_group_args g = group_args("g", 3, -1);

	(void)state;
	g.flags = MEMBOX_GROUP_KEYED;
	g.key.word[0] = 77;
	assert_int_equal(ADM(e, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	g = group_args("g", 3, -1);
	assert_int_equal(ADM(e, 2, GROUP_JOIN, &g), MEMBOX_ST_KEY_REFUSED);
	g.flags = MEMBOX_GROUP_KEYED;
	g.key.word[0] = 78;
	assert_int_equal(ADM(e, 2, GROUP_JOIN, &g), MEMBOX_ST_KEY_REFUSED);
	g.key.word[0] = 77;
	assert_int_equal(ADM(e, 2, GROUP_JOIN, &g), MEMBOX_ST_OK);
	mbe_detach(e);
}

static void groups_run_out_with_a_status(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_group_args g;
	char name[16];
	unsigned int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		group_join(e, 1, name, 1, 0);
	}
	g = group_args("one-more", 1, 0);
	assert_int_equal(ADM(e, 1, GROUP_JOIN, &g), MEMBOX_ST_TABLE_FULL);
	mbe_detach(e);
}

/* ---- keys by mail ---- */

static uint16_t grant(struct mbe *e, uint32_t handle, uint32_t group, uint32_t rank, struct membox_key key)
{
	struct membox_grant_args a = {.handle = handle, .group = group, .rank = rank, .key = key};

	return ADM(e, 1, PARAM_GRANT, &a);
}

static void a_grant_delivers_the_key_to_the_rank_alone(void **state)
{
	struct mbe *master = port_of(1), *worker = port_of(2);
	struct membox_param_args k = param_make(master, "k", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 10), a;
	uint32_t g = group_join(master, 1, "g", 4, 0);
	struct membox_key wrong = {{1, 2}};
	struct membox_mail m = {0};

	(void)state;
	group_join(worker, 2, "g", 4, 2);
	assert_int_equal(grant(master, k.handle, g, 2, wrong), MEMBOX_ST_KEY_REFUSED);
	assert_int_equal(grant(master, k.handle, g, 1, k.key), MEMBOX_ST_BAD_RANK); /* nobody there */
	assert_int_equal(grant(master, k.handle, g, 4, k.key), MEMBOX_ST_BAD_RANK);
	assert_int_equal(grant(master, k.handle, 0, 2, k.key), MEMBOX_ST_BAD_GROUP);
	assert_int_equal(grant(master, param_make(master, "o", 0, 1).handle, g, 2, k.key),
			 MEMBOX_ST_BAD_ARGUMENT);
	assert_int_equal(ADM(worker, 2, MAIL_RECV, &m), MEMBOX_ST_AGAIN);
	assert_int_equal(grant(master, k.handle, g, 2, k.key), MEMBOX_ST_OK);
	assert_int_equal(ADM(worker, 1, MAIL_RECV, &m), MEMBOX_ST_AGAIN);
	assert_int_equal(ADM(master, 1, MAIL_RECV, &m), MEMBOX_ST_AGAIN);
	assert_int_equal(ADM(worker, 2, MAIL_RECV, &m), MEMBOX_ST_OK);
	assert_string_equal(m.name, "k");
	assert_string_equal(m.group, "g");
	assert_int_equal(m.from_port, mbe_port(master));
	assert_int_equal(ADM(worker, 2, MAIL_RECV, &m), MEMBOX_ST_AGAIN);
	a = param_args(m.name, MEMBOX_PARAM_KEYED, 0);
	a.key = m.key;
	assert_int_equal(param_try(worker, 2, &a), MEMBOX_ST_OK);
	mbe_detach(worker);
	assert_int_equal(grant(master, k.handle, g, 2, k.key), MEMBOX_ST_RANK_DEAD);
	mbe_detach(master);
}

static void mail_comes_in_order_until_the_box_is_full(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_param_args k[2] = {param_make(e, "k0", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 1),
					 param_make(e, "k1", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 1)};
	struct membox_ctx_args c = {.context = 2};
	uint32_t g = group_join(e, 1, "g", 2, 0);
	struct membox_mail m;
	unsigned int i;

	(void)state;
	group_join(e, 2, "g", 2, 1);
	for (i = 0; i < 64; i++)
		assert_int_equal(grant(e, k[i % 2].handle, g, 1, k[i % 2].key), MEMBOX_ST_OK);
	assert_int_equal(grant(e, k[0].handle, g, 1, k[0].key), MEMBOX_ST_TABLE_FULL);
	for (i = 0; i < 32; i++) {
		assert_int_equal(ADM(e, 2, MAIL_RECV, &m), MEMBOX_ST_OK);
		assert_string_equal(m.name, i % 2 ? "k1" : "k0");
	}
	assert_int_equal(box_findings(e), 0);
	/* what a context did not fetch is not its successor's */
	assert_int_equal(ADM(e, 0, CTX_DESTROY, &c), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 0, CTX_CREATE, &c), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 2, MAIL_RECV, &m), MEMBOX_ST_AGAIN);
	mbe_detach(e);
}

/* ---- events ---- */

struct told {
	unsigned int times[256];
};

static void count_event(void *arg, unsigned int context)
{
	((struct told *)arg)->times[context]++;
}

static struct mbe *telling_port(struct told *t)
{
	struct mbe_attach_opts o = port_opts(1);

	memset(t, 0, sizeof(*t));
	o.event = count_event;
	o.arg = t;
	return port_open(&o);
}

static void a_subscriber_sees_the_last_version_and_how_many_were_missed(void **state)
{
	struct told t;
	struct mbe *writer = port_of(1), *reader = telling_port(&t);
	uint32_t w = param_make(writer, "w", 0, 10).handle, r, x;
	struct membox_event v = {0};
	unsigned int i;

	(void)state;
	param_bump(writer, 1, w); /* before anybody cared */
	assert_int_equal(param_get(reader, 2, "w", &r), MEMBOX_ST_OK);
	assert_int_equal(param_get(reader, 1, "w", &x), MEMBOX_ST_OK);
	assert_int_equal(param_subscribe(reader, 2, r, 2), MEMBOX_ST_BAD_ARGUMENT);
	assert_int_equal(param_subscribe(reader, 2, r, 1), MEMBOX_ST_OK);
	assert_int_equal(param_subscribe(reader, 2, r, 1), MEMBOX_ST_OK);
	assert_int_equal(param_stat(reader, 2, r).subscribers, 1);
	mbe_progress(reader);
	assert_int_equal(ADM(reader, 2, EVENT_READ, &v), MEMBOX_ST_AGAIN);
	for (i = 0; i < 5; i++)
		param_bump(writer, 1, w);
	mbe_progress(reader);
	mbe_progress(reader);
	assert_int_equal(t.times[2], 1); /* once until it was read */
	assert_int_equal(t.times[1], 0);
	assert_int_equal(ADM(reader, 1, EVENT_READ, &v), MEMBOX_ST_AGAIN);
	assert_int_equal(ADM(reader, 2, EVENT_READ, &v), MEMBOX_ST_OK);
	assert_int_equal(v.handle, r);
	assert_int_equal(v.version, 6);
	assert_int_equal(v.missed, 4);
	assert_int_equal(ADM(reader, 2, EVENT_READ, &v), MEMBOX_ST_AGAIN);
	param_bump(writer, 1, w);
	mbe_progress(reader);
	assert_int_equal(t.times[2], 2);
	assert_int_equal(ADM(reader, 2, EVENT_READ, &v), MEMBOX_ST_OK);
	assert_int_equal(v.missed, 0);
	assert_int_equal(mbe_counter(reader, MEMBOX_CTR_EVENTS), 2);
	assert_int_equal(param_subscribe(reader, 2, r, 0), MEMBOX_ST_OK);
	param_bump(writer, 1, w);
	mbe_progress(reader);
	assert_int_equal(t.times[2], 2);
	assert_int_equal(ADM(reader, 2, EVENT_READ, &v), MEMBOX_ST_AGAIN);
	assert_int_equal(param_stat(reader, 2, r).subscribers, 0);
	mbe_detach(writer);
	mbe_detach(reader);
}

static void each_of_several_subscriptions_has_its_turn(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_event v = {0};
	uint32_t h[3], seen[3] = {0}, i, k;
	char name[8];

	(void)state;
	for (i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "w%u", i);
		h[i] = param_make(e, name, 0, 1).handle;
		assert_int_equal(param_subscribe(e, 1, h[i], 1), MEMBOX_ST_OK);
	}
	for (k = 0; k < 9; k++) { /* all of them change all the time */
		for (i = 0; i < 3; i++)
			param_bump(e, 1, h[i]);
		assert_int_equal(ADM(e, 1, EVENT_READ, &v), MEMBOX_ST_OK);
		for (i = 0; i < 3; i++)
			seen[i] += v.handle == h[i];
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(seen[i], 3);
	assert_int_equal(param_close(e, 1, h[1], NULL), MEMBOX_ST_OK); /* takes the subscription with it */
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

static void mail_is_told_of_once(void **state)
{
	struct told t;
	struct mbe *e = telling_port(&t);
	struct membox_param_args k = param_make(e, "k", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 1);
	uint32_t g = group_join(e, 1, "g", 2, 0);

	(void)state;
	group_join(e, 2, "g", 2, 1);
	assert_int_equal(grant(e, k.handle, g, 1, k.key), MEMBOX_ST_OK);
	mbe_progress(e);
	mbe_progress(e);
	assert_int_equal(t.times[2], 1);
	assert_int_equal(t.times[1], 0);
	mbe_detach(e);
}

static void waiters_are_counted_and_bounded(void **state)
{
	struct mbe *e = port_of(1), *other = port_of(2);
	uint32_t h = param_make(e, "w", 0, 10).handle, theirs, waiter[1024], one, i;
	struct mbe_operand op;

	(void)state;
	assert_int_equal(param_get(other, 1, "w", &theirs), MEMBOX_ST_OK);
	assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
	for (i = 0; i < 1024; i++)
		assert_int_equal(mbe_watch_add(e, 1, &op, &waiter[i]), MEMBOX_ST_OK);
	assert_int_equal(mbe_watch_add(e, 1, &op, &one), MEMBOX_ST_TABLE_FULL);
	assert_int_equal(param_stat(other, 1, theirs).waiters, 1024);
	assert_int_equal(op.ver->watch[0], 1ULL << mbe_port(e));
	assert_int_equal(box_findings(other), 0);
	for (i = 0; i < 1024; i++)
		mbe_watch_del(e, waiter[i]);
	assert_int_equal(op.ver->watch[0], 0);
	assert_int_equal(param_stat(other, 1, theirs).waiters, 0);
	mbe_operand_put(e, &op);
	mbe_detach(e);
	mbe_detach(other);
}

/* ---- wake-ups ---- */

#define WAKES 200

static void *bump_when_asked(void *arg)
{
	struct mbe *e = port_of(2);
	uint32_t h, *asked = arg;
	unsigned int i;

	MUST(param_get(e, 1, "w", &h) == MEMBOX_ST_OK);
	for (i = 1; i <= WAKES; i++) {
		while (__atomic_load_n(asked, __ATOMIC_ACQUIRE) < i)
			sched_yield();
		param_bump(e, 1, h);
	}
	mbe_detach(e);
	return NULL;
}

static void no_wake_up_is_lost(void **state)
{
	struct mbe *e = port_of(1);
	uint32_t h = param_make(e, "w", 0, 10).handle, asked = 0, waiter, seen;
	uint64_t late = 0, version;
	struct mbe_operand op;
	pthread_t thread;
	unsigned int i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, bump_when_asked, &asked), 0);
	assert_int_equal(mbe_operand_get(e, 1, h, &op), MEMBOX_ST_OK);
	for (i = 1; i <= WAKES; i++) {
		assert_int_equal(mbe_watch_add(e, 1, &op, &waiter), MEMBOX_ST_OK);
		__atomic_store_n(&asked, i, __ATOMIC_RELEASE);
		for (;;) {
			uint64_t until = mbe_deadline(e, 20 * 1000000000ULL);

			seen = mbe_wake_seen(e);
			version = __atomic_load_n(&op.ver->finished, __ATOMIC_SEQ_CST);
			if (version >= i)
				break;
			mbe_sleep(e, seen, until);
			late += mbe_clock(e) >= until;
		}
		mbe_watch_del(e, waiter);
	}
	assert_int_equal(late, 0);
	pthread_join(thread, NULL);
	mbe_operand_put(e, &op);
	mbe_detach(e);
}

/* ---- events from many threads ---- */

#define BUMPS 2000U

struct listener {
	struct mbe *e;
	uint32_t handle;
	uint64_t heard, missed; /* atomic */
	bool stop;		/* atomic */
};

static void *listen_and_count(void *arg)
{
	struct listener *l = arg;
	struct membox_event v = {0};

	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		mbe_progress(l->e);
		if (ADM(l->e, 2, EVENT_READ, &v) != MEMBOX_ST_OK)
			continue;
		MUST(v.handle == l->handle);
		__atomic_fetch_add(&l->heard, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&l->missed, v.missed, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *subscribe_and_leave(void *arg)
{
	struct listener *l = arg;
	uint32_t h;

	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		MUST(param_get(l->e, 1, "w", &h) == MEMBOX_ST_OK);
		MUST(param_subscribe(l->e, 1, h, 1) == MEMBOX_ST_OK);
		MUST(param_close(l->e, 1, h, NULL) == MEMBOX_ST_OK);
	}
	return NULL;
}

static void every_change_is_heard_or_counted_whatever_goes_on(void **state)
{
	struct mbe *writer = port_of(1);
	struct listener l = {.e = port_of(1)};
	uint32_t w = param_make(writer, "w", 0, 10).handle, i;
	pthread_t thread[3];
	uint64_t until;

	(void)state;
	assert_int_equal(param_get(l.e, 2, "w", &l.handle), MEMBOX_ST_OK);
	assert_int_equal(param_subscribe(l.e, 2, l.handle, 1), MEMBOX_ST_OK);
	for (i = 0; i < 2; i++) /* events of one context, taken by two */
		assert_int_equal(pthread_create(&thread[i], NULL, listen_and_count, &l), 0);
	assert_int_equal(pthread_create(&thread[2], NULL, subscribe_and_leave, &l), 0);
	for (i = 0; i < BUMPS; i++)
		param_bump(writer, 1, w);
	until = mbe_deadline(writer, 60 * 1000000000ULL);
	while (__atomic_load_n(&l.heard, __ATOMIC_RELAXED) + __atomic_load_n(&l.missed, __ATOMIC_RELAXED) < BUMPS &&
	       mbe_clock(writer) < until)
		sched_yield();
	__atomic_store_n(&l.stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(l.heard + l.missed, BUMPS);
	assert_int_equal(param_stat(l.e, 2, l.handle).subscribers, 1);
	assert_int_equal(box_findings(writer), 0);
	mbe_detach(writer);
	mbe_detach(l.e);
}

/* ---- locks of parameters ---- */

static void a_lock_is_one_contexts_until_it_ends(void **state)
{
	struct mbe *e = port_of(1), *other = port_of(2);
	struct membox_ctx_args c = {.context = 1};
	uint32_t h = param_make(e, "w", 0, 10).handle, second, theirs;

	(void)state;
	assert_int_equal(param_get(e, 2, "w", &second), MEMBOX_ST_OK);
	assert_int_equal(param_get(other, 1, "w", &theirs), MEMBOX_ST_OK);
	assert_int_equal(param_unlock(e, 1, h, NULL), MEMBOX_ST_BAD_ARGUMENT);
	assert_int_equal(param_lock(e, 1, h, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_lock(e, 1, h, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(param_lock(e, 2, second, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(param_lock(other, 1, theirs, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(param_unlock(other, 1, theirs, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(param_unlock(e, 2, second, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(param_unlock(e, 1, h, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_lock(other, 1, theirs, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_unlock(other, 1, theirs, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_lock(e, 1, h, NULL), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 0, CTX_DESTROY, &c), MEMBOX_ST_OK);
	assert_int_equal(param_lock(other, 1, theirs, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_unlock(other, 1, theirs, NULL), MEMBOX_ST_OK);
	/* one that a context took while it was ended is nobody's, its successor's least of all */
	e->params[0].lock = membox_lock_word(e->port, e->generation, 1 | 1 << 8);
	assert_int_equal(ADM(e, 0, CTX_CREATE, &c), MEMBOX_ST_OK);
	assert_int_equal(param_get(e, 1, "w", &h), MEMBOX_ST_OK);
	assert_int_equal(param_unlock(e, 1, h, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(param_lock(other, 1, theirs, NULL), MEMBOX_ST_OK);
	mbe_detach(e);
	mbe_detach(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		box_test(ranks_are_taken_once_and_told_of),
		box_test(bad_group_arguments_are_named),
		box_test(leaving_bumps_the_epoch_and_the_last_one_ends_the_group),
		box_test(a_context_that_ends_leaves_a_dead_seat_that_can_be_taken),
		box_test(a_keyed_group_wants_the_first_ones_key),
		box_test(groups_run_out_with_a_status),
		box_test(a_grant_delivers_the_key_to_the_rank_alone),
		box_test(mail_comes_in_order_until_the_box_is_full),
		box_test(a_subscriber_sees_the_last_version_and_how_many_were_missed),
		box_test(each_of_several_subscriptions_has_its_turn),
		box_test(mail_is_told_of_once),
		box_test(waiters_are_counted_and_bounded),
		box_test(no_wake_up_is_lost),
		box_test(every_change_is_heard_or_counted_whatever_goes_on),
		box_test(a_lock_is_one_contexts_until_it_ends),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_group", tests, NULL, NULL);
}
