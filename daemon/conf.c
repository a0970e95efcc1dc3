// SPDX-License-Identifier: GPL-2.0
#include "conf.h"

#include <errno.h>
#include <ini.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "farswap_wire.h"
#include "group.h"
#include "lend.h"
#include "msg.h"

#define RESERVE_MAX	(1ull << 50)
#define NOT_SAID	UINT64_MAX
#define LEASE_MIN_S	4	/* its parts are of the order of a queue pair's retries */
#define QUEUE_PAIRS_MIN	72	/* SESSION_QUEUES_MAX of session.h: with less a device could not come back after a flap */
#define REQUESTS_MIN	1000	/* a second: a PING behind all that a link may have in the air waits for less than two heartbeats */
#define REQUESTS_MAX	1000000

/*
 * inih calls back for keys only and without line numbers, so the reader below counts lines, and handles the
 * section headers itself: that is what shows an empty or a repeated section.
 */
struct parser {
	struct farswap_conf *conf;
	FILE *file;
	unsigned int line;
	struct farswap_node *node;	/* of the present section */
	enum { SECTION_NONE, SECTION_CLUSTER, SECTION_NODE } section;
	unsigned int cluster_line;
	unsigned int seen;		/* keys of [cluster] met, a bit each */
	unsigned int error_line;	/* 0: none so far */
	char *err;
	size_t size;
};

static int fail(struct parser *p, unsigned int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* the first error is the one told; always returns 0, inih's word for failure */
static int fail(struct parser *p, unsigned int line, const char *format, ...)
{
	va_list args;
	int n;

	if (p->error_line)
		return 0;
	p->error_line = line ? line : 1;
	n = snprintf(p->err, p->size, "%s:%u: ", p->conf->path, p->error_line);
	if (n < 0 || (size_t)n >= p->size)
		return 0;
	va_start(args, format);
	vsnprintf(p->err + n, p->size - (size_t)n, format, args);
	va_end(args);
	return 0;
}

static void begin_node(struct parser *p, const char *name)
{
	struct farswap_conf *conf = p->conf;
	struct farswap_node *node = farswap_conf_node(conf, name);

	if (node) {
		fail(p, p->line, "duplicate node '%s', first at line %u: remove one of the two", name, node->line);
		return;
	}
	if (strlen(name) >= FARSWAP_NAME_BYTES) {
		fail(p, p->line, "node name '%s' is too long: %u characters at most", name, FARSWAP_NAME_BYTES - 1);
		return;
	}
	if (!farswap_name_ok(name)) {
		fail(p, p->line, "bad node name '%s': use letters, digits, '.', '-' and '_'", name);
		return;
	}
	if (conf->n_nodes == FARSWAP_NODES_MAX) {
		fail(p, p->line, "too many nodes: %u at most", FARSWAP_NODES_MAX);
		return;
	}
	node = &conf->nodes[conf->n_nodes++];
	snprintf(node->name, sizeof(node->name), "%s", name);
	node->quota = (struct farswap_quota) { FARSWAP_NOT_SAID, FARSWAP_NOT_SAID, FARSWAP_NOT_SAID };
	node->line = p->line;
	p->node = node;
	p->section = SECTION_NODE;
}

static void begin_section(struct parser *p, char *header)
{
	char *end = strchr(header, ']');

	p->section = SECTION_NONE;
	p->node = NULL;
	if (!end) {
		fail(p, p->line, "malformed section header: ']' is missing");
		return;
	}
	*end = 0;
	if (!strcmp(header, "cluster")) {
		if (p->cluster_line)
			fail(p, p->line, "duplicate section [cluster], first at line %u: join the two",
			     p->cluster_line);
		p->cluster_line = p->line;
		p->section = SECTION_CLUSTER;
	} else if (!strncmp(header, "node ", 5)) {
		begin_node(p, header + 5 + strspn(header + 5, " \t"));
	} else {
		fail(p, p->line, "unknown section [%s]: there are [cluster] and [node NAME]", header);
	}
}

/* inih's reader: one line, counted; a section header is also read here. A NUL or an overlong line is malformed. */
static char *read_line(char *line, int size, void *stream)
{
	struct parser *p = stream;
	char *text, header[256];

	if (!fgets(line, size, p->file))
		return NULL;
	p->line++;
	if (!strchr(line, '\n') && !feof(p->file)) {
		int c;

		fail(p, p->line, "line is too long (%d characters at most) or holds a NUL", size - 2);
		do
			c = getc(p->file);
		while (c != EOF && c != '\n');
	}
	text = line + strspn(line, " \t");
	if (*text == '[') {
		snprintf(header, sizeof(header), "%s", text + 1);
		header[strcspn(header, "\r\n")] = 0;
		begin_section(p, header);
	}
	/* inih takes an indented line for the continuation of a value; here it is a line like any other */
	if (text != line)
		memmove(line, text, strlen(text) + 1);
	return line;
}

static int take_bytes(struct parser *p, const char *key, const char *value, uint64_t min, uint64_t max,
		      uint64_t *out)
{
	if (farswap_parse_bytes(value, out))
		return fail(p, p->line, "%s=%s is not a size: give a number, with K, M, G or T if you like", key, value);
	if (*out < min || *out > max)
		return fail(p, p->line, "%s=%s is out of range: %llu to %llu bytes", key, value,
			    (unsigned long long)min, (unsigned long long)max);
	return 1;
}

static int take_number(struct parser *p, const char *key, const char *value, uint64_t min, uint64_t max,
		       uint64_t *out)
{
	if (farswap_parse_u64(value, UINT64_MAX, out))
		return fail(p, p->line, "%s=%s is not a number", key, value);
	if (*out < min || *out > max)
		return fail(p, p->line, "%s=%s is out of range: %llu to %llu", key, value,
			    (unsigned long long)min, (unsigned long long)max);
	return 1;
}

static int take_u32(struct parser *p, const char *key, const char *value, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t n = 0;
	int ok = take_number(p, key, value, min, max, &n);

	*out = (uint32_t)n;
	return ok;
}

enum cluster_key { KEY_KEY, KEY_PORT, KEY_SLAB, KEY_RESERVE, KEY_RESERVE_HIGH, KEY_RESERVE_HARD, KEY_DEADLINE, KEY_COPIES, KEY_SIZE, KEY_SPARES, KEY_CODEC, KEY_LWB,
	KEY_REPLACE_AFTER, KEY_REPAIR_RATE, KEY_HEARTBEAT, KEY_LEASE, KEY_PLACEMENT, KEY_REBALANCE, KEY_ETCD, KEY_ETCD_NAME, KEY_ETCD_TTL, KEY_ETCD_GROUP,
	KEY_CLIENT_SLABS, KEY_CLIENT_QUEUE_PAIRS, KEY_CLIENT_REQUESTS, KEY_SHORTAGE, KEY_SHORTAGE_BUDGET, KEY_SHORTAGE_GROUP,
	KEY_SHORTAGE_FAULTS, CLUSTER_KEYS };

static const char * const cluster_keys[CLUSTER_KEYS] = {
	"key", "port", "slab", "reserve", "reserve_high", "reserve_hard", "deadline", "copies", "size", "spares", "codec", "lend_while_borrowing",
	"replace_after", "repair_rate", "heartbeat", "lease", "placement", "rebalance", "etcd", "etcd_name", "etcd_ttl", "etcd_group",
	"client_slabs", "client_queue_pairs", "client_requests", "shortage", "shortage_budget", "shortage_group",
	"shortage_faults",
};

static int take_yes_no(struct parser *p, const char *key, const char *value, bool *out)
{
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return fail(p, p->line, "%s=%s: say yes or no", key, value);
	*out = !strcmp(value, "yes");
	return 1;
}

static int take_codec(struct parser *p, const char *value)
{
	int codec = farswap_codec_parse(value);

	if (codec < 0)
		return fail(p, p->line, "codec=%s: say none, lz4, lzo or zstd", value);
	p->conf->codec = (enum farswap_codec)codec;
	return 1;
}

static int take_placement(struct parser *p, const char *value)
{
	int policy = placement_parse(value);

	if (policy < 0)
		return fail(p, p->line, "placement=%s: say power-of-two, random, round-robin or weighted-round-robin", value);
	p->conf->placement = (enum placement_policy)policy;
	return 1;
}

static int take_shortage(struct parser *p, const char *value)
{
	int policy = shortage_parse(value);

	if (policy < 0)
		return fail(p, p->line, "shortage=%s: say off, shrink or raise", value);
	p->conf->shortage = (enum shortage_policy)policy;
	return 1;
}

static int take_shortage_group(struct parser *p, const char *value)
{
	if (value[0] != '/' || strlen(value) >= sizeof(p->conf->shortage_group))
		return fail(p, p->line, "shortage_group=%s is not the directory of a control group: give one like /sys/fs/cgroup/NAME", value);
	strcpy(p->conf->shortage_group, value);
	return 1;
}

static int take_slab(struct parser *p, const char *value)
{
	uint64_t *slab = &p->conf->slab_bytes;

	if (!take_bytes(p, "slab", value, FARSWAP_SLAB_BYTES_MIN, FARSWAP_SLAB_BYTES_MAX, slab))
		return 0;
	if (*slab & (*slab - 1))
		return fail(p, p->line, "slab=%s is not a power of two", value);
	return 1;
}

static int take_lease(struct parser *p, const char *value)
{
	if (!take_u32(p, "lease", value, 0, FARSWAP_LEASE_MS_MAX / 1000, &p->conf->lease_s))
		return 0;
	if (p->conf->lease_s && p->conf->lease_s < LEASE_MIN_S)
		return fail(p, p->line, "lease=%s is out of range: %u to %u seconds, or 0 for no end", value, LEASE_MIN_S,
			    FARSWAP_LEASE_MS_MAX / 1000);
	return 1;
}

static int take_etcd(struct parser *p, const char *value)
{
	struct farswap_conf *conf = p->conf;
	size_t length;

	for (value += strspn(value, " "); *value; value += length + strspn(value + length, " ")) {
		length = strcspn(value, " ");
		if (conf->n_etcd == ENGINE_ENDPOINTS_MAX)
			return fail(p, p->line, "etcd=: %u endpoints at most", ENGINE_ENDPOINTS_MAX);
		if (length >= ENGINE_URL_BYTES || length < 9 || strcspn(value, "?#@,\\\"") < length ||
		    (strncmp(value, "http://", 7) && strncmp(value, "https://", 8)))
			return fail(p, p->line, "etcd=%.*s is no endpoint: give http://ADDRESS:2379 or https://, and a space between two",
				    (int)length, value);
		memcpy(conf->etcd[conf->n_etcd++], value, length);
	}
	return conf->n_etcd ? 1 : fail(p, p->line, "etcd= names no endpoint: give http://ADDRESS:2379, or leave the key out");
}

static int take_etcd_name(struct parser *p, const char *value)
{
	if (strlen(value) >= sizeof(p->conf->etcd_name) || !farswap_name_ok(value))
		return fail(p, p->line, "etcd_name=%s: use letters, digits, '.', '-' and '_', %zu at most", value, sizeof(p->conf->etcd_name) - 1);
	strcpy(p->conf->etcd_name, value);
	return 1;
}

/* what the key is about; NULL: none of it */
static uint32_t *quota_of_key(struct farswap_quota *quota, const char *key)
{
	if (!strcmp(key, "client_slabs"))
		return &quota->slabs;
	if (!strcmp(key, "client_queue_pairs"))
		return &quota->queue_pairs;
	return strcmp(key, "client_requests") ? NULL : &quota->requests;
}

static int take_quota(struct parser *p, const char *key, const char *value, struct farswap_quota *quota)
{
	uint32_t *out = quota_of_key(quota, key);
	uint32_t least = out == &quota->requests ? REQUESTS_MIN : out == &quota->queue_pairs ? QUEUE_PAIRS_MIN : 1;
	uint32_t most = out == &quota->requests ? REQUESTS_MAX : 1 << 20;

	if (!take_u32(p, key, value, 0, most, out))
		return 0;
	if (*out && *out < least)
		return fail(p, p->line, "%s=%s is out of range: %u to %u, or 0 for no limit", key, value, least, most);
	return 1;
}

static int take_cluster(struct parser *p, const char *key, const char *value)
{
	struct farswap_conf *conf = p->conf;
	unsigned int which;
	uint64_t n = 0;
	int ok;

	for (which = 0; which < CLUSTER_KEYS; which++)
		if (!strcmp(key, cluster_keys[which]))
			break;
	if (which == CLUSTER_KEYS)
		return fail(p, p->line, "unknown key '%s' in [cluster]: there are key, port, slab, reserve, reserve_high, reserve_hard, deadline, copies, size, spares, codec, lend_while_borrowing, replace_after, repair_rate, heartbeat, lease, placement, rebalance, etcd, etcd_name, etcd_ttl, etcd_group, client_slabs, client_queue_pairs, client_requests, shortage, shortage_budget, shortage_group and shortage_faults",
			    key);
	if (p->seen & 1u << which)
		return fail(p, p->line, "duplicate key '%s' in [cluster]: remove one of the two", key);
	p->seen |= 1u << which;
	switch ((enum cluster_key)which) {
	case KEY_KEY:
		if (value[0] != '/' || strlen(value) >= sizeof(conf->key_path))
			return fail(p, p->line, "key=%s is not an absolute path", value);
		strcpy(conf->key_path, value);
		return 1;
	case KEY_PORT:
		ok = take_number(p, key, value, 1, 65535, &n);
		conf->port = (uint16_t)n;
		return ok;
	case KEY_SLAB:
		return take_slab(p, value);
	case KEY_RESERVE:
		return take_bytes(p, key, value, 0, RESERVE_MAX, &conf->reserve_bytes);
	case KEY_RESERVE_HIGH:
		return take_bytes(p, key, value, 0, RESERVE_MAX, &conf->reserve_high_bytes);
	case KEY_RESERVE_HARD:
		return take_bytes(p, key, value, 0, RESERVE_MAX, &conf->reserve_hard_bytes);
	case KEY_DEADLINE:
		return take_u32(p, key, value, 1, 86400, &conf->deadline_s);
	case KEY_COPIES:
		return take_u32(p, key, value, 1, FARSWAP_COPIES_MAX, &conf->copies);
	case KEY_SIZE:
		return take_bytes(p, key, value, 1 << 20, 1ull << 50, &conf->size_bytes);
	case KEY_SPARES:
		return take_u32(p, key, value, 1, 64, &conf->spares);
	case KEY_CODEC:
		return take_codec(p, value);
	case KEY_REPLACE_AFTER:
		return take_u32(p, key, value, 1, 86400, &conf->replace_after_s);
	case KEY_REPAIR_RATE:
		return take_u32(p, key, value, 0, 1 << 20, &conf->repair_rate);
	case KEY_HEARTBEAT:
		return take_u32(p, key, value, 10, 10000, &conf->heartbeat_ms);
	case KEY_LEASE:
		return take_lease(p, value);
	case KEY_PLACEMENT:
		return take_placement(p, value);
	case KEY_REBALANCE:
		return take_yes_no(p, key, value, &conf->rebalance);
	case KEY_ETCD:
		return take_etcd(p, value);
	case KEY_ETCD_NAME:
		return take_etcd_name(p, value);
	case KEY_ETCD_TTL:
		return take_u32(p, key, value, ENGINE_TTL_MIN_S, ENGINE_TTL_MAX_S, &conf->etcd_ttl_s);
	case KEY_ETCD_GROUP:
		return take_u32(p, key, value, FARSWAP_COPIES_MAX, GROUP_MAX, &conf->etcd_group);
	case KEY_SHORTAGE:
		return take_shortage(p, value);
	case KEY_SHORTAGE_BUDGET:
		return take_bytes(p, key, value, 1 << 20, 1ull << 50, &conf->shortage_budget_bytes);
	case KEY_SHORTAGE_GROUP:
		return take_shortage_group(p, value);
	case KEY_SHORTAGE_FAULTS:
		return take_u32(p, key, value, 1, 1000000, &conf->shortage_faults);
	case KEY_CLIENT_SLABS:
	case KEY_CLIENT_QUEUE_PAIRS:
	case KEY_CLIENT_REQUESTS:
		return take_quota(p, key, value, &conf->quota);
	default:
		return take_yes_no(p, key, value, &conf->lend_while_borrowing);
	}
}

static int take_address(struct parser *p, const char *value)
{
	struct farswap_conf *conf = p->conf;
	unsigned int i;

	if (farswap_addr_parse(value, 0, &p->node->addr))
		return fail(p, p->line, "address=%s is not an IPv4 or IPv6 address", value);
	for (i = 0; i < conf->n_nodes; i++)
		if (&conf->nodes[i] != p->node && conf->nodes[i].has_address &&
		    farswap_addr_same_host(&conf->nodes[i].addr, &p->node->addr))
			return fail(p, p->line, "duplicate address %s, node '%s' has it too: each node needs its own",
				    value, conf->nodes[i].name);
	p->node->has_address = true;
	return 1;
}

bool farswap_rack_ok(const char *rack)
{
	size_t i, n = strlen(rack);

	for (i = 0; i < n; i++)
		if (rack[i] < ' ' || rack[i] > '~' || rack[i] == '"' || rack[i] == '\\')
			return false;
	return n && n < FARSWAP_RACK_BYTES;
}

static int take_node(struct parser *p, const char *key, const char *value)
{
	struct farswap_node *node = p->node;
	const uint32_t *quota = quota_of_key(&node->quota, key);
	uint64_t n = 0;

	if ((!strcmp(key, "address") && node->has_address) || (!strcmp(key, "lend") && node->has_lend) ||
	    (!strcmp(key, "rack") && node->has_rack) || (quota && *quota != FARSWAP_NOT_SAID))
		return fail(p, p->line, "duplicate key '%s' in [node %s]: remove one of the two", key, node->name);
	if (!strcmp(key, "address"))
		return take_address(p, value);
	if (!strcmp(key, "lend")) {
		if (!take_number(p, key, value, 0, 1 << 20, &n))
			return 0;
		node->lend = (uint32_t)n;
		node->has_lend = true;
		return 1;
	}
	if (!strcmp(key, "rack")) {
		if (!farswap_rack_ok(value))
			return fail(p, p->line, "rack=%s: 1 to %u characters of ASCII, no quotes, no '\\'", value, FARSWAP_RACK_BYTES - 1);
		strcpy(node->rack, value);
		node->has_rack = true;
		return 1;
	}
	if (quota)
		return take_quota(p, key, value, &node->quota);
	return fail(p, p->line, "unknown key '%s' in [node %s]: there are address, lend, rack, client_slabs, client_queue_pairs and client_requests",
		    key, node->name);
}

static int take(void *user, const char *section, const char *key, const char *value)
{
	struct parser *p = user;

	(void)section;	/* followed by read_line() */
	if (p->error_line)
		return 0;
	if (p->section == SECTION_CLUSTER)
		return take_cluster(p, key, value);
	if (p->section == SECTION_NODE)
		return take_node(p, key, value);
	return fail(p, p->line, "'%s' stands outside of any section: put it under [cluster] or [node NAME]", key);
}

/* what was not said of the marks depends on the one that may have been */
static void set_marks(struct parser *p)
{
	struct farswap_conf *conf = p->conf;
	uint64_t low = conf->reserve_bytes, step = low / 4 > conf->slab_bytes ? low / 4 : conf->slab_bytes;

	if (conf->reserve_high_bytes == NOT_SAID)
		conf->reserve_high_bytes = low + step;
	if (conf->reserve_hard_bytes == NOT_SAID)
		conf->reserve_hard_bytes = low / 2;
	if (conf->reserve_high_bytes < low)
		fail(p, p->cluster_line, "reserve_high= is less than reserve=: it lends again only above it, so give more");
	if (conf->reserve_hard_bytes > low)
		fail(p, p->cluster_line, "reserve_hard= is more than reserve=: slabs are asked for before they go back at once, so give less");
}

static void check_whole(struct parser *p)
{
	struct farswap_conf *conf = p->conf;
	unsigned int i;

	set_marks(p);
	if (conf->shortage == SHORTAGE_RAISE && !conf->shortage_group[0])
		fail(p, p->cluster_line, "shortage=raise needs shortage_group=: the control group whose memory.high is raised");
	for (i = 0; i < conf->n_nodes; i++) {
		if (!conf->nodes[i].has_address)
			fail(p, conf->nodes[i].line, "node '%s' has no address: add address=", conf->nodes[i].name);
		if (!conf->nodes[i].has_lend)
			fail(p, conf->nodes[i].line, "node '%s' does not say what it lends: add lend= (slabs; 0 for none)",
			     conf->nodes[i].name);
	}
	if (!conf->n_nodes)
		fail(p, p->line, "no node: add a [node NAME] section for each node of the cluster");
}

static void set_defaults(struct farswap_conf *conf, const char *path)
{
	memset(conf, 0, sizeof(*conf));
	snprintf(conf->path, sizeof(conf->path), "%s", path);
	strcpy(conf->key_path, "/etc/farswap/key");
	conf->port = FARSWAP_PORT;
	conf->slab_bytes = 64ull << 20;
	conf->reserve_bytes = 256ull << 20;
	conf->reserve_high_bytes = NOT_SAID;
	conf->reserve_hard_bytes = NOT_SAID;
	conf->deadline_s = LEND_DEADLINE_NS / 1000000000;
	conf->size_bytes = 1ull << 30;
	conf->copies = 3;
	conf->rebalance = true;
	conf->spares = 2;
	conf->replace_after_s = 10;
	conf->heartbeat_ms = 100;
	conf->lease_s = 1800;
	conf->shortage_budget_bytes = 256ull << 20;
	conf->shortage_faults = 1000;
	strcpy(conf->etcd_name, "default");
	conf->etcd_ttl_s = ENGINE_TTL_S;
	conf->etcd_group = GROUP_MAX;
	conf->quota.queue_pairs = 256;
	conf->quota.requests = 20000;
}

int farswap_conf_load(const char *path, struct farswap_conf *conf, char *err, size_t size)
{
	struct parser p = { .conf = conf, .err = err, .size = size };
	struct stat st;
	unsigned int i;
	int line;

	set_defaults(conf, path);
	p.file = fopen(path, "re");
	if (!p.file || fstat(fileno(p.file), &st) || !S_ISREG(st.st_mode)) {
		if (p.file)
			errno = EINVAL;
		snprintf(err, size, "%s:0: cannot be read: %s", path, p.file ? "not a regular file" : strerror(errno));
		if (p.file)
			fclose(p.file);
		return -1;
	}
	line = ini_parse_stream(read_line, &p, take, &p);
	if (ferror(p.file))
		fail(&p, p.line, "cannot be read: input/output error");
	fclose(p.file);
	if (line > 0 && (!p.error_line || (unsigned int)line < p.error_line)) {
		p.error_line = 0;
		fail(&p, (unsigned int)line, "malformed line: expected [section], key=value or # comment");
	} else if (line < 0) {
		fail(&p, 1, "cannot be parsed: out of memory");
	}
	if (!p.error_line)
		check_whole(&p);
	for (i = 0; i < conf->n_nodes; i++)
		conf->nodes[i].addr.in.sin_port = htons(conf->port);	/* sin6_port lies at the same place */
	return p.error_line ? -1 : 0;
}

struct farswap_node *farswap_conf_node(struct farswap_conf *conf, const char *name)
{
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++)
		if (!strcmp(conf->nodes[i].name, name))
			return &conf->nodes[i];
	return NULL;
}

struct farswap_quota farswap_conf_quota(struct farswap_conf *conf, const char *client)
{
	const struct farswap_node *node = farswap_conf_node(conf, client);
	struct farswap_quota quota = conf->quota;

	if (!node || conf->n_etcd)	/* all donors are to say the same, and an engine tells of no quotas */
		return quota;
	if (node->quota.slabs != FARSWAP_NOT_SAID)
		quota.slabs = node->quota.slabs;
	if (node->quota.queue_pairs != FARSWAP_NOT_SAID)
		quota.queue_pairs = node->quota.queue_pairs;
	if (node->quota.requests != FARSWAP_NOT_SAID)
		quota.requests = node->quota.requests;
	return quota;
}

static void give_others_to_engine(struct farswap_conf *conf)
{
	unsigned int i;

	for (i = 0; i < conf->n_nodes; i++) {
		conf->nodes[i].joined = conf->nodes[i].recalled = &conf->nodes[i] != conf->self;
		conf->nodes[i].group = UINT32_MAX;
	}
}

static void find_self(struct farswap_conf *conf, const char *name, char *err, size_t size)
{
	char host[256] = "";
	unsigned int i;

	if (name) {
		conf->self = farswap_conf_node(conf, name);
		if (!conf->self)
			snprintf(err, size, "%s: no [node %s] in it: add it, or give another --node", conf->path, name);
		return;
	}
	gethostname(host, sizeof(host) - 1);
	conf->self = farswap_conf_node(conf, host);
	for (i = 0; i < conf->n_nodes && !conf->self; i++)
		if (farswap_addr_is_local(&conf->nodes[i].addr))
			conf->self = &conf->nodes[i];
	if (!conf->self)
		snprintf(err, size, "%s: no node is named '%s' and none has an address of this host: give --node NAME",
			 conf->path, host);
}

int farswap_conf_find_self(struct farswap_conf *conf, const char *name, char *err, size_t size)
{
	find_self(conf, name, err, size);
	if (conf->self && conf->n_etcd)
		give_others_to_engine(conf);
	return conf->self ? 0 : -1;
}
