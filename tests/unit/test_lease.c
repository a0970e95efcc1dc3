// SPDX-License-Identifier: GPL-2.0
/* When a donor takes a client for dead: by its lease word alone, and by how long itself has been looking. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lease.h"

#define LENGTH	8000000000ull
#define STEP	(LENGTH / LEASE_LOOKS)

static struct lease lease;
static uint64_t now;

static struct farswap_lease_word word(uint64_t count)
{
	return (struct farswap_lease_word) { .count = htole64(count), .check = ~htole64(count) };
}

static int begin(void **state)
{
	(void)state;
	lease = (struct lease) { 0 };
	now = 1000 * LENGTH;
	lease_start(&lease, now);
	return 0;
}

static enum lease_verdict look(uint64_t after_ns, struct farswap_lease_word at)
{
	now += after_ns;
	return lease_look(&lease, &at, now, LENGTH);
}

static void one_that_is_renewed_runs(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 1; i < 1000; i++)
		assert_int_equal(look(STEP, word(100 * (i / 6 + 1))), LEASE_RUNS);	/* seldom enough */
}

static void one_that_is_not_renewed_is_over_after_its_length_and_not_before(void **state)
{
	uint64_t seen;

	(void)state;
	assert_int_equal(look(STEP, word(5)), LEASE_RUNS);
	seen = now;
	while (now < seen + LENGTH - STEP)
		assert_int_equal(look(STEP, word(5)), LEASE_RUNS);
	assert_int_equal(look(STEP - 1, word(5)), LEASE_RUNS);
	assert_int_equal(look(1, word(5)), LEASE_OVER);
}

static void one_that_never_began_is_over_too(void **state)
{
	struct farswap_lease_word zero = { 0 };
	unsigned int i;

	(void)state;
	for (i = 1; i < LEASE_LOOKS; i++)
		assert_int_equal(look(STEP, zero), LEASE_RUNS);
	assert_int_equal(look(STEP, zero), LEASE_OVER);
}

static void a_look_that_comes_late_begins_anew(void **state)
{
	unsigned int i;

	(void)state;
	look(STEP, word(5));
	assert_int_equal(look(100 * LENGTH, word(5)), LEASE_RUNS);	/* this process was stopped */
	for (i = 1; i < LEASE_LOOKS; i++)
		assert_int_equal(look(STEP, word(5)), LEASE_RUNS);
	assert_int_equal(look(STEP, word(5)), LEASE_OVER);
}

static void one_that_comes_back_gets_its_time(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < LEASE_LOOKS - 1; i++)
		look(STEP, word(5));
	lease_start(&lease, now);
	for (i = 1; i < LEASE_LOOKS; i++)
		assert_int_equal(look(STEP, word(5)), LEASE_RUNS);
	assert_int_equal(look(STEP, word(5)), LEASE_OVER);
}

static void one_that_jumps_back_is_told(void **state)
{
	(void)state;
	look(STEP, word(5000));
	assert_int_equal(look(STEP, word(4999)), LEASE_BACK);
	begin(NULL);
	look(STEP, word(5000));
	lease_start(&lease, now);
	assert_int_equal(look(STEP, word(1)), LEASE_BACK);	/* also over new queue pairs */
}

static void half_a_word_counts_for_nothing(void **state)
{
	struct farswap_lease_word torn = { .count = word(4).count, .check = word(5).check };
	unsigned int i;

	(void)state;
	look(STEP, word(5));
	assert_int_equal(look(STEP, torn), LEASE_RUNS);
	assert_int_equal(look(STEP, word(6)), LEASE_RUNS);
	torn.count = htole64(7);
	for (i = 1; i < LEASE_LOOKS; i++)
		assert_int_equal(look(STEP, torn), LEASE_RUNS);
	assert_int_equal(look(STEP, torn), LEASE_OVER);	/* nor does nonsense for ever */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_that_is_renewed_runs, begin),
		cmocka_unit_test_setup(one_that_is_not_renewed_is_over_after_its_length_and_not_before, begin),
		cmocka_unit_test_setup(one_that_never_began_is_over_too, begin),
		cmocka_unit_test_setup(a_look_that_comes_late_begins_anew, begin),
		cmocka_unit_test_setup(one_that_comes_back_gets_its_time, begin),
		cmocka_unit_test_setup(one_that_jumps_back_is_told, begin),
		cmocka_unit_test_setup(half_a_word_counts_for_nothing, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
