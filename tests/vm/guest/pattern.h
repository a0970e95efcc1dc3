/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What swapcheck writes into a page: every word of it tells the page, the round and its own place in the page, so nothing can stand in for
 * it, and what stands there instead can be named. With a seed from PATTERN_MIXED on, only the first words differ from each other, more or
 * fewer by page, and the others repeat the last of them: pages of all kinds, from noise to one word over and over.
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

/* which of them a word is */
static inline unsigned int pattern_place(uint64_t seed, uint64_t page, unsigned int word)
{
	unsigned int words = pattern_words(seed, page);

	return word < words ? word : words - 1;
}

/* page below 2^32, round below 2^23. A word is page, round and place, stirred by splitmix64's finalizer (Steele, Lea, Flood 2014). */
static inline uint64_t pattern_word(uint64_t seed, uint64_t page, uint64_t round, unsigned int word)
{
	uint64_t x = (page << 32 | round << 9 | pattern_place(seed, page, word)) + seed * 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* pattern_word() backwards: page << 32 | round << 9 | place */
static inline uint64_t pattern_source(uint64_t seed, uint64_t x)
{
	x = (x ^ x >> 31 ^ x >> 62) * 0x319642b2d24d8ec3ull;
	x = (x ^ x >> 27 ^ x >> 54) * 0x96de1b173f119089ull;
	return (x ^ x >> 30 ^ x >> 60) - seed * 0x9e3779b97f4a7c15ull;
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

enum pattern_kind {
	PATTERN_RIGHT,
	PATTERN_STALE,		/* this page in an older round */
	PATTERN_MISPLACED,	/* another page */
	PATTERN_TORN,		/* words of more than one */
	PATTERN_GARBAGE,	/* words that were never written there */
	PATTERN_KINDS
};

#define PATTERN_KIND_NAMES { "right", "stale", "misplaced", "torn", "garbage" }

/* What a page is; pages up to last_page were written. */
static inline enum pattern_kind pattern_judge(const uint64_t *from, uint64_t seed, uint64_t page, uint64_t round, uint64_t last_page)
{
	uint64_t first = pattern_source(seed, from[0]) >> 9, source, at;
	unsigned int i;
	int torn = 0;

	if (!pattern_wrong(from, seed, page, round))
		return PATTERN_RIGHT;
	for (i = 0; i < PAGE_WORDS; i++) {
		source = pattern_source(seed, from[i]);
		at = source >> 32;
		if (at > last_page || (source & 511) != pattern_place(seed, at, i))
			return PATTERN_GARBAGE;
		torn |= source >> 9 != first;
	}
	if (torn)
		return PATTERN_TORN;
	return first >> 23 == page ? PATTERN_STALE : PATTERN_MISPLACED;
}

#endif
