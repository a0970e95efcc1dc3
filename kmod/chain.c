// SPDX-License-Identifier: GPL-2.0
/* Chains: the WRITEs of a window, or the READs of read-ahead. They differ in the queue pair and the direction only. */
#include "rdma_int.h"

/* The work requests of one chain while they are handed over: ib_post_send() copies them. */
struct fsw_post {
	struct ib_rdma_wr wrs[FSW_WINDOW_MAX];
	struct ib_sge sges[FSW_WINDOW_MAX];
};

int fsw_chains_init(struct fsw_rdma *rdma)
{
	rdma->posts = alloc_percpu(struct fsw_post);
	return rdma->posts ? 0 : -ENOMEM;
}

void fsw_chains_exit(struct fsw_rdma *rdma)
{
	free_percpu(rdma->posts);
}

/* ---- a chain's end ---- */

struct chain_priv {
	struct ib_cqe cqe;
	const struct fsw_buffer *buf;
};

static struct chain_priv *chain_priv(struct fsw_chain *chain)
{
	BUILD_BUG_ON(sizeof(struct chain_priv) > sizeof(chain->priv));
	return (struct chain_priv *)chain->priv;
}

static struct fsw_chain *cqe_chain(struct ib_cqe *cqe)
{
	return (void *)cqe - offsetof(struct fsw_chain, priv);
}

/*
 * The last work request of a chain completed. A queue pair completes in order, so the ones before it have too, and those
 * that failed told so before this: then the peer is LOST and this one is flushed.
 */
static void chain_completed(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fsw_chain *chain = cqe_chain(wc->wr_cqe);
	struct fsw_rdma_peer *peer = fsw_to_rdma_peer(chain->peer);
	const struct fsw_buffer *buf = chain_priv(chain)->buf;
	unsigned long flags;

	fsw_stall();
	spin_lock_irqsave(&peer->chains_lock, flags);
	list_del(&chain->link);
	spin_unlock_irqrestore(&peer->chains_lock, flags);
	if (wc->status == IB_WC_SUCCESS) {
		if (buf->in)
			ib_dma_sync_single_for_cpu(cq->device, buf->dma, buf->bytes, DMA_FROM_DEVICE);
		fsw_chain_done(chain, 0);
		return;
	}
	fsw_peer_lost(peer, -EIO, ib_wc_status_msg(wc->status));
	fsw_chain_done(chain, -EIO);
}

void fsw_chain_error(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fsw_rdma_peer *peer = container_of(wc->wr_cqe, struct fsw_rdma_peer, chain_cqe);

	if (wc->status != IB_WC_SUCCESS)
		fsw_peer_lost(peer, -EIO, ib_wc_status_msg(wc->status));
}

u64 fsw_chains_oldest(struct fsw_rdma_peer *peer)
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

void fsw_chains_end(struct fsw_rdma_peer *peer)
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
				.wr_cqe = &peer->chain_cqe,
				.sg_list = &post->sges[i],
				.num_sge = 1,
				.opcode = buf->in ? IB_WR_RDMA_READ : IB_WR_RDMA_WRITE,
			},
			.remote_addr = pieces[i].remote,
			.rkey = pieces[i].rkey,
		};
		ib_dma_sync_single_for_device(peer->rdma->device, post->sges[i].addr, pieces[i].bytes,
					      buf->in ? DMA_FROM_DEVICE : DMA_TO_DEVICE);
	}
	post->wrs[nr - 1].wr.next = NULL;
	post->wrs[nr - 1].wr.wr_cqe = &chain_priv(chain)->cqe;
	post->wrs[nr - 1].wr.send_flags = IB_SEND_SIGNALED;
	return &post->wrs[0].wr;
}

/* With softirqs off: the scratch is this CPU's, and soft-RoCE's softirq runs here at the end, not elsewhere later. */
static int chain_send(struct fsw_rdma_peer *peer, struct fsw_chain *chain, const struct fsw_buffer *buf,
		      const struct fsw_piece *pieces, unsigned int nr)
{
	struct fsw_conn *conn = buf->in ? fsw_ahead_conn(peer) : fsw_write_conn(peer);
	struct ib_send_wr *wr;
	int ret;

	local_bh_disable();
	wr = chain_build(this_cpu_ptr(peer->rdma->posts), peer, chain, buf, pieces, nr);
	ret = ib_post_send(conn->qp, wr, NULL);
	local_bh_enable();
	return ret;
}

static void chain_begin(struct fsw_rdma_peer *peer, struct fsw_chain *chain, const struct fsw_buffer *buf)
{
	unsigned long flags;

	chain_priv(chain)->cqe.done = chain_completed;
	chain_priv(chain)->buf = buf;
	spin_lock_irqsave(&peer->chains_lock, flags);
	list_add_tail(&chain->link, &peer->chains);
	spin_unlock_irqrestore(&peer->chains_lock, flags);
}

/* False: it could not be posted; it ends all the same. pieces is the caller's: not so chain, once it is posted. */
static bool chain_post(struct fsw_rdma *rdma, struct fsw_chain *chain, const struct fsw_buffer *buf,
		       const struct fsw_piece *pieces, unsigned int nr)
{
	struct fsw_rdma_peer *peer = fsw_to_rdma_peer(chain->peer);
	int ret;

	rcu_read_lock();
	if (WARN_ON_ONCE(nr > FSW_WINDOW_MAX) || !fsw_peer_usable(peer)) {
		rcu_read_unlock();
		fsw_chain_done(chain, -ENOTCONN);
		return false;
	}
	fsw_stall();
	chain_begin(peer, chain, buf);
	fsw_stall();
	ret = chain_send(peer, chain, buf, pieces, nr);
	/* the chain may have ended and be another's by now; if it was not posted whole, the peer's work ends it */
	if (ret)
		fsw_peer_lost(peer, ret, buf->in ? "a READ could not be posted" : "a WRITE could not be posted");
	rcu_read_unlock();
	return !ret;
}

static u64 pieces_bytes(const struct fsw_piece *pieces, unsigned int nr)
{
	unsigned int i;
	u64 bytes = 0;

	for (i = 0; i < nr; i++)
		bytes += pieces[i].bytes;
	return bytes;
}

void fsw_write(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
	       unsigned int nr)
{
	struct fsw_rdma *rdma = transport;

	if (!nr) {
		fsw_chain_done(chain, 0);
		return;
	}
	if (!chain_post(rdma, chain, buf, pieces, nr))
		return;
	fsw_count_add(rdma->core, FSW_WRITE_WRS, nr);
	fsw_count_add(rdma->core, FSW_WRITE_CHAINS, 1);
	fsw_count_add(rdma->core, FSW_WRITE_BYTES, pieces_bytes(pieces, nr));
}

void fsw_fetch(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
	       unsigned int nr)
{
	struct fsw_rdma *rdma = transport;
	u64 bytes = pieces_bytes(pieces, nr);	/* it may be another fetch's once it is posted */

	if (!chain_post(rdma, chain, buf, pieces, nr))
		return;
	fsw_count_add(rdma->core, FSW_READ_WRS, nr);
	fsw_count_add(rdma->core, FSW_READ_BYTES, bytes);
}
