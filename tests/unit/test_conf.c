// SPDX-License-Identifier: GPL-2.0
/* What cluster.conf says of clients' quotas: for all of them, for one, and what is no quota. tests/host/conf-*.test have the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"

static struct farswap_conf conf;
static char err[8192];

/* cluster and node a: lines of these sections; 0, or -1 with err */
static int load(const char *cluster, const char *a)
{
	char path[] = "/tmp/test_conf.XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w");
	int ret;

	assert_non_null(file);
	fprintf(file, "[cluster]\n%s\n[node a]\naddress=10.0.0.1\nlend=0\n%s\n[node b]\naddress=10.0.0.2\nlend=4\n", cluster, a);
	fclose(file);
	err[0] = 0;
	ret = farswap_conf_load(path, &conf, err, sizeof(err));
	unlink(path);
	return ret;
}

static void assert_quota(const char *client, uint32_t slabs, uint32_t queue_pairs, uint32_t requests)
{
	struct farswap_quota quota = farswap_conf_quota(&conf, client);

	assert_int_equal(quota.slabs, slabs);
	assert_int_equal(quota.queue_pairs, queue_pairs);
	assert_int_equal(quota.requests, requests);
}

static void slabs_have_no_limit_unless_it_is_said(void **state)
{
	(void)state;
	assert_int_equal(load("", ""), 0);
	assert_quota("a", 0, 256, 20000);
}

static void a_node_goes_before_the_cluster(void **state)
{
	(void)state;
	assert_int_equal(load("client_slabs=10\nclient_queue_pairs=90\nclient_requests=3000", "client_slabs=0\nclient_requests=1000"), 0);
	assert_quota("a", 0, 90, 1000);
	assert_quota("b", 10, 90, 3000);
	assert_quota("no node", 10, 90, 3000);
	assert_int_equal(load("client_requests=0", "client_queue_pairs=72"), 0);
	assert_quota("a", 0, 72, 0);
	assert_quota("b", 0, 256, 0);
}

static void refuse(const char *cluster, const char *a, const char *why)
{
	assert_int_equal(load(cluster, a), -1);
	if (!strstr(err, why))
		fail_msg("not '%s' but: %s", why, err);
	assert_null(strchr(err, '\n'));
}

static void what_is_no_quota_is_refused(void **state)
{
	(void)state;
	refuse("client_slabs=many", "", ":2: client_slabs=many is not a number");
	refuse("client_slabs=1048577", "", ":2: client_slabs=1048577 is out of range");
	refuse("client_queue_pairs=-1", "", ":2: client_queue_pairs=-1 is not a number");
	refuse("client_queue_pairs=71", "", ":2: client_queue_pairs=71 is out of range: 72 to 1048576, or 0 for no limit");
	refuse("client_requests=999", "", ":2: client_requests=999 is out of range: 1000 to 1000000, or 0 for no limit");
	refuse("client_requests=1000001", "", ":2: client_requests=1000001 is out of range");
	refuse("", "client_requests=999", ":6: client_requests=999 is out of range");
	refuse("client_slabs=1\nclient_slabs=1", "", ":3: duplicate key 'client_slabs' in [cluster]");
	refuse("", "client_slabs=1\nclient_slabs=1", ":7: duplicate key 'client_slabs' in [node a]");
	refuse("client_slab=1", "", ":2: unknown key 'client_slab' in [cluster]");
	refuse("", "client_queues=1", ":6: unknown key 'client_queues' in [node a]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slabs_have_no_limit_unless_it_is_said),
		cmocka_unit_test(a_node_goes_before_the_cluster),
		cmocka_unit_test(what_is_no_quota_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
