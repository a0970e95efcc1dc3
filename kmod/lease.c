// SPDX-License-Identifier: GPL-2.0
/*
 * A donor ends a session whose lease word (struct farswap_lease_word) nobody has written for a lease's length. It is written over the
 * WRITE queue pair, so neither daemon is needed. Here the lease counts from when the last WRITE that completed was posted, by a clock
 * that goes on in suspend, and is over an eighth early: the donor counts from when it saw the word, by a clock of its own.
 */
#include <linux/bottom_half.h>
#include <linux/rcupdate.h>
#include "bind.h"
#include "device.h"
#include "rdma_int.h"

#define PARTS		8	/* of a lease: it is over one early, and renewed every one */
#define WORD_STRIDE	64

int fsw_leases_init(struct fsw_rdma *rdma)
{
	BUILD_BUG_ON(FSW_UP_MAX > BITS_PER_LONG);
	BUILD_BUG_ON(sizeof(struct farswap_lease_word) > WORD_STRIDE);
	return fsw_buffer_get(rdma, &rdma->words, FSW_UP_MAX * WORD_STRIDE);
}

void fsw_leases_exit(struct fsw_rdma *rdma)
{
	fsw_buffer_put(rdma, &rdma->words);
}

static void renewed(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fsw_lease *lease = container_of(wc->wr_cqe, struct fsw_lease, cqe);
	struct fsw_rdma_peer *peer = container_of(lease, struct fsw_rdma_peer, lease);

	if (wc->status != IB_WC_SUCCESS) {
		fsw_peer_lost(peer, -EIO, ib_wc_status_msg(wc->status));
		return;
	}
	fsw_stall();
	WRITE_ONCE(lease->until_ns, lease->posted_ns + lease->usable_ns);
	smp_store_release(&lease->flying, false);
	if (READ_ONCE(peer->core.state) == FARSWAP_PEER_CONNECTING)
		fsw_conn_step_end(fsw_write_conn(peer), 0, "connected");
}

/* The word is this work's, or whoever connects the peer's, while none of its WRITEs is in flight. */
static int renew(struct fsw_rdma_peer *peer)
{
	struct fsw_rdma *rdma = peer->rdma;
	struct fsw_lease *lease = &peer->lease;
	struct farswap_lease_word *word = rdma->words.va + lease->slot * WORD_STRIDE;
	struct ib_sge sge = {
		.addr = rdma->words.dma + lease->slot * WORD_STRIDE,
		.length = sizeof(*word),
		.lkey = rdma->pd->local_dma_lkey,
	};
	struct ib_rdma_wr wr = {
		.wr = {
			.wr_cqe = &lease->cqe,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IB_WR_RDMA_WRITE,
			.send_flags = IB_SEND_SIGNALED,
		},
		.remote_addr = lease->remote,
		.rkey = lease->rkey,
	};
	int ret;

	/* rises as long as the host is up, whatever peers come and go; in one that was set back to an older state it does not */
	lease->posted_ns = ktime_get_boottime_ns();
	word->count = cpu_to_le64(lease->posted_ns);
	word->check = ~word->count;
	ib_dma_sync_single_for_device(rdma->device, sge.addr, sge.length, DMA_TO_DEVICE);
	lease->flying = true;
	local_bh_disable();
	ret = ib_post_send(fsw_write_conn(peer)->qp, &wr.wr, NULL);
	local_bh_enable();
	return ret;
}

static unsigned long until_next(const struct fsw_lease *lease)
{
	u64 now = ktime_get_boottime_ns(), until = READ_ONCE(lease->until_ns);
	u64 part = lease->usable_ns / (PARTS - 1);

	return nsecs_to_jiffies(until > now ? min(part, until - now) : 0) + 1;
}

static void lease_work(struct work_struct *work)
{
	struct fsw_lease *lease = container_of(to_delayed_work(work), struct fsw_lease, work);
	struct fsw_rdma_peer *peer = container_of(lease, struct fsw_rdma_peer, lease);
	bool over;
	int ret = 0;

	fsw_stall_sleep();
	rcu_read_lock();
	over = READ_ONCE(peer->core.state) == FARSWAP_PEER_LOST || fsw_lease_over(peer);
	if (!over && !smp_load_acquire(&lease->flying))
		ret = renew(peer);
	if (ret)
		fsw_peer_lost(peer, ret, "its lease could not be renewed");
	rcu_read_unlock();
	if (!over && !ret)
		queue_delayed_work(peer->rdma->wq, &lease->work, until_next(lease));
}

void fsw_lease_init(struct fsw_rdma_peer *peer, const struct fsw_peer_config *config)
{
	struct fsw_lease *lease = &peer->lease;

	lease->usable_ns = (u64)config->lease_ms * NSEC_PER_MSEC / PARTS * (PARTS - 1);
	lease->until_ns = config->lease_ms ? 0 : U64_MAX;
	lease->remote = config->lease_remote;
	lease->rkey = config->lease_rkey;
	lease->cqe.done = renewed;
	INIT_DELAYED_WORK(&lease->work, lease_work);
}

int fsw_lease_start(struct fsw_rdma_peer *peer, const char **why)
{
	struct fsw_lease *lease = &peer->lease;
	struct fsw_conn *conn = fsw_write_conn(peer);
	int ret;

	if (!lease->usable_ns)
		return 0;
	reinit_completion(&conn->done);
	ret = renew(peer);
	if (ret) {
		*why = "lease: it could not be renewed";
		return ret;
	}
	ret = fsw_conn_wait(conn, FSW_STEP_LEASE, why);
	if (!ret)
		queue_delayed_work(peer->rdma->wq, &lease->work, until_next(lease));
	return ret;
}

void fsw_lease_stop(struct fsw_rdma_peer *peer)
{
	cancel_delayed_work_sync(&peer->lease.work);
}
