/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages like those that are swapped out, by number: kind, seed and number give the same page anywhere, so whoever compares needs no
 * copy. How they compress was set beside real ones: English books, JSON lines of a web service, heaps of running programs.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CORPUS_BYTES	4096

enum corpus_kind { CORPUS_ZERO, CORPUS_TEXT, CORPUS_JSON, CORPUS_HEAP, CORPUS_RANDOM, CORPUS_KINDS };

static const char * const corpus_names[CORPUS_KINDS] = { "zero", "text", "json", "heap", "random" };

/* xorshift64* (Vigna 2016), started from a splitmix64 finalizer so that neighbouring numbers have nothing in common */
struct corpus_random {
	uint64_t x;
};

static inline uint64_t corpus_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline uint64_t corpus_next(struct corpus_random *r)
{
	r->x ^= r->x >> 12;
	r->x ^= r->x << 25;
	r->x ^= r->x >> 27;
	return r->x * 0x2545f4914f6cdd1dull;
}

static inline uint32_t corpus_below(struct corpus_random *r, uint32_t n)
{
	return (corpus_next(r) >> 32) * n >> 32;
}

/* ---- a page being filled: of what is written, the first skip bytes fall before the page, and the end beyond it ---- */
struct corpus_out {
	char *page;
	size_t skip, used;
};

static inline int corpus_full(const struct corpus_out *o)
{
	return o->used == CORPUS_BYTES;
}

static inline void corpus_put(struct corpus_out *o, const void *from, size_t n)
{
	size_t before = n < o->skip ? n : o->skip, room = CORPUS_BYTES - o->used;

	o->skip -= before;
	n -= before;
	if (n > room)
		n = room;
	memcpy(o->page + o->used, (const char *)from + before, n);
	o->used += n;
}

static inline void corpus_string(struct corpus_out *o, const char *s)
{
	corpus_put(o, s, strlen(s));
}

/* ---- text: words by Zipf's law, a few of them the page's own subject ---- */
#define CORPUS_WORDS	6000
#define CORPUS_WORD	24

/* the most frequent words of English, in that order; the rarer ones are made of syllables */
static const char * const corpus_common[] = {
	"the", "of", "and", "to", "a", "in", "that", "is", "was", "he", "for", "it", "with", "as", "his", "on", "be", "at", "by", "I",
	"this", "had", "not", "are", "but", "from", "or", "have", "an", "they", "which", "one", "you", "were", "her", "all", "she",
	"there", "would", "their", "we", "him", "been", "has", "when", "who", "will", "more", "no", "if", "out", "so", "said", "what",
	"up", "its", "about", "into", "than", "them", "can", "only", "other", "new", "some", "could", "time", "these", "two", "may",
	"then", "do", "first", "any", "my", "now", "such", "like", "our", "over", "man", "me", "even", "most", "made", "after", "also",
	"did", "many", "before", "must", "through", "back", "years", "where", "much", "your", "way", "well", "down", "should",
	"because", "each", "just", "those", "people", "how", "too", "little", "state", "good", "very", "make", "world", "still", "own",
	"see", "men", "work", "long", "get", "here", "between", "both", "life", "being", "under", "never", "day", "same", "another",
	"know", "while", "last", "might", "us", "great", "old", "year", "off", "come", "since", "against", "go", "came", "right",
	"used", "take", "three",
};

#define CORPUS_COMMON	(sizeof(corpus_common) / sizeof(corpus_common[0]))

struct corpus_words {
	char word[CORPUS_WORDS][CORPUS_WORD];
	uint64_t sum[CORPUS_WORDS];	/* of the weights up to here */
};

static inline void corpus_word(struct corpus_random *r, char *word)
{
	static const char * const onset[] = { "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr",
					      "pr", "ch", "sh", "gr", "pl", "cr", "" };
	static const char * const nucleus[] = { "a", "e", "i", "o", "u", "ea", "ou", "ai", "io", "e", "a", "i" };
	static const char * const coda[] = { "", "", "", "n", "r", "s", "t", "l", "nd", "ct", "m", "d", "st", "ck", "rt", "ng" };
	static const char * const ending[] = { "", "", "", "", "s", "ed", "ing", "er", "ly", "tion", "al", "ment", "ive", "ness", "y" };
	unsigned int i, n = 1 + corpus_below(r, 2) + !corpus_below(r, 3);

	word[0] = 0;
	for (i = 0; i < n; i++) {
		strcat(word, onset[corpus_below(r, 24)]);
		strcat(word, nucleus[corpus_below(r, 12)]);
		strcat(word, coda[corpus_below(r, 16)]);
	}
	strcat(word, ending[corpus_below(r, 15)]);
}

static inline const struct corpus_words *corpus_words(void)
{
	static struct corpus_words w;
	struct corpus_random r = { 20 };	/* the language is the same for every seed */
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < CORPUS_WORDS && !w.sum[CORPUS_WORDS - 1]; i++) {
		if (i < CORPUS_COMMON)
			strcpy(w.word[i], corpus_common[i]);
		else
			corpus_word(&r, w.word[i]);
		sum += 1000000000 / (10 * i + 37);	/* Zipf and Mandelbrot: 1 / (rank + 2.7) */
		w.sum[i] = sum;
	}
	return &w;
}

static inline unsigned int corpus_rank(const struct corpus_words *w, struct corpus_random *r)
{
	uint64_t at = corpus_next(r) % w->sum[CORPUS_WORDS - 1];
	unsigned int low = 0, high = CORPUS_WORDS - 1;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (w->sum[mid] > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

#define CORPUS_SUBJECT	24

struct corpus_text {
	struct corpus_random *r;
	unsigned int subject[CORPUS_SUBJECT];	/* ranks */
};

static inline void corpus_text_start(struct corpus_text *t, struct corpus_random *r)
{
	unsigned int i;

	t->r = r;
	for (i = 0; i < CORPUS_SUBJECT; i++)
		t->subject[i] = CORPUS_COMMON + corpus_below(r, CORPUS_WORDS - CORPUS_COMMON);
}

static inline const char *corpus_text_word(struct corpus_text *t)
{
	const struct corpus_words *w = corpus_words();

	return w->word[corpus_below(t->r, 100) < 18 ? t->subject[corpus_below(t->r, CORPUS_SUBJECT)] : corpus_rank(w, t->r)];
}

static inline void corpus_sentence(struct corpus_out *o, struct corpus_text *t)
{
	unsigned int i, n = 5 + corpus_below(t->r, 22);
	char word[CORPUS_WORD];

	for (i = 0; i < n; i++) {
		strcpy(word, corpus_text_word(t));
		if (i == 0 && word[0] >= 'a')
			word[0] -= 'a' - 'A';
		corpus_string(o, word);
		if (i + 1 < n)
			corpus_string(o, corpus_below(t->r, 11) ? " " : ", ");
	}
	corpus_string(o, corpus_below(t->r, 12) ? "." : "?");
	corpus_string(o, corpus_below(t->r, 6) ? " " : "\n\n");
}

/* ---- JSON: a service's records, one to a line ---- */
static inline void corpus_record(struct corpus_out *o, struct corpus_text *t, uint64_t id, uint64_t ms)
{
	static const char * const level[] = { "info", "info", "info", "info", "debug", "warn", "error" };
	static const char * const method[] = { "GET", "GET", "GET", "POST", "PUT", "DELETE" };
	static const char * const path[] = { "orders", "users", "items", "sessions", "payments", "reports" };
	static const unsigned int status[] = { 200, 200, 200, 200, 201, 204, 301, 404, 500 };
	struct corpus_random *r = t->r;
	char line[512];
	unsigned int s = ms / 1000 % 86400;

	snprintf(line, sizeof(line), "{\"id\":%llu,\"time\":\"2026-03-14T%02u:%02u:%02u.%03uZ\",\"level\":\"%s\",\"host\":\"web-%02u\","
		 "\"request\":{\"method\":\"%s\",\"path\":\"/api/v1/%s/%u\",\"agent\":\"Mozilla/5.0 (X11; Linux x86_64)\"},"
		 "\"response\":{\"status\":%u,\"bytes\":%u,\"ms\":%u.%u,\"cached\":%s},\"user\":{\"id\":%u,\"name\":\"",
		 (unsigned long long)id, s / 3600, s / 60 % 60, s % 60, (unsigned int)(ms % 1000), level[corpus_below(r, 7)],
		 corpus_below(r, 12), method[corpus_below(r, 6)], path[corpus_below(r, 6)], corpus_below(r, 100000),
		 status[corpus_below(r, 9)], corpus_below(r, 20000), corpus_below(r, 300), corpus_below(r, 10),
		 corpus_below(r, 4) ? "true" : "false", corpus_below(r, 50000));
	corpus_string(o, line);
	corpus_string(o, corpus_text_word(t));
	corpus_string(o, "\",\"active\":true,\"role\":\"member\"},\"tags\":[\"");
	corpus_string(o, corpus_text_word(t));
	corpus_string(o, "\",\"");
	corpus_string(o, corpus_text_word(t));
	corpus_string(o, "\"],\"error\":null}\n");
}

static inline void corpus_json(struct corpus_out *o, struct corpus_text *t)
{
	uint64_t id = 1000000 + corpus_next(t->r) % 300000000, ms = corpus_next(t->r) % 86400000;

	while (!corpus_full(o)) {
		corpus_record(o, t, id, ms);
		id += 1 + corpus_below(t->r, 3);
		ms += corpus_below(t->r, 400);
	}
}

/* ---- a heap: chunks with their sizes before them, as glibc lays them out ---- */
#define CORPUS_POPULAR	12

struct corpus_arena {
	uint64_t at;				/* where the page lies */
	uint64_t popular[CORPUS_POPULAR];	/* what many others point to: classes, interned strings, a parent */
};

static inline uint64_t corpus_pointer(struct corpus_random *r, const struct corpus_arena *a)
{
	switch (corpus_below(r, 8)) {
	case 0:
	case 1:
		return 0;
	case 2:	/* into a library: one of a few functions or constants */
		return 0x00007f3a5c000000ull + corpus_mix(corpus_below(r, 16)) % 0x200000 / 8 * 8;
	case 3:	/* another chunk, near by as a rule */
	case 4:
		return a->at + (corpus_below(r, corpus_below(r, 8) ? 1 << 9 : 1 << 20) << 4) + 16;
	default:
		return a->popular[corpus_below(r, CORPUS_POPULAR)];
	}
}

static inline void corpus_put_word(struct corpus_out *o, uint64_t word)
{
	corpus_put(o, &word, sizeof(word));
}

static inline void corpus_struct(struct corpus_out *o, struct corpus_text *t, const struct corpus_arena *a, unsigned int type)
{
	struct corpus_random *r = t->r, shape = { corpus_mix(type) };	/* structs of a type have the same members */
	unsigned int i, words = 1 + 2 * (1 + corpus_below(&shape, 5));
	char s[32];

	corpus_put_word(o, (words + 1) * 8 | 1);
	for (i = 0; i < words; i++)
		switch (corpus_below(&shape, 9)) {
		case 0:
		case 1:
		case 2:
			corpus_put_word(o, corpus_pointer(r, a));
			break;
		case 3:
			corpus_put_word(o, corpus_below(r, 1 + corpus_below(r, 30)));
			break;
		case 4:	/* two small numbers */
			corpus_put_word(o, (uint64_t)corpus_below(r, 4) << 32 | corpus_below(r, 500));
			break;
		case 5:	/* the type's own: a table of functions, a class */
			corpus_put_word(o, 0x000055d3b8a00000ull + corpus_mix(type) % 0x40000 / 16 * 16);
			break;
		case 6:	/* a short string in place */
			memset(s, 0, sizeof(s));
			strncpy(s, corpus_text_word(t), 8);
			corpus_put(o, s, 8);
			break;
		default:
			corpus_put_word(o, 0);
		}
}

static inline void corpus_chunk_string(struct corpus_out *o, struct corpus_text *t)
{
	char s[160] = "";
	unsigned int i, n = 1 + corpus_below(t->r, 3), bytes;

	for (i = 0; i < n; i++) {
		strcat(s, i ? corpus_text_word(t) : corpus_words()->word[t->subject[corpus_below(t->r, 4)]]);
		strcat(s, i + 1 < n ? (corpus_below(t->r, 2) ? "_" : "/") : "");
	}
	bytes = ((strlen(s) + 1 + 8 + 15) & ~15u) - 8;	/* what malloc gives for it */
	corpus_put_word(o, (bytes + 8) | 1);
	corpus_put(o, s, bytes);	/* zeros behind the string */
}

/* a hash table: mostly empty */
static inline void corpus_chunk_table(struct corpus_out *o, struct corpus_random *r, const struct corpus_arena *a)
{
	unsigned int i, words = 15 + 16 * corpus_below(r, 8), filled = 1 + corpus_below(r, 3);

	corpus_put_word(o, (words + 1) * 8 | 1);
	for (i = 0; i < words; i++)
		corpus_put_word(o, corpus_below(r, 4) < filled ? corpus_pointer(r, a) : 0);
}

/* raw bytes: numbers in floating point, digests, compressed data */
static inline void corpus_chunk_bytes(struct corpus_out *o, struct corpus_random *r)
{
	unsigned int i, words = 3 + 2 * corpus_below(r, 16);

	corpus_put_word(o, (words + 1) * 8 | 1);
	for (i = 0; i < words; i++)
		corpus_put_word(o, corpus_next(r));
}

static inline void corpus_heap(struct corpus_out *o, struct corpus_text *t)
{
	struct corpus_random *r = t->r;
	struct corpus_arena a = { .at = 0x000055d3ba000000ull + (uint64_t)corpus_below(r, 4096) * CORPUS_BYTES };
	unsigned int types[4], i;

	for (i = 0; i < CORPUS_POPULAR; i++)
		a.popular[i] = a.at - (corpus_below(r, 1 << 14) << 4);
	for (i = 0; i < 4; i++)
		types[i] = corpus_below(r, 40);
	while (!corpus_full(o)) {
		unsigned int what = corpus_below(r, 100);

		if (what < 78)
			corpus_struct(o, t, &a, types[corpus_below(r, 4)]);
		else if (what < 94)
			corpus_chunk_string(o, t);
		else if (what < 99)
			corpus_chunk_table(o, r, &a);
		else
			corpus_chunk_bytes(o, r);
	}
}

/* Page number of that kind and seed into the CORPUS_BYTES at page. */
static inline void corpus_page(enum corpus_kind kind, uint64_t seed, uint64_t number, void *page)
{
	struct corpus_random r = { corpus_mix(corpus_mix(seed * CORPUS_KINDS + kind) ^ number) | 1 };
	struct corpus_out o = { .page = page, .skip = kind == CORPUS_HEAP ? corpus_below(&r, 8) * 16 : corpus_below(&r, 300) };
	struct corpus_text t;

	corpus_text_start(&t, &r);
	switch (kind) {
	case CORPUS_TEXT:
		while (!corpus_full(&o))
			corpus_sentence(&o, &t);
		break;
	case CORPUS_JSON:
		corpus_json(&o, &t);
		break;
	case CORPUS_HEAP:
		corpus_heap(&o, &t);
		break;
	case CORPUS_RANDOM:
		while (!corpus_full(&o))
			corpus_put_word(&o, corpus_next(&r));
		break;
	default:
		memset(page, 0, CORPUS_BYTES);
	}
}

#endif
