// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pagemap.h"
#include "pressure.h"

#define MARGIN		64	/* pages: the kernel charges and frees in batches of so many */
#define TEXT_BYTES	32768

uint64_t pressure_counter(const char *text, const char *key)
{
	size_t length = strlen(key);
	const char *line;

	for (line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, key, length) && line[length] == ' ')
			return strtoull(line + length, NULL, 10);
	return 0;
}

uint64_t pressure_limit(const char *text)
{
	return strncmp(text, "max", 3) ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static uint64_t largest(const char *list)
{
	uint64_t most = 0, one;
	char *end;

	while (*list) {
		one = strtoull(list, &end, 10);
		if (end == list)
			end++;
		else if (one > most)
			most = one;
		list = end;
	}
	return most;
}

uint64_t pressure_reserve(FILE *zoneinfo)
{
	uint64_t high = 0, managed = 0, keeps, all = 0;
	char line[512];

	while (fgets(line, sizeof(line), zoneinfo)) {
		if (!strncmp(line, "Node ", 5))
			high = managed = 0;
		sscanf(line, " high %" SCNu64, &high);	/* the per-CPU lists' line says "high:" */
		sscanf(line, " managed %" SCNu64, &managed);
		if (!strstr(line, "protection: ("))
			continue;
		keeps = high + largest(strchr(line, '('));
		all += keeps < managed ? keeps : managed;
	}
	return all;
}

static int open_in(const char *directory, const char *name)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* the whole of an open file as text; false when it cannot be read */
static bool read_text(int fd, char text[TEXT_BYTES])
{
	size_t got = 0;
	ssize_t n;

	do {
		n = pread(fd, text + got, TEXT_BYTES - 1 - got, (off_t)got);
		got += n > 0 ? (size_t)n : 0;
	} while (n > 0 && got < TEXT_BYTES - 1);
	text[got] = 0;
	return !n && got;
}

static uint64_t scanned_by_machine(const char *vmstat)
{
	return pressure_counter(vmstat, "pgscan_kswapd") + pressure_counter(vmstat, "pgscan_direct");
}

static uint64_t limit_hits(const char *events)
{
	return pressure_counter(events, "high") + pressure_counter(events, "max");
}

int pressure_start(struct pressure *p, const char *proc)
{
	static char text[TEXT_BYTES];
	char path[4200];
	FILE *zones;

	p->n = 0;
	p->vmstat = open_in(proc, "vmstat");
	if (p->vmstat < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/zoneinfo", proc);
	zones = fopen(path, "re");
	if (!zones || !read_text(p->vmstat, text)) {
		int ret = errno ? -errno : -EIO;

		if (zones)
			fclose(zones);
		close(p->vmstat);
		return ret;
	}
	p->reserve = pressure_reserve(zones);
	fclose(zones);
	p->scanned = scanned_by_machine(text);
	return 0;
}

static void close_group(struct pressure_group *group)
{
	int *files[] = { &group->current, &group->high, &group->max, &group->events, &group->stat };
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (*files[i] >= 0)
			close(*files[i]);
}

static void leave(struct pressure *p)
{
	while (p->n)
		close_group(&p->groups[--p->n]);
}

/* 0; -ENOENT if the group has no memory controller, which then nothing around it needs */
static int enter_one(struct pressure_group *group, const char *mount, bool innermost)
{
	static char text[TEXT_BYTES];
	char directory[8200];
	int ret = 0;

	snprintf(directory, sizeof(directory), "%s%s", mount, group->path);
	group->current = open_in(directory, "memory.current");
	group->high = open_in(directory, "memory.high");
	group->max = open_in(directory, "memory.max");
	group->events = open_in(directory, innermost ? "memory.events" : "memory.events.local");
	group->stat = innermost ? open_in(directory, "memory.stat") : -1;
	if (group->current < 0 || group->high < 0 || group->max < 0 || group->events < 0)
		ret = -errno;
	if (!ret && innermost && !read_text(group->stat, text))
		ret = -EIO;
	if (!ret && innermost)
		group->scanned = pressure_counter(text, "pgscan");
	if (!ret && !read_text(group->events, text))
		ret = -EIO;
	group->hits = limit_hits(text);
	if (ret)
		close_group(group);
	return ret;
}

int pressure_enter(struct pressure *p, const char *mount, const char *group)
{
	char path[sizeof(p->groups[0].path)];
	int ret;

	leave(p);
	snprintf(path, sizeof(path), "%s", group);
	while (path[0] == '/' && path[1]) {	/* the root has neither limits nor a count of its own */
		if (p->n == PRESSURE_DEPTH)
			return -ELOOP;
		memcpy(p->groups[p->n].path, path, sizeof(path));
		ret = enter_one(&p->groups[p->n], mount, !p->n);
		if (!ret)
			p->n++;
		else if (ret != -ENOENT)
			return ret;
		*strrchr(path, '/') = 0;
	}
	return 0;
}

/* reclaim in a group or by its limit, then room under its limits */
static enum pressure_state look_at_group(struct pressure *p, const struct pressure_group *group, uint64_t *room)
{
	static char text[TEXT_BYTES];
	uint64_t limit, current, pages;

	if (!read_text(group->events, text))
		goto blind;
	if (limit_hits(text) != group->hits) {
		snprintf(p->why, sizeof(p->why), "control group %s is at its memory.high or memory.max", group->path);
		return PRESSURE_RECLAIM;
	}
	if (group->stat >= 0) {
		if (!read_text(group->stat, text))
			goto blind;
		if (pressure_counter(text, "pgscan") != group->scanned) {
			snprintf(p->why, sizeof(p->why), "memory of control group %s is being reclaimed", group->path);
			return PRESSURE_RECLAIM;
		}
	}
	if (!read_text(group->high, text))
		goto blind;
	limit = pressure_limit(text);
	if (!read_text(group->max, text))
		goto blind;
	if (pressure_limit(text) < limit)
		limit = pressure_limit(text);
	if (!read_text(group->current, text))
		goto blind;
	current = strtoull(text, NULL, 10);
	pages = current < limit ? (limit - current) / PAGEMAP_PAGE : 0;
	if (pages <= MARGIN) {
		snprintf(p->why, sizeof(p->why), "control group %s has no room: it uses %" PRIu64 " MiB of %" PRIu64 " (memory.high, memory.max)",
			 group->path, current >> 20, limit >> 20);
		return PRESSURE_NO_ROOM;
	}
	if (pages - MARGIN < *room)
		*room = pages - MARGIN;
	return PRESSURE_NONE;
blind:
	snprintf(p->why, sizeof(p->why), "control group %s cannot be read any more", group->path);
	return PRESSURE_BLIND;
}

enum pressure_state pressure_look(struct pressure *p, uint64_t *room)
{
	static char text[TEXT_BYTES];
	enum pressure_state state;
	uint64_t free_pages;
	size_t i;

	*room = 0;
	if (!read_text(p->vmstat, text)) {
		snprintf(p->why, sizeof(p->why), "/proc/vmstat cannot be read any more");
		return PRESSURE_BLIND;
	}
	if (scanned_by_machine(text) != p->scanned) {
		snprintf(p->why, sizeof(p->why), "the kernel is reclaiming memory");
		return PRESSURE_RECLAIM;
	}
	free_pages = pressure_counter(text, "nr_free_pages");
	if (free_pages <= p->reserve + MARGIN) {
		snprintf(p->why, sizeof(p->why), "the machine has no room: %" PRIu64 " MiB free, of which the kernel keeps %" PRIu64,
			 free_pages >> 8, p->reserve >> 8);
		return PRESSURE_NO_ROOM;
	}
	*room = free_pages - p->reserve - MARGIN;
	for (i = 0; i < p->n; i++) {
		state = look_at_group(p, &p->groups[i], room);
		if (state != PRESSURE_NONE) {
			*room = 0;
			return state;
		}
	}
	return PRESSURE_NONE;
}

void pressure_end(struct pressure *p)
{
	leave(p);
	close(p->vmstat);
}
