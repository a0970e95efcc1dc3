/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Groups of nodes. A group's leader knows what its members offer and have lent, hands out candidates, and asks another group's leader when its
 * own group is short. It is never on the data path, and what it says is a hint: donors grant or refuse by themselves. Pure and
 * deterministic for a seed.
 */
#ifndef FARSWAP_GROUP_H
#define FARSWAP_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farswap_wire.h"
#include "placement.h"

#define GROUP_MIN		8
#define GROUP_MAX		32
#define GROUP_BORROWED		8	/* candidates that another group names at most */
#define GROUP_KNOWN		16	/* other groups' totals that a leader keeps: those it heard last */
#define GROUP_ABOVE		10	/* thousandths of use above the usual, and a member takes no more while others can */
#define GROUP_ENOUGH		FARSWAP_COPIES_MAX	/* donors for a set */

struct group_total {
	uint64_t offered, lent;		/* slabs, summed over its members that lend */
};

struct group_known {
	struct group_total totals[GROUP_KNOWN];
	size_t n, next;
};

/* which group a node joins: the smallest that has one of so many places left; n: none has, it begins a new one */
size_t group_join(const uint32_t *sizes, size_t n, uint32_t places);
struct group_total group_total(const struct placement_node *members, size_t n);
/* another group's leader told its totals */
void group_hear(struct group_known *known, const struct group_total *total);
/* use of all that is known and of its own, in thousandths */
uint32_t group_usual(const struct group_known *known, const struct group_total *own);
/* it may take more: it has lent none, or with one slab more it is not used more than is usual, by GROUP_ABOVE */
bool group_free(const struct placement_node *member, uint32_t usual);
/* a leader bars those of these that are not free, if enough for a set are left; false: there are not, it is short and asks others, and all stay */
bool group_bar(struct placement_node *members, size_t n, uint32_t usual);
/* which of two others that told their totals is asked to lend; -1: neither has anything left */
int group_freer(const struct group_total *a, const struct group_total *b);
/* the candidates that a leader names to another that is short, in different racks; how many, at most GROUP_BORROWED; they are marked taken */
unsigned int group_candidates(struct placement_node *members, size_t n, uint32_t usual, uint64_t *seed, int *out);

#endif
