/* SPDX-License-Identifier: GPL-2.0 */
/* Generic netlink to farswap.ko, blocking. The daemon calls it from its own thread (kernel.c), the tool directly. */
#ifndef FARSWAP_NL_CALL_H
#define FARSWAP_NL_CALL_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stddef.h>
#include <stdint.h>

#include "farswap_nl.h"

/* a request; add attributes with nla_put_*(); free with nlmsg_free() */
struct nl_msg *farswap_nl_new(int cmd, int dump);
/*
 * Send it and hand each answer to each(). Returns 0 or -errno, with a line in err: the kernel's own words when it
 * gave some. -EPROTONOSUPPORT with "module farswap is not loaded..." when it is not there.
 */
int farswap_nl_call(struct nl_msg *msg, int (*each)(const struct nlmsghdr *nlh, void *arg), void *arg, char *err, size_t size);
/* attrs[FARSWAP_A_MAX + 1], types and lengths checked; 0 or -errno */
int farswap_nl_parse(const struct nlmsghdr *nlh, struct nlattr **attrs);
int farswap_nl_parse_nested(struct nlattr *nest, struct nlattr **attrs);

/* of an attribute that may be absent */
uint64_t farswap_nl_u64(struct nlattr *const *attrs, int type);
uint32_t farswap_nl_u32(struct nlattr *const *attrs, int type);
uint8_t farswap_nl_u8(struct nlattr *const *attrs, int type);
const char *farswap_nl_string(struct nlattr *const *attrs, int type);
/* short binaries are padded with zeros: an older module knows fewer counters */
void farswap_nl_counters(struct nlattr *const *attrs, struct farswap_counters *out);

const char *farswap_nl_dev_state(unsigned int state);
const char *farswap_nl_peer_state(unsigned int state);
const char *farswap_nl_slot_state(unsigned int state);

/* is it the answer for a device that does not exist (any more)? */
int farswap_nl_is_gone(int error);

/* a socket, non-blocking, that hears the group's events; fd or -errno */
int farswap_nl_listen(void);

#endif
