// SPDX-License-Identifier: GPL-2.0
/* The device's extents as the kernel has them: who their members are. Read from it whenever one may have changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "evict.h"
#include "farswapd.h"
#include "log.h"

#define REFRESH_RETRY_NS	1000000000ull

static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

static int append(struct extent_table *table, const struct device_extent *extent)
{
	struct device_extent *more;

	if (table->n == table->room) {
		size_t room = table->room ? 2 * table->room : 16;

		more = realloc(table->extents, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		table->extents = more;
		table->room = room;
	}
	table->extents[table->n++] = *extent;
	return 0;
}

void extent_table_free(struct extent_table *table)
{
	free(table->extents);
	memset(table, 0, sizeof(*table));
}

int extent_note(const struct device_extent *extent)
{
	int ret = append(&device.table, extent);

	if (extent->number >= device.next_extent)
		device.next_extent = extent->number + 1;
	device.unsettled = true;
	return ret;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = ((const struct device_extent *)a)->number, y = ((const struct device_extent *)b)->number;

	return x < y ? -1 : x > y;
}

struct device_extent *extent_numbered(uint64_t number)
{
	struct device_extent key = { .number = number };

	if (!device.table.n)
		return NULL;
	return bsearch(&key, device.table.extents, device.table.n, sizeof(key), by_number);
}

static int take(struct extent_table *table, const struct nlmsghdr *nlh)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1], *member[FARSWAP_A_MAX + 1], *one;
	struct device_extent extent = { 0 };
	int left;

	if (farswap_nl_parse(nlh, attrs) || !attrs[FARSWAP_A_MEMBERS])
		return -EBADMSG;
	extent.number = farswap_nl_u64(attrs, FARSWAP_A_EXTENT);
	extent.generation = farswap_nl_u32(attrs, FARSWAP_A_GENERATION);
	extent.sealed = farswap_nl_u8(attrs, FARSWAP_A_SEALED);
	extent.frames_used = farswap_nl_u32(attrs, FARSWAP_A_FRAMES_USED);
	extent.uses = extent.counted = farswap_nl_u64(attrs, FARSWAP_A_USES);
	nla_for_each_nested(one, attrs[FARSWAP_A_MEMBERS], left) {
		if (extent.n == FARSWAP_COPIES_MAX || farswap_nl_parse_nested(one, member))
			return -EBADMSG;
		extent.members[extent.n++] = (struct device_member) {
			.peer = farswap_nl_u32(member, FARSWAP_A_NODE),
			.slab = farswap_nl_u64(member, FARSWAP_A_SLAB),
			.incarnation = farswap_nl_u64(member, FARSWAP_A_INCARNATION),
			.address = farswap_nl_u64(member, FARSWAP_A_REMOTE),
			.rkey = farswap_nl_u32(member, FARSWAP_A_RKEY),
			.missed = farswap_nl_u32(member, FARSWAP_A_MISSED),
		};
	}
	return append(table, &extent);
}

static void count_slabs(void)
{
	struct device_peer *peer;
	size_t i, k;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		peer->slabs = 0;
	for (i = 0; i < device.table.n; i++) {
		for (k = 0; k < device.table.extents[i].n; k++) {
			peer = peer_numbered(device.table.extents[i].members[k].peer);
			if (peer)
				peer->slabs++;
		}
	}
}

/* what an extent was used goes on being counted; a period that took longer counts as one */
static void carry_over(struct device_extent *extent, const struct device_extent *old, bool counts)
{
	extent->retry_ns = old->retry_ns;
	extent->pages_lost = old->pages_lost;
	extent->activity = old->activity;
	extent->counted = old->counted;
	if (!counts)
		return;
	extent->activity = evict_activity(old->activity, extent->uses > old->counted ? extent->uses - old->counted : 0);
	extent->counted = extent->uses;
}

int extent_take_all(const struct kernel_answer *answers)
{
	bool counts = farswap_now_ns() >= device.period_ns;
	struct extent_table table = { 0 };
	struct device_extent *old;
	size_t i;
	int ret = 0;

	for (; answers && !ret; answers = answers->next)
		ret = take(&table, answers->nlh);
	if (ret) {
		extent_table_free(&table);
		return ret;
	}
	if (table.n)
		qsort(table.extents, table.n, sizeof(*table.extents), by_number);
	for (i = 0; i < table.n; i++) {
		old = extent_numbered(table.extents[i].number);
		if (old)
			carry_over(&table.extents[i], old, counts);
		if (table.extents[i].number >= device.next_extent)
			device.next_extent = table.extents[i].number + 1;
	}
	if (counts)
		device.period_ns = farswap_now_ns() + DEVICE_PERIOD_NS;
	extent_table_free(&device.table);
	device.table = table;
	device.stale = false;
	device.unsettled = true;
	count_slabs();
	return 0;
}

static void on_refreshed(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)arg;
	device.in_air--;
	device.refreshing = false;
	if (!error) {
		error = extent_take_all(answers);
		why = strerror(-error);
	}
	if (error) {
		device.refresh_ns = farswap_now_ns() + REFRESH_RETRY_NS;
		if (!farswap_nl_is_gone(error))
			farswap_log_limited(&limit, "%s: extents not read: %s", device.name, why);
	}
	device_kick();
}

bool extent_refresh(void)
{
	if (!device.stale)
		return false;
	if (!device.refreshing && farswap_now_ns() >= device.refresh_ns) {
		device.refreshing = true;
		device.in_air++;
		kernel_call(device_msg(FARSWAP_CMD_EXTENT_GET, 1), on_refreshed, NULL);
	}
	return true;
}

unsigned int extent_usable(void)
{
	unsigned int usable = 0;
	size_t i, k;

	for (i = 0; i < device.table.n; i++) {
		const struct device_extent *extent = &device.table.extents[i];

		for (k = 0; k < extent->n && peer_standing(extent->members[k].peer) != STANDING_LIVE; k++)
			;
		usable += k < extent->n;
	}
	return usable;
}

bool extent_names(uint32_t peer)
{
	size_t i, k;

	for (i = 0; i < device.table.n; i++)
		for (k = 0; k < device.table.extents[i].n; k++)
			if (device.table.extents[i].members[k].peer == peer)
				return true;
	return false;
}

bool extent_names_session(const struct device_peer *peer)
{
	const struct device_peer *p;

	if (device.stale)
		return true;
	for (p = device.peers; p < device.peers + DEVICE_PEERS_MAX; p++)
		if (p->state != PEER_FREE && peer_same_session(p, peer) && extent_names(p->number))
			return true;
	return false;
}

/* what is not known for sure counts as one */
bool extent_last_copy(const struct device_peer *peer)
{
	size_t i, k;

	if (device.stale)
		return true;
	for (i = 0; i < device.table.n; i++) {
		const struct device_extent *extent = &device.table.extents[i];
		bool its = false, whole = false;

		for (k = 0; k < extent->n; k++) {
			const struct device_peer *member = peer_numbered(extent->members[k].peer);

			its |= member && peer_same_session(member, peer);
			/* what a live one missed, this one may be the only one to have */
			whole |= peer_standing(extent->members[k].peer) == STANDING_LIVE && !extent->members[k].missed;
		}
		if (its && !whole)
			return true;
	}
	return false;
}

int extent_put_members(struct nl_msg *msg, const struct device_member *members, unsigned int n)
{
	struct nlattr *all = nla_nest_start(msg, FARSWAP_A_MEMBERS);
	unsigned int i;

	if (!all)
		return -EMSGSIZE;
	for (i = 0; i < n; i++) {
		struct nlattr *one = nla_nest_start(msg, FARSWAP_A_MEMBER);

		if (!one)
			return -EMSGSIZE;
		nla_put_u32(msg, FARSWAP_A_NODE, members[i].peer);
		nla_put_u64(msg, FARSWAP_A_SLAB, members[i].slab);
		nla_put_u64(msg, FARSWAP_A_INCARNATION, members[i].incarnation);
		nla_put_u64(msg, FARSWAP_A_REMOTE, members[i].address);
		nla_put_u32(msg, FARSWAP_A_RKEY, members[i].rkey);
		if (members[i].succeeds)
			nla_put_u32(msg, FARSWAP_A_SUCCEEDS, members[i].succeeds);
		nla_nest_end(msg, one);
	}
	nla_nest_end(msg, all);
	return 0;
}
