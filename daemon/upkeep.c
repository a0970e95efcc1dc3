// SPDX-License-Identifier: GPL-2.0
/* What is done while the device is up: look at the kernel's state each second, find donors, repair and add extents. */
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"
#include "nodes.h"

static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

static void take_peer(const struct nlmsghdr *nlh)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	struct device_peer *peer;

	if (farswap_nl_parse(nlh, attrs))
		return;
	peer = peer_numbered(farswap_nl_u32(attrs, FARSWAP_A_NODE));
	if (peer && peer->state == PEER_LIVE && farswap_nl_u8(attrs, FARSWAP_A_PEER_STATE) == FARSWAP_PEER_LOST)
		rejoin_lost(peer, farswap_nl_string(attrs, FARSWAP_A_REASON));
}

static void on_peers(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)arg;
	device.in_air--;
	device.polling = false;
	if (error && !farswap_nl_is_gone(error))
		farswap_log_limited(&limit, "%s: peers not read: %s", device.name, why);
	for (; answers; answers = answers->next)
		take_peer(answers->nlh);
	device_kick();
}

static void on_device(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1];

	(void)arg;
	device.in_air--;
	if (error || !answers || farswap_nl_parse(answers->nlh, attrs)) {
		device.polling = false;
		device.gone = farswap_nl_is_gone(error);
		if (!device.gone)
			farswap_log_limited(&limit, "%s: state not read: %s", device.name, why);
		device_kick();
		return;
	}
	device.want = farswap_nl_u32(attrs, FARSWAP_A_WANT);
	if (device.want && build_active())
		device.want--;		/* the kernel does not know of that one yet */
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_PEER_GET, 1), on_peers, NULL);
}

static bool lost_in_kernel(void)
{
	const struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state == PEER_LOST && peer->in_kernel)
			return true;
	return false;
}

static bool any_drained(void)
{
	const struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state == PEER_LIVE && peer->link->drained)
			return true;
	return false;
}

void upkeep_poll(void)
{
	if (device.down_asked)
		return;
	leave_look();		/* with what was read a second ago */
	if (device.polling)
		return;
	/* what decides whether a lost one is needed is mended, or goes wrong, meanwhile */
	device.stale |= peer_count(PEER_SUSPECT) || lost_in_kernel();
	/* a move may have become possible */
	device.unsettled |= any_drained();
	device.stale |= farswap_now_ns() >= device.period_ns;
	even_look();
	device.polling = true;
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_DEV_GET, 0), on_device, NULL);
}

/* the session of a live peer must be known on the present control connection */
static void keep_attached(struct device_peer *peer)
{
	struct link *link = peer->link;

	if (link->state != LINK_READY) {
		peer->attached = false;
		return;
	}
	peer->closed |= link->incarnation != peer->incarnation;		/* the daemon that held it has ended */
	if (peer->closed)
		peer_lose(peer);
	else if (!peer->attached)
		peer_reattach(peer);
}

static void look_after_peers(void)
{
	struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++) {
		if (peer->state == PEER_LIVE)
			keep_attached(peer);
		else if ((peer->state == PEER_FAILED || peer->state == PEER_LOST) && !peer->closed && !extent_names_session(peer))
			peer_close(peer);	/* again and again, until it is answered */
	}
}

/* its old session is not over: it is being closed, or members are still in it and it may rejoin */
static bool has_old_session(const struct link *link)
{
	struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++) {
		if (peer->state == PEER_FREE || peer->link != link)
			continue;
		if (peer->closing || (peer->state == PEER_LOST && !peer->closed && extent_names_session(peer)))
			return true;
	}
	return false;
}

/* nodes that lend, answer, and are no peers now become some, under new numbers */
static void find_new_peers(void)
{
	struct link *links[FARSWAP_NODES_MAX];
	uint64_t now = farswap_now_ns();
	unsigned int i, n = 0;

	for (i = 0; i < farswapd.conf.n_nodes; i++) {
		struct link *link = link_of(&farswapd.conf.nodes[i]);

		if (!nodes_is_donor(link->node) || link->state != LINK_READY || link->drained || peer_of(link) || has_old_session(link) ||
		    now < device.node_retry_ns[i])
			continue;
		links[n++] = link;
	}
	peer_start_some(links, n);
}

void upkeep_advance(void)
{
	if (device.gone) {
		if (device.in_air)
			return;
		farswap_log("%s: gone from the kernel", device.name);
		device.in_kernel = false;
		device_enter(PHASE_CLOSING);
		return;
	}
	if (device.down_asked) {
		if (!device.in_air)
			device_enter(PHASE_DELETING);
		return;
	}
	rejoin_advance();
	look_after_peers();
	find_new_peers();
	peer_next();
	leftover_advance();
	repair_advance();
	if (device.want && !build_active() && device.slab_bytes == farswapd.conf.slab_bytes &&
	    extent_usable() < device_extents_needed()) {
		device.want--;
		build_start();
	}
}
