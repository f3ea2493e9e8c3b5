/* SPDX-License-Identifier: MIT */
/*
 * The hand-shake of a queue (uapi/membox_hw.h, struct membox_qctl): a producer publishes an
 * index and signals only if it passed the consumer's event index; a consumer stores that,
 * looks once more, and sleeps. So it is in all four places: descriptors and the doorbell
 * (driver/ring.c, userlib/core/rings.c and qemu-device/queue.c), completions and the vector.
 *
 * Each side's store waits in a store buffer until it is drained, by chance or by a full
 * barrier: that is what x86 may do, and what the barriers are for.
 *
 * Property: no consumer sleeps for ever while something is published: that would be an
 * end in which it has not taken all, which spin reports.
 *
 * Broken on purpose: -DNO_PRODUCER_BARRIER, -DNO_CONSUMER_BARRIER, -DNO_SECOND_LOOK.
 */
#define ITEMS 4

byte tail = 0;		/* what memory holds */
byte event = 0;
byte tail_stored = 0;	/* what the store buffers hold */
byte event_stored = 0;
bool tail_waits = false;
bool event_waits = false;
chan signal = [1] of { bit };	/* a doorbell or a vector: more of them are as one */

/* membox_need_event(), on bytes */
#define NEED_EVENT(event, now, old) \
	((((now) - (event) - 1) & 255) < (((now) - (old)) & 255))

active proctype store_buffers()
{
end:
	do
	:: atomic { tail_waits -> tail = tail_stored; tail_waits = false }
	:: atomic { event_waits -> event = event_stored; event_waits = false }
	od
}

active proctype producer()
{
	byte published = 0, old, seen;

	do
	:: published < ITEMS ->
		old = published;
		/* one or two at a time */
		if
		:: published = published + 1
		:: published + 2 <= ITEMS -> published = published + 2
		fi;
		atomic { !tail_waits -> tail_stored = published; tail_waits = true };
#ifndef NO_PRODUCER_BARRIER
		!tail_waits;
#endif
		seen = event;
		if
		:: NEED_EVENT(seen, published, old) ->
			if
			:: nfull(signal) -> signal!1
			:: full(signal) -> skip
			fi
		:: else -> skip
		fi
	:: published == ITEMS -> break
	od
}

active proctype consumer()
{
	byte taken = 0, seen;

	do
	:: taken == ITEMS -> break
	:: taken < ITEMS ->
		seen = tail;
		if
		:: seen != taken -> taken = seen
		:: seen == taken ->
			atomic { !event_waits -> event_stored = taken; event_waits = true };
#ifndef NO_CONSUMER_BARRIER
			!event_waits;
#endif
#ifndef NO_SECOND_LOOK
			seen = tail;
#endif
			if
			:: seen != taken -> skip
			:: seen == taken -> signal?_ /* sleeps */
			fi
		fi
	od
}
