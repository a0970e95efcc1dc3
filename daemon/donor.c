// SPDX-License-Identifier: GPL-2.0
#include "donor.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "crc32c.h"
#include "device.h"
#include "farswapd.h"
#include "favour.h"
#include "lender.h"
#include "log.h"
#include "push.h"
#include "quota.h"
#include "rdma.h"
#include "session.h"
#include "slab.h"

#define CONNS_MAX		512
#define CONNS_PER_CLIENT	8
#define HELLO_LIMIT		SECONDS(5)
#define ROOM_NS			500000000ull	/* how old the room told in a PONG may be */
#define SILENCE_LIMIT		SECONDS(30)	/* a client pings at least every 10 s */

struct donor_conn {
	struct donor_conn *next;
	struct chan *chan;
	char client[FARSWAP_NAME_BYTES];
	uint8_t boot_id[16];
	bool greeted;
	uint64_t heard_ns;		/* when its last message came */
	sd_event_source *silence;
};

static struct donor_conn *conns;
static struct client_rate {		/* outlives its connections, until another needs its place */
	char client[FARSWAP_NAME_BYTES];
	struct quota_rate rate;
} rates[2 * CONNS_MAX];			/* from the place that its name says onwards */
static bool drained;
static sd_event_source *drain_end;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

static void send_reject(struct donor_conn *conn, enum farswap_msg_type type, uint32_t id, unsigned int code, uint64_t number)
{
	union farswap_msg answer;

	farswap_msg_make(&answer, FARSWAP_MSG_REJECT, id);
	answer.reject.type = htole16(type);
	answer.reject.code = htole16(code);
	answer.reject.number = htole64(number);
	chan_send(conn->chan, &answer);
}

static void reject(struct donor_conn *conn, const union farswap_msg *request, unsigned int code, uint64_t number)
{
	send_reject(conn, le16toh(request->head.type), le32toh(request->head.id), code, number);
}

static bool may_lend(void)
{
	return farswapd.conf.lend_while_borrowing || !device_exists();
}

uint32_t donor_room(void)
{
	uint32_t lent = slab_count();
	uint64_t fit;

	if (rdma_last_error() || drained || !may_lend() || lent >= farswapd.self->lend)
		return 0;
	fit = slab_memory_room(farswapd.conf.slab_bytes, farswapd.conf.reserve_bytes, NULL);
	if (fit > lender_room())
		fit = lender_room();
	return fit < farswapd.self->lend - lent ? (uint32_t)fit : farswapd.self->lend - lent;
}

static int on_drain_end(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	(void)arg;
	if (slab_count())
		donor_drain(false, 0);
	return 0;
}

void donor_drain(bool on, uint64_t seconds)
{
	if (on != drained)
		farswap_log(on ? "drained from now on: nothing more is lent, and all clients are asked to move their slabs" :
			    "not drained any more: it lends again, with %u slabs of others here", slab_count());
	drained = on;
	farswapd_timer_stop(drain_end);
	if (on && seconds)
		farswapd_timer(&drain_end, SECONDS(seconds), on_drain_end, NULL);
}

bool donor_drained(void)
{
	return drained;
}

static void on_hello(struct donor_conn *conn, const union farswap_msg *msg, enum farswap_msg_verdict verdict)
{
	union farswap_msg answer;

	if (verdict == FARSWAP_MSG_OTHER_VERSION) {
		reject(conn, msg, FARSWAP_REJECT_VERSION, FARSWAP_WIRE_VERSION);
		chan_finish(conn->chan, "speaks another protocol version");
		dropped_add(DROPPED_ORDER, conn->client, "speaks another protocol version");
		return;
	}
	if (strcmp(msg->hello.name, conn->client)) {
		chan_fail(conn->chan, DROPPED_ORDER, false, "claims another name than it has proved");
		return;
	}
	if (le32toh(msg->hello.page_bytes) != FARSWAP_FRAME_BYTES) {
		reject(conn, msg, FARSWAP_REJECT_GEOMETRY, FARSWAP_FRAME_BYTES);
		chan_finish(conn->chan, "has another page size");
		return;
	}
	if (le64toh(msg->hello.slab_bytes) != farswapd.conf.slab_bytes) {
		reject(conn, msg, FARSWAP_REJECT_GEOMETRY, farswapd.conf.slab_bytes);
		chan_finish(conn->chan, "has another slab size");
		return;
	}
	conn->greeted = true;
	memcpy(conn->boot_id, msg->hello.boot_id, sizeof(conn->boot_id));
	session_client_booted(conn->client, conn->boot_id);

	farswap_msg_make(&answer, FARSWAP_MSG_WELCOME, le32toh(msg->head.id));
	answer.hello.version = htole16(FARSWAP_WIRE_VERSION);
	answer.hello.page_bytes = htole32(FARSWAP_FRAME_BYTES);
	answer.hello.room = htole32(donor_room());
	answer.hello.slab_bytes = htole64(farswapd.conf.slab_bytes);
	answer.hello.incarnation = htole64(farswapd.incarnation);
	memcpy(answer.hello.boot_id, farswapd.boot_id, sizeof(farswapd.boot_id));
	farswap_name_copy(answer.hello.name, farswapd.self->name);
	chan_send(conn->chan, &answer);
}

static struct session *find_session(struct donor_conn *conn, const union farswap_msg *msg, uint64_t number)
{
	struct session *session = session_find(number, conn->client);

	if (!session)
		reject(conn, msg, FARSWAP_REJECT_NO_SESSION, number);
	return session;
}

/*
 * Another connection has the session, and lives. Both are of one boot id: the host was copied while it ran, and whoever comes second
 * would take the first one's slabs. A client that gave up its connection has said nothing over it for longer than this.
 */
static bool in_use(struct donor_conn *conn, const union farswap_msg *msg, const struct session *session)
{
	uint64_t alive_ns = 1000000000ull + 3 * farswapd.conf.heartbeat_ms * 1000000ull;

	if (!session->conn || session->conn == conn || session->conn->heard_ns + alive_ns < farswap_now_ns())
		return false;
	farswap_log_limited(&limit, "session of %s: refused to %s, another connection has it", session->client, chan_peer(conn->chan));
	reject(conn, msg, FARSWAP_REJECT_IN_USE, session->number);
	return true;
}

/* OPENED or REJOINED */
static void answer_session(struct donor_conn *conn, const union farswap_msg *msg, enum farswap_msg_type type,
			   const struct session *session)
{
	union farswap_msg answer;

	farswap_msg_make(&answer, type, le32toh(msg->head.id));
	answer.session.session = htole64(session->number);
	answer.session.rdma_port = htole16(farswapd.conf.port);
	if (session->word.at) {
		answer.session.lease_ms = htole32(farswapd.conf.lease_s * 1000);
		answer.session.lease_address = htole64((uintptr_t)session->word.at);
		answer.session.lease_rkey = htole32(session->word.mr->rkey);
	}
	chan_send(conn->chan, &answer);
}

static void on_open(struct donor_conn *conn, const union farswap_msg *msg)
{
	uint64_t number = le64toh(msg->session.session);
	struct session *session;
	int error = rdma_ready();

	if (error) {
		reject(conn, msg, FARSWAP_REJECT_RDMA, (uint64_t)error);
		return;
	}
	if (number) {
		session = find_session(conn, msg, number);
		if (!session || in_use(conn, msg, session))
			return;
		session->conn = conn;
	} else {
		session = session_open(conn, conn->client, conn->boot_id);
		if (!session) {
			reject(conn, msg, errno == EBUSY ? FARSWAP_REJECT_STATE : FARSWAP_REJECT_RDMA, (uint64_t)errno);
			return;
		}
	}
	farswap_log("session of %s: %s", conn->client, number ? "taken up again" : "opened");
	answer_session(conn, msg, FARSWAP_MSG_OPENED, session);
}

static void on_rejoin(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->session.session));

	if (!session || in_use(conn, msg, session))
		return;
	session->conn = conn;	/* or it would end with its last queue pair */
	farswap_log("session of %s: rejoins with %u slabs, %u old queue pairs destroyed", session->client, session->n_slabs,
		    session->n_queues);
	session_rejoin(session);
	answer_session(conn, msg, FARSWAP_MSG_REJOINED, session);
}

/* the number is the client's quota; what it has above that is left to it */
static bool in_quota(struct donor_conn *conn, const union farswap_msg *msg, enum farswap_reject code, uint32_t quota, uint32_t used)
{
	if (quota_allows(quota, used))
		return true;
	reject(conn, msg, code, quota);
	return false;
}

/* one more queue pair, of the client or for it? Answers the refusal itself. */
static bool may_connect(struct donor_conn *conn, const union farswap_msg *msg)
{
	return in_quota(conn, msg, FARSWAP_REJECT_QUEUE_QUOTA, farswap_conf_quota(&farswapd.conf, conn->client).queue_pairs,
			session_use(conn->client).queue_pairs);
}

static void on_token(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->token.session));
	union farswap_msg answer;

	if (!session || !may_connect(conn, msg))
		return;
	farswap_msg_make(&answer, FARSWAP_MSG_TOKEN_OK, le32toh(msg->head.id));
	if (session_new_token(session, answer.token.token)) {
		reject(conn, msg, FARSWAP_REJECT_STATE, 0);
		return;
	}
	answer.token.session = msg->token.session;
	chan_send(conn->chan, &answer);
	explicit_bzero(&answer, sizeof(answer));
}

/* may one more slab be lent? Answers the refusal itself. */
static bool have_room(struct donor_conn *conn, const union farswap_msg *msg)
{
	uint64_t free_mib;

	if (drained) {
		reject(conn, msg, FARSWAP_REJECT_DRAINED, 0);
		return false;
	}
	if (!may_lend()) {
		reject(conn, msg, FARSWAP_REJECT_BORROWER, 0);
		return false;
	}
	if (slab_count() >= farswapd.self->lend) {
		reject(conn, msg, FARSWAP_REJECT_NO_ROOM, slab_count());
		return false;
	}
	if (!slab_memory_room(farswapd.conf.slab_bytes, farswapd.conf.reserve_bytes, &free_mib) || !lender_room()) {
		reject(conn, msg, FARSWAP_REJECT_NO_MEMORY, free_mib);
		return false;
	}
	return in_quota(conn, msg, FARSWAP_REJECT_SLAB_QUOTA, farswap_conf_quota(&farswapd.conf, conn->client).slabs,
			session_use(conn->client).slabs);
}

/* GRANTED or LOCATED */
static void answer_slab(struct donor_conn *conn, const union farswap_msg *msg, enum farswap_msg_type type,
			const struct session *session, const struct slab *slab)
{
	union farswap_msg answer;

	farswap_msg_make(&answer, type, le32toh(msg->head.id));
	answer.grant.session = htole64(session->number);
	answer.grant.extent = htole64(slab->extent);
	answer.grant.generation = htole32(slab->generation);
	answer.grant.rkey = htole32(slab->mr->rkey);
	answer.grant.slab = htole64(slab->number);
	answer.grant.incarnation = htole64(slab->incarnation);
	answer.grant.address = htole64((uintptr_t)slab->data);
	answer.grant.bytes = htole64(slab->bytes);
	chan_send(conn->chan, &answer);
}

/* It came over a connection that the session has left: whoever has it now may have been granted the slab since, or does not know of it. */
static bool is_late(struct donor_conn *conn, const union farswap_msg *msg, const struct session *session)
{
	if (session->conn == conn)
		return false;
	reject(conn, msg, FARSWAP_REJECT_STATE, 0);
	return true;
}

static void on_grant(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->grant.session));
	struct slab *slab;
	uint64_t free_mib;

	if (!session || is_late(conn, msg, session))
		return;
	favour_asked();
	/* the answer to the same question may have been lost */
	slab = session_granted(session, le64toh(msg->grant.extent), le32toh(msg->grant.generation));
	if (!slab) {
		if (!have_room(conn, msg))
			return;
		slab = session_grant(session, le64toh(msg->grant.extent), le32toh(msg->grant.generation),
				     farswapd.conf.slab_bytes);
	}
	if (!slab) {
		farswap_log("session of %s: no slab: %m", session->client);
		slab_memory_room(farswapd.conf.slab_bytes, farswapd.conf.reserve_bytes, &free_mib);
		reject(conn, msg, FARSWAP_REJECT_NO_MEMORY, free_mib);
		return;
	}
	answer_slab(conn, msg, FARSWAP_MSG_GRANTED, session, slab);
}

static struct slab *find_slab(struct donor_conn *conn, const union farswap_msg *msg, struct session *session, uint64_t number)
{
	struct slab *slab = session_slab(session, number);

	if (!slab)
		reject(conn, msg, FARSWAP_REJECT_NO_SLAB, number);
	return slab;
}

static void on_release(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->slab.session));
	struct slab *slab = session ? find_slab(conn, msg, session, le64toh(msg->slab.slab)) : NULL;
	union farswap_msg answer;
	int ret;

	if (!slab || is_late(conn, msg, session))
		return;
	if (push_reads(slab)) {
		reject(conn, msg, FARSWAP_REJECT_BUSY, 0);
		return;
	}
	ret = session_release(session, slab);
	if (ret) {
		farswap_log("session of %s: slab %#llx cannot be revoked yet: %s", session->client,
			    (unsigned long long)slab->number, strerror(-ret));
		reject(conn, msg, FARSWAP_REJECT_BUSY, 0);
		return;
	}
	farswap_msg_make(&answer, FARSWAP_MSG_RELEASED, le32toh(msg->head.id));
	answer.slab.session = msg->slab.session;
	answer.slab.slab = msg->slab.slab;
	chan_send(conn->chan, &answer);
}

static void on_locate(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->slab.session));
	struct slab *slab = session ? find_slab(conn, msg, session, le64toh(msg->slab.slab)) : NULL;

	if (slab)
		answer_slab(conn, msg, FARSWAP_MSG_LOCATED, session, slab);
}

static void on_activity(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->activity.session));
	union farswap_msg answer;

	if (!session || is_late(conn, msg, session))
		return;
	lender_told(session, &msg->activity, &answer);
	chan_send(conn->chan, &answer);
}

static void on_list(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->list.session));
	uint64_t after = le64toh(msg->list.after);
	union farswap_msg answer;
	uint32_t n = 0;

	if (!session)
		return;
	farswap_msg_make(&answer, FARSWAP_MSG_LISTED, le32toh(msg->head.id));
	answer.listed.session = msg->list.session;
	while (n < FARSWAP_LIST_SLABS && (after = session_slab_after(session, after)))
		answer.listed.slabs[n++] = htole64(after);
	answer.listed.n = htole32(n);
	chan_send(conn->chan, &answer);
}

/* Only nodes of this cluster are connected to. Those of other groups are not known here: then the word of a client that has proved the key must do. */
static bool find_address(const uint8_t wire[16], union farswap_addr *out)
{
	const struct farswap_node *node;
	uint8_t address[16];

	for (node = farswapd.conf.nodes; node < farswapd.conf.nodes + farswapd.conf.n_nodes; node++) {
		farswap_addr_wire(&node->addr, address);
		if (node->name[0] && !memcmp(address, wire, sizeof(address))) {
			*out = node->addr;
			return true;
		}
	}
	farswap_addr_from_wire(wire, &farswapd.self->addr, out);
	return farswapd.conf.n_etcd > 0;
}

static void on_push(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->push.session));
	struct slab *slab = session ? find_slab(conn, msg, session, le64toh(msg->push.slab)) : NULL;
	struct push_order order = {
		.conn = conn,
		.id = le32toh(msg->head.id),
		.session = le64toh(msg->push.session),
		.slab = slab,
		.offset = le64toh(msg->push.offset),
		.bytes = le64toh(msg->push.bytes),
		.to_session = le64toh(msg->push.to_session),
		.remote = le64toh(msg->push.remote),
		.rkey = le32toh(msg->push.rkey),
	};
	unsigned int code;
	uint64_t number;

	if (!slab)
		return;
	if (!find_address(msg->push.to_address, &order.to)) {
		reject(conn, msg, FARSWAP_REJECT_UNKNOWN_NODE, 0);
		return;
	}
	if (order.offset > slab->bytes || order.bytes > slab->bytes - order.offset) {
		reject(conn, msg, FARSWAP_REJECT_RANGE, slab->bytes);
		return;
	}
	if (!farswap_all_zero(msg->push.token, sizeof(msg->push.token)) && !may_connect(conn, msg))
		return;
	order.to.in.sin_port = htons(le16toh(msg->push.to_port));	/* sin6_port lies at the same place */
	memcpy(order.token, msg->push.token, sizeof(order.token));
	code = push_start(session, &order, &number);
	explicit_bzero(order.token, sizeof(order.token));
	if (code)
		reject(conn, msg, code, number);
}

void donor_pushed(const struct push_order *order, unsigned int code, uint64_t number)
{
	union farswap_msg answer;

	if (code) {
		send_reject(order->conn, FARSWAP_MSG_PUSH, order->id, code, number);
		return;
	}
	farswap_msg_make(&answer, FARSWAP_MSG_PUSHED, order->id);
	answer.push.session = htole64(order->session);
	answer.push.slab = htole64(order->slab->number);
	answer.push.offset = htole64(order->offset);
	answer.push.bytes = htole64(order->bytes);
	chan_send(order->conn->chan, &answer);
}

static bool differs(const struct slab *slab, const struct farswap_msg_sum *sum)
{
	const uint8_t *at = slab->data + (size_t)le32toh(sum->frame) * FARSWAP_FRAME_BYTES + le16toh(sum->offset);

	return fsw_crc32c(~0u, at, le16toh(sum->length)) != le32toh(sum->sum);
}

static void on_check(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->check.session));
	struct slab *slab = session ? find_slab(conn, msg, session, le64toh(msg->check.slab)) : NULL;
	uint32_t i, n = le32toh(msg->check.n);
	union farswap_msg answer;

	if (!slab)
		return;
	farswap_msg_make(&answer, FARSWAP_MSG_CHECKED, le32toh(msg->head.id));
	answer.checked.session = msg->check.session;
	answer.checked.slab = msg->check.slab;
	answer.checked.n = msg->check.n;
	for (i = 0; i < n; i++) {
		if (le32toh(msg->check.sums[i].frame) >= slab->bytes / FARSWAP_FRAME_BYTES) {
			reject(conn, msg, FARSWAP_REJECT_RANGE, slab->bytes);
			return;
		}
		if (differs(slab, &msg->check.sums[i]))
			answer.checked.differ[i / 8] |= (uint8_t)(1u << i % 8);
	}
	if (slab->poisoned) {	/* what differs here may be right at all others: see poison.h */
		reject(conn, msg, FARSWAP_REJECT_NO_SLAB, slab->number);
		return;
	}
	chan_send(conn->chan, &answer);
}

/* for PONGs: clients ask many times a second, and the kernel's numbers cost a file to read */
static uint32_t recent_room(void)
{
	static uint64_t until_ns;
	static uint32_t room;
	uint64_t now = farswap_now_ns();

	if (now >= until_ns) {
		room = donor_room();
		until_ns = now + ROOM_NS;
	}
	return room;
}

static void on_ping(struct donor_conn *conn, const union farswap_msg *msg)
{
	union farswap_msg answer;

	farswap_msg_make(&answer, FARSWAP_MSG_PONG, le32toh(msg->head.id));
	answer.ping.room = htole32(drained ? 0 : recent_room());
	answer.ping.lent = htole32(slab_count());
	answer.ping.flags = htole32((drained ? FARSWAP_PONG_DRAINED : 0) | (lender_asks(conn->client) ? FARSWAP_PONG_SHORT : 0));
	chan_send(conn->chan, &answer);
}

static void on_close(struct donor_conn *conn, const union farswap_msg *msg)
{
	struct session *session = find_session(conn, msg, le64toh(msg->session.session));

	if (!session)
		return;
	session->closer = conn;
	session->closer_id = le32toh(msg->head.id);
	session_close(session, "asked by the client");
}

void donor_closed(struct donor_conn *conn, uint32_t id, uint64_t session)
{
	union farswap_msg answer;

	farswap_msg_make(&answer, FARSWAP_MSG_CLOSED, id);
	answer.session.session = htole64(session);
	chan_send(conn->chan, &answer);
}

static struct quota_rate *rate_of(const char *client)
{
	uint32_t first = fsw_crc32c(0, client, strlen(client)), i;
	struct client_rate *oldest = NULL;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		struct client_rate *rate = &rates[(first + i) % ARRAY_SIZE(rates)];

		if (!strcmp(rate->client, client))
			return &rate->rate;
		if (!oldest || rate->rate.second_ns < oldest->rate.second_ns)
			oldest = rate;
		if (!rate->client[0])
			break;
	}
	memset(oldest, 0, sizeof(*oldest));
	strcpy(oldest->client, client);
	return &oldest->rate;
}

/* Nothing is refused or lost for that: what is too much waits where it is, and its sender with it. */
static void count_request(struct donor_conn *conn)
{
	uint64_t wait_ns = quota_take(rate_of(conn->client), conn->heard_ns, farswap_conf_quota(&farswapd.conf, conn->client).requests);

	if (wait_ns)
		chan_pause(conn->chan, wait_ns);
}

static void conn_message(struct chan *chan, const union farswap_msg *msg, enum farswap_msg_verdict verdict, void *arg)
{
	struct donor_conn *conn = arg;
	unsigned int type = le16toh(msg->head.type);

	sd_event_source_set_time_relative(conn->silence, SILENCE_LIMIT);
	conn->heard_ns = farswap_now_ns();
	count_request(conn);
	if (conn->greeted != (type != FARSWAP_MSG_HELLO)) {
		chan_fail(chan, DROPPED_ORDER, false, conn->greeted ? "second HELLO" : "no HELLO first");
		return;
	}
	switch (type) {
	case FARSWAP_MSG_HELLO:
		on_hello(conn, msg, verdict);
		break;
	case FARSWAP_MSG_OPEN:
		on_open(conn, msg);
		break;
	case FARSWAP_MSG_TOKEN:
		on_token(conn, msg);
		break;
	case FARSWAP_MSG_GRANT:
		on_grant(conn, msg);
		break;
	case FARSWAP_MSG_PING:
		on_ping(conn, msg);
		break;
	case FARSWAP_MSG_CLOSE:
		on_close(conn, msg);
		break;
	case FARSWAP_MSG_REJOIN:
		on_rejoin(conn, msg);
		break;
	case FARSWAP_MSG_RELEASE:
		on_release(conn, msg);
		break;
	case FARSWAP_MSG_LIST:
		on_list(conn, msg);
		break;
	case FARSWAP_MSG_ACTIVITY:
		on_activity(conn, msg);
		break;
	case FARSWAP_MSG_LOCATE:
		on_locate(conn, msg);
		break;
	case FARSWAP_MSG_PUSH:
		on_push(conn, msg);
		break;
	case FARSWAP_MSG_CHECK:
		on_check(conn, msg);
		break;
	default:
		chan_fail(chan, DROPPED_ORDER, false, "sends an answer that nobody asked for");
	}
}

static void conn_free(struct donor_conn *conn)
{
	struct donor_conn **p = &conns;

	while (*p != conn)
		p = &(*p)->next;
	*p = conn->next;
	push_conn_gone(conn);
	session_conn_gone(conn);
	sd_event_source_disable_unref(conn->silence);
	free(conn);
}

static void conn_closed(struct chan *chan, const char *why, enum dropped_cause cause, bool clean, void *arg)
{
	struct donor_conn *conn = arg;
	char who[128];

	if (!clean) {
		snprintf(who, sizeof(who), "%s (%s)", conn->client, chan_peer(chan));
		dropped_add(cause, who, why);
	}
	conn_free(conn);
}

static const struct chan_ops conn_ops = {
	.message	= conn_message,
	.closed		= conn_closed,
};

static int on_silence(sd_event_source *source, uint64_t usec, void *arg)
{
	struct donor_conn *conn = arg;

	(void)source;
	(void)usec;
	chan_fail(conn->chan, DROPPED_TIMEOUT, conn->greeted, conn->greeted ? "silent for too long" : "no HELLO in time");
	return 0;
}

/* client NULL: of all */
static unsigned int count_conns(const char *client)
{
	struct donor_conn *conn;
	unsigned int n = 0;

	for (conn = conns; conn; conn = conn->next)
		n += !client || !strcmp(conn->client, client);
	return n;
}

bool donor_client(const char *name, struct donor_client *client)
{
	const struct quota_rate *rate = rate_of(name);

	*client = (struct donor_client) {
		.quota = farswap_conf_quota(&farswapd.conf, name),
		.use = session_use(name),
		.requests = quota_recent(rate, farswap_now_ns()),
		.held = rate->held,
	};
	return client->use.slabs || client->use.queue_pairs || count_conns(name);
}

static void refused_closed(struct chan *chan, const char *why, enum dropped_cause cause, bool clean, void *arg)
{
	(void)clean;
	(void)arg;
	dropped_add(cause, chan_peer(chan), why);
}

static void refused_message(struct chan *chan, const union farswap_msg *msg, enum farswap_msg_verdict verdict, void *arg)
{
	(void)chan;
	(void)msg;
	(void)verdict;
	(void)arg;
}

static const struct chan_ops refused_ops = {
	.message	= refused_message,
	.closed		= refused_closed,
};

void donor_welcome(struct chan *chan, const char *name)
{
	struct donor_conn *conn;

	if (!name || count_conns(NULL) >= CONNS_MAX || count_conns(name) >= CONNS_PER_CLIENT || !(conn = calloc(1, sizeof(*conn)))) {
		chan_hand_over(chan, &refused_ops, NULL);
		chan_fail(chan, DROPPED_ORDER, false, "too many connections of this node");
		return;
	}
	conn->chan = chan;
	farswap_name_copy(conn->client, name);
	conn->next = conns;
	conns = conn;
	chan_hand_over(chan, &conn_ops, conn);
	if (farswapd_timer(&conn->silence, HELLO_LIMIT, on_silence, conn) < 0)
		chan_fail(chan, DROPPED_ORDER, true, "out of memory");
}

void donor_exit(void)
{
	drain_end = sd_event_source_disable_unref(drain_end);
	while (conns) {
		struct chan *chan = conns->chan;

		conn_free(conns);
		chan_drop(chan);
	}
}
