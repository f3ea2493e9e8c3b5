/* SPDX-License-Identifier: MIT */
/*
 * ctl.h - what the verbs of memboxctl share. A verb gets its own arguments, the
 * first being its name, and returns the exit status: 0 good, 1 something is
 * wrong with what was asked about, 2 it could not be asked.
 */
#ifndef CTL_H
#define CTL_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include <membox/membox.h>

enum { CTL_GOOD = 0, CTL_WRONG = 1, CTL_FAILED = 2 };

struct ctl_verb {
	const char *name;
	const char *synopsis; /* behind the name */
	const char *summary;
	const char *help; /* options, and examples */
	int (*run)(const struct ctl_verb *verb, int argc, char **argv);
};

extern const struct ctl_verb ctl_list, ctl_info, ctl_format, ctl_ls, ctl_stat, ctl_fsck,
	ctl_create, ctl_destroy, ctl_revoke, ctl_dump, ctl_key, ctl_evict;

/* ---- main.c ---- */

int ctl_usage(const struct ctl_verb *verb, FILE *to); /* returns CTL_FAILED */
/* Says what is wrong, on standard error, as "memboxctl VERB: ...". Returns CTL_FAILED. */
int ctl_fail(const struct ctl_verb *verb, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- args.c ---- */

/* "64M": bytes, with K, M, G, T for powers of 1024. False when it is no size. */
bool ctl_parse_bytes(const char *text, uint64_t *bytes);
bool ctl_parse_number(const char *text, uint64_t max, uint64_t *number);
bool ctl_parse_type(const char *text, enum membox_type *type);
const char *ctl_type_name(uint32_t type);
const char *ctl_bytes_text(uint64_t bytes, char text[32]); /* "1.5 GiB" */

/*
 * Which box: what --box said, or the first operand if it looks like one (it
 * begins with "file:" or "/"), which *operands then skips, or $MEMBOX. A path of
 * a file that is no device node means file:PATH. 0 or CTL_FAILED.
 */
int ctl_open(const struct ctl_verb *verb, const char *option, int *operands, int argc, char **argv,
	     unsigned int flags, struct membox **box);

/* ---- out.c ---- */

int ctl_print_json(struct json_object *object); /* and frees it */
void ctl_hex(const uint8_t *bytes, size_t n, char *text); /* 2 * n + 1 characters */
struct json_object *ctl_json_caps(uint64_t caps);
void ctl_print_caps(uint64_t caps);
const char *ctl_counter_name(unsigned int counter); /* NULL: not used */
const char *ctl_attrs_text(uint32_t attrs, char text[64]);
struct json_object *ctl_json_param(const struct membox_param_stat *p);

#endif /* CTL_H */
