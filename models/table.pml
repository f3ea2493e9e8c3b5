/* SPDX-License-Identifier: MIT */
/*
 * The parameter table when processes die (engine/param.c, engine/rebuild.c). The truth of an
 * entry is its fixed part and one word that says what it is; which extents are taken is a
 * cache of that. An entry is made by writing its fixed part and then the word, and freed by
 * saying FREEING, zeroing the bytes with no lock held, then FREE. Who takes the lock of a
 * dead holder makes the cache anew; what a dead one was zeroing is zeroed by the next.
 *
 * Properties: no extent belongs to two entries; whoever gets an extent finds it zero; an
 * entry that is there has its own fixed part.
 *
 * Broken on purpose: -DWORD_FIRST (LIVE before the fixed part), -DFREE_FIRST (FREE before the
 * bytes are zero), -DNO_REBUILD (the cache of a dead holder is believed).
 */
#define ENTRIES 2
#define EXTENTS 2
#define NONE 9

mtype = { FREE, LIVE, FREEING };
mtype word[ENTRIES] = FREE;
byte extent[ENTRIES] = NONE;	/* the fixed part */
byte zeroer[ENTRIES] = NONE;
bool taken[EXTENTS];		/* the cache */
bool dirty[EXTENTS];
byte holder = NONE;		/* of the table's lock */
bool dead[2];
byte died = 0;

/* One of the two may die, once, before any of its steps. */
#define STEP(what) \
	if \
	:: atomic { died == 0 && me == 0 -> dead[me] = true; died = 1; goto gone } \
	:: what \
	fi

inline rebuild()
{
	for (x : 0 .. EXTENTS - 1) {
		taken[x] = false
	}
	for (x : 0 .. ENTRIES - 1) {
		if
		:: word[x] != FREE -> assert(extent[x] != NONE); taken[extent[x]] = true
		:: else -> skip
		fi
	}
}

inline lock()
{
	if
	:: atomic { holder == NONE -> holder = me }
	:: atomic { holder != NONE && dead[holder] -> holder = me };
#ifndef NO_REBUILD
		rebuild()
#endif
	fi
}

inline unlock()
{
	assert(word[0] == FREE || word[1] == FREE || extent[0] != extent[1]);
	holder = NONE
}

/* From FREEING to FREE; the lock is held before and after. */
inline finish_freeing(i)
{
	zeroer[i] = me;
	unlock();
#ifdef FREE_FIRST
	lock();
	STEP(taken[extent[i]] = false);
	STEP(word[i] = FREE);
	unlock();
	STEP(dirty[extent[i]] = false);
	lock()
#else
	STEP(dirty[extent[i]] = false);
	lock();
	x = extent[i];
	STEP(word[i] = FREE);
	STEP(taken[x] = false)
#endif
}

proctype process(byte me)
{
	byte rounds = 0, x, i, e;

	do
	:: rounds == 3 -> break
	:: rounds < 3 ->
		lock();
		select(i : 0 .. ENTRIES - 1);
		select(e : 0 .. EXTENTS - 1);
		if
		:: word[i] == FREE && !taken[e] ->
			assert(!dirty[e]);
#ifdef WORD_FIRST
			STEP(word[i] = LIVE);
			STEP(extent[i] = e);
#else
			STEP(extent[i] = e);
			STEP(word[i] = LIVE);
#endif
			STEP(taken[e] = true);
			dirty[e] = true /* its owner writes */
		:: word[i] == LIVE ->
			STEP(word[i] = FREEING);
			finish_freeing(i)
		:: word[i] == FREEING && (zeroer[i] == NONE || dead[zeroer[i]]) ->
			finish_freeing(i)
		:: else -> skip
		fi;
		unlock();
		rounds++
	od;
gone:
	skip
}

init {
	atomic {
		run process(0);
		run process(1)
	}
}
