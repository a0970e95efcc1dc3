/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many pages to bring back at once, and when. A batch is short, by what the last ones took and by the rate, since between
 * batches is when pressure is looked for. Pure: times are passed in, in ns of CLOCK_MONOTONIC.
 */
#ifndef FARSWAP_PACE_H
#define FARSWAP_PACE_H

#include <stdint.h>

#define PACE_BATCH_NS	10000000ull	/* no batch is meant to take longer */
#define PACE_BATCH_MAX	64		/* pages */

struct pace {
	uint64_t rate;		/* bytes per second; 0: no limit */
	uint64_t due_ns;	/* the next batch not before this */
	unsigned int size;	/* pages that a batch may have by its time */
};

void pace_start(struct pace *pace, uint64_t rate);
/* pages of the next batch: at least 1, unless room is 0 */
unsigned int pace_batch(const struct pace *pace, uint64_t room);
/* a batch of so many pages took that long. Time that was lost is not made up for. */
void pace_took(struct pace *pace, unsigned int pages, uint64_t from_ns, uint64_t to_ns);

#endif
