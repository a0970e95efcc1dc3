// SPDX-License-Identifier: GPL-2.0
#include "dropped.h"

#include "log.h"

static uint64_t counts[DROPPED_CAUSES];
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

void dropped_add(enum dropped_cause cause, const char *who, const char *why)
{
	counts[cause]++;
	farswap_log_limited(&limit, "control peer %s dropped: %s", who, why);
}

uint64_t dropped_count(enum dropped_cause cause)
{
	return counts[cause];
}

const char *dropped_name(enum dropped_cause cause)
{
	static const char * const names[DROPPED_CAUSES] = {
		[DROPPED_HANDSHAKE]	= "handshake",
		[DROPPED_KEY]		= "key",
		[DROPPED_TIMEOUT]	= "timeout",
		[DROPPED_CROWD]		= "crowd",
		[DROPPED_MESSAGE]	= "message",
		[DROPPED_ORDER]		= "order",
	};

	return names[cause];
}
