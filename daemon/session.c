// SPDX-License-Identifier: GPL-2.0
#include "session.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "donor.h"
#include "farswapd.h"
#include "log.h"
#include "msg.h"
#include "push.h"
#include "rdma.h"
#include "stall.h"
#include "unique.h"
#include "util.h"

#define TOKEN_LIFE_NS	60000000000ull	/* a client's kernel tries to connect for up to 17 s */

static struct session *sessions;
static uint64_t lease_ns;
static sd_event_source *looking;

static void add_slab(struct session *session, struct slab *slab)
{
	slab->next = session->slabs;
	session->slabs = slab;
	session->n_slabs++;
}

static unsigned int count_sessions(const char *client)
{
	struct session *session;
	unsigned int n = 0;

	for (session = sessions; session; session = session->next)
		if (!client || !strcmp(session->client, client))
			n++;
	return n;
}

static struct session *make(const char *client, const uint8_t boot_id[16], uint64_t number)
{
	struct session *session;
	int ret;

	if (count_sessions(NULL) >= SESSIONS_MAX || count_sessions(client) >= SESSIONS_PER_CLIENT) {
		errno = EBUSY;
		return NULL;
	}
	session = calloc(1, sizeof(*session));
	if (!session)
		return NULL;
	session->pd = ibv_alloc_pd(rdma_verbs());
	if (!session->pd) {
		free(session);
		return NULL;
	}
	ret = lease_ns ? word_create(&session->word, session->pd) : 0;
	if (ret) {
		ibv_dealloc_pd(session->pd);
		free(session);
		errno = -ret;
		return NULL;
	}
	lease_start(&session->lease, farswap_now_ns());
	session->number = number;
	farswap_name_copy(session->client, client);
	memcpy(session->boot_id, boot_id, sizeof(session->boot_id));
	farswap_stall("session open");
	session->next = sessions;
	sessions = session;
	return session;
}

struct session *session_open(struct donor_conn *conn, const char *client, const uint8_t boot_id[16])
{
	struct session *session = make(client, boot_id, farswap_unique());

	if (session)
		session->conn = conn;
	return session;
}

/* the lease counts anew: nobody can write the word before the client has rejoined; and not from 0, as if it was set back */
static struct session *restore(const struct state_session *state)
{
	struct session *session = make(state->client, state->boot_id, le64toh(state->number));

	if (!session)
		return NULL;
	session->lease.count = le64toh(state->lease_count);
	if (session->word.at)
		word_set(&session->word, session->lease.count);
	return session;
}

/* one of which memory failed in hardware cannot be registered again: it is not there any more, and its owner makes another copy */
static int restore_slab(struct session *session, const struct state_slab *state, uint64_t bytes)
{
	struct slab *slab = slab_restore(session->pd, bytes, le32toh(state->place));

	if (!slab && errno == EFAULT) {
		farswap_log("session of %s: slab %llu (extent %llu) is not taken over: its memory cannot be used any more", session->client,
			    (unsigned long long)le64toh(state->number), (unsigned long long)le64toh(state->extent));
		return 0;
	}
	if (!slab)
		return -errno;
	slab->number = le64toh(state->number);
	slab->incarnation = le64toh(state->incarnation);
	slab->extent = le64toh(state->extent);
	slab->generation = le32toh(state->generation);
	add_slab(session, slab);
	return 0;
}

int session_restore(const struct state_session *state, uint64_t bytes)
{
	struct session *session = restore(state);
	uint32_t i;
	int ret = session ? 0 : -errno;

	for (i = 0; i < le32toh(state->slabs) && !ret; i++)
		ret = restore_slab(session, &state_slabs(state)[i], bytes);
	if (!ret)
		return 0;
	farswap_log("session of %s: not taken over: %s", state->client, strerror(-ret));
	if (session)
		session_close(session, "not all of its slabs could be taken over");
	return ret;
}

struct session *session_find(uint64_t number, const char *client)
{
	struct session *session;

	for (session = sessions; session; session = session->next)
		if (session->number == number && session->state == SESSION_OPEN &&
		    (!client || !strcmp(session->client, client)))
			return session;
	return NULL;
}

struct session *session_next(struct session *after)
{
	return after ? after->next : sessions;
}

/* a free place for one; NULL: there is none. valid: tokens that are good still */
static struct session_token *look_at_tokens(struct session *session, unsigned int *valid)
{
	uint64_t now = farswap_now_ns();
	struct session_token *t, *spare = NULL;

	*valid = 0;
	for (t = session->tokens; t < session->tokens + SESSION_QUEUES_MAX; t++) {
		if (t->until_ns > now)
			++*valid;
		else
			spare = t;
	}
	return spare;
}

struct session_use session_use(const char *client)
{
	struct session_use use = { 0 };
	struct session *session;
	unsigned int valid;

	for (session = sessions; session; session = session->next) {
		if (strcmp(session->client, client))
			continue;
		use.slabs += session->n_slabs;
		use.queue_pairs += session->n_queues + push_count(session);
		look_at_tokens(session, &valid);
		if (session->state == SESSION_OPEN)	/* else they open nothing */
			use.queue_pairs += valid;
	}
	return use;
}

int session_new_token(struct session *session, uint8_t token[FARSWAP_TOKEN_BYTES])
{
	unsigned int valid;
	struct session_token *spare = look_at_tokens(session, &valid);

	if (!spare || valid + session->n_queues >= SESSION_QUEUES_MAX)
		return -EBUSY;
	if (getrandom(spare->token, sizeof(spare->token), 0) != sizeof(spare->token))
		return -EIO;
	spare->until_ns = farswap_now_ns() + TOKEN_LIFE_NS;
	memcpy(token, spare->token, sizeof(spare->token));
	return 0;
}

struct session *session_take_token(uint64_t number, const uint8_t token[FARSWAP_TOKEN_BYTES])
{
	struct session *session = session_find(number, NULL);
	uint64_t now = farswap_now_ns();
	struct session_token *t;

	if (!session || session->n_queues >= SESSION_QUEUES_MAX)
		return NULL;
	for (t = session->tokens; t < session->tokens + SESSION_QUEUES_MAX; t++) {
		if (t->until_ns <= now || !farswap_equal_secret(t->token, token, sizeof(t->token)))
			continue;
		memset(t, 0, sizeof(*t));
		return session;
	}
	return NULL;
}

struct slab *session_grant(struct session *session, uint64_t extent, uint32_t generation, uint64_t bytes)
{
	struct slab *slab = slab_create(session->pd, bytes);

	if (!slab)
		return NULL;
	slab->extent = extent;
	slab->generation = generation;
	add_slab(session, slab);
	return slab;
}

struct slab *session_slab(struct session *session, uint64_t number)
{
	struct slab *slab;

	for (slab = session->slabs; slab; slab = slab->next)
		if (slab->number == number)
			return slab;
	return NULL;
}

uint64_t session_slab_after(const struct session *session, uint64_t number)
{
	const struct slab *slab;
	uint64_t next = 0;

	for (slab = session->slabs; slab; slab = slab->next)
		if (slab->number > number && (!next || slab->number < next))
			next = slab->number;
	return next;
}

struct slab *session_granted(struct session *session, uint64_t extent, uint32_t generation)
{
	struct slab *slab;

	for (slab = session->slabs; slab; slab = slab->next)
		if (slab->extent == extent && slab->generation == generation)
			return slab;
	return NULL;
}

int session_release(struct session *session, struct slab *slab)
{
	struct slab **p = &session->slabs;
	int ret = slab_revoke(slab);

	if (ret)
		return ret;
	farswap_stall("slab released");
	while (*p != slab)
		p = &(*p)->next;
	*p = slab->next;
	session->n_slabs--;
	slab_free(slab);
	return 0;
}

/* the client's, those of other donors to it, and its own to other donors */
static void destroy_queues(struct session *session)
{
	push_session_gone(session);
	while (session->queues)
		rdma_queue_destroy(session->queues);
}

void session_rejoin(struct session *session)
{
	farswap_stall("session rejoining");
	destroy_queues(session);
	explicit_bzero(session->tokens, sizeof(session->tokens));
	lease_start(&session->lease, farswap_now_ns());
}

static void unlink_session(struct session *session)
{
	struct session **p = &sessions;

	while (*p != session)
		p = &(*p)->next;
	*p = session->next;
}

/* the kernel refuses to let a protection domain go while a queue pair or a region is in it: what that succeeds for nobody can write to */
bool session_fence(struct session *session)
{
	struct slab *slab;

	destroy_queues(session);
	word_free(&session->word);
	for (slab = session->slabs; slab; slab = slab->next)
		slab_revoke(slab);
	if (ibv_dealloc_pd(session->pd))
		return false;
	session->pd = NULL;
	return true;
}

void session_leave(struct session *session)
{
	struct slab *slab;

	while ((slab = session->slabs)) {
		session->slabs = slab->next;
		slab_leave(slab);
	}
	unlink_session(session);
	explicit_bzero(session->tokens, sizeof(session->tokens));
	free(session);
}

static void session_free(struct session *session)
{
	int ret = session->pd ? ibv_dealloc_pd(session->pd) : 0;

	if (ret)
		farswap_log("session of %s: protection domain not released: %s", session->client, strerror(ret));
	farswap_log("session of %s: released", session->client);
	if (session->closer)
		donor_closed(session->closer, session->closer_id, session->number);
	sd_event_source_disable_unref(session->zeroing);
	farswap_stall("session free");
	unlink_session(session);
	explicit_bzero(session->tokens, sizeof(session->tokens));
	free(session);
}

static void zero_one(struct session *session)
{
	struct slab *slab = session->slabs;

	session->slabs = slab->next;
	session->n_slabs--;
	slab_free(slab);
}

/* one slab per turn: others' messages are answered in between. A timer: a defer source would always go first. */
static int zero_next(sd_event_source *source, uint64_t usec, void *arg)
{
	struct session *session = arg;

	(void)source;
	(void)usec;
	if (session->slabs)
		zero_one(session);
	if (session->slabs)
		return farswapd_timer(&session->zeroing, 0, zero_next, session);
	session_free(session);
	return 0;
}

/* every region, before any of the memory is touched; what cannot be revoked is lost to us rather than reused */
static void revoke_all(struct session *session)
{
	struct slab **p = &session->slabs;
	int ret;

	while (*p) {
		struct slab *slab = *p;

		ret = slab_revoke(slab);
		if (!ret) {
			p = &slab->next;
			continue;
		}
		farswap_log("session of %s: slab %#llx cannot be revoked (%s): its memory is kept out of use until farswapd ends",
			    session->client, (unsigned long long)slab->number, strerror(-ret));
		*p = slab->next;
		session->n_slabs--;
	}
}

void session_close(struct session *session, const char *why)
{
	if (session->state == SESSION_CLOSING)
		return;
	farswap_log("session of %s: closing with %u slabs and %u queue pairs: %s", session->client, session->n_slabs,
		    session->n_queues, why);
	farswap_stall("session closing");
	session->state = SESSION_CLOSING;
	session->conn = NULL;
	destroy_queues(session);
	farswap_stall("session revoking");
	word_free(&session->word);
	revoke_all(session);
	if (farswapd_timer(&session->zeroing, 0, zero_next, session) >= 0)
		return;
	while (session->slabs)
		zero_one(session);
	session_free(session);
}

void session_check_alive(struct session *session)
{
	if (session->state == SESSION_OPEN && !session->conn && !session->n_queues && !session->slabs)
		session_close(session, "its control connection and all its queue pairs are gone, and it has no slabs");
}

void session_conn_gone(struct donor_conn *conn)
{
	struct session *session, *next;

	for (session = sessions; session; session = next) {
		next = session->next;
		if (session->closer == conn)
			session->closer = NULL;
		if (session->conn != conn)
			continue;
		session->conn = NULL;
		session_check_alive(session);
	}
}

void session_client_booted(const char *client, const uint8_t boot_id[16])
{
	struct session *session, *next;

	for (session = sessions; session; session = next) {
		next = session->next;
		if (!strcmp(session->client, client) && memcmp(session->boot_id, boot_id, 16))
			session_close(session, "its client has booted anew");
	}
}

static void look(struct session *session)
{
	struct farswap_lease_word word = word_read(&session->word);

	switch (lease_look(&session->lease, &word, farswap_now_ns(), lease_ns)) {
	case LEASE_RUNS:
		break;
	case LEASE_OVER:
		session_close(session, "its client has not renewed its lease");
		break;
	case LEASE_BACK:
		session_close(session, "its lease was renewed by an older state of its client's host, or by a copy of it");
		break;
	}
}

static int look_at_all(sd_event_source *source, uint64_t usec, void *arg);

static int look_later(void)
{
	uint64_t ns = lease_ns / LEASE_LOOKS < LEASE_LOOK_NS ? lease_ns / LEASE_LOOKS : LEASE_LOOK_NS;

	return farswapd_timer(&looking, ns / 1000, look_at_all, NULL);
}

static int look_at_all(sd_event_source *source, uint64_t usec, void *arg)
{
	struct session *session, *next;

	(void)source;
	(void)usec;
	(void)arg;
	for (session = sessions; session; session = next) {
		next = session->next;
		if (session->state == SESSION_OPEN && session->word.at)
			look(session);
	}
	return look_later();
}

int session_init(uint64_t ns)
{
	lease_ns = ns;
	return ns ? look_later() : 0;
}

void session_exit(void)
{
	looking = sd_event_source_disable_unref(looking);
}

void session_close_all(const char *why)
{
	struct session *session, *next;

	for (session = sessions; session; session = next) {
		next = session->next;
		session_close(session, why);
	}
	while (sessions) {
		session = sessions;
		while (session->slabs)
			zero_one(session);
		session_free(session);
	}
}
