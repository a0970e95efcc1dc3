// SPDX-License-Identifier: GPL-2.0
#include "quota.h"

#define SECOND_NS	1000000000ull

static void count(struct quota_rate *rate, uint64_t now_ns)
{
	if (now_ns - rate->second_ns >= SECOND_NS) {
		rate->last = quota_recent(rate, now_ns);
		rate->second_ns = now_ns - now_ns % SECOND_NS;
		rate->n = 0;
	}
	rate->n++;
}

uint64_t quota_take(struct quota_rate *rate, uint64_t now_ns, uint32_t per_s)
{
	count(rate, now_ns);
	if (!per_s)
		return 0;
	if (rate->due_ns + SECOND_NS < now_ns)
		rate->due_ns = now_ns - SECOND_NS;
	rate->due_ns += SECOND_NS / per_s;
	if (rate->due_ns <= now_ns)
		return 0;
	rate->held++;
	return rate->due_ns - now_ns;
}

uint32_t quota_recent(const struct quota_rate *rate, uint64_t now_ns)
{
	if (now_ns - rate->second_ns < SECOND_NS)
		return rate->last;
	return now_ns - rate->second_ns < 2 * SECOND_NS ? rate->n : 0;
}

bool quota_allows(uint32_t limit, uint32_t used)
{
	return !limit || used < limit;
}
