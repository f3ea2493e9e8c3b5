/* SPDX-License-Identifier: MIT */
/*
 * admin.c - administration: a table with a row for each command says how large
 * its structure is, who may give it and under which lock it runs. The structure
 * is copied in, checked, executed and copied back.
 */
#include "tables.h"

#define KERNEL 1U   /* context 0 only */
#define LOCKED 2U   /* with the table's lock */
#define STOPPED 4U  /* also in a stopped box */
#define POLLS 8U    /* depends on who lives: looks at ports first, now and then */

#define POLL_NS (20 * MBE_NS_PER_MS)

/* ---- commands that are about the port or the box ---- */

static uint16_t ctx_create(struct mbe *e, unsigned int context, void *buf)
{
	const struct membox_ctx_args *a = buf;

	(void)context;
	return a->context ? mbe_context_create(e, a->context) : MEMBOX_ST_BAD_ARGUMENT;
}

static uint16_t ctx_destroy(struct mbe *e, unsigned int context, void *buf)
{
	const struct membox_ctx_args *a = buf;

	(void)context;
	return a->context ? mbe_context_destroy(e, a->context) : MEMBOX_ST_BAD_ARGUMENT;
}

static uint16_t info(struct mbe *e, unsigned int context, void *buf)
{
	uint64_t total = e->geo.data_bytes / MEMBOX_FMT_GRANULE, used = MBE_LOAD(&e->state->granules_used);
	struct membox_info *a = buf;
	uint32_t i;

	memset(&a->abi, 0, sizeof(*a) - sizeof(a->size));
	a->abi = MEMBOX_ABI;
	a->caps = e->caps;
	memcpy(a->uuid, e->uuid, sizeof(a->uuid));
	a->port = e->port;
	a->ports = e->geo.ports;
	a->context = context;
	a->rdonly = e->rdonly;
	a->data_bytes = e->geo.data_bytes;
	a->free_bytes = used < total ? (total - used) * MEMBOX_FMT_GRANULE : 0;
	a->params = (uint32_t)MBE_LOAD(&e->state->params_used);
	a->max_params = e->geo.params;
	a->max_bytes = mbe_max_bytes(e);
	a->max_timeout_us = MEMBOX_MAX_TIMEOUT_US;
	a->stripe_bytes = e->geo.stripe_bytes;
	a->clock = mbe_clock(e);
	memcpy(a->principal, e->principal, sizeof(a->principal));
	a->state = mbe_stopped(e);
	for (i = 0; i < e->geo.ports; i++)
		a->live_ports += mbe_port_state(e, i) == MEMBOX_PORT_LIVE;
	return MEMBOX_ST_OK;
}

static uint32_t open_contexts(const struct mbe *e, uint32_t port)
{
	const struct membox_fmt_context *c = mbe_area_of(e, MEMBOX_AREA_CONTEXTS, port);
	uint32_t i, n = 0;

	for (i = 0; i < MEMBOX_MAX_CONTEXTS; i++)
		n += (uint32_t)MBE_LOAD(&c[i].word) & 1;
	return n;
}

static uint16_t port_stat(struct mbe *e, unsigned int context, void *buf)
{
	struct membox_port_stat *a = buf;
	const struct membox_fmt_port *p;
	unsigned int i;

	(void)context;
	if (a->port == 0xffffffffU)
		a->port = e->port;
	if (a->port >= e->geo.ports)
		return MEMBOX_ST_BAD_ARGUMENT;
	p = &e->ports[a->port];
	a->state = mbe_port_state(e, a->port);
	a->generation = (uint32_t)(MBE_LOAD(&p->word) >> 32);
	a->pid = (uint32_t)MBE_LOAD(&p->pid);
	a->contexts = open_contexts(e, a->port);
	a->attached = MBE_LOAD(&p->attached);
	for (i = 0; i < MEMBOX_NR_COUNTERS; i++)
		a->counter[i] = MBE_PEEK(&p->counter[i]);
	a->used_bytes = MBE_LOAD(&p->used_bytes);
	a->quota_bytes = MBE_LOAD(&p->quota_bytes);
	return MEMBOX_ST_OK;
}

static uint16_t get_outcomes(struct mbe *e, unsigned int context, void *buf)
{
	return mbe_exec_outcomes(e, context, buf);
}

static uint16_t port_evict(struct mbe *e, unsigned int context, void *buf)
{
	const struct membox_port_stat *a = buf;

	(void)context;
	return mbe_port_evict(e, a->port);
}

/* ---- the table ---- */

#define UNTYPED(name, args) \
	static uint16_t name(struct mbe *e, unsigned int context, void *buf) \
	{ \
		return mbe_##name(e, context, (struct args *)buf); \
	}
MBE_COMMANDS(UNTYPED)
#undef UNTYPED

struct command {
	uint8_t opcode;
	uint32_t bytes; /* of the structure; also the least that is taken */
	uint32_t flags;
	uint16_t (*run)(struct mbe *e, unsigned int context, void *buf);
};

#define ROW(name, function, args, flags) {MEMBOX_ADM_##name, sizeof(struct args), flags, function}

static const struct command commands[] = {
	ROW(INFO, info, membox_info, STOPPED),
	ROW(CTX_CREATE, ctx_create, membox_ctx_args, KERNEL | LOCKED),
	ROW(CTX_DESTROY, ctx_destroy, membox_ctx_args, KERNEL | LOCKED),
	ROW(PARAM_OPEN, param_open, membox_param_args, LOCKED),
	ROW(PARAM_CLOSE, param_close, membox_handle_args, LOCKED),
	ROW(PARAM_DESTROY, param_destroy, membox_handle_args, LOCKED),
	ROW(PARAM_STAT, param_stat, membox_param_stat, LOCKED),
	ROW(PARAM_GRANT, param_grant, membox_grant_args, LOCKED | POLLS),
	ROW(PARAM_REVOKE, param_revoke, membox_param_args, LOCKED),
	ROW(PARAM_LIST, param_list, membox_list_args, LOCKED),
	ROW(PARAM_LOCK, param_lock, membox_handle_args, 0),
	ROW(PARAM_UNLOCK, param_unlock, membox_handle_args, 0),
	ROW(MAIL_RECV, mail_recv, membox_mail, LOCKED),
	ROW(SUBSCRIBE, subscribe_cmd, membox_handle_args, LOCKED),
	ROW(EVENT_READ, event_read, membox_event, 0),
	ROW(GROUP_JOIN, group_join, membox_group_args, LOCKED | POLLS),
	ROW(GROUP_LEAVE, group_leave, membox_group_args, LOCKED),
	ROW(GROUP_INFO, group_info, membox_group_args, LOCKED | POLLS),
	ROW(PORT_STAT, port_stat, membox_port_stat, STOPPED),
	ROW(GET_OUTCOMES, get_outcomes, membox_outcomes, 0),
	ROW(PORT_EVICT, port_evict, membox_port_stat, 0),
};

static const struct command *lookup(uint8_t opcode)
{
	unsigned int i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].opcode == opcode)
			return &commands[i];
	return NULL;
}

/*
 * A structure begins with the size its maker knew: at least what there was from
 * the first version on; what it has beyond that must be zero.
 */
static uint16_t check_size(const struct command *c, const uint8_t *buf, size_t bytes)
{
	uint32_t size;
	size_t i;

	if (bytes < c->bytes)
		return MEMBOX_ST_BAD_ARGUMENT;
	memcpy(&size, buf, sizeof(size));
	if (size < c->bytes || size > bytes)
		return MEMBOX_ST_BAD_ARGUMENT;
	for (i = c->bytes; i < size; i++)
		if (buf[i])
			return MEMBOX_ST_BAD_ARGUMENT;
	return MEMBOX_ST_OK;
}

static uint16_t run_locked(struct mbe *e, const struct command *c, unsigned int context, void *buf)
{
	uint16_t status = mbe_table_lock(e);

	if (status)
		return status;
	/* it may have been closed while the lock was waited for */
	status = mbe_context_open(e, context) ? c->run(e, context, buf) : MEMBOX_ST_BAD_CONTEXT;
	mbe_table_unlock(e);
	mbe_zero_pending(e);
	return status;
}

static uint16_t run(struct mbe *e, const struct command *c, unsigned int context, void *buf)
{
	uint16_t status;

	if (!(c->flags & LOCKED))
		return mbe_stopped(e) && !(c->flags & STOPPED) ? MEMBOX_ST_CORRUPT : c->run(e, context, buf);
	if (c->flags & POLLS)
		mbe_poll_ports(e, POLL_NS);
	status = run_locked(e, c, context, buf);
	/* is it the dead who have all of it? A refusal has changed nothing, so it can be tried again */
	if ((status == MEMBOX_ST_NO_SPACE || status == MEMBOX_ST_TABLE_FULL) && mbe_poll_ports(e, 0))
		status = run_locked(e, c, context, buf);
	return status;
}

uint16_t mbe_admin(struct mbe *e, unsigned int context, uint8_t opcode, void *buf, size_t bytes)
{
	union {
		uint64_t align;
		uint8_t bytes[MEMBOX_ADMIN_BYTES];
	} copy;
	const struct command *c = lookup(opcode);
	uint16_t status;

	if (e->forgotten || e->away)
		return MEMBOX_ST_GONE;
	if (!c)
		return opcode >= MEMBOX_ADM_WINDOW_MAP && opcode <= MEMBOX_ADM_REGION_DEL ?
			       MEMBOX_ST_UNSUPPORTED : MEMBOX_ST_BAD_OPCODE;
	status = check_size(c, buf, bytes);
	if (status)
		return status;
	if (!mbe_context_open(e, context) &&
	    (opcode != MEMBOX_ADM_GET_OUTCOMES || !mbe_outcomes_asked(e, context)))
		return MEMBOX_ST_BAD_CONTEXT;
	if (c->flags & KERNEL && context)
		return MEMBOX_ST_DENIED;
	memcpy(copy.bytes, buf, c->bytes);
	status = run(e, c, context, copy.bytes);
	if (!status)
		memcpy(buf, copy.bytes, c->bytes);
	mbe_count(e, MEMBOX_CTR_ADMIN, 1);
	return status;
}
