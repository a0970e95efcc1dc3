/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that are the same for the same seed, anywhere. Not for secrets. */
#ifndef FARSWAP_DRAW_H
#define FARSWAP_DRAW_H

#include <stdint.h>

#define FARSWAP_GOLDEN	0x9e3779b97f4a7c15ull	/* 2^64 over the golden ratio */

/* splitmix64, Steele, Lea, Flood 2014. seed is moved on. */
static inline uint64_t farswap_draw(uint64_t *seed)
{
	uint64_t z = *seed += FARSWAP_GOLDEN;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

#endif
