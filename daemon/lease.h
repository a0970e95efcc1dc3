/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long a donor keeps the session of a client that gives no sign of life on the data channel: what its lease word (struct
 * farswap_lease_word) tells from look to look. Pure: no I/O, no clock.
 */
#ifndef FARSWAP_LEASE_H
#define FARSWAP_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "farswap_wire.h"

#define LEASE_LOOKS	8	/* in a lease, at least */
#define LEASE_LOOK_NS	100000000ull	/* between two, at most: revoking begins so soon after the lease */

struct lease {
	uint64_t count;		/* as it was last seen; 0: never written */
	uint64_t since_ns;	/* the look that saw it first */
	uint64_t looked_ns;	/* the last look */
};

enum lease_verdict {
	LEASE_RUNS,
	LEASE_OVER,		/* not written for its whole length */
	LEASE_BACK,		/* written by somebody who does not know what was written before */
};

/* at the session's begin, and when its queue pairs are to be made anew: nobody can write the word before they are */
void lease_start(struct lease *lease, uint64_t now_ns);
enum lease_verdict lease_look(struct lease *lease, const struct farswap_lease_word *word, uint64_t now_ns, uint64_t length_ns);

#endif
