/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which donors hold an extent: capacity-weighted power of two choices (Mitzenmacher 2001): draw two donors with
 * a chance in proportion to their room and take the one that is less lent out to us. Never two copies on one
 * node, nor in one rack where racks are named. Pure and deterministic for a seed.
 */
#ifndef FARSWAP_PLACEMENT_H
#define FARSWAP_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct placement_node {
	const char *rack;	/* "" or NULL: not named, shares its rack with nobody */
	uint32_t room;		/* slabs it could grant; 0: not a candidate */
	uint32_t held;		/* slabs it has granted us already */
	bool taken;		/* holds a copy of this extent, or is being asked for one */
	bool barred;		/* not a candidate, but its rack is free for others */
};

/* one more donor; its index, or -1 when none is left. seed is moved on. */
int placement_pick(const struct placement_node *nodes, size_t n, uint64_t *seed);
/* up to copies donors, marked taken, their indices in out; how many there are */
unsigned int placement_choose(struct placement_node *nodes, size_t n, unsigned int copies, uint64_t *seed, int *out);

#endif
