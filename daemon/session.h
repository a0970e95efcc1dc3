/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Donor side: what one client device holds here. A session has its own protection domain, its queue pairs, its
 * slabs and its one-time tokens. It is released on CLOSE, when its client rebooted, when its lease is over, and when this daemon ends. No
 * other timer ends it: a client that is cut off may have the only good copy of a page here. One without slabs goes with its last queue
 * pair and its control connection.
 *
 * A client that comes back to it after its queue pairs broke has all of them destroyed first (rule 5) and brings new ones.
 *
 * Its lease lasts while the client's kernel writes its lease word over the queue pairs; what its daemon says does not count.
 *
 * At a planned end of the daemon it is fenced and left, for the next daemon to restore (handover.h).
 *
 * Release: queue pairs destroyed -> regions deregistered -> slabs zeroed, one per turn of the loop -> CLOSED.
 */
#ifndef FARSWAP_SESSION_H
#define FARSWAP_SESSION_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "farswap_wire.h"
#include "lease.h"
#include "slab.h"
#include "state.h"
#include "word.h"

#define SESSION_QUEUES_MAX	72	/* a client's, and some of donors that push to it */
#define SESSIONS_MAX		256
#define SESSIONS_PER_CLIENT	16

struct donor_conn;
struct queue;

struct session_token {
	uint8_t token[FARSWAP_TOKEN_BYTES];
	uint64_t until_ns;		/* 0: free */
};

enum session_state {
	SESSION_OPEN,
	SESSION_CLOSING,		/* revoked; slabs are being zeroed */
};

struct session_use {
	uint32_t slabs;			/* those that are being zeroed, too */
	uint32_t queue_pairs;		/* of the client, of donors to it and to donors; those that a token may still open, too */
};

struct session {
	struct session *next;
	enum session_state state;
	uint64_t number;		/* never repeats */
	char client[FARSWAP_NAME_BYTES];
	uint8_t boot_id[16];		/* of the client's host */
	struct donor_conn *conn;	/* control connection; NULL while the client's daemon is away */
	struct ibv_pd *pd;
	struct word word;		/* word.at NULL: it has no lease */
	struct lease lease;
	struct queue *queues;
	unsigned int n_queues;
	struct slab *slabs;
	uint32_t n_slabs;
	struct session_token tokens[SESSION_QUEUES_MAX];
	sd_event_source *zeroing;
	struct donor_conn *closer;	/* waits for CLOSED */
	uint32_t closer_id;
};

/* lease_ns: of sessions opened from now on; 0: none. 0 or -errno */
int session_init(uint64_t lease_ns);
void session_exit(void);
/* NULL with errno */
struct session *session_open(struct donor_conn *conn, const char *client, const uint8_t boot_id[16]);
/* as it was handed over, its slabs too; 0, or -errno: none of it is there */
int session_restore(const struct state_session *state, uint64_t slab_bytes);
/* open ones only */
struct session *session_find(uint64_t number, const char *client);
struct session *session_next(struct session *after);
/* what the client has here, over all its sessions */
struct session_use session_use(const char *client);
/* a fresh token for one queue pair; -EBUSY when there are too many */
int session_new_token(struct session *session, uint8_t token[FARSWAP_TOKEN_BYTES]);
/* the session that the token opens; the token is used up. NULL: none */
struct session *session_take_token(uint64_t number, const uint8_t token[FARSWAP_TOKEN_BYTES]);
/* all queue pairs are destroyed and all tokens void; slabs stay */
void session_rejoin(struct session *session);
struct slab *session_slab(struct session *session, uint64_t number);
/* the lowest number of its slabs above that; 0: none */
uint64_t session_slab_after(const struct session *session, uint64_t number);
/* the slab that a GRANT of these made */
struct slab *session_granted(struct session *session, uint64_t extent, uint32_t generation);
/* revoke, zero and give back one slab; 0, or -errno: it is still there */
int session_release(struct session *session, struct slab *slab);
/* NULL with errno */
struct slab *session_grant(struct session *session, uint64_t extent, uint32_t generation, uint64_t bytes);
/* revoke all, for good: true when nothing is left that could reach its slabs. It is only to be left or closed then, as it is if not. */
bool session_fence(struct session *session);
/* forget one that was fenced, and leave what its slabs hold */
void session_leave(struct session *session);
/* revoke, zero, free; session is gone soon. why goes to the log */
void session_close(struct session *session, const char *why);
/* call when a queue pair or the control connection is gone */
void session_check_alive(struct session *session);
/* a control connection ended; its sessions go on without, if they have queue pairs or slabs */
void session_conn_gone(struct donor_conn *conn);
/* the client came back under another boot id: whatever it had before is nobody's */
void session_client_booted(const char *client, const uint8_t boot_id[16]);
/* all sessions, zeroing included, before it returns */
void session_close_all(const char *why);

#endif
