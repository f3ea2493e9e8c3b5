/* SPDX-License-Identifier: MIT */
/*
 * The two counters of a parameter, writers begun and writers finished, when writers die
 * (engine/version.c, engine/journal.c). A writer's record says BEGIN before `begun` is bumped
 * and END before `finished` is. Who recovers holds the line's `repair`, and looks until the
 * counters stand still and no record of the living is in BEGIN or END: then each ACTIVE record
 * of the living accounts for one of begun - finished, and what is left over is owed by the dead.
 *
 * Property: when all has ended, begun == finished; and finished never is more than begun.
 *
 * Writers that come during a repair wait for it, or the search might not end; that serves only
 * to end it, and is not modelled.
 *
 * Broken on purpose: -DNO_BEGIN (the record does not say BEGIN before `begun` is bumped),
 * -DNO_STILLNESS (who recovers looks once, at whatever moment).
 */
#define WRITERS 2

mtype = { IDLE, BEGIN, ACTIVE, END };
mtype record[WRITERS] = IDLE;
bool dead[WRITERS];
byte begun = 0, finished = 0;
byte died = 0;

/* A writer may die before each of its steps. */
#define STEP(what) \
	if \
	:: atomic { died == 0 && me == 0 -> dead[me] = true; died = 1; goto gone } \
	:: what \
	fi

proctype writer(byte me)
{
	byte rounds = 0;

	do
	:: rounds < 2 ->
#ifndef NO_BEGIN
		STEP(record[me] = BEGIN);
#endif
		STEP(begun = begun + 1);
		STEP(record[me] = ACTIVE);
		STEP(record[me] = END);
		STEP(finished = finished + 1);
		assert(finished <= begun);
		STEP(record[me] = IDLE);
		rounds++
	:: rounds == 2 -> break
	od;
gone:
	skip
}

/* Adds what the dead owe, as often as it likes. */
proctype recovery()
{
	byte b, f, writing, owed, times = 0;
	bool ambiguous;

end:	died == 1;
	do
	:: times < 2 ->
		f = finished;
		b = begun;
		writing = 0;
		ambiguous = false;
		if
		:: record[1] == ACTIVE -> writing = 1
		:: record[1] == BEGIN || record[1] == END -> ambiguous = true
		:: record[1] == IDLE -> skip
		fi;
#ifndef NO_STILLNESS
		if
		:: ambiguous || b != begun || f != finished -> goto again
		:: else -> skip
		fi;
#endif
		owed = b - f - writing;
		assert(owed <= 1);
		finished = finished + owed;
		assert(finished <= begun);
		times++;
again:		skip
	:: times == 2 -> break
	od
}

init {
	atomic {
		run writer(0);
		run writer(1);
		run recovery()
	}
	timeout;
	assert(begun == finished || died == 0)
}
