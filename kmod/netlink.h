/* SPDX-License-Identifier: GPL-2.0 */
/* Generic netlink: what include/farswap_nl.h defines. netlink.c changes things, netlink_get.c shows them. */
#ifndef FSW_NETLINK_H
#define FSW_NETLINK_H

#include <linux/netlink.h>
#include <net/genetlink.h>

struct fsw_device;

int fsw_netlink_init(void);
void fsw_netlink_exit(void);

/* Events, best effort: process context, never wait for swap. */
void fsw_netlink_want(const char *name, u32 want);
void fsw_netlink_peer(const char *name, u32 node, u8 state, const char *why);
void fsw_netlink_gone(const char *name);

/* ---- netlink.c's and netlink_get.c's ---- */
extern struct genl_family fsw_genl_family;

/* -EPERM without CAP_SYS_ADMIN. Every command asks first. */
int fsw_netlink_allowed(struct sk_buff *skb, struct netlink_ext_ack *extack);
/* The device that NAME names, or the one there is when it names none; NULL with extack set. */
struct fsw_device *fsw_netlink_device(struct nlattr *name, struct netlink_ext_ack *extack);

int fsw_netlink_dev_get(struct sk_buff *skb, struct genl_info *info);
int fsw_netlink_dump_start(struct netlink_callback *cb);
int fsw_netlink_peers(struct sk_buff *skb, struct netlink_callback *cb);
int fsw_netlink_extents(struct sk_buff *skb, struct netlink_callback *cb);
int fsw_netlink_sums_start(struct netlink_callback *cb);
int fsw_netlink_sums(struct sk_buff *skb, struct netlink_callback *cb);
int fsw_netlink_slots_start(struct netlink_callback *cb);
int fsw_netlink_slots(struct sk_buff *skb, struct netlink_callback *cb);

#endif
