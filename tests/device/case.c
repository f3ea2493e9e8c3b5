// SPDX-License-Identifier: MIT
/* case.c - see case.h. */
#include "case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEFERRED 32

static jmp_buf end_of_case;
static struct {
	void (*undo)(void *arg);
	void *arg;
} deferred[MAX_DEFERRED];
static unsigned int ndeferred;

static void note(const char *format, va_list ap)
{
	char text[8192];

	vsnprintf(text, sizeof(text), format, ap);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		printf("# %s\n", line);
	fflush(stdout);
}

void case_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(format, ap);
	va_end(ap);
}

void case_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(format, ap);
	va_end(ap);
	longjmp(end_of_case, 1);
}

void case_defer(void (*undo)(void *arg), void *arg)
{
	if (ndeferred == MAX_DEFERRED)
		case_fail("too much to undo");
	deferred[ndeferred].undo = undo;
	deferred[ndeferred++].arg = arg;
}

/* True: it failed. A failure while undoing counts too. */
static int run(const struct test_case *c)
{
	volatile int failed = 0;

	if (setjmp(end_of_case))
		failed = 1;
	else
		c->run();
	while (ndeferred) {
		unsigned int i = --ndeferred;

		if (setjmp(end_of_case))
			failed = 1;
		else
			deferred[i].undo(deferred[i].arg);
	}
	return failed;
}

int case_main(int argc, char **argv, const struct test_case *cases, unsigned int n)
{
	unsigned int number = 0, failures = 0;

	printf("TAP version 13\n");
	for (unsigned int i = 0; i < n; i++) {
		int failed;

		if (argc > 1 && !strstr(cases[i].name, argv[1]))
			continue;
		failed = run(&cases[i]);
		failures += (unsigned int)failed;
		printf("%sok %u - %s\n", failed ? "not " : "", ++number, cases[i].name);
		fflush(stdout);
	}
	printf("1..%u\n", number);
	return failures != 0;
}
