/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Read-ahead: pages near a load are fetched behind it into buffers of their own, and a later load of such a page finds it there.
 *
 * A fetch is one chain of READs to one peer, of up to FSW_FETCH_LINES pages, with one completion. Each page is a line: its slot and the
 * map entry that it was fetched for. A rewritten or freed slot has another entry, so nothing is ever invalidated: a load takes a line
 * only if its entry is the map's, before and after the copy.
 *
 * A fetch's way: idle -> claimed (being filled) -> in flight -> idle, its lines now there to be loaded; claimed again when its turn
 * comes. Its buffer and the frames' pins are let go as everywhere: when the chain has ended.
 *
 * What to fetch is learnt for each region (a cluster of slots, struct fsw_region in map.h) from the loads in it. It is a guess: nothing
 * that it does or forgets can make a load wrong.
 */
#ifndef FSW_AHEAD_H
#define FSW_AHEAD_H

#include "map.h"

#define FSW_FETCH_LINES		16	/* pages of a fetch: 64 KiB, where a READ reaches the link's rate */
#define FSW_AHEAD_MAX		64	/* pages ahead of a reader */
#define FSW_AHEAD_PAGES_MAX	65536	/* in all buffers: the table numbers lines with 16 bits */

struct fsw_line {
	u64 slot;
	struct fsw_entry entry;
	atomic_t *pin;			/* its frame's word, until the chain ended */
	u32 offset;			/* in the buffer */
	bool used;			/* racy: it is only counted */
};

struct fsw_fetch {
	struct fsw_chain chain;
	atomic_t users;			/* loads that look at it, and one while in flight; FETCH_CLAIMED: nobody may */
	int status;			/* FSW_READ_FLYING, then 0 or -errno (smp_store_release / smp_load_acquire) */
	unsigned int nr, nr_pieces;
	u64 end;			/* where the last line's slot ends at the peer */
	u32 bytes;			/* of the buffer that are taken */
	struct fsw_buffer buf;
	wait_queue_head_t ended;
	struct fsw_line lines[FSW_FETCH_LINES];
	struct fsw_piece pieces[FSW_FETCH_LINES];
};

struct fsw_ahead {
	struct fsw_core *core;
	unsigned int nr;		/* fetches; 0: no read-ahead */
	struct fsw_fetch *fetches;
	atomic_t cursor;		/* the fetch claimed last: the oldest is next */
	u64 *table;			/* slot + 1 and line, by slot; a hint, the line itself tells */
	u32 mask;
};

int fsw_ahead_init(struct fsw_ahead *ahead, struct fsw_core *core);	/* 0 or -ENOMEM, then exit too */
void fsw_ahead_exit(struct fsw_ahead *ahead);				/* every chain has ended */

/* Is the load's entry there, or on its way? Then load->fetch holds it until fsw_ahead_load(). Any context. */
bool fsw_ahead_find(struct fsw_core *core, struct fsw_load *load);
/*
 * Wait for what fsw_ahead_find() found, and copy it. 0: page holds it, verified. -EAGAIN: the entry changed. -EBADMSG: other bytes, *from
 * is who sent them. Else it did not come. Process context.
 */
int fsw_ahead_load(struct fsw_core *core, struct fsw_load *load, void *page, struct fsw_peer **from);

/*
 * The load was begun: learn from it, and, with post, post what seems worth it. post only when the load's own READ, and those of all that
 * the caller begins with it, are posted, or found ahead. Process context, does not sleep.
 */
void fsw_ahead_learn(struct fsw_core *core, const struct fsw_load *load, bool post);

void fsw_ahead_stored(struct fsw_core *core, u64 slot);	/* a page was stored: learn which region follows which. Any context */

#endif
