// SPDX-License-Identifier: GPL-2.0
/*
 * The codecs: a page comes back bit for bit, what does not shrink is left alone, and bytes that were tampered with never give more than
 * one whole page or an error. Sources and pages end and begin at memory that traps, because the libraries are not built with
 * sanitizers (make fuzz has the kernel's own, which are). FARSWAP_CASES sets the number of malformed sources for each codec (default
 * 200000), FARSWAP_SEED the seed.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "../vm/guest/corpus.h"
#include "codec.h"

#define PAGES	200	/* of each kind */
#define EACH_CODEC(codec) for (codec = FARSWAP_CODEC_LZ4; codec < FARSWAP_CODECS; codec++)

int world_cpu;

static struct fsw_codecs codecs;
static u8 *source;	/* FSW_PAGE bytes, and beyond each end memory that traps */
static u8 *target;	/* the same */
static u64 seed;

static u64 number(const char *name, u64 otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

static u8 *fenced(void)
{
	u8 *p = mmap(NULL, 3 * FSW_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + FSW_PAGE, FSW_PAGE, PROT_READ | PROT_WRITE), 0);
	return p + FSW_PAGE;
}

/* Decompress length bytes that end where the trap begins. */
static int decompress(enum farswap_codec codec, const u8 *bytes, unsigned int length)
{
	u8 *at = source + FSW_PAGE - length;

	memmove(at, bytes, length);
	return fsw_decompress(&codecs, codec, at, length, target);
}

static unsigned int compress(enum farswap_codec codec, const void *page, u8 *to)
{
	const void *out = NULL;
	unsigned int n;

	memcpy(source, page, FSW_PAGE);
	n = fsw_compress(&codecs, codec, source, &out);
	assert_in_range(n, 0, FSW_COMPRESSED_MAX);
	assert_memory_equal(source, page, FSW_PAGE);
	memcpy(to, out, n);
	return n;
}

/* pages of every kind that shrinks, compressed by each codec */
#define SAMPLES	64

static struct {
	u8 bytes[FSW_COMPRESSED_MAX];
	unsigned int length;
	u8 page[FSW_PAGE];
} samples[FARSWAP_CODECS][SAMPLES];

static void take_samples(void)
{
	enum farswap_codec codec;
	unsigned int i, number;

	EACH_CODEC(codec)
		for (i = number = 0; i < SAMPLES; number++) {
			corpus_page(number % CORPUS_RANDOM, seed, number, samples[codec][i].page);
			samples[codec][i].length = compress(codec, samples[codec][i].page, samples[codec][i].bytes);
			i += samples[codec][i].length > 0;
		}
}

static int start(void **state)
{
	(void)state;
	seed = number("FARSWAP_SEED", 1);
	source = fenced();
	target = fenced();
	assert_int_equal(fsw_codecs_init(&codecs), 0);
	take_samples();
	return 0;
}

static int end(void **state)
{
	(void)state;
	fsw_codecs_exit(&codecs);
	fsw_codecs_exit(&codecs);	/* as a failed init leaves it to the caller */
	munmap(source - FSW_PAGE, 3 * FSW_PAGE);
	munmap(target - FSW_PAGE, 3 * FSW_PAGE);
	return 0;
}

static void a_page_comes_back_bit_for_bit(void **state)
{
	u8 page[FSW_PAGE], bytes[FSW_COMPRESSED_MAX];
	unsigned int i, kind, n, shrunk[FARSWAP_CODECS][CORPUS_KINDS] = { 0 };
	enum farswap_codec codec;

	(void)state;
	for (i = 0; i < PAGES * CORPUS_KINDS; i++)
		EACH_CODEC(codec) {
			kind = i % CORPUS_KINDS;
			corpus_page(kind, seed, i, page);
			world_cpu = i & 1;
			n = compress(codec, page, bytes);
			world_cpu = i >> 1 & 1;
			if (!n)
				continue;
			shrunk[codec][kind]++;
			memset(target, 0xa5, FSW_PAGE);
			assert_int_equal(decompress(codec, bytes, n), 0);
			assert_memory_equal(target, page, FSW_PAGE);
		}
	EACH_CODEC(codec) {
		assert_int_equal(shrunk[codec][CORPUS_ZERO], PAGES);
		assert_true(shrunk[codec][CORPUS_JSON] > PAGES * 9 / 10);
		assert_true(shrunk[codec][CORPUS_HEAP] > PAGES * 9 / 10);
		assert_int_equal(shrunk[codec][CORPUS_RANDOM], 0);
	}
	assert_true(shrunk[FARSWAP_CODEC_ZSTD][CORPUS_TEXT] > PAGES * 7 / 10);
}

/* from all zero to all random: at each codec's edge, lengths up to the longest allowed, and no further */
static void what_does_not_shrink_enough_is_left_alone(void **state)
{
	u8 zero[FSW_PAGE] = { 0 }, random[FSW_PAGE], page[FSW_PAGE], bytes[FSW_COMPRESSED_MAX];
	unsigned int n, cut, longest;
	enum farswap_codec codec;

	(void)state;
	corpus_page(CORPUS_RANDOM, seed, 0, random);
	EACH_CODEC(codec) {
		longest = 0;
		for (cut = 0; cut <= FSW_PAGE; cut++) {
			memcpy(page, random, cut);
			memcpy(page + cut, zero, FSW_PAGE - cut);
			n = compress(codec, page, bytes);
			assert_true(n ? cut < FSW_COMPRESSED_MAX : cut > FSW_COMPRESSED_MAX - 128);
			if (!n)
				continue;
			longest = n > longest ? n : longest;
			assert_int_equal(decompress(codec, bytes, n), 0);
			assert_memory_equal(target, page, FSW_PAGE);
		}
		assert_in_range(longest, FSW_COMPRESSED_MAX - 32, FSW_COMPRESSED_MAX);
	}
	assert_int_equal(compress(FARSWAP_CODEC_NONE, zero, bytes), 0);
}

static void without_a_codec_only_a_whole_page_is_one(void **state)
{
	u8 page[FSW_PAGE];

	(void)state;
	corpus_page(CORPUS_RANDOM, seed, 1, page);
	assert_int_equal(decompress(FARSWAP_CODEC_NONE, page, FSW_PAGE), 0);
	assert_memory_equal(target, page, FSW_PAGE);
	assert_int_equal(decompress(FARSWAP_CODEC_NONE, page, FSW_PAGE - 1), -EBADMSG);
	assert_int_equal(decompress(FARSWAP_CODEC_NONE, page, 0), -EBADMSG);
}

/* ---- malformed ---- */

static void garbage(struct corpus_random *r, u8 *bytes, unsigned int n)
{
	while (n--)
		*bytes++ = corpus_next(r) >> 56;
}

/* Change the length bytes in one way or another; the new length, at most FSW_PAGE. */
static unsigned int mutate(struct corpus_random *r, u8 *bytes, unsigned int length)
{
	unsigned int i, n, at = corpus_below(r, length), to = corpus_below(r, length);
	const typeof(samples[0][0]) *other = &samples[1 + corpus_below(r, FARSWAP_CODECS - 1)][corpus_below(r, SAMPLES)];

	switch (corpus_below(r, 9)) {
	case 0:		/* bits flip */
		for (i = 1 + corpus_below(r, 8); i; i--)
			bytes[corpus_below(r, length)] ^= 1 << corpus_below(r, 8);
		return length;
	case 1:		/* a byte, most often one at the beginning: headers, lengths */
		bytes[at % (1 + corpus_below(r, 16))] = corpus_next(r) >> 56;
		return length;
	case 2:		/* the largest and smallest numbers */
		n = 1 + corpus_below(r, 4);
		memset(bytes + at, corpus_below(r, 2) ? 0xff : 0, n < length - at ? n : length - at);
		return length;
	case 3:		/* cut short */
		return at;
	case 4:		/* length says more than there is */
		n = corpus_below(r, FSW_PAGE - length + 1);
		garbage(r, bytes + length, n);
		return length + n;
	case 5:		/* a piece from elsewhere in it */
		n = length - (at > to ? at : to);
		memmove(bytes + at, bytes + to, 1 + corpus_below(r, n));
		return length;
	case 6:		/* a byte lost */
		memmove(bytes + at, bytes + at + 1, length - at - 1);
		return length - 1;
	case 7:		/* the end of another page, perhaps by another codec */
		n = other->length - corpus_below(r, other->length);
		n = n < FSW_PAGE - at ? n : FSW_PAGE - at;
		memcpy(bytes + at, other->bytes, n);
		return at + n;
	default:	/* nothing but garbage */
		n = corpus_below(r, FSW_COMPRESSED_MAX + 64);
		garbage(r, bytes, n);
		return n;
	}
}

/* Either an error, or a whole page that the bytes alone made: the same again over other bytes and in other working memory. */
static bool error_or_whole_page(enum farswap_codec codec, const u8 *bytes, unsigned int length)
{
	static u8 first[FSW_PAGE];
	int ret;

	world_cpu = 0;
	memset(target, 0, FSW_PAGE);
	ret = decompress(codec, bytes, length);
	if (ret) {
		assert_int_equal(ret, -EBADMSG);
		return false;
	}
	memcpy(first, target, FSW_PAGE);
	world_cpu = 1;
	memset(target, 0xff, FSW_PAGE);
	assert_int_equal(decompress(codec, bytes, length), 0);
	assert_memory_equal(target, first, FSW_PAGE);
	return true;
}

static void malformed_bytes_give_an_error_or_a_page(void **state)
{
	u64 i, cases = number("FARSWAP_CASES", 200000), pages, right;
	struct corpus_random r = { corpus_mix(seed) | 1 };
	enum farswap_codec codec;
	u8 bytes[FSW_PAGE];

	(void)state;
	EACH_CODEC(codec) {
		pages = right = 0;
		for (i = 0; i < cases; i++) {
			const typeof(samples[0][0]) *s = &samples[codec][corpus_below(&r, SAMPLES)];
			unsigned int n;

			memcpy(bytes, s->bytes, s->length);
			n = mutate(&r, bytes, s->length);
			if (n > 1 && !corpus_below(&r, 4))
				n = mutate(&r, bytes, n);
			if (!error_or_whole_page(codec, bytes, n))
				continue;
			pages++;
			if (n == s->length && !memcmp(bytes, s->bytes, n)) {
				right++;
				assert_memory_equal(target, s->page, FSW_PAGE);
			}
		}
		printf("%s: %llu malformed, %llu made a page of some kind, %llu were as before\n", fsw_codec_name(codec),
		       (unsigned long long)cases, (unsigned long long)pages, (unsigned long long)right);
		assert_true(cases < 10000 || (pages > right && right && pages < cases));
	}
}

/* right bytes under a wrong number: never that page, unless the number is right */
static void a_wrong_codec_or_length_is_an_error(void **state)
{
	unsigned int codec, as;

	(void)state;
	EACH_CODEC(codec) {
		typeof(&samples[0][0]) s = &samples[codec][0];
		u8 longer[FSW_COMPRESSED_MAX + 1] = { 0 };

		for (as = 0; as < 16; as++)
			assert_int_equal(decompress(as, s->bytes, s->length), as == codec ? 0 : -EBADMSG);
		assert_int_equal(decompress(codec, s->bytes, 0), -EBADMSG);
		assert_int_equal(decompress(codec, s->bytes, s->length - 1), -EBADMSG);
		memcpy(longer, s->bytes, s->length);
		assert_int_equal(decompress(codec, longer, s->length + 1), -EBADMSG);
		assert_int_equal(decompress(codec, longer, FSW_COMPRESSED_MAX + 1), -EBADMSG);
	}
}

/* longer than anything that is ever stored, though zstd would find a page in it: a frame to be skipped comes first */
static void more_than_is_ever_stored_is_an_error(void **state)
{
	u8 bytes[FSW_PAGE] = { 0x50, 0x2a, 0x4d, 0x18 };
	u32 n = samples[FARSWAP_CODEC_ZSTD][0].length, skipped = FSW_COMPRESSED_MAX - 8 - n;

	(void)state;
	memcpy(bytes + 4, &skipped, 4);
	memcpy(bytes + 8 + skipped, samples[FARSWAP_CODEC_ZSTD][0].bytes, n);
	assert_int_equal(decompress(FARSWAP_CODEC_ZSTD, bytes, FSW_COMPRESSED_MAX), 0);
	skipped++;
	memcpy(bytes + 4, &skipped, 4);
	memcpy(bytes + 8 + skipped, samples[FARSWAP_CODEC_ZSTD][0].bytes, n);
	assert_int_equal(decompress(FARSWAP_CODEC_ZSTD, bytes, FSW_COMPRESSED_MAX + 1), -EBADMSG);
}

/* ---- the rest ---- */

static void a_page_of_one_word_is_known(void **state)
{
	u64 page[FSW_PAGE / 8], back[FSW_PAGE / 8], word, words[] = { 0, ~0ull, 0x0102030405060708ull, 1 };
	unsigned int i, at;

	(void)state;
	for (i = 0; i < 4; i++) {
		fsw_fill(page, words[i]);
		word = 77;
		assert_true(fsw_same_filled(page, &word));
		assert_true(word == words[i]);
		fsw_fill(back, word);
		assert_memory_equal(back, page, FSW_PAGE);
		for (at = 0; at < FSW_PAGE; at++) {
			((u8 *)page)[at] ^= 0x10;
			assert_false(fsw_same_filled(page, &word));
			((u8 *)page)[at] ^= 0x10;
		}
	}
}

static void names_and_numbers_agree(void **state)
{
	enum farswap_codec codec;

	(void)state;
	for (codec = 0; codec < FARSWAP_CODECS; codec++)
		assert_int_equal(fsw_codec_parse(fsw_codec_name(codec)), codec);
	assert_int_equal(FARSWAP_CODEC_NONE, 0);	/* they are in map entries */
	assert_int_equal(FARSWAP_CODEC_LZ4, 1);
	assert_int_equal(FARSWAP_CODEC_LZO, 2);
	assert_int_equal(FARSWAP_CODEC_ZSTD, 3);
	assert_in_range(FARSWAP_CODECS, 1, 16);
	assert_string_equal(fsw_codec_name(FARSWAP_CODECS), "unknown");
	assert_int_equal(fsw_codec_parse("lz5"), -EINVAL);
	assert_int_equal(fsw_codec_parse(""), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_comes_back_bit_for_bit),
		cmocka_unit_test(what_does_not_shrink_enough_is_left_alone),
		cmocka_unit_test(without_a_codec_only_a_whole_page_is_one),
		cmocka_unit_test(malformed_bytes_give_an_error_or_a_page),
		cmocka_unit_test(a_wrong_codec_or_length_is_an_error),
		cmocka_unit_test(more_than_is_ever_stored_is_an_error),
		cmocka_unit_test(a_page_of_one_word_is_known),
		cmocka_unit_test(names_and_numbers_agree),
	};

	return cmocka_run_group_tests(tests, start, end);
}
