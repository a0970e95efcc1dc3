// SPDX-License-Identifier: GPL-2.0
/*
 * codec_ratio [FILE...]: how far each codec shortens each kind of page of the corpus, or the pages of the files. For each: 4096 divided by
 * the mean stored length; the same with each length rounded up to its class, which is what remote memory is saved; and how many
 * pages in a hundred are stored as they are.
 */
#include <stdio.h>
#include "../vm/guest/corpus.h"
#include "codec.h"

#define PAGES	2000

int world_cpu;

static struct fsw_codecs codecs;

struct sum {
	unsigned long pages, raw, bytes, class_bytes;
};

static unsigned int class_bytes(unsigned int length)
{
	unsigned int class = 512;

	while (class < length)
		class *= 2;
	return class;
}

static void add(struct sum *sum, enum farswap_codec codec, const void *page)
{
	const void *out;
	unsigned int n = fsw_compress(&codecs, codec, page, &out);

	sum->pages++;
	sum->raw += !n;
	sum->bytes += n ? n : FSW_PAGE;
	sum->class_bytes += n ? class_bytes(n) : FSW_PAGE;
}

static void line(const char *name, const struct sum *sums)
{
	enum farswap_codec codec;

	printf("%-20.20s", name);
	for (codec = FARSWAP_CODEC_LZ4; codec < FARSWAP_CODECS; codec++) {
		const struct sum *s = &sums[codec];

		printf("  | %6.2f %6.2f %4.0f%%", (double)s->pages * FSW_PAGE / s->bytes, (double)s->pages * FSW_PAGE / s->class_bytes,
		       100.0 * s->raw / s->pages);
	}
	printf("\n");
}

static void kind(enum corpus_kind kind)
{
	struct sum sums[FARSWAP_CODECS] = { 0 };
	u64 page[FSW_PAGE / 8];
	enum farswap_codec codec;
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		corpus_page(kind, 1, i, page);
		for (codec = FARSWAP_CODEC_LZ4; codec < FARSWAP_CODECS; codec++)
			add(&sums[codec], codec, page);
	}
	line(corpus_names[kind], sums);
}

static int file(const char *path)
{
	struct sum sums[FARSWAP_CODECS] = { 0 };
	u64 page[FSW_PAGE / 8];
	enum farswap_codec codec;
	FILE *f = fopen(path, "r");

	while (f && fread(page, sizeof(page), 1, f) == 1)
		for (codec = FARSWAP_CODEC_LZ4; codec < FARSWAP_CODECS; codec++)
			add(&sums[codec], codec, page);
	if (f)
		fclose(f);
	if (!sums[FARSWAP_CODEC_LZ4].pages) {
		fprintf(stderr, "codec_ratio: %s cannot be read, or is shorter than a page of %d bytes\n", path, FSW_PAGE);
		return 1;
	}
	line(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, sums);
	return 0;
}

int main(int argc, char **argv)
{
	enum farswap_codec codec;
	int i, ret = 0;

	if (fsw_codecs_init(&codecs)) {
		fprintf(stderr, "codec_ratio: no memory for the codecs\n");
		return 1;
	}
	printf("%-20s", "");
	for (codec = FARSWAP_CODEC_LZ4; codec < FARSWAP_CODECS; codec++)
		printf("  | %-6s  class  raw", fsw_codec_name(codec));
	printf("\n");
	for (i = 1; i < argc; i++)
		ret |= file(argv[i]);
	for (i = 0; argc == 1 && i < CORPUS_KINDS; i++)
		kind(i);
	fsw_codecs_exit(&codecs);
	return ret;
}
