// SPDX-License-Identifier: GPL-2.0
/* The membership engine against a real etcd, which is killed, stopped and compacted, and against servers that answer nonsense. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "engine.h"
#include "etcd_json.h"
#include "farswapd.h"
#include "log.h"
#include "util.h"

#define ETCD		"/usr/bin/etcd"
#define TTL_S		3	/* of leases that are to run out; the others outlive what a busy host does to them */
#define LONG_TTL_S	15
#define SOON		20	/* seconds, where the time does not matter */
#define SEEN_MAX	4096

#define wait_for(seconds, what)											\
	do {													\
		uint64_t until_ = farswap_now_ns() + (uint64_t)((seconds) * 1e9);				\
		while (!(what)) {										\
			if (farswap_now_ns() > until_)								\
				fail_msg("not within %g s: %s", (double)(seconds), #what);			\
			turn();											\
		}												\
	} while (0)

struct farswapd farswapd;

static char dir[] = "/tmp/farswap-etcd.XXXXXX";
static char url[64], peer_url[64];
static pid_t etcd;
static char lines[65536];	/* all that was logged since forget_lines() */

/* --- what the engine is linked with --- */

static void add_line(const char *format, va_list args)
{
	size_t at = strlen(lines);

	vsnprintf(lines + at, sizeof(lines) - at, format, args);
	if (getenv("VERBOSE"))
		fprintf(stderr, "%.3f %d %s\n", farswap_now_ns() / 1e9, getpid(), lines + at);
	at = strlen(lines);
	snprintf(lines + at, sizeof(lines) - at, "\n");
}

void farswap_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_line(format, args);
	va_end(args);
}

void farswap_log_limited(struct farswap_log_limit *limit, const char *format, ...)
{
	va_list args;

	(void)limit;
	va_start(args, format);
	add_line(format, args);
	va_end(args);
}

static unsigned int count_lines(const char *with)
{
	unsigned int n = 0;
	const char *at;

	for (at = lines; (at = strstr(at, with)); at++)
		n++;
	return n;
}

/* --- the loop, and a real etcd --- */

static void turn(void)
{
	assert_true(sd_event_run(farswapd.loop, 20000) >= 0);
}

static void run_for(double seconds)
{
	uint64_t until = farswap_now_ns() + (uint64_t)(seconds * 1e9);

	while (farswap_now_ns() < until)
		turn();
}

static unsigned int free_port(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_false(bind(fd, (struct sockaddr *)&addr, bytes));
	assert_false(getsockname(fd, (struct sockaddr *)&addr, &bytes));
	close(fd);
	return ntohs(addr.sin_port);
}

static pid_t fork_child(void)
{
	pid_t parent = getpid(), child = fork();

	assert_true(child >= 0);
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return 0;
}

static void start_etcd(void)
{
	char cluster[96], log[128];
	int fd;

	etcd = fork_child();
	if (etcd)
		return;
	snprintf(cluster, sizeof(cluster), "default=%s", peer_url);
	snprintf(log, sizeof(log), "%s/log", dir);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	assert_false(chdir(dir));
	execl(ETCD, ETCD, "--data-dir", "data", "--logger", "zap", "--listen-client-urls", url, "--advertise-client-urls", url,
	      "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url, "--initial-cluster", cluster,
	      "--heartbeat-interval", "50", "--election-timeout", "500", NULL);
	_exit(127);
}

static void remove_data(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s/data", dir);
	assert_int_equal(system(command), 0);
}

static void kill_child(pid_t *child)
{
	if (*child <= 0)
		return;
	kill(*child, SIGKILL);
	waitpid(*child, NULL, 0);
	*child = 0;
}

/* as a stranger would talk to it: waits for the answer, and the loop does not run meanwhile */
static size_t keep(char *data, size_t size, size_t n, void *arg)
{
	char *out = arg;
	size_t at = strlen(out);

	if (at + n * size < 4096) {
		memcpy(out + at, data, n * size);
		out[at + n * size] = 0;
	}
	return n * size;
}

static bool post(const char *path, const char *body, char answer[4096])
{
	CURL *easy = curl_easy_init();
	char full[128];
	long status = 0;

	snprintf(full, sizeof(full), "%s%s", url, path);
	answer[0] = 0;
	curl_easy_setopt(easy, CURLOPT_URL, full);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 5000L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
	if (curl_easy_perform(easy) == CURLE_OK)
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(easy);
	return status == 200;
}

static void await_etcd(void)
{
	uint64_t until = farswap_now_ns() + 20000000000ull;
	char answer[4096];

	while (!post("/v3/kv/range", "{\"key\":\"YQ==\"}", answer)) {
		if (farswap_now_ns() > until)
			fail_msg("etcd does not start: see %s/log", dir);
		usleep(20000);
	}
}

/* returns the revision */
static uint64_t order(const char *path, const char *format, ...)
{
	char body[16384], answer[4096], *at;
	va_list args;

	va_start(args, format);
	vsnprintf(body, sizeof(body), format, args);
	va_end(args);
	if (!post(path, body, answer))
		fail_msg("%s %s: %s", path, body, answer);
	at = strstr(answer, "\"revision\":\"");
	return at ? strtoull(at + 12, NULL, 10) : 0;
}

static char *b64(const char *text)
{
	static char out[4][8192];
	static unsigned int at;

	etcd_b64(text, out[at = (at + 1) % 4]);
	return out[at];
}

static uint64_t put(const char *key, const char *value)
{
	return order("/v3/kv/put", "{\"key\":\"%s\",\"value\":\"%s\"}", b64(key), b64(value));
}

static uint64_t del(const char *key)
{
	return order("/v3/kv/deleterange", "{\"key\":\"%s\"}", b64(key));
}

/* --- engines --- */

static struct engine *begin_for(const char *first, const char *second, unsigned int ttl_s)
{
	struct engine_settings settings = { .endpoints = { first, second }, .n_endpoints = second ? 2 : 1, .prefix = "/farswap/test/", .ttl_s = ttl_s };
	char err[200];
	struct engine *engine = engine_etcd.start(&settings, err, sizeof(err));

	if (!engine)
		fail_msg("%s", err);
	return engine;
}

static struct engine *begin(void)
{
	return begin_for(url, NULL, LONG_TTL_S);
}

static struct engine *begin_short(void)
{
	return begin_for(url, NULL, TTL_S);
}

static struct engine_state state_of(struct engine *engine)
{
	struct engine_state state;

	engine_etcd.state(engine, &state);
	return state;
}

static void end(struct engine *engine)
{
	engine_etcd.leave(engine);
	engine_etcd.stop(engine);
}

struct seen {
	struct { char key[64], value[64]; bool gone; uint64_t mod; } at[SEEN_MAX];
	unsigned int n, gone, listed;
};

static void on_seen(void *arg, const struct engine_kv *kv)
{
	struct seen *seen = arg;

	assert_true(seen->n < SEEN_MAX);
	snprintf(seen->at[seen->n].key, 64, "%s", kv->key);
	snprintf(seen->at[seen->n].value, 64, "%s", kv->value ? kv->value : "");
	seen->at[seen->n].gone = !kv->value;
	seen->at[seen->n++].mod = kv->mod;
	seen->gone += !kv->value;
}

static void on_listed(void *arg)
{
	((struct seen *)arg)->listed++;
}

static const struct engine_watcher watcher = { .seen = on_seen, .listed = on_listed };

/* as it was told last: "-" never, "gone", or its value */
static const char *now_is(const struct seen *seen, const char *key)
{
	unsigned int i;

	for (i = seen->n; i--;)
		if (!strcmp(seen->at[i].key, key))
			return seen->at[i].gone ? "gone" : seen->at[i].value;
	return "-";
}

static bool is(const struct seen *seen, const char *key, const char *value)
{
	return !strcmp(now_is(seen, key), value);
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

/* --- with a real one --- */

static struct seen seen;

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

static bool led;

static void on_led(void *arg, bool leads)
{
	(void)arg;
	led = leads;
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

/* --- servers that answer nonsense --- */

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

static void take_cluster(void)
{
	char answer[4096], *at;

	assert_true(post("/v3/kv/range", "{\"key\":\"YQ==\"}", answer));
	at = strstr(answer, "\"cluster_id\":\"");
	assert_non_null(at);
	snprintf(cluster, sizeof(cluster), "%.*s", (int)strspn(at + 14, "0123456789"), at + 14);
}

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

static int set_up(void **state)
{
	unsigned int port = free_port(), peer_port;

	(void)state;
	if (access(ETCD, X_OK)) {
		print_error("%s is not there: install the package etcd-server (scripts/install-packages does)\n", ETCD);
		return -1;
	}
	do
		peer_port = free_port();
	while (peer_port == port);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	snprintf(peer_url, sizeof(peer_url), "http://127.0.0.1:%u", peer_port);
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	return !mkdtemp(dir) || sd_event_new(&farswapd.loop) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	kill_child(&etcd);
	farswapd.loop = sd_event_unref(farswapd.loop);
	curl_global_cleanup();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static int without_etcd(void **state)
{
	(void)state;
	kill_child(&etcd);
	lines[0] = 0;
	return 0;
}

static int with_etcd(void **state)
{
	(void)state;
	if (etcd <= 0)
		start_etcd();
	kill(etcd, SIGCONT);
	await_etcd();
	take_cluster();
	lines[0] = 0;
	return 0;
}

#define test(f)	cmocka_unit_test_setup(f, with_etcd)

/* FARSWAP_TEST: a pattern, as cmocka has them, of the tests to be run */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_looked_at),
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
		test(nonsense_is_told_and_the_next_endpoint_is_used),
		test(events_that_are_none_are_refused),
		test(a_campaign_is_not_won_by_nonsense),
		test(lines_are_split_where_they_end),
		test(the_beta_of_3_3_is_used),
	};

	cmocka_set_test_filter(getenv("FARSWAP_TEST"));
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
