/* SPDX-License-Identifier: GPL-2.0 */
/* The donor's side of the control channel: the requests of authenticated clients. */
#ifndef FARSWAP_DONOR_H
#define FARSWAP_DONOR_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "session.h"

struct chan;
struct donor_conn;

/* a client's quota, and what it has of it */
struct donor_client {
	struct farswap_quota quota;
	struct session_use use;
	uint32_t requests;		/* in the last second */
	uint64_t held;			/* times that it was made to wait */
};

/* a peer whose handshake is done; takes the channel over. name: its proven identity */
void donor_welcome(struct chan *chan, const char *name);
/* tell that the session asked to be closed is gone */
void donor_closed(struct donor_conn *conn, uint32_t id, uint64_t session);
/* the answer to a PUSH: code 0, or an enum farswap_reject with its number */
struct push_order;
void donor_pushed(const struct push_order *order, unsigned int code, uint64_t number);
/* slabs that could be granted now */
uint32_t donor_room(void);
/* lend nothing more, and tell all clients to move what they have here; or no longer */
/* seconds: then, if all is not moved, it lends again; 0: no such time */
void donor_drain(bool on, uint64_t seconds);
bool donor_drained(void);
/* false: the client has nothing here, and is not connected */
bool donor_client(const char *name, struct donor_client *client);
/* drop all clients' connections; sessions are session_close_all()'s */
void donor_exit(void);

#endif
