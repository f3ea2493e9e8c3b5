// SPDX-License-Identifier: MIT
/*
 * mbtool - one operation on a box from the command line, for the tests that
 * span machines: the same static program runs in guests on /dev/membox0 and on
 * the host on a file. The box comes from $MEMBOX. Results go to standard output
 * as "word=value" lines; a failure prints "error=TEXT" and "status=NAME" and
 * ends with 1.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "membox/membox.h"

#define SECOND INT64_C(1000000000)
#define LONG_WAIT (120 * SECOND)
#define BATCH 64

static struct membox *box;
static char **words; /* what is left of the command line */

static void fail(const char *what)
{
	printf("error=%s: %s\n", what, membox_error());
	printf("status=%s\n", membox_status_name(membox_error_status()));
	fflush(stdout);
	exit(1);
}

static void check(int answer, const char *what)
{
	if (answer < 0)
		fail(what);
}

static const char *word(const char *what)
{
	if (!*words) {
		fprintf(stderr, "mbtool: %s is missing\n", what);
		exit(2);
	}
	return *words++;
}

static int64_t number(const char *what)
{
	const char *text = word(what);
	char *end;
	int64_t n = strtoll(text, &end, 0);

	if (*end || end == text) {
		fprintf(stderr, "mbtool: %s: not a number: %s\n", what, text);
		exit(2);
	}
	return n;
}

static enum membox_type type_word(void)
{
	static const char *const names[MEMBOX_NR_TYPES] = {
		"", "f32", "f64", "f16", "bf16", "i8", "i32", "i64",
	};
	const char *text = word("type");

	for (int t = 1; t < MEMBOX_NR_TYPES; t++) {
		if (!strcmp(text, names[t]))
			return (enum membox_type)t;
	}
	fprintf(stderr, "mbtool: no such type: %s\n", text);
	exit(2);
}

/* An open parameter that is there, or "NAME@KEY". */
static struct membox_param *param_word(unsigned int flags)
{
	const char *text = word("parameter");
	const char *at = strchr(text, '@');
	char name[MEMBOX_NAME_BYTES];
	struct membox_param *p;
	struct membox_key key;

	snprintf(name, sizeof(name), "%.*s", at ? (int)(at - text) : (int)strlen(text), text);
	if (at)
		check(membox_key_from_text(at + 1, &key), "key");
	check(membox_param_attach(box, name, at ? &key : NULL, flags, &p), "attach");
	return p;
}

static void print_key(const struct membox_key *key)
{
	char text[MEMBOX_KEY_TEXT];

	membox_key_to_text(key, text);
	printf("key=%s\n", text);
}

/* Bytes that depend on their place and a seed, so that a shifted copy is seen. */
static void pattern(uint8_t *to, uint64_t n, uint64_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (uint64_t i = 0; i < n; i++) {
		if (!(i & 7)) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		to[i] = (uint8_t)(x >> (8 * (i & 7)));
	}
}

static void *memory(uint64_t bytes, uint64_t shift)
{
	uint8_t *p = NULL;

	if (posix_memalign((void **)&p, 4096, bytes + shift + 1))
		exit(3);
	return p + shift;
}

/* get NAME TYPE COUNT [FLAGS]: find or create */
static void cmd_get(void)
{
	const char *name = word("name");
	struct membox_shape shape = {.type = type_word()};
	struct membox_param *p;
	unsigned int flags;

	shape.count = (uint64_t)number("count");
	flags = *words ? (unsigned int)number("flags") : 0;
	check(membox_param_get(box, name, &shape, flags, &p), "get");
	printf("address=%" PRIu64 "\ncreated=%d\n", membox_param_address(p),
	       membox_param_created(p));
}

/* create NAME TYPE COUNT: keyed */
static void cmd_create(void)
{
	const char *name = word("name");
	struct membox_shape shape = {.type = type_word()};
	struct membox_param *p;
	struct membox_key key;

	shape.count = (uint64_t)number("count");
	check(membox_param_create(box, name, &shape, 0, &key, &p), "create");
	print_key(&key);
}

/* attach NAME[@KEY] */
static void cmd_attach(void)
{
	struct membox_param *p = param_word(0);

	printf("address=%" PRIu64 "\ncount=%" PRIu64 "\n", membox_param_address(p),
	       membox_param_count(p));
}

/* destroy NAME[@KEY] */
static void cmd_destroy(void)
{
	int deferred = membox_param_destroy(param_word(0));

	check(deferred, "destroy");
	printf("deferred=%d\n", deferred);
}

/* pattern BYTES SEED: to standard output */
static void cmd_pattern(void)
{
	uint64_t n = (uint64_t)number("bytes");
	uint8_t *data = memory(n, 0);

	pattern(data, n, (uint64_t)number("seed"));
	fwrite(data, 1, n, stdout);
}

/* write NAME FIRST BYTES SEED SHIFT: the pattern, from SHIFT bytes into a page */
static void cmd_write(void)
{
	struct membox_param *p = param_word(0);
	uint64_t first = (uint64_t)number("first"), n = (uint64_t)number("bytes");
	uint64_t seed = (uint64_t)number("seed");
	uint8_t *data = memory(n, (uint64_t)number("shift"));

	pattern(data, n, seed);
	check(membox_write(p, first, n, data), "write");
}

/* read NAME FIRST BYTES SHIFT: to standard output */
static void cmd_read(void)
{
	struct membox_param *p = param_word(MEMBOX_PARAM_RDONLY);
	uint64_t first = (uint64_t)number("first"), n = (uint64_t)number("bytes");
	uint8_t *data = memory(n, (uint64_t)number("shift"));

	check(membox_read(p, first, n, data, NULL), "read");
	fwrite(data, 1, n, stdout);
}

/* An element of value v, repeated n times. */
static void *elements(enum membox_type type, uint64_t n, int64_t v)
{
	void *data = memory(n * membox_type_size(type), 0);

	for (uint64_t i = 0; i < n; i++) {
		switch (type) {
		case MEMBOX_F32: ((float *)data)[i] = (float)v; break;
		case MEMBOX_F64: ((double *)data)[i] = (double)v; break;
		case MEMBOX_I32: ((int32_t *)data)[i] = (int32_t)v; break;
		case MEMBOX_I64: ((int64_t *)data)[i] = v; break;
		default: fprintf(stderr, "mbtool: type not for this\n"); exit(2);
		}
	}
	return data;
}

static double element(enum membox_type type, const void *data, uint64_t i)
{
	switch (type) {
	case MEMBOX_F32: return (double)((const float *)data)[i];
	case MEMBOX_F64: return ((const double *)data)[i];
	case MEMBOX_I32: return (double)((const int32_t *)data)[i];
	default: return (double)((const int64_t *)data)[i];
	}
}

/* add NAME TIMES VALUE: all elements, each time in one operation; in batches */
static void cmd_add(void)
{
	struct membox_param *p = param_word(0);
	int64_t times = number("times"), value = number("value"), left;
	enum membox_type type = membox_param_type(p);
	uint64_t n = membox_param_count(p);
	void *data = elements(type, n, value);
	struct membox_done done[BATCH];
	struct membox_op op[BATCH];
	struct membox_chan *chan;
	struct membox_info info = {.size = sizeof(info)};

	check(membox_info(box, &info), "info");
	check(membox_chan_open(box, BATCH, &chan), "chan_open");
	for (left = times; left > 0;) {
		int batch = left < BATCH ? (int)left : BATCH;
		int sent, got = 0;

		for (int i = 0; i < batch; i++)
			membox_prep_acc(&op[i], p, 0, n, data, type, 1.0);
		sent = membox_submit(chan, op, (unsigned int)batch);
		check(sent, "submit");
		while (got < sent) {
			int some = membox_reap(chan, done, BATCH, 1, LONG_WAIT);

			check(some, "reap");
			for (int i = 0; i < some; i++) {
				if (done[i].error) {
					printf("error=acc\nstatus=%s\n",
					       membox_status_name((int)done[i].status));
					exit(1);
				}
			}
			got += some;
		}
		left -= sent;
	}
	membox_chan_close(chan);
	printf("added=%" PRId64 "\n", times);
}

/* addslow NAME TIMES VALUE: one call each (the fallback's way on a box without ACC) */
static void cmd_addslow(void)
{
	struct membox_param *p = param_word(0);
	int64_t times = number("times"), value = number("value");
	enum membox_type type = membox_param_type(p);
	uint64_t n = membox_param_count(p);
	void *data = elements(type, n, value);

	for (int64_t i = 0; i < times; i++)
		check(membox_acc(p, 0, n, data, type, 1.0), "acc");
	printf("added=%" PRId64 "\n", times);
}

/* sum NAME: the least and the largest element */
static void cmd_sum(void)
{
	struct membox_param *p = param_word(MEMBOX_PARAM_RDONLY);
	enum membox_type type = membox_param_type(p);
	uint64_t n = membox_param_count(p);
	void *data = memory(n * membox_type_size(type), 0);
	double least, most;

	check(membox_read(p, 0, n, data, NULL), "read");
	least = most = element(type, data, 0);
	for (uint64_t i = 1; i < n; i++) {
		double v = element(type, data, i);

		least = v < least ? v : least;
		most = v > most ? v : most;
	}
	printf("least=%.0f\nmost=%.0f\n", least, most);
}

/* fetchadd NAME INDEX TIMES */
static void cmd_fetchadd(void)
{
	struct membox_param *p = param_word(0);
	uint64_t index = (uint64_t)number("index");
	int64_t times = number("times"), old = 0;

	for (int64_t i = 0; i < times; i++)
		check(membox_fetch_add(p, index, 1, &old), "fetch_add");
	printf("old=%" PRId64 "\n", old);
}

/* xadd NAME INDEX TIMES: the CPU's own lock xadd through a mapping, from when element 0 is not 0 */
static void cmd_xadd(void)
{
	struct membox_param *p = param_word(0);
	uint64_t index = (uint64_t)number("index");
	int64_t times = number("times");
	void *map;

	check(membox_param_map(p, PROT_READ | PROT_WRITE, &map), "map");
	printf("ready=1\n");
	fflush(stdout);
	while (!__atomic_load_n((int64_t *)map, __ATOMIC_ACQUIRE))
		;
	for (int64_t i = 0; i < times; i++)
		__atomic_fetch_add((int64_t *)map + index, 1, __ATOMIC_SEQ_CST);
	check(membox_param_commit(p), "commit");
}

/* accparam TO FROM */
static void cmd_accparam(void)
{
	struct membox_param *to = param_word(0), *from = param_word(MEMBOX_PARAM_RDONLY);

	check(membox_acc_param(to, 0, from, 0, membox_param_count(to), 1.0), "acc_param");
}

/* counters: of the own port */
static void cmd_counters(void)
{
	uint64_t c[MEMBOX_NR_COUNTERS];

	check(membox_counters(box, c), "counters");
	printf("to_device=%" PRIu64 "\nfrom_device=%" PRIu64 "\ncontrol=%" PRIu64
	       "\noperations=%" PRIu64 "\nerrors=%" PRIu64 "\ninterrupts=%" PRIu64
	       "\ndoorbells=%" PRIu64 "\n",
	       c[MEMBOX_CTR_TO_DEVICE], c[MEMBOX_CTR_FROM_DEVICE], c[MEMBOX_CTR_CONTROL],
	       c[MEMBOX_CTR_OPERATIONS], c[MEMBOX_CTR_ERRORS], c[MEMBOX_CTR_INTERRUPTS],
	       c[MEMBOX_CTR_DOORBELLS]);
}

static void cmd_info(void)
{
	struct membox_info info = {.size = sizeof(info)};

	check(membox_info(box, &info), "info");
	printf("port=%u\nports=%u\nfree=%" PRIu64 "\nparams=%u\ncaps=%#" PRIx64 "\nuuid=",
	       info.port, info.ports, (uint64_t)info.free_bytes, info.params,
	       (uint64_t)info.caps);
	for (int i = 0; i < 16; i++)
		printf("%02x", info.uuid[i]);
	printf("\n");
}

/* grant GROUP RANKS RANK NAME TYPE COUNT TO: join, make a keyed one, give TO its key, wait for its word */
static void cmd_grant(void)
{
	const char *name = word("group"), *param;
	int ranks = (int)number("ranks"), rank = (int)number("rank"), to;
	struct membox_shape shape = {0};
	struct membox_group *group;
	struct membox_param *p;
	struct membox_key key;

	param = word("name");
	shape.type = type_word();
	shape.count = (uint64_t)number("count");
	to = (int)number("to");
	check(membox_group_join(box, name, ranks, rank, LONG_WAIT, &group), "join");
	check(membox_param_create(box, param, &shape, 0, &key, &p), "create");
	check(membox_param_grant(p, group, to), "grant");
	check(membox_wait_word(p, 0, MEMBOX_EQ, 4711, LONG_WAIT), "wait_word");
	printf("answered=1\n");
	membox_group_leave(group);
	check(membox_param_destroy(p), "destroy");
}

/* granted GROUP RANKS RANK: join, take a key from the mailbox, open and answer */
static void cmd_granted(void)
{
	const char *name = word("group");
	int ranks = (int)number("ranks"), rank = (int)number("rank");
	struct membox_mail mail = {.size = sizeof(mail)};
	struct membox_group *group;
	struct membox_param *p;

	check(membox_group_join(box, name, ranks, rank, LONG_WAIT, &group), "join");
	check(membox_mail_recv(box, LONG_WAIT, &mail), "mail_recv");
	if (membox_param_attach(box, mail.name, NULL, 0, &p) != -EKEYREJECTED)
		fail("attach without the key was not refused");
	check(membox_param_attach(box, mail.name, &mail.key, 0, &p), "attach");
	check(membox_fetch_add(p, 0, 4711, NULL), "fetch_add");
	printf("name=%s\n", mail.name);
}

/* allreduce GROUP RANKS RANK COUNT ROUNDS: f32, each sum checked; 0 rounds: without end */
static void cmd_allreduce(void)
{
	const char *name = word("group");
	int ranks = (int)number("ranks"), rank = (int)number("rank");
	uint64_t n = (uint64_t)number("count"), i;
	int64_t rounds = number("rounds"), r;
	float *in = memory(n * sizeof(*in), 0), *out = memory(n * sizeof(*out), 0);
	struct membox_group *group;

	check(membox_group_join(box, name, ranks, rank, LONG_WAIT, &group), "join");
	for (r = 0; !rounds || r < rounds; r++) {
		for (i = 0; i < n; i++)
			in[i] = (float)((i + (uint64_t)r) % 1000 + (uint64_t)rank);
		check(membox_allreduce(group, in, out, n, MEMBOX_F32, MEMBOX_SUM, LONG_WAIT), "allreduce");
		for (i = 0; i < n; i++) /* whole numbers: exact */
			if (out[i] != (float)((i + (uint64_t)r) % 1000 * (uint64_t)ranks +
					      (uint64_t)(ranks * (ranks - 1) / 2)))
				fail("a sum is wrong");
		if (!r) {
			printf("begun=1\n");
			fflush(stdout);
		}
	}
	check(membox_barrier(group, LONG_WAIT), "barrier");
	printf("rounds=%" PRId64 "\n", r);
	membox_group_leave(group);
}

/* notify NAME TIMES PAUSE_US */
static void cmd_notify(void)
{
	struct membox_param *p = param_word(0);
	int64_t times = number("times"), pause = number("pause");

	for (int64_t i = 0; i < times; i++) {
		check(membox_notify(p), "notify");
		if (pause)
			usleep((useconds_t)pause);
	}
}

/* watch NAME CHANGES: counts events and missed ones until they add up */
static void cmd_watch(void)
{
	struct membox_param *p = param_word(MEMBOX_PARAM_RDONLY);
	struct membox_param_stat stat = {.size = sizeof(stat)};
	uint64_t wanted = (uint64_t)number("changes"), first, events = 0, missed = 0;
	struct membox_change change = {0};

	check(membox_param_subscribe(p, 1), "subscribe");
	check(membox_param_stat(p, &stat), "stat");
	first = stat.finished;
	printf("watching=%" PRIu64 "\n", first);
	fflush(stdout);
	while (change.version < first + wanted) {
		check(membox_event_read(box, LONG_WAIT, &change), "event_read");
		events++;
		missed += change.missed;
	}
	printf("events=%" PRIu64 "\nmissed=%" PRIu64 "\nlast=%" PRIu64 "\n", events, missed,
	       change.version - first);
}

/* waitversion NAME ABOVE TIMEOUT_MS */
static void cmd_waitversion(void)
{
	struct membox_param *p = param_word(MEMBOX_PARAM_RDONLY);
	uint64_t above = (uint64_t)number("above"), now = 0;

	check(membox_wait_version(p, above, number("timeout") * 1000000, &now), "wait_version");
	printf("version=%" PRIu64 "\n", now);
}

/* lock NAME TIMEOUT_MS HOLD_MS */
static void cmd_lock(void)
{
	struct membox_param *p = param_word(0);

	check(membox_param_lock(p, number("timeout") * 1000000), "lock");
	printf("locked=1\n");
	fflush(stdout);
	usleep((useconds_t)(number("hold") * 1000));
	check(membox_param_unlock(p), "unlock");
}

/* store NAME INDEX BYTE / load NAME INDEX: through a mapping */
static void cmd_store(void)
{
	struct membox_param *p = param_word(0);
	uint64_t index = (uint64_t)number("index");
	void *map;

	check(membox_param_map(p, PROT_READ | PROT_WRITE, &map), "map");
	((volatile uint8_t *)map)[index] = (uint8_t)number("byte");
	check(membox_param_commit(p), "commit");
}

static void cmd_load(void)
{
	struct membox_param *p = param_word(MEMBOX_PARAM_RDONLY);
	uint64_t index = (uint64_t)number("index");
	void *map;

	check(membox_param_map(p, PROT_READ, &map), "map");
	printf("byte=%u\n", ((volatile uint8_t *)map)[index]);
}

/* romap NAME: a read-only mapping refuses mprotect and a store */
static void on_fault(int number)
{
	static const char text[] = "fault=1\n";

	(void)number;
	if (write(1, text, sizeof(text) - 1) < 0)
		_exit(4);
	_exit(0);
}

static void cmd_romap(void)
{
	struct membox_param *p = param_word(MEMBOX_PARAM_RDONLY);
	void *map;

	check(membox_param_map(p, PROT_READ, &map), "map");
	printf("mprotect=%s\n", mprotect(map, 4096, PROT_READ | PROT_WRITE) ? "refused" : "allowed");
	fflush(stdout);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	*(volatile uint8_t *)map = 1;
	printf("fault=0\n");
}

/* maphold ro|rw NAME SECONDS: holds a mapping (a window) open */
static void cmd_maphold(void)
{
	const int rw = !strcmp(word("ro or rw"), "rw");
	struct membox_param *p = param_word(rw ? 0 : MEMBOX_PARAM_RDONLY);
	void *map;

	check(membox_param_map(p, rw ? PROT_READ | PROT_WRITE : PROT_READ, &map), "map");
	printf("first=%u\n", *(volatile uint8_t *)map);
	fflush(stdout);
	sleep((unsigned int)number("seconds"));
}

/* forever NAME BYTES: writes without end, for tests that kill */
static void cmd_forever(void)
{
	struct membox_param *p = param_word(0);
	uint64_t n = (uint64_t)number("bytes");
	uint8_t *data = memory(n, 0);

	memset(data, 0x5a, n);
	printf("writing=1\n");
	fflush(stdout);
	for (;;)
		check(membox_write(p, 0, n, data), "write");
}

static const struct {
	const char *name;
	void (*run)(void);
} commands[] = {
	{"get", cmd_get}, {"create", cmd_create}, {"attach", cmd_attach},
	{"destroy", cmd_destroy}, {"pattern", cmd_pattern}, {"write", cmd_write},
	{"read", cmd_read}, {"add", cmd_add}, {"addslow", cmd_addslow}, {"sum", cmd_sum},
	{"fetchadd", cmd_fetchadd}, {"xadd", cmd_xadd}, {"accparam", cmd_accparam},
	{"counters", cmd_counters}, {"info", cmd_info}, {"grant", cmd_grant},
	{"granted", cmd_granted}, {"notify", cmd_notify}, {"watch", cmd_watch},
	{"waitversion", cmd_waitversion}, {"lock", cmd_lock}, {"store", cmd_store},
	{"load", cmd_load}, {"romap", cmd_romap}, {"maphold", cmd_maphold},
	{"forever", cmd_forever}, {"allreduce", cmd_allreduce},
};

int main(int argc, char **argv)
{
	struct membox_open_opts opts = {.size = sizeof(opts)};

	if (argc < 2) {
		fprintf(stderr, "usage: MEMBOX=<box> mbtool <command> ...; the commands:\n");
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			fprintf(stderr, "  %s\n", commands[i].name);
		return 2;
	}
	words = argv + 2;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		if (commands[i].run != cmd_pattern && membox_open(NULL, &opts, &box))
			fail("open");
		commands[i].run();
		membox_close(box);
		return 0;
	}
	fprintf(stderr, "mbtool: no such command: %s\n", argv[1]);
	return 2;
}
