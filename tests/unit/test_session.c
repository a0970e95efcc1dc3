// SPDX-License-Identifier: GPL-2.0
/* When a donor ends a client's session, and when it does not: no timer but the lease's may take what may be the only good copy. */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "donor_world.h"
#include "session.h"

static struct donor_conn *const conn = (struct donor_conn *)&now;	/* only compared */
static const uint8_t boot_id[16] = { 1 }, other_boot_id[16] = { 2 };

static uint64_t begin(unsigned int slabs)
{
	struct session *session = session_open(conn, "client", boot_id);
	uint64_t number = session->number;

	zeroed = 0;
	while (slabs--)
		assert_non_null(session_grant(session, slabs, 1, 4096));
	return number;
}

static void a_client_that_is_cut_off_finds_its_slabs_again(void **state)
{
	uint64_t number = begin(2);

	(void)state;
	session_conn_gone(conn);
	hours_pass();
	assert_non_null(session_find(number, "client"));
	assert_int_equal(n_slabs, 2);
	session_client_booted("client", boot_id);	/* greets again, the same */
	hours_pass();
	assert_int_equal(session_find(number, "client")->n_slabs, 2);
	session_close(session_find(number, "client"), "the test ends");
	hours_pass();
}

static void its_slabs_are_told_in_order(void **state)
{
	struct session *session = session_find(begin(3), "client");
	uint64_t last = 0, next;
	unsigned int n = 0;

	(void)state;
	while ((next = session_slab_after(session, last))) {
		assert_true(next > last);
		assert_non_null(session_slab(session, next));
		last = next;
		n++;
	}
	assert_int_equal(n, 3);
	session_close(session, "the test ends");
	hours_pass();
}

static void close_ends_it_while_the_client_is_away(void **state)
{
	uint64_t number = begin(2);

	(void)state;
	session_conn_gone(conn);
	session_close(session_find(number, "client"), "asked by the client");
	assert_null(session_find(number, "client"));
	hours_pass();
	assert_int_equal(zeroed, 2);
	assert_null(session_next(NULL));
}

static void another_boot_id_ends_it(void **state)
{
	uint64_t number = begin(2);

	(void)state;
	session_conn_gone(conn);
	session_client_booted("another", other_boot_id);
	assert_non_null(session_find(number, "client"));
	session_client_booted("client", other_boot_id);
	hours_pass();
	assert_int_equal(zeroed, 2);
	assert_null(session_next(NULL));
}

static void the_donors_end_ends_it(void **state)
{
	(void)state;
	begin(2);
	session_conn_gone(conn);
	session_close_all("farswapd ends");
	assert_int_equal(zeroed, 2);
	assert_null(session_next(NULL));
}

static void one_without_slabs_goes_with_its_connections(void **state)
{
	uint64_t number = begin(0);

	(void)state;
	session_find(number, "client")->n_queues = 1;
	session_conn_gone(conn);
	assert_non_null(session_find(number, "client"));
	session_find(number, "client")->n_queues = 0;
	session_check_alive(session_find(number, "client"));
	hours_pass();
	assert_null(session_next(NULL));
}

static void its_lease_ends_it_whatever_its_daemon_says(void **state)
{
	uint64_t number;
	unsigned int i;

	(void)state;
	session_init(8000000000ull);
	number = begin(2);
	session_conn_gone(conn);		/* the client's daemon is dead: its kernel goes on */
	for (i = 1; i < 10; i++) {
		renew(i);
		pass(7);
	}
	assert_int_equal(session_find(number, "client")->n_slabs, 2);
	session_find(number, "client")->conn = conn;	/* and the other way round */
	pass(8);
	assert_null(session_find(number, "client"));
	assert_int_equal(words, 0);
	hours_pass();
	assert_int_equal(zeroed, 2);
	assert_null(session_next(NULL));
	session_init(0);
}

static void a_client_that_rejoins_has_its_lease_anew(void **state)
{
	uint64_t number;

	(void)state;
	session_init(8000000000ull);
	number = begin(1);
	pass(7);
	session_rejoin(session_find(number, "client"));
	pass(7);
	renew(3);
	pass(7);
	assert_non_null(session_find(number, "client"));
	renew(2);				/* an older state of it */
	pass(1);
	assert_null(session_find(number, "client"));
	hours_pass();
	session_init(0);
}

static void another_client_does_not_have_it(void **state)
{
	uint64_t number = begin(1);

	(void)state;
	assert_non_null(session_find(number, "client"));
	assert_null(session_find(number, "another"));
	session_close(session_find(number, "client"), "the test ends");
	hours_pass();
}

static void what_could_reach_its_slabs_goes_before_them(void **state)
{
	struct session *session = session_find(begin(3), "client");

	(void)state;
	connect_queue(session);
	connect_queue(session);
	revoked_early = 0;
	session_close(session, "the test ends");
	assert_int_equal(n_queues, 0);
	assert_int_equal(revoked_early, 0);
	assert_int_equal(zeroed, 0);
	hours_pass();
	assert_int_equal(zeroed, 3);
}

static void a_region_that_stays_keeps_its_memory(void **state)
{
	struct session *session = session_find(begin(2), "client");
	struct slab *slab = session->slabs;

	(void)state;
	stuck = true;
	assert_int_equal(session_release(session, slab), -EBUSY);
	assert_ptr_equal(session_slab(session, slab->number), slab);
	stuck = false;
	assert_int_equal(session_release(session, slab), 0);
	assert_int_equal(zeroed, 1);
	slab = session->slabs;
	stuck = true;
	session_close(session, "the test ends");
	hours_pass();
	assert_int_equal(zeroed, 1);	/* out of use until the daemon ends */
	stuck = false;
	n_slabs--;
	free(slab);
}

static void a_token_opens_one_queue_pair_in_its_time(void **state)
{
	uint8_t token[FARSWAP_TOKEN_BYTES], late[FARSWAP_TOKEN_BYTES], wrong[FARSWAP_TOKEN_BYTES];
	struct session *session = session_find(begin(0), "client");
	uint64_t other = begin(0);

	(void)state;
	now += 1000000000;	/* 0 is no token's time */
	assert_int_equal(session_new_token(session, token), 0);
	memcpy(wrong, token, sizeof(wrong));
	wrong[15] ^= 1;
	assert_null(session_take_token(session->number, wrong));
	assert_null(session_take_token(other, token));
	assert_ptr_equal(session_take_token(session->number, token), session);
	assert_null(session_take_token(session->number, token));
	assert_int_equal(session_new_token(session, late), 0);
	now += 61000000000ull;
	assert_null(session_take_token(session->number, late));
	session_close(session, "the test ends");
	session_close(session_find(other, "client"), "the test ends");
	hours_pass();
}

static void a_rejoin_ends_what_was_there_before(void **state)
{
	struct session *session = session_find(begin(1), "client");
	uint8_t token[FARSWAP_TOKEN_BYTES];

	(void)state;
	connect_queue(session);
	assert_int_equal(session_new_token(session, token), 0);
	session_rejoin(session);
	assert_int_equal(n_queues, 0);
	assert_null(session_take_token(session->number, token));
	assert_int_equal(session->n_slabs, 1);
	session_close(session, "the test ends");
	hours_pass();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_that_is_cut_off_finds_its_slabs_again),
		cmocka_unit_test(its_slabs_are_told_in_order),
		cmocka_unit_test(close_ends_it_while_the_client_is_away),
		cmocka_unit_test(another_boot_id_ends_it),
		cmocka_unit_test(the_donors_end_ends_it),
		cmocka_unit_test(one_without_slabs_goes_with_its_connections),
		cmocka_unit_test(its_lease_ends_it_whatever_its_daemon_says),
		cmocka_unit_test(a_client_that_rejoins_has_its_lease_anew),
		cmocka_unit_test(another_client_does_not_have_it),
		cmocka_unit_test(what_could_reach_its_slabs_goes_before_them),
		cmocka_unit_test(a_region_that_stays_keeps_its_memory),
		cmocka_unit_test(a_token_opens_one_queue_pair_in_its_time),
		cmocka_unit_test(a_rejoin_ends_what_was_there_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
