/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cluster.conf read anew while the daemon runs. All of what has changed is taken, or nothing: what cannot change while it runs is said, and then
 * all stays as it was.
 */
#ifndef FARSWAP_SYNC_H
#define FARSWAP_SYNC_H

#include <stddef.h>

/* 0: text has in one line what has changed; -1: why nothing has, or what went wrong then */
int sync_conf(char *text, size_t size);

#endif
