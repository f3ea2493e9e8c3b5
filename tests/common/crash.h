/* SPDX-License-Identifier: MIT */
/*
 * crash.h - processes that are killed at the engine's steps or at random instants.
 * Which steps there are is found out while the test runs: each process that may die
 * puts those that it passes into a table that all share, and the next to die are given
 * the steps at which the fewest have died.
 *
 * What is in here for children asserts nothing: a failed assertion would carry on
 * with the parent's tests.
 */
#ifndef MEMBOX_CRASH_H
#define MEMBOX_CRASH_H

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "engine_box.h"

/* Sanitizers make processes slow to start and to run: fewer die then, later. */
#if defined(__SANITIZE_THREAD__)
#define CRASH_SLOWNESS 20
#elif defined(__SANITIZE_ADDRESS__)
#define CRASH_SLOWNESS 10
#else
#define CRASH_SLOWNESS 1
#endif

/* How many die: $KILLS, or as many as a test may take the time for. */
static inline unsigned int crash_kills(unsigned int usual)
{
	const char *text = getenv("KILLS");
	unsigned int kills = text ? (unsigned int)strtoul(text, NULL, 10) : 0;

	return kills ? kills : usual / CRASH_SLOWNESS;
}

/* In a child: the test fails, by its exit status, with a word of where. */
#define must(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "# %s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			_exit(99); \
		} \
	} while (0)

static inline uint64_t crash_random(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dULL;
}

static inline uint64_t crash_below(uint64_t *s, uint64_t limit)
{
	return crash_random(s) % limit;
}

static inline uint64_t crash_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Memory that this process and its children share. */
static inline void *crash_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* ---- steps ---- */

#define CRASH_STEPS 256

/* Children are forked: a name is at the same address in all of them. */
static struct crash_table {
	const char *name[CRASH_STEPS];
	uint32_t tries[CRASH_STEPS], deaths[CRASH_STEPS];
} *crash_table;

static const char *crash_at; /* step of this process to die at; NULL: at none */
static unsigned int crash_nth; /* when it is passed for this time, from 1 */
static bool crash_actor; /* this process puts its steps into the table */

static inline unsigned int crash_step(const char *name)
{
	unsigned int i;

	for (i = 0; i < CRASH_STEPS; i++) {
		const char *none = NULL;

		if (__atomic_load_n(&crash_table->name[i], __ATOMIC_ACQUIRE) == NULL)
			__atomic_compare_exchange_n(&crash_table->name[i], &none, name, false, __ATOMIC_ACQ_REL,
						    __ATOMIC_ACQUIRE);
		if (!strcmp(crash_table->name[i], name))
			break;
	}
	must(i < CRASH_STEPS);
	return i;
}

void mbe_step_default(void *arg, const char *name)
{
	static const char *seen[64]; /* is it in the table? */
	unsigned int slot = ((uintptr_t)name >> 2) % 64;

	(void)arg;
	if (!crash_actor)
		return;
	if (__atomic_load_n(&seen[slot], __ATOMIC_RELAXED) != name) {
		crash_step(name);
		__atomic_store_n(&seen[slot], name, __ATOMIC_RELAXED);
	}
	if (!crash_at || strcmp(crash_at, name) || --crash_nth)
		return;
	crash_table->deaths[crash_step(name)]++;
	kill(getpid(), SIGKILL);
}

/* In the parent: the step that was tried the fewest times. NULL: none is known yet. */
static inline const char *crash_choose(uint64_t *s)
{
	unsigned int n = 0, best = 0, first;

	while (n < CRASH_STEPS && crash_table->name[n])
		n++;
	if (!n)
		return NULL;
	first = (unsigned int)crash_below(s, n);
	best = first;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int k = (first + i) % n;

		if (crash_table->tries[k] < crash_table->tries[best])
			best = k;
	}
	crash_table->tries[best]++;
	return crash_table->name[best];
}

/* At which passing of it; what is passed rarely, the first time. */
static inline unsigned int crash_when(const char *name, uint64_t *s)
{
	static const char *const rare[] = { "recover", "rebuild", "take", "leave" };

	for (unsigned int i = 0; i < sizeof(rare) / sizeof(rare[0]); i++)
		if (!strncmp(name, rare[i], strlen(rare[i])))
			return 1;
	return 1 + (unsigned int)crash_below(s, 3);
}

/* Tells how many steps there were, and at how many of them somebody died: per cent. */
static inline unsigned int crash_report(void)
{
	unsigned int n = 0, met = 0;

	for (; n < CRASH_STEPS && crash_table->name[n]; n++) {
		met += crash_table->deaths[n] != 0;
		if (!crash_table->deaths[n])
			print_message("# nobody died at \"%s\", tried %u times\n", crash_table->name[n],
				      crash_table->tries[n]);
	}
	print_message("# died at %u of %u steps\n", met, n);
	return n ? 100 * met / n : 0;
}

/* ---- commands, in children and parents ---- */

/* How long anybody waits for what must come. */
#define CRASH_PATIENCE_S 120

static inline struct membox_completion crash_run(struct port *p, const struct membox_packet *packet, void *host)
{
	struct iovec v = { host, membox_host_bytes(packet) };
	struct issue i;

	issue_start(p, &i, packet, &v, v.iov_len ? 1 : 0);
	while (!issue_is_done(&i)) {
		uint32_t seen = mbe_wake_seen(p->e);
		uint64_t until = mbe_progress(p->e);

		if (!issue_is_done(&i))
			mbe_sleep(p->e, seen, until);
	}
	must(i.done == 1);
	return i.c;
}

/* What an outcome record of any port says of a command; the number of records. */
static inline unsigned int crash_outcome(struct mbe *e, uint64_t user_data, struct membox_fmt_outcome *out)
{
	unsigned int n = 0;

	for (uint32_t port = 0; port < e->geo.ports; port++) {
		const struct membox_fmt_outcome *o = mbe_area_of(e, MEMBOX_AREA_OUTCOMES, port);

		for (uint32_t i = 0; i < e->geo.outcomes; i++)
			if (o[i].word && o[i].user_data == user_data) {
				*out = o[i];
				n++;
			}
	}
	return n;
}

static inline void crash_say(void *arg, const char *text)
{
	(void)arg;
	print_message("# checker: %s\n", text);
}

#endif /* MEMBOX_CRASH_H */
