// SPDX-License-Identifier: GPL-2.0
#include "listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "chan.h"
#include "donor.h"
#include "farswapd.h"
#include "log.h"

#define STRANGERS_MAX	16	/* connections that have not proved to hold the key */

static int listener = -1;
static sd_event_source *source;
static struct chan *strangers[STRANGERS_MAX];	/* oldest first */
static unsigned int n_strangers;

static void forget(struct chan *chan)
{
	unsigned int i;

	for (i = 0; i < n_strangers && strangers[i] != chan; i++)
		;
	if (i == n_strangers)
		return;
	memmove(&strangers[i], &strangers[i + 1], (n_strangers - i - 1) * sizeof(strangers[0]));
	n_strangers--;
}

static void stranger_ready(struct chan *chan, const char *name, void *arg)
{
	(void)arg;
	forget(chan);
	donor_welcome(chan, name);
}

static void stranger_message(struct chan *chan, const union farswap_msg *msg, enum farswap_msg_verdict verdict,
			     void *arg)
{
	(void)msg;
	(void)verdict;
	(void)arg;
	chan_fail(chan, DROPPED_ORDER, false, "message before the handshake");
}

static void stranger_closed(struct chan *chan, const char *why, enum dropped_cause cause, bool clean, void *arg)
{
	(void)clean;	/* whoever leaves before the handshake is done was no peer */
	(void)arg;
	forget(chan);
	dropped_add(cause, chan_peer(chan), why);
}

static const struct chan_ops stranger_ops = {
	.ready		= stranger_ready,
	.message	= stranger_message,
	.closed		= stranger_closed,
};

static int on_connection(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	union farswap_addr peer;
	socklen_t bytes = sizeof(peer);
	struct chan *chan;
	int conn;

	(void)s;
	(void)events;
	(void)arg;
	memset(&peer, 0, sizeof(peer));
	conn = accept4(fd, &peer.sa, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (conn < 0)
		return 0;
	if (n_strangers == STRANGERS_MAX) {
		/* an honest handshake takes milliseconds: who waits longest is the least likely one */
		chan_fail(strangers[0], DROPPED_CROWD, false, "too many connections that have not proved to hold the key");
		forget(strangers[0]);
	}
	chan = chan_accept(conn, &peer, &stranger_ops, NULL);
	if (chan)
		strangers[n_strangers++] = chan;
	return 0;
}

int listen_init(void)
{
	union farswap_addr *addr = &farswapd.self->addr;
	int one = 1, ret;

	listener = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return -errno;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6)
		setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(listener, &addr->sa, farswap_addr_bytes(addr)) || listen(listener, 64)) {
		ret = -errno;
		close(listener);
		listener = -1;
		return ret;
	}
	return sd_event_add_io(farswapd.loop, &source, listener, EPOLLIN, on_connection, NULL);
}

void listen_exit(void)
{
	while (n_strangers) {
		struct chan *chan = strangers[0];

		forget(chan);
		chan_drop(chan);
	}
	source = sd_event_source_disable_unref(source);
	if (listener >= 0)
		close(listener);
}
