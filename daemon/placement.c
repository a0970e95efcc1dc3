// SPDX-License-Identifier: GPL-2.0
#include "placement.h"

#include <string.h>

/* splitmix64, Steele, Lea, Flood 2014 */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool rack_taken(const struct placement_node *nodes, size_t n, const char *rack)
{
	size_t i;

	if (!rack || !*rack)
		return false;
	for (i = 0; i < n; i++)
		if (nodes[i].taken && nodes[i].rack && !strcmp(nodes[i].rack, rack))
			return true;
	return false;
}

static bool eligible(const struct placement_node *nodes, size_t n, size_t i)
{
	return nodes[i].room && !nodes[i].taken && !nodes[i].barred && !rack_taken(nodes, n, nodes[i].rack);
}

/* weighted by room, without the one at except */
static int draw_weighted(const struct placement_node *nodes, size_t n, int except, uint64_t *seed)
{
	uint64_t sum = 0, at;
	size_t i;

	for (i = 0; i < n; i++)
		if ((int)i != except && eligible(nodes, n, i))
			sum += nodes[i].room;
	if (!sum)
		return -1;
	at = draw(seed) % sum;
	for (i = 0; i < n; i++) {
		if ((int)i == except || !eligible(nodes, n, i))
			continue;
		if (at < nodes[i].room)
			return (int)i;
		at -= nodes[i].room;
	}
	return -1;
}

/* held / (held + room) of a below that of b, without division */
static bool less_lent(const struct placement_node *a, const struct placement_node *b)
{
	return (uint64_t)a->held * ((uint64_t)b->held + b->room) < (uint64_t)b->held * ((uint64_t)a->held + a->room);
}

int placement_pick(const struct placement_node *nodes, size_t n, uint64_t *seed)
{
	int first = draw_weighted(nodes, n, -1, seed);
	int second;

	if (first < 0)
		return -1;
	second = draw_weighted(nodes, n, first, seed);
	if (second >= 0 && less_lent(&nodes[second], &nodes[first]))
		return second;
	return first;
}

unsigned int placement_choose(struct placement_node *nodes, size_t n, unsigned int copies, uint64_t *seed, int *out)
{
	unsigned int got = 0;
	int i;

	while (got < copies) {
		i = placement_pick(nodes, n, seed);
		if (i < 0)
			break;
		nodes[i].taken = true;
		out[got++] = i;
	}
	return got;
}
