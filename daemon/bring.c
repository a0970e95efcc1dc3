// SPDX-License-Identifier: GPL-2.0
/* farswap bring: a process's or a control group's pages back from swap, slowly, until memory gets short. */
#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pace.h"
#include "pagemap.h"
#include "pressure.h"
#include "process.h"
#include "tool.h"
#include "util.h"

#define RATE_DEFAULT	256		/* MiB/s */
#define RATE_MAX	(1u << 20)
#define LOOK_NS		10000000ull	/* for pressure, at most so far apart */

struct bring_target {
	pid_t pid;
	size_t group;		/* index of its control group, GROUP_NONE without one */
};

#define GROUP_NONE	SIZE_MAX

struct bring {
	uint64_t pid, rate;	/* MiB/s */
	const char *asked;	/* the control group as the operator named it */
	char mount[4096];	/* of the version 2 control groups, "" without them */
	char **groups;
	size_t n_groups;
	struct bring_target *targets;
	size_t n_targets;

	struct pressure pressure;
	size_t entered;		/* the group that pressure looks at */
	struct pace pace;
	uint64_t looked_ns, room;
	enum pressure_state state;

	uint64_t brought, failed, left;
	uint64_t start_ns, last_page_ns, stop_ns;
};

static int take_arguments(struct bring *b, int argc, char **argv)
{
	int i;

	b->rate = RATE_DEFAULT;
	for (i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--pid") && !b->pid) {
			if (farswap_parse_u64(argv[i + 1], INT32_MAX, &b->pid) || !b->pid)
				return tool_fail(EXIT_USAGE, "--pid wants the number of a process, not '%s'", argv[i + 1]);
		} else if (!strcmp(argv[i], "--cgroup") && !b->asked) {
			b->asked = argv[i + 1];
		} else if (!strcmp(argv[i], "--rate")) {
			if (farswap_parse_u64(argv[i + 1], RATE_MAX, &b->rate) || !b->rate)
				return tool_fail(EXIT_USAGE, "--rate wants MiB per second, 1 to %u, not '%s'", RATE_MAX, argv[i + 1]);
		} else {
			break;
		}
	}
	if (i != argc || !b->pid == !b->asked)
		return tool_fail(EXIT_USAGE, "bring wants --pid PID or --cgroup PATH, and perhaps --rate MIB_PER_S");
	return 0;
}

static void find_mount(struct bring *b)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *one;

	while (mounts && !b->mount[0] && (one = getmntent(mounts)))
		if (!strcmp(one->mnt_type, "cgroup2"))
			snprintf(b->mount, sizeof(b->mount), "%s", one->mnt_dir);
	if (mounts)
		endmntent(mounts);
}

static void *grown(void *array, size_t n, size_t bytes)
{
	void *more = n & (n - 1) ? array : realloc(array, (n ? 2 * n : 1) * bytes);

	if (!more)
		exit(tool_fail(EXIT_FAILED, "out of memory"));
	return more;
}

static size_t add_group(struct bring *b, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		exit(tool_fail(EXIT_FAILED, "out of memory"));
	b->groups = grown(b->groups, b->n_groups, sizeof(*b->groups));
	b->groups[b->n_groups] = copy;
	return b->n_groups++;
}

static void add_target(struct bring *b, pid_t pid, size_t group)
{
	b->targets = grown(b->targets, b->n_targets, sizeof(*b->targets));
	b->targets[b->n_targets++] = (struct bring_target){ .pid = pid, .group = group };
}

/* the processes of a group, then of those inside it; 0 or -errno. A group of threads has its processes listed further out. */
static int add_group_processes(struct bring *b, const char *group)
{
	char path[8300];
	struct dirent *entry;
	FILE *procs;
	DIR *inside;
	size_t index;
	int pid;

	snprintf(path, sizeof(path), "%s%s/cgroup.procs", b->mount, group);
	procs = fopen(path, "re");
	if (!procs)
		return -errno;
	index = add_group(b, group);
	while (fscanf(procs, "%d", &pid) == 1)
		if (pid > 0)	/* 0: of another PID namespace */
			add_target(b, pid, index);
	fclose(procs);
	snprintf(path, sizeof(path), "%s%s", b->mount, group);
	inside = opendir(path);
	while (inside && (entry = readdir(inside))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", strcmp(group, "/") ? group : "", entry->d_name);
		add_group_processes(b, path);
	}
	if (inside)
		closedir(inside);
	return 0;
}

/* "/sys/fs/cgroup/a/b", "/a/b" and "a/b" are the same */
static int find_group(struct bring *b)
{
	const char *path = b->asked;
	size_t length = strlen(b->mount);
	char group[4096];
	int ret;

	if (!length)
		return tool_fail(EXIT_FAILED, "no version 2 control groups are mounted: use --pid");
	if (!strncmp(path, b->mount, length) && (path[length] == '/' || !path[length]))
		path += length;
	path += strspn(path, "/");
	snprintf(group, sizeof(group), "/%s", path);
	while (strlen(group) > 1 && group[strlen(group) - 1] == '/')
		group[strlen(group) - 1] = 0;
	ret = add_group_processes(b, group);
	return ret ? tool_fail(EXIT_FAILED, "%s: no such control group under %s: %s", b->asked, b->mount, strerror(-ret)) : 0;
}

/* the version 2 control group of a process; GROUP_NONE when it cannot be seen from here */
static size_t group_of(struct bring *b, pid_t pid)
{
	char path[8300], line[4200];
	size_t found = GROUP_NONE;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	file = b->mount[0] ? fopen(path, "re") : NULL;
	while (file && found == GROUP_NONE && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		snprintf(path, sizeof(path), "%s%s", b->mount, line + 3);
		if (!strncmp(line, "0::", 3) && !access(path, F_OK))
			found = add_group(b, line + 3);
	}
	if (file)
		fclose(file);
	return found;
}

/* look for pressure, unless it was just looked for; is it time to stop? */
static bool stop(struct bring *b)
{
	uint64_t now = farswap_now_ns();

	if (b->state == PRESSURE_NONE && (!b->room || now - b->looked_ns >= LOOK_NS)) {
		b->state = pressure_look(&b->pressure, &b->room);
		b->looked_ns = farswap_now_ns();
	}
	if (b->state == PRESSURE_NONE)
		return false;
	if (!b->stop_ns)
		b->stop_ns = farswap_now_ns();
	return true;
}

/* until the rate allows the next batch; true: stop */
static bool wait_until_due(struct bring *b)
{
	uint64_t now, ns;

	while (!stop(b)) {
		now = farswap_now_ns();
		if (now >= b->pace.due_ns)
			return false;
		ns = b->pace.due_ns - now < LOOK_NS ? b->pace.due_ns - now : LOOK_NS;
		nanosleep(&(struct timespec){ .tv_nsec = (long)ns }, NULL);
	}
	return true;
}

/* some of n pages, at least one; how many were dealt with */
static size_t bring_batch(struct bring *b, struct process *process, const uint64_t *addresses, size_t n)
{
	uint64_t from = farswap_now_ns(), now = from;
	unsigned int most = pace_batch(&b->pace, b->room);
	size_t i;
	int done;

	if (n > most)
		n = most;
	process_advise(process, addresses, n);
	for (i = 0; i < n && now - from <= PACE_BATCH_NS; i++) {
		done = process_touch(process, addresses[i]);
		now = farswap_now_ns();
		b->brought += done > 0;
		b->failed += done < 0;
		if (done > 0)
			b->last_page_ns = now;
	}
	b->room -= i;
	pace_took(&b->pace, (unsigned int)i, from, now);
	return i;
}

/* look at the group of this process from now on; 0 or an exit code after one line */
static int enter(struct bring *b, const struct bring_target *target)
{
	const char *group = target->group == GROUP_NONE ? "/" : b->groups[target->group];
	int ret;

	if (target->group == b->entered)
		return 0;
	ret = pressure_enter(&b->pressure, b->mount, group);
	if (ret)
		return tool_fail(EXIT_FAILED, "control group %s: its memory cannot be watched: %s", group, strerror(-ret));
	b->entered = target->group;
	b->room = 0;
	return 0;
}

/* 0 or an exit code after one line; a process of a control group that has ended is none of its any more */
static int open_target(const struct bring *b, const struct bring_target *target, struct process *process, bool *there)
{
	int ret = process_open(process, target->pid);

	*there = !ret;
	if (!ret || (ret == -ESRCH && b->asked))
		return 0;
	if (ret == -ESRCH)
		return tool_fail(EXIT_FAILED, "there is no process %d", (int)target->pid);
	if (ret == -EACCES || ret == -EPERM)
		return tool_fail(EXIT_FAILED, "process %d: not permitted: be root", (int)target->pid);
	return tool_fail(EXIT_FAILED, "process %d: %s", (int)target->pid, strerror(-ret));
}

static int bring_one(struct bring *b, const struct bring_target *target)
{
	static uint64_t addresses[PROCESS_CHUNK];
	struct process process;
	size_t i, n;
	bool there;
	int code;

	code = open_target(b, target, &process, &there);
	if (code || !there)
		return code;
	code = enter(b, target);
	while (!code && b->state == PRESSURE_NONE && (n = process_next(&process, addresses)))
		for (i = 0; i < n && !wait_until_due(b);)
			i += bring_batch(b, &process, addresses + i, n - i);
	process_close(&process);
	return code;
}

static int count_left(struct bring *b)
{
	struct process process;
	bool there;
	size_t i;
	int code;

	for (i = 0; i < b->n_targets; i++) {
		code = open_target(b, &b->targets[i], &process, &there);
		if (code)
			return code;
		if (!there)
			continue;
		b->left += process_count(&process);
		process_close(&process);
	}
	return 0;
}

static void print_json(const struct bring *b, double seconds)
{
	static const char * const words[] = { "no", "no room", "reclaim", "blind" };
	struct json_object *all = json_object_new_object();

	json_object_object_add(all, "brought", json_object_new_uint64(b->brought));
	json_object_object_add(all, "left", json_object_new_uint64(b->left));
	json_object_object_add(all, "unreadable", json_object_new_uint64(b->failed));
	json_object_object_add(all, "processes", json_object_new_uint64(b->n_targets));
	json_object_object_add(all, "seconds", json_object_new_double(seconds));
	json_object_object_add(all, "stopped", json_object_new_string(words[b->state]));
	json_object_object_add(all, "why", json_object_new_string(b->pressure.why));
	/* CLOCK_MONOTONIC; 0: never */
	json_object_object_add(all, "last_page_ns", json_object_new_uint64(b->last_page_ns));
	json_object_object_add(all, "stopped_ns", json_object_new_uint64(b->stop_ns));
	printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
	json_object_put(all);
}

/* what there is to say at the end; the exit code */
static int conclude(const struct tool *tool, const struct bring *b)
{
	double seconds = (double)(farswap_now_ns() - b->start_ns) / 1e9;

	if (tool->json)
		print_json(b, seconds);
	else
		printf("brought %llu pages (%.1f MiB) back in %.1f s; %llu left in swap\n", (unsigned long long)b->brought,
		       (double)b->brought / 256, seconds, (unsigned long long)b->left);
	if (b->state == PRESSURE_BLIND)
		return tool_fail(EXIT_FAILED, "stopped: %s", b->pressure.why);
	if (b->state != PRESSURE_NONE)
		return tool_fail(EXIT_STOPPED, "%s: %s", b->brought ? "stopped" : "nothing brought", b->pressure.why);
	if (b->failed)
		return tool_fail(EXIT_FAILED, "%llu pages cannot be read from swap: see the kernel's log", (unsigned long long)b->failed);
	if (b->left)
		return tool_fail(EXIT_STOPPED, "%llu pages went to swap meanwhile", (unsigned long long)b->left);
	return 0;
}

int cmd_bring(struct tool *tool, int argc, char **argv)
{
	static struct bring b;
	size_t i;
	int code, ret;

	code = take_arguments(&b, argc, argv);
	if (code)
		return code;
	find_mount(&b);
	if (b.asked)
		code = find_group(&b);
	else
		add_target(&b, (pid_t)b.pid, group_of(&b, (pid_t)b.pid));
	if (code)
		return code;
	/* a tool that waits for its own pages cannot stop in time; refused: it may still do */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	b.start_ns = farswap_now_ns();
	ret = pressure_start(&b.pressure, "/proc");
	if (ret)
		return tool_fail(EXIT_FAILED, "/proc/vmstat or /proc/zoneinfo: %s", strerror(-ret));
	b.entered = GROUP_NONE;
	pace_start(&b.pace, b.rate << 20);
	for (i = 0; !code && b.state == PRESSURE_NONE && i < b.n_targets; i++)
		code = bring_one(&b, &b.targets[i]);
	if (!code)
		code = count_left(&b);
	pressure_end(&b.pressure);
	return code ? code : conclude(tool, &b);
}
