/* SPDX-License-Identifier: MIT */
/*
 * monitor.h - QEMU's monitor (QMP), on a socket beside the VM's box. One a VM;
 * a failure of the machinery ends the case.
 */
#ifndef TEST_MONITOR_H
#define TEST_MONITOR_H

#include "port.h"

struct monitor {
	int fd;
	char path[108];
	char said[65536]; /* the last line that was waited for */
};

/* Boots a VM like port_boot, with a monitor; name tells it from others of the box. */
struct port *monitor_boot(struct monitor *m, const char *box, const char *name, const char *devices);
/* Waits for a line with this word in it; an error is a failure. */
void monitor_expect(struct monitor *m, const char *word);
/* Gives a command, quoted, perhaps with its arguments, and waits for the answer. */
void monitor_do(struct monitor *m, const char *command, const char *answer);
/* The same, of which the answer is to be an error: what it says is m->said. */
void monitor_refuse(struct monitor *m, const char *command);

#endif
