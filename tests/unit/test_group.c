// SPDX-License-Identifier: GPL-2.0
/* Groups: who joins which, who may take more, when a group is short, who lends to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "draw.h"
#include "group.h"

static void nodes_join_the_smallest(void **state)
{
	uint32_t sizes[400] = { 0 };
	uint64_t seed = 1;
	size_t n = 0, i, at;

	(void)state;
	for (i = 0; i < 5000; i++) {	/* as nodes come, groups fill up before new ones begin */
		at = group_join(sizes, n, GROUP_MAX);
		assert_int_equal(at, i / GROUP_MAX);
		sizes[at]++;
		if (at == n)
			n++;
	}
	for (i = 0; i < 100000; i++) {	/* as many leave as come: none is left behind, none is too large */
		do
			at = farswap_draw(&seed) % n;
		while (!sizes[at]);
		sizes[at]--;
		at = group_join(sizes, n, GROUP_MAX);
		assert_true(at < n);
		sizes[at]++;
	}
	for (i = 0; i < n; i++)
		assert_in_range(sizes[i], GROUP_MIN, GROUP_MAX);
}

static void what_is_usual_is_what_was_heard_last(void **state)
{
	struct group_total own = { .offered = 1000, .lent = 700 };
	struct group_known known = { 0 };
	unsigned int i;

	(void)state;
	assert_int_equal(group_usual(&known, &own), 700);	/* nothing is known of others */
	assert_int_equal(group_usual(&known, &(struct group_total) { 0 }), 0);
	for (i = 0; i < 100; i++)
		group_hear(&known, &(struct group_total) { .offered = 4000, .lent = 1200 });
	assert_int_equal(known.n, GROUP_KNOWN);
	assert_int_equal(group_usual(&known, &own), (GROUP_KNOWN * 1200 + 700) / (GROUP_KNOWN * 4 + 1));
	for (i = 0; i < GROUP_KNOWN; i++)			/* what is old is forgotten */
		group_hear(&known, &(struct group_total) { .offered = 1000, .lent = 700 });
	assert_int_equal(group_usual(&known, &own), 700);
}

static void a_member_is_free_up_to_what_is_usual(void **state)
{
	struct placement_node node = { .offered = 1000, .lent = 608 };

	(void)state;
	assert_true(group_free(&node, 600));
	node.lent++;
	assert_true(group_free(&node, 600));	/* with one more it has 610 */
	node.lent++;
	assert_false(group_free(&node, 600));
	assert_true(group_free(&node, 700));
	node.lent = 1000;
	assert_false(group_free(&node, 1000));
	node = (struct placement_node) { .offered = 2 };
	assert_true(group_free(&node, 0));	/* an empty one, however small */
	node.lent = 1;
	assert_false(group_free(&node, 0));
	node = (struct placement_node) { 0 };
	assert_false(group_free(&node, 1000));
}

static void a_group_is_short_when_too_few_are_free(void **state)
{
	struct placement_node nodes[GROUP_MAX] = { { 0 } };
	unsigned int i, barred = 0;

	(void)state;
	for (i = 0; i < GROUP_MAX; i++) {
		nodes[i].offered = 100;
		nodes[i].lent = i < GROUP_ENOUGH ? 30 : 60;
	}
	assert_true(group_bar(nodes, GROUP_MAX, 500));
	for (i = 0; i < GROUP_MAX; i++)
		assert_int_equal(nodes[i].barred, i >= GROUP_ENOUGH);
	for (i = 0; i < GROUP_MAX; i++)
		nodes[i].barred = false;
	nodes[0].lent = 60;
	assert_false(group_bar(nodes, GROUP_MAX, 500));
	for (i = 0; i < GROUP_MAX; i++)
		barred += nodes[i].barred;
	assert_int_equal(barred, 0);	/* better a full donor than none */
}

static void the_freer_of_two_groups_lends(void **state)
{
	struct group_total half = { 100, 50 }, large = { 1000, 600 }, full = { 100, 100 }, none = { 0 };

	(void)state;
	assert_int_equal(group_freer(&half, &large), 0);
	assert_int_equal(group_freer(&large, &half), 1);
	assert_int_equal(group_freer(&full, &large), 1);
	assert_int_equal(group_freer(&large, &none), 0);
	assert_int_equal(group_freer(&full, &none), -1);
}

static void candidates_have_room_and_differ(void **state)
{
	static const char * const racks[] = { "a", "b", "c", "d", "e" };
	struct placement_node nodes[GROUP_MAX];
	struct group_total total;
	int out[GROUP_BORROWED];
	uint64_t seed = 3;
	unsigned int i, k, n, round;

	(void)state;
	for (round = 0; round < 1000; round++) {
		memset(nodes, 0, sizeof(nodes));
		for (i = 0; i < GROUP_MAX; i++) {
			nodes[i].offered = i % 4 ? 100 : 0;
			nodes[i].lent = i % 4 == 1 ? 90 : 10;
			if (round % 2)
				nodes[i].rack = racks[i % 5];
		}
		n = group_candidates(nodes, GROUP_MAX, 500, &seed, out);
		assert_int_equal(n, round % 2 ? 5 : GROUP_BORROWED);
		for (i = 0; i < n; i++) {
			assert_int_equal(nodes[out[i]].lent, 10);
			assert_int_equal(nodes[out[i]].offered, 100);
			for (k = 0; k < i; k++)
				assert_int_not_equal(out[i], out[k]);
		}
	}
	total = group_total(nodes, GROUP_MAX);
	assert_int_equal(total.offered, 2400);
	assert_int_equal(total.lent, 8 * 90 + 16 * 10);	/* what one that lends no more has lent is not in it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_join_the_smallest),
		cmocka_unit_test(what_is_usual_is_what_was_heard_last),
		cmocka_unit_test(a_member_is_free_up_to_what_is_usual),
		cmocka_unit_test(a_group_is_short_when_too_few_are_free),
		cmocka_unit_test(the_freer_of_two_groups_lends),
		cmocka_unit_test(candidates_have_room_and_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
