/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A farswap device: core, transport and disk tied together. NEW (being set up, no disk) -> UP (the disk is there) ->
 * DOWN (being taken down) -> gone.
 *
 * Order of locks: devices_lock (device.c) > fsw_device.lock > the transport's and the core's.
 */
#ifndef FSW_DEVICE_H
#define FSW_DEVICE_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/rwsem.h>
#include <linux/socket.h>
#include "core.h"
#include "unread.h"

#define FSW_DEVICE_NAME	"farswap0"	/* the only one in this version */

#define FSW_OPENERS_CLOSED	(-1)

struct gendisk;
struct fsw_rdma;

struct fsw_device {
	struct kref refs;
	struct rw_semaphore lock;	/* state, disk, and with DOWN the life of core and rdma; to look: for reading */
	unsigned int state;		/* enum farswap_dev_state; 0: gone */
	atomic_t openers;		/* opens of the disk; FSW_OPENERS_CLOSED: no more */
	struct fsw_unread unread;
	struct fsw_params params;
	struct fsw_core *core;
	struct fsw_rdma *rdma;
	struct gendisk *disk;		/* from UP on */
	struct workqueue_struct *wq;
	struct delayed_work want_work;	/* EV_WANT */
	unsigned long wanted;		/* jiffies when it was last looked whether to send an EV_WANT; want_work's own */
};

/* All: process context, may sleep. extack, where there is one, gets a text with each error. */

struct fsw_device_config {
	const char *name;
	u64 size, slab_bytes;
	unsigned int copies, spares;
	enum farswap_codec codec;
};

/* -EEXIST, -EINVAL, -ENOMEM; -EPERM while the module is being removed */
int fsw_device_new(const struct fsw_device_config *config, struct netlink_ext_ack *extack);
/* The one of that name (NULL: any), or NULL; give it back with fsw_device_put(). */
struct fsw_device *fsw_device_get(const char *name);
void fsw_device_put(struct fsw_device *dev);

/* Show the disk. -EALREADY, -ENODEV (going), -errno */
int fsw_device_start(struct fsw_device *dev, struct netlink_ext_ack *extack);
/* Take it all down; waits for it. -EBUSY (the disk is open), -ENODEV (somebody else is at it) */
int fsw_device_del(struct fsw_device *dev, struct netlink_ext_ack *extack);

struct fsw_peer_config {
	u32 node;
	char name[FARSWAP_NAME_BYTES];
	u64 session, incarnation;
	struct sockaddr_storage address, source;	/* source.ss_family 0: any */
	const u8 *tokens;				/* fsw_rdma_conns() of FARSWAP_TOKEN_BYTES */
	u32 lease_ms;					/* 0: the donor keeps the session for ever */
	u32 lease_rkey;					/* of the lease word, at: */
	u64 lease_remote;
};

/* Connects, up to some 16 s, without the device's lock; a kill signal ends it. -EEXIST, -EINTR, or the step's error */
int fsw_device_peer_add(struct fsw_device *dev, const struct fsw_peer_config *config, struct netlink_ext_ack *extack);

/* -ENOENT. It is LOST from now on: its donor has nothing of the session any more. */
int fsw_device_peer_gone(struct fsw_device *dev, u32 node, struct netlink_ext_ack *extack);
/* -ENOENT, -EBUSY: it is not LOST and torn down, or an extent's set names it */
int fsw_device_peer_del(struct fsw_device *dev, u32 node, struct netlink_ext_ack *extack);

struct fsw_member_config {
	u32 node, rkey;
	u64 slab, incarnation, remote;
	bool heir;			/* succeeds is the number of the peer whose slab it takes over */
	u32 succeeds;
};

/* As those of the core; -ENOENT: no such peer, -ENOTCONN: it is lost (and not to succeed itself) */
int fsw_device_extent_add(struct fsw_device *dev, u64 id, u32 generation, const struct fsw_member_config *config,
			  unsigned int nr, struct netlink_ext_ack *extack);
int fsw_device_extent_set(struct fsw_device *dev, u64 id, u32 generation, const struct fsw_member_config *config,
			  unsigned int nr, struct netlink_ext_ack *extack);
int fsw_device_extent_seal(struct fsw_device *dev, u64 id, u32 generation, struct netlink_ext_ack *extack);
int fsw_device_extent_open(struct fsw_device *dev, u64 id, u32 generation, struct netlink_ext_ack *extack);

/* Says no to a sleep of the host while a disk is open. */
int fsw_devices_init(void);
/* Every device, when the module goes; none comes any more. */
void fsw_devices_exit(void);

/* ---- block.c ---- */
struct gendisk *fsw_disk_new(struct fsw_device *dev);	/* shown on return, or ERR_PTR */
void fsw_disk_del(struct gendisk *disk);

/* ---- sysfs.c ---- */
extern const struct attribute_group *fsw_disk_groups[];

#endif
