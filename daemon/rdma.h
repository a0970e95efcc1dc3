/* SPDX-License-Identifier: GPL-2.0 */
/* The donor's RDMA side: a listener of the connection manager, and the queue pairs of its sessions. */
#ifndef FARSWAP_RDMA_H
#define FARSWAP_RDMA_H

#include <infiniband/verbs.h>
#include <stdint.h>

struct queue;

/* tries to listen, and again every 10 seconds while it cannot; says so in one line */
void rdma_init(void);
void rdma_exit(void);
/* 0: listening (tries now if not), else the errno of why not */
int rdma_ready(void);
/* as of the last try, no new one */
int rdma_last_error(void);
struct ibv_context *rdma_verbs(void);	/* NULL while not listening */
const char *rdma_device_name(void);
/* at once; also takes it out of its session, whose end is the caller's to see to */
void rdma_queue_destroy(struct queue *queue);
/* connect requests refused for their private data or token */
uint64_t rdma_refused(void);

#endif
