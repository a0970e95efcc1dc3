// SPDX-License-Identifier: GPL-2.0
/*
 * The manager while everything fails at random (cluster.h); when all is well again for a while, every extent is whole, its copies
 * are right, and no slab is held for nothing. ROUNDS: how many runs.
 */
#include "cluster.h"

static void everything_fails_and_all_is_whole_again(void **state)
{
	unsigned int rounds = getenv("ROUNDS") ? (unsigned int)atoi(getenv("ROUNDS")) : 25, i, round;
	uint64_t repaired = 0;

	(void)state;
	for (round = 1; round <= rounds; round++) {
		cluster_begin(round);
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
		for (i = 0; i < 4; i++) {
			unsigned int turns;

			cluster.faults = true;
			for (turns = 0; turns < 5000; turns++)
				cluster_turn();
			cluster_settle();
			repaired += device.repair.extents_done;
		}
		/* also what a daemon was granted and did not live to hear of, or to give back, is found */
		check(cluster_slabs_there() == EXTENTS * COPIES);
		cluster_end();
	}
	printf("%u rounds, %llu copies replaced\n", rounds, (unsigned long long)repaired);
	assert_true(repaired > rounds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_fails_and_all_is_whole_again),
	};

	return cmocka_run_group_tests(tests, NULL, cluster_remove_dir);
}
