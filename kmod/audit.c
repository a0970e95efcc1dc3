// SPDX-License-Identifier: GPL-2.0
/*
 * The audit: what each slot holds, and whether every member of its replica set really has those bytes. It reads as a load does, through
 * the transport with the frame pinned, but from each member in turn.
 */
#include "core_int.h"

/* A READ of member m's copy, posted or failed at once; NULL: none is free until the deadline. */
static struct fsw_read *copy_read(struct fsw_core *core, u64 slot, const struct fsw_extent *x, unsigned int m, struct fsw_entry e,
				  u64 deadline)
{
	const struct fsw_member *member = &x->members[m];
	u64 frame = fsw_entry_index(e);
	struct fsw_read *read;

	/* not an urgent one: this task already holds those of the members before */
	while (!(read = core->ops->read_get(core->transport, false))) {
		if (ktime_get_ns() >= deadline)
			return NULL;
		core->ops->read_room(core->transport, min(deadline, ktime_get_ns() + 10 * NSEC_PER_MSEC));
	}
	read->pin = fsw_frame_pin(&core->extents, frame);
	read->status = -ECANCELED;	/* if the entry changed; then fsw_slot_info() starts over */
	if (fsw_entry_same(fsw_map_get(&core->map, slot), e))
		core->ops->read_post(core->transport, read, member->peer,
				     fsw_entry_remote(&core->extents, member, e), member->rkey, fsw_entry_length(e));
	return read;
}

/* Wait for it. 0: verified. -EBADMSG: other bytes. Else it could not be read. */
static int copy_check(struct fsw_core *core, struct fsw_read *read, struct fsw_entry e, u64 deadline)
{
	int ret;

	while ((ret = smp_load_acquire(&read->status)) == FSW_READ_FLYING && ktime_get_ns() < deadline)
		core->ops->read_wait(core->transport, &read, 1, deadline);
	if (ret == FSW_READ_FLYING)
		ret = -ETIMEDOUT;
	else if (!ret && fsw_crc32c(~0u, read->va, fsw_entry_length(e)) != e.sum)
		ret = -EBADMSG;
	core->ops->read_put(core->transport, read);
	return ret;
}

/* All copies are read at once. */
static void slot_verify(struct fsw_core *core, u64 slot, struct fsw_entry e, struct fsw_slot_info *info)
{
	const struct fsw_extent *x = fsw_frame_extent(&core->extents, fsw_entry_index(e));
	u64 deadline = ktime_get_ns() + (u64)core->params.load_ms * NSEC_PER_MSEC;
	struct fsw_read *reads[FARSWAP_COPIES_MAX] = { NULL };
	unsigned int m;

	info->good = info->bad = info->unread = 0;
	for (m = 0; m < x->nr; m++)
		if (fsw_peer_live(x->members[m].peer))
			reads[m] = copy_read(core, slot, x, m, e, deadline);
	for (m = 0; m < x->nr; m++) {
		int ret = reads[m] ? copy_check(core, reads[m], e, deadline) : -ENOTCONN;

		if (!ret)
			info->good |= 1 << m;
		else if (ret == -EBADMSG)
			info->bad |= 1 << m;
		else
			info->unread |= 1 << m;
	}
}

static void slot_describe(struct fsw_core *core, u64 slot, struct fsw_entry e, struct fsw_slot_info *info)
{
	*info = (struct fsw_slot_info){
		.slot = slot,
		.state = fsw_entry_state(e),
		.sum = e.sum,
		.length = fsw_entry_length(e),
	};
	if (info->state == FARSWAP_SLOT_STORED) {
		info->extent = fsw_frame_extent(&core->extents, fsw_entry_index(e))->id;
		info->frame = fsw_entry_index(e) & (core->extents.frames - 1);
	}
}

bool fsw_slot_info(struct fsw_core *core, u64 *slot, bool verify, struct fsw_slot_info *info)
{
	struct fsw_entry e;

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
			if (verify && info->state == FARSWAP_SLOT_STORED)
				slot_verify(core, *slot, e, info);
		} while (verify && !fsw_entry_same(fsw_map_get(&core->map, *slot), e));
		if (info->state != FARSWAP_SLOT_EMPTY)
			return true;
	}
	return false;
}
