/* SPDX-License-Identifier: GPL-2.0 */
/* The gate that every control message passes before use, and makers of messages. Pure: no I/O. */
#ifndef FARSWAP_MSG_H
#define FARSWAP_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farswap_wire.h"

union farswap_msg {
	struct farswap_msg_head head;
	struct farswap_msg_hello hello;
	struct farswap_msg_session session;
	struct farswap_msg_token token;
	struct farswap_msg_grant grant;
	struct farswap_msg_ping ping;
	struct farswap_msg_reject reject;
	struct farswap_msg_slab slab;
	struct farswap_msg_push push;
	struct farswap_msg_check check;
	struct farswap_msg_checked checked;
	struct farswap_msg_list list;
	struct farswap_msg_activity activity;
	struct farswap_msg_listed listed;
	uint8_t whole[FARSWAP_MSG_BYTES_MAX];
};

enum farswap_msg_verdict {
	FARSWAP_MSG_GOOD,
	FARSWAP_MSG_BAD_MAGIC,
	FARSWAP_MSG_BAD_TYPE,
	FARSWAP_MSG_BAD_LENGTH,
	FARSWAP_MSG_BAD_RESERVED,	/* a reserved field, or one that this type does not use, is not zero */
	FARSWAP_MSG_BAD_FEATURES,
	FARSWAP_MSG_BAD_NAME,		/* not zero-padded, empty, or strange characters */
	FARSWAP_MSG_BAD_RANGE,
	FARSWAP_MSG_OTHER_VERSION,	/* HELLO or WELCOME of a version not spoken here; only version is valid */
};

/*
 * Head only (16 bytes are there): may the body be read? On FARSWAP_MSG_GOOD *bytes is the whole frame's length,
 * at most FARSWAP_MSG_BYTES_MAX.
 */
enum farswap_msg_verdict farswap_msg_check_head(const void *data, size_t *bytes);
/* a whole frame of exactly this length */
enum farswap_msg_verdict farswap_msg_check(const void *data, size_t bytes);
/* private data of an RDMA connect request, at least the struct (the connection manager pads); token not looked at */
enum farswap_msg_verdict farswap_connect_check(const void *data, size_t bytes);

const char *farswap_msg_verdict_text(enum farswap_msg_verdict verdict);
const char *farswap_msg_type_text(unsigned int type);
const char *farswap_reject_text(unsigned int code);
/* one phrase with the number where the code has one: "speaks protocol version 2, this node 1"; returns buf */
const char *farswap_reject_say(unsigned int code, uint64_t number, char *buf, size_t size);

/* zero, then magic, type, length and request number; the body is the caller's */
void farswap_msg_make(union farswap_msg *msg, enum farswap_msg_type type, uint32_t id);
/* is a the answer's type that a request of type r asks for? (REJECT answers all) */
int farswap_msg_answers(unsigned int request, unsigned int answer);
/* of a message of this type; of a CHECK without sums */
size_t farswap_msg_bytes(unsigned int type);
/* one more sum for a CHECK; false when it is full */
bool farswap_msg_add_sum(union farswap_msg *msg, uint32_t frame, uint16_t offset, uint16_t length, uint32_t sum);

/* node names: letters, digits, '.', '-', '_'; 1 to 31 of them */
bool farswap_name_ok(const char *name);
/* zero-padded copy into a message's name field; longer names are cut */
void farswap_name_copy(char *to, const char *from);
/* true when all bytes are zero */
bool farswap_all_zero(const void *data, size_t bytes);

#endif
