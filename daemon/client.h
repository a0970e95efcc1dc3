/* SPDX-License-Identifier: GPL-2.0 */
/* A blocking client of the control channel, for `farswap check` and the tests; the daemon's own is link.c. */
#ifndef FARSWAP_CLIENT_H
#define FARSWAP_CLIENT_H

#include <gnutls/gnutls.h>

#include "key.h"
#include "msg.h"
#include "util.h"

struct client {
	int fd;
	gnutls_session_t tls;
	char why[200];		/* after a failure: the end of a sentence "node b: ..." */
};

/* from may be NULL; every step waits at most that long. 0 or -1 */
int client_connect(struct client *client, const union farswap_addr *to, const union farswap_addr *from, int timeout_ms);
int client_handshake(struct client *client, const char *name, const uint8_t key[FARSWAP_KEY_BYTES]);
int client_send(struct client *client, const void *data, size_t bytes);
/* one message through the gate; OTHER_VERSION is returned as 1 with the message filled in; 0 good, -1 not */
int client_receive(struct client *client, union farswap_msg *msg);
/* send a request and take its answer; a REJECT of it is 0 too */
int client_ask(struct client *client, union farswap_msg *msg, union farswap_msg *answer);
/* HELLO as this node, checked; -1 also when it is refused */
int client_hello(struct client *client, const char *name, uint64_t slab_bytes, unsigned int version, union farswap_msg *answer);
void client_close(struct client *client);

#endif
