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
	u8 state;
};

struct fsw_run {		/* POSTED pages next to each other in the window and on the extent */
	u16 first, nr;		/* pages of the window */
	u32 chains;		/* bit per chain of the window that carries it */
};

struct fsw_window {
	struct fsw_staging *staging;
	struct list_head link;		/* free or parked */
	unsigned int index;
	unsigned int nr;		/* pages handed out, under the opener's fsw_cpu.lock until closed */
	atomic_t users;			/* open + copiers */
	atomic_t pending;		/* chains in flight, and one while they are being posted */
	atomic_t acked;			/* bit per chain */
	unsigned int nr_chains, nr_runs;
	struct fsw_buffer buf;
	struct fsw_window_page *pages;	/* staging->window of each */
	struct fsw_run *runs;
	struct fsw_piece *pieces;	/* scratch of the one who posts */
	struct fsw_chain chains[FSW_PEERS_MAX];
};

struct fsw_cpu {
	spinlock_t lock;		/* open and its nr; process context only */
	struct fsw_window *open;
};

struct fsw_staging {
	struct fsw_core *core;
	unsigned int window;		/* pages per window */
	unsigned int nr;
	struct fsw_window *windows;
	struct fsw_cpu __percpu *cpus;
	spinlock_t lock;		/* free, parked; irq-safe */
	struct list_head free, parked;
	unsigned int nr_free;
	wait_queue_head_t room;		/* a window became free, an extent was added, or it is stopping */
	atomic_t seq;			/* see struct fsw_entry */
	bool stalled;			/* the last waiter waited in vain: refuse at once until a window completes */
	bool stopping;
	struct delayed_work close_work;	/* sends windows that stayed open */
	struct delayed_work retry_work;	/* sends parked windows again */
	struct workqueue_struct *wq;
};

int fsw_staging_init(struct fsw_staging *s, struct fsw_core *core);
void fsw_staging_stop(struct fsw_staging *s);
void fsw_staging_exit(struct fsw_staging *s);

/* fsw_store()'s work for a slot in range. */
int fsw_stage(struct fsw_staging *s, u64 slot, const void *page);
/* An extent or a frame came: waiters and parked windows try again. Any context. */
void fsw_staging_kick(struct fsw_staging *s);

void *fsw_place(struct fsw_staging *s, u64 place);	/* the bytes of a STAGED entry */

#endif
