/* SPDX-License-Identifier: MIT */
/*
 * backend_dev.c - a box behind the driver: an open file is a context. Packets go
 * through the driver (backend_dev_io.c), or by a queue of this process
 * (backend_userq.c), where the lane has one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend_dev.h"

/* ---- opening and closing ---- */

static int open_failed(struct membox *box, const char *name, int error)
{
	const char *why;

	switch (error) {
	case ENOENT:
		why = "no such node: is the driver loaded (`memboxctl list` looks for devices)?";
		break;
	case EACCES:
		why = "no permission: see the node's group and the udev rule";
		break;
	case ENODEV:
	case ENXIO:
		why = "the device is gone: `memboxctl list` shows what is there";
		break;
	default:
		why = strerror(error);
	}
	(void)name;
	return mb_fail(-error, "cannot open box %s: %s", box->uri, why);
}

/* MEMBOX_QUEUES in the environment, or the flags; the environment is for tests and comparison. */
static int which_queues(const struct membox *box, const struct membox_open_opts *opts, enum mb_queues *which)
{
	const char *env = getenv("MEMBOX_QUEUES");

	*which = MB_QUEUES_AUTO;
	if (opts->flags & MEMBOX_OPEN_KERNEL_QUEUES)
		*which = MB_QUEUES_KERNEL;
	else if (opts->flags & MEMBOX_OPEN_USER_QUEUES)
		*which = MB_QUEUES_USER;
	else if (env && !strcmp(env, "kernel"))
		*which = MB_QUEUES_KERNEL;
	else if (env && !strcmp(env, "user"))
		*which = MB_QUEUES_USER;
	else if (env && *env)
		return mb_fail(-EINVAL, "cannot open box %s: MEMBOX_QUEUES is '%s', neither kernel nor user",
			       box->uri, env);
	return 0;
}

static int dev_open(struct membox *box, const char *name, const struct membox_open_opts *opts)
{
	struct membox_info info = { .size = sizeof(info) };
	pthread_condattr_t attr;
	struct mb_dev *st;
	int ret;

	if ((opts->flags & ~(MEMBOX_OPEN_RDONLY | MEMBOX_OPEN_KERNEL_QUEUES | MEMBOX_OPEN_USER_QUEUES)) || opts->quota_bytes || opts->delay_ns ||
	    opts->poison_bytes)
		return mb_fail(-EINVAL,
			       "cannot open box %s: port, principal, operator, quota, delay and "
			       "poison are properties of the device, not of the call", box->uri);
	st = calloc(1, sizeof(*st));
	if (!st)
		return mb_fail(-ENOMEM, "cannot open box %s: no memory", box->uri);
	st->event_fd = st->kick_fd = -1;
	st->spin = MB_SPIN_LEAST;
	ret = which_queues(box, opts, &st->which);
	if (ret)
		goto free_state;
	st->flying.u.dev.next = st->flying.u.dev.prev = &st->flying;
	st->fd = open(name, O_RDWR | O_CLOEXEC);
	if (st->fd < 0) {
		ret = open_failed(box, name, errno);
		goto free_state;
	}
	if (ioctl(st->fd, MEMBOX_IOC_INFO, &info)) {
		ret = mb_fail(errno == ENOTTY ? -ENODEV : -errno,
			      "cannot open box %s: it is no membox (%s)", box->uri,
			      strerror(errno));
		goto close_fd;
	}
	st->caps = info.caps;
	st->max_bytes = info.max_bytes;
	if (st->which == MB_QUEUES_KERNEL)
		atomic_store(&st->no_queues, true);
	else
		st->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (st->kick_fd < 0)
		atomic_store(&st->no_queues, true);
	pthread_mutex_init(&st->queues_lock, NULL);
	pthread_rwlock_init(&st->keys_lock, NULL);
	pthread_mutex_init(&st->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&st->changed, &attr);
	pthread_condattr_destroy(&attr);
	box->state = st;
	return 0;
close_fd:
	close(st->fd);
free_state:
	free(st);
	return ret;
}

static void dev_close(struct membox *box)
{
	struct mb_dev *st = box->state;

	mb_userq_delete_all(st);
	if (st->event_fd >= 0)
		close(st->event_fd);
	if (st->kick_fd >= 0)
		close(st->kick_fd);
	if (!st->forgotten)
		close(st->fd);
	pthread_rwlock_destroy(&st->keys_lock);
	pthread_mutex_destroy(&st->queues_lock);
	pthread_cond_destroy(&st->changed);
	pthread_mutex_destroy(&st->lock);
	free(st);
}

/* The context must end with its process, not with the last of its children. */
static void dev_forget(struct membox *box)
{
	struct mb_dev *st = box->state;

	if (!st)
		return;
	st->forgotten = true;
	close(st->fd);
}

/* ---- administration ---- */

static unsigned long admin_ioctl(uint8_t opcode)
{
	switch (opcode) {
	case MEMBOX_ADM_INFO:
		return MEMBOX_IOC_INFO;
	case MEMBOX_ADM_PARAM_OPEN:
		return MEMBOX_IOC_PARAM_OPEN;
	case MEMBOX_ADM_PARAM_CLOSE:
		return MEMBOX_IOC_PARAM_CLOSE;
	case MEMBOX_ADM_PARAM_DESTROY:
		return MEMBOX_IOC_PARAM_DESTROY;
	case MEMBOX_ADM_PARAM_STAT:
		return MEMBOX_IOC_PARAM_STAT;
	case MEMBOX_ADM_PARAM_GRANT:
		return MEMBOX_IOC_PARAM_GRANT;
	case MEMBOX_ADM_PARAM_REVOKE:
		return MEMBOX_IOC_PARAM_REVOKE;
	case MEMBOX_ADM_PARAM_LIST:
		return MEMBOX_IOC_PARAM_LIST;
	case MEMBOX_ADM_PARAM_LOCK:
		return MEMBOX_IOC_PARAM_LOCK;
	case MEMBOX_ADM_PARAM_UNLOCK:
		return MEMBOX_IOC_PARAM_UNLOCK;
	case MEMBOX_ADM_MAIL_RECV:
		return MEMBOX_IOC_MAIL_RECV;
	case MEMBOX_ADM_SUBSCRIBE:
		return MEMBOX_IOC_SUBSCRIBE;
	case MEMBOX_ADM_EVENT_READ:
		return MEMBOX_IOC_EVENT_READ;
	case MEMBOX_ADM_GROUP_JOIN:
		return MEMBOX_IOC_GROUP_JOIN;
	case MEMBOX_ADM_GROUP_LEAVE:
		return MEMBOX_IOC_GROUP_LEAVE;
	case MEMBOX_ADM_GROUP_INFO:
		return MEMBOX_IOC_GROUP_INFO;
	default:
		return MEMBOX_IOC_PORT_STAT;
	}
}

int mb_dev_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

static int dev_admin(struct membox *box, uint8_t opcode, void *buf, size_t bytes)
{
	struct mb_dev *st = box->state;

	(void)bytes;
	if (opcode == MEMBOX_ADM_PORT_EVICT)
		return MEMBOX_ST_DENIED; /* as the device would: its port is no operator's */
	return mb_dev_ioctl(st->fd, admin_ioctl(opcode), buf);
}

/* ---- requests ---- */

static int dev_submit(struct membox *box, struct mb_lane *lane, struct mb_req **reqs,
		      unsigned int n, const struct mb_wait *wait)
{
	struct mb_dev *st = box->state;
	int ret;

	if (!lane->uq)
		return mb_dev_submit_packets(box, NULL, reqs, n, wait);
	ret = mb_userq_submit(box, lane->uq, reqs, n);
	if (ret == (int)n && wait)
		mb_dev_wait(box, wait);
	else if (atomic_load(&st->polled))
		mb_userq_arm_for_poll(st);
	return ret;
}

static int dev_lane_open(struct membox *box, struct mb_lane *lane)
{
	struct mb_dev *st = box->state;
	int ret = mb_userq_open(st, &lane->uq);

	return ret && st->which == MB_QUEUES_USER ? ret : 0;
}

static void dev_lane_close(struct membox *box, struct mb_lane *lane)
{
	(void)box;
	if (lane->uq)
		mb_userq_close(lane->uq);
}

static bool flight_ended(void *arg)
{
	struct mb_flight *f = arg;

	return atomic_load_explicit(&f->done, memory_order_acquire);
}

/* A CANCEL packet the way the command went, whose own completion is waited for. */
static void dev_cancel(struct membox *box, struct mb_lane *lane, struct mb_req *req)
{
	struct mb_flight f = { .parts = 1, .opcode = MEMBOX_OP_CANCEL };
	struct mb_req *one = &f.one;
	struct mb_wait wait = { flight_ended, &f, UINT64_MAX };

	atomic_store(&f.left, 1);
	one->flight = &f;
	one->packet.opcode = MEMBOX_OP_CANCEL;
	one->packet.word.value = (uintptr_t)req;
	if (lane->uq && req->u.dev.is_here ? mb_userq_submit(box, lane->uq, &one, 1) > 0 :
					     mb_dev_submit_packets(box, NULL, &one, 1, &wait) > 0)
		mb_dev_wait(box, &wait);
}

/* ---- events and poll ---- */

static uint32_t dev_event_seen(struct membox *box)
{
	(void)box;
	return 0;
}

static int dev_event_wait(struct membox *box, uint32_t seen, uint64_t deadline)
{
	struct mb_dev *st = box->state;
	struct pollfd p = { .fd = st->fd, .events = POLLPRI };
	uint64_t now = mb_now(), left = deadline > now ? deadline - now : 0;
	struct timespec t = {
		.tv_sec = (time_t)(left / 1000000000ULL),
		.tv_nsec = (long)(left % 1000000000ULL),
	};
	int ret = ppoll(&p, 1, &t, NULL);

	(void)seen; /* POLLPRI stays until all was read */
	if (ret < 0)
		return errno == EINTR ? 0 : -errno;
	if (!ret)
		return -ETIMEDOUT;
	return p.revents & POLLPRI ? 0 : -ENODEV;
}

static int watch_fd(int fd, uint32_t what, int epoll)
{
	struct epoll_event e = { .events = what };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int dev_event_fd(struct membox *box)
{
	struct mb_dev *st = box->state;
	int fd, ret = 0;

	pthread_mutex_lock(&st->lock);
	if (st->event_fd < 0) {
		fd = epoll_create1(EPOLL_CLOEXEC);
		ret = fd < 0 ? -errno : watch_fd(st->fd, EPOLLPRI, fd);
		if (!ret)
			st->event_fd = fd;
		else if (fd >= 0)
			close(fd);
	}
	fd = st->event_fd;
	pthread_mutex_unlock(&st->lock);
	return ret ? ret : fd;
}

static int dev_poll_add(struct membox *box, int epoll)
{
	struct mb_dev *st = box->state;

	atomic_store(&st->polled, true);
	mb_userq_arm_for_poll(st);
	return watch_fd(st->fd, EPOLLIN, epoll);
}

/* ---- mappings ---- */

static int dev_map(struct membox *box, uint32_t handle, int prot, uint64_t bytes, void **addr,
		   void **cookie)
{
	struct mb_dev *st = box->state;
	struct membox_window_args *w = calloc(1, sizeof(*w));
	int ret;

	(void)bytes;
	if (!w)
		return -ENOMEM;
	w->size = sizeof(*w);
	w->handle = handle;
	w->prot = MEMBOX_WIN_READ | (prot & PROT_WRITE ? MEMBOX_WIN_WRITE : 0);
	ret = mb_dev_ioctl(st->fd, MEMBOX_IOC_WINDOW_MAP, w);
	if (ret)
		goto free_window;
	*addr = mmap(NULL, w->length, prot, MAP_SHARED, st->fd, (off_t)w->offset);
	if (*addr == MAP_FAILED) {
		ret = -errno;
		mb_dev_ioctl(st->fd, MEMBOX_IOC_WINDOW_UNMAP, w);
		goto free_window;
	}
	*cookie = w;
	return 0;
free_window:
	free(w);
	return ret;
}

static void dev_unmap(struct membox *box, void *addr, uint64_t bytes, void *cookie)
{
	struct mb_dev *st = box->state;
	struct membox_window_args *w = cookie;

	(void)bytes;
	if (!st->forgotten) {
		munmap(addr, w->length);
		mb_dev_ioctl(st->fd, MEMBOX_IOC_WINDOW_UNMAP, w);
	}
	free(w);
}

static int dev_fsck(struct membox *box, void (*report)(void *, const char *), void *arg)
{
	(void)report;
	(void)arg;
	return mb_fail(-EOPNOTSUPP, "fsck of %s: only a box that is a file can be checked",
		       box->uri);
}

const struct mb_backend mb_backend_dev = {
	.open = dev_open,
	.close = dev_close,
	.forget = dev_forget,
	.admin = dev_admin,
	.lane_open = dev_lane_open,
	.lane_close = dev_lane_close,
	.submit = dev_submit,
	.wait = mb_dev_wait,
	.cancel = dev_cancel,
	.event_seen = dev_event_seen,
	.event_wait = dev_event_wait,
	.event_fd = dev_event_fd,
	.poll_add = dev_poll_add,
	.map = dev_map,
	.unmap = dev_unmap,
	.region_add = mb_dev_region_add,
	.region_del = mb_dev_region_del,
	.fsck = dev_fsck,
};
