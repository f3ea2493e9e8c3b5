/* SPDX-License-Identifier: MIT */
/*
 * format.c - makes a box of a file: lays out the areas, allocates every byte,
 * writes the backup superblock and then the superblock. All else of a new box
 * is zero. Holds the file's format byte, so that nobody attaches meanwhile, and
 * refuses a box that somebody is attached to.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* fallocate */
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tables.h"

#define DEFAULT_PORTS 16
#define DEFAULT_PARAMS 1024
#define DEFAULT_GROUPS 64
#define HANDLES_PER_PORT 4096
#define MAILS_PER_PORT 64
#define WAITERS_PER_PORT 1024
#define OUTCOMES_PER_PORT 256
#define UNDOS_PER_PORT 4
#define COLL_PER_PORT (640ULL << 10) /* two ranks with whole pieces take 1.1 MiB */
#define MAX_STRIPES 4096
#define MIN_DATA (64 * 1024)

static uint64_t page_up(uint64_t x)
{
	return (x + MEMBOX_FMT_PAGE - 1) / MEMBOX_FMT_PAGE * MEMBOX_FMT_PAGE;
}

static uint32_t power_of_two(uint64_t at_least)
{
	uint32_t n = 1;

	while (n < at_least)
		n <<= 1;
	return n;
}

static void place(struct membox_fmt_super *s, unsigned int id, uint64_t *at, uint32_t entry,
		  uint64_t entries, uint32_t per_port)
{
	struct membox_fmt_area *a = &s->area[id];

	a->offset = *at;
	a->entry = entry;
	a->per_port = per_port;
	a->bytes = page_up(entry * (per_port ? (uint64_t)per_port * s->ports : entries));
	*at += a->bytes;
}

/* Undo stripes a port: four, fewer when they would take more than a quarter of the box. */
static uint32_t undos_of(uint64_t bytes, uint32_t ports)
{
	uint32_t n = UNDOS_PER_PORT;

	while (n > 1 && (uint64_t)n * ports * (sizeof(struct membox_fmt_undo) + MEMBOX_FMT_STRIPE) > bytes / 4)
		n /= 2;
	return n;
}

/* Bytes for collectives: fewer when they would take more than a sixteenth of the box. */
static uint64_t coll_of(uint64_t bytes, uint32_t ports)
{
	uint64_t n = ports * COLL_PER_PORT;

	return n < bytes / 16 ? n : bytes / 16;
}

/* Fills areas for a file of s->bytes; returns the bytes left for data. */
static uint64_t lay_out(struct membox_fmt_super *s)
{
	uint64_t at = MEMBOX_FMT_PAGE, last = s->bytes - MEMBOX_FMT_PAGE;
	uint64_t pages = s->bytes / MEMBOX_FMT_PAGE;

	place(s, MEMBOX_AREA_STATE, &at, sizeof(struct membox_fmt_state), 1, 0);
	place(s, MEMBOX_AREA_PORTS, &at, sizeof(struct membox_fmt_port), 0, 1);
	place(s, MEMBOX_AREA_CONTEXTS, &at, sizeof(struct membox_fmt_context), 0, MEMBOX_MAX_CONTEXTS);
	place(s, MEMBOX_AREA_HANDLES, &at, sizeof(struct membox_fmt_handle), 0, HANDLES_PER_PORT);
	place(s, MEMBOX_AREA_PARAMS, &at, sizeof(struct membox_fmt_param), s->params, 0);
	place(s, MEMBOX_AREA_VERSIONS, &at, sizeof(struct membox_fmt_version), s->params, 0);
	place(s, MEMBOX_AREA_HASH, &at, sizeof(uint32_t), s->hash_slots, 0);
	place(s, MEMBOX_AREA_BITMAP, &at, sizeof(uint64_t), pages, 0);
	place(s, MEMBOX_AREA_STRIPES, &at, sizeof(struct membox_fmt_stripe), s->stripes, 0);
	place(s, MEMBOX_AREA_GROUPS, &at, sizeof(struct membox_fmt_group), s->groups, 0);
	place(s, MEMBOX_AREA_MAIL, &at, sizeof(struct membox_fmt_mail), 0, MAILS_PER_PORT);
	place(s, MEMBOX_AREA_WAITERS, &at, sizeof(uint64_t), 0, WAITERS_PER_PORT);
	place(s, MEMBOX_AREA_OUTCOMES, &at, sizeof(struct membox_fmt_outcome), 0, OUTCOMES_PER_PORT);
	place(s, MEMBOX_AREA_UNDO, &at, sizeof(struct membox_fmt_undo) + MEMBOX_FMT_STRIPE, 0,
	      undos_of(s->bytes, s->ports));
	place(s, MEMBOX_AREA_COLL, &at, MEMBOX_FMT_PAGE, coll_of(s->bytes, s->ports) / MEMBOX_FMT_PAGE, 0);
	place(s, MEMBOX_AREA_JOURNAL, &at, 1, 0, 0);
	if (at + MIN_DATA > last)
		return 0;
	place(s, MEMBOX_AREA_DATA, &at, 1, last - at, 0);
	return s->area[MEMBOX_AREA_DATA].bytes;
}

static int make_super(struct membox_fmt_super *s, const struct mbe_format_opts *o, uint64_t bytes,
		      char text[MBE_ERR_TEXT])
{
	int err;

	memset(s, 0, sizeof(*s));
	s->magic = MEMBOX_FMT_MAGIC;
	s->version = MEMBOX_FMT_VERSION;
	s->compat = MEMBOX_FMT_COMPAT;
	s->ro_compat = MEMBOX_FMT_RO_COMPAT;
	s->incompat = MEMBOX_FMT_INCOMPAT;
	s->bytes = bytes / MEMBOX_FMT_PAGE * MEMBOX_FMT_PAGE;
	s->ports = o->ports ? o->ports : DEFAULT_PORTS;
	s->params = o->params ? o->params : DEFAULT_PARAMS;
	s->groups = o->groups ? o->groups : DEFAULT_GROUPS;
	if (s->ports > MEMBOX_MAX_PORTS || s->params > MBE_MAX_PARAMS || s->groups > MBE_MAX_GROUPS)
		return mbe_fail(text, -EINVAL, "a box has at most %u ports, %u parameters and %u groups",
				MEMBOX_MAX_PORTS, MBE_MAX_PARAMS, MBE_MAX_GROUPS);
	s->stripe_bytes = MEMBOX_FMT_STRIPE;
	s->stripes = s->bytes / MEMBOX_FMT_STRIPE < MAX_STRIPES ?
			     power_of_two(s->bytes / MEMBOX_FMT_STRIPE) : MAX_STRIPES;
	s->hash_slots = power_of_two(2ULL * s->params);
	if (s->bytes < 2 * MEMBOX_FMT_PAGE || !lay_out(s))
		return mbe_fail(text, -EINVAL,
				"%llu bytes are too few for a box of %u ports and %u parameters: "
				"make it larger, or ask for fewer ports or parameters",
				(unsigned long long)bytes, s->ports, s->params);
	err = mbe_random(s->uuid, sizeof(s->uuid));
	if (!err)
		err = mbe_random(s->hash_seed, sizeof(s->hash_seed));
	if (err)
		return mbe_fail(text, err, "no random numbers: %s", strerror(-err));
	s->uuid[6] = (uint8_t)((s->uuid[6] & 0x0f) | 0x40); /* a random UUID: version 4, ... */
	s->uuid[8] = (uint8_t)((s->uuid[8] & 0x3f) | 0x80); /* ... variant of RFC 9562 */
	s->crc = mbe_super_crc(s);
	return 0;
}

/* May what stands in the file be overwritten? */
static int check_old(int fd, uint64_t bytes, const struct mbe_format_opts *o, const char *path,
		     char text[MBE_ERR_TEXT])
{
	static const uint8_t zeroes[MEMBOX_FMT_PAGE];
	struct membox_fmt_super s;
	struct mbe_geometry g;
	const char *why;
	bool backup;
	uint32_t i;

	if (!bytes)
		return 0;
	memset(&s, 0, sizeof(s));
	why = mbe_super_read(fd, bytes, &s, &backup);
	if (why && !backup) {
		if (!o->force && memcmp(&s, zeroes, sizeof(zeroes)))
			return mbe_fail(text, -EEXIST,
					"%s holds something that is no box: remove it, or use force", path);
		return 0;
	}
	mbe_geometry_set(&g, &s);
	for (i = 0; i < g.ports; i++)
		if (mbe_byte_held(fd, mbe_port_byte(&g, i)))
			return mbe_fail(text, -EBUSY,
					"%s is a box in use: port %u is attached; end its owner first", path, i);
	if (!o->force)
		return mbe_fail(text, -EEXIST, "%s is a box already: use force to make a new one of it", path);
	return 0;
}

static int no_space(int fd, const char *path, uint64_t bytes, char text[MBE_ERR_TEXT])
{
	struct statvfs v;
	uint64_t left = fstatvfs(fd, &v) ? 0 : (uint64_t)v.f_bavail * v.f_frsize;

	return mbe_fail(text, -ENOSPC,
			"no space for %s: the box needs %llu MiB, its file system has %llu MiB free. "
			"Make the box smaller or free space (a tmpfs grows with mount -o remount,size=...)",
			path, (unsigned long long)(bytes >> 20), (unsigned long long)(left >> 20));
}

static int write_zeroes(int fd, uint64_t bytes)
{
	static const uint8_t zeroes[64 * 1024];
	uint64_t at = 0;

	while (at < bytes) {
		uint64_t left = bytes - at;
		ssize_t n = pwrite(fd, zeroes, left < sizeof(zeroes) ? left : sizeof(zeroes), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += (uint64_t)n;
	}
	return 0;
}

/* Every byte of the file: allocated, and zero. */
static int clear_file(int fd, uint64_t old, uint64_t bytes)
{
	int err;

	if (old != bytes && ftruncate(fd, (off_t)bytes))
		return -errno;
	if (old && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes)) {
		if (errno != EOPNOTSUPP)
			return -errno;
		err = write_zeroes(fd, bytes);
		if (err)
			return err;
	}
	do
		err = posix_fallocate(fd, 0, (off_t)bytes);
	while (err == EINTR);
	return -err;
}

static int write_super(int fd, const struct membox_fmt_super *s, uint64_t at)
{
	ssize_t n = pwrite(fd, s, sizeof(*s), (off_t)at);

	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(*s) ? 0 : -EIO;
}

static int format_fd(int fd, const char *path, const struct mbe_format_opts *o, char text[MBE_ERR_TEXT])
{
	struct membox_fmt_super s;
	struct stat st;
	uint64_t bytes;
	int err;

	if (fstat(fd, &st))
		return mbe_fail(text, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return mbe_fail(text, -EINVAL, "%s is no regular file", path);
	err = mbe_byte_lock(fd, MBE_BYTE_FORMAT, false);
	if (err)
		return mbe_fail(text, err == -EAGAIN ? -EBUSY : err, "%s is being formatted or attached to", path);
	err = check_old(fd, (uint64_t)st.st_size, o, path, text);
	if (err)
		return err;
	bytes = o->bytes ? o->bytes : (uint64_t)st.st_size;
	if (!bytes || bytes > INT64_MAX)
		return mbe_fail(text, -EINVAL, "%s: say how large the box is to be", path);
	err = make_super(&s, o, bytes, text);
	if (err)
		return err;
	err = clear_file(fd, (uint64_t)st.st_size, bytes);
	if (err == -ENOSPC)
		return no_space(fd, path, bytes, text);
	if (!err)
		err = write_super(fd, &s, s.bytes - MEMBOX_FMT_PAGE);
	if (!err)
		err = write_super(fd, &s, 0);
	if (err)
		return mbe_fail(text, err, "cannot write %s: %s", path, strerror(-err));
	return 0;
}

int mbe_format(const char *path, const struct mbe_format_opts *opts, char text[MBE_ERR_TEXT])
{
	bool fresh = true;
	int fd, err;

	text[0] = '\0';
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) {
		fresh = false;
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		return mbe_fail(text, -errno, "cannot open %s: %s", path, strerror(errno));
	err = format_fd(fd, path, opts, text);
	if (err && fresh)
		unlink(path);
	close(fd);
	return err;
}
