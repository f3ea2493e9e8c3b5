/* SPDX-License-Identifier: MIT */
/*
 * error.c - what went wrong, in words: a text and a status for each thread.
 * The text names the call, the parameter, the limit, and the remedy.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define TEXT_BYTES 640

static _Thread_local char text[TEXT_BYTES] = "no error";
static _Thread_local int last_status;

static const struct {
	const char *name, *text;
	int value;
} statuses[] = {
#define STATUS_ROW(n, v, t) { #n, t, v },
	MEMBOX_STATUSES(STATUS_ROW)
#undef STATUS_ROW
};

/* What to do about it, where there is something to be done. */
static const char *remedy(int status)
{
	switch (status) {
	case MEMBOX_ST_UNSUPPORTED:
		return "see the capabilities in membox_info or `memboxctl stat`";
	case MEMBOX_ST_TOO_LONG:
		return "split it: membox_info says max_bytes, a list has at most 256 terms";
	case MEMBOX_ST_BAD_TIMEOUT:
		return "wait at most ten minutes at a time";
	case MEMBOX_ST_ZERO_LENGTH:
		return "ask for one element or more";
	case MEMBOX_ST_MISALIGNED:
		return "align the memory to the element type";
	case MEMBOX_ST_HOST_FAULT:
		return "is the memory mapped, readable (writable for a read), and as long as asked?";
	case MEMBOX_ST_BAD_HANDLE:
		return "it was closed, or opened in another box";
	case MEMBOX_ST_DESTROYED:
		return "close it and get it again by name";
	case MEMBOX_ST_TYPE_MISMATCH:
		return "use the type that it was created with";
	case MEMBOX_ST_DENIED:
		return "was it opened for reading only, is its mode too strict, or is it another's?";
	case MEMBOX_ST_OUT_OF_RANGE:
		return "counts and indices are elements, not bytes";
	case MEMBOX_ST_OVERLAP:
		return "use ranges that are equal or apart";
	case MEMBOX_ST_NOT_FOUND:
		return "`memboxctl ls` shows what is there";
	case MEMBOX_ST_EXISTS:
		return "attach to it, or destroy it first";
	case MEMBOX_ST_SHAPE_MISMATCH:
		return "`memboxctl stat` shows its shape";
	case MEMBOX_ST_KEY_REFUSED:
		return "attach with the key that its creator got";
	case MEMBOX_ST_NO_SPACE:
		return "destroy parameters (`memboxctl ls`) or format a larger box";
	case MEMBOX_ST_TABLE_FULL:
		return "destroy parameters, or format with more (`memboxctl format --params`)";
	case MEMBOX_ST_QUOTA:
		return "destroy parameters of this port or raise its quota";
	case MEMBOX_ST_BUSY:
		return "try again later";
	case MEMBOX_ST_BAD_NAME:
		return "1 to 63 printable characters without blanks";
	case MEMBOX_ST_BAD_RANK:
		return "another process has the rank, or it is not below the number of ranks";
	case MEMBOX_ST_NOT_MAPPABLE:
		return "create it with MEMBOX_PARAM_MAPPABLE";
	case MEMBOX_ST_OWNER_DEAD:
	case MEMBOX_ST_RANK_DEAD:
		return "a process or machine that took part is gone";
	case MEMBOX_ST_TORN:
		return "write the parameter anew";
	case MEMBOX_ST_CORRUPT:
		return "run `memboxctl fsck` and format anew";
	case MEMBOX_ST_RESET:
		return "open the box again";
	case MEMBOX_ST_GONE:
		return "is the device still there (`memboxctl list`)?";
	default:
		return NULL;
	}
}

MB_EXPORT const char *membox_error(void)
{
	return text;
}

MB_EXPORT int membox_error_status(void)
{
	return last_status;
}

MB_EXPORT const char *membox_status_name(int status)
{
	size_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].value == status)
			return statuses[i].name;
	return "UNKNOWN";
}

MB_EXPORT const char *membox_status_text(int status)
{
	size_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].value == status)
			return statuses[i].text;
	return "unknown status";
}

int mb_fail(int error, const char *fmt, ...)
{
	char made[TEXT_BYTES]; /* an argument may be the last text */
	va_list args;

	va_start(args, fmt);
	vsnprintf(made, sizeof(made), fmt, args);
	va_end(args);
	memcpy(text, made, sizeof(text));
	last_status = MEMBOX_ST_OK;
	return error;
}

int mb_fail_status(int status, const char *fmt, ...)
{
	char made[TEXT_BYTES];
	const char *what = remedy(status);
	va_list args;

	va_start(args, fmt);
	vsnprintf(made, sizeof(made), fmt, args);
	va_end(args);
	mb_fail(0, "%s: %s%s%s", made, membox_status_text(status), what ? "; " : "",
		what ? what : "");
	last_status = status;
	return -membox_status_errno((uint32_t)status);
}

int mb_fail_keep(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return -membox_status_errno((uint32_t)last_status);
}

static int no_space(struct membox *box, const char *call, const char *name, uint64_t bytes)
{
	struct membox_info info = { .size = sizeof(info) };

	if (!bytes || box->be->admin(box, MEMBOX_ADM_INFO, &info, sizeof(info)))
		return mb_fail_status(MEMBOX_ST_NO_SPACE, "%s '%s'", call, name);
	return mb_fail_status(MEMBOX_ST_NO_SPACE,
			      "%s '%s' of %" PRIu64 " bytes (box %s has %" PRIu64 " of %" PRIu64
			      " free)", call, name, bytes, box->uri, (uint64_t)info.free_bytes,
			      (uint64_t)info.data_bytes);
}

int mb_admin_fail(struct membox *box, int answer, const char *call, const char *name,
		  uint64_t bytes)
{
	if (!answer)
		return 0;
	if (answer < 0)
		return mb_fail(answer, "%s%s%s%s in box %s: %s", call, name ? " '" : "",
			       name ? name : "", name ? "'" : "", box->uri, strerror(-answer));
	if (answer == MEMBOX_ST_NO_SPACE)
		return no_space(box, call, name ? name : "", bytes);
	if (!name)
		return mb_fail_status(answer, "%s in box %s", call, box->uri);
	return mb_fail_status(answer, "%s '%s' in box %s", call, name, box->uri);
}

const char *mb_op_name(uint8_t opcode)
{
	switch (opcode) {
#define OP_CASE(name, op, req, opt, flags, cap) \
	case op: \
		return #name;
		MEMBOX_OPS(OP_CASE)
#undef OP_CASE
	default:
		return "operation";
	}
}

const char *mb_type_name(uint8_t type)
{
	static const char *const names[MEMBOX_NR_TYPES] = {
		"none", "f32", "f64", "f16", "bf16", "i8", "i32", "i64"
	};

	return names[type < MEMBOX_NR_TYPES ? type : 0];
}

int mb_packet_fail(const struct membox_param *param, uint8_t opcode,
		   const struct membox_packet *packet, const struct membox_done *done)
{
	const char *op = mb_op_name(opcode), *name = param ? param->name : "";
	int status = (int)done->status;
	uint64_t first = packet->offset[0], n = packet->count;

	switch (status) {
	case MEMBOX_ST_OUT_OF_RANGE:
		if (param && done->detail == MEMBOX_AT(offset))
			return mb_fail_status(status,
					      "%s of '%s', %" PRIu64 " elements from %" PRIu64
					      " on, of %" PRIu64, op, name, n ? n : 1, first,
					      param->count);
		return mb_fail_status(status, "%s of '%s', operand %u", op, name,
				      (done->detail - MEMBOX_AT(offset)) / 8);
	case MEMBOX_ST_TYPE_MISMATCH:
	case MEMBOX_ST_BAD_TYPE:
		return mb_fail_status(status, "%s of '%s', which holds %s (asked: %s from %s)", op,
				      name, mb_type_name(param ? param->type : 0),
				      mb_type_name(packet->dst_type),
				      mb_type_name(packet->src_type));
	case MEMBOX_ST_HOST_FAULT:
		return mb_fail_status(status, "%s of '%s' with memory at %#" PRIx64, op, name,
				      (uint64_t)packet->host.addr);
	case MEMBOX_ST_MEDIA_ERROR:
		return mb_fail_status(status, "%s of '%s' at byte %" PRIu64, op, name,
				      done->result);
	case MEMBOX_ST_TIMED_OUT:
		return mb_fail_status(status, "%s of '%s' after %.3f s", op, name,
				      packet->timeout_us / 1e6);
	default:
		return mb_fail_status(status, "%s of '%s'", op, name);
	}
}
