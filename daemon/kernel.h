/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests to farswap.ko that do not hold up the event loop. A netlink handler runs inside the sender's send(),
 * and PEER_ADD takes seconds, so a thread of its own sends them, in order; the answers come back in the loop.
 */
#ifndef FARSWAP_KERNEL_H
#define FARSWAP_KERNEL_H

#include "nl.h"

struct kernel_answer {
	struct kernel_answer *next;
	_Alignas(8) struct nlmsghdr nlh[];	/* the message and its attributes */
};

/* error 0 or -errno with a line in why; answers are valid during the call only */
typedef void (*kernel_done)(int error, const char *why, const struct kernel_answer *answers, void *arg);

int kernel_init(void);
void kernel_exit(void);
/* takes msg; NULL msg (out of memory) is answered with -ENOMEM. done is always called, from the loop. */
void kernel_call(struct nl_msg *msg, kernel_done done, void *arg);
/* hear the module's events: each calls device_poll_soon(). Again after the module was loaded anew. */
void kernel_listen(void);

#endif
