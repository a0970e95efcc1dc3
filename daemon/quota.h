/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What one client may have at a donor. Its requests are a token bucket that holds those of a second, kept as the time at which all that were
 * taken are paid for (GCRA, ITU-T I.371 annex A): whoever takes one of the future waits for just that one, so several connections of a
 * client have their turns. Pure: no I/O, times are passed in, in ns of CLOCK_MONOTONIC.
 */
#ifndef FARSWAP_QUOTA_H
#define FARSWAP_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct quota_rate {		/* all 0 at first */
	uint64_t due_ns;	/* what was taken so far is paid for by then */
	uint64_t second_ns;	/* begin of the second that is counted */
	uint32_t n, last;	/* requests in it, and in the one before */
	uint64_t held;		/* times that one was to wait */
};

/* one request more; for so long nothing more is to be read after it. per_s 0: no limit */
uint64_t quota_take(struct quota_rate *rate, uint64_t now_ns, uint32_t per_s);
/* requests in the last whole second */
uint32_t quota_recent(const struct quota_rate *rate, uint64_t now_ns);
/* may there be one more? limit 0: there is none. What is above it already stays. */
bool quota_allows(uint32_t limit, uint32_t used);

#endif
