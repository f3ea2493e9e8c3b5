// SPDX-License-Identifier: MIT
/*
 * engine_table_fsck.c - the checker names each kind of damage, and nothing else;
 * records that are impossible are not believed although their checksum is good;
 * a stopped box refuses everything until the checker finds it well.
 */
#include "engine_table.h"

static char findings[16][MBE_ERR_TEXT];
static unsigned int nfindings;

static void keep_finding(void *arg, const char *text)
{
	(void)arg;
	if (nfindings < 16)
		snprintf(findings[nfindings], MBE_ERR_TEXT, "%s", text);
	nfindings++;
}

static bool is_found(struct mbe *e, const char *text)
{
	unsigned int i;

	nfindings = 0;
	mbe_fsck(e, keep_finding, NULL);
	for (i = 0; i < nfindings && i < 16; i++)
		if (strstr(findings[i], text))
			return true;
	return false;
}

/* ---- the box of these tests: on port 0 a bit of everything, port 1 free ---- */

static struct mbe *e;

static int prepare(void **state)
{
	struct membox_group_args g = group_args("g", 2, 0);
	struct membox_grant_args a = {.rank = 0};
	struct membox_param_args k;

	box_setup(state);
	e = port_of(1);
	param_make(e, "a", 0, 100);
	param_make(e, "b", MEMBOX_PARAM_MAPPABLE, 100);
	k = param_make(e, "k", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 100);
	MUST(ADM(e, 1, GROUP_JOIN, &g) == MEMBOX_ST_OK);
	a.handle = k.handle;
	a.key = k.key;
	a.group = g.group;
	MUST(ADM(e, 1, PARAM_GRANT, &a) == MEMBOX_ST_OK);
	MUST(param_subscribe(e, 1, k.handle, 1) == MEMBOX_ST_OK);
	return 0;
}

static int finish(void **state)
{
	mbe_detach(e);
	return box_teardown(state);
}

/* ---- damage, each with what is said of it ---- */

static void backup_changed(void)
{
	e->map[e->geo.bytes - 100] ^= 1;
}

static void super_changed(void)
{
	e->map[200] ^= 1;
}

static void port_state(void)
{
	e->ports[2].word = 9;
}

static void port_dead(void)
{
	e->ports[2].word = MEMBOX_PORT_LIVE;
}

static void stripe_held(void)
{
	e->stripes[5].lock = membox_lock_word(3, 7, 0);
}

static void param_crc(void)
{
	e->params[0].fixed.count++;
}

static void param_state(void)
{
	e->params[0].word |= 0xf0;
}

/* A record that says something else, with a good checksum. */
static void sign(unsigned int index)
{
	struct membox_fmt_param_fixed *f = &e->params[index].fixed;

	f->crc = 0;
	f->crc = mbe_crc32c(0, f, sizeof(*f));
}

static void param_serial(void)
{
	e->params[0].fixed.serial++;
	sign(0);
}

static void param_type(void)
{
	e->params[0].fixed.type = 200;
	sign(0);
}

static void param_place(void)
{
	e->params[0].fixed.offset = e->geo.data - 512;
	sign(0);
}

static void param_size(void)
{
	e->params[0].fixed.count = UINT64_MAX / 4 + 2;
	e->params[0].fixed.bytes = 4;
	e->params[0].fixed.extent = 64;
	sign(0);
}

static void param_version(void)
{
	e->params[0].fixed.version += 64;
	sign(0);
}

static void param_overlap(void)
{
	e->params[0].fixed.offset = e->params[2].fixed.offset;
	sign(0);
}

static void param_page_overlap(void)
{
	e->params[1].fixed.version = e->params[1].fixed.offset;
	sign(1);
}

static void param_future(void)
{
	e->state->serial = 0;
}

static void param_locked(void)
{
	e->params[0].lock = membox_lock_word(3, 7, 0);
}

static void param_zeroing(void)
{
	e->params[0].word = (e->params[0].word & ~MEMBOX_PST_STATE) | MEMBOX_PST_FREEING;
}

static void version_ahead(void)
{
	e->versions[0].finished = 5;
}

static void writer_lost(void)
{
	e->versions[0].begun += 2;
}

static void version_watched(void)
{
	e->versions[0].watch[0] = 8;
}

static void bitmap_bit(void)
{
	e->bitmap[100] ^= 1;
}

static void used_count(void)
{
	e->state->granules_used++;
}

static void entry_count(void)
{
	e->state->params_used++;
}

static void index_lost(void)
{
	uint32_t i;

	for (i = 0; i < e->geo.hash_slots; i++)
		if (e->hash[i] == 1)
			e->hash[i] = 0;
}

static void index_wild(void)
{
	uint32_t i;

	for (i = 0; e->hash[i]; i++)
		;
	e->hash[i] = 60;
}

static void name_twice(void)
{
	strcpy(e->params[1].fixed.name, "a");
	sign(1);
}

static void handle_of_nobody(void)
{
	struct membox_fmt_handle *h = mbe_area_of(e, MEMBOX_AREA_HANDLES, 1);

	h[9] = (struct membox_fmt_handle){.word = 1, .param = 0, .serial = e->params[0].fixed.serial};
}

static void handle_wild(void)
{
	e->handles[0].serial += 50;
}

static void refs_count(void)
{
	e->params[0].refs++;
}

static void subs_count(void)
{
	e->params[0].subscribers++;
}

static void waiter_wild(void)
{
	e->waiters[3] = 60 << MEMBOX_WAITER_PARAM_SHIFT | MEMBOX_WAITER_USED;
}

static void seat_state(void)
{
	e->groups[0].seat[1].word = 7;
}

static void seat_beyond(void)
{
	e->groups[0].seat[2].word = MEMBOX_SEAT_LIVE;
}

static void seat_of_the_dead(void)
{
	e->groups[0].seat[0].generation++;
}

static void group_crc(void)
{
	e->groups[0].fixed.name[0]++;
}

static void group_state(void)
{
	e->groups[0].word |= 2;
}

static void group_ranks(void)
{
	struct membox_fmt_group_fixed *f = &e->groups[0].fixed;

	f->ranks = 65;
	f->crc = 0;
	f->crc = mbe_crc32c(0, f, sizeof(*f));
}

/* Of two ranks, the smallest pieces. */
#define PAGES_WORD (25ULL << MEMBOX_COLL_PAGES_SHIFT | 12)

static void pages_wild(void)
{
	e->groups[0].coll = 1000ULL << MEMBOX_COLL_FIRST_SHIFT | PAGES_WORD;
}

static void pages_twice(void)
{
	e->groups[0].coll = PAGES_WORD;
	e->groups[1] = e->groups[0];
	e->groups[1].coll = 24ULL << MEMBOX_COLL_FIRST_SHIFT | PAGES_WORD;
}

static void mail_unsent(void)
{
	e->state->mail_seq = 0;
}

static void mail_astray(void)
{
	e->mails[0].word = 1ULL << MEMBOX_MAIL_SEQ_SHIFT | 77 << MEMBOX_MAIL_CONTEXT_SHIFT | 1;
}

static const struct damage {
	void (*damage)(void);
	const char *said;
} damages[] = {
	{super_changed, "superblock: the superblock's checksum"},
	{backup_changed, "backup superblock: the superblock's checksum"},
	{port_state, "port 2: state 9"},
	{port_dead, "port 2: its owner died"},
	{stripe_held, "stripe lock 5: held by port 3"},
	{param_crc, "parameter 0: its checksum"},
	{param_state, "parameter 0: its state"},
	{param_serial, "parameter 0: its serial number"},
	{param_type, "parameter 0: its name, type"},
	{param_place, "parameter 0: its size or place"},
	{param_size, "parameter 0: its size or place"},
	{param_version, "parameter 0: its version"},
	{param_overlap, "its bytes overlap"},
	{param_page_overlap, "parameter 1: its version page overlaps"},
	{param_future, "was never given"},
	{param_locked, "parameter 0: locked by port 3"},
	{param_zeroing, "parameter 0: being zeroed"},
	{version_ahead, "parameter 0: more writers finished"},
	{writer_lost, "parameter 0: 2 writers began and never finished"},
	{version_watched, "parameter 0: watched by port 3"},
	{bitmap_bit, "bitmap: 1 pages differ from the parameter table, the first is 100"},
	{used_count, "granules are used"},
	{entry_count, "parameter table: 3 entries are used, and 4 counted"},
	{index_lost, "index: 2 names, and 3 parameters"},
	{index_wild, "names no parameter"},
	{name_twice, "is not found by its name, or the name is twice"},
	{handle_of_nobody, "port 1: handle slot 9 is used, and the port is free"},
	{handle_wild, "port 0: handle slot 0 names no parameter"},
	{refs_count, "parameter 0: 1 references, and 2 counted"},
	{subs_count, "parameter 0: 0 subscribers, and 1 counted"},
	{waiter_wild, "port 0: waiter 3 names no parameter"},
	{seat_state, "group 0: seat 1"},
	{seat_beyond, "group 0: seat 2"},
	{seat_of_the_dead, "group 0: rank 0 sits on port 0, which is gone"},
	{group_crc, "group 0: its checksum"},
	{group_state, "group 0: its state"},
	{group_ranks, "group 0: its name or number of ranks"},
	{pages_wild, "group 0: its pages for collectives are not in their area"},
	{pages_twice, "group 1: its pages for collectives overlap"},
	{mail_unsent, "port 0: mail 0 is none that was sent"},
	{mail_astray, "port 0: mail 0 is for context 77"},
};

static void each_damage_is_named(void **state)
{
	uint8_t *before = malloc(e->geo.bytes);
	unsigned int i;

	(void)state;
	assert_non_null(before);
	assert_false(is_found(e, ""));
	memcpy(before, e->map, e->geo.bytes);
	for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		damages[i].damage();
		if (!is_found(e, damages[i].said))
			fail_msg("not said: \"%s\"; but: \"%s\"", damages[i].said,
				 nfindings ? findings[0] : "nothing");
		memcpy(e->map, before, e->geo.bytes);
	}
	assert_false(is_found(e, ""));
	free(before);
}

/* Good checksums do not make an impossible record true. */
static void impossible_records_stop_the_box(void **state)
{
	static void (*const lies[])(void) = {param_crc, param_serial, param_type, param_place,
					     param_size, param_version};
	uint8_t *before = malloc(e->geo.bytes);
	struct membox_param_args a;
	unsigned int i;

	(void)state;
	assert_non_null(before);
	memcpy(before, e->map, e->geo.bytes);
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		lies[i]();
		a = param_args("a", 0, 0);
		assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_CORRUPT);
		assert_int_equal(box_info(e).state, 1);
		memcpy(e->map, before, e->geo.bytes);
	}
	free(before);
}

static void a_stopped_box_is_looked_at_and_started_again(void **state)
{
	struct membox_port_stat s = {.port = 0};
	struct membox_list_args list = {0};
	struct mbe *other;
	struct mbe_attach_opts o = port_opts(2);
	char text[MBE_ERR_TEXT];
	uint32_t h;

	(void)state;
	assert_int_equal(param_get(e, 1, "a", &h), MEMBOX_ST_OK);
	e->params[1].fixed.count ^= 1;
	assert_int_equal(ADM(e, 1, PARAM_LIST, &list), MEMBOX_ST_CORRUPT);
	assert_int_equal(operand_status(e, 1, h), MEMBOX_ST_CORRUPT);
	assert_int_equal(param_lock(e, 1, h, NULL), MEMBOX_ST_CORRUPT);
	assert_int_equal(ADM(e, 1, PORT_STAT, &s), MEMBOX_ST_OK);
	assert_int_equal(mbe_attach(box_path, &o, &other, text), 0); /* for the checker */
	assert_int_equal(box_info(other).state, 1);
	assert_true(is_found(other, "parameter 1: its checksum"));
	assert_int_equal(box_info(other).state, 1);
	e->params[1].fixed.count ^= 1; /* somebody repairs it */
	assert_false(is_found(other, ""));
	assert_int_equal(box_info(e).state, 0);
	assert_int_equal(operand_status(e, 1, h), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 1, PARAM_LIST, &list), MEMBOX_ST_OK);
	assert_int_equal(list.count, 3);
	assert_int_equal(ADM(other, 0, PARAM_LIST, &list), MEMBOX_ST_CORRUPT); /* it only looked */
	mbe_detach(other);
	mbe_detach(e);
	e = port_of(1); /* and recovers what the onlooker left of its port */
	assert_false(is_found(e, ""));
}

#define fsck_test(f) cmocka_unit_test_setup_teardown(f, prepare, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fsck_test(each_damage_is_named),
		fsck_test(impossible_records_stop_the_box),
		fsck_test(a_stopped_box_is_looked_at_and_started_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_fsck", tests, NULL, NULL);
}
