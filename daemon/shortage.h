/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a node may do for its own programs where memory is short, at the cost of what it lends. Off unless told. Two policies, one interface:
 * while requests for slabs rise across the cluster it lends less; while one local control group faults often, that group's memory.high is
 * raised within a budget. Neither changes its direction twice within a minute. Pure: no I/O, no clock; the caller looks every second.
 */
#ifndef FARSWAP_SHORTAGE_H
#define FARSWAP_SHORTAGE_H

#include <stdbool.h>
#include <stdint.h>

#define SHORTAGE_TURN_NS	30000000000ull	/* between two changes of direction: at most 2 in a minute */

enum shortage_policy {
	SHORTAGE_OFF,
	SHORTAGE_SHRINK,	/* lends less while requests rise */
	SHORTAGE_RAISE,		/* raises memory.high of one control group */
	SHORTAGE_POLICIES
};

struct shortage_limits {
	uint32_t cap;			/* slabs that it lends at most: lend= */
	uint64_t slab_bytes;
	uint64_t budget;		/* bytes of these that may be taken for local use */
	uint64_t faults_high;		/* SHORTAGE_RAISE: major faults a second of that group, above: raise; below faults_low: lower */
	uint64_t faults_low;
};

struct shortage_look {
	uint64_t now_ns;
	uint64_t requests;	/* SHORTAGE_SHRINK: slabs asked for in the last second: of this donor and, a few seconds late, of those it hears of */
	uint64_t faults;	/* SHORTAGE_RAISE: major faults of the group in the last second */
};

struct shortage {
	enum shortage_policy policy;
	uint64_t taken;			/* bytes of the budget in use: cap is less by them, and memory.high more with SHORTAGE_RAISE */
	uint64_t fast, slow;		/* averages of what is looked at, as evict_activity() has them; slow only with SHORTAGE_SHRINK */
	bool begun;
	int direction;			/* of the last change: 1 takes, -1 gives back, 0: there was none */
	uint64_t turned_ns;
};

const char *shortage_name(enum shortage_policy policy);
/* -1: no such word */
int shortage_parse(const char *name);
/* changes shortage->taken by a step, or not */
void shortage_look(struct shortage *shortage, const struct shortage_limits *limits, const struct shortage_look *look);
/* what is left to lend: lend_marks.cap */
uint32_t shortage_cap(const struct shortage *shortage, const struct shortage_limits *limits);
/* what the group's memory.high is to be, when it was so much at first */
uint64_t shortage_high(const struct shortage *shortage, uint64_t high);

#endif
