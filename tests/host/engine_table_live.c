// SPDX-License-Identifier: MIT
/*
 * engine_table_live.c - processes that die, are stopped, or leave children
 * behind: what was theirs goes, everybody else goes on.
 */
#include <sched.h>
#include <sys/syscall.h>

#include "engine_table.h"

#define SECOND 1000000000ULL

/* Holds some of everything and says so; lives until it is told to end. */
static void hold_everything(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);
	struct membox_group_args g = group_args("g", 3, 1);
	struct membox_param_args a;
	uint32_t h, waiter;
	struct mbe_operand op;
	struct mbe_extent x;

	(void)arg;
	MUST(ADM(e, 1, GROUP_JOIN, &g) == MEMBOX_ST_OK);
	MUST(param_get(e, 1, "shared", &h) == MEMBOX_ST_OK);
	MUST(param_lock(e, 1, h, NULL) == MEMBOX_ST_OK);
	MUST(param_subscribe(e, 1, h, 1) == MEMBOX_ST_OK);
	MUST(mbe_extent_get(e, 1, h, &x) == MEMBOX_ST_OK);
	MUST(mbe_operand_get(e, 1, h, &op) == MEMBOX_ST_OK);
	MUST(mbe_watch_add(e, 1, &op, &waiter) == MEMBOX_ST_OK);
	a = param_make(e, "mine", MEMBOX_PARAM_EPHEMERAL, 1000);
	a = param_make(e, "gone", 0, 1000);
	MUST(param_get(e, 2, "gone", &h) == MEMBOX_ST_OK);
	MUST(param_destroy(e, 1, a.handle, NULL) == MEMBOX_ST_OK);
	child_say(p, 'r');
	child_hear(p);
}

static void everything_of_a_killed_process_goes(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_group_args g = group_args("g", 3, 0);
	struct membox_param_args k = param_make(e, "k", MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED, 1);
	struct membox_grant_args mail = {.handle = k.handle, .rank = 1, .key = k.key};
	struct membox_port_stat s = {.port = 1};
	struct membox_param_stat stat;
	struct child child;
	uint32_t h, seen;
	char said;

	(void)state;
	h = param_make(e, "shared", MEMBOX_PARAM_MAPPABLE, 10).handle;
	assert_int_equal(ADM(e, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	child = child_start(hold_everything, NULL);
	assert_true(child_heard(&child, &said));
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_LIVE);
	assert_int_equal(group_info(e, 1, g.group).joined, 2);
	stat = param_stat(e, 1, h);
	assert_int_equal(stat.refs, 3);
	assert_int_equal(stat.waiters, 1);
	assert_int_equal(stat.subscribers, 1);
	assert_int_equal(param_lock(e, 1, h, NULL), MEMBOX_ST_BUSY);
	assert_int_equal(ADM(e, 1, PORT_STAT, &s), MEMBOX_ST_OK);
	assert_int_equal(s.pid, (uint32_t)child.pid);
	assert_int_equal(s.contexts, 3);
	assert_int_equal(box_info(e).params, 4);
	mail.group = g.group;
	assert_int_equal(ADM(e, 1, PARAM_GRANT, &mail), MEMBOX_ST_OK);
	assert_int_equal(box_findings(e), 0);

	child_kill(&child);
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_DEAD);
	assert_int_equal(param_lock(e, 1, h, NULL), MEMBOX_ST_OK); /* needs no recovery */
	seen = mbe_wake_seen(e);
	assert_true(mbe_recover_port(e, 1));
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_FREE);
	assert_int_not_equal(mbe_wake_seen(e), seen); /* members are told */
	g = group_info(e, 1, g.group);
	assert_int_equal(g.joined, 1);
	assert_int_equal(g.dead, 1);
	assert_int_equal(g.epoch, 2);
	assert_int_equal(g.state[1], MEMBOX_SEAT_DEAD);
	stat = param_stat(e, 1, h);
	assert_int_equal(stat.refs, 1);
	assert_int_equal(stat.waiters, 0);
	assert_int_equal(stat.subscribers, 0);
	assert_int_equal(box_info(e).params, 2);
	assert_int_equal(box_findings(e), 0); /* which looks for mail and watches, too */
	mbe_detach(e);
}

static void the_dead_are_found_by_whoever_looks(void **state)
{
	struct mbe *e = port_of(1);
	struct membox_group_args g = group_args("g", 3, 0);
	struct child child;
	uint64_t until;
	char said;

	(void)state;
	param_make(e, "shared", MEMBOX_PARAM_MAPPABLE, 10);
	assert_int_equal(ADM(e, 1, GROUP_JOIN, &g), MEMBOX_ST_OK);
	child = child_start(hold_everything, NULL);
	assert_true(child_heard(&child, &said));
	assert_true(mbe_progress(e) < UINT64_MAX); /* somebody is to be watched over */
	child_kill(&child);
	/* nobody is asked for it: asking about the group, in time, is enough */
	until = mbe_deadline(e, 20 * SECOND);
	while (group_info(e, 1, g.group).dead != 1 && mbe_clock(e) < until)
		usleep(1000);
	assert_int_equal(group_info(e, 1, g.group).dead, 1);
	mbe_detach(e);
	/* and so is attaching */
	e = port_of(1);
	child = child_start(hold_everything, NULL);
	assert_true(child_heard(&child, &said));
	mbe_detach(e);
	child_kill(&child);
	e = port_of(1);
	assert_int_equal(mbe_port_state(e, 0), MEMBOX_PORT_LIVE);
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_FREE);
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
}

/* ---- a table lock that its holder took with him ---- */

static void lock_the_table(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);

	(void)arg;
	MUST(mbe_table_lock(e) == MEMBOX_ST_OK);
	/* half an update: the caches are wrong */
	memset(e->bitmap, 0xff, 64);
	e->hash[3] = 7;
	e->state->granules_used += 5;
	child_say(p, 'r');
	child_hear(p);
	mbe_table_unlock(e);
}

static void a_dead_holders_table_lock_is_taken_and_the_caches_rebuilt(void **state)
{
	struct mbe *e = port_of(1);
	struct child child = child_start(lock_the_table, NULL);
	uint32_t h;
	char said;

	(void)state;
	assert_true(child_heard(&child, &said));
	child_kill(&child);
	h = param_make(e, "w", 0, 100).handle;
	assert_int_equal(box_info(e).params, 1);
	assert_true(box_info(e).free_bytes == mbe_data_bytes(e) - 512);
	assert_true(mbe_recover_port(e, 1));
	assert_int_equal(box_findings(e), 0);
	assert_int_equal(param_destroy(e, 1, h, NULL), MEMBOX_ST_OK);
	assert_true(box_info(e).free_bytes == mbe_data_bytes(e));
	mbe_detach(e);
}

static void a_stopped_holder_stalls_nobody_for_ever(void **state)
{
	struct mbe *e = port_of(1);
	struct child child = child_start(lock_the_table, NULL);
	struct membox_param_args a = param_args("w", MEMBOX_PARAM_CREATE, 10);
	int status;
	char said;

	(void)state;
	assert_true(child_heard(&child, &said));
	assert_int_equal(kill(child.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
	assert_true(mbe_port_stalled(e, 1));
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_OWNER_STALLED);
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_LIVE); /* stopped is not dead */
	assert_false(mbe_port_stalled(e, 0));
	child_kill(&child);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_OK);
	mbe_detach(e);
}

/* ---- lock words ---- */

static void lock_a_stripe(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);
	bool was_dead;

	(void)arg;
	MUST(mbe_lock_word(e, &e->stripes[3].lock, 0, &was_dead) == MEMBOX_ST_OK);
	child_say(p, 'r');
	child_hear(p);
}

static void a_word_of_the_dead_is_told_of_or_taken(void **state)
{
	struct mbe *e = port_of(1);
	struct child child = child_start(lock_a_stripe, NULL);
	__u64 *word = &e->stripes[3].lock, *other = &e->stripes[4].lock;
	uint64_t soon;
	bool was_dead;
	char said;

	(void)state;
	assert_true(child_heard(&child, &said));
	soon = mbe_deadline(e, 20 * MIB);
	assert_int_equal(mbe_lock_word(e, word, soon, &was_dead), MEMBOX_ST_TIMED_OUT);
	assert_int_equal(mbe_lock_word(e, word, soon, NULL), MEMBOX_ST_TIMED_OUT);
	assert_false(mbe_trylock_word(e, word));
	child_kill(&child);
	assert_int_equal(mbe_lock_word(e, word, UINT64_MAX, NULL), MEMBOX_ST_OWNER_DEAD);
	assert_int_equal(mbe_lock_word(e, word, UINT64_MAX, &was_dead), MEMBOX_ST_OK);
	assert_true(was_dead);
	assert_int_equal(mbe_lock_port(*word), 0);
	mbe_unlock_word(e, word);
	assert_int_equal(mbe_lock_word(e, word, UINT64_MAX, &was_dead), MEMBOX_ST_OK);
	assert_false(was_dead);
	mbe_unlock_word(e, word);
	*other = 0x1ff; /* names port 510 */
	assert_int_equal(mbe_lock_word(e, other, UINT64_MAX, &was_dead), MEMBOX_ST_CORRUPT);
	mbe_detach(e);
}

static void recovery_frees_the_dead_ones_stripes(void **state)
{
	struct mbe *e = port_of(1);
	struct child child = child_start(lock_a_stripe, NULL);
	char said;

	(void)state;
	assert_true(child_heard(&child, &said));
	assert_true(mbe_recover_port(e, 1)); /* is alive: nothing to do */
	assert_int_not_equal(e->stripes[3].lock, 0);
	child_kill(&child);
	assert_true(mbe_recover_port(e, 1));
	assert_int_equal(e->stripes[3].lock, 0);
	mbe_detach(e);
}

#define ADDITIONS 20000

static void *add_under_a_word(void *arg)
{
	struct mbe *e = arg;
	uint64_t *sum = (uint64_t *)(void *)(e->map + e->geo.data);
	unsigned int i;

	for (i = 0; i < ADDITIONS; i++) {
		MUST(mbe_lock_word(e, &e->stripes[0].lock, UINT64_MAX, NULL) == MEMBOX_ST_OK);
		__atomic_store_n(sum, __atomic_load_n(sum, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
		mbe_unlock_word(e, &e->stripes[0].lock);
	}
	return NULL;
}

static void add_in_a_child(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);

	(void)p;
	(void)arg;
	add_under_a_word(e);
	mbe_detach(e);
}

static void words_exclude_threads_and_processes(void **state)
{
	struct mbe *e = port_of(1);
	struct child child[2];
	pthread_t thread[2];
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++)
		child[i] = child_start(add_in_a_child, NULL);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, add_under_a_word, e), 0);
	for (i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		child_ok(&child[i]);
	}
	assert_int_equal(*(uint64_t *)(void *)(e->map + e->geo.data), 4 * ADDITIONS);
	assert_int_equal(e->stripes[0].lock, 0);
	memset(e->map + e->geo.data, 0, 8);
	mbe_detach(e);
}

/* ---- children that outlive their parent ---- */

/* Attached, has a child of its own, which sleeps; says its pid through *arg. */
static void leave_a_child(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid) {
		struct membox_info i = {.size = sizeof(i)};

		MUST(mbe_admin(e, 0, MEMBOX_ADM_INFO, &i, sizeof(i)) == MEMBOX_ST_GONE);
		mbe_forget(e);
		child_say(p, 'f');
		for (;;)
			pause();
	}
	*(pid_t *)arg = pid;
	child_say(p, 'p');
	child_hear(p);
}

/* The same by the bare system call: no handler of the library runs. */
static void leave_a_raw_child(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	(void)e;
	MUST(pid >= 0);
	if (!pid) {
		syscall(SYS_write, p->out, "f", 1);
		for (;;)
			syscall(SYS_pause);
	}
	*(pid_t *)arg = pid;
	child_say(p, 'p');
	child_hear(p);
}

static void killed_owner_with_a_living_child(void (*body)(const struct parent *, void *))
{
	pid_t *orphan = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct mbe *e = port_of(1);
	struct child child;
	uint32_t h;
	char said;

	param_make(e, "w", 0, 10);
	child = child_start(body, orphan);
	assert_true(child_heard(&child, &said)); /* from the child and from its child */
	assert_true(child_heard(&child, &said));
	assert_true(*orphan > 0);
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_LIVE);
	child_kill(&child);
	assert_int_equal(kill(*orphan, 0), 0); /* lives */
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_DEAD);
	assert_true(mbe_recover_port(e, 1));
	assert_int_equal(mbe_port_state(e, 1), MEMBOX_PORT_FREE);
	assert_int_equal(param_get(e, 1, "w", &h), MEMBOX_ST_OK);
	assert_int_equal(box_findings(e), 0);
	kill(*orphan, SIGKILL);
	munmap(orphan, 4096);
	mbe_detach(e);
}

static void a_forked_child_does_not_keep_its_parents_port_alive(void **state)
{
	(void)state;
	killed_owner_with_a_living_child(leave_a_child);
}

static void nor_does_one_that_was_made_behind_the_librarys_back(void **state)
{
	(void)state;
	killed_owner_with_a_living_child(leave_a_raw_child);
}

static void forgetting_in_a_child_leaves_the_parent_attached(void **state)
{
	struct mbe *e = port_of(1), *other = port_of(2);
	uint32_t h = param_make(e, "w", 0, 10).handle;
	pid_t pid;
	int status;

	(void)state;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		MUST(operand_status(e, 1, h) == MEMBOX_ST_GONE);
		mbe_detach(e); /* forgets, too */
		mbe_forget(other);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(mbe_port_state(other, 0), MEMBOX_PORT_LIVE);
	assert_int_equal(operand_status(e, 1, h), MEMBOX_ST_OK);
	assert_int_equal(box_findings(e), 0);
	mbe_detach(e);
	mbe_detach(other);
}

static void hold_all_space(const struct parent *p, void *arg)
{
	struct mbe *e = port_of(2);
	uint64_t left;
	unsigned int i;
	char name[8];

	(void)arg;
	for (i = 0; (left = box_info(e).free_bytes) > 0; i++) {
		snprintf(name, sizeof(name), "e%u", i);
		param_make(e, name, MEMBOX_PARAM_EPHEMERAL, (left < MIB ? left : MIB) / 4);
	}
	child_say(p, 'r');
	child_hear(p);
}

static void space_that_only_the_dead_hold_is_not_missed(void **state)
{
	struct mbe *e = port_of(1);
	struct child child = child_start(hold_all_space, NULL);
	struct membox_param_args a = param_args("w", MEMBOX_PARAM_CREATE, 100);
	char said;

	(void)state;
	assert_true(child_heard(&child, &said));
	a.flags |= MEMBOX_PARAM_EXCL | MEMBOX_PARAM_KEYED;
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_NO_SPACE);
	child_kill(&child);
	assert_int_equal(param_try(e, 1, &a), MEMBOX_ST_OK);
	mbe_detach(e);
}

static void the_next_owner_of_a_port_inherits_nothing(void **state)
{
	struct mbe_attach_opts o = {.port = 1};
	struct mbe *e = port_of(1), *next;
	struct child child;
	struct membox_mail m = {0};
	uint32_t h, generation;
	char said;

	(void)state;
	param_make(e, "shared", MEMBOX_PARAM_MAPPABLE, 10);
	child = child_start(hold_everything, NULL);
	assert_true(child_heard(&child, &said));
	generation = (uint32_t)(e->ports[1].word >> 32);
	child_kill(&child);
	next = port_open(&o);
	assert_int_equal(mbe_port(next), 1);
	assert_true((uint32_t)(e->ports[1].word >> 32) > generation);
	assert_int_equal(ADM(next, 1, MAIL_RECV, &m), MEMBOX_ST_AGAIN);
	assert_int_equal(param_get(next, 1, "shared", &h), MEMBOX_ST_OK);
	assert_int_equal(param_destroy(next, 1, h, NULL), MEMBOX_ST_DENIED); /* another principal */
	assert_int_equal(mbe_counter(next, MEMBOX_CTR_OPERATIONS), 0);
	assert_int_equal(box_findings(next), 0);
	mbe_detach(next);
	mbe_detach(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		box_test(everything_of_a_killed_process_goes),
		box_test(the_dead_are_found_by_whoever_looks),
		box_test(a_dead_holders_table_lock_is_taken_and_the_caches_rebuilt),
		box_test(a_stopped_holder_stalls_nobody_for_ever),
		box_test(a_word_of_the_dead_is_told_of_or_taken),
		box_test(recovery_frees_the_dead_ones_stripes),
		box_test(words_exclude_threads_and_processes),
		box_test(a_forked_child_does_not_keep_its_parents_port_alive),
		box_test(nor_does_one_that_was_made_behind_the_librarys_back),
		box_test(forgetting_in_a_child_leaves_the_parent_attached),
		box_test(space_that_only_the_dead_hold_is_not_missed),
		box_test(the_next_owner_of_a_port_inherits_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("engine_table_live", tests, NULL, NULL);
}
