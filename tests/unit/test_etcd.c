// SPDX-License-Identifier: GPL-2.0
/* The membership engine against a real etcd, which is killed, stopped and compacted. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd_world.h"

static uint64_t del(const char *key)
{
	return order("/v3/kv/deleterange", "{\"key\":\"%s\"}", b64(key));
}

static struct engine *begin(void)
{
	return begin_for(url, NULL, LONG_TTL_S);
}

static struct engine *begin_short(void)
{
	return begin_for(url, NULL, TTL_S);
}

static void end(struct engine *engine)
{
	engine_etcd.leave(engine);
	engine_etcd.stop(engine);
}

/* "a=1 b=2 a- ": what was told from the nth on */
static const char *story(const struct seen *seen, unsigned int from)
{
	static char text[SEEN_MAX];

	text[0] = 0;
	for (; from < seen->n; from++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), seen->at[from].gone ? "%s- " : "%s=%s ", seen->at[from].key,
			 seen->at[from].value);
	return text;
}

static struct engine *watch_from(struct engine *engine, const char *prefix, struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	assert_int_equal(engine_etcd.watch(engine, prefix, &watcher, seen), 0);
	wait_for(SOON, seen->listed);
	return engine;
}

/* --- joining and watching --- */

static void it_joins_when_etcd_comes(void **state)
{
	struct engine *engine = begin(), *second;

	(void)state;
	assert_int_equal(engine_etcd.join(engine, "node/early", "1"), 0);
	run_for(1.3);	/* tried twice */
	assert_false(state_of(engine).reached);
	wait_for(SOON, !strcmp(state_of(engine).why, "Connection refused"));
	assert_int_equal(count_lines("\n"), 1);
	assert_int_equal(count_lines("; nothing is known yet"), 1);
	start_etcd();
	await_etcd();
	wait_for(SOON, state_of(engine).reached);
	assert_string_equal(state_of(engine).why, "");
	assert_int_equal(strncmp(state_of(engine).version, "3.", 2), 0);
	assert_int_equal(count_lines("\n"), 2);
	second = watch_from(begin(), "node/", &seen);
	wait_for(SOON, is(&seen, "node/early", "1"));
	end(second);
	end(engine);
}

static void a_join_is_seen_and_changes_at_a_bounded_rate(void **state)
{
	struct engine *watching = watch_from(begin(), "node/", &seen), *engine = begin();
	uint64_t until;
	char value[16];
	unsigned int i;

	(void)state;
	engine_etcd.join(engine, "node/a", "0");
	wait_for(SOON, is(&seen, "node/a", "0"));
	until = farswap_now_ns() + 2200000000ull;
	for (i = 1; farswap_now_ns() < until; i++) {
		snprintf(value, sizeof(value), "%u", i);
		engine_etcd.join(engine, "node/a", value);
		turn();
	}
	wait_for(SOON, is(&seen, "node/a", value));
	assert_in_range(seen.n, 2, 5);
	assert_int_equal(seen.gone, 0);
	assert_int_equal(engine_etcd.join(engine, "with space", "0"), -EINVAL);
	end(engine);
	wait_for(TTL_S, is(&seen, "node/a", "gone"));	/* leave() does not wait for the lease */
	end(watching);
}

static void who_gives_no_sign_of_life_leaves(void **state)
{
	struct engine *watching = watch_from(begin(), "node/", &seen), *engine = begin_short();
	uint64_t gone;

	(void)state;
	engine_etcd.join(engine, "node/a", "0");
	wait_for(SOON, is(&seen, "node/a", "0"));
	run_for(TTL_S + 1);
	assert_int_equal(seen.gone, 0);		/* kept alive */
	engine_etcd.stop(engine);
	gone = farswap_now_ns();
	wait_for(TTL_S + 2, is(&seen, "node/a", "gone"));
	print_message("gone after %.1f s, with a lease of %u s\n", (double)(farswap_now_ns() - gone) / 1e9, TTL_S);
	end(watching);
}

static void a_lost_lease_is_taken_anew(void **state)
{
	struct engine *watching = watch_from(begin(), "node/", &seen), *engine = begin_short();
	char answer[4096], *at;

	(void)state;
	engine_etcd.join(engine, "node/a", "0");
	wait_for(SOON, is(&seen, "node/a", "0"));
	assert_true(post("/v3/kv/range", "{\"key\":\"L2ZhcnN3YXAvdGVzdC9ub2RlL2E=\"}", answer));
	at = strstr(answer, "\"lease\":\"");
	assert_non_null(at);
	order("/v3/kv/lease/revoke", "{\"ID\":\"%llu\"}", strtoull(at + 9, NULL, 10));
	wait_for(SOON, seen.n == 3);
	assert_string_equal(story(&seen, 0), "node/a=0 node/a- node/a=0 ");
	end(engine);
	end(watching);
}

static void changes_are_told_in_order_across_a_restart(void **state)
{
	struct engine *watching = watch_from(begin(), "w/", &seen), *engine = begin();
	unsigned int before;

	(void)state;
	engine_etcd.join(engine, "w/node", "0");
	wait_for(SOON, is(&seen, "w/node", "0"));
	before = seen.n;
	put("/farswap/test/w/a", "1");
	put("/farswap/test/w/b", "2");
	put("/farswap/test/x", "outside");
	del("/farswap/test/w/a");
	put("/farswap/test/w/b", "3");
	wait_for(SOON, is(&seen, "w/b", "3"));
	assert_string_equal(story(&seen, before), "w/a=1 w/b=2 w/a- w/b=3 ");
	before = seen.n;
	kill_child(&etcd);
	wait_for(SOON, !state_of(watching).reached);
	run_for(1);
	assert_string_equal(story(&seen, before), "");
	start_etcd();
	await_etcd();
	put("/farswap/test/w/a", "4");
	del("/farswap/test/w/b");
	put("/farswap/test/w/a", "5");
	wait_for(SOON, is(&seen, "w/a", "5"));
	assert_string_equal(story(&seen, before), "w/a=4 w/b- w/a=5 ");
	assert_int_equal(seen.listed, 1);
	run_for(1);
	assert_string_equal(story(&seen, before), "w/a=4 w/b- w/a=5 ");	/* nor did w/node's lease run out */
	end(engine);
	end(watching);
	del("/farswap/test/w/a");
}

static void a_compaction_has_the_keys_listed_anew(void **state)
{
	struct engine *watching;
	unsigned int before;

	(void)state;
	put("/farswap/test/c/a", "1");
	put("/farswap/test/c/b", "1");
	put("/farswap/test/c/c", "1");
	watching = watch_from(begin(), "c/", &seen);
	assert_string_equal(story(&seen, 0), "c/a=1 c/b=1 c/c=1 ");
	before = seen.n;
	kill_child(&etcd);
	wait_for(SOON, !state_of(watching).reached);
	start_etcd();
	await_etcd();
	del("/farswap/test/c/a");
	put("/farswap/test/c/b", "2");
	put("/farswap/test/c/d", "1");
	order("/v3/kv/compaction", "{\"revision\":\"%llu\"}", (unsigned long long)put("/farswap/test/other", "1"));
	wait_for(SOON, seen.listed == 2);
	assert_string_equal(story(&seen, before), "c/b=2 c/d=1 c/a- ");
	put("/farswap/test/c/e", "1");
	wait_for(SOON, is(&seen, "c/e", "1"));
	end(watching);
}

static void a_stopped_etcd_deletes_nothing(void **state)
{
	struct engine *watching, *engine = begin_short();
	unsigned int before;
	uint64_t stopped;

	(void)state;
	put("/farswap/test/s/stays", "1");
	engine_etcd.join(engine, "s/node", "0");
	watching = watch_from(begin_short(), "s/", &seen);
	put("/farswap/test/s/live", "1");	/* by then the watch is one */
	wait_for(SOON, is(&seen, "s/node", "0") && is(&seen, "s/live", "1"));
	before = seen.n;
	stopped = farswap_now_ns();
	kill(etcd, SIGSTOP);
	wait_for(2 * TTL_S, !state_of(watching).reached);
	print_message("missed after %.1f s: %s\n", (double)(farswap_now_ns() - stopped) / 1e9, state_of(watching).why);
	assert_non_null(strstr(state_of(watching).why, "answer"));
	run_for(TTL_S);
	assert_string_equal(story(&seen, before), "");
	kill(etcd, SIGCONT);
	wait_for(SOON, state_of(watching).reached && state_of(engine).reached);
	run_for(1);
	assert_string_equal(now_is(&seen, "s/node"), "0");
	assert_string_equal(now_is(&seen, "s/stays"), "1");
	assert_null(strstr(story(&seen, before), "s/stays"));
	end(engine);
	end(watching);
}

/* --- get and put --- */

struct answer {
	unsigned int n;
	enum engine_result result;
	uint64_t revision;
	char value[64];
};

static void on_done(void *arg, enum engine_result result, uint64_t revision)
{
	struct answer *answer = arg;

	answer->n++;
	answer->result = result;
	answer->revision = revision;
}

static void on_got(void *arg, enum engine_result result, const struct engine_kv *kv)
{
	struct answer *answer = arg;

	answer->n++;
	answer->result = result;
	answer->revision = kv ? kv->mod : 0;
	snprintf(answer->value, sizeof(answer->value), "%s", kv ? kv->value : "-");
}

static struct answer put_by(struct engine *engine, const struct engine_put *puts, unsigned int n)
{
	struct answer answer = { 0 };

	assert_true(engine_etcd.put(engine, puts, n, on_done, &answer));
	wait_for(SOON, answer.n);
	return answer;
}

static struct answer get_by(struct engine *engine, const char *key)
{
	struct answer answer = { 0 };

	assert_true(engine_etcd.get(engine, key, on_got, &answer));
	wait_for(SOON, answer.n);
	return answer;
}

static void of_two_that_race_one_wins(void **state)
{
	struct engine *a = begin(), *b = begin();
	struct answer by_a, by_b;
	char key[16];
	unsigned int i, n_a = 0;

	(void)state;
	wait_for(SOON, state_of(a).reached && state_of(b).reached);
	for (i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "race/%u", i);
		by_a = by_b = (struct answer) { 0 };
		assert_true(engine_etcd.put(i % 2 ? a : b, &(struct engine_put) { .key = key, .value = "x", .compare = true }, 1, on_done, i % 2 ? &by_a : &by_b));
		assert_true(engine_etcd.put(i % 2 ? b : a, &(struct engine_put) { .key = key, .value = "y", .compare = true }, 1, on_done, i % 2 ? &by_b : &by_a));
		wait_for(SOON, by_a.n && by_b.n);
		assert_int_equal((by_a.result == ENGINE_DONE) + (by_b.result == ENGINE_DONE), 1);
		assert_int_equal((by_a.result == ENGINE_DIFFERS) + (by_b.result == ENGINE_DIFFERS), 1);
		n_a += by_a.result == ENGINE_DONE;
	}
	print_message("%u and %u times\n", n_a, 20 - n_a);
	end(a);
	end(b);
}

static void a_put_compares_and_is_whole_or_nothing(void **state)
{
	struct engine *engine = begin(), *second = begin();
	struct engine_put two[] = { { "t/place", "a", .compare = true, .leased = true }, { "t/size", "1", .compare = true } };
	struct answer answer;
	uint64_t revision;

	(void)state;
	assert_false(engine_etcd.put(engine, two, 2, on_done, &answer));	/* not reached yet */
	wait_for(SOON, state_of(engine).reached && state_of(second).reached);
	answer = put_by(engine, two, 2);
	assert_int_equal(answer.result, ENGINE_DONE);
	revision = answer.revision;
	answer = get_by(second, "t/size");
	assert_int_equal(answer.revision, revision);
	assert_string_equal(answer.value, "1");
	two[0].key = "t/place2";
	two[1].mod = revision + 1;
	assert_int_equal(put_by(second, two, 2).result, ENGINE_DIFFERS);
	assert_string_equal(get_by(second, "t/place2").value, "-");
	two[1].mod = revision;
	two[1].value = "2";
	assert_int_equal(put_by(second, two, 2).result, ENGINE_DONE);
	assert_string_equal(get_by(engine, "t/size").value, "2");
	assert_string_equal(get_by(engine, "t/place2").value, "a");
	end(second);
	assert_string_equal(get_by(engine, "t/place2").value, "-");
	assert_string_equal(get_by(engine, "t/place").value, "a");
	assert_false(engine_etcd.put(engine, &(struct engine_put) { .key = "a b", .value = "" }, 1, on_done, &answer));
	end(engine);
}

static void who_waits_hears_that_it_is_not_reached(void **state)
{
	struct engine *engine = begin_short();
	struct answer answer = { 0 }, get = { 0 };

	(void)state;
	wait_for(SOON, state_of(engine).reached);
	kill(etcd, SIGSTOP);
	assert_true(engine_etcd.put(engine, &(struct engine_put) { .key = "p", .value = "1" }, 1, on_done, &answer));
	assert_true(engine_etcd.get(engine, "p", on_got, &get));
	wait_for(SOON, answer.n && get.n);
	kill(etcd, SIGCONT);
	assert_int_equal(answer.result, ENGINE_NOT_REACHED);
	assert_int_equal(get.result, ENGINE_NOT_REACHED);
	assert_int_equal(answer.n + get.n, 2);
	wait_for(SOON, state_of(engine).reached);
	end(engine);
}

static void many_keys_come_in_pages_and_strange_ones_do_no_harm(void **state)
{
	static char body[16384], value[ENGINE_VALUE_MAX + 2];
	struct engine *watching;
	unsigned int i, j;
	char key[64];

	(void)state;
	for (i = 0; i < 300; i += 50) {
		strcpy(body, "{\"success\":[");
		for (j = i; j < i + 50; j++) {
			snprintf(key, sizeof(key), "/farswap/test/m/%04u", j);
			snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s{\"request_put\":{\"key\":\"%s\",\"value\":\"MQ==\"}}",
				 j > i ? "," : "", b64(key));
		}
		strcat(body, "]}");
		order("/v3/kv/txn", "%s", body);
	}
	put("/farswap/test/m/a key with spaces", "1");
	memset(value, 'x', sizeof(value) - 1);
	put("/farswap/test/m/0200x", value);
	watching = watch_from(begin(), "m/", &seen);
	assert_int_equal(seen.n, 300);
	assert_int_equal(seen.listed, 1);
	put("/farswap/test/m/0007", value);	/* the last good value stands, also when listed anew */
	put("/farswap/test/m/\t", "1");
	put("/farswap/test/m/0008", "2");
	wait_for(SOON, is(&seen, "m/0008", "2"));
	kill_child(&etcd);
	wait_for(SOON, !state_of(watching).reached);
	start_etcd();
	await_etcd();
	del("/farswap/test/m/0009");
	order("/v3/kv/compaction", "{\"revision\":\"%llu\"}", (unsigned long long)put("/farswap/test/other", "2"));
	wait_for(SOON, seen.listed == 2);
	assert_string_equal(story(&seen, 300), "m/0008=2 m/0009- ");
	end(watching);
}

/* --- elections: each candidate is a process of its own --- */

static struct table {
	struct stander {
		atomic_bool believes;	/* as its callback was told */
		atomic_bool out;	/* killed or stopped: cannot act, whatever it believes */
		atomic_uint terms, acts;
		char sees[16];		/* who leads */
		bool left;
	} of[2];
	atomic_uint wrong;		/* acts or beliefs of two at a time */
	uint64_t elected_ns;
} *table;

static unsigned int me;
static struct engine *mine;

/* the order matters: first believe, then look at the other, so of two at least one sees it */
static void on_leads(void *arg, bool leads)
{
	(void)arg;
	if (leads)
		table->elected_ns = farswap_now_ns();
	table->of[me].believes = leads;
	if (!leads)
		return;
	table->of[me].terms++;
	if (table->of[!me].believes && !table->of[!me].out)
		table->wrong++;
}

static void on_leader(void *arg, const char *value)
{
	(void)arg;
	snprintf(table->of[me].sees, sizeof(table->of[me].sees), "%s", value ? value : "-");
}

static int on_act(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)usec;
	(void)arg;
	if (engine_etcd.leads(mine, "lead/g")) {
		table->of[me].acts++;
		if (table->of[!me].believes && !table->of[!me].out)
			table->wrong++;
	}
	sd_event_source_set_time_relative(source, 5000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_term(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	(void)source;
	(void)info;
	(void)arg;
	return sd_event_exit(farswapd.loop, 0);
}

static pid_t stand(unsigned int i)
{
	static const struct engine_candidate candidate = { .leads = on_leads, .leader = on_leader };
	sd_event_source *act;
	sigset_t set;
	pid_t child;

	memset(&table->of[i], 0, sizeof(table->of[i]));
	child = fork_child();
	if (child)
		return child;
	me = i;
	farswapd.loop = NULL;	/* the parent's is not ours */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (sd_event_new(&farswapd.loop) < 0 || sd_event_add_signal(farswapd.loop, NULL, SIGTERM, on_term, NULL) < 0 ||
	    sd_event_add_time_relative(farswapd.loop, &act, CLOCK_MONOTONIC, 0, 1, on_act, NULL) < 0 ||
	    sd_event_source_set_priority(act, SD_EVENT_PRIORITY_IMPORTANT) < 0)	/* before the engine hears that time has passed */
		_exit(1);
	mine = begin_short();
	if (engine_etcd.campaign(mine, "lead/g", i ? "one" : "zero", &candidate, NULL))
		_exit(1);
	sd_event_loop(farswapd.loop);
	engine_etcd.leave(mine);
	table->of[i].left = !table->of[i].believes && !engine_etcd.leads(mine, "lead/g");
	engine_etcd.stop(mine);
	_exit(0);
}

static void leadership_passes(void **state)
{
	pid_t child[2];
	uint64_t then;
	unsigned int acts;

	(void)state;
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(table, MAP_FAILED);

	child[0] = stand(0);
	wait_for(SOON, table->of[0].believes);
	child[1] = stand(1);
	wait_for(SOON, !strcmp(table->of[1].sees, "zero"));
	run_for(TTL_S);
	assert_int_equal(table->of[0].terms, 1);	/* its lease is kept */
	assert_true(table->of[0].believes && !table->of[1].believes);

	/* sudden death */
	table->of[0].out = true;
	kill_child(&child[0]);
	then = farswap_now_ns();
	wait_for(3 * TTL_S, table->of[1].believes);
	print_message("after its death: %.1f s\n", (double)(table->elected_ns - then) / 1e9);

	/* a leader that stands still */
	child[0] = stand(0);
	wait_for(SOON, !strcmp(table->of[0].sees, "one"));
	run_for(0.5);
	table->of[1].out = true;
	kill(child[1], SIGSTOP);
	then = farswap_now_ns();
	wait_for(3 * TTL_S, table->of[0].believes);
	print_message("while it stands still: %.1f s\n", (double)(table->elected_ns - then) / 1e9);
	acts = table->of[1].acts;
	assert_true(table->of[1].believes);
	kill(child[1], SIGCONT);
	wait_for(SOON, !table->of[1].believes);
	assert_int_equal(table->of[1].acts, acts);	/* it asked before it acted, and was told before anything else */
	table->of[1].out = false;
	wait_for(SOON, !strcmp(table->of[1].sees, "zero"));
	run_for(1);	/* it stands again */

	/* leaving */
	then = farswap_now_ns();
	kill(child[0], SIGTERM);
	wait_for(TTL_S - 0.5, table->of[1].believes);
	print_message("after it left: %.2f s\n", (double)(table->elected_ns - then) / 1e9);
	waitpid(child[0], NULL, 0);
	assert_true(table->of[0].left);

	/* nobody reaches etcd: by its own clock it leads no more */
	kill(etcd, SIGSTOP);
	then = farswap_now_ns();
	wait_for(TTL_S + 1, !table->of[1].believes);
	print_message("without etcd: not for longer than %.2f s\n", (double)(farswap_now_ns() - then) / 1e9);
	kill(etcd, SIGCONT);
	wait_for(3 * TTL_S + 2, table->of[1].believes);
	table->of[1].out = true;
	kill_child(&child[1]);
	assert_int_equal(table->wrong, 0);
	munmap(table, sizeof(*table));
}

static void on_never(void *arg, bool leads)
{
	(void)arg;
	assert_false(leads);
}

/* the key that was told last with that value */
static const char *key_of(const struct seen *all, const char *value)
{
	unsigned int i;

	for (i = all->n; i--;)
		if (!strcmp(all->at[i].value, value))
			return all->at[i].key;
	return "";
}

static void a_restart_of_etcd_leaves_the_leader(void **state)
{
	static const struct engine_candidate candidate = { .leads = on_led }, other = { .leads = on_never };
	struct engine *engine = begin(), *second = begin(), *watching = watch_from(begin(), "lead/r/", &seen);
	char stood[64];

	(void)state;
	assert_int_equal(engine_etcd.campaign(engine, "lead/r", "me", &candidate, NULL), 0);
	assert_int_equal(engine_etcd.campaign(engine, "lead/r", "me", &candidate, NULL), -EEXIST);
	wait_for(SOON, led);
	assert_int_equal(engine_etcd.campaign(second, "lead/r", "second", &other, NULL), 0);
	wait_for(SOON, *key_of(&seen, "second"));
	snprintf(stood, sizeof(stood), "%s", key_of(&seen, "second"));
	lines[0] = 0;
	kill_child(&etcd);
	start_etcd();
	wait_for(SOON, count_lines("reached again") == 3);
	assert_true(led);
	/* who waited does not know whether it still stands, so it stands anew, under another lease */
	wait_for(SOON, strcmp(key_of(&seen, "second"), stood) && is(&seen, stood, "gone"));
	engine_etcd.leave(second);
	engine_etcd.stop(second);
	order("/v3/kv/deleterange", "{\"key\":\"%s\",\"range_end\":\"%s\"}", b64("/farswap/test/lead/r/"), b64("/farswap/test/lead/r0"));
	wait_for(SOON, !led);
	assert_false(engine_etcd.leads(engine, "lead/r"));
	wait_for(SOON, led);
	end(engine);
	assert_false(led);
	end(watching);
}

static void an_etcd_that_begins_anew_is_listed_anew(void **state)
{
	struct engine *watching, *engine = begin();
	unsigned int before;

	(void)state;
	put("/farswap/test/e/a", "1");
	put("/farswap/test/e/b", "1");
	engine_etcd.join(engine, "e/node", "0");
	watching = watch_from(begin(), "e/", &seen);
	wait_for(SOON, is(&seen, "e/node", "0"));
	before = seen.n;
	kill_child(&etcd);
	wait_for(SOON, !state_of(watching).reached);
	remove_data();
	start_etcd();
	await_etcd();
	put("/farswap/test/e/b", "2");
	wait_for(SOON, seen.listed == 2 && is(&seen, "e/a", "gone") && is(&seen, "e/b", "2"));
	wait_for(SOON, is(&seen, "e/node", "0") && seen.n >= before + 3);
	end(engine);
	end(watching);
}

static int without_etcd(void **state)
{
	(void)state;
	kill_child(&etcd);
	lines[0] = 0;
	return 0;
}

#define test(f)	cmocka_unit_test_setup(f, with_etcd)

/* FARSWAP_TEST: a pattern, as cmocka has them, of the tests to be run */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_joins_when_etcd_comes, without_etcd),
		test(a_join_is_seen_and_changes_at_a_bounded_rate),
		test(who_gives_no_sign_of_life_leaves),
		test(a_lost_lease_is_taken_anew),
		test(changes_are_told_in_order_across_a_restart),
		test(a_compaction_has_the_keys_listed_anew),
		test(a_stopped_etcd_deletes_nothing),
		test(of_two_that_race_one_wins),
		test(a_put_compares_and_is_whole_or_nothing),
		test(who_waits_hears_that_it_is_not_reached),
		test(many_keys_come_in_pages_and_strange_ones_do_no_harm),
		test(leadership_passes),
		test(a_restart_of_etcd_leaves_the_leader),
		test(an_etcd_that_begins_anew_is_listed_anew),
	};

	cmocka_set_test_filter(getenv("FARSWAP_TEST"));
	return cmocka_run_group_tests(tests, etcd_world_set_up, etcd_world_tear_down);
}
