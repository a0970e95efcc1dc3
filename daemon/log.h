/* SPDX-License-Identifier: GPL-2.0 */
/* One line per state change, on stderr (the journal adds time and unit). */
#ifndef FARSWAP_LOG_H
#define FARSWAP_LOG_H

#include <stdint.h>

/* "farswapd" and, when known, the node: "farswapd[a]: " */
void farswap_log_start(const char *program, const char *node);
void farswap_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* what a stranger can cause goes through a limit: burst lines per interval, then one line with the number left out */
struct farswap_log_limit {
	unsigned int burst;
	uint64_t interval_ns;
	uint64_t since_ns;
	unsigned int said;
	unsigned int left_out;
};
#define FARSWAP_LOG_LIMIT	{ .burst = 8, .interval_ns = 10000000000ull }
void farswap_log_limited(struct farswap_log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
