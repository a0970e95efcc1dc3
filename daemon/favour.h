/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What this node does for its own programs where memory is short, at the cost of what it lends: shortage= in cluster.conf. shortage.h decides, here it is looked and
 * done: what clients ask for is counted, or the major faults of one control group are read; what is taken is lent no more, and the group's memory.high is written.
 */
#ifndef FARSWAP_FAVOUR_H
#define FARSWAP_FAVOUR_H

#include <json-c/json.h>
#include <stdint.h>

/* a client asks for a slab */
void favour_asked(void);
/* how many slabs this node was asked for since it began; another one tells that it was asked for n more */
uint32_t favour_asked_here(void);
void favour_heard(uint32_t n);
/* once a second: slabs that it lends at most now */
uint32_t favour_look(void);
/* the group's memory.high as it was */
void favour_exit(void);
/* { policy, taken (bytes), group, why }, the caller's to put */
struct json_object *favour_status(void);

#endif
