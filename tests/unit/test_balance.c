// SPDX-License-Identifier: GPL-2.0
/* Slabs move from full donors to empty ones, not too fast, until all are alike; then no more, whatever noise there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "balance.h"
#include "draw.h"

#define SECOND		1000000000ull
#define LOOK		(10 * SECOND)
#define HOUR		(3600 * SECOND)
#define N		20

static struct {
	struct balance balance;
	struct balance_donor donors[N];
	uint64_t now_ns, moved_ns, seed;
	size_t last_from, last_to;
	unsigned int moves, back;
} group;

static int begin(void **state)
{
	size_t i;

	(void)state;
	memset(&group, 0, sizeof(group));
	for (i = 0; i < N; i++)
		group.donors[i].gives = group.donors[i].takes = true;
	group.now_ns = HOUR;
	group.seed = 5;
	return 0;
}

/* noise: thousandths by which what is offered is told more or less */
static void look(unsigned int noise)
{
	struct balance_donor told[N];
	struct balance_move move;
	size_t i;

	group.now_ns += LOOK;
	memcpy(told, group.donors, sizeof(told));
	for (i = 0; i < N && noise; i++)
		told[i].offered += told[i].offered * (farswap_draw(&group.seed) % (2 * noise + 1)) / 1000 - told[i].offered * noise / 1000;
	if (!balance_next(&group.balance, told, N, group.now_ns, &move))
		return;
	assert_true(move.from != move.to);
	assert_true(group.donors[move.from].gives && group.donors[move.to].takes);
	assert_true(group.donors[move.from].lent && group.donors[move.to].lent < group.donors[move.to].offered);
	assert_true(group.now_ns - group.moved_ns >= BALANCE_EVERY_NS);
	group.back += group.moves && move.from == group.last_to && move.to == group.last_from;
	group.last_from = move.from;
	group.last_to = move.to;
	group.moved_ns = group.now_ns;
	group.donors[move.from].lent--;
	group.donors[move.to].lent++;
	group.moves++;
}

static void hours(unsigned int n, unsigned int noise)
{
	uint64_t until = group.now_ns + n * HOUR;

	while (group.now_ns < until)
		look(noise);
}

static unsigned int use(size_t i)
{
	return group.donors[i].lent * 1000 / group.donors[i].offered;
}

static unsigned int spread(void)
{
	unsigned int low = 1000, high = 0;
	size_t i;

	for (i = 0; i < N; i++) {
		if (!group.donors[i].offered)
			continue;
		low = use(i) < low ? use(i) : low;
		high = use(i) > high ? use(i) : high;
	}
	return high - low;
}

/* donors of 1:4, three of them new */
static void fill(void)
{
	size_t i;

	for (i = 0; i < N; i++) {
		group.donors[i].offered = i % 2 ? 64 : 256;
		group.donors[i].lent = i < 3 ? 0 : (uint32_t)(group.donors[i].offered * (50 + farswap_draw(&group.seed) % 40) / 100);
	}
}

static void it_converges_and_stops_in_two_thousand_hours_of_noise(void **state)
{
	unsigned int trial, moves, all = 0;

	(void)state;
	for (trial = 0; trial < 3; trial++) {
		begin(NULL);
		group.seed = trial;
		fill();
		hours(4, 9);
		moves = group.moves;
		assert_true(moves > 100);
		assert_true(spread() <= BALANCE_START);
		hours(1996, 9);
		all += group.moves - moves;
		assert_int_equal(group.back, 0);
	}
	printf("moves after they had converged, in 3 times 1996 hours: %u\n", all);
	assert_int_equal(all, 0);
}

/* what clients take and give back now and then does not set slabs going to and fro */
static void it_follows_a_change_and_does_not_swing(void **state)
{
	unsigned int changes = 0;
	size_t i;

	(void)state;
	fill();
	hours(4, 9);
	group.moves = 0;
	while (group.now_ns < 2000 * HOUR) {
		look(9);
		if (farswap_draw(&group.seed) % 360)	/* once in an hour a slab goes and another comes, anywhere */
			continue;
		for (i = farswap_draw(&group.seed) % N; !group.donors[i].lent; i = (i + 1) % N)
			;
		group.donors[i].lent--;
		for (i = farswap_draw(&group.seed) % N; group.donors[i].lent == group.donors[i].offered; i = (i + 1) % N)
			;
		group.donors[i].lent++;
		changes++;
	}
	printf("moves after %u changes: %u\n", changes, group.moves);
	assert_true(group.moves < changes);
	assert_int_equal(group.back, 0);
}

static void a_short_difference_moves_nothing(void **state)
{
	unsigned int i;

	(void)state;
	fill();
	for (i = 0; i < N; i++)
		group.donors[i].lent = group.donors[i].offered / 2;
	for (i = 0; i < 100; i++) {
		group.donors[5].lent = i % 6 ? 20 : 32;
		look(0);
	}
	assert_int_equal(group.moves, 0);
}

static void coarse_slabs_come_to_rest(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		group.donors[i] = (struct balance_donor) { 4, i < 3 ? 4 : 0, true, true };	/* three are full, an empty one comes */
	hours(10, 0);
	assert_int_equal(group.moves, 3);
	assert_int_equal(spread(), 0);
	group.donors[0].lent++;
	hours(10, 0);
	assert_int_equal(group.moves, 3);	/* 4, 3, 3, 3 is as even as it gets */
}

static void who_does_not_give_and_who_does_not_take(void **state)
{
	(void)state;
	group.donors[0] = (struct balance_donor) { 100, 90, false, false };
	group.donors[1] = (struct balance_donor) { 100, 80, false, true };
	group.donors[2] = (struct balance_donor) { 100, 60, true, true };
	group.donors[3] = (struct balance_donor) { 100, 0, true, false };
	group.donors[4] = (struct balance_donor) { 100, 30, false, true };
	group.donors[5] = (struct balance_donor) { 0, 50, true, true };		/* lends no more */
	hours(2, 0);
	assert_int_equal(group.donors[4].lent, 44);
	assert_int_equal(group.donors[2].lent, 46);
	assert_int_equal(group.moves, 14);
	memset(group.donors, 0, sizeof(group.donors));
	hours(1, 0);
	assert_int_equal(group.moves, 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_converges_and_stops_in_two_thousand_hours_of_noise, begin),
		cmocka_unit_test_setup(it_follows_a_change_and_does_not_swing, begin),
		cmocka_unit_test_setup(a_short_difference_moves_nothing, begin),
		cmocka_unit_test_setup(coarse_slabs_come_to_rest, begin),
		cmocka_unit_test_setup(who_does_not_give_and_who_does_not_take, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
