// SPDX-License-Identifier: GPL-2.0
/*
 * auditbytes DUMP MAP NODE=PID...: an audit that believes neither module nor daemon. DUMP is swapcheck's (which swap slot holds which of
 * its pages), MAP is the output of `farswap map DEV -j` (a line of JSON for each slot), NODE=PID are the donors' daemons. Reads each
 * page's bytes out of each donor process, decompresses them if need be, and compares them with what swapcheck wrote. Prints a line for each wrong copy and in
 * the end: audit: pages=N filled=N copies=N wrong=N (filled: of one word, in the map alone; copies: the least number of right ones of any page). Exits 1 if wrong.
 *
 * auditbytes --flip DUMP MAP NODE=PID: changes one byte of the first page's copy at NODE, and says where.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../../kmod/codec.h"
#include "pattern.h"

#define SLOTS	(1u << 20)
#define DONORS	16

struct page {
	uint64_t page, round, seed;
	bool in_dump;
};

int world_cpu;	/* of the codecs in user space: there is one */
static struct page *dumped;
static struct fsw_codecs codecs;
static struct { const char *name; int mem; } donors[DONORS];
static int nr_donors;

static void fatal(const char *what)
{
	fprintf(stderr, "auditbytes: %s\n", what);
	exit(2);
}

static uint64_t number(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v))
		fatal(key);
	return json_object_get_uint64(v);
}

static const char *text(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v))
		fatal(key);
	return json_object_get_string(v);
}

static void donor_add(char *arg)
{
	char *eq = strchr(arg, '='), path[64];

	if (!eq || nr_donors == DONORS)
		fatal("NODE=PID expected");
	*eq = 0;
	snprintf(path, sizeof(path), "/proc/%s/mem", eq + 1);
	donors[nr_donors].name = arg;
	donors[nr_donors].mem = open(path, O_RDWR);
	if (donors[nr_donors++].mem < 0)
		fatal(path);
}

static int donor_mem(const char *name)
{
	int i;

	for (i = 0; i < nr_donors; i++)
		if (!strcmp(donors[i].name, name))
			return donors[i].mem;
	return -1;
}

static void read_dump(const char *path)
{
	unsigned long long slot, page, round, seed;
	FILE *f = fopen(path, "r");

	if (!f)
		fatal(path);
	while (fscanf(f, "%llu %llu %llu %llu", &slot, &page, &round, &seed) == 4) {
		if (slot >= SLOTS)
			fatal("slot out of range");
		dumped[slot] = (struct page){ page, round, seed, true };
	}
	fclose(f);
}

/* Is this what the map says it is, and that what was written? */
static bool copy_right(json_object *line, const void *stored, const struct page *p)
{
	unsigned int length = number(line, "length");
	int codec = fsw_codec_parse(text(line, "codec"));
	uint64_t page[PAGE_WORDS];

	if (codec == FARSWAP_CODEC_NONE && length == PAGE_BYTES)
		memcpy(page, stored, PAGE_BYTES);
	else if (codec < 0 || fsw_decompress(&codecs, codec, stored, length, page))
		return false;
	return !pattern_wrong(page, p->seed, p->page, p->round);
}

/* Right copies of the slot of one line of the map; *wrong counts the others. */
static unsigned int slot_check(json_object *line, const struct page *p, unsigned long *wrong)
{
	json_object *members;
	unsigned int length = number(line, "length");
	uint64_t buf[PAGE_WORDS];
	unsigned int copies = 0;
	size_t i;

	if (!json_object_object_get_ex(line, "members", &members))
		fatal("members");
	for (i = 0; i < json_object_array_length(members); i++) {
		json_object *m = json_object_array_get_idx(members, i);
		int mem = donor_mem(text(m, "node"));

		if (mem < 0)
			continue;
		if (length > sizeof(buf) || pread(mem, buf, length, number(m, "address")) != length)
			fatal("a donor's memory cannot be read");
		if (copy_right(line, buf, p)) {
			copies++;
			continue;
		}
		printf("audit: slot %llu page %llu: the copy at %s is wrong\n", (unsigned long long)number(line, "slot"),
		       (unsigned long long)p->page, text(m, "node"));
		++*wrong;
	}
	return copies;
}

static void flip(json_object *line)
{
	json_object *members;
	size_t i;

	json_object_object_get_ex(line, "members", &members);
	for (i = 0; i < json_object_array_length(members); i++) {
		json_object *m = json_object_array_get_idx(members, i);
		int mem = donor_mem(text(m, "node"));
		off_t at = number(m, "address") + number(line, "length") / 2;
		uint8_t byte;

		if (mem < 0)
			continue;
		if (pread(mem, &byte, 1, at) != 1)
			fatal("a donor's memory cannot be read");
		byte ^= 0x10;
		if (pwrite(mem, &byte, 1, at) != 1)
			fatal("a donor's memory cannot be written");
		printf("flipped a bit of slot %llu at %s\n", (unsigned long long)number(line, "slot"), text(m, "node"));
		exit(0);
	}
	fatal("that donor has no copy of the first page");
}

int main(int argc, char **argv)
{
	bool flipping = argc > 1 && !strcmp(argv[1], "--flip");
	unsigned long pages = 0, filled = 0, wrong = 0, expected = 0;
	unsigned int copies = ~0u, n;
	char *line = NULL;
	size_t size = 0;
	FILE *map;
	int i;

	argv += flipping;
	argc -= flipping;
	if (argc < 4)
		fatal("usage: auditbytes [--flip] DUMP MAP NODE=PID...");
	dumped = calloc(SLOTS, sizeof(*dumped));
	if (!dumped || fsw_codecs_init(&codecs))
		fatal("out of memory");
	for (i = 3; i < argc; i++)
		donor_add(argv[i]);
	read_dump(argv[1]);
	for (n = 0; n < SLOTS; n++)
		expected += dumped[n].in_dump;
	map = fopen(argv[2], "r");
	if (!map)
		fatal(argv[2]);
	while (getline(&line, &size, map) > 0) {
		json_object *o = json_tokener_parse(line);
		uint64_t slot;

		if (!o)
			fatal("the map has a line that is not JSON");
		slot = number(o, "slot");
		if (slot < SLOTS && dumped[slot].in_dump) {
			if (!strcmp(text(o, "state"), "filled") &&
			    pattern_words(dumped[slot].seed, dumped[slot].page) == 1) {
				filled++;	/* on no donor; swapcheck itself sees whether it comes back right */
			} else {
				if (strcmp(text(o, "state"), "stored"))
					fatal("a page is not stored");
				if (flipping)
					flip(o);
				n = slot_check(o, &dumped[slot], &wrong);
				copies = n < copies ? n : copies;
			}
			pages++;
		}
		json_object_put(o);
	}
	printf("audit: pages=%lu filled=%lu copies=%u wrong=%lu\n", pages, filled, pages > filled ? copies : 0, wrong);
	if (pages != expected)
		printf("audit: %lu pages in swap are not in the map\n", expected - pages);
	return wrong || pages != expected || !pages;
}
