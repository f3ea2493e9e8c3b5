// SPDX-License-Identifier: MIT
/*
 * uapi_arith.c - ring arithmetic against a naive model that counts in 64 bits, the
 * sleep protocol in every interleaving, whole scalars against doubles, and the
 * texts and errnos of statuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "membox_check.h"

/* Counts begin here too, so that 32 bits overflow in the middle of a test. */
static const uint64_t bases[] = { 0, 0x80000000ULL - 16, 0x100000000ULL - 16, 0x300000000ULL - 16 };
#define BASES (sizeof(bases) / sizeof(bases[0]))

/*
 * Every reachable state of a small ring: `tail` entries were posted and `head`
 * taken. The ring holds phases as memory does, zero at first; the consumer must
 * see exactly the entries that were posted and not taken, by their phase alone.
 */
static void a_consumer_sees_what_was_posted(void **state)
{
	uint32_t log2;

	(void)state;
	for (log2 = 1; log2 <= 4; log2++) {
		uint64_t entries = 1ULL << log2;
		uint64_t head, tail, i;

		for (tail = 0; tail <= 5 * entries; tail++) {
			uint32_t phase[16] = { 0 };

			for (i = 0; i < tail; i++)
				phase[membox_ring_slot((uint32_t)i, log2)] = membox_ring_phase((uint32_t)i, log2);
			for (head = tail > entries ? tail - entries : 0; head <= tail; head++) {
				uint32_t slot = membox_ring_slot((uint32_t)head, log2);
				bool seen = phase[slot] == membox_ring_phase((uint32_t)head, log2);

				assert_int_equal(membox_ring_used((uint32_t)tail, (uint32_t)head), tail - head);
				assert_int_equal(seen, head < tail);
			}
		}
	}
}

static void slots_and_phases_go_round(void **state)
{
	uint32_t log2;
	unsigned int b;

	(void)state;
	for (log2 = 1; log2 <= 16; log2++) {
		for (b = 0; b < BASES; b++) {
			uint64_t i;

			for (i = bases[b]; i < bases[b] + 200; i++) {
				uint64_t entries = 1ULL << log2;

				assert_int_equal(membox_ring_slot((uint32_t)i, log2), i % entries);
				assert_int_equal(membox_ring_phase((uint32_t)i, log2), (i / entries) % 2 == 0);
			}
		}
	}
}

/* Entries old ... now - 1 were posted: is `event` one of them? */
static void a_signal_is_due_when_the_event_was_passed(void **state)
{
	unsigned int b, entries;

	(void)state;
	for (entries = 2; entries <= 16; entries *= 2) {
		for (b = 0; b < BASES; b++) {
			uint64_t old, now, event;

			for (old = bases[b] + 2 * entries; old < bases[b] + 4 * entries; old++)
				for (now = old; now <= old + entries; now++)
					for (event = old - 2 * entries; event <= now + 2 * entries; event++)
						assert_int_equal(membox_need_event((uint32_t)event, (uint32_t)now,
										   (uint32_t)old),
								 event >= old && event < now);
		}
	}
}

/*
 * One producer and one consumer, each step at a time, in every order. Producer:
 * store the tail, read the event index, signal if it was passed. Consumer: take
 * all; store the event index, read the tail again, sleep if it has not moved.
 * Nobody may sleep for ever beside entries.
 */
struct sleep_model {
	uint32_t base, total;
	uint32_t tail, head, event, old;
	unsigned int producer; /* 0: may post, 1: posted, has to look at the event index */
	unsigned int consumer; /* 0: takes, 1: arms, 2: looks again, 3: sleeps */
	bool signalled;
};

static unsigned int lost_wakeups, ends;

static void explore(struct sleep_model m)
{
	struct sleep_model n;
	uint32_t batch;
	bool moved = false;

	if (m.producer == 1) {
		n = m;
		n.signalled |= membox_need_event(m.event, m.tail, m.old);
		n.producer = 0;
		explore(n);
		moved = true;
	}
	for (batch = 1; m.producer == 0 && batch <= m.total - (m.tail - m.base); batch++) {
		n = m;
		n.old = m.tail;
		n.tail += batch;
		n.producer = 1;
		explore(n);
		moved = true;
	}
	n = m;
	if (m.consumer == 0) {
		n.head = m.tail;
		n.consumer = 1;
	} else if (m.consumer == 1) {
		n.event = m.head;
		n.consumer = 2;
	} else if (m.consumer == 2) {
		n.consumer = m.tail == m.head ? 3 : 0;
	} else if (m.signalled) {
		n.signalled = false;
		n.consumer = 0;
	} else {
		/* asleep: the end if the producer has nothing more to do */
		if (!moved) {
			ends++;
			lost_wakeups += m.head != m.tail;
		}
		return;
	}
	explore(n);
}

static void nobody_sleeps_beside_entries(void **state)
{
	unsigned int b;

	(void)state;
	for (b = 0; b < BASES; b++) {
		struct sleep_model m = { .base = (uint32_t)bases[b] + 14, .total = 4 };

		m.tail = m.head = m.event = m.base;
		explore(m);
	}
	assert_true(ends > 100);
	assert_int_equal(lost_wakeups, 0);
}

static void check_whole(uint64_t bits)
{
	double d;
	bool whole;

	memcpy(&d, &bits, sizeof(d));
	whole = isfinite(d) && fabs(d) <= 9007199254740992.0 && d == trunc(d);
	if (!!membox_scalar_is_whole(bits) != whole)
		fail_msg("%a is %swhole", d, whole ? "" : "not ");
}

static void whole_scalars_are_whole_doubles(void **state)
{
	uint64_t exponent, sign, n, seed = 1;
	unsigned int bit;

	(void)state;
	for (exponent = 0; exponent < 2048; exponent++) {
		for (sign = 0; sign < 2; sign++) {
			uint64_t high = sign << 63 | exponent << 52;

			check_whole(high);
			check_whole(high | 0xfffffffffffffULL);
			for (bit = 0; bit < 52; bit++) {
				check_whole(high | 1ULL << bit);
				check_whole(high | (0xfffffffffffffULL & ~0ULL << bit));
				check_whole(high | 0xfffffffffffffULL >> bit);
			}
		}
	}
	for (n = 0; n < 200000; n++) {
		double d;
		uint64_t bits;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		check_whole(seed);
		d = (double)(int64_t)seed / (double)(1ULL << (n % 40));
		memcpy(&bits, &d, sizeof(bits));
		check_whole(bits);
	}
}

struct status_row {
	const char *name;
	unsigned int value;
	const char *text;
};

static const struct status_row rows[] = {
#define ROW(name, value, text) { #name, value, text },
	MEMBOX_STATUSES(ROW)
#undef ROW
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void statuses_are_told_apart(void **state)
{
	unsigned int i, k;

	(void)state;
	for (i = 0; i < ROWS; i++) {
		assert_in_range(strlen(rows[i].text), 4, 60);
		assert_null(strchr(rows[i].text, '\n'));
		if (i)
			assert_true(rows[i].value > rows[i - 1].value);
		assert_true(rows[i].value < 0x8000); /* fits a completion, and an int of an ioctl */
		for (k = 0; k < i; k++) {
			assert_string_not_equal(rows[i].name, rows[k].name);
			assert_string_not_equal(rows[i].text, rows[k].text);
		}
	}
}

/* What callers tell apart by errno alone, and no errno that means something else to them. */
static void errnos_keep_their_meaning(void **state)
{
	static const struct {
		unsigned int status;
		int error;
	} known[] = {
		{ MEMBOX_ST_OK, 0 },
		{ MEMBOX_ST_BAD_OPCODE, EINVAL },
		{ MEMBOX_ST_UNSUPPORTED, EOPNOTSUPP },
		{ MEMBOX_ST_RESERVED, EINVAL },
		{ MEMBOX_ST_TOO_LONG, EMSGSIZE },
		{ MEMBOX_ST_OFFSET_OVERFLOW, EOVERFLOW },
		{ MEMBOX_ST_HOST_FAULT, EFAULT },
		{ MEMBOX_ST_BAD_HANDLE, EBADF },
		{ MEMBOX_ST_DESTROYED, ESTALE },
		{ MEMBOX_ST_DENIED, EACCES },
		{ MEMBOX_ST_OUT_OF_RANGE, ERANGE },
		{ MEMBOX_ST_NOT_FOUND, ENOENT },
		{ MEMBOX_ST_EXISTS, EEXIST },
		{ MEMBOX_ST_KEY_REFUSED, EKEYREJECTED },
		{ MEMBOX_ST_NO_SPACE, ENOSPC },
		{ MEMBOX_ST_QUOTA, EDQUOT },
		{ MEMBOX_ST_BUSY, EBUSY },
		{ MEMBOX_ST_AGAIN, EAGAIN },
		{ MEMBOX_ST_TIMED_OUT, ETIMEDOUT },
		{ MEMBOX_ST_ABORTED, ECANCELED },
		{ MEMBOX_ST_OWNER_DEAD, EOWNERDEAD },
		{ MEMBOX_ST_RANK_DEAD, EOWNERDEAD },
		{ MEMBOX_ST_GONE, ENODEV },
		{ MEMBOX_ST_NO_MEMORY, ENOMEM },
		{ 9999, EINVAL },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(membox_status_errno(known[i].status), known[i].error);
	for (i = 1; i < ROWS; i++) {
		int error = membox_status_errno(rows[i].value);

		assert_true(error > 0);
		assert_int_not_equal(error, EINTR);
		/* "try again" and "busy" are said by one status each */
		assert_int_equal(error == EAGAIN, rows[i].value == MEMBOX_ST_AGAIN);
		assert_int_equal(error == EBUSY, rows[i].value == MEMBOX_ST_BUSY);
		assert_int_equal(error == ETIMEDOUT, rows[i].value == MEMBOX_ST_TIMED_OUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_consumer_sees_what_was_posted),
		cmocka_unit_test(slots_and_phases_go_round),
		cmocka_unit_test(a_signal_is_due_when_the_event_was_passed),
		cmocka_unit_test(nobody_sleeps_beside_entries),
		cmocka_unit_test(whole_scalars_are_whole_doubles),
		cmocka_unit_test(statuses_are_told_apart),
		cmocka_unit_test(errnos_keep_their_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
