// SPDX-License-Identifier: GPL-2.0
#include "donor_world.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chan.h"
#include "device.h"
#include "donor.h"
#include "farswapd.h"
#include "favour.h"
#include "lender.h"
#include "log.h"
#include "push.h"
#include "rdma.h"
#include "unique.h"

#define TIMERS	16

struct queue {			/* as much of it as is needed here */
	struct queue *next;
	struct session *session;
};

struct farswapd farswapd;
uint64_t now, paused_ns;
struct farswap_lease_word page;
unsigned int n_slabs, zeroed, words, n_queues, n_pushes, revoked_early;
bool stuck;
union farswap_msg answer;

struct timer {
	sd_event_time_handler_t handler;
	void *arg;
};

static struct timer timers[TIMERS];
static unsigned int n_timers;
static sd_event_time_handler_t look;	/* at leases: the one timer that is no session's, and sets itself */
static struct ibv_pd domain;
static struct ibv_mr region;
static const struct chan_ops *conn_ops;

/* --- what session.c and donor.c are linked with --- */

int farswapd_timer(sd_event_source **source, uint64_t usec, sd_event_time_handler_t handler, void *arg)
{
	(void)usec;
	if (!arg) {
		look = handler;
		return 0;
	}
	assert_true(n_timers < TIMERS);
	*source = (sd_event_source *)&timers[n_timers];
	timers[n_timers].handler = handler;
	timers[n_timers++].arg = arg;
	return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source)
{
	if (source)
		*(struct timer *)source = (struct timer) { 0 };
	return NULL;
}

void farswap_log(const char *format, ...)
{
	(void)format;
}

struct ibv_context *rdma_verbs(void)
{
	return NULL;
}

uint64_t __wrap_farswap_now_ns(void);
uint64_t __wrap_farswap_now_ns(void)
{
	return now;
}

int word_create(struct word *word, struct ibv_pd *pd)
{
	(void)pd;
	page = (struct farswap_lease_word) { 0 };
	word->at = &page;
	words++;
	return 0;
}

struct farswap_lease_word word_read(const struct word *word)
{
	return *word->at;
}

void word_free(struct word *word)
{
	words -= word->at != NULL;
	word->at = NULL;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	(void)context;
	return &domain;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	(void)pd;
	return 0;
}

void rdma_queue_destroy(struct queue *queue)
{
	queue->session->queues = queue->next;
	queue->session->n_queues--;
	n_queues--;
	free(queue);
}

void push_session_gone(struct session *session)
{
	(void)session;
}

uint64_t farswap_unique(void)
{
	static uint64_t last;

	return ++last;
}

void word_set(struct word *word, uint64_t count)
{
	word->at->count = htole64(count);
}

struct slab *slab_restore(struct ibv_pd *pd, size_t bytes, uint32_t place)
{
	(void)place;
	return slab_create(pd, bytes);
}

void slab_leave(struct slab *slab)
{
	free(slab);
	n_slabs--;
}

struct slab *slab_create(struct ibv_pd *pd, size_t bytes)
{
	struct slab *slab = calloc(1, sizeof(*slab));

	(void)pd;
	slab->bytes = bytes;
	slab->number = farswap_unique();
	slab->mr = &region;
	n_slabs++;
	return slab;
}

int slab_revoke(struct slab *slab)
{
	if (stuck)
		return -EBUSY;
	revoked_early += n_queues > 0;
	slab->mr = NULL;
	return 0;
}

void slab_free(struct slab *slab)
{
	assert_null(slab->mr);	/* a late WRITE would land in what is zeroed and used again */
	free(slab);
	n_slabs--;
	zeroed++;
}

unsigned int push_count(const struct session *session)
{
	(void)session;
	return n_pushes;
}

bool push_reads(const struct slab *slab)
{
	(void)slab;
	return false;
}

unsigned int push_start(struct session *session, const struct push_order *order, uint64_t *number)
{
	(void)session;
	(void)order;
	*number = 0;
	return FARSWAP_REJECT_BUSY;
}

void push_conn_gone(struct donor_conn *conn)
{
	(void)conn;
}

uint32_t slab_count(void)
{
	return n_slabs;
}

uint64_t slab_memory_room(size_t bytes, uint64_t reserve, uint64_t *free_mib)
{
	(void)bytes;
	(void)reserve;
	if (free_mib)
		*free_mib = 1000;
	return 1000;
}

int rdma_ready(void)
{
	return 0;
}

int rdma_last_error(void)
{
	return 0;
}

bool device_exists(void)
{
	return false;
}

void favour_asked(void)
{
}

uint32_t lender_room(void)
{
	return 1000;
}

bool lender_asks(const char *client)
{
	(void)client;
	return false;
}

void lender_told(struct session *session, const struct farswap_msg_activity *told, union farswap_msg *to)
{
	(void)session;
	(void)told;
	(void)to;
}

void dropped_add(enum dropped_cause cause, const char *who, const char *why)
{
	(void)cause;
	(void)who;
	(void)why;
}

void farswap_log_limited(struct farswap_log_limit *limit, const char *format, ...)
{
	(void)limit;
	(void)format;
}

void farswapd_timer_stop(sd_event_source *source)
{
	(void)source;
}

int sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec)
{
	(void)source;
	(void)usec;
	return 0;
}

/* --- a control channel: its chan is the donor's end --- */

struct chan {
	void *arg;
};

void chan_hand_over(struct chan *chan, const struct chan_ops *ops, void *arg)
{
	conn_ops = ops;
	chan->arg = arg;
}

void chan_send(struct chan *chan, const union farswap_msg *msg)
{
	(void)chan;
	answer = *msg;
}

void chan_pause(struct chan *chan, uint64_t ns)
{
	(void)chan;
	paused_ns = ns;
}

void chan_fail(struct chan *chan, enum dropped_cause cause, bool clean, const char *why)
{
	(void)cause;
	conn_ops->closed(chan, why, DROPPED_ORDER, clean, chan->arg);
}

void chan_finish(struct chan *chan, const char *why)
{
	(void)chan;
	fail_msg("%s", why);
}

void chan_drop(struct chan *chan)
{
	(void)chan;
}

const char *chan_peer(const struct chan *chan)
{
	(void)chan;
	return "10.0.0.1";
}

/* every timer that was set runs out, and those that they set */
void hours_pass(void)
{
	unsigned int i;

	for (i = 0; i < n_timers; i++)
		if (timers[i].handler)
			timers[i].handler(NULL, 0, timers[i].arg);
	n_timers = 0;
}

/* of the donor's clock, with looks at the leases */
void pass(unsigned int seconds)
{
	while (seconds--) {
		now += 1000000000;
		look(NULL, 0, NULL);
	}
}

void renew(uint64_t count)
{
	page.count = htole64(count);
	page.check = ~page.count;
}

void connect_queue(struct session *session)
{
	struct queue *queue = calloc(1, sizeof(*queue));

	queue->session = session;
	queue->next = session->queues;
	session->queues = queue;
	session->n_queues++;
	n_queues++;
}

struct chan *connect_client(const char *name)
{
	struct chan *chan = calloc(1, sizeof(*chan));
	union farswap_msg msg;

	donor_welcome(chan, name);
	farswap_msg_make(&msg, FARSWAP_MSG_HELLO, 1);
	msg.hello.page_bytes = htole32(FARSWAP_FRAME_BYTES);
	msg.hello.slab_bytes = htole64(farswapd.conf.slab_bytes);
	farswap_name_copy(msg.hello.name, name);
	tell(chan, &msg);
	return chan;
}

unsigned int tell(struct chan *chan, const union farswap_msg *msg)
{
	paused_ns = 0;
	memset(&answer, 0, sizeof(answer));
	conn_ops->message(chan, msg, FARSWAP_MSG_GOOD, chan->arg);
	return le16toh(answer.head.type);
}

void hang_up(struct chan *chan)
{
	conn_ops->closed(chan, "closed the connection", DROPPED_HANDSHAKE, true, chan->arg);
	free(chan);
}
