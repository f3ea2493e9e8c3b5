// SPDX-License-Identifier: MIT
// gloo.cc - gloo's all-reduce over TCP on the loopback interface, two ranks, for `make bench`.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <gloo/allreduce.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include "player.h"

namespace {

std::shared_ptr<gloo::rendezvous::Context> context;
unsigned int ranks;

struct Job {
	std::vector<float> in, out;
};

int step(void *arg, unsigned int)
{
	Job *job = static_cast<Job *>(arg);
	gloo::AllreduceOptions options(context);

	options.setInput(job->in.data(), job->in.size());
	options.setOutput(job->out.data(), job->out.size());
	options.setReduceFunction(static_cast<void (*)(void *, const void *, const void *, size_t)>(&gloo::sum<float>));
	gloo::allreduce(options);
	return 0;
}

int run(const struct order *order, struct score *score)
{
	size_t n = order->bytes / sizeof(float);
	Job job{std::vector<float>(n), std::vector<float>(n)};

	fill(job.in.data(), n, order->seed, static_cast<unsigned int>(rank_of_player()));
	try {
		if (measure(order, score, step, &job))
			return -1;
	} catch (const std::exception &error) {
		return failed(score, "gloo", error.what());
	}
	score->wrong = count_wrong(job.out.data(), n, order->seed, ranks, 1);
	return 0;
}

} // namespace

int main()
{
	static const struct play plays[] = { { "allreduce", run }, { nullptr, nullptr } };
	const char *store = getenv("BENCH_STORE"), *size = getenv("BENCH_RANKS");

	if (!store || !size) {
		fprintf(stderr, "gloo: BENCH_STORE or BENCH_RANKS is not there\n");
		return EXIT_FAILURE;
	}
	ranks = static_cast<unsigned int>(atoi(size));
	try {
		gloo::transport::tcp::attr attr("127.0.0.1");
		auto device = gloo::transport::tcp::CreateDevice(attr);
		gloo::rendezvous::FileStore files(store);

		context = std::make_shared<gloo::rendezvous::Context>(rank_of_player(), static_cast<int>(ranks));
		context->connectFullMesh(files, device);
	} catch (const std::exception &error) {
		fprintf(stderr, "gloo: %s\n", error.what());
		return EXIT_FAILURE;
	}
	return player(plays);
}
