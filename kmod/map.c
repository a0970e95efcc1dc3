// SPDX-License-Identifier: GPL-2.0
#include "map.h"

static void cluster_free(struct fsw_cluster *c)
{
	kvfree(c->entries);
	kfree(c);
}

static struct fsw_cluster *cluster_new(void)
{
	struct fsw_cluster *c = kzalloc(sizeof(*c), GFP_KERNEL);

	if (!c)
		return NULL;
	c->entries = kvcalloc(FSW_CLUSTER, sizeof(*c->entries), GFP_KERNEL);
	if (!c->entries) {
		kfree(c);
		return NULL;
	}
	seqlock_init(&c->lock);
	c->home = FSW_NO_HOME;
	return c;
}

static u64 clusters(const struct fsw_map *map)
{
	return DIV_ROUND_UP_ULL(map->slots, FSW_CLUSTER);
}

int fsw_map_init(struct fsw_map *map, u64 slots)
{
	map->slots = slots;
	spin_lock_init(&map->stock_lock);
	INIT_LIST_HEAD(&map->stock);
	map->stocked = 0;
	map->made = 0;
	map->clusters = kvcalloc(clusters(map), sizeof(*map->clusters), GFP_KERNEL);
	return map->clusters ? fsw_map_stock(map) : -ENOMEM;
}

void fsw_map_exit(struct fsw_map *map)
{
	struct fsw_cluster *c, *next;
	u64 i;

	list_for_each_entry_safe(c, next, &map->stock, link)
		cluster_free(c);
	for (i = 0; map->clusters && i < clusters(map); i++)
		if (map->clusters[i])
			cluster_free(map->clusters[i]);
	kvfree(map->clusters);
}

bool fsw_map_low(struct fsw_map *map)
{
	return READ_ONCE(map->stocked) < FSW_STOCK / 2 && READ_ONCE(map->made) < clusters(map);
}

int fsw_map_stock(struct fsw_map *map)
{
	unsigned long flags;

	while (READ_ONCE(map->stocked) < FSW_STOCK && map->made < clusters(map)) {
		struct fsw_cluster *c = cluster_new();

		if (!c)
			return -ENOMEM;
		spin_lock_irqsave(&map->stock_lock, flags);
		list_add_tail(&c->link, &map->stock);
		WRITE_ONCE(map->stocked, map->stocked + 1);
		spin_unlock_irqrestore(&map->stock_lock, flags);
		WRITE_ONCE(map->made, map->made + 1);
	}
	return 0;
}

u64 fsw_map_bytes(const struct fsw_map *map)
{
	return clusters(map) * sizeof(*map->clusters) +
	       READ_ONCE(map->made) * (sizeof(struct fsw_cluster) + FSW_CLUSTER * sizeof(struct fsw_entry));
}

struct fsw_cluster *fsw_map_cluster(struct fsw_map *map, u64 slot)
{
	return slot < map->slots ? READ_ONCE(map->clusters[slot / FSW_CLUSTER]) : NULL;
}

static struct fsw_cluster *stock_take(struct fsw_map *map)
{
	struct fsw_cluster *c;
	unsigned long flags;

	spin_lock_irqsave(&map->stock_lock, flags);
	c = list_first_entry_or_null(&map->stock, struct fsw_cluster, link);
	if (c) {
		list_del_init(&c->link);
		WRITE_ONCE(map->stocked, map->stocked - 1);
	}
	spin_unlock_irqrestore(&map->stock_lock, flags);
	return c;
}

static void stock_return(struct fsw_map *map, struct fsw_cluster *c)
{
	unsigned long flags;

	spin_lock_irqsave(&map->stock_lock, flags);
	list_add(&c->link, &map->stock);
	WRITE_ONCE(map->stocked, map->stocked + 1);
	spin_unlock_irqrestore(&map->stock_lock, flags);
}

struct fsw_cluster *fsw_map_populate(struct fsw_map *map, u64 slot)
{
	struct fsw_cluster *c = fsw_map_cluster(map, slot), *won;

	if (c)
		return c;
	c = stock_take(map);
	if (!c)
		return NULL;
	fsw_stall();
	won = cmpxchg(&map->clusters[slot / FSW_CLUSTER], NULL, c);	/* publishes the empty table whole */
	if (won) {
		stock_return(map, c);
		return won;
	}
	return c;
}

struct fsw_entry fsw_map_get(struct fsw_map *map, u64 slot)
{
	struct fsw_cluster *c = fsw_map_cluster(map, slot);
	struct fsw_entry e = { 0 };
	unsigned int begin;

	if (!c)
		return e;
	do {
		begin = read_seqbegin(&c->lock);
		e = c->entries[slot % FSW_CLUSTER];
	} while (read_seqretry(&c->lock, begin));
	return e;
}

struct fsw_entry fsw_map_set(struct fsw_map *map, u64 slot, struct fsw_entry e)
{
	struct fsw_cluster *c = fsw_map_cluster(map, slot);
	struct fsw_entry old = { 0 };
	unsigned long flags;

	if (!c)
		return old;
	fsw_stall();
	write_seqlock_irqsave(&c->lock, flags);
	old = c->entries[slot % FSW_CLUSTER];
	c->entries[slot % FSW_CLUSTER] = e;
	write_sequnlock_irqrestore(&c->lock, flags);
	return old;
}

bool fsw_map_cas(struct fsw_map *map, u64 slot, struct fsw_entry old, struct fsw_entry e)
{
	struct fsw_cluster *c = fsw_map_cluster(map, slot);
	unsigned long flags;
	bool same;

	if (!c)
		return false;
	fsw_stall();
	write_seqlock_irqsave(&c->lock, flags);
	same = fsw_entry_same(c->entries[slot % FSW_CLUSTER], old);
	if (same)
		c->entries[slot % FSW_CLUSTER] = e;
	write_sequnlock_irqrestore(&c->lock, flags);
	return same;
}
