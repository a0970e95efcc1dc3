// SPDX-License-Identifier: GPL-2.0
#include "shortage.h"

#include <string.h>

#include "evict.h"

#define STEPS		8	/* the whole budget is taken in so many seconds */
#define SLOW		16	/* the long average is of so many times the periods of the short one */
#define FEW		(1ull << EVICT_ACTIVITY_SHIFT)	/* less than one request a second rises for nobody */

static const char * const names[SHORTAGE_POLICIES] = { "off", "shrink", "raise" };

const char *shortage_name(enum shortage_policy policy)
{
	return names[policy];
}

int shortage_parse(const char *name)
{
	int i;

	for (i = 0; i < SHORTAGE_POLICIES; i++)
		if (!strcmp(name, names[i]))
			return i;
	return -1;
}

/* 1: take, -1: give back, 0: leave it */
static int wanted(const struct shortage *shortage, const struct shortage_limits *limits)
{
	switch (shortage->policy) {
	case SHORTAGE_SHRINK:
		/* requests rise while the short average is half more than the long one, and no more when it is an eighth more */
		if (shortage->fast > FEW && shortage->fast / 3 > shortage->slow / 2)
			return 1;
		return shortage->fast <= FEW || shortage->fast / 9 < shortage->slow / 8 ? -1 : 0;
	case SHORTAGE_RAISE:
		if (shortage->fast > limits->faults_high << EVICT_ACTIVITY_SHIFT)
			return 1;
		return shortage->fast < limits->faults_low << EVICT_ACTIVITY_SHIFT ? -1 : 0;
	default:
		return -1;
	}
}

static void average(struct shortage *shortage, uint64_t n)
{
	if (!shortage->begun)
		shortage->slow = n << EVICT_ACTIVITY_SHIFT;
	shortage->begun = true;
	shortage->fast = evict_activity(shortage->fast, n);
	shortage->slow = shortage->slow - shortage->slow / SLOW + shortage->fast / SLOW;
}

void shortage_look(struct shortage *shortage, const struct shortage_limits *limits, const struct shortage_look *look)
{
	uint64_t step = limits->budget / STEPS + (limits->budget % STEPS != 0);
	uint64_t most = shortage->policy == SHORTAGE_OFF ? 0 : limits->budget;
	int direction;

	average(shortage, shortage->policy == SHORTAGE_SHRINK ? look->requests : look->faults);
	direction = wanted(shortage, limits);
	if (!direction || (direction > 0 && shortage->taken >= most) || (direction < 0 && !shortage->taken))
		return;
	if (direction != shortage->direction) {
		if (shortage->direction && look->now_ns - shortage->turned_ns < SHORTAGE_TURN_NS)
			return;
		shortage->direction = direction;
		shortage->turned_ns = look->now_ns;
	}
	if (direction > 0)
		shortage->taken = shortage->taken + step < most ? shortage->taken + step : most;
	else
		shortage->taken -= shortage->taken < step ? shortage->taken : step;
}

uint32_t shortage_cap(const struct shortage *shortage, const struct shortage_limits *limits)
{
	uint64_t slabs = (shortage->taken + limits->slab_bytes - 1) / limits->slab_bytes;

	return slabs < limits->cap ? limits->cap - (uint32_t)slabs : 0;
}

uint64_t shortage_high(const struct shortage *shortage, uint64_t high)
{
	return shortage->policy == SHORTAGE_RAISE ? high + shortage->taken : high;
}
