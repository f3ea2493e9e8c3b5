// SPDX-License-Identifier: MIT
/*
 * lib_ops.c - operations that end before the call returns: what they do, also
 * when they are split, when the box cannot and the library does it, and what
 * they say when they are refused.
 */
#include "lib_box.h"

#include <sys/mman.h>

#define N 1000

static struct membox *box;

static int setup(void **state)
{
	setup_box(state);
	box = open_box();
	return 0;
}

/* Transfers of more than 1,000 bytes are split: 250 elements of f32. */
static int setup_split(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts), .max_bytes = 1000 };

	setup_box(state);
	box = open_box_with(&opts);
	return 0;
}

static int setup_fallback(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts),
					 .caps_off = MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR };

	setup_box(state);
	box = open_box_with(&opts);
	return 0;
}

static int teardown(void **state)
{
	membox_close(box);
	return teardown_box(state);
}

static void count_up(float *f, int n, float first)
{
	int i;

	for (i = 0; i < n; i++)
		f[i] = first + (float)i;
}

/* ---- what they do: run plain, split, and with the fallback ---- */

static void what_is_written_is_read(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, N);
	float out[N], in[N] = { 0 };
	uint64_t version = 99;

	(void)state;
	count_up(out, N, 1);
	good(membox_read(param, 0, N, in, &version));
	assert_int_equal(version, 0);
	good(membox_write(param, 0, N, out));
	good(membox_read(param, 0, N, in, NULL));
	assert_memory_equal(in, out, sizeof(in));
	memset(in, 0, sizeof(in));
	good(membox_read(param, 301, 500, in, NULL));
	assert_memory_equal(in, out + 301, 500 * sizeof(float));
	good(membox_snapshot(param, 7, 900, in, &version));
	assert_memory_equal(in, out + 7, 900 * sizeof(float));
	assert_true(version >= 1);
}

static void copies_and_fills(void **state)
{
	struct membox_param *from = get_param(box, "from", MEMBOX_F32, N);
	struct membox_param *to = get_param(box, "to", MEMBOX_F32, 2 * N);
	float data[2 * N], fill = -2.5f;
	int i;

	(void)state;
	count_up(data, N, 1);
	good(membox_write(from, 0, N, data));
	good(membox_copy(to, 500, from, 10, 900));
	good(membox_fill(to, 1400, 600, &fill));
	good(membox_read(to, 0, 2 * N, data, NULL));
	for (i = 0; i < 2 * N; i++)
		assert_true(data[i] == (i < 500 ? 0 : i < 1400 ? (float)(i - 489) : fill));
}

static void sums_scales_and_combines(void **state)
{
	struct membox_param *y = get_param(box, "y", MEMBOX_F32, N);
	struct membox_param *x = get_param(box, "x", MEMBOX_F32, N);
	float data[N];
	int i;

	(void)state;
	count_up(data, N, 1);
	good(membox_write(x, 0, N, data));
	good(membox_acc(y, 0, N, data, MEMBOX_F32, 2)); /* y = 2 (i + 1) */
	good(membox_acc_param(y, 100, x, 0, 900, -1));
	good(membox_scale(y, 500, 500, 3));
	good(membox_axpby(y, 10, x, 1));
	good(membox_read(y, 0, N, data, NULL));
	for (i = 0; i < N; i++) {
		float want = (float)(2 * (i + 1)) - (i < 100 ? 0 : (float)(i - 99));

		want = want * (i < 500 ? 1 : 3) + 10 * (float)(i + 1);
		assert_true(data[i] == want);
	}
}

static void reduces_as_asked(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_I32, N);
	int32_t a[N], b[N], got[N];
	int i;

	(void)state;
	for (i = 0; i < N; i++) {
		a[i] = i * 37 % 101 - 50;
		b[i] = i * 53 % 89 - 44;
	}
#define REDUCED(red, want) \
	do { \
		good(membox_write(param, 0, N, a)); \
		good(membox_acc_red(param, 0, N, b, MEMBOX_I32, red, 1)); \
		good(membox_read(param, 0, N, got, NULL)); \
		for (i = 0; i < N; i++) \
			assert_int_equal(got[i], (want)); \
	} while (0)
	REDUCED(MEMBOX_SUM, a[i] + b[i]);
	REDUCED(MEMBOX_MIN, a[i] < b[i] ? a[i] : b[i]);
	REDUCED(MEMBOX_MAX, a[i] > b[i] ? a[i] : b[i]);
	REDUCED(MEMBOX_PROD, a[i] * b[i]);
#undef REDUCED
}

/* bfloat16 of a small whole number is its float's upper half. */
static uint16_t bf16(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return (uint16_t)(bits >> 16);
}

static void half_floats_add_to_floats(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, N);
	uint16_t half[N];
	float data[N];
	int i;

	(void)state;
	for (i = 0; i < N; i++)
		half[i] = bf16((float)(i % 100));
	good(membox_acc(param, 0, N, half, MEMBOX_BF16, 0.5));
	good(membox_read(param, 0, N, data, NULL));
	for (i = 0; i < N; i++)
		assert_true(data[i] == (float)(i % 100) / 2);
}

static void a_weighted_sum_overwrites_in_list_order(void **state)
{
	struct membox_param *to = get_param(box, "to", MEMBOX_F32, N);
	struct membox_param *from = get_param(box, "from", MEMBOX_F32, 3 * N);
	struct membox_wsum_term terms[3] = { { from, 0, 1 }, { from, N, 1 }, { from, 2 * N, 1 } };
	float data[3 * N], junk = 77;
	int i;

	(void)state;
	for (i = 0; i < N; i++) { /* only from left to right: (big + 1) - big is 0 */
		data[i] = 1e8f;
		data[N + i] = 1;
		data[2 * N + i] = -1e8f;
	}
	good(membox_fill(to, 0, N, &junk));
	good(membox_write(from, 0, 3 * N, data));
	good(membox_wsum(to, terms, 3));
	good(membox_read(to, 0, N, data, NULL));
	for (i = 0; i < N; i++)
		assert_true(data[i] == 0);
	terms[1].first = 2 * N;
	terms[2].first = N;
	good(membox_wsum(to, terms, 3)); /* (big - big) + 1 */
	good(membox_read(to, 0, N, data, NULL));
	for (i = 0; i < N; i++)
		assert_true(data[i] == 1);
}

static void many_terms_can_be_summed(void **state)
{
	struct membox_param *to = get_param(box, "to", MEMBOX_I64, 100);
	struct membox_param *from = get_param(box, "from", MEMBOX_I64, 400);
	struct membox_wsum_term terms[MEMBOX_MAX_TERMS + 1];
	int64_t data[400], sum;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 400; i++)
		data[i] = i * 3 - 100;
	good(membox_write(from, 0, 400, data));
	for (k = 0; k <= MEMBOX_MAX_TERMS; k++)
		terms[k] = (struct membox_wsum_term){ from, k, k % 5 };
	good(membox_wsum(to, terms, MEMBOX_MAX_TERMS));
	for (i = 0; i < 100; i++) {
		int64_t got;

		for (sum = 0, k = 0; k < MEMBOX_MAX_TERMS; k++)
			sum += data[i + k] * (k % 5);
		good(membox_read(to, i, 1, &got, NULL));
		assert_int_equal(got, sum);
	}
	refused(membox_wsum(to, terms, MEMBOX_MAX_TERMS + 1), EMSGSIZE, 0, "'to'", "257", "256");
	refused(membox_wsum(to, terms, 0), EINVAL, 0, "'to'");
}

/* The library's arithmetic is the box's: every type, with numbers that round. */
static void the_fallback_makes_the_same_bits(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts),
					 .caps_off = MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR };
	struct membox *without = open_box_with(&opts);
	unsigned int type, i;

	(void)state;
	for (type = MEMBOX_F32; type < MEMBOX_NR_TYPES; type++) {
		size_t size = membox_type_size((enum membox_type)type);
		struct membox_param *p[2], *x[2];
		uint8_t data[8 * N], got[2][8 * N];
		bool whole = type >= MEMBOX_I8;
		char name[2][16];

		for (i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)(i * 167 % 251 ^ i >> 3);
		for (i = 0; i < 2; i++) {
			struct membox *b = i ? without : box;
			struct membox_wsum_term terms[2];

			snprintf(name[0], sizeof(name[0]), "p%u-%u", type, i);
			snprintf(name[1], sizeof(name[1]), "x%u-%u", type, i);
			p[i] = get_param(b, name[0], (enum membox_type)type, N);
			x[i] = get_param(b, name[1], (enum membox_type)type, N);
			good(membox_write(p[i], 0, N, data));
			good(membox_write(x[i], 0, N - 1, data + 8));
			good(membox_acc(p[i], 0, N, data, (enum membox_type)type, whole ? 3 : 0.3));
			good(membox_scale(p[i], 0, N, whole ? -2 : 0.7));
			good(membox_axpby(p[i], whole ? 5 : 0.1, x[i], whole ? 2 : 1.1));
			good(membox_acc_param(p[i], 0, x[i], 0, N, whole ? 1 : 1e-3));
			good(membox_acc_red(p[i], 0, N, data, (enum membox_type)type, MEMBOX_MAX, 1));
			terms[0] = (struct membox_wsum_term){ p[i], 0, whole ? 2 : 0.9 };
			terms[1] = (struct membox_wsum_term){ x[i], 0, whole ? 7 : -1.3 };
			good(membox_wsum(x[i], terms, 2));
			good(membox_read(x[i], 0, N, got[i], NULL));
		}
		assert_memory_equal(got[0], got[1], N * size);
	}
	membox_close(without);
}

static void words_change_in_one_step(void **state)
{
	struct membox_param *wide = get_param(box, "wide", MEMBOX_I64, 8);
	struct membox_param *narrow = get_param(box, "narrow", MEMBOX_I32, 8);
	int64_t old = 99;

	(void)state;
	good(membox_fetch_add(wide, 7, 5, &old));
	assert_int_equal(old, 0);
	good(membox_fetch_add(wide, 7, -7, &old));
	assert_int_equal(old, 5);
	good(membox_swap(wide, 7, 1LL << 40, &old));
	assert_int_equal(old, -2);
	good(membox_compare_swap(wide, 7, 3, 4, &old));
	assert_true(old == 1LL << 40);
	good(membox_compare_swap(wide, 7, 1LL << 40, 4, &old));
	good(membox_fetch_add(wide, 7, 0, &old));
	assert_int_equal(old, 4);
	good(membox_fetch_add(narrow, 0, -3, NULL));
	good(membox_swap(narrow, 0, 8, &old));
	assert_int_equal(old, -3);
	assert_int_equal(membox_swap(narrow, 0, 1LL << 40, &old), -EINVAL);
	assert_int_equal(membox_error_status(), MEMBOX_ST_BAD_SCALAR);
}

/* ---- what they refuse, and how ---- */

static void ranges_are_checked_before_anything_changes(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, N);
	struct membox_param *other = get_param(box, "o", MEMBOX_F32, N / 2);
	float data[2 * N] = { 0 }, before[N], after[N];

	(void)state;
	count_up(data, N, 1);
	good(membox_write(param, 0, N, data));
	good(membox_read(param, 0, N, before, NULL));
	refused(membox_read(param, 990, 11, data, NULL), ERANGE, MEMBOX_ST_OUT_OF_RANGE, "READ",
		"'w'", "11 elements from 990", "of 1000", "not bytes");
	refused(membox_write(param, 1000, 1, data), ERANGE, MEMBOX_ST_OUT_OF_RANGE, "WRITE", "'w'");
	refused(membox_acc(param, 1, N, data, MEMBOX_F32, 1), ERANGE, MEMBOX_ST_OUT_OF_RANGE, "ACC",
		"'w'");
	refused(membox_scale(param, UINT64_MAX, 1, 2), EOVERFLOW, MEMBOX_ST_OFFSET_OVERFLOW, "SCALE");
	refused(membox_acc_param(param, 0, other, 1, N / 2, 1), ERANGE, MEMBOX_ST_OUT_OF_RANGE,
		"operand 1");
	refused(membox_acc_param(param, 0, param, 1, 100, 1), EINVAL, MEMBOX_ST_OVERLAP, "'w'");
	refused(membox_read(param, 0, 0, data, NULL), EINVAL, MEMBOX_ST_ZERO_LENGTH, "'w'");
	refused(membox_axpby(param, 1, other, 1), EPROTOTYPE, MEMBOX_ST_SHAPE_MISMATCH, "1000",
		"500");
	good(membox_read(param, 0, N, after, NULL));
	assert_memory_equal(before, after, sizeof(after));
}

static void types_are_checked(void **state)
{
	struct membox_param *f = get_param(box, "f", MEMBOX_F32, N);
	struct membox_param *i = get_param(box, "i", MEMBOX_I64, N);
	float data[N] = { 0 };

	(void)state;
	refused(membox_acc(f, 0, 10, data, MEMBOX_F64, 1), EINVAL, MEMBOX_ST_BAD_TYPE, "'f'", "f32",
		"f64");
	refused(membox_copy(f, 0, i, 0, 10), EINVAL, MEMBOX_ST_BAD_TYPE, "COPY", "i64");
	refused(membox_fetch_add(f, 0, 1, NULL), EINVAL, MEMBOX_ST_BAD_TYPE, "ATOMIC", "f32");
	refused(membox_scale(i, 0, 10, 0.5), EINVAL, MEMBOX_ST_BAD_SCALAR, "SCALE", "'i'");
	refused(membox_acc_red(f, 0, 10, data, MEMBOX_F32, (enum membox_red)9, 1), EINVAL,
		MEMBOX_ST_BAD_REDUCTION, "ACC");
	assert_int_equal(membox_type_size(MEMBOX_BF16), 2);
	assert_int_equal(membox_type_size((enum membox_type)99), 0);
}

static void memory_that_is_not_there_is_an_error(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, 4096);
	char *three = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	float f = 1;

	(void)state;
	assert_true(three != MAP_FAILED);
	memset(three, 0, 3 * 4096);
	good(membox_read(param, 0, 4, three, NULL)); /* what the library maps does not come into the hole */
	assert_int_equal(munmap(three + 4096, 4096), 0);
	assert_int_equal(mprotect(three + 8192, 4096, PROT_READ), 0);
	refused(membox_read(param, 0, 1025, three, NULL), EFAULT, MEMBOX_ST_HOST_FAULT, "READ", "'w'",
		"mapped");
	refused(membox_write(param, 0, 1025, three), EFAULT, MEMBOX_ST_HOST_FAULT, "WRITE");
	refused(membox_acc(param, 0, 1025, three, MEMBOX_F32, 1), EFAULT, MEMBOX_ST_HOST_FAULT);
	refused(membox_read(param, 0, 4, three + 8192, NULL), EFAULT, MEMBOX_ST_HOST_FAULT);
	good(membox_write(param, 0, 4, three + 8192)); /* reading it is allowed */
	good(membox_read(param, 0, 1024, three, NULL));
	refused(membox_write(param, 0, 1, NULL), EFAULT, MEMBOX_ST_HOST_FAULT);
	refused(membox_write(param, 0, 1, three + 1), EINVAL, MEMBOX_ST_MISALIGNED, "align");
	good(membox_write(param, 0, 1, &f)); /* the next good one works */
	munmap(three, 4096);
	munmap(three + 8192, 4096);
}

static void closed_and_foreign_operands_are_named(void **state)
{
	struct membox *other = open_box();
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, 4);
	struct membox_param *foreign = get_param(other, "w", MEMBOX_F32, 4);
	float f = 0;

	(void)state;
	refused(membox_copy(param, 0, foreign, 0, 1), EINVAL, 0, "'w'", "another box");
	refused(membox_read(NULL, 0, 1, &f, NULL), EINVAL, 0, "READ", "no parameter");
	refused(membox_acc_param(param, 0, NULL, 0, 1, 1), EINVAL, 0, "source");
	refused(membox_fill(param, 0, 1, NULL), EINVAL, 0, "element");
	membox_close(other);
}

static void what_the_box_cannot_is_said(void **state)
{
	struct membox_open_opts opts = { .size = sizeof(opts),
					 .caps_off = MEMBOX_CAP_ATOMIC | MEMBOX_CAP_WAIT };
	struct membox *less = open_box_with(&opts);
	struct membox_param *param = get_param(less, "w", MEMBOX_I64, 4);

	(void)state;
	refused(membox_fetch_add(param, 0, 1, NULL), EOPNOTSUPP, MEMBOX_ST_UNSUPPORTED, "ATOMIC",
		"capabilities");
	refused(membox_wait_version(param, 0, A_MOMENT, NULL), EOPNOTSUPP, MEMBOX_ST_UNSUPPORTED,
		"WAIT");
	membox_close(less);
}

static void failing_memory_says_where(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, N);
	struct membox_open_opts opts = { .size = sizeof(opts), .max_bytes = 1000,
					 .poison_first = membox_param_address(param) + 2000,
					 .poison_bytes = 64 };
	struct membox_param *seen;
	struct membox_done done;
	struct membox_op op;
	struct membox *worn;
	float data[N];

	(void)state;
	only_on_files();
	worn = open_box_with(&opts);
	seen = get_param(worn, "w", MEMBOX_F32, N);
	membox_prep_read(&op, seen, 0, N, data);
	op.user_data = 17;
	assert_int_equal(membox_run(worn, &op, &done), -EIO);
	assert_int_equal(membox_error_status(), MEMBOX_ST_MEDIA_ERROR);
	if (!strstr(membox_error(), "byte 2000"))
		fail_msg("%s", membox_error());
	assert_int_equal(done.status, MEMBOX_ST_MEDIA_ERROR);
	assert_int_equal(done.error, -EIO);
	assert_int_equal(done.result, 2000);
	assert_int_equal(done.user_data, 17);
	good(membox_read(seen, 0, 500, data, NULL));
	membox_close(worn);
}

/* A packet as it is: what the library does not check the box does. */
static void raw_packets_are_answered_precisely(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, 4);
	struct membox_packet packet = { .opcode = MEMBOX_OP_READ, .dst_type = MEMBOX_F32, .count = 4 };
	struct membox_done done;
	struct membox_op op;
	float data[4];

	(void)state;
	packet.handle[0] = membox_param_handle(param);
	packet.host.addr = (uintptr_t)data;
	membox_prep_packet(&op, &packet);
	good(membox_run(box, &op, &done));
	assert_int_equal(done.bytes, 16);
	packet.flags = MEMBOX_F_ORDERED;
	assert_int_equal(membox_run(box, &op, &done), -EINVAL);
	assert_int_equal(done.status, MEMBOX_ST_BAD_FLAG);
	assert_int_equal(done.detail, offsetof(struct membox_packet, flags));
	packet.flags = MEMBOX_F_REGION;
	packet.host.key = 5;
	membox_run(box, &op, &done);
	assert_int_equal(done.status, MEMBOX_ST_BAD_REGION);
	packet.flags = 0;
	packet.host.key = 0;
	packet.handle[0] ^= 0x10000;
	membox_run(box, &op, &done);
	assert_int_equal(done.status, MEMBOX_ST_BAD_HANDLE);
	assert_int_equal(done.detail, offsetof(struct membox_packet, handle));
	packet.opcode = 0xee;
	membox_run(box, &op, &done);
	assert_int_equal(done.status, MEMBOX_ST_BAD_OPCODE);
}

/* ---- memory ---- */

static void allocated_memory_takes_transfers(void **state)
{
	struct membox_param *param = get_param(box, "w", MEMBOX_F32, 1 << 20);
	float *big = membox_alloc(box, 4 << 20), *small = membox_alloc(box, 100);
	struct membox_region *region = NULL;
	static float own[1 << 10];

	(void)state;
	assert_non_null(big);
	assert_non_null(small);
	assert_int_equal((uintptr_t)big % (2 << 20), 0);
	big[12345] = 3;
	good(membox_write(param, 0, 1 << 20, big));
	big[12345] = 0;
	good(membox_read(param, 0, 1 << 20, big, NULL));
	assert_true(big[12345] == 3);
	good(membox_region(box, own, sizeof(own), &region));
	good(membox_read(param, 12000, 1 << 10, own, NULL));
	assert_true(own[345] == 3);
	membox_region_put(region);
	membox_region_put(NULL);
	membox_free(box, big);
	membox_free(box, small);
	membox_free(box, NULL);
	assert_null(membox_alloc(box, 0));
	assert_int_equal(membox_region(box, own, 0, &region), -EINVAL);
	refused(membox_region(box, (void *)4096, 4096, &region), EFAULT, MEMBOX_ST_HOST_FAULT);
}

static void statuses_have_names(void **state)
{
	(void)state;
	assert_string_equal(membox_status_name(MEMBOX_ST_OUT_OF_RANGE), "OUT_OF_RANGE");
	assert_string_equal(membox_status_text(MEMBOX_ST_QUOTA), "quota of the port is used up");
	assert_string_equal(membox_status_name(9999), "UNKNOWN");
	assert_int_equal(membox_version()[0], '1');
}

int main(void)
{
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define ALSO(how, name) { #name " (" #how ")", name, setup_##how, teardown, NULL }
#define ALL_WAYS(name) PLAIN(name), ALSO(split, name), ALSO(fallback, name)
	const struct CMUnitTest tests[] = {
		ALL_WAYS(what_is_written_is_read),
		ALL_WAYS(copies_and_fills),
		ALL_WAYS(sums_scales_and_combines),
		ALL_WAYS(reduces_as_asked),
		ALL_WAYS(half_floats_add_to_floats),
		ALL_WAYS(a_weighted_sum_overwrites_in_list_order),
		ALL_WAYS(many_terms_can_be_summed),
		PLAIN(the_fallback_makes_the_same_bits),
		PLAIN(words_change_in_one_step),
		ALL_WAYS(ranges_are_checked_before_anything_changes),
		ALL_WAYS(types_are_checked),
		ALL_WAYS(memory_that_is_not_there_is_an_error),
		PLAIN(closed_and_foreign_operands_are_named),
		PLAIN(what_the_box_cannot_is_said),
		PLAIN(failing_memory_says_where),
		PLAIN(raw_packets_are_answered_precisely),
		PLAIN(allocated_memory_takes_transfers),
		PLAIN(statuses_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
