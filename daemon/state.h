/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a donor's daemon tells the next one about the memory that it hands over (handover.h): which sessions there are, and which slabs
 * of theirs lie where. Pure: no I/O. What is read passes one gate, as what comes from the network does; layout and meaning go by
 * STATE_VERSION, and another version is not understood.
 *
 *   head | session | slab ... | session | slab ...
 */
#ifndef FARSWAP_STATE_H
#define FARSWAP_STATE_H

#include <assert.h>
#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

#include "farswap_wire.h"

#define STATE_MAGIC	0x53575346u	/* "FSWS" read as a little-endian word */
#define STATE_VERSION	1
#define STATE_BYTES_MAX	(256u << 20)

struct state_head {
	__le32 magic;
	__le32 sum;			/* CRC-32C of all that follows this field */
	__le32 version;
	__le32 bytes;			/* all */
	__le64 incarnation;
	__le64 slab_bytes;
	__le64 memory;			/* inode of the memory that this is about */
	__le32 sessions;
	__le32 slabs;
	char node[FARSWAP_NAME_BYTES];
};

struct state_session {			/* its slabs follow */
	__le64 number;
	__le64 lease_count;		/* as it was last seen */
	__u8 boot_id[16];		/* of the client's host */
	char client[FARSWAP_NAME_BYTES];
	__le32 slabs;			/* at least 1 */
	__le32 reserved;
};

struct state_slab {
	__le64 number;
	__le64 incarnation;
	__le64 extent;
	__le32 generation;
	__le32 place;			/* in the memory */
};

static_assert(sizeof(struct state_head) == 80, "layout");
static_assert(sizeof(struct state_session) == 72, "layout");
static_assert(sizeof(struct state_slab) == 32, "layout");

/* what fits to the daemon that reads it */
struct state_fit {
	const char *node;
	uint64_t slab_bytes;
	uint64_t memory;		/* inode of the memory that came with it */
	uint32_t places;		/* there */
	uint32_t lend;
};

/* NULL: it may be used; else why not. The data is aligned as malloc() does. */
const char *state_check(const void *data, size_t bytes, const struct state_fit *fit);
/* of a state that passed: its sessions, one by one; NULL after the last */
const struct state_session *state_next(const void *data, const struct state_session *after);
const struct state_slab *state_slabs(const struct state_session *session);

/* one in the making: all zero, then sessions, slabs behind each, then its end. data is the caller's to free. */
struct state {
	struct state_head *data;	/* NULL: nothing yet, or out of memory */
	size_t bytes, room;
	size_t session;			/* where the last one begins */
	int error;
};

void state_add_session(struct state *state, const struct state_session *session);
void state_add_slab(struct state *state, const struct state_slab *slab);
/* 0, or -ENOMEM: something could not be added. Of head, version, counts, bytes and sum are filled in. */
int state_end(struct state *state, const struct state_head *head);

#endif
