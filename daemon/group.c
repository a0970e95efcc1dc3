// SPDX-License-Identifier: GPL-2.0
#include "group.h"

#define PARTS	1000ull

size_t group_join(const uint32_t *sizes, size_t n, uint32_t places)
{
	size_t i, smallest = n;

	for (i = 0; i < n; i++)
		if (sizes[i] < places && (smallest == n || sizes[i] < sizes[smallest]))
			smallest = i;
	return smallest;
}

struct group_total group_total(const struct placement_node *members, size_t n)
{
	struct group_total total = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (!members[i].offered)
			continue;
		total.offered += members[i].offered;
		total.lent += members[i].lent;
	}
	return total;
}

void group_hear(struct group_known *known, const struct group_total *total)
{
	known->totals[known->next] = *total;
	known->next = (known->next + 1) % GROUP_KNOWN;
	if (known->n < GROUP_KNOWN)
		known->n++;
}

uint32_t group_usual(const struct group_known *known, const struct group_total *own)
{
	struct group_total all = *own;
	size_t i;

	for (i = 0; i < known->n; i++) {
		all.offered += known->totals[i].offered;
		all.lent += known->totals[i].lent;
	}
	return all.offered ? (uint32_t)(PARTS * all.lent / all.offered) : 0;
}

bool group_free(const struct placement_node *member, uint32_t usual)
{
	return member->lent < member->offered && (!member->lent || PARTS * (member->lent + 1ull) <= (uint64_t)(usual + GROUP_ABOVE) * member->offered);
}

bool group_bar(struct placement_node *members, size_t n, uint32_t usual)
{
	size_t i, free = 0;

	for (i = 0; i < n; i++)
		free += !members[i].barred && !members[i].taken && group_free(&members[i], usual);
	for (i = 0; i < n && free >= GROUP_ENOUGH; i++)
		members[i].barred |= !group_free(&members[i], usual);
	return free >= GROUP_ENOUGH;
}

int group_freer(const struct group_total *a, const struct group_total *b)
{
	bool a_can = a->lent < a->offered, b_can = b->lent < b->offered;

	if (!a_can || !b_can)
		return a_can ? 0 : b_can ? 1 : -1;
	return b->lent * a->offered < a->lent * b->offered;
}

unsigned int group_candidates(struct placement_node *members, size_t n, uint32_t usual, uint64_t *seed, int *out)
{
	group_bar(members, n, usual);
	return placement_choose(PLACEMENT_POWER_OF_TWO, members, n, GROUP_BORROWED, seed, out);
}
