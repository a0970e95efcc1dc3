/* SPDX-License-Identifier: GPL-2.0 */
/* Control peers dropped for what they sent or failed to send: counted by cause, said aloud at a limited rate. */
#ifndef FARSWAP_DROPPED_H
#define FARSWAP_DROPPED_H

#include <stdint.h>

enum dropped_cause {
	DROPPED_HANDSHAKE,	/* no TLS, or closed before it was done */
	DROPPED_KEY,		/* other key or unknown name */
	DROPPED_TIMEOUT,	/* handshake or HELLO took too long */
	DROPPED_CROWD,		/* too many not yet authenticated: the oldest goes */
	DROPPED_MESSAGE,	/* authenticated, but a message did not pass the gate */
	DROPPED_ORDER,		/* authenticated, but out of order, too much, or under another's name */
	DROPPED_CAUSES
};

void dropped_add(enum dropped_cause cause, const char *who, const char *why);
uint64_t dropped_count(enum dropped_cause cause);
const char *dropped_name(enum dropped_cause cause);

#endif
