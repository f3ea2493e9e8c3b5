/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * membox_format.h - what stands in the common memory (the box's file).
 *
 * Page 0 is the superblock, the last page its backup; both are immutable after
 * format. The geometry in it locates every area; nothing is found otherwise.
 * Areas begin on page boundaries. Offsets are of the file.
 *
 * What is true and what is a cache: the parameter table, handle slots, group
 * seats, mail slots, waiter entries, contexts and port records are the truth.
 * Each changes by filling fields nobody looks at yet and then storing one
 * aligned 8-byte word, or by one such store alone, so that a process killed
 * between two instructions leaves either the old or the new. Bitmap, hash index
 * and the counts marked "cache" are rebuilt from the truth, under the table's
 * lock, whenever a holder of that lock died. Checksums cover immutable bytes
 * only: the superblock, and `fixed` of a parameter and of a group.
 */
#ifndef MEMBOX_FORMAT_H
#define MEMBOX_FORMAT_H

#include "membox.h"

#define MEMBOX_FMT_MAGIC 0x31584f42584f424dULL /* "MBOXBOX1" */
#define MEMBOX_FMT_VERSION 1
#define MEMBOX_FMT_PAGE 4096
#define MEMBOX_FMT_GRANULE 64	     /* unit of allocation of what is below a page */
#define MEMBOX_FMT_HUGE (2ULL << 20) /* extents from here on are aligned so */
#define MEMBOX_FMT_STRIPE (256U << 10)
#define MEMBOX_FMT_LINE 64

/*
 * Feature bits. An engine opens a box with compatible bits it does not know as
 * if they were clear, with unknown read-only bits it attaches for reading only,
 * with unknown incompatible bits not at all.
 */
#define MEMBOX_FMT_COMPAT 0ULL
#define MEMBOX_FMT_RO_COMPAT 0ULL
#define MEMBOX_FMT_INCOMPAT 0ULL

/* Areas, in the order in which format lays them out. */
enum membox_fmt_area_id {
	MEMBOX_AREA_STATE = 0,	  /* struct membox_fmt_state, one */
	MEMBOX_AREA_PORTS = 1,	  /* struct membox_fmt_port a port */
	MEMBOX_AREA_CONTEXTS = 2, /* struct membox_fmt_context, MEMBOX_MAX_CONTEXTS a port */
	MEMBOX_AREA_HANDLES = 3,  /* struct membox_fmt_handle, per_port of them */
	MEMBOX_AREA_PARAMS = 4,	  /* struct membox_fmt_param */
	MEMBOX_AREA_VERSIONS = 5, /* struct membox_fmt_version, one a parameter entry */
	MEMBOX_AREA_HASH = 6,	  /* u32: parameter index + 1, open addressing; cache */
	MEMBOX_AREA_BITMAP = 7,	  /* u64 a data page, bit: granule in use; cache */
	MEMBOX_AREA_STRIPES = 8,  /* lock words, one a line */
	MEMBOX_AREA_GROUPS = 9,	  /* struct membox_fmt_group */
	MEMBOX_AREA_MAIL = 10,	  /* struct membox_fmt_mail, per_port of them */
	MEMBOX_AREA_WAITERS = 11, /* u64 words (MEMBOX_WAITER_*), per_port of them */
	MEMBOX_AREA_OUTCOMES = 12, /* struct membox_fmt_outcome, per_port of them */
	MEMBOX_AREA_UNDO = 13,	  /* struct membox_fmt_undo + a stripe, per_port of them */
	MEMBOX_AREA_COLL = 14,	  /* pages of collectives, given to groups; may be empty */
	MEMBOX_AREA_JOURNAL = 15, /* kept for a longer journal; may be empty */
	MEMBOX_AREA_DATA = 16,	  /* parameters, and version pages of mappable ones */
	MEMBOX_NR_AREAS = 24	  /* the rest: all zero */
};

struct membox_fmt_area {
	__u64 offset;	/* of the file, a multiple of a page */
	__u64 bytes;	/* a multiple of a page; 0: the box has none */
	__u32 entry;	/* bytes of an entry */
	__u32 per_port; /* entries a port; 0: the area is the box's */
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_area) == 24);

struct membox_fmt_super {
	__u64 magic;
	__u32 version;
	__u32 crc; /* crc32c of these 4096 bytes with crc as 0 */
	__u64 compat;
	__u64 ro_compat;
	__u64 incompat;
	__u8 uuid[16];
	__u64 bytes; /* of the file */
	__u32 ports;
	__u32 params;
	__u32 groups;
	__u32 stripe_bytes;
	__u32 stripes; /* lock words: a power of two */
	__u32 hash_slots; /* a power of two */
	__u8 hash_seed[16]; /* of names */
	struct membox_fmt_area area[MEMBOX_NR_AREAS];
	__u8 rsvd[4096 - 104 - 24 * MEMBOX_NR_AREAS];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_super) == MEMBOX_FMT_PAGE);

/*
 * A lock word names its holder, so that who finds it dead can take it. 0: free.
 * A futex (shared) sleeps on its low 32 bits.
 */
#define MEMBOX_LOCK_PORT 0x1ffULL	  /* port + 1 */
#define MEMBOX_LOCK_CONTENDED (1ULL << 9) /* somebody sleeps: wake at unlock */
#define MEMBOX_LOCK_GEN_SHIFT 16	  /* 32 bits: generation of the port */
#define MEMBOX_LOCK_COOKIE_SHIFT 48	  /* 16 bits: the holder's own, else 0 */

static inline __u64 membox_lock_word(__u32 port, __u32 generation, __u16 cookie)
{
	return (port + 1ULL) | (__u64)generation << MEMBOX_LOCK_GEN_SHIFT |
	       (__u64)cookie << MEMBOX_LOCK_COOKIE_SHIFT;
}

/* What changes and belongs to no port. Each command reads `stopped`: a line of its own. */
struct membox_fmt_state {
	__u64 table_lock; /* lock word: parameters, groups, mail, allocation */
	__u64 rsvd0[7];
	__u64 stopped; /* 0: good, 1: corrupt metadata was met, nothing more is done */
	__u64 rsvd1[7];
	__u64 serial;  /* last one given to a parameter or group */
	__u64 params_used;   /* cache: entries */
	__u64 granules_used; /* cache: of the data area */
	__u64 next_page;     /* hint: where the allocator looks first for pages ... */
	__u64 next_small;    /* ... and for less than one */
	__u64 next_param;    /* hint: where a free entry is looked for first */
	__u64 recoveries;    /* of dead ports, ever */
	__u64 mail_seq;	     /* last one given to a mail */
	__u64 revocations;   /* of parameters, ever: who has windows looks whether they go */
	__u8 rsvd2[4096 - 200];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_state) == MEMBOX_FMT_PAGE);

/*
 * A port. Its owner holds an open-file-description lock on the first byte of
 * this record; whoever recovers it holds one on the second.
 */
struct membox_fmt_port {
	__u64 word; /* generation << 32 | enum membox_port_state */
	__u64 principal[2];
	__u64 pid;
	__u64 pid_start; /* clock ticks since boot, field 22 of its stat file */
	__u64 boot_id[2];
	__u64 pid_ns;	 /* inode of its pid name space */
	__u64 attached;	 /* clock */
	__u64 quota_bytes; /* 0: none */
	__u64 quota_params;
	__u64 used_bytes;  /* cache: extents of what this port and principal made */
	__u64 used_params; /* cache */
	__u64 flags;	 /* MEMBOX_PORTF_* */
	__u64 rsvd0[2];
	__u32 wake;	 /* futex: bumped when something may have changed for it */
	__u32 sleepers;	 /* threads that sleep on it */
	__u64 suspended[2]; /* SUSPENDED: uuid by which it is resumed */
	__u64 rsvd1[5];
	__u64 counter[MEMBOX_NR_COUNTERS];
	__u8 rsvd2[4096 - 320];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_port) == MEMBOX_FMT_PAGE);
#define MEMBOX_PORTF_RDONLY 1ULL
#define MEMBOX_PORTF_OPERATOR 2ULL

/* A context. */
struct membox_fmt_context {
	__u64 word; /* generation << 32 | 1 when it is open, 2 when a reset ended it */
	__u64 rsvd;
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_context) == 16);
#define MEMBOX_CONTEXT_OPEN 1ULL
#define MEMBOX_CONTEXT_RESET 2ULL /* its outcomes can be asked until it is made anew */

/*
 * A reference of a context to a parameter: a handle, or a window's hold. The
 * word is stored last when it opens and first when it closes.
 */
struct membox_fmt_handle {
	__u64 word; /* below; 0: free */
	__u32 param;
	__u32 kept;   /* of a SUSPENDED port: what its owner knew; below */
	__u64 serial; /* of the parameter */
	__u64 told;   /* of a SUSPENDED port: version of the last event */
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_handle) == 32);
/* kept: bits 0-15 the last generation given */
#define MEMBOX_KEPT_ZOMBIE (1U << 16) /* free, and a handle of a destroyed parameter, ... */
#define MEMBOX_KEPT_CONTEXT_SHIFT 24  /* ... of this context (8 bits) */
#define MEMBOX_HANDLE_OPEN 1ULL	      /* bits 0-7: state */
#define MEMBOX_HANDLE_HOLD 2ULL	      /* keeps the extent, is not a handle */
#define MEMBOX_HANDLE_RIGHTS_SHIFT 8  /* 8 bits */
#define MEMBOX_HANDLE_SUBSCRIBED (1ULL << 16)
#define MEMBOX_HANDLE_CONTEXT_SHIFT 32 /* 16 bits */
#define MEMBOX_HANDLE_GEN_SHIFT 48    /* 16 bits, never 0 */
/* The number a user holds: generation << 16 | slot. */

/*
 * A parameter. word: 0 for a free entry, else serial << 8 | state, so that one
 * load tells whether an entry still is the parameter that a handle was opened
 * on. `fixed` is written while the entry is free and never again while it is not.
 */
enum membox_fmt_param_state {
	MEMBOX_PST_FREE = 0, /* the whole word is */
	MEMBOX_PST_LIVE = 1,
	MEMBOX_PST_UNLINKED = 2, /* destroyed: no name; lives while it is referenced */
	MEMBOX_PST_REVOKED = 3,  /* the same, and every use of it is refused */
	MEMBOX_PST_FREEING = 4   /* unreferenced; its bytes are being zeroed */
};

#define MEMBOX_PST_STATE 0xffULL
#define MEMBOX_PST_SERIAL_SHIFT 8

struct membox_fmt_param_fixed {
	__u32 crc; /* crc32c of this structure with crc as 0 */
	__u32 attrs; /* MEMBOX_PARAM_* */
	__u64 serial;
	char name[MEMBOX_NAME_BYTES];
	__u32 type;
	__u32 mode;
	__u64 count;
	__u64 bytes;	/* count * size of an element */
	__u64 offset;	/* of its first byte */
	__u64 extent;	/* bytes taken there: a power of two below a page, else whole pages */
	__u64 version;	/* offset of its struct membox_fmt_version */
	__u64 owner[2]; /* principal */
	__u8 salt[16];	/* KEYED: ... */
	__u8 key[32];	/* ... BLAKE2s-256 of salt and key */
	__u32 port;	/* that made it: its quota is charged */
	__u32 rsvd;
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_param_fixed) == 200);

struct membox_fmt_param {
	__u64 word;
	__u64 lock; /* lock word of PARAM_LOCK; cookie: context, its generation << 8 */
	__u64 zeroer; /* FREEING: lock word of who zeroes */
	__u32 refs;	   /* cache: handles and holds */
	__u32 subscribers; /* cache: subscribed handles */
	__u64 rsvd0;
	struct membox_fmt_param_fixed fixed;
	__u64 rsvd1[2];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_param) == 256);

/*
 * Versions of a parameter, and who wants to know. That of a mappable parameter
 * stands alone on a data page, which may be mapped read-only.
 */
struct membox_fmt_version {
	__u64 begun;	/* writers begun, ever */
	__u64 finished; /* writers finished, ever */
	__u64 torn;	/* not 0: a writer died and left a part of its command done */
	__u64 repair;	/* lock word: recovery settles the counters, writers wait */
	__u64 watch[MEMBOX_MAX_PORTS / 64]; /* bit: that port has a waiter or subscriber */
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_version) == MEMBOX_FMT_LINE);

/* The stripe of data byte `offset` has lock word number (offset / stripe_bytes) % stripes. */
struct membox_fmt_stripe {
	__u64 lock;
	__u64 rsvd[7];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_stripe) == MEMBOX_FMT_LINE);

/* A group. word: serial << 8 | 1 when it is there. */
struct membox_fmt_group_fixed {
	__u32 crc; /* crc32c of this structure with crc as 0 */
	__u32 ranks;
	__u64 serial;
	char name[MEMBOX_NAME_BYTES];
	__u32 keyed;
	__u32 rsvd;
	__u8 salt[16];
	__u8 key[32]; /* as a parameter's */
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_group_fixed) == 136);

struct membox_fmt_seat {
	__u64 word;   /* context generation << 40 | context << 24 | port << 8 | enum membox_seat */
	__u64 generation; /* of the port */
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_seat) == 16);
#define MEMBOX_SEAT_STATE 0xffULL
#define MEMBOX_SEAT_PORT_SHIFT 8
#define MEMBOX_SEAT_CONTEXT_SHIFT 24
#define MEMBOX_SEAT_CTXGEN_SHIFT 40

struct membox_fmt_group {
	__u64 word;
	__u64 epoch;
	struct membox_fmt_group_fixed fixed;
	__u64 rsvd0;
	__u8 rsvd1[1024 - 160];
	struct membox_fmt_seat seat[MEMBOX_MAX_RANKS];
	__u64 coll; /* MEMBOX_COLL_*: its pages of the area of collectives; 0: none yet */
	__u8 rsvd2[2048 - 8];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_group) == 4096);

/*
 * Collectives of a group: pages of MEMBOX_AREA_COLL, given to it at its first one
 * and gone with it. Who is given them zeroes all but staging, then stores
 * group.coll, with the table's lock held. They hold, one behind the other,
 *
 *	struct membox_fmt_coll
 *	struct membox_fmt_coll_seat   [ranks]
 *	block                         [MEMBOX_COLL_SLOTS][ranks]: struct
 *		membox_fmt_coll_entry and MEMBOX_COLL_SMALL bytes of what the rank sends
 *	staging, on a page boundary   [ranks][MEMBOX_COLL_DEPTH] pieces
 *
 * Collective number seq of an epoch has slot seq % MEMBOX_COLL_SLOTS, which it may
 * use when every rank has ended all that are MEMBOX_COLL_SLOTS and more before it;
 * staging is used by one at a time, when every rank has ended all before it. What is
 * a rank's (seat, blocks, staging) is written by that rank alone.
 */
#define MEMBOX_COLL_SLOTS 8
#define MEMBOX_COLL_SMALL 4096U	     /* bytes that travel in blocks; more: through staging */
#define MEMBOX_COLL_BLOCK 4224U	     /* entry and bytes, whole pairs of lines */
#define MEMBOX_COLL_DEPTH 4U	     /* pieces of staging a rank: chunks on their way at once */
#define MEMBOX_COLL_PIECE (128U << 10) /* at most, and ... */
#define MEMBOX_COLL_PIECE_MIN 4096U  /* ... at least: a power of two */

/* group.coll: first page << 32 | pages << 8 | log2 of a piece's bytes */
#define MEMBOX_COLL_FIRST_SHIFT 32
#define MEMBOX_COLL_PAGES_SHIFT 8
#define MEMBOX_COLL_PAGES 0xffffffULL

/*
 * The outcome of the collective that has a slot: seq << 48 | epoch << 24 | rank << 16 |
 * status << 8 | count, low bits of each. Another seq or epoch than one's own: nobody
 * is done yet. count: ranks that have given all that others need of them; all of them:
 * COMMITTED. status (enum membox_status), not 0 before that: it was ended so, because
 * of that rank. Both are for ever; each change is a compare-and-swap.
 */
#define MEMBOX_COLL_COUNT 0xffULL
#define MEMBOX_COLL_STATUS_SHIFT 8
#define MEMBOX_COLL_RANK_SHIFT 16
#define MEMBOX_COLL_TAG_SHIFT 24

static inline __u64 membox_coll_tag(__u32 epoch, __u32 seq)
{
	return (__u64)(seq & 0xffff) << 48 | (__u64)(epoch & 0xffffff) << MEMBOX_COLL_TAG_SHIFT;
}

struct membox_fmt_coll {
	__u64 parked; /* bit: that rank sleeps, and is to be woken by whoever changed something */
	__u64 rsvd[7];
	struct {
		__u64 word; /* the outcome */
		__u64 rsvd[7];
	} slot[MEMBOX_COLL_SLOTS];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_coll) == 64 + 64 * MEMBOX_COLL_SLOTS);

/* state: epoch << 32 | seq below which it ended all collectives of that epoch */
struct membox_fmt_coll_seat {
	__u64 state;
	__u64 gave_up; /* the last it ended before it had a slot: seq << 32 | status << 8 | rank */
	__u64 rsvd[6];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_coll_seat) == MEMBOX_FMT_LINE);

/* A rank in a slot. tag: epoch << 32 | seq, stored when the rest is whole. */
struct membox_fmt_coll_entry {
	__u64 tag;
	__u64 count;  /* of its packet, as the four types below and root */
	__u8 opcode;
	__u8 src_type;
	__u8 dst_type;
	__u8 reduction;
	__u32 root;
	__u32 done;   /* of its seat, when it came */
	__u32 staged;  /* chunks that it has put into its staging, */
	__u32 reduced; /* ... whose share it has reduced, */
	__u32 taken;   /* ... and of whose staging it has no more need */
	__u64 rsvd[3];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_coll_entry) == MEMBOX_FMT_LINE);

/* A mail. word: seq << 24 | context << 8 | 1 when it is full. */
struct membox_fmt_mail {
	__u64 word;
	__u32 from_port;
	__u32 context_gen;
	char name[MEMBOX_NAME_BYTES];
	struct membox_key key;
	char group[MEMBOX_NAME_BYTES];
	__u8 rsvd[96];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_mail) == 256);
#define MEMBOX_MAIL_CONTEXT_SHIFT 8
#define MEMBOX_MAIL_SEQ_SHIFT 24

/* A waiter: low serial << 32 | parameter << 1 | 1. */
#define MEMBOX_WAITER_USED 1ULL
#define MEMBOX_WAITER_PARAM_SHIFT 1
#define MEMBOX_WAITER_SERIAL_SHIFT 32

/* What became of a command. word: stored last, 0: entry was never used. */
struct membox_fmt_outcome {
	__u64 word; /* sequence << 32 | context generation << 16 | context << 8 | 1 */
	__u64 user_data;
	__u64 torn_at;
	__u32 outcome;
	__u32 status;
	__u64 command; /* after a crash: generation of the port << 32 | sequence of the writer */
	__u64 writer;  /* after a crash: number of the writer's record + 1, else 0 */
	__u64 rsvd[2];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_outcome) == 64);

/*
 * A writer of a port: this page, and behind it the old bytes of the stripe that
 * it changes. word: sequence << 32 | progress << MEMBOX_UNDO_PROGRESS_SHIFT |
 * state; every state between two IDLE has the same sequence, the next command
 * another one. The fields are whole before BEGIN is stored; offset, bytes and
 * the old bytes before OPEN is. While a record is IDLE its progress is 1 + the bytes
 * that the last command did, whose completion may not have reached anybody; 0: it has
 * nothing to tell.
 */
enum membox_fmt_undo_state {
	MEMBOX_UNDO_IDLE = 0,
	MEMBOX_UNDO_BEGIN = 1,	/* `begun` of the parameter is about to be bumped, or was */
	MEMBOX_UNDO_ACTIVE = 2, /* it was; `progress` bytes are done, no stripe is open */
	MEMBOX_UNDO_OPEN = 3,	/* the same, and the old bytes of one stripe are valid */
	MEMBOX_UNDO_END = 4,	/* `finished` is about to be bumped, or was */
};

#define MEMBOX_UNDO_STATE 0x7ULL
#define MEMBOX_UNDO_PROGRESS_SHIFT 3 /* 29 bits: bytes of the destination done */
#define MEMBOX_UNDO_PROGRESS 0x1fffffffULL
#define MEMBOX_UNDO_SEQ_SHIFT 32

struct membox_fmt_undo {
	__u64 word;
	__u64 offset; /* of the file: where the old bytes belong */
	__u64 bytes;  /* at most a stripe */
	__u64 serial; /* parameter that is written */
	__u32 param;
	__u32 generation; /* of the port */
	__u64 base;   /* of the file: first byte of the command's destination, */
	__u64 length; /* its bytes, */
	__u64 source; /* and the first byte of its source in the box, 0: none */
	__u64 user_data;
	__u32 context;
	__u32 context_gen;
	__u64 rsvd0[6];
	struct membox_packet packet; /* the command */
	__u8 rsvd1[4096 - 256];
};

MEMBOX_ASSERT(sizeof(struct membox_fmt_undo) == MEMBOX_FMT_PAGE);

#endif /* MEMBOX_FORMAT_H */
