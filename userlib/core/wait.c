/* SPDX-License-Identifier: MIT */
/*
 * wait.c - deadlines, waiting a little longer each time, descriptors that tell
 * poll() of something. No state.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define NS 1000000000ULL
#define BACKOFF_FIRST_NS 20000ULL
#define BACKOFF_LAST_NS 5000000ULL

uint64_t mb_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

uint64_t mb_deadline(int64_t timeout_ns)
{
	uint64_t ns = timeout_ns < 0 ? MEMBOX_DEFAULT_TIMEOUT_US * 1000ULL : (uint64_t)timeout_ns;

	return mb_now() + ns;
}

/* What is over the limit stays over it: the box then answers BAD_TIMEOUT. */
uint32_t mb_timeout_us(int64_t timeout_ns)
{
	uint64_t us = ((uint64_t)timeout_ns + 999) / 1000;

	if (timeout_ns < 0)
		return MEMBOX_DEFAULT_TIMEOUT_US;
	if (!us)
		return 1;
	return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

bool mb_backoff(struct mb_backoff *b, uint64_t deadline)
{
	uint64_t now = mb_now(), ns = b->ns ? b->ns : BACKOFF_FIRST_NS;
	struct timespec t;

	if (now >= deadline)
		return false;
	b->ns = ns * 2 > BACKOFF_LAST_NS ? BACKOFF_LAST_NS : ns * 2;
	if (ns > deadline - now)
		ns = deadline - now;
	t.tv_sec = (time_t)(ns / NS);
	t.tv_nsec = (long)(ns % NS);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
	return true;
}

void mb_signal_fd(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void mb_clear_fd(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}
