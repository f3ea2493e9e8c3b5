// SPDX-License-Identifier: MIT
/*
 * The guest's process 1 after boot: runs shell commands that the host asks for over a serial line.
 *
 * The host sends  "R <job> <length>\n<command>"  to run a command and  "K <job> <signal>\n"  to
 * signal it with all its children. The answers, interleaved over the jobs, are
 * "O <job> <length>\n<output>" while a job writes and "E <job> <wait status>\n" at its end; the first
 * line of all is "H\n". A job ends when its shell does: children that it left behind live on, and what
 * they still write to the job's output is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAX_JOBS 64
#define MAX_COMMAND 8192
#define MAX_LINE 64
#define CHUNK 4096

struct job {
	unsigned long id;
	pid_t pid; /* 0: this slot is free */
	int output;
};

static struct job jobs[MAX_JOBS];
static int line_fd;
static int child_pipe[2];

static void child_ended(int number)
{
	int saved = errno;

	(void)number;
	if (write(child_pipe[1], "", 1) < 0) {
		/* The pipe is full, so the loop is about to wake anyway. */
	}
	errno = saved;
}

static void send_all(const void *data, size_t length)
{
	const char *from = data;

	while (length > 0) {
		ssize_t sent = write(line_fd, from, length);

		if (sent < 0 && errno != EINTR)
			_exit(1);
		if (sent > 0) {
			from += sent;
			length -= (size_t)sent;
		}
	}
}

static void read_exactly(char *to, size_t length)
{
	while (length > 0) {
		ssize_t got = read(line_fd, to, length);

		if (got == 0 || (got < 0 && errno != EINTR))
			_exit(1);
		if (got > 0) {
			to += got;
			length -= (size_t)got;
		}
	}
}

static void send_end(unsigned long id, int status)
{
	char line[MAX_LINE];

	send_all(line, (size_t)snprintf(line, sizeof(line), "E %lu %d\n", id, status));
}

/* Passes on what a job has written so far; false at its end of file. */
static int forward(struct job *job)
{
	char data[CHUNK], line[MAX_LINE];
	ssize_t got = read(job->output, data, sizeof(data));

	if (got > 0) {
		send_all(line, (size_t)snprintf(line, sizeof(line), "O %lu %zd\n", job->id, got));
		send_all(data, (size_t)got);
	}
	return got > 0 || (got < 0 && errno == EINTR);
}

static void start(unsigned long id, char *command)
{
	struct job *job = jobs;
	int output[2];

	while (job < jobs + MAX_JOBS && job->pid)
		job++;
	if (job == jobs + MAX_JOBS || pipe2(output, O_CLOEXEC) < 0) {
		send_end(id, 126 << 8);
		return;
	}
	job->id = id;
	job->output = output[0];
	fcntl(output[0], F_SETFL, O_NONBLOCK);
	job->pid = fork();
	if (job->pid == 0) {
		char *const arguments[] = {"sh", "-c", command, NULL};

		setsid();
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(output[1], 1);
		dup2(output[1], 2);
		execv("/bin/sh", arguments);
		_exit(127);
	}
	close(output[1]);
	if (job->pid < 0) {
		job->pid = 0;
		close(job->output);
		send_end(id, 126 << 8);
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (struct job *job = jobs; job < jobs + MAX_JOBS; job++) {
			if (job->pid != pid)
				continue;
			while (forward(job))
				;
			close(job->output);
			job->pid = 0;
			send_end(job->id, status);
		}
	}
}

static void request(void)
{
	static char command[MAX_COMMAND + 1];
	char line[MAX_LINE];
	size_t used = 0;
	unsigned long id, value;

	do {
		read_exactly(&line[used], 1);
	} while (line[used++] != '\n' && used < sizeof(line) - 1);
	line[used] = 0;
	if (sscanf(line, "R %lu %lu", &id, &value) == 2 && value <= MAX_COMMAND) {
		read_exactly(command, value);
		command[value] = 0;
		start(id, command);
	} else if (sscanf(line, "K %lu %lu", &id, &value) == 2) {
		for (struct job *job = jobs; job < jobs + MAX_JOBS; job++) {
			if (job->pid && job->id == id)
				kill(-job->pid, (int)value);
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = child_ended, .sa_flags = SA_RESTART};
	struct termios settings;

	line_fd = open(argc > 1 ? argv[1] : "/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (line_fd < 0 || tcgetattr(line_fd, &settings) < 0 || pipe2(child_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return 1;
	cfmakeraw(&settings);
	tcsetattr(line_fd, TCSANOW, &settings);
	sigaction(SIGCHLD, &action, NULL);
	send_all("H\n", 2);
	for (;;) {
		struct pollfd polled[2 + MAX_JOBS] = {{.fd = line_fd, .events = POLLIN},
						      {.fd = child_pipe[0], .events = POLLIN}};
		char drained[CHUNK];

		for (int i = 0; i < MAX_JOBS; i++) {
			polled[2 + i].fd = jobs[i].pid ? jobs[i].output : -1;
			polled[2 + i].events = POLLIN;
		}
		if (poll(polled, 2 + MAX_JOBS, -1) < 0)
			continue;
		for (int i = 0; i < MAX_JOBS; i++) {
			if (polled[2 + i].revents & POLLIN)
				forward(&jobs[i]);
		}
		if (polled[1].revents & POLLIN) {
			if (read(child_pipe[0], drained, sizeof(drained)) < 0)
				continue;
		}
		reap();
		if (polled[0].revents & POLLIN)
			request();
	}
}
