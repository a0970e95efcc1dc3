// SPDX-License-Identifier: GPL-2.0
/* Members that are away: what they cost when they come back, and when they are given up. */
#include "cluster.h"

/* queue pairs that broke while the daemon lives cost no new slab, however often */
static void a_rejoin_costs_no_slab(void **state)
{
	unsigned int i, k, before;

	(void)state;
	cluster_begin(4711);
	cluster_settle();
	before = cluster.n_slabs;
	for (i = 0; i < 20; i++) {
		for (k = 0; k < 64; k++)
			if (cluster.kpeers[k].node == 1 + (int)(i % (cluster.nodes - 1)))
				cluster.kpeers[k].live = false;
		cluster_settle();
		check(cluster.n_slabs == before);
	}
	assert_int_equal(cluster_slabs_there(), EXTENTS * COPIES);
	cluster_end();
}

/* nor do restarts of daemons that hand their slabs on */
static void a_planned_restart_costs_no_slab(void **state)
{
	unsigned int i, before;
	uint64_t done;

	(void)state;
	cluster_begin(4717);
	cluster_settle();
	before = cluster.n_slabs;
	done = device.repair.extents_done;
	for (i = 0; i < 20; i++) {
		cluster_restart_daemon(1 + (int)(i % (cluster.nodes - 1)));
		cluster_settle();
		check(cluster.n_slabs == before);
	}
	assert_int_equal(cluster_slabs_there(), EXTENTS * COPIES);
	assert_int_equal(device.repair.extents_done, done);
	cluster_end();
}

/* all of them at once, for long: the client's own link. Nobody is given up. */
static void flap(void)
{
	unsigned int node, k, before;

	cluster_settle();
	before = cluster.n_slabs;
	for (node = 1; node < cluster.nodes; node++) {
		cluster_break_link((int)node, true);
		cluster.links[node].state = LINK_CONNECTING;
	}
	for (k = 0; k < 64; k++)
		cluster.kpeers[k].live = false;
	for (k = 0; k < 3000; k++) {
		for (node = 1; node < cluster.nodes; node++)
			cluster.links[node].state = LINK_BROKEN;
		cluster.now += 20 * MS;
		if (cluster.n_calls)
			cluster_run_call();
		if (!(k % 50))
			upkeep_poll();
		upkeep_advance();
	}
	cluster_settle();
	assert_int_equal(cluster.n_slabs, before);
	cluster_end();
}

static void a_flap_of_the_clients_link_costs_no_slab(void **state)
{
	(void)state;
	cluster_begin(4712);
	flap();
}

/* donors that were not used do not take the places of those that are away */
static void nor_with_more_donors_than_places(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 1; i <= 8; i++) {
		cluster_begin_large(i);
		flap();
	}
}

/* started again at once, and nothing is read or written that would show that the old one is gone */
static void a_donor_that_begins_anew_is_noticed_in_quiet(void **state)
{
	unsigned int k, e, m;
	int node;

	(void)state;
	cluster_begin(4718);
	cluster_settle();
	node = cluster.slabs[cluster.kextents[0].members[0].slab].node;
	cluster_end_daemon(node);
	for (k = 0; k < 64; k++)
		if (cluster.kpeers[k].there && cluster.kpeers[k].node == node)
			cluster.kpeers[k].live = cluster.kpeers[k].dead = true;
	cluster.donors[node].up = true;
	cluster.donors[node].incarnation = cluster.links[node].incarnation = ++cluster.unique;
	cluster.links[node].state = LINK_READY;
	cluster_pass(0, 60000);
	for (e = 0; e < EXTENTS; e++) {
		check(cluster.kextents[e].n == COPIES);
		for (m = 0; m < COPIES; m++)
			check(cluster.slabs[cluster.kextents[e].members[m].slab].there);
	}
	cluster_settle();
	cluster_end();
}

static void a_slab_that_a_donor_was_set_back_behind_is_replaced(void **state)
{
	unsigned int i;

	(void)state;
	cluster_begin(4719);
	cluster_settle();
	for (i = 0; i < 10; i++) {
		cluster_set_back(1 + (int)(i % (cluster.nodes - 1)));
		cluster_settle();
		check(cluster_slabs_there() == EXTENTS * COPIES);
	}
	cluster_end();
}

static unsigned int named_at(int node)
{
	unsigned int e, m, n = 0;

	for (e = 0; e < cluster.n_kextents; e++)
		for (m = 0; m < cluster.kextents[e].n; m++)
			n += cluster.slabs[cluster.kextents[e].members[m].slab].node == node;
	return n;
}

/* the others are live and miss a page: only the one that is away has it */
static void a_live_member_that_missed_is_no_copy(void **state)
{
	struct kextent *extent = &cluster.kextents[0];
	unsigned int m, before;
	int node;

	(void)state;
	cluster_begin(4713);
	cluster_settle();
	node = cluster.slabs[extent->members[0].slab].node;
	cluster_cut_off(node);
	for (m = 1; m < extent->n; m++) {
		extent->members[m].missed |= 1;
		cluster.slabs[extent->members[m].slab].data[0] = 0xbad;
	}
	before = named_at(node);
	cluster_pass(node, 60000);
	assert_int_equal(named_at(node), before);
	cluster_settle();
	cluster_end();
}

/* given up and not replaced yet, it comes back to what it has */
static void a_lost_member_rejoins_until_it_is_replaced(void **state)
{
	unsigned int before;
	int node;

	(void)state;
	cluster_begin(4714);
	cluster_settle();
	node = cluster.slabs[cluster.kextents[0].members[0].slab].node;
	for (before = 1; before < cluster.nodes; before++)
		cluster.links[before].room = 0;		/* nowhere to replace it */
	before = cluster.n_slabs;
	cluster_cut_off(node);
	cluster_pass(node, 60000);
	assert_int_equal(peer_count(PEER_LOST), 1);
	cluster.links[node].state = LINK_READY;
	cluster_settle();
	assert_int_equal(cluster.n_slabs, before);
	cluster_end();
}

static uint64_t pages_lost(void)
{
	struct repair_progress progress;

	repair_progress(&progress);
	return progress.pages_lost;
}

/* one is away with the only right copy of a page, one is replaced, and one is live and does not know that it has it wrong */
static int leave_one_right_copy(uint64_t s)
{
	struct kextent *extent = &cluster.kextents[0];
	int away;

	cluster_begin(s);
	cluster_settle();
	away = cluster.slabs[extent->members[0].slab].node;
	extent->data[0] = (uint32_t)++cluster.unique;
	cluster.slabs[extent->members[0].slab].data[0] = extent->data[0];
	cluster_cut_off(away);
	cluster_end_daemon(cluster.slabs[extent->members[1].slab].node);
	return away;
}

static void the_member_that_may_have_a_page_is_waited_for(void **state)
{
	struct kextent *extent = &cluster.kextents[0];
	int away = leave_one_right_copy(4715);

	(void)state;
	cluster_pass(away, 60000);
	assert_int_equal(cluster.slabs[extent->members[0].slab].node, away);
	assert_int_equal(pages_lost(), 0);
	extent->members[2].missed |= 1;		/* a load has found it wrong */
	cluster_settle();
	assert_int_equal(pages_lost(), 0);
	cluster_end();
}

static void what_nobody_has_does_not_keep_an_extent_degraded(void **state)
{
	struct kextent *extent = &cluster.kextents[0];
	int away = leave_one_right_copy(4716), gone = cluster.slabs[extent->members[1].slab].node, node;
	unsigned int m;

	(void)state;
	cluster_end_daemon(away);
	for (node = 1; node < cluster.nodes; node++) {
		if (node != away && node != gone)
			continue;
		cluster.donors[node].up = true;
		cluster.donors[node].incarnation = cluster.links[node].incarnation = ++cluster.unique;
		cluster.links[node].state = LINK_READY;
	}
	cluster_pass(0, 120000);
	assert_int_equal(extent->n, COPIES);
	for (m = 0; m < COPIES; m++)
		assert_true(cluster_is_live(extent->members[m].peer));
	assert_int_equal(pages_lost(), 1);
	cluster_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rejoin_costs_no_slab),
		cmocka_unit_test(a_planned_restart_costs_no_slab),
		cmocka_unit_test(a_flap_of_the_clients_link_costs_no_slab),
		cmocka_unit_test(nor_with_more_donors_than_places),
		cmocka_unit_test(a_donor_that_begins_anew_is_noticed_in_quiet),
		cmocka_unit_test(a_slab_that_a_donor_was_set_back_behind_is_replaced),
		cmocka_unit_test(a_live_member_that_missed_is_no_copy),
		cmocka_unit_test(a_lost_member_rejoins_until_it_is_replaced),
		cmocka_unit_test(the_member_that_may_have_a_page_is_waited_for),
		cmocka_unit_test(what_nobody_has_does_not_keep_an_extent_degraded),
	};

	return cmocka_run_group_tests(tests, NULL, cluster_remove_dir);
}
