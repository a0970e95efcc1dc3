// SPDX-License-Identifier: GPL-2.0
#include "tls.h"

#include <stdlib.h>
#include <string.h>

#include "msg.h"

/* GnuTLS binds an external key with SHA-256, so only the suites of that hash are offered */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK:" \
	"-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-FFDHE2048"

static gnutls_psk_server_credentials_t server_cred;
static gnutls_priority_t priority;
static uint8_t cluster_key[FARSWAP_KEY_BYTES];
static bool (*is_known)(const char *name);

static int give_key(gnutls_session_t session, const char *name, gnutls_datum_t *key)
{
	(void)session;
	if (!farswap_name_ok(name) || !is_known || !is_known(name))
		return -1;
	key->data = gnutls_malloc(FARSWAP_KEY_BYTES);
	if (!key->data)
		return -1;
	memcpy(key->data, cluster_key, FARSWAP_KEY_BYTES);
	key->size = FARSWAP_KEY_BYTES;
	return 0;
}

int farswap_tls_init(const uint8_t key[FARSWAP_KEY_BYTES], bool (*known)(const char *name))
{
	int ret;

	memcpy(cluster_key, key, FARSWAP_KEY_BYTES);
	is_known = known;
	ret = gnutls_priority_init(&priority, PRIORITY, NULL);
	if (ret < 0) {
		priority = NULL;
		return ret;
	}
	ret = gnutls_psk_allocate_server_credentials(&server_cred);
	if (ret < 0)
		return ret;
	gnutls_psk_set_server_credentials_function(server_cred, give_key);
	return 0;
}

void farswap_tls_exit(void)
{
	if (server_cred)
		gnutls_psk_free_server_credentials(server_cred);
	if (priority)
		gnutls_priority_deinit(priority);
	server_cred = NULL;
	priority = NULL;
	explicit_bzero(cluster_key, sizeof(cluster_key));
}

static gnutls_session_t new_session(int fd, unsigned int flags)
{
	gnutls_session_t session;

	if (gnutls_init(&session, flags | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS) < 0)
		return NULL;
	if (gnutls_priority_set(session, priority) < 0) {
		gnutls_deinit(session);
		return NULL;
	}
	gnutls_transport_set_int(session, fd);
	return session;
}

gnutls_session_t farswap_tls_server(int fd)
{
	gnutls_session_t session = new_session(fd, GNUTLS_SERVER);

	if (session && gnutls_credentials_set(session, GNUTLS_CRD_PSK, server_cred) < 0) {
		gnutls_deinit(session);
		return NULL;
	}
	return session;
}

gnutls_session_t farswap_tls_client(int fd, const char *name, const uint8_t key[FARSWAP_KEY_BYTES])
{
	gnutls_psk_client_credentials_t cred;
	gnutls_datum_t datum = { .data = (uint8_t *)key, .size = FARSWAP_KEY_BYTES };
	gnutls_session_t session = new_session(fd, GNUTLS_CLIENT);

	if (!session)
		return NULL;
	if (gnutls_psk_allocate_client_credentials(&cred) < 0)
		goto err;
	if (gnutls_psk_set_client_credentials(cred, name, &datum, GNUTLS_PSK_KEY_RAW) < 0 ||
	    gnutls_credentials_set(session, GNUTLS_CRD_PSK, cred) < 0) {
		gnutls_psk_free_client_credentials(cred);
		goto err;
	}
	gnutls_session_set_ptr(session, cred);	/* freed with the session */
	return session;
err:
	gnutls_deinit(session);
	return NULL;
}

void farswap_tls_free(gnutls_session_t session)
{
	gnutls_psk_client_credentials_t cred;

	if (!session)
		return;
	cred = gnutls_session_get_ptr(session);
	gnutls_deinit(session);
	if (cred)
		gnutls_psk_free_client_credentials(cred);
}

const char *farswap_tls_peer_name(gnutls_session_t session)
{
	return gnutls_psk_server_get_username(session);
}

bool farswap_tls_is_key_error(gnutls_session_t session, int error)
{
	gnutls_alert_description_t alert;

	if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		alert = gnutls_alert_get(session);
		return alert == GNUTLS_A_ILLEGAL_PARAMETER || alert == GNUTLS_A_DECRYPT_ERROR ||
		       alert == GNUTLS_A_UNKNOWN_PSK_IDENTITY || alert == GNUTLS_A_BAD_RECORD_MAC ||
		       alert == GNUTLS_A_ACCESS_DENIED || alert == GNUTLS_A_HANDSHAKE_FAILURE;
	}
	return error == GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER || error == GNUTLS_E_DECRYPTION_FAILED ||
	       error == GNUTLS_E_INSUFFICIENT_CREDENTIALS || error == GNUTLS_E_NO_CIPHER_SUITES;
}

const char *farswap_tls_why(gnutls_session_t session, int error)
{
	if (farswap_tls_is_key_error(session, error))
		return "wrong key: the two nodes hold different keys, or one does not know the other";
	if (error == GNUTLS_E_PREMATURE_TERMINATION || error == GNUTLS_E_PULL_ERROR || error == GNUTLS_E_PUSH_ERROR)
		return "connection closed during the TLS handshake";
	if (error == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return gnutls_alert_get_name(gnutls_alert_get(session));
	return gnutls_strerror(error);
}
