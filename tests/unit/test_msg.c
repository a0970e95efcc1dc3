// SPDX-License-Identifier: GPL-2.0
/* The gate of the control channel: what is right passes, and every single thing that can be wrong does not. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "msg.h"

/* a right message of each type */
static void make_right(union farswap_msg *m, unsigned int type)
{
	farswap_msg_make(m, type, 7);
	switch (type) {
	case FARSWAP_MSG_HELLO:
	case FARSWAP_MSG_WELCOME:
		m->hello.version = htole16(FARSWAP_WIRE_VERSION);
		m->hello.page_bytes = htole32(FARSWAP_FRAME_BYTES);
		m->hello.slab_bytes = htole64(64 << 20);
		m->hello.incarnation = htole64(1);
		farswap_name_copy(m->hello.name, "node-1.example_a");
		break;
	case FARSWAP_MSG_OPENED:
	case FARSWAP_MSG_REJOINED:
		m->session.rdma_port = htole16(7474);
		m->session.session = htole64(5);
		break;
	case FARSWAP_MSG_CLOSE:
	case FARSWAP_MSG_CLOSED:
	case FARSWAP_MSG_REJOIN:
	case FARSWAP_MSG_LIST:
		m->session.session = htole64(5);
		break;
	case FARSWAP_MSG_TOKEN:
	case FARSWAP_MSG_TOKEN_OK:
		m->token.session = htole64(5);
		break;
	case FARSWAP_MSG_GRANTED:
	case FARSWAP_MSG_LOCATED:
		m->grant.slab = htole64(9);
		m->grant.incarnation = htole64(10);
		m->grant.address = htole64(0x7f0000000000);
		m->grant.bytes = htole64(64 << 20);
		/* fall through */
	case FARSWAP_MSG_GRANT:
		m->grant.session = htole64(5);
		break;
	case FARSWAP_MSG_REJECT:
		m->reject.type = htole16(FARSWAP_MSG_GRANT);
		m->reject.code = htole16(FARSWAP_REJECT_NO_ROOM);
		break;
	case FARSWAP_MSG_ACTIVITY:
		m->activity.session = htole64(5);
		m->activity.n = htole32(2);
		m->activity.slabs[0].slab = htole64(9);
		m->activity.slabs[0].flags = htole32(FARSWAP_SLAB_STAYS);
		m->activity.slabs[1].slab = htole64(10);
		m->activity.slabs[1].activity = htole64(1 << 20);
		break;
	case FARSWAP_MSG_RELEASE:
	case FARSWAP_MSG_RELEASED:
	case FARSWAP_MSG_LOCATE:
		m->slab.session = htole64(5);
		m->slab.slab = htole64(9);
		break;
	case FARSWAP_MSG_PUSH:
		m->push.to_session = htole64(6);
		m->push.remote = htole64(0x7f0000000000);
		m->push.to_port = htole16(7474);
		/* fall through */
	case FARSWAP_MSG_PUSHED:
		m->push.session = htole64(5);
		m->push.slab = htole64(9);
		m->push.offset = htole64(4096);
		m->push.bytes = htole64(4 << 20);
		break;
	case FARSWAP_MSG_CHECK:
		m->check.session = htole64(5);
		m->check.slab = htole64(9);
		assert_true(farswap_msg_add_sum(m, 0, 0, 4096, 0x1234));
		assert_true(farswap_msg_add_sum(m, 511, 3584, 512, 0x5678));
		break;
	case FARSWAP_MSG_CHECKED:
		m->checked.session = htole64(5);
		m->checked.slab = htole64(9);
		m->checked.n = htole32(12);
		m->checked.differ[1] = 0x0f;
		break;
	case FARSWAP_MSG_LISTED:
	case FARSWAP_MSG_ASKED:
		m->listed.session = htole64(5);
		m->listed.n = htole32(2);
		m->listed.slabs[0] = htole64(9);
		m->listed.slabs[1] = htole64(12);
		break;
	default:
		break;
	}
}

static int check(const union farswap_msg *m)
{
	return farswap_msg_check(m, le32toh(m->head.bytes));
}

static void right_ones_pass(void **state)
{
	union farswap_msg m;
	unsigned int type;
	size_t bytes;

	(void)state;
	for (type = 1; type < FARSWAP_MSG_TYPES; type++) {
		make_right(&m, type);
		assert_int_equal(check(&m), FARSWAP_MSG_GOOD);
		assert_int_equal(farswap_msg_check_head(&m, &bytes), FARSWAP_MSG_GOOD);
		if (type != FARSWAP_MSG_CHECK)
			assert_int_equal(bytes, farswap_msg_bytes(type));
		assert_int_equal(bytes, le32toh(m.head.bytes));
		assert_true(bytes <= FARSWAP_MSG_BYTES_MAX);
	}
}

/* a CHECK is exactly as long as its count says, and has 1 to 256 sums */
static void check_is_as_long_as_it_says(void **state)
{
	union farswap_msg m;
	uint32_t n, said, extra;
	size_t bytes;

	(void)state;
	farswap_msg_make(&m, FARSWAP_MSG_CHECK, 7);
	m.check.session = htole64(5);
	m.check.slab = htole64(9);
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_LENGTH);	/* none */
	for (n = 1; n <= FARSWAP_CHECK_SUMS; n++) {
		assert_true(farswap_msg_add_sum(&m, n, 0, 4096, n));
		assert_int_equal(check(&m), FARSWAP_MSG_GOOD);
		assert_int_equal(farswap_msg_check_head(&m, &bytes), FARSWAP_MSG_GOOD);
		assert_int_equal(bytes, 40 + 12 * n);
		for (said = 0; said <= FARSWAP_CHECK_SUMS + 1; said++) {
			m.check.n = htole32(said);
			assert_int_equal(check(&m), said == n ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_LENGTH);
		}
		for (extra = 1; extra < 12; extra++) {
			m.check.n = htole32(n);
			m.head.bytes = htole32(40 + 12 * n - extra);
			assert_int_equal(check(&m), FARSWAP_MSG_BAD_LENGTH);
		}
		/* counts that multiply to the same length in 32 bits */
		m.head.bytes = htole32(40 + 12 * n);
		m.check.n = htole32(n + 0x40000000);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_LENGTH);
		m.check.n = htole32(n);
	}
	assert_false(farswap_msg_add_sum(&m, 1, 0, 4096, 1));
	assert_int_equal(check(&m), FARSWAP_MSG_GOOD);
	m.head.bytes = htole32(40 + 12 * (FARSWAP_CHECK_SUMS + 1));
	assert_int_equal(farswap_msg_check_head(&m, &bytes), FARSWAP_MSG_BAD_LENGTH);
}

static void sums_stay_in_their_frames(void **state)
{
	static const struct { uint32_t frame; uint16_t offset, length; int good; } sums[] = {
		{ 0, 0, 4096, 1 }, { 0, 0, 1, 1 }, { 0, 4095, 1, 1 }, { 262143, 0, 4096, 1 },
		{ 0, 0, 0, 0 }, { 0, 1, 4096, 0 }, { 0, 0, 4097, 0 }, { 0, 4096, 1, 0 }, { 0, 65535, 65535, 0 },
		{ 262144, 0, 4096, 0 }, { UINT32_MAX, 0, 4096, 0 },
	};
	union farswap_msg m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		make_right(&m, FARSWAP_MSG_CHECK);
		assert_true(farswap_msg_add_sum(&m, sums[i].frame, sums[i].offset, sums[i].length, 1));
		assert_int_equal(check(&m), sums[i].good ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_RANGE);
	}
}

/* the exact length and nothing else, in the head as in what came; the buffer is as long as it says, for ASan to watch */
static void every_other_length_fails(void **state)
{
	union farswap_msg m;
	unsigned int type;
	size_t n;

	(void)state;
	for (type = 1; type < FARSWAP_MSG_TYPES; type++) {
		for (n = 0; n < sizeof(m) + 100; n++) {
			char *exact = calloc(1, n ? n : 1);
			size_t right;

			make_right(&m, type);
			right = le32toh(m.head.bytes);
			memcpy(exact, &m, n < sizeof(m) ? n : sizeof(m));
			if (n != right)
				assert_int_not_equal(farswap_msg_check(exact, n), FARSWAP_MSG_GOOD);
			free(exact);
			m.head.bytes = htole32((uint32_t)n);
			if (n != right)
				assert_int_equal(farswap_msg_check(&m, right), FARSWAP_MSG_BAD_LENGTH);
		}
	}
}

static void head_is_checked(void **state)
{
	union farswap_msg m;
	unsigned int bit, type;

	(void)state;
	for (bit = 0; bit < 32; bit++) {
		make_right(&m, FARSWAP_MSG_PING);
		m.head.magic ^= htole32(1u << bit);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_MAGIC);
	}
	for (bit = 0; bit < 16; bit++) {
		make_right(&m, FARSWAP_MSG_PING);
		m.head.reserved = htole16(1u << bit);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_RESERVED);
	}
	for (type = FARSWAP_MSG_TYPES; type <= 0xffff; type++) {
		make_right(&m, FARSWAP_MSG_PING);
		m.head.type = htole16(type);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_TYPE);
	}
	make_right(&m, FARSWAP_MSG_PING);
	m.head.type = 0;
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_TYPE);
}

/* type, and an offset whose byte must stay zero */
static void unused_fields_are_zero(void **state)
{
	static const struct { unsigned int type; size_t from, to; } unused[] = {
		{ FARSWAP_MSG_HELLO, offsetof(struct farswap_msg_hello, reserved), 20 },
		{ FARSWAP_MSG_HELLO, offsetof(struct farswap_msg_hello, room), 32 },
		{ FARSWAP_MSG_WELCOME, offsetof(struct farswap_msg_hello, reserved), 20 },
		{ FARSWAP_MSG_OPEN, offsetof(struct farswap_msg_session, rdma_port), 48 },
		{ FARSWAP_MSG_OPENED, offsetof(struct farswap_msg_session, reserved), 28 },
		{ FARSWAP_MSG_OPENED, offsetof(struct farswap_msg_session, lease_address), 48 },
		{ FARSWAP_MSG_CLOSE, offsetof(struct farswap_msg_session, rdma_port), 48 },
		{ FARSWAP_MSG_CLOSED, offsetof(struct farswap_msg_session, rdma_port), 48 },
		{ FARSWAP_MSG_TOKEN, offsetof(struct farswap_msg_token, token), 40 },
		{ FARSWAP_MSG_GRANT, offsetof(struct farswap_msg_grant, rkey), 72 },
		{ FARSWAP_MSG_PING, offsetof(struct farswap_msg_ping, room), 32 },
		{ FARSWAP_MSG_PONG, offsetof(struct farswap_msg_ping, reserved), 32 },
		{ FARSWAP_MSG_REJECT, offsetof(struct farswap_msg_reject, reserved), 24 },
		{ FARSWAP_MSG_REJOIN, offsetof(struct farswap_msg_session, rdma_port), 48 },
		{ FARSWAP_MSG_REJOINED, offsetof(struct farswap_msg_session, reserved2), 48 },
		{ FARSWAP_MSG_PUSH, offsetof(struct farswap_msg_push, reserved), 72 },
		{ FARSWAP_MSG_PUSHED, offsetof(struct farswap_msg_push, to_session), 104 },
		{ FARSWAP_MSG_CHECK, offsetof(struct farswap_msg_check, reserved), 40 },
		{ FARSWAP_MSG_CHECKED, offsetof(struct farswap_msg_checked, reserved), 40 },
		{ FARSWAP_MSG_CHECKED, offsetof(struct farswap_msg_checked, differ) + 1, 72 },
		{ FARSWAP_MSG_ACTIVITY, offsetof(struct farswap_msg_activity, reserved), 32 },
		{ FARSWAP_MSG_ACTIVITY, offsetof(struct farswap_msg_activity, slabs[1].reserved), 800 },
		{ FARSWAP_MSG_ASKED, offsetof(struct farswap_msg_listed, slabs) + 16, 288 },
		{ FARSWAP_MSG_LISTED, offsetof(struct farswap_msg_listed, urgent), 32 },
		{ FARSWAP_MSG_LISTED, offsetof(struct farswap_msg_listed, slabs) + 16, 288 },
	};
	union farswap_msg m;
	size_t i, at;

	(void)state;
	for (i = 0; i < sizeof(unused) / sizeof(unused[0]); i++) {
		for (at = unused[i].from; at < unused[i].to; at++) {
			make_right(&m, unused[i].type);
			((uint8_t *)&m)[at] = 0x10;
			assert_int_equal(check(&m), FARSWAP_MSG_BAD_RESERVED);
		}
	}
}

static void features_and_versions(void **state)
{
	union farswap_msg m;
	unsigned int i;

	(void)state;
	for (i = 0; i < 32; i++) {
		make_right(&m, FARSWAP_MSG_HELLO);
		m.hello.features = htole32(1u << i);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_FEATURES);
		make_right(&m, FARSWAP_MSG_PONG);
		m.ping.flags = htole32(1u << i);
		assert_int_equal(check(&m), i < 2 ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_FEATURES);
		make_right(&m, FARSWAP_MSG_ACTIVITY);
		m.activity.slabs[0].flags = htole32(1u << i);
		assert_int_equal(check(&m), i < 2 ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_FEATURES);
		make_right(&m, FARSWAP_MSG_ASKED);		/* of two */
		m.listed.urgent = htole32(1u << i);
		assert_int_equal(check(&m), i < 2 ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_RESERVED);
		make_right(&m, FARSWAP_MSG_LISTED);
		m.listed.urgent = htole32(1u << i);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_RESERVED);
	}
	for (i = 0; i <= 0xffff; i++) {
		make_right(&m, i & 1 ? FARSWAP_MSG_HELLO : FARSWAP_MSG_WELCOME);
		m.hello.version = htole16(i);
		/* whatever else another version means by its fields */
		if (i != FARSWAP_WIRE_VERSION)
			memset(&m.hello.features, 0xff, 16);
		assert_int_equal(check(&m), i == FARSWAP_WIRE_VERSION ? FARSWAP_MSG_GOOD : FARSWAP_MSG_OTHER_VERSION);
	}
}

static void names(void **state)
{
	static const char * const bad[] = { "", "a b", "a/b", "a\n", "\xff" };
	union farswap_msg m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		make_right(&m, FARSWAP_MSG_HELLO);
		farswap_name_copy(m.hello.name, bad[i]);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_NAME);
	}
	make_right(&m, FARSWAP_MSG_HELLO);
	memset(m.hello.name, 'a', sizeof(m.hello.name));
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_NAME);	/* no end */
	m.hello.name[31] = 0;
	assert_int_equal(check(&m), FARSWAP_MSG_GOOD);
	m.hello.name[10] = 0;
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_NAME);	/* something after its end */
}

static void ranges(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 4096, FARSWAP_SLAB_BYTES_MIN / 2, FARSWAP_SLAB_BYTES_MIN + 4096,
		3 * (uint64_t)FARSWAP_SLAB_BYTES_MIN, 2 * (uint64_t)FARSWAP_SLAB_BYTES_MAX, 1ull << 63, UINT64_MAX };
	union farswap_msg m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_right(&m, FARSWAP_MSG_HELLO);
		m.hello.slab_bytes = htole64(sizes[i]);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
		make_right(&m, FARSWAP_MSG_GRANTED);
		m.grant.bytes = htole64(sizes[i]);
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
	}
	make_right(&m, FARSWAP_MSG_GRANTED);
	m.grant.address = htole64(UINT64_MAX - 4096);	/* would wrap around */
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
	for (i = FARSWAP_MSG_OPENED; i < FARSWAP_MSG_TYPES; i++) {
		if (i == FARSWAP_MSG_PING || i == FARSWAP_MSG_PONG || i == FARSWAP_MSG_REJECT)
			continue;
		make_right(&m, i);
		m.session.session = 0;	/* the first field of all of these */
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
		if (i < FARSWAP_MSG_RELEASE || (i >= FARSWAP_MSG_LIST && i != FARSWAP_MSG_LOCATE))
			continue;
		make_right(&m, i);
		m.slab.slab = 0;	/* and the second */
		assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
	}
	for (i = 0; i <= 0xffff; i++) {
		make_right(&m, FARSWAP_MSG_REJECT);
		m.reject.code = htole16(i);
		assert_int_equal(check(&m), i && i < FARSWAP_REJECTS ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_RANGE);
		make_right(&m, FARSWAP_MSG_REJECT);
		m.reject.type = htole16(i);
		assert_int_equal(check(&m), i && i < FARSWAP_MSG_TYPES && i != FARSWAP_MSG_REJECT ? FARSWAP_MSG_GOOD :
				 FARSWAP_MSG_BAD_RANGE);
	}
}

static void leases(void **state)
{
	static const struct { uint32_t ms; uint64_t address; enum farswap_msg_verdict verdict; } all[] = {
		{ 1000, 4096, FARSWAP_MSG_GOOD }, { 604800000, 4096, FARSWAP_MSG_GOOD },
		{ 999, 4096, FARSWAP_MSG_BAD_RANGE }, { 604800001, 4096, FARSWAP_MSG_BAD_RANGE },
		{ 8000, 0, FARSWAP_MSG_BAD_RANGE }, { 8000, 4100, FARSWAP_MSG_BAD_RANGE },
		{ 8000, UINT64_MAX - 7, FARSWAP_MSG_BAD_RANGE }, { 0, 4096, FARSWAP_MSG_BAD_RESERVED },
	};
	union farswap_msg m;
	size_t i;

	(void)state;
	for (i = 0; i < 2 * sizeof(all) / sizeof(all[0]); i++) {
		make_right(&m, i % 2 ? FARSWAP_MSG_OPENED : FARSWAP_MSG_REJOINED);
		m.session.lease_ms = htole32(all[i / 2].ms);
		m.session.lease_address = htole64(all[i / 2].address);
		assert_int_equal(check(&m), all[i / 2].verdict);
	}
}

static void listed_slabs_rise(void **state)
{
	union farswap_msg m;
	unsigned int i;

	(void)state;
	make_right(&m, FARSWAP_MSG_LISTED);
	for (i = 0; i < FARSWAP_LIST_SLABS; i++)
		m.listed.slabs[i] = htole64(i + 1);
	m.listed.n = htole32(FARSWAP_LIST_SLABS);
	assert_int_equal(check(&m), FARSWAP_MSG_GOOD);
	m.listed.n = htole32(FARSWAP_LIST_SLABS + 1);
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
	m.listed.n = htole32(FARSWAP_LIST_SLABS);
	m.listed.slabs[7] = htole64(7);
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
	m.listed.slabs[7] = 0;
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
}

static void push_stays_in_range(void **state)
{
	static const struct { uint64_t offset, bytes, remote; int good; } cases[] = {
		{ 0, 1, 1, 1 }, { 0, FARSWAP_SLAB_BYTES_MAX, 4096, 1 }, { FARSWAP_SLAB_BYTES_MAX - 4096, 4096, 4096, 1 },
		{ 0, 0, 4096, 0 }, { 0, FARSWAP_SLAB_BYTES_MAX + 1ull, 4096, 0 }, { FARSWAP_SLAB_BYTES_MAX, 1, 4096, 0 },
		{ 1, FARSWAP_SLAB_BYTES_MAX, 4096, 0 }, { UINT64_MAX, 4096, 4096, 0 }, { 0, UINT64_MAX, 4096, 0 },
		{ 0, 4096, 0, 0 }, { 0, 4096, UINT64_MAX - 4095, 0 }, { 0, 4096, UINT64_MAX - 4096, 1 },
	};
	union farswap_msg m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_right(&m, FARSWAP_MSG_PUSH);
		m.push.offset = htole64(cases[i].offset);
		m.push.bytes = htole64(cases[i].bytes);
		m.push.remote = htole64(cases[i].remote);
		assert_int_equal(check(&m), cases[i].good ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_RANGE);
	}
	make_right(&m, FARSWAP_MSG_PUSH);
	m.push.to_session = 0;
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
	make_right(&m, FARSWAP_MSG_PUSH);
	m.push.to_port = 0;
	assert_int_equal(check(&m), FARSWAP_MSG_BAD_RANGE);
}

/* all bytes at random, then a right head before them: never a crash, and nothing odd is called good */
static void random_bytes(void **state)
{
	union farswap_msg m;
	uint64_t seed = 42;
	unsigned int n, good = 0;
	size_t i;

	(void)state;
	for (n = 0; n < 100000; n++) {
		unsigned int type = 1 + n % (FARSWAP_MSG_TYPES - 1);

		for (i = 0; i < sizeof(m); i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			((uint8_t *)&m)[i] = (uint8_t)(seed >> 56);
		}
		if (n & 1) {
			union farswap_msg right;

			farswap_msg_make(&right, type, n);
			m.head = right.head;
			i = farswap_msg_bytes(type);
			if (type == FARSWAP_MSG_CHECK) {	/* of a right length, so that the count is looked at */
				i += (1 + n / 2 % FARSWAP_CHECK_SUMS) * sizeof(struct farswap_msg_sum);
				m.head.bytes = htole32((uint32_t)i);
				if (n & 2)
					m.check.n = htole32((uint32_t)(1 + n / 2 % FARSWAP_CHECK_SUMS));
			}
		} else {
			i = n / 2 % (sizeof(m) + 8);
			if (i > sizeof(m))
				i = sizeof(m);
		}
		if (farswap_msg_check(&m, i) == FARSWAP_MSG_GOOD) {
			/* these have no field that random bytes could break but session and padding */
			assert_true(type == FARSWAP_MSG_TOKEN_OK || type == FARSWAP_MSG_PONG || type == FARSWAP_MSG_RELEASE ||
				    type == FARSWAP_MSG_RELEASED || type == FARSWAP_MSG_LIST || type == FARSWAP_MSG_LOCATE);
			good++;
		}
	}
	assert_true(good > 0);
}

static void connect_data(void **state)
{
	struct farswap_connect c = {
		.magic = htole32(FARSWAP_WIRE_MAGIC), .version = htole16(FARSWAP_WIRE_VERSION), .session = htole64(3),
	};
	uint8_t padded[56] = { 0 };
	size_t n;

	(void)state;
	memcpy(padded, &c, sizeof(c));
	for (n = 0; n <= sizeof(padded); n++)
		assert_int_equal(farswap_connect_check(padded, n),
				 n < sizeof(c) ? FARSWAP_MSG_BAD_LENGTH : FARSWAP_MSG_GOOD);
	assert_int_equal(farswap_connect_check(NULL, 56), FARSWAP_MSG_BAD_LENGTH);
	padded[0] ^= 1;
	assert_int_equal(farswap_connect_check(padded, 56), FARSWAP_MSG_BAD_MAGIC);
	padded[0] ^= 1;
	padded[5] = 1;
	assert_int_equal(farswap_connect_check(padded, 56), FARSWAP_MSG_OTHER_VERSION);
	padded[5] = 0;
	memset(padded + 8, 0, 8);
	assert_int_equal(farswap_connect_check(padded, 56), FARSWAP_MSG_BAD_RANGE);
}

static void every_reject_has_words(void **state)
{
	char said[200];
	unsigned int code, other;

	(void)state;
	for (code = 1; code < FARSWAP_REJECTS; code++) {
		assert_non_null(farswap_reject_text(code));
		assert_non_null(farswap_reject_say(code, 5, said, sizeof(said)));
		assert_true(strlen(said) > 10);
		for (other = 1; other < code; other++)
			assert_string_not_equal(farswap_reject_text(code), farswap_reject_text(other));
	}
	assert_non_null(farswap_reject_text(0));
	assert_non_null(farswap_reject_text(0xffff));
}

static void answers(void **state)
{
	unsigned int request, answer;

	(void)state;
	/* requests are odd up to REJECT, even after it */
	for (request = 1; request < FARSWAP_MSG_TYPES; request += request == FARSWAP_MSG_CLOSE ? 3 : 2)
		for (answer = 1; answer < FARSWAP_MSG_TYPES; answer++)
			assert_int_equal(!!farswap_msg_answers(request, answer),
					 answer == request + 1 || answer == FARSWAP_MSG_REJECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_ones_pass),	cmocka_unit_test(every_other_length_fails),
		cmocka_unit_test(head_is_checked),	cmocka_unit_test(unused_fields_are_zero),
		cmocka_unit_test(features_and_versions), cmocka_unit_test(names), cmocka_unit_test(leases),
		cmocka_unit_test(ranges),		cmocka_unit_test(random_bytes),
		cmocka_unit_test(connect_data),		cmocka_unit_test(every_reject_has_words),
		cmocka_unit_test(answers),		cmocka_unit_test(check_is_as_long_as_it_says),
		cmocka_unit_test(sums_stay_in_their_frames), cmocka_unit_test(push_stays_in_range),
		cmocka_unit_test(listed_slabs_rise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
