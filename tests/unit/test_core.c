// SPDX-License-Identifier: GPL-2.0
/*
 * The core against a simple oracle: random stores, loads, overwrites, frees, peers lost and back again, members replaced, copies flipped,
 * torn and misplaced, completions that come late, out of order, torn, or not before their peer is given up, with another CPU stepping in
 * wherever it could. Any page read must be the page last written; a copy that is wrong is known to be; and in the end all are mended. Each
 * seed is a run of its own, the same every time. FARSWAP_SEEDS sets their number (default 1000), FARSWAP_SEED the first one, FARSWAP_ROUND the
 * operations of each (default 1000).
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include "world.h"

#define SLOTS	3000		/* six clusters, the last one not whole */
#define SEEDS	1000
#define ROUND	1000		/* operations of each */
#define AGAIN	50		/* every so many seeds one is run a second time */

static struct fsw_core *core;
static u32 version[SLOTS];	/* 0: empty */
static u32 last_version;
static bool lossy;		/* peers may die until pages are lost: then a load may fail, but never lie */
static u32 lost[SLOTS];		/* the version of which no live member had a sound copy once; staged pages never count */
static u64 extent_id;
static bool spoiled[WORLD_SLABS + 1][WORLD_SLAB / FSW_PAGE];	/* by slab: the test did it, and nobody may have noticed */
static bool dead[WORLD_SLABS + 1];				/* its donor came back without it */
static unsigned int replaced;					/* slabs in this run */
static u64 done_ops, loads_checked, strays, errors_seen, refusals, kills, flips, rejoins, pushes, kept, seals, timeouts, mended;

static long busy = -1;		/* slot of the load that another CPU may interrupt */
static u32 also[4096];		/* versions that it may see too */
static unsigned int nr_also;
static long storing = -1;	/* slot of the store or free that is under way: left alone by the other CPU */

/* random bytes for so long, then the last eight over and over: stored as it is, in each class, and in the map alone */
static const unsigned int random_bytes[] = { 4096, 4096, 3000, 1900, 900, 400, 100, 8 };

static void page_fill(u64 *page, u64 slot, u32 v)
{
	u64 x = slot << 32 | v, i, words = random_bytes[(slot + v) % 8] / 8;

	for (i = 0; i < FSW_PAGE / 8; i++) {
		if (i < words)
			x += 0x9e3779b97f4a7c15ull;
		page[i] = v ? (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull : 0;
	}
}

static bool page_is(const u64 *page, u64 slot, u32 v)
{
	u64 want[FSW_PAGE / 8];

	page_fill(want, slot, v);
	return memcmp(page, want, FSW_PAGE) == 0;
}

/* ---- which copies there are ---- */

static bool copy_sound(const struct fsw_member *m, struct fsw_entry e)
{
	return fsw_crc32c(~0u, (void *)(uintptr_t)fsw_entry_remote(&core->extents, m, e), fsw_entry_length(e)) == e.sum;
}

static const struct fsw_set *entry_set(struct fsw_entry e)
{
	return fsw_frame_extent(&core->extents, fsw_entry_index(e))->set;
}

/* Live members with a sound copy, beside one peer. */
static unsigned int sound_copies(struct fsw_entry e, const struct fsw_peer *beside)
{
	const struct fsw_set *set = entry_set(e);
	unsigned int m, sound = 0;

	for (m = 0; m < set->nr; m++)
		sound += set->members[m].peer != beside && fsw_peer_live(set->members[m].peer) && copy_sound(&set->members[m], e);
	return sound;
}

static void note_lost(void)
{
	u64 slot;

	world_locks++;	/* nothing runs meanwhile */
	for (slot = 0; slot < SLOTS; slot++) {
		struct fsw_entry e = fsw_map_get(&core->map, slot);

		if (fsw_entry_state(e) == FARSWAP_SLOT_STORED && !sound_copies(e, NULL))
			lost[slot] = version[slot];
	}
	world_locks--;
}

/* ---- one operation each ---- */

static void may_see(u64 slot, u32 v)
{
	assert_true(nr_also < sizeof(also) / sizeof(also[0]));
	if ((long)slot == busy)
		also[nr_also++] = v;
}

static void do_store(u64 slot)
{
	u64 page[FSW_PAGE / 8];
	u32 v = ++last_version;
	long was = storing;
	int ret;

	if ((long)slot == storing)
		return;
	page_fill(page, slot, v);
	may_see(slot, v);
	storing = slot;
	ret = fsw_store(core, slot, page);
	storing = was;
	memset(page, 0x77, sizeof(page));	/* the kernel's page is its own again */
	if (ret == 0)
		version[slot] = v;
	else
		refusals++;
	assert_true(ret == 0 || ret == -EAGAIN);
}

static void do_free(u64 slot)
{
	long was = storing;

	if ((long)slot == storing)
		return;
	may_see(slot, 0);
	storing = slot;
	fsw_invalidate(core, slot);
	storing = was;
	version[slot] = 0;
}

static bool sees_good(const u64 *page, u64 slot, u32 before)
{
	unsigned int i;

	if (page_is(page, slot, before) || page_is(page, slot, version[slot]))
		return true;
	for (i = 0; i < nr_also; i++)
		if (page_is(page, slot, also[i]))
			return true;
	return false;
}

static void check_held(u64 slot)
{
	storing = -2;	/* the other CPU waits */
	assert_int_equal(fsw_held(core, slot), version[slot] != 0);
	storing = -1;
}

static void do_load(u64 slot)
{
	u64 page[FSW_PAGE / 8];
	u32 before;
	int ret;

	check_held(slot);
	before = version[slot];
	busy = slot;
	nr_also = 0;
	ret = fsw_load(core, slot, page);
	world_trace(ret);
	if (ret) {
		errors_seen++;
		if (lossy)	/* it may have become stored just when the last of its donors died */
			note_lost();
		assert_true(lost[slot] && (lost[slot] == before || lost[slot] == version[slot]));
	} else {
		loads_checked++;
		assert_true(sees_good(page, slot, before));
	}
	busy = -1;
}

/* eight at once, as a bio of many pages */
static void do_load_many(u64 slot)
{
	struct fsw_load loads[8];
	u64 page[FSW_PAGE / 8];
	unsigned int i, begun, n = min(8, SLOTS - slot);
	bool more = true;

	busy = -1;
	storing = -2;	/* the other CPU's stores would need a version list for each: only let the network step in */
	for (begun = 0; begun < n && more; begun++)
		more = fsw_load_begin(core, &loads[begun], slot + begun, begun + 1 < n);
	for (i = 0; i < begun; i++) {
		int ret = fsw_load_end(core, &loads[i], page);

		assert_true(ret == 0 || lost[slot + i] == version[slot + i]);
		assert_true(ret || page_is(page, slot + i, version[slot + i]));
		loads_checked += !ret;
	}
	storing = -1;
}

/* some one after another: what is read ahead is looked for, and stores and frees come in between */
static void do_scan(u64 slot)
{
	static const int strides[] = { 1, 1, 1, -1, 2, 3, -5 };
	int stride = strides[world_random(sizeof(strides) / sizeof(strides[0]))];
	unsigned int n = 3 + world_random(40);

	for (; n && slot < SLOTS; n--, slot += stride) {
		do_load(slot);
		if (!world_random(4))
			world_wait(world_ns + NSEC_PER_MSEC);
		if (!world_random(8))
			do_store((slot + world_random(5)) % SLOTS);
	}
}

static void members_meanwhile(u64 slot);
static void bury_meanwhile(void);
static void do_kill(void);

static void other_cpu(void)
{
	u64 slot;

	if (storing == -2)
		return;
	slot = busy >= 0 && world_random(2) ? (u64)busy : world_random(SLOTS);
	if (!world_random(4))	/* one that is just being looked at */
		slot = (world_random(2) ? core->mend.slot : core->compact.slot) % SLOTS;
	bury_meanwhile();
	if (!world_random(500))
		do_kill();
	else if (!world_random(6))
		members_meanwhile(slot);
	else if (world_random(3))
		do_store(slot);
	else
		do_free(slot);
}

/* ---- faults ---- */

/* Would every stored page have a sound copy without this peer? */
static bool expendable(const struct fsw_peer *peer)
{
	u64 slot;

	for (slot = 0; slot < SLOTS; slot++) {
		struct fsw_entry e = fsw_map_get(&core->map, slot);

		if (fsw_entry_state(e) == FARSWAP_SLOT_STORED && !sound_copies(e, peer))
			return false;
	}
	return true;
}

static unsigned int live_donors(void)
{
	unsigned int i, live = 0;

	for (i = 0; i < WORLD_PEERS; i++)
		live += fsw_peer_live(&world.peers[i]->peer);
	return live;
}

static void do_kill(void)
{
	unsigned int peer = world_random(WORLD_PEERS);

	world_locks++;	/* nothing runs meanwhile */
	if (fsw_peer_live(&world.peers[peer]->peer) && (lossy || (live_donors() > 3 && expendable(&world.peers[peer]->peer)))) {
		world_kill(peer);
		kills++;
		note_lost();
	}
	world_locks--;
}

/* One copy goes wrong: a bit of it flips, half of it is lost, or it is another frame's. */
static void do_flip(void)
{
	struct fsw_entry e = fsw_map_get(&core->map, world_random(SLOTS));
	const struct fsw_member *m;
	char *copy;

	if (fsw_entry_state(e) != FARSWAP_SLOT_STORED)
		return;
	m = &entry_set(e)->members[world_random(entry_set(e)->nr)];
	world_locks++;
	if (!dead[m->slab] && (lossy || sound_copies(e, m->peer))) {
		copy = (char *)(uintptr_t)fsw_entry_remote(&core->extents, m, e);
		switch (world_random(3)) {
		case 0:
			copy[world_random(fsw_entry_length(e))] ^= 1 << world_random(8);
			break;
		case 1:
			memset(copy, 0x11, fsw_entry_length(e) / 2);
			break;
		default:
			memmove(copy, world_memory(m->slab) + world_random(WORLD_SLAB / FSW_PAGE) * FSW_PAGE, fsw_entry_length(e));
		}
		spoiled[m->slab][fsw_frame_offset(&core->extents, fsw_entry_index(e))] = true;
		flips++;
		note_lost();
	}
	world_locks--;
}

/* A set of three peers that are live. */
static void do_extent(void)
{
	unsigned int set[WORLD_PEERS], nr = 0, i;

	if (!fsw_extents_wanted(core))
		return;
	for (i = 0; i < WORLD_PEERS && nr < 3; i++) {
		unsigned int p = (extent_id + i) % WORLD_PEERS;

		if (fsw_peer_live(&world.peers[p]->peer))
			set[nr++] = p;
	}
	if (nr && (lossy || nr == 3))
		assert_int_equal(world_extent(core, ++extent_id, set, nr), 0);
}

/* ---- members ---- */

static bool seal(struct fsw_extent *e, u32 generation)
{
	int ret = fsw_extent_seal(core, e->id, generation);

	assert_true(ret == 0 || ret == -EBUSY || ret == -ESTALE || ret == -ETIMEDOUT);
	seals += !ret;
	timeouts += ret == -ETIMEDOUT;
	return !ret;
}

/* Have its pages read ahead just now: those READs are on their way to the old members. */
static void read_there(struct fsw_extent *e)
{
	struct farswap_sum sum;
	u64 slot = world_random(SLOTS);

	if (fsw_slot_sum(core, e->id, &slot, SLOTS, &sum))
		do_scan(slot);
}

/* Members whose donors are reached again take their former places. */
static void extent_rejoin(struct fsw_extent *e, bool calm)
{
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];
	struct fsw_set set = *e->set;
	unsigned int m, back = 0;

	for (m = 0; m < set.nr; m++) {
		struct fsw_peer *now = &world.peers[world_donor(set.members[m].slab)]->peer;

		succeeds[m] = fsw_peer_live(set.members[m].peer) && world_random(2) ? NULL : set.members[m].peer;
		if (!fsw_peer_live(set.members[m].peer) && fsw_peer_live(now) && !dead[set.members[m].slab]) {
			set.members[m].peer = now;
			back++;
		}
	}
	if (!back || !seal(e, set.generation))
		return;
	if (!calm)
		read_there(e);
	assert_int_equal(fsw_extent_set(core, e->id, set.generation + 1, set.members, set.nr, succeeds), 0);
	rejoins++;
}

/* Lost donors come back, perhaps without their slabs. */
static void do_return(bool all)
{
	struct fsw_extent *e;
	unsigned int i, s;

	for (i = 0; i < WORLD_PEERS; i++) {
		if (fsw_peer_live(&world.peers[i]->peer) || (!all && world_random(3)))
			continue;
		for (s = 1; s <= WORLD_SLABS && !world_random(4); s++)
			dead[s] |= world_slab_there(s) && world_donor(s) == i;
		world_reconnect(i);
	}
	for (i = 0; (e = fsw_extents_get(&core->extents, i)); i++)
		extent_rejoin(e, all);
	world_bury(core);
}

/* Where a push comes from: a live member, or -1. */
static int push_source(const struct fsw_set *set)
{
	unsigned int i, m, from = world_random(set->nr);

	for (i = 0; i < set->nr; i++) {
		m = (from + i) % set->nr;
		if (fsw_peer_live(set->members[m].peer))
			return m;
	}
	return -1;
}

/* Copies that differ come from another member, if one has them right. */
static void push_check(struct fsw_extent *e, const struct fsw_set *set, u64 slab)
{
	struct farswap_sum sum;
	u64 slot = 0;

	for (; fsw_slot_sum(core, e->id, &slot, SLOTS, &sum); slot++) {
		u32 at = sum.frame * FSW_PAGE + sum.offset;
		unsigned int m;

		for (m = 0; m < set->nr && fsw_crc32c(~0u, world_memory(slab) + at, sum.length) != sum.sum; m++)
			if (fsw_peer_live(set->members[m].peer))
				memcpy(world_memory(slab) + at, world_memory(set->members[m].slab) + at, sum.length);
		if (fsw_crc32c(~0u, world_memory(slab) + at, sum.length) != sum.sum)
			spoiled[slab][sum.frame] = true;
	}
}

static bool is_good(const struct fsw_extent *e, const struct fsw_set *set, unsigned int m)
{
	return fsw_peer_live(set->members[m].peer) && !e->records[set->record[m]].any;
}

/* a good copy leaves only if another and the new one are such */
static bool may_leave(const struct fsw_extent *e, const struct fsw_set *set, const struct fsw_set *old, unsigned int leaves)
{
	unsigned int m, good = fsw_peer_live(set->members[leaves].peer);

	if (leaves >= old->nr || !is_good(e, old, leaves))
		return true;
	for (m = 0; m < old->nr; m++)
		good += m != leaves && is_good(e, old, m);
	return good >= 2;
}

/* A member that is dead, or any, gives way to a slab of another donor; calm: nothing else is done meanwhile. */
static void extent_replace(struct fsw_extent *e, bool calm)
{
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX] = { NULL };
	struct fsw_set set = *e->set, old = set;
	unsigned int m, leaves = world_random(set.nr), at, donor = world_random(WORLD_PEERS);
	char *before;
	bool may;
	int from;

	for (m = 0; m < set.nr; m++) {
		if (dead[set.members[m].slab])
			leaves = m;
		succeeds[m] = set.members[m].peer;
	}
	if (set.nr < 3)
		leaves = set.nr++;
	for (m = 0; m < old.nr; m++)
		if (world_donor(old.members[m].slab) == donor)
			return;
	if (replaced > 60 || !fsw_peer_live(&world.peers[donor]->peer) || !seal(e, set.generation))
		return;
	from = push_source(&old);
	if (from < 0 || !world_random(8)) {	/* given up */
		assert_int_equal(fsw_extent_open(core, e->id, set.generation), 0);
		return;
	}
	set.members[leaves] = world_slab(donor);
	succeeds[leaves] = NULL;
	replaced++;
	before = malloc(WORLD_SLAB);
	memcpy(before, world_memory(old.members[from].slab), WORLD_SLAB);
	for (at = 0; at < WORLD_SLAB && from >= 0; at += WORLD_SLAB / 32) {
		unsigned int i;

		for (i = world_random(8); i && !calm; i--) {
			u64 slot = world_random(SLOTS);

			world_random(2) ? do_store(slot) : world_random(2) ? do_load(slot) : do_free(slot);
		}
		memcpy(world_memory(set.members[leaves].slab) + at, world_memory(old.members[from].slab) + at, WORLD_SLAB / 32);
		if (!calm)
			world_wait(world_ns + NSEC_PER_MSEC);
	}
	assert_memory_equal(before, world_memory(old.members[from].slab), WORLD_SLAB);	/* nothing was written to it */
	free(before);
	push_check(e, &old, set.members[leaves].slab);
	if (!calm)
		read_there(e);
	may = may_leave(e, &set, &old, leaves);
	assert_int_equal(fsw_extent_set(core, e->id, set.generation + 1, set.members, set.nr, succeeds), may ? 0 : -ENODATA);
	if (!may) {
		assert_int_equal(fsw_extent_open(core, e->id, set.generation), 0);
		world_release(set.members[leaves].slab);
		kept++;
		return;
	}
	if (leaves < old.nr)
		world_release(old.members[leaves].slab);
	pushes++;
	note_lost();
}

/* Another CPU changes the members of the extent that the slot is on, if it need not wait for who was interrupted. */
static void members_meanwhile(u64 slot)
{
	struct fsw_entry entry = fsw_map_get(&core->map, slot);
	struct fsw_extent *e;
	unsigned int f;

	if (world_rcu_outside || core->extents.lock.held || fsw_entry_state(entry) != FARSWAP_SLOT_STORED)
		return;
	e = fsw_frame_extent(&core->extents, fsw_entry_index(entry));
	for (f = 0; f < core->extents.frames; f++)
		if (atomic_read(&e->words[f]) & FSW_FRAME_PINS)
			return;
	if (world_random(2))
		extent_rejoin(e, true);
	else
		extent_replace(e, true);
}

/* Peers that no set names are gone, unless who was interrupted looks at one or holds the lock. */
static void bury_meanwhile(void)
{
	if (!world_rcu_outside && !core->extents.lock.held)
		world_bury(core);
}

static void do_members(void)
{
	unsigned int nr = core->extents.nr;
	struct fsw_extent *e = nr ? fsw_extents_get(&core->extents, world_random(nr)) : NULL;

	if (!e)
		return;
	if (world_random(2))
		do_return(false);
	else
		extent_replace(e, false);
}

static void do_resize(void)
{
	unsigned int pages = core->params.window * (2 + world_random(14));
	int ret = fsw_staging_set(core, pages);

	assert_true(ret == 0 || ret == -EBUSY);
	assert_true(ret || fsw_staging_get(core) == pages);
}

static void want(void *ctx)
{
	(void)ctx;
}

static void one_op(void)
{
	u32 r = world_random(1000);
	u64 slot = world_random(10) ? world_random(SLOTS) : world_random(40);

	do_extent();
	if (r < 450)
		do_store(slot);
	else if (r < 780)
		do_load(slot);
	else if (r < 800)
		do_scan(slot);
	else if (r < 880)
		do_load_many(slot);
	else if (r < 980)
		do_free(slot);
	else if (r < 988)
		do_flip();
	else if (r == 988)
		do_resize();
	else if (r == 989)
		fsw_codec_set(core, world_random(FARSWAP_CODECS));
	else if (r < 994)
		do_kill();
	else
		do_members();
	if (!world_random(3))
		world_wait(world_ns + NSEC_PER_MSEC);
	done_ops++;
}

/* ---- a run, and what must hold at its end ---- */

static void run_start(u64 seed)
{
	struct fsw_params p = {
		.size = SLOTS * FSW_PAGE, .slab_bytes = WORLD_SLAB, .copies = 3, .spares = 2, .close_ms = 2,
		.store_ms = 8000, .hedge_ms = 200, .load_ms = 20000, .seal_ms = 2000, .want = want,
		.readahead = &world.readahead, .scrub = &world.scrub,
	};

	world_start(seed);
	p.window = 1u << world_random(7);
	p.staging = p.window * (2 + world_random(8));
	p.staging_max = p.window * 16;
	p.ahead = 16 * (1 + world_random(8));
	world.readahead = world_random(3) ? 0 : 1 + world_random(FSW_AHEAD_MAX);
	world.scrub = world_random(3) ? 0 : 1 + world_random(10000);
	p.codec = world_random(2) ? FARSWAP_CODEC_NONE : world_random(FARSWAP_CODECS);
	world.late_percent = world_random(3) ? 0 : 3;
	world.at_once_percent = world_random(3) * 20;
	lossy = world_random(4) == 0;
	memset(version, 0, sizeof(version));
	memset(lost, 0, sizeof(lost));
	memset(spoiled, 0, sizeof(spoiled));
	memset(dead, 0, sizeof(dead));
	replaced = 0;
	extent_id = 0;
	last_version = 0;
	core = fsw_core_new(&p, &world_ops, NULL);
	assert_false(IS_ERR(core));
	world.other_cpu = world_random(2) ? other_cpu : NULL;
}

/* A copy that is wrong is known to be: the member missed it, or it is the test's own doing. */
static void check_known(void)
{
	u64 slot;

	for (slot = 0; slot < SLOTS; slot++) {
		struct fsw_entry e = fsw_map_get(&core->map, slot);
		unsigned int f = fsw_frame_offset(&core->extents, fsw_entry_index(e)), m;
		const struct fsw_set *set;

		if (fsw_entry_state(e) != FARSWAP_SLOT_STORED)
			continue;
		set = entry_set(e);
		for (m = 0; m < set->nr; m++)
			assert_true(copy_sound(&set->members[m], e) || dead[set->members[m].slab] || spoiled[set->members[m].slab][f] ||
				    fsw_record_has(&fsw_frame_extent(&core->extents, fsw_entry_index(e))->records[set->record[m]], f));
	}
}

/* What was looked at by others when it was to be mended is tried again after up to 16 s: longer than it is quiet. */
static void mends_end(void)
{
	unsigned int tries = 0;

	do
		world_quiet();
	while (core->mend.work.pending && ++tries < 8);
}

/* A look that finds no room, as mending has it all, tells of no copy: what it did not see it may see the next time. */
static bool looks_whole(void)
{
	struct fsw_slot_info infos[FSW_LOOKS], *info;
	bool whole = true;
	unsigned int nr;
	u64 slot = 0;

	while ((nr = fsw_slot_infos(core, &slot, true, infos, FSW_LOOKS)))
		for (info = infos; info < infos + nr; info++)
			whole &= info->state == FARSWAP_SLOT_FILLED || (info->state == FARSWAP_SLOT_STORED && info->good == 7);
	return whole;
}

/* All donors are back, or slabs elsewhere in their place, and everything is mended. */
static void check_mended(void)
{
	struct farswap_counters c;
	struct fsw_extent *e;
	unsigned int i, m, tries;

	world_quiet();
	do_return(true);
	replaced = 0;
	for (i = 0; (e = fsw_extents_get(&core->extents, i)); i++)
		for (tries = 0; tries < 1000; tries++) {
			for (m = 0; m < e->set->nr && !dead[e->set->members[m].slab]; m++)
				;
			if (m == e->set->nr && m == 3)
				break;
			extent_replace(e, true);
		}
	world_quiet();
	check_known();
	for (tries = 0; tries < 4 && !looks_whole(); tries++)
		mends_end();	/* what went wrong unnoticed was noticed */
	mends_end();
	assert_true(looks_whole());
	fsw_counters(core, &c);
	assert_int_equal(c.missed, 0);
	assert_int_equal(c.degraded, 0);
	mended += c.mended;
}

static void check_copies(void)
{
	struct fsw_slot_info infos[FSW_LOOKS];
	u64 slot = 0, held = 0;
	unsigned int nr;

	check_mended();
	while ((nr = fsw_slot_infos(core, &slot, false, infos, FSW_LOOKS)))
		held += nr;
	for (slot = 0; slot < SLOTS; slot++)
		held -= version[slot] != 0;
	assert_int_equal(held, 0);
}

static u64 frames_used(void)
{
	struct fsw_extent_info x;
	u64 used = 0;
	unsigned int i;

	for (i = 0; fsw_extent_info(core, i, &x); i++)
		used += x.frames_used;
	return used;
}

static void check_frames(void)
{
	struct fsw_extent *x;
	unsigned int i, f, used = 0;

	for (i = 0; (x = fsw_extents_get(&core->extents, i)); i++)
		for (f = 0; f < core->extents.frames; f++) {
			int word = atomic_read(&x->words[f]);

			/* nothing is left of what was in flight */
			assert_true((word & (FSW_FRAME_PINS | 0xffu << FSW_FRAME_FREED | FSW_FRAME_SEALED)) == 0);
			used += word != 0;
		}
	assert_int_equal(used, frames_used());
}

static void run_end(void)
{
	struct farswap_counters c;
	u64 slot;
	unsigned int i;

	world.other_cpu = NULL;
	world_quiet();
	check_known();
	for (slot = 0; slot < SLOTS; slot++)
		do_load(slot);
	if (!lossy) {
		check_copies();
		fsw_counters(core, &c);
		assert_int_equal(c.staged, 0);
		assert_int_equal(c.held, c.filled + c.stored_4096 + c.stored_2048 + c.stored_1024 + c.stored_512);
		assert_true(c.frames * 8 >= c.stored_4096 * 8 + c.stored_2048 * 4 + c.stored_1024 * 2 + c.stored_512);
		assert_int_equal(c.frames, frames_used());
	}
	for (slot = 0; slot < SLOTS; slot++)
		fsw_invalidate(core, slot);
	fsw_core_stop(core);
	for (i = 0; i < WORLD_PEERS; i++)
		world_kill(i);
	world_quiet();
	check_frames();
	assert_int_equal(frames_used(), 0);
	fsw_counters(core, &c);
	assert_int_equal(c.held, 0);
	fsw_core_free(core);
	world_end();
}

static u64 number(const char *name, u64 otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

/* What it comes to: the same for the same seed, whatever was run before. */
static u64 run(u64 seed, u64 ops)
{
	u64 trace;

	fprintf(stderr, isatty(2) ? "\rseed %llu" : "seed %llu\n", (unsigned long long)seed);
	run_start(seed);
	while (ops--)
		one_op();
	run_end();
	trace = world.trace;
	strays += world.strays;
	return trace;
}

static void a_page_read_is_the_page_last_written(void **state)
{
	u64 seeds = number("FARSWAP_SEEDS", SEEDS), seed = number("FARSWAP_SEED", 1), ops = number("FARSWAP_ROUND", ROUND), n;

	(void)state;
	for (n = 0; n < seeds; n++, seed++) {
		u64 trace = run(seed, ops);

		if (n % AGAIN == 0)
			assert_true(run(seed, ops) == trace);
	}
	printf("%llu seeds, %llu operations, %llu loads checked, %llu failed loads (pages lost on purpose), %llu refused stores, %llu kills, "
	       "%llu strays, %llu flips, %llu seals (%llu given up), %llu rejoins, %llu pushes, %llu kept, %llu slots mended\n", (unsigned long long)seeds,
	       (unsigned long long)done_ops, (unsigned long long)loads_checked, (unsigned long long)errors_seen, (unsigned long long)refusals,
	       (unsigned long long)kills, (unsigned long long)strays, (unsigned long long)flips, (unsigned long long)seals,
	       (unsigned long long)timeouts, (unsigned long long)rejoins, (unsigned long long)pushes, (unsigned long long)kept,
	       (unsigned long long)mended);
	assert_true(seeds < SEEDS || (loads_checked && errors_seen && kills && strays && flips && rejoins && pushes && kept && timeouts && mended));
}

static struct fsw_record *pass;

static void miss_one(void)
{
	fsw_record_miss(pass, world_random(64));
}

/* whatever is missed while a pass begins and ends is known, and tried again, afterwards */
static void what_is_missed_while_a_pass_ends_is_not_forgotten(void **state)
{
	unsigned long missed, mending;
	struct fsw_record record = { .missed = &missed, .mending = &mending };
	struct fsw_extents extents = { .frames = 64 };
	unsigned int i, late = 0;

	(void)state;
	world_start(1);
	pass = &record;
	world.other_cpu = miss_one;
	for (i = 0; i < 20000; i++) {
		fsw_record_clear(&extents, &record);
		fsw_record_miss(&record, i % 64);
		fsw_record_mend(&extents, &record);
		fsw_record_mended(&extents, &record, true);
		assert_int_equal(mending, 0);
		assert_int_equal(record.any, missed != 0);
		late += missed != 0;
	}
	world.other_cpu = NULL;
	world_end();
	assert_true(late > 100 && late < i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missed_while_a_pass_ends_is_not_forgotten),
		cmocka_unit_test(a_page_read_is_the_page_last_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
