/* SPDX-License-Identifier: GPL-2.0 */
/* The codecs' libraries in user space, by the names and with the arguments of the kernel's. */
#ifndef CODEC_USER_H
#define CODEC_USER_H

#ifdef CODEC_KERNEL_LIB
/* make fuzz: the kernel's own sources (kernel_lib.h) */
#include <linux/lz4.h>
#include <linux/lzo.h>
#include <linux/zstd.h>
#else

#define ZSTD_STATIC_LINKING_ONLY
#define ZSTD_DISABLE_DEPRECATE_WARNINGS	/* ZSTD_compress_advanced: deprecated there, and what the kernel has */
#include <lz4.h>
#include <lzo/lzo1x.h>
#include <zstd.h>

#define LZ4_MEM_COMPRESS	sizeof(LZ4_stream_t)
#define LZ4_compress_default(from, to, bytes, room, work)	LZ4_compress_fast_extState(work, from, to, bytes, room, 1)

#define lzo1x_worst_compress(bytes)	((bytes) + (bytes) / 16 + 64 + 3 + 2)
#define lzo1x_decompress_safe(from, bytes, to, room)	(lzo1x_decompress_safe)(from, bytes, to, room, NULL)

typedef ZSTD_CCtx zstd_cctx;
typedef ZSTD_DCtx zstd_dctx;
typedef ZSTD_parameters zstd_parameters;
#define zstd_is_error(n)			ZSTD_isError(n)
#define zstd_get_params(level, bytes)		ZSTD_getParams(level, bytes, 0)
#define zstd_cctx_workspace_bound(params)	ZSTD_estimateCCtxSize_usingCParams(*(params))
#define zstd_dctx_workspace_bound()		ZSTD_estimateDCtxSize()
#define zstd_init_cctx(work, bytes)		ZSTD_initStaticCCtx(work, bytes)
#define zstd_init_dctx(work, bytes)		ZSTD_initStaticDCtx(work, bytes)
#define zstd_compress_cctx(c, to, room, from, bytes, params) \
	ZSTD_compress_advanced(c, to, room, from, bytes, NULL, 0, *(params))
#define zstd_decompress_dctx(c, to, room, from, bytes)	ZSTD_decompressDCtx(c, to, room, from, bytes)

#endif
#endif
