// SPDX-License-Identifier: MIT
/*
 * crash_storm.c - several processes change one box in every way at once and are killed,
 * at every step of the engine and at random instants; their parent goes on with its own
 * operations meanwhile. After each round the box holds, to the last bit, what was
 * acknowledged, and of each command that was not what its outcome record names. KILLS
 * sets how many are killed.
 *
 * What an actor does in its n-th operation follows from its seed alone; it tells in
 * memory that outlives it how many it has begun, and how many were acknowledged.
 */
#include "crash.h"
#include "tables.h"

#define ACTORS 3
#define KILLS 1000
#define STRIPE_I32 (BOX_STRIPE / 4)
#define SUM_N (2 * STRIPE_I32 + STRIPE_I32 / 2) /* over three or four stripes */
#define MINE_N (STRIPE_I32 + STRIPE_I32 / 4)	/* over two or three */
#define LITTLE_N 1000				/* small: 4000 bytes */
#define WORDS 8
#define NAMES 6

enum kind { ACC_HOST, ACC_COMMON, AXPBY, ATOMIC, LITTLE, NOTIFY, WRITE, COPY, FILL, WSUM, SCALE, DATA_KINDS,
	    TABLE = DATA_KINDS, KINDS };
static const char *const kind_names[] = { "ACC from host", "ACC from common", "AXPBY", "ATOMIC", "small ACC", "NOTIFY",
					  "WRITE", "COPY", "FILL", "WSUM", "SCALE", "of the tables" };

struct operation {
	enum kind kind;
	uint32_t v; /* 1 ... 7 */
	uint32_t n; /* from 1 */
	uint64_t s; /* more chance */
};

/* What an actor tells; read after its death. */
struct ledger {
	uint64_t seed;
	uint32_t slot, begun, acked;
};

struct handles {
	uint32_t sum, ones, words, little, note, mine;
};

static struct ledger *ledgers; /* ACTORS, and the parent's */
static uint64_t lives;
static int32_t *host, *got;

static struct operation operation_of(uint64_t seed, uint32_t n)
{
	uint64_t s = (seed * 1000003 + n) * 0x9e3779b97f4a7c15ULL + 1;
	struct operation o = { .n = n };

	crash_random(&s);
	o.kind = (enum kind)crash_below(&s, KINDS + 5);
	if (o.kind > TABLE)
		o.kind = TABLE;
	o.v = 1 + (uint32_t)crash_below(&s, 7);
	o.s = s;
	return o;
}

static uint64_t user_data_of(uint64_t seed, uint32_t n)
{
	return seed << 20 | n;
}

static uint64_t whole(uint32_t v)
{
	double d = v;
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* ---- what they do ---- */

static struct handles open_all(struct port *p, unsigned int slot)
{
	char mine[16];

	snprintf(mine, sizeof(mine), "mine%u", slot);
	return (struct handles){
		.sum = param_open(p, "sum", MEMBOX_I32, SUM_N, 0),
		.ones = param_open(p, "ones", MEMBOX_I32, SUM_N, 0),
		.words = param_open(p, "words", MEMBOX_I64, WORDS, 0),
		.little = param_open(p, "little", MEMBOX_I32, LITTLE_N, 0),
		.note = param_open(p, "note", MEMBOX_I32, 1, 0),
		.mine = param_open(p, mine, MEMBOX_I32, MINE_N, 0),
	};
}

static void fill_host(uint64_t n, int32_t first, int32_t step)
{
	for (uint64_t i = 0; i < n; i++)
		host[i] = first + step * (int32_t)i;
}

static struct membox_packet packet_of(const struct operation *o, const struct handles *h, struct membox_term *terms)
{
	struct membox_packet p;

	switch (o->kind) {
	case ACC_HOST:
		fill_host(SUM_N, (int32_t)o->v, 0);
		return op_acc(h->sum, 0, SUM_N, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
	case ACC_COMMON:
	case AXPBY:
		p = op_acc(h->sum, 0, SUM_N, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
		p.handle[1] = h->ones;
		p.scale.a = whole(o->v);
		if (o->kind == AXPBY) {
			p.opcode = MEMBOX_OP_AXPBY;
			p.reduction = 0;
			p.scale.b = BOX_ONE;
		}
		return p;
	case ATOMIC:
		p = (struct membox_packet){ .opcode = MEMBOX_OP_ATOMIC, .sub = MEMBOX_FETCH_ADD,
					    .dst_type = MEMBOX_I64, .handle = { h->words },
					    .offset = { o->v % WORDS } };
		p.word.value = o->v;
		return p;
	case LITTLE:
		fill_host(LITTLE_N, (int32_t)o->v, 0);
		return op_acc(h->little, 0, LITTLE_N, MEMBOX_I32, MEMBOX_I32, MEMBOX_SUM);
	case NOTIFY:
		return (struct membox_packet){ .opcode = MEMBOX_OP_NOTIFY, .handle = { h->note } };
	case FILL:
		p = op_move(MEMBOX_OP_FILL, h->mine, 0, MINE_N, MEMBOX_I32);
		p.word.value = o->v;
		return p;
	case SCALE:
		p = op_move(MEMBOX_OP_SCALE, h->mine, 0, MINE_N, MEMBOX_I32);
		p.scale.a = whole(o->v);
		return p;
	case COPY:
		p = op_move(MEMBOX_OP_COPY, h->mine, 0, MINE_N, MEMBOX_I32);
		p.src_type = MEMBOX_I32;
		p.handle[1] = h->ones;
		return p;
	case WSUM:
		p = op_move(MEMBOX_OP_WSUM, h->mine, 0, MINE_N, MEMBOX_I32);
		p.src_type = MEMBOX_I32;
		p.list.nterms = 2;
		terms[0] = (struct membox_term){ h->ones, 0, 0, whole(2) };
		terms[1] = (struct membox_term){ h->ones, 0, 0, whole(o->v) };
		return p;
	default:
		fill_host(MINE_N, (int32_t)(o->n * 31 + o->v), 1);
		return op_move(MEMBOX_OP_WRITE, h->mine, 0, MINE_N, MEMBOX_I32);
	}
}

static bool try_small(struct port *p, const struct membox_packet *packet)
{
	struct iovec v = { host, membox_host_bytes(packet) };
	struct mbe_cmd cmd = { .p = *packet, .host = &v, .nhost = 1 };

	cmd.p.context = BOX_CONTEXT;
	if (!mbe_execute_small(p->e, &cmd, 0))
		return false;
	must(!cmd.c.status);
	return true;
}

static struct membox_completion do_data(struct port *p, const struct handles *h, const struct operation *o,
					uint64_t user_data)
{
	struct membox_term terms[2];
	struct membox_packet packet = packet_of(o, h, terms);
	struct membox_completion c = { .status = MEMBOX_ST_OK };

	packet.user_data = user_data;
	if (o->kind != LITTLE || !(o->s & 1) || !try_small(p, &packet))
		c = crash_run(p, &packet, o->kind == WSUM ? (void *)terms : (void *)host);
	return c;
}

/* What the others may do to us: anything but corrupt the box or hold us up. */
static void may_fail(uint16_t status)
{
	if (status == MEMBOX_ST_CORRUPT || status == MEMBOX_ST_INTERNAL || status == MEMBOX_ST_TIMED_OUT)
		fprintf(stderr, "# status %u\n", status);
	must(status != MEMBOX_ST_CORRUPT && status != MEMBOX_ST_INTERNAL && status != MEMBOX_ST_TIMED_OUT);
}

static uint16_t on_handle(struct port *p, uint8_t opcode, uint32_t handle, uint32_t value)
{
	struct membox_handle_args a = { .handle = handle, .value = value };
	uint16_t status = port_admin(p, BOX_CONTEXT, opcode, &a, sizeof(a));

	may_fail(status);
	return status;
}

static void use_name(struct port *p, uint64_t *s)
{
	static const uint32_t kinds[3] = { 0, MEMBOX_PARAM_MAPPABLE, MEMBOX_PARAM_EPHEMERAL };
	unsigned int n = (unsigned int)crash_below(s, NAMES);
	struct membox_param_args a = { .flags = MEMBOX_PARAM_CREATE | kinds[n % 3], .type = MEMBOX_I8,
				       .count = 10 + 3000 * n };
	struct mbe_operand op;
	uint16_t status;

	snprintf(a.name, sizeof(a.name), "n%u", n);
	status = port_admin(p, BOX_CONTEXT, MEMBOX_ADM_PARAM_OPEN, &a, sizeof(a));
	may_fail(status);
	if (status)
		return;
	if (!mbe_operand_get(p->e, BOX_CONTEXT, a.handle, &op)) {
		uint8_t seen = __atomic_load_n(op.data, __ATOMIC_RELAXED);

		must(!seen || seen == 100 + n); /* zero when it is made, or a mark of its name */
		__atomic_store_n(op.data, (uint8_t)(100 + n), __ATOMIC_RELAXED);
		mbe_operand_put(p->e, &op);
	}
	switch (crash_below(s, 5)) {
	case 0:
		on_handle(p, MEMBOX_ADM_PARAM_DESTROY, a.handle, 0);
		break;
	case 1:
		on_handle(p, MEMBOX_ADM_SUBSCRIBE, a.handle, 1);
		break;
	case 2:
		if (!on_handle(p, MEMBOX_ADM_PARAM_LOCK, a.handle, 0) && crash_below(s, 2))
			on_handle(p, MEMBOX_ADM_PARAM_UNLOCK, a.handle, 0);
		break;
	}
	if (crash_below(s, 4)) /* else it stays open */
		on_handle(p, MEMBOX_ADM_PARAM_CLOSE, a.handle, 0);
}

static void use_group(struct port *p, uint64_t *s)
{
	struct membox_group_args g = { .ranks = ACTORS, .rank = -1 };
	uint16_t status;

	snprintf(g.name, sizeof(g.name), "g%u", (unsigned int)crash_below(s, 2));
	status = port_admin(p, BOX_CONTEXT, MEMBOX_ADM_GROUP_JOIN, &g, sizeof(g));
	may_fail(status);
	if (!status && crash_below(s, 3))
		may_fail(port_admin(p, BOX_CONTEXT, MEMBOX_ADM_GROUP_LEAVE, &g, sizeof(g)));
}

static void renew_context(struct port *p)
{
	struct membox_ctx_args c = { .context = 2 };

	may_fail(port_admin(p, 0, MEMBOX_ADM_CTX_CREATE, &c, sizeof(c)));
	may_fail(port_admin(p, 0, MEMBOX_ADM_CTX_DESTROY, &c, sizeof(c)));
}

static void do_table(struct port *p, struct handles *h, unsigned int slot, uint64_t s)
{
	uint64_t what = crash_below(&s, 12);

	if (what < 6) {
		use_name(p, &s);
	} else if (what < 9) {
		use_group(p, &s);
	} else if (what == 9) {
		renew_context(p);
	} else if (what == 10) {
		mbe_progress(p->e);
	} else {
		port_close(p);
		port_open(p);
		*h = open_all(p, slot);
	}
}

static void act(struct ledger *l)
{
	struct port p;
	struct handles h;

	crash_actor = true;
	alarm(CRASH_PATIENCE_S);
	port_open(&p);
	h = open_all(&p, l->slot);
	for (uint32_t n = 1;; n++) {
		struct operation o = operation_of(l->seed, n);

		__atomic_store_n(&l->begun, n, __ATOMIC_SEQ_CST);
		if (o.kind == TABLE)
			do_table(&p, &h, l->slot, o.s);
		else
			must(!do_data(&p, &h, &o, user_data_of(l->seed, n)).status);
		__atomic_store_n(&l->acked, n, __ATOMIC_SEQ_CST);
	}
}

/* ---- what comes of it ---- */

/* The integers of a parameter are a·i + b; of a torn one the first `cut` bytes. */
struct line {
	uint32_t a, b;
};

struct expected {
	uint32_t *sum; /* [SUM_N + 1], differences */
	uint64_t words[WORDS], notes;
	uint64_t counted; /* NOTIFYs that died as they began: the version may count them */
	uint32_t little;
	struct line mine[ACTORS + 1], torn[ACTORS + 1];
	uint64_t cut[ACTORS + 1];
	bool sum_torn;
};

static struct line line_after(struct line l, const struct operation *o)
{
	switch (o->kind) {
	case WRITE:
		return (struct line){ 1, o->n * 31 + o->v };
	case COPY:
		return (struct line){ 0, 1 };
	case FILL:
		return (struct line){ 0, o->v };
	case WSUM:
		return (struct line){ 0, 2 + o->v };
	case SCALE:
		return (struct line){ l.a * o->v, l.b * o->v };
	default:
		return l;
	}
}

/* The first `bytes` of what the operation changes were changed. */
static void expect_operation(struct expected *x, unsigned int slot, const struct operation *o, uint64_t bytes)
{
	switch (o->kind) {
	case ACC_HOST:
	case ACC_COMMON:
	case AXPBY:
		x->sum[0] += o->v;
		x->sum[bytes / 4 < SUM_N ? bytes / 4 : SUM_N] -= o->v;
		break;
	case ATOMIC:
		x->words[o->v % WORDS] += bytes ? o->v : 0;
		break;
	case LITTLE:
		x->little += bytes ? o->v : 0;
		break;
	case NOTIFY:
		x->notes += bytes != 0;
		break;
	case TABLE:
		break;
	default:
		if (bytes >= 4 * MINE_N) {
			x->mine[slot] = line_after(x->mine[slot], o);
		} else {
			x->torn[slot] = line_after(x->mine[slot], o);
			x->cut[slot] = bytes;
		}
	}
}

static bool may_tear(enum kind k)
{
	return k == ACC_HOST || k == WRITE || k == WSUM;
}

/* All that an actor did, by its ledger and, for its last operation, by the box's outcome record. */
static void expect_life(struct expected *x, struct port *p, const struct ledger *l)
{
	struct membox_fmt_outcome o = { 0 };
	struct operation last;
	unsigned int told;
	uint64_t bytes = 0;

	for (uint32_t n = 1; n <= l->acked; n++) {
		struct operation op = operation_of(l->seed, n);

		expect_operation(x, l->slot, &op, UINT64_MAX);
	}
	if (l->begun == l->acked)
		return;
	last = operation_of(l->seed, l->begun);
	told = crash_outcome(p->e, user_data_of(l->seed, l->begun), &o);
	if (told > 1 || (told && o.status != MEMBOX_ST_OWNER_DEAD))
		fail_msg("%s: told %u times, status %u", kind_names[last.kind], told, o.status);
	if (told && o.outcome == MEMBOX_OUTCOME_DONE) {
		bytes = UINT64_MAX;
	} else if (told && last.kind == NOTIFY) {
		x->counted++;
	} else if (told && o.outcome == MEMBOX_OUTCOME_TORN) {
		bytes = o.torn_at;
		if (!may_tear(last.kind) || !bytes)
			fail_msg("%s: torn at %llu", kind_names[last.kind], (unsigned long long)bytes);
		x->sum_torn |= last.kind == ACC_HOST;
	}
	expect_operation(x, l->slot, &last, bytes);
}

static void check_mine(struct port *p, const struct expected *x, unsigned int slot, uint32_t handle)
{
	struct membox_param_stat st = param_stat(p, handle);

	assert_int_equal(st.begun, st.finished);
	assert_int_equal(st.torn, x->cut[slot] != 0);
	read_all(p, handle, MEMBOX_I32, MINE_N, got);
	for (uint32_t i = 0; i < MINE_N; i++) {
		const struct line *l = 4ULL * i < x->cut[slot] ? &x->torn[slot] : &x->mine[slot];

		if ((uint32_t)got[i] != l->a * i + l->b)
			fail_msg("actor %u: element %u is %d, cut %llu", slot, i, got[i],
				 (unsigned long long)x->cut[slot]);
	}
}

static void check_data(struct port *p, const struct handles *h, const struct expected *x, uint64_t notes_before)
{
	struct membox_param_stat st = param_stat(p, h->sum);
	int64_t words[WORDS];
	uint32_t wanted = 0;

	assert_int_equal(st.begun, st.finished);
	assert_int_equal(st.torn, x->sum_torn);
	read_all(p, h->sum, MEMBOX_I32, SUM_N, got);
	for (uint32_t i = 0; i < SUM_N; i++) {
		wanted += x->sum[i];
		if ((uint32_t)got[i] != wanted)
			fail_msg("sum: element %u is %d, not %u", i, got[i], wanted);
	}
	read_all(p, h->words, MEMBOX_I64, WORDS, words);
	for (unsigned int i = 0; i < WORDS; i++)
		assert_int_equal(words[i], x->words[i]);
	read_all(p, h->little, MEMBOX_I32, LITTLE_N, got);
	for (unsigned int i = 0; i < LITTLE_N; i++)
		assert_int_equal((uint32_t)got[i], x->little);
	st = param_stat(p, h->note);
	assert_int_equal(st.begun, st.finished);
	assert_in_range(st.finished - notes_before, x->notes, x->notes + x->counted);
}

/* Of the dead nothing is left: no port, lock, reference, seat. */
static void check_tables(struct port *p)
{
	struct membox_list_args list = { 0 };
	struct membox_info info = { 0 };

	mbe_poll_ports(p->e, 0);
	assert_int_equal(port_admin(p, BOX_CONTEXT, MEMBOX_ADM_INFO, &info, sizeof(info)), MEMBOX_ST_OK);
	assert_int_equal(info.live_ports, 1);
	for (uint32_t i = 0; i < p->e->geo.stripes; i++)
		assert_int_equal(p->e->stripes[i].lock, 0);
	assert_int_equal(port_admin(p, BOX_CONTEXT, MEMBOX_ADM_PARAM_LIST, &list, sizeof(list)), MEMBOX_ST_OK);
	assert_int_equal(list.cursor, 0);
	for (uint32_t i = 0; i < list.count; i++) {
		const struct membox_param_stat *st = &list.entry[i];

		if (st->destroyed || st->attrs & MEMBOX_PARAM_EPHEMERAL || st->subscribers ||
		    st->refs != (st->name[0] == 'n' && st->name[1] != 'o' ? 0 : 1))
			fail_msg("left: %s, destroyed %u, attributes %#x, subscribers %u, references %u", st->name,
				 st->destroyed, st->attrs, st->subscribers, st->refs);
	}
	for (uint32_t i = 0; i < p->e->geo.groups; i++)
		assert_int_equal(p->e->groups[i].word & 0xff, 0);
	assert_int_equal(mbe_fsck(p->e, crash_say, NULL), 0);
}

/* ---- rounds ---- */

struct actor {
	pid_t pid; /* 0: dead */
	uint64_t until; /* when it is killed: at this time, */
	uint32_t enough; /* or after so many operations */
};

static struct port port;
static struct handles mine[ACTORS + 1]; /* the parent's handles; of each actor's own */
static struct expected expected;

static void start_actor(struct actor *a, unsigned int slot, uint64_t *s)
{
	const char *at = crash_below(s, 3) ? crash_choose(s) : NULL;
	unsigned int nth = at ? crash_when(at, s) : 0;

	ledgers[slot] = (struct ledger){ .seed = ++lives, .slot = slot };
	a->until = crash_now_us() + CRASH_SLOWNESS * (at ? 2000000 : crash_below(s, 12000));
	a->enough = 60;
	a->pid = fork();
	assert_true(a->pid >= 0);
	if (!a->pid) {
		crash_at = at;
		crash_nth = nth;
		act(&ledgers[slot]);
	}
}

/* One of the parent's own; nobody's death holds it up. */
static void go_on(struct ledger *l)
{
	struct operation o = operation_of(l->seed, ++l->begun);

	if (o.kind == TABLE)
		use_name(&port, &o.s);
	else
		assert_int_equal(do_data(&port, &mine[ACTORS], &o, 0).status, MEMBOX_ST_OK);
	l->acked++;
}

static unsigned int reap(struct actor *a, const struct ledger *l)
{
	int status;
	pid_t pid = waitpid(a->pid, &status, WNOHANG);

	if (!pid && (crash_now_us() >= a->until || __atomic_load_n(&l->acked, __ATOMIC_RELAXED) >= a->enough)) {
		kill(a->pid, SIGKILL);
		pid = waitpid(a->pid, &status, 0);
	}
	if (!pid)
		return 0;
	assert_int_equal(pid, a->pid);
	a->pid = 0;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("an actor ended by itself: %#x", (unsigned int)status);
	return 1;
}

static void open_everything(void)
{
	port_open(&port);
	mine[0] = open_all(&port, 0);
	for (unsigned int i = 1; i <= ACTORS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "mine%u", i);
		mine[i] = mine[0];
		mine[i].mine = param_open(&port, name, MEMBOX_I32, MINE_N, 0);
	}
}

/* Everything is as if nobody had been there. */
static void clear(void)
{
	uint32_t i;

	fill_all(&port, mine[0].sum, MEMBOX_I32, SUM_N, 0);
	fill_all(&port, mine[0].little, MEMBOX_I32, LITTLE_N, 0);
	for (i = 0; i <= ACTORS; i++)
		fill_all(&port, mine[i].mine, MEMBOX_I32, MINE_N, 0);
	memset(expected.sum, 0, 4 * (SUM_N + 1));
	memset(expected.mine, 0, sizeof(expected.mine));
	memset(expected.cut, 0, sizeof(expected.cut));
	expected.little = 0;
	expected.notes = 0;
	expected.counted = 0;
	expected.sum_torn = false;
}

static unsigned int one_round(uint64_t *s)
{
	uint64_t notes = param_stat(&port, mine[0].note).finished;
	struct ledger *own = &ledgers[ACTORS];
	struct actor a[ACTORS];
	unsigned int dead = 0;

	clear();
	*own = (struct ledger){ .seed = ++lives, .slot = ACTORS };
	for (unsigned int i = 0; i < ACTORS; i++)
		start_actor(&a[i], i, s);
	while (dead < ACTORS) {
		go_on(own);
		for (unsigned int i = 0; i < ACTORS; i++)
			if (a[i].pid)
				dead += reap(&a[i], &ledgers[i]);
	}
	go_on(own); /* after them: whatever they held is there again */
	port_close(&port); /* its handles of names */
	open_everything();
	check_tables(&port);
	for (unsigned int i = 0; i <= ACTORS; i++)
		expect_life(&expected, &port, &ledgers[i]);
	check_data(&port, &mine[0], &expected, notes);
	for (unsigned int i = 0; i <= ACTORS; i++)
		check_mine(&port, &expected, i, mine[i].mine);
	return dead;
}

static void what_was_acknowledged_and_what_outcomes_name_is_there(void **state)
{
	unsigned int kills = crash_kills(KILLS), dead = 0, met;
	uint64_t s = 42;

	(void)state;
	while (dead < kills)
		dead += one_round(&s);
	print_message("# %u killed\n", dead);
	met = crash_report();
	if (kills >= KILLS)
		assert_in_range(met, 30, 100);
}

static int set_up(void **state)
{
	(void)state;
	crash_table = crash_shared(sizeof(*crash_table));
	ledgers = crash_shared((ACTORS + 1) * sizeof(*ledgers));
	host = malloc(4 * SUM_N);
	got = malloc(4 * SUM_N);
	expected.sum = malloc(4 * (SUM_N + 1));
	assert_true(host && got && expected.sum);
	box_create_as((struct mbe_format_opts){ .bytes = 32 << 20, .ports = 6, .params = 32, .groups = 4 });
	open_everything();
	fill_all(&port, mine[0].ones, MEMBOX_I32, SUM_N, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_close(&port);
	box_remove();
	free(host);
	free(got);
	free(expected.sum);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_acknowledged_and_what_outcomes_name_is_there),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("crash_storm", tests, set_up, tear_down);
}
