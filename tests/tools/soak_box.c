// SPDX-License-Identifier: MIT
/* soak_box.c - see soak.h: one box, by a node's ioctls or by the engine on its file. */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "membox.h"

#define ERRNO 0x10000U /* an errno, where a status is told */
#define PATIENCE_MS 120000
#define NAP_US 10000

/* What cannot go on; a device that is gone is nothing wrong, and told by exit status 3. */
void soak_give_up(const char *what, unsigned int status)
{
	if (status == MEMBOX_ST_GONE || status == (ERRNO | ENODEV)) {
		printf("gone=%s\n", what);
		fflush(stdout);
		exit(3);
	}
	printf("wrong=%s: %#x\n", what, status);
	fflush(stdout);
	exit(1);
}

static unsigned long request_of(uint8_t opcode)
{
	switch (opcode) {
	case MEMBOX_ADM_PARAM_OPEN:
		return MEMBOX_IOC_PARAM_OPEN;
	case MEMBOX_ADM_GROUP_JOIN:
		return MEMBOX_IOC_GROUP_JOIN;
	default:
		return MEMBOX_IOC_GET_OUTCOMES;
	}
}

unsigned int soak_admin(struct soak_box *b, uint8_t opcode, void *args)
{
	int ret;

	if (b->e) {
		uint32_t bytes;

		memcpy(&bytes, args, sizeof(bytes)); /* each begins with its size */
		return mbe_admin(b->e, 1, opcode, args, bytes);
	}
	ret = ioctl(b->fd, request_of(opcode), args);
	return ret < 0 ? ERRNO | (unsigned int)errno : (unsigned int)ret;
}

/* ---- commands ---- */

struct flight {
	struct mbe_cmd cmd;
	struct membox_completion c;
	int done;
};

static void landed(struct mbe_cmd *cmd, const struct membox_completion *c)
{
	struct flight *f = cmd->arg;

	f->c = *c;
	__atomic_store_n(&f->done, 1, __ATOMIC_RELEASE);
}

static unsigned int run_here(struct soak_box *b, const struct membox_packet *p, void *host, void *host2,
			     struct membox_completion *c)
{
	struct iovec one = { host, membox_host_bytes(p) }, two = { host2, membox_host2_bytes(p) };
	struct flight f = { .cmd = { .p = *p, .host = &one, .nhost = host != NULL, .host2 = &two,
				     .nhost2 = host2 != NULL, .done = landed } };

	f.cmd.arg = &f;
	f.cmd.p.context = 1;
	if (mbe_queue_enter(&b->q, &f.cmd))
		mbe_execute(b->e, &f.cmd);
	while (!__atomic_load_n(&f.done, __ATOMIC_ACQUIRE)) {
		uint32_t seen = mbe_wake_seen(b->e);
		uint64_t until = mbe_progress(b->e);

		if (!__atomic_load_n(&f.done, __ATOMIC_ACQUIRE))
			mbe_sleep(b->e, seen, until);
	}
	*c = f.c;
	return c->status;
}

unsigned int soak_run(struct soak_box *b, const struct membox_packet *packet, void *host, void *host2,
		      struct membox_completion *c)
{
	struct membox_packet p = *packet;
	struct membox_submit s = { .size = sizeof(s), .count = 1, .wait = 1, .reap = 1, .timeout_ns = -1 };
	int ret;

	p.host.addr = (uintptr_t)host;
	if (host2)
		p.coll.recv.addr = (uintptr_t)host2;
	if (b->e)
		return run_here(b, &p, host, host2, c);
	s.packets = (uintptr_t)&p;
	s.completions = (uintptr_t)c;
	ret = ioctl(b->fd, MEMBOX_IOC_SUBMIT, &s);
	if (ret < 0)
		return ERRNO | (unsigned int)errno;
	if (ret)
		return (unsigned int)ret;
	if (s.reaped != 1)
		soak_give_up("no completion", s.submitted);
	return c->status;
}

bool soak_was_reset(unsigned int status)
{
	return status == MEMBOX_ST_RESET || status == (ERRNO | ESTALE);
}

unsigned int soak_outcomes(struct soak_box *b, struct membox_outcomes *o, uint32_t from)
{
	unsigned int status = ERRNO | ESTALE;

	for (unsigned int ms = 0; ms < PATIENCE_MS && status == (ERRNO | ESTALE); ms += NAP_US / 1000) {
		o->count = from;
		status = soak_admin(b, MEMBOX_ADM_GET_OUTCOMES, o);
		if (status)
			usleep(NAP_US);
	}
	return status;
}

void soak_rest(struct soak_box *b)
{
	if (b->e)
		mbe_progress(b->e);
	usleep(NAP_US);
}

/* ---- opening ---- */

static uint32_t param(struct soak_box *b, const char *name, uint32_t type, uint64_t count, bool make)
{
	struct membox_param_args a = { .size = sizeof(a), .flags = make ? MEMBOX_PARAM_CREATE : 0,
				       .type = make ? type : 0, .count = make ? count : 0, .mode = make ? 0666 : 0 };
	unsigned int status;

	snprintf(a.name, sizeof(a.name), "%s", name);
	status = soak_admin(b, MEMBOX_ADM_PARAM_OPEN, &a);
	if (soak_was_reset(status))
		return 0;
	if (status)
		soak_give_up(name, status);
	return a.handle;
}

/* False: reset once more meanwhile. */
static bool open_params(struct soak_box *b, bool make)
{
	b->sum = param(b, "sum", MEMBOX_I32, SOAK_SUM_N, make);
	b->ones = param(b, "ones", MEMBOX_I32, SOAK_SUM_N, make);
	b->words = param(b, "words", MEMBOX_I64, SOAK_ROWS, make);
	b->mine = param(b, "mine", MEMBOX_I32, (uint64_t)SOAK_ROWS * SOAK_MINE_N, make);
	b->note = param(b, "note", MEMBOX_I32, 1, make);
	b->ledger = param(b, "ledger", MEMBOX_I64, SOAK_STOP + 1, make);
	return b->sum && b->ones && b->words && b->mine && b->note && b->ledger;
}

static void open_node(struct soak_box *b)
{
	unsigned int ms;

	for (ms = 0; b->fd < 0 && ms < PATIENCE_MS; ms += NAP_US / 1000) {
		b->fd = open(b->path, O_RDWR | O_CLOEXEC);
		if (b->fd < 0)
			usleep(NAP_US);
	}
	if (b->fd < 0)
		soak_give_up(b->path, (unsigned int)errno);
}

void soak_again(struct soak_box *b, unsigned int status)
{
	if (!soak_was_reset(status))
		soak_give_up("a command", status);
	do {
		close(b->fd);
		b->fd = -1;
		open_node(b);
	} while (!open_params(b, false));
}

static void ready(struct mbe_queue *q, struct mbe_cmd *cmd)
{
	mbe_execute(q->engine, cmd);
}

static void open_file(struct soak_box *b, bool make)
{
	struct mbe_attach_opts opts = { .port = MBE_PORT_AUTO, .is_operator = true };
	struct membox_ctx_args ctx = { .size = sizeof(ctx), .context = 1 };
	char text[MBE_ERR_TEXT] = "";

	if (mbe_attach(b->path, &opts, &b->e, text)) {
		fprintf(stderr, "soak: %s\n", text);
		soak_give_up("attach", 0);
	}
	b->q.ready = ready;
	if (mbe_admin(b->e, 0, MEMBOX_ADM_CTX_CREATE, &ctx, sizeof(ctx)) || mbe_queue_init(&b->q, b->e))
		soak_give_up("context", 0);
	open_params(b, make);
}

void soak_open(struct soak_box *b, const char *name, bool make)
{
	memset(b, 0, sizeof(*b));
	b->fd = -1;
	b->path = name ? name : "/dev/membox0";
	if (!strncmp(b->path, "file:", 5)) {
		b->path += 5;
		open_file(b, make);
	} else {
		open_node(b);
		while (!open_params(b, make))
			soak_again(b, MEMBOX_ST_RESET);
	}
	if (make) {
		struct membox_packet p = { .opcode = MEMBOX_OP_FILL, .dst_type = MEMBOX_I32, .count = SOAK_SUM_N,
					   .handle = { b->ones } };
		struct membox_completion c;

		p.word.value = 1;
		if (soak_run(b, &p, NULL, NULL, &c))
			soak_give_up("FILL", c.status);
	}
}

void soak_close(struct soak_box *b)
{
	if (b->e) {
		mbe_queue_fini(&b->q);
		mbe_detach(b->e);
	} else {
		close(b->fd);
	}
}
