// SPDX-License-Identifier: GPL-2.0
#include "handover.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "farswapd.h"
#include "log.h"
#include "rdma.h"
#include "session.h"
#include "slab.h"
#include "state.h"

#define MEMORY_NAME	"farswap-memory"
#define STATE_NAME	"farswap-state"
#define STORED_LIMIT	SECONDS(10)

struct handed {
	int memory, state;	/* -1: none */
	bool twice;
};

/* --- taking --- */

/* where that name goes; NULL: it is none of ours */
static int *slot_of(struct handed *handed, const char *name)
{
	if (!strcmp(name, MEMORY_NAME))
		return &handed->memory;
	return !strcmp(name, STATE_NAME) ? &handed->state : NULL;
}

static void receive(struct handed *handed)
{
	char **names = NULL;
	int i, *slot, n = sd_listen_fds_with_names(1, &names);

	for (i = 0; i < n; i++) {
		slot = slot_of(handed, names[i]);
		free(names[i]);
		if (slot && *slot < 0) {
			*slot = SD_LISTEN_FDS_START + i;
			continue;
		}
		handed->twice |= slot != NULL;
		close(SD_LISTEN_FDS_START + i);
	}
	free(names);
}

/* and voids it, so that it is not found again, whatever happens to this process; NULL: nothing that can be used */
static void *read_once(int fd, size_t *bytes)
{
	struct stat stat;
	void *data;
	bool good;

	if (fstat(fd, &stat) || stat.st_size > STATE_BYTES_MAX)
		return NULL;
	data = malloc((size_t)stat.st_size + 1);
	if (!data)
		return NULL;
	good = pread(fd, data, (size_t)stat.st_size, 0) == stat.st_size && !ftruncate(fd, 0);
	*bytes = (size_t)stat.st_size;
	if (good)
		return data;
	free(data);
	return NULL;
}

/* NULL: it may be */
static const char *may_be_used(const struct handed *handed, const void *data, size_t bytes)
{
	struct state_fit fit = {
		.node = farswapd.self->name,
		.slab_bytes = farswapd.conf.slab_bytes,
		.places = slab_memory_places(farswapd.conf.slab_bytes),
		.lend = farswapd.self->lend,
	};
	struct stat stat;
	const char *why;

	if (handed->twice || handed->memory < 0 || handed->state < 0)
		return "not one memory and one state came";
	if (!data || fstat(handed->memory, &stat))
		return "it cannot be read";
	fit.memory = stat.st_ino;
	why = state_check(data, bytes, &fit);
	return why || rdma_verbs() ? why : "there is no RDMA device";
}

static void restore(const void *data)
{
	const struct state_session *state;
	unsigned int sessions = 0;

	for (state = state_next(data, NULL); state; state = state_next(data, state))
		sessions += !session_restore(state, farswapd.conf.slab_bytes);
	if (sessions)
		farswapd.incarnation = le64toh(((const struct state_head *)data)->incarnation);
	slab_memory_clean(farswapd.conf.slab_bytes);
	farswap_log("took over %u slabs of %u sessions", slab_count(), sessions);
}

void handover_take(void)
{
	struct handed handed = { .memory = -1, .state = -1 };
	const char *why;
	size_t bytes = 0;
	void *data;

	receive(&handed);
	if (handed.memory < 0 && handed.state < 0)
		return;
	data = handed.state < 0 ? NULL : read_once(handed.state, &bytes);
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" MEMORY_NAME);
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" STATE_NAME);
	slab_memory_take(handed.memory);
	why = may_be_used(&handed, data, bytes);
	if (why) {
		farswap_log("what an earlier farswapd lent is not taken over: %s", why);
		slab_memory_drop();
	} else {
		restore(data);
	}
	free(data);
	if (handed.state >= 0)
		close(handed.state);
}

/* --- giving --- */

static void add(struct state *state, const struct session *session)
{
	struct state_session s = {
		.number = htole64(session->number),
		.lease_count = htole64(session->lease.count),
	};
	const struct slab *slab;

	memcpy(s.boot_id, session->boot_id, sizeof(s.boot_id));
	memcpy(s.client, session->client, sizeof(s.client));
	state_add_session(state, &s);
	for (slab = session->slabs; slab; slab = slab->next)
		state_add_slab(state, &(struct state_slab) {
			.number = htole64(slab->number),
			.incarnation = htole64(slab->incarnation),
			.extent = htole64(slab->extent),
			.generation = htole32(slab->generation),
			.place = htole32(slab->place),
		});
}

static bool is_fenced(const struct session *session)
{
	return session->state == SESSION_OPEN && !session->pd;
}

/* one without slabs costs its client nothing to open anew */
static void fence_all(struct state *state)
{
	struct session *session = NULL;

	while ((session = session_next(session)))
		if (session->state == SESSION_OPEN && session->slabs && session_fence(session))
			add(state, session);
}

static int end_state(struct state *state)
{
	struct state_head head = {
		.incarnation = htole64(farswapd.incarnation),
		.slab_bytes = htole64(farswapd.conf.slab_bytes),
	};
	struct stat stat;

	if (fstat(slab_memory(), &stat))
		return -errno;
	head.memory = htole64(stat.st_ino);
	memcpy(head.node, farswapd.self->name, strnlen(farswapd.self->name, sizeof(head.node) - 1));
	return state_end(state, &head);
}

static int store(int fd, const char *name)
{
	char text[64];
	int ret;

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	ret = sd_pid_notify_with_fds(0, 0, text, &fd, 1);
	return ret > 0 ? 0 : ret ? ret : -ENOTCONN;
}

/* the state last: without it the memory is worth nothing */
static int give(const struct state *state)
{
	int fd = memfd_create("farswap-state", MFD_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, state->data, state->bytes) == (ssize_t)state->bytes ? 0 : -EIO;
	if (!ret)
		ret = store(slab_memory(), MEMORY_NAME);
	if (!ret)
		ret = store(fd, STATE_NAME);
	close(fd);
	return ret;
}

static void leave_all(void)
{
	struct session *session = session_next(NULL), *next;

	for (; session; session = next) {
		next = session_next(session);
		if (is_fenced(session))
			session_leave(session);
	}
}

bool handover_give(void)
{
	struct state state = { 0 };
	bool given;
	int ret;

	if (!getenv("NOTIFY_SOCKET"))
		return false;
	fence_all(&state);
	if (!state.data)
		return false;
	ret = end_state(&state);
	if (!ret)
		ret = give(&state);
	given = !ret;
	if (ret) {
		farswap_log("what is lent is not handed over: %s", strerror(-ret));
	} else {
		farswap_log("hands over %u slabs of %u sessions", le32toh(state.data->slabs), le32toh(state.data->sessions));
		leave_all();
		/* it may be on its way all the same: from here on nobody touches the memory */
		ret = sd_notify_barrier(0, STORED_LIMIT);
		if (ret < 0)
			farswap_log("not known whether it was taken: %s", strerror(-ret));
	}
	free(state.data);
	return given;
}
