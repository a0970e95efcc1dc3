// SPDX-License-Identifier: GPL-2.0
#include "lend.h"

#define PART	4	/* a node that pages out takes back a part of what it has lent, again and again until it does not */

const char *lend_state_name(enum lend_state state)
{
	static const char * const names[LEND_STATES] = { "offers", "holds", "asks", "revokes" };

	return names[state];
}

static uint32_t least(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

static uint32_t less(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

/* slabs that memory up to the mark takes, besides those that are coming back already */
static uint32_t slabs_up_to(uint64_t mark, const struct lend_marks *marks, const struct lend_look *look)
{
	uint64_t slabs;

	if (look->available >= mark)
		return 0;
	slabs = (mark - look->available + marks->slab_bytes - 1) / marks->slab_bytes;
	return slabs > look->returning ? least(slabs - look->returning, look->lent) : 0;
}

/* to be taken back for want of memory */
static uint32_t short_of(const struct lend_marks *marks, const struct lend_look *look)
{
	uint32_t slabs = slabs_up_to(marks->high, marks, look);
	uint32_t part = (look->lent + PART - 1) / PART;

	return look->pages_out && part > slabs ? part : slabs;
}

static uint32_t room(const struct lend_marks *marks, const struct lend_look *look)
{
	if (look->available <= marks->high)
		return 0;
	return least((look->available - marks->high) / marks->slab_bytes, less(marks->cap, look->lent + look->returning));
}

static enum lend_state next_state(const struct lend *lend, const struct lend_marks *marks, const struct lend_look *look, bool over)
{
	bool unwell = look->available < marks->low || look->pressure || look->pages_out || over;

	if (look->available < marks->hard)
		return LEND_REVOKES;
	switch (lend->state) {
	case LEND_OFFERS:
		return unwell ? LEND_HOLDS : LEND_OFFERS;
	case LEND_HOLDS:
		if (look->now_ns - lend->unwell_ns >= LEND_HOLD_NS)
			return LEND_OFFERS;
		if (look->lent && (look->now_ns - lend->calm_ns >= LEND_SETTLE_NS || (look->pressure && look->available < marks->high)))
			return LEND_ASKS;
		return LEND_HOLDS;
	default:
		if (!look->lent)
			return LEND_HOLDS;
		/* what was begun goes on up to the high mark */
		if (!over && !look->pages_out && look->available >= marks->high)
			return LEND_HOLDS;
		return look->overdue && short_of(marks, look) ? LEND_REVOKES : LEND_ASKS;
	}
}

struct lend_step lend_look(struct lend *lend, const struct lend_marks *marks, const struct lend_look *look)
{
	bool over = !marks->cap || look->lent > marks->cap;
	uint32_t wanted = short_of(marks, look);
	struct lend_step step = { 0 };

	if (!lend->begun) {
		lend->begun = true;
		/* nothing is known of the time before: offered at once if all is well now */
		lend->unwell_ns = look->now_ns - LEND_HOLD_NS;
		lend->calm_ns = look->now_ns;
		lend->state = LEND_HOLDS;
	}
	if (look->available < marks->high || look->pressure || look->pages_out || over)
		lend->unwell_ns = look->now_ns;
	if (look->available >= marks->low && !look->pages_out && !over)
		lend->calm_ns = look->now_ns;
	lend->state = next_state(lend, marks, look, over);

	if (lend->state == LEND_REVOKES) {
		uint32_t late = least(look->overdue, wanted);

		step.revoke = slabs_up_to(look->available < marks->hard ? marks->low : 0, marks, look);
		if (step.revoke < late)
			step.revoke = late;
	}
	if (lend->state == LEND_ASKS || lend->state == LEND_REVOKES) {
		if (over && wanted < look->lent - marks->cap)
			wanted = look->lent - marks->cap;
		if (wanted > LEND_ASKED_MAX)
			wanted = LEND_ASKED_MAX;
		/* what is revoked was asked for before, if anything was */
		step.ask = less(wanted, look->asked > step.revoke ? look->asked : step.revoke);
		step.ask = least(step.ask, less(look->lent, look->asked));
	}
	if (lend->state == LEND_OFFERS)
		step.offered = look->lent + look->returning + room(marks, look);
	return step;
}
