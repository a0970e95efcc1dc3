// SPDX-License-Identifier: GPL-2.0
#include "compat/genl.h"
#include "device.h"
#include "netlink.h"
#include "rdma.h"
#include "settings.h"

#define VERIFY_BATCH	32	/* slots read and checked in one call of a dump: bounds how long DEV_DEL waits */
#define SCAN_BATCH	512	/* the same, slots only looked up */
#define SUM_BATCH	128	/* of struct farswap_sum in one message, */
#define SUM_SCAN	65536	/* and slots looked at for them */

/* cb->args of the dumps */
enum { ARG_NEXT, ARG_FLAGS, ARG_EXTENT = ARG_FLAGS };

static int put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, FARSWAP_A_PAD);
}

/* ---- DEV_GET ---- */

static int dev_fill(struct sk_buff *skb, struct fsw_device *dev)
{
	struct farswap_counters counters;
	int openers = atomic_read(&dev->openers);

	fsw_counters(dev->core, &counters);
	return nla_put_string(skb, FARSWAP_A_NAME, FSW_DEVICE_NAME) ?:
	       nla_put_u8(skb, FARSWAP_A_DEV_STATE, dev->state) ?:
	       put_u64(skb, FARSWAP_A_SIZE, dev->params.size) ?:
	       nla_put_u8(skb, FARSWAP_A_COPIES, dev->params.copies) ?:
	       put_u64(skb, FARSWAP_A_SLAB_BYTES, dev->params.slab_bytes) ?:
	       nla_put_u32(skb, FARSWAP_A_SPARES, dev->params.spares) ?:
	       nla_put_u32(skb, FARSWAP_A_LANES, fsw_settings.lanes) ?:
	       nla_put_u8(skb, FARSWAP_A_CODEC, fsw_codec_get(dev->core)) ?:
	       nla_put_u32(skb, FARSWAP_A_QUEUES, fsw_rdma_conns()) ?:
	       nla_put_u32(skb, FARSWAP_A_OPENERS, openers > 0 ? openers : 0) ?:
	       nla_put_u32(skb, FARSWAP_A_WANT, fsw_extents_wanted(dev->core)) ?:
	       nla_put(skb, FARSWAP_A_COUNTERS, sizeof(counters), &counters);
}

static int dev_reply(struct fsw_device *dev, struct genl_info *info)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	void *head;

	if (!skb)
		return -ENOMEM;
	head = genlmsg_put_reply(skb, info, &fsw_genl_family, 0, FARSWAP_CMD_DEV_GET);
	if (!head || dev_fill(skb, dev)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return genlmsg_reply(skb, info);
}

int fsw_netlink_dev_get(struct sk_buff *skb, struct genl_info *info)
{
	struct fsw_device *dev;
	int ret = fsw_netlink_allowed(skb, info->extack);

	if (ret)
		return ret;
	dev = fsw_netlink_device(info->attrs[FARSWAP_A_NAME], info->extack);
	if (!dev)
		return -ENODEV;
	down_read(&dev->lock);
	ret = dev->state ? dev_reply(dev, info) : -ENODEV;
	up_read(&dev->lock);
	fsw_device_put(dev);
	return ret;
}

/* ---- dumps: the device is looked up anew and held for one call only; a cursor in cb->args remembers the place ---- */

int fsw_netlink_dump_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = fsw_dump_attrs(cb);
	struct fsw_device *dev;
	int ret = fsw_netlink_allowed(cb->skb, cb->extack);

	if (ret)
		return ret;
	dev = fsw_netlink_device(attrs[FARSWAP_A_NAME], cb->extack);
	if (!dev)
		return -ENODEV;
	fsw_device_put(dev);
	return 0;
}

int fsw_netlink_slots_start(struct netlink_callback *cb)
{
	struct nlattr *flags = fsw_dump_attrs(cb)[FARSWAP_A_FLAGS];
	int ret = fsw_netlink_dump_start(cb);

	if (!ret)
		cb->args[ARG_FLAGS] = flags ? nla_get_u32(flags) : 0;
	return ret;
}

/* One call of a dump, with the device there: fills skb from cb->args on. 0 or -errno; -EMSGSIZE: full, go on later. */
typedef int dump_fn(struct sk_buff *skb, struct netlink_callback *cb, struct fsw_device *dev);

static int dump(struct sk_buff *skb, struct netlink_callback *cb, dump_fn *fill)
{
	struct fsw_device *dev = fsw_device_get(NULL);
	int ret = -ENODEV;

	if (!dev)
		return ret;
	down_read(&dev->lock);
	if (dev->state)
		ret = fill(skb, cb, dev);
	up_read(&dev->lock);
	fsw_device_put(dev);
	if (ret && ret != -EMSGSIZE)
		return ret;
	/* -EMSGSIZE with nothing in it would be asked for again for ever */
	return skb->len ?: ret;
}

static void *item_begin(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &fsw_genl_family, NLM_F_MULTI, cmd);
}

static int item_end(struct sk_buff *skb, void *head, int error)
{
	if (error)
		genlmsg_cancel(skb, head);
	else
		genlmsg_end(skb, head);
	return error;
}

/* ---- PEER_GET ---- */

static int peer_fill(struct sk_buff *skb, const struct fsw_peer_info *info)
{
	return nla_put_u32(skb, FARSWAP_A_NODE, info->node) ?:
	       nla_put_string(skb, FARSWAP_A_PEER_NAME, info->name) ?:
	       nla_put_u8(skb, FARSWAP_A_PEER_STATE, info->state) ?:
	       put_u64(skb, FARSWAP_A_SESSION, info->session) ?:
	       put_u64(skb, FARSWAP_A_INCARNATION, info->incarnation) ?:
	       put_u64(skb, FARSWAP_A_READ_NS, info->read_ns) ?:
	       nla_put_u32(skb, FARSWAP_A_BAD, min_t(u64, info->corrupt, U32_MAX)) ?:
	       (info->why ? nla_put_string(skb, FARSWAP_A_REASON, info->why) : 0);
}

static int peers_fill(struct sk_buff *skb, struct netlink_callback *cb, struct fsw_device *dev)
{
	struct fsw_peer_info info;

	for (; fsw_rdma_peer_info(dev->rdma, cb->args[ARG_NEXT], &info); cb->args[ARG_NEXT]++) {
		void *head = item_begin(skb, cb, FARSWAP_CMD_PEER_GET);

		if (!head || item_end(skb, head, peer_fill(skb, &info)))
			return -EMSGSIZE;
	}
	return 0;
}

int fsw_netlink_peers(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump(skb, cb, peers_fill);
}

/* ---- EXTENT_GET ---- */

static int member_fill(struct sk_buff *skb, const struct fsw_member_info *member)
{
	struct nlattr *nest = nla_nest_start(skb, FARSWAP_A_MEMBER);
	int ret;

	if (!nest)
		return -EMSGSIZE;
	ret = nla_put_u32(skb, FARSWAP_A_NODE, member->node) ?:
	      put_u64(skb, FARSWAP_A_SLAB, member->slab) ?:
	      put_u64(skb, FARSWAP_A_INCARNATION, member->incarnation) ?:
	      put_u64(skb, FARSWAP_A_REMOTE, member->remote) ?:
	      nla_put_u32(skb, FARSWAP_A_RKEY, member->rkey) ?:
	      nla_put_u8(skb, FARSWAP_A_MEMBER_LIVE, member->live) ?:
	      nla_put_u32(skb, FARSWAP_A_MISSED, member->missed);
	if (!ret)
		nla_nest_end(skb, nest);
	return ret;
}

static int extent_fill(struct sk_buff *skb, const struct fsw_extent_info *info)
{
	struct nlattr *nest;
	unsigned int i;
	int ret = put_u64(skb, FARSWAP_A_EXTENT, info->id) ?:
		  nla_put_u32(skb, FARSWAP_A_GENERATION, info->generation) ?:
		  nla_put_u8(skb, FARSWAP_A_SEALED, info->sealed) ?:
		  nla_put_u32(skb, FARSWAP_A_FRAMES, info->frames) ?:
		  nla_put_u32(skb, FARSWAP_A_FRAMES_USED, info->frames_used) ?:
		  put_u64(skb, FARSWAP_A_USES, info->uses);

	if (ret)
		return ret;
	nest = nla_nest_start(skb, FARSWAP_A_MEMBERS);
	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < info->nr && !ret; i++)
		ret = member_fill(skb, &info->members[i]);
	if (!ret)
		nla_nest_end(skb, nest);
	return ret;
}

static int extents_fill(struct sk_buff *skb, struct netlink_callback *cb, struct fsw_device *dev)
{
	struct fsw_extent_info info;

	for (; fsw_extent_info(dev->core, cb->args[ARG_NEXT], &info); cb->args[ARG_NEXT]++) {
		void *head = item_begin(skb, cb, FARSWAP_CMD_EXTENT_GET);

		if (!head || item_end(skb, head, extent_fill(skb, &info)))
			return -EMSGSIZE;
	}
	return 0;
}

int fsw_netlink_extents(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump(skb, cb, extents_fill);
}

/* ---- SUM_GET ---- */

int fsw_netlink_sums_start(struct netlink_callback *cb)
{
	struct nlattr *extent = fsw_dump_attrs(cb)[FARSWAP_A_EXTENT];
	int ret = fsw_netlink_dump_start(cb);

	if (ret)
		return ret;
	if (!extent)
		return -EINVAL;
	cb->args[ARG_EXTENT] = nla_get_u64(extent);
	return 0;
}

/* What the next slots hold of the extent, perhaps nothing: an empty message is not the end. */
static int sums_put(struct sk_buff *skb, struct fsw_device *dev, u64 extent, u64 *slot)
{
	struct nlattr *sums = nla_reserve(skb, FARSWAP_A_SUMS, SUM_BATCH * sizeof(struct farswap_sum));
	u64 end = *slot + SUM_SCAN;
	unsigned int nr;

	if (!sums)
		return -EMSGSIZE;
	for (nr = 0; nr < SUM_BATCH && fsw_slot_sum(dev->core, extent, slot, end, (struct farswap_sum *)nla_data(sums) + nr); nr++)
		++*slot;
	sums->nla_len = nla_attr_size(nr * sizeof(struct farswap_sum));
	nlmsg_trim(skb, (void *)sums + NLA_ALIGN(sums->nla_len));
	return 0;
}

static int sums_fill(struct sk_buff *skb, struct netlink_callback *cb, struct fsw_device *dev)
{
	u64 slot = cb->args[ARG_NEXT], extent = cb->args[ARG_EXTENT];
	void *head;

	if (slot >= div_u64(dev->params.size, FSW_PAGE))
		return 0;
	head = item_begin(skb, cb, FARSWAP_CMD_SUM_GET);
	if (!head || item_end(skb, head, put_u64(skb, FARSWAP_A_EXTENT, extent) ?: sums_put(skb, dev, extent, &slot)))
		return -EMSGSIZE;
	cb->args[ARG_NEXT] = slot;
	return 0;
}

int fsw_netlink_sums(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump(skb, cb, sums_fill);
}

/* ---- SLOT_GET ---- */

static int slot_fill(struct sk_buff *skb, const struct fsw_slot_info *info, bool verify)
{
	int ret = put_u64(skb, FARSWAP_A_SLOT, info->slot) ?:
		  nla_put_u8(skb, FARSWAP_A_SLOT_STATE, info->state) ?:
		  nla_put_u32(skb, FARSWAP_A_SUM, info->sum) ?:
		  nla_put_u32(skb, FARSWAP_A_LENGTH, info->length);

	if (ret || info->state != FARSWAP_SLOT_STORED)
		return ret;
	ret = put_u64(skb, FARSWAP_A_EXTENT, info->extent) ?:
	      nla_put_u32(skb, FARSWAP_A_FRAME, info->frame) ?:
	      nla_put_u32(skb, FARSWAP_A_OFFSET, info->offset) ?:
	      nla_put_u8(skb, FARSWAP_A_CODEC, info->codec);
	if (ret || !verify)
		return ret;
	return nla_put_u32(skb, FARSWAP_A_GOOD, info->good) ?:
	       nla_put_u32(skb, FARSWAP_A_BAD, info->bad) ?:
	       nla_put_u32(skb, FARSWAP_A_UNREAD, info->unread);
}

/* The most that slot_fill() can need: what does not fit would be read over the network twice. */
#define SLOT_BYTES	256

static int slots_fill(struct sk_buff *skb, struct netlink_callback *cb, struct fsw_device *dev)
{
	bool verify = cb->args[ARG_FLAGS] & FARSWAP_SLOT_VERIFY;
	unsigned int left = verify ? VERIFY_BATCH : SCAN_BATCH;
	struct fsw_slot_info infos[FSW_LOOKS];
	u64 slot = cb->args[ARG_NEXT];
	unsigned int i, nr;

	for (; left >= FSW_LOOKS && skb_tailroom(skb) >= FSW_LOOKS * SLOT_BYTES; left -= nr) {
		nr = fsw_slot_infos(dev->core, &slot, verify, infos, FSW_LOOKS);
		if (!nr)
			break;
		for (i = 0; i < nr; i++) {
			void *head = item_begin(skb, cb, FARSWAP_CMD_SLOT_GET);

			if (!head || item_end(skb, head, slot_fill(skb, &infos[i], verify)))
				return -EMSGSIZE;
		}
		cb->args[ARG_NEXT] = slot;
	}
	return 0;
}

int fsw_netlink_slots(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump(skb, cb, slots_fill);
}
