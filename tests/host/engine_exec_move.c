// SPDX-License-Identifier: MIT
/*
 * engine_exec_move.c - READ, WRITE, COPY, FILL and SNAPSHOT on a box: every size
 * and alignment arrives byte for byte, what is beside it stays, versions and
 * counters tell of it exactly.
 */
#include "engine_box.h"
#include "exec.h"

#define BIG (96ULL << 20)

static struct port port;
static uint32_t big;
static uint8_t *out, *in;

/* Copies past the caches, as long moves use them: every length and alignment, nothing beside. */
static void a_streamed_copy_is_a_copy(void **state)
{
	static uint8_t from[512], to[512], want[512];

	(void)state;
	for (unsigned int i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 37 + 11);
	for (unsigned int n = 0; n <= 300; n++) {
		for (unsigned int at = 0; at < 66; at++) {
			memset(to, 0xa5, sizeof(to));
			memset(want, 0xa5, sizeof(want));
			memcpy(want + at, from + n % 19, n);
			mbe_copy_stream(to + at, from + n % 19, n);
			assert_memory_equal(to, want, sizeof(to));
		}
	}
}

/* As long as they have to be to go past the caches, from memory that is aligned to nothing. */
static void long_moves_arrive(void **state)
{
	uint64_t n = MBE_STREAM_BYTES + 12345;
	uint32_t d = param_open(&port, "long", MEMBOX_I8, n, MEMBOX_PARAM_NOJOURNAL);
	uint8_t *a = malloc(n + 1), *b = malloc(n + 3);

	(void)state;
	assert_true(a && b);
	for (uint64_t i = 0; i < n; i++)
		a[1 + i] = (uint8_t)(i * 7 + (i >> 11));
	write_all(&port, d, MEMBOX_I8, n, a + 1);
	read_all(&port, d, MEMBOX_I8, n, b + 3);
	assert_memory_equal(a + 1, b + 3, n);
	free(a);
	free(b);
}

static int set_up(void **state)
{
	(void)state;
	box_create(256ULL << 20);
	port_open(&port);
	big = param_open(&port, "big", MEMBOX_I8, BIG + 64, 0);
	out = malloc(BIG + 64);
	in = malloc(BIG + 64);
	assert_true(out && in);
	for (uint64_t i = 0; i < (BIG + 64) / 8; i++)
		((uint64_t *)(void *)out)[i] = (i + 1) * 0x9e3779b97f4a7c15ULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_close(&port);
	box_remove();
	free(out);
	free(in);
	return 0;
}

/* Writes n bytes at first from out + skew, reads them into in + skew2, looks at both sides. */
static void there_and_back(uint64_t first, uint64_t n, uint64_t skew, uint64_t skew2)
{
	struct membox_packet w = op_move(MEMBOX_OP_WRITE, big, first, n, MEMBOX_I8);
	struct membox_packet r = op_move(MEMBOX_OP_READ, big, first, n, MEMBOX_I8);
	uint8_t guards[2];

	guards[0] = in[skew2 + n];
	assert_int_equal(run_ok(&port, &w, out + skew).bytes, n);
	memset(in + skew2, 0, n);
	assert_int_equal(run_ok(&port, &r, in + skew2).bytes, n);
	assert_memory_equal(in + skew2, out + skew, n);
	assert_int_equal(in[skew2 + n], guards[0]);
}

static void every_size_and_alignment_arrives(void **state)
{
	static const uint64_t sizes[] = { 1, 2, 3, 4, 7, 8, 63, 64, 65, 4095, 4096, 4097, BOX_STRIPE - 1,
					  BOX_STRIPE, BOX_STRIPE + 1, 3 * BOX_STRIPE + 5, (5 << 20) + 1 };
	static const uint64_t firsts[] = { 0, 1, 7, 63, 4095, BOX_STRIPE - 1, BOX_STRIPE + 3 };

	(void)state;
	for (unsigned int s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (unsigned int f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++)
			there_and_back(firsts[f], sizes[s], (s + f) % 9, (s * 3 + f) % 11);
	there_and_back(3, BIG, 5, 2);
}

static void a_write_changes_nothing_beside_it(void **state)
{
	uint64_t n = 3 * BOX_STRIPE;
	struct membox_packet w;

	(void)state;
	for (uint64_t first = 0; first < 2 * BOX_STRIPE; first += BOX_STRIPE / 2 + 13) {
		uint64_t len = BOX_STRIPE / 3 + first % 1000;

		fill_all(&port, big, MEMBOX_I8, n, 0x5a);
		w = op_move(MEMBOX_OP_WRITE, big, first, len, MEMBOX_I8);
		run_ok(&port, &w, out);
		read_all(&port, big, MEMBOX_I8, n, in);
		for (uint64_t i = 0; i < n; i++)
			if (in[i] != (i >= first && i < first + len ? out[i - first] : 0x5a))
				fail_msg("byte %llu", (unsigned long long)i);
	}
}

/* Cuts host memory into pieces of odd lengths, some of them empty. */
static unsigned int split(struct iovec *v, unsigned int max, uint8_t *base, uint64_t n, unsigned int seed)
{
	unsigned int k = 0;

	while (n && k < max - 1) {
		seed = seed * 1103515245 + 12345;
		v[k].iov_base = base;
		v[k].iov_len = seed >> 16 & 3 ? (seed >> 8) % 4099 % (n + 1) : 0;
		base += v[k].iov_len;
		n -= v[k].iov_len;
		k++;
	}
	v[k].iov_base = base;
	v[k++].iov_len = n;
	return k;
}

static void host_memory_may_lie_in_any_pieces(void **state)
{
	struct iovec v[512];

	(void)state;
	for (unsigned int seed = 1; seed < 40; seed++) {
		uint64_t n = 300000 + seed * 777, first = seed * 5;
		struct membox_packet w = op_move(MEMBOX_OP_WRITE, big, first, n, MEMBOX_I8);
		struct membox_packet r = op_move(MEMBOX_OP_READ, big, first, n, MEMBOX_I8);
		unsigned int k = split(v, 512, out + seed, n, seed);

		assert_int_equal(run_iov(&port, &w, v, k).status, MEMBOX_ST_OK);
		memset(in, 0, n);
		k = split(v, 512, in, n, seed * 31);
		assert_int_equal(run_iov(&port, &r, v, k).status, MEMBOX_ST_OK);
		assert_memory_equal(in, out + seed, n);
	}
}

static void accumulation_takes_elements_in_any_pieces(void **state)
{
	uint32_t sum = param_open(&port, "pieces", MEMBOX_F64, 40000, 0);
	double *want = calloc(40000, sizeof(double)), *got = malloc(40000 * sizeof(double));
	struct iovec v[512];

	(void)state;
	fill_all(&port, sum, MEMBOX_F64, 40000, 0);
	for (int i = 0; i < 40000; i++)
		((double *)(void *)out)[i] = i * 0.5;
	for (unsigned int seed = 1; seed < 30; seed++) {
		uint64_t n = 40000 - seed * 3;
		struct membox_packet k = op_acc(sum, seed, n, MEMBOX_F64, MEMBOX_F64, MEMBOX_SUM);
		unsigned int pieces;

		/* pieces that begin anywhere: the whole buffer is moved by a byte */
		memmove(in + seed % 8, out, n * sizeof(double));
		pieces = split(v, 512, in + seed % 8, n * sizeof(double), seed);
		assert_int_equal(run_iov(&port, &k, v, pieces).status, MEMBOX_ST_OK);
		for (uint64_t i = 0; i < n; i++)
			want[seed + i] += (double)i * 0.5;
	}
	read_all(&port, sum, MEMBOX_F64, 40000, got);
	assert_memory_equal(got, want, 40000 * sizeof(double));
	for (uint64_t i = 0; i < (BIG + 64) / 8; i++)
		((uint64_t *)(void *)out)[i] = (i + 1) * 0x9e3779b97f4a7c15ULL;
	free(want);
	free(got);
}

static void copying_moves_ranges_between_parameters(void **state)
{
	uint64_t n = 3 * BOX_STRIPE / 4;
	uint32_t a = param_open(&port, "copy-a", MEMBOX_F32, n, 0), b = param_open(&port, "copy-b", MEMBOX_F32, n, 0);
	struct membox_packet k = op_move(MEMBOX_OP_COPY, b, 5, n - 9, MEMBOX_F32);
	uint64_t bytes = (n - 9) * 4;

	(void)state;
	write_all(&port, a, MEMBOX_F32, n, out);
	fill_all(&port, b, MEMBOX_F32, n, 0xdeadbeef);
	k.src_type = MEMBOX_F32;
	k.handle[1] = a;
	k.offset[1] = 2;
	assert_int_equal(run_ok(&port, &k, NULL).bytes, bytes);
	read_all(&port, b, MEMBOX_F32, n, in);
	assert_memory_equal(in + 20, out + 8, bytes);
	for (int i = 0; i < 5; i++)
		assert_int_equal(((uint32_t *)(void *)in)[i], 0xdeadbeef);
	for (uint64_t i = n - 4; i < n; i++)
		assert_int_equal(((uint32_t *)(void *)in)[i], 0xdeadbeef);
	/* as raw bytes between parameters of two types */
	k = op_move(MEMBOX_OP_COPY, big, 1, 1001, MEMBOX_I8);
	k.src_type = MEMBOX_I8;
	k.handle[1] = b;
	k.offset[1] = 3;
	run_ok(&port, &k, NULL);
	k = op_move(MEMBOX_OP_READ, big, 1, 1001, MEMBOX_I8);
	run_ok(&port, &k, in + n * 4);
	assert_memory_equal(in + n * 4, in + 3, 1001);
}

static void versions_count_writers(void **state)
{
	uint32_t h = param_open(&port, "versions", MEMBOX_I32, 100, 0);
	struct membox_packet w = op_move(MEMBOX_OP_WRITE, h, 0, 100, MEMBOX_I32);
	struct membox_packet r = op_move(MEMBOX_OP_READ, h, 0, 100, MEMBOX_I32);
	struct membox_packet notify = { .opcode = MEMBOX_OP_NOTIFY, .handle = { h } };
	struct membox_packet commit = op_move(MEMBOX_OP_COMMIT, h, 3, 4, MEMBOX_I32);
	uint64_t v = param_stat(&port, h).finished;

	(void)state;
	assert_int_equal(run_ok(&port, &w, out).version, v + 1);
	assert_int_equal(run_ok(&port, &r, in).version, v + 1);
	assert_int_equal(run_ok(&port, &notify, NULL).version, v + 2);
	assert_int_equal(run_ok(&port, &commit, NULL).version, v + 3);
	w.opcode = MEMBOX_OP_SNAPSHOT;
	assert_int_equal(run_ok(&port, &w, in).version, v + 3);
	w.opcode = MEMBOX_OP_WRITE;
	w.offset[0] = 1; /* refused: past the end */
	assert_int_equal(run(&port, &w, out).status, MEMBOX_ST_OUT_OF_RANGE);
	assert_int_equal(param_stat(&port, h).begun, v + 3);
	assert_int_equal(param_stat(&port, h).finished, v + 3);
}

/* What the counters of bytes moved since *before; stores the new ones. */
static void expect_counters(uint64_t *before, uint64_t to, uint64_t from, uint64_t control, uint64_t read,
			    uint64_t write, uint64_t ops, uint64_t errors)
{
	uint64_t want[] = { to, from, control, read, write, ops, errors };

	for (unsigned int i = 0; i < 7; i++) {
		uint64_t now = mbe_counter(port.e, i);

		if (now - before[i] != want[i])
			fail_msg("counter %u moved by %llu, should %llu", i, (unsigned long long)(now - before[i]),
				 (unsigned long long)want[i]);
		before[i] = now;
	}
}

static void counters_are_exact(void **state)
{
	uint64_t n = 100000, b = 4 * n, before[7];
	uint32_t x = param_open(&port, "count-x", MEMBOX_F32, n, 0), y = param_open(&port, "count-y", MEMBOX_F32, n, 0);
	uint32_t h = param_open(&port, "count-h", MEMBOX_BF16, n, 0), w = param_open(&port, "count-w", MEMBOX_I64, 4, 0);
	struct membox_term terms[3] = { { x, 0, 0, BOX_ONE }, { y, 0, 0, BOX_ONE }, { x, 0, 0, BOX_ONE } };
	struct membox_packet k;

	(void)state;
	for (unsigned int i = 0; i < 7; i++)
		before[i] = mbe_counter(port.e, i);
	write_all(&port, x, MEMBOX_F32, n, out);
	expect_counters(before, b, 0, 0, 0, b, 1, 0);
	read_all(&port, x, MEMBOX_F32, n, in);
	expect_counters(before, 0, b, 0, b, 0, 1, 0);
	fill_all(&port, y, MEMBOX_F32, n, 0);
	expect_counters(before, 0, 0, 0, 0, b, 1, 0);
	k = op_acc(y, 0, n, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM);
	run_ok(&port, &k, out);
	expect_counters(before, b, 0, 0, b, b, 1, 0);
	k = op_acc(y, 0, n, MEMBOX_F32, MEMBOX_BF16, MEMBOX_SUM);
	run_ok(&port, &k, out);
	expect_counters(before, b / 2, 0, 0, b, b, 1, 0);
	k.handle[1] = h;
	run_ok(&port, &k, NULL); /* between common areas: the host's counters stand still */
	expect_counters(before, 0, 0, 0, b + b / 2, b, 1, 0);
	k = op_move(MEMBOX_OP_SCALE, y, 0, n, MEMBOX_F32);
	k.scale.a = BOX_ONE;
	run_ok(&port, &k, NULL);
	expect_counters(before, 0, 0, 0, b, b, 1, 0);
	k = op_move(MEMBOX_OP_AXPBY, y, 0, n, MEMBOX_F32);
	k.src_type = MEMBOX_F32;
	k.handle[1] = x;
	k.scale.a = BOX_ONE;
	k.scale.b = BOX_ONE;
	run_ok(&port, &k, NULL);
	expect_counters(before, 0, 0, 0, 2 * b, b, 1, 0);
	k.opcode = MEMBOX_OP_COPY;
	k.scale.a = 0;
	k.scale.b = 0;
	run_ok(&port, &k, NULL);
	expect_counters(before, 0, 0, 0, b, b, 1, 0);
	k = op_move(MEMBOX_OP_WSUM, y, 0, n, MEMBOX_F32);
	k.src_type = MEMBOX_F32;
	k.list.nterms = 3;
	run_ok(&port, &k, terms);
	expect_counters(before, 0, 0, sizeof(terms), 3 * b, b, 1, 0);
	k = (struct membox_packet){ .opcode = MEMBOX_OP_ATOMIC, .sub = MEMBOX_FETCH_ADD, .dst_type = MEMBOX_I64,
				    .handle = { w } };
	run_ok(&port, &k, NULL);
	expect_counters(before, 0, 0, 0, 8, 8, 1, 0);
	k = (struct membox_packet){ .opcode = MEMBOX_OP_NOTIFY, .handle = { w } };
	run_ok(&port, &k, NULL);
	expect_counters(before, 0, 0, 0, 0, 0, 1, 0);
	k.handle[0] = 0x7fff;
	assert_int_equal(run(&port, &k, NULL).status, MEMBOX_ST_BAD_HANDLE);
	expect_counters(before, 0, 0, 0, 0, 0, 1, 1);
}

static void completions_tell_when_it_ran(void **state)
{
	uint64_t before = mbe_clock(port.e);
	struct membox_packet k = op_move(MEMBOX_OP_READ, big, 0, 1 << 20, MEMBOX_I8);
	struct membox_completion c;

	(void)state;
	k.user_data = 0x1234567890abcdefULL;
	k.cid = 77; /* as in a descriptor */
	c = run_ok(&port, &k, in);
	assert_true(c.start >= before && c.end >= c.start && c.end <= mbe_clock(port.e));
	assert_true(c.user_data == k.user_data && c.cid == 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_and_alignment_arrives),
		cmocka_unit_test(a_write_changes_nothing_beside_it),
		cmocka_unit_test(host_memory_may_lie_in_any_pieces),
		cmocka_unit_test(accumulation_takes_elements_in_any_pieces),
		cmocka_unit_test(copying_moves_ranges_between_parameters),
		cmocka_unit_test(versions_count_writers),
		cmocka_unit_test(counters_are_exact),
		cmocka_unit_test(completions_tell_when_it_ran),
		cmocka_unit_test(a_streamed_copy_is_a_copy),
		cmocka_unit_test(long_moves_arrive),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
