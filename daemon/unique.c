// SPDX-License-Identifier: GPL-2.0
#include "unique.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define EPOCH_2024	1704067200
#define COUNTER_BITS	20
#define RANDOM_BITS	14
#define SECONDS_BITS	30

static uint64_t take_base(void)
{
	uint64_t seconds = ((uint64_t)time(NULL) - EPOCH_2024) & ((1ull << SECONDS_BITS) - 1);
	uint16_t noise;

	if (getrandom(&noise, sizeof(noise), 0) != sizeof(noise))
		abort();	/* no entropy call fails once the kernel is up */
	return (seconds << RANDOM_BITS | (noise & ((1u << RANDOM_BITS) - 1))) << COUNTER_BITS;
}

uint64_t farswap_unique(void)
{
	static uint64_t base, counter;

	if (!base || counter >> COUNTER_BITS) {
		base = take_base();
		counter = 1;	/* so that no number is 0, whatever the base */
	}
	return base | counter++;
}
