// SPDX-License-Identifier: GPL-2.0
/* 2,048 extents of three copies on 64 donors: how evenly does each policy use them? */
#include <stdlib.h>

#include "placement.h"
#include "sim.h"

#define DONORS	64
#define EXTENTS	2048
#define COPIES	3
#define SMALL	128	/* slabs; large ones have four times as many, and 30% of all are used */
#define LARGE	512

static int descending(const void *a, const void *b)
{
	double d = *(const double *)b - *(const double *)a;

	return d > 0 ? 1 : d < 0 ? -1 : 0;
}

struct sim_even even_run(int policy, bool equal, unsigned int seeds, FILE *picture)
{
	struct sim_even even = { 0 };
	unsigned int seed, i, k;

	for (seed = 1; seed <= seeds; seed++) {
		struct placement_node donors[DONORS] = { 0 };
		uint64_t state = seed * 1000003ull;
		double mean, use[DONORS];
		uint64_t offered = 0;
		int out[COPIES];

		for (i = 0; i < DONORS; i++)
			offered += donors[i].offered = equal ? (SMALL + LARGE) / 2 : i % 2 ? SMALL : LARGE;
		for (i = 0; i < EXTENTS; i++) {
			unsigned int got = placement_choose((enum placement_policy)policy, donors, DONORS, COPIES, &state, out);

			even.same_host += got != COPIES || out[0] == out[1] || out[0] == out[2] || out[1] == out[2];
			for (k = 0; k < got; k++) {
				donors[out[k]].lent++;
				donors[out[k]].taken = false;
			}
		}
		mean = (double)EXTENTS * COPIES / (double)offered;
		for (i = 0; i < DONORS; i++)
			use[i] = (double)donors[i].lent / donors[i].offered / mean;
		qsort(use, DONORS, sizeof(use[0]), descending);
		even.mean += use[0] / seeds;
		if (use[0] > even.worst)
			even.worst = use[0];
		for (i = 0; i < DONORS && seed == 1 && picture; i++)
			fprintf(picture, "%s %u %.4f\n", placement_name((enum placement_policy)policy), i, use[i]);
	}
	return even;
}
