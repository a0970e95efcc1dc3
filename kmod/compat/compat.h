/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that farswap is built for, behind one name each. Kbuild probes for the features;
 * nothing outside of compat/ looks at a kernel's version. The block layer's differences are in compat/block.h.
 */
#ifndef FSW_COMPAT_H
#define FSW_COMPAT_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <linux/workqueue.h>

/* CRC-32C without the final inversion: crc32c moved from a module of its own into lib/crc */
#ifdef FSW_HAVE_CRC32C_H
#include <linux/crc32c.h>
#else
#include <linux/crc32.h>
#endif

static inline u32 fsw_crc32c(u32 crc, const void *p, size_t n)
{
	return crc32c(crc, p, n);
}

/* newer kernels want it said when a workqueue is bound to CPUs; the older ones have no other kind */
#ifndef FSW_HAVE_WQ_PERCPU
#define WQ_PERCPU	0
#endif

/* the pages that come are used by their kernel address */
#ifdef CONFIG_HIGHMEM
#error "farswap needs a kernel without highmem"
#endif

#endif
