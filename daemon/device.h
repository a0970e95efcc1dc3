/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The client side: this node's swap device, its donors ("peers") and its extents. One device per daemon.
 * Everything that happens elsewhere (answers of donors and of the kernel) only notes its outcome and calls
 * device_kick(); the next step is taken from one place in the loop, by the phase:
 *
 *   NONE -> REACHING -> PROBING -> MAKING -> PEERING -> FILLING -> STARTING -> UP
 *              |          |         |_________|__________|__________|         |
 *              |          |                      v                             |  down
 *              |          |                   DELETING <------------------------'
 *              '----------'--> CLOSING <---------'  <-- the device vanished
 *                                 '--> NONE
 *   NONE -> ADOPTING -> UP | DELETING | NONE      a device of this daemon's former life
 */
#ifndef FARSWAP_DEVICE_H
#define FARSWAP_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "balance.h"
#include "farswap_wire.h"
#include "kernel.h"
#include "link.h"
#include "placement.h"
#include "plan.h"
#include "repair.h"

#define DEVICE_PEERS_MAX	64	/* records; those of the lost are used again once closed */
#define DEVICE_LIVE_MAX		8	/* donors used at a time */
#define DEVICE_QUEUES_MAX	64	/* of one donor; a session has no more, see SESSION_QUEUES_MAX */
#define DEVICE_BYTES_MAX	(1ull << 50)
#define DEVICE_ASKED_MAX	8	/* slabs that one donor asks for at a time */
#define DEVICE_PERIOD_NS	10000000000ull	/* of an extent's activity */

enum device_phase {
	PHASE_NONE,		/* no device */
	PHASE_REACHING,		/* control connections to the other nodes */
	PHASE_PROBING,		/* is the module there, is the name free? */
	PHASE_MAKING,		/* DEV_NEW */
	PHASE_PEERING,		/* sessions, tokens, queue pairs */
	PHASE_FILLING,		/* the first extents */
	PHASE_STARTING,		/* DEV_START */
	PHASE_UP,
	PHASE_DELETING,		/* DEV_DEL */
	PHASE_CLOSING,		/* donors give their memory back */
	PHASE_ADOPTING,		/* reading the kernel's state after a restart */
	PHASES
};

enum peer_state {
	PEER_FREE,		/* record not used */
	PEER_OPENING,		/* OPEN */
	PEER_REJOINING,		/* REJOIN: the session of a suspect is to go on under this number */
	PEER_WAITING,		/* opened; another donor is in the next two, one at a time */
	PEER_TOKENS,		/* TOKEN, once per queue pair */
	PEER_ADDING,		/* PEER_ADD */
	PEER_LIVE,		/* the kernel reads and writes it */
	PEER_SUSPECT,		/* lost in the kernel; its daemon may have the session and come back */
	PEER_FORMER,		/* lost in the kernel; its session went on under another number */
	PEER_LOST,		/* lost in the kernel, for good: its slabs are to be replaced */
	PEER_FAILED,		/* never was in the kernel; why says why not */
};

struct device_peer {
	enum peer_state state;
	uint32_t number;		/* NODE, never used twice on a device */
	struct link *link;		/* its node */
	uint64_t session;		/* 0: none */
	uint64_t incarnation;		/* of the donor's daemon at that time */
	uint16_t rdma_port;
	uint32_t lease_ms, lease_rkey;	/* of the session's lease word; 0 ms: it has none */
	uint64_t lease_address;
	bool in_kernel;			/* PEER_ADD succeeded, PEER_DEL not yet */
	bool losing;			/* PEER_LOST is in the air, or the kernel has taken it */
	bool deleting;			/* PEER_DEL is in the air */
	uint64_t delete_ns;		/* neither tried before */
	uint64_t suspect_ns;		/* since when */
	uint64_t rejoin_ns;		/* not tried before */
	uint64_t again_ns;		/* LOST: not suspect again before */
	bool attached;			/* the session is known on the present control connection */
	bool closing;			/* CLOSE is in the air */
	bool closed;			/* the donor has nothing of it any more */
	unsigned int in_air;		/* answers to come that name this record */
	unsigned int asked, answered;	/* tokens */
	uint8_t tokens[DEVICE_QUEUES_MAX * FARSWAP_TOKEN_BYTES];
	uint32_t slabs;			/* granted */
	bool barred;			/* refused a grant during the present build */
	uint64_t full_until_ns;		/* not asked for grants before */
	bool swept, listing;		/* it holds no slab for nothing from an earlier time; LIST is in the air */
	uint64_t listed;		/* slabs up to that number are seen to */
	struct device_asked {
		uint64_t slab;
		bool urgent;		/* even before there is another copy */
	} asked_slabs[DEVICE_ASKED_MAX];	/* its donor wants them back; only while it says that its memory is short */
	unsigned int n_asked;
	bool telling, told_all;		/* ACTIVITY is in the air: of its slabs */
	uint64_t told_from, told_to;	/* above the one, up to the other */
	uint64_t push_failed_ns;	/* in the middle of a piece, from it; 0: the last one went well */
	char why[200];			/* FAILED, LOST, or the last refusal */
};

struct device_member {
	uint32_t peer;			/* its number: a record may be used again */
	uint32_t succeeds;		/* in EXTENT_SET: whose place it takes; 0: it is new */
	uint64_t slab, incarnation, address;
	uint32_t rkey;
	uint32_t missed;		/* frames, when the kernel was asked */
};

struct device_extent {
	uint64_t number;
	uint32_t generation;
	uint32_t frames_used;
	bool sealed;
	unsigned int n;
	struct device_member members[FARSWAP_COPIES_MAX];
	uint64_t retry_ns;		/* nothing is done for it before */
	uint64_t pages_lost;		/* that no member had right when it was last repaired */
	uint64_t uses;			/* pages written to it and read from it, as the kernel counted them last */
	uint64_t counted;		/* the same, when activity was */
	uint64_t activity;		/* of them in a period, see evict.h */
};

struct extent_table {
	struct device_extent *extents;	/* by number */
	size_t n, room;
};

/* an extent in the making; one at a time */
struct device_build {
	bool active, adding;
	unsigned int in_air;		/* GRANTs */
	uint64_t number;
	unsigned int n;
	struct device_member members[FARSWAP_COPIES_MAX];
};

/* ends a request from the local socket: code 0 or the tool's exit code, with one line */
typedef void (*device_done)(void *arg, int code, const char *text);

struct device {
	enum device_phase phase;
	char name[FARSWAP_NAME_BYTES];
	uint64_t size, slab_bytes;
	unsigned int copies, spares, queues;
	enum farswap_codec codec;	/* that it is made with; the kernel knows what it is now */
	bool in_kernel;			/* DEV_NEW succeeded, DEV_DEL not yet */
	unsigned int in_air;		/* requests whose answer is still to come */
	bool answered;			/* the present phase's request to the kernel */
	bool down_asked;
	bool gone;			/* the kernel does not have it any more */
	char failure[2048];		/* why `up` is being undone, "" otherwise */
	char notice[1024];		/* to go with a success */
	device_done done;
	void *done_arg;
	uint64_t phase_ns;		/* when the phase began */

	struct device_peer peers[DEVICE_PEERS_MAX];
	uint32_t next_peer;
	uint64_t node_retry_ns[FARSWAP_NODES_MAX];	/* not tried as a new peer before */

	struct extent_table table;
	bool stale;			/* the kernel's may be another: read it before anything is decided */
	bool refreshing;
	uint64_t refresh_ns;		/* not before */
	uint64_t period_ns;		/* activity is counted then */
	bool unsettled;			/* an extent may want a change of its members */
	bool adopted;			/* taken over from an earlier daemon */
	uint64_t next_extent;
	struct device_repair repair;
	struct device_build build;
	struct {
		struct balance balance;
		uint64_t extent;	/* one copy of it moves; 0: of none */
		uint32_t from, to;	/* peers */
		uint64_t begun_ns;
	} even;
	uint64_t build_retry_ns;
	uint64_t seed;			/* of placement */

	uint32_t want;			/* extents, as the kernel last said */
	bool polling;
};

extern struct device device;

int device_init(void);
void device_exit(void);
bool device_exists(void);
/* take the next step soon */
void device_kick(void);
void device_poll_soon(void);
/* cluster.conf was read anew: donors that are new are used */
void device_conf(void);
const char *device_phase_text(enum device_phase phase);

/* done is called once, perhaps before the return */
void device_up(const char *name, uint64_t size, unsigned int copies, device_done done, void *arg);
void device_down(const char *name, device_done done, void *arg);
unsigned int device_extents_needed(void);
void device_enter(enum device_phase phase);
/* undo `up`; the line is its answer */
void device_undo(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct nl_msg *device_msg(int cmd, int dump);
/* "b: connection refused; c: has no room": one for each lending node that is of no use, and why */
void device_explain(char *out, size_t size);

/* peer.c */
struct device_peer *peer_new(struct link *link);
struct device_peer *peer_of(struct link *link);		/* in use or on the way: OPENING to SUSPECT */
struct device_peer *peer_numbered(uint32_t number);
void peer_start(struct device_peer *peer);
/* those of them that the device has places for, the freer ones sooner, in their order */
void peer_start_some(struct link **links, size_t n);
/* the session named in this new record is to go on under its number */
void peer_rejoin(struct device_peer *peer);
/* let the next WAITING peer go on, when none is before it */
void peer_next(void);
/* the donor has not got its session: all that it has been known as are closed */
void peer_forgotten(const struct device_peer *peer);
/* ask the donor to end the session; without an answer it is still not closed, and to be asked again */
void peer_close(struct device_peer *peer);
void peer_reattach(struct device_peer *peer);
/* a command to the kernel that names it; done has it as arg and counts both in_air down */
void peer_call(struct device_peer *peer, int cmd, kernel_done done);
/* the donor has nothing of it any more: the kernel is told, which may not use it for long */
void peer_lose(struct device_peer *peer);
bool peer_busy(const struct device_peer *peer);
unsigned int peer_count(enum peer_state state);
bool peer_same_session(const struct device_peer *a, const struct device_peer *b);
/* is the session this record's to close? Of several that have it, it is the newest's that may still use it */
bool peer_owns_session(const struct device_peer *peer);
/* what a member is that names this number */
enum standing peer_standing(uint32_t number);
/* the live peer of that number, or the one that its session went on as; NULL: none */
struct device_peer *peer_live(uint32_t number);
/* live, and its daemon can be asked for things */
bool peer_is_well(const struct device_peer *peer);

/* rejoin.c: peers that the kernel lost: back under a new number, or given up */
void rejoin_lost(struct device_peer *peer, const char *why);
/* those of the same session with a lower number are not to come back by themselves */
void rejoin_supersede(const struct device_peer *peer);
void rejoin_advance(void);

/* extent.c */
int extent_note(const struct device_extent *extent);
int extent_take_all(const struct kernel_answer *answers);
void extent_table_free(struct extent_table *table);
struct device_extent *extent_numbered(uint64_t number);
/* true while the table is stale: it is being read, or will be */
bool extent_refresh(void);
/* extents with at least one live member */
unsigned int extent_usable(void);
/* is it a member of one? */
bool extent_names(uint32_t peer);
/* is one of its session's numbers, or may it be, a member of one? */
bool extent_names_session(const struct device_peer *peer);
/* does an extent depend on its session: is no other member live and without missed frames? */
bool extent_last_copy(const struct device_peer *peer);
int extent_put_members(struct nl_msg *msg, const struct device_member *members, unsigned int n);

/* build.c */
void build_start(void);
bool build_active(void);
/* the live peers as placement sees them; map[] leads back. Those of the same node as one that taken() says are taken. */
size_t build_candidates(struct placement_node *nodes, struct device_peer **map, bool (*taken)(const struct device_peer *peer));
/* placement_choose(), with those that the group's leader passes over (leader_bar()) only where there are no others. n: FARSWAP_NODES_MAX at most. */
unsigned int build_choose(enum placement_policy policy, struct placement_node *nodes, size_t n, unsigned int wanted, int *chosen);
struct device_member build_member(const struct device_peer *peer, const struct farswap_msg_grant *grant);
/* it is not asked again for a while */
void build_refused(struct device_peer *peer, const char *why);

/* adopt.c: the device of a former life, by the name in the run directory; again while ADOPTING with nothing in the air */
void adopt_start(void);
int adopt_remember(const char *name);
void adopt_forget(void);

/* leftover.c: slabs that a donor holds for nothing */
void leftover_advance(void);
/* it goes back, unless the extents, read anew, have it */
void leftover_keep(const struct repair_slab *slab);
/* ask for what can be asked for now; how many are left */
unsigned int leftover_release(void);
unsigned int leftover_waiting(void);
/* what waits at that former peer waits at the one that has its session now */
void leftover_renumber(const struct device_peer *former);
/* how many at that peer wait to go back? */
unsigned int leftover_at(const struct device_peer *peer);
void leftover_make_release(union farswap_msg *msg, const struct device_peer *peer, uint64_t slab);

/* even.c: look each second whether a copy should move from a full donor to an empty one */
void even_look(void);
/* does the extent's copy at that peer move for that? */
bool even_moves(uint64_t extent, uint32_t peer);
/* it has moved, or could not; was it to move? */
bool even_over(uint64_t extent);

/* leave.c: tell donors whose memory is short about their slabs; each second */
void leave_look(void);
/* what its donor said when it asked for the slab back; NULL: it did not */
const struct device_asked *leave_asked(const struct device_peer *peer, uint64_t slab);

/* upkeep.c: what is done each second while the device is up */
void upkeep_advance(void);
void upkeep_poll(void);

#endif
