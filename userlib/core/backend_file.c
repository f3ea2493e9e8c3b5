/* SPDX-License-Identifier: MIT */
/*
 * backend_file.c - a box that is a file, with the engine in this process. An
 * open box is a port of its own with one context. Requests execute on the
 * thread that submits them; what parks is moved on by whoever waits, or, once
 * somebody polls a descriptor, by a thread of the box (backend_file_poll.c).
 *
 * st->run_lock guards the list of requests that a fence let go. It is a leaf.
 */
#include "backend_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONTEXT 1

/* ---- opening and closing ---- */

/* One user's processes own each other's parameters, unless they say otherwise. */
static void principal_of_user(uint8_t principal[16])
{
	uint32_t uid = geteuid();

	memcpy(principal, "membox-uid", 10);
	memset(principal + 10, 0, 2);
	memcpy(principal + 12, &uid, sizeof(uid));
}

static void attach_options(struct mbe_attach_opts *a, const struct membox_open_opts *opts)
{
	memset(a, 0, sizeof(*a));
	a->port = opts->flags & MEMBOX_OPEN_PORT ? (int)opts->port : MBE_PORT_AUTO;
	a->have_principal = true;
	if (opts->flags & MEMBOX_OPEN_PRINCIPAL)
		memcpy(a->principal, opts->principal, sizeof(a->principal));
	else
		principal_of_user(a->principal);
	a->rdonly = opts->flags & MEMBOX_OPEN_RDONLY;
	a->is_operator = opts->flags & MEMBOX_OPEN_OPERATOR;
	a->caps_off = opts->caps_off;
	a->quota_bytes = opts->quota_bytes;
	a->delay_ns = opts->delay_ns;
	a->poison_first = opts->poison_first;
	a->poison_bytes = opts->poison_bytes;
}

static int file_open(struct membox *box, const char *name, const struct membox_open_opts *opts)
{
	struct membox_ctx_args ctx = { .size = sizeof(ctx), .context = CONTEXT };
	struct mbe_attach_opts attach;
	struct mb_file *st = calloc(1, sizeof(*st));
	char text[MBE_ERR_TEXT] = "";
	int ret;

	if (!st)
		return mb_fail(-ENOMEM, "cannot open box %s: no memory", box->uri);
	st->event_fd = -1;
	pthread_mutex_init(&st->run_lock, NULL);
	pthread_mutex_init(&st->thread_lock, NULL);
	st->path = strdup(name);
	if (!st->path) {
		ret = mb_fail(-ENOMEM, "cannot open box %s: no memory", box->uri);
		goto free_state;
	}
	attach_options(&attach, opts);
	attach.event = mb_file_event;
	attach.arg = st;
	ret = mbe_attach(name, &attach, &st->engine, text);
	if (ret) {
		mb_fail(ret, "cannot open box %s: %s", box->uri, text);
		goto free_path;
	}
	ret = mbe_admin(st->engine, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx));
	if (ret && !(ret == MEMBOX_ST_CORRUPT && opts->flags & MEMBOX_OPEN_CHECK)) {
		ret = mb_fail_status(ret, "cannot open box %s: context", box->uri);
		goto detach;
	}
	box->state = st;
	return 0;
detach:
	mbe_detach(st->engine);
free_path:
	free(st->path);
free_state:
	pthread_mutex_destroy(&st->thread_lock);
	pthread_mutex_destroy(&st->run_lock);
	free(st);
	return ret;
}

static void file_close(struct membox *box)
{
	struct mb_file *st = box->state;

	if (st->forgotten) {
		mbe_forget(st->engine);
	} else {
		mb_file_stop(st);
		mbe_detach(st->engine);
	}
	if (st->event_fd >= 0)
		close(st->event_fd);
	free(st->path);
	pthread_mutex_destroy(&st->thread_lock);
	pthread_mutex_destroy(&st->run_lock);
	free(st);
}

/* The engine lets go of the port by a handler of its own. */
static void file_forget(struct membox *box)
{
	struct mb_file *st = box->state;

	if (st)
		st->forgotten = true;
}

/* ---- administration ---- */

static int file_admin(struct membox *box, uint8_t opcode, void *buf, size_t bytes)
{
	struct mb_file *st = box->state;

	if (opcode == MEMBOX_ADM_EVENT_READ)
		return mb_file_take(st, MB_FILE_EVENT, CONTEXT, opcode, buf, bytes);
	if (opcode == MEMBOX_ADM_MAIL_RECV)
		return mb_file_take(st, MB_FILE_MAIL, CONTEXT, opcode, buf, bytes);
	return mbe_admin(st->engine, CONTEXT, opcode, buf, bytes);
}

/* ---- requests ---- */

/* A waiter may sleep in the engine: see file_wait. */
static void wake_sleepers(struct mb_file *st)
{
	if (atomic_load(&st->sleepers))
		mbe_wake(st->engine);
}

static void command_done(struct mbe_cmd *cmd, const struct membox_completion *c)
{
	struct mb_req *req = cmd->arg;
	struct mb_file *st = cmd->queue->arg;

	req->c = *c;
	mb_req_done(req);
	atomic_thread_fence(memory_order_seq_cst);
	wake_sleepers(st);
}

static void command_ready(struct mbe_queue *q, struct mbe_cmd *cmd)
{
	struct mb_file *st = q->arg;
	struct mb_req *req = cmd->arg;

	pthread_mutex_lock(&st->run_lock);
	req->u.file.next = NULL;
	if (st->run)
		st->run_last->u.file.next = req;
	else
		atomic_store_explicit(&st->has_run, true, memory_order_relaxed);
	if (!st->run)
		st->run = req;
	st->run_last = req;
	pthread_mutex_unlock(&st->run_lock);
}

/* Executes what a fence let go; not from command_ready, which would recurse. */
static void drain(struct mb_file *st)
{
	struct mb_req *req;

	while (atomic_load_explicit(&st->has_run, memory_order_relaxed)) {
		pthread_mutex_lock(&st->run_lock);
		req = st->run;
		if (req)
			st->run = req->u.file.next;
		if (!st->run)
			atomic_store_explicit(&st->has_run, false, memory_order_relaxed);
		pthread_mutex_unlock(&st->run_lock);
		if (req)
			mbe_execute(st->engine, &req->u.file.cmd);
	}
}

uint64_t mb_file_progress(struct mb_file *st)
{
	uint64_t next;

	drain(st);
	next = mbe_progress(st->engine);
	drain(st);
	return next;
}

/* Shape, then host memory: the checks that stand before the engine's. */
static uint16_t check(struct membox *box, struct mb_req *req, uint32_t *detail)
{
	struct mb_file *st = box->state;
	const struct membox_packet *p = &req->packet;
	uint32_t used = membox_packet_fields(p);
	uint64_t bytes;
	uint16_t status;

	status = membox_check_packet(p, mbe_caps(st->engine), mbe_max_bytes(st->engine), detail);
	if (status)
		return status;
	if (p->flags & (MEMBOX_F_REGION | MEMBOX_F_REGION2)) {
		*detail = p->flags & MEMBOX_F_REGION ? MEMBOX_AT(host.key) : MEMBOX_AT(coll.recv.key);
		return MEMBOX_ST_BAD_REGION;
	}
	bytes = membox_host_bytes_used(p, used);
	if (bytes && !mb_memory_is_there(box, p->host.addr, bytes,
					 membox_host_is_written(p->opcode))) {
		*detail = MEMBOX_AT(host.addr);
		return MEMBOX_ST_HOST_FAULT;
	}
	bytes = membox_host2_bytes_used(p, used);
	if (bytes && !mb_memory_is_there(box, p->coll.recv.addr, bytes,
					 membox_host2_is_written(p->opcode))) {
		*detail = MEMBOX_AT(coll.recv.addr);
		return MEMBOX_ST_HOST_FAULT;
	}
	return MEMBOX_ST_OK;
}

static void refuse(struct mb_file *st, struct mb_req *req, uint16_t status, uint32_t detail)
{
	memset(&req->c, 0, sizeof(req->c));
	req->c.status = status;
	req->c.detail = detail;
	req->c.start = req->c.end = mbe_clock(st->engine);
	mb_req_done(req);
}

/* The request as a command, which was checked. */
static void make_command(struct mb_req *req, uint64_t user_data)
{
	struct mbe_cmd *cmd = &req->u.file.cmd;
	uint32_t used = membox_packet_fields(&req->packet);

	cmd->p = req->packet;
	cmd->p.context = CONTEXT;
	cmd->p.user_data = user_data;
	cmd->checked = true;
	req->u.file.iov.iov_base = (void *)(uintptr_t)req->packet.host.addr;
	req->u.file.iov.iov_len = membox_host_bytes_used(&req->packet, used);
	cmd->host = &req->u.file.iov;
	cmd->nhost = req->u.file.iov.iov_len ? 1 : 0;
	req->u.file.iov2.iov_base = (void *)(uintptr_t)req->packet.coll.recv.addr;
	req->u.file.iov2.iov_len = membox_host2_bytes_used(&req->packet, used);
	cmd->host2 = &req->u.file.iov2;
	cmd->nhost2 = req->u.file.iov2.iov_len ? 1 : 0;
}

static bool file_now(struct membox *box, struct mb_req *req, uint64_t user_data, uint64_t start)
{
	struct mb_file *st = box->state;
	uint32_t detail;

	if (!mbe_looks_small(&req->packet) || check(box, req, &detail))
		return false;
	make_command(req, user_data);
	if (!mbe_execute_small(st->engine, &req->u.file.cmd, start))
		return false;
	req->c = req->u.file.cmd.c;
	return true;
}

static int file_submit(struct membox *box, struct mb_lane *lane, struct mb_req **reqs,
		       unsigned int n, const struct mb_wait *wait)
{
	struct mb_file *st = box->state;
	unsigned int i;

	(void)wait;
	for (i = 0; i < n; i++) {
		struct mb_req *req = reqs[i];
		struct mbe_cmd *cmd = &req->u.file.cmd;
		uint32_t detail = 0;
		uint16_t status = check(box, req, &detail);

		if (status) {
			refuse(st, req, status, detail);
			continue;
		}
		memset(cmd, 0, sizeof(*cmd));
		make_command(req, req->flight->user_data);
		cmd->done = command_done;
		cmd->arg = req;
		if (mbe_queue_enter(&lane->queue, cmd))
			mbe_execute(st->engine, cmd);
		drain(st);
	}
	/* the box's thread must not sleep past the time-out of what has parked */
	if (atomic_load(&st->running) && mbe_queue_inflight(&lane->queue))
		mbe_wake(st->engine);
	return (int)n;
}

static int file_lane_open(struct membox *box, struct mb_lane *lane)
{
	struct mb_file *st = box->state;

	memset(&lane->queue, 0, sizeof(lane->queue));
	lane->queue.ready = command_ready;
	lane->queue.arg = st;
	return mbe_queue_init(&lane->queue, st->engine);
}

static void file_lane_close(struct membox *box, struct mb_lane *lane)
{
	struct mb_file *st = box->state;

	if (!st->forgotten)
		mbe_queue_fini(&lane->queue);
}

static bool is_command(const struct mbe_cmd *cmd, void *arg)
{
	return cmd == arg;
}

static void file_cancel(struct membox *box, struct mb_lane *lane, struct mb_req *req)
{
	struct mb_file *st = box->state;

	mbe_abort(st->engine, &lane->queue, is_command, &req->u.file.cmd, MEMBOX_ST_ABORTED);
	drain(st);
}

/* ---- waiting ---- */

#define SPINS 4000 /* some 20 us: less than going to sleep and being woken costs */

static bool worth_spinning(const struct mb_file *st)
{
	static atomic_long known; /* 0: not yet */
	long cpus = atomic_load_explicit(&known, memory_order_relaxed);

	if (!cpus) {
		cpus = sysconf(_SC_NPROCESSORS_ONLN);
		atomic_store_explicit(&known, cpus, memory_order_relaxed);
	}
	return atomic_load_explicit(&st->sleepers, memory_order_relaxed) < cpus;
}

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* True: something happened meanwhile. */
static bool spin(struct mb_file *st, const struct mb_wait *wait, uint32_t seen)
{
	unsigned int i;

	for (i = 0; i < SPINS; i++) {
		if (wait->ready(wait->arg) || mbe_wake_seen(st->engine) != seen)
			return true;
		relax();
	}
	return false;
}

static int file_wait(struct membox *box, const struct mb_wait *wait)
{
	struct mb_file *st = box->state;
	int ret = 0;

	atomic_fetch_add(&st->sleepers, 1);
	for (;;) {
		uint32_t seen = mbe_wake_seen(st->engine);
		uint64_t next = mb_file_progress(st), now, clock;

		if (wait->ready(wait->arg))
			break;
		now = mb_now();
		if (now >= wait->deadline) {
			ret = -ETIMEDOUT;
			break;
		}
		if (worth_spinning(st) && spin(st, wait, seen))
			continue;
		clock = mbe_clock(st->engine);
		/* what is due already is not slept over */
		if (wait->deadline != UINT64_MAX && next > clock &&
		    wait->deadline - now < next - clock)
			next = clock + (wait->deadline - now);
		mbe_sleep(st->engine, seen, next);
	}
	atomic_fetch_sub(&st->sleepers, 1);
	return ret;
}

static int file_fsck(struct membox *box, void (*report)(void *, const char *), void *arg)
{
	struct mb_file *st = box->state;

	return (int)mbe_fsck(st->engine, report, arg);
}

/* ---- mappings ---- */

static int file_map(struct membox *box, uint32_t handle, int prot, uint64_t bytes, void **addr,
		    void **cookie)
{
	struct mb_file *st = box->state;
	struct mbe_extent *x = malloc(sizeof(*x));
	int fd, ret;

	(void)bytes;
	if (!x)
		return -ENOMEM;
	ret = mbe_extent_get(st->engine, CONTEXT, handle, x);
	if (ret)
		goto free_extent;
	ret = MEMBOX_ST_DENIED;
	if ((prot & PROT_WRITE) && !(x->rights & MEMBOX_WIN_WRITE))
		goto put_extent;
	/* a read-only mapping of a read-only description can never become writable */
	fd = open(st->path, (prot & PROT_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		goto put_extent;
	}
	*addr = mmap(NULL, x->length, prot, MAP_SHARED, fd, (off_t)x->offset);
	ret = *addr == MAP_FAILED ? -errno : 0;
	close(fd);
	if (ret)
		goto put_extent;
	madvise(*addr, x->length, MADV_DONTFORK);
	*cookie = x;
	return 0;
put_extent:
	mbe_extent_put(st->engine, x);
free_extent:
	free(x);
	return ret;
}

static void file_unmap(struct membox *box, void *addr, uint64_t bytes, void *cookie)
{
	struct mb_file *st = box->state;
	struct mbe_extent *x = cookie;

	(void)bytes;
	if (!st->forgotten) {
		munmap(addr, x->length);
		mbe_extent_put(st->engine, x);
	}
	free(x);
}

const struct mb_backend mb_backend_file = {
	.open = file_open,
	.close = file_close,
	.forget = file_forget,
	.admin = file_admin,
	.lane_open = file_lane_open,
	.lane_close = file_lane_close,
	.submit = file_submit,
	.now = file_now,
	.wait = file_wait,
	.cancel = file_cancel,
	.event_seen = mb_file_event_seen,
	.event_wait = mb_file_event_wait,
	.event_fd = mb_file_event_fd,
	.poll_add = mb_file_poll_add,
	.map = file_map,
	.unmap = file_unmap,
	.fsck = file_fsck,
};
