// SPDX-License-Identifier: GPL-2.0
#include <linux/slab.h>
#include "bind.h"
#include "rdma_int.h"
#include "settings.h"

static void peer_fail(void *transport, struct fsw_peer *peer, int error, const char *why)
{
	fsw_peer_lost(fsw_to_rdma_peer(peer), error, why);
}

const struct fsw_transport_ops fsw_rdma_ops = {
	.buffer_get = fsw_buffer_get,
	.buffer_put = fsw_buffer_put,
	.write = fsw_write,
	.fetch = fsw_fetch,
	.read_get = fsw_lane_get,
	.read_room = fsw_lane_room,
	.read_post = fsw_lane_post,
	.read_wait = fsw_lane_wait,
	.read_put = fsw_lane_put,
	.peer_fail = peer_fail,
};

unsigned int fsw_rdma_conns(void)
{
	return fsw_settings.lanes + 2;
}

static void lanes_exit(struct fsw_rdma *rdma, unsigned int nr)
{
	while (nr--)
		fsw_lane_exit(&rdma->lanes[nr]);
	kvfree(rdma->lanes);
}

static int lanes_init(struct fsw_rdma *rdma)
{
	unsigned int i;
	int ret;

	rdma->nr_lanes = fsw_settings.lanes;
	rdma->lanes = kvcalloc(rdma->nr_lanes, sizeof(*rdma->lanes), GFP_KERNEL);
	if (!rdma->lanes)
		return -ENOMEM;
	for (i = 0; i < rdma->nr_lanes; i++) {
		ret = fsw_lane_init(&rdma->lanes[i], rdma, i);
		if (ret) {
			lanes_exit(rdma, i);
			return ret;
		}
	}
	return 0;
}

static struct fsw_rdma *rdma_alloc(const char *name)
{
	struct fsw_rdma *rdma = kzalloc(sizeof(*rdma), GFP_KERNEL);

	if (!rdma)
		return NULL;
	rdma->name = name;
	INIT_LIST_HEAD(&rdma->buffers);
	INIT_LIST_HEAD(&rdma->peers);
	spin_lock_init(&rdma->peers_lock);
	init_waitqueue_head(&rdma->idle);
	INIT_DELAYED_WORK(&rdma->watch_work, fsw_peers_watch);
	return rdma;
}

struct fsw_rdma *fsw_rdma_new(const char *name,
			      void (*changed)(void *ctx, u32 node, unsigned int state, const char *why), void *ctx)
{
	struct fsw_rdma *rdma = rdma_alloc(name);
	int ret = -ENOMEM;

	if (!rdma)
		return ERR_PTR(ret);
	rdma->changed = changed;
	rdma->changed_ctx = ctx;
	rdma->lost_wq = alloc_workqueue("farswap_lost", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!rdma->lost_wq)
		goto free;
	rdma->wq = alloc_workqueue("farswap_rdma", WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_UNBOUND, 0);
	if (!rdma->wq)
		goto free_lost_wq;
	ret = fsw_chains_init(rdma);
	if (ret)
		goto free_wq;
	ret = fsw_leases_init(rdma);
	if (ret)
		goto exit_chains;
	ret = lanes_init(rdma);
	if (ret)
		goto exit_leases;
	fsw_bind_add(rdma);
	queue_delayed_work(rdma->wq, &rdma->watch_work, HZ);
	return rdma;

exit_leases:
	fsw_leases_exit(rdma);
exit_chains:
	fsw_chains_exit(rdma);
free_wq:
	destroy_workqueue(rdma->wq);
free_lost_wq:
	destroy_workqueue(rdma->lost_wq);
free:
	kfree(rdma);
	return ERR_PTR(ret);
}

void fsw_rdma_attach(struct fsw_rdma *rdma, struct fsw_core *core)
{
	rdma->core = core;
}

/* Nobody connects any more; those that are up are told so. */
static void peers_stop(struct fsw_rdma *rdma)
{
	struct fsw_rdma_peer *peer;

	spin_lock(&rdma->peers_lock);
	rdma->stopping = true;
	list_for_each_entry(peer, &rdma->peers, link)
		fsw_peer_lost(peer, -ESHUTDOWN, "the device is going down");
	spin_unlock(&rdma->peers_lock);
}

void fsw_rdma_stop(struct fsw_rdma *rdma)
{
	peers_stop(rdma);
	wait_event(rdma->idle, READ_ONCE(rdma->up) == 0);
	/* the last one lets go of the lock after its count fell: only then may the transport be freed */
	spin_lock(&rdma->peers_lock);
	spin_unlock(&rdma->peers_lock);
	cancel_delayed_work_sync(&rdma->watch_work);
}

void fsw_rdma_free(struct fsw_rdma *rdma)
{
	struct fsw_rdma_peer *peer, *next;

	cancel_delayed_work_sync(&rdma->watch_work);
	destroy_workqueue(rdma->lost_wq);
	fsw_bind_del(rdma);
	destroy_workqueue(rdma->wq);
	list_for_each_entry_safe(peer, next, &rdma->peers, link)
		kfree(peer);
	lanes_exit(rdma, rdma->nr_lanes);
	fsw_leases_exit(rdma);
	fsw_chains_exit(rdma);
	kfree(rdma);
}
