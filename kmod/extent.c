// SPDX-License-Identifier: GPL-2.0
#include "extent.h"

int fsw_extents_init(struct fsw_extents *x, u64 size, u64 slab_bytes, unsigned int copies)
{
	x->frames = slab_bytes / FSW_PAGE;
	x->runs = x->frames / FSW_CLUSTER;
	x->copies = copies;
	/* twice what the device needs: extents that lost every member are replaced, not given back */
	x->max = 2 * DIV_ROUND_UP_ULL(size, slab_bytes) + 8;
	x->nr = 0;
	x->cursor = 0;
	x->pack_left = 0;
	x->claimed = 0;
	x->pack_cursor = 0;
	memset(x->hole, 0, sizeof(x->hole));
	memset(x->holes, 0, sizeof(x->holes));
	spin_lock_init(&x->home_lock);
	mutex_init(&x->lock);
	x->all = kvcalloc(x->max, sizeof(*x->all), GFP_KERNEL);
	return x->all ? 0 : -ENOMEM;
}

static void extent_free(struct fsw_extent *e)
{
	unsigned int i;

	for (i = 0; i < FARSWAP_COPIES_MAX; i++) {
		kvfree(e->records[i].missed);
		kvfree(e->records[i].mending);
	}
	kvfree(e->words);
	kvfree(e->run_free);
	kfree(rcu_dereference_protected(e->set, true));
	kfree(e);
}

void fsw_extents_exit(struct fsw_extents *x)
{
	unsigned int i;

	for (i = 0; i < x->nr; i++)
		extent_free(x->all[i]);
	kvfree(x->all);
}

int fsw_members_check(const struct fsw_member *members, unsigned int nr)
{
	unsigned int i, j;

	if (nr < 1 || nr > FARSWAP_COPIES_MAX)
		return -EINVAL;
	for (i = 0; i < nr; i++)
		for (j = 0; j < i; j++)
			if (members[i].peer == members[j].peer)
				return -EINVAL;
	return 0;
}

static bool set_has(const struct fsw_set *set, const struct fsw_member *member)
{
	int m = fsw_set_find(set, member->peer);

	return m >= 0 && set->members[m].slab == member->slab;
}

bool fsw_slabs_shared(struct fsw_extents *x, const struct fsw_extent *but, const struct fsw_member *members, unsigned int nr)
{
	const struct fsw_set *set;
	unsigned int i, m;

	for (i = 0; i < x->nr; i++) {
		set = rcu_dereference_protected(x->all[i]->set, lockdep_is_held(&x->lock));
		for (m = 0; m < nr && x->all[i] != but; m++)
			if (set_has(set, &members[m]))
				return true;
	}
	return false;
}

struct fsw_set *fsw_set_new(u32 generation, const struct fsw_member *members, unsigned int nr)
{
	struct fsw_set *set = kzalloc(sizeof(*set), GFP_KERNEL);

	if (!set)
		return NULL;
	set->generation = generation;
	set->nr = nr;
	memcpy(set->members, members, nr * sizeof(*members));
	return set;
}

static bool records_new(struct fsw_extents *x, struct fsw_extent *e)
{
	unsigned int i;

	for (i = 0; i < x->copies; i++) {
		struct fsw_record *r = &e->records[i];

		r->missed = kvcalloc(BITS_TO_LONGS(x->frames), sizeof(long), GFP_KERNEL);
		r->mending = kvcalloc(BITS_TO_LONGS(x->frames), sizeof(long), GFP_KERNEL);
		if (!r->missed || !r->mending)
			return false;
	}
	return true;
}

static struct fsw_extent *extent_new(struct fsw_extents *x, struct fsw_set *set)
{
	struct fsw_extent *e = kzalloc(sizeof(*e), GFP_KERNEL);
	unsigned int i;

	if (!e || !set)
		goto free;
	e->words = kvcalloc(x->frames, sizeof(*e->words), GFP_KERNEL);
	e->run_free = kvcalloc(x->runs, sizeof(*e->run_free), GFP_KERNEL);
	if (!e->words || !e->run_free || !records_new(x, e))
		goto free;
	for (i = 0; i < x->runs; i++)
		atomic_set(&e->run_free[i], FSW_CLUSTER);
	for (i = 0; i < set->nr; i++)
		set->record[i] = i;
	RCU_INIT_POINTER(e->set, set);
	return e;
free:
	kfree(set);
	if (e)
		extent_free(e);
	return NULL;
}

static int add_locked(struct fsw_extents *x, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr)
{
	struct fsw_extent *e;
	unsigned int i;

	for (i = 0; i < x->nr; i++)
		if (x->all[i]->id == id)
			return -EEXIST;
	if (fsw_slabs_shared(x, NULL, members, nr))
		return -EEXIST;
	if (x->nr == x->max)
		return -ENOSPC;
	e = extent_new(x, fsw_set_new(generation, members, nr));
	if (!e)
		return -ENOMEM;
	e->id = id;
	e->index = x->nr;
	x->all[x->nr] = e;
	smp_store_release(&x->nr, x->nr + 1);
	return 0;
}

int fsw_extents_add(struct fsw_extents *x, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr)
{
	int ret = nr <= x->copies ? fsw_members_check(members, nr) : -EINVAL;

	if (ret)
		return ret;
	mutex_lock(&x->lock);
	ret = add_locked(x, id, generation, members, nr);
	mutex_unlock(&x->lock);
	return ret;
}

struct fsw_extent *fsw_extents_get(struct fsw_extents *x, unsigned int index)
{
	return index < smp_load_acquire(&x->nr) ? x->all[index] : NULL;
}

struct fsw_extent *fsw_frame_extent(struct fsw_extents *x, u64 frame)
{
	return x->all[div_u64(frame, x->frames)];
}

u64 fsw_member_address(struct fsw_extents *x, const struct fsw_member *m, u64 frame)
{
	return m->remote + (u64)fsw_frame_offset(x, frame) * FSW_PAGE;
}

u64 fsw_entry_remote(struct fsw_extents *x, const struct fsw_member *m, struct fsw_entry e)
{
	return fsw_member_address(x, m, fsw_entry_index(e)) + fsw_entry_offset(e);
}

u64 fsw_run_claim(struct fsw_extents *x)
{
	struct fsw_extent *e, *best = NULL;
	unsigned int i, live, most = 0;

	while ((e = fsw_extents_get(x, x->claimed)) && e->next_run == x->runs)
		x->claimed++;
	for (i = x->claimed; most < x->copies && (e = fsw_extents_get(x, i)); i++) {
		if (e->next_run == x->runs || !fsw_extent_gives(e))
			continue;
		live = fsw_extent_live(e);
		if (live > most) {
			most = live;
			best = e;
		}
	}
	return best ? (u64)best->index * x->frames + best->next_run++ * FSW_CLUSTER : FSW_NO_FRAME;
}

unsigned int fsw_extent_used(struct fsw_extents *x, const struct fsw_extent *e)
{
	unsigned int i;
	int unused = 0;

	for (i = 0; i < x->runs; i++)
		unused += atomic_read(&e->run_free[i]);
	return x->frames - unused;
}

u64 fsw_extents_bytes(struct fsw_extents *x)
{
	u64 records = 2 * x->copies * BITS_TO_LONGS(x->frames) * sizeof(long);	/* missed and mending of each */

	return x->max * sizeof(*x->all) + smp_load_acquire(&x->nr) * (sizeof(struct fsw_extent) + sizeof(struct fsw_set) +
		x->frames * sizeof(atomic_t) + x->runs * sizeof(atomic_t) + records);
}

unsigned int fsw_extents_fresh(struct fsw_extents *x)
{
	struct fsw_extent *e;
	unsigned int i, fresh = 0;

	for (i = 0; (e = fsw_extents_get(x, i)); i++)
		if (fsw_extent_gives(e))
			fresh += x->runs - READ_ONCE(e->next_run);
	return fresh;
}

unsigned int fsw_extents_giving(struct fsw_extents *x)
{
	struct fsw_extent *e;
	unsigned int i, giving = 0;

	for (i = 0; (e = fsw_extents_get(x, i)); i++)
		giving += fsw_extent_gives(e);
	return giving;
}
