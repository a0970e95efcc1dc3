/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stalls before changes of state, as kmod/stall.h: make STALLS=1. There FARSWAP_STALL_ONE_IN (8), FARSWAP_STALL_MS (20, the most) and
 * FARSWAP_STALL_SEED (1) are looked at in the environment. In any other build this is nothing at all.
 */
#ifndef FARSWAP_STALL_H
#define FARSWAP_STALL_H

#ifdef FARSWAP_STALLS
void farswap_stall(const char *where);
void farswap_stalls_tell(void);
#else
#define farswap_stall(where) do { } while (0)
#define farswap_stalls_tell() do { } while (0)
#endif

#endif
