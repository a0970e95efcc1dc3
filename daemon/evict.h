/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which slabs a donor takes back. It cannot see who uses what it lends, access is one-sided: so it draws a few more than it needs, asks
 * their owners, each once, how active all are that it holds here, and takes the least active (Infiniswap, NSDI 2017). And what an owner says to
 * it. Pure and deterministic for a seed.
 */
#ifndef FARSWAP_EVICT_H
#define FARSWAP_EVICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

/*
 * E': with 64 slabs and Zipf(1), E = 4, one owner each, what is evicted then has a third of the activity of slabs taken at random; 2 gives 0.39,
 * 8 gives 0.27 (make sim)
 */
#define EVICT_EXTRA	4

#define EVICT_ACTIVITY_SHIFT	16	/* activity: operations in a period, 1/65536 each */

/* --- at the donor --- */

struct evict_slab {
	uint32_t owner;
	bool asked;		/* its owner has agreed to move it */
	bool overdue;		/* and is late */
	bool refused;		/* its owner will not, for now: the set is degraded */
	bool kept;		/* nor give it up before there is another copy */
	bool known;		/* activity is */
	uint64_t activity;
};

/* draws e + EVICT_EXTRA of those that can be asked for, fewer if there are no more; their indices to out, in rising order */
size_t evict_sample(const struct evict_slab *slabs, size_t n, unsigned int e, uint64_t *seed, size_t *out);
/* whom these belong to, each once; out has a place for each sample */
size_t evict_owners(const struct evict_slab *slabs, const size_t *sample, size_t n_sample, uint32_t *out);
/* the e least active of those that are known and can be asked for; their indices to out, the least active first */
size_t evict_choose(const struct evict_slab *slabs, size_t n, unsigned int e, size_t *out);
/*
 * Which e are revoked, when there must be some: those that are late, then those that are asked for, then the least active. It is the owner that
 * gives a slab up, so none whose owner tells nothing, or keeps it.
 */
size_t evict_revoke(const struct evict_slab *slabs, size_t n, unsigned int e, size_t *out);

/* --- at the owner --- */

/*
 * Activity after one more period with so many operations. A moving average whose weights sum up to 1: at a constant rate r it is within
 * 1% of r after 21 periods, and 30 periods after the last operation it is below 1%.
 */
uint64_t evict_activity(uint64_t activity, uint64_t operations);

/*
 * A donor asks that a member of this set be moved; false: not now, the set is degraded, sealed, or another of its members is just being moved.
 */
bool evict_agrees(const struct plan_extent *extent, unsigned int copies, bool moving);

#endif
