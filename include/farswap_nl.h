/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Generic netlink between farswap.ko and the node's farswapd (and the tool). Family "farswap", version 1. Every
 * command needs CAP_SYS_ADMIN. Numbers are native-endian attributes of the width that is named.
 *
 * How a device comes up; each step answers with an ACK, the last one shows /dev/NAME:
 *
 *   DEV_NEW     NAME, SIZE (bytes), COPIES, SLAB_BYTES, SPARES, CODEC     device in state "new", no disk yet
 *   PEER_ADD    NODE, PEER_NAME, SESSION, INCARNATION, ADDRESS (sockaddr_in or sockaddr_in6), PORT,
 *               SOURCE (optional, sockaddr), TOKENS (DEV_GET's QUEUES tokens of 16 bytes), and where the donor ends a session
 *               that is silent for LEASE: REMOTE and RKEY of its lease word
 *               connects the queue pairs and returns when all are up (or with the error)
 *   EXTENT_ADD  EXTENT, GENERATION, MEMBERS (nested MEMBER: NODE, SLAB, INCARNATION, REMOTE, RKEY)
 *   DEV_START   the disk appears
 *
 * How an extent's members change: a peer that came back under a new number takes the old one's place, or a slab elsewhere does.
 *
 *   EXTENT_SEAL EXTENT, GENERATION           no frame of it is given out, nothing is being written to it when this returns; reads go on
 *   SUM_GET     EXTENT (dump)                what its frames hold: SUMS, so that a copy can be checked where it lies
 *   EXTENT_SET  EXTENT, GENERATION (the sealed one's + 1), MEMBERS (as in EXTENT_ADD; with SUCCEEDS the member has what that
 *               old one had, without it all there is; one that stays may name itself, and must if it is not live): returns, unsealed, when nothing is posted to a former member any more;
 *               -ENODATA: a good copy leaves, and too few others are known to be good
 *   EXTENT_OPEN EXTENT, GENERATION           unsealed, nothing changed
 *   PEER_LOST   NODE                         its donor has nothing of the session any more: the peer is LOST now, not only when it is used
 *   PEER_DEL    NODE                         a LOST peer that is in no extent is forgotten, its number free again
 *
 *   DEV_DEL     the reverse of all, in any state; -EBUSY while the disk is open
 *
 * DEV_GET (one reply), PEER_GET, EXTENT_GET, SLOT_GET (dumps) show the state; SLOT_GET with FLAGS |=
 * FARSWAP_SLOT_VERIFY reads each held page from every member over RDMA and tells which copies verified: the audit.
 *
 * Events on multicast group "events", best effort (DEV_GET tells the same): EV_WANT (the device has fewer spare extents
 * than SPARES; WANT: how many more), EV_PEER (NODE, PEER_STATE), EV_GONE (the device is gone).
 */
#ifndef FARSWAP_NL_H
#define FARSWAP_NL_H

#include <linux/types.h>

#define FARSWAP_NL_FAMILY	"farswap"
#define FARSWAP_NL_VERSION	1
#define FARSWAP_NL_GROUP	"events"

enum farswap_nl_cmd {
	FARSWAP_CMD_UNSPEC,
	FARSWAP_CMD_DEV_NEW,
	FARSWAP_CMD_DEV_START,
	FARSWAP_CMD_DEV_DEL,
	FARSWAP_CMD_DEV_GET,
	FARSWAP_CMD_PEER_ADD,
	FARSWAP_CMD_PEER_GET,
	FARSWAP_CMD_EXTENT_ADD,
	FARSWAP_CMD_EXTENT_GET,
	FARSWAP_CMD_SLOT_GET,
	FARSWAP_CMD_EXTENT_SEAL,
	FARSWAP_CMD_EXTENT_OPEN,
	FARSWAP_CMD_EXTENT_SET,
	FARSWAP_CMD_SUM_GET,
	FARSWAP_CMD_PEER_DEL,
	FARSWAP_CMD_EV_WANT,
	FARSWAP_CMD_EV_PEER,
	FARSWAP_CMD_EV_GONE,
	FARSWAP_CMD_PEER_LOST,
	__FARSWAP_CMD_MAX,
	FARSWAP_CMD_MAX = __FARSWAP_CMD_MAX - 1
};

enum farswap_nl_attr {
	FARSWAP_A_UNSPEC,
	FARSWAP_A_PAD,
	FARSWAP_A_NAME,			/* string: the device, farswap0 */
	FARSWAP_A_SIZE,			/* u64: bytes of swap space */
	FARSWAP_A_COPIES,		/* u8: replicas of each page wanted, 1..4 */
	FARSWAP_A_SLAB_BYTES,		/* u64: bytes of a slab, an extent's size */
	FARSWAP_A_SPARES,		/* u32: extents to keep ahead of need */
	FARSWAP_A_LANES,		/* u32: queue pairs per peer for loads */
	FARSWAP_A_DEV_STATE,		/* u8: enum farswap_dev_state */
	FARSWAP_A_OPENERS,		/* u32: opens of the disk (swapon is one) */
	FARSWAP_A_WANT,			/* u32: extents asked for */
	FARSWAP_A_NODE,			/* u32: the peer's number, unique on this device, chosen by farswapd */
	FARSWAP_A_PEER_NAME,		/* string */
	FARSWAP_A_PEER_STATE,		/* u8: enum farswap_peer_state */
	FARSWAP_A_SESSION,		/* u64: the donor's session number */
	FARSWAP_A_INCARNATION,		/* u64: the donor daemon's, or inside MEMBER the slab's */
	FARSWAP_A_ADDRESS,		/* binary: struct sockaddr_in or sockaddr_in6 of the donor's RDMA listener */
	FARSWAP_A_SOURCE,		/* binary: same, this end; its port is ignored */
	FARSWAP_A_TOKENS,		/* binary: 16 bytes per queue pair */
	FARSWAP_A_EXTENT,		/* u64: number of the extent, from farswapd, unique on this device */
	FARSWAP_A_GENERATION,		/* u32 */
	FARSWAP_A_MEMBERS,		/* nested: MEMBER, MEMBER, ... */
	FARSWAP_A_MEMBER,		/* nested: one slab of the replica set */
	FARSWAP_A_SLAB,			/* u64: the donor's number for it */
	FARSWAP_A_REMOTE,		/* u64: the region's address at the donor */
	FARSWAP_A_RKEY,			/* u32 */
	FARSWAP_A_MEMBER_LIVE,		/* u8: 1 when it is read and written */
	FARSWAP_A_FRAMES,		/* u32: frames in the extent */
	FARSWAP_A_FRAMES_USED,		/* u32: frames that hold a page */
	FARSWAP_A_FLAGS,		/* u32: FARSWAP_SLOT_... */
	FARSWAP_A_SLOT,			/* u64: swap slot, the page's offset in the device */
	FARSWAP_A_SLOT_STATE,		/* u8: enum farswap_slot_state */
	FARSWAP_A_FRAME,		/* u32: frame in the extent */
	FARSWAP_A_SUM,			/* u32: CRC-32C of the stored bytes */
	FARSWAP_A_LENGTH,		/* u32: stored bytes */
	FARSWAP_A_GOOD,			/* u32: bit i set: member i of the extent holds it and verified */
	FARSWAP_A_BAD,			/* u32: bit i set: member i answered other bytes */
	FARSWAP_A_UNREAD,		/* u32: bit i set: member i could not be read */
	FARSWAP_A_COUNTERS,		/* binary: struct farswap_counters */
	FARSWAP_A_REASON,		/* string: why a peer is lost */
	FARSWAP_A_READ_NS,		/* u64: recent latency of one READ from the peer */
	FARSWAP_A_CODEC,		/* u8: enum farswap_codec, of the slot or of pages stored from now on (optional in DEV_NEW: none) */
	FARSWAP_A_OFFSET,		/* u32: where in its frame a slot's stored bytes begin */
	FARSWAP_A_QUEUES,		/* u32: queue pairs per peer in all, each with its token */
	FARSWAP_A_SEALED,		/* u8: 1 when the extent is sealed */
	FARSWAP_A_MISSED,		/* u32: frames that the member missed or has wrong, and that are not mended yet */
	FARSWAP_A_SUCCEEDS,		/* u32: NODE of the member whose place, slab and missed frames this one takes over */
	FARSWAP_A_SUMS,			/* binary: struct farswap_sum, one after the other */
	FARSWAP_A_LEASE,		/* u32: milliseconds */
	FARSWAP_A_USES,			/* u64: pages written to the extent and read from it so far, about */
	__FARSWAP_A_MAX,
	FARSWAP_A_MAX = __FARSWAP_A_MAX - 1
};

enum farswap_dev_state {
	FARSWAP_DEV_NEW = 1,		/* being set up, no disk */
	FARSWAP_DEV_UP,			/* /dev/NAME is there */
	FARSWAP_DEV_DOWN,		/* being taken down */
};

enum farswap_peer_state {
	FARSWAP_PEER_CONNECTING = 1,
	FARSWAP_PEER_LIVE,		/* read and written */
	FARSWAP_PEER_LOST,		/* its queue pairs are in error; it never comes back under this number */
};

enum farswap_slot_state {
	FARSWAP_SLOT_EMPTY = 0,		/* never written, or freed */
	FARSWAP_SLOT_STAGED,		/* in the staging pool, not yet acknowledged by its replicas */
	FARSWAP_SLOT_STORED,		/* in its frame on all live members */
	FARSWAP_SLOT_ERROR,		/* no copy verified: reads fail until it is rewritten or freed */
	FARSWAP_SLOT_FILLED,		/* one 8-byte word over and over: in the client's map alone */
};

/* what made a page's stored bytes; the numbers stand in map entries (4 bits) */
enum farswap_codec {
	FARSWAP_CODEC_NONE = 0,		/* the page as it is */
	FARSWAP_CODEC_LZ4,
	FARSWAP_CODEC_LZO,
	FARSWAP_CODEC_ZSTD,
	FARSWAP_CODECS
};

#define FARSWAP_CODEC_NAMES { "none", "lz4", "lzo", "zstd" }	/* the operator's words, by number */

/* what a slot of an extent holds: its stored bytes and their CRC-32C */
struct farswap_sum {
	__u32 frame;			/* in the extent */
	__u16 offset;			/* in the frame */
	__u16 length;			/* bytes, 1 to 4096 */
	__u32 sum;
};

#define FARSWAP_SLOT_VERIFY	1u	/* SLOT_GET: read and check every copy */

/* counters since the device was made; each also a file in /sys/block/NAME/farswap/ */
struct farswap_counters {
	unsigned long long stores;		/* pages accepted */
	unsigned long long loads;		/* pages given back, from wherever */
	unsigned long long loads_staged;	/* of these, from the staging pool */
	unsigned long long loads_empty;		/* of these, never written: zeros */
	unsigned long long loads_ahead;		/* of these, from the read-ahead buffers */
	unsigned long long frees;		/* slots freed by the kernel */
	unsigned long long refused;		/* stores refused: pool or extents short, or a worker */
	unsigned long long waits;		/* stores that waited for room in the pool */
	unsigned long long load_errors;		/* loads that failed */
	unsigned long long corrupt;		/* copies that did not verify */
	unsigned long long read_failovers;	/* READs tried on another replica after an error */
	unsigned long long read_hedges;		/* READs tried on another replica after a timeout */
	unsigned long long windows;		/* windows written */
	unsigned long long write_wrs;		/* WRITE work requests posted */
	unsigned long long write_chains;	/* doorbells for them */
	unsigned long long write_bytes;		/* bytes in them */
	unsigned long long read_wrs;		/* READ work requests posted */
	unsigned long long read_bytes;		/* bytes in them */
	unsigned long long ahead_pages;		/* pages read ahead */
	unsigned long long ahead_used;		/* of these, loaded */
	unsigned long long ahead_waits;		/* loads that waited for one on its way */
	unsigned long long parked;		/* windows that waited for a replica or a frame */
	unsigned long long held;		/* slots that hold a page now */
	unsigned long long staged;		/* of these, in the staging pool */
	unsigned long long degraded;		/* extents with fewer live members that miss nothing than copies */
	unsigned long long mended;		/* slots written again to a member that missed them or had them wrong */
	unsigned long long scrubbed;		/* stored pages whose copies were read and verified in the background */
	unsigned long long missed;		/* frames that live members still miss */
	unsigned long long filled;		/* slots held whose page is one word over and over: in the map alone */
	unsigned long long stored_4096;		/* pages in frames of their own, */
	unsigned long long stored_2048;		/* and compressed into classes of so many bytes */
	unsigned long long stored_1024;
	unsigned long long stored_512;
	unsigned long long frames;		/* 4 KiB frames in use on each donor of a set */
	unsigned long long compacted;		/* pages moved to free frames full of holes */
	unsigned long long metadata_bytes;	/* of kernel memory, for the map and the extents; no page is in it */
	unsigned long long load_p50_ns;		/* page-in: from entering the module to verified */
	unsigned long long load_p99_ns;
};

#endif
