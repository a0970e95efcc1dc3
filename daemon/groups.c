// SPDX-License-Identifier: GPL-2.0
#include "groups.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "farswapd.h"
#include "group.h"
#include "log.h"
#include "util.h"

#define SIZE_CHAR	'0'		/* no place is taken */
#define SIZE_MAX_TOLD	('z' - SIZE_CHAR)
#define AGAIN		SECONDS(1)	/* the engine was not reached */
#define CROWD_USEC	1000000		/* another was faster: again within that, drawn, and twice as long each time: thousands may be started at once */
#define CROWD_USEC_MAX	(64 * CROWD_USEC)

static const struct engine_ops *ops;
static struct engine *engine;
static void (*begin)(uint32_t group);
static uint32_t mine;
static uint64_t place_mod;		/* what place/NODE and groups had when they were read */
static uint32_t place;
static sd_event_source *again;
static uint64_t seed, crowd_usec;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

int groups_parse(const char *text, uint32_t sizes[GROUPS_MAX])
{
	size_t i, n = text ? strlen(text) : 0;

	if (n > GROUPS_MAX)
		return -1;
	for (i = 0; i < n; i++) {
		if (text[i] < SIZE_CHAR || text[i] > SIZE_CHAR + SIZE_MAX_TOLD)
			return -1;
		sizes[i] = (uint32_t)(text[i] - SIZE_CHAR);
	}
	return (int)n;
}

void groups_print(const uint32_t *sizes, size_t n, char *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		out[i] = (char)(SIZE_CHAR + (sizes[i] < SIZE_MAX_TOLD ? sizes[i] : SIZE_MAX_TOLD));
	out[n] = 0;
}

bool groups_choose(uint32_t known, uint32_t had, uint32_t places, uint32_t sizes[GROUPS_MAX], size_t *n, uint32_t *group)
{
	if (known < GROUPS_MAX)
		*group = known;
	else if (had < *n && sizes[had] <= places)
		*group = had;
	else
		*group = (uint32_t)group_join(sizes, *n, places);
	if (*group == had && had < *n)
		return false;
	if (*group >= GROUPS_MAX)	/* there can be no more: the last one is the largest, then */
		*group = GROUPS_MAX - 1;
	for (; *n <= *group; ++*n)
		sizes[*n] = 0;
	if (had < *n && sizes[had])
		sizes[had]--;
	sizes[*group]++;
	return true;
}

static void key_of_place(char out[ENGINE_KEY_MAX])
{
	snprintf(out, ENGINE_KEY_MAX, "place/%s", farswapd.self->name);
}

static int on_again(sd_event_source *source, uint64_t usec, void *arg);

static int try_again(enum engine_result result)
{
	uint64_t usec = result == ENGINE_DIFFERS ? farswap_draw(&seed) % crowd_usec : AGAIN;

	if (result == ENGINE_DIFFERS && crowd_usec < CROWD_USEC_MAX)
		crowd_usec *= 2;
	return farswapd_timer(&again, usec, on_again, NULL);
}

static void settled(uint32_t group)
{
	bool first = mine == GROUPS_NONE;

	mine = group;
	if (first)
		begin(group);
}

static void on_placed(void *arg, enum engine_result result, uint64_t revision)
{
	(void)revision;
	if (result == ENGINE_DONE)
		settled((uint32_t)(uintptr_t)arg);
	else
		try_again(result);
}

static void on_sizes(void *arg, enum engine_result result, const struct engine_kv *kv)
{
	char key[ENGINE_KEY_MAX], number[16], text[GROUPS_MAX + 1];
	static uint32_t sizes[GROUPS_MAX];
	struct engine_put puts[2];
	uint32_t group;
	size_t n;
	int got;

	(void)arg;
	got = result == ENGINE_DONE ? groups_parse(kv ? kv->value : NULL, sizes) : -1;
	if (got < 0) {
		if (result == ENGINE_DONE)
			farswap_log_limited(&limit, "%s: what is under " GROUPS_KEY " is not understood: no group is taken until it is mended", ops->name);
		try_again(result == ENGINE_DONE ? ENGINE_NOT_REACHED : result);
		return;
	}
	n = (size_t)got;
	if (!groups_choose(mine, place, farswapd.conf.etcd_group, sizes, &n, &group)) {
		settled(group);
		return;
	}
	groups_print(sizes, n, text);
	snprintf(number, sizeof(number), "%" PRIu32, group);
	key_of_place(key);
	puts[0] = (struct engine_put) { .key = GROUPS_KEY, .value = text, .compare = true, .mod = kv ? kv->mod : 0 };
	puts[1] = (struct engine_put) { .key = key, .value = number, .compare = true, .mod = place_mod };
	if (!ops->put(engine, puts, 2, on_placed, (void *)(uintptr_t)group))
		try_again(ENGINE_NOT_REACHED);
}

static void on_place(void *arg, enum engine_result result, const struct engine_kv *kv)
{
	uint64_t number;

	(void)arg;
	if (result == ENGINE_DONE) {
		place_mod = kv ? kv->mod : 0;
		place = kv && !farswap_parse_u64(kv->value, GROUPS_MAX - 1, &number) ? (uint32_t)number : GROUPS_NONE;
		if (ops->get(engine, GROUPS_KEY, on_sizes, NULL))
			return;
	}
	try_again(ENGINE_NOT_REACHED);
}

static int on_again(sd_event_source *source, uint64_t usec, void *arg)
{
	char key[ENGINE_KEY_MAX];

	(void)source;
	(void)usec;
	(void)arg;
	key_of_place(key);
	if (!ops->get(engine, key, on_place, NULL))
		try_again(ENGINE_NOT_REACHED);
	return 0;
}

int groups_begin(const struct engine_ops *with, struct engine *of, uint32_t known, void (*to_begin)(uint32_t group))
{
	ops = with;
	engine = of;
	begin = to_begin;
	mine = GROUPS_NONE;
	seed = farswapd.incarnation;
	crowd_usec = CROWD_USEC;
	if (known < GROUPS_MAX)
		settled(known);
	if (try_again(ENGINE_DIFFERS) >= 0)	/* the timer is there from now on */
		return 0;
	farswap_log("%s: out of memory", ops->name);
	return -1;
}

void groups_exit(void)
{
	again = sd_event_source_disable_unref(again);
}
