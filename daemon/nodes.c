// SPDX-License-Identifier: GPL-2.0
#include "nodes.h"

#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "link.h"

struct farswap_node *nodes_place(void)
{
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++)
		if (!conf->nodes[i].name[0])
			return &conf->nodes[i];
	return conf->n_nodes < FARSWAP_NODES_MAX ? &conf->nodes[conf->n_nodes++] : NULL;
}

bool nodes_is_donor(const struct farswap_node *node)
{
	return node != farswapd.self && node->lend && !node->left_ns;
}

/* a record of it that says no more than what it died of is no hindrance */
bool nodes_used(const struct farswap_node *node)
{
	const struct link *link = link_of(node);
	const struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state != PEER_FREE && peer->link == link &&
		    (peer->in_air || peer->in_kernel || (peer->state != PEER_LOST && peer->state != PEER_FAILED)))
			return true;
	return false;
}

void nodes_remove(struct farswap_node *node)
{
	struct link *link = link_of(node);
	struct device_peer *peer;

	link_stop(link);
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state != PEER_FREE && peer->link == link)
			memset(peer, 0, sizeof(*peer));
	memset(node, 0, sizeof(*node));
}
