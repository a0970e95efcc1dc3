// SPDX-License-Identifier: GPL-2.0
/* An extent's members: sealed, opened, lost and back, replaced. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "world.h"

#define PAGES	64

static struct fsw_core *core;
static char page[FSW_PAGE], back[FSW_PAGE];

static void page_fill(unsigned int slot, unsigned int version)
{
	unsigned int i;

	for (i = 0; i < FSW_PAGE; i++)
		page[i] = i * 7 + i / 256 + slot + version * 31;
}

static void store_all(unsigned int version)
{
	unsigned int slot;

	for (slot = 0; slot < PAGES; slot++) {
		page_fill(slot, version);
		assert_int_equal(fsw_store(core, slot, page), 0);
	}
}

static void loads_are(unsigned int version)
{
	unsigned int slot;

	for (slot = 0; slot < PAGES; slot++) {
		page_fill(slot, version);
		assert_int_equal(fsw_load(core, slot, back), 0);
		assert_memory_equal(page, back, FSW_PAGE);
	}
}

static int start(void **state)
{
	static const unsigned int set[] = { 0, 1, 2 };
	struct fsw_params p = {
		.size = 2 * WORLD_SLAB, .slab_bytes = WORLD_SLAB, .copies = 3, .spares = 1, .window = 4, .staging = 128, .staging_max = 4096,
		.close_ms = 2, .store_ms = 5000, .hedge_ms = 100, .load_ms = 10000, .seal_ms = 2000,
	};

	(void)state;
	world_start(5);
	core = fsw_core_new(&p, &world_ops, NULL);
	assert_false(IS_ERR(core));
	assert_int_equal(world_extent(core, 1, set, 3), 0);
	store_all(1);
	world_quiet();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	world_stop(core);
	return 0;
}

static struct fsw_extent_info extent(unsigned int index)
{
	struct fsw_extent_info info;

	assert_true(fsw_extent_info(core, index, &info));
	return info;
}

/* The extent's members as they are, each to succeed itself. */
static void members_now(struct fsw_member *members, struct fsw_peer **succeeds)
{
	const struct fsw_set *set = fsw_extents_get(&core->extents, 0)->set;
	unsigned int m;

	for (m = 0; m < set->nr; m++) {
		members[m] = set->members[m];
		succeeds[m] = members[m].peer;
	}
}

static void a_sealed_extent_gives_no_frame_and_is_read(void **state)
{
	static const unsigned int set[] = { 3, 4, 5 };

	(void)state;
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	assert_true(extent(0).sealed);
	assert_int_equal(fsw_extents_wanted(core), 1);
	loads_are(1);
	store_all(2);
	world_quiet();
	assert_int_equal(world_counters(core).staged, PAGES);	/* nowhere to go */
	assert_int_equal(extent(0).frames_used, 0);		/* but what they replace is freed */
	assert_int_equal(world_extent(core, 2, set, 3), 0);
	world_quiet();
	assert_int_equal(world_counters(core).staged, 0);
	assert_int_equal(extent(1).frames_used, PAGES);
	assert_int_equal(fsw_extent_open(core, 1, 1), 0);
	assert_false(extent(0).sealed);
	loads_are(2);
	store_all(3);	/* the cluster has kept its home */
	world_quiet();
	assert_int_equal(extent(0).frames_used, PAGES);
	loads_are(3);
}

static void staged_pages_go_out_when_an_extent_is_opened(void **state)
{
	(void)state;
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	store_all(2);
	world_quiet();
	assert_int_equal(fsw_extent_open(core, 1, 1), 0);
	world_quiet();
	assert_int_equal(world_counters(core).staged, 0);
	loads_are(2);
}

static void what_is_sealed_or_not_is_said(void **state)
{
	(void)state;
	assert_int_equal(fsw_extent_seal(core, 9, 1), -ENOENT);
	assert_int_equal(fsw_extent_seal(core, 1, 2), -ESTALE);
	assert_int_equal(fsw_extent_open(core, 1, 1), -EINVAL);
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	assert_int_equal(fsw_extent_seal(core, 1, 1), -EBUSY);
	assert_int_equal(fsw_extent_open(core, 1, 7), -ESTALE);
	assert_int_equal(fsw_extent_open(core, 1, 1), 0);
}

static void a_seal_waits_for_windows_on_their_way(void **state)
{
	(void)state;
	store_all(2);
	assert_true(world.in_flight > 0);
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	assert_int_equal(world.in_flight, 0);
	assert_int_equal(fsw_extent_open(core, 1, 1), 0);
}

static void a_seal_that_takes_too_long_is_given_up(void **state)
{
	u64 began;

	(void)state;
	world.late_percent = 100;	/* each WRITE takes three seconds */
	store_all(2);
	began = world_ns;
	assert_int_equal(fsw_extent_seal(core, 1, 1), -ETIMEDOUT);
	assert_true(world_ns < began + 2100 * NSEC_PER_MSEC);
	assert_false(extent(0).sealed);
	world_quiet();
	assert_int_equal(world_counters(core).staged, 0);
}

static void a_member_that_comes_back_has_what_it_had(void **state)
{
	struct fsw_member members[FARSWAP_COPIES_MAX];
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];

	(void)state;
	world_kill(1);
	page_fill(0, 2);
	assert_int_equal(fsw_store(core, 0, page), 0);
	world_quiet();
	assert_int_equal(extent(0).members[1].missed, 1);
	members_now(members, succeeds);
	world_reconnect(1);
	assert_true(fsw_peer_named(core, succeeds[1]));
	members[1].peer = &world.peers[1]->peer;
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), -EINVAL);	/* not sealed */
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	assert_int_equal(fsw_extent_set(core, 1, 3, members, 3, succeeds), -ESTALE);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), 0);
	assert_false(fsw_peer_named(core, succeeds[1]));
	world_bury(core);
	assert_false(extent(0).sealed);
	assert_int_equal(extent(0).generation, 2);
	world_kill(0);
	world_kill(2);
	page_fill(1, 1);
	assert_int_equal(fsw_load(core, 1, back), 0);
	assert_memory_equal(page, back, FSW_PAGE);
}

/* The donors of members 0 and 1 answer again. */
static void two_come_back(struct work_struct *work)
{
	struct fsw_member members[FARSWAP_COPIES_MAX];
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];
	unsigned int m;

	(void)work;
	members_now(members, succeeds);
	for (m = 0; m < 2; m++) {
		world_reconnect(m);
		members[m].peer = &world.peers[m]->peer;
	}
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), 0);
	world_bury(core);
}

static void a_load_waits_for_lost_members_to_come_back(void **state)
{
	static struct delayed_work back_again;
	unsigned int m;
	u64 began;

	(void)state;
	for (m = 0; m < 3; m++)
		world_kill(m);
	world_work_init(&back_again, two_come_back);
	mod_delayed_work(NULL, &back_again, 5000);
	began = world_ns;
	loads_are(1);
	assert_true(world_ns - began >= 5000 * NSEC_PER_MSEC && world_ns - began < 10000 * NSEC_PER_MSEC);
	assert_int_equal(world_counters(core).load_errors, 0);
}

static void a_member_is_replaced_by_a_whole_copy(void **state)
{
	struct fsw_member members[FARSWAP_COPIES_MAX];
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];
	struct farswap_sum sum;
	u64 old, slot = 0;
	unsigned int sums = 0;

	(void)state;
	world_kill(1);
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	members_now(members, succeeds);
	old = members[1].slab;
	members[1] = world_slab(4);
	succeeds[1] = NULL;
	memcpy(world_memory(members[1].slab), world_memory(members[0].slab), WORLD_SLAB);
	for (; fsw_slot_sum(core, 1, &slot, PAGES, &sum); slot++, sums++)
		assert_int_equal(fsw_crc32c(~0u, world_memory(members[1].slab) + sum.frame * FSW_PAGE + sum.offset, sum.length), sum.sum);
	assert_int_equal(sums, PAGES);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), 0);
	world_release(old);
	assert_int_equal(world_counters(core).degraded, 0);
	world_kill(0);
	world_kill(2);
	loads_are(1);
}

/* The copies of the slab that are right, of those stored. */
static unsigned int copies_right(const struct fsw_member_info *m)
{
	struct farswap_sum sum;
	unsigned int right = 0;
	u64 slot = 0;

	for (; fsw_slot_sum(core, 1, &slot, PAGES, &sum); slot++)
		right += fsw_crc32c(~0u, world_memory(m->slab) + sum.frame * FSW_PAGE + sum.offset, sum.length) == sum.sum;
	return right;
}

static void what_a_member_missed_is_mended_when_it_is_back(void **state)
{
	struct fsw_member members[FARSWAP_COPIES_MAX];
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];
	struct fsw_extent_info x;

	(void)state;
	world_kill(1);
	store_all(2);
	world_quiet();
	x = extent(0);
	assert_int_equal(x.members[1].missed, PAGES);
	assert_true(copies_right(&x.members[1]) < PAGES);
	assert_int_equal(world_counters(core).missed, 0);	/* at live members */
	members_now(members, succeeds);
	world_reconnect(1);
	members[1].peer = &world.peers[1]->peer;
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), 0);
	assert_int_equal(world_counters(core).degraded, 1);
	world_quiet();
	assert_int_equal(copies_right(&x.members[1]), PAGES);
	assert_int_equal(world_counters(core).missed, 0);
	assert_int_equal(world_counters(core).degraded, 0);
	assert_int_equal(world_counters(core).mended, PAGES);
	loads_are(2);
}

static void a_slot_with_no_good_copy_does_not_hold_up_the_rest(void **state)
{
	struct fsw_extent_info x = extent(0);
	struct fsw_slot_info infos[FSW_LOOKS];
	unsigned int i;
	u64 slot;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_true(world_corrupt(core, 7, i));
	for (slot = 0; slot < PAGES; slot += 5)
		assert_true(world_corrupt(core, slot, 2));
	for (slot = 0; fsw_slot_infos(core, &slot, true, infos, FSW_LOOKS);)
		;
	world_quiet();
	for (i = 0; i < 3; i++)
		assert_int_equal(copies_right(&x.members[i]), PAGES - 1);
	assert_int_equal(world_counters(core).missed, 3);
	fsw_invalidate(core, 7);
	world_quiet();
	assert_int_equal(world_counters(core).missed, 0);
}

static void a_set_that_makes_no_sense_is_refused(void **state)
{
	static const unsigned int other[] = { 3, 4, 5 };
	struct fsw_member members[FARSWAP_COPIES_MAX];
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];

	(void)state;
	assert_int_equal(world_extent(core, 2, other, 3), 0);
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	members_now(members, succeeds);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 0, succeeds), -EINVAL);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 4, succeeds), -EINVAL);
	succeeds[1] = succeeds[0];		/* another slab */
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), -EINVAL);
	members[1] = members[0];
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), -EINVAL);
	members[1] = fsw_extents_get(&core->extents, 1)->set->members[0];
	succeeds[1] = NULL;
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 3, succeeds), -EEXIST);
	assert_true(extent(0).sealed);
	members_now(members, succeeds);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 2, succeeds), 0);	/* with one less it is degraded */
	assert_int_equal(world_counters(core).degraded, 1);
	loads_are(1);
}

static void the_last_good_copy_does_not_leave(void **state)
{
	struct fsw_member members[FARSWAP_COPIES_MAX];
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];

	(void)state;
	world_kill(1);
	store_all(2);
	world_quiet();
	assert_int_equal(extent(0).members[1].missed, PAGES);
	members_now(members, succeeds);
	world_reconnect(1);
	members[1].peer = &world.peers[1]->peer;
	assert_int_equal(fsw_extent_seal(core, 1, 1), 0);
	assert_int_equal(fsw_extent_set(core, 1, 2, members + 1, 1, succeeds + 1), -ENODATA);	/* it has missed pages */
	world_kill(0);
	assert_int_equal(fsw_extent_set(core, 1, 2, members, 2, succeeds), -ENODATA);		/* and the other is dead */
	assert_true(extent(0).sealed);
	assert_int_equal(fsw_extent_set(core, 1, 2, members + 2, 1, succeeds + 2), 0);		/* they may leave */
	assert_int_equal(extent(0).nr, 1);
	loads_are(2);
}

#define MEMBERS(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMBERS(a_sealed_extent_gives_no_frame_and_is_read),
		MEMBERS(staged_pages_go_out_when_an_extent_is_opened),
		MEMBERS(what_is_sealed_or_not_is_said),
		MEMBERS(a_seal_waits_for_windows_on_their_way),
		MEMBERS(a_seal_that_takes_too_long_is_given_up),
		MEMBERS(a_member_that_comes_back_has_what_it_had),
		MEMBERS(a_load_waits_for_lost_members_to_come_back),
		MEMBERS(a_member_is_replaced_by_a_whole_copy),
		MEMBERS(what_a_member_missed_is_mended_when_it_is_back),
		MEMBERS(the_last_good_copy_does_not_leave),
		MEMBERS(a_slot_with_no_good_copy_does_not_hold_up_the_rest),
		MEMBERS(a_set_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
