// SPDX-License-Identifier: GPL-2.0
#include "evict.h"

#include "draw.h"

#define WEIGHT	5	/* the new period counts for a fifth: 0.8^30 is 0.1% */

static bool can_be_asked(const struct evict_slab *slab)
{
	return !slab->asked && !slab->refused;
}

/* selection sampling (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S) */
size_t evict_sample(const struct evict_slab *slabs, size_t n, unsigned int e, uint64_t *seed, size_t *out)
{
	size_t i, left = 0, got = 0, want = (size_t)e + EVICT_EXTRA;

	if (!e)
		return 0;
	for (i = 0; i < n; i++)
		left += can_be_asked(&slabs[i]);
	for (i = 0; i < n && got < want; i++) {
		if (!can_be_asked(&slabs[i]))
			continue;
		if (farswap_draw(seed) % left < want - got)
			out[got++] = i;
		left--;
	}
	return got;
}

size_t evict_owners(const struct evict_slab *slabs, const size_t *sample, size_t n_sample, uint32_t *out)
{
	size_t i, k, got = 0;

	for (i = 0; i < n_sample; i++) {
		for (k = 0; k < got; k++)
			if (out[k] == slabs[sample[i]].owner)
				break;
		if (k == got)
			out[got++] = slabs[sample[i]].owner;
	}
	return got;
}

/* keeps the e best of those that are offered to it, the best first */
static size_t insert(const struct evict_slab *slabs, size_t *out, size_t got, unsigned int e, size_t i,
		     bool (*is_better)(const struct evict_slab *a, const struct evict_slab *b))
{
	size_t at;

	if (got == e && (!e || !is_better(&slabs[i], &slabs[out[e - 1]])))
		return got;
	if (got < e)
		got++;
	for (at = got - 1; at && is_better(&slabs[i], &slabs[out[at - 1]]); at--)
		out[at] = out[at - 1];
	out[at] = i;
	return got;
}

static bool is_less_active(const struct evict_slab *a, const struct evict_slab *b)
{
	return a->activity < b->activity;
}

size_t evict_choose(const struct evict_slab *slabs, size_t n, unsigned int e, size_t *out)
{
	size_t i, got = 0;

	for (i = 0; i < n; i++)
		if (slabs[i].known && can_be_asked(&slabs[i]))
			got = insert(slabs, out, got, e, i, is_less_active);
	return got;
}

static unsigned int harm(const struct evict_slab *slab)
{
	if (slab->overdue)
		return 0;
	return slab->asked ? 1 : 2;
}

static bool is_less_harm(const struct evict_slab *a, const struct evict_slab *b)
{
	if (harm(a) != harm(b))
		return harm(a) < harm(b);
	return is_less_active(a, b);
}

size_t evict_revoke(const struct evict_slab *slabs, size_t n, unsigned int e, size_t *out)
{
	size_t i, got = 0;

	for (i = 0; i < n; i++)
		if (slabs[i].known && !slabs[i].kept)
			got = insert(slabs, out, got, e, i, is_less_harm);
	return got;
}

uint64_t evict_activity(uint64_t activity, uint64_t operations)
{
	const uint64_t most = UINT64_MAX >> (EVICT_ACTIVITY_SHIFT + 1);

	if (operations > most)
		operations = most;
	return activity - activity / WEIGHT + (operations << EVICT_ACTIVITY_SHIFT) / WEIGHT;
}

bool evict_agrees(const struct plan_extent *extent, unsigned int copies, bool moving)
{
	unsigned int i, live = 0;

	for (i = 0; i < extent->n; i++)
		live += extent->members[i] == STANDING_LIVE;
	return live >= copies && !moving && !extent->sealed;
}
