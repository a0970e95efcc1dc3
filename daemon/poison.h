/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that failed in hardware, which the kernel tells of by SIGBUS (memory_failure()). In a slab it costs that slab: its owner is
 * to give it up at once (lender.c), and a read of what failed, which would end this process, finds zeros instead, which no checksum of a page is for.
 * Anywhere else the daemon ends, and hands over what it lent if it still can.
 *
 * Not all is told of early: of two pages that fail while a signal waits one is not, nor of a huge page that is registered, by kernels before 6.11. That
 * is noticed when this process reads there. What is pretended by tests leaves the page as it was: a real adapter that reads there gets an error.
 */
#ifndef FARSWAP_POISON_H
#define FARSWAP_POISON_H

#include <systemd/sd-event.h>

/* 0 or -errno */
int poison_init(sd_event *loop);
void poison_exit(void);

#endif
