// SPDX-License-Identifier: GPL-2.0
#include "pace.h"
#include "pagemap.h"

#define SECOND_NS	1000000000ull
#define FIRST_BATCH	8

void pace_start(struct pace *pace, uint64_t rate)
{
	pace->rate = rate;
	pace->due_ns = 0;
	pace->size = FIRST_BATCH;
}

unsigned int pace_batch(const struct pace *pace, uint64_t room)
{
	uint64_t pages = pace->size, by_rate;

	if (pace->rate) {
		by_rate = pace->rate / (SECOND_NS / PACE_BATCH_NS) / PAGEMAP_PAGE;
		if (by_rate < pages)
			pages = by_rate ? by_rate : 1;
	}
	return (unsigned int)(pages < room ? pages : room);
}

void pace_took(struct pace *pace, unsigned int pages, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t took = to_ns - from_ns;

	if (took > PACE_BATCH_NS / 2 && pace->size > 1)
		pace->size /= 2;
	else if (took < PACE_BATCH_NS / 4 && pages >= pace->size && pace->size < PACE_BATCH_MAX)
		pace->size *= 2;
	pace->due_ns = to_ns;
	if (pace->rate && from_ns + pages * (PAGEMAP_PAGE * SECOND_NS / pace->rate) > to_ns)
		pace->due_ns = from_ns + pages * (PAGEMAP_PAGE * SECOND_NS / pace->rate);
}
