/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which group this node is in, where a membership engine says who is there. A node that has no place takes one in the smallest group that has any left
 * (group_join()), and keeps it: it comes back to its group after a restart or a reboot, and daemons that are started at the same time agree, as two keys
 * are put at once or neither:
 *
 *   groups       a character per group, '0' and the places taken in it
 *   place/NODE   the number of its group
 *
 * The group's leader mends the count when nodes are gone for good.
 */
#ifndef FARSWAP_GROUPS_H
#define FARSWAP_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"

#define GROUPS_KEY	"groups"
#define GROUPS_MAX	ENGINE_VALUE_MAX
#define GROUPS_NONE	UINT32_MAX

/* places taken of each group; how many groups there are, -1: that is no such text. NULL: 0 */
int groups_parse(const char *text, uint32_t sizes[GROUPS_MAX]);
/* back again; out: n + 1 bytes */
void groups_print(const uint32_t *sizes, size_t n, char *out);
/*
 * The group of a node that is in mine already, or has a place, or neither (GROUPS_NONE), and what then are the sizes of the n there are; places: in a group
 * at most. false: nothing has changed.
 */
bool groups_choose(uint32_t mine, uint32_t place, uint32_t places, uint32_t sizes[GROUPS_MAX], size_t *n, uint32_t *group);

/* known: the group that an earlier daemon of this node was in, GROUPS_NONE: none. begin() is called once, at once if it is known. 0, or -1 after one line */
int groups_begin(const struct engine_ops *ops, struct engine *engine, uint32_t known, void (*begin)(uint32_t group));
void groups_exit(void);

#endif
