/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which RDMA device a transport is bound to: the one over which its first peer is reached. Bound means protection
 * domain, the lanes' completion queues and DMA addresses of all buffers. When the device goes (its driver is
 * unloaded, the link deleted), its peers are failed and all of that is given back before the removal goes on.
 */
#ifndef FSW_BIND_H
#define FSW_BIND_H

struct fsw_buffer;
struct fsw_rdma;
struct ib_device;

int fsw_bind_init(void);
void fsw_bind_exit(void);

void fsw_bind_add(struct fsw_rdma *rdma);	/* make it known */
void fsw_bind_del(struct fsw_rdma *rdma);	/* unbind and forget it; no peer is bound */

/*
 * One more peer uses device. 0, or -errno with *why: -EXDEV (bound to another one), -ENODEV (it is going), -E2BIG
 * (the staging pool or the read-ahead buffers do not fit its queues), -ENOMEM, -EIO. Process context. fsw_bind_put: any context that may
 * take a spinlock.
 */
int fsw_bind_get(struct fsw_rdma *rdma, struct ib_device *device, const char **why);
void fsw_bind_put(struct fsw_rdma *rdma);

int fsw_buffer_get(void *transport, struct fsw_buffer *buffer, size_t bytes);	/* see fsw_transport_ops */
void fsw_buffer_put(void *transport, struct fsw_buffer *buffer);

#endif
