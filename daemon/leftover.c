// SPDX-License-Identifier: GPL-2.0
/*
 * Slabs that a donor holds for nothing: granted for a copy that came to nothing, or found. Each peer that goes live, also by
 * adoption or a rejoin, and each whose control connection was lost, is asked for the list of what it has in the session, as a daemon may
 * have ended, or the connection gone, before a slab was noted, or given back; what is no member goes back. Asked while no grant is on its
 * way: all that is listed is either used already or left over.
 */
#include <endian.h>

#include "device.h"
#include "farswapd.h"

static struct device_repair *const repair = &device.repair;

void leftover_keep(const struct repair_slab *slab)
{
	unsigned int i;

	/* there is a place: no copy is begun without one */
	for (i = 0; i < REPAIR_ORPHANS_MAX; i++) {
		if (repair->orphans[i].peer)
			continue;
		repair->orphans[i] = *slab;
		return;
	}
}

unsigned int leftover_at(const struct device_peer *peer)
{
	unsigned int i, n = 0;

	for (i = 0; i < REPAIR_ORPHANS_MAX; i++)
		n += repair->orphans[i].peer && peer_live(repair->orphans[i].peer) == peer;
	return n;
}

void leftover_renumber(const struct device_peer *former)
{
	const struct device_peer *peer, *last = NULL;
	unsigned int i;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer != former && peer->state != PEER_FREE && peer_same_session(peer, former) && (!last || peer->number > last->number))
			last = peer;
	for (i = 0; last && i < REPAIR_ORPHANS_MAX; i++)
		if (repair->orphans[i].peer == former->number)
			repair->orphans[i].peer = last->number;
}

/* donors number their slabs themselves: two may have the same number. A peer that is not known may be any. */
static bool is_same(uint32_t peer, uint64_t slab, uint32_t other_peer, uint64_t other_slab)
{
	const struct device_peer *a, *b;

	if (slab != other_slab)
		return false;
	a = peer_numbered(peer);
	b = peer_numbered(other_peer);
	return !a || !b || a == b || peer_same_session(a, b);
}

static bool is_member(uint32_t peer, uint64_t slab)
{
	size_t i, k;

	for (i = 0; i < device.table.n; i++)
		for (k = 0; k < device.table.extents[i].n; k++)
			if (is_same(peer, slab, device.table.extents[i].members[k].peer, device.table.extents[i].members[k].slab))
				return true;
	for (i = 0; i < device.build.n; i++)
		if (is_same(peer, slab, device.build.members[i].peer, device.build.members[i].slab))
			return true;
	return false;
}

/* a slab at that live peer goes back, unless it is in use; false: too many wait for that already */
static bool give_back(const struct device_peer *peer, uint64_t slab)
{
	unsigned int i;

	for (i = 0; i < REPAIR_ORPHANS_MAX; i++)
		if (repair->orphans[i].peer && is_same(peer->number, slab, repair->orphans[i].peer, repair->orphans[i].slab))
			return true;
	if (is_member(peer->number, slab))
		return true;
	if (!repair_is_idle() || leftover_waiting() >= REPAIR_ORPHANS_MAX - 2)
		return false;		/* places are left for the next copy, and for what it takes the place of */
	leftover_keep(&(struct repair_slab) { .peer = peer->number, .slab = slab });
	return true;
}

static void on_orphan_released(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_slab *orphan = arg;
	unsigned int code = 0;

	(void)link;
	device.in_air--;
	orphan->asked = false;
	if (answer && le16toh(answer->head.type) == FARSWAP_MSG_REJECT)
		code = le16toh(answer->reject.code);
	if (answer && (!code || code == FARSWAP_REJECT_NO_SLAB || code == FARSWAP_REJECT_NO_SESSION))
		orphan->peer = 0;
	else
		orphan->retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
	device_kick();
}

void leftover_make_release(union farswap_msg *msg, const struct device_peer *peer, uint64_t slab)
{
	farswap_msg_make(msg, FARSWAP_MSG_RELEASE, 0);
	msg->slab.session = htole64(peer->session);
	msg->slab.slab = htole64(slab);
}

static void release_orphan(struct repair_slab *orphan)
{
	struct device_peer *peer = peer_live(orphan->peer);
	union farswap_msg msg;

	if (orphan->asked)
		return;		/* its answer names this place */
	/* with the session of a lost peer all its slabs end */
	if (is_member(orphan->peer, orphan->slab) || peer_standing(orphan->peer) == STANDING_LOST || (peer && peer->closed)) {
		orphan->peer = 0;
		return;
	}
	/* an extent in the making may be granted the same slab once more */
	if (!peer || build_active() || farswap_now_ns() < orphan->retry_ns)
		return;
	leftover_make_release(&msg, peer, orphan->slab);
	if (!link_request(peer->link, &msg, on_orphan_released, orphan))
		return;
	orphan->asked = true;
	device.in_air++;
}

unsigned int leftover_waiting(void)
{
	unsigned int i, left = 0;

	for (i = 0; i < REPAIR_ORPHANS_MAX; i++)
		left += repair->orphans[i].peer != 0;
	return left;
}

unsigned int leftover_release(void)
{
	unsigned int i;

	for (i = 0; i < REPAIR_ORPHANS_MAX; i++)
		if (repair->orphans[i].peer)
			release_orphan(&repair->orphans[i]);
	return leftover_waiting();
}

/* false: not now; the rest is asked for again */
static bool take(struct device_peer *peer, const struct farswap_msg_listed *listed)
{
	uint32_t i, n = le32toh(listed->n);

	for (i = 0; i < n; i++) {
		if (device.stale || !give_back(peer, le64toh(listed->slabs[i])))
			return false;
		peer->listed = le64toh(listed->slabs[i]);
	}
	return true;
}

static void on_listed(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;

	(void)link;
	device.in_air--;
	peer->in_air--;
	peer->listing = false;
	if (!answer)
		return;
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT || le64toh(answer->listed.session) != peer->session)
		peer->swept = true;	/* the session is gone, and all its slabs */
	else if (take(peer, &answer->listed) && le32toh(answer->listed.n) < FARSWAP_LIST_SLABS)
		peer->swept = true;
	device.unsettled = true;
}

static void ask(struct device_peer *peer)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_LIST, 0);
	msg.list.session = htole64(peer->session);
	msg.list.after = htole64(peer->listed);
	peer->listing = link_request(peer->link, &msg, on_listed, peer);
	device.in_air += peer->listing;
	peer->in_air += peer->listing;
}

void leftover_advance(void)
{
	struct device_peer *peer;

	if (device.stale || build_active() || !repair_is_idle())
		return;
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state == PEER_LIVE && peer_is_well(peer) && !peer->swept && !peer->listing)
			ask(peer);
}
