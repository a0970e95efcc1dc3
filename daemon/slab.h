/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A slab: a donor's unit of lent memory, mapped here and registered in one session's protection domain. All lie in one memfd, which can
 * be handed over to the next daemon by its one descriptor.
 * Its life: slab_create() -> lent -> slab_revoke() (the region is gone, a late one-sided access errs at the
 * adapter) -> slab_free() (given back, which zeroes). In that order only (rule 5). Or, at a planned end, slab_revoke() -> slab_leave(),
 * and slab_restore() in the next daemon.
 */
#ifndef FARSWAP_SLAB_H
#define FARSWAP_SLAB_H

#include <infiniband/verbs.h>
#include <stdbool.h>
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
	uint32_t place;			/* in the memory */
	struct ibv_mr *mr;		/* NULL once revoked */
	volatile bool poisoned;		/* poison.c's: a page of it failed, its owner is to give it up at once */
	/* lender.c's: */
	uint64_t asked_ns;		/* its owner is to move it away, since then; 0: it is not */
	bool urgent;			/* it is to give it up at once, moved or not */
	uint64_t told_ns;		/* its owner told of it then; 0: never */
	uint64_t activity;
	bool stays, kept;		/* its owner will not now; nor give it up */
};

/* NULL with errno. The caller has asked slab_memory_room() before. */
struct slab *slab_create(struct ibv_pd *pd, size_t bytes);
/* with what is at that place of the memory; NULL with errno. Number, incarnation, extent and generation are the caller's to set. */
struct slab *slab_restore(struct ibv_pd *pd, size_t bytes, uint32_t place);
/* 0, or -errno: the region is still there, and the memory must never be used for anything else */
int slab_revoke(struct slab *slab);
/* give back: there are zeros from then on; only after slab_revoke() succeeded */
void slab_free(struct slab *slab);
/* forget it and leave what it holds in the memory; only after slab_revoke() succeeded */
void slab_leave(struct slab *slab);

/* the slab that has that address; NULL: none. For signal handlers, too. */
struct slab *slab_at(const void *address);
/* slabs of which a page failed */
uint32_t slab_poisoned(void);

/* the descriptor of the memory that they lie in; -1: there is none */
int slab_memory(void);
/* lie there from now on; before the first slab */
void slab_memory_take(int fd);
/* all pages that no slab has go back to the system */
void slab_memory_clean(size_t bytes);
/* places for slabs of that size in it */
uint32_t slab_memory_places(size_t bytes);
/* close it: with no slab in it, or as the last deed */
void slab_memory_drop(void);

/* slabs of this size that fit above the reserve now; *free_mib: memory available */
uint64_t slab_memory_room(size_t bytes, uint64_t reserve, uint64_t *free_mib);
/* slabs that exist, lent or being zeroed or stuck */
uint32_t slab_count(void);

#endif
