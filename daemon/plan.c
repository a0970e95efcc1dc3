// SPDX-License-Identifier: GPL-2.0
#include "plan.h"

#define TRIES	3	/* of one piece from one source */

enum suspect_step plan_suspect(const struct plan_suspect *suspect, uint64_t now_ns, uint64_t replace_after_ns)
{
	if (suspect->joining)
		return SUSPECT_WAIT;
	if (suspect->reached && suspect->forgotten)
		return SUSPECT_GONE;
	/* the last good copy is not given up for being away */
	if (now_ns - suspect->since_ns >= replace_after_ns && !suspect->last_copy)
		return SUSPECT_GONE;
	if (suspect->reached && !suspect->asked && now_ns >= suspect->retry_ns)
		return SUSPECT_REJOIN;
	return SUSPECT_WAIT;
}

static unsigned int count(const struct plan_extent *extent, enum standing standing)
{
	unsigned int i, n = 0;

	for (i = 0; i < extent->n; i++)
		n += extent->members[i] == standing;
	return n;
}

enum extent_step plan_extent(const struct plan_extent *extent, unsigned int copies)
{
	unsigned int urgent = count(extent, STANDING_URGENT), leaving = count(extent, STANDING_LEAVING) + urgent;
	unsigned int live = count(extent, STANDING_LIVE) + leaving;

	if (extent->sealed)
		return EXTENT_UNSEAL;
	if (count(extent, STANDING_MOVED))
		return EXTENT_SUCCEED;
	/* never two by choice, nor one of a degraded set, nor of two: of those that are left one may just be lost, and not be known to be */
	if (urgent && live > 2 && live >= copies)
		return EXTENT_DROP;
	if (extent->n - count(extent, STANDING_LOST) < copies && live)
		return EXTENT_REPLACE;
	return leaving && live >= copies ? EXTENT_MOVE : EXTENT_FINE;
}

unsigned int plan_rank(const struct plan_extent *extent, unsigned int copies, uint64_t now_ns)
{
	enum extent_step step = plan_extent(extent, copies);

	if (step == EXTENT_UNSEAL)
		return FARSWAP_COPIES_MAX + 4;
	if (step == EXTENT_FINE || now_ns < extent->retry_ns)
		return 0;
	if (step == EXTENT_SUCCEED)
		return FARSWAP_COPIES_MAX + 3;
	if (step == EXTENT_DROP)
		return FARSWAP_COPIES_MAX + 2;
	if (step == EXTENT_MOVE)
		return 1;
	return FARSWAP_COPIES_MAX + 1 - count(extent, STANDING_LIVE) - count(extent, STANDING_LEAVING) - count(extent, STANDING_URGENT);
}

static bool is_better(const struct plan_source *a, const struct plan_source *b)
{
	return a->failed_ns != b->failed_ns ? a->failed_ns < b->failed_ns : a->missed < b->missed;
}

int plan_source(const struct plan_source *sources, size_t n)
{
	int best = -1;
	size_t i;

	for (i = 0; i < n; i++)
		if (sources[i].usable && (best < 0 || is_better(&sources[i], &sources[best])))
			best = (int)i;
	return best;
}

static bool is_set(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static uint64_t start_of(const struct farswap_sum *sum)
{
	return (uint64_t)sum->frame * FARSWAP_FRAME_BYTES + sum->offset;
}

bool plan_run(const struct farswap_sum *sums, const uint64_t *todo, size_t n, size_t from, uint64_t max, uint64_t gap,
	      struct plan_run *run)
{
	uint64_t end;
	size_t i;

	while (from < n && !is_set(todo, from))
		from++;
	if (from >= n)
		return false;
	run->first = from;
	run->offset = start_of(&sums[from]);
	end = run->offset + sums[from].length;
	for (i = from + 1; i < n && is_set(todo, i); i++) {
		uint64_t start = start_of(&sums[i]);

		if (start > end + gap || start + sums[i].length - run->offset > max)
			break;
		end = start + sums[i].length;
	}
	run->next = i;
	run->bytes = end - run->offset;
	return true;
}

uint64_t plan_pace(uint64_t due_ns, uint64_t now_ns, uint64_t bytes, uint32_t mib_per_s)
{
	uint64_t took;

	if (!mib_per_s)
		return now_ns;
	took = bytes * 1000000000 / ((uint64_t)mib_per_s << 20);	/* a piece is far from overflow */
	/* what was not used while the pieces were late is not made up for */
	if (due_ns + took < now_ns)
		return now_ns;
	return due_ns + took;
}

enum push_verdict plan_push_failed(unsigned int code, bool target_well, bool other_source, unsigned int failures)
{
	switch (code) {
	case FARSWAP_REJECT_NO_QUEUE:
		if (failures < TRIES)
			return PUSH_AGAIN;
		break;
	case FARSWAP_REJECT_CONNECT:
		/* either end may be at fault */
		if (!target_well)
			return PUSH_OTHER_TARGET;
		break;
	case FARSWAP_REJECT_NO_SESSION:
	case FARSWAP_REJECT_NO_SLAB:
	case FARSWAP_REJECT_UNKNOWN_NODE:
	case FARSWAP_REJECT_RANGE:
	case FARSWAP_REJECT_QUEUE_QUOTA:
		break;
	default:
		return PUSH_OTHER_SLAB;
	}
	return other_source ? PUSH_OTHER_SOURCE : PUSH_OTHER_TARGET;
}
