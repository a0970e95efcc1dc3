/* SPDX-License-Identifier: GPL-2.0 */
/* zstd's differences between kernels: the same calls, in upper case until the kernel's own copy was replaced by upstream's. */
#ifndef FSW_COMPAT_ZSTD_H
#define FSW_COMPAT_ZSTD_H

#include <linux/zstd.h>

#ifndef FSW_HAVE_ZSTD_CCTX
typedef ZSTD_CCtx zstd_cctx;
typedef ZSTD_DCtx zstd_dctx;
typedef ZSTD_parameters zstd_parameters;
#define zstd_is_error(n)			ZSTD_isError(n)
#define zstd_get_params(level, bytes)		ZSTD_getParams(level, bytes, 0)
#define zstd_cctx_workspace_bound(params)	ZSTD_CCtxWorkspaceBound(*(params))
#define zstd_dctx_workspace_bound()		ZSTD_DCtxWorkspaceBound()
#define zstd_init_cctx(work, bytes)		ZSTD_initCCtx(work, bytes)
#define zstd_init_dctx(work, bytes)		ZSTD_initDCtx(work, bytes)
#define zstd_compress_cctx(c, to, room, from, bytes, params)	ZSTD_compressCCtx(c, to, room, from, bytes, *(params))
#define zstd_decompress_dctx(c, to, room, from, bytes)		ZSTD_decompressDCtx(c, to, room, from, bytes)
#endif

#endif
