/* SPDX-License-Identifier: MIT */
/*
 * super.c - the superblock: reading, checking, and the geometry in it. All that
 * the rest of the engine relies on about where areas lie is checked here, once,
 * on a private copy. Takes no lock.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "tables.h"

static const struct {
	uint32_t entry;
	bool per_port;
} layout[] = {
	[MEMBOX_AREA_STATE] = {sizeof(struct membox_fmt_state), false},
	[MEMBOX_AREA_PORTS] = {sizeof(struct membox_fmt_port), true},
	[MEMBOX_AREA_CONTEXTS] = {sizeof(struct membox_fmt_context), true},
	[MEMBOX_AREA_HANDLES] = {sizeof(struct membox_fmt_handle), true},
	[MEMBOX_AREA_PARAMS] = {sizeof(struct membox_fmt_param), false},
	[MEMBOX_AREA_VERSIONS] = {sizeof(struct membox_fmt_version), false},
	[MEMBOX_AREA_HASH] = {sizeof(uint32_t), false},
	[MEMBOX_AREA_BITMAP] = {sizeof(uint64_t), false},
	[MEMBOX_AREA_STRIPES] = {sizeof(struct membox_fmt_stripe), false},
	[MEMBOX_AREA_GROUPS] = {sizeof(struct membox_fmt_group), false},
	[MEMBOX_AREA_MAIL] = {sizeof(struct membox_fmt_mail), true},
	[MEMBOX_AREA_WAITERS] = {sizeof(uint64_t), true},
	[MEMBOX_AREA_OUTCOMES] = {sizeof(struct membox_fmt_outcome), true},
	[MEMBOX_AREA_UNDO] = {sizeof(struct membox_fmt_undo) + MEMBOX_FMT_STRIPE, true},
	[MEMBOX_AREA_COLL] = {MEMBOX_FMT_PAGE, false},
	[MEMBOX_AREA_JOURNAL] = {1, false},
	[MEMBOX_AREA_DATA] = {1, false},
};
#define NR_KNOWN (sizeof(layout) / sizeof(layout[0]))

int mbe_fail(char text[MBE_ERR_TEXT], int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, MBE_ERR_TEXT, format, ap);
	va_end(ap);
	return err;
}

uint32_t mbe_super_crc(const struct membox_fmt_super *s)
{
	struct membox_fmt_super copy = *s;

	copy.crc = 0;
	return mbe_crc32c(0, &copy, sizeof(copy));
}

/* Entries that an area must have room for. */
static uint64_t area_entries(const struct membox_fmt_super *s, unsigned int id)
{
	switch (id) {
	case MEMBOX_AREA_STATE:
		return 1;
	case MEMBOX_AREA_PARAMS:
	case MEMBOX_AREA_VERSIONS:
		return s->params;
	case MEMBOX_AREA_HASH:
		return s->hash_slots;
	case MEMBOX_AREA_BITMAP:
		return s->area[MEMBOX_AREA_DATA].bytes / MEMBOX_FMT_PAGE;
	case MEMBOX_AREA_STRIPES:
		return s->stripes;
	case MEMBOX_AREA_GROUPS:
		return s->groups;
	case MEMBOX_AREA_DATA:
		return 1;
	case MEMBOX_AREA_COLL:
	case MEMBOX_AREA_JOURNAL:
		return 0;
	default:
		return (uint64_t)s->ports * s->area[id].per_port;
	}
}

static const char *check_areas(const struct membox_fmt_super *s)
{
	uint64_t end = MEMBOX_FMT_PAGE; /* behind the superblock */
	unsigned int i;

	for (i = 0; i < NR_KNOWN; i++) {
		const struct membox_fmt_area *a = &s->area[i];

		if (!a->bytes && !area_entries(s, i))
			continue;
		if (a->offset < end || a->offset % MEMBOX_FMT_PAGE || a->bytes % MEMBOX_FMT_PAGE ||
		    a->offset > s->bytes || a->bytes > s->bytes - MEMBOX_FMT_PAGE - a->offset)
			return "an area lies outside the file or over another";
		end = a->offset + a->bytes;
		if (a->entry != layout[i].entry || (a->per_port != 0) != layout[i].per_port ||
		    area_entries(s, i) > a->bytes / a->entry)
			return "an area has entries of the wrong size or number";
	}
	if (s->area[MEMBOX_AREA_PORTS].per_port != 1 ||
	    s->area[MEMBOX_AREA_CONTEXTS].per_port != MEMBOX_MAX_CONTEXTS ||
	    s->area[MEMBOX_AREA_HANDLES].per_port > MBE_MAX_HANDLES ||
	    s->area[MEMBOX_AREA_UNDO].per_port > 64)
		return "a port has too many entries of a kind";
	return NULL;
}

const char *mbe_super_check(const struct membox_fmt_super *s, uint64_t file_bytes)
{
	if (s->magic != MEMBOX_FMT_MAGIC)
		return "not a membox";
	if (s->crc != mbe_super_crc(s))
		return "the superblock's checksum is wrong";
	if (s->version != MEMBOX_FMT_VERSION)
		return "a version of the format that this program does not know";
	if (s->incompat & ~MEMBOX_FMT_INCOMPAT)
		return "the box has features that this program does not know";
	if (s->bytes > file_bytes)
		return "the file is shorter than the box";
	if (s->bytes % MEMBOX_FMT_PAGE || s->bytes < 2 * MEMBOX_FMT_PAGE)
		return "the box has an impossible size";
	if (!s->ports || s->ports > MEMBOX_MAX_PORTS || !s->params || s->params > MBE_MAX_PARAMS ||
	    s->groups > MBE_MAX_GROUPS)
		return "the box has an impossible number of ports, parameters or groups";
	if (s->stripe_bytes != MEMBOX_FMT_STRIPE || !s->stripes || s->stripes & (s->stripes - 1) ||
	    s->hash_slots <= s->params || s->hash_slots & (s->hash_slots - 1))
		return "the box has impossible stripes or index";
	return check_areas(s);
}

static bool read_page(int fd, uint64_t offset, struct membox_fmt_super *s)
{
	ssize_t n;

	do
		n = pread(fd, s, sizeof(*s), (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*s);
}

const char *mbe_super_read(int fd, uint64_t file_bytes, struct membox_fmt_super *s, bool *backup)
{
	struct membox_fmt_super second;
	const char *why;

	*backup = false;
	if (file_bytes < 2 * MEMBOX_FMT_PAGE || !read_page(fd, 0, s))
		return "too short for a membox";
	why = mbe_super_check(s, file_bytes);
	if (!why)
		return NULL;
	if (read_page(fd, file_bytes / MEMBOX_FMT_PAGE * MEMBOX_FMT_PAGE - MEMBOX_FMT_PAGE, &second) &&
	    !mbe_super_check(&second, file_bytes)) {
		*s = second;
		*backup = true;
	}
	return why;
}

void mbe_geometry_set(struct mbe_geometry *g, const struct membox_fmt_super *s)
{
	memset(g, 0, sizeof(*g));
	g->bytes = s->bytes;
	g->ports = s->ports;
	g->params = s->params;
	g->groups = s->groups;
	g->stripe_bytes = s->stripe_bytes;
	g->stripes = s->stripes;
	g->hash_slots = s->hash_slots;
	g->handles = s->area[MEMBOX_AREA_HANDLES].per_port;
	g->mails = s->area[MEMBOX_AREA_MAIL].per_port;
	g->waiters = s->area[MEMBOX_AREA_WAITERS].per_port;
	g->outcomes = s->area[MEMBOX_AREA_OUTCOMES].per_port;
	g->undos = s->area[MEMBOX_AREA_UNDO].per_port;
	g->undo_bytes = s->area[MEMBOX_AREA_UNDO].entry;
	g->data = s->area[MEMBOX_AREA_DATA].offset;
	g->data_bytes = s->area[MEMBOX_AREA_DATA].bytes;
	g->pages = g->data_bytes / MEMBOX_FMT_PAGE;
	memcpy(g->hash_seed, s->hash_seed, sizeof(g->hash_seed));
	memcpy(g->area, s->area, sizeof(g->area));
}

/* The first entry of a port in an area that has entries for each port. */
void *mbe_area_of(const struct mbe *e, enum membox_fmt_area_id id, uint32_t port)
{
	const struct membox_fmt_area *a = &e->geo.area[id];

	return e->map + a->offset + (uint64_t)port * a->per_port * a->entry;
}

void mbe_areas_set(struct mbe *e)
{
	const struct membox_fmt_area *a = e->geo.area;

	e->super = (const void *)e->map;
	e->state = (void *)(e->map + a[MEMBOX_AREA_STATE].offset);
	e->ports = (void *)(e->map + a[MEMBOX_AREA_PORTS].offset);
	e->params = (void *)(e->map + a[MEMBOX_AREA_PARAMS].offset);
	e->versions = (void *)(e->map + a[MEMBOX_AREA_VERSIONS].offset);
	e->hash = (void *)(e->map + a[MEMBOX_AREA_HASH].offset);
	e->bitmap = (void *)(e->map + a[MEMBOX_AREA_BITMAP].offset);
	e->stripes = (void *)(e->map + a[MEMBOX_AREA_STRIPES].offset);
	e->groups = (void *)(e->map + a[MEMBOX_AREA_GROUPS].offset);
	e->self = &e->ports[e->port];
	e->contexts = mbe_area_of(e, MEMBOX_AREA_CONTEXTS, e->port);
	e->handles = mbe_area_of(e, MEMBOX_AREA_HANDLES, e->port);
	e->mails = mbe_area_of(e, MEMBOX_AREA_MAIL, e->port);
	e->waiters = mbe_area_of(e, MEMBOX_AREA_WAITERS, e->port);
	e->outcomes = mbe_area_of(e, MEMBOX_AREA_OUTCOMES, e->port);
	e->undos = mbe_area_of(e, MEMBOX_AREA_UNDO, e->port);
}

uint16_t mbe_stop(struct mbe *e)
{
	MBE_STORE(&e->state->stopped, 1);
	return MEMBOX_ST_CORRUPT;
}

uint64_t mbe_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * MBE_NS_PER_S + (uint64_t)t.tv_nsec;
}

int mbe_random(void *buf, size_t bytes)
{
	uint8_t *p = buf;

	while (bytes) {
		ssize_t n = getrandom(p, bytes, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		bytes -= (size_t)n;
	}
	return 0;
}

bool mbe_name_ok(const char name[MEMBOX_NAME_BYTES])
{
	unsigned int i;

	for (i = 0; i < MEMBOX_NAME_BYTES && name[i]; i++)
		if (name[i] < '!' || name[i] > '~')
			return false;
	return i > 0 && i < MEMBOX_NAME_BYTES;
}

void mbe_name_copy(char to[MEMBOX_NAME_BYTES], const char from[MEMBOX_NAME_BYTES])
{
	size_t n = strnlen(from, MEMBOX_NAME_BYTES - 1);

	memset(to, 0, MEMBOX_NAME_BYTES);
	memcpy(to, from, n);
}

/* The hash of a key, under a fresh salt. */
int mbe_key_set(uint8_t salt[16], uint8_t hash[32], const struct membox_key *key)
{
	int err = mbe_random(salt, 16);

	if (!err)
		mbe_blake2s(hash, salt, 16, key, sizeof(*key));
	return err;
}

/* Takes as long for every key. */
bool mbe_key_equal(const uint8_t salt[16], const uint8_t hash[32], const struct membox_key *key)
{
	uint8_t mine[32], differ = 0;
	unsigned int i;

	mbe_blake2s(mine, salt, 16, key, sizeof(*key));
	for (i = 0; i < sizeof(mine); i++)
		differ = (uint8_t)(differ | (mine[i] ^ hash[i]));
	return !differ;
}
