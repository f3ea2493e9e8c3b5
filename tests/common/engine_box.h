// SPDX-License-Identifier: MIT
/*
 * engine_box.h - a box in memory-backed storage, ports attached to it, and
 * commands executed on them, for tests of the engine. Everything asserts that it
 * works; a test of a refusal looks at the completion.
 */
#ifndef MEMBOX_ENGINE_BOX_H
#define MEMBOX_ENGINE_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine.h"
#include "internal.h"

#define BOX_ONE 0x3ff0000000000000ULL /* binary64 */
#define BOX_CONTEXT 1
#define BOX_STRIPE ((uint64_t)MEMBOX_FMT_STRIPE)

static char box_path[64];

/* Makes the file; box_remove() at the end. */
static inline void box_create_as(struct mbe_format_opts opts)
{
	char text[MBE_ERR_TEXT];
	int fd;

	strcpy(box_path, access("/dev/shm", W_OK) ? "/tmp/membox-test-XXXXXX" : "/dev/shm/membox-test-XXXXXX");
	fd = mkstemp(box_path);
	assert_true(fd >= 0);
	close(fd);
	opts.force = true;
	if (mbe_format(box_path, &opts, text))
		fail_msg("format: %s", text);
}

static inline void box_create(uint64_t bytes)
{
	box_create_as((struct mbe_format_opts){ .bytes = bytes });
}

static inline void box_remove(void)
{
	unlink(box_path);
}

/* A port with context BOX_CONTEXT open, and a queue. */
struct port {
	struct mbe *e;
	struct mbe_queue q;
};

static inline void port_ready(struct mbe_queue *q, struct mbe_cmd *cmd)
{
	mbe_execute(q->engine, cmd);
}

static inline uint16_t port_admin(struct port *p, unsigned int context, uint8_t opcode, void *buf, uint32_t bytes)
{
	memcpy(buf, &bytes, sizeof(bytes));
	return mbe_admin(p->e, context, opcode, buf, bytes);
}

static inline void port_open_as(struct port *p, const struct mbe_attach_opts *opts)
{
	struct membox_ctx_args ctx = { .context = BOX_CONTEXT };
	char text[MBE_ERR_TEXT];

	if (mbe_attach(box_path, opts, &p->e, text))
		fail_msg("attach: %s", text);
	assert_int_equal(port_admin(p, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)), MEMBOX_ST_OK);
	memset(&p->q, 0, sizeof(p->q));
	p->q.ready = port_ready;
	assert_int_equal(mbe_queue_init(&p->q, p->e), 0);
}

/* All ports of a test have one principal: one user's programs. */
static inline void port_open(struct port *p)
{
	struct mbe_attach_opts opts = { .port = MBE_PORT_AUTO, .have_principal = true };

	memset(opts.principal, 7, sizeof(opts.principal));
	port_open_as(p, &opts);
}

static inline void port_close(struct port *p)
{
	assert_int_equal(mbe_queue_inflight(&p->q), 0);
	mbe_queue_fini(&p->q);
	mbe_detach(p->e);
}

static inline struct membox_param_args param_open_args(struct port *p, const char *name, uint8_t type,
						       uint64_t count, uint32_t flags)
{
	struct membox_param_args a = { .flags = flags, .type = type, .count = count };
	uint16_t status;

	snprintf(a.name, sizeof(a.name), "%s", name);
	status = port_admin(p, BOX_CONTEXT, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a));
	if (status)
		fail_msg("open %s: status %u", name, status);
	return a;
}

/* Finds or creates; the handle. */
static inline uint32_t param_open(struct port *p, const char *name, uint8_t type, uint64_t count, uint32_t flags)
{
	return param_open_args(p, name, type, count, flags | MEMBOX_PARAM_CREATE).handle;
}

static inline struct membox_param_stat param_stat(struct port *p, uint32_t handle)
{
	struct membox_param_stat s = { .handle = handle };

	assert_int_equal(port_admin(p, BOX_CONTEXT, MEMBOX_ADM_PARAM_STAT, &s, sizeof(s)), MEMBOX_ST_OK);
	return s;
}

/* ---- commands ---- */

struct issue {
	struct mbe_cmd cmd;
	struct iovec one;
	struct membox_completion c;
	int done; /* atomic; 2 would be a second completion */
};

static inline void issue_done(struct mbe_cmd *cmd, const struct membox_completion *c)
{
	struct issue *i = cmd->arg;

	i->c = *c;
	__atomic_add_fetch(&i->done, 1, __ATOMIC_RELEASE);
}

static inline bool issue_is_done(const struct issue *i)
{
	return __atomic_load_n(&i->done, __ATOMIC_ACQUIRE) != 0;
}

/* Enters and starts a command; it may complete later. The iovecs stay the caller's. */
static inline void issue_start(struct port *p, struct issue *i, const struct membox_packet *packet,
			       const struct iovec *v, unsigned int n)
{
	memset(i, 0, sizeof(*i));
	i->cmd.p = *packet;
	i->cmd.p.context = BOX_CONTEXT;
	i->cmd.host = v;
	i->cmd.nhost = n;
	i->cmd.done = issue_done;
	i->cmd.arg = i;
	if (mbe_queue_enter(&p->q, &i->cmd))
		mbe_execute(p->e, &i->cmd);
}

static inline struct membox_completion issue_finish(struct port *p, struct issue *i)
{
	while (!issue_is_done(i)) {
		uint32_t seen = mbe_wake_seen(p->e);
		uint64_t until = mbe_progress(p->e);

		/* no longer than it asks for, no shorter: a lost wake-up is to be felt */
		if (!issue_is_done(i))
			mbe_sleep(p->e, seen, until);
	}
	assert_int_equal(i->done, 1);
	return i->c;
}

static inline struct membox_completion run_iov(struct port *p, const struct membox_packet *packet,
					       const struct iovec *v, unsigned int n)
{
	struct issue i;

	issue_start(p, &i, packet, v, n);
	return issue_finish(p, &i);
}

static inline struct membox_completion run(struct port *p, const struct membox_packet *packet, const void *host)
{
	struct iovec v = { (void *)(uintptr_t)host, membox_host_bytes(packet) };

	return run_iov(p, packet, &v, v.iov_len ? 1 : 0);
}

static inline struct membox_completion run_ok(struct port *p, const struct membox_packet *packet, const void *host)
{
	struct membox_completion c = run(p, packet, host);

	if (c.status)
		fail_msg("operation %#x: status %u, detail %u", packet->opcode, c.status, c.detail);
	return c;
}

/* ---- packets ---- */

static inline struct membox_packet op_move(uint8_t opcode, uint32_t handle, uint64_t first, uint64_t n, uint8_t type)
{
	struct membox_packet p = { .opcode = opcode, .dst_type = type, .count = n };

	p.handle[0] = handle;
	p.offset[0] = first;
	return p;
}

static inline struct membox_packet op_acc(uint32_t handle, uint64_t first, uint64_t n, uint8_t dst, uint8_t src,
					  uint8_t red)
{
	struct membox_packet p = op_move(MEMBOX_OP_ACC, handle, first, n, dst);

	p.src_type = src;
	p.reduction = red;
	p.scale.a = BOX_ONE;
	return p;
}

static inline void read_all(struct port *p, uint32_t handle, uint8_t type, uint64_t n, void *to)
{
	struct membox_packet k = op_move(MEMBOX_OP_READ, handle, 0, n, type);

	assert_int_equal(run_ok(p, &k, to).bytes, n * membox_type_bytes(type));
}

static inline void write_all(struct port *p, uint32_t handle, uint8_t type, uint64_t n, const void *from)
{
	struct membox_packet k = op_move(MEMBOX_OP_WRITE, handle, 0, n, type);

	assert_int_equal(run_ok(p, &k, from).bytes, n * membox_type_bytes(type));
}

static inline void fill_all(struct port *p, uint32_t handle, uint8_t type, uint64_t n, uint64_t value)
{
	struct membox_packet k = op_move(MEMBOX_OP_FILL, handle, 0, n, type);

	k.word.value = value;
	run_ok(p, &k, NULL);
}

#endif /* MEMBOX_ENGINE_BOX_H */
