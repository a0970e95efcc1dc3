/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mending: what a live member missed, or was found to have wrong, is written to it again from a copy that verifies. Done by a work, in
 * passes over the map, each for one peer: at its begin the frames that this peer misses move from missed to mending, and what is found
 * stored in them is mended. What comes to be stored in them later the peer acknowledged, or it is LOST, and the pass was in vain.
 */
#ifndef FSW_MEND_H
#define FSW_MEND_H

#include "extent.h"

struct fsw_mend_line {
	struct fsw_record *record;
	unsigned int frame;		/* in the extent */
	atomic_t *pin;			/* until the WRITE ended: so it never hits a newer page */
};

struct fsw_mend {
	struct fsw_core *core;
	struct delayed_work work;
	struct workqueue_struct *wq;
	const struct fsw_peer *to;	/* whose copies this pass mends, NULL: no pass. Compared only: it may be gone */
	u32 node;			/* its number, or that of the pass before */
	u64 slot;			/* where the pass over the map is */
	u64 began_ns;			/* when it last rested; 0: it rests */
	unsigned int again_ms;		/* until the next try at what a pass could not mend */
	bool flying;			/* the lines' WRITEs are (smp_store_release / smp_load_acquire) */
	unsigned int nr;
	struct fsw_buffer buf;
	struct fsw_chain chain;
	struct fsw_mend_line lines[FSW_MEND_SLOTS];
	struct fsw_piece pieces[FSW_MEND_SLOTS];
};

int fsw_mend_init(struct fsw_mend *mend, struct fsw_core *core);	/* 0 or -ENOMEM */
void fsw_mend_stop(struct fsw_mend *mend);	/* process context, staging.stopping is set; chains may still end after it */
void fsw_mend_exit(struct fsw_mend *mend);	/* every chain has ended */
/* A live member misses something. Any context, only queues work. */
void fsw_mend_kick(struct fsw_mend *mend);
void fsw_mend_done(struct fsw_chain *chain, int status);

#endif
