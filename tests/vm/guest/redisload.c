// SPDX-License-Identifier: GPL-2.0
/*
 * What the demo puts into redis and compares with what comes back; redis-cli itself carries it both ways.
 *
 *   redisload set KEYS              the SET commands in redis's protocol, for redis-cli --pipe
 *   redisload get KEYS              the GET commands, half of them as they were set, the others shuffled, for redis-cli --raw
 *   redisload check KEYS            compares redis-cli's answers to these; last line: values=N wrong=N. Exits 1 if any is wrong
 *
 * Values are 4000 bytes that do not compress and tell their key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pattern.h"

#define VALUE_BYTES	4000
#define SEED		20

static uint64_t words[PAGE_WORDS];

static const char *value(unsigned long key)
{
	pattern_fill(words, SEED, key, 1);
	return (const char *)words;
}

/* The key that is asked for i-th. In the second half i runs through all that are left once: 611953 is a prime, and rest no multiple of it. */
static unsigned long nth(unsigned long i, unsigned long keys)
{
	unsigned long half = keys / 2, rest = keys - half;

	return i < half ? i : half + (i * 611953 + 7) % rest;
}

static void set(unsigned long keys)
{
	unsigned long key;
	char name[32];

	for (key = 0; key < keys; key++) {
		int n = snprintf(name, sizeof(name), "key:%lu", key);

		printf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n", n, name, VALUE_BYTES);
		fwrite(value(key), 1, VALUE_BYTES, stdout);
		printf("\r\n");
	}
}

static int check(unsigned long keys)
{
	unsigned long i, wrong = 0, values = 0;
	static char got[VALUE_BYTES + 1];

	for (i = 0; i < keys && fread(got, 1, sizeof(got), stdin) == sizeof(got); i++) {
		values++;
		wrong += memcmp(got, value(nth(i, keys)), VALUE_BYTES) != 0 || got[VALUE_BYTES] != '\n';
		if (values % 1024 == 0) {
			fprintf(stderr, "%lu of %lu values compared, %lu wrong\n", values, keys, wrong);
			fflush(stderr);
		}
	}
	printf("values=%lu wrong=%lu\n", values, wrong);
	return wrong || values != keys;
}

int main(int argc, char **argv)
{
	unsigned long keys = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, i;

	if (!keys || keys >= 611953) {
		fprintf(stderr, "usage: redisload set|get|check KEYS (less than 611953)\n");
		return 2;
	}
	if (!strcmp(argv[1], "set"))
		set(keys);
	else if (!strcmp(argv[1], "get"))
		for (i = 0; i < keys; i++)
			printf("GET key:%lu\n", nth(i, keys));
	else
		return check(keys);
	return 0;
}
