/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a donor does about its memory: how much it offers, how many slabs it asks their owners to move away, how many it revokes, by their owners' hands. Which
 * ones is evict.h's. Pure: no I/O, no clock; the caller looks every second or so, and at once when the kernel tells of pressure.
 */
#ifndef FARSWAP_LEND_H
#define FARSWAP_LEND_H

#include <stdbool.h>
#include <stdint.h>

#define LEND_HOLD_NS		60000000000ull	/* all must be well for so long before it offers again: at most 2 changes of direction a minute */
#define LEND_SETTLE_NS		1000000000ull	/* memory below the low mark for so long is no accident */
#define LEND_DEADLINE_NS	30000000000ull	/* for an owner to move a slab away, if cluster.conf does not say */
#define LEND_ASKED_MAX		8		/* slabs on the way at once: more would only be late together */

/* available: as MemAvailable says. hard <= low <= high. */
struct lend_marks {
	uint64_t low;		/* below: stops to offer, then takes slabs back */
	uint64_t high;		/* low and the hysteresis: what is lent leaves so much */
	uint64_t hard;		/* below: slabs are revoked, ready or not */
	uint64_t slab_bytes;
	uint32_t cap;		/* slabs at most; 0 when the node is to be drained */
};

struct lend_look {
	uint64_t now_ns;
	uint64_t available;	/* bytes */
	uint32_t lent;		/* slabs that clients hold, those asked for included */
	uint32_t asked;		/* of these: their owners have agreed to move them, and have not yet */
	uint32_t overdue;	/* of these: for longer than the deadline */
	uint32_t returning;	/* revoked or released, and their memory not yet given back */
	bool pressure;		/* PSI's trigger fired since the last look */
	bool pages_out;		/* this node swapped out since the last look */
};

enum lend_state {
	LEND_OFFERS,
	LEND_HOLDS,		/* lends nothing new, and leaves what is lent */
	LEND_ASKS,		/* asks owners to move slabs away */
	LEND_REVOKES,		/* below the hard mark, or owners are late */
	LEND_STATES
};

struct lend {
	enum lend_state state;
	bool begun;		/* false: the first look settles all */
	uint64_t unwell_ns;	/* when something was not well last */
	uint64_t calm_ns;	/* when it last had nothing to take back */
};

struct lend_step {
	uint32_t offered;	/* to be told: slabs lent, coming back and to be lent; 0: it does not lend now */
	uint32_t ask;		/* that many more are to be asked for */
	uint32_t revoke;	/* that many are to be revoked now, see evict_revoke() */
};

const char *lend_state_name(enum lend_state state);
struct lend_step lend_look(struct lend *lend, const struct lend_marks *marks, const struct lend_look *look);

#endif
