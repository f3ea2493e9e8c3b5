/* SPDX-License-Identifier: MIT */
/*
 * badpackets.h - what the files of badpackets share: the box with all that is
 * wrong in it, and faults of packets that need it.
 */
#ifndef BADPACKETS_H
#define BADPACKETS_H

#include "membox/membox.h"

#include "bad_packets.h"
#include "membox_check.h"

/* ---- TAP: badpackets.c ---- */

/* One result; what is said of a failure was printed before. */
void tap(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void bail(const char *what); /* the rest makes no sense: with membox_error() */
/* Tells the test that drives this program where it is, and waits until that says to go on. */
void checkpoint(const char *name);

/* ---- the scene: badpackets_scene.c ---- */

#define STEPS     "BADPACKETS_STEPS" /* environment: folder of the files that end checkpoints */
#define FIRST     16U                /* offset of every operand */
#define COUNT     4096U              /* elements of every packet: four pages of f32 */
#define SLACK     8U                 /* elements behind the last that a packet names */
#define ELEMENTS  (FIRST + COUNT + SLACK)
#define PAGE      4096U
#define BATCH     60U        /* bad packets sent together, a good one behind each */
#define HOST_STEP (5 * PAGE) /* room for all elements: one such place in scene.host a packet of a batch */
#define PROBES    64U        /* elements of the parameter that good packets between the bad ones read */

/* Parameters of one type. */
struct typed {
	uint8_t type;
	uint32_t param[MEMBOX_OPERANDS];
	uint32_t rdonly; /* may be read only */
	uint32_t wronly; /* may be written only */
};

struct scene {
	const char *uri;
	bool is_file;
	struct membox *box;
	struct membox *other;  /* a context of its own */
	struct membox *rdonly; /* a port that may not write */
	struct membox *less;   /* a port without ACC and VECTOR */
	uint64_t max_bytes, caps;
	struct typed f32, i32, i64;
	uint32_t probe; /* i64: element i is probe_value(i) */
	uint32_t closed, foreign, destroyed, revoked, f64;
	/* groups of one rank: collectives end at once */
	uint32_t group, epoch, seq, group_left, group_foreign;
	uint32_t rdonly_port[2]; /* handles of `rdonly`: f32, i64 */
	/* memory of this process */
	uint8_t *host; /* writable, BATCH * HOST_STEP bytes */
	uint8_t *host2; /* likewise */
	uint8_t *unmapped;
	uint8_t *hole; /* its third page is not there */
	uint8_t *no_access;
	uint8_t *read_only;
	uint8_t *last; /* first byte that is not there any more */
};

extern struct scene scene;

static inline int64_t probe_value(unsigned int i)
{
	return (int64_t)(0x5eed0000U + i * 257);
}

void scene_open(const char *uri);
void scene_close(void);
bool scene_memory_is_as_it_was(void);
void scene_revoke(const char *name);

/* A good packet of the kind on what the scene has; ints: i32 in place of f32 or i64. */
struct membox_packet scene_packet(const struct good_kind *kind, bool ints);

static inline bool is_collective(uint8_t opcode)
{
	return opcode >= MEMBOX_OP_ALLREDUCE && opcode <= MEMBOX_OP_BARRIER;
}

/* ---- faults: badpackets_faults.c ---- */

struct put {
	unsigned int at, bytes;
	uint64_t value;
};

/*
 * A fault as up to two fields of the packet. Of several the one with the least
 * order, then the least detail, is reported.
 */
struct bad {
	char name[48];
	struct put put[2];
	unsigned int nputs;
	uint16_t status;
	uint32_t detail;
	uint64_t result;
	unsigned int order;
	const char *unless; /* no fault when this other field is at fault too */
};

#define MAX_BADS 160
struct bads {
	unsigned int n;
	struct bad bad[MAX_BADS];
};

/* All faults of the good packet p; with shape_only those of its 128 bytes. */
void bads_of(struct bads *all, const struct good_kind *kind, const struct membox_packet *p, bool shape_only);

/* Do both change one field? Then they cannot be combined. */
bool bads_collide(const struct bad *a, const struct bad *b);

/* Which of the two is reported; b may be a. */
const struct bad *bads_first(const struct bad *a, const struct bad *b);

void bad_apply(const struct bad *bad, struct membox_packet *p);

/* ---- the node: badpackets_node.c ---- */

/* What only the driver's node can be asked for: the bytes of write(), ioctl(), mmap(). */
void node_tests(const char *node);

/* ---- io_uring: badpackets_uring.c ---- */

/* Bad packets and bad commands by io_uring; good: a packet that ends well, and changes nothing. */
void uring_tests(int fd, const struct membox_packet *good);

#endif /* BADPACKETS_H */
