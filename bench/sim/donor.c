// SPDX-License-Identifier: GPL-2.0
/* A donor of the cluster: daemon/lend.c says how much, daemon/evict.c which. */
#include <stdlib.h>

#include "cluster.h"
#include "evict.h"

#define REFUSED_S	30	/* whoever refused is not asked again before */
#define TELL_S		5	/* the leader is told at most so often, and only of a change */

uint64_t donor_memory(const struct node *node)
{
	return node->cap * SLAB_BYTES + 6 * MARK;
}

static uint64_t available(const struct node *node)
{
	uint64_t used = node->local + node->lent * SLAB_BYTES;

	return donor_memory(node) > used ? donor_memory(node) - used : 0;
}

bool donor_grant(struct cluster *c, uint32_t donor, uint32_t number)
{
	struct node *node = &c->nodes[donor];
	struct extent *extent = &c->extents[number];

	if (node->lent >= node->offered)
		return false;
	if (node->lent == node->size) {
		node->size = node->size ? 2 * node->size : 64;
		node->slabs = realloc(node->slabs, node->size * sizeof(*node->slabs));
	}
	extent->members[extent->n++] = (struct member) { .donor = donor, .place = node->lent };
	node->slabs[node->lent++] = (struct slab) { .extent = number };
	return true;
}

void donor_release(struct cluster *c, uint32_t number, unsigned int member)
{
	struct extent *extent = &c->extents[number];
	struct member gone = extent->members[member];
	struct node *node = &c->nodes[gone.donor];
	struct extent *other;
	unsigned int i;

	node->asked -= node->slabs[gone.place].asked_s != 0;
	node->slabs[gone.place] = node->slabs[--node->lent];
	if (gone.place < node->lent) {
		other = &c->extents[node->slabs[gone.place].extent];
		for (i = 0; i < other->n; i++)
			if (other->members[i].donor == gone.donor)
				other->members[i].place = gone.place;
	}
	extent->members[member] = extent->members[--extent->n];
}

void donor_lose_all(struct cluster *c, uint32_t donor)
{
	struct node *node = &c->nodes[donor];

	while (node->lent)
		owner_lost(c, node->slabs[node->lent - 1].extent, donor);
}

/* its slabs as evict.h sees them; only those of these owners are known */
static struct evict_slab *describe(struct cluster *c, const struct node *node)
{
	struct evict_slab *slabs = calloc(node->lent, sizeof(*slabs));
	uint32_t i;

	for (i = 0; i < node->lent; i++)
		slabs[i] = (struct evict_slab) {
			.owner = c->extents[node->slabs[i].extent].client,
			.asked = node->slabs[i].asked_s,
			.overdue = node->slabs[i].asked_s && (c->now_s - node->slabs[i].asked_s) * SECOND >= LEND_DEADLINE_NS,
			.refused = node->slabs[i].refused_s > c->now_s,
		};
	return slabs;
}

/* what the owners of a sample say about all that they hold here */
static void learn(struct cluster *c, const struct node *node, struct evict_slab *slabs, unsigned int e)
{
	size_t *sample = calloc(e + EVICT_EXTRA, sizeof(*sample)), n, k;
	uint32_t *owners = calloc(e + EVICT_EXTRA, sizeof(*owners)), i;

	n = evict_sample(slabs, node->lent, e, &c->seed, sample);
	n = evict_owners(slabs, sample, n, owners);
	for (i = 0; i < node->lent; i++) {
		for (k = 0; k < n && owners[k] != slabs[i].owner; k++)
			;
		slabs[i].known = k < n;
		slabs[i].activity = c->extents[node->slabs[i].extent].activity;
	}
	free(sample);
	free(owners);
}

/* up to e of its least active slabs: how many owners agreed */
static unsigned int ask(struct cluster *c, uint32_t donor, unsigned int e, uint32_t to, unsigned int tries)
{
	struct node *node = &c->nodes[donor];
	struct evict_slab *slabs = describe(c, node);
	size_t *chosen = calloc(tries, sizeof(*chosen)), n, i;
	unsigned int agreed = 0;

	learn(c, node, slabs, e);
	n = evict_choose(slabs, node->lent, tries, chosen);
	for (i = 0; i < n && agreed < e; i++) {
		struct slab *slab = &node->slabs[chosen[i]];

		if (owner_agrees(c, slab->extent, donor, to)) {
			slab->asked_s = c->now_s;
			node->asked++;
			agreed++;
		} else if (to == NONE) {
			slab->refused_s = c->now_s + REFUSED_S;
		}
	}
	free(chosen);
	free(slabs);
	return agreed;
}

bool donor_move_one(struct cluster *c, uint32_t donor, uint32_t to)
{
	return ask(c, donor, 1, to, 1 + EVICT_EXTRA) == 1;
}

static void revoke(struct cluster *c, uint32_t donor, unsigned int e)
{
	struct node *node = &c->nodes[donor];
	struct evict_slab *slabs = describe(c, node);
	size_t *chosen = calloc(e, sizeof(*chosen)), n, i;
	uint32_t *extents = calloc(e, sizeof(*extents));

	for (i = 0; i < node->lent; i++) {		/* as their owners tell */
		slabs[i].known = true;
		slabs[i].activity = c->extents[node->slabs[i].extent].activity;
		slabs[i].kept = c->extents[node->slabs[i].extent].n < COPIES;
	}
	n = evict_revoke(slabs, node->lent, e, chosen);
	for (i = 0; i < n; i++)
		extents[i] = node->slabs[chosen[i]].extent;
	for (i = 0; i < n; i++)
		owner_lost(c, extents[i], donor);
	c->result.revoked += n;
	free(extents);
	free(chosen);
	free(slabs);
}

static void tell(struct cluster *c, struct node *node)
{
	if ((node->told_offered == node->offered && node->told_lent == node->lent - node->asked) || (node->told_s && c->now_s - node->told_s < TELL_S))
		return;
	node->told_offered = node->offered;
	node->told_lent = node->lent - node->asked;
	node->told_s = c->now_s;
	c->leader_msgs++;
}

void donor_look(struct cluster *c, uint32_t donor)
{
	struct node *node = &c->nodes[donor];
	struct lend_marks marks = { 2 * MARK, 3 * MARK, MARK, SLAB_BYTES, node->leave_s ? 0 : node->cap };
	struct lend_look look = {
		.now_ns = (3600 + c->now_s) * SECOND,
		.available = available(node),
		.lent = node->lent,
		.asked = node->asked,
	};
	struct lend_step step;
	uint32_t i;

	for (i = 0; i < node->lent && node->asked; i++)
		look.overdue += node->slabs[i].asked_s && (c->now_s - node->slabs[i].asked_s) * SECOND >= LEND_DEADLINE_NS;
	step = lend_look(&node->lend, &marks, &look);
	node->offered = step.offered;
	if (step.revoke)
		revoke(c, donor, step.revoke);
	if (step.ask && node->lent > node->asked)
		ask(c, donor, step.ask, NONE, step.ask);
	tell(c, node);
}
