// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define KICK_MS		20
#define AGAIN_MS	1000	/* after a pass, when something is still missed; twice as long each time, */
#define AGAIN_MOST_MS	16000U	/* up to this, until something new is missed */
#define GATHER_MS	20	/* lines are gathered for this long at most before they are written */

/* ---- a pass's begin and end ---- */

/* Does the peer, in the extent's present set, miss something that can be mended now? Its record, or NULL. Inside rcu_read_lock(). */
static struct fsw_record *record_of(struct fsw_extent *e, const struct fsw_set *set, const struct fsw_peer *peer)
{
	int m = fsw_set_find(set, peer);

	if (m < 0 || READ_ONCE(e->sealed) != FSW_OPEN || !fsw_peer_live(set->members[m].peer))
		return NULL;
	return &e->records[set->record[m]];
}

/* The next of the peers that miss something, by their numbers; NULL: none. */
static const struct fsw_peer *next_peer(struct fsw_mend *mend)
{
	const struct fsw_peer *best = NULL;
	u32 node = mend->node;
	struct fsw_extent *e;
	unsigned int i, m;

	for (i = 0; (e = fsw_extents_get(&mend->core->extents, i)); i++) {
		const struct fsw_set *set;

		rcu_read_lock();
		set = rcu_dereference(e->set);
		for (m = 0; m < set->nr; m++) {
			const struct fsw_peer *peer = set->members[m].peer;
			struct fsw_record *r = record_of(e, set, peer);

			if (r && READ_ONCE(r->any) && (!best || peer->node - mend->node - 1 < node - mend->node - 1)) {
				best = peer;
				node = peer->node;
			}
		}
		rcu_read_unlock();
	}
	mend->node = node;
	return best;
}

static void pass_begin(struct fsw_mend *mend)
{
	struct fsw_extents *x = &mend->core->extents;
	struct fsw_extent *e;
	unsigned int i;

	fsw_stall_sleep();
	mend->slot = 0;
	mend->to = next_peer(mend);
	for (i = 0; mend->to && (e = fsw_extents_get(x, i)); i++) {
		const struct fsw_set *set;

		rcu_read_lock();
		set = rcu_dereference(e->set);
		e->mend = record_of(e, set, mend->to);
		e->mend_generation = set->generation;
		if (e->mend && READ_ONCE(e->mend->any))
			fsw_record_mend(x, e->mend);
		else
			e->mend = NULL;
		rcu_read_unlock();
	}
}

/* Is something still missed, to be tried again? */
static bool pass_end(struct fsw_mend *mend)
{
	struct fsw_extents *x = &mend->core->extents;
	struct fsw_extent *e;
	unsigned int i;
	bool again = false;

	fsw_stall_sleep();
	for (i = 0; (e = fsw_extents_get(x, i)); i++) {
		const struct fsw_set *set;

		if (!e->mend)
			continue;
		rcu_read_lock();
		set = rcu_dereference(e->set);
		fsw_record_mended(x, e->mend, set->generation == e->mend_generation && record_of(e, set, mend->to));
		rcu_read_unlock();
		again |= READ_ONCE(e->mend->any);
		e->mend = NULL;
	}
	mend->to = NULL;
	return again;
}

/* ---- one slot ---- */

/* The member that is mended, as it is now, if it still is the pass's. */
static int mend_member(struct fsw_mend *mend, struct fsw_extent *e, struct fsw_member *member)
{
	const struct fsw_set *set;
	int m = -1;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	if (set->generation == e->mend_generation && record_of(e, set, mend->to) == e->mend) {
		m = fsw_set_find(set, mend->to);
		*member = set->members[m];
	}
	rcu_read_unlock();
	return m;
}

/* A copy that verifies, of those not in tried; NULL: none now. */
static struct fsw_read *copy_get(struct fsw_core *core, u64 slot, struct fsw_entry e, u32 generation, u32 tried)
{
	struct fsw_extent *x = fsw_frame_extent(&core->extents, fsw_entry_index(e));
	unsigned int f = fsw_frame_offset(&core->extents, fsw_entry_index(e));
	int m;

	while ((m = fsw_extent_pick(x, generation, f, tried, NULL)) >= 0) {
		u64 deadline = ktime_get_ns() + (u64)core->params.hedge_ms * NSEC_PER_MSEC;
		struct fsw_read *read = fsw_copy_read(core, slot, e, generation, m, deadline);
		int ret;

		if (!read)
			break;
		ret = fsw_copy_wait(core, read, e, deadline);
		if (!ret)
			return read;
		core->ops->read_put(core->transport, read);
		if (ret == -EBADMSG && fsw_entry_current(core, slot, e))
			fsw_copy_bad(core, e, generation, m);
		tried |= 1 << m;
	}
	return NULL;
}

/* Put the slot's bytes behind the lines that there are. False: it is not to be mended any more. */
static bool line_add(struct fsw_mend *mend, u64 slot, struct fsw_entry e, struct fsw_extent *x, const void *bytes)
{
	struct fsw_core *core = mend->core;
	atomic_t *pin = fsw_frame_pin(&core->extents, fsw_entry_index(e));
	struct fsw_member member;

	if (!fsw_entry_current(core, slot, e) || mend_member(mend, x, &member) < 0) {
		fsw_frame_unpin(pin);
		return false;
	}
	memcpy(mend->buf.va + mend->nr * FSW_PAGE, bytes, fsw_entry_length(e));
	mend->lines[mend->nr] = (struct fsw_mend_line){
		.record = x->mend,
		.frame = fsw_frame_offset(&core->extents, fsw_entry_index(e)),
		.pin = pin,
	};
	mend->pieces[mend->nr] = (struct fsw_piece){
		.remote = fsw_entry_remote(&core->extents, &member, e),
		.rkey = member.rkey,
		.offset = mend->nr * FSW_PAGE,
		.bytes = fsw_entry_length(e),
	};
	mend->chain.peer = member.peer;
	mend->nr++;
	return true;
}

/* Is the member's own copy right? It may have been marked though it was written: it was lost just then. */
static bool copy_right(struct fsw_mend *mend, u64 slot, struct fsw_entry e, struct fsw_extent *x, unsigned int m)
{
	struct fsw_core *core = mend->core;
	struct fsw_read *read = copy_get(core, slot, e, x->mend_generation, ~(1u << m));

	if (read)
		core->ops->read_put(core->transport, read);
	return read;
}

static void slot_mend(struct fsw_mend *mend, u64 slot)
{
	struct fsw_core *core = mend->core;
	struct fsw_entry e = fsw_map_get(&core->map, slot);
	struct fsw_member member;
	struct fsw_read *read;
	struct fsw_extent *x;
	unsigned int f;
	bool done;
	int m;

	if (fsw_entry_state(e) != FARSWAP_SLOT_STORED)
		return;
	x = fsw_frame_extent(&core->extents, fsw_entry_index(e));
	f = fsw_frame_offset(&core->extents, fsw_entry_index(e));
	if (!x->mend || !test_bit(f, x->mend->mending))
		return;
	m = mend_member(mend, x, &member);
	read = m < 0 ? NULL : copy_get(core, slot, e, x->mend_generation, 1 << m);
	if (read) {
		done = line_add(mend, slot, e, x, read->va);
		core->ops->read_put(core->transport, read);
	} else {
		done = m >= 0 && copy_right(mend, slot, e, x, m);
	}
	/* it may also have been freed: then this is for nothing, and does no harm */
	if (!done)
		fsw_record_miss(x->mend, f);
}

/* ---- the work ---- */

static void mend_queue(struct fsw_mend *mend, unsigned long delay)
{
	if (!READ_ONCE(mend->core->staging.stopping))
		queue_delayed_work(mend->wq, &mend->work, delay);
}

/* How long to rest: as long as it has worked. What is less than the clock's step is saved up. */
static unsigned long mend_rest(struct fsw_mend *mend)
{
	unsigned long rest = nsecs_to_jiffies(ktime_get_ns() - mend->began_ns);

	if (rest)
		mend->began_ns = 0;
	return rest;
}

void fsw_mend_done(struct fsw_chain *chain, int status)
{
	struct fsw_mend *mend = container_of(chain, struct fsw_mend, chain);
	unsigned long rest = mend_rest(mend);
	unsigned int i;

	for (i = 0; i < mend->nr; i++) {
		struct fsw_mend_line *line = &mend->lines[i];

		if (status)
			fsw_record_miss(line->record, line->frame);
		fsw_frame_unpin(line->pin);
	}
	if (!status)
		this_cpu_add(mend->core->stats->n[FSW_MENDED], mend->nr);
	mend->nr = 0;
	fsw_stall();
	smp_store_release(&mend->flying, false);	/* from here on it is the work's again */
	mend_queue(mend, rest);
}

static void lines_write(struct fsw_mend *mend)
{
	struct fsw_core *core = mend->core;

	fsw_stall_nap();
	mend->flying = true;
	mend->chain.posted_ns = ktime_get_ns();
	core->ops->write(core->transport, &mend->chain, &mend->buf, mend->pieces, mend->nr);
}

/* Lines until there are enough, or it takes too long. True: the pass has come to its end. */
static bool lines_gather(struct fsw_mend *mend)
{
	u64 until = ktime_get_ns() + GATHER_MS * NSEC_PER_MSEC;
	struct fsw_map *map = &mend->core->map;

	for (; mend->slot < map->slots; mend->slot++) {
		if (mend->nr == FSW_MEND_SLOTS || READ_ONCE(mend->core->staging.stopping) || ktime_get_ns() >= until)
			return false;
		if (mend->slot % FSW_CLUSTER == 0)
			cond_resched();
		if (fsw_map_cluster(map, mend->slot))
			slot_mend(mend, mend->slot);
		else
			mend->slot |= FSW_CLUSTER - 1;
	}
	return true;
}

/* When to begin the next pass: at once, or later for the same once more. */
static unsigned long pass_delay(struct fsw_mend *mend)
{
	unsigned int ms = READ_ONCE(mend->again_ms);

	if (!pass_end(mend))
		return 0;
	WRITE_ONCE(mend->again_ms, min(2 * ms, AGAIN_MOST_MS));
	return msecs_to_jiffies(ms);
}

static void mend_work(struct work_struct *work)
{
	struct fsw_mend *mend = container_of(to_delayed_work(work), struct fsw_mend, work);
	bool ended;

	if (smp_load_acquire(&mend->flying))
		return;	/* kicked meanwhile: it goes on when that ends */
	if (!mend->to)
		pass_begin(mend);
	if (!mend->to)
		return;
	if (!mend->began_ns)
		mend->began_ns = ktime_get_ns();
	ended = lines_gather(mend);
	if (mend->nr) {
		lines_write(mend);
	} else if (!ended) {
		mend_queue(mend, mend_rest(mend));
	} else {
		mend->began_ns = 0;
		mend_queue(mend, pass_delay(mend));
	}
}

void fsw_mend_kick(struct fsw_mend *mend)
{
	WRITE_ONCE(mend->again_ms, AGAIN_MS);
	if (!READ_ONCE(mend->core->staging.stopping))
		mod_delayed_work(mend->wq, &mend->work, msecs_to_jiffies(KICK_MS));
}

int fsw_mend_init(struct fsw_mend *mend, struct fsw_core *core)
{
	mend->core = core;
	mend->again_ms = AGAIN_MS;
	mend->chain.done = fsw_mend_done;
	INIT_DELAYED_WORK(&mend->work, mend_work);
	/* of its own: it waits for READs, and nothing that a page waits for waits for it */
	mend->wq = alloc_workqueue("farswap_mend", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!mend->wq)
		return -ENOMEM;
	if (!core->ops->buffer_get(core->transport, &mend->buf, FSW_MEND_SLOTS * FSW_PAGE))
		return 0;
	destroy_workqueue(mend->wq);
	return -ENOMEM;
}

void fsw_mend_stop(struct fsw_mend *mend)
{
	cancel_delayed_work_sync(&mend->work);
}

void fsw_mend_exit(struct fsw_mend *mend)
{
	cancel_delayed_work_sync(&mend->work);	/* the last chain may have queued it */
	mend->core->ops->buffer_put(mend->core->transport, &mend->buf);
	destroy_workqueue(mend->wq);
}
