/* SPDX-License-Identifier: GPL-2.0 */
/* Small helpers without a better home: clocks, sockaddr, names. */
#ifndef FARSWAP_UTIL_H
#define FARSWAP_UTIL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define FARSWAP_VERSION		"0.1"
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

union farswap_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

/* numeric IPv4 or IPv6 (with %scope); port in host order. Returns 0 or -EINVAL. */
int farswap_addr_parse(const char *text, uint16_t port, union farswap_addr *out);
/* "10.0.0.1" or "fd00::1", without the port; a static buffer for each of the last four calls */
const char *farswap_addr_text(const union farswap_addr *addr);
socklen_t farswap_addr_bytes(const union farswap_addr *addr);
bool farswap_addr_same_host(const union farswap_addr *a, const union farswap_addr *b);
/* as messages carry it: IPv6, or IPv4 mapped into it; without port and scope */
void farswap_addr_wire(const union farswap_addr *addr, uint8_t out[16]);
/* and back; with the scope of self if it is link-local */
void farswap_addr_from_wire(const uint8_t wire[16], const union farswap_addr *self, union farswap_addr *out);
/* is it the address of a local interface? */
bool farswap_addr_is_local(const union farswap_addr *addr);

uint64_t farswap_now_ns(void);		/* CLOCK_MONOTONIC */
/* bytes, with an optional suffix K, M, G or T (powers of 1024). Returns 0 or -EINVAL. */
int farswap_parse_bytes(const char *text, uint64_t *bytes);
int farswap_parse_u64(const char *text, uint64_t max, uint64_t *out);
/* device names: a letter, then letters and digits; at most 31 */
bool farswap_device_name_ok(const char *name);
/* "lz4" and so on, "unknown" if it is none; parse: an enum farswap_codec or -EINVAL */
const char *farswap_codec_name(unsigned int codec);
int farswap_codec_parse(const char *name);
/* equal? takes the same time wherever the first difference is */
bool farswap_equal_secret(const void *a, const void *b, size_t bytes);
int farswap_boot_id(uint8_t boot_id[16]);

#endif
