/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What /proc/PID/maps and /proc/PID/pagemap say of a process's pages (Documentation/admin-guide/mm/pagemap.rst). Pure.
 * Addresses are bytes in that process, multiples of PAGEMAP_PAGE.
 */
#ifndef FARSWAP_PAGEMAP_H
#define FARSWAP_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PAGEMAP_PAGE	4096

/* is it a page of its own that lies in swap? */
bool pagemap_swapped(uint64_t entry);
/* the areas of a line of maps that can hold such pages: not shared memory, whose swapped pages no page table knows */
bool pagemap_area(const char *line, uint64_t *start, uint64_t *end);
/* addresses of the swapped ones among n entries, the first of which is for start; returns how many went to out (room for n) */
size_t pagemap_pick(const uint64_t *entries, size_t n, uint64_t start, uint64_t *out);
/* n addresses in rising order, neighbours joined; returns how many ranges went to out (room for n) */
size_t pagemap_ranges(const uint64_t *addresses, size_t n, struct iovec *out);

#endif
