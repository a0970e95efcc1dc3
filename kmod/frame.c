// SPDX-License-Identifier: GPL-2.0
/*
 * Frames and their slots: who owns them and what is posted against them, all in one word per frame (extent.h), changed by
 * compare-exchange only.
 */
#include "extent.h"

#define HOLE_SEARCH	64	/* frames looked at for a hole before a free frame is taken */
#define RESCHED		4096	/* frames looked at between two chances for others */
#define PACK_SEARCH	4096	/* runs looked at for one that is empty again before a new one is taken */
#define PACK_EMPTY	(FSW_CLUSTER * 7 / 8)	/* free frames that make a run worth packing again */

atomic_t *fsw_frame_word(struct fsw_extents *x, u64 frame)
{
	return &fsw_frame_extent(x, frame)->words[fsw_frame_offset(x, frame)];
}

static atomic_t *frame_run_free(struct fsw_extents *x, u64 frame)
{
	return &fsw_frame_extent(x, frame)->run_free[fsw_frame_offset(x, frame) / FSW_CLUSTER];
}

static bool frame_live(struct fsw_extents *x, u64 frame)
{
	return fsw_extent_live(fsw_frame_extent(x, frame)) > 0;
}

static bool frame_gives(struct fsw_extents *x, u64 frame)
{
	return fsw_extent_gives(fsw_frame_extent(x, frame));
}

/* ---- taking and giving back ---- */

/* The slots of the class that a frame with this word could give out. */
static u32 word_holes(u32 word, unsigned int class)
{
	u32 all = (1u << (1u << class)) - 1;

	if (!word)
		return all;
	if (fsw_word_class(word) != class || !fsw_word_used(word) || word & FSW_FRAME_SEALED)
		return 0;
	return all & ~(word >> FSW_FRAME_USED | word >> FSW_FRAME_FREED);
}

static u32 lowest_bits(u32 mask, unsigned int nr)
{
	u32 taken = 0;

	while (nr-- && mask) {
		taken |= mask & -mask;
		mask &= mask - 1;
	}
	return taken;
}

static void hole_came(struct fsw_extents *x, unsigned int class)
{
	if (!READ_ONCE(x->holes[class]))
		WRITE_ONCE(x->holes[class], true);
}

/* Up to nr slots of the frame, pinned once each; 0: none. Inside rcu_read_lock(): fsw_extent_seal() waits for who did not see it sealed. */
static u32 slots_take(struct fsw_extents *x, u64 frame, unsigned int class, unsigned int nr)
{
	bool open = READ_ONCE(fsw_frame_extent(x, frame)->sealed) == FSW_OPEN;
	atomic_t *word = fsw_frame_word(x, frame);
	u32 old = atomic_read(word), was, mask;

	fsw_stall();
	for (;;) {
		mask = open ? lowest_bits(word_holes(old, class), nr) : 0;
		if (!mask || (old & FSW_FRAME_PINS) + FSW_SUBS > FSW_FRAME_PINS)
			return 0;
		was = atomic_cmpxchg(word, old, (old | mask << FSW_FRAME_USED | class << FSW_FRAME_CLASS) + hweight32(mask));
		if (was == old)
			break;
		old = was;
	}
	if (!old)
		atomic_dec(frame_run_free(x, frame));
	if (word_holes(old, class) != mask)
		hole_came(x, class);
	return mask;
}

/* What is left to say of a frame: nothing freed is kept back when no pin is left, and nothing at all of one that is empty then. */
static u32 word_settled(u32 word)
{
	if (!fsw_word_used(word))
		word &= ~FSW_FRAME_SEALED;
	if (word & FSW_FRAME_PINS)
		return word;
	word &= ~(0xffu << FSW_FRAME_FREED);
	return fsw_word_used(word) ? word : 0;
}

void fsw_slot_free(struct fsw_extents *x, u64 frame, unsigned int sub)
{
	atomic_t *word = fsw_frame_word(x, frame);
	u32 old = atomic_read(word), was, new;

	fsw_stall();
	for (;;) {
		new = word_settled((old & ~(1u << (FSW_FRAME_USED + sub))) | 1u << (FSW_FRAME_FREED + sub));
		was = atomic_cmpxchg(word, old, new);
		if (was == old)
			break;
		old = was;
	}
	if (!fsw_word_used(new))
		atomic_inc(frame_run_free(x, frame));
	else
		hole_came(x, fsw_word_class(new));
}

void fsw_entry_free(struct fsw_extents *x, struct fsw_entry e)
{
	fsw_slot_free(x, fsw_entry_index(e), fsw_entry_sub(e));
}

atomic_t *fsw_frame_pin(struct fsw_extents *x, u64 frame)
{
	atomic_t *word = fsw_frame_word(x, frame);

	atomic_inc(word);
	smp_mb__after_atomic();	/* the pin is seen before the map is read again */
	fsw_stall();
	return word;
}

void fsw_frame_unpin(atomic_t *word)
{
	u32 old = atomic_read(word), was;

	fsw_stall();
	while ((was = atomic_cmpxchg(word, old, word_settled(old - 1))) != old)
		old = was;
}

bool fsw_frame_seal(struct fsw_extents *x, u64 frame)
{
	atomic_t *word = fsw_frame_word(x, frame);
	u32 old = atomic_read(word), was;

	fsw_stall();
	for (;;) {
		if (!fsw_word_class(old) || !fsw_word_used(old))
			return false;
		was = atomic_cmpxchg(word, old, old | FSW_FRAME_SEALED);
		if (was == old)
			return true;
		old = was;
	}
}

void fsw_frame_unseal(struct fsw_extents *x, u64 frame)
{
	fsw_stall();
	atomic_andnot(FSW_FRAME_SEALED, fsw_frame_word(x, frame));
}

/* ---- searching ---- */

static struct fsw_slots slots_at(struct fsw_extents *x, u64 frame, unsigned int class, unsigned int nr)
{
	u32 mask;

	rcu_read_lock();
	mask = slots_take(x, frame, class, nr);
	rcu_read_unlock();
	return (struct fsw_slots){ mask ? frame : FSW_NO_FRAME, mask };
}

static const struct fsw_slots no_slots = { FSW_NO_FRAME, 0 };

/* A free frame of the run. */
static struct fsw_slots run_search(struct fsw_extents *x, u64 first, unsigned int class, unsigned int nr)
{
	struct fsw_slots got = no_slots;
	unsigned int i;

	if (atomic_read(frame_run_free(x, first)) <= 0 || !frame_gives(x, first))
		return got;
	for (i = 0; i < FSW_CLUSTER && !got.mask; i++)
		if (atomic_read(fsw_frame_word(x, first + i)) == 0)
			got = slots_at(x, first + i, class, nr);
	return got;
}

/* Any free frame at all, one run after another from where the last search ended. */
static struct fsw_slots anywhere(struct fsw_extents *x, unsigned int class, unsigned int nr)
{
	unsigned int runs = smp_load_acquire(&x->nr) * x->runs, n, run;
	struct fsw_slots got;

	for (n = 0; n < runs; n++) {
		run = (READ_ONCE(x->cursor) + n) % runs;
		got = run_search(x, (u64)run * FSW_CLUSTER, class, nr);
		if (got.mask) {
			WRITE_ONCE(x->cursor, run);
			return got;
		}
	}
	return no_slots;
}

/* ---- at home ---- */

/* Give the cluster a home run; again if its extent has died. One that is sealed it keeps: that passes. */
static u64 home_find(struct fsw_extents *x, struct fsw_cluster *c)
{
	unsigned long flags;
	u64 home;

	spin_lock_irqsave(&x->home_lock, flags);
	home = c->home;
	if (home == FSW_NO_HOME || !frame_live(x, home)) {
		home = fsw_run_claim(x);
		if (home != FSW_NO_FRAME)
			WRITE_ONCE(c->home, home);
	}
	spin_unlock_irqrestore(&x->home_lock, flags);
	return home;
}

struct fsw_slots fsw_frame_alloc(struct fsw_extents *x, struct fsw_cluster *c, u64 slot, u64 next)
{
	u64 home = READ_ONCE(c->home);
	struct fsw_slots got;

	if (home == FSW_NO_HOME || !frame_live(x, home))
		home = home_find(x, c);
	if (home != FSW_NO_FRAME) {
		got = slots_at(x, home + slot % FSW_CLUSTER, 0, 1);
		/* stay in one run, and so in one WRITE, where the home frame is taken */
		if (!got.mask && next != FSW_NO_FRAME && next % FSW_CLUSTER && frame_gives(x, next))
			got = slots_at(x, next, 0, 1);
		if (!got.mask)
			got = run_search(x, home, 0, 1);
		if (got.mask)
			return got;
	}
	return anywhere(x, 0, 1);
}

/* ---- packed ---- */

/* A run that was somebody's and is all but empty again, or FSW_NO_FRAME. Its pages that come back go elsewhere. */
static u64 run_empty(struct fsw_extents *x)
{
	unsigned int runs = smp_load_acquire(&x->nr) * x->runs, n, run;

	for (n = 0; n < min_t(unsigned int, runs, PACK_SEARCH); n++) {
		struct fsw_extent *e;

		run = (x->pack_cursor + n) % runs;
		e = x->all[run / x->runs];
		if (run % x->runs < e->next_run && atomic_read(&e->run_free[run % x->runs]) >= PACK_EMPTY && fsw_extent_gives(e)) {
			x->pack_cursor = run + 1;
			return (u64)run * FSW_CLUSTER;
		}
	}
	x->pack_cursor += n;
	return FSW_NO_FRAME;
}

static void pack_reserve(struct fsw_extents *x, struct fsw_pack *pack)
{
	unsigned long flags;

	spin_lock_irqsave(&x->home_lock, flags);
	if (!x->pack_left || !frame_gives(x, x->pack)) {
		u64 run = run_empty(x);

		if (run == FSW_NO_FRAME)
			run = fsw_run_claim(x);
		x->pack = run;
		x->pack_left = run == FSW_NO_FRAME ? 0 : FSW_CLUSTER;
	}
	pack->next = x->pack;
	pack->left = min(pack->want, x->pack_left);
	x->pack += pack->left;
	x->pack_left -= pack->left;
	spin_unlock_irqrestore(&x->home_lock, flags);
	pack->want = 0;
}

static struct fsw_slots pack_take(struct fsw_extents *x, struct fsw_pack *pack, unsigned int class, unsigned int nr)
{
	struct fsw_slots got = no_slots;

	if (pack->want)
		pack_reserve(x, pack);
	/* some may have been taken by a search, or were never empty */
	while (pack->left && !got.mask) {
		if (atomic_read(fsw_frame_word(x, pack->next)) == 0)
			got = slots_at(x, pack->next, class, nr);
		pack->next++;
		pack->left--;
	}
	return got;
}

/* Holes in a frame of the class: in the next depth frames from where the last search ended. */
static struct fsw_slots hole_search(struct fsw_extents *x, unsigned int class, unsigned int nr, u64 depth)
{
	u64 frames = (u64)smp_load_acquire(&x->nr) * x->frames, frame = READ_ONCE(x->hole[class]), n;
	struct fsw_slots got;

	if (!READ_ONCE(x->holes[class]))
		return no_slots;
	if (depth >= frames)
		WRITE_ONCE(x->holes[class], false);	/* before the search: what comes meanwhile is not forgotten */
	for (n = 0; n < min(depth, frames); n++, frame++) {
		u32 word;

		if (frame >= frames)
			frame = 0;
		if (n % RESCHED == RESCHED - 1)
			cond_resched();
		word = atomic_read(fsw_frame_word(x, frame));
		if (!word || !word_holes(word, class) || !frame_gives(x, frame))
			continue;
		got = slots_at(x, frame, class, nr);
		if (got.mask) {
			WRITE_ONCE(x->hole[class], frame);
			hole_came(x, class);
			return got;
		}
	}
	WRITE_ONCE(x->hole[class], frame);
	return no_slots;
}

struct fsw_slots fsw_slots_alloc(struct fsw_extents *x, struct fsw_pack *pack, unsigned int class, unsigned int nr)
{
	bool fills = nr >= 1u << class;
	struct fsw_slots got = no_slots;

	if (!fills)
		got = hole_search(x, class, nr, HOLE_SEARCH);
	if (!got.mask)
		got = pack_take(x, pack, class, nr);
	if (!got.mask)
		got = anywhere(x, class, nr);
	if (!got.mask && class)
		got = hole_search(x, class, nr, U64_MAX);
	else if (got.mask && !fills)
		WRITE_ONCE(x->hole[class], got.frame);	/* the next ones fill it up */
	return got;
}
