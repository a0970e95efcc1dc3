// SPDX-License-Identifier: GPL-2.0
/*
 * filecheck write FILE MIB ROUND: MIB of pages that tell their number and round, and that compress. filecheck read FILE ROUND reads each
 * by itself; last line: filecheck: pages=N good=N unreadable=N wrong=N. Exits 1 if any is wrong; one that cannot be read is not wrong.
 * On tmpfs, so that they are swapped as a program's own memory is, and an unreadable one is an error and no signal.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES	4096

static char want[PAGE_BYTES], got[PAGE_BYTES];

/* a line, over and over */
static void fill(unsigned long page, unsigned long round)
{
	char line[65];
	size_t i;

	snprintf(line, sizeof(line), "page %-26lu round %-25lu\n", page, round);
	for (i = 0; i < PAGE_BYTES; i += 64)
		memcpy(want + i, line, 64);
}

static int write_all(int fd, unsigned long pages, unsigned long round)
{
	unsigned long i;

	for (i = 0; i < pages; i++) {
		fill(i, round);
		if (pwrite(fd, want, PAGE_BYTES, i * PAGE_BYTES) != PAGE_BYTES) {
			perror("filecheck");
			return 2;
		}
	}
	printf("filecheck: pages=%lu written\n", pages);
	return 0;
}

static int read_all(int fd, unsigned long round)
{
	unsigned long pages = lseek(fd, 0, SEEK_END) / PAGE_BYTES, good = 0, unreadable = 0, wrong = 0, i;

	for (i = 0; i < pages; i++) {
		fill(i, round);
		if (pread(fd, got, PAGE_BYTES, i * PAGE_BYTES) != PAGE_BYTES)
			unreadable++;
		else if (memcmp(got, want, PAGE_BYTES))
			wrong++;
		else
			good++;
	}
	printf("filecheck: pages=%lu good=%lu unreadable=%lu wrong=%lu\n", pages, good, unreadable, wrong);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	bool writes = argc == 5 && !strcmp(argv[1], "write");
	int fd;

	if (!writes && (argc != 4 || strcmp(argv[1], "read"))) {
		fprintf(stderr, "usage: filecheck write FILE MIB ROUND | filecheck read FILE ROUND\n");
		return 2;
	}
	fd = open(argv[2], O_RDWR | O_CREAT, 0600);
	if (fd < 0) {
		perror(argv[2]);
		return 2;
	}
	return writes ? write_all(fd, strtoul(argv[3], NULL, 10) << 8, strtoul(argv[4], NULL, 10)) :
			read_all(fd, strtoul(argv[3], NULL, 10));
}
