/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel's lib/lz4, lib/lzo and lib/zstd want of the kernel, so that they are fuzzed as they are (make fuzz). For x86-64. */
#ifndef KERNEL_LIB_H
#define KERNEL_LIB_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* the kernel has one of the two, and asks which one there is */
#undef __BIG_ENDIAN

#define CONFIG_X86_64 1
#define CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS 1
#define BITS_PER_LONG 64

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define noinline __attribute__((noinline))
#define fallthrough __attribute__((fallthrough))
#define EXPORT_SYMBOL(x)
#define EXPORT_SYMBOL_GPL(x)
#define MODULE_LICENSE(x)
#define MODULE_DESCRIPTION(x)
#define pr_debug(...) do { } while (0)
#define __ffs(x) __builtin_ctzl(x)
#define __fls(x) (63 - __builtin_clzl(x))
#define swab32(x) __builtin_bswap32(x)
#define swab64(x) __builtin_bswap64(x)
#define BUILD_BUG_ON(x) _Static_assert(!(x), #x)
#define min(a, b) ((a) < (b) ? (a) : (b))
#define min_t(t, a, b) ((t)(a) < (t)(b) ? (t)(a) : (t)(b))
#define div_u64(a, b) ((a) / (b))

#define get_unaligned(p) ({ __typeof__(*(p)) _v; __builtin_memcpy(&_v, p, sizeof(_v)); _v; })
#define put_unaligned(v, p) ((void)({ __typeof__(*(p)) _v = (v); __builtin_memcpy(p, &_v, sizeof(_v)); }))
#define get_unaligned_le16(p) get_unaligned((const u16 *)(p))
#define get_unaligned_le32(p) get_unaligned((const u32 *)(p))
#define get_unaligned_le64(p) get_unaligned((const u64 *)(p))
#define get_unaligned_be32(p) swab32(get_unaligned((const u32 *)(p)))
#define get_unaligned_be64(p) swab64(get_unaligned((const u64 *)(p)))
#define put_unaligned_le16(v, p) put_unaligned(v, (u16 *)(p))
#define put_unaligned_le32(v, p) put_unaligned(v, (u32 *)(p))
#define put_unaligned_le64(v, p) put_unaligned(v, (u64 *)(p))
#define put_unaligned_be32(v, p) put_unaligned(swab32(v), (u32 *)(p))
#define put_unaligned_be64(v, p) put_unaligned(swab64(v), (u64 *)(p))

#endif
