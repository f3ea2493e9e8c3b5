/* SPDX-License-Identifier: MIT */
/*
 * backend_dev.c - a box behind the driver: an open file is a context, and its
 * completions come in one stream. Whoever waits and finds nobody else in the
 * SUBMIT ioctl goes there (it "reaps"), hands out what came to all, and wakes
 * the others; so one system call submits and waits when a thread is alone.
 *
 * st->lock guards who reaps and the list of what is in flight. It is not held
 * in system calls nor while completions are handed out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <poll.h>
#include <unistd.h>

#include "internal.h"

#define REAP 64			     /* completions taken at once */
#define BATCH 64		     /* packets given at once */
#define SLICE_NS 1000000000ULL	     /* of an endless wait */
#define LAST_WORDS_NS 2000000000ULL  /* for completions after a reset */

struct mb_dev {
	int fd;
	bool forgotten;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a request ended, or nobody reaps any more */
	bool reaping;
	struct mb_req flying; /* list head */
	int event_fd;
};

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

static int dev_open(struct membox *box, const char *name, const struct membox_open_opts *opts)
{
	struct membox_info info = { .size = sizeof(info) };
	pthread_condattr_t attr;
	struct mb_dev *st;
	int ret;

	if ((opts->flags & ~MEMBOX_OPEN_RDONLY) || opts->quota_bytes || opts->delay_ns ||
	    opts->poison_bytes)
		return mb_fail(-EINVAL,
			       "cannot open box %s: port, principal, operator, quota, delay and "
			       "poison are properties of the device, not of the call", box->uri);
	st = calloc(1, sizeof(*st));
	if (!st)
		return mb_fail(-ENOMEM, "cannot open box %s: no memory", box->uri);
	st->event_fd = -1;
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

	if (st->event_fd >= 0)
		close(st->event_fd);
	if (!st->forgotten)
		close(st->fd);
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

static int retry_ioctl(int fd, unsigned long request, void *arg)
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
	return retry_ioctl(st->fd, admin_ioctl(opcode), buf);
}

/* ---- completions ---- */

static void flying_add(struct mb_dev *st, struct mb_req *req)
{
	req->u.dev.next = &st->flying;
	req->u.dev.prev = st->flying.u.dev.prev;
	req->u.dev.prev->u.dev.next = req;
	st->flying.u.dev.prev = req;
}

static void flying_del(struct mb_req *req)
{
	req->u.dev.prev->u.dev.next = req->u.dev.next;
	req->u.dev.next->u.dev.prev = req->u.dev.prev;
}

/* Hands out completions, of which the tags are the requests. */
static void dispatch(struct mb_dev *st, const struct membox_completion *c, unsigned int n)
{
	unsigned int i;

	if (!n)
		return;
	pthread_mutex_lock(&st->lock);
	for (i = 0; i < n; i++)
		flying_del((struct mb_req *)(uintptr_t)c[i].user_data);
	pthread_mutex_unlock(&st->lock);
	for (i = 0; i < n; i++) {
		struct mb_req *req = (struct mb_req *)(uintptr_t)c[i].user_data;

		req->c = c[i];
		mb_req_done(req);
	}
}

static bool anything_flies(struct mb_dev *st)
{
	bool flies;

	pthread_mutex_lock(&st->lock);
	flies = st->flying.u.dev.next != &st->flying;
	pthread_mutex_unlock(&st->lock);
	return flies;
}

/* The context has ended: completions can only be read any more. */
static void read_the_rest(struct mb_dev *st)
{
	struct membox_completion done[REAP];
	uint64_t deadline = mb_now() + LAST_WORDS_NS;
	struct mb_backoff backoff = { 0 };
	ssize_t n;

	while (anything_flies(st)) {
		n = read(st->fd, done, sizeof(done));
		if (n > 0)
			dispatch(st, done, (unsigned int)((size_t)n / sizeof(done[0])));
		else if (!mb_backoff(&backoff, deadline))
			return;
	}
}

/*
 * The device was reset or is gone. What the driver has to say of the commands is
 * taken; those of which it says nothing end as GONE.
 */
static void all_gone(struct mb_dev *st)
{
	struct mb_req *req;

	read_the_rest(st);
	for (;;) {
		pthread_mutex_lock(&st->lock);
		req = st->flying.u.dev.next;
		if (req != &st->flying)
			flying_del(req);
		pthread_mutex_unlock(&st->lock);
		if (req == &st->flying)
			return;
		memset(&req->c, 0, sizeof(req->c));
		req->c.status = MEMBOX_ST_GONE;
		mb_req_done(req);
	}
}

/*
 * One SUBMIT: gives packets, waits for one completion until the deadline (0: does
 * not), takes what there is. Returns packets taken or -errno.
 */
static int exchange(struct mb_dev *st, struct membox_packet *packets, unsigned int n,
		    uint64_t deadline)
{
	struct membox_completion done[REAP];
	struct membox_submit s = {
		.size = sizeof(s),
		.packets = (uintptr_t)packets,
		.count = n,
		.wait = deadline ? 1 : 0,
		.completions = (uintptr_t)done,
		.reap = REAP,
	};
	uint64_t now, left;
	int ret;

	if (deadline) {
		now = mb_now();
		left = deadline > now ? deadline - now : 0;
		s.timeout_ns = (int64_t)(left < SLICE_NS ? left : SLICE_NS);
	}
	ret = ioctl(st->fd, MEMBOX_IOC_SUBMIT, &s);
	if (ret < 0)
		ret = -errno;
	dispatch(st, done, s.reaped);
	if (ret == -EINTR || ret == -EAGAIN || ret > 0)
		return (int)s.submitted;
	return ret < 0 && !s.submitted ? ret : (int)s.submitted;
}

/* With st->lock held, which it gives up meanwhile. */
static int reap(struct mb_dev *st, struct membox_packet *packets, unsigned int n,
		uint64_t deadline)
{
	int ret;

	st->reaping = true;
	pthread_mutex_unlock(&st->lock);
	ret = exchange(st, packets, n, deadline);
	if (ret < 0 && !n)
		all_gone(st);
	pthread_mutex_lock(&st->lock);
	st->reaping = false;
	pthread_cond_broadcast(&st->changed);
	return ret;
}

static void sleep_until_changed(struct mb_dev *st, uint64_t deadline)
{
	struct timespec t;

	if (deadline == UINT64_MAX) {
		pthread_cond_wait(&st->changed, &st->lock);
		return;
	}
	t.tv_sec = (time_t)(deadline / 1000000000ULL);
	t.tv_nsec = (long)(deadline % 1000000000ULL);
	pthread_cond_timedwait(&st->changed, &st->lock, &t);
}

static int dev_wait(struct membox *box, const struct mb_wait *wait)
{
	struct mb_dev *st = box->state;
	bool looked = false;
	int ret = 0;

	pthread_mutex_lock(&st->lock);
	while (!wait->ready(wait->arg)) {
		bool late = !wait->deadline || mb_now() >= wait->deadline;

		if (late && (looked || st->reaping)) {
			ret = -ETIMEDOUT;
			break;
		}
		looked = true;
		if (st->reaping)
			sleep_until_changed(st, wait->deadline);
		else
			reap(st, NULL, 0, late ? 0 : wait->deadline);
	}
	pthread_mutex_unlock(&st->lock);
	return ret;
}

/* Up to BATCH packets: returns those taken or -errno. */
static int submit_some(struct mb_dev *st, struct mb_req **reqs, unsigned int n,
		       const struct mb_wait *wait)
{
	struct membox_packet packets[BATCH];
	unsigned int i;
	int taken;

	for (i = 0; i < n; i++) {
		packets[i] = reqs[i]->packet;
		packets[i].user_data = (uintptr_t)reqs[i];
	}
	pthread_mutex_lock(&st->lock);
	for (i = 0; i < n; i++)
		flying_add(st, reqs[i]);
	if (wait && !st->reaping) {
		taken = reap(st, packets, n, wait->deadline);
	} else {
		pthread_mutex_unlock(&st->lock);
		taken = exchange(st, packets, n, 0);
		pthread_mutex_lock(&st->lock);
		pthread_cond_broadcast(&st->changed);
	}
	for (i = taken < 0 ? 0 : (unsigned int)taken; i < n; i++)
		flying_del(reqs[i]);
	pthread_mutex_unlock(&st->lock);
	return taken;
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static int dev_submit(struct membox *box, struct mb_lane *lane, struct mb_req **reqs,
		      unsigned int n, const struct mb_wait *wait)
{
	struct mb_dev *st = box->state;
	struct mb_backoff backoff = { 0 };
	unsigned int sent = 0;

	(void)lane;
	while (sent < n) {
		unsigned int m = n - sent < BATCH ? n - sent : BATCH;
		int ret = submit_some(st, reqs + sent, m, sent + m == n ? wait : NULL);

		if (ret < 0)
			return sent ? (int)sent : ret;
		sent += (unsigned int)ret;
		if (!ret) { /* the driver's queue is full: take completions, try again */
			struct mb_wait look = { never, NULL, 0 };

			dev_wait(box, &look);
			mb_backoff(&backoff, UINT64_MAX);
		}
	}
	return (int)sent;
}

static int dev_lane_open(struct membox *box, struct mb_lane *lane)
{
	(void)box;
	(void)lane;
	return 0;
}

static void dev_lane_close(struct membox *box, struct mb_lane *lane)
{
	(void)box;
	(void)lane;
}

static bool flight_ended(void *arg)
{
	struct mb_flight *f = arg;

	return atomic_load_explicit(&f->done, memory_order_acquire);
}

/* A CANCEL packet, whose own completion is waited for. */
static void dev_cancel(struct membox *box, struct mb_lane *lane, struct mb_req *req)
{
	struct mb_flight f = { .parts = 1, .opcode = MEMBOX_OP_CANCEL };
	struct mb_req *one = &f.one;
	struct mb_wait wait = { flight_ended, &f, UINT64_MAX };

	(void)lane;
	atomic_store(&f.left, 1);
	one->flight = &f;
	one->packet.opcode = MEMBOX_OP_CANCEL;
	one->packet.word.value = (uintptr_t)req;
	if (dev_submit(box, NULL, &one, 1, &wait) > 0)
		dev_wait(box, &wait);
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
	ret = retry_ioctl(st->fd, MEMBOX_IOC_WINDOW_MAP, w);
	if (ret)
		goto free_window;
	*addr = mmap(NULL, w->length, prot, MAP_SHARED, st->fd, (off_t)w->offset);
	if (*addr == MAP_FAILED) {
		ret = -errno;
		retry_ioctl(st->fd, MEMBOX_IOC_WINDOW_UNMAP, w);
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
		retry_ioctl(st->fd, MEMBOX_IOC_WINDOW_UNMAP, w);
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
	.wait = dev_wait,
	.cancel = dev_cancel,
	.event_seen = dev_event_seen,
	.event_wait = dev_event_wait,
	.event_fd = dev_event_fd,
	.poll_add = dev_poll_add,
	.map = dev_map,
	.unmap = dev_unmap,
	.fsck = dev_fsck,
};
