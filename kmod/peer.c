// SPDX-License-Identifier: GPL-2.0
#include <linux/slab.h>
#include <linux/sched/mm.h>
#include "bind.h"
#include "device.h"
#include "rdma_int.h"
#include "settings.h"
#include "trace.h"

#define NO_PEER	"the node is no peer of the device"

/* ---- the one door for failures ---- */

/*
 * Posters look at the state under rcu_read_lock(), so nothing may be assumed about what is posted before a grace period
 * ended: that, and all teardown, is the work's. A peer that is CONNECTING has a task that does the same when it is
 * told.
 */
void fsw_peer_lost(struct fsw_rdma_peer *peer, int error, const char *why)
{
	u32 was = READ_ONCE(peer->core.state), now;
	unsigned int i;

	for (;;) {
		if (was == FARSWAP_PEER_LOST)
			return;
		fsw_stall();
		WRITE_ONCE(peer->core.lost_ns, ktime_get_ns());	/* whoever else loses it just now means the same time */
		now = cmpxchg(&peer->core.state, was, FARSWAP_PEER_LOST);
		if (now == was)
			break;
		was = now;	/* it just became LIVE, or LOST */
	}
	/* only the one who moved it gets here; readers take a reason that is not there yet for none */
	WRITE_ONCE(peer->error, error);
	WRITE_ONCE(peer->why, why);
	trace_farswap_peer(peer->core.node, FARSWAP_PEER_LOST, why);
	if (was == FARSWAP_PEER_LIVE)
		queue_work(peer->rdma->lost_wq, &peer->lost_work);
	else
		for (i = 0; i < peer->nr_conns; i++)
			complete(&peer->conns[i].done);
}

static void peer_drain(struct fsw_rdma_peer *peer)
{
	unsigned int i;

	synchronize_rcu();
	for (i = 0; i < peer->nr_conns; i++)
		fsw_conn_drain_begin(&peer->conns[i]);
	for (i = 0; i < peer->nr_conns; i++)
		fsw_conn_drain_end(&peer->conns[i]);
}

static void cq_free(struct ib_cq **cq)
{
	if (*cq)
		ib_free_cq(*cq);
	*cq = NULL;
}

/*
 * Take down what a LOST peer has, once nothing is posted any more. Until the queue pairs are destroyed the hardware
 * may read staging, and write bounce pages and read-ahead buffers; after that no completion can come but those already in a queue, which are
 * dispatched before what is left is ended here.
 */
static void peer_teardown(struct fsw_rdma_peer *peer)
{
	struct fsw_rdma *rdma = peer->rdma;
	unsigned int i;

	fsw_lease_stop(peer);
	for (i = 0; i < peer->nr_conns; i++)
		fsw_conn_destroy_qp(&peer->conns[i]);
	cq_free(&peer->ahead_cq);
	cq_free(&peer->write_cq);
	for (i = 0; i < rdma->nr_lanes; i++)
		fsw_lane_end(&rdma->lanes[i], peer);
	fsw_stall_sleep();
	fsw_chains_end(peer);
	/* last: nobody's page waits for rdma_cm, whose own workers may wait for memory */
	for (i = 0; i < peer->nr_conns; i++)
		fsw_conn_close(&peer->conns[i]);
	if (peer->bound)
		fsw_bind_put(rdma);
	peer->bound = false;
}

/* Its last touch of the transport; fsw_rdma_stop() may return as soon as the lock is free, and the peer be forgotten. */
static void peer_down(struct fsw_rdma_peer *peer, bool forget)
{
	struct fsw_rdma *rdma = peer->rdma;

	spin_lock(&rdma->peers_lock);
	if (forget)
		list_del(&peer->link);
	peer->down = true;
	WRITE_ONCE(rdma->up, rdma->up - 1);
	__clear_bit(peer->lease.slot, &rdma->words_used);
	wake_up_all(&rdma->idle);
	spin_unlock(&rdma->peers_lock);
	if (forget)
		kfree(peer);
}

static void lost_work(struct work_struct *work)
{
	struct fsw_rdma_peer *peer = container_of(work, struct fsw_rdma_peer, lost_work);
	struct fsw_rdma *rdma = peer->rdma;
	/* windows wait for this work: it must not wait for pages to be swapped out */
	unsigned int noio = memalloc_noio_save();

	fsw_stall_sleep();
	peer_drain(peer);
	fsw_stall_sleep();
	peer_teardown(peer);
	fsw_stall_sleep();
	if (!READ_ONCE(rdma->stopping)) {
		pr_warn("%s: peer %u (%s) lost: %s (%d)\n", rdma->name, peer->core.node, peer->name, peer->why,
			peer->error);
		rdma->changed(rdma->changed_ctx, peer->core.node, FARSWAP_PEER_LOST, peer->why);
	}
	memalloc_noio_restore(noio);
	peer_down(peer, false);
}

static u64 peer_oldest(struct fsw_rdma_peer *peer)
{
	u64 oldest = fsw_chains_oldest(peer), posted;
	unsigned int i;

	for (i = 0; i < peer->rdma->nr_lanes; i++) {
		posted = fsw_lane_oldest(&peer->rdma->lanes[i], peer);
		if (posted && (!oldest || posted < oldest))
			oldest = posted;
	}
	return oldest;
}

/* Every second: a peer whose oldest work request is in flight for too long is lost, whatever its queue pair thinks. */
void fsw_peers_watch(struct work_struct *work)
{
	struct fsw_rdma *rdma = container_of(to_delayed_work(work), struct fsw_rdma, watch_work);
	u64 limit = (u64)fsw_settings.write_ms * NSEC_PER_MSEC, now = ktime_get_ns();
	struct fsw_rdma_peer *peer;

	spin_lock(&rdma->peers_lock);
	list_for_each_entry(peer, &rdma->peers, link) {
		u64 oldest = peer_oldest(peer);

		if (fsw_peer_live(&peer->core) && oldest && now > oldest + limit)
			fsw_peer_lost(peer, -ETIMEDOUT, "a WRITE or READ was not answered in time");
	}
	spin_unlock(&rdma->peers_lock);
	queue_delayed_work(rdma->wq, &rdma->watch_work, HZ);
}

/* ---- new ---- */

static struct fsw_rdma_peer *peer_alloc(struct fsw_rdma *rdma, const struct fsw_peer_config *config)
{
	unsigned int i, nr = fsw_rdma_conns();
	struct fsw_rdma_peer *peer = kzalloc(struct_size(peer, conns, nr), GFP_KERNEL);

	if (!peer)
		return NULL;
	peer->rdma = rdma;
	peer->core.node = config->node;
	peer->core.state = FARSWAP_PEER_CONNECTING;
	peer->going = true;	/* until it is LIVE: who connects it frees it if that fails */
	atomic64_set(&peer->core.corrupt, 0);
	memcpy(peer->name, config->name, sizeof(peer->name));
	peer->session = config->session;
	peer->incarnation = config->incarnation;
	peer->address = config->address;
	peer->source = config->source;
	INIT_WORK(&peer->lost_work, lost_work);
	fsw_lease_init(peer, config);
	spin_lock_init(&peer->chains_lock);
	INIT_LIST_HEAD(&peer->chains);
	peer->chain_cqe.done = fsw_chain_error;
	peer->nr_conns = nr;
	for (i = 0; i < nr; i++) {
		peer->conns[i].peer = peer;
		peer->conns[i].index = i;
		init_completion(&peer->conns[i].done);
		memcpy(peer->conns[i].token, config->tokens + i * FARSWAP_TOKEN_BYTES, FARSWAP_TOKEN_BYTES);
	}
	return peer;
}

static struct fsw_rdma_peer *find_locked(struct fsw_rdma *rdma, u32 node)
{
	struct fsw_rdma_peer *peer;

	lockdep_assert_held(&rdma->peers_lock);
	list_for_each_entry(peer, &rdma->peers, link)
		if (peer->core.node == node)
			return peer;
	return NULL;
}

static unsigned int count_locked(struct fsw_rdma *rdma)
{
	struct fsw_rdma_peer *peer;
	unsigned int nr = 0;

	lockdep_assert_held(&rdma->peers_lock);
	list_for_each_entry(peer, &rdma->peers, link)
		nr += READ_ONCE(peer->core.state) != FARSWAP_PEER_LOST;
	return nr;
}

static int insert_locked(struct fsw_rdma *rdma, struct fsw_rdma_peer *peer, const char **why)
{
	lockdep_assert_held(&rdma->peers_lock);
	if (rdma->stopping) {
		*why = "the device is going down";
		return -ESHUTDOWN;
	}
	if (find_locked(rdma, peer->core.node)) {
		*why = "the node's number is taken (a lost peer keeps its number)";
		return -EEXIST;
	}
	if (count_locked(rdma) >= FSW_PEERS_MAX || rdma->up >= FSW_UP_MAX) {
		*why = "the device has all the peers that it can have";
		return -ENOSPC;
	}
	list_add_tail(&peer->link, &rdma->peers);
	WRITE_ONCE(rdma->up, rdma->up + 1);
	peer->lease.slot = find_first_zero_bit(&rdma->words_used, FSW_UP_MAX);	/* as many as up */
	__set_bit(peer->lease.slot, &rdma->words_used);
	return 0;
}

struct fsw_rdma_peer *fsw_rdma_peer_new(struct fsw_rdma *rdma, const struct fsw_peer_config *config, const char **why)
{
	struct fsw_rdma_peer *peer = peer_alloc(rdma, config);
	int ret;

	if (!peer) {
		*why = "out of memory: the peer";
		return ERR_PTR(-ENOMEM);
	}
	spin_lock(&rdma->peers_lock);
	ret = insert_locked(rdma, peer, why);
	spin_unlock(&rdma->peers_lock);
	if (!ret)
		return peer;
	kfree(peer);
	return ERR_PTR(ret);
}

/* ---- connecting: each step for all queue pairs at once ---- */

static int conns_open(struct fsw_rdma_peer *peer, const char **why)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < peer->nr_conns && !ret; i++)
		ret = fsw_conn_open(&peer->conns[i], why);
	return ret;
}

static int conns_step(struct fsw_rdma_peer *peer, enum fsw_step step, const char **why)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < peer->nr_conns && !ret; i++)
		ret = fsw_conn_step(&peer->conns[i], step, why);
	for (i = 0; i < peer->nr_conns && !ret; i++)
		ret = fsw_conn_wait(&peer->conns[i], step, why);
	return ret;
}

/* All queue pairs must leave by one RDMA device, the transport's. */
static int peer_bind(struct fsw_rdma_peer *peer, const char **why)
{
	struct ib_device *device = peer->conns[0].id->device;
	unsigned int i;
	int ret;

	for (i = 1; i < peer->nr_conns; i++) {
		if (peer->conns[i].id->device != device) {
			*why = "reached over more than one RDMA device";
			return -EXDEV;
		}
	}
	ret = fsw_bind_get(peer->rdma, device, why);
	peer->bound = !ret;
	return ret;
}

/* A queue for chains: as deep as the send queue, and the drain, for those that fail complete one by one. */
static int cq_new(struct fsw_rdma_peer *peer, struct ib_cq **cq, unsigned int wrs, const char **why)
{
	struct ib_device *device = peer->rdma->device;

	*cq = ib_alloc_cq(device, peer, wrs + 1, peer->core.node % device->num_comp_vectors, IB_POLL_SOFTIRQ);
	if (!IS_ERR(*cq))
		return 0;
	*why = "no completion queue on the RDMA device";
	return PTR_ERR(xchg(cq, NULL));
}

static int conns_qp(struct fsw_rdma_peer *peer, const char **why)
{
	unsigned int i;
	int ret = cq_new(peer, &peer->write_cq, fsw_write_depth(), why);

	ret = ret ?: cq_new(peer, &peer->ahead_cq, fsw_settings.readahead_pages, why);
	for (i = 0; i < peer->nr_conns && !ret; i++)
		ret = fsw_conn_qp(&peer->conns[i], why);
	return ret;
}

static int peer_connect(struct fsw_rdma_peer *peer, const char **why)
{
	int ret = conns_open(peer, why);

	ret = ret ?: conns_step(peer, FSW_STEP_ADDRESS, why);
	ret = ret ?: conns_step(peer, FSW_STEP_ROUTE, why);
	ret = ret ?: peer_bind(peer, why);
	ret = ret ?: conns_qp(peer, why);
	ret = ret ?: conns_step(peer, FSW_STEP_CONNECT, why);
	return ret ?: fsw_lease_start(peer, why);
}

/* False: it was lost first. Else it is there for others from now on. */
static bool peer_live(struct fsw_rdma_peer *peer)
{
	bool live;

	fsw_stall_sleep();
	spin_lock(&peer->rdma->peers_lock);
	live = cmpxchg(&peer->core.state, FARSWAP_PEER_CONNECTING, FARSWAP_PEER_LIVE) == FARSWAP_PEER_CONNECTING;
	peer->going = !live;
	spin_unlock(&peer->rdma->peers_lock);
	return live;
}

int fsw_rdma_peer_connect(struct fsw_rdma_peer *peer, const char **why)
{
	u32 node = peer->core.node;
	int ret = peer_connect(peer, why);

	if (!ret && peer_live(peer)) {
		/* from here on it may be lost, and the device go, at any time */
		trace_farswap_peer(node, FARSWAP_PEER_LIVE, "connected");
		return 0;
	}
	if (!ret) {
		ret = READ_ONCE(peer->error) ?: -ENOTCONN;
		*why = "the connection broke while the others were made";
	}
	fsw_peer_lost(peer, ret, *why);
	peer_teardown(peer);	/* it was never LIVE: nothing is posted but its lease's WRITE, which destroying the queue pair ends */
	peer_down(peer, true);
	return ret;
}

/* ---- looking at them ---- */

struct fsw_peer *fsw_rdma_peer_get(struct fsw_rdma *rdma, u32 node)
{
	struct fsw_rdma_peer *peer;

	spin_lock(&rdma->peers_lock);
	peer = find_locked(rdma, node);
	if (peer && !peer->going)
		peer->users++;
	else
		peer = NULL;
	spin_unlock(&rdma->peers_lock);
	return peer ? &peer->core : NULL;
}

void fsw_rdma_peer_put(struct fsw_rdma *rdma, struct fsw_peer *peer)
{
	spin_lock(&rdma->peers_lock);
	fsw_to_rdma_peer(peer)->users--;
	spin_unlock(&rdma->peers_lock);
}

int fsw_rdma_peer_gone(struct fsw_rdma *rdma, u32 node, const char **why)
{
	struct fsw_rdma_peer *peer;

	*why = NO_PEER;
	spin_lock(&rdma->peers_lock);
	peer = find_locked(rdma, node);
	if (peer)
		fsw_peer_lost(peer, -ESTALE, "its donor has not got the session any more");
	spin_unlock(&rdma->peers_lock);
	return peer ? 0 : -ENOENT;
}

static struct fsw_rdma_peer *take_locked(struct fsw_rdma *rdma, u32 node, const char **why)
{
	struct fsw_rdma_peer *peer = find_locked(rdma, node);

	*why = NO_PEER;
	if (!peer)
		return ERR_PTR(-ENOENT);
	*why = "the peer is not lost, or not drained yet, or used by another command";
	if (!peer->down || peer->users || peer->going)
		return ERR_PTR(-EBUSY);
	peer->going = true;	/* from here on no set can come to name it */
	return peer;
}

/*
 * Who may still look at it: whoever took it from a set that was left, inside rcu_read_lock() or with a frame pinned, and
 * for the latter the set is not left yet; and whoever saw a chain or READ of it in flight, inside rcu_read_lock().
 */
int fsw_rdma_peer_del(struct fsw_rdma *rdma, u32 node, const char **why)
{
	struct fsw_rdma_peer *peer;
	bool named;

	spin_lock(&rdma->peers_lock);
	peer = take_locked(rdma, node, why);
	spin_unlock(&rdma->peers_lock);
	if (IS_ERR(peer))
		return PTR_ERR(peer);
	fsw_stall_sleep();
	named = fsw_peer_named(rdma->core, &peer->core);
	spin_lock(&rdma->peers_lock);
	if (named)
		peer->going = false;
	else
		list_del(&peer->link);
	spin_unlock(&rdma->peers_lock);
	if (named) {
		*why = "the peer is a member of an extent";
		return -EBUSY;
	}
	synchronize_rcu();
	kfree(peer);
	return 0;
}

static void info_fill(struct fsw_peer_info *info, struct fsw_rdma_peer *peer)
{
	*info = (struct fsw_peer_info){
		.node = peer->core.node,
		.state = READ_ONCE(peer->core.state),
		.session = peer->session,
		.incarnation = peer->incarnation,
		.read_ns = READ_ONCE(peer->core.read_ns),
		.corrupt = atomic64_read(&peer->core.corrupt),
		.why = READ_ONCE(peer->why),
	};
	memcpy(info->name, peer->name, sizeof(info->name));
}

bool fsw_rdma_peer_info(struct fsw_rdma *rdma, unsigned int index, struct fsw_peer_info *info)
{
	struct fsw_rdma_peer *peer;
	bool found = false;

	spin_lock(&rdma->peers_lock);
	list_for_each_entry(peer, &rdma->peers, link) {
		if (index--)
			continue;
		info_fill(info, peer);
		found = true;
		break;
	}
	spin_unlock(&rdma->peers_lock);
	return found;
}
