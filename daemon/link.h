/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The client's end of the control channel to one other node. While wanted it connects, greets, pings at each
 * heartbeat, and connects again after it broke. Whoever waits for a change hears of it by device_kick(). A node that
 * leaves heartbeats unanswered is silent: told, no more; the data channel has its own signs of life.
 */
#ifndef FARSWAP_LINK_H
#define FARSWAP_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "conf.h"
#include "msg.h"

#define LINK_REQUESTS_MAX	128

struct chan;

enum link_state {
	LINK_OFF,		/* not wanted */
	LINK_CONNECTING,	/* TCP, TLS, HELLO */
	LINK_READY,		/* WELCOME came */
	LINK_BROKEN,		/* why says why; tried again now and then */
};

/* answer: of the type asked for, or REJECT; NULL: the link broke, link->why says how */
struct link;
typedef void (*link_answer)(struct link *link, const union farswap_msg *answer, void *arg);

struct link_request {
	uint32_t id;			/* 0: free */
	uint16_t type;
	uint64_t until_ns;
	link_answer answer;
	void *arg;
};

struct link {
	struct farswap_node *node;
	enum link_state state;
	char why[200];
	struct chan *chan;
	sd_event_source *timer;
	uint32_t last_id;
	uint64_t incarnation;		/* of the daemon there */
	uint32_t room;			/* slabs it could grant, as it last said */
	uint32_t lent;			/* slabs it has lent to anybody, as it last said */
	bool is_short;			/* of memory, as it last said: it may ask for slabs */
	bool drained;			/* it wants all back that it has lent, as it last said */
	bool pinging;			/* a PING is not answered yet */
	unsigned int missed;		/* heartbeats since it was sent */
	uint64_t heard_ns;		/* when its last message came */
	struct link_request requests[LINK_REQUESTS_MAX];
};

void link_init(void);
void link_exit(void);
struct link *link_of(const struct farswap_node *node);
/* how long it has been silent; 0: it is not */
uint64_t link_silent_ns(const struct link *link);
/* ready, and answers */
bool link_is_well(const struct link *link);
void link_start(struct link *link);
void link_stop(struct link *link);
/* false when the link is not ready or too much is in the air; then answer() is not called */
bool link_request(struct link *link, union farswap_msg *msg, link_answer answer, void *arg);

#endif
