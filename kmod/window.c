// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define RETRY_MS	20

/* ---- the pool ---- */

static void window_exit(struct fsw_staging *s, struct fsw_window *w)
{
	if (w->buf.va)
		s->core->ops->buffer_put(s->core->transport, &w->buf);
	kfree(w->pages);
	kfree(w->runs);
	kfree(w->pieces);
}

static int window_init(struct fsw_staging *s, struct fsw_window *w, unsigned int index)
{
	w->staging = s;
	w->index = index;
	w->pages = kcalloc(s->window, sizeof(*w->pages), GFP_KERNEL);
	w->runs = kcalloc(s->window, sizeof(*w->runs), GFP_KERNEL);
	w->pieces = kcalloc(s->window, sizeof(*w->pieces), GFP_KERNEL);
	if (!w->pages || !w->runs || !w->pieces)
		return -ENOMEM;
	return s->core->ops->buffer_get(s->core->transport, &w->buf, (size_t)s->window * FSW_PAGE);
}

static struct fsw_window *window_take(struct fsw_staging *s)
{
	struct fsw_window *w;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	w = list_first_entry_or_null(&s->free, struct fsw_window, link);
	if (w) {
		list_del_init(&w->link);
		s->nr_free--;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	return w;
}

static void window_return(struct fsw_staging *s, struct fsw_window *w)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	list_add(&w->link, &s->free);
	s->nr_free++;
	spin_unlock_irqrestore(&s->lock, flags);
	WRITE_ONCE(s->stalled, false);
	wake_up_all(&s->room);
}

static void window_park(struct fsw_staging *s, struct fsw_window *w)
{
	unsigned long flags;

	fsw_count(s->core, FSW_PARKED);
	spin_lock_irqsave(&s->lock, flags);
	list_add_tail(&w->link, &s->parked);
	spin_unlock_irqrestore(&s->lock, flags);
	fsw_want(s->core);
	if (!READ_ONCE(s->stopping))
		queue_delayed_work(s->wq, &s->retry_work, msecs_to_jiffies(RETRY_MS));
}

void *fsw_place(struct fsw_staging *s, u64 place)
{
	return s->windows[place / s->window].buf.va + place % s->window * FSW_PAGE;
}

/* ---- sending ---- */

static struct fsw_entry staged_entry(struct fsw_window *w, unsigned int i)
{
	return (struct fsw_entry){
		.sum = w->pages[i].sum,
		.seq = w->pages[i].seq,
		.where = fsw_where(FARSWAP_SLOT_STAGED, (u64)w->index * w->staging->window + i),
	};
}

/* The chain of this window to the peer; it is made if there is none. -1: this window has chains to too many peers. */
static int chain_to(struct fsw_window *w, struct fsw_peer *peer)
{
	unsigned int i;

	for (i = 0; i < w->nr_chains; i++)
		if (w->chains[i].peer == peer)
			return i;
	if (w->nr_chains == FSW_PEERS_MAX)
		return -1;
	w->chains[w->nr_chains].window = w;
	w->chains[w->nr_chains].peer = peer;
	return w->nr_chains++;
}

/*
 * Which chains carry a run on this extent: one for each member that is live now. Members only ever stop being live, so one
 * that is live when the window ends was live here. 0: none, or more peers than a window has chains.
 */
static u32 extent_chains(struct fsw_window *w, const struct fsw_extent *e)
{
	unsigned int i;
	u32 chains = 0;

	for (i = 0; i < e->nr; i++) {
		int c;

		if (!fsw_peer_live(e->members[i].peer))
			continue;
		c = chain_to(w, e->members[i].peer);
		if (c < 0)
			return 0;
		chains |= 1u << c;
	}
	return chains;
}

static void page_unpost(struct fsw_core *core, struct fsw_window_page *p, enum fsw_page_state state, bool free)
{
	atomic_t *word = fsw_frame_word(&core->extents, p->frame);

	if (free)
		fsw_frame_free(&core->extents, p->frame);
	p->state = state;
	fsw_frame_unpin(word);
}

static bool run_continues(struct fsw_window *w, const struct fsw_run *run, unsigned int i, unsigned int frames)
{
	const struct fsw_window_page *last = &w->pages[i - 1];

	return run->first + run->nr == i && w->pages[i].frame == last->frame + 1 && w->pages[i].frame % frames != 0;
}

/* Give page i a frame and a place in a run; it stays WAITING if there is none. False: there is no frame anywhere. */
static bool page_place(struct fsw_window *w, unsigned int i, u64 *next)
{
	struct fsw_core *core = w->staging->core;
	struct fsw_window_page *p = &w->pages[i];
	struct fsw_cluster *cluster = fsw_map_cluster(&core->map, p->slot);
	struct fsw_run *run = w->nr_runs ? &w->runs[w->nr_runs - 1] : NULL;
	u32 chains;

	p->frame = fsw_frame_alloc(&core->extents, cluster, p->slot, *next);
	if (p->frame == FSW_NO_FRAME)
		return false;
	*next = p->frame + 1;
	if (run && run_continues(w, run, i, core->extents.frames)) {
		run->nr++;
		p->state = FSW_PAGE_POSTED;
		return true;
	}
	chains = extent_chains(w, fsw_frame_extent(&core->extents, p->frame));
	if (!chains) {
		page_unpost(core, p, FSW_PAGE_WAITING, true);
		return true;
	}
	w->runs[w->nr_runs++] = (struct fsw_run){ .first = i, .nr = 1, .chains = chains };
	p->state = FSW_PAGE_POSTED;
	return true;
}

static void window_place(struct fsw_window *w)
{
	struct fsw_core *core = w->staging->core;
	u64 next = FSW_NO_FRAME;
	bool frames = true;	/* once there is none the others need not search for it too */
	unsigned int i;

	w->nr_runs = 0;
	w->nr_chains = 0;
	for (i = 0; i < w->nr; i++) {
		if (w->pages[i].state != FSW_PAGE_WAITING)
			continue;
		if (fsw_entry_same(fsw_map_get(&core->map, w->pages[i].slot), staged_entry(w, i)))
			frames = frames && page_place(w, i, &next);
		else
			w->pages[i].state = FSW_PAGE_DONE;	/* rewritten or freed meanwhile */
	}
}

static const struct fsw_member *extent_member(const struct fsw_extent *e, const struct fsw_peer *peer)
{
	unsigned int i;

	for (i = 0; i < e->nr; i++)
		if (e->members[i].peer == peer)
			return &e->members[i];
	return NULL;
}

static void chain_post(struct fsw_window *w, unsigned int c)
{
	struct fsw_core *core = w->staging->core;
	unsigned int i, nr = 0;

	for (i = 0; i < w->nr_runs; i++) {
		struct fsw_run *run = &w->runs[i];
		u64 frame = w->pages[run->first].frame;
		const struct fsw_member *m;

		if (!(run->chains & 1u << c))
			continue;
		m = extent_member(fsw_frame_extent(&core->extents, frame), w->chains[c].peer);
		w->pieces[nr++] = (struct fsw_piece){
			.remote = fsw_member_address(&core->extents, m, frame),
			.rkey = m->rkey,
			.offset = run->first * FSW_PAGE,
			.bytes = run->nr * FSW_PAGE,
		};
	}
	w->chains[c].posted_ns = ktime_get_ns();
	core->ops->write(core->transport, &w->chains[c], &w->buf, w->pieces, nr);
}

/* Does a peer that is still live have the run? Then every other that it went to has it too, or is LOST. */
static bool run_acked(struct fsw_window *w, const struct fsw_run *run)
{
	u32 acked = run->chains & (u32)atomic_read(&w->acked);
	unsigned int c;

	for (c = 0; c < w->nr_chains; c++)
		if (acked & 1u << c && fsw_peer_live(w->chains[c].peer))
			return true;
	return false;
}

/* A run ended: its pages are stored, or wait in staging for another replica. */
static void run_end(struct fsw_window *w, struct fsw_run *run)
{
	struct fsw_core *core = w->staging->core;
	bool acked = run_acked(w, run);
	unsigned int i;

	for (i = run->first; i < run->first + run->nr; i++) {
		struct fsw_window_page *p = &w->pages[i];
		struct fsw_entry staged = staged_entry(w, i), stored = staged;

		stored.where = fsw_where(FARSWAP_SLOT_STORED, p->frame);
		if (!acked)
			page_unpost(core, p, FSW_PAGE_WAITING, true);
		else
			page_unpost(core, p, FSW_PAGE_DONE, !fsw_map_cas(&core->map, p->slot, staged, stored));
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

	window_place(w);
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

void fsw_chain_done(struct fsw_chain *chain, int status)
{
	struct fsw_window *w = chain->window;
	struct fsw_core *core = w->staging->core;

	trace_farswap_chain_done(chain->peer->node, ktime_get_ns() - chain->posted_ns, status);
	if (status)	/* what it did not acknowledge it must not be asked for: LOST before the window ends */
		core->ops->peer_fail(core->transport, chain->peer, status, "a window was not acknowledged");
	else
		atomic_or(1 << (chain - w->chains), &w->acked);
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

	spin_lock(&cpu->lock);
	w = cpu->open;
	cpu->open = NULL;
	spin_unlock(&cpu->lock);
	return w;
}

static void close_all(struct fsw_staging *s)
{
	int i;

	for_each_possible_cpu(i) {
		struct fsw_window *w = cpu_close(per_cpu_ptr(s->cpus, i));

		if (w)
			window_put(w);
	}
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

/* One more page in this CPU's open window: *i, with a reference; NULL: no window is free. */
static struct fsw_window *place_take(struct fsw_staging *s, unsigned int *i)
{
	/* any CPU's will do, should the task move: the lock is what counts */
	struct fsw_cpu *cpu = raw_cpu_ptr(s->cpus);
	struct fsw_window *w;

	spin_lock(&cpu->lock);
	w = cpu->open;
	if (!w) {
		w = window_take(s);
		if (!w) {
			spin_unlock(&cpu->lock);
			return NULL;
		}
		w->nr = 0;
		atomic_set(&w->users, 1);
		cpu->open = w;
		queue_delayed_work(s->wq, &s->close_work, msecs_to_jiffies(s->core->params.close_ms));
	}
	*i = w->nr++;
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

int fsw_stage(struct fsw_staging *s, u64 slot, const void *page)
{
	struct fsw_core *core = s->core;
	struct fsw_window *w = NULL;
	struct fsw_entry old;
	u64 deadline_ns = 0;
	unsigned int i;

	while (!fsw_map_populate(&core->map, slot) || !(w = place_take(s, &i))) {
		int ret;

		if (!deadline_ns)
			deadline_ns = ktime_get_ns() + (u64)core->params.store_ms * NSEC_PER_MSEC;
		ret = room_wait(s, slot, deadline_ns);
		if (ret)
			return ret;
	}
	w->pages[i] = (struct fsw_window_page){
		.slot = slot,
		.seq = (u32)atomic_inc_return(&s->seq),
		.sum = fsw_copy_sum(w->buf.va + i * FSW_PAGE, page, FSW_PAGE),
		.state = FSW_PAGE_WAITING,
	};
	old = fsw_map_set(&core->map, slot, staged_entry(w, i));
	if (fsw_entry_state(old) == FARSWAP_SLOT_EMPTY)
		fsw_count(core, FSW_HELD);
	fsw_entry_drop(core, old);
	window_put(w);
	return 0;
}

void fsw_staging_kick(struct fsw_staging *s)
{
	WRITE_ONCE(s->stalled, false);
	wake_up_all(&s->room);
	if (!READ_ONCE(s->stopping))
		mod_delayed_work(s->wq, &s->retry_work, 0);
}

/* ---- set-up ---- */

static int windows_init(struct fsw_staging *s)
{
	unsigned int i;
	int ret;

	s->windows = kvcalloc(s->nr, sizeof(*s->windows), GFP_KERNEL);
	if (!s->windows)
		return -ENOMEM;
	for (i = 0; i < s->nr; i++) {
		ret = window_init(s, &s->windows[i], i);
		if (ret)
			return ret;
		list_add_tail(&s->windows[i].link, &s->free);
		s->nr_free++;
	}
	return 0;
}

int fsw_staging_init(struct fsw_staging *s, struct fsw_core *core)
{
	int i, ret = -ENOMEM;

	s->core = core;
	s->window = core->params.window;
	s->nr = core->params.staging / s->window;
	spin_lock_init(&s->lock);
	INIT_LIST_HEAD(&s->free);
	INIT_LIST_HEAD(&s->parked);
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
	ret = windows_init(s);
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
	for (i = 0; s->windows && i < s->nr; i++)
		window_exit(s, &s->windows[i]);
	kvfree(s->windows);
	free_percpu(s->cpus);
	destroy_workqueue(s->wq);
}
