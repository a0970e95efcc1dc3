// SPDX-License-Identifier: GPL-2.0
/*
 * The audit: what each slot holds, and whether every member of its replica set really has those bytes. It reads as a load does, through
 * the transport with the frame pinned, but from each member in turn.
 */
#include "core_int.h"

/* A slot that is looked at, and the READs of all its copies. */
struct look {
	struct fsw_entry e;
	struct fsw_extent *x;
	u32 generation;
	unsigned int nr;
	u32 wrong;		/* bit per member: known to be, and perhaps mended while it is read */
	struct fsw_read *reads[FARSWAP_COPIES_MAX];
	bool posted;		/* all of them were */
	bool unchanged;		/* neither the entry nor the set changed meanwhile */
};

/* Post them, or as many as can be posted until wait_ns. */
static void look_begin(struct fsw_core *core, u64 slot, struct look *look, u64 wait_ns)
{
	unsigned int m;

	look->x = fsw_frame_extent(&core->extents, fsw_entry_index(look->e));
	look->generation = fsw_extent_generation(look->x);
	look->nr = fsw_extent_nr(look->x, look->generation);
	look->wrong = fsw_extent_wrong(look->x, look->generation, fsw_frame_offset(&core->extents, fsw_entry_index(look->e)));
	look->posted = true;
	for (m = 0; m < look->nr; m++) {
		look->reads[m] = fsw_copy_read(core, slot, look->e, look->generation, m, wait_ns);
		look->posted &= look->reads[m] != NULL;
	}
}

/* What came. */
static void look_end(struct fsw_core *core, struct look *look, u64 deadline, struct fsw_slot_info *info)
{
	unsigned int m;

	info->good = info->bad = info->unread = 0;
	for (m = 0; m < look->nr; m++) {
		int ret = look->reads[m] ? fsw_copy_wait(core, look->reads[m], look->e, deadline) : -ENOTCONN;

		if (look->reads[m])
			core->ops->read_put(core->transport, look->reads[m]);
		if (!ret)
			info->good |= 1 << m;
		else if (ret == -EBADMSG)
			info->bad |= 1 << m;
		else
			info->unread |= 1 << m;
	}
	look->unchanged = fsw_entry_current(core, info->slot, look->e) && fsw_extent_nr(look->x, look->generation);
	for (m = 0; look->unchanged && m < look->nr; m++)
		if (info->bad & ~look->wrong & 1 << m)
			fsw_copy_bad(core, look->e, look->generation, m);
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

/* The entry of the first slot at or after *slot that is not EMPTY; false: there is none. */
static bool slot_next(struct fsw_core *core, u64 *slot, struct fsw_entry *e)
{
	for (; *slot < core->map.slots; ++*slot) {
		if (*slot % FSW_CLUSTER == 0)
			cond_resched();
		if (!fsw_map_cluster(&core->map, *slot)) {
			*slot |= FSW_CLUSTER - 1;
			continue;
		}
		*e = fsw_map_get(&core->map, *slot);
		if (fsw_entry_state(*e) != FARSWAP_SLOT_EMPTY)
			return true;
	}
	return false;
}

/* Look at one slot by itself, until it holds still; a copy whose READ cannot be posted in load_ms was not read. */
static void slot_again(struct fsw_core *core, u64 slot, struct fsw_slot_info *info)
{
	struct look look;

	do {
		u64 deadline = ktime_get_ns() + (u64)core->params.load_ms * NSEC_PER_MSEC;

		look.e = fsw_map_get(&core->map, slot);
		slot_describe(core, slot, look.e, info);
		if (info->state == FARSWAP_SLOT_STORED) {
			look_begin(core, slot, &look, deadline);
			look_end(core, &look, deadline, info);
		} else {
			look.unchanged = fsw_entry_current(core, slot, look.e);
		}
	} while (!look.unchanged);
}

/* All at once; those that this does not settle one after the other. */
static void slots_verify(struct fsw_core *core, struct look *looks, struct fsw_slot_info *infos, unsigned int nr)
{
	u64 deadline = ktime_get_ns() + (u64)core->params.load_ms * NSEC_PER_MSEC;
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (infos[i].state == FARSWAP_SLOT_STORED)
			look_begin(core, infos[i].slot, &looks[i], 0);
	for (i = 0; i < nr; i++)
		if (infos[i].state == FARSWAP_SLOT_STORED) {
			look_end(core, &looks[i], deadline, &infos[i]);
		} else {
			looks[i].posted = true;
			looks[i].unchanged = fsw_entry_current(core, infos[i].slot, looks[i].e);
		}
	for (i = 0; i < nr; i++)
		if (!looks[i].posted || !looks[i].unchanged)
			slot_again(core, infos[i].slot, &infos[i]);
}

/* The next slots that are held, at most FSW_LOOKS. */
static unsigned int slots_next(struct fsw_core *core, u64 *slot, struct look *looks, struct fsw_slot_info *infos, unsigned int nr)
{
	unsigned int found;

	for (found = 0; found < min(nr, FSW_LOOKS) && slot_next(core, slot, &looks[found].e); found++, ++*slot)
		slot_describe(core, *slot, looks[found].e, &infos[found]);
	return found;
}

unsigned int fsw_slot_infos(struct fsw_core *core, u64 *slot, bool verify, struct fsw_slot_info *infos, unsigned int nr)
{
	struct look looks[FSW_LOOKS];
	unsigned int i, found, held;

	do {
		found = slots_next(core, slot, looks, infos, nr);
		if (verify)
			slots_verify(core, looks, infos, found);
		for (i = held = 0; i < found; i++)
			if (infos[i].state != FARSWAP_SLOT_EMPTY)
				infos[held++] = infos[i];
	} while (found && !held);
	return held;
}

bool fsw_slot_scrub(struct fsw_core *core, u64 *slot)
{
	u64 now = ktime_get_ns();
	struct fsw_slot_info info;
	struct look look;

	if (!slots_next(core, slot, &look, &info, 1))
		return false;
	if (info.state == FARSWAP_SLOT_STORED) {
		look_begin(core, info.slot, &look, now + (u64)core->params.hedge_ms * NSEC_PER_MSEC);
		look_end(core, &look, now + (u64)core->params.load_ms * NSEC_PER_MSEC, &info);
		if (look.posted && look.unchanged)
			fsw_count(core, FSW_SCRUBBED);
	}
	return true;
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
