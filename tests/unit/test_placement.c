// SPDX-License-Identifier: GPL-2.0
/* Placement: distinct nodes, distinct racks, room respected, weighted, deterministic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "placement.h"

#define N 12

static void fill(struct placement_node *nodes, uint32_t room)
{
	size_t i;

	memset(nodes, 0, N * sizeof(*nodes));
	for (i = 0; i < N; i++)
		nodes[i].room = room;
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
		assert_int_equal(placement_choose(nodes, N, copies, &seed, out), copies);
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
		assert_int_equal(placement_choose(nodes, N, 4, &seed, out), 3);
		for (i = 0; i < 3; i++)
			for (k = 0; k < i; k++)
				assert_string_not_equal(nodes[out[i]].rack, nodes[out[k]].rack);
	}
	/* nodes without a rack share it with nobody */
	fill(nodes, 5);
	for (i = 0; i < N; i++)
		nodes[i].rack = i % 2 ? "" : NULL;
	assert_int_equal(placement_choose(nodes, N, 4, &seed, out), 4);
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
		nodes[round % N].room = 1;
		nodes[(round + 1) % N].room = 1000;
		nodes[(round + 1) % N].barred = true;
		nodes[(round + 2) % N].room = 1000;
		nodes[(round + 2) % N].taken = true;
		assert_int_equal(placement_choose(nodes, N, 3, &seed, out), 1);
		assert_int_equal(out[0], round % N);
	}
	fill(nodes, 0);
	assert_int_equal(placement_pick(nodes, N, &seed), -1);
	assert_int_equal(placement_pick(nodes, 0, &seed), -1);
}

/* a member that holds a copy already keeps its rack from others, a barred one does not */
static void taken_holds_its_rack(void **state)
{
	struct placement_node nodes[3] = {
		{ .rack = "r1", .room = 9, .taken = true }, { .rack = "r1", .room = 9 }, { .rack = "r2", .room = 1 },
	};
	uint64_t seed = 4;
	unsigned int round, first = 0;

	(void)state;
	for (round = 0; round < 1000; round++)
		assert_int_equal(placement_pick(nodes, 3, &seed), 2);
	nodes[0].taken = false;
	nodes[0].barred = true;
	for (round = 0; round < 1000; round++)
		first += placement_pick(nodes, 3, &seed) == 1;
	assert_true(first > 0);
}

/* lending out everything: all donors fill up at about the same pace, whatever their sizes */
static void fills_evenly(void **state)
{
	struct placement_node nodes[N];
	uint32_t size[N];
	uint64_t seed = 5;
	unsigned int i, round;
	int out[N];

	(void)state;
	fill(nodes, 0);
	for (i = 0; i < N; i++)
		size[i] = nodes[i].room = 100 + 100 * (i % 4);
	for (round = 0; round < 500; round++) {	/* half of all there is */
		assert_int_equal(placement_choose(nodes, N, 3, &seed, out), 3);
		for (i = 0; i < 3; i++) {
			nodes[out[i]].room--;
			nodes[out[i]].held++;
			nodes[out[i]].taken = false;
		}
	}
	for (i = 0; i < N; i++) {
		assert_true(nodes[i].held * 100 / size[i] >= 40);
		assert_true(nodes[i].held * 100 / size[i] <= 60);
	}
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
		placement_choose(a, N, 3, &seed_a, out_a);
		placement_choose(b, N, 3, &seed_b, out_b);
		assert_memory_equal(out_a, out_b, 3 * sizeof(int));
		fill(b, 5);
		placement_choose(b, N, 3, &seed_c, out_c);
		differ += !!memcmp(out_a, out_c, 3 * sizeof(int));
	}
	assert_true(differ > 900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distinct_nodes),	cmocka_unit_test(distinct_racks),
		cmocka_unit_test(full_and_barred_are_not_chosen), cmocka_unit_test(taken_holds_its_rack),
		cmocka_unit_test(fills_evenly),		cmocka_unit_test(same_seed_same_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
