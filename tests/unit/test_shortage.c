// SPDX-License-Identifier: GPL-2.0
/* What is taken from lending for local use while memory is short: off by default, within the budget, without flapping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "draw.h"
#include "shortage.h"

#define SECOND	1000000000ull
#define SLAB	(64ull << 20)

static const struct shortage_limits limits = {
	.cap = 64, .slab_bytes = SLAB, .budget = 32 * SLAB, .faults_high = 200, .faults_low = 50,
};
static struct shortage shortage;
static uint64_t now, turned[100000], before;
static unsigned int turns;
static int direction;

static void begin(enum shortage_policy policy)
{
	shortage = (struct shortage) { .policy = policy };
	now = 100 * SECOND;
	turns = 0;
	before = 0;
	direction = 0;
}

static void look(uint64_t n)
{
	struct shortage_look look = { .now_ns = now += SECOND, .requests = n, .faults = n };
	int was = direction;

	shortage_look(&shortage, &limits, &look);
	assert_true(shortage.taken <= limits.budget);
	if (shortage.taken != before)
		direction = shortage.taken > before ? 1 : -1;
	if (direction != was && was)
		turned[turns++] = now;
	before = shortage.taken;
}

static void seconds(unsigned int n, uint64_t rate)
{
	while (n--)
		look(rate);
}

static void off_does_nothing(void **state)
{
	(void)state;
	begin(SHORTAGE_OFF);
	assert_int_equal(shortage.policy, (struct shortage) { 0 }.policy);	/* what nobody sets is off */
	seconds(100, 0);
	seconds(100, 1000000);
	assert_int_equal(shortage.taken, 0);
	assert_int_equal(shortage_cap(&shortage, &limits), 64);
	assert_int_equal(shortage_high(&shortage, 5), 5);
}

static void rising_requests_shrink_what_is_lent(void **state)
{
	(void)state;
	begin(SHORTAGE_SHRINK);
	seconds(100, 10);
	assert_int_equal(shortage_cap(&shortage, &limits), 64);	/* many, but not more than before */
	seconds(15, 200);
	assert_int_equal(shortage_cap(&shortage, &limits), 32);	/* the whole budget, and no more */
	assert_int_equal(shortage_high(&shortage, 5), 5);
	seconds(300, 200);						/* what lasts is no rise any more */
	assert_int_equal(shortage_cap(&shortage, &limits), 64);
	seconds(100, 0);
	assert_int_equal(shortage_cap(&shortage, &limits), 64);
}

static void a_group_that_faults_gets_more(void **state)
{
	uint64_t high = 1ull << 30;

	(void)state;
	begin(SHORTAGE_RAISE);
	seconds(100, 100);
	assert_int_equal(shortage_high(&shortage, high), high);
	seconds(20, 1000);
	assert_int_equal(shortage_high(&shortage, high), high + limits.budget);
	assert_int_equal(shortage_cap(&shortage, &limits), 32);	/* it is taken from what is lent, not from the host */
	seconds(100, 100);						/* neither often nor seldom: it keeps it */
	assert_int_equal(shortage_high(&shortage, high), high + limits.budget);
	seconds(60, 0);
	assert_int_equal(shortage_high(&shortage, high), high);
	assert_int_equal(shortage_cap(&shortage, &limits), 64);
}

static void few_turns(void)
{
	unsigned int i;

	for (i = 2; i < turns; i++)
		assert_true(turned[i] - turned[i - 2] >= 60 * SECOND);
}

static void a_step_load_does_not_make_it_flap(void **state)
{
	enum shortage_policy policy;
	unsigned int period, i, all = 0;
	uint64_t seed = 4;

	(void)state;
	for (policy = SHORTAGE_SHRINK; policy < SHORTAGE_POLICIES; policy++) {
		for (period = 2; period < 300; period += 3) {
			begin(policy);
			for (i = 0; i < 5000; i++)
				look((i % period < period / 2 ? 1000 : 5) + farswap_draw(&seed) % 5);
			few_turns();
			all += turns;
		}
	}
	assert_true(all > 1000);
	begin(SHORTAGE_RAISE);		/* one step: there, and back after it */
	seconds(60, 0);
	seconds(600, 1000);
	seconds(3600, 0);
	assert_int_equal(turns, 1);
}

static void it_is_given_back_when_it_is_switched_off(void **state)
{
	(void)state;
	begin(SHORTAGE_RAISE);
	seconds(60, 1000);
	assert_int_equal(shortage.taken, limits.budget);
	shortage.policy = SHORTAGE_OFF;
	seconds(60, 1000);
	assert_int_equal(shortage.taken, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_does_nothing),
		cmocka_unit_test(rising_requests_shrink_what_is_lent),
		cmocka_unit_test(a_group_that_faults_gets_more),
		cmocka_unit_test(a_step_load_does_not_make_it_flap),
		cmocka_unit_test(it_is_given_back_when_it_is_switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
