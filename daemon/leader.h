/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the leader of this node's group tells its members, and, while this node leads, what it does for that. All of it is hints; leading costs a group a
 * few small puts a minute. Keys, each gone with the node that put it:
 *
 *   total/GROUP           what its members offer and have lent; a leader hears one of another group every 10 s
 *   group/GROUP/usual     the use, in thousandths, that this leader takes for usual among all groups: members above it are passed over (group_bar())
 *   group/THEIRS/ask/GROUP    the group is short and asks THEIRS for donors: the use that is usual for it; "" when it needs them no more
 *   group/GROUP/from/THEIRS   those that it names, as members are told: its members may use them
 *
 * A new leader finds all of that, and goes on. Without one members do with what was told last.
 */
#ifndef FARSWAP_LEADER_H
#define FARSWAP_LEADER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "placement.h"

/* farswapd.self's group is known; stands for election. 0, or -1: out of memory */
int leader_begin(const struct engine_ops *ops, struct engine *engine, uint32_t group);
/* keys below group/GROUP/; value NULL: deleted */
void leader_saw_usual(const char *value);
void leader_saw_ask(uint32_t other, const char *value);
void leader_saw_from(uint32_t other, unsigned int named);
/* each second; does nothing while another leads */
void leader_look(void);
/* members above what is usual among all groups are barred from these, if enough others are left */
void leader_bar(struct placement_node *nodes, size_t n);
void leader_exit(void);
/* { group, groups, leader, usual_thousandths, short, from: [ { group, nodes } ] }; groups, short: known to a leader alone */
void leader_status(struct json_object *all);

#endif
