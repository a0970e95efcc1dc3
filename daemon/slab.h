/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A slab: a donor's unit of lent memory, a memfd mapped (and closed) here and registered in one session's protection domain.
 * Its life: slab_create() -> lent -> slab_revoke() (the region is gone, a late one-sided access errs at the
 * adapter) -> slab_free() (zeroed, then given back). In that order only (rule 5).
 */
#ifndef FARSWAP_SLAB_H
#define FARSWAP_SLAB_H

#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdint.h>

struct slab {
	struct slab *next;
	uint64_t number;
	uint64_t incarnation;
	uint64_t extent;		/* the client's, told by GRANT */
	uint32_t generation;
	uint8_t *data;
	size_t bytes;
	struct ibv_mr *mr;		/* NULL once revoked */
};

/* NULL with errno. The caller has asked slab_memory_room() before. */
struct slab *slab_create(struct ibv_pd *pd, size_t bytes);
/* 0, or -errno: the region is still there, and the memory must never be used for anything else */
int slab_revoke(struct slab *slab);
/* zero and give back; only after slab_revoke() succeeded */
void slab_free(struct slab *slab);

/* slabs of this size that fit above the reserve now; *free_mib: memory available */
uint64_t slab_memory_room(size_t bytes, uint64_t reserve, uint64_t *free_mib);
/* slabs that exist, lent or being zeroed or stuck */
uint32_t slab_count(void);

#endif
