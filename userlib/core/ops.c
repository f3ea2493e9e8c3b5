/* SPDX-License-Identifier: MIT */
/*
 * ops.c - the calls that end when their operation has: a prep and a run each.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

#define SNAPSHOT_TRIES 64

static int run(struct membox_param *param, const struct membox_op *op, struct membox_done *done)
{
	int ret;

	if (!param)
		return mb_fail(-EINVAL, "%s: no parameter given", mb_op_name(op->opcode));
	ret = mb_check(param->box);
	return ret ? ret : mb_run(param->box, op, false, done); /* none of them tells times */
}

static int run_quiet(struct membox_param *param, const struct membox_op *op)
{
	struct membox_done done;

	return run(param, op, &done);
}

static int run_version(struct membox_param *param, const struct membox_op *op, uint64_t *version)
{
	struct membox_done done;
	int ret = run(param, op, &done);

	if (!ret && version)
		*version = done.version;
	return ret;
}

MB_EXPORT int membox_read(struct membox_param *param, uint64_t first, uint64_t n, void *to,
			  uint64_t *version)
{
	struct membox_op op;

	membox_prep_read(&op, param, first, n, to);
	return run_version(param, &op, version);
}

MB_EXPORT int membox_write(struct membox_param *param, uint64_t first, uint64_t n,
			   const void *from)
{
	struct membox_op op;

	membox_prep_write(&op, param, first, n, from);
	return run_quiet(param, &op);
}

/* Longer than one packet: read in parts, until no writer began meanwhile. */
static int snapshot_parts(struct membox_param *param, uint64_t first, uint64_t n, void *to,
			  uint64_t *version)
{
	struct membox_param_stat before = { .size = sizeof(before) };
	struct membox_param_stat after = { .size = sizeof(after) };
	struct mb_backoff backoff = { 0 };
	unsigned int i;
	int ret;

	for (i = 0; i < SNAPSHOT_TRIES; i++) {
		ret = membox_param_stat(param, &before);
		if (!ret && before.begun == before.finished) {
			ret = membox_read(param, first, n, to, NULL);
			if (!ret)
				ret = membox_param_stat(param, &after);
			if (!ret && after.begun == before.begun) {
				if (version)
					*version = before.finished;
				return 0;
			}
		}
		if (ret)
			return ret;
		mb_backoff(&backoff, UINT64_MAX);
	}
	return mb_fail_status(MEMBOX_ST_BUSY, "SNAPSHOT of '%s': written again and again",
			      param->name);
}

MB_EXPORT int membox_snapshot(struct membox_param *param, uint64_t first, uint64_t n, void *to,
			      uint64_t *version)
{
	struct membox_op op;

	if (param && n > param->box->max_bytes / membox_type_bytes(param->type))
		return snapshot_parts(param, first, n, to, version);
	membox_prep_snapshot(&op, param, first, n, to);
	return run_version(param, &op, version);
}

MB_EXPORT int membox_acc(struct membox_param *param, uint64_t first, uint64_t n,
			 const void *from, enum membox_type type, double a)
{
	return membox_acc_red(param, first, n, from, type, MEMBOX_SUM, a);
}

MB_EXPORT int membox_acc_red(struct membox_param *param, uint64_t first, uint64_t n,
			     const void *from, enum membox_type type, enum membox_red red,
			     double a)
{
	struct membox_op op;

	membox_prep_acc_red(&op, param, first, n, from, type, red, a);
	return run_quiet(param, &op);
}

MB_EXPORT int membox_acc_param(struct membox_param *param, uint64_t first,
			       struct membox_param *from, uint64_t from_first, uint64_t n,
			       double a)
{
	struct membox_op op;

	if (!from)
		return mb_fail(-EINVAL, "ACC: no source parameter given");
	membox_prep_acc_param(&op, param, first, from, from_first, n, a);
	return run_quiet(param, &op);
}

MB_EXPORT int membox_copy(struct membox_param *to, uint64_t to_first, struct membox_param *from,
			  uint64_t from_first, uint64_t n)
{
	struct membox_op op;

	membox_prep_copy(&op, to, to_first, from, from_first, n);
	return run_quiet(to, &op);
}

MB_EXPORT int membox_fill(struct membox_param *param, uint64_t first, uint64_t n,
			  const void *element)
{
	struct membox_op op;

	if (!element)
		return mb_fail(-EINVAL, "FILL: no element given");
	membox_prep_fill(&op, param, first, n, element);
	return run_quiet(param, &op);
}

MB_EXPORT int membox_scale(struct membox_param *param, uint64_t first, uint64_t n, double a)
{
	struct membox_op op;

	membox_prep_scale(&op, param, first, n, a);
	return run_quiet(param, &op);
}

MB_EXPORT int membox_axpby(struct membox_param *y, double a, struct membox_param *x, double b)
{
	struct membox_op op;

	if (!x || !y)
		return mb_fail(-EINVAL, "AXPBY: no parameter given");
	if (x->count != y->count)
		return mb_fail_status(MEMBOX_ST_SHAPE_MISMATCH,
				      "AXPBY of '%s' (%llu elements) and '%s' (%llu)", y->name,
				      (unsigned long long)y->count, x->name,
				      (unsigned long long)x->count);
	membox_prep_axpby(&op, y, 0, a, x, 0, b, y->count);
	return run_quiet(y, &op);
}

MB_EXPORT int membox_wsum(struct membox_param *to, const struct membox_wsum_term *terms,
			  unsigned int n)
{
	struct membox_op op;

	membox_prep_wsum(&op, to, 0, to ? to->count : 0, terms, n);
	return run_quiet(to, &op);
}

static int run_atomic(struct membox_param *param, const struct membox_op *op, int64_t *old)
{
	struct membox_done done;
	int ret = run(param, op, &done);

	if (!ret && old)
		*old = (int64_t)done.result;
	return ret;
}

MB_EXPORT int membox_fetch_add(struct membox_param *param, uint64_t index, int64_t add,
			       int64_t *old)
{
	struct membox_op op;

	membox_prep_fetch_add(&op, param, index, add);
	return run_atomic(param, &op, old);
}

MB_EXPORT int membox_swap(struct membox_param *param, uint64_t index, int64_t value, int64_t *old)
{
	struct membox_op op;

	membox_prep_swap(&op, param, index, value);
	return run_atomic(param, &op, old);
}

MB_EXPORT int membox_compare_swap(struct membox_param *param, uint64_t index, int64_t expected,
				  int64_t value, int64_t *old)
{
	struct membox_op op;

	membox_prep_compare_swap(&op, param, index, expected, value);
	return run_atomic(param, &op, old);
}

MB_EXPORT int membox_notify(struct membox_param *param)
{
	struct membox_op op;

	membox_prep_notify(&op, param);
	return run_quiet(param, &op);
}

MB_EXPORT int membox_param_commit(struct membox_param *param)
{
	struct membox_op op;

	membox_prep_commit(&op, param);
	return run_quiet(param, &op);
}

MB_EXPORT int membox_wait_version(struct membox_param *param, uint64_t above, int64_t timeout,
				  uint64_t *now)
{
	struct membox_done done;
	struct membox_op op;
	int ret;

	membox_prep_wait_version(&op, param, above, timeout);
	ret = run(param, &op, &done);
	if (!ret && now)
		*now = done.result;
	return ret;
}

MB_EXPORT int membox_wait_word(struct membox_param *param, uint64_t index, enum membox_cmp cmp,
			       int64_t value, int64_t timeout)
{
	struct membox_op op;

	membox_prep_wait_word(&op, param, index, cmp, value, timeout);
	return run_quiet(param, &op);
}
