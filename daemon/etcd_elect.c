// SPDX-License-Identifier: GPL-2.0
/*
 * etcd's own election: who has the oldest key below ELECTION/ leads; a key is named by its lease. Each try has a lease of its own, which
 * is dropped when the call was not answered: etcd takes back the key of a caller that has gone, at a time of its choosing,
 * and the key of a second try under the same lease would be the same one.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd.h"
#include "farswapd.h"
#include "util.h"

#define AGAIN_NS	1000000000ull	/* between two tries */

/* a key below the election */
struct stander {
	struct stander *next;
	uint64_t create;
	char *value;
	char key[];
};

struct etcd_campaign {
	struct etcd_campaign *next;
	struct engine *engine;
	const struct engine_candidate *candidate;
	void *arg;
	char election[ENGINE_KEY_MAX + 1];	/* with the prefix */
	char value[ENGINE_VALUE_MAX + 1];
	struct etcd_lease lease;
	struct http_call *call;			/* answered once elected */
	uint64_t tried_ns;
	bool elected;				/* under this lease, which may have run out */
	bool told;				/* that it leads */
	struct stander *standers;
	char *leader;				/* as told */
};

/* --- leading --- */

static bool runs(const struct etcd_campaign *campaign)
{
	return campaign->lease.id && etcd_clock_ns() < campaign->lease.until_ns;
}

static int on_clock(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	etcd_elect_look(arg);
	return 0;
}

/* the clock goes on while this host sleeps, so the timer must, too */
static void set_clock(struct engine *engine)
{
	uint64_t first_ns = UINT64_MAX, now = etcd_clock_ns(), usec;
	struct etcd_campaign *campaign;

	for (campaign = engine->campaigns; campaign; campaign = campaign->next)
		if (campaign->lease.id && campaign->lease.until_ns < first_ns)
			first_ns = campaign->lease.until_ns;
	usec = first_ns > now ? (first_ns - now) / 1000 + 1 : 0;
	if (first_ns == UINT64_MAX) {
		farswapd_timer_stop(engine->clock);
	} else if (!engine->clock) {
		sd_event_add_time_relative(farswapd.loop, &engine->clock, CLOCK_BOOTTIME, usec, 1000, on_clock, engine);
	} else {
		sd_event_source_set_time_relative(engine->clock, usec);
		sd_event_source_set_enabled(engine->clock, SD_EVENT_ONESHOT);
	}
}

static void tell_leads(struct etcd_campaign *campaign, bool leads)
{
	if (campaign->told == leads)
		return;
	campaign->told = leads;
	farswap_log_limited(&campaign->engine->limit, "etcd: election %s: this node %s", campaign->election, leads ? "leads" : "does not lead any more");
	campaign->candidate->leads(campaign->arg, leads);
}

/* in this order: nobody may be elected while this node is told to lead */
static void give_up(struct etcd_campaign *campaign)
{
	http_cancel(campaign->call);
	campaign->call = NULL;
	campaign->elected = false;
	tell_leads(campaign, false);
	etcd_lease_drop(&campaign->lease);
}

void etcd_elect_look(struct engine *engine)
{
	struct etcd_campaign *campaign;
	bool any = false;

	for (campaign = engine->campaigns; campaign; campaign = campaign->next) {
		if (!campaign->lease.id || runs(campaign))
			continue;
		give_up(campaign);
		any = true;
	}
	if (any)
		set_clock(engine);
}

bool etcd_leads(struct engine *engine, const char *election)
{
	struct etcd_campaign *campaign;
	char full[ENGINE_KEY_MAX + 1];

	if (!etcd_full_key(engine, election, full))
		return false;
	for (campaign = engine->campaigns; campaign && strcmp(campaign->election, full); campaign = campaign->next)
		;
	return campaign && campaign->elected && runs(campaign);
}

/* --- standing for election --- */

/* ELECTION/LEASE */
static bool is_own(const struct etcd_campaign *campaign, const char *key)
{
	char own[ENGINE_KEY_MAX + 24];

	snprintf(own, sizeof(own), "%s/%" PRIx64, campaign->election, campaign->lease.id);
	return campaign->lease.id && !strcmp(key, own);
}

static bool answer_ok(const struct etcd_campaign *campaign, struct json_object *json)
{
	char name[ENGINE_KEY_MAX + 1];
	struct json_object *leader;
	uint64_t lease, revision;
	const char *key;
	bool fits;

	return etcd_get_object(json, "leader", &leader) && leader && etcd_get_string(leader, "key", &key) && etcd_get_u64(leader, "lease", &lease) &&
	       etcd_get_u64(leader, "rev", &revision) && revision && lease == campaign->lease.id && etcd_b64_text(key, name, sizeof(name), &fits) &&
	       fits && is_own(campaign, name);
}

static void on_elected(void *arg, struct json_object *json, int code, const char *why)
{
	struct etcd_campaign *campaign = arg;
	struct engine *engine = campaign->engine;

	if (json ? !answer_ok(campaign, json) : code == HTTP_NOT_REACHED || code == HTTP_UNAVAILABLE || code == HTTP_DEADLINE) {
		etcd_lost(engine, json ? "its answer to a campaign is not understood" : why);
		return;
	}
	campaign->call = NULL;
	campaign->elected = json && runs(campaign);
	if (campaign->elected) {
		tell_leads(campaign, true);
		return;
	}
	if (!json)
		farswap_log_limited(&engine->limit, "etcd %s: election %s is refused: %s; tried again", engine->urls[engine->at],
				    campaign->election, why);
	give_up(campaign);
}

static bool stand(struct etcd_campaign *campaign)
{
	char name[ETCD_KEY_ROOM], value[ETCD_VALUE_ROOM];

	etcd_b64(campaign->election, name);
	etcd_b64(campaign->value, value);
	campaign->call = etcd_call(campaign->engine, "/election/campaign", HTTP_NO_TIMEOUT, on_elected, campaign,
				   "{\"name\":\"%s\",\"lease\":\"%" PRIu64 "\",\"value\":\"%s\"}", name, campaign->lease.id, value);
	return campaign->call;
}

static void lease_had(struct etcd_lease *lease)
{
	set_clock(lease->engine);
	etcd_settle_in(lease->engine, 0);
}

static struct etcd_campaign *campaign_of(struct etcd_lease *lease)
{
	return (struct etcd_campaign *)((char *)lease - offsetof(struct etcd_campaign, lease));
}

static void lease_gone(struct etcd_lease *lease)
{
	give_up(campaign_of(lease));
	set_clock(lease->engine);
}

static bool start(struct etcd_campaign *campaign)
{
	if (campaign->lease.id)
		return stand(campaign);
	campaign->tried_ns = farswap_now_ns();
	return etcd_lease_grant(&campaign->lease);
}

bool etcd_elect_settle(struct engine *engine, uint64_t *due_ns)
{
	struct etcd_campaign *campaign;
	uint64_t at;

	for (campaign = engine->campaigns; campaign; campaign = campaign->next) {
		if (campaign->call || campaign->elected || campaign->lease.call)
			continue;
		at = campaign->lease.id || !campaign->tried_ns ? 0 : campaign->tried_ns + AGAIN_NS;
		if (at > farswap_now_ns())
			*due_ns = *due_ns && *due_ns < at ? *due_ns : at;
		else if (!start(campaign))
			return false;
	}
	return true;
}

/* who was elected stays so while the lease runs, on whatever endpoint it is kept next */
void etcd_elect_lost(struct engine *engine)
{
	struct etcd_campaign *campaign;

	for (campaign = engine->campaigns; campaign; campaign = campaign->next) {
		campaign->lease.call = NULL;
		if (!campaign->call)
			continue;
		campaign->call = NULL;
		etcd_lease_drop(&campaign->lease);
	}
}

bool etcd_elect_beat(struct engine *engine)
{
	struct etcd_campaign *campaign;

	for (campaign = engine->campaigns; campaign; campaign = campaign->next)
		if (campaign->lease.id && !campaign->lease.call && !etcd_lease_keep(&campaign->lease))
			return false;
	return true;
}

void etcd_elect_leave(struct engine *engine)
{
	struct etcd_campaign *campaign;

	for (campaign = engine->campaigns; campaign; campaign = campaign->next)
		give_up(campaign);
}

/* --- seeing who leads --- */

static void free_stander(struct stander *stander)
{
	free(stander->value);
	free(stander);
}

static void forget(struct etcd_campaign *campaign, const char *key)
{
	struct stander **at = &campaign->standers, *stander;

	while (*at && strcmp((*at)->key, key))
		at = &(*at)->next;
	stander = *at;
	if (!stander)
		return;
	*at = stander->next;
	free_stander(stander);
}

static void remember(struct etcd_campaign *campaign, const struct engine_kv *kv)
{
	struct stander *stander = malloc(sizeof(*stander) + strlen(kv->key) + 1);

	if (!stander)
		return;
	stander->value = strdup(kv->value);
	if (!stander->value) {
		free(stander);
		return;
	}
	strcpy(stander->key, kv->key);
	stander->create = kv->create;
	stander->next = campaign->standers;
	campaign->standers = stander;
}

static void tell_leader(struct etcd_campaign *campaign)
{
	struct stander *stander, *first = NULL;
	char *leader;

	for (stander = campaign->standers; stander; stander = stander->next)
		if (!first || stander->create < first->create)
			first = stander;
	if (first && campaign->leader ? !strcmp(first->value, campaign->leader) : !first && !campaign->leader)
		return;
	leader = first ? strdup(first->value) : NULL;
	free(campaign->leader);
	campaign->leader = leader;
	if (campaign->candidate->leader)
		campaign->candidate->leader(campaign->arg, leader);
}

static void on_stander(void *arg, const struct engine_kv *kv)
{
	struct etcd_campaign *campaign = arg;
	char full[ENGINE_KEY_MAX + 1];

	forget(campaign, kv->key);
	if (kv->value)
		remember(campaign, kv);
	/* somebody took it away: another may be elected */
	else if (etcd_full_key(campaign->engine, kv->key, full) && is_own(campaign, full))
		give_up(campaign);
	tell_leader(campaign);
}

static const struct engine_watcher standers = { .seen = on_stander };

int etcd_campaign(struct engine *engine, const char *election, const char *value, const struct engine_candidate *candidate, void *arg)
{
	struct etcd_campaign *campaign;
	char full[ENGINE_KEY_MAX + 1], below[ENGINE_KEY_MAX + 2];
	int ret;

	/* "/" and a lease follow */
	if (!etcd_full_key(engine, election, full) || strlen(full) > ENGINE_KEY_MAX - 17 || strlen(value) > ENGINE_VALUE_MAX)
		return -EINVAL;
	for (campaign = engine->campaigns; campaign; campaign = campaign->next)
		if (!strcmp(campaign->election, full))
			return -EEXIST;
	campaign = calloc(1, sizeof(*campaign));
	if (!campaign)
		return -ENOMEM;
	campaign->engine = engine;
	campaign->candidate = candidate;
	campaign->arg = arg;
	campaign->lease = (struct etcd_lease) { .engine = engine, .had = lease_had, .gone = lease_gone };
	strcpy(campaign->election, full);
	strcpy(campaign->value, value);
	snprintf(below, sizeof(below), "%s/", election);
	ret = etcd_watch(engine, below, &standers, campaign);
	if (ret) {
		free(campaign);
		return ret;
	}
	campaign->next = engine->campaigns;
	engine->campaigns = campaign;
	return 0;
}

void etcd_elect_free(struct engine *engine)
{
	struct etcd_campaign *campaign, *next;
	struct stander *stander, *next_stander;

	for (campaign = engine->campaigns; campaign; campaign = next) {
		next = campaign->next;
		for (stander = campaign->standers; stander; stander = next_stander) {
			next_stander = stander->next;
			free_stander(stander);
		}
		free(campaign->leader);
		free(campaign);
	}
}
