/* SPDX-License-Identifier: GPL-2.0 */
/* The scrub: copies that nobody reads are read now and then, so that one that went wrong is found while there are others. */
#ifndef FSW_SCRUB_H
#define FSW_SCRUB_H

#include "os.h"

struct fsw_core;

struct fsw_scrub {
	struct fsw_core *core;
	struct delayed_work work;
	struct workqueue_struct *wq;
	u64 slot;			/* where the pass over the map is */
};

int fsw_scrub_init(struct fsw_scrub *scrub, struct fsw_core *core);	/* 0 or -ENOMEM */
void fsw_scrub_stop(struct fsw_scrub *scrub);				/* process context, staging.stopping is set */
void fsw_scrub_exit(struct fsw_scrub *scrub);

#endif
