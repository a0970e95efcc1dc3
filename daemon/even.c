// SPDX-License-Identifier: GPL-2.0
/*
 * Rebalancing without pressure: now and then, while all else is well, one copy of this client's moves from the fullest of its donors to the emptiest (balance.h).
 * The others' clients look at the same figures: which of them moves a copy is drawn in proportion to what they hold at the fullest.
 */
#include "device.h"
#include "draw.h"
#include "farswapd.h"
#include "quota.h"

static size_t look_at_donors(struct balance_donor *donors, struct device_peer **map)
{
	uint32_t quota = farswap_conf_quota(&farswapd.conf, farswapd.self->name).slabs;
	struct device_peer *peer;
	size_t n = 0;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++) {
		if (peer->state != PEER_LIVE || !peer_is_well(peer) || peer->link->drained || peer->link->is_short)
			continue;
		donors[n] = (struct balance_donor) {
			.offered = peer->link->lent + peer->link->room,
			.lent = peer->link->lent,
			.gives = peer->slabs,
			.takes = peer->full_until_ns <= farswap_now_ns() && quota_allows(quota, peer->slabs),
		};
		map[n++] = peer;
	}
	return n;
}

/* the extent has a copy at the one, and none on the other's node */
static bool can_move(const struct device_extent *extent, const struct device_peer *from, const struct device_peer *to)
{
	bool is_there = false;
	unsigned int i;

	for (i = 0; i < extent->n; i++) {
		const struct device_peer *member = peer_numbered(extent->members[i].peer);

		if (!member || member->link == to->link)
			return false;
		is_there |= member == from;
	}
	return is_there;
}

/* any of those that can, each as likely; NULL: none */
static const struct device_extent *draw_extent(const struct device_peer *from, const struct device_peer *to)
{
	const struct device_extent *extent, *chosen = NULL;
	unsigned int n = 0;

	for (extent = device.table.extents; extent < device.table.extents + device.table.n; extent++)
		if (can_move(extent, from, to) && farswap_draw(&device.seed) % ++n == 0)
			chosen = extent;
	return chosen;
}

void even_look(void)
{
	struct balance_donor donors[DEVICE_PEERS_MAX];
	struct device_peer *map[DEVICE_PEERS_MAX];
	const struct device_extent *extent;
	struct balance_move move;
	size_t n;

	if (peer_count(PEER_SUSPECT))
		device.even.balance = (struct balance) { .next_ns = device.even.balance.next_ns };	/* nothing is usual now */
	if (!farswapd.conf.rebalance || device.stale || device.unsettled || !repair_is_idle() || build_active())
		return;
	n = look_at_donors(donors, map);
	if (!balance_next(&device.even.balance, donors, n, farswap_now_ns(), &move))
		return;
	if (farswap_draw(&device.seed) % donors[move.from].lent >= map[move.from]->slabs)
		return;
	extent = draw_extent(map[move.from], map[move.to]);
	if (!extent)
		return;
	device.even.extent = extent->number;
	device.even.from = map[move.from]->number;
	device.even.to = map[move.to]->number;
	device.even.begun_ns = farswap_now_ns();
	device.unsettled = true;
	device_kick();
}

bool even_moves(uint64_t extent, uint32_t peer)
{
	return device.even.extent == extent && device.even.from == peer;
}

bool even_over(uint64_t extent)
{
	uint64_t now = farswap_now_ns();

	if (!extent || device.even.extent != extent)
		return false;
	device.even.extent = 0;
	/* as long a pause as it took: what others move meanwhile is told by then */
	device.even.balance.next_ns = 2 * now - device.even.begun_ns;
	if (device.even.balance.next_ns < now + BALANCE_EVERY_NS)
		device.even.balance.next_ns = now + BALANCE_EVERY_NS;
	return true;
}
