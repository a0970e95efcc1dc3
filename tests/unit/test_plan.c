// SPDX-License-Identifier: GPL-2.0
/* The manager's decisions: when a suspect peer is given up, which extent is next, what is pushed from where, and how fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan.h"

#define SECOND	1000000000ull

static void a_suspect_rejoins_when_its_daemon_answers(void **state)
{
	struct plan_suspect s = { .since_ns = 100 * SECOND };

	(void)state;
	assert_int_equal(plan_suspect(&s, 101 * SECOND, 10 * SECOND), SUSPECT_WAIT);
	s.reached = true;
	assert_int_equal(plan_suspect(&s, 101 * SECOND, 10 * SECOND), SUSPECT_REJOIN);
	s.retry_ns = 102 * SECOND;
	assert_int_equal(plan_suspect(&s, 101 * SECOND, 10 * SECOND), SUSPECT_WAIT);
	assert_int_equal(plan_suspect(&s, 102 * SECOND, 10 * SECOND), SUSPECT_REJOIN);
	s.asked = true;
	assert_int_equal(plan_suspect(&s, 102 * SECOND, 10 * SECOND), SUSPECT_WAIT);
}

static void a_suspect_is_gone_after_its_time_or_when_forgotten(void **state)
{
	struct plan_suspect s = { .since_ns = 100 * SECOND };

	(void)state;
	assert_int_equal(plan_suspect(&s, 110 * SECOND - 1, 10 * SECOND), SUSPECT_WAIT);
	assert_int_equal(plan_suspect(&s, 110 * SECOND, 10 * SECOND), SUSPECT_GONE);
	s.reached = s.asked = true;	/* a REJOIN that is not answered is no reason to wait for ever */
	assert_int_equal(plan_suspect(&s, 110 * SECOND, 10 * SECOND), SUSPECT_GONE);
	s.joining = true;
	assert_int_equal(plan_suspect(&s, 500 * SECOND, 10 * SECOND), SUSPECT_WAIT);
	s = (struct plan_suspect) { .since_ns = 100 * SECOND, .reached = true, .forgotten = true };
	assert_int_equal(plan_suspect(&s, 100 * SECOND, 10 * SECOND), SUSPECT_GONE);
	s.reached = false;		/* an old word about another life is none about this one */
	assert_int_equal(plan_suspect(&s, 100 * SECOND, 10 * SECOND), SUSPECT_WAIT);
}

static void the_last_copy_is_not_given_up_for_being_away(void **state)
{
	struct plan_suspect s = { .since_ns = 100 * SECOND, .last_copy = true };

	(void)state;
	assert_int_equal(plan_suspect(&s, 100000 * SECOND, 10 * SECOND), SUSPECT_WAIT);
	s.reached = true;
	assert_int_equal(plan_suspect(&s, 100000 * SECOND, 10 * SECOND), SUSPECT_REJOIN);
	s.forgotten = true;		/* nothing is there to be kept */
	assert_int_equal(plan_suspect(&s, 100 * SECOND, 10 * SECOND), SUSPECT_GONE);
}

#define L STANDING_LIVE
#define S STANDING_SUSPECT
#define M STANDING_MOVED
#define X STANDING_LOST
#define G STANDING_LEAVING
#define U STANDING_URGENT

static void what_an_extent_needs(void **state)
{
	static const struct { struct plan_extent extent; unsigned int copies; enum extent_step step; } cases[] = {
		{ { .n = 3, .members = { L, L, L } }, 3, EXTENT_FINE },
		{ { .n = 3, .members = { L, L, X } }, 3, EXTENT_REPLACE },
		{ { .n = 3, .members = { L, X, X } }, 3, EXTENT_REPLACE },
		{ { .n = 3, .members = { X, X, X } }, 3, EXTENT_FINE },		/* nothing to make a copy from */
		{ { .n = 3, .members = { S, X, X } }, 3, EXTENT_FINE },		/* not yet */
		{ { .n = 3, .members = { L, L, S } }, 3, EXTENT_FINE },		/* it may come back */
		{ { .n = 3, .members = { L, S, X } }, 3, EXTENT_REPLACE },
		{ { .n = 2, .members = { L, L } }, 3, EXTENT_REPLACE },
		{ { .n = 2, .members = { L, S } }, 3, EXTENT_REPLACE },
		{ { .n = 3, .members = { L, M, X } }, 3, EXTENT_SUCCEED },
		{ { .n = 3, .members = { M, M, M } }, 3, EXTENT_SUCCEED },
		{ { .sealed = true, .n = 3, .members = { L, M, X } }, 3, EXTENT_UNSEAL },
		{ { .n = 1, .members = { L } }, 1, EXTENT_FINE },
		{ { .n = 4, .members = { L, L, L, X } }, 3, EXTENT_FINE },
		{ { .n = 3, .members = { L, G, L } }, 3, EXTENT_MOVE },
		{ { .n = 3, .members = { G, G, G } }, 3, EXTENT_MOVE },
		{ { .n = 1, .members = { G } }, 1, EXTENT_MOVE },
		{ { .n = 3, .members = { G, L, X } }, 3, EXTENT_REPLACE },	/* first what is missing */
		{ { .n = 2, .members = { G, L } }, 3, EXTENT_REPLACE },
		{ { .n = 3, .members = { G, X, X } }, 3, EXTENT_REPLACE },	/* it can be read from */
		{ { .n = 3, .members = { G, L, S } }, 3, EXTENT_FINE },		/* not while another may be lost */
		{ { .n = 3, .members = { G, L, M } }, 3, EXTENT_SUCCEED },
		{ { .sealed = true, .n = 3, .members = { G, L, L } }, 3, EXTENT_UNSEAL },
		{ { .n = 3, .members = { U, L, L } }, 3, EXTENT_DROP },
		{ { .n = 3, .members = { U, G, L } }, 3, EXTENT_DROP },
		{ { .n = 3, .members = { U, U, U } }, 3, EXTENT_DROP },		/* one of them */
		{ { .n = 2, .members = { U, L } }, 2, EXTENT_MOVE },		/* one is not enough */
		{ { .n = 2, .members = { U, L } }, 3, EXTENT_REPLACE },		/* it has given one up already */
		{ { .n = 3, .members = { U, L, X } }, 3, EXTENT_REPLACE },
		{ { .n = 3, .members = { U, L, S } }, 3, EXTENT_FINE },
		{ { .n = 1, .members = { U } }, 1, EXTENT_MOVE },		/* the last */
		{ { .n = 3, .members = { U, L, M } }, 3, EXTENT_SUCCEED },
		{ { .sealed = true, .n = 3, .members = { U, L, L } }, 3, EXTENT_UNSEAL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(plan_extent(&cases[i].extent, cases[i].copies), cases[i].step);
}

static void the_most_endangered_extent_is_first(void **state)
{
	/* in the order in which they are to be served */
	static const struct plan_extent order[] = {
		{ .sealed = true, .n = 3, .members = { L, L, L } },
		{ .n = 3, .members = { L, L, M } },
		{ .n = 3, .members = { L, L, U } },
		{ .n = 3, .members = { L, X, X } },
		{ .n = 3, .members = { L, U, X } },
		{ .n = 3, .members = { L, L, G } },
	};
	struct plan_extent later = order[3];
	size_t i;

	(void)state;
	for (i = 0; i + 1 < sizeof(order) / sizeof(order[0]); i++)
		assert_true(plan_rank(&order[i], 3, 5) > plan_rank(&order[i + 1], 3, 5));
	assert_true(plan_rank(&order[5], 3, 5) > 0);
	assert_int_equal(plan_rank(&(struct plan_extent) { .n = 3, .members = { L, L, L } }, 3, 5), 0);
	later.retry_ns = 6;
	assert_int_equal(plan_rank(&later, 3, 5), 0);
	assert_true(plan_rank(&later, 3, 6) > 0);
	later.sealed = true;
	assert_true(plan_rank(&later, 3, 5) > 0);
}

static void the_source_misses_least(void **state)
{
	struct plan_source s[] = { { true, 5, 0 }, { true, 0, 0 }, { false, 0, 0 }, { true, 2, 0 } };

	(void)state;
	assert_int_equal(plan_source(s, 4), 1);
	s[1].usable = false;
	assert_int_equal(plan_source(s, 4), 3);
	s[0].usable = s[3].usable = false;
	assert_int_equal(plan_source(s, 4), -1);
	assert_int_equal(plan_source(s, 0), -1);
}

static void the_source_has_not_failed_or_longest_ago(void **state)
{
	struct plan_source s[] = { { true, 0, 9 }, { true, 0, 7 }, { true, 5, 0 }, { true, 4, 0 } };

	(void)state;
	assert_int_equal(plan_source(s, 4), 3);
	assert_int_equal(plan_source(s, 3), 2);
	assert_int_equal(plan_source(s, 2), 1);
	assert_int_equal(plan_source(s, 1), 0);
}

static void set(uint64_t *bits, uint32_t from, uint32_t n)
{
	while (n--) {
		bits[from / 64] |= 1ull << from % 64;
		from++;
	}
}

static struct farswap_sum sum(uint32_t frame, uint16_t offset, uint16_t length)
{
	return (struct farswap_sum) { .frame = frame, .offset = offset, .length = length };
}

static void is_run(const struct plan_run *run, size_t first, size_t next, uint64_t offset, uint64_t bytes)
{
	assert_int_equal(run->first, first);
	assert_int_equal(run->next, next);
	assert_int_equal(run->offset, offset);
	assert_int_equal(run->bytes, bytes);
}

static void runs_are_found(void **state)
{
	const struct farswap_sum sums[] = {
		sum(1, 0, 4096), sum(2, 0, 2000), sum(2, 2048, 2048), sum(3, 512, 100), sum(20, 0, 4096), sum(21, 0, 4096),
	};
	uint64_t todo[1] = { 0 };
	struct plan_run run;

	(void)state;
	assert_false(plan_run(sums, todo, 6, 0, 1 << 20, 0, &run));
	set(todo, 0, 6);
	assert_true(plan_run(sums, todo, 6, 0, 1 << 20, 512, &run));
	is_run(&run, 0, 4, 4096, 8192 + 512 + 100);
	assert_true(plan_run(sums, todo, 6, 0, 1 << 20, 511, &run));
	is_run(&run, 0, 3, 4096, 8192);
	assert_true(plan_run(sums, todo, 6, 0, 1 << 20, 47, &run));
	is_run(&run, 0, 2, 4096, 4096 + 2000);
	assert_true(plan_run(sums, todo, 6, 4, 8192, 0, &run));
	is_run(&run, 4, 6, 20 * 4096, 8192);
	assert_true(plan_run(sums, todo, 6, 4, 8191, 0, &run));
	is_run(&run, 4, 5, 20 * 4096, 4096);
	assert_true(plan_run(sums, todo, 6, 4, 1, 0, &run));		/* one at least */
	is_run(&run, 4, 5, 20 * 4096, 4096);
	todo[0] &= ~2ull;		/* what is right there already is not written over */
	assert_true(plan_run(sums, todo, 6, 0, 1 << 20, 1 << 20, &run));
	is_run(&run, 0, 1, 4096, 4096);
	assert_true(plan_run(sums, todo, 6, 1, 1 << 20, 0, &run));
	is_run(&run, 2, 3, 2 * 4096 + 2048, 2048);
	assert_false(plan_run(sums, todo, 6, 6, 1 << 20, 0, &run));
}

/* every sum to be done is in exactly one run, and no other is touched by one */
static void runs_cover_all(void **state)
{
	uint64_t seed = 7;
	unsigned int round;

	(void)state;
	for (round = 0; round < 3000; round++) {
		size_t n = 1 + round % 200, at = 0, i, done = 0, wanted = 0;
		struct farswap_sum sums[200];
		uint64_t todo[4] = { 0 }, gap = round % 3 ? 0 : round % 9000, max = 1 + round * 37 % 40000;
		uint32_t frame = 0, offset = 0;
		struct plan_run run;

		for (i = 0; i < n; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			offset += 512 * (seed >> 62);
			if (offset > 3584) {
				frame += 1 + (seed >> 40) % 3;
				offset = 0;
			}
			sums[i] = sum(frame, (uint16_t)offset, (uint16_t)(1 + (seed >> 20) % 512));
			offset += 512;
			if (round % 2 || seed >> 63) {
				set(todo, (uint32_t)i, 1);
				wanted++;
			}
		}
		while (plan_run(sums, todo, n, at, max, gap, &run)) {
			assert_true(run.first >= at && run.next > run.first && run.next <= n);
			for (i = run.first; i < run.next; i++)
				assert_true(todo[i / 64] >> i % 64 & 1);
			assert_int_equal(run.offset, sums[run.first].frame * 4096ull + sums[run.first].offset);
			assert_int_equal(run.offset + run.bytes,
					 sums[run.next - 1].frame * 4096ull + sums[run.next - 1].offset + sums[run.next - 1].length);
			assert_true(run.bytes <= max || run.next == run.first + 1);
			done += run.next - run.first;
			at = run.next;
		}
		assert_int_equal(done, wanted);
	}
}

static void the_rate_is_kept(void **state)
{
	uint64_t now = 1000 * SECOND, due = now;
	unsigned int i;

	(void)state;
	assert_int_equal(plan_pace(due, now, 4 << 20, 0), now);
	/* pieces that take a tenth of their time: 100 of 4 MiB at 16 MiB/s are over after 25 s */
	for (i = 0; i < 100; i++) {
		due = plan_pace(due, now, 4 << 20, 16);
		assert_true(due >= now);
		now = due + SECOND / 40;
	}
	assert_in_range(due - 1000 * SECOND, 25 * SECOND - SECOND / 100, 25 * SECOND + SECOND / 100);
	/* after an hour's rest there is no burst */
	now += 3600 * SECOND;
	due = plan_pace(due, now, 4 << 20, 16);
	assert_int_equal(due, now);
	due = plan_pace(due, now, 4 << 20, 16);
	assert_int_equal(due, now + SECOND / 4);
	assert_int_equal(plan_pace(now, now, 1 << 30, 1), now + 1024 * SECOND);
}

static void who_is_to_blame_for_a_push(void **state)
{
	(void)state;
	/* without an answer its WRITEs may still be under way, whoever else is well */
	assert_int_equal(plan_push_failed(0, true, true, 1), PUSH_OTHER_SLAB);
	assert_int_equal(plan_push_failed(0, false, false, 9), PUSH_OTHER_SLAB);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_NO_QUEUE, true, true, 1), PUSH_AGAIN);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_NO_QUEUE, true, true, 3), PUSH_OTHER_SOURCE);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_NO_QUEUE, true, false, 3), PUSH_OTHER_TARGET);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_CONNECT, true, true, 1), PUSH_OTHER_SOURCE);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_CONNECT, false, true, 1), PUSH_OTHER_TARGET);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_NO_SESSION, true, true, 1), PUSH_OTHER_SOURCE);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_NO_SLAB, true, false, 1), PUSH_OTHER_TARGET);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_QUEUE_QUOTA, true, true, 1), PUSH_OTHER_SOURCE);
}

/* a WRITE that was posted may land late, whatever is said of it: its slab is not used on */
static void what_may_still_land_costs_the_slab(void **state)
{
	(void)state;
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_WRITE, true, true, 1), PUSH_OTHER_SLAB);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_WRITE, true, false, 1), PUSH_OTHER_SLAB);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_WRITE, false, true, 1), PUSH_OTHER_SLAB);
	assert_int_equal(plan_push_failed(FARSWAP_REJECT_BUSY, true, true, 1), PUSH_OTHER_SLAB);
	assert_int_equal(plan_push_failed(FARSWAP_REJECTS, true, true, 1), PUSH_OTHER_SLAB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_suspect_rejoins_when_its_daemon_answers),
		cmocka_unit_test(a_suspect_is_gone_after_its_time_or_when_forgotten),
		cmocka_unit_test(the_last_copy_is_not_given_up_for_being_away),
		cmocka_unit_test(what_an_extent_needs),
		cmocka_unit_test(the_most_endangered_extent_is_first),
		cmocka_unit_test(the_source_misses_least),
		cmocka_unit_test(the_source_has_not_failed_or_longest_ago),
		cmocka_unit_test(runs_are_found),
		cmocka_unit_test(runs_cover_all),
		cmocka_unit_test(the_rate_is_kept),
		cmocka_unit_test(who_is_to_blame_for_a_push),
		cmocka_unit_test(what_may_still_land_costs_the_slab),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
