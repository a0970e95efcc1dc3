// SPDX-License-Identifier: GPL-2.0
/* Loads: which replica, what happens when one is slow, wrong or gone, and when none is left. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "world.h"

static struct fsw_core *core;
static char page[FSW_PAGE], back[FSW_PAGE];

static int start(void **state)
{
	static const unsigned int set[] = { 0, 1, 2 };
	struct fsw_params p = {
		.size = WORLD_SLAB, .slab_bytes = WORLD_SLAB, .copies = 3, .spares = 1, .window = 4, .staging = 16, .staging_max = 4096,
		.close_ms = 2,
		.store_ms = 5000, .hedge_ms = 100, .load_ms = 10000,
	};
	unsigned int i;

	(void)state;
	world_start(11);
	core = fsw_core_new(&p, &world_ops, NULL);
	assert_false(IS_ERR(core));
	assert_int_equal(world_extent(core, 1, set, 3), 0);
	for (i = 0; i < FSW_PAGE; i++)
		page[i] = i * 7 + i / 256;
	assert_int_equal(fsw_store(core, 42, page), 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	world_stop(core);
	return 0;
}

static void load_is_right(void)
{
	memset(back, 0, sizeof(back));
	assert_int_equal(fsw_load(core, 42, back), 0);
	assert_memory_equal(page, back, sizeof(page));
}

static void a_staged_page_is_read_from_staging(void **state)
{
	(void)state;
	load_is_right();
	assert_int_equal(world_counters(core).loads_staged, 1);
}

static char newer[FSW_PAGE];
static bool came;

/* Another CPU stores the page anew, and others until its place in staging is one of theirs. */
static void stage_anew(void)
{
	unsigned int i;

	if (came)
		return;
	came = true;
	assert_int_equal(fsw_store(core, 42, newer), 0);
	for (i = 0; i < 64; i++)
		assert_int_equal(fsw_store(core, 100 + i, newer), 0);
}

static void a_place_that_is_used_again_while_it_is_copied_is_seen(void **state)
{
	unsigned int i, times = 0;

	(void)state;
	for (i = 0; i < FSW_PAGE; i++)
		newer[i] = i * 5 + i / 256;
	for (i = 0; i < 2000; i++) {
		world_quiet();
		assert_int_equal(fsw_store(core, 42, page), 0);
		came = false;
		world.other_cpu = stage_anew;
		assert_int_equal(fsw_load(core, 42, back), 0);
		world.other_cpu = NULL;
		assert_true(!memcmp(back, page, sizeof(page)) || (came && !memcmp(back, newer, sizeof(newer))));
		times += came;
	}
	assert_true(times > 100);
}

static void a_slot_never_written_reads_as_zeros(void **state)
{
	static const char zeros[FSW_PAGE];

	(void)state;
	memset(back, 1, sizeof(back));
	assert_int_equal(fsw_load(core, 400, back), 0);
	assert_memory_equal(zeros, back, sizeof(zeros));
	assert_int_equal(world_counters(core).loads_empty, 1);
}

static void a_freed_slot_reads_as_zeros_and_holds_no_frame(void **state)
{
	struct fsw_extent_info x;

	(void)state;
	world_quiet();
	assert_true(fsw_extent_info(core, 0, &x));
	assert_int_equal(x.frames_used, 1);
	fsw_invalidate(core, 42);
	assert_true(fsw_extent_info(core, 0, &x));
	assert_int_equal(x.frames_used, 0);
	assert_int_equal(world_counters(core).held, 0);
}

static void a_flipped_bit_is_seen_and_another_copy_read(void **state)
{
	unsigned int i;

	(void)state;
	world_quiet();
	assert_true(world_corrupt(core, 42, 0));
	for (i = 0; i < 300; i++)
		load_is_right();
	assert_int_equal(world_counters(core).corrupt, 1);	/* not read again while there are others */
	assert_int_equal(world_counters(core).degraded, 1);
	assert_int_equal(world_counters(core).corrupt, atomic64_read(&world.peers[0]->peer.corrupt));
	assert_int_equal(world_counters(core).load_errors, 0);
}

static void the_audit_names_the_bad_copy(void **state)
{
	struct fsw_slot_info info;
	u64 slot = 0;

	(void)state;
	world_quiet();
	assert_true(world_corrupt(core, 42, 1));
	world_kill(2);
	assert_true(fsw_slot_infos(core, &slot, true, &info, 1));
	assert_int_equal(info.slot, 42);
	assert_int_equal(info.good, 1);
	assert_int_equal(info.bad, 2);
	assert_int_equal(info.unread, 4);
	assert_false(fsw_slot_infos(core, &slot, true, &info, 1));
}

static void a_slow_replica_is_not_waited_for(void **state)
{
	unsigned int i;

	(void)state;
	world_quiet();
	world.late_percent = 50;	/* such a READ takes three seconds */
	for (i = 0; i < 20; i++) {
		load_is_right();
		world_quiet();
	}
	assert_true(world_counters(core).read_hedges > 0);
}

static void a_copy_known_to_be_wrong_is_the_last_to_be_read(void **state)
{
	struct fsw_slot_info info;
	u64 slot = 0;

	(void)state;
	world_quiet();
	assert_true(world_corrupt(core, 42, 0));
	assert_true(fsw_slot_infos(core, &slot, true, &info, 1));
	assert_int_equal(world_counters(core).corrupt, 1);
	load_is_right();
	world_kill(1);
	load_is_right();
	assert_int_equal(world_counters(core).read_failovers, 0);
	world_kill(2);
	assert_int_equal(fsw_load(core, 42, back), -ETIMEDOUT);
	assert_int_equal(world_counters(core).corrupt, 1);	/* once */
}

static void one_live_replica_is_enough(void **state)
{
	(void)state;
	world_quiet();
	world_kill(0);
	world_kill(2);
	load_is_right();
	assert_int_equal(world_counters(core).degraded, 1);
}

/* Its donor goes while the READ is on its way, which may have brought half of the page. */
static void a_failed_read_is_made_good_by_another_replica(void **state)
{
	struct fsw_load load;
	unsigned int lost, m;

	(void)state;
	world_quiet();
	for (lost = 0; lost < 2; lost++) {
		assert_true(fsw_load_begin(core, &load, 42, false));
		for (m = 0; m < 3; m++)
			if (load.reads[m])
				world_kill(m);
		memset(back, 0, sizeof(back));
		assert_int_equal(fsw_load_end(core, &load, back), 0);
		assert_memory_equal(page, back, sizeof(page));
	}
	assert_int_equal(world_counters(core).read_failovers, 2);
	assert_int_equal(world_counters(core).load_errors, 0);
}

static void no_replica_is_an_error_not_a_page(void **state)
{
	unsigned int i;
	u64 began;

	(void)state;
	world_quiet();
	for (i = 0; i < 3; i++)
		world_kill(i);
	began = world_ns;
	assert_int_equal(fsw_load(core, 42, back), -ETIMEDOUT);
	assert_true(world_ns - began >= 10000 * NSEC_PER_MSEC && world_ns - began < 10200 * NSEC_PER_MSEC);
	assert_int_equal(world_counters(core).load_errors, 1);
	began = world_ns;
	for (i = 0; i < 100; i++)
		assert_int_equal(fsw_load(core, 42, back), -EIO);	/* nobody is waited for again */
	assert_int_equal(world_ns, began);
}

static void a_page_with_no_good_copy_stays_an_error_until_it_is_rewritten(void **state)
{
	struct fsw_slot_info info;
	unsigned int i;
	u64 slot = 0;

	(void)state;
	world_quiet();
	for (i = 0; i < 3; i++)
		assert_true(world_corrupt(core, 42, i));
	assert_int_equal(fsw_load(core, 42, back), -EIO);
	assert_int_equal(fsw_load(core, 42, back), -EIO);
	assert_true(fsw_slot_infos(core, &slot, false, &info, 1));
	assert_int_equal(info.state, FARSWAP_SLOT_ERROR);
	assert_int_equal(fsw_store(core, 42, page), 0);
	world_quiet();
	load_is_right();
}

static void crc32c_is_castagnoli(void **state)
{
	unsigned char bytes[64];
	unsigned int i, from;

	(void)state;
	/* the check value of the "123456789" test, e.g. RFC 3720 B.4's polynomial */
	assert_int_equal(~fsw_crc32c(~0u, "123456789", 9), 0xe3069283);
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = i * 37 + 11;
	for (i = 0; i <= sizeof(bytes); i++)
		for (from = 0; from <= i && from < 8; from++)
			assert_int_equal(fsw_crc32c(i, bytes + from, i - from), fsw_crc32c_by_table(i, bytes + from, i - from));
}

#define LOADS(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOADS(a_staged_page_is_read_from_staging),
		LOADS(a_place_that_is_used_again_while_it_is_copied_is_seen),
		LOADS(a_slot_never_written_reads_as_zeros),
		LOADS(a_freed_slot_reads_as_zeros_and_holds_no_frame),
		LOADS(a_flipped_bit_is_seen_and_another_copy_read),
		LOADS(the_audit_names_the_bad_copy),
		LOADS(a_slow_replica_is_not_waited_for),
		LOADS(a_copy_known_to_be_wrong_is_the_last_to_be_read),
		LOADS(one_live_replica_is_enough),
		LOADS(a_failed_read_is_made_good_by_another_replica),
		LOADS(no_replica_is_an_error_not_a_page),
		LOADS(a_page_with_no_good_copy_stays_an_error_until_it_is_rewritten),
		cmocka_unit_test(crc32c_is_castagnoli),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
