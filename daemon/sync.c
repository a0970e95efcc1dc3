// SPDX-License-Identifier: GPL-2.0
#include "sync.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "lender.h"
#include "link.h"
#include "log.h"

/* what the present try has found; its line is cut where there is no more room */
struct sync {
	struct farswap_conf *next;
	char *text;
	size_t size, at;
};

static void add(struct sync *sync, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct sync *sync, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(sync->text + sync->at, sync->size - sync->at, format, args);
	va_end(args);
	if (n > 0)
		sync->at += (size_t)n < sync->size - sync->at ? (size_t)n : sync->size - sync->at - 1;
}

static int refuse(struct sync *sync, const char *what, const char *why)
{
	sync->at = 0;
	add(sync, "%s: %s %s; nothing has changed", farswapd.conf.path, what, why);
	return -1;
}

/* a record of it that says no more than what it died of is no hindrance */
static bool is_used(const struct link *link)
{
	const struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state != PEER_FREE && peer->link == link &&
		    (peer->in_air || peer->in_kernel || (peer->state != PEER_LOST && peer->state != PEER_FAILED)))
			return true;
	return false;
}

static int check_node(struct sync *sync, const struct farswap_node *node)
{
	const struct farswap_node *now = farswap_conf_node(sync->next, node->name);
	char what[64];

	snprintf(what, sizeof(what), "node '%s'", node->name);
	if (!now && node == farswapd.self)
		return refuse(sync, what, "is this one, and is not in it: stop farswapd before");
	if (!now && is_used(link_of(node)))
		return refuse(sync, what, "is not in it, and this node's device has copies there: drain it before");
	if (now && !farswap_addr_same_host(&node->addr, &now->addr))
		return refuse(sync, what, "has another address in it: remove it, then add it again");
	return 0;
}

static int check(struct sync *sync)
{
	static const char restart[] = "cannot change while farswapd runs: change it back, or restart farswapd on all nodes";
	const struct farswap_conf *now = &farswapd.conf, *next = sync->next;
	unsigned int i, names = 0;

	if (strcmp(now->key_path, next->key_path))
		return refuse(sync, "key=", restart);
	if (now->port != next->port)
		return refuse(sync, "port=", restart);
	if (now->slab_bytes != next->slab_bytes)
		return refuse(sync, "slab=", restart);
	if (now->lease_s != next->lease_s)
		return refuse(sync, "lease=", restart);
	for (i = 0; i < now->n_nodes; i++)
		if (now->nodes[i].name[0] && check_node(sync, &now->nodes[i]))
			return -1;
	for (i = 0; i < now->n_nodes; i++)
		names += now->nodes[i].name[0] && farswap_conf_node(sync->next, now->nodes[i].name);
	for (i = 0; i < next->n_nodes; i++)
		names += !farswap_conf_node(&farswapd.conf, next->nodes[i].name);
	return names <= FARSWAP_NODES_MAX ? 0 : refuse(sync, "nodes", "are too many");
}

/* its place may be another's: nothing tells of it any more */
static void remove_node(struct farswap_node *node)
{
	struct link *link = link_of(node);
	struct device_peer *peer;

	link_stop(link);
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state != PEER_FREE && peer->link == link)
			memset(peer, 0, sizeof(*peer));
	memset(node, 0, sizeof(*node));
}

static struct farswap_node *free_node(void)
{
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++)
		if (!conf->nodes[i].name[0])
			return &conf->nodes[i];
	return &conf->nodes[conf->n_nodes++];
}

static void take_nodes(struct sync *sync)
{
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++) {
		if (!conf->nodes[i].name[0] || farswap_conf_node(sync->next, conf->nodes[i].name))
			continue;
		add(sync, "; node %s removed", conf->nodes[i].name);
		remove_node(&conf->nodes[i]);
	}
	for (i = 0; i < sync->next->n_nodes; i++) {
		const struct farswap_node *next = &sync->next->nodes[i];
		struct farswap_node *node = farswap_conf_node(conf, next->name);

		if (!node)
			add(sync, "; node %s added", next->name);
		else if (node->lend != next->lend || strcmp(node->rack, next->rack))
			add(sync, "; node %s changed", next->name);
		if (!node)
			node = free_node();
		*node = *next;
	}
}

/* all but the nodes; what `up` takes from it is for the next device */
static void take_keys(struct sync *sync)
{
	struct farswap_conf *conf = &farswapd.conf, *next = sync->next;

	memcpy(next->nodes, conf->nodes, sizeof(next->nodes));
	next->n_nodes = conf->n_nodes;
	next->self = conf->self;
	if (memcmp(conf, next, sizeof(*conf)))
		add(sync, "; [cluster] changed");
	*conf = *next;
}

int sync_conf(char *text, size_t size)
{
	struct sync sync = { .next = malloc(sizeof(*sync.next)), .text = text, .size = size };
	int ret = -1;

	text[0] = 0;
	if (!sync.next) {
		add(&sync, "out of memory");
	} else if (!farswap_conf_load(farswapd.conf.path, sync.next, text, size) && !check(&sync)) {
		add(&sync, "%s: read anew", farswapd.conf.path);
		take_nodes(&sync);
		take_keys(&sync);
		device_conf();
		ret = lender_conf() < 0 ? -1 : 0;
		if (ret)
			add(&sync, "; but memory is not looked at any more, for want of it: restart farswapd");
	}
	free(sync.next);
	farswap_log("%s", text);
	return ret;
}
