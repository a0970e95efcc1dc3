/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A lease between a client that may be paused or cut off and a donor that wants its slab back. Two clocks that drift: whenever true time goes
 * on by one, each clock goes on by one, now and then by none or by two, and is never further off than DRIFT in LEASE. The client
 * counts from when it asked, the donor from when it answered; the client stops MARGIN before its end. Durations only; nobody reads another's clock.
 *
 * Two things are judged: a client that is not paused never finds its slab revoked while it still posts; and a late write of one
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

mtype = { OURS, THEIRS };

byte ours, theirs;		/* ticks of the client's clock since it asked, of the donor's since it answered */
byte fast_ours = DRIFT, slow_ours = DRIFT, fast_theirs = DRIFT, slow_theirs = DRIFT;	/* that are still possible in this lease */
bool asked;			/* RENEW is on its way, for asked_for ticks of the client's clock */
byte asked_for;
bool answered; byte answer;
bool looked, paused, late;	/* the client has looked at its clock; was paused since; its WRITE is under way */
bool revoked;			/* queue pair and key destroyed */
mtype owner = OURS;
byte renewals = RENEWALS, pauses = PAUSES;

#define BROKEN(rule)	printf("broken: "); printf(rule); printf("\n"); assert(false)
#define MAY_POST	(ours + MARGIN < LEASE)

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
		tick(fast_ours, slow_ours); ours = ours + step;
		if :: asked -> asked_for = asked_for + step :: else fi;
		if :: answered -> answer = answer + step :: else fi;
		step = 0 }
	od
}

proctype Client()
{
end:	do
	:: atomic { renewals > 0 && !asked && !answered && !paused -> renewals--; asked = true; asked_for = 0 }
	/* the answer may be late or lost; the lease counts from when it was asked for */
	:: atomic { answered && !paused ->
		answered = false;
		if
#ifdef COUNTS_FROM_ANSWER
		:: true -> ours = 0
#else
		:: true -> ours = answer
#endif
		:: true
		fi;
		answer = 0 }
	:: atomic { !looked && !late && MAY_POST -> looked = true }
	:: atomic { looked && !paused && pauses > 0 -> pauses--; paused = true }
	:: atomic { looked ->
		if
		:: revoked && !paused -> BROKEN("a client that was not paused posted after its lease's end")
		:: else
		fi;
		looked = false; paused = false; late = true }
	od
}

proctype Donor()
{
end:	do
	:: atomic { asked && !revoked ->
		theirs = 0; fast_ours = DRIFT; slow_ours = DRIFT; fast_theirs = DRIFT; slow_theirs = DRIFT;
		answered = true; answer = asked_for; asked = false; asked_for = 0 }
	:: atomic { asked -> asked = false; asked_for = 0 }
	:: atomic { theirs >= LEASE && owner == OURS ->
#ifndef FENCED_BY_TIMER
		revoked = true;
#endif
		owner = THEIRS }
	:: atomic { late ->
		late = false;
		if
		:: !revoked && owner == THEIRS -> BROKEN("a late write reached memory that is another's")
		:: else
		fi }
	od
}

init { atomic { run Time(); run Client(); run Donor() } }
