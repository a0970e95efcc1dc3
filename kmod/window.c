// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define RETRY_MS	20

/* ---- the pool ---- */

static void window_free(struct fsw_staging *s, struct fsw_window *w)
{
	if (w->buf.va)
		s->core->ops->buffer_put(s->core->transport, &w->buf);
	kfree(w->pages);
	kfree(w->runs);
	kfree(w->order);
	kfree(w->pieces);
	kfree(w);
}

static struct fsw_window *window_new(struct fsw_staging *s, unsigned int index)
{
	struct fsw_window *w = kzalloc(sizeof(*w), GFP_KERNEL);

	if (!w)
		return NULL;
	w->staging = s;
	w->index = index;
	w->pages = kcalloc(s->window, sizeof(*w->pages), GFP_KERNEL);
	w->runs = kcalloc(s->window, sizeof(*w->runs), GFP_KERNEL);
	w->order = kcalloc(s->window, sizeof(*w->order), GFP_KERNEL);
	w->pieces = kcalloc(s->window, sizeof(*w->pieces), GFP_KERNEL);
	if (w->pages && w->runs && w->order && w->pieces &&
	    !s->core->ops->buffer_get(s->core->transport, &w->buf, (size_t)s->window * FSW_PAGE))
		return w;
	window_free(s, w);
	return NULL;
}

static struct fsw_window *window_take(struct fsw_staging *s, bool spare)
{
	struct fsw_window *w;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	w = list_first_entry_or_null(spare ? &s->spares : &s->free, struct fsw_window, link);
	if (w) {
		list_del_init(&w->link);
		if (!spare)
			WRITE_ONCE(s->nr_free, s->nr_free - 1);
	}
	spin_unlock_irqrestore(&s->lock, flags);
	return w;
}

static void window_return(struct fsw_staging *s, struct fsw_window *w)
{
	unsigned long flags;

	fsw_stall();
	spin_lock_irqsave(&s->lock, flags);
	list_add(&w->link, w->spare ? &s->spares : &s->free);
	if (!w->spare)
		WRITE_ONCE(s->nr_free, s->nr_free + 1);
	spin_unlock_irqrestore(&s->lock, flags);
	WRITE_ONCE(s->stalled, false);
	wake_up_all(&s->room);
}

static void window_park(struct fsw_staging *s, struct fsw_window *w)
{
	unsigned long flags;

	fsw_count(s->core, FSW_PARKED);
	fsw_stall();
	spin_lock_irqsave(&s->lock, flags);
	list_add_tail(&w->link, &s->parked);
	spin_unlock_irqrestore(&s->lock, flags);
	fsw_want(s->core);
	if (!READ_ONCE(s->stopping))
		queue_delayed_work(s->wq, &s->retry_work, msecs_to_jiffies(RETRY_MS));
}

void *fsw_staged_bytes(struct fsw_staging *s, struct fsw_entry e)
{
	u64 place = fsw_entry_index(e);
	struct fsw_window *w = smp_load_acquire(&s->windows[place / s->window]);

	return w ? w->buf.va + place % s->window * FSW_PAGE + fsw_entry_offset(e) : NULL;
}

/* ---- sending ---- */

/* where in the window's buffer, and in all extents' frames one after the other */
static u32 page_offset(const struct fsw_window_page *p)
{
	return p->place * FSW_PAGE + p->sub * fsw_class_bytes(p->class);
}

static u64 page_remote(const struct fsw_window_page *p)
{
	return p->frame * FSW_PAGE + p->remote_sub * fsw_class_bytes(p->class);
}

static struct fsw_entry staged_entry(struct fsw_window *w, unsigned int i)
{
	const struct fsw_window_page *p = &w->pages[i];

	return (struct fsw_entry){
		.sum = p->sum,
		.seq = p->seq,
		.where = fsw_where(FARSWAP_SLOT_STAGED, p->codec, p->length, p->class, p->sub,
				   (u64)w->index * w->staging->window + p->place),
	};
}

static struct fsw_entry stored_entry(const struct fsw_window_page *p)
{
	return (struct fsw_entry){
		.sum = p->sum,
		.seq = p->seq,
		.where = fsw_where(FARSWAP_SLOT_STORED, p->codec, p->length, p->class, p->remote_sub, p->frame),
	};
}

static void window_chain_done(struct fsw_chain *chain, int status);

/* The chain of this window to the peer; it is made if there is none. -1: this window has chains to too many peers. */
static int chain_to(struct fsw_window *w, struct fsw_peer *peer)
{
	unsigned int i;

	for (i = 0; i < w->nr_chains; i++)
		if (w->chains[i].peer == peer)
			return i;
	if (w->nr_chains == FSW_CHAINS_MAX)
		return -1;
	w->chains[w->nr_chains].done = window_chain_done;
	w->chains[w->nr_chains].owner = w;
	w->chains[w->nr_chains].peer = peer;
	return w->nr_chains++;
}

/*
 * Which chains carry a run on this set: one for each member that is live now. Members only ever stop being live, so one
 * that is live when the window ends was live here. False: none, or more peers than a window has chains.
 */
static bool set_chains(struct fsw_window *w, const struct fsw_set *set, struct fsw_run *run)
{
	unsigned int i, chains = w->nr_chains;

	for (i = 0; i < set->nr; i++) {
		int c;

		if (!fsw_peer_live(set->members[i].peer))
			continue;
		c = chain_to(w, set->members[i].peer);
		if (c < 0) {
			w->nr_chains = chains;	/* none that carries nothing */
			return false;
		}
		run->chains[run->nr_chains++] = c;
	}
	return run->nr_chains;
}

/* The same for the extent, of which the window has a frame pinned: its set stays what it is until that is let go. */
static bool extent_chains(struct fsw_window *w, const struct fsw_extent *e, struct fsw_run *run)
{
	bool any;

	rcu_read_lock();
	any = set_chains(w, rcu_dereference(e->set), run);
	rcu_read_unlock();
	return any;
}

static void page_unpost(struct fsw_core *core, struct fsw_window_page *p, enum fsw_page_state state, bool free)
{
	if (free)
		fsw_slot_free(&core->extents, p->frame, p->remote_sub);
	p->state = state;
	fsw_frame_unpin(fsw_frame_word(&core->extents, p->frame));
}

/* Does page i go on where the run ends, here and there? */
static bool run_continues(struct fsw_window *w, const struct fsw_run *run, unsigned int i)
{
	const struct fsw_window_page *last = &w->pages[w->order[run->first + run->nr - 1]], *p = &w->pages[i];
	u32 bytes = fsw_class_bytes(last->class);

	return page_offset(p) == page_offset(last) + bytes && page_remote(p) == page_remote(last) + bytes &&
	       p->frame / w->staging->core->extents.frames == last->frame / w->staging->core->extents.frames;
}

/* Page i has a slot: put it in a run. It stays WAITING, without the slot, if no live replica could be given it now. */
static void page_post(struct fsw_window *w, unsigned int i)
{
	struct fsw_core *core = w->staging->core;
	struct fsw_window_page *p = &w->pages[i];
	struct fsw_run *run = w->nr_runs ? &w->runs[w->nr_runs - 1] : NULL;

	if (!run || !run_continues(w, run, i)) {
		run = &w->runs[w->nr_runs];
		*run = (struct fsw_run){ .first = w->nr_order };
		if (!extent_chains(w, fsw_frame_extent(&core->extents, p->frame), run)) {
			page_unpost(core, p, FSW_PAGE_WAITING, true);
			return;
		}
		w->nr_runs++;
	}
	w->order[w->nr_order++] = i;
	run->nr++;
	run->bytes += fsw_class_bytes(p->class);
	p->state = FSW_PAGE_POSTED;
	fsw_extent_use(&core->extents, p->frame);
}

/* How far the placing of a window has come. */
struct placing {
	struct fsw_pack pack;
	u64 next;		/* the frame after the last one given */
	bool packed;
	u8 group[FSW_SUBS];	/* pages of one place that need a slot */
	unsigned int nr;
};

/* Slots for the group's first pages. */
static struct fsw_slots group_slots(struct fsw_window *w, struct placing *g)
{
	struct fsw_core *core = w->staging->core;
	const struct fsw_window_page *p = &w->pages[g->group[0]];

	if (g->packed)
		return fsw_slots_alloc(&core->extents, &g->pack, p->class, g->nr);
	return fsw_frame_alloc(&core->extents, fsw_map_cluster(&core->map, p->slot), p->slot, g->next);
}

/* Give the group's pages slots, in as few frames as can be. False: there is none. */
static bool group_place(struct fsw_window *w, struct placing *g)
{
	unsigned int i = 0;

	while (i < g->nr) {
		struct fsw_slots got;

		memmove(g->group, g->group + i, g->nr - i);
		g->nr -= i;
		got = group_slots(w, g);
		if (got.frame == FSW_NO_FRAME)
			return false;
		g->next = got.frame + 1;
		for (i = 0; got.mask; i++, got.mask &= got.mask - 1) {
			w->pages[g->group[i]].frame = got.frame;
			w->pages[g->group[i]].remote_sub = __ffs(got.mask);
			page_post(w, g->group[i]);
		}
	}
	return true;
}

/* Does page i still wait for a slot? One that was rewritten or freed meanwhile is done. */
static bool page_waits(struct fsw_window *w, unsigned int i)
{
	struct fsw_window_page *p = &w->pages[i];

	if (p->state != FSW_PAGE_WAITING)
		return false;
	if (fsw_entry_current(w->staging->core, p->slot, staged_entry(w, i)))
		return true;
	p->state = FSW_PAGE_DONE;
	return false;
}

static void window_place(struct fsw_window *w)
{
	struct fsw_core *core = w->staging->core;
	struct placing g = { .next = FSW_NO_FRAME, .packed = READ_ONCE(core->codec) != FARSWAP_CODEC_NONE };
	bool none[FSW_CLASSES] = { false };	/* once there is no slot of a class the others need not search for it too */
	bool short_of_frames = false;
	unsigned int place, i;

	w->nr_runs = w->nr_chains = w->nr_order = 0;
	memset(w->nr_groups, 0, sizeof(w->nr_groups));
	for (i = 0; i < w->nr; i++) {
		if (!page_waits(w, i))
			continue;
		place = w->pages[i].place;
		w->groups[place][w->nr_groups[place]++] = i;
		g.packed |= w->pages[i].class;
	}
	g.pack.want = w->nr_places;
	/* in the order of the buffer; the pages of one place came in the order of their slots in it */
	for (place = 0; place < w->nr_places; place++) {
		unsigned int class;

		g.nr = w->nr_groups[place];
		if (!g.nr)
			continue;
		memcpy(g.group, w->groups[place], g.nr);
		class = w->pages[g.group[0]].class;
		if (none[class])
			continue;
		none[class] = !group_place(w, &g);
		short_of_frames |= none[class];
	}
	if (short_of_frames)
		fsw_compact_kick(&core->compact, true);
}

/* Of each chain the runs that it carries, in their order. */
static void chains_link(struct fsw_window *w)
{
	unsigned int r = w->nr_runs, k;

	memset(w->chain_runs, FSW_NO_RUN, sizeof(w->chain_runs));
	while (r--) {
		struct fsw_run *run = &w->runs[r];

		for (k = 0; k < run->nr_chains; k++) {
			run->next[k] = w->chain_runs[run->chains[k]];
			w->chain_runs[run->chains[k]] = r;
		}
	}
}

/* The run that the chain carries after this one, which it carries; or FSW_NO_RUN. */
static unsigned int run_next(const struct fsw_run *run, unsigned int c)
{
	unsigned int k = 0;

	while (run->chains[k] != c)
		k++;
	return run->next[k];
}

static void chain_post(struct fsw_window *w, unsigned int c)
{
	struct fsw_core *core = w->staging->core;
	unsigned int r, nr = 0;

	for (r = w->chain_runs[c]; r != FSW_NO_RUN; r = run_next(&w->runs[r], c)) {
		const struct fsw_run *run = &w->runs[r];
		const struct fsw_window_page *p = &w->pages[w->order[run->first]];
		const struct fsw_member *m;
		const struct fsw_set *set;

		rcu_read_lock();
		set = rcu_dereference(fsw_frame_extent(&core->extents, p->frame)->set);
		m = &set->members[fsw_set_find(set, w->chains[c].peer)];
		w->pieces[nr++] = (struct fsw_piece){
			.remote = fsw_entry_remote(&core->extents, m, stored_entry(p)),
			.rkey = m->rkey,
			.offset = page_offset(p),
			.bytes = run->bytes,
		};
		rcu_read_unlock();
	}
	fsw_stall_nap();
	w->chains[c].posted_ns = ktime_get_ns();
	core->ops->write(core->transport, &w->chains[c], &w->buf, w->pieces, nr);
}

/* Does the peer, or with NULL any, have the run, and is still live? Then every other that it went to has it too, or is LOST. */
static bool run_acked(struct fsw_window *w, const struct fsw_run *run, const struct fsw_peer *peer)
{
	u32 acked = atomic_read(&w->acked);
	unsigned int k;

	for (k = 0; k < run->nr_chains; k++) {
		const struct fsw_peer *to = w->chains[run->chains[k]].peer;

		if (acked & 1u << run->chains[k] && (!peer || to == peer) && fsw_peer_live(to))
			return true;
	}
	return false;
}

/* The members that did not acknowledge a run that others have miss its frames from now on. */
static void run_missed(struct fsw_window *w, const struct fsw_run *run)
{
	struct fsw_extents *x = &w->staging->core->extents;
	struct fsw_extent *e = fsw_frame_extent(x, w->pages[w->order[run->first]].frame);
	const struct fsw_set *set;
	unsigned int i, m;

	rcu_read_lock();
	set = rcu_dereference(e->set);
	for (m = 0; m < set->nr; m++) {
		if (run_acked(w, run, set->members[m].peer))
			continue;
		for (i = run->first; i < run->first + run->nr; i++)
			fsw_record_miss(&e->records[set->record[m]], fsw_frame_offset(x, w->pages[w->order[i]].frame));
	}
	rcu_read_unlock();
}

/* A run ended: its pages are stored, or wait in staging for another replica. */
static void run_end(struct fsw_window *w, struct fsw_run *run)
{
	struct fsw_core *core = w->staging->core;
	bool acked = run_acked(w, run, NULL);
	unsigned int i;

	if (acked)
		run_missed(w, run);	/* before a load can find it there */
	for (i = run->first; i < run->first + run->nr; i++) {
		struct fsw_window_page *p = &w->pages[w->order[i]];
		bool stored;

		if (!acked) {
			page_unpost(core, p, FSW_PAGE_WAITING, true);
			continue;
		}
		fsw_count(core, FSW_STORED + p->class);	/* before it can be dropped */
		stored = fsw_map_cas(&core->map, p->slot, staged_entry(w, w->order[i]), stored_entry(p));
		if (!stored)
			this_cpu_dec(core->stats->n[FSW_STORED + p->class]);
		page_unpost(core, p, FSW_PAGE_DONE, !stored);
	}
}

static bool window_waits(struct fsw_window *w)
{
	unsigned int i;

	for (i = 0; i < w->nr; i++)
		if (w->pages[i].state == FSW_PAGE_WAITING)
			return true;
	return false;
}

/* Every chain of the window has ended. Any context. */
static void window_end(struct fsw_window *w)
{
	unsigned int i;

	for (i = 0; i < w->nr_runs; i++)
		run_end(w, &w->runs[i]);
	if (window_waits(w))
		window_park(w->staging, w);
	else
		window_return(w->staging, w);
}

static void window_send(struct fsw_window *w)
{
	unsigned int c, nr;

	fsw_stall_nap();
	window_place(w);
	chains_link(w);
	nr = w->nr_chains;	/* the window may be another's as soon as the last chain ended */
	if (nr)
		fsw_count(w->staging->core, FSW_WINDOWS);
	trace_farswap_window(w->nr, w->nr_runs, nr);
	atomic_set(&w->acked, 0);
	atomic_set(&w->pending, nr + 1);
	for (c = 0; c < nr; c++)
		chain_post(w, c);
	if (atomic_dec_and_test(&w->pending))
		window_end(w);
}

static void window_chain_done(struct fsw_chain *chain, int status)
{
	struct fsw_window *w = chain->owner;
	struct fsw_core *core = w->staging->core;

	trace_farswap_chain_done(chain->peer->node, ktime_get_ns() - chain->posted_ns, status);
	if (status)	/* what it did not acknowledge it must not be asked for: LOST before the window ends */
		core->ops->peer_fail(core->transport, chain->peer, status, "a window was not acknowledged");
	else
		atomic_or(1u << (chain - w->chains), &w->acked);
	fsw_stall();
	if (atomic_dec_and_test(&w->pending))
		window_end(w);
}

static void window_put(struct fsw_window *w)
{
	if (atomic_dec_and_test(&w->users))
		window_send(w);
}

/* ---- filling ---- */

static struct fsw_window *cpu_close(struct fsw_cpu *cpu)
{
	struct fsw_window *w;

	fsw_stall();
	spin_lock(&cpu->lock);
	w = cpu->open;
	cpu->open = NULL;
	spin_unlock(&cpu->lock);
	return w;
}

static void close_all(struct fsw_staging *s)
{
	struct fsw_window *w;
	int i;

	for_each_possible_cpu(i) {
		w = cpu_close(per_cpu_ptr(s->cpus, i));

		if (w)
			window_put(w);
	}
	w = cpu_close(&s->compact);
	if (w)
		window_put(w);
}

static void close_work(struct work_struct *work)
{
	close_all(container_of(to_delayed_work(work), struct fsw_staging, close_work));
}

static void retry_work(struct work_struct *work)
{
	struct fsw_staging *s = container_of(to_delayed_work(work), struct fsw_staging, retry_work);
	struct fsw_window *w, *next;
	LIST_HEAD(parked);

	spin_lock_irq(&s->lock);
	list_splice_init(&s->parked, &parked);
	spin_unlock_irq(&s->lock);
	list_for_each_entry_safe(w, next, &parked, link) {
		list_del_init(&w->link);
		window_send(w);
		cond_resched();
	}
}

/* Page w->nr of the window: a slot of the class in its buffer. */
static unsigned int place_give(struct fsw_window *w, unsigned int class)
{
	unsigned int i = w->nr++, used = w->fill[class] % (1 << class);

	if (!used)
		w->open[class] = w->nr_places++;
	w->fill[class] = used + 1;
	w->pages[i].place = w->open[class];
	w->pages[i].class = class;
	w->pages[i].sub = used;
	return i;
}

/* One more page in the open window of cpu: *i, with a reference; NULL: no window is free. */
static struct fsw_window *place_take(struct fsw_staging *s, struct fsw_cpu *cpu, unsigned int class, unsigned int *i)
{
	struct fsw_window *w;

	spin_lock(&cpu->lock);
	w = cpu->open;
	if (!w) {
		w = window_take(s, cpu == &s->compact);
		if (!w) {
			spin_unlock(&cpu->lock);
			return NULL;
		}
		w->nr = w->nr_places = 0;
		memset(w->fill, 0, sizeof(w->fill));
		atomic_set(&w->users, 1);
		cpu->open = w;
		queue_delayed_work(s->wq, &s->close_work, msecs_to_jiffies(s->core->params.close_ms));
	}
	*i = place_give(w, class);
	if (w->nr == s->window)
		cpu->open = NULL;	/* full: the open reference is now this copier's */
	else
		atomic_inc(&w->users);
	spin_unlock(&cpu->lock);
	return w;
}

static bool has_room(struct fsw_staging *s, u64 slot)
{
	return READ_ONCE(s->stopping) ||
	       (READ_ONCE(s->nr_free) && (fsw_map_cluster(&s->core->map, slot) || READ_ONCE(s->core->map.stocked)));
}

/*
 * Wait for a window and a map table: first send what is open, then wait, longer than a failover takes and not for ever. A worker
 * of a workqueue is refused at once: RDMA CM's own may allocate, reclaim and land here, and it is who reconnects.
 */
static int room_wait(struct fsw_staging *s, u64 slot, u64 deadline_ns)
{
	u64 now = ktime_get_ns();

	if (os_is_worker() || READ_ONCE(s->stalled) || now >= deadline_ns)
		return -EAGAIN;
	fsw_count(s->core, FSW_WAITS);
	close_all(s);
	fsw_want(s->core);
	if (wait_event_timeout(s->room, has_room(s, slot), nsecs_to_jiffies(deadline_ns - now) + 1) && !s->stopping)
		return 0;
	WRITE_ONCE(s->stalled, true);
	return -EAGAIN;
}

/* A page as it will be stored. */
struct stored {
	const void *bytes;
	u32 length;
	enum farswap_codec codec;
};

static struct stored page_pack(struct fsw_core *core, const void *page)
{
	struct stored packed = { .codec = READ_ONCE(core->codec) };

	if (packed.codec != FARSWAP_CODEC_NONE)
		packed.length = fsw_compress(&core->codecs, packed.codec, page, &packed.bytes);
	if (packed.length)
		return packed;
	return (struct stored){ .bytes = page, .length = FSW_PAGE, .codec = FARSWAP_CODEC_NONE };
}

static void page_fill(struct fsw_window *w, unsigned int i, u64 slot, const struct stored *packed)
{
	struct fsw_window_page *p = &w->pages[i];

	p->slot = slot;
	p->seq = (u32)atomic_inc_return(&w->staging->seq);
	p->sum = fsw_copy_sum(w->buf.va + page_offset(p), packed->bytes, packed->length);
	p->length = packed->length;
	p->codec = packed->codec;
	p->state = FSW_PAGE_WAITING;
}

/* Stage it if there is room now. */
static bool page_stage(struct fsw_staging *s, u64 slot, const void *page)
{
	struct fsw_core *core = s->core;
	struct fsw_window *w = NULL;
	struct stored packed;
	unsigned int i;

	os_cpu_hold();	/* packed.bytes may be this CPU's scratch */
	packed = page_pack(core, page);
	if (fsw_populate(core, slot))
		w = place_take(s, this_cpu_ptr(s->cpus), fsw_class_of(packed.length), &i);
	if (w)
		page_fill(w, i, slot, &packed);
	os_cpu_release();
	if (!w)
		return false;
	fsw_stall_nap();
	fsw_entry_replace(core, slot, staged_entry(w, i));
	window_put(w);
	return true;
}

/* A page that is one word over and over lives in the map alone. */
static bool page_note(struct fsw_core *core, u64 slot, u64 word)
{
	if (!fsw_populate(core, slot))
		return false;
	fsw_entry_replace(core, slot, fsw_entry_filled(word));
	return true;
}

int fsw_stage(struct fsw_staging *s, u64 slot, const void *page)
{
	u64 deadline_ns = 0, word;
	bool filled = fsw_same_filled(page, &word);

	while (!(filled ? page_note(s->core, slot, word) : page_stage(s, slot, page))) {
		int ret;

		if (!deadline_ns)
			deadline_ns = ktime_get_ns() + (u64)s->core->params.store_ms * NSEC_PER_MSEC;
		ret = room_wait(s, slot, deadline_ns);
		if (ret)
			return ret;
	}
	return 0;
}

bool fsw_restage(struct fsw_staging *s, u64 slot, struct fsw_entry e, const void *bytes)
{
	struct stored stored = { .bytes = bytes, .length = fsw_entry_length(e), .codec = fsw_entry_codec(e) };
	struct fsw_core *core = s->core;
	struct fsw_window *w;
	unsigned int i;

	w = place_take(s, &s->compact, fsw_entry_class(e), &i);
	if (!w)
		return false;
	page_fill(w, i, slot, &stored);
	fsw_stall_nap();
	if (fsw_map_cas(&core->map, slot, e, staged_entry(w, i))) {
		fsw_entry_drop(core, e);
		fsw_count(core, FSW_COMPACTED);
	}
	window_put(w);
	return true;
}

void fsw_staging_kick(struct fsw_staging *s)
{
	WRITE_ONCE(s->stalled, false);
	wake_up_all(&s->room);
	if (!READ_ONCE(s->stopping))
		mod_delayed_work(s->wq, &s->retry_work, 0);
}

/* ---- set-up ---- */

static int pool_grow(struct fsw_staging *s, bool spare)
{
	struct fsw_window *w;
	unsigned int i = 0;

	while (s->windows[i])
		i++;
	w = window_new(s, i);
	if (!w)
		return -ENOMEM;
	w->spare = spare;
	smp_store_release(&s->windows[i], w);
	if (!spare)
		WRITE_ONCE(s->nr, s->nr + 1);
	window_return(s, w);
	return 0;
}

/* Free windows until nr are left; nothing is taken away if they do not come. */
static int pool_shrink(struct fsw_staging *s, unsigned int nr)
{
	u64 deadline = ktime_get_ns() + (u64)s->core->params.store_ms * NSEC_PER_MSEC, now;
	struct fsw_window *w, *next;
	unsigned int got = 0;
	LIST_HEAD(gone);

	while (s->nr - got > nr) {
		w = window_take(s, false);
		if (!w) {
			close_all(s);
			now = ktime_get_ns();
			if (now < deadline &&
			    wait_event_timeout(s->room, READ_ONCE(s->nr_free), nsecs_to_jiffies(deadline - now) + 1))
				continue;
			list_for_each_entry_safe(w, next, &gone, link) {
				list_del_init(&w->link);
				window_return(s, w);
			}
			return -EBUSY;
		}
		list_add(&w->link, &gone);
		got++;
	}
	WRITE_ONCE(s->nr, nr);
	list_for_each_entry_safe(w, next, &gone, link)
		WRITE_ONCE(s->windows[w->index], NULL);
	synchronize_rcu();
	list_for_each_entry_safe(w, next, &gone, link)
		window_free(s, w);
	return 0;
}

int fsw_staging_resize(struct fsw_staging *s, unsigned int pages)
{
	unsigned int nr = pages / s->window;
	int ret = 0;

	if (pages % s->window || nr < 2 || nr > s->max - FSW_SPARES)
		return -EINVAL;
	while (!ret && s->nr < nr)
		ret = pool_grow(s, false);
	return ret ?: s->nr > nr ? pool_shrink(s, nr) : 0;
}

int fsw_staging_init(struct fsw_staging *s, struct fsw_core *core)
{
	int i, ret = -ENOMEM;

	s->core = core;
	s->window = core->params.window;
	s->max = core->params.staging_max / s->window + FSW_SPARES;
	spin_lock_init(&s->lock);
	INIT_LIST_HEAD(&s->free);
	INIT_LIST_HEAD(&s->parked);
	INIT_LIST_HEAD(&s->spares);
	spin_lock_init(&s->compact.lock);
	init_waitqueue_head(&s->room);
	INIT_DELAYED_WORK(&s->close_work, close_work);
	INIT_DELAYED_WORK(&s->retry_work, retry_work);
	s->wq = alloc_workqueue("farswap_staging", WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_PERCPU, 0);
	if (!s->wq)
		return ret;
	s->cpus = alloc_percpu(struct fsw_cpu);
	if (!s->cpus)
		goto free_wq;
	for_each_possible_cpu(i)
		spin_lock_init(&per_cpu_ptr(s->cpus, i)->lock);
	s->windows = kvcalloc(s->max, sizeof(*s->windows), GFP_KERNEL);
	if (s->windows)
		ret = pool_grow(s, true) ?: pool_grow(s, true) ?: fsw_staging_resize(s, core->params.staging);
	if (!ret)
		return 0;
	fsw_staging_exit(s);
	return ret;
free_wq:
	destroy_workqueue(s->wq);
	return ret;
}

void fsw_staging_stop(struct fsw_staging *s)
{
	WRITE_ONCE(s->stopping, true);
	wake_up_all(&s->room);
	cancel_delayed_work_sync(&s->close_work);
	cancel_delayed_work_sync(&s->retry_work);
	close_all(s);
}

void fsw_staging_exit(struct fsw_staging *s)
{
	unsigned int i;

	/* the last chains may have parked their windows after fsw_staging_stop() */
	cancel_delayed_work_sync(&s->close_work);
	cancel_delayed_work_sync(&s->retry_work);
	for (i = 0; s->windows && i < s->max; i++)
		if (s->windows[i])
			window_free(s, s->windows[i]);
	kvfree(s->windows);
	free_percpu(s->cpus);
	destroy_workqueue(s->wq);
}
