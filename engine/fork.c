/* SPDX-License-Identifier: MIT */
/*
 * fork.c - what a forked child has to do with the engines of its parent: close
 * the descriptors that keep ports alive, and remember that the boxes are not its
 * own (their mappings were not inherited). The handlers of pthread_atfork take
 * no argument, hence the one list of this library, under its own mutex, which is
 * taken with no other held.
 */
#include <unistd.h>

#include "tables.h"

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t list_once = PTHREAD_ONCE_INIT;
static struct mbe *list;
static int list_error;

static void before(void)
{
	pthread_mutex_lock(&list_mutex);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&list_mutex);
}

static void in_child(void)
{
	struct mbe *e;

	for (e = list; e; e = e->next) {
		if (e->lock_fd >= 0)
			close(e->lock_fd);
		e->lock_fd = -1;
		e->forgotten = true;
		e->looking = true; /* mbe_stopped() then looks no further */
	}
	pthread_mutex_unlock(&list_mutex);
}

static void install(void)
{
	list_error = pthread_atfork(before, in_parent, in_child);
}

int mbe_fork_register(struct mbe *e)
{
	pthread_once(&list_once, install);
	if (list_error)
		return -list_error;
	pthread_mutex_lock(&list_mutex);
	e->next = list;
	list = e;
	pthread_mutex_unlock(&list_mutex);
	return 0;
}

void mbe_fork_unregister(struct mbe *e)
{
	struct mbe **link;

	pthread_mutex_lock(&list_mutex);
	for (link = &list; *link; link = &(*link)->next) {
		if (*link == e) {
			*link = e->next;
			break;
		}
	}
	pthread_mutex_unlock(&list_mutex);
}
