/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FAKEPEER_H
#define FAKEPEER_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "conf.h"
#include "msg.h"

struct fake {
	struct farswap_conf conf;
	struct farswap_node *self, *peer;
	uint8_t key[FARSWAP_KEY_BYTES];
};

struct fake_command {
	const char *name;		/* NULL: the end of the table */
	int args;
	int (*run)(char **argv);
};

extern struct fake fake;
extern const struct fake_command fake_rdma_commands[];

int fake_fail(const char *what, const char *why);	/* always 1 */
int fake_open_tls(struct client *client);
/* the answer's type, or for a REJECT its code + 1000 */
unsigned int fake_ask(struct client *client, union farswap_msg *msg, union farswap_msg *answer);
int fake_expect(const char *what, unsigned int got, unsigned int wanted);

#endif
