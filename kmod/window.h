/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Staging: pages taken out are copied into this CPU's open window and are safe there until enough replicas have them.
 *
 * A window's way: free -> open (being filled, one per CPU) -> sent (one chain per peer in flight) -> free; or parked, when a page
 * found no frame or no live replica, and sent again by the retry work. One reference for being open and one for each copier: the
 * last to let go sends it.
 */
#ifndef FSW_WINDOW_H
#define FSW_WINDOW_H

#include "extent.h"

enum fsw_page_state {
	FSW_PAGE_WAITING,	/* in staging only */
	FSW_PAGE_POSTED,	/* has a frame, its chains are in flight */
	FSW_PAGE_DONE,		/* on its replicas, or rewritten or freed meanwhile */
};

struct fsw_window_page {
	u64 slot;
	u64 frame;		/* while POSTED */
	u32 seq;
	u32 sum;
	u16 length;
	u8 codec, class;
	u8 place, sub;		/* frame of the window's buffer, and the slot in it */
	u8 remote_sub;		/* slot in frame */
	u8 state;
};

struct fsw_run {		/* POSTED pages next to each other in the window's buffer and on the extent */
	u16 first, nr;		/* of fsw_window.order */
	u32 bytes;
	u8 nr_chains;		/* that carry it: as many as the set had live members */
	u8 chains[FARSWAP_COPIES_MAX];	/* which of the window's, */
	u8 next[FARSWAP_COPIES_MAX];	/* and of each the next run that it carries, or FSW_NO_RUN */
};

#define FSW_NO_RUN	U8_MAX

struct fsw_window {
	struct fsw_staging *staging;
	struct list_head link;		/* free or parked */
	unsigned int index;
	bool spare;			/* compaction's own */
	unsigned int nr;		/* pages handed out, under the opener's fsw_cpu.lock until closed */
	atomic_t users;			/* open + copiers */
	atomic_t pending;		/* chains in flight, and one while they are being posted */
	atomic_t acked;			/* bit per chain */
	unsigned int nr_places;		/* frames of buf handed out; each holds slots of one class, like a frame of an extent */
	u8 open[FSW_CLASSES];		/* the one that the next page of the class goes to, */
	u8 fill[FSW_CLASSES];		/* and the slots handed out in it; 0: none */
	unsigned int nr_chains, nr_runs, nr_order;
	struct fsw_buffer buf;
	struct fsw_window_page *pages;	/* staging->window of this and the next three */
	struct fsw_run *runs;
	u8 *order;			/* the POSTED pages, run by run */
	/* scratch of the one who sends */
	struct fsw_piece *pieces;
	u8 groups[FSW_WINDOW_MAX][FSW_SUBS];	/* by place: the pages in it that need a slot, */
	u8 nr_groups[FSW_WINDOW_MAX];		/* and how many */
	u8 chain_runs[FSW_CHAINS_MAX];	/* of each chain the first run that it carries */
	struct fsw_chain chains[FSW_CHAINS_MAX];
};

struct fsw_cpu {
	spinlock_t lock;		/* open and its nr; process context only */
	struct fsw_window *open;
};

struct fsw_staging {
	struct fsw_core *core;
	unsigned int window;		/* pages per window */
	unsigned int nr, max;		/* windows there are, and could be */
	/*
	 * By index, NULL: there is none now. fsw_staging_resize() takes one away, when no entry and no work request names it any
	 * more, and frees it after a grace period: who may have looked at such an entry just before is in rcu_read_lock().
	 */
	struct fsw_window **windows;
	struct fsw_cpu __percpu *cpus;
	struct fsw_cpu compact;		/* compaction's open window */
	spinlock_t lock;		/* free, parked, spares; irq-safe */
	struct list_head free, parked;
	struct list_head spares;	/* free windows of compaction's: it must go on when all others wait for frames */
	unsigned int nr_free;
	wait_queue_head_t room;		/* a window became free, an extent was added, or it is stopping */
	atomic_t seq;			/* see struct fsw_entry */
	bool stalled;			/* the last waiter waited in vain: refuse at once until a window completes */
	bool stopping;
	struct delayed_work close_work;	/* sends windows that stayed open */
	struct delayed_work retry_work;	/* sends parked windows again */
	struct workqueue_struct *wq;
};

/* As fsw_staging_set() in core.h. */
int fsw_staging_resize(struct fsw_staging *s, unsigned int pages);
int fsw_staging_init(struct fsw_staging *s, struct fsw_core *core);
void fsw_staging_stop(struct fsw_staging *s);
void fsw_staging_exit(struct fsw_staging *s);

/* fsw_store()'s work for a slot in range. */
int fsw_stage(struct fsw_staging *s, u64 slot, const void *page);
/*
 * Stage the stored bytes of a STORED entry again, as they are, so that they move to another frame; nothing happens if the entry has
 * changed. False: both windows that it has for this are on their way.
 */
bool fsw_restage(struct fsw_staging *s, u64 slot, struct fsw_entry e, const void *bytes);
/* An extent or a frame came: waiters and parked windows try again. Any context. */
void fsw_staging_kick(struct fsw_staging *s);

/* Of a STAGED entry; NULL: it has changed. Under rcu_read_lock(), and the entry is looked at again after the last use. */
void *fsw_staged_bytes(struct fsw_staging *s, struct fsw_entry e);

#endif
