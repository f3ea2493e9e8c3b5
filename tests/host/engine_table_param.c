// SPDX-License-Identifier: MIT
/*
 * engine_table_param.c - the parameter table: find-or-create from many
 * processes, handles, shapes, modes and owners, keys.
 */
#include "engine_table.h"

/* ---- find or create ---- */

#define CREATORS 8

struct found {
	uint64_t address[CREATORS];
	uint32_t created[CREATORS];
};

struct creator {
	unsigned int number;
	struct found *found;
};

static void create_at_once(const struct parent *p, void *arg)
{
	const struct creator *c = arg;
	struct mbe *e = port_of(c->number % 2 + 1);
	struct membox_param_args a;

	child_say(p, 'r');
	child_hear(p); /* all at one moment */
	a = param_make(e, "weights", 0, 1000);
	c->found->address[c->number] = a.address;
	c->found->created[c->number] = a.created;
	child_say(p, 'd');
	child_hear(p);
	mbe_detach(e);
}

static void one_entry_and_equal_addresses_for_eight_processes(void **state)
{
	struct child child[CREATORS];
	struct creator c[CREATORS];
	struct membox_list_args list = {0};
	unsigned int i, creators = 0;
	struct found *f;
	struct mbe *e;
	char said;

	(void)state;
	unlink(box_path);
	box_make(16 * MIB, 10, 64);
	f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f, MAP_FAILED);
	for (i = 0; i < CREATORS; i++) {
		c[i] = (struct creator){i, f};
		child[i] = child_start(create_at_once, &c[i]);
	}
	for (i = 0; i < CREATORS; i++)
		assert_true(child_heard(&child[i], &said));
	for (i = 0; i < CREATORS; i++)
		child_tell(&child[i]);
	for (i = 0; i < CREATORS; i++)
		assert_true(child_heard(&child[i], &said));
	e = port_of(1);
	assert_int_equal(ADM(e, 1, PARAM_LIST, &list), MEMBOX_ST_OK);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.entry[0].refs, CREATORS);
	for (i = 0; i < CREATORS; i++) {
		assert_true(f->address[i] == list.entry[0].address);
		creators += f->created[i];
		child_tell(&child[i]);
		child_ok(&child[i]);
	}
	assert_int_equal(creators, 1);
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
	munmap(f, sizeof(*f));
}

static void a_second_creator_gets_what_is_there(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_param_args a = param_make(e, "w", 0, 100), b;

	(void)state;
	assert_int_equal(a.created, 1);
	assert_int_equal(a.bytes, 400);
	assert_int_equal(a.rights, MEMBOX_WIN_READ | MEMBOX_WIN_WRITE);
	param_bump(e, 1, a.handle);
	b = param_make(e, "w", 0, 100);
	assert_int_equal(b.created, 0);
	assert_int_not_equal(b.handle, a.handle);
	assert_int_equal(b.version, 1);
	b = param_args("w", 0, 0); /* 0 takes what is there */
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_OK);
	assert_int_equal(b.type, MEMBOX_F32);
	assert_int_equal(b.count, 100);
	b = param_args("w", MEMBOX_PARAM_CREATE | MEMBOX_PARAM_EXCL, 100);
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_EXISTS);
	b = param_args("nothing", 0, 0);
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_NOT_FOUND);
	mbe_detach(e);
}

static void another_shape_is_refused(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_param_args b;

	(void)state;
	param_make(e, "w", 0, 100);
	b = param_args("w", MEMBOX_PARAM_CREATE, 101);
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_SHAPE_MISMATCH);
	b = param_args("w", MEMBOX_PARAM_CREATE, 100);
	b.type = MEMBOX_I32;
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_SHAPE_MISMATCH);
	b = param_args("w", MEMBOX_PARAM_CREATE | MEMBOX_PARAM_EPHEMERAL, 100);
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_SHAPE_MISMATCH);
	b = param_args("w", MEMBOX_PARAM_CREATE | MEMBOX_PARAM_MAPPABLE, 100);
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_NOT_MAPPABLE);
	mbe_detach(e);
}

static void bad_arguments_are_named_and_change_nothing(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_param_args good = param_args("w", MEMBOX_PARAM_CREATE, 100), a;
	uint8_t wide[sizeof(a) + 8] = {0};

	(void)state;
#define REFUSED(status, change) \
	do { \
		a = good; \
		change; \
		assert_int_equal(param_try(e, 1, &a), (status)); \
	} while (0)
	REFUSED(MEMBOX_ST_BAD_NAME, a.name[0] = 0);
	REFUSED(MEMBOX_ST_BAD_NAME, a.name[0] = ' ');
	REFUSED(MEMBOX_ST_BAD_NAME, a.name[0] = (char)0xc3);
	REFUSED(MEMBOX_ST_BAD_NAME, memset(a.name, 'x', sizeof(a.name)));
	REFUSED(MEMBOX_ST_BAD_FLAG, a.flags |= MEMBOX_PARAM_FLAGS + 1);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, a.flags |= MEMBOX_PARAM_KEYED);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, a.flags = MEMBOX_PARAM_EXCL);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, a.mode = 0777);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, a.mode = 0640);
	REFUSED(MEMBOX_ST_BAD_ARGUMENT, a.key.word[1] = 1);
	REFUSED(MEMBOX_ST_BAD_TYPE, a.type = 0);
	REFUSED(MEMBOX_ST_BAD_TYPE, a.type = MEMBOX_NR_TYPES);
	REFUSED(MEMBOX_ST_BAD_TYPE, a.type = 256 + MEMBOX_F32);
	REFUSED(MEMBOX_ST_ZERO_LENGTH, a.count = 0);
	REFUSED(MEMBOX_ST_NO_SPACE, a.count = 8 * MIB);
	REFUSED(MEMBOX_ST_NO_SPACE, a.count = UINT64_MAX);
	REFUSED(MEMBOX_ST_NO_SPACE, a.count = UINT64_MAX / 4 + 2);
#undef REFUSED
	a = good;
	a.size = sizeof(a) - 4;
	assert_int_equal(mbe_admin(e, 1, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a)), MEMBOX_ST_BAD_ARGUMENT);
	good.size = sizeof(wide); /* from a later version, in a field that is not known here */
	memcpy(wide, &good, sizeof(good));
	wide[sizeof(wide) - 1] = 1;
	assert_int_equal(mbe_admin(e, 1, MEMBOX_ADM_PARAM_OPEN, wide, sizeof(wide)), MEMBOX_ST_BAD_ARGUMENT);
	assert_int_equal(box_info(e).params, 0);
	wide[sizeof(wide) - 1] = 0;
	assert_int_equal(mbe_admin(e, 1, MEMBOX_ADM_PARAM_OPEN, wide, sizeof(wide)), MEMBOX_ST_OK);
	assert_int_equal(mbe_admin(e, 1, 0x7f, &a, sizeof(a)), MEMBOX_ST_BAD_OPCODE);
	assert_int_equal(mbe_admin(e, 1, MEMBOX_ADM_WINDOW_MAP, &a, sizeof(a)), MEMBOX_ST_UNSUPPORTED);
	assert_int_equal(param_try(e, 3, &good), MEMBOX_ST_BAD_CONTEXT);
	mbe_detach(e);
}

/* ---- handles ---- */

static void handles_are_private_to_their_context_and_not_used_twice(void **state)
{
	struct mbe *e = port_of(1);
	uint32_t h = param_make(e, "w", 0, 10).handle, again, i;

	(void)state;
	assert_int_not_equal(h, 0);
	assert_int_equal(operand_status(e, 1, h), MEMBOX_ST_OK);
	assert_int_equal(operand_status(e, 2, h), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(operand_status(e, 3, h), MEMBOX_ST_BAD_CONTEXT);
	assert_int_equal(operand_status(e, 1, h ^ 0x10000), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(operand_status(e, 1, 0), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(operand_status(e, 1, 0xffffffffU), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(param_close(e, 2, h, NULL), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(param_close(e, 1, h, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_close(e, 1, h, NULL), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(operand_status(e, 1, h), MEMBOX_ST_BAD_HANDLE);
	for (i = 0; i < 10000; i++) { /* more than there are slots */
		assert_int_equal(param_get(e, 1, "w", &again), MEMBOX_ST_OK);
		assert_int_not_equal(again, h);
		assert_int_equal(param_close(e, 1, again, NULL), MEMBOX_ST_OK);
	}
	mbe_detach(e);
}

static void handles_run_out_with_a_status(void **state)
{
	struct mbe *e = port_of(1);
	uint32_t h, first, n = 1;
	uint16_t status;

	(void)state;
	first = param_make(e, "w", 0, 10).handle;
	while (!(status = param_get(e, 1, "w", &h)))
		n++;
	assert_int_equal(status, MEMBOX_ST_TABLE_FULL);
	assert_int_equal(n, 4096);
	assert_int_equal(param_stat(e, 1, first).refs, 4096);
	assert_int_equal(box_findings(e), 0);
	assert_int_equal(param_close(e, 1, first, NULL), MEMBOX_ST_OK);
	assert_int_equal(param_get(e, 1, "w", &h), MEMBOX_ST_OK);
	mbe_detach(e);
}

static void contexts_end_with_all_that_is_theirs(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_ctx_args a = {.context = 2};
	uint32_t mine, theirs;

	(void)state;
	mine = param_make(e, "w", 0, 10).handle;
	assert_int_equal(param_get(e, 2, "w", &theirs), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 1, CTX_DESTROY, &a), MEMBOX_ST_DENIED);
	assert_int_equal(ADM(e, 0, CTX_CREATE, &a), MEMBOX_ST_EXISTS);
	assert_int_equal(ADM(e, 0, CTX_DESTROY, &a), MEMBOX_ST_OK);
	assert_int_equal(ADM(e, 0, CTX_DESTROY, &a), MEMBOX_ST_BAD_CONTEXT);
	assert_int_equal(operand_status(e, 2, theirs), MEMBOX_ST_BAD_CONTEXT);
	assert_int_equal(param_stat(e, 1, mine).refs, 1);
	assert_int_equal(ADM(e, 0, CTX_CREATE, &a), MEMBOX_ST_OK);
	assert_int_equal(operand_status(e, 2, theirs), MEMBOX_ST_BAD_HANDLE);
	a.context = 0;
	assert_int_equal(ADM(e, 0, CTX_DESTROY, &a), MEMBOX_ST_BAD_ARGUMENT);
	a.context = 256;
	assert_int_equal(ADM(e, 0, CTX_CREATE, &a), MEMBOX_ST_BAD_ARGUMENT);
	mbe_detach(e);
}

/* ---- rights ---- */

static void modes_say_what_owner_and_others_may(void **state)
{
	struct mbe *owner = port_of(1), *other = port_of(2);
	struct membox_param_args a;

	(void)state;
	a = param_args("readable", MEMBOX_PARAM_CREATE, 10);
	a.mode = 0644;
	assert_int_equal(param_try(owner, 1, &a), MEMBOX_ST_OK);
	a = param_args("private", MEMBOX_PARAM_CREATE, 10);
	a.mode = 0600;
	assert_int_equal(param_try(owner, 1, &a), MEMBOX_ST_OK);
	a = param_args("dropbox", MEMBOX_PARAM_CREATE, 10);
	a.mode = 0622;
	assert_int_equal(param_try(owner, 1, &a), MEMBOX_ST_OK);

	a = param_args("readable", 0, 0);
	assert_int_equal(param_try(other, 1, &a), MEMBOX_ST_DENIED);
	a = param_args("readable", MEMBOX_PARAM_RDONLY, 0);
	assert_int_equal(param_try(other, 1, &a), MEMBOX_ST_OK);
	assert_int_equal(a.rights, MEMBOX_WIN_READ);
	assert_int_equal(param_lock(other, 1, a.handle, NULL), MEMBOX_ST_DENIED);
	a = param_args("private", MEMBOX_PARAM_RDONLY, 0);
	assert_int_equal(param_try(other, 1, &a), MEMBOX_ST_DENIED);
	a = param_args("dropbox", MEMBOX_PARAM_RDONLY, 0);
	assert_int_equal(param_try(other, 1, &a), MEMBOX_ST_DENIED);
	a = param_args("dropbox", 0, 0);
	assert_int_equal(param_try(other, 1, &a), MEMBOX_ST_OK);
	assert_int_equal(a.rights, MEMBOX_WIN_WRITE);
	mbe_detach(owner);
	owner = port_of(1); /* another port of the same principal owns them still */
	a = param_args("private", 0, 0);
	assert_int_equal(param_try(owner, 1, &a), MEMBOX_ST_OK);
	mbe_detach(owner);
	mbe_detach(other);
}

static void a_read_only_port_changes_nothing(void **state)
{
	struct mbe_attach_opts o = port_opts(1);
	struct mbe *e = port_of(1), *ro;
	struct membox_param_args a;

	(void)state;
	param_make(e, "w", 0, 10);
	o.rdonly = true;
	ro = port_open(&o);
	a = param_args("new", MEMBOX_PARAM_CREATE, 10);
	assert_int_equal(param_try(ro, 1, &a), MEMBOX_ST_DENIED);
	a = param_args("w", 0, 0);
	assert_int_equal(param_try(ro, 1, &a), MEMBOX_ST_DENIED);
	a = param_args("w", MEMBOX_PARAM_RDONLY, 0);
	assert_int_equal(param_try(ro, 1, &a), MEMBOX_ST_OK);
	assert_int_equal(param_destroy(ro, 1, a.handle, NULL), MEMBOX_ST_DENIED);
	mbe_detach(ro);
	mbe_detach(e);
}

static void a_wrong_or_absent_key_is_refused(void **state)
{
	struct mbe *e = port_of(1), *other = port_of(2);
	struct membox_param_args a, b;
	uint64_t i;

	(void)state;
	a = param_make(e, "k", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 10);
	assert_true(a.key.word[0] || a.key.word[1]);
	b = param_args("k", 0, 0);
	assert_int_equal(param_try(other, 1, &b), MEMBOX_ST_KEY_REFUSED);
	b = param_args("k", MEMBOX_PARAM_CREATE, 10);
	assert_int_equal(param_try(e, 1, &b), MEMBOX_ST_KEY_REFUSED); /* even the owner */
	b = param_args("k", MEMBOX_PARAM_KEYED, 0);
	assert_int_equal(param_try(other, 1, &b), MEMBOX_ST_KEY_REFUSED);
	b.key = a.key;
	b.key.word[1] ^= 1ULL << 63;
	assert_int_equal(param_try(other, 1, &b), MEMBOX_ST_KEY_REFUSED);
	b.key = a.key;
	assert_int_equal(param_try(other, 1, &b), MEMBOX_ST_OK);
	assert_int_equal(b.rights, MEMBOX_WIN_READ | MEMBOX_WIN_WRITE);
	/* an open parameter is not what somebody with a key was told of */
	param_make(e, "open", 0, 10);
	b = param_args("open", MEMBOX_PARAM_KEYED, 0);
	b.key = a.key;
	assert_int_equal(param_try(other, 1, &b), MEMBOX_ST_KEY_REFUSED);
	for (i = 0; i + 16 <= e->geo.bytes; i += 8) /* the box keeps a hash */
		if (!memcmp(e->map + i, &a.key, 16))
			fail_msg("the key stands in the box at %llu", (unsigned long long)i);
	mbe_detach(e);
	mbe_detach(other);
}

/* ---- arguments ---- */

static void commands_with_bad_arguments_say_which(void **state)
{
	struct mbe *e = port_of(1), *op = operator_port(), *other = port_of(2);
	struct membox_port_stat s = {.port = 4};
	struct membox_list_args list = {.rsvd = 1};
	struct membox_param_args a;
	struct mbe_extent x;
	uint32_t h;

	(void)state;
	a = param_args("w", MEMBOX_PARAM_CREATE | MEMBOX_PARAM_RDONLY, 10);
	a.mode = 0622;
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_OK);
	assert_int_equal(a.rights, MEMBOX_WIN_READ); /* a creator may ask for less, too */
	assert_int_equal(mbe_extent_get(e, 1, a.handle, &x), MEMBOX_ST_NOT_MAPPABLE);
	assert_int_equal(mbe_extent_get(e, 2, a.handle, &x), MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(mbe_extent_get(e, 9, a.handle, &x), MEMBOX_ST_BAD_CONTEXT);
	assert_int_equal(ADM(e, 1, PORT_STAT, &s), MEMBOX_ST_BAD_ARGUMENT);
	assert_int_equal(ADM(e, 1, PARAM_LIST, &list), MEMBOX_ST_RESERVED);
	assert_int_equal(param_revoke(op, ""), MEMBOX_ST_BAD_NAME);
	a.flags = MEMBOX_PARAM_RDONLY;
	assert_int_equal(ADM(op, 1, PARAM_REVOKE, &a), MEMBOX_ST_BAD_FLAG);
	assert_int_equal(param_get(other, 1, "w", &h), MEMBOX_ST_OK); /* may write, not read */
	assert_int_equal(param_subscribe(other, 1, h, 1), MEMBOX_ST_DENIED);
	assert_int_equal(param_subscribe(other, 1, h + 1, 1), MEMBOX_ST_BAD_HANDLE);
	mbe_detach(e);
	mbe_detach(op);
	mbe_detach(other);
}

/* ---- listing ---- */

static void a_list_tells_of_each_once(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_list_args list = {0};
	bool seen[60] = {false};
	uint32_t i, total = 0;
	char name[16];

	(void)state;
	for (i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "%u", i);
		param_make(e, name, 0, i + 1);
	}
	do {
		assert_int_equal(ADM(e, 1, PARAM_LIST, &list), MEMBOX_ST_OK);
		for (i = 0; i < list.count; i++) {
			uint32_t n = (uint32_t)atoi(list.entry[i].name);

			assert_false(seen[n]);
			seen[n] = true;
			assert_int_equal(list.entry[i].count, n + 1);
			total++;
		}
	} while (list.cursor);
	assert_int_equal(total, 60);
	mbe_detach(e);
}

/* ---- many threads ---- */

static void *open_use_close(void *arg)
{
	struct mbe *e = arg;
	struct mbe_operand op;
	unsigned int i;

	for (i = 0; i < 300; i++) {
		struct membox_param_args a = param_make(e, i % 2 ? "odd" : "even", MEMBOX_PARAM_EPHEMERAL, 64);

		MUST(mbe_operand_get(e, 1, a.handle, &op) == MEMBOX_ST_OK);
		__atomic_fetch_add((uint32_t *)(void *)op.data, 1, __ATOMIC_RELAXED);
		if (i % 3)
			MUST(param_close(e, 1, a.handle, NULL) == MEMBOX_ST_OK);
		mbe_operand_put(e, &op);
		if (!(i % 3))
			MUST(param_close(e, 1, a.handle, NULL) == MEMBOX_ST_OK);
	}
	return NULL;
}

static void threads_of_two_ports_open_and_close_at_once(void **state)
{
	struct mbe *e[2] = {port_of(1), port_of(2)};
	uint64_t before = box_info(e[0]).free_bytes;
	pthread_t thread[4];
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, open_use_close, e[i % 2]), 0);
	for (i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(box_info(e[0]).params, 0);
	assert_true(box_info(e[0]).free_bytes == before);
	assert_int_equal(box_findings(e[0]), 0);
	mbe_detach(e[0]);
	mbe_detach(e[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		box_test(one_entry_and_equal_addresses_for_eight_processes),
		box_test(a_second_creator_gets_what_is_there),
		box_test(another_shape_is_refused),
		box_test(bad_arguments_are_named_and_change_nothing),
		box_test(handles_are_private_to_their_context_and_not_used_twice),
		box_test(handles_run_out_with_a_status),
		box_test(contexts_end_with_all_that_is_theirs),
		box_test(modes_say_what_owner_and_others_may),
		box_test(a_read_only_port_changes_nothing),
		box_test(a_wrong_or_absent_key_is_refused),
		box_test(commands_with_bad_arguments_say_which),
		box_test(a_list_tells_of_each_once),
		box_test(threads_of_two_ports_open_and_close_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_param", tests, NULL, NULL);
}
