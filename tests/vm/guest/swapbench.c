// SPDX-License-Identifier: GPL-2.0
/*
 * swapbench MIB PHASE...: what the kernel's swap path does with MIB of anonymous memory, one line for each phase:
 *
 *   fill       write every page anew, in order; under a memory limit this pages out
 *   churn=N    rewrite N pages, each chosen at random
 *   out        page everything out (MADV_PAGEOUT), until nothing of it is in memory
 *   seq        touch every page once, in order
 *   stride=K   the same, every Kth page, and so K times
 *   random     the same, shuffled; random=T: by T threads, each its own part of them
 *   zipf=N     N times a page whose rank, all of them shuffled, is Zipf(1): 7 of 10 are read, the others rewritten; always the same ones
 *   mix        the first half in order by one thread, the second half shuffled by another, until one of them is through
 *   free=P     give up P percent of the pages that are written, chosen at random
 *   turn=N     write a page that was given up, give up another, N times; all is paged out after each 1024 of them
 *   data=FILE  comes first: the pages to write are FILE's; without it they are ones that do not compress
 *   times=FILE the time of each touch from here on is appended to FILE, a line of nanoseconds each
 *
 * A phase that writes or pages out lasts until farswap0's staging pool is empty. One that touches is timed touch by touch: p50 and
 * p99 are microseconds. faults are the major ones; counters are farswap0's, for the phase, but frames, stored_* and compacted as they
 * are at its end. Exits 1 if a word was wrong.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "pattern.h"

#define COUNTERS "/sys/block/farswap0/farswap/"

static const char *const counters[] = { "stores", "write_wrs", "write_chains", "write_bytes", "loads", "read_wrs", "read_bytes" };
#define NR_COUNTERS (sizeof(counters) / sizeof(*counters))
/* these as they are at a phase's end */
static const char *const gauges[] = { "frames", "stored_4096", "stored_2048", "stored_1024", "stored_512", "compacted", "held",
				      "metadata_bytes" };
#define NR_GAUGES (sizeof(gauges) / sizeof(*gauges))

static char *memory;
static size_t pages;
static uint32_t *rounds;	/* of each page: the write that it holds, 0: none, it is zeros */
static uint32_t writes;
static const char *data;	/* of data_pages pages, or NULL */
static size_t data_pages;
static FILE *times;		/* or NULL */
static uint64_t start_ns, before[NR_COUNTERS];
static long faults_before;
static unsigned int wrong;

/* one thread's touches */
struct touches {
	pthread_t thread;
	const char *name;
	const size_t *order;
	size_t nr, done;
	uint32_t *each_ns;
	const volatile bool *stop;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static size_t random_below(size_t n)
{
	static uint64_t x = 88172645463325252ull;	/* xorshift64 (Marsaglia 2003) */

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % n;
}

static uint64_t *page_at(size_t page)
{
	return (uint64_t *)(memory + page * PAGE_BYTES);
}

static void *array(size_t nr, size_t bytes)
{
	void *a = malloc(nr * bytes);

	if (!a) {
		perror("swapbench");
		exit(2);
	}
	memset(a, 0, nr * bytes);	/* now, not while something is timed */
	return a;
}

/* ---- content ---- */

static const uint64_t *data_at(size_t page)
{
	return (const uint64_t *)(data + (page * 31 + rounds[page]) % data_pages * PAGE_BYTES);
}

#define CHECKED 5	/* the word that is looked at: swapcheck compares all of them */

static void page_write(size_t page)
{
	static uint64_t base[PAGE_WORDS];

	rounds[page] = ++writes;
	if (data) {
		memcpy(page_at(page), data_at(page), PAGE_BYTES);
		return;
	}
	if (!base[0])
		pattern_fill(base, 1, 0, 0);
	memcpy(page_at(page), base, PAGE_BYTES);
	page_at(page)[CHECKED] = pattern_word(1, page, rounds[page], CHECKED);
}

static void page_drop(size_t page)
{
	rounds[page] = 0;
	madvise(page_at(page), PAGE_BYTES, MADV_DONTNEED);
}

static void page_check(size_t page)
{
	uint64_t want = !rounds[page] ? 0 : data ? data_at(page)[CHECKED] : pattern_word(1, page, rounds[page], CHECKED);

	wrong += *(volatile uint64_t *)&page_at(page)[CHECKED] != want;
}

static void data_open(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || st.st_size < PAGE_BYTES) {
		fprintf(stderr, "swapbench: %s is not a file with pages in it\n", path);
		exit(2);
	}
	data_pages = st.st_size / PAGE_BYTES;
	data = mmap(NULL, data_pages * PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED) {
		perror("swapbench");
		exit(2);
	}
	close(fd);
}

static void times_open(const char *path)
{
	times = fopen(path, "a");
	if (!times) {
		fprintf(stderr, "swapbench: %s cannot be written\n", path);
		exit(2);
	}
}

/* ---- counters ---- */

/* 0 where there is no such counter */
static uint64_t counter(const char *name)
{
	char path[96];
	unsigned long long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), COUNTERS "%s", name);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%llu", &n) != 1)
			n = 0;
		fclose(f);
	}
	return n;
}

static long major_faults(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return r.ru_majflt;
}

static void phase_begin(void)
{
	size_t i;

	for (i = 0; i < NR_COUNTERS; i++)
		before[i] = counter(counters[i]);
	faults_before = major_faults();
	start_ns = now_ns();
}

static void phase_end(const char *name)
{
	double seconds = (now_ns() - start_ns) / 1e9;
	size_t i;

	printf("%s seconds=%.3f faults=%ld", name, seconds, major_faults() - faults_before);
	for (i = 0; i < NR_COUNTERS; i++)
		printf(" %s=%llu", counters[i], (unsigned long long)(counter(counters[i]) - before[i]));
	for (i = 0; i < NR_GAUGES; i++)
		printf(" %s=%llu", gauges[i], (unsigned long long)counter(gauges[i]));
}

/* Windows that are open are closed by the module's timer. */
static void settle(void)
{
	while (counter("staged"))
		usleep(2000);
}

static void print_out(const char *name)
{
	settle();
	phase_end(name);
	printf("\n");
}

static void fill(const char *name)
{
	size_t i;

	for (i = 0; i < pages; i++)
		page_write(i);
	print_out(name);
}

static void churn(const char *name, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		size_t page = random_below(pages);

		page_check(page);
		page_write(page);
	}
	print_out(name);
}

static void page_out(void)
{
	if (madvise(memory, pages * PAGE_BYTES, MADV_PAGEOUT)) {
		perror("swapbench: MADV_PAGEOUT");
		exit(2);
	}
}

/* pages that are in memory, the swap cache included */
static size_t nr_resident(void)
{
	static unsigned char *in;
	size_t i, nr = 0;

	if (!in)
		in = array(pages, 1);
	if (mincore(memory, pages * PAGE_BYTES, in)) {
		perror("swapbench: mincore");
		exit(2);
	}
	for (i = 0; i < pages; i++)
		nr += in[i] & 1;
	return nr;
}

/* memory.reclaim of the own control group, of which there is one below the root */
static int reclaim_open(void)
{
	char group[128] = "", path[192];
	FILE *f = fopen("/proc/self/cgroup", "r");

	if (f) {
		if (fscanf(f, "0::%127s", group) != 1)
			group[0] = 0;
		fclose(f);
	}
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.reclaim", group);
	return open(path, O_WRONLY);
}

#define OUT_SECONDS	30	/* a packet that is lost costs some of them */

/*
 * Until they are really gone: what a device answers later for is not mapped any more, and stays in the swap cache until the control group's
 * memory is reclaimed. A second MADV_PAGEOUT finds what a CPU's batch kept from the first.
 */
static void out(const char *name)
{
	uint64_t begun = now_ns();
	size_t nr;
	int fd = -1;

	page_out();
	if (nr_resident())
		page_out();
	while ((nr = nr_resident())) {
		if (fd < 0)
			fd = reclaim_open();
		if (fd < 0 || now_ns() - begun > OUT_SECONDS * 1000000000ull) {
			fprintf(stderr, "swapbench: %zu pages do not go out%s\n", nr, fd < 0 ? ": no control group" : "");
			exit(2);
		}
		dprintf(fd, "%zu", nr * PAGE_BYTES);	/* less than that, EAGAIN, is some, too */
		usleep(1000);
	}
	if (fd >= 0)
		close(fd);
	print_out(name);
}

static size_t nr_held(void)
{
	size_t i, nr = 0;

	for (i = 0; i < pages; i++)
		nr += rounds[i] != 0;
	return nr;
}

/* A page at random that is held, or one that is not; there must be one. */
static size_t random_page(bool held)
{
	size_t page;

	do
		page = random_below(pages);
	while (!rounds[page] == held);
	return page;
}

static void give_up(const char *name, size_t percent)
{
	size_t nr = nr_held() * percent / 100, i;

	for (i = 0; i < nr; i++)
		page_drop(random_page(true));
	print_out(name);
}

static void turn(const char *name, size_t nr)
{
	size_t i, held = nr_held();

	if (!held || held == pages) {
		fprintf(stderr, "swapbench: turn needs pages that are written and pages that are not: fill and free=P come first\n");
		exit(2);
	}
	for (i = 1; i <= nr; i++) {
		size_t old = random_page(true);

		page_write(random_page(false));
		page_drop(old);
		if (i % 1024 == 0 || i == nr)
			page_out();
	}
	print_out(name);
}

static void *touch(void *arg)
{
	struct touches *t = arg;
	uint64_t a = now_ns(), b;

	for (t->done = 0; t->done < t->nr && !*t->stop; t->done++) {
		size_t page = t->order[t->done];

		page_check(page);
		b = now_ns();
		t->each_ns[t->done] = b - a;
		a = b;
	}
	return NULL;
}

static int ns_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void print_in(struct touches *t)
{
	size_t i;

	qsort(t->each_ns, t->done, sizeof(*t->each_ns), ns_cmp);
	printf(" %spages=%zu %sp50=%.1f %sp99=%.1f", t->name, t->done, t->name, t->each_ns[t->done / 2] / 1e3, t->name,
	       t->each_ns[t->done * 99 / 100] / 1e3);
	for (i = 0; times && i < t->done; i++)
		fprintf(times, "%u\n", t->each_ns[i]);
	free(t->each_ns);
}

static size_t *order_stride(size_t nr, size_t stride)
{
	size_t *order = array(nr, sizeof(*order)), start, i, n = 0;

	for (start = 0; start < stride; start++)
		for (i = start; i < nr; i += stride)
			order[n++] = i;
	return order;
}

static size_t *order_random(size_t first, size_t nr)
{
	size_t *order = array(nr, sizeof(*order)), i, j;

	for (i = 0; i < nr; i++) {	/* Fisher-Yates, inside out */
		j = random_below(i + 1);
		order[i] = order[j];
		order[j] = first + i;
	}
	return order;
}

static void in(const char *name, size_t *order)
{
	bool stop = false;
	struct touches t = { .name = "", .order = order, .nr = pages, .stop = &stop };

	t.each_ns = array(pages, sizeof(*t.each_ns));
	phase_begin();
	touch(&t);
	phase_end(name);
	print_in(&t);
	printf("\n");
	free(order);
}

static void thread_begin(struct touches *t)
{
	if (pthread_create(&t->thread, NULL, touch, t)) {
		fprintf(stderr, "swapbench: no thread\n");
		exit(2);
	}
}

static void in_threads(const char *name, size_t *order, size_t nr)
{
	bool stop = false;
	struct touches *threads = array(nr, sizeof(*threads)), all = { .name = "", .nr = pages, .done = pages };
	size_t i, first;

	all.each_ns = array(pages, sizeof(*all.each_ns));
	for (i = 0; i < nr; i++) {
		first = pages * i / nr;
		threads[i] = (struct touches){ .order = order + first, .nr = pages * (i + 1) / nr - first, .each_ns = all.each_ns + first,
					       .stop = &stop };
	}
	phase_begin();
	for (i = 0; i < nr; i++)
		thread_begin(&threads[i]);
	for (i = 0; i < nr; i++)
		pthread_join(threads[i].thread, NULL);
	phase_end(name);
	print_in(&all);
	printf("\n");
	free(threads);
	free(order);
}

/* Of each rank the sum of 1/rank up to it: where a draw falls among these is its rank. */
static double *zipf_sums(void)
{
	double *sums = array(pages, sizeof(*sums)), sum = 0;
	size_t i;

	for (i = 0; i < pages; i++)
		sums[i] = sum += 1.0 / (i + 1);
	return sums;
}

static size_t zipf_rank(const double *sums)
{
	double at = random_below(1u << 30) / (double)(1u << 30) * sums[pages - 1];
	size_t low = 0, high = pages - 1, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (sums[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void zipf(const char *name, size_t nr)
{
	size_t *page = order_random(0, pages), *which = array(nr, sizeof(*which)), i;
	double *sums = zipf_sums();

	for (i = 0; i < nr; i++)	/* before anything is timed */
		which[i] = page[zipf_rank(sums)] << 1 | (random_below(10) < 3);
	phase_begin();
	for (i = 0; i < nr; i++) {
		page_check(which[i] >> 1);
		if (which[i] & 1)
			page_write(which[i] >> 1);
	}
	phase_end(name);
	printf(" accesses=%zu\n", nr);
	free(sums);
	free(which);
	free(page);
}

static void mix(const char *name)
{
	size_t half = pages / 2, *order[2] = { order_stride(half, 1), order_random(half, half) };
	static volatile bool stop;
	struct touches t[2];
	int i;

	stop = false;
	for (i = 0; i < 2; i++) {
		t[i] = (struct touches){ .name = i ? "random_" : "seq_", .order = order[i], .nr = half, .stop = &stop };
		t[i].each_ns = array(half, sizeof(*t[i].each_ns));
	}
	phase_begin();
	for (i = 0; i < 2; i++)
		thread_begin(&t[i]);
	while (__atomic_load_n(&t[0].done, __ATOMIC_RELAXED) < half && __atomic_load_n(&t[1].done, __ATOMIC_RELAXED) < half)
		usleep(2000);
	stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(t[i].thread, NULL);
	phase_end(name);
	for (i = 0; i < 2; i++) {
		print_in(&t[i]);
		free(order[i]);
	}
	printf("\n");
}

static bool run(const char *phase)
{
	const char *value = strchr(phase, '=');
	size_t n = value ? strtoul(value + 1, NULL, 10) : 0;

	phase_begin();
	if (!strcmp(phase, "fill"))
		fill(phase);
	else if (!strncmp(phase, "churn=", 6) && n)
		churn("churn", n);
	else if (!strcmp(phase, "out"))
		out(phase);
	else if (!strcmp(phase, "seq"))
		in(phase, order_stride(pages, 1));
	else if (!strncmp(phase, "stride=", 7) && n)
		in("stride", order_stride(pages, n));
	else if (!strcmp(phase, "random"))
		in(phase, order_random(0, pages));
	else if (!strncmp(phase, "random=", 7) && n && n <= 64)
		in_threads("random", order_random(0, pages), n);
	else if (!strncmp(phase, "zipf=", 5) && n)
		zipf("zipf", n);
	else if (!strcmp(phase, "mix"))
		mix(phase);
	else if (!strncmp(phase, "free=", 5) && n && n <= 100)
		give_up("free", n);
	else if (!strncmp(phase, "turn=", 5) && n)
		turn("turn", n);
	else if (!strncmp(phase, "data=", 5))
		data_open(value + 1);
	else if (!strncmp(phase, "times=", 6))
		times_open(value + 1);
	else
		return false;
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	int i;

	pages = argc > 2 ? strtoul(argv[1], NULL, 10) << 8 : 0;
	if (!pages) {
		fprintf(stderr, "usage: swapbench MIB fill|churn=N|out|seq|stride=K|random[=T]|zipf=N|mix|free=P|turn=N|data=FILE|times=FILE...\n");
		return 2;
	}
	rounds = array(pages, sizeof(*rounds));
	memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("swapbench");
		return 2;
	}
	madvise(memory, pages * PAGE_BYTES, MADV_NOHUGEPAGE);
	for (i = 2; i < argc; i++)
		if (!run(argv[i])) {
			fprintf(stderr, "swapbench: no phase %s\n", argv[i]);
			return 2;
		}
	if (wrong)
		fprintf(stderr, "swapbench: %u words wrong\n", wrong);
	return wrong != 0;
}
