// SPDX-License-Identifier: GPL-2.0
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

#include "util.h"

static char prefix[64] = "farswap";

void farswap_log_start(const char *program, const char *node)
{
	if (node)
		snprintf(prefix, sizeof(prefix), "%s[%s]", program, node);
	else
		snprintf(prefix, sizeof(prefix), "%s", program);
}

/* one write per line, so that lines of several processes do not mix */
static void put(const char *format, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, args);
	fprintf(stderr, "%s: %s\n", prefix, line);
}

void farswap_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put(format, args);
	va_end(args);
}

void farswap_log_limited(struct farswap_log_limit *limit, const char *format, ...)
{
	uint64_t now = farswap_now_ns();
	va_list args;

	if (!limit->since_ns || now - limit->since_ns > limit->interval_ns) {
		if (limit->left_out)
			farswap_log("%u more lines like this were left out", limit->left_out);
		limit->since_ns = now;
		limit->said = 0;
		limit->left_out = 0;
	}
	if (limit->said >= limit->burst) {
		limit->left_out++;
		return;
	}
	limit->said++;
	va_start(args, format);
	put(format, args);
	va_end(args);
}
