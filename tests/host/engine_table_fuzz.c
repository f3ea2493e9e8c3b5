// SPDX-License-Identifier: MIT
/*
 * engine_table_fuzz.c - damaged metadata: bytes of a box in use are changed,
 * while it is closed and while it is open, and then everything is tried on it.
 * Each call returns, with whatever status; no process crashes or hangs; nothing
 * is read or written outside the data area. MEMBOX_FUZZ_RUNS sets how often,
 * MEMBOX_FUZZ_SEED where to begin: the number that a failure prints.
 */
#include "engine_table.h"

#define RUNS (1500 / SLOWNESS)
#define BATCH 50   /* runs a process */
#define PATIENCE 120 /* seconds for a batch */
#define BOX (5 * MIB)

static uint8_t *pristine; /* the box's file, up to the data */
static uint64_t meta_bytes;
static struct mbe_geometry geo;
static uint64_t *progress; /* shared: the seed a child is at */

/* xorshift64*, by Vigna */
static uint64_t next_random(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dULL;
}

/* ---- a box with something of everything in it ---- */

static void die_in_use(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);
	struct membox_group_args g = group_args("group", 3, 1);
	uint32_t h, k;

	(void)p;
	(void)arg;
	MUST(ADM(e, 1, GROUP_JOIN, &g) == MEMBOX_ST_OK);
	MUST(param_get(e, 1, "p0", &h) == MEMBOX_ST_OK);
	MUST(param_get(e, 2, "p1", &k) == MEMBOX_ST_OK);
	MUST(param_subscribe(e, 1, h, 1) == MEMBOX_ST_OK);
	MUST(param_lock(e, 2, k, NULL) == MEMBOX_ST_OK);
	h = param_make(e, "unlinked", 0, 10).handle;
	MUST(param_get(e, 2, "unlinked", &k) == MEMBOX_ST_OK);
	MUST(param_destroy(e, 1, h, NULL) == MEMBOX_ST_OK);
	kill(getpid(), SIGKILL);
}

static int prepare(void **state)
{
	static const uint32_t kinds[4] = {0, MEMBOX_PARAM_MAPPABLE, MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED,
					  MEMBOX_PARAM_NOJOURNAL};
	struct membox_group_args g = group_args("group", 3, 0), own = group_args("own", 1, 0);
	struct membox_grant_args a = {.rank = 0};
	struct membox_param_args p;
	struct child child;
	struct mbe *e;
	unsigned int i;
	char name[8];
	int fd;

	(void)state;
	box_make(BOX, 2, 32);
	e = port_of(1);
	assert_int_equal(ADM(e, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 1, GROUP_JOIN, &own), MEMBOX_ST_OK);
	for (i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		p = param_make(e, name, kinds[i % 4], 1 + 200 * i);
		if (i % 4 == 2) {
			a.handle = p.handle;
			a.key = p.key;
			a.group = g.group;
			assert_int_equal(ADM(e, 1, PARAM_GRANT, &a), MEMBOX_ST_OK);
		}
	}
	child = child_start(die_in_use, NULL);
	child_end(&child);
	geo = e->geo;
	meta_bytes = geo.data;
	pristine = malloc(meta_bytes);
	assert_non_null(pristine);
	fd = open(box_path, O_RDONLY);
	assert_int_equal(pread(fd, pristine, meta_bytes, 0), meta_bytes); /* as if all had been killed now */
	close(fd);
	mbe_detach(e);
	progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(progress, MAP_FAILED);
	return 0;
}

static int cleanup(void **state)
{
	free(pristine);
	munmap(progress, 4096);
	return box_teardown(state);
}

/* ---- damage ---- */

/* A byte of some area: often near the area's beginning, where things are in use. */
static uint64_t choose_byte(uint64_t *s)
{
	const struct membox_fmt_area *a;
	uint64_t r = next_random(s);

	if (r % 16 == 0)
		return next_random(s) % MEMBOX_FMT_PAGE; /* the superblock */
	do
		a = &geo.area[next_random(s) % MEMBOX_AREA_DATA];
	while (!a->bytes);
	return a->offset + next_random(s) % (r % 3 ? (a->bytes < 2048 ? a->bytes : 2048) : a->bytes);
}

static void damage(uint8_t *meta, uint64_t *s)
{
	uint64_t n = 1 + next_random(s) % 3;

	while (n--) {
		uint64_t at = choose_byte(s), r = next_random(s);

		if (r & 1)
			meta[at] ^= (uint8_t)(1U << (r >> 8) % 8);
		else
			meta[at] = (uint8_t)(r >> 16);
	}
}

/* ---- everything is tried ---- */

static void touch(struct mbe *e, uint32_t handle)
{
	struct mbe_operand op;
	uint64_t from = e->geo.data, to = from + e->geo.data_bytes;

	if (mbe_operand_get(e, 1, handle, &op))
		return;
	MUST(op.address >= from && op.address <= to && op.bytes <= to - op.address);
	memset(op.data, 0x11, op.bytes);
	mbe_changed(e, &op);
	mbe_operand_put(e, &op);
}

static void try_everything(struct mbe *e)
{
	struct membox_ctx_args c = {.context = 3};
	struct membox_group_args g = group_args("group", 3, -1), fresh = group_args("fresh", 2, 0);
	struct membox_port_stat stat = {.port = 1};
	struct membox_list_args list = {0};
	struct membox_outcomes out = {0};
	struct membox_event v = {0};
	struct membox_mail m = {0};
	struct membox_info info = {0};
	struct membox_param_args a;
	unsigned int i, lists = 0;
	char name[8];

	ADM(e, 0, CTX_CREATE, &c);
	c.context = 1;
	ADM(e, 0, CTX_CREATE, &c);
	ADM(e, 1, INFO, &info);
	ADM(e, 1, PORT_STAT, &stat);
	ADM(e, 1, GROUP_JOIN, &g);
	ADM(e, 1, GROUP_JOIN, &fresh);
	ADM(e, 1, GROUP_INFO, &g);
	for (i = 0; i < 18; i++) {
		struct membox_param_stat s = {0};
		struct mbe_extent x;

		snprintf(name, sizeof(name), "p%u", i);
		a = param_args(name, i % 2 ? MEMBOX_PARAM_CREATE : 0, i % 2 ? 1 + 200 * i : 0);
		if (param_try(e, 1, &a))
			continue;
		touch(e, a.handle);
		s.handle = a.handle;
		ADM(e, 1, PARAM_STAT, &s);
		param_subscribe(e, 1, a.handle, 1);
		param_lock(e, 1, a.handle, NULL);
		if (!mbe_extent_get(e, 1, a.handle, &x))
			mbe_extent_put(e, &x);
		if (i % 3)
			param_destroy(e, 1, a.handle, NULL);
		if (i % 4)
			param_close(e, 1, a.handle, NULL);
	}
	do
		ADM(e, 1, PARAM_LIST, &list);
	while (list.cursor && ++lists < 10);
	ADM(e, 1, MAIL_RECV, &m);
	ADM(e, 1, EVENT_READ, &v);
	ADM(e, 1, GET_OUTCOMES, &out);
	ADM(e, 1, GROUP_LEAVE, &g);
	param_revoke(e, "p5");
	mbe_progress(e);
	mbe_recover_port(e, 1 - mbe_port(e));
	mbe_fsck(e, NULL, NULL);
	c.context = 1;
	ADM(e, 0, CTX_DESTROY, &c);
}

static void write_meta(const uint8_t *meta)
{
	int fd = open(box_path, O_RDWR);

	MUST(fd >= 0);
	MUST(pwrite(fd, meta, meta_bytes, 0) == (ssize_t)meta_bytes);
	MUST(pwrite(fd, pristine, MEMBOX_FMT_PAGE, BOX - MEMBOX_FMT_PAGE) == MEMBOX_FMT_PAGE);
	close(fd);
}

static void one_run(uint64_t seed, bool while_open)
{
	struct mbe_attach_opts o = port_opts(1);
	uint8_t *meta = malloc(meta_bytes);
	uint64_t s = seed * 2 + 1;
	char text[MBE_ERR_TEXT];
	struct mbe *e;

	MUST(meta);
	memcpy(meta, pristine, meta_bytes);
	if (!while_open)
		damage(meta, &s);
	write_meta(meta);
	free(meta);
	o.is_operator = true;
	if (mbe_attach(box_path, &o, &e, text))
		return;
	if (while_open)
		damage(e->map, &s);
	try_everything(e);
	mbe_detach(e);
}

struct batch {
	uint64_t seed;
	bool while_open;
};

static void run_batch(const struct parent *p, void *arg)
{
	const struct batch *b = arg;
	uint64_t i;

	(void)p;
	alarm(PATIENCE);
	for (i = 0; i < BATCH; i++) {
		*progress = b->seed + i;
		one_run(b->seed + i, b->while_open);
	}
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void survive(bool while_open)
{
	uint64_t first = setting("MEMBOX_FUZZ_SEED", 1), runs = setting("MEMBOX_FUZZ_RUNS", RUNS), i;

	for (i = 0; i < runs; i += BATCH) {
		struct batch b = {first + i, while_open};
		struct child child = child_start(run_batch, &b);
		int status = child_end(&child);

		if (status)
			fail_msg("MEMBOX_FUZZ_SEED=%llu: wait status %#x", (unsigned long long)*progress, status);
	}
}

static void a_box_damaged_while_it_was_closed(void **state)
{
	(void)state;
	survive(false);
}

static void a_box_damaged_while_it_is_open(void **state)
{
	(void)state;
	survive(true);
}

/* The immutable part of a record, byte by byte: no change of it goes unnoticed. */
static void each_changed_byte_of_a_record_stops_the_box(void **state)
{
	struct mbe_attach_opts o = port_opts(1);
	uint64_t at = geo.area[MEMBOX_AREA_PARAMS].offset + offsetof(struct membox_fmt_param, fixed);
	char text[MBE_ERR_TEXT];
	struct membox_param_args a;
	struct membox_info info;
	uint64_t i;

	(void)state;
	for (i = 0; i < sizeof(struct membox_fmt_param_fixed); i += SLOWNESS) {
		struct mbe *e;

		pristine[at + i] ^= 0x04;
		write_meta(pristine);
		pristine[at + i] ^= 0x04;
		assert_int_equal(mbe_attach(box_path, &o, &e, text), 0);
		info = box_info(e);
		assert_int_equal(info.state, 1);
		a = param_args("new", MEMBOX_PARAM_CREATE, 10);
		assert_int_equal(param_try(e, 0, &a), MEMBOX_ST_CORRUPT);
		assert_true(mbe_fsck(e, NULL, NULL) > 0);
		mbe_detach(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_box_damaged_while_it_was_closed),
		cmocka_unit_test(a_box_damaged_while_it_is_open),
		cmocka_unit_test(each_changed_byte_of_a_record_stops_the_box),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_fuzz", tests, prepare, cleanup);
}
