/* SPDX-License-Identifier: MIT */
/*
 * redis.c - a client of a Redis server over a Unix socket ($BENCH_SOCKET): SET and
 * GET of one value, with nothing between this program and the protocol.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "player.h"

#define HEADER 128
#define NAME "bench"
#define TIMEOUT_S 10

struct job {
	int fd;
	size_t bytes;
	char *value, *got;
	char header[HEADER];
};

static int get_all(int fd, char *to, size_t bytes)
{
	while (bytes) {
		ssize_t n = read(fd, to, bytes);

		if (n <= 0)
			return -1;
		to += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int put_all(int fd, struct iovec *iov, int n)
{
	while (n) {
		ssize_t done = writev(fd, iov, n);

		if (done <= 0)
			return -1;
		while (n && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return 0;
}

/* "+OK\r\n" and nothing else. */
static int set(struct job *job)
{
	char ok[5], end[] = "\r\n";
	struct iovec iov[] = { { job->header, strlen(job->header) }, { job->value, job->bytes }, { end, 2 } };

	return put_all(job->fd, iov, 3) || get_all(job->fd, ok, sizeof(ok)) || memcmp(ok, "+OK\r\n", 5) ? -1 : 0;
}

/* "$<bytes>\r\n", the value, "\r\n". */
static int get(struct job *job)
{
	static char ask[] = "*2\r\n$3\r\nGET\r\n$5\r\n" NAME "\r\n";
	struct iovec iov = { ask, sizeof(ask) - 1 };
	char expected[HEADER], head[HEADER];
	size_t length = (size_t)snprintf(expected, sizeof(expected), "$%zu\r\n", job->bytes);

	if (put_all(job->fd, &iov, 1) || get_all(job->fd, head, length) || memcmp(head, expected, length))
		return -1;
	/* In one piece with the line's end: got has room for it. */
	return get_all(job->fd, job->got, job->bytes + 2);
}

static int step_getset(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return set(job) || get(job) ? -1 : 0;
}

static int connect_to(struct score *score)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	const char *path = getenv("BENCH_SOCKET");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!path || fd < 0)
		return failed(score, "BENCH_SOCKET", "not there");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return failed(score, path, "no connection");
	}
	return fd;
}

static int run_getset(const struct order *order, struct score *score)
{
	struct job job = { .bytes = order->bytes, .fd = connect_to(score) };
	int ret = -1;

	if (job.fd < 0)
		return -1;
	job.value = malloc(order->bytes);
	job.got = malloc(order->bytes + 2);
	if (job.value && job.got) {
		fill((float *)(void *)job.value, order->bytes / sizeof(float), order->seed, 0);
		snprintf(job.header, sizeof(job.header), "*3\r\n$3\r\nSET\r\n$5\r\n" NAME "\r\n$%zu\r\n", order->bytes);
		ret = measure(order, score, step_getset, &job);
		score->wrong = (uint64_t)(memcmp(job.value, job.got, order->bytes) != 0);
	}
	free(job.value);
	free(job.got);
	close(job.fd);
	return ret;
}

int main(void)
{
	static const struct play plays[] = { { "getset", run_getset }, { NULL, NULL } };

	return player(plays);
}
