// SPDX-License-Identifier: GPL-2.0
/* Placement by each policy: distinct nodes, distinct racks, room respected, weighted, deterministic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "placement.h"

#define N 12

static enum placement_policy policy;	/* of the test that runs */

static void fill(struct placement_node *nodes, uint32_t room)
{
	size_t i;

	memset(nodes, 0, N * sizeof(*nodes));
	for (i = 0; i < N; i++)
		nodes[i].offered = room;
}

static void distinct_nodes(void **state)
{
	struct placement_node nodes[N];
	uint64_t seed = 1;
	unsigned int round, i, k;
	int out[N];

	(void)state;
	for (round = 0; round < 10000; round++) {
		unsigned int copies = 1 + round % 4;

		fill(nodes, 5);
		assert_int_equal(placement_choose(policy, nodes, N, copies, &seed, out), copies);
		for (i = 0; i < copies; i++)
			for (k = 0; k < i; k++)
				assert_int_not_equal(out[i], out[k]);
	}
}

static void distinct_racks(void **state)
{
	static const char * const racks[] = { "r1", "r2", "r3" };
	struct placement_node nodes[N];
	uint64_t seed = 2;
	unsigned int round, i, k;
	int out[N];

	(void)state;
	for (round = 0; round < 10000; round++) {
		fill(nodes, 5);
		for (i = 0; i < N; i++)
			nodes[i].rack = racks[i % 3];
		/* a fourth copy has no fourth rack to go to */
		assert_int_equal(placement_choose(policy, nodes, N, 4, &seed, out), 3);
		for (i = 0; i < 3; i++)
			for (k = 0; k < i; k++)
				assert_string_not_equal(nodes[out[i]].rack, nodes[out[k]].rack);
	}
	/* nodes without a rack share it with nobody */
	fill(nodes, 5);
	for (i = 0; i < N; i++)
		nodes[i].rack = i % 2 ? "" : NULL;
	assert_int_equal(placement_choose(policy, nodes, N, 4, &seed, out), 4);
}

static void full_and_barred_are_not_chosen(void **state)
{
	struct placement_node nodes[N];
	uint64_t seed = 3;
	unsigned int round;
	int out[N];

	(void)state;
	for (round = 0; round < 10000; round++) {
		fill(nodes, 0);
		nodes[round % N].offered = 1;
		nodes[(round + 1) % N].offered = 1000;
		nodes[(round + 1) % N].barred = true;
		nodes[(round + 2) % N].offered = 1000;
		nodes[(round + 2) % N].taken = true;
		nodes[(round + 3) % N].offered = nodes[(round + 3) % N].lent = 1000;
		nodes[(round + 4) % N].lent = 5;	/* it offers less than it has lent, or nothing any more */
		assert_int_equal(placement_choose(policy, nodes, N, 3, &seed, out), 1);
		assert_int_equal(out[0], round % N);
	}
	fill(nodes, 0);
	assert_int_equal(placement_next(policy, nodes, N, &seed), -1);
	assert_int_equal(placement_next(policy, nodes, 0, &seed), -1);
}

/* a member that holds a copy already keeps its rack from others, a barred one does not */
static void taken_holds_its_rack(void **state)
{
	struct placement_node nodes[3] = {
		{ .rack = "r1", .offered = 9, .taken = true }, { .rack = "r1", .offered = 9 }, { .rack = "r2", .offered = 1 },
	};
	uint64_t seed = 4;
	unsigned int round, first = 0;

	(void)state;
	for (round = 0; round < 1000; round++)
		assert_int_equal(placement_next(policy, nodes, 3, &seed), 2);
	nodes[0].taken = false;
	nodes[0].barred = true;
	for (round = 0; round < 1000; round++)
		first += placement_next(policy, nodes, 3, &seed) == 1;
	assert_true(first > 0);
}

/* how often each donor of sizes 100 to 400 is chosen while half of everything is lent, in percent of its size */
static void lend_half(uint32_t *percent)
{
	struct placement_node nodes[N];
	uint64_t seed = 5;
	unsigned int i, round;
	int out[N];

	fill(nodes, 0);
	for (i = 0; i < N; i++)
		nodes[i].offered = 100 + 100 * (i % 4);
	for (round = 0; round < 500; round++) {
		assert_int_equal(placement_choose(policy, nodes, N, 3, &seed, out), 3);
		for (i = 0; i < 3; i++) {
			nodes[out[i]].lent++;
			nodes[out[i]].taken = false;
		}
	}
	for (i = 0; i < N; i++)
		percent[i] = nodes[i].lent * 100 / nodes[i].offered;
}

/* donors fill up at the same pace, whatever their sizes: with power of two closely, round robin by weight about, the others not at all */
static void fills_by_size(void **state)
{
	static const uint32_t within[PLACEMENT_POLICIES] = {
		[PLACEMENT_POWER_OF_TWO] = 1, [PLACEMENT_WEIGHTED_ROUND_ROBIN] = 5,
	};
	uint32_t percent[N];
	unsigned int i;

	(void)state;
	lend_half(percent);
	if (!within[policy]) {
		assert_true(percent[0] > 90 && percent[3] < 40);
		return;
	}
	for (i = 0; i < N; i++)
		assert_in_range(percent[i], 50 - within[policy], 50 + within[policy]);
}

/* use counts, not how much is free: a large donor that is nearly full has more room than a small one that is empty */
static void the_freer_of_two_is_taken(void **state)
{
	struct placement_node nodes[2] = { { .offered = 1000, .lent = 900 }, { .offered = 50 } };
	uint64_t seed = 8;
	unsigned int round, large = 0;

	(void)state;
	for (round = 0; round < 1000; round++)
		large += placement_next(PLACEMENT_POWER_OF_TWO, nodes, 2, &seed) == 0;
	assert_int_equal(large, 0);
	assert_int_equal(placement_pick(nodes, 2, &seed), 1);
}

static void round_robin_takes_turns(void **state)
{
	struct placement_node nodes[N];
	uint64_t seed = 4000000000ull;
	unsigned int round;
	int first;

	(void)state;
	fill(nodes, 5);
	first = placement_next(PLACEMENT_ROUND_ROBIN, nodes, N, &seed);
	for (round = 1; round < 100; round++)
		assert_int_equal(placement_next(PLACEMENT_ROUND_ROBIN, nodes, N, &seed), (first + round) % N);
}

static void names_are_read_back(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < PLACEMENT_POLICIES; i++)
		assert_int_equal(placement_parse(placement_name((enum placement_policy)i)), i);
	assert_int_equal(placement_parse("power"), -1);
	assert_int_equal(placement_parse(""), -1);
}

static void same_seed_same_choice(void **state)
{
	struct placement_node a[N], b[N];
	uint64_t seed_a = 6, seed_b = 6, seed_c = 7;
	unsigned int round, differ = 0;
	int out_a[N], out_b[N], out_c[N];

	(void)state;
	for (round = 0; round < 1000; round++) {
		fill(a, 5);
		fill(b, 5);
		placement_choose(policy, a, N, 3, &seed_a, out_a);
		placement_choose(policy, b, N, 3, &seed_b, out_b);
		assert_memory_equal(out_a, out_b, 3 * sizeof(int));
		fill(b, 5);
		placement_choose(policy, b, N, 3, &seed_c, out_c);
		differ += !!memcmp(out_a, out_c, 3 * sizeof(int));
	}
	/* round robins begin almost where the other seed begins, and go on alike */
	assert_true(policy == PLACEMENT_ROUND_ROBIN || policy == PLACEMENT_WEIGHTED_ROUND_ROBIN || differ > 900);
}

int main(void)
{
	const struct CMUnitTest each[] = {
		cmocka_unit_test(distinct_nodes),	cmocka_unit_test(distinct_racks),
		cmocka_unit_test(full_and_barred_are_not_chosen), cmocka_unit_test(taken_holds_its_rack),
		cmocka_unit_test(fills_by_size),	cmocka_unit_test(same_seed_same_choice),
	};
	const struct CMUnitTest once[] = {
		cmocka_unit_test(the_freer_of_two_is_taken), cmocka_unit_test(round_robin_takes_turns),
		cmocka_unit_test(names_are_read_back),
	};
	int failed = cmocka_run_group_tests(once, NULL, NULL);

	for (policy = 0; policy < PLACEMENT_POLICIES; policy++)
		failed += cmocka_run_group_tests_name(placement_name(policy), each, NULL, NULL);
	return failed;
}
