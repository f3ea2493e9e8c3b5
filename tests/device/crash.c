// SPDX-License-Identifier: MIT
/*
 * crash.c - QEMU is killed, stopped, and its device reset, while commands are in flight:
 * the box then holds what the completions in guest memory acknowledge, and of each other
 * command what its outcome record names. KILLS sets how many QEMUs are killed; if it is not
 * set, no more than fit into a minute.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "case.h"
#include "exec.h"
#include "port.h"
#include "tables.h"

#define BOX_MB	 64
#define STRIPE	 (MEMBOX_FMT_STRIPE / 4) /* in i32 */
#define N	 (2 * STRIPE + STRIPE / 2)
#define COMMANDS 24
#define KILLS	 150
#define MINUTE	 60000

enum kind { ACC_HOST, ACC_COMMON, ATOMIC, KINDS };

static uint64_t chance = 88172645463325252ULL, commands; /* ever */
static int32_t got[N];

static uint64_t below(uint64_t limit)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return chance % limit;
}

static uint64_t real(uint32_t v)
{
	double d = v;
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* ---- commands and what they add ---- */

struct command {
	enum kind kind;
	uint32_t v;
	uint64_t user_data, from; /* elements that were done before */
	bool acknowledged;
};

struct scene {
	struct port *p;
	uint32_t sum, ones, word;
	uint64_t host; /* N times 1 in guest memory */
	struct command c[COMMANDS];
};

static void choose(struct command *c)
{
	*c = (struct command){
		.kind = (enum kind)below(KINDS), .v = 1 + (uint32_t)below(7), .user_data = ++commands,
	};
}

static void submit(struct scene *s, const struct command *c)
{
	struct membox_packet p = packet_io(MEMBOX_OP_ACC, s->sum, MEMBOX_I32, c->from, N - c->from, 0);

	p.user_data = c->user_data;
	if (c->kind == ATOMIC) {
		p = packet_io(MEMBOX_OP_ATOMIC, s->word, MEMBOX_I64, 0, 0, 0);
		p.user_data = c->user_data;
		p.sub = MEMBOX_FETCH_ADD;
		p.word.value = c->v;
	} else {
		p.src_type = MEMBOX_I32;
		p.reduction = MEMBOX_SUM;
		p.scale.a = real(c->v);
		if (c->kind == ACC_HOST) {
			p.host.addr = s->host + 4 * c->from;
		} else {
			p.handle[1] = s->ones;
			p.offset[1] = c->from;
		}
	}
	pair_put(&s->p->io, &p);
}

/* Takes the completions that are there; ms: waits so long for each. */
static unsigned int collect(struct scene *s, int ms)
{
	struct membox_completion c;
	unsigned int n = 0;

	while (pair_poll(&s->p->io, &c, ms)) {
		for (unsigned int i = 0; i < COMMANDS; i++)
			if (s->c[i].user_data == c.user_data) {
				EQUAL(c.status, MEMBOX_ST_OK);
				CHECK(!s->c[i].acknowledged);
				s->c[i].acknowledged = true;
				n++;
			}
	}
	return n;
}

static void collect_all(struct scene *s, unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (n) {
		n -= collect(s, 100);
		CHECK(!n || now_ms() < end);
	}
}

/* ---- what the box must hold: differences, and the word ---- */

static uint32_t wanted[N + 1];
static uint64_t wanted_word;

static void expect(const struct command *c, uint64_t elements)
{
	uint64_t end = c->from + elements < N ? c->from + elements : N;

	if (c->kind == ATOMIC) {
		wanted_word += elements ? c->v : 0;
		return;
	}
	wanted[c->from] += c->v;
	wanted[end] -= c->v;
}

static void check_box(struct mbe *e)
{
	uint32_t sum = box_param(e, "sum", MEMBOX_I32, N, 0), word = box_param(e, "word", MEMBOX_I64, 1, 0), all = 0;
	struct membox_packet r = packet_io(MEMBOX_OP_READ, sum, MEMBOX_I32, 0, N, 0);
	struct membox_packet w = packet_io(MEMBOX_OP_READ, word, MEMBOX_I64, 0, 1, 0);
	uint64_t value = 0;

	EQUAL(box_run(e, &r, got, NULL), MEMBOX_ST_OK);
	EQUAL(box_run(e, &w, &value, NULL), MEMBOX_ST_OK);
	for (unsigned int i = 0; i < N; i++) {
		all += wanted[i];
		if ((uint32_t)got[i] != all)
			case_fail("element %u is %d, not %u", i, got[i], all);
	}
	EQUAL(value, wanted_word);
	for (uint32_t i = 0; i < e->geo.stripes; i++)
		EQUAL(e->stripes[i].lock, 0);
	EQUAL(mbe_fsck(e, NULL, NULL), 0);
}

static const struct membox_fmt_outcome *outcome_of(struct mbe *e, uint64_t user_data)
{
	const struct membox_fmt_outcome *found = NULL;

	for (uint32_t port = 0; port < e->geo.ports; port++) {
		const struct membox_fmt_outcome *o = mbe_area_of(e, MEMBOX_AREA_OUTCOMES, port);

		for (uint32_t i = 0; i < e->geo.outcomes; i++)
			if (o[i].word && o[i].user_data == user_data) {
				CHECK(!found); /* told once */
				found = &o[i];
			}
	}
	return found;
}

/* ---- scenes ---- */

static struct mbe *begin(const char **path)
{
	struct mbe *e;
	struct membox_packet f;

	memset(wanted, 0, sizeof(wanted));
	wanted_word = 0;
	*path = box_make(BOX_MB);
	e = box_attach(*path);
	f = packet_io(MEMBOX_OP_FILL, box_param(e, "ones", MEMBOX_I32, N, 0), MEMBOX_I32, 0, N, 0);
	f.word.value = 1;
	EQUAL(box_run(e, &f, NULL, NULL), MEMBOX_ST_OK);
	box_param(e, "sum", MEMBOX_I32, N, 0);
	box_param(e, "word", MEMBOX_I64, 1, 0);
	return e;
}

static void prepare(struct scene *s)
{
	int32_t *ones;

	s->sum = param(s->p, "sum", MEMBOX_I32, N, 0);
	s->ones = param(s->p, "ones", MEMBOX_I32, N, 0);
	s->word = param(s->p, "word", MEMBOX_I64, 1, 0);
	s->host = vm_alloc(s->p->vm, 4 * N, 4096);
	ones = vm_at(s->p->vm, s->host);
	for (unsigned int i = 0; i < N; i++)
		ones[i] = 1;
}

/* As port_start, without an entry on the list of what the case undoes. */
static void start(struct scene *s, struct port *p, struct vm *vm, const char *box)
{
	memset(p, 0, sizeof(*p));
	p->vm = vm;
	s->p = p;
	vm_start(vm, box, "-device membox,memdev=box,workers=3");
	port_map(p, 0);
	port_enable(p);
	port_queues(p);
	prepare(s);
}

static void send_all(struct scene *s)
{
	for (unsigned int i = 0; i < COMMANDS; i++) {
		choose(&s->c[i]);
		submit(s, &s->c[i]);
	}
	pair_publish(&s->p->io);
}

static void some_time_later(struct scene *s)
{
	uint64_t naps = below(80);

	if (below(2))
		while (naps--)
			nap();
	else
		for (uint64_t n = below(COMMANDS), had = 0, tries = 0; had < n && tries < 100; tries++)
			had += collect(s, 1);
}

static void killed(void)
{
	const char *text = getenv("KILLS"), *path;
	unsigned int kills = text ? (unsigned int)atoi(text) : KILLS, dead, torn = 0, silent = 0;
	struct mbe *e = begin(&path);
	uint64_t end = now_ms() + MINUTE;
	static struct port port;
	static struct vm vm;
	static struct scene s;

	for (dead = 0; dead < kills && (text || now_ms() < end); dead++) {
		start(&s, &port, &vm, path);
		send_all(&s);
		some_time_later(&s);
		kill(vm.pid, SIGKILL);
		waitpid(vm.pid, NULL, 0);
		vm.pid = 0;
		collect(&s, 0);
		vm_kill(&vm);
		mbe_poll_ports(e, 0);
		for (unsigned int i = 0; i < COMMANDS; i++) {
			const struct membox_fmt_outcome *o = outcome_of(e, s.c[i].user_data);
			uint64_t done = s.c[i].acknowledged ? N : 0;

			if (!done && o && o->outcome == MEMBOX_OUTCOME_DONE)
				done = N;
			if (!done && o && o->outcome == MEMBOX_OUTCOME_TORN) {
				EQUAL(s.c[i].kind, ACC_HOST);
				done = o->torn_at / 4;
				torn++;
			}
			silent += !s.c[i].acknowledged && !o;
			expect(&s.c[i], done);
		}
		check_box(e);
	}
	case_note("%u killed; %u commands torn, %u not begun", dead, torn, silent);
	CHECK(dead >= 5);
}

/* ---- a reset, and what was not acknowledged is done again: the rest of it, once ---- */

static void ask(struct scene *s, struct membox_outcomes *o)
{
	memset(o, 0, sizeof(*o));
	o->size = sizeof(*o);
	EQUAL(admin(s->p, 1, MEMBOX_ADM_GET_OUTCOMES, o, sizeof(*o)), MEMBOX_ST_OK);
}

/* How much of the command was done, in elements. */
static uint64_t told(const struct membox_outcomes *o, const struct command *c)
{
	for (unsigned int i = 0; i < o->count; i++) {
		const struct membox_outcome_entry *t = &o->entry[i];

		if (t->user_data == c->user_data)
			return t->outcome == MEMBOX_OUTCOME_DONE ? N : t->outcome == MEMBOX_OUTCOME_TORN ? t->torn_at / 4 : 0;
	}
	return 0;
}

static void done_again(void)
{
	const char *path;
	struct mbe *e = begin(&path);
	static struct membox_outcomes o;
	static struct scene s;
	unsigned int again = 0, rest = 0;
	uint64_t memory;

	s.p = port_start(path, "workers=3");
	prepare(&s);
	memory = s.p->vm->next; /* of rings that are made anew each time */
	for (int round = 0; round < 40; round++) {
		unsigned int left = 0;

		send_all(&s);
		some_time_later(&s);
		set32(s.p, MEMBOX_REG_CTRL, MEMBOX_CTRL_RESET);
		reg_wait(s.p, MEMBOX_REG_CTRL, ~0U, 0);
		reg_wait(s.p, MEMBOX_REG_STATUS, MEMBOX_DEV_READY, 0);
		collect(&s, 0);
		s.p->vm->next = memory;
		port_enable(s.p);
		ask(&s, &o);
		port_queues(s.p);
		s.sum = param(s.p, "sum", MEMBOX_I32, N, 0);
		s.ones = param(s.p, "ones", MEMBOX_I32, N, 0);
		s.word = param(s.p, "word", MEMBOX_I64, 1, 0);
		for (unsigned int i = 0; i < COMMANDS; i++) {
			struct command *c = &s.c[i];

			expect(c, N);
			if (c->acknowledged)
				continue;
			c->from = told(&o, c);
			if (c->from >= N)
				continue;
			rest += c->from != 0;
			c->user_data = ++commands;
			submit(&s, c);
			left++;
		}
		pair_publish(&s.p->io);
		again += left;
		collect_all(&s, left);
		check_box(e);
	}
	case_note("%u commands were done again, of %u the rest", again, rest);
	CHECK(again);
}

/* ---- QEMU stands still ---- */

static void stopped(void)
{
	const char *path;
	struct mbe *e = begin(&path);
	static struct scene s;
	struct membox_packet r = packet_io(MEMBOX_OP_READ, box_param(e, "sum", MEMBOX_I32, N, 0), MEMBOX_I32, 0, N, 0);
	unsigned int told_of = 0;

	s.p = port_start(path, "workers=3");
	prepare(&s);
	e->exec->patience_ns = 100000000;
	for (int round = 0; round < 10; round++) {
		unsigned int left = COMMANDS;
		uint64_t before;
		uint16_t status;
		int how;

		send_all(&s);
		some_time_later(&s);
		for (unsigned int i = 0; i < COMMANDS; i++)
			left -= s.c[i].acknowledged;
		kill(s.p->vm->pid, SIGSTOP);
		EQUAL(waitpid(s.p->vm->pid, &how, WUNTRACED), s.p->vm->pid);
		before = now_ms();
		status = box_run(e, &r, got, NULL);
		CHECK(status == MEMBOX_ST_OK || status == MEMBOX_ST_OWNER_STALLED);
		CHECK(now_ms() - before < PATIENCE_MS);
		told_of += status != MEMBOX_ST_OK;
		kill(s.p->vm->pid, SIGCONT);
		for (unsigned int i = 0; i < COMMANDS; i++)
			expect(&s.c[i], N);
		collect_all(&s, left);
		check_box(e);
	}
	case_note("OWNER_STALLED was told %u times", told_of);
}

static const struct test_case cases[] = {
	{"QEMU is killed at work: the box holds what was acknowledged and what outcomes name", killed},
	{"what a reset ended is done again where its outcome says, and nothing twice", done_again},
	{"a QEMU that stands still holds nobody up beyond OWNER_STALLED", stopped},
};
CASE_MAIN(cases)
