/* SPDX-License-Identifier: GPL-2.0 */
/* cluster.conf: INI, the same file on every node. */
#ifndef FARSWAP_CONF_H
#define FARSWAP_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "farswap_nl.h"
#include "key.h"
#include "placement.h"
#include "shortage.h"
#include "util.h"

#define FARSWAP_CONF_PATH	"/etc/farswap/cluster.conf"
#define FARSWAP_RUN_DIR		"/run/farswap"
#define FARSWAP_NODES_MAX	256
#define FARSWAP_RACK_BYTES	32
#define FARSWAP_NOT_SAID	UINT32_MAX	/* in a node's quota: as [cluster] says */

/* what one client may have at a donor; 0: as much as there is */
struct farswap_quota {
	uint32_t slabs;
	uint32_t queue_pairs;
	uint32_t requests;		/* on the control channel, a second */
};

struct farswap_node {
	char name[32];
	char rack[FARSWAP_RACK_BYTES];	/* "" when not named */
	union farswap_addr addr;	/* with the cluster's port */
	uint32_t lend;			/* slabs at most */
	struct farswap_quota quota;	/* at others */
	unsigned int line;
	bool has_address, has_lend, has_rack;
	bool joined;			/* known from the membership engine, not from the file */
	bool recalled;			/* from the file, or by an earlier daemon: the engine has not told of it to this one */
	uint32_t group;			/* that it is in, where it has joined; UINT32_MAX: not known yet */
	uint64_t left_ns;		/* the engine says that it is gone, since then; 0: it is there */
};

struct farswap_conf {
	char path[4096];
	char key_path[4096];
	uint16_t port;
	uint64_t slab_bytes;
	uint64_t reserve_bytes;		/* available memory: below it, a donor takes slabs back */
	uint64_t reserve_high_bytes;	/* with less it lends nothing more */
	uint64_t reserve_hard_bytes;	/* below it, slabs go back at once */
	uint32_t deadline_s;		/* for an owner to move a slab that is asked back */
	uint64_t size_bytes;		/* default swap size of `farswap up` */
	uint32_t copies;
	uint32_t spares;		/* extents to keep ahead of need */
	enum farswap_codec codec;	/* of a device's pages at first */
	enum placement_policy placement;	/* of new extents */
	bool rebalance;			/* copies move from full donors to empty ones */
	bool lend_while_borrowing;
	uint32_t replace_after_s;	/* a donor that is not reached for so long is replaced */
	uint32_t repair_rate;		/* MiB/s at most; 0: no limit */
	uint32_t heartbeat_ms;		/* between two PINGs */
	uint32_t lease_s;		/* a donor keeps the session of a client that it does not see alive so long; 0: for ever */
	enum shortage_policy shortage;
	uint64_t shortage_budget_bytes;	/* of what is lent, for local use */
	uint32_t shortage_faults;	/* major faults a second of the group that are many */
	char shortage_group[256];	/* the control group's directory */
	char etcd[ENGINE_ENDPOINTS_MAX][ENGINE_URL_BYTES];
	unsigned int n_etcd;		/* 0: the nodes are those of the file */
	char etcd_name[32];		/* the cluster's, as several can share an etcd */
	uint32_t etcd_ttl_s;		/* a node that gives no sign of life so long has left */
	uint32_t etcd_group;		/* nodes of a group at most */
	struct farswap_quota quota;	/* of each client whose node says nothing else */
	struct farswap_node nodes[FARSWAP_NODES_MAX];	/* in the daemon one whose name is "" has been removed, see sync.h */
	unsigned int n_nodes;
	struct farswap_node *self;	/* after farswap_conf_find_self() */
};

/* Returns 0, or -1 with one line in err: "FILE:LINE: what is wrong, what to do". The key file is not looked at. */
int farswap_conf_load(const char *path, struct farswap_conf *conf, char *err, size_t size);
/*
 * name NULL: the node named like this host or, failing that, with the address of a local interface.
 * With an engine all other nodes of the file are what is known before it is reached. Returns 0, or -1 with one line in err.
 */
int farswap_conf_find_self(struct farswap_conf *conf, const char *name, char *err, size_t size);
/* 1 to FARSWAP_RACK_BYTES - 1 characters of ASCII, none of them '"', '\' or a control character */
bool farswap_rack_ok(const char *rack);
struct farswap_node *farswap_conf_node(struct farswap_conf *conf, const char *name);
/* of that client; of one that is no node (any more), or with an engine: what [cluster] says */
struct farswap_quota farswap_conf_quota(struct farswap_conf *conf, const char *client);

#endif
