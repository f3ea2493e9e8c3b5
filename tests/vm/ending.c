// SPDX-License-Identifier: MIT
/*
 * ending.c - what a program sees of a device that goes away or is reset under it:
 * it parks commands, in a user queue, too, keeps a window mapped, says "ready", and
 * tells in TAP what becomes of them. Arguments: node, "gone" or "reset".
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "packet.h"
#include "userq.h"

#define BYTES (16 * 4096)
#define WAIT_MS 60000

static sigjmp_buf jump;

static void on_bus(int number)
{
	siglongjmp(jump, number);
}

static int touch(volatile uint8_t *byte)
{
	int number = sigsetjmp(jump, 1);

	if (!number)
		(void)*byte;
	return number;
}

/* All commands waited: once the device is back, the stale file learns that none was begun. */
static void ask_outcomes(void)
{
	struct membox_outcomes o = { .size = sizeof(o) };
	uint64_t seen = 0;
	int ret = -1;

	for (unsigned int i = 0; i < WAIT_MS / 10 && ret; i++) {
		o.count = 0;
		ret = ioctl(fd, MEMBOX_IOC_GET_OUTCOMES, &o);
		if (ret)
			poll(NULL, 0, 10);
	}
	CHECK(ret == 0 && o.count == 3, "GET_OUTCOMES tells of all three after the reset (%d, %u)", ret, o.count);
	for (unsigned int i = 0; i < o.count; i++) {
		seen += o.entry[i].user_data;
		CHECK(o.entry[i].outcome == MEMBOX_OUTCOME_NOT_BEGUN && o.entry[i].status == MEMBOX_ST_RESET,
		      "a command that waited was not begun (%u, %u)", o.entry[i].outcome, o.entry[i].status);
	}
	CHECK(seen == 6, "each is told by its user_data");
}

int main(int argc, char **argv)
{
	need(argc == 3, "usage: ending NODE gone|reset");
	node = argv[1];

	bool gone = !strcmp(argv[2], "gone");
	int ended = gone ? ENODEV : ESTALE;
	uint8_t *map, byte = 0;

	fd = open_node(O_RDWR);

	uint32_t h = param("e.map", MEMBOX_I8, BYTES, MEMBOX_PARAM_MAPPABLE);
	struct membox_window_args w = { .size = sizeof(w), .handle = h, .prot = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE };
	struct membox_packet park = { .opcode = MEMBOX_OP_WAIT,
				      .user_data = 1,
				      .sub = MEMBOX_GT,
				      .timeout_us = 300000000,
				      .handle = { h },
				      .word.value = 1ULL << 60 };
	/* behind a fence, with memory pinned for as long as the fence holds */
	struct membox_packet behind = move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 1, &byte);
	struct membox_completion c;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct membox_info info = { .size = sizeof(info) };
	struct queue q;

	behind.flags = MEMBOX_F_FENCE;
	behind.user_data = 2;
	need(ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &w) == 0, "WINDOW_MAP");
	map = mmap(NULL, w.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)w.offset);
	need(map != MAP_FAILED, "mmap");
	map[0] = 42;
	need(submit(&park, 1, NULL, 0) == 0 && submit(&behind, 1, NULL, 0) == 0, "SUBMIT");
	open_queue(&q);
	park.user_data = 3;
	put(&q, &park, 1);
	publish(&q);
	signal(SIGBUS, on_bus);
	printf("# ready\n");
	fflush(stdout);

	CHECK(poll(&p, 1, WAIT_MS) == 1 && p.revents & POLLIN, "poll() wakes");
	poll(&p, 1, 1000);
	CHECK(p.revents & POLLHUP && !(p.revents & POLLOUT), "... and hangs up");
	for (unsigned int i = 0; i < 2; i++)
		CHECK(read(fd, &c, sizeof(c)) == sizeof(c) &&
		      c.status == (gone ? MEMBOX_ST_GONE : MEMBOX_ST_RESET) && (c.user_data == 1 || c.user_data == 2),
		      "a command in flight ends with %s (%u)", gone ? "GONE" : "RESET", c.status);
	CHECK(read(fd, &c, sizeof(c)) < 0 && errno == ended, "read() has nothing more to give");
	CHECK(ioctl(fd, MEMBOX_IOC_INFO, &info) < 0 && errno == ended, "an ioctl ends so");
	CHECK(submit(&park, 1, NULL, 0) == -ended, "SUBMIT ends so");
	CHECK(write(fd, &c, sizeof(c)) < 0 && errno == ended, "write() ends so");
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)w.offset) == MAP_FAILED && errno == ended,
	      "mmap() ends so");
	CHECK(touch(map) == SIGBUS, "a touch of the window is SIGBUS");
	/* poll() hangs up when the device begins to stop, the queue says so when it has */
	for (int ms = 0; !q.ctl->halted && ms < WAIT_MS; ms++)
		usleep(1000);
	CHECK(q.ctl->halted == (gone ? MEMBOX_ST_GONE : MEMBOX_ST_RESET), "the user queue says why it has stopped (%u)",
	      q.ctl->halted);
	CHECK(!take(&q, &c), "... and completes nothing more");
	*q.doorbell = 1;
	q.sq[1].count = 1;
	CHECK(q.sq[1].count == 1, "... its rings stay, and its doorbell may be rung");
	CHECK(map_part(PAGE, PROT_READ, q.args.ctl_offset) == MAP_FAILED && errno == ended, "... but not be mapped any more");
	unmap_queue(&q);
	munmap(map, w.length);
	if (!gone)
		ask_outcomes();
	close(fd);
	return finish();
}
