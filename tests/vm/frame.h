/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What guest/agent.c and tell.c say to each other, on one machine and so in its byte order:
 *
 *   host                              guest
 *   COMMAND  nonce, shell command ->
 *                                  <- the nonce, bare: all before it was of an earlier command
 *   IN       bytes, none: the end ->
 *                                  <- OUT, ERR  bytes
 *                                  <- EXIT      exit code, one byte
 */
#ifndef FARSWAP_TEST_FRAME_H
#define FARSWAP_TEST_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define FRAME_MAX	65536
#define FRAME_NONCE	16

enum {
	FRAME_COMMAND = 'c',
	FRAME_IN = 'i',
	FRAME_OUT = 'o',
	FRAME_ERR = 'e',
	FRAME_EXIT = 'x',
};

struct frame {
	uint32_t len;
	unsigned char type;
} __attribute__((packed));

#endif
