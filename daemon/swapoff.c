// SPDX-License-Identifier: GPL-2.0
/*
 * swapoff that ends: not begun while a page in use has no readable copy, given up when one loses its last copy on the way, when
 * nothing comes back for a while, and after a given time. What is given up leaves the device swapped on.
 *
 * The kernel's swapoff makes a page that it cannot read an error for good, even if its donor comes back, and before 5.19 it maps
 * whatever is in memory there; both times it says that all is well. A child does the call, so that a signal can end it; but the
 * kernel looks for signals only between one process and the next.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nl.h"
#include "tool.h"
#include "util.h"

#define SECOND		1000000000ull
#define LOOK_NS		100000000
#define TELL_NS		(5 * SECOND)
#define STALL_NS	(30 * SECOND)	/* more than load_ms lets one page take */
#define STOP_NS		(25 * SECOND)	/* a load of a page whose donors were lost just now waits for them for load_ms */

struct job {
	const char *device;
	char path[64];
	struct tool_extents extents;
	uint64_t unreadable;		/* pages */
	uint64_t load_errors;
	pid_t child;
};

/* KiB of it in use as swap; -1: it is not swapped on */
static long long swapped(const char *path)
{
	FILE *file = fopen("/proc/swaps", "re");
	char line[512], name[256];
	long long used = -1, kib;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%255s %*s %*s %lld", name, &kib) == 2 && !strcmp(name, path))
			used = kib;
	if (file)
		fclose(file);
	return used;
}

/* has it a member with all that its frames hold? */
static bool is_whole(const struct tool_extent *extent)
{
	unsigned int i;

	for (i = 0; i < extent->n; i++)
		if (extent->members[i].live && !extent->members[i].missed)
			return true;
	return false;
}

static bool all_whole(const struct tool_extents *all)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->extents[i].used && !is_whole(&all->extents[i]))
			return false;
	return true;
}

static int take_slot(const struct nlmsghdr *nlh, void *arg)
{
	struct job *job = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	const struct tool_extent *extent;
	unsigned int state;

	if (farswap_nl_parse(nlh, attrs))
		return -EBADMSG;
	state = farswap_nl_u8(attrs, FARSWAP_A_SLOT_STATE);
	if (state == FARSWAP_SLOT_STORED) {
		extent = tool_extent_find(&job->extents, farswap_nl_u64(attrs, FARSWAP_A_EXTENT));
		job->unreadable += extent && !is_whole(extent);	/* one that came since is new, and so are its members */
	} else {
		job->unreadable += state == FARSWAP_SLOT_ERROR;
	}
	return 0;
}

static int look_at_extents(struct job *job)
{
	tool_extents_free(&job->extents);
	job->unreadable = 0;
	return tool_extents_read(&job->extents, job->device);
}

static int take_device(const struct nlmsghdr *nlh, void *arg)
{
	struct job *job = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	struct farswap_counters counters;

	if (farswap_nl_parse(nlh, attrs))
		return -EBADMSG;
	farswap_nl_counters(attrs, &counters);
	job->load_errors = counters.load_errors;
	return 0;
}

/* 0 or an exit code after a line */
static int ask(struct job *job, int cmd, int dump, int (*each)(const struct nlmsghdr *nlh, void *arg))
{
	struct nl_msg *msg = farswap_nl_new(cmd, dump);
	char err[300] = "out of memory";
	int ret = -ENOMEM;

	if (msg) {
		nla_put_string(msg, FARSWAP_A_NAME, job->device);
		ret = farswap_nl_call(msg, each, job, err, sizeof(err));
		nlmsg_free(msg);
	}
	return ret ? tool_fail(EXIT_FAILED, "%s: %s", job->device, err) : 0;
}

static int count_unreadable(struct job *job)
{
	return ask(job, FARSWAP_CMD_SLOT_GET, 1, take_slot);
}

static int start(struct job *job)
{
	job->child = fork();
	if (job->child < 0)
		return tool_fail(EXIT_FAILED, "swapoff not started: %s", strerror(errno));
	if (job->child)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(swapoff(job->path) ? errno : 0);
}

/* It is off: is it well? */
static int finish(struct job *job)
{
	uint64_t before = job->load_errors;
	int code = ask(job, FARSWAP_CMD_DEV_GET, 0, take_device);

	if (code || job->load_errors == before)
		return code;
	return tool_fail(EXIT_FAILED, "%s: swapoff is done, but %llu reads failed on the way: programs have lost pages; the rest: farswap down %s",
			 job->device, (unsigned long long)(job->load_errors - before), job->device);
}

static int ended(struct job *job, int status)
{
	job->child = 0;
	if (swapped(job->path) < 0)
		return finish(job);
	if (!WIFEXITED(status))
		return tool_fail(EXIT_FAILED, "%s: swapoff was killed by signal %d%s: it is swapped on as before", job->device,
				 WTERMSIG(status), WTERMSIG(status) == SIGKILL ? " (out of memory?)" : "");
	if (WEXITSTATUS(status) == ENOMEM)
		return tool_fail(EXIT_FAILED, "%s: swapoff: there is not enough memory for the %lld MiB in it", job->device,
				 swapped(job->path) >> 10);
	if (WEXITSTATUS(status) == EBUSY)
		return tool_fail(EXIT_FAILED, "%s: swapoff refused: the kernel has pages in memory whose read failed: end the programs that "
				 "met read errors, remove their files in tmpfs (dmesg)", job->device);
	return tool_fail(EXIT_FAILED, "%s: swapoff: %s", job->device, WEXITSTATUS(status) == EINVAL ?
			 "another swapoff of it runs already" : strerror(WEXITSTATUS(status)));
}

/* false: it goes on until the kernel looks for signals */
static bool stop(struct job *job)
{
	struct timespec moment = { .tv_nsec = LOOK_NS };
	uint64_t begin = farswap_now_ns();
	pid_t child = job->child;

	job->child = 0;
	kill(child, SIGKILL);
	while (!waitpid(child, NULL, WNOHANG)) {
		if (farswap_now_ns() - begin >= STOP_NS)
			return false;
		nanosleep(&moment, NULL);
	}
	return true;
}

static int give_up(struct job *job, const char *why)
{
	bool stopped = stop(job);
	long long left = swapped(job->path);

	if (left < 0)
		return finish(job);
	return tool_fail(EXIT_FAILED, "%s: swapoff given up: %s, %lld MiB left: %s", job->device, why, left >> 10,
			 stopped ? "it is swapped on as before" :
			 "the kernel goes on until it is through with the process that it is at");
}

/* is there reason to give up? 0 or an exit code after a line */
static int check(struct job *job, unsigned int timeout, uint64_t begin, uint64_t moved)
{
	uint64_t now = farswap_now_ns();
	int code = look_at_extents(job);
	char why[100];

	if (!code && !all_whole(&job->extents))
		code = count_unreadable(job);
	if (code) {
		stop(job);
		return code;
	}
	if (job->unreadable)
		snprintf(why, sizeof(why), "%llu pages have no readable copy any more", (unsigned long long)job->unreadable);
	else if (timeout && now - begin >= timeout * SECOND)
		snprintf(why, sizeof(why), "not done after %u s", timeout);
	else if (now - moved >= STALL_NS)
		snprintf(why, sizeof(why), "no page came back for %llu s", STALL_NS / SECOND);
	else
		return 0;
	return give_up(job, why);
}

static int follow(struct job *job, unsigned int timeout)
{
	uint64_t begin = farswap_now_ns(), moved = begin, told = begin;
	struct timespec moment = { .tv_nsec = LOOK_NS };
	long long left = swapped(job->path);
	int status, code = 0;

	while (job->child) {
		long long before = left;
		uint64_t now;

		if (waitpid(job->child, &status, WNOHANG) == job->child)
			return ended(job, status);
		nanosleep(&moment, NULL);
		left = swapped(job->path);
		now = farswap_now_ns();
		if (left < before)
			moved = now;
		if (left >= 0 && now - told >= TELL_NS) {
			printf("%s: swapoff: %lld MiB left\n", job->device, left >> 10);
			fflush(stdout);
			told = now;
		}
		code = check(job, timeout, begin, moved);
	}
	return code;
}

int tool_swapoff(const char *device, unsigned int timeout)
{
	struct job job = { .device = device };
	int code = look_at_extents(&job);

	snprintf(job.path, sizeof(job.path), "/dev/%s", device);
	if (!code && swapped(job.path) >= 0) {
		code = ask(&job, FARSWAP_CMD_DEV_GET, 0, take_device);
		if (!code)
			code = count_unreadable(&job);
		if (!code && job.unreadable)
			code = tool_fail(EXIT_FAILED, "%s: swapoff refused: %llu pages have no readable copy and would be lost "
					 "(farswap shows the donors)", device, (unsigned long long)job.unreadable);
		if (!code)
			code = start(&job);
		if (!code)
			code = follow(&job, timeout);
	}
	tool_extents_free(&job.extents);
	return code;
}
