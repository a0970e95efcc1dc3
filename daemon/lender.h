/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A donor's memory: looked at each second, and when the kernel tells of pressure. What is done about it is lend.h's to say, and to which slabs evict.h's:
 * how much is offered, which slabs their owners are asked to move, and which they are to give up at once. It is they who do: a donor that revoked by
 * itself could take the last good copy together with another that does the same.
 */
#ifndef FARSWAP_LENDER_H
#define FARSWAP_LENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "lend.h"
#include "msg.h"

struct session;

/* 0 or -errno */
int lender_init(void);
/* the marks and what this node lends at most, as cluster.conf has them now; 0 or -errno */
int lender_conf(void);
void lender_exit(void);
/* slabs that may be lent now, for all that memory says */
uint32_t lender_room(void);
/* that client is to tell how active its slabs are: memory is short, or some of it that it has failed in hardware */
bool lender_asks(const char *client);
enum lend_state lender_state(void);
/* slabs that their owners are asked for and have not moved yet; urgent: of these, those to be given up at once */
uint32_t lender_asked(bool urgent);
/* what an owner tells of its slabs; answer gets those of them that it is asked for */
void lender_told(struct session *session, const struct farswap_msg_activity *told, union farswap_msg *answer);

#endif
