/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Compaction: frames of packed pages that have too many holes are emptied. When the frames in use come to more than 1.2 times what
 * their pages fill (and 64 more, which windows in flight may have), or none is left and there are holes, the emptiest are sealed and their pages staged again, as they are; they leave in fresh frames. Done by a work, so
 * that free frames come back before holes cost 1.3 times.
 */
#ifndef FSW_COMPACT_H
#define FSW_COMPACT_H

#include "extent.h"

struct fsw_compact {
	struct fsw_core *core;
	struct delayed_work work;
	u64 slot;			/* where the pass over the map is */
	struct workqueue_struct *wq;
	bool urgent;			/* pages wait in staging for a frame: any hole is too many */
	unsigned int most;		/* frames with at most this many eighths in use are emptied in this pass; 0: no pass */
	u64 moved;			/* pages, in this pass */
	unsigned int tries;		/* at the slot where it is, in vain */
	u64 quiet_ns;			/* the last look at every frame found nothing to do: not again before */
};

int fsw_compact_init(struct fsw_compact *c, struct fsw_core *core);	/* 0 or -ENOMEM */
void fsw_compact_stop(struct fsw_compact *c);	/* process context, staging.stopping is set; nothing runs after it */
void fsw_compact_exit(struct fsw_compact *c);
/* A packed page was dropped or, urgent, a page found no frame. Any context, only queues work. */
void fsw_compact_kick(struct fsw_compact *c, bool urgent);
u64 fsw_frames_used(struct fsw_core *core);

#endif
