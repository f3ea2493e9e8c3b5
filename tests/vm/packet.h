/* SPDX-License-Identifier: MIT */
/*
 * packet.h - what packet.c needs to speak to the node without the library: TAP
 * output, packets, parameters. One program, one file open at a time.
 */
#ifndef PACKET_H
#define PACKET_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "membox_check.h"

static const char *node = "/dev/membox0";
static int fd = -1;
static unsigned int tap_count, tap_failed;

/* One result; the format says what was expected. */
#define CHECK(condition, ...) \
	do { \
		bool ok_ = (condition); \
		tap_count++; \
		tap_failed += !ok_; \
		printf("%s %u - ", ok_ ? "ok" : "not ok", tap_count); \
		printf(__VA_ARGS__); \
		printf("\n"); \
		if (!ok_) \
			printf("# %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
		fflush(stdout); \
	} while (0)

/* What the rest cannot do without. */
static inline void need(bool condition, const char *what)
{
	if (condition)
		return;
	printf("Bail out! %s: errno %d (%s)\n", what, errno, strerror(errno));
	exit(1);
}

static inline int open_node(int flags)
{
	int got = open(node, flags | O_CLOEXEC);

	need(got >= 0, node);
	return got;
}

/* Finds or creates a parameter; the handle. */
static inline uint32_t param(const char *name, uint32_t type, uint64_t count, uint32_t flags)
{
	struct membox_param_args args = {
		.size = sizeof(args),
		.flags = MEMBOX_PARAM_CREATE | flags,
		.type = type,
		.count = count,
	};

	snprintf(args.name, sizeof(args.name), "%s", name);
	int ret = ioctl(fd, MEMBOX_IOC_PARAM_OPEN, &args);

	if (ret)
		printf("# PARAM_OPEN %s: %d\n", name, ret);
	need(ret == 0, "PARAM_OPEN");
	return args.handle;
}

static inline int close_param(uint32_t handle)
{
	struct membox_handle_args args = { .size = sizeof(args), .handle = handle };

	return ioctl(fd, MEMBOX_IOC_PARAM_CLOSE, &args);
}

static inline struct membox_packet move(uint8_t opcode, uint32_t handle, uint8_t type, uint64_t first, uint64_t count,
					const void *host)
{
	return (struct membox_packet){
		.opcode = opcode,
		.user_data = 0x1000 + opcode,
		.dst_type = type,
		.count = count,
		.handle = { handle },
		.offset = { first },
		.host.addr = (uintptr_t)host,
	};
}

/* SUBMIT of n packets, waiting for n completions. 0 or -errno. */
static inline int submit(const struct membox_packet *p, unsigned int n, struct membox_completion *c, unsigned int wait)
{
	struct membox_submit s = {
		.size = sizeof(s),
		.packets = (uintptr_t)p,
		.count = n,
		.wait = wait,
		.completions = (uintptr_t)c,
		.reap = wait,
		.timeout_ns = -1,
	};
	int ret = ioctl(fd, MEMBOX_IOC_SUBMIT, &s);

	if (ret < 0)
		return -errno;
	if (ret || s.submitted != n || s.reaped != wait)
		return -ENOMSG;
	return 0;
}

/* One packet and its completion; a failure of the call itself is status 0xffff. */
static inline struct membox_completion run(const struct membox_packet *p)
{
	struct membox_completion c = { .status = 0xffff };
	int ret = submit(p, 1, &c, 1);

	if (ret) {
		printf("# SUBMIT: %d\n", ret);
		c.status = 0xffff;
	}
	return c;
}

static inline uint16_t run_move(uint8_t opcode, uint32_t handle, uint8_t type, uint64_t first, uint64_t count,
				const void *host)
{
	struct membox_packet p = move(opcode, handle, type, first, count, host);

	return run(&p).status;
}

static inline int finish(void)
{
	printf("1..%u\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
