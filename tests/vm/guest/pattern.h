/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What swapcheck writes into a page: every word of it tells the page and the round, so nothing can stand in for it. With a seed from
 * PATTERN_MIXED on, only the first words differ from each other, more or fewer by page, and the others repeat the last of them: pages
 * of all kinds, from noise to one word over and over.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdint.h>

#define PAGE_BYTES	4096
#define PAGE_WORDS	(PAGE_BYTES / 8)
#define PATTERN_MIXED	1000

/* words of a page that differ: as it is, in each class, and in the map alone */
static inline unsigned int pattern_words(uint64_t seed, uint64_t page)
{
	static const unsigned int words[] = { PAGE_WORDS, PAGE_WORDS, 300, 230, 110, 50, 1 };

	return seed < PATTERN_MIXED ? PAGE_WORDS : words[page % (sizeof(words) / sizeof(words[0]))];
}

static inline uint64_t pattern_word(uint64_t seed, uint64_t page, uint64_t round, unsigned int word)
{
	unsigned int words = pattern_words(seed, page);
	/* splitmix64 finalizer (Steele, Lea, Flood 2014) */
	uint64_t x = (seed + page * 0x9e3779b97f4a7c15ull) ^ round << 40 ^ (uint64_t)(word < words ? word : words - 1) << 52;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 27;
}

static inline void pattern_fill(uint64_t *to, uint64_t seed, uint64_t page, uint64_t round)
{
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		to[i] = pattern_word(seed, page, round, i);
}

/* how many words are not what they should be */
static inline unsigned int pattern_wrong(const uint64_t *from, uint64_t seed, uint64_t page, uint64_t round)
{
	unsigned int i, wrong = 0;

	for (i = 0; i < PAGE_WORDS; i++)
		wrong += from[i] != pattern_word(seed, page, round, i);
	return wrong;
}

#endif
