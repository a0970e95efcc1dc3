// SPDX-License-Identifier: GPL-2.0
/*
 * The manager while everything fails at random (cluster.h); when all is well again for a while, every extent is whole, its copies
 * are right, and no slab is held for nothing. ROUNDS: how many runs; FIRST: from which on.
 */
#include "cluster.h"
#include "evict.h"

static void everything_fails_and_all_is_whole_again(void **state)
{
	unsigned int rounds = getenv("ROUNDS") ? (unsigned int)atoi(getenv("ROUNDS")) : 25;
	unsigned int first = getenv("FIRST") ? (unsigned int)atoi(getenv("FIRST")) : 1, i, round;
	uint64_t repaired = 0, moved = 0, dropped = 0;

	(void)state;
	for (round = first; round <= rounds; round++) {
		cluster_begin(round);
		farswapd.conf.rebalance = true;
		cluster.hurry = true;
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
		for (i = 0; i < 4; i++) {
			unsigned int turns;

			cluster.faults = true;
			for (turns = 0; turns < 5000; turns++)
				cluster_turn();
			cluster_settle();
			repaired += device.repair.extents_done;
			moved += device.repair.moves_done;
			dropped += device.repair.drops_done;
		}
		/* also what a daemon was granted and did not live to hear of, or to give back, is found */
		check(cluster_slabs_there() == EXTENTS * COPIES);
		cluster_end();
	}
	rounds -= first - 1;
	printf("%u rounds, %llu copies replaced, %llu moved, %llu given up before there was another\n", rounds, (unsigned long long)repaired,
	       (unsigned long long)moved, (unsigned long long)dropped);
	assert_true(repaired > rounds && moved > rounds && dropped > rounds / 2);
}

/* none has lost a copy */
static void check_sets(void)
{
	unsigned int e, m, live;

	for (e = 0; e < cluster.n_kextents; e++) {
		for (m = live = 0; m < cluster.kextents[e].n; m++)
			live += cluster_is_live(cluster.kextents[e].members[m].peer) && cluster.slabs[cluster.kextents[e].members[m].slab].there;
		check(live == COPIES);
	}
}

/* nothing fails meanwhile: no set has fewer live copies at any time, and the donor holds nothing in the end */
static void a_drained_donor_is_emptied_and_no_set_is_degraded(void **state)
{
	unsigned int held = 0;
	int node;

	(void)state;
	cluster_begin(4803);
	cluster_settle();
	for (node = 1; node < cluster.nodes; node++) {
		held += cluster_slabs_at(node);
		cluster_drain(node, true);
		while (cluster_slabs_at(node)) {
			cluster_turn();
			check_sets();
			check(cluster.now < 100000000 * MS);
		}
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
		cluster_drain(node, false);
	}
	assert_true(held > EXTENTS * COPIES / 2);
	cluster_end();
}

static void turn_for(unsigned int seconds)
{
	uint64_t end = cluster.now + seconds * 1000 * MS;

	while (cluster.now < end)
		cluster_turn();
}

/* the owner is told which; it moves these, and no set is degraded by that */
static void what_a_donor_asks_back_is_moved(void **state)
{
	unsigned int s, asked = 0;
	int node;

	(void)state;
	cluster_begin(4806);
	cluster_settle();
	for (node = 1; node < cluster.nodes; node++) {
		uint64_t moved = device.repair.moves_done;

		cluster_short(node, true);
		while (device.repair.moves_done - moved < 2) {
			cluster_turn();
			check_sets();
			check(cluster.now < 100000000 * MS);
		}
		for (s = 0; s < cluster.n_slabs; s++)
			asked += cluster.slabs[s].asked && !cluster.slabs[s].there;
		cluster_short(node, false);
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
	}
	assert_true(asked > 0);
	cluster_end();
}

/* and nobody else has room: each set gives up one member at most, and is whole again when there is room */
static void what_a_donor_cannot_wait_for_leaves_its_set(void **state)
{
	unsigned int e, before;
	int node;

	(void)state;
	cluster_begin(4808);
	cluster_settle();
	before = cluster_slabs_there();
	cluster.hurry = true;
	for (node = 1; node < cluster.nodes; node++)
		cluster_short(node, true);
	turn_for(60);
	assert_int_equal(device.repair.drops_done, EXTENTS);
	assert_int_equal(cluster_slabs_there(), before - EXTENTS);
	for (e = 0; e < cluster.n_kextents; e++)
		check(cluster.kextents[e].n == COPIES - 1);
	for (node = 1; node < cluster.nodes; node++)
		cluster_short(node, false);
	cluster_settle();
	assert_int_equal(device.repair.drops_done, EXTENTS);
	check(cluster_slabs_there() == EXTENTS * COPIES);
	cluster_end();
}

/* the kernel counts; the table is read anew all the time, and after a restart of the daemon */
static void activity_is_what_an_extent_is_used_in_a_period(void **state)
{
	uint64_t end;
	size_t i;

	(void)state;
	cluster_begin(4807);
	cluster_settle();
	for (end = cluster.now + 400000 * MS; cluster.now < end; cluster_turn())
		device.stale |= !cluster_draw(20);
	for (i = 0; i < device.table.n; i++)	/* a store in ten turns of 15 ms */
		assert_in_range(device.table.extents[i].activity >> EVICT_ACTIVITY_SHIFT, 45, 90);
	cluster_end();
}

static unsigned int most_at_one(unsigned int *least)
{
	unsigned int most = 0;
	int node;

	*least = SLABS;
	for (node = 1; node < cluster.nodes; node++) {
		unsigned int n = cluster_slabs_at(node);

		most = n > most ? n : most;
		*least = n < *least ? n : *least;
	}
	return most;
}

/* three full donors and two empty ones; copies moved so far */
static uint64_t begin_uneven(unsigned int seed)
{
	cluster_begin(seed);
	farswapd.conf.rebalance = true;
	cluster_drain(4, true);
	cluster_drain(5, true);
	cluster_settle();
	assert_int_equal(cluster_slabs_at(4) + cluster_slabs_at(5), 0);
	cluster_drain(4, false);
	cluster_drain(5, false);
	return device.repair.moves_done;
}

/* use evens out, and stays */
static void evens_out_and_stays(unsigned int seed)
{
	uint64_t moved = begin_uneven(seed);
	unsigned int least;

	turn_for(300);
	assert_true(most_at_one(&least) <= least + 1);
	moved = device.repair.moves_done - moved;
	printf("%llu of %u copies moved: %u to %u at each donor\n", (unsigned long long)moved, EXTENTS * COPIES, least, most_at_one(&least));
	assert_int_equal(moved, 6);	/* as many as must */
	turn_for(3600);
	assert_int_equal(device.repair.moves_done, moved);
	check(cluster_slabs_there() == EXTENTS * COPIES);
	/* and again when one was lost and comes back empty */
	cluster_end_daemon(5);
	cluster_settle();
	turn_for(400);
	assert_true(most_at_one(&least) <= least + 1);
	check(cluster_slabs_there() == EXTENTS * COPIES);
	cluster_end();
}

static void use_evens_out_and_stays(void **state)
{
	unsigned int seed;

	(void)state;
	for (seed = 4805; seed < 4805 + 3; seed++)
		evens_out_and_stays(seed);
}

/* a donor that has all that this client may have there would refuse again and again */
static void what_a_quota_leaves_is_not_moved_to(void **state)
{
	uint64_t moved = begin_uneven(4805);

	(void)state;
	farswapd.conf.nodes[0].quota.slabs = 2;
	turn_for(3600);
	assert_int_equal(device.repair.moves_done, moved + 4);
	assert_int_equal(cluster_slabs_at(4), 2);
	assert_int_equal(cluster_slabs_at(5), 2);
	farswapd.conf.nodes[0].quota.slabs = 0;
	cluster_end();
}

#define ANY	UINT64_MAX

/* that is at that step with that extent; NULL: none */
static const struct repair_job *job_at(enum repair_step step, uint64_t extent)
{
	const struct repair_job *job;

	for (job = device.repair.jobs; job < device.repair.jobs + REPAIR_JOBS; job++)
		if (job->step == step && (extent == ANY || job->extent == extent))
			return job;
	return NULL;
}

/* the set would have fewer copies than before: the one that was to leave is still good */
static void a_copy_stays_when_another_is_lost_while_it_moves(void **state)
{
	const struct repair_job *job = NULL;
	unsigned int i, turns, lost = 0;
	int node, other;

	(void)state;
	cluster_begin(4804);
	cluster_settle();
	for (i = 0; i < 20; i++) {
		node = cluster.slabs[cluster.kextents[0].members[0].slab].node;
		other = cluster.slabs[cluster.kextents[0].members[1].slab].node;
		cluster_drain(node, true);
		for (turns = 0; turns < 3000 && !(job = job_at(REPAIR_PUSH, cluster.kextents[0].number)); turns++)
			cluster_turn();
		if (job && job->leaver) {
			cluster_end_daemon(other);
			cluster_begin_daemon(other);
			lost++;
		}
		for (turns = 0; turns < 300; turns++)
			cluster_turn();		/* each EXTENT_SET is looked at */
		cluster_drain(node, false);
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
	}
	assert_true(lost > 10);
	cluster_end();
}

/* while the copy of one extent is pushed, another one is sealed, and one before is checked and set; what is pushed has the wires to itself */
static void two_extents_are_at_work_and_one_is_pushed(void **state)
{
	unsigned int i, turns, both = 0, held = 0, pushing;
	const struct repair_job *jobs = device.repair.jobs;
	int node;

	(void)state;
	cluster_begin(4801);
	cluster_settle();
	for (i = 0; i < 20; i++) {
		node = cluster.slabs[cluster.kextents[i % EXTENTS].members[0].slab].node;
		cluster_drain(node, true);
		for (turns = 0; turns < 3000 && cluster_slabs_at(node); turns++) {
			cluster_turn();
			pushing = (jobs[0].step == REPAIR_PUSH && jobs[0].waiting) + (jobs[1].step == REPAIR_PUSH && jobs[1].waiting);
			check(pushing <= 1);
			held += jobs[0].step == REPAIR_PUSH && jobs[1].step == REPAIR_PUSH;
			both += jobs[0].step > REPAIR_SEAL && jobs[1].step > REPAIR_SEAL;
		}
		cluster_drain(node, false);
		cluster_settle();
	}
	assert_true(both > 100 && held > 20);
	cluster_end();
}

/* the slab may be there all the same, and the next try may be at another donor */
static void a_grant_whose_answer_is_lost_leaves_no_slab(void **state)
{
	const struct device_peer *target;
	const struct repair_job *job = NULL;
	unsigned int i, turns, lost = 0;
	int node;

	(void)state;
	cluster_begin(4802);
	cluster_settle();
	for (i = 0; i < 40; i++) {
		node = cluster.slabs[cluster.kextents[0].members[0].slab].node;
		cluster_cut_off(node);
		for (turns = 0; turns < 3000 && (!(job = job_at(REPAIR_GRANT, ANY)) || !job->waiting); turns++)
			cluster_pass(node, 20);
		target = job ? peer_numbered(job->target) : NULL;
		if (target && job->waiting) {
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
		cmocka_unit_test(a_drained_donor_is_emptied_and_no_set_is_degraded),
		cmocka_unit_test(what_a_donor_asks_back_is_moved),
		cmocka_unit_test(what_a_donor_cannot_wait_for_leaves_its_set),
		cmocka_unit_test(activity_is_what_an_extent_is_used_in_a_period),
		cmocka_unit_test(use_evens_out_and_stays),
		cmocka_unit_test(what_a_quota_leaves_is_not_moved_to),
		cmocka_unit_test(a_copy_stays_when_another_is_lost_while_it_moves),
		cmocka_unit_test(two_extents_are_at_work_and_one_is_pushed),
		cmocka_unit_test(a_grant_whose_answer_is_lost_leaves_no_slab),
	};

	return cmocka_run_group_tests(tests, NULL, cluster_remove_dir);
}
