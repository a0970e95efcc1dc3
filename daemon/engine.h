/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The membership engine: an outside service that knows who is there, keeps what is agreed upon, and says who leads. One interface of
 * five calls: join, watch, get and put, campaign, leave.
 *
 * All is done on the daemon's loop. No call blocks but leave(), and none calls back: callbacks come from the loop, and may use every call but
 * leave() and stop(). While the engine is not reached nothing is told to have changed: what was seen last stands.
 *
 * Keys are printable ASCII without spaces, relative to the cluster's prefix, as "node/alpha". Values are text. A revision is a number that rises
 * with each change of any key.
 */
#ifndef FARSWAP_ENGINE_H
#define FARSWAP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_KEY_MAX		200	/* characters, with the cluster's prefix */
#define ENGINE_VALUE_MAX	2048
#define ENGINE_PUTS_MAX		4	/* in one put() */
#define ENGINE_ENDPOINTS_MAX	8
#define ENGINE_URL_BYTES	256
#define ENGINE_TTL_S		10	/* unless the settings say otherwise */
#define ENGINE_TTL_MIN_S	2
#define ENGINE_TTL_MAX_S	60

struct engine;

struct engine_settings {
	const char *endpoints[ENGINE_ENDPOINTS_MAX];	/* http:// or https:// URLs; the next is tried when one fails */
	unsigned int n_endpoints;
	const char *prefix;		/* of all keys: "/farswap/CLUSTER/" */
	unsigned int ttl_s;		/* how long a node that gives no sign of life is still there */
};

struct engine_kv {
	const char *key;
	const char *value;		/* NULL: deleted */
	uint64_t create, mod;		/* the revisions that made it and changed it last */
};

enum engine_result {
	ENGINE_DONE,
	ENGINE_DIFFERS,			/* a compare failed: nothing was put */
	ENGINE_NOT_REACHED,		/* or refused, which the log says: a put may have been done, or be done yet */
};

/* revision: that the keys have now; 0 if not ENGINE_DONE */
typedef void (*engine_done)(void *arg, enum engine_result result, uint64_t revision);
/* kv: NULL if there is no such key, or not ENGINE_DONE */
typedef void (*engine_got)(void *arg, enum engine_result result, const struct engine_kv *kv);

struct engine_put {
	const char *key, *value;
	bool compare;			/* put only if the key's mod is this one; 0: if there is no such key */
	uint64_t mod;
	bool leased;			/* goes when this node goes; not put again, as what join() puts is, once that lease was lost */
};

struct engine_watcher {
	/* a key as it is now; then each change in its order. One that is deleted has been told before. */
	void (*seen)(void *arg, const struct engine_kv *kv);
	/* all that was there has been told; again whenever the keys had to be listed anew. May be NULL. */
	void (*listed)(void *arg);
};

struct engine_candidate {
	/* this node begins to lead, or does not lead any more: by its own clock before another can begin */
	void (*leads)(void *arg, bool leads);
	/* who leads, as far as is known: the value it campaigned with; NULL: nobody. May be NULL. */
	void (*leader)(void *arg, const char *value);
};

struct engine_state {
	bool reached;
	uint64_t since_ns;		/* CLOCK_MONOTONIC */
	const char *endpoint;		/* in use, or tried last */
	const char *version;		/* of the service there, as it last said; "" if it never did */
	const char *why;		/* it is not reached; "" if it is */
};

struct engine_ops {
	const char *name;
	/* NULL: err has one line that says which setting is wrong, or what is missing. Unreachable is no failure. */
	struct engine *(*start)(const struct engine_settings *settings, char *err, size_t size);
	/* without leave() this node is there until its lease runs out, as a daemon that is started again wants it. Calls back nobody. */
	void (*stop)(struct engine *engine);

	/*
	 * This node is there: key and value are put under a lease, and put again whenever that had to be taken anew. With a key of before: its
	 * value from now on, put at most once a second, the newest. -EINVAL: no such key or value can be; -ENOMEM.
	 */
	int (*join)(struct engine *engine, const char *key, const char *value);
	/* every key that begins with prefix, from now until stop(). watcher must stay. -EINVAL, -ENOMEM. */
	int (*watch)(struct engine *engine, const char *prefix, const struct engine_watcher *watcher, void *arg);
	/* false: not reached, too much in the air, or no such key can be; then got or done is not called. */
	bool (*get)(struct engine *engine, const char *key, engine_got got, void *arg);
	/* all of them or none, if all compares hold; false also when one is to be leased and there is no lease now */
	bool (*put)(struct engine *engine, const struct engine_put *puts, unsigned int n, engine_done done, void *arg);
	/* stand for election until stop(), again after each defeat. candidate must stay. -EINVAL, -EEXIST, -ENOMEM. */
	int (*campaign)(struct engine *engine, const char *election, const char *value, const struct engine_candidate *candidate, void *arg);
	/* does this node lead now, by the clock? To be asked before each act of a leader. */
	bool (*leads)(struct engine *engine, const char *election);
	/* go at once, with all that is leased and led. For the daemon's end, when its loop has ended: blocks for a second at most, not at
	 * all if not reached, and tells who led that it does not. Only stop() may follow. */
	void (*leave)(struct engine *engine);

	void (*state)(struct engine *engine, struct engine_state *state);
};

extern const struct engine_ops engine_etcd;

#endif
