// SPDX-License-Identifier: GPL-2.0
/*
 * Two lives of a donor's daemon, with real memory between them: what the first one hands over is what the second one has, or nothing is,
 * and then under another incarnation. Verbs and systemd are made here.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cmocka.h>

#include "donor.h"
#include "farswapd.h"
#include "handover.h"
#include "log.h"
#include "push.h"
#include "rdma.h"
#include "session.h"
#include "state.h"
#include "unique.h"

#define SLAB_BYTES	(2ull << 20)
#define WORDS		(SLAB_BYTES / sizeof(uint64_t))
#define STORE_MAX	8
#define TIMERS		16

struct farswapd farswapd;
static struct farswap_node self;

/* --- verbs --- */

static struct ibv_context context;
static bool no_device;
static unsigned int regions, domains, registrations_left;
static struct ibv_mr *stuck;

struct domain {
	struct ibv_pd pd;
	unsigned int regions;
};

struct ibv_context *rdma_verbs(void)
{
	return no_device ? NULL : &context;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *of)
{
	struct domain *domain = calloc(1, sizeof(*domain));

	(void)of;
	domains++;
	return &domain->pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	struct domain *domain = (struct domain *)pd;

	if (domain->regions)
		return EBUSY;
	domains--;
	free(domain);
	return 0;
}

#undef ibv_reg_mr
struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *at, size_t bytes, int access)
{
	static uint32_t key;
	struct ibv_mr *mr;

	(void)access;
	if (!registrations_left) {
		errno = ENOMEM;
		return NULL;
	}
	registrations_left--;
	mr = calloc(1, sizeof(*mr));
	*mr = (struct ibv_mr) { .pd = pd, .addr = at, .length = bytes, .rkey = ++key };
	((struct domain *)pd)->regions++;
	regions++;
	return mr;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	if (mr == stuck)
		return EBUSY;
	((struct domain *)mr->pd)->regions--;
	regions--;
	free(mr);
	return 0;
}

void rdma_queue_destroy(struct queue *queue)
{
	(void)queue;
}

void push_session_gone(struct session *session)
{
	(void)session;
}

unsigned int push_count(const struct session *session)
{
	(void)session;
	return 0;
}

void donor_closed(struct donor_conn *to, uint32_t id, uint64_t session)
{
	(void)to;
	(void)id;
	(void)session;
}

void farswap_log(const char *format, ...)
{
	(void)format;
}

/* --- the loop --- */

static struct { sd_event_time_handler_t handler; void *arg; } timers[TIMERS];
static unsigned int n_timers;

int farswapd_timer(sd_event_source **source, uint64_t usec, sd_event_time_handler_t handler, void *arg)
{
	(void)source;
	(void)usec;
	assert_true(n_timers < TIMERS);
	timers[n_timers].handler = handler;
	timers[n_timers++].arg = arg;
	return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source)
{
	(void)source;
	return NULL;
}

static void time_passes(void)
{
	unsigned int i;

	for (i = 0; i < n_timers; i++)
		timers[i].handler(NULL, 0, timers[i].arg);
	n_timers = 0;
}

/* --- systemd's store --- */

static struct { char name[32]; int fd; } stored[STORE_MAX];
static unsigned int n_stored, store_room;
static bool removes = true;

static void drop_stored(const char *name)
{
	unsigned int i, k;

	for (i = k = 0; i < n_stored; i++) {
		if (!name || !strcmp(stored[i].name, name))
			close(stored[i].fd);
		else
			stored[k++] = stored[i];
	}
	n_stored = k;
}

static void put_stored(const char *name, int fd)
{
	assert_true(n_stored < STORE_MAX);
	strcpy(stored[n_stored].name, name);
	stored[n_stored++].fd = fcntl(fd, F_DUPFD, 100);
}

int sd_pid_notify_with_fds(pid_t pid, int unset, const char *text, const int *fds, unsigned int n)
{
	(void)pid;
	(void)unset;
	assert_int_equal(n, 1);
	assert_memory_equal(text, "FDSTORE=1\nFDNAME=", 17);
	assert_int_equal(regions, stuck != NULL);	/* nobody can reach it any more */
	if (!store_room)
		return -ENOBUFS;
	store_room--;
	put_stored(text + 17, fds[0]);
	return 1;
}

int sd_notify(int unset, const char *text)
{
	(void)unset;
	assert_memory_equal(text, "FDSTOREREMOVE=1\nFDNAME=", 23);
	if (removes)
		drop_stored(text + 23);
	return 1;
}

int sd_notify_barrier(int unset, uint64_t timeout)
{
	(void)unset;
	(void)timeout;
	return 1;
}

int sd_listen_fds_with_names(int unset, char ***names)
{
	unsigned int i;

	(void)unset;
	*names = n_stored ? calloc(n_stored + 1, sizeof(**names)) : NULL;
	for (i = 0; i < n_stored; i++) {
		assert_int_equal(dup2(stored[i].fd, SD_LISTEN_FDS_START + (int)i), SD_LISTEN_FDS_START + i);
		(*names)[i] = strdup(stored[i].name);
	}
	return (int)n_stored;
}

static int stored_fd(const char *name)
{
	unsigned int i;

	for (i = 0; i < n_stored; i++)
		if (!strcmp(stored[i].name, name))
			return stored[i].fd;
	return -1;
}

/* --- lives --- */

static const uint8_t boot_id[16] = { 1 };

static void life_begins(void)
{
	farswapd.incarnation = farswap_unique();
	handover_take();
}

static void life_ends(bool planned)
{
	if (planned)
		handover_give();
	session_close_all("the test ends");
	n_timers = 0;
	assert_int_equal(slab_count(), 0);
	slab_memory_drop();
}

/* what a slab of that number is full of */
static uint64_t word_of(uint64_t number, size_t i)
{
	return number * 0x9e3779b97f4a7c15ull + i;
}

static struct slab *grant(struct session *session, uint64_t extent)
{
	struct slab *slab = session_grant(session, extent, 1, SLAB_BYTES);
	uint64_t *data;
	size_t i;

	assert_non_null(slab);
	data = (uint64_t *)slab->data;
	for (i = 0; i < WORDS; i++) {
		assert_int_equal(data[i], 0);
		data[i] = word_of(slab->number, i);
	}
	return slab;
}

static struct session *open_session(const char *client, unsigned int slabs)
{
	struct session *session = session_open(NULL, client, boot_id);
	unsigned int i;

	assert_non_null(session);
	for (i = 0; i < slabs; i++)
		grant(session, i);
	return session;
}

static void has_all(uint64_t number, const char *client, unsigned int n)
{
	struct session *session = session_find(number, client);
	struct slab *slab;
	size_t i;

	assert_non_null(session);
	assert_int_equal(session->n_slabs, n);
	assert_memory_equal(session->boot_id, boot_id, sizeof(boot_id));
	for (slab = session->slabs; slab; slab = slab->next) {
		assert_non_null(slab->mr);
		assert_ptr_equal(slab->mr->addr, slab->data);
		for (i = 0; i < WORDS; i++)
			assert_int_equal(((uint64_t *)slab->data)[i], word_of(slab->number, i));
	}
}

static int begin(void **state)
{
	(void)state;
	setenv("NOTIFY_SOCKET", "/there", 1);
	drop_stored(NULL);
	no_device = false;
	stuck = NULL;
	removes = true;
	registrations_left = store_room = 1000;
	strcpy(self.name, "b");
	self.lend = 16;
	farswapd.self = &self;
	farswapd.conf.slab_bytes = SLAB_BYTES;
	session_init(0);
	life_begins();
	return 0;
}

static int end(void **state)
{
	(void)state;
	life_ends(false);
	assert_int_equal(regions, 0);
	assert_int_equal(domains, 0);
	return 0;
}

/* --- tests --- */

static void slabs_are_what_they_were(void **state)
{
	struct session *one = open_session("one", 3), *two = open_session("two", 2);
	uint64_t first = one->number, second = two->number, incarnation = farswapd.incarnation, number = one->slabs->next->number;
	struct slab *slab = session_slab(one, number);
	uint64_t slab_incarnation = slab->incarnation, extent = slab->extent;
	unsigned int life;

	(void)state;
	assert_int_equal(session_release(two, two->slabs), 0);	/* a hole */
	open_session("three", 0);
	for (life = 0; life < 3; life++) {
		life_ends(true);
		assert_int_equal(n_stored, 2);
		life_begins();
		assert_int_equal(n_stored, 0);
		assert_int_equal(farswapd.incarnation, incarnation);
		assert_int_equal(slab_count(), 4 + life);
		has_all(first, "one", 3 + life);
		has_all(second, "two", 1);
		slab = session_slab(session_find(first, "one"), number);
		assert_int_equal(slab->incarnation, slab_incarnation);
		assert_int_equal(slab->extent, extent);
		assert_ptr_equal(session_granted(session_find(first, "one"), extent, 1), slab);
		grant(session_find(first, "one"), 100 + life);	/* from nobody else's memory */
		has_all(second, "two", 1);
	}
}

static void a_state_is_used_once(void **state)
{
	uint64_t number = open_session("one", 2)->number, incarnation = farswapd.incarnation;

	(void)state;
	life_ends(true);
	removes = false;
	life_begins();
	has_all(number, "one", 2);
	life_ends(false);			/* killed: what it had changed is not known, and the store has it still */
	assert_int_equal(n_stored, 2);
	removes = true;
	life_begins();
	assert_int_equal(slab_count(), 0);
	assert_null(session_find(number, "one"));
	assert_int_not_equal(farswapd.incarnation, incarnation);
	assert_int_equal(n_stored, 0);
	assert_int_equal(slab_memory(), -1);	/* given back to the system */
}

static void flip_byte(void)
{
	uint8_t byte;
	int fd = stored_fd("farswap-state");

	assert_int_equal(pread(fd, &byte, 1, 100), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
}

static void cut_off(void)
{
	assert_int_equal(ftruncate(stored_fd("farswap-state"), 150), 0);
}

static void no_memory(void)
{
	drop_stored("farswap-memory");
}

static void no_state(void)
{
	drop_stored("farswap-state");
}

/* as large as it was */
static void other_memory(void)
{
	int fd = memfd_create("other", 0);

	assert_int_equal(ftruncate(fd, 64 << 20), 0);
	drop_stored("farswap-memory");
	put_stored("farswap-memory", fd);
	close(fd);
}

static void two_memories(void)
{
	int fd = memfd_create("other", 0);

	put_stored("farswap-memory", fd);
	close(fd);
}

static void shorter_memory(void)
{
	assert_int_equal(ftruncate(stored_fd("farswap-memory"), 4 << 20), 0);
}

static void no_rdma(void)
{
	no_device = true;
}

static void lends_less(void)
{
	self.lend = 2;
}

static void larger_slabs(void)
{
	farswapd.conf.slab_bytes = 2 * SLAB_BYTES;
}

static void another_node(void)
{
	strcpy(self.name, "c");
}

static void what_does_not_fit_is_nothing(void **state)
{
	static void (* const spoil[])(void) = { flip_byte, cut_off, no_memory, no_state, other_memory, two_memories, shorter_memory,
		no_rdma, lends_less, larger_slabs, another_node };
	unsigned int i;

	for (i = 0; i < sizeof(spoil) / sizeof(spoil[0]); i++) {
		uint64_t number = open_session("one", 3)->number, incarnation = farswapd.incarnation;

		life_ends(true);
		spoil[i]();
		life_begins();
		assert_null(session_find(number, "one"));
		assert_int_equal(slab_count(), 0);
		assert_int_equal(slab_memory(), -1);
		assert_int_equal(n_stored, 0);
		assert_int_not_equal(farswapd.incarnation, incarnation);
		life_ends(false);
		begin(state);
	}
}

/* its client finds no session; the others' find theirs */
static void one_that_cannot_be_registered_ends_alone(void **state)
{
	uint64_t one = open_session("one", 3)->number, two = open_session("two", 2)->number, incarnation = farswapd.incarnation;

	(void)state;
	life_ends(true);
	registrations_left = 3;		/* the newest session comes first */
	life_begins();
	registrations_left = 1000;
	time_passes();
	has_all(two, "two", 2);
	assert_null(session_find(one, "one"));
	assert_int_equal(slab_count(), 2);
	assert_int_equal(farswapd.incarnation, incarnation);
	open_session("three", 3);		/* finds zeros */
}

static void what_may_still_be_reached_is_not_handed_over(void **state)
{
	struct session *session = open_session("one", 3);
	uint64_t one = session->number, two = open_session("two", 2)->number;
	struct slab *slab = session->slabs->next;
	struct ibv_pd *pd = session->pd;

	(void)state;
	stuck = slab->mr;
	handover_give();
	session_close_all("the test ends");
	n_timers = 0;
	assert_int_equal(slab_count(), 1);
	stuck = NULL;				/* as with the end of the process */
	assert_int_equal(slab_revoke(slab), 0);
	slab_leave(slab);
	assert_int_equal(ibv_dealloc_pd(pd), 0);
	slab_memory_drop();

	life_begins();
	assert_null(session_find(one, "one"));
	has_all(two, "two", 2);
	open_session("three", 4);		/* finds zeros */
}

static void what_is_being_zeroed_is_not_handed_over(void **state)
{
	uint64_t one = open_session("one", 3)->number, two = open_session("two", 1)->number;

	(void)state;
	session_close(session_find(one, "one"), "asked by the client");
	life_ends(true);
	life_begins();
	assert_int_equal(slab_count(), 1);
	has_all(two, "two", 1);
	assert_null(session_find(one, "one"));
	open_session("three", 3);
}

static void a_lease_goes_on_from_its_count(void **state)
{
	struct farswap_lease_word word;
	struct session *session;
	uint64_t number;

	(void)state;
	session_init(8000000000ull);
	n_timers = 0;
	session = open_session("one", 1);
	number = session->number;
	session->lease.count = 12345;
	life_ends(true);
	life_begins();
	session = session_find(number, "one");
	assert_non_null(session->word.at);
	word = word_read(&session->word);
	assert_int_equal(le64toh(word.count), 12345);
	assert_int_equal(lease_look(&session->lease, &word, session->lease.since_ns + 1, 8000000000ull), LEASE_RUNS);
	word.count = htole64(12344);		/* an older state of its host */
	word.check = ~word.count;
	assert_int_equal(lease_look(&session->lease, &word, session->lease.since_ns + 2, 8000000000ull), LEASE_BACK);
}

static void without_anybody_to_give_it_to_it_is_zeroed(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	open_session("one", 2);
	handover_give();
	assert_int_equal(n_stored, 0);
	assert_int_equal(slab_count(), 2);
}

static void without_its_state_it_is_zeroed(void **state)
{
	int fd;
	uint64_t *data;
	size_t i;

	(void)state;
	open_session("one", 2);
	fd = fcntl(slab_memory(), F_DUPFD, 50);
	store_room = 1;
	handover_give();
	assert_int_equal(slab_count(), 2);
	life_ends(false);
	data = mmap(NULL, 3 * SLAB_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(data, MAP_FAILED);
	for (i = 0; i < 3 * WORDS; i++)
		assert_int_equal(data[i], 0);
	munmap(data, 3 * SLAB_BYTES);
	close(fd);
	life_begins();
	assert_int_equal(slab_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(slabs_are_what_they_were, begin, end),
		cmocka_unit_test_setup_teardown(a_state_is_used_once, begin, end),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_nothing, begin, end),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_registered_ends_alone, begin, end),
		cmocka_unit_test_setup_teardown(what_may_still_be_reached_is_not_handed_over, begin, end),
		cmocka_unit_test_setup_teardown(what_is_being_zeroed_is_not_handed_over, begin, end),
		cmocka_unit_test_setup_teardown(a_lease_goes_on_from_its_count, begin, end),
		cmocka_unit_test_setup_teardown(without_anybody_to_give_it_to_it_is_zeroed, begin, end),
		cmocka_unit_test_setup_teardown(without_its_state_it_is_zeroed, begin, end),
	};
	int fd;

	for (fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + STORE_MAX; fd++)	/* theirs; nothing else comes to lie there */
		if (dup2(STDERR_FILENO, fd) != fd)
			return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
