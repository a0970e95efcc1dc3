/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What farswap nodes say to each other. Two channels:
 *
 * control channel: TLS 1.3 with a pre-shared key over TCP, farswapd to farswapd. Frames of one message each, of a fixed
 * size but for CHECK, all numbers little-endian:
 *
 *   client's farswapd                                   donor's farswapd
 *     HELLO    version, geometry, name, boot id   ->
 *                                                 <-      WELCOME  geometry agreed, name, incarnation, room
 *     OPEN     session (0: a new one)             ->
 *                                                 <-      OPENED   session, RDMA port, lease
 *     TOKEN    one per queue pair                 ->
 *                                                 <-      TOKEN_OK token, good once and for a short time
 *     GRANT    extent, generation                 ->
 *                                                 <-      GRANTED  slab, incarnation, address, rkey, bytes
 *     PING     at each heartbeat                  ->
 *                                                 <-      PONG     room left, what is lent; is it being drained?
 *     CLOSE    session                            ->
 *                                                 <-      CLOSED   queue pairs destroyed, regions gone, zeroed
 *     any of them                                 ->
 *                                                 <-      REJECT   which, code (texts below), number
 *
 *   a client whose queue pairs broke comes back to its session and slabs:
 *     REJOIN   session                            ->
 *                                                 <-      REJOINED all queue pairs destroyed, tokens void; RDMA port
 *     TOKEN ...
 *     LOCATE   slab                               ->      the donor's farswapd may have been restarted with its slabs
 *                                                 <-      LOCATED  what GRANTED said, with the address and rkey of now
 *
 *   a slab's copy is made at another donor (its session there, its token) and checked where it lies:
 *     PUSH     slab, range, where to              ->      connects to the other donor's RDMA port, WRITEs
 *                                                 <-      PUSHED   every WRITE completed
 *     CHECK    slab, sums                         ->
 *                                                 <-      CHECKED  which differ
 *     RELEASE  slab                               ->
 *                                                 <-      RELEASED region gone, zeroed, given back
 *     ACTIVITY slabs, and how active they are     ->      while the donor's memory is short (PONG says so)
 *                                                 <-      ASKED    which of these are to be moved away
 *     LIST     session, after                     ->
 *                                                 <-      LISTED   its slabs with higher numbers, the lowest first
 *
 * GRANT of an extent and generation that the session has a slab for is answered with that slab. HELLO, WELCOME and REJECT
 * have the same numbers and shape in every version, so that a version can be refused in words.
 *
 * data channel: RDMA, the client's kernel to the donor's memory. Each queue pair is asked for by rdma_cm with
 * struct farswap_connect as private data, and accepted with struct farswap_accept. The session lasts as long as the client's kernel
 * writes its lease word (struct farswap_lease_word); no message counts for that.
 *
 * A message is used only after one gate (farswap_msg_check) found magic, type, exact length, zero reserved
 * fields and known flags right. Whatever fails closes that peer only.
 */
#ifndef FARSWAP_WIRE_H
#define FARSWAP_WIRE_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/types.h>
#else
#include <assert.h>
#include <linux/types.h>
#endif

#define FARSWAP_WIRE_MAGIC	0x50575346u	/* "FSWP" read as a little-endian word */
#define FARSWAP_WIRE_VERSION	7
#define FARSWAP_PORT		7474		/* default, TCP for control and the RDMA CM port alike */
#define FARSWAP_NAME_BYTES	32		/* node names, zero-padded, at most 31 characters */
#define FARSWAP_TOKEN_BYTES	16
#define FARSWAP_FRAME_BYTES	4096		/* the page and frame size that this version negotiates */
#define FARSWAP_COPIES_MAX	4
#define FARSWAP_SLAB_BYTES_MIN	(2u << 20)	/* one home run of 512 frames */
#define FARSWAP_SLAB_BYTES_MAX	(1u << 30)
#define FARSWAP_CHECK_SUMS	256		/* in one CHECK at most */
#define FARSWAP_LEASE_MS_MIN	1000u
#define FARSWAP_LEASE_MS_MAX	604800000u	/* 7 days */
#define FARSWAP_LIST_SLABS	32		/* in one LISTED at most; fewer: there are no more */

enum farswap_msg_type {
	FARSWAP_MSG_HELLO = 1,
	FARSWAP_MSG_WELCOME,
	FARSWAP_MSG_OPEN,
	FARSWAP_MSG_OPENED,
	FARSWAP_MSG_TOKEN,
	FARSWAP_MSG_TOKEN_OK,
	FARSWAP_MSG_GRANT,
	FARSWAP_MSG_GRANTED,
	FARSWAP_MSG_PING,
	FARSWAP_MSG_PONG,
	FARSWAP_MSG_CLOSE,
	FARSWAP_MSG_CLOSED,
	FARSWAP_MSG_REJECT,
	FARSWAP_MSG_REJOIN,
	FARSWAP_MSG_REJOINED,
	FARSWAP_MSG_RELEASE,
	FARSWAP_MSG_RELEASED,
	FARSWAP_MSG_PUSH,
	FARSWAP_MSG_PUSHED,
	FARSWAP_MSG_CHECK,
	FARSWAP_MSG_CHECKED,
	FARSWAP_MSG_LIST,
	FARSWAP_MSG_LISTED,
	FARSWAP_MSG_LOCATE,
	FARSWAP_MSG_LOCATED,
	FARSWAP_MSG_ACTIVITY,
	FARSWAP_MSG_ASKED,
	FARSWAP_MSG_TYPES
};

/* why a request was refused; farswap_reject_text() in daemon/msg.c says it in words */
enum farswap_reject {
	FARSWAP_REJECT_VERSION = 1,	/* other protocol version; number: the one spoken here */
	FARSWAP_REJECT_GEOMETRY,	/* slab or page size not possible here; number: the one possible */
	FARSWAP_REJECT_UNKNOWN_NODE,	/* the name is not in this node's cluster.conf */
	FARSWAP_REJECT_NO_ROOM,		/* lend= reached; number: slabs lent */
	FARSWAP_REJECT_NO_MEMORY,	/* the reserve of free memory would be broken; number: MiB free */
	FARSWAP_REJECT_NO_SESSION,	/* the session is not known (any more) */
	FARSWAP_REJECT_STATE,		/* message out of order */
	FARSWAP_REJECT_BORROWER,	/* this node swaps out itself, it does not lend */
	FARSWAP_REJECT_RDMA,		/* no usable RDMA device; number: errno */
	FARSWAP_REJECT_NO_SLAB,		/* the session has no such slab; number: the one asked for */
	FARSWAP_REJECT_RANGE,		/* not inside of the slab; number: its bytes */
	FARSWAP_REJECT_BUSY,		/* a push of the slab, or one over the same queue pair, is not over */
	FARSWAP_REJECT_NO_QUEUE,	/* PUSH without a token, and no queue pair to that session (any more) */
	FARSWAP_REJECT_CONNECT,		/* no queue pair to the other donor; number: errno */
	FARSWAP_REJECT_WRITE,		/* a WRITE to the other donor failed; number: its completion's status, 0: not done in time; some may still land */
	FARSWAP_REJECT_IN_USE,		/* another connection has the session and is alive; number: the session */
	FARSWAP_REJECT_DRAINED,		/* it is being drained */
	FARSWAP_REJECT_SLAB_QUOTA,	/* client_slabs= reached, over all sessions of the client; number: what it says */
	FARSWAP_REJECT_QUEUE_QUOTA,	/* so client_queue_pairs= */
	FARSWAP_REJECTS
};

struct farswap_msg_head {
	__le32 magic;
	__le16 type;
	__le16 reserved;
	__le32 bytes;			/* whole frame, this head included */
	__le32 id;			/* request number, returned in the answer */
};

struct farswap_msg_hello {		/* HELLO and WELCOME */
	struct farswap_msg_head head;
	__le16 version;
	__le16 reserved;
	__le32 features;		/* none defined: must be 0 */
	__le32 page_bytes;
	__le32 room;			/* WELCOME: slabs that could be granted now; HELLO: 0 */
	__le64 slab_bytes;		/* HELLO: wanted; WELCOME: agreed */
	__le64 incarnation;		/* of what the daemon has lent; never repeats, also across reboots; a planned restart hands it on */
	__u8 boot_id[16];
	char name[FARSWAP_NAME_BYTES];
};

struct farswap_msg_session {		/* OPEN, CLOSE, CLOSED, REJOIN: only session; OPENED, REJOINED: all */
	struct farswap_msg_head head;
	__le64 session;
	__le16 rdma_port;
	__le16 reserved;
	__le32 lease_ms;		/* how long its slabs stay when the lease word below is not written; 0: for ever, and no word */
	__le64 lease_address;
	__le32 lease_rkey;
	__le32 reserved2;
};

struct farswap_msg_token {		/* TOKEN (token all zero) and TOKEN_OK */
	struct farswap_msg_head head;
	__le64 session;
	__u8 token[FARSWAP_TOKEN_BYTES];
};

struct farswap_msg_grant {		/* GRANT: session, extent, generation; GRANTED, LOCATED: all */
	struct farswap_msg_head head;
	__le64 session;
	__le64 extent;
	__le32 generation;
	__le32 rkey;
	__le64 slab;
	__le64 incarnation;		/* of the slab; never repeats, also across reboots */
	__le64 address;
	__le64 bytes;
};

#define FARSWAP_PONG_DRAINED	1u	/* all that it has lent is to be moved away */
#define FARSWAP_PONG_SHORT	2u	/* its memory is short or some of it failed: it wants to know how active slabs are, and may ask for some */

struct farswap_msg_ping {		/* PING (all 0) and PONG */
	struct farswap_msg_head head;
	__le32 room;			/* slabs that could be lent now */
	__le32 lent;			/* slabs that are, to anybody */
	__le32 flags;			/* FARSWAP_PONG_... */
	__le32 reserved;
};

struct farswap_msg_reject {
	struct farswap_msg_head head;
	__le16 type;			/* of the request refused */
	__le16 code;			/* enum farswap_reject */
	__le32 reserved;
	__le64 number;			/* as the code says */
};

struct farswap_msg_slab {		/* RELEASE, RELEASED, LOCATE */
	struct farswap_msg_head head;
	__le64 session;
	__le64 slab;
};

struct farswap_msg_push {		/* PUSH: all; PUSHED: session, slab, offset, bytes */
	struct farswap_msg_head head;
	__le64 session;
	__le64 slab;
	__le64 offset;			/* in the slab */
	__le64 bytes;
	__le64 to_session;		/* the client's, at the other donor */
	__le64 remote;			/* where the first byte goes there */
	__le32 rkey;
	__le16 to_port;
	__le16 reserved;
	__u8 to_address[16];		/* IPv6, or IPv4 mapped into it; of a node of cluster.conf */
	__u8 token[FARSWAP_TOKEN_BYTES];	/* opens a queue pair; all zero: the one of the last PUSH to to_session */
};

/* a part of a slab that does not cross a frame, and the CRC-32C that its bytes should have */
struct farswap_msg_sum {
	__le32 frame;
	__le16 offset;			/* in the frame */
	__le16 length;			/* 1 to 4096 */
	__le32 sum;
};

struct farswap_msg_check {		/* CHECK: n sums follow */
	struct farswap_msg_head head;
	__le64 session;
	__le64 slab;
	__le32 n;			/* 1 to FARSWAP_CHECK_SUMS */
	__le32 reserved;
	struct farswap_msg_sum sums[];
};

struct farswap_msg_checked {
	struct farswap_msg_head head;
	__le64 session;
	__le64 slab;
	__le32 n;
	__le32 reserved;
	__u8 differ[FARSWAP_CHECK_SUMS / 8];	/* bit i % 8 of byte i / 8: sum i */
};

struct farswap_msg_list {
	struct farswap_msg_head head;
	__le64 session;
	__le64 after;			/* slab; 0: from the first */
};

#define FARSWAP_SLAB_STAYS	1u	/* it will not leave now: its set lacks a copy, or another of its copies moves */
#define FARSWAP_SLAB_KEPT	2u	/* nor before there is another copy: two other copies are not known to be good, or not all others */

struct farswap_msg_activity {
	struct farswap_msg_head head;
	__le64 session;
	__le32 n;			/* at least 1 */
	__le32 reserved;
	struct {
		__le64 slab;		/* rising */
		__le64 activity;	/* pages in a period, a moving average, 1/65536 each */
		__le32 flags;		/* FARSWAP_SLAB_... */
		__le32 reserved;
	} slabs[FARSWAP_LIST_SLABS];	/* those from n on are all 0 */
};

struct farswap_msg_listed {		/* LISTED, ASKED */
	struct farswap_msg_head head;
	__le64 session;
	__le32 n;
	__le32 urgent;			/* ASKED: bit i: slab i cannot wait until there is another copy; LISTED: 0 */
	__le64 slabs[FARSWAP_LIST_SLABS];	/* rising; those from n on are 0 */
};

/* rdma_cm private data of a connect request; 56 bytes is the most that can be carried */
struct farswap_connect {
	__le32 magic;
	__le16 version;
	__le16 lane;			/* which queue pair of the session, for messages only */
	__le64 session;
	__u8 token[FARSWAP_TOKEN_BYTES];
};

/* and of the acceptance */
struct farswap_accept {
	__le32 magic;
	__le16 version;
	__le16 reserved;
	__le64 incarnation;		/* the daemon's, as in WELCOME */
};

/*
 * The lease word of a session, which the client's kernel WRITEs: a count that rises, by however much, as long as the client's host is up. A
 * donor that reads it while it is being written sees that by check.
 */
struct farswap_lease_word {
	__le64 count;
	__le64 check;			/* ~count */
};

#define FARSWAP_MSG_BYTES_MAX	(sizeof(struct farswap_msg_check) + FARSWAP_CHECK_SUMS * sizeof(struct farswap_msg_sum))

static_assert(sizeof(struct farswap_msg_head) == 16, "wire");
static_assert(sizeof(struct farswap_msg_hello) == 96, "wire");
static_assert(sizeof(struct farswap_msg_session) == 48, "wire");
static_assert(sizeof(struct farswap_msg_token) == 40, "wire");
static_assert(sizeof(struct farswap_msg_grant) == 72, "wire");
static_assert(sizeof(struct farswap_msg_ping) == 32, "wire");
static_assert(sizeof(struct farswap_msg_reject) == 32, "wire");
static_assert(sizeof(struct farswap_msg_slab) == 32, "wire");
static_assert(sizeof(struct farswap_msg_push) == 104, "wire");
static_assert(sizeof(struct farswap_msg_sum) == 12, "wire");
static_assert(sizeof(struct farswap_msg_check) == 40, "wire");
static_assert(sizeof(struct farswap_msg_checked) == 72, "wire");
static_assert(sizeof(struct farswap_msg_list) == 32, "wire");
static_assert(sizeof(struct farswap_msg_activity) == 800, "wire");
static_assert(sizeof(struct farswap_msg_listed) == 288, "wire");
static_assert(sizeof(struct farswap_connect) == 32, "wire");
static_assert(sizeof(struct farswap_accept) == 16, "wire");
static_assert(sizeof(struct farswap_lease_word) == 16, "wire");

#endif
