// SPDX-License-Identifier: GPL-2.0
/* Staging: batching, back-pressure, refusal, and what a window does when donors fail. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "world.h"

static struct fsw_core *core;
static char page[FSW_PAGE] = "not one word over and over: that would need no window";
static unsigned int wanted;

static void want(void *ctx)
{
	(void)ctx;
	wanted++;
}

static void start_sized(u64 size, unsigned int window, unsigned int staging, unsigned int extents)
{
	static const unsigned int set[] = { 0, 1, 2 };
	struct fsw_params p = {
		.size = size, .slab_bytes = WORLD_SLAB, .copies = 3, .spares = 1, .window = window,
		.staging = staging, .staging_max = 4096,
		.close_ms = 2, .store_ms = 5000, .hedge_ms = 100, .load_ms = 3000, .want = want,
	};
	unsigned int i;

	world_start(7);
	wanted = 0;
	core = fsw_core_new(&p, &world_ops, NULL);
	assert_false(IS_ERR(core));
	for (i = 0; i < extents; i++)
		assert_int_equal(world_extent(core, i + 1, set, 3), 0);
}

static void start(unsigned int window, unsigned int staging, unsigned int extents)
{
	start_sized(8 * WORLD_SLAB, window, staging, extents);
}

static int stop(void **state)
{
	(void)state;
	world_worker = false;
	world_stop(core);
	return 0;
}

static void sequential_stores_fill_windows_of_one_run(void **state)
{
	unsigned int i;

	(void)state;
	start(32, 128, 1);
	for (i = 0; i < 128; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	assert_int_equal(world_counters(core).windows, 4);
	assert_int_equal(world.chains, 4 * 3);	/* a doorbell for each window and donor */
	assert_int_equal(world.pieces, 4 * 3);	/* with one WRITE each */
}

static void an_open_window_is_sent_by_the_timer(void **state)
{
	(void)state;
	start(32, 128, 1);
	assert_int_equal(fsw_store(core, 5, page), 0);
	assert_int_equal(world_counters(core).windows, 0);
	world_quiet();
	assert_int_equal(world_counters(core).windows, 1);
	assert_int_equal(world_counters(core).staged, 0);
}

static void a_full_pool_makes_a_store_wait_for_a_window(void **state)
{
	unsigned int i;

	(void)state;
	start(4, 8, 1);
	for (i = 0; i < 200; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	assert_true(world_counters(core).waits > 0);
	assert_int_equal(world_counters(core).refused, 0);
}

static void a_store_with_no_donor_is_refused_in_time_and_then_at_once(void **state)
{
	unsigned int i, kept = 0;
	u64 began;

	(void)state;
	start(4, 8, 1);
	for (i = 0; i < 3; i++)
		world_kill(i);
	while (fsw_store(core, kept, page) == 0)
		kept++;
	assert_int_equal(kept, 8);	/* the whole pool was accepted */
	assert_true(world_ns >= 5000 * NSEC_PER_MSEC && world_ns < 6000 * NSEC_PER_MSEC);
	began = world_ns;
	assert_int_equal(fsw_store(core, 100, page), -EAGAIN);
	assert_int_equal(world_ns, began);
	assert_true(wanted > 0);
	for (i = 0; i < 8; i++)		/* what was accepted is safe in staging */
		assert_int_equal(fsw_load(core, i, page), 0);
}

static void staged_pages_go_to_a_new_extent_when_their_donors_are_lost(void **state)
{
	static const unsigned int set[] = { 3, 4, 5 };
	char back[FSW_PAGE];
	unsigned int i;

	(void)state;
	start(4, 8, 1);
	memset(page, 0x5c, sizeof(page) - 1);
	for (i = 0; i < 8; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	for (i = 0; i < 3; i++)
		world_kill(i);
	world_quiet();
	assert_int_equal(world_counters(core).staged, 8);
	assert_int_equal(world_extent(core, 9, set, 3), 0);
	world_quiet();
	assert_int_equal(world_counters(core).staged, 0);
	assert_int_equal(fsw_load(core, 3, back), 0);
	assert_memory_equal(page, back, sizeof(page));
}

static void a_cluster_gets_a_new_home_when_its_extent_dies(void **state)
{
	static const unsigned int set[] = { 3, 4, 5 };
	unsigned int i, slot;

	(void)state;
	start(4, 64, 1);
	for (slot = 0; slot < 100; slot++)
		assert_int_equal(fsw_store(core, slot, page), 0);
	world_quiet();
	for (i = 0; i < 3; i++)
		world_kill(i);
	assert_int_equal(world_extent(core, 2, set, 3), 0);
	assert_int_equal(fsw_extents_wanted(core), 0);
	for (slot = 0; slot < 100; slot++)
		assert_int_equal(fsw_store(core, slot, page), 0);
	world_quiet();
	assert_int_equal(fsw_extents_wanted(core), 1);	/* the fresh run is somebody's home now */
	assert_int_equal(fsw_load(core, 99, page), 0);
}

static void a_worker_is_refused_at_once(void **state)
{
	unsigned int i;

	(void)state;
	start(4, 8, 1);
	world_worker = true;
	for (i = 0; i < 8; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	assert_int_equal(fsw_store(core, 8, page), -EAGAIN);
	assert_int_equal(world_ns, 0);
}

static void a_store_waits_until_there_is_a_map_table(void **state)
{
	u64 began, slot = 0;

	(void)state;
	start_sized(512 * WORLD_SLAB, 4, 256, 8);
	world.at_once_percent = 100;	/* staging never is what it waits for */
	while (fsw_map_populate(&core->map, slot))	/* not as a store does: nobody is told that the stock shrinks */
		slot += FSW_CLUSTER;
	assert_true(slot < core->map.slots);
	began = world_ns;
	assert_int_equal(fsw_store(core, slot, page), 0);
	assert_true(world_counters(core).waits > 0);
	assert_true(world_ns < began + 1000 * NSEC_PER_MSEC);
	/* from now on the stock is filled ahead of need */
	for (; slot < core->map.slots; slot += FSW_CLUSTER) {
		assert_int_equal(fsw_store(core, slot, page), 0);
		world_wait(world_ns + NSEC_PER_MSEC);
	}
	assert_int_equal(world_counters(core).waits, 1);
	assert_int_equal(core->map.made, core->map.slots / FSW_CLUSTER);
}

static void the_pool_is_resized_while_pages_are_in_it(void **state)
{
	char back[FSW_PAGE];
	unsigned int i;

	(void)state;
	start(4, 16, 1);
	for (i = 0; i < 12; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	assert_int_equal(fsw_staging_set(core, 64), 0);
	assert_int_equal(fsw_staging_get(core), 64);
	for (; i < 48; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	assert_int_equal(world_counters(core).waits, 0);
	assert_int_equal(fsw_staging_set(core, 8), 0);	/* waits for windows in flight */
	assert_int_equal(fsw_staging_get(core), 8);
	for (; i < 96; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	assert_true(world_counters(core).waits > 0);
	for (i = 0; i < 96; i++) {
		assert_int_equal(fsw_load(core, i, back), 0);
		assert_memory_equal(page, back, FSW_PAGE);
	}
	assert_int_equal(fsw_staging_set(core, 4), -EINVAL);
	assert_int_equal(fsw_staging_set(core, 10), -EINVAL);
	assert_int_equal(fsw_staging_set(core, 8192), -EINVAL);
}

static void a_pool_that_cannot_shrink_stays_as_it_is(void **state)
{
	char back[FSW_PAGE];
	unsigned int i;

	(void)state;
	start(4, 32, 1);
	for (i = 0; i < 3; i++)
		world_kill(i);
	for (i = 0; i < 20; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
	assert_int_equal(fsw_staging_set(core, 8), -EBUSY);	/* no donor is left: staging is the only copy */
	assert_int_equal(fsw_staging_get(core), 32);
	for (i = 0; i < 20; i++) {
		assert_int_equal(fsw_load(core, i, back), 0);
		assert_memory_equal(page, back, FSW_PAGE);
	}
	for (i = 20; i < 32; i++)
		assert_int_equal(fsw_store(core, i, page), 0);
}

static void a_slot_out_of_range_is_refused(void **state)
{
	(void)state;
	start(4, 8, 1);
	assert_int_equal(fsw_store(core, core->map.slots, page), -EINVAL);
	assert_int_equal(fsw_load(core, core->map.slots, page), -EINVAL);
	fsw_invalidate(core, core->map.slots);
}

static void a_set_names_each_peer_once_and_an_extent_comes_once(void **state)
{
	struct fsw_member again;
	static const unsigned int twice[] = { 0, 0 }, set[] = { 0, 1 }, four[] = { 0, 1, 2, 3 };

	(void)state;
	start(4, 8, 1);
	assert_int_equal(world_extent(core, 5, twice, 2), -EINVAL);
	assert_int_equal(world_extent(core, 5, four, 4), -EINVAL);
	assert_int_equal(world_extent(core, 5, set, 0), -EINVAL);
	assert_int_equal(world_extent(core, 1, set, 2), -EEXIST);
	assert_int_equal(world_extent(core, 5, set, 2), 0);
	assert_int_equal(world_counters(core).degraded, 1);
	again = core->extents.all[1]->set->members[0];	/* a slab in two extents would be two pages in one place */
	assert_int_equal(fsw_extent_add(core, 6, 1, &again, 1), -EEXIST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sequential_stores_fill_windows_of_one_run, stop),
		cmocka_unit_test_teardown(an_open_window_is_sent_by_the_timer, stop),
		cmocka_unit_test_teardown(a_full_pool_makes_a_store_wait_for_a_window, stop),
		cmocka_unit_test_teardown(a_store_with_no_donor_is_refused_in_time_and_then_at_once, stop),
		cmocka_unit_test_teardown(staged_pages_go_to_a_new_extent_when_their_donors_are_lost, stop),
		cmocka_unit_test_teardown(a_cluster_gets_a_new_home_when_its_extent_dies, stop),
		cmocka_unit_test_teardown(a_worker_is_refused_at_once, stop),
		cmocka_unit_test_teardown(a_store_waits_until_there_is_a_map_table, stop),
		cmocka_unit_test_teardown(the_pool_is_resized_while_pages_are_in_it, stop),
		cmocka_unit_test_teardown(a_pool_that_cannot_shrink_stays_as_it_is, stop),
		cmocka_unit_test_teardown(a_slot_out_of_range_is_refused, stop),
		cmocka_unit_test_teardown(a_set_names_each_peer_once_and_an_extent_comes_once, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
