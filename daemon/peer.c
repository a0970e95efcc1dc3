// SPDX-License-Identifier: GPL-2.0
/* One donor of the device, from OPEN or REJOIN to LIVE, and the CLOSE of its session. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"
#include "placement.h"
#include "stall.h"

#define LOSE_RETRY_NS	1000000000ull
#define NODE_RETRY_NS	5000000000ull	/* a node that could not be used is not tried again before */

static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

struct device_peer *peer_of(struct link *link)
{
	struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->link == link && peer->state >= PEER_OPENING && peer->state <= PEER_SUSPECT)
			return peer;
	return NULL;
}

struct device_peer *peer_numbered(uint32_t number)
{
	struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state != PEER_FREE && peer->number == number)
			return peer;
	return NULL;
}

unsigned int peer_count(enum peer_state state)
{
	struct device_peer *peer;
	unsigned int n = 0;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		n += peer->state == state;
	return n;
}

bool peer_busy(const struct device_peer *peer)
{
	return (peer->state >= PEER_OPENING && peer->state <= PEER_ADDING) || peer->closing;
}

bool peer_same_session(const struct device_peer *a, const struct device_peer *b)
{
	return a->link == b->link && a->session && a->session == b->session;
}

bool peer_owns_session(const struct device_peer *peer)
{
	const struct device_peer *p, *owner = peer;

	for (p = device.peers; p < device.peers + DEVICE_PEERS_MAX; p++)
		if (p->state >= PEER_OPENING && p->state <= PEER_SUSPECT && peer_same_session(p, peer) &&
		    (owner->state > PEER_SUSPECT || p->number > owner->number))
			owner = p;
	return owner == peer;
}

struct device_peer *peer_live(uint32_t number)
{
	struct device_peer *peer = peer_numbered(number), *p;

	if (!peer || peer->state == PEER_LIVE)
		return peer;
	for (p = device.peers; p < device.peers + DEVICE_PEERS_MAX; p++)
		if (p->state == PEER_LIVE && peer_same_session(p, peer))
			return p;
	return NULL;
}

enum standing peer_standing(uint32_t number)
{
	const struct device_peer *peer = peer_numbered(number);

	if (!peer)
		return STANDING_LOST;
	if (peer->state == PEER_LIVE)
		return STANDING_LIVE;
	if (peer->state == PEER_FORMER && peer_live(number))
		return STANDING_MOVED;
	return peer->state == PEER_SUSPECT || peer->state == PEER_FORMER ? STANDING_SUSPECT : STANDING_LOST;
}

bool peer_is_well(const struct device_peer *peer)
{
	return peer->state == PEER_LIVE && !peer->closed && peer->attached && link_is_well(peer->link);
}

/* nothing of it is at the donor any more, and no answer to come names it */
static bool is_over(const struct device_peer *peer)
{
	return (peer->state == PEER_LOST || peer->state == PEER_FAILED) && !peer->in_air &&
	       (!peer->session || peer->closed || !peer_owns_session(peer));
}

/* which of the records that nobody needs goes first */
static unsigned int use_of(const struct device_peer *peer, const struct link *link)
{
	if (peer->state == PEER_FREE)
		return 1;
	if (!is_over(peer))
		return 9;
	return peer->in_kernel ? 4 : peer->link == link ? 2 : 3;
}

/* one that is over is kept for its reason while there are others */
struct device_peer *peer_new(struct link *link)
{
	struct device_peer *peer, *found = device.peers;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (use_of(peer, link) < use_of(found, link))
			found = peer;
	if (use_of(found, link) == 9)
		return NULL;
	memset(found, 0, sizeof(*found));
	found->link = link;
	found->number = device.next_peer++;
	return found;
}

static void fail(struct device_peer *peer, const char *why)
{
	if (peer->state == PEER_FAILED)
		return;
	peer->state = PEER_FAILED;
	snprintf(peer->why, sizeof(peer->why), "%s", why);
	explicit_bzero(peer->tokens, sizeof(peer->tokens));
	farswap_log("node %s: not used: %s", peer->link->node->name, why);
	if (!extent_names_session(peer))
		peer_close(peer);
	device_kick();
}

void peer_forgotten(const struct device_peer *peer)
{
	struct device_peer *p;

	for (p = device.peers; p < device.peers + DEVICE_PEERS_MAX; p++)
		p->closed |= p->state != PEER_FREE && peer_same_session(p, peer);
}

/* true when the answer is the one asked for; else the peer has failed */
static bool is_good(struct device_peer *peer, const union farswap_msg *answer)
{
	char why[160];

	if (!answer) {
		fail(peer, peer->link->why[0] ? peer->link->why : "control connection closed");
		return false;
	}
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		if (le16toh(answer->reject.code) == FARSWAP_REJECT_NO_SESSION)
			peer_forgotten(peer);
		fail(peer, farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number),
					      why, sizeof(why)));
		return false;
	}
	return true;
}

static void on_added(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct device_peer *peer = arg;
	char text[300];

	(void)answers;
	device.in_air--;
	peer->in_air--;
	if (error) {
		snprintf(text, sizeof(text), "queue pairs not connected: %s", why);
		fail(peer, text);
		return;
	}
	farswap_stall("peer live");
	peer->state = PEER_LIVE;
	peer->in_kernel = true;
	rejoin_supersede(peer);
	farswap_log("node %s: live on %s as peer %u", peer->link->node->name, device.name, peer->number);
	device_kick();
}

static void add_to_kernel(struct device_peer *peer)
{
	struct nl_msg *msg = device_msg(FARSWAP_CMD_PEER_ADD, 0);
	union farswap_addr to = peer->link->node->addr;
	union farswap_addr from = farswapd.self->addr;

	to.in.sin_port = htons(peer->rdma_port);
	from.in.sin_port = 0;
	if (msg) {
		nla_put_u32(msg, FARSWAP_A_NODE, peer->number);
		nla_put_string(msg, FARSWAP_A_PEER_NAME, peer->link->node->name);
		nla_put_u64(msg, FARSWAP_A_SESSION, peer->session);
		nla_put_u64(msg, FARSWAP_A_INCARNATION, peer->incarnation);
		nla_put(msg, FARSWAP_A_ADDRESS, (int)farswap_addr_bytes(&to), &to);
		if (from.sa.sa_family == to.sa.sa_family)
			nla_put(msg, FARSWAP_A_SOURCE, (int)farswap_addr_bytes(&from), &from);
		if (peer->lease_ms) {
			nla_put_u32(msg, FARSWAP_A_LEASE, peer->lease_ms);
			nla_put_u64(msg, FARSWAP_A_REMOTE, peer->lease_address);
			nla_put_u32(msg, FARSWAP_A_RKEY, peer->lease_rkey);
		}
		nla_put(msg, FARSWAP_A_TOKENS, (int)(peer->asked * FARSWAP_TOKEN_BYTES), peer->tokens);
	}
	explicit_bzero(peer->tokens, sizeof(peer->tokens));
	farswap_stall("peer adding");
	peer->state = PEER_ADDING;
	device.in_air++;
	peer->in_air++;
	kernel_call(msg, on_added, peer);
}

static void on_token(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;

	(void)link;
	device.in_air--;
	peer->in_air--;
	if (!is_good(peer, answer) || peer->state != PEER_TOKENS)
		return;
	if (le64toh(answer->token.session) != peer->session) {
		fail(peer, "answers for another session");
		return;
	}
	memcpy(peer->tokens + peer->answered * FARSWAP_TOKEN_BYTES, answer->token.token, FARSWAP_TOKEN_BYTES);
	if (++peer->answered == peer->asked)
		add_to_kernel(peer);
}

static void ask_tokens(struct device_peer *peer)
{
	union farswap_msg msg;
	unsigned int i;

	peer->state = PEER_TOKENS;
	peer->asked = device.queues;
	peer->answered = 0;
	for (i = 0; i < peer->asked && peer->state == PEER_TOKENS; i++) {
		farswap_msg_make(&msg, FARSWAP_MSG_TOKEN, 0);
		msg.token.session = htole64(peer->session);
		if (!link_request(peer->link, &msg, on_token, peer)) {
			fail(peer, "control connection lost");
			return;
		}
		device.in_air++;
		peer->in_air++;
	}
}

/* OPENED or REJOINED */
static void on_opened(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;

	device.in_air--;
	peer->in_air--;
	if (!is_good(peer, answer) || (peer->state != PEER_OPENING && peer->state != PEER_REJOINING))
		return;
	if (peer->session && le64toh(answer->session.session) != peer->session) {
		fail(peer, "answers for another session");
		return;
	}
	peer->session = le64toh(answer->session.session);
	peer->rdma_port = le16toh(answer->session.rdma_port);
	peer->lease_ms = le32toh(answer->session.lease_ms);
	peer->lease_rkey = le32toh(answer->session.lease_rkey);
	peer->lease_address = le64toh(answer->session.lease_address);
	peer->incarnation = link->incarnation;
	peer->attached = true;
	peer->state = PEER_WAITING;
	device_kick();
}

/* the kernel may take 17 s to give a donor up: tokens asked for at the same time for the next would be too old then */
void peer_next(void)
{
	struct device_peer *peer, *next = NULL;

	if (peer_count(PEER_TOKENS) || peer_count(PEER_ADDING))
		return;
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state == PEER_WAITING && (!next || peer->number < next->number))
			next = peer;
	if (next)
		ask_tokens(next);
}

static bool ask_session(struct device_peer *peer, enum farswap_msg_type type, link_answer answer)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, type, 0);
	msg.session.session = htole64(peer->session);
	if (!link_request(peer->link, &msg, answer, peer))
		return false;
	device.in_air++;
	peer->in_air++;
	return true;
}

void peer_start(struct device_peer *peer)
{
	peer->state = PEER_OPENING;
	if (!ask_session(peer, FARSWAP_MSG_OPEN, on_opened))
		fail(peer, "control connection lost");
}

void peer_start_some(struct link **links, size_t n)
{
	struct placement_node nodes[FARSWAP_NODES_MAX];
	/* a suspect one has its place until it is back or replaced: the kernel takes no more live ones */
	unsigned int used = peer_count(PEER_LIVE) + peer_count(PEER_SUSPECT);
	struct device_peer *peer;
	int chosen[DEVICE_LIVE_MAX];
	size_t i;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		used += peer_busy(peer);
	if (used >= DEVICE_LIVE_MAX)
		return;
	for (i = 0; i < n; i++)
		nodes[i] = (struct placement_node) { .offered = links[i]->lent + links[i]->room, .lent = links[i]->lent };
	used += build_choose(PLACEMENT_POWER_OF_TWO, nodes, n, DEVICE_LIVE_MAX - used, chosen);
	for (i = 0; i < n && used < DEVICE_LIVE_MAX; i++) {	/* a full one has the places that are left: for its reason, and for later */
		used += !nodes[i].taken;
		nodes[i].taken = true;
	}
	for (i = 0; i < n; i++) {
		if (!nodes[i].taken)
			continue;
		device.node_retry_ns[links[i]->node - farswapd.conf.nodes] = farswap_now_ns() + NODE_RETRY_NS;
		peer = peer_new(links[i]);
		if (peer)
			peer_start(peer);
	}
}

void peer_rejoin(struct device_peer *peer)
{
	peer->state = PEER_REJOINING;
	if (!ask_session(peer, FARSWAP_MSG_REJOIN, on_opened))
		fail(peer, "control connection lost");
}

static void on_reattached(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;

	device.in_air--;
	peer->in_air--;
	if (!answer)
		return;		/* tried again when the link is back */
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		farswap_log_limited(&limit, "node %s: session not taken up: %s", link->node->name,
				    farswap_reject_text(le16toh(answer->reject.code)));
		peer->attached = false;	/* tried again, unless it is gone */
		peer->closed = le16toh(answer->reject.code) == FARSWAP_REJECT_NO_SESSION;
		return;
	}
	peer->incarnation = link->incarnation;
	peer->swept = false;	/* a GRANT whose answer was lost with the connection may have been carried out */
	peer->listed = 0;
	farswap_log("node %s: session taken up again", link->node->name);
}

void peer_reattach(struct device_peer *peer)
{
	peer->attached = ask_session(peer, FARSWAP_MSG_OPEN, on_reattached);
}

static void on_lost(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct device_peer *peer = arg;

	(void)answers;
	device.in_air--;
	peer->in_air--;
	if (!error)
		return;		/* an event, or the next poll, tells that it is */
	peer->losing = false;
	peer->delete_ns = farswap_now_ns() + LOSE_RETRY_NS;
	farswap_log_limited(&limit, "node %s: not lost to the kernel: %s", peer->link->node->name, why);
}

void peer_call(struct device_peer *peer, int cmd, kernel_done done)
{
	struct nl_msg *msg = device_msg(cmd, 0);

	if (msg)
		nla_put_u32(msg, FARSWAP_A_NODE, peer->number);
	device.in_air++;
	peer->in_air++;
	kernel_call(msg, done, peer);
}

void peer_lose(struct device_peer *peer)
{
	if (!peer->in_kernel || peer->losing || farswap_now_ns() < peer->delete_ns)
		return;
	peer->losing = true;
	peer_call(peer, FARSWAP_CMD_PEER_LOST, on_lost);
}

static void on_closed(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *peer = arg;

	device.in_air--;
	peer->in_air--;
	peer->closing = false;
	peer->closed = answer != NULL;	/* refused: not known there any more, which is as good */
	if (!answer)
		farswap_log("node %s: session not seen closed: %s", link->node->name, link->why);
	device_kick();
}

void peer_close(struct device_peer *peer)
{
	if (!peer->session || peer->closed || peer->closing || peer->link->state != LINK_READY || !peer_owns_session(peer))
		return;
	if (peer->link->incarnation != peer->incarnation) {
		peer->closed = true;	/* the daemon that held it has ended */
		return;
	}
	peer->closing = ask_session(peer, FARSWAP_MSG_CLOSE, on_closed);
}
