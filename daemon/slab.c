// SPDX-License-Identifier: GPL-2.0
#include "slab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stall.h"
#include "unique.h"

/*
 * A page is mapped and registered behind each slab, and told to nobody. Soft-RoCE up to 6.1 (rxe_mr_copy) reads a pointer past its
 * table when an access ends with the last page of a region whose table is full, as that of a power of two is.
 */
#define BEHIND	4096
/* from a slab to the next in the memory: that page lies there, and the next can have huge pages */
#define GAP	(2u << 20)

static int memory = -1;
/* in it: whose they are, NULL: nobody's. A signal may look at any time, see slab_at(). */
static struct slab **volatile places;
static volatile uint32_t n_places;
static struct slab left;	/* has the places of those that were left in the memory */
static uint32_t count;

uint32_t slab_count(void)
{
	return count;
}

uint32_t slab_poisoned(void)
{
	uint32_t i, n = 0;

	for (i = 0; i < n_places; i++)
		n += places[i] && places[i]->poisoned;
	return n;
}

struct slab *slab_at(const void *address)
{
	const uint8_t *at = address;
	uint32_t i;

	for (i = 0; i < n_places; i++)
		if (places[i] && places[i]->data && at >= places[i]->data && at < places[i]->data + places[i]->bytes + BEHIND)
			return places[i];
	return NULL;
}

int slab_memory(void)
{
	return memory;
}

void slab_memory_take(int fd)
{
	memory = fd;
}

void slab_memory_drop(void)
{
	if (memory >= 0)
		close(memory);
	memory = -1;
	n_places = 0;
	free(places);
	places = NULL;
}

static int open_memory(void)
{
	if (memory < 0)
		memory = memfd_create("farswap-slabs", MFD_CLOEXEC);
	return memory < 0 ? -errno : 0;
}

static off_t start_of(size_t bytes, uint32_t place)
{
	return (off_t)(place * (bytes + GAP));
}

uint32_t slab_memory_places(size_t bytes)
{
	struct stat stat;
	off_t n;

	if (memory < 0 || fstat(memory, &stat))
		return 0;
	n = stat.st_size / start_of(bytes, 1);
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* its pages go back to the system; whoever maps it next finds zeros */
static int empty(size_t bytes, uint32_t place)
{
	return fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start_of(bytes, place), start_of(bytes, 1)) ? -errno : 0;
}

void slab_memory_clean(size_t bytes)
{
	uint32_t place, n = slab_memory_places(bytes);

	for (place = 0; place < n; place++)
		if (place >= n_places || !places[place])
			empty(bytes, place);	/* if not, it is not used: see slab_create() */
}

static uint32_t spare_place(void)
{
	uint32_t place;

	for (place = 0; place < n_places && places[place]; place++)
		;
	return place;
}

/* it is in the memory, and nobody else's */
static int take_place(struct slab *slab)
{
	uint32_t place = slab->place;

	if (place >= n_places) {
		uint32_t n = place < 32 ? 64 : 2 * place;
		struct slab **more = calloc(n, sizeof(struct slab *)), **before = places;

		if (!more)
			return -ENOMEM;
		if (before)
			memcpy(more, before, n_places * sizeof(struct slab *));
		places = more;
		n_places = n;
		free(before);
	}
	if (places[place])
		return -EEXIST;
	if (place >= slab_memory_places(slab->bytes) && ftruncate(memory, start_of(slab->bytes, place + 1)))
		return -errno;
	places[place] = slab;
	return 0;
}

/*
 * mlockall(MCL_FUTURE) would fault a new mapping in at once, in small pages. So map without access first, ask for
 * huge pages, and open it then: the registration faults it in.
 */
static int map_memory(struct slab *slab)
{
	void *data = mmap(NULL, slab->bytes + BEHIND, PROT_NONE, MAP_SHARED, memory, start_of(slab->bytes, slab->place));

	if (data == MAP_FAILED)
		return -errno;
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

/* fresh: whatever is there goes */
static struct slab *make(struct ibv_pd *pd, size_t bytes, uint32_t place, bool fresh)
{
	struct slab *slab = calloc(1, sizeof(*slab));
	int ret;

	if (!slab)
		return NULL;
	slab->bytes = bytes;
	slab->place = place;
	ret = take_place(slab);
	if (ret)
		goto err_place;
	ret = fresh ? empty(bytes, place) : 0;
	if (!ret)
		ret = map_memory(slab);
	if (ret)
		goto err;
	slab->mr = ibv_reg_mr(pd, slab->data, bytes + BEHIND,
			      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
	if (!slab->mr) {
		ret = -errno;
		goto err;
	}
	count++;
	return slab;
err:
	places[place] = NULL;
	unmap_memory(slab);
err_place:
	free(slab);
	errno = -ret;
	return NULL;
}

struct slab *slab_create(struct ibv_pd *pd, size_t bytes)
{
	int ret = open_memory();
	struct slab *slab;

	if (ret) {
		errno = -ret;
		return NULL;
	}
	slab = make(pd, bytes, spare_place(), true);
	if (slab) {
		farswap_stall("slab granted");
		slab->number = farswap_unique();
		slab->incarnation = farswap_unique();
	}
	return slab;
}

struct slab *slab_restore(struct ibv_pd *pd, size_t bytes, uint32_t place)
{
	return make(pd, bytes, place, false);
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

static void forget(struct slab *slab, struct slab *next)
{
	places[slab->place] = next;
	unmap_memory(slab);
	free(slab);
	count--;
}

void slab_free(struct slab *slab)
{
	if (slab->mr)
		abort();	/* a reachable region must not go back to the system */
	farswap_stall("slab zeroing");
	/* memory that the kernel has back reads as zeros from then on, and costs half the time of zeroing it first */
	if (empty(slab->bytes, slab->place))
		explicit_bzero(slab->data, slab->bytes + BEHIND);	/* what failed is not reached by that, and never used again by the kernel */
	farswap_stall("slab free");
	forget(slab, NULL);
}

void slab_leave(struct slab *slab)
{
	if (slab->mr)
		abort();	/* somebody could still write to it */
	forget(slab, &left);
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
