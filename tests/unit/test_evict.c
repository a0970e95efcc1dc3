// SPDX-License-Identifier: GPL-2.0
/* Which slabs a donor takes back, how active an owner says that they are, and what it may refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "draw.h"
#include "evict.h"

#define N	64
#define E	4

static struct evict_slab slabs[N];

static int begin(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < N; i++)
		slabs[i] = (struct evict_slab) { .owner = (uint32_t)i / 4, .known = true, .activity = (i * 37 + 11) % N };
	return 0;
}

static bool has(const size_t *out, size_t n, size_t what)
{
	while (n--)
		if (out[n] == what)
			return true;
	return false;
}

static void a_sample_is_of_those_that_can_be_asked_each_as_likely(void **state)
{
	unsigned int drawn[N] = { 0 }, round;
	size_t out[E + EVICT_EXTRA], n, i;
	uint64_t seed = 1;

	(void)state;
	for (i = 0; i < N; i += 4) {
		slabs[i].asked = true;
		slabs[i + 1].refused = true;
	}
	for (round = 0; round < 40000; round++) {
		n = evict_sample(slabs, N, E, &seed, out);
		assert_int_equal(n, E + EVICT_EXTRA);
		for (i = 0; i < n; i++) {
			assert_false(slabs[out[i]].asked || slabs[out[i]].refused);
			assert_true(!i || out[i] > out[i - 1]);
			drawn[out[i]]++;
		}
	}
	for (i = 2; i < N; i += 4)	/* 8 of 32, 40,000 times */
		assert_in_range(drawn[i], 9600, 10400);
	assert_int_equal(evict_sample(slabs, N, 0, &seed, out), 0);
	assert_int_equal(evict_sample(slabs, 8, E, &seed, out), 4);	/* all there are */
}

static void each_owner_is_asked_once(void **state)
{
	static const size_t sample[] = { 3, 4, 5, 9, 40, 41, 43, 63 };
	static const uint32_t expected[] = { 0, 1, 2, 10, 15 };
	uint32_t owners[8];

	(void)state;
	assert_int_equal(evict_owners(slabs, sample, 8, owners), 5);
	assert_memory_equal(owners, expected, sizeof(expected));
}

static void the_least_active_are_chosen(void **state)
{
	size_t out[N], n, i, k;

	(void)state;
	slabs[10].known = false;
	slabs[20].asked = true;
	slabs[30].refused = true;
	n = evict_choose(slabs, N, 10, out);
	assert_int_equal(n, 10);
	for (i = 1; i < n; i++)
		assert_true(slabs[out[i - 1]].activity <= slabs[out[i]].activity);
	for (k = 0; k < N; k++)
		if (k != 10 && k != 20 && k != 30 && !has(out, n, k))
			assert_true(slabs[k].activity >= slabs[out[n - 1]].activity);
	assert_int_equal(evict_choose(slabs, N, N, out), N - 3);
	assert_int_equal(evict_choose(slabs, N, 0, out), 0);
}

static void who_is_late_is_revoked_first_and_what_is_kept_never(void **state)
{
	size_t out[N];

	(void)state;
	slabs[3] = (struct evict_slab) { .asked = true, .overdue = true, .known = true, .activity = 900 };
	slabs[4] = (struct evict_slab) { .asked = true, .known = true, .activity = 800 };
	slabs[5] = (struct evict_slab) { .asked = true, .known = true, .activity = 700 };
	slabs[6].kept = true;
	slabs[2].known = false;			/* nobody is there to give it up */
	assert_int_equal(evict_revoke(slabs, 8, 3, out), 3);
	assert_int_equal(out[0], 3);
	assert_int_equal(out[1], 5);
	assert_int_equal(out[2], 4);
	assert_int_equal(evict_revoke(slabs, 8, 8, out), 6);
	assert_false(has(out, 6, 6) || has(out, 6, 2));
	assert_int_equal(evict_revoke(slabs, 8, 0, out), 0);
}

static uint64_t after(uint64_t activity, uint64_t operations, unsigned int periods)
{
	while (periods--)
		activity = evict_activity(activity, operations);
	return activity;
}

static void activity_becomes_a_constant_rate_and_goes_when_it_ends(void **state)
{
	static const uint64_t rates[] = { 1, 3, 20, 1000, 12345678, 1ull << 40 };
	uint64_t rate, got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		rate = rates[i] << EVICT_ACTIVITY_SHIFT;
		got = after(0, rates[i], 21);
		assert_in_range(got, rate - rate / 100, rate + rate / 100);
		got = after(got, rates[i], 100000);	/* where an average that is not divided had grown past all bounds */
		assert_in_range(got, rate - rate / 100, rate + rate / 100);
		assert_true(after(got, 0, 30) < rate / 100);
		assert_true(after(rate * 100, rates[i], 50) <= rate + rate / 100);
	}
	assert_int_equal(after(0, 0, 1000), 0);
	got = after(0, UINT64_MAX, 1000);		/* nonsense is much, and not little */
	assert_true(got > 1ull << 62);
	assert_true(after(got, 0, 300) < 10);
}

#define L STANDING_LIVE
#define S STANDING_SUSPECT
#define X STANDING_LOST

static void an_owner_refuses_while_its_set_is_degraded(void **state)
{
	static const struct {
		struct plan_extent extent;
		unsigned int copies;
		bool moving, agrees;
	} cases[] = {
		{ { .n = 3, .members = { L, L, L } }, 3, false, true },
		{ { .n = 3, .members = { L, L, L } }, 3, true, false },		/* another donor asked before */
		{ { .sealed = true, .n = 3, .members = { L, L, L } }, 3, false, false },
		{ { .n = 3, .members = { L, L, X } }, 3, false, false },
		{ { .n = 3, .members = { L, L, S } }, 3, false, false },
		{ { .n = 2, .members = { L, L } }, 3, false, false },
		{ { .n = 1, .members = { L } }, 1, false, true },
		{ { .n = 2, .members = { L, L } }, 2, false, true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(evict_agrees(&cases[i].extent, cases[i].copies, cases[i].moving), cases[i].agrees);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_sample_is_of_those_that_can_be_asked_each_as_likely, begin),
		cmocka_unit_test_setup(each_owner_is_asked_once, begin),
		cmocka_unit_test_setup(the_least_active_are_chosen, begin),
		cmocka_unit_test_setup(who_is_late_is_revoked_first_and_what_is_kept_never, begin),
		cmocka_unit_test(activity_becomes_a_constant_rate_and_goes_when_it_ends),
		cmocka_unit_test(an_owner_refuses_while_its_set_is_degraded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
