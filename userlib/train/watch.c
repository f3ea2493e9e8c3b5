// SPDX-License-Identifier: MIT
/*
 * watch.c - how ranks learn of each other's trouble. Whoever fails first claims
 * the FAILED word, writes its text behind it and only then sets the word; all
 * others read it between two slices of waiting. Seats of the group tell of
 * members that died or left without a word.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ps.h"

#define SLICE (MBT_SECOND / 10) /* how long bad news may take */
#define CLAIMED (-1LL)
#define ERRNO_SHIFT 32
#define RANK_MASK 0xffffffffLL
#define TEXT_WORDS (MBT_TEXT / sizeof(int64_t))

/* The rank and errno in a FAILED word. */
static int64_t failed_word(int rank, int error)
{
	return (int64_t)-error << ERRNO_SHIFT | (rank + 1);
}

int mbt_tell(struct membox_train *t, int rc)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t words[TEXT_WORDS], old;

	if (rc >= 0 || ps->told || !ps->ctl)
		return rc;
	ps->told = true;
	/* What fails in here is not told: the first error stands. */
	if (membox_compare_swap(ps->ctl, MBT_CTL_FAILED, 0, CLAIMED, &old) || old)
		return rc;
	memcpy(words, t->text, MBT_TEXT);
	membox_write(ps->ctl, MBT_CTL_TEXT, TEXT_WORDS, words);
	membox_swap(ps->ctl, MBT_CTL_FAILED, failed_word(t->rank, t->error), NULL);
	return rc;
}

/* Did another rank fail? Then its error becomes ours. */
static int hear(struct membox_train *t)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t words[TEXT_WORDS], word;
	char text[MBT_TEXT];
	int rc;

	if (!ps->ctl || ps->told)
		return 0;
	rc = membox_fetch_add(ps->ctl, MBT_CTL_FAILED, 0, &word);
	if (rc)
		return mbt_fail_core(t, rc, "looking after the others");
	if (word == 0 || word == CLAIMED)
		return 0;
	ps->told = true;
	rc = membox_read(ps->ctl, MBT_CTL_TEXT, TEXT_WORDS, words, NULL);
	if (rc)
		return mbt_fail_core(t, rc, "reading another rank's error");
	memcpy(text, words, MBT_TEXT);
	text[MBT_TEXT - 1] = 0;
	if (!*text)
		snprintf(text, sizeof(text), "rank %d failed", (int)(word & RANK_MASK) - 1);
	return mbt_fail(t, -(int)(word >> ERRNO_SHIFT), "%s", text);
}

int mbt_watch(struct membox_train *t)
{
	struct membox_group_info info = { .size = sizeof(info) };
	struct mbt_ps *ps = mbt_ps_of(t);
	int rc, r;

	if (hear(t))
		return t->error;
	ps->watched = mbt_now();
	rc = membox_group_info(t->group, &info);
	if (rc)
		return mbt_fail_core(t, rc, "looking after the others");
	for (r = 0; r < t->ranks; r++) {
		uint8_t before = ps->seat[r], now = info.state[r];

		if (r == t->rank || now == before)
			continue;
		ps->seat[r] = now;
		rc = t->method->member(t, now == MEMBOX_SEAT_LIVE ? MBT_JOINED :
				       now == MEMBOX_SEAT_DEAD ? MBT_DEAD : MBT_LEFT, r);
		if (rc)
			return rc;
	}
	return 0;
}

/* Has that rank said that it is done? */
static bool is_done(struct membox_train *t, int rank)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t pushed = 0;

	return ps->ctl &&
	       !membox_fetch_add(ps->ctl, mbt_rank_word(rank, MBT_RANK_PUSHED), 0, &pushed) &&
	       (pushed & MBT_PUSHED_DONE);
}

/* The seats of a parameter server are filled at the start, and stay until all are done. */
int mbt_ps_member(struct membox_train *t, enum mbt_member what, int rank)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	const char *who = rank == MBT_MASTER ? " (the master)" : "";
	uint64_t step = t->rank == MBT_MASTER ? ps->worker[rank].steps : t->stats.steps;

	if (what == MBT_JOINED)
		return 0;
	if (what == MBT_LATE)
		return mbt_fail(t, -ETIMEDOUT, "rank %d%s is late: nothing of step %" PRIu64 " within %.3g s",
				rank, who, step,
				(double)(t->phase == MBT_OPEN ? ps->start_timeout : ps->timeout) /
				(double)MBT_SECOND);
	if (is_done(t, rank) || hear(t))
		return t->error;
	if (what == MBT_DEAD)
		return mbt_fail(t, -EOWNERDEAD, "rank %d%s died in step %" PRIu64, rank, who,
				step);
	return mbt_fail(t, -ECONNABORTED, "rank %d%s left in step %" PRIu64 " without being done",
			rank, who, step);
}

/* Another rank's trouble explains an error of the core better than the error does. */
int mbt_core(struct membox_train *t, int rc, const char *doing)
{
	char text[MBT_TEXT];

	if (rc >= 0)
		return 0;
	strncpy(text, membox_error(), sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	if (t->group && mbt_watch(t))
		return t->error;
	return mbt_fail(t, rc, "rank %d, %s: %s", t->rank, doing, text);
}

/* An operation that ended badly; waits that timed out are for the caller to judge. */
static int judge(struct membox_train *t, const struct membox_done *done)
{
	int rc = 0;

	if (done->error)
		rc = mbt_watch(t);
	if (done->error && done->error != -ETIMEDOUT && !rc)
		rc = mbt_fail(t, done->error, "rank %d, waiting: %s", t->rank,
			      membox_status_text((int)done->status));
	return rc;
}

int mbt_reap(struct membox_train *t, int64_t deadline, struct membox_done *done,
	     unsigned int max)
{
	struct mbt_ps *ps = mbt_ps_of(t);
	int64_t begun = mbt_now(), now;
	int n, i, rc = 0;

	do {
		n = membox_reap(ps->chan, done, max, 1, SLICE);
		now = mbt_now();
		if (n < 0 && n != -ETIMEDOUT)
			rc = mbt_core(t, n, "waiting");
		else if (now - ps->watched > SLICE)
			rc = mbt_watch(t);
	} while (!rc && n <= 0 && now < deadline);
	for (i = 0; !rc && i < n; i++)
		rc = judge(t, &done[i]);
	t->stats.wait_ns += (uint64_t)(now - begun);
	if (rc)
		return rc;
	return n > 0 && !done[0].error ? n : 0;
}
