// SPDX-License-Identifier: GPL-2.0
#include "nl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

#define ANSWER_BYTES	(256 * 1024)
#define ANSWER_LIMIT_S	60	/* a VERIFY dump reads a batch of pages over RDMA before each part of its answer */

static struct nla_policy policy[FARSWAP_A_MAX + 1] = {
	[FARSWAP_A_NAME]		= { .type = NLA_STRING },
	[FARSWAP_A_SIZE]		= { .type = NLA_U64 },
	[FARSWAP_A_COPIES]		= { .type = NLA_U8 },
	[FARSWAP_A_SLAB_BYTES]		= { .type = NLA_U64 },
	[FARSWAP_A_SPARES]		= { .type = NLA_U32 },
	[FARSWAP_A_LANES]		= { .type = NLA_U32 },
	[FARSWAP_A_QUEUES]		= { .type = NLA_U32 },
	[FARSWAP_A_DEV_STATE]		= { .type = NLA_U8 },
	[FARSWAP_A_OPENERS]		= { .type = NLA_U32 },
	[FARSWAP_A_WANT]		= { .type = NLA_U32 },
	[FARSWAP_A_NODE]		= { .type = NLA_U32 },
	[FARSWAP_A_PEER_NAME]		= { .type = NLA_STRING },
	[FARSWAP_A_PEER_STATE]		= { .type = NLA_U8 },
	[FARSWAP_A_SESSION]		= { .type = NLA_U64 },
	[FARSWAP_A_INCARNATION]		= { .type = NLA_U64 },
	[FARSWAP_A_EXTENT]		= { .type = NLA_U64 },
	[FARSWAP_A_GENERATION]		= { .type = NLA_U32 },
	[FARSWAP_A_MEMBERS]		= { .type = NLA_NESTED },
	[FARSWAP_A_MEMBER]		= { .type = NLA_NESTED },
	[FARSWAP_A_SLAB]		= { .type = NLA_U64 },
	[FARSWAP_A_REMOTE]		= { .type = NLA_U64 },
	[FARSWAP_A_RKEY]		= { .type = NLA_U32 },
	[FARSWAP_A_MEMBER_LIVE]		= { .type = NLA_U8 },
	[FARSWAP_A_FRAMES]		= { .type = NLA_U32 },
	[FARSWAP_A_FRAMES_USED]		= { .type = NLA_U32 },
	[FARSWAP_A_FLAGS]		= { .type = NLA_U32 },
	[FARSWAP_A_SLOT]		= { .type = NLA_U64 },
	[FARSWAP_A_SLOT_STATE]		= { .type = NLA_U8 },
	[FARSWAP_A_FRAME]		= { .type = NLA_U32 },
	[FARSWAP_A_SUM]			= { .type = NLA_U32 },
	[FARSWAP_A_LENGTH]		= { .type = NLA_U32 },
	[FARSWAP_A_GOOD]		= { .type = NLA_U32 },
	[FARSWAP_A_BAD]			= { .type = NLA_U32 },
	[FARSWAP_A_UNREAD]		= { .type = NLA_U32 },
	[FARSWAP_A_REASON]		= { .type = NLA_STRING },
	[FARSWAP_A_READ_NS]		= { .type = NLA_U64 },
	[FARSWAP_A_CODEC]		= { .type = NLA_U8 },
	[FARSWAP_A_OFFSET]		= { .type = NLA_U32 },
	[FARSWAP_A_SEALED]		= { .type = NLA_U8 },
	[FARSWAP_A_MISSED]		= { .type = NLA_U32 },
	[FARSWAP_A_SUCCEEDS]		= { .type = NLA_U32 },
};

struct nl_msg *farswap_nl_new(int cmd, int dump)
{
	struct nl_msg *msg = nlmsg_alloc_size(16384);

	if (!msg)
		return NULL;
	/* the family's number is filled in when it is sent: it changes each time the module is loaded */
	if (!genlmsg_put(msg, 0, 1, GENL_ID_CTRL, 0, NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK), cmd,
			 FARSWAP_NL_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* libnl tells each failure to ask as "not found": only a module that is not there may count as gone */
static int no_family(char *err, size_t size)
{
	if (!access("/sys/module/farswap", F_OK)) {
		snprintf(err, size, "the kernel module did not answer");
		return -EIO;
	}
	snprintf(err, size, "module farswap is not loaded: modprobe farswap (or insmod farswap.ko)");
	return -EPROTONOSUPPORT;
}

static int open_socket(struct nl_sock **sock, int *family, char *err, size_t size)
{
	struct timeval limit = { .tv_sec = ANSWER_LIMIT_S };
	int one = 1, ret;

	*sock = nl_socket_alloc();
	if (!*sock) {
		snprintf(err, size, "out of memory");
		return -ENOMEM;
	}
	ret = genl_connect(*sock);
	if (ret < 0) {
		snprintf(err, size, "no netlink socket: %s", nl_geterror(ret));
		nl_socket_free(*sock);
		return -EIO;
	}
	*family = genl_ctrl_resolve(*sock, FARSWAP_NL_FAMILY);
	if (*family < 0) {
		nl_socket_free(*sock);
		return no_family(err, size);
	}
	nl_socket_set_buffer_size(*sock, 1 << 20, 0);
	setsockopt(nl_socket_get_fd(*sock), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nl_socket_get_fd(*sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return 0;
}

/* an ACK or an error; the kernel may have added a text */
static int take_error(struct nlmsghdr *nlh, char *err, size_t size)
{
	struct nlmsgerr *e = nlmsg_data(nlh);
	struct nlattr *attr;
	size_t skip = sizeof(*e);
	int left;

	if (nlmsg_datalen(nlh) < (int)sizeof(*e)) {
		snprintf(err, size, "truncated netlink answer");
		return -EBADMSG;
	}
	if (!e->error)
		return 0;
	snprintf(err, size, "%s", strerror(-e->error));
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return e->error;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += e->msg.nlmsg_len - sizeof(struct nlmsghdr);
	left = nlmsg_datalen(nlh) - (int)NLMSG_ALIGN(skip);
	for (attr = (struct nlattr *)((char *)e + NLMSG_ALIGN(skip)); left > 0 && nla_ok(attr, left);
	     attr = nla_next(attr, &left))
		if (nla_type(attr) == NLMSGERR_ATTR_MSG)
			snprintf(err, size, "%.*s", nla_len(attr), (char *)nla_data(attr));
	return e->error;
}

/* one datagram's messages; 1: more to come, 0: over, -errno */
static int take_datagram(void *data, int bytes, int (*each)(const struct nlmsghdr *nlh, void *arg), void *arg,
			 char *err, size_t size)
{
	struct nlmsghdr *nlh;
	int ret;

	for (nlh = data; nlmsg_ok(nlh, bytes); nlh = nlmsg_next(nlh, &bytes)) {
		if (nlh->nlmsg_type == NLMSG_ERROR)
			return take_error(nlh, err, size);
		if (nlh->nlmsg_type == NLMSG_DONE) {
			ret = nlmsg_datalen(nlh) >= (int)sizeof(int) ? *(int *)nlmsg_data(nlh) : 0;
			if (ret < 0)
				snprintf(err, size, "%s", strerror(-ret));
			return ret < 0 ? ret : 0;
		}
		if (nlh->nlmsg_type < NLMSG_MIN_TYPE)
			continue;
		ret = each ? each(nlh, arg) : 0;
		if (ret < 0) {
			snprintf(err, size, "%s", strerror(-ret));
			return ret;
		}
	}
	return 1;
}

static int collect(struct nl_sock *sock, char *buf, int (*each)(const struct nlmsghdr *nlh, void *arg), void *arg,
		   char *err, size_t size)
{
	ssize_t n;
	int ret = 1;

	while (ret == 1) {
		n = recv(nl_socket_get_fd(sock), buf, ANSWER_BYTES, MSG_TRUNC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || n > ANSWER_BYTES) {
			ret = n < 0 ? -errno : -EMSGSIZE;
			if (ret == -EAGAIN)
				ret = -ETIMEDOUT;
			snprintf(err, size, "no answer from the kernel module: %s", strerror(-ret));
			break;
		}
		ret = take_datagram(buf, (int)n, each, arg, err, size);
	}
	return ret;
}

int farswap_nl_call(struct nl_msg *msg, int (*each)(const struct nlmsghdr *nlh, void *arg), void *arg, char *err, size_t size)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct nl_sock *sock;
	int family, ret;
	char *buf;

	ret = open_socket(&sock, &family, err, size);
	if (ret)
		return ret;
	buf = malloc(ANSWER_BYTES);	/* before the send: what has been done must not be told as failed */
	if (!buf) {
		snprintf(err, size, "out of memory");
		nl_socket_free(sock);
		return -ENOMEM;
	}
	nlh->nlmsg_type = (uint16_t)family;
	nlh->nlmsg_pid = nl_socket_get_local_port(sock);
	/* the handler in the kernel runs inside this send, however long it takes */
	if (send(nl_socket_get_fd(sock), nlh, nlh->nlmsg_len, 0) < 0) {
		ret = -errno;
		snprintf(err, size, "cannot send to the kernel module: %s", strerror(-ret));
	} else {
		ret = collect(sock, buf, each, arg, err, size);
	}
	free(buf);
	nl_socket_free(sock);
	if (ret == -EPERM)
		snprintf(err, size, "not permitted: the kernel module wants CAP_SYS_ADMIN (be root)");
	return ret;
}

int farswap_nl_parse(const struct nlmsghdr *nlh, struct nlattr **attrs)
{
	return genlmsg_parse((struct nlmsghdr *)nlh, 0, attrs, FARSWAP_A_MAX, policy) < 0 ? -EBADMSG : 0;
}

int farswap_nl_parse_nested(struct nlattr *nest, struct nlattr **attrs)
{
	return nla_parse_nested(attrs, FARSWAP_A_MAX, nest, policy) < 0 ? -EBADMSG : 0;
}

uint64_t farswap_nl_u64(struct nlattr *const *attrs, int type)
{
	return attrs[type] ? nla_get_u64(attrs[type]) : 0;
}

uint32_t farswap_nl_u32(struct nlattr *const *attrs, int type)
{
	return attrs[type] ? nla_get_u32(attrs[type]) : 0;
}

uint8_t farswap_nl_u8(struct nlattr *const *attrs, int type)
{
	return attrs[type] ? nla_get_u8(attrs[type]) : 0;
}

const char *farswap_nl_string(struct nlattr *const *attrs, int type)
{
	return attrs[type] ? nla_get_string(attrs[type]) : "";
}

void farswap_nl_counters(struct nlattr *const *attrs, struct farswap_counters *out)
{
	memset(out, 0, sizeof(*out));
	if (attrs[FARSWAP_A_COUNTERS])
		nla_memcpy(out, attrs[FARSWAP_A_COUNTERS], sizeof(*out));
}

const char *farswap_nl_dev_state(unsigned int state)
{
	static const char * const names[] = { "unknown", "new", "up", "down" };

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

const char *farswap_nl_peer_state(unsigned int state)
{
	static const char * const names[] = { "unknown", "connecting", "live", "lost" };

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

const char *farswap_nl_slot_state(unsigned int state)
{
	static const char * const names[] = { "empty", "staged", "stored", "error", "filled" };

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

int farswap_nl_listen(void)
{
	struct nl_sock *sock = nl_socket_alloc();
	int group, number, fd = -ENOENT;

	if (!sock)
		return -ENOMEM;
	if (genl_connect(sock) < 0)
		goto out;
	number = genl_ctrl_resolve(sock, FARSWAP_NL_FAMILY);
	group = genl_ctrl_resolve_grp(sock, FARSWAP_NL_FAMILY, FARSWAP_NL_GROUP);
	if (number < 0 || group < 0 || nl_socket_add_membership(sock, group) < 0)
		goto out;
	/* the descriptor outlives libnl's wrapper of it */
	fd = fcntl(nl_socket_get_fd(sock), F_DUPFD_CLOEXEC, 3);
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	else
		fd = -errno;
out:
	nl_socket_free(sock);
	return fd;
}

int farswap_nl_is_gone(int error)
{
	return error == -ENODEV || error == -ENOENT || error == -ENXIO || error == -EPROTONOSUPPORT;
}
