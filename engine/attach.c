/* SPDX-License-Identifier: MIT */
/*
 * attach.c - a process opens a box and takes a port of it, and gives it back.
 * Owns struct mbe from attach to detach. The box's file is open twice: mapped
 * through one description, its bytes locked through another (port.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tables.h"

#define OFFERED (MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR | MEMBOX_CAP_ATOMIC | MEMBOX_CAP_WAIT | \
		 MEMBOX_CAP_WINDOWS | MEMBOX_CAP_COLLECTIVES)
#define BYTE_TRIES 3000 /* milliseconds that a short lock of somebody else is waited for */

int mbe_byte_wait(int fd, uint64_t byte, bool shared)
{
	struct timespec ms = {0, (long)MBE_NS_PER_MS};
	int err = -EAGAIN;
	unsigned int i;

	for (i = 0; i < BYTE_TRIES && err == -EAGAIN; i++) {
		err = mbe_byte_lock(fd, byte, shared);
		if (err == -EAGAIN)
			nanosleep(&ms, NULL);
	}
	return err;
}

/* Opens the file twice and checks that it is one and whole. */
static int open_file(struct mbe *e, const char *path, struct stat *st, char text[MBE_ERR_TEXT])
{
	struct stat second;

	e->fd = open(path, O_RDWR | O_CLOEXEC);
	if (e->fd < 0)
		return mbe_fail(text, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fstat(e->fd, st))
		return mbe_fail(text, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st->st_mode))
		return mbe_fail(text, -EINVAL, "%s is no regular file", path);
	e->lock_fd = open(path, O_RDWR | O_CLOEXEC);
	if (e->lock_fd < 0 || fstat(e->lock_fd, &second))
		return mbe_fail(text, -errno, "cannot open %s again: %s", path, strerror(errno));
	if (second.st_dev != st->st_dev || second.st_ino != st->st_ino)
		return mbe_fail(text, -EAGAIN, "%s was replaced while it was opened", path);
	return 0;
}

static int read_super(struct mbe *e, const char *path, const struct stat *st, char text[MBE_ERR_TEXT])
{
	struct membox_fmt_super s;
	const char *why;
	bool backup;

	why = mbe_super_read(e->fd, (uint64_t)st->st_size, &s, &backup);
	if (why && backup)
		return mbe_fail(text, -EUCLEAN,
				"%s: %s; its backup is good: copy the file's last page over its first", path, why);
	if (why)
		return mbe_fail(text, -EUCLEAN, "%s: %s", path, why);
	if ((uint64_t)st->st_blocks * 512 < s.bytes)
		return mbe_fail(text, -EUCLEAN,
				"%s has holes (%llu of %llu MiB are there): a full file system would kill who "
				"stores into one; format it here, or copy it with --sparse=never",
				path, (unsigned long long)st->st_blocks / 2048,
				(unsigned long long)(s.bytes >> 20));
	e->rdonly = e->opts.rdonly || (s.ro_compat & ~MEMBOX_FMT_RO_COMPAT);
	memcpy(e->uuid, s.uuid, sizeof(e->uuid));
	mbe_geometry_set(&e->geo, &s);
	if (!e->geo.area[MEMBOX_AREA_COLL].bytes)
		e->caps &= ~MEMBOX_CAP_COLLECTIVES;
	return 0;
}

static int map_file(struct mbe *e, const char *path, char text[MBE_ERR_TEXT])
{
	void *map = mmap(NULL, e->geo.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, e->fd, 0);

	if (map == MAP_FAILED)
		return mbe_fail(text, -errno, "cannot map %s: %s", path, strerror(errno));
	e->map = map;
	/* a child's copy of the mapping would keep the file in use, and is not its own */
	if (madvise(map, e->geo.bytes, MADV_DONTFORK))
		return mbe_fail(text, -errno, "cannot keep %s from children: %s", path, strerror(errno));
	return 0;
}

static int make_local(struct mbe *e, char text[MBE_ERR_TEXT])
{
	int err;

	e->refs = aligned_alloc(64, sizeof(*e->refs) * e->geo.handles);
	e->ref_gen = calloc(e->geo.handles, sizeof(*e->ref_gen));
	e->zeroing = calloc(e->geo.params, sizeof(*e->zeroing));
	e->watches = calloc(e->geo.params, sizeof(*e->watches));
	e->subs = calloc(e->geo.handles, sizeof(*e->subs));
	e->waiting = calloc(e->geo.waiters, sizeof(*e->waiting));
	if (!e->refs || !e->ref_gen || !e->zeroing || !e->watches || !e->subs || !e->waiting)
		return mbe_fail(text, -ENOMEM, "out of memory");
	memset(e->refs, 0, sizeof(*e->refs) * e->geo.handles);
	if (e->opts.have_principal) {
		memcpy(e->principal, e->opts.principal, sizeof(e->principal));
		return 0;
	}
	err = mbe_random(e->principal, sizeof(e->principal));
	return err ? mbe_fail(text, err, "no random numbers: %s", strerror(-err)) : 0;
}

/* Is the port kept for an owner who is on the way? */
static bool is_suspended(const struct mbe *e, int port)
{
	const struct membox_fmt_port *p = (const void *)(e->map + mbe_port_byte(&e->geo, (uint32_t)port));

	return (uint32_t)MBE_LOAD(&p->word) == MEMBOX_PORT_SUSPENDED;
}

/* Takes a port's byte, unless the port is kept for a suspended owner. */
static int try_port(struct mbe *e, uint32_t port)
{
	int err = mbe_byte_lock(e->lock_fd, mbe_port_byte(&e->geo, port), false);

	if (err)
		return err;
	if (is_suspended(e, (int)port)) { /* looked at with its byte held: it becomes so under it */
		mbe_byte_unlock(e->lock_fd, mbe_port_byte(&e->geo, port));
		return -EAGAIN;
	}
	e->port = port;
	return 0;
}

/* A suspended port is named, and taken by mbe_resume. */
static int choose_suspended(struct mbe *e, const char *path, char text[MBE_ERR_TEXT])
{
	if (e->opts.port < 0 || (uint32_t)e->opts.port >= e->geo.ports)
		return mbe_fail(text, -EINVAL, "%s: which of its %u ports is to be resumed must be said", path,
				e->geo.ports);
	e->port = (uint32_t)e->opts.port;
	e->away = true;
	e->looking = true;
	return 0;
}

static int choose_port(struct mbe *e, const char *path, char text[MBE_ERR_TEXT])
{
	int err = -EAGAIN;
	uint32_t i;

	if (e->opts.resume)
		return choose_suspended(e, path, text);
	if (e->opts.port != MBE_PORT_AUTO) {
		if (e->opts.port < 0 || (uint32_t)e->opts.port >= e->geo.ports)
			return mbe_fail(text, -EINVAL, "%s has ports 0 to %u, not %d", path, e->geo.ports - 1,
					e->opts.port);
		err = try_port(e, (uint32_t)e->opts.port);
		if (err == -EAGAIN && is_suspended(e, e->opts.port))
			return mbe_fail(text, -EBUSY,
					"port %d of %s is suspended: its owner migrates (`memboxctl evict` ends it)",
					e->opts.port, path);
		return err == -EAGAIN ? mbe_fail(text, -EBUSY, "port %d of %s is taken", e->opts.port, path) : err;
	}
	for (i = 0; i < e->geo.ports && err == -EAGAIN; i++)
		err = try_port(e, i);
	if (err == -EAGAIN)
		return mbe_fail(text, -EBUSY, "all %u ports of %s are taken: end a process, or format with more",
				e->geo.ports, path);
	return err;
}

/* Context 0. In a stopped box nothing is written, but it can be looked at. */
static uint16_t open_kernel_context(struct mbe *e)
{
	uint16_t status;

	if (e->looking) {
		MBE_STORE(&e->ctx_gen[0], 1);
		return MEMBOX_ST_OK;
	}
	status = mbe_table_lock(e);
	if (status)
		return status;
	status = mbe_context_create(e, 0);
	mbe_table_unlock(e);
	return status;
}

/* The port's byte is ours: recover it, make it live. */
static int take_port(struct mbe *e, char text[MBE_ERR_TEXT])
{
	uint64_t byte = mbe_port_byte(&e->geo, e->port);
	uint16_t status;
	int err;

	mbe_areas_set(e);
	e->revoked_seen = MBE_LOAD(&e->state->revocations);
	if (e->away)
		return 0;
	err = mbe_byte_wait(e->lock_fd, byte + 1, false);
	if (err)
		return mbe_fail(text, err == -EAGAIN ? -EBUSY : err, "port %u is being recovered by somebody else",
				e->port);
	status = mbe_port_take(e);
	mbe_byte_unlock(e->lock_fd, byte + 1);
	if (!status)
		status = open_kernel_context(e);
	if (status)
		return mbe_fail(text, -membox_status_errno(status), "cannot recover port %u: status %u", e->port,
				status);
	return 0;
}

static void drop_local(struct mbe *e)
{
	free(e->refs);
	free(e->ref_gen);
	free(e->zeroing);
	free(e->watches);
	free(e->subs);
	free(e->waiting);
	pthread_mutex_destroy(&e->recover_mutex);
	pthread_mutex_destroy(&e->table_mutex);
	pthread_mutex_destroy(&e->watch_mutex);
	if (e->fd >= 0)
		close(e->fd);
	if (e->lock_fd >= 0)
		close(e->lock_fd);
	free(e);
}

static int open_box(struct mbe *e, const char *path, char text[MBE_ERR_TEXT])
{
	struct stat st;
	int err = open_file(e, path, &st, text);

	if (err)
		return err;
	err = mbe_byte_wait(e->lock_fd, MBE_BYTE_FORMAT, true);
	if (err)
		return mbe_fail(text, err == -EAGAIN ? -EBUSY : err, "%s is being formatted", path);
	if (fstat(e->fd, &st)) /* formatting may have changed it */
		return mbe_fail(text, -errno, "%s: %s", path, strerror(errno));
	err = read_super(e, path, &st, text);
	if (!err)
		err = map_file(e, path, text);
	if (!err)
		err = make_local(e, text);
	if (!err)
		err = choose_port(e, path, text);
	mbe_byte_unlock(e->lock_fd, MBE_BYTE_FORMAT);
	return err;
}

/* Rolling a dead port's command forward may need a stripe of another dead port. */
static void make_recursive(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

int mbe_attach(const char *path, const struct mbe_attach_opts *opts, struct mbe **out,
	       char text[MBE_ERR_TEXT])
{
	struct mbe *e = calloc(1, sizeof(*e));
	int err;

	text[0] = '\0';
	*out = NULL;
	if (!e)
		return mbe_fail(text, -ENOMEM, "out of memory");
	e->opts = *opts;
	e->caps = OFFERED & ~opts->caps_off;
	e->fd = -1;
	e->lock_fd = -1;
	e->step = mbe_step_default;
	make_recursive(&e->recover_mutex);
	pthread_mutex_init(&e->table_mutex, NULL);
	pthread_mutex_init(&e->watch_mutex, NULL);
	err = mbe_fork_register(e);
	if (err) {
		drop_local(e);
		return mbe_fail(text, err, "cannot watch for forks: %s", strerror(-err));
	}
	err = open_box(e, path, text);
	if (!err)
		err = take_port(e, text);
	if (!err) {
		if (!e->away)
			mbe_poll_ports(e, 0);
		err = mbe_exec_init(e);
		if (err)
			mbe_fail(text, err, "cannot start the engine: %s", strerror(-err));
	}
	if (err) {
		/* closing the lock leaves the port to be recovered by the next who looks */
		if (e->map)
			munmap(e->map, e->geo.bytes);
		mbe_fork_unregister(e);
		drop_local(e);
		return err;
	}
	if (!e->away)
		mbe_wake_all(e); /* they watch over us from here on */
	*out = e;
	return 0;
}

/* Ends all contexts. True when nothing of ours is left in the box. */
static bool end_contexts(struct mbe *e)
{
	uint16_t status = mbe_table_lock(e);
	unsigned int i;

	if (status)
		return false;
	for (i = MEMBOX_MAX_CONTEXTS; i-- > 0 && !status;)
		if (mbe_context_open(e, i))
			status = mbe_context_destroy(e, i);
	if (!status)
		status = mbe_ref_close_all(e, -1U, true);
	mbe_table_unlock(e);
	mbe_zero_pending(e);
	return !status;
}

void mbe_detach(struct mbe *e)
{
	if (e->forgotten) {
		mbe_forget(e);
		return;
	}
	mbe_exec_fini(e);
	if (!e->away && end_contexts(e))
		mbe_port_leave(e);
	munmap(e->map, e->geo.bytes);
	mbe_fork_unregister(e);
	drop_local(e);
}

/*
 * The mapping is not there in a child, and the address may be somebody else's by
 * now; what the execution half has in memory is left where it is, since its
 * threads are not there either.
 */
void mbe_forget(struct mbe *e)
{
	mbe_fork_unregister(e);
	drop_local(e);
}

uint64_t mbe_clock(const struct mbe *e)
{
	(void)e; /* all who share a box share a host, and so its monotonic clock */
	return mbe_time();
}

uint64_t mbe_caps(const struct mbe *e)
{
	return e->caps;
}

uint64_t mbe_max_bytes(const struct mbe *e)
{
	(void)e;
	return MEMBOX_MAX_BYTES;
}

uint32_t mbe_port(const struct mbe *e)
{
	return e->port;
}

uint32_t mbe_ports(const struct mbe *e)
{
	return e->geo.ports;
}

const uint8_t *mbe_uuid(const struct mbe *e)
{
	return e->uuid;
}

uint64_t mbe_data_bytes(const struct mbe *e)
{
	return e->geo.data_bytes;
}
