/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is there room for pages to come back, and has reclaim begun? Asked of what every kernel has: /proc/vmstat, the watermarks in
 * /proc/zoneinfo, and the version 2 control groups that a process is in. Not of PSI, which counts waiting for a page from swap as
 * pressure too: a process that faults its pages back would look like one that loses them.
 * The files are opened once, so that looking allocates little when memory is short.
 */
#ifndef FARSWAP_PRESSURE_H
#define FARSWAP_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PRESSURE_DEPTH	32	/* control groups one in another */

enum pressure_state {
	PRESSURE_NONE,
	PRESSURE_NO_ROOM,	/* bringing more would itself make the kernel reclaim */
	PRESSURE_RECLAIM,	/* it has begun to since pressure_start() or pressure_enter() */
	PRESSURE_BLIND,		/* a file cannot be read any more */
};

struct pressure_group {
	char path[4096];	/* from the mount point on, "/a/b" */
	int current, high, max, events, stat;	/* files of it; -1: has none */
	uint64_t hits, scanned;	/* at the start */
};

struct pressure {
	int vmstat;
	uint64_t reserve;	/* pages that the kernel wants free, else it reclaims */
	uint64_t scanned;
	struct pressure_group groups[PRESSURE_DEPTH];	/* innermost first */
	size_t n;
	char why[4600];		/* of the last look that was not PRESSURE_NONE: a sentence without its end */
};

/* proc is "/proc" but in tests. 0, or -errno. */
int pressure_start(struct pressure *pressure, const char *proc);
/* from now on the limits and the reclaim of that group ("/a/b" under mount) and of those around it count too. Its own reclaim counts
 * wherever it comes from and in groups inside it; around it only what a group's own limit caused. 0, or -errno. */
int pressure_enter(struct pressure *pressure, const char *mount, const char *group);
/* room: pages that may come back before the next look */
enum pressure_state pressure_look(struct pressure *pressure, uint64_t *room);
void pressure_end(struct pressure *pressure);

/* the number after key at the start of a line, 0 if there is none */
uint64_t pressure_counter(const char *text, const char *key);
/* bytes of a limit file; UINT64_MAX for "max" */
uint64_t pressure_limit(const char *text);
/* pages, from the text of /proc/zoneinfo: each zone's high watermark and what it keeps for allocations that need it, as the
 * kernel's calculate_totalreserve_pages() */
uint64_t pressure_reserve(FILE *zoneinfo);

#endif
