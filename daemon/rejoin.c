// SPDX-License-Identifier: GPL-2.0
/*
 * Peers that the kernel lost. A SUSPECT's daemon may still have the session and all that was written: once it answers, the
 * session goes on as a new peer under a new number (a new record: REJOINING to LIVE), and the old number is FORMER until no
 * extent names it. Given up (LOST) is a suspect whose daemon has started anew or forgot the session, or that was away for
 * replace_after= while others have its copies. Until these are replaced it is still a member, and comes back as a suspect does.
 */
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"
#include "stall.h"

#define REJOIN_RETRY_NS	2000000000ull
#define DELETE_RETRY_NS	5000000000ull
#define AGAIN_NS	60000000000ull	/* one whose daemon answers and whose queue pairs do not come about is left to be replaced */

#define for_each_peer(peer) for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)

static void suspect(struct device_peer *peer)
{
	farswap_stall("peer suspect");
	peer->state = PEER_SUSPECT;
	peer->suspect_ns = farswap_now_ns();
	peer->rejoin_ns = 0;
	device.unsettled = true;
	device.stale = true;	/* what it missed is known by now */
	device_kick();
}

void rejoin_lost(struct device_peer *peer, const char *why)
{
	snprintf(peer->why, sizeof(peer->why), "%s", why[0] ? why : "its queue pairs failed");
	farswap_log("node %s: suspect as peer %u of %s: %s", peer->link->node->name, peer->number, device.name, peer->why);
	suspect(peer);
}

void rejoin_supersede(const struct device_peer *peer)
{
	struct device_peer *p;

	for_each_peer(p) {
		if ((p->state != PEER_SUSPECT && p->state != PEER_LOST) || !p->in_kernel || p->number >= peer->number ||
		    !peer_same_session(p, peer))
			continue;
		p->state = PEER_FORMER;
		device.unsettled = true;
	}
}

/* the record under which the session is to go on */
static const struct device_peer *successor(const struct device_peer *peer)
{
	const struct device_peer *p;

	for_each_peer(p)
		if (p->state >= PEER_REJOINING && p->state <= PEER_ADDING && peer_same_session(p, peer))
			return p;
	return NULL;
}

static void start(struct device_peer *peer)
{
	struct device_peer *next = peer_new(peer->link);

	farswap_stall("peer rejoining");
	peer->rejoin_ns = farswap_now_ns() + REJOIN_RETRY_NS;
	if (!next)
		return;
	next->session = peer->session;
	next->incarnation = peer->incarnation;
	peer_rejoin(next);
}

static void give_up(struct device_peer *peer, bool forgotten)
{
	uint64_t again_ns = farswap_now_ns() + (link_is_well(peer->link) ? AGAIN_NS : 0);
	struct device_peer *p;

	farswap_stall("peer given up");
	snprintf(peer->why, sizeof(peer->why), forgotten ? "its farswapd does not have the session any more" :
		 "away for %u s", farswapd.conf.replace_after_s);
	farswap_log("node %s: lost as peer %u of %s: %s", peer->link->node->name, peer->number, device.name, peer->why);
	for_each_peer(p) {
		if (p->state < PEER_REJOINING || p->state > PEER_FORMER || !peer_same_session(p, peer))
			continue;
		p->state = p->in_kernel ? PEER_LOST : PEER_FAILED;
		p->again_ns = again_ns;
	}
	if (forgotten)
		peer_forgotten(peer);
	device.unsettled = true;
}

static void look_at(struct device_peer *peer)
{
	const struct device_peer *next = successor(peer);
	struct link *link = peer->link;
	struct plan_suspect view = {
		.reached = link_is_well(link),
		.forgotten = peer->closed || link->incarnation != peer->incarnation,
		.asked = next && next->state == PEER_REJOINING,
		.joining = next && next->state != PEER_REJOINING,
		.last_copy = extent_last_copy(peer),
		.since_ns = peer->suspect_ns,
		.retry_ns = peer->rejoin_ns,
	};

	switch (plan_suspect(&view, farswap_now_ns(), farswapd.conf.replace_after_s * 1000000000ull)) {
	case SUSPECT_REJOIN:
		start(peer);
		break;
	case SUSPECT_GONE:
		give_up(peer, view.reached && view.forgotten);
		break;
	default:
		break;
	}
}

/* still a member of a set, and it answers again, or nobody else has by now what it has */
static void look_again(struct device_peer *peer)
{
	bool back = link_is_well(peer->link) && farswap_now_ns() >= peer->again_ns && extent_names(peer->number);
	struct device_peer *p;

	if (device.stale || peer->closed || peer->closing || !(back || extent_last_copy(peer)))
		return;
	for_each_peer(p)
		if (p->in_kernel && p->number > peer->number && peer_same_session(p, peer))
			return;
	farswap_log("node %s: suspect again as peer %u of %s: %s", peer->link->node->name, peer->number, device.name,
		    back ? "it answers, and its copies are not replaced" : "it has the last copy of an extent");
	suspect(peer);
	rejoin_supersede(peer);
}

static void on_deleted(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct device_peer *peer = arg;

	(void)why;
	(void)answers;
	device.in_air--;
	peer->in_air--;
	peer->deleting = false;
	if (error && !farswap_nl_is_gone(error)) {
		peer->delete_ns = farswap_now_ns() + DELETE_RETRY_NS;	/* still torn down, or in an extent that is being added */
		return;
	}
	peer->in_kernel = false;
	if (peer->state == PEER_FORMER) {
		leftover_renumber(peer);
		memset(peer, 0, sizeof(*peer));
	}
	device_kick();
}

/* a number that no extent names any more */
static void forget(struct device_peer *peer)
{
	if (!peer->in_kernel || peer->deleting || peer->in_air || device.stale || farswap_now_ns() < peer->delete_ns ||
	    extent_names(peer->number))
		return;
	peer->deleting = true;
	peer_call(peer, FARSWAP_CMD_PEER_DEL, on_deleted);
}

void rejoin_advance(void)
{
	struct device_peer *peer;

	for_each_peer(peer) {
		if (peer->state == PEER_SUSPECT)
			look_at(peer);
		else if (peer->state == PEER_LOST)
			look_again(peer);
		if (peer->state == PEER_FORMER || peer->state == PEER_LOST)
			forget(peer);
	}
}
