// SPDX-License-Identifier: MIT
/*
 * badpackets_node.c - what only the driver's node can be asked for: malformed
 * batches by write() and SUBMIT, structures of ioctls that are too long, too short
 * or not there, and mappings of what no window shows. And CANCEL, which the
 * library does not send as a packet.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "badpackets.h"

#define WORDS     8U
#define MAP_BYTES (4 * PAGE)

static void *volatile nowhere = (void *)8; /* never mapped; volatile: a compiler shall not know */
static int fd;
static uint32_t words; /* handle of WORDS i64: element i is probe_value(i) */

/* ---- helpers ---- */

/* Was the call refused with that errno? */
static bool refused(long ret, int error, const char *what)
{
	if (ret == -1 && errno == error)
		return true;
	note("%s: %ld, errno %d; wanted errno %d", what, ret, ret < 0 ? errno : 0, error);
	return false;
}

static bool answered(long ret, long wanted, const char *what)
{
	if (ret == wanted)
		return true;
	note("%s: %ld, errno %d; wanted %ld", what, ret, ret < 0 ? errno : 0, wanted);
	return false;
}

static uint32_t open_param(const char *name, uint32_t type, uint64_t count, uint32_t flags)
{
	struct membox_param_args args = {.size = sizeof(args), .flags = flags, .type = type, .count = count};

	snprintf(args.name, sizeof(args.name), "%s", name);
	if (ioctl(fd, MEMBOX_IOC_PARAM_OPEN, &args))
		bail("PARAM_OPEN");
	return args.handle;
}

static struct membox_packet word_packet(uint8_t opcode, unsigned int i, int64_t *host)
{
	return (struct membox_packet){
		.opcode = opcode,
		.user_data = i,
		.dst_type = MEMBOX_I64,
		.count = 1,
		.handle = {words},
		.offset = {i},
		.host.addr = (uintptr_t)host,
	};
}

static struct membox_submit submit_of(const struct membox_packet *p, unsigned int n,
				      struct membox_completion *c)
{
	return (struct membox_submit){
		.size = sizeof(struct membox_submit),
		.packets = (uintptr_t)p,
		.count = n,
		.wait = n,
		.completions = (uintptr_t)c,
		.reap = n,
		.timeout_ns = -1,
	};
}

/* One packet by SUBMIT. */
static struct membox_completion submit_one(const struct membox_packet *p)
{
	struct membox_completion c = {.status = 0xffff};
	struct membox_submit s = submit_of(p, 1, &c);

	struct timespec begin, end;
	int ret;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	ret = ioctl(fd, MEMBOX_IOC_SUBMIT, &s);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (ret || s.submitted != 1 || s.reaped != 1)
		note("SUBMIT: %d, errno %d, %u taken, %u reaped, after %ld s", ret, errno, s.submitted,
		     s.reaped, (long)(end.tv_sec - begin.tv_sec));
	return c;
}

static bool good_works(const char *after)
{
	int64_t got = 0;
	struct membox_packet p = word_packet(MEMBOX_OP_READ, 3, &got);
	struct membox_completion c = submit_one(&p);

	if (!c.status && c.user_data == 3 && got == probe_value(3))
		return true;
	note("good packet after %s: %s, %lld", after, membox_status_name(c.status), (long long)got);
	return false;
}

static void result(bool passed, const char *what)
{
	passed &= good_works(what);
	tap(passed, "%s", what);
}

/* ---- write() and read() ---- */

struct message {
	struct membox_batch batch;
	struct membox_packet packet[2];
	uint8_t more[64];
};

static struct message make_message(int64_t *to)
{
	struct message m = {.batch = {MEMBOX_BATCH_MAGIC, sizeof(struct membox_packet), 2, 0}};

	m.packet[0] = word_packet(MEMBOX_OP_READ, 0, to);
	m.packet[1] = word_packet(MEMBOX_OP_READ, 1, to + 1);
	return m;
}

static void write_headers(void)
{
	const struct {
		const char *what;
		struct membox_batch batch;
		size_t bytes;
	} rows[] = {
		{"no magic", {0, 128, 2, 0}, 272},
		{"magic's bytes swapped", {0x4d504b31, 128, 2, 0}, 272},
		{"stride 0", {MEMBOX_BATCH_MAGIC, 0, 2, 0}, 272},
		{"stride below a packet", {MEMBOX_BATCH_MAGIC, 120, 2, 0}, 256},
		{"odd stride", {MEMBOX_BATCH_MAGIC, 132, 2, 0}, 280},
		{"huge stride", {MEMBOX_BATCH_MAGIC, 0x80000080, 2, 0}, 272},
		{"stride times count wraps", {MEMBOX_BATCH_MAGIC, 0x80000000, 2, 0}, 16},
		{"no packets", {MEMBOX_BATCH_MAGIC, 128, 0, 0}, 16},
		{"one packet too many", {MEMBOX_BATCH_MAGIC, 128, MEMBOX_MAX_BATCH + 1, 0}, 272},
		{"reserved bits", {MEMBOX_BATCH_MAGIC, 128, 2, 1}, 272},
		{"nothing", {MEMBOX_BATCH_MAGIC, 128, 2, 0}, 0},
		{"half a header", {MEMBOX_BATCH_MAGIC, 128, 2, 0}, 8},
		{"header alone", {MEMBOX_BATCH_MAGIC, 128, 2, 0}, 16},
		{"a byte too few", {MEMBOX_BATCH_MAGIC, 128, 2, 0}, 271},
		{"a byte too many", {MEMBOX_BATCH_MAGIC, 128, 2, 0}, 273},
	};
	bool passed = true;
	int64_t to[2] = {0, 0};
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message m = make_message(to);

		m.batch = rows[i].batch;
		passed &= refused(write(fd, &m, rows[i].bytes), EINVAL, rows[i].what);
	}
	if (to[0] || to[1]) {
		note("a refused batch was executed");
		passed = false;
	}
	result(passed, "write() of a malformed batch is EINVAL, and nothing of it is done");
}

/* Completions of n packets by read(), in any order; true when each has its status. */
static bool read_statuses(const uint16_t *wanted, unsigned int n)
{
	struct membox_completion c;
	unsigned int i, seen = 0;

	for (i = 0; i < n; i++) {
		if (read(fd, &c, sizeof(c)) != (ssize_t)sizeof(c) || c.user_data >= n ||
		    seen & 1U << c.user_data || c.status != wanted[c.user_data]) {
			note("read(): errno %d, packet %llu, %s", errno, (unsigned long long)c.user_data,
			     membox_status_name(c.status));
			return false;
		}
		seen |= 1U << c.user_data;
	}
	return true;
}

static void write_bad_packets(void)
{
	static const uint16_t statuses[] = {MEMBOX_ST_OK,           MEMBOX_ST_BAD_OPCODE,
					    MEMBOX_ST_HOST_FAULT,   MEMBOX_ST_BAD_HANDLE,
					    MEMBOX_ST_OUT_OF_RANGE, MEMBOX_ST_OK};
	uint8_t bytes[sizeof(struct membox_batch) + 6 * 192] = {0};
	struct membox_batch batch = {MEMBOX_BATCH_MAGIC, 192, 6, 0};
	struct membox_packet p[6];
	int64_t to[6] = {0};
	bool passed;
	unsigned int i;

	for (i = 0; i < 6; i++)
		p[i] = word_packet(MEMBOX_OP_READ, i, &to[i]);
	p[1].opcode = 0x3f;
	p[2].host.addr = 0;
	p[3].handle[0] = 0x0001ffff;
	p[4].offset[0] = WORDS;
	memset(bytes, 0xff, sizeof(bytes)); /* what is between the packets is nobody's business */
	memcpy(bytes, &batch, sizeof(batch));
	for (i = 0; i < 6; i++)
		memcpy(bytes + sizeof(batch) + 192 * i, &p[i], sizeof(p[i]));
	passed = answered(write(fd, bytes, sizeof(bytes)), sizeof(bytes), "write()");
	passed = passed && read_statuses(statuses, 6);
	passed &= to[0] == probe_value(0) && to[5] == probe_value(5) && !to[1] && !to[2] && !to[3] && !to[4];
	result(passed, "write() of good and bad packets: each is taken and has its own completion");
}

/* Two pages, the second of which is not there. */
static uint8_t *cut_page(void)
{
	uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p + PAGE, PAGE))
		bail("mmap");
	return p;
}

static void write_bad_pointers(void)
{
	static const uint16_t fine[] = {MEMBOX_ST_OK};
	uint8_t *page = cut_page(), *at;
	int64_t to[2] = {0, 0};
	struct message m = make_message(to);
	const size_t bytes = sizeof(m.batch) + sizeof(m.packet), one = sizeof(m.batch) + sizeof(m.packet[0]);
	bool passed;

	passed = refused(write(fd, nowhere, bytes), EFAULT, "nothing there");
	at = page + PAGE - sizeof(m.batch);
	memcpy(at, &m, sizeof(m.batch));
	passed &= refused(write(fd, at, bytes), EFAULT, "header alone is there");
	at = page + PAGE - one;
	memcpy(at, &m, one);
	passed &= answered(write(fd, at, bytes), (long)one, "the second packet is not there");
	passed &= read_statuses(fine, 1) && to[0] == probe_value(0);
	munmap(page, PAGE);
	result(passed,
	       "write() from memory that is not there is EFAULT, or ends with the last packet that is");
}

static void read_bad_buffers(void)
{
	static const uint16_t fine[] = {MEMBOX_ST_OK, MEMBOX_ST_OK};
	const int flags = fcntl(fd, F_GETFL);
	struct membox_completion c;
	int64_t to[2] = {0, 0};
	struct message m = make_message(to);
	const size_t bytes = sizeof(m.batch) + sizeof(m.packet);
	bool passed;

	passed = answered(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0, "F_SETFL");
	passed &= refused(read(fd, &c, sizeof(c)), EAGAIN, "nothing to read");
	passed &= answered(fcntl(fd, F_SETFL, flags), 0, "F_SETFL");
	passed &= answered(write(fd, &m, bytes), (long)bytes, "write()");
	passed &= refused(read(fd, &c, sizeof(c) - 1), EINVAL, "a byte too few");
	passed &= refused(read(fd, &c, 0), EINVAL, "no room");
	passed &= refused(read(fd, nowhere, sizeof(c)), EFAULT, "nothing there");
	passed &= read_statuses(fine, 2); /* none was lost */
	result(passed, "read() into too little, or into what is not there, is refused and loses nothing");
}

/* ---- SUBMIT ---- */

static void submit_fields(void)
{
	int64_t to = 0;
	struct membox_packet p = word_packet(MEMBOX_OP_READ, 0, &to);
	struct membox_completion c;
	struct membox_submit s = submit_of(&p, 1, &c);
	bool passed = true;

	s.flags = 1;
	passed &= refused(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), EINVAL, "unknown flag");
	s = submit_of(&p, 1, &c);
	s.rsvd = 1;
	passed &= refused(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), EINVAL, "reserved bits");
	s = submit_of(&p, MEMBOX_MAX_BATCH + 1, &c);
	passed &= refused(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), EINVAL, "one packet too many");
	s = submit_of(&p, 1, &c);
	s.timeout_ns = -2;
	passed &= refused(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), EINVAL, "negative time-out");
	s.timeout_ns = MEMBOX_MAX_TIMEOUT_US * 1000LL + 1;
	passed &= refused(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), EINVAL, "time-out over the limit");
	s = submit_of(nowhere, 1, &c);
	passed &= refused(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), EFAULT, "no packets there");
	passed &= !to;
	s = submit_of(&p, 1, nowhere);
	passed &= refused(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), EFAULT, "no room for completions there");
	s = submit_of(NULL, 0, &c);
	s.reap = 1;
	passed &= answered(ioctl(fd, MEMBOX_IOC_SUBMIT, &s), 0, "reap what was not lost");
	passed &= s.reaped == 1 && !c.status && to == probe_value(0);
	result(passed, "SUBMIT with a bad field is refused whole, and no completion is lost");
}

/* CANCEL is a packet to the driver. */
static void cancel_faults(void)
{
	static const struct bad none = {.name = "nothing"};
	static struct bads all;
	const struct good_kind *kind = good_kinds;
	unsigned int i, k, pairs = 0;
	struct membox_packet good;
	bool passed = true;

	while (kind->opcode != MEMBOX_OP_CANCEL)
		kind++;
	scene.max_bytes = MEMBOX_MAX_BYTES;
	good = good_packet(kind, &good_env_shape);
	bads_of(&all, kind, &good, true);
	for (i = 0; i < all.n; i++) {
		for (k = i; k < all.n; k++) {
			const struct bad *a = &all.bad[i], *b = i == k ? &none : &all.bad[k];
			const struct bad *first = i == k ? a : bads_first(a, b);
			struct membox_completion c;
			struct membox_packet p = good;

			if (bads_collide(a, b))
				continue;
			bad_apply(a, &p);
			bad_apply(b, &p);
			c = submit_one(&p);
			pairs += i != k;
			if (c.status == first->status && c.detail == first->detail && !c.bytes && !c.result)
				continue;
			note("%s and %s: %s at %u", a->name, b->name, membox_status_name(c.status), c.detail);
			passed = false;
		}
	}
	passed &= submit_one(&good).status == MEMBOX_ST_OK;
	passed &= good_works("CANCEL");
	tap(passed, "CANCEL: %u faults, alone and in %u pairs", all.n, pairs);
}

/* ---- ioctls ---- */

static const struct {
	const char *name;
	unsigned long command;
	size_t bytes;
} calls[] = {
	{"INFO", MEMBOX_IOC_INFO, sizeof(struct membox_info)},
	{"SUBMIT", MEMBOX_IOC_SUBMIT, sizeof(struct membox_submit)},
	{"EVENTFD", MEMBOX_IOC_EVENTFD, sizeof(struct membox_eventfd_args)},
	{"REGION_ADD", MEMBOX_IOC_REGION_ADD, sizeof(struct membox_region_args)},
	{"REGION_DEL", MEMBOX_IOC_REGION_DEL, sizeof(struct membox_region_args)},
	{"WINDOW_MAP", MEMBOX_IOC_WINDOW_MAP, sizeof(struct membox_window_args)},
	{"WINDOW_UNMAP", MEMBOX_IOC_WINDOW_UNMAP, sizeof(struct membox_window_args)},
	{"QUEUE_CREATE", MEMBOX_IOC_QUEUE_CREATE, sizeof(struct membox_uqueue_args)},
	{"QUEUE_DELETE", MEMBOX_IOC_QUEUE_DELETE, sizeof(struct membox_uqueue_args)},
	{"PARAM_OPEN", MEMBOX_IOC_PARAM_OPEN, sizeof(struct membox_param_args)},
	{"PARAM_CLOSE", MEMBOX_IOC_PARAM_CLOSE, sizeof(struct membox_handle_args)},
	{"PARAM_DESTROY", MEMBOX_IOC_PARAM_DESTROY, sizeof(struct membox_handle_args)},
	{"PARAM_STAT", MEMBOX_IOC_PARAM_STAT, sizeof(struct membox_param_stat)},
	{"PARAM_GRANT", MEMBOX_IOC_PARAM_GRANT, sizeof(struct membox_grant_args)},
	{"PARAM_REVOKE", MEMBOX_IOC_PARAM_REVOKE, sizeof(struct membox_param_args)},
	{"PARAM_LIST", MEMBOX_IOC_PARAM_LIST, sizeof(struct membox_list_args)},
	{"PARAM_LOCK", MEMBOX_IOC_PARAM_LOCK, sizeof(struct membox_handle_args)},
	{"PARAM_UNLOCK", MEMBOX_IOC_PARAM_UNLOCK, sizeof(struct membox_handle_args)},
	{"MAIL_RECV", MEMBOX_IOC_MAIL_RECV, sizeof(struct membox_mail)},
	{"SUBSCRIBE", MEMBOX_IOC_SUBSCRIBE, sizeof(struct membox_handle_args)},
	{"EVENT_READ", MEMBOX_IOC_EVENT_READ, sizeof(struct membox_event)},
	{"GROUP_JOIN", MEMBOX_IOC_GROUP_JOIN, sizeof(struct membox_group_args)},
	{"GROUP_LEAVE", MEMBOX_IOC_GROUP_LEAVE, sizeof(struct membox_group_args)},
	{"GROUP_INFO", MEMBOX_IOC_GROUP_INFO, sizeof(struct membox_group_args)},
	{"PORT_STAT", MEMBOX_IOC_PORT_STAT, sizeof(struct membox_port_stat)},
	{"GET_OUTCOMES", MEMBOX_IOC_GET_OUTCOMES, sizeof(struct membox_outcomes)},
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

static void ioctl_unknown(void)
{
	uint32_t nothing[64] = {sizeof(nothing)};
	bool passed = true;
	unsigned int number, i;

	for (number = 0; number < 256; number++) {
		bool known = false;

		for (i = 0; i < CALLS; i++)
			known |= _IOC_NR(calls[i].command) == number;
		if (!known)
			passed &= refused(ioctl(fd, _IOC(3U, MEMBOX_IOC, number, sizeof(nothing)), nothing),
					  ENOTTY, "unknown number");
	}
	passed &= refused(ioctl(fd, _IOC(3U, 0xB6, 0, sizeof(nothing)), nothing), ENOTTY, "another's letter");
	passed &= refused(ioctl(fd, _IOC(2U, MEMBOX_IOC, 0, sizeof(nothing)), nothing), ENOTTY,
			  "another direction");
	result(passed, "unknown ioctls are ENOTTY");
}

static void ioctl_sizes(void)
{
	static union {
		uint32_t size;
		uint8_t byte[2 * PAGE];
	} buf;
	bool passed = true;
	unsigned int i;

	for (i = 0; i < CALLS; i++) {
		const char *name = calls[i].name;

		memset(&buf, 0, sizeof(buf));
		passed &= refused(ioctl(fd, calls[i].command, &buf), EINVAL, name);
		buf.size = 3;
		passed &= refused(ioctl(fd, calls[i].command, &buf), EINVAL, name);
		buf.size = (uint32_t)calls[i].bytes + 8;
		buf.byte[calls[i].bytes + 7] = 1;
		passed &= refused(ioctl(fd, calls[i].command, &buf), E2BIG, name);
		buf.byte[calls[i].bytes + 7] = 0;
		buf.size = sizeof(buf);
		passed &= refused(ioctl(fd, calls[i].command, &buf), E2BIG, name);
		passed &= refused(ioctl(fd, calls[i].command, nowhere), EFAULT, name);
		passed &= refused(ioctl(fd, calls[i].command, NULL), EFAULT, name);
	}
	result(passed,
	       "structures of ioctls: no size is EINVAL, unknown and not zero E2BIG, not there EFAULT");
}

static void ioctl_other_sizes(void)
{
	struct {
		struct membox_info info;
		uint8_t more[200];
	} longer = {.info.size = sizeof(longer)};
	struct membox_info shorter = {.size = offsetof(struct membox_info, uuid)};
	struct membox_info whole = {.size = sizeof(whole)};
	uint8_t *page = cut_page();
	struct membox_info *tail = (struct membox_info *)(page + PAGE - shorter.size);
	bool passed = true;

	passed &= answered(ioctl(fd, MEMBOX_IOC_INFO, &whole), 0, "whole");
	passed &= answered(ioctl(fd, MEMBOX_IOC_INFO, &longer), 0, "longer");
	passed &= longer.info.caps == whole.caps && longer.info.max_bytes == whole.max_bytes &&
		  longer.info.size == sizeof(longer);
	passed &= answered(ioctl(fd, MEMBOX_IOC_INFO, &shorter), 0, "shorter");
	passed &= shorter.caps == whole.caps && !shorter.ports && !shorter.max_bytes;
	tail->size = shorter.size; /* nothing is touched behind its size */
	passed &= answered(ioctl(fd, MEMBOX_IOC_INFO, tail), 0, "at the end of memory");
	tail->size = sizeof(whole);
	passed &= refused(ioctl(fd, MEMBOX_IOC_INFO, tail), EFAULT, "beyond the end of memory");
	tail->size = shorter.size;
	if (mprotect(page, PAGE, PROT_READ))
		bail("mprotect");
	passed &= refused(ioctl(fd, MEMBOX_IOC_INFO, tail), EFAULT, "read-only");
	munmap(page, PAGE);
	result(passed, "structures of ioctls: longer with zeros and shorter ones are taken");
}

static void eventfd_fields(void)
{
	struct membox_eventfd_args args = {.size = sizeof(args), .fd = 999, .sources = 1};
	bool passed = true;

	passed &= refused(ioctl(fd, MEMBOX_IOC_EVENTFD, &args), EBADF, "no such descriptor");
	args.fd = fd;
	passed &= refused(ioctl(fd, MEMBOX_IOC_EVENTFD, &args), EINVAL, "no eventfd");
	args.sources = 8;
	passed &= refused(ioctl(fd, MEMBOX_IOC_EVENTFD, &args), EINVAL, "unknown source");
	result(passed, "EVENTFD with what is no eventfd, or an unknown source, is refused");
}

/* ---- windows ---- */

static struct membox_window_args window_of(uint32_t handle, uint32_t prot)
{
	return (struct membox_window_args){
		.size = sizeof(struct membox_window_args), .handle = handle, .prot = prot};
}

#define READ_WRITE (MEMBOX_WIN_READ | MEMBOX_WIN_WRITE)

static void window_fields(uint32_t mappable, uint32_t rdonly)
{
	const struct {
		const char *what;
		uint32_t handle, prot;
		int status;
	} rows[] = {
		{"no rights", mappable, 0, MEMBOX_ST_BAD_ARGUMENT},
		{"to write only", mappable, MEMBOX_WIN_WRITE, MEMBOX_ST_BAD_ARGUMENT},
		{"unknown rights", mappable, 4 | READ_WRITE, MEMBOX_ST_BAD_ARGUMENT},
		{"no handle", 0, MEMBOX_WIN_READ, MEMBOX_ST_BAD_HANDLE},
		{"handle never open", 0x0001ffff, MEMBOX_WIN_READ, MEMBOX_ST_BAD_HANDLE},
		{"not mappable", words, MEMBOX_WIN_READ, MEMBOX_ST_NOT_MAPPABLE},
		{"more than the handle may", rdonly, READ_WRITE, MEMBOX_ST_DENIED},
	};
	struct membox_window_args w;
	bool passed = true;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		w = window_of(rows[i].handle, rows[i].prot);
		passed &= answered(ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &w), rows[i].status, rows[i].what);
	}
	w = window_of(0, 0);
	w.window = 12345;
	passed &= answered(ioctl(fd, MEMBOX_IOC_WINDOW_UNMAP, &w), MEMBOX_ST_BAD_HANDLE, "no such window");
	result(passed, "WINDOW_MAP and WINDOW_UNMAP with a bad field have their own status");
}

static bool map_refused(size_t bytes, int prot, int flags, int node, uint64_t offset, int error,
			const char *what)
{
	void *p = mmap(NULL, bytes, prot, flags, node, (off_t)offset);

	if (p != MAP_FAILED)
		munmap(p, bytes);
	return refused(p == MAP_FAILED ? -1 : 0, error, what);
}

static void mappings(int other, uint32_t mappable)
{
	struct membox_window_args ro = window_of(mappable, MEMBOX_WIN_READ),
				  rw = window_of(mappable, READ_WRITE);
	const int rdwr = PROT_READ | PROT_WRITE;
	bool passed = true;
	void *p;

	if (ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &ro) || ioctl(fd, MEMBOX_IOC_WINDOW_MAP, &rw))
		bail("WINDOW_MAP");
	passed &= map_refused(PAGE, PROT_READ, MAP_SHARED, fd, 0, EINVAL, "no token");
	passed &= map_refused(PAGE, PROT_READ, MAP_SHARED, fd, rw.offset + (1ULL << 45), EINVAL,
			      "unknown token");
	passed &=
		map_refused(PAGE, PROT_READ, MAP_SHARED, other, rw.offset, EINVAL, "another context's token");
	passed &= map_refused(PAGE, PROT_READ, MAP_SHARED, fd, rw.offset + 8, EINVAL, "within a page");
	passed &=
		map_refused(PAGE, PROT_READ, MAP_SHARED, fd, rw.offset + rw.length, EINVAL, "behind its end");
	passed &= map_refused(MAP_BYTES + PAGE, PROT_READ, MAP_SHARED, fd, rw.offset, EINVAL, "over its end");
	passed &= map_refused(MAP_BYTES, PROT_READ, MAP_SHARED, fd, rw.offset + PAGE, EINVAL,
			      "from page 1 over it");
	passed &= map_refused(PAGE, PROT_READ, MAP_PRIVATE, fd, rw.offset, EINVAL, "private");
	passed &= map_refused(PAGE, rdwr, MAP_PRIVATE, fd, rw.offset, EINVAL, "private to write");
	passed &= map_refused(PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, rw.offset, EPERM, "to execute");
	passed &= map_refused(PAGE, rdwr, MAP_SHARED, fd, ro.offset, EACCES,
			      "to write what is shown for reading");
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)ro.offset);
	passed &= p != MAP_FAILED;
	passed &= refused(mprotect(p, PAGE, rdwr), EACCES, "mprotect to write");
	passed &= refused(mprotect(p, PAGE, PROT_READ | PROT_EXEC), EACCES, "mprotect to execute");
	passed &= refused(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0, EFAULT, "mremap");
	munmap(p, PAGE);
	ro.handle = rw.handle = 0;
	passed &= answered(ioctl(fd, MEMBOX_IOC_WINDOW_UNMAP, &ro), 0, "WINDOW_UNMAP");
	passed &= answered(ioctl(fd, MEMBOX_IOC_WINDOW_UNMAP, &rw), 0, "WINDOW_UNMAP");
	passed &= map_refused(PAGE, PROT_READ, MAP_SHARED, fd, rw.offset, EINVAL, "window that was closed");
	passed &= answered(ioctl(fd, MEMBOX_IOC_WINDOW_UNMAP, &rw), MEMBOX_ST_BAD_HANDLE,
			   "WINDOW_UNMAP twice");
	result(passed, "mmap() of anything but a window's own pages, shared, with its rights, is refused");
}

/* ---- all ---- */

static void by_uring(void)
{
	int64_t got = 0;
	struct membox_packet good = word_packet(MEMBOX_OP_READ, 3, &got);

	uring_tests(fd, &good);
	result(got == probe_value(3), "good packets by io_uring were executed between the bad ones");
}

static void write_words(void)
{
	int64_t value;
	unsigned int i;

	for (i = 0; i < WORDS; i++) {
		struct membox_packet p = word_packet(MEMBOX_OP_WRITE, i, &value);

		value = probe_value(i);
		if (submit_one(&p).status)
			bail("WRITE");
	}
}

void node_tests(const char *node)
{
	const uint32_t create = MEMBOX_PARAM_CREATE, map = create | MEMBOX_PARAM_MAPPABLE;
	const int other = open(node, O_RDWR | O_CLOEXEC);
	uint32_t mappable, rdonly;

	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0 || other < 0)
		bail(node);
	words = open_param("bad.words", MEMBOX_I64, WORDS, create);
	mappable = open_param("bad.map", MEMBOX_I8, MAP_BYTES, map);
	rdonly = open_param("bad.map", 0, 0, MEMBOX_PARAM_RDONLY);
	write_words();
	checkpoint("before");
	write_headers();
	write_bad_packets();
	write_bad_pointers();
	read_bad_buffers();
	submit_fields();
	cancel_faults();
	ioctl_unknown();
	ioctl_sizes();
	ioctl_other_sizes();
	eventfd_fields();
	window_fields(mappable, rdonly);
	mappings(other, mappable);
	by_uring();
	checkpoint("after");
	close(other);
	close(fd);
}
