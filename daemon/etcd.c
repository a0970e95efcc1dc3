// SPDX-License-Identifier: GPL-2.0
#include "etcd.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "farswapd.h"
#include "util.h"

#define RETRY_EVERY	SECONDS(1)	/* once each endpoint has failed */
#define CALL_MS_MAX	5000
#define LEAVE_NS	1000000000ull
#define BEATS		3		/* in a lease */
#define DRIFT_PART	8		/* of a lease, for two clocks that drift */

static int on_retry(sd_event_source *source, uint64_t usec, void *arg);
static int on_beat(sd_event_source *source, uint64_t usec, void *arg);
static int on_kick(sd_event_source *source, uint64_t usec, void *arg);
static void revoke_next(struct engine *engine);

uint64_t etcd_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool etcd_is_failure(int code)
{
	return code == HTTP_NOT_REACHED || code == HTTP_UNKNOWN || code == HTTP_DEADLINE || code == HTTP_INTERNAL || code == HTTP_UNAVAILABLE;
}

bool etcd_full_key(const struct engine *engine, const char *key, char out[ENGINE_KEY_MAX + 1])
{
	if (strlen(engine->prefix) + strlen(key) > ENGINE_KEY_MAX)
		return false;
	snprintf(out, ENGINE_KEY_MAX + 1, "%s%s", engine->prefix, key);
	return key[0] && etcd_key_ok(out);
}

void etcd_settle_in(struct engine *engine, uint64_t usec)
{
	if (engine->phase == ETCD_READY)
		farswapd_timer(&engine->kick, usec, on_kick, engine);
}

/* --- the endpoint --- */

static void say_lost(struct engine *engine, const char *why)
{
	if (engine->phase == ETCD_READY)
		engine->since_ns = farswap_now_ns();
	snprintf(engine->why, sizeof(engine->why), "%s", why);
	if (!engine->told[engine->at])
		farswap_log_limited(&engine->limit, "etcd %s: not reached: %s; %s", engine->urls[engine->at], engine->why,
				    engine->was_reached ? "goes on with what is known" : "nothing is known yet");
	engine->told[engine->at] = true;
}

void etcd_lost(struct engine *engine, const char *why)
{
	bool all = ++engine->failed >= engine->n_urls;

	say_lost(engine, why);
	engine->phase = ETCD_WAITING;
	http_cancel_all(engine->http);
	engine->lease.call = NULL;
	engine->revoke = NULL;
	farswapd_timer_stop(engine->beat);
	farswapd_timer_stop(engine->kick);
	farswapd_timer(&engine->retry, all ? RETRY_EVERY : 0, on_retry, engine);
	if (all)
		engine->failed = 0;
	etcd_join_lost(engine);
	etcd_watch_lost(engine);
	etcd_elect_lost(engine);
	etcd_put_lost(engine);
}

struct http_call *etcd_call(struct engine *engine, const char *path, unsigned int timeout_ms, http_answer answer, void *arg, const char *format, ...)
{
	struct http_call *call = NULL;
	char url[320], *body;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&body, format, args);
	va_end(args);
	if (n >= 0) {
		snprintf(url, sizeof(url), "%s%s%s", engine->urls[engine->at], engine->api, path);
		call = http_start(engine->http, url, body, timeout_ms, answer, arg);
		free(body);
	}
	if (!call)
		etcd_lost(engine, "no memory for a call");
	return call;
}

static void reached(struct engine *engine)
{
	double away = (double)(farswap_now_ns() - engine->since_ns) / 1e9;

	if (engine->was_reached)
		farswap_log_limited(&engine->limit, "etcd %s: reached again after %.1f s", engine->urls[engine->at], away);
	else
		farswap_log("etcd %s: reached, version %s", engine->urls[engine->at], engine->version);
	engine->phase = ETCD_READY;
	engine->was_reached = true;
	engine->since_ns = farswap_now_ns();
	engine->why[0] = 0;
	memset(engine->told, 0, sizeof(engine->told));
	farswapd_timer(&engine->beat, engine->ttl_ns / 1000 / BEATS, on_beat, engine);
	if (etcd_elect_beat(engine))
		etcd_settle_in(engine, 0);
}

bool etcd_same_cluster(struct engine *engine, const struct etcd_header *header)
{
	if (!engine->cluster)
		engine->cluster = header->cluster;
	if (engine->cluster == header->cluster)
		return true;
	etcd_lost(engine, "it is of another cluster of etcd than was used before: if that is meant, start farswapd anew");
	return false;
}

/* 3.3 has the gateway as a beta, older ones have not all of it */
static const char *api_of(const char *version)
{
	unsigned int major, minor;
	int end = 0;

	if (sscanf(version, "%u.%u.%n", &major, &minor, &end) != 2 || !end || strlen(version) >= 32)
		return NULL;
	if (major > 3 || (major == 3 && minor >= 4))
		return "/v3";
	return major == 3 && minor == 3 ? "/v3beta" : NULL;
}

static void on_version(void *arg, struct json_object *json, int code, const char *why)
{
	struct engine *engine = arg;
	const char *version;
	char text[160];

	(void)code;
	if (!json) {
		etcd_lost(engine, why);
		return;
	}
	if (!etcd_get_string(json, "etcdserver", &version) || strspn(version, "0123456789.") == 0) {
		etcd_lost(engine, "it does not say what version it is: is it an etcd?");
		return;
	}
	engine->api = api_of(version);
	if (!engine->api) {
		snprintf(text, sizeof(text), "etcd %.*s is not supported: use 3.3 or later", (int)strspn(version, "0123456789."), version);
		etcd_lost(engine, text);
		return;
	}
	snprintf(engine->version, sizeof(engine->version), "%.*s", (int)strspn(version, "0123456789."), version);
	engine->phase = ETCD_LEASING;
	if (engine->lease.id)
		etcd_lease_keep(&engine->lease);
	else
		etcd_lease_grant(&engine->lease);
}

static void try_endpoint(struct engine *engine)
{
	char url[320];

	snprintf(url, sizeof(url), "%s/version", engine->urls[engine->at]);
	engine->phase = ETCD_PROBING;
	if (!http_start(engine->http, url, NULL, engine->timeout_ms, on_version, engine))
		etcd_lost(engine, "no memory for a call");
}

static int on_retry(sd_event_source *source, uint64_t usec, void *arg)
{
	struct engine *engine = arg;

	(void)source;
	(void)usec;
	etcd_elect_look(engine);
	engine->at = (engine->at + 1) % engine->n_urls;
	try_endpoint(engine);
	return 0;
}

/* --- leases --- */

/* false: etcd_lost() has been called */
static bool take_lease(const struct etcd_lease *lease, struct json_object *json, uint64_t *id, uint64_t *ttl_s)
{
	struct etcd_header header;

	if (etcd_get_header(json, &header) && etcd_get_u64(json, "ID", id) && etcd_get_u64(json, "TTL", ttl_s) && *id && *id <= INT64_MAX &&
	    (lease->id ? lease->id == *id : *ttl_s > 0))
		return etcd_same_cluster(lease->engine, &header);
	etcd_lost(lease->engine, "its answer to a lease is not understood");
	return false;
}

/* counted from when it was asked for: etcd cannot have begun before */
static void set_until(struct etcd_lease *lease, uint64_t ttl_s)
{
	uint64_t ttl_ns = ttl_s < ENGINE_TTL_MAX_S ? ttl_s * 1000000000u : lease->engine->ttl_ns;

	if (ttl_ns > lease->engine->ttl_ns)
		ttl_ns = lease->engine->ttl_ns;
	lease->until_ns = lease->asked_ns + ttl_ns - ttl_ns / DRIFT_PART;
}

static void on_granted(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_lease *lease = arg;
	uint64_t id, ttl_s;

	(void)code;
	lease->call = NULL;
	if (!json) {
		etcd_lost(lease->engine, why);
	} else if (take_lease(lease, json, &id, &ttl_s)) {
		lease->id = id;
		set_until(lease, ttl_s);
		lease->had(lease);
	}
}

bool etcd_lease_grant(struct etcd_lease *lease)
{
	lease->asked_ns = etcd_clock_ns();
	lease->call = etcd_call(lease->engine, "/lease/grant", lease->engine->timeout_ms, on_granted, lease, "{\"TTL\":\"%" PRIu64 "\",\"ID\":\"0\"}",
				lease->engine->ttl_ns / 1000000000u);
	return lease->call;
}

static void on_kept(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_lease *lease = arg;
	struct json_object *result;
	uint64_t id, ttl_s = 0;

	lease->call = NULL;
	if (!json && code != HTTP_NOT_FOUND) {
		etcd_lost(lease->engine, why);
		return;
	}
	if (json && !(etcd_get_object(json, "result", &result) && result)) {
		etcd_lost(lease->engine, "its answer to a lease is not understood");
		return;
	}
	if (json && !take_lease(lease, result, &id, &ttl_s))
		return;
	if (ttl_s) {
		set_until(lease, ttl_s);
		lease->had(lease);
	} else {
		lease->id = 0;
		lease->gone(lease);
	}
}

bool etcd_lease_keep(struct etcd_lease *lease)
{
	lease->asked_ns = etcd_clock_ns();
	lease->call = etcd_call(lease->engine, "/lease/keepalive", lease->engine->timeout_ms, on_kept, lease, "{\"ID\":\"%" PRIu64 "\"}", lease->id);
	return lease->call;
}

static void on_revoked(void *arg, struct json_object *json, int code, const char *why)
{
	struct engine *engine = arg;

	engine->revoke = NULL;
	if (!json && etcd_is_failure(code)) {
		etcd_lost(engine, why);
		return;
	}
	memmove(engine->stale, engine->stale + 1, sizeof(engine->stale) - sizeof(engine->stale[0]));
	engine->stale[ETCD_STALE_MAX - 1] = 0;
	revoke_next(engine);
}

/* in the order in which they were dropped */
static void revoke_next(struct engine *engine)
{
	if (engine->phase == ETCD_READY && !engine->revoke && engine->stale[0])
		engine->revoke = etcd_call(engine, "/kv/lease/revoke", engine->timeout_ms, on_revoked, engine, "{\"ID\":\"%" PRIu64 "\"}", engine->stale[0]);
}

/* with no place left it just runs out */
void etcd_lease_drop(struct etcd_lease *lease)
{
	struct engine *engine = lease->engine;
	unsigned int i;

	http_cancel(lease->call);
	lease->call = NULL;
	for (i = 0; i < ETCD_STALE_MAX && engine->stale[i]; i++)
		;
	if (lease->id && i < ETCD_STALE_MAX)
		engine->stale[i] = lease->id;
	lease->id = 0;
	etcd_settle_in(engine, 0);
}

static void node_lease_had(struct etcd_lease *lease)
{
	if (lease->engine->phase == ETCD_LEASING)
		reached(lease->engine);
	else
		etcd_settle_in(lease->engine, 0);
}

static void node_lease_gone(struct etcd_lease *lease)
{
	farswap_log_limited(&lease->engine->limit, "etcd %s: this node's lease had run out: it is taken anew", lease->engine->urls[lease->engine->at]);
	etcd_join_again(lease->engine);
	etcd_lease_grant(lease);
}

/* --- what goes on while it is reached --- */

static void settle(struct engine *engine)
{
	uint64_t due_ns = 0, now;

	if (engine->phase != ETCD_READY)
		return;
	if (!etcd_join_settle(engine, &due_ns) || !etcd_watch_settle(engine) || !etcd_elect_settle(engine, &due_ns))
		return;
	revoke_next(engine);
	now = farswap_now_ns();
	if (due_ns)
		etcd_settle_in(engine, due_ns > now ? (due_ns - now) / 1000 + 1 : 0);
}

static int on_kick(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	etcd_elect_look(arg);
	settle(arg);
	return 0;
}

/* a call still in the air has its own timeout; the endpoint is lost by it */
static int on_beat(sd_event_source *source, uint64_t usec, void *arg)
{
	struct engine *engine = arg;

	(void)source;
	(void)usec;
	etcd_elect_look(engine);
	engine->failed = 0;	/* not before: an endpoint may fail as soon as it is reached */
	farswapd_timer(&engine->beat, engine->ttl_ns / 1000 / BEATS, on_beat, engine);
	if (engine->lease.id && !engine->lease.call && !etcd_lease_keep(&engine->lease))
		return 0;
	if (etcd_elect_beat(engine))
		etcd_watch_beat(engine);
	return 0;
}

static void enter(void *arg)
{
	etcd_elect_look(arg);
}

/* --- start and end --- */

static bool take_url(char out[256], const char *url)
{
	size_t i, length = strlen(url);

	while (length && url[length - 1] == '/')
		length--;
	if ((strncmp(url, "http://", 7) && strncmp(url, "https://", 8)) || length > 255 || length < 9)
		return false;
	for (i = 0; i < length; i++)
		if (url[i] <= ' ' || url[i] > '~' || strchr("?#@\\\"", url[i]))
			return false;
	memcpy(out, url, length);
	return true;
}

static bool take_settings(struct engine *engine, const struct engine_settings *settings, char *err, size_t size)
{
	size_t length = strlen(settings->prefix);
	unsigned int i;

	if (settings->n_endpoints < 1 || settings->n_endpoints > ENGINE_ENDPOINTS_MAX) {
		snprintf(err, size, "%u endpoints of etcd: give 1 to %u", settings->n_endpoints, ENGINE_ENDPOINTS_MAX);
		return false;
	}
	for (i = 0; i < settings->n_endpoints; i++) {
		if (!take_url(engine->urls[i], settings->endpoints[i])) {
			snprintf(err, size, "'%s' is no endpoint of etcd: give http://HOST:PORT or https://HOST:PORT", settings->endpoints[i]);
			return false;
		}
	}
	if (!etcd_key_ok(settings->prefix) || length >= ENGINE_KEY_MAX / 2 || settings->prefix[0] != '/' || settings->prefix[length - 1] != '/') {
		snprintf(err, size, "'%s' is no prefix for keys of etcd: give one like /farswap/CLUSTER/, shorter than %u", settings->prefix,
			 ENGINE_KEY_MAX / 2);
		return false;
	}
	if (settings->ttl_s < ENGINE_TTL_MIN_S || settings->ttl_s > ENGINE_TTL_MAX_S) {
		snprintf(err, size, "a lease of %u s: give %u to %u", settings->ttl_s, ENGINE_TTL_MIN_S, ENGINE_TTL_MAX_S);
		return false;
	}
	engine->n_urls = settings->n_endpoints;
	strcpy(engine->prefix, settings->prefix);
	engine->ttl_ns = settings->ttl_s * 1000000000ull;
	engine->timeout_ms = settings->ttl_s * 1000 / BEATS < CALL_MS_MAX ? settings->ttl_s * 1000 / BEATS : CALL_MS_MAX;
	return true;
}

static void etcd_stop(struct engine *engine)
{
	if (!engine)
		return;
	http_free(engine->http);
	etcd_put_free(engine);
	etcd_watch_free(engine);
	etcd_elect_free(engine);
	sd_event_source_disable_unref(engine->retry);
	sd_event_source_disable_unref(engine->beat);
	sd_event_source_disable_unref(engine->kick);
	sd_event_source_disable_unref(engine->clock);
	free(engine);
}

static struct engine *etcd_start(const struct engine_settings *settings, char *err, size_t size)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	snprintf(err, size, "no memory for a client of etcd");
	if (!engine)
		return NULL;
	engine->limit = (struct farswap_log_limit)FARSWAP_LOG_LIMIT;
	engine->lease = (struct etcd_lease) { .engine = engine, .had = node_lease_had, .gone = node_lease_gone };
	engine->http = http_new(enter, engine);
	if (!engine->http || !take_settings(engine, settings, err, size)) {
		etcd_stop(engine);
		return NULL;
	}
	engine->since_ns = farswap_now_ns();
	snprintf(engine->why, sizeof(engine->why), "not tried yet");
	try_endpoint(engine);
	return engine;
}

/* the loop has ended, so the time is there */
static void etcd_leave(struct engine *engine)
{
	uint64_t until = farswap_now_ns() + LEAVE_NS, now;
	bool was_reached = engine->phase == ETCD_READY;
	char url[320], body[64];
	unsigned int i;

	engine->phase = ETCD_LEFT;
	etcd_elect_leave(engine);
	etcd_lease_drop(&engine->lease);
	http_cancel_all(engine->http);
	farswapd_timer_stop(engine->retry);
	farswapd_timer_stop(engine->beat);
	snprintf(url, sizeof(url), "%s%s/kv/lease/revoke", engine->urls[engine->at], was_reached ? engine->api : "");
	for (i = 0; was_reached && i < ETCD_STALE_MAX && engine->stale[i]; i++) {
		now = farswap_now_ns();
		if (now + 1000000 >= until)
			return;
		snprintf(body, sizeof(body), "{\"ID\":\"%" PRIu64 "\"}", engine->stale[i]);
		http_post_wait(engine->http, url, body, (unsigned int)((until - now) / 1000000));
	}
}

static void etcd_state(struct engine *engine, struct engine_state *state)
{
	*state = (struct engine_state) {
		.reached = engine->phase == ETCD_READY,
		.since_ns = engine->since_ns,
		.endpoint = engine->urls[engine->at],
		.version = engine->version,
		.why = engine->why,
	};
}

const struct engine_ops engine_etcd = {
	.name		= "etcd",
	.start		= etcd_start,
	.stop		= etcd_stop,
	.join		= etcd_join,
	.watch		= etcd_watch,
	.get		= etcd_get,
	.put		= etcd_put,
	.campaign	= etcd_campaign,
	.leads		= etcd_leads,
	.leave		= etcd_leave,
	.state		= etcd_state,
};
