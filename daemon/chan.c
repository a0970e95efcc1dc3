// SPDX-License-Identifier: GPL-2.0
#include "chan.h"

#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "farswapd.h"
#include "log.h"
#include "tls.h"

#define HANDSHAKE_LIMIT		SECONDS(5)
#define FINISH_LIMIT		SECONDS(1)
#define OUT_BYTES		16384	/* a peer that does not read that much is dropped */

enum chan_state {
	CHAN_CONNECTING,	/* TCP */
	CHAN_HANDSHAKE,		/* TLS */
	CHAN_READY,		/* messages pass */
	CHAN_FINISHING,		/* nothing is read any more, the rest is sent */
	CHAN_DEAD,		/* ->closed is due */
};

struct chan {
	enum chan_state state;
	bool server;
	int fd;
	gnutls_session_t tls;
	const struct chan_ops *ops;
	void *arg;
	sd_event_source *io, *timer, *end;
	char peer[64];
	char why[160];
	enum dropped_cause cause;
	bool clean;
	bool paused;			/* nothing is read before the timer */
	bool busy;			/* inside a callback: freeing waits */
	bool dropped;			/* chan_drop() during it */
	uint8_t in[FARSWAP_MSG_BYTES_MAX];
	size_t in_bytes;
	size_t in_want;			/* head first, then the whole frame */
	uint8_t out[OUT_BYTES];
	size_t out_bytes;
	bool out_pending;		/* gnutls holds the first part of out */
};

static void chan_free(struct chan *chan)
{
	sd_event_source_disable_unref(chan->io);
	sd_event_source_disable_unref(chan->timer);
	sd_event_source_disable_unref(chan->end);
	farswap_tls_free(chan->tls);
	if (chan->fd >= 0)
		close(chan->fd);
	explicit_bzero(chan->in, sizeof(chan->in));
	explicit_bzero(chan->out, sizeof(chan->out));
	free(chan);
}

static int chan_end(sd_event_source *source, void *arg)
{
	struct chan *chan = arg;

	(void)source;
	chan->busy = true;
	chan->ops->closed(chan, chan->why, chan->cause, chan->clean, chan->arg);
	chan_free(chan);
	return 0;
}

void chan_fail(struct chan *chan, enum dropped_cause cause, bool clean, const char *why)
{
	if (chan->state == CHAN_DEAD)
		return;
	chan->state = CHAN_DEAD;
	chan->cause = cause;
	chan->clean = clean;
	if (why)	/* NULL: as chan_finish() said */
		snprintf(chan->why, sizeof(chan->why), "%s", why);
	sd_event_source_set_enabled(chan->io, SD_EVENT_OFF);
	sd_event_source_set_enabled(chan->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(chan->end, SD_EVENT_ONESHOT);
}

void chan_drop(struct chan *chan)
{
	if (!chan)
		return;
	if (chan->busy) {
		chan->dropped = true;
		chan_fail(chan, DROPPED_ORDER, true, "closed here");
		sd_event_source_set_enabled(chan->end, SD_EVENT_OFF);
		return;
	}
	chan_free(chan);
}

/* without events the source is off: epoll would tell of a lost connection again and again */
static void watch(struct chan *chan, uint32_t events)
{
	sd_event_source_set_io_events(chan->io, events);
	sd_event_source_set_enabled(chan->io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void watch_ready(struct chan *chan)
{
	watch(chan, (chan->state == CHAN_READY && !chan->paused ? EPOLLIN : 0) | (chan->out_bytes ? EPOLLOUT : 0));
}

static void come_again(struct chan *chan, uint64_t usec)
{
	sd_event_source_set_time_relative(chan->timer, usec);
	sd_event_source_set_enabled(chan->timer, SD_EVENT_ONESHOT);
}

/* send what is queued; what the socket does not take is sent when it is writable */
static void flush(struct chan *chan)
{
	ssize_t n;

	while (chan->out_bytes) {
		if (chan->out_pending)
			n = gnutls_record_send(chan->tls, NULL, 0);
		else
			n = gnutls_record_send(chan->tls, chan->out, chan->out_bytes);
		chan->out_pending = n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED;
		if (n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n == GNUTLS_E_AGAIN)
			break;
		if (n < 0) {
			chan_fail(chan, DROPPED_HANDSHAKE, true, "connection lost while sending");
			return;
		}
		memmove(chan->out, chan->out + n, chan->out_bytes - (size_t)n);
		chan->out_bytes -= (size_t)n;
	}
	if (chan->state == CHAN_FINISHING && !chan->out_bytes) {
		gnutls_bye(chan->tls, GNUTLS_SHUT_WR);
		chan_fail(chan, chan->cause, true, NULL);
		return;
	}
	watch_ready(chan);
}

void chan_send(struct chan *chan, const union farswap_msg *msg)
{
	size_t bytes = le32toh(msg->head.bytes);

	if (chan->state != CHAN_READY)
		return;
	if (chan->out_bytes + bytes > sizeof(chan->out)) {
		chan_fail(chan, DROPPED_ORDER, false, "does not read its answers");
		return;
	}
	memcpy(chan->out + chan->out_bytes, msg, bytes);
	chan->out_bytes += bytes;
	flush(chan);
}

void chan_finish(struct chan *chan, const char *why)
{
	if (chan->state != CHAN_READY)
		return;
	chan->state = CHAN_FINISHING;
	snprintf(chan->why, sizeof(chan->why), "%s", why);
	come_again(chan, FINISH_LIMIT);
	flush(chan);
}

void chan_pause(struct chan *chan, uint64_t ns)
{
	if (chan->state != CHAN_READY)
		return;
	chan->paused = true;
	come_again(chan, ns / 1000 + 1);
	watch_ready(chan);
}

/* a whole frame is there */
static void deliver(struct chan *chan)
{
	enum farswap_msg_verdict verdict = farswap_msg_check(chan->in, chan->in_bytes);
	union farswap_msg msg;

	if (verdict && verdict != FARSWAP_MSG_OTHER_VERSION) {
		chan_fail(chan, DROPPED_MESSAGE, false, farswap_msg_verdict_text(verdict));
		return;
	}
	memset(&msg, 0, sizeof(msg));
	memcpy(&msg, chan->in, chan->in_bytes);
	chan->in_bytes = 0;
	chan->in_want = sizeof(struct farswap_msg_head);
	chan->ops->message(chan, &msg, verdict, chan->arg);
}

/* the head is there: is the rest worth reading? */
static bool look_at_head(struct chan *chan)
{
	enum farswap_msg_verdict verdict = farswap_msg_check_head(chan->in, &chan->in_want);

	if (verdict)
		chan_fail(chan, DROPPED_MESSAGE, false, farswap_msg_verdict_text(verdict));
	return !verdict;
}

/* one message a turn: others want theirs too, and the answer to one may take registering a slab */
static void receive(struct chan *chan)
{
	ssize_t n;

	while (chan->state == CHAN_READY) {
		n = gnutls_record_recv(chan->tls, chan->in + chan->in_bytes, chan->in_want - chan->in_bytes);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			return;
		if (n == 0 && !chan->in_bytes) {
			chan_fail(chan, DROPPED_HANDSHAKE, true, "closed the connection");
			return;
		}
		if (n == GNUTLS_E_PREMATURE_TERMINATION && !chan->in_bytes) {
			chan_fail(chan, DROPPED_HANDSHAKE, true, "connection lost");
			return;
		}
		if (n == GNUTLS_E_PULL_ERROR) {
			chan_fail(chan, DROPPED_HANDSHAKE, true, "connection reset");
			return;
		}
		if (n <= 0) {
			bool key = n < 0 && farswap_tls_is_key_error(chan->tls, (int)n);

			/* TLS 1.3: a client hears of its wrong key after its own handshake is done */
			chan_fail(chan, key ? DROPPED_KEY : DROPPED_MESSAGE, false,
				  n ? farswap_tls_why(chan->tls, (int)n) : "closed in the middle of a message");
			return;
		}
		chan->in_bytes += (size_t)n;
		if (chan->in_bytes < chan->in_want)
			continue;
		if (chan->in_want == sizeof(struct farswap_msg_head)) {
			if (!look_at_head(chan))
				return;
			if (chan->in_bytes < chan->in_want)
				continue;
		}
		deliver(chan);
		break;
	}
	/* epoll does not know of bytes inside gnutls: come again without waiting */
	if (chan->state == CHAN_READY && !chan->paused && gnutls_record_check_pending(chan->tls))
		come_again(chan, 0);
}

static void handshake(struct chan *chan)
{
	int ret;

	do
		ret = gnutls_handshake(chan->tls);
	while (ret == GNUTLS_E_INTERRUPTED || ret == GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (ret == GNUTLS_E_AGAIN) {
		watch(chan, gnutls_record_get_direction(chan->tls) ? EPOLLOUT : EPOLLIN);
		return;
	}
	if (ret < 0) {
		bool key = farswap_tls_is_key_error(chan->tls, ret);
		const char *why = farswap_tls_why(chan->tls, ret);

		gnutls_alert_send_appropriate(chan->tls, ret);
		chan_fail(chan, key ? DROPPED_KEY : DROPPED_HANDSHAKE, false, why);
		return;
	}
	chan->state = CHAN_READY;
	sd_event_source_set_enabled(chan->timer, SD_EVENT_OFF);
	watch(chan, EPOLLIN);
	chan->ops->ready(chan, chan->server ? farswap_tls_peer_name(chan->tls) : NULL, chan->arg);
	if (chan->state == CHAN_READY)
		receive(chan);
}

static void connected(struct chan *chan)
{
	int error = 0;
	socklen_t bytes = sizeof(error);

	if (getsockopt(chan->fd, SOL_SOCKET, SO_ERROR, &error, &bytes))
		error = errno;
	if (error) {
		chan_fail(chan, DROPPED_HANDSHAKE, false, strerror(error));
		return;
	}
	chan->state = CHAN_HANDSHAKE;
	handshake(chan);
}

static int chan_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct chan *chan = arg;

	(void)source;
	(void)fd;
	chan->busy = true;
	if (chan->state == CHAN_CONNECTING) {
		connected(chan);
	} else if (chan->state == CHAN_HANDSHAKE) {
		handshake(chan);
	} else {
		if (events & EPOLLOUT)
			flush(chan);
		if (chan->state == CHAN_READY && !chan->paused && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			receive(chan);
		else if (chan->state == CHAN_FINISHING && events & (EPOLLHUP | EPOLLERR))
			chan_fail(chan, chan->cause, true, NULL);
	}
	chan->busy = false;
	if (chan->dropped)
		chan_free(chan);
	return 0;
}

static void go_on(struct chan *chan)
{
	chan->paused = false;
	watch_ready(chan);
	receive(chan);
}

static int chan_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct chan *chan = arg;

	(void)source;
	(void)usec;
	chan->busy = true;
	if (chan->state == CHAN_READY)
		go_on(chan);
	else if (chan->state == CHAN_FINISHING)
		chan_fail(chan, chan->cause, true, NULL);
	else
		chan_fail(chan, DROPPED_TIMEOUT, false, chan->state == CHAN_CONNECTING ?
			  "no answer (connection timed out)" : "no answer (TLS handshake timed out)");
	chan->busy = false;
	if (chan->dropped)
		chan_free(chan);
	return 0;
}

/* takes fd */
static struct chan *chan_new(int fd, const union farswap_addr *peer, bool server, const struct chan_ops *ops, void *arg)
{
	struct chan *chan = calloc(1, sizeof(*chan));
	int one = 1;

	if (!chan) {
		close(fd);
		return NULL;
	}
	chan->fd = fd;
	chan->server = server;
	chan->ops = ops;
	chan->arg = arg;
	chan->in_want = sizeof(struct farswap_msg_head);
	chan->state = server ? CHAN_HANDSHAKE : CHAN_CONNECTING;
	snprintf(chan->peer, sizeof(chan->peer), "%s", farswap_addr_text(peer));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	chan->tls = server ? farswap_tls_server(fd) : farswap_tls_client(fd, farswapd.self->name, farswapd.key);
	if (!chan->tls ||
	    sd_event_add_io(farswapd.loop, &chan->io, fd, server ? EPOLLIN : EPOLLOUT, chan_io, chan) < 0 ||
	    farswapd_timer(&chan->timer, HANDSHAKE_LIMIT, chan_timer, chan) < 0 ||
	    sd_event_add_defer(farswapd.loop, &chan->end, chan_end, chan) < 0) {
		chan_free(chan);
		errno = ENOMEM;
		return NULL;
	}
	sd_event_source_set_enabled(chan->end, SD_EVENT_OFF);
	return chan;
}

struct chan *chan_accept(int fd, const union farswap_addr *peer, const struct chan_ops *ops, void *arg)
{
	return chan_new(fd, peer, true, ops, arg);
}

struct chan *chan_connect(const union farswap_addr *to, const struct chan_ops *ops, void *arg)
{
	union farswap_addr from = farswapd.self->addr;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	from.in.sin_port = 0;
	/* from the address that the others know this node by */
	if (from.sa.sa_family == to->sa.sa_family && bind(fd, &from.sa, farswap_addr_bytes(&from)))
		goto err;
	if (connect(fd, &to->sa, farswap_addr_bytes(to)) && errno != EINPROGRESS)
		goto err;
	return chan_new(fd, to, false, ops, arg);
err:
	close(fd);
	return NULL;
}

const char *chan_peer(const struct chan *chan)
{
	return chan->peer;
}

bool chan_is_ready(const struct chan *chan)
{
	return chan->state == CHAN_READY;
}

void chan_hand_over(struct chan *chan, const struct chan_ops *ops, void *arg)
{
	chan->ops = ops;
	chan->arg = arg;
}
