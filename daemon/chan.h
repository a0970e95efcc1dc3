/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One end of a control channel: a socket, its TLS session, and whole messages that passed the gate. Never
 * blocks. Everything that goes wrong ends in one call of ->closed from the event loop, never from inside
 * another chan_ call; the channel is freed right after it.
 */
#ifndef FARSWAP_CHAN_H
#define FARSWAP_CHAN_H

#include <stdbool.h>

#include "dropped.h"
#include "msg.h"
#include "util.h"

struct chan;

struct chan_ops {
	/* the TLS handshake is done; server side: name is the peer's proven identity */
	void (*ready)(struct chan *chan, const char *name, void *arg);
	/*
	 * One message, already through farswap_msg_check(). verdict is GOOD, or OTHER_VERSION for a HELLO or
	 * WELCOME, of which only the version may then be used.
	 */
	void (*message)(struct chan *chan, const union farswap_msg *msg, enum farswap_msg_verdict verdict, void *arg);
	/* over; why is the end of a sentence "peer: ...". cause is for the accepting side's counts; clean: not a fault */
	void (*closed)(struct chan *chan, const char *why, enum dropped_cause cause, bool clean, void *arg);
};

/* takes the accepted, non-blocking fd also on failure; NULL: out of memory */
struct chan *chan_accept(int fd, const union farswap_addr *peer, const struct chan_ops *ops, void *arg);
/* connects from this node's address; NULL with errno */
struct chan *chan_connect(const union farswap_addr *to, const struct chan_ops *ops, void *arg);

void chan_send(struct chan *chan, const union farswap_msg *msg);
/* nothing more is read for so long: what the peer sends waits in its sockets. For ->message. */
void chan_pause(struct chan *chan, uint64_t ns);
/* close after what was sent is out (or a second has passed) */
void chan_finish(struct chan *chan, const char *why);
/* close now; ->closed comes from the loop */
void chan_fail(struct chan *chan, enum dropped_cause cause, bool clean, const char *why);
/* close now without a call of ->closed; chan is gone */
void chan_drop(struct chan *chan);

const char *chan_peer(const struct chan *chan);
bool chan_is_ready(const struct chan *chan);
/* another owner hears of it from now on; allowed inside ->ready */
void chan_hand_over(struct chan *chan, const struct chan_ops *ops, void *arg);

#endif
