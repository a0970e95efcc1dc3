// SPDX-License-Identifier: GPL-2.0
/* Compressed pages: classes, packed frames, holes and what compaction makes of them, and pages that need no frame. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "world.h"

#define SLOTS (8 * WORLD_SLAB / FSW_PAGE)

static struct fsw_core *core;
static u32 version[SLOTS];	/* 0: empty */
static unsigned int extents;

static void want(void *ctx)
{
	(void)ctx;
}

static void start_extents(unsigned int window, enum farswap_codec codec, unsigned int nr)
{
	static const unsigned int set[] = { 0, 1, 2 };
	struct fsw_params p = {
		.size = 8 * WORLD_SLAB, .slab_bytes = WORLD_SLAB, .copies = 3, .spares = 1, .window = window,
		.staging = 16 * window, .staging_max = 4096,
		.close_ms = 2, .store_ms = 5000, .hedge_ms = 100, .load_ms = 3000, .want = want, .codec = codec,
	};

	world_start(11);
	memset(version, 0, sizeof(version));
	core = fsw_core_new(&p, &world_ops, NULL);
	assert_false(IS_ERR(core));
	for (extents = 0; extents < nr; extents++)
		assert_int_equal(world_extent(core, extents + 1, set, 3), 0);
}

static void start(unsigned int window, enum farswap_codec codec)
{
	start_extents(window, codec, 8);
}

static int stop(void **state)
{
	(void)state;
	world_stop(core);
	return 0;
}

/* bytes of noise and then zeros: every codec's output is a little longer than the noise */
static void page_make(u64 *page, u64 slot, u32 v, unsigned int noise)
{
	u64 x = slot << 32 | v;
	unsigned int i;

	memset(page, 0, FSW_PAGE);
	for (i = 0; i < noise / 8; i++) {
		x += 0x9e3779b97f4a7c15ull;
		page[i] = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
	}
}

/* a mix of all classes by slot and version */
static unsigned int noise_of(u64 slot, u32 v)
{
	static const unsigned int noise[] = { 400, 400, 400, 900, 900, 1900, 1900, 4096 };

	return noise[(slot * 5 + v) % 8];
}

static void put(u64 slot)
{
	u64 page[FSW_PAGE / 8];

	version[slot]++;
	page_make(page, slot, version[slot], noise_of(slot, version[slot]));
	assert_int_equal(fsw_store(core, slot, page), 0);
}

static void drop(u64 slot)
{
	fsw_invalidate(core, slot);
	version[slot] = 0;
}

static void check(void)
{
	u64 page[FSW_PAGE / 8], want_page[FSW_PAGE / 8], slot;

	for (slot = 0; slot < SLOTS; slot++) {
		memset(want_page, 0, sizeof(want_page));
		if (version[slot])
			page_make(want_page, slot, version[slot], noise_of(slot, version[slot]));
		assert_int_equal(fsw_load(core, slot, page), 0);
		assert_memory_equal(page, want_page, FSW_PAGE);
	}
}

static double class_frames(const struct farswap_counters *c)
{
	return c->stored_4096 + c->stored_2048 / 2.0 + c->stored_1024 / 4.0 + c->stored_512 / 8.0;
}

/* ---- tests ---- */

static void pages_go_to_the_smallest_class_that_takes_them(void **state)
{
	static const struct { unsigned int noise, per_frame; } cases[] = { { 400, 8 }, { 900, 4 }, { 1900, 2 }, { 2900, 1 } };
	u64 page[FSW_PAGE / 8], slot;
	unsigned int i;

	(void)state;
	start(8, FARSWAP_CODEC_LZ4);
	for (i = 0; i < 4; i++) {
		for (slot = 0; slot < 64; slot++) {
			page_make(page, slot, 1, cases[i].noise);
			assert_int_equal(fsw_store(core, i * 64 + slot, page), 0);
		}
		world_quiet();	/* or the pool would run low, and windows be sent before they are full */
	}
	assert_int_equal(world_counters(core).stored_512, 64);
	assert_int_equal(world_counters(core).stored_1024, 64);
	assert_int_equal(world_counters(core).stored_2048, 64);
	assert_int_equal(world_counters(core).stored_4096, 64);
	assert_int_equal(world_counters(core).frames, 64 / 8 + 64 / 4 + 64 / 2 + 64);
	/* a window of eight pages of one class is one WRITE to each donor */
	assert_int_equal(world.pieces, 3 * 4 * 64 / 8);
}

static void a_page_of_one_word_needs_no_frame(void **state)
{
	u64 page[FSW_PAGE / 8], back[FSW_PAGE / 8], slot;

	(void)state;
	start(8, FARSWAP_CODEC_NONE);
	for (slot = 0; slot < 100; slot++) {
		memset64(page, 0x0123456789abcdefull * slot, FSW_PAGE / 8);
		assert_int_equal(fsw_store(core, slot, page), 0);
	}
	world_quiet();
	assert_int_equal(world_counters(core).filled, 100);
	assert_int_equal(world_counters(core).held, 100);
	assert_int_equal(world_counters(core).frames, 0);
	assert_int_equal(world.pieces, 0);
	for (slot = 0; slot < 100; slot++) {
		memset64(page, 0x0123456789abcdefull * slot, FSW_PAGE / 8);
		assert_int_equal(fsw_load(core, slot, back), 0);
		assert_memory_equal(page, back, FSW_PAGE);
	}
	page[0]++;
	assert_int_equal(fsw_store(core, 5, page), 0);
	fsw_invalidate(core, 6);
	assert_int_equal(world_counters(core).filled, 98);
	assert_int_equal(world_counters(core).held, 99);
}

static void another_codec_changes_only_new_stores(void **state)
{
	u64 slot;
	int codec;

	(void)state;
	start(16, FARSWAP_CODEC_NONE);
	for (codec = 0; codec < FARSWAP_CODECS; codec++) {
		fsw_codec_set(core, codec);
		for (slot = codec; slot < 800; slot += FARSWAP_CODECS)
			put(slot);
		world_quiet();
		check();
	}
	assert_int_equal(world_counters(core).held, 800);
	fsw_codec_set(core, FARSWAP_CODEC_NONE);
	for (slot = 0; slot < 400; slot++)
		put(slot);
	check();
}

/* In the order of stores, slots next to each other and all over, with windows of every size. */
static void packed_frames_hold_next_to_no_holes(void **state)
{
	static const unsigned int windows[] = { 1, 8, 32, 64 };
	struct farswap_counters c;
	unsigned int i;
	u64 slot;

	(void)state;
	for (i = 0; i < 4; i++) {
		start(windows[i], FARSWAP_CODEC_LZ4);
		for (slot = 0; slot < SLOTS; slot++)
			put(slot);
		world_quiet();
		c = world_counters(core);
		printf("window %2u: %llu frames for %.0f, %.2f WRITEs a page and donor\n", windows[i], c.frames, class_frames(&c),
		       world.pieces / 3.0 / c.stores);
		assert_true(c.frames <= class_frames(&c) * 1.02 + 4);
		if (i < 3)
			stop(NULL);
	}
	check();
}

static void holes_are_filled_or_compacted(void **state)
{
	struct farswap_counters c;
	unsigned int i;
	double ratio, worst = 0;
	u64 slot;

	(void)state;
	start(32, FARSWAP_CODEC_LZ4);
	for (slot = 0; slot < SLOTS; slot++)
		put(slot);
	for (slot = 0; slot < SLOTS; slot++)
		if (world_random(2))
			drop(slot);
	world_quiet();
	c = world_counters(core);
	ratio = c.frames / class_frames(&c);
	printf("half freed: %llu frames, %.2f of ideal, %llu pages moved\n", c.frames, ratio, c.compacted);
	assert_true(ratio <= 1.3);
	for (i = 0; i < 10 * SLOTS; i++) {
		slot = world_random(SLOTS);
		if (world_random(2))
			put(slot);
		else
			drop(slot);
		world_wait(world_ns + NSEC_PER_MSEC / 10);
		if (i % 1024 == 0) {
			c = world_counters(core);
			worst = max_t(double, worst, c.frames / class_frames(&c));
		}
	}
	world_quiet();
	c = world_counters(core);
	ratio = c.frames / class_frames(&c);
	printf("churned: %llu frames, %.2f of ideal (at worst %.2f), %llu pages moved for %llu stores\n", c.frames, ratio, worst,
	       c.compacted, c.stores);
	assert_true(ratio <= 1.3);
	check();
}

/* Another CPU stores or frees a page: any, or the one that is just being moved. */
static void change_one(void)
{
	u64 page[FSW_PAGE / 8], slot = world_random(2) ? core->compact.slot % SLOTS : world_random(SLOTS);
	bool was = world_worker;

	world_worker = false;
	if (world_random(2)) {
		drop(slot);
	} else {
		page_make(page, slot, version[slot] + 1, noise_of(slot, version[slot] + 1));
		if (!fsw_store(core, slot, page))
			version[slot]++;
	}
	world_worker = was;
}

static void a_page_that_changes_while_it_is_moved_stays_what_it_is(void **state)
{
	unsigned int round;
	u64 slot;

	(void)state;
	start(8, FARSWAP_CODEC_LZ4);
	for (round = 0; round < 4; round++) {
		for (slot = 0; slot < SLOTS; slot++)
			put(slot);
		for (slot = 0; slot < SLOTS; slot++)
			if (world_random(4))
				drop(slot);
		world.other_cpu = change_one;
		world_quiet();
		world.other_cpu = NULL;
		check();
	}
	assert_true(world_counters(core).compacted > SLOTS / 4);
}

static void a_donor_lost_while_packing_loses_nothing(void **state)
{
	static const unsigned int set[] = { 3, 4, 5 };
	unsigned int i;
	u64 slot;

	(void)state;
	start(32, FARSWAP_CODEC_ZSTD);
	for (slot = 0; slot < SLOTS; slot++)
		put(slot);
	for (slot = 0; slot < SLOTS; slot += 2)
		drop(slot);
	world_kill(1);
	world_kill(2);
	for (i = 0; i < 4; i++)
		assert_int_equal(world_extent(core, extents + 1 + i, set, 3), 0);
	world_quiet();
	assert_true(world_counters(core).compacted > 0);
	check();
}

/* As many frames as there are, and then half of each pair of slots is freed: a whole page finds room only where holes were made one. */
static void a_page_without_a_frame_gets_one_made_of_holes(void **state)
{
	u64 page[FSW_PAGE / 8], slot, half = SLOTS / 2;

	(void)state;
	start_extents(1, FARSWAP_CODEC_LZ4, 1);
	for (slot = 0; slot < 2 * WORLD_SLAB / FSW_PAGE; slot++) {
		page_make(page, slot, 1, 1900);
		assert_int_equal(fsw_store(core, slot, page), 0);
	}
	world_quiet();
	assert_int_equal(world_counters(core).frames, WORLD_SLAB / FSW_PAGE);
	for (slot = 0; slot < 200; slot += 2)
		fsw_invalidate(core, slot);
	for (slot = 0; slot < 40; slot++) {
		page_make(page, half + slot, 1, FSW_PAGE);
		assert_int_equal(fsw_store(core, half + slot, page), 0);
	}
	world_quiet();
	assert_int_equal(world_counters(core).staged, 0);
	assert_true(world_counters(core).compacted >= 40);
	/* and other classes are not held up by one that finds nothing */
	for (slot = 40; slot < 100; slot++) {
		page_make(page, half + slot, 1, FSW_PAGE);
		if (fsw_store(core, half + slot, page))
			break;
	}
	assert_true(slot < 100);
}

/* Written over and over, the same pages need no more runs than a little over what they fill. */
static void runs_that_became_empty_are_packed_again(void **state)
{
	unsigned int round;
	u64 slot;

	(void)state;
	start(32, FARSWAP_CODEC_LZ4);
	for (round = 0; round < 12; round++) {
		for (slot = 0; slot < 512; slot++)
			put(slot);
		world_quiet();
	}
	printf("after 12 rounds of 1 run: %u of %u runs are nobody's\n", fsw_extents_fresh(&core->extents), 8);
	assert_true(fsw_extents_fresh(&core->extents) >= 4);
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(pages_go_to_the_smallest_class_that_takes_them, stop),
		cmocka_unit_test_teardown(a_page_of_one_word_needs_no_frame, stop),
		cmocka_unit_test_teardown(another_codec_changes_only_new_stores, stop),
		cmocka_unit_test_teardown(packed_frames_hold_next_to_no_holes, stop),
		cmocka_unit_test_teardown(holes_are_filled_or_compacted, stop),
		cmocka_unit_test_teardown(a_page_that_changes_while_it_is_moved_stays_what_it_is, stop),
		cmocka_unit_test_teardown(a_donor_lost_while_packing_loses_nothing, stop),
		cmocka_unit_test_teardown(a_page_without_a_frame_gets_one_made_of_holes, stop),
		cmocka_unit_test_teardown(runs_that_became_empty_are_packed_again, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
