// SPDX-License-Identifier: MIT
/* monitor.c - see monitor.h. */
#include "monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "case.h"

static void monitor_close(void *arg)
{
	struct monitor *m = arg;

	close(m->fd);
	unlink(m->path);
	m->fd = -1;
}

/* The next line with this word in it; an error only if it is the word. */
static void line_with(struct monitor *m, const char *word)
{
	size_t n = 0;

	while (n < sizeof(m->said) - 1) {
		ssize_t got = read(m->fd, m->said + n, 1);

		if (got <= 0)
			case_fail("the monitor is gone, waiting for %s", word);
		n++;
		m->said[n] = 0;
		if (m->said[n - 1] != '\n')
			continue;
		if (strstr(m->said, word))
			return;
		if (strstr(m->said, "\"error\""))
			case_fail("the monitor says: %s", m->said);
		n = 0;
	}
	case_fail("the monitor says too much");
}

void monitor_expect(struct monitor *m, const char *word)
{
	line_with(m, word);
}

static void give(struct monitor *m, const char *command)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "{\"execute\":%s}\n", command);

	CHECK(n < (int)sizeof(line) && write(m->fd, line, (size_t)n) == n);
}

void monitor_do(struct monitor *m, const char *command, const char *answer)
{
	give(m, command);
	line_with(m, answer);
}

void monitor_refuse(struct monitor *m, const char *command)
{
	give(m, command);
	line_with(m, "\"error\"");
}

struct port *monitor_boot(struct monitor *m, const char *box, const char *name, const char *devices)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 30};
	char extra[768];
	struct port *p;

	snprintf(m->path, sizeof(m->path), "%s.%s", box, name);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", m->path);
	snprintf(extra, sizeof(extra), "-qmp unix:%s,server=on,wait=off %s", m->path, devices);
	p = port_boot(box, extra);
	m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(m->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(m->fd, (struct sockaddr *)&addr, sizeof(addr)))
		case_fail("no monitor: %s", strerror(errno));
	case_defer(monitor_close, m);
	monitor_expect(m, "QMP");
	monitor_do(m, "\"qmp_capabilities\"", "return");
	return p;
}
