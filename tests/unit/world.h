/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A world around the core: donors whose memory is plain memory, a network that delivers late, in any order, in pieces, not before
 * its peer is given up, or after that, as long as the donor has the queue pair, and a clock. One seed, one run: world.trace says whether it was.
 */
#ifndef WORLD_H
#define WORLD_H

#include "../../kmod/core_int.h"

#define WORLD_PEERS	7
#define WORLD_READS	6
#define WORLD_SLAB	FARSWAP_SLAB_BYTES_MIN

#define WORLD_SLABS	512

struct world_peer {
	struct fsw_peer peer;
	unsigned int flushed;	/* work requests ended by its failure */
	bool fenced;		/* its donor destroyed its queue pairs: nothing of what was on the wire arrives any more */
	struct world_peer *next;	/* of those that another has followed */
};

struct world {
	struct world_peer *peers[WORLD_PEERS];	/* by donor, the one that it has now */
	unsigned int late_percent;	/* operations that take seconds */
	unsigned int at_once_percent;	/* chains that complete before write() returns */
	unsigned int chains, pieces;	/* posted: doorbells and WRITEs */
	unsigned int fetches, fetch_pieces;	/* the same of READs ahead */
	unsigned int reads;		/* READs of loads posted */
	unsigned int readahead;		/* the parameter, for fsw_params.readahead */
	unsigned int scrub;		/* the parameter, for fsw_params.scrub; off while the world comes to rest */
	unsigned int in_flight;		/* operations not ended */
	unsigned int reads_out;		/* read requests not free */
	unsigned int strays;		/* parts of WRITEs that landed after their queue pair was gone here */
	u64 trace;			/* of all that was drawn and done so far */
	void (*other_cpu)(void);	/* what another CPU does when it gets its turn; NULL: nothing */
};

extern struct world world;
extern const struct fsw_transport_ops world_ops;

void world_start(u64 seed);
u32 world_random(u32 below);
void world_trace(u64 what);		/* it becomes part of world.trace */
void world_quiet(void);			/* deliver everything, run all work that is due */
void world_stop(struct fsw_core *core);	/* the device goes: every peer ends, then the core, then the world */
struct farswap_counters world_counters(struct fsw_core *core);
void world_end(void);			/* frees slabs; asserts that nothing is in flight */
void world_kill(unsigned int peer);	/* its queue pairs go to error */
void world_reconnect(unsigned int peer);	/* the donor of a LOST peer has a new one, which has nothing */
void world_bury(struct fsw_core *core);	/* forget the peers that no set names any more */
struct fsw_member world_slab(unsigned int peer);	/* a new one there */
bool world_slab_there(u64 slab);
unsigned int world_donor(u64 slab);		/* whose it is */
char *world_memory(u64 slab);
void world_release(u64 slab);		/* asserts that nothing can touch it, now or later */
/* A new extent on the given peers; its slabs are the world's. */
int world_extent(struct fsw_core *core, u64 id, const unsigned int *peers, unsigned int nr);
/* Change one byte of the slot's copy on the peer; false when it has none. */
bool world_corrupt(struct fsw_core *core, u64 slot, unsigned int peer);

#endif
