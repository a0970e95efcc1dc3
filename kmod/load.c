// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define PATIENCE_US	20000	/* between two looks at a set of which no member is left */

/*
 * A load looks at the slot's entry, fetches what it points at, and believes the bytes only if their checksum is the entry's. Whenever the
 * entry turns out to have changed meanwhile, it starts over.
 */

static struct fsw_entry load_entry(const struct fsw_load *load)
{
	return (struct fsw_entry){ load->entry.sum, load->entry.seq, load->entry.where };
}

/* A page out of an entry's stored bytes. 0, or -EBADMSG: they are not the bytes that were stored. */
int fsw_unpack(struct fsw_core *core, struct fsw_entry e, const void *bytes, void *page)
{
	if (fsw_entry_codec(e) == FARSWAP_CODEC_NONE)
		return fsw_copy_sum(page, bytes, FSW_PAGE) == e.sum ? 0 : -EBADMSG;
	if (fsw_crc32c(~0u, bytes, fsw_entry_length(e)) != e.sum)
		return -EBADMSG;
	return fsw_decompress(&core->codecs, fsw_entry_codec(e), bytes, fsw_entry_length(e), page);
}

/* The same for bytes that may change meanwhile: a decompressor is safe with any bytes, but not with two views of the same ones. */
static int unpack_steady(struct fsw_core *core, struct fsw_entry e, const void *bytes, void *page)
{
	void *steady;
	int ret;

	os_cpu_hold();
	steady = fsw_codec_bounce(&core->codecs);
	memcpy(steady, bytes, min_t(u32, fsw_entry_length(e), FSW_COMPRESSED_MAX));
	ret = fsw_unpack(core, e, steady, page);
	os_cpu_release();
	return ret;
}

/* The staged bytes into dst. 0, -EAGAIN (changed meanwhile), -EBADMSG (other bytes) */
static int staged_copy(struct fsw_core *core, u64 slot, struct fsw_entry e, void *dst)
{
	const void *bytes;
	int ret = -EAGAIN;

	rcu_read_lock();
	bytes = fsw_staged_bytes(&core->staging, e);
	if (bytes)
		ret = fsw_entry_codec(e) == FARSWAP_CODEC_NONE ? fsw_unpack(core, e, bytes, dst) :
							      unpack_steady(core, e, bytes, dst);
	rcu_read_unlock();
	/* the place is another page's only after the entry left it: then the copy is worthless */
	return fsw_entry_current(core, slot, e) ? ret : -EAGAIN;
}

/* ---- one READ ---- */

void fsw_read_ended(struct fsw_read *read)
{
	fsw_frame_unpin(read->pin);
	read->pin = NULL;
}

/*
 * Post a READ of the entry's frame from member m. 0; -ENOBUFS: no read request is free; -EAGAIN: the entry or the set changed. The pin is
 * held until the READ ended, even when the load gives up waiting for it.
 */
static int read_start(struct fsw_core *core, struct fsw_load *load, const struct fsw_extent *x, unsigned int m, bool urgent)
{
	struct fsw_entry e = load_entry(load);
	struct fsw_read *read = core->ops->read_get(core->transport, urgent);
	struct fsw_member member;

	if (!read)
		return -ENOBUFS;
	read->pin = fsw_frame_pin(&core->extents, fsw_entry_index(e));
	read->status = -ECANCELED;	/* until it is posted */
	if (!fsw_entry_current(core, load->slot, e) || !fsw_extent_at(x, load->generation, m, &member)) {
		core->ops->read_put(core->transport, read);
		return -EAGAIN;
	}
	fsw_extent_use(&core->extents, fsw_entry_index(e));
	load->tried |= 1 << m;
	load->reads[m] = read;
	load->posted_ns = ktime_get_ns();
	core->ops->read_post(core->transport, read, member.peer, fsw_entry_remote(&core->extents, &member, e), member.rkey,
			     fsw_entry_length(e));
	return 0;
}

static void read_drop(struct fsw_core *core, struct fsw_load *load, unsigned int m)
{
	struct fsw_read *read = load->reads[m];

	load->reads[m] = NULL;
	core->ops->read_put(core->transport, read);
}

static void reads_drop(struct fsw_core *core, struct fsw_load *load)
{
	unsigned int m;

	for (m = 0; m < FARSWAP_COPIES_MAX; m++)
		if (load->reads[m])
			read_drop(core, load, m);
}

/*
 * Try the next replica: the fastest; every 64th time the next in turn instead, so that each one's latency stays known. 0, -ENODATA (none
 * left), -ENOBUFS, -EAGAIN
 */
static int read_next(struct fsw_core *core, struct fsw_load *load, const struct fsw_extent *x, bool urgent)
{
	u32 picks = this_cpu_inc_return(core->stats->picks), turn = picks / 64;
	unsigned int f = fsw_frame_offset(&core->extents, fsw_entry_index(load_entry(load)));
	int m = fsw_extent_pick(x, load->generation, f, load->tried, picks % 64 ? NULL : &turn);

	return m < 0 ? m : read_start(core, load, x, m, urgent);
}

/* ---- one copy, as it is ---- */

struct fsw_read *fsw_copy_read(struct fsw_core *core, u64 slot, struct fsw_entry e, u32 generation, unsigned int m, u64 deadline)
{
	u64 frame = fsw_entry_index(e);
	struct fsw_member member;
	struct fsw_read *read;

	/* not an urgent one: the task may hold those of other members */
	while (!(read = core->ops->read_get(core->transport, false))) {
		if (ktime_get_ns() >= deadline)
			return NULL;
		core->ops->read_room(core->transport, min(deadline, ktime_get_ns() + 10 * NSEC_PER_MSEC));
	}
	read->pin = fsw_frame_pin(&core->extents, frame);
	read->status = -ECANCELED;	/* if the entry or the set changed */
	if (fsw_entry_current(core, slot, e) && fsw_extent_at(fsw_frame_extent(&core->extents, frame), generation, m, &member))
		core->ops->read_post(core->transport, read, member.peer, fsw_entry_remote(&core->extents, &member, e),
				     member.rkey, fsw_entry_length(e));
	return read;
}

int fsw_copy_wait(struct fsw_core *core, struct fsw_read *read, struct fsw_entry e, u64 deadline)
{
	int ret;

	while ((ret = smp_load_acquire(&read->status)) == FSW_READ_FLYING && ktime_get_ns() < deadline)
		core->ops->read_wait(core->transport, &read, 1, deadline);
	if (ret == FSW_READ_FLYING)
		ret = -ETIMEDOUT;
	else if (!ret && fsw_crc32c(~0u, read->va, fsw_entry_length(e)) != e.sum)
		ret = -EBADMSG;
	return ret;
}

void fsw_copy_bad(struct fsw_core *core, struct fsw_entry e, u32 generation, unsigned int m)
{
	u64 frame = fsw_entry_index(e);

	if (!fsw_extent_corrupt(fsw_frame_extent(&core->extents, frame), generation, m, fsw_frame_offset(&core->extents, frame)))
		return;
	fsw_count(core, FSW_CORRUPT);
	fsw_mend_kick(&core->mend);
}

/* ---- a stored page ---- */

static void load_bad(struct fsw_core *core, struct fsw_load *load, unsigned int m)
{
	load->tried |= 1 << m;
	load->bad |= 1 << m;
	fsw_copy_bad(core, load_entry(load), load->generation, m);
}

/* What member m answered. 0: page holds it, verified. -EAGAIN: the entry changed. -EBADMSG, or the READ's error: no good */
static int read_reap(struct fsw_core *core, struct fsw_load *load, unsigned int m, void *page)
{
	struct fsw_entry e = load_entry(load);
	int ret = load->reads[m]->status;

	if (ret) {
		fsw_count(core, FSW_FAILOVERS);
	} else if (fsw_unpack(core, e, load->reads[m]->va, page)) {
		ret = -EAGAIN;
		if (fsw_entry_current(core, load->slot, e)) {
			ret = -EBADMSG;
			load_bad(core, load, m);
		}
	}
	read_drop(core, load, m);
	return ret;
}

/* Reap all that ended: 0 or -EAGAIN as read_reap() says, -EINPROGRESS: go on. */
static int reads_reap(struct fsw_core *core, struct fsw_load *load, void *page)
{
	unsigned int m;

	for (m = 0; m < FARSWAP_COPIES_MAX; m++) {
		int ret;

		if (!load->reads[m] || smp_load_acquire(&load->reads[m]->status) == FSW_READ_FLYING)
			continue;
		ret = read_reap(core, load, m, page);
		if (ret == 0 || ret == -EAGAIN)
			return ret;
	}
	return -EINPROGRESS;
}

static unsigned int reads_flying(struct fsw_load *load, struct fsw_read **reads)
{
	unsigned int m, nr = 0;

	for (m = 0; m < FARSWAP_COPIES_MAX; m++)
		if (load->reads[m])
			reads[nr++] = load->reads[m];
	return nr;
}

/*
 * No replica is left to try. If every copy answered other bytes, the slot is an error from now on. 0: a member that was lost may still
 * come back, which makes another set. It is waited for from when the last one was lost, not by each load anew: what is gone for good
 * stops a reader of many pages once.
 */
static int load_lost(struct fsw_core *core, struct fsw_load *load, const struct fsw_extent *x)
{
	struct fsw_entry e = load_entry(load), error = e;
	unsigned int nr = fsw_extent_nr(x, load->generation);
	u64 lost_ns = fsw_extent_lost_ns(x, load->generation);

	if (!nr || !fsw_entry_current(core, load->slot, e))
		return -EAGAIN;
	if (load->bad == (1 << nr) - 1) {
		error.where = fsw_where(FARSWAP_SLOT_ERROR, FARSWAP_CODEC_NONE, 0, 0, 0, 0);
		if (!fsw_map_cas(&core->map, load->slot, e, error))
			return -EAGAIN;
		fsw_entry_drop(core, e);
		return -EIO;
	}
	if (!lost_ns || ktime_get_ns() >= lost_ns + (u64)core->params.load_ms * NSEC_PER_MSEC)
		return -EIO;
	fsleep(PATIENCE_US);
	return 0;
}

static int load_stored(struct fsw_core *core, struct fsw_load *load, void *page)
{
	struct fsw_extent *x = fsw_frame_extent(&core->extents, fsw_entry_index(load_entry(load)));
	u64 deadline = load->deadline_ns;

	for (;;) {
		struct fsw_read *flying[FARSWAP_COPIES_MAX];
		unsigned int nr;
		u64 now, until;
		int ret = reads_reap(core, load, page);

		if (ret != -EINPROGRESS)
			return ret;
		nr = reads_flying(load, flying);
		now = ktime_get_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		if (!nr) {
			ret = read_next(core, load, x, true);
			if (ret == -ENODATA)
				ret = load_lost(core, load, x);
			if (ret == -ENOBUFS)
				core->ops->read_room(core->transport, deadline);
			else if (ret)
				return ret;
			continue;
		}
		until = load->posted_ns + (u64)core->params.hedge_ms * NSEC_PER_MSEC;
		if (until <= now)	/* hedged already, or no request was free for it: look again a little later */
			until = now + (u64)core->params.hedge_ms * NSEC_PER_MSEC / 8;
		core->ops->read_wait(core->transport, flying, nr, min(until, deadline));
		if (ktime_get_ns() < until)
			continue;
		ret = read_next(core, load, x, true);
		if (ret == -EAGAIN)
			return ret;
		if (!ret)
			fsw_count(core, FSW_HEDGES);
	}
}

/* The page was read ahead. 0, -EAGAIN: the entry changed. Else it is no good, and to be read as if it had not been. */
static int load_ahead(struct fsw_core *core, struct fsw_load *load, void *page)
{
	struct fsw_extent *x = fsw_frame_extent(&core->extents, fsw_entry_index(load_entry(load)));
	struct fsw_member member;
	struct fsw_peer *from;
	unsigned int m;
	int ret = fsw_ahead_load(core, load, page, &from);

	for (m = 0; ret == -EBADMSG && fsw_extent_at(x, load->generation, m, &member); m++)
		if (member.peer == from)
			load_bad(core, load, m);
	return ret;
}

/* ---- both halves ---- */

static void load_look(struct fsw_core *core, struct fsw_load *load)
{
	struct fsw_entry e = fsw_map_get(&core->map, load->slot);

	load->entry.sum = e.sum;
	load->entry.seq = e.seq;
	load->entry.where = e.where;
	if (fsw_entry_state(e) == FARSWAP_SLOT_STORED)
		load->generation = fsw_extent_generation(fsw_frame_extent(&core->extents, fsw_entry_index(e)));
	load->tried = 0;
	load->bad = 0;
}

bool fsw_load_begin(struct fsw_core *core, struct fsw_load *load, u64 slot, bool more)
{
	struct fsw_entry e;
	int ret = 0;

	load->slot = slot;
	load->start_ns = ktime_get_ns();
	memset(load->reads, 0, sizeof(load->reads));
	load->fetch = NULL;
	load_look(core, load);
	e = load_entry(load);
	if (fsw_entry_state(e) == FARSWAP_SLOT_STORED && !fsw_ahead_find(core, load))
		ret = read_next(core, load, fsw_frame_extent(&core->extents, fsw_entry_index(e)), false);
	fsw_ahead_learn(core, load, !more && !ret);
	return ret != -ENOBUFS;
}

/* The load's entry, brought into page. -EAGAIN: it changed meanwhile. */
static int load_fetch(struct fsw_core *core, struct fsw_load *load, void *page)
{
	struct fsw_entry e = load_entry(load);
	int ret;

	switch (fsw_entry_state(e)) {
	case FARSWAP_SLOT_EMPTY:
		memset(page, 0, FSW_PAGE);
		return 0;
	case FARSWAP_SLOT_FILLED:
		fsw_fill(page, fsw_entry_word(e));
		return 0;
	case FARSWAP_SLOT_STAGED:
		return staged_copy(core, load->slot, e, page);
	case FARSWAP_SLOT_STORED:
		ret = load->fetch ? load_ahead(core, load, page) : -ENODATA;
		return !ret || ret == -EAGAIN ? ret : load_stored(core, load, page);
	case FARSWAP_SLOT_ERROR:
		break;
	}
	return -EIO;
}

static void load_count(struct fsw_core *core, const struct fsw_load *load, int ret)
{
	enum farswap_slot_state state = fsw_entry_state(load_entry(load));

	fsw_count(core, ret ? FSW_LOAD_ERRORS : FSW_LOADS);
	if (!ret && state == FARSWAP_SLOT_STAGED)
		fsw_count(core, FSW_LOADS_STAGED);
	if (!ret && state == FARSWAP_SLOT_EMPTY)
		fsw_count(core, FSW_LOADS_EMPTY);
}

int fsw_load_end(struct fsw_core *core, struct fsw_load *load, void *page)
{
	int ret = -EINVAL;

	load->deadline_ns = ktime_get_ns() + (u64)core->params.load_ms * NSEC_PER_MSEC;
	if (load->slot < core->map.slots) {
		ret = load_fetch(core, load, page);
		while (ret == -EAGAIN) {
			reads_drop(core, load);
			load_look(core, load);
			ret = load_fetch(core, load, page);
		}
		reads_drop(core, load);
	}
	load_count(core, load, ret);
	fsw_hist_add(core, ktime_get_ns() - load->start_ns);
	trace_farswap_load(load->slot, ktime_get_ns() - load->start_ns, ret);
	return ret == -EBADMSG ? -EIO : ret;
}

int fsw_load(struct fsw_core *core, u64 slot, void *page)
{
	struct fsw_load load;

	fsw_load_begin(core, &load, slot, false);
	return fsw_load_end(core, &load, page);
}
