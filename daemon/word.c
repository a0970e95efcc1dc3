// SPDX-License-Identifier: GPL-2.0
#include "word.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#define WORD_BYTES	4096	/* what else is in a page that is registered can be written too */

int word_create(struct word *word, struct ibv_pd *pd)
{
	void *at = mmap(NULL, WORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (at == MAP_FAILED)
		return -errno;
	word->mr = madvise(at, WORD_BYTES, MADV_DONTFORK) ? NULL :
		   ibv_reg_mr(pd, at, WORD_BYTES, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (word->mr) {
		word->at = at;
		return 0;
	}
	ret = -errno;
	munmap(at, WORD_BYTES);
	return ret;
}

void word_set(struct word *word, uint64_t count)
{
	word->at->count = htole64(count);
	word->at->check = ~word->at->count;
}

struct farswap_lease_word word_read(const struct word *word)
{
	return (struct farswap_lease_word) {
		.count = __atomic_load_n(&word->at->count, __ATOMIC_ACQUIRE),
		.check = __atomic_load_n(&word->at->check, __ATOMIC_ACQUIRE),
	};
}

void word_free(struct word *word)
{
	if (!word->at || ibv_dereg_mr(word->mr))
		return;
	munmap(word->at, WORD_BYTES);
	word->at = NULL;
}
