/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What has been lent outlives a planned restart: at its end a donor's daemon makes sure that nobody can reach the memory any more, and
 * gives its descriptor, and that of what state.h says about it, to whoever started it (systemd's file descriptor store); the next
 * daemon finds them among its descriptors. No key, token or queue pair goes with them: clients rejoin.
 *
 * A state is used once: it is voided before anything of it is believed. So whoever finds memory without a whole state that is about
 * just that memory lets go of it, which frees it, and begins anew, with another incarnation.
 */
#ifndef FARSWAP_HANDOVER_H
#define FARSWAP_HANDOVER_H

#include <stdbool.h>

/* once there is an RDMA device, before any message is read; sets farswapd.incarnation if something was taken over */
void handover_take(void);
/* when no message is read any more; what could not be given is still there, to be closed. True: it was, to the daemon that is to come. */
bool handover_give(void);

#endif
