/* SPDX-License-Identifier: GPL-2.0 */
/* A process whose swapped pages are looked for and brought back, by the kernel's own doors: /proc/PID and process_madvise(2). */
#ifndef FARSWAP_PROCESS_H
#define FARSWAP_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define PROCESS_CHUNK	4096	/* pages that are looked at together */

struct process {
	pid_t pid;
	int pidfd, mem, pagemap;	/* pidfd -1: this kernel has none */
	bool advise;			/* process_madvise has not been refused */
	FILE *maps;
	char *line;			/* of maps */
	size_t line_bytes;
	uint64_t at, end;		/* of the area that process_next() is in */
};

/* 0, or -errno: -ESRCH when there is none (any more) */
int process_open(struct process *process, pid_t pid);
void process_close(struct process *process);
/* addresses of the swapped pages of the next piece of it that has any, room for PROCESS_CHUNK; 0 when there are no more */
size_t process_next(struct process *process, uint64_t *addresses);
/* how many are swapped from the start on; spoils process_next() */
uint64_t process_count(struct process *process);
/* tell the kernel that these are needed soon: it starts to read them into the swap cache. Only advice. */
void process_advise(struct process *process, const uint64_t *addresses, size_t n);
/* read a byte of that page, as the process would: it is mapped then. 1 done; 0 it is not swapped any more, or the process has ended;
 * -1 it cannot be read. */
int process_touch(struct process *process, uint64_t address);

#endif
