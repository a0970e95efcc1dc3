// SPDX-License-Identifier: GPL-2.0
/* An extent in the making: a slab from each of `copies` donors, then EXTENT_ADD. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "leader.h"
#include "log.h"
#include "placement.h"
#include "stall.h"

#define RETRY_NS	5000000000ull
#define FULL_NS		10000000000ull	/* a donor that refused is not asked again before */

static void ask_more(void);

bool build_active(void)
{
	return device.build.active;
}

static bool is_member(const struct device_peer *peer)
{
	unsigned int i;

	for (i = 0; i < device.build.n; i++)
		if (device.build.members[i].peer == peer->number)
			return true;
	return false;
}

size_t build_candidates(struct placement_node *nodes, struct device_peer **map, bool (*taken)(const struct device_peer *peer))
{
	uint64_t now = farswap_now_ns();
	struct device_peer *peer;
	size_t n = 0;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++) {
		bool is_taken = taken(peer);
		uint32_t room;

		/* a suspect member is no candidate, but its rack is taken */
		if (peer->state != PEER_LIVE && !(peer->state == PEER_SUSPECT && is_taken))
			continue;
		/* before the first extent a full donor is asked all the same: for its reason */
		room = peer->link->room || device.phase != PHASE_FILLING ? peer->link->room : 1;
		nodes[n] = (struct placement_node) {
			.rack = peer->link->node->rack,
			.offered = peer->link->lent + room,
			.lent = peer->link->lent,
			.taken = is_taken,
			.barred = peer->barred || peer->closed || !peer->attached || peer->full_until_ns > now || peer->link->drained ||
				  peer->link->state != LINK_READY,
		};
		map[n++] = peer;
	}
	return n;
}

unsigned int build_choose(enum placement_policy policy, struct placement_node *nodes, size_t n, unsigned int wanted, int *chosen)
{
	bool barred[FARSWAP_NODES_MAX];
	unsigned int got;
	size_t i;

	for (i = 0; i < n; i++)
		barred[i] = nodes[i].barred;
	leader_bar(nodes, n);
	got = placement_choose(policy, nodes, n, wanted, &device.seed, chosen);
	for (i = 0; i < n; i++)
		nodes[i].barred = barred[i];
	if (got < wanted)
		got += placement_choose(policy, nodes, n, wanted - got, &device.seed, chosen + got);
	return got;
}

static void finish(void)
{
	struct device_peer *peer;

	device.build.active = false;
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		peer->barred = false;
	device_kick();
}

static void on_added(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct device_build *build = &device.build;
	struct device_extent extent = { .number = build->number, .generation = 1, .n = build->n };

	(void)answers;
	(void)arg;
	device.in_air--;
	build->adding = false;
	/* -EEXIST: added by an earlier try whose answer was lost; a number goes with its slabs until it is added */
	if (error && error != -EEXIST) {
		farswap_log("%s: extent %llu not added: %s", device.name, (unsigned long long)build->number, why);
		device.build_retry_ns = farswap_now_ns() + RETRY_NS;
		if (device.phase == PHASE_FILLING)
			device_undo("extent not added to %s: %s", device.name, why);
		finish();
		return;
	}
	memcpy(extent.members, build->members, sizeof(extent.members));
	if (extent_note(&extent)) {
		farswap_log("%s: out of memory for extent %llu", device.name, (unsigned long long)build->number);
		device.stale = true;
	}
	if (build->n < device.copies)
		farswap_log("%s: extent %llu is DEGRADED: %u of %u copies", device.name,
			    (unsigned long long)build->number, build->n, device.copies);
	build->n = 0;
	finish();
}

static void add_to_kernel(void)
{
	struct nl_msg *msg = device_msg(FARSWAP_CMD_EXTENT_ADD, 0);

	farswap_stall("extent added");
	if (msg) {
		nla_put_u64(msg, FARSWAP_A_EXTENT, device.build.number);
		nla_put_u32(msg, FARSWAP_A_GENERATION, 1);
		if (extent_put_members(msg, device.build.members, device.build.n)) {
			nlmsg_free(msg);
			msg = NULL;
		}
	}
	device.build.adding = true;
	device.in_air++;
	kernel_call(msg, on_added, NULL);
}

/* a member may have been lost since it granted */
static void drop_lost_members(void)
{
	struct device_build *build = &device.build;
	unsigned int i, k;

	for (i = k = 0; i < build->n; i++) {
		struct device_peer *peer = peer_numbered(build->members[i].peer);

		if (peer && peer->state == PEER_LIVE && !peer->closed)
			build->members[k++] = build->members[i];
	}
	build->n = k;
}

/* all that were asked have answered */
static void settle(void)
{
	struct device_build *build = &device.build;
	char why[1024];

	drop_lost_members();
	if (build->n < device.copies)
		ask_more();
	if (build->in_air)
		return;
	if (build->n == device.copies || (build->n && device.phase == PHASE_UP)) {
		add_to_kernel();
		return;
	}
	device_explain(why, sizeof(why));
	device.build_retry_ns = farswap_now_ns() + RETRY_NS;
	if (device.phase == PHASE_FILLING)
		device_undo("no %u donors for an extent of %s: %s", device.copies, device.name, why);
	else
		farswap_log("%s: no donor for another extent: %s", device.name, why);
	finish();
}

void build_refused(struct device_peer *peer, const char *why)
{
	peer->barred |= build_active();	/* for its time; full_until_ns is for all others */
	peer->full_until_ns = farswap_now_ns() + FULL_NS;
	snprintf(peer->why, sizeof(peer->why), "%s", why);
}

struct device_member build_member(const struct device_peer *peer, const struct farswap_msg_grant *grant)
{
	return (struct device_member) {
		.peer = peer->number,
		.slab = le64toh(grant->slab),
		.incarnation = le64toh(grant->incarnation),
		.address = le64toh(grant->address),
		.rkey = le32toh(grant->rkey),
	};
}

static void on_granted(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;
	struct device_build *build = &device.build;
	char why[160];

	device.in_air--;
	build->in_air--;
	if (!answer) {
		build_refused(peer, link->why);
	} else if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		build_refused(peer, farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number),
						       why, sizeof(why)));
	} else if (le64toh(answer->grant.session) != peer->session || le64toh(answer->grant.extent) != build->number ||
		   le64toh(answer->grant.bytes) != device.slab_bytes) {
		build_refused(peer, "grants something else than it was asked for");
	} else {
		build->members[build->n++] = build_member(peer, &answer->grant);
		peer->slabs++;
		peer->why[0] = 0;
		if (link->room)
			link->room--;
		link->lent++;
	}
	if (!build->in_air)
		settle();
}

static void ask(struct device_peer *peer)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_GRANT, 0);
	msg.grant.session = htole64(peer->session);
	msg.grant.extent = htole64(device.build.number);
	msg.grant.generation = htole32(1);
	if (!link_request(peer->link, &msg, on_granted, peer)) {
		build_refused(peer, "control connection lost");
		return;
	}
	device.build.in_air++;
	device.in_air++;
}

/* as many donors as are missing; only called with no GRANT in the air. Whoever cannot be asked is barred: it ends. */
static void ask_more(void)
{
	struct placement_node nodes[DEVICE_PEERS_MAX];
	struct device_peer *map[DEVICE_PEERS_MAX];
	int chosen[FARSWAP_COPIES_MAX];
	unsigned int got, i;
	size_t n;

	do {
		n = build_candidates(nodes, map, is_member);
		got = build_choose(farswapd.conf.placement, nodes, n, device.copies - device.build.n, chosen);
		for (i = 0; i < got; i++)
			ask(map[chosen[i]]);
	} while (got && !device.build.in_air);
}

/* slabs that a build was granted and did not get into the kernel serve the next one: donors do not take them back */
void build_start(void)
{
	struct device_build *build = &device.build;

	if (build->active || farswap_now_ns() < device.build_retry_ns)
		return;
	build->active = true;
	build->number = device.next_extent;
	settle();
}
