/* SPDX-License-Identifier: MIT */
/*
 * backend_file_poll.c - events and mail of a box that is a file, and what
 * poll() needs: other processes wake this one by a futex in the box, which no
 * descriptor shows, so that a thread watches it once somebody asks for one.
 */
#include "backend_file.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int polled_fd(struct mb_file *st)
{
	return __atomic_load_n(&st->event_fd, __ATOMIC_ACQUIRE);
}

/* The engine calls this from whichever thread found out. */
void mb_file_event(void *arg, unsigned int context)
{
	struct mb_file *st = arg;
	int fd = polled_fd(st);

	(void)context;
	atomic_fetch_or(&st->maybe, MB_FILE_EVENT | MB_FILE_MAIL);
	atomic_fetch_add(&st->events, 1);
	if (fd >= 0)
		mb_signal_fd(fd);
	if (atomic_load(&st->sleepers))
		mbe_wake(st->engine);
}

/*
 * EVENT_READ and MAIL_RECV. The descriptor stays readable until both have
 * answered AGAIN since the last call of event().
 */
int mb_file_take(struct mb_file *st, unsigned int what, unsigned int context, uint8_t opcode,
		 void *buf, size_t bytes)
{
	int answer, fd = polled_fd(st);

	atomic_fetch_and(&st->maybe, ~what);
	answer = mbe_admin(st->engine, context, opcode, buf, bytes);
	if (answer != MEMBOX_ST_AGAIN) {
		atomic_fetch_or(&st->maybe, what);
	} else if (fd >= 0 && !atomic_load(&st->maybe)) {
		mb_clear_fd(fd);
		if (atomic_load(&st->maybe))
			mb_signal_fd(fd);
	}
	return answer;
}

uint32_t mb_file_event_seen(struct membox *box)
{
	struct mb_file *st = box->state;

	return atomic_load(&st->events);
}

struct events_wait {
	struct mb_file *st;
	uint32_t seen;
};

static bool events_came(void *arg)
{
	struct events_wait *w = arg;

	return atomic_load(&w->st->events) != w->seen;
}

int mb_file_event_wait(struct membox *box, uint32_t seen, uint64_t deadline)
{
	struct events_wait w = { box->state, seen };
	struct mb_wait wait = { events_came, &w, deadline };

	return box->be->wait(box, &wait);
}

/* ---- the thread ---- */

static void *watch(void *arg)
{
	struct mb_file *st = arg;

	while (!atomic_load(&st->stop)) {
		uint32_t seen = mbe_wake_seen(st->engine);
		uint64_t next = mb_file_progress(st);

		if (!atomic_load(&st->stop))
			mbe_sleep(st->engine, seen, next);
	}
	return NULL;
}

/* With thread_lock held. */
static int start(struct mb_file *st)
{
	sigset_t all, old;
	int ret;

	if (atomic_load(&st->running))
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = -pthread_create(&st->thread, NULL, watch, st);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	atomic_store(&st->running, !ret);
	return ret;
}

void mb_file_stop(struct mb_file *st)
{
	if (!atomic_load(&st->running))
		return;
	atomic_store(&st->stop, true);
	mbe_wake(st->engine);
	pthread_join(st->thread, NULL);
	atomic_store(&st->running, false);
}

int mb_file_poll_add(struct membox *box, int epoll)
{
	struct mb_file *st = box->state;
	int ret;

	(void)epoll; /* the channel's own descriptor tells all */
	pthread_mutex_lock(&st->thread_lock);
	ret = start(st);
	pthread_mutex_unlock(&st->thread_lock);
	return ret;
}

int mb_file_event_fd(struct membox *box)
{
	struct mb_file *st = box->state;
	int fd, ret;

	pthread_mutex_lock(&st->thread_lock);
	ret = start(st);
	if (!ret && st->event_fd < 0) {
		fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* look once at what is there */
		if (fd < 0) {
			ret = -errno;
		} else {
			atomic_fetch_or(&st->maybe, MB_FILE_EVENT | MB_FILE_MAIL);
			__atomic_store_n(&st->event_fd, fd, __ATOMIC_RELEASE);
		}
	}
	fd = st->event_fd;
	pthread_mutex_unlock(&st->thread_lock);
	return ret ? ret : fd;
}
