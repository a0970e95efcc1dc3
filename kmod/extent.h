/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Extents: slab-sized pieces of remote space, each on a replica set, and the frames in them.
 *
 * A frame's word, from the low bit: pins 13 (work requests posted against it), slots that a map entry or a window owns 8, slots
 * that were freed while it was pinned 8, class 2, sealed 1 (being emptied, gives out nothing). All 0: the frame is free. A slot is
 * given out only when no work request can touch it: freed ones are quarantined until the pins are gone.
 */
#ifndef FSW_EXTENT_H
#define FSW_EXTENT_H

#include "map.h"

#define FSW_FRAME_PINS	0x1fffu
#define FSW_FRAME_USED	13	/* shift of the slots in use */
#define FSW_FRAME_FREED	21	/* shift of the quarantined ones */
#define FSW_FRAME_CLASS	29	/* shift */
#define FSW_FRAME_SEALED	(1u << 31)

static inline u32 fsw_word_used(u32 word)
{
	return word >> FSW_FRAME_USED & 0xff;
}

static inline unsigned int fsw_word_class(u32 word)
{
	return word >> FSW_FRAME_CLASS & 3;
}

/*
 * Who holds an extent, in one generation; it never changes, another takes its place (RCU). To post to a member: pin the frame, then
 * look at the set and take what is needed of it inside one rcu_read_lock(). So a set is let go of when a grace period has passed and
 * then each frame was seen without a pin: nothing is posted to its members any more, and who still holds a pin holds the peers, too.
 */
struct fsw_set {
	u32 generation;
	unsigned int nr;
	struct fsw_member members[FARSWAP_COPIES_MAX];
	u8 record[FARSWAP_COPIES_MAX];		/* which of the extent's is the member's */
};

/*
 * The frames that a member's slab has wrong: it was not there when they were written, or a copy read from it did not verify. It goes
 * with the slab, whatever peer that is reached by. A guide for whom to read from and what to mend: what is read is verified anyway.
 */
struct fsw_record {
	unsigned long *missed;			/* a bit per frame */
	unsigned long *mending;			/* the same: those that the pass under way mends (mend.c) */
	bool any;				/* false: there is no bit in either */
};

/* OPEN -> SEALING -> SEALED or OPEN; SEALED -> SETTING -> OPEN or SEALED. Who moved it to one that ends in -ING, by cmpxchg, moves it on. */
enum fsw_sealed {
	FSW_OPEN,
	FSW_SEALING,				/* in this and those below no frame of it is given out; what was posted drains */
	FSW_SEALED,				/* nothing is written to it */
	FSW_SETTING,				/* new members, if any; what is posted to the old ones drains */
};

struct fsw_extent {
	u64 id;
	enum fsw_sealed sealed;			/* looked at inside rcu_read_lock() until a frame is given out, see seal.c */
	unsigned int index;			/* in fsw_extents.all */
	struct fsw_set __rcu *set;		/* changed under fsw_extents.lock */
	struct fsw_set *leaving;		/* the one before while it may still be posted to, or NULL; under fsw_extents.lock */
	struct fsw_record records[FARSWAP_COPIES_MAX];	/* fsw_extents.copies of them */
	struct fsw_record *mend;		/* mend.c: of the member whose copies the pass mends, or NULL, */
	u32 mend_generation;			/* and when the pass began */
	atomic_t *words;			/* one per frame */
	atomic_t *run_free;			/* frames of each run of FSW_CLUSTER with no slot in use; quarantined ones count */
	unsigned int next_run;			/* the first run that is nobody's yet; under home_lock */
	u64 uses;				/* pages written to it and read from it; a guide: counted without a lock, so it may even go back a little */
};

struct fsw_extents {
	unsigned int frames;			/* per extent */
	unsigned int runs;			/* per extent */
	unsigned int copies;			/* the most members of a set */
	unsigned int max;
	unsigned int nr;			/* published: smp_store_release after all[nr] is whole */
	struct fsw_extent **all;
	struct mutex lock;			/* who adds to all, or changes a set */
	spinlock_t home_lock;			/* next_run of each, every cluster's home, pack, pack_left and claimed; irq-safe */
	u64 pack;				/* the next frame for packed pages, in a run claimed for them */
	unsigned int pack_left;			/* frames of that run from there on */
	unsigned int claimed;			/* of each extent before this one every run is somebody's */
	/* hints; races are harmless */
	unsigned int cursor;			/* where the last search for any frame ended */
	unsigned int pack_cursor;		/* where the last search for an empty run ended */
	u64 hole[FSW_CLASSES];			/* where the last search for a slot of that class ended */
	bool holes[FSW_CLASSES];		/* false: a search of all frames found none, and none has come since */
};

int fsw_extents_init(struct fsw_extents *x, u64 size, u64 slab_bytes, unsigned int copies);
void fsw_extents_exit(struct fsw_extents *x);
/* As fsw_extent_add() in core.h. */
int fsw_extents_add(struct fsw_extents *x, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr);

struct fsw_extent *fsw_extents_get(struct fsw_extents *x, unsigned int index);	/* NULL: none. Any context */
struct fsw_extent *fsw_frame_extent(struct fsw_extents *x, u64 frame);
/* A page in that frame is written, read or read ahead now. */
static inline void fsw_extent_use(struct fsw_extents *x, u64 frame)
{
	struct fsw_extent *e = fsw_frame_extent(x, frame);

	WRITE_ONCE(e->uses, READ_ONCE(e->uses) + 1);
}

/* Its number in the extent; frames per extent is a power of two, see fsw_core_new(). */
static inline unsigned int fsw_frame_offset(struct fsw_extents *x, u64 frame)
{
	return frame & (x->frames - 1);
}

/* ---- set.c: the set as it is now; any context. Who names a generation is told when it is not that of the set any more. ---- */
u32 fsw_extent_generation(const struct fsw_extent *e);
unsigned int fsw_extent_live(const struct fsw_extent *e);	/* members read and written now */
bool fsw_extent_gives(const struct fsw_extent *e);	/* live and not sealed: frames of it are given out */
unsigned int fsw_extent_nr(const struct fsw_extent *e, u32 generation);	/* members; 0: another set */
bool fsw_extent_at(const struct fsw_extent *e, u32 generation, unsigned int m, struct fsw_member *member);
/* When the last of the members that are not there was lost (ktime ns); 0: all are there, or another set. */
u64 fsw_extent_lost_ns(const struct fsw_extent *e, u32 generation);
/*
 * The member to read frame f of the extent from: live, its bit not in tried, and it has the frame right if any such one does; the fastest,
 * or, with turn, the first one from turn on. -ENODATA: there is none; -EAGAIN: another set.
 */
int fsw_extent_pick(const struct fsw_extent *e, u32 generation, unsigned int f, u32 tried, const unsigned int *turn);
/* The member that is this peer, which need not be there any more. False: none, or it has frame f wrong. */
bool fsw_extent_member(const struct fsw_extent *e, const struct fsw_peer *peer, unsigned int f, struct fsw_member *member);
/* The members, a bit for each, that are known to have frame f wrong. */
u32 fsw_extent_wrong(const struct fsw_extent *e, u32 generation, unsigned int f);
/* The member's copy of frame f did not verify: it misses that, and it is counted against the peer. False: it was known to. */
bool fsw_extent_corrupt(struct fsw_extent *e, u32 generation, unsigned int m, unsigned int f);
unsigned int fsw_extent_missed(struct fsw_extents *x, const struct fsw_extent *e);	/* frames, at live members */
bool fsw_extent_whole(const struct fsw_extent *e, unsigned int copies);	/* so many live members miss nothing */
int fsw_set_find(const struct fsw_set *set, const struct fsw_peer *peer);	/* the member that is this peer, or -1 */
bool fsw_record_has(const struct fsw_record *r, unsigned int f);
void fsw_record_miss(struct fsw_record *r, unsigned int f);
unsigned int fsw_record_count(struct fsw_extents *x, const struct fsw_record *r);	/* frames */
void fsw_record_clear(struct fsw_extents *x, struct fsw_record *r);
/* mend.c's: what is missed is mending from now on; and what was is not any more, or, if not all was mended, is missed again. */
void fsw_record_mend(struct fsw_extents *x, struct fsw_record *r);
void fsw_record_mended(struct fsw_extents *x, struct fsw_record *r, bool all);
u64 fsw_member_address(struct fsw_extents *x, const struct fsw_member *m, u64 frame);
/* Where the member keeps the bytes of a STORED entry: fsw_entry_length() of them. */
u64 fsw_entry_remote(struct fsw_extents *x, const struct fsw_member *m, struct fsw_entry e);

#define FSW_NO_FRAME	U64_MAX

/* ---- frame.c: allocation in process context, it may search for long; the rest in any ---- */

/* Slots of one frame, each pinned once. frame FSW_NO_FRAME: none now. */
struct fsw_slots {
	u64 frame;
	u32 mask;
};

/*
 * A whole frame for an uncompressed page, on an extent that gives: at home if it can, at next (the frame after the last one
 * given to this window) or anywhere otherwise.
 */
struct fsw_slots fsw_frame_alloc(struct fsw_extents *x, struct fsw_cluster *c, u64 slot, u64 next);

/* Frames next to each other for one window's packed pages: set aside when the first is needed, not taken yet. */
struct fsw_pack {
	unsigned int want;	/* as many as the window can need */
	u64 next;
	unsigned int left;	/* from next on */
};
/*
 * Up to nr slots of one frame for packed pages: the next of pack's frames when they fill one, else holes in frames of the class; each
 * in the other's place when it has none, and any free frame last.
 */
struct fsw_slots fsw_slots_alloc(struct fsw_extents *x, struct fsw_pack *pack, unsigned int class, unsigned int nr);

void fsw_slot_free(struct fsw_extents *x, u64 frame, unsigned int sub);	/* its owner lets go; pins may remain */
void fsw_entry_free(struct fsw_extents *x, struct fsw_entry e);		/* the same for a STORED entry's */
atomic_t *fsw_frame_word(struct fsw_extents *x, u64 frame);
atomic_t *fsw_frame_pin(struct fsw_extents *x, u64 frame);	/* the caller re-checks the map after it */
void fsw_frame_unpin(atomic_t *word);
/* No slot of it is given out until it is empty or unsealed. False: it is empty by now, or a whole page's. */
bool fsw_frame_seal(struct fsw_extents *x, u64 frame);
void fsw_frame_unseal(struct fsw_extents *x, u64 frame);

/* ---- extent.c ---- */
struct fsw_set *fsw_set_new(u32 generation, const struct fsw_member *members, unsigned int nr);	/* or NULL */
int fsw_members_check(const struct fsw_member *members, unsigned int nr);	/* -EINVAL: none, too many, the same peer twice */
/* Has an extent other than this one (NULL: any) one of the slabs? Two frames would be one page. Under lock. */
bool fsw_slabs_shared(struct fsw_extents *x, const struct fsw_extent *but, const struct fsw_member *members, unsigned int nr);
/* The next run that is nobody's, on the extent with most live members that gives one: its first frame, or FSW_NO_FRAME. Under home_lock. */
u64 fsw_run_claim(struct fsw_extents *x);
unsigned int fsw_extents_fresh(struct fsw_extents *x);	/* runs on extents that give, that are nobody's home */
unsigned int fsw_extents_giving(struct fsw_extents *x);	/* extents that give frames */
u64 fsw_extents_bytes(struct fsw_extents *x);		/* of memory */
unsigned int fsw_extent_used(struct fsw_extents *x, const struct fsw_extent *e);

#endif
