// SPDX-License-Identifier: GPL-2.0
#include <linux/in.h>
#include <linux/in6.h>
#include <net/net_namespace.h>
#include "rdma_int.h"
#include "settings.h"

#define RESOLVE_MS	3000
#define CONNECT_MS	10000
#define DRAIN_MS	5000
#define READ_DEPTH	16	/* READs outstanding on one queue pair; the donor and the device may allow fewer */
#define RETRIES		7

/* ---- rdma_cm's events: they end a step, or lose the peer; nothing is torn down here ---- */

void fsw_conn_step_end(struct fsw_conn *conn, int status, const char *why)
{
	fsw_stall();
	conn->status = status;
	conn->why = why;
	complete(&conn->done);
}

/* What the donor answered. InfiniBand's CM pads private data to its maximum, so only too little can be told. */
static int accept_check(struct fsw_conn *conn, const struct rdma_conn_param *param, const char **why)
{
	struct farswap_accept accept = { 0 };

	if (param->private_data && param->private_data_len >= sizeof(accept))
		memcpy(&accept, param->private_data, sizeof(accept));
	if (accept.magic != cpu_to_le32(FARSWAP_WIRE_MAGIC)) {
		*why = "connect: the other side does not speak farswap";
		return -EPROTO;
	}
	if (accept.version != cpu_to_le16(FARSWAP_WIRE_VERSION) || accept.reserved) {
		*why = "connect: the donor speaks another version";
		return -EPROTONOSUPPORT;
	}
	if (accept.incarnation != cpu_to_le64(conn->peer->incarnation)) {
		*why = "connect: the donor was restarted (other incarnation)";
		return -ESTALE;
	}
	return 0;
}

static int cm_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct fsw_conn *conn = id->context;
	const char *why = "connected";
	int ret;

	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		fsw_conn_step_end(conn, 0, why);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		ret = accept_check(conn, &event->param.conn, &why);
		fsw_conn_step_end(conn, ret, why);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
		fsw_conn_step_end(conn, event->status ?: -EHOSTUNREACH, "address: no RDMA device leads to the donor");
		break;
	case RDMA_CM_EVENT_ROUTE_ERROR:
		fsw_conn_step_end(conn, event->status ?: -EHOSTUNREACH, "route: no path to the donor");
		break;
	case RDMA_CM_EVENT_UNREACHABLE:
		fsw_conn_step_end(conn, -ETIMEDOUT, "connect: the donor does not answer");
		break;
	case RDMA_CM_EVENT_REJECTED:
		fsw_conn_step_end(conn, -ECONNREFUSED, "connect: refused (no listener, or the token is not good)");
		break;
	default:
		/* DISCONNECTED, DEVICE_REMOVAL, TIMEWAIT_EXIT, ADDR_CHANGE, CONNECT_ERROR: none is survived */
		fsw_conn_step_end(conn, -ENOTCONN, rdma_event_msg(event->event));
		fsw_peer_lost(conn->peer, -ENOTCONN, rdma_event_msg(event->event));
		break;
	}
	return 0;
}

static void qp_event(struct ib_event *event, void *context)
{
	struct fsw_conn *conn = context;

	switch (event->event) {
	case IB_EVENT_COMM_EST:
	case IB_EVENT_SQ_DRAINED:
	case IB_EVENT_PATH_MIG:
	case IB_EVENT_QP_LAST_WQE_REACHED:
		break;
	default:
		fsw_peer_lost(conn->peer, -EIO, ib_event_msg(event->event));
		break;
	}
}

/* ---- steps of connecting ---- */

int fsw_conn_open(struct fsw_conn *conn, const char **why)
{
	struct rdma_cm_id *id = rdma_create_id(&init_net, cm_event, conn, RDMA_PS_TCP, IB_QPT_RC);
	int ret;

	if (IS_ERR(id)) {
		*why = "no rdma_cm id";
		return PTR_ERR(id);
	}
	conn->id = id;
	ret = rdma_set_ack_timeout(id, fsw_settings.ack_timeout);
	if (ret)
		*why = "ack_timeout was not taken";
	return ret;
}

static int step_address(struct fsw_conn *conn)
{
	struct fsw_rdma_peer *peer = conn->peer;
	struct sockaddr *source = NULL;

	if (peer->source.ss_family)
		source = (struct sockaddr *)&peer->source;
	return rdma_resolve_addr(conn->id, source, (struct sockaddr *)&peer->address, RESOLVE_MS);
}

static int step_connect(struct fsw_conn *conn)
{
	struct farswap_connect hello = {
		.magic = cpu_to_le32(FARSWAP_WIRE_MAGIC),
		.version = cpu_to_le16(FARSWAP_WIRE_VERSION),
		.lane = cpu_to_le16(conn->index),
		.session = cpu_to_le64(conn->peer->session),
	};
	struct rdma_conn_param param = {
		.private_data = &hello,
		.private_data_len = sizeof(hello),
		.initiator_depth = min(READ_DEPTH, conn->id->device->attrs.max_qp_init_rd_atom),
		.retry_count = RETRIES,
		.rnr_retry_count = RETRIES,
	};
	int ret;

	memcpy(hello.token, conn->token, sizeof(hello.token));
	ret = rdma_connect(conn->id, &param);
	memzero_explicit(&hello, sizeof(hello));
	memzero_explicit(conn->token, sizeof(conn->token));
	return ret;
}

static const char *const step_failed[] = {
	[FSW_STEP_ADDRESS] = "address: the RDMA address cannot be resolved",
	[FSW_STEP_ROUTE] = "route: it cannot be resolved",
	[FSW_STEP_CONNECT] = "connect: the request cannot be sent",
};

static const char *const step_late[] = {
	[FSW_STEP_ADDRESS] = "address: no answer in time",
	[FSW_STEP_ROUTE] = "route: no answer in time",
	[FSW_STEP_CONNECT] = "connect: no answer in time",
	[FSW_STEP_LEASE] = "lease: its word could not be written in time",
};

int fsw_conn_step(struct fsw_conn *conn, enum fsw_step step, const char **why)
{
	int ret = -EINVAL;

	fsw_stall_sleep();
	reinit_completion(&conn->done);
	switch (step) {
	case FSW_STEP_ADDRESS:
		ret = step_address(conn);
		break;
	case FSW_STEP_ROUTE:
		ret = rdma_resolve_route(conn->id, RESOLVE_MS);
		break;
	case FSW_STEP_CONNECT:
		ret = step_connect(conn);
		break;
	case FSW_STEP_LEASE:
		break;
	}
	if (ret)
		*why = step_failed[step];
	return ret;
}

int fsw_conn_wait(struct fsw_conn *conn, enum fsw_step step, const char **why)
{
	/* the address and route have rdma_cm's own timeout too, which tells more: let it come first */
	unsigned int ms = step == FSW_STEP_CONNECT || step == FSW_STEP_LEASE ? CONNECT_MS : RESOLVE_MS + 500;
	struct fsw_rdma_peer *peer = conn->peer;
	long left = 1;

	/* the peer may have been lost between two steps, when nobody waited */
	if (READ_ONCE(peer->core.state) == FARSWAP_PEER_CONNECTING)
		left = wait_for_completion_killable_timeout(&conn->done, msecs_to_jiffies(ms));
	if (READ_ONCE(peer->core.state) != FARSWAP_PEER_CONNECTING) {
		*why = READ_ONCE(peer->why) ?: "the connection broke";
		return READ_ONCE(peer->error) ?: -ENOTCONN;
	}
	if (left < 0) {
		*why = "interrupted";
		return -EINTR;
	}
	if (!left) {
		*why = step_late[step];
		return -ETIMEDOUT;
	}
	*why = conn->why;
	return conn->status;
}

/* The lane that it belongs to; NULL: it is for chains, which complete in softirq. */
static struct fsw_lane *conn_lane(struct fsw_conn *conn)
{
	struct fsw_rdma *rdma = conn->peer->rdma;

	return conn->index < rdma->nr_lanes ? &rdma->lanes[conn->index] : NULL;
}

static struct ib_cq *conn_cq(struct fsw_conn *conn)
{
	struct fsw_lane *lane = conn_lane(conn);

	if (lane)
		return lane->cq;
	return conn == fsw_write_conn(conn->peer) ? conn->peer->write_cq : conn->peer->ahead_cq;
}

/*
 * A READ of a lane is in flight once, a page of the staging pool is in at most one WRITE to this peer, one of the read-ahead
 * buffers in at most one READ: no queue can overflow.
 */
static unsigned int conn_depth(struct fsw_conn *conn)
{
	if (conn_lane(conn))
		return FSW_LANE_READS;
	return conn == fsw_write_conn(conn->peer) ? fsw_write_depth() : fsw_settings.readahead_pages;
}

int fsw_conn_qp(struct fsw_conn *conn, const char **why)
{
	struct ib_cq *cq = conn_cq(conn);
	struct ib_qp_init_attr attr = {
		.event_handler = qp_event,
		.qp_context = conn,
		.send_cq = cq,
		.recv_cq = cq,
		.cap = {
			.max_send_wr = conn_depth(conn) + 1,	/* and the drain */
			.max_recv_wr = 1,	/* nothing is ever received; 0 is not allowed everywhere */
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
	};
	int ret = rdma_create_qp(conn->id, conn->peer->rdma->pd, &attr);

	if (ret)
		*why = "no queue pair on the RDMA device";
	else
		conn->qp = conn->id->qp;
	return ret;
}

/* ---- drain and close ---- */

static void drain_done(struct ib_cq *cq, struct ib_wc *wc)
{
	complete(&container_of(wc->wr_cqe, struct fsw_conn, drain_cqe)->drained);
}

/*
 * To the error state, and one work request behind all others: when it is flushed all are. Not ib_drain_sq(), which
 * knows only queues made by ib_alloc_cq(): with a driver's own drain a lane's queue could be taken for one. If this
 * fails the queue pair is destroyed all the same, which ends all too.
 */
void fsw_conn_drain_begin(struct fsw_conn *conn)
{
	struct ib_qp_attr attr = { .qp_state = IB_QPS_ERR };
	struct ib_rdma_wr wr = {
		.wr = {
			.wr_cqe = &conn->drain_cqe,
			.opcode = IB_WR_RDMA_WRITE,
			.send_flags = IB_SEND_SIGNALED,
		},
	};
	struct fsw_lane *lane = conn_lane(conn);

	init_completion(&conn->drained);
	conn->drain_cqe.done = drain_done;
	if (!conn->qp)
		return;
	if (lane)
		fsw_lane_sleep(lane);
	rdma_disconnect(conn->id);	/* tells the donor; fails if it was never connected */
	if (ib_modify_qp(conn->qp, &attr, IB_QP_STATE) || ib_post_send(conn->qp, &wr.wr, NULL))
		complete(&conn->drained);
}

void fsw_conn_drain_end(struct fsw_conn *conn)
{
	struct fsw_lane *lane = conn_lane(conn);

	if (!conn->qp)
		return;
	if (!wait_for_completion_timeout(&conn->drained, msecs_to_jiffies(DRAIN_MS)))
		pr_warn("%s: peer %u (%s): queue pair %u was not drained in time, it is destroyed\n",
			conn->peer->rdma->name, conn->peer->core.node, conn->peer->name, conn->index);
	if (lane)
		fsw_lane_wake(lane);
}

void fsw_conn_destroy_qp(struct fsw_conn *conn)
{
	if (conn->qp)
		rdma_destroy_qp(conn->id);
	conn->qp = NULL;
}

void fsw_conn_close(struct fsw_conn *conn)
{
	if (conn->id)
		rdma_destroy_id(conn->id);
	conn->id = NULL;
}
