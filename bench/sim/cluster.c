// SPDX-License-Identifier: GPL-2.0
/* An hour of a cluster: clients fill it, then nodes fail, leave, join and get short of memory, then it is left alone. */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#include "draw.h"

#define FILL_S		900
#define CHURN_S		1800
#define QUIET_S		900
#define CLIENTS		5	/* one node of so many is a client, the others lend */
#define SMALL		64	/* slabs that a donor lends at most; every other one four times as many */
#define WANT		128	/* extents of a client, from half to one and a half of that: 60% of what is offered */
#define DONOR_LOOK_S	5
#define BACK_S		300	/* a node that failed is away for so long */
#define DOWN_S		300	/* a client that went down is */
#define HOG_S		300

/* what happens to how many of a thousand nodes in an hour */
#define FAIL		10
#define LEAVE		5	/* and as many join */
#define HOG		20
#define DOWN		20

uint32_t cluster_draw(struct cluster *c, uint32_t below)
{
	return (uint32_t)(farswap_draw(&c->seed) % below);
}

void numbers_put(struct numbers *numbers, uint32_t number)
{
	if (numbers->n == numbers->size) {
		numbers->size = numbers->size ? 2 * numbers->size : 64;
		numbers->all = realloc(numbers->all, numbers->size * sizeof(number));
	}
	numbers->all[numbers->n++] = number;
}

struct placement_node cluster_view(const struct node *node)
{
	return (struct placement_node) { .rack = node->rack, .offered = node->offered, .lent = node->lent };
}

static void begin_life(struct cluster *c, uint32_t number)
{
	struct node *node = &c->nodes[number];

	node->cap = number % 2 ? SMALL : 4 * SMALL;
	node->local = 0;
	node->leave_s = node->hog_s = node->back_s = node->down_s = 0;
	node->lend = (struct lend) { 0 };
	node->n_candidates = node->candidates_s = 0;
	node->told_offered = node->told_lent = node->told_s = 0;
	node->want = WANT / 2 + cluster_draw(c, WANT + 1);
}

static void begin(struct cluster *c, uint32_t nodes, uint64_t seed)
{
	uint32_t i, size = 0;

	*c = (struct cluster) { .n_nodes = nodes, .seed = seed * 1000003, .result.group_least = nodes };
	c->nodes = calloc(nodes, sizeof(*c->nodes));
	c->groups = calloc(nodes / GROUP_MIN + 1, sizeof(*c->groups));
	for (i = 0; i < nodes; i++) {
		struct leader *leader;

		if (!size) {
			size = GROUP_MIN + cluster_draw(c, GROUP_MAX - GROUP_MIN + 1);
			if (nodes - i < size + GROUP_MIN)	/* no rest that is too small for a group */
				size = nodes - i <= GROUP_MAX ? nodes - i : (nodes - i) / 2;
			c->n_groups++;
		}
		size--;
		leader = &c->groups[c->n_groups - 1];
		c->nodes[i].role = cluster_draw(c, CLIENTS) ? NODE_DONOR : NODE_CLIENT;
		c->nodes[i].group = c->n_groups - 1;
		/* a group has a node in each of some racks, and so have its neighbours */
		snprintf(c->nodes[i].rack, sizeof(c->nodes[i].rack), "r%u.%u", c->n_groups / GROUP_MAX, leader->n);
		leader->members[leader->n++] = i;
		begin_life(c, i);
	}
}

static void end(struct cluster *c)
{
	uint32_t i;

	for (i = 0; i < c->n_nodes; i++) {
		free(c->nodes[i].slabs);
		free(c->nodes[i].extents.all);
		free(c->nodes[i].tasks);
	}
	free(c->nodes);
	free(c->groups);
	free(c->extents);
	free(c->free.all);
}

/* --- what happens to nodes --- */

static void go_away(struct cluster *c, uint32_t number, uint32_t for_s)
{
	struct node *node = &c->nodes[number];

	donor_lose_all(c, number);
	node->offered = node->told_offered = 0;
	node->back_s = c->now_s + for_s;
}

static bool is_there(const struct node *node)
{
	return !node->back_s && !node->leave_s;
}

/* so many of a thousand in an hour: this second's number */
static uint32_t number_of(struct cluster *c, uint32_t per_mille)
{
	uint64_t scaled = (uint64_t)c->n_nodes * per_mille;	/* over 3,600,000 */

	return (uint32_t)(scaled / 3600000) + (cluster_draw(c, 3600000) < scaled % 3600000);
}

static void hog(struct cluster *c, struct node *node)
{
	/* what is left is below the low mark, for one in four below the hard one */
	uint64_t left = cluster_draw(c, 4) ? MARK * 6 / 5 : MARK * 4 / 5;

	node->local = donor_memory(node) - node->lent * SLAB_BYTES - left;
	node->hog_s = c->now_s + HOG_S;
}

static void happen(struct cluster *c, uint32_t per_mille, void (*what)(struct cluster *c, uint32_t number))
{
	uint32_t n;

	for (n = number_of(c, per_mille); n; n--)
		what(c, cluster_draw(c, c->n_nodes));
}

static void fails(struct cluster *c, uint32_t number)
{
	if (c->nodes[number].role == NODE_DONOR && is_there(&c->nodes[number]))
		go_away(c, number, BACK_S);
}

static void leaves(struct cluster *c, uint32_t number)
{
	if (c->nodes[number].role == NODE_DONOR && is_there(&c->nodes[number]))
		c->nodes[number].leave_s = c->now_s;
}

static void hogs(struct cluster *c, uint32_t number)
{
	if (c->nodes[number].role == NODE_DONOR && is_there(&c->nodes[number]) && !c->nodes[number].hog_s)
		hog(c, &c->nodes[number]);
}

static void goes_down(struct cluster *c, uint32_t number)
{
	if (c->nodes[number].role != NODE_CLIENT)
		return;
	owner_down(c, number);
	c->nodes[number].down_s = c->now_s + DOWN_S;
}

static void node_step(struct cluster *c, uint32_t number)
{
	struct node *node = &c->nodes[number];

	if (node->back_s && node->back_s <= c->now_s)
		begin_life(c, number);
	if (node->role == NODE_CLIENT) {
		owner_step(c, number);
		return;
	}
	if (node->back_s)
		return;
	if (node->hog_s && node->hog_s <= c->now_s)
		node->local = node->hog_s = 0;
	if (node->leave_s && !node->lent) {	/* another comes instead of it, somewhere */
		leader_leave(c, number);
		leader_join(c, number);
		go_away(c, number, 1);
		return;
	}
	if ((c->now_s + number) % DONOR_LOOK_S == 0 || node->hog_s || node->leave_s)
		donor_look(c, number);
}

/* --- what came of it --- */

static double max_over_mean(const struct cluster *c, double *mean, double *spread)
{
	uint64_t offered = 0, lent = 0;
	double most = 0, least = 1;
	uint32_t i;

	for (i = 0; i < c->n_nodes; i++) {
		const struct node *node = &c->nodes[i];
		double use;

		/* one whose programs need its memory offers no more than it has lent already */
		if (node->role != NODE_DONOR || !node->offered || node->hog_s)
			continue;
		use = (double)node->lent / node->offered;
		most = use > most ? use : most;
		least = use < least ? use : least;
		offered += node->offered;
		lent += node->lent;
	}
	*mean = (double)lent / (double)offered;
	*spread = (most - least) / *mean;
	return most / *mean;
}

static void look_at_sets(struct cluster *c)
{
	uint32_t i, k, m;

	for (i = 0; i < c->n_extents; i++) {
		const struct extent *extent = &c->extents[i];

		if (extent->client == NONE)
			continue;
		c->result.degraded += extent->n < COPIES;
		for (k = 0; k < extent->n; k++)
			for (m = 0; m < k; m++) {
				const struct member *a = &extent->members[k], *b = &extent->members[m];

				c->result.same_host += a->donor == b->donor;
				c->result.same_rack += !strcmp(c->nodes[a->donor].rack, c->nodes[b->donor].rack);
			}
	}
}

static void look_at_peers(struct cluster *c)
{
	uint32_t *seen = calloc(c->n_nodes, sizeof(*seen)), i, k, m, clients = 0;
	uint64_t all = 0;

	for (i = 0; i < c->n_nodes; i++) {
		uint32_t n = 0;

		for (k = 0; k < c->nodes[i].extents.n; k++) {
			const struct extent *extent = &c->extents[c->nodes[i].extents.all[k]];

			for (m = 0; m < extent->n; m++) {
				n += seen[extent->members[m].donor] != i + 1;
				seen[extent->members[m].donor] = i + 1;
			}
		}
		clients += n != 0;
		all += n;
		c->result.peers_most = n > c->result.peers_most ? n : c->result.peers_most;
	}
	c->result.peers_mean = (double)all / clients;
	free(seen);
}

static void look_at_groups(struct cluster *c)
{
	uint32_t i;

	for (i = 0; i < c->n_groups; i++) {
		c->result.group_least = c->groups[i].n < c->result.group_least ? c->groups[i].n : c->result.group_least;
		c->result.group_most = c->groups[i].n > c->result.group_most ? c->groups[i].n : c->result.group_most;
	}
}

static void second(struct cluster *c)
{
	uint32_t i;

	if (c->now_s >= FILL_S && c->now_s < FILL_S + CHURN_S) {
		happen(c, FAIL, fails);
		happen(c, LEAVE, leaves);
		happen(c, HOG, hogs);
		happen(c, DOWN, goes_down);
	}
	for (i = 0; i < c->n_nodes; i++)
		node_step(c, i);
	for (i = 0; i < c->n_groups; i++)
		leader_step(c, i);
}

struct sim_cluster cluster_run(unsigned int nodes, uint64_t seed, bool apart)
{
	const uint32_t until = FILL_S + CHURN_S + QUIET_S;
	struct sim_cluster *r;
	struct cluster c;
	double now, mean, spread;

	begin(&c, nodes, seed);
	c.apart = apart;
	r = &c.result;
	for (c.now_s = 1; c.now_s <= until; c.now_s++) {
		second(&c);
		if (c.now_s == FILL_S)
			r->filled = max_over_mean(&c, &mean, &spread);
		if (c.now_s > FILL_S && c.now_s <= FILL_S + CHURN_S && c.now_s % 60 == 0) {
			now = max_over_mean(&c, &mean, &spread);
			r->churned_mean += now / (CHURN_S / 60);
			r->churned_worst = now > r->churned_worst ? now : r->churned_worst;
			look_at_groups(&c);
			/* sets are degraded while they are repaired: these are counted at the end */
			look_at_sets(&c);
			r->degraded = 0;
		}
	}
	r->settled = max_over_mean(&c, &r->use, &r->spread);
	look_at_sets(&c);
	look_at_peers(&c);
	look_at_groups(&c);
	r->leader_msgs = (double)c.leader_msgs / nodes / until;
	end(&c);
	return *r;
}
