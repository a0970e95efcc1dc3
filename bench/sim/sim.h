/* SPDX-License-Identifier: GPL-2.0 */
/* The simulator's parts. All that is decided in it is decided by functions of daemon/. */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SECOND	1000000000ull

struct sim_even {		/* of max/mean use */
	double mean, worst;	/* over the seeds */
	unsigned int same_host;	/* sets with two members on one donor */
};

/* extents of three copies on 64 donors; picture: where to write "POLICY RANK USE/MEAN" for the first seed, or NULL */
struct sim_even even_run(int policy, bool equal, unsigned int seeds, FILE *picture);

/* evicted activity over that of random eviction, 64 slabs, Zipf(1), E = 4 */
double zipf_run(unsigned int extra, unsigned int slabs_per_owner, unsigned int seeds);

struct sim_cluster {
	/* max/mean use over all donors that lend */
	double filled;		/* when all clients have what they want */
	double churned_mean, churned_worst;	/* each minute while nodes come, go and get short of memory */
	double settled;		/* after that */
	double spread;		/* then: (max - min)/mean */
	double use;		/* then: the mean */
	uint64_t same_host, same_rack, degraded, lost, unplaced;
	uint64_t placed, repaired, evicted, revoked, balanced, unmoved;
	double leader_msgs;	/* a node and second, sent or received by a leader */
	double peers_mean;	/* donors of a client */
	unsigned int peers_most, group_least, group_most;
};

/* nodes in groups, for an hour; apart: groups ask others only when they are full */
struct sim_cluster cluster_run(unsigned int nodes, uint64_t seed, bool apart);

#endif
