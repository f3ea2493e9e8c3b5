/* SPDX-License-Identifier: MIT */
/*
 * backend_dev_io.c - packets through the driver, whose completions come in one
 * stream, and waiting, for these and for those of queues of this process.
 *
 * Without such queues whoever waits and finds nobody else in the SUBMIT ioctl goes
 * there (it "reaps"), hands out what came to all, and wakes the others; so one system
 * call submits and waits when a thread is alone. With them who waits looks at the
 * rings for some time; then one of those who wait sleeps in poll() until an interrupt, and
 * the others until something ends. Who finds completions wakes all.
 *
 * st->lock guards who reaps and the list of what the driver has in flight. It is not
 * held in system calls nor while completions are handed out.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "backend_dev.h"

#define REAP 64			     /* completions taken at once */
#define BATCH 64		     /* packets given at once */
#define SLICE_NS 1000000000ULL	     /* of an endless wait */
#define LAST_WORDS_NS 2000000000ULL  /* for completions after a reset */
#define SPIN_MOST 4096

/* ---- completions ---- */

static void flying_add(struct mb_dev *st, struct mb_req *req)
{
	req->u.dev.next = &st->flying;
	req->u.dev.prev = st->flying.u.dev.prev;
	req->u.dev.prev->u.dev.next = req;
	st->flying.u.dev.prev = req;
}

/* Its lane's fences need not wait for it any more. */
static void left_driver(struct mb_req *req)
{
	if (req->u.dev.uq)
		atomic_fetch_sub(&req->u.dev.uq->elsewhere, 1);
}

static void flying_del(struct mb_req *req)
{
	req->u.dev.prev->u.dev.next = req->u.dev.next;
	req->u.dev.next->u.dev.prev = req->u.dev.prev;
}

/* Something has ended: who sleeps and may wait for it looks again. */
void mb_dev_wake(struct mb_dev *st)
{
	if (st->kick_fd < 0)
		return; /* who reaps does it */
	/* the end is seen before it is read who sleeps; they do it the other way round */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&st->asleep))
		mb_signal_fd(st->kick_fd);
	if (atomic_load(&st->sleepers)) {
		pthread_mutex_lock(&st->lock);
		pthread_cond_broadcast(&st->changed);
		pthread_mutex_unlock(&st->lock);
	}
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
		left_driver(req);
		mb_req_done(req);
	}
	mb_dev_wake(st);
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
		left_driver(req);
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

/* With st->lock. Who finds an end without it looks for sleepers: see mb_dev_wake(). */
static void sleep_until_changed(struct mb_dev *st, const struct mb_wait *wait)
{
	struct timespec t;

	atomic_fetch_add(&st->sleepers, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (wait->ready(wait->arg)) {
		/* it came meanwhile */
	} else if (wait->deadline == UINT64_MAX) {
		pthread_cond_wait(&st->changed, &st->lock);
	} else {
		t.tv_sec = (time_t)(wait->deadline / 1000000000ULL);
		t.tv_nsec = (long)(wait->deadline % 1000000000ULL);
		pthread_cond_timedwait(&st->changed, &st->lock, &t);
	}
	atomic_fetch_sub(&st->sleepers, 1);
}

/* Waiting in the driver, as long as all goes through it. */
static int wait_in_driver(struct mb_dev *st, const struct mb_wait *wait)
{
	bool looked = false;
	int ret = 0;

	pthread_mutex_lock(&st->lock);
	while (!atomic_load(&st->nqueues) && !wait->ready(wait->arg)) {
		bool late = !wait->deadline || mb_now() >= wait->deadline;

		if (late && (looked || st->reaping)) {
			ret = -ETIMEDOUT;
			break;
		}
		looked = true;
		if (st->reaping)
			sleep_until_changed(st, wait);
		else
			reap(st, NULL, 0, late ? 0 : wait->deadline);
	}
	pthread_mutex_unlock(&st->lock);
	return ret;
}

/* Takes what the driver has, if it has something in flight. False: it is gone. */
static bool look_in_driver(struct mb_dev *st)
{
	return !anything_flies(st) || exchange(st, NULL, 0, 0) >= 0;
}

/* Everything that is in flight has ended or never will. */
static void everything_gone(struct mb_dev *st)
{
	mb_userq_drain(st);
	all_gone(st);
	mb_userq_end_all(st, MEMBOX_ST_GONE);
	mb_dev_wake(st);
}

/* The one who sleeps for all, in poll(). Without st->lock. */
static void sleep_in_poll(struct mb_dev *st, const struct mb_wait *wait)
{
	struct pollfd p[2] = { { .fd = st->fd, .events = POLLIN }, { .fd = st->kick_fd, .events = POLLIN } };
	uint64_t now = mb_now(), left = wait->deadline > now ? wait->deadline - now : 0;
	struct timespec t = { .tv_sec = 0 };

	left = left < SLICE_NS ? left : SLICE_NS;
	t.tv_sec = (time_t)(left / 1000000000ULL);
	t.tv_nsec = (long)(left % 1000000000ULL);
	atomic_store(&st->asleep, true);
	atomic_thread_fence(memory_order_seq_cst);
	if (!wait->ready(wait->arg) && !mb_userq_arm(st) && ppoll(p, 2, &t, NULL) > 0) {
		if (p[1].revents)
			mb_clear_fd(st->kick_fd);
		if (p[0].revents & (POLLERR | POLLHUP))
			everything_gone(st);
	}
	atomic_store(&st->asleep, false);
	mb_userq_drain(st);
	if (!look_in_driver(st))
		everything_gone(st);
}

/* A turn of sleeping, with st->lock, which it gives up meanwhile. */
static void sleep_one_turn(struct mb_dev *st, const struct mb_wait *wait)
{
	if (st->reaping) {
		sleep_until_changed(st, wait);
		return;
	}
	st->reaping = true;
	pthread_mutex_unlock(&st->lock);
	sleep_in_poll(st, wait);
	pthread_mutex_lock(&st->lock);
	st->reaping = false;
	pthread_cond_broadcast(&st->changed);
}

/*
 * Looks at the rings as often as it proved to be worth. Where the device needs the
 * processor that this thread has, the thread gives way.
 */
static bool spin(struct mb_dev *st, const struct mb_wait *wait)
{
	uint32_t most = __atomic_load_n(&st->spin, __ATOMIC_RELAXED), i;
	bool found = false;

	for (i = 0; i < most && !found && mb_userq_anything(st); i++) {
		mb_userq_drain(st);
		found = wait->ready(wait->arg);
		if (!found && i % MB_SPIN_LEAST == MB_SPIN_LEAST - 1)
			sched_yield();
		else if (!found)
			__builtin_ia32_pause();
	}
	/* twice as long when the answer came late in it, half when it did not come */
	if (found && i > most / 2 && most < SPIN_MOST)
		__atomic_store_n(&st->spin, most * 2, __ATOMIC_RELAXED);
	else if (!found && most > MB_SPIN_LEAST)
		__atomic_store_n(&st->spin, most / 2, __ATOMIC_RELAXED);
	return found;
}

static int wait_with_queues(struct mb_dev *st, const struct mb_wait *wait)
{
	int ret = 0;

	if (wait->ready(wait->arg))
		return 0;
	mb_userq_drain(st);
	if (wait->ready(wait->arg))
		return 0;
	if (!wait->deadline) {
		if (!look_in_driver(st))
			everything_gone(st);
		return wait->ready(wait->arg) ? 0 : -ETIMEDOUT;
	}
	if (spin(st, wait))
		return 0;
	pthread_mutex_lock(&st->lock);
	while (!wait->ready(wait->arg)) {
		if (mb_now() >= wait->deadline) {
			ret = -ETIMEDOUT;
			break;
		}
		sleep_one_turn(st, wait);
	}
	pthread_mutex_unlock(&st->lock);
	return ret;
}

int mb_dev_wait(struct membox *box, const struct mb_wait *wait)
{
	struct mb_dev *st = box->state;
	int ret;

	if (!atomic_load(&st->nqueues)) {
		ret = wait_in_driver(st, wait);
		if (ret || !atomic_load(&st->nqueues))
			return ret;
	}
	ret = wait_with_queues(st, wait);
	if (atomic_load(&st->polled))
		mb_userq_arm_for_poll(st);
	return ret;
}

/* Up to BATCH packets: returns those taken or -errno. */
static int submit_some(struct membox *box, struct mb_userq *uq, struct mb_req **reqs, unsigned int n,
		       const struct mb_wait *wait)
{
	struct membox_packet packets[BATCH];
	struct mb_dev *st = box->state;
	unsigned int i;
	int taken;

	for (i = 0; i < n; i++) {
		packets[i] = reqs[i]->packet;
		packets[i].user_data = (uintptr_t)reqs[i];
		mb_dev_name(box, &packets[i]);
		reqs[i]->u.dev.uq = uq;
		reqs[i]->u.dev.is_here = false;
		if (uq)
			atomic_fetch_add(&uq->elsewhere, 1);
	}
	pthread_mutex_lock(&st->lock);
	for (i = 0; i < n; i++)
		flying_add(st, reqs[i]);
	if (wait && !st->reaping && !atomic_load(&st->nqueues)) {
		taken = reap(st, packets, n, wait->deadline);
	} else {
		pthread_mutex_unlock(&st->lock);
		taken = exchange(st, packets, n, 0);
		pthread_mutex_lock(&st->lock);
		pthread_cond_broadcast(&st->changed);
	}
	for (i = taken < 0 ? 0 : (unsigned int)taken; i < n; i++) {
		flying_del(reqs[i]);
		left_driver(reqs[i]);
	}
	pthread_mutex_unlock(&st->lock);
	return taken;
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* Through the driver; uq is their lane's queue, if it has one. How many, or -errno. */
int mb_dev_submit_packets(struct membox *box, struct mb_userq *uq, struct mb_req **reqs, unsigned int n,
			  const struct mb_wait *wait)
{
	struct mb_backoff backoff = { 0 };
	unsigned int sent = 0;

	while (sent < n) {
		unsigned int m = n - sent < BATCH ? n - sent : BATCH;
		int ret = submit_some(box, uq, reqs + sent, m, sent + m == n ? wait : NULL);

		if (ret < 0)
			return sent ? (int)sent : ret;
		sent += (unsigned int)ret;
		if (!ret) { /* the driver's queue is full: take completions, try again */
			struct mb_wait look = { never, NULL, 0 };

			mb_dev_wait(box, &look);
			mb_backoff(&backoff, UINT64_MAX);
		}
	}
	return (int)sent;
}
