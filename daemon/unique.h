/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FARSWAP_UNIQUE_H
#define FARSWAP_UNIQUE_H

#include <stdint.h>

/*
 * Numbers that never repeat on this node, also across restarts and reboots: incarnations, sessions, slabs.
 * 30 bits of seconds since 2024 at the time the base was taken, 14 random bits, 20 bits of counter; a new base
 * is taken when the counter is used up. Two equal numbers would need two bases of the same second (the clock
 * set back to just that second, or two starts within it) and the same 14 random bits. Never 0.
 */
uint64_t farswap_unique(void);

#endif
