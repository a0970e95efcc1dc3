/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stalls before changes of state, in a build for tests only (make STALLS=1): what may come in between then does, which emulation seldom lets it.
 * In any other build these are nothing at all. In test_core (os_user.h) others get their turn there.
 */
#ifndef FSW_STALL_H
#define FSW_STALL_H

#ifdef FSW_STALLS
#include <linux/atomic.h>

struct fsw_stall_site {
	const char *where;
	atomic_t passed;
};

void fsw_stall_spin(struct fsw_stall_site *site);
void fsw_stall_us(struct fsw_stall_site *site);
void fsw_stall_ms(struct fsw_stall_site *site);
void fsw_stalls_tell(void);

#define FSW_STALL_AT(how) do {							\
	static struct fsw_stall_site site = { .where = __func__ };		\
	how(&site);								\
} while (0)

#define fsw_stall()		FSW_STALL_AT(fsw_stall_spin)	/* any context */
#define fsw_stall_nap()		FSW_STALL_AT(fsw_stall_us)	/* process context, may sleep: a page's way */
#define fsw_stall_sleep()	FSW_STALL_AT(fsw_stall_ms)	/* the same: rarer things */
#else
#define fsw_stall() do { } while (0)
#define fsw_stall_nap() do { } while (0)
#define fsw_stall_sleep() do { } while (0)
#define fsw_stalls_tell() do { } while (0)
#endif

#endif
