// SPDX-License-Identifier: GPL-2.0
/*
 * For libFuzzer: the first byte says which codec, and whether the rest is stored bytes or a page. Stored bytes are an error or one
 * whole page; a page comes back bit for bit, whatever it is. Built with -DSEEDS, it writes what to start from into the directory named.
 */
#include <stdio.h>
#include "../vm/guest/corpus.h"
#include "codec.h"

#define STORED	0x80	/* of the first byte: else it is a page */

int world_cpu;

static struct fsw_codecs codecs;

#ifdef SEEDS
static int write_seed(const char *dir, const char *what, int codec, unsigned int number, u8 head, const void *bytes, size_t n)
{
	char path[512];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/%s-%s-%u", dir, what, fsw_codec_name(codec), number);
	f = fopen(path, "w");
	if (!f)
		return 1;
	bad = fwrite(&head, 1, 1, f) != 1 || fwrite(bytes, 1, n, f) != n;
	return fclose(f) || bad;
}

int main(int argc, char **argv)
{
	u64 page[FSW_PAGE / 8];
	unsigned int i, n, codec;
	const void *out;
	int bad = argc != 2 || fsw_codecs_init(&codecs);

	for (i = 0; i < 8 * CORPUS_KINDS && !bad; i++) {
		corpus_page(i % CORPUS_KINDS, 1, i, page);
		for (codec = FARSWAP_CODEC_LZ4; codec < FARSWAP_CODECS; codec++) {
			n = fsw_compress(&codecs, codec, page, &out);
			bad |= write_seed(argv[1], "page", codec, i, codec, page, FSW_PAGE);
			bad |= n && write_seed(argv[1], "stored", codec, i, STORED | codec, out, n);
		}
	}
	if (bad)
		fprintf(stderr, "usage: fuzz_seeds DIR, one that can be written\n");
	return bad;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool it)
{
	if (!it)
		abort();
}

static void *copy(const void *from, size_t n)
{
	return memcpy(malloc(n), from, n);	/* of its own length, so that a byte too far is seen */
}

static void page_comes_back(enum farswap_codec codec, const void *page)
{
	const void *out;
	unsigned int n = fsw_compress(&codecs, codec, page, &out);
	void *stored, *back;

	must(n <= FSW_COMPRESSED_MAX);
	if (!n)
		return;
	stored = copy(out, n);
	back = malloc(FSW_PAGE);
	must(fsw_decompress(&codecs, codec, stored, n, back) == 0 && !memcmp(back, page, FSW_PAGE));
	free(back);
	free(stored);
}

static void stored_is_a_page_or_an_error(enum farswap_codec codec, const uint8_t *data, size_t size)
{
	void *stored = copy(data, size), *page = calloc(1, FSW_PAGE), *again = malloc(FSW_PAGE);
	int ret;

	memset(again, 0xff, FSW_PAGE);
	world_cpu = 0;
	ret = fsw_decompress(&codecs, codec, stored, size, page);
	must(ret == 0 || ret == -EBADMSG);
	world_cpu = 1;
	must(fsw_decompress(&codecs, codec, stored, size, again) == ret);
	if (!ret) {
		must(!memcmp(page, again, FSW_PAGE));	/* the bytes alone made it */
		page_comes_back(codec, page);
	}
	free(again);
	free(page);
	free(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum farswap_codec codec;
	u64 page[FSW_PAGE / 8] = { 0 };

	if (!codecs.scratch && fsw_codecs_init(&codecs))
		abort();
	if (!size)
		return 0;
	codec = data[0] & 15;
	if (data[0] & STORED) {
		stored_is_a_page_or_an_error(codec, data + 1, size - 1);
	} else {
		memcpy(page, data + 1, size - 1 < FSW_PAGE ? size - 1 : FSW_PAGE);
		page_comes_back(codec, page);
	}
	return 0;
}
#endif
