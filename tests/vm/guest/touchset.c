// SPDX-License-Identifier: GPL-2.0
/*
 * touchset MIB: fill MIB of anonymous memory; then, for each line on standard input, read all of it in order and say what that took:
 *
 *   touchset: pages=N major=N minor=N wrong=N ms=N
 *
 * major and minor are its own page faults, wrong the words that are not as they were written. Ends with its input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include "pattern.h"

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static void touch(const char *memory, size_t pages)
{
	struct rusage before, after;
	uint64_t from = now_ms();
	size_t i, wrong = 0;

	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < pages; i++)
		wrong += pattern_wrong((const uint64_t *)(memory + i * PAGE_BYTES), 1, i, 1);
	getrusage(RUSAGE_SELF, &after);
	printf("touchset: pages=%zu major=%ld minor=%ld wrong=%zu ms=%llu\n", pages, after.ru_majflt - before.ru_majflt,
	       after.ru_minflt - before.ru_minflt, wrong, (unsigned long long)(now_ms() - from));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	size_t i, pages = argc == 2 ? strtoul(argv[1], NULL, 10) << 8 : 0;
	char *memory, line[16];

	if (!pages) {
		fprintf(stderr, "usage: touchset MIB\n");
		return 2;
	}
	memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("touchset");
		return 2;
	}
	for (i = 0; i < pages; i++)
		pattern_fill((uint64_t *)(memory + i * PAGE_BYTES), 1, i, 1);
	printf("touchset: full\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		touch(memory, pages);
	return 0;
}
