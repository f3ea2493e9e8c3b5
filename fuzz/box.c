// SPDX-License-Identifier: MIT
/*
 * box.c - fuzzes whoever reads a box: metadata is changed as the input says, then the box is
 * opened, checked, listed and worked with. Checksums may be made right again afterwards, so that
 * what stands behind them is reached. No call crashes, hangs, or leaves the box's memory.
 *
 * An input is a sequence of changes of 8 bytes: where (area, offset), how, and with what.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"
#include "internal.h"

#define BOX (5ULL << 20)
#define PARAMS 32
#define CHANGES 64

static char path[64];
static uint8_t *map, *pristine;
static uint64_t meta_bytes;
static struct mbe_geometry geo;

struct change {
	uint8_t area;
	uint8_t how;
	uint16_t value;
	uint32_t offset;
};

_Static_assert(sizeof(struct change) == 8, "an input is read as these");

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "box: %s\n", what);
	abort();
}

static void remove_box(void)
{
	unlink(path);
}

static struct membox_param_args param_args(unsigned int i, uint32_t flags)
{
	struct membox_param_args a = { .size = sizeof(a), .type = MEMBOX_F32, .count = 1 + 200 * i, .flags = flags };

	snprintf(a.name, sizeof(a.name), "p%u", i);
	return a;
}

static uint16_t admin(struct mbe *e, uint16_t context, uint8_t opcode, void *args, size_t bytes)
{
	*(uint32_t *)args = (uint32_t)bytes;
	return mbe_admin(e, context, opcode, args, bytes);
}

/* A box with parameters of all kinds, and a group, left as if its process had been killed. */
static void prepare(void)
{
	static const uint32_t kinds[4] = { 0, MEMBOX_PARAM_MAPPABLE, MEMBOX_PARAM_NOJOURNAL, MEMBOX_PARAM_EPHEMERAL };
	const struct mbe_format_opts opts = { .bytes = BOX, .ports = 2, .params = PARAMS, .force = true };
	struct membox_ctx_args context = { .context = 1 };
	struct membox_group_args group = { .rank = 0, .ranks = 2, .name = "group" };
	struct mbe_attach_opts attach = { .port = 0 };
	char text[MBE_ERR_TEXT];
	struct mbe *e;
	int fd;

	snprintf(path, sizeof(path), "%s/membox-fuzz-%d", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
	must(!mbe_format(path, &opts, text), "format");
	atexit(remove_box);
	must(!mbe_attach(path, &attach, &e, text), "attach");
	must(!admin(e, 0, MEMBOX_ADM_CTX_CREATE, &context, sizeof(context)), "context");
	for (unsigned int i = 0; i < 12; i++) {
		struct membox_param_args a = param_args(i, MEMBOX_PARAM_CREATE | kinds[i % 4]);

		must(!admin(e, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), "parameter");
	}
	admin(e, 1, MEMBOX_ADM_GROUP_JOIN, &group, sizeof(group));
	geo = e->geo;
	meta_bytes = geo.data;
	fd = open(path, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, BOX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED, "mmap");
	close(fd);
	pristine = malloc(meta_bytes);
	must(pristine, "memory");
	memcpy(pristine, map, meta_bytes);
	mbe_detach(e);
}

/* Makes the checksum of what stands in an area right again. */
static void mend(unsigned int area, uint32_t offset)
{
	struct membox_fmt_super *super = (void *)map;
	struct membox_fmt_param *params = (void *)(map + geo.area[MEMBOX_AREA_PARAMS].offset);
	struct membox_fmt_group *groups = (void *)(map + geo.area[MEMBOX_AREA_GROUPS].offset);

	if (area == MEMBOX_AREA_PARAMS) {
		struct membox_fmt_param_fixed *f = &params[offset / sizeof(*params) % geo.params].fixed;

		f->crc = 0;
		f->crc = mbe_crc32c(0, f, sizeof(*f));
	} else if (area == MEMBOX_AREA_GROUPS) {
		struct membox_fmt_group_fixed *f = &groups[offset / sizeof(*groups) % geo.groups].fixed;

		f->crc = 0;
		f->crc = mbe_crc32c(0, f, sizeof(*f));
	} else {
		super->crc = mbe_super_crc(super);
	}
}

static void apply(const struct change *c)
{
	unsigned int area = c->area % (MEMBOX_AREA_DATA + 1);
	uint64_t first = 0, bytes = MEMBOX_FMT_PAGE, at;

	if (area < MEMBOX_AREA_DATA) {
		first = geo.area[area].offset;
		bytes = geo.area[area].bytes;
	}
	if (!bytes)
		return;
	at = first + c->offset % bytes;
	switch (c->how & 3) {
	case 0:
		map[at] ^= (uint8_t)(1U << c->value % 8);
		break;
	case 1:
		map[at] = (uint8_t)c->value;
		break;
	case 2:
		if (at + 2 <= meta_bytes)
			memcpy(map + at, &c->value, 2);
		break;
	default:
		memset(map + at, c->value & 1 ? 0xff : 0, (uint64_t)8 < meta_bytes - at ? 8 : meta_bytes - at);
	}
	if (c->how & 4)
		mend(area, c->offset % (uint32_t)bytes);
}

static void work(struct mbe *e)
{
	struct membox_ctx_args context = { .context = 1 };
	struct membox_group_args group = { .rank = -1, .ranks = 2, .name = "group" };
	struct membox_list_args list = { 0 };
	struct membox_outcomes outcomes = { 0 };

	admin(e, 0, MEMBOX_ADM_CTX_CREATE, &context, sizeof(context));
	for (unsigned int i = 0; i < 14; i++) {
		struct membox_param_args a = param_args(i, i % 2 ? MEMBOX_PARAM_CREATE : 0);
		struct membox_handle_args h = { 0 };
		struct mbe_operand op;

		if (admin(e, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)))
			continue;
		if (!mbe_operand_get(e, 1, a.handle, &op)) {
			must(op.address >= geo.data && op.bytes <= BOX - op.address, "an operand outside of the data");
			memset(op.data, 0x11, op.bytes);
			mbe_changed(e, &op);
			mbe_operand_put(e, &op);
		}
		h.handle = a.handle;
		admin(e, 1, i % 3 ? MEMBOX_ADM_PARAM_DESTROY : MEMBOX_ADM_PARAM_CLOSE, &h, sizeof(h));
	}
	for (unsigned int lists = 0; lists < 10; lists++)
		if (admin(e, 1, MEMBOX_ADM_PARAM_LIST, &list, sizeof(list)) || !list.cursor)
			break;
	admin(e, 1, MEMBOX_ADM_GROUP_JOIN, &group, sizeof(group));
	admin(e, 1, MEMBOX_ADM_GET_OUTCOMES, &outcomes, sizeof(outcomes));
	mbe_recover_port(e, 1 - mbe_port(e));
	mbe_fsck(e, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const struct mbe_attach_opts opts = { .port = MBE_PORT_AUTO };
	char text[MBE_ERR_TEXT];
	struct mbe *e;

	if (!map)
		prepare();
	memcpy(map, pristine, meta_bytes);
	for (size_t at = 0; at + sizeof(struct change) <= bytes && at < CHANGES * sizeof(struct change);
	     at += sizeof(struct change)) {
		struct change c;

		memcpy(&c, data + at, sizeof(c));
		apply(&c);
	}
	if (mbe_attach(path, &opts, &e, text))
		return 0;
	work(e);
	mbe_detach(e);
	return 0;
}
