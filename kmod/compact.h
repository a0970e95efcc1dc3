/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Compaction: frames of packed pages that have too many holes are emptied. When the frames in use come to more than 1.2 times what
 * their pages fill, the emptiest are sealed and their pages staged again, as they are; they leave in fresh frames. Done by a work, so
 * that free frames come back before holes cost 1.3 times.
 */
#ifndef FSW_COMPACT_H
#define FSW_COMPACT_H

#include "extent.h"

struct fsw_compact {
	struct fsw_core *core;
	struct delayed_work work;
	u64 slot;			/* where the pass over the map is */
	unsigned int most;		/* frames with at most this many eighths in use are emptied in this pass; 0: no pass */
	u64 moved;			/* pages, in this pass */
	unsigned int tries;		/* times that this pass could not go on */
};

void fsw_compact_init(struct fsw_compact *c, struct fsw_core *core);
void fsw_compact_stop(struct fsw_compact *c);	/* process context; nothing runs after it */
/* A packed page was dropped. Any context, only queues work. */
void fsw_compact_kick(struct fsw_compact *c);
u64 fsw_frames_used(struct fsw_core *core);

#endif
