// SPDX-License-Identifier: GPL-2.0
/* What one client may have at a donor, whatever it does: over all its sessions and connections, and never at another client's cost. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "donor.h"
#include "donor_world.h"
#include "farswapd.h"
#include "quota.h"

#define SECOND	1000000000ull

static struct farswap_quota *const quota = &farswapd.conf.quota;

static void add_node(const char *name)
{
	struct farswap_node *node = &farswapd.conf.nodes[farswapd.conf.n_nodes++];

	*node = (struct farswap_node) { .lend = 100, .quota = { FARSWAP_NOT_SAID, FARSWAP_NOT_SAID, FARSWAP_NOT_SAID } };
	strcpy(node->name, name);
}

static int begin(void **state)
{
	(void)state;
	memset(&farswapd.conf, 0, sizeof(farswapd.conf));
	add_node("donor");
	add_node("a");
	add_node("b");
	farswapd.self = &farswapd.conf.nodes[0];
	farswapd.conf.slab_bytes = 2 << 20;
	now += 10 * SECOND;	/* whatever a test before has asked is paid for */
	n_pushes = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	session_close_all("the test ends");
	hours_pass();
	assert_int_equal(n_slabs, 0);
	return 0;
}

/* session 0: a new one; its number */
static uint64_t open_session(struct chan *chan, uint64_t session)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_OPEN, 2);
	msg.session.session = htole64(session);
	assert_int_equal(tell(chan, &msg), FARSWAP_MSG_OPENED);
	return le64toh(answer.session.session);
}

static unsigned int grant(struct chan *chan, uint64_t session, uint64_t extent)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_GRANT, 3);
	msg.grant.session = htole64(session);
	msg.grant.extent = htole64(extent);
	msg.grant.generation = htole32(1);
	return tell(chan, &msg);
}

static unsigned int ask_token(struct chan *chan, uint64_t session)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_TOKEN, 4);
	msg.token.session = htole64(session);
	return tell(chan, &msg);
}

static void assert_refused(unsigned int code, uint64_t number)
{
	assert_int_equal(le16toh(answer.head.type), FARSWAP_MSG_REJECT);
	assert_int_equal(le16toh(answer.reject.code), code);
	assert_int_equal(le64toh(answer.reject.number), number);
}

static void slabs_count_over_all_sessions_of_a_client(void **state)
{
	struct chan *a = connect_client("a"), *other = connect_client("a"), *b = connect_client("b");
	uint64_t one = open_session(a, 0), two = open_session(other, 0), of_b = open_session(b, 0);

	(void)state;
	quota->slabs = 3;
	assert_int_equal(grant(a, one, 1), FARSWAP_MSG_GRANTED);
	assert_int_equal(grant(a, one, 2), FARSWAP_MSG_GRANTED);
	assert_int_equal(grant(other, two, 1), FARSWAP_MSG_GRANTED);
	grant(other, two, 2);
	assert_refused(FARSWAP_REJECT_SLAB_QUOTA, 3);
	grant(a, one, 3);
	assert_refused(FARSWAP_REJECT_SLAB_QUOTA, 3);
	assert_int_equal(grant(a, one, 2), FARSWAP_MSG_GRANTED);	/* its answer was lost: it is granted already */
	assert_int_equal(n_slabs, 3);
	assert_int_equal(grant(b, of_b, 1), FARSWAP_MSG_GRANTED);
	hang_up(a);
	hang_up(other);
	hang_up(b);
}

static void slabs_count_until_they_are_zeroed(void **state)
{
	struct chan *a = connect_client("a");
	uint64_t one = open_session(a, 0), two = open_session(a, 0);

	(void)state;
	quota->slabs = 2;
	assert_int_equal(grant(a, one, 1), FARSWAP_MSG_GRANTED);
	assert_int_equal(grant(a, two, 1), FARSWAP_MSG_GRANTED);
	session_close(session_find(one, "a"), "asked by the client");
	grant(a, two, 2);
	assert_refused(FARSWAP_REJECT_SLAB_QUOTA, 2);
	hang_up(a);
	hours_pass();
	a = connect_client("a");
	assert_int_equal(grant(a, open_session(a, two), 2), FARSWAP_MSG_GRANTED);
	hang_up(a);
}

static void a_lower_quota_takes_nothing_back(void **state)
{
	struct chan *a = connect_client("a");
	uint64_t session = open_session(a, 0);
	unsigned int i;

	(void)state;
	for (i = 1; i <= 4; i++)
		assert_int_equal(grant(a, session, i), FARSWAP_MSG_GRANTED);
	connect_queue(session_find(session, "a"));
	connect_queue(session_find(session, "a"));
	quota->slabs = 2;
	quota->queue_pairs = 1;
	grant(a, session, 5);
	assert_refused(FARSWAP_REJECT_SLAB_QUOTA, 2);
	ask_token(a, session);
	assert_refused(FARSWAP_REJECT_QUEUE_QUOTA, 1);
	assert_int_equal(session_use("a").slabs, 4);
	assert_int_equal(session_use("a").queue_pairs, 2);
	session_release(session_find(session, "a"), session_granted(session_find(session, "a"), 1, 1));
	session_release(session_find(session, "a"), session_granted(session_find(session, "a"), 2, 1));
	grant(a, session, 5);
	assert_refused(FARSWAP_REJECT_SLAB_QUOTA, 2);
	session_release(session_find(session, "a"), session_granted(session_find(session, "a"), 3, 1));
	assert_int_equal(grant(a, session, 5), FARSWAP_MSG_GRANTED);
	hang_up(a);
}

static void a_node_may_have_more_than_others(void **state)
{
	struct chan *a = connect_client("a"), *b = connect_client("b");
	uint64_t of_a = open_session(a, 0), of_b = open_session(b, 0);

	(void)state;
	quota->slabs = 1;
	farswap_conf_node(&farswapd.conf, "b")->quota.slabs = 2;
	assert_int_equal(grant(a, of_a, 1), FARSWAP_MSG_GRANTED);
	assert_int_equal(grant(b, of_b, 1), FARSWAP_MSG_GRANTED);
	assert_int_equal(grant(b, of_b, 2), FARSWAP_MSG_GRANTED);
	grant(a, of_a, 2);
	assert_refused(FARSWAP_REJECT_SLAB_QUOTA, 1);
	grant(b, of_b, 3);
	assert_refused(FARSWAP_REJECT_SLAB_QUOTA, 2);
	hang_up(a);
	hang_up(b);
}

static void what_a_token_may_open_counts_as_a_queue_pair(void **state)
{
	struct chan *a = connect_client("a"), *b = connect_client("b");
	uint64_t one = open_session(a, 0), two = open_session(a, 0), of_b = open_session(b, 0);

	(void)state;
	quota->queue_pairs = 3;
	connect_queue(session_find(one, "a"));
	assert_int_equal(ask_token(a, one), FARSWAP_MSG_TOKEN_OK);
	assert_int_equal(ask_token(a, two), FARSWAP_MSG_TOKEN_OK);
	ask_token(a, two);
	assert_refused(FARSWAP_REJECT_QUEUE_QUOTA, 3);
	assert_int_equal(ask_token(b, of_b), FARSWAP_MSG_TOKEN_OK);
	now += 61 * SECOND;		/* the tokens are void */
	assert_int_equal(ask_token(a, two), FARSWAP_MSG_TOKEN_OK);
	assert_non_null(session_take_token(two, answer.token.token));
	connect_queue(session_find(two, "a"));
	assert_int_equal(session_use("a").queue_pairs, 2);	/* it was used up: not one of each */
	assert_int_equal(ask_token(a, one), FARSWAP_MSG_TOKEN_OK);
	session_close(session_find(one, "a"), "asked by the client");
	assert_int_equal(session_use("a").queue_pairs, 1);
	n_pushes = 1;			/* of what is closing, too */
	assert_int_equal(session_use("a").queue_pairs, 3);
	ask_token(a, two);
	assert_refused(FARSWAP_REJECT_QUEUE_QUOTA, 3);
	hang_up(a);
	hang_up(b);
}

static void a_push_with_a_token_is_one_queue_pair_more(void **state)
{
	struct chan *a = connect_client("a");
	uint64_t session = open_session(a, 0);
	union farswap_msg msg;

	(void)state;
	assert_int_equal(grant(a, session, 1), FARSWAP_MSG_GRANTED);
	farswap_msg_make(&msg, FARSWAP_MSG_PUSH, 5);
	msg.push.session = htole64(session);
	msg.push.slab = answer.grant.slab;
	msg.push.bytes = htole64(4096);
	farswap_addr_wire(&farswapd.self->addr, msg.push.to_address);
	connect_queue(session_find(session, "a"));
	quota->queue_pairs = 1;
	tell(a, &msg);
	assert_refused(FARSWAP_REJECT_BUSY, 0);		/* as push.c says here: over a queue pair that is there */
	msg.push.token[0] = 1;
	tell(a, &msg);
	assert_refused(FARSWAP_REJECT_QUEUE_QUOTA, 1);
	quota->queue_pairs = 2;
	tell(a, &msg);
	assert_refused(FARSWAP_REJECT_BUSY, 0);
	hang_up(a);
}

static uint64_t take(struct quota_rate *rate, uint64_t at, unsigned int n)
{
	uint64_t wait = 0;

	while (n--)
		wait = quota_take(rate, at, 1000);
	return wait;
}

static void requests_of_a_second_go_at_once(void **state)
{
	struct quota_rate rate = { 0 };
	uint64_t at = 100 * SECOND;

	(void)state;
	assert_int_equal(take(&rate, at, 1000), 0);
	assert_int_equal(take(&rate, at, 1), SECOND / 1000);
	assert_int_equal(take(&rate, at, 1), 2 * SECOND / 1000);	/* of another connection: behind the first */
	assert_int_equal(rate.held, 2);
	/* and then as many as are paid for */
	at += 500000000;
	assert_int_equal(take(&rate, at, 498), 0);
	assert_int_equal(take(&rate, at, 1), SECOND / 1000);
	/* an hour's rest is not worth more */
	at += 3600 * SECOND;
	assert_int_equal(take(&rate, at, 1000), 0);
	assert_int_equal(take(&rate, at, 1), SECOND / 1000);
}

static void whoever_waits_goes_on_at_its_rate(void **state)
{
	struct quota_rate rate = { 0 };
	uint64_t at = 100 * SECOND, begun = at;
	unsigned int i;

	(void)state;
	for (i = 0; i < 5000; i++)
		at += quota_take(&rate, at, 1000) + 700;	/* each wake-up is late */
	assert_in_range(at - begun, 4 * SECOND, 4 * SECOND + SECOND / 100);
}

static void requests_without_a_limit_never_wait(void **state)
{
	struct quota_rate rate = { 0 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 100000; i++)
		assert_int_equal(quota_take(&rate, 5 * SECOND, 0), 0);
	assert_int_equal(rate.held, 0);
	assert_int_equal(take(&rate, 5 * SECOND, 1000), 0);	/* a limit that came by sync begins now */
	assert_int_equal(take(&rate, 5 * SECOND, 1), SECOND / 1000);
}

static void requests_are_told_by_the_second(void **state)
{
	struct quota_rate rate = { 0 };

	(void)state;
	take(&rate, 7 * SECOND + 1, 30);
	assert_int_equal(quota_recent(&rate, 7 * SECOND + 2), 0);	/* that second is not over */
	assert_int_equal(quota_recent(&rate, 8 * SECOND), 30);
	take(&rate, 8 * SECOND + 5, 20);
	assert_int_equal(quota_recent(&rate, 8 * SECOND + 6), 30);
	assert_int_equal(quota_recent(&rate, 9 * SECOND), 20);
	assert_int_equal(quota_recent(&rate, 10 * SECOND), 0);
}

static unsigned int ping(struct chan *chan)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_PING, 6);
	return tell(chan, &msg);
}

static void a_flood_waits_and_is_answered_all_the_same(void **state)
{
	struct chan *a = connect_client("a"), *other = connect_client("a"), *b = connect_client("b");
	struct donor_client client;
	unsigned int i;

	(void)state;
	quota->requests = 1000;
	for (i = 0; i < 1100; i++)
		assert_int_equal(ping(a), FARSWAP_MSG_PONG);
	assert_true(paused_ns >= 100 * SECOND / 1000);
	assert_int_equal(ping(other), FARSWAP_MSG_PONG);	/* of the same client */
	assert_true(paused_ns > 100 * SECOND / 1000);
	assert_int_equal(ping(b), FARSWAP_MSG_PONG);
	assert_int_equal(paused_ns, 0);
	hang_up(a);
	a = connect_client("a");			/* no other bucket for that */
	assert_true(paused_ns > 100 * SECOND / 1000);
	assert_true(donor_client("a", &client));
	assert_true(client.held > 100);
	assert_int_equal(client.quota.requests, 1000);
	now += 2 * SECOND;
	assert_int_equal(ping(a), FARSWAP_MSG_PONG);
	assert_int_equal(paused_ns, 0);
	hang_up(a);
	hang_up(other);
	hang_up(b);
	assert_false(donor_client("a", &client));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(slabs_count_over_all_sessions_of_a_client, begin, end),
		cmocka_unit_test_setup_teardown(slabs_count_until_they_are_zeroed, begin, end),
		cmocka_unit_test_setup_teardown(a_lower_quota_takes_nothing_back, begin, end),
		cmocka_unit_test_setup_teardown(a_node_may_have_more_than_others, begin, end),
		cmocka_unit_test_setup_teardown(what_a_token_may_open_counts_as_a_queue_pair, begin, end),
		cmocka_unit_test_setup_teardown(a_push_with_a_token_is_one_queue_pair_more, begin, end),
		cmocka_unit_test(requests_of_a_second_go_at_once),
		cmocka_unit_test(whoever_waits_goes_on_at_its_rate),
		cmocka_unit_test(requests_without_a_limit_never_wait),
		cmocka_unit_test(requests_are_told_by_the_second),
		cmocka_unit_test_setup_teardown(a_flood_waits_and_is_answered_all_the_same, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
