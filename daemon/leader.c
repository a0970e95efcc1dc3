// SPDX-License-Identifier: GPL-2.0
#include "leader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "draw.h"
#include "farswapd.h"
#include "group.h"
#include "groups.h"
#include "log.h"
#include "members.h"
#include "util.h"

#define SECOND_NS	1000000000ull
#define TELL_NS		(5 * SECOND_NS)		/* what has changed is told so often at most */
#define TELL_ANEW_NS	(30 * SECOND_NS)	/* and what has not, as a lease may have been lost meanwhile */
#define HEAR_NS		(10 * SECOND_NS)
#define COUNT_NS	(60 * SECOND_NS)	/* the places that are taken */
#define GONE_NS		(3600 * SECOND_NS)	/* more are taken than there are nodes, for so long: they are gone for good */
#define ASK_NS		(60 * SECOND_NS)	/* another group, while this one is short */
#define ASK_SOON_NS	(10 * SECOND_NS)	/* while none has named a donor */
#define KEEP_NS		(600 * SECOND_NS)	/* short no more for so long: those of others are not needed */
#define USUAL_STEP	5			/* thousandths: less is no news */
#define FROM_MAX	4			/* groups that name donors to this one */
#define ASKS_MAX	64			/* groups that this one names some to */
#define NONE		UINT32_MAX		/* no group */

struct tale {			/* what was told under one key */
	char value[ENGINE_VALUE_MAX];
	uint64_t ns;		/* when; 0: never */
};

struct ask {
	uint32_t group;
	uint32_t usual;
	bool wants, due;	/* due: not answered by this node, which is for a leader to do */
};

struct from {
	uint32_t group;
	unsigned int named;
	uint64_t since_ns;
};

struct heard {			/* one that is just listened to, or of two that are chosen among when this group is short */
	uint32_t group;
	bool answered;
	struct group_total total;
};

static struct {
	const struct engine_ops *ops;
	struct engine *engine;
	uint32_t group;
	char election[32];
	char leader[FARSWAP_NAME_BYTES];
	bool has_usual;
	uint32_t usual;			/* as told to the members */
	struct ask asks[ASKS_MAX];
	size_t n_asks;
	struct from from[FROM_MAX + 1];	/* one more while it takes the place of another */
	size_t n_from;
	/* while it leads */
	bool leads, is_short;
	uint32_t groups;		/* how many there are */
	uint32_t nodes;			/* of this one, at the last look, */
	struct group_total own;		/* and what they offer and have lent */
	struct group_known known;
	struct tale total, usual_told;
	struct heard listened, heard[2];
	bool choosing;			/* between these two */
	uint32_t asked;			/* last */
	uint64_t hear_ns, count_ns, ask_ns, short_ns, more_ns;	/* when next; when it was short last; since when more places are taken than there are nodes */
	uint64_t seed;
} l;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

static bool may_act(void)
{
	return l.leads && l.ops->leads(l.engine, l.election);
}

static void on_put(void *arg, enum engine_result result, uint64_t revision)
{
	struct tale *tale = arg;

	(void)revision;
	if (tale && result != ENGINE_DONE)
		tale->ns = 0;
}

static bool put(const char *key, const char *value, struct tale *tale)
{
	struct engine_put one = { .key = key, .value = value, .leased = true };

	return may_act() && l.ops->put(l.engine, &one, 1, on_put, tale);
}

/* news: false: it has hardly changed */
static void tell(struct tale *tale, const char *key, const char *value, bool news)
{
	uint64_t now = farswap_now_ns();

	if (tale->ns && now - tale->ns < (news ? TELL_NS : TELL_ANEW_NS))
		return;
	if (!put(key, value, tale))
		return;
	tale->ns = now;
	snprintf(tale->value, sizeof(tale->value), "%s", value);
}

/* --- its own group --- */

static void tell_total(const struct group_total *total)
{
	char key[32], value[64];

	snprintf(key, sizeof(key), "total/%" PRIu32, l.group);
	snprintf(value, sizeof(value), "%" PRIu64 " %" PRIu64, total->offered, total->lent);
	tell(&l.total, key, value, strcmp(l.total.value, value) != 0);
}

/* a group that has heard of no other tells nothing: placement evens its donors out */
static void tell_usual(uint32_t usual)
{
	char key[48], value[16];
	uint32_t told = (uint32_t)strtoul(l.usual_told.value, NULL, 10);

	if (!l.known.n)
		return;
	snprintf(key, sizeof(key), "group/%" PRIu32 "/usual", l.group);
	snprintf(value, sizeof(value), "%" PRIu32, usual);
	tell(&l.usual_told, key, value, !l.usual_told.ns || (usual > told ? usual - told : told - usual) >= USUAL_STEP);
}

/* --- the other groups --- */

static bool parse_total(const char *text, struct group_total *total)
{
	char *end;

	total->offered = strtoull(text, &end, 10);
	if (end == text || *end != ' ')
		return false;
	text = end + 1;
	total->lent = strtoull(text, &end, 10);
	return end != text && !*end && total->lent <= total->offered && total->offered < UINT32_MAX;
}

static void say_ask(uint32_t other, const char *value)
{
	char key[64];

	snprintf(key, sizeof(key), "group/%" PRIu32 "/ask/%" PRIu32, other, l.group);
	put(key, value, NULL);
}

static struct from *from_of(uint32_t other)
{
	struct from *from;

	for (from = l.from; from < l.from + l.n_from; from++)
		if (from->group == other)
			return from;
	return NULL;
}

static struct from *oldest_from(void)
{
	struct from *from, *first = l.from;

	for (from = l.from; from < l.from + l.n_from; from++)
		if (from->since_ns < first->since_ns)
			first = from;
	return first;
}

/* the one that has named donors for longest gives way when there are enough that do; so does one that was asked and named none */
static void make_way(uint32_t other)
{
	if (l.n_from >= FROM_MAX && !from_of(other))
		say_ask(oldest_from()->group, "");
	if (l.asked != NONE && l.asked != other && !from_of(l.asked))
		say_ask(l.asked, "");
	l.asked = other;
}

static uint32_t usual_now(void)
{
	return group_usual(&l.known, &l.own);
}

static void choose(void)
{
	int freer = group_freer(&l.heard[0].total, &l.heard[1].total);
	char value[16];

	l.choosing = false;
	if (freer < 0)
		return;
	snprintf(value, sizeof(value), "%" PRIu32, usual_now());
	make_way(l.heard[freer].group);
	say_ask(l.heard[freer].group, value);
	farswap_log_limited(&limit, "group %" PRIu32 " is short: group %" PRIu32 " is asked for donors", l.group, l.heard[freer].group);
}

static void on_total(void *arg, enum engine_result result, const struct engine_kv *kv)
{
	struct heard *heard = arg;

	heard->answered = true;
	heard->total = (struct group_total) { 0 };
	if (result == ENGINE_DONE && kv && parse_total(kv->value, &heard->total))
		group_hear(&l.known, &heard->total);
	if (heard != &l.listened && l.heard[0].answered && l.heard[1].answered)
		choose();
}

static bool hear(struct heard *heard, uint32_t other)
{
	char key[32];

	heard->group = other;
	heard->answered = false;
	snprintf(key, sizeof(key), "total/%" PRIu32, other);
	return l.ops->get(l.engine, key, on_total, heard);
}

/* any but this one and that; NONE: there is none */
static uint32_t draw_group(uint32_t that)
{
	uint32_t others = l.groups - 1 - (that != NONE), drawn;

	if (l.groups < 2 || !others)
		return NONE;
	for (;;) {
		drawn = (uint32_t)(farswap_draw(&l.seed) % l.groups);
		if (drawn != l.group && drawn != that)
			return drawn;
	}
}

static void ask_others(uint64_t now)
{
	uint32_t a = draw_group(NONE), b;

	if (a == NONE || l.choosing || now < l.ask_ns || (l.n_from >= FROM_MAX && now - oldest_from()->since_ns < KEEP_NS))
		return;
	l.ask_ns = now + (l.n_from ? ASK_NS : ASK_SOON_NS);
	b = draw_group(a);
	l.heard[1].answered = true;
	l.heard[1].total = (struct group_total) { 0 };
	if (!hear(&l.heard[0], a))
		return;
	l.choosing = true;
	if (b != NONE && !hear(&l.heard[1], b))
		l.heard[1].answered = true;	/* the first alone, then */
}

/* --- what others ask of it --- */

static void answer(struct ask *ask)
{
	struct placement_node view[FARSWAP_NODES_MAX];
	const struct farswap_node *map[FARSWAP_NODES_MAX];
	size_t n = ask->wants ? members_view(view, map) : 0;
	struct json_object *all = json_object_new_array();
	int out[GROUP_BORROWED];
	unsigned int named = n ? group_candidates(view, n, ask->usual, &l.seed, out) : 0, i;
	char key[64];

	for (i = 0; i < named; i++)
		json_object_array_add(all, members_record(map[out[i]]));
	snprintf(key, sizeof(key), "group/%" PRIu32 "/from/%" PRIu32, ask->group, l.group);
	ask->due = !put(key, json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN), NULL);
	json_object_put(all);
}

void leader_saw_ask(uint32_t other, const char *value)
{
	struct ask *ask;
	uint64_t usual;
	size_t i;

	if (value && value[0] && farswap_parse_u64(value, 1000, &usual))
		return;
	for (ask = l.asks; ask < l.asks + l.n_asks && ask->group != other; ask++)
		;
	for (i = 0; i < l.n_asks && ask == l.asks + ASKS_MAX; i++)
		if (!l.asks[i].wants)
			ask = &l.asks[i];	/* which the leader has answered by now */
	if (ask == l.asks + ASKS_MAX)
		return;		/* it will ask another */
	if (!value) {		/* its leader has ended: what it was named stands until the next one does without, or asks anew */
		if (ask < l.asks + l.n_asks)
			*ask = l.asks[--l.n_asks];
		return;
	}
	if (ask == l.asks + l.n_asks)
		l.n_asks++;
	*ask = (struct ask) { .group = other, .wants = value[0], .due = true };
	if (ask->wants)
		ask->usual = (uint32_t)usual;
}

static void answer_asks(void)
{
	size_t i;

	for (i = 0; i < l.n_asks; i++) {
		if (l.asks[i].due)
			answer(&l.asks[i]);
		if (!l.asks[i].due && !l.asks[i].wants)
			l.asks[i--] = l.asks[--l.n_asks];
	}
}

/* --- what others name to it --- */

void leader_saw_from(uint32_t other, unsigned int named)
{
	struct from *from;

	for (from = l.from; from < l.from + l.n_from && from->group != other; from++)
		;
	if (named && from < l.from + FROM_MAX + 1) {
		if (from == l.from + l.n_from)
			l.n_from++;
		*from = (struct from) { .group = other, .named = named, .since_ns = farswap_now_ns() };
	} else if (!named && from < l.from + l.n_from) {
		*from = l.from[--l.n_from];
	}
}

static void look_at_need(struct placement_node *view, size_t n, uint64_t now)
{
	l.is_short = !group_bar(view, n, usual_now());
	if (l.is_short) {
		l.short_ns = now;
		ask_others(now);
	} else if ((l.n_from || l.asked != NONE) && now - l.short_ns >= KEEP_NS) {
		l.short_ns = now;	/* one after the other */
		say_ask(l.asked != NONE && !from_of(l.asked) ? l.asked : l.from[0].group, "");
		l.asked = NONE;
	}
}

/* --- how many places are taken --- */

static void on_counted(void *arg, enum engine_result result, const struct engine_kv *kv)
{
	uint32_t sizes[GROUPS_MAX], nodes = l.nodes;
	uint64_t now = farswap_now_ns();
	char text[GROUPS_MAX + 1];
	struct engine_put one = { .key = GROUPS_KEY, .value = text, .compare = true };
	int n;

	(void)arg;
	n = result == ENGINE_DONE ? groups_parse(kv ? kv->value : NULL, sizes) : -1;
	if (n < 0)
		return;		/* and the log says so: groups.c */
	while ((uint32_t)n <= l.group)	/* it was lost, and is made anew */
		sizes[n++] = 0;
	l.groups = (uint32_t)n;
	if (sizes[l.group] <= nodes)
		l.more_ns = now;
	if (sizes[l.group] == nodes || now - l.more_ns < (sizes[l.group] > nodes ? GONE_NS : 0))
		return;
	sizes[l.group] = nodes;
	groups_print(sizes, (size_t)n, text);
	one.mod = kv ? kv->mod : 0;
	if (may_act())
		l.ops->put(l.engine, &one, 1, on_put, NULL);
}

/* --- leading --- */

static void on_leads(void *arg, bool leads)
{
	uint64_t now = farswap_now_ns();
	size_t i;

	(void)arg;
	if (leads != l.leads)
		farswap_log_limited(&limit, "group %" PRIu32 ": this node %s", l.group, leads ? "leads it" : "leads it no more");
	l.leads = leads;
	l.total.ns = l.usual_told.ns = 0;
	l.known = (struct group_known) { 0 };
	l.hear_ns = l.count_ns = now;
	l.ask_ns = now + ASK_SOON_NS;	/* the members may just be coming back */
	l.asked = NONE;
	l.short_ns = l.more_ns = now;
	for (i = 0; i < l.n_asks && leads; i++)
		l.asks[i].due = true;
}

static void on_leader(void *arg, const char *value)
{
	(void)arg;
	snprintf(l.leader, sizeof(l.leader), "%s", value ? value : "");
}

static const struct engine_candidate candidate = { .leads = on_leads, .leader = on_leader };

void leader_look(void)
{
	struct placement_node view[FARSWAP_NODES_MAX];
	const struct farswap_node *map[FARSWAP_NODES_MAX];
	uint64_t now = farswap_now_ns();
	uint32_t other;
	size_t n;

	if (!may_act())
		return;
	n = members_view(view, map);
	l.own = group_total(view, n);
	l.nodes = (uint32_t)n;
	if (now >= l.count_ns && l.ops->get(l.engine, GROUPS_KEY, on_counted, NULL))
		l.count_ns = now + (l.groups > 1 ? COUNT_NS : HEAR_NS);
	other = draw_group(NONE);
	if (now >= l.hear_ns && other != NONE && hear(&l.listened, other))
		l.hear_ns = now + HEAR_NS;
	tell_total(&l.own);
	tell_usual(usual_now());
	look_at_need(view, n, now);
	answer_asks();
}

void leader_saw_usual(const char *value)
{
	uint64_t usual;

	l.has_usual = value && !farswap_parse_u64(value, 1000, &usual);
	if (l.has_usual)
		l.usual = (uint32_t)usual;
	else
		l.usual_told.ns = 0;
}

void leader_bar(struct placement_node *nodes, size_t n)
{
	if (l.has_usual)
		group_bar(nodes, n, l.usual);
}

int leader_begin(const struct engine_ops *ops, struct engine *engine, uint32_t group)
{
	l.ops = ops;
	l.engine = engine;
	l.group = group;
	l.groups = 1;
	l.seed = farswapd.incarnation;
	snprintf(l.election, sizeof(l.election), "leader/%" PRIu32, group);
	return ops->campaign(engine, l.election, farswapd.self->name, &candidate, NULL) ? -1 : 0;
}

void leader_exit(void)
{
	memset(&l, 0, sizeof(l));
}

void leader_status(struct json_object *all)
{
	struct json_object *from = json_object_new_array(), *one;
	size_t i;

	for (i = 0; i < l.n_from; i++) {
		one = json_object_new_object();
		json_object_object_add(one, "group", json_object_new_uint64(l.from[i].group));
		json_object_object_add(one, "nodes", json_object_new_uint64(l.from[i].named));
		json_object_array_add(from, one);
	}
	json_object_object_add(all, "group", json_object_new_uint64(l.group));
	json_object_object_add(all, "leader", json_object_new_string(l.leader));
	if (l.has_usual)
		json_object_object_add(all, "usual_thousandths", json_object_new_uint64(l.usual));
	if (l.leads) {
		json_object_object_add(all, "groups", json_object_new_uint64(l.groups));
		json_object_object_add(all, "short", json_object_new_boolean(l.is_short));
	}
	json_object_object_add(all, "from", from);
}
