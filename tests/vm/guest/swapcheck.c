// SPDX-License-Identifier: GPL-2.0
/*
 * swapcheck MIB ROUNDS THREADS [SEED [DUMP]]: write MIB of anonymous memory and read it all back, ROUNDS times, by THREADS threads at
 * once, each in order in one round and at random in the next while its neighbour does the other; every word is compared.
 * The last line says: swapcheck: pages=N checks=N wrong_bytes=N. Exits 1 if any byte was wrong.
 *
 * With DUMP, it then pages everything out, writes a line "SLOT PAGE ROUND SEED" to DUMP for each page that lies in swap, and
 * waits for a line on standard input (or its end) before it goes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "pattern.h"

static uint64_t seed = 1;
static size_t pages, rounds;
static unsigned int threads;
static char *memory;

static struct part {
	pthread_t thread;
	size_t first, nr;
	uint64_t checks, wrong;
} *parts;

static void check(struct part *p, size_t page, size_t round)
{
	const uint64_t *at = (const uint64_t *)(memory + page * PAGE_BYTES);
	unsigned int wrong = pattern_wrong(at, seed, page, round);

	p->checks++;
	if (!wrong)
		return;
	if (!p->wrong)
		fprintf(stderr, "swapcheck: page %zu round %zu: %u words wrong, first is %016llx\n", page, round, wrong,
			(unsigned long long)at[0]);
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
			pattern_fill((uint64_t *)(memory + (p->first + i) * PAGE_BYTES), seed, p->first + i, round);
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

	if (map < 0 || !out) {
		perror(path);
		exit(2);
	}
	for (i = 0; i < pages; i++) {
		off_t at = ((uintptr_t)memory / PAGE_BYTES + i) * sizeof(entry);

		if (pread(map, &entry, sizeof(entry), at) != sizeof(entry) || !(entry >> 62 & 1))
			continue;
		fprintf(out, "%llu %zu %zu %llu\n", (unsigned long long)(entry >> 5 & ((1ull << 50) - 1)), i, rounds,
			(unsigned long long)seed);
		n++;
	}
	close(map);
	if (fclose(out)) {
		perror(path);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	uint64_t checks = 0, wrong = 0;
	unsigned int t;

	if (argc < 4 || argc > 6) {
		fprintf(stderr, "usage: swapcheck MIB ROUNDS THREADS [SEED [DUMP]]; SEED from %d on: pages of all kinds\n", PATTERN_MIXED);
		return 2;
	}
	pages = strtoul(argv[1], NULL, 10) << 8;
	rounds = strtoul(argv[2], NULL, 10);
	threads = strtoul(argv[3], NULL, 10);
	if (argc > 4)
		seed = strtoull(argv[4], NULL, 10);
	if (!pages || !rounds || !threads || threads > pages) {
		fprintf(stderr, "swapcheck: MIB, ROUNDS and THREADS must be positive numbers\n");
		return 2;
	}
	memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	parts = calloc(threads, sizeof(*parts));
	if (memory == MAP_FAILED || !parts) {
		perror("swapcheck");
		return 2;
	}
	for (t = 0; t < threads; t++) {
		parts[t].first = pages * t / threads;
		parts[t].nr = pages * (t + 1) / threads - parts[t].first;
		if (pthread_create(&parts[t].thread, NULL, run, &parts[t])) {
			fprintf(stderr, "swapcheck: no thread\n");
			return 2;
		}
	}
	for (t = 0; t < threads; t++) {
		pthread_join(parts[t].thread, NULL);
		checks += parts[t].checks;
		wrong += parts[t].wrong;
	}
	printf("swapcheck: pages=%zu checks=%llu wrong_bytes=%llu\n", pages, (unsigned long long)checks,
	       (unsigned long long)wrong);
	fflush(stdout);
	if (argc > 5) {
		size_t out;

		if (madvise(memory, pages * PAGE_BYTES, MADV_PAGEOUT))
			perror("swapcheck: MADV_PAGEOUT");
		sleep(1);	/* let the last pages leave the swap cache */
		out = dump(argv[5]);
		printf("swapcheck: %zu pages in swap\n", out);
		fflush(stdout);
		getchar();
	}
	return wrong != 0;
}
