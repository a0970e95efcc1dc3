// SPDX-License-Identifier: GPL-2.0
/*
 * swapcheck MIB ROUNDS THREADS [SEED [DUMP]]: write MIB of anonymous memory and read it all back, ROUNDS times, by THREADS threads at
 * once, each in order in one round and at random in the next while its neighbour does the other; every word is compared.
 * The last line says: swapcheck: pages=N checks=N wrong_bytes=N. Exits 1 if any byte was wrong.
 *
 * With DUMP, it then pages everything out, writes a line "SLOT PAGE ROUND SEED" to DUMP for each page that lies in swap, and
 * waits for a line on standard input (or its end) before it goes.
 *
 * swapcheck load MIB PROCESSES SEED: until SIGTERM, random reads and writes by a process and PROCESSES children, which share its
 * pages until they write them, each for a while; new children take their place. A page tells who wrote it, where and when; every
 * touch checks all of it, and at its end a process checks all its pages. The last line counts the pages verified and, by kind, those that
 * were not right; lost is a page that cannot be read (SIGBUS). Exits 1 if there was one of these.
 *
 * SIGUSR1 says that a fault happens now. Touches that came from swap are timed, apart for those within AFTER_S seconds of a fault.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "pattern.h"

#define AFTER_S		10	/* touches so long after a fault are told apart */
#define SLOW_US		1000	/* a touch that took so long waited, whatever it found */
#define SHIFT		20	/* a page's number in the pattern: who wrote it above, which it is below */
#define TOLD		10	/* lines about pages that are not right, from each process */

static uint64_t seed = 1;
static size_t pages, rounds;
static unsigned int threads;
static char *memory;

static __thread sigjmp_buf unreadable;
static __thread volatile bool touching;

static void on_sigbus(int sig)
{
	if (touching)
		siglongjmp(unreadable, 1);
	signal(sig, SIG_DFL);	/* and again, for good */
}

static void fatal(const char *what)
{
	fprintf(stderr, "swapcheck: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *mapped(size_t bytes, int how)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		fatal("mmap");
	return at;
}

static uint64_t *page_at(size_t page)
{
	return (uint64_t *)(memory + page * PAGE_BYTES);
}

/* Makes it present; false if it cannot be read. */
static bool touch(size_t page)
{
	touching = true;
	if (sigsetjmp(unreadable, 0)) {
		touching = false;
		return false;
	}
	(void)*(volatile uint64_t *)page_at(page);
	touching = false;
	return true;
}

static struct part {
	pthread_t thread;
	size_t first, nr;
	uint64_t checks, wrong;
} *parts;

static void check(struct part *p, size_t page, size_t round)
{
	static const char *const names[] = PATTERN_KIND_NAMES;
	const uint64_t *at = page_at(page);
	unsigned int wrong = touch(page) ? pattern_wrong(at, seed, page, round) : PAGE_WORDS;

	p->checks++;
	if (!wrong)
		return;
	if (!p->wrong && !touch(page))
		fprintf(stderr, "swapcheck: page %zu round %zu: lost\n", page, round);
	else if (!p->wrong)
		fprintf(stderr, "swapcheck: page %zu round %zu: %u words wrong, first is %016llx: %s\n", page, round, wrong,
			(unsigned long long)at[0], names[pattern_judge(at, seed, page, round, pages - 1)]);
	p->wrong += wrong * 8;
}

/* i runs through 0..nr-1 once, in an order that no read-ahead guesses: the step is prime, and nr no multiple of it */
static size_t shuffled(size_t i, size_t nr)
{
	return i * 611953 % nr;
}

static void *run(void *arg)
{
	struct part *p = arg;
	unsigned int number = p - parts;
	size_t round, i;

	for (round = 1; round <= rounds; round++) {
		bool random = (round + number) % 2;

		for (i = 0; i < p->nr; i++)
			pattern_fill(page_at(p->first + i), seed, p->first + i, round);
		for (i = 0; i < p->nr; i++)
			check(p, p->first + (random ? shuffled(i, p->nr) : i), round);
		printf("swapcheck: pages %zu-%zu round %zu of %zu read %s, %llu wrong bytes\n", p->first, p->first + p->nr - 1,
		       round, rounds, random ? "at random" : "in order", (unsigned long long)p->wrong);
		fflush(stdout);
	}
	return NULL;
}

/* Where the kernel has each page: Documentation/admin-guide/mm/pagemap.rst: bit 62 swapped, bits 5-54 the swap offset. */
static size_t dump(const char *path)
{
	int map = open("/proc/self/pagemap", O_RDONLY);
	FILE *out = fopen(path, "w");
	uint64_t entry;
	size_t i, n = 0;

	if (map < 0 || !out)
		fatal(path);
	for (i = 0; i < pages; i++) {
		off_t at = ((uintptr_t)memory / PAGE_BYTES + i) * sizeof(entry);

		if (pread(map, &entry, sizeof(entry), at) != sizeof(entry) || !(entry >> 62 & 1))
			continue;
		fprintf(out, "%llu %zu %zu %llu\n", (unsigned long long)(entry >> 5 & ((1ull << 50) - 1)), i, rounds,
			(unsigned long long)seed);
		n++;
	}
	close(map);
	if (fclose(out))
		fatal(path);
	return n;
}

/* the first form: rounds, by threads */
static int in_rounds(const char *dump_to)
{
	uint64_t checks = 0, wrong = 0;
	unsigned int t;

	memory = mapped(pages * PAGE_BYTES, MAP_PRIVATE);
	parts = calloc(threads, sizeof(*parts));
	if (!parts)
		fatal("calloc");
	for (t = 0; t < threads; t++) {
		parts[t].first = pages * t / threads;
		parts[t].nr = pages * (t + 1) / threads - parts[t].first;
		if (pthread_create(&parts[t].thread, NULL, run, &parts[t]))
			fatal("no thread");
	}
	for (t = 0; t < threads; t++) {
		pthread_join(parts[t].thread, NULL);
		checks += parts[t].checks;
		wrong += parts[t].wrong;
	}
	printf("swapcheck: pages=%zu checks=%llu wrong_bytes=%llu\n", pages, (unsigned long long)checks,
	       (unsigned long long)wrong);
	fflush(stdout);
	if (dump_to) {
		size_t out;

		if (madvise(memory, pages * PAGE_BYTES, MADV_PAGEOUT))
			perror("swapcheck: MADV_PAGEOUT");
		sleep(1);	/* let the last pages leave the swap cache */
		out = dump(dump_to);
		printf("swapcheck: %zu pages in swap\n", out);
		fflush(stdout);
		getchar();
	}
	return wrong != 0;
}

/* The second form. Times of touches, in steps of a sixteenth. */
#define TIMES	(16 * 40)

struct times {
	uint64_t seen[TIMES];
};

/* What all its processes share; locked, so that it says nothing about swap. */
static struct shared {
	uint64_t verified, lost, died, wrong[PATTERN_KINDS], last_process;
	uint64_t fault_from, fault_to;		/* ns */
	struct times quiet, failover;
	bool stop;
} *shared;

/* What a process knows of each of its pages; locked, too. */
static struct known {
	uint32_t process, round;
} *known;

static uint64_t number, randomness;	/* of this process */
static unsigned int told;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* splitmix64, as above */
static uint64_t dice(void)
{
	return pattern_word(randomness++, number, 0, 0);
}

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

/* exact up to 15, then 16 steps for each power of two */
static unsigned int time_step(uint64_t us)
{
	unsigned int power = us < 16 ? 0 : 60 - __builtin_clzll(us), step = power * 16 + (us >> power);

	return step < TIMES ? step : TIMES - 1;
}

/* the middle of a step */
static uint64_t step_us(unsigned int step)
{
	unsigned int power = step < 32 ? 0 : step / 16 - 1;

	return ((uint64_t)(step - power * 16) << power) + (1ull << power) / 2;
}

static void time_add(uint64_t from, uint64_t to)
{
	bool fault = from < shared->fault_to && to > shared->fault_from;

	add(&(fault ? &shared->failover : &shared->quiet)->seen[time_step((to - from) / 1000)], 1);
}

/* the time in ms that so much of all is not above */
static double time_part(const struct times *times, double part)
{
	uint64_t all = 0, sum = 0;
	unsigned int i;

	for (i = 0; i < TIMES; i++)
		all += times->seen[i];
	for (i = 0; i < TIMES && all; i++) {
		sum += times->seen[i];
		if (sum >= part * all)
			break;
	}
	return all ? step_us(i) / 1000.0 : 0;
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_majflt;
}

static void page_write(size_t page)
{
	known[page].process = number;
	known[page].round++;
	pattern_fill(page_at(page), seed, number << SHIFT | page, known[page].round);
}

/* Says what is wrong with a page, and makes it a new one: each is counted once. */
static void not_right(size_t page, const char *what)
{
	if (told++ < TOLD)
		printf("swapcheck: process %llu page %zu: %s: process %u round %u had written it, %.3f s\n", (unsigned long long)number, page,
		       what, known[page].process, known[page].round, now() / 1e9);
	fflush(stdout);
	madvise(page_at(page), PAGE_BYTES, MADV_DONTNEED);
	page_write(page);
}

static void page_check(size_t page)
{
	static const char *const names[] = PATTERN_KIND_NAMES;
	long before = faults();
	uint64_t from = now(), to;
	bool readable = touch(page);
	enum pattern_kind kind;

	to = now();
	if (faults() != before || to - from >= SLOW_US * 1000)
		time_add(from, to);
	if (!readable) {
		add(&shared->lost, 1);
		not_right(page, "lost");
		return;
	}
	kind = pattern_judge(page_at(page), seed, (uint64_t)known[page].process << SHIFT | page, known[page].round,
			     shared->last_process << SHIFT | ((1 << SHIFT) - 1));
	add(&shared->verified, 1);
	add(&shared->wrong[kind], kind != PATTERN_RIGHT);
	if (kind != PATTERN_RIGHT)
		not_right(page, names[kind]);
}

/* Some touches: one page anywhere, or a run of them; half are written. */
static void work(void)
{
	size_t page = dice() % pages, run = dice() % 32 ? 1 : 64;
	bool write = dice() % 2;

	for (; run-- && page < pages && !shared->stop; page++) {
		page_check(page);
		if (write)
			page_write(page);
	}
}

static void check_all(void)
{
	bool up = dice() % 2;
	size_t i;

	for (i = 0; i < pages; i++)
		page_check(up ? i : shuffled(i, pages));
}

/*
 * Everything but the pages under test stays in memory: what is lost in swap is counted, and costs nothing else. That also goes for what can
 * only be read: pages of it that the dynamic linker wrote can be swapped out.
 */
static void lock_others(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512], may[5];

	if (!maps)
		fatal("/proc/self/maps");
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %4s", &from, &to, may) == 3 && may[0] == 'r' && !strstr(line, " [v") &&
		    ((uintptr_t)memory < from || (uintptr_t)memory >= to) && mlock((void *)from, to - from))
			fatal("mlock");
	fclose(maps);
}

static void child(void)
{
	size_t left = pages / 4;

	lock_others();
	while (left-- && !shared->stop)
		work();
	check_all();
	exit(0);
}

static void child_new(void)
{
	pid_t pid;

	shared->last_process++;
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		fatal("fork");
	if (pid)
		return;
	number = shared->last_process;
	told = 0;
	child();
}

/* false when there is none (more) that has ended */
static bool child_ended(int options)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(-1, &status, options);
	while (pid < 0 && errno == EINTR);
	if (pid <= 0)
		return false;
	if (status) {
		add(&shared->died, 1);
		printf("swapcheck: a process died: %s %d\n", WIFSIGNALED(status) ? "signal" : "code",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	return true;
}

static void on_stop(int sig)
{
	(void)sig;
	shared->stop = true;
}

static void on_fault(int sig)
{
	(void)sig;
	shared->fault_from = now();
	shared->fault_to = shared->fault_from + AFTER_S * 1000000000ull;
}

static void handle(int sig, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART | (sig == SIGBUS ? SA_NODEFER : 0) };

	sigaction(sig, &action, NULL);
}

static int totals(void)
{
	uint64_t wrong = 0;
	int i;

	for (i = 1; i < PATTERN_KINDS; i++)
		wrong += shared->wrong[i];
	printf("swapcheck: pages_verified=%llu wrong=%llu stale=%llu misplaced=%llu torn=%llu garbage=%llu lost=%llu died=%llu processes=%llu "
	       "quiet_p50_ms=%.3f quiet_p99_ms=%.3f quiet_p999_ms=%.3f failover_p50_ms=%.3f failover_p99_ms=%.3f failover_p999_ms=%.3f\n",
	       (unsigned long long)shared->verified, (unsigned long long)wrong, (unsigned long long)shared->wrong[PATTERN_STALE],
	       (unsigned long long)shared->wrong[PATTERN_MISPLACED], (unsigned long long)shared->wrong[PATTERN_TORN],
	       (unsigned long long)shared->wrong[PATTERN_GARBAGE], (unsigned long long)shared->lost,
	       (unsigned long long)shared->died, (unsigned long long)shared->last_process + 1, time_part(&shared->quiet, 0.5),
	       time_part(&shared->quiet, 0.99), time_part(&shared->quiet, 0.999), time_part(&shared->failover, 0.5),
	       time_part(&shared->failover, 0.99), time_part(&shared->failover, 0.999));
	return wrong || shared->lost || shared->died;
}

static int under_load(size_t mib, unsigned int children)
{
	unsigned int i;

	pages = (mib << 8) / (children + 1);
	memory = mapped(pages * PAGE_BYTES, MAP_PRIVATE);
	madvise(memory, pages * PAGE_BYTES, MADV_NOHUGEPAGE);
	known = mapped(pages * sizeof(*known), MAP_PRIVATE);
	shared = mapped(sizeof(*shared), MAP_SHARED);
	lock_others();
	handle(SIGTERM, on_stop);
	handle(SIGUSR1, on_fault);
	randomness = seed;
	for (i = 0; i < pages; i++)
		page_write(i);
	for (i = 0; i < children; i++)
		child_new();
	printf("swapcheck: %u processes of %zu pages each, written and shared\n", children + 1, pages);
	fflush(stdout);
	while (!shared->stop) {
		work();
		while (!shared->stop && child_ended(WNOHANG))
			child_new();
	}
	check_all();
	while (child_ended(0))
		;
	return totals();
}

int main(int argc, char **argv)
{
	bool load = argc > 1 && !strcmp(argv[1], "load");
	size_t mib;

	argv += load;
	argc -= load;
	if (argc < 4 || argc > (load ? 4 : 6)) {
		fprintf(stderr, "usage: swapcheck MIB ROUNDS THREADS [SEED [DUMP]]; SEED from %d on: pages of all kinds\n"
			"       swapcheck load MIB PROCESSES SEED\n", PATTERN_MIXED);
		return 2;
	}
	handle(SIGBUS, on_sigbus);
	mib = strtoul(argv[1], NULL, 10);
	if (load) {
		seed = strtoull(argv[3], NULL, 10);
		return under_load(mib, strtoul(argv[2], NULL, 10));
	}
	pages = mib << 8;
	rounds = strtoul(argv[2], NULL, 10);
	threads = strtoul(argv[3], NULL, 10);
	if (argc > 4)
		seed = strtoull(argv[4], NULL, 10);
	if (!pages || !rounds || !threads || threads > pages) {
		fprintf(stderr, "swapcheck: MIB, ROUNDS and THREADS must be positive numbers\n");
		return 2;
	}
	return in_rounds(argc > 5 ? argv[5] : NULL);
}
