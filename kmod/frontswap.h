/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FSW_FRONTSWAP_H
#define FSW_FRONTSWAP_H

#include "compat/frontswap.h"

/*
 * Become a frontswap backend. Process context, when the module is loaded and nothing else can fail: the kernel takes no backend
 * back, so from here on the module stays. Only where fsw_frontswap_missing() has nothing to say.
 */
#ifdef FSW_HAVE_FRONTSWAP
void fsw_frontswap_init(void);
#else
static inline void fsw_frontswap_init(void) { }
#endif

#endif
