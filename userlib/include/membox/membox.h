/* SPDX-License-Identifier: MIT */
/*
 * membox.h - the core of libmembox: a common memory that several computers
 * share parameters in. One box is reached through the driver ("/dev/membox0")
 * or through a shared file ("file:/dev/shm/box"); every call is the same on
 * both. The training layer on top of it is <membox/train.h>.
 *
 * Conventions, which hold for every call unless it says otherwise:
 *  - 0 is success, a negative errno is failure; what was made comes back
 *    through the last argument, which a failure leaves alone.
 *  - After a failure membox_error() tells this thread what was wrong with what,
 *    and what to do; membox_error_status() is the box's own status, if any.
 *  - Counts and indices are elements of the parameter. Time-outs are
 *    nanoseconds; MEMBOX_TIMEOUT_DEFAULT is ten seconds, none is endless.
 *  - Boxes, parameters and groups may be used by many threads at once. A
 *    channel belongs to one thread at a time.
 *  - In a child made by fork() every call answers -EOWNERDEAD.
 *  - Structures that begin with `size` want it set to sizeof of themselves.
 *
 * The enumerations, limits (MEMBOX_MAX_RANKS ...), capabilities (MEMBOX_CAP_*)
 * and the plain structures membox_info, membox_param_stat, membox_port_stat,
 * membox_key and membox_mail are those of the box's contract and come from
 * <membox/uapi/membox.h>; nothing else of that header is needed here.
 */
#ifndef MEMBOX_H
#define MEMBOX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
/* A structure and a call may share a name here, as stat and stat() do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#endif

#include "uapi/membox.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MEMBOX_TIMEOUT_DEFAULT ((int64_t)-1)

struct membox;	      /* a box, opened by this process */
struct membox_param;  /* a parameter, opened in a box */
struct membox_region; /* memory of this process, made known to a box */
struct membox_chan;   /* a channel: operations in flight */
struct membox_group;  /* a seat in a group of ranks */

/* ---- errors ---- */

/* What the last failed call of this thread was about. Never NULL. */
const char *membox_error(void);

/* The status (enum membox_status) behind it; 0 when the box did not refuse it. */
int membox_error_status(void);

const char *membox_status_name(int status); /* "OUT_OF_RANGE" */
const char *membox_status_text(int status); /* "range is past the end of the parameter" */

/* "1.0.0" */
const char *membox_version(void);

/* ---- boxes ---- */

#define MEMBOX_OPEN_RDONLY (1U << 0)	/* parameters may be read only */
#define MEMBOX_OPEN_OPERATOR (1U << 1)	/* file: may revoke and destroy what others own */
#define MEMBOX_OPEN_PORT (1U << 2)	/* file: take port `port`, not the first free one */
#define MEMBOX_OPEN_PRINCIPAL (1U << 3) /* file: be `principal`, not one made of the uid */
#define MEMBOX_OPEN_CHECK (1U << 4)	/* file: for membox_fsck, also when it is corrupt */
#define MEMBOX_OPEN_KERNEL_QUEUES (1U << 5) /* device: all packets through the driver */
#define MEMBOX_OPEN_USER_QUEUES (1U << 6)   /* device: fail where none has a queue of its own */

struct membox_open_opts {
	uint32_t size;
	uint32_t flags;	    /* MEMBOX_OPEN_* */
	uint64_t caps_off;  /* MEMBOX_CAP_* to do without */
	uint64_t max_bytes; /* split transfers above this; 0: above the box's limit */
	/* file back end only: what a device has as properties */
	uint32_t port;
	uint8_t principal[16];
	uint32_t reserved;
	uint64_t quota_bytes;  /* of parameters this port may create; 0: no limit */
	uint64_t delay_ns;     /* injected before each completion */
	uint64_t poison_first; /* addresses in the box that answer MEDIA_ERROR */
	uint64_t poison_bytes;
};

/*
 * Opens a box: "/dev/membox0", "file:PATH", or the value of the environment
 * variable MEMBOX when uri is NULL. opts may be NULL. MEMBOX_CAPS_OFF in the
 * environment ("acc", "vector", "atomic", "wait", "windows", "collectives", separated by
 * commas) adds to caps_off; MEMBOX_QUEUES ("kernel" or "user") stands for the flag of
 * that name where neither is given. -EDESTADDRREQ no box named; -ENOENT, -EACCES,
 * -ENODEV as open(); -EUCLEAN not a sound box; -EBUSY no free port.
 */
int membox_open(const char *uri, const struct membox_open_opts *opts, struct membox **box);

/* Closes it and all that was opened in it. Operations in flight are cancelled. */
void membox_close(struct membox *box);

/* Fills info, of which the caller set size. caps is what is in use here. */
int membox_info(struct membox *box, struct membox_info *info);

/* Counters of this process' port, MEMBOX_CTR_* as index. */
int membox_counters(struct membox *box, uint64_t counter[MEMBOX_NR_COUNTERS]);

/* State and counters of port `port`, or of the own one for MEMBOX_OWN_PORT. */
#define MEMBOX_OWN_PORT 0xffffffffU
int membox_port_stat(struct membox *box, uint32_t port, struct membox_port_stat *stat);

/* ---- parameters ---- */

struct membox_shape {
	enum membox_type type;
	uint64_t count;	   /* elements */
	unsigned int mode; /* of a new one: octal rw bits, owner 0600, others 0066; 0: 0666 */
};

/*
 * Finds the open parameter `name`, or makes it. All who ask at once get the
 * same one; a new one is zero. flags: MEMBOX_PARAM_EXCL (fail with -EEXIST when
 * it is there), _MAPPABLE, _EPHEMERAL, _NOJOURNAL for a new one, _RDONLY.
 * -EPROTOTYPE: it is there with another type or count; -ENOSPC, -ENFILE,
 * -EDQUOT: no room; -EINVAL: name, type or mode is not usable.
 */
int membox_param_get(struct membox *box, const char *name, const struct membox_shape *shape,
		     unsigned int flags, struct membox_param **param);

/* Makes a keyed parameter, which only the key opens. -EEXIST when the name is taken. */
int membox_param_create(struct membox *box, const char *name, const struct membox_shape *shape,
			unsigned int flags, struct membox_key *key, struct membox_param **param);

/*
 * Opens a parameter that is there, of whatever shape. key is NULL for an open
 * one. flags: 0 or MEMBOX_PARAM_RDONLY. -ENOENT no such name; -EKEYREJECTED
 * wrong or missing key; -EACCES its mode forbids it.
 */
int membox_param_attach(struct membox *box, const char *name, const struct membox_key *key,
			unsigned int flags, struct membox_param **param);

/* Closes it: mappings of it go too. */
void membox_param_put(struct membox_param *param);

const char *membox_param_name(const struct membox_param *param);
enum membox_type membox_param_type(const struct membox_param *param);
uint64_t membox_param_count(const struct membox_param *param);
uint64_t membox_param_bytes(const struct membox_param *param);
uint64_t membox_param_address(const struct membox_param *param); /* in the box, equal for all */
int membox_param_created(const struct membox_param *param); /* 1: this call made it */
uint32_t membox_param_handle(const struct membox_param *param); /* for membox_prep_packet */
struct membox *membox_param_box(const struct membox_param *param);
size_t membox_type_size(enum membox_type type); /* bytes of an element; 0: no such type */

/* Fills stat, of which the caller set size. */
int membox_param_stat(struct membox_param *param, struct membox_param_stat *stat);

/*
 * Maps the parameter, which must be MEMBOX_PARAM_MAPPABLE; prot is PROT_READ or
 * PROT_READ | PROT_WRITE. The mapping lasts until membox_param_put. Stores are
 * seen by versions and waiters only after membox_param_commit. -ENODEV not
 * mappable; -EACCES opened for reading only.
 */
int membox_param_map(struct membox_param *param, int prot, void **addr);
int membox_param_commit(struct membox_param *param);

/*
 * Frees the name at once; the space goes with the last reference. 1: somebody
 * still holds it, so that is later. -EACCES: neither owner nor operator.
 */
int membox_param_destroy(struct membox_param *param);

/* Destroys `name` and detaches everybody from it. For operators. */
int membox_param_revoke(struct membox *box, const char *name);

/* Calls fn for every parameter of the box until it answers other than 0. */
int membox_param_list(struct membox *box,
		      int (*fn)(void *arg, const struct membox_param_stat *stat), void *arg);

/* ---- keys ---- */

#define MEMBOX_KEY_TEXT 48 /* bytes, the zero at the end included */
void membox_key_to_text(const struct membox_key *key, char text[MEMBOX_KEY_TEXT]);
int membox_key_from_text(const char *text, struct membox_key *key);

/* The key of a parameter that was made or attached with one. -ENOKEY: it has none. */
int membox_param_key(const struct membox_param *param, struct membox_key *key);

/* Sends the parameter's key to the mailbox of that rank. */
int membox_param_grant(struct membox_param *param, struct membox_group *group, int rank);

/*
 * Takes the next granted key: name, key, group and port of who sent it. The
 * caller set mail->size. time-out 0: -EAGAIN when there is none; else -ETIMEDOUT.
 */
int membox_mail_recv(struct membox *box, int64_t timeout, struct membox_mail *mail);

/* ---- memory of this process ---- */

/* Memory that transfers do not need to check: registered, huge pages. NULL: see membox_error(). */
void *membox_alloc(struct membox *box, size_t bytes);
void membox_free(struct membox *box, void *addr);

/* Makes memory known to the box. It must stay mapped until membox_region_put. */
int membox_region(struct membox *box, void *addr, size_t bytes, struct membox_region **region);
void membox_region_put(struct membox_region *region);

/*
 * ---- operations that end before the call returns ----
 *
 * Each is atomic for a stripe at a time (MEMBOX info: stripe_bytes); transfers
 * of any length are split. -EBADF closed, -ESTALE destroyed, -EACCES no right,
 * -ERANGE past the end, -EPROTOTYPE wrong type, -EFAULT memory not there,
 * -EIO the box's memory failed, -EOPNOTSUPP the box cannot.
 * acc, axpby, scale and wsum work on every box: see docs/library.md, fallback.
 */
int membox_read(struct membox_param *param, uint64_t first, uint64_t n, void *to,
		uint64_t *version);
int membox_write(struct membox_param *param, uint64_t first, uint64_t n, const void *from);

/* Reads all of them as they were at one version; -EBUSY when writers never pause. */
int membox_snapshot(struct membox_param *param, uint64_t first, uint64_t n, void *to,
		    uint64_t *version);

/* param[i] += a * from[i]; type is that of from: the parameter's, or F16/BF16 into F32. */
int membox_acc(struct membox_param *param, uint64_t first, uint64_t n, const void *from,
	       enum membox_type type, double a);

/* The same with another parameter as source: no byte travels. */
int membox_acc_param(struct membox_param *param, uint64_t first, struct membox_param *from,
		     uint64_t from_first, uint64_t n, double a);

/* param[i] = param[i] (red) a * from[i] */
int membox_acc_red(struct membox_param *param, uint64_t first, uint64_t n, const void *from,
		   enum membox_type type, enum membox_red red, double a);

int membox_copy(struct membox_param *to, uint64_t to_first, struct membox_param *from,
		uint64_t from_first, uint64_t n);
int membox_fill(struct membox_param *param, uint64_t first, uint64_t n, const void *element);
int membox_scale(struct membox_param *param, uint64_t first, uint64_t n, double a);

/* y = a * x + b * y, all of both */
int membox_axpby(struct membox_param *y, double a, struct membox_param *x, double b);

/* to = sum of terms in list order, all of `to`; at most MEMBOX_MAX_TERMS. */
struct membox_wsum_term {
	struct membox_param *param;
	uint64_t first; /* element of it that goes to element 0 */
	double a;
};
int membox_wsum(struct membox_param *to, const struct membox_wsum_term *terms, unsigned int n);

/* On one element of an I32 or I64 parameter; old may be NULL. */
int membox_fetch_add(struct membox_param *param, uint64_t index, int64_t add, int64_t *old);
int membox_swap(struct membox_param *param, uint64_t index, int64_t value, int64_t *old);
int membox_compare_swap(struct membox_param *param, uint64_t index, int64_t expected,
			int64_t value, int64_t *old); /* swapped when *old == expected */

/* ---- versions, waiting, events ---- */

/* Tells waiters and subscribers: the version goes up by one. */
int membox_notify(struct membox_param *param);

/* Until the version is above `above`; now (may be NULL) gets it. -ETIMEDOUT. */
int membox_wait_version(struct membox_param *param, uint64_t above, int64_t timeout,
			uint64_t *now);

/* Until element `index` compares true with value. I32 and I64. -ETIMEDOUT. */
int membox_wait_word(struct membox_param *param, uint64_t index, enum membox_cmp cmp,
		     int64_t value, int64_t timeout);

/* on 1: every change of the parameter gives this box an event; 0: no more. */
int membox_param_subscribe(struct membox_param *param, int on);

struct membox_change {
	struct membox_param *param;
	uint64_t version; /* the last one */
	uint64_t missed;  /* versions since the last event that no event told of */
};

/* Takes the next event. time-out 0: -EAGAIN when there is none; else -ETIMEDOUT. */
int membox_event_read(struct membox *box, int64_t timeout, struct membox_change *change);

/*
 * A descriptor that is readable when there may be events or mail: read it with
 * membox_event_read and membox_mail_recv until -EAGAIN. Belongs to the box.
 */
int membox_event_fd(struct membox *box);

/* Exclusive use among those who lock; goes with its holder's death. -ETIMEDOUT. */
int membox_param_lock(struct membox_param *param, int64_t timeout);
int membox_param_unlock(struct membox_param *param);

/*
 * ---- channels: operations in flight ----
 *
 * Prepare operations, submit them, reap what is done. They are unordered but
 * for MEMBOX_F_FENCE in flags, which makes one wait for all earlier ones of its
 * channel. Memory named by an operation stays the channel's until it is reaped.
 * After a prep, user_data, flags, timeout may be set; the rest is the prep's.
 */
struct membox_op {
	uint64_t user_data;
	int64_t timeout; /* of wait operations and collectives */
	uint32_t flags;	 /* MEMBOX_F_FENCE */
	uint8_t opcode;
	uint8_t type; /* of memory; 0: the parameter's */
	uint8_t reduction;
	uint8_t sub;
	struct membox_param *param;
	struct membox_param *from;
	uint64_t first;
	uint64_t from_first;
	uint64_t count;
	union {
		void *to;
		const void *source;
		const struct membox_wsum_term *terms;
		const struct membox_packet *packet;
	} mem;
	double a, b;
	uint64_t value, compare;
	uint32_t nterms;
	uint32_t raw; /* 1: mem.packet is all */
	struct membox_group *group; /* of collectives; their memory is at mem.source and ... */
	void *recv;
};

struct membox_done {
	uint64_t user_data;
	int32_t error;	 /* 0 or -errno */
	uint32_t status; /* enum membox_status */
	uint64_t bytes;	 /* done, also before a failure */
	uint64_t result; /* atomics: old value; waits: value seen; MEDIA_ERROR: byte of the parameter */
	uint64_t version; /* of the parameter: read: before, others: after */
	uint64_t start, end; /* of the box's clock, nanoseconds */
	uint32_t detail; /* offset in the packet of the field refused */
	uint32_t reserved;
};

void membox_prep_read(struct membox_op *op, struct membox_param *param, uint64_t first,
		      uint64_t n, void *to);
void membox_prep_write(struct membox_op *op, struct membox_param *param, uint64_t first,
		       uint64_t n, const void *from);
void membox_prep_snapshot(struct membox_op *op, struct membox_param *param, uint64_t first,
			  uint64_t n, void *to); /* not split: -EMSGSIZE above the limit */
void membox_prep_acc(struct membox_op *op, struct membox_param *param, uint64_t first,
		     uint64_t n, const void *from, enum membox_type type, double a);
void membox_prep_acc_red(struct membox_op *op, struct membox_param *param, uint64_t first,
			 uint64_t n, const void *from, enum membox_type type,
			 enum membox_red red, double a);
void membox_prep_acc_param(struct membox_op *op, struct membox_param *param, uint64_t first,
			   struct membox_param *from, uint64_t from_first, uint64_t n,
			   double a);
void membox_prep_copy(struct membox_op *op, struct membox_param *to, uint64_t to_first,
		      struct membox_param *from, uint64_t from_first, uint64_t n);
void membox_prep_fill(struct membox_op *op, struct membox_param *param, uint64_t first,
		      uint64_t n, const void *element);
void membox_prep_scale(struct membox_op *op, struct membox_param *param, uint64_t first,
		       uint64_t n, double a);
/* y[y_first + i] = a * x[x_first + i] + b * y[y_first + i] */
void membox_prep_axpby(struct membox_op *op, struct membox_param *y, uint64_t y_first,
		       double a, struct membox_param *x, uint64_t x_first, double b,
		       uint64_t n);
/* terms must live until submit returns */
void membox_prep_wsum(struct membox_op *op, struct membox_param *to, uint64_t to_first,
		      uint64_t n, const struct membox_wsum_term *terms, unsigned int nterms);
void membox_prep_fetch_add(struct membox_op *op, struct membox_param *param, uint64_t index,
			   int64_t add);
void membox_prep_swap(struct membox_op *op, struct membox_param *param, uint64_t index,
		      int64_t value);
void membox_prep_compare_swap(struct membox_op *op, struct membox_param *param, uint64_t index,
			      int64_t expected, int64_t value);
void membox_prep_notify(struct membox_op *op, struct membox_param *param);
void membox_prep_commit(struct membox_op *op, struct membox_param *param);
void membox_prep_wait_version(struct membox_op *op, struct membox_param *param, uint64_t above,
			      int64_t timeout);
void membox_prep_wait_word(struct membox_op *op, struct membox_param *param, uint64_t index,
			   enum membox_cmp cmp, int64_t value, int64_t timeout);
void membox_prep_fence(struct membox_op *op);

/*
 * A packet as it is (<membox/uapi/membox.h>), for tests and tools: neither
 * checked nor split nor served by a fallback here. It must live until submit
 * returns; its user_data is not used, op->user_data is.
 */
void membox_prep_packet(struct membox_op *op, const struct membox_packet *packet);

/* Runs one operation and waits for it. done may be NULL. */
int membox_run(struct membox *box, const struct membox_op *op, struct membox_done *done);

/* depth: operations in flight at most, 1 ... 4096. */
int membox_chan_open(struct membox *box, unsigned int depth, struct membox_chan **chan);

/* Cancels what is in flight and waits for its end. */
void membox_chan_close(struct membox_chan *chan);

/*
 * Queues operations in order; returns how many it took, which is less than n
 * when the channel is full. -EAGAIN: full, none taken. An operation that the box
 * refuses is taken: its membox_done says why.
 */
int membox_submit(struct membox_chan *chan, const struct membox_op *ops, unsigned int n);

/*
 * Takes up to max that are done, waiting until there are min or the time-out is
 * over; returns how many. 0 with min 0: none yet. -ETIMEDOUT: none in time.
 */
int membox_reap(struct membox_chan *chan, struct membox_done *done, unsigned int max,
		unsigned int min, int64_t timeout);

/*
 * Aborts those with that user_data that are not done; returns how many. Each is
 * reaped all the same, with ABORTED or with what it had come to.
 */
int membox_cancel(struct membox_chan *chan, uint64_t user_data);

/* Submitted and not yet reaped. */
unsigned int membox_chan_pending(const struct membox_chan *chan);

/* Readable when membox_reap may find something. Belongs to the channel. */
int membox_chan_fd(struct membox_chan *chan);

/* ---- groups of ranks ---- */

struct membox_group_info {
	uint32_t size;
	int32_t rank;	 /* mine */
	uint32_t ranks;	 /* seats */
	uint32_t joined; /* seats taken */
	uint32_t epoch;	 /* goes up when a member leaves or dies */
	int32_t dead;	 /* lowest rank that died in this epoch, -1: none */
	uint8_t state[MEMBOX_MAX_RANKS]; /* enum membox_seat */
};

/*
 * Takes a seat in the group `name` of `ranks` ranks (rank -1: any) and waits
 * until all are taken. -EADDRINUSE the rank is taken; -EPROTOTYPE the group has
 * another number of ranks; -ETIMEDOUT not all came: the seat is given back;
 * -EOWNERDEAD one died meanwhile.
 */
int membox_group_join(struct membox *box, const char *name, int ranks, int rank,
		      int64_t timeout, struct membox_group **group);

/* The same for a group with a key, which the first to join sets. */
int membox_group_join_keyed(struct membox *box, const char *name, int ranks, int rank,
			    const struct membox_key *key, int64_t timeout,
			    struct membox_group **group);
int membox_group_rank(const struct membox_group *group);
int membox_group_ranks(const struct membox_group *group);
int membox_group_info(struct membox_group *group, struct membox_group_info *info);
uint32_t membox_group_handle(const struct membox_group *group); /* for membox_prep_packet */
void membox_group_leave(struct membox_group *group);

/*
 * After a rank died or left: waits until all seats are taken again, and goes on in the
 * new epoch. Every rank that stayed calls it, none of whose collectives is in flight.
 */
int membox_group_renew(struct membox_group *group, int64_t timeout);

/*
 * ---- collectives ----
 *
 * Every rank of the group makes the same calls in the same order (submitting in a
 * channel is the moment that counts). Reductions fold in rank order, so all
 * ranks have the same bits, and a run repeated has them again. A call ends alike for
 * all ranks: -EOWNERDEAD a rank died, -ETIMEDOUT one is late, -EPROTOTYPE one
 * wants something else, -ECANCELED one cancelled; membox_error() names it. -ESTALE the
 * group's epoch is over: membox_group_renew. -EOPNOTSUPP the box has none; -ENOSPC the
 * box's room for collectives is taken by other groups.
 * in and out are the same memory or do not overlap; n is elements.
 */

/* out = in of rank 0 (red) in of rank 1 (red) ..., on every rank. */
int membox_allreduce(struct membox_group *group, const void *in, void *out, uint64_t n,
		     enum membox_type type, enum membox_red red, int64_t timeout);

/* The same on rank `root` only; out is not used on others. */
int membox_reduce(struct membox_group *group, const void *in, void *out, uint64_t n,
		  enum membox_type type, enum membox_red red, int root, int64_t timeout);

/* in has n elements for each rank; rank r's out is the reduction of the r-th n. */
int membox_reduce_scatter(struct membox_group *group, const void *in, void *out, uint64_t n,
			  enum membox_type type, enum membox_red red, int64_t timeout);

/* out = the n elements of each rank, one behind the other. */
int membox_allgather(struct membox_group *group, const void *in, void *out, uint64_t n,
		     enum membox_type type, int64_t timeout);

/* data of all ranks = data of rank `root` */
int membox_broadcast(struct membox_group *group, void *data, uint64_t n, enum membox_type type,
		     int root, int64_t timeout);

/* Ends when all ranks are there. */
int membox_barrier(struct membox_group *group, int64_t timeout);

void membox_prep_allreduce(struct membox_op *op, struct membox_group *group, const void *in,
			   void *out, uint64_t n, enum membox_type type, enum membox_red red);
void membox_prep_reduce(struct membox_op *op, struct membox_group *group, const void *in, void *out,
			uint64_t n, enum membox_type type, enum membox_red red, int root);
void membox_prep_reduce_scatter(struct membox_op *op, struct membox_group *group, const void *in,
				void *out, uint64_t n, enum membox_type type, enum membox_red red);
void membox_prep_allgather(struct membox_op *op, struct membox_group *group, const void *in,
			   void *out, uint64_t n, enum membox_type type);
void membox_prep_broadcast(struct membox_op *op, struct membox_group *group, void *data, uint64_t n,
			   enum membox_type type, int root);
void membox_prep_barrier(struct membox_op *op, struct membox_group *group);

/* ---- making and checking boxes ---- */

struct membox_format_opts {
	uint32_t size;
	uint32_t flags; /* MEMBOX_FORMAT_* */
	uint64_t bytes; /* of the file; 0: what it has */
	uint32_t ports; /* 0: 16 */
	uint32_t params; /* 0: 1024 */
	uint32_t groups; /* 0: 64 */
	uint32_t reserved;
};
#define MEMBOX_FORMAT_FORCE (1U << 0) /* also over a box that is there */

/* Makes a box of the file, every byte of it allocated. */
int membox_format(const char *path, const struct membox_format_opts *opts);

/* Checks every record; report is called for each finding. Number of findings. File only. */
int membox_fsck(struct membox *box, void (*report)(void *arg, const char *text), void *arg);

/*
 * Ends a port that is SUSPENDED: a VM that migrated and does not come back. All that
 * it had goes. For operators, on a file. -ENOENT: it is free; -EBUSY: it is in use.
 */
int membox_port_evict(struct membox *box, uint32_t port);

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif /* MEMBOX_H */
