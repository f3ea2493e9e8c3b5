// SPDX-License-Identifier: MIT
/*
 * engine_exec_fuzz.c - nonsense does no harm: packets with random fields get a
 * status and change nothing but what they may; a dead port's writer records full
 * of nonsense are undone as they say or stop the box, and never reach outside of
 * the data area. The seed is fixed; MEMBOX_FUZZ multiplies the rounds.
 */
#include "engine_box.h"

#include "bad_packets.h"

static struct port port;
static uint32_t handle[4];
static uint64_t host[4096];
static uint64_t rng = 0x2545f4914f6cdd1dULL;

static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static unsigned int below(unsigned int n)
{
	return (unsigned int)(next_random() >> 32) % n;
}

static unsigned int rounds_of(unsigned int base)
{
	const char *times = getenv("MEMBOX_FUZZ");

	return base * (times ? (unsigned int)atoi(times) : 1);
}

static int set_up(void **state)
{
	static const uint8_t types[] = { MEMBOX_F32, MEMBOX_I64, MEMBOX_F16, MEMBOX_I8 };
	char name[] = "p0";

	(void)state;
	box_create_as((struct mbe_format_opts){ .bytes = 16 << 20, .ports = 4, .params = 64, .groups = 4 });
	port_open(&port);
	for (int i = 0; i < 4; i++) {
		name[1] = (char)('0' + i);
		handle[i] = param_open(&port, name, types[i], 2048, 0);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_close(&port);
	box_remove();
	return 0;
}

/* A value that is likely to matter somewhere. */
static uint64_t interesting(void)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 7, 8, 255, 2047, 2048, 2049, 4096, 1ULL << 28, 1ULL << 32,
					   ~0ULL, ~0ULL >> 1, BOX_ONE, 0x7ff8000000000000ULL };

	return below(3) ? values[below(sizeof(values) / sizeof(values[0]))] : next_random();
}

static void mutate(struct membox_packet *p)
{
	static const unsigned int at[] = { 0, 4, 16, 17, 18, 19, 20, 24, 32, 36, 40, 48, 56, 64, 88, 92, 96, 104, 112, 120 };
	static const unsigned int bytes[] = { 1, 2, 1, 1, 1, 1, 4, 8, 4, 4, 4, 8, 8, 8, 4, 4, 8, 8, 8, 8 };
	unsigned int k = below(20);

	put_field(p, at[k], bytes[k], interesting());
}

static void random_packets_get_a_status(void **state)
{
	struct good_env env = good_env_shape;
	unsigned int good = 0, n = rounds_of(60000);

	(void)state;
	env.host = 8;
	env.host2 = 8;
	for (unsigned int r = 0; r < n; r++) {
		unsigned int type = below(4);
		struct membox_packet p;
		struct membox_completion c;
		struct iovec v = { host, sizeof(host) };

		for (int i = 0; i < 4; i++)
			env.param[i] = handle[below(3) ? type : below(4)];
		env.word = handle[1];
		env.type = (uint8_t[]){ MEMBOX_F32, MEMBOX_I64, MEMBOX_F16, MEMBOX_I8 }[type];
		p = good_packet(&good_kinds[below(GOOD_KINDS)], &env);
		good_terms(&env, (void *)host);
		for (unsigned int k = below(4); k; k--)
			mutate(&p);
		if (p.opcode == MEMBOX_OP_WAIT || p.opcode == MEMBOX_OP_SNAPSHOT)
			p.timeout_us = 1;
		c = run_iov(&port, &p, &v, 1);
		good += !c.status;
		assert_true(c.status < 128 && c.detail < sizeof(p));
	}
	assert_true(good > n / 20);
	assert_false(mbe_stopped(port.e));
}

/* Makes port 3 look as if its owner had died with these records. */
static void make_dead(void)
{
	struct membox_fmt_port *p = &port.e->ports[3];

	memset(p->boot_id, 0, sizeof(p->boot_id));
	p->word = ((p->word >> 32) + 1) << 32 | MEMBOX_PORT_LIVE;
}

static void make_record(struct membox_fmt_undo *u)
{
	struct good_env env = good_env_shape;
	uint64_t base = port.e->geo.data + below(20000) / 8 * 8, length = below(9000) / 8 * 8;
	uint64_t progress = below((unsigned int)length + 1) / 8 * 8;

	env.param[0] = handle[0];
	env.param[1] = handle[0];
	memset(u, 0, sizeof(*u));
	u->packet = good_packet(&good_kinds[below(GOOD_KINDS)], &env);
	u->param = below(5);
	u->serial = port.e->params[u->param].word >> MEMBOX_PST_SERIAL_SHIFT;
	u->base = base;
	u->length = length;
	u->source = port.e->geo.data + below(20000) / 8 * 8;
	u->offset = base + progress;
	u->bytes = below((unsigned int)(length - progress) + 1);
	u->word = 5ULL << MEMBOX_UNDO_SEQ_SHIFT | progress << MEMBOX_UNDO_PROGRESS_SHIFT | (1 + below(4));
	for (unsigned int k = below(3); k; k--)
		put_field(&u->packet, 8 * (below(16)), 8, interesting());
	for (unsigned int k = below(3); k; k--)
		((uint64_t *)u)[below(11)] = interesting();
}

static void nonsense_in_a_record_stays_in_the_data(void **state)
{
	const struct mbe_geometry *g = &port.e->geo;
	uint64_t tables = g->area[MEMBOX_AREA_UNDO].offset; /* what stands before the records */
	uint8_t *image = malloc(tables), *backup = malloc(MEMBOX_FMT_PAGE);
	uint8_t *records = mbe_area_of(port.e, MEMBOX_AREA_UNDO, 3);
	unsigned int stopped = 0, settled = 0;

	(void)state;
	memcpy(backup, port.e->map + g->bytes - MEMBOX_FMT_PAGE, MEMBOX_FMT_PAGE);
	for (unsigned int r = 0; r < rounds_of(2000); r++) {
		for (unsigned int i = 0; i < g->undos; i++)
			make_record((void *)(records + i * g->undo_bytes));
		make_dead();
		memcpy(image, port.e->map, tables);
		mbe_recover_port(port.e, 3);
		if (mbe_stopped(port.e))
			stopped++;
		else
			settled++;
		port.e->state->stopped = 0;
		for (unsigned int i = 0; i < g->undos; i++)
			((struct membox_fmt_undo *)(void *)(records + i * g->undo_bytes))->word = 0;
		port.e->ports[3].word = (port.e->ports[3].word >> 32) << 32 | MEMBOX_PORT_FREE;
		/* neither the tables nor this port's own records were touched */
		assert_memory_equal(image, port.e->map, sizeof(struct membox_fmt_super));
		for (unsigned int i = 0; i < g->params; i++)
			assert_memory_equal(&((struct membox_fmt_param *)(void *)(image + g->area[MEMBOX_AREA_PARAMS].offset))[i].fixed,
					    &port.e->params[i].fixed, sizeof(port.e->params[i].fixed));
		assert_memory_equal(image + g->area[MEMBOX_AREA_HANDLES].offset,
				    port.e->map + g->area[MEMBOX_AREA_HANDLES].offset,
				    g->area[MEMBOX_AREA_HANDLES].bytes);
		assert_memory_equal(backup, port.e->map + g->bytes - MEMBOX_FMT_PAGE, MEMBOX_FMT_PAGE);
	}
	assert_true(stopped && settled);
	free(image);
	free(backup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_packets_get_a_status),
		cmocka_unit_test(nonsense_in_a_record_stays_in_the_data),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
