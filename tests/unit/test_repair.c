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

/* as the extent was changed before its turn came */
static void a_slab_granted_ahead_for_nothing_goes_back(void **state)
{
	unsigned int i, turns, dropped = 0;
	int node;

	(void)state;
	cluster_begin(4801);
	cluster_settle();
	for (i = 0; i < 20; i++) {
		node = cluster.slabs[cluster.kextents[0].members[0].slab].node;
		cluster_cut_off(node);
		for (turns = 0; turns < 3000 && !device.repair.ahead.slab.peer; turns++)
			cluster_pass(node, 20);
		if (device.repair.ahead.slab.peer) {
			device.repair.ahead.generation--;
			dropped++;
		}
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
	}
	assert_true(dropped > 10);
	cluster_end();
}

/* the slab may be there all the same, and the next try may be at another donor */
static void a_grant_whose_answer_is_lost_leaves_no_slab(void **state)
{
	const struct device_peer *target;
	unsigned int i, turns, lost = 0;
	int node;

	(void)state;
	cluster_begin(4802);
	cluster_settle();
	for (i = 0; i < 40; i++) {
		node = cluster.slabs[cluster.kextents[0].members[0].slab].node;
		cluster_cut_off(node);
		for (turns = 0; turns < 3000 && !(device.repair.step == REPAIR_GRANT && device.repair.waiting); turns++)
			cluster_pass(node, 20);
		target = peer_numbered(device.repair.target);
		if (target && device.repair.waiting) {
			cluster_break_link((int)(target->link->node - farswapd.conf.nodes), true);
			upkeep_advance();	/* sees that before it is connected again */
			lost++;
		}
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
	}
	assert_true(lost > 20);
	cluster_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_fails_and_all_is_whole_again),
		cmocka_unit_test(a_slab_granted_ahead_for_nothing_goes_back),
		cmocka_unit_test(a_grant_whose_answer_is_lost_leaves_no_slab),
	};

	return cmocka_run_group_tests(tests, NULL, cluster_remove_dir);
}
