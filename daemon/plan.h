/* SPDX-License-Identifier: GPL-2.0 */
/* What the manager decides about suspect peers and about extents that are not whole. Pure: no I/O, no clock. */
#ifndef FARSWAP_PLAN_H
#define FARSWAP_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farswap_nl.h"
#include "farswap_wire.h"

/* --- a peer whose queue pairs broke --- */

struct plan_suspect {
	bool reached;		/* its node's daemon answers */
	bool forgotten;		/* and has not got the session: started anew, or it says so */
	bool asked;		/* REJOIN is in the air */
	bool joining;		/* REJOIN was answered: tokens and queue pairs are on their way */
	bool last_copy;		/* an extent has no other live copy */
	uint64_t since_ns;
	uint64_t retry_ns;	/* REJOIN not before */
};

enum suspect_step {
	SUSPECT_WAIT,
	SUSPECT_REJOIN,
	SUSPECT_GONE,		/* to be replaced */
};

enum suspect_step plan_suspect(const struct plan_suspect *suspect, uint64_t now_ns, uint64_t replace_after_ns);

/* --- an extent --- */

/* of a member, or of the peer that it names */
enum standing {
	STANDING_LIVE,
	STANDING_LEAVING,	/* live, and its donor wants the slab back */
	STANDING_URGENT,	/* the same, it cannot wait, and all the others are live and known to have all */
	STANDING_SUSPECT,	/* may come back */
	STANDING_MOVED,		/* came back under another number */
	STANDING_LOST,		/* for good */
};

struct plan_extent {
	bool sealed;
	unsigned int n;
	enum standing members[FARSWAP_COPIES_MAX];
	uint64_t retry_ns;	/* no change begun before */
};

enum extent_step {
	EXTENT_FINE,		/* nothing to do, or nothing that can be done by now */
	EXTENT_REPLACE,		/* a copy is missing, and there is a live one to make it from */
	EXTENT_DROP,		/* all copies are there, and one leaves before there is another */
	EXTENT_MOVE,		/* all copies are there, and one is to be made elsewhere in the place of one that is leaving */
	EXTENT_SUCCEED,		/* a member goes by another number now */
	EXTENT_UNSEAL,		/* left sealed by a change that did not come to its end */
};

enum extent_step plan_extent(const struct plan_extent *extent, unsigned int copies);
/*
 * Which of two is to be served first; rank 0: neither now. A sealed extent takes no pages, a succession is quick, and of the
 * rest the one with the fewest live members is in the greatest danger. One that only moves is in none.
 */
unsigned int plan_rank(const struct plan_extent *extent, unsigned int copies, uint64_t now_ns);

/* --- a copy in the making --- */

struct plan_source {
	bool usable;
	uint32_t missed;	/* frames that it is known not to have right */
	uint64_t failed_ns;	/* when it last failed in the middle of a piece; 0: it did not */
};

/* the one that has not failed, or longest ago, and of these the one that misses least; -1: none */
int plan_source(const struct plan_source *sources, size_t n);

struct plan_run {
	size_t first, next;		/* sums first to next - 1 lie in it */
	uint64_t offset, bytes;		/* in the slab */
};

/*
 * The next piece to be pushed: sums (in the order of their places) whose todo bits are set, at or after from, one behind the
 * other, at most max bytes but for the first. Up to gap bytes that hold nothing are taken along between two; nothing that
 * another sum describes is. False: there is none.
 */
bool plan_run(const struct farswap_sum *sums, const uint64_t *todo, size_t n, size_t from, uint64_t max, uint64_t gap,
	      struct plan_run *run);

/* when the next piece may go, after one of so many bytes that was due then; 0 MiB/s: at once */
uint64_t plan_pace(uint64_t due_ns, uint64_t now_ns, uint64_t bytes, uint32_t mib_per_s);

enum push_verdict {
	PUSH_AGAIN,		/* with a new queue pair */
	PUSH_OTHER_SOURCE,
	PUSH_OTHER_TARGET,
	/*
	 * Nobody knows whether its WRITEs have ended, as for all but the codes that are given before the first of them is
	 * posted. One of them may come late, so what it may reach must be revoked: the target's slab goes and another is begun.
	 */
	PUSH_OTHER_SLAB,
};

/* code: of the REJECT; 0: there was no answer. failures: in a row, this one included */
enum push_verdict plan_push_failed(unsigned int code, bool target_well, bool other_source, unsigned int failures);

#endif
