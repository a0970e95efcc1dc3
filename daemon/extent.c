// SPDX-License-Identifier: GPL-2.0
/* An extent in the making: a slab from each of `copies` donors, then EXTENT_ADD. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"
#include "placement.h"

#define RETRY_NS	5000000000ull
#define FULL_NS		10000000000ull	/* a donor that refused is not asked again before */

static void ask_more(void);

bool extent_building(void)
{
	return device.build.active;
}

int extent_note(uint64_t number, const uint32_t *peers, unsigned int n)
{
	struct device_extent *more = realloc(device.extents, (device.n_extents + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	device.extents = more;
	more += device.n_extents++;
	memset(more, 0, sizeof(*more));
	more->number = number;
	more->n = n;
	memcpy(more->peers, peers, n * sizeof(*peers));
	if (number >= device.next_extent)
		device.next_extent = number + 1;
	return 0;
}

unsigned int extent_usable(void)
{
	unsigned int i, k, usable = 0;

	for (i = 0; i < device.n_extents; i++) {
		for (k = 0; k < device.extents[i].n; k++) {
			struct device_peer *peer = peer_numbered(device.extents[i].peers[k]);

			if (peer && peer->state == PEER_LIVE)
				break;
		}
		usable += k < device.extents[i].n;
	}
	return usable;
}

static bool is_member(const struct device_peer *peer)
{
	unsigned int i;

	for (i = 0; i < device.build.n; i++)
		if (device.build.members[i].peer == peer->number)
			return true;
	return false;
}

/* the live peers as placement sees them; map[] leads back */
static size_t candidates(struct placement_node *nodes, struct device_peer **map)
{
	uint64_t now = farswap_now_ns();
	struct device_peer *peer;
	size_t n = 0;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++) {
		if (peer->state != PEER_LIVE)
			continue;
		nodes[n] = (struct placement_node) {
			.rack = peer->link->node->rack,
			/* before the first extent a full donor is asked all the same: for its reason */
			.room = peer->link->room || device.phase != PHASE_FILLING ? peer->link->room : 1,
			.held = peer->slabs,
			.taken = is_member(peer),
			.barred = peer->barred || peer->closed || !peer->attached || peer->full_until_ns > now ||
				  peer->link->state != LINK_READY,
		};
		map[n++] = peer;
	}
	return n;
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
	uint32_t peers[FARSWAP_COPIES_MAX];
	unsigned int i;

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
	for (i = 0; i < build->n; i++)
		peers[i] = build->members[i].peer;
	if (extent_note(build->number, peers, build->n))
		farswap_log("%s: out of memory for extent %llu", device.name, (unsigned long long)build->number);
	if (build->n < device.copies)
		farswap_log("%s: extent %llu is DEGRADED: %u of %u copies", device.name,
			    (unsigned long long)build->number, build->n, device.copies);
	device.next_extent = build->number + 1;
	build->n = 0;
	finish();
}

static int put_members(struct nl_msg *msg)
{
	struct nlattr *all = nla_nest_start(msg, FARSWAP_A_MEMBERS);
	unsigned int i;

	if (!all)
		return -EMSGSIZE;
	for (i = 0; i < device.build.n; i++) {
		struct nlattr *one = nla_nest_start(msg, FARSWAP_A_MEMBER);

		if (!one)
			return -EMSGSIZE;
		nla_put_u32(msg, FARSWAP_A_NODE, device.build.members[i].peer);
		nla_put_u64(msg, FARSWAP_A_SLAB, device.build.members[i].slab);
		nla_put_u64(msg, FARSWAP_A_INCARNATION, device.build.members[i].incarnation);
		nla_put_u64(msg, FARSWAP_A_REMOTE, device.build.members[i].address);
		nla_put_u32(msg, FARSWAP_A_RKEY, device.build.members[i].rkey);
		nla_nest_end(msg, one);
	}
	nla_nest_end(msg, all);
	return 0;
}

static void add_to_kernel(void)
{
	struct nl_msg *msg = device_msg(FARSWAP_CMD_EXTENT_ADD, 0);

	if (msg) {
		nla_put_u64(msg, FARSWAP_A_EXTENT, device.build.number);
		nla_put_u32(msg, FARSWAP_A_GENERATION, 1);
		if (put_members(msg)) {
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

static void refused(struct device_peer *peer, const char *why)
{
	peer->barred = true;
	peer->full_until_ns = farswap_now_ns() + FULL_NS;
	snprintf(peer->why, sizeof(peer->why), "%s", why);
}

static void on_granted(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;
	struct device_build *build = &device.build;
	char why[160];

	device.in_air--;
	build->in_air--;
	if (!answer) {
		refused(peer, link->why);
	} else if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		refused(peer, farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number),
						 why, sizeof(why)));
	} else if (le64toh(answer->grant.session) != peer->session || le64toh(answer->grant.extent) != build->number ||
		   le64toh(answer->grant.bytes) != device.slab_bytes) {
		refused(peer, "grants something else than it was asked for");
	} else {
		build->members[build->n].peer = peer->number;
		build->members[build->n].slab = le64toh(answer->grant.slab);
		build->members[build->n].incarnation = le64toh(answer->grant.incarnation);
		build->members[build->n].address = le64toh(answer->grant.address);
		build->members[build->n].rkey = le32toh(answer->grant.rkey);
		build->n++;
		peer->slabs++;
		peer->why[0] = 0;
		if (link->room)
			link->room--;
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
		refused(peer, "control connection lost");
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
		n = candidates(nodes, map);
		got = placement_choose(nodes, n, device.copies - device.build.n, &device.seed, chosen);
		for (i = 0; i < got; i++)
			ask(map[chosen[i]]);
	} while (got && !device.build.in_air);
}

/* slabs that a build was granted and did not get into the kernel serve the next one: donors do not take them back */
void extent_build_start(void)
{
	struct device_build *build = &device.build;

	if (build->active || farswap_now_ns() < device.build_retry_ns)
		return;
	build->active = true;
	build->number = device.next_extent;
	settle();
}
