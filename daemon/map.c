// SPDX-License-Identifier: GPL-2.0
/* farswap map: where each page lies, as the kernel's map has it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "farswap_wire.h"
#include "nl.h"
#include "tool.h"

struct map_job {
	struct tool_extents extents;
	const char *device;
	bool json;
};

static void print_json(struct nlattr **attrs, const struct tool_extent *extent, uint64_t offset)
{
	unsigned int i;

	printf("{\"slot\":%llu,\"state\":\"%s\",\"extent\":%llu,\"frame\":%u,\"sum\":%u,\"length\":%u,\"codec\":\"%s\",\"members\":[",
	       (unsigned long long)farswap_nl_u64(attrs, FARSWAP_A_SLOT),
	       farswap_nl_slot_state(farswap_nl_u8(attrs, FARSWAP_A_SLOT_STATE)),
	       (unsigned long long)farswap_nl_u64(attrs, FARSWAP_A_EXTENT), farswap_nl_u32(attrs, FARSWAP_A_FRAME),
	       farswap_nl_u32(attrs, FARSWAP_A_SUM), farswap_nl_u32(attrs, FARSWAP_A_LENGTH),
	       farswap_codec_name(farswap_nl_u8(attrs, FARSWAP_A_CODEC)));
	for (i = 0; extent && i < extent->n; i++) {
		const struct tool_member *m = &extent->members[i];

		printf("%s{\"node\":\"%s\",\"number\":%u,\"live\":%s,\"slab\":%llu,\"rkey\":%u,\"remote\":%llu,\"address\":%llu}",
		       i ? "," : "", m->name, m->node, m->live ? "true" : "false", (unsigned long long)m->slab, m->rkey,
		       (unsigned long long)m->remote, (unsigned long long)(m->remote + offset));
	}
	printf("]}\n");
}

static void print_plain(struct nlattr **attrs, const struct tool_extent *extent, uint64_t offset)
{
	unsigned int i;

	printf("slot %llu %s", (unsigned long long)farswap_nl_u64(attrs, FARSWAP_A_SLOT),
	       farswap_nl_slot_state(farswap_nl_u8(attrs, FARSWAP_A_SLOT_STATE)));
	if (extent)
		printf(" extent %llu frame %u+%u bytes %u codec %s sum %08x", (unsigned long long)extent->number,
		       farswap_nl_u32(attrs, FARSWAP_A_FRAME), farswap_nl_u32(attrs, FARSWAP_A_OFFSET),
		       farswap_nl_u32(attrs, FARSWAP_A_LENGTH), farswap_codec_name(farswap_nl_u8(attrs, FARSWAP_A_CODEC)),
		       farswap_nl_u32(attrs, FARSWAP_A_SUM));
	for (i = 0; extent && i < extent->n; i++)
		printf(" %s:%#llx", extent->members[i].name, (unsigned long long)(extent->members[i].remote + offset));
	printf("\n");
}

static int take_slot(const struct nlmsghdr *nlh, void *arg)
{
	struct map_job *job = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	const struct tool_extent *extent = NULL;
	uint64_t offset;

	if (farswap_nl_parse(nlh, attrs))
		return -EBADMSG;
	if (farswap_nl_u8(attrs, FARSWAP_A_SLOT_STATE) == FARSWAP_SLOT_EMPTY)
		return 0;
	if (farswap_nl_u8(attrs, FARSWAP_A_SLOT_STATE) == FARSWAP_SLOT_STORED)
		extent = tool_extent_find(&job->extents, farswap_nl_u64(attrs, FARSWAP_A_EXTENT));
	offset = (uint64_t)farswap_nl_u32(attrs, FARSWAP_A_FRAME) * FARSWAP_FRAME_BYTES +
		 farswap_nl_u32(attrs, FARSWAP_A_OFFSET);
	if (job->json)
		print_json(attrs, extent, offset);
	else
		print_plain(attrs, extent, offset);
	return 0;
}

int cmd_map(struct tool *tool, int argc, char **argv)
{
	static struct map_job job;
	struct nl_msg *msg;
	char err[300] = "out of memory";
	int code, ret = -ENOMEM;

	job.device = argc == 2 ? tool_device(argv[1]) : NULL;
	job.json = tool->json;
	if (!job.device)
		return tool_fail(EXIT_USAGE, "map wants one device name, like farswap0");
	code = tool_extents_read(&job.extents, job.device);
	if (code)
		return code;
	msg = farswap_nl_new(FARSWAP_CMD_SLOT_GET, 1);
	if (msg) {
		nla_put_string(msg, FARSWAP_A_NAME, job.device);
		ret = farswap_nl_call(msg, take_slot, &job, err, sizeof(err));
		nlmsg_free(msg);
	}
	tool_extents_free(&job.extents);
	return ret ? tool_fail(EXIT_FAILED, "%s: %s", job.device, err) : 0;
}
