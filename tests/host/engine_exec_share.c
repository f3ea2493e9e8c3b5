// SPDX-License-Identifier: MIT
/*
 * engine_exec_share.c - many threads in many processes on one box at once: no
 * addition is lost, a READ is whole per stripe, a SNAPSHOT whole altogether.
 *
 * Bounds of exact sums: i32 and i64 wrap, so any; f32 holds whole numbers up to
 * 2^24, and every partial sum here is below that.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "engine_box.h"

#define PROCESSES 3
#define THREADS 3
#ifdef __SANITIZE_THREAD__ /* tens of times slower */
#define ROUNDS 16
#define SMALL_ROUNDS 400
#else
#define ROUNDS 60
#define SMALL_ROUNDS 1500
#endif
#define LENGTH 150000 /* elements: several stripes of any type */

static struct port port;

static int set_up(void **state)
{
	(void)state;
	box_create(128 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	box_remove();
	return 0;
}

/* What one thread of one process does to the box. */
typedef void work_fn(struct port *p, unsigned int who);

struct worker {
	pthread_t thread;
	struct port p; /* the process's engine, a queue of its own */
	work_fn *work;
	unsigned int who;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	w->work(&w->p, w->who);
	return NULL;
}

static void run_threads(struct port *p, work_fn *work, unsigned int first)
{
	struct worker w[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .p = { .e = p->e, .q = { .ready = port_ready } }, .work = work,
					.who = first + i };
		assert_int_equal(mbe_queue_init(&w[i].p.q, p->e), 0);
		pthread_create(&w[i].thread, NULL, worker_main, &w[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		mbe_queue_fini(&w[i].p.q);
	}
}

/* Runs `work` in PROCESSES processes (this one is the last), THREADS threads each. */
static void run_everywhere(work_fn *work)
{
	pid_t pid[PROCESSES - 1];
	int status;

	for (unsigned int i = 0; i < PROCESSES - 1; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (!pid[i]) {
			struct port p;

			port_open(&p);
			run_threads(&p, work, i * THREADS);
			port_close(&p);
			_exit(0);
		}
	}
	port_open(&port);
	run_threads(&port, work, (PROCESSES - 1) * THREADS);
	for (unsigned int i = 0; i < PROCESSES - 1; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
}

static const struct {
	const char *name;
	uint8_t type;
} sums[] = { { "sum-i32", MEMBOX_I32 }, { "sum-i64", MEMBOX_I64 }, { "sum-f32", MEMBOX_F32 } };

static void put_element(uint8_t type, void *to, uint64_t i, int64_t v)
{
	if (type == MEMBOX_I32)
		((int32_t *)to)[i] = (int32_t)v;
	else if (type == MEMBOX_I64)
		((int64_t *)to)[i] = v;
	else
		((float *)to)[i] = (float)v;
}

/* Element i gets i % 97 + who each time. */
static void add_long(struct port *p, unsigned int who)
{
	void *mine = malloc(LENGTH * 8);

	for (unsigned int s = 0; s < 3; s++) {
		uint32_t h = param_open(p, sums[s].name, sums[s].type, LENGTH, 0);
		struct membox_packet k = op_acc(h, 0, LENGTH, sums[s].type, sums[s].type, MEMBOX_SUM);

		for (uint64_t i = 0; i < LENGTH; i++)
			put_element(sums[s].type, mine, i, (int64_t)(i % 97 + who));
		for (int r = 0; r < ROUNDS; r++)
			run_ok(p, &k, mine);
	}
	free(mine);
}

static void no_long_addition_is_lost(void **state)
{
	unsigned int n = PROCESSES * THREADS;
	void *got, *want;

	(void)state;
	run_everywhere(add_long);
	got = malloc(LENGTH * 8);
	want = malloc(LENGTH * 8);
	for (unsigned int s = 0; s < 3; s++) {
		uint32_t h = param_open(&port, sums[s].name, sums[s].type, LENGTH, 0);
		struct membox_param_stat st = param_stat(&port, h);

		for (uint64_t i = 0; i < LENGTH; i++)
			put_element(sums[s].type, want, i,
				    (int64_t)(ROUNDS * (n * (i % 97) + n * (n - 1) / 2)));
		read_all(&port, h, sums[s].type, LENGTH, got);
		assert_memory_equal(got, want, LENGTH * membox_type_bytes(sums[s].type));
		assert_int_equal(st.begun, n * ROUNDS);
		assert_int_equal(st.finished, n * ROUNDS);
	}
	free(got);
	free(want);
	port_close(&port);
}

/* One element each, and a word by fetch-add, on the same stripe. */
static void add_small(struct port *p, unsigned int who)
{
	uint32_t h = param_open(p, "small", MEMBOX_I64, 8, 0);
	struct membox_packet acc = op_acc(h, 1, 1, MEMBOX_I64, MEMBOX_I64, MEMBOX_SUM);
	struct membox_packet add = { .opcode = MEMBOX_OP_ATOMIC, .sub = MEMBOX_FETCH_ADD, .dst_type = MEMBOX_I64,
				     .handle = { h } };
	int64_t v = who;

	add.offset[0] = 1; /* the very same word: neither may lose the other's */
	add.word.value = 1000000;
	for (int r = 0; r < SMALL_ROUNDS; r++) {
		run_ok(p, &acc, &v);
		run_ok(p, &add, NULL);
	}
}

static void no_small_addition_is_lost_to_an_atomic_one(void **state)
{
	unsigned int n = PROCESSES * THREADS;
	int64_t got[8];

	(void)state;
	run_everywhere(add_small);
	read_all(&port, param_open(&port, "small", MEMBOX_I64, 8, 0), MEMBOX_I64, 8, got);
	assert_true(got[1] == (int64_t)SMALL_ROUNDS * (n * (n - 1) / 2 + n * 1000000));
	port_close(&port);
}

static void add_common(struct port *p, unsigned int who)
{
	uint32_t sum = param_open(p, "common-sum", MEMBOX_F32, LENGTH, 0), mine;
	struct membox_packet k = op_acc(sum, 0, LENGTH, MEMBOX_F32, MEMBOX_F32, MEMBOX_SUM);
	float one = (float)(who + 1);
	uint32_t bits;
	char name[32];

	snprintf(name, sizeof(name), "gradient-%u", who);
	mine = param_open(p, name, MEMBOX_F32, LENGTH, 0);
	memcpy(&bits, &one, 4);
	fill_all(p, mine, MEMBOX_F32, LENGTH, bits);
	k.handle[1] = mine;
	for (int r = 0; r < ROUNDS; r++)
		run_ok(p, &k, NULL);
}

static void no_addition_between_common_areas_is_lost(void **state)
{
	unsigned int n = PROCESSES * THREADS;
	float *got = malloc(LENGTH * sizeof(float));

	(void)state;
	run_everywhere(add_common);
	read_all(&port, param_open(&port, "common-sum", MEMBOX_F32, LENGTH, 0), MEMBOX_F32, LENGTH, got);
	for (uint64_t i = 0; i < LENGTH; i++)
		assert_true(got[i] == (float)(ROUNDS * n * (n + 1) / 2));
	assert_int_equal(mbe_counter(port.e, MEMBOX_CTR_TO_DEVICE), 0);
	port_close(&port);
	free(got);
}

/* One fills all with one number again and again (two would mix by stripe); the others look. */
static void fill_or_look(struct port *p, unsigned int who)
{
	uint32_t h = param_open(p, "uniform", MEMBOX_I32, LENGTH, 0);
	struct membox_packet k = op_move(MEMBOX_OP_SNAPSHOT, h, 0, LENGTH, MEMBOX_I32);
	uint64_t in_stripe = (BOX_STRIPE - param_open_args(p, "uniform", MEMBOX_I32, LENGTH, 0).address % BOX_STRIPE) / 4;
	uint32_t *got = malloc(LENGTH * 4);

	for (uint32_t r = 0; r < ROUNDS * 2; r++) {
		if (who == 0) {
			fill_all(p, h, MEMBOX_I32, LENGTH, r);
			if (r % 8 == 0)
				usleep(2000); /* or nobody would ever get a snapshot */
			continue;
		}
		k.opcode = r % 4 ? MEMBOX_OP_READ : MEMBOX_OP_SNAPSHOT;
		run_ok(p, &k, got);
		for (uint64_t i = 1; i < LENGTH; i++)
			if (got[i] != got[i - 1] &&
			    (k.opcode == MEMBOX_OP_SNAPSHOT || (i - in_stripe) % (BOX_STRIPE / 4)))
				fail_msg("%#x: element %llu is %u, the one before %u", k.opcode,
					 (unsigned long long)i, got[i], got[i - 1]);
	}
	free(got);
}

static void reads_are_whole_by_stripe_and_snapshots_altogether(void **state)
{
	(void)state;
	run_everywhere(fill_or_look);
	port_close(&port);
}

/* A writer that has begun and does not end, as far as versions tell. */
static void writer_begins(struct port *p, uint32_t handle, int n)
{
	struct mbe_operand op;

	assert_int_equal(mbe_operand_get(p->e, BOX_CONTEXT, handle, &op), MEMBOX_ST_OK);
	__atomic_add_fetch(&op.ver->begun, (uint64_t)(int64_t)n, __ATOMIC_SEQ_CST);
	mbe_operand_put(p->e, &op);
}

static void a_snapshot_beside_a_writer_waits_without_a_thread(void **state)
{
	struct membox_packet k;
	struct membox_completion c;
	uint32_t h, got[100];
	struct iovec v = { got, sizeof(got) };
	struct issue i;

	(void)state;
	port_open(&port);
	h = param_open(&port, "begun", MEMBOX_I32, 100, 0);
	fill_all(&port, h, MEMBOX_I32, 100, 42);
	k = op_move(MEMBOX_OP_SNAPSHOT, h, 0, 100, MEMBOX_I32);
	writer_begins(&port, h, 1);

	k.timeout_us = 20000;
	issue_start(&port, &i, &k, &v, 1);
	assert_false(issue_is_done(&i)); /* and here we are */
	c = issue_finish(&port, &i);
	assert_int_equal(c.status, MEMBOX_ST_TIMED_OUT);
	assert_int_equal(c.bytes, 0);
	assert_true(c.end - c.start >= 20000000);

	k.timeout_us = 0;
	k.user_data = 77;
	issue_start(&port, &i, &k, &v, 1);
	mbe_progress(port.e);
	assert_false(issue_is_done(&i));
	k = (struct membox_packet){ .opcode = MEMBOX_OP_CANCEL, .word.value = 77 };
	assert_int_equal(run_ok(&port, &k, NULL).result, 1);
	assert_true(issue_is_done(&i));
	assert_int_equal(i.c.status, MEMBOX_ST_ABORTED);

	k = op_move(MEMBOX_OP_SNAPSHOT, h, 0, 100, MEMBOX_I32);
	issue_start(&port, &i, &k, &v, 1);
	assert_false(issue_is_done(&i));
	writer_begins(&port, h, -1);
	assert_int_equal(issue_finish(&port, &i).status, MEMBOX_ST_OK);
	assert_int_equal(i.c.bytes, sizeof(got));
	assert_int_equal(got[99], 42);
	port_close(&port);
}

/* A WSUM and a WRITE of all, which leave the same bytes whoever is last. */
static void more_writers_than_records(struct port *p, unsigned int who)
{
	uint32_t a = param_open(p, "same-a", MEMBOX_F64, 1000, 0), b = param_open(p, "same-b", MEMBOX_F64, 1000, 0);
	struct membox_term terms[2] = { { a, 0, 0, BOX_ONE }, { a, 0, 0, BOX_ONE } };
	struct membox_packet k = op_move(MEMBOX_OP_WSUM, b, 0, 1000, MEMBOX_F64);
	double x[1000];

	(void)who;
	for (int i = 0; i < 1000; i++)
		x[i] = i;
	k.src_type = MEMBOX_F64;
	k.list.nterms = 2;
	for (int r = 0; r < SMALL_ROUNDS / 4; r++) {
		write_all(p, a, MEMBOX_F64, 1000, x);
		run_ok(p, &k, terms);
	}
}

static void any_number_of_threads_may_write(void **state)
{
	double got[1000];

	(void)state;
	run_everywhere(more_writers_than_records);
	for (int i = 0; i < 4; i++)
		run_threads(&port, more_writers_than_records, 0);
	read_all(&port, param_open(&port, "same-b", MEMBOX_F64, 1000, 0), MEMBOX_F64, 1000, got);
	for (int i = 0; i < 1000; i++)
		assert_true(got[i] == 2 * i);
	port_close(&port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_long_addition_is_lost),
		cmocka_unit_test(no_small_addition_is_lost_to_an_atomic_one),
		cmocka_unit_test(no_addition_between_common_areas_is_lost),
		cmocka_unit_test(reads_are_whole_by_stripe_and_snapshots_altogether),
		cmocka_unit_test(a_snapshot_beside_a_writer_waits_without_a_thread),
		cmocka_unit_test(any_number_of_threads_may_write),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
