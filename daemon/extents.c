// SPDX-License-Identifier: GPL-2.0
/* The tool's reading of a device's peers and extents from the kernel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nl.h"
#include "tool.h"

static int take_peer(const struct nlmsghdr *nlh, void *arg)
{
	struct tool_extents *all = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1];

	if (farswap_nl_parse(nlh, attrs))
		return -EBADMSG;
	if (all->n_peers == ARRAY_SIZE(all->peers))
		return -EOVERFLOW;
	all->peers[all->n_peers].node = farswap_nl_u32(attrs, FARSWAP_A_NODE);
	snprintf(all->peers[all->n_peers++].name, sizeof(all->peers[0].name), "%s",
		 farswap_nl_string(attrs, FARSWAP_A_PEER_NAME));
	return 0;
}

static const char *peer_name(const struct tool_extents *all, uint32_t node)
{
	size_t i;

	for (i = 0; i < all->n_peers; i++)
		if (all->peers[i].node == node)
			return all->peers[i].name;
	return "?";
}

static int take_member(const struct tool_extents *all, struct tool_extent *extent, struct nlattr *nest)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	struct tool_member *member = &extent->members[extent->n];

	if (extent->n == ARRAY_SIZE(extent->members) || farswap_nl_parse_nested(nest, attrs))
		return -EBADMSG;
	member->node = farswap_nl_u32(attrs, FARSWAP_A_NODE);
	member->slab = farswap_nl_u64(attrs, FARSWAP_A_SLAB);
	member->remote = farswap_nl_u64(attrs, FARSWAP_A_REMOTE);
	member->rkey = farswap_nl_u32(attrs, FARSWAP_A_RKEY);
	member->live = !attrs[FARSWAP_A_MEMBER_LIVE] || farswap_nl_u8(attrs, FARSWAP_A_MEMBER_LIVE);
	member->missed = farswap_nl_u32(attrs, FARSWAP_A_MISSED);
	snprintf(member->name, sizeof(member->name), "%s", peer_name(all, member->node));
	extent->n++;
	return 0;
}

static int take_extent(const struct nlmsghdr *nlh, void *arg)
{
	struct tool_extents *all = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1], *one;
	struct tool_extent *extent;
	int left;

	if (farswap_nl_parse(nlh, attrs) || !attrs[FARSWAP_A_MEMBERS])
		return -EBADMSG;
	extent = realloc(all->extents, (all->n + 1) * sizeof(*extent));
	if (!extent)
		return -ENOMEM;
	all->extents = extent;
	extent += all->n++;
	memset(extent, 0, sizeof(*extent));
	extent->number = farswap_nl_u64(attrs, FARSWAP_A_EXTENT);
	extent->generation = farswap_nl_u32(attrs, FARSWAP_A_GENERATION);
	extent->used = farswap_nl_u32(attrs, FARSWAP_A_FRAMES_USED);
	nla_for_each_nested(one, attrs[FARSWAP_A_MEMBERS], left)
		if (take_member(all, extent, one))
			return -EBADMSG;
	return 0;
}

static int dump(int cmd, const char *device, int (*each)(const struct nlmsghdr *nlh, void *arg), void *arg)
{
	struct nl_msg *msg = farswap_nl_new(cmd, 1);
	char err[300] = "out of memory";
	int ret = -ENOMEM;

	if (msg) {
		nla_put_string(msg, FARSWAP_A_NAME, device);
		ret = farswap_nl_call(msg, each, arg, err, sizeof(err));
		nlmsg_free(msg);
	}
	if (farswap_nl_is_gone(ret) && ret != -EPROTONOSUPPORT)
		return tool_fail(EXIT_FAILED, "there is no farswap device %s", device);
	return ret ? tool_fail(EXIT_FAILED, "%s: %s", device, err) : 0;
}

int tool_extents_read(struct tool_extents *all, const char *device)
{
	int code;

	memset(all, 0, sizeof(*all));
	all->device = device;
	code = dump(FARSWAP_CMD_PEER_GET, device, take_peer, all);
	return code ? code : dump(FARSWAP_CMD_EXTENT_GET, device, take_extent, all);
}

const struct tool_extent *tool_extent_find(const struct tool_extents *all, uint64_t number)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->extents[i].number == number)
			return &all->extents[i];
	return NULL;
}

void tool_extents_free(struct tool_extents *all)
{
	free(all->extents);
	memset(all, 0, sizeof(*all));
}
