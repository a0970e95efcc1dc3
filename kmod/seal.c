// SPDX-License-Identifier: GPL-2.0
/*
 * Changing who holds an extent: seal it (no frame of it is given out, so it is written to no more), let others do with the slabs what
 * they must, then set the new members, which opens it again, or open it as it was. Reads and frees go on all the time.
 */
#include "core_int.h"

#define DRAIN_US	1000	/* between two looks at a frame that is pinned */

/*
 * Wait until each frame was seen without a pin: what was posted before is over. What is posted meanwhile ends too, so only a READ or WRITE
 * that hangs holds this up, until its peer is given up. False: not by the deadline.
 */
static bool pins_drain(struct fsw_extents *x, struct fsw_extent *e, u64 deadline_ns)
{
	unsigned int f;

	for (f = 0; f < x->frames; f++) {
		while (atomic_read_acquire(&e->words[f]) & FSW_FRAME_PINS) {
			if (ktime_get_ns() >= deadline_ns)
				return false;
			fsleep(DRAIN_US);
		}
		if (f % FSW_CLUSTER == 0)
			cond_resched();
	}
	return true;
}

static struct fsw_extent *extent_find(struct fsw_extents *x, u64 id)
{
	struct fsw_extent *e;
	unsigned int i;

	for (i = 0; (e = fsw_extents_get(x, i)); i++)
		if (e->id == id)
			break;
	return e;
}

/* From one state to another, in that generation. 0, -ENOENT, -ESTALE, or otherwise when it is in a third state. */
static int extent_move(struct fsw_core *core, u64 id, u32 generation, enum fsw_sealed from, enum fsw_sealed to, int otherwise,
		       struct fsw_extent **extent)
{
	struct fsw_extent *e = extent_find(&core->extents, id);

	if (!e)
		return -ENOENT;
	*extent = e;
	if (fsw_extent_generation(e) != generation)
		return -ESTALE;
	fsw_stall_sleep();
	if (cmpxchg(&e->sealed, from, to) != from)
		return otherwise;
	if (fsw_extent_generation(e) == generation)	/* from here on it stays */
		return 0;
	smp_store_release(&e->sealed, from);
	return -ESTALE;
}

static void extent_open(struct fsw_core *core, struct fsw_extent *e)
{
	fsw_stall_sleep();
	smp_store_release(&e->sealed, FSW_OPEN);
	fsw_staging_kick(&core->staging);
	fsw_mend_kick(&core->mend);
}

int fsw_extent_seal(struct fsw_core *core, u64 id, u32 generation)
{
	u64 deadline_ns = ktime_get_ns() + (u64)core->params.seal_ms * NSEC_PER_MSEC;
	struct fsw_extent *e;
	int ret = extent_move(core, id, generation, FSW_OPEN, FSW_SEALING, -EBUSY, &e);

	if (ret)
		return ret;
	synchronize_rcu();	/* who gave a frame out without seeing it has pinned that */
	if (pins_drain(&core->extents, e, deadline_ns)) {
		fsw_stall_sleep();
		smp_store_release(&e->sealed, FSW_SEALED);
		return 0;
	}
	extent_open(core, e);
	return -ETIMEDOUT;
}

int fsw_extent_open(struct fsw_core *core, u64 id, u32 generation)
{
	struct fsw_extent *e;
	int ret = extent_move(core, id, generation, FSW_SEALED, FSW_SETTING, -EINVAL, &e);

	if (!ret)
		extent_open(core, e);
	return ret;
}

/* ---- new members ---- */

/* The old member whose record goes to the new one: the one that it succeeds, or itself if it stays. -1: none, it is whole; -2: no such member. */
static int heir_of(const struct fsw_set *old, const struct fsw_member *member, const struct fsw_peer *succeeds)
{
	int m = fsw_set_find(old, succeeds ?: member->peer);

	if (m < 0)
		return succeeds ? -2 : -1;
	if (old->members[m].slab == member->slab)
		return m;
	return succeeds ? -2 : -1;
}

/* Each new member's record. 0, or -EINVAL: two would have one slab's. *whole: bit per record of those that begin anew. */
static int records_share(const struct fsw_set *old, struct fsw_set *new, struct fsw_peer *const *succeeds, u32 *whole)
{
	u32 taken = 0;
	unsigned int i;
	int m;

	*whole = 0;
	for (i = 0; i < new->nr; i++) {
		m = heir_of(old, &new->members[i], succeeds[i]);
		if (m == -2 || (m >= 0 && taken & 1 << old->record[m]))
			return -EINVAL;
		new->record[i] = m < 0 ? FARSWAP_COPIES_MAX : old->record[m];
		if (m >= 0)
			taken |= 1 << old->record[m];
	}
	for (i = 0; i < new->nr; i++) {
		if (new->record[i] != FARSWAP_COPIES_MAX)
			continue;
		new->record[i] = __ffs(~taken);
		taken |= 1 << new->record[i];
		*whole |= 1 << new->record[i];
	}
	return 0;
}

static bool inherits(const struct fsw_set *new, u8 record, u32 whole)
{
	unsigned int i;

	for (i = 0; i < new->nr; i++)
		if (new->record[i] == record && !(whole & 1 << record))
			return true;
	return false;
}

static bool is_good(const struct fsw_extent *e, const struct fsw_set *set, unsigned int i, u32 whole)
{
	return fsw_peer_live(set->members[i].peer) && (whole & 1 << set->record[i] || !READ_ONCE(e->records[set->record[i]].any));
}

/*
 * A live member with every frame right leaves, and of those that stay or come less than copies - 1 are such, or less than two if none comes. Whatever
 * has been lost since that was chosen: no copy is given up of a set that is degraded, nor one of two, as the other may be dead and not known to be.
 */
static bool too_few_stay(const struct fsw_extents *x, const struct fsw_extent *e, const struct fsw_set *old, const struct fsw_set *new, u32 whole)
{
	unsigned int i, good = 0;
	bool leaves = false;

	for (i = 0; i < old->nr; i++)
		leaves |= is_good(e, old, i, 0) && !inherits(new, old->record[i], whole);
	for (i = 0; i < new->nr; i++)
		good += is_good(e, new, i, whole);
	return leaves && (good + 1 < x->copies || good < (whole ? 1 : 2));
}

/* Put the set in the place of the sealed extent's. */
static int set_change(struct fsw_core *core, u64 id, struct fsw_set *new, struct fsw_peer *const *succeeds, struct fsw_extent **extent,
		      u32 *whole)
{
	struct fsw_extents *x = &core->extents;
	struct fsw_extent *e;
	struct fsw_set *old;
	int ret = extent_move(core, id, new->generation - 1, FSW_SEALED, FSW_SETTING, -EINVAL, &e);

	if (ret)
		return ret;
	old = rcu_dereference_protected(e->set, lockdep_is_held(&x->lock));
	ret = fsw_slabs_shared(x, e, new->members, new->nr) ? -EEXIST : records_share(old, new, succeeds, whole);
	if (!ret && too_few_stay(x, e, old, new, *whole))
		ret = -ENODATA;
	if (ret) {
		smp_store_release(&e->sealed, FSW_SEALED);
		return ret;
	}
	e->leaving = old;
	fsw_stall_sleep();
	rcu_assign_pointer(e->set, new);
	*extent = e;
	return 0;
}

/*
 * Nobody looks at the former set any more, nor is anything posted to its members: who had looked at it before the grace period had
 * pinned a frame.
 */
static void set_settle(struct fsw_core *core, struct fsw_extent *e, u32 whole)
{
	struct fsw_extents *x = &core->extents;
	unsigned int i;

	synchronize_rcu();
	for (i = 0; i < x->copies; i++)
		if (whole & 1 << i)
			fsw_record_clear(x, &e->records[i]);
	pins_drain(x, e, U64_MAX);
	fsw_stall_sleep();
	mutex_lock(&x->lock);
	kfree(e->leaving);
	e->leaving = NULL;
	mutex_unlock(&x->lock);
}

int fsw_extent_set(struct fsw_core *core, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr,
		   struct fsw_peer *const *succeeds)
{
	struct fsw_extents *x = &core->extents;
	struct fsw_set *new;
	struct fsw_extent *e;
	u32 whole;
	int ret = nr <= x->copies ? fsw_members_check(members, nr) : -EINVAL;

	if (ret)
		return ret;
	new = fsw_set_new(generation, members, nr);
	if (!new)
		return -ENOMEM;
	mutex_lock(&x->lock);
	ret = set_change(core, id, new, succeeds, &e, &whole);
	mutex_unlock(&x->lock);
	if (ret) {
		kfree(new);
		return ret;
	}
	set_settle(core, e, whole);
	extent_open(core, e);
	return 0;
}

bool fsw_peer_named(struct fsw_core *core, const struct fsw_peer *peer)
{
	struct fsw_extents *x = &core->extents;
	struct fsw_extent *e;
	bool named = false;
	unsigned int i;

	mutex_lock(&x->lock);
	for (i = 0; (e = fsw_extents_get(x, i)) && !named; i++)
		named = fsw_set_find(rcu_dereference_protected(e->set, lockdep_is_held(&x->lock)), peer) >= 0 ||
			(e->leaving && fsw_set_find(e->leaving, peer) >= 0);
	mutex_unlock(&x->lock);
	return named;
}
