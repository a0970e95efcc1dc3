// SPDX-License-Identifier: GPL-2.0
/*
 * sim [--short] [DIRECTORY]: placement, eviction and rebalancing as the daemon decides them, in clusters that exist nowhere else. Tells what it
 * does, a table, and a line for machines; exits 1 if a number misses its bound. DIRECTORY gets what bench/use.awk draws.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "evict.h"
#include "placement.h"
#include "sim.h"

static const struct size {
	unsigned int nodes, cluster_seeds, even_seeds, zipf_seeds;
} whole = { 10000, 30, 30, 30 }, brief = { 1000, 2, 30, 3 };

static time_t began;
static bool all_met = true;

static void step(const char *what)
{
	printf("[%3ld s] %s\n", (long)(time(NULL) - began), what);
	fflush(stdout);
}

static void number(const char *name, double value, double most, const char *what)
{
	bool met = value <= most;

	printf("  %-24s %10.4g  at most %-5.4g %s  %s\n", name, value, most, met ? "yes" : "NO ", what);
	all_met &= met;
}

static void told(const char *name, double value, const char *what)
{
	printf("  %-24s %10.4g                    %s\n", name, value, what);
}

/* the default's with donors of 1:4 */
static struct sim_even even(unsigned int seeds, const char *directory)
{
	struct sim_even equal, uneven, def = { 0 };
	char path[4096];
	FILE *picture = NULL;
	int policy;

	if (directory) {
		snprintf(path, sizeof(path), "%s/use", directory);
		picture = fopen(path, "w");
		if (!picture) {
			perror(path);
			exit(1);
		}
	}
	printf("  %-24s %-16s %s\n", "max/mean use, by policy", "equal donors", "donors of 1:4   (mean, worst seed)");
	for (policy = 0; policy < PLACEMENT_POLICIES; policy++) {
		equal = even_run(policy, true, seeds, NULL);
		uneven = even_run(policy, false, seeds, picture);
		printf("  %-24s %.3f, %.3f     %.3f, %.3f\n", placement_name((enum placement_policy)policy), equal.mean, equal.worst,
		       uneven.mean, uneven.worst);
		uneven.same_host += equal.same_host;
		if (policy == PLACEMENT_POWER_OF_TWO)
			def = uneven;
	}
	if (picture && fclose(picture)) {
		perror(path);
		exit(1);
	}
	return def;
}

static double zipf(unsigned int seeds)
{
	double ratio = 1;
	unsigned int extra;

	printf("  %-24s %s\n", "evicted/random, by E'", "1, 4, 16 slabs an owner");
	for (extra = 1; extra <= 8; extra *= 2) {
		double one = zipf_run(extra, 1, seeds);

		printf("  %-24u %.3f, %.3f, %.3f\n", extra, one, zipf_run(extra, 4, seeds), zipf_run(extra, 16, seeds));
		if (extra == EVICT_EXTRA)
			ratio = one;
	}
	return ratio;
}

/* of all seeds: the worst of what is bounded, the mean of the rest */
static void add(struct sim_cluster *all, const struct sim_cluster *one, unsigned int seeds)
{
#define WORST(what)	(all->what = one->what > all->what ? one->what : all->what)
#define MEAN(what)	(all->what += one->what / seeds)
#define SUM(what)	(all->what += one->what)
	WORST(filled);
	WORST(settled);
	WORST(churned_worst);
	MEAN(churned_mean);
	MEAN(spread);
	MEAN(use);
	MEAN(leader_msgs);
	MEAN(peers_mean);
	WORST(peers_most);
	WORST(group_most);
	if (!all->group_least || one->group_least < all->group_least)
		all->group_least = one->group_least;
	SUM(same_host);
	SUM(same_rack);
	SUM(degraded);
	SUM(lost);
	SUM(unplaced);
	SUM(placed);
	SUM(repaired);
	SUM(evicted);
	SUM(revoked);
	SUM(balanced);
	SUM(unmoved);
#undef WORST
#undef MEAN
#undef SUM
}

static struct sim_cluster cluster(unsigned int nodes, unsigned int seeds)
{
	struct sim_cluster all = { 0 }, one;
	unsigned int seed;

	for (seed = 1; seed <= seeds; seed++) {
		one = cluster_run(nodes, seed, false);
		printf("[%3ld s]   seed %2u: max/mean use %.3f filled, %.3f in churn, %.3f after it; %llu placed, %llu repaired, %llu evicted, %llu moved\n",
		       (long)(time(NULL) - began), seed, one.filled, one.churned_mean, one.settled, (unsigned long long)one.placed,
		       (unsigned long long)one.repaired, (unsigned long long)one.evicted, (unsigned long long)one.balanced);
		fflush(stdout);
		add(&all, &one, seeds);
	}
	return all;
}

int main(int argc, char **argv)
{
	const struct size *size = argc > 1 && !strcmp(argv[1], "--short") ? &brief : &whole;
	const char *directory = argc > 1 + (size == &brief) ? argv[argc - 1] : NULL;
	struct sim_cluster small = { 0 }, all, apart;
	struct sim_even placed;
	uint64_t same_host;
	double ratio, worst;

	began = time(NULL);
	step("2,048 extents of three copies on 64 donors, by each policy");
	placed = even(size->even_seeds, directory);
	step("a donor takes 4 of 64 slabs back, activity by Zipf(1)");
	ratio = zipf(size->zipf_seeds);
	step("an hour of nodes in groups of 8 to 32: clients fill up, nodes fail, leave, join and get short of memory");
	if (size == &whole) {
		small = cluster(brief.nodes, size->cluster_seeds);
		step("ten times as many");
	}
	all = cluster(size->nodes, size->cluster_seeds);
	step("the same for one seed, groups that ask others only when they are full");
	apart = cluster_run(size->nodes, 1, true);

	same_host = all.same_host + small.same_host + placed.same_host;
	worst = all.filled > all.settled ? all.filled : all.settled;
	step("done\n");
	number("max_mean_64", placed.worst, 1.05, "64 donors of 1:4, power of two, the worst seed: max/mean use");
	if (size == &whole)
		number("max_mean_1000", small.filled > small.settled ? small.filled : small.settled, 1.05,
		       "1,000 nodes, the worse of the two that follow");
	number("max_mean_filled", all.filled, 1.05, "nodes in groups, when all clients have what they want, the worst seed");
	number("max_mean_settled", all.settled, 1.05, "the same a quarter of an hour after the churn");
	told("max_mean_churn", all.churned_mean, "the same in the churn, each minute, the mean");
	told("max_mean_churn_worst", all.churned_worst, "and the worst minute of the worst seed");
	told("max_mean_apart", apart.settled, "with groups that ask others only when they are full, after the churn");
	told("spread_settled", all.spread, "(max - min)/mean use after the churn: nodes that came last still fill up");
	told("use", all.use, "lent over offered");
	number("same_host_sets", (double)same_host, 0, "sets with two members on a host");
	number("same_rack_sets", (double)(all.same_rack + small.same_rack), 0, "or in a rack");
	number("degraded_sets", (double)(all.degraded + small.degraded), 0, "sets that are not whole at the end");
	told("lost_sets", (double)all.lost, "sets that lost all members within the time of a repair");
	number("evicted_activity", ratio, 0.35, "of what 4 at random have; E' = 4, each slab of another owner");
	told("placed", (double)all.placed, "extents, all seeds");
	told("not_placed", (double)all.unplaced, "and tries that found no three donors, tried again");
	told("repaired", (double)all.repaired, "members that were lost, made anew");
	told("evicted", (double)all.evicted, "slabs that were moved because a donor asked");
	told("revoked", (double)all.revoked, "and that it did not wait for");
	told("moved", (double)all.balanced, "slabs that were moved to even out");
	told("not_moved", (double)all.unmoved, "and that no owner could move there");
	told("peers_mean", all.peers_mean, "donors of a client, mean");
	told("peers_most", all.peers_most, "and most");
	told("group_least", all.group_least, "nodes of a group");
	told("group_most", all.group_most, "");
	printf("sim: nodes=%u max_mean=%.3f same_host_sets=%llu evicted_activity_ratio=%.3f leader_msgs_per_node_s=%.3f\n", size->nodes,
	       worst, (unsigned long long)same_host, ratio, all.leader_msgs);
	return !all_met;
}
