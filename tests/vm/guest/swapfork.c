// SPDX-License-Identifier: GPL-2.0
/*
 * swapfork MIB CHILDREN SECONDS: a storm of forks over pages that lie in swap. MIB of memory are written and paged out; then, for SECONDS,
 * CHILDREN at a time read all of it, rewrite every third page, page that out too and read everything again, each from another
 * page on. What a child writes no other process may see. The last line says: swapfork: children=N failed=N wrong_bytes=N.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "pattern.h"

#define OURS 1		/* the parent's round; a child's is its number + 2 */

static char *memory;
static size_t pages;

static uint64_t *page_at(size_t page)
{
	return (uint64_t *)(memory + page * PAGE_BYTES);
}

static void page_out(void)
{
	if (madvise(memory, pages * PAGE_BYTES, MADV_PAGEOUT)) {
		perror("swapfork: MADV_PAGEOUT");
		_exit(2);
	}
}

/* bytes that are not the parent's, or, where the child has rewritten them, the child's */
static uint64_t wrong_bytes(uint64_t thirds_round, size_t first)
{
	uint64_t wrong = 0;
	size_t i;

	for (i = 0; i < pages; i++) {
		size_t page = (first + i) % pages;

		wrong += 8ull * pattern_wrong(page_at(page), 1, page, page % 3 ? OURS : thirds_round);
	}
	return wrong;
}

static int child(unsigned int number)
{
	size_t page, first = number * 7919ull % pages;
	uint64_t wrong = wrong_bytes(OURS, first);

	for (page = 0; page < pages; page += 3)
		pattern_fill(page_at(page), 1, page, number + 2);
	page_out();
	wrong += wrong_bytes(number + 2, first);
	if (wrong)
		fprintf(stderr, "swapfork: child %u: %llu wrong bytes\n", number, (unsigned long long)wrong);
	return wrong != 0;
}

/* Forks one. */
static void spawn(unsigned int number)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("swapfork: fork");
		exit(2);
	}
	if (!pid)
		_exit(child(number));
}

/* Collects one; whether it was content. */
static bool reap(void)
{
	int status;

	return wait(&status) > 0 && WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	unsigned int at_once, started = 0, failed = 0, running = 0;
	uint64_t wrong;
	time_t end;
	size_t i;

	pages = argc == 4 ? strtoul(argv[1], NULL, 10) << 8 : 0;
	at_once = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	if (!pages || !at_once) {
		fprintf(stderr, "usage: swapfork MIB CHILDREN SECONDS\n");
		return 2;
	}
	memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("swapfork");
		return 2;
	}
	for (i = 0; i < pages; i++)
		pattern_fill(page_at(i), 1, i, OURS);
	end = time(NULL) + strtoul(argv[3], NULL, 10);
	while (time(NULL) < end) {
		page_out();
		for (; running < at_once; running++)
			spawn(started++);
		failed += !reap();
		running--;
	}
	for (; running; running--)
		failed += !reap();
	wrong = wrong_bytes(OURS, 0);
	printf("swapfork: children=%u failed=%u wrong_bytes=%llu\n", started, failed, (unsigned long long)wrong);
	return failed || wrong;
}
