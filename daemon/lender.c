// SPDX-License-Identifier: GPL-2.0
#include "lender.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "device.h"
#include "donor.h"
#include "evict.h"
#include "farswapd.h"
#include "favour.h"
#include "log.h"
#include "session.h"

#define LOOK_EVERY	SECONDS(1)
#define SOON_IN_EVERY	5		/* looks, while it is to be seen whether memory stays short */
#define LOOK_SOON	(LOOK_EVERY / SOON_IN_EVERY)
#define FRESH_NS	3000000000ull	/* what an owner told is believed for so long; it tells each second */
#define SECOND_NS	1000000000ull
#define CHOOSE_NS	2500000000ull	/* owners have so long to tell before some of their slabs are chosen */
/* some task waited for memory for 150 ms of a second */
#define PRESSURE_PATH	"/proc/pressure/memory"
#define PRESSURE_TRIGGER "some 150000 1000000"

static struct lend lend;
static struct lend_marks marks;
static uint32_t offered;
static uint64_t seed;
static sd_event_source *looking, *pressing;
static int pressure = -1;
static bool pressed;
static bool soon;			/* the next look */
static unsigned int nth;		/* of those */
static uint64_t paged_out;
static uint64_t choosing_ns;		/* slabs are to be chosen since; 0: none: */
static uint32_t wanted;			/* so many */
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

/* ---- what the host says ---- */

/* pages that it has swapped out so far; 0: not known */
static uint64_t swapped_out(void)
{
	unsigned long long pages = 0;
	char line[128];
	FILE *file = fopen("/proc/vmstat", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "pswpout %llu", &pages) == 1)
			break;
	if (file)
		fclose(file);
	return pages;
}

/* counted only where a node that swaps out itself is not to lend */
static bool pages_out(void)
{
	uint64_t before = paged_out;

	paged_out = swapped_out();
	return !farswapd.conf.lend_while_borrowing && before && paged_out > before;
}

/* ---- the slabs ---- */

struct all {
	struct evict_slab *slabs;
	struct slab **at;
	size_t n;
};

static void forget(struct slab *slab)
{
	slab->asked_ns = 0;
	slab->urgent = false;
}

static bool is_fresh(const struct slab *slab, uint64_t now)
{
	return slab->told_ns && now - slab->told_ns < FRESH_NS;
}

/* those of open sessions; false: out of memory */
static bool gather(struct all *all)
{
	uint64_t now = farswap_now_ns();
	struct session *session = NULL;
	struct slab *slab;
	uint32_t owner = 0;

	*all = (struct all) { .slabs = calloc(slab_count() + 1, sizeof(*all->slabs)), .at = calloc(slab_count() + 1, sizeof(*all->at)) };
	if (!all->slabs || !all->at) {
		free(all->slabs);
		free(all->at);
		return false;
	}
	while ((session = session_next(session))) {
		owner++;
		for (slab = session->state == SESSION_OPEN ? session->slabs : NULL; slab; slab = slab->next) {
			bool known = is_fresh(slab, now);

			if (!known)
				forget(slab);	/* its owner is not heard of: another may take its place */
			all->slabs[all->n] = (struct evict_slab) {
				.owner = owner,
				.asked = slab->asked_ns,
				.overdue = slab->asked_ns && now - slab->asked_ns >= farswapd.conf.deadline_s * SECOND_NS,
				.refused = known && slab->stays,
				.kept = slab->kept,
				.known = known,
				.activity = slab->activity,
			};
			all->at[all->n++] = slab;
		}
	}
	return true;
}

static void gathered(struct all *all)
{
	free(all->slabs);
	free(all->at);
}

/* false: an owner of a slab that was drawn has not told yet, and has time still */
static bool all_told(const struct all *all, const size_t *sample, size_t n, uint64_t now)
{
	size_t i;

	if (now - choosing_ns >= CHOOSE_NS)
		return true;
	for (i = 0; i < n; i++)
		if (!all->slabs[sample[i]].known || all->at[sample[i]]->told_ns < choosing_ns)
			return false;
	return true;
}

/* E + E' are drawn, and, once their owners have told, the E least active of them asked for */
static void ask(struct all *all, uint32_t e)
{
	size_t sample[LEND_ASKED_MAX + EVICT_EXTRA], chosen[LEND_ASKED_MAX], i, n, got;
	struct evict_slab drawn[LEND_ASKED_MAX + EVICT_EXTRA];
	uint64_t now = farswap_now_ns(), same = seed;

	if (!choosing_ns)
		choosing_ns = now;
	n = evict_sample(all->slabs, all->n, e, &same, sample);	/* the same until they are chosen */
	if (!n || !all_told(all, sample, n, now))
		return;
	for (i = 0; i < n; i++)
		drawn[i] = all->slabs[sample[i]];
	got = evict_choose(drawn, n, e, chosen);
	for (i = 0; i < got; i++)
		all->at[sample[chosen[i]]]->asked_ns = now;
	if (got)
		farswap_log_limited(&limit, "memory is short: %zu slabs are asked back, %u of %zu are", got, lender_asked(false), all->n);
	seed = same;
	choosing_ns = 0;
}

static void forget_asked(const struct all *all)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		forget(all->at[i]);
	choosing_ns = 0;
}

/* so many are to be given up, those included that are on their way */
static void give_up(struct all *all, uint32_t e)
{
	size_t i, n, *chosen;
	uint32_t urgent = 0;

	for (i = 0; i < all->n; i++)
		urgent += all->at[i]->urgent;
	if (e <= urgent)
		return;
	chosen = calloc(e, sizeof(*chosen));
	n = chosen ? evict_revoke(all->slabs, all->n, e, chosen) : 0;
	for (i = 0; i < n && urgent < e; i++) {
		struct slab *slab = all->at[chosen[i]];

		if (slab->urgent)
			continue;
		urgent++;
		slab->urgent = true;
		if (!slab->asked_ns)
			slab->asked_ns = farswap_now_ns();
	}
	free(chosen);
	farswap_log_limited(&limit, "memory is short: of %zu slabs %u are to be given up at once, %u would be enough", all->n, urgent, e);
}

/* ---- each second ---- */

/* true: memory is short, and nothing is done about it yet */
static bool look(void)
{
	uint64_t free_mib;
	struct lend_look now = { .now_ns = farswap_now_ns(), .pages_out = pages_out() };
	enum lend_state before = lend.state;
	struct lend_step step;
	struct all all;
	size_t i;

	slab_memory_room(marks.slab_bytes, 0, &free_mib);
	if (!free_mib || !gather(&all))
		return false;	/* not known now */
	now.available = free_mib << 20;
	/* waiting in a control group at its own limit counts there too: it means the host only when its memory is low */
	now.pressure = pressed && now.available < 2 * marks.high;
	pressed = false;
	now.lent = (uint32_t)all.n;
	now.returning = slab_count() - now.lent;
	for (i = 0; i < all.n; i++) {
		now.asked += all.slabs[i].asked;
		now.overdue += all.slabs[i].overdue;
	}
	step = lend_look(&lend, &marks, &now);
	if (lend.state != before)
		farswap_log("memory: %s, %llu MiB available (low mark %llu, high mark %llu), %u slabs lent", lend_state_name(lend.state),
			    (unsigned long long)free_mib, (unsigned long long)marks.low >> 20, (unsigned long long)marks.high >> 20, now.lent);
	offered = step.offered;
	if (lend.state == LEND_OFFERS || lend.state == LEND_HOLDS)
		forget_asked(&all);
	for (i = 0; i < all.n && lend.state != LEND_REVOKES && now.available >= marks.low; i++)
		all.at[i]->urgent = false;
	if (step.revoke)
		give_up(&all, step.revoke);
	wanted = donor_drained() ? 0 : step.ask;	/* when it is drained, all are asked for */
	if (wanted)
		ask(&all, wanted);
	gathered(&all);
	return lend.state == LEND_HOLDS && now.lent && now.available < marks.low;
}

static int on_look(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	(void)arg;
	nth = soon ? nth + 1 : 0;
	if (nth % SOON_IN_EVERY == 0)
		marks.cap = favour_look();	/* which counts by the second */
	soon = look();
	return farswapd_timer(&looking, soon ? LOOK_SOON : LOOK_EVERY, on_look, NULL);
}

static int on_pressure(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)arg;
	if (events & EPOLLERR) {
		farswap_log("%s: not told of pressure any more", PRESSURE_PATH);
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	pressed = true;
	look();
	return 0;
}

/* a kernel without PSI, or where it is switched off, has the marks alone */
static void watch_pressure(void)
{
	int ret;

	pressure = open(PRESSURE_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ret = pressure >= 0 && write(pressure, PRESSURE_TRIGGER, sizeof(PRESSURE_TRIGGER)) > 0 ?
	      sd_event_add_io(farswapd.loop, &pressing, pressure, EPOLLPRI, on_pressure, NULL) : -errno;
	if (ret >= 0)
		return;
	farswap_log("%s: %s: memory is looked at each second, pressure is not", PRESSURE_PATH, strerror(-ret));
	if (pressure >= 0)
		close(pressure);
	pressure = -1;
}

int lender_conf(void)
{
	marks = (struct lend_marks) {
		.low = farswapd.conf.reserve_bytes, .high = farswapd.conf.reserve_high_bytes, .hard = farswapd.conf.reserve_hard_bytes,
		.slab_bytes = farswapd.conf.slab_bytes, .cap = favour_look(),
	};
	if (!farswapd.self->lend && !looking)
		return 0;
	if (pressure < 0)
		watch_pressure();
	look();
	return farswapd_timer(&looking, LOOK_EVERY, on_look, NULL);
}

int lender_init(void)
{
	seed = farswap_now_ns();
	return lender_conf();
}

void lender_exit(void)
{
	favour_exit();
	looking = sd_event_source_disable_unref(looking);
	pressing = sd_event_source_disable_unref(pressing);
	if (pressure >= 0)
		close(pressure);
	pressure = -1;
}

/* ---- what others ask ---- */

uint32_t lender_room(void)
{
	uint32_t there = slab_count();

	return offered > there ? offered - there : 0;
}

static bool has_poisoned(const char *client)
{
	struct session *session = NULL;
	const struct slab *slab;

	while (slab_poisoned() && (session = session_next(session)))
		for (slab = session->state == SESSION_OPEN && !strcmp(session->client, client) ? session->slabs : NULL; slab; slab = slab->next)
			if (slab->poisoned)
				return true;
	return false;
}

bool lender_asks(const char *client)
{
	return lend.state == LEND_ASKS || lend.state == LEND_REVOKES || has_poisoned(client);
}

enum lend_state lender_state(void)
{
	return lend.state;
}

uint32_t lender_asked(bool urgent)
{
	struct session *session = NULL;
	struct slab *slab;
	uint32_t n = 0;

	while ((session = session_next(session)))
		for (slab = session->slabs; slab; slab = slab->next)
			n += slab->poisoned || (urgent ? slab->urgent : slab->asked_ns != 0);
	return n;
}

static void note(struct session *session, const struct farswap_msg_activity *told)
{
	uint32_t i;

	for (i = 0; i < le32toh(told->n); i++) {
		struct slab *slab = session_slab(session, le64toh(told->slabs[i].slab));

		if (!slab)
			continue;
		slab->told_ns = farswap_now_ns();
		slab->activity = le64toh(told->slabs[i].activity);
		slab->stays = le32toh(told->slabs[i].flags) & FARSWAP_SLAB_STAYS;
		slab->kept = le32toh(told->slabs[i].flags) & FARSWAP_SLAB_KEPT;
		slab->urgent &= !slab->kept;
		if (slab->stays && !slab->urgent)
			forget(slab);		/* another is asked for in its place */
	}
}

void lender_told(struct session *session, const struct farswap_msg_activity *told, union farswap_msg *answer)
{
	uint32_t i, n = 0, urgent = 0;
	struct all all;

	note(session, told);
	if (choosing_ns && gather(&all)) {	/* perhaps it was the last that was waited for */
		ask(&all, wanted);
		gathered(&all);
	}
	farswap_msg_make(answer, FARSWAP_MSG_ASKED, le32toh(told->head.id));
	answer->listed.session = told->session;
	for (i = 0; i < le32toh(told->n); i++) {
		const struct slab *slab = session_slab(session, le64toh(told->slabs[i].slab));

		if (!slab || !(slab->asked_ns || slab->poisoned))
			continue;
		urgent |= (uint32_t)(slab->urgent || slab->poisoned) << n;
		answer->listed.slabs[n++] = told->slabs[i].slab;
	}
	answer->listed.n = htole32(n);
	answer->listed.urgent = htole32(urgent);
}
