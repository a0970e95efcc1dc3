// SPDX-License-Identifier: GPL-2.0
#include "client.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "tls.h"
#include "unique.h"

static int fail(struct client *client, const char *why)
{
	snprintf(client->why, sizeof(client->why), "%s", why);
	return -1;
}

static int wait_connected(struct client *client, int timeout_ms)
{
	struct pollfd p = { .fd = client->fd, .events = POLLOUT };
	int error = 0;
	socklen_t bytes = sizeof(error);

	if (poll(&p, 1, timeout_ms) != 1)
		return fail(client, "no answer (connection timed out)");
	if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) || error)
		return fail(client, strerror(error ? error : errno));
	return 0;
}

int client_connect(struct client *client, const union farswap_addr *to, const union farswap_addr *from, int timeout_ms)
{
	struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	union farswap_addr own;
	int flags;

	memset(client, 0, sizeof(*client));
	client->fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		return fail(client, strerror(errno));
	if (from && from->sa.sa_family == to->sa.sa_family) {
		own = *from;
		own.in.sin_port = 0;
		if (bind(client->fd, &own.sa, farswap_addr_bytes(&own)))
			return fail(client, strerror(errno));
	}
	if (connect(client->fd, &to->sa, farswap_addr_bytes(to)) && errno != EINPROGRESS)
		return fail(client, strerror(errno));
	if (wait_connected(client, timeout_ms))
		return -1;
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	flags = fcntl(client->fd, F_GETFL);
	fcntl(client->fd, F_SETFL, flags & ~O_NONBLOCK);
	return 0;
}

int client_handshake(struct client *client, const char *name, const uint8_t key[FARSWAP_KEY_BYTES])
{
	int ret;

	client->tls = farswap_tls_client(client->fd, name, key);
	if (!client->tls)
		return fail(client, "out of memory");
	do
		ret = gnutls_handshake(client->tls);
	while (ret == GNUTLS_E_INTERRUPTED);
	if (ret == GNUTLS_E_AGAIN)
		return fail(client, "no answer (TLS handshake timed out)");
	return ret < 0 ? fail(client, farswap_tls_why(client->tls, ret)) : 0;
}

int client_send(struct client *client, const void *data, size_t bytes)
{
	const char *p = data;
	ssize_t n;

	while (bytes) {
		n = gnutls_record_send(client->tls, p, bytes);
		if (n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n < 0)
			return fail(client, "connection lost");
		p += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int receive_exactly(struct client *client, void *data, size_t bytes)
{
	char *p = data;
	ssize_t n;

	while (bytes) {
		n = gnutls_record_recv(client->tls, p, bytes);
		if (n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n == GNUTLS_E_AGAIN)
			return fail(client, "no answer in time");
		if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION || n == GNUTLS_E_PULL_ERROR)
			return fail(client, "closed the connection");
		if (n < 0)
			return fail(client, farswap_tls_why(client->tls, (int)n));
		p += n;
		bytes -= (size_t)n;
	}
	return 0;
}

int client_receive(struct client *client, union farswap_msg *msg)
{
	enum farswap_msg_verdict verdict;
	size_t bytes;

	memset(msg, 0, sizeof(*msg));
	if (receive_exactly(client, &msg->head, sizeof(msg->head)))
		return -1;
	verdict = farswap_msg_check_head(msg, &bytes);
	if (verdict)
		return fail(client, farswap_msg_verdict_text(verdict));
	if (receive_exactly(client, (char *)msg + sizeof(msg->head), bytes - sizeof(msg->head)))
		return -1;
	verdict = farswap_msg_check(msg, bytes);
	if (verdict == FARSWAP_MSG_OTHER_VERSION)
		return 1;
	return verdict ? fail(client, farswap_msg_verdict_text(verdict)) : 0;
}

int client_ask(struct client *client, union farswap_msg *msg, union farswap_msg *answer)
{
	int ret;

	if (client_send(client, msg, le32toh(msg->head.bytes)))
		return -1;
	ret = client_receive(client, answer);
	if (ret)
		return ret;
	if (answer->head.id != msg->head.id ||
	    !farswap_msg_answers(le16toh(msg->head.type), le16toh(answer->head.type)))
		return fail(client, "sends an answer that nobody asked for");
	return 0;
}

int client_hello(struct client *client, const char *name, uint64_t slab_bytes, unsigned int version, union farswap_msg *answer)
{
	union farswap_msg msg;
	char why[160];
	int ret;

	farswap_msg_make(&msg, FARSWAP_MSG_HELLO, 1);
	msg.hello.version = htole16((uint16_t)version);
	msg.hello.page_bytes = htole32(FARSWAP_FRAME_BYTES);
	msg.hello.slab_bytes = htole64(slab_bytes);
	msg.hello.incarnation = htole64(farswap_unique());
	farswap_name_copy(msg.hello.name, name);
	if (farswap_boot_id(msg.hello.boot_id))
		return fail(client, "no boot id of this host");
	ret = client_ask(client, &msg, answer);
	if (ret < 0)
		return -1;
	if (ret == 1)
		return fail(client, farswap_reject_say(FARSWAP_REJECT_VERSION, le16toh(answer->hello.version),
						       why, sizeof(why)));
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT)
		return fail(client, farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number),
						       why, sizeof(why)));
	return 0;
}

void client_close(struct client *client)
{
	if (client->tls)
		gnutls_bye(client->tls, GNUTLS_SHUT_WR);
	farswap_tls_free(client->tls);
	if (client->fd >= 0)
		close(client->fd);
	client->tls = NULL;
	client->fd = -1;
}
