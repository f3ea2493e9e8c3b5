// SPDX-License-Identifier: MIT
/*
 * engine_coll.c - collectives: every operation, type and reduction against a fold made
 * here, with 2, 3, 4 and 7 ranks in threads, from 1 element to many chunks, whoever
 * comes first, several in flight, from and to memory in pieces and parameters.
 */
#include <time.h>

#include "engine_coll.h"

#define MAX_RANKS 7

static struct member members[MAX_RANKS];
static int nr;

/* ---- ranks in threads ---- */

struct job {
	struct member *m;
	void (*work)(struct member *m, void *arg);
	void *arg;
};

static void *job_thread(void *arg)
{
	struct job *j = arg;

	j->work(j->m, j->arg);
	return NULL;
}

static void all_ranks(void (*work)(struct member *m, void *arg), void *arg)
{
	struct job jobs[MAX_RANKS];
	pthread_t threads[MAX_RANKS];

	for (int r = 0; r < nr; r++) {
		jobs[r] = (struct job){ &members[r], work, arg };
		assert_int_equal(pthread_create(&threads[r], NULL, job_thread, &jobs[r]), 0);
	}
	for (int r = 0; r < nr; r++)
		pthread_join(threads[r], NULL);
}

/* ---- one collective after the other ---- */

struct batch {
	const struct coll *list;
	unsigned int n;
	char wrong[160]; /* the first */
	pthread_mutex_t lock;
};

static void say(struct batch *b, const struct coll *k, int rank, const char *what, uint64_t number)
{
	pthread_mutex_lock(&b->lock);
	if (!b->wrong[0])
		snprintf(b->wrong, sizeof(b->wrong), "op %#x types %u %u red %u count %llu rank %d: %s %llu", k->opcode,
			 k->src, k->dst, k->red, (unsigned long long)k->count, rank, what,
			 (unsigned long long)number);
	pthread_mutex_unlock(&b->lock);
}

static void run_batch(struct member *m, void *arg)
{
	struct batch *b = arg;

	for (unsigned int n = 0; n < b->n; n++) {
		const struct coll *k = &b->list[n];
		uint64_t in_bytes = coll_in(k, m->ranks) * membox_type_bytes(k->src);
		uint64_t out_bytes = coll_out(k, m->ranks) * membox_type_bytes(k->dst);
		uint8_t *out = malloc(out_bytes + 1), *expected = malloc(out_bytes + 1);
		bool receives = coll_receives(k, m->rank);
		struct membox_completion c;
		void *in[MAX_RANKS];

		for (int r = 0; r < m->ranks; r++) {
			in[r] = malloc(in_bytes + 1);
			coll_input(k, n, r, m->ranks, in[r]);
		}
		memset(out, 0xee, out_bytes + 1);
		c = coll_run(m, k, in[m->rank], out);
		if (c.status)
			say(b, k, m->rank, "status", c.status);
		else if (c.bytes != (receives ? out_bytes : 0))
			say(b, k, m->rank, "bytes", c.bytes);
		if (receives && !c.status) {
			coll_expect(k, in, m->rank, m->ranks, expected);
			for (uint64_t i = 0; i < out_bytes; i++)
				if (out[i] != expected[i]) {
					say(b, k, m->rank, "differs at byte", i);
					break;
				}
		}
		if (out[receives ? out_bytes : 0] != 0xee)
			say(b, k, m->rank, "wrote past the end", 0);
		for (int r = 0; r < m->ranks; r++)
			free(in[r]);
		free(out);
		free(expected);
	}
}

static void check_batch(const struct coll *list, unsigned int n)
{
	struct batch b = { list, n, "", PTHREAD_MUTEX_INITIALIZER };

	all_ranks(run_batch, &b);
	if (b.wrong[0])
		fail_msg("%s", b.wrong);
}

/* ---- fixtures ---- */

static int set_up(void **state, int ranks)
{
	(void)state;
	box_create(96 << 20);
	nr = ranks;
	members_open(members, nr);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mbe_fsck(members[0].port.e, NULL, NULL), 0);
	members_close(members, nr);
	box_remove();
	return 0;
}

static int two(void **state)
{
	return set_up(state, 2);
}
static int three(void **state)
{
	return set_up(state, 3);
}
static int four(void **state)
{
	return set_up(state, 4);
}
static int seven(void **state)
{
	return set_up(state, 7);
}

/* ---- tests ---- */

static const uint8_t opcodes[] = { MEMBOX_OP_ALLREDUCE, MEMBOX_OP_REDUCE, MEMBOX_OP_REDUCE_SCATTER,
				   MEMBOX_OP_ALLGATHER, MEMBOX_OP_BROADCAST, MEMBOX_OP_BARRIER };
static const uint8_t types[][2] = {
	{ MEMBOX_F32, MEMBOX_F32 }, { MEMBOX_F64, MEMBOX_F64 }, { MEMBOX_F16, MEMBOX_F16 },
	{ MEMBOX_BF16, MEMBOX_BF16 }, { MEMBOX_I8, MEMBOX_I8 }, { MEMBOX_I32, MEMBOX_I32 },
	{ MEMBOX_I64, MEMBOX_I64 }, { MEMBOX_F16, MEMBOX_F32 }, { MEMBOX_BF16, MEMBOX_F32 },
};

static void every_operation_type_and_reduction(void **state)
{
	static const uint64_t counts[] = { 1, 13, 1000, 4097, 70001 };
	struct coll list[1024];
	unsigned int n = 0;

	(void)state;
	for (unsigned int o = 0; o < sizeof(opcodes); o++)
		for (unsigned int t = 0; t < sizeof(types) / 2; t++)
			for (uint8_t red = MEMBOX_SUM; red < MEMBOX_NR_REDS; red++)
				for (unsigned int s = 0; s < sizeof(counts) / sizeof(*counts); s++) {
					struct coll k = { opcodes[o], types[t][0], types[t][1], red,
							  n % (unsigned int)nr, counts[s] };

					if (o >= 3 && (red > MEMBOX_SUM || k.src != k.dst))
						continue;
					if (s >= 3 && red > MEMBOX_MIN && t % 3) /* long ones are slow to check */
						continue;
					assert_true(n < 1024);
					list[n++] = k;
				}
	check_batch(list, n);
}

static void sizes_around_every_boundary(void **state)
{
	static const uint64_t bytes[] = { 4, 64, 4092, 4096, 4100, 131072, 131076, 262144, 524288, 1048580, 3000000 };
	struct coll list[64];
	unsigned int n = 0;

	(void)state;
	for (unsigned int s = 0; s < sizeof(bytes) / sizeof(*bytes); s++)
		for (unsigned int o = 0; o < 5; o++)
			list[n++] = (struct coll){ opcodes[o], MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM, 0, bytes[s] / 4 };
	check_batch(list, n);
}

static void sixty_four_mebibytes(void **state)
{
	static const struct coll list[] = { { MEMBOX_OP_ALLREDUCE, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM, 0, 16 << 20 } };

	(void)state;
	check_batch(list, 1);
}

/* Ranks that come late, in another order each time. */
static void late_ranks(struct member *m, void *arg)
{
	struct batch *b = arg;
	struct coll k = { MEMBOX_OP_ALLREDUCE, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM, 0, 1 };

	for (int round = 0; round < 20; round++) {
		struct timespec pause = { 0, (m->rank * 7 + round * 5) % m->ranks * 300000 };
		uint64_t n = round % 2 ? 3 : 40000;
		int32_t *in = malloc(n * 4), *out = malloc(n * 4);
		struct membox_completion c;

		k.count = n;
		for (uint64_t i = 0; i < n; i++)
			in[i] = (int32_t)i * (m->rank + 1) + round;
		nanosleep(&pause, NULL);
		c = coll_run(m, &k, in, out);
		for (uint64_t i = 0; i < n; i++)
			if (c.status || out[i] != (int32_t)i * m->ranks * (m->ranks + 1) / 2 + round * m->ranks)
				say(b, &k, m->rank, "late, status", c.status);
		free(in);
		free(out);
	}
}

static void whoever_comes_last(void **state)
{
	struct batch b = { NULL, 0, "", PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	all_ranks(late_ranks, &b);
	if (b.wrong[0])
		fail_msg("%s", b.wrong);
}

/* Each rank starts all at once, in an order of its own. */
#define FLIGHTS 40
static void many_at_once(struct member *m, void *arg)
{
	struct batch *b = arg;
	struct coll k = { MEMBOX_OP_ALLREDUCE, MEMBOX_I64, MEMBOX_I64, MEMBOX_SUM, 0, 0 };
	static const uint64_t counts[] = { 1, 100, 30000 };
	struct coll_issue *x = calloc(FLIGHTS, sizeof(*x));
	int64_t *in[FLIGHTS], *out[FLIGHTS];
	uint32_t first = m->seq;

	for (int i = 0; i < FLIGHTS; i++) {
		in[i] = malloc(30000 * 8);
		out[i] = malloc(30000 * 8);
	}
	for (int i = 0; i < FLIGHTS; i++) {
		int j = m->rank == 0 ? i : m->rank == 1 ? FLIGHTS - 1 - i : i ^ 1;
		struct membox_packet p;

		k.count = counts[j % 3];
		for (uint64_t n = 0; n < k.count; n++)
			in[j][n] = (int64_t)n + j * (m->rank + 1);
		m->seq = first + (uint32_t)j;
		p = coll_packet(m, &k, in[j], out[j]);
		coll_start(m, &x[j], &p);
	}
	m->seq = first + FLIGHTS;
	for (int j = 0; j < FLIGHTS; j++) {
		struct membox_completion c = coll_wait(m, &x[j]);

		k.count = counts[j % 3];
		for (uint64_t n = 0; n < k.count; n++)
			if (c.status || out[j][n] != (int64_t)n * m->ranks + j * m->ranks * (m->ranks + 1) / 2) {
				say(b, &k, m->rank, "in flight, status", c.status);
				break;
			}
	}
	for (int i = 0; i < FLIGHTS; i++) {
		free(in[i]);
		free(out[i]);
	}
	free(x);
}

static void many_in_flight_in_any_order(void **state)
{
	struct batch b = { NULL, 0, "", PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	for (int i = 0; i < 5; i++)
		all_ranks(many_at_once, &b);
	if (b.wrong[0])
		fail_msg("%s", b.wrong);
}

/* From parameters to parameters, and in place. */
static void in_parameters(struct member *m, void *arg)
{
	struct batch *b = arg;
	struct coll k = { MEMBOX_OP_ALLREDUCE, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM, 0, 200000 };
	float *data = malloc(4 * k.count), *got = malloc(4 * k.count);
	struct membox_packet p;
	struct coll_issue x;
	struct membox_completion c;
	char name[16];
	uint32_t h;

	snprintf(name, sizeof(name), "p%d", m->rank);
	h = param_open(&m->port, name, MEMBOX_F32, k.count + 100, 0);
	for (int round = 0; round < 2; round++) {
		uint64_t n = round ? 50 : k.count, before;
		struct membox_packet w = op_move(MEMBOX_OP_WRITE, h, 100, n, MEMBOX_F32);

		for (uint64_t i = 0; i < n; i++)
			data[i] = (float)(i % 1000) + (float)m->rank;
		run(&m->port, &w, data);
		before = param_stat(&m->port, h).finished;
		k.count = n;
		p = coll_packet(m, &k, NULL, NULL);
		p.handle[0] = h;
		p.offset[0] = 100;
		p.handle[1] = h;
		p.offset[1] = 100;
		m->seq++;
		coll_start(m, &x, &p);
		c = coll_wait(m, &x);
		if (c.status || c.bytes != 4 * n || c.version != before + 1 ||
		    param_stat(&m->port, h).begun != before + 1)
			say(b, &k, m->rank, "parameters, status", c.status);
		w.opcode = MEMBOX_OP_READ;
		run(&m->port, &w, got);
		for (uint64_t i = 0; i < n; i++)
			if (got[i] != (float)(i % 1000) * (float)m->ranks + (float)(m->ranks * (m->ranks - 1) / 2))
				say(b, &k, m->rank, "parameters, element", i);
	}
	free(data);
	free(got);
}

static void from_and_to_parameters(void **state)
{
	struct batch b = { NULL, 0, "", PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	all_ranks(in_parameters, &b);
	if (b.wrong[0])
		fail_msg("%s", b.wrong);
}

/* Host memory in many pieces of odd lengths, as a guest's is. */
static void in_pieces(struct member *m, void *arg)
{
	struct batch *b = arg;

	for (unsigned int o = 0; o < 5; o++) {
		struct coll k = { opcodes[o], MEMBOX_BF16, MEMBOX_BF16, MEMBOX_SUM, 1, 90001 };
		uint64_t in_bytes = coll_in(&k, m->ranks) * 2, out_bytes = coll_out(&k, m->ranks) * 2;
		uint8_t *out = malloc(out_bytes), *expected = malloc(out_bytes);
		struct iovec v[2][512];
		struct coll_issue x;
		struct membox_packet p;
		struct membox_completion c;
		void *in[MAX_RANKS];

		for (int r = 0; r < m->ranks; r++) {
			in[r] = malloc(in_bytes);
			coll_input(&k, o + 77, r, m->ranks, in[r]);
		}
		p = coll_packet(m, &k, in[m->rank], out);
		m->seq++;
		memset(&x, 0, sizeof(x));
		for (int s = 0; s < 2; s++) {
			uint64_t bytes = s ? membox_host2_bytes(&p) : membox_host_bytes(&p), at = 0;
			unsigned int n = 0;

			while (at < bytes) {
				uint64_t len = 2 * (1 + (at * 31 + (uint64_t)m->rank) % 9000);

				if (n == 511 || len > bytes - at)
					len = bytes - at;
				v[s][n++] = (struct iovec){ (s ? out : (uint8_t *)in[m->rank]) + at, len };
				at += len;
			}
			if (s)
				x.i.cmd.nhost2 = n;
			else
				x.i.cmd.nhost = n;
		}
		x.i.cmd.p = p;
		x.i.cmd.p.context = BOX_CONTEXT;
		x.i.cmd.host = v[0];
		x.i.cmd.host2 = v[1];
		x.i.cmd.done = issue_done;
		x.i.cmd.arg = &x.i;
		if (mbe_queue_enter(&m->port.q, &x.i.cmd))
			mbe_execute(m->port.e, &x.i.cmd);
		c = coll_wait(m, &x);
		coll_expect(&k, in, m->rank, m->ranks, expected);
		if (c.status || (coll_receives(&k, m->rank) && memcmp(out, expected, out_bytes)))
			say(b, &k, m->rank, "in pieces, status", c.status);
		for (int r = 0; r < m->ranks; r++)
			free(in[r]);
		free(out);
		free(expected);
	}
}

static void memory_in_many_pieces(void **state)
{
	struct batch b = { NULL, 0, "", PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	all_ranks(in_pieces, &b);
	if (b.wrong[0])
		fail_msg("%s", b.wrong);
}

#define WITH(test, ranks) cmocka_unit_test_setup_teardown(test, ranks, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH(every_operation_type_and_reduction, two),
		WITH(every_operation_type_and_reduction, three),
		WITH(every_operation_type_and_reduction, seven),
		WITH(sizes_around_every_boundary, two),
		WITH(sizes_around_every_boundary, four),
		WITH(sixty_four_mebibytes, two),
		WITH(whoever_comes_last, two),
		WITH(whoever_comes_last, four),
		WITH(many_in_flight_in_any_order, two),
		WITH(many_in_flight_in_any_order, three),
		WITH(from_and_to_parameters, two),
		WITH(from_and_to_parameters, three),
		WITH(memory_in_many_pieces, two),
		WITH(memory_in_many_pieces, four),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
