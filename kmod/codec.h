/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Codecs: a page made shorter and made whole again, by the kernel's own LZ4, LZO and zstd. They know pages and bytes, nothing of
 * slots, frames or windows. Built in user space too, over the libraries of the same names (tests/unit/codec_user.h).
 */
#ifndef FSW_CODEC_H
#define FSW_CODEC_H

#include "core.h"

#define FSW_COMPRESSED_MAX	(FSW_PAGE / 2)	/* bytes; more would need a whole frame, and the page as it is needs no codec */

struct fsw_codec_scratch;

struct fsw_codecs {
	struct fsw_codec_scratch __percpu *scratch;	/* working memory, and where compressed bytes come out */
};

/*
 * Working memory of every codec for every possible CPU, so that none is allocated later (about 250 KiB a CPU, most of it zstd's).
 * Process context, may sleep. 0 or -ENOMEM, and then nothing is held. exit: also after a failed init, and twice; nothing else runs.
 */
int fsw_codecs_init(struct fsw_codecs *codecs);
void fsw_codecs_exit(struct fsw_codecs *codecs);

/*
 * Compress the FSW_PAGE bytes at page, aligned to 8. Returns how many bytes there are at *out, 1..FSW_COMPRESSED_MAX; or 0 when they would
 * be more, or codec is none: store the page as it is. *out is this CPU's scratch: the caller has preemption off from before the
 * call until it has done with *out. Task context; neither sleeps nor allocates.
 */
unsigned int fsw_compress(struct fsw_codecs *codecs, enum farswap_codec codec, const void *page, const void **out);

/*
 * The page whose length stored bytes are at src. 0, or -EBADMSG: the bytes are malformed, or do not make exactly FSW_PAGE bytes, or
 * codec is unknown. Whatever the bytes are, nothing outside of src[0..length) is read or outside of the page is written; after
 * -EBADMSG the page may hold anything. Task context, preemption on or off; neither sleeps nor allocates.
 */
int fsw_decompress(struct fsw_codecs *codecs, enum farswap_codec codec, const void *src, unsigned int length, void *page);

/* This CPU's scratch for FSW_COMPRESSED_MAX bytes, the one that fsw_compress() uses too; preemption is off until it is done with. */
void *fsw_codec_bounce(struct fsw_codecs *codecs);

/* "none", "lz4", "lzo", "zstd": the operator's word for it. Any context. parse: an enum farswap_codec, or -EINVAL. */
const char *fsw_codec_name(enum farswap_codec codec);	/* "unknown" if it is none of them */
int fsw_codec_parse(const char *name);

/* Is the page one word over and over? Then *word is that word. page is aligned to 8. Any context. */
bool fsw_same_filled(const void *page, u64 *word);
void fsw_fill(void *page, u64 word);

#endif
