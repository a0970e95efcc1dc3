// SPDX-License-Identifier: GPL-2.0
#include "placement.h"

#include <string.h>

#include "draw.h"

static const char * const names[PLACEMENT_POLICIES] = {
	[PLACEMENT_POWER_OF_TWO]	 = "power-of-two",
	[PLACEMENT_RANDOM]		 = "random",
	[PLACEMENT_ROUND_ROBIN]		 = "round-robin",
	[PLACEMENT_WEIGHTED_ROUND_ROBIN] = "weighted-round-robin",
};

const char *placement_name(enum placement_policy policy)
{
	return names[policy];
}

int placement_parse(const char *name)
{
	int i;

	for (i = 0; i < PLACEMENT_POLICIES; i++)
		if (!strcmp(name, names[i]))
			return i;
	return -1;
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

bool placement_may(const struct placement_node *nodes, size_t n, size_t i)
{
	return nodes[i].lent < nodes[i].offered && !nodes[i].taken && !nodes[i].barred && !rack_taken(nodes, n, nodes[i].rack);
}

/* by weight, in one pass: the i-th takes the place of those before it with a chance of its weight over the sum so far (Chao 1982) */
static int draw_one(const struct placement_node *nodes, size_t n, int except, bool equal, uint64_t *seed)
{
	uint64_t sum = 0, weight;
	int chosen = -1;
	size_t i;

	for (i = 0; i < n; i++) {
		if ((int)i == except || !placement_may(nodes, n, i))
			continue;
		weight = equal ? 1 : nodes[i].offered;
		sum += weight;
		if (farswap_draw(seed) % sum < weight)
			chosen = (int)i;
	}
	return chosen;
}

/* with one slab more a would be less used than b: compared without division */
static bool is_freer(const struct placement_node *a, const struct placement_node *b)
{
	return (a->lent + 1ull) * b->offered < (b->lent + 1ull) * a->offered;
}

static int power_of_two(const struct placement_node *nodes, size_t n, uint64_t *seed)
{
	int first = draw_one(nodes, n, -1, false, seed);
	int second = first < 0 ? -1 : draw_one(nodes, n, first, false, seed);

	return second >= 0 && is_freer(&nodes[second], &nodes[first]) ? second : first;
}

/* the first that may, from there on */
static int from(const struct placement_node *nodes, size_t n, uint64_t at)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (placement_may(nodes, n, (at + i) % n))
			return (int)((at + i) % n);
	return -1;
}

/* multiples of the golden ratio fall evenly into what all offer, whatever that is (Weyl 1916) */
static int weighted_round_robin(const struct placement_node *nodes, size_t n, uint64_t *seed)
{
	uint64_t sum = 0, at;
	size_t i;

	for (i = 0; i < n; i++)
		sum += nodes[i].offered;
	*seed += FARSWAP_GOLDEN;
	at = (uint64_t)((unsigned __int128)*seed * sum >> 64);
	for (i = 0; i < n && at >= nodes[i].offered; i++)
		at -= nodes[i].offered;
	return from(nodes, n, i);
}

int placement_next(enum placement_policy policy, const struct placement_node *nodes, size_t n, uint64_t *seed)
{
	switch (policy) {
	case PLACEMENT_RANDOM:
		return draw_one(nodes, n, -1, true, seed);
	case PLACEMENT_ROUND_ROBIN:
		return n ? from(nodes, n, (*seed)++ % n) : -1;
	case PLACEMENT_WEIGHTED_ROUND_ROBIN:
		return weighted_round_robin(nodes, n, seed);
	default:
		return power_of_two(nodes, n, seed);
	}
}

int placement_pick(const struct placement_node *nodes, size_t n, uint64_t *seed)
{
	return power_of_two(nodes, n, seed);
}

unsigned int placement_choose(enum placement_policy policy, struct placement_node *nodes, size_t n, unsigned int copies,
			      uint64_t *seed, int *out)
{
	unsigned int got = 0;
	int i;

	while (got < copies) {
		i = placement_next(policy, nodes, n, seed);
		if (i < 0)
			break;
		nodes[i].taken = true;
		out[got++] = i;
	}
	return got;
}
