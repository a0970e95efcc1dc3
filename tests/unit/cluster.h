/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cluster around the manager: a kernel and donors made here, where everything fails at random: links, donors, queue pairs, requests
 * (some after they were carried out), the daemon itself. What must never happen is looked at as it happens. One seed, one run.
 */
#ifndef CLUSTER_H
#define CLUSTER_H

#include <endian.h>
#include <errno.h>
#include <netlink/genl/genl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"

#define NODES		6		/* 0 is the client; unless cluster_begin_large() */
#define NODES_MAX	14
#define EXTENTS		5
#define COPIES		3
#define OFFERED		40		/* slabs, by each donor */
#define FRAMES		12		/* in use, of each extent */
#define SLABS		4000		/* that ever were */
#define QUEUE		256
#define LEASE		(600000 * MS)
#define MS		1000000ull
#define check(what)	do { if (!(what)) { \
		printf("seed %llu, at %llu ms, line %d: %s\n", cluster.first_seed, (unsigned long long)(cluster.now / MS), __LINE__, #what); \
		fail(); } } while (0)

struct slab {
	bool there, asked, urgent;	/* its donor wants it back; at once */
	bool hurried;			/* its owner was told that it is urgent */
	int node;
	uint64_t session, extent, incarnation;
	uint32_t generation, rkey;
	uint32_t data[FRAMES];
};

/* WRITEs of one donor to another that have not ended; answered: to the manager, if it still waits */
struct push { bool there; unsigned int from, to; int node; uint64_t offset, bytes; };

struct kextent {
	uint64_t number;
	uint32_t generation;
	bool sealed;
	uint64_t uses;
	unsigned int n;
	struct { uint32_t peer; unsigned int slab; uint32_t rkey, missed; } members[FARSWAP_COPIES_MAX];
	uint32_t data[FRAMES];
};

struct cluster {
	int nodes;
	struct link links[NODES_MAX];
	uint64_t now, seed;
	unsigned long long first_seed;
	bool kicked, faults, hurry;	/* hurry: donors that are short of memory want some slabs at once */
	uint64_t unique;
	struct slab slabs[SLABS];	/* slab n has number n + 1 and address (n + 1) << 30 */
	unsigned int n_slabs;
	struct { bool up; uint64_t incarnation, session, renewed; } donors[NODES_MAX];
	struct push pushes[64];
	struct { uint32_t number; int node; uint64_t session, incarnation; bool there, live, dead; } kpeers[64];	/* dead: live until it is used */
	struct kextent kextents[EXTENTS];
	unsigned int n_kextents;
	unsigned int n_requests, n_calls;	/* of donors and of the kernel that are not answered */
};

extern struct cluster cluster;

/* cluster.c */
uint32_t cluster_draw(uint32_t below);
bool cluster_chance(uint32_t in);	/* one in so many, while there are faults */
void cluster_begin(uint64_t seed);
void cluster_begin_large(uint64_t seed);	/* with more donors than the kernel takes */
void cluster_turn(void);		/* something happens, some time passes */
void cluster_pass(int cut, unsigned int ms);	/* time alone: no stores, no mending, no faults; that node's link stays broken */
void cluster_settle(void);		/* without faults for long enough: whole, on different nodes, nothing left over */
unsigned int cluster_slabs_there(void);
unsigned int cluster_slabs_at(int node);
void cluster_drain(int node, bool on);
void cluster_short(int node, bool on);	/* of memory; it asks for some of what owners say can be moved */
void cluster_end_daemon(int node);
void cluster_begin_daemon(int node);	/* one that has nothing, and is reached at once */
void cluster_set_back(int node);	/* to before it granted one of its slabs, the session being older */
void cluster_cut_off(int node);		/* its link, and its queue pairs */
void cluster_restart_daemon(int node);	/* planned: its slabs are handed on, and registered anew */
void cluster_end(void);
int cluster_remove_dir(void **state);

/* cluster_donors.c */
struct kextent *cluster_member_of(unsigned int slab);	/* a slab that the kernel may write to: nobody else may, and it must stay */
void cluster_end_session(int node, bool asked);
void cluster_run_push(struct push *push);
/* every request of that link that is still in the air gets no answer; some are carried out all the same */
void cluster_break_link(int node, bool tell);
void cluster_run_request(void);

/* cluster_kernel.c */
bool cluster_is_live(uint32_t peer);
void cluster_run_call(void);
void cluster_store(struct kextent *extent);	/* a page: on every live member; the others have missed it */
bool cluster_has_right(const struct kextent *extent, unsigned int member, unsigned int frame);
void cluster_mend(struct kextent *extent);	/* what a live member missed */

#endif
