// SPDX-License-Identifier: GPL-2.0
#include "favour.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "farswapd.h"
#include "log.h"
#include "shortage.h"

#define PAGE		4096	/* the kernel rounds memory.high down to it: what it then says must be what was written */
#define FEWER		4	/* parts: of the faults that are many, to be few */

static struct shortage shortage;
static uint64_t asked;			/* since the last look, here and, as they tell it, by the others of the group */
static uint32_t asked_here;		/* so far */
static char group[256];			/* whose memory.high is written */
static uint64_t first, written;		/* its memory.high before, and as it was written; 0: nothing was */
static uint64_t faults;			/* of the group so far */
static bool counted;
static char why[400];			/* nothing can be done for the group; "": it can */
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

void favour_asked(void)
{
	asked++;
	asked_here++;
}

uint32_t favour_asked_here(void)
{
	return asked_here;
}

void favour_heard(uint32_t n)
{
	asked += n;
}

/* --- the control group --- */

static int open_in_group(const char *name, int flags)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return open(path, flags | O_CLOEXEC);
}

/* the file's number, or that of a line of it; UINT64_MAX: "max". False: not read, and why says so */
static bool read_number(const char *name, const char *key, uint64_t *out)
{
	char text[16384], *at = text;
	int fd = open_in_group(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		snprintf(why, sizeof(why), "%s/%s cannot be read: %s", group, name, n ? strerror(errno) : "it is empty");
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	if (key)
		at = strstr(text, key);
	if (!at) {
		snprintf(why, sizeof(why), "%s/%s does not tell %s", group, name, key);
		return false;
	}
	at += key ? strlen(key) : 0;
	*out = strncmp(at, "max", 3) ? strtoull(at, NULL, 10) : UINT64_MAX;
	return true;
}

static bool write_high(uint64_t bytes)
{
	char text[32];
	int fd = open_in_group("memory.high", O_WRONLY | O_TRUNC), n = snprintf(text, sizeof(text), "%" PRIu64 "\n", bytes);
	bool done = fd >= 0 && write(fd, text, (size_t)n) == n;

	if (!done)
		snprintf(why, sizeof(why), "%s/memory.high cannot be written: %s", group, strerror(errno));
	if (fd >= 0)
		close(fd);
	return done;
}

/* as it was before, unless somebody else has set it since */
static void give_back(void)
{
	uint64_t now;

	if (written && read_number("memory.high", NULL, &now) && now == written && now != first && !write_high(first))
		farswap_log("%s: it stays at %" PRIu64 ", and was %" PRIu64 " before", why, written, first);
	written = 0;
	counted = false;
}

/* where somebody else has set it, it begins anew from there */
static bool set_high(void)
{
	uint64_t now, wanted;

	if (!read_number("memory.high", NULL, &now))
		return false;
	if (now == UINT64_MAX) {
		snprintf(why, sizeof(why), "%s has no memory.high that could be raised", group);
		return false;
	}
	if (now != written) {
		if (written)
			shortage.taken = 0;
		first = now;
	}
	wanted = shortage_high(&shortage, first) / PAGE * PAGE;
	if (wanted != now && !write_high(wanted))
		return false;
	written = wanted;
	return true;
}

/* major faults since the last look */
static uint64_t new_faults(void)
{
	uint64_t before = faults;
	bool had = counted;

	counted = read_number("memory.stat", "\npgmajfault ", &faults);
	return counted && had && faults > before ? faults - before : 0;
}

/* --- each second --- */

static void begin(const struct farswap_conf *conf)
{
	give_back();
	shortage = (struct shortage) { .policy = conf->shortage };
	strcpy(group, conf->shortage_group);
}

uint32_t favour_look(void)
{
	const struct farswap_conf *conf = &farswapd.conf;
	struct shortage_limits limits = {
		.cap = farswapd.self->lend, .slab_bytes = conf->slab_bytes, .budget = conf->shortage_budget_bytes,
		.faults_high = conf->shortage_faults, .faults_low = conf->shortage_faults / FEWER,
	};
	struct shortage_look look = { .now_ns = farswap_now_ns(), .requests = asked };
	uint64_t before = shortage.taken;

	asked = 0;
	why[0] = 0;
	if (limits.budget > limits.cap * limits.slab_bytes)
		limits.budget = limits.cap * limits.slab_bytes;
	if (conf->shortage != shortage.policy || strcmp(conf->shortage_group, group))
		begin(conf);
	if (shortage.policy == SHORTAGE_RAISE)
		look.faults = new_faults();
	shortage_look(&shortage, &limits, &look);
	if (shortage.policy == SHORTAGE_RAISE && !set_high())
		shortage.taken = 0;	/* it would be for nothing */
	if (!before != !shortage.taken)
		farswap_log_limited(&limit, "shortage=%s: %s", shortage_name(shortage.policy), shortage.taken ? "takes memory from what is lent" : "has given it back");
	return shortage_cap(&shortage, &limits);
}

void favour_exit(void)
{
	give_back();
}

struct json_object *favour_status(void)
{
	struct json_object *all = json_object_new_object();

	json_object_object_add(all, "policy", json_object_new_string(shortage_name(shortage.policy)));
	json_object_object_add(all, "taken", json_object_new_uint64(shortage.taken));
	json_object_object_add(all, "group", json_object_new_string(shortage.policy == SHORTAGE_RAISE ? group : ""));
	json_object_object_add(all, "why", json_object_new_string(why));
	return all;
}
