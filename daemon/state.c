// SPDX-License-Identifier: GPL-2.0
#include "state.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "msg.h"

#define SUMMED_FROM	offsetof(struct state_head, version)

static uint32_t sum_of(const struct state_head *head, size_t bytes)
{
	return ~fsw_crc32c(~0u, (const uint8_t *)head + SUMMED_FROM, bytes - SUMMED_FROM);
}

/* --- reading --- */

static bool name_ok(const char name[FARSWAP_NAME_BYTES])
{
	size_t length = strnlen(name, FARSWAP_NAME_BYTES);

	return length < FARSWAP_NAME_BYTES && farswap_name_ok(name) && farswap_all_zero(name + length, FARSWAP_NAME_BYTES - length);
}

/* do sessions and slabs fill the rest exactly, as many as the head says? */
static bool lengths_ok(const struct state_head *head)
{
	uint64_t left = le32toh(head->bytes) - sizeof(*head), sessions = 0, slabs = 0;
	const uint8_t *at = (const uint8_t *)(head + 1);

	while (left >= sizeof(struct state_session)) {
		uint64_t n = le32toh(((const struct state_session *)at)->slabs);
		uint64_t bytes = sizeof(struct state_session) + n * sizeof(struct state_slab);

		if (!n || bytes > left)
			return false;
		at += bytes;
		left -= bytes;
		sessions++;
		slabs += n;
	}
	return !left && sessions == le32toh(head->sessions) && slabs == le32toh(head->slabs);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool all_differ(uint64_t *numbers, size_t n)
{
	size_t i;

	qsort(numbers, n, sizeof(*numbers), by_number);
	for (i = 1; i < n; i++)
		if (numbers[i] == numbers[i - 1])
			return false;
	return true;
}

static bool session_ok(const struct state_session *session)
{
	return session->number && !session->reserved && name_ok(session->client);
}

/* room: for twice as many numbers as there are slabs, and there are not more sessions than slabs */
static bool numbers_ok(const void *data, const struct state_fit *fit, uint64_t *room)
{
	const struct state_session *session;
	uint32_t i, n = le32toh(((const struct state_head *)data)->slabs);
	uint64_t *numbers = room, *places = room + n;

	for (session = state_next(data, NULL); session; session = state_next(data, session)) {
		if (!session_ok(session))
			return false;
		for (i = 0; i < le32toh(session->slabs); i++) {
			const struct state_slab *slab = &state_slabs(session)[i];

			if (!slab->number || !slab->incarnation || le32toh(slab->place) >= fit->places)
				return false;
			*numbers++ = le64toh(slab->number);
			*places++ = le32toh(slab->place);
		}
	}
	if (!all_differ(room, n) || !all_differ(room + n, n))
		return false;
	numbers = room;
	for (session = state_next(data, NULL); session; session = state_next(data, session))
		*numbers++ = le64toh(session->number);
	return all_differ(room, le32toh(((const struct state_head *)data)->sessions));
}

const char *state_check(const void *data, size_t bytes, const struct state_fit *fit)
{
	const struct state_head *head = data;
	uint64_t *room;
	bool ok;

	if (!bytes)
		return "it was used before, or never written";
	if (bytes < sizeof(*head) || bytes > STATE_BYTES_MAX || le32toh(head->magic) != STATE_MAGIC)
		return "it is not a state";
	if (le32toh(head->version) != STATE_VERSION)
		return "it is of another version";
	if (le32toh(head->bytes) != bytes || le32toh(head->sum) != sum_of(head, bytes))
		return "it is torn";
	if (!name_ok(head->node) || !head->incarnation || !head->sessions || !lengths_ok(head))
		return "it is malformed";
	if (strcmp(head->node, fit->node))
		return "it is another node's";
	if (le64toh(head->memory) != fit->memory)
		return "it is about other memory";
	if (le64toh(head->slab_bytes) != fit->slab_bytes)
		return "slab= has changed";
	if (le32toh(head->slabs) > fit->lend)
		return "lend= is less than what is lent";
	room = calloc(2 * (size_t)le32toh(head->slabs), sizeof(*room));
	if (!room)
		return "out of memory";
	ok = numbers_ok(data, fit, room);
	free(room);
	return ok ? NULL : "it is malformed";
}

const struct state_session *state_next(const void *data, const struct state_session *after)
{
	const struct state_head *head = data;
	const void *next = after ? (const void *)(state_slabs(after) + le32toh(after->slabs)) : head + 1;

	return (const uint8_t *)next < (const uint8_t *)data + le32toh(head->bytes) ? next : NULL;
}

const struct state_slab *state_slabs(const struct state_session *session)
{
	return (const struct state_slab *)(session + 1);
}

/* --- writing --- */

/* NULL: out of memory, now or before */
static void *add(struct state *state, const void *what, size_t bytes)
{
	void *at;

	if (state->error)
		return NULL;
	if (!state->data)
		state->bytes = sizeof(struct state_head);
	if (state->bytes + bytes > state->room) {
		size_t room = 2 * (state->bytes + bytes);

		at = room <= STATE_BYTES_MAX ? realloc(state->data, room) : NULL;
		if (!at) {
			state->error = -ENOMEM;
			return NULL;
		}
		state->data = at;
		state->room = room;
	}
	at = (uint8_t *)state->data + state->bytes;
	memcpy(at, what, bytes);
	state->bytes += bytes;
	return at;
}

void state_add_session(struct state *state, const struct state_session *session)
{
	struct state_session *at = add(state, session, sizeof(*session));

	if (!at)
		return;
	at->slabs = 0;
	state->session = state->bytes - sizeof(*session);
}

void state_add_slab(struct state *state, const struct state_slab *slab)
{
	struct state_session *session;

	if (!add(state, slab, sizeof(*slab)))
		return;
	session = (struct state_session *)((uint8_t *)state->data + state->session);
	session->slabs = htole32(le32toh(session->slabs) + 1);
}

int state_end(struct state *state, const struct state_head *head)
{
	const struct state_session *session;
	uint32_t sessions = 0, slabs = 0;

	if (state->error || !state->data)
		return -ENOMEM;
	*state->data = *head;
	state->data->magic = htole32(STATE_MAGIC);
	state->data->version = htole32(STATE_VERSION);
	state->data->bytes = htole32((uint32_t)state->bytes);
	for (session = state_next(state->data, NULL); session; session = state_next(state->data, session)) {
		sessions++;
		slabs += le32toh(session->slabs);
	}
	state->data->sessions = htole32(sessions);
	state->data->slabs = htole32(slabs);
	state->data->sum = htole32(sum_of(state->data, state->bytes));
	return 0;
}
