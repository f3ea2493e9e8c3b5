// SPDX-License-Identifier: MIT
/*
 * badpackets - sends every bad packet to a box and expects its own precise error:
 * for each kind of packet each fault alone and each pair of faults, where the
 * one that docs/operations.md lists first is reported. A good packet follows each
 * bad one. Prints TAP, the same lines on every back end. Static, for guests.
 *
 *	badpackets		packets, through the library
 *	badpackets node PATH	what only the driver's node can be asked for
 *	badpackets revoke NAME	an operator's part, for the test that drives this
 *
 * $MEMBOX names the box. Of devices $MEMBOX_RDONLY and $MEMBOX_LESS name a port
 * that may not write and one without the accelerator; of a file they are opened so.
 * $BADPACKETS_EVERY=N sends each N-th pair only, for machines on which all take minutes.
 * $BADPACKETS_EACH stops behind each kind of packet, so that the box can be looked at.
 */
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "badpackets.h"

#define MAX_NOTES    3U /* of failures of one kind of packet */
#define STEP_SECONDS 300
#define LONG_WAIT    INT64_C(120000000000)

/* ---- TAP ---- */

static unsigned int results, failures, notes;

void tap(bool passed, const char *format, ...)
{
	va_list args;

	results++;
	failures += !passed;
	notes = 0;
	printf("%s %u - ", passed ? "ok" : "not ok", results);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

void note(const char *format, ...)
{
	va_list args;

	if (notes++ >= MAX_NOTES)
		return;
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

void bail(const char *what)
{
	printf("Bail out! %s: %s\n", what, membox_error());
	exit(1);
}

void checkpoint(const char *name)
{
	const char *folder = getenv(STEPS);
	char path[256];
	int i;

	printf("# step %s\n", name);
	fflush(stdout);
	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (i = 0; access(path, F_OK); i++) {
		if (i == STEP_SECONDS * 100)
			bail(name);
		usleep(10000);
	}
}

/* ---- one packet ---- */

/* A bad packet, what is wrong with it, and the answer that is due. */
struct trial {
	struct membox_packet p;
	const char *a, *b; /* b: NULL for a fault alone */
	uint16_t status;
	uint32_t detail;
	uint64_t result;
};

static struct trial make_trial(const struct membox_packet *p, const struct bad *a, const struct bad *b,
			       bool unsupported)
{
	const struct bad *first = bads_first(a, b);
	struct trial t = {.p = *p, .a = a->name, .b = a == b ? NULL : b->name};

	bad_apply(a, &t.p);
	bad_apply(b, &t.p);
	if (unsupported && first->order > MEMBOX_ST_UNSUPPORTED) {
		t.status = MEMBOX_ST_UNSUPPORTED;
		return t;
	}
	t.status = first->status;
	t.detail = first->detail;
	t.result = first->result;
	return t;
}

static bool judge(const struct trial *t, const struct membox_done *done)
{
	if (done->status == t->status && done->detail == t->detail && done->result == t->result &&
	    done->error == -membox_status_errno(t->status) && !done->bytes && !done->version)
		return true;
	note("%s%s%s: %s at %u, result %llu, error %d, %llu bytes, version %llu; wanted %s at %u, result "
	     "%llu",
	     t->a, t->b ? " and " : "", t->b ? t->b : "", membox_status_name((int)done->status), done->detail,
	     (unsigned long long)done->result, done->error, (unsigned long long)done->bytes,
	     (unsigned long long)done->version, membox_status_name(t->status), t->detail,
	     (unsigned long long)t->result);
	return false;
}

static struct membox_packet probe_packet(unsigned int i, int64_t *to)
{
	struct membox_packet p = {
		.opcode = MEMBOX_OP_READ,
		.dst_type = MEMBOX_I64,
		.count = 1,
		.handle = {scene.probe},
		.offset = {i},
		.host.addr = (uintptr_t)to,
	};

	*to = 0;
	return p;
}

static bool judge_probe(unsigned int i, int64_t got, const struct membox_done *done, const char *after)
{
	if (!done->status && done->bytes == sizeof(got) && got == probe_value(i))
		return true;
	note("good packet after %s: %s, %llu bytes, %lld instead of %lld", after,
	     membox_status_name((int)done->status), (unsigned long long)done->bytes, (long long)got,
	     (long long)probe_value(i));
	return false;
}

/* A bad packet by itself, by the call that waits; then a good one. */
static bool run_alone(struct membox *box, const struct trial *t)
{
	struct membox_done done = {0};
	struct membox_packet good;
	struct membox_op op;
	bool passed;
	int64_t got;
	int ret;

	membox_prep_packet(&op, &t->p);
	ret = membox_run(box, &op, &done);
	passed = judge(t, &done);
	if (ret != -membox_status_errno(t->status) || membox_error_status() != t->status) {
		note("%s: membox_run %d, membox_error_status %d", t->a, ret, membox_error_status());
		passed = false;
	}
	good = probe_packet(1, &got);
	membox_prep_packet(&op, &good);
	membox_run(scene.box, &op, &done);
	return judge_probe(1, got, &done, t->a) && passed;
}

/* ---- many packets ---- */

struct batch {
	struct membox_chan *chan;
	bool probes; /* the scene's own box: good packets go with the bad ones */
	unsigned int n;
	struct trial trial[BATCH];
};

static bool judge_batch(const struct batch *b, const struct membox_done *done, const int64_t *got,
			unsigned int n)
{
	bool passed = true;
	unsigned int i;

	for (i = 0; i < n; i++) {
		unsigned int k = (unsigned int)done[i].user_data / 2;

		if (done[i].user_data % 2)
			passed &= judge_probe(k, got[k], &done[i], b->trial[k].a);
		else
			passed &= judge(&b->trial[k], &done[i]);
	}
	return passed;
}

static bool flush(struct batch *b)
{
	struct membox_packet good[BATCH];
	struct membox_done done[2 * BATCH];
	struct membox_op op[2 * BATCH];
	unsigned int i, n = 0;
	int64_t got[BATCH];
	bool passed;
	int ret;

	for (i = 0; i < b->n; i++) {
		membox_prep_packet(&op[n], &b->trial[i].p);
		op[n++].user_data = 2 * i;
		if (!b->probes)
			continue;
		good[i] = probe_packet(i, &got[i]);
		membox_prep_packet(&op[n], &good[i]);
		op[n++].user_data = 2 * i + 1;
	}
	if (n && membox_submit(b->chan, op, n) != (int)n)
		bail("submit");
	for (i = 0; i < n; i += (unsigned int)ret) {
		ret = membox_reap(b->chan, done + i, n - i, n - i, LONG_WAIT);
		if (ret <= 0)
			bail("reap");
	}
	passed = judge_batch(b, done, got, n);
	b->n = 0;
	return passed;
}

/*
 * Packets that the device writes to memory for get memory of their own: a kernel
 * that debugs DMA takes many mappings of one cache line for a leak.
 */
static void spread(struct membox_packet *p, unsigned int i)
{
	if (p->host.addr == (uintptr_t)scene.host && membox_host_is_written(p->opcode))
		p->host.addr += (uint64_t)i * HOST_STEP;
	if (is_collective(p->opcode) && p->coll.recv.addr == (uintptr_t)scene.host2)
		p->coll.recv.addr += (uint64_t)i * HOST_STEP;
}

static bool run_pairs(struct batch *b, const struct bads *all, const struct membox_packet *p,
		      bool unsupported, unsigned int *pairs)
{
	const char *every = getenv("BADPACKETS_EVERY");
	unsigned int i, k, seen = 0, nth = every ? (unsigned int)atoi(every) : 1;
	bool passed = true;

	for (i = 0; i < all->n; i++) {
		for (k = i + 1; k < all->n; k++) {
			if (bads_collide(&all->bad[i], &all->bad[k]) || seen++ % nth)
				continue;
			b->trial[b->n] = make_trial(p, &all->bad[i], &all->bad[k], unsupported);
			spread(&b->trial[b->n].p, b->n);
			b->n++;
			(*pairs)++;
			if (b->n == BATCH)
				passed &= flush(b);
		}
	}
	return flush(b) && passed;
}

/* All faults of one kind of packet, alone and in pairs. */
static void run_kind(struct membox *box, const struct good_kind *kind, bool ints, bool unsupported)
{
	struct membox_packet p = scene_packet(kind, ints);
	static struct batch batch;
	static struct bads all;
	unsigned int i, pairs = 0;
	bool passed = true;

	bads_of(&all, kind, &p, unsupported);
	for (i = 0; i < all.n; i++) {
		struct trial t = make_trial(&p, &all.bad[i], &all.bad[i], unsupported);

		passed &= run_alone(box, &t);
	}
	batch.n = 0;
	batch.probes = box == scene.box;
	if (membox_chan_open(box, 2 * BATCH, &batch.chan))
		bail("channel");
	passed &= run_pairs(&batch, &all, &p, unsupported, &pairs);
	membox_chan_close(batch.chan);
	tap(passed, "%s%s%s: %u faults, alone and in %u pairs", kind->name, ints ? " i32" : "",
	    unsupported ? ", which the port has not" : "", all.n, pairs);
	if (getenv("BADPACKETS_EACH")) {
		char step[32];

		snprintf(step, sizeof(step), "kind-%u", results);
		checkpoint(step);
	}
}

/* ---- good packets ---- */

static uint64_t bytes_due(const struct membox_packet *p)
{
	switch (p->opcode) {
	case MEMBOX_OP_NOTIFY:
	case MEMBOX_OP_WAIT:
	case MEMBOX_OP_FENCE:
	case MEMBOX_OP_COMMIT:
	case MEMBOX_OP_BARRIER:
	case MEMBOX_OP_BROADCAST: /* of its root */
		return 0;
	case MEMBOX_OP_ALLREDUCE:
	case MEMBOX_OP_REDUCE:
	case MEMBOX_OP_REDUCE_SCATTER:
	case MEMBOX_OP_ALLGATHER:
		return membox_operand_count(p, 1) * membox_type_bytes(p->dst_type);
	default:
		return membox_operand_count(p, 0) * membox_type_bytes(p->dst_type);
	}
}

static bool run_good(struct membox *box, const struct membox_packet *p, const char *name, uint16_t status)
{
	struct membox_done done = {0};
	struct membox_op op;

	membox_prep_packet(&op, p);
	membox_run(box, &op, &done);
	if (done.status == status &&
	    (status ? done.detail == 32 && !done.bytes : !done.detail && done.bytes == bytes_due(p)))
		return true;
	note("%s: %s at %u, %llu bytes", name, membox_status_name((int)done.status), done.detail,
	     (unsigned long long)done.bytes);
	return false;
}

/* Has it elements, which can be of one type or another? */
static bool has_ints(const struct good_kind *kind)
{
	return good_packet(kind, &good_env_shape).dst_type != 0;
}

/* Does it want another rank than the one that there is? */
static bool is_of_another_rank(const struct good_kind *kind)
{
	return is_collective(kind->opcode) && (kind->how & GOOD_ABSENT);
}

/* Can a program send it to this box? The library sends CANCEL itself. */
static bool is_offered(const struct good_kind *kind)
{
	return !(expect_of(kind)->cap & ~scene.caps) && kind->opcode != MEMBOX_OP_CANCEL;
}

static void run_all_good(const char *when)
{
	bool passed = true;
	unsigned int i;
	int ints;

	for (i = 0; i < GOOD_KINDS; i++) {
		for (ints = 0; ints < 2; ints++) {
			struct membox_packet p = scene_packet(&good_kinds[i], ints);

			if (is_of_another_rank(&good_kinds[i]))
				continue;
			if (is_collective(p.opcode))
				p.coll.seq = scene.seq;
			if (is_offered(&good_kinds[i]) && (!ints || has_ints(&good_kinds[i])))
				passed &= run_good(scene.box, &p, good_kinds[i].name, MEMBOX_ST_OK);
			scene.seq += is_collective(p.opcode) && (!ints || has_ints(&good_kinds[i]));
		}
	}
	tap(passed, "good packets of every kind work %s", when);
}

/* ---- ports that may less ---- */

static void run_rdonly_port(void)
{
	bool passed = true;
	unsigned int i;

	for (i = 0; i < GOOD_KINDS; i++) {
		const struct good_kind *kind = &good_kinds[i];
		struct membox_packet p = scene_packet(kind, false);
		bool reads = kind->opcode == MEMBOX_OP_READ || kind->opcode == MEMBOX_OP_SNAPSHOT ||
			     kind->opcode == MEMBOX_OP_WAIT;

		if (!is_offered(kind) || !p.handle[0] || is_collective(kind->opcode))
			continue;
		p.handle[0] = scene.rdonly_port[p.handle[0] == scene.i64.param[0]];
		passed &= run_good(scene.rdonly, &p, kind->name, reads ? MEMBOX_ST_OK : MEMBOX_ST_DENIED);
	}
	tap(passed, "a port that may not write: DENIED for what writes, and it reads");
}

static void run_cancel(void)
{
	struct membox_packet p = {.opcode = MEMBOX_OP_CANCEL, .word.value = 1};
	struct membox_op op;

	membox_prep_packet(&op, &p);
	tap(membox_run(scene.box, &op, NULL) == -EINVAL, "CANCEL: the library sends it itself");
}

/* ---- all ---- */

static void run_bad(void)
{
	unsigned int i;

	for (i = 0; i < GOOD_KINDS; i++) {
		const struct good_kind *kind = &good_kinds[i];
		uint64_t cap = expect_of(kind)->cap;

		if (kind->opcode == MEMBOX_OP_CANCEL)
			continue;
		run_kind(scene.box, kind, false, !is_offered(kind));
		if (is_offered(kind) && has_ints(kind))
			run_kind(scene.box, kind, true, false);
		if (cap & (MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR))
			run_kind(scene.less, kind, false, true);
	}
	run_rdonly_port();
	run_cancel();
}

static int finish(void)
{
	printf("1..%u\n", results);
	return failures ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *uri = getenv("MEMBOX");

	if (argc == 3 && !strcmp(argv[1], "node")) {
		node_tests(argv[2]);
		return finish();
	}
	if (!uri || (argc != 1 && (argc != 3 || strcmp(argv[1], "revoke")))) {
		fprintf(stderr, "usage: MEMBOX=<box> badpackets [node PATH | revoke NAME]\n");
		return 2;
	}
	if (argc == 3) {
		scene_revoke(argv[2]);
		return 0;
	}
	scene_open(uri);
	run_all_good("before");
	checkpoint("before");
	run_bad();
	checkpoint("after");
	run_all_good("after");
	tap(scene_memory_is_as_it_was(), "this process' memory is still there, and not there, as it was");
	scene_close();
	return finish();
}
