/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The map: what each swap slot holds, 16 bytes a slot, in tables of one cluster (512 slots). A table is taken from a stock
 * that a work fills up ahead of need, so populating a cluster on the reclaim path allocates nothing.
 */
#ifndef FSW_MAP_H
#define FSW_MAP_H

#include "core.h"

/*
 * One slot. The state, the place or frame, and the length are packed in where; seq tells one store from every other: it
 * rises with each store on the device. It wraps after 2^32 stores, which is harmless: it is compared against entries whose window is
 * still in flight, at most FSW_WINDOW_MAX * windows stores ago, and those of pages read ahead, whose checksum must be the same too.
 */
struct fsw_entry {
	u32 sum;		/* CRC-32C of the stored bytes */
	u32 seq;
	u64 where;
};

static_assert(sizeof(struct fsw_entry) == 16, "the map is priced at 16 bytes a slot");

/*
 * where, from the low bit: state 3 (enum farswap_slot_state), codec 4 (enum farswap_codec), length 13 (bytes stored), class 2 (the
 * frame holds 1 << class slots of FSW_PAGE >> class bytes), slot in the frame 3, place (STAGED) or frame (STORED) 39.
 */
#define FSW_WHERE_CODEC		3
#define FSW_WHERE_LENGTH	7
#define FSW_WHERE_CLASS		20
#define FSW_WHERE_SUB		22
#define FSW_WHERE_INDEX		25

#define FSW_CLASSES		4	/* of 4096, 2048, 1024 and 512 bytes */
#define FSW_SUBS		8	/* slots in a frame of the smallest class */

static inline u64 fsw_where(enum farswap_slot_state state, unsigned int codec, u32 length, unsigned int class, unsigned int sub,
			    u64 index)
{
	return state | codec << FSW_WHERE_CODEC | length << FSW_WHERE_LENGTH | class << FSW_WHERE_CLASS |
	       sub << FSW_WHERE_SUB | index << FSW_WHERE_INDEX;
}

static inline enum farswap_slot_state fsw_entry_state(struct fsw_entry e)
{
	return e.where & 7;
}

static inline unsigned int fsw_entry_codec(struct fsw_entry e)
{
	return e.where >> FSW_WHERE_CODEC & 15;
}

static inline u32 fsw_entry_length(struct fsw_entry e)
{
	return e.where >> FSW_WHERE_LENGTH & 0x1fff;
}

static inline u64 fsw_entry_index(struct fsw_entry e)
{
	return e.where >> FSW_WHERE_INDEX;
}

static inline unsigned int fsw_entry_class(struct fsw_entry e)
{
	return e.where >> FSW_WHERE_CLASS & 3;
}

static inline u32 fsw_class_bytes(unsigned int class)
{
	return FSW_PAGE >> class;
}

/* The smallest that takes length bytes, 1..FSW_PAGE. */
static inline unsigned int fsw_class_of(u32 length)
{
	unsigned int class = FSW_CLASSES - 1;

	while (length > fsw_class_bytes(class))
		class--;
	return class;
}

static inline unsigned int fsw_entry_sub(struct fsw_entry e)
{
	return e.where >> FSW_WHERE_SUB & 7;
}

/* where the entry's bytes begin in its frame or place */
static inline u32 fsw_entry_offset(struct fsw_entry e)
{
	return fsw_entry_sub(e) * fsw_class_bytes(fsw_entry_class(e));
}

/* A FILLED entry keeps the page's word where others keep sum and seq. */
static inline struct fsw_entry fsw_entry_filled(u64 word)
{
	return (struct fsw_entry){
		.sum = word,
		.seq = word >> 32,
		.where = fsw_where(FARSWAP_SLOT_FILLED, FARSWAP_CODEC_NONE, 0, 0, 0, 0),
	};
}

static inline u64 fsw_entry_word(struct fsw_entry e)
{
	return (u64)e.seq << 32 | e.sum;
}

static inline bool fsw_entry_same(struct fsw_entry a, struct fsw_entry b)
{
	return a.where == b.where && a.seq == b.seq && a.sum == b.sum;
}

#define FSW_NO_HOME		U64_MAX

/* ---- what ahead.c learns from the loads of a cluster ---- */
#define FSW_STREAMS		3	/* two scans, and one that is none yet */

struct fsw_stream {			/* loads that follow each other with one stride */
	u64 last;			/* slot of the last one */
	u64 next;			/* up to here it was read ahead */
	u64 judged;			/* up to here it was looked at what of that was used */
	u32 seen;			/* fsw_region.loads at the last one */
	s16 stride;			/* slots; 0: one load only */
	u8 loads;			/* in a row, at most 255; 0: no stream */
	u8 order;			/* 1 << order pages are kept ahead; 0: none */
};

struct fsw_region {			/* read ahead is what it is about: a guess, so a load lost to busy does no harm */
	atomic_t busy;			/* the rest is somebody's; others do not wait for it */
	u32 after, before;		/* number + 1 of the cluster that page-out went to next, or came from; 0: not known */
	u32 loads;
	int waste;			/* recent share of pages read ahead in vain, of 256 */
	struct fsw_stream streams[FSW_STREAMS];
};

struct fsw_cluster {
	seqlock_t lock;			/* entries; irq-safe: frees come with interrupts off, acknowledgements in softirq */
	struct fsw_region region;
	u64 home;			/* first frame of the home run, FSW_NO_HOME before the first window; see extent.c */
	struct fsw_entry *entries;	/* FSW_CLUSTER of them */
	struct list_head link;		/* in the stock, before it is populated */
};

struct fsw_map {
	u64 slots;
	struct fsw_cluster **clusters;	/* NULL: not populated; set once by cmpxchg, stays until the map is freed */
	spinlock_t stock_lock;		/* stock, stocked; irq-safe */
	struct list_head stock;		/* tables ready to be populated */
	unsigned int stocked;
	u64 made;			/* tables, populated or in stock; who fills the stock */
};

#define FSW_STOCK		128	/* tables in a full stock, 1 MiB: 256 MiB of swap space */

int fsw_map_init(struct fsw_map *map, u64 slots);
void fsw_map_exit(struct fsw_map *map);

/*
 * Fill the stock up, to FSW_STOCK or what is left of the map. Process context, may sleep, one caller at a time. 0 or -ENOMEM (what was
 * added stays).
 */
int fsw_map_stock(struct fsw_map *map);
/* Is it time to? Any context. */
bool fsw_map_low(struct fsw_map *map);

u64 fsw_map_bytes(const struct fsw_map *map);	/* of memory, the stock included */

/* The slot's cluster, or NULL when it is not populated. Any context. */
struct fsw_cluster *fsw_map_cluster(struct fsw_map *map, u64 slot);
/* The same, populated from the stock if need be; NULL: the stock is empty. Any context. */
struct fsw_cluster *fsw_map_populate(struct fsw_map *map, u64 slot);

/* A slot's entry as it is now; all zero (EMPTY) where nothing was ever stored. Any context. */
struct fsw_entry fsw_map_get(struct fsw_map *map, u64 slot);
/* Replace it whatever it is; returns what it was. The cluster must be populated unless e is EMPTY. Any context. */
struct fsw_entry fsw_map_set(struct fsw_map *map, u64 slot, struct fsw_entry e);
/* Replace exactly old by e; false when it is something else by now. Any context. */
bool fsw_map_cas(struct fsw_map *map, u64 slot, struct fsw_entry old, struct fsw_entry e);

#endif
