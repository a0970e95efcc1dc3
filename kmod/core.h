/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core: what a page's life is made of, with no word of RDMA, block devices or netlink. Front ends call
 * store, load and invalidate; a transport moves bytes behind struct fsw_transport_ops; netlink adds extents.
 * The same .c files are built in user space for the tests (tests/unit), which is why only os.h includes headers.
 *
 * Units: a slot is a page's index in the swap device (4 KiB each), a frame is an index over all extents
 * (extent index * frames per extent + frame in the extent), a place is an index into the staging pool.
 */
#ifndef FSW_CORE_H
#define FSW_CORE_H

#include "os.h"
#include "../include/farswap_nl.h"
#include "../include/farswap_wire.h"

#define FSW_PAGE		FARSWAP_FRAME_BYTES
#define FSW_CLUSTER		512	/* slots with one home run; the kernel's SWAPFILE_CLUSTER with THP swap */
#define FSW_WINDOW_MAX		64	/* pages */
#define FSW_SPARES		2	/* windows of compaction's, beside the staging pool */
#define FSW_MEND_SLOTS		16	/* mended at once, beside both */
#define FSW_PEERS_MAX		8	/* live peers of a device */
#ifndef FSW_CHAINS_MAX			/* lower in the simulator, which has few donors */
#define FSW_CHAINS_MAX		32	/* of a window: one for each peer that some of its pages go to, a bit each */
#endif

/* ---- peers: what the core sees of one; the transport embeds it in its own struct ---- */
struct fsw_peer {
	u32 node;		/* farswapd's number for it */
	u32 state;		/* enum farswap_peer_state, READ_ONCE; LIVE -> LOST once and never back */
	u64 lost_ns;		/* ktime, READ_ONCE; there before it is LOST, 0 while it is LIVE */
	u64 read_ns;		/* recent latency of a READ (moving mean); racy by design, only a hint */
	atomic64_t corrupt;	/* copies from here that did not verify */
};

static inline bool fsw_peer_live(const struct fsw_peer *peer)
{
	return READ_ONCE(peer->state) == FARSWAP_PEER_LIVE;
}

/* ---- memory that the transport can reach with work requests ---- */
struct fsw_buffer {
	void *va;
	u64 dma;		/* for the transport; valid once it is bound to a device */
	size_t bytes;
	bool in;		/* the hardware writes it; else it only reads it */
	struct list_head link;	/* the transport's list of buffers */
};

/* ---- a chain: all WRITEs of one window to one peer, or those of mending, or the READs of one fetch (read-ahead) from one ---- */
struct fsw_piece {		/* one contiguous run of frames */
	u64 remote;		/* address at the donor */
	u32 rkey;
	u32 offset;		/* in the buffer */
	u32 bytes;
};

struct fsw_fetch;

struct fsw_chain {
	void (*done)(struct fsw_chain *chain, int status);	/* fsw_chain_done() */
	void *owner;		/* done's */
	struct fsw_peer *peer;
	u64 posted_ns;		/* when it was given to the transport */
	struct list_head link;	/* the transport's: chains in flight of a peer */
	unsigned long priv[4];	/* the transport's */
};

/* ---- one READ in flight, with its own bounce buffer of a page ---- */
struct fsw_read {
	void *va;		/* the bounce buffer; stable once status is 0, until read_put */
	int status;		/* FSW_READ_FLYING, then 0 or -errno (smp_store_release / smp_load_acquire) */
	atomic_t *pin;		/* the core's: the frame held against reuse */
};

#define FSW_READ_FLYING 1

struct fsw_transport_ops {
	/*
	 * Memory for a window or a bounce buffer: bytes of physically contiguous, zeroed memory. Set-up only, may
	 * sleep. 0 or -ENOMEM. buffer_put: when no work request can touch it any more.
	 */
	int (*buffer_get)(void *transport, struct fsw_buffer *buffer, size_t bytes);
	void (*buffer_put)(void *transport, struct fsw_buffer *buffer);

	/*
	 * Post nr WRITEs from buf to chain->peer: one chain, one doorbell, the last one signalled. Any context
	 * that holds no irq-safe lock, does not sleep. Never fails at once: exactly one fsw_chain_done() follows,
	 * perhaps before this returns, and only when the hardware no longer reads buf (completed, or drained).
	 * pieces is the caller's again on return.
	 */
	void (*write)(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf,
		      const struct fsw_piece *pieces, unsigned int nr);

	/* The same with READs into buf, on another queue pair. fsw_chain_done() comes when the hardware writes buf no more. */
	void (*fetch)(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf,
		      const struct fsw_piece *pieces, unsigned int nr);

	/*
	 * A read request of this CPU's lane, or NULL if none is free now. Does not sleep. A quarter of a lane is kept for
	 * urgent ones: a load that is being ended takes those while the same task's later loads hold the others.
	 */
	struct fsw_read *(*read_get)(void *transport, bool urgent);
	/* Sleep until an urgent read request may be free, at most until deadline_ns (ktime). */
	void (*read_room)(void *transport, u64 deadline_ns);
	/* Post it: bytes from remote into read->va. Sets status FLYING, later 0 or -errno; an error at once too. */
	void (*read_post)(void *transport, struct fsw_read *read, struct fsw_peer *peer, u64 remote, u32 rkey,
			  u32 bytes);
	/* Return when one of the nr reads is no longer FLYING, or until_ns (ktime) passed. Polls, then sleeps. */
	void (*read_wait)(void *transport, struct fsw_read *const *reads, unsigned int nr, u64 until_ns);
	/*
	 * Give it back, in flight or not. When it is both given back and no longer in flight the transport calls
	 * fsw_read_ended() (any context), and only then may it be handed out again.
	 */
	void (*read_put)(void *transport, struct fsw_read *read);

	/* The one door for a failed peer: LIVE -> LOST at once, the rest by queued work. Any context; repeatable. */
	void (*peer_fail)(void *transport, struct fsw_peer *peer, int error, const char *why);
};

/* ---- the transport's calls into the core ---- */

/* A chain ended: 0 when the peer acknowledged every WRITE of it, or every READ has its bytes. A failed peer is LOST before this. Any context. */
static inline void fsw_chain_done(struct fsw_chain *chain, int status)
{
	chain->done(chain, status);
}
void fsw_read_ended(struct fsw_read *read);

/* ---- a device's core ---- */
struct fsw_core;

struct fsw_params {
	u64 size;			/* bytes of swap space, a multiple of FSW_PAGE */
	u64 slab_bytes;			/* power of two, FARSWAP_SLAB_BYTES_MIN..MAX */
	unsigned int copies;		/* 1..FARSWAP_COPIES_MAX */
	unsigned int spares;		/* extents wanted ahead of need */
	unsigned int window;		/* pages, power of two, 1..FSW_WINDOW_MAX */
	unsigned int staging;		/* pages in the staging pool at first, at least 2 windows */
	unsigned int staging_max;	/* and at most: the transport's queues are made for so many, FSW_SPARES windows and FSW_MEND_SLOTS more */
	unsigned int close_ms;		/* an open window is sent after this time */
	unsigned int store_ms;		/* a store waits this long for room before it is refused */
	unsigned int hedge_ms;		/* a READ older than this is tried on another replica too */
	unsigned int load_ms;		/* a load fails after this time */
	unsigned int seal_ms;		/* a seal is given up after this time: longer than a READ or WRITE can take */
	enum farswap_codec codec;	/* of new stores, until fsw_codec_set() */
	unsigned int poll_us;		/* a load polls this long for a page that is being read ahead, then it sleeps */
	unsigned int ahead;		/* pages in the read-ahead buffers, a multiple of 16; 0: no read-ahead */
	const unsigned int *readahead;	/* the window; may change at any time. 0: adaptive, 1: off, 2..64: fixed */
	const unsigned int *scrub;	/* stored pages whose copies are verified, per second; may change at any time. NULL: none ever */
	void (*want)(void *ctx);	/* extents may be short, fsw_extents_wanted() tells: any context, often, only queues work */
	void *want_ctx;
};

/* Process context, may sleep. ERR_PTR(-ENOMEM/-EINVAL). The transport must outlive the core. */
struct fsw_core *fsw_core_new(const struct fsw_params *params, const struct fsw_transport_ops *ops, void *transport);
/*
 * No store or load runs and none comes. Stops timers and workers; afterwards the caller ends every peer (which ends every
 * chain), then calls fsw_core_free(). Process context.
 */
void fsw_core_stop(struct fsw_core *core);
void fsw_core_free(struct fsw_core *core);

struct fsw_member {
	struct fsw_peer *peer;
	u64 slab;			/* the donor's number */
	u64 incarnation;
	u64 remote;			/* address of the region at the donor */
	u32 rkey;
};

/*
 * Add space: one slab on each of nr (1..copies) different peers. Process context, may sleep.
 * -EEXIST (id, or a slab that another extent has), -EINVAL (nr, the same peer twice), -ENOSPC (more extents than the device can use), -ENOMEM.
 */
int fsw_extent_add(struct fsw_core *core, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr);
unsigned int fsw_extents_wanted(struct fsw_core *core);	/* how many more to add now */

/*
 * Change who holds an extent: seal, then set, which opens it again, or open. All: process context, may sleep. -ENOENT (id), -ESTALE (it
 * is in another generation).
 *
 * seal: on return 0 no frame of it is given out and nothing is being written to it; reads and frees go on. -EBUSY: it is sealed, or being
 * sealed or set; -ETIMEDOUT: what was posted did not end, it is open again.
 */
int fsw_extent_seal(struct fsw_core *core, u64 id, u32 generation);
int fsw_extent_open(struct fsw_core *core, u64 id, u32 generation);	/* nothing changed. -EINVAL: it is not sealed */
/*
 * New members, in the generation after the sealed one's. Each has what the old member had whose slab it takes over: the one that
 * succeeds[] names for it, or, with NULL there, itself if it stays; any other has a copy of all that there is. 0: nothing is posted to a
 * member that left any more. -EINVAL: not sealed, nr, the same peer twice, or it succeeds nobody; -EEXIST: a slab that another extent
 * has; -ENODATA: a live member with every page right leaves, and less than copies - 1 such, or two if none comes, would be left; -ENOMEM: then it is still
 * sealed.
 */
int fsw_extent_set(struct fsw_core *core, u64 id, u32 generation, const struct fsw_member *members, unsigned int nr,
		   struct fsw_peer *const *succeeds);
/* Is the peer in any extent's set, or in one that is being left? Process context. */
bool fsw_peer_named(struct fsw_core *core, const struct fsw_peer *peer);

/* ---- the front ends' calls: process context, may sleep, never allocate ---- */

/*
 * Take a page out. 0: the page is kept (staged; a load finds it from now on, what the slot held before is gone).
 * -EAGAIN: refused for want of room, the slot holds what it held. -EINVAL: slot out of range.
 */
int fsw_store(struct fsw_core *core, u64 slot, const void *page);

/*
 * Bring a page back, in two halves so that many READs can fly at once: begin posts, end waits, verifies and copies. A caller
 * begins in order, ends in the same order, all that it began, and begins no more once begin said false (then end does all).
 * more: the caller is about to begin others, so nothing is read ahead yet: what is asked for goes first.
 * end: 0, or -EIO (no copy verified or none can be read), -ETIMEDOUT, -EINVAL. A slot never written reads as zeros.
 */
struct fsw_load {
	u64 slot;
	u64 start_ns;
	u64 deadline_ns;	/* from when it is ended: others that were begun with it may have waited for long before */
	u64 posted_ns;		/* of the last READ */
	struct { u32 sum, seq; u64 where; } entry;
	u32 generation;					/* of the set whose members these are */
	u8 tried;					/* bit per member */
	u8 bad;						/* bit per member: other bytes */
	u8 line;					/* of fetch */
	struct fsw_read *reads[FARSWAP_COPIES_MAX];	/* by member, NULL: none in flight there */
	struct fsw_fetch *fetch;			/* the page was read ahead */
};

bool fsw_load_begin(struct fsw_core *core, struct fsw_load *load, u64 slot, bool more);
int fsw_load_end(struct fsw_core *core, struct fsw_load *load, void *page);
int fsw_load(struct fsw_core *core, u64 slot, void *page);	/* both halves */

/* Does the slot hold a page, one that cannot be read (any more) included? Any context. */
bool fsw_held(struct fsw_core *core, u64 slot);

/* The kernel freed the slot. Any context, interrupts on or off. */
void fsw_invalidate(struct fsw_core *core, u64 slot);

/* The codec of pages stored from now on; what is stored stays as it is. Any context. */
void fsw_codec_set(struct fsw_core *core, enum farswap_codec codec);
enum farswap_codec fsw_codec_get(struct fsw_core *core);

/*
 * Change the staging pool to so many pages while it is in use. Process context, may sleep for params.store_ms, one caller at a time. 0;
 * -EINVAL: not a multiple of the window between 2 windows and params.staging_max; -ENOMEM: grown by less; -EBUSY: windows did not
 * come free, nothing changed.
 */
int fsw_staging_set(struct fsw_core *core, unsigned int pages);
unsigned int fsw_staging_get(struct fsw_core *core);

/* ---- looking at it ---- */
void fsw_counters(struct fsw_core *core, struct farswap_counters *sum);
/* Also for the transport: counts that it alone knows. Any context. */
enum fsw_count { FSW_WRITE_WRS, FSW_WRITE_CHAINS, FSW_WRITE_BYTES, FSW_READ_WRS, FSW_READ_BYTES, FSW_COUNTS_TRANSPORT };
void fsw_count_add(struct fsw_core *core, enum fsw_count which, u64 n);

struct fsw_member_info {
	u32 node, rkey;
	u64 slab, incarnation, remote;
	u32 missed;			/* frames that it missed or has wrong */
	bool live;
};

struct fsw_extent_info {
	u64 id;
	bool sealed;
	u32 generation, frames, frames_used;
	u64 uses;			/* pages written to it and read from it so far, about */
	unsigned int nr;
	struct fsw_member_info members[FARSWAP_COPIES_MAX];
};
/* Extent number index (0, 1, ...): false when there is none. */
bool fsw_extent_info(struct fsw_core *core, unsigned int index, struct fsw_extent_info *info);

struct fsw_slot_info {
	u64 slot, extent;
	u32 state;			/* enum farswap_slot_state */
	u32 frame;			/* in the extent */
	u32 offset;			/* of the stored bytes in the frame */
	u32 sum, length;
	u32 codec;			/* enum farswap_codec */
	u32 good, bad, unread;		/* bit per member, only when verified was asked for */
};
/*
 * Up to nr (at most FSW_LOOKS) held slots at or after *slot, which goes on behind them; 0 at the end. With verify, reads each copy over
 * the transport (may sleep) and compares it with the map's checksum; a slot rewritten meanwhile is looked at again.
 */
#define FSW_LOOKS 4U	/* their READs leave most of a lane's to loads */
unsigned int fsw_slot_infos(struct fsw_core *core, u64 *slot, bool verify, struct fsw_slot_info *infos, unsigned int nr);
/* What the extent holds of the first slot at or after *slot, before slot end, that is STORED there; false: none, and *slot is where to go on. */
bool fsw_slot_sum(struct fsw_core *core, u64 extent, u64 *slot, u64 end, struct farswap_sum *sum);

#endif
