/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLS 1.3 with an external pre-shared key and ephemeral Diffie-Hellman; the identity is the node's name. Any
 * holder of the cluster's key can claim any node's name: the key separates the cluster from the rest of the
 * network, not its nodes from each other.
 */
#ifndef FARSWAP_TLS_H
#define FARSWAP_TLS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "key.h"

/* to be called once before the others; known(name) tells whether a node of this name may connect */
int farswap_tls_init(const uint8_t key[FARSWAP_KEY_BYTES], bool (*known)(const char *name));
void farswap_tls_exit(void);

/* The socket stays the caller's, blocking or not. NULL when out of memory. */
gnutls_session_t farswap_tls_server(int fd);
gnutls_session_t farswap_tls_client(int fd, const char *name, const uint8_t key[FARSWAP_KEY_BYTES]);
void farswap_tls_free(gnutls_session_t session);

/* server, after the handshake: the name that the peer proved to hold the key under; NULL: none */
const char *farswap_tls_peer_name(gnutls_session_t session);
/* what a failed handshake says about the other side, as the end of a sentence "peer b: ..." */
const char *farswap_tls_why(gnutls_session_t session, int error);
/* does the error mean that the two sides hold different keys (or a name is not known)? */
bool farswap_tls_is_key_error(gnutls_session_t session, int error);

#endif
