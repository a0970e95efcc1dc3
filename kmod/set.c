// SPDX-License-Identifier: GPL-2.0
/* Who holds an extent, and what each of them has wrong. */
#include "extent.h"

/* ---- records ---- */

bool fsw_record_has(const struct fsw_record *r, unsigned int f)
{
	return READ_ONCE(r->any) && (test_bit(f, r->missed) || test_bit(f, r->mending));
}

void fsw_record_miss(struct fsw_record *r, unsigned int f)
{
	set_bit(f, r->missed);
	smp_mb__after_atomic();	/* before any: see fsw_record_mended() */
	WRITE_ONCE(r->any, true);
}

unsigned int fsw_record_count(struct fsw_extents *x, const struct fsw_record *r)
{
	unsigned int i, nr = 0;

	for (i = 0; READ_ONCE(r->any) && i < BITS_TO_LONGS(x->frames); i++)
		nr += hweight_long(READ_ONCE(r->missed[i]) | READ_ONCE(r->mending[i]));
	return nr;
}

void fsw_record_clear(struct fsw_extents *x, struct fsw_record *r)
{
	memset(r->missed, 0, BITS_TO_LONGS(x->frames) * sizeof(long));
	memset(r->mending, 0, BITS_TO_LONGS(x->frames) * sizeof(long));
	WRITE_ONCE(r->any, false);
}

void fsw_record_mend(struct fsw_extents *x, struct fsw_record *r)
{
	unsigned int i;

	fsw_stall();
	for (i = 0; i < BITS_TO_LONGS(x->frames); i++) {
		/* into the one before it leaves the other: a bit that is counted goes on being counted */
		WRITE_ONCE(r->mending[i], r->mending[i] | READ_ONCE(r->missed[i]));
		WRITE_ONCE(r->mending[i], r->mending[i] | xchg(&r->missed[i], 0));
	}
}

void fsw_record_mended(struct fsw_extents *x, struct fsw_record *r, bool all)
{
	unsigned int f;

	for_each_set_bit(f, r->mending, all ? 0 : x->frames)
		set_bit(f, r->missed);
	memset(r->mending, 0, BITS_TO_LONGS(x->frames) * sizeof(long));
	fsw_stall();
	if (find_first_bit(r->missed, x->frames) < x->frames)
		return;
	fsw_stall();
	WRITE_ONCE(r->any, false);
	smp_mb();	/* a bit that is set from here on sets any again */
	if (find_first_bit(r->missed, x->frames) < x->frames)
		WRITE_ONCE(r->any, true);
}

/* ---- looking at a set ---- */

u32 fsw_extent_generation(const struct fsw_extent *e)
{
	u32 generation;

	rcu_read_lock();
	generation = rcu_dereference(e->set)->generation;
	rcu_read_unlock();
	return generation;
}

unsigned int fsw_extent_live(const struct fsw_extent *e)
{
	const struct fsw_set *set;
	unsigned int i, live = 0;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	for (i = 0; i < set->nr; i++)
		live += fsw_peer_live(set->members[i].peer);
	rcu_read_unlock();
	return live;
}

bool fsw_extent_gives(const struct fsw_extent *e)
{
	return READ_ONCE(e->sealed) == FSW_OPEN && fsw_extent_live(e);
}

unsigned int fsw_extent_nr(const struct fsw_extent *e, u32 generation)
{
	const struct fsw_set *set;
	unsigned int nr;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	nr = set->generation == generation ? set->nr : 0;
	rcu_read_unlock();
	return nr;
}

bool fsw_extent_at(const struct fsw_extent *e, u32 generation, unsigned int m, struct fsw_member *member)
{
	const struct fsw_set *set;
	bool same;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	same = set->generation == generation && m < set->nr;
	if (same)
		*member = set->members[m];
	rcu_read_unlock();
	return same;
}

u64 fsw_extent_lost_ns(const struct fsw_extent *e, u32 generation)
{
	const struct fsw_set *set;
	u64 last = 0;
	unsigned int m;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	for (m = 0; set->generation == generation && m < set->nr; m++)
		last = max_t(u64, last, READ_ONCE(set->members[m].peer->lost_ns));
	rcu_read_unlock();
	return last;
}

/* Of those that have the frame right, or of the others. */
static int set_pick(const struct fsw_extent *e, const struct fsw_set *set, unsigned int f, bool right, u32 tried, const unsigned int *turn)
{
	int i, m, best = -ENODATA;

	for (i = 0; i < (int)set->nr; i++) {
		m = ((turn ? *turn : 0) + i) % set->nr;
		if (tried & 1 << m || !fsw_peer_live(set->members[m].peer) ||
		    fsw_record_has(&e->records[set->record[m]], f) == right)
			continue;
		if (turn)
			return m;
		if (best < 0 || READ_ONCE(set->members[m].peer->read_ns) < READ_ONCE(set->members[best].peer->read_ns))
			best = m;
	}
	return best;
}

int fsw_extent_pick(const struct fsw_extent *e, u32 generation, unsigned int f, u32 tried, const unsigned int *turn)
{
	const struct fsw_set *set;
	int m = -EAGAIN;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	if (set->generation == generation) {
		m = set_pick(e, set, f, true, tried, turn);
		if (m < 0)
			m = set_pick(e, set, f, false, tried, turn);
	}
	rcu_read_unlock();
	return m;
}

int fsw_set_find(const struct fsw_set *set, const struct fsw_peer *peer)
{
	int m;

	for (m = 0; m < (int)set->nr; m++)
		if (set->members[m].peer == peer)
			return m;
	return -1;
}

bool fsw_extent_member(const struct fsw_extent *e, const struct fsw_peer *peer, unsigned int f, struct fsw_member *member)
{
	const struct fsw_set *set;
	int m;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	m = fsw_set_find(set, peer);
	if (m >= 0 && fsw_record_has(&e->records[set->record[m]], f))
		m = -1;
	if (m >= 0)
		*member = set->members[m];
	rcu_read_unlock();
	return m >= 0;
}

u32 fsw_extent_wrong(const struct fsw_extent *e, u32 generation, unsigned int f)
{
	const struct fsw_set *set;
	unsigned int m;
	u32 wrong = 0;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	for (m = 0; set->generation == generation && m < set->nr; m++)
		if (fsw_record_has(&e->records[set->record[m]], f))
			wrong |= 1 << m;
	rcu_read_unlock();
	return wrong;
}

bool fsw_extent_corrupt(struct fsw_extent *e, u32 generation, unsigned int m, unsigned int f)
{
	const struct fsw_set *set;
	bool news = false;

	rcu_read_lock();	/* the peer is there, too */
	set = rcu_dereference(e->set);
	if (set->generation == generation) {
		struct fsw_record *r = &e->records[set->record[m]];

		news = !fsw_record_has(r, f);
		if (news)
			atomic64_inc(&set->members[m].peer->corrupt);
		fsw_record_miss(r, f);
	}
	rcu_read_unlock();
	return news;
}

unsigned int fsw_extent_missed(struct fsw_extents *x, const struct fsw_extent *e)
{
	const struct fsw_set *set;
	unsigned int m, missed = 0;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	for (m = 0; m < set->nr; m++)
		if (fsw_peer_live(set->members[m].peer))
			missed += fsw_record_count(x, &e->records[set->record[m]]);
	rcu_read_unlock();
	return missed;
}

bool fsw_extent_whole(const struct fsw_extent *e, unsigned int copies)
{
	const struct fsw_set *set;
	unsigned int m, whole = 0;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	for (m = 0; m < set->nr; m++)
		whole += fsw_peer_live(set->members[m].peer) && !READ_ONCE(e->records[set->record[m]].any);
	rcu_read_unlock();
	return whole >= copies;
}
