// SPDX-License-Identifier: GPL-2.0
/* A group's leader: daemon/group.c says who lends to whom, daemon/balance.c what moves. Every message from or to it is counted. */
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "draw.h"

#define HEAR_S		10	/* it asks another leader for its totals so often */
#define LOOK_S		5	/* and looks at its group */
#define FAILED_S	60	/* a donor that no slab could be moved to is not tried again before */

/* as its donors told it */
static size_t members(const struct cluster *c, const struct leader *leader, struct placement_node *view, uint32_t *ids)
{
	size_t n = 0;
	uint32_t i;

	for (i = 0; i < leader->n; i++) {
		const struct node *node = &c->nodes[leader->members[i]];

		if (node->role != NODE_DONOR || !node->told_offered)
			continue;
		ids[n] = leader->members[i];
		view[n++] = (struct placement_node) { .rack = node->rack, .offered = node->told_offered, .lent = node->told_lent };
	}
	return n;
}

static struct group_total total(const struct cluster *c, uint32_t group)
{
	struct placement_node view[GROUP_MAX];
	uint32_t ids[GROUP_MAX];

	return group_total(view, members(c, &c->groups[group], view, ids));
}

static struct group_total hear(struct cluster *c, struct leader *leader, uint32_t other)
{
	struct group_total heard = total(c, other);

	group_hear(&leader->known, &heard);
	c->leader_msgs += 4;	/* two messages, a leader at each end */
	return heard;
}

/* two others are asked for their totals, and the freer one for candidates: how many it names */
static size_t borrow(struct cluster *c, uint32_t group, uint32_t usual, struct placement_node *view, uint32_t *ids)
{
	uint32_t a = cluster_draw(c, c->n_groups), b = cluster_draw(c, c->n_groups), their_ids[GROUP_MAX];
	struct leader *leader = &c->groups[group];
	struct placement_node theirs[GROUP_MAX];
	struct group_total total_a, total_b;
	int out[GROUP_BORROWED], freer;
	unsigned int n, i;
	size_t all;

	if (a == group || b == group)
		return 0;
	total_a = hear(c, leader, a);
	total_b = hear(c, leader, b);
	freer = group_freer(&total_a, &total_b);
	if (freer < 0)
		return 0;
	c->leader_msgs += 4;
	all = members(c, &c->groups[freer ? b : a], theirs, their_ids);
	n = group_candidates(theirs, all, usual, &c->seed, out);
	for (i = 0; i < n; i++) {
		ids[i] = their_ids[out[i]];
		view[i] = theirs[out[i]];
		view[i].taken = false;
	}
	return n;
}

static uint32_t usual(struct cluster *c, uint32_t group)
{
	struct group_total own = total(c, group);

	return c->apart ? 1000 : group_usual(&c->groups[group].known, &own);
}

void leader_candidates(struct cluster *c, uint32_t client)
{
	struct placement_node view[CANDIDATES];
	struct node *node = &c->nodes[client];
	uint32_t ids[CANDIDATES], i;
	size_t n;

	c->leader_msgs += 2;
	node->usual = usual(c, node->group);
	n = members(c, &c->groups[node->group], view, ids);
	/* whom the client got from others before it keeps: each new donor costs it a connection */
	for (i = 0; i < node->n_candidates && n < CANDIDATES - GROUP_BORROWED; i++) {
		const struct node *other = &c->nodes[node->candidates[i]];

		if (other->group == node->group || !other->told_offered)
			continue;
		ids[n] = node->candidates[i];
		view[n++] = (struct placement_node) { .rack = other->rack, .offered = other->told_offered, .lent = other->told_lent };
	}
	memcpy(node->candidates, ids, n * sizeof(*ids));
	if (!group_bar(view, n, node->usual))
		n += borrow(c, node->group, node->usual, view + n, node->candidates + n);
	node->n_candidates = (uint32_t)n;
}

static void balance(struct cluster *c, uint32_t group)
{
	struct leader *leader = &c->groups[group];
	uint64_t now_ns = (3600 + c->now_s) * SECOND;
	struct balance_donor donors[CANDIDATES];
	struct placement_node view[CANDIDATES];
	uint32_t ids[CANDIDATES], use = usual(c, group);
	struct balance_move move;
	size_t n = members(c, leader, view, ids), own_n = n, i;
	bool above = false;

	for (i = 0; i < n; i++)
		above |= !group_free(&view[i], use);
	if (above && leader->balance.next_ns <= now_ns)
		n += borrow(c, group, use, view + n, ids + n);
	for (i = 0; i < n; i++)
		donors[i] = (struct balance_donor) {
			.offered = view[i].offered,
			.lent = view[i].lent,
			.gives = i < own_n,
			.takes = c->nodes[ids[i]].no_take_s <= c->now_s,
		};
	if (!balance_next(&leader->balance, donors, n, now_ns, &move))
		return;
	c->leader_msgs += 2;
	if (!donor_move_one(c, ids[move.from], ids[move.to])) {
		c->result.unmoved++;
		c->nodes[ids[move.to]].no_take_s = c->now_s + FAILED_S;
		return;
	}
	/* until they tell it themselves */
	c->nodes[ids[move.from]].told_lent--;
	c->nodes[ids[move.to]].told_lent++;
}

void leader_step(struct cluster *c, uint32_t group)
{
	struct leader *leader = &c->groups[group];
	uint32_t other;

	if (!leader->n)
		return;
	if ((c->now_s + group) % HEAR_S == 0 && c->n_groups > 1) {
		other = cluster_draw(c, c->n_groups);
		if (other != group)
			hear(c, leader, other);
	}
	if ((c->now_s + group) % LOOK_S == 0)
		balance(c, group);
}

void leader_join(struct cluster *c, uint32_t number)
{
	uint32_t *sizes = calloc(c->n_groups, sizeof(*sizes)), i;
	struct node *node = &c->nodes[number];
	struct leader *leader;

	for (i = 0; i < c->n_groups; i++)
		sizes[i] = c->groups[i].n;
	node->group = (uint32_t)group_join(sizes, c->n_groups, GROUP_MAX);
	leader = &c->groups[node->group];
	leader->members[leader->n++] = number;
	free(sizes);
}

void leader_leave(struct cluster *c, uint32_t number)
{
	struct leader *leader = &c->groups[c->nodes[number].group];
	uint32_t i;

	for (i = 0; leader->members[i] != number; i++)
		;
	leader->members[i] = leader->members[--leader->n];
}
