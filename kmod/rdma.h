/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The transport: RC queue pairs to each peer, one per lane for loads' READs, one for read-ahead and one for WRITEs. What device.c and netlink.c
 * use of it; its own files share rdma_int.h.
 */
#ifndef FSW_RDMA_H
#define FSW_RDMA_H

#include "core.h"

struct fsw_peer_config;
struct fsw_rdma;
struct fsw_rdma_peer;

extern const struct fsw_transport_ops fsw_rdma_ops;

unsigned int fsw_rdma_conns(void);	/* queue pairs of a peer, and so the tokens that it takes */

/*
 * changed: a peer is lost and drained, why is the reason. From a work, under memalloc_noio_save(). Not called for
 * peers that fsw_rdma_stop() takes down. ERR_PTR(-ENOMEM).
 */
struct fsw_rdma *fsw_rdma_new(const char *name,
			      void (*changed)(void *ctx, u32 node, unsigned int state, const char *why), void *ctx);
void fsw_rdma_attach(struct fsw_rdma *rdma, struct fsw_core *core);	/* before the first peer: who counts */
/* Every peer is failed, drained and destroyed, and no new one comes. The peers' memory stays until free. May sleep. */
void fsw_rdma_stop(struct fsw_rdma *rdma);
void fsw_rdma_free(struct fsw_rdma *rdma);	/* after the core was freed */

/* A peer in state CONNECTING, on the list. ERR_PTR with *why: -EEXIST, -ENOSPC, -ENOMEM, -ESHUTDOWN. */
struct fsw_rdma_peer *fsw_rdma_peer_new(struct fsw_rdma *rdma, const struct fsw_peer_config *config, const char **why);
/*
 * Connect it: 0 and it is LIVE, or -errno with *why (a constant text naming the step) and it is gone. May sleep,
 * some 16 s at most; a kill signal or fsw_rdma_stop() ends that early. config of fsw_rdma_peer_new() need not be
 * there any more.
 */
int fsw_rdma_peer_connect(struct fsw_rdma_peer *peer, const char **why);

/* The peer of that number, live or lost, or NULL; it stays until it is put. */
struct fsw_peer *fsw_rdma_peer_get(struct fsw_rdma *rdma, u32 node);
void fsw_rdma_peer_put(struct fsw_rdma *rdma, struct fsw_peer *peer);
/* The peer's memory at the donor is no more. 0, or -ENOENT with *why. */
int fsw_rdma_peer_gone(struct fsw_rdma *rdma, u32 node, const char **why);
/*
 * Forget a LOST peer that is torn down, that no extent's set names, and that nobody got. May sleep. 0, or with *why -ENOENT or -EBUSY.
 */
int fsw_rdma_peer_del(struct fsw_rdma *rdma, u32 node, const char **why);

struct fsw_peer_info {
	u32 node;
	unsigned int state;
	char name[FARSWAP_NAME_BYTES];
	u64 session, incarnation, read_ns, corrupt;
	const char *why;	/* lost: the first reason; or NULL */
};

/* Peer number index (0, 1, ...) of the list: false when there is none. */
bool fsw_rdma_peer_info(struct fsw_rdma *rdma, unsigned int index, struct fsw_peer_info *info);

#endif
