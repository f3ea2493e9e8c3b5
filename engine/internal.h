/* SPDX-License-Identifier: MIT */
/*
 * internal.h - what the engine's files share. The metadata half (format,
 * attach, port, lock, alloc, param, group, mail, admin, fsck) owns the tables;
 * the execution half (exec and what it calls) owns data, stripes, undo and
 * outcomes, and its private state e->exec.
 *
 * Lock order: e->recover_mutex with a port's recovery byte, e->table_mutex, the
 * box's table lock (mbe_table_lock takes both), then stripe lock words. Who holds
 * a stripe may not take the table; nobody waits for a stripe while holding the
 * table. e->watch_mutex is a leaf.
 * event() is called with none of them held.
 *
 * Everything read from the box may be wrong: it is loaded once, checked, and
 * every walk has a bound. What cannot be believed ends in mbe_stop().
 */
#ifndef MBE_INTERNAL_H
#define MBE_INTERNAL_H

#include <pthread.h>

#include "engine.h"
#include "membox_format.h"

/* The uapi types are the host's: both are unsigned 64-bit integers. */
MEMBOX_ASSERT(sizeof(unsigned long long) == sizeof(uint64_t));

#define MBE_NS_PER_MS 1000000ULL
#define MBE_NS_PER_S 1000000000ULL

#define MBE_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define MBE_PEEK(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define MBE_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/*
 * A step of a metadata update, for tests that die at each of them. Every store
 * that a crash could separate from the next one has a step between.
 */
#define MBE_STEP(e, name) \
	do { \
		if (__builtin_expect((e)->step != NULL, 0)) \
			(e)->step((e)->step_arg, (name)); \
	} while (0)

/* A test program may define it: attach then begins with it as e->step. */
void mbe_step_default(void *arg, const char *name) __attribute__((weak));

struct mbe_exec;

/* What geometry the box has: checked when it was attached, and private. */
struct mbe_geometry {
	uint64_t bytes; /* of the file */
	uint32_t ports, params, groups;
	uint32_t stripe_bytes, stripes;
	uint32_t hash_slots;
	uint32_t handles;  /* a port */
	uint32_t mails;	   /* a port */
	uint32_t waiters;  /* a port */
	uint32_t outcomes; /* a port */
	uint32_t undos;	   /* a port: workers that can write at once */
	uint64_t undo_bytes; /* of one: header page and a stripe */
	uint64_t data, data_bytes; /* data area: file offset, length */
	uint64_t pages;	   /* of the data area */
	uint8_t hash_seed[16];
	struct membox_fmt_area area[MEMBOX_NR_AREAS];
};

/*
 * A reference of this process to a parameter. The truth is the slot of the same
 * number in the box; this is the checked copy that commands use.
 */
enum mbe_ref_state {
	MBE_REF_FREE = 0,
	MBE_REF_OPEN = 1,
	MBE_REF_ZOMBIE = 2, /* its context destroyed the parameter: answers DESTROYED */
	MBE_REF_HOLD = 3,   /* of mbe_extent_get: not a handle */
};
struct mbe_ref {
	uint64_t word;	   /* generation << 48 | context << 32 | rights << 8 | state */
	uint32_t inflight; /* commands that use it */
	uint32_t param;
	uint64_t serial;
	uint8_t *data;
	uint64_t bytes;
	struct membox_fmt_version *ver;
	uint32_t attrs;
	uint8_t type;
	uint8_t draining;   /* closed, ends when inflight is 0; atomic */
	uint8_t subscribed; /* under watch_mutex, as the next two */
	uint8_t announced; /* event() was called, EVENT_READ has not caught up */
	uint64_t told;	  /* version of the last event */
} __attribute__((aligned(64)));
MEMBOX_ASSERT(sizeof(struct mbe_ref) == 64);

/* A waiter of this port. */
struct mbe_waiter {
	struct membox_fmt_version *ver; /* NULL: free */
	uint32_t param;
};

struct mbe {
	uint8_t *map; /* the whole file */
	struct mbe_geometry geo;
	uint8_t uuid[16];

	uint32_t port;
	uint32_t generation; /* of the port, while it is ours */
	uint8_t principal[16];
	struct mbe_attach_opts opts;
	uint64_t caps;
	bool rdonly; /* of opts, or because of unknown read-only features */
	bool looking; /* nothing is executed: the box was stopped, we are away, or a forked child */

	/* Areas. Those with an index are arrays as long as geo says. */
	const struct membox_fmt_super *super;
	struct membox_fmt_state *state;
	struct membox_fmt_port *ports;	  /* [ports] */
	struct membox_fmt_port *self;	  /* &ports[port] */
	struct membox_fmt_context *contexts; /* [MEMBOX_MAX_CONTEXTS], this port's */
	struct membox_fmt_handle *handles; /* [handles], this port's */
	struct membox_fmt_param *params;  /* [params] */
	struct membox_fmt_version *versions; /* [params] */
	uint32_t *hash;			  /* [hash_slots] */
	uint64_t *bitmap;		  /* [pages] */
	struct membox_fmt_stripe *stripes; /* [stripes] */
	struct membox_fmt_group *groups;  /* [groups] */
	struct membox_fmt_mail *mails;	  /* [mails], this port's */
	uint64_t *waiters;		  /* [waiters], this port's */
	struct membox_fmt_outcome *outcomes; /* [outcomes], this port's */
	uint8_t *undos;			  /* [undos] of undo_bytes, this port's */

	int fd;	     /* of the file, mapped */
	int lock_fd; /* a description of its own: holds the port's byte */
	uint64_t boot_id[2], pid_ns; /* of this process */
	bool forgotten; /* in a forked child: the box is not ours */
	bool away; /* the port is suspended, or not resumed yet: not ours */
	struct mbe *next; /* engines of this process, for fork */

	pthread_mutex_t recover_mutex; /* one recovery at a time in this process */
	pthread_mutex_t table_mutex; /* the port's threads, before the box's lock */
	pthread_mutex_t watch_mutex; /* watches, subscriptions, events told */
	struct mbe_ref *refs;	     /* [handles] */
	uint16_t *ref_gen;	     /* [handles]: last generation given */
	uint32_t ref_hint;
	uint32_t ctx_gen[MEMBOX_MAX_CONTEXTS]; /* 0: not open; else the generation */
	uint32_t ctx_last[MEMBOX_MAX_CONTEXTS]; /* last generation given */
	uint32_t *zeroing;	     /* [params]: entries whose bytes we are to zero, ... */
	uint32_t nzeroing;	     /* ... under table_mutex */
	uint32_t *watches;	     /* [params]: waiters and subscriptions of ours */
	uint32_t *subs;		     /* [handles]: slots of refs that are subscribed */
	uint32_t nsubs;
	struct mbe_waiter *waiting;  /* [waiters] */
	uint32_t waiter_hint, nwaiting;
	uint64_t revoked_seen;	     /* state->revocations when revoked() was last called; atomic */
	uint64_t mail_told;	     /* sequence number up to which event() was called */
	uint64_t poll_at;	     /* clock: next look for dead ports; atomic */

	struct mbe_exec *exec; /* the execution half's */

	void (*step)(void *arg, const char *name); /* MBE_STEP: tests */
	void *step_arg;
};

/* ---- areas, geometry: super.c ---- */

/* Says in text what went wrong, for who opens or makes a box. Returns err. */
int mbe_fail(char text[MBE_ERR_TEXT], int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The first entry of a port in an area that has entries for each port. */
void *mbe_area_of(const struct mbe *e, enum membox_fmt_area_id id, uint32_t port);

/*
 * Corrupt metadata was met: the box is stopped for everybody. Returns
 * MEMBOX_ST_CORRUPT, which every later command answers.
 */
uint16_t mbe_stop(struct mbe *e);
static inline bool mbe_stopped(const struct mbe *e)
{
	return e->looking || MBE_PEEK(&e->state->stopped) != 0;
}

/* ---- operands: handle.c ---- */

/* A parameter as a command uses it, held until mbe_operand_put. */
struct mbe_operand {
	uint32_t param;	 /* index in the table */
	uint32_t slot;	 /* of the handle */
	uint64_t serial;
	uint8_t *data;	 /* its first byte, in the mapping */
	uint64_t bytes;
	uint64_t address; /* of the first byte in the box: its file offset */
	struct membox_fmt_version *ver;
	uint32_t rights; /* MEMBOX_WIN_READ | MEMBOX_WIN_WRITE */
	uint32_t attrs;	 /* MEMBOX_PARAM_*, as it was created */
	uint8_t type;	 /* enum membox_type */
};

/*
 * GONE, CORRUPT, BAD_CONTEXT, BAD_HANDLE, DESTROYED or OK; only OK holds. No lock, no
 * search, no allocation.
 */
uint16_t mbe_operand_get(struct mbe *e, unsigned int context, uint32_t handle,
			 struct mbe_operand *out);
/*
 * May finish a close that waited for this command, and then takes the table's
 * lock: call it with no stripe held.
 */
void mbe_operand_put(struct mbe *e, const struct mbe_operand *op);

/* Is the context open? */
static inline bool mbe_context_open(const struct mbe *e, unsigned int context)
{
	return context < MEMBOX_MAX_CONTEXTS && MBE_LOAD(&e->ctx_gen[context]) != 0;
}
/* Generation of an open context, 0 when it is not. */
static inline uint32_t mbe_context_gen(const struct mbe *e, unsigned int context)
{
	return context < MEMBOX_MAX_CONTEXTS ? MBE_LOAD(&e->ctx_gen[context]) : 0;
}

/* ---- versions, waiters, wake-ups: watch.c ---- */

/*
 * To be called after `finished` was bumped (or data changed that somebody may
 * wait for): wakes the ports that watch the parameter. One line is read when
 * nobody does. The bump must be a sequentially consistent one.
 */
void mbe_changed(struct mbe *e, const struct mbe_operand *op);

/*
 * Registers a waiter of this port, so that changes wake it; after it returns OK
 * look once more before sleeping. TABLE_FULL when the port's waiters are used
 * up, QUOTA when it may have no more. *waiter goes to mbe_watch_del, before the operand is put.
 */
uint16_t mbe_watch_add(struct mbe *e, unsigned int context, const struct mbe_operand *op,
		       uint32_t *waiter);
void mbe_watch_del(struct mbe *e, uint32_t waiter);

/* Bumps a port's wake word and ends the sleep of its threads. */
void mbe_wake_port(struct mbe *e, uint32_t port);

/*
 * The tables' part of mbe_progress: mail and events to tell of, dead ports to
 * recover now and then. Returns when it wants to be called again, UINT64_MAX:
 * no need. Call with no lock held.
 */
uint64_t mbe_table_progress(struct mbe *e);

/* ---- lock words, liveness, recovery: lock.c, port.c ---- */

/*
 * Takes a lock word for this port: spins a little, sleeps, looks whether the
 * holder lives.
 *   OK           taken; *was_dead tells that it was taken from a dead holder
 *   OWNER_DEAD   only if was_dead is NULL: holder is dead, word not taken (drop
 *                what you hold, mbe_recover_port(), try again)
 *   TIMED_OUT, OWNER_STALLED  at the deadline (clock; holder runs; is stopped)
 *   CORRUPT      the word names no port
 */
uint16_t mbe_lock_word(struct mbe *e, __u64 *word, uint64_t deadline, bool *was_dead);
bool mbe_trylock_word(struct mbe *e, __u64 *word); /* false: held by whomever */
void mbe_unlock_word(struct mbe *e, __u64 *word);

/* Port a lock word names; UINT32_MAX when it is free. */
static inline uint32_t mbe_lock_port(uint64_t word)
{
	return (uint32_t)(word & MEMBOX_LOCK_PORT) - 1;
}
static inline uint32_t mbe_lock_generation(uint64_t word)
{
	return (uint32_t)(word >> MEMBOX_LOCK_GEN_SHIFT);
}

/* Is that generation of the port attached by a process that is there? System calls. */
bool mbe_port_alive(struct mbe *e, uint32_t port, uint32_t generation);
/* Is the process that holds the port stopped (state T)? */
bool mbe_port_stalled(struct mbe *e, uint32_t port);

/*
 * Recovers a port whose owner died: undo and outcomes (mbe_exec_recover), its
 * stripe locks, handles, parameter locks, seats, mail, waiters. Idempotent; one
 * process does it, others wait for it. True when the port is not dead any more.
 * Takes the table's lock.
 */
bool mbe_recover_port(struct mbe *e, uint32_t port);

/*
 * The table's lock, which serialises every change of metadata. Locked by a dead
 * holder it is taken over and the caches are rebuilt. Not OK: not locked.
 */
uint16_t mbe_table_lock(struct mbe *e);
void mbe_table_unlock(struct mbe *e);

uint64_t mbe_deadline(const struct mbe *e, uint64_t ns); /* clock + ns, saturating */

/* ---- what the execution half provides ---- */

/* Makes and ends e->exec. init runs last in attach; fini first in detach. -errno or 0. */
int mbe_exec_init(struct mbe *e);
void mbe_exec_fini(struct mbe *e);

/*
 * Undoes (or rolls forward) what the dead owner of a port left open: undo
 * stripes, versions, TORN marks, outcomes. Called by mbe_recover_port with the
 * port's recovery held, without the table's lock, and with the port's lock words
 * still in place; releases every stripe that the port held. May run before
 * mbe_exec_init: uses no e->exec. Idempotent.
 */
void mbe_exec_recover(struct mbe *e, uint32_t port);
/* This port leaves: its records have nothing to tell of whoever comes after. */
void mbe_exec_forget(struct mbe *e);

/* GET_OUTCOMES of a context that is open, or that a reset ended: is it one of these? */
bool mbe_outcomes_asked(const struct mbe *e, unsigned int context);
uint16_t mbe_exec_outcomes(struct mbe *e, unsigned int context, struct membox_outcomes *out);

/* ---- checksums and hashes: crc32c.c, blake2s.c, siphash.c ---- */

uint32_t mbe_crc32c(uint32_t crc, const void *data, size_t bytes);
void mbe_blake2s(uint8_t out[32], const void *a, size_t na, const void *b, size_t nb);
uint64_t mbe_siphash(const uint8_t seed[16], const void *data, size_t bytes);

#endif /* MBE_INTERNAL_H */
