/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Donor side: a part of a slab is written to another donor's slab, over a queue pair that this daemon connects in the
 * session's protection domain to the other's RDMA listener. There it is one of the client's session, by its token.
 * One PUSH at a time per queue pair. Nothing here blocks, and every PUSH taken ends in one donor_pushed(), unless its
 * control connection is gone. The queue pair stays for the next PUSH, until the session or the control
 * connection ends or none came for a while.
 */
#ifndef FARSWAP_PUSH_H
#define FARSWAP_PUSH_H

#include <stdbool.h>

#include "farswap_wire.h"
#include "util.h"

struct donor_conn;
struct session;
struct slab;

struct push_order {
	struct donor_conn *conn;	/* whom to answer */
	uint32_t id;
	uint64_t session;
	struct slab *slab;
	uint64_t offset, bytes;
	union farswap_addr to;
	uint64_t to_session, remote;
	uint32_t rkey;
	uint8_t token[FARSWAP_TOKEN_BYTES];
};

/* 0: taken, donor_pushed() is called; else an enum farswap_reject with its number */
unsigned int push_start(struct session *session, const struct push_order *order, uint64_t *number);
/* queue pairs to other donors; session NULL: of all */
unsigned int push_count(const struct session *session);
/* is some of it being pushed? */
bool push_reads(const struct slab *slab);
/* nothing reads its slabs any more when this returns; what was being pushed is answered */
void push_session_gone(struct session *session);
void push_conn_gone(struct donor_conn *conn);
void push_exit(void);

#endif
