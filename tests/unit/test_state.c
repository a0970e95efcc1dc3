// SPDX-License-Identifier: GPL-2.0
/* What a donor's daemon leaves to the next one: what was written is read, and nothing else is believed. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc32c.h"
#include "msg.h"
#include "state.h"

#define SESSIONS	3
#define SLAB_BYTES	(64ull << 20)

static const struct state_fit fit = { .node = "b", .slab_bytes = SLAB_BYTES, .memory = 77, .places = 16, .lend = 12 };

/* sessions of 1, 2 and 3 slabs */
static struct state *make(void)
{
	static struct state state;
	struct state_head head = { .incarnation = htole64(5), .slab_bytes = htole64(SLAB_BYTES), .memory = htole64(77), .node = "b" };
	uint32_t i, k, n = 0;

	memset(&state, 0, sizeof(state));
	for (i = 0; i < SESSIONS; i++) {
		struct state_session session = { .number = htole64(100 + i), .lease_count = htole64(i), .boot_id = { (uint8_t)i } };

		farswap_name_copy(session.client, i ? "client-1" : "client-0");
		state_add_session(&state, &session);
		for (k = 0; k <= i; k++, n++)
			state_add_slab(&state, &(struct state_slab) { .number = htole64(1000 + n), .incarnation = htole64(2000 + n),
				.extent = htole64(n), .generation = htole32(1), .place = htole32(15 - n) });
	}
	assert_int_equal(state_end(&state, &head), 0);
	return &state;
}

/* in memory of just that length, for ASan to watch */
static const char *check_as(const struct state *state, size_t bytes, const struct state_fit *as)
{
	void *exact = malloc(bytes ? bytes : 1);
	const char *why;

	memcpy(exact, state->data, bytes);
	why = state_check(exact, bytes, as);
	free(exact);
	return why;
}

/* what was changed is summed again: only the gate can find it */
static const char *check_summed(struct state *state)
{
	size_t from = offsetof(struct state_head, version);

	state->data->sum = htole32(~fsw_crc32c(~0u, (uint8_t *)state->data + from, state->bytes - from));
	return check_as(state, state->bytes, &fit);
}

static void what_was_written_is_read(void **state)
{
	struct state *s = make();
	const struct state_session *session;
	uint32_t i = 0, k, n = 0;

	(void)state;
	assert_null(check_as(s, s->bytes, &fit));
	for (session = state_next(s->data, NULL); session; session = state_next(s->data, session), i++) {
		assert_int_equal(le64toh(session->number), 100 + i);
		assert_int_equal(session->boot_id[0], i);
		assert_int_equal(le32toh(session->slabs), i + 1);
		for (k = 0; k <= i; k++, n++) {
			assert_int_equal(le64toh(state_slabs(session)[k].number), 1000 + n);
			assert_int_equal(le32toh(state_slabs(session)[k].place), 15 - n);
		}
	}
	assert_int_equal(i, SESSIONS);
	assert_int_equal(le32toh(s->data->slabs), n);
	free(s->data);
}

static void no_part_of_it_is_a_whole(void **state)
{
	struct state *s = make();
	size_t n;

	(void)state;
	for (n = 0; n < s->bytes; n++)
		assert_non_null(check_as(s, n, &fit));
	for (n = 0; n < s->bytes; n++) {
		s->data->bytes = htole32((uint32_t)n);	/* also when it says so itself */
		s->data->sum = 0;
		if (n >= sizeof(*s->data)) {
			size_t from = offsetof(struct state_head, version);

			s->data->sum = htole32(~fsw_crc32c(~0u, (uint8_t *)s->data + from, n - from));
		}
		assert_non_null(check_as(s, n, &fit));
	}
	free(s->data);
}

static void every_bit_counts(void **state)
{
	struct state *s = make();
	size_t bit;

	(void)state;
	for (bit = 0; bit < 8 * s->bytes; bit++) {
		((uint8_t *)s->data)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_non_null(check_as(s, s->bytes, &fit));
		((uint8_t *)s->data)[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_null(check_as(s, s->bytes, &fit));
	free(s->data);
}

static void another_version_is_not_understood(void **state)
{
	struct state *s = make();
	uint32_t version;

	(void)state;
	for (version = 0; version < 100; version++) {
		s->data->version = htole32(version);
		if (version == STATE_VERSION)
			assert_null(check_summed(s));
		else
			assert_string_equal(check_summed(s), "it is of another version");
	}
	free(s->data);
}

static void it_fits_to_its_reader_alone(void **state)
{
	static const struct state_fit others[] = {
		{ .node = "c", .slab_bytes = SLAB_BYTES, .memory = 77, .places = 16, .lend = 12 },
		{ .node = "b", .slab_bytes = SLAB_BYTES / 2, .memory = 77, .places = 16, .lend = 12 },
		{ .node = "b", .slab_bytes = SLAB_BYTES, .memory = 78, .places = 16, .lend = 12 },
		{ .node = "b", .slab_bytes = SLAB_BYTES, .memory = 77, .places = 15, .lend = 12 },
		{ .node = "b", .slab_bytes = SLAB_BYTES, .memory = 77, .places = 16, .lend = 5 },
	};
	struct state *s = make();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_non_null(check_as(s, s->bytes, &others[i]));
	free(s->data);
}

/* a right sum over what cannot be */
static void what_cannot_be_is_refused(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 15; i++) {
		struct state *s = make();
		struct state_session *first = (struct state_session *)(s->data + 1);
		struct state_slab *slabs = (struct state_slab *)(first + 1);
		struct state_session *second = (struct state_session *)(slabs + 1);

		assert_null(check_summed(s));
		switch (i) {
		case 0:
			s->data->incarnation = 0;
			break;
		case 1:
			s->data->sessions = htole32(SESSIONS + 1);
			break;
		case 2:
			s->data->slabs = htole32(5);
			break;
		case 3:
			memset(s->data->node, 'b', sizeof(s->data->node));
			break;
		case 4:
			first->number = 0;
			break;
		case 5:
			first->number = second->number;
			break;
		case 6:
			first->slabs = 0;
			break;
		case 7:
			first->slabs = htole32(UINT32_MAX);
			break;
		case 8:
			first->reserved = htole32(1);
			break;
		case 9:
			first->client[0] = '/';
			break;
		case 10:
			first->client[31] = 'x';
			break;
		case 11:
			slabs->number = 0;
			break;
		case 12:
			slabs->number = ((struct state_slab *)(second + 1))->number;
			break;
		case 13:
			slabs->place = ((struct state_slab *)(second + 1))->place;
			break;
		default:
			slabs->place = htole32(16);
		}
		assert_non_null(check_summed(s));
		free(s->data);
	}
}

/* with a right head before them, a right sum, and lengths that may fit */
static void random_bytes_are_no_state(void **state)
{
	uint64_t seed = 42;
	unsigned int n;
	size_t i;

	(void)state;
	for (n = 0; n < 20000; n++) {
		struct state *s = make();
		uint8_t *at = (uint8_t *)s->data;

		for (i = sizeof(*s->data); i < s->bytes; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			at[i] = (uint8_t)(seed >> 56);
		}
		if (n & 1)
			((struct state_session *)(s->data + 1))->slabs = htole32(n / 2 % 12);
		assert_non_null(check_summed(s));
		free(s->data);
	}
}

static void without_memory_there_is_none(void **state)
{
	struct state s = { .error = -12 };

	(void)state;
	assert_int_not_equal(state_end(&s, &(struct state_head) { .incarnation = htole64(1) }), 0);
	memset(&s, 0, sizeof(s));
	assert_int_not_equal(state_end(&s, &(struct state_head) { .incarnation = htole64(1) }), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(no_part_of_it_is_a_whole),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(another_version_is_not_understood),
		cmocka_unit_test(it_fits_to_its_reader_alone),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(random_bytes_are_no_state),
		cmocka_unit_test(without_memory_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
