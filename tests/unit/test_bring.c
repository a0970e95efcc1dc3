// SPDX-License-Identifier: GPL-2.0
/* farswap bring: which pages, how many at once, and when to stop; over files that look like the kernel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pace.h"
#include "pagemap.h"
#include "pressure.h"

#define PRESENT		(1ull << 63)
#define SWAPPED		(1ull << 62)
#define SHARED		(1ull << 61)
#define MIB		(1024 * 1024ull)
#define MS		1000000ull

static void swapped_and_nothing_else(void **state)
{
	const uint64_t entries[] = { 0, PRESENT | 77, SWAPPED | 5 << 5, SWAPPED | SHARED, SWAPPED, PRESENT | SHARED };
	uint64_t found[6];

	(void)state;
	assert_int_equal(pagemap_pick(entries, 6, 0x7f0000000000, found), 2);
	assert_true(found[0] == 0x7f0000002000);
	assert_true(found[1] == 0x7f0000004000);
}

static void areas_of_its_own(void **state)
{
	uint64_t start, end;

	(void)state;
	assert_true(pagemap_area("7f0000000000-7f0000200000 rw-p 00000000 00:00 0\n", &start, &end));
	assert_true(start == 0x7f0000000000 && end == 0x7f0000200000);
	assert_true(pagemap_area("55d0c0a00000-55d0c0a21000 ---p 00000000 00:00 0   [heap]\n", &start, &end));
	assert_false(pagemap_area("7f0000000000-7f0000200000 rw-s 00000000 00:01 4  /dev/zero (deleted)\n", &start, &end));
	assert_false(pagemap_area("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n", &start, &end));
	assert_false(pagemap_area("nonsense\n", &start, &end));
}

static void neighbours_are_joined(void **state)
{
	const uint64_t pages[] = { 0x1000, 0x2000, 0x3000, 0x5000, 0x9000, 0xa000 };
	struct iovec ranges[6];

	(void)state;
	assert_int_equal(pagemap_ranges(pages, 6, ranges), 3);
	assert_int_equal((uintptr_t)ranges[0].iov_base, 0x1000);
	assert_int_equal(ranges[0].iov_len, 0x3000);
	assert_int_equal((uintptr_t)ranges[1].iov_base, 0x5000);
	assert_int_equal(ranges[1].iov_len, 0x1000);
	assert_int_equal((uintptr_t)ranges[2].iov_base, 0x9000);
	assert_int_equal(ranges[2].iov_len, 0x2000);
	assert_int_equal(pagemap_ranges(pages, 0, ranges), 0);
}

/* n seconds of batches that take page_ns a page, as the tool does them; returns pages */
static uint64_t run(struct pace *pace, uint64_t page_ns, uint64_t seconds, uint64_t *longest)
{
	uint64_t now = 1000, pages = 0, from;

	while (now < seconds * 1000 * MS) {
		unsigned int n = pace_batch(pace, UINT64_MAX);

		assert_true(n >= 1 && n <= PACE_BATCH_MAX);
		from = now;
		now += n * page_ns;
		if (pages > 200 && now - from > *longest)
			*longest = now - from;
		pages += n;
		pace_took(pace, n, from, now);
		if (pace->due_ns > now)
			now = pace->due_ns;
	}
	return pages;
}

static void keeps_to_its_rate(void **state)
{
	static const uint64_t rates[] = { MIB / 256, MIB, 4 * MIB, 100 * MIB, 1024 * MIB };
	struct pace pace;
	uint64_t longest = 0, pages, wanted;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		pace_start(&pace, rates[i]);
		pages = run(&pace, 1000, 20, &longest);
		wanted = 20 * rates[i] / PAGEMAP_PAGE;
		assert_true(pages >= wanted * 95 / 100 && pages <= wanted * 105 / 100 + PACE_BATCH_MAX);
	}
}

static void batches_stay_short(void **state)
{
	static const uint64_t page_ns[] = { 1000, 100000, MS, 4 * MS, 9 * MS };
	struct pace pace;
	uint64_t longest;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		longest = 0;
		pace_start(&pace, 0);
		run(&pace, page_ns[i], 60, &longest);
		assert_true(longest <= PACE_BATCH_NS);
	}
}

/* after a page that took two seconds there is no burst to make up for it */
static void lost_time_is_lost(void **state)
{
	struct pace pace;

	(void)state;
	pace_start(&pace, 4 * MIB);
	pace_took(&pace, 1, 0, 2000 * MS);
	assert_true(pace.due_ns == 2000 * MS);
	pace_took(&pace, 4, 2000 * MS, 2001 * MS);
	assert_true(pace.due_ns > 2003 * MS && pace.due_ns < 2004 * MS);
}

static void never_more_than_the_room(void **state)
{
	struct pace pace;

	(void)state;
	pace_start(&pace, 0);
	assert_int_equal(pace_batch(&pace, 3), 3);
	assert_int_equal(pace_batch(&pace, 0), 0);
	pace_start(&pace, 1);	/* a byte per second is still a page at a time */
	assert_int_equal(pace_batch(&pace, 100), 1);
}

static void counters_and_limits(void **state)
{
	const char *text = "pgscan_kswapd_more 9\npgscan_kswapd 12\npgscan_direct 34\npgscan_direct_throttle 5\nmax 1\n";

	(void)state;
	assert_int_equal(pressure_counter(text, "pgscan_kswapd"), 12);
	assert_int_equal(pressure_counter(text, "pgscan_direct"), 34);
	assert_int_equal(pressure_counter(text, "max"), 1);
	assert_int_equal(pressure_counter(text, "scan"), 0);
	assert_int_equal(pressure_counter("", "max"), 0);
	assert_true(pressure_limit("max\n") == UINT64_MAX);
	assert_int_equal(pressure_limit("1048576\n"), 1048576);
}

/* a machine in a directory: 40000 pages free, 5000 of them kept so; group /a (512 MiB at most), in it /a/b (64 MiB by memory.high) */
static char root[64];

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	char path[200];

	(void)state;
	snprintf(root, sizeof(root), "/tmp/test_bring.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(path, sizeof(path), "%s/a", root);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/a/b", root);
	mkdir(path, 0700);
	put("vmstat", "nr_free_pages 40000\npgscan_kswapd 7\npgscan_direct 8\n");
	put("zoneinfo",
	    "Node 0, zone      DMA\n  pages free     3840\n        min      14\n        low      17\n        high     20\n"
	    "        managed  3840\n        protection: (0, 3019, 17355, 17355)\n    cpu: 0\n              high:  9999\n"
	    "Node 0, zone    DMA32\n        high     1160\n        managed  700000\n        protection: (0, 0, 0, 0)\n"
	    "Node 1, zone  Movable\n        high     0\n        managed  0\n        protection: (0, 0, 0, 0)\n");
	put("a/memory.current", "67108864\n");
	put("a/memory.high", "max\n");
	put("a/memory.max", "536870912\n");
	put("a/memory.events.local", "low 0\nhigh 3\nmax 4\noom 0\n");
	put("a/b/memory.current", "33554432\n");
	put("a/b/memory.high", "67108864\n");
	put("a/b/memory.max", "134217728\n");
	put("a/b/memory.events", "low 0\nhigh 1\nmax 2\noom 0\n");
	put("a/b/memory.stat", "anon 5\npgscan 100\npgsteal 90\n");
	return 0;
}

static int teardown(void **state)
{
	static const char * const names[] = {
		"vmstat", "zoneinfo", "a/memory.current", "a/memory.high", "a/memory.max", "a/memory.events.local", "a/b/memory.current",
		"a/b/memory.high", "a/b/memory.max", "a/b/memory.events", "a/b/memory.stat", "a/b", "a", "",
	};
	char path[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, names[i]);
		remove(path);
	}
	return 0;
}

static void watermarks_and_reserves(void **state)
{
	char path[200];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/zoneinfo", root);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(pressure_reserve(file), 3840 + 1160);	/* DMA keeps no more than it has */
	fclose(file);
}

static struct pressure pressure;

static enum pressure_state look(uint64_t *room)
{
	pressure.why[0] = 0;
	return pressure_look(&pressure, room);
}

static void begin(const char *group)
{
	assert_int_equal(pressure_start(&pressure, root), 0);
	assert_int_equal(pressure_enter(&pressure, root, group), 0);
}

static void room_is_the_least_of_all(void **state)
{
	uint64_t room;

	(void)state;
	begin("/");
	assert_int_equal(look(&room), PRESSURE_NONE);
	assert_int_equal(room, 40000 - 5000 - 64);
	assert_int_equal(pressure_enter(&pressure, root, "/a/b"), 0);
	assert_int_equal(pressure.n, 2);
	assert_int_equal(look(&room), PRESSURE_NONE);
	assert_int_equal(room, 32 * 256 - 64);	/* up to the inner group's memory.high */
	put("a/memory.max", "71303168\n");
	assert_int_equal(look(&room), PRESSURE_NONE);
	assert_int_equal(room, 4 * 256 - 64);	/* the outer group's memory.max */
	pressure_end(&pressure);
}

static void no_room(void **state)
{
	uint64_t room;

	(void)state;
	begin("/a/b");
	put("a/b/memory.max", "33554432\n");
	assert_int_equal(look(&room), PRESSURE_NO_ROOM);
	assert_int_equal(room, 0);
	assert_non_null(strstr(pressure.why, "/a/b has no room"));
	put("a/b/memory.max", "max\n");
	put("a/memory.high", "1000\n");
	assert_int_equal(look(&room), PRESSURE_NO_ROOM);
	assert_non_null(strstr(pressure.why, "/a has no room"));
	put("a/memory.high", "max\n");
	assert_int_equal(look(&room), PRESSURE_NONE);
	put("vmstat", "nr_free_pages 5064\npgscan_kswapd 7\npgscan_direct 8\n");
	assert_int_equal(look(&room), PRESSURE_NO_ROOM);
	assert_non_null(strstr(pressure.why, "the machine has no room"));
	pressure_end(&pressure);
}

static void each_kind_of_reclaim_is_seen(void **state)
{
	static const struct { const char *file, *before, *after; } kinds[] = {
		{ "vmstat", NULL, "nr_free_pages 40000\npgscan_kswapd 8\npgscan_direct 8\n" },
		{ "vmstat", NULL, "nr_free_pages 40000\npgscan_kswapd 7\npgscan_direct 9\n" },
		{ "a/b/memory.events", "low 0\nhigh 1\nmax 2\noom 0\n", "low 0\nhigh 2\nmax 2\noom 0\n" },
		{ "a/b/memory.events", "low 0\nhigh 1\nmax 2\noom 0\n", "low 0\nhigh 1\nmax 3\noom 0\n" },
		{ "a/b/memory.stat", "pgscan 100\n", "pgscan 101\n" },
		{ "a/memory.events.local", "high 3\nmax 4\n", "high 3\nmax 5\n" },
	};
	uint64_t room;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		begin("/a/b");
		assert_int_equal(look(&room), PRESSURE_NONE);
		put(kinds[i].file, kinds[i].after);
		assert_int_equal(look(&room), PRESSURE_RECLAIM);
		assert_int_equal(room, 0);
		assert_true(pressure.why[0]);
		pressure_end(&pressure);
		put(kinds[i].file, kinds[i].before ? kinds[i].before : "nr_free_pages 40000\npgscan_kswapd 7\npgscan_direct 8\n");
	}
}

/* what happened before it began is no reason to stop; nor are limits of groups that do not hold the process */
static void only_from_now_on(void **state)
{
	uint64_t room;

	(void)state;
	begin("/a/b");
	put("a/b/memory.stat", "pgscan 500\n");
	assert_int_equal(pressure_enter(&pressure, root, "/a/b"), 0);
	assert_int_equal(look(&room), PRESSURE_NONE);
	assert_int_equal(pressure_enter(&pressure, root, "/"), 0);
	put("a/b/memory.stat", "pgscan 900\n");
	put("a/memory.high", "0\n");
	assert_int_equal(look(&room), PRESSURE_NONE);
	pressure_end(&pressure);
}

/* a control group without the memory controller: those around it count */
static void without_a_controller(void **state)
{
	char path[200];
	uint64_t room;

	(void)state;
	snprintf(path, sizeof(path), "%s/a/b/c", root);
	mkdir(path, 0700);
	begin("/a/b/c");
	assert_int_equal(pressure.n, 2);
	put("a/b/memory.stat", "pgscan 101\n");
	assert_int_equal(look(&room), PRESSURE_RECLAIM);
	pressure_end(&pressure);
	rmdir(path);
}

static void gone_is_not_calm(void **state)
{
	uint64_t room;

	(void)state;
	begin("/a/b");
	put("a/b/memory.events", "");
	assert_int_equal(look(&room), PRESSURE_BLIND);
	assert_int_equal(room, 0);
	pressure_end(&pressure);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(swapped_and_nothing_else), cmocka_unit_test(areas_of_its_own),
		cmocka_unit_test(neighbours_are_joined), cmocka_unit_test(keeps_to_its_rate),
		cmocka_unit_test(batches_stay_short),	cmocka_unit_test(lost_time_is_lost),
		cmocka_unit_test(never_more_than_the_room), cmocka_unit_test(counters_and_limits),
		cmocka_unit_test_setup_teardown(watermarks_and_reserves, setup, teardown),
		cmocka_unit_test_setup_teardown(room_is_the_least_of_all, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(each_kind_of_reclaim_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(only_from_now_on, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_controller, setup, teardown),
		cmocka_unit_test_setup_teardown(gone_is_not_calm, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
