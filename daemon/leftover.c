// SPDX-License-Identifier: GPL-2.0
/*
 * Slabs that a donor has in the session and that nobody here knows of: granted to a daemon that ended before it noted them, or
 * that was to give them back. Each peer that goes live, also by adoption or a rejoin, is asked once for its list; what is no
 * member goes back. Asked while no grant is on its way: all that is listed is either used already or left over.
 */
#include <endian.h>

#include "device.h"

/* false: not now; the rest is asked for again */
static bool take(struct device_peer *peer, const struct farswap_msg_listed *listed)
{
	uint32_t i, n = le32toh(listed->n);

	for (i = 0; i < n; i++) {
		if (device.stale || !repair_give_back(peer, le64toh(listed->slabs[i])))
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

	if (device.stale || build_active() || device.repair.step != REPAIR_IDLE || device.repair.waiting)
		return;
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state == PEER_LIVE && peer_is_well(peer) && !peer->swept && !peer->listing)
			ask(peer);
}
