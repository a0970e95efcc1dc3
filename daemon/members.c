// SPDX-License-Identifier: GPL-2.0
#include "members.h"

#include <stdio.h>
#include <string.h>

#include "device.h"
#include "engine.h"
#include "farswap_wire.h"
#include "farswapd.h"
#include "log.h"
#include "nodes.h"
#include "session.h"

#define PREFIX		"node/"
#define TELL_EVERY	SECONDS(1)
#define LEFT_NS		600000000000ull
#define WAITING_MAX	16
#define LEND_MAX	(1u << 20)	/* as in cluster.conf */

static const struct engine_ops *ops = &engine_etcd;
static struct engine *engine;
static sd_event_source *telling;
static char told[ENGINE_VALUE_MAX];
static bool changed;			/* the nodes, since remember() */
static bool settled;			/* the engine has told of all that are there, once */
static struct farswap_node waiting[WAITING_MAX];
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT, bad = FARSWAP_LOG_LIMIT;

/* --- this node --- */

/* { address, rack, lend }, in slabs at most */
static void tell(void)
{
	struct json_object *all = json_object_new_object();
	char key[sizeof(PREFIX) + FARSWAP_NAME_BYTES];
	const char *text;

	json_object_object_add(all, "address", json_object_new_string(farswap_addr_text(&farswapd.self->addr)));
	json_object_object_add(all, "rack", json_object_new_string(farswapd.self->rack));
	json_object_object_add(all, "lend", json_object_new_uint64(farswapd.self->lend));
	text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN);
	if (text && strcmp(text, told) && strlen(text) < sizeof(told)) {
		snprintf(key, sizeof(key), PREFIX "%s", farswapd.self->name);
		if (!ops->join(engine, key, text))
			strcpy(told, text);
	}
	json_object_put(all);
}

/* --- the others --- */

static const char *text_of(struct json_object *all, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(all, key, &value) && json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* NULL, or what is wrong with it; node: as it says */
static const char *read_node(const char *name, struct json_object *all, struct farswap_node *node)
{
	const char *address = text_of(all, "address"), *rack = text_of(all, "rack"), *why = NULL;
	struct json_object *lend;

	*node = (struct farswap_node) { .joined = true };
	if (!all || !address || !rack || !json_object_object_get_ex(all, "lend", &lend) || !json_object_is_type(lend, json_type_int))
		why = "not understood";
	else if (strlen(name) >= FARSWAP_NAME_BYTES || !farswap_name_ok(name))
		why = "its name is none";
	else if (farswap_addr_parse(address, farswapd.conf.port, &node->addr))
		why = "its address is none";
	else if (strlen(rack) >= FARSWAP_RACK_BYTES)
		why = "the name of its rack is too long";
	else if (json_object_get_int64(lend) < 0 || json_object_get_int64(lend) > LEND_MAX)
		why = "it lends more than can be";
	if (!why) {
		strcpy(node->name, name);
		strcpy(node->rack, rack);
		node->lend = (uint32_t)json_object_get_int64(lend);
	}
	return why;
}

static bool has_session(const struct farswap_node *node)
{
	struct session *session = NULL;

	while ((session = session_next(session)))
		if (!strcmp(session->client, node->name))
			return true;
	return false;
}

/* not there any more, and nothing of it is here nor of this node there */
static bool is_idle(const struct farswap_node *node)
{
	return node->name[0] && node->left_ns && !nodes_used(node) && !has_session(node);
}

static struct farswap_node *at_address(const union farswap_addr *addr)
{
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++)
		if (conf->nodes[i].name[0] && farswap_addr_same_host(&conf->nodes[i].addr, addr))
			return &conf->nodes[i];
	return NULL;
}

/* a place, if need be of the one that left first */
static struct farswap_node *place(void)
{
	struct farswap_node *node = nodes_place(), *first = NULL;
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	for (i = 0; i < conf->n_nodes && !node; i++)
		if (is_idle(&conf->nodes[i]) && (!first || conf->nodes[i].left_ns < first->left_ns))
			first = &conf->nodes[i];
	if (first)
		nodes_remove(first);
	return node ? node : first;
}

/* what it is known as now; NULL: it cannot be taken as it is now, as why says */
static struct farswap_node *make_room(const struct farswap_node *next, char *why, size_t size)
{
	struct farswap_node *node = farswap_conf_node(&farswapd.conf, next->name), *other = at_address(&next->addr);

	if (other && other != node && !is_idle(other)) {
		snprintf(why, size, "node %s has its address", other->name);
		return NULL;
	}
	if (other && other != node)
		nodes_remove(other);
	if (node && other == node)
		return node;
	if (node && nodes_used(node)) {
		snprintf(why, size, "it has another address now, %s, and this node's device has copies at the one of before", farswap_addr_text(&next->addr));
		return NULL;
	}
	if (node)
		nodes_remove(node);
	node = place();
	if (!node)
		snprintf(why, size, "there are %u nodes already", FARSWAP_NODES_MAX);
	return node;
}

static bool take(const struct farswap_node *next, char *why, size_t size)
{
	struct farswap_node *node = make_room(next, why, size);

	if (!node)
		return false;
	if ((!node->name[0] || node->left_ns) && !next->left_ns)
		farswap_log_limited(&limit, "node %s: joined, at %s, lends %u slabs at most", next->name, farswap_addr_text(&next->addr), next->lend);
	changed |= memcmp(node, next, sizeof(*node)) != 0;
	*node = *next;
	device_conf();
	return true;
}

/* --- those that could not be taken when they were told of: tried again each second --- */

static void drop_waiting(const char *name)
{
	struct farswap_node *node;

	for (node = waiting; node < waiting + WAITING_MAX; node++)
		if (!strcmp(node->name, name))
			node->name[0] = 0;
}

static void take_or_wait(const struct farswap_node *next)
{
	struct farswap_node *node;
	char why[200];

	drop_waiting(next->name);
	if (take(next, why, sizeof(why)))
		return;
	farswap_log_limited(&bad, "node %s: not taken: %s", next->name, why);
	for (node = waiting; node < waiting + WAITING_MAX; node++) {
		if (!node->name[0]) {
			*node = *next;
			return;
		}
	}
}

static void try_waiting(void)
{
	struct farswap_node *node;
	char why[200];

	for (node = waiting; node < waiting + WAITING_MAX; node++)
		if (node->name[0] && take(node, why, sizeof(why)))
			node->name[0] = 0;
}

static void leave(struct farswap_node *node)
{
	node->left_ns = farswap_now_ns();
	changed = true;
	farswap_log_limited(&limit, "node %s: left%s", node->name, nodes_used(node) ? ", and this node's device has copies there" : "");
	device_kick();
}

static void on_seen(void *arg, const struct engine_kv *kv)
{
	const char *name = kv->key + strlen(PREFIX), *why;
	struct farswap_node next, *node;
	struct json_object *all;

	(void)arg;
	if (!strcmp(name, farswapd.self->name)) {
		if (!kv->value)
			told[0] = 0;	/* somebody took it away: it is told again */
		return;
	}
	if (kv->value) {
		all = json_tokener_parse(kv->value);
		why = read_node(name, all, &next);
		json_object_put(all);
		if (why)
			farswap_log_limited(&bad, "a node in %s is passed over: %s: %.40s", ops->name, why, name);
		else
			take_or_wait(&next);
		return;
	}
	drop_waiting(name);
	node = farswap_conf_node(&farswapd.conf, name);
	if (node && node->joined && !node->left_ns)
		leave(node);
}

/* those that an earlier daemon knew, and that are not there any more, have not been told */
static void on_listed(void *arg)
{
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	(void)arg;
	for (i = 0; i < conf->n_nodes; i++) {
		if (!conf->nodes[i].recalled)
			continue;
		conf->nodes[i].recalled = false;
		leave(&conf->nodes[i]);
	}
	settled = true;
}

bool members_settled(void)
{
	return !engine || settled;
}

static const struct engine_watcher watcher = { .seen = on_seen, .listed = on_listed };

/* --- what the next daemon is to know, though the engine may not be reached then: a device's donors, above all --- */

static struct json_object *nodes_status(void)
{
	struct json_object *all = json_object_new_array();
	const struct farswap_conf *conf = &farswapd.conf;
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++) {
		const struct farswap_node *node = &conf->nodes[i];
		struct json_object *one;

		if (!node->name[0])
			continue;
		one = json_object_new_object();
		json_object_object_add(one, "name", json_object_new_string(node->name));
		json_object_object_add(one, "address", json_object_new_string(farswap_addr_text(&node->addr)));
		json_object_object_add(one, "rack", json_object_new_string(node->rack));
		json_object_object_add(one, "lend", json_object_new_uint64(node->lend));
		json_object_object_add(one, "left", json_object_new_boolean(node->left_ns != 0));
		json_object_array_add(all, one);
	}
	return all;
}

static void file_path(char *out, size_t size, const char *end)
{
	snprintf(out, size, "%s/%s.nodes%s", farswapd.run_dir, farswapd.self->name, end);
}

static void remember(void)
{
	char path[4200], next[4200];
	struct json_object *all = nodes_status();
	bool done;

	file_path(path, sizeof(path), "");
	file_path(next, sizeof(next), ".new");
	done = !json_object_to_file_ext(next, all, JSON_C_TO_STRING_PLAIN) && !rename(next, path);
	json_object_put(all);
	if (!done)
		farswap_log_limited(&limit, "%s cannot be written: a farswapd that is started while etcd is away knows no other nodes", path);
	changed = !done;
}

/* a file of this daemon's own, newer than cluster.conf's sections: what is no good in it is passed over */
static void recall(void)
{
	struct farswap_conf *conf = &farswapd.conf;
	struct json_object *all, *one, *left;
	struct farswap_node node;
	char path[4200], why[200];
	size_t i, n;

	file_path(path, sizeof(path), "");
	all = json_object_from_file(path);
	n = all && json_object_is_type(all, json_type_array) ? json_object_array_length(all) : 0;
	for (i = 0; i < conf->n_nodes && n; i++)
		if (conf->nodes[i].joined)
			nodes_remove(&conf->nodes[i]);
	for (i = 0; i < n; i++) {
		const char *name = text_of(one = json_object_array_get_idx(all, i), "name");

		if (!name || !strcmp(name, farswapd.self->name) || read_node(name, one, &node))
			continue;
		if (json_object_object_get_ex(one, "left", &left) && json_object_get_boolean(left))
			node.left_ns = farswap_now_ns();
		node.recalled = !node.left_ns;
		take(&node, why, sizeof(why));
	}
	json_object_put(all);
}

/* --- each second --- */

static void forget_the_gone(void)
{
	struct farswap_conf *conf = &farswapd.conf;
	uint64_t now = farswap_now_ns();
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++)
		if (is_idle(&conf->nodes[i]) && now - conf->nodes[i].left_ns >= LEFT_NS)
			nodes_remove(&conf->nodes[i]);	/* a daemon that recalls it forgets it again */
}

static int on_tell(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	(void)arg;
	tell();
	forget_the_gone();
	try_waiting();
	if (changed)
		remember();
	return farswapd_timer(&telling, TELL_EVERY, on_tell, NULL);
}

int members_init(void)
{
	struct engine_settings settings = { .n_endpoints = farswapd.conf.n_etcd, .ttl_s = farswapd.conf.etcd_ttl_s };
	char prefix[sizeof("/farswap//") + FARSWAP_NAME_BYTES], err[400];
	unsigned int i;

	if (!settings.n_endpoints)
		return 0;
	recall();
	for (i = 0; i < settings.n_endpoints; i++)
		settings.endpoints[i] = farswapd.conf.etcd[i];
	snprintf(prefix, sizeof(prefix), "/farswap/%s/", farswapd.conf.etcd_name);
	settings.prefix = prefix;
	engine = ops->start(&settings, err, sizeof(err));
	if (!engine) {
		farswap_log("%s: etcd=: %s", farswapd.conf.path, err);
		return -1;
	}
	if (ops->watch(engine, PREFIX, &watcher, NULL) || farswapd_timer(&telling, 0, on_tell, NULL) < 0) {
		farswap_log("etcd: out of memory");
		return -1;
	}
	return 0;
}

void members_conf(void)
{
	if (engine)
		tell();
}

void members_exit(bool again)
{
	telling = sd_event_source_disable_unref(telling);
	if (!engine)
		return;
	if (!again)
		ops->leave(engine);
	ops->stop(engine);
	engine = NULL;
}

struct json_object *members_status(void)
{
	struct json_object *all = json_object_new_object();
	struct engine_state state;

	json_object_object_add(all, "engine", json_object_new_string(engine ? ops->name : "cluster.conf"));
	json_object_object_add(all, "nodes", nodes_status());
	if (!engine)
		return all;
	ops->state(engine, &state);
	json_object_object_add(all, "reached", json_object_new_boolean(state.reached));
	json_object_object_add(all, "since_s", json_object_new_uint64((farswap_now_ns() - state.since_ns) / 1000000000u));
	json_object_object_add(all, "endpoint", json_object_new_string(state.endpoint));
	json_object_object_add(all, "version", json_object_new_string(state.version));
	json_object_object_add(all, "why", json_object_new_string(state.why));
	return all;
}
