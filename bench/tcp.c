/* SPDX-License-Identifier: MIT */
/*
 * tcp.c - TCP between two guests. "tcp serve" answers; the player asks whoever
 * $BENCH_ADDRESS names. An execution sends the order's bytes and awaits an answer: as
 * many bytes for `echo`, 64 for `send`. Both sides spin, as membox does when polled.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "player.h"

#define PORT 7700
#define SHORT_ANSWER 64U
#define PATIENCE_NS 20000000000ULL
#define MAX_BYTES ((uint64_t)64 << 20)

/* What the client says first. */
struct hello {
	uint64_t ask, answer;
};

struct job {
	struct hello hello;
	int fd;
	char *mine, *got;
};

static int move_all(int fd, char *at, size_t bytes, int sending)
{
	uint64_t begin = now_ns();
	ssize_t n;

	while (bytes) {
		n = sending ? send(fd, at, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) : recv(fd, at, bytes, MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			bytes -= (size_t)n;
		} else if (!n || (errno != EAGAIN && errno != EINTR) || now_ns() - begin > PATIENCE_NS) {
			return -1;
		}
	}
	return 0;
}

static void prepare_socket(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int step(void *arg, unsigned int number)
{
	struct job *job = arg;

	(void)number;
	return move_all(job->fd, job->mine, job->hello.ask, 1) || move_all(job->fd, job->got, job->hello.answer, 0);
}

static int connect_to(struct score *score)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const char *text = getenv("BENCH_ADDRESS");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!text || fd < 0 || inet_pton(AF_INET, text, &address.sin_addr) != 1)
		return failed(score, "BENCH_ADDRESS", "not there");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return failed(score, text, strerror(errno));
	}
	prepare_socket(fd);
	return fd;
}

static int run(const struct order *order, struct score *score)
{
	struct job job = { .hello = { order->bytes, strcmp(order->op, "echo") ? SHORT_ANSWER : order->bytes } };
	int ret = -1;

	job.fd = connect_to(score);
	if (job.fd < 0)
		return -1;
	job.mine = malloc(order->bytes);
	job.got = malloc(job.hello.answer);
	if (job.mine && job.got) {
		fill((float *)(void *)job.mine, order->bytes / sizeof(float), order->seed, 0);
		ret = move_all(job.fd, (char *)&job.hello, sizeof(job.hello), 1);
		if (!ret)
			ret = measure(order, score, step, &job);
		/* The answer is the beginning of what was asked. */
		score->wrong = (uint64_t)(ret || memcmp(job.mine, job.got, job.hello.answer) != 0);
	}
	free(job.mine);
	free(job.got);
	close(job.fd);
	return ret;
}

static void serve_one(int fd)
{
	struct hello hello;
	char *buffer = NULL;

	prepare_socket(fd);
	if (!move_all(fd, (char *)&hello, sizeof(hello), 0) && hello.ask <= MAX_BYTES && hello.answer <= hello.ask)
		buffer = malloc(hello.ask);
	while (buffer && !move_all(fd, buffer, hello.ask, 0)) {
		if (move_all(fd, buffer, hello.answer, 1))
			break;
	}
	free(buffer);
	close(fd);
}

static int serve(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, fd;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1)) {
		perror("tcp: listen");
		return EXIT_FAILURE;
	}
	puts("listening");
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		serve_one(fd);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const struct play plays[] = { { "echo", run }, { "send", run }, { NULL, NULL } };

	return argc > 1 && !strcmp(argv[1], "serve") ? serve() : player(plays);
}
