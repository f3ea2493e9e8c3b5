/* SPDX-License-Identifier: MIT */
/*
 * The outcome of a collective (engine/coll.c): one word, changed by compare-and-swap only.
 * A rank counts itself in when it has given all that others need; a count of all ranks is
 * COMMITTED. A rank that cannot go on, because another has died or is late, writes a status
 * and whom it names. Neither changes any more. Ranks may die at any step.
 *
 * Properties: all who live end, and say the same; a commit has been counted by every rank;
 * an end that is not a commit names a rank that died, or was late.
 *
 * Broken on purpose: -DPLAIN_STORE (a status is stored, not swapped), -DDECIDES_LATE (over
 * a commit), -DCOUNTS_EARLY (a rank counts itself in before it has given what others need).
 */
#define RANKS 3
#define NOBODY 7

byte count = 0;		/* the word: ranks counted in, */
byte blamed = NOBODY;	/* ... or who is named */
bool gave[RANKS];	/* the rank's share is where others take it */
bool dead[RANKS];
bool late[RANKS];	/* its time was over for somebody */
bool ended[RANKS];
byte says[RANKS];	/* NOBODY: committed */

#define COMMITTED (count == RANKS)
#define DECIDED (COMMITTED || blamed != NOBODY)

/* Compare-and-swap until it is done or needs not be done. */
inline count_me()
{
	atomic {
		if
		:: blamed == NOBODY -> count = count + 1
		:: else -> skip
		fi
	}
}

inline decide(who)
{
#ifdef PLAIN_STORE
	if
	:: !DECIDED -> skip
	:: else -> goto over
	fi;
	blamed = who;
over:	skip
#else
	atomic {
		if
#ifdef DECIDES_LATE
		:: blamed == NOBODY -> blamed = who
#else
		:: !DECIDED -> blamed = who
#endif
		:: else -> skip
		fi
	}
#endif
}

proctype rank(byte me)
{
	byte other;

#ifdef COUNTS_EARLY
	count_me();
	gave[me] = true;
#else
	if
	:: gave[me] = true
	:: dead[me] = true; goto gone
	fi;
	count_me();
#endif
	/* waits until it is decided, or sees somebody die, or its time is over */
	do
	:: DECIDED -> break
	:: dead[me] = true; goto gone
	:: select(other : 0 .. RANKS - 1);
		if
		:: other != me && dead[other] -> decide(other)
		:: other != me && !gave[other] && !dead[other] -> late[other] = true; decide(other)
		:: else -> skip
		fi
	od;
	atomic {
		says[me] = (blamed == NOBODY -> NOBODY : blamed);
#ifdef DECIDES_LATE
		says[me] = (COMMITTED && blamed == NOBODY -> NOBODY : blamed);
#endif
		ended[me] = true
	}
	/* what it takes is there, if it was committed */
	assert(says[me] != NOBODY || (gave[0] && gave[1] && gave[2]));
	assert(says[me] == NOBODY || dead[says[me]] || late[says[me]]);
gone:
	skip
}

init {
	atomic {
		run rank(0);
		run rank(1);
		run rank(2)
	}
	_nr_pr == 1;
	/* all who live have ended, and say the same */
	byte a, b;
	for (a : 0 .. RANKS - 1) {
		assert(ended[a] || dead[a]);
		for (b : 0 .. RANKS - 1) {
			assert(!ended[a] || !ended[b] || says[a] == says[b])
		}
	}
}
