// SPDX-License-Identifier: GPL-2.0
/*
 * squeeze MIB: until SIGTERM, locks as much memory as it takes to hold the largest zone at its min watermark, so that whoever needs memory has to
 * reclaim it first. When MIB or less are left to be reclaimed it goes halfway from the low mark only, and what is free below the watermark it gives back, so that nobody is killed. The last line says:
 *
 *   squeeze: min_free_kbytes=N seconds=N samples=N free_over_min_p10=N p50=N p90=N below_low_percent=N locked_mib=N
 *
 * What is kept for allocations of several pages that cannot wait counts as not free, as for the kernel.
 * below_low: free memory was under the zone's low watermark, where kswapd is at work. Its own loop needs no memory. Every ten seconds it says how
 * things are, on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CHUNK		(256 * 1024)
#define CHUNKS_MAX	65536
#define BACK		8	/* chunks at once */
#define LOOK_US		10000
#define KEPT_EVERY	100	/* looks */
#define TELL_EVERY	1000	/* looks */
#define PARTS		400	/* of min, as samples are counted */

struct zone {
	unsigned long free, min, low;	/* pages */
};

static volatile sig_atomic_t ended;
static void *chunks[CHUNKS_MAX];
static unsigned int held;
static unsigned long leave;	/* pages */
static unsigned long samples, below, seen[PARTS];	/* free / min, in hundredths */
static char text[65536];

static void on_end(int sig)
{
	(void)sig;
	ended = 1;
}

static void fatal(const char *what)
{
	fprintf(stderr, "squeeze: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* The number after the word, from there on; the first of its kind. */
static unsigned long number(const char *from, const char *word)
{
	const char *at = strstr(from, word);

	return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

static void read_text(int *fd, const char *path)
{
	ssize_t n;

	if (*fd < 0)
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	n = pread(*fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		fatal(path);
	text[n] = 0;
}

static void read_vmstat(void)
{
	static int fd = -1;

	read_text(&fd, "/proc/vmstat");
}

/* pages that the kernel could reclaim */
static unsigned long reclaimable(void)
{
	read_vmstat();
	return number(text, "nr_inactive_anon ") + number(text, "nr_active_anon ") + number(text, "nr_inactive_file ") +
	       number(text, "nr_active_file ");
}

/*
 * Pages of the zone that are kept for allocations of several pages that cannot wait: the kernel does not count what is free of them for any other. In
 * /proc/pagetypeinfo they are the fourth number of the zone's second line, in blocks; all of them are taken for free.
 */
static unsigned long kept(const char *name)
{
	static int fd = -1;
	unsigned long block, blocks = 0;
	char *at;

	read_text(&fd, "/proc/pagetypeinfo");
	block = number(text, "Pages per block:");
	at = strstr(text, "Number of blocks");
	at = at ? strstr(at, name) : NULL;
	if (!at || sscanf(at + strlen(name), "%*u %*u %*u %lu", &blocks) != 1)
		fatal("no blocks found in /proc/pagetypeinfo");
	return block * blocks;
}

/* The zone with the most pages. */
static struct zone largest(void)
{
	static int fd = -1;
	static unsigned long reserved;
	unsigned long managed, most = 0;
	struct zone best = { 0 };
	char *at, *from, name[16] = "";

	read_text(&fd, "/proc/zoneinfo");
	for (at = text; (at = strstr(at, "pages free")); at++) {
		managed = number(at, "managed ");
		if (managed <= most)
			continue;
		most = managed;
		for (from = at; from > text && strncmp(from, "zone ", 5); from--)
			;
		sscanf(from, "zone %15[A-Za-z0-9]", name);
		best = (struct zone){ .free = number(at, "pages free "), .min = number(at, " min "), .low = number(at, " low ") };
	}
	if (!best.min)
		fatal("no zone found in /proc/zoneinfo");
	if (!(samples % KEPT_EVERY))
		reserved = kept(name);
	best.free = best.free > reserved ? best.free - reserved : 0;
	return best;
}

static void take(void)
{
	void *p = held < CHUNKS_MAX ? mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0) : MAP_FAILED;

	if (p != MAP_FAILED)
		chunks[held++] = p;
}

static void give_back(void)
{
	if (held)
		munmap(chunks[--held], CHUNK);
}

static double part(double of)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < PARTS - 1 && (sum += seen[i]) < of * samples; i++)
		;
	return i / 100.0;
}

static void tell(const struct zone *zone)
{
	static unsigned long in, out;
	unsigned long could = reclaimable(), now_in = number(text, "pswpin "), now_out = number(text, "pswpout ");

	fprintf(stderr, "squeeze: samples=%lu free_over_min=%.2f low_over_min=%.2f reclaimable_mib=%lu locked_mib=%u pages_in=%lu pages_out=%lu\n", samples,
		(double)zone->free / zone->min, (double)zone->low / zone->min, could >> 8, held / (1048576 / CHUNK), now_in - in, now_out - out);
	in = now_in;
	out = now_out;
}

static void look(void)
{
	struct zone zone = largest();
	unsigned long hundredths = zone.free * 100 / zone.min, could = reclaimable();
	int i;

	if (!(++samples % TELL_EVERY))
		tell(&zone);
	below += zone.free < zone.low;
	seen[hundredths < PARTS ? hundredths : PARTS - 1]++;
	if (zone.free > zone.min + (zone.low - zone.min) / (could > leave ? 4 : 2))
		take();
	for (i = 0; i < BACK && zone.free < zone.min; i++)
		give_back();
}

static unsigned long min_free_kbytes(void)
{
	FILE *in = fopen("/proc/sys/vm/min_free_kbytes", "r");
	unsigned long n;

	if (!in || fscanf(in, "%lu", &n) != 1)
		fatal("/proc/sys/vm/min_free_kbytes");
	fclose(in);
	return n;
}

int main(int argc, char **argv)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct sched_param first = { .sched_priority = 1 };
	FILE *oom = fopen("/proc/self/oom_score_adj", "w");
	time_t begun = time(NULL);

	leave = argc == 2 ? strtoul(argv[1], NULL, 10) << 8 : 0;
	if (!leave) {
		fprintf(stderr, "usage: squeeze MIB\n");
		return 2;
	}
	if (!oom || fputs("-1000", oom) < 0 || fclose(oom))
		fatal("/proc/self/oom_score_adj");
	signal(SIGTERM, on_end);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) || mlockall(MCL_CURRENT | MCL_FUTURE))
		fatal("mlockall");
	if (sched_setscheduler(0, SCHED_FIFO, &first))	/* who gives back must not wait for those who want it */
		fatal("SCHED_FIFO");
	while (!ended) {
		look();
		usleep(LOOK_US);
	}
	printf("squeeze: min_free_kbytes=%lu seconds=%ld samples=%lu free_over_min_p10=%.2f p50=%.2f p90=%.2f below_low_percent=%lu locked_mib=%u\n",
	       min_free_kbytes(), (long)(time(NULL) - begun), samples, part(0.1), part(0.5), part(0.9), samples ? below * 100 / samples : 0,
	       held / (1048576 / CHUNK));
	return 0;
}
