// SPDX-License-Identifier: GPL-2.0
#include "util.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "farswap_nl.h"
#include "farswap_wire.h"

int farswap_addr_parse(const char *text, uint16_t port, union farswap_addr *out)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;

	memset(out, 0, sizeof(*out));
	if (getaddrinfo(text, NULL, &hints, &found))
		return -EINVAL;
	memcpy(out, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	if (out->sa.sa_family == AF_INET)
		out->in.sin_port = htons(port);
	else if (out->sa.sa_family == AF_INET6)
		out->in6.sin6_port = htons(port);
	else
		return -EINVAL;
	return 0;
}

const char *farswap_addr_text(const union farswap_addr *addr)
{
	static char text[4][INET6_ADDRSTRLEN + IF_NAMESIZE + 2];
	static unsigned int turn;
	char *out = text[turn++ % 4];

	if (getnameinfo(&addr->sa, farswap_addr_bytes(addr), out, sizeof(text[0]), NULL, 0,
			NI_NUMERICHOST))
		strcpy(out, "?");
	return out;
}

socklen_t farswap_addr_bytes(const union farswap_addr *addr)
{
	return addr->sa.sa_family == AF_INET ? sizeof(addr->in) : sizeof(addr->in6);
}

bool farswap_addr_same_host(const union farswap_addr *a, const union farswap_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

void farswap_addr_wire(const union farswap_addr *addr, uint8_t out[16])
{
	if (addr->sa.sa_family == AF_INET6) {
		memcpy(out, &addr->in6.sin6_addr, 16);
		return;
	}
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, &addr->in.sin_addr, 4);
}

void farswap_addr_from_wire(const uint8_t wire[16], const union farswap_addr *self, union farswap_addr *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(&out->in6.sin6_addr, wire, 16);
	if (IN6_IS_ADDR_V4MAPPED(&out->in6.sin6_addr)) {
		memset(out, 0, sizeof(*out));
		out->in.sin_family = AF_INET;
		memcpy(&out->in.sin_addr, wire + 12, 4);
		return;
	}
	out->in6.sin6_family = AF_INET6;
	if (IN6_IS_ADDR_LINKLOCAL(&out->in6.sin6_addr) && self->sa.sa_family == AF_INET6)
		out->in6.sin6_scope_id = self->in6.sin6_scope_id;
}

bool farswap_addr_is_local(const union farswap_addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union farswap_addr any_port = *addr;
	bool local;

	if (fd < 0)
		return false;
	any_port.in.sin_port = 0;	/* sin6_port lies at the same place */
	local = !bind(fd, &any_port.sa, farswap_addr_bytes(&any_port));
	close(fd);
	return local;
}

uint64_t farswap_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int farswap_parse_u64(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno || *end || *out > max)
		return -EINVAL;
	return 0;
}

int farswap_parse_bytes(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	unsigned int shift = 0;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (shift && *bytes >> (64 - shift))
		return -EINVAL;
	*bytes <<= shift;
	return 0;
}

bool farswap_device_name_ok(const char *name)
{
	size_t i;

	if (!isalpha((unsigned char)name[0]))
		return false;
	for (i = 0; name[i]; i++)
		if (!isalnum((unsigned char)name[i]))
			return false;
	return i < FARSWAP_NAME_BYTES;
}

static const char * const codec_names[FARSWAP_CODECS] = FARSWAP_CODEC_NAMES;

const char *farswap_codec_name(unsigned int codec)
{
	return codec < FARSWAP_CODECS ? codec_names[codec] : "unknown";
}

int farswap_codec_parse(const char *name)
{
	int codec;

	for (codec = 0; codec < FARSWAP_CODECS; codec++)
		if (!strcmp(name, codec_names[codec]))
			return codec;
	return -EINVAL;
}

bool farswap_equal_secret(const void *a, const void *b, size_t bytes)
{
	const volatile uint8_t *p = a, *q = b;
	uint8_t differ = 0;

	while (bytes--)
		differ |= *p++ ^ *q++;
	return !differ;
}

int farswap_boot_id(uint8_t boot_id[16])
{
	char text[64] = "";
	const char *p = text;
	unsigned int n = 0, byte;
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!file)
		return -errno;
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	while (n < 16 && *p) {
		if (*p == '-') {
			p++;
			continue;
		}
		if (sscanf(p, "%2x", &byte) != 1)
			break;
		boot_id[n++] = (uint8_t)byte;
		p += 2;
	}
	return n == 16 ? 0 : -EINVAL;
}
