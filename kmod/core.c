// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define STOCK_MS	100	/* until the map's stock is tried again, when memory was short */

/* ---- counting ---- */

void fsw_count_add(struct fsw_core *core, enum fsw_count which, u64 n)
{
	this_cpu_add(core->stats->n[which], n);
}

static unsigned int hist_bucket(u64 ns)
{
	unsigned int log = ns ? ilog2(ns) : 0, bucket;

	if (log < FSW_HIST_LOW)
		return 0;
	bucket = (log - FSW_HIST_LOW) * 8 + (ns >> (log - 3) & 7);
	return min_t(unsigned int, bucket, FSW_HIST - 1);
}

static u64 hist_ns(unsigned int bucket)	/* its middle */
{
	unsigned int log = bucket / 8 + FSW_HIST_LOW;

	return (1ull << log) + ((2ull * (bucket % 8) + 1) << (log - 4));
}

void fsw_hist_add(struct fsw_core *core, u64 ns)
{
	this_cpu_inc(core->stats->hist[hist_bucket(ns)]);
}

static u64 hist_total(struct fsw_core *core)
{
	unsigned int b;
	u64 total = 0;
	int i;

	for_each_possible_cpu(i)
		for (b = 0; b < FSW_HIST; b++)
			total += per_cpu_ptr(core->stats, i)->hist[b];
	return total;
}

static u64 hist_percentile(struct fsw_core *core, unsigned int percent)
{
	u64 total = hist_total(core), seen = 0, want = div_u64(total * percent + 99, 100);
	unsigned int b;
	int i;

	if (!total)
		return 0;
	for (b = 0; b < FSW_HIST; b++) {
		for_each_possible_cpu(i)
			seen += per_cpu_ptr(core->stats, i)->hist[b];
		if (seen >= want)
			break;
	}
	return hist_ns(min_t(unsigned int, b, FSW_HIST - 1));
}

u64 fsw_count_sum(struct fsw_core *core, unsigned int which)
{
	u64 n = 0;
	int i;

	for_each_possible_cpu(i)
		n += per_cpu_ptr(core->stats, i)->n[which];
	return n;
}

static unsigned int staged_now(struct fsw_core *core)
{
	struct fsw_staging *s = &core->staging;
	unsigned int i, j, staged = 0;

	/* racy: windows fill and end meanwhile; a count to look at, nothing is decided by it */
	rcu_read_lock();
	for (i = 0; i < s->max; i++) {
		struct fsw_window *w = READ_ONCE(s->windows[i]);

		for (j = 0; w && j < READ_ONCE(w->nr); j++)
			staged += READ_ONCE(w->pages[j].state) != FSW_PAGE_DONE;
	}
	rcu_read_unlock();
	return staged;
}

static unsigned int degraded_now(struct fsw_core *core)
{
	struct fsw_extent *e;
	unsigned int i, degraded = 0;

	for (i = 0; (e = fsw_extents_get(&core->extents, i)); i++)
		degraded += !fsw_extent_whole(e, core->params.copies);
	return degraded;
}

static u64 missed_now(struct fsw_core *core)
{
	struct fsw_extent *e;
	unsigned int i;
	u64 missed = 0;

	for (i = 0; (e = fsw_extents_get(&core->extents, i)); i++)
		missed += fsw_extent_missed(&core->extents, e);
	return missed;
}

void fsw_counters(struct fsw_core *core, struct farswap_counters *c)
{
	*c = (struct farswap_counters){
		.stores = fsw_count_sum(core, FSW_STORES),
		.loads = fsw_count_sum(core, FSW_LOADS),
		.loads_staged = fsw_count_sum(core, FSW_LOADS_STAGED),
		.loads_empty = fsw_count_sum(core, FSW_LOADS_EMPTY),
		.loads_ahead = fsw_count_sum(core, FSW_LOADS_AHEAD),
		.frees = fsw_count_sum(core, FSW_FREES),
		.refused = fsw_count_sum(core, FSW_REFUSED),
		.waits = fsw_count_sum(core, FSW_WAITS),
		.load_errors = fsw_count_sum(core, FSW_LOAD_ERRORS),
		.corrupt = fsw_count_sum(core, FSW_CORRUPT),
		.read_failovers = fsw_count_sum(core, FSW_FAILOVERS),
		.read_hedges = fsw_count_sum(core, FSW_HEDGES),
		.windows = fsw_count_sum(core, FSW_WINDOWS),
		.write_wrs = fsw_count_sum(core, FSW_WRITE_WRS),
		.write_chains = fsw_count_sum(core, FSW_WRITE_CHAINS),
		.write_bytes = fsw_count_sum(core, FSW_WRITE_BYTES),
		.read_wrs = fsw_count_sum(core, FSW_READ_WRS),
		.read_bytes = fsw_count_sum(core, FSW_READ_BYTES),
		.ahead_pages = fsw_count_sum(core, FSW_AHEAD_PAGES),
		.ahead_used = fsw_count_sum(core, FSW_AHEAD_USED),
		.ahead_waits = fsw_count_sum(core, FSW_AHEAD_WAITS),
		.parked = fsw_count_sum(core, FSW_PARKED),
		.held = max_t(s64, fsw_count_sum(core, FSW_HELD), 0),	/* CPUs are summed one after the other */
		.staged = staged_now(core),
		.degraded = degraded_now(core),
		.mended = fsw_count_sum(core, FSW_MENDED),
		.scrubbed = fsw_count_sum(core, FSW_SCRUBBED),
		.missed = missed_now(core),
		.filled = max_t(s64, fsw_count_sum(core, FSW_FILLED), 0),
		.stored_4096 = max_t(s64, fsw_count_sum(core, FSW_STORED), 0),
		.stored_2048 = max_t(s64, fsw_count_sum(core, FSW_STORED + 1), 0),
		.stored_1024 = max_t(s64, fsw_count_sum(core, FSW_STORED + 2), 0),
		.stored_512 = max_t(s64, fsw_count_sum(core, FSW_STORED + 3), 0),
		.frames = fsw_frames_used(core),
		.compacted = fsw_count_sum(core, FSW_COMPACTED),
		.metadata_bytes = fsw_map_bytes(&core->map) + fsw_extents_bytes(&core->extents),
		.load_p50_ns = hist_percentile(core, 50),
		.load_p99_ns = hist_percentile(core, 99),
	};
}

/* ---- store, invalidate ---- */

/*
 * One pass over the source: a cache line's worth at a time would be slower than the CRC instruction allows, so the copy goes
 * first and the sum is taken from what was copied, which is what is sent.
 */
u32 fsw_copy_sum(void *dst, const void *src, size_t bytes)
{
	memcpy(dst, src, bytes);
	return fsw_crc32c(~0u, dst, bytes);
}

void fsw_entry_drop(struct fsw_core *core, struct fsw_entry old)
{
	/* a STAGED page's window finds the entry changed and lets go by itself */
	if (fsw_entry_state(old) == FARSWAP_SLOT_FILLED)
		this_cpu_dec(core->stats->n[FSW_FILLED]);
	if (fsw_entry_state(old) != FARSWAP_SLOT_STORED)
		return;
	fsw_entry_free(&core->extents, old);
	this_cpu_dec(core->stats->n[FSW_STORED + fsw_entry_class(old)]);
	if (fsw_entry_class(old))
		fsw_compact_kick(&core->compact, false);
}

void fsw_entry_replace(struct fsw_core *core, u64 slot, struct fsw_entry e)
{
	struct fsw_entry old;

	if (fsw_entry_state(e) == FARSWAP_SLOT_FILLED)
		fsw_count(core, FSW_FILLED);
	old = fsw_map_set(&core->map, slot, e);
	if (fsw_entry_state(old) == FARSWAP_SLOT_EMPTY)
		fsw_count(core, FSW_HELD);
	fsw_entry_drop(core, old);
}

int fsw_store(struct fsw_core *core, u64 slot, const void *page)
{
	int ret = slot < core->map.slots ? fsw_stage(&core->staging, slot, page) : -EINVAL;

	fsw_count(core, ret ? FSW_REFUSED : FSW_STORES);
	if (!ret)
		fsw_ahead_stored(core, slot);
	trace_farswap_store(slot, ret);
	return ret;
}

bool fsw_held(struct fsw_core *core, u64 slot)
{
	return fsw_entry_state(fsw_map_get(&core->map, slot)) != FARSWAP_SLOT_EMPTY;
}

void fsw_invalidate(struct fsw_core *core, u64 slot)
{
	struct fsw_entry old = fsw_map_set(&core->map, slot, (struct fsw_entry){ 0 });

	if (fsw_entry_state(old) == FARSWAP_SLOT_EMPTY)
		return;
	fsw_entry_drop(core, old);
	fsw_count(core, FSW_FREES);
	this_cpu_dec(core->stats->n[FSW_HELD]);
}

/* ---- the codec ---- */

void fsw_codec_set(struct fsw_core *core, enum farswap_codec codec)
{
	WRITE_ONCE(core->codec, codec);
}

enum farswap_codec fsw_codec_get(struct fsw_core *core)
{
	return READ_ONCE(core->codec);
}

/* ---- the staging pool ---- */

int fsw_staging_set(struct fsw_core *core, unsigned int pages)
{
	return fsw_staging_resize(&core->staging, pages);
}

unsigned int fsw_staging_get(struct fsw_core *core)
{
	return READ_ONCE(core->staging.nr) * core->staging.window;
}

/* ---- extents ---- */

unsigned int fsw_extents_wanted(struct fsw_core *core)
{
	struct fsw_extents *x = &core->extents;
	unsigned int need = DIV_ROUND_UP_ULL(core->params.size, core->params.slab_bytes);
	unsigned int giving = fsw_extents_giving(x), fresh = fsw_extents_fresh(x) / x->runs;

	if (giving >= need || fresh >= core->params.spares || x->nr == x->max)
		return 0;
	return min(need - giving, core->params.spares - fresh);
}

void fsw_want(struct fsw_core *core)
{
	if (core->params.want && !READ_ONCE(core->staging.stopping))
		core->params.want(core->params.want_ctx);
}

int fsw_extent_add(struct fsw_core *core, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr)
{
	int ret = fsw_extents_add(&core->extents, id, generation, members, nr);
	if (!ret)
		fsw_staging_kick(&core->staging);
	return ret;
}

/* ---- looking at it ---- */

static void set_info(struct fsw_extents *x, const struct fsw_extent *e, const struct fsw_set *set, struct fsw_extent_info *info)
{
	unsigned int i;

	info->generation = set->generation;
	info->nr = set->nr;
	for (i = 0; i < set->nr; i++) {
		const struct fsw_member *m = &set->members[i];

		info->members[i] = (struct fsw_member_info){
			.node = m->peer->node,
			.rkey = m->rkey,
			.slab = m->slab,
			.incarnation = m->incarnation,
			.remote = m->remote,
			.live = fsw_peer_live(m->peer),
			.missed = fsw_record_count(x, &e->records[set->record[i]]),
		};
	}
}

bool fsw_extent_info(struct fsw_core *core, unsigned int index, struct fsw_extent_info *info)
{
	struct fsw_extent *e = fsw_extents_get(&core->extents, index);

	if (!e)
		return false;
	*info = (struct fsw_extent_info){
		.id = e->id,
		.sealed = READ_ONCE(e->sealed) != FSW_OPEN,
		.frames = core->extents.frames,
		.frames_used = fsw_extent_used(&core->extents, e),
		.uses = READ_ONCE(e->uses),
	};
	rcu_read_lock();
	set_info(&core->extents, e, rcu_dereference(e->set), info);
	rcu_read_unlock();
	return true;
}

/* ---- the map's stock ---- */

static void stock_work(struct work_struct *work)
{
	struct fsw_core *core = container_of(to_delayed_work(work), struct fsw_core, stock_work);

	if (fsw_map_stock(&core->map))
		queue_delayed_work(core->stock_wq, &core->stock_work, msecs_to_jiffies(STOCK_MS));
	fsw_staging_kick(&core->staging);
}

struct fsw_cluster *fsw_populate(struct fsw_core *core, u64 slot)
{
	struct fsw_cluster *c = fsw_map_populate(&core->map, slot);

	if (fsw_map_low(&core->map) && !READ_ONCE(core->staging.stopping))
		queue_delayed_work(core->stock_wq, &core->stock_work, 0);
	return c;
}

/* ---- set-up ---- */

static bool params_sane(const struct fsw_params *p)
{
	return p->size >= FSW_PAGE && p->size % FSW_PAGE == 0 &&
	       p->slab_bytes >= FARSWAP_SLAB_BYTES_MIN && p->slab_bytes <= FARSWAP_SLAB_BYTES_MAX &&
	       is_power_of_2(p->slab_bytes) && p->copies >= 1 && p->copies <= FARSWAP_COPIES_MAX && p->spares >= 1 &&
	       p->window >= 1 && p->window <= FSW_WINDOW_MAX && is_power_of_2(p->window) &&
	       p->staging >= 2 * p->window && p->staging % p->window == 0 && p->staging_max >= p->staging &&
	       p->codec < FARSWAP_CODECS && p->ahead % FSW_FETCH_LINES == 0 && p->ahead <= FSW_AHEAD_PAGES_MAX && (!p->ahead || p->readahead);
}

struct fsw_core *fsw_core_new(const struct fsw_params *params, const struct fsw_transport_ops *ops, void *transport)
{
	struct fsw_core *core;
	int ret = -ENOMEM;

	if (!params_sane(params))
		return ERR_PTR(-EINVAL);
	core = kzalloc(sizeof(*core), GFP_KERNEL);
	if (!core)
		return ERR_PTR(-ENOMEM);
	core->params = *params;
	core->codec = params->codec;
	core->ops = ops;
	core->transport = transport;
	core->stats = alloc_percpu(struct fsw_stats);
	if (!core->stats)
		goto free_core;
	INIT_DELAYED_WORK(&core->stock_work, stock_work);
	/* of its own: it allocates, and nothing that reclaim waits for may wait for that */
	core->stock_wq = alloc_workqueue("farswap_stock", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!core->stock_wq)
		goto free_stats;
	ret = fsw_map_init(&core->map, div_u64(params->size, FSW_PAGE));
	if (ret)
		goto free_map;
	ret = fsw_extents_init(&core->extents, params->size, params->slab_bytes, params->copies);
	if (ret)
		goto free_map;
	ret = fsw_codecs_init(&core->codecs);
	if (ret)
		goto free_extents;
	ret = fsw_compact_init(&core->compact, core);
	if (ret)
		goto free_codecs;
	ret = fsw_mend_init(&core->mend, core);
	if (ret)
		goto exit_compact;
	ret = fsw_staging_init(&core->staging, core);
	if (ret)
		goto exit_mend;
	ret = fsw_ahead_init(&core->ahead, core);
	if (ret)
		goto exit_ahead;
	ret = fsw_scrub_init(&core->scrub, core);	/* last: it looks at all of them */
	if (ret)
		goto exit_ahead;
	return core;

exit_ahead:
	fsw_ahead_exit(&core->ahead);
	fsw_staging_exit(&core->staging);
exit_mend:
	fsw_mend_exit(&core->mend);
exit_compact:
	fsw_compact_exit(&core->compact);
free_codecs:
	fsw_codecs_exit(&core->codecs);
free_extents:
	fsw_extents_exit(&core->extents);
free_map:
	fsw_map_exit(&core->map);
	destroy_workqueue(core->stock_wq);
free_stats:
	free_percpu(core->stats);
free_core:
	kfree(core);
	return ERR_PTR(ret);
}

void fsw_core_stop(struct fsw_core *core)
{
	WRITE_ONCE(core->staging.stopping, true);
	fsw_scrub_stop(&core->scrub);
	fsw_mend_stop(&core->mend);
	fsw_compact_stop(&core->compact);
	fsw_staging_stop(&core->staging);
	cancel_delayed_work_sync(&core->stock_work);
}

void fsw_core_free(struct fsw_core *core)
{
	fsw_scrub_exit(&core->scrub);
	fsw_ahead_exit(&core->ahead);
	fsw_staging_exit(&core->staging);
	fsw_mend_exit(&core->mend);
	fsw_compact_exit(&core->compact);
	fsw_codecs_exit(&core->codecs);
	fsw_extents_exit(&core->extents);
	fsw_map_exit(&core->map);
	destroy_workqueue(core->stock_wq);
	free_percpu(core->stats);
	kfree(core);
}
