// SPDX-License-Identifier: GPL-2.0
/*
 * The audit: what each slot holds, and whether every member of its replica set really has those bytes. It reads as a load does, through
 * the transport with the frame pinned, but from each member in turn.
 */
#include "core_int.h"

/* All copies are read at once. False: the set changed meanwhile. */
static bool slot_verify(struct fsw_core *core, u64 slot, struct fsw_entry e, struct fsw_slot_info *info)
{
	struct fsw_extent *x = fsw_frame_extent(&core->extents, fsw_entry_index(e));
	u64 deadline = ktime_get_ns() + (u64)core->params.load_ms * NSEC_PER_MSEC;
	struct fsw_read *reads[FARSWAP_COPIES_MAX] = { NULL };
	u32 generation = fsw_extent_generation(x);
	unsigned int m, nr = fsw_extent_nr(x, generation);

	info->good = info->bad = info->unread = 0;
	for (m = 0; m < nr; m++)
		reads[m] = fsw_copy_read(core, slot, e, generation, m, deadline);
	for (m = 0; m < nr; m++) {
		int ret = reads[m] ? fsw_copy_wait(core, reads[m], e, deadline) : -ENOTCONN;

		if (reads[m])
			core->ops->read_put(core->transport, reads[m]);
		if (!ret)
			info->good |= 1 << m;
		else if (ret == -EBADMSG)
			info->bad |= 1 << m;
		else
			info->unread |= 1 << m;
		if (ret == -EBADMSG)
			fsw_extent_miss(x, generation, m, info->frame);
	}
	if (info->bad)
		fsw_mend_kick(&core->mend);
	return fsw_extent_nr(x, generation);
}

static void slot_describe(struct fsw_core *core, u64 slot, struct fsw_entry e, struct fsw_slot_info *info)
{
	*info = (struct fsw_slot_info){
		.slot = slot,
		.state = fsw_entry_state(e),
		.sum = e.sum,
		.length = fsw_entry_length(e),
		.codec = fsw_entry_codec(e),
	};
	if (info->state == FARSWAP_SLOT_STORED) {
		info->extent = fsw_frame_extent(&core->extents, fsw_entry_index(e))->id;
		info->frame = fsw_frame_offset(&core->extents, fsw_entry_index(e));
		info->offset = fsw_entry_offset(e);
	}
}

bool fsw_slot_info(struct fsw_core *core, u64 *slot, bool verify, struct fsw_slot_info *info)
{
	struct fsw_entry e;
	bool again;

	for (; *slot < core->map.slots; ++*slot) {
		if (*slot % FSW_CLUSTER == 0)
			cond_resched();
		if (!fsw_map_cluster(&core->map, *slot)) {
			*slot |= FSW_CLUSTER - 1;
			continue;
		}
		do {
			e = fsw_map_get(&core->map, *slot);
			slot_describe(core, *slot, e, info);
			again = verify && info->state == FARSWAP_SLOT_STORED && !slot_verify(core, *slot, e, info);
		} while (again || (verify && !fsw_entry_same(fsw_map_get(&core->map, *slot), e)));
		if (info->state != FARSWAP_SLOT_EMPTY)
			return true;
	}
	return false;
}

bool fsw_slot_sum(struct fsw_core *core, u64 extent, u64 *slot, u64 end, struct farswap_sum *sum)
{
	struct fsw_slot_info info;

	for (end = min(end, core->map.slots); *slot < end; ++*slot) {
		if (*slot % FSW_CLUSTER == 0)
			cond_resched();
		if (!fsw_map_cluster(&core->map, *slot)) {
			*slot = min(end, (*slot | (FSW_CLUSTER - 1)) + 1) - 1;
			continue;
		}
		slot_describe(core, *slot, fsw_map_get(&core->map, *slot), &info);
		if (info.state != FARSWAP_SLOT_STORED || info.extent != extent)
			continue;
		*sum = (struct farswap_sum){ .frame = info.frame, .offset = info.offset, .length = info.length, .sum = info.sum };
		return true;
	}
	return false;
}
