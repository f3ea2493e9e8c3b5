/* SPDX-License-Identifier: MIT */
/*
 * sync.c - what comes to a box unasked (events, mail), and locks of parameters.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

/* ---- events and mail ---- */

MB_EXPORT int membox_param_subscribe(struct membox_param *param, int on)
{
	struct membox_handle_args args = {
		.size = sizeof(args), .handle = param->handle, .value = on ? 1 : 0
	};
	int ret = mb_check(param->box);

	return ret ? ret :
	       mb_admin_fail(param->box,
			     param->box->be->admin(param->box, MEMBOX_ADM_SUBSCRIBE, &args,
						   sizeof(args)),
			     "param_subscribe", param->name, 0);
}

/*
 * Asks until there is one. bytes of fresh are what is asked with each time,
 * since a question that finds nothing may leave its buffer changed.
 */
static int take(struct membox *box, uint8_t opcode, const char *call, int64_t timeout,
		const void *fresh, void *buf, size_t bytes)
{
	uint64_t deadline = mb_deadline(timeout);
	uint32_t seen;
	int ret;

	for (;;) {
		seen = box->be->event_seen(box);
		memcpy(buf, fresh, bytes);
		ret = box->be->admin(box, opcode, buf, bytes);
		if (ret != MEMBOX_ST_AGAIN)
			return mb_admin_fail(box, ret, call, NULL, 0);
		if (!timeout)
			return mb_admin_fail(box, ret, call, NULL, 0);
		ret = box->be->event_wait(box, seen, deadline);
		if (ret == -ETIMEDOUT)
			return mb_fail(ret, "%s in box %s: nothing came in time", call, box->uri);
		if (ret)
			return mb_admin_fail(box, ret, call, NULL, 0);
	}
}

MB_EXPORT int membox_event_read(struct membox *box, int64_t timeout, struct membox_change *change)
{
	const struct membox_event fresh = { .size = sizeof(fresh) };
	struct membox_event event;
	struct membox_param *param;
	int ret = mb_check(box);

	while (!ret) {
		ret = take(box, MEMBOX_ADM_EVENT_READ, "event_read", timeout, &fresh, &event,
			   sizeof(event));
		if (ret)
			return ret;
		param = mb_param_find(box, event.handle);
		if (!param)
			continue; /* of a parameter that another thread has closed meanwhile */
		change->param = param;
		change->version = event.version;
		change->missed = event.missed;
		return 0;
	}
	return ret;
}

MB_EXPORT int membox_mail_recv(struct membox *box, int64_t timeout, struct membox_mail *out)
{
	const struct membox_mail fresh = { .size = sizeof(fresh) };
	struct membox_mail mail;
	int ret = mb_check(box);

	if (ret)
		return ret;
	if (out->size != sizeof(mail))
		return mb_fail(-EINVAL, "mail_recv: structure of %u bytes, %zu are known: set size",
			       out->size, sizeof(mail));
	ret = take(box, MEMBOX_ADM_MAIL_RECV, "mail_recv", timeout, &fresh, &mail, sizeof(mail));
	if (!ret)
		*out = mail;
	return ret;
}

MB_EXPORT int membox_event_fd(struct membox *box)
{
	int ret = mb_check(box), fd;

	if (ret)
		return ret;
	fd = box->be->event_fd(box);
	if (fd < 0)
		return mb_fail(fd, "descriptor for events of box %s: %s", box->uri,
			       strerror(-fd));
	return fd;
}

/* ---- locks ---- */

static int ask(struct membox_param *param, uint8_t opcode)
{
	struct membox_handle_args args = { .size = sizeof(args), .handle = param->handle };

	return param->box->be->admin(param->box, opcode, &args, sizeof(args));
}

/* 0, a status (TIMED_OUT: others had it all the time), or -errno. */
int mb_param_lock(struct membox_param *param, uint64_t deadline)
{
	struct mb_backoff backoff = { 0 };
	int ret;

	while ((ret = ask(param, MEMBOX_ADM_PARAM_LOCK)) == MEMBOX_ST_BUSY)
		if (!mb_backoff(&backoff, deadline))
			return MEMBOX_ST_TIMED_OUT;
	return ret;
}

int mb_param_unlock(struct membox_param *param)
{
	return ask(param, MEMBOX_ADM_PARAM_UNLOCK);
}

MB_EXPORT int membox_param_lock(struct membox_param *param, int64_t timeout)
{
	int ret = mb_check(param->box);

	return ret ? ret :
	       mb_admin_fail(param->box, mb_param_lock(param, mb_deadline(timeout)), "param_lock",
			     param->name, 0);
}

MB_EXPORT int membox_param_unlock(struct membox_param *param)
{
	int ret = mb_check(param->box);

	return ret ? ret :
	       mb_admin_fail(param->box, mb_param_unlock(param), "param_unlock", param->name, 0);
}
