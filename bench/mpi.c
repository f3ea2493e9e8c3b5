/* SPDX-License-Identifier: MIT */
/*
 * mpi.c - Open MPI's all-reduce and accumulate, for `make bench`. Each rank has a
 * file of orders of its own ($BENCH_ORDERS with the rank behind it): a rank that
 * waits for orders in MPI would burn a processor.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "player.h"

#define WINDOW_BYTES ((MPI_Aint)64 << 20)
#define ALIGNMENT 64

static int rank, ranks;
static MPI_Win window;
static float *window_at;

struct job {
	float *in, *out;
	int n;
};

static int step_allreduce(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return MPI_Allreduce(job->in, job->out, job->n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static int prepare(struct job *job, const struct order *order, struct score *score)
{
	job->n = (int)(order->bytes / sizeof(float));
	job->in = aligned_alloc(ALIGNMENT, order->bytes + ALIGNMENT - order->bytes % ALIGNMENT);
	job->out = aligned_alloc(ALIGNMENT, order->bytes + ALIGNMENT - order->bytes % ALIGNMENT);
	if (!job->in || !job->out)
		return failed(score, order->op, "no memory");
	memset(job->out, 0, order->bytes);
	fill(job->in, (size_t)job->n, order->seed, (unsigned int)rank);
	return 0;
}

static int run_allreduce(const struct order *order, struct score *score)
{
	struct job job = { 0 };
	int ret = prepare(&job, order, score);

	MPI_Barrier(MPI_COMM_WORLD);
	if (!ret)
		ret = measure(order, score, step_allreduce, &job);
	if (!ret)
		score->wrong = count_wrong(job.out, (size_t)job.n, order->seed, (unsigned int)ranks, 1);
	free(job.in);
	free(job.out);
	return ret;
}

static int step_accumulate(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return MPI_Win_lock(MPI_LOCK_SHARED, 1, 0, window) ||
	       MPI_Accumulate(job->in, job->n, MPI_FLOAT, 1, 0, job->n, MPI_FLOAT, MPI_SUM, window) ||
	       MPI_Win_unlock(1, window);
}

/* Only rank 0 is ordered to: the other one's window needs nobody. */
static int run_accumulate(const struct order *order, struct score *score)
{
	struct job job = { 0 };
	int ret = prepare(&job, order, score);

	if (!ret) {
		MPI_Win_lock(MPI_LOCK_EXCLUSIVE, 1, 0, window);
		MPI_Put(job.out, job.n, MPI_FLOAT, 1, 0, job.n, MPI_FLOAT, window);
		MPI_Win_unlock(1, window);
		ret = measure(order, score, step_accumulate, &job);
		MPI_Win_lock(MPI_LOCK_EXCLUSIVE, 1, 0, window);
		MPI_Get(job.out, job.n, MPI_FLOAT, 1, 0, job.n, MPI_FLOAT, window);
		MPI_Win_unlock(1, window);
		score->wrong = count_wrong(job.out, (size_t)job.n, order->seed, 1,
					   (float)executions(order));
	}
	free(job.in);
	free(job.out);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct play plays[] = {
		{ "allreduce", run_allreduce }, { "accumulate", run_accumulate }, { NULL, NULL },
	};
	const char *orders = getenv("BENCH_ORDERS");
	char path[4096];
	int ret;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	MPI_Win_allocate(WINDOW_BYTES, sizeof(float), MPI_INFO_NULL, MPI_COMM_WORLD, &window_at, &window);
	if (rank == 0 && freopen("/dev/null", "r", stdin) == NULL)
		return EXIT_FAILURE;
	if (!orders)
		return EXIT_FAILURE;
	snprintf(path, sizeof(path), "%s.%d", orders, rank);
	setenv("BENCH_ORDERS", path, 1);
	/* On the standard output the ranks' answers would mix. */
	snprintf(path, sizeof(path), "%s.%d.answers", orders, rank);
	if (!freopen(path, "w", stdout))
		return EXIT_FAILURE;
	ret = player(plays);
	MPI_Win_free(&window);
	MPI_Finalize();
	return ret;
}
