// SPDX-License-Identifier: GPL-2.0
/*
 * Slabs whose donors want them back because their memory is short. While a donor says so, it is told each second how active our slabs there
 * are and which of them cannot be spared now; its answer names those that it asks for. These are moved like any others (repair.h); one
 * that cannot wait leaves its set before there is another copy.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "evict.h"
#include "farswapd.h"

struct told {
	uint64_t slab, activity;
	uint32_t flags;
};

const struct device_asked *leave_asked(const struct device_peer *peer, uint64_t slab)
{
	unsigned int i;

	for (i = 0; i < peer->n_asked; i++)
		if (peer->asked_slabs[i].slab == slab)
			return &peer->asked_slabs[i];
	return NULL;
}

/* is another copy of the extent on its way? */
static bool moves(const struct device_extent *extent, unsigned int but)
{
	unsigned int i;

	for (i = 0; i < extent->n; i++)
		if (i != but && repair_leaves(extent, i))
			return true;
	return false;
}

/* a live member that has missed frames is as good as none here */
static uint32_t flags_of(const struct device_extent *extent, unsigned int member)
{
	struct plan_extent view = { .sealed = extent->sealed, .n = extent->n };
	unsigned int i;

	for (i = 0; i < extent->n; i++)
		view.members[i] = peer_standing(extent->members[i].peer) == STANDING_LIVE && !extent->members[i].missed ?
				  STANDING_LIVE : STANDING_SUSPECT;
	return (evict_agrees(&view, device.copies, moves(extent, member)) ? 0 : FARSWAP_SLAB_STAYS) |
	       (repair_spares(extent, member) ? 0 : FARSWAP_SLAB_KEPT);
}

static int by_slab(const void *a, const void *b)
{
	uint64_t x = ((const struct told *)a)->slab, y = ((const struct told *)b)->slab;

	return x < y ? -1 : x > y;
}

/* those of the peer with numbers above told_to, the lowest first; their number */
static size_t gather(const struct device_peer *peer, struct told *told, size_t room)
{
	size_t i, n = 0;
	unsigned int m;

	for (i = 0; i < device.table.n; i++) {
		const struct device_extent *extent = &device.table.extents[i];

		for (m = 0; m < extent->n; m++) {
			if (extent->members[m].peer != peer->number || extent->members[m].slab <= peer->told_to)
				continue;
			if (n == room) {	/* the highest so far makes room */
				qsort(told, n, sizeof(*told), by_slab);
				if (told[n - 1].slab < extent->members[m].slab)
					continue;
				n--;
			}
			told[n++] = (struct told) { extent->members[m].slab, extent->activity, flags_of(extent, m) };
		}
	}
	qsort(told, n, sizeof(*told), by_slab);
	return n;
}

static void tell(struct device_peer *peer);

/* the answer is for the slabs above told_from, up to told_to */
static void take(struct device_peer *peer, const struct farswap_msg_listed *asked)
{
	unsigned int i, n = 0;

	for (i = 0; i < peer->n_asked; i++)
		if (peer->asked_slabs[i].slab <= peer->told_from || peer->asked_slabs[i].slab > peer->told_to)
			peer->asked_slabs[n++] = peer->asked_slabs[i];
	for (i = 0; i < le32toh(asked->n) && n < DEVICE_ASKED_MAX; i++)
		if (le64toh(asked->slabs[i]) > peer->told_from && le64toh(asked->slabs[i]) <= peer->told_to)
			peer->asked_slabs[n++] = (struct device_asked) { le64toh(asked->slabs[i]), le32toh(asked->urgent) >> i & 1 };
	peer->n_asked = n;
}

static void on_asked(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;

	(void)link;
	device.in_air--;
	peer->in_air--;
	peer->telling = false;
	if (!answer || le16toh(answer->head.type) != FARSWAP_MSG_ASKED || peer->state != PEER_LIVE)
		return;
	take(peer, &answer->listed);
	device.unsettled |= peer->n_asked != 0;
	device_kick();
	if (!peer->told_all)
		tell(peer);
}

/* a piece more */
static void tell(struct device_peer *peer)
{
	struct told told[FARSWAP_LIST_SLABS];
	union farswap_msg msg;
	size_t i, n = gather(peer, told, FARSWAP_LIST_SLABS);

	if (!n) {	/* nothing is left above told_to */
		peer->told_from = peer->told_to;
		peer->told_to = UINT64_MAX;
		take(peer, &(struct farswap_msg_listed) { .n = 0 });
		return;
	}
	farswap_msg_make(&msg, FARSWAP_MSG_ACTIVITY, 0);
	msg.activity.session = htole64(peer->session);
	msg.activity.n = htole32((uint32_t)n);
	for (i = 0; i < n; i++) {
		msg.activity.slabs[i].slab = htole64(told[i].slab);
		msg.activity.slabs[i].activity = htole64(told[i].activity);
		msg.activity.slabs[i].flags = htole32(told[i].flags);
	}
	peer->told_from = peer->told_to;
	peer->told_all = n < FARSWAP_LIST_SLABS;
	peer->told_to = peer->told_all ? UINT64_MAX : told[n - 1].slab;
	peer->telling = link_request(peer->link, &msg, on_asked, peer);
	device.in_air += peer->telling;
	peer->in_air += peer->telling;
}

void leave_look(void)
{
	struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++) {
		if (peer->state != PEER_LIVE || !peer->link->is_short) {
			peer->n_asked = 0;
			continue;
		}
		if (peer->telling || !peer_is_well(peer))
			continue;
		peer->told_to = 0;
		tell(peer);
	}
}
