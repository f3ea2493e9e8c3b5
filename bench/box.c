/* SPDX-License-Identifier: MIT */
/*
 * box.c - membox itself, for `make bench`: the box is $MEMBOX, a file or a device,
 * so the same static program measures on the host and in guests. Memory is
 * registered (membox_alloc); parameters are made for an order and destroyed after it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "box.h"

#define BATCH 64U
#define JOIN_NS INT64_C(20000000000)
#define WORK_SHARE 16U /* elements of an addition for one step of work */

struct membox *box;
static struct membox_group *group;

int box_failed(struct score *score, const char *what)
{
	return failed(score, what, membox_error());
}

int job_open(struct job *job, const struct order *order, struct score *score, const char *name, unsigned int flags)
{
	struct membox_shape shape = { MEMBOX_F32, order->bytes / sizeof(float), 0 };
	char full[64];

	memset(job, 0, sizeof(*job));
	job->order = order;
	job->n = shape.count;
	snprintf(full, sizeof(full), "bench.%s.%zu.%u", name, order->bytes, order->seed);
	job->mine = membox_alloc(box, order->bytes);
	job->got = membox_alloc(box, order->bytes);
	if (!job->mine || !job->got || membox_param_get(box, full, &shape, flags, &job->param)) {
		box_failed(score, "preparing");
		job_close(job);
		return -1;
	}
	fill(job->mine, job->n, order->seed, (unsigned int)rank_of_player());
	memset(job->got, 0, order->bytes);
	return 0;
}

void job_close(struct job *job)
{
	if (job->param) {
		/* Whoever is second finds it destroyed. */
		membox_param_destroy(job->param);
		membox_param_put(job->param);
	}
	membox_free(box, job->mine);
	membox_free(box, job->got);
}

int meet(struct job *job)
{
	uint64_t turn = ((uint64_t)job->order->seed << 32) + 0x80000000U + job->meetings++;

	if (!rank_of_player()) {
		sync_give(&job->sync->there, turn);
		return sync_await(&job->sync->back, turn);
	}
	if (sync_await(&job->sync->there, turn))
		return -1;
	sync_give(&job->sync->back, turn);
	return 0;
}

static int step_write(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return membox_write(job->param, 0, job->n, job->mine);
}

static int step_read(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return membox_read(job->param, 0, job->n, job->got, NULL);
}

static int step_getset(void *arg, unsigned int number)
{
	return step_write(arg, number) || step_read(arg, number) ? -1 : 0;
}

static int run_move(const struct order *order, struct score *score)
{
	step_fn *step = !strcmp(order->op, "write") ? step_write : !strcmp(order->op, "read") ? step_read : step_getset;
	struct job job;
	int ret;

	if (job_open(&job, order, score, order->op, 0))
		return -1;
	ret = step_write(&job, 0) ? box_failed(score, order->op) : measure(order, score, step, &job);
	if (!ret)
		ret = step_read(&job, 0) ? box_failed(score, "reading back") : 0;
	if (!ret)
		score->wrong = count_wrong(job.got, job.n, order->seed, 1, 1);
	job_close(&job);
	return ret;
}

static int step_acc(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return membox_acc(job->param, 0, job->n, job->mine, MEMBOX_F32, 1.0);
}

/* acc: the parameter is journalled; acc_none: it is not. */
static int run_acc(const struct order *order, struct score *score)
{
	unsigned int flags = strcmp(order->op, "acc") ? MEMBOX_PARAM_NOJOURNAL : 0;
	struct job job;
	int ret;

	if (job_open(&job, order, score, order->op, flags))
		return -1;
	ret = measure(order, score, step_acc, &job);
	if (!ret)
		ret = step_read(&job, 0) ? box_failed(score, "reading back") : 0;
	if (!ret)
		score->wrong = count_wrong(job.got, job.n, order->seed, 1, (float)executions(order));
	job_close(&job);
	return ret;
}

static int step_accread(void *arg, unsigned int number)
{
	return step_acc(arg, number) || step_read(arg, number) ? -1 : 0;
}

/* Two ranks add to one parameter and read it, each at its own speed: what a parameter server does. */
static int run_accread(const struct order *order, struct score *score)
{
	struct job job;
	int ret;

	if (job_open(&job, order, score, order->op, 0))
		return -1;
	job.sync = sync_open();
	ret = job.sync && !meet(&job) ? measure(order, score, step_accread, &job) : failed(score, order->op, "alone");
	if (!ret)
		ret = meet(&job) || step_read(&job, 0) || meet(&job) ? box_failed(score, "reading back") : 0;
	if (!ret)
		score->wrong = count_wrong(job.got, job.n, order->seed, 2, (float)executions(order));
	sync_close(job.sync);
	job_close(&job);
	return ret;
}

static int step_pair(void *arg, unsigned int number)
{
	struct job *job = arg;

	if (step_write(job, number))
		return -1;
	sync_give(&job->sync->there, ++job->turn);
	return sync_await(&job->sync->back, job->turn);
}

static int step_partner(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	if (sync_await(&job->sync->there, ++job->turn) ||
	    membox_acc_param(job->sum, 0, job->param, 0, job->n, 1.0))
		return -1;
	sync_give(&job->sync->back, job->turn);
	return 0;
}

/* Rank 0 writes a parameter, rank 1 adds it to another one. */
static int run_pair(const struct order *order, struct score *score)
{
	struct membox_shape shape = { MEMBOX_F32, order->bytes / sizeof(float), 0 };
	struct job job;
	int ret;

	if (job_open(&job, order, score, order->op, MEMBOX_PARAM_NOJOURNAL))
		return -1;
	job.sync = sync_open();
	job.turn = (uint64_t)order->seed << 32;
	ret = job.sync ? 0 : failed(score, "BENCH_SYNC", "not there");
	if (!ret && membox_param_get(box, "bench.sum", &shape, MEMBOX_PARAM_NOJOURNAL | MEMBOX_PARAM_EPHEMERAL, &job.sum))
		ret = box_failed(score, "preparing");
	if (!ret && meet(&job))
		ret = failed(score, order->op, "alone");
	if (!ret)
		ret = measure(order, score, rank_of_player() ? step_partner : step_pair, &job);
	if (!ret && rank_of_player()) {
		ret = membox_read(job.sum, 0, job.n, job.got, NULL) ? box_failed(score, "reading back") : 0;
		score->wrong = count_wrong(job.got, job.n, order->seed, 1, (float)executions(order));
	}
	meet(&job);
	if (job.sum)
		membox_param_put(job.sum);
	sync_close(job.sync);
	job_close(&job);
	return ret;
}

/* Work of a processor that touches no memory, as much as the order is long. */
static void work(struct job *job)
{
	float x = 1;

	for (uint64_t i = 0; i < job->n / WORK_SHARE; i++)
		x = x * 0.5F + 1.0F;
	job->worked = x;
}

/* An addition in flight, work beside it, or both: what of the one hides behind the other. */
static int step_async(void *arg, unsigned int number)
{
	struct job *job = arg;
	struct membox_done done;
	struct membox_op op;

	(void)number;
	if (job->in_flight) {
		membox_prep_acc(&op, job->param, 0, job->n, job->mine, MEMBOX_F32, 1.0);
		if (membox_submit(job->chan, &op, 1) != 1)
			return -1;
	}
	if (job->works)
		work(job);
	if (job->in_flight && (membox_reap(job->chan, &done, 1, 1, MEMBOX_TIMEOUT_DEFAULT) != 1 || done.error))
		return -1;
	return 0;
}

static int run_async(const struct order *order, struct score *score)
{
	struct job job;
	int ret;

	if (job_open(&job, order, score, order->op, MEMBOX_PARAM_NOJOURNAL))
		return -1;
	job.in_flight = strcmp(order->op, "work") != 0;
	job.works = strcmp(order->op, "async") != 0;
	ret = membox_chan_open(box, 1, &job.chan) ? box_failed(score, "channel") : 0;
	if (!ret)
		ret = measure(order, score, step_async, &job);
	if (!ret && job.in_flight) {
		ret = step_read(&job, 0) ? box_failed(score, "reading back") : 0;
		score->wrong = count_wrong(job.got, job.n, order->seed, 1, (float)executions(order));
	}
	if (job.chan)
		membox_chan_close(job.chan);
	job_close(&job);
	return ret;
}

static int step_touch(void *arg, unsigned int number)
{
	struct job *job = arg;

	return touch(job->mapped, number);
}

/* What a mapped parameter costs: nothing but the accesses themselves. */
static int run_touch(const struct order *order, struct score *score)
{
	struct job job;
	void *at;
	int ret;

	if (job_open(&job, order, score, order->op, MEMBOX_PARAM_MAPPABLE))
		return -1;
	ret = membox_param_map(job.param, PROT_READ | PROT_WRITE, &at) ? box_failed(score, "mapping") : 0;
	if (!ret) {
		job.mapped = at;
		ret = measure(order, score, step_touch, &job);
	}
	job_close(&job);
	return ret;
}

/* Rank 0's word goes to rank 1 and comes back, with 56 bytes before it, through a mapped parameter. */
static int step_ping(void *arg, unsigned int number)
{
	struct job *job = arg;
	struct message *out = &job->messages[0], *in = &job->messages[1];

	for (unsigned int i = 0; i < WORDS; i++)
		out->word[i] = number + i;
	sync_give(&out->turn, ++job->turn);
	if (sync_await(&in->turn, job->turn))
		return -1;
	for (unsigned int i = 0; i < WORDS; i++)
		job->bad += in->word[i] != number + i;
	return 0;
}

static int step_pong(void *arg, unsigned int number)
{
	struct job *job = arg;
	struct message *in = &job->messages[0], *out = &job->messages[1];

	(void)number;
	if (sync_await(&in->turn, ++job->turn))
		return -1;
	for (unsigned int i = 0; i < WORDS; i++)
		out->word[i] = in->word[i];
	sync_give(&out->turn, job->turn);
	return 0;
}

/* Rank 0 writes a parameter and rank 1 reads it: the bytes are in the other computer's memory. */
static int step_send(void *arg, unsigned int number)
{
	return step_write(arg, number) || step_ping(arg, number) ? -1 : 0;
}

static int step_receive(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	if (sync_await(&job->messages[0].turn, job->turn + 1) || step_read(arg, number))
		return -1;
	return step_pong(arg, number);
}

static int run_message(const struct order *order, struct score *score)
{
	struct membox_shape shape = { MEMBOX_I64, 2 * sizeof(struct message) / sizeof(int64_t), 0 };
	step_fn *steps[] = { step_ping, step_pong, step_send, step_receive };
	unsigned int send = !strcmp(order->op, "transfer"), rank = rank_of_player() != 0;
	struct membox_param *window = NULL;
	struct job job;
	void *at;
	int ret;

	if (job_open(&job, order, score, order->op, MEMBOX_PARAM_NOJOURNAL))
		return -1;
	ret = membox_param_get(box, "bench.messages", &shape, MEMBOX_PARAM_MAPPABLE, &window) ||
	      membox_param_map(window, PROT_READ | PROT_WRITE, &at) ? box_failed(score, "mapping") : 0;
	if (!ret) {
		job.messages = at;
		job.turn = (uint64_t)order->seed << 32;
		ret = measure(order, score, steps[2 * send + rank], &job);
		score->wrong = job.bad;
		if (!ret && send && rank)
			score->wrong += count_wrong(job.got, job.n, order->seed, 1, 1);
	}
	if (window)
		membox_param_put(window);
	/* Rank 1 reads from it until rank 0 has its last answer. */
	job_close(&job);
	return ret;
}

/* BATCH writes of order->bytes each, to one parameter, one after the other. */
static int step_single(void *arg, unsigned int number)
{
	struct job *job = arg;
	size_t part = job->n / BATCH;

	(void)number;
	for (unsigned int i = 0; i < BATCH; i++) {
		if (membox_write(job->param, i * part, part, job->mine + i * part))
			return -1;
	}
	return 0;
}

/* The same in one batch of a channel. */
static int step_batch(void *arg, unsigned int number)
{
	struct membox_op ops[BATCH];
	struct membox_done done[BATCH];
	struct job *job = arg;
	size_t part = job->n / BATCH;
	int n;

	(void)number;
	for (unsigned int i = 0; i < BATCH; i++)
		membox_prep_write(&ops[i], job->param, i * part, part, job->mine + i * part);
	if (membox_submit(job->chan, ops, BATCH) != (int)BATCH)
		return -1;
	for (unsigned int left = BATCH; left; left -= (unsigned int)n) {
		n = membox_reap(job->chan, done, left, left, MEMBOX_TIMEOUT_DEFAULT);
		if (n <= 0)
			return -1;
		for (int i = 0; i < n; i++) {
			if (done[i].error)
				return -1;
		}
	}
	return 0;
}

static int run_batch(const struct order *order, struct score *score)
{
	struct order all = *order;
	struct job job;
	int ret;

	all.bytes = order->bytes * BATCH;
	if (job_open(&job, &all, score, order->op, 0))
		return -1;
	ret = membox_chan_open(box, BATCH, &job.chan) ? box_failed(score, "channel") : 0;
	if (!ret)
		ret = measure(&all, score, strcmp(order->op, "batch") ? step_single : step_batch, &job);
	if (!ret)
		ret = step_read(&job, 0) ? box_failed(score, "reading back") : 0;
	if (!ret)
		score->wrong = count_wrong(job.got, job.n, order->seed, 1, 1);
	if (job.chan)
		membox_chan_close(job.chan);
	job_close(&job);
	return ret;
}

static int step_allreduce(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return membox_allreduce(group, job->mine, job->got, job->n, MEMBOX_F32, MEMBOX_SUM, MEMBOX_TIMEOUT_DEFAULT);
}

/* All ranks ($BENCH_RANKS) add, and all check. The group is joined once. */
static int run_allreduce(const struct order *order, struct score *score)
{
	const char *ranks = getenv("BENCH_RANKS"), *name = getenv("BENCH_GROUP");
	unsigned int n = ranks ? (unsigned int)atoi(ranks) : 2;
	struct job job = { .order = order, .n = order->bytes / sizeof(float) };
	int ret = 0;

	if (!group && membox_group_join(box, name ? name : "bench", (int)n, rank_of_player(), JOIN_NS, &group))
		return box_failed(score, "joining");
	job.mine = membox_alloc(box, order->bytes);
	job.got = membox_alloc(box, order->bytes);
	if (!job.mine || !job.got)
		ret = box_failed(score, "memory");
	if (!ret) {
		fill(job.mine, job.n, order->seed, (unsigned int)rank_of_player());
		memset(job.got, 0, order->bytes);
		ret = measure(order, score, step_allreduce, &job);
		if (ret)
			box_failed(score, order->op);
	}
	if (!ret)
		score->wrong = count_wrong(job.got, job.n, order->seed, n, 1);
	membox_free(box, job.mine);
	membox_free(box, job.got);
	return ret;
}

int main(void)
{
	static const struct play plays[] = {
		{ "write", run_move }, { "read", run_move }, { "getset", run_move },
		{ "acc", run_acc }, { "acc_none", run_acc }, { "accread", run_accread },
		{ "pair", run_pair }, { "batch", run_batch }, { "single", run_batch },
		{ "async", run_async }, { "work", run_async }, { "both", run_async },
		{ "touch", run_touch }, { "pingpong", run_message }, { "transfer", run_message },
		{ "allreduce", run_allreduce }, { NULL, NULL },
	};
	int ret;

	if (membox_open(NULL, NULL, &box)) {
		fprintf(stderr, "bench: %s\n", membox_error());
		return EXIT_FAILURE;
	}
	ret = player(plays);
	membox_close(box);
	return ret;
}
