/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A lease between a client that may be paused or cut off and a donor that wants its slabs back. The client's kernel renews it by a WRITE to
 * the lease word; the donor looks at the word now and then. Two clocks that drift: whenever true time goes on by one, each clock goes
 * on by one, now and then by none or by two, and is never further off than DRIFT in LEASE. The client counts from when it posted
 * the WRITE, the donor from the look that first saw it; the client stops MARGIN before its end. Durations only; nobody reads another's
 * clock. A donor that looks late, or has not looked for a while and counts anew, only waits longer.
 *
 * Two things are judged: a client that is not paused never finds its session closed while it still posts; and a late write of one
 * that is paused between its look at the clock and its post finds the queue pair and the key destroyed, never another's memory.
 */
#define LEASE	4		/* ticks of the donor's clock */
#define DRIFT	1		/* that the two clocks may be apart over one lease, either way */
#ifndef MARGIN
#ifdef NO_MARGIN
#define MARGIN	0
#else
#define MARGIN	(2 * DRIFT)	/* both clocks' */
#endif
#endif
#ifndef RENEWALS
#define RENEWALS 2
#endif
#ifndef PAUSES
#define PAUSES	1
#endif

mtype = { FARSWAP_PEER_LIVE, FARSWAP_PEER_LOST };
mtype = { SESSION_OPEN, SESSION_CLOSING };	/* closing: queue pairs and keys are destroyed */
mtype = { LEASE_RUNS, LEASE_OVER };
mtype = { OURS, THEIRS };

mtype peer = FARSWAP_PEER_LIVE, session = SESSION_OPEN, owner = OURS;
byte ours, theirs;		/* ticks of the client's clock since it posted, of the donor's since it saw the word change */
byte fast_ours = DRIFT, slow_ours = DRIFT, fast_theirs = DRIFT, slow_theirs = DRIFT;	/* that are still possible in this lease */
byte word, seen;		/* the lease word, and what the donor saw last */
bool flying, landed;		/* a renewal is on its way; has reached the word */
byte flying_for;		/* ticks of the client's clock */
bool looked, paused, late;	/* the client has looked at its clock; was paused since; its WRITE is under way */
byte unseen;			/* ticks of the donor's clock since its last look */
byte renewals = RENEWALS, pauses = PAUSES;

#define BROKEN(rule)	printf("broken: "); printf(rule); printf("\n"); assert(false)
#define USABLE		(ours + MARGIN < LEASE)

/* one tick of true time, as a clock has it */
inline tick(fast, slow)
{
	if
	:: true -> step = 1
	:: fast > 0 -> fast--; step = 2
	:: slow > 0 -> slow--; step = 0
	fi
}

/* time goes on unless the client, awake, is just between its look and its post: that takes less than a tick */
proctype Time()
{
	byte step;
end:	do
	:: atomic { theirs <= LEASE + 1 && !(looked && !paused) ->
		tick(fast_theirs, slow_theirs); theirs = theirs + step;
#ifdef COUNTS_FROM_THE_LOOK_BEFORE
		unseen = unseen + step;
#endif
		tick(fast_ours, slow_ours); ours = ours + step;
		if :: flying -> flying_for = flying_for + step :: else fi;
		step = 0 }
	od
}

proctype Client()
{
end:	do
	:: atomic { renewals > 0 && !flying && !paused && peer == FARSWAP_PEER_LIVE ->
		renewals--; flying = true; landed = false; flying_for = 0 }
	/* it completed, late or not; the lease counts from when it was posted */
	:: atomic { flying && landed && !paused ->
#ifdef COUNTS_FROM_ANSWER
		ours = 0;
#else
		ours = flying_for;
#endif
		flying = false; landed = false; flying_for = 0 }
	:: atomic { !USABLE && !paused && peer == FARSWAP_PEER_LIVE -> peer = FARSWAP_PEER_LOST }
	:: atomic { !looked && !late && peer == FARSWAP_PEER_LIVE && USABLE -> looked = true }
	:: atomic { looked && !paused && pauses > 0 -> pauses--; paused = true }
	:: atomic { looked ->
		if
		:: session == SESSION_CLOSING && !paused -> BROKEN("a client that was not paused posted after its lease's end")
		:: else
		fi;
		looked = false; paused = false; late = true }
	od
}

proctype Donor()
{
	mtype verdict;
end:	do
	/* what is on the wire may come at any time, or never; a queue pair that is destroyed takes nothing */
	:: atomic { flying && !landed && session == SESSION_OPEN -> landed = true; word++ }
	/* the look */
	:: atomic { session == SESSION_OPEN && (word != seen || theirs >= LEASE) && owner == OURS ->
		if
		:: word != seen ->
			seen = word;
#ifdef COUNTS_FROM_THE_LOOK_BEFORE
			theirs = unseen;
#else
			theirs = 0;
#endif
			fast_ours = DRIFT; slow_ours = DRIFT; fast_theirs = DRIFT; slow_theirs = DRIFT
		:: else
		fi;
		unseen = 0;
		verdict = (theirs >= LEASE -> LEASE_OVER : LEASE_RUNS);
		if
		:: verdict == LEASE_OVER ->
#ifndef FENCED_BY_TIMER
			session = SESSION_CLOSING;
#endif
			owner = THEIRS
		:: else
		fi }
	:: atomic { late ->
		late = false;
		if
		:: session == SESSION_OPEN && owner == THEIRS -> BROKEN("a late write reached memory that is another's")
		:: else
		fi }
	od
}

init { atomic { run Time(); run Client(); run Donor() } }
