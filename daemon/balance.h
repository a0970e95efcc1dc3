/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Rebalancing without pressure: when the fullest and the emptiest donor of a group differ for long, slabs move from one to the other, one now and
 * then, until they do not. Pure: no I/O, no clock.
 */
#ifndef FARSWAP_BALANCE_H
#define FARSWAP_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* differences of use, in thousandths. What lies between the two is room for noise, and for slabs that are large against an offer. */
#define BALANCE_START		40
#define BALANCE_STOP		20
#define BALANCE_HOLD_NS		60000000000ull	/* it must differ for so long before slabs move */
#define BALANCE_EVERY_NS	5000000000ull	/* between two moves in a group */

struct balance_donor {
	uint32_t offered;	/* 0: does not lend */
	uint32_t lent;		/* slabs on their way count where they go */
	bool gives;		/* false: of another group, or nothing of it could be moved just now */
	bool takes;
};

struct balance {
	bool moving;		/* between start and stop */
	uint64_t since_ns;	/* the last look that found nothing to do */
	uint64_t next_ns;	/* no move before */
};

struct balance_move {
	size_t from, to;
};

/* which donor is to be asked now that one slab be moved to which; false: none. balance is all 0 at first. */
bool balance_next(struct balance *balance, const struct balance_donor *donors, size_t n, uint64_t now_ns, struct balance_move *move);

#endif
