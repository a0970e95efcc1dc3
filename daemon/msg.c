// SPDX-License-Identifier: GPL-2.0
#include "msg.h"

#include <ctype.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	size_t bytes;
} types[FARSWAP_MSG_TYPES] = {
	[FARSWAP_MSG_HELLO]	= { "HELLO",	sizeof(struct farswap_msg_hello) },
	[FARSWAP_MSG_WELCOME]	= { "WELCOME",	sizeof(struct farswap_msg_hello) },
	[FARSWAP_MSG_OPEN]	= { "OPEN",	sizeof(struct farswap_msg_session) },
	[FARSWAP_MSG_OPENED]	= { "OPENED",	sizeof(struct farswap_msg_session) },
	[FARSWAP_MSG_TOKEN]	= { "TOKEN",	sizeof(struct farswap_msg_token) },
	[FARSWAP_MSG_TOKEN_OK]	= { "TOKEN_OK",	sizeof(struct farswap_msg_token) },
	[FARSWAP_MSG_GRANT]	= { "GRANT",	sizeof(struct farswap_msg_grant) },
	[FARSWAP_MSG_GRANTED]	= { "GRANTED",	sizeof(struct farswap_msg_grant) },
	[FARSWAP_MSG_PING]	= { "PING",	sizeof(struct farswap_msg_ping) },
	[FARSWAP_MSG_PONG]	= { "PONG",	sizeof(struct farswap_msg_ping) },
	[FARSWAP_MSG_CLOSE]	= { "CLOSE",	sizeof(struct farswap_msg_session) },
	[FARSWAP_MSG_CLOSED]	= { "CLOSED",	sizeof(struct farswap_msg_session) },
	[FARSWAP_MSG_REJECT]	= { "REJECT",	sizeof(struct farswap_msg_reject) },
	[FARSWAP_MSG_REJOIN]	= { "REJOIN",	sizeof(struct farswap_msg_session) },
	[FARSWAP_MSG_REJOINED]	= { "REJOINED",	sizeof(struct farswap_msg_session) },
	[FARSWAP_MSG_RELEASE]	= { "RELEASE",	sizeof(struct farswap_msg_slab) },
	[FARSWAP_MSG_RELEASED]	= { "RELEASED",	sizeof(struct farswap_msg_slab) },
	[FARSWAP_MSG_PUSH]	= { "PUSH",	sizeof(struct farswap_msg_push) },
	[FARSWAP_MSG_PUSHED]	= { "PUSHED",	sizeof(struct farswap_msg_push) },
	[FARSWAP_MSG_CHECK]	= { "CHECK",	sizeof(struct farswap_msg_check) },
	[FARSWAP_MSG_CHECKED]	= { "CHECKED",	sizeof(struct farswap_msg_checked) },
	[FARSWAP_MSG_LIST]	= { "LIST",	sizeof(struct farswap_msg_list) },
	[FARSWAP_MSG_LISTED]	= { "LISTED",	sizeof(struct farswap_msg_listed) },
	[FARSWAP_MSG_LOCATE]	= { "LOCATE",	sizeof(struct farswap_msg_slab) },
	[FARSWAP_MSG_LOCATED]	= { "LOCATED",	sizeof(struct farswap_msg_grant) },
	[FARSWAP_MSG_ACTIVITY]	= { "ACTIVITY",	sizeof(struct farswap_msg_activity) },
	[FARSWAP_MSG_ASKED]	= { "ASKED",	sizeof(struct farswap_msg_listed) },
};

bool farswap_name_ok(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr(".-_", name[i]))
			return false;
	return i > 0 && i < FARSWAP_NAME_BYTES;
}

void farswap_name_copy(char *to, const char *from)
{
	memset(to, 0, FARSWAP_NAME_BYTES);
	memcpy(to, from, strnlen(from, FARSWAP_NAME_BYTES - 1));
}

bool farswap_all_zero(const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint8_t seen = 0;

	while (bytes--)
		seen |= *p++;
	return !seen;
}

size_t farswap_msg_bytes(unsigned int type)
{
	return type < FARSWAP_MSG_TYPES ? types[type].bytes : 0;
}

const char *farswap_msg_type_text(unsigned int type)
{
	return type < FARSWAP_MSG_TYPES && types[type].name ? types[type].name : "unknown";
}

int farswap_msg_answers(unsigned int request, unsigned int answer)
{
	/* each answer's number follows its request's */
	return answer == FARSWAP_MSG_REJECT || answer == request + 1;
}

void farswap_msg_make(union farswap_msg *msg, enum farswap_msg_type type, uint32_t id)
{
	memset(msg, 0, sizeof(*msg));
	msg->head.magic = htole32(FARSWAP_WIRE_MAGIC);
	msg->head.type = htole16(type);
	msg->head.bytes = htole32((uint32_t)types[type].bytes);
	msg->head.id = htole32(id);
}

bool farswap_msg_add_sum(union farswap_msg *msg, uint32_t frame, uint16_t offset, uint16_t length, uint32_t sum)
{
	uint32_t n = le32toh(msg->check.n);

	if (n == FARSWAP_CHECK_SUMS)
		return false;
	msg->check.sums[n] = (struct farswap_msg_sum) {
		.frame = htole32(frame),
		.offset = htole16(offset),
		.length = htole16(length),
		.sum = htole32(sum),
	};
	msg->check.n = htole32(n + 1);
	msg->head.bytes = htole32(le32toh(msg->head.bytes) + (uint32_t)sizeof(struct farswap_msg_sum));
	return true;
}

/* may a frame of this type be that long? */
static bool length_ok(unsigned int type, size_t bytes)
{
	size_t least = types[type].bytes;

	if (type != FARSWAP_MSG_CHECK)
		return bytes == least;
	return bytes > least && bytes <= FARSWAP_MSG_BYTES_MAX && (bytes - least) % sizeof(struct farswap_msg_sum) == 0;
}

enum farswap_msg_verdict farswap_msg_check_head(const void *data, size_t *bytes)
{
	struct farswap_msg_head head;
	unsigned int type;

	memcpy(&head, data, sizeof(head));
	type = le16toh(head.type);
	if (le32toh(head.magic) != FARSWAP_WIRE_MAGIC)
		return FARSWAP_MSG_BAD_MAGIC;
	if (!type || type >= FARSWAP_MSG_TYPES)
		return FARSWAP_MSG_BAD_TYPE;
	if (!length_ok(type, le32toh(head.bytes)))
		return FARSWAP_MSG_BAD_LENGTH;
	if (head.reserved)
		return FARSWAP_MSG_BAD_RESERVED;
	*bytes = le32toh(head.bytes);
	return FARSWAP_MSG_GOOD;
}

/* the first NUL ends the name; all after it must be zero */
static enum farswap_msg_verdict check_name(const char name[FARSWAP_NAME_BYTES])
{
	size_t length = strnlen(name, FARSWAP_NAME_BYTES);

	if (length == FARSWAP_NAME_BYTES || !farswap_name_ok(name) ||
	    !farswap_all_zero(name + length, FARSWAP_NAME_BYTES - length))
		return FARSWAP_MSG_BAD_NAME;
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_hello(const struct farswap_msg_hello *msg, unsigned int type)
{
	uint64_t slab = le64toh(msg->slab_bytes);

	if (le16toh(msg->version) != FARSWAP_WIRE_VERSION)
		return FARSWAP_MSG_OTHER_VERSION;
	if (msg->features)
		return FARSWAP_MSG_BAD_FEATURES;
	if (msg->reserved || (type == FARSWAP_MSG_HELLO && msg->room))
		return FARSWAP_MSG_BAD_RESERVED;
	if (slab < FARSWAP_SLAB_BYTES_MIN || slab > FARSWAP_SLAB_BYTES_MAX || slab & (slab - 1))
		return FARSWAP_MSG_BAD_RANGE;
	if (!msg->incarnation || !msg->page_bytes)
		return FARSWAP_MSG_BAD_RANGE;
	return check_name(msg->name);
}

static enum farswap_msg_verdict check_session(const struct farswap_msg_session *msg, unsigned int type)
{
	bool tells_port = type == FARSWAP_MSG_OPENED || type == FARSWAP_MSG_REJOINED;
	uint64_t address = le64toh(msg->lease_address);
	uint32_t ms = le32toh(msg->lease_ms);

	if (msg->reserved || msg->reserved2)
		return FARSWAP_MSG_BAD_RESERVED;
	if (!tells_port && (msg->rdma_port || msg->lease_ms))
		return FARSWAP_MSG_BAD_RESERVED;
	if (!msg->lease_ms && (msg->lease_address || msg->lease_rkey))
		return FARSWAP_MSG_BAD_RESERVED;
	if (tells_port && !msg->rdma_port)
		return FARSWAP_MSG_BAD_RANGE;
	if (ms && (ms < FARSWAP_LEASE_MS_MIN || ms > FARSWAP_LEASE_MS_MAX || !address || address % 8 ||
		   address > UINT64_MAX - sizeof(struct farswap_lease_word)))
		return FARSWAP_MSG_BAD_RANGE;
	if (type != FARSWAP_MSG_OPEN && !msg->session)
		return FARSWAP_MSG_BAD_RANGE;
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_token(const struct farswap_msg_token *msg, unsigned int type)
{
	if (type == FARSWAP_MSG_TOKEN && !farswap_all_zero(msg->token, sizeof(msg->token)))
		return FARSWAP_MSG_BAD_RESERVED;
	if (!msg->session)
		return FARSWAP_MSG_BAD_RANGE;
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_grant(const struct farswap_msg_grant *msg, unsigned int type)
{
	uint64_t bytes = le64toh(msg->bytes);

	if (!msg->session)
		return FARSWAP_MSG_BAD_RANGE;
	if (type == FARSWAP_MSG_GRANT) {
		if (msg->rkey || msg->slab || msg->incarnation || msg->address || msg->bytes)
			return FARSWAP_MSG_BAD_RESERVED;
		return FARSWAP_MSG_GOOD;
	}
	if (!msg->slab || !msg->incarnation || !msg->address ||
	    bytes < FARSWAP_SLAB_BYTES_MIN || bytes > FARSWAP_SLAB_BYTES_MAX || bytes & (bytes - 1) ||
	    le64toh(msg->address) > UINT64_MAX - bytes)
		return FARSWAP_MSG_BAD_RANGE;
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_slab(const struct farswap_msg_slab *msg)
{
	return msg->session && msg->slab ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_RANGE;
}

static enum farswap_msg_verdict check_push(const struct farswap_msg_push *msg, unsigned int type)
{
	uint64_t offset = le64toh(msg->offset), bytes = le64toh(msg->bytes);

	if (msg->reserved)
		return FARSWAP_MSG_BAD_RESERVED;
	if (!msg->session || !msg->slab || !bytes || bytes > FARSWAP_SLAB_BYTES_MAX || offset > FARSWAP_SLAB_BYTES_MAX - bytes)
		return FARSWAP_MSG_BAD_RANGE;
	if (type == FARSWAP_MSG_PUSHED) {
		if (msg->to_session || msg->remote || msg->rkey || msg->to_port ||
		    !farswap_all_zero(msg->to_address, sizeof(msg->to_address)) ||
		    !farswap_all_zero(msg->token, sizeof(msg->token)))
			return FARSWAP_MSG_BAD_RESERVED;
		return FARSWAP_MSG_GOOD;
	}
	if (!msg->to_session || !msg->to_port || !msg->remote || le64toh(msg->remote) > UINT64_MAX - bytes)
		return FARSWAP_MSG_BAD_RANGE;
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_check(const struct farswap_msg_check *msg)
{
	uint32_t i, n = le32toh(msg->n);

	if (le32toh(msg->head.bytes) != sizeof(*msg) + (uint64_t)n * sizeof(msg->sums[0]))
		return FARSWAP_MSG_BAD_LENGTH;
	if (msg->reserved)
		return FARSWAP_MSG_BAD_RESERVED;
	if (!msg->session || !msg->slab)
		return FARSWAP_MSG_BAD_RANGE;
	for (i = 0; i < n; i++) {
		uint32_t offset = le16toh(msg->sums[i].offset), length = le16toh(msg->sums[i].length);

		if (le32toh(msg->sums[i].frame) >= FARSWAP_SLAB_BYTES_MAX / FARSWAP_FRAME_BYTES || !length ||
		    offset + length > FARSWAP_FRAME_BYTES)
			return FARSWAP_MSG_BAD_RANGE;
	}
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_checked(const struct farswap_msg_checked *msg)
{
	uint32_t i, n = le32toh(msg->n);

	if (!msg->session || !msg->slab || !n || n > FARSWAP_CHECK_SUMS)
		return FARSWAP_MSG_BAD_RANGE;
	if (msg->reserved)
		return FARSWAP_MSG_BAD_RESERVED;
	for (i = n; i < FARSWAP_CHECK_SUMS; i++)
		if (msg->differ[i / 8] & 1u << i % 8)
			return FARSWAP_MSG_BAD_RESERVED;
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_listed(const struct farswap_msg_listed *msg, bool asked)
{
	uint32_t i, n = le32toh(msg->n);
	uint64_t last = 0;

	if (!msg->session || n > FARSWAP_LIST_SLABS)
		return FARSWAP_MSG_BAD_RANGE;
	if (le32toh(msg->urgent) & ~((1ull << (asked ? n : 0)) - 1) ||
	    !farswap_all_zero(msg->slabs + n, sizeof(msg->slabs) - n * sizeof(msg->slabs[0])))
		return FARSWAP_MSG_BAD_RESERVED;
	for (i = 0; i < n; i++) {
		if (le64toh(msg->slabs[i]) <= last)
			return FARSWAP_MSG_BAD_RANGE;
		last = le64toh(msg->slabs[i]);
	}
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_activity(const struct farswap_msg_activity *msg)
{
	uint32_t i, n = le32toh(msg->n);
	uint64_t last = 0;

	if (!msg->session || !n || n > FARSWAP_LIST_SLABS)
		return FARSWAP_MSG_BAD_RANGE;
	if (msg->reserved || !farswap_all_zero(msg->slabs + n, sizeof(msg->slabs) - n * sizeof(msg->slabs[0])))
		return FARSWAP_MSG_BAD_RESERVED;
	for (i = 0; i < n; i++) {
		if (msg->slabs[i].reserved)
			return FARSWAP_MSG_BAD_RESERVED;
		if (le32toh(msg->slabs[i].flags) & ~(FARSWAP_SLAB_STAYS | FARSWAP_SLAB_KEPT))
			return FARSWAP_MSG_BAD_FEATURES;
		if (le64toh(msg->slabs[i].slab) <= last)
			return FARSWAP_MSG_BAD_RANGE;
		last = le64toh(msg->slabs[i].slab);
	}
	return FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_ping(const struct farswap_msg_ping *msg, unsigned int type)
{
	if (msg->reserved || (type == FARSWAP_MSG_PING && (msg->room || msg->lent || msg->flags)))
		return FARSWAP_MSG_BAD_RESERVED;
	return le32toh(msg->flags) & ~(FARSWAP_PONG_DRAINED | FARSWAP_PONG_SHORT) ? FARSWAP_MSG_BAD_FEATURES : FARSWAP_MSG_GOOD;
}

static enum farswap_msg_verdict check_reject(const struct farswap_msg_reject *msg)
{
	unsigned int code = le16toh(msg->code), type = le16toh(msg->type);

	if (msg->reserved)
		return FARSWAP_MSG_BAD_RESERVED;
	if (!code || code >= FARSWAP_REJECTS || !type || type >= FARSWAP_MSG_TYPES || type == FARSWAP_MSG_REJECT)
		return FARSWAP_MSG_BAD_RANGE;
	return FARSWAP_MSG_GOOD;
}

enum farswap_msg_verdict farswap_msg_check(const void *data, size_t bytes)
{
	union farswap_msg msg;
	enum farswap_msg_verdict verdict;
	unsigned int type;
	size_t expected;

	if (bytes < sizeof(msg.head) || bytes > sizeof(msg))
		return FARSWAP_MSG_BAD_LENGTH;
	memcpy(&msg, data, bytes);	/* the caller's buffer need not be aligned */
	verdict = farswap_msg_check_head(&msg, &expected);
	if (verdict)
		return verdict;
	if (bytes != expected)
		return FARSWAP_MSG_BAD_LENGTH;
	type = le16toh(msg.head.type);
	switch (type) {
	case FARSWAP_MSG_HELLO:
	case FARSWAP_MSG_WELCOME:
		return check_hello(&msg.hello, type);
	case FARSWAP_MSG_OPEN:
	case FARSWAP_MSG_OPENED:
	case FARSWAP_MSG_CLOSE:
	case FARSWAP_MSG_CLOSED:
	case FARSWAP_MSG_REJOIN:
	case FARSWAP_MSG_REJOINED:
		return check_session(&msg.session, type);
	case FARSWAP_MSG_TOKEN:
	case FARSWAP_MSG_TOKEN_OK:
		return check_token(&msg.token, type);
	case FARSWAP_MSG_GRANT:
	case FARSWAP_MSG_GRANTED:
	case FARSWAP_MSG_LOCATED:
		return check_grant(&msg.grant, type);
	case FARSWAP_MSG_PING:
	case FARSWAP_MSG_PONG:
		return check_ping(&msg.ping, type);
	case FARSWAP_MSG_RELEASE:
	case FARSWAP_MSG_RELEASED:
	case FARSWAP_MSG_LOCATE:
		return check_slab(&msg.slab);
	case FARSWAP_MSG_PUSH:
	case FARSWAP_MSG_PUSHED:
		return check_push(&msg.push, type);
	case FARSWAP_MSG_CHECK:
		return check_check(&msg.check);
	case FARSWAP_MSG_CHECKED:
		return check_checked(&msg.checked);
	case FARSWAP_MSG_LIST:
		return msg.list.session ? FARSWAP_MSG_GOOD : FARSWAP_MSG_BAD_RANGE;
	case FARSWAP_MSG_LISTED:
	case FARSWAP_MSG_ASKED:
		return check_listed(&msg.listed, type == FARSWAP_MSG_ASKED);
	case FARSWAP_MSG_ACTIVITY:
		return check_activity(&msg.activity);
	default:
		return check_reject(&msg.reject);
	}
}

enum farswap_msg_verdict farswap_connect_check(const void *data, size_t bytes)
{
	struct farswap_connect connect;

	if (!data || bytes < sizeof(connect))
		return FARSWAP_MSG_BAD_LENGTH;
	memcpy(&connect, data, sizeof(connect));
	if (le32toh(connect.magic) != FARSWAP_WIRE_MAGIC)
		return FARSWAP_MSG_BAD_MAGIC;
	if (le16toh(connect.version) != FARSWAP_WIRE_VERSION)
		return FARSWAP_MSG_OTHER_VERSION;
	if (!connect.session)
		return FARSWAP_MSG_BAD_RANGE;
	return FARSWAP_MSG_GOOD;
}

const char *farswap_msg_verdict_text(enum farswap_msg_verdict verdict)
{
	static const char * const texts[] = {
		[FARSWAP_MSG_GOOD]		= "good",
		[FARSWAP_MSG_BAD_MAGIC]		= "not a farswap message",
		[FARSWAP_MSG_BAD_TYPE]		= "unknown message type",
		[FARSWAP_MSG_BAD_LENGTH]	= "wrong message length",
		[FARSWAP_MSG_BAD_RESERVED]	= "reserved field not zero",
		[FARSWAP_MSG_BAD_FEATURES]	= "unknown feature asked for",
		[FARSWAP_MSG_BAD_NAME]		= "malformed node name",
		[FARSWAP_MSG_BAD_RANGE]		= "number out of range",
		[FARSWAP_MSG_OTHER_VERSION]	= "other protocol version",
	};

	return texts[verdict];
}

const char *farswap_reject_text(unsigned int code)
{
	static const char * const texts[FARSWAP_REJECTS] = {
		[FARSWAP_REJECT_VERSION]	= "speaks another protocol version",
		[FARSWAP_REJECT_GEOMETRY]	= "has another slab or page size",
		[FARSWAP_REJECT_UNKNOWN_NODE]	= "does not have this node in its cluster.conf",
		[FARSWAP_REJECT_NO_ROOM]	= "has no room: all it may lend is lent",
		[FARSWAP_REJECT_NO_MEMORY]	= "has no memory to lend: its reserve would be broken, or was in the last minute",
		[FARSWAP_REJECT_NO_SESSION]	= "does not know the session any more",
		[FARSWAP_REJECT_STATE]		= "got a message out of order",
		[FARSWAP_REJECT_BORROWER]	= "swaps out itself and does not lend",
		[FARSWAP_REJECT_RDMA]		= "has no usable RDMA device",
		[FARSWAP_REJECT_NO_SLAB]	= "does not have the slab (any more)",
		[FARSWAP_REJECT_RANGE]		= "was asked for what is not inside of the slab",
		[FARSWAP_REJECT_BUSY]		= "is still pushing",
		[FARSWAP_REJECT_NO_QUEUE]	= "has no queue pair to the other donor (any more)",
		[FARSWAP_REJECT_CONNECT]	= "cannot connect a queue pair to the other donor",
		[FARSWAP_REJECT_WRITE]		= "cannot write to the other donor",
		[FARSWAP_REJECT_IN_USE]		= "has the session in use over another connection of this node: a copy of this host may be running",
		[FARSWAP_REJECT_DRAINED]	= "is being drained and lends no more",
		[FARSWAP_REJECT_SLAB_QUOTA]	= "lends no more to this node: its client_slabs= is reached",
		[FARSWAP_REJECT_QUEUE_QUOTA]	= "takes no more queue pairs of this node: its client_queue_pairs= is reached",
	};

	return code && code < FARSWAP_REJECTS ? texts[code] : "refused for an unknown reason";
}

const char *farswap_reject_say(unsigned int code, uint64_t number, char *buf, size_t size)
{
	const char *text = farswap_reject_text(code);
	unsigned long long n = number;

	switch (code) {
	case FARSWAP_REJECT_VERSION:
		snprintf(buf, size, "speaks protocol version %llu, this node %u", n, FARSWAP_WIRE_VERSION);
		break;
	case FARSWAP_REJECT_GEOMETRY:
	case FARSWAP_REJECT_RANGE:
		snprintf(buf, size, "%s (%llu bytes)", text, n);
		break;
	case FARSWAP_REJECT_NO_ROOM:
		snprintf(buf, size, "%s (%llu slabs)", text, n);
		break;
	case FARSWAP_REJECT_SLAB_QUOTA:
	case FARSWAP_REJECT_QUEUE_QUOTA:
		snprintf(buf, size, "%s (%llu)", text, n);
		break;
	case FARSWAP_REJECT_NO_MEMORY:
		snprintf(buf, size, "%s (%llu MiB free)", text, n);
		break;
	case FARSWAP_REJECT_RDMA:
		snprintf(buf, size, "%s (%s)", text, n && n < 4096 ? strerror((int)n) : "none for its address");
		break;
	case FARSWAP_REJECT_NO_SLAB:
		snprintf(buf, size, "%s (%#llx)", text, n);
		break;
	case FARSWAP_REJECT_CONNECT:
		snprintf(buf, size, "%s (%s)", text, n && n < 4096 ? strerror((int)n) : "it refuses");
		break;
	case FARSWAP_REJECT_WRITE:
		snprintf(buf, size, n ? "%s (completion status %llu)" : "%s (not done in time)", text, n);
		break;
	default:
		snprintf(buf, size, "%s", text);
	}
	return buf;
}
