/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Extents: slab-sized pieces of remote space, each on a replica set, and the frames in them.
 *
 * A frame's word: bit 31 says that a map entry or a window owns it, the rest counts the work requests posted against it. It
 * is given out only when the whole word is 0: a freed frame with work requests still in flight is quarantined by its own count.
 */
#ifndef FSW_EXTENT_H
#define FSW_EXTENT_H

#include "map.h"

#define FSW_FRAME_USED	((int)0x80000000)

struct fsw_extent {
	u64 id;
	u32 generation;
	unsigned int index;			/* in fsw_extents.all */
	unsigned int nr;
	struct fsw_member members[FARSWAP_COPIES_MAX];	/* fixed for this generation */
	atomic_t *words;			/* one per frame */
	atomic_t *run_free;			/* frames not USED in each run of FSW_CLUSTER; quarantined ones count */
	unsigned int next_run;			/* the first run that is nobody's home yet; under home_lock */
};

struct fsw_extents {
	unsigned int frames;			/* per extent */
	unsigned int runs;			/* per extent */
	unsigned int max;
	unsigned int nr;			/* published: smp_store_release after all[nr] is whole */
	struct fsw_extent **all;
	spinlock_t home_lock;			/* next_run of each, and every cluster's home; irq-safe */
	unsigned int cursor;			/* where the last search for any frame ended; a hint, races are harmless */
};

int fsw_extents_init(struct fsw_extents *x, u64 size, u64 slab_bytes);
void fsw_extents_exit(struct fsw_extents *x);
/* As fsw_extent_add() in core.h, without the map's tables. */
int fsw_extents_add(struct fsw_extents *x, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr);

struct fsw_extent *fsw_extents_get(struct fsw_extents *x, unsigned int index);	/* NULL: none. Any context */
struct fsw_extent *fsw_frame_extent(struct fsw_extents *x, u64 frame);
unsigned int fsw_extent_live(const struct fsw_extent *e);	/* members read and written now */
u64 fsw_member_address(struct fsw_extents *x, const struct fsw_member *m, u64 frame);
/* Where the member keeps the bytes of a STORED entry: fsw_entry_length() of them. */
u64 fsw_entry_remote(struct fsw_extents *x, const struct fsw_member *m, struct fsw_entry e);

#define FSW_NO_FRAME	U64_MAX

/*
 * A frame for the slot, USED and pinned once, on an extent with a live member: at home if it can, at next (the frame after the last
 * one given to this window) or anywhere otherwise. FSW_NO_FRAME: none now. Any context.
 */
u64 fsw_frame_alloc(struct fsw_extents *x, struct fsw_cluster *c, u64 slot, u64 next);
void fsw_frame_free(struct fsw_extents *x, u64 frame);		/* its owner lets go; pins may remain */
atomic_t *fsw_frame_word(struct fsw_extents *x, u64 frame);
atomic_t *fsw_frame_pin(struct fsw_extents *x, u64 frame);	/* the caller re-checks the map after it */
static inline void fsw_frame_unpin(atomic_t *word)
{
	atomic_dec(word);
}
unsigned int fsw_extents_fresh(struct fsw_extents *x);	/* runs on live extents that are nobody's home */
unsigned int fsw_extents_live(struct fsw_extents *x);	/* extents with a live member */
unsigned int fsw_extent_used(struct fsw_extents *x, const struct fsw_extent *e);

#endif
