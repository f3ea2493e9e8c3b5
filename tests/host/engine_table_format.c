// SPDX-License-Identifier: MIT
/*
 * engine_table_format.c - making a box, attaching to it, and what is refused:
 * foreign and damaged files, holes, ports that are taken. And the checksums and
 * hashes that metadata stand on, against published values.
 */
#include "engine_table.h"

static int format_file(uint64_t bytes, bool force, char text[MBE_ERR_TEXT])
{
	struct mbe_format_opts o = {.bytes = bytes, .ports = 4, .force = force};

	return mbe_format(box_path, &o, text);
}

static int try_attach(int port, struct mbe **e, char text[MBE_ERR_TEXT])
{
	struct mbe_attach_opts o = {.port = port};

	return mbe_attach(box_path, &o, e, text);
}

static void poke(off_t at, const void *bytes, size_t n)
{
	int fd = open(box_path, O_RDWR);

	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void most_of_a_small_box_is_data(void **state)
{
	struct mbe *e;
	struct stat st;

	(void)state;
	box_make(64 * MIB, 4, 0);
	e = port_of(0);
	assert_true(mbe_data_bytes(e) > 56 * MIB);
	assert_int_equal(mbe_ports(e), 4);
	assert_int_equal(box_info(e).free_bytes, mbe_data_bytes(e));
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
	assert_int_equal(stat(box_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true((uint64_t)st.st_blocks * 512 >= 64 * MIB);
	unlink(box_path);
}

static void a_box_is_not_formatted_over_unless_forced(void **state)
{
	char text[MBE_ERR_TEXT];
	uint8_t before[16];
	struct mbe *e;

	(void)state;
	e = port_of(0);
	memcpy(before, mbe_uuid(e), sizeof(before));
	assert_int_equal(format_file(8 * MIB, true, text), -EBUSY);
	assert_non_null(strstr(text, "port 0"));
	mbe_detach(e);
	assert_int_equal(format_file(8 * MIB, false, text), -EEXIST);
	assert_non_null(strstr(text, "force"));
	assert_int_equal(format_file(0, true, text), 0);
	e = port_of(0);
	assert_memory_not_equal(mbe_uuid(e), before, sizeof(before));
	mbe_detach(e);
}

static void formatting_again_leaves_nothing_of_the_old_box(void **state)
{
	char text[MBE_ERR_TEXT];
	struct mbe_operand op;
	struct membox_param_args a;
	struct mbe *e = port_of(1);
	uint64_t i;

	(void)state;
	a = param_make(e, "secret", 0, MIB / 4);
	assert_int_equal(mbe_operand_get(e, 1, a.handle, &op), MEMBOX_ST_OK);
	memset(op.data, 0x5a, op.bytes);
	mbe_operand_put(e, &op);
	mbe_detach(e);
	assert_int_equal(format_file(0, true, text), 0);
	e = port_of(1);
	for (i = 0; i < e->geo.data_bytes; i++)
		if (e->map[e->geo.data + i])
			fail_msg("byte %llu survived", (unsigned long long)i);
	assert_int_equal(box_info(e).params, 0);
	mbe_detach(e);
}

static void a_file_that_is_no_box_is_refused(void **state)
{
	static const char letter[] = "Dear diary, nobody must ever format this.";
	char text[MBE_ERR_TEXT];
	struct mbe *e;

	(void)state;
	poke(0, letter, sizeof(letter));
	poke(8 * MIB - 4096, letter, sizeof(letter));
	assert_int_equal(try_attach(0, &e, text), -EUCLEAN);
	assert_non_null(strstr(text, "not a membox"));
	assert_int_equal(format_file(0, false, text), -EEXIST);
	unlink(box_path);
	assert_int_equal(try_attach(0, &e, text), -ENOENT);
	assert_int_equal(format_file(0, false, text), -EINVAL);
	assert_int_equal(access(box_path, F_OK), -1); /* a failed format leaves no file */
}

static void too_small_a_box_says_what_to_do(void **state)
{
	char text[MBE_ERR_TEXT];

	(void)state;
	assert_int_equal(format_file(MIB, true, text), -EINVAL);
	assert_non_null(strstr(text, "fewer ports"));
}

static void no_space_names_size_and_remedy(void **state)
{
	char text[MBE_ERR_TEXT];

	(void)state;
	unlink(box_path);
	assert_int_equal(format_file(1ULL << 46, false, text), -ENOSPC);
	assert_non_null(strstr(text, "67108864 MiB"));
	assert_non_null(strstr(text, "free"));
	assert_int_equal(access(box_path, F_OK), -1);
}

static void a_damaged_superblock_is_refused_and_the_backup_named(void **state)
{
	static const size_t at[] = {0, 8, 12, 16, 48, 60, 104, 4000};
	char text[MBE_ERR_TEXT];
	uint8_t good, bad;
	struct mbe *e;
	unsigned int i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		fd = open(box_path, O_RDWR);
		assert_int_equal(pread(fd, &good, 1, (off_t)at[i]), 1);
		close(fd);
		bad = good ^ 0x10;
		poke((off_t)at[i], &bad, 1);
		assert_int_equal(try_attach(0, &e, text), -EUCLEAN);
		assert_non_null(strstr(text, "backup is good"));
		poke((off_t)at[i], &good, 1);
	}
	/* and with both gone there is nothing to be said for it */
	bad = 0;
	poke(0, &bad, 1);
	poke(8 * MIB - 4096, &bad, 1);
	assert_int_equal(try_attach(0, &e, text), -EUCLEAN);
	assert_null(strstr(text, "backup"));
}

/* A superblock that says something else, with a good checksum, in both places. */
static void rewrite_super(void (*change)(struct membox_fmt_super *s))
{
	struct membox_fmt_super s;
	int fd = open(box_path, O_RDWR);

	assert_int_equal(pread(fd, &s, sizeof(s), 0), sizeof(s));
	close(fd);
	change(&s);
	s.crc = 0;
	s.crc = mbe_crc32c(0, &s, sizeof(s));
	poke(0, &s, sizeof(s));
	poke(8 * MIB - 4096, &s, sizeof(s));
}

static void next_version(struct membox_fmt_super *s)
{
	s->version++;
}

static void new_feature(struct membox_fmt_super *s)
{
	s->incompat |= 1ULL << 63;
}

static void readable_feature(struct membox_fmt_super *s)
{
	s->ro_compat |= 1ULL << 63;
}

static void harmless_feature(struct membox_fmt_super *s)
{
	s->compat |= 1ULL << 63;
}

static void areas_overlap(struct membox_fmt_super *s)
{
	s->area[MEMBOX_AREA_PARAMS].offset = s->area[MEMBOX_AREA_HANDLES].offset;
}

static void area_too_short(struct membox_fmt_super *s)
{
	s->params *= 2;
	s->hash_slots *= 2;
}

static void area_outside(struct membox_fmt_super *s)
{
	s->area[MEMBOX_AREA_DATA].bytes += 8 * MIB;
}

static void impossible_geometry_and_foreign_versions_are_refused(void **state)
{
	static void (*const change[])(struct membox_fmt_super *) = {next_version, new_feature, areas_overlap,
								    area_too_short, area_outside};
	char text[MBE_ERR_TEXT];
	struct mbe *e;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		rewrite_super(change[i]);
		assert_int_equal(try_attach(0, &e, text), -EUCLEAN);
		assert_int_equal(format_file(0, true, text), 0);
	}
}

static void unknown_features_open_as_far_as_they_allow(void **state)
{
	struct membox_param_args a = param_args("w", MEMBOX_PARAM_CREATE, 10);
	struct mbe *e;

	(void)state;
	rewrite_super(harmless_feature);
	e = port_of(1);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_OK);
	mbe_detach(e);
	rewrite_super(readable_feature);
	e = port_of(1);
	assert_int_equal(box_info(e).rdonly, 1);
	a = param_args("w", 0, 0);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_DENIED);
	a = param_args("w", MEMBOX_PARAM_RDONLY, 0);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_OK);
	mbe_detach(e);
}

static void short_and_sparse_files_are_refused(void **state)
{
	char text[MBE_ERR_TEXT];
	struct mbe *e;
	int fd;

	(void)state;
	fd = open(box_path, O_RDWR);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 7 * MIB, 65536), 0);
	assert_int_equal(try_attach(0, &e, text), -EUCLEAN);
	assert_non_null(strstr(text, "holes"));
	assert_int_equal(posix_fallocate(fd, 0, 8 * MIB), 0);
	assert_int_equal(try_attach(0, &e, text), 0);
	mbe_detach(e);
	assert_int_equal(ftruncate(fd, 7 * MIB), 0);
	assert_int_equal(try_attach(0, &e, text), -EUCLEAN);
	assert_non_null(strstr(text, "shorter"));
	close(fd);
}

static void each_port_is_attached_once(void **state)
{
	char text[MBE_ERR_TEXT];
	struct mbe *e[5];
	unsigned int i;

	(void)state;
	assert_int_equal(try_attach(2, &e[0], text), 0);
	assert_int_equal(try_attach(2, &e[1], text), -EBUSY);
	assert_int_equal(try_attach(4, &e[1], text), -EINVAL);
	for (i = 1; i < 4; i++)
		assert_int_equal(try_attach(MBE_PORT_AUTO, &e[i], text), 0);
	assert_int_equal(mbe_port(e[3]), 3);
	assert_int_equal(try_attach(MBE_PORT_AUTO, &e[4], text), -EBUSY);
	assert_non_null(strstr(text, "all 4 ports"));
	assert_int_equal(box_info(e[0]).live_ports, 4);
	mbe_detach(e[1]);
	assert_int_equal(mbe_port_state(e[0], 0), MEMBOX_PORT_FREE);
	assert_int_equal(try_attach(MBE_PORT_AUTO, &e[1], text), 0);
	assert_int_equal(mbe_port(e[1]), 0);
	assert_int_equal(box_findings(e[2]), 0);
	for (i = 0; i < 4; i++)
		mbe_detach(e[i]);
}

static void capabilities_can_be_switched_off(void **state)
{
	struct mbe_attach_opts o = port_opts(1);
	struct mbe *e;

	(void)state;
	o.caps_off = MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR;
	e = port_open(&o);
	assert_int_equal(mbe_caps(e), MEMBOX_CAP_ATOMIC | MEMBOX_CAP_WAIT | MEMBOX_CAP_WINDOWS |
				      MEMBOX_CAP_COLLECTIVES);
	assert_int_equal(box_info(e).caps, mbe_caps(e));
	mbe_detach(e);
}

static void checksum_and_hashes_have_their_published_values(void **state)
{
	/* RFC 7693, appendix B, and the all-zero block; SipHash's own first vectors */
	static const uint8_t abc[32] = {0x50, 0x8c, 0x5e, 0x8c, 0x32, 0x7c, 0x14, 0xe2, 0xe1, 0xa7, 0x2b,
					0xa3, 0x4e, 0xeb, 0x45, 0x2f, 0x37, 0x45, 0x8b, 0x20, 0x9e, 0xd6,
					0x3a, 0x29, 0x4d, 0x99, 0x9b, 0x4c, 0x86, 0x67, 0x59, 0x82};
	uint8_t digest[32], split[32], seed[16], text[200];
	unsigned int i;

	(void)state;
	assert_int_equal(mbe_crc32c(0, "123456789", 9), 0xe3069283U);
	assert_int_equal(mbe_crc32c(mbe_crc32c(0, "1234", 4), "56789", 5), 0xe3069283U);
	mbe_blake2s(digest, "ab", 2, "c", 1);
	assert_memory_equal(digest, abc, 32);
	for (i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	mbe_blake2s(digest, text, sizeof(text), NULL, 0);
	for (i = 0; i <= sizeof(text); i += 8) { /* wherever it is cut, blocks' ends included */
		mbe_blake2s(split, text, i, text + i, sizeof(text) - i);
		assert_memory_equal(split, digest, 32);
	}
	for (i = 0; i < 16; i++)
		seed[i] = (uint8_t)i;
	assert_true(mbe_siphash(seed, text, 0) == 0x726fdb47dd0e0e31ULL);
	assert_true(mbe_siphash(seed, text, 15) == 0xa129ca6149be45e5ULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(most_of_a_small_box_is_data),
		box_test(a_box_is_not_formatted_over_unless_forced),
		box_test(formatting_again_leaves_nothing_of_the_old_box),
		box_test(a_file_that_is_no_box_is_refused),
		box_test(too_small_a_box_says_what_to_do),
		box_test(no_space_names_size_and_remedy),
		box_test(a_damaged_superblock_is_refused_and_the_backup_named),
		box_test(impossible_geometry_and_foreign_versions_are_refused),
		box_test(unknown_features_open_as_far_as_they_allow),
		box_test(short_and_sparse_files_are_refused),
		box_test(each_port_is_attached_once),
		box_test(capabilities_can_be_switched_off),
		cmocka_unit_test(checksum_and_hashes_have_their_published_values),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_format", tests, NULL, NULL);
}
