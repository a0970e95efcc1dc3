// SPDX-License-Identifier: GPL-2.0
/*
 * A peer that misbehaves on purpose, for the tests. It speaks to a real farswapd with the same TLS and message code,
 * as one of the nodes of cluster.conf. Exit code 0: what the command says happened; 1: it did not; 2: usage.
 */
#include "fakepeer.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "link.h"
#include "log.h"
#include "tls.h"
#include "unique.h"

#define WAIT_MS	10000

struct fake fake;

int fake_fail(const char *what, const char *why)
{
	printf("%s: %s\n", what, why);
	return 1;
}

static bool any_node(const char *name)
{
	return farswap_conf_node(&fake.conf, name) != NULL;
}

/* the other side has closed, by an end or a reset */
static bool wait_closed(int fd)
{
	char buf[4096];
	ssize_t n;

	do
		n = recv(fd, buf, sizeof(buf), 0);
	while (n > 0);
	return n == 0 || errno == ECONNRESET || errno == EPIPE;
}

static int throw_raw(size_t bytes)
{
	struct client client;
	char *garbage = malloc(bytes + 1);
	size_t done = 0;
	ssize_t n;
	bool closed;

	if (!garbage || client_connect(&client, &fake.peer->addr, &fake.self->addr, WAIT_MS))
		return fake_fail("connect", client.why);
	while (done < bytes) {
		size_t part = bytes - done > 256 ? 256 : bytes - done;

		if (getrandom(garbage + done, part, 0) != (ssize_t)part)
			return fake_fail("random", "none");
		done += part;
	}
	for (done = 0; done < bytes; done += (size_t)n) {
		n = send(client.fd, garbage + done, bytes - done, MSG_NOSIGNAL);
		if (n <= 0)
			break;	/* dropped already */
	}
	shutdown(client.fd, SHUT_WR);
	closed = wait_closed(client.fd);
	client_close(&client);
	free(garbage);
	return closed ? 0 : fake_fail("raw", "not dropped in time");
}

/* raw FROM TO STEP: random bytes without TLS, each length on a connection of its own */
static int cmd_raw(char **argv)
{
	size_t at, from = strtoul(argv[0], NULL, 10), to = strtoul(argv[1], NULL, 10), step = strtoul(argv[2], NULL, 10);
	unsigned int n = 0;

	for (at = from; at <= to && step; at += step, n++)
		if (throw_raw(at))
			return 1;
	printf("dropped=%u\n", n);
	return 0;
}

int fake_open_tls(struct client *client)
{
	if (client_connect(client, &fake.peer->addr, &fake.self->addr, WAIT_MS) || client_handshake(client, fake.self->name, fake.key))
		return fake_fail("connect", client->why);
	return 0;
}

static int throw_inside(size_t bytes, bool with_magic)
{
	struct client client;
	uint8_t garbage[1024];
	union farswap_msg msg;
	int closed;

	if (fake_open_tls(&client))
		return 1;
	if (with_magic) {
		farswap_msg_make(&msg, FARSWAP_MSG_HELLO, 1);
		client_send(&client, &msg, sizeof(msg.head));
	}
	while (bytes) {
		size_t part = bytes < sizeof(garbage) ? bytes : sizeof(garbage);

		if (getrandom(garbage, part, 0) != (ssize_t)part || client_send(&client, garbage, part))
			break;
		bytes -= part;
	}
	gnutls_bye(client.tls, GNUTLS_SHUT_WR);
	shutdown(client.fd, SHUT_WR);
	/* random bytes in the place of the version look like another version, which is refused with an answer */
	closed = client_receive(&client, &msg) < 0 || le16toh(msg.head.type) == FARSWAP_MSG_REJECT;
	client_close(&client);
	return closed ? 0 : fake_fail("inside", "answered instead of dropped");
}

/* inside FROM TO STEP: the same inside of TLS, as random bytes */
static int cmd_inside(char **argv)
{
	size_t at, from = strtoul(argv[0], NULL, 10), to = strtoul(argv[1], NULL, 10), step = strtoul(argv[2], NULL, 10);
	unsigned int n = 0;

	for (at = from; at <= to && step; at += step, n++)
		if (throw_inside(at, n & 1))
			return 1;
	printf("dropped=%u\n", n);
	return 0;
}

/* hello VERSION: prints what came back */
static int cmd_hello(char **argv)
{
	struct client client;
	union farswap_msg answer;

	if (fake_open_tls(&client))
		return 1;
	if (client_hello(&client, fake.self->name, fake.conf.slab_bytes, (unsigned int)atoi(argv[0]), &answer)) {
		printf("%s %s\n", fake.peer->name, client.why);
		client_close(&client);
		return 1;
	}
	printf("WELCOME from %.32s, room %u\n", answer.hello.name, le32toh(answer.hello.room));
	client_close(&client);
	return 0;
}

/* wrong-key: a random one */
static int cmd_wrong_key(char **argv)
{
	struct client client;
	union farswap_msg answer;
	bool refused;

	(void)argv;
	if (getrandom(fake.key, sizeof(fake.key), 0) != sizeof(fake.key))
		return fake_fail("random", "none");
	if (client_connect(&client, &fake.peer->addr, &fake.self->addr, WAIT_MS))
		return fake_fail("connect", client.why);
	refused = client_handshake(&client, fake.self->name, fake.key) ||
		  client_hello(&client, fake.self->name, fake.conf.slab_bytes, FARSWAP_WIRE_VERSION, &answer);
	printf("%s\n", refused ? client.why : "accepted");
	client_close(&client);
	return refused ? 0 : 1;
}

/* other-name NAME: HELLO under another name than the one proved in TLS */
static int cmd_other_name(char **argv)
{
	struct client client;
	union farswap_msg answer;
	bool refused;

	if (fake_open_tls(&client))
		return 1;
	refused = client_hello(&client, argv[0], fake.conf.slab_bytes, FARSWAP_WIRE_VERSION, &answer);
	printf("%s\n", refused ? client.why : "accepted");
	client_close(&client);
	return refused ? 0 : 1;
}

/* a good message, and no HELLO before it: not even an answer */
static int open_early(void)
{
	union farswap_msg msg;
	struct client client;
	bool dropped;

	if (fake_open_tls(&client))
		return 1;
	farswap_msg_make(&msg, FARSWAP_MSG_OPEN, 1);
	dropped = client_send(&client, &msg, sizeof(msg.session)) || client_receive(&client, &msg) < 0;
	client_close(&client);
	return dropped ? 0 : fake_fail("OPEN before HELLO", "answered");
}

/* mangled: one message of each kind of wrongness, each must end its connection */
static int cmd_mangled(char **argv)
{
	static const struct { const char *what; size_t at; uint8_t value; } cases[] = {
		{ "magic", 0, 0xff }, { "type", 4, 0x7f }, { "reserved in head", 6, 1 }, { "length", 8, 97 },
		{ "reserved", 18, 1 }, { "features", 20, 1 }, { "page size", 24, 0xff }, { "room", 28, 1 },
		{ "slab size", 32, 3 }, { "name", 64, 0x80 }, { "name padding", 95, 'x' },
	};
	union farswap_msg msg;
	struct client client;
	unsigned int i;

	(void)argv;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int ret;

		if (fake_open_tls(&client))
			return 1;
		farswap_msg_make(&msg, FARSWAP_MSG_HELLO, 1);
		msg.hello.version = htole16(FARSWAP_WIRE_VERSION);
		msg.hello.page_bytes = htole32(FARSWAP_FRAME_BYTES);
		msg.hello.slab_bytes = htole64(fake.conf.slab_bytes);
		msg.hello.incarnation = htole64(farswap_unique());
		farswap_name_copy(msg.hello.name, fake.self->name);
		((uint8_t *)&msg)[cases[i].at] = cases[i].value;
		ret = client_send(&client, &msg, sizeof(msg.hello)) ? -1 : client_receive(&client, &msg);
		if (ret >= 0 && le16toh(msg.head.type) != FARSWAP_MSG_REJECT)
			return fake_fail(cases[i].what, "accepted");
		client_close(&client);
	}
	if (open_early())
		return 1;
	printf("refused=%u\n", i + 1);
	return 0;
}

/* crowd N: connections that say nothing, held open for a while; then whether a good peer still gets its answer */
static int cmd_crowd(char **argv)
{
	unsigned int i, n = (unsigned int)atoi(argv[0]);
	struct client *clients = calloc(n, sizeof(*clients));
	char version[8], *args[] = { version };

	for (i = 0; clients && i < n; i++)
		if (client_connect(&clients[i], &fake.peer->addr, &fake.self->addr, WAIT_MS))
			return fake_fail("connect", clients[i].why);
	free(clients);	/* the sockets stay open until the end */
	snprintf(version, sizeof(version), "%u", FARSWAP_WIRE_VERSION);
	return cmd_hello(args);
}

static void serve_one(int fd, unsigned int version)
{
	gnutls_session_t tls = farswap_tls_server(fd);
	union farswap_msg msg;
	int ret;

	do
		ret = gnutls_handshake(tls);
	while (ret == GNUTLS_E_INTERRUPTED);
	if (ret == 0 && gnutls_record_recv(tls, &msg, sizeof(msg)) > 0) {
		uint32_t id = le32toh(msg.head.id);

		farswap_msg_make(&msg, FARSWAP_MSG_REJECT, id);
		msg.reject.type = htole16(FARSWAP_MSG_HELLO);
		msg.reject.code = htole16(FARSWAP_REJECT_VERSION);
		msg.reject.number = htole64(version);
		gnutls_record_send(tls, &msg, sizeof(msg.reject));
		gnutls_bye(tls, GNUTLS_SHUT_WR);
	}
	farswap_tls_free(tls);
	close(fd);
}

/* serve VERSION: be node NAME itself, one that speaks another version, until killed */
static int cmd_serve(char **argv)
{
	int one = 1, fd = socket(fake.self->addr.sa.sa_family, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &fake.self->addr.sa, farswap_addr_bytes(&fake.self->addr)) || listen(fd, 8))
		return fake_fail("listen", strerror(errno));
	printf("serving\n");
	fflush(stdout);
	for (;;) {
		int conn = accept(fd, NULL, NULL);

		if (conn >= 0)
			serve_one(conn, (unsigned int)atoi(argv[0]));
	}
}

unsigned int fake_ask(struct client *client, union farswap_msg *msg, union farswap_msg *answer)
{
	static uint32_t id = 100;

	msg->head.id = htole32(id++);
	if (client_ask(client, msg, answer)) {
		printf("%s: %s\n", farswap_msg_type_text(le16toh(msg->head.type)), client->why);
		return 0;
	}
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT)
		return 1000u + le16toh(answer->reject.code);
	return le16toh(answer->head.type);
}

int fake_expect(const char *what, unsigned int got, unsigned int wanted)
{
	static const char * const kinds[] = { "", "refusal: " };

	if (got == wanted) {
		printf("%s: %s%s\n", what, kinds[got > 1000],
		       got > 1000 ? farswap_reject_text(got - 1000) : farswap_msg_type_text(got));
		return 0;
	}
	printf("%s: answered %u instead of %u\n", what, got, wanted);
	return 1;
}

/* unknown: what names a session that is not there is refused with those words, each kind of request */
static int cmd_unknown(char **argv)
{
	static const unsigned int types[] = {
		FARSWAP_MSG_TOKEN, FARSWAP_MSG_GRANT, FARSWAP_MSG_CLOSE, FARSWAP_MSG_REJOIN, FARSWAP_MSG_RELEASE,
		FARSWAP_MSG_PUSH, FARSWAP_MSG_CHECK,
	};
	union farswap_msg msg, answer;
	struct client client;
	size_t i;

	(void)argv;
	if (fake_open_tls(&client) || client_hello(&client, fake.self->name, fake.conf.slab_bytes, FARSWAP_WIRE_VERSION, &answer))
		return fake_fail("hello", client.why);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		farswap_msg_make(&msg, types[i], 0);
		msg.slab.session = htole64(4711);	/* the first field of all of these */
		if (types[i] >= FARSWAP_MSG_RELEASE)
			msg.slab.slab = htole64(1);
		if (types[i] == FARSWAP_MSG_PUSH) {
			msg.push.bytes = htole64(4096);
			msg.push.to_session = htole64(1);
			msg.push.remote = htole64(4096);
			msg.push.to_port = htole16(1);
		} else if (types[i] == FARSWAP_MSG_CHECK) {
			farswap_msg_add_sum(&msg, 0, 0, 4096, 0);
		}
		if (fake_expect(farswap_msg_type_text(types[i]), fake_ask(&client, &msg, &answer), 1000 + FARSWAP_REJECT_NO_SESSION))
			return 1;
	}
	client_close(&client);
	return 0;
}

/* pings N: as many in the air as a link may have; each must be answered, in order. Prints how long all took, and the longest */
static int cmd_pings(char **argv)
{
	unsigned int sent = 0, answered, n = (unsigned int)atoi(argv[0]);
	uint64_t begun, took, longest = 0, sent_ns[LINK_REQUESTS_MAX];
	union farswap_msg msg;
	struct client client;

	if (fake_open_tls(&client) || client_hello(&client, fake.self->name, fake.conf.slab_bytes, FARSWAP_WIRE_VERSION, &msg))
		return fake_fail("hello", client.why);
	begun = farswap_now_ns();
	for (answered = 0; answered < n; answered++) {
		for (; sent < n && sent < answered + LINK_REQUESTS_MAX; sent++) {
			farswap_msg_make(&msg, FARSWAP_MSG_PING, sent + 1);
			sent_ns[sent % LINK_REQUESTS_MAX] = farswap_now_ns();
			if (client_send(&client, &msg, sizeof(msg.ping)))
				return fake_fail("PING", client.why);
		}
		if (client_receive(&client, &msg) || le16toh(msg.head.type) != FARSWAP_MSG_PONG || le32toh(msg.head.id) != answered + 1)
			return fake_fail("PONG", client.why);
		took = farswap_now_ns() - sent_ns[answered % LINK_REQUESTS_MAX];
		longest = took > longest ? took : longest;
	}
	printf("answered=%u ms=%llu longest_ms=%llu\n", n, (unsigned long long)(farswap_now_ns() - begun) / 1000000,
	       (unsigned long long)longest / 1000000);
	client_close(&client);
	return 0;
}

static const struct fake_command commands[] = {
	{ "raw", 3, cmd_raw },		{ "inside", 3, cmd_inside },	{ "hello", 1, cmd_hello },
	{ "wrong-key", 0, cmd_wrong_key }, { "other-name", 1, cmd_other_name }, { "mangled", 0, cmd_mangled },
	{ "crowd", 1, cmd_crowd },	{ "serve", 1, cmd_serve },	{ "unknown", 0, cmd_unknown },
	{ "pings", 1, cmd_pings },
	{ NULL, 0, NULL }
};

static int usage(void)
{
	fprintf(stderr, "usage: fakepeer [--config FILE] [--node NAME] COMMAND PEER [ARGUMENT...]\n"
		"  raw|inside PEER FROM TO STEP    garbage of these lengths, outside or inside of TLS\n"
		"  mangled PEER                    one wrong field each\n"
		"  hello PEER VERSION              greet; what came back\n"
		"  serve PEER VERSION              be a donor of that version, until killed (PEER: any node)\n"
		"  wrong-key PEER | other-name PEER NAME | crowd PEER N | unknown PEER | pings PEER N\n"
		"  tokens PEER | borrow PEER | slabs PEER | push PEER TARGET | hand-over PEER OTHER N | plant PEER |\n"
		"  flood PEER QUEUES | steal PEER ADDRESS RKEY        over RDMA\n");
	return 2;
}

static const struct fake_command *find(const struct fake_command *command, const char *name, int args)
{
	while (command->name && (strcmp(name, command->name) || args != command->args))
		command++;
	return command->name ? command : NULL;
}

int main(int argc, char **argv)
{
	const char *config = FARSWAP_CONF_PATH, *node = NULL;
	const struct fake_command *command;
	char err[8192];

	farswap_log_start("fakepeer", NULL);
	for (argv++; argc > 2 && !strncmp(argv[0], "--", 2); argc -= 2, argv += 2) {
		if (!strcmp(argv[0], "--config"))
			config = argv[1];
		else if (!strcmp(argv[0], "--node"))
			node = argv[1];
		else
			return usage();
	}
	if (argc < 3)
		return usage();
	if (farswap_conf_load(config, &fake.conf, err, sizeof(err)) ||
	    farswap_conf_find_self(&fake.conf, node, err, sizeof(err)) ||
	    farswap_key_load(fake.conf.key_path, fake.key, err, sizeof(err)))
		return fake_fail("config", err);
	fake.self = fake.conf.self;
	fake.peer = farswap_conf_node(&fake.conf, argv[1]);
	if (!fake.peer || farswap_tls_init(fake.key, any_node) < 0)
		return fake_fail("config", "no such node, or no TLS");
	command = find(commands, argv[0], argc - 3);
	if (!command)
		command = find(fake_rdma_commands, argv[0], argc - 3);
	return command ? command->run(argv + 2) : usage();
}

