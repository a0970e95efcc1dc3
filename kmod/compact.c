// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define KICK_DROPS	256	/* drops on a CPU between two looks */
#define KICK_MS		20
#define RETRY_MS	4	/* when its windows or the lanes' READs are all on their way */
#define TRIES		500	/* at one slot, for want of room */
#define QUIET_MS	1000	/* after a look at every frame that found nothing to do */
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

/* Frames by the eighths in use; [8] has those of whole pages too. Of extents that give: the others cannot be emptied, or not now. */
static void frames_by_share(struct fsw_core *core, u64 *frames)
{
	struct fsw_extent *e;
	unsigned int i, f;

	for (i = 0; (e = fsw_extents_get(&core->extents, i)); i++) {
		if (!fsw_extent_gives(e))
			continue;
		for (f = 0; f < core->extents.frames; f++) {
			u32 word = atomic_read(&e->words[f]);

			if (f % FSW_CLUSTER == 0)
				cond_resched();
			if (fsw_word_used(word))
				frames[fsw_word_class(word) ? word_eighths(word) : 8]++;
		}
	}
}

/* Do holes cost too much? When none but frames with holes are left, any hole does. */
static bool too_many(const struct fsw_compact *c, u64 used, u64 filled)
{
	return READ_ONCE(c->urgent) ? used > filled : used * 10 > filled * 12 + SLACK * 10;
}

/* Which frames to empty so that what is left costs 1.1 times: those with at most so many eighths in use. 0: it need not be. */
static unsigned int pass_most(struct fsw_compact *c)
{
	u64 frames[9] = { 0 }, used = 0, eighths = 0, gain = 0;
	unsigned int most;

	/* cheap, and not exact: windows in flight, extents that died */
	if (!too_many(c, fsw_frames_used(c->core), frames_filled(c->core)))
		return 0;
	frames_by_share(c->core, frames);
	for (most = 1; most <= 8; most++) {
		used += frames[most];
		eighths += frames[most] * most;
	}
	for (most = 1; most <= EIGHTHS_MOST && too_many(c, used, div_u64(eighths + 7, 8)); most++) {
		gain += frames[most] * (8 - most);
		if (gain && (most == EIGHTHS_MOST || used * 80 <= eighths * 11 + gain * 10))
			return most;
	}
	WRITE_ONCE(c->quiet_ns, ktime_get_ns() + QUIET_MS * NSEC_PER_MSEC);
	return 0;
}

/* ---- a pass over the map ---- */

/* 0: the page was staged again, or need not be. -EAGAIN: no room now. Else it cannot be read now. */
static int slot_move(struct fsw_core *core, u64 slot, struct fsw_entry e)
{
	const struct fsw_extent *x = fsw_frame_extent(&core->extents, fsw_entry_index(e));
	unsigned int f = fsw_frame_offset(&core->extents, fsw_entry_index(e));
	u32 generation = fsw_extent_generation(x), tried = 0;
	int m, ret = -ENOTCONN;

	while ((m = fsw_extent_pick(x, generation, f, tried, NULL)) >= 0) {
		u64 deadline = ktime_get_ns() + (u64)core->params.hedge_ms * NSEC_PER_MSEC;
		struct fsw_read *read;

		tried |= 1 << m;
		read = fsw_copy_read(core, slot, e, generation, m, deadline);
		if (!read)
			return -EAGAIN;
		ret = fsw_copy_wait(core, read, e, deadline);
		if (!ret && !fsw_restage(&core->staging, slot, e, read->va))
			ret = -EAGAIN;
		core->ops->read_put(core->transport, read);
		if (!ret || ret == -EAGAIN)
			break;
	}
	return ret;
}

/* Is the slot in a frame that is to be emptied? Then nothing more goes into it. */
static bool slot_moves(struct fsw_compact *c, struct fsw_entry e)
{
	struct fsw_extents *x = &c->core->extents;
	u64 frame = fsw_entry_index(e);

	if (fsw_entry_state(e) != FARSWAP_SLOT_STORED || !fsw_entry_class(e) || !fsw_extent_gives(fsw_frame_extent(x, frame)))
		return false;
	return word_eighths(atomic_read(fsw_frame_word(x, frame))) <= c->most && fsw_frame_seal(x, frame);
}

/* False: it must go on later. A page that cannot be read does not hold up the others. */
static bool pass_go(struct fsw_compact *c)
{
	struct fsw_map *map = &c->core->map;

	for (; c->slot < map->slots && !READ_ONCE(c->core->staging.stopping); c->slot++, c->tries = 0) {
		struct fsw_entry e;
		int ret;

		if (c->slot % FSW_CLUSTER == 0)
			cond_resched();
		if (!fsw_map_cluster(map, c->slot)) {
			c->slot |= FSW_CLUSTER - 1;
			continue;
		}
		e = fsw_map_get(map, c->slot);
		if (!slot_moves(c, e))
			continue;
		fsw_stall_nap();
		ret = slot_move(c->core, c->slot, e);
		if (ret == -EAGAIN && ++c->tries < TRIES)
			return false;
		c->moved += !ret;
	}
	return true;
}

static void pass_end(struct fsw_compact *c)
{
	struct fsw_extents *x = &c->core->extents;
	u64 frame;

	fsw_stall_sleep();
	for (frame = 0; frame < (u64)smp_load_acquire(&x->nr) * x->frames; frame++) {
		if (atomic_read(fsw_frame_word(x, frame)) & FSW_FRAME_SEALED)
			fsw_frame_unseal(x, frame);
		if (frame % FSW_CLUSTER == 0)
			cond_resched();
	}
	c->most = 0;
}

static void compact_work(struct work_struct *work)
{
	struct fsw_compact *c = container_of(to_delayed_work(work), struct fsw_compact, work);

	if (!c->most) {
		c->most = pass_most(c);
		c->slot = 0;
		c->moved = 0;
		c->tries = 0;
	}
	if (!c->most) {
		WRITE_ONCE(c->urgent, false);
		return;
	}
	if (!pass_go(c)) {
		queue_delayed_work(c->wq, &c->work, msecs_to_jiffies(RETRY_MS));
		return;
	}
	pass_end(c);
	WRITE_ONCE(c->urgent, false);
	if (c->moved)	/* once is not always enough: pages were stored and freed meanwhile */
		queue_delayed_work(c->wq, &c->work, msecs_to_jiffies(KICK_MS));
	else
		WRITE_ONCE(c->quiet_ns, ktime_get_ns() + QUIET_MS * NSEC_PER_MSEC);
}

void fsw_compact_kick(struct fsw_compact *c, bool urgent)
{
	if (!urgent && this_cpu_inc_return(c->core->stats->drops) % KICK_DROPS)
		return;
	if (READ_ONCE(c->core->staging.stopping) || ktime_get_ns() < READ_ONCE(c->quiet_ns))
		return;
	if (urgent)
		WRITE_ONCE(c->urgent, true);
	queue_delayed_work(c->wq, &c->work, msecs_to_jiffies(KICK_MS));
}

int fsw_compact_init(struct fsw_compact *c, struct fsw_core *core)
{
	c->core = core;
	INIT_DELAYED_WORK(&c->work, compact_work);
	/* of its own: a pass is long, and windows are sent from the other */
	c->wq = alloc_workqueue("farswap_compact", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return c->wq ? 0 : -ENOMEM;
}

void fsw_compact_stop(struct fsw_compact *c)
{
	cancel_delayed_work_sync(&c->work);
}

void fsw_compact_exit(struct fsw_compact *c)
{
	destroy_workqueue(c->wq);
}
