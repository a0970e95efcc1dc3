// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define FETCH_CLAIMED	(-1)
#define CLAIM_TRIES	8	/* fetches looked at; those in flight or being loaded from are passed over */

/* ---- finding a page ---- */

static u64 *table_word(struct fsw_ahead *a, u64 slot)
{
	/* neighbours lie side by side; regions are scattered, or two scans some power of two apart would evict each other's pages */
	u32 region = (u32)(slot / FSW_CLUSTER) * 0x9e3779b1u;

	return &a->table[((u32)slot + (region >> 12)) & a->mask];
}

/* The line that the table names for the slot, without a reference; or NULL. */
static struct fsw_line *table_line(struct fsw_ahead *a, u64 slot, struct fsw_fetch **fetch)
{
	u64 word = READ_ONCE(*table_word(a, slot));
	u32 number = word & 0xffff;

	if (word >> 16 != slot + 1)
		return NULL;
	*fetch = &a->fetches[number / FSW_FETCH_LINES];
	return &(*fetch)->lines[number % FSW_FETCH_LINES];
}

/* As a READ, it may take so long before another replica is tried. */
static u64 fetch_limit(struct fsw_core *core, const struct fsw_fetch *f)
{
	return f->chain.posted_ns + (u64)core->params.hedge_ms * NSEC_PER_MSEC;
}

static bool fetch_useful(struct fsw_core *core, const struct fsw_fetch *f)
{
	int status;
	bool useful;

	rcu_read_lock();	/* the peer is there while the chain flies, and for a grace period */
	status = smp_load_acquire(&f->status);
	useful = !status || (status == FSW_READ_FLYING && fsw_peer_live(f->chain.peer) && ktime_get_ns() < fetch_limit(core, f));
	rcu_read_unlock();
	return useful;
}

/* The line that holds exactly that entry of the slot, with a reference to *fetch; or NULL. */
static struct fsw_line *line_get(struct fsw_ahead *a, u64 slot, struct fsw_entry e, struct fsw_fetch **fetch)
{
	struct fsw_line *line = table_line(a, slot, fetch);

	if (!line || !atomic_inc_unless_negative(&(*fetch)->users))
		return NULL;
	/* it may have been another's by then; from here on it stays what it is */
	if (line < (*fetch)->lines + (*fetch)->nr && line->slot == slot && fsw_entry_same(line->entry, e) &&
	    fetch_useful(a->core, *fetch))
		return line;
	atomic_dec(&(*fetch)->users);
	return NULL;
}

static struct fsw_entry load_entry(const struct fsw_load *load)
{
	return (struct fsw_entry){ load->entry.sum, load->entry.seq, load->entry.where };
}

bool fsw_ahead_find(struct fsw_core *core, struct fsw_load *load)
{
	struct fsw_line *line;

	if (!core->ahead.nr)
		return false;
	line = line_get(&core->ahead, load->slot, load_entry(load), &load->fetch);
	if (!line) {
		load->fetch = NULL;
		return false;
	}
	load->line = line - load->fetch->lines;
	return true;
}

/* Who has become slow is seen here alone while all loads are found ahead; racy: it is a mean. */
static void learn_slow(const struct fsw_extent *x, const struct fsw_peer *from, u64 waited)
{
	const struct fsw_set *set;
	u64 mean = 0;
	int m;

	rcu_read_lock();
	set = rcu_dereference(x->set);
	m = fsw_set_find(set, from);
	if (m >= 0)
		mean = READ_ONCE(set->members[m].peer->read_ns);
	if (mean && waited > 4 * mean)
		WRITE_ONCE(set->members[m].peer->read_ns, mean - mean / 8 + waited / 8);
	rcu_read_unlock();
}

/* It is on its way. Poll a little, then sleep, up to its limit. */
static void fetch_wait(struct fsw_core *core, struct fsw_fetch *f)
{
	u64 now = ktime_get_ns(), until = fetch_limit(core, f);
	u64 poll = min(now + (u64)core->params.poll_us * NSEC_PER_USEC, until);

	fsw_count(core, FSW_AHEAD_WAITS);
	while (smp_load_acquire(&f->status) == FSW_READ_FLYING && !need_resched() && ktime_get_ns() < poll)
		cpu_relax();
	now = ktime_get_ns();
	if (now < until)
		wait_event_timeout(f->ended, smp_load_acquire(&f->status) != FSW_READ_FLYING,
				   nsecs_to_jiffies(until - now) + 1);
}

static void line_used(struct fsw_core *core, struct fsw_line *line)
{
	fsw_count(core, FSW_LOADS_AHEAD);
	if (READ_ONCE(line->used))
		return;
	WRITE_ONCE(line->used, true);
	fsw_count(core, FSW_AHEAD_USED);
}

int fsw_ahead_load(struct fsw_core *core, struct fsw_load *load, void *page, struct fsw_peer **from)
{
	struct fsw_fetch *f = load->fetch;
	struct fsw_line *line = &f->lines[load->line];
	struct fsw_entry e = load_entry(load);
	int ret;

	if (smp_load_acquire(&f->status) == FSW_READ_FLYING) {
		fetch_wait(core, f);
		learn_slow(fsw_frame_extent(&core->extents, fsw_entry_index(e)), f->chain.peer,
			   ktime_get_ns() - f->chain.posted_ns);
	}
	ret = smp_load_acquire(&f->status);
	if (!ret) {
		ret = fsw_unpack(core, e, f->buf.va + line->offset, page);
		if (!fsw_entry_current(core, load->slot, e))
			ret = -EAGAIN;
	}
	if (!ret)
		line_used(core, line);
	*from = f->chain.peer;
	load->fetch = NULL;
	smp_mb__before_atomic();	/* it may be claimed from here on */
	atomic_dec(&f->users);
	return ret == FSW_READ_FLYING ? -ETIMEDOUT : ret;
}

/* ---- which region follows which ---- */

#define EDGE	64	/* slots */

/*
 * The kernel fills one cluster of slots after another, but not side by side (SWAP_CLUSTER_COLS in mm/swapfile.c): who reads in the
 * order of page-out goes on where page-out did. Racy, like all of it.
 */
void fsw_ahead_stored(struct fsw_core *core, u64 slot)
{
	u64 last = this_cpu_read(core->stats->stored);
	struct fsw_cluster *from, *to;

	this_cpu_write(core->stats->stored, slot);
	if (last / FSW_CLUSTER == slot / FSW_CLUSTER || last % FSW_CLUSTER < FSW_CLUSTER - EDGE || slot % FSW_CLUSTER >= EDGE)
		return;
	from = fsw_map_cluster(&core->map, last);
	to = fsw_map_cluster(&core->map, slot);
	if (!from || !to)
		return;
	WRITE_ONCE(from->region.after, slot / FSW_CLUSTER + 1);
	WRITE_ONCE(to->region.before, last / FSW_CLUSTER + 1);
}

static u64 region_base(u64 slot)
{
	return slot - slot % FSW_CLUSTER;
}

/* First slot of the region behind (or, back, before) the one that begins at base: where page-out went, or the one beside it. */
static u64 region_next(struct fsw_core *core, u64 base, bool back)
{
	struct fsw_cluster *c = fsw_map_cluster(&core->map, base);
	u32 link = !c ? 0 : back ? READ_ONCE(c->region.before) : READ_ONCE(c->region.after);

	if (link)
		return (u64)(link - 1) * FSW_CLUSTER;
	return back ? base - FSW_CLUSTER : base + FSW_CLUSTER;
}

#define HOPS	(2 + FSW_AHEAD_MAX * 64 / FSW_CLUSTER)	/* a window's regions at the longest stride */

/* A scan counts its slots on beyond its region, which begins at base: the slot that is meant. */
static u64 region_follow(struct fsw_core *core, u64 base, u64 slot)
{
	unsigned int hops;

	for (hops = 0; hops < HOPS && slot - base >= FSW_CLUSTER; hops++) {
		bool back = (s64)(slot - base) < 0;
		u64 next = region_next(core, base, back);

		slot += next - base + (back ? FSW_CLUSTER : -(u64)FSW_CLUSTER);
		base = next;
	}
	return slot;
}

/* ---- fetching ---- */

/* The oldest that nobody uses, its lines forgotten; NULL: none now. */
static struct fsw_fetch *fetch_claim(struct fsw_ahead *a)
{
	unsigned int i;

	for (i = 0; i < CLAIM_TRIES; i++) {
		struct fsw_fetch *f = &a->fetches[(u32)atomic_inc_return(&a->cursor) % a->nr];

		fsw_stall();
		if (atomic_cmpxchg(&f->users, 0, FETCH_CLAIMED) != 0)
			continue;
		f->nr = 0;
		f->nr_pieces = 0;
		f->bytes = 0;
		f->end = 0;
		return f;
	}
	return NULL;
}

static void fetch_post(struct fsw_core *core, struct fsw_fetch *f)
{
	f->status = FSW_READ_FLYING;
	f->chain.posted_ns = ktime_get_ns();
	this_cpu_add(core->stats->n[FSW_AHEAD_PAGES], f->nr);
	fsw_stall_nap();
	atomic_set_release(&f->users, 1);	/* who finds it now may wait for it */
	core->ops->fetch(core->transport, &f->chain, &f->buf, f->pieces, f->nr_pieces);
}

static void fetch_done(struct fsw_chain *chain, int status)
{
	struct fsw_fetch *f = container_of(chain, struct fsw_fetch, chain);
	unsigned int i;

	for (i = 0; i < f->nr; i++)
		fsw_frame_unpin(f->lines[i].pin);
	fsw_stall();
	smp_store_release(&f->status, status);
	wake_up_all(&f->ended);
	atomic_dec(&f->users);
}

/* One more line, in the last READ if it lies right behind what that one reads. The frame is pinned. */
static void line_add(struct fsw_ahead *a, struct fsw_fetch *f, u64 slot, struct fsw_entry e, const struct fsw_member *m, u64 remote,
		     atomic_t *pin)
{
	struct fsw_piece *piece = f->nr_pieces ? &f->pieces[f->nr_pieces - 1] : NULL;
	struct fsw_line *line = &f->lines[f->nr];
	u32 number = (f - a->fetches) * FSW_FETCH_LINES + f->nr;

	if (!piece || remote != f->end || piece->rkey != m->rkey) {
		piece = &f->pieces[f->nr_pieces++];
		*piece = (struct fsw_piece){ .remote = remote, .rkey = m->rkey, .offset = f->bytes };
	}
	piece->bytes = remote - piece->remote + fsw_entry_length(e);
	*line = (struct fsw_line){ .slot = slot, .entry = e, .pin = pin, .offset = f->bytes };
	f->nr++;
	f->bytes += fsw_class_bytes(fsw_entry_class(e));
	f->end = remote + fsw_class_bytes(fsw_entry_class(e));
	WRITE_ONCE(*table_word(a, slot), (slot + 1) << 16 | number);
}

/* What an issue is at: the fetch being filled, and what it posted. */
struct issue {
	struct fsw_fetch *fetch;
	unsigned int pages, wrs;
};

static void issue_post(struct fsw_core *core, struct issue *issue)
{
	struct fsw_fetch *f = issue->fetch;

	issue->fetch = NULL;
	if (!f)
		return;
	if (!f->nr) {
		atomic_set_release(&f->users, 0);
		return;
	}
	issue->pages += f->nr;
	issue->wrs += f->nr_pieces;
	fetch_post(core, f);
}

/* A fetch that can take the entry: the present one, or a new one to the fastest peer. NULL: no more now. */
static struct fsw_fetch *issue_fetch(struct fsw_core *core, struct issue *issue, const struct fsw_extent *x, struct fsw_entry e)
{
	u32 generation = fsw_extent_generation(x), bytes = fsw_class_bytes(fsw_entry_class(e));
	unsigned int frame = fsw_frame_offset(&core->extents, fsw_entry_index(e));
	struct fsw_fetch *f = issue->fetch;
	struct fsw_member member;
	int m;

	if (f && f->nr < FSW_FETCH_LINES && f->bytes + bytes <= f->buf.bytes && fsw_extent_member(x, f->chain.peer, frame, &member))
		return f;
	issue_post(core, issue);
	m = fsw_extent_pick(x, generation, frame, 0, NULL);
	if (m < 0 || !fsw_extent_at(x, generation, m, &member))
		return NULL;
	f = fetch_claim(&core->ahead);
	if (f)
		f->chain.peer = member.peer;
	issue->fetch = f;
	return f;
}

static bool line_there(struct fsw_ahead *a, u64 slot, struct fsw_entry e)
{
	struct fsw_fetch *f;

	if (!line_get(a, slot, e, &f))
		return false;
	atomic_dec(&f->users);
	return true;
}

/* Fetch the slot's page, if it has one that lies only at the donors. False: nothing more can be fetched now. */
static bool issue_slot(struct fsw_core *core, struct issue *issue, u64 slot)
{
	struct fsw_entry e = fsw_map_get(&core->map, slot);
	const struct fsw_extent *x;
	struct fsw_member m;
	struct fsw_fetch *f;
	atomic_t *pin;

	if (fsw_entry_state(e) != FARSWAP_SLOT_STORED || line_there(&core->ahead, slot, e))
		return true;
	x = fsw_frame_extent(&core->extents, fsw_entry_index(e));
	f = issue_fetch(core, issue, x, e);
	if (!f)
		return false;
	pin = fsw_frame_pin(&core->extents, fsw_entry_index(e));
	if (fsw_entry_current(core, slot, e) &&
	    fsw_extent_member(x, f->chain.peer, fsw_frame_offset(&core->extents, fsw_entry_index(e)), &m)) {
		line_add(&core->ahead, f, slot, e, &m, fsw_entry_remote(&core->extents, &m, e), pin);
		fsw_extent_use(&core->extents, fsw_entry_index(e));
	} else {
		fsw_frame_unpin(pin);
	}
	return true;
}

/*
 * Fetch n slots from first on, stride apart, in the order of their addresses: then neighbours share a READ. They are counted on from
 * the region of at. Returns how many of them need not be looked at again.
 */
static unsigned int issue_run(struct fsw_core *core, u64 at, u64 first, int stride, unsigned int n)
{
	u64 base = region_base(at);
	struct issue issue = { NULL };
	u64 low = stride < 0 ? first + (s64)stride * (n - 1) : first;
	unsigned int step = stride < 0 ? -stride : stride, i;

	for (i = 0; i < n; i++)
		if (!issue_slot(core, &issue, region_follow(core, base, low + (u64)i * step)))
			break;
	issue_post(core, &issue);
	if (issue.pages)
		trace_farswap_ahead(first, stride, issue.pages, issue.wrs);
	return stride > 0 || i == n ? i : 0;
}

/* ---- learning ---- */

#define STRIDE_MAX	EDGE
#define PROOF		3	/* loads of one stride that make a scan */
#define PROOF_WASTEFUL	9	/* the same where read-ahead was in vain before */
#define FORGET		32	/* loads of the region after which a scan that had none of them is over */
#define NEAR		16	/* steps that a reader may jump within what was read ahead: threads overtake each other */
#define GAP		4	/* steps forward to a page that was not */
#define SLACK		4	/* steps behind the reader that are not judged yet, for the same reason */
#define JUDGE_MAX	64	/* steps judged at once */
#define ORDER_MAX	6	/* FSW_AHEAD_MAX pages */
#define WASTE_GROW	64	/* of 256: grow while three of four pages are used */
#define WASTE_SHRINK	154	/* shrink when three of five are not */

static bool is_scan(const struct fsw_stream *st)
{
	return st->loads >= PROOF;
}

static bool is_over(const struct fsw_region *r, const struct fsw_stream *st)
{
	return !is_scan(st) || r->loads - st->seen > FORGET;
}

/* How many strides from the stream's last load; 0: it is not on its way. */
static int stream_steps(const struct fsw_stream *st, u64 slot)
{
	s64 delta = slot - st->last;

	if (!st->stride || delta > STRIDE_MAX * NEAR || delta < -STRIDE_MAX * NEAR || (int)delta % st->stride)
		return 0;
	return (int)delta / st->stride;
}

static bool stream_matches(const struct fsw_stream *st, u64 slot, bool ahead)
{
	int steps = stream_steps(st, slot);

	if (steps == 1)
		return true;
	if (!steps || !is_scan(st))
		return false;
	return ahead ? steps >= -NEAR && steps <= NEAR : steps > 0 && steps <= GAP;
}

/*
 * How much of what was read ahead for this stream was used: it is what the reader has passed and is still in the table. A mean
 * over some windows, with the weight of a quarter for the newest. False: there is nothing new to judge by.
 */
static bool region_judge(struct fsw_ahead *a, struct fsw_region *r, struct fsw_stream *st, u64 end)
{
	u64 base = region_base(st->last);
	int n = (int)(end - st->judged) / st->stride, i, used = 0, wasted = 0;

	if (n <= 0)
		return false;
	for (i = max_t(int, n - JUDGE_MAX, 0); i < n; i++) {
		u64 slot = region_follow(a->core, base, st->judged + (s64)i * st->stride);
		struct fsw_fetch *f;
		struct fsw_line *line = table_line(a, slot, &f);

		/* no reference: what is another's by now is not counted, or counted wrong */
		if (line && READ_ONCE(line->slot) == slot)
			READ_ONCE(line->used) ? used++ : wasted++;
	}
	st->judged = end;
	if (used + wasted)
		r->waste += (wasted * 256 / (used + wasted) - r->waste) / 4;
	return used + wasted;
}

/* The stream's place is another's: what it left unused was in vain. */
static void stream_retire(struct fsw_ahead *a, struct fsw_region *r, struct fsw_stream *st)
{
	if (st->order)
		region_judge(a, r, st, st->next);
	*st = (struct fsw_stream){ 0 };
}

/* A place for a new stream: an empty one, one that is over, or the one longest without a load. */
static struct fsw_stream *stream_place(struct fsw_ahead *a, struct fsw_region *r)
{
	struct fsw_stream *st, *oldest = &r->streams[0];

	for (st = r->streams; st < r->streams + FSW_STREAMS; st++) {
		if (!st->loads)
			return st;
		if (is_over(r, st) != is_over(r, oldest) ? is_over(r, st) : r->loads - st->seen > r->loads - oldest->seen)
			oldest = st;
	}
	stream_retire(a, r, oldest);
	return oldest;
}

static void stream_begin(struct fsw_ahead *a, struct fsw_region *r, u64 slot)
{
	struct fsw_stream *st = stream_place(a, r);

	st->last = slot;
	st->loads = 1;
	st->seen = r->loads;
}

/* The stream nearest to the slot that is no scan yet; *distance is signed. */
static struct fsw_stream *stream_near(struct fsw_region *r, u64 slot, int *distance)
{
	struct fsw_stream *st, *near = NULL;

	for (st = r->streams; st < r->streams + FSW_STREAMS; st++) {
		s64 d = slot - st->last;

		if (!st->loads || is_scan(st) || d > STRIDE_MAX || d < -STRIDE_MAX)
			continue;
		if (near && abs((int)d) >= abs(*distance))
			continue;
		near = st;
		*distance = d;
	}
	return near;
}

static bool region_has_room(const struct fsw_region *r)
{
	const struct fsw_stream *st;

	for (st = r->streams; st < r->streams + FSW_STREAMS; st++)
		if (!st->loads || (is_scan(st) && is_over(r, st)))
			return true;
	return false;
}

/* A load that fits no stream: the second one of a new one, or the first. */
static void region_train(struct fsw_ahead *a, struct fsw_region *r, u64 slot)
{
	int distance = 0;
	struct fsw_stream *st = stream_near(r, slot, &distance);

	if (st && !distance)
		return;		/* the same slot again */
	if (!st || (abs(distance) != 1 && region_has_room(r))) {
		stream_begin(a, r, slot);
		return;
	}
	st->last = slot;
	st->stride = distance;
	st->loads = 2;
	st->seen = r->loads;
}

/* One place is always left for what is no scan yet: of the others the one longest without a load goes. */
static void region_limit(struct fsw_ahead *a, struct fsw_region *r, const struct fsw_stream *keep)
{
	struct fsw_stream *st, *oldest = NULL;

	for (st = r->streams; st < r->streams + FSW_STREAMS; st++) {
		if (!is_scan(st))
			return;
		if (st != keep && (!oldest || r->loads - st->seen > r->loads - oldest->seen))
			oldest = st;
	}
	stream_retire(a, r, oldest);
}

/* Nobody waits for it: whoever finds it taken learns nothing from this load. */
static bool region_trylock(struct fsw_region *r)
{
	return atomic_cmpxchg(&r->busy, 0, 1) == 0;
}

static void region_unlock(struct fsw_region *r)
{
	atomic_set_release(&r->busy, 0);
}

static struct fsw_stream *region_match(struct fsw_region *r, u64 slot, bool ahead)
{
	struct fsw_stream *st, *match = NULL;

	for (st = r->streams; st < r->streams + FSW_STREAMS; st++)
		if (stream_matches(st, slot, ahead) && (!match || stream_steps(st, slot) == 1))
			match = st;
	return match;
}

/* A scan of the region that begins at base goes on in this one. as: how it counts the slot. */
static struct fsw_stream *pull_from(struct fsw_core *core, struct fsw_region *r, u64 base, u64 as, u64 slot, bool ahead)
{
	struct fsw_cluster *c = fsw_map_cluster(&core->map, base);
	struct fsw_stream *from, *to = NULL;

	if (!c || !region_trylock(&c->region))
		return NULL;
	from = region_match(&c->region, as, ahead);
	if (from && is_scan(from)) {
		to = stream_place(&core->ahead, r);
		*to = *from;
		to->next += slot - as;
		to->judged += slot - as;
		*from = (struct fsw_stream){ 0 };
	}
	region_unlock(&c->region);
	return to;
}

/* A scan that comes over from the region that page-out came from (or went to, if it runs backward), or from the one beside this. */
static struct fsw_stream *region_pull(struct fsw_core *core, struct fsw_region *r, u64 slot, bool ahead)
{
	u64 at = slot % FSW_CLUSTER, base = slot - at, from, beside, shift;
	bool back = at >= FSW_CLUSTER - EDGE;
	struct fsw_stream *st;

	if (at >= EDGE && !back)
		return NULL;
	from = region_next(core, base, !back);
	beside = back ? base + FSW_CLUSTER : base - FSW_CLUSTER;
	shift = back ? at - FSW_CLUSTER : at + FSW_CLUSTER;
	st = pull_from(core, r, from, from + shift, slot, ahead);
	if (!st && from != beside)
		st = pull_from(core, r, beside, beside + shift, slot, ahead);
	return st;
}

/* The scan's window: how many pages are kept ahead of its reader. It changes by one step each time more is to be fetched. */
static void stream_size(struct fsw_ahead *a, struct fsw_region *r, struct fsw_stream *st)
{
	bool judged;

	if (!st->order) {
		st->order = 1;
		st->next = st->last + st->stride;
		st->judged = st->next;
		return;
	}
	judged = region_judge(a, r, st, st->last - (s64)SLACK * st->stride);
	if (r->waste <= WASTE_GROW && st->order < ORDER_MAX)
		st->order++;
	if (judged && r->waste >= WASTE_SHRINK && --st->order == 0)
		st->loads = PROOF;	/* to be proven again, longer */
}

/* Pages ahead of the reader that were looked at. */
static int stream_left(const struct fsw_stream *st)
{
	return (int)(st->next - st->last) / st->stride - 1;
}

/* Fetch more when so many pages are left: half of the window, or one whole fetch less than it. */
static int stream_low(const struct fsw_stream *st)
{
	int window = 1 << st->order;

	return max_t(int, window / 2, window - FSW_FETCH_LINES);
}

/* The scan has come to its last load: fetch more if it is time to. */
static void stream_advance(struct fsw_core *core, struct fsw_region *r, struct fsw_stream *st, bool post)
{
	int left, proof = r->waste >= WASTE_SHRINK && !st->order ? PROOF_WASTEFUL : PROOF;

	if (!post || st->loads < proof || (st->order && stream_left(st) > stream_low(st)))
		return;
	stream_size(&core->ahead, r, st);
	if (stream_left(st) < 0)	/* the reader was faster, or no fetch was free */
		st->next = st->last + st->stride;
	left = stream_left(st);
	if (st->order && left < 1 << st->order)
		st->next += (s64)st->stride * issue_run(core, st->last, st->next, st->stride, (1 << st->order) - left);
}

/* What was read ahead, or was there already, is gone: it was more than the buffers hold. Look again from here, at less. */
static void stream_again(struct fsw_stream *st)
{
	st->next = st->last + st->stride;
	if (st->order > 1)
		st->order--;
}

static void region_learn(struct fsw_core *core, struct fsw_region *r, u64 slot, bool ahead, bool missed, bool post)
{
	struct fsw_stream *st;

	r->loads++;
	st = region_match(r, slot, ahead);
	if (!st)
		st = region_pull(core, r, slot, ahead);
	if (st) {
		st->last = slot;
		st->seen = r->loads;
		st->loads = min(st->loads + 1, 255);
		if (missed && st->order && stream_left(st) >= 0)
			stream_again(st);
		region_limit(&core->ahead, r, st);
		stream_advance(core, r, st, post);
	} else if (!ahead) {
		region_train(&core->ahead, r, slot);
	}
}

/* Found there for the first time: then it was fetched for a scan that is going on. */
static bool load_is_ahead(const struct fsw_load *load)
{
	return load->fetch && !READ_ONCE(load->fetch->lines[load->line].used);
}

void fsw_ahead_learn(struct fsw_core *core, const struct fsw_load *load, bool post)
{
	struct fsw_cluster *c = fsw_map_cluster(&core->map, load->slot);
	unsigned int window = core->ahead.nr ? READ_ONCE(*core->params.readahead) : 1;
	bool missed = !load->fetch && fsw_entry_state(load_entry(load)) == FARSWAP_SLOT_STORED;

	if (window == 1 || !c)
		return;
	/* not for who is about to give memory back, nor while stores wait for it */
	post = post && !os_in_reclaim() && READ_ONCE(core->staging.nr_free);
	if (window) {
		if (post && !load->fetch)
			issue_run(core, load->slot, load->slot + 1, 1, window - 1);
	} else if (region_trylock(&c->region)) {
		region_learn(core, &c->region, load->slot, load_is_ahead(load), missed, post);
		region_unlock(&c->region);
	}
}

/* ---- set-up ---- */

static int fetches_init(struct fsw_ahead *a)
{
	struct fsw_core *core = a->core;
	unsigned int i;
	int ret;

	for (i = 0; i < a->nr; i++) {
		struct fsw_fetch *f = &a->fetches[i];

		atomic_set(&f->users, 0);
		f->status = -ENODATA;
		init_waitqueue_head(&f->ended);
		f->chain.done = fetch_done;
		f->buf.in = true;
		ret = core->ops->buffer_get(core->transport, &f->buf, FSW_FETCH_LINES * FSW_PAGE);
		if (ret)
			return ret;
	}
	return 0;
}

int fsw_ahead_init(struct fsw_ahead *a, struct fsw_core *core)
{
	unsigned int words = 1;

	a->core = core;
	a->nr = core->params.ahead / FSW_FETCH_LINES;
	if (!a->nr)
		return 0;
	while (words < 4 * core->params.ahead)
		words *= 2;
	a->mask = words - 1;
	a->table = kvcalloc(words, sizeof(*a->table), GFP_KERNEL);
	a->fetches = kvcalloc(a->nr, sizeof(*a->fetches), GFP_KERNEL);
	if (!a->table || !a->fetches)
		return -ENOMEM;
	return fetches_init(a);
}

void fsw_ahead_exit(struct fsw_ahead *a)
{
	unsigned int i;

	for (i = 0; a->fetches && i < a->nr; i++)
		if (a->fetches[i].buf.va)
			a->core->ops->buffer_put(a->core->transport, &a->fetches[i].buf);
	kvfree(a->fetches);
	kvfree(a->table);
}
