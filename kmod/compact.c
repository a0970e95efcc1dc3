// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define KICK_DROPS	256	/* drops on a CPU between two looks */
#define KICK_MS		20
#define RETRY_MS	20	/* when staging or the lanes have no room to spare */
#define TRIES		500	/* in vain in one pass: a page that cannot be read does not hold up the others for ever */
#define SLACK		64	/* frames that may be in use beside: those of windows in flight */
#define EIGHTHS_MOST	6	/* moving fuller frames frees next to nothing */

/* ---- what holes cost ---- */

/* A packed frame's share in use, in eighths; 0: it is free, or a whole page's. */
static unsigned int word_eighths(u32 word)
{
	return fsw_word_class(word) ? hweight32(fsw_word_used(word)) * (8 >> fsw_word_class(word)) : 0;
}

u64 fsw_frames_used(struct fsw_core *core)
{
	struct fsw_extent *e;
	unsigned int i;
	u64 used = 0;

	for (i = 0; (e = fsw_extents_get(&core->extents, i)); i++)
		used += fsw_extent_used(&core->extents, e);
	return used;
}

/* The frames that the stored pages would fill without a hole. */
static u64 frames_filled(struct fsw_core *core)
{
	unsigned int class;
	u64 eighths = 0;

	for (class = 0; class < FSW_CLASSES; class++)
		eighths += fsw_count_sum(core, FSW_STORED + class) * (8 >> class);
	return div_u64(eighths + 7, 8);
}

static void frames_by_share(struct fsw_core *core, u64 *frames)
{
	struct fsw_extent *e;
	unsigned int i, f;

	for (i = 0; (e = fsw_extents_get(&core->extents, i)); i++) {
		for (f = 0; f < core->extents.frames; f++)
			frames[word_eighths(atomic_read(&e->words[f]))]++;
		cond_resched();
	}
}

/* Which frames to empty so that what is left costs 1.1 times: those with at most so many eighths in use. 0: it need not be. */
static unsigned int pass_most(struct fsw_core *core)
{
	u64 used = fsw_frames_used(core), filled = frames_filled(core), frames[9] = { 0 }, gain = 0;
	unsigned int most;

	if (used * 10 <= filled * 12 + SLACK * 10)
		return 0;
	frames_by_share(core, frames);
	for (most = 1; most <= EIGHTHS_MOST; most++) {
		gain += frames[most] * (8 - most);
		if (used * 10 <= filled * 11 + div_u64(gain * 10, 8))
			return most;
	}
	return gain ? EIGHTHS_MOST : 0;
}

/* ---- a pass over the map ---- */

/* False: no room, or the page cannot be read now. */
static bool slot_move(struct fsw_core *core, u64 slot, struct fsw_entry e)
{
	const struct fsw_extent *x = fsw_frame_extent(&core->extents, fsw_entry_index(e));
	u64 deadline = ktime_get_ns() + (u64)core->params.hedge_ms * NSEC_PER_MSEC;
	bool moved = false;
	unsigned int m;

	for (m = 0; m < x->nr && !moved; m++) {
		struct fsw_read *read = NULL;

		if (fsw_peer_live(x->members[m].peer))
			read = fsw_copy_read(core, slot, x, m, e, deadline);
		if (!read)
			continue;
		moved = !fsw_copy_wait(core, read, e, deadline) && fsw_restage(&core->staging, slot, e, read->va);
		core->ops->read_put(core->transport, read);
	}
	return moved;
}

/* Is the slot in a frame that is to be emptied? Then nothing more goes into it. */
static bool slot_moves(struct fsw_compact *c, struct fsw_entry e)
{
	struct fsw_extents *x = &c->core->extents;
	u64 frame = fsw_entry_index(e);

	if (fsw_entry_state(e) != FARSWAP_SLOT_STORED || !fsw_entry_class(e) || !fsw_extent_live(fsw_frame_extent(x, frame)))
		return false;
	return word_eighths(atomic_read(fsw_frame_word(x, frame))) <= c->most && fsw_frame_seal(x, frame);
}

/* False: it must go on later. */
static bool pass_go(struct fsw_compact *c)
{
	struct fsw_map *map = &c->core->map;

	for (; c->slot < map->slots && !READ_ONCE(c->core->staging.stopping); c->slot++) {
		struct fsw_entry e;

		if (c->slot % FSW_CLUSTER == 0)
			cond_resched();
		if (!fsw_map_cluster(map, c->slot)) {
			c->slot |= FSW_CLUSTER - 1;
			continue;
		}
		e = fsw_map_get(map, c->slot);
		if (!slot_moves(c, e))
			continue;
		if (slot_move(c->core, c->slot, e))
			c->moved++;
		else if (fsw_entry_same(fsw_map_get(map, c->slot), e))
			return false;
	}
	return true;
}

static void pass_end(struct fsw_compact *c)
{
	struct fsw_extents *x = &c->core->extents;
	u64 frame;

	for (frame = 0; frame < (u64)smp_load_acquire(&x->nr) * x->frames; frame++)
		if (atomic_read(fsw_frame_word(x, frame)) & FSW_FRAME_SEALED)
			fsw_frame_unseal(x, frame);
	c->most = 0;
}

static void compact_work(struct work_struct *work)
{
	struct fsw_compact *c = container_of(to_delayed_work(work), struct fsw_compact, work);
	struct fsw_staging *s = &c->core->staging;

	if (!c->most) {
		c->most = pass_most(c->core);
		c->slot = 0;
		c->moved = 0;
		c->tries = 0;
	}
	if (!c->most)
		return;
	if (!pass_go(c) && ++c->tries < TRIES) {
		queue_delayed_work(s->wq, &c->work, msecs_to_jiffies(RETRY_MS));
		return;
	}
	pass_end(c);
	if (c->moved)	/* once is not always enough: pages were stored and freed meanwhile */
		queue_delayed_work(s->wq, &c->work, msecs_to_jiffies(KICK_MS));
}

void fsw_compact_kick(struct fsw_compact *c)
{
	if (this_cpu_inc_return(c->core->stats->drops) % KICK_DROPS == 0 && !READ_ONCE(c->core->staging.stopping))
		queue_delayed_work(c->core->staging.wq, &c->work, msecs_to_jiffies(KICK_MS));
}

void fsw_compact_init(struct fsw_compact *c, struct fsw_core *core)
{
	c->core = core;
	INIT_DELAYED_WORK(&c->work, compact_work);
}

void fsw_compact_stop(struct fsw_compact *c)
{
	cancel_delayed_work_sync(&c->work);
}
