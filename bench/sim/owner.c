// SPDX-License-Identifier: GPL-2.0
/* A client of the cluster: extents, repairs, moves; daemon/placement.c says where to. */
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "evict.h"

#define CANDIDATES_S	30	/* for so long what the leader said holds */
#define SHORT_S		5	/* and when it is of no use */
#define EVERY_S		4	/* an extent, about */

static uint32_t extent_new(struct cluster *c, uint32_t client)
{
	struct node *node = &c->nodes[client];
	struct extent *extent;
	uint32_t number;

	if (c->free.n) {
		number = c->free.all[--c->free.n];
	} else {
		if (c->n_extents == c->extents_size) {
			c->extents_size = c->extents_size ? 2 * c->extents_size : 1024;
			c->extents = realloc(c->extents, c->extents_size * sizeof(*c->extents));
		}
		number = c->n_extents++;
	}
	extent = &c->extents[number];
	*extent = (struct extent) { .client = client, .place = node->extents.n, .activity = 1000000 / (1 + cluster_draw(c, 1000)) };
	numbers_put(&node->extents, number);
	return number;
}

static void extent_free(struct cluster *c, uint32_t number)
{
	struct extent *extent = &c->extents[number];
	struct numbers *mine = &c->nodes[extent->client].extents;

	while (extent->n)
		donor_release(c, number, extent->n - 1);
	mine->all[extent->place] = mine->all[--mine->n];
	c->extents[mine->all[extent->place]].place = extent->place;
	extent->client = NONE;
	numbers_put(&c->free, number);
}

static void task_add(struct node *node, struct task task)
{
	if (node->n_tasks == node->tasks_size) {
		node->tasks_size = node->tasks_size ? 2 * node->tasks_size : 16;
		node->tasks = realloc(node->tasks, node->tasks_size * sizeof(*node->tasks));
	}
	node->tasks[node->n_tasks++] = task;
}

static struct placement_node *find(struct placement_node *view, size_t n, const uint32_t *ids, uint32_t donor)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (ids[i] == donor)
			return &view[i];
	return NULL;
}

/* the member that is to go: its rack is free for another */
static void leave_out(struct placement_node *one)
{
	one->taken = false;
	one->barred = true;
}

/* the candidates as placement sees them, and the donors that hold the extent; how many */
static size_t look_around(struct cluster *c, const struct node *node, const struct extent *extent, uint32_t to,
			  struct placement_node *view, uint32_t *ids)
{
	struct placement_node *one;
	size_t n = 0;
	uint32_t i;

	for (i = 0; i < node->n_candidates; i++) {
		ids[n] = node->candidates[i];
		view[n++] = cluster_view(&c->nodes[node->candidates[i]]);
	}
	if (to != NONE && !find(view, n, ids, to)) {
		ids[n] = to;
		view[n++] = cluster_view(&c->nodes[to]);
	}
	for (i = 0; i < extent->n; i++) {
		one = find(view, n, ids, extent->members[i].donor);
		if (!one) {
			ids[n] = extent->members[i].donor;
			one = &view[n++];
			*one = cluster_view(&c->nodes[extent->members[i].donor]);
		}
		one->taken = true;
	}
	return n;
}

static void candidates(struct cluster *c, uint32_t client, bool are_short)
{
	struct node *node = &c->nodes[client];

	if (node->candidates_s && c->now_s - node->candidates_s < (are_short ? SHORT_S : CANDIDATES_S))
		return;
	leader_candidates(c, client);
	node->candidates_s = c->now_s;
}

/* by what the donors themselves tell now; the leader is asked again when too few of them may take more */
static size_t look(struct cluster *c, uint32_t client, uint32_t number, uint32_t to, struct placement_node *view, uint32_t *ids)
{
	struct node *node = &c->nodes[client];
	size_t n;

	candidates(c, client, false);
	n = look_around(c, node, &c->extents[number], to, view, ids);
	if (group_bar(view, n, node->usual))
		return n;
	candidates(c, client, true);
	n = look_around(c, node, &c->extents[number], to, view, ids);
	group_bar(view, n, node->usual);
	return n;
}

static void build(struct cluster *c, uint32_t client)
{
	struct placement_node view[CANDIDATES + COPIES + 1];
	uint32_t ids[CANDIDATES + COPIES + 1];
	struct node *node = &c->nodes[client];
	uint32_t number = extent_new(c, client);
	struct extent *extent = &c->extents[number];
	int out[COPIES];
	unsigned int got, i;
	size_t n;

	n = look(c, client, number, NONE, view, ids);
	got = placement_choose(PLACEMENT_POWER_OF_TWO, view, n, COPIES, &c->seed, out);
	for (i = 0; i < got; i++)
		donor_grant(c, ids[out[i]], number);
	if (extent->n == COPIES) {
		c->result.placed++;
		return;
	}
	/* an error of `up`, or an extent that is not whole, in the daemon; here it is tried again with what the leader says then */
	extent_free(c, number);
	node->candidates_s = 0;
	c->result.unplaced++;
}

bool owner_agrees(struct cluster *c, uint32_t number, uint32_t donor, uint32_t to)
{
	struct placement_node view[CANDIDATES + COPIES + 1];
	uint32_t ids[CANDIDATES + COPIES + 1];
	struct extent *extent = &c->extents[number];
	struct plan_extent plan = { .n = extent->n };
	unsigned int i;
	size_t n;

	for (i = 0; i < extent->n; i++)
		plan.members[i] = STANDING_LIVE;
	if (!evict_agrees(&plan, COPIES, extent->moving))
		return false;
	if (to != NONE) {
		n = look_around(c, &c->nodes[extent->client], extent, to, view, ids);
		leave_out(find(view, n, ids, donor));
		if (!placement_may(view, n, (size_t)(find(view, n, ids, to) - view)))
			return false;
	}
	extent->moving = true;
	task_add(&c->nodes[extent->client], (struct task) { number, donor, to });
	return true;
}

void owner_lost(struct cluster *c, uint32_t number, uint32_t donor)
{
	struct extent *extent = &c->extents[number];
	unsigned int i;

	for (i = 0; i < extent->n && extent->members[i].donor != donor; i++)
		;
	donor_release(c, number, i);
	if (!extent->n) {
		c->result.lost++;
		extent_free(c, number);
	} else if (!extent->waits) {
		extent->waits = true;
		task_add(&c->nodes[extent->client], (struct task) { number, NONE, NONE });
	}
}

void owner_down(struct cluster *c, uint32_t client)
{
	struct node *node = &c->nodes[client];

	while (node->extents.n)
		extent_free(c, node->extents.all[node->extents.n - 1]);
	node->n_tasks = 0;
}

/* another donor for the extent instead of task->from; false: there is none now */
static bool replace(struct cluster *c, uint32_t client, const struct task *task)
{
	struct placement_node view[CANDIDATES + COPIES + 1], *one;
	uint32_t ids[CANDIDATES + COPIES + 1];
	struct extent *extent = &c->extents[task->extent];
	int chosen = -1;
	unsigned int i;
	size_t n;

	n = look(c, client, task->extent, task->to, view, ids);
	one = task->from == NONE ? NULL : find(view, n, ids, task->from);
	if (one)
		leave_out(one);
	if (task->to != NONE)
		chosen = (int)(find(view, n, ids, task->to) - view);
	if (chosen < 0 || !placement_may(view, n, (size_t)chosen))
		chosen = placement_pick(view, n, &c->seed);
	if (chosen < 0)
		return false;
	if (one)	/* the copy is made first, in the daemon; a set of four is not what this is about */
		for (i = 0; i < extent->n; i++)
			if (extent->members[i].donor == task->from)
				donor_release(c, task->extent, i);
	return donor_grant(c, ids[chosen], task->extent);
}

static bool holds(const struct extent *extent, uint32_t donor)
{
	unsigned int i;

	for (i = 0; i < extent->n; i++)
		if (extent->members[i].donor == donor)
			return true;
	return false;
}

/* one repair or, if there is none, one move, which takes a second */
static void work(struct cluster *c, uint32_t client)
{
	struct node *node = &c->nodes[client];
	struct extent *extent;
	struct task task;
	uint32_t i;

	for (i = 0; i < node->n_tasks && node->tasks[i].from != NONE; i++)
		;
	if (i == node->n_tasks)
		i = 0;
	task = node->tasks[i];
	memmove(&node->tasks[i], &node->tasks[i + 1], (--node->n_tasks - i) * sizeof(task));
	extent = &c->extents[task.extent];
	if (extent->client != client)
		return;		/* it is gone, and perhaps another's */
	if (task.from == NONE) {
		extent->waits = false;
		if (extent->n >= COPIES)
			return;
		if (replace(c, client, &task))
			c->result.repaired++;
		if (extent->n < COPIES) {
			extent->waits = true;
			task_add(node, task);
			node->candidates_s = 0;
		}
		return;
	}
	extent->moving = false;
	if (!holds(extent, task.from))
		return;		/* lost or revoked meanwhile */
	if (extent->n == COPIES && replace(c, client, &task)) {
		if (task.to == NONE)
			c->result.evicted++;
		else
			c->result.balanced++;
	} else {
		extent->moving = true;
		task_add(node, task);
		node->candidates_s = 0;
	}
}

void owner_step(struct cluster *c, uint32_t client)
{
	struct node *node = &c->nodes[client];

	if (node->n_tasks)
		work(c, client);
	if (node->down_s > c->now_s || node->next_s > c->now_s || node->extents.n >= node->want)
		return;
	node->next_s = c->now_s + 1 + cluster_draw(c, 2 * EVERY_S - 1);
	build(c, client);
}
