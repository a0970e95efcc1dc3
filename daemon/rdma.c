// SPDX-License-Identifier: GPL-2.0
#include "rdma.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <rdma/rdma_cma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "farswap_wire.h"
#include "farswapd.h"
#include "log.h"
#include "msg.h"
#include "session.h"
#include "stall.h"

#define RETRY_EVERY	SECONDS(10)
#define EVENTS_A_TURN	16	/* others of the loop want their turn too */
#define PRIVATE_MAX	196	/* the most that any transport delivers with a connect request */

struct queue {
	struct queue *next;
	struct session *session;
	struct rdma_cm_id *id;
	struct ibv_cq *cq;		/* never completes anything: the donor posts nothing */
};

/* a CM event, copied out so that it can be acknowledged before it is acted upon: destroying an id waits for that */
struct cm_event {
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	uint8_t responder_resources;
	size_t private_bytes;
	uint8_t private_data[PRIVATE_MAX];
};

static struct rdma_event_channel *channel;
static struct rdma_cm_id *listener;
static sd_event_source *io, *retry;
static int last_error = ENODEV;
static int told_error = -1;
static uint64_t refused;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

struct ibv_context *rdma_verbs(void)
{
	return listener ? listener->verbs : NULL;
}

const char *rdma_device_name(void)
{
	return listener ? ibv_get_device_name(listener->verbs->device) : "";
}

int rdma_last_error(void)
{
	return listener ? 0 : last_error;
}

uint64_t rdma_refused(void)
{
	return refused;
}

void rdma_queue_destroy(struct queue *queue)
{
	struct session *session = queue->session;
	struct queue **p = &session->queues;

	while (*p != queue)
		p = &(*p)->next;
	*p = queue->next;
	session->n_queues--;
	farswap_stall("queue pair destroyed");
	rdma_disconnect(queue->id);	/* not connected is as good */
	rdma_destroy_qp(queue->id);
	ibv_destroy_cq(queue->cq);
	rdma_destroy_id(queue->id);
	free(queue);
}

static void refuse(struct rdma_cm_id *id, const char *why)
{
	refused++;
	farswap_log_limited(&limit, "RDMA connect request refused: %s", why);
	rdma_reject(id, NULL, 0);
	rdma_destroy_id(id);
}

static int make_queue_pair(struct queue *queue)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
	};

	queue->cq = ibv_create_cq(queue->id->verbs, 2, NULL, NULL, 0);
	if (!queue->cq)
		return -errno;
	attr.send_cq = queue->cq;
	attr.recv_cq = queue->cq;
	if (rdma_create_qp(queue->id, queue->session->pd, &attr)) {
		int ret = -errno;

		ibv_destroy_cq(queue->cq);
		return ret;
	}
	return 0;
}

static int accept_queue(struct queue *queue, uint8_t wanted)
{
	struct farswap_accept answer = {
		.magic = htole32(FARSWAP_WIRE_MAGIC),
		.version = htole16(FARSWAP_WIRE_VERSION),
		.incarnation = htole64(farswapd.incarnation),
	};
	struct rdma_conn_param param = {
		.private_data = &answer,
		.private_data_len = sizeof(answer),
		.rnr_retry_count = 7,
	};
	struct ibv_device_attr device;

	if (ibv_query_device(queue->id->verbs, &device))
		return -EIO;
	farswap_stall("queue pair accepted");
	param.responder_resources = wanted;
	if (device.max_qp_rd_atom < wanted)
		param.responder_resources = (uint8_t)device.max_qp_rd_atom;
	return rdma_accept(queue->id, &param) ? -errno : 0;
}

static void on_request(const struct cm_event *event)
{
	enum farswap_msg_verdict verdict = farswap_connect_check(event->private_data, event->private_bytes);
	struct farswap_connect connect;
	struct session *session;
	struct queue *queue;
	int ret;

	if (verdict) {
		refuse(event->id, farswap_msg_verdict_text(verdict));
		return;
	}
	memcpy(&connect, event->private_data, sizeof(connect));
	session = session_take_token(le64toh(connect.session), connect.token);
	if (!session || session->pd->context != event->id->verbs) {
		refuse(event->id, "no such session and token, or too late");
		return;
	}
	queue = calloc(1, sizeof(*queue));
	if (!queue) {
		refuse(event->id, "out of memory");
		return;
	}
	queue->id = event->id;
	queue->session = session;
	ret = make_queue_pair(queue);
	if (ret) {
		refuse(event->id, strerror(-ret));
		free(queue);
		return;
	}
	queue->id->context = queue;
	queue->next = session->queues;
	session->queues = queue;
	session->n_queues++;
	ret = accept_queue(queue, event->responder_resources);
	if (ret) {
		farswap_log("session of %s: queue pair %u not accepted: %s", session->client,
			    le16toh(connect.lane), strerror(-ret));
		rdma_queue_destroy(queue);
		session_check_alive(session);
	}
}

static void stop_listening(int error)
{
	if (listener)
		rdma_destroy_id(listener);
	listener = NULL;
	io = sd_event_source_disable_unref(io);
	if (channel)
		rdma_destroy_event_channel(channel);
	channel = NULL;
	last_error = error;
}

static void on_queue_gone(struct queue *queue)
{
	struct session *session = queue->session;

	rdma_queue_destroy(queue);
	session_check_alive(session);
}

/* returns false when the listener is gone with its channel */
static bool dispatch(const struct cm_event *event)
{
	switch (event->type) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		on_request(event);
		return true;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		/* librdmacm keeps a device open until the process ends, and soft-RoCE's removal waits for that */
		farswap_log("RDMA device is being removed: all sessions end, and farswapd begins anew");
		session_close_all("its RDMA device was removed");
		stop_listening(ENODEV);
		sd_event_exit(farswapd.loop, FARSWAPD_ANEW);
		return false;
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
		if (event->id->context)
			on_queue_gone(event->id->context);
		return true;
	default:
		return true;	/* ESTABLISHED, TIMEWAIT_EXIT, ADDR_CHANGE: nothing to do */
	}
}

static int on_cm(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct rdma_cm_event *event;
	struct cm_event copy;
	int turns;

	(void)source;
	(void)fd;
	(void)events;
	(void)arg;
	for (turns = 0; turns < EVENTS_A_TURN && !rdma_get_cm_event(channel, &event); turns++) {
		memset(&copy, 0, sizeof(copy));
		copy.type = event->event;
		copy.id = event->id;
		copy.responder_resources = event->param.conn.responder_resources;
		if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST && event->param.conn.private_data) {
			copy.private_bytes = event->param.conn.private_data_len;
			if (copy.private_bytes > PRIVATE_MAX)
				copy.private_bytes = PRIVATE_MAX;
			memcpy(copy.private_data, event->param.conn.private_data, copy.private_bytes);
		}
		rdma_ack_cm_event(event);
		if (!dispatch(&copy))
			break;
	}
	return 0;
}

static int start_listening(void)
{
	union farswap_addr *addr = &farswapd.self->addr;
	int one = 1;

	channel = rdma_create_event_channel();
	if (!channel)
		return errno ? errno : ENODEV;
	if (fcntl(channel->fd, F_SETFL, O_NONBLOCK) || fcntl(channel->fd, F_SETFD, FD_CLOEXEC))
		return errno;
	if (rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP)) {
		listener = NULL;
		return errno;
	}
	if (addr->sa.sa_family == AF_INET6)
		rdma_set_option(listener, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY, &one, sizeof(one));
	if (rdma_bind_addr(listener, &addr->sa))
		return errno;
	if (!listener->verbs)
		return ENODEV;	/* the address belongs to no RDMA device */
	if (rdma_listen(listener, 64))
		return errno;
	if (sd_event_add_io(farswapd.loop, &io, channel->fd, EPOLLIN, on_cm, NULL) < 0)
		return ENOMEM;
	return 0;
}

int rdma_ready(void)
{
	int error;

	if (listener)
		return 0;
	error = start_listening();
	if (!error) {
		told_error = -1;
		farswap_log("RDMA: listening on %s port %u, device %s", farswap_addr_text(&farswapd.self->addr),
			    farswapd.conf.port, rdma_device_name());
		return 0;
	}
	stop_listening(error);
	if (error != told_error)
		farswap_log("RDMA: no device for address %s (%s): lending nothing until there is one",
			    farswap_addr_text(&farswapd.self->addr), strerror(error));
	told_error = error;
	return error;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	(void)arg;
	rdma_ready();
	return farswapd_timer(&retry, RETRY_EVERY, on_retry, NULL);
}

void rdma_init(void)
{
	rdma_ready();
	farswapd_timer(&retry, RETRY_EVERY, on_retry, NULL);
}

void rdma_exit(void)
{
	retry = sd_event_source_disable_unref(retry);
	stop_listening(ENODEV);
}
