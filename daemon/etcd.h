/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The membership engine behind engine.h as a client of etcd v3, by its JSON gateway. What the parts share: etcd.c reaches an endpoint and holds
 * the leases; etcd_put.c puts and gets; etcd_watch.c; etcd_elect.c.
 *
 * One endpoint is in use at a time. Whatever fails on it enters by etcd_lost(): all calls are dropped, the next endpoint is tried, and
 * once one is reached etcd_settle() starts again what is not under way. A lease outlives this: it is of all of etcd.
 */
#ifndef FARSWAP_ETCD_H
#define FARSWAP_ETCD_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "engine.h"
#include "etcd_http.h"
#include "etcd_json.h"
#include "log.h"

#define ETCD_STALE_MAX	16

struct etcd_lease {
	struct engine *engine;
	uint64_t id;			/* 0: none */
	uint64_t until_ns;		/* CLOCK_BOOTTIME: it may have run out from here on */
	uint64_t asked_ns;		/* when the call in the air was made */
	struct http_call *call;
	/* granted, or kept */
	void (*had)(struct etcd_lease *lease);
	/* etcd does not know it any more; id is 0 */
	void (*gone)(struct etcd_lease *lease);
};

struct etcd_join;
struct etcd_request;
struct etcd_watch;
struct etcd_campaign;

enum etcd_phase {
	ETCD_WAITING,			/* a while before the next endpoint is tried */
	ETCD_PROBING,			/* asked for its version */
	ETCD_LEASING,			/* this node's lease is being granted or kept */
	ETCD_READY,
	ETCD_LEFT,
};

struct engine {
	char urls[ENGINE_ENDPOINTS_MAX][ENGINE_URL_BYTES];
	bool told[ENGINE_ENDPOINTS_MAX];	/* why it is not reached has been said since one was */
	unsigned int n_urls, at;
	unsigned int failed;			/* endpoints, one after the other */
	char prefix[ENGINE_KEY_MAX];
	uint64_t ttl_ns;
	unsigned int timeout_ms;		/* of a call that is no stream */

	enum etcd_phase phase;
	const char *api;			/* "/v3" */
	uint64_t cluster;			/* of etcd, by its number; 0: none yet */
	struct http *http;
	sd_event_source *retry, *beat, *kick, *clock;
	struct etcd_lease lease;		/* of all that join() and put() put */
	struct etcd_join *joins;
	struct etcd_request *requests;
	unsigned int n_requests;
	struct etcd_watch *watches;
	struct etcd_campaign *campaigns;
	uint64_t stale[ETCD_STALE_MAX];		/* leases to be revoked; 0: none */
	struct http_call *revoke;
	struct farswap_log_limit limit;

	bool was_reached;			/* ever */
	uint64_t since_ns;
	char version[32];
	char why[256];
};

uint64_t etcd_clock_ns(void);		/* CLOCK_BOOTTIME: a lease runs out while this host sleeps, too */

/* the one door for failures of the endpoint in use */
void etcd_lost(struct engine *engine, const char *why);
/* start what is to be under way and is not, usec from now */
void etcd_settle_in(struct engine *engine, uint64_t usec);
/* body: of format. NULL: then etcd_lost() has been called. */
struct http_call *etcd_call(struct engine *engine, const char *path, unsigned int timeout_ms, http_answer answer, void *arg, const char *format, ...)
	__attribute__((format(printf, 6, 7)));
/* did the endpoint fail, rather than refuse this one call? */
bool etcd_is_failure(int code);
/* with the cluster's prefix; false: no such key can be */
bool etcd_full_key(const struct engine *engine, const char *key, char out[ENGINE_KEY_MAX + 1]);
/* false: it is another cluster of etcd than before, whose revisions mean nothing here; etcd_lost() has been called */
bool etcd_same_cluster(struct engine *engine, const struct etcd_header *header);

/* false: etcd_lost() has been called */
bool etcd_lease_grant(struct etcd_lease *lease);
bool etcd_lease_keep(struct etcd_lease *lease);
/* let go of it: it is revoked when that is possible, and may run out before */
void etcd_lease_drop(struct etcd_lease *lease);

/* etcd_put.c. Each _settle: false if etcd_lost() has been called; *due_ns, if not 0: the next is wanted then */
int etcd_join(struct engine *engine, const char *key, const char *value);
bool etcd_get(struct engine *engine, const char *key, engine_got got, void *arg);
bool etcd_put(struct engine *engine, const struct engine_put *puts, unsigned int n, engine_done done, void *arg);
bool etcd_join_settle(struct engine *engine, uint64_t *due_ns);
void etcd_join_lost(struct engine *engine);
void etcd_join_again(struct engine *engine);	/* all of them: the lease is another */
void etcd_put_lost(struct engine *engine);	/* tells those that wait */
void etcd_put_free(struct engine *engine);

/* etcd_watch.c */
int etcd_watch(struct engine *engine, const char *prefix, const struct engine_watcher *watcher, void *arg);
bool etcd_watch_settle(struct engine *engine);
void etcd_watch_lost(struct engine *engine);
bool etcd_watch_beat(struct engine *engine);	/* false: one was not answered, etcd_lost() has been called */
void etcd_watch_free(struct engine *engine);

/* etcd_elect.c */
int etcd_campaign(struct engine *engine, const char *election, const char *value, const struct engine_candidate *candidate, void *arg);
bool etcd_leads(struct engine *engine, const char *election);
bool etcd_elect_settle(struct engine *engine, uint64_t *due_ns);
void etcd_elect_lost(struct engine *engine);
bool etcd_elect_beat(struct engine *engine);
/* whose lease may have run out leads no more; to be called before anything else when the loop comes back */
void etcd_elect_look(struct engine *engine);
void etcd_elect_leave(struct engine *engine);	/* nobody leads, leases are dropped */
void etcd_elect_free(struct engine *engine);

#endif
