/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * membox_hw.h - the device as hardware sees it: status codes, registers,
 * queue entries, scatter-gather lists, administration opcodes.
 *
 * docs/device.md is the specification; this file is its machine-readable half.
 * Every field is little-endian. Every structure has explicit padding, and its
 * size and the offsets that matter are asserted where it is declared.
 */
#ifndef MEMBOX_HW_H
#define MEMBOX_HW_H

#include <linux/types.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "membox: all shared structures are little-endian and so must the CPU be"
#endif

#ifdef __cplusplus
#define MEMBOX_ASSERT(cond) static_assert(cond, #cond)
#else
#define MEMBOX_ASSERT(cond) _Static_assert(cond, #cond)
#endif

/*
 * Status codes, in the order of the checks: when a packet has several faults,
 * the one that stands first here is reported (the codes from NOT_FOUND on are
 * results of administration and of execution and are not ordered).
 * MEMBOX_STATUSES(X): X(name, value, text)
 */
#define MEMBOX_STATUSES(X)                                                     \
	X(OK, 0, "success")                                                    \
	/* shape of the packet: decided from its 128 bytes alone */            \
	X(BAD_OPCODE, 1, "unknown operation")                                  \
	X(UNSUPPORTED, 2, "operation not offered by this device")              \
	X(BAD_FLAG, 3, "flag unknown or not allowed for this operation")       \
	X(RESERVED, 4, "reserved or unused field is not zero")                 \
	X(BAD_TYPE, 5, "element type not allowed for this operation")          \
	X(BAD_REDUCTION, 6, "reduction not allowed for this operation")        \
	X(BAD_SUBOP, 7, "sub-operation unknown")                               \
	X(BAD_SCALAR, 8, "scalar not usable with this element type")           \
	X(BAD_TIMEOUT, 9, "time-out over the limit")                           \
	X(ZERO_LENGTH, 10, "element count is zero")                            \
	X(TOO_LONG, 11, "transfer or list is over the limit")                  \
	X(OFFSET_OVERFLOW, 12, "offset + length overflows")                    \
	X(MISALIGNED, 13, "host address is not aligned to its element type")   \
	/* host memory */                                                      \
	X(BAD_REGION, 14, "memory region key unknown, stale or foreign")       \
	X(REGION_RANGE, 15, "range is outside the memory region")              \
	X(HOST_FAULT, 16, "host memory is unmapped or not accessible so")      \
	X(BAD_SGL, 17, "scatter-gather list is malformed")                     \
	X(DMA_FAULT, 18, "DMA address is not direct guest memory")             \
	/* operands, each operand in turn, 0 first */                          \
	X(BAD_CONTEXT, 19, "context is not open")                              \
	X(BAD_HANDLE, 20, "parameter handle is closed or foreign")             \
	X(DESTROYED, 21, "parameter was destroyed or revoked")                 \
	X(TYPE_MISMATCH, 22, "element type is not the parameter's")            \
	X(DENIED, 23, "no right to do this to the parameter")                  \
	X(OUT_OF_RANGE, 24, "range is past the end of the parameter")          \
	X(BAD_TERM, 25, "term of the list not usable; result is its number")    \
	X(OVERLAP, 26, "operands overlap")                                     \
	/* groups */                                                           \
	X(BAD_GROUP, 27, "group handle is closed or foreign")                  \
	X(BAD_EPOCH, 28, "group epoch is over")                                \
	/* administration */                                                   \
	X(NOT_FOUND, 64, "no such name")                                       \
	X(EXISTS, 65, "name exists already")                                   \
	X(SHAPE_MISMATCH, 66, "name exists with another type or size")         \
	X(KEY_REFUSED, 67, "key is wrong or missing")                          \
	X(NO_SPACE, 68, "box has no space left")                               \
	X(TABLE_FULL, 69, "table of the box is full")                          \
	X(QUOTA, 70, "quota of the port is used up")                           \
	X(BUSY, 71, "held by somebody else")                                   \
	X(AGAIN, 72, "nothing there yet")                                      \
	X(BAD_NAME, 73, "name is empty, too long or has a bad character")      \
	X(BAD_ARGUMENT, 74, "argument out of range")                           \
	X(BAD_RANK, 75, "rank is taken or out of range")                       \
	X(NOT_MAPPABLE, 76, "parameter was not created mappable")              \
	X(QUEUE_EXISTS, 77, "queue exists already")                            \
	X(BAD_QUEUE, 78, "no such queue")                                      \
	/* execution */                                                        \
	X(MEDIA_ERROR, 96, "common memory failed; result is the byte offset")  \
	X(TIMED_OUT, 97, "time-out")                                           \
	X(ABORTED, 98, "aborted")                                              \
	X(OWNER_DEAD, 99, "owner died")                                        \
	X(OWNER_STALLED, 100, "owner is stopped")                              \
	X(RANK_DEAD, 101, "a rank died; result is its number")                 \
	X(TORN, 102, "data torn by a crash of its writer")                     \
	X(CORRUPT, 103, "box metadata is corrupt; box is stopped")             \
	X(RESET, 104, "ended by a reset")                                      \
	X(GONE, 105, "device or port is gone")                                 \
	X(NO_MEMORY, 106, "out of memory")                                     \
	X(INTERNAL, 107, "internal error")

enum membox_status {
#define MEMBOX_STATUS_ENUM(name, value, text) MEMBOX_ST_##name = (value),
	MEMBOX_STATUSES(MEMBOX_STATUS_ENUM)
#undef MEMBOX_STATUS_ENUM
};

/* PCI identity. The vendor number is QEMU's (Red Hat), device range of its own. */
#define MEMBOX_PCI_VENDOR 0x1b36
#define MEMBOX_PCI_DEVICE 0x00b0
#define MEMBOX_PCI_CLASS 0x058000 /* memory controller, other */
#define MEMBOX_PCI_REVISION 1

#define MEMBOX_BAR_REGS 0     /* 64 KiB, 64-bit: registers, MSI-X; kernel only */
#define MEMBOX_BAR_APERTURE 2 /* 64-bit prefetchable: windows */
#define MEMBOX_BAR_DOORBELL 4 /* 64-bit: one 4 KiB page a queue, page 0: admin queue */
#define MEMBOX_REGS_SIZE 0x10000
#define MEMBOX_MSIX_TABLE 0x8000 /* in BAR 0 */
#define MEMBOX_MSIX_PBA 0xc000
#define MEMBOX_MAX_VECTORS 64

/*
 * Registers of BAR 0. 32-bit registers take aligned 4-byte accesses, 64-bit
 * ones an aligned 8-byte access or two aligned 4-byte ones (low half first:
 * reading the low half latches nothing, only CLOCK and counters may advance).
 * Offsets that are not listed read 0 and ignore writes.
 */
#define MEMBOX_REG_ID 0x000	  /* u32 ro: MEMBOX_ID */
#define MEMBOX_REG_VERSION 0x004  /* u32 ro: major << 16 | minor */
#define MEMBOX_REG_CAPS 0x008	  /* u64 ro: MEMBOX_CAP_* */
#define MEMBOX_REG_QUEUES 0x010	  /* u32 ro: I/O queue pairs */
#define MEMBOX_REG_DEPTH 0x014	  /* u32 ro: log2 of the largest ring */
#define MEMBOX_REG_CTRL 0x018	  /* u32 rw: MEMBOX_CTRL_* */
#define MEMBOX_REG_STATUS 0x01c	  /* u32 ro: MEMBOX_DEV_* */
#define MEMBOX_REG_PORT 0x020	  /* u32 ro: this port's number */
#define MEMBOX_REG_PORTS 0x024	  /* u32 ro: ports of the box */
#define MEMBOX_REG_UUID_LO 0x028  /* u64 ro: the box's uuid, first 8 bytes */
#define MEMBOX_REG_UUID_HI 0x030  /* u64 ro: last 8 bytes */
#define MEMBOX_REG_CLOCK 0x038	  /* u64 ro: nanoseconds, the same for all ports */
#define MEMBOX_REG_ASQ 0x040	  /* u64 rw: DMA address of the admin submission ring */
#define MEMBOX_REG_ACQ 0x048	  /* u64 rw: ... of the admin completion ring */
#define MEMBOX_REG_ACTL 0x050	  /* u64 rw: ... of its struct membox_qctl */
#define MEMBOX_REG_ADEPTH 0x058	  /* u32 rw: log2 of the admin rings' entries, 1 to DEPTH */
#define MEMBOX_REG_VECTORS 0x05c  /* u32 ro: MSI-X vectors of the device */
#define MEMBOX_REG_MAX_BYTES 0x060 /* u64 ro: largest transfer of one command */
#define MEMBOX_REG_MAX_TIMEOUT 0x068 /* u32 ro: microseconds */
#define MEMBOX_REG_MAX_CONTEXTS 0x06c /* u32 ro: contexts of this port, 0 included */
#define MEMBOX_REG_APERTURE 0x070 /* u64 ro: bytes of BAR 2 */
#define MEMBOX_REG_MAX_WINDOWS 0x078 /* u32 ro */
#define MEMBOX_REG_EPOCH 0x07c	  /* u32 ro: queue epoch, bumped by each reset */
#define MEMBOX_REG_EVENTS 0x080	  /* u64 x 4, rw1c: bit c: context c has an event */
#define MEMBOX_REG_ERR_COUNT 0x0a0 /* u32 ro: errors logged since power on */
#define MEMBOX_REG_INT_CAUSE 0x0a4 /* u32 rw1c: MEMBOX_INT_* causes of vector 0 */
#define MEMBOX_REG_BOX_BYTES 0x0a8 /* u64 ro: bytes of the box's data area */
#define MEMBOX_REG_MAX_REGIONS 0x0b0 /* u32 ro: keys have an index below it */
#define MEMBOX_REG_COUNTERS 0x100 /* u64 ro each, in the order of enum membox_counter */
#define MEMBOX_REG_ERR_LOG 0x400  /* struct membox_err x MEMBOX_ERR_LOG, ring by ERR_COUNT */
#define MEMBOX_REG_PORT_STATE 0x800 /* u32 ro a port: enum membox_port_state */

#define MEMBOX_ID 0x584f424dU /* "MBOX" */
#define MEMBOX_HW_VERSION 0x00010000U
#define MEMBOX_ERR_LOG 16
#define MEMBOX_MAX_PORTS 256
#define MEMBOX_MAX_CONTEXTS 256 /* context 0 is the kernel's own */

#define MEMBOX_CTRL_ENABLE (1U << 0) /* 0 -> 1: start the admin queue; 1 -> 0: stop all */
#define MEMBOX_CTRL_RESET (1U << 1)  /* write 1: reset; reads 1 until quiescent */

#define MEMBOX_DEV_READY (1U << 0)   /* follows CTRL.ENABLE; clear while resetting */
#define MEMBOX_DEV_FATAL (1U << 1)   /* needs a reset: see the error log */
#define MEMBOX_DEV_RDONLY (1U << 2)  /* port is read-only */

#define MEMBOX_INT_EVENT (1U << 0) /* EVENTS has bits */
#define MEMBOX_INT_ERROR (1U << 1) /* the error log grew */

/* Capabilities: a device without one answers UNSUPPORTED to its operations. */
#define MEMBOX_CAP_ACC (1ULL << 0)	   /* ACC */
#define MEMBOX_CAP_VECTOR (1ULL << 1)	   /* SCALE AXPBY WSUM */
#define MEMBOX_CAP_ATOMIC (1ULL << 2)	   /* ATOMIC */
#define MEMBOX_CAP_WAIT (1ULL << 3)	   /* WAIT */
#define MEMBOX_CAP_SCATTER (1ULL << 4)	   /* SCATTER_ACC */
#define MEMBOX_CAP_UPDATE (1ULL << 5)	   /* UPDATE */
#define MEMBOX_CAP_COLLECTIVES (1ULL << 6) /* ALLREDUCE ... BARRIER */
#define MEMBOX_CAP_WINDOWS (1ULL << 7)	   /* WINDOW_MAP, mmap */
#define MEMBOX_CAP_USER_QUEUES (1ULL << 8) /* queues mapped into processes */
#define MEMBOX_CAP_REGIONS (1ULL << 9)	   /* registered memory regions */

enum membox_port_state {
	MEMBOX_PORT_FREE = 0,
	MEMBOX_PORT_LIVE = 1,
	MEMBOX_PORT_SUSPENDED = 2,
	MEMBOX_PORT_DEAD = 3, /* its owner died, not yet recovered */
};

/* Counters of a port, since it was attached. Host bytes are payload only. */
enum membox_counter {
	MEMBOX_CTR_TO_DEVICE = 0,   /* payload bytes read from host memory */
	MEMBOX_CTR_FROM_DEVICE = 1, /* payload bytes written to host memory */
	MEMBOX_CTR_CONTROL = 2,	    /* descriptors, lists, completions, either way */
	MEMBOX_CTR_COMMON_READ = 3, /* bytes read from common memory */
	MEMBOX_CTR_COMMON_WRITE = 4,
	MEMBOX_CTR_OPERATIONS = 5,  /* commands completed, admin ones excepted */
	MEMBOX_CTR_ERRORS = 6,	    /* of these, with a status other than OK */
	MEMBOX_CTR_ADMIN = 7,	    /* administration commands completed */
	MEMBOX_CTR_INTERRUPTS = 8,  /* vectors raised */
	MEMBOX_CTR_DOORBELLS = 9,   /* doorbell writes received */
	MEMBOX_CTR_EVENTS = 10,	    /* events delivered to contexts */
	MEMBOX_NR_COUNTERS = 16
};

/* An entry of the error log. */
struct membox_err {
	__u64 time; /* MEMBOX_REG_CLOCK */
	__u32 count; /* ERR_COUNT when it was logged, from 1 */
	__u16 queue; /* 0xffff: none */
	__u16 cid;
	__u16 status;
	__u16 context;
	__u32 detail;
	__u64 value; /* address or register offset */
};

MEMBOX_ASSERT(sizeof(struct membox_err) == 32);

/* Host memory: an address, or a region key and an offset in it. */
struct membox_hostref {
	__u64 addr; /* packet: user address or region offset; descriptor: DMA address,
		     * or that of a scatter-gather list when nseg > 0
		     */
	__u32 key;  /* region key when MEMBOX_F_REGION says so, else 0 */
	__u32 nseg; /* packet: 0; descriptor: data entries of the list, 0: one piece */
};

MEMBOX_ASSERT(sizeof(struct membox_hostref) == 16);

/*
 * Scatter-gather list: pages of 4096 bytes, aligned so, each of 256 entries.
 * A LINK entry (the last of a page, after at least one data entry) gives the
 * next page. The lengths of the nseg data entries add up to the transfer.
 */
struct membox_sge {
	__u64 addr;
	__u32 len;   /* bytes, not 0; LINK: 0 */
	__u32 flags; /* MEMBOX_SGE_LINK or 0 */
};

MEMBOX_ASSERT(sizeof(struct membox_sge) == 16);
#define MEMBOX_SGE_LINK 1U
#define MEMBOX_SGL_ENTRIES 256
#define MEMBOX_SGL_BYTES 4096
#define MEMBOX_SGL_MAX 65537 /* data entries of one list: the largest transfer in pages */

/*
 * A descriptor: what the driver writes into a submission ring. It has the
 * layout of a packet (membox.h); the first 8 bytes are the instruction word,
 * stored last and in one piece. The fields a packet must leave zero are:
 * phase, cid and context here.
 */
struct membox_instr {
	__u8 opcode;
	__u8 phase;    /* bit 0: 1 on the first pass round the ring, then alternating */
	__u16 cid;     /* command id, unique among the queue's commands in flight */
	__u16 flags;   /* MEMBOX_F_* */
	__u16 context; /* kernel queue: whose command it is; user queue: 0 */
};

MEMBOX_ASSERT(sizeof(struct membox_instr) == 8);

/*
 * A completion. The last 8 bytes are stored last and in one piece: an entry
 * whose phase is that of the present pass is whole, and its data is visible.
 */
struct membox_completion {
	__u64 user_data;
	__u64 bytes;   /* payload done; on a failure: what was done before it */
	__u64 result;  /* ATOMIC: old value; WAIT: value seen; failures: see the status */
	__u64 version; /* of operand 0 after (READ: before) the operation */
	__u64 start;   /* MEMBOX_REG_CLOCK when execution began, ... */
	__u64 end;     /* ... and ended */
	__u32 detail;  /* a refusal: offset in the packet of the field at fault */
	__u16 queue;
	__u16 rsvd;
	__u16 cid;
	__u16 status;  /* enum membox_status */
	__u32 phase;   /* bit 0, as in the submission ring */
};

MEMBOX_ASSERT(sizeof(struct membox_completion) == 64);

/*
 * What host and device tell each other about a queue pair: free-running 32-bit
 * counts, masked by the ring's size to give slots. Each side writes its own
 * cache line only. 128-byte aligned in host memory.
 *
 * Publishing and sleeping, the same on both sides: store the own index, full
 * barrier, read the other's event index; signal if it was passed
 * (membox_need_event() in membox_check.h). Before sleeping: store the event
 * index, full barrier, read the other's index again.
 */
struct membox_qctl {
	/* written by the host */
	__u32 sq_tail;	/* descriptors published, store-release */
	__u32 cq_head;	/* completions consumed: gives their slots back */
	__u32 cq_event; /* raise the vector when completion number cq_event is posted */
	__u32 rsvd0[13];
	/* written by the device */
	__u32 sq_head;	/* descriptors fetched: their slots may be written again */
	__u32 sq_event; /* ring the doorbell when descriptor number sq_event is published */
	__u32 halted;	/* not 0: the queue stopped, a status says why */
	__u32 rsvd1[13];
};

MEMBOX_ASSERT(sizeof(struct membox_qctl) == 128);
#define MEMBOX_QCTL_DEVICE 64 /* offset of the device's half */

/* A doorbell page: u32 write-only registers. The value is a hint and not used. */
#define MEMBOX_DB_PAGE 4096
#define MEMBOX_DB_SQ 0x0 /* descriptors were published */
#define MEMBOX_DB_CQ 0x8 /* cq_head or cq_event moved */

/*
 * Administration: commands of the admin queue (queue 0). The descriptor's
 * hostref names one buffer of `count` bytes (at most MEMBOX_ADMIN_BYTES, one
 * piece) that holds the command's structure, read before and written after
 * execution; context says on whose behalf. The structures are in membox.h where
 * a user sees them, else here. "E": executed by the engine, on every back end;
 * "D": by the device's queue and window logic.
 */
enum membox_admin_opcode {
	MEMBOX_ADM_INFO = 0x80,		/* E struct membox_info */
	MEMBOX_ADM_CTX_CREATE = 0x81,	/* E struct membox_ctx_args; context 0 only */
	MEMBOX_ADM_CTX_DESTROY = 0x82,	/* E struct membox_ctx_args; context 0 only */
	MEMBOX_ADM_PARAM_OPEN = 0x84,	/* E struct membox_param_args */
	MEMBOX_ADM_PARAM_CLOSE = 0x85,	/* E struct membox_handle_args */
	MEMBOX_ADM_PARAM_DESTROY = 0x86, /* E struct membox_handle_args */
	MEMBOX_ADM_PARAM_STAT = 0x87,	/* E struct membox_param_stat */
	MEMBOX_ADM_PARAM_GRANT = 0x88,	/* E struct membox_grant_args */
	MEMBOX_ADM_PARAM_REVOKE = 0x89,	/* E struct membox_param_args (name), operator only */
	MEMBOX_ADM_PARAM_LIST = 0x8a,	/* E struct membox_list_args */
	MEMBOX_ADM_PARAM_LOCK = 0x8b,	/* E struct membox_handle_args: try, BUSY if held */
	MEMBOX_ADM_PARAM_UNLOCK = 0x8c,	/* E struct membox_handle_args */
	MEMBOX_ADM_MAIL_RECV = 0x8d,	/* E struct membox_mail, AGAIN when empty */
	MEMBOX_ADM_SUBSCRIBE = 0x8e,	/* E struct membox_handle_args (value 1: on, 0: off) */
	MEMBOX_ADM_EVENT_READ = 0x8f,	/* E struct membox_event, AGAIN when none */
	MEMBOX_ADM_GROUP_JOIN = 0x90,	/* E struct membox_group_args */
	MEMBOX_ADM_GROUP_LEAVE = 0x91,	/* E struct membox_group_args */
	MEMBOX_ADM_GROUP_INFO = 0x92,	/* E struct membox_group_args */
	MEMBOX_ADM_PORT_STAT = 0x93,	/* E struct membox_port_stat */
	MEMBOX_ADM_GET_OUTCOMES = 0x94,	/* E struct membox_outcomes */
	MEMBOX_ADM_PORT_EVICT = 0x95,	/* E struct membox_port_stat (port), operator only */
	MEMBOX_ADM_WINDOW_MAP = 0xa0,	/* D struct membox_window_args */
	MEMBOX_ADM_WINDOW_UNMAP = 0xa1,	/* D struct membox_window_args */
	MEMBOX_ADM_QUEUE_CREATE = 0xa2,	/* D struct membox_queue_args; context 0 only */
	MEMBOX_ADM_QUEUE_DELETE = 0xa3,	/* D struct membox_queue_args; context 0 only */
	MEMBOX_ADM_ABORT = 0xa4,	/* D struct membox_abort_args; context 0 only */
	MEMBOX_ADM_REGION_ADD = 0xa5,	/* D struct membox_region_hw; context 0 only */
	MEMBOX_ADM_REGION_DEL = 0xa6,	/* D struct membox_region_hw; context 0 only */
};

#define MEMBOX_ADMIN_BYTES 4096

struct membox_ctx_args {
	__u32 size;
	__u32 context; /* 1 ... MAX_CONTEXTS - 1, chosen by the driver */
};

MEMBOX_ASSERT(sizeof(struct membox_ctx_args) == 8);

/*
 * A window: a parameter in the aperture (BAR 2). Also the answer to the MAP
 * ioctl, where offset is the token to pass to mmap().
 */
struct membox_window_args {
	__u32 size;
	__u32 handle; /* MAP: parameter */
	__u32 prot;   /* MAP: MEMBOX_WIN_READ, or READ | WRITE */
	__u32 window; /* out of MAP, in of UNMAP */
	__u64 offset; /* out: device: bytes into BAR 2; ioctl: mmap offset */
	__u64 length; /* out: bytes, a multiple of 4096 */
};

MEMBOX_ASSERT(sizeof(struct membox_window_args) == 32);
#define MEMBOX_WIN_READ 1U
#define MEMBOX_WIN_WRITE 2U

struct membox_queue_args {
	__u32 size;
	__u16 queue;	 /* 1 ... QUEUES */
	__u16 vector;	 /* MSI-X vector, 0xffff: none */
	__u64 sq_addr;	 /* 4096-aligned, (128 << sq_log2) bytes */
	__u64 cq_addr;	 /* 4096-aligned, (64 << cq_log2) bytes */
	__u64 ctl_addr;	 /* 128-aligned, struct membox_qctl */
	__u8 sq_log2;	 /* 1 ... DEPTH */
	__u8 cq_log2;	 /* sq_log2 ... DEPTH */
	__u16 context;	 /* user queue: its context; kernel queue: 0 */
	__u32 flags;	 /* MEMBOX_QUEUE_* */
};

MEMBOX_ASSERT(sizeof(struct membox_queue_args) == 40);
#define MEMBOX_QUEUE_USER 1U /* names regions only, one context */

/* ABORT completes when the command has completed; result 1: it was found. */
struct membox_abort_args {
	__u32 size;
	__u16 queue;
	__u16 cid;   /* 0xffff: all commands of `context` on that queue */
	__u16 context;
	__u16 rsvd;
	__u32 found; /* out: commands aborted */
};

MEMBOX_ASSERT(sizeof(struct membox_abort_args) == 16);

/* A memory region, for user queues: pinned host memory behind a key. */
struct membox_region_hw {
	__u32 size;
	__u32 key;	/* chosen by the driver: generation << 16 | index; never 0 */
	__u16 context;
	__u16 rights;	/* MEMBOX_WIN_* from the device's point of view */
	__u32 nseg;	/* as in membox_hostref */
	__u64 addr;
	__u64 length;	/* bytes */
};

MEMBOX_ASSERT(sizeof(struct membox_region_hw) == 32);
#define MEMBOX_MAX_REGION (1ULL << 40) /* bytes of one */

#endif /* MEMBOX_HW_H */
