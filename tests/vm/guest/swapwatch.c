// SPDX-License-Identifier: GPL-2.0
/*
 * How soon do pages stop to come in from swap once memory is short? Watches for SECONDS, makes memory short, watches 1.5 s more:
 *
 *   swapwatch GROUP SECONDS write FILE VALUE   by writing there (a limit, a watermark)
 *   swapwatch GROUP SECONDS grab MIB           by a process that fills MIB in the control group GROUP (a directory)
 *
 * The last line says: swapwatch: before=PAGES after=PAGES made_ms=N reclaim_ms=N gap_ms=N made_ns=N
 * Pages are those that came in (pswpin) before and after memory was made short, which was at made_ns of CLOCK_MONOTONIC. made_ms goes
 * from then to the last page in; reclaim_ms from the first sign of reclaim (pgscan of the machine, memory.events of the group; the time
 * of the look before the one that saw it) to the last page in; 0 when no page came after it, -1 when there was no reclaim. gap_ms is
 * the longest time between two looks.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS		1000000ull
#define LOOK_NS		(4 * MS)
#define AFTER_NS	(1500 * MS)

struct look {
	uint64_t ns, in, reclaim;
};

static char **args;
static uint64_t made_ns;
static pid_t grabber = -1;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	if (grabber > 0)
		kill(grabber, SIGKILL);
	exit(2);
}

static int open_file(const char *directory, const char *name, int flags)
{
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s%s%s", directory, *directory ? "/" : "", name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

/* the sum of these keys' numbers in an open file */
static uint64_t sum(int fd, const char *const *keys)
{
	static char text[32768];
	ssize_t got = 0, n;
	uint64_t all = 0;
	char *line;

	while ((n = pread(fd, text + got, sizeof(text) - 1 - got, got)) > 0)
		got += n;
	if (!got)
		die("read");
	text[got] = 0;
	for (; *keys; keys++)
		for (line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
			if (!strncmp(line, *keys, strlen(*keys)) && line[strlen(*keys)] == ' ')
				all += strtoull(line + strlen(*keys), NULL, 10);
	return all;
}

/* its own thread: reclaim may happen inside the write */
static void *write_value(void *unused)
{
	int fd = open_file("", args[4], O_WRONLY);

	(void)unused;
	__atomic_store_n(&made_ns, now_ns(), __ATOMIC_SEQ_CST);
	if (write(fd, args[5], strlen(args[5])) < 0)
		die(args[4]);
	close(fd);
	return NULL;
}

static void grab(void)
{
	size_t bytes = strtoul(args[4], NULL, 10) << 20;
	char pid[16];
	int fd;

	grabber = fork();
	if (grabber)
		return;
	fd = open_file(args[1], "cgroup.procs", O_WRONLY);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (write(fd, pid, strlen(pid)) < 0)
		die("cgroup.procs");
	memset(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, bytes);
	pause();
	_exit(0);
}

static void make_short(void)
{
	pthread_t thread;

	if (!strcmp(args[3], "grab")) {
		made_ns = now_ns();
		grab();
	} else if (pthread_create(&thread, NULL, write_value, NULL)) {
		die("thread");
	}
}

static int vmstat, events;

static struct look look(void)
{
	static const char *const in[] = { "pswpin", NULL }, *const scans[] = { "pgscan_kswapd", "pgscan_direct", NULL };
	static const char *const hits[] = { "high", "max", NULL };
	struct look l = { .reclaim = sum(events, hits) + sum(vmstat, scans) };

	l.in = sum(vmstat, in);
	l.ns = now_ns();
	return l;
}

static uint64_t since(uint64_t last, uint64_t from)
{
	return last > from ? (last - from + MS - 1) / MS : 0;
}

int main(int argc, char **argv)
{
	struct look first, before, l;
	uint64_t at, made = 0, last_in = 0, reclaim_ns = 0, in_made = 0, gap = 0;
	bool asked = false;

	args = argv;
	if (argc < 5 || (!strcmp(argv[3], "write") ? argc != 6 : strcmp(argv[3], "grab") || argc != 5)) {
		fprintf(stderr, "usage: swapwatch GROUP SECONDS write FILE VALUE | grab MIB\n");
		return 2;
	}
	vmstat = open_file("/proc", "vmstat", O_RDONLY);
	events = open_file(argv[1], "memory.events", O_RDONLY);
	mlockall(MCL_CURRENT);
	setpriority(PRIO_PROCESS, 0, -20);
	first = before = look();
	at = first.ns + strtoul(argv[2], NULL, 10) * 1000 * MS;
	for (l = first; !made || l.ns < made + AFTER_NS; before = l) {
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
		if (!asked && now_ns() >= at) {
			asked = true;
			make_short();
		}
		l = look();
		if (!made) {
			made = __atomic_load_n(&made_ns, __ATOMIC_SEQ_CST);
			in_made = before.in;
		}
		if (l.in != before.in)
			last_in = l.ns;
		if (l.reclaim != before.reclaim && made && !reclaim_ns)
			reclaim_ns = before.ns > made ? before.ns : made;
		if (l.ns - before.ns > gap)
			gap = l.ns - before.ns;
	}
	if (grabber > 0) {
		kill(grabber, SIGKILL);
		waitpid(grabber, NULL, 0);
	}
	printf("swapwatch: before=%llu after=%llu made_ms=%llu reclaim_ms=%lld gap_ms=%llu made_ns=%llu\n",
	       (unsigned long long)(in_made - first.in), (unsigned long long)(l.in - in_made), (unsigned long long)since(last_in, made),
	       reclaim_ns ? (long long)since(last_in, reclaim_ns) : -1ll, (unsigned long long)(gap / MS), (unsigned long long)made);
	return 0;
}
