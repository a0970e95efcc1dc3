/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who is in the cluster, where a membership engine says so (etcd= in cluster.conf): this node is told to those of its group (groups.h) under a lease, with
 * what it offers, and they become nodes of this one as they are seen; so do those that another group's leader names (leader.h). One that left is still known while it is used, and for ten minutes: a node whose engine
 * is away for longer than its lease has done nothing wrong. While the engine is not reached nothing changes, and the next daemon has them from a file
 * in the run directory. Without engine, all of this does nothing.
 */
#ifndef FARSWAP_MEMBERS_H
#define FARSWAP_MEMBERS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf.h"
#include "placement.h"

/* 0, or -1 after one line */
int members_init(void);
/* this node tells what its section of cluster.conf says now */
void members_conf(void);
/* when the loop has ended: leaves at once, unless the next daemon is to come */
void members_exit(bool again);
/* false: the engine has not told yet who is there: a node that is not known may well be one */
bool members_settled(void);
/* those of this node's group that are there, itself included, and what they offer; map: which they are. How many. Arrays of FARSWAP_NODES_MAX. */
size_t members_view(struct placement_node *view, const struct farswap_node **map);
/* { name, address, rack, lend }, lend in slabs at most, the caller's to put */
struct json_object *members_record(const struct farswap_node *node);
/* { engine, nodes, and of an outside engine: reached, since_s, endpoint, version, why, and what leader_status() adds }, the caller's to put */
struct json_object *members_status(void);

#endif
