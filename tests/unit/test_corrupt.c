// SPDX-License-Identifier: GPL-2.0
/*
 * Copies that go wrong, 10,000 in each of five ways: a bit flips, a WRITE is torn, it hits another frame, it is of an older version, it is
 * acknowledged and lost. Each is found, by a load or by the scrub, and counted once; none is delivered; all are mended while
 * a good copy is left, and with none left the load fails.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "world.h"

#define PAGES	512
#define EACH	10000
#define SLABS	6	/* of two extents */

enum way { FLIPPED, TORN, MISPLACED, STALE, LOST, WAYS };

static const char *const names[WAYS] = { "flipped", "torn", "misplaced", "stale", "lost" };
static struct fsw_core *core;
static char before[SLABS + 1][WORLD_SLAB];	/* the slabs before the last version was written */
static unsigned int version;

static void page_fill(char *page, unsigned int slot, unsigned int of)
{
	u64 x = (u64)slot << 32 | of, *words = (u64 *)page;
	unsigned int i;

	for (i = 0; i < FSW_PAGE / 8; i++)
		words[i] = (x += 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
}

static char *copy_at(unsigned int slot, unsigned int m, u64 *slab)
{
	struct fsw_entry e = fsw_map_get(&core->map, slot);
	const struct fsw_set *set;

	assert_int_equal(fsw_entry_state(e), FARSWAP_SLOT_STORED);
	set = fsw_frame_extent(&core->extents, fsw_entry_index(e))->set;
	*slab = set->members[m].slab;
	return (char *)(uintptr_t)fsw_entry_remote(&core->extents, &set->members[m], e);
}

static bool copy_right(unsigned int slot, unsigned int m)
{
	char page[FSW_PAGE];
	u64 slab;

	page_fill(page, slot, version);
	return memcmp(copy_at(slot, m, &slab), page, FSW_PAGE) == 0;
}

static void copy_spoil(unsigned int slot, unsigned int m, enum way way)
{
	unsigned int other = (slot + 1 + world_random(PAGES - 1)) % PAGES;
	char page[FSW_PAGE];
	u64 slab;
	char *copy = copy_at(slot, m, &slab);

	switch (way) {
	case FLIPPED:
		copy[world_random(FSW_PAGE)] ^= 1 << world_random(8);
		return;
	case TORN:
		page_fill(page, slot, version - 1);
		memcpy(copy, page, 8 * (1 + world_random(FSW_PAGE / 8 - 1)));
		return;
	case MISPLACED:
		page_fill(page, other, version);
		break;
	case STALE:
		page_fill(page, slot, version - 1);
		break;
	default:
		memcpy(page, before[slab] + (copy - world_memory(slab)), FSW_PAGE);
	}
	memcpy(copy, page, FSW_PAGE);
}

/* A new version of every page, on all donors. */
static void store_all(void)
{
	char page[FSW_PAGE];
	unsigned int slot, slab;

	for (slab = 1; slab <= SLABS; slab++)
		memcpy(before[slab], world_memory(slab), WORLD_SLAB);
	version++;
	for (slot = 0; slot < PAGES; slot++) {
		page_fill(page, slot, version);
		assert_int_equal(fsw_store(core, slot, page), 0);
	}
	world_quiet();
}

static void load_is_right(unsigned int slot)
{
	char page[FSW_PAGE], back[FSW_PAGE];

	page_fill(page, slot, version);
	assert_int_equal(fsw_load(core, slot, back), 0);
	assert_memory_equal(page, back, FSW_PAGE);
}

static int start(void **state)
{
	static const unsigned int sets[2][3] = { { 0, 1, 2 }, { 3, 4, 5 } };
	struct fsw_params p = {
		.size = 2 * WORLD_SLAB, .slab_bytes = WORLD_SLAB, .copies = 3, .spares = 1, .window = 8, .staging = 1024, .staging_max = 1024,
		.close_ms = 2, .store_ms = 5000, .hedge_ms = 100, .load_ms = 10000, .seal_ms = 2000, .scrub = &world.scrub,
	};

	(void)state;
	world_start(11);
	world.scrub = 5000;
	core = fsw_core_new(&p, &world_ops, NULL);
	assert_false(IS_ERR(core));
	assert_int_equal(world_extent(core, 1, sets[0], 3), 0);
	assert_int_equal(world_extent(core, 2, sets[1], 3), 0);
	store_all();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	world_stop(core);
	return 0;
}

/* Until the scrub has found so many in all, and everything is mended. */
static void wait_for(u64 found)
{
	u64 until = world_ns + 60000 * NSEC_PER_MSEC;

	while (world_counters(core).corrupt < found || world_counters(core).missed) {
		assert_true(world_ns < until);
		world_wait(world_ns + NSEC_PER_MSEC);
	}
}

static void each_is_found_none_is_delivered_all_are_mended(void **state)
{
	u64 done[WAYS] = { 0 }, spoiled = 0, loads = 0;
	unsigned int slot, m, way;

	(void)state;
	while (spoiled < WAYS * EACH) {
		store_all();
		for (slot = 0; slot < PAGES; slot++) {
			unsigned int bad = 1 + world_random(2), first = world_random(3);

			for (m = 0; m < bad && spoiled < WAYS * EACH; m++) {
				way = spoiled++ % WAYS;
				copy_spoil(slot, (first + m) % 3, way);
				assert_false(copy_right(slot, (first + m) % 3));
				done[way]++;
			}
		}
		for (slot = 0; slot < PAGES; slot += 1 + world_random(3), loads++)
			load_is_right(slot);
		wait_for(spoiled);
		for (slot = 0; slot < PAGES; slot++)
			assert_true(copy_right(slot, 0) && copy_right(slot, 1) && copy_right(slot, 2));
	}
	for (way = 0; way < WAYS; way++) {
		assert_int_equal(done[way], EACH);
		printf("%s=%llu ", names[way], (unsigned long long)done[way]);
	}
	assert_int_equal(world_counters(core).corrupt, spoiled);
	assert_int_equal(world_counters(core).mended, spoiled);
	assert_int_equal(world_counters(core).load_errors, 0);
	printf("found=%llu delivered=0 mended=%llu scrubbed=%llu loads=%llu\n", world_counters(core).corrupt,
	       world_counters(core).mended, world_counters(core).scrubbed, (unsigned long long)loads);
}

static void with_no_good_copy_left_a_load_fails_until_the_page_is_written_again(void **state)
{
	unsigned int slot, m;
	char back[FSW_PAGE];

	(void)state;
	store_all();
	for (slot = 0; slot < PAGES; slot++)
		for (m = 0; m < 3; m++)
			copy_spoil(slot, m, (slot + m) % WAYS);
	for (slot = 0; slot < PAGES; slot++)
		assert_int_equal(fsw_load(core, slot, back), -EIO);
	store_all();
	for (slot = 0; slot < PAGES; slot++)
		load_is_right(slot);
}

static void a_pass_looks_at_each_stored_page_at_the_given_rate(void **state)
{
	u64 from = world_counters(core).scrubbed, begin;

	(void)state;
	world.scrub = 64;
	world_wait(world_ns + NSEC_PER_MSEC);
	while (world_counters(core).scrubbed == from)
		world_wait(world_ns + NSEC_PER_MSEC);
	from = world_counters(core).scrubbed;
	begin = world_ns;
	while (world_counters(core).scrubbed < from + PAGES)
		world_wait(world_ns + NSEC_PER_MSEC);
	/* at most so fast, and here, where nothing else is done, hardly slower; beside the rest between two passes */
	assert_in_range((world_ns - begin) / NSEC_PER_MSEC, 1000 * PAGES / 64 - 100, 1200 * PAGES / 64 + 2000);
	world.scrub = 0;
	world_quiet();
	from = world_counters(core).scrubbed;
	world_wait(world_ns + 10000 * NSEC_PER_MSEC);
	assert_int_equal(world_counters(core).scrubbed, from);
}

#define CORRUPT(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORRUPT(each_is_found_none_is_delivered_all_are_mended),
		CORRUPT(with_no_good_copy_left_a_load_fails_until_the_page_is_written_again),
		CORRUPT(a_pass_looks_at_each_stored_page_at_the_given_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
