// SPDX-License-Identifier: GPL-2.0
/*
 * A watch lists the keys, page by page as of one revision, and has every change from there on in a stream. After a failure the stream goes on
 * behind the last revision it told. If etcd does not have that any more (compacted, or set back), the keys are listed anew, and what is
 * missing in the whole list was deleted: nothing else says so, and least of all that etcd is not reached.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd.h"

#define PAGE_KEYS	128	/* that many of the longest fit into an answer */
#define KEYS_MAX	65536	/* of one watch */
#define PAGES_MAX	1024	/* of one listing: each brings at least one key less than it has */
#define ANEW_MAX	3	/* listings between two beats that etcd may cause */
#define FROM_ROOM	ETCD_B64_ROOM(1024)	/* a page may end with a key that is none of ours */

/* a key that was told */
struct entry {
	uint64_t mod;
	unsigned int round;		/* the listing that had it last */
	char key[];
};

struct etcd_watch {
	struct etcd_watch *next;
	struct engine *engine;
	const struct engine_watcher *watcher;
	void *arg;
	char prefix[ENGINE_KEY_MAX + 1];
	uint64_t revision;		/* told up to there; 0: to be listed */
	uint64_t list_revision;		/* of the listing under way; 0: none */
	char list_from[FROM_ROOM];	/* the last key of the page before, in base64 */
	unsigned int pages, anew;
	unsigned int round;
	bool created;			/* the stream has begun */
	unsigned int beats;		/* without that */
	bool full;			/* said */
	struct http_call *call;
	struct entry **entries;		/* by key */
	unsigned int n_entries, room;
};

static bool list(struct etcd_watch *watch);

/* --- what is known --- */

/* where key is, or would be */
static unsigned int find(const struct etcd_watch *watch, const char *key, bool *there)
{
	unsigned int low = 0, high = watch->n_entries, middle;
	int order;

	*there = false;
	while (low < high && !*there) {
		middle = low + (high - low) / 2;
		order = strcmp(key, watch->entries[middle]->key);
		if (!order)
			*there = true;
		if (order <= 0)
			high = middle;
		else
			low = middle + 1;
	}
	return high;
}

static struct entry *insert(struct etcd_watch *watch, unsigned int at, const char *key)
{
	unsigned int room = watch->room ? watch->room * 2 : 64;
	struct entry *entry, **entries;

	if (watch->n_entries == KEYS_MAX)
		return NULL;
	if (watch->n_entries == watch->room) {
		entries = reallocarray(watch->entries, room, sizeof(*entries));
		if (!entries)
			return NULL;
		watch->entries = entries;
		watch->room = room;
	}
	entry = malloc(sizeof(*entry) + strlen(key) + 1);
	if (!entry)
		return NULL;
	entry->mod = 0;
	strcpy(entry->key, key);
	memmove(watch->entries + at + 1, watch->entries + at, (watch->n_entries - at) * sizeof(*watch->entries));
	watch->entries[at] = entry;
	watch->n_entries++;
	return entry;
}

static void tell_gone(struct etcd_watch *watch, unsigned int at, uint64_t mod)
{
	struct entry *entry = watch->entries[at];

	watch->n_entries--;
	memmove(watch->entries + at, watch->entries + at + 1, (watch->n_entries - at) * sizeof(*watch->entries));
	watch->watcher->seen(watch->arg, &(struct engine_kv) { .key = entry->key + strlen(watch->engine->prefix), .mod = mod });
	free(entry);
}

static void tell(struct etcd_watch *watch, const struct etcd_kv *kv)
{
	bool there;
	unsigned int at = find(watch, kv->key, &there);
	struct entry *entry = there ? watch->entries[at] : insert(watch, at, kv->key);

	if (!entry) {
		if (!watch->full)
			farswap_log("etcd: below %s there are more than %u keys, or memory is short: the rest is not seen", watch->prefix, watch->n_entries);
		watch->full = true;
		return;
	}
	entry->round = watch->round;
	if (entry->mod == kv->mod)
		return;
	entry->mod = kv->mod;
	watch->watcher->seen(watch->arg, &(struct engine_kv) { kv->key + strlen(watch->engine->prefix), kv->value, kv->create, kv->mod });
}

/* what the whole list did not have */
static void sweep(struct etcd_watch *watch)
{
	unsigned int i = 0;

	while (i < watch->n_entries) {
		if (watch->entries[i]->round != watch->round)
			tell_gone(watch, i, watch->list_revision);
		else
			i++;
	}
}

/* --- what etcd answers --- */

static void not_understood(struct etcd_watch *watch, const char *what)
{
	char why[80];

	watch->revision = 0;
	snprintf(why, sizeof(why), "its %s is not understood", what);
	etcd_lost(watch->engine, why);
}

static bool is_below(const struct etcd_watch *watch, const char *key)
{
	return !strncmp(key, watch->prefix, strlen(watch->prefix));
}

/* "a/" to "a0": everything that begins with "a/"; no key has a character past '~' */
static void range_of(const struct etcd_watch *watch, char first[ETCD_KEY_ROOM], char end[ETCD_KEY_ROOM])
{
	char last[ENGINE_KEY_MAX + 1];

	strcpy(last, watch->prefix);
	last[strlen(last) - 1]++;
	etcd_b64(watch->prefix, first);
	etcd_b64(last, end);
}

/* one that nobody of farswap put is passed over; a value that is none leaves the last one standing */
static bool take_kv(struct etcd_watch *watch, struct json_object *json, struct etcd_kv *kv, bool *skip)
{
	enum etcd_kv_verdict verdict = etcd_get_kv(json, kv);

	*skip = verdict == ETCD_KV_STRANGE;
	if (*skip)
		farswap_log_limited(&watch->engine->limit, "etcd: a key below %s is none of farswap's, or its value is not: passed over", watch->prefix);
	return *skip || (verdict == ETCD_KV_GOOD && is_below(watch, kv->key));
}

static bool stream(struct etcd_watch *watch);

static void end_list(struct etcd_watch *watch)
{
	sweep(watch);
	watch->revision = watch->list_revision;
	watch->list_revision = 0;
	if (watch->watcher->listed)
		watch->watcher->listed(watch->arg);
	stream(watch);
}

/* where the next page begins: with the last key of this one, which is then seen twice */
static bool take_from(struct etcd_watch *watch, struct json_object *kv)
{
	const char *key;
	char text[2];
	bool fits;

	if (!etcd_get_string(kv, "key", &key) || strlen(key) >= FROM_ROOM || !etcd_b64_text(key, text, sizeof(text), &fits))
		return false;
	strcpy(watch->list_from, key);
	return true;
}

static bool take_page(struct etcd_watch *watch, struct json_object *kvs)
{
	size_t i, n = json_object_array_length(kvs);
	struct etcd_kv kv;
	bool skip, there;
	unsigned int at;

	for (i = 0; i < n; i++) {
		if (!take_kv(watch, json_object_array_get_idx(kvs, i), &kv, &skip))
			return false;
		if (!skip) {
			tell(watch, &kv);
			continue;
		}
		at = find(watch, kv.key, &there);
		if (there)
			watch->entries[at]->round = watch->round;
	}
	return !n || take_from(watch, json_object_array_get_idx(kvs, n - 1));
}

static void on_page(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_watch *watch = arg;
	struct json_object *kvs;
	struct etcd_header header;
	bool more;

	(void)code;
	watch->call = NULL;
	if (!json) {
		etcd_lost(watch->engine, why);
		return;
	}
	if (!etcd_get_header(json, &header) || !etcd_get_array(json, "kvs", &kvs) || !etcd_get_bool(json, "more", &more) || !header.revision) {
		not_understood(watch, "list of keys");
		return;
	}
	if (!etcd_same_cluster(watch->engine, &header))
		return;
	if (!watch->list_revision)
		watch->list_revision = header.revision;
	if ((kvs && !take_page(watch, kvs)) || (more && (!kvs || ++watch->pages == PAGES_MAX)))
		not_understood(watch, "list of keys");
	else if (more)
		list(watch);
	else
		end_list(watch);
}

static bool list(struct etcd_watch *watch)
{
	char first[ETCD_KEY_ROOM], end[ETCD_KEY_ROOM];

	range_of(watch, first, end);
	if (!watch->list_revision) {
		watch->round++;
		watch->pages = 0;
	}
	watch->call = etcd_call(watch->engine, "/kv/range", watch->engine->timeout_ms, on_page, watch,
				"{\"key\":\"%s\",\"range_end\":\"%s\",\"limit\":\"%u\",\"revision\":\"%" PRIu64 "\"}",
				watch->list_revision ? watch->list_from : first, end, PAGE_KEYS, watch->list_revision);
	return watch->call;
}

static void list_anew(struct etcd_watch *watch)
{
	watch->revision = 0;
	if (++watch->anew > ANEW_MAX) {
		etcd_lost(watch->engine, "it has the keys listed again and again");
		return;
	}
	http_cancel(watch->call);
	list(watch);
}

static bool take_event(struct etcd_watch *watch, struct json_object *event, uint64_t *mod)
{
	struct json_object *json;
	const char *type;
	struct etcd_kv kv;
	bool deleted, skip, there;
	unsigned int at;

	if (!json_object_is_type(event, json_type_object) || !etcd_get_string(event, "type", &type) || !etcd_get_object(event, "kv", &json))
		return false;
	deleted = !strcmp(type, "DELETE");
	if ((!deleted && *type && strcmp(type, "PUT")) || !take_kv(watch, json, &kv, &skip) || kv.mod <= watch->revision || kv.mod < *mod)
		return false;
	*mod = kv.mod;
	if (skip)
		return true;
	if (!deleted) {
		tell(watch, &kv);
		return true;
	}
	at = find(watch, kv.key, &there);
	if (there)
		tell_gone(watch, at, kv.mod);
	return true;
}

static void take_events(struct etcd_watch *watch, struct json_object *events)
{
	size_t i, n = json_object_array_length(events);
	uint64_t mod = watch->revision;

	for (i = 0; i < n; i++) {
		if (!take_event(watch, json_object_array_get_idx(events, i), &mod)) {
			not_understood(watch, "stream of changes");
			return;
		}
	}
	watch->revision = mod;
}

static void on_line(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_watch *watch = arg;
	struct json_object *result, *events;
	struct etcd_header header;
	bool created, canceled;
	uint64_t compacted;

	(void)code;
	if (!json) {
		watch->call = NULL;
		etcd_lost(watch->engine, why);
		return;
	}
	if (!etcd_get_object(json, "result", &result) || !result || !etcd_get_header(result, &header) || !etcd_get_bool(result, "created", &created) ||
	    !etcd_get_bool(result, "canceled", &canceled) || !etcd_get_u64(result, "compact_revision", &compacted) ||
	    !etcd_get_array(result, "events", &events)) {
		not_understood(watch, "stream of changes");
		return;
	}
	if (!etcd_same_cluster(watch->engine, &header))
		return;
	if (canceled && !compacted)
		etcd_lost(watch->engine, "it ended a watch");
	else if (canceled || (created && header.revision < watch->revision))	/* compacted; set back */
		list_anew(watch);
	else if (created)
		watch->created = true;
	else if (events)
		take_events(watch, events);
	else if (header.revision > watch->revision)	/* nothing new up to there */
		watch->revision = header.revision;
}

static bool stream(struct etcd_watch *watch)
{
	char first[ETCD_KEY_ROOM], end[ETCD_KEY_ROOM];

	range_of(watch, first, end);
	watch->created = false;
	watch->beats = 0;
	watch->call = etcd_call(watch->engine, "/watch", HTTP_STREAM, on_line, watch,
				"{\"create_request\":{\"key\":\"%s\",\"range_end\":\"%s\",\"start_revision\":\"%" PRIu64 "\",\"progress_notify\":true}}",
				first, end, watch->revision + 1);
	return watch->call;
}

/* --- the engine's --- */

bool etcd_watch_settle(struct engine *engine)
{
	struct etcd_watch *watch;

	for (watch = engine->watches; watch; watch = watch->next)
		if (!watch->call && !(watch->revision ? stream(watch) : list(watch)))
			return false;
	return true;
}

void etcd_watch_lost(struct engine *engine)
{
	struct etcd_watch *watch;

	for (watch = engine->watches; watch; watch = watch->next) {
		watch->call = NULL;
		watch->list_revision = 0;
	}
}

/* a stream that has begun is alive as long as its endpoint is: leases show that, and TCP's own probes */
bool etcd_watch_beat(struct engine *engine)
{
	struct etcd_watch *watch;

	for (watch = engine->watches; watch; watch = watch->next) {
		watch->anew = 0;
		if (!watch->call || !watch->revision || watch->created || ++watch->beats < 2)
			continue;
		etcd_lost(engine, "it does not answer to a watch");
		return false;
	}
	return true;
}

int etcd_watch(struct engine *engine, const char *prefix, const struct engine_watcher *watcher, void *arg)
{
	struct etcd_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->engine = engine;
	watch->watcher = watcher;
	watch->arg = arg;
	if (!etcd_full_key(engine, prefix, watch->prefix)) {
		free(watch);
		return -EINVAL;
	}
	watch->next = engine->watches;
	engine->watches = watch;
	etcd_settle_in(engine, 0);
	return 0;
}

void etcd_watch_free(struct engine *engine)
{
	struct etcd_watch *watch, *next;
	unsigned int i;

	for (watch = engine->watches; watch; watch = next) {
		next = watch->next;
		for (i = 0; i < watch->n_entries; i++)
			free(watch->entries[i]);
		free(watch->entries);
		free(watch);
	}
}
