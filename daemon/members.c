// SPDX-License-Identifier: GPL-2.0
#include "members.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "donor.h"
#include "engine.h"
#include "farswap_wire.h"
#include "farswapd.h"
#include "favour.h"
#include "group.h"
#include "groups.h"
#include "leader.h"
#include "log.h"
#include "nodes.h"
#include "session.h"
#include "slab.h"
#include "util.h"

#define LOOK_EVERY	SECONDS(1)
#define TELL_LOAD_NS	5000000000ull	/* what is lent is told so often at most */
#define TELL_LITTLE_NS	60000000000ull	/* and so often when little of it has changed */
#define LITTLE		50		/* parts: of what is offered */
#define LITTLE_ASKED	8		/* slabs */
#define LEFT_NS		600000000000ull
#define WAITING_MAX	16
#define LEND_MAX	(1u << 20)	/* as in cluster.conf */

struct load {
	uint32_t offered, lent;		/* slabs, as the node told */
	uint32_t asked;			/* so many it was asked for so far */
};

static const struct engine_ops *ops = &engine_etcd;
static struct engine *engine;
static uint32_t group = GROUPS_NONE;
static bool listens;			/* to its group */
static sd_event_source *looking;
static char told[ENGINE_VALUE_MAX];
static struct load told_load;
static uint64_t told_ns;		/* 0: now is not too soon */
static bool changed;			/* the nodes, since remember() */
static bool settled;			/* the engine has told of all that are there, once */
static struct load loads[FARSWAP_NODES_MAX];
static struct {
	struct farswap_node node;
	struct load load;
} waiting[WAITING_MAX];
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT, bad = FARSWAP_LOG_LIMIT;

static struct load *load_of(const struct farswap_node *node)
{
	return &loads[node - farswapd.conf.nodes];
}

/* --- this node --- */

struct json_object *members_record(const struct farswap_node *node)
{
	struct json_object *all = json_object_new_object();

	json_object_object_add(all, "name", json_object_new_string(node->name));
	json_object_object_add(all, "address", json_object_new_string(farswap_addr_text(&node->addr)));
	json_object_object_add(all, "rack", json_object_new_string(node->rack));
	json_object_object_add(all, "lend", json_object_new_uint64(node->lend));
	return all;
}

static struct load own_load(void)
{
	return (struct load) { .offered = slab_count() + donor_room(), .lent = slab_count(), .asked = favour_asked_here() };
}

static bool is_too_soon(const struct load *load)
{
	uint32_t offered = load->offered > told_load.offered ? load->offered - told_load.offered : told_load.offered - load->offered;
	uint32_t lent = load->lent > told_load.lent ? load->lent - told_load.lent : told_load.lent - load->lent;
	bool little = offered + lent <= load->offered / LITTLE && load->asked - told_load.asked < LITTLE_ASKED;

	return told_ns && farswap_now_ns() - told_ns < (little ? TELL_LITTLE_NS : TELL_LOAD_NS);
}

static void tell(void)
{
	struct load now = own_load();
	struct json_object *all;
	char key[ENGINE_KEY_MAX];
	const char *text;

	if (!listens || is_too_soon(&now))
		return;
	all = members_record(farswapd.self);
	json_object_object_add(all, "offered", json_object_new_uint64(now.offered));
	json_object_object_add(all, "lent", json_object_new_uint64(now.lent));
	json_object_object_add(all, "asked", json_object_new_uint64(now.asked));
	text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN);
	if (text && strcmp(text, told) && strlen(text) < sizeof(told)) {
		snprintf(key, sizeof(key), "group/%" PRIu32 "/node/%s", group, farswapd.self->name);
		if (!ops->join(engine, key, text)) {
			strcpy(told, text);
			told_load = now;
			told_ns = farswap_now_ns();
		}
	}
	json_object_put(all);
}

/* --- the others --- */

static const char *text_of(struct json_object *all, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(all, key, &value) && json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* at most max; 0 if there is none */
static uint32_t number_of(struct json_object *all, const char *key, uint32_t max)
{
	struct json_object *value;
	bool is_number = json_object_object_get_ex(all, key, &value) && json_object_is_type(value, json_type_int);
	int64_t number = is_number ? json_object_get_int64(value) : 0;

	return number < 0 ? 0 : number > max ? max : (uint32_t)number;
}

/* NULL, or what is wrong with it; node: as it says */
static const char *read_node(const char *name, uint32_t of, struct json_object *all, struct farswap_node *node)
{
	const char *address = text_of(all, "address"), *rack = text_of(all, "rack"), *why = NULL;
	struct json_object *lend;

	*node = (struct farswap_node) { .joined = true, .group = of };
	if (!all || !address || !rack || !json_object_object_get_ex(all, "lend", &lend) || !json_object_is_type(lend, json_type_int))
		why = "not understood";
	else if (strlen(name) >= FARSWAP_NAME_BYTES || !farswap_name_ok(name))
		why = "its name is none";
	else if (farswap_addr_parse(address, farswapd.conf.port, &node->addr))
		why = "its address is none";
	else if (rack[0] && !farswap_rack_ok(rack))
		why = "the name of its rack is none";
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

static bool take(const struct farswap_node *next, struct load load, char *why, size_t size)
{
	struct farswap_node *node = make_room(next, why, size);

	if (!node)
		return false;
	if ((!node->name[0] || node->left_ns) && !next->left_ns)
		farswap_log_limited(&limit, "node %s: joined, at %s, lends %u slabs at most", next->name, farswap_addr_text(&next->addr), next->lend);
	changed |= memcmp(node, next, sizeof(*node)) != 0;
	*node = *next;
	*load_of(node) = load;
	device_conf();
	return true;
}

/* --- those that could not be taken when they were told of: tried again each second --- */

static void drop_waiting(const char *name)
{
	size_t i;

	for (i = 0; i < WAITING_MAX; i++)
		if (!strcmp(waiting[i].node.name, name))
			waiting[i].node.name[0] = 0;
}

static void take_or_wait(const struct farswap_node *next, struct load load)
{
	char why[200];
	size_t i;

	drop_waiting(next->name);
	if (take(next, load, why, sizeof(why)))
		return;
	farswap_log_limited(&bad, "node %s: not taken: %s", next->name, why);
	for (i = 0; i < WAITING_MAX; i++) {
		if (!waiting[i].node.name[0]) {
			waiting[i].node = *next;
			waiting[i].load = load;
			return;
		}
	}
}

static void try_waiting(void)
{
	char why[200];
	size_t i;

	for (i = 0; i < WAITING_MAX; i++)
		if (waiting[i].node.name[0] && take(&waiting[i].node, waiting[i].load, why, sizeof(why)))
			waiting[i].node.name[0] = 0;
}

/* of this node's own group */
static bool is_near(const struct farswap_node *node)
{
	return node->joined && (node->group == group || node->group == GROUPS_NONE);
}

static void leave(struct farswap_node *node)
{
	node->left_ns = farswap_now_ns();
	*load_of(node) = (struct load) { 0 };
	changed = true;
	farswap_log_limited(&limit, "node %s: %s%s", node->name, is_near(node) ? "left" : "is not named by its group's leader any more",
			    nodes_used(node) ? ", and this node's device has copies there" : "");
	device_kick();
}

/* --- what is under group/GROUP/ --- */

/* one of this group, which has passed read_node() */
static void take_told(const struct farswap_node *next, struct json_object *all)
{
	const struct farswap_node *known = farswap_conf_node(&farswapd.conf, next->name);
	struct load load = { .offered = number_of(all, "offered", LEND_MAX), .asked = number_of(all, "asked", UINT32_MAX) };

	load.lent = number_of(all, "lent", load.offered);
	if (known && is_near(known) && !known->left_ns && !known->recalled && load.asked > load_of(known)->asked)
		favour_heard(load.asked - load_of(known)->asked);
	take_or_wait(next, load);
}

static void saw_node(const char *name, const char *value)
{
	struct farswap_node next, *node;
	struct json_object *all;
	const char *why;

	if (!strcmp(name, farswapd.self->name)) {
		if (!value) {
			told[0] = 0;	/* somebody took it away: it is told again */
			told_ns = 0;
		}
		return;
	}
	if (value) {
		all = json_tokener_parse(value);
		why = read_node(name, group, all, &next);
		if (why)
			farswap_log_limited(&bad, "a node in %s is passed over: %s: %.40s", ops->name, why, name);
		else
			take_told(&next, all);
		json_object_put(all);
		return;
	}
	drop_waiting(name);
	node = farswap_conf_node(&farswapd.conf, name);
	if (node && node->joined && !node->left_ns && is_near(node))
		leave(node);
}

/* one that another group's leader names; true: it is one of that group's now */
static bool take_lent(uint32_t of, struct json_object *one)
{
	const char *name = text_of(one, "name"), *why;
	struct farswap_node next, *node;

	if (!name || !strcmp(name, farswapd.self->name))
		return false;
	node = farswap_conf_node(&farswapd.conf, name);
	if (node && node->joined && node->group == group && !node->left_ns)
		return false;
	why = read_node(name, of, one, &next);
	if (why)
		farswap_log_limited(&bad, "a node that group %" PRIu32 " names is passed over: %s: %.40s", of, why, name);
	else
		take_or_wait(&next, (struct load) { 0 });
	return !why;
}

static bool names(struct json_object *all, size_t n, const char *name)
{
	const char *other;
	size_t i;

	for (i = 0; i < n; i++) {
		other = text_of(json_object_array_get_idx(all, i), "name");
		if (other && !strcmp(other, name))
			return true;
	}
	return false;
}

static void saw_from(uint32_t of, const char *value)
{
	struct json_object *all = value ? json_tokener_parse(value) : NULL;
	size_t n = json_object_is_type(all, json_type_array) ? json_object_array_length(all) : 0, i;
	struct farswap_conf *conf = &farswapd.conf;
	unsigned int taken = 0;

	if (n > GROUP_BORROWED) {
		farswap_log_limited(&bad, "group %" PRIu32 " names %zu nodes: those after the first %u are passed over", of, n, GROUP_BORROWED);
		n = GROUP_BORROWED;
	}
	for (i = 0; i < n; i++)
		taken += take_lent(of, json_object_array_get_idx(all, i));
	for (i = 0; i < conf->n_nodes; i++)
		if (conf->nodes[i].joined && conf->nodes[i].group == of && !conf->nodes[i].left_ns && !names(all, n, conf->nodes[i].name))
			leave(&conf->nodes[i]);
	for (i = 0; i < WAITING_MAX; i++)
		if (waiting[i].node.group == of && !names(all, n, waiting[i].node.name))
			waiting[i].node.name[0] = 0;
	leader_saw_from(of, taken);
	json_object_put(all);
}

static void on_seen(void *arg, const struct engine_kv *kv)
{
	char prefix[ENGINE_KEY_MAX];
	const char *key;
	uint64_t other;

	(void)arg;
	key = kv->key + snprintf(prefix, sizeof(prefix), "group/%" PRIu32 "/", group);
	if (!strncmp(key, "node/", 5))
		saw_node(key + 5, kv->value);
	else if (!strncmp(key, "from/", 5) && !farswap_parse_u64(key + 5, GROUPS_MAX - 1, &other) && other != group)
		saw_from((uint32_t)other, kv->value);
	else if (!strncmp(key, "ask/", 4) && !farswap_parse_u64(key + 4, GROUPS_MAX - 1, &other) && other != group)
		leader_saw_ask((uint32_t)other, kv->value);
	else if (!strcmp(key, "usual"))
		leader_saw_usual(kv->value);
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

/* --- for its leader --- */

size_t members_view(struct placement_node *view, const struct farswap_node **map)
{
	const struct farswap_conf *conf = &farswapd.conf;
	size_t n = 0, i;

	*load_of(farswapd.self) = own_load();
	for (i = 0; i < conf->n_nodes; i++) {
		const struct farswap_node *node = &conf->nodes[i];

		if (node != farswapd.self && (!is_near(node) || node->left_ns || node->recalled))
			continue;
		map[n] = node;
		view[n++] = (struct placement_node) { .rack = node->rack, .offered = loads[i].offered, .lent = loads[i].lent };
	}
	return n;
}

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
		one = members_record(node);
		json_object_object_add(one, "left", json_object_new_boolean(node->left_ns != 0));
		if (node->joined && node->group != GROUPS_NONE)
			json_object_object_add(one, "group", json_object_new_uint64(node->group));
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
	struct json_object *all = json_object_new_object();
	bool done;

	json_object_object_add(all, "group", json_object_new_uint64(group));
	json_object_object_add(all, "nodes", nodes_status());
	file_path(path, sizeof(path), "");
	file_path(next, sizeof(next), ".new");
	done = !json_object_to_file_ext(next, all, JSON_C_TO_STRING_PLAIN) && !rename(next, path);
	json_object_put(all);
	if (!done)
		farswap_log_limited(&limit, "%s cannot be written: a farswapd that is started while etcd is away knows no other nodes", path);
	changed = !done;
}

static uint32_t group_of(struct json_object *all)
{
	struct json_object *value;

	return json_object_object_get_ex(all, "group", &value) ? number_of(all, "group", GROUPS_NONE) : GROUPS_NONE;
}

/* a file of this daemon's own, newer than cluster.conf's sections: what is no good in it is passed over. The group: GROUPS_NONE if it says none */
static uint32_t recall(void)
{
	struct farswap_conf *conf = &farswapd.conf;
	struct json_object *file, *all = NULL, *one, *value;
	struct farswap_node node;
	char path[4200], why[200];
	size_t i, n;
	uint32_t of;

	file_path(path, sizeof(path), "");
	file = json_object_from_file(path);
	of = group_of(file);
	n = json_object_object_get_ex(file, "nodes", &all) && json_object_is_type(all, json_type_array) ? json_object_array_length(all) : 0;
	for (i = 0; i < conf->n_nodes && n; i++)
		if (conf->nodes[i].joined)
			nodes_remove(&conf->nodes[i]);
	for (i = 0; i < n; i++) {
		const char *name = text_of(one = json_object_array_get_idx(all, i), "name");

		if (!name || !strcmp(name, farswapd.self->name) || read_node(name, group_of(one), one, &node))
			continue;
		if (json_object_object_get_ex(one, "left", &value) && json_object_get_boolean(value))
			node.left_ns = farswap_now_ns();
		node.recalled = !node.left_ns;
		take(&node, (struct load) { 0 }, why, sizeof(why));
	}
	json_object_put(file);
	return of;
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

static int on_look(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	(void)arg;
	tell();
	leader_look();
	forget_the_gone();
	try_waiting();
	if (changed)
		remember();
	return farswapd_timer(&looking, LOOK_EVERY, on_look, NULL);
}

static void on_group(uint32_t number)
{
	char prefix[ENGINE_KEY_MAX];

	group = number;
	changed = true;
	snprintf(prefix, sizeof(prefix), "group/%" PRIu32 "/", group);
	listens = !ops->watch(engine, prefix, &watcher, NULL) && !leader_begin(ops, engine, group);
	if (!listens) {
		farswap_log("etcd: out of memory");
		sd_event_exit(farswapd.loop, 1);
	}
}

int members_init(void)
{
	struct engine_settings settings = { .n_endpoints = farswapd.conf.n_etcd, .ttl_s = farswapd.conf.etcd_ttl_s };
	char prefix[sizeof("/farswap//") + FARSWAP_NAME_BYTES], err[400];
	unsigned int i;
	uint32_t known;

	if (!settings.n_endpoints)
		return 0;
	known = recall();
	for (i = 0; i < settings.n_endpoints; i++)
		settings.endpoints[i] = farswapd.conf.etcd[i];
	snprintf(prefix, sizeof(prefix), "/farswap/%s/", farswapd.conf.etcd_name);
	settings.prefix = prefix;
	engine = ops->start(&settings, err, sizeof(err));
	if (!engine) {
		farswap_log("%s: etcd=: %s", farswapd.conf.path, err);
		return -1;
	}
	if (farswapd_timer(&looking, 0, on_look, NULL) < 0) {
		farswap_log("etcd: out of memory");
		return -1;
	}
	return groups_begin(ops, engine, known, on_group);
}

void members_conf(void)
{
	told_ns = 0;
	if (engine)
		tell();
}

void members_exit(bool again)
{
	looking = sd_event_source_disable_unref(looking);
	groups_exit();
	if (!engine)
		return;
	if (!again)
		ops->leave(engine);
	ops->stop(engine);
	leader_exit();
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
	if (listens)
		leader_status(all);
	ops->state(engine, &state);
	json_object_object_add(all, "reached", json_object_new_boolean(state.reached));
	json_object_object_add(all, "since_s", json_object_new_uint64((farswap_now_ns() - state.since_ns) / 1000000000u));
	json_object_object_add(all, "endpoint", json_object_new_string(state.endpoint));
	json_object_object_add(all, "version", json_object_new_string(state.version));
	json_object_object_add(all, "why", json_object_new_string(state.why));
	return all;
}
