// SPDX-License-Identifier: GPL-2.0
#include "lease.h"

#include <endian.h>

void lease_start(struct lease *lease, uint64_t now_ns)
{
	lease->since_ns = now_ns;
	lease->looked_ns = now_ns;
}

enum lease_verdict lease_look(struct lease *lease, const struct farswap_lease_word *word, uint64_t now_ns, uint64_t length_ns)
{
	uint64_t count = le64toh(word->count);
	/* this process stood still, and perhaps its host, which then could not be written to: the client gets all of its time again */
	bool blind = now_ns - lease->looked_ns > length_ns / 2;

	lease->looked_ns = now_ns;
	if (blind)
		lease->since_ns = now_ns;
	if (count && word->check != ~word->count)
		count = lease->count;	/* it is just being written: the next look sees it whole */
	if (count < lease->count)
		return LEASE_BACK;
	if (count > lease->count) {
		lease->count = count;
		lease->since_ns = now_ns;
	}
	return now_ns - lease->since_ns >= length_ns ? LEASE_OVER : LEASE_RUNS;
}
