// SPDX-License-Identifier: GPL-2.0
/* Read-ahead: what is fetched for which loads, that it is never stale, and when it stops. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "world.h"

#define SLOTS	(4 * FSW_CLUSTER)
#define POOL	256

static struct fsw_core *core;
static u32 version[SLOTS];
static unsigned int random_words = FSW_PAGE / 4;	/* of a page: the others are zeros, and compress */

static void page_fill(u32 *page, u64 slot, u32 v)
{
	unsigned int i;

	for (i = 0; i < FSW_PAGE / 4; i++)
		page[i] = i < random_words ? ((u32)slot * 1000003 + v * 31 + i) * 2654435761u : 0;
}

static void store(u64 slot)
{
	u32 page[FSW_PAGE / 4];

	page_fill(page, slot, ++version[slot]);
	assert_int_equal(fsw_store(core, slot, page), 0);
}

static void load(u64 slot)
{
	u32 page[FSW_PAGE / 4], want[FSW_PAGE / 4];

	assert_int_equal(fsw_load(core, slot, page), 0);
	page_fill(want, slot, version[slot]);
	assert_memory_equal(page, want, FSW_PAGE);
}

/* a load, after which the network comes to rest: what was read ahead is there */
static void load_calm(u64 slot)
{
	load(slot);
	while (world.in_flight)
		world_wait(world_ns + NSEC_PER_MSEC);
}

static int start(void **state)
{
	static const unsigned int set[] = { 0, 1, 2 };
	struct fsw_params p = {
		.size = SLOTS * FSW_PAGE, .slab_bytes = WORLD_SLAB, .copies = 3, .spares = 1, .window = 16,
		.staging = 2 * SLOTS, .staging_max = 2 * SLOTS, .close_ms = 2, .store_ms = 5000, .hedge_ms = 100, .load_ms = 10000, .ahead = POOL, .readahead = &world.readahead,
	};
	u64 slot, id;

	(void)state;
	world_start(5);
	core = fsw_core_new(&p, &world_ops, NULL);
	assert_false(IS_ERR(core));
	for (id = 1; id <= SLOTS / FSW_CLUSTER + 1; id++)
		assert_int_equal(world_extent(core, id, set, 3), 0);
	memset(version, 0, sizeof(version));
	for (slot = 0; slot < SLOTS; slot++)
		store(slot);
	world_quiet();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	world_reclaim = false;
	random_words = FSW_PAGE / 4;
	world_stop(core);
	return 0;
}

static u64 fetched(void)
{
	return world_counters(core).ahead_pages;
}

static u64 used(void)
{
	return world_counters(core).ahead_used;
}

static void a_sequential_scan_is_read_ahead_in_large_reads(void **state)
{
	unsigned int wrs, reads;
	u64 slot, pages;

	(void)state;
	for (slot = 0; slot < 128; slot++)
		load_calm(slot);
	wrs = world.fetch_pieces;
	pages = fetched();
	reads = world.reads;
	for (; slot < SLOTS; slot++)
		load_calm(slot);
	assert_int_equal(world.reads, reads);			/* no load had to ask for itself, nor at the region's border */
	assert_true((fetched() - pages) / (world.fetch_pieces - wrs) >= 14);	/* of 16 pages, but for the borders of the device */
	assert_true(fetched() <= SLOTS);
	assert_true(used() >= SLOTS - 8);
}

static void the_window_grows_to_64(void **state)
{
	u64 slot, most = 0, before;

	(void)state;
	for (slot = 0; slot < 128; slot++) {
		load_calm(slot);
		before = fetched() - used();
		most = before > most ? before : most;
	}
	assert_in_range(most, 60, 64);
}

static void scan(u64 from, int stride, unsigned int n)
{
	for (; n; n--, from += stride)
		load_calm(from);
}

static void strides_are_seen(void **state)
{
	static const int strides[] = { -1, 3, -3, 7 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(strides) / sizeof(strides[0]); i++) {
		u64 before = used();

		scan(strides[i] < 0 ? SLOTS - 1 - i : i, strides[i], 100);
		assert_true(used() - before >= 85);
	}
	assert_true(fetched() - used() < 4 * 64 + 16);
}

static void a_descending_scan_has_large_reads_too(void **state)
{
	(void)state;
	scan(SLOTS - 1, -1, 400);
	assert_true(fetched() / world.fetch_pieces >= 8);
}

static void random_loads_fetch_next_to_nothing(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 20000; i++)
		load(world_random(SLOTS));
	assert_true(fetched() < 20000 / 50);
}

/* how many loads of a scan are asked for themselves before 32 in a row are not */
static unsigned int learns_in(u64 slot, int stride)
{
	unsigned int n, row = 0, reads;

	for (n = 0; row < 32; n++, slot += stride) {
		reads = world.reads;
		load_calm(slot);
		row = world.reads == reads ? row + 1 : 0;
		assert_true(n < 400);
	}
	return n - 32;
}

static void a_phase_flip_is_learnt_anew_within_128_loads(void **state)
{
	unsigned int i;

	(void)state;
	assert_true(learns_in(0, 1) < 16);
	for (i = 0; i < 500; i++)
		load(world_random(FSW_CLUSTER));
	assert_true(learns_in(300, 1) < 96);
	for (i = 0; i < 500; i++)
		load(world_random(FSW_CLUSTER));
	assert_true(learns_in(FSW_CLUSTER - 1, -2) < 96);
}

/* pages of these are still there, and used: to meet one is no sign that its scan goes on */
static void scans_that_are_over_do_not_stand_in_the_way(void **state)
{
	(void)state;
	scan(0, 16, 30);
	scan(5, 33, 15);
	assert_true(learns_in(FSW_CLUSTER - 1, -1) < 16);
}

/* runs of a few pages, then somewhere else: reading far ahead would be in vain */
static void a_window_shrinks_where_it_is_in_vain(void **state)
{
	unsigned int run, i;
	u64 before;

	(void)state;
	for (run = 0; run < 300; run++) {
		u64 slot = world_random(FSW_CLUSTER - 8);

		for (i = 0; i < 5; i++)
			load_calm(slot + i);
	}
	before = fetched();
	for (run = 0; run < 100; run++) {
		u64 slot = world_random(FSW_CLUSTER - 8);

		for (i = 0; i < 5; i++)
			load_calm(slot + i);
	}
	assert_true(fetched() - before < 400);	/* of 500 loads */
}

static void two_scans_in_one_region_are_told_apart(void **state)
{
	unsigned int reads = 0, i;

	(void)state;
	for (i = 0; i < 200; i++) {
		if (i == 64)
			reads = world.reads;
		load_calm(i);
		load_calm(230 + i);
	}
	assert_int_equal(world.reads, reads);
}

static void a_scan_goes_on_beside_random_loads(void **state)
{
	unsigned int reads, i, asked = 0;

	(void)state;
	for (i = 0; i < 250; i++) {
		reads = world.reads;
		load_calm(i);
		asked += world.reads - reads;
		load_calm(256 + world_random(FSW_CLUSTER - 256));
	}
	assert_true(asked < 25);
}

/* as the kernel hands out clusters: one after another, but not side by side */
static void a_scan_goes_on_where_page_out_did(void **state)
{
	static const unsigned int order[] = { 0, 2, 1, 3 };
	unsigned int i, reads = 0;
	u64 slot;

	(void)state;
	for (i = 0; i < 4; i++)
		for (slot = order[i] * FSW_CLUSTER; slot < (order[i] + 1) * FSW_CLUSTER; slot++)
			store(slot);
	world_quiet();
	for (i = 0; i < 4; i++)
		for (slot = order[i] * FSW_CLUSTER; slot < (order[i] + 1) * FSW_CLUSTER; slot++) {
			if (slot == 100)
				reads = world.reads;
			load_calm(slot);
		}
	assert_int_equal(world.reads, reads);
	assert_true(fetched() <= SLOTS + FSW_AHEAD_MAX);	/* the last one stored went on with the first */
	reads = world.reads;
	for (i = 4; i--;)	/* and backward */
		for (slot = (order[i] + 1) * FSW_CLUSTER; slot-- > order[i] * FSW_CLUSTER;)
			load_calm(slot);
	assert_true(world.reads - reads < 16);
}

static void a_fixed_window_is_what_it_says(void **state)
{
	u64 slot;

	(void)state;
	world.readahead = 16;
	for (slot = 0; slot < 160; slot++)
		load_calm(slot);
	assert_int_equal(world.reads, 10);
	assert_int_equal(world.fetches, 10);
	assert_int_equal(fetched(), 150);
	world.readahead = 1;
	for (slot = 200; slot < 300; slot++)
		load_calm(slot);
	assert_int_equal(fetched(), 150);
}

static void nothing_is_read_ahead_in_reclaim(void **state)
{
	u64 slot;

	(void)state;
	world_reclaim = true;
	for (slot = 0; slot < 200; slot++)
		load_calm(slot);
	assert_int_equal(fetched(), 0);
	world_reclaim = false;
	for (; slot < 220; slot++)
		load_calm(slot);
	assert_true(fetched() > 0);
}

static void nothing_is_read_ahead_while_stores_find_no_room(void **state)
{
	u64 slot;

	(void)state;
	world.late_percent = 100;
	for (slot = FSW_CLUSTER; READ_ONCE(core->staging.nr_free); slot++)
		store(slot % FSW_CLUSTER + FSW_CLUSTER);
	world.late_percent = 0;
	for (slot = 0; slot < 20; slot++)
		load(slot);
	assert_int_equal(READ_ONCE(core->staging.nr_free), 0);
	assert_int_equal(fetched(), 0);
	world_quiet();
	for (; slot < 40; slot++)
		load(slot);
	assert_true(fetched() > 0);
}

/* 8 pages begun together: their own READs come before any other's, and only pages behind them are read ahead */
static void what_is_asked_for_goes_first(void **state)
{
	struct fsw_load loads[8];
	u32 page[FSW_PAGE / 4], want[FSW_PAGE / 4];
	unsigned int round, i;

	(void)state;
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 4; i++) {
			unsigned int fetches = world.fetches;

			assert_true(fsw_load_begin(core, &loads[i], round * 4 + i, i < 3));
			if (i < 3)
				assert_int_equal(world.fetches, fetches);
		}
		for (i = 0; i < 4; i++) {
			assert_int_equal(fsw_load_end(core, &loads[i], page), 0);
			page_fill(want, round * 4 + i, version[round * 4 + i]);
			assert_memory_equal(page, want, FSW_PAGE);
		}
		if (!round)
			assert_int_equal(world.reads, 4);
	}
	assert_true(world.fetches > 0);
	assert_true(world.reads < 16);
}

static void a_page_rewritten_or_freed_since_is_not_taken(void **state)
{
	static const u32 zeros[FSW_PAGE / 4];
	u32 page[FSW_PAGE / 4];
	u64 slot;

	(void)state;
	scan(0, 1, 64);
	for (slot = 64; slot < 90; slot++) {
		assert_true(fetched() > 64);
		if (slot % 3 == 0) {
			fsw_invalidate(core, slot);
			assert_int_equal(fsw_load(core, slot, page), 0);
			assert_memory_equal(page, zeros, FSW_PAGE);
			continue;
		}
		if (slot % 3 == 1)
			store(slot);	/* to the same frame, perhaps */
		if (slot % 2)
			world_quiet();
		load(slot);
	}
	assert_int_equal(world_counters(core).corrupt, 0);
}

/* several in a frame, of four classes: they lie next to each other as they were stored, and come with few READs */
static void compressed_pages_are_read_ahead_too(void **state)
{
	u64 slot;

	(void)state;
	fsw_codec_set(core, FARSWAP_CODEC_LZ4);
	for (slot = 0; slot < 400; slot++) {
		random_words = slot < 256 ? 200 : 20 + slot * 7 % 600;
		store(slot);
	}
	world_quiet();
	for (slot = 0; slot < 400; slot++) {
		random_words = slot < 256 ? 200 : 20 + slot * 7 % 600;
		load_calm(slot);
		if (slot == 255)
			assert_true(fetched() / world.fetch_pieces >= 8);
	}
	assert_true(used() > 380);
	assert_true(world_counters(core).stored_1024 > 200);
	assert_int_equal(world_counters(core).corrupt, 0);
}

/* the frame goes to another slot while a READ of it is on its way: the world would tell if it were given out (rule 3) */
static void frames_are_held_while_they_are_read_ahead(void **state)
{
	u64 slot;

	(void)state;
	scan(0, 1, 40);
	world.late_percent = 100;
	world.readahead = 64;
	load(200);
	assert_true(world.in_flight > 0);
	world.late_percent = 0;
	for (slot = 201; slot < 264; slot++)
		fsw_invalidate(core, slot);
	for (slot = 0; slot < 190; slot++)
		store(slot);
	world_quiet();
	for (slot = 201; slot < 264; slot++)
		store(slot);
	world_quiet();
	for (slot = 0; slot < SLOTS; slot++)
		load(slot);
}

static void other_bytes_are_counted_and_another_copy_is_read(void **state)
{
	struct fsw_fetch *f = &core->ahead.fetches[1];	/* the first that is claimed */
	unsigned int i;

	(void)state;
	world.readahead = 16;
	load_calm(0);
	assert_int_equal(f->lines[4].slot, 5);
	for (i = 0; i < 3; i++)
		if (f->chain.peer == &world.peers[i]->peer)
			break;
	assert_true(i < 3);
	((char *)f->buf.va)[f->lines[4].offset + 77] ^= 1;
	load_calm(5);
	assert_int_equal(world_counters(core).corrupt, 1);
	assert_int_equal(atomic64_read(&world.peers[i]->peer.corrupt), 1);
	assert_int_equal(world_counters(core).load_errors, 0);
}

static void one_that_does_not_come_is_not_waited_for_long(void **state)
{
	u64 before;

	(void)state;
	world.readahead = 16;
	world.late_percent = 100;	/* three seconds */
	load(0);
	world.late_percent = 0;
	before = world_ns;
	load(1);
	assert_true(world_ns - before < 1000 * NSEC_PER_MSEC);
	before = world_ns;
	load(2);
	load(3);
	assert_true(world_ns - before < 100 * NSEC_PER_MSEC);	/* the second one knows */
	assert_int_equal(world_counters(core).ahead_waits, 1);
}

static void a_peer_lost_meanwhile_costs_nothing_but_time(void **state)
{
	unsigned int killed;
	u64 slot;

	(void)state;
	for (killed = 0; killed < 2; killed++) {
		for (slot = 0; slot < 100; slot++) {
			load(slot + killed * 300);
			if (slot == 50)
				world_kill(killed);
		}
	}
	for (slot = 0; slot < SLOTS; slot++)
		load(slot);
	assert_int_equal(world_counters(core).load_errors, 0);
}

static void with_all_buffers_in_flight_loads_go_on(void **state)
{
	struct fsw_load loads[4];
	u32 page[FSW_PAGE / 4];
	unsigned int i, fetches;

	(void)state;
	world.readahead = 64;
	world.late_percent = 100;
	for (i = 0; i < 4; i++)
		assert_true(fsw_load_begin(core, &loads[i], i * 100, false));
	assert_in_range(fetched(), POOL - 4, POOL);	/* 63 each */
	world.late_percent = 0;
	fetches = world.fetches;
	load(600);
	assert_int_equal(world.fetches, fetches);
	for (i = 0; i < 4; i++)
		assert_int_equal(fsw_load_end(core, &loads[i], page), 0);
	world_quiet();
	load(700);
	assert_true(world.fetches > fetches);
}

#define AHEAD(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AHEAD(a_sequential_scan_is_read_ahead_in_large_reads),
		AHEAD(the_window_grows_to_64),
		AHEAD(strides_are_seen),
		AHEAD(a_descending_scan_has_large_reads_too),
		AHEAD(random_loads_fetch_next_to_nothing),
		AHEAD(a_phase_flip_is_learnt_anew_within_128_loads),
		AHEAD(scans_that_are_over_do_not_stand_in_the_way),
		AHEAD(a_window_shrinks_where_it_is_in_vain),
		AHEAD(two_scans_in_one_region_are_told_apart),
		AHEAD(a_scan_goes_on_beside_random_loads),
		AHEAD(a_scan_goes_on_where_page_out_did),
		AHEAD(a_fixed_window_is_what_it_says),
		AHEAD(nothing_is_read_ahead_in_reclaim),
		AHEAD(nothing_is_read_ahead_while_stores_find_no_room),
		AHEAD(what_is_asked_for_goes_first),
		AHEAD(a_page_rewritten_or_freed_since_is_not_taken),
		AHEAD(compressed_pages_are_read_ahead_too),
		AHEAD(frames_are_held_while_they_are_read_ahead),
		AHEAD(other_bytes_are_counted_and_another_copy_is_read),
		AHEAD(one_that_does_not_come_is_not_waited_for_long),
		AHEAD(a_peer_lost_meanwhile_costs_nothing_but_time),
		AHEAD(with_all_buffers_in_flight_loads_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
