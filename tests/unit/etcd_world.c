// SPDX-License-Identifier: GPL-2.0
#include "etcd_world.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd_json.h"
#include "log.h"

#define ETCD	"/usr/bin/etcd"

struct farswapd farswapd;
char url[64];
pid_t etcd;
char lines[65536];
struct seen seen;
bool led;

static char dir[] = "/tmp/farswap-etcd.XXXXXX";
static char peer_url[64];

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

unsigned int count_lines(const char *with)
{
	unsigned int n = 0;
	const char *at;

	for (at = lines; (at = strstr(at, with)); at++)
		n++;
	return n;
}

/* --- the loop --- */

void turn(void)
{
	assert_true(sd_event_run(farswapd.loop, 20000) >= 0);
}

void run_for(double seconds)
{
	uint64_t until = farswap_now_ns() + (uint64_t)(seconds * 1e9);

	while (farswap_now_ns() < until)
		turn();
}

/* --- processes, and a real etcd --- */

pid_t fork_child(void)
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

void kill_child(pid_t *child)
{
	if (*child <= 0)
		return;
	kill(*child, SIGKILL);
	waitpid(*child, NULL, 0);
	*child = 0;
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

void start_etcd(void)
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

void remove_data(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s/data", dir);
	assert_int_equal(system(command), 0);
}

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

bool post(const char *path, const char *body, char answer[4096])
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

void await_etcd(void)
{
	uint64_t until = farswap_now_ns() + 20000000000ull;
	char answer[4096];

	while (!post("/v3/kv/range", "{\"key\":\"YQ==\"}", answer)) {
		if (farswap_now_ns() > until)
			fail_msg("etcd does not start: see %s/log", dir);
		usleep(20000);
	}
}

uint64_t order(const char *path, const char *format, ...)
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

char *b64(const char *text)
{
	static char out[4][8192];
	static unsigned int at;

	etcd_b64(text, out[at = (at + 1) % 4]);
	return out[at];
}

uint64_t put(const char *key, const char *value)
{
	return order("/v3/kv/put", "{\"key\":\"%s\",\"value\":\"%s\"}", b64(key), b64(value));
}

/* --- engines --- */

struct engine *begin_for(const char *first, const char *second, unsigned int ttl_s)
{
	struct engine_settings settings = { .endpoints = { first, second }, .n_endpoints = second ? 2 : 1, .prefix = "/farswap/test/", .ttl_s = ttl_s };
	char err[200];
	struct engine *engine = engine_etcd.start(&settings, err, sizeof(err));

	if (!engine)
		fail_msg("%s", err);
	return engine;
}

struct engine_state state_of(struct engine *engine)
{
	struct engine_state state;

	engine_etcd.state(engine, &state);
	return state;
}

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

const struct engine_watcher watcher = { .seen = on_seen, .listed = on_listed };

const char *now_is(const struct seen *seen, const char *key)
{
	unsigned int i;

	for (i = seen->n; i--;)
		if (!strcmp(seen->at[i].key, key))
			return seen->at[i].gone ? "gone" : seen->at[i].value;
	return "-";
}

bool is(const struct seen *seen, const char *key, const char *value)
{
	return !strcmp(now_is(seen, key), value);
}

void on_led(void *arg, bool leads)
{
	(void)arg;
	led = leads;
}

/* --- before and after --- */

int etcd_world_set_up(void **state)
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

int etcd_world_tear_down(void **state)
{
	char command[64];

	(void)state;
	kill_child(&etcd);
	farswapd.loop = sd_event_unref(farswapd.loop);
	curl_global_cleanup();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int with_etcd(void **state)
{
	(void)state;
	if (etcd <= 0)
		start_etcd();
	kill(etcd, SIGCONT);
	await_etcd();
	lines[0] = 0;
	return 0;
}
