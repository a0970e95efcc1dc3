/* SPDX-License-Identifier: GPL-2.0 */
/* What every part of the daemon may know: who this node is. Set by main() before anything else starts. */
#ifndef FARSWAPD_H
#define FARSWAPD_H

#include <systemd/sd-event.h>

#include "conf.h"
#include "key.h"

struct farswapd {
	struct farswap_conf conf;
	struct farswap_node *self;	/* conf.self */
	uint8_t key[FARSWAP_KEY_BYTES];
	uint8_t boot_id[16];
	uint64_t incarnation;		/* of what it has lent, told to clients: of this process, or of the one that handed its slabs over */
	sd_event *loop;
	const char *run_dir;
};

extern struct farswapd farswapd;

#define FARSWAPD_ANEW	2	/* what the loop ends with when the program is to be started again; EXIT_FAILURE is 1 */

#define SECONDS(n)	((uint64_t)(n) * 1000000u)	/* sd-event counts microseconds */

/* one-shot timer usec from now; *source is made at the first call and reused */
int farswapd_timer(sd_event_source **source, uint64_t usec, sd_event_time_handler_t handler, void *arg);
void farswapd_timer_stop(sd_event_source *source);

#endif
