/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * membox.h (uapi) - what a program says to a membox: packets, completions,
 * ioctls. The same structures reach the driver, the device and the engine.
 *
 * A packet is 128 bytes. Which of its fields an operation uses is said once, in
 * MEMBOX_OPS below; every field that the operation does not use must be zero.
 * The order in which faults are reported is that of MEMBOX_STATUSES.
 */
#ifndef MEMBOX_UAPI_H
#define MEMBOX_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "membox_hw.h"

#define MEMBOX_ABI 1
#define MEMBOX_NAME_BYTES 64	/* names end with a zero byte inside this; [!-~] only */
#define MEMBOX_OPERANDS 4
#define MEMBOX_MAX_RANKS 64
#define MEMBOX_MAX_TERMS 256	/* of WSUM's list */
#define MEMBOX_MAX_BYTES (1ULL << 28) /* largest transfer or operand of one packet */
#define MEMBOX_MAX_TIMEOUT_US 600000000U /* ten minutes */
#define MEMBOX_DEFAULT_TIMEOUT_US 10000000U /* what timeout_us 0 means */
#define MEMBOX_MAX_BATCH 1024	/* packets of one write() or SUBMIT */

/* Element types. 0 is none. I8 also stands for raw bytes in the move group. */
enum membox_type {
	MEMBOX_F32 = 1,
	MEMBOX_F64 = 2,
	MEMBOX_F16 = 3,
	MEMBOX_BF16 = 4,
	MEMBOX_I8 = 5,
	MEMBOX_I32 = 6,
	MEMBOX_I64 = 7,
	MEMBOX_NR_TYPES = 8
};

enum membox_red {
	MEMBOX_SUM = 1,
	MEMBOX_MIN = 2,
	MEMBOX_MAX = 3,
	MEMBOX_PROD = 4,
	MEMBOX_NR_REDS = 5
};

/*
 * sub of WAIT: signed 64-bit comparison of what is found, & mask, with `value`.
 * An i32 is sign-extended first.
 */
enum membox_cmp {
	MEMBOX_EQ = 1,
	MEMBOX_NE = 2,
	MEMBOX_LT = 3,
	MEMBOX_LE = 4,
	MEMBOX_GT = 5,
	MEMBOX_GE = 6,
	MEMBOX_NR_CMPS = 7
};

/*
 * sub of ATOMIC. For i32 value and compare are given sign-extended, and the old
 * value comes back so.
 */
enum membox_atomic {
	MEMBOX_FETCH_ADD = 1,
	MEMBOX_SWAP = 2,
	MEMBOX_COMPARE_SWAP = 3,
	MEMBOX_NR_ATOMICS = 4
};

/*
 * sub of UPDATE. With G = grad_scale * g + decay * w throughout:
 * SGD       w -= lr * G                                    lr decay grad_scale
 * MOMENTUM  m = beta1 * m + G; w -= lr * m                 and beta1
 * ADAM      m = beta1 * m + (1 - beta1) * G; v = beta2 * v + (1 - beta2) * G * G;
 *           w -= lr * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
 *                                                          all, and step from 1
 * Other scalars, and m and v where a rule has none, must be zero.
 */
enum membox_update {
	MEMBOX_SGD = 1,	     /* w, g */
	MEMBOX_MOMENTUM = 2, /* w, g, m */
	MEMBOX_ADAM = 3,     /* w, g, m, v */
	MEMBOX_NR_UPDATES = 4
};

/* Flags of a packet */
#define MEMBOX_F_FENCE (1U << 0)   /* start when all earlier ones of the queue ended */
#define MEMBOX_F_ORDERED (1U << 1) /* fold in list or rank order; WSUM and reductions */
#define MEMBOX_F_REGION (1U << 2)  /* host is a region key and an offset */
#define MEMBOX_F_REGION2 (1U << 3) /* host2 too */

/* What stands at the end of a packet, by operation (union of struct membox_packet). */
struct membox_scale_args {
	__u64 a; /* a and b: binary64. All zeros is the number 0, not a default */
	__u64 b;
	__u64 unused[2];
};

struct membox_word_args {
	__u64 value;   /* FILL: element, zero-extended; ATOMIC: operand; WAIT: compare with */
	__u64 compare; /* COMPARE_SWAP: expected; WAIT: mask, 0: all bits */
	__u64 unused[2];
};

struct membox_terms_args {
	__u32 nterms; /* of the list of struct membox_term at host */
	__u32 unused0;
	__u64 unused[3];
};

struct membox_update_args {
	__u32 scalar[6]; /* binary32, finite: lr, beta1, beta2, eps, decay, grad_scale */
	__u64 step;	 /* from 1: Adam's bias correction */
};

struct membox_scatter_args {
	__u64 a;
	__u64 unused;
	struct membox_hostref index; /* count indices of type sub, from offset[0] on */
};

struct membox_coll_args {
	__u32 group;
	__u32 epoch;
	__u32 seq;  /* the ranks' count of collectives of this epoch */
	__u32 root; /* REDUCE, BROADCAST; ALLGATHER, REDUCE_SCATTER: ranks */
	struct membox_hostref recv;
};

/*
 * A packet. Offsets and counts are elements. Operand 0 is of dst_type and the
 * others of src_type, but collectives send operand 0 (src_type) and receive
 * operand 1 (dst_type), and UPDATE's m and v (2, 3) are of dst_type like w.
 * Scalars a, b are IEEE binary64 bit patterns; for integer dst_type they must be
 * whole and at most 2^53 in magnitude.
 */
struct membox_packet {
	__u8 opcode;
	__u8 phase;	/* 0 in a packet: the driver's */
	__u16 cid;	/* 0 in a packet: the driver's */
	__u16 flags;	/* MEMBOX_F_* */
	__u16 context;	/* 0 in a packet: the driver's */
	__u64 user_data; /* comes back in the completion */
	__u8 src_type;	/* enum membox_type of what is read */
	__u8 dst_type;	/* ... of what is written; WAIT: 0 waits for the version */
	__u8 reduction;	/* enum membox_red */
	__u8 sub;	/* ATOMIC, WAIT, UPDATE: which; SCATTER_ACC: index type */
	__u32 timeout_us; /* of what may park; 0: the default, never endless */
	__u64 count;
	__u32 handle[MEMBOX_OPERANDS]; /* 0: none */
	__u64 offset[MEMBOX_OPERANDS];
	struct membox_hostref host;
	union {
		struct membox_scale_args scale;
		struct membox_word_args word;
		struct membox_terms_args list;
		struct membox_update_args update;
		struct membox_scatter_args scatter;
		struct membox_coll_args coll;
		__u64 raw[4];
	};
};

MEMBOX_ASSERT(sizeof(struct membox_packet) == 128);

/* A term of WSUM: a * the `count` elements of handle from offset on. */
struct membox_term {
	__u32 handle;
	__u32 rsvd;
	__u64 offset; /* elements of src_type */
	__u64 a;      /* binary64 */
};

MEMBOX_ASSERT(sizeof(struct membox_term) == 24);

/*
 * Fields, as bits. An operation uses its required and its optional ones; zero is
 * a meaning of its own for the optional ones (no handle, version, default
 * time-out, the number 0), while a required one is refused when zero means
 * nothing. user_data, opcode and flags are in all of them.
 */
#define MBF_SRC (1U << 0)     /* src_type */
#define MBF_DST (1U << 1)     /* dst_type */
#define MBF_RED (1U << 2)     /* reduction */
#define MBF_SUB (1U << 3)     /* sub */
#define MBF_TIMEOUT (1U << 4) /* timeout_us */
#define MBF_COUNT (1U << 5)   /* count */
#define MBF_P0 (1U << 6)	     /* handle[0] and offset[0] ... */
#define MBF_P1 (1U << 7)
#define MBF_P2 (1U << 8)
#define MBF_P3 (1U << 9)
#define MBF_HOST (1U << 10)    /* host */
#define MBF_A (1U << 11)	      /* scale.a (scatter.a) */
#define MBF_B (1U << 12)	      /* scale.b */
#define MBF_VALUE (1U << 13)   /* word.value */
#define MBF_COMPARE (1U << 14) /* word.compare */
#define MBF_TERMS (1U << 15)   /* list.nterms */
#define MBF_UPDATE (1U << 16)  /* update, all 32 bytes */
#define MBF_GROUP (1U << 17)   /* coll.group, epoch, seq */
#define MBF_ROOT (1U << 18)    /* coll.root */
#define MBF_HOST2 (1U << 19)   /* scatter.index, coll.recv */

/*
 * The table operation x field, for every operation, later ones included.
 * X(name, opcode, required, optional, flags, capability)
 *
 *  READ      host <- p0                     WRITE    p0 <- host
 *  COPY      p0 <- p1 (one type)            FILL     p0 <- value
 *  SNAPSHOT  host <- p0, one version
 *  ACC       p0 <- p0 (red) a * (p1, or host when handle[1] is 0)
 *  SCALE     p0 <- a * p0                   AXPBY    p0 <- a * p1 + b * p0
 *  WSUM      p0 <- sum of terms (overwrites)
 *  SCATTER_ACC  p0[offset0 + index[i]] += a * host[i]
 *  UPDATE    p0 <- optimiser(p0 = w, p1 = g, or host = g when handle[1] is 0, p2 = m, p3 = v)
 *  collectives  send from p0, or from host when handle[0] is 0; receive to p1, or to
 *            recv when handle[1] is 0. count is what each rank sends (REDUCE_SCATTER:
 *            receives); ALLGATHER receives and REDUCE_SCATTER sends `ranks` times as
 *            much. BROADCAST: the root only sends, the others only receive; REDUCE:
 *            all send, the root alone receives. The side that is not there is all zero
 *  ATOMIC    result <- p0[offset0], p0[offset0] <- f(value, compare)
 *  NOTIFY    version of p0 + 1, no offset
 *  COMMIT    the same after stores to that range of a mapping
 *  WAIT      until p0[offset0] & mask (cmp) value, or, dst_type 0 and no offset,
 *            until p0's version & mask does
 *  FENCE     ends when all earlier ones of the queue ended
 *  CANCEL    aborts the other packets of this context with user_data == value, whatever
 *            their queue; result: how many. Of the driver, or of the engine
 *
 * What else depends on the packet: an optional operand with handle 0 has no offset, host
 * memory that gives way to a handle is all zero and its MEMBOX_F_REGION is off,
 * compare is COMPARE_SWAP's only, UPDATE's fields are those of its rule
 * (enum membox_update). membox_fields_used() in membox_check.h says the same.
 */
#define MBF_MOVE (MBF_DST | MBF_COUNT | MBF_P0)
#define MBF_COLL (MBF_SRC | MBF_DST | MBF_COUNT | MBF_GROUP)
#define MBF_SIDES (MBF_P0 | MBF_P1 | MBF_HOST | MBF_HOST2 | MBF_TIMEOUT)
#define MEMBOX_FLAGS_HOST (MEMBOX_F_FENCE | MEMBOX_F_REGION)
#define MEMBOX_FLAGS_HOSTS (MEMBOX_FLAGS_HOST | MEMBOX_F_REGION2)

#define MEMBOX_OPS(X) \
	X(READ, 0x01, MBF_MOVE | MBF_HOST, 0, MEMBOX_FLAGS_HOST, 0) \
	X(WRITE, 0x02, MBF_MOVE | MBF_HOST, 0, MEMBOX_FLAGS_HOST, 0) \
	X(COPY, 0x03, MBF_MOVE | MBF_SRC | MBF_P1, 0, MEMBOX_F_FENCE, 0) \
	X(FILL, 0x04, MBF_MOVE, MBF_VALUE, MEMBOX_F_FENCE, 0) \
	X(SNAPSHOT, 0x05, MBF_MOVE | MBF_HOST, MBF_TIMEOUT, MEMBOX_FLAGS_HOST, 0) \
	X(ACC, 0x10, MBF_MOVE | MBF_SRC | MBF_RED, MBF_P1 | MBF_HOST | MBF_A, \
	  MEMBOX_FLAGS_HOST, MEMBOX_CAP_ACC) \
	X(SCALE, 0x11, MBF_MOVE, MBF_A, MEMBOX_F_FENCE, MEMBOX_CAP_VECTOR) \
	X(AXPBY, 0x12, MBF_MOVE | MBF_SRC | MBF_P1, MBF_A | MBF_B, \
	  MEMBOX_F_FENCE, MEMBOX_CAP_VECTOR) \
	X(WSUM, 0x13, MBF_MOVE | MBF_SRC | MBF_HOST | MBF_TERMS, 0, \
	  MEMBOX_FLAGS_HOST | MEMBOX_F_ORDERED, MEMBOX_CAP_VECTOR) \
	X(SCATTER_ACC, 0x14, MBF_MOVE | MBF_SRC | MBF_SUB | MBF_HOST | MBF_HOST2, MBF_A, \
	  MEMBOX_FLAGS_HOSTS, MEMBOX_CAP_SCATTER) \
	X(UPDATE, 0x15, MBF_MOVE | MBF_SRC | MBF_SUB | MBF_UPDATE, \
	  MBF_P1 | MBF_P2 | MBF_P3 | MBF_HOST, MEMBOX_FLAGS_HOST, MEMBOX_CAP_UPDATE) \
	X(ALLREDUCE, 0x20, MBF_COLL | MBF_RED, MBF_SIDES, \
	  MEMBOX_FLAGS_HOSTS | MEMBOX_F_ORDERED, MEMBOX_CAP_COLLECTIVES) \
	X(REDUCE, 0x21, MBF_COLL | MBF_RED, MBF_SIDES | MBF_ROOT, \
	  MEMBOX_FLAGS_HOSTS | MEMBOX_F_ORDERED, MEMBOX_CAP_COLLECTIVES) \
	X(REDUCE_SCATTER, 0x22, MBF_COLL | MBF_RED | MBF_ROOT, MBF_SIDES, \
	  MEMBOX_FLAGS_HOSTS | MEMBOX_F_ORDERED, MEMBOX_CAP_COLLECTIVES) \
	X(ALLGATHER, 0x23, MBF_COLL | MBF_ROOT, MBF_SIDES, MEMBOX_FLAGS_HOSTS, \
	  MEMBOX_CAP_COLLECTIVES) \
	X(BROADCAST, 0x24, MBF_COLL, MBF_SIDES | MBF_ROOT, MEMBOX_FLAGS_HOSTS, \
	  MEMBOX_CAP_COLLECTIVES) \
	X(BARRIER, 0x25, MBF_GROUP, MBF_TIMEOUT, MEMBOX_F_FENCE, MEMBOX_CAP_COLLECTIVES) \
	X(ATOMIC, 0x30, MBF_DST | MBF_SUB | MBF_P0, MBF_VALUE | MBF_COMPARE, \
	  MEMBOX_F_FENCE, MEMBOX_CAP_ATOMIC) \
	X(NOTIFY, 0x31, MBF_P0, 0, MEMBOX_F_FENCE, 0) \
	X(WAIT, 0x32, MBF_SUB | MBF_P0, MBF_DST | MBF_VALUE | MBF_COMPARE | MBF_TIMEOUT, \
	  MEMBOX_F_FENCE, MEMBOX_CAP_WAIT) \
	X(FENCE, 0x33, 0, 0, 0, 0) \
	X(COMMIT, 0x34, MBF_MOVE, 0, MEMBOX_F_FENCE, MEMBOX_CAP_WINDOWS) \
	X(CANCEL, 0x35, 0, MBF_VALUE, 0, 0)

enum membox_opcode {
#define MEMBOX_OP_ENUM(name, op, req, opt, flags, cap) MEMBOX_OP_##name = (op),
	MEMBOX_OPS(MEMBOX_OP_ENUM)
#undef MEMBOX_OP_ENUM
};

#define MEMBOX_OP_LIMIT 0x40 /* opcodes of packets are below, of administration from 0x80 */

/*
 * write(): a struct membox_batch, then count packets. read(): whole completions.
 * Returns the bytes taken: a short count means that the packets behind it were
 * not queued. A packet that is refused is queued all the same: its completion
 * says why.
 */
#define MEMBOX_BATCH_MAGIC 0x314b504dU /* "MPK1" */
struct membox_batch {
	__u32 magic;
	__u32 stride; /* bytes from packet to packet, a multiple of 8, 128 or more */
	__u32 count;  /* 1 ... MEMBOX_MAX_BATCH */
	__u32 rsvd;
};

MEMBOX_ASSERT(sizeof(struct membox_batch) == 16);

/*
 * Structures of ioctls begin with their size, which the caller sets to what it
 * was compiled with: a longer one is taken if what the kernel does not know is
 * zero, a shorter one as if the rest were zero. Those that are administration
 * commands too (membox_hw.h) are passed on as they are.
 */
struct membox_info {
	__u32 size;
	__u32 abi;	   /* MEMBOX_ABI */
	__u64 caps;	   /* MEMBOX_CAP_* */
	__u8 uuid[16];	   /* of the box */
	__u32 port;
	__u32 ports;
	__u32 context;
	__u32 rdonly;	   /* 1: this port may not write */
	__u64 data_bytes;  /* of the box's data area */
	__u64 free_bytes;
	__u32 params;	   /* entries in use */
	__u32 max_params;
	__u64 max_bytes;   /* of one transfer */
	__u32 max_timeout_us;
	__u32 stripe_bytes;
	__u64 aperture;	   /* bytes; file back end: 0 */
	__u32 max_windows;
	__u32 queues;
	__u64 clock;	   /* nanoseconds, the same on all ports */
	__u8 principal[16]; /* this port's */
	__u32 state;	   /* of the box: 0 good, 1 stopped as corrupt */
	__u32 live_ports;
};

MEMBOX_ASSERT(sizeof(struct membox_info) == 136);

/* flags of membox_param_args */
#define MEMBOX_PARAM_CREATE (1U << 0)	 /* make it when it is not there */
#define MEMBOX_PARAM_EXCL (1U << 1)	 /* with CREATE: it must not be there */
#define MEMBOX_PARAM_KEYED (1U << 2)	 /* CREATE | EXCL: key comes back; else: key is given */
#define MEMBOX_PARAM_MAPPABLE (1U << 3)	 /* with CREATE: whole pages, can be a window */
#define MEMBOX_PARAM_EPHEMERAL (1U << 4) /* with CREATE: goes when the last reference goes */
#define MEMBOX_PARAM_NOJOURNAL (1U << 5) /* with CREATE: no undo stripes; torn by a crash */
#define MEMBOX_PARAM_RDONLY (1U << 6)	 /* open for reading only */
#define MEMBOX_PARAM_FLAGS 0x7fU

struct membox_key {
	__u64 word[2];
};

struct membox_param_args {
	__u32 size;
	__u32 flags; /* MEMBOX_PARAM_* */
	char name[MEMBOX_NAME_BYTES];
	__u32 type;    /* enum membox_type; attach: 0 takes what is there */
	__u32 mode;    /* with CREATE: octal rw bits, owner 0600, others 0066; 0 means 0666 */
	__u64 count;   /* elements; attach: 0 takes what is there */
	struct membox_key key;
	/* out */
	__u32 handle;  /* of this context: never 0 */
	__u32 created; /* 1: this call made it */
	__u64 bytes;
	__u64 address; /* of its first byte in the box: equal for all who open it */
	__u64 version;
	__u32 rights;  /* MEMBOX_WIN_READ | MEMBOX_WIN_WRITE */
	__u32 attrs;   /* MEMBOX_PARAM_* it was created with */
};

MEMBOX_ASSERT(sizeof(struct membox_param_args) == 144);

struct membox_handle_args {
	__u32 size;
	__u32 handle;
	__u32 value;	/* SUBSCRIBE: on or off */
	__u32 deferred;	/* out: CLOSE, DESTROY: references that still hold the space */
};

MEMBOX_ASSERT(sizeof(struct membox_handle_args) == 16);

struct membox_param_stat {
	__u32 size;
	__u32 handle; /* STAT; LIST: 0 */
	char name[MEMBOX_NAME_BYTES];
	__u32 type;
	__u32 mode;
	__u64 count;
	__u64 bytes;
	__u64 address;
	__u64 begun;	/* writers begun, ever */
	__u64 finished; /* writers finished, ever: the version */
	__u32 refs;	/* handles open on it, all ports */
	__u32 attrs;	/* MEMBOX_PARAM_* */
	__u32 waiters;
	__u32 subscribers;
	__u32 destroyed; /* 1: name is gone, space goes with the last reference */
	__u32 torn;	/* 1: a writer died inside an unjournalled write */
	__u8 owner[16]; /* principal */
};

MEMBOX_ASSERT(sizeof(struct membox_param_stat) == 160);

/* A cursor of 0 begins, the one that comes back goes on; 0 back: the end. */
#define MEMBOX_LIST_ENTRIES 24
struct membox_list_args {
	__u32 size;
	__u32 cursor;
	__u32 count; /* out */
	__u32 rsvd;
	struct membox_param_stat entry[MEMBOX_LIST_ENTRIES]; /* handle: 0 */
};

MEMBOX_ASSERT(sizeof(struct membox_list_args) == 3856);

struct membox_grant_args {
	__u32 size;
	__u32 handle;
	__u32 group; /* group handle of the granter */
	__u32 rank;
	struct membox_key key; /* the creator's */
};

MEMBOX_ASSERT(sizeof(struct membox_grant_args) == 32);

struct membox_mail {
	__u32 size;
	__u32 from_port;
	char name[MEMBOX_NAME_BYTES]; /* of the parameter granted */
	struct membox_key key;
	char group[MEMBOX_NAME_BYTES];
};

MEMBOX_ASSERT(sizeof(struct membox_mail) == 152);

struct membox_event {
	__u32 size;
	__u32 handle;
	__u64 version; /* the last one */
	__u64 missed;  /* versions since the last event that are not told of singly */
};

MEMBOX_ASSERT(sizeof(struct membox_event) == 24);

#define MEMBOX_GROUP_KEYED (1U << 0) /* first to join sets the key, others must know it */
struct membox_group_args {
	__u32 size;
	__u32 flags;
	char name[MEMBOX_NAME_BYTES];
	struct membox_key key;
	__u32 group; /* handle: out of JOIN, in of INFO and LEAVE */
	__u32 ranks; /* JOIN: 1 ... MEMBOX_MAX_RANKS */
	__s32 rank;  /* JOIN: -1: any */
	/* out */
	__u32 epoch;	/* bumped when a member leaves or dies */
	__u32 joined;	/* seats taken */
	__s32 dead;	/* lowest rank that died in this epoch, -1: none */
	__u8 state[MEMBOX_MAX_RANKS]; /* enum membox_seat */
};

MEMBOX_ASSERT(sizeof(struct membox_group_args) == 176);

enum membox_seat { MEMBOX_SEAT_FREE = 0, MEMBOX_SEAT_LIVE = 1, MEMBOX_SEAT_DEAD = 2 };

struct membox_port_stat {
	__u32 size;
	__u32 port; /* in: which; 0xffffffff: the own one */
	__u32 state; /* enum membox_port_state */
	__u32 generation;
	__u32 pid; /* of the process that holds it, in its own name space */
	__u32 contexts;
	__u64 attached; /* clock */
	__u64 counter[MEMBOX_NR_COUNTERS]; /* enum membox_counter */
	__u64 used_bytes; /* of the port's quota */
	__u64 quota_bytes; /* 0: none */
};

MEMBOX_ASSERT(sizeof(struct membox_port_stat) == 176);

/* What became of commands that a reset or a crash ended. */
enum membox_outcome {
	MEMBOX_OUTCOME_NONE = 0,
	MEMBOX_OUTCOME_DONE = 1,
	MEMBOX_OUTCOME_NOT_BEGUN = 2,
	MEMBOX_OUTCOME_TORN = 3, /* stripes below torn_at are done, others are not */
};

struct membox_outcome_entry {
	__u64 user_data;
	__u64 torn_at; /* bytes */
	__u32 outcome;
	__u32 status;
};

MEMBOX_ASSERT(sizeof(struct membox_outcome_entry) == 24);

#define MEMBOX_OUTCOME_ENTRIES 64
struct membox_outcomes {
	__u32 size;
	__u32 count; /* in: how many of the oldest to pass over; out: how many there are here */
	struct membox_outcome_entry entry[MEMBOX_OUTCOME_ENTRIES];
};

MEMBOX_ASSERT(sizeof(struct membox_outcomes) == 1544);

/*
 * SUBMIT: queue `count` packets, then wait for `wait` completions (0: do not),
 * and take up to `reap` of them. Returns 0 also when it timed out: see reaped.
 */
struct membox_submit {
	__u32 size;
	__u32 flags;	 /* 0 */
	__u64 packets;	 /* user address of struct membox_packet[count] */
	__u32 count;	 /* 0 ... MEMBOX_MAX_BATCH */
	__u32 wait;
	__u64 completions; /* user address of struct membox_completion[reap] */
	__u32 reap;
	__u32 submitted; /* out */
	__u32 reaped;	 /* out */
	__u32 rsvd;
	__s64 timeout_ns; /* -1: the default */
};

MEMBOX_ASSERT(sizeof(struct membox_submit) == 56);

/* Memory regions: pinned once, named by key in packets with MEMBOX_F_REGION. */
struct membox_region_args {
	__u32 size;
	__u32 rights; /* MEMBOX_WIN_READ: the device may read it, WRITE: write it */
	__u64 addr;
	__u64 length;
	__u32 key; /* out of ADD, in of DEL; never 0 */
	__u32 rsvd;
};

MEMBOX_ASSERT(sizeof(struct membox_region_args) == 32);

struct membox_eventfd_args {
	__u32 size;
	__s32 fd;      /* -1: none any more */
	__u32 sources; /* MEMBOX_EVENTFD_* */
	__u32 rsvd;
};

MEMBOX_ASSERT(sizeof(struct membox_eventfd_args) == 16);
#define MEMBOX_EVENTFD_COMPLETION 1U
#define MEMBOX_EVENTFD_EVENT 2U

/*
 * A user queue: a pair of rings that the process maps and works with by itself,
 * by the rules of membox_hw.h. The offsets are tokens for mmap(), MAP_SHARED, of
 * exactly the bytes that are said; rings begin zeroed. Descriptors have context 0
 * and name host memory by region key (MEMBOX_F_REGION, MEMBOX_F_REGION2) only.
 */
struct membox_uqueue_args {
	__u32 size;
	__u32 flags;	 /* 0 */
	__u8 sq_log2;	 /* 5 ... the device's limit */
	__u8 cq_log2;	 /* the larger of 6 and sq_log2 ... the device's limit */
	__u16 queue;	 /* out of CREATE, in of DELETE */
	__u32 rsvd;
	/* out of CREATE */
	__u64 sq_offset; /* 128 << sq_log2 bytes: reading and writing */
	__u64 cq_offset; /* 64 << cq_log2 bytes: reading */
	__u64 ctl_offset; /* a page that begins with struct membox_qctl: reading and writing */
	__u64 db_offset; /* the doorbell page: writing */
};

MEMBOX_ASSERT(sizeof(struct membox_uqueue_args) == 48);
#define MEMBOX_UQUEUE_MIN_SQ_LOG2 5 /* rings of whole pages */
#define MEMBOX_UQUEUE_MIN_CQ_LOG2 6

/*
 * io_uring, IORING_OP_URING_CMD on the node: cmd_op is MEMBOX_URING_PACKET and cmd
 * holds these 16 bytes. The result is the packet's status, 0 or positive, or -errno when
 * it was not taken; with IORING_SETUP_CQE32 big_cqe[0] is the completion's result.
 */
struct membox_uring_args {
	__u64 packet;	  /* address of a struct membox_packet, read when it is submitted */
	__u64 completion; /* address for its struct membox_completion, or 0 */
};

MEMBOX_ASSERT(sizeof(struct membox_uring_args) == 16);

/*
 * poll(): POLLIN completions to read, of a user queue too; POLLPRI an event or
 * mail; POLLOUT room.
 */
#define MEMBOX_IOC 0xB5
#define MEMBOX_IOC_INFO _IOWR(MEMBOX_IOC, 0x00, struct membox_info)
#define MEMBOX_IOC_SUBMIT _IOWR(MEMBOX_IOC, 0x01, struct membox_submit)
#define MEMBOX_IOC_EVENTFD _IOW(MEMBOX_IOC, 0x02, struct membox_eventfd_args)
#define MEMBOX_IOC_REGION_ADD _IOWR(MEMBOX_IOC, 0x03, struct membox_region_args)
#define MEMBOX_IOC_REGION_DEL _IOWR(MEMBOX_IOC, 0x04, struct membox_region_args)
#define MEMBOX_IOC_WINDOW_MAP _IOWR(MEMBOX_IOC, 0x05, struct membox_window_args)
#define MEMBOX_IOC_WINDOW_UNMAP _IOWR(MEMBOX_IOC, 0x06, struct membox_window_args)
#define MEMBOX_IOC_QUEUE_CREATE _IOWR(MEMBOX_IOC, 0x07, struct membox_uqueue_args)
#define MEMBOX_IOC_QUEUE_DELETE _IOWR(MEMBOX_IOC, 0x08, struct membox_uqueue_args)
#define MEMBOX_URING_PACKET _IOWR(MEMBOX_IOC, 0x09, struct membox_uring_args) /* no ioctl */
#define MEMBOX_IOC_PARAM_OPEN _IOWR(MEMBOX_IOC, 0x10, struct membox_param_args)
#define MEMBOX_IOC_PARAM_CLOSE _IOWR(MEMBOX_IOC, 0x11, struct membox_handle_args)
#define MEMBOX_IOC_PARAM_DESTROY _IOWR(MEMBOX_IOC, 0x12, struct membox_handle_args)
#define MEMBOX_IOC_PARAM_STAT _IOWR(MEMBOX_IOC, 0x13, struct membox_param_stat)
#define MEMBOX_IOC_PARAM_GRANT _IOWR(MEMBOX_IOC, 0x14, struct membox_grant_args)
#define MEMBOX_IOC_PARAM_REVOKE _IOWR(MEMBOX_IOC, 0x15, struct membox_param_args)
#define MEMBOX_IOC_PARAM_LIST _IOWR(MEMBOX_IOC, 0x16, struct membox_list_args)
#define MEMBOX_IOC_PARAM_LOCK _IOWR(MEMBOX_IOC, 0x17, struct membox_handle_args)
#define MEMBOX_IOC_PARAM_UNLOCK _IOWR(MEMBOX_IOC, 0x18, struct membox_handle_args)
#define MEMBOX_IOC_MAIL_RECV _IOWR(MEMBOX_IOC, 0x19, struct membox_mail)
#define MEMBOX_IOC_SUBSCRIBE _IOWR(MEMBOX_IOC, 0x1a, struct membox_handle_args)
#define MEMBOX_IOC_EVENT_READ _IOWR(MEMBOX_IOC, 0x1b, struct membox_event)
#define MEMBOX_IOC_GROUP_JOIN _IOWR(MEMBOX_IOC, 0x1c, struct membox_group_args)
#define MEMBOX_IOC_GROUP_LEAVE _IOWR(MEMBOX_IOC, 0x1d, struct membox_group_args)
#define MEMBOX_IOC_GROUP_INFO _IOWR(MEMBOX_IOC, 0x1e, struct membox_group_args)
#define MEMBOX_IOC_PORT_STAT _IOWR(MEMBOX_IOC, 0x1f, struct membox_port_stat)
#define MEMBOX_IOC_GET_OUTCOMES _IOWR(MEMBOX_IOC, 0x20, struct membox_outcomes)
/*
 * An ioctl returns 0, or -1 with errno set for what the kernel itself refuses
 * (EFAULT, EINVAL, E2BIG, ENODEV, EINTR ...), or a positive number: the status
 * (enum membox_status) with which the box refused it.
 */

#endif /* MEMBOX_UAPI_H */
