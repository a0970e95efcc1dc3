/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FARSWAP_KEY_H
#define FARSWAP_KEY_H

#include <stddef.h>
#include <stdint.h>

#define FARSWAP_KEY_BYTES	32

/*
 * The cluster's pre-shared key: a regular file of this user (or root), mode 0600 or stricter, 64 hex digits.
 * Returns 0, or -1 with one line in err that names the file, what is wrong and what to do.
 */
int farswap_key_load(const char *path, uint8_t key[FARSWAP_KEY_BYTES], char *err, size_t size);
/* a fresh key as text on stdout; returns 0 or -errno */
int farswap_key_generate(void);

#endif
