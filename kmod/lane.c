// SPDX-License-Identifier: GPL-2.0
#include <linux/bottom_half.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include "bind.h"
#include "rdma_int.h"
#include "settings.h"

#define URGENT_READS	(FSW_LANE_READS / 4)	/* kept for loads that are being ended */
#define POLL_BATCH	4	/* completions taken at once; on the stack */

static struct fsw_lane_read *to_lane_read(struct fsw_read *read)
{
	return container_of(read, struct fsw_lane_read, core);
}

/* ---- polling ---- */

static void dispatch_locked(struct fsw_lane *lane)
{
	struct ib_wc wc[POLL_BATCH];
	int i, nr;

	lockdep_assert_held(&lane->poll_lock);
	while (lane->cq && (nr = ib_poll_cq(lane->cq, POLL_BATCH, wc)) > 0)
		for (i = 0; i < nr; i++)
			wc[i].wr_cqe->done(lane->cq, &wc[i]);
}

static void lane_poll(struct fsw_lane *lane)
{
	unsigned long flags;

	spin_lock_irqsave(&lane->poll_lock, flags);
	dispatch_locked(lane);
	spin_unlock_irqrestore(&lane->poll_lock, flags);
}

/* Somebody else who polls at this moment dispatches ours too. */
static void lane_trypoll(struct fsw_lane *lane)
{
	unsigned long flags;

	if (!spin_trylock_irqsave(&lane->poll_lock, flags))
		return;
	dispatch_locked(lane);
	spin_unlock_irqrestore(&lane->poll_lock, flags);
}

/* Dispatch what is there and have the handler called for the next that comes. */
static void lane_arm(struct fsw_lane *lane)
{
	unsigned long flags;

	spin_lock_irqsave(&lane->poll_lock, flags);
	do
		dispatch_locked(lane);
	while (lane->cq && ib_req_notify_cq(lane->cq, IB_CQ_NEXT_COMP | IB_CQ_REPORT_MISSED_EVENTS) > 0);
	spin_unlock_irqrestore(&lane->poll_lock, flags);
}

/*
 * The queue was armed and something came. Soft-RoCE calls this with the queue's own lock held (6.12), so nothing may be
 * polled or armed here: who sleeps for a READ is woken and does it himself; for those who have no task the lane's
 * work does.
 */
static void lane_completed(struct ib_cq *cq, void *context)
{
	struct fsw_lane *lane = context;
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&lane->lock, flags);
	for (i = 0; i < FSW_LANE_READS; i++)
		if (lane->reads[i].waiter)
			wake_up_process(lane->reads[i].waiter);
	spin_unlock_irqrestore(&lane->lock, flags);
	/* whoever counts himself after this looked arms the queue himself */
	if (atomic_read(&lane->sleepers))
		queue_work(lane->rdma->wq, &lane->poll_work);
}

static void poll_work(struct work_struct *work)
{
	struct fsw_lane *lane = container_of(work, struct fsw_lane, poll_work);

	lane_arm(lane);
}

void fsw_lane_sleep(struct fsw_lane *lane)
{
	atomic_inc(&lane->sleepers);
	lane_arm(lane);
}

void fsw_lane_wake(struct fsw_lane *lane)
{
	atomic_dec(&lane->sleepers);
}

/* ---- a READ's end ---- */

static void read_free(struct fsw_lane_read *r)
{
	struct fsw_lane *lane = r->lane;
	unsigned long flags;

	fsw_read_ended(&r->core);
	spin_lock_irqsave(&lane->lock, flags);
	list_add(&r->link, &lane->free);
	WRITE_ONCE(lane->nr_free, lane->nr_free + 1);
	spin_unlock_irqrestore(&lane->lock, flags);
	if (wq_has_sleeper(&lane->room))
		wake_up(&lane->room);
}

/*
 * Nothing can touch its bounce page any more. Once status is out its owner may give it back, and it may be
 * another's: only an orphan is still ours. The owner leaves fsw_lane_wait() through the same lock, so he is there to
 * be woken.
 */
static void read_end(struct fsw_lane_read *r, int status)
{
	unsigned long flags;
	bool orphan;

	fsw_stall();
	spin_lock_irqsave(&r->lane->lock, flags);
	orphan = r->orphan;
	smp_store_release(&r->core.status, status);
	if (r->waiter)
		wake_up_process(r->waiter);
	spin_unlock_irqrestore(&r->lane->lock, flags);
	if (orphan) {
		fsw_lane_wake(r->lane);
		read_free(r);
	}
}

static void latency_learn(struct fsw_peer *peer, u64 ns)
{
	u64 old = READ_ONCE(peer->read_ns);

	/* racy: a sample may be lost, it is a mean */
	WRITE_ONCE(peer->read_ns, old ? old - old / 8 + ns / 8 : ns);
}

static void read_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fsw_lane_read *r = container_of(wc->wr_cqe, struct fsw_lane_read, cqe);

	if (wc->status == IB_WC_SUCCESS) {
		ib_dma_sync_single_for_cpu(cq->device, r->dma, FSW_PAGE, DMA_FROM_DEVICE);
		latency_learn(&r->peer->core, ktime_get_ns() - r->posted_ns);
		read_end(r, 0);
	} else {
		fsw_peer_lost(r->peer, -EIO, ib_wc_status_msg(wc->status));
		read_end(r, -EIO);
	}
}

u64 fsw_lane_oldest(struct fsw_lane *lane, struct fsw_rdma_peer *peer)
{
	unsigned int i;
	u64 oldest = 0;

	/* racy: a READ may end and be another's meanwhile, posted now; then it is young */
	for (i = 0; i < FSW_LANE_READS; i++) {
		struct fsw_lane_read *r = &lane->reads[i];
		u64 posted = READ_ONCE(r->posted_ns);

		if (smp_load_acquire(&r->core.status) == FSW_READ_FLYING && READ_ONCE(r->peer) == peer &&
		    (!oldest || posted < oldest))
			oldest = posted;
	}
	return oldest;
}

void fsw_lane_end(struct fsw_lane *lane, struct fsw_rdma_peer *peer)
{
	unsigned int i;

	lane_poll(lane);
	for (i = 0; i < FSW_LANE_READS; i++) {
		struct fsw_lane_read *r = &lane->reads[i];

		/* only its owner sets FLYING, with a LIVE peer; only a completion or this ends it */
		if (smp_load_acquire(&r->core.status) == FSW_READ_FLYING && READ_ONCE(r->peer) == peer)
			read_end(r, -EIO);
	}
}

/* ---- the core's calls ---- */

struct fsw_read *fsw_lane_get(void *transport, bool urgent)
{
	struct fsw_rdma *rdma = transport;
	/* any lane will do, should the task move: the lock is what counts */
	struct fsw_lane *lane = &rdma->lanes[raw_smp_processor_id() % rdma->nr_lanes];
	struct fsw_lane_read *r = NULL;
	unsigned long flags;

	spin_lock_irqsave(&lane->lock, flags);
	if (lane->nr_free > (urgent ? 0 : URGENT_READS)) {
		r = list_first_entry(&lane->free, struct fsw_lane_read, link);
		list_del_init(&r->link);
		WRITE_ONCE(lane->nr_free, lane->nr_free - 1);
	}
	spin_unlock_irqrestore(&lane->lock, flags);
	return r ? &r->core : NULL;
}

static bool has_room(struct fsw_lane *lane)
{
	return READ_ONCE(lane->nr_free) > 0;	/* read_get looks again under the lock */
}

static unsigned long jiffies_until(u64 until_ns)
{
	u64 now = ktime_get_ns();

	return until_ns > now ? nsecs_to_jiffies(until_ns - now) + 1 : 0;
}

/* Those in flight may be nobody's to poll for: orphans. So it counts as a sleeper. */
void fsw_lane_room(void *transport, u64 deadline_ns)
{
	struct fsw_rdma *rdma = transport;
	struct fsw_lane *lane = &rdma->lanes[raw_smp_processor_id() % rdma->nr_lanes];

	fsw_lane_sleep(lane);
	wait_event_timeout(lane->room, has_room(lane), jiffies_until(deadline_ns));
	fsw_lane_wake(lane);
}

static int read_send(struct fsw_lane_read *r, u64 remote, u32 rkey, u32 bytes)
{
	struct ib_sge sge = { .addr = r->dma, .length = bytes, .lkey = r->lane->rdma->pd->local_dma_lkey };
	struct ib_rdma_wr wr = {
		.wr = {
			.wr_cqe = &r->cqe,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IB_WR_RDMA_READ,
			.send_flags = IB_SEND_SIGNALED,
		},
		.remote_addr = remote,
		.rkey = rkey,
	};
	int ret;

	ib_dma_sync_single_for_device(r->lane->rdma->device, r->dma, FSW_PAGE, DMA_FROM_DEVICE);
	/* soft-RoCE's softirq then runs here, at local_bh_enable(), and not in another task later */
	local_bh_disable();
	ret = ib_post_send(r->peer->conns[r->lane->index].qp, &wr.wr, NULL);
	local_bh_enable();
	return ret;
}

static void read_count(struct fsw_core *core, u32 bytes)
{
	fsw_count_add(core, FSW_READ_WRS, 1);
	fsw_count_add(core, FSW_READ_BYTES, bytes);
}

void fsw_lane_post(void *transport, struct fsw_read *read, struct fsw_peer *to, u64 remote, u32 rkey, u32 bytes)
{
	struct fsw_lane_read *r = to_lane_read(read);
	struct fsw_rdma_peer *peer = fsw_to_rdma_peer(to);
	struct fsw_rdma *rdma = transport;
	int ret = -EINVAL;

	r->orphan = false;
	WRITE_ONCE(r->peer, peer);
	WRITE_ONCE(r->posted_ns, ktime_get_ns());
	rcu_read_lock();
	if (!fsw_peer_usable(peer)) {
		ret = -ENOTCONN;
	} else if (bytes <= FSW_PAGE) {
		fsw_stall();
		/* before it is posted: it may end at once */
		smp_store_release(&read->status, FSW_READ_FLYING);
		ret = read_send(r, remote, rkey, bytes);
		if (ret)
			fsw_peer_lost(peer, ret, "a READ could not be posted");
		else
			read_count(rdma->core, bytes);
	}
	if (ret)
		smp_store_release(&read->status, ret);
	rcu_read_unlock();
}

static bool any_ended(struct fsw_read *const *reads, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (smp_load_acquire(&reads[i]->status) != FSW_READ_FLYING)
			return true;
	return false;
}

/* Poll for as long as twice the READs' usual time, or poll_us if that is less. True: one ended. */
static bool wait_polling(struct fsw_read *const *reads, unsigned int nr, u64 until_ns)
{
	u64 bound = (u64)fsw_settings.poll_us * NSEC_PER_USEC, end;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 mean = READ_ONCE(to_lane_read(reads[i])->peer->core.read_ns);

		if (mean)
			bound = min(bound, 2 * mean);
	}
	end = min(ktime_get_ns() + bound, until_ns);
	for (;;) {
		for (i = 0; i < nr; i++)
			lane_trypoll(to_lane_read(reads[i])->lane);
		if (any_ended(reads, nr))
			return true;
		if (need_resched() || ktime_get_ns() >= end)
			return false;
		cpu_relax();
	}
}

static void waiter_set(struct fsw_read *const *reads, unsigned int nr, struct task_struct *waiter)
{
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct fsw_lane_read *r = to_lane_read(reads[i]);

		spin_lock_irqsave(&r->lane->lock, flags);
		r->waiter = waiter;
		spin_unlock_irqrestore(&r->lane->lock, flags);
	}
}

/* Arms, looks, sleeps; lane_completed() wakes it to do so again, read_end() when somebody else dispatched its READ. */
static void wait_sleeping(struct fsw_read *const *reads, unsigned int nr, u64 until_ns)
{
	unsigned int i;

	waiter_set(reads, nr, current);
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		/* the READs are of one lane, unless the task moved between them */
		for (i = 0; i < nr; i++)
			lane_arm(to_lane_read(reads[i])->lane);
		if (any_ended(reads, nr) || !jiffies_until(until_ns))
			break;
		io_schedule_timeout(jiffies_until(until_ns));
	}
	__set_current_state(TASK_RUNNING);
	waiter_set(reads, nr, NULL);
}

void fsw_lane_wait(void *transport, struct fsw_read *const *reads, unsigned int nr, u64 until_ns)
{
	if (nr && !wait_polling(reads, nr, until_ns))
		wait_sleeping(reads, nr, until_ns);
}

void fsw_lane_put(void *transport, struct fsw_read *read)
{
	struct fsw_lane_read *r = to_lane_read(read);
	struct fsw_rdma_peer *peer = READ_ONCE(r->peer);
	struct fsw_lane *lane = r->lane;
	u64 age = ktime_get_ns() - r->posted_ns;
	unsigned long flags;
	bool flying;

	fsw_stall();
	rcu_read_lock();	/* the peer of a READ in flight is there for a grace period */
	spin_lock_irqsave(&lane->lock, flags);
	flying = read->status == FSW_READ_FLYING;
	r->orphan = flying;
	if (flying)
		atomic_inc(&lane->sleepers);
	spin_unlock_irqrestore(&lane->lock, flags);
	if (flying) {
		/* who does not answer is not asked first again; that somebody gave up early says nothing */
		if (age > READ_ONCE(peer->core.read_ns))
			latency_learn(&peer->core, age);
		lane_arm(lane);	/* nobody polls for it any more */
	}
	else
		read_free(r);
	rcu_read_unlock();
}

/* ---- set-up ---- */

static void read_init(struct fsw_lane *lane, unsigned int i)
{
	struct fsw_lane_read *r = &lane->reads[i];

	r->lane = lane;
	r->core.va = lane->buffer.va + i * FSW_PAGE;
	r->core.status = -ECANCELED;
	r->cqe.done = read_done;
	list_add_tail(&r->link, &lane->free);
	lane->nr_free++;
}

int fsw_lane_init(struct fsw_lane *lane, struct fsw_rdma *rdma, unsigned int index)
{
	unsigned int i;
	int ret;

	lane->rdma = rdma;
	lane->index = index;
	spin_lock_init(&lane->poll_lock);
	atomic_set(&lane->sleepers, 0);
	INIT_WORK(&lane->poll_work, poll_work);
	spin_lock_init(&lane->lock);
	INIT_LIST_HEAD(&lane->free);
	init_waitqueue_head(&lane->room);
	lane->buffer.in = true;
	ret = fsw_buffer_get(rdma, &lane->buffer, FSW_LANE_READS * FSW_PAGE);
	if (ret)
		return ret;
	for (i = 0; i < FSW_LANE_READS; i++)
		read_init(lane, i);
	return 0;
}

void fsw_lane_exit(struct fsw_lane *lane)
{
	fsw_buffer_put(lane->rdma, &lane->buffer);
}

int fsw_lane_bind(struct fsw_lane *lane, struct ib_device *device)
{
	/* each READ once, and the drain of each peer that has a queue pair */
	struct ib_cq_init_attr attr = {
		.cqe = FSW_LANE_READS + FSW_UP_MAX,
		.comp_vector = lane->index % device->num_comp_vectors,
	};
	struct ib_cq *cq = ib_create_cq(device, lane_completed, NULL, lane, &attr);
	unsigned long flags;
	unsigned int i;

	if (IS_ERR(cq))
		return PTR_ERR(cq);
	for (i = 0; i < FSW_LANE_READS; i++)
		lane->reads[i].dma = lane->buffer.dma + i * FSW_PAGE;
	spin_lock_irqsave(&lane->poll_lock, flags);
	lane->cq = cq;
	spin_unlock_irqrestore(&lane->poll_lock, flags);
	return 0;
}

void fsw_lane_unbind(struct fsw_lane *lane)
{
	struct ib_cq *cq = lane->cq;
	unsigned long flags;

	spin_lock_irqsave(&lane->poll_lock, flags);
	lane->cq = NULL;
	spin_unlock_irqrestore(&lane->poll_lock, flags);
	ib_destroy_cq(cq);	/* its handler does not run any more */
	cancel_work_sync(&lane->poll_work);
}
