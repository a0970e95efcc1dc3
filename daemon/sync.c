// SPDX-License-Identifier: GPL-2.0
#include "sync.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "lender.h"
#include "log.h"
#include "members.h"
#include "nodes.h"

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

static bool is_of_file(const struct farswap_node *node)
{
	return node->name[0] && !node->joined;
}

static int check_node(struct sync *sync, const struct farswap_node *node)
{
	const struct farswap_node *now = farswap_conf_node(sync->next, node->name);
	char what[64];

	snprintf(what, sizeof(what), "node '%s'", node->name);
	if (!now && node == farswapd.self)
		return refuse(sync, what, "is this one, and is not in it: stop farswapd before");
	if (!now && nodes_used(node))
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
	if (now->n_etcd != next->n_etcd || memcmp(now->etcd, next->etcd, sizeof(now->etcd)) || strcmp(now->etcd_name, next->etcd_name) ||
	    now->etcd_ttl_s != next->etcd_ttl_s || now->etcd_group != next->etcd_group)
		return refuse(sync, "what begins with etcd", restart);
	for (i = 0; i < now->n_nodes; i++)
		if (is_of_file(&now->nodes[i]) && check_node(sync, &now->nodes[i]))
			return -1;
	for (i = 0; i < now->n_nodes; i++)
		names += is_of_file(&now->nodes[i]) && farswap_conf_node(sync->next, now->nodes[i].name);
	for (i = 0; i < next->n_nodes; i++)
		names += is_of_file(&next->nodes[i]) && !farswap_conf_node(&farswapd.conf, next->nodes[i].name);
	return names <= FARSWAP_NODES_MAX ? 0 : refuse(sync, "nodes", "are too many");
}

static void take_nodes(struct sync *sync)
{
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++) {
		if (!is_of_file(&conf->nodes[i]) || farswap_conf_node(sync->next, conf->nodes[i].name))
			continue;
		add(sync, "; node %s removed", conf->nodes[i].name);
		nodes_remove(&conf->nodes[i]);
	}
	for (i = 0; i < sync->next->n_nodes; i++) {
		const struct farswap_node *next = &sync->next->nodes[i];
		struct farswap_node *node = farswap_conf_node(conf, next->name);

		if (!is_of_file(next))
			continue;
		if (!node)
			add(sync, "; node %s added", next->name);
		else if (node->lend != next->lend || strcmp(node->rack, next->rack) ||
			 memcmp(&node->quota, &next->quota, sizeof(node->quota)))
			add(sync, "; node %s changed", next->name);
		if (!node)
			node = nodes_place();
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

/* with an engine this node's section alone counts */
static int load(struct sync *sync)
{
	int ret = farswap_conf_load(farswapd.conf.path, sync->next, sync->text, sync->size);

	if (!ret && sync->next->n_etcd)
		ret = farswap_conf_find_self(sync->next, farswapd.self->name, sync->text, sync->size);
	return ret;
}

int sync_conf(char *text, size_t size)
{
	struct sync sync = { .next = malloc(sizeof(*sync.next)), .text = text, .size = size };
	int ret = -1;

	text[0] = 0;
	if (!sync.next) {
		add(&sync, "out of memory");
	} else if (!load(&sync) && !check(&sync)) {
		add(&sync, "%s: read anew", farswapd.conf.path);
		take_nodes(&sync);
		take_keys(&sync);
		device_conf();
		members_conf();
		ret = lender_conf() < 0 ? -1 : 0;
		if (ret)
			add(&sync, "; but memory is not looked at any more, for want of it: restart farswapd");
	}
	free(sync.next);
	farswap_log("%s", text);
	return ret;
}
