/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Extents whose members are not what they should be, a job each, REPAIR_JOBS at once: while the copy of one is pushed the next is sealed, and the one
 * before is checked and set. What is done is told by plan.h:
 *
 *   a succession        LOCATE ... -> SEAL -> SET
 *   a copy is missing, or leaves
 *                       GRANT at the target -> SEAL -> SUM_GET -> { PUSH ... -> CHECK ... } from each source -> SET
 *   a copy is to leave before there is another
 *                       SEAL -> SET
 *   left sealed         OPEN
 *
 * Whatever fails, on whatever step, has one next step: the try is over and the table of extents is stale. It is read anew, a
 * sealed extent in it is opened, a slab that was granted for nothing is given back, and all is decided anew. A daemon that
 * starts begins there too. Once WRITEs may be under way to a slab that nobody waits for, it is revoked, never used on.
 */
#ifndef FARSWAP_REPAIR_H
#define FARSWAP_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farswap_nl.h"
#include "farswap_wire.h"
#include "plan.h"

#define REPAIR_ORPHANS_MAX	8
#define REPAIR_RETRY_NS		2000000000ull

enum repair_step {
	REPAIR_IDLE,
	REPAIR_GRANT,
	REPAIR_RENEW,		/* RELEASE of a slab from an earlier life, then GRANT again */
	REPAIR_LOCATE,
	REPAIR_SEAL,
	REPAIR_SUMS,
	REPAIR_PUSH,
	REPAIR_CHECK,
	REPAIR_SET,
	REPAIR_STEPS
};

struct repair_slab {
	uint32_t peer;		/* its number; 0: none */
	uint64_t slab, incarnation, address;
	uint32_t rkey;
	bool asked;		/* RELEASE is in the air */
	uint64_t retry_ns;
};

#define REPAIR_JOBS		2
#define REPAIR_CHECKS_MAX	4	/* CHECKs in the air: 4 MiB of pages, as a PING waits behind them */

struct repair_job {
	enum repair_step step;
	bool waiting;			/* for an answer; the next step is taken when it is there */
	uint64_t extent;
	uint32_t generation;		/* of the extent before */
	uint32_t target;		/* peer that gets the copy; 0: none, a succession */
	uint32_t leaver;		/* peer whose copy it takes the place of, if the others are there still, or that leaves without; 0: none */
	struct repair_slab moved;	/* that copy, when it did: it goes back */
	struct repair_slab copy;	/* there */
	bool renewed;
	struct repair_slab located[FARSWAP_COPIES_MAX];	/* members that came back, as they are registered now */
	struct repair_slab gone[FARSWAP_COPIES_MAX];	/* of members that came back without them */
	unsigned int n_located, n_gone, locating;	/* the member that is asked about, or is next */

	uint32_t source;		/* peer that pushes; 0: to be chosen */
	struct {
		uint32_t peer;
		bool gave;		/* all of a round; else it cannot push */
	} tried[FARSWAP_COPIES_MAX];
	unsigned int n_tried;
	bool alone;			/* the source pushed all of this round so far */
	bool has_queue, has_token;	/* from source to target */
	uint8_t token[FARSWAP_TOKEN_BYTES];
	unsigned int failures;		/* of the present piece */
	struct farswap_sum *sums;	/* what the extent holds, by place */
	uint64_t *todo, *differ;	/* a bit for each: to be pushed; found different */
	size_t n_sums, at, checked;	/* pushed up to, asked to check up to */
	uint64_t try;			/* an answer to a CHECK of another one is nothing to this */
	char check_why[200];		/* a CHECK has failed; "": none */
	size_t nobody_has;		/* sums that no member gave right, and none may have any more */
	struct plan_run run;		/* the piece in the air */
	uint64_t turn;			/* when it was the first time that its copy could be pushed, as a number that rises */
	uint64_t look_ns;		/* while another one is busy, no look at all extents before */
};

struct repair_check {
	struct repair_job *job;		/* whose CHECK is in the air; NULL: none */
	uint64_t try;
	size_t from, to;		/* the sums in it */
};

struct device_repair {
	struct repair_job jobs[REPAIR_JOBS];
	struct repair_check checks[REPAIR_CHECKS_MAX];
	uint64_t turns;			/* the last one that was given */
	uint64_t due_ns;		/* next piece of a PUSH not before */
	uint64_t open_ns;		/* no EXTENT_OPEN before */
	struct repair_slab orphans[REPAIR_ORPHANS_MAX];	/* granted for nothing, to be given back */
	uint64_t begun_ns, bytes;	/* since extents were all whole last */
	uint64_t extents_done, moves_done;	/* copies made since the daemon started: of missing ones, and in the place of others */
	uint64_t drops_done;			/* copies given up before there was another, as their donors could not wait */
	char why[300];			/* what hinders, "": nothing */
};

/* what is left of the present repairs, in bytes of frames in use */
struct repair_progress {
	uint64_t extents;		/* to be done, those at work included */
	uint64_t moves;			/* of these: no copy is missing, one leaves */
	uint64_t bytes_left;
	double bytes_per_s;		/* 0: not known yet */
	uint64_t pages_lost;		/* that no member had right when their extents were repaired: reads of them fail */
};

/* what a peer has of ours, in bytes of frames in use; moving: of the slabs that are to go to other donors */
struct repair_share {
	uint64_t used_bytes;
	uint64_t moving, moving_bytes;
};

void repair_advance(void);
/* no job has an extent in hand, or an answer to come */
bool repair_is_idle(void);
/* is that member's copy to be moved: wanted back by its donor, or for the sake of even use? */
struct device_extent;
bool repair_leaves(const struct device_extent *extent, unsigned int member);
/* can it be given up before there is another copy? */
bool repair_spares(const struct device_extent *extent, unsigned int member);
void repair_progress(struct repair_progress *out);
void repair_share(uint32_t peer, struct repair_share *out);
const char *repair_step_text(enum repair_step step);
/* forget all of it, at the end of the device */
void repair_reset(void);

#endif
