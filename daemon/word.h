/* SPDX-License-Identifier: GPL-2.0 */
/* The memory of a session's lease word: a page, registered in the session's protection domain, which the client's kernel writes. */
#ifndef FARSWAP_WORD_H
#define FARSWAP_WORD_H

#include <infiniband/verbs.h>

#include "farswap_wire.h"

struct word {
	struct farswap_lease_word *at;
	struct ibv_mr *mr;
};

/* 0, or -errno */
int word_create(struct word *word, struct ibv_pd *pd);
/* as if the client had written it; while nobody can */
void word_set(struct word *word, uint64_t count);
/* how it reads now: the two halves may be of two WRITEs */
struct farswap_lease_word word_read(const struct word *word);
/* deregistered, then given back; one that cannot be deregistered is kept. Nothing if it was never made. */
void word_free(struct word *word);

#endif
