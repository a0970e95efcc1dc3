/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FARSWAP_LISTEN_H
#define FARSWAP_LISTEN_H

/* listen for control peers on this node's address; each that proves to hold the key goes to donor_welcome(). 0 or -errno */
int listen_init(void);
void listen_exit(void);

#endif
