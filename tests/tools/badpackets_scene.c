// SPDX-License-Identifier: MIT
/*
 * badpackets_scene.c - a box with everything in it that a packet can be wrong
 * about: handles that are closed, foreign, of another type, without a right;
 * parameters that are destroyed or revoked; memory of this process that is not
 * there, or not in the way that is needed.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "badpackets.h"

#define PAGES       12U /* of each stretch of memory: more than any packet names */
#define MAX_FOREIGN 256

struct scene scene;

/* ---- parameters ---- */

static struct membox_param *get(struct membox *box, const char *name, enum membox_type type, uint64_t count,
				unsigned int mode, unsigned int flags)
{
	struct membox_shape shape = {.type = type, .count = count, .mode = mode};
	struct membox_param *p;

	if (membox_param_get(box, name, &shape, flags, &p))
		bail(name);
	return p;
}

static uint32_t attach(struct membox *box, const char *name, unsigned int flags)
{
	struct membox_param *p;

	if (membox_param_attach(box, name, NULL, flags, &p))
		bail(name);
	return membox_param_handle(p);
}

static void make_typed(struct typed *t, const char *name, enum membox_type type)
{
	char full[MEMBOX_NAME_BYTES];
	unsigned int i;

	t->type = (uint8_t)type;
	for (i = 0; i < MEMBOX_OPERANDS; i++) {
		snprintf(full, sizeof(full), "bad.%s.%u", name, i);
		t->param[i] = membox_param_handle(get(scene.box, full, type, ELEMENTS, 0, 0));
	}
	snprintf(full, sizeof(full), "bad.%s.ro", name);
	t->rdonly = membox_param_handle(get(scene.box, full, type, ELEMENTS, 0, MEMBOX_PARAM_RDONLY));
	/* who makes one has all rights to it; by its mode nobody else, nor he again, may read it */
	snprintf(full, sizeof(full), "bad.%s.wo", name);
	get(scene.box, full, type, ELEMENTS, 0222, 0);
	t->wronly = attach(scene.box, full, 0);
}

static void make_probe(void)
{
	struct membox_param *p = get(scene.box, "bad.probe", MEMBOX_I64, PROBES, 0, 0);
	int64_t values[PROBES];
	unsigned int i;

	for (i = 0; i < PROBES; i++)
		values[i] = probe_value(i);
	if (membox_write(p, 0, PROBES, values))
		bail("probe");
	scene.probe = membox_param_handle(p);
}

static bool is_mine(uint32_t handle)
{
	const struct typed *const typed[] = {&scene.f32, &scene.i32, &scene.i64};
	unsigned int i, k;

	for (i = 0; i < 3; i++) {
		for (k = 0; k < MEMBOX_OPERANDS; k++)
			if (typed[i]->param[k] == handle)
				return true;
		if (typed[i]->rdonly == handle || typed[i]->wronly == handle)
			return true;
	}
	return scene.probe == handle || scene.f64 == handle || scene.closed == handle ||
	       scene.destroyed == handle || scene.revoked == handle;
}

/*
 * A handle of the other context. Handles are numbered port by port, so on a file
 * two contexts may have the same numbers: takes one whose place is far behind ours.
 */
static uint32_t foreign_handle(void)
{
	uint32_t handle = 0;
	unsigned int i;

	for (i = 0; i < MAX_FOREIGN; i++) {
		handle = attach(scene.other, "bad.f32.0", 0);
		if ((handle & 0xffff) > (scene.revoked & 0xffff) && !is_mine(handle))
			return handle;
	}
	bail("no handle of the other context differs from mine");
}

static void make_parameters(void)
{
	struct membox_param *p;

	make_probe();
	make_typed(&scene.f32, "f32", MEMBOX_F32);
	make_typed(&scene.i32, "i32", MEMBOX_I32);
	make_typed(&scene.i64, "i64", MEMBOX_I64);
	scene.f64 = membox_param_handle(get(scene.box, "bad.f64", MEMBOX_F64, ELEMENTS, 0, 0));
	p = get(scene.box, "bad.closed", MEMBOX_F32, ELEMENTS, 0, 0);
	scene.closed = membox_param_handle(p);
	membox_param_put(p);
	p = get(scene.box, "bad.destroyed", MEMBOX_F32, ELEMENTS, 0, 0);
	scene.destroyed = membox_param_handle(p);
	if (membox_param_destroy(p) < 0)
		bail("destroy");
	scene.revoked = membox_param_handle(get(scene.box, "bad.revoked", MEMBOX_F32, ELEMENTS, 0, 0));
	scene.foreign = foreign_handle();
	scene.rdonly_port[0] = attach(scene.rdonly, "bad.f32.0", MEMBOX_PARAM_RDONLY);
	scene.rdonly_port[1] = attach(scene.rdonly, "bad.i64.0", MEMBOX_PARAM_RDONLY);
}

static struct membox_group *join(struct membox *box, const char *name)
{
	struct membox_group *group;

	if (membox_group_join(box, name, 1, 0, MEMBOX_TIMEOUT_DEFAULT, &group))
		bail(name);
	return group;
}

static void make_groups(void)
{
	struct membox_group_info info = {.size = sizeof(info)};
	struct membox_group *group = join(scene.box, "bad.group"), *left = join(scene.box, "bad.left");

	scene.group = membox_group_handle(group);
	if (membox_group_info(group, &info))
		bail("group");
	scene.epoch = info.epoch;
	scene.group_left = membox_group_handle(left);
	scene.group_foreign = membox_group_handle(join(scene.other, "bad.foreign"));
	membox_group_leave(left);
}

/* By an operator: on a machine with a device that is a host process on the box's file. */
void scene_revoke(const char *name)
{
	struct membox_open_opts opts = {.size = sizeof(opts), .flags = MEMBOX_OPEN_OPERATOR};
	struct membox *box;

	if (membox_open(NULL, &opts, &box))
		bail("open as operator");
	if (membox_param_revoke(box, name))
		bail("revoke");
	membox_close(box);
}

/* ---- memory ---- */

static uint8_t *map(int prot, size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bail("mmap");
	if (prot & PROT_WRITE)
		memset(p, 0, bytes);
	return p;
}

static void cut(uint8_t *from, unsigned int pages)
{
	if (munmap(from, pages * PAGE))
		bail("munmap");
}

static bool is_there(uint8_t *page)
{
	return !msync(page, PAGE, MS_ASYNC);
}

static void make_memory(void)
{
	const size_t bytes = PAGES * PAGE;

	scene.host = map(PROT_READ | PROT_WRITE, BATCH * HOST_STEP);
	scene.host2 = map(PROT_READ | PROT_WRITE, BATCH * HOST_STEP);
	scene.no_access = map(PROT_NONE, bytes);
	scene.read_only = map(PROT_READ, bytes);
	scene.hole = map(PROT_READ | PROT_WRITE, bytes);
	cut(scene.hole + 2 * PAGE, 1);
	scene.last = map(PROT_READ | PROT_WRITE, bytes) + PAGES / 2 * PAGE;
	cut(scene.last, PAGES / 2);
	scene.unmapped = map(PROT_READ | PROT_WRITE, bytes);
	cut(scene.unmapped, PAGES);
}

/* Nothing of this program may have come to lie where there is to be nothing. */
bool scene_memory_is_as_it_was(void)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		if (is_there(scene.unmapped + i * PAGE))
			return false;
	return !is_there(scene.hole + 2 * PAGE) && is_there(scene.hole + PAGE) && !is_there(scene.last) &&
	       is_there(scene.last - PAGE);
}

/* ---- boxes ---- */

/* A further port: on a file opened so, of devices another node. */
static struct membox *open_port(const char *variable, uint32_t flags, uint64_t caps_off)
{
	struct membox_open_opts opts = {.size = sizeof(opts)};
	const char *uri = scene.uri;
	struct membox *box;

	if (scene.is_file) {
		opts.flags = flags;
		opts.caps_off = caps_off;
	} else {
		uri = getenv(variable);
		if (!uri)
			bail(variable);
	}
	if (membox_open(uri, &opts, &box))
		bail(uri);
	return box;
}

/* What the library maps when it first needs it (queues) is not to come where nothing shall be. */
static void settle(struct membox *box)
{
	struct membox_packet fence = {.opcode = MEMBOX_OP_FENCE};
	struct membox_chan *chan;
	struct membox_op op;

	if (membox_chan_open(box, 1, &chan))
		bail("channel");
	membox_prep_packet(&op, &fence);
	if (membox_run(box, &op, NULL))
		bail("FENCE");
	membox_chan_close(chan);
}

void scene_open(const char *uri)
{
	struct membox_info info = {.size = sizeof(info)};

	scene.uri = uri;
	scene.is_file = !strncmp(uri, "file:", 5);
	scene.box = open_port("MEMBOX", 0, 0);
	if (membox_info(scene.box, &info))
		bail("info");
	scene.max_bytes = info.max_bytes;
	scene.caps = info.caps;
	scene.other = open_port("MEMBOX", 0, 0);
	scene.rdonly = open_port("MEMBOX_RDONLY", MEMBOX_OPEN_RDONLY, 0);
	scene.less = open_port("MEMBOX_LESS", 0, MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR);
	make_parameters();
	make_groups();
	if (scene.is_file && !getenv(STEPS))
		scene_revoke("bad.revoked");
	checkpoint("revoke");
	settle(scene.box);
	settle(scene.other);
	settle(scene.rdonly);
	settle(scene.less);
	make_memory();
}

void scene_close(void)
{
	membox_close(scene.less);
	membox_close(scene.rdonly);
	membox_close(scene.other);
	membox_close(scene.box);
}

/* ---- packets ---- */

struct membox_packet scene_packet(const struct good_kind *kind, bool ints)
{
	const struct typed *typed = ints ? &scene.i32 : &scene.f32;
	struct good_env env = good_env_shape;
	struct membox_packet p;

	memcpy(env.param, typed->param, sizeof(env.param));
	env.word = ints ? scene.i32.param[0] : scene.i64.param[0];
	env.host = (uintptr_t)scene.host;
	env.host2 = (uintptr_t)scene.host2;
	env.first = FIRST;
	env.count = COUNT;
	env.type = typed->type;
	env.group = scene.group;
	env.epoch = scene.epoch;
	env.ranks = 1;
	p = good_packet(kind, &env);
	if (p.dst_type == MEMBOX_I64 && ints)
		p.dst_type = MEMBOX_I32;
	if (p.opcode == MEMBOX_OP_WSUM)
		good_terms(&env, (struct membox_term *)scene.host);
	return p;
}
