// SPDX-License-Identifier: GPL-2.0
#include "link.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "device.h"
#include "farswapd.h"
#include "log.h"

#define SILENT_AFTER	3	/* heartbeats */
#define RETRY_EVERY	SECONDS(2)
#define HELLO_LIMIT	SECONDS(5)
#define SILENCE_NS	20000000000ull	/* without a message while one is awaited: its loop may be registering or zeroing a slab */
#define ANSWER_NS	300000000000ull	/* for one answer while others come: a session's slabs may be zeroed before it */

static struct link links[FARSWAP_NODES_MAX];
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

static int on_timer(sd_event_source *source, uint64_t usec, void *arg);

void link_init(void)
{
	unsigned int i;

	for (i = 0; i < FARSWAP_NODES_MAX; i++)
		links[i].node = &farswapd.conf.nodes[i];
}

struct link *link_of(const struct farswap_node *node)
{
	return &links[node - farswapd.conf.nodes];
}

/* hand NULL to whoever waits */
static void fail_requests(struct link *link)
{
	unsigned int i;

	for (i = 0; i < LINK_REQUESTS_MAX; i++) {
		struct link_request request = link->requests[i];

		if (!request.id)
			continue;
		link->requests[i].id = 0;
		if (request.answer)
			request.answer(link, NULL, request.arg);
	}
}

static void broken(struct link *link, const char *why)
{
	if (link->state == LINK_READY)
		farswap_log("node %s: control connection lost: %s", link->node->name, why);
	snprintf(link->why, sizeof(link->why), "%s", why);
	link->state = LINK_BROKEN;
	link->chan = NULL;
	fail_requests(link);
	farswapd_timer(&link->timer, RETRY_EVERY, on_timer, link);
	device_kick();
}

static void give_up(struct link *link, const char *why)
{
	struct chan *chan = link->chan;

	broken(link, why);
	chan_drop(chan);
}

bool link_request(struct link *link, union farswap_msg *msg, link_answer answer, void *arg)
{
	unsigned int i;

	if (!link->chan || !chan_is_ready(link->chan))
		return false;
	for (i = 0; i < LINK_REQUESTS_MAX && link->requests[i].id; i++)
		;
	if (i == LINK_REQUESTS_MAX)
		return false;
	if (!++link->last_id)
		link->last_id = 1;
	link->requests[i] = (struct link_request) {
		.id = link->last_id,
		.type = le16toh(msg->head.type),
		.until_ns = farswap_now_ns() + ANSWER_NS,
		.answer = answer,
		.arg = arg,
	};
	msg->head.id = htole32(link->last_id);
	chan_send(link->chan, msg);
	return true;
}

uint64_t link_silent_ns(const struct link *link)
{
	return link->state == LINK_READY && link->missed >= SILENT_AFTER ? farswap_now_ns() - link->heard_ns : 0;
}

bool link_is_well(const struct link *link)
{
	return link->state == LINK_READY && link->missed < SILENT_AFTER;
}

static void set_heard(struct link *link)
{
	link->pinging = false;
	link->missed = 0;
	link->heard_ns = farswap_now_ns();
}

static void on_pong(struct link *link, const union farswap_msg *answer, void *arg)
{
	uint64_t silent = link_silent_ns(link);

	(void)arg;
	if (!answer || le16toh(answer->head.type) != FARSWAP_MSG_PONG)
		return;
	link->room = le32toh(answer->ping.room);
	link->lent = le32toh(answer->ping.lent);
	if (link->is_short != (bool)(le32toh(answer->ping.flags) & FARSWAP_PONG_SHORT)) {
		link->is_short = !link->is_short;
		device_poll_soon();	/* it waits to be told */
	}
	set_heard(link);
	if (link->drained != (bool)(le32toh(answer->ping.flags) & FARSWAP_PONG_DRAINED)) {
		link->drained = !link->drained;
		farswap_log("node %s: %s", link->node->name, link->drained ? "is being drained" : "is not being drained any more");
		device.unsettled = true;
		device_kick();
	}
	if (!silent)
		return;
	farswap_log_limited(&limit, "node %s: answers again after %.1f s", link->node->name, (double)silent / 1e9);
	device_kick();
}

static bool any_late(const struct link *link)
{
	uint64_t now = farswap_now_ns();
	unsigned int i;

	for (i = 0; i < LINK_REQUESTS_MAX; i++)
		if (link->requests[i].id && (link->requests[i].until_ns < now || link->heard_ns + SILENCE_NS < now))
			return true;
	return false;
}

static uint64_t heartbeat_us(void)
{
	return (uint64_t)farswapd.conf.heartbeat_ms * 1000;
}

static void miss(struct link *link)
{
	if (++link->missed == SILENT_AFTER)
		farswap_log_limited(&limit, "node %s: silent: %u heartbeats of %u ms not answered", link->node->name,
				    SILENT_AFTER, farswapd.conf.heartbeat_ms);
}

/* due: when it should have been; when this loop itself was held up, the answer may be there and not read */
static void beat(struct link *link, uint64_t due_us)
{
	union farswap_msg msg;

	if (any_late(link)) {
		give_up(link, "does not answer");
		return;
	}
	farswap_msg_make(&msg, FARSWAP_MSG_PING, 0);
	if (!link->pinging)
		link->pinging = link_request(link, &msg, on_pong, NULL);
	else if (farswap_now_ns() / 1000 < due_us + heartbeat_us())
		miss(link);
	farswapd_timer(&link->timer, heartbeat_us(), on_timer, link);
}

static void on_welcome(struct link *link, const union farswap_msg *answer, void *arg)
{
	char why[160];

	(void)arg;
	if (!answer)
		return;
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number), why, sizeof(why));
		give_up(link, why);
		return;
	}
	if (strcmp(answer->hello.name, link->node->name)) {
		snprintf(why, sizeof(why), "calls itself '%s'", answer->hello.name);
		give_up(link, why);
		return;
	}
	if (le64toh(answer->hello.slab_bytes) != farswapd.conf.slab_bytes ||
	    le32toh(answer->hello.page_bytes) != FARSWAP_FRAME_BYTES) {
		give_up(link, "agrees to another slab or page size than asked for");
		return;
	}
	link->state = LINK_READY;
	if (link->incarnation != le64toh(answer->hello.incarnation)) {
		link->lent = 0;
		link->drained = false;
		link->is_short = false;
	}
	link->incarnation = le64toh(answer->hello.incarnation);
	link->room = le32toh(answer->hello.room);
	link->why[0] = 0;
	set_heard(link);
	farswapd_timer(&link->timer, heartbeat_us(), on_timer, link);
	device_kick();
}

static void link_ready(struct chan *chan, const char *name, void *arg)
{
	struct link *link = arg;
	union farswap_msg msg;

	(void)chan;
	(void)name;
	farswap_msg_make(&msg, FARSWAP_MSG_HELLO, 0);
	msg.hello.version = htole16(FARSWAP_WIRE_VERSION);
	msg.hello.page_bytes = htole32(FARSWAP_FRAME_BYTES);
	msg.hello.slab_bytes = htole64(farswapd.conf.slab_bytes);
	msg.hello.incarnation = htole64(farswapd.incarnation);
	memcpy(msg.hello.boot_id, farswapd.boot_id, sizeof(msg.hello.boot_id));
	farswap_name_copy(msg.hello.name, farswapd.self->name);
	link_request(link, &msg, on_welcome, NULL);
	farswapd_timer(&link->timer, HELLO_LIMIT, on_timer, link);
}

static void link_message(struct chan *chan, const union farswap_msg *msg, enum farswap_msg_verdict verdict, void *arg)
{
	struct link *link = arg;
	struct link_request request;
	unsigned int i, type = le16toh(msg->head.type);
	uint32_t id = le32toh(msg->head.id);
	char why[100];

	(void)chan;
	if (verdict == FARSWAP_MSG_OTHER_VERSION) {
		farswap_reject_say(FARSWAP_REJECT_VERSION, le16toh(msg->hello.version), why, sizeof(why));
		give_up(link, why);
		return;
	}
	for (i = 0; i < LINK_REQUESTS_MAX; i++)
		if (link->requests[i].id == id)
			break;
	if (!id || i == LINK_REQUESTS_MAX || !farswap_msg_answers(link->requests[i].type, type) ||
	    (type == FARSWAP_MSG_REJECT && le16toh(msg->reject.type) != link->requests[i].type)) {
		give_up(link, "sends an answer that nobody asked for");
		return;
	}
	request = link->requests[i];
	link->requests[i].id = 0;
	if (request.answer)
		request.answer(link, msg, request.arg);
	link->heard_ns = farswap_now_ns();	/* after on_pong(), which tells how long it was not */
}

static void link_closed(struct chan *chan, const char *why, enum dropped_cause cause, bool clean, void *arg)
{
	(void)chan;
	(void)cause;
	(void)clean;
	broken(arg, why);
}

static const struct chan_ops link_ops = {
	.ready		= link_ready,
	.message	= link_message,
	.closed		= link_closed,
};

static void connect_now(struct link *link)
{
	link->state = LINK_CONNECTING;
	link->chan = chan_connect(&link->node->addr, &link_ops, link);
	if (!link->chan)
		broken(link, strerror(errno));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct link *link = arg;

	(void)source;
	if (link->state == LINK_READY)
		beat(link, usec);
	else if (link->state == LINK_BROKEN)
		connect_now(link);
	else if (link->state == LINK_CONNECTING)
		give_up(link, "no answer to HELLO");
	return 0;
}

void link_start(struct link *link)
{
	if (link->state != LINK_OFF)
		return;
	link->why[0] = 0;
	link->room = link->lent = 0;
	link->is_short = link->drained = false;
	connect_now(link);
}

void link_stop(struct link *link)
{
	struct chan *chan = link->chan;

	if (link->state == LINK_OFF)
		return;
	link->state = LINK_OFF;
	link->chan = NULL;
	farswapd_timer_stop(link->timer);
	fail_requests(link);
	chan_drop(chan);
}

void link_exit(void)
{
	unsigned int i;

	for (i = 0; i < farswapd.conf.n_nodes; i++) {
		link_stop(&links[i]);
		links[i].timer = sd_event_source_disable_unref(links[i].timer);
	}
}
