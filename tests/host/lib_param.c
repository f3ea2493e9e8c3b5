// SPDX-License-Identifier: MIT
/*
 * lib_param.c - parameters by name, shapes, keys, ends, and mappings.
 */
#include "lib_box.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static const struct membox_shape shape = { MEMBOX_F32, 100, 0 };

static void one_name_is_one_parameter(void **state)
{
	struct membox *box = open_box(), *other = open_box();
	struct membox_param *first, *second;
	float f = 7;

	(void)state;
	good(membox_param_get(box, "weights", &shape, 0, &first));
	good(membox_param_get(other, "weights", &shape, 0, &second));
	assert_int_equal(membox_param_created(first), 1);
	assert_int_equal(membox_param_created(second), 0);
	assert_int_equal(membox_param_address(first), membox_param_address(second));
	assert_string_equal(membox_param_name(second), "weights");
	assert_int_equal(membox_param_type(second), MEMBOX_F32);
	assert_int_equal(membox_param_count(second), 100);
	assert_int_equal(membox_param_bytes(second), 400);
	assert_ptr_equal(membox_param_box(second), other);
	assert_int_not_equal(membox_param_handle(second), 0);
	good(membox_write(first, 99, 1, &f));
	f = 0;
	good(membox_read(second, 99, 1, &f, NULL));
	assert_true(f == 7);
	membox_close(other);
	membox_close(box);
}

static void another_shape_is_named_with_what_is_there(void **state)
{
	const struct membox_shape longer = { MEMBOX_F32, 101, 0 }, wider = { MEMBOX_F64, 100, 0 };
	struct membox_param *param, *second = NULL;
	struct membox *box = open_box();

	(void)state;
	good(membox_param_get(box, "w", &shape, 0, &param));
	refused(membox_param_get(box, "w", &longer, 0, &second), EPROTOTYPE,
		MEMBOX_ST_SHAPE_MISMATCH, "'w'", "101 of f32 asked", "100 of f32 there");
	refused(membox_param_get(box, "w", &wider, 0, &second), EPROTOTYPE,
		MEMBOX_ST_SHAPE_MISMATCH, "100 of f64 asked");
	refused(membox_param_get(box, "w", &shape, MEMBOX_PARAM_EXCL, &second), EEXIST,
		MEMBOX_ST_EXISTS, "'w'", "destroy it");
	assert_null(second);
	membox_close(box);
}

static void names_and_flags_are_checked(void **state)
{
	struct membox *box = open_box();
	struct membox_param *param = NULL;
	struct membox_key key;
	char name[80];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[64] = 0;
	refused(membox_param_get(box, name, &shape, 0, &param), EINVAL, MEMBOX_ST_BAD_NAME,
		"1 to 63");
	refused(membox_param_get(box, "", &shape, 0, &param), EINVAL, MEMBOX_ST_BAD_NAME);
	refused(membox_param_get(box, "a b", &shape, 0, &param), EINVAL, MEMBOX_ST_BAD_NAME, "'a b'");
	refused(membox_param_get(box, "w", NULL, 0, &param), EINVAL, 0, "shape");
	refused(membox_param_get(box, "w", &shape, 1U << 20, &param), EINVAL, 0, "0x100000");
	refused(membox_param_create(box, "w", &shape, 0, NULL, &param), EINVAL, 0, "key");
	refused(membox_param_create(box, "w", &shape, 1U << 20, &key, &param), EINVAL, 0, "0x100000");
	refused(membox_param_attach(box, "w", NULL, MEMBOX_PARAM_MAPPABLE, &param), EINVAL, 0, "0x8");
	refused(membox_param_attach(box, "nobody", NULL, 0, &param), ENOENT, MEMBOX_ST_NOT_FOUND,
		"'nobody'", "memboxctl ls");
	assert_null(param);
	name[63] = 0;
	good(membox_param_get(box, name, &shape, 0, &param));
	membox_close(box);
}

static void room_that_is_missing_is_counted(void **state)
{
	const struct membox_shape huge = { MEMBOX_F64, 1 << 30, 0 };
	struct membox_open_opts opts = { .size = sizeof(opts), .quota_bytes = 1000 };
	struct membox *box = open_box(), *small;
	struct membox_param *param;
	char name[16];
	int i, ret = 0;

	(void)state;
	refused(membox_param_get(box, "huge", &huge, 0, &param), ENOSPC, MEMBOX_ST_NO_SPACE,
		"'huge'", "8589934592 bytes", "free", "destroy");
	small = open_box_with(&opts);
	good(membox_param_get(small, "fits", &shape, 0, &param));
	assert_int_equal(membox_param_get(small, "more", &(struct membox_shape){ MEMBOX_F32, 300, 0 },
					  0, &param), -EDQUOT);
	assert_non_null(strstr(membox_error(), "quota"));
	for (i = 0; i < 65 && !ret; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		ret = membox_param_get(box, name, &(struct membox_shape){ MEMBOX_I8, 1, 0 }, 0, &param);
	}
	assert_int_equal(ret, -ENFILE); /* the box was made for 64 */
	assert_non_null(strstr(membox_error(), "--params"));
	membox_close(small);
	membox_close(box);
}

static void only_the_key_opens_a_keyed_one(void **state)
{
	struct membox *box = open_box(), *other = open_box();
	struct membox_param *param, *seen = NULL;
	struct membox_key key, again, wrong;
	char text[MEMBOX_KEY_TEXT];

	(void)state;
	good(membox_param_create(box, "secret", &shape, 0, &key, &param));
	good(membox_param_key(param, &again));
	assert_memory_equal(&key, &again, sizeof(key));
	refused(membox_param_attach(other, "secret", NULL, 0, &seen), EKEYREJECTED,
		MEMBOX_ST_KEY_REFUSED, "'secret'", "key");
	wrong = key;
	wrong.word[1] ^= 1;
	refused(membox_param_attach(other, "secret", &wrong, 0, &seen), EKEYREJECTED,
		MEMBOX_ST_KEY_REFUSED);
	assert_int_equal(membox_param_get(other, "secret", &shape, 0, &seen), -EKEYREJECTED);
	assert_null(seen);
	membox_key_to_text(&key, text);
	assert_int_equal(strlen(text), 40);
	good(membox_key_from_text(text, &again));
	good(membox_param_attach(other, "secret", &again, 0, &seen));
	assert_int_equal(membox_param_address(seen), membox_param_address(param));
	refused(membox_param_create(other, "secret", &shape, 0, &wrong, &seen), EEXIST,
		MEMBOX_ST_EXISTS);
	membox_close(other);
	membox_close(box);
}

static void a_mistyped_key_is_noticed(void **state)
{
	const struct membox_key key = { { 0x0123456789abcdefULL, 0xfedcba9876543210ULL } };
	struct membox_key read = { { 1, 2 } };
	char text[MEMBOX_KEY_TEXT], typed[MEMBOX_KEY_TEXT];
	size_t i;

	(void)state;
	membox_key_to_text(&key, text);
	good(membox_key_from_text(text, &read));
	assert_memory_equal(&read, &key, sizeof(key));
	for (i = 4; i < 40; i++) {
		strcpy(typed, text);
		typed[i] = typed[i] == '7' ? '8' : '7';
		refused(membox_key_from_text(typed, &read), EINVAL, 0, "mistyped");
	}
	refused(membox_key_from_text("", &read), EINVAL, 0, "mbk-");
	refused(membox_key_from_text("mbk-0123", &read), EINVAL, 0, "hexadecimal");
	text[5] = 'G';
	refused(membox_key_from_text(text, &read), EINVAL, 0, "hexadecimal");
}

static void an_open_one_has_no_key(void **state)
{
	struct membox *box = open_box();
	struct membox_param *param = get_param(box, "open", MEMBOX_F32, 1);
	struct membox_key key;

	(void)state;
	refused(membox_param_key(param, &key), ENOKEY, 0, "'open'");
	membox_close(box);
}

static void destroying_frees_the_name_then_the_space(void **state)
{
	struct membox_info before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct membox *box = open_box(), *other = open_box();
	struct membox_param *param, *second, *fresh;
	float f = 5;

	(void)state;
	good(membox_info(box, &before));
	good(membox_param_get(box, "w", &shape, 0, &param));
	good(membox_param_attach(other, "w", NULL, 0, &second));
	assert_int_equal(membox_param_destroy(param), 1); /* deferred: it is still used */
	good(membox_write(second, 0, 1, &f));
	refused(membox_read(param, 0, 1, &f, NULL), ESTALE, MEMBOX_ST_DESTROYED, "'w'", "by name");
	good(membox_param_get(box, "w", &shape, 0, &fresh));
	assert_int_equal(membox_param_created(fresh), 1);
	f = 1;
	good(membox_read(fresh, 0, 1, &f, NULL));
	assert_true(f == 0);
	membox_param_put(param);
	membox_param_put(second);
	assert_int_equal(membox_param_destroy(fresh), 0);
	membox_param_put(fresh);
	good(membox_info(box, &after));
	assert_int_equal(after.free_bytes, before.free_bytes);
	assert_int_equal(after.params, before.params);
	membox_close(other);
	membox_close(box);
}

static void rights_are_the_owners_the_modes_and_the_operators(void **state)
{
	struct membox_open_opts stranger = { .size = sizeof(stranger),
					     .flags = MEMBOX_OPEN_PRINCIPAL,
					     .principal = "somebody else" };
	struct membox_open_opts operator = { .size = sizeof(operator),
					     .flags = MEMBOX_OPEN_OPERATOR };
	const struct membox_shape private = { MEMBOX_F32, 4, 0600 }, read = { MEMBOX_F32, 4, 0644 };
	struct membox *box = open_box(), *foreign = open_box_with(&stranger), *chief;
	struct membox_param *mine, *param = NULL;
	float f = 0;

	(void)state;
	good(membox_param_get(box, "private", &private, 0, &mine));
	refused(membox_param_attach(foreign, "private", NULL, 0, &param), EACCES, MEMBOX_ST_DENIED,
		"'private'");
	good(membox_param_get(box, "read", &read, 0, &param));
	good(membox_param_attach(foreign, "read", NULL, MEMBOX_PARAM_RDONLY, &param));
	good(membox_read(param, 0, 1, &f, NULL));
	refused(membox_write(param, 0, 1, &f), EACCES, MEMBOX_ST_DENIED, "'read'");
	refused(membox_param_destroy(param), EACCES, MEMBOX_ST_DENIED, "'read'");
	assert_int_equal(membox_param_revoke(foreign, "read"), -EACCES);
	chief = open_box_with(&operator);
	good(membox_param_revoke(chief, "read"));
	refused(membox_read(param, 0, 1, &f, NULL), ESTALE, MEMBOX_ST_DESTROYED);
	refused(membox_param_revoke(chief, "read"), ENOENT, MEMBOX_ST_NOT_FOUND, "'read'");
	membox_close(chief);
	membox_close(foreign);
	membox_close(box);
}

static void a_box_for_reading_only_reads(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .flags = MEMBOX_OPEN_RDONLY };
	struct membox *box = open_box(), *reader;
	struct membox_param *param, *seen = NULL;
	float f = 9;

	(void)state;
	good(membox_param_get(box, "w", &shape, 0, &param));
	good(membox_write(param, 0, 1, &f));
	reader = open_box_with(&opts);
	good(membox_param_attach(reader, "w", NULL, 0, &seen));
	f = 0;
	good(membox_read(seen, 0, 1, &f, NULL));
	assert_true(f == 9);
	refused(membox_write(seen, 0, 1, &f), EACCES, MEMBOX_ST_DENIED, "reading only");
	assert_int_equal(membox_param_get(reader, "new", &shape, 0, &seen), -EACCES);
	membox_close(reader);
	membox_close(box);
}

static void ephemeral_ones_go_and_others_stay(void **state)
{
	struct membox *box = open_box();
	struct membox_param *param;

	(void)state;
	good(membox_param_get(box, "brief", &shape, MEMBOX_PARAM_EPHEMERAL, &param));
	membox_param_put(param);
	good(membox_param_get(box, "lasting", &shape, 0, &param));
	membox_close(box);
	box = open_box();
	assert_int_equal(membox_param_attach(box, "brief", NULL, 0, &param), -ENOENT);
	good(membox_param_attach(box, "lasting", NULL, 0, &param));
	membox_close(box);
}

static void stat_tells_of_a_parameter(void **state)
{
	struct membox_param_stat stat = { .size = sizeof(stat) };
	struct membox *box = open_box();
	struct membox_param *param;
	float f = 0;

	(void)state;
	good(membox_param_get(box, "w", &shape, MEMBOX_PARAM_MAPPABLE, &param));
	good(membox_write(param, 0, 1, &f));
	good(membox_param_subscribe(param, 1));
	good(membox_param_stat(param, &stat));
	assert_string_equal(stat.name, "w");
	assert_int_equal(stat.count, 100);
	assert_int_equal(stat.mode, 0666);
	assert_int_equal(stat.begun, 1);
	assert_int_equal(stat.finished, 1);
	assert_int_equal(stat.refs, 1);
	assert_int_equal(stat.subscribers, 1);
	assert_true(stat.attrs & MEMBOX_PARAM_MAPPABLE);
	stat.size = 2;
	refused(membox_param_stat(param, &stat), EINVAL, 0, "size", "'w'");
	membox_close(box);
}

struct listing {
	int seen, stop_at;
	char names[64][MEMBOX_NAME_BYTES];
};

static int list_one(void *arg, const struct membox_param_stat *stat)
{
	struct listing *l = arg;

	strcpy(l->names[l->seen++], stat->name);
	return l->seen == l->stop_at ? 42 : 0;
}

static void listing_shows_each_once(void **state)
{
	struct membox *box = open_box();
	struct listing l = { 0 }, part = { .stop_at = 30 };
	char name[16];
	int i, j, found;

	(void)state;
	for (i = 0; i < 60; i++) { /* more than fit in one answer of the box */
		snprintf(name, sizeof(name), "p%d", i);
		get_param(box, name, MEMBOX_I8, 1);
	}
	good(membox_param_list(box, list_one, &l));
	assert_int_equal(l.seen, 60);
	for (i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		for (found = 0, j = 0; j < 60; j++)
			found += !strcmp(name, l.names[j]);
		assert_int_equal(found, 1);
	}
	assert_int_equal(membox_param_list(box, list_one, &part), 42);
	assert_int_equal(part.seen, 30);
	membox_close(box);
}

/* ---- mappings ---- */

static void a_mapping_is_the_parameter(void **state)
{
	struct membox *box = open_box(), *other = open_box();
	struct membox_param *param, *seen;
	float *mine, *theirs, f = 4;
	void *again;
	uint64_t version = 0;

	(void)state;
	good(membox_param_get(box, "w", &shape, MEMBOX_PARAM_MAPPABLE, &param));
	good(membox_param_attach(other, "w", NULL, 0, &seen));
	good(membox_param_map(param, PROT_READ | PROT_WRITE, (void **)&mine));
	good(membox_param_map(seen, PROT_READ, (void **)&theirs));
	good(membox_param_map(seen, PROT_READ, &again));
	assert_ptr_equal(theirs, again);
	mine[3] = 2.5f;
	assert_true(theirs[3] == 2.5f);
	good(membox_write(seen, 4, 1, &f));
	assert_true(mine[4] == 4);
	good(membox_param_commit(param));
	f = 0;
	good(membox_read(seen, 3, 1, &f, &version));
	assert_true(f == 2.5f);
	assert_int_equal(version, 2); /* the write and the commit */
	membox_close(other);
	membox_close(box);
}

static sigjmp_buf landing;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(landing, 1);
}

static bool store_faults(volatile float *at)
{
	struct sigaction act = { .sa_handler = on_fault }, old;
	bool faults;

	sigaction(SIGSEGV, &act, &old);
	faults = sigsetjmp(landing, 1);
	if (!faults)
		*at = 1;
	sigaction(SIGSEGV, &old, NULL);
	return faults;
}

static void a_mapping_for_reading_cannot_be_written(void **state)
{
	struct membox *box = open_box();
	struct membox_param *param, *plain, *reader;
	void *addr;

	(void)state;
	good(membox_param_get(box, "w", &shape, MEMBOX_PARAM_MAPPABLE, &param));
	good(membox_param_attach(box, "w", NULL, MEMBOX_PARAM_RDONLY, &reader));
	good(membox_param_map(reader, PROT_READ, &addr));
	assert_true(store_faults(addr));
	assert_int_equal(mprotect(addr, 4096, PROT_READ | PROT_WRITE), -1);
	refused(membox_param_map(reader, PROT_READ | PROT_WRITE, &addr), EACCES, MEMBOX_ST_DENIED,
		"'w'", "writing");
	refused(membox_param_map(param, PROT_EXEC, &addr), EINVAL, 0, "'w'");
	plain = get_param(box, "plain", MEMBOX_F32, 4);
	refused(membox_param_map(plain, PROT_READ, &addr), ENODEV, MEMBOX_ST_NOT_MAPPABLE, "'plain'",
		"MEMBOX_PARAM_MAPPABLE");
	membox_close(box);
}

static void without_windows_nothing_is_mapped(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .caps_off = MEMBOX_CAP_WINDOWS };
	struct membox *box = open_box_with(&opts);
	struct membox_param *param;
	void *addr;

	(void)state;
	good(membox_param_get(box, "w", &shape, MEMBOX_PARAM_MAPPABLE, &param));
	refused(membox_param_map(param, PROT_READ, &addr), EOPNOTSUPP, MEMBOX_ST_UNSUPPORTED, "'w'");
	membox_close(box);
}

int main(void)
{
#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup_box, teardown_box)
	const struct CMUnitTest tests[] = {
		BOX_TEST(one_name_is_one_parameter),
		BOX_TEST(another_shape_is_named_with_what_is_there),
		BOX_TEST(names_and_flags_are_checked),
		BOX_TEST(room_that_is_missing_is_counted),
		BOX_TEST(only_the_key_opens_a_keyed_one),
		cmocka_unit_test(a_mistyped_key_is_noticed),
		BOX_TEST(an_open_one_has_no_key),
		BOX_TEST(destroying_frees_the_name_then_the_space),
		BOX_TEST(rights_are_the_owners_the_modes_and_the_operators),
		BOX_TEST(a_box_for_reading_only_reads),
		BOX_TEST(ephemeral_ones_go_and_others_stay),
		BOX_TEST(stat_tells_of_a_parameter),
		BOX_TEST(listing_shows_each_once),
		BOX_TEST(a_mapping_is_the_parameter),
		BOX_TEST(a_mapping_for_reading_cannot_be_written),
		BOX_TEST(without_windows_nothing_is_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
