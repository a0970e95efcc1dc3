// SPDX-License-Identifier: GPL-2.0
#include "balance.h"

#define PARTS	1000ull

/* use of a less that of b, in thousandths, when so many slabs have moved from a to b */
static int64_t differ(const struct balance_donor *a, const struct balance_donor *b, uint64_t moved)
{
	return (int64_t)(PARTS * (a->lent - moved) / a->offered) - (int64_t)(PARTS * (b->lent + moved) / b->offered);
}

/* compared without division: in thousandths too many are the same */
static bool is_fuller(const struct balance_donor *a, const struct balance_donor *b)
{
	return (uint64_t)a->lent * b->offered > (uint64_t)b->lent * a->offered;
}

static bool find(const struct balance_donor *donors, size_t n, struct balance_move *move)
{
	size_t i, fullest = n, emptiest = n;

	for (i = 0; i < n; i++) {
		if (!donors[i].offered)
			continue;
		if (donors[i].gives && donors[i].lent && (fullest == n || is_fuller(&donors[i], &donors[fullest])))
			fullest = i;
		if (donors[i].takes && donors[i].lent < donors[i].offered && (emptiest == n || is_fuller(&donors[emptiest], &donors[i])))
			emptiest = i;
	}
	move->from = fullest;
	move->to = emptiest;
	return fullest < n && emptiest < n && fullest != emptiest;
}

bool balance_next(struct balance *balance, const struct balance_donor *donors, size_t n, uint64_t now_ns, struct balance_move *move)
{
	const struct balance_donor *from, *to;
	int64_t differs;

	if (!balance->since_ns)
		balance->since_ns = now_ns;
	if (!find(donors, n, move))
		goto done;
	from = &donors[move->from];
	to = &donors[move->to];
	differs = differ(from, to, 0);
	/* nor if the fuller one became the emptier one by it: a slab would only come back */
	if (differs <= (balance->moving ? BALANCE_STOP : BALANCE_START) || differ(from, to, 1) < 0)
		goto done;
	if (!balance->moving && now_ns - balance->since_ns < BALANCE_HOLD_NS)
		return false;
	balance->moving = true;
	if (now_ns < balance->next_ns)
		return false;
	balance->next_ns = now_ns + BALANCE_EVERY_NS;
	return true;
done:
	balance->moving = false;
	balance->since_ns = now_ns;
	return false;
}
