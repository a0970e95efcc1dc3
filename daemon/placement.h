/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which donors hold an extent. A donor's use is what it has lent to all over what it offers in all. Never two copies on one node, nor
 * in one rack where racks are named. Pure and deterministic for a seed.
 */
#ifndef FARSWAP_PLACEMENT_H
#define FARSWAP_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum placement_policy {
	PLACEMENT_POWER_OF_TWO,		/* the freer of two that are drawn in proportion to what they offer (Mitzenmacher 2001) */
	PLACEMENT_RANDOM,		/* each with the same chance */
	PLACEMENT_ROUND_ROBIN,		/* one after the other */
	PLACEMENT_WEIGHTED_ROUND_ROBIN,	/* the same, each as often as what it offers says */
	PLACEMENT_POLICIES
};

struct placement_node {
	const char *rack;	/* "" or NULL: not named, shares its rack with nobody */
	uint32_t offered;	/* slabs it lends to all at most, those lent already included; 0: none */
	uint32_t lent;		/* of these, to all */
	bool taken;		/* holds a copy of this extent, or is being asked for one */
	bool barred;		/* not a candidate, but its rack is free for others */
};

/* the word for it in cluster.conf */
const char *placement_name(enum placement_policy policy);
/* -1: no such word */
int placement_parse(const char *name);

/* has room, and is on no node and in no rack that has a copy */
bool placement_may(const struct placement_node *nodes, size_t n, size_t i);
/* one more donor; its index, or -1 when none is left. seed is moved on; the round robins count in it. */
int placement_next(enum placement_policy policy, const struct placement_node *nodes, size_t n, uint64_t *seed);
/* the same by the default: what a repair takes, as it has few to choose among */
int placement_pick(const struct placement_node *nodes, size_t n, uint64_t *seed);
/* up to copies donors, marked taken, their indices in out; how many there are */
unsigned int placement_choose(enum placement_policy policy, struct placement_node *nodes, size_t n, unsigned int copies,
			      uint64_t *seed, int *out);

#endif
