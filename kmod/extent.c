// SPDX-License-Identifier: GPL-2.0
#include "extent.h"

int fsw_extents_init(struct fsw_extents *x, u64 size, u64 slab_bytes)
{
	x->frames = slab_bytes / FSW_PAGE;
	x->runs = x->frames / FSW_CLUSTER;
	/* twice what the device needs: extents that lost every member are replaced, not given back */
	x->max = 2 * DIV_ROUND_UP_ULL(size, slab_bytes) + 8;
	x->nr = 0;
	x->cursor = 0;
	spin_lock_init(&x->home_lock);
	x->all = kvcalloc(x->max, sizeof(*x->all), GFP_KERNEL);
	return x->all ? 0 : -ENOMEM;
}

static void extent_free(struct fsw_extent *e)
{
	kvfree(e->words);
	kvfree(e->run_free);
	kfree(e);
}

void fsw_extents_exit(struct fsw_extents *x)
{
	unsigned int i;

	for (i = 0; i < x->nr; i++)
		extent_free(x->all[i]);
	kvfree(x->all);
}

static int members_check(const struct fsw_member *members, unsigned int nr)
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

/* Is one of the slabs in the extent already? Two frames would be one page. */
static bool slab_shared(const struct fsw_extent *e, const struct fsw_member *members, unsigned int nr)
{
	unsigned int i, j;

	for (i = 0; i < e->nr; i++)
		for (j = 0; j < nr; j++)
			if (e->members[i].peer == members[j].peer && e->members[i].slab == members[j].slab)
				return true;
	return false;
}

int fsw_extents_add(struct fsw_extents *x, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr)
{
	struct fsw_extent *e;
	unsigned int i;
	int ret = members_check(members, nr);

	if (ret)
		return ret;
	for (i = 0; i < x->nr; i++)
		if (x->all[i]->id == id || slab_shared(x->all[i], members, nr))
			return -EEXIST;
	if (x->nr == x->max)
		return -ENOSPC;
	e = kzalloc(sizeof(*e), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	e->words = kvcalloc(x->frames, sizeof(*e->words), GFP_KERNEL);
	e->run_free = kvcalloc(x->runs, sizeof(*e->run_free), GFP_KERNEL);
	if (!e->words || !e->run_free) {
		extent_free(e);
		return -ENOMEM;
	}
	for (i = 0; i < x->runs; i++)
		atomic_set(&e->run_free[i], FSW_CLUSTER);
	e->id = id;
	e->generation = generation;
	e->index = x->nr;
	e->nr = nr;
	memcpy(e->members, members, nr * sizeof(*members));
	x->all[x->nr] = e;
	smp_store_release(&x->nr, x->nr + 1);
	return 0;
}

struct fsw_extent *fsw_extents_get(struct fsw_extents *x, unsigned int index)
{
	return index < smp_load_acquire(&x->nr) ? x->all[index] : NULL;
}

struct fsw_extent *fsw_frame_extent(struct fsw_extents *x, u64 frame)
{
	return x->all[div_u64(frame, x->frames)];
}

unsigned int fsw_extent_live(const struct fsw_extent *e)
{
	unsigned int i, live = 0;

	for (i = 0; i < e->nr; i++)
		live += fsw_peer_live(e->members[i].peer);
	return live;
}

/* frames per extent is a power of two, see fsw_core_new() */
static unsigned int frame_offset(struct fsw_extents *x, u64 frame)
{
	return frame & (x->frames - 1);
}

u64 fsw_member_address(struct fsw_extents *x, const struct fsw_member *m, u64 frame)
{
	return m->remote + (u64)frame_offset(x, frame) * FSW_PAGE;
}

u64 fsw_entry_remote(struct fsw_extents *x, const struct fsw_member *m, struct fsw_entry e)
{
	return fsw_member_address(x, m, fsw_entry_index(e)) + fsw_entry_offset(e);
}

atomic_t *fsw_frame_word(struct fsw_extents *x, u64 frame)
{
	return &fsw_frame_extent(x, frame)->words[frame_offset(x, frame)];
}

static atomic_t *frame_run_free(struct fsw_extents *x, u64 frame)
{
	return &fsw_frame_extent(x, frame)->run_free[frame_offset(x, frame) / FSW_CLUSTER];
}

static bool frame_take(struct fsw_extents *x, u64 frame)
{
	if (atomic_cmpxchg(fsw_frame_word(x, frame), 0, FSW_FRAME_USED | 1) != 0)
		return false;
	atomic_dec(frame_run_free(x, frame));
	return true;
}

static u64 run_search(struct fsw_extents *x, u64 first)
{
	unsigned int i;

	if (atomic_read(frame_run_free(x, first)) <= 0)
		return FSW_NO_FRAME;
	for (i = 0; i < FSW_CLUSTER; i++)
		if (atomic_read(fsw_frame_word(x, first + i)) == 0 && frame_take(x, first + i))
			return first + i;
	return FSW_NO_FRAME;
}

static bool frame_live(struct fsw_extents *x, u64 frame)
{
	return fsw_extent_live(fsw_frame_extent(x, frame)) > 0;
}

/* Give the cluster a home run on the extent with most live members that has one left; again if its extent has died. */
static u64 home_find(struct fsw_extents *x, struct fsw_cluster *c)
{
	struct fsw_extent *e, *best = NULL;
	unsigned long flags;
	unsigned int i;
	u64 home;

	spin_lock_irqsave(&x->home_lock, flags);
	if (c->home == FSW_NO_HOME || !frame_live(x, c->home)) {
		for (i = 0; (e = fsw_extents_get(x, i)); i++)
			if (e->next_run < x->runs && fsw_extent_live(e) > (best ? fsw_extent_live(best) : 0))
				best = e;
		if (best)
			WRITE_ONCE(c->home, (u64)best->index * x->frames + best->next_run++ * FSW_CLUSTER);
	}
	home = c->home;
	spin_unlock_irqrestore(&x->home_lock, flags);
	return home;
}

/* Any frame at all, one run after another from where the last search ended. */
static u64 anywhere(struct fsw_extents *x)
{
	unsigned int runs = smp_load_acquire(&x->nr) * x->runs, n, run;
	u64 frame;

	for (n = 0; n < runs; n++) {
		run = (READ_ONCE(x->cursor) + n) % runs;
		if (!fsw_extent_live(x->all[run / x->runs]))
			continue;
		frame = run_search(x, (u64)run * FSW_CLUSTER);
		if (frame != FSW_NO_FRAME) {
			WRITE_ONCE(x->cursor, run);
			return frame;
		}
	}
	return FSW_NO_FRAME;
}

u64 fsw_frame_alloc(struct fsw_extents *x, struct fsw_cluster *c, u64 slot, u64 next)
{
	u64 home = READ_ONCE(c->home), frame;

	if (home == FSW_NO_HOME || !frame_live(x, home))
		home = home_find(x, c);
	if (home != FSW_NO_HOME && frame_live(x, home)) {
		frame = home + slot % FSW_CLUSTER;
		if (frame_take(x, frame))
			return frame;
		/* stay in one run, and so in one WRITE, where the home frame is taken */
		if (next != FSW_NO_FRAME && next % FSW_CLUSTER && frame_live(x, next) && frame_take(x, next))
			return next;
		frame = run_search(x, home);
		if (frame != FSW_NO_FRAME)
			return frame;
	}
	return anywhere(x);
}

void fsw_frame_free(struct fsw_extents *x, u64 frame)
{
	atomic_andnot(FSW_FRAME_USED, fsw_frame_word(x, frame));
	atomic_inc(frame_run_free(x, frame));
}

atomic_t *fsw_frame_pin(struct fsw_extents *x, u64 frame)
{
	atomic_t *word = fsw_frame_word(x, frame);

	atomic_inc(word);
	smp_mb__after_atomic();	/* the pin is seen before the map is read again */
	return word;
}

unsigned int fsw_extent_used(struct fsw_extents *x, const struct fsw_extent *e)
{
	unsigned int i;
	int unused = 0;

	for (i = 0; i < x->runs; i++)
		unused += atomic_read(&e->run_free[i]);
	return x->frames - unused;
}

unsigned int fsw_extents_fresh(struct fsw_extents *x)
{
	struct fsw_extent *e;
	unsigned int i, fresh = 0;

	for (i = 0; (e = fsw_extents_get(x, i)); i++)
		if (fsw_extent_live(e))
			fresh += x->runs - READ_ONCE(e->next_run);
	return fresh;
}

unsigned int fsw_extents_live(struct fsw_extents *x)
{
	struct fsw_extent *e;
	unsigned int i, live = 0;

	for (i = 0; (e = fsw_extents_get(x, i)); i++)
		live += fsw_extent_live(e) > 0;
	return live;
}
