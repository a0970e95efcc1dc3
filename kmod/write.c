// SPDX-License-Identifier: GPL-2.0
#include "rdma_int.h"

/* The work requests of one chain while they are handed over: ib_post_send() copies them. */
struct fsw_post {
	struct ib_rdma_wr wrs[FSW_WINDOW_MAX];
	struct ib_sge sges[FSW_WINDOW_MAX];
};

int fsw_write_init(struct fsw_rdma *rdma)
{
	rdma->posts = alloc_percpu(struct fsw_post);
	return rdma->posts ? 0 : -ENOMEM;
}

void fsw_write_exit(struct fsw_rdma *rdma)
{
	free_percpu(rdma->posts);
}

/* ---- a chain's end ---- */

static struct ib_cqe *chain_cqe(struct fsw_chain *chain)
{
	BUILD_BUG_ON(sizeof(struct ib_cqe) > sizeof(chain->priv));
	return (struct ib_cqe *)chain->priv;
}

static struct fsw_chain *cqe_chain(struct ib_cqe *cqe)
{
	return (void *)cqe - offsetof(struct fsw_chain, priv);
}

/*
 * The last WRITE of a chain completed. A queue pair completes in order, so the ones before it have too, and those
 * that failed told so before this: then the peer is LOST and this one is flushed.
 */
static void chain_completed(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fsw_chain *chain = cqe_chain(wc->wr_cqe);
	struct fsw_rdma_peer *peer = fsw_to_rdma_peer(chain->peer);
	unsigned long flags;

	spin_lock_irqsave(&peer->chains_lock, flags);
	list_del(&chain->link);
	spin_unlock_irqrestore(&peer->chains_lock, flags);
	if (wc->status == IB_WC_SUCCESS) {
		fsw_chain_done(chain, 0);
		return;
	}
	fsw_peer_lost(peer, -EIO, ib_wc_status_msg(wc->status));
	fsw_chain_done(chain, -EIO);
}

void fsw_write_error(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fsw_rdma_peer *peer = container_of(wc->wr_cqe, struct fsw_rdma_peer, write_cqe);

	if (wc->status != IB_WC_SUCCESS)
		fsw_peer_lost(peer, -EIO, ib_wc_status_msg(wc->status));
}

u64 fsw_write_oldest(struct fsw_rdma_peer *peer)
{
	struct fsw_chain *chain;
	unsigned long flags;
	u64 oldest = 0;

	spin_lock_irqsave(&peer->chains_lock, flags);
	chain = list_first_entry_or_null(&peer->chains, struct fsw_chain, link);
	if (chain)
		oldest = chain->posted_ns;
	spin_unlock_irqrestore(&peer->chains_lock, flags);
	return oldest;
}

void fsw_write_end(struct fsw_rdma_peer *peer)
{
	struct fsw_chain *chain, *next;
	LIST_HEAD(left);

	spin_lock_irq(&peer->chains_lock);
	list_splice_init(&peer->chains, &left);
	spin_unlock_irq(&peer->chains_lock);
	list_for_each_entry_safe(chain, next, &left, link)
		fsw_chain_done(chain, -EIO);
}

/* ---- posting ---- */

static struct ib_send_wr *chain_build(struct fsw_post *post, struct fsw_rdma_peer *peer, struct fsw_chain *chain,
				      const struct fsw_buffer *buf, const struct fsw_piece *pieces, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		post->sges[i] = (struct ib_sge){
			.addr = buf->dma + pieces[i].offset,
			.length = pieces[i].bytes,
			.lkey = peer->rdma->pd->local_dma_lkey,
		};
		post->wrs[i] = (struct ib_rdma_wr){
			.wr = {
				.next = &post->wrs[i + 1].wr,
				.wr_cqe = &peer->write_cqe,
				.sg_list = &post->sges[i],
				.num_sge = 1,
				.opcode = IB_WR_RDMA_WRITE,
			},
			.remote_addr = pieces[i].remote,
			.rkey = pieces[i].rkey,
		};
		ib_dma_sync_single_for_device(peer->rdma->device, post->sges[i].addr, pieces[i].bytes, DMA_TO_DEVICE);
	}
	post->wrs[nr - 1].wr.next = NULL;
	post->wrs[nr - 1].wr.wr_cqe = chain_cqe(chain);
	post->wrs[nr - 1].wr.send_flags = IB_SEND_SIGNALED;
	return &post->wrs[0].wr;
}

/* With softirqs off: the scratch is this CPU's, and soft-RoCE's softirq runs here at the end, not elsewhere later. */
static int chain_post(struct fsw_rdma_peer *peer, struct fsw_chain *chain, const struct fsw_buffer *buf,
		      const struct fsw_piece *pieces, unsigned int nr)
{
	struct ib_send_wr *wr;
	int ret;

	local_bh_disable();
	wr = chain_build(this_cpu_ptr(peer->rdma->posts), peer, chain, buf, pieces, nr);
	ret = ib_post_send(fsw_write_conn(peer)->qp, wr, NULL);
	local_bh_enable();
	return ret;
}

static void chain_count(struct fsw_core *core, const struct fsw_piece *pieces, unsigned int nr)
{
	unsigned int i;
	u64 bytes = 0;

	for (i = 0; i < nr; i++)
		bytes += pieces[i].bytes;
	fsw_count_add(core, FSW_WRITE_WRS, nr);
	fsw_count_add(core, FSW_WRITE_CHAINS, 1);
	fsw_count_add(core, FSW_WRITE_BYTES, bytes);
}

static void chain_begin(struct fsw_rdma_peer *peer, struct fsw_chain *chain)
{
	unsigned long flags;

	chain_cqe(chain)->done = chain_completed;
	spin_lock_irqsave(&peer->chains_lock, flags);
	list_add_tail(&chain->link, &peer->chains);
	spin_unlock_irqrestore(&peer->chains_lock, flags);
}

void fsw_write(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
	       unsigned int nr)
{
	struct fsw_rdma_peer *peer = fsw_to_rdma_peer(chain->peer);
	struct fsw_rdma *rdma = transport;
	int ret;

	if (!nr) {
		fsw_chain_done(chain, 0);
		return;
	}
	rcu_read_lock();
	if (WARN_ON_ONCE(nr > FSW_WINDOW_MAX) || !fsw_peer_live(chain->peer)) {
		rcu_read_unlock();
		fsw_chain_done(chain, -ENOTCONN);
		return;
	}
	chain_begin(peer, chain);
	ret = chain_post(peer, chain, buf, pieces, nr);
	/* the chain may have ended and be another's by now; if it was not posted whole, the peer's work ends it */
	if (ret)
		fsw_peer_lost(peer, ret, "a WRITE could not be posted");
	else
		chain_count(rdma->core, pieces, nr);
	rcu_read_unlock();
}
