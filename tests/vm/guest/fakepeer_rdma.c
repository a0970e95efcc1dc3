// SPDX-License-Identifier: GPL-2.0
/* What it does over RDMA, and the requests that this is for. */
#include "fakepeer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <rdma/rdma_cma.h>

#include "crc32c.h"

struct lane {
	struct rdma_cm_id *id;
	struct ibv_mr *mr;
	char buf[4096];
};

static int connect_lane(struct lane *lane, const struct farswap_connect *connect)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 128, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
	};
	struct rdma_conn_param param = {
		.private_data = connect,
		.private_data_len = sizeof(*connect),
		.initiator_depth = 1,
		.retry_count = 3,
		.rnr_retry_count = 3,
	};
	union farswap_addr from = fake.self->addr;

	from.in.sin_port = 0;
	memset(lane, 0, sizeof(*lane));
	if (rdma_create_id(NULL, &lane->id, NULL, RDMA_PS_TCP))
		return -1;
	if (rdma_resolve_addr(lane->id, &from.sa, &fake.peer->addr.sa, 2000) || rdma_resolve_route(lane->id, 2000) ||
	    rdma_create_qp(lane->id, NULL, &attr))
		return -1;
	lane->mr = ibv_reg_mr(lane->id->pd, lane->buf, sizeof(lane->buf), IBV_ACCESS_LOCAL_WRITE);
	if (!lane->mr)
		return -1;
	return rdma_connect(lane->id, &param);
}

static int open_leased(struct client *client, union farswap_msg *opened)
{
	union farswap_msg msg;

	if (fake_open_tls(client))
		return -1;
	if (client_hello(client, fake.self->name, fake.conf.slab_bytes, FARSWAP_WIRE_VERSION, opened)) {
		fake_fail("hello", client->why);
		return -1;
	}
	farswap_msg_make(&msg, FARSWAP_MSG_OPEN, 2);
	if (client_ask(client, &msg, opened) || le16toh(opened->head.type) != FARSWAP_MSG_OPENED) {
		fake_fail("open", farswap_reject_text(le16toh(opened->reject.code)));
		return -1;
	}
	return 0;
}

static int open_session(struct client *client, uint64_t *session)
{
	union farswap_msg opened;

	if (open_leased(client, &opened))
		return -1;
	*session = le64toh(opened.session.session);
	return 0;
}

static int get_token(struct client *client, uint64_t session, struct farswap_connect *connect)
{
	union farswap_msg msg, answer;

	farswap_msg_make(&msg, FARSWAP_MSG_TOKEN, 3);
	msg.token.session = htole64(session);
	if (client_ask(client, &msg, &answer) || le16toh(answer.head.type) != FARSWAP_MSG_TOKEN_OK) {
		fake_fail("token", "refused");
		return -1;
	}
	memset(connect, 0, sizeof(*connect));
	connect->magic = htole32(FARSWAP_WIRE_MAGIC);
	connect->version = htole16(FARSWAP_WIRE_VERSION);
	connect->session = htole64(session);
	memcpy(connect->token, answer.token.token, sizeof(connect->token));
	return 0;
}

static int connected_lane(struct client *client, uint64_t session, struct lane *lane)
{
	struct farswap_connect connect;

	if (get_token(client, session, &connect))
		return -1;
	return connect_lane(lane, &connect) ? fake_fail("queue pair", strerror(errno)) : 0;
}

static enum ibv_wc_status post_sge_and_wait(struct lane *lane, enum ibv_wr_opcode opcode, struct ibv_sge sge, uint32_t rkey, uint64_t address)
{
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = opcode, .send_flags = IBV_SEND_SIGNALED }, *bad;
	struct ibv_wc wc;
	int n;

	wr.wr.rdma.rkey = rkey;
	wr.wr.rdma.remote_addr = address;
	if (ibv_post_send(lane->id->qp, &wr, &bad))
		return IBV_WC_GENERAL_ERR;
	do
		n = ibv_poll_cq(lane->id->send_cq, 1, &wc);
	while (n == 0);
	return n < 0 ? IBV_WC_GENERAL_ERR : wc.status;
}

static enum ibv_wc_status post_and_wait(struct lane *lane, enum ibv_wr_opcode opcode, uint32_t rkey, uint64_t address)
{
	return post_sge_and_wait(lane, opcode, (struct ibv_sge){ (uintptr_t)lane->buf, 64, lane->mr->lkey }, rkey, address);
}

/* steal ADDRESS RKEY: with a queue pair of our own, reach for somebody else's memory; both must be refused */
static int cmd_steal(char **argv)
{
	uint64_t address = strtoull(argv[0], NULL, 0), session;
	uint32_t rkey = (uint32_t)strtoul(argv[1], NULL, 0);
	static const enum ibv_wr_opcode opcodes[] = { IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE };
	struct farswap_connect connect;
	static struct lane lanes[2];
	struct client client;
	int i, refused = 0;

	if (open_session(&client, &session))
		return 1;
	for (i = 0; i < 2; i++) {	/* a queue pair each: the first error ends it */
		enum ibv_wc_status status;

		if (get_token(&client, session, &connect))
			return 1;
		if (connect_lane(&lanes[i], &connect))
			return fake_fail("queue pair", strerror(errno));
		status = post_and_wait(&lanes[i], opcodes[i], rkey, address);
		refused += status == IBV_WC_REM_ACCESS_ERR;
		printf("%s: %s\n", i ? "WRITE" : "READ", ibv_wc_status_str(status));
		rdma_disconnect(lanes[i].id);
	}
	client_close(&client);
	return refused == 2 ? 0 : 1;
}

/* borrow: a slab is granted, keeps what is written to it, and is out of reach after CLOSE */
static int cmd_borrow(char **argv)
{
	struct farswap_connect connect;
	static struct lane lane;
	union farswap_msg msg, granted, answer;
	struct client client;
	enum ibv_wc_status status;
	uint64_t session, at;

	(void)argv;
	if (open_session(&client, &session) || get_token(&client, session, &connect))
		return 1;
	farswap_msg_make(&msg, FARSWAP_MSG_GRANT, 4);
	msg.grant.session = htole64(session);
	if (client_ask(&client, &msg, &granted))
		return fake_fail("grant", client.why);
	if (le16toh(granted.head.type) != FARSWAP_MSG_GRANTED)
		return fake_fail("grant", farswap_reject_text(le16toh(granted.reject.code)));
	if (connect_lane(&lane, &connect))
		return fake_fail("queue pair", strerror(errno));
	at = le64toh(granted.grant.address) + le64toh(granted.grant.bytes) - 64;
	memset(lane.buf, 0x5a, 64);
	status = post_and_wait(&lane, IBV_WR_RDMA_WRITE, le32toh(granted.grant.rkey), at);
	if (status)
		return fake_fail("WRITE", ibv_wc_status_str(status));
	memset(lane.buf, 0, 64);
	status = post_and_wait(&lane, IBV_WR_RDMA_READ, le32toh(granted.grant.rkey), at);
	if (status || lane.buf[0] != 0x5a || lane.buf[63] != 0x5a)
		return fake_fail("READ", status ? ibv_wc_status_str(status) : "other bytes than written");
	farswap_msg_make(&msg, FARSWAP_MSG_CLOSE, 5);
	msg.session.session = htole64(session);
	if (client_ask(&client, &msg, &answer) || le16toh(answer.head.type) != FARSWAP_MSG_CLOSED)
		return fake_fail("close", client.why);
	status = post_and_wait(&lane, IBV_WR_RDMA_WRITE, le32toh(granted.grant.rkey), at);
	printf("after CLOSE: %s\n", ibv_wc_status_str(status));
	client_close(&client);
	return status ? 0 : 1;
}

/* tokens: a good one opens a queue pair once; used again, made up, or with other private data it does not */
static int cmd_tokens(char **argv)
{
	struct farswap_connect connect, bad;
	static struct lane lanes[5];
	struct client client;
	uint64_t session;

	(void)argv;
	if (open_session(&client, &session) || get_token(&client, session, &connect))
		return 1;
	bad = connect;
	bad.token[0] ^= 1;
	if (!connect_lane(&lanes[0], &bad))
		return fake_fail("made-up token", "accepted");
	bad = connect;
	bad.magic ^= 1;
	if (!connect_lane(&lanes[1], &bad))
		return fake_fail("wrong magic", "accepted");
	bad = connect;
	bad.version = htole16(FARSWAP_WIRE_VERSION + 1);
	if (!connect_lane(&lanes[2], &bad))
		return fake_fail("wrong version", "accepted");
	if (connect_lane(&lanes[3], &connect))
		return fake_fail("good token", strerror(errno));
	if (!connect_lane(&lanes[4], &connect))
		return fake_fail("used token", "accepted");
	rdma_disconnect(lanes[3].id);
	client_close(&client);
	printf("good once, refused=4\n");
	return 0;
}

static unsigned int ask_grant(struct client *client, uint64_t session, uint64_t extent, uint32_t generation,
			      union farswap_msg *granted)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_GRANT, 0);
	msg.grant.session = htole64(session);
	msg.grant.extent = htole64(extent);
	msg.grant.generation = htole32(generation);
	return fake_ask(client, &msg, granted);
}

static unsigned int ask_release(struct client *client, uint64_t session, __le64 slab)
{
	union farswap_msg msg, answer;

	farswap_msg_make(&msg, FARSWAP_MSG_RELEASE, 0);
	msg.slab.session = htole64(session);
	msg.slab.slab = slab;
	return fake_ask(client, &msg, &answer);
}

static unsigned int ask_session(struct client *client, enum farswap_msg_type type, uint64_t session)
{
	union farswap_msg msg, answer;

	farswap_msg_make(&msg, type, 0);
	msg.session.session = htole64(session);
	return fake_ask(client, &msg, &answer);
}

static bool reads_back(struct lane *lane, const union farswap_msg *granted, uint64_t offset, int byte)
{
	memset(lane->buf, 0, 64);
	return !post_and_wait(lane, IBV_WR_RDMA_READ, le32toh(granted->grant.rkey), le64toh(granted->grant.address) + offset) &&
	       lane->buf[0] == byte && lane->buf[63] == byte;
}

static bool written(struct lane *lane, const union farswap_msg *granted, uint64_t offset, int byte)
{
	memset(lane->buf, byte, 64);
	return !post_and_wait(lane, IBV_WR_RDMA_WRITE, le32toh(granted->grant.rkey), le64toh(granted->grant.address) + offset);
}

/*
 * slabs: granted once however often asked, checked by sums, there after a REJOIN, out of reach after a RELEASE, which only the session's connection may ask for; no other
 * takes it over while that lives
 */
static int cmd_slabs(char **argv)
{
	union farswap_msg first, again, other, msg, answer;
	static struct lane lanes[3];
	struct client client, late;
	uint64_t session;

	(void)argv;
	if (open_session(&client, &session) || connected_lane(&client, session, &lanes[0]) ||
	    fake_expect("a slab", ask_grant(&client, session, 7, 1, &first), FARSWAP_MSG_GRANTED) ||
	    fake_expect("asked again", ask_grant(&client, session, 7, 1, &again), FARSWAP_MSG_GRANTED) ||
	    fake_expect("next generation", ask_grant(&client, session, 7, 2, &other), FARSWAP_MSG_GRANTED))
		return 1;
	if (first.grant.slab != again.grant.slab || first.grant.slab == other.grant.slab)
		return fake_fail("slabs", "another one for the same generation, or the same for another");

	if (!written(&lanes[0], &first, 8192 + 512, 'x'))
		return fake_fail("WRITE", "failed");
	farswap_msg_make(&msg, FARSWAP_MSG_CHECK, 0);
	msg.check.session = htole64(session);
	msg.check.slab = first.grant.slab;
	farswap_msg_add_sum(&msg, 2, 512, 64, fsw_crc32c(~0u, lanes[0].buf, 64));
	farswap_msg_add_sum(&msg, 2, 512, 63, fsw_crc32c(~0u, lanes[0].buf, 64));
	farswap_msg_add_sum(&msg, 3, 512, 64, fsw_crc32c(~0u, lanes[0].buf, 64));
	if (fake_expect("check", fake_ask(&client, &msg, &answer), FARSWAP_MSG_CHECKED))
		return 1;
	if (answer.checked.differ[0] != 6)
		return fake_fail("check", "other ones differ than should");
	farswap_msg_add_sum(&msg, (uint32_t)(fake.conf.slab_bytes / FARSWAP_FRAME_BYTES), 0, 64, 0);
	if (fake_expect("check behind the end", fake_ask(&client, &msg, &answer), 1000 + FARSWAP_REJECT_RANGE))
		return 1;

	if (fake_expect("rejoin", ask_session(&client, FARSWAP_MSG_REJOIN, session), FARSWAP_MSG_REJOINED))
		return 1;
	if (reads_back(&lanes[0], &first, 8192 + 512, 'x'))
		return fake_fail("old queue pair", "still works");
	if (connected_lane(&client, session, &lanes[1]) || !reads_back(&lanes[1], &first, 8192 + 512, 'x'))
		return fake_fail("new queue pair", "does not read what was written");

	if (fake_open_tls(&late) || client_hello(&late, fake.self->name, fake.conf.slab_bytes, FARSWAP_WIRE_VERSION, &answer))
		return fake_fail("hello", late.why);
	if (fake_expect("release by another connection", ask_release(&late, session, first.grant.slab), 1000 + FARSWAP_REJECT_STATE))
		return 1;
	if (fake_expect("rejoin by another connection", ask_session(&late, FARSWAP_MSG_REJOIN, session), 1000 + FARSWAP_REJECT_IN_USE))
		return 1;
	client_close(&late);
	if (fake_expect("release", ask_release(&client, session, first.grant.slab), FARSWAP_MSG_RELEASED) ||
	    fake_expect("release again", ask_release(&client, session, first.grant.slab), 1000 + FARSWAP_REJECT_NO_SLAB))
		return 1;
	if (reads_back(&lanes[1], &first, 8192 + 512, 'x'))
		return fake_fail("released slab", "still read");
	if (connected_lane(&client, session, &lanes[2]) || !written(&lanes[2], &other, 0, 'y'))
		return fake_fail("other slab", "gone with it");
	if (fake_expect("close", ask_session(&client, FARSWAP_MSG_CLOSE, session), FARSWAP_MSG_CLOSED))
		return 1;
	client_close(&client);
	printf("slabs good\n");
	return 0;
}

/* push TARGET: what was written at PEER is there at TARGET after a PUSH; every way to ask wrongly is refused in words */
static int cmd_push(char **argv)
{
	struct farswap_node *source = fake.peer, *target = farswap_conf_node(&fake.conf, argv[0]);
	union farswap_msg here, there, msg, answer;
	struct farswap_connect connect;
	static struct lane lanes[2];
	struct client from, to;
	uint64_t from_session, to_session, last = fake.conf.slab_bytes - 4096;

	if (!target || open_session(&from, &from_session) || connected_lane(&from, from_session, &lanes[0]) ||
	    fake_expect("slab here", ask_grant(&from, from_session, 1, 1, &here), FARSWAP_MSG_GRANTED))
		return 1;
	fake.peer = target;
	if (open_session(&to, &to_session) || connected_lane(&to, to_session, &lanes[1]) ||
	    fake_expect("slab there", ask_grant(&to, to_session, 1, 2, &there), FARSWAP_MSG_GRANTED) ||
	    get_token(&to, to_session, &connect))
		return 1;
	fake.peer = source;
	if (!written(&lanes[0], &here, 0, 'a') || !written(&lanes[0], &here, last, 'z'))
		return fake_fail("WRITE", "failed");

	farswap_msg_make(&msg, FARSWAP_MSG_PUSH, 0);
	msg.push.session = htole64(from_session);
	msg.push.slab = here.grant.slab;
	msg.push.bytes = htole64(fake.conf.slab_bytes);
	msg.push.to_session = htole64(to_session);
	msg.push.to_port = htole16(fake.conf.port);
	msg.push.remote = there.grant.address;
	msg.push.rkey = there.grant.rkey;
	farswap_addr_wire(&target->addr, msg.push.to_address);
	if (fake_expect("push without a queue pair", fake_ask(&from, &msg, &answer), 1000 + FARSWAP_REJECT_NO_QUEUE))
		return 1;
	memcpy(msg.push.token, connect.token, sizeof(msg.push.token));
	msg.push.token[3] ^= 1;
	if (fake_expect("push with a made-up token", fake_ask(&from, &msg, &answer), 1000 + FARSWAP_REJECT_CONNECT))
		return 1;
	msg.push.token[3] ^= 1;
	if (fake_expect("push", fake_ask(&from, &msg, &answer), FARSWAP_MSG_PUSHED))
		return 1;
	if (!reads_back(&lanes[1], &there, 0, 'a') || !reads_back(&lanes[1], &there, last, 'z'))
		return fake_fail("pushed", "other bytes than here");
	memset(msg.push.token, 0, sizeof(msg.push.token));
	msg.push.offset = htole64(last);
	msg.push.bytes = htole64(64);
	if (fake_expect("push over the same queue pair", fake_ask(&from, &msg, &answer), FARSWAP_MSG_PUSHED))
		return 1;
	if (!reads_back(&lanes[1], &there, 0, 'z'))
		return fake_fail("pushed", "to another place");
	msg.push.bytes = htole64(4097);
	if (fake_expect("push from behind the end", fake_ask(&from, &msg, &answer), 1000 + FARSWAP_REJECT_RANGE))
		return 1;
	msg.push.bytes = htole64(64);
	msg.push.rkey ^= htole32(0xffff);
	if (fake_expect("push with another key", fake_ask(&from, &msg, &answer), 1000 + FARSWAP_REJECT_WRITE))
		return 1;
	msg.push.to_address[15] ^= 0x80;
	if (fake_expect("push to nowhere", fake_ask(&from, &msg, &answer), 1000 + FARSWAP_REJECT_UNKNOWN_NODE))
		return 1;
	if (fake_expect("close", ask_session(&from, FARSWAP_MSG_CLOSE, from_session), FARSWAP_MSG_CLOSED) ||
	    fake_expect("close", ask_session(&to, FARSWAP_MSG_CLOSE, to_session), FARSWAP_MSG_CLOSED))
		return 1;
	client_close(&from);
	client_close(&to);
	printf("pushes good\n");
	return 0;
}

/* A slab with a queue pair to it, and memory as large as it is. */
struct owned {
	struct client client;
	union farswap_msg opened;
	uint64_t session;
	struct lane lane;
	union farswap_msg granted;
	struct ibv_mr *mr;
	char *bytes;
	uint64_t renewals;
};

static int own(struct owned *own)
{
	own->bytes = malloc(fake.conf.slab_bytes);
	if (!own->bytes || open_leased(&own->client, &own->opened))
		return fake_fail("session", "none");
	own->session = le64toh(own->opened.session.session);
	if (connected_lane(&own->client, own->session, &own->lane))
		return 1;
	if (ask_grant(&own->client, own->session, 1, 1, &own->granted) != FARSWAP_MSG_GRANTED)
		return fake_fail("slab", "not granted");
	own->mr = ibv_reg_mr(own->lane.id->pd, own->bytes, fake.conf.slab_bytes, IBV_ACCESS_LOCAL_WRITE);
	return own->mr ? 0 : fake_fail("memory", strerror(errno));
}

/* All of the slab, into or out of bytes. */
static int transfer(struct owned *own, enum ibv_wr_opcode opcode)
{
	struct ibv_sge sge = { (uintptr_t)own->bytes, (uint32_t)fake.conf.slab_bytes, own->mr->lkey };

	if (post_sge_and_wait(&own->lane, opcode, sge, le32toh(own->granted.grant.rkey), le64toh(own->granted.grant.address)))
		return fake_fail(opcode == IBV_WR_RDMA_READ ? "READ" : "WRITE", "failed");
	return 0;
}

static int holds_only(struct owned *own, int byte)
{
	uint64_t i;

	memset(own->bytes, ~byte, fake.conf.slab_bytes);
	if (transfer(own, IBV_WR_RDMA_READ))
		return 1;
	for (i = 0; i < fake.conf.slab_bytes; i++)
		if (own->bytes[i] != (char)byte)
			return fake_fail("slab", "holds a byte of another owner");
	return 0;
}

static int fill(struct owned *own, int byte)
{
	memset(own->bytes, byte, fake.conf.slab_bytes);
	return transfer(own, IBV_WR_RDMA_WRITE);
}

static int give_back(struct owned *own, bool release)
{
	if (release && ask_release(&own->client, own->session, own->granted.grant.slab) != FARSWAP_MSG_RELEASED)
		return fake_fail("RELEASE", "refused");
	if (ask_session(&own->client, FARSWAP_MSG_CLOSE, own->session) != FARSWAP_MSG_CLOSED)
		return fake_fail("CLOSE", "refused");
	ibv_dereg_mr(own->mr);
	rdma_disconnect(own->lane.id);
	ibv_dereg_mr(own->lane.mr);
	rdma_destroy_ep(own->lane.id);
	client_close(&own->client);
	free(own->bytes);
	return 0;
}

/* hand-over OTHER N: a slab of PEER's goes from this node to OTHER and back, N times: no byte of the owner before is seen */
static int cmd_hand_over(char **argv)
{
	struct farswap_node *nodes[] = { fake.self, farswap_conf_node(&fake.conf, argv[0]) };
	unsigned int i, n = (unsigned int)strtoul(argv[1], NULL, 10);
	struct owned owned;

	if (!nodes[1] || !n)
		return fake_fail("hand-over", "no such node, or nothing to do");
	for (i = 0; i <= n; i++) {
		fake.self = nodes[i % 2];
		if (own(&owned) || holds_only(&owned, 0) || fill(&owned, (int)(1 + i % 255)) || give_back(&owned, i / 2 % 2))
			return 1;
		if (i && i % 100 == 0)
			printf("hand-overs=%u bytes=%llu\n", i, (unsigned long long)i * fake.conf.slab_bytes);
		fflush(stdout);
	}
	return 0;
}

/* Its lease is renewed, as a client's kernel does it. */
static bool renewed(struct owned *own)
{
	struct farswap_lease_word *word = (void *)own->lane.buf;
	struct ibv_sge sge = { (uintptr_t)word, sizeof(*word), own->lane.mr->lkey };

	word->count = htole64(++own->renewals);
	word->check = ~word->count;
	return !post_sge_and_wait(&own->lane, IBV_WR_RDMA_WRITE, sge, le32toh(own->opened.session.lease_rkey),
				  le64toh(own->opened.session.lease_address));
}

/* False: the lease or the connection was lost meanwhile: a donor gives up one that says nothing. */
static bool line_comes(struct owned *own)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };
	union farswap_msg ping, pong;
	char line[16];

	while (poll(&input, 1, 300) == 0) {
		farswap_msg_make(&ping, FARSWAP_MSG_PING, 0);
		if (!renewed(own) || fake_ask(&own->client, &ping, &pong) != FARSWAP_MSG_PONG)
			return false;
	}
	return fgets(line, sizeof(line), stdin);
}

/* plant: a slab that is all zeros when it comes holds what is written to it until a line comes on stdin, and the donor takes it back */
static int cmd_plant(char **argv)
{
	struct owned owned;

	(void)argv;
	if (own(&owned) || holds_only(&owned, 0) || fill(&owned, 0x5a))
		return 1;
	printf("planted\n");
	fflush(stdout);
	if (!line_comes(&owned) || holds_only(&owned, 0x5a) || give_back(&owned, false))
		return 1;
	printf("unchanged\n");
	return 0;
}

/* flood QUEUES: WRITEs to a slab over so many queue pairs, until killed, as many on their way as they take */
static int cmd_flood(char **argv)
{
	unsigned int i, n = (unsigned int)strtoul(argv[0], NULL, 10);
	struct lane *lanes = calloc(n, sizeof(*lanes));
	struct owned owned;
	uint64_t at = 0;

	if (!lanes || own(&owned))
		return 1;
	for (i = 0; i < n; i++)
		if (connected_lane(&owned.client, owned.session, &lanes[i]))
			return 1;
	printf("flooding\n");
	fflush(stdout);
	for (;; at = (at + 4096) % fake.conf.slab_bytes)
		for (i = 0; i < n; i++) {
			struct ibv_sge sge = { (uintptr_t)lanes[i].buf, sizeof(lanes[i].buf), lanes[i].mr->lkey };
			struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE,
				.send_flags = IBV_SEND_SIGNALED }, *bad;
			struct ibv_wc wc[16];

			memset(lanes[i].buf, 0xbb, sizeof(lanes[i].buf));
			wr.wr.rdma.rkey = le32toh(owned.granted.grant.rkey);
			wr.wr.rdma.remote_addr = le64toh(owned.granted.grant.address) + at;
			ibv_poll_cq(lanes[i].id->send_cq, 16, wc);
			if (ibv_post_send(lanes[i].id->qp, &wr, &bad))
				usleep(1000);	/* full, or broken: whoever started it ends it */
		}
}

const struct fake_command fake_rdma_commands[] = {
	{ "steal", 2, cmd_steal },	{ "borrow", 0, cmd_borrow },	{ "tokens", 0, cmd_tokens },
	{ "slabs", 0, cmd_slabs },	{ "push", 1, cmd_push },	{ "hand-over", 2, cmd_hand_over },
	{ "plant", 0, cmd_plant },	{ "flood", 1, cmd_flood },
	{ NULL, 0, NULL }
};
