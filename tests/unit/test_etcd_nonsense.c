// SPDX-License-Identifier: GPL-2.0
/* The membership engine against servers that answer nonsense, a real etcd being the next endpoint, and with wrong settings. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "etcd_world.h"

#define HEAD	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define WHOLE	HEAD "Connection: close\r\n\r\n"
#define HEADER	"\"header\":{\"cluster_id\":\"%s\",\"member_id\":\"1\",\"revision\":\"7\",\"raft_term\":\"2\"}"

static char cluster[32];		/* of the real one */

struct nonsense {
	const char *path;		/* where it begins; before that all is well */
	const char *answer;		/* with its head */
	enum { ONCE, ENDLESS, ENDLESS_LINES, HANGS } after;
	const char *why;
	const char *version;		/* NULL: 3.4.23 */
};

/* --- such a server: each is a process of its own --- */

static bool say(int fd, const char *text)
{
	ssize_t n;

	for (; *text; text += n) {
		n = send(fd, text, strlen(text), MSG_NOSIGNAL);
		if (n <= 0)
			return false;
	}
	return true;
}

/* CLUSTER stands for its number */
static void say_nonsense(int fd, const char *text)
{
	const char *at = strstr(text, "CLUSTER");
	char before[512];

	if (at) {
		snprintf(before, sizeof(before), "%.*s%s", (int)(at - text), text, cluster);
		say(fd, before);
		text = at + strlen("CLUSTER");
	}
	say(fd, text);
}

static void say_well(int fd, const char *path, const char *version)
{
	char answer[512];

	if (strstr(path, "/version"))
		snprintf(answer, sizeof(answer), WHOLE "{\"etcdserver\":\"%s\",\"etcdcluster\":\"3.0.0\"}", version ? version : "3.4.23");
	else if (strstr(path, "/lease/grant"))
		snprintf(answer, sizeof(answer), WHOLE "{" HEADER ",\"ID\":\"4711\",\"TTL\":\"2\"}", cluster);
	else if (strstr(path, "/lease/keepalive"))
		snprintf(answer, sizeof(answer), WHOLE "{\"result\":{" HEADER ",\"ID\":\"4711\",\"TTL\":\"2\"}}\n", cluster);
	else if (strstr(path, "/watch"))
		snprintf(answer, sizeof(answer), WHOLE "{\"result\":{" HEADER ",\"created\":true}}\n", cluster);
	else
		snprintf(answer, sizeof(answer), WHOLE "{" HEADER "}", cluster);
	say(fd, answer);
	while (strstr(path, "/watch") && recv(fd, answer, sizeof(answer), 0) > 0)
		;
}

static void serve(int fd, const struct nonsense *nonsense)
{
	char request[4096], *end;
	ssize_t n, bytes = 0;

	do {
		n = recv(fd, request + bytes, sizeof(request) - 1 - (size_t)bytes, 0);
		if (n <= 0)
			return;
		bytes += n;
		request[bytes] = 0;
	} while (!strstr(request, "\r\n\r\n"));
	end = strstr(request, " HTTP/");
	if (!end)
		return;
	*end = 0;
	if (!strstr(request, nonsense->path)) {
		say_well(fd, request, nonsense->version);
		return;
	}
	say_nonsense(fd, nonsense->answer);
	while (nonsense->after == ENDLESS && say(fd, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"))
		;
	while (nonsense->after == ENDLESS_LINES && say(fd, "X: xxxxxxxxxxxxxxxxxxxx\r\n"))
		;
	while (nonsense->after == HANGS && recv(fd, request, sizeof(request), 0) > 0)
		;
}

static const struct nonsense *served;	/* by this process */

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;

	serve(fd, served);
	close(fd);
	return NULL;
}

static pid_t start_nonsense(const struct nonsense *nonsense, char out[64])
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one;
	pthread_t thread;
	pid_t child;

	assert_false(bind(fd, (struct sockaddr *)&addr, bytes));
	assert_false(getsockname(fd, (struct sockaddr *)&addr, &bytes));
	assert_false(listen(fd, 16));
	snprintf(out, 64, "http://127.0.0.1:%u", ntohs(addr.sin_port));
	child = fork_child();
	if (child) {
		close(fd);
		return child;
	}
	served = nonsense;
	while ((one = accept(fd, NULL, NULL)) >= 0)
		if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)one) || pthread_detach(thread))
			_exit(1);
	_exit(0);
}

/* --- the tests --- */

#define GRANT(rest)	WHOLE "{\"header\":{\"cluster_id\":\"CLUSTER\",\"revision\":\"7\"}," rest "}"

#define N(p, a, t, w)	{ .path = p, .answer = a, .after = t, .why = w }

static const struct nonsense all_nonsense[] = {
	N("/version", WHOLE "{\"etcdserver\":", ONCE, "its answer is not JSON"),
	N("/version", WHOLE "", ONCE, "its answer is not JSON"),
	N("/version", WHOLE "[1,2]", ONCE, "its answer is not JSON"),
	N("/version", WHOLE "{} trailing", ONCE, "its answer is not JSON"),
	N("/version", WHOLE "{\"etcdserver\":{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}}", ONCE, "its answer is not JSON"),
	N("/version", WHOLE "{\"etcdserver\":3}", ONCE, "is it an etcd?"),
	N("/version", WHOLE "{\"etcdserver\":\"3.2.32\"}", ONCE, "etcd 3.2.32 is not supported: use 3.3 or later"),
	N("/version", "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n<html>", ONCE, "HTTP status 404"),
	N("/version", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/version\r\nContent-Length: 0\r\n\r\n", ONCE, "HTTP status 302"),
	N("/version", "SSH-2.0-OpenSSH\r\n", ONCE, ""),
	N("/version", "", ONCE, "closed without an answer"),
	N("/version", "", HANGS, "no answer within 1.0 s"),
	N("/version", WHOLE "{\"etcdserver\":\"", ENDLESS, "longer than 512 KiB"),
	N("/version", HEAD "X: ", ENDLESS, "a line of its head is too long"),
	N("/version", HEAD, ENDLESS_LINES, "the head of its answer is longer than 16 KiB"),
	N("/version", HEAD "Content-Length: 1000\r\n\r\n{\"etcdserver\":\"3.4.23\"", ONCE, "in the middle of an answer"),
	N("/lease/grant", GRANT("\"ID\":4711,\"TTL\":\"2\""), ONCE, "its answer to a lease is not understood"),
	N("/lease/grant", GRANT("\"ID\":\"-4711\",\"TTL\":\"2\""), ONCE, "its answer to a lease is not understood"),
	N("/lease/grant", GRANT("\"ID\":\"99999999999999999999999\",\"TTL\":\"2\""), ONCE, "its answer to a lease is not understood"),
	N("/lease/grant", GRANT("\"ID\":\"4711\""), ONCE, "its answer to a lease is not understood"),
	N("/lease/grant", WHOLE "{\"ID\":\"4711\",\"TTL\":\"2\"}", ONCE, "its answer to a lease is not understood"),
	N("/lease/grant", "HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n{\"error\":\"no\\u001b[31m leader\",\"code\":14}", ONCE, "no?[31m leader"),
	N("/lease/grant", "HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n{\"error\":[],\"code\":14}", ONCE, "an error of no known form"),
	N("/kv/range", WHOLE "{\"header\":7}", ONCE, "its list of keys is not understood"),
	N("/kv/range", WHOLE "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"7\"},\"kvs\":[{\"key\":\"?\"}]}", ONCE, "another cluster"),
	N("/lease/keepalive", WHOLE "{\"result\":{}}\n", ONCE, "its answer to a lease is not understood"),
	N("/watch", WHOLE "{\"result\":\n", ONCE, "a line of its stream is not JSON"),
	N("/watch", WHOLE "{\"result\":{}}\n", ONCE, "its stream of changes is not understood"),
	N("/watch", WHOLE "{\"result\":{\"created\":true}", ENDLESS, "longer than 512 KiB"),
	N("/watch", WHOLE "", ONCE, "ended a stream"),
	N("/watch", WHOLE "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"}}\n", HANGS, "etcdserver: no leader"),
	N("/watch", WHOLE "{\"result\":{\"header\":{\"cluster_id\":\"CLUSTER\"},\"canceled\":true,\"compact_revision\":\"9\"}}\n", HANGS, "again and again"),
	N("/watch", WHOLE, HANGS, "does not answer to a watch"),
};

static void nonsense_is_told_and_the_next_endpoint_is_used(void **state)
{
	struct engine *engine;
	pid_t child;
	char bad[64], expect[96];
	unsigned int i;

	(void)state;
	put("/farswap/test/n/a", "1");
	for (i = 0; i < ARRAY_SIZE(all_nonsense); i++) {
		child = start_nonsense(&all_nonsense[i], bad);
		lines[0] = 0;
		engine = begin_for(bad, url, all_nonsense[i].after == HANGS || strstr(all_nonsense[i].path, "keepalive") ? TTL_S : LONG_TTL_S);
		memset(&seen, 0, sizeof(seen));
		assert_int_equal(engine_etcd.watch(engine, "n/", &watcher, &seen), 0);
		snprintf(expect, sizeof(expect), "etcd %s: not reached: ", bad);
		wait_for(SOON, is(&seen, "n/a", "1") && state_of(engine).reached);
		assert_string_equal(state_of(engine).endpoint, url);
		if (count_lines(expect) != 1 || !strstr(lines, all_nonsense[i].why))
			fail_msg("%u: %s, not '%s'", i, lines, all_nonsense[i].why);
		assert_int_equal(seen.n, 1);
		engine_etcd.stop(engine);
		kill_child(&child);
	}
}

/* events that are none: a line each */
static void events_that_are_none_are_refused(void **state)
{
	static const char *const events[] = {
		"7", "{}", "{\"kv\":7}", "{\"kv\":{}}", "{\"kv\":{\"key\":7,\"mod_revision\":\"9\"}}", "{\"kv\":{\"key\":\"L2Zh????\",\"mod_revision\":\"9\"}}",
		"{\"kv\":{\"key\":\"YQ\",\"mod_revision\":\"9\"}}", "{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"9\"}}",
		"{\"kv\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9uL2I=\",\"mod_revision\":9}}",
		"{\"kv\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9uL2I=\",\"mod_revision\":\"7\"}}",
		"{\"kv\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9uL2I=\",\"mod_revision\":\"18446744073709551615\"}}",
		"{\"kv\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9uL2I=\",\"create_revision\":\"10\",\"mod_revision\":\"9\"}}",
		"{\"type\":\"EXPIRE\",\"kv\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9uL2I=\",\"mod_revision\":\"9\"}}",
		"{\"type\":\"DELETE\",\"kv\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9uL2I=\",\"value\":[],\"mod_revision\":\"9\"}}",
	};
	struct nonsense nonsense = { .path = "/watch", .after = HANGS };
	char answer[1024], bad[64];
	struct engine *engine;
	unsigned int i;
	pid_t child;

	(void)state;
	put("/farswap/test/n/a", "1");
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		snprintf(answer, sizeof(answer), WHOLE "{\"result\":{" HEADER ",\"created\":true}}\n{\"result\":{" HEADER ",\"events\":[%s]}}\n", cluster,
			 cluster, events[i]);
		nonsense.answer = answer;
		child = start_nonsense(&nonsense, bad);
		lines[0] = 0;
		engine = begin_for(bad, url, LONG_TTL_S);
		memset(&seen, 0, sizeof(seen));
		engine_etcd.watch(engine, "n/", &watcher, &seen);
		wait_for(SOON, is(&seen, "n/a", "1"));
		if (!strstr(lines, "its stream of changes is not understood"))
			fail_msg("%s: %s", events[i], lines);
		assert_int_equal(seen.n, 1);
		engine_etcd.stop(engine);
		kill_child(&child);
	}
}

static void a_campaign_is_not_won_by_nonsense(void **state)
{
	static const char *const answers[] = {
		WHOLE "{}", WHOLE "{\"leader\":{\"rev\":\"9\",\"lease\":\"4711\"}}",
		WHOLE "{\"leader\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9sZWFkL3gvMTI2Nw==\",\"lease\":\"4711\"}}",
		WHOLE "{\"leader\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9sZWFkL3gvMTI2Nw==\",\"rev\":\"9\",\"lease\":\"4712\"}}",
		WHOLE "{\"leader\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9sZWFkL3gvMTI2OA==\",\"rev\":\"9\",\"lease\":\"4711\"}}",
		WHOLE "{\"leader\":{\"key\":\"L2ZhcnN3YXAvdGVzdC9sZWFkL3gvMTI2Nw==\",\"rev\":\"9\",\"lease\":\"4711\"}}",	/* the one that is right */
	};
	static const struct engine_candidate candidate = { .leads = on_led };
	struct nonsense nonsense = { .path = "/election/campaign", .after = ONCE };
	struct engine *engine;
	char bad[64];
	unsigned int i;
	pid_t child;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		nonsense.answer = answers[i];
		child = start_nonsense(&nonsense, bad);
		lines[0] = 0;
		led = false;
		engine = begin_for(bad, NULL, LONG_TTL_S);
		assert_int_equal(engine_etcd.campaign(engine, "lead/x", "me", &candidate, NULL), 0);
		wait_for(SOON, led || strstr(lines, "its answer to a campaign is not understood"));
		assert_int_equal(led, i == ARRAY_SIZE(answers) - 1);
		engine_etcd.stop(engine);
		kill_child(&child);
	}
}

/* whatever comes cut into pieces, and many lines at once, is taken line by line */
static void lines_are_split_where_they_end(void **state)
{
	static char answer[3000000];
	struct nonsense nonsense = { .path = "/watch", .answer = answer, .after = HANGS };
	char bad[64], key[32];
	struct engine *engine;
	unsigned int i;
	pid_t child;

	(void)state;
	snprintf(answer, sizeof(answer), WHOLE "{\"result\":{" HEADER ",\"created\":true}}\n", cluster);
	for (i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "/farswap/test/n/%u", i);
		snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer),
			 "{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"%s\",\"mod_revision\":\"%u\"}}]}}\n", cluster, b64(key), 8 + i);
	}
	child = start_nonsense(&nonsense, bad);
	engine = begin_for(bad, NULL, LONG_TTL_S);
	memset(&seen, 0, sizeof(seen));
	engine_etcd.watch(engine, "n/", &watcher, &seen);
	wait_for(SOON, seen.n == 3000);
	for (i = 0; i < 3000; i++)
		assert_int_equal(seen.at[i].mod, 8 + i);
	assert_true(state_of(engine).reached);
	engine_etcd.stop(engine);
	kill_child(&child);
}

static void the_beta_of_3_3_is_used(void **state)
{
	struct nonsense old = { .path = "/v3/", .answer = "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nNot Found\n", .version = "3.3.25" };
	struct engine *engine;
	char there[64];
	pid_t child = start_nonsense(&old, there);

	(void)state;
	engine = begin_for(there, NULL, LONG_TTL_S);
	wait_for(SOON, state_of(engine).reached);
	assert_string_equal(state_of(engine).version, "3.3.25");
	engine_etcd.stop(engine);
	kill_child(&child);
	old.version = "3.4.0";
	child = start_nonsense(&old, there);
	engine = begin_for(there, NULL, LONG_TTL_S);
	wait_for(SOON, !strcmp(state_of(engine).why, "HTTP status 404"));
	engine_etcd.stop(engine);
	kill_child(&child);
}

static void settings_are_looked_at(void **state)
{
	static const struct engine_settings bad[] = {
		{ { "ftp://a" }, 1, "/a/", 10 }, { { "http://a b" }, 1, "/a/", 10 }, { { "http://a?b" }, 1, "/a/", 10 }, { { "" }, 1, "/a/", 10 },
		{ { 0 }, 0, "/a/", 10 }, { { "http://a" }, 1, "a/", 10 }, { { "http://a" }, 1, "/a", 10 }, { { "http://a" }, 1, "/a b/", 10 },
		{ { "http://a" }, 1, "/a/", 1 }, { { "http://a" }, 1, "/a/", 61 },
	};
	char err[200];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		err[0] = 0;
		assert_null(engine_etcd.start(&bad[i], err, sizeof(err)));
		assert_non_null(strstr(err, "give "));
	}
}

static void take_cluster(void)
{
	char answer[4096], *at;

	assert_true(post("/v3/kv/range", "{\"key\":\"YQ==\"}", answer));
	at = strstr(answer, "\"cluster_id\":\"");
	assert_non_null(at);
	snprintf(cluster, sizeof(cluster), "%.*s", (int)strspn(at + 14, "0123456789"), at + 14);
}

static int with_cluster(void **state)
{
	with_etcd(state);
	take_cluster();
	return 0;
}

#define test(f)	cmocka_unit_test_setup(f, with_cluster)

/* FARSWAP_TEST: a pattern, as cmocka has them, of the tests to be run */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_looked_at),
		test(nonsense_is_told_and_the_next_endpoint_is_used),
		test(events_that_are_none_are_refused),
		test(a_campaign_is_not_won_by_nonsense),
		test(lines_are_split_where_they_end),
		test(the_beta_of_3_3_is_used),
	};

	cmocka_set_test_filter(getenv("FARSWAP_TEST"));
	return cmocka_run_group_tests(tests, etcd_world_set_up, etcd_world_tear_down);
}
