/* SPDX-License-Identifier: MIT */
/*
 * backend_file.h - what the two files of the file back end share.
 */
#ifndef MB_BACKEND_FILE_H
#define MB_BACKEND_FILE_H

#include "internal.h"

struct mb_file {
	struct mbe *engine;
	char *path;
	bool forgotten; /* in a forked child */

	/* requests that a fence let go */
	pthread_mutex_t run_lock;
	struct mb_req *run, *run_last;
	atomic_bool has_run;
	atomic_uint sleepers; /* threads in wait() */

	/* events and mail: backend_file_poll.c */
	atomic_uint events; /* counts calls of event() */
	atomic_uint maybe;  /* MB_FILE_*: may be there */
	int event_fd;	    /* -1: nobody polls */

	pthread_mutex_t thread_lock; /* event_fd is made, thread is started */
	atomic_bool running;
	pthread_t thread;
	atomic_bool stop;
};

#define MB_FILE_EVENT 1U
#define MB_FILE_MAIL 2U

uint64_t mb_file_progress(struct mb_file *st);

void mb_file_event(void *arg, unsigned int context);
int mb_file_take(struct mb_file *st, unsigned int what, unsigned int context, uint8_t opcode,
		 void *buf, size_t bytes);
uint32_t mb_file_event_seen(struct membox *box);
int mb_file_event_wait(struct membox *box, uint32_t seen, uint64_t deadline);
int mb_file_event_fd(struct membox *box);
int mb_file_poll_add(struct membox *box, int epoll);
void mb_file_stop(struct mb_file *st);

#endif /* MB_BACKEND_FILE_H */
