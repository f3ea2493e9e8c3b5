// SPDX-License-Identifier: MIT
/*
 * cost - executes one kind of operation many times, each between two marks that the
 * counting plugin knows, and prints what the device counted meanwhile.
 *
 *   cost OPERATION BYTES TIMES [regions N] [contexts N]
 *   cost fill N           makes N parameters of 64 bytes
 *
 * Memory is registered. The box comes from $MEMBOX. tests/vm/budgets.py runs it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "membox/membox.h"

#include "marker.h"

#define BATCH 64U
#define WARM 32U
#define PAGE 4096U
#define SMALL 16U /* elements of a parameter that is one of many */

static struct membox *box;
static struct membox_param *param, *other, *words;
static struct membox_chan *chan;
static float *memory;
static uint64_t n;

static void check(int answer, const char *what)
{
	if (answer < 0) {
		printf("error=%s: %s\n", what, membox_error());
		exit(EXIT_FAILURE);
	}
}

static void do_write(void)
{
	check(membox_write(param, 0, n, memory), "write");
}

static void do_read(void)
{
	check(membox_read(param, 0, n, memory, NULL), "read");
}

static void do_acc(void)
{
	check(membox_acc(param, 0, n, memory, MEMBOX_F32, 1.0), "acc");
}

static void do_acc_param(void)
{
	check(membox_acc_param(param, 0, other, 0, n, 1.0), "acc_param");
}

static void do_fetch_add(void)
{
	check(membox_fetch_add(words, 0, 1, NULL), "fetch_add");
}

static void do_notify(void)
{
	check(membox_notify(param), "notify");
}

static void do_batch(void)
{
	struct membox_op ops[BATCH];
	struct membox_done done[BATCH];
	unsigned int left = BATCH;
	int got;

	for (unsigned int i = 0; i < BATCH; i++)
		membox_prep_write(&ops[i], param, i * (n / BATCH), n / BATCH, memory + i * (n / BATCH));
	check(membox_submit(chan, ops, BATCH) == (int)BATCH ? 0 : -1, "submit");
	while (left) {
		got = membox_reap(chan, done, left, left, MEMBOX_TIMEOUT_DEFAULT);
		check(got > 0 ? 0 : -1, "reap");
		for (int i = 0; i < got; i++)
			check(done[i].error, "batch");
		left -= (unsigned int)got;
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} operations[] = {
	{ "write", do_write }, { "read", do_read }, { "acc", do_acc }, { "acc_param", do_acc_param },
	{ "fetch_add", do_fetch_add }, { "notify", do_notify }, { "batch", do_batch },
};

static void open_all(uint64_t bytes)
{
	struct membox_shape shape = { MEMBOX_F32, bytes / sizeof(float), 0 };
	struct membox_shape word = { MEMBOX_I64, 8, 0 };
	char name[64];

	n = shape.count;
	snprintf(name, sizeof(name), "cost.%" PRIu64, bytes);
	check(membox_param_get(box, name, &shape, MEMBOX_PARAM_NOJOURNAL, &param), "param");
	snprintf(name, sizeof(name), "cost.other.%" PRIu64, bytes);
	check(membox_param_get(box, name, &shape, MEMBOX_PARAM_NOJOURNAL, &other), "param");
	check(membox_param_get(box, "cost.words", &word, 0, &words), "param");
	check(membox_chan_open(box, BATCH, &chan), "channel");
	memory = membox_alloc(box, bytes);
	if (!memory)
		check(-1, "memory");
	memset(memory, 0, bytes);
}

/* Other regions of this process. */
static void add_regions(unsigned int count)
{
	char *pages = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct membox_region *region;

	if (pages == MAP_FAILED)
		check(-1, "pages");
	for (unsigned int i = 0; i < count; i++) {
		pages[(size_t)i * PAGE] = 1;
		check(membox_region(box, pages + (size_t)i * PAGE, PAGE, &region), "region");
	}
}

static void add_contexts(unsigned int count)
{
	struct membox *another;

	while (count--)
		check(membox_open(NULL, NULL, &another), "context");
}

static void fill(unsigned int count)
{
	struct membox_shape shape = { MEMBOX_F32, SMALL, 0 };
	struct membox_param *one;
	char name[64];

	for (unsigned int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "many.%u", i);
		check(membox_param_get(box, name, &shape, MEMBOX_PARAM_NOJOURNAL, &one), "param");
		membox_param_put(one);
	}
}

static void print_counters(const uint64_t *before, const uint64_t *after, unsigned int times)
{
	static const struct {
		const char *name;
		int which;
	} shown[] = {
		{ "to_device", MEMBOX_CTR_TO_DEVICE }, { "from_device", MEMBOX_CTR_FROM_DEVICE },
		{ "control", MEMBOX_CTR_CONTROL }, { "operations", MEMBOX_CTR_OPERATIONS },
		{ "interrupts", MEMBOX_CTR_INTERRUPTS }, { "doorbells", MEMBOX_CTR_DOORBELLS },
		{ "admin", MEMBOX_CTR_ADMIN },
	};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		printf("%s=%.4f\n", shown[i].name, (double)(after[shown[i].which] - before[shown[i].which]) / times);
}

static void measure(void (*run)(void), unsigned int times)
{
	uint64_t before[MEMBOX_NR_COUNTERS], after[MEMBOX_NR_COUNTERS];

	for (unsigned int i = 0; i < WARM; i++)
		run();
	check(membox_counters(box, before), "counters");
	for (unsigned int i = 0; i < times; i++) {
		mark(MARK_BEGIN);
		run();
		mark(MARK_END);
	}
	check(membox_counters(box, after), "counters");
	print_counters(before, after, times);
}

int main(int argc, char **argv)
{
	check(membox_open(NULL, NULL, &box), "open");
	if (argc == 3 && !strcmp(argv[1], "fill")) {
		fill((unsigned int)atoi(argv[2]));
		return EXIT_SUCCESS;
	}
	if (argc < 4) {
		fprintf(stderr, "usage: cost OPERATION BYTES TIMES [regions N] [contexts N] | cost fill N\n");
		return 2;
	}
	open_all(strtoull(argv[2], NULL, 0));
	for (int i = 4; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "regions"))
			add_regions((unsigned int)atoi(argv[i + 1]));
		else
			add_contexts((unsigned int)atoi(argv[i + 1]));
	}
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (!strcmp(operations[i].name, argv[1])) {
			measure(operations[i].run, (unsigned int)atoi(argv[3]));
			return EXIT_SUCCESS;
		}
	}
	fprintf(stderr, "cost: no such operation: %s\n", argv[1]);
	return 2;
}
