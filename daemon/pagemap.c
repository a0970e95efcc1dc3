// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdio.h>

#include "pagemap.h"

#define PRESENT	(1ull << 63)
#define SWAPPED	(1ull << 62)
#define SHARED	(1ull << 61)	/* a file's page, or shared memory */

bool pagemap_swapped(uint64_t entry)
{
	return (entry & (PRESENT | SWAPPED | SHARED)) == SWAPPED;
}

bool pagemap_area(const char *line, uint64_t *start, uint64_t *end)
{
	char modes[5];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", start, end, modes) != 3)
		return false;
	return modes[3] == 'p' && *start < *end && *end <= INT64_MAX;	/* [vsyscall] lies above all that pread can reach */
}

size_t pagemap_pick(const uint64_t *entries, size_t n, uint64_t start, uint64_t *out)
{
	size_t i, found = 0;

	for (i = 0; i < n; i++)
		if (pagemap_swapped(entries[i]))
			out[found++] = start + i * PAGEMAP_PAGE;
	return found;
}

size_t pagemap_ranges(const uint64_t *addresses, size_t n, struct iovec *out)
{
	size_t i, ranges = 0;
	uint64_t end = 0;

	for (i = 0; i < n; i++) {
		if (!ranges || addresses[i] != end)
			out[ranges++] = (struct iovec){ .iov_base = (void *)(uintptr_t)addresses[i] };
		out[ranges - 1].iov_len += PAGEMAP_PAGE;
		end = addresses[i] + PAGEMAP_PAGE;
	}
	return ranges;
}
