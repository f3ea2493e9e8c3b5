/* SPDX-License-Identifier: MIT */
/*
 * fork.c - a forked child must not use, keep alive or disturb the boxes of its
 * parent. A page that the kernel wipes in the child tells that there was a
 * fork, however it was made; the handler of pthread_atfork tells the back ends,
 * which let go of what would else say that a dead parent lives.
 *
 * Owns the list of this process' boxes and its lock, which is held across fork.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mb_list boxes = { &boxes, &boxes };
static uint32_t last; /* number given to a process of this lineage */
static _Atomic uint32_t *page; /* its number, 0 in a child that has none yet */
static bool registered;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	struct mb_list *l, *next;

	for (l = boxes.next; l != &boxes; l = next) {
		struct membox *box = mb_entry(l, struct membox, all);

		next = l->next;
		box->be->forget(box);
		mb_list_del(l);
	}
	pthread_mutex_unlock(&lock);
}

static int setup(void)
{
	void *p;

	if (!registered && pthread_atfork(before_fork, in_parent, in_child))
		return -ENOMEM;
	registered = true;
	if (!page) {
		p = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return -errno;
		if (madvise(p, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK)) {
			munmap(p, (size_t)sysconf(_SC_PAGESIZE));
			return -errno;
		}
		page = p;
	}
	if (!atomic_load(page))
		atomic_store(page, ++last);
	return 0;
}

int mb_process_enter(struct membox *box)
{
	int ret;

	pthread_mutex_lock(&lock);
	ret = setup();
	if (ret) {
		mb_fail(ret, "cannot watch for fork(): %s", strerror(-ret));
	} else {
		box->process = atomic_load(page);
		mb_list_add(&boxes, &box->all);
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void mb_process_leave(struct membox *box)
{
	pthread_mutex_lock(&lock);
	mb_list_del(&box->all);
	pthread_mutex_unlock(&lock);
}

bool mb_is_foreign(const struct membox *box)
{
	return atomic_load_explicit(page, memory_order_relaxed) != box->process;
}

int mb_check(const struct membox *box)
{
	if (!mb_is_foreign(box))
		return 0;
	return mb_fail(-EOWNERDEAD,
		       "box %s was opened before a fork(): open it again in this process",
		       box->uri);
}
