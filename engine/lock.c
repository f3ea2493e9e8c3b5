/* SPDX-License-Identifier: MIT */
/*
 * lock.c - lock words in the box, which name their holder, and the table's lock
 * built on one. A word is taken by one compare-and-swap; who finds it held
 * spins, then sleeps on a shared futex, and from time to time asks whether the
 * holder lives.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tables.h"

#define SPINS 200
#define FIRST_NS MBE_NS_PER_MS		/* of sleep before the first look at the holder, ... */
#define SLICE_NS (5 * MBE_NS_PER_MS)	/* ... and between looks */
#define STALL_NS (2 * MBE_NS_PER_S)	/* what a stopped holder of the table is waited for */
#define TABLE_NS (30 * MBE_NS_PER_S)	/* and one that runs */

uint64_t mbe_deadline(const struct mbe *e, uint64_t ns)
{
	uint64_t now = mbe_clock(e);

	return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* The half of a lock word that changes with the holder, for the futex. */
static uint32_t *futex_of(__u64 *word)
{
	return (uint32_t *)(void *)word; /* little-endian: the low half */
}

static void futex_sleep(__u64 *word, uint64_t seen, uint64_t ns)
{
	struct timespec t = {(time_t)(ns / MBE_NS_PER_S), (long)(ns % MBE_NS_PER_S)};

	syscall(SYS_futex, futex_of(word), FUTEX_WAIT, (uint32_t)seen, &t, NULL, 0);
}

/* Threads of a port need not be told apart: they live and die together. */
static uint64_t my_word(const struct mbe *e)
{
	return membox_lock_word(e->port, e->generation, 0);
}

static bool swap(__u64 *word, uint64_t from, uint64_t to)
{
	__u64 expected = from;

	return __atomic_compare_exchange_n(word, &expected, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

bool mbe_trylock_word(struct mbe *e, __u64 *word)
{
	return swap(word, 0, my_word(e));
}

void mbe_unlock_word(struct mbe *e, __u64 *word)
{
	uint64_t old = __atomic_exchange_n(word, 0, __ATOMIC_RELEASE);

	(void)e;
	if (old & MEMBOX_LOCK_CONTENDED)
		syscall(SYS_futex, futex_of(word), FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Status of a wait on a word that is seen held; OK: go on waiting. */
static uint16_t look_at_holder(struct mbe *e, __u64 *word, uint64_t seen, uint64_t deadline,
			       uint64_t mine, bool *was_dead, bool *taken)
{
	uint32_t port = mbe_lock_port(seen);

	if (port >= e->geo.ports)
		return MEMBOX_ST_CORRUPT;
	if (!mbe_port_alive(e, port, mbe_lock_generation(seen))) {
		if (!was_dead)
			return MEMBOX_ST_OWNER_DEAD;
		/* others may sleep on it still */
		*taken = swap(word, seen, mine | MEMBOX_LOCK_CONTENDED);
		*was_dead = *taken;
		return MEMBOX_ST_OK;
	}
	if (mbe_clock(e) >= deadline)
		return mbe_port_stalled(e, port) ? MEMBOX_ST_OWNER_STALLED : MEMBOX_ST_TIMED_OUT;
	return MEMBOX_ST_OK;
}

uint16_t mbe_lock_word(struct mbe *e, __u64 *word, uint64_t deadline, bool *was_dead)
{
	uint64_t mine = my_word(e), seen, look_at = 0, now;
	bool taken = false;
	unsigned int i;
	uint16_t status;

	if (was_dead)
		*was_dead = false;
	for (i = 0; i < SPINS; i++) {
		if (!MBE_PEEK(word) && swap(word, 0, mine))
			return MEMBOX_ST_OK;
		relax();
	}
	for (;;) {
		seen = MBE_LOAD(word);
		if (!seen) {
			/* it slept or may have woken in others' place: leave them a wake-up */
			if (swap(word, 0, mine | MEMBOX_LOCK_CONTENDED))
				return MEMBOX_ST_OK;
			continue;
		}
		now = mbe_clock(e);
		if (!look_at) /* most holders are just busy: sleep first */
			look_at = now + FIRST_NS;
		if (now >= look_at || now >= deadline) {
			status = look_at_holder(e, word, seen, deadline, mine, was_dead, &taken);
			if (status || taken)
				return status;
			look_at = mbe_clock(e) + SLICE_NS;
			continue;
		}
		if (!(seen & MEMBOX_LOCK_CONTENDED) && !swap(word, seen, seen | MEMBOX_LOCK_CONTENDED))
			continue;
		futex_sleep(word, seen | MEMBOX_LOCK_CONTENDED, (look_at < deadline ? look_at : deadline) - now);
	}
}

/*
 * A stopped holder costs STALL_NS at most, one that the machine is too busy to
 * run is given more.
 */
static uint16_t lock_table_word(struct mbe *e, bool *was_dead)
{
	uint64_t last = mbe_deadline(e, TABLE_NS);
	uint16_t status;

	do
		status = mbe_lock_word(e, &e->state->table_lock, mbe_deadline(e, STALL_NS), was_dead);
	while (status == MEMBOX_ST_TIMED_OUT && mbe_clock(e) < last);
	return status;
}

uint16_t mbe_table_lock(struct mbe *e)
{
	bool was_dead = false;
	uint16_t status;

	pthread_mutex_lock(&e->table_mutex);
	status = e->forgotten || e->away ? MEMBOX_ST_GONE : lock_table_word(e, &was_dead);
	if (status == MEMBOX_ST_CORRUPT)
		mbe_stop(e);
	if (status) {
		pthread_mutex_unlock(&e->table_mutex);
		return status;
	}
	MBE_STEP(e, "table: locked");
	if (was_dead && !mbe_stopped(e))
		status = mbe_rebuild(e);
	else if (mbe_stopped(e))
		status = MEMBOX_ST_CORRUPT;
	if (status)
		mbe_table_unlock(e);
	return status;
}

void mbe_table_unlock(struct mbe *e)
{
	MBE_STEP(e, "table: unlocking");
	mbe_unlock_word(e, &e->state->table_lock);
	pthread_mutex_unlock(&e->table_mutex);
}
