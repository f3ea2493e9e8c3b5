// SPDX-License-Identifier: MIT
/*
 * region.c - registered memory by raw system calls: packets of the driver's queues
 * that name regions. Runs in a guest (tests/vm/queues.py) and prints TAP.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "packet.h"
#include "region.h"

#define BIG (3 * 1024 * 1024)
#define PAGE 4096
#define CONTEXT_REGIONS 256

static uint8_t *pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED, "mmap");
	return p;
}

static void fill(uint8_t *p, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

static uint16_t run_key(uint8_t opcode, uint32_t handle, uint64_t first, uint64_t count, uint32_t key, uint64_t offset)
{
	struct membox_packet p = move_key(opcode, handle, first, count, key, offset);

	return run(&p).status;
}

static void refusals(void)
{
	uint8_t *mem = pages(2 * PAGE);
	struct membox_region_args good = { .size = sizeof(good), .rights = BOTH, .addr = (uintptr_t)mem, .length = PAGE };
	struct membox_region_args r;

#define REFUSED(change, error, what) \
	do { \
		r = good; \
		change; \
		CHECK(ioctl(fd, MEMBOX_IOC_REGION_ADD, &r) < 0 && errno == (error), "REGION_ADD " what); \
	} while (0)
	REFUSED(r.length = 0, EINVAL, "of nothing is EINVAL");
	REFUSED(r.addr += 4, EINVAL, "at an address that is no multiple of 8 is EINVAL");
	REFUSED(r.rights = 0, EINVAL, "with no right is EINVAL");
	REFUSED(r.rights = 4, EINVAL, "with an unknown right is EINVAL");
	REFUSED(r.rsvd = 1, EINVAL, "with a reserved field is EINVAL");
	REFUSED(r.length = ~0ULL, EINVAL, "of more than the address space is EINVAL");
	REFUSED(r.length = 1ULL << 40, EINVAL, "of a terabyte is EINVAL");
	REFUSED(r.addr = 0xffff800000000000ULL, EFAULT, "of the kernel's memory is EFAULT");
	munmap(mem + PAGE, PAGE);
	REFUSED(r.length = PAGE + 8, EFAULT, "of memory whose end is not there is EFAULT");
	mprotect(mem, PAGE, PROT_READ);
	REFUSED((void)0, EFAULT, "of read-only memory that the device may write is EFAULT");
#undef REFUSED
	good.rights = MEMBOX_WIN_READ;
	CHECK(ioctl(fd, MEMBOX_IOC_REGION_ADD, &good) == 0 && good.key, "... and fine when it may read only");
	CHECK(region_del(good.key) == 0, "REGION_DEL");
	CHECK(region_del(good.key) == MEMBOX_ST_BAD_REGION, "... of what has gone is BAD_REGION");
	munmap(mem, PAGE);
}

static void round_trips(void)
{
	static const struct {
		size_t offset, bytes;
	} part[] = { { 0, 1 }, { PAGE - 1, 2 }, { 63, PAGE }, { 0, BIG }, { 12345, 1000000 }, { BIG - 1, 1 } };
	uint32_t h = param("r.big", MEMBOX_I8, BIG, 0), all = 0;
	uint8_t *mem = pages(BIG), *copy = pages(BIG);
	uint32_t key = region_add(mem, BIG, BOTH), other = region_add(copy + 8, BIG - 8, MEMBOX_WIN_WRITE);

	CHECK(key && other && key != other, "two regions have two keys");
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		size_t n = part[i].bytes < BIG - 8 ? part[i].bytes : BIG - 8;

		fill(mem, BIG, (unsigned int)i);
		memset(copy, 0, BIG);
		if (run_key(MEMBOX_OP_WRITE, h, 0, n, key, part[i].offset) ||
		    run_key(MEMBOX_OP_READ, h, 0, n, other, 0))
			continue;
		all += !memcmp(copy + 8, mem + part[i].offset, n) && (n == BIG - 8 || !copy[8 + n]);
	}
	CHECK(all == sizeof(part) / sizeof(part[0]), "what is written from a region and read into another is equal");
	region_del(key);
	region_del(other);
	munmap(mem, BIG);
	munmap(copy, BIG);
	close_param(h);
}

static void bad_keys(void)
{
	uint8_t *mem = pages(PAGE);
	uint32_t h = param("r.small", MEMBOX_I8, PAGE, 0);
	uint32_t key = region_add(mem, PAGE, MEMBOX_WIN_READ);
	struct membox_packet p = move_key(MEMBOX_OP_READ, h, 0, 64, key, 0);
	struct membox_completion c = run(&p);
	int mine = fd;

	CHECK(c.status == MEMBOX_ST_BAD_REGION && c.detail == MEMBOX_AT(host.key),
	      "READ into a region that the device may only read is BAD_REGION at host.key");
	CHECK(run_key(MEMBOX_OP_WRITE, h, 0, 64, key, 0) == 0, "... and WRITE from it is fine");
	p = move_key(MEMBOX_OP_WRITE, h, 0, 64, key, PAGE - 63);
	c = run(&p);
	CHECK(c.status == MEMBOX_ST_REGION_RANGE && c.detail == MEMBOX_AT(host.addr),
	      "a byte past the end is REGION_RANGE at host.addr");
	CHECK(run_key(MEMBOX_OP_WRITE, h, 0, 64, key, 1ULL << 63) == MEMBOX_ST_REGION_RANGE, "... far past it, too");
	CHECK(run_key(MEMBOX_OP_WRITE, h, 0, 64, key, ~0ULL - 7) == MEMBOX_ST_OFFSET_OVERFLOW, "... not by going round");
	CHECK(run_key(MEMBOX_OP_WRITE, h, 0, 64, 0, 0) == MEMBOX_ST_BAD_REGION, "key 0 is BAD_REGION");
	CHECK(run_key(MEMBOX_OP_WRITE, h, 0, 64, key + 0x10000, 0) == MEMBOX_ST_BAD_REGION,
	      "the next generation is BAD_REGION");
	CHECK(run_key(MEMBOX_OP_WRITE, h, 0, 64, key ^ 0x8000, 0) == MEMBOX_ST_BAD_REGION,
	      "an index that is not there is BAD_REGION");
	fd = open_node(O_RDWR);
	uint32_t theirs = param("r.small", MEMBOX_I8, PAGE, 0);

	CHECK(run_key(MEMBOX_OP_WRITE, theirs, 0, 64, key, 0) == MEMBOX_ST_BAD_REGION,
	      "another context's key is BAD_REGION");
	CHECK(region_del(key) == MEMBOX_ST_BAD_REGION, "... and cannot be taken away");
	close(fd);
	fd = mine;
	CHECK(region_del(key) == 0 && run_key(MEMBOX_OP_WRITE, h, 0, 64, key, 0) == MEMBOX_ST_BAD_REGION,
	      "a key that was taken away is BAD_REGION");
	uint32_t again = region_add(mem, PAGE, BOTH);

	CHECK(again != key && run_key(MEMBOX_OP_WRITE, h, 0, 64, key, 0) == MEMBOX_ST_BAD_REGION,
	      "... also when there is a new region");
	region_del(again);
	munmap(mem, PAGE);
	close_param(h);
}

/* Pages that the process is counted for. */
static long pinned(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPin: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024 / PAGE;
}

static void accounting(void)
{
	uint8_t *mem = pages(64 * PAGE);
	uint32_t h = param("r.small", MEMBOX_I8, PAGE, 0);
	long before = pinned(), all_before = pinned_pages(), while_there, all_while_there;
	uint32_t key = region_add(mem, 64 * PAGE, BOTH);

	while_there = pinned();
	all_while_there = pinned_pages();
	CHECK(while_there == before + 64, "a region counts as locked memory, page by page");
	munmap(mem, 64 * PAGE);
	CHECK(run_key(MEMBOX_OP_WRITE, h, 0, 64, key, 5 * PAGE) == 0, "memory that was unmapped stays the region's");
	CHECK(region_del(key) == 0 && pinned() == before, "... until it is taken away");
	CHECK(all_while_there == all_before + 64 && pinned_pages() == all_before,
	      "its pages are pinned as long, and no longer (%ld, %ld)", all_while_there - all_before,
	      pinned_pages() - all_before);
	close_param(h);
}

/* In a child, who gives up root for good. */
static int small_limit(void)
{
	struct rlimit limit = { 16 * PAGE, 16 * PAGE };
	uint8_t *mem = pages(64 * PAGE);
	struct membox_region_args r = { .size = sizeof(r), .rights = BOTH, .addr = (uintptr_t)mem, .length = 17 * PAGE };
	int i;

	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0 || setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(65534, 65534, 65534))
		return 2;
	if (ioctl(fd, MEMBOX_IOC_REGION_ADD, &r) != -1 || errno != ENOMEM)
		return 3;
	for (i = 0; i < 100; i++) {
		r.length = 16 * PAGE;
		r.key = 0;
		if (ioctl(fd, MEMBOX_IOC_REGION_ADD, &r) || region_del(r.key))
			return 4;
	}
	return 0;
}

static int child(int (*body)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(body());
	need(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int inherits(void)
{
	static uint8_t mem[PAGE] __attribute__((aligned(PAGE)));
	struct membox_region_args r = { .size = sizeof(r), .rights = BOTH, .addr = (uintptr_t)mem, .length = PAGE };

	return ioctl(fd, MEMBOX_IOC_REGION_ADD, &r) == -1 && errno == EOWNERDEAD ? 0 : 1;
}

static void limits(void)
{
	static uint32_t key[CONTEXT_REGIONS];
	uint8_t *mem = pages(CONTEXT_REGIONS * PAGE);
	struct membox_region_args r = { .size = sizeof(r), .rights = BOTH, .addr = (uintptr_t)mem, .length = 8 };
	unsigned int n = 0, same = 0;

	CHECK(child(small_limit) == 0, "over RLIMIT_MEMLOCK is ENOMEM, and what was taken away counts no more");
	CHECK(child(inherits) == 0, "a forked child is told EOWNERDEAD");
	while (n < CONTEXT_REGIONS && (key[n] = region_add(mem + n * PAGE, PAGE, BOTH)))
		n++;
	CHECK(n == CONTEXT_REGIONS, "a context has 256 regions");
	CHECK(ioctl(fd, MEMBOX_IOC_REGION_ADD, &r) < 0 && errno == EMFILE, "... and one more is EMFILE");
	while (n)
		region_del(key[--n]);
	for (n = 0; n < 300; n++) {
		uint32_t k = region_add(mem, PAGE, BOTH);

		same += !k || k == key[0];
		region_del(k);
	}
	CHECK(!same, "a key does not come again soon");
	munmap(mem, CONTEXT_REGIONS * PAGE);
}

/* A READ that stands behind a fence when its region is taken away. */
static void in_flight(void)
{
	uint8_t *mem = pages(PAGE);
	uint32_t h = param("r.word", MEMBOX_I64, 8, 0), small = param("r.small", MEMBOX_I8, PAGE, 0);
	uint32_t key = region_add(mem, PAGE, BOTH);
	struct membox_packet two[2] = {
		{ .opcode = MEMBOX_OP_WAIT, .user_data = 1, .sub = MEMBOX_GT, .timeout_us = 60000000, .handle = { h },
		  .word.value = 1000000 },
		move_key(MEMBOX_OP_READ, small, 0, 64, key, 0),
	};
	struct membox_packet cancel = { .opcode = MEMBOX_OP_CANCEL, .user_data = 3, .word.value = 1 };
	struct membox_completion c[2] = { { .status = 0xffff } };

	two[1].user_data = 2;
	two[1].flags |= MEMBOX_F_FENCE;
	need(submit(two, 2, NULL, 0) == 0, "SUBMIT");
	CHECK(region_del(key) == 0, "a region in use can be taken away");
	CHECK(read(fd, c, sizeof(c[0])) == sizeof(c[0]) && c[0].user_data == 2 && c[0].status == MEMBOX_ST_ABORTED,
	      "... which ends its command with ABORTED, and no other");
	need(submit(&cancel, 1, c, 2) == 0, "CANCEL");
	CHECK(c[0].user_data + c[1].user_data == 4, "... which go on");
	munmap(mem, PAGE);
	close_param(small);
	close_param(h);
}

/* A process that is killed with a command of its region in flight. */
static void killed(void)
{
	int ready[2], status;
	char byte;

	need(pipe(ready) == 0, "pipe");
	pid_t pid = fork();

	if (!pid) {
		fd = open_node(O_RDWR);
		uint32_t h = param("r.word", MEMBOX_I64, 8, 0), small = param("r.small", MEMBOX_I8, PAGE, 0);
		struct membox_packet two[2] = {
			{ .opcode = MEMBOX_OP_WAIT, .sub = MEMBOX_GT, .timeout_us = 60000000, .handle = { h },
			  .word.value = 1000000 },
			move_key(MEMBOX_OP_READ, small, 0, 64, region_add(pages(BIG), BIG, BOTH), 0),
		};

		two[1].flags |= MEMBOX_F_FENCE;
		if (submit(two, 2, NULL, 0) || write(ready[1], "!", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	need(pid > 0 && read(ready[0], &byte, 1) == 1, "child");
	close(ready[0]);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "a process with a region in use can be killed");
	uint32_t h = param("r.small", MEMBOX_I8, PAGE, 0);

	CHECK(run_move(MEMBOX_OP_READ, h, MEMBOX_I8, 0, 8, &h) == 0, "... and the device works on");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		node = argv[1];
	fd = open_node(O_RDWR);
	refusals();
	round_trips();
	bad_keys();
	accounting();
	limits();
	in_flight();
	killed();
	close(fd);
	return finish();
}
