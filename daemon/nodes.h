/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The nodes that this daemon knows: farswapd.conf.nodes. A node keeps its place, and with it its link, as long as it is known; the place of one
 * whose name is "" is free. cluster.conf (sync.c) and the membership engine (members.c) bring and remove them.
 */
#ifndef FARSWAP_NODES_H
#define FARSWAP_NODES_H

#include <stdbool.h>

#include "conf.h"

/* a free place; NULL: there is none */
struct farswap_node *nodes_place(void);
/* it lends, is not this one, and has not left */
bool nodes_is_donor(const struct farswap_node *node);
/* this node's device has copies there, or is about to */
bool nodes_used(const struct farswap_node *node);
/* its place may be another's: nothing tells of it any more */
void nodes_remove(struct farswap_node *node);

#endif
