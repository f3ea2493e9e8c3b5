/* SPDX-License-Identifier: MIT */
/*
 * case.h - test cases that print TAP. A case is a function; case_fail() ends it
 * from any depth. What it started is cleaned up by case_defer'd functions.
 */
#ifndef TEST_CASE_H
#define TEST_CASE_H

#include <stdnoreturn.h>

struct test_case {
	const char *name; /* the behaviour, in words */
	void (*run)(void);
};

/* Runs them all; the exit status of main. argv[1]: only cases with this text. */
int case_main(int argc, char **argv, const struct test_case *cases, unsigned int n);
#define CASE_MAIN(cases)                                                               \
	int main(int argc, char **argv)                                                \
	{                                                                              \
		return case_main(argc, argv, cases, sizeof(cases) / sizeof(*(cases))); \
	}

noreturn __attribute__((format(printf, 1, 2))) void case_fail(const char *format, ...);
__attribute__((format(printf, 1, 2))) void case_note(const char *format, ...);
/* Called with arg when the case has ended, latest first. */
void case_defer(void (*undo)(void *arg), void *arg);

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond))                                                       \
			case_fail("%s:%d: not so: %s", __FILE__, __LINE__, #cond); \
	} while (0)
#define EQUAL(got, wanted)                                                                                   \
	do {                                                                                                 \
		unsigned long long got_ = (unsigned long long)(got);                                         \
		unsigned long long wanted_ = (unsigned long long)(wanted);                                   \
		if (got_ != wanted_)                                                                         \
			case_fail("%s:%d: %s is %llu (0x%llx), not %llu (0x%llx)", __FILE__, __LINE__, #got, \
				  got_, got_, wanted_, wanted_);                                             \
	} while (0)

#endif
