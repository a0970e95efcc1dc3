// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "pace.h"
#include "pagemap.h"
#include "process.h"

static int open_at(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static bool ended(const struct process *p)
{
	struct pollfd one = { .fd = p->pidfd, .events = POLLIN };

	return p->pidfd >= 0 && poll(&one, 1, 0) == 1;
}

int process_open(struct process *p, pid_t pid)
{
	int directory, maps = -1, ret = 0;
	char path[32];

	*p = (struct process){ .pid = pid, .pidfd = pidfd_open(pid, 0), .mem = -1, .pagemap = -1, .advise = true };
	if (p->pidfd < 0 && errno != ENOSYS)
		return errno == EINVAL ? -ESRCH : -errno;	/* EINVAL: a thread, not a process */
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		ret = -errno;
	if (!ret)
		ret = p->mem = open_at(directory, "mem");
	if (ret >= 0)
		ret = p->pagemap = open_at(directory, "pagemap");
	if (ret >= 0)
		ret = maps = open_at(directory, "maps");
	if (directory >= 0)
		close(directory);
	if (ret >= 0) {
		p->maps = fdopen(maps, "r");
		ret = p->maps ? 0 : -ENOMEM;
	}
	/* had it ended before, the number could be another's by now */
	if (!ret && ended(p))
		ret = -ESRCH;
	if (ret)
		process_close(p);
	return ret == -ENOENT ? -ESRCH : ret;
}

void process_close(struct process *p)
{
	free(p->line);
	if (p->maps)
		fclose(p->maps);
	if (p->pagemap >= 0)
		close(p->pagemap);
	if (p->mem >= 0)
		close(p->mem);
	if (p->pidfd >= 0)
		close(p->pidfd);
}

static bool next_area(struct process *p)
{
	while (getline(&p->line, &p->line_bytes, p->maps) > 0)
		if (pagemap_area(p->line, &p->at, &p->end))
			return true;
	p->at = p->end = 0;
	return false;
}

size_t process_next(struct process *p, uint64_t *addresses)
{
	static uint64_t entries[PROCESS_CHUNK];
	size_t wanted, found;
	uint64_t from;
	ssize_t got;

	do {
		if (p->at == p->end && !next_area(p))
			return 0;
		from = p->at;
		wanted = (p->end - from) / PAGEMAP_PAGE;
		if (wanted > PROCESS_CHUNK)
			wanted = PROCESS_CHUNK;
		got = pread(p->pagemap, entries, wanted * sizeof(*entries), (off_t)(from / PAGEMAP_PAGE * sizeof(*entries)));
		if (got <= 0)	/* it has ended */
			return 0;
		p->at += (size_t)got / sizeof(*entries) * PAGEMAP_PAGE;
		found = pagemap_pick(entries, (size_t)got / sizeof(*entries), from, addresses);
	} while (!found);
	return found;
}

uint64_t process_count(struct process *p)
{
	static uint64_t addresses[PROCESS_CHUNK];
	uint64_t all = 0;
	size_t n;

	rewind(p->maps);
	p->at = p->end = 0;
	while ((n = process_next(p, addresses)))
		all += n;
	return all;
}

void process_advise(struct process *p, const uint64_t *addresses, size_t n)
{
	struct iovec ranges[PACE_BATCH_MAX];

	if (!p->advise || p->pidfd < 0)
		return;
	n = pagemap_ranges(addresses, n, ranges);
	/* kernels before 5.15 know the call but not this advice: process_touch() does it all then, a page at a time */
	if (process_madvise(p->pidfd, ranges, n, MADV_WILLNEED, 0) < 0 && (errno == EINVAL || errno == ENOSYS || errno == EPERM))
		p->advise = false;
}

int process_touch(struct process *p, uint64_t address)
{
	uint64_t entry;
	char byte;

	if (pread(p->mem, &byte, 1, (off_t)address) == 1)
		return 1;
	if (pread(p->pagemap, &entry, sizeof(entry), (off_t)(address / PAGEMAP_PAGE * sizeof(entry))) != sizeof(entry))
		return 0;
	return pagemap_swapped(entry) ? -1 : 0;
}
