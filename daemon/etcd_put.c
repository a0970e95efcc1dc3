// SPDX-License-Identifier: GPL-2.0
/* Keys that stand for this node, and what others ask to be put and got. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd.h"
#include "util.h"

#define PUT_EVERY_NS	1000000000ull	/* of one key of join() */
#define REQUESTS_MAX	32

struct etcd_join {
	struct etcd_join *next;
	struct engine *engine;
	char key[ENGINE_KEY_MAX + 1];
	char value[ENGINE_VALUE_MAX + 1];
	bool due;			/* etcd does not have the value under the lease of now, as far as is known */
	uint64_t put_ns;		/* when it was put last */
	struct http_call *call;
};

struct etcd_request {
	struct etcd_request *next;
	struct engine *engine;
	engine_got got;
	engine_done done;
	void *arg;
	char key[ENGINE_KEY_MAX + 1];	/* of a get */
};

/* --- join --- */

static void on_joined(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_join *join = arg;
	struct engine *engine = join->engine;

	join->call = NULL;
	if (json)
		return;
	if (etcd_is_failure(code)) {
		etcd_lost(engine, why);
		return;
	}
	join->due = true;
	if (code == HTTP_NOT_FOUND && engine->lease.id && !engine->lease.call && !etcd_lease_keep(&engine->lease))	/* it ran out, very likely */
		return;
	if (code != HTTP_NOT_FOUND)
		farswap_log_limited(&engine->limit, "etcd %s: key %s is refused: %s; tried again", engine->urls[engine->at], join->key, why);
	etcd_settle_in(engine, 0);
}

static bool put_join(struct etcd_join *join)
{
	char key[ETCD_KEY_ROOM], value[ETCD_VALUE_ROOM];

	etcd_b64(join->key, key);
	etcd_b64(join->value, value);
	join->due = false;
	join->put_ns = farswap_now_ns();
	join->call = etcd_call(join->engine, "/kv/put", join->engine->timeout_ms, on_joined, join,
			       "{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%" PRIu64 "\"}", key, value, join->engine->lease.id);
	return join->call;
}

/* due_ns: when the next one may be put; 0: none is waiting */
bool etcd_join_settle(struct engine *engine, uint64_t *due_ns)
{
	uint64_t now = farswap_now_ns(), at;
	struct etcd_join *join;

	for (join = engine->joins; join && engine->lease.id; join = join->next) {
		if (!join->due || join->call)
			continue;
		at = join->put_ns ? join->put_ns + PUT_EVERY_NS : now;
		if (at > now)
			*due_ns = *due_ns && *due_ns < at ? *due_ns : at;
		else if (!put_join(join))
			return false;
	}
	return true;
}

void etcd_join_lost(struct engine *engine)
{
	struct etcd_join *join;

	for (join = engine->joins; join; join = join->next) {
		join->due |= join->call != NULL;
		join->call = NULL;
	}
}

void etcd_join_again(struct engine *engine)
{
	struct etcd_join *join;

	for (join = engine->joins; join; join = join->next)
		join->due = true;
}

int etcd_join(struct engine *engine, const char *key, const char *value)
{
	struct etcd_join *join;
	char full[ENGINE_KEY_MAX + 1];

	if (!etcd_full_key(engine, key, full) || strlen(value) > ENGINE_VALUE_MAX)
		return -EINVAL;
	for (join = engine->joins; join && strcmp(join->key, full); join = join->next)
		;
	if (!join) {
		join = calloc(1, sizeof(*join));
		if (!join)
			return -ENOMEM;
		join->engine = engine;
		strcpy(join->key, full);
		join->next = engine->joins;
		engine->joins = join;
	}
	strcpy(join->value, value);
	join->due = true;
	etcd_settle_in(engine, 0);
	return 0;
}

/* --- get and put --- */

static void unlink_request(struct etcd_request *request)
{
	struct etcd_request **at = &request->engine->requests;

	while (*at != request)
		at = &(*at)->next;
	*at = request->next;
	request->engine->n_requests--;
}

static void tell_failed(struct etcd_request *request)
{
	if (request->got)
		request->got(request->arg, ENGINE_NOT_REACHED, NULL);
	else
		request->done(request->arg, ENGINE_NOT_REACHED, 0);
	free(request);
}

void etcd_put_lost(struct engine *engine)
{
	struct etcd_request *list = engine->requests, *next;

	engine->requests = NULL;
	engine->n_requests = 0;
	for (; list; list = next) {
		next = list->next;
		tell_failed(list);
	}
}

/* no answer, or none that is understood: is the endpoint to blame? */
static void fail(struct etcd_request *request, int code, const char *why)
{
	struct engine *engine = request->engine;

	if (etcd_is_failure(code)) {
		etcd_lost(engine, why);		/* tells it, with all others */
		return;
	}
	farswap_log_limited(&engine->limit, "etcd %s: a get or put is refused: %s", engine->urls[engine->at], why);
	unlink_request(request);
	tell_failed(request);
}

static void on_got(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_request *request = arg;
	struct engine_kv told = { 0 };
	enum etcd_kv_verdict verdict;
	struct json_object *kvs = NULL;
	struct etcd_header header;
	struct etcd_kv kv;

	if (!json) {
		fail(request, code, why);
		return;
	}
	if (!etcd_get_header(json, &header) || !etcd_get_array(json, "kvs", &kvs) || (kvs && json_object_array_length(kvs) > 1)) {
		fail(request, HTTP_NOT_REACHED, "its answer to a get is not understood");
		return;
	}
	if (kvs && json_object_array_length(kvs)) {
		verdict = etcd_get_kv(json_object_array_get_idx(kvs, 0), &kv);
		if (verdict != ETCD_KV_GOOD || strcmp(kv.key, request->key)) {
			fail(request, verdict == ETCD_KV_STRANGE ? HTTP_NOT_FOUND : HTTP_NOT_REACHED, "what it has under that key is not understood");
			return;
		}
		told = (struct engine_kv) { kv.key + strlen(request->engine->prefix), kv.value, kv.create, kv.mod };
	}
	unlink_request(request);
	request->got(request->arg, ENGINE_DONE, told.key ? &told : NULL);
	free(request);
}

static void on_put(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_request *request = arg;
	struct etcd_header header;
	bool succeeded;

	if (!json) {
		fail(request, code, why);
		return;
	}
	if (!etcd_get_header(json, &header) || !etcd_get_bool(json, "succeeded", &succeeded)) {
		fail(request, HTTP_NOT_REACHED, "its answer to a put is not understood");
		return;
	}
	unlink_request(request);
	request->done(request->arg, succeeded ? ENGINE_DONE : ENGINE_DIFFERS, succeeded ? header.revision : 0);
	free(request);
}

/* called from outside, where etcd_lost() would call back those that wait: so what fails here is just refused */
static bool ask(struct engine *engine, const char *path, const char *body, const struct etcd_request *as)
{
	struct etcd_request *request;
	char url[320];

	if (engine->phase != ETCD_READY || engine->n_requests == REQUESTS_MAX)
		return false;
	request = malloc(sizeof(*request));
	if (!request)
		return false;
	*request = *as;
	request->engine = engine;
	snprintf(url, sizeof(url), "%s%s%s", engine->urls[engine->at], engine->api, path);
	if (!http_start(engine->http, url, body, engine->timeout_ms, as->got ? on_got : on_put, request)) {
		free(request);
		return false;
	}
	request->next = engine->requests;
	engine->requests = request;
	engine->n_requests++;
	return true;
}

bool etcd_get(struct engine *engine, const char *key, engine_got got, void *arg)
{
	struct etcd_request request = { .got = got, .arg = arg };
	char text[ETCD_KEY_ROOM], body[ETCD_KEY_ROOM + 32];

	if (!etcd_full_key(engine, key, request.key))
		return false;
	etcd_b64(request.key, text);
	snprintf(body, sizeof(body), "{\"key\":\"%s\",\"limit\":\"1\"}", text);
	return ask(engine, "/kv/range", body, &request);
}

static void write_compare(FILE *to, const char *key, uint64_t mod, bool first)
{
	fprintf(to, "%s{\"key\":\"%s\",\"target\":\"MOD\",\"mod_revision\":\"%" PRIu64 "\",\"result\":\"EQUAL\"}", first ? "" : ",", key, mod);
}

static bool write_txn(struct engine *engine, FILE *to, const struct engine_put *puts, unsigned int n)
{
	char full[ENGINE_KEY_MAX + 1], keys[ENGINE_PUTS_MAX][ETCD_KEY_ROOM], value[ETCD_VALUE_ROOM];
	bool first = true;
	unsigned int i;

	fprintf(to, "{\"compare\":[");
	for (i = 0; i < n; i++) {
		if (!etcd_full_key(engine, puts[i].key, full) || strlen(puts[i].value) > ENGINE_VALUE_MAX || (puts[i].leased && !engine->lease.id))
			return false;
		etcd_b64(full, keys[i]);
		if (puts[i].compare) {
			write_compare(to, keys[i], puts[i].mod, first);
			first = false;
		}
	}
	fprintf(to, "],\"success\":[");
	for (i = 0; i < n; i++) {
		etcd_b64(puts[i].value, value);
		fprintf(to, "%s{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%" PRIu64 "\"}}", i ? "," : "", keys[i], value,
			puts[i].leased ? engine->lease.id : 0);
	}
	fprintf(to, "]}");
	return true;
}

bool etcd_put(struct engine *engine, const struct engine_put *puts, unsigned int n, engine_done done, void *arg)
{
	char *body = NULL;
	size_t bytes;
	FILE *to;
	bool ok;

	if (n < 1 || n > ENGINE_PUTS_MAX)
		return false;
	to = open_memstream(&body, &bytes);
	if (!to)
		return false;
	ok = write_txn(engine, to, puts, n);
	ok = !fclose(to) && ok && ask(engine, "/kv/txn", body, &(struct etcd_request) { .done = done, .arg = arg });
	free(body);
	return ok;
}

void etcd_put_free(struct engine *engine)
{
	struct etcd_join *join, *next_join;
	struct etcd_request *request, *next;

	for (join = engine->joins; join; join = next_join) {
		next_join = join->next;
		free(join);
	}
	for (request = engine->requests; request; request = next) {
		next = request->next;
		free(request);
	}
}
