/* SPDX-License-Identifier: GPL-2.0 */
/* What a donor's session.c and donor.c are linked with in tests: slabs, queue pairs, leases and control channels that are only counted, and a clock. */
#ifndef FARSWAP_DONOR_WORLD_H
#define FARSWAP_DONOR_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"
#include "session.h"

struct chan;

extern uint64_t now;
extern struct farswap_lease_word page;
extern unsigned int n_slabs, zeroed, words, n_queues;
extern unsigned int n_pushes;		/* queue pairs to other donors, of each session */
extern unsigned int revoked_early;	/* regions, while there were queue pairs */
extern bool stuck;			/* regions cannot be revoked */
extern union farswap_msg answer;	/* the donor's last; all 0: there was none */
extern uint64_t paused_ns;		/* for so long the donor reads nothing more after the last message */

/* every timer that was set runs out, and those that they set */
void hours_pass(void);
/* of the donor's clock, with looks at the leases */
void pass(unsigned int seconds);
void renew(uint64_t count);
void connect_queue(struct session *session);
/* a control connection of the client's, greeted */
struct chan *connect_client(const char *name);
/* a message to the donor; the type of its answer, 0: there was none */
unsigned int tell(struct chan *chan, const union farswap_msg *msg);
void hang_up(struct chan *chan);

#endif
