// SPDX-License-Identifier: GPL-2.0
#include "push.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "donor.h"
#include "farswapd.h"
#include "log.h"
#include "msg.h"
#include "session.h"
#include "stall.h"

#define WRITE_BYTES	(256u << 10)	/* of one work request */
#define WRITES_MAX	32		/* in flight: 8 MiB, as this waits its turn on a busy host to post more */
/*
 * The kernel hears of a neighbour's address, or looks again when this time is over: one that comes just between its look and its waiting
 * is heard of by the second only.
 */
#define RESOLVE_MS	250
#define RESOLVE_TRIES	8
#define ROUTE_MS	2000
#define ACK_TIMEOUT	17		/* 4.096 us * 2^this, 0.5 s: as the module's. The RDMA CM's own, 2.1 s, is what one lost packet would cost */
#define ANSWER_LIMIT	SECONDS(15)	/* a manager waits for 20 s */
#define IDLE_LIMIT	SECONDS(10)
#define PUSHES_MAX	64		/* queue pairs, of all sessions */
#define EVENTS_A_TURN	16

enum push_state {
	PUSH_RESOLVING,		/* address, route */
	PUSH_CONNECTING,
	PUSH_READY,
};

/* a queue pair to another donor */
struct push {
	struct push *next;
	enum push_state state;
	struct session *session;
	struct rdma_cm_id *id;
	unsigned int tries;		/* of its address, to be resolved */
	struct ibv_comp_channel *done_channel;
	struct ibv_cq *cq;
	sd_event_source *done_io;
	sd_event_source *timer;		/* limit of the PUSH under way, else of idleness */
	bool active;
	struct push_order order;	/* of the PUSH under way, else of the last one */
	uint64_t posted, done;		/* bytes of it */
	unsigned int in_flight;		/* WRITEs */
};

static struct push *pushes;
static struct rdma_event_channel *channel;
static sd_event_source *channel_io;

unsigned int push_count(const struct session *session)
{
	const struct push *push;
	unsigned int n = 0;

	for (push = pushes; push; push = push->next)
		n += !session || push->session == session;
	return n;
}

/* once the queue pair is destroyed no WRITE reads the slab any more */
static void push_free(struct push *push)
{
	struct push **p = &pushes;

	while (*p != push)
		p = &(*p)->next;
	*p = push->next;
	sd_event_source_disable_unref(push->timer);
	sd_event_source_disable_unref(push->done_io);
	farswap_stall("push free");
	if (push->id && push->id->qp) {
		rdma_disconnect(push->id);	/* not connected is as good */
		rdma_destroy_qp(push->id);
	}
	if (push->cq)
		ibv_destroy_cq(push->cq);
	if (push->done_channel)
		ibv_destroy_comp_channel(push->done_channel);
	if (push->id)
		rdma_destroy_id(push->id);
	explicit_bzero(push->order.token, sizeof(push->order.token));
	free(push);
}

/* the one door of all failures: the queue pair goes, whoever waits is answered */
static void push_fail(struct push *push, enum farswap_reject code, uint64_t number)
{
	struct push_order order = push->order;
	bool active = push->active;
	char why[160];

	if (active && push->posted && code != FARSWAP_REJECT_WRITE) {
		code = FARSWAP_REJECT_WRITE;	/* whatever the cause: some of it may be under way */
		number = IBV_WC_WR_FLUSH_ERR;
	}
	if (active)
		farswap_log("session of %s: push to %s: %s", push->session->client, farswap_addr_text(&order.to),
			    farswap_reject_say(code, number, why, sizeof(why)));
	push_free(push);
	if (active)
		donor_pushed(&order, code, number);
}

/* no answer in time, or no PUSH for a while */
static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct push *push = arg;

	(void)source;
	(void)usec;
	if (push->state == PUSH_READY)
		push_fail(push, FARSWAP_REJECT_WRITE, 0);
	else
		push_fail(push, FARSWAP_REJECT_CONNECT, ETIMEDOUT);
	return 0;
}

static void finish(struct push *push)
{
	farswap_stall("pushed");
	push->active = false;
	farswapd_timer(&push->timer, IDLE_LIMIT, on_timer, push);
	donor_pushed(&push->order, 0, 0);
}

/* as many WRITEs as may be in flight; false: the push has failed and is gone */
static bool post(struct push *push)
{
	struct push_order *order = &push->order;

	while (push->posted < order->bytes && push->in_flight < WRITES_MAX) {
		uint64_t left = order->bytes - push->posted;
		struct ibv_sge sge = {
			.addr = (uintptr_t)order->slab->data + order->offset + push->posted,
			.length = left < WRITE_BYTES ? (uint32_t)left : WRITE_BYTES,
			.lkey = order->slab->mr->lkey,
		};
		struct ibv_send_wr wr = {
			.wr_id = sge.length,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_WRITE,
			.send_flags = IBV_SEND_SIGNALED,
			.wr.rdma = { .remote_addr = order->remote + push->posted, .rkey = order->rkey },
		}, *bad;

		if (ibv_post_send(push->id->qp, &wr, &bad)) {
			push_fail(push, FARSWAP_REJECT_WRITE, IBV_WC_GENERAL_ERR);
			return false;
		}
		push->posted += sge.length;
		push->in_flight++;
	}
	return true;
}

/* false: the push is gone */
static bool reap(struct push *push)
{
	struct ibv_wc wc[WRITES_MAX];
	int i, n = ibv_poll_cq(push->cq, WRITES_MAX, wc);

	if (n < 0) {
		push_fail(push, FARSWAP_REJECT_WRITE, IBV_WC_GENERAL_ERR);
		return false;
	}
	for (i = 0; i < n; i++) {
		if (wc[i].status) {
			push_fail(push, FARSWAP_REJECT_WRITE, wc[i].status);
			return false;
		}
		push->in_flight--;
		push->done += wc[i].wr_id;
	}
	return true;
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct push *push = arg;
	struct ibv_cq *cq;
	void *context;

	(void)source;
	(void)fd;
	(void)events;
	while (!ibv_get_cq_event(push->done_channel, &cq, &context))
		ibv_ack_cq_events(cq, 1);
	/* asked for before the look, so that what completes after it is told */
	if (ibv_req_notify_cq(push->cq, 0)) {
		push_fail(push, FARSWAP_REJECT_WRITE, IBV_WC_GENERAL_ERR);
		return 0;
	}
	if (!reap(push) || !push->active || !post(push))
		return 0;
	if (push->done == push->order.bytes)
		finish(push);
	return 0;
}

static int set_nonblocking(int fd)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC) ? -errno : 0;
}

static int make_queue_pair(struct push *push)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = WRITES_MAX, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
	};

	if (push->id->verbs != push->session->pd->context)
		return -ENODEV;		/* the way there is by another RDMA device than the slab's */
	push->done_channel = ibv_create_comp_channel(push->id->verbs);
	if (!push->done_channel || set_nonblocking(push->done_channel->fd))
		return -errno;
	push->cq = ibv_create_cq(push->id->verbs, WRITES_MAX + 1, push, push->done_channel, 0);
	if (!push->cq)
		return -errno;
	if (ibv_req_notify_cq(push->cq, 0))
		return -EIO;
	if (sd_event_add_io(farswapd.loop, &push->done_io, push->done_channel->fd, EPOLLIN, on_done, push) < 0)
		return -ENOMEM;
	attr.send_cq = push->cq;
	attr.recv_cq = push->cq;
	return rdma_create_qp(push->id, push->session->pd, &attr) ? -errno : 0;
}

static int connect_queue_pair(struct push *push)
{
	struct farswap_connect connect = {
		.magic = htole32(FARSWAP_WIRE_MAGIC),
		.version = htole16(FARSWAP_WIRE_VERSION),
		.session = htole64(push->order.to_session),
	};
	struct rdma_conn_param param = {
		.private_data = &connect,
		.private_data_len = sizeof(connect),
		.retry_count = 7,
		.rnr_retry_count = 7,
	};
	int ret = make_queue_pair(push);

	if (ret)
		return ret;
	push->state = PUSH_CONNECTING;
	memcpy(connect.token, push->order.token, sizeof(connect.token));
	if (rdma_connect(push->id, &param))
		ret = -errno;
	explicit_bzero(&connect, sizeof(connect));
	return ret;
}

static int resolve(struct push *push)
{
	union farswap_addr from = farswapd.self->addr, to = push->order.to;
	struct sockaddr *source = from.sa.sa_family == to.sa.sa_family ? &from.sa : NULL;

	from.in.sin_port = 0;
	return rdma_resolve_addr(push->id, source, &to.sa, RESOLVE_MS) ? -errno : 0;
}

static int error_of(int status)
{
	return status < 0 && status != -1 ? status : -EHOSTUNREACH;
}

static void on_event(struct push *push, enum rdma_cm_event_type type, int status)
{
	int ret = 0;

	switch (type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		ret = rdma_resolve_route(push->id, ROUTE_MS) ? -errno : 0;
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		ret = connect_queue_pair(push);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		push->state = PUSH_READY;
		post(push);
		return;
	case RDMA_CM_EVENT_ADDR_ERROR:
		ret = status == -ETIMEDOUT && ++push->tries < RESOLVE_TRIES ? resolve(push) : error_of(status);
		break;
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_CONNECT_ERROR:
		ret = error_of(status);
		break;
	case RDMA_CM_EVENT_REJECTED:
		ret = -ECONNREFUSED;
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		ret = -ECONNRESET;
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		ret = -ENODEV;
		break;
	default:
		return;		/* TIMEWAIT_EXIT, ADDR_CHANGE */
	}
	if (ret)
		push_fail(push, FARSWAP_REJECT_CONNECT, (uint64_t)-ret);
}

static int on_cm(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct rdma_cm_event *event;
	int turns;

	(void)source;
	(void)fd;
	(void)events;
	(void)arg;
	for (turns = 0; turns < EVENTS_A_TURN && !rdma_get_cm_event(channel, &event); turns++) {
		enum rdma_cm_event_type type = event->event;
		struct push *push = event->id->context;
		int status = event->status;

		rdma_ack_cm_event(event);	/* first: destroying the id waits for it */
		on_event(push, type, status);
	}
	return 0;
}

static int open_channel(void)
{
	int ret;

	if (channel)
		return 0;
	channel = rdma_create_event_channel();
	if (!channel)
		return -errno;
	ret = set_nonblocking(channel->fd);
	if (!ret && sd_event_add_io(farswapd.loop, &channel_io, channel->fd, EPOLLIN, on_cm, NULL) < 0)
		ret = -ENOMEM;
	if (!ret)
		return 0;
	rdma_destroy_event_channel(channel);
	channel = NULL;
	return ret;
}

static int begin(struct push *push)
{
	uint8_t ack_timeout = ACK_TIMEOUT;

	if (farswapd_timer(&push->timer, ANSWER_LIMIT, on_timer, push) < 0)
		return -ENOMEM;
	if (rdma_create_id(channel, &push->id, push, RDMA_PS_TCP)) {
		push->id = NULL;
		return -errno;
	}
	if (rdma_set_option(push->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &ack_timeout, sizeof(ack_timeout)))
		return -errno;
	return resolve(push);
}

static struct push *find(const struct session *session, uint64_t to_session)
{
	struct push *push;

	for (push = pushes; push; push = push->next)
		if (push->session == session && push->order.to_session == to_session)
			return push;
	return NULL;
}

static unsigned int start_new(struct session *session, const struct push_order *order, uint64_t *number)
{
	struct push *push;
	int ret = open_channel();

	*number = (uint64_t)-ret;
	if (ret)
		return FARSWAP_REJECT_CONNECT;
	push = push_count(NULL) < PUSHES_MAX ? calloc(1, sizeof(*push)) : NULL;
	*number = ENOMEM;
	if (!push)
		return FARSWAP_REJECT_CONNECT;
	push->session = session;
	push->order = *order;
	push->next = pushes;
	pushes = push;
	ret = begin(push);
	if (ret) {
		push_free(push);
		*number = (uint64_t)-ret;
		return FARSWAP_REJECT_CONNECT;
	}
	push->active = true;
	return 0;
}

unsigned int push_start(struct session *session, const struct push_order *order, uint64_t *number)
{
	struct push *push = find(session, order->to_session);

	*number = 0;
	if (push && push->active)
		return FARSWAP_REJECT_BUSY;
	if (!farswap_all_zero(order->token, sizeof(order->token))) {
		if (push)
			push_free(push);
		return start_new(session, order, number);
	}
	if (!push)
		return FARSWAP_REJECT_NO_QUEUE;
	if (farswapd_timer(&push->timer, ANSWER_LIMIT, on_timer, push) < 0)
		return FARSWAP_REJECT_NO_QUEUE;
	push->order = *order;
	farswap_stall("push");
	push->posted = 0;
	push->done = 0;
	push->active = true;
	post(push);
	return 0;
}

bool push_reads(const struct slab *slab)
{
	const struct push *push;

	for (push = pushes; push; push = push->next)
		if (push->active && push->order.slab == slab)
			return true;
	return false;
}

void push_session_gone(struct session *session)
{
	struct push *push, *next;

	for (push = pushes; push; push = next) {
		next = push->next;
		if (push->session == session)
			push_fail(push, FARSWAP_REJECT_NO_SESSION, session->number);
	}
}

void push_conn_gone(struct donor_conn *conn)
{
	struct push *push, *next;

	for (push = pushes; push; push = next) {
		next = push->next;
		if (push->order.conn == conn)
			push_free(push);
	}
}

void push_exit(void)
{
	channel_io = sd_event_source_disable_unref(channel_io);
	if (channel)
		rdma_destroy_event_channel(channel);
	channel = NULL;
}
