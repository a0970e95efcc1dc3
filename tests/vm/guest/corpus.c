// SPDX-License-Identifier: GPL-2.0
/*
 * corpus KIND PAGES [SEED]: that many pages of 4096 bytes to standard output; the same for the same arguments, anywhere.
 * KIND: zero, text, json, heap, random.
 */
#include <stdlib.h>
#include "corpus.h"

static int kind_of(const char *name)
{
	int kind;

	for (kind = 0; kind < CORPUS_KINDS; kind++)
		if (!strcmp(name, corpus_names[kind]))
			return kind;
	return -1;
}

int main(int argc, char **argv)
{
	uint64_t i, pages = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	int kind = argc > 1 ? kind_of(argv[1]) : -1;
	static uint64_t page[CORPUS_BYTES / 8];

	if (kind < 0 || !pages || argc > 4) {
		fprintf(stderr, "usage: corpus zero|text|json|heap|random PAGES [SEED] > FILE\n");
		return 2;
	}
	for (i = 0; i < pages; i++) {
		corpus_page(kind, seed, i, page);
		if (fwrite(page, sizeof(page), 1, stdout) != 1) {
			perror("corpus: page cannot be written");
			return 1;
		}
	}
	if (fflush(stdout)) {
		perror("corpus: page cannot be written");
		return 1;
	}
	return 0;
}
