// SPDX-License-Identifier: GPL-2.0
/* Which group a node takes a place in, and what its leader does, with an engine that is only pretended: keys in a table, and a clock. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farswapd.h"
#include "group.h"
#include "groups.h"
#include "leader.h"
#include "log.h"
#include "members.h"

#define SECOND		1000000000ull
#define KEYS		400
#define CALLS		16
#define PLACES		8
#define NOT_BEGUN	12345

struct farswapd farswapd;

/* --- the engine --- */

static struct entry {
	char key[ENGINE_KEY_MAX], value[ENGINE_VALUE_MAX + 1];
	uint64_t mod;
	unsigned int puts;
	bool leased;
} entries[KEYS];
static struct call {
	char key[ENGINE_KEY_MAX];
	engine_got got;
	engine_done done;
	struct engine_put puts[ENGINE_PUTS_MAX];
	unsigned int n;
	void *arg;
} calls[CALLS];
static unsigned int n_calls, n_puts;
static bool reached, by_the_clock;
static uint64_t revision, now;
static const struct engine_candidate *candidate;
static void (*meanwhile)(void);		/* what another node does between a get and a put */

static struct entry *entry(const char *key)
{
	unsigned int i;

	for (i = 0; i < KEYS && entries[i].key[0] && strcmp(entries[i].key, key); i++)
		;
	assert_true(i < KEYS);
	return &entries[i];
}

static const char *value(const char *key)
{
	return entry(key)->key[0] ? entry(key)->value : NULL;
}

static void set(const char *key, const char *text)
{
	struct entry *at = entry(key);

	snprintf(at->key, sizeof(at->key), "%s", key);
	snprintf(at->value, sizeof(at->value), "%s", text);
	at->mod = ++revision;
	at->puts++;
}

static bool fake_get(struct engine *engine, const char *key, engine_got got, void *arg)
{
	(void)engine;
	if (!reached || n_calls == CALLS)
		return false;
	calls[n_calls] = (struct call) { .got = got, .arg = arg };
	snprintf(calls[n_calls++].key, sizeof(calls[0].key), "%s", key);
	return true;
}

static bool fake_put(struct engine *engine, const struct engine_put *puts, unsigned int n, engine_done done, void *arg)
{
	struct call *call = &calls[n_calls];
	unsigned int i;

	(void)engine;
	if (!reached || n_calls == CALLS)
		return false;
	*call = (struct call) { .done = done, .n = n, .arg = arg };
	for (i = 0; i < n; i++) {
		call->puts[i] = puts[i];
		call->puts[i].key = strdup(puts[i].key);
		call->puts[i].value = strdup(puts[i].value);
	}
	n_calls++;
	n_puts++;
	return true;
}

static bool holds(const struct call *call)
{
	unsigned int i;

	for (i = 0; i < call->n; i++)
		if (call->puts[i].compare && entry(call->puts[i].key)->mod != call->puts[i].mod)
			return false;
	return true;
}

static void answer_put(struct call *call)
{
	bool all = holds(call);
	unsigned int i;

	for (i = 0; i < call->n; i++) {
		if (all) {
			set(call->puts[i].key, call->puts[i].value);
			entry(call->puts[i].key)->leased = call->puts[i].leased;
		}
		free((void *)(uintptr_t)call->puts[i].key);
		free((void *)(uintptr_t)call->puts[i].value);
	}
	call->done(call->arg, all ? ENGINE_DONE : ENGINE_DIFFERS, all ? revision : 0);
}

static void answer_all(void)
{
	while (n_calls) {
		struct call call = calls[0];
		struct engine_kv kv;

		memmove(calls, calls + 1, --n_calls * sizeof(*calls));
		if (call.done) {
			answer_put(&call);
			continue;
		}
		kv = (struct engine_kv) { entry(call.key)->key, entry(call.key)->value, entry(call.key)->mod, entry(call.key)->mod };
		call.got(call.arg, ENGINE_DONE, kv.key[0] ? &kv : NULL);
		if (meanwhile && !strcmp(call.key, GROUPS_KEY))
			meanwhile();
	}
}

static int fake_campaign(struct engine *engine, const char *election, const char *name, const struct engine_candidate *as, void *arg)
{
	(void)engine;
	(void)arg;
	assert_string_equal(election, "leader/5");
	assert_string_equal(name, "me");
	candidate = as;
	return 0;
}

static bool fake_leads(struct engine *engine, const char *election)
{
	(void)engine;
	assert_string_equal(election, "leader/5");
	return by_the_clock;
}

static const struct engine_ops fake = { .name = "fake", .get = fake_get, .put = fake_put, .campaign = fake_campaign, .leads = fake_leads };

/* --- what groups.c and leader.c are linked with --- */

static sd_event_time_handler_t timer;
static uint64_t timer_ns;
static char said[300];

int farswapd_timer(sd_event_source **source, uint64_t usec, sd_event_time_handler_t handler, void *arg)
{
	(void)source;
	assert_null(arg);
	timer = handler;
	timer_ns = now + usec * 1000;
	return 0;
}

void farswap_log_limited(struct farswap_log_limit *limit, const char *format, ...)
{
	va_list args;

	(void)limit;
	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

void farswap_log(const char *format, ...)
{
	(void)format;
}

uint64_t __wrap_farswap_now_ns(void);
uint64_t __wrap_farswap_now_ns(void)
{
	return now;
}

static struct farswap_node nodes[32];
static struct placement_node loads[32];
static size_t n_nodes;

size_t members_view(struct placement_node *view, const struct farswap_node **map)
{
	size_t i;

	for (i = 0; i < n_nodes; i++) {
		view[i] = loads[i];
		map[i] = &nodes[i];
	}
	return n_nodes;
}

struct json_object *members_record(const struct farswap_node *node)
{
	return json_object_new_string(node->name);
}

static int begin(void **state)
{
	static struct farswap_node self = { .name = "me" };

	(void)state;
	memset(entries, 0, sizeof(entries));
	memset(loads, 0, sizeof(loads));
	farswapd.self = &self;
	farswapd.conf.etcd_group = PLACES;
	n_calls = n_nodes = n_puts = 0;
	reached = by_the_clock = true;
	meanwhile = NULL;
	timer = NULL;
	said[0] = 0;
	now = 1000 * SECOND;
	return 0;
}

/* --- places --- */

static uint32_t begun;

static void on_begun(uint32_t group)
{
	assert_int_equal(begun, NOT_BEGUN);	/* once */
	begun = group;
}

/* what the engine tells a node of that name, until it rests */
static uint32_t place_of(const char *name, uint32_t known)
{
	unsigned int i;

	snprintf(farswapd.self->name, sizeof(farswapd.self->name), "%s", name);
	farswapd.incarnation++;
	begun = NOT_BEGUN;
	groups_begin(&fake, NULL, known, on_begun);
	for (i = 0; i < 200 && timer; i++) {
		sd_event_time_handler_t run = timer;

		now = timer_ns;
		timer = NULL;
		run(NULL, 0, NULL);
		answer_all();
	}
	return begun;
}

static void sizes_are_the_places(unsigned int n_names)
{
	uint32_t sizes[GROUPS_MAX], counted[GROUPS_MAX] = { 0 };
	int n = groups_parse(value(GROUPS_KEY), sizes), i;
	unsigned int k, all = 0;

	for (k = 0; k < KEYS; k++) {
		if (strncmp(entries[k].key, "place/", 6))
			continue;
		counted[atoi(entries[k].value)]++;
		all++;
	}
	assert_int_equal(all, n_names);
	for (i = 0; i < n; i++)
		assert_int_equal(sizes[i], counted[i]);
}

static unsigned int rivals;

/* two times another node is faster */
static void rival_joins(void)
{
	uint32_t sizes[GROUPS_MAX], group;
	char text[GROUPS_MAX + 1], key[32], number[16];
	size_t n;

	if (rivals % 3 < 2) {
		n = (size_t)groups_parse(value(GROUPS_KEY), sizes);
		assert_true(groups_choose(GROUPS_NONE, GROUPS_NONE, PLACES, sizes, &n, &group));
		groups_print(sizes, n, text);
		set(GROUPS_KEY, text);
		snprintf(key, sizeof(key), "place/rival%u", rivals);
		snprintf(number, sizeof(number), "%" PRIu32, group);
		set(key, number);
	}
	rivals++;
}

static void nodes_take_places_beside_each_other(void **state)
{
	unsigned int i, joined;
	char name[16];

	(void)state;
	rivals = 0;
	meanwhile = rival_joins;
	for (i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_in_range(place_of(name, GROUPS_NONE), 0, 149 / PLACES);
	}
	assert_int_equal(rivals, 150);		/* each had to try three times */
	joined = 50 + 100;
	sizes_are_the_places(joined);
	assert_int_equal(strlen(value(GROUPS_KEY)), (joined + PLACES - 1) / PLACES);
}

static void a_node_comes_back_to_its_group(void **state)
{
	unsigned int puts;

	(void)state;
	set(GROUPS_KEY, "883");
	set("place/a", "1");
	puts = n_puts;
	assert_int_equal(place_of("a", GROUPS_NONE), 1);	/* full, as it is counted there itself */
	assert_int_equal(n_puts, puts);
	assert_int_equal(place_of("b", GROUPS_NONE), 2);
	assert_string_equal(value(GROUPS_KEY), "884");
	assert_string_equal(value("place/b"), "2");
}

static void one_whose_place_was_given_away_takes_another(void **state)
{
	(void)state;
	set(GROUPS_KEY, "893");		/* more came back than there are places */
	set("place/a", "1");
	assert_int_equal(place_of("a", GROUPS_NONE), 2);
	assert_string_equal(value(GROUPS_KEY), "884");
	assert_string_equal(value("place/a"), "2");
}

static void a_daemon_stays_where_its_node_is(void **state)
{
	(void)state;
	reached = false;		/* it begins at once, and is counted when the engine is there, which has lost all */
	snprintf(farswapd.self->name, sizeof(farswapd.self->name), "a");
	begun = NOT_BEGUN;
	groups_begin(&fake, NULL, 2, on_begun);
	assert_int_equal(begun, 2);
	timer(NULL, 0, NULL);
	assert_null(value(GROUPS_KEY));
	reached = true;
	assert_int_equal(place_of("a", 2), 2);
	assert_string_equal(value(GROUPS_KEY), "001");
	assert_string_equal(value("place/a"), "2");
	set("place/a", "0");
	set(GROUPS_KEY, "101");
	assert_int_equal(place_of("a", 2), 2);
	assert_string_equal(value(GROUPS_KEY), "002");
}

static void nonsense_is_left_alone(void **state)
{
	(void)state;
	set(GROUPS_KEY, "8 3");
	assert_int_equal(place_of("a", GROUPS_NONE), NOT_BEGUN);
	assert_string_equal(value(GROUPS_KEY), "8 3");
	assert_non_null(strstr(said, "what is under groups is not understood"));
	set(GROUPS_KEY, "83");
	set("place/a", "7");		/* no such group */
	assert_int_equal(place_of("a", GROUPS_NONE), 1);
}

static void there_is_an_end_of_groups(void **state)
{
	uint32_t sizes[GROUPS_MAX], group, i;
	size_t n = GROUPS_MAX;

	(void)state;
	for (i = 0; i < GROUPS_MAX; i++)
		sizes[i] = PLACES;
	assert_true(groups_choose(GROUPS_NONE, GROUPS_NONE, PLACES, sizes, &n, &group));
	assert_int_equal(group, GROUPS_MAX - 1);
	assert_int_equal(n, GROUPS_MAX);
	assert_int_equal(sizes[group], PLACES + 1);
}

/* --- the leader --- */

static void seconds(unsigned int n)
{
	while (n--) {
		now += SECOND;
		leader_look();
		answer_all();
	}
}

/* so many donors that offer so much and have lent so much, each */
static void donors(size_t n, uint32_t offered, uint32_t lent)
{
	size_t i;

	for (i = 0; i < n; i++) {
		snprintf(nodes[i].name, sizeof(nodes[i].name), "d%zu", i);
		loads[i] = (struct placement_node) { .offered = offered, .lent = lent };
	}
	n_nodes = n;
}

static void lead(void)
{
	strcpy(farswapd.self->name, "me");
	leader_exit();
	assert_int_equal(leader_begin(&fake, NULL, 5), 0);
	candidate->leads(NULL, true);
}

static void totals_are_told_at_a_bounded_rate(void **state)
{
	unsigned int i;

	(void)state;
	lead();
	for (i = 0; i < 300; i++) {	/* each second another */
		donors(4, 100, i % 100);
		seconds(1);
	}
	assert_in_range(entry("total/5")->puts, 59, 61);
	assert_true(entry("total/5")->leased);
	entry("total/5")->puts = 0;
	donors(4, 100, 40);
	seconds(300);
	assert_string_equal(value("total/5"), "400 160");
	assert_in_range(entry("total/5")->puts, 10, 12);
	assert_null(value("group/5/usual"));	/* nothing was heard of another group */
	by_the_clock = false;			/* its term is over, and nobody has told it */
	donors(4, 100, 50);
	seconds(100);
	assert_string_equal(value("total/5"), "400 160");
}

static void what_is_usual_is_told(void **state)
{
	struct placement_node view[5] = { { .offered = 100, .lent = 90 } };
	unsigned int i;

	(void)state;
	for (i = 1; i < 5; i++)
		view[i] = (struct placement_node) { .offered = 100, .lent = 10 };
	set(GROUPS_KEY, "444444");
	set("total/0", "100 20");
	set("total/1", "100 20");
	set("total/2", "100 20");
	set("total/3", "100 20");
	set("total/4", "100 20");
	lead();
	donors(4, 100, 40);
	seconds(400);
	assert_string_equal(value("group/5/usual"), "240");	/* 16 times 20 of 100, and 160 of 400 */
	assert_in_range(entry("group/5/usual")->puts, 13, 30);
	leader_bar(view, 5);
	assert_false(view[0].barred);		/* a member has not seen it yet */
	leader_saw_usual("240");
	leader_bar(view, 5);
	assert_true(view[0].barred);
	for (i = 1; i < 5; i++)
		assert_false(view[i].barred);
	view[0].barred = false;
	view[1].taken = true;			/* three are left: not enough */
	leader_bar(view, 5);
	assert_false(view[0].barred);
	leader_saw_usual(NULL);
	view[1].taken = false;
	leader_bar(view, 5);
	assert_false(view[0].barred);
}

static void a_short_group_asks_the_freer(void **state)
{
	(void)state;
	set(GROUPS_KEY, "222222");
	set("total/0", "100 90");
	set("total/1", "100 100");
	lead();
	donors(2, 100, 50);		/* no set of three there */
	seconds(3);
	assert_true(!value("group/0/ask/5") && !value("group/1/ask/5") && !value("group/2/ask/5"));	/* it does not know of others yet */
	seconds(600);
	assert_non_null(value("group/0/ask/5"));
	assert_null(value("group/1/ask/5"));	/* it has nothing left */
	assert_null(value("group/2/ask/5"));	/* it tells nothing: nobody leads it */
	assert_true(entry("group/0/ask/5")->leased);
}

static void one_that_names_nobody_is_not_asked_for_ever(void **state)
{
	unsigned int i, asked;

	(void)state;
	set(GROUPS_KEY, "222222");
	set("total/0", "100 10");
	set("total/1", "100 10");
	lead();
	donors(2, 100, 50);
	for (i = 0; i < 60; i++) {
		seconds(10);
		asked = (value("group/0/ask/5") && value("group/0/ask/5")[0]) + (value("group/1/ask/5") && value("group/1/ask/5")[0]);
		assert_true(asked <= 1);
	}
	assert_true(value("group/0/ask/5") && value("group/1/ask/5") && asked);
	donors(4, 100, 10);		/* short no more: nor in ten minutes */
	seconds(620);
	assert_string_equal(value("group/0/ask/5"), "");
	assert_string_equal(value("group/1/ask/5"), "");
}

static void names_are_kept_while_it_is_short(void **state)
{
	unsigned int i, asked = 0;
	char key[32];

	(void)state;
	set(GROUPS_KEY, "22222222");
	for (i = 0; i < 8; i++) {
		snprintf(key, sizeof(key), "total/%u", i);
		if (i != 5)
			set(key, i < 4 ? "100 100" : "100 10");
	}
	lead();
	donors(2, 100, 50);
	for (i = 0; i < 4; i++)
		leader_saw_from(i, 2);
	seconds(590);
	assert_null(value("group/0/ask/5"));	/* not each minute another */
	seconds(400);
	for (i = 0; i < 8; i++) {
		snprintf(key, sizeof(key), "group/%u/ask/5", i);
		asked += value(key) && value(key)[0];
	}
	assert_true(asked && (value("group/4/ask/5") || value("group/6/ask/5") || value("group/7/ask/5")));
	assert_string_equal(value("group/0/ask/5"), "");	/* four name donors: for one more, the first gives way */
	assert_true(!value("group/1/ask/5") && !value("group/2/ask/5") && !value("group/3/ask/5"));
	donors(4, 100, 10);		/* it is not short any more */
	for (i = 0; i < 4; i++) {
		snprintf(key, sizeof(key), "group/%u/ask/5", i);
		set(key, "100");
	}
	seconds(590);
	assert_string_equal(value("group/0/ask/5"), "100");
	for (i = 0; i < 5; i++) {	/* first the one that was asked last, and named nobody */
		unsigned int gone = 0, g;

		seconds(i ? 600 : 20);
		for (g = 0; g < 4; g++) {
			snprintf(key, sizeof(key), "group/%u/ask/5", g);
			if (!value(key)[0]) {
				gone++;
				leader_saw_from(g, 0);	/* as its leader answers */
			}
		}
		assert_int_equal(gone, i);
	}
}

static void others_are_named_the_freest(void **state)
{
	const char *names;

	(void)state;
	set(GROUPS_KEY, "222222");
	lead();
	donors(10, 100, 40);
	loads[3].lent = 100;
	leader_saw_ask(2, "450");
	seconds(2);
	names = value("group/2/from/5");
	assert_non_null(names);
	assert_true(entry("group/2/from/5")->leased);
	assert_int_equal(strlen(names), strlen("[\"d0\",\"d1\",\"d2\",\"d4\",\"d5\",\"d6\",\"d7\",\"d8\"]"));	/* eight of them */
	assert_null(strstr(names, "d3"));
	seconds(100);
	assert_int_equal(entry("group/2/from/5")->puts, 1);
	leader_saw_ask(2, "451");	/* asked again */
	seconds(2);
	assert_int_equal(entry("group/2/from/5")->puts, 2);
	leader_saw_ask(2, NULL);	/* who asked has ended: the next one asks anew, or says that it needs none */
	seconds(2);
	assert_int_equal(entry("group/2/from/5")->puts, 2);
	leader_saw_ask(2, "");
	seconds(2);
	assert_string_equal(value("group/2/from/5"), "[]");

	leader_saw_ask(3, "450");	/* while another leads */
	by_the_clock = false;
	candidate->leads(NULL, false);
	seconds(10);
	assert_null(value("group/3/from/5"));
	by_the_clock = true;		/* which was not answered, as far as it knows */
	candidate->leads(NULL, true);
	seconds(2);
	assert_non_null(value("group/3/from/5"));
}

static void what_is_asked_is_not_believed(void **state)
{
	unsigned int i;

	(void)state;
	lead();
	donors(10, 100, 40);
	leader_saw_ask(2, "many");
	leader_saw_ask(2, "1001");
	leader_saw_ask(2, NULL);
	seconds(5);
	assert_null(value("group/2/from/5"));
	for (i = 10; i < 200; i++)	/* more groups than it can remember */
		leader_saw_ask(i, "450");
	seconds(10);
	assert_non_null(value("group/10/from/5"));
	assert_non_null(value("group/73/from/5"));
	assert_null(value("group/74/from/5"));
	leader_saw_ask(10, "");		/* a place is free again */
	leader_saw_ask(300, "450");
	seconds(5);
	assert_non_null(value("group/300/from/5"));
	leader_saw_usual("none");
	leader_saw_from(7, 0);
	for (i = 0; i < 20; i++)
		leader_saw_from(i, 8);
}

static void what_the_engine_has_lost_is_made_anew(void **state)
{
	(void)state;
	lead();
	donors(6, 100, 40);
	seconds(70);
	assert_string_equal(value(GROUPS_KEY), "000006");
	set(GROUPS_KEY, "3");
	seconds(70);
	assert_string_equal(value(GROUPS_KEY), "300006");
}

static void places_of_those_that_are_gone_are_free_after_an_hour(void **state)
{
	(void)state;
	set(GROUPS_KEY, "222224");
	lead();
	donors(3, 100, 40);
	seconds(3500);
	assert_string_equal(value(GROUPS_KEY), "222224");
	seconds(200);
	assert_string_equal(value(GROUPS_KEY), "222223");
	donors(6, 100, 40);		/* more are there than were counted: at once */
	seconds(70);
	assert_string_equal(value(GROUPS_KEY), "222226");
	assert_false(entry(GROUPS_KEY)->leased);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nodes_take_places_beside_each_other, begin),
		cmocka_unit_test_setup(a_node_comes_back_to_its_group, begin),
		cmocka_unit_test_setup(one_whose_place_was_given_away_takes_another, begin),
		cmocka_unit_test_setup(a_daemon_stays_where_its_node_is, begin),
		cmocka_unit_test_setup(nonsense_is_left_alone, begin),
		cmocka_unit_test_setup(there_is_an_end_of_groups, begin),
		cmocka_unit_test_setup(totals_are_told_at_a_bounded_rate, begin),
		cmocka_unit_test_setup(what_is_usual_is_told, begin),
		cmocka_unit_test_setup(a_short_group_asks_the_freer, begin),
		cmocka_unit_test_setup(one_that_names_nobody_is_not_asked_for_ever, begin),
		cmocka_unit_test_setup(names_are_kept_while_it_is_short, begin),
		cmocka_unit_test_setup(others_are_named_the_freest, begin),
		cmocka_unit_test_setup(what_is_asked_is_not_believed, begin),
		cmocka_unit_test_setup(what_the_engine_has_lost_is_made_anew, begin),
		cmocka_unit_test_setup(places_of_those_that_are_gone_are_free_after_an_hour, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
