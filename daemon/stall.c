// SPDX-License-Identifier: GPL-2.0
#include "stall.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"

static uint64_t passed;		/* by the loop's thread, and the one that talks to the kernel: as many as draw the same are as good */
static uint64_t stalls;

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

void farswap_stall(const char *where)
{
	uint64_t one_in = number("FARSWAP_STALL_ONE_IN", 8), ms = number("FARSWAP_STALL_MS", 20), x = number("FARSWAP_STALL_SEED", 1);
	struct timespec time = { 0 };

	for (; *where; where++)
		x = mix(x ^ (unsigned char)*where);
	x = mix(x ^ __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED));
	if (!one_in || !ms || (uint32_t)x % one_in)
		return;
	__atomic_add_fetch(&stalls, 1, __ATOMIC_RELAXED);
	x = (x >> 32) % (ms * 1000000);
	time.tv_sec = (time_t)(x / 1000000000);
	time.tv_nsec = (long)(x % 1000000000);
	nanosleep(&time, NULL);
}

void farswap_stalls_tell(void)
{
	farswap_log("stalled %llu times", (unsigned long long)__atomic_load_n(&stalls, __ATOMIC_RELAXED));
}
