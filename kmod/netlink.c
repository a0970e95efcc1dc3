// SPDX-License-Identifier: GPL-2.0
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/module.h>
#include "compat/genl.h"
#include "device.h"
#include "netlink.h"
#include "rdma.h"
#include "settings.h"

#define NAME_POLICY	{ .type = NLA_NUL_STRING, .len = FARSWAP_NAME_BYTES - 1 }

/* What may come with each command; anything else is refused. What must come, and together, the gates check. */
static const struct nla_policy name_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
};

static const struct nla_policy dev_new_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
	[FARSWAP_A_SIZE] = { .type = NLA_U64 },
	[FARSWAP_A_COPIES] = NLA_POLICY_RANGE(NLA_U8, 1, FARSWAP_COPIES_MAX),
	[FARSWAP_A_SLAB_BYTES] = { .type = NLA_U64 },
	[FARSWAP_A_SPARES] = NLA_POLICY_RANGE(NLA_U32, 1, 1024),
	[FARSWAP_A_CODEC] = { .type = NLA_U8 },
};

static const struct nla_policy peer_add_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
	[FARSWAP_A_NODE] = { .type = NLA_U32 },
	[FARSWAP_A_PEER_NAME] = NAME_POLICY,
	[FARSWAP_A_SESSION] = { .type = NLA_U64 },
	[FARSWAP_A_INCARNATION] = { .type = NLA_U64 },
	[FARSWAP_A_ADDRESS] = NLA_POLICY_RANGE(NLA_BINARY, sizeof(struct sockaddr_in), sizeof(struct sockaddr_in6)),
	[FARSWAP_A_SOURCE] = NLA_POLICY_RANGE(NLA_BINARY, sizeof(struct sockaddr_in), sizeof(struct sockaddr_in6)),
	[FARSWAP_A_TOKENS] = NLA_POLICY_RANGE(NLA_BINARY, FARSWAP_TOKEN_BYTES,
					      FSW_CONNS_MAX * FARSWAP_TOKEN_BYTES),
	[FARSWAP_A_LEASE] = { .type = NLA_U32 },
	[FARSWAP_A_REMOTE] = { .type = NLA_U64 },
	[FARSWAP_A_RKEY] = { .type = NLA_U32 },
};

static const struct nla_policy member_policy[] = {
	[FARSWAP_A_NODE] = { .type = NLA_U32 },
	[FARSWAP_A_SLAB] = { .type = NLA_U64 },
	[FARSWAP_A_INCARNATION] = { .type = NLA_U64 },
	[FARSWAP_A_REMOTE] = { .type = NLA_U64 },
	[FARSWAP_A_RKEY] = { .type = NLA_U32 },
	[FARSWAP_A_SUCCEEDS] = { .type = NLA_U32 },
};

static const struct nla_policy members_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
	[FARSWAP_A_EXTENT] = { .type = NLA_U64 },
	[FARSWAP_A_GENERATION] = { .type = NLA_U32 },
	[FARSWAP_A_MEMBERS] = { .type = NLA_NESTED },
};

static const struct nla_policy extent_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
	[FARSWAP_A_EXTENT] = { .type = NLA_U64 },
	[FARSWAP_A_GENERATION] = { .type = NLA_U32 },
};

static const struct nla_policy node_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
	[FARSWAP_A_NODE] = { .type = NLA_U32 },
};

static const struct nla_policy sum_get_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
	[FARSWAP_A_EXTENT] = { .type = NLA_U64 },
};

static const struct nla_policy slot_get_policy[] = {
	[FARSWAP_A_NAME] = NAME_POLICY,
	[FARSWAP_A_FLAGS] = NLA_POLICY_MASK(NLA_U32, FARSWAP_SLOT_VERIFY),
};

#define MEMBER_MAX	(ARRAY_SIZE(member_policy) - 1)

/* ---- gates ---- */

static int refuse(struct netlink_ext_ack *extack, int error, const char *why)
{
	if (extack)
		extack->_msg = why;
	return error;
}

static int refuse_attr(struct genl_info *info, unsigned int attr, const char *why)
{
	NL_SET_BAD_ATTR(info->extack, info->attrs[attr]);
	return refuse(info->extack, -EINVAL, why);
}

static int require(struct netlink_ext_ack *extack, struct nlattr **attrs, const unsigned int *wanted, unsigned int nr,
		   const char *why)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!attrs[wanted[i]])
			return refuse(extack, -EINVAL, why);
	return 0;
}

#define REQUIRE(extack, attrs, wanted)	\
	require(extack, attrs, wanted, ARRAY_SIZE(wanted), "an attribute that this command needs is missing")

int fsw_netlink_allowed(struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	return netlink_capable(skb, CAP_SYS_ADMIN) ? 0 : refuse(extack, -EPERM, "CAP_SYS_ADMIN is needed");
}

struct fsw_device *fsw_netlink_device(struct nlattr *name, struct netlink_ext_ack *extack)
{
	struct fsw_device *dev = fsw_device_get(name ? nla_data(name) : NULL);

	if (!dev)
		refuse(extack, -ENODEV, "there is no such device");
	return dev;
}

static struct fsw_device *device_of(struct genl_info *info)
{
	return fsw_netlink_device(info->attrs[FARSWAP_A_NAME], info->extack);
}

/* ---- DEV_NEW, DEV_START, DEV_DEL ---- */

static int dev_new_gate(struct genl_info *info, struct fsw_device_config *config)
{
	static const unsigned int wanted[] = {
		FARSWAP_A_NAME, FARSWAP_A_SIZE, FARSWAP_A_COPIES, FARSWAP_A_SLAB_BYTES, FARSWAP_A_SPARES
	};
	int ret = REQUIRE(info->extack, info->attrs, wanted);

	if (ret)
		return ret;
	*config = (struct fsw_device_config){
		.name = nla_data(info->attrs[FARSWAP_A_NAME]),
		.size = nla_get_u64(info->attrs[FARSWAP_A_SIZE]),
		.copies = nla_get_u8(info->attrs[FARSWAP_A_COPIES]),
		.slab_bytes = nla_get_u64(info->attrs[FARSWAP_A_SLAB_BYTES]),
		.spares = nla_get_u32(info->attrs[FARSWAP_A_SPARES]),
		.codec = FARSWAP_CODEC_NONE,
	};
	if (info->attrs[FARSWAP_A_CODEC])
		config->codec = nla_get_u8(info->attrs[FARSWAP_A_CODEC]);
	if (config->codec >= FARSWAP_CODECS)
		return refuse_attr(info, FARSWAP_A_CODEC, "codec: this farswap.ko does not know it");
	if (!is_power_of_2(config->slab_bytes) || config->slab_bytes < FARSWAP_SLAB_BYTES_MIN ||
	    config->slab_bytes > FARSWAP_SLAB_BYTES_MAX)
		return refuse_attr(info, FARSWAP_A_SLAB_BYTES, "slab bytes: a power of two from 2 MiB to 1 GiB");
	/* frames are counted in 40 bits, pages of the disk in 32 */
	if (config->size < FSW_PAGE || config->size % FSW_PAGE || config->size > (u64)FSW_PAGE << 31)
		return refuse_attr(info, FARSWAP_A_SIZE, "size: whole pages of 4096 bytes, at most 8 TiB");
	return 0;
}

static int dev_new(struct sk_buff *skb, struct genl_info *info)
{
	struct fsw_device_config config;
	int ret = fsw_netlink_allowed(skb, info->extack);

	ret = ret ?: dev_new_gate(info, &config);
	return ret ?: fsw_device_new(&config, info->extack);
}

static int with_device(struct sk_buff *skb, struct genl_info *info,
		       int (*what)(struct fsw_device *dev, struct netlink_ext_ack *extack))
{
	struct fsw_device *dev;
	int ret = fsw_netlink_allowed(skb, info->extack);

	if (ret)
		return ret;
	dev = device_of(info);
	if (!dev)
		return -ENODEV;
	ret = what(dev, info->extack);
	fsw_device_put(dev);
	return ret;
}

static int dev_start(struct sk_buff *skb, struct genl_info *info)
{
	return with_device(skb, info, fsw_device_start);
}

static int dev_del(struct sk_buff *skb, struct genl_info *info)
{
	return with_device(skb, info, fsw_device_del);
}

/* ---- PEER_ADD ---- */

/* A socket address of either family, exactly as long as the family's. */
static int address_gate(struct genl_info *info, unsigned int attr, struct sockaddr_storage *address)
{
	struct nlattr *a = info->attrs[attr];

	memset(address, 0, sizeof(*address));
	memcpy(address, nla_data(a), nla_len(a));
	if (address->ss_family == AF_INET && nla_len(a) == sizeof(struct sockaddr_in))
		return 0;
	if (address->ss_family == AF_INET6 && nla_len(a) == sizeof(struct sockaddr_in6))
		return 0;
	return refuse_attr(info, attr, "not a sockaddr_in or sockaddr_in6");
}

static int addresses_gate(struct genl_info *info, struct fsw_peer_config *config)
{
	/* the port is at the same place in both families */
	__be16 *port = &((struct sockaddr_in *)&config->address)->sin_port;
	int ret = address_gate(info, FARSWAP_A_ADDRESS, &config->address);

	BUILD_BUG_ON(offsetof(struct sockaddr_in, sin_port) != offsetof(struct sockaddr_in6, sin6_port));
	if (ret)
		return ret;
	if (!*port)
		return refuse_attr(info, FARSWAP_A_ADDRESS, "the address has no port");
	if (!info->attrs[FARSWAP_A_SOURCE])
		return 0;
	ret = address_gate(info, FARSWAP_A_SOURCE, &config->source);
	if (ret)
		return ret;
	if (config->source.ss_family != config->address.ss_family)
		return refuse_attr(info, FARSWAP_A_SOURCE, "source and address are of two families");
	((struct sockaddr_in *)&config->source)->sin_port = 0;
	return 0;
}

static int lease_gate(struct genl_info *info, struct fsw_peer_config *config)
{
	static const unsigned int wanted[] = { FARSWAP_A_LEASE, FARSWAP_A_REMOTE, FARSWAP_A_RKEY };
	int ret;

	if (!info->attrs[FARSWAP_A_LEASE] && !info->attrs[FARSWAP_A_REMOTE] && !info->attrs[FARSWAP_A_RKEY])
		return 0;
	ret = REQUIRE(info->extack, info->attrs, wanted);
	if (ret)
		return ret;
	config->lease_ms = nla_get_u32(info->attrs[FARSWAP_A_LEASE]);
	config->lease_remote = nla_get_u64(info->attrs[FARSWAP_A_REMOTE]);
	config->lease_rkey = nla_get_u32(info->attrs[FARSWAP_A_RKEY]);
	if (config->lease_ms < FARSWAP_LEASE_MS_MIN || config->lease_ms > FARSWAP_LEASE_MS_MAX)
		return refuse_attr(info, FARSWAP_A_LEASE, "lease: 1 second to 7 days, in milliseconds");
	return 0;
}

static int peer_add_gate(struct genl_info *info, struct fsw_peer_config *config)
{
	static const unsigned int wanted[] = {
		FARSWAP_A_NODE, FARSWAP_A_PEER_NAME, FARSWAP_A_SESSION, FARSWAP_A_INCARNATION, FARSWAP_A_ADDRESS,
		FARSWAP_A_TOKENS
	};
	int ret = REQUIRE(info->extack, info->attrs, wanted);

	if (ret)
		return ret;
	config->node = nla_get_u32(info->attrs[FARSWAP_A_NODE]);
	strscpy(config->name, nla_data(info->attrs[FARSWAP_A_PEER_NAME]), sizeof(config->name));
	config->session = nla_get_u64(info->attrs[FARSWAP_A_SESSION]);
	config->incarnation = nla_get_u64(info->attrs[FARSWAP_A_INCARNATION]);
	config->tokens = nla_data(info->attrs[FARSWAP_A_TOKENS]);
	if (nla_len(info->attrs[FARSWAP_A_TOKENS]) != fsw_rdma_conns() * FARSWAP_TOKEN_BYTES)
		return refuse_attr(info, FARSWAP_A_TOKENS, "tokens: one for each queue pair, QUEUES");
	return addresses_gate(info, config) ?: lease_gate(info, config);
}

static int peer_add(struct sk_buff *skb, struct genl_info *info)
{
	struct fsw_peer_config config = { 0 };
	struct fsw_device *dev;
	int ret = fsw_netlink_allowed(skb, info->extack);

	ret = ret ?: peer_add_gate(info, &config);
	if (ret)
		return ret;
	dev = device_of(info);
	if (!dev)
		return -ENODEV;
	ret = fsw_device_peer_add(dev, &config, info->extack);
	fsw_device_put(dev);
	return ret;
}

/* ---- PEER_LOST, PEER_DEL ---- */

static int with_peer(struct sk_buff *skb, struct genl_info *info,
		     int (*what)(struct fsw_device *dev, u32 node, struct netlink_ext_ack *extack))
{
	static const unsigned int wanted[] = { FARSWAP_A_NODE };
	struct fsw_device *dev;
	int ret = fsw_netlink_allowed(skb, info->extack);

	ret = ret ?: REQUIRE(info->extack, info->attrs, wanted);
	if (ret)
		return ret;
	dev = device_of(info);
	if (!dev)
		return -ENODEV;
	ret = what(dev, nla_get_u32(info->attrs[FARSWAP_A_NODE]), info->extack);
	fsw_device_put(dev);
	return ret;
}

static int peer_gone(struct sk_buff *skb, struct genl_info *info)
{
	return with_peer(skb, info, fsw_device_peer_gone);
}

static int peer_del(struct sk_buff *skb, struct genl_info *info)
{
	return with_peer(skb, info, fsw_device_peer_del);
}

/* ---- EXTENT_ADD, EXTENT_SET ---- */

static int member_gate(const struct nlattr *from, struct fsw_member_config *member, struct netlink_ext_ack *extack)
{
	static const unsigned int wanted[] = {
		FARSWAP_A_NODE, FARSWAP_A_SLAB, FARSWAP_A_INCARNATION, FARSWAP_A_REMOTE, FARSWAP_A_RKEY
	};
	struct nlattr *attrs[MEMBER_MAX + 1];
	int ret = nla_parse_nested(attrs, MEMBER_MAX, from, member_policy, extack);

	ret = ret ?: REQUIRE(extack, attrs, wanted);
	if (ret)
		return ret;
	*member = (struct fsw_member_config){
		.node = nla_get_u32(attrs[FARSWAP_A_NODE]),
		.slab = nla_get_u64(attrs[FARSWAP_A_SLAB]),
		.incarnation = nla_get_u64(attrs[FARSWAP_A_INCARNATION]),
		.remote = nla_get_u64(attrs[FARSWAP_A_REMOTE]),
		.rkey = nla_get_u32(attrs[FARSWAP_A_RKEY]),
		.heir = attrs[FARSWAP_A_SUCCEEDS],
	};
	if (member->heir)
		member->succeeds = nla_get_u32(attrs[FARSWAP_A_SUCCEEDS]);
	return 0;
}

/* How many there are, or -errno. */
static int members_gate(struct genl_info *info, struct fsw_member_config *members)
{
	const struct nlattr *a;
	int rest, ret, nr = 0;

	nla_for_each_nested(a, info->attrs[FARSWAP_A_MEMBERS], rest) {
		if (nla_type(a) != FARSWAP_A_MEMBER || nr == FARSWAP_COPIES_MAX)
			return refuse_attr(info, FARSWAP_A_MEMBERS, "members: 1 to 4 of MEMBER and nothing else");
		ret = member_gate(a, &members[nr++], info->extack);
		if (ret)
			return ret;
	}
	return nr ?: refuse_attr(info, FARSWAP_A_MEMBERS, "members: 1 to 4 of MEMBER and nothing else");
}

static int with_members_gate(struct genl_info *info, struct fsw_member_config *members)
{
	static const unsigned int wanted[] = { FARSWAP_A_EXTENT, FARSWAP_A_GENERATION, FARSWAP_A_MEMBERS };

	return REQUIRE(info->extack, info->attrs, wanted) ?: members_gate(info, members);
}

static int with_members(struct sk_buff *skb, struct genl_info *info,
			int (*what)(struct fsw_device *dev, u64 id, u32 generation, const struct fsw_member_config *config,
				    unsigned int nr, struct netlink_ext_ack *extack))
{
	struct fsw_member_config members[FARSWAP_COPIES_MAX];
	struct fsw_device *dev;
	int ret = fsw_netlink_allowed(skb, info->extack);

	ret = ret ?: with_members_gate(info, members);
	if (ret < 0)
		return ret;
	dev = device_of(info);
	if (!dev)
		return -ENODEV;
	ret = what(dev, nla_get_u64(info->attrs[FARSWAP_A_EXTENT]), nla_get_u32(info->attrs[FARSWAP_A_GENERATION]), members, ret,
		   info->extack);
	fsw_device_put(dev);
	return ret;
}

static int extent_add(struct sk_buff *skb, struct genl_info *info)
{
	return with_members(skb, info, fsw_device_extent_add);
}

static int extent_set(struct sk_buff *skb, struct genl_info *info)
{
	return with_members(skb, info, fsw_device_extent_set);
}

/* ---- EXTENT_SEAL, EXTENT_OPEN ---- */

static int with_extent(struct sk_buff *skb, struct genl_info *info,
		       int (*what)(struct fsw_device *dev, u64 id, u32 generation, struct netlink_ext_ack *extack))
{
	static const unsigned int wanted[] = { FARSWAP_A_EXTENT, FARSWAP_A_GENERATION };
	struct fsw_device *dev;
	int ret = fsw_netlink_allowed(skb, info->extack);

	ret = ret ?: REQUIRE(info->extack, info->attrs, wanted);
	if (ret)
		return ret;
	dev = device_of(info);
	if (!dev)
		return -ENODEV;
	ret = what(dev, nla_get_u64(info->attrs[FARSWAP_A_EXTENT]), nla_get_u32(info->attrs[FARSWAP_A_GENERATION]), info->extack);
	fsw_device_put(dev);
	return ret;
}

static int extent_seal(struct sk_buff *skb, struct genl_info *info)
{
	return with_extent(skb, info, fsw_device_extent_seal);
}

static int extent_open(struct sk_buff *skb, struct genl_info *info)
{
	return with_extent(skb, info, fsw_device_extent_open);
}

/* ---- the family ---- */

#define POLICY(p)	.policy = p, .maxattr = ARRAY_SIZE(p) - 1

/* GENL_ADMIN_PERM asks for CAP_NET_ADMIN; each command asks for CAP_SYS_ADMIN itself */
static const struct genl_ops ops[] = {
	{ .cmd = FARSWAP_CMD_DEV_NEW, .doit = dev_new, .flags = GENL_ADMIN_PERM, POLICY(dev_new_policy) },
	{ .cmd = FARSWAP_CMD_DEV_START, .doit = dev_start, .flags = GENL_ADMIN_PERM, POLICY(name_policy) },
	{ .cmd = FARSWAP_CMD_DEV_DEL, .doit = dev_del, .flags = GENL_ADMIN_PERM, POLICY(name_policy) },
	{ .cmd = FARSWAP_CMD_DEV_GET, .doit = fsw_netlink_dev_get, .flags = GENL_ADMIN_PERM, POLICY(name_policy) },
	{ .cmd = FARSWAP_CMD_PEER_ADD, .doit = peer_add, .flags = GENL_ADMIN_PERM, POLICY(peer_add_policy) },
	{ .cmd = FARSWAP_CMD_PEER_GET, .start = fsw_netlink_dump_start, .dumpit = fsw_netlink_peers,
	  .flags = GENL_ADMIN_PERM, POLICY(name_policy) },
	{ .cmd = FARSWAP_CMD_EXTENT_ADD, .doit = extent_add, .flags = GENL_ADMIN_PERM, POLICY(members_policy) },
	{ .cmd = FARSWAP_CMD_EXTENT_GET, .start = fsw_netlink_dump_start, .dumpit = fsw_netlink_extents,
	  .flags = GENL_ADMIN_PERM, POLICY(name_policy) },
	{ .cmd = FARSWAP_CMD_EXTENT_SEAL, .doit = extent_seal, .flags = GENL_ADMIN_PERM, POLICY(extent_policy) },
	{ .cmd = FARSWAP_CMD_EXTENT_OPEN, .doit = extent_open, .flags = GENL_ADMIN_PERM, POLICY(extent_policy) },
	{ .cmd = FARSWAP_CMD_EXTENT_SET, .doit = extent_set, .flags = GENL_ADMIN_PERM, POLICY(members_policy) },
	{ .cmd = FARSWAP_CMD_PEER_LOST, .doit = peer_gone, .flags = GENL_ADMIN_PERM, POLICY(node_policy) },
	{ .cmd = FARSWAP_CMD_PEER_DEL, .doit = peer_del, .flags = GENL_ADMIN_PERM, POLICY(node_policy) },
	{ .cmd = FARSWAP_CMD_SUM_GET, .start = fsw_netlink_sums_start, .dumpit = fsw_netlink_sums,
	  .flags = GENL_ADMIN_PERM, POLICY(sum_get_policy) },
	{ .cmd = FARSWAP_CMD_SLOT_GET, .start = fsw_netlink_slots_start, .dumpit = fsw_netlink_slots,
	  .flags = GENL_ADMIN_PERM, POLICY(slot_get_policy) },
};

static const struct genl_multicast_group groups[] = {
	{
		.name = FARSWAP_NL_GROUP,
		FSW_GENL_GROUP_ADMIN
	},
};

struct genl_family fsw_genl_family = {
	.name = FARSWAP_NL_FAMILY,
	.version = FARSWAP_NL_VERSION,
	.maxattr = FARSWAP_A_MAX,
	.module = THIS_MODULE,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
	.parallel_ops = true,	/* PEER_ADD waits for the network: not with everybody's lock */
	FSW_GENL_STRICT_FROM(FARSWAP_CMD_DEV_NEW)
};

int fsw_netlink_init(void)
{
	return genl_register_family(&fsw_genl_family);
}

void fsw_netlink_exit(void)
{
	genl_unregister_family(&fsw_genl_family);
}

/* ---- events ---- */

static struct sk_buff *event_new(u8 cmd, const char *name, void **head)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_NOIO | __GFP_NOWARN);

	if (!skb)
		return NULL;
	*head = genlmsg_put(skb, 0, 0, &fsw_genl_family, 0, cmd);
	if (*head && !nla_put_string(skb, FARSWAP_A_NAME, name))
		return skb;
	nlmsg_free(skb);
	return NULL;
}

/* Whether anybody listens or not. Events are best effort: DEV_GET and PEER_GET tell the same. */
static void event_send(struct sk_buff *skb, void *head)
{
	genlmsg_end(skb, head);
	genlmsg_multicast(&fsw_genl_family, skb, 0, 0, GFP_NOIO | __GFP_NOWARN);
}

void fsw_netlink_want(const char *name, u32 want)
{
	void *head;
	struct sk_buff *skb = event_new(FARSWAP_CMD_EV_WANT, name, &head);

	if (!skb)
		return;
	if (nla_put_u32(skb, FARSWAP_A_WANT, want))
		nlmsg_free(skb);
	else
		event_send(skb, head);
}

void fsw_netlink_peer(const char *name, u32 node, u8 state, const char *why)
{
	void *head;
	struct sk_buff *skb = event_new(FARSWAP_CMD_EV_PEER, name, &head);

	if (!skb)
		return;
	if (nla_put_u32(skb, FARSWAP_A_NODE, node) || nla_put_u8(skb, FARSWAP_A_PEER_STATE, state) ||
	    nla_put_string(skb, FARSWAP_A_REASON, why))
		nlmsg_free(skb);
	else
		event_send(skb, head);
}

void fsw_netlink_gone(const char *name)
{
	void *head;
	struct sk_buff *skb = event_new(FARSWAP_CMD_EV_GONE, name, &head);

	if (skb)
		event_send(skb, head);
}
