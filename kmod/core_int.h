/* SPDX-License-Identifier: GPL-2.0 */
/* What the core's own files share. */
#ifndef FSW_CORE_INT_H
#define FSW_CORE_INT_H

#include "ahead.h"
#include "codec.h"
#include "compact.h"
#include "mend.h"
#include "scrub.h"
#include "window.h"
#ifdef __KERNEL__
#include "trace.h"
#endif

/* FSW_WRITE_WRS .. come first, in core.h */
enum {
	FSW_STORES = FSW_COUNTS_TRANSPORT, FSW_LOADS, FSW_LOADS_STAGED, FSW_LOADS_EMPTY, FSW_FREES, FSW_REFUSED, FSW_WAITS,
	FSW_LOADS_AHEAD, FSW_AHEAD_PAGES, FSW_AHEAD_USED, FSW_AHEAD_WAITS,
	FSW_LOAD_ERRORS, FSW_CORRUPT, FSW_FAILOVERS, FSW_HEDGES, FSW_WINDOWS, FSW_PARKED,
	FSW_COMPACTED, FSW_MENDED, FSW_SCRUBBED,
	/* these go up and down; only the sum over CPUs means something */
	FSW_HELD, FSW_FILLED,
	FSW_STORED,	/* by class */
	FSW_COUNTS = FSW_STORED + FSW_CLASSES
};

/* a load's time, 8 buckets to the octave from 2^FSW_HIST_LOW ns: within 12.5 percent */
#define FSW_HIST_LOW	8
#define FSW_HIST	(32 * 8)

struct fsw_stats {
	u64 n[FSW_COUNTS];
	u64 hist[FSW_HIST];
	u32 picks;		/* of a member to read from */
	u64 stored;		/* the last slot stored here; a hint */
	u32 drops;		/* of packed pages */
};

struct fsw_core {
	struct fsw_params params;
	const struct fsw_transport_ops *ops;
	void *transport;
	struct fsw_map map;
	struct fsw_extents extents;
	struct fsw_staging staging;
	struct fsw_compact compact;
	struct fsw_mend mend;
	struct fsw_scrub scrub;
	struct workqueue_struct *stock_wq;
	struct delayed_work stock_work;	/* fills the map's stock up */
	struct fsw_codecs codecs;
	enum farswap_codec codec;	/* of new stores; READ_ONCE */
	struct fsw_ahead ahead;
	struct fsw_stats __percpu *stats;
};

static inline void fsw_count(struct fsw_core *core, unsigned int which)
{
	this_cpu_inc(core->stats->n[which]);
}

static inline bool fsw_entry_current(struct fsw_core *core, u64 slot, struct fsw_entry e)
{
	return fsw_entry_same(fsw_map_get(&core->map, slot), e);
}

void fsw_hist_add(struct fsw_core *core, u64 ns);
void fsw_want(struct fsw_core *core);	/* extents may be short: farswapd is told if so */

/* The slot's cluster, from the map's stock if it is new; NULL: the stock is empty. Any context. */
struct fsw_cluster *fsw_populate(struct fsw_core *core, u64 slot);
/* A slot's entry was replaced: let go of what old held. Any context. */
void fsw_entry_drop(struct fsw_core *core, struct fsw_entry old);
/* Replace whatever the slot of a populated cluster holds by a page that was just stored. */
void fsw_entry_replace(struct fsw_core *core, u64 slot, struct fsw_entry e);
u64 fsw_count_sum(struct fsw_core *core, unsigned int which);

/* ---- audit.c ---- */
/*
 * Verify all copies of the first held slot at or after *slot, which goes on behind it. False: there is none. May sleep: a READ that is
 * posted is waited for, also when its donor hangs, so there never is more than one for each copy; a slot is passed over when none is free.
 */
bool fsw_slot_scrub(struct fsw_core *core, u64 *slot);

/* ---- load.c ---- */
int fsw_unpack(struct fsw_core *core, struct fsw_entry e, const void *bytes, void *page);
/*
 * The stored bytes of a STORED entry from member m of that generation: a READ, posted or failed at once, for fsw_copy_wait() and then
 * read_put; NULL: none is free until the deadline. wait: 0 and read->va holds them, verified; -EBADMSG: other bytes; or why it could not
 * be read. May sleep.
 */
struct fsw_read *fsw_copy_read(struct fsw_core *core, u64 slot, struct fsw_entry e, u32 generation, unsigned int m, u64 deadline);
int fsw_copy_wait(struct fsw_core *core, struct fsw_read *read, struct fsw_entry e, u64 deadline);
/* It holds other bytes, and the entry is the slot's: counted, unless that was known, and to be mended. */
void fsw_copy_bad(struct fsw_core *core, struct fsw_entry e, u32 generation, unsigned int m);

/* memcpy and CRC-32C of what was copied. One pass for the cache: page-sized pieces stay in L1 between the two. */
u32 fsw_copy_sum(void *dst, const void *src, size_t bytes);

#endif
