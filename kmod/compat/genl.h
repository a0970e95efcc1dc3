/* SPDX-License-Identifier: GPL-2.0 */
/* Generic netlink's differences between kernels. */
#ifndef FSW_COMPAT_GENL_H
#define FSW_COMPAT_GENL_H

#include <net/genetlink.h>

/* the attributes that a dump was asked with */
static inline struct nlattr **fsw_dump_attrs(struct netlink_callback *cb)
{
#ifdef FSW_HAVE_GENL_INFO_DUMP
	return genl_info_dump(cb)->attrs;
#else
	return genl_dumpit_info(cb)->attrs;
#endif
}

/* commands from this one on are checked strictly; where there is no such field, all are */
#ifdef FSW_HAVE_RESV_START_OP
#define FSW_GENL_STRICT_FROM(cmd)	.resv_start_op = (cmd),
#else
#define FSW_GENL_STRICT_FROM(cmd)
#endif

/* who may listen to a multicast group; where that cannot be said, events carry nothing that needs hiding */
#ifdef FSW_HAVE_MCAST_CAP
#define FSW_GENL_GROUP_ADMIN	.flags = GENL_MCAST_CAP_SYS_ADMIN,
#else
#define FSW_GENL_GROUP_ADMIN
#endif

#endif
