// SPDX-License-Identifier: GPL-2.0
#include "slab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stall.h"
#include "unique.h"

/*
 * A page is mapped and registered behind each slab, and told to nobody. Soft-RoCE up to 6.1 (rxe_mr_copy) reads a pointer past its
 * table when an access ends with the last page of a region whose table is full, as that of a power of two is.
 */
#define BEHIND	4096

static uint32_t count;

uint32_t slab_count(void)
{
	return count;
}

/*
 * mlockall(MCL_FUTURE) would fault a new mapping in at once, in small pages. So map without access first, ask for
 * huge pages, and open it then: the registration faults it in.
 */
static int map_memory(struct slab *slab)
{
	int fd = memfd_create("farswap-slab", MFD_CLOEXEC);
	void *data = MAP_FAILED;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)(slab->bytes + BEHIND)))
		data = mmap(NULL, slab->bytes + BEHIND, PROT_NONE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		ret = -errno;
	close(fd);	/* the mapping holds the memory; a descriptor per slab would run out */
	if (ret)
		return ret;
	slab->data = data;
	madvise(slab->data, slab->bytes, MADV_HUGEPAGE);	/* better with, right without */
	if (madvise(slab->data, slab->bytes + BEHIND, MADV_DONTDUMP) ||
	    madvise(slab->data, slab->bytes + BEHIND, MADV_DONTFORK))
		return -errno;
	if (mprotect(slab->data, slab->bytes + BEHIND, PROT_READ | PROT_WRITE))
		return -errno;
	return 0;
}

static void unmap_memory(struct slab *slab)
{
	if (slab->data)
		munmap(slab->data, slab->bytes + BEHIND);
}

struct slab *slab_create(struct ibv_pd *pd, size_t bytes)
{
	struct slab *slab = calloc(1, sizeof(*slab));
	int ret;

	if (!slab)
		return NULL;
	slab->bytes = bytes;
	ret = map_memory(slab);
	if (ret)
		goto err;
	slab->mr = ibv_reg_mr(pd, slab->data, bytes + BEHIND,
			      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
	if (!slab->mr) {
		ret = -errno;
		goto err;
	}
	farswap_stall("slab granted");
	slab->number = farswap_unique();
	slab->incarnation = farswap_unique();
	count++;
	return slab;
err:
	unmap_memory(slab);
	free(slab);
	errno = ret ? -ret : ENOMEM;
	return NULL;
}

int slab_revoke(struct slab *slab)
{
	int ret;

	if (!slab->mr)
		return 0;
	farswap_stall("slab revoking");
	ret = ibv_dereg_mr(slab->mr);
	if (ret)
		return -ret;
	slab->mr = NULL;
	return 0;
}

void slab_free(struct slab *slab)
{
	if (slab->mr)
		abort();	/* a reachable region must not go back to the system */
	farswap_stall("slab zeroing");
	explicit_bzero(slab->data, slab->bytes + BEHIND);
	farswap_stall("slab free");
	unmap_memory(slab);
	free(slab);
	count--;
}

static uint64_t memory_available(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib << 10;
}

uint64_t slab_memory_room(size_t bytes, uint64_t reserve, uint64_t *free_mib)
{
	uint64_t available = memory_available();

	if (free_mib)
		*free_mib = available >> 20;
	return available > reserve ? (available - reserve) / bytes : 0;
}
