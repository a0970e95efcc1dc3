// SPDX-License-Identifier: GPL-2.0
/* Codecs. The libraries are called directly: no crypto API, which sleeps, allocates, and differs from kernel to kernel. */
#include "codec.h"
#ifdef __KERNEL__
#include <linux/lz4.h>
#include <linux/lzo.h>
#include "compat/zstd.h"
#else
#include "codec_user.h"
#endif

/*
 * zstd's lowest level. Its parameters are taken for a source of one page, so that its tables are small. Level 3 would save 2 percent
 * more of a heap, by class, and take longer over it (tests/unit/codec_ratio).
 */
#define ZSTD_LEVEL	1

/*
 * LZO does not look where its output ends: there must be room for its worst case. zstd gets the same, which is more than its own: with
 * room for no more than is wanted it gives up on pages that would fit, 3 to 7 of 100 pages of text (codec_ratio).
 */
#define OUT_BYTES	lzo1x_worst_compress(FSW_PAGE)

#define WORK_BYTES	max_t(size_t, LZ4_MEM_COMPRESS, LZO1X_1_MEM_COMPRESS)

struct fsw_codec_scratch {
	void *work;		/* LZ4's or LZO's, whichever runs: neither keeps anything between calls */
	void *zstd_out_work;	/* cctx is in it */
	void *zstd_in_work;	/* dctx is in it */
	void *out;
	zstd_cctx *cctx;
	zstd_dctx *dctx;
};

static zstd_parameters zstd_params(void)
{
	zstd_parameters params = zstd_get_params(ZSTD_LEVEL, FSW_PAGE);

	params.fParams.contentSizeFlag = 1;	/* a byte more, and a frame of another size is known at once */
	params.fParams.checksumFlag = 0;	/* the map has one */
	params.fParams.noDictIDFlag = 1;
	return params;
}

static int scratch_init(struct fsw_codec_scratch *s, int node)
{
	zstd_parameters params = zstd_params();
	size_t out_bytes = zstd_cctx_workspace_bound(&params.cParams), in_bytes = zstd_dctx_workspace_bound();

	s->work = kvmalloc_node(WORK_BYTES, GFP_KERNEL, node);
	s->zstd_out_work = kvmalloc_node(out_bytes, GFP_KERNEL, node);
	s->zstd_in_work = kvmalloc_node(in_bytes, GFP_KERNEL, node);
	s->out = kvmalloc_node(OUT_BYTES, GFP_KERNEL, node);
	if (!s->work || !s->zstd_out_work || !s->zstd_in_work || !s->out)
		return -ENOMEM;
	s->cctx = zstd_init_cctx(s->zstd_out_work, out_bytes);
	s->dctx = zstd_init_dctx(s->zstd_in_work, in_bytes);
	return s->cctx && s->dctx ? 0 : -ENOMEM;
}

static void scratch_exit(struct fsw_codec_scratch *s)
{
	kvfree(s->out);
	kvfree(s->zstd_in_work);
	kvfree(s->zstd_out_work);
	kvfree(s->work);
}

int fsw_codecs_init(struct fsw_codecs *codecs)
{
	int cpu, ret = 0;

	codecs->scratch = alloc_percpu(struct fsw_codec_scratch);
	if (!codecs->scratch)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		ret = scratch_init(per_cpu_ptr(codecs->scratch, cpu), cpu_to_node(cpu));
		if (ret) {
			fsw_codecs_exit(codecs);
			break;
		}
	}
	return ret;
}

void fsw_codecs_exit(struct fsw_codecs *codecs)
{
	int cpu;

	if (!codecs->scratch)
		return;
	for_each_possible_cpu(cpu)
		scratch_exit(per_cpu_ptr(codecs->scratch, cpu));
	free_percpu(codecs->scratch);
	codecs->scratch = NULL;
}

/* ---- out ---- */

static size_t lzo_compress(struct fsw_codec_scratch *s, const void *page)
{
	size_t n = OUT_BYTES;

	return lzo1x_1_compress(page, FSW_PAGE, s->out, &n, s->work) == LZO_E_OK ? n : 0;
}

static size_t zstd_compress(struct fsw_codec_scratch *s, const void *page)
{
	zstd_parameters params = zstd_params();
	size_t n = zstd_compress_cctx(s->cctx, s->out, OUT_BYTES, page, FSW_PAGE, &params);

	return zstd_is_error(n) ? 0 : n;
}

unsigned int fsw_compress(struct fsw_codecs *codecs, enum farswap_codec codec, const void *page, const void **out)
{
	struct fsw_codec_scratch *s = this_cpu_ptr(codecs->scratch);
	size_t n = 0;

	switch (codec) {
	case FARSWAP_CODEC_LZ4:
		n = LZ4_compress_default(page, s->out, FSW_PAGE, FSW_COMPRESSED_MAX, s->work);
		break;
	case FARSWAP_CODEC_LZO:
		n = lzo_compress(s, page);
		break;
	case FARSWAP_CODEC_ZSTD:
		n = zstd_compress(s, page);
		break;
	default:
		break;
	}
	*out = s->out;
	return n <= FSW_COMPRESSED_MAX ? n : 0;
}

/* ---- in ---- */

static int as_it_is(const void *src, unsigned int length, void *page)
{
	if (length != FSW_PAGE)
		return -EBADMSG;
	memcpy(page, src, FSW_PAGE);
	return 0;
}

static bool lzo_whole(const void *src, unsigned int length, void *page)
{
	size_t n = FSW_PAGE;

	return lzo1x_decompress_safe(src, length, page, &n) == LZO_E_OK && n == FSW_PAGE;
}

/* An error is a length beyond any buffer. The working memory is this CPU's, so nobody else may run on it meanwhile. */
static bool zstd_whole(struct fsw_codecs *codecs, const void *src, unsigned int length, void *page)
{
	struct fsw_codec_scratch *s = get_cpu_ptr(codecs->scratch);
	size_t n = zstd_decompress_dctx(s->dctx, page, FSW_PAGE, src, length);

	put_cpu_ptr(codecs->scratch);
	return n == FSW_PAGE;
}

void *fsw_codec_bounce(struct fsw_codecs *codecs)
{
	return this_cpu_ptr(codecs->scratch)->out;
}

int fsw_decompress(struct fsw_codecs *codecs, enum farswap_codec codec, const void *src, unsigned int length, void *page)
{
	bool whole = false;

	if (codec == FARSWAP_CODEC_NONE)
		return as_it_is(src, length, page);
	if (!length || length > FSW_COMPRESSED_MAX)
		return -EBADMSG;
	switch (codec) {
	case FARSWAP_CODEC_LZ4:
		whole = LZ4_decompress_safe(src, page, length, FSW_PAGE) == FSW_PAGE;
		break;
	case FARSWAP_CODEC_LZO:
		whole = lzo_whole(src, length, page);
		break;
	case FARSWAP_CODEC_ZSTD:
		whole = zstd_whole(codecs, src, length, page);
		break;
	default:
		break;
	}
	return whole ? 0 : -EBADMSG;
}

/* ---- names ---- */

static const char * const names[FARSWAP_CODECS] = FARSWAP_CODEC_NAMES;

const char *fsw_codec_name(enum farswap_codec codec)
{
	return codec < FARSWAP_CODECS ? names[codec] : "unknown";
}

int fsw_codec_parse(const char *name)
{
	int codec;

	for (codec = 0; codec < FARSWAP_CODECS; codec++)
		if (!strcmp(name, names[codec]))
			return codec;
	return -EINVAL;
}

/* ---- pages of one word ---- */

bool fsw_same_filled(const void *page, u64 *word)
{
	const u64 *words = page;
	unsigned int i, last = FSW_PAGE / sizeof(u64) - 1;

	if (words[0] != words[last])	/* most pages that begin with zeros do not end with them: as zram, look there first */
		return false;
	for (i = 1; i < last; i++)
		if (words[i] != words[0])
			return false;
	*word = words[0];
	return true;
}

void fsw_fill(void *page, u64 word)
{
	memset64(page, word, FSW_PAGE / sizeof(u64));
}
