// SPDX-License-Identifier: GPL-2.0
/* A donor takes E of 64 slabs back, whose activity is Zipf(1): how active are those that it takes, beside E taken at random? */
#include "draw.h"
#include "evict.h"
#include "sim.h"

#define SLABS	64
#define E	4
#define TRIALS	2000	/* a seed */

static void shuffle(struct evict_slab *slabs, unsigned int per_owner, uint64_t *seed)
{
	unsigned int i, k;

	for (i = 0; i < SLABS; i++) {
		k = farswap_draw(seed) % (i + 1);
		slabs[i] = (struct evict_slab) { 0 };
		slabs[i].activity = slabs[k].activity;
		slabs[k].activity = (1000000ull << EVICT_ACTIVITY_SHIFT) / (i + 1);
	}
	for (i = 0; i < SLABS; i++)
		slabs[i].owner = i / per_owner;
}

/* sampled with E', all that their owners have asked about, the least active taken */
static double evicted(struct evict_slab *slabs, unsigned int extra, uint64_t *seed)
{
	size_t sample[SLABS], chosen[E], n, i, k, n_owners;
	uint32_t owners[SLABS];
	double sum = 0;

	n = evict_sample(slabs, SLABS, E + extra - EVICT_EXTRA, seed, sample);
	n_owners = evict_owners(slabs, sample, n, owners);
	for (i = 0; i < n_owners; i++)
		for (k = 0; k < SLABS; k++)
			slabs[k].known |= slabs[k].owner == owners[i];
	n = evict_choose(slabs, SLABS, E, chosen);
	for (i = 0; i < n; i++)
		sum += (double)slabs[chosen[i]].activity;
	return sum;
}

/* what E at random have is E/64 of all, on average */
static double at_random(const struct evict_slab *slabs)
{
	double sum = 0;
	unsigned int i;

	for (i = 0; i < SLABS; i++)
		sum += (double)slabs[i].activity;
	return sum * E / SLABS;
}

double zipf_run(unsigned int extra, unsigned int per_owner, unsigned int seeds)
{
	double taken = 0, random = 0;
	unsigned int seed, trial;

	for (seed = 1; seed <= seeds; seed++) {
		uint64_t state = seed * 1000003ull;

		for (trial = 0; trial < TRIALS; trial++) {
			struct evict_slab slabs[SLABS];

			shuffle(slabs, per_owner, &state);
			taken += evicted(slabs, extra, &state);
			random += at_random(slabs);
		}
	}
	return taken / random;
}
