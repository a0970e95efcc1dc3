/* SPDX-License-Identifier: GPL-2.0 */
/* A cluster of many nodes in groups: what they hold. cluster.c is its hour, owner.c its clients, donor.c its donors, leader.c its leaders. */
#ifndef CLUSTER_H
#define CLUSTER_H

#include "balance.h"
#include "group.h"
#include "lend.h"
#include "placement.h"
#include "plan.h"
#include "sim.h"

#define COPIES		3
#define SLAB_BYTES	(64ull << 20)
#define MARK		(512ull << 20)	/* hard; low is twice that, high three times; six times is never lent */
#define NONE		UINT32_MAX
#define CANDIDATES	(GROUP_MAX + 2 * GROUP_BORROWED)

struct member {
	uint32_t donor;
	uint32_t place;		/* among the donor's slabs */
};

struct extent {
	uint32_t client;	/* NONE: free */
	uint32_t place;		/* among the client's extents */
	uint32_t n;		/* members */
	struct member members[COPIES];
	uint32_t activity;
	bool moving;		/* a member is to be moved */
	bool waits;		/* for a repair */
};

struct slab {
	uint32_t extent;
	uint32_t asked_s;	/* its owner agreed to move it then; 0: not asked for */
	uint32_t refused_s;	/* not asked again before */
};

/* what an owner has to do for one of its extents */
struct task {
	uint32_t extent;
	uint32_t from;		/* NONE: a repair */
	uint32_t to;		/* NONE: wherever placement says */
};

struct numbers {
	uint32_t *all;
	uint32_t n, size;
};

struct node {
	enum { NODE_AWAY, NODE_DONOR, NODE_CLIENT } role;
	uint32_t group;
	char rack[16];
	uint32_t back_s;	/* it comes back then, as a new node; 0: it is there */

	/* a donor */
	uint32_t cap;
	uint64_t local;		/* bytes that its own programs use */
	uint32_t hog_s;		/* until then these are many */
	uint32_t leave_s;	/* it is drained, and leaves; 0: it is not */
	struct lend lend;
	uint32_t offered;	/* told with each PONG, as is lent */
	struct slab *slabs;
	uint32_t lent, size, asked;
	uint32_t told_offered, told_lent, told_s;	/* to its leader */
	uint32_t no_take_s;	/* no slab could be moved to it: not tried again before */

	/* a client */
	uint32_t want;		/* extents */
	uint32_t next_s;	/* the next extent not before */
	struct numbers extents;
	struct task *tasks;
	uint32_t n_tasks, tasks_size;
	uint32_t candidates[CANDIDATES];
	uint32_t n_candidates, candidates_s, usual;	/* as the leader told them */
	uint32_t down_s;	/* it wants nothing until then */
};

struct leader {
	uint32_t members[GROUP_MAX];
	uint32_t n;
	struct group_known known;
	struct balance balance;
};

struct cluster {
	struct node *nodes;
	uint32_t n_nodes;
	struct leader *groups;
	uint32_t n_groups;
	struct extent *extents;
	uint32_t n_extents, extents_size;
	struct numbers free;	/* extents */
	bool apart;
	uint32_t now_s;
	uint64_t seed;
	uint64_t leader_msgs;
	struct sim_cluster result;
};

uint32_t cluster_draw(struct cluster *c, uint32_t below);
void numbers_put(struct numbers *numbers, uint32_t number);
struct placement_node cluster_view(const struct node *node);

/* --- donor.c --- */
uint64_t donor_memory(const struct node *node);
void donor_look(struct cluster *c, uint32_t donor);
/* asks the owner of its least active slab to move it there; false: nobody will */
bool donor_move_one(struct cluster *c, uint32_t donor, uint32_t to);
void donor_lose_all(struct cluster *c, uint32_t donor);
/* a slab for the extent; false: it refuses */
bool donor_grant(struct cluster *c, uint32_t donor, uint32_t extent);
void donor_release(struct cluster *c, uint32_t extent, unsigned int member);

/* --- owner.c --- */
void owner_step(struct cluster *c, uint32_t client);
/* a donor asks; to: NONE, or where the slab is to go */
bool owner_agrees(struct cluster *c, uint32_t extent, uint32_t donor, uint32_t to);
void owner_lost(struct cluster *c, uint32_t extent, uint32_t donor);
void owner_down(struct cluster *c, uint32_t client);

/* --- leader.c --- */
void leader_step(struct cluster *c, uint32_t group);
void leader_join(struct cluster *c, uint32_t node);
void leader_leave(struct cluster *c, uint32_t node);
/* fills in node->candidates */
void leader_candidates(struct cluster *c, uint32_t client);

#endif
