/* SPDX-License-Identifier: MIT */
/*
 * raw.c - talks to /dev/membox0 with ioctl(), write(), read() and mmap() alone,
 * as somebody would who writes a library of his own. Needs the contract's header
 * and no library. Prints what it saw as TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <membox/uapi/membox.h>

#define COUNT 5000 /* elements: more than a few pages, and not whole ones */
#define POLL_MS 10000
#define TAG 0x1234

static int number, failures;

static bool ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++number, what);
	failures += !good;
	return good;
}

/* An ioctl of the box: 0, a status above 0, or -errno. */
static int box_ioctl(int fd, unsigned long request, void *args)
{
	int rc = ioctl(fd, request, args);

	return rc < 0 ? -errno : rc;
}

/* One packet by SUBMIT, waiting for it. Its status, or -errno. */
static int submit(int fd, const struct membox_packet *p, struct membox_completion *c)
{
	struct membox_submit s = {
		.size = sizeof(s), .packets = (uintptr_t)p, .count = 1, .wait = 1,
		.completions = (uintptr_t)c, .reap = 1, .timeout_ns = -1,
	};
	int rc = box_ioctl(fd, MEMBOX_IOC_SUBMIT, &s);

	if (rc)
		return rc;
	return s.reaped == 1 ? c->status : -ETIMEDOUT;
}

static struct membox_packet transfer(uint8_t opcode, uint32_t handle, const void *memory)
{
	return (struct membox_packet){
		.opcode = opcode, .user_data = TAG, .dst_type = MEMBOX_I32, .count = COUNT,
		.handle = { handle }, .host = { .addr = (uintptr_t)memory },
	};
}

/* The other way in: a batch of packets by write(), their completions by read(). */
static void by_write(int fd, uint32_t handle)
{
	struct {
		struct membox_batch head;
		struct membox_packet packet[2];
	} batch = {
		.head = { .magic = MEMBOX_BATCH_MAGIC,
			  .stride = sizeof(struct membox_packet), .count = 2 },
	};
	struct membox_completion c[2];
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t got = 0;
	ssize_t n;

	batch.packet[0] = (struct membox_packet){
		.opcode = MEMBOX_OP_ATOMIC, .user_data = 1, .dst_type = MEMBOX_I32,
		.sub = MEMBOX_FETCH_ADD, .handle = { handle }, .word = { .value = 5 },
	};
	batch.packet[1] = (struct membox_packet){ .opcode = 0x3f, .user_data = 2 };
	if (!ok(write(fd, &batch, sizeof(batch)) == sizeof(batch), "write() takes a batch"))
		return;
	while (got < sizeof(c) && poll(&pfd, 1, POLL_MS) == 1) {
		n = read(fd, (char *)c + got, sizeof(c) - got);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	if (!ok(got == sizeof(c), "poll() and read() bring both completions"))
		return;
	if (c[0].user_data == 2) {
		struct membox_completion first = c[0];

		c[0] = c[1];
		c[1] = first;
	}
	ok(c[0].status == MEMBOX_ST_OK && c[0].result == 7, "an atomic answers the old value");
	ok(c[1].user_data == 2 && c[1].status == MEMBOX_ST_BAD_OPCODE,
	   "an unknown operation is refused in its completion");
}

static void by_mapping(int fd, uint32_t handle)
{
	struct membox_window_args window = { .size = sizeof(window), .handle = handle,
					     .prot = MEMBOX_WIN_READ | MEMBOX_WIN_WRITE };
	struct membox_packet p = transfer(MEMBOX_OP_COMMIT, handle, NULL);
	struct membox_completion c;
	static int32_t memory[COUNT];
	volatile int32_t *map;

	if (!ok(!box_ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &window), "the parameter becomes a window"))
		return;
	map = mmap(NULL, window.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   (off_t)window.offset);
	if (!ok(map != MAP_FAILED, "mmap() maps it"))
		return;
	ok(map[0] == 7 + 5 && map[COUNT - 1] == COUNT + 6, "loads see what packets wrote");
	map[COUNT / 2] = -1;
	__sync_synchronize();
	ok(!submit(fd, &p, &c), "COMMIT after a store");
	p = transfer(MEMBOX_OP_READ, handle, memory);
	ok(!submit(fd, &p, &c) && memory[COUNT / 2] == -1, "a packet reads what the store wrote");
	munmap((void *)map, window.length);
	ok(!box_ioctl(fd, MEMBOX_IOC_WINDOW_UNMAP, &window), "the window goes");
}

static void one_box(int fd)
{
	struct membox_info info = { .size = sizeof(info) };
	struct membox_param_args param = {
		.size = sizeof(param), .type = MEMBOX_I32, .count = COUNT, .name = "raw.example",
		.flags = MEMBOX_PARAM_CREATE | MEMBOX_PARAM_EXCL | MEMBOX_PARAM_MAPPABLE |
			 MEMBOX_PARAM_EPHEMERAL,
	};
	struct membox_handle_args handle = { .size = sizeof(handle) };
	static int32_t out[COUNT], in[COUNT];
	struct membox_completion c;
	struct membox_packet p;
	int i;

	if (!ok(!box_ioctl(fd, MEMBOX_IOC_INFO, &info) && info.abi == MEMBOX_ABI, "INFO"))
		return;
	printf("# port %u of %u, %llu bytes free\n", info.port, info.ports,
	       (unsigned long long)info.free_bytes);
	if (!ok(!box_ioctl(fd, MEMBOX_IOC_PARAM_OPEN, &param) && param.created,
		"a parameter is made"))
		return;
	for (i = 0; i < COUNT; i++)
		out[i] = i + 7;
	p = transfer(MEMBOX_OP_WRITE, param.handle, out);
	ok(!submit(fd, &p, &c) && c.user_data == TAG && c.bytes == sizeof(out), "WRITE");
	p = transfer(MEMBOX_OP_READ, param.handle, in);
	ok(!submit(fd, &p, &c) && !memcmp(in, out, sizeof(in)), "READ brings the same bytes");
	p.offset[0] = 1;
	ok(submit(fd, &p, &c) == MEMBOX_ST_OUT_OF_RANGE && c.bytes == 0,
	   "READ past the end is refused");
	by_write(fd, param.handle);
	if (info.caps & MEMBOX_CAP_WINDOWS)
		by_mapping(fd, param.handle);
	else
		printf("# this device has no windows\n");
	handle.handle = param.handle;
	ok(!box_ioctl(fd, MEMBOX_IOC_PARAM_DESTROY, &handle), "the parameter is destroyed");
	p = transfer(MEMBOX_OP_READ, param.handle, in);
	ok(submit(fd, &p, &c) == MEMBOX_ST_DESTROYED, "and cannot be read any more");
	ok(!box_ioctl(fd, MEMBOX_IOC_PARAM_CLOSE, &handle), "its handle is closed");
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/dev/membox0";
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (ok(fd >= 0, path))
		one_box(fd);
	else
		printf("# %s: %s\n", path, strerror(errno));
	printf("1..%d\n", number);
	return failures ? 1 : 0;
}
