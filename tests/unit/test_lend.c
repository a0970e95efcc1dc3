// SPDX-License-Identifier: GPL-2.0
/* A donor's memory gets short and comes back: what it offers, asks for and revokes, and that it does not flap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "draw.h"
#include "lend.h"

#define SECOND	1000000000ull
#define SLAB	(64ull << 20)
#define MIB	(1ull << 20)

static const struct lend_marks plain = {
	.low = 1024 * MIB, .high = 1536 * MIB, .hard = 512 * MIB, .slab_bytes = SLAB, .cap = 64,
};

/* a host of 8 GiB around it, whose slabs go when they are asked for, after a time */
static struct {
	struct lend lend;
	struct lend_marks marks;
	struct lend_look look;
	struct lend_step step;
	uint64_t local;			/* bytes that others use */
	unsigned int moving_s;		/* that a move takes; 0: owners never do it */
	uint64_t asked_ns[64];		/* of those asked, the oldest first */
	unsigned int revoked;
	unsigned int turns;		/* between offering and not */
	uint64_t turned_ns[100000];
	bool offered;
} host;

static int begin(void **state)
{
	(void)state;
	memset(&host, 0, sizeof(host));
	host.marks = plain;
	host.look.now_ns = 5 * SECOND;
	host.moving_s = 1;
	host.local = 2048 * MIB;
	return 0;
}

static void leave(unsigned int n)
{
	host.look.lent -= n;
	if (n > host.look.asked)
		n = host.look.asked;
	host.look.asked -= n;
	memmove(host.asked_ns, host.asked_ns + n, sizeof(host.asked_ns) - n * sizeof(host.asked_ns[0]));
}

static void owners(void)
{
	unsigned int i;

	host.look.overdue = 0;
	for (i = 0; i < host.look.asked; i++)
		host.look.overdue += host.look.now_ns - host.asked_ns[i] >= LEND_DEADLINE_NS;
	while (host.moving_s && host.look.asked && host.look.now_ns - host.asked_ns[0] >= host.moving_s * SECOND)
		leave(1);
}

/* those that are meant */
static const uint8_t moves[LEND_STATES] = {
	[LEND_OFFERS]	= 1 << LEND_HOLDS | 1 << LEND_REVOKES,
	[LEND_HOLDS]	= 1 << LEND_OFFERS | 1 << LEND_ASKS | 1 << LEND_REVOKES,
	[LEND_ASKS]	= 1 << LEND_HOLDS | 1 << LEND_REVOKES,
	[LEND_REVOKES]	= 1 << LEND_HOLDS | 1 << LEND_ASKS,
};

static void look_after(uint64_t ns)
{
	enum lend_state was;
	uint64_t used;
	unsigned int i;

	host.look.now_ns += ns;
	owners();
	used = host.local + (host.look.lent + host.look.returning) * SLAB;
	host.look.available = used < 8192 * MIB ? 8192 * MIB - used : 0;
	was = host.lend.begun ? host.lend.state : LEND_HOLDS;
	host.step = lend_look(&host.lend, &host.marks, &host.look);
	assert_true(host.lend.state == was || moves[was] & 1 << host.lend.state);
	host.look.pressure = false;
	if ((host.step.offered != 0) != host.offered) {
		host.offered = host.step.offered != 0;
		if (host.turns < 100000)
			host.turned_ns[host.turns] = host.look.now_ns;
		host.turns++;
	}
	assert_true(host.step.ask + host.look.asked <= host.look.lent);
	assert_true(host.step.revoke <= host.look.lent);
	for (i = 0; i < host.step.ask; i++)
		host.asked_ns[host.look.asked++] = host.look.now_ns;
	host.revoked += host.step.revoke;
	leave(host.step.revoke);
}

static void seconds(unsigned int n)
{
	while (n--)
		look_after(SECOND);
}

static void lends_down_to_the_high_mark_and_no_further(void **state)
{
	(void)state;
	look_after(0);
	assert_int_equal(host.lend.state, LEND_OFFERS);		/* at its start it does not wait */
	assert_int_equal(host.step.offered, 64);		/* the cap: 4.5 GiB are free above the mark */
	host.local = 6000 * MIB;
	look_after(SECOND);
	assert_int_equal(host.step.offered, (8192 - 6000 - 1536) / 64);
	host.look.lent = host.step.offered;
	look_after(SECOND);
	assert_int_equal(host.lend.state, LEND_OFFERS);
	assert_int_equal(host.step.offered, host.look.lent);	/* no more */
	host.look.lent = 70;
	host.marks.cap = 80;
	host.local = 1024 * MIB;
	host.look.returning = 5;	/* memory that is not back yet is not lent again */
	look_after(SECOND);
	assert_int_equal(host.step.offered, 80);		/* these and 75 */
	host.look.lent = 0;
	host.look.returning = 1;
	host.marks.cap = 1;
	look_after(SECOND);
	assert_int_equal(host.lend.state, LEND_OFFERS);
	assert_int_equal(host.step.offered, 1);			/* also when that is all there is */
}

static void short_memory_stops_offering_then_asks(void **state)
{
	(void)state;
	host.look.lent = 40;
	look_after(0);
	assert_int_equal(host.lend.state, LEND_OFFERS);
	host.local = 4700 * MIB;		/* 932 MiB left */
	look_after(SECOND / 10);
	assert_int_equal(host.lend.state, LEND_HOLDS);
	assert_int_equal(host.step.offered, 0);
	assert_int_equal(host.step.ask, 0);
	host.local = 4500 * MIB;		/* an accident, over at once */
	look_after(SECOND / 10);
	host.local = 4700 * MIB;
	look_after(SECOND / 10);
	look_after(SECOND * 8 / 10);
	assert_int_equal(host.step.ask, 0);
	look_after(SECOND / 5);
	assert_int_equal(host.lend.state, LEND_ASKS);
	assert_int_equal(host.step.ask, 8);	/* 604 MiB up to the high mark are ten, eight at once */
	assert_int_equal(host.step.revoke, 0);
	seconds(20);
	assert_int_equal(host.look.lent, 30);
	assert_int_equal(host.revoked, 0);
	assert_int_equal(host.lend.state, LEND_HOLDS);
}

static void pressure_asks_at_once_if_memory_is_not_ample(void **state)
{
	(void)state;
	host.look.lent = 40;
	look_after(0);
	host.look.pressure = true;		/* of a control group at its own limit, say */
	seconds(3);
	assert_int_equal(host.lend.state, LEND_HOLDS);
	assert_int_equal(host.look.lent, 40);
	host.local = 4300 * MIB;		/* between the marks */
	seconds(3);
	assert_int_equal(host.lend.state, LEND_HOLDS);
	host.look.pressure = true;
	look_after(SECOND);
	assert_int_equal(host.lend.state, LEND_ASKS);
	assert_int_equal(host.step.ask, 4);
}

static void it_offers_again_only_when_all_was_well_for_long(void **state)
{
	unsigned int i;

	(void)state;
	look_after(0);
	host.local = 7500 * MIB;
	seconds(2);
	host.local = 6800 * MIB;		/* above the low mark, below the high */
	seconds(300);
	assert_int_equal(host.lend.state, LEND_HOLDS);
	host.local = 6000 * MIB;
	for (i = 1; i < 60; i++) {
		look_after(SECOND);
		assert_int_equal(host.step.offered, 0);
	}
	look_after(SECOND);
	assert_int_equal(host.step.offered, (8192 - 6000 - 1536) / 64);
}

static void below_the_hard_mark_it_revokes(void **state)
{
	(void)state;
	host.look.lent = 60;
	host.moving_s = 0;
	look_after(0);
	host.local = 4000 * MIB;		/* 352 MiB left */
	look_after(SECOND / 10);
	assert_int_equal(host.lend.state, LEND_REVOKES);
	assert_int_equal(host.step.revoke, 11);	/* up to the low mark */
	look_after(SECOND / 10);
	assert_int_equal(host.step.revoke, 0);
	assert_int_equal(host.lend.state, LEND_ASKS);	/* the rest in peace */
	/* what is on its way back is not revoked twice */
	host.local += 11 * SLAB;
	host.look.returning = 11;
	host.local -= 11 * SLAB;
	look_after(SECOND / 10);
	assert_int_equal(host.step.revoke, 0);
}

static void owners_that_are_late_lose_the_slab(void **state)
{
	(void)state;
	host.look.lent = 40;
	host.moving_s = 0;
	look_after(0);
	host.local = 4700 * MIB;
	seconds(4);
	assert_int_equal(host.look.asked, 8);
	seconds(27);
	assert_int_equal(host.revoked, 0);
	seconds(3);
	assert_int_equal(host.revoked, 8);
	assert_int_equal(host.look.asked, 2);	/* the rest, with a time of their own */
	seconds(25);
	assert_int_equal(host.revoked, 8);
}

static void one_that_is_drained_asks_for_all_and_revokes_nothing(void **state)
{
	(void)state;
	host.look.lent = 30;
	host.moving_s = 40;			/* later than the deadline */
	look_after(0);
	host.marks.cap = 0;
	seconds(1000);
	assert_int_equal(host.look.lent, 0);
	assert_int_equal(host.revoked, 0);
	assert_int_equal(host.lend.state, LEND_HOLDS);
	assert_int_equal(host.step.offered, 0);
}

static void one_that_pages_out_does_not_lend(void **state)
{
	unsigned int i;

	(void)state;
	host.look.lent = 30;
	look_after(0);
	for (i = 0; i < 60; i++) {
		host.look.pages_out = true;
		look_after(SECOND);
		assert_int_equal(host.step.offered, 0);
	}
	assert_int_equal(host.look.lent, 0);
	assert_int_equal(host.revoked, 0);	/* there is memory */
}

/* two that lend to each other both begin to page out: neither goes on lending */
static void no_circle(void **state)
{
	struct lend a = { 0 }, b = { 0 };
	struct lend_look look = { .now_ns = 5 * SECOND, .available = 4096 * MIB };
	uint32_t by_a = 20, by_b = 20;
	unsigned int i;

	(void)state;
	for (i = 0; i < 60; i++) {
		look.pages_out = i > 2;
		look.lent = by_a;
		by_a -= lend_look(&a, &plain, &look).ask;
		look.lent = by_b;
		by_b -= lend_look(&b, &plain, &look).ask;
		look.now_ns += SECOND;
	}
	assert_int_equal(by_a + by_b, 0);
}

/* in no minute more than two changes of direction, whatever the load does */
static void few_turns(void)
{
	unsigned int i;

	assert_true(host.turns < 100000);
	for (i = 2; i < host.turns; i++)
		assert_true(host.turned_ns[i] - host.turned_ns[i - 2] >= 60 * SECOND);
}

static void it_does_not_flap(void **state)
{
	uint64_t seed = 3;
	unsigned int period, i, all = 0;

	(void)state;
	for (period = 2; period < 400; period += 7) {
		begin(NULL);
		for (i = 0; i < 4000; i++) {
			host.local = i % period < period / 2 ? 7400 * MIB : 4000 * MIB;
			host.local += farswap_draw(&seed) % 64 * MIB;
			host.look.pressure = farswap_draw(&seed) % 100 == 0;
			if (host.step.offered > host.look.lent)
				host.look.lent++;
			look_after(SECOND / (1 + i % 3));
		}
		few_turns();
		all += host.turns;
	}
	assert_true(all > 100);
	/* a step, then nothing: down, up once */
	begin(NULL);
	host.look.lent = 30;
	seconds(10);
	host.local = 7000 * MIB;
	seconds(120);
	host.local = 2000 * MIB;
	seconds(3600);
	assert_int_equal(host.turns, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(lends_down_to_the_high_mark_and_no_further, begin),
		cmocka_unit_test_setup(short_memory_stops_offering_then_asks, begin),
		cmocka_unit_test_setup(pressure_asks_at_once_if_memory_is_not_ample, begin),
		cmocka_unit_test_setup(it_offers_again_only_when_all_was_well_for_long, begin),
		cmocka_unit_test_setup(below_the_hard_mark_it_revokes, begin),
		cmocka_unit_test_setup(owners_that_are_late_lose_the_slab, begin),
		cmocka_unit_test_setup(one_that_is_drained_asks_for_all_and_revokes_nothing, begin),
		cmocka_unit_test_setup(one_that_pages_out_does_not_lend, begin),
		cmocka_unit_test(no_circle),
		cmocka_unit_test_setup(it_does_not_flap, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
