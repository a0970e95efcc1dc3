/* SPDX-License-Identifier: GPL-2.0 */
/* Which kernels let a module be a frontswap backend. Kbuild probes for it, and builds frontswap.c only for those. */
#ifndef FSW_COMPAT_FRONTSWAP_H
#define FSW_COMPAT_FRONTSWAP_H

#include <linux/stddef.h>
#ifdef FSW_HAVE_FRONTSWAP
#include <linux/frontswap.h>
#endif

/* Why this kernel cannot be asked for the frontswap front end; NULL: it can */
static inline const char *fsw_frontswap_missing(void)
{
#if defined(FSW_HAVE_FRONTSWAP)
	return NULL;
#elif defined(FSW_HAVE_FRONTSWAP_H)
	return "this kernel does not let modules use frontswap, zswap has its only place";
#else
	return "this kernel has no frontswap any more";
#endif
}

#endif
