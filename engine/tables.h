/* SPDX-License-Identifier: MIT */
/*
 * tables.h - what the files of the engine's metadata half share among
 * themselves. "locked" means: with the table's lock held.
 */
#ifndef MBE_TABLES_H
#define MBE_TABLES_H

#include <string.h>

#include "internal.h"

/* ---- super.c: the superblock, the geometry ---- */

#define MBE_MAX_PARAMS (1U << 20)
#define MBE_MAX_GROUPS 4096U
#define MBE_MAX_HANDLES 65535U

/* What makes this superblock unusable for a file of that length, NULL: nothing. */
const char *mbe_super_check(const struct membox_fmt_super *s, uint64_t file_bytes);
/*
 * Reads the superblock, or its backup when that one is good (*backup). NULL or
 * what is wrong with the first.
 */
const char *mbe_super_read(int fd, uint64_t file_bytes, struct membox_fmt_super *s, bool *backup);
uint32_t mbe_super_crc(const struct membox_fmt_super *s);
void mbe_geometry_set(struct mbe_geometry *g, const struct membox_fmt_super *s);
void mbe_areas_set(struct mbe *e); /* after map, geo and port are there */

/* ---- byte locks: port.c ---- */

enum { MBE_BYTE_FORMAT = 0 }; /* write lock: formatting; read lock: attaching */
uint64_t mbe_port_byte(const struct mbe_geometry *g, uint32_t port); /* owner's; + 1: recovery's */
int mbe_byte_lock(int fd, uint64_t byte, bool shared); /* 0, -EAGAIN held, -errno */
int mbe_byte_wait(int fd, uint64_t byte, bool shared); /* the same, of what is held for a moment only */
void mbe_byte_unlock(int fd, uint64_t byte);
bool mbe_byte_held(int fd, uint64_t byte); /* by another description */

void mbe_identity_set(struct mbe *e); /* who we are, into our port's record */
/* Recovers our own port's leftovers, right after its byte was taken. A status. */
uint16_t mbe_port_take(struct mbe *e);
void mbe_port_leave(struct mbe *e);
uint16_t mbe_port_evict(struct mbe *e, uint32_t port); /* a SUSPENDED one goes, with all it has */
/* Recovers dead ports, at most once an interval (0: now): were there any? No lock held. */
bool mbe_poll_ports(struct mbe *e, uint64_t interval);
void mbe_wake_all(struct mbe *e); /* all live ports */

static inline uint64_t mbe_port_word(uint32_t generation, enum membox_port_state state)
{
	return (uint64_t)generation << 32 | state;
}

/* ---- fork.c ---- */

int mbe_fork_register(struct mbe *e); /* -errno or 0 */
void mbe_fork_unregister(struct mbe *e);

/* ---- alloc.c: extents; all locked ---- */

/* Bytes that a parameter of that length takes. */
uint64_t mbe_extent_bytes(uint64_t bytes, bool mappable);
/* Takes an extent: *offset of the file. OK or NO_SPACE. */
uint16_t mbe_alloc(struct mbe *e, uint64_t extent, uint64_t *offset);
void mbe_free(struct mbe *e, uint64_t offset, uint64_t extent);
/* Marks an extent as used in a bitmap: false if some of it is already. */
bool mbe_bitmap_mark(const struct mbe_geometry *g, uint64_t *bitmap, uint64_t offset, uint64_t extent);
/* Does a parameter's extent lie where one may? */
bool mbe_extent_sane(const struct mbe_geometry *g, uint64_t offset, uint64_t extent);

/* ---- param.c: the parameter table; all locked ---- */

/*
 * Copies an entry and checks it: *word is 0 for a free one, and then f is not
 * set. OK or CORRUPT (the box is stopped).
 */
uint16_t mbe_param_load(struct mbe *e, uint32_t index, struct membox_fmt_param_fixed *f, uint64_t *word);
/* The same with no consequences, for fsck: NULL or what is wrong with a copied entry. */
const char *mbe_param_check(const struct mbe_geometry *g, uint32_t index, uint64_t word,
			    const struct membox_fmt_param_fixed *f);
/* OK with *index; NOT_FOUND; CORRUPT. */
uint16_t mbe_param_find(struct mbe *e, const char *name, uint32_t *index,
			struct membox_fmt_param_fixed *f);
/*
 * Makes an entry from f (name, shape, attrs, mode, key ready; offsets and serial
 * are set here). On OK it is LIVE, in the index, and has no reference yet.
 */
uint16_t mbe_param_make(struct mbe *e, struct membox_fmt_param_fixed *f, uint32_t *index);
/* Takes the name away: LIVE becomes UNLINKED or REVOKED; an unreferenced one goes. */
uint16_t mbe_param_unlink(struct mbe *e, uint32_t index, enum membox_fmt_param_state state);
/* A reference more or less; the last one of what has no name frees the entry. */
void mbe_param_ref(struct mbe *e, uint32_t index);
uint16_t mbe_param_unref(struct mbe *e, uint32_t index);
/* Parts of the above for rebuild.c: lets an entry go; zeroes one that is FREEING already. */
void mbe_param_release(struct mbe *e, uint32_t index, const struct membox_fmt_param_fixed *f, uint64_t word);
void mbe_param_zero_later(struct mbe *e, uint32_t index);
struct membox_fmt_version *mbe_param_version(struct mbe *e, const struct membox_fmt_param_fixed *f);
/* Waiters of all ports on n parameters, counted in their tables. */
void mbe_param_waiters(struct mbe *e, const uint32_t *index, uint32_t *count, unsigned int n);

/* Not locked: zeroes what was freed by this port and gives the space back. */
void mbe_zero_pending(struct mbe *e);

/* ---- rebuild.c: the caches from the truth; locked ---- */

uint16_t mbe_rebuild(struct mbe *e);
uint32_t mbe_name_slot(const struct mbe_geometry *g, const char *name);
void mbe_hash_insert(struct mbe *e, const char *name, uint32_t index);
void mbe_hash_remove(struct mbe *e, const char *name, uint32_t index);

/* ---- handle.c: references; all locked ---- */

/* Opens a slot on a parameter: a handle (MBE_REF_OPEN) or a hold. */
uint16_t mbe_ref_open(struct mbe *e, unsigned int context, uint32_t index,
		      const struct membox_fmt_param_fixed *f, uint32_t rights,
		      enum mbe_ref_state state, uint32_t *slot);
/* OK with *slot, BAD_HANDLE; DESTROYED (with *slot) for a zombie. */
uint16_t mbe_ref_find(struct mbe *e, unsigned int context, uint32_t handle, uint32_t *slot);
/* Closes a slot, at once or when the last command on it ends. */
uint16_t mbe_ref_close(struct mbe *e, uint32_t slot, enum mbe_ref_state left);
/* A context's handles on a parameter become zombies. */
uint16_t mbe_ref_zombify(struct mbe *e, unsigned int context, uint32_t index);
/* Closes all handles of a context (-1U: of all); also holds if told so. */
uint16_t mbe_ref_close_all(struct mbe *e, unsigned int context, bool holds);
uint32_t mbe_ref_number(const struct mbe *e, uint32_t slot);
/* The copy in memory of a slot; of one whose parameter its context destroyed. */
void mbe_ref_fill(struct mbe *e, uint32_t slot, unsigned int context, uint32_t index,
		  const struct membox_fmt_param_fixed *f, uint32_t rights, enum mbe_ref_state state);
void mbe_ref_zombie(struct mbe *e, uint32_t slot, unsigned int context);
static inline uint32_t mbe_ref_rights(const struct mbe_ref *r)
{
	return (uint32_t)(r->word >> 8) & 0xff;
}

/* ---- watch.c ---- */

void mbe_watch_param(struct mbe *e, uint32_t index, struct membox_fmt_version *ver);
void mbe_unwatch_param(struct mbe *e, uint32_t index, struct membox_fmt_version *ver);
void mbe_subscribe(struct mbe *e, uint32_t slot, bool on); /* locked */
/* A slot that the box says is subscribed, and the version of which it was told. */
void mbe_subscribed(struct mbe *e, uint32_t slot, uint64_t told);

/* ---- context.c, locked ---- */

uint16_t mbe_context_create(struct mbe *e, unsigned int context);
uint16_t mbe_context_destroy(struct mbe *e, unsigned int context);

/* ---- plock.c: PARAM_LOCK ---- */

void mbe_plock_drop(struct mbe *e, uint32_t port, unsigned int context); /* locked; -1U: all */

/* ---- mail.c ---- */

uint16_t mbe_mail_send(struct mbe *e, uint32_t port, unsigned int context, uint32_t context_gen,
		       const struct membox_mail *mail); /* locked */
void mbe_mail_drop(struct mbe *e, uint32_t port, unsigned int context); /* locked; -1U: all */
void mbe_mail_announce(struct mbe *e, uint64_t contexts[MEMBOX_MAX_CONTEXTS / 64]);

/* ---- group.c, locked ---- */

uint16_t mbe_group_load(struct mbe *e, uint32_t index, struct membox_fmt_group_fixed *f, uint64_t *word);
const char *mbe_group_check(uint64_t word, const struct membox_fmt_group_fixed *f);
uint32_t mbe_group_handle(uint32_t index, uint64_t serial);
/* The rank that a context has in a group, MEMBOX_MAX_RANKS: none. */
unsigned int mbe_group_seat(const struct mbe *e, uint32_t index, unsigned int context);
/*
 * A context is about to leave its seat, or has left it: no collective begins between.
 * False: some are on their way. coll_seat.c
 */
bool mbe_coll_leave(struct mbe *e, uint32_t group, unsigned int context, bool left);
/* Do pages of the area of collectives belong to another group? *end: where those end. */
bool mbe_coll_overlap(const struct mbe *e, uint32_t index, uint32_t first, uint32_t pages, uint32_t *end);
/* Seats of a port (context -1U: of all its contexts) become DEAD. */
uint16_t mbe_group_bury(struct mbe *e, uint32_t port, unsigned int context);
/* Index of the group in which a context's handle names a seat of its own; BAD_GROUP. */
uint16_t mbe_group_find(struct mbe *e, unsigned int context, uint32_t handle, uint32_t *index);
/* Who sits on a rank of a group that the context is in. OK, BAD_GROUP, BAD_RANK, RANK_DEAD. */
struct mbe_rank {
	uint32_t port;
	unsigned int context;
	uint32_t context_gen; /* its low 24 bits */
	char group[MEMBOX_NAME_BYTES];
};
uint16_t mbe_group_rank(struct mbe *e, unsigned int context, uint32_t handle, uint32_t rank,
			struct mbe_rank *out);

/* ---- the commands: one function a row of admin.c's table ---- */

#define MBE_COMMANDS(X) \
	X(param_open, membox_param_args) \
	X(param_close, membox_handle_args) \
	X(param_destroy, membox_handle_args) \
	X(param_stat, membox_param_stat) \
	X(param_grant, membox_grant_args) \
	X(param_revoke, membox_param_args) \
	X(param_list, membox_list_args) \
	X(param_lock, membox_handle_args) \
	X(param_unlock, membox_handle_args) \
	X(mail_recv, membox_mail) \
	X(subscribe_cmd, membox_handle_args) \
	X(event_read, membox_event) \
	X(group_join, membox_group_args) \
	X(group_leave, membox_group_args) \
	X(group_info, membox_group_args)
#define MBE_COMMAND(name, args) \
	uint16_t mbe_##name(struct mbe *e, unsigned int context, struct args *a);
MBE_COMMANDS(MBE_COMMAND)
#undef MBE_COMMAND

/* ---- small things ---- */

uint64_t mbe_time(void); /* CLOCK_MONOTONIC: the box's clock */
int mbe_random(void *buf, size_t bytes); /* -errno or 0 */
bool mbe_name_ok(const char name[MEMBOX_NAME_BYTES]);
void mbe_name_copy(char to[MEMBOX_NAME_BYTES], const char from[MEMBOX_NAME_BYTES]); /* zero-filled */
bool mbe_key_equal(const uint8_t salt[16], const uint8_t hash[32], const struct membox_key *key);
int mbe_key_set(uint8_t salt[16], uint8_t hash[32], const struct membox_key *key);

#endif /* MBE_TABLES_H */
