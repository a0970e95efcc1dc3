/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the transport's own files share.
 *
 * A peer's way: CONNECTING -> LIVE -> LOST, or CONNECTING -> LOST. Only a LIVE peer is posted to: a poster looks at
 * the state and posts inside one rcu_read_lock(), so after LOST and synchronize_rcu() nothing new is posted, the
 * queue pairs can be drained, and then destroyed. All of that is done by one work per peer (peer.c).
 *
 * Order of locks: bind_lock (bind.c) > fsw_rdma.peers_lock > fsw_rdma_peer.chains_lock;
 * fsw_lane.poll_lock > the queue's own lock > fsw_lane.lock. None of the first line is held while one of the second
 * is taken, nor the reverse.
 */
#ifndef FSW_RDMA_INT_H
#define FSW_RDMA_INT_H

#include <linux/completion.h>
#include <linux/ktime.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>
#include "rdma.h"
#include "settings.h"

#define FSW_LANE_READS	32	/* READs in flight of a lane */
#define FSW_UP_MAX	(4 * FSW_PEERS_MAX)	/* peers with queue pairs, those being drained included */

struct fsw_rdma_peer;
struct fsw_lane;

/* One READ. Who may end it: its completion, or the peer's work once the queue pair is destroyed. */
struct fsw_lane_read {
	struct fsw_read core;
	struct ib_cqe cqe;
	struct fsw_lane *lane;
	struct fsw_rdma_peer *peer;	/* posted to; valid while FLYING */
	struct list_head link;		/* fsw_lane.free */
	struct task_struct *waiter;	/* sleeps until it ended; under fsw_lane.lock */
	bool orphan;			/* given back while FLYING; under fsw_lane.lock */
	u64 posted_ns;
	u64 dma;
};

/* The READs of some CPUs: one completion queue, polled by those who wait. */
struct fsw_lane {
	struct fsw_rdma *rdma;
	unsigned int index;
	spinlock_t poll_lock;		/* cq and its polling: completions are dispatched one by one; irq-safe */
	struct ib_cq *cq;		/* NULL: not bound */
	atomic_t sleepers;		/* orphans, drains, waiters for room: nobody polls for them but poll_work */
	struct work_struct poll_work;	/* polls and re-arms; on fsw_rdma.wq */
	spinlock_t lock;		/* free, nr_free, and each read's waiter, orphan and end; irq-safe */
	struct list_head free;
	unsigned int nr_free;
	wait_queue_head_t room;		/* a read came back */
	struct fsw_buffer buffer;	/* the bounce pages */
	struct fsw_lane_read reads[FSW_LANE_READS];
};

/* One queue pair with its rdma_cm id. */
struct fsw_conn {
	struct fsw_rdma_peer *peer;
	unsigned int index;		/* the lane's; behind the lanes come read-ahead and WRITEs */
	struct rdma_cm_id *id;
	struct ib_qp *qp;
	struct completion done;		/* a step of connecting ended, or the peer is lost */
	int status;			/* of that step, and why; before done */
	const char *why;
	struct ib_cqe drain_cqe;
	struct completion drained;
	u8 token[FARSWAP_TOKEN_BYTES];
};

/* How long the donor keeps our session: lease.c. */
struct fsw_lease {
	u64 usable_ns;			/* of each renewal; 0: there is no lease */
	u64 until_ns;			/* boottime; nothing is posted from then on. U64_MAX: no lease */
	u64 posted_ns;			/* boottime, of the last renewal */
	bool flying;			/* it is in flight; then the word is the hardware's */
	unsigned int slot;		/* of fsw_rdma.words */
	u64 remote;			/* the word at the donor */
	u32 rkey;
	struct ib_cqe cqe;
	struct delayed_work work;	/* renews it, and finds that it is over when nobody posts; on fsw_rdma.wq */
};

struct fsw_rdma_peer {
	struct fsw_peer core;		/* state: cmpxchg only */
	struct fsw_rdma *rdma;
	struct list_head link;		/* fsw_rdma.peers */
	unsigned int users;		/* who got it, and may put it into a set; under peers_lock */
	bool down;			/* torn down; under peers_lock */
	bool going;			/* nobody gets it any more; under peers_lock */
	char name[FARSWAP_NAME_BYTES];
	u64 session, incarnation;
	struct sockaddr_storage address, source;
	bool bound;			/* counted in fsw_rdma.bound */
	int error;			/* LOST: the first reason, stored by who moved it there */
	const char *why;
	struct work_struct lost_work;
	struct fsw_lease lease;
	struct ib_cq *ahead_cq;		/* chains of READs */
	struct ib_cq *write_cq;		/* chains of WRITEs */
	struct ib_cqe chain_cqe;	/* of what is not signalled in them: comes up only when it failed */
	spinlock_t chains_lock;		/* chains; irq-safe */
	struct list_head chains;	/* in flight, oldest first */
	unsigned int nr_conns;
	struct fsw_conn conns[];	/* fsw_rdma_conns(): lanes, one for read-ahead, one for WRITEs */
};

struct fsw_post;	/* chain.c */

struct fsw_rdma {
	const char *name;
	struct fsw_core *core;
	void (*changed)(void *ctx, u32 node, unsigned int state, const char *why);
	void *changed_ctx;
	struct list_head link;		/* bind.c: all transports */
	struct ib_device *device;	/* bind_lock; while a peer is bound it stays */
	struct ib_pd *pd;		/* the same */
	struct list_head buffers;	/* bind_lock */
	atomic_t bound;			/* peers that use device */
	spinlock_t peers_lock;		/* peers and their users, down and going; up, words_used, stopping */
	struct list_head peers;		/* in the order they came; LOST ones stay while the core's extents point at them */
	unsigned int up;		/* of these, not yet torn down */
	unsigned long words_used;	/* a bit for each of those: its place in words */
	bool stopping;
	wait_queue_head_t idle;		/* bound or up fell */
	struct workqueue_struct *lost_wq;	/* what peers do when they are lost; they wait for drains */
	struct workqueue_struct *wq;		/* what never waits: poll_work, which drains wait for, leases, watch_work */
	struct delayed_work watch_work;
	struct fsw_post __percpu *posts;
	struct fsw_buffer words;	/* lease words on their way */
	unsigned int nr_lanes;
	struct fsw_lane *lanes;
};

static inline struct fsw_rdma_peer *fsw_to_rdma_peer(struct fsw_peer *peer)
{
	return container_of(peer, struct fsw_rdma_peer, core);
}

/* WRITEs in flight to one peer: each page of the staging pool is in one at most, some are mended, and one renews the lease. */
static inline unsigned int fsw_write_depth(void)
{
	return fsw_settings.staging_max + FSW_SPARES * fsw_settings.window + FSW_MEND_SLOTS + 1;
}

static inline struct fsw_conn *fsw_write_conn(struct fsw_rdma_peer *peer)
{
	return &peer->conns[peer->nr_conns - 1];
}

static inline struct fsw_conn *fsw_ahead_conn(struct fsw_rdma_peer *peer)
{
	return &peer->conns[peer->nr_conns - 2];
}

/* ---- peer.c ---- */

/* The one door, see fsw_transport_ops.peer_fail. why: a constant text. */
void fsw_peer_lost(struct fsw_rdma_peer *peer, int error, const char *why);
void fsw_peers_watch(struct work_struct *work);

/* ---- lease.c ---- */
int fsw_leases_init(struct fsw_rdma *rdma);
void fsw_leases_exit(struct fsw_rdma *rdma);
void fsw_lease_init(struct fsw_rdma_peer *peer, const struct fsw_peer_config *config);
/* The last step of connecting: the word is written once. From then on it is renewed. 0 or -errno with *why. */
int fsw_lease_start(struct fsw_rdma_peer *peer, const char **why);
void fsw_lease_stop(struct fsw_rdma_peer *peer);	/* of a LOST peer; waits for its work */

/* True: the peer is lost by it. Any context, inside rcu_read_lock(). */
static inline bool fsw_lease_over(struct fsw_rdma_peer *peer)
{
	if (likely(ktime_get_boottime_ns() < READ_ONCE(peer->lease.until_ns)))
		return false;
	fsw_peer_lost(peer, -ETIME, "its lease was not renewed in time");
	return true;
}

/* May it be posted to? Inside the rcu_read_lock() that the post is in. */
static inline bool fsw_peer_usable(struct fsw_rdma_peer *peer)
{
	return fsw_peer_live(&peer->core) && !fsw_lease_over(peer);
}

/* ---- conn.c: process context, one caller at a time, unless it says otherwise ---- */

enum fsw_step { FSW_STEP_ADDRESS, FSW_STEP_ROUTE, FSW_STEP_CONNECT, FSW_STEP_LEASE };

/* Begin a step of connecting (the last one is lease.c's), and wait for its end. 0 or -errno with *why. */
int fsw_conn_step(struct fsw_conn *conn, enum fsw_step step, const char **why);
int fsw_conn_wait(struct fsw_conn *conn, enum fsw_step step, const char **why);
void fsw_conn_step_end(struct fsw_conn *conn, int status, const char *why);	/* any context */
int fsw_conn_open(struct fsw_conn *conn, const char **why);	/* its rdma_cm id */
int fsw_conn_qp(struct fsw_conn *conn, const char **why);	/* its queue pair, once the device is bound */
void fsw_conn_drain_begin(struct fsw_conn *conn);		/* nobody posts any more */
void fsw_conn_drain_end(struct fsw_conn *conn);			/* waits a bounded time */
void fsw_conn_destroy_qp(struct fsw_conn *conn);		/* no work request can touch memory after it */
void fsw_conn_close(struct fsw_conn *conn);			/* its id; waits for rdma_cm */

/* ---- lane.c ---- */
int fsw_lane_init(struct fsw_lane *lane, struct fsw_rdma *rdma, unsigned int index);
void fsw_lane_exit(struct fsw_lane *lane);
int fsw_lane_bind(struct fsw_lane *lane, struct ib_device *device);	/* 0 or -errno */
void fsw_lane_unbind(struct fsw_lane *lane);
void fsw_lane_sleep(struct fsw_lane *lane);	/* from now on completions need no poller. Any context */
void fsw_lane_wake(struct fsw_lane *lane);	/* no longer */
/* posted_ns of the peer's oldest READ in flight; 0: none */
u64 fsw_lane_oldest(struct fsw_lane *lane, struct fsw_rdma_peer *peer);
/* End the peer's READs that are still in flight: its queue pair is destroyed. */
void fsw_lane_end(struct fsw_lane *lane, struct fsw_rdma_peer *peer);

struct fsw_read *fsw_lane_get(void *transport, bool urgent);
void fsw_lane_room(void *transport, u64 deadline_ns);
void fsw_lane_post(void *transport, struct fsw_read *read, struct fsw_peer *peer, u64 remote, u32 rkey, u32 bytes);
void fsw_lane_wait(void *transport, struct fsw_read *const *reads, unsigned int nr, u64 until_ns);
void fsw_lane_put(void *transport, struct fsw_read *read);

/* ---- chain.c ---- */
int fsw_chains_init(struct fsw_rdma *rdma);
void fsw_chains_exit(struct fsw_rdma *rdma);
void fsw_write(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
	       unsigned int nr);
void fsw_fetch(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
	       unsigned int nr);
void fsw_chain_error(struct ib_cq *cq, struct ib_wc *wc);	/* done of fsw_rdma_peer.chain_cqe */
u64 fsw_chains_oldest(struct fsw_rdma_peer *peer);	/* posted_ns of the oldest chain in flight; 0: none */
/* End the peer's chains that are still in flight: their queue pairs and completion queues are destroyed. */
void fsw_chains_end(struct fsw_rdma_peer *peer);

#endif
